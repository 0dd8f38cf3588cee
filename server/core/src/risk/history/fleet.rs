//! The history of the fleet: how many devices, how much risk, in which bands, of which kinds, and who came and went.
//!
//! One point an hour for a week, then one a day. A point is what was said; it is never computed backwards. Read next:
//! [`super::Said`] for one device.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DAYS, VERSION, day};
use crate::risk::hazard::DAY_S;
use crate::risk::model::Model;
use crate::risk::score::{Band, ByKind, Value};
use crate::risk::what_if::count;

/// Days for which a point an hour is kept.
const HOURLY_DAYS: i64 = 8;
/// Seconds of an hour.
const HOUR_S: i64 = 3600;

/// What was said of the fleet, the oldest point first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSaid {
    /// Version of this document.
    pub v: u32,
    /// The points.
    pub points: Vec<FleetPoint>,
}

/// What was said of the fleet at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetPoint {
    /// When.
    pub at: Timestamp,
    /// Devices that were counted.
    pub devices: u32,
    /// Sum of their scores in hundredths of a point.
    pub hundredths: u64,
    /// Devices by band: low, medium, high, critical.
    pub bands: [u32; 4],
    /// Hundredths by kind of part; they sum to all.
    pub kinds: ByKind,
    /// Devices that became critical since the point before.
    pub entered_critical: u32,
    /// Devices that left the critical band since then.
    pub left_critical: u32,
    /// Devices that are counted since then.
    pub joined: u32,
    /// Devices that are counted no more.
    pub gone: u32,
    /// SHA-256 of the table of figures.
    pub model: String,
}

impl Default for FleetSaid {
    fn default() -> Self {
        Self { v: VERSION, points: Vec::new() }
    }
}

impl FleetPoint {
    /// A point that nothing was counted into yet.
    #[must_use]
    pub fn begin(at: Timestamp, model: &Model) -> Self {
        Self { at, model: model.sha256_hex(), ..Self::default() }
    }

    /// Counts a device in; `before` is its band at the point before, if it was counted then.
    pub fn add(&mut self, value: Value, kinds: &ByKind, before: Option<Band>) {
        self.devices += 1;
        self.hundredths += u64::from(value.hundredths);
        count(&mut self.bands, value.band);
        self.kinds.add(kinds);
        let is = value.band == Band::Critical;
        match before {
            None => self.joined += 1,
            Some(band) => {
                let was = band == Band::Critical;
                self.entered_critical += u32::from(is && !was);
                self.left_critical += u32::from(was && !is);
            }
        }
    }

    /// Takes in a later point of the same stretch.
    fn join(&mut self, later: Self) {
        let sum = |of: fn(&Self) -> u32| of(self).saturating_add(of(&later));
        let (entered_critical, left_critical) =
            (sum(|one| one.entered_critical), sum(|one| one.left_critical));
        let (joined, gone) = (sum(|one| one.joined), sum(|one| one.gone));
        *self = Self { entered_critical, left_critical, joined, gone, ..later };
    }
}

impl FleetSaid {
    /// Writes a point down: the last one of its hour counts, of an older day the last one of the day.
    pub fn record(&mut self, point: FleetPoint) {
        let now = point.at;
        self.points.push(point);
        let is_hourly = |at: Timestamp| now.seconds_since(at) <= HOURLY_DAYS * DAY_S;
        let stretch = |at: Timestamp| match is_hourly(at) {
            true => (day(at), at.0.div_euclid(HOUR_S)),
            false => (day(at), -1),
        };
        let mut kept: Vec<FleetPoint> = Vec::new();
        for point in self.points.drain(..) {
            match kept.last_mut() {
                Some(before) if stretch(before.at) == stretch(point.at) => before.join(point),
                Some(_) | None => kept.push(point),
            }
        }
        kept.retain(|point| now.seconds_since(point.at) <= DAYS * DAY_S);
        self.points = kept;
    }

    /// The stored document.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and integers are always JSON")
    }

    /// Reads the stored document; nothing for one of another version.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|read: &Self| read.v == VERSION)
    }
}
