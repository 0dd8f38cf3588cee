//! The book of orders and rollouts in memory, with the transaction that wrote each document in it.
//!
//! Documents come in by [`Shelf::put`] and [`Shelf::remove`] in whatever order; a later transaction is never
//! overwritten by an earlier one, so that own commits and what the follower brings may meet in any order. What a
//! commit over the book must expect is asked here ([`Shelf::expected`]). Nothing here reads a store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cordon_proto::ids::{DeviceId, Name, Sha256, Text};
use cordon_proto::receipt::ReceiptBody;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_server_core::change::{Key, Kind, Revision};
use cordon_server_core::device::Device;
use cordon_server_core::risk::gather::Newest;
use cordon_server_core::rollout::{
    Book, Fleet, Hold, IN_FLIGHT_TOTAL, Progress, Rollout, Row, ScopeList, Seen, Signed, State, Wave, count,
};
use serde::de::DeserializeOwned;

use crate::fleet::Member;
use crate::store::{Change, Expected};

/// Kinds of documents that the book is made of.
pub(crate) const KINDS: [Kind; 4] = [Kind::Rollout, Kind::Progress, Kind::Order, Kind::Hold];

/// The book and what belongs to it.
#[derive(Default)]
pub(super) struct Shelf {
    /// The book.
    pub(super) book: Book,
    /// Version of the director's timestamp that the orders are from.
    pub(super) director_version: u64,
    /// The transaction of that publication; the orders are at least as new.
    pub(super) published: Revision,
    /// The newest release of each model.
    pub(super) newest: BTreeMap<Text, Newest>,
    /// Orders that rollouts name and that were withdrawn since: receipts for them still come.
    pub(super) past: BTreeMap<Name, Order>,
    /// The images of all releases.
    pub(super) images: BTreeSet<Sha256>,
    applied: HashMap<Key, Applied>,
}

/// What is known of one key.
#[derive(Clone, Copy)]
struct Applied {
    revision: Revision,
    /// Whether there is a document; a removed one is remembered, so that an older one does not come back.
    there: bool,
}

/// Whom a change of the book concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    /// Devices that may now be told something else.
    pub devices: BTreeSet<DeviceId>,
    /// Whether that may be any device.
    pub everybody: bool,
    /// Whether anything changed at all.
    pub changed: bool,
}

/// A device as a rollout's plan sees it, of which nobody makes a copy.
pub trait AsSeen {
    /// The device.
    fn as_seen(&self) -> Seen<'_>;
}

impl AsSeen for Device {
    fn as_seen(&self) -> Seen<'_> {
        self.into()
    }
}

impl AsSeen for Member {
    fn as_seen(&self) -> Seen<'_> {
        let (device, report) = (&*self.device, self.report.as_deref());
        Seen { device, report, heard: self.seen, listens: self.listens }
    }
}

/// A document of no version known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Concerned {
    /// Takes in what another change concerns.
    pub fn add(&mut self, other: Self) {
        self.devices.extend(other.devices);
        self.everybody |= other.everybody;
        self.changed |= other.changed;
    }
}

impl Shelf {
    /// What a commit that is decided over the book takes for granted about a key.
    pub(super) fn expected(&self, key: &Key) -> Expected {
        let applied = self.applied.get(key).filter(|applied| applied.there);
        applied.map_or(Expected::Absent, |applied| Expected::At(applied.revision))
    }

    /// Whether what `revision` wrote under this key, or something later, is held, or need not be.
    pub(super) fn has(&self, key: &Key, revision: Revision) -> bool {
        !KINDS.contains(&key.kind()) || !self.is_news(key, revision)
    }

    /// Takes in the changes of one commit of our own.
    pub(super) fn follow(&mut self, changes: &[Change], revision: Revision) -> Concerned {
        let mut concerned = Concerned::default();
        for change in changes {
            concerned.add(self.take(change, revision));
        }
        concerned
    }

