//! Since when a weakness is known of something that is here: the day from which its due date counts.
//!
//! The day stands still. A feed that is imported again, a restart, another server or a device that comes later changes
//! nothing: the first day on which the weakness was found in that package on any device of the fleet is kept, in a few
//! documents by the weakness's hash. Nothing else remembers it. Read next: [`super::exposed`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Documents among which the days are shared out.
pub const SHELVES: u8 = 16;
/// Days that one document holds; beyond, those of weaknesses that nothing has any more go first.
const DAYS: usize = 20_000;

/// The first days, by package and weakness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    shelves: BTreeMap<u8, Shelf>,
}

/// What one document holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelf {
    /// Version of this document.
    v: u32,
    /// The first day, by weakness and package.
    days: BTreeMap<String, Timestamp>,
}

/// On which shelf a weakness of a package stands.
fn shelf_of(key: &str) -> u8 {
    let [first, ..] = *Sha256::of(key.as_bytes()).as_bytes();
    first % SHELVES
}

fn key_of(weakness: &str, source: &str) -> String {
    alloc::format!("{weakness} {source}")
}

impl Since {
    /// The first day on which a weakness was found in a package here.
    #[must_use]
    pub fn of(&self, weakness: &str, source: &str) -> Option<Timestamp> {
        let key = key_of(weakness, source);
        self.shelves.get(&shelf_of(&key))?.days.get(&key).copied()
    }

    /// All first days: weakness, package, day.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, Timestamp)> {
        let days = self.shelves.values().flat_map(|shelf| &shelf.days);
        days.filter_map(|(key, day)| key.split_once(' ').map(|(weakness, source)| (weakness, source, *day)))
    }

    /// Takes a stored document in; an earlier day that is held stays. Says whether it could be read.
    pub fn take(&mut self, shelf: u8, body: &[u8]) -> bool {
        let Some(read) = serde_json::from_slice::<Shelf>(body).ok().filter(|read| read.v == 1) else {
            return false;
        };
        let held = self.shelves.entry(shelf).or_default();
        for (key, day) in read.days {
            let first = held.days.entry(key).or_insert(day);
            *first = day.min(*first);
        }
        held.v = 1;
        true
    }

    /// The shelves that change when all of these are found now, with their documents as they become. `found` is everything
    /// that is found, not only what is new: what is found no more goes first when a shelf is full.
    #[must_use]
    pub fn with<'a>(
        &self,
        found: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
    ) -> Vec<(u8, Vec<u8>)> {
        let mut all: BTreeMap<u8, BTreeMap<String, Timestamp>> = BTreeMap::new();
        for (weakness, source) in found {
            let key = key_of(weakness, source);
            all.entry(shelf_of(&key)).or_default().entry(key).or_insert(now);
        }
        let mut changed = Vec::new();
        for (number, found) in all {
            let held = self.shelves.get(&number).map(|shelf| &shelf.days);
            let is_new = |key: &String| held.is_none_or(|held| !held.contains_key(key));
            if !found.keys().any(is_new) {
                continue;
            }
            let mut days = held.cloned().unwrap_or_default();
            for (key, day) in &found {
                days.entry(key.clone()).or_insert(*day);
            }
            if days.len() > DAYS {
                days.retain(|key, _| found.contains_key(key));
            }
            while days.len() > DAYS {
                days.pop_last();
            }
            let shelf = Shelf { v: 1, days };
            changed.push((number, serde_json::to_vec(&shelf).expect("strings and integers are always JSON")));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_day_stands_however_often_a_weakness_is_found_again() {
        // Goal: a due date never slides. Method: found, found again later beside a new one, taken in elsewhere in any order.
        let (first, later) = (Timestamp(1_000), Timestamp(2_000));
        let mut since = Since::default();
        let written = since.with([("CVE-2024-0001", "pump")], first);
        assert_eq!(written.len(), 1);
        for (shelf, body) in &written {
            assert!(since.take(*shelf, body));
        }
        assert!(since.with([("CVE-2024-0001", "pump")], later).is_empty(), "nothing is new");
        let more = since.with([("CVE-2024-0001", "pump"), ("CVE-2024-0002", "pump")], later);
        for (shelf, body) in &more {
            since.take(*shelf, body);
        }
        assert_eq!(since.of("CVE-2024-0001", "pump"), Some(first));
        assert_eq!(since.of("CVE-2024-0002", "pump"), Some(later));
        assert_eq!(since.of("CVE-2024-0001", "valve"), None);
        let mut other = Since::default();
        let late = Since::default().with([("CVE-2024-0001", "pump")], later);
        for (shelf, body) in more.iter().chain(&written).chain(&late) {
            other.take(*shelf, body);
        }
        assert_eq!(other.of("CVE-2024-0001", "pump"), Some(first));
        assert!(!other.take(0, b"{\"v\":2,\"days\":{}}") && !other.take(0, b"x"));
    }
}
