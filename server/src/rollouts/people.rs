//! What people do with rollouts: pause, stop, resume, abort, send back, finish, accept a device.
//!
//! None of it needs a key and none of it can widen what the owner signed. Every act has a reason in the journal and
//! bites with its commit. Aborting withdraws no order: that would close the way back, too. Read next: `holds` for a
//! ward, a site or a model that is kept, `create` for how a rollout begins.

use std::sync::{OnceLock, Weak};

use cordon_proto::ids::{DeviceId, Name, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::change::{Commit, Key};
use cordon_server_core::rollout::{
    Accepted, Fleet, IN_FLIGHT_TOTAL, Rollout, Sight, State, WayBack, would_stop,
};

use super::{RolloutError, Rollouts, TRIES, body, entry, good_reason};
use crate::people::Doer;
use crate::store::StoreError;

/// Devices that may be on their way back at once.
const BACK_IN_FLIGHT: u32 = 100;

/// What a person does with a rollout as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// No new go; those that were given are kept.
    Pause,
    /// No go at all: who has not rebooted does not.
    Stop,
    /// Goes on.
    Resume,
    /// Nothing is offered any more, for good.
    Abort,
    /// Confirmed devices are offered the signed way back.
    Back,
    /// Done although some devices are left.
    Finish,
}

impl Deed {
    fn action(self) -> &'static str {
        match self {
            Self::Pause => "rollout.pause",
            Self::Stop => "rollout.stop",
            Self::Resume => "rollout.resume",
            Self::Abort => "rollout.abort",
            Self::Back => "rollout.back",
            Self::Finish => "rollout.finish",
        }
    }

    /// Whether it undoes what somebody else may have decided meanwhile.
    fn sets_going(self) -> bool {
        matches!(self, Self::Resume | Self::Back | Self::Finish)
    }

    /// The state after it, if it fits the one before.
    fn after(self, rollout: &Rollout, (at, by, reason): (Timestamp, String, String)) -> Option<State> {
        let goes_back = rollout.way_back.is_some();
        match (self, &rollout.state) {
            (Self::Pause, State::Running) => Some(State::Paused { at, by, reason }),
            (Self::Stop, State::Running | State::Halted { .. } | State::Paused { .. } | State::Returning) => {
                Some(State::Stopped { at, by, reason })
            }
            (Self::Resume, State::Stopped { .. }) if goes_back => Some(State::Returning),
            (Self::Resume, State::Halted { .. } | State::Stopped { .. } | State::Paused { .. }) => {
                Some(State::Running)
            }
            (Self::Abort, State::Aborted { .. } | State::Finished { .. } | State::Returned { .. }) => None,
            (Self::Abort, _) => Some(State::Aborted { at, by, reason }),
            (
                Self::Back,
                State::Running
                | State::Paused { .. }
                | State::Halted { .. }
                | State::Stopped { .. }
                | State::Finished { .. }
                // What was installed before somebody ended it in fright is still there.
                | State::Aborted { .. }
                // Who confirmed when the others were back already.
                | State::Returned { .. },
            ) => Some(State::Returning),
            (Self::Finish, State::Running | State::Paused { .. }) => Some(State::Finished { at }),
            // Its orders ended while a device was away for good.
            (Self::Finish, State::Stopped { .. }) if !goes_back => Some(State::Finished { at }),
            (Self::Pause | Self::Stop | Self::Resume | Self::Back | Self::Finish, _) => None,
        }
    }
}

/// A state in a sentence.
fn word(state: &State) -> &'static str {
    match state {
        State::Running => "running",
        State::Paused { .. } => "paused",
        State::Halted { .. } => "halted",
        State::Stopped { .. } => "stopped",
        State::Aborted { .. } => "aborted",
        State::Returning => "returning",
        State::Returned { .. } => "returned",
        State::Finished { .. } => "finished",
    }
}

/// What somebody saw who looked at this state, to be given back with the act: its word, and since when.
#[must_use]
pub fn seen(state: &State) -> String {
    let since = match state {
        State::Running | State::Returning => return word(state).to_owned(),
        State::Halted { at, .. }
        | State::Paused { at, .. }
        | State::Stopped { at, .. }
        | State::Aborted { at, .. }
        | State::Returned { at }
        | State::Finished { at } => at,
    };
    format!("{}@{}", word(state), since.0)
}

fn is_seen(state: &State, saw: &str) -> bool {
    saw == word(state) || saw == seen(state)
}

impl Rollouts {
    /// A person does something with a rollout.
    pub async fn act(
        &self,
        id: &Name,
        deed: Deed,
        reason: &str,
        by: Doer<'_>,
    ) -> Result<Rollout, RolloutError> {
        self.act_on(id, deed, (reason, None), by).await
    }

