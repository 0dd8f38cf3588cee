//! Asking an index the other way round: what it says of one weakness, and about which packages.
//!
//! People ask by a CVE or by an advisory's own name. Both lead to the groups under which weaknesses are counted. Read next:
//! [`super::index`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::advisory::{Edge, Order, Stated};
use super::ecosystem::Ecosystem;
use super::index::{Entry, Index};
use crate::cvss::Vector;

/// What one record says of one package, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The record.
    pub record: &'a str,
    /// Its number, in the order in which records were taken.
    pub number: usize,
    /// Whose package, with the release.
    pub ecosystem: &'a Ecosystem,
    /// The source package.
    pub package: &'a str,
    /// How it is said.
    pub state: Stated,
    /// Its ranges, each as one text: `introduced 0, fixed 1.2-3`.
    pub ranges: Vec<String>,
    /// How many versions are listed one by one.
    pub versions: usize,
}

impl Index {
    /// The number of a group by its name.
    #[must_use]
    pub fn group_of(&self, name: &str) -> Option<u32> {
        let place = self.groups.binary_search_by(|group| group.as_str().cmp(name)).ok()?;
        u32::try_from(place).ok()
    }

    /// The name of a group.
    #[must_use]
    pub fn group_name(&self, group: u32) -> &str {
        self.group(group)
    }

    /// All groups by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }

    /// The groups of a record by its own name: an advisory repairs several weaknesses.
    #[must_use]
    pub fn groups_of_record(&self, id: &str) -> Vec<u32> {
        let is_it = |entry: &&Entry| self.id(entry) == id;
        let mut groups: Vec<u32> =
            self.entries.iter().filter(is_it).flat_map(|entry| self.groups_of(entry)).copied().collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// What is said of one weakness, by package and record.
    pub fn statements(&self, group: u32) -> impl Iterator<Item = Statement<'_>> {
        self.entries_of(group).filter_map(|entry| {
            let (ecosystem, package) = self.package(entry)?;
            let ranges = self.ranges(entry).iter().map(|range| {
                let words = self.events(range).map(|(edge, bound)| {
                    let word = match edge {
                        Edge::Introduced => "introduced",
                        Edge::Fixed => "fixed",
                        Edge::LastAffected => "last affected",
                        Edge::Limit => "limit",
                    };
                    alloc::format!("{word} {bound}")
                });
                let words = words.collect::<Vec<_>>().join(", ");
                match range.order {
                    Order::Git => alloc::format!("commits: {words}"),
                    Order::Semver | Order::Ecosystem => words,
                }
            });
            Some(Statement {
                record: self.id(entry),
                number: usize::try_from(entry.record).ok()?,
                ecosystem,
                package,
                state: entry.state,
                ranges: ranges.collect(),
                versions: self.versions(entry).len(),
            })
        })
    }

    /// How grave a weakness is, as its records say.
    #[must_use]
    pub fn severity_of(&self, group: u32) -> Option<Vector> {
        self.severity(group)
    }

    /// The packages that one weakness is about.
    #[must_use]
    pub fn packages(&self, group: u32) -> Vec<(Ecosystem, String)> {
        let packages = self.entries_of(group).filter_map(|entry| self.package(entry));
        let mut packages: Vec<_> =
            packages.map(|(ecosystem, name)| (ecosystem.clone(), name.to_string())).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }

    /// The records that speak of one weakness.
    #[must_use]
    pub fn records_of(&self, group: u32) -> Vec<&str> {
        let mut records: Vec<&str> = self.entries_of(group).map(|entry| self.id(entry)).collect();
        records.sort_unstable();
        records.dedup();
        records
    }

    fn entries_of(&self, group: u32) -> impl Iterator<Item = &Entry> {
        let first = self.group_entries.partition_point(|(held, _)| *held < group);
        let rest = self.group_entries.get(first..).unwrap_or_default();
        let own = rest.iter().take_while(move |(held, _)| *held == group);
        own.filter_map(|(_, place)| self.entries.get(usize::try_from(*place).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::advisory::{Advisory, Affected, Range};
    use super::*;

    #[test]
    fn a_weakness_leads_to_its_records_and_packages() {
        // Goal: from a CVE or an advisory to what it is about. Method: one advisory that repairs two, one record more.
        let affected = |name: &str, fixed| Affected {
            ecosystem: Ecosystem::debian("12"),
            name: name.into(),
            state: Stated::ByVersion,
            ranges: vec![Range::below(fixed)],
            versions: Vec::new(),
        };
        let (one, two) = ("CVE-2024-0001".to_string(), "CVE-2024-0002".to_string());
        let index = Index::build(&[
            Advisory {
                id: "DSA-1-1".into(),
                upstream: vec![one.clone(), two.clone()],
                affected: vec![affected("pump", Some("2"))],
                ..Advisory::default()
            },
            Advisory { id: one.clone(), affected: vec![affected("valve", None)], ..Advisory::default() },
        ])
        .expect("an index");
        let group = index.group_of(&one).expect("known");
        assert_eq!(index.group_name(group), one);
        let said: Vec<_> =
            index.statements(group).map(|said| (said.record, said.package, said.ranges.join("; "))).collect();
        let wanted = [
            ("DSA-1-1", "pump", "introduced 0, fixed 2".to_string()),
            (one.as_str(), "valve", "introduced 0".to_string()),
        ];
        assert_eq!(said, wanted);
        assert_eq!(index.packages(group).len(), 2);
        assert_eq!(index.records_of(group), [one.as_str(), "DSA-1-1"]);
        let of_record: Vec<_> = index.groups_of_record("DSA-1-1").into_iter().collect();
        assert_eq!(of_record.len(), 2);
        assert_eq!((index.group_of("CVE-2024-0003"), index.groups_of_record("X").len()), (None, 0));
        assert_eq!(index.groups().collect::<Vec<_>>(), [one.as_str(), two.as_str()]);
    }
}
