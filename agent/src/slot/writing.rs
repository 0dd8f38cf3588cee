//! A slot that is written on a thread of its own and synced on another, while further bytes are on their way.
//!
//! The network never waits for the medium here, and nothing else in the agent waits for either. An offset is told as
//! synced only after the sync that was begun behind it has returned well; what was written meanwhile belongs to the
//! next one. One sync is under way at a time, and no more than [`BEHIND_BYTES`] lie behind it. Nothing is believed of
//! the bytes. Read next: [`super::SlotWriter`].

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use bytes::Bytes;
use cordon_proto::limits;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Flush, Medium, SlotError, SlotWriter};

/// Pieces that wait to be written.
const PIECES: usize = 8;
/// Words that wait to be heard.
const WORDS: usize = 4;
/// Unsynced bytes from which on writing waits for the sync under way.
const BEHIND_BYTES: u64 = 4 * limits::SLOT_SYNC_BYTES;

/// A piece of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset of its first byte.
    pub at: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// How far the writing has come.
#[derive(Debug)]
pub enum Told {
    /// A power cut takes nothing below this offset any more.
    Synced(u64),
    /// The whole image is written and synced.
    Whole,
    /// The pieces ended before the image did; what came is synced, and was told.
    Ended,
    /// The slot cannot be written.
    Failed(SlotError),
}

/// A slot being written.
pub struct Writing {
    /// Takes pieces, in their order; dropped where no more come.
    pub(crate) pieces: Option<mpsc::Sender<Piece>>,
    /// Tells how far it has come; the last word is not [`Told::Synced`].
    pub(crate) told: mpsc::Receiver<Told>,
    thread: JoinHandle<()>,
}

impl Writing {
    /// Begins; a runtime must be there.
    #[must_use]
    pub fn begin<M: Medium + Send + 'static>(writer: SlotWriter<M>) -> Self {
        let (pieces, incoming) = mpsc::channel(PIECES);
        let (telling, told) = mpsc::channel(WORDS);
        let thread = tokio::task::spawn_blocking(move || write(writer, incoming, &telling));
        Self { pieces: Some(pieces), told, thread }
    }

    /// Hands a piece over, as soon as there is room; whether anybody still takes it. Words must be heard in between: they
    /// wait for it, and the writing for them.
    pub async fn put(&self, piece: Piece) -> bool {
        match &self.pieces {
            Some(pieces) => pieces.send(piece).await.is_ok(),
            None => false,
        }
    }

    /// No more pieces come: what is there is written, synced and told.
    pub fn end(&mut self) {
        self.pieces = None;
    }

    /// The next word; `None` after the last.
    pub async fn told(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// A word that was said already.
    pub fn heard(&mut self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    /// Waits until nobody writes to the slot any more.
    pub async fn leave(self) {
        let Self { pieces, told, thread } = self;
        drop((pieces, told));
        // A thread that panicked writes no more either.
        let _ = thread.await;
    }
}

fn write<M: Medium>(writer: SlotWriter<M>, pieces: mpsc::Receiver<Piece>, told: &mpsc::Sender<Told>) {
    let last = match write_all(writer, pieces, told) {
        Ok(true) => Told::Whole,
        Ok(false) => Told::Ended,
        Err(error) => Told::Failed(error),
    };
    // Whoever does not listen any more has taken another slot, or ends.
    let _ = told.blocking_send(last);
}

/// Writes what comes, with syncs beside it; whether the image is whole.
fn write_all<M: Medium>(
    mut writer: SlotWriter<M>,
    mut pieces: mpsc::Receiver<Piece>,
    told: &mpsc::Sender<Told>,
) -> Result<bool, SlotError> {
    let path = writer.path.clone();
    let failed = |error: io::Error| super::io_error("sync", &path, error);
    let flush = writer.medium.apart().map_err(failed)?;
    thread::scope(|scope| {
        // No queue: an offset is taken only by a thread that has nothing else to sync.
        let (ask, asked) = sync_channel(0);
        let syncing = thread::Builder::new().spawn_scoped(scope, move || sync_behind(&flush, &asked, told));
        let syncing = syncing.map_err(failed)?;
        let written = write_until_whole(&mut writer, &mut pieces, &ask);
        if written.is_ok() {
            // The last sync covers everything; it fails to be taken only where an earlier one failed.
            let _ = ask.send(writer.offset());
        }
        drop(ask);
        let synced = syncing.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread broke off")));
        synced.map_err(failed)?;
        written
    })
}

fn write_until_whole<M: Medium>(
    writer: &mut SlotWriter<M>,
    pieces: &mut mpsc::Receiver<Piece>,
    ask: &SyncSender<u64>,
) -> Result<bool, SlotError> {
    while !writer.is_whole() {
        let Some(piece) = pieces.blocking_recv() else { return Ok(false) };
        writer.take(piece.at, &piece.bytes)?;
        if !writer.wants_sync() {
            continue;
        }
        let offset = writer.offset();
        let taken = match ask.try_send(offset) {
            Err(TrySendError::Full(_)) if writer.unsynced() < BEHIND_BYTES => continue,
            Err(TrySendError::Full(_)) => ask.send(offset).is_ok(),
            taken => taken.is_ok(),
        };
        if !taken {
            // The syncing thread has failed, and says why.
            return Ok(false);
        }
        writer.sync_begun();
    }
    Ok(true)
}

/// Syncs whenever asked, and tells what a power cut cannot take any more.
fn sync_behind(flush: &Flush, asked: &Receiver<u64>, told: &mpsc::Sender<Told>) -> io::Result<()> {
    for offset in asked {
        flush()?;
        let _ = told.blocking_send(Told::Synced(offset));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
