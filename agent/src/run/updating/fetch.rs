//! One image on its way into its slot: pieces in, events out; a thread of its own writes them ([`crate::slot::writing`]).
//!
//! Pieces the slot holds already are skipped, so a server that starts anew costs bytes and nothing else. What is synced
//! is told, so that the next attempt goes on there. Nothing is believed of the bytes here: they are read back and hashed
//! later. No second slot is opened before the thread has let go of the first. Read next: [`crate::link::mirrors`].

use std::sync::Arc;

use cordon_agent_core::update::{Event, FetchFault, Slot};
use cordon_proto::ids::Sha256;
use tokio::sync::mpsc;

use super::Updating;
use crate::boot::{self, BootError};
use crate::link::mirrors::Wanted;
use crate::link::{LinkError, Retry};
use crate::run::messages::{PIECES, Piece, ToLink};
use crate::slot::SlotError;
use crate::slot::writing::{Told, Writing};

/// A slot being written, and where its bytes come from once they come.
pub(super) struct Fetch {
    writing: Writing,
    /// The first byte that is wanted.
    from: u64,
    pieces: Option<mpsc::Receiver<Result<Piece, LinkError>>>,
    /// Seconds for which the server asks to be left alone.
    wait_s: Option<u64>,
}

/// What happened on the way.
pub(super) enum Happened {
    /// No more pieces come; the error where there was one.
    Ended(Option<LinkError>),
    /// The writing thread's word; nothing if it broke off.
    Told(Option<Told>),
}

/// Passes pieces on to the writing thread until something else happens; never ready while nothing is fetched.
pub(super) async fn next(fetch: &mut Option<Fetch>) -> Happened {
    let Some(Fetch { writing, pieces, .. }) = fetch else { return std::future::pending().await };
    loop {
        let coming = async {
            let (Some(writer), Some(pieces)) = (&writing.pieces, pieces.as_mut()) else {
                return std::future::pending().await;
            };
            // Room first: a piece that is taken is never put back.
            match writer.reserve().await {
                Ok(room) => (room, pieces.recv().await),
                // The thread has ended, and its last word says why.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            told = writing.told.recv() => return Happened::Told(told),
            (room, piece) = coming => match piece {
                Some(Ok(piece)) => room.send(piece),
                Some(Err(error)) => return Happened::Ended(Some(error)),
                None => return Happened::Ended(None),
            },
        }
    }
}

impl Updating {
    /// Opens the slot, as soon as nobody writes to it any more.
    pub(super) async fn open_slot(&mut self, slot: Slot, length: u64, offset: u64) {
        self.leave_slot().await;
        self.proving = None;
        let Ok(installer) = &self.means.installer else { return };
        let (control, slots) = (Arc::clone(&installer.boot), installer.slots.clone());
        let open = move || {
            let running = boot::running(&control, slot)?;
            Ok::<_, BootError>(slots.write(slot, running, (length, offset)))
        };
        let opened = tokio::task::spawn_blocking(open).await;
        match opened {
            Ok(Ok(Ok(writer))) => {
                let from = writer.offset();
                if from < offset {
                    // Stored before a byte is written: what was held behind it is no more.
                    self.queue.push_back(Event::Synced { offset: from });
                }
                self.fetch =
                    Some(Fetch { writing: Writing::begin(writer), from, pieces: None, wait_s: None });
            }
            Ok(Ok(Err(error))) => self.stop_fetching(&error),
            Ok(Err(error)) => {
                tracing::error!(%error, "the boot control cannot be read; no slot is written");
                self.queue.push_back(Event::Stopped(FetchFault::SlotFails));
            }
            Err(error) => {
                tracing::error!(%error, "opening the slot was cut off");
                self.queue.push_back(Event::Stopped(FetchFault::SlotFails));
            }
        }
    }

    /// Asks for the image from where the slot ends.
    pub(super) async fn begin_fetch(&mut self, (sha256, length): (Sha256, u64)) {
        let Some(fetch) = &self.fetch else { return };
        let (pieces, incoming) = mpsc::channel(PIECES);
        let from = fetch.from;
        self.whole = None;
        let mirrors = !self.record.doubts_mirrors() && self.trusts_mirrors();
        let wanted = Wanted { sha256, length, from, until: None, mirrors };
        let begun = self.read_image((sha256, from), &pieces) || self.assemble(&wanted, &pieces);
        let begun = begun || self.peers.to_link.send(ToLink::Image { wanted, pieces }).await.is_ok();
        if let Some(fetch) = self.fetch.as_mut().filter(|_| begun) {
            fetch.pieces = Some(incoming);
        }
    }

    /// Takes what happened on the way.
    pub(super) async fn fetched(&mut self, happened: Happened) {
        match happened {
            Happened::Ended(error) => {
                if let Some(error) = &error {
                    tracing::warn!(%error, "the image does not come; it goes on where it stopped");
                }
                if let Some(fetch) = &mut self.fetch {
                    fetch.pieces = None;
                    if let Some(Retry::After(seconds)) = error.as_ref().map(LinkError::retry) {
                        fetch.wait_s = Some(seconds);
                    }
                    fetch.writing.end();
                }
                return;
            }
            Happened::Told(Some(Told::Synced(offset))) => self.queue.push_back(Event::Synced { offset }),
            Happened::Told(Some(Told::Whole)) => {
                tracing::info!("the image is written; it is read back");
                self.fetch = None;
                self.queue.push_back(Event::Complete);
            }
            Happened::Told(Some(Told::Ended)) => {
                let wait_s = self.fetch.take().and_then(|fetch| fetch.wait_s);
                self.queue.push_back(match wait_s {
                    Some(seconds) => Event::Delayed { seconds },
                    None if self.is_carried() => Event::Stopped(FetchFault::StickGone),
                    None => Event::Stopped(FetchFault::Unreachable),
                });
            }
            Happened::Told(Some(Told::Failed(error))) => self.stop_fetching(&error),
            Happened::Told(None) => {
                tracing::error!("writing the slot was cut off");
                self.fetch = None;
                self.queue.push_back(Event::Stopped(FetchFault::SlotFails));
            }
        }
        self.settle().await;
    }

    /// Ends what is being written, and waits until it has ended.
    pub(super) async fn leave_slot(&mut self) {
        if let Some(fetch) = self.fetch.take() {
            fetch.writing.leave().await;
        }
    }

    fn stop_fetching(&mut self, error: &SlotError) {
        tracing::error!(%error, "the slot cannot be written");
        if matches!(error, SlotError::Tree(_) | SlotError::Bytes { .. }) {
            self.peers.mirrors.blame();
        }
        self.fetch = None;
        if matches!(error, SlotError::DiskFull(_))
            && let (Ok(installer), Some(job)) = (&self.means.installer, self.record.job())
            && installer.slots.give_back(job.slot)
        {
            self.queue.push_back(Event::Synced { offset: 0 });
        }
        self.queue.push_back(Event::Stopped(error.fault()));
    }
}
