//! When a device's weaknesses were closed, from what was written down: the first day of each, the releases that have it or do
//! not, and the receipts by which the device proved what it runs.
//!
//! A weakness counts as closed where a device proved that it runs a release that does not have it, after one that had it, and
//! after it was known. Of a release of which nobody knows what is in it nothing follows. Read next: `evidence::measures`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::shipped::Shipped;

/// An installation that a device proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The counter of what ran before, where it is known.
    pub before: Option<u64>,
    /// The counter of what runs since.
    pub after: u64,
    /// When the proof came.
    pub at: Timestamp,
}

/// A weakness of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number in the index; none where only advisories about devices name it.
    pub group: Option<u32>,
    /// The package, or the model.
    pub source: &'a str,
    /// When it was known here.
    pub known: Timestamp,
}

/// A weakness that a device closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<'a> {
    /// Which.
    pub hole: Hole<'a>,
    /// The counter of the first release, newer than the one that had it, that does not.
    pub first: u64,
    /// When the device proved that it runs one.
    pub at: Timestamp,
}

/// Which releases of a model have which weaknesses, asked once for all its devices.
#[derive(Clone, Debug, Default)]
pub struct Repairs<'a>(Vec<(Hole<'a>, BTreeMap<u64, bool>)>);

impl<'a> Repairs<'a> {
    /// What these releases repair: weaknesses that one of them has or may have, and another one does not.
    #[must_use]
    pub fn of(shipped: &[Shipped], holes: &[Hole<'a>]) -> Self {
        let known = |hole: &Hole<'a>| -> BTreeMap<u64, bool> {
            let all = shipped.iter().filter_map(|one| Some((one.counter, may_have(one, hole)?)));
            all.collect()
        };
        let is_repaired =
            |of: &BTreeMap<u64, bool>| [true, false].iter().all(|has| of.values().any(|of| of == has));
        let all = holes.iter().map(|hole| (*hole, known(hole)));
        Self(all.filter(|(_, known)| is_repaired(known)).collect())
    }

    /// What a device closed by these installations, the oldest first. What came back counts no more.
    #[must_use]
    pub fn closed(&self, proved: &[Proved]) -> Vec<Closed<'a>> {
        self.0.iter().filter_map(|(hole, known)| closed(hole, known, proved)).collect()
    }
}

fn closed<'a>(hole: &Hole<'a>, known: &BTreeMap<u64, bool>, proved: &[Proved]) -> Option<Closed<'a>> {
    let has = |counter: u64| known.get(&counter).copied();
    let mut last = None;
    for one in proved {
        let before = one.before.filter(|counter| has(*counter) == Some(true));
        match (before, has(one.after)) {
            (_, Some(true)) => last = None,
            (Some(before), Some(false)) if one.at > hole.known => {
                let newer = known.iter().filter(|(counter, has)| **counter > before && !**has);
                let first = newer.map(|(counter, _)| *counter).min().unwrap_or(one.after).min(one.after);
                last = Some(Closed { hole: *hole, first, at: one.at });
            }
            (Some(_) | None, Some(false) | None) => {}
        }
    }
    last
}

fn may_have(release: &Shipped, hole: &Hole<'_>) -> Option<bool> {
    match hole.group {
        Some(group) => release.may_have(group, hole.source),
        None => release.model_may_have(&[hole.name.into()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::Open;
    use alloc::vec;

    #[test]
    fn a_weakness_is_closed_by_a_proof_of_a_release_without_it_and_by_nothing_else() {
        // Goal: no figure by hope. Method: releases 41 with it, 42 of which nobody knows, 43 and 44 without it; a device that went
        // from one to another before and after it was known, and one that went back.
        let of = |counter: u64, weak: Option<bool>| Shipped {
            counter,
            packages: weak.map(|weak| {
                let mut open = Open::default();
                open.add(if weak { 7 } else { 8 }, "pump");
                open
            }),
            ..Shipped::default()
        };
        let shelf = [of(41, Some(true)), of(42, None), of(43, Some(false)), of(44, Some(false))];
        let hole = Hole { name: "CVE-1", group: Some(7), source: "pump", known: Timestamp(100) };
        let step = |before: u64, after, at| Proved { before: Some(before), after, at: Timestamp(at) };
        let of = |proved: &[Proved]| {
            Repairs::of(&shelf, &[hole]).closed(proved).first().map(|one| (one.first, one.at.0))
        };
        assert_eq!(of(&[step(41, 44, 200)]), Some((43, 200)), "43 was the first that repairs it");
        assert_eq!(of(&[step(41, 44, 50)]), None, "nobody knew of it then");
        assert_eq!(of(&[step(41, 42, 200)]), None, "nobody knows what is in 42");
        assert_eq!(of(&[step(42, 43, 200)]), None, "nobody knows whether it had it");
        assert_eq!(of(&[step(41, 43, 200), step(43, 41, 300)]), None, "it came back");
        let again = vec![step(41, 43, 200), step(43, 41, 300), step(41, 43, 400)];
        assert_eq!(of(&again), Some((43, 400)));
        assert_eq!(of(&[Proved { before: None, after: 43, at: Timestamp(200) }]), None);
    }
}
