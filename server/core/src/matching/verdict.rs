//! The four answers to "does this component have that weakness", each with what it stands on.
//!
//! Whoever doubts an answer compares the two texts of its evidence by the scheme named there and needs nothing else:
//! `cordonctl version-compare`. Read next: [`super::index`], which gives them.

use super::component::Component;
use super::version::Scheme;

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
    /// Not any more, or not in this version.
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
    /// By whose order.
    pub scheme: Scheme,
    /// The installed version, as it was compared.
    pub installed: &'a str,
    /// The version of the advisory that decided, where one did.
    pub bound: Option<&'a str>,
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
