//! The server's process is killed while a device enrols, at moments spread over the whole of it: the token buys one
//! identity, and whoever asks again with the same key gets that very certificate.
//!
//! The store's own faults are tried step by step in the server's tests; here a real process dies. Read next:
//! `identity_life` for the device's side.

use std::path::Path;
use std::time::Duration;

use cordon_agent::link::Patience;
use cordon_sim::hospital::Hospital;
use cordon_sim::light::{Light, hardware, says};
use cordon_sim::one_device::OneDevice;
use serde_json::Value;
use tokio::time::sleep;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
/// Kills, each some tenths of a millisecond later than the one before.
const KILLS: u64 = 24;
const STEP: Duration = Duration::from_micros(700);
/// Tries of a device whose server is there again.
const TRIES: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_a_server_killed_while_a_device_enrols_gives_one_identity_for_one_token() {
    // Goal: single use across kill -9. Method: for each moment a token for one serial, an enrolment, a kill, a restart,
    // the same request again; then the identity checks in, and another key finds the token used.
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    let states = folder.path().join("devices");
    let mut cut = 0;
    for kill in 0..KILLS {
        let serial = format!("KILL-{kill:02}");
        let line = OneDevice::line(&hospital, &serial).await.expect("a token");
        let asking = {
            let (line, states, serial) = (line.clone(), states.clone(), serial.clone());
            tokio::spawn(async move { OneDevice::ask(&line, &states, &serial).await })
        };
        sleep(STEP * u32::try_from(kill).expect("small")).await;
        hospital.kill();
        cut += u32::from(asking.await.expect("no panic").is_err());
        hospital.start(&[]).await.expect("starts again");
        let device = again(&line, &states, &serial).await;
        let link = device.link(None, Patience::default()).expect("a link");
        link.checkin(&says(&device.hardware)).await.expect("the one identity works");
        let other =
            Light::enrol(&folder.path().join("others"), &line, hardware("Halden", "VP-3", &serial)).await;
        assert!(other.is_err(), "{serial}: the token has paid already");
        let devices = hospital.api("/api/v1/devices").await.expect("a list");
        let rows = devices.get("devices").and_then(Value::as_array).expect("rows");
        assert_eq!(rows.len(), usize::try_from(kill + 1).expect("small"), "no device twice");
    }
    assert!(cut > 2, "only {cut} enrolments were cut off: the kills come too late");
    hospital.stop().await.expect("drains");
}

async fn again(line: &str, states: &Path, serial: &str) -> Light {
    let mut last = None;
    for _ in 0..TRIES {
        match OneDevice::ask(line, states, serial).await {
            Ok(device) => return device,
            Err(error) => last = Some(error),
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{serial} never enrolled: {last:?}");
}
