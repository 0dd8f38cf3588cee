//! The socket: its mode, its lines, and what remains when a holder dies.
//!
//! Tests only; see [`super`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A clock whose monotonic side is set by hand, in seconds.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

struct Served {
    shared: Shared,
    clock: Arc<Hand>,
    path: PathBuf,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _root: tempfile::TempDir,
}

fn serve() -> Served {
    let root = tempfile::tempdir().expect("a scratch folder");
    let path = root.path().join("interlock.sock");
    let clock = Arc::new(Hand::default());
    let shared = Shared::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let (stop, stopped) = watch::channel(false);
    let socket = Socket::bind(&path).expect("binds");
    let task = tokio::spawn(socket.serve(shared.clone(), stopped));
    Served { shared, clock, path, stop, task, _root: root }
}

/// Waits until the shared state is this one; the tests' own deadline is the outer one.
async fn becomes(served: &Served, state: InterlockState) {
    let mut changes = served.shared.changes();
    let waiting = async {
        while served.shared.state() != state {
            changes.changed().await.expect("the state is alive");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in time");
}

#[tokio::test]
async fn a_hold_acts_at_once_and_a_release_ends_it() {
    // Goal: the three lines over a real socket. Method: one client, and the updater's view beside it.
    let served = serve();
    let mode = fs::metadata(&served.path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = Client::connect(&served.path).await.expect("connects");
    assert_eq!(client.status().await.expect("answers"), InterlockState::Unknown);
    for (claim, state) in [
        (Claim::InUse, InterlockState::InUse),
        (Claim::Standby, InterlockState::Standby),
        (Claim::Service, InterlockState::Service),
    ] {
        assert_eq!(client.hold(claim, Some(30)).await.expect("answers"), state);
        assert_eq!(served.shared.state(), state);
    }
    assert_eq!(client.release().await.expect("answers"), InterlockState::Unknown);
    served.stop.send(true).expect("heard");
    served.task.await.expect("joined");
    assert!(!served.path.exists(), "the socket is gone with the agent");
}

#[tokio::test]
async fn a_holder_that_dies_never_leaves_the_device_free() {
    // Goal: SIGKILL of the therapy application. Method: drop the connection while holding in use, let the lease run out.
    let served = serve();
    let mut therapy = Client::connect(&served.path).await.expect("connects");
    therapy.hold(Claim::InUse, Some(60)).await.expect("answers");
    let mut nurse = Client::connect(&served.path).await.expect("connects");
    nurse.hold(Claim::Standby, Some(3600)).await.expect("answers");
    drop(therapy);
    served.clock.0.store(59, Ordering::Relaxed);
    assert_eq!(nurse.status().await.expect("answers"), InterlockState::InUse);
    // The server notices the end of the connection when it reads it; wait for that, not for a while.
    let mut changes = served.shared.changes();
    served.clock.0.store(61, Ordering::Relaxed);
    while served.shared.state() == InterlockState::InUse {
        tokio::time::timeout(Duration::from_secs(60), changes.changed())
            .await
            .expect("in time")
            .expect("alive");
    }
    assert_eq!(served.shared.state(), InterlockState::Unknown);
    nurse.release().await.expect("answers");
    assert_eq!(served.shared.state(), InterlockState::Unknown);
}

#[tokio::test]
async fn a_person_releases_by_a_line_and_an_applications_own_release_is_none() {
    // Goal: `interlock release` at the device. Method: what each line leaves; the next use ends it.
    let served = serve();
    let mut client = Client::connect(&served.path).await.expect("connects");
    client.hold(Claim::Standby, None).await.expect("answers");
    client.release().await.expect("answers");
    assert!(!served.shared.silence().released, "an application that ends says nothing of a person");
    assert_eq!(client.free(60).await.expect("answers"), InterlockState::Unknown);
    assert!(served.shared.silence().released);
    client.hold(Claim::InUse, None).await.expect("answers");
    assert!(!served.shared.silence().released);
}

#[tokio::test]
async fn standby_ends_with_its_connection() {
    // Goal: freedom must be kept up. Method: drop the connection that said it.
    let served = serve();
    let mut client = Client::connect(&served.path).await.expect("connects");
    client.hold(Claim::Standby, None).await.expect("answers");
    drop(client);
    becomes(&served, InterlockState::Unknown).await;
}

#[tokio::test]
async fn lines_that_are_no_requests_are_answered_with_the_form_and_endless_ones_cut_off() {
    // Goal: hostile or mistaken peers. Method: raw lines.
    let served = serve();
    let stream = UnixStream::connect(&served.path).await.expect("connects");
    let mut client = Client { stream: BufReader::new(stream), path: served.path.clone() };
    for line in [
        "\n",
        "hold\n",
        "hold free\n",
        "hold in_use 0\n",
        "hold in_use 86401\n",
        "hold in_use x\n",
        "release now\n",
        "free 0\n",
        "free 86401\n",
        "free all day\n",
    ] {
        let answer = client.exchange(line).await.expect("answers");
        assert!(answer.starts_with("error say `hold"), "{line:?} {answer}");
    }
    let answer = client.exchange(&"x".repeat(500)).await.expect("answers");
    assert_eq!(answer, "error the line is too long");
    assert!(client.exchange("status\n").await.is_err(), "and the connection is closed");
    assert_eq!(served.shared.state(), InterlockState::Unknown);
}

#[tokio::test]
async fn a_dead_agents_socket_is_replaced_and_a_live_ones_is_not() {
    // Goal: restart after SIGKILL. Method: a socket file whose listener is gone but for a copy that a program has until it
    // runs; then two agents.
    let root = tempfile::tempdir().expect("a scratch folder");
    let path = root.path().join("interlock.sock");
    let copy = std::os::unix::net::UnixListener::bind(&path).expect("binds");
    let started = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(copy);
    });
    let _first = Socket::bind(&path).expect("replaces a dead one");
    started.join().expect("no panic");
    assert!(matches!(Socket::bind(&path), Err(InterlockError::Taken(_))));
}

#[test]
fn every_line_has_one_meaning() {
    // Goal: the protocol. Method: the whole table.
    assert_eq!(parse("hold in_use"), Ok(Request::Hold(Claim::InUse, limits::INTERLOCK_TTL_S)));
    assert_eq!(parse(" hold  standby 600 "), Ok(Request::Hold(Claim::Standby, 600)));
    assert_eq!(parse("release"), Ok(Request::Release));
    assert_eq!(parse("free"), Ok(Request::Free(limits::INTERLOCK_RELEASE_S)));
    assert_eq!(parse("free 60"), Ok(Request::Free(60)));
    assert_eq!(parse("status"), Ok(Request::Status));
    for claim in [Claim::InUse, Claim::Standby, Claim::Service] {
        assert_eq!(claim_of(claim_word(claim)), Some(claim));
    }
}
