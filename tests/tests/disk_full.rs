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

fn place() -> cordon_sim::hospital::Place<'static> {
    cordon_sim::hospital::Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" }
}
