//! The steps that the server takes by itself: counting receipts, and plan, check, commit for every running rollout.
//!
//! Of several servers one does this at a time, by a lease; and because a server may be paused with a lease in its
//! hand, every commit expects the lease, the rollout and the progress it was decided over. So no step happens twice:
//! who comes late gets a conflict, loads what the others did, and plans again at the next tick. Read next: `leases`.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::limits;
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::lease::Lease;
use cordon_server_core::change::{Commit, Draft, Key};
use cordon_server_core::device::Device;
use cordon_server_core::rollout::{
    Act, Fleet, IN_FLIGHT_TOTAL, Progress, Rollout, RolloutKind, Sight, apply, apply_progress, passed, plan,
};

use super::{AsSeen, RolloutError, Rollouts, body, entry};
use crate::fleet::{Fleet as FleetView, ReceiptView};
use crate::store::{Expected, StoreError};

/// Devices that one commit gives the go: each is an expectation too, beside the rollout and the lease.
const PERMITS: usize = 400;
const _: () = assert!(PERMITS + 2 <= limits::COMMIT_CHANGES, "a commit of permits fits");
/// How often a receipt is counted anew when somebody else was faster.
const TRIES: u32 = 8;
/// Seconds between two looks at the rollouts that have ended.
const LOOK_BACK_S: i64 = 60;

/// One turn at the work: when, and by which lease. Without one nobody else may be at it.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The time.
    pub now: Timestamp,
    /// The lease that every step of this turn depends on.
    pub lease: Option<&'a Lease>,
}

/// What one tick did, for those who wake devices and tell people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Devices that would now be told something new.
    pub devices: BTreeSet<DeviceId>,
    /// Rollouts that changed.
    pub rollouts: BTreeSet<Name>,
}

/// A plan, with everything that it was made over.
struct Planned {
    rollout: Rollout,
    expected: Expected,
    acts: Vec<Act>,
    given: Rows,
}

/// What is to be remembered of devices, and over what that was decided.
type Rows = Vec<(DeviceId, Progress, Expected)>;

impl Turn<'_> {
    pub(super) fn draft(&self, actor: Actor) -> Draft {
        let draft = Commit::draft(self.now, actor);
        match self.lease.map(Lease::guard) {
            Some((key, expected)) => draft.expect(key, expected),
            None => draft,
        }
    }
}

impl Rollouts {
    /// One tick of all rollouts: plan, check, commit. `device` looks a device up in the fleet. A conflict on the lease
    /// is an error; any other means that somebody was faster, and is resolved by loading what they did.
    pub async fn tick<K: AsSeen>(
        &self,
        turn: Turn<'_>,
        device: impl Fn(DeviceId) -> Option<Arc<K>> + Send + Sync,
    ) -> Result<Ticked, RolloutError> {
        self.tick_with(turn, || turn.now, (device, |_: &Rollout| Vec::new())).await
    }

    /// The same where enrolled devices may have come to fit a wave that takes such in: `strangers` finds those that
    /// stand in no wave of a rollout. It is asked only for rollouts that have such a wave.
    ///
    /// Each rollout is planned by what `clock` says once nobody else gives gos: by an earlier time a go that a check-in was
    /// given meanwhile would be one of a time to come, and taken back from a device that may be rebooting on it.
    pub async fn tick_with<K: AsSeen>(
        &self,
        turn: Turn<'_>,
        clock: impl Fn() -> Timestamp + Send + Sync,
        (device, strangers): (
            impl Fn(DeviceId) -> Option<Arc<K>> + Send + Sync,
            impl Fn(&Rollout) -> Vec<Arc<Device>> + Send + Sync,
        ),
    ) -> Result<Ticked, RolloutError> {
        let mut ticked = Ticked::default();
        // One that stands still gives nothing, but places that nobody needs are taken back.
        let at_work: Vec<Name> = self.look(|book| {
            let at_work = book.rollouts.values().filter(|rollout| rollout.is_open());
            at_work.map(|rollout| rollout.id.clone()).collect()
        });
        for id in at_work {
            // Who is given the go inside a check-in meanwhile takes one of the same places.
            let _giving = self.giving.turn.lock().await;
            let turn = Turn { now: clock(), ..turn };
            self.giving.full().remove(&id);
            let Some(planned) = self.planned(&id, turn.now, (&device, &strangers)) else { continue };
            match self.execute(&planned, turn, &mut ticked).await {
                Err(RolloutError::Store(StoreError::Conflict(Key::Lease(job)))) => {
                    return Err(StoreError::Conflict(Key::Lease(job)).into());
                }
                Err(RolloutError::Store(StoreError::Conflict(key))) => {
                    tracing::debug!(rollout = %id, %key, "somebody was faster; planned again at the next tick");
                    self.reload(&planned).await?;
                }
                outcome => outcome?,
            }
        }
        Ok(ticked)
    }

