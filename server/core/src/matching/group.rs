//! Under which name a record is counted: the CVEs that it names, or else the names that others say it has.
//!
//! Names are joined by being aliases of each other, also in circles, but never across CVEs: a record that names four of
//! them speaks of four weaknesses, and joining those would show one where a device has four. What a record calls upstream
//! joins nothing; it only places a distribution's advisory under its CVEs. Read next: [`super::index`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::advisory::is_cve;

/// The names of one record.
#[derive(Clone, Debug, Default)]
pub(super) struct Names<'a> {
    /// Its own and its aliases.
    pub(super) ids: Vec<&'a str>,
    /// What it repairs.
    pub(super) upstream: Vec<&'a str>,
}

/// The groups of each record, sorted.
pub(super) fn of_records<'a>(records: &[Names<'a>]) -> Vec<Vec<&'a str>> {
    let joined = Joined::of(records);
    records.iter().map(|names| joined.groups(names)).collect()
}

/// Names that are no CVEs, joined where a record has several.
struct Joined<'a> {
    /// The place of each name.
    places: BTreeMap<&'a str, usize>,
    /// The place that each place hangs on; its own at a root.
    above: Vec<usize>,
    /// By root: the CVEs of all that hang on it, and the least of their names.
    roots: BTreeMap<usize, (BTreeSet<&'a str>, &'a str)>,
}

impl<'a> Joined<'a> {
    fn of(records: &[Names<'a>]) -> Self {
        let mut joined = Self { places: BTreeMap::new(), above: Vec::new(), roots: BTreeMap::new() };
        for names in records {
            let mut first = None;
            for id in names.ids.iter().copied().filter(|id| !is_cve(id)) {
                let place = joined.place(id);
                match first {
                    None => first = Some(place),
                    Some(first) => joined.join(first, place),
                }
            }
        }
        let names: Vec<_> = joined.places.iter().map(|(name, place)| (*name, *place)).collect();
        for (name, place) in names {
            // Names come sorted: the first of a root is the least.
            let root = joined.root(place);
            joined.roots.entry(root).or_insert_with(|| (BTreeSet::new(), name));
        }
        for names in records {
            let own = names.ids.iter().copied().find(|id| !is_cve(id));
            let root = own.and_then(|id| joined.places.get(id)).map(|place| joined.root(*place));
            if let Some((cves, _)) = root.and_then(|root| joined.roots.get_mut(&root)) {
                cves.extend(names.ids.iter().copied().filter(|id| is_cve(id)));
            }
        }
        joined
    }

    fn groups(&self, names: &Names<'a>) -> Vec<&'a str> {
        let own: BTreeSet<_> =
            names.ids.iter().chain(&names.upstream).copied().filter(|id| is_cve(id)).collect();
        if !own.is_empty() {
            return own.into_iter().collect();
        }
        let place = names.ids.first().and_then(|id| self.places.get(id));
        match place.and_then(|place| self.roots.get(&self.root(*place))) {
            Some((cves, _)) if !cves.is_empty() => cves.iter().copied().collect(),
            Some((_, least)) => alloc::vec![*least],
            None => Vec::new(),
        }
    }

    fn place(&mut self, name: &'a str) -> usize {
        let next = self.above.len();
        let place = *self.places.entry(name).or_insert(next);
        if place == next {
            self.above.push(next);
        }
        place
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        if let Some(above) = self.above.get_mut(high) {
            *above = low;
        }
    }

    fn root(&self, place: usize) -> usize {
        let mut at = place;
        while let Some(above) = self.above.get(at).copied().filter(|above| *above != at) {
            at = above;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(records: &[(&[&'static str], &[&'static str])]) -> Vec<Vec<&'static str>> {
        let names = |(ids, upstream): &(&[&'static str], &[&'static str])| Names {
            ids: ids.to_vec(),
            upstream: upstream.to_vec(),
        };
        of_records(&records.iter().map(names).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_joined_in_circles_but_never_across_cves() {
        // Goal: forty-four weaknesses of one advisory stay forty-four. Method: a circle of names, two CVEs in the aliases
        // of one record, an upstream, a record that knows only another's name, one that nobody knows.
        let found = groups(&[
            (&["GHSA-1", "PYSEC-1"], &[]),
            (&["PYSEC-1", "X-1"], &[]),
            (&["X-1", "GHSA-1", "CVE-2020-0001"], &[]),
            (&["DSA-1-1", "CVE-2020-0001", "CVE-2020-0002"], &[]),
            (&["DLA-1-1"], &["CVE-2020-0002", "CVE-2020-0003", "GHSA-1"]),
            (&["Y-2", "Y-1"], &[]),
            (&["CVE-2020-0003"], &["CVE-2020-0009"]),
        ]);
        let wanted: [&[&str]; 7] = [
            &["CVE-2020-0001"],
            &["CVE-2020-0001"],
            &["CVE-2020-0001"],
            &["CVE-2020-0001", "CVE-2020-0002"],
            &["CVE-2020-0002", "CVE-2020-0003"],
            &["Y-1"],
            &["CVE-2020-0003", "CVE-2020-0009"],
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_order_of_records_changes_nothing() {
        // Goal: the same feed in another order gives the same groups. Method: a chain of names, forwards and backwards.
        let chain: [(&[&'static str], &[&'static str]); 4] =
            [(&["D", "C"], &[]), (&["B", "A"], &[]), (&["C", "B"], &[]), (&["E"], &[])];
        let mut backwards = chain;
        backwards.reverse();
        let mut found = groups(&backwards);
        found.reverse();
        assert_eq!(found, groups(&chain));
        assert_eq!(found, [["A"], ["A"], ["A"], ["E"]]);
    }
}
