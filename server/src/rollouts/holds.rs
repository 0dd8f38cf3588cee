//! Holds: people set and end them, time ends them, and each end is a line in the journal.
//!
//! None of it needs a key. What a hold decides stands in `cordon_server_core::rollout`, by the clock alone; a document of one
//! that is over decides nothing, and its name is free. Read next: `people` for what is done with rollouts.

use cordon_proto::ids::{Name, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::change::{Commit, Key};
use cordon_server_core::rollout::{Covers, Hold, Passing};

use super::steps::actor;
use super::{Concerned, RolloutError, Rollouts, Turn, body, entry, good_reason, read};
use crate::people::Doer;
use crate::store::{Expected, StoreError};

impl Rollouts {
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
        let key = Key::Hold(id.clone());
        let known = self.store.get(key.clone()).await?;
        let over = match &known {
            Some(row) => !read::<Hold>(&key, &row.body)?.holds(now),
            None => false,
        };
        let expected = if over { Expected::of(known.as_ref()) } else { Expected::Absent };
        let (by, at) = (actor.to_string(), now);
        let hold = Hold { v: 1, id, covers, by, reason: reason.to_string(), at, until, lapsed: None };
        let audit =
            entry("hold.set", &format!("hold:{}", hold.id), Some(&reason), &format!("{:?}", hold.covers));
        let draft = Commit::draft(now, actor.clone())
            .expect(key.clone(), expected)
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

    /// Writes down which holds are over, which hold again, and takes away the documents of those that have been over for a
    /// week. A hold bites no more since its end; whom it covered may now be told something else.
    pub async fn lapse_holds(&self, turn: Turn<'_>) -> Result<Concerned, RolloutError> {
        let passing: Vec<(Hold, Passing, Expected)> = self.read(|shelf| {
            let of = |hold: &Hold| {
                let passing = hold.passing(turn.now)?;
                Some((hold.clone(), passing, shelf.expected(&Key::Hold(hold.id.clone()))))
            };
            shelf.book.holds.values().filter_map(of).collect()
        });
        let mut concerned = Concerned::default();
        for (hold, passing, expected) in passing {
            let key = Key::Hold(hold.id.clone());
            let draft = turn.draft(actor()).expect(key.clone(), expected);
            let told = |action: &str| {
                let covers = format!("{:?}", hold.covers);
                entry(action, &format!("hold:{}", hold.id), Some(&Text::lossy(&hold.reason)), &covers)
            };
            let draft = match passing {
                Passing::Lapses => {
                    tracing::warn!(hold = %hold.id, reason = hold.reason, "a hold is over: what it covered may reboot");
                    let over = Hold { lapsed: Some(turn.now), ..hold.clone() };
                    draft.put(key, body(&over)).audit(told("hold.lapse"))
                }
                Passing::HoldsAgain => {
                    tracing::warn!(hold = %hold.id, "a hold was called over by a clock that was ahead: it holds again");
                    let again = Hold { lapsed: None, ..hold.clone() };
                    draft.put(key, body(&again)).audit(told("hold.again"))
                }
                Passing::Goes => draft.delete(key),
            };
            match self.commit(draft).await {
                Err(RolloutError::Store(StoreError::Conflict(Key::Hold(id)))) => {
                    tracing::debug!(hold = %id, "somebody changed it first");
                }
                outcome => concerned.add(outcome?),
            }
        }
        Ok(concerned)
    }
}
