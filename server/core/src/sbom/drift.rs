//! What a release was shipped with against what is found on a device.
//!
//! Packages are missing, extra or in another version. They are laid side by side by package URL without version and
//! qualifiers. What cannot be compared (nothing names it, or only one side speaks of its kind) is counted by the reason
//! and is no agreement. Nothing here judges whether a difference is harmful. Read next: [`super::found`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use super::Sbom;
use crate::matching::purl::Purl;

/// Kinds of packages of which every host has one: they are compared even where one side has none at all.
const HOSTS: [&str; 4] = ["deb", "rpm", "apk", "opkg"];

/// The differences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Shipped, and not found.
    pub missing: Vec<Package>,
    /// Found, and not shipped.
    pub extra: Vec<Package>,
    /// Found in other versions than shipped.
    pub changed: Vec<Changed>,
    /// Packages that are as they were shipped.
    pub same: usize,
    /// What could not be compared.
    pub not_compared: NotCompared,
}

/// A package on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its package URL without a version.
    pub purl: String,
    /// Its versions there.
    pub versions: Vec<String>,
}

/// A package in different versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its package URL without a version.
    pub purl: String,
    /// As shipped.
    pub shipped: Vec<String>,
    /// As found.
    pub found: Vec<String>,
}

/// Components that were not compared, by the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotCompared {
    /// Of what was shipped.
    pub shipped: BTreeMap<&'static str, usize>,
    /// Of what was found; also what the agent could not read, behind which something may hide.
    pub found: BTreeMap<&'static str, usize>,
}

impl Drift {
    /// Whether nothing differs. What was not compared may still.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.changed.is_empty()
    }
}

/// One side: packages with their versions, and what is left out.
struct Side {
    packages: BTreeMap<String, (String, BTreeSet<String>)>,
    kinds: BTreeSet<String>,
    left_out: BTreeMap<&'static str, usize>,
}

impl Side {
    fn of(sbom: &Sbom) -> Self {
        let mut side = Self { packages: BTreeMap::new(), kinds: BTreeSet::new(), left_out: BTreeMap::new() };
        for component in &sbom.components {
            match component.identity() {
                Ok(purl) => {
                    side.kinds.insert(purl.kind.clone());
                    let (key, kind, version) = parts(purl);
                    side.packages.entry(key).or_insert_with(|| (kind, BTreeSet::new())).1.insert(version);
                }
                Err(word) => *side.left_out.entry(word).or_default() += 1,
            }
        }
        side
    }

    /// Takes out what the other side does not speak of.
    fn keep(&mut self, other: &BTreeSet<String>, word: &'static str) {
        let before = self.packages.len();
        self.packages.retain(|_, (kind, _)| HOSTS.contains(&kind.as_str()) || other.contains(kind));
        let taken = before - self.packages.len();
        if taken > 0 {
            self.left_out.insert(word, taken);
        }
    }
}

/// A package URL without version and qualifiers, its kind, and the version with its epoch.
fn parts(mut purl: Purl) -> (String, String, String) {
    let version = purl.version.take().unwrap_or_default();
    let epoch = purl.qualifiers.get("epoch").filter(|epoch| !version.contains(':') && epoch.as_str() != "0");
    let version = epoch.map_or(version.clone(), |epoch| alloc::format!("{epoch}:{version}"));
    purl.qualifiers.clear();
    purl.subpath.clear();
    (alloc::format!("{purl}"), purl.kind, version)
}

/// The differences between what was shipped and what was found.
#[must_use]
pub fn between(shipped: &Sbom, found: &Sbom) -> Drift {
    let (mut old, mut new) = (Side::of(shipped), Side::of(found));
    let (old_kinds, new_kinds) = (old.kinds.clone(), new.kinds.clone());
    old.keep(&new_kinds, "kind-not-looked-for");
    new.keep(&old_kinds, "kind-not-shipped");
    let mut drift = Drift::default();
    for (purl, (_, versions)) in &old.packages {
        match new.packages.remove(purl) {
            None => drift.missing.push(package(purl, versions)),
            Some((_, now)) if now == *versions => drift.same += 1,
            Some((_, now)) => drift.changed.push(Changed {
                purl: purl.clone(),
                shipped: versions.iter().cloned().collect(),
                found: now.into_iter().collect(),
            }),
        }
    }
    drift.extra = new.packages.iter().map(|(purl, (_, versions))| package(purl, versions)).collect();
    for (word, count) in &found.told {
        new.left_out.insert(word, *count);
    }
    drift.not_compared = NotCompared { shipped: old.left_out, found: new.left_out };
    drift
}

fn package(purl: &str, versions: &BTreeSet<String>) -> Package {
    Package { purl: purl.into(), versions: versions.iter().cloned().collect() }
}
