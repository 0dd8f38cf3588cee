//! Credentials that mean nothing here: counted, and told to the journal in sums.
//!
//! Whoever guesses must leave a trace, and must not be able to fill the journal with it. What was counted since the
//! last sum is lost with a killed process; the metrics keep their own count.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cordon_proto::ids::Text;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::Commit;

use crate::app::{App, CommitError, name, server};

/// Addresses that are told apart in one sum.
const ADDRESSES: usize = 256;

/// What was guessed since the last sum.
#[derive(Debug, Default)]
pub struct Guesses {
    by_address: Mutex<BTreeMap<Text, u64>>,
}

impl Guesses {
    /// One more, from there.
    pub fn note(&self, from: &Text) {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = counts.len() < ADDRESSES || counts.contains_key(from);
        let from = if is_room { from.clone() } else { Text::lossy("elsewhere") };
        let count = counts.entry(from).or_default();
        *count = count.saturating_add(1);
    }

    /// Everything counted so far, which is forgotten by that.
    fn take(&self) -> BTreeMap<Text, u64> {
        std::mem::take(&mut *self.by_address.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl App {
    /// Tells the journal what was guessed since the last time.
    pub async fn write_guesses(&self) -> Result<(), CommitError> {
        let counts = self.guesses.take();
        let Some((most, count)) = counts.iter().max_by_key(|(_, count)| **count) else { return Ok(()) };
        let sum = counts.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let after = format!(
            "{sum} requests with unknown tokens from {} addresses, {count} of them from {most}",
            counts.len()
        );
        let entry = Entry {
            after: Some(Summary::of(&after)),
            ..Entry::new(name("enrol.guess"), Text::lossy("enrolment"))
        };
        self.commit(Commit::draft(self.clock.now(), server("enrolment")).audit(entry)).await?;
        Ok(())
    }
}
