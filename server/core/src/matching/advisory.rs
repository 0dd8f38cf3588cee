//! What an advisory says, in the one form that all feeds are brought into.
//!
//! Closed: a reader of a feed either says everything in these words or refuses the record and counts it. The names are
//! those of the OSV schema (1.7), whose rules the ranges follow. Nothing here is judged. Read next: [`super::range`].

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::ecosystem::Ecosystem;
use crate::cvss::Vector;

/// One advisory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advisory {
    /// Its name, such as `CVE-2021-44228`, `DSA-5020-1` or `GHSA-…`.
    pub id: String,
    /// Other names of the same weakness.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Weaknesses that it repairs, which have names of their own. They join nothing, they only say under what it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<String>,
    /// Taken back by who published it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub withdrawn: bool,
    /// How grave it is: of several vectors that it has, the one that goes before the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Vector>,
    /// What it says of which package.
    #[serde(default)]
    pub affected: Vec<Affected>,
}

/// What an advisory says of one package in one ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affected {
    /// Whose package, with the release.
    pub ecosystem: Ecosystem,
    /// The source package.
    pub name: String,
    /// How it is said.
    #[serde(default, skip_serializing_if = "is_by_version")]
    pub state: Stated,
    /// Ranges of versions, any of which may hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// Versions one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
}

/// How an advisory speaks of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stated {
    /// By versions and ranges.
    #[default]
    ByVersion,
    /// No version was ever affected.
    Never,
    /// Nobody looked, or nobody will: no version is known to be safe.
    Undetermined,
}

/// A range of versions by its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// By which order.
    pub order: Order,
    /// What happens at which version, in any order.
    pub events: Vec<Event>,
}

/// By which order a range stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// That of its ecosystem.
    Ecosystem,
    /// That of semantic versions.
    Semver,
    /// That of commits: no installed version can be placed in it.
    Git,
}

/// Something that happens at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The weakness came in; `0` is before every version.
    Introduced(String),
    /// It was repaired: this version does not have it.
    Fixed(String),
    /// This version is the last that has it.
    LastAffected(String),
    /// Nothing is said from here on; `*` is no limit.
    Limit(String),
}

/// What an [`Event`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// See [`Event::Introduced`].
    Introduced,
    /// See [`Event::Fixed`].
    Fixed,
    /// See [`Event::LastAffected`].
    LastAffected,
    /// See [`Event::Limit`].
    Limit,
}

impl Event {
    /// What it does, and at which version.
    #[must_use]
    pub fn parts(&self) -> (Edge, &str) {
        match self {
            Self::Introduced(version) => (Edge::Introduced, version),
            Self::Fixed(version) => (Edge::Fixed, version),
            Self::LastAffected(version) => (Edge::LastAffected, version),
            Self::Limit(version) => (Edge::Limit, version),
        }
    }
}

impl Range {
    /// All versions below a repair, or all there are if there is none.
    #[must_use]
    pub fn below(fixed: Option<&str>) -> Self {
        let mut events = alloc::vec![Event::Introduced("0".into())];
        events.extend(fixed.map(|fixed| Event::Fixed(fixed.into())));
        Self { order: Order::Ecosystem, events }
    }
}

/// Whether a name is that of a CVE, under which weaknesses are counted.
#[must_use]
pub fn is_cve(id: &str) -> bool {
    let digits = |text: &str| text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = id.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(year, number)| digits(year) && digits(number))
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_by_version(state: &Stated) -> bool {
    *state == Stated::ByVersion
}
