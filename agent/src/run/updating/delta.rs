//! An image that is put together on the device: pieces of the running slot, and of the maker's store what is new.
//!
//! It stands where the stream of the whole image would: whoever writes the slot sees pieces in their order, and what is
//! written is read back and hashed as ever. A network that fails is the network's fault and waited out as for any image;
//! everything else that is not as it should be ends the delta for this image, is told once in the log, and the rest
//! comes from the whole image. An update never waits for its delta. What is where is decided in
//! `cordon_agent_core::update::delta`. Read next: [`assembler`].

mod assembler;
mod cutter;
mod store;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use cordon_agent_core::update::delta::{Offer, Plan};
use cordon_proto::ids::Sha256;

use super::Updating;
use crate::link::mirrors::{Pieces, Wanted};
use assembler::Assembler;

/// Tries one after the other that may bring nothing before the whole image has a turn.
const IDLE_TRIES: u8 = 5;

/// What is kept of a delta between two tries, so that a cut connection costs nothing twice.
pub(super) struct Delta {
    image: Sha256,
    offer: Offer,
    kept: Arc<Mutex<Kept>>,
    standing: Arc<Standing>,
}

/// Whether it is still tried.
#[derive(Default)]
struct Standing {
    /// It is of no use: the whole image is fetched.
    left: AtomicBool,
    /// Tries one after the other that the network ended before anything came.
    idle: AtomicU8,
}

/// What one try leaves to the next.
#[derive(Default)]
struct Kept {
    /// The beginning of the index, while it is under way.
    index: Vec<u8>,
    /// The index and what the running slot has of it.
    plan: Option<Plan>,
    /// Where the piece under way begins in the store, and what came of it.
    begun: (u64, Vec<u8>),
}

impl Kept {
    /// What changes whenever something came.
    fn held(&self) -> (usize, bool, u64, usize) {
        (self.index.len(), self.plan.is_some(), self.begun.0, self.begun.1.len())
    }
}

impl Standing {
    fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// A try was ended by the network.
    fn tried(&self, something_came: bool) {
        let idle = self.idle.load(Ordering::Relaxed).saturating_add(1);
        self.idle.store(if something_came { 0 } else { idle }, Ordering::Relaxed);
    }

    /// Whether to try it now. After tries that brought nothing the whole image has a turn: what stops the delta may let it
    /// through, and where the network is down it costs nothing.
    fn has_a_turn(&self) -> bool {
        if self.idle.load(Ordering::Relaxed) >= IDLE_TRIES {
            self.idle.store(0, Ordering::Relaxed);
            return false;
        }
        !self.left.load(Ordering::Relaxed)
    }
}

impl Updating {
    /// Puts the image together beside everything else. False where there is no delta for it, or it was of no use.
    pub(super) fn assemble(&mut self, wanted: &Wanted, pieces: &Pieces) -> bool {
        // An image that came damaged comes whole the next time, whoever is to blame.
        let Some((_, release)) = self.evidence.as_ref().and_then(|evidence| evidence.read()) else {
            return false;
        };
        let Some(offer) = Offer::of(release, wanted.from).filter(|_| release.image.sha256 == wanted.sha256)
        else {
            return false;
        };
        if self.record.damaged.is_some() {
            return false;
        }
        let installed = self.record.installed.slot;
        let Ok(installer) = &self.means.installer else { return false };
        let Some(slots) = installer.slots.slots() else { return false };
        let (running, written) = (slots.read(installed), slots.read(installed.other()));
        let (Ok((running, held)), Ok((written, _))) = (running, written) else { return false };
        let delta = match self.delta.take() {
            Some(delta) if delta.image == wanted.sha256 && delta.offer == offer => delta,
            Some(_) | None => {
                Delta { image: wanted.sha256, offer, kept: Arc::default(), standing: Arc::default() }
            }
        };
        let delta = self.delta.insert(delta);
        if !delta.standing.has_a_turn() {
            return false;
        }
        let assembler = Assembler {
            whole: wanted.clone(),
            offer,
            running: (running, held.min(self.record.installed.length)),
            written,
            link: self.peers.to_link.clone(),
            pieces: pieces.clone(),
            standing: Arc::clone(&delta.standing),
        };
        let kept = Arc::clone(&delta.kept);
        tokio::task::spawn_blocking(move || assembler.run(&kept));
        true
    }
}
