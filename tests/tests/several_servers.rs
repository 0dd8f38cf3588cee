//! Two server processes on one PostgreSQL: what is done at one is so at the other.
//!
//! The long rounds, with servers that are killed, are `cordon-sim soak servers`; the rules themselves are tested in the
//! server over made-up shared stores, and so is the second that it may take. Here nothing is made up but the device's event
//! loop; how long it took is printed, and the bound is that of a busy machine.

use std::path::Path;
use std::time::Duration;

use cordon_agent::link::{LinkError, Patience};
use cordon_proto::checkin::WaitRequest;
use cordon_proto::time::Timestamp;
use cordon_sim::hospital::{Hospital, Place, Server, Who};
use cordon_sim::light::{Light, flows, hardware};
use cordon_sim::postgres::Cluster;
use tokio::time::{Instant, sleep};

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
/// How long the other server may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer of a server that is in touch with the other one, which one on a busy machine may lose for a moment.
async fn in_touch<T>(mut ask: impl AsyncFnMut() -> Result<T, LinkError>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(LinkError::Busy { .. }) if begun.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(50)).await
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_at_one_process_bites_at_the_other_within_a_second_and_wakes_its_wait() {
    // Goal: one hospital, whichever server answers. Method: a device at the second server, in the middle of a long
    // poll; quarantine it at the first; then trust it again. The times are printed; the second is held to by
    // a_quarantine_on_one_server_bites_on_another_within_a_second, where nothing but the server is at work.
    let home = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(home.path()).expect("starts") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("store=\"postgres:{}\"", cluster.url());
    let hospital = Hospital::open(Path::new(SIM), folder.path(), &[&store]).await.expect("opens");
    let mut other = Server::new(Path::new(SIM), folder.path(), "server-2");
    other.start(&[&store]).await.expect("a second server on the same store");
    let place = Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" };
    let line = hospital.enrolment("VP-3", &place, Who::Count(1)).await.expect("a token");
    let state = folder.path().join("devices");
    let device =
        Light::enrol(&state, &line, hardware("Halden", "VP-3", "A")).await.expect("enrols at the first");
    let link = || device.link(Some(other.ready().device.port()), Patience::default()).expect("a link");
    // Known at the second too.
    let told = in_touch(async || link().telemetry(&flows(1, 5, Timestamp(1_790_000_000))).await).await;
    assert_eq!(told.stored_through.sequence, 5);
    let waiter = link();
    // A token of another start is answered at once; with the one that it answers, the wait is long.
    let token = in_touch(async || waiter.wait(&WaitRequest { token: 0, max_s: 30 }).await).await.token;
    let waiting = tokio::spawn(async move { waiter.wait(&WaitRequest { token, max_s: 300 }).await });
    sleep(Duration::from_millis(200)).await;
    let id = device.identity.device.to_string();
    let act = |act: &'static str| {
        let id = id.clone();
        let hospital = &hospital;
        async move { hospital.ctl(&["devices", act, &id, "--reason", "seen where it should not be"]).await }
    };
    act("quarantine").await.expect("done at the first");
    let done = Instant::now();
    let refused = loop {
        match link().wait(&WaitRequest { token, max_s: 1 }).await {
            Err(LinkError::Refused { .. }) => break done.elapsed(),
            Ok(_) | Err(_) if done.elapsed() < PATIENCE => sleep(Duration::from_millis(20)).await,
            other => panic!("not refused: {other:?}"),
        }
    };
    let woken = tokio::time::timeout(PATIENCE, waiting).await.expect("the wait ended").expect("no panic");
    println!("refused by the second server after {refused:?}, its wait had ended after {:?}", done.elapsed());
    assert!(woken.is_err() || woken.is_ok_and(|answer| answer.changed), "it slept on");
    act("release").await.expect("done at the first");
    let begun = Instant::now();
    while link().telemetry(&flows(6, 5, Timestamp(1_790_000_000))).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the second server never trusted it again");
        sleep(Duration::from_millis(20)).await;
    }
    other.stop().await.expect("drains");
}
