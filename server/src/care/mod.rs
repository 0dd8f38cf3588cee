//! Care for what is stored: backups and the way back, the room that is left, images that rot.
//!
//! These are the jobs and commands of the person who keeps the server alive. Nothing here decides about a device, and
//! nothing is sent anywhere. Read next: [`backup`] for what a backup holds, [`restore`] for how it is believed,
//! [`scrub`] for images, [`watch`] for a full disk.

pub mod backup;
mod bundle;
pub mod restore;
pub mod scheduled;
pub mod scrub;
pub mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use cordon_proto::time::Timestamp;

/// What one server knows of its own condition.
#[derive(Debug, Default)]
pub struct Care {
    /// Held while a backup is written: one at a time.
    pub backing_up: Arc<tokio::sync::Mutex<()>>,
    trouble: Mutex<Option<Trouble>>,
    scrubbed: scrub::Scrubbed,
}

/// Why the store takes no writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When it was first seen.
    pub since: Timestamp,
    /// What it is, and what to do.
    pub words: String,
}

impl Care {
    /// Why the store takes no writes, if it takes none.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what the store says of itself, and logs it when it turns.
    pub(crate) fn note(&self, now: Timestamp, problem: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (trouble.take(), problem) {
            (None, None) => {}
            (Some(_), None) => tracing::info!("the store takes writes again"),
            (None, Some(words)) => {
                tracing::error!(
                    problem = words,
                    "the store takes no writes: what devices send is refused with 503"
                );
                *trouble = Some(Trouble { since: now, words });
            }
            (Some(known), Some(words)) => *trouble = Some(Trouble { words, ..known }),
        }
    }
}
