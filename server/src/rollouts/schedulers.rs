//! A small world of several schedulers on one store, stepped by chance: paused anywhere, killed anywhere.
//!
//! Every scheduler is a future over a store that yields before each verb; a seeded driver polls one of them at a time,
//! moves the clock while others are paused in the middle of a step, and drops some for good. What the store has taken
//! is then read as an auditor would: each wave begins once, each device is given its go once, the rollout ends.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use cordon_proto::ids::DeviceId;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Recorded;
use cordon_server_core::change::{Index, Key, Kind};
use cordon_server_core::device::Device;
use cordon_server_core::rollout::{Policy, Progress, State};
use tokio::sync::watch;

use super::tests::{NOW, asking, by, desk, name, order, person, publish, pump, receipt, wave};
use super::{RolloutError, Rollouts, Turn, Wanted};
use crate::clock::Clock;
use crate::leases::Leases;
use crate::store::memory::Memory;
use crate::store::{
    Answer, Change, Commit, Committed, Cursor, Feed, LeaseAnswer, LeaseRequest, Page, Revision, Row, Store,
    StoreError,
};
use crate::testing::shared::hand_on;

/// Steps of the driver after which a world that has not ended is stuck.
const STEPS: usize = 60_000;
/// Devices of the rollout, in two waves.
const PUMPS: u8 = 6;

/// A store that takes its time: before every verb somebody else may have a turn.
struct Slow {
    store: Arc<Memory>,
    log: Arc<Mutex<Vec<Change>>>,
}

/// Lets somebody else run.
async fn pause() {
    let mut polls = [Poll::Pending, Poll::Ready(())].into_iter();
    poll_fn(|context| {
        context.waker().wake_by_ref();
        polls.next().unwrap_or(Poll::Ready(()))
    })
    .await;
}

impl Store for Slow {
    fn get(&self, key: Key) -> Answer<'_, Option<Row>> {
        Box::pin(async move {
            slowly().await;
            self.store.get(key).await
        })
    }

    fn scan(&self, index: Index, from: Cursor, limit: usize) -> Answer<'_, Page> {
        Box::pin(async move {
            slowly().await;
            self.store.scan(index, from, limit).await
        })
    }

    /// Paused before, with the decision in hand, and after, with the answer on its way.
    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        Box::pin(async move {
            slowly().await;
            let changes = commit.changes().to_vec();
            let committed = self.store.commit(commit).await?;
            self.log.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
            slowly().await;
            Ok(committed)
        })
    }

    fn changes(&self, after: Revision, limit: usize) -> Answer<'_, Feed> {
        Box::pin(async move {
            slowly().await;
            self.store.changes(after, limit).await
        })
    }

    fn lease(&self, request: LeaseRequest) -> Answer<'_, LeaseAnswer> {
        Box::pin(async move {
            slowly().await;
            self.store.lease(request).await
        })
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        self.store.latest()
    }

    fn is_shared(&self) -> bool {
        true
    }

    hand_on!();
}

async fn slowly() {
    for _ in 0..2 {
        pause().await;
    }
}

/// Chance that can be replayed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_shr(33) % bound
    }
}

/// Everything outside of the schedulers.
struct World {
    store: Arc<Memory>,
    log: Arc<Mutex<Vec<Change>>>,
    clock: Clock,
    pumps: Vec<Arc<Device>>,
    desk: super::tests::Desk,
}

impl World {
    async fn new() -> Self {
        let memory = Arc::new(Memory::new());
        let store: Arc<dyn Store> = memory.clone();
        let desk = desk(&store);
        let pumps: Vec<Device> =
            (1..=PUMPS).map(|number| asking(pump(number), if number <= 2 { "w1" } else { "w2" })).collect();
        let (first, second): (Vec<&Device>, Vec<&Device>) =
            (pumps[..2].iter().collect(), pumps[2..].iter().collect());
        publish(&desk, &[order("w1", &first), order("w2", &second)]).await;
        let rollouts = Rollouts::load(store, desk.repositories.clone(), NOW).await.expect("loads");
        let policy = Policy { soak_s: 3, in_flight: 2, silent_after_s: 86_400, ..Policy::default() };
        let waves = vec![wave("canary", "w1", &first), wave("rest", "w2", &second)];
        let wanted = Wanted::new(name("r-1"), "VP-3 4.2.2".to_owned(), waves, policy);
        rollouts.create(wanted, by(&person())).await.expect("creates");
        let pumps = pumps.into_iter().map(Arc::new).collect();
        Self { store: memory, log: Arc::default(), clock: Clock::held(NOW.into()), pumps, desk }
    }

    fn seat(&self) -> Arc<dyn Store> {
        Arc::new(Slow { store: self.store.clone(), log: self.log.clone() })
    }

