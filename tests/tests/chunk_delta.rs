//! An image as a chunk delta, end to end: a maker's release, a real server, a real agent, and a count of what passes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_sim::patched_pump::PatchedPump;
use cordon_sim::site_mirror::SiteMirror;
use cordon_sim::skip::require_package;
use serde_json::Value;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the image, and of what is new in it.
const IMAGE: usize = 12_000_000;
const NEW: usize = 300_000;

/// Two versions of an image: something was put in, and something changed.
fn images(folder: &Path) -> (PathBuf, PathBuf) {
    let mut random = fastrand::Rng::with_seed(20);
    // Bytes that pack a little, as programs do: a store of what does not pack at all would be the image itself.
    let old: Vec<u8> = (0..IMAGE).map(|_| random.u8(..64)).collect();
    let put_in: Vec<u8> = (0..NEW).map(|_| random.u8(..64)).collect();
    let (head, tail) = old.split_at(5_000_001);
    let mut new = [head, &put_in, tail].concat();
    *new.get_mut(9_000_000).expect("is long enough") ^= 1;
    let paths = (folder.join("old.img"), folder.join("new.img"));
    std::fs::write(&paths.0, old).expect("writes");
    std::fs::write(&paths.1, new).expect("writes");
    paths
}

async fn stocked(folder: &Path) -> (PatchedPump, Vec<u8>, Value) {
    let (old, new) = images(folder);
    let pump =
        PatchedPump::open(Path::new(SIM), (Path::new(SIM), &["agent"]), folder, &old).await.expect("opens");
    let custom = pump.release(&new).await.expect("a release");
    (pump, std::fs::read(new).expect("reads"), custom)
}

fn sha256<'a>(custom: &'a Value, delta: &str) -> &'a str {
    custom.pointer(&format!("/deltas/{delta}/sha256")).and_then(Value::as_str).expect("is listed")
}

fn is_confirmed(pump: &PatchedPump, image: &[u8]) {
    assert!(pump.machine.reboots() >= 1, "it confirmed without a reboot");
    assert!(std::fs::read(pump.slot("b")).expect("reads") == image, "the slot holds something else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pump_with_an_older_image_fetches_what_is_new_however_often_it_is_cut_off() {
    // Goal: far fewer bytes than the image, from signing to confirmation. Method: real programs; every tunnel is cut
    // after 50,000 bytes towards the pump; all that passes is counted, handshakes and reports too.
    let folder = tempfile::tempdir().expect("a folder");
    let (mut pump, image, custom) = stocked(folder.path()).await;
    assert_eq!(custom.pointer("/deltas").and_then(Value::as_array).map(Vec::len), Some(2), "{custom}");
    pump.order().await.expect("an order");
    pump.relay.cut(u64::MAX, 50_000);
    pump.machine.on();
    pump.confirmed(PATIENCE).await.expect("is confirmed");
    pump.machine.off();
    let (passed, cuts) = (pump.relay.passed(), pump.relay.cuts());
    println!("{passed} bytes passed for an image of {}, in spite of {cuts} cuts", image.len());
    is_confirmed(&pump, &image);
    assert!(cuts >= 3, "{cuts} cuts");
    assert!(passed < 1_500_000, "{passed} bytes\n{}", pump.log());
    assert!(pump.log().contains("put together"), "{}", pump.log());
    pump.hospital.stop().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_swaps_the_delta_costs_bytes_and_installs_nothing_else() {
    // Goal: only the maker's bytes, no update that waits for its delta, and mirrors asked first for pieces too. Method: the
    // server's copy of the index, and in a second hospital of the store, is another one of the same length; in a third
    // one as well, but there nginx over the maker's folder is a mirror.
    for (delta, mirrored) in [("0", false), ("1", false), ("1", true)] {
        let nginx = if mirrored { require_package("nginx") } else { Some(PathBuf::new()) };
        let Some(nginx) = nginx else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let (mut pump, image, custom) = stocked(folder.path()).await;
        let mirror = mirrored.then(|| {
            let mirror = SiteMirror::start(&nginx, folder.path(), &pump.published()).expect("a mirror");
            pump.set(&format!("mirrors = [\"{}\"]", mirror.url())).expect("is set");
            mirror
        });
        let blob = pump.blob(sha256(&custom, delta)).expect("is there");
        let mut bytes = std::fs::read(&blob).expect("reads");
        bytes.reverse();
        std::fs::remove_file(&blob).expect("removes");
        std::fs::write(&blob, bytes).expect("writes");
        pump.order().await.expect("an order");
        pump.machine.on();
        pump.confirmed(PATIENCE).await.expect("is confirmed");
        pump.machine.off();
        is_confirmed(&pump, &image);
        let whole = pump.log().contains("the rest of the image is fetched whole");
        assert_eq!(whole, !mirrored, "{}", pump.log());
        let passed = pump.relay.passed();
        assert!(if mirrored { passed < 500_000 } else { passed > 3_000_000 }, "{passed}");
        if let Some(mirror) = mirror {
            let log = mirror.log().expect("a log");
            let asked = |delta: &str| log.contains(&format!("GET /targets/{}", sha256(&custom, delta)));
            assert!(asked("0") && asked("1") && log.lines().all(|line| line.contains("\" 20")), "{log}");
        }
        pump.hospital.stop().await.expect("drains");
    }
}
