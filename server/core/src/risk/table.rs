//! The same score for many devices at once: what an exposure adds is computed once for every place that a device can
//! have in network and building, so that a device's sum is additions of integers.
//!
//! A row comes from [`of_exposure`] itself, twelve times, and the other parts from the very functions that explain
//! them: the value cannot differ from the explained one. Nothing here writes a word. Read next: [`super::score`].

use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::facts::{Exposure, Facts, Place, Reach, Zone};
use super::hazard::{ASSUMED_PLACE, ASSUMED_ZONE, of_exposure, own};
use super::model::Model;
use super::score::{Value, impact_e8};

const ZONES: [Zone; 4] = [Zone::Isolated, Zone::Segmented, Zone::Flat, Zone::Internet];
const PLACES: [Place; 3] = [Place::LockedRoom, Place::ClinicalArea, Place::Public];
/// Places that a device can have: each zone with each place.
const CELLS: usize = ZONES.len() * PLACES.len();

/// What one alias group in one source package adds, in micro-nepers, for each place that a device can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row([u32; CELLS]);

/// The place of a device among all that there are; what nobody stated is assumed as in the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(usize);

impl Cell {
    /// The place of a device with this reach.
    #[must_use]
    pub fn of(reach: &Reach) -> Self {
        let zone = match reach.zone.unwrap_or(ASSUMED_ZONE) {
            Zone::Isolated => 0,
            Zone::Segmented => 1,
            Zone::Flat => 2,
            Zone::Internet => 3,
        };
        let place = match reach.place.unwrap_or(ASSUMED_PLACE) {
            Place::LockedRoom => 0,
            Place::ClinicalArea => 1,
            Place::Public => 2,
        };
        Self(zone * PLACES.len() + place)
    }
}

impl Row {
    /// What this exposure adds.
    #[must_use]
    pub fn of(exposure: &Exposure, model: &Model) -> Self {
        let mut row = Self::default();
        for zone in ZONES {
            for place in PLACES {
                let reach = Reach { zone: Some(zone), place: Some(place) };
                if let Some(hazard) = row.0.get_mut(Cell::of(&reach).0) {
                    *hazard = of_exposure(exposure, &reach, model);
                }
            }
        }
        row
    }

    /// What it adds on a device at this place.
    #[must_use]
    pub fn at(&self, cell: Cell) -> u32 {
        self.0.get(cell.0).copied().unwrap_or_default()
    }

    /// The heavier of two exposures of one alias group in one source package, place for place.
    fn or(mut self, other: &Self) -> Self {
        for (hazard, other) in self.0.iter_mut().zip(other.0) {
            *hazard = other.max(*hazard);
        }
        self
    }
}

/// What these exposures of one device add: one row for each alias group in each source package.
#[must_use]
pub fn rows(exposures: &[Exposure], model: &Model) -> Vec<Row> {
    let mut all: Vec<((&str, &str), Row)> =
        exposures.iter().map(|exposure| (key(exposure), Row::of(exposure, model))).collect();
    all.sort_by_key(|(key, _)| *key);
    all.dedup_by(|(later, row), (kept, heaviest)| {
        let same = later == kept;
        if same {
            *heaviest = heaviest.or(row);
        }
        same
    });
    all.into_iter().map(|(_, row)| row).collect()
}

/// The score of a device whose exposures stand in `rows`; those of its facts are not looked at.
#[must_use]
pub fn value<'r>(
    facts: &Facts,
    rows: impl IntoIterator<Item = &'r Row>,
    model: &Model,
    now: Timestamp,
) -> Value {
    let cell = Cell::of(&facts.reach);
    let mut hazard: u64 = rows.into_iter().map(|row| u64::from(row.at(cell))).sum();
    own(facts, model, now, &mut |part| hazard += u64::from(part.hazard));
    Value::of(hazard, impact_e8(facts, model), model)
}

fn key(exposure: &Exposure) -> (&str, &str) {
    (exposure.id.as_str(), exposure.source_name())
}
