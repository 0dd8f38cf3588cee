//! The fleet in memory: every device with what it last said, rebuilt from the store, kept true after each commit.
//!
//! The device plane asks here on every request, pages and plans read here; the store remains the truth. Documents
//! come in by [`Fleet::follow`] alone, in whatever order: a later revision is never overwritten; heartbeats by [`Fleet::heard`], which writes
//! nothing. Readers get shared snapshots ([`Member`]) and never wait for a disk. Flows are not held: they are asked
//! from the store, a device at a time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use cordon_proto::ids::{DeviceId, HardwareId, Sha256, Text};
use cordon_proto::inventory::Inventory;
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::clone::{ALIVE_MS, Ended, Kept, Suspicion, Word};
use cordon_server_core::device::{Device, Report, State};
use cordon_server_core::exposure::{Holdings, Listed};
use tokio::sync::watch;

use crate::store::{Change, Key, Revision};

pub use self::member::{Documents, FINDINGS, InventoryView, Member, Pulse, RECEIPTS, SEEN_S};
pub use self::receipt::ReceiptView;
use self::view::View;

mod member;
mod receipt;
#[cfg(test)]
mod tests;
mod view;

/// What a commit changed for those outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Certificates that no longer open every door: their connections must end.
    pub cut_off: Vec<Sha256>,
    /// Devices of which something changed.
    pub devices: Vec<DeviceId>,
}

impl Followed {
    /// Takes in what another commit changed.
    pub fn add(&mut self, other: Self) {
        self.cut_off.extend(other.cut_off);
        self.devices.extend(other.devices);
    }
}

/// The view.
#[derive(Debug, Default)]
pub struct Fleet {
    state: RwLock<View>,
    /// What is installed on its devices, each distinct thing once.
    holdings: Arc<RwLock<Holdings>>,
    version: watch::Sender<u64>,
}

/// Whether a device asks for another go than is written down, or names something else in its way: that decides whether
/// it may have it.
fn is_other_ask(written: Option<&Report>, now: &Report) -> bool {
    let asked = written.and_then(|report| report.wants.as_ref());
    let codes = |report: &Report| -> Vec<Text> {
        report.update.blocked_by.iter().map(|blocked| blocked.code.clone()).collect()
    };
    now.wants.as_ref() != asked
        || (now.wants.is_some() && written.is_some_and(|written| codes(written) != codes(now)))
}

impl Fleet {
    /// What is installed on its devices.
    #[must_use]
    pub fn holdings(&self) -> &Arc<RwLock<Holdings>> {
        &self.holdings
    }

    /// One device.
    #[must_use]
    pub fn get(&self, device: DeviceId) -> Option<Arc<Member>> {
        self.read().members.get(&device).cloned()
    }

    /// The device that has or had this certificate.
    #[must_use]
    pub fn by_leaf(&self, leaf: &Sha256) -> Option<Arc<Member>> {
        let view = self.read();
        view.by_leaf.get(leaf).and_then(|device| view.members.get(device)).cloned()
    }

    /// The device of this hardware.
    #[must_use]
    pub fn by_hardware(&self, hardware: HardwareId) -> Option<Arc<Member>> {
        let view = self.read();
        view.by_hardware.get(&hardware).and_then(|device| view.members.get(device)).cloned()
    }

    /// The devices of any model with this serial, for a client that does not state its model.
    #[must_use]
    pub fn by_serial(&self, serial: &Text) -> Vec<Arc<Member>> {
        self.read().by_serial(serial).cloned().collect()
    }

    /// How many keys wait for a person.
    #[must_use]
    pub fn waiting(&self, now: Timestamp) -> usize {
        self.read().waiting(now)
    }

    /// Listens to whose voice a check-in is.
    pub fn listen(&self, device: DeviceId, leaf: &Sha256, word: &Word) -> Option<Suspicion> {
        self.change(device, |member| {
            let kept = member.report.as_deref().and_then(Kept::of);
            member.trace.hear(leaf, word, kept)
        })
    }

    /// Notes that a certificate was tried which opens nothing any more.
    pub fn tried(&self, device: DeviceId, leaf: &Sha256, ended: Ended, at: Millis) -> Option<Suspicion> {
        self.change(device, |member| member.trace.refuse(leaf, ended, at))
    }

