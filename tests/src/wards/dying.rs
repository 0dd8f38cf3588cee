//! A store whose server is killed: the commit is lost or made, no answer comes, and nothing is ever asked again.
//!
//! A kill takes all that the server held in memory, so whoever drives it drops the seat and starts another one over the
//! same disk. What was really committed is written into an account that outlives every server. Read next: [`Killer`].

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cordon_proto::ids::DeviceId;
use cordon_proto::time::{Millis, Timestamp};
use cordon_server::store::{
    Answer, Appended, Backup, Change, Chunk, Commit, Committed, Cursor, Delivery, EventPage, EventQuery,
    Expired, Feed, Health, Index, Key, LeaseAnswer, LeaseRequest, Page, Revision, Row, Set, Sink, Store,
    StoreError,
};
use cordon_server_core::rollout::{GoTold, Progress};
use tokio::sync::watch;

/// What becomes of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is made and answered.
    Answered,
    /// The server dies before it is made.
    Before,
    /// It is made, and the server dies before the answer.
    After,
}

/// Who kills, and the account of what was committed.
#[derive(Debug, Default)]
pub struct Killer {
    state: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    armed: bool,
    commits: u64,
    before: u64,
    after: u64,
    /// The commit that was lost is tried anew by the next server, and let through.
    spared: bool,
    gos: BTreeMap<DeviceId, Vec<Timestamp>>,
}

impl Killer {
    /// From now on every commit is died at, alternately before and after it is made.
    pub fn arm(&self) {
        self.lock().armed = true;
    }

    /// Commits that were made, and deaths before and after one.
    #[must_use]
    pub fn account(&self) -> (u64, u64, u64) {
        let state = self.lock();
        (state.commits, state.before, state.after)
    }

    /// When each device was given a go that it was told of, as it was written, each once.
    #[must_use]
    pub fn gos(&self) -> BTreeMap<DeviceId, Vec<Timestamp>> {
        self.lock().gos.clone()
    }

    fn fate(&self) -> Fate {
        let mut state = self.lock();
        if !state.armed || std::mem::take(&mut state.spared) {
            return Fate::Answered;
        }
        if state.before > state.after {
            state.after += 1;
            return Fate::After;
        }
        state.before += 1;
        state.spared = true;
        Fate::Before
    }

    fn note(&self, changes: &[Change]) {
        let mut state = self.lock();
        state.commits += 1;
        for change in changes {
            let Change::Put(Key::Progress { device, .. }, body) = change else { continue };
            let Ok(progress) = serde_json::from_slice::<Progress>(body) else { continue };
            let given = state.gos.entry(*device).or_default();
            // A go that its device never came for was none to it: the place went to another, and came back later.
            let told = |told: GoTold| told != GoTold::NotYet;
            let forward = progress.permitted.filter(|_| told(progress.told));
            let back = progress.back.as_ref().and_then(|back| back.permitted.filter(|_| told(back.told)));
            for at in [forward, back].into_iter().flatten() {
                if !given.contains(&at) {
                    given.push(at);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store as one server has it.
pub struct Dying {
    store: Arc<dyn Store>,
    killer: Arc<Killer>,
    dead: AtomicBool,
    shared: bool,
}

impl Dying {
    /// Killed by this killer.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, killer: Arc<Killer>) -> Self {
        let shared = store.is_shared();
        Self { store, killer, dead: AtomicBool::new(false), shared }
    }

    /// Killed by nobody.
    #[must_use]
    pub fn never(store: Arc<dyn Store>) -> Self {
        Self::new(store, Arc::default())
    }

    /// One of several servers on this store, whatever its engine.
    #[must_use]
    pub fn shared(store: Arc<dyn Store>, killer: Arc<Killer>) -> Self {
        Self { shared: true, ..Self::new(store, killer) }
    }

    /// Whether its server is dead.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.is_dead() { Err(killed()) } else { Ok(()) }
    }

    async fn decided(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.alive()?;
        let changes = commit.changes().to_vec();
        let fate = self.killer.fate();
        if fate == Fate::Before {
            self.dead.store(true, Ordering::SeqCst);
            return Err(killed());
        }
        let committed = self.store.commit(commit).await;
        if committed.is_ok() {
            self.killer.note(&changes);
        }
        if fate == Fate::After {
            self.dead.store(true, Ordering::SeqCst);
            return Err(killed());
        }
        committed
    }
}

fn killed() -> StoreError {
    let source = Arc::new(io::Error::other("the server was killed by the test"));
    StoreError::Unavailable { doing: "answer".to_owned(), source }
}

/// A verb that a dead server does not ask.
macro_rules! while_alive {
    ($($verb:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $verb(&self, $($argument: $kind),*) -> Answer<'_, $answer> {
            Box::pin(async move {
                self.alive()?;
                self.store.$verb($($argument),*).await
            })
        })*
    };
}

impl Store for Dying {
    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        Box::pin(self.decided(commit))
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        self.store.latest()
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    while_alive! {
        get(key: Key) -> Option<Row>;
        scan(index: Index, from: Cursor, limit: usize) -> Page;
        append(delivery: Delivery) -> Appended;
        events(query: EventQuery) -> EventPage;
        expire(before: Millis) -> Expired;
        changes(after: Revision, limit: usize) -> Feed;
        lease(request: LeaseRequest) -> LeaseAnswer;
        load(set: Set, generation: u64, chunk: Chunk) -> ();
        drop_generation(set: Set, generation: u64) -> u64;
        backup(to: PathBuf) -> Backup;
        backup_into(into: Sink) -> Backup;
        restore(from: PathBuf) -> Backup;
        health() -> Health;
    }
}