    /// What to do now about one rollout, if anything, and if the plan passes its own check.
    fn planned<K: AsSeen>(
        &self,
        id: &Name,
        now: Timestamp,
        (device, strangers): (
            &(impl Fn(DeviceId) -> Option<Arc<K>> + Send + Sync),
            &(impl Fn(&Rollout) -> Vec<Arc<Device>> + Send + Sync),
        ),
    ) -> Option<Planned> {
        self.read(|shelf| {
            let rollout = shelf.book.rollouts.get(id)?;
            // One that stands still can only end gos: nobody else's facts are asked.
            let mut fleet: Fleet = if rollout.moves() {
                shelf.fleet_of(rollout, device, now)
            } else {
                shelf.fleet_with_gos(rollout, device, now)
            };
            if fleet.is_empty() && !rollout.moves() {
                return None;
            }
            if rollout.runs() && rollout.waves.iter().any(|wave| wave.joins && wave.started.is_some()) {
                let others = strangers(rollout).into_iter();
                fleet.extend(others.map(|other| (other.id, shelf.book.facts(rollout, &other, now))));
            }
            let beside = if rollout.moves() { shelf.in_flight_beside(id, now) } else { IN_FLIGHT_TOTAL };
            let room = IN_FLIGHT_TOTAL.saturating_sub(beside);
            let orders = shelf.book.orders_of(rollout);
            let sight = Sight { fleet: &fleet, orders: &orders, room, now };
            let (acts, violation) = passed(rollout, &sight, plan(rollout, &sight));
            if let Some(violation) = violation {
                tracing::error!(rollout = %id, ?violation, "a plan was refused by its own check; only its stop is done");
            }
            let given = acts.iter().filter_map(|act| {
                let device = device_of(act)?;
                let key = Key::Progress { rollout: id.clone(), device };
                let progress = apply_progress(&shelf.progress(id, device), act, now)?;
                Some((device, progress, shelf.expected(&key)))
            });
            let given = given.collect();
            let expected = shelf.expected(&Key::Rollout(id.clone()));
            (!acts.is_empty()).then(|| Planned { rollout: rollout.clone(), expected, acts, given })
        })
    }

    async fn execute(
        &self,
        planned: &Planned,
        turn: Turn<'_>,
        ticked: &mut Ticked,
    ) -> Result<(), RolloutError> {
        let Planned { rollout, expected, acts, given } = planned;
        let key = Key::Rollout(rollout.id.clone());
        for some in given.chunks(PERMITS) {
            let mut draft = turn.draft(actor()).expect(key.clone(), *expected);
            for (device, progress, expected) in some {
                draft = put_progress(draft, &rollout.id, (*device, progress, *expected));
            }
            self.commit(draft).await?;
            ticked.devices.extend(some.iter().map(|(device, _, _)| *device));
        }
        let mut moved = rollout.clone();
        let mut draft = turn.draft(actor()).expect(key.clone(), *expected);
        for act in acts {
            let Some((action, words)) = told(rollout, act) else { continue };
            draft = draft.audit(entry(action, &format!("rollout:{}", rollout.id), None, &words));
            apply(&mut moved, act, turn.now);
        }
        if moved == *rollout {
            return Ok(());
        }
        self.commit(draft.put(key, body(&moved))).await?;
        ticked.rollouts.insert(rollout.id.clone());
        for act in acts {
            match act {
                Act::Begin { wave } => {
                    ticked
                        .devices
                        .extend(rollout.waves.get(*wave).into_iter().flat_map(|wave| &wave.devices));
                }
                Act::Join { device, .. } => {
                    ticked.devices.insert(*device);
                }
                // Whoever has the go in hand must hear at once that it holds no more.
                Act::Halt { .. } | Act::Stop { .. } => {
                    let begun = moved.waves.iter().filter(|wave| wave.started.is_some());
                    ticked.devices.extend(begun.flat_map(|wave| &wave.devices));
                }
                Act::Permit { .. }
                | Act::Back { .. }
                | Act::TakeBack { .. }
                | Act::Silent { .. }
                | Act::Settle { .. }
                | Act::Finish
                | Act::FinishReturn => {}
            }
        }
        Ok(())
    }

