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
use std::sync::{Arc, Mutex, OnceLock};

use cordon_agent_core::update::delta::{Offer, Plan, Unusable};
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
    /// Why it is of no use, if it is not: the whole image is fetched.
    left: OnceLock<String>,
    /// A mirror sent of it what its maker did not write: the server alone is asked.
    lied_to: AtomicBool,
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
    fn leave(&self, why: String) {
        // One that was left stays left, for the first reason.
        let _ = self.left.set(why);
    }

    fn distrust_mirrors(&self) {
        self.lied_to.store(true, Ordering::Relaxed);
    }

    fn trusts_mirrors(&self) -> bool {
        !self.lied_to.load(Ordering::Relaxed)
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
        self.left.get().is_none()
    }
}

impl Updating {
    /// Puts the image together beside everything else. False where there is no delta for it, or it is of no use, which
    /// is told.
    pub(super) fn assemble(&mut self, wanted: &Wanted, pieces: &Pieces) -> bool {
        let offer = match self.offered(wanted) {
            Ok(Some(offer)) => offer,
            Ok(None) => return false,
            Err(why) => return self.comes_whole(wanted, &why.to_string()),
        };
        // An image that came damaged comes whole the next time, whoever is to blame.
        if self.record.damaged.is_some() {
            return self.comes_whole(wanted, "it came damaged before");
        }
        let slots = self.means.installer.as_ref().ok().and_then(|installer| installer.slots.slots());
        let Some(slots) = slots else {
            return self.comes_whole(wanted, "this device has no slots to put it together in");
        };
        let installed = self.record.installed.slot;
        let (running, written) = (slots.read(installed), slots.read(installed.other()));
        let (Ok((running, held)), Ok((written, _))) = (running, written) else {
            return self.comes_whole(wanted, "a slot cannot be read");
        };
        let delta = match self.delta.take() {
            Some(delta) if delta.image == wanted.sha256 && delta.offer == offer => delta,
            Some(_) | None => {
                Delta { image: wanted.sha256, offer, kept: Arc::default(), standing: Arc::default() }
            }
        };
        let delta = self.delta.insert(delta);
        if !delta.standing.has_a_turn() {
            // Why it was left was told then.
            let left = delta.standing.left.get().is_some();
            return !left
                && self.comes_whole(wanted, "the chunk delta did not come, and is tried again later");
        }
        self.whole = None;
        let assembler = Assembler {
            whole: wanted.clone(),
            offer,
            running: (running, held.min(self.record.installed.length)),
            written,
            link: self.peers.to_link.clone(),
            pieces: pieces.clone(),
            standing: Arc::clone(&delta.standing),
            mirrors: self.peers.mirrors.clone(),
        };
        let kept = Arc::clone(&delta.kept);
        tokio::task::spawn_blocking(move || assembler.run(&kept));
        true
    }

    fn offered(&self, wanted: &Wanted) -> Result<Option<Offer>, Unusable> {
        let read = self.evidence.as_ref().and_then(|evidence| evidence.read());
        let release = read.map(|(_, release)| release);
        match release.filter(|release| release.image.sha256 == wanted.sha256) {
            Some(release) => Offer::of(release, wanted.from),
            None => Ok(None),
        }
    }

    /// The image is fetched whole although its release has a delta; always false, for who asks whether it is put together.
    fn comes_whole(&mut self, wanted: &Wanted, why: &str) -> bool {
        tracing::warn!(%why, at = wanted.from, "the image is fetched whole");
        self.whole = Some(why.to_owned());
        false
    }

    /// Whether mirrors may be asked for the image, as far as its delta has shown.
    pub(super) fn trusts_mirrors(&self) -> bool {
        self.delta.as_ref().is_none_or(|delta| delta.standing.trusts_mirrors())
    }

    /// Notes why a delta that was under way was left, before it is forgotten.
    pub(super) fn note_whole(&mut self) {
        if let Some(why) = self.delta.as_ref().and_then(|delta| delta.standing.left.get()) {
            self.whole = Some(why.clone());
        }
    }
}
