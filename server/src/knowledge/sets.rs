//! What devices of one image, model and release are exposed to, made once for all of them.
//!
//! Kept until what is known, since when, or what is in the releases changes; of what nobody has any more it is forgotten, and
//! beyond a bound nothing is kept, so that devices which all differ cost time and no memory. Nothing is judged here. Read
//! next: `exposure::exposed` in `server/core`, which judges; [`super::matched`], which asks.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use cordon_proto::ids::Sha256;
use cordon_server_core::exposure::{Exposed, Holdings, ModelKey};

use super::Matched;
use super::matched::{model_of, model_texts};
use crate::fleet::Member;

/// Exposures that are kept in all sets together.
const KEPT: usize = 300_000;

/// Sets that were made.
#[derive(Default)]
pub(super) struct Sets(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    sets: HashMap<Alike, Arc<Exposed>>,
    exposures: usize,
}

/// What makes two devices exposed to the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alike {
    composition: Option<Sha256>,
    model: ModelKey,
    running: Option<u64>,
}

impl Alike {
    pub(super) fn of(composition: Option<Sha256>, member: &Member) -> Self {
        Self { composition, model: model_of(member), running: running(member) }
    }
}

pub(super) fn running(member: &Member) -> Option<u64> {
    member.report.as_deref().map(|report| report.software.counter)
}

impl Sets {
    /// The set, made if it is not here.
    pub(super) fn of(&self, alike: Alike, make: impl FnOnce() -> Exposed) -> Arc<Exposed> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).sets.get(&alike) {
            return known.clone();
        }
        let made = Arc::new(make());
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // An empty set costs its key.
        let weight = made.exposures.len().saturating_add(1);
        if kept.exposures.saturating_add(weight) <= KEPT && kept.sets.insert(alike, made.clone()).is_none() {
            kept.exposures += weight;
        }
        made
    }

    /// Forgets the sets of compositions that nobody has any more.
    pub(super) fn tidy(&self, holdings: &Holdings) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.sets.retain(|alike, _| alike.composition.is_none_or(|digest| holdings.has_composition(&digest)));
        kept.exposures = kept.sets.values().map(|set| set.exposures.len() + 1).sum();
    }
}

/// The sets of devices that are looked at one after the other, each with a number.
pub struct Numbered<'a> {
    matched: &'a Matched,
    numbers: HashMap<Key<'a>, usize>,
    sets: Vec<Arc<Exposed>>,
}

/// The same as [`Alike`] without a copy of any text.
type Key<'a> = (Option<Sha256>, [&'a str; 3], Option<u64>);

impl<'a> Numbered<'a> {
    /// No set yet.
    #[must_use]
    pub fn new(matched: &'a Matched) -> Self {
        Self { matched, numbers: HashMap::new(), sets: Vec::new() }
    }

    /// The number of the set that a device is exposed to; none where nothing was ever imported.
    pub fn of(&mut self, member: &'a Member) -> Option<usize> {
        if self.matched.knows_nothing() {
            return None;
        }
        let key = (self.matched.composition_of(member), model_texts(member), running(member));
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        let (composition, exposed) = self.matched.exposed_as(member)?;
        let number = self.sets.len();
        self.sets.push(exposed);
        // Its list of software may have come anew since the key was made.
        self.numbers.insert((composition, key.1, key.2), number);
        Some(number)
    }

    /// A set by its number.
    #[must_use]
    pub fn set(&self, number: usize) -> Option<&Arc<Exposed>> {
        self.sets.get(number)
    }
}