    /// Loads what a plan was made over, after somebody else changed it.
    async fn reload(&self, planned: &Planned) -> Result<(), RolloutError> {
        let rollout = &planned.rollout.id;
        self.load_one(Key::Rollout(rollout.clone())).await?;
        for (device, _, _) in &planned.given {
            self.load_one(Key::Progress { rollout: rollout.clone(), device: *device }).await?;
        }
        Ok(())
    }

    /// Counts a verified receipt that has just come, in the newest rollout in which it ends something. Its bytes and its
    /// audit entry are another commit's.
    pub async fn count_receipt(
        &self,
        receipt: &ReceiptBody,
        turn: Turn<'_>,
    ) -> Result<Option<Name>, RolloutError> {
        let Some(rollout) = self.rollout_of(receipt, turn.now) else { return Ok(None) };
        self.count(&rollout, (receipt, turn.now), turn).await?;
        Ok(Some(rollout))
    }

    async fn count(
        &self,
        rollout: &Name,
        (receipt, received): (&ReceiptBody, Timestamp),
        turn: Turn<'_>,
    ) -> Result<(), RolloutError> {
        let key = Key::Progress { rollout: rollout.clone(), device: receipt.device };
        let times = (received, turn.now);
        for _ in 0..TRIES {
            let (ended, expected) =
                self.read(|shelf| (shelf.counted(rollout, receipt, times), shelf.expected(&key)));
            let Some(ended) = ended else { return Ok(()) };
            let draft = turn.draft(Actor::Device(receipt.device));
            match self.commit(put_progress(draft, rollout, (receipt.device, &ended, expected))).await {
                Err(RolloutError::Store(StoreError::Conflict(Key::Progress { .. }))) => {
                    self.load_one(key.clone()).await?;
                }
                outcome => return outcome.map(|_| ()),
            }
        }
        Err(StoreError::Conflict(key).into())
    }

    /// Counts receipts that the fleet holds and no rollout has counted yet.
    pub async fn count_receipts(&self, fleet: &FleetView, turn: Turn<'_>) -> Result<Ticked, RolloutError> {
        let mut ticked = Ticked::default();
        let all = self.looks_back(turn.now);
        for (rollout, receipt) in self.uncounted(fleet, all, turn.now) {
            self.count(&rollout, (&receipt.body, receipt.received), turn).await?;
            ticked.devices.insert(receipt.body.device);
            ticked.rollouts.insert(rollout);
        }
        self.count_contents(fleet, (all, turn), &mut ticked).await?;
        Ok(ticked)
    }

