//! Puts an image together, piece by piece, on a thread of its own: it reads, hashes and waits, and never decides.
//!
//! Every piece is compared with its hash in the index before it goes on, wherever it came from. In memory are the index
//! with a few words for each piece, what came last of the image, and one piece. Read next: [`super::store`].

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cordon_agent_core::update::delta::{Offer, Plan, Source, Unusable};
use cordon_proto::ids::Sha256;
use cordon_proto::update::chunks::{Half, Placed};
use tokio::sync::mpsc;

use super::cutter::Cutter;
use super::store::{Remote, Unsealed, unpack};
use super::{Kept, Standing};
use crate::link::LinkError;
use crate::link::mirrors::{Mirrors, Pieces, Wanted};
use crate::run::messages::{Piece, ToLink};

/// Bytes of a piece on its way to the slot, so that few wait at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes of the image that are remembered: more than help to unpack, and more than may wait on their way to the slot.
const RECENT_BYTES: usize = 1024 * 1024;

/// Everything that one try needs.
pub(super) struct Assembler {
    /// The image, as it is asked for where the delta is of no use.
    pub(super) whole: Wanted,
    pub(super) offer: Offer,
    /// The running slot, and how much of it is an image.
    pub(super) running: (File, u64),
    /// The slot that is being written.
    pub(super) written: File,
    pub(super) link: mpsc::Sender<ToLink>,
    pub(super) pieces: Pieces,
    pub(super) standing: Arc<Standing>,
    /// Who may be asked before the server, to be told of what they sent.
    pub(super) mirrors: Mirrors,
}

/// Why a try ended before the image did.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody wants the image any more.
    Gone,
    /// The network; the next try goes on.
    Link(LinkError),
    /// The delta is of no use.
    Unusable(Unusable),
    /// The same, for what is not the index's fault.
    Left(&'static str),
}

/// How far a try has come.
struct Walk {
    /// The first byte of the image that did not go to the slot.
    at: u64,
    /// The last bytes of the image before it.
    recent: Vec<u8>,
    store: Remote,
    fetched: u64,
}

impl Assembler {
    /// Sends the image, from the byte that is wanted on, to whoever writes it.
    pub(super) fn run(self, kept: &Mutex<Kept>) {
        let from = self.whole.from;
        // A try before this one may still be about to see that nobody waits for it.
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let had = kept.held();
        let store = Remote::new(self.link(), self.offer.store, std::mem::take(&mut kept.begun));
        let mut walk = Walk { at: from, recent: Vec::new(), store, fetched: 0 };
        let ended = self.deliver(&mut walk, &mut kept);
        kept.begun = walk.store.begun();
        let why = match ended {
            Ok(()) => {
                let (sha256, bytes) = (self.whole.sha256, walk.fetched);
                return tracing::info!(%sha256, bytes, "the image was put together; so much of it was fetched");
            }
            Err(Stop::Gone) => return,
            Err(Stop::Link(error)) => {
                self.standing.tried(walk.at > from || kept.held() != had);
                let _ = self.pieces.blocking_send(Err(error));
                return;
            }
            Err(Stop::Unusable(why)) => why.to_string(),
            Err(Stop::Left(why)) => why.to_owned(),
        };
        tracing::warn!(%why, at = walk.at, "the chunk delta is of no use; the rest of the image is fetched whole");
        self.standing.leave(why);
        *kept = Kept::default();
        let mirrors = self.whole.mirrors && self.standing.trusts_mirrors();
        let wanted = Wanted { from: walk.at, mirrors, ..self.whole };
        let _ = self.link.blocking_send(ToLink::Image { wanted, pieces: self.pieces });
    }

    fn deliver(&self, walk: &mut Walk, kept: &mut Kept) -> Result<(), Stop> {
        if kept.plan.is_none() {
            self.fetch_index(&mut kept.index)?;
            let index = std::mem::take(&mut kept.index);
            let plan =
                self.offer.plan(index, (self.whole.sha256, self.whole.length)).map_err(Stop::Unusable)?;
            kept.plan = Some(self.look_through(plan)?);
        }
        let Some(plan) = &mut kept.plan else { return Err(Stop::Gone) };
        let bytes = plan.settle(walk.at).map_err(Stop::Unusable)?;
        tracing::info!(
            bytes,
            from = walk.at,
            "the image is put together from the running one; so much is to be fetched"
        );
        let mut next = plan.index().pieces().next();
        while let Some(piece) = next {
            let end = piece.at.saturating_add(u64::from(piece.entry.length));
            if end > walk.at {
                self.one(walk, plan, &piece)?;
            }
            plan.written(&piece);
            next = plan.index().pieces_after(Some(&piece)).next();
        }
        Ok(())
    }

    /// Who is asked: the mirrors first, until one of them sent what its maker did not write.
    fn link(&self) -> (mpsc::Sender<ToLink>, bool) {
        (self.link.clone(), self.whole.mirrors && self.standing.trusts_mirrors())
    }

    /// What came is not what the maker wrote. Whether a mirror sent it: then the server is asked, from here on alone.
    fn distrust(&self, remote: &mut Remote) -> bool {
        let lied_to = self.mirrors.blame_lately();
        if lied_to {
            self.standing.distrust_mirrors();
            remote.distrust();
        }
        lied_to
    }

