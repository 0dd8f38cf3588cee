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
use cordon_sim::answering::{Answers, SETTINGS};
use cordon_sim::bench::footprint::Footprint;
use cordon_sim::hospital::Hospital;
use cordon_sim::light::{Light, says};
use cordon_sim::one_device::OneDevice;
use cordon_sim::{advisories, skip};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
async fn both_planes_answer_while_two_hundred_thousand_ranges_are_read_in() {
    // Goal: no lock is held over the reading of a feed, and no thread of the planes reads it. Method: a device that checks in
    // and a person who lists devices, again and again, from the first byte of the file until answers are made of it.
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &SETTINGS).await.expect("opens");
    let device = OneDevice::enrol(&hospital, &folder.path().join("devices"), "PUMP-1").await.expect("enrols");
    let file = folder.path().join("debian.csv");
    std::fs::write(&file, table(200_000)).expect("written");
    let path = file.display().to_string();
    let busy = async {
        hospital.ctl(&["feeds", "import", "debian", &path, "--kind", "debian"]).await?;
        Ok(ready(&hospital).await)
    };
    let begun = Instant::now();
    let (_, answers) = Answers::during(&hospital, &device, busy).await.expect("every answer came");
    println!("read in within {:?}: {answers}", begun.elapsed());
    assert!(answers.device.len() >= 10, "{} answers while it was read", answers.device.len());
    assert!(answers.slowest() < begun.elapsed() / 2, "an answer waited for the reading: {answers}");
    hospital.stop().await.expect("drains");
}

/// A bill of materials of so many components with a dependency each, closed to a circle.
fn circle(components: usize) -> String {
    let mut text = String::from("{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{}");
    for part in 1..components {
        let _ = write!(text, ",{{\"bom-ref\":\"{part}\",\"name\":\"p{part}\"}}");
    }
    text.push_str("],\"dependencies\":[{}");
    for part in 1..components {
        let next = part % (components - 1) + 1;
        let _ = write!(text, ",{{\"ref\":\"{part}\",\"dependsOn\":[\"{next}\"]}}");
    }
    text.push_str("]}");
    text
}

#[test]
fn the_greatest_and_hostile_bills_of_materials_are_read_or_refused_within_memory() {
    // Goal: no file of a maker's takes a workstation or a server down. Method: `cordonctl sbom check` in a process of its own over
    // 500 MB, a million components, and a circle as long as is read; its peak of memory as the kernel says it.
    const MOST_MIB: u64 = 256;
    let folder = tempfile::tempdir().expect("a folder");
    let look = |name: &str, word: &str| {
        let side = cordon_sim::program::program(SIM).arg("sbom-side").arg(folder.path().join(name)).output();
        let said = String::from_utf8(side.expect("runs").stdout).expect("text");
        let mut fields = said.trim_end().splitn(4, '\t');
        let status = fields.next().expect("a status").to_owned();
        let peak_mib = fields.next().expect("a peak").parse::<u64>().expect("a number") / 1024;
        let line = fields.nth(1).expect("a line");
        println!("{name}: {peak_mib} MiB at the peak, {status}: {line}");
        assert!(line.contains(word), "{name}: {line}");
        assert!(peak_mib <= MOST_MIB, "{name} took {peak_mib} MiB");
        status
    };
    let huge = std::fs::File::create(folder.path().join("500-megabytes")).expect("made");
    huge.set_len(500_000_000).expect("long");
    assert_eq!(look("500-megabytes", "33554432 bytes"), "1");
    let parts = ["{}"].repeat(1_000_000).join(",");
    let million = format!("{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{parts}]}}");
    std::fs::write(folder.path().join("a-million-components"), million).expect("written");
    assert_eq!(look("a-million-components", "more than 100000 components"), "1");
    std::fs::write(folder.path().join("a-circle"), circle(100_000)).expect("written");
    assert_eq!(look("a-circle", "100000 components"), "0");
}

/// Sends so many bytes as a feed of VEX, in pieces, with their number ahead or without; says what was answered.
async fn flood(hospital: &Hospital, head: &str, bytes: u64, ahead: bool) -> String {
    let address = hospital.ready().operator;
    let token = std::fs::read_to_string(hospital.folder().join("admin.token")).expect("a token");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("listens");
    let length =
        if ahead { format!("Content-Length: {bytes}") } else { "Transfer-Encoding: chunked".to_owned() };
    let request = format!(
        "PUT /api/v1/feeds/flood?kind=vex HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n{length}\r\nConnection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let (mut reading, mut writing) = stream.into_split();
    let head = head.to_owned();
    let sending = tokio::spawn(async move {
        let piece = vec![b' '; 1 << 20];
        let mut left = bytes;
        let mut next = head.into_bytes();
        while left > 0 {
            next.resize(piece.len(), b' ');
            let size = next.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let data = next.get(..size).unwrap_or_default();
            let framed = if ahead {
                data.to_vec()
            } else {
                [format!("{size:x}\r\n").as_bytes(), data, b"\r\n"].concat()
            };
            // The server may close as soon as it has had enough.
            if writing.write_all(&framed).await.is_err() {
                return;
            }
            left -= size as u64;
            next.clone_from(&piece);
        }
        if !ahead {
            let _ = writing.write_all(b"0\r\n\r\n").await;
        }
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut answer)).await.expect("in time");
    sending.abort();
    // A server that has answered and closed may be heard with an error at the end.
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_a_bill_of_materials_costs_the_server_no_memory() {
    // Goal: 500 MB are refused while they come, whatever was said of their length, and a bill of a million parts is passed over;
    // the server keeps nothing and grows by less than one such document. Method: the process's peak before and after each.
    const MOST_MIB: u64 = 96;
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    let peak = || Footprint::of(hospital.ready().pid).expect("it runs").peak_kib / 1024;
    let before = peak();
    let head = "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[";
    for ahead in [true, false] {
        let answer = flood(&hospital, head, 500_000_000, ahead).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{ahead}: {answer}");
    }
    let bill = folder.path().join("bill.json");
    std::fs::write(&bill, circle(600_000)).expect("written");
    let path = bill.display().to_string();
    let refused = hospital.ctl(&["feeds", "import", "bill", &path, "--kind", "vex"]).await;
    let refused = refused.expect_err("it is no statement").to_string();
    assert!(refused.contains("nothing in it could be read"), "{refused}");
    let after = peak();
    println!("{before} MiB at the peak before, {after} MiB after");
    assert!(after - before <= MOST_MIB, "{before} MiB before, {after} MiB after");
    let kept = std::fs::read_dir(hospital.folder().join("server/blobs/feeds")).expect("a folder");
    let kept: Vec<_> = kept.flatten().map(|entry| entry.file_name()).filter(|name| name.len() == 2).collect();
    let incoming =
        std::fs::read_dir(hospital.folder().join("server/blobs/feeds/incoming")).expect("a folder");
    assert_eq!(incoming.count(), 0, "nothing half-written stays");
    let files = kept.iter().flat_map(|shelf| {
        std::fs::read_dir(hospital.folder().join("server/blobs/feeds").join(shelf)).expect("a shelf")
    });
    assert_eq!(files.count(), 0, "no file stays");
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