    /// Devices that were given the go have done their work.
    async fn ended(&self) -> Vec<Arc<Device>> {
        let mut ended = Vec::new();
        for pump in &self.pumps {
            let key = Key::Progress { rollout: name("r-1"), device: pump.id };
            let row = self.store.get(key).await.expect("read");
            let progress: Option<Progress> =
                row.map(|row| serde_json::from_slice(&row.body).expect("progress"));
            if progress.is_some_and(|progress| progress.permitted.is_some()) {
                ended.push(pump.clone());
            }
        }
        ended
    }

    /// One scheduler's life: it reads the book, then follows and ticks until it is killed.
    async fn schedule(self: Arc<Self>) {
        let store = self.seat();
        let leases = Leases::new(store.clone(), self.clock.clone(), "hospital");
        let mut after = store.health().await.expect("healthy").revision;
        let rollouts =
            Rollouts::load(store.clone(), self.desk.repositories.clone(), NOW).await.expect("loads");
        let look = |id: DeviceId| self.pumps.iter().find(|pump| pump.id == id).cloned();
        loop {
            after = follow(&*store, &rollouts, after).await;
            let Some(lease) = leases.hold("rollouts").await.expect("asked") else { continue };
            let turn = Turn { now: self.clock.now(), lease: Some(&lease) };
            for pump in self.ended().await {
                let order =
                    if pump.id == self.pumps[0].id || pump.id == self.pumps[1].id { "w1" } else { "w2" };
                let counted = rollouts.count_receipt(&receipt(&pump, order, Outcome::Confirmed), turn).await;
                lost(&leases, counted);
            }
            lost(&leases, rollouts.tick(turn, look).await);
        }
    }
}

/// The only failure there may be is that another scheduler has the job now.
fn lost<T>(leases: &Leases, outcome: Result<T, RolloutError>) {
    match outcome {
        Ok(_) => {}
        Err(RolloutError::Store(StoreError::Conflict(Key::Lease(_)))) => leases.lost("rollouts"),
        Err(error) => panic!("{error}"),
    }
}

async fn follow(store: &dyn Store, rollouts: &Rollouts, after: Revision) -> Revision {
    let Feed::Commits(commits) = store.changes(after, 500).await.expect("read") else { panic!("gone") };
    for touched in commits.iter().flat_map(|commit| &commit.keys) {
        if let Some(row) = store.get(touched.key.clone()).await.expect("read") {
            rollouts.follow(&Change::Put(touched.key.clone(), row.body), row.revision);
        }
    }
    commits.last().map_or(after, |commit| commit.revision)
}

type Life = Pin<Box<dyn Future<Output = ()>>>;

/// Polls one at a time, until the rollout has ended. Says how many schedulers were killed.
fn run(world: &Arc<World>, seed: u64) -> usize {
    let mut dice = Dice(seed);
    // The runtime's budget is for tasks that go back to it; this driver never does.
    let life = || -> Life { Box::pin(tokio::task::unconstrained(World::schedule(world.clone()))) };
    let mut lives: [Life; 3] = std::array::from_fn(|_| life());
    let mut asleep = [0_u64; 3];
    let mut killed = 0;
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..STEPS {
        let chosen = usize::try_from(dice.below(3)).expect("below three");
        match dice.below(200) {
            0 => {
                lives[chosen] = life();
                killed += 1;
            }
            // Paused with whatever is in its hand, for longer than a lease lives.
            1 => asleep[chosen] = 150,
            _ => {}
        }
        world.clock.hold_at(world.clock.now_ms().plus(i64::try_from(dice.below(60)).expect("small")));
        asleep[chosen] = asleep[chosen].saturating_sub(1);
        if asleep[chosen] > 0 {
            continue;
        }
        assert!(lives[chosen].as_mut().poll(&mut context).is_pending(), "a scheduler ends by being killed");
        if has_finished(world) {
            return killed;
        }
    }
    panic!("seed {seed}: the rollout did not end in {STEPS} steps");
}

fn has_finished(world: &World) -> bool {
    let log = world.log.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter().rev().any(|change| match change {
        Change::Put(Key::Rollout(_), body) => {
            let rollout: super::Rollout = serde_json::from_slice(body).expect("a rollout");
            matches!(rollout.state, State::Finished { .. })
        }
        _ => false,
    })
}