    /// The index, from where an earlier try was cut off.
    fn fetch_index(&self, index: &mut Vec<u8>) -> Result<(), Stop> {
        let listed = self.offer.index;
        let length = usize::try_from(listed.length).unwrap_or(usize::MAX);
        let mut remote = Remote::new(self.link(), listed, Default::default());
        loop {
            let from = u64::try_from(index.len()).unwrap_or(u64::MAX);
            while index.len() < length {
                let bytes = remote.stream(from..listed.length)?;
                index.extend_from_slice(
                    bytes.get(..bytes.len().min(length - index.len())).unwrap_or_default(),
                );
            }
            if Sha256::of(index) == listed.sha256 {
                return Ok(());
            }
            index.clear();
            if !self.distrust(&mut remote) {
                return Err(Stop::Left("the index is not the one in the release"));
            }
        }
    }

    /// Cuts the running slot and notes what of the image it has. A slot that fails has what was read so far.
    fn look_through(&self, mut plan: Plan) -> Result<Plan, Stop> {
        let (file, length) = &self.running;
        let mut cutter = Cutter::new(file.take(*length), &plan.index().parameters);
        let mut at = 0;
        loop {
            if self.pieces.is_closed() {
                return Err(Stop::Gone);
            }
            match cutter.next() {
                Ok(Some(piece)) => {
                    plan.found(&Half::of(piece), piece.len(), at);
                    at += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                }
                Ok(None) => return Ok(plan),
                Err(error) => {
                    tracing::warn!(%error, at, "the running slot cannot be read on; more of the image is fetched");
                    return Ok(plan);
                }
            }
        }
    }

    /// One piece: from wherever it is, compared, and sent on.
    fn one(&self, walk: &mut Walk, plan: &mut Plan, piece: &Placed) -> Result<(), Stop> {
        self.remember(walk, piece);
        let bytes = loop {
            let source = plan.source(piece).ok_or(Stop::Left("a piece that was written is gone"))?;
            let stored = source == Source::Store;
            let found = self.bytes(walk, plan, (piece, source))?;
            if let Some(found) = found.filter(|bytes| Half::of(bytes) == piece.entry.id) {
                break found;
            }
            if stored {
                return Err(Stop::Left("a piece of the store is not the one that its maker wrote"));
            }
            plan.lost(piece);
        };
        walk.recent.extend_from_slice(&bytes);
        if walk.recent.len() > 2 * RECENT_BYTES {
            walk.recent.drain(..walk.recent.len() - RECENT_BYTES);
        }
        self.send(walk, piece.at, bytes.into())
    }

    fn bytes(
        &self,
        walk: &mut Walk,
        plan: &Plan,
        (piece, source): (&Placed, Source),
    ) -> Result<Option<Vec<u8>>, Stop> {
        let length = usize::try_from(piece.entry.length).unwrap_or(usize::MAX);
        match source {
            Source::Running(at) => Ok(read(&self.running.0, at, length)),
            Source::Written(at) => {
                let back = usize::try_from(piece.at.saturating_sub(at)).unwrap_or(usize::MAX);
                match walk.recent.len().checked_sub(back) {
                    Some(start) => {
                        Ok(walk.recent.get(start..start.saturating_add(length)).map(<[u8]>::to_vec))
                    }
                    None => Ok(read(&self.written, at, length)),
                }
            }
            Source::Store => self.stored(walk, plan, piece),
        }
    }

    /// A piece of the store; from the server, where a mirror sends what its maker did not seal.
    fn stored(&self, walk: &mut Walk, plan: &Plan, piece: &Placed) -> Result<Option<Vec<u8>>, Stop> {
        let from = piece.stored_at;
        let end = from.saturating_add(u64::from(piece.entry.stored));
        let context = usize::try_from(plan.index().parameters.context).unwrap_or(0);
        loop {
            let stored = walk.store.read(from..end, &|| plan.request(piece).end)?;
            walk.fetched += u64::from(piece.entry.stored);
            let context = walk.recent.len().saturating_sub(context)..;
            match unpack(stored, &piece.entry, walk.recent.get(context).unwrap_or_default()) {
                Ok(piece) => return Ok(piece),
                Err(Unsealed) if self.distrust(&mut walk.store) => {}
                Err(Unsealed) => return Ok(None),
            }
        }
    }

    /// At the first piece of a try that goes on: what stands in the slot before it.
    fn remember(&self, walk: &mut Walk, piece: &Placed) {
        if walk.recent.is_empty() && piece.at > 0 {
            let length = usize::try_from(piece.at).unwrap_or(usize::MAX).min(RECENT_BYTES);
            let at = piece.at.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
            // What cannot be read shows when the first piece does not come out right.
            walk.recent = read(&self.written, at, length).unwrap_or_default();
        }
    }

    fn send(&self, walk: &mut Walk, mut at: u64, mut bytes: Bytes) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let part = bytes.split_to(PIECE_BYTES.min(bytes.len()));
            let end = at.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            self.pieces.blocking_send(Ok(Piece { at, bytes: part })).map_err(|_| Stop::Gone)?;
            at = end;
            walk.at = walk.at.max(end);
        }
        Ok(())
    }
}

fn read(file: &File, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}
