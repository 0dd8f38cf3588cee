//! The maker's store, read over the link in parts, from a mirror or the server; and the form in which a piece lies there.
//!
//! Nothing is unpacked before it was compared with its seal in the signed index: the library that unpacks sees only what
//! the maker wrote. Read next: [`super::assembler`].

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use cordon_proto::limits;
use cordon_proto::update::chunks::{Entry, Half};
use cordon_proto::update::release::FileRef;
use tokio::sync::mpsc;
use zstd::zstd_safe::DCtx;

use super::assembler::Stop;
use crate::link::LinkError;
use crate::link::mirrors::Wanted;
use crate::run::messages::{PIECES, Piece, ToLink};

/// A file of the server's, part by part.
pub(super) struct Remote {
    link: mpsc::Sender<ToLink>,
    file: FileRef,
    /// Whether mirrors may be asked.
    mirrors: bool,
    part: Option<Part>,
    /// Where a read began, and what came of it: a line that is cut all the time still brings it to its end.
    begun: (u64, Vec<u8>),
    /// Parts that were asked for.
    asked: usize,
}

/// What is under way.
struct Part {
    pieces: mpsc::Receiver<Result<Piece, LinkError>>,
    /// What came and was not yet taken.
    bytes: Bytes,
    /// Where that begins.
    at: u64,
    until: u64,
}

impl Remote {
    /// `begun` is what an earlier one left.
    pub(super) fn new(
        (link, mirrors): (mpsc::Sender<ToLink>, bool),
        file: FileRef,
        begun: (u64, Vec<u8>),
    ) -> Self {
        Self { link, file, mirrors, part: None, begun, asked: 0 }
    }

    /// A mirror sent what its maker did not write: from here on the server alone is asked.
    pub(super) fn distrust(&mut self) {
        (self.part, self.mirrors) = (None, false);
    }

    /// What a read that was cut off has so far, and where it began.
    pub(super) fn begun(self) -> (u64, Vec<u8>) {
        self.begun
    }

    /// These bytes of the file, out of the part that is under way, or of a new one, which ends where `until` says.
    pub(super) fn read(&mut self, bytes: Range<u64>, until: &dyn Fn() -> u64) -> Result<Vec<u8>, Stop> {
        if self.begun.0 != bytes.start {
            self.begun = (bytes.start, Vec::new());
        }
        let length = usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX);
        while self.begun.1.len() < length {
            let next = bytes.start.saturating_add(u64::try_from(self.begun.1.len()).unwrap_or(u64::MAX));
            let fits = |part: &Part| part.at <= next && bytes.end <= part.until;
            if !self.part.as_ref().is_some_and(fits) {
                self.part = None;
                self.part = Some(self.ask(next..until())?);
            }
            let part = self.part.as_mut().ok_or(Stop::Gone)?;
            part.skip(next)?;
            if part.bytes.is_empty() {
                part.next()?;
            }
            let taken = part.take(length - self.begun.1.len());
            self.begun.1.extend_from_slice(&taken);
        }
        Ok(std::mem::take(&mut self.begun).1)
    }

    /// All that comes next of the part that is under way, beginning with a new one at its first byte; nothing at its end.
    pub(super) fn stream(&mut self, part: Range<u64>) -> Result<Bytes, Stop> {
        if self.part.is_none() {
            self.part = Some(self.ask(part)?);
        }
        let part = self.part.as_mut().ok_or(Stop::Gone)?;
        part.next()?;
        Ok(part.take(usize::MAX))
    }

    /// Asks for a part; after many of them slowly, so that the device's reports are not turned away for it.
    fn ask(&mut self, part: Range<u64>) -> Result<Part, Stop> {
        self.asked = self.asked.saturating_add(1);
        if self.asked > limits::DELTA_QUICK_REQUESTS {
            std::thread::sleep(Duration::from_millis(limits::DELTA_PAUSE_MS));
        }
        let (pieces, incoming) = mpsc::channel(PIECES);
        let FileRef { sha256, length } = self.file;
        let wanted =
            Wanted { sha256, length, from: part.start, until: Some(part.end), mirrors: self.mirrors };
        self.link.blocking_send(ToLink::Image { wanted, pieces }).map_err(|_| Stop::Gone)?;
        Ok(Part { pieces: incoming, bytes: Bytes::new(), at: part.start, until: part.end })
    }
}

impl Part {
    /// Waits for more; what came before is taken.
    fn next(&mut self) -> Result<(), Stop> {
        match self.pieces.blocking_recv() {
            Some(Ok(piece)) if piece.at == self.at => self.bytes = piece.bytes,
            Some(Ok(_)) => return Err(Stop::Left("the server gives no parts of files")),
            Some(Err(error)) => return Err(of_link(error)),
            // A line that is cut is an error; this is a file that ends, or nobody who fetches it any more.
            None => return Err(Stop::Left("a part of the chunk delta ended before it was whole")),
        }
        Ok(())
    }

    fn take(&mut self, most: usize) -> Bytes {
        let taken = self.bytes.split_to(most.min(self.bytes.len()));
        self.at = self.at.saturating_add(u64::try_from(taken.len()).unwrap_or(u64::MAX));
        taken
    }

    fn skip(&mut self, until: u64) -> Result<(), Stop> {
        while self.at < until {
            if self.bytes.is_empty() {
                self.next()?;
            }
            self.take(usize::try_from(until - self.at).unwrap_or(usize::MAX));
        }
        Ok(())
    }
}

/// A network that fails may come back; a server that refuses this file will not be asked for it again.
fn of_link(error: LinkError) -> Stop {
    match error {
        LinkError::Rejected { .. } | LinkError::Malformed { .. } | LinkError::TooLarge { .. } => {
            Stop::Left("the server does not give the files of the chunk delta")
        }
        error => Stop::Link(error),
    }
}

/// A stored form is not the one that the index seals.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsealed;

/// A piece out of its stored form; nothing where that, behind these bytes, does not make the piece.
pub(super) fn unpack(stored: Vec<u8>, entry: &Entry, context: &[u8]) -> Result<Option<Vec<u8>>, Unsealed> {
    if Half::of(&stored) != entry.seal {
        return Err(Unsealed);
    }
    if entry.is_plain() {
        return Ok(Some(stored));
    }
    Ok(unpacked(&stored, entry, context))
}

fn unpacked(stored: &[u8], entry: &Entry, context: &[u8]) -> Option<Vec<u8>> {
    let mut piece = Vec::with_capacity(usize::try_from(entry.length).ok()?);
    let mut unpacker = DCtx::try_create()?;
    unpacker.ref_prefix(context).ok()?;
    unpacker.decompress(&mut piece, stored).ok()?;
    Some(piece)
}