    /// Another device that is trusted, was heard lately, and says that it is this machine.
    #[must_use]
    pub fn twin(&self, device: DeviceId, machine: &Sha256, now: Millis) -> Option<Arc<Member>> {
        let view = self.read();
        let alive = |member: &&Arc<Member>| {
            let seen = member.seen.is_some_and(|seen| now.since(seen.into()) < ALIVE_MS);
            seen && member.is_active() && member.machine() == Some(*machine)
        };
        let others = view.by_machine.get(machine)?.iter().filter(|other| **other != device);
        others.filter_map(|other| view.members.get(other)).find(alive).cloned()
    }

    /// All devices, by name. A snapshot: it does not change under its reader.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Member>> {
        self.read().members.values().cloned().collect()
    }

    /// How many there are in each state.
    #[must_use]
    pub fn count(&self) -> BTreeMap<State, usize> {
        let mut counts = BTreeMap::new();
        for member in self.read().members.values() {
            *counts.entry(member.device.state).or_default() += 1;
        }
        counts
    }

    /// A number that rises with every change, heartbeats without news not counted.
    #[must_use]
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// A device spoke. Says whether that was news.
    pub fn heard(
        &self,
        device: DeviceId,
        report: Option<Report>,
        pulse: Option<Pulse>,
        now: impl Into<Millis>,
    ) -> bool {
        let now = now.into();
        let machine = report.as_ref().and_then(Report::machine);
        let (news, urgent, before) = self.change(device, |member| {
            member.seen = member.seen.max(Some(now.seconds()));
            member.pulse = pulse.or(member.pulse);
            let Some(report) = report else { return (false, false, machine) };
            let before = member.machine();
            let news = member.report.as_deref() != Some(&report);
            let urgent = news && is_other_ask(member.device.report.as_ref(), &report);
            if news {
                member.put_report(report, now);
            }
            (news, urgent, before)
        });
        if machine != before {
            self.state.write().unwrap_or_else(PoisonError::into_inner).moved(device, before, machine);
        }
        if urgent {
            self.state.write().unwrap_or_else(PoisonError::into_inner).urgent.insert(device);
        }
        if news {
            self.tick();
        }
        news
    }

    /// A device listens for a word of ours until then.
    pub fn listens(&self, device: DeviceId, until: Timestamp) {
        self.change(device, |member| member.listens = member.listens.max(Some(until)));
    }

    /// Devices that asked for a go since the last time, which whoever runs the rollouts elsewhere has to learn of.
    pub fn take_urgent(&self) -> Vec<Arc<Member>> {
        if self.read().urgent.is_empty() {
            return Vec::new();
        }
        let mut view = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let urgent = std::mem::take(&mut view.urgent);
        urgent.iter().filter_map(|device| view.members.get(device)).cloned().collect()
    }

    /// Takes those of these devices up again of which something is still to be written down.
    pub fn urgent_again(&self, devices: impl IntoIterator<Item = DeviceId>) {
        let mut view = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let View { members, urgent, .. } = &mut *view;
        let is_due =
            |device: &DeviceId| members.get(device).is_some_and(|member| member.unwritten().is_some());
        urgent.extend(devices.into_iter().filter(is_due));
    }

    /// Whether the document that `revision` wrote under this key, or a later one, is held, or need not be.
    #[must_use]
    pub fn has(&self, key: &Key, revision: Revision) -> bool {
        let view = self.read();
        let known = |device: &DeviceId| view.members.get(device);
        match key {
            Key::Device(id) => known(id).is_some_and(|member| member.revision >= revision),
            Key::Inventory(id) => known(id).is_some_and(|member| member.applied.inventory >= Some(revision)),
            Key::Finding { device, finding } => known(device)
                .is_some_and(|member| member.applied.findings.get(finding).copied() >= Some(revision)),
            Key::Receipt { device, digest, order: _ } => known(device)
                .is_some_and(|member| member.receipts.iter().any(|receipt| receipt.digest == *digest)),
            _ => true,
        }
    }

    /// Forgets findings and devices that were not found when all documents were read anew, `read` being what was found and `upto`
    /// the last transaction before.
    pub fn forget_all_but(&self, read: &HashSet<Key>, upto: Revision) -> Followed {
        let mut followed = Followed::default();
        for member in self.all() {
            let device = member.id();
            let is_gone = |finding: &&Sha256| {
                let known = member.applied.findings.get(*finding).copied();
                known <= Some(upto) && !read.contains(&Key::Finding { device, finding: **finding })
            };
            for finding in member.findings.keys().filter(is_gone) {
                let gone = Change::Delete(Key::Finding { device, finding: *finding });
                followed.devices.extend(self.follow([&gone], upto).devices);
            }
            if member.revision <= upto && !read.contains(&Key::Device(device)) {
                let gone = Change::Delete(Key::Device(device));
                followed.devices.extend(self.follow([&gone], upto.next()).devices);
            }
        }
        followed
    }

    /// Makes readers of [`Fleet::version`] look again: something beside the fleet changed that pages show.
    pub fn nudge(&self) {
        self.tick();
    }

    /// Takes in documents of one commit. An older document than the one held changes nothing.
    pub fn follow<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, revision: Revision) -> Followed {
        let mut followed = Followed::default();
        for change in changes {
            match change {
                Change::Put(key, body) => self.put(key, body, revision, &mut followed),
                Change::Delete(key) => self.delete(key, revision, &mut followed),
            }
        }
        if !followed.devices.is_empty() {
            self.tick();
        }
        followed
    }

    fn put(&self, key: &Key, body: &[u8], revision: Revision, followed: &mut Followed) {
        let touched = match key {
            Key::Device(_) => {
                Device::from_body(body).map(|device| self.put_device(device, revision, followed))
            }
            Key::Inventory(id) => read_inventory(body).map(|inventory| {
                let listed = Listed::from(&inventory);
                let view = InventoryView::of(&listed);
                if self.change(*id, |member| member.put_inventory(view, revision)) {
                    self.holdings.write().unwrap_or_else(PoisonError::into_inner).put(*id, listed);
                }
                *id
            }),
            Key::Finding { device, finding } => serde_json::from_slice(body).ok().map(|record| {
                self.change(*device, |member| member.put_finding(*finding, record, revision));
                *device
            }),
            Key::Receipt { device, digest, order: _ } => ReceiptView::read(body, *digest).map(|receipt| {
                self.change(*device, |member| member.put_receipt(receipt));
                *device
            }),
            _ => return,
        };
        match touched {
            Some(device) => followed.devices.push(device),
            // Of a newer program, or damaged: the store keeps it, this view cannot show it.
            None => tracing::warn!(%key, "a stored document is of no version known here"),
        }
    }

    fn delete(&self, key: &Key, revision: Revision, followed: &mut Followed) {
        match key {
            Key::Finding { device, finding } => {
                self.change(*device, |member| member.remove_finding(finding, revision));
                followed.devices.push(*device);
            }
            Key::Device(device) => followed.devices.extend(self.remove(*device, revision)),
            _ => {}
        }
    }

    /// Forgets a device that asked to come in and never did. No other is ever deleted.
    fn remove(&self, device: DeviceId, revision: Revision) -> Option<DeviceId> {
        let removed = self.state.write().unwrap_or_else(PoisonError::into_inner).remove(device, revision);
        if removed.is_some() {
            self.holdings.write().unwrap_or_else(PoisonError::into_inner).remove(device);
        }
        removed
    }

    fn put_device(&self, device: Device, revision: Revision, followed: &mut Followed) -> DeviceId {
        let id = device.id;
        let mut view = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Two commits may come back in another order than they were made in, and one of them twice.
        if view.knows(id, revision) {
            return id;
        }
        let known = view.members.get(&id).cloned();
        if device.is_cut_off() {
            followed.cut_off.extend(device.identities().map(|identity| identity.leaf));
        }
        followed.cut_off.extend(device.superseded.iter().copied());
        view.index(known.as_ref().map(|known| &*known.device), &device);
        let before = known.as_ref().and_then(|known| known.machine());
        let member = match known {
            None => Member::new(device, revision),
            Some(known) => {
                let mut member = Member::clone(&known);
                member.put_device(device, revision);
                member
            }
        };
        let machine = member.machine();
        view.members.insert(id, Arc::new(member));
        view.moved(id, before, machine);
        id
    }

    /// Changes a member in place, or a copy of it while somebody reads it.
    fn change<T: Default>(&self, device: DeviceId, change: impl FnOnce(&mut Member) -> T) -> T {
        let mut view = self.state.write().unwrap_or_else(PoisonError::into_inner);
        view.members.get_mut(&device).map(|member| change(Arc::make_mut(member))).unwrap_or_default()
    }

    fn tick(&self) {
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn read(&self) -> RwLockReadGuard<'_, View> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the document under `Key::Inventory`.
fn read_inventory(body: &[u8]) -> Option<Inventory> {
    cordon_proto::wire::read(body, cordon_proto::limits::RECORD_BYTES).ok()
}
