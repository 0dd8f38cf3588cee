//! What is installed: components by their source package, once each, however many binaries were built from one.
//!
//! A component without a release, or whose source was not told, says so by its place or its doubts; nothing is filled in.
//! Read next: [`super::dpkg`] and [`super::inventory`], which make them, [`super::index`], which asks about them.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::ecosystem::Ecosystem;
use super::version::Scheme;

/// What was assumed of a component, because nobody said it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Doubts {
    /// The source package was not told: the binary's own name and version were taken.
    pub source: bool,
    /// An RPM version came without an epoch: compared as epoch 0.
    pub epoch: bool,
}

impl Doubts {
    /// The words for what is assumed.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let mut words = Vec::new();
        if self.source {
            words.push("source-assumed");
        }
        if self.epoch {
            words.push("epoch-assumed");
        }
        words
    }
}

/// A source package in one version, and what of it is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Whose it is, with the release.
    pub ecosystem: Ecosystem,
    /// The source package, as advisories write it.
    pub name: String,
    /// Its version, epoch kept.
    pub version: String,
    /// The label of its module stream (RPM), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The binary packages that are installed of it, sorted.
    #[serde(default)]
    pub binaries: Vec<String>,
    /// What was assumed.
    #[serde(default)]
    pub doubts: Doubts,
}

impl Component {
    /// A source package and no binaries yet.
    #[must_use]
    pub fn new(ecosystem: Ecosystem, name: &str, version: &str) -> Self {
        let epoch = ecosystem.scheme() == Scheme::Rpm && !has_epoch(version);
        let name = ecosystem.name_of(name);
        Self {
            ecosystem,
            name,
            version: version.into(),
            module: None,
            binaries: Vec::new(),
            doubts: Doubts { source: false, epoch },
        }
    }

    /// The same with a binary package that was built from it.
    #[must_use]
    pub fn with_binary(mut self, binary: &str) -> Self {
        self.binaries.push(binary.into());
        self
    }

    /// Where a Debian backport came from: `1.2-3~bpo12+1` is `1.2-3` of release 13, rebuilt for 12 (backports.debian.org).
    #[must_use]
    pub(crate) fn backport(&self) -> Option<(Ecosystem, &str)> {
        if self.ecosystem.family() != "Debian" {
            return None;
        }
        let (original, rest) = self.version.rsplit_once("~bpo")?;
        let (release, _) = rest.split_once('+')?;
        // Before 8 the number had a zero behind it: `~bpo70+1`.
        let release: u32 = release.parse().ok()?;
        let release = if release >= 60 { release / 10 } else { release };
        Some((Ecosystem::debian(&alloc::format!("{}", release.checked_add(1)?)), original))
    }
}

fn has_epoch(version: &str) -> bool {
    let digits = |epoch: &str| !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
    version.split_once(':').is_some_and(|(epoch, _)| digits(epoch))
}

/// All components of one device or one paper: sorted, each source package and version once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentSet {
    items: Vec<Component>,
}

impl ComponentSet {
    /// Sorts, and joins the binaries of one source package in one version.
    #[must_use]
    pub fn new(mut items: Vec<Component>) -> Self {
        items.sort_unstable();
        let mut joined: Vec<Component> = Vec::with_capacity(items.len());
        for item in items {
            match joined.last_mut() {
                Some(last) if last.is_same(&item) => last.binaries.extend(item.binaries),
                Some(_) | None => joined.push(item),
            }
        }
        for item in &mut joined {
            item.binaries.sort_unstable();
            item.binaries.dedup();
        }
        Self { items: joined }
    }

    /// The components in order.
    #[must_use]
    pub fn items(&self) -> &[Component] {
        &self.items
    }
}

impl Component {
    fn is_same(&self, other: &Self) -> bool {
        (&self.ecosystem, &self.name, &self.version) == (&other.ecosystem, &other.name, &other.version)
            && (&self.module, self.doubts) == (&other.module, other.doubts)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    #[test]
    fn binaries_of_one_source_are_one_component() {
        // Goal: one exposure for a source package, not one a binary. Method: three rows of two versions, out of order.
        let of = |version: &str, binary: &str| {
            Component::new(Ecosystem::debian("12"), "pump", version).with_binary(binary)
        };
        let set = ComponentSet::new(vec![of("2", "z"), of("1", "libpump"), of("2", "a"), of("2", "a")]);
        let shown: Vec<_> =
            set.items().iter().map(|item| (item.version.as_str(), item.binaries.join(" "))).collect();
        assert_eq!(shown, [("1", "libpump".to_string()), ("2", "a z".to_string())]);
    }

    #[test]
    fn a_backport_is_known_by_the_release_that_it_was_made_from() {
        // Goal: a backport is not judged by repairs that it never had. Method: names as they occur, and none.
        let from = |version: &str| {
            let component = Component::new(Ecosystem::debian("12"), "pump", version);
            component.backport().map(|(ecosystem, version)| alloc::format!("{ecosystem} {version}"))
        };
        assert_eq!(from("1:1.2-3~bpo12+1").as_deref(), Some("Debian:13 1:1.2-3"));
        assert_eq!(from("1.2-3~bpo70+2").as_deref(), Some("Debian:8 1.2-3"));
        for version in ["1.2-3", "1.2-3+deb12u1", "1.2-3~bpo", "1.2~bpo12", "1~bpox+1", "1~bpo4294967295+1"] {
            assert_ne!(from(version).as_deref(), Some("Debian:13 1.2-3"), "{version}");
        }
        assert_eq!(from("1.2-3~deb12u1"), None);
        let ubuntu = Component::new(Ecosystem::new("Ubuntu", Some("22.04:LTS")), "pump", "1~bpo12+1");
        assert_eq!(ubuntu.backport(), None);
    }

    #[test]
    fn an_rpm_without_an_epoch_is_doubted() {
        // Goal: the assumption is shown. Method: with, without, and where it is no epoch.
        let doubt = |family: &str, version: &str| {
            Component::new(Ecosystem::new(family, Some("9")), "pump", version).doubts.words()
        };
        assert_eq!(doubt("AlmaLinux", "1.2-3.el9"), ["epoch-assumed"]);
        assert_eq!(doubt("AlmaLinux", "a:1.2-3.el9"), ["epoch-assumed"]);
        assert!(doubt("AlmaLinux", "0:1.2-3.el9").is_empty() && doubt("Debian", "1.2").is_empty());
    }
}
