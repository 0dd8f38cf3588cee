//! What people do with rollouts: pause, stop, resume, abort, send back, finish, accept a device; set and end holds.
//!
//! None of it needs a key and none of it can widen what the owner signed. Every act has a reason in the journal and
//! bites with its commit. Aborting withdraws no order: that would close the way back, too. Read next: `create` for how
//! a rollout begins.

use cordon_proto::ids::{DeviceId, Name, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::change::{Commit, Key};
use cordon_server_core::rollout::{Accepted, Covers, Hold, Rollout, State, WayBack};

use super::{RolloutError, Rollouts, TRIES, body, entry, good_reason};
use crate::people::Doer;
use crate::store::{Expected, StoreError};

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
                // Who confirmed when the others were back already.
                | State::Returned { .. },
            ) => Some(State::Returning),
            (Self::Finish, State::Running | State::Paused { .. }) => Some(State::Finished { at }),
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

impl Rollouts {
    /// A person does something with a rollout.
    pub async fn act(
        &self,
        id: &Name,
        deed: Deed,
        reason: &str,
        by: Doer<'_>,
    ) -> Result<Rollout, RolloutError> {
        let reason = good_reason(reason)?;
        let audit = entry(deed.action(), &format!("rollout:{id}"), Some(&reason), "");
        self.change(id, by, audit, |rollout| {
            let said = (by.now, by.actor.to_string(), reason.to_string());
            let next = deed.after(rollout, said);
            let next = next.ok_or_else(|| RolloutError::State(word(&rollout.state)))?;
            if deed == Deed::Back {
                if !self.has_way_back(rollout, by.now) {
                    return Err(RolloutError::NoWayBack);
                }
                let (at, who, reason) = (by.now, by.actor.to_string(), reason.to_string());
                rollout.way_back = Some(WayBack { at, by: who, reason, in_flight: BACK_IN_FLIGHT });
            }
            rollout.state = next;
            Ok(())
        })
        .await
    }

    /// Whether an order of this rollout has a way back that is open.
    #[must_use]
    pub fn has_way_back(&self, rollout: &Rollout, now: Timestamp) -> bool {
        self.look(|book| {
            let orders = rollout.waves.iter().filter_map(|wave| book.orders.get(&wave.order));
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

    /// A person holds a ward, a site or a model. No key is needed and it takes effect with this commit.
    pub async fn hold(
        &self,
        id: Name,
        (covers, until): (Covers, Option<Timestamp>),
        reason: &str,
        by: Doer<'_>,
    ) -> Result<Hold, RolloutError> {
        let Doer { actor, now } = by;
        let reason = good_reason(reason)?;
        let (by, at) = (actor.to_string(), now);
        let hold = Hold { v: 1, id: id.clone(), covers, by, reason: reason.to_string(), at, until };
        let audit = entry("hold.set", &format!("hold:{id}"), Some(&reason), &format!("{:?}", hold.covers));
        let key = Key::Hold(id);
        let draft = Commit::draft(now, actor.clone())
            .expect(key.clone(), Expected::Absent)
            .put(key, body(&hold))
            .audit(audit);
        self.commit(draft).await?;
        Ok(hold)
    }

    /// A person ends a hold and says why.
    pub async fn release_hold(&self, id: &Name, reason: &str, by: Doer<'_>) -> Result<(), RolloutError> {
        let Doer { actor, now } = by;
        let reason = good_reason(reason)?;
        // The store is asked, not the book: the hold may have been set on another server a moment ago.
        let key = Key::Hold(id.clone());
        let row = self.store.get(key.clone()).await?.ok_or_else(|| RolloutError::Unknown(id.clone()))?;
        let audit = entry("hold.end", &format!("hold:{id}"), Some(&reason), "");
        let draft = Commit::draft(now, actor.clone())
            .expect(key.clone(), Expected::At(row.revision))
            .delete(key)
            .audit(audit);
        match self.commit(draft).await {
            Err(RolloutError::Store(StoreError::Conflict(_))) => Err(RolloutError::Unknown(id.clone())),
            outcome => outcome.map(|_| ()),
        }
    }
}
