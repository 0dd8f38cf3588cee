//! A server of the wards: its folder, its store, and the jobs that it does when it is told to.
//!
//! It is put together as `cordon-server serve` does it, and its jobs are the server's own; only nobody listens, and no
//! timer runs. A seat that is dropped is a server that was killed: what it held in memory is gone. Read next:
//! `cordon_server::serve::assemble`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use cordon_proto::time::Timestamp;
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::http::operator::Operator;
use cordon_server::store::open::{self, Terms};
use cordon_server::store::{Revision, Store};
use cordon_server::{follow, init, jobs, serve};
use cordon_server_core::rollout::Rollout;
use tokio::sync::watch;
use tokio::time::sleep;

use super::dying::Dying;
use super::{ROLLOUT, name};

/// The first second of the tests.
pub const START: Timestamp = Timestamp(1_795_251_906);
/// Seconds after which what devices said is written down, as the server's own job does.
const WRITE_DOWN_S: i64 = 30;
/// Seconds after which signatures are looked at.
const RENEW_S: i64 = 3600;
/// Looks at a store that its last server may still hold, one every [`LOOK`].
const LOOKS: u32 = 3000;
const LOOK: Duration = Duration::from_millis(10);

/// Where servers live: a folder with keys and settings, and the clock that they share.
pub struct Place {
    folder: tempfile::TempDir,
    store: String,
    /// The servers' clock.
    pub clock: Clock,
    seats: AtomicU64,
}

/// One server.
pub struct Seat {
    /// Application, rollouts, repositories.
    pub operator: Operator,
    /// Which of all that ever ran.
    pub number: u64,
    /// What each turn of the rollouts' job has cost, if somebody measures it.
    pub ticks: Vec<Duration>,
    /// Whether they are measured.
    pub measured: bool,
    store: Arc<Dying>,
    followed: Option<Revision>,
    written: Timestamp,
    renewed: Timestamp,
    _drain: watch::Sender<bool>,
}

impl Place {
    /// Lays a folder with the throw-away keys, for servers over the store of this setting.
    pub async fn lay(store: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("cordon-wards-").tempdir()?;
        let options = init::Options {
            folder: folder.path().to_owned(),
            admin_token_file: None,
            host: "localhost".to_owned(),
            example_keys: true,
            store: "memory".to_owned(),
            ca_key: None,
        };
        init::run(&options, START).await?;
        let clock = Clock::held(START.into());
        Ok(Self { folder, store: store.to_owned(), clock, seats: AtomicU64::new(0) })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The director's first root, as every device has it.
    pub fn director_root(&self) -> anyhow::Result<Vec<u8>> {
        Ok(std::fs::read(self.path().join(init::EXAMPLE_DIRECTOR).join("1.root.json"))?)
    }

    /// Opens the store, which the server before may still be letting go. Its disk need not be waited for: here servers
    /// are killed, and the machine goes on.
    pub async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let terms = Terms { unsynced: true, ..Terms::default() };
        let mut opened = open::open(&self.store, self.path(), terms).await;
        for _ in 0..LOOKS {
            if opened.is_ok() {
                break;
            }
            sleep(LOOK).await;
            opened = open::open(&self.store, self.path(), terms).await;
        }
        Ok(opened?)
    }

    /// Starts a server over a store.
    pub async fn seat(&self, store: Arc<Dying>) -> anyhow::Result<Seat> {
        let number = self.seats.fetch_add(1, Ordering::Relaxed);
        let sets = [format!("store={}", toml::Value::from(self.store.as_str()))];
        let config = Config::load(&self.path().join(init::CONFIG), &sets)?;
        let (operator, drain) = serve::assemble(store.clone(), config, self.clock.clone()).await?;
        let mut seat = Seat {
            operator,
            number,
            ticks: Vec::new(),
            measured: false,
            store,
            followed: None,
            written: self.clock.now(),
            renewed: self.clock.now(),
            _drain: drain,
        };
        seat.follow().await?;
        Ok(seat)
    }

    /// Starts a server over its own store that nobody kills.
    pub async fn open(&self) -> anyhow::Result<Seat> {
        let store = self.store().await?;
        self.seat(Arc::new(Dying::never(store))).await
    }
}

impl Seat {
    /// Whether it was killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.store.is_dead()
    }

    /// The rollout as this server has it.
    #[must_use]
    pub fn rollout(&self) -> Option<Rollout> {
        self.operator.rollouts.look(|book| book.rollouts.get(&name(ROLLOUT)).cloned())
    }

    /// Learns what other servers did.
    async fn follow(&mut self) -> anyhow::Result<()> {
        if self.operator.app.following.is_shared() {
            let followed = follow::catch_up(&self.operator, self.followed).await;
            self.followed = Some(followed.context("what other servers did cannot be followed")?);
        }
        Ok(())
    }

    /// Does the jobs of one turn, as far as they are due.
    pub async fn work(&mut self) -> anyhow::Result<()> {
        let alive = self.jobs().await;
        if self.is_dead() { Ok(()) } else { alive }
    }

    async fn jobs(&mut self) -> anyhow::Result<()> {
        self.follow().await?;
        let app = self.operator.app.clone();
        let now = app.clock.now();
        if app.following.is_shared() {
            app.write_urgent().await?;
        }
        if now.seconds_since(self.written).abs() >= WRITE_DOWN_S {
            app.write_down().await?;
            self.written = now;
        }
        if now.seconds_since(self.renewed).abs() >= RENEW_S {
            jobs::renew(self.operator.clone()).await;
            self.renewed = now;
        }
        self.follow().await?;
        let before = self.measured.then(spent).transpose()?;
        jobs::tick(self.operator.clone()).await;
        if let Some(before) = before {
            self.ticks.push(spent()?.saturating_sub(before));
        }
        Ok(())
    }
}

/// CPU time that the threads of this process have had, to the nanosecond: the kernel brings a thread's own account up to
/// date when it gives way.
fn spent() -> anyhow::Result<Duration> {
    std::thread::yield_now();
    let mut nanoseconds = 0_u64;
    for thread in std::fs::read_dir("/proc/self/task")? {
        // One that ended meanwhile took its account along.
        let Ok(said) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += said.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}
