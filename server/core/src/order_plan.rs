//! What an order would do, before anybody signs it: every device that is meant falls to exactly one fate.
//!
//! Facts come in, a preview goes out; nothing is ordered and nobody is believed by it: devices decide for themselves when
//! the order comes. What is not known is counted as unknown, never as fine; what a release closes is unknown until
//! advisories are matched. Read next: [`crate::paths_up`], [`crate::select`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cordon_proto::checkin::InterlockState;
use cordon_proto::ids::{DeviceId, TargetPath};
use cordon_proto::time::Timestamp;
use cordon_proto::update::release::{InterlockClass, Release};
use serde::Serialize;

use crate::device::{Device, Report};
use crate::import::KnownRelease;
use crate::paths_up::{Stands, Step, path};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// What is to be ordered.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The release.
    pub release: &'a Release,
    /// All steps that its model has, from [`crate::paths_up::steps_of`].
    pub steps: &'a [Step<'a>],
    /// When.
    pub now: Timestamp,
}

/// One device that is meant.
#[derive(Clone, Copy, Debug)]
pub struct Meant<'a> {
    /// Its document.
    pub device: &'a Device,
    /// What it last said.
    pub report: Option<&'a Report>,
    /// The last authenticated request.
    pub seen: Option<Timestamp>,
    /// When something on it first said whether it is in use, written down or not yet.
    pub spoke: Option<Timestamp>,
}

/// What becomes of a device under the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It would install it.
    Fits,
    /// It runs it.
    Already,
    /// It runs a newer one: going down takes a signed way back, not an order.
    Newer,
    /// The release is not for its hardware revision.
    OtherHardware,
    /// It accepts nothing so old.
    BelowFloor,
    /// It has to install these first.
    NeedsStep(Vec<TargetPath>),
    /// It is too old, and no listed release leads there.
    NoWay,
    /// The release waits for the word of an application, and nothing on the device ever said whether it is in use.
    NoApplication,
    /// It never said what it runs.
    Unknown,
}

impl Fate {
    /// The word in lists.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Already => "already",
            Self::Newer => "newer",
            Self::OtherHardware => "other-hardware",
            Self::BelowFloor => "below-floor",
            Self::NeedsStep(_) => "needs-step",
            Self::NoWay => "no-way",
            Self::NoApplication => "no-application",
            Self::Unknown => "unknown",
        }
    }
}

/// What an order would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Devices that are meant.
    pub total: u32,
    /// Devices by their fate; the sum is `total`.
    pub fates: BTreeMap<&'static str, u32>,
    /// Devices by the steps that they have to take first.
    pub steps: BTreeMap<Vec<TargetPath>, u32>,
    /// Devices that are left out because nothing on them ever said whether they are in use.
    pub no_application: Vec<DeviceId>,
    /// Of those that fit: in use now.
    pub in_use_now: u32,
    /// Of those that fit: nobody says now whether they are in use.
    pub unknown_use: u32,
    /// Of those that fit: last heard within a day, a week, a month, and longer ago or never.
    pub unreached_days: [u32; 4],
}

/// What a way back would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackPreview {
    /// Devices that confirmed may return.
    Open,
    /// Confirming closes it at once: the release accepts nothing so old.
    BelowFloor {
        /// The release's floor.
        floor: u64,
        /// The counter of the way back.
        counter: u64,
    },
    /// It is not below the release.
    NotOlder,
    /// Its maker lists it no more: devices refuse it.
    NotListed,
    /// It is for another model.
    OtherModel,
}

/// What becomes of one device.
#[must_use]
pub fn fate(case: &Case<'_>, meant: &Meant<'_>) -> Fate {
    let (release, hardware) = (case.release, &meant.device.hardware);
    if !release.hardware.contains(&hardware.revision) {
        return Fate::OtherHardware;
    }
    let Some(report) = meant.report else { return Fate::Unknown };
    let software = &report.software;
    if software.sha256 == release.image.sha256 || software.counter == release.counter {
        return Fate::Already;
    }
    if software.counter > release.counter {
        return Fate::Newer;
    }
    if software.floor > release.counter {
        return Fate::BelowFloor;
    }
    if release.interlock == InterlockClass::Application && meant.spoke.is_none() {
        return Fate::NoApplication;
    }
    let (counter, floor) = (software.counter, software.floor);
    let stands = Stands { revision: &hardware.revision, counter, floor };
    match path(stands, &release.image.release, case.steps) {
        None => Fate::NoWay,
        Some(way) if way.len() == 1 => Fate::Fits,
        Some(way) => Fate::NeedsStep(way),
    }
}

/// What an order would do over these devices.
pub fn preview<'a>(case: &Case<'_>, devices: impl IntoIterator<Item = Meant<'a>>) -> Preview {
    let mut preview = Preview::default();
    for meant in devices {
        let fate = fate(case, &meant);
        preview.total += 1;
        *preview.fates.entry(fate.word()).or_default() += 1;
        match fate {
            Fate::Fits => preview.plan(&meant, case.now),
            Fate::NeedsStep(way) => *preview.steps.entry(way).or_default() += 1,
            Fate::NoApplication => preview.no_application.push(meant.device.id),
            Fate::Already
            | Fate::Newer
            | Fate::OtherHardware
            | Fate::BelowFloor
            | Fate::NoWay
            | Fate::Unknown => {}
        }
    }
    preview
}

impl Preview {
    fn plan(&mut self, meant: &Meant<'_>, now: Timestamp) {
        match meant.report.map(|report| report.interlock) {
            Some(InterlockState::InUse) => self.in_use_now += 1,
            Some(InterlockState::Unknown) | None => self.unknown_use += 1,
            Some(InterlockState::Standby | InterlockState::Service) => {}
        }
        let days = meant.seen.map_or(i64::MAX, |seen| now.seconds_since(seen) / DAY_S);
        let [day, week, month, longer] = &mut self.unreached_days;
        let age = match days {
            ..1 => day,
            1..7 => week,
            7..30 => month,
            30.. => longer,
        };
        *age += 1;
    }
}

/// What a way back from `release` to `back` would do.
#[must_use]
pub fn way_back(release: &Release, back: &KnownRelease) -> BackPreview {
    let (floor, counter) = (release.floor, back.counter);
    if back.model != release.model {
        BackPreview::OtherModel
    } else if !back.listed {
        BackPreview::NotListed
    } else if counter >= release.counter {
        BackPreview::NotOlder
    } else if counter < floor {
        BackPreview::BelowFloor { floor, counter }
    } else {
        BackPreview::Open
    }
}
