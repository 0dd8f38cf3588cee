//! Faults of the store, and of updates on the device ([`update`]).
//!
//! Of the store: a process that writes is killed, or its disk loses power; then another process counts.
//!
//! Three processes play. The *writer* commits and appends what a seed says, and names each step once the store has
//! answered it; whoever plays fate keeps these names in its own memory, stops listening, and strikes; the *checker*
//! opens what is left and compares it with the seed: every answered step is there by value and once, each unanswered one
//! whole or not at all. A harness that never fails shows nothing, so each kind of fault has a control that must lose.
//! Read next: [`plan`] for what is written, [`checker`] for what must hold, [`powercut`] and [`kills`] for the rounds.

pub mod checker;
pub mod image;
pub mod kills;
pub mod plan;
pub mod powercut;
pub mod subject;
pub mod update;
pub mod writer;

use serde::{Deserialize, Serialize};

/// One run of the writer on a store, and how many steps of each of its threads were answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number on this store.
    pub number: u32,
    /// Answered steps, by writer.
    pub answered: Vec<u64>,
}

/// What one round found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Commits that were answered.
    pub commits: u64,
    /// Telemetry records that were answered.
    pub records: u64,
    /// Answered commits and records that are not there.
    pub lost: u64,
    /// Audit entries and records that are there twice.
    pub doubled: u64,
    /// Transactions that are there in part.
    pub torn: u64,
    /// All else that is wrong, and the first few of the above by name.
    pub notes: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.torn == 0 && self.notes.is_empty()
    }

    /// Names what is wrong; after a few names, numbers must do.
    fn note(&mut self, what: String) {
        const NOTES: usize = 6;
        if self.notes.len() < NOTES {
            self.notes.push(what);
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { commits, records, lost, doubled, torn, notes } = self;
        write!(
            f,
            "{commits} commits and {records} records answered, {lost} lost, {doubled} doubled, {torn} torn"
        )?;
        notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}
