//! Feeds end to end: a server's process, `cordonctl`, a device with packages; kills, restarts, and the world's own files.
//!
//! The parts are tried step by step in the server's tests; here they are the programs that ship. CISA's and FIRST's files are
//! no part of the project: where the folder named by `CORDON_DATA` does not hold them, the test says so. Read next:
//! `cordon_sim::advisories`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use cordon_agent::link::Patience;
use cordon_proto::ids::Text;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::telemetry::{Batch, Body, Position};
use cordon_proto::time::Millis;
use cordon_sim::hospital::Hospital;
use cordon_sim::light::{Light, says};
use cordon_sim::one_device::OneDevice;
use cordon_sim::{advisories, skip};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
/// Longer than a server may need to make knowledge of a feed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kills during an import, each some milliseconds later than the one before.
const KILLS: u32 = 6;
const STEP: Duration = Duration::from_millis(12);

/// A table of Debian's for so many packages, the pump among them.
fn table(rows: usize) -> String {
    let mut text = String::from("release,source,cve,fixed_version,advisory\n");
    text.push_str("bookworm,pump,CVE-2024-0001,2-1,DSA-1-1\n");
    for row in 1..rows {
        let _ = writeln!(text, "bookworm,package{row},CVE-2023-{},1-1,", 10_000 + row);
    }
    text
}

/// Sends what is installed.
async fn report(device: &Light, packages: &[(&str, &str)]) {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let mut rows: Vec<Row> = packages
        .iter()
        .map(|(name, version)| row(Section::Package, &format!("deb/{name}/arm64"), &[version, name, version]))
        .collect();
    rows.push(row(Section::System, "id", &["debian"]));
    rows.push(row(Section::System, "version-id", &["12"]));
    let mut link = device.link(None, Patience::default()).expect("a link");
    link.checkin(&says(&device.hardware)).await.expect("it checks in");
    let at = Position { boot: 1, sequence: 1 };
    let record = Body::Inventory(Inventory::new(rows)).record(at, Millis(1_800_000_000_000));
    link.telemetry(&Batch { records: vec![record] }).await.expect("it is taken");
}

