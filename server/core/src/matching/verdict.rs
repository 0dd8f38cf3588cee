//! The four answers to "does this component have that weakness", each with what it stands on.
//!
//! Whoever doubts an answer compares the two texts of its evidence by the scheme named there and needs nothing else:
//! `cordonctl version-compare`. Read next: [`super::index`], which gives them.

use super::advisory::Edge;
use super::component::Component;
use super::version::Scheme;
use crate::cvss::Vector;

/// Does a component have a weakness?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Yes. With the version that repairs it, by every record about it; none where no record names one.
    Affected {
        /// The lowest version that no record calls affected.
        fixed: Option<&'a str>,
    },
    /// It may, and cannot be judged. Never safe.
    Unknown(Why),
    /// Not any more: it lies behind a repair, behind the last version that had it, or behind all that the record speaks of.
    Fixed,
    /// It never had it.
    NotAffected,
}

/// Why an answer is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No order of versions is known for the ecosystem.
    NoScheme,
    /// The installed version is none by its scheme.
    BadInstalled,
    /// A version in the advisory is none by its scheme.
    BadBound,
    /// Rebuilt from another release, about which no advisories are here.
    NoFeed,
    /// The advisory itself does not say.
    Undetermined,
    /// It belongs to a module stream, and the advisory does not say to which it speaks.
    ModuleStream,
    /// The advisory speaks of commits only.
    OnlyGit,
}

/// What an answer stands on: the record that decided, and the two texts that were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The record.
    pub advisory: &'a str,
    /// What of it was compared with what is installed.
    pub compared: Compared<'a>,
}

/// A comparison as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared<'a> {
    /// By whose order: that of the range, which is not always that of the ecosystem.
    pub scheme: Scheme,
    /// The installed version as it was compared: a backport without its ending, an RPM without its release where the bound
    /// has none.
    pub installed: &'a str,
    /// The version of the record that decided; none where it names none that had to be looked at.
    pub bound: Option<Bound<'a>>,
}

/// A version that a record names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<'a> {
    /// What it says of that version.
    pub role: Role,
    /// The version.
    pub version: &'a str,
}

/// What a record says of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The weakness came in with it.
    Introduced,
    /// It repairs the weakness.
    Fixed,
    /// It is the last that has the weakness. Which one repairs it is not said.
    LastAffected,
    /// Nothing is said from here on.
    Limit,
    /// It has the weakness, listed one by one.
    Listed,
}

impl Role {
    /// Its word, as the OSV schema writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Introduced => "introduced",
            Self::Fixed => "fixed",
            Self::LastAffected => "last_affected",
            Self::Limit => "limit",
            Self::Listed => "listed",
        }
    }
}

impl From<Edge> for Role {
    fn from(edge: Edge) -> Self {
        match edge {
            Edge::Introduced => Self::Introduced,
            Edge::Fixed => Self::Fixed,
            Edge::LastAffected => Self::LastAffected,
            Edge::Limit => Self::Limit,
        }
    }
}

/// One answer, about one weakness and one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The weakness: a CVE, or the name of what has none.
    pub group: &'a str,
    /// The component.
    pub component: &'a Component,
    /// The answer.
    pub answer: Answer<'a>,
    /// What it stands on.
    pub evidence: Evidence<'a>,
    /// How grave the weakness is, where a record says so; says nothing about this component.
    pub severity: Option<Vector>,
}

impl<'a> Verdict<'a> {
    /// The version that repairs the weakness, where a record names one. No other bound is a repair: behind the last version
    /// that had it nobody says what mended it.
    #[must_use]
    pub fn repair(&self) -> Option<&'a str> {
        match self.answer {
            Answer::Affected { fixed } => fixed,
            Answer::Fixed => {
                let bound = self.evidence.compared.bound.filter(|bound| bound.role == Role::Fixed);
                bound.map(|bound| bound.version)
            }
            Answer::Unknown(_) | Answer::NotAffected => None,
        }
    }
}

impl Answer<'_> {
    /// Its word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Affected { .. } => "affected",
            Self::Unknown(_) => "unknown",
            Self::Fixed => "fixed",
            Self::NotAffected => "not-affected",
        }
    }
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoScheme,
        Self::BadInstalled,
        Self::BadBound,
        Self::NoFeed,
        Self::Undetermined,
        Self::ModuleStream,
        Self::OnlyGit,
    ];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoScheme => "no-scheme",
            Self::BadInstalled => "bad-installed-version",
            Self::BadBound => "bad-version-in-advisory",
            Self::NoFeed => "no-feed-for-backport",
            Self::Undetermined => "undetermined",
            Self::ModuleStream => "module-stream",
            Self::OnlyGit => "commits-only",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoScheme => "no order of versions is known for this ecosystem",
            Self::BadInstalled => "the installed version is no version by its own rules",
            Self::BadBound => "the advisory names a version that is none",
            Self::NoFeed => "it was rebuilt from another release, about which no advisories are here",
            Self::Undetermined => "its publisher has not judged it",
            Self::ModuleStream => "it belongs to a module stream that the advisory does not name",
            Self::OnlyGit => "the advisory speaks of commits, not of versions",
        }
    }
}
