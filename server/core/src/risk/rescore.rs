//! A whole fleet scored anew: what devices share is weighed once.
//!
//! Devices of one image, model and release are exposed to the same; how much of it can be reached depends on where a device
//! stands, and there are twenty ways. So a set of exposures is weighed once for each, the model's figures once for all
//! ([`super::scale`]), and a device costs what it says of itself ([`Own`]) and one sum. The values are those of
//! [`super::score::value`], to the hundredth. Read next: [`super::history`] for who asks.

use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::facts::{Exposure, Facts, Reach};
use super::hazard::{OwnFacts, each_own_part, of_exposures};
use super::model::Model;
use super::own::{Beside, Own};
use super::scale::Remembered;
use super::score::{ByKind, Value, impact_e8, shared_by_kind};

/// One pass over a fleet.
#[derive(Debug)]
pub struct Rescoring<'a> {
    model: &'a Model,
    scale: Remembered<'a>,
    now: Timestamp,
    /// Hazards of each set by the reach, as far as they were asked for.
    weighed: Vec<[Option<u64>; Reach::KINDS]>,
}

/// A set of exposures that devices share: its number in this pass, from 0 on, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// Its number; of two sets never the same.
    pub number: usize,
    /// What is in it.
    pub exposures: &'a [Exposure],
}

impl<'a> Rescoring<'a> {
    /// A pass by this model at this time.
    #[must_use]
    pub fn new(model: &'a Model, now: Timestamp) -> Self {
        Self { model, scale: Remembered::new(model), now, weighed: Vec::new() }
    }

    /// The score of a device, and its hundredths by kind of part.
    pub fn by_kind(&mut self, own: &Own, beside: &Beside<'_>, shared: Option<Shared<'_>>) -> (Value, ByKind) {
        let vulnerability = self.hazard(&own.reach, shared);
        let (posture, freshness) = (own.posture(beside.exposed), own.freshness(beside));
        let own_facts = OwnFacts { posture: &posture, freshness: &freshness, findings: &own.findings };
        let hazards = self.own_hazards(own_facts, vulnerability);
        shared_by_kind(hazards, impact_e8(&own.impact, self.model), self.model)
    }

    /// The score of a device whose facts are here and name no exposure.
    pub fn value(&mut self, own: &Facts, shared: Option<Shared<'_>>) -> Value {
        let vulnerability = self.hazard(&own.reach, shared);
        let own_facts =
            OwnFacts { posture: &own.posture, freshness: &own.freshness, findings: &own.findings };
        let hazards = self.own_hazards(own_facts, vulnerability);
        Value::of(hazards.total(), impact_e8(&own.impact, self.model), self.model)
    }

    fn own_hazards(&self, own: OwnFacts<'_>, vulnerability: u64) -> ByKind {
        let mut hazards = ByKind { vulnerability, ..ByKind::default() };
        each_own_part(own, &self.scale, self.now, &mut |part| hazards.count(&part));
        hazards
    }

    fn hazard(&mut self, reach: &Reach, shared: Option<Shared<'_>>) -> u64 {
        let Some(shared) = shared.filter(|shared| !shared.exposures.is_empty()) else { return 0 };
        if self.weighed.len() <= shared.number {
            self.weighed.resize(shared.number.saturating_add(1), [None; Reach::KINDS]);
        }
        let known = self.weighed.get_mut(shared.number).and_then(|set| set.get_mut(reach.number()));
        let weigh = || of_exposures(shared.exposures, reach, self.model);
        match known {
            Some(known) => *known.get_or_insert_with(weigh),
            None => weigh(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::cases::{Chance, NOW, device};
    use crate::risk::facts::{Place, Zone};
    use crate::risk::model::RISK_V1;
    use crate::risk::score::value;
    use alloc::collections::BTreeSet;

    #[test]
    fn a_fleet_that_shares_its_exposures_has_the_scores_of_its_devices() {
        // Goal: the quick way gives no other number. Method: four hundred devices by chance share forty sets; each score against
        // the score of the whole device.
        let mut chance = Chance::new(7);
        let sets: Vec<Facts> = (0..40).map(|_| device(&mut chance)).collect();
        let mut rescoring = Rescoring::new(&RISK_V1, NOW);
        for place in 0..400 {
            let own = Facts { exposures: Vec::new(), ..device(&mut chance) };
            let set = &sets[place % 40];
            let whole = Facts { exposures: set.exposures.clone(), ..own.clone() };
            let shared = Shared { number: place % 40, exposures: &set.exposures };
            assert_eq!(rescoring.value(&own, Some(shared)), value(&whole, &RISK_V1, NOW));
            assert_eq!(rescoring.value(&own, None), value(&own, &RISK_V1, NOW));
        }
    }

    #[test]
    fn each_reach_has_a_number_of_its_own() {
        // Goal: no device is weighed as if it stood elsewhere. Method: all of them.
        let zones =
            [None, Some(Zone::Isolated), Some(Zone::Segmented), Some(Zone::Flat), Some(Zone::Internet)];
        let places = [None, Some(Place::LockedRoom), Some(Place::ClinicalArea), Some(Place::Public)];
        let all = zones.into_iter().flat_map(|zone| places.map(|place| Reach { zone, place }.number()));
        let numbers: BTreeSet<usize> = all.collect();
        assert_eq!(numbers, (0..Reach::KINDS).collect());
    }
}
