//! What the fleet is looked up by: certificate, hardware, serial, machine, and who waits. Indexes only: the members say
//! what is true, and each index is changed together with them, under one lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use cordon_proto::ids::{DeviceId, HardwareId, Sha256, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::admit;
use cordon_server_core::device::Device;

use super::{Fleet, Member};
use crate::store::Revision;

/// Removed devices that are remembered, so that a document of theirs that is delivered late does not bring one back.
const REMOVED: usize = 4096;

impl Fleet {
    /// The devices that only a list of assets names, of any model with this serial, in whatever letters.
    #[must_use]
    pub fn listed_as(&self, serial: &Text) -> Vec<Arc<Member>> {
        self.read().listed_as(serial).cloned().collect()
    }
}

/// The members and their indexes.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) members: BTreeMap<DeviceId, Arc<Member>>,
    pub(super) by_leaf: HashMap<Sha256, DeviceId>,
    pub(super) by_hardware: HashMap<HardwareId, DeviceId>,
    pub(super) by_machine: HashMap<Sha256, BTreeSet<DeviceId>>,
    pub(super) urgent: BTreeSet<DeviceId>,
    by_serial: HashMap<Text, BTreeSet<DeviceId>>,
    /// Devices that only a list of assets names, by their serial in plain letters.
    listed: HashMap<String, BTreeSet<DeviceId>>,
    /// Those at which a key asks; whether its time is over is asked of the member.
    asking: BTreeSet<DeviceId>,
    removed: VecDeque<(DeviceId, Revision)>,
}

impl View {
    /// Whether the document that `revision` wrote, or a later one, was taken in.
    pub(super) fn knows(&self, device: DeviceId, revision: Revision) -> bool {
        match self.members.get(&device) {
            Some(known) => known.revision >= revision,
            None => self.removed.iter().any(|(gone, upto)| *gone == device && *upto >= revision),
        }
    }

    /// The devices of any model with this serial.
    pub(super) fn by_serial(&self, serial: &Text) -> impl Iterator<Item = &Arc<Member>> {
        let devices = self.by_serial.get(serial).into_iter().flatten();
        devices.filter_map(|device| self.members.get(device))
    }

    /// The devices that only a list of assets names, of any model with this serial, in whatever letters.
    pub(super) fn listed_as(&self, serial: &Text) -> impl Iterator<Item = &Arc<Member>> {
        let devices = self.listed.get(&plain(serial)).into_iter().flatten();
        devices.filter_map(|device| self.members.get(device))
    }

    /// How many keys wait for a person.
    pub(super) fn waiting(&self, now: Timestamp) -> usize {
        let asking = self.asking.iter().filter_map(|device| self.members.get(device));
        asking.filter(|member| admit::waiting(&member.device, now).is_some()).count()
    }

    /// Takes a device's document into the indexes, in the place of the one `before`.
    pub(super) fn index(&mut self, before: Option<&Device>, device: &Device) {
        let id = device.id;
        if let Some(before) = before {
            self.forget_names(before);
        }
        let held = device.identities().map(|identity| identity.leaf);
        self.by_leaf.extend(device.superseded.iter().copied().chain(held).map(|leaf| (leaf, id)));
        // What only a list names is nobody yet: it must not stand in the place of a device that spoke.
        if !device.is_listed_only() {
            self.by_hardware.insert(device.hardware.identity(), id);
        }
        self.by_serial.entry(device.hardware.serial.clone()).or_default().insert(id);
        if device.is_listed_only() {
            self.listed.entry(plain(&device.hardware.serial)).or_default().insert(id);
        }
        match device.asking {
            Some(_) => self.asking.insert(id),
            None => self.asking.remove(&id),
        };
    }

    /// Forgets a device, if the document held of it is older than `revision`.
    pub(super) fn remove(&mut self, device: DeviceId, revision: Revision) -> Option<DeviceId> {
        let member = self.members.get(&device).filter(|known| known.revision < revision)?.clone();
        self.forget_names(&member.device);
        self.moved(device, member.machine(), None);
        self.asking.remove(&device);
        self.urgent.remove(&device);
        self.members.remove(&device);
        if self.removed.len() >= REMOVED {
            self.removed.pop_front();
        }
        self.removed.push_back((device, revision));
        Some(device)
    }

    fn forget_names(&mut self, device: &Device) {
        let hardware = device.hardware.identity();
        if self.by_hardware.get(&hardware) == Some(&device.id) {
            self.by_hardware.remove(&hardware);
        }
        let serial = &device.hardware.serial;
        drop_from(&mut self.by_serial, serial, device.id);
        drop_from(&mut self.listed, &plain(serial), device.id);
    }

    /// A device says that it is on another machine than `before`.
    pub(super) fn moved(&mut self, device: DeviceId, before: Option<Sha256>, now: Option<Sha256>) {
        if let Some(before) = before {
            drop_from(&mut self.by_machine, &before, device);
        }
        if let Some(now) = now {
            self.by_machine.entry(now).or_default().insert(device);
        }
    }
}

/// A serial as it is compared where a person typed it.
fn plain(serial: &Text) -> String {
    serial.as_str().trim().to_ascii_lowercase()
}

fn drop_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<DeviceId>>, key: &K, device: DeviceId) {
    if let Some(devices) = index.get_mut(key) {
        devices.remove(&device);
        if devices.is_empty() {
            index.remove(key);
        }
    }
}
