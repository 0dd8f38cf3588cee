//! The book of orders and rollouts in memory, with the transaction that wrote each document in it.
//!
//! Documents come in by [`Shelf::put`] and [`Shelf::remove`] in whatever order; a later transaction is never
//! overwritten by an earlier one, so that own commits and what the follower brings may meet in any order. What a
//! commit over the book must expect is asked here ([`Shelf::expected`]). Nothing here reads a store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cordon_proto::ids::{DeviceId, Name, Sha256, Text};
use cordon_server_core::change::{Key, Kind, Revision};
use cordon_server_core::risk::gather::Newest;
use cordon_server_core::rollout::{Book, Hold, Progress, Rollout, ScopeList};
use serde::de::DeserializeOwned;

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
                self.book.lists.insert(order.clone(), list);
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
            Key::Order(order) => drop(self.book.lists.remove(order)),
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

    /// What is known of one device's way in a rollout.
    pub(super) fn progress(&self, rollout: &Name, device: DeviceId) -> Progress {
        let known = self.book.progress.get(rollout).and_then(|devices| devices.get(&device));
        known.cloned().unwrap_or_default()
    }
}

fn devices_of(rollout: &Rollout) -> BTreeSet<DeviceId> {
    rollout.waves.iter().flat_map(|wave| wave.devices.iter().copied()).collect()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|_| Unreadable)
}