    /// Writes down what became of contents, by the devices' own words, and whose place is taken back while nothing is
    /// offered. Who was faster is loaded, and the rest is done at the next tick.
    async fn count_contents(
        &self,
        fleet: &FleetView,
        (all, turn): (bool, Turn<'_>),
        ticked: &mut Ticked,
    ) -> Result<(), RolloutError> {
        for (rollout, news) in self.news_of_contents(fleet, all, turn.now) {
            for some in news.chunks(PERMITS) {
                let mut draft = turn.draft(actor());
                for (device, progress, expected) in some {
                    draft = put_progress(draft, &rollout, (*device, progress, *expected));
                }
                match self.commit(draft).await {
                    Err(RolloutError::Store(StoreError::Conflict(key @ Key::Progress { .. }))) => {
                        self.load_one(key).await?;
                    }
                    outcome => {
                        outcome?;
                        ticked.rollouts.insert(rollout.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// What is new of the devices of each rollout of content; of those that have ended only if they are asked for.
    fn news_of_contents(&self, fleet: &FleetView, all: bool, now: Timestamp) -> Vec<(Name, Rows)> {
        self.read(|shelf| {
            let contents = shelf.book.rollouts.values().filter(|one| one.kind == RolloutKind::Content);
            let looked_at = contents.filter(|rollout| all || rollout.is_open());
            let news = looked_at.map(|rollout| {
                let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
                let open = begun.flat_map(|wave| &wave.devices).filter(|device| {
                    shelf.progress_in(&rollout.id, **device).is_none_or(|known| known.outcome.is_none())
                });
                let news = open.filter_map(|device| {
                    let known = fleet.get(*device)?.current();
                    let progress = shelf.book.content_progress(rollout, &known, now)?;
                    let key = Key::Progress { rollout: rollout.id.clone(), device: *device };
                    Some((*device, progress, shelf.expected(&key)))
                });
                (rollout.id.clone(), news.collect())
            });
            news.collect()
        })
    }

    /// The newest rollout in which this receipt counts.
    fn rollout_of(&self, receipt: &ReceiptBody, received: Timestamp) -> Option<Name> {
        self.read(|shelf| {
            let all = shelf.book.rollouts.values();
            let counting =
                all.filter(|rollout| shelf.counted(&rollout.id, receipt, (received, received)).is_some());
            counting.max_by_key(|rollout| rollout.created).map(|rollout| rollout.id.clone())
        })
    }

    /// Whether it is time for the rollouts that have ended, too: late receipts count there, but nobody waits for them.
    pub(super) fn looks_back(&self, now: Timestamp) -> bool {
        let mut last = self.looked_back.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.seconds_since(last).abs() >= LOOK_BACK_S);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Receipts that end an open row, the oldest of each row; of rollouts that have ended only if they are asked for.
    fn uncounted(&self, fleet: &FleetView, all: bool, now: Timestamp) -> Vec<(Name, Arc<ReceiptView>)> {
        self.read(|shelf| {
            let mut found = Vec::new();
            for rollout in shelf.book.rollouts.values().filter(|rollout| all || rollout.is_open()) {
                let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
                for device in begun.flat_map(|wave| &wave.devices) {
                    // Who has confirmed has one end more only once the rollout returns.
                    let ended = shelf.progress_in(&rollout.id, *device).is_some_and(|known| {
                        let returns = rollout.way_back.is_some() && known.outcome == Some(Outcome::Confirmed);
                        known.outcome.is_some() && !returns
                    });
                    let Some(member) = fleet.get(*device).filter(|_| !ended) else { continue };
                    let counts = |receipt: &&Arc<ReceiptView>| {
                        shelf.counted(&rollout.id, &receipt.body, (receipt.received, now)).is_some()
                    };
                    let receipt = member.receipts.iter().find(counts);
                    found.extend(receipt.map(|receipt| (rollout.id.clone(), Arc::clone(receipt))));
                }
            }
            found
        })
    }
}

/// Who does what no person does.
pub(super) fn actor() -> Actor {
    Actor::Server("rollouts".parse().expect("a valid name"))
}

pub(super) fn put_progress(
    draft: Draft,
    rollout: &Name,
    (device, progress, expected): (DeviceId, &Progress, Expected),
) -> Draft {
    let key = Key::Progress { rollout: rollout.clone(), device };
    draft.expect(key.clone(), expected).put(key, body(progress))
}

/// The device that an act is about.
fn device_of(act: &Act) -> Option<DeviceId> {
    match act {
        Act::Permit { device, .. }
        | Act::Back { device, .. }
        | Act::TakeBack { device, .. }
        | Act::Silent { device, .. } => Some(*device),
        Act::Halt { .. }
        | Act::Stop { .. }
        | Act::Begin { .. }
        | Act::Join { .. }
        | Act::Settle { .. }
        | Act::Finish
        | Act::FinishReturn => None,
    }
}

/// An act in the journal's words; a go stands in its device's progress.
fn told(rollout: &Rollout, act: &Act) -> Option<(&'static str, String)> {
    match act {
        Act::Permit { .. } | Act::Back { .. } | Act::TakeBack { .. } | Act::Silent { .. } => None,
        Act::Halt { reason, .. } => Some(("rollout.halt", reason.clone())),
        Act::Stop { reason } => Some(("rollout.stop", reason.clone())),
        Act::Begin { wave } => Some(("rollout.begin-wave", wave_name(rollout, *wave))),
        Act::Join { wave, device } => {
            Some(("rollout.join", format!("{}: {device}", wave_name(rollout, *wave))))
        }
        Act::Settle { wave } => Some(("rollout.settle-wave", wave_name(rollout, *wave))),
        Act::Finish => Some(("rollout.finish", String::new())),
        Act::FinishReturn => Some(("rollout.finish-return", String::new())),
    }
}

fn wave_name(rollout: &Rollout, index: usize) -> String {
    rollout.waves.get(index).map(|wave| wave.name.clone()).unwrap_or_default()
}
