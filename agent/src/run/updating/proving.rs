//! A slot that is read back, and the image that is handed to the maker's command: on a thread, beside everything else.
//!
//! The agent goes on to look, to report and to hear meanwhile; an installation may take an hour. One read-back is under
//! way at a time: the next one, the end of its act and the end of the agent all end it, with the program that it runs.
//! What its answer means is the machine's. Read next: [`crate::install`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cordon_agent_core::update::{Event, Slot, State};
use cordon_proto::ids::Sha256;
use tokio::task::JoinHandle;

use super::Updating;
use crate::boot::{self, SharedControl};
use crate::install::Place;
use crate::slot::SlotError;

/// A read-back under way; dropped, nobody waits for it.
pub(super) struct Proving {
    task: JoinHandle<Event>,
    wanted: Arc<AtomicBool>,
}

impl Drop for Proving {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

/// How the read-back ended; never ready while there is none.
pub(super) async fn next(proving: &mut Option<Proving>) -> Event {
    let Some(Proving { task, .. }) = proving else { return std::future::pending().await };
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "reading the slot back was cut off");
        Event::HashFailed
    })
}

impl Updating {
    /// Begins to read a slot back.
    pub(super) fn hash_slot(&mut self, slot: Slot, length: u64) {
        self.note_whole();
        (self.delta, self.proving) = (None, None);
        let (Ok(installer), Some(ordered)) = (&self.means.installer, self.record.state.in_proof()) else {
            return;
        };
        let (place, control) = (installer.slots.clone(), Arc::clone(&installer.boot));
        let wanted = Arc::new(AtomicBool::new(true));
        let awaited = Arc::clone(&wanted);
        let read = move || proven((&place, &control), slot, (ordered, length), &awaited);
        self.proving = Some(Proving { task: tokio::task::spawn_blocking(read), wanted });
    }

    /// Takes the answer.
    pub(super) async fn proven(&mut self, event: Event) {
        self.proving = None;
        let found = if let Event::Hashed(sha256) = &event { Some(*sha256) } else { None };
        self.queue.push_back(event);
        if let Some(found) = found {
            self.blame_mirrors(found);
            // Whether it may be armed is decided now, while what was read back is of now.
            let look = self.fresh_surroundings();
            self.queue.push_back(Event::Look(Box::new(look)));
        }
        self.settle().await;
    }

    /// Where a fetched image is not the signed one, the mirrors that sent of it are told of.
    fn blame_mirrors(&self, found: Sha256) {
        if let State::Written(written) = &self.record.state
            && written.job.cleared.image.sha256 != found
        {
            self.peers.mirrors.blame();
        }
    }
}

fn proven(
    (place, control): (&Place, &SharedControl),
    slot: Slot,
    image: (Sha256, u64),
    wanted: &AtomicBool,
) -> Event {
    let running = match boot::read(control) {
        Ok(view) => view.booted,
        Err(error) => {
            tracing::error!(%error, %slot, "the boot control cannot be read; the slot is not read back");
            return Event::NotTaken { refused: false };
        }
    };
    match place.prove((slot, running), image, wanted) {
        Ok(sha256) => Event::Hashed(sha256),
        Err(error @ SlotError::Command { .. }) => {
            tracing::error!(%error, %slot, "the image is not taken; it is handed over again later");
            Event::NotTaken { refused: true }
        }
        Err(error) => {
            tracing::error!(%error, %slot, "the slot cannot be read back");
            Event::HashFailed
        }
    }
}