    /// The same by somebody who decided over the state that they `saw`: what sets things going is not done over another
    /// one. Stopping is done over any.
    pub async fn act_on(
        &self,
        id: &Name,
        deed: Deed,
        (reason, saw): (&str, Option<&str>),
        by: Doer<'_>,
    ) -> Result<Rollout, RolloutError> {
        let reason = good_reason(reason)?;
        let audit = entry(deed.action(), &format!("rollout:{id}"), Some(&reason), "");
        if deed == Deed::Back {
            self.read_rollouts().await?;
        }
        let first = OnceLock::new();
        self.change(id, by, audit, |rollout| {
            let same = first.get_or_init(|| rollout.state.clone()) == &rollout.state;
            if deed.sets_going() && !(same && saw.is_none_or(|saw| is_seen(&rollout.state, saw))) {
                return Err(RolloutError::Moved(word(&rollout.state)));
            }
            if deed == Deed::Resume {
                self.may_go_on(rollout, by.now)?;
            }
            let said = (by.now, by.actor.to_string(), reason.to_string());
            let next = deed.after(rollout, said);
            let next = next.ok_or_else(|| RolloutError::State(word(&rollout.state)))?;
            if deed == Deed::Back {
                if !self.has_way_back(rollout, by.now) {
                    return Err(RolloutError::NoWayBack);
                }
                self.goes_back_alone(rollout, by.now)?;
                let (at, who, reason) = (by.now, by.actor.to_string(), reason.to_string());
                rollout.way_back = Some(WayBack { at, by: who, reason, in_flight: BACK_IN_FLIGHT });
            }
            rollout.state = next;
            Ok(())
        })
        .await
    }

    /// Going on gives every go that was withheld out again, until the next tick: not where that tick would stop it again. A
    /// pause withholds none, and one that has to stop then does.
    fn may_go_on(&self, rollout: &Rollout, now: Timestamp) -> Result<(), RolloutError> {
        if !matches!(rollout.state, State::Halted { .. } | State::Stopped { .. }) {
            return Ok(());
        }
        let app = self.app.get().and_then(Weak::upgrade);
        let why = self.read(|shelf| {
            let known = |id: DeviceId| app.as_ref()?.fleet.get(id);
            let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
            let facts = |id: &DeviceId| match known(*id) {
                Some(member) => shelf.book.facts(rollout, &member.current(), now),
                None => shelf.book.remembered(rollout, *id, now),
            };
            let fleet: Fleet =
                begun.flat_map(|wave| &wave.devices).map(|device| (*device, facts(device))).collect();
            let orders = shelf.book.orders_of(rollout);
            would_stop(rollout, &Sight { fleet: &fleet, orders: &orders, room: IN_FLIGHT_TOTAL, now })
        });
        why.map_or(Ok(()), |why| Err(RolloutError::StillBroken(why)))
    }

    /// What goes back must not be brought again: refuses devices that an open rollout is to bring the same release.
    fn goes_back_alone(&self, rollout: &Rollout, now: Timestamp) -> Result<(), RolloutError> {
        self.read(|shelf| {
            for device in rollout.waves.iter().flat_map(|wave| &wave.devices) {
                let known = shelf.progress_in(&rollout.id, *device);
                let is_left = known.is_some_and(|known| {
                    let back = known.back.as_ref().and_then(|back| back.outcome);
                    known.outcome == Some(Outcome::Confirmed) && back.is_none()
                });
                if let Some(other) = is_left.then(|| shelf.book.elsewhere(rollout, *device, now)).flatten() {
                    return Err(RolloutError::Overlap { device: *device, rollout: other.id.clone() });
                }
            }
            Ok(())
        })
    }

    /// Whether an order of this rollout has a way back that is open.
    #[must_use]
    pub fn has_way_back(&self, rollout: &Rollout, now: Timestamp) -> bool {
        self.look(|book| {
            let orders = rollout.waves.iter().filter_map(|wave| book.order_of(rollout, wave));
            orders.filter_map(|order| order.back.as_ref()).any(|back| now < back.until)
        })
    }

    /// A person has looked at a confirmed device, and accepts it or not.
    pub async fn accept(
        &self,
        (id, device): (&Name, DeviceId),
        (good, work_order): (bool, Option<String>),
        note: &str,
        by: Doer<'_>,
    ) -> Result<(), RolloutError> {
        let note: Text = good_reason(note)?;
        let key = Key::Progress { rollout: id.clone(), device };
        for _ in 0..TRIES {
            let (progress, expected) = self.read(|shelf| (shelf.progress(id, device), shelf.expected(&key)));
            if progress.outcome != Some(Outcome::Confirmed) {
                return Err(RolloutError::NotConfirmed);
            }
            let (at, who) = (by.now, by.actor.to_string());
            let word = Accepted { at, by: who, good, work_order: work_order.clone(), note: note.to_string() };
            let mut changed = progress;
            changed.accepted = Some(word);
            let told = if good { "accepted" } else { "not accepted" };
            let object = format!("rollout:{id}:{device}");
            let draft = Commit::draft(by.now, by.actor.clone())
                .expect(key.clone(), expected)
                .put(key.clone(), body(&changed))
                .audit(entry("rollout.accept", &object, Some(&note), told));
            match self.commit(draft).await {
                Err(RolloutError::Store(StoreError::Conflict(_))) => self.load_one(key.clone()).await?,
                outcome => return outcome.map(|_| ()),
            }
        }
        Err(StoreError::Conflict(key).into())
    }
}