/// What an auditor finds: acts of rollouts by name, and the times of each device's go.
async fn found(world: &World) -> (BTreeMap<String, usize>, BTreeMap<DeviceId, BTreeSet<Timestamp>>) {
    let page = world.store.scan(Index::All(Kind::Audit), Cursor::First, 500).await.expect("read");
    let mut acts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, row) in page.rows {
        let entry = Recorded::from_bytes(&row.body).expect("an entry").entry;
        let after = entry.after.map(|after| format!("{after:?}")).unwrap_or_default();
        *acts.entry(format!("{} {after}", entry.action)).or_default() += 1;
    }
    acts.retain(|act, _| act.starts_with("rollout."));
    let mut given: BTreeMap<DeviceId, BTreeSet<Timestamp>> = BTreeMap::new();
    for change in world.log.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Change::Put(Key::Progress { device, .. }, body) = change {
            let progress: Progress = serde_json::from_slice(body).expect("progress");
            given.entry(*device).or_default().extend(progress.permitted);
        }
    }
    (acts, given)
}

#[tokio::test]
async fn three_schedulers_that_are_paused_and_killed_do_nothing_twice_and_finish() {
    // Goal: exactly once, whoever does it. Method: a hundred seeds of a world of three schedulers; read the journal.
    let mut killed = 0;
    for seed in 1..=100 {
        let world = Arc::new(World::new().await);
        killed += run(&world, seed);
        let (acts, given) = found(&world).await;
        // Created, two waves begun, two settled, finished: each once.
        assert_eq!(acts.len(), 6, "seed {seed}: {acts:?}");
        assert!(acts.values().all(|count| *count == 1), "seed {seed}: {acts:?}");
        assert_eq!(given.len(), usize::from(PUMPS), "seed {seed}");
        assert!(given.values().all(|times| times.len() == 1), "seed {seed}: {given:?}");
    }
    assert!(killed > 50, "the worlds were too kind: {killed} killed");
}

#[tokio::test]
async fn a_server_that_is_behind_gives_no_go_a_second_time() {
    // Goal: the expectations stand without any lease. Method: two books; one begins, gives the go and counts, the
    // other follows nothing and acts on what it knew.
    let world = World::new().await;
    let look = |id: DeviceId| world.pumps.iter().find(|pump| pump.id == id).cloned();
    let book =
        async || Rollouts::load(world.seat(), world.desk.repositories.clone(), NOW).await.expect("loads");
    let turn = |seconds| Turn { now: NOW.plus_seconds(seconds), lease: None };
    let first = book().await;
    first.tick(turn(0), look).await.expect("begins");
    let second = book().await;
    first.tick(turn(1), look).await.expect("gives the go");
    let late = second.tick(turn(2), look).await.expect("a conflict is loaded again");
    assert!(late.devices.is_empty(), "{late:?}");
    let ended = receipt(&world.pumps[0], "w1", Outcome::Confirmed);
    first.count_receipt(&ended, turn(3)).await.expect("counted");
    let third = second.tick(turn(4), look).await.expect("goes on with what it loaded");
    assert!(third.devices.is_empty(), "{third:?}");
    second.count_receipt(&ended, turn(5)).await.expect("known");
    let (_, given) = found(&world).await;
    assert!(given.values().all(|times| *times == BTreeSet::from([NOW.plus_seconds(1)])), "{given:?}");
    let known = second.look(|book| book.progress[&name("r-1")][&world.pumps[0].id].clone());
    assert_eq!(known.ended, Some(NOW.plus_seconds(3)), "the first end counts");
}

#[tokio::test]
async fn a_scheduler_that_wakes_without_its_lease_can_commit_nothing() {
    // Goal: fencing. Method: take the lease, be overtaken, then tick with the old one in hand.
    let world = World::new().await;
    let (one, two) = (world.seat(), world.seat());
    let look = |id: DeviceId| world.pumps.iter().find(|pump| pump.id == id).cloned();
    let old = Leases::new(one.clone(), world.clock.clone(), "one").hold("rollouts").await.expect("asked");
    let rollouts = Rollouts::load(one, world.desk.repositories.clone(), NOW).await.expect("loads");
    world.clock.hold_at(world.clock.now_ms().plus(6000));
    let new = Leases::new(two, world.clock.clone(), "two").hold("rollouts").await.expect("asked");
    assert!(new.is_some(), "the first one's lease has ended");
    let turn = Turn { now: world.clock.now(), lease: old.as_ref() };
    let outcome = rollouts.tick(turn, look).await;
    assert!(matches!(outcome, Err(RolloutError::Store(StoreError::Conflict(Key::Lease(_))))), "{outcome:?}");
    assert!(world.log.lock().expect("nobody panicked").is_empty(), "nothing was committed");
    // Whoever has the turn now gives the go; a receipt for it is not the old one's to count either.
    let theirs = Turn { lease: None, ..turn };
    for _ in 0..2 {
        rollouts.tick(theirs, look).await.expect("begins and gives the go");
    }
    let counted = rollouts.count_receipt(&receipt(&world.pumps[0], "w1", Outcome::Confirmed), turn).await;
    assert!(matches!(counted, Err(RolloutError::Store(StoreError::Conflict(Key::Lease(_))))));
}