    /// Takes in one change. What cannot be read leaves the book: of what is not understood nothing is offered.
    pub(super) fn take(&mut self, change: &Change, revision: Revision) -> Concerned {
        match change {
            Change::Put(key, body) => self.put(key, body, revision).unwrap_or_else(|Unreadable| {
                tracing::warn!(%key, "a stored document is of no version known here");
                self.remove(key, revision)
            }),
            Change::Delete(key) => self.remove(key, revision),
        }
    }

    /// Takes in a document, unless a later one is known.
    pub(super) fn put(
        &mut self,
        key: &Key,
        body: &[u8],
        revision: Revision,
    ) -> Result<Concerned, Unreadable> {
        if !KINDS.contains(&key.kind()) || !self.is_news(key, revision) {
            return Ok(Concerned::default());
        }
        let mut concerned = Concerned { changed: true, ..Concerned::default() };
        match key {
            Key::Rollout(id) => {
                let rollout: Rollout = read(body)?;
                concerned.devices = devices_of(&rollout);
                self.book.rollouts.insert(id.clone(), rollout);
            }
            Key::Progress { rollout, device } => {
                let progress: Progress = read(body)?;
                self.book.progress.entry(rollout.clone()).or_default().insert(*device, progress);
                concerned.devices.insert(*device);
            }
            Key::Order(order) => {
                let list: ScopeList = read(body)?;
                self.book.put_list(order.clone(), list);
            }
            Key::Hold(id) => {
                let hold: Hold = read(body)?;
                self.book.holds.insert(id.clone(), hold);
                concerned.everybody = true;
            }
            _ => {}
        }
        self.applied.insert(key.clone(), Applied { revision, there: true });
        Ok(concerned)
    }

    /// Takes a document out, unless a later one is known.
    pub(super) fn remove(&mut self, key: &Key, revision: Revision) -> Concerned {
        if !KINDS.contains(&key.kind()) || !self.is_news(key, revision) {
            return Concerned::default();
        }
        let mut concerned = Concerned { changed: true, ..Concerned::default() };
        match key {
            Key::Rollout(id) => {
                let gone = self.book.rollouts.remove(id);
                concerned.devices = gone.as_ref().map(devices_of).unwrap_or_default();
            }
            Key::Progress { rollout, device } => {
                if let Some(devices) = self.book.progress.get_mut(rollout) {
                    devices.remove(device);
                }
                concerned.devices.insert(*device);
            }
            Key::Order(order) => self.book.remove_list(order),
            Key::Hold(id) => {
                self.book.holds.remove(id);
                concerned.everybody = true;
            }
            _ => {}
        }
        self.applied.insert(key.clone(), Applied { revision, there: false });
        concerned
    }

    /// Forgets what was not found when all documents were read anew, `upto` being the last transaction before.
    pub(super) fn forget_all_but(&mut self, read: &HashSet<Key>, upto: Revision) -> Concerned {
        let is_gone = |(key, applied): &(&Key, &Applied)| {
            applied.there && applied.revision <= upto && !read.contains(*key)
        };
        let gone: Vec<Key> = self.applied.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        let mut concerned = Concerned::default();
        for key in gone {
            concerned.add(self.remove(&key, upto.next()));
        }
        concerned
    }

    /// A commit of an idempotent repetition never comes here, so the same revision is the same document.
    fn is_news(&self, key: &Key, revision: Revision) -> bool {
        self.applied.get(key).is_none_or(|applied| applied.revision < revision)
    }

    /// Keeps what of these orders is listed no more and some rollout names.
    pub(super) fn keep_past(&mut self, before: BTreeMap<Name, Order>) {
        let named: BTreeSet<&Name> =
            self.book.rollouts.values().flat_map(|rollout| &rollout.waves).map(|wave| &wave.order).collect();
        self.past.extend(before.into_iter().filter(|(id, _)| named.contains(id)));
    }

    /// What a wave's order says as it is listed, or else as it was when the rollout was created. A rollout of before that
    /// was kept is read by the order that this server saw withdrawn.
    fn signed(&self, rollout: &Rollout, wave: &Wave) -> Option<Signed> {
        let listed = self.book.order_of(rollout, wave).map(Signed::from);
        let past = || self.past.get(&wave.order).filter(|order| order.image.release == rollout.release);
        listed.or_else(|| wave.signed.clone()).or_else(|| past().map(Signed::from))
    }

