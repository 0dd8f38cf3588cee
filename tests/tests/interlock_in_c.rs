//! The interlock as a maker's application meets it: the C header, compiled strictly, and the reference application
//! against the agent's own socket.
//!
//! What each word means is decided in `cordon_agent_core::interlock` and tested there; here it is a foreign process that
//! holds, is killed, comes back, and outlives the agent. Read next: `agent/interlock/cordon_interlock.h`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cordon_agent::clock::SystemClock;
use cordon_agent::interlock::{Shared, Socket};
use cordon_proto::checkin::InterlockState;
use cordon_sim::pump::{Pump, built};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Seconds of the application's lease, where it matters that none lapses on a busy machine.
const LEASE_S: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(60);

fn start(pump: &Path, socket: &Path, lease_s: u64) -> Pump {
    Pump::start(pump, socket, lease_s).expect("starts")
}

fn says(pump: &mut Pump) -> String {
    pump.says().expect("is read")
}

fn told(pump: &mut Pump, command: &str) -> String {
    pump.told(command).expect("is told")
}

fn application(folder: &Path) -> Option<PathBuf> {
    built(folder).expect("compiles without a warning")
}

/// The agent's side of the socket.
struct Agent {
    shared: Shared,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Agent {
    fn start(path: &Path) -> Self {
        let shared = Shared::new(Arc::new(SystemClock::new()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Socket::bind(path).expect("binds").serve(shared.clone(), stopped));
        Self { shared, stop, task }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.expect("ends");
    }

    /// Waits until the device is said to be so; every state on the way must be among `on_the_way`.
    async fn becomes(&self, state: InterlockState, on_the_way: &[InterlockState]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.shared.state();
            if now == state {
                return;
            }
            assert!(on_the_way.contains(&now), "{now:?} on the way to {state:?}");
            assert!(Instant::now() < until, "still {now:?}, not {state:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_therapy_application_leaves_the_device_unknown_and_never_free() {
    // Goal: the maker's side of the interlock, in C. Method: hold, SIGKILL while in use, watch every state until unknown;
    // the restarted application takes its word back; whoever dies in standby leaves nothing free either.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(pump) = application(folder.path()) else { return };
    let socket = folder.path().join("interlock.sock");
    let agent = Agent::start(&socket);
    let mut first = start(&pump, &socket, LEASE_S);
    assert_eq!(says(&mut first), "standby");
    assert_eq!(told(&mut first, "start"), "in_use");
    tokio::time::sleep(Duration::from_secs(LEASE_S + 1)).await;
    assert_eq!(agent.shared.state(), InterlockState::InUse, "renewed by itself");
    let died = Instant::now();
    first.killed().expect("is killed");
    agent.becomes(InterlockState::Unknown, &[InterlockState::InUse]).await;
    println!("unknown {:?} after it was killed, with a lease of {LEASE_S} s", died.elapsed());
    assert!(died.elapsed() < Duration::from_secs(5 * LEASE_S), "{:?}", died.elapsed());
    let mut second = start(&pump, &socket, LEASE_S);
    assert_eq!(says(&mut second), "standby", "it is the same user's word again");
    assert_eq!(told(&mut second, "service"), "service");
    assert_eq!(told(&mut second, "stop"), "standby");
    second.killed().expect("is killed");
    agent.becomes(InterlockState::Unknown, &[InterlockState::Standby]).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_outlives_the_agent_and_speaks_again_by_itself() {
    // Goal: therapy never depends on the agent. Method: no agent at first; one comes, goes, and another comes.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(pump) = application(folder.path()) else { return };
    let socket = folder.path().join("interlock.sock");
    let mut application = start(&pump, &socket, 1);
    assert_eq!(says(&mut application), "no agent: No such file or directory");
    assert!(told(&mut application, "start").starts_with("no agent"), "the therapy begins all the same");
    for _ in 0..2 {
        let agent = Agent::start(&socket);
        agent.becomes(InterlockState::InUse, &[InterlockState::Unknown]).await;
        agent.stop().await;
    }
    let agent = Agent::start(&socket);
    agent.becomes(InterlockState::InUse, &[InterlockState::Unknown]).await;
    assert_eq!(told(&mut application, "stop"), "standby");
    let (last, well) = application.quits().expect("ends");
    assert_eq!(last, "unknown", "nobody says anything any more");
    assert!(well);
    agent.stop().await;
}
