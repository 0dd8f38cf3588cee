//! One image on its way into its slot: pieces in, bytes written and synced, events out.
//!
//! Pieces the slot holds already are skipped, so a server that starts anew costs bytes and nothing else. What is synced
//! is told, so that the next attempt goes on there. Nothing is believed of the bytes here: they are read back and hashed
//! later. Read next: [`crate::slot`].

use std::fs::File;
use std::sync::Arc;

use cordon_agent_core::update::{Event, FetchFault, Slot};
use cordon_proto::ids::Sha256;
use tokio::sync::mpsc;

use super::Updating;
use crate::boot::{self, BootError};
use crate::link::LinkError;
use crate::run::messages::{PIECES, Piece, ToLink};
use crate::slot::{SlotError, SlotWriter};

/// A slot being written, and where its bytes come from once they come.
pub(super) struct Fetch {
    writer: SlotWriter<File>,
    length: u64,
    pieces: Option<mpsc::Receiver<Result<Piece, LinkError>>>,
}

/// The next piece; never ready while nothing is fetched. `None` is the end of the stream.
pub(super) async fn next(fetch: &mut Option<Fetch>) -> Option<Result<Piece, LinkError>> {
    match fetch.as_mut().and_then(|fetch| fetch.pieces.as_mut()) {
        Some(pieces) => pieces.recv().await,
        None => std::future::pending().await,
    }
}

impl Updating {
    /// Opens the slot. What is there already is hashed on the way, which takes its time.
    pub(super) async fn open_slot(&mut self, slot: Slot, length: u64, offset: u64) {
        self.fetch = None;
        let Ok(installer) = &self.means.installer else { return };
        let (control, slots) = (Arc::clone(&installer.boot), installer.slots.clone());
        let open = move || {
            let running = boot::read(&control)?.booted;
            Ok::<_, BootError>(slots.write(slot, running, (length, offset)))
        };
        let opened = tokio::task::spawn_blocking(open).await;
        match opened {
            Ok(Ok(Ok(writer))) => self.fetch = Some(Fetch { writer, length, pieces: None }),
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
    pub(super) async fn begin_fetch(&mut self, sha256: Sha256) {
        let Some(fetch) = &mut self.fetch else { return };
        let (pieces, incoming) = mpsc::channel(PIECES);
        let from = fetch.writer.offset();
        let begun = self.read_image((sha256, from), &pieces) || self.assemble((sha256, from), &pieces);
        let Some(fetch) = &mut self.fetch else { return };
        let whole = ToLink::Image { sha256, from, until: None, pieces };
        if begun || self.peers.to_link.send(whole).await.is_ok() {
            fetch.pieces = Some(incoming);
        }
    }

    /// Takes one piece, an error, or the end.
    pub(super) async fn piece(&mut self, piece: Option<Result<Piece, LinkError>>) {
        match piece {
            Some(Ok(piece)) => self.write_piece(&piece),
            Some(Err(error)) => {
                tracing::warn!(%error, "the image does not come; it goes on where it stopped");
                self.end_early();
            }
            None => self.end_early(),
        }
        self.settle().await;
    }

    fn write_piece(&mut self, piece: &Piece) {
        let Some(fetch) = &mut self.fetch else { return };
        match fetch.write(piece) {
            Ok(None) => {}
            Ok(Some(offset)) => self.queue.push_back(Event::Synced { offset }),
            Err(error) => return self.stop_fetching(&error),
        }
        if fetch.writer.offset() < fetch.length {
            return;
        }
        if let Some(fetch) = self.fetch.take() {
            match fetch.writer.complete() {
                Ok(written) => {
                    tracing::info!(sha256 = %written.streamed(), "the image is written; it is read back");
                    self.queue.push_back(Event::Complete);
                }
                Err(error) => self.stop_fetching(&error),
            }
        }
    }

    /// The stream ended before the image did: what is there is synced and kept.
    fn end_early(&mut self) {
        let Some(mut fetch) = self.fetch.take() else { return };
        match fetch.writer.sync() {
            Ok(offset) => {
                self.queue.push_back(Event::Synced { offset });
                let gone = if self.is_carried() { FetchFault::StickGone } else { FetchFault::Unreachable };
                self.queue.push_back(Event::Stopped(gone));
            }
            Err(error) => self.stop_fetching(&error),
        }
    }

    fn stop_fetching(&mut self, error: &SlotError) {
        tracing::error!(%error, "the slot cannot be written");
        self.fetch = None;
        self.queue.push_back(Event::Stopped(error.fault()));
    }
}

impl Fetch {
    /// Writes what is new of a piece; the synced offset where it was time to sync.
    fn write(&mut self, piece: &Piece) -> Result<Option<u64>, SlotError> {
        let wanted = self.writer.offset();
        let known = wanted.checked_sub(piece.at).and_then(|known| usize::try_from(known).ok());
        let (at, bytes) = match known {
            Some(known) => (wanted, piece.bytes.get(known..).unwrap_or_default()),
            // A hole: the writer refuses it and says so.
            None => (piece.at, &piece.bytes[..]),
        };
        if !bytes.is_empty() {
            self.writer.write(at, bytes)?;
        }
        if self.writer.wants_sync() { self.writer.sync().map(Some) } else { Ok(None) }
    }
}