    /// What is remembered after a verified receipt that came at `received`, if it counts in this rollout now. A wave that a
    /// clock ahead began began no later than now.
    pub(super) fn counted(
        &self,
        rollout: &Name,
        receipt: &ReceiptBody,
        (received, now): (Timestamp, Timestamp),
    ) -> Option<Progress> {
        let of = self.book.rollouts.get(rollout)?;
        let (_, wave) = of.wave_of(receipt.device)?;
        let progress = self.progress(rollout, receipt.device);
        let signed = self.signed(of, wave)?;
        let row =
            Row { order: &wave.order, signed: &signed, begun: wave.started?.min(now), progress: &progress };
        count(receipt, &row, received).ok()
    }

    /// Gos that are in force in all rollouts of the same kind but this one, also in those that stand still: a content on
    /// trial keeps no reboot waiting.
    pub(super) fn in_flight_beside(&self, id: &Name, now: Timestamp) -> u32 {
        let kind = self.book.rollouts.get(id).map(|rollout| rollout.kind);
        let same = |other: &&Rollout| other.id != *id && Some(other.kind) == kind;
        let others = self.book.rollouts.values().filter(same);
        let open = others.filter(|other| other.is_open());
        let known = open.filter_map(|other| self.book.progress.get(&other.id)).flat_map(BTreeMap::values);
        let flying = known.filter(|known| goes(known, now) || goes_back(known, now));
        u32::try_from(flying.count()).unwrap_or(u32::MAX)
    }

    /// The facts of the devices of a rollout's begun waves; of the others nothing is asked, however many they are.
    pub(super) fn fleet_of<K: AsSeen>(
        &self,
        rollout: &Rollout,
        look: &impl Fn(DeviceId) -> Option<Arc<K>>,
        now: Timestamp,
    ) -> Fleet {
        let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
        let known = begun.flat_map(|wave| &wave.devices);
        let facts = |id| Some((id, self.book.facts_of(rollout, look(id)?.as_seen(), now)));
        known.copied().filter_map(facts).collect()
    }

    /// The facts of those devices of a rollout that have a go in force, by what is stored.
    pub(super) fn fleet_with_gos<K: AsSeen>(
        &self,
        rollout: &Rollout,
        look: &impl Fn(DeviceId) -> Option<Arc<K>>,
        now: Timestamp,
    ) -> Fleet {
        let known = self.book.progress.get(&rollout.id).into_iter().flatten();
        let going = known.filter(|(_, known)| goes(known, now) || goes_back(known, now));
        let facts = |id| Some((id, self.book.facts_of(rollout, look(id)?.as_seen(), now)));
        going.filter_map(|(id, _)| facts(*id)).collect()
    }

    /// Whether fewer devices hold a go of a rollout than may, by what is stored.
    pub(super) fn has_place(&self, id: &Name, now: Timestamp) -> bool {
        let Some(rollout) = self.book.rollouts.get(id) else { return false };
        let back = rollout.state == State::Returning;
        let way = rollout.way_back.as_ref().map_or(0, |way| way.in_flight);
        let most = if back { way } else { rollout.policy.in_flight };
        let known = self.book.progress.get(id).into_iter().flat_map(BTreeMap::values);
        let (mut of_act, mut all) = (0, 0);
        for known in known {
            let (install, way_back) = (goes(known, now), goes_back(known, now));
            of_act += u32::from(if back { way_back } else { install });
            all += u32::from(install) + u32::from(way_back);
        }
        of_act < most && all < IN_FLIGHT_TOTAL.saturating_sub(self.in_flight_beside(id, now))
    }

    /// What is known of one device's way in a rollout.
    pub(super) fn progress(&self, rollout: &Name, device: DeviceId) -> Progress {
        self.progress_in(rollout, device).cloned().unwrap_or_default()
    }

    /// The same, if anything is.
    pub(super) fn progress_in(&self, rollout: &Name, device: DeviceId) -> Option<&Progress> {
        self.book.progress.get(rollout)?.get(&device)
    }
}

