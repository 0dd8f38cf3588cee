//! What devices of one image, model and release are exposed to, made once for all of them.
//!
//! Kept until what is known, since when, or what is in the releases changes; of what nobody has any more it is forgotten, and
//! beyond a bound nothing is kept, so that devices which all differ cost time and no memory. Nothing is judged here. Read
//! next: `exposure::exposed` in `server/core`, which judges; [`super::matched`], which asks.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use cordon_proto::ids::Sha256;
use cordon_server_core::exposure::{Exposed, Holdings};
use sha2::{Digest, Sha256 as Hasher};

use super::Matched;
use super::matched::model_texts;
use crate::fleet::{Documents, Member};

/// Exposures that are kept in all sets together.
const KEPT: usize = 300_000;

/// Sets that were made.
#[derive(Default)]
pub(super) struct Sets(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    sets: HashMap<Alike, Set>,
    exposures: usize,
}

struct Set {
    composition: Option<Sha256>,
    exposed: Arc<Exposed>,
}

/// What makes two devices exposed to the same, as one hash: what is installed, maker, model, version, and the release that runs
/// with its counter. Of two devices with the same one the same is newest, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alike(Sha256);

impl Alike {
    /// What it is of a device with these documents.
    #[must_use]
    pub fn of(documents: &Documents) -> Self {
        let composition = documents.inventory.as_deref().map(|inventory| inventory.composition);
        Self::with(composition, documents)
    }

    /// What it would be of the same device if this were installed on it.
    pub(super) fn with(composition: Option<Sha256>, documents: &Documents) -> Self {
        let mut hasher = Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            hasher.update(bytes);
        };
        put(composition.as_ref().map(|digest| &digest.0[..]).unwrap_or_default());
        for text in model_texts(documents).into_iter().chain([documents.device.hardware.model.as_str()]) {
            put(text.as_bytes());
        }
        let running = running(documents).map(u64::to_be_bytes);
        put(running.as_ref().map(|counter| &counter[..]).unwrap_or_default());
        Self(Sha256(hasher.finalize().into()))
    }
}

pub(super) fn running(documents: &Documents) -> Option<u64> {
    documents.report.as_deref().map(|report| report.software.counter)
}

impl Sets {
    /// The set of devices with this composition that are alike in this way, made if it is not here.
    pub(super) fn of(
        &self,
        alike: Alike,
        composition: Option<Sha256>,
        make: impl FnOnce() -> Exposed,
    ) -> Arc<Exposed> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).sets.get(&alike) {
            return known.exposed.clone();
        }
        let exposed = Arc::new(make());
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // An empty set costs its key.
        let weight = exposed.exposures.len().saturating_add(1);
        let set = || Set { composition, exposed: exposed.clone() };
        if kept.exposures.saturating_add(weight) <= KEPT && kept.sets.insert(alike, set()).is_none() {
            kept.exposures += weight;
        }
        exposed
    }

    /// Forgets the sets of compositions that nobody has any more.
    pub(super) fn tidy(&self, holdings: &Holdings) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.sets.retain(|_, set| set.composition.is_none_or(|digest| holdings.has_composition(&digest)));
        kept.exposures = kept.sets.values().map(|set| set.exposed.exposures.len() + 1).sum();
    }
}

/// The sets of devices that are looked at one after the other, each with a number.
pub struct Numbered<'a> {
    matched: &'a Matched,
    numbers: HashMap<Alike, usize>,
    sets: Vec<Option<Arc<Exposed>>>,
}

impl<'a> Numbered<'a> {
    /// No set yet.
    #[must_use]
    pub fn new(matched: &'a Matched) -> Self {
        Self { matched, numbers: HashMap::new(), sets: Vec::new() }
    }

    /// The number of the set that a device is exposed to: the next one if no device before was alike.
    pub fn of(&mut self, member: &Member) -> usize {
        let alike = member.gathered().alike;
        if let Some(number) = self.numbers.get(&alike) {
            return *number;
        }
        let number = self.sets.len();
        let exposed = self.matched.exposed_as(member);
        // Another list of its software may have come in since this view of it was taken.
        let alike = exposed.as_ref().map_or(alike, |(alike, _)| *alike);
        self.numbers.insert(alike, number);
        self.sets.push(exposed.map(|(_, exposed)| exposed));
        number
    }

    /// A set by its number; none where nothing was ever imported.
    #[must_use]
    pub fn set(&self, number: usize) -> Option<&Arc<Exposed>> {
        self.sets.get(number).and_then(Option::as_ref)
    }
}
