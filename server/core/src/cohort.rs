//! Cohorts: the devices of one model, held against each other, so that what befalls a model is one finding.
//!
//! From the findings that devices sent, and from nothing else, it tells three things: what showed up on many devices of a
//! model at once ([`group`]), what changed within a day of a confirmed update, and how rare a finding is among its peers
//! ([`rarity`]). Nothing is hidden here and nothing is decided: each device keeps its own finding, counted once in its own
//! score and told once to a SIEM. Read next: [`group`] for the thresholds and their reasons.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Name, Sha256, TargetPath, Text};
use cordon_proto::time::Timestamp;

use crate::triage::Record;

pub mod group;
pub mod rarity;
#[cfg(test)]
mod tests;

pub use group::{Cause, Group, Part};
pub use rarity::Rarity;

/// Seconds within which a device must have been heard to count as a peer.
pub const HEARD_S: i64 = 7 * 86_400;

/// One device as it is held against others.
#[derive(Clone, Debug)]
pub struct Peer<'a> {
    /// The device.
    pub device: DeviceId,
    /// Its model.
    pub model: &'a Text,
    /// When it was last heard.
    pub heard: Option<Timestamp>,
    /// Its confirmed updates.
    pub updates: Vec<Update<'a>>,
    /// Its findings by their place in the store.
    pub findings: Vec<(Sha256, &'a Record)>,
}

/// A confirmed update, by the device's own signed receipt.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The release that runs since.
    pub release: &'a TargetPath,
    /// The order by which it came.
    pub order: &'a Name,
    /// When, by the device's clock: the clock by which its findings are dated too.
    pub at: Timestamp,
}

/// All cohorts of a fleet at one time.
#[derive(Clone, Debug, Default)]
pub struct Cohorts {
    /// Findings of many devices, the gravest first, then the newest.
    pub groups: Vec<Group>,
    /// Devices by model that were heard lately.
    heard: BTreeMap<Text, BTreeSet<DeviceId>>,
    /// Devices by model that ever told of a detector's key.
    told: BTreeMap<(Text, Name, Text), BTreeSet<DeviceId>>,
    /// In which group a finding is.
    place: BTreeMap<Name, usize>,
}

impl Cohorts {
    /// The cohorts of these devices. The order in which they come changes nothing.
    #[must_use]
    pub fn of(peers: &[Peer<'_>], now: Timestamp) -> Self {
        let mut cohorts = Self::default();
        for peer in peers {
            let is_heard = peer.heard.is_some_and(|heard| now.seconds_since(heard) <= HEARD_S);
            if is_heard {
                cohorts.heard.entry(peer.model.clone()).or_default().insert(peer.device);
            }
            for (_, record) in &peer.findings {
                let finding = &record.finding;
                let key = (peer.model.clone(), finding.detector.clone(), finding.key.clone());
                cohorts.told.entry(key).or_default().insert(peer.device);
            }
        }
        cohorts.groups = group::groups(peers, &cohorts.heard);
        for (number, group) in cohorts.groups.iter().enumerate() {
            cohorts.place.extend(group.parts.iter().map(|part| (part.id.clone(), number)));
        }
        cohorts
    }

    /// The group with this name.
    #[must_use]
    pub fn group(&self, id: &Name) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == *id)
    }

    /// The group that a finding is in.
    #[must_use]
    pub fn group_of(&self, finding: &Name) -> Option<&Group> {
        self.groups.get(*self.place.get(finding)?)
    }

    /// How rare a finding of a device of this model is.
    #[must_use]
    pub fn rarity(&self, model: &Text, record: &Record) -> Rarity {
        let finding = &record.finding;
        let key = (model.clone(), finding.detector.clone(), finding.key.clone());
        let mut devices = self.heard.get(model).cloned().unwrap_or_default();
        let mut told = self.told.get(&key).cloned().unwrap_or_default();
        told.remove(&record.device);
        devices.extend(&told);
        devices.remove(&record.device);
        Rarity { model: model.clone(), others: devices.len(), told: told.len() }
    }
}