/// Whether a device has the go for the install.
fn goes(known: &Progress, now: Timestamp) -> bool {
    known.go_at(now).is_some() && known.outcome.is_none()
}

/// Whether it has the go for the way back.
fn goes_back(known: &Progress, now: Timestamp) -> bool {
    known.back.as_ref().is_some_and(|back| back.go_at(now).is_some() && back.outcome.is_none())
}

fn devices_of(rollout: &Rollout) -> BTreeSet<DeviceId> {
    rollout.waves.iter().flat_map(|wave| wave.devices.iter().copied()).collect()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_server_core::rollout::Covers;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    /// One of a history: holds that come and go, and progress of two devices, each with its own mark.
    fn change(number: u64) -> Change {
        let mark = i64::try_from(number).expect("small");
        let device = DeviceId::from_random([u8::try_from(number % 2).expect("small"); 16]);
        let hold = Key::Hold(name(&format!("h-{}", number % 2)));
        match number % 3 {
            0 => Change::Delete(hold),
            1 => {
                let id = name("h");
                let (covers, by, reason) = (Covers::Site("a".to_owned()), "m".to_owned(), mark.to_string());
                let hold_at =
                    Hold { v: 1, id, covers, by, reason, at: Timestamp(mark), until: None, lapsed: None };
                Change::Put(hold, serde_json::to_vec(&hold_at).expect("JSON"))
            }
            _ => {
                let progress = Progress::default().permitted(Timestamp(mark));
                let key = Key::Progress { rollout: name("r"), device };
                Change::Put(key, serde_json::to_vec(&progress).expect("JSON"))
            }
        }
    }

    #[test]
    fn what_is_gone_when_all_is_read_anew_leaves_the_book_and_later_documents_stay() {
        // Goal: a rebuild. Method: two holds, one found again and one not, and one of after the reading began.
        let mut shelf = Shelf::default();
        let hold = |id: &str| {
            let Change::Put(_, body) = change(1) else { unreachable!("a hold") };
            (Key::Hold(name(id)), body)
        };
        for (id, revision) in [("kept", 1), ("gone", 2), ("later", 9)] {
            let (key, body) = hold(id);
            assert_eq!(
                shelf.put(&key, &body, Revision(revision)).map(|concerned| concerned.everybody),
                Ok(true)
            );
        }
        let read = HashSet::from([hold("kept").0]);
        assert!(shelf.forget_all_but(&read, Revision(5)).everybody);
        let left: Vec<&str> = shelf.book.holds.keys().map(Name::as_str).collect();
        assert_eq!(left, ["kept", "later"]);
        assert_eq!(shelf.expected(&hold("gone").0), Expected::Absent);
        assert_eq!(shelf.expected(&hold("later").0), Expected::At(Revision(9)));
        assert!(shelf.put(&Key::Hold(name("bad")), b"?", Revision(10)).is_err());
        let unreadable = Change::Put(hold("kept").0, b"?".to_vec());
        assert!(shelf.take(&unreadable, Revision(11)).changed, "what is not understood is not offered");
        assert!(!shelf.book.holds.contains_key(&name("kept")));
    }

    proptest! {
        #[test]
        fn any_order_of_delivery_ends_in_the_same_book(
            order in Just((1..30_u64).collect::<Vec<_>>()).prop_shuffle(),
            again in proptest::collection::vec(1..30_u64, 0..20),
        ) {
            let (mut straight, mut shuffled) = (Shelf::default(), Shelf::default());
            for number in 1..30 {
                straight.take(&change(number), Revision(number));
            }
            for number in order.into_iter().chain(again) {
                shuffled.take(&change(number), Revision(number));
                prop_assert!(shuffled.has(change(number).key(), Revision(number)));
            }
            prop_assert_eq!(&straight.book.holds, &shuffled.book.holds);
            prop_assert_eq!(&straight.book.progress, &shuffled.book.progress);
            for number in 1..30 {
                let key = change(number).key().clone();
                prop_assert_eq!(straight.expected(&key), shuffled.expected(&key));
            }
        }
    }
}
