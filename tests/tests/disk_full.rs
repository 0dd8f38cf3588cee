//! A server on a disk of its own that really fills up: what is refused, what goes on, and that nothing answered is lost.
//!
//! The disk is a small tmpfs, so root is needed to mount it; without, the test says so.

use std::path::Path;
use std::time::Duration;

use cordon_agent::identity::IdentityError;
use cordon_agent::link::LinkError;
use cordon_sim::hospital::Hospital;
use cordon_sim::one_device::OneDevice;
use cordon_sim::small_disk::{MIB, SmallDisk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");

/// Asks the operator plane: the whole answer as text.
async fn ask(hospital: &Hospital, method: &str, path: &str, body: &[u8]) -> String {
    let address = hospital.ready().operator;
    let token = std::fs::read_to_string(hospital.folder().join("admin.token")).expect("a token");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("listens");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        token.trim(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer))
        .await
        .expect("in time")
        .expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

fn asks_to_wait<T: std::fmt::Debug>(answer: &Result<T, LinkError>) -> bool {
    matches!(answer, Err(LinkError::Busy { status: 503, retry_after_s: Some(5..=10) }))
}

async fn waited_for<F: Future<Output = bool>>(what: &str, look: impl Fn() -> F) {
    for _ in 0..300 {
        if look().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{what} did not come within 60 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writing_and_nothing_else_and_goes_on_by_itself() {
    // Goal: never a lie, never a crash, no hand at the server. Method: a disk filled below the reserve: each plane in
    // turn; freed: all goes on in the same process; filled to the last byte: SIGTERM, freed, start, all is there.
    let Some(disk) = SmallDisk::of(96, "a full disk") else { return };
    let states = tempfile::tempdir().expect("a folder");
    let settings = ["reserve_mib=16"];
    let mut hospital =
        Hospital::open(Path::new(SIM), &disk.path().join("hospital"), &settings).await.expect("opens");
    let mut device = OneDevice::enrol(&hospital, states.path(), "A").await.expect("enrols");
    device.checkin().await.expect("answered");
    device.tell(100, 200).await.expect("stored");
    let second = OneDevice::line(&hospital, "B").await.expect("a token");
    let pid = hospital.ready().pid;

    let ballast = disk.fill(12 * MIB);
    let told = device.tell(10, 200).await;
    assert!(asks_to_wait(&told), "{told:?}");
    let enrolled = OneDevice::ask(&second, states.path(), "B").await;
    let busy =
        matches!(&enrolled, Err(IdentityError::Server { source: LinkError::Busy { status: 503, .. }, .. }));
    assert!(busy, "{:?}", enrolled.err());
    let refused = hospital.enrolment("VP-3", &place(), cordon_sim::hospital::Who::Count(1)).await;
    let words = refused.expect_err("refused").to_string();
    assert!(words.contains("disk is full"), "{words}");
    let image = vec![3; 100_000];
    let path = format!("/api/v1/targets/{}", cordon_proto::ids::Sha256::of(&image));
    let stored = ask(&hospital, "PUT", &path, &image).await;
    assert!(stored.starts_with("HTTP/1.1 507") && stored.contains("disk_full"), "{stored}");
    assert!(disk.free() > 11 * MIB, "nothing eats the reserve: {} bytes are free", disk.free());
    device.checkin().await.expect("what says nothing new needs no disk");
    assert!(ask(&hospital, "GET", "/api/v1/devices", b"").await.starts_with("HTTP/1.1 200"), "reads go on");
    assert!(ask(&hospital, "GET", "/healthz", b"").await.starts_with("HTTP/1.1 200"));
    let ready = ask(&hospital, "GET", "/readyz", b"").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("free space"), "{ready}");
    waited_for("the metric", || async {
        ask(&hospital, "GET", "/metrics", b"").await.contains("cordon_store_refuses_writes 1")
    })
    .await;

    std::fs::remove_file(&ballast).expect("freed");
    let told = device.tell(10, 200).await.expect("goes on without a restart");
    assert_eq!((told.stored_through.sequence, told.duplicates), (110, 0), "what was refused came once");
    OneDevice::ask(&second, states.path(), "B").await.expect("enrols now");
    assert!(ask(&hospital, "GET", "/readyz", b"").await.starts_with("HTTP/1.1 200"));
    assert_eq!(hospital.ready().pid, pid);

    let ballast = disk.fill(0);
    assert!(asks_to_wait(&device.tell(10, 200).await), "to the last byte");
    hospital.stop().await.expect("SIGTERM ends it with 0 on a disk without a byte");
    std::fs::remove_file(&ballast).expect("freed");
    hospital.start(&settings).await.expect("opens again");
    assert_eq!(device.acknowledged(), 110);
    let told = device.tell(10, 200).await.expect("stored");
    assert_eq!((told.stored_through.sequence, told.duplicates), (120, 0), "nothing answered was lost");
    hospital.stop().await.expect("drains");
}

/// Debian's data about so many packages.
fn table(rows: usize) -> String {
    let mut text = String::from("release,source,cve,fixed_version,advisory\n");
    for row in 0..rows {
        text.push_str(&format!("bookworm,package{row},CVE-2024-{},2-1,\n", 10_000 + row));
    }
    text
}

/// All files below a folder, with their lengths.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let length = entry.metadata().map(|metadata| metadata.len()).unwrap_or_default();
            found.push((path.display().to_string(), length));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_finds_the_disk_full_leaves_the_former_one_in_force_and_nothing_of_itself() {
    // Goal: a full disk makes nothing safe. Method: a feed in force; the disk filled so that the next one breaks off half-way, by
    // `cordonctl`; what is in force, what is known, what lies there; freed, the same file comes in.
    let Some(disk) = SmallDisk::of(96, "a full disk under a feed") else { return };
    let settings = ["reserve_mib=16"];
    let mut hospital =
        Hospital::open(Path::new(SIM), &disk.path().join("hospital"), &settings).await.expect("opens");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let file = elsewhere.path().join("debian.csv");
    let path = file.display().to_string();
    let import = ["feeds", "import", "debian", path.as_str(), "--kind", "debian"];
    std::fs::write(&file, table(500)).expect("written");
    hospital.ctl(&import).await.expect("taken");
    waited_for("knowledge", || async {
        hospital.api("/api/v1/feeds").await.expect("feeds")["matching"] == "ready"
    })
    .await;
    let held = hospital.api("/api/v1/feeds/debian").await.expect("the feed")["sha256"].clone();
    let folder = hospital.folder().join("server/blobs/feeds");
    let before = files(&folder);
    assert_eq!(before.len(), 1, "{before:?}");

    std::fs::write(&file, table(200_000)).expect("written");
    let length = std::fs::metadata(&file).expect("there").len();
    let ballast = disk.fill(16 * MIB + length / 2);
    let free = disk.free();
    let refused = hospital.ctl(&import).await.expect_err("refused").to_string();
    assert!(refused.contains("disk") && refused.contains("full"), "{refused}");
    assert_eq!(files(&folder), before, "nothing of it stays");
    assert!(disk.free() + MIB > free, "{free} bytes were free, and {} are", disk.free());
    let feed = hospital.api("/api/v1/feeds/debian").await.expect("the feed");
    assert_eq!((&feed["sha256"], &feed["in_force"]), (&held, &true.into()));
    let hit = hospital.api("/api/v1/advisories?all=true&q=CVE-2024-10499").await.expect("a list");
    assert_eq!(hit["total"], 1, "what it said is known");
    std::fs::remove_file(&ballast).expect("freed");
    hospital.ctl(&import).await.expect("taken, once there is room");
    assert_ne!(hospital.api("/api/v1/feeds/debian").await.expect("the feed")["sha256"], held);
    waited_for("the former file to go", || async { files(&folder).len() == 1 }).await;
    hospital.stop().await.expect("drains");
}

fn place() -> cordon_sim::hospital::Place<'static> {
    cordon_sim::hospital::Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" }
}