/// Waits until answers are made of what is in force, and says how long that took.
async fn ready(hospital: &Hospital) -> Duration {
    let begun = Instant::now();
    loop {
        let feeds = hospital.api("/api/v1/feeds").await.expect("feeds");
        if feeds.get("matching").is_some_and(|word| word == "ready") {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "never ready: {feeds}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn points(device: &Value) -> u64 {
    device["risk_hundredths"].as_u64().expect("a score")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advisory_is_on_the_board_a_moment_after_its_import_and_a_kill_loses_nothing() {
    // Goal: import, devices, score, restart, kill. Method: a pump with a weak package; a feed by `cordonctl`; the process
    // killed at moments during the next import: what was in force is, or the new one, and never half of one.
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    let line = OneDevice::line(&hospital, "PUMP-1").await.expect("a token");
    let device = OneDevice::ask(&line, &folder.path().join("devices"), "PUMP-1").await.expect("enrols");
    report(&device, &[("pump", "1-1"), ("package7", "2-1")]).await;
    let rows = hospital.api("/api/v1/devices").await.expect("a list");
    let id = rows["devices"][0]["id"].as_str().expect("a device").to_owned();
    let before = points(&rows["devices"][0]);

    let file = folder.path().join("debian.csv");
    let path = file.display().to_string();
    std::fs::write(&file, table(2000)).expect("written");
    hospital.ctl(&["feeds", "import", "debian", &path, "--kind", "debian"]).await.expect("taken");
    let took = ready(&hospital).await;
    println!("on the board {took:?} after its import");
    let devices = hospital.ctl(&["advisories", "devices", "DSA-1-1"]).await.expect("devices");
    assert_eq!(
        (&devices[0]["answer"], &devices[0]["evidence"]["bound"]),
        (&"affected".into(), &"2-1".into())
    );
    let listed = hospital.ctl(&["devices", "list", "--advisory", "CVE-2024-0001"]).await.expect("a list");
    assert_eq!(listed[0]["id"], id.as_str());
    let after = points(&hospital.api(&format!("/api/v1/devices/{id}")).await.expect("the device"));
    assert!(after > before, "{before} then {after}");

    hospital.stop().await.expect("drains");
    hospital.start(&[]).await.expect("starts again");
    ready(&hospital).await;
    let again = hospital.ctl(&["advisories", "list"]).await.expect("a list");
    assert_eq!(again[0]["id"], "CVE-2024-0001");

    let (mut held, mut moved) = (2000_u64, 0);
    for kill in 0..KILLS {
        let next = held + 1000;
        std::fs::write(&file, table(usize::try_from(next).expect("small"))).expect("written");
        {
            let arguments = ["feeds", "import", "debian", path.as_str()];
            let asked = hospital.ctl(&arguments);
            tokio::select! {
                _ = asked => {}
                () = sleep(STEP * kill) => {}
            }
        }
        hospital.kill();
        hospital.start(&[]).await.expect("starts again");
        ready(&hospital).await;
        let feed = hospital.api("/api/v1/feeds/debian").await.expect("the feed");
        let records = feed["records"].as_u64().expect("a number");
        assert!(records == held || records == next, "{records} of {held} or {next}");
        assert_eq!(feed["in_force"], true, "{feed}");
        moved += u32::from(records == next);
        held = records;
        let devices = hospital.ctl(&["advisories", "devices", "CVE-2024-0001"]).await.expect("devices");
        assert_eq!(devices[0]["answer"], "affected");
    }
    println!("{KILLS} kills, {moved} of them after the switch");
    hospital.stop().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worlds_own_files_are_taken_as_they_are() {
    // Goal: what people download can be imported. Method: CISA's medical advisories, its catalogue, EPSS, Debian's repairs,
    // each by one command; every record is taken or counted.
    let sets = ["csaf-icsma", "kev", "epss", "debian-advisories"];
    let folders: Vec<_> = sets.iter().filter_map(|set| advisories::folder(set)).collect();
    let [icsma, kev, epss, debian] = folders.as_slice() else {
        return skip::skip("no CISA advisories, KEV, EPSS and Debian's repairs: set CORDON_DATA");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    let first = |folder: &Path, ending: &str| {
        let files =
            std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok).map(|entry| entry.path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
        files.sort();
        files.first().expect("a file").display().to_string()
    };
    let icsma = icsma.display().to_string();
    let mut advisories = Value::Null;
    for (kind, path) in [
        ("csaf", icsma),
        ("kev", first(kev, "json")),
        ("epss", first(epss, "csv")),
        ("debian", first(debian, "csv")),
    ] {
        let answer = hospital.ctl(&["feeds", "import", kind, &path, "--kind", kind]).await.expect("taken");
        println!(
            "{kind}: {} records, refused {}, of {}",
            answer["records"], answer["refused"], answer["as_of"]
        );
        assert!(answer["records"].as_u64().is_some_and(|records| records > 0), "{answer}");
        if kind == "csaf" {
            advisories = answer["records"].clone();
        }
    }
    ready(&hospital).await;
    let feeds = hospital.api("/api/v1/feeds").await.expect("feeds");
    println!(
        "{} statements, {} device advisories, made in {} ms",
        feeds["statements"], feeds["device_advisories"], feeds["took_ms"]
    );
    assert_eq!(feeds["device_advisories"], advisories);
    assert_eq!(feeds["never"], serde_json::json!(["osv", "eol"]));
    let shown = hospital.ctl(&["advisories", "show", "ICSMA-21-215-01"]).await.expect("an advisory");
    assert!(shown["products"].as_array().is_some_and(|products| !products.is_empty()), "{shown}");
    hospital.stop().await.expect("drains");
}
