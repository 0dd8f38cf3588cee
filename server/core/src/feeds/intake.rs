//! Taking a feed in: what is kept of it, and when it may replace the one that is here.
//!
//! A feed is a file by its hash and one document that says which file is in force; the document is the switch. Nothing that
//! was not understood at all takes the place of something, nothing that is much less than before, and nothing that is older,
//! unless a person says so. Where the owner named keys for a feed, only a file that one of them signed is taken. Nothing here
//! reads a file. Read next: [`signed`] for signatures, `exposure` for what is made of feeds.

use alloc::collections::BTreeMap;
use alloc::string::String;

use cordon_proto::ids::{Name, Sha256};
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::age::{Age, DAY_S};
use crate::matching::json::Refused;

pub mod signed;
#[cfg(test)]
mod tests;

/// The version of the document under `Key::Feed`.
pub const VERSION: u32 = 1;

/// What a feed holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// OSV records.
    Osv,
    /// Debian's own security data.
    Debian,
    /// CSAF advisories about devices.
    Csaf,
    /// CISA's catalogue of what is exploited.
    Kev,
    /// FIRST's chances of exploitation.
    Epss,
    /// Ends of life.
    Eol,
    /// Statements of makers in VEX.
    Vex,
    /// A site's own names of makers and models.
    Aliases,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Osv, Self::Debian, Self::Csaf, Self::Kev, Self::Epss, Self::Eol, Self::Vex, Self::Aliases];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Osv => "osv",
            Self::Debian => "debian",
            Self::Csaf => "csaf",
            Self::Kev => "kev",
            Self::Epss => "epss",
            Self::Eol => "eol",
            Self::Vex => "vex",
            Self::Aliases => "aliases",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether it says which weakness is in what: without one of these nothing is matched.
    #[must_use]
    pub fn is_of_advisories(self) -> bool {
        match self {
            Self::Osv | Self::Debian | Self::Csaf => true,
            Self::Kev | Self::Epss | Self::Eol | Self::Vex | Self::Aliases => false,
        }
    }

    /// Whether it grows old. A site's own names and a maker's statements hold until somebody says otherwise.
    #[must_use]
    pub fn ages(self) -> bool {
        match self {
            Self::Osv | Self::Debian | Self::Csaf | Self::Kev | Self::Epss | Self::Eol => true,
            Self::Vex | Self::Aliases => false,
        }
    }

    /// Whether it is a collection of records, each with a day of its own.
    #[must_use]
    pub fn is_collection(self) -> bool {
        match self {
            Self::Osv | Self::Csaf | Self::Vex => true,
            Self::Debian | Self::Kev | Self::Epss | Self::Eol | Self::Aliases => false,
        }
    }

    /// Days after which it is old news. Ends of life are planned years ahead.
    #[must_use]
    pub fn stale_days(self) -> u32 {
        match self {
            Self::Eol => 90,
            Self::Osv | Self::Debian | Self::Csaf | Self::Kev | Self::Epss | Self::Vex | Self::Aliases => {
                cordon_proto::limits::FEED_STALE_DAYS
            }
        }
    }
}

/// By whose word a feed is of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatedBy {
    /// Its own.
    Feed,
    /// That of whoever signed it.
    Signer,
    /// That of whoever brought it.
    Person,
    /// Nobody's: the day on which it came.
    Arrival,
}

/// What of a file could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files that were looked at.
    pub files: u64,
    /// Records that were understood.
    pub records: u64,
    /// Records that were not, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What of records that were taken had to be mended or left out, by reason.
    pub mended: BTreeMap<String, u64>,
    /// The first that was refused.
    pub first_refused: Option<FirstRefused>,
    /// Of when it is, where it says so.
    pub as_of: Option<Timestamp>,
}

/// The first record of a feed that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRefused {
    /// Its file.
    pub file: String,
    /// Why.
    pub why: String,
}

impl Tally {
    /// Counts a record that was not understood.
    pub fn refuse(&mut self, file: &str, why: &Refused) {
        *self.refused.entry(why.word().into()).or_default() += 1;
        let shown =
            || FirstRefused { file: file.into(), why: alloc::format!("{why}").chars().take(300).collect() };
        self.first_refused.get_or_insert_with(shown);
    }

    /// Counts something by its word.
    pub fn count(counts: &mut BTreeMap<String, u64>, word: &str, more: usize) {
        if more > 0 {
            *counts.entry(word.into()).or_default() += u64::try_from(more).unwrap_or(u64::MAX);
        }
    }
}

/// A feed that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub name: Name,
    /// What it holds.
    pub kind: Kind,
    /// The file.
    pub sha256: Sha256,
    /// Its bytes.
    pub length: u64,
    /// Of when it is.
    pub as_of: Timestamp,
    /// By whose word.
    pub dated_by: DatedBy,
    /// When it came.
    pub received: Timestamp,
    /// Who brought it, as the journal names them.
    pub by: String,
    /// Records that were understood.
    pub records: u64,
    /// Records that were not, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    /// What of records that were taken had to be mended or left out, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mended: BTreeMap<String, u64>,
    /// The first that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_refused: Option<FirstRefused>,
    /// The id of the key that signed it; none for a plain file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

impl Feed {
    /// The document as it is stored.
    #[must_use]
    pub fn to_body(&self) -> alloc::vec::Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// Reads a stored document; `None` for one of a version that is not known here.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|feed: &Self| feed.v == VERSION)
    }

    /// How old it is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Age {
        Age::of(Some(self.as_of), now, Some(self.kind.stale_days()))
    }

    /// The first second in which it is old news; none for what does not grow old.
    #[must_use]
    pub fn stale_at(&self) -> Option<Timestamp> {
        let days = i64::from(self.kind.stale_days());
        self.kind.ages().then(|| self.as_of.plus_seconds(days.saturating_mul(DAY_S) + 1))
    }
}

/// A file that is to become a feed.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The feed.
    pub name: Name,
    /// What it holds.
    pub kind: Kind,
    /// The file.
    pub sha256: Sha256,
    /// Its bytes.
    pub length: u64,
    /// What of it could be read.
    pub tally: Tally,
    /// Of when it is, as whoever brings it says.
    pub said: Option<Timestamp>,
    /// Who signed it, and when.
    pub signed: Option<signed::Signed>,
    /// Whether a person has seen what is odd about it and wants it all the same.
    pub confirmed: bool,
    /// Who brings it.
    pub by: String,
}

/// Why a file does not become a feed. What was in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Another kind than the feed of this name holds.
    #[error("the feed of this name holds {held}: give this one another name, or remove that one first")]
    OtherKind {
        /// What it holds.
        held: &'static str,
    },
    /// Nothing was understood.
    #[error("nothing in it could be read{why}: give the file as its publisher makes it")]
    Nothing {
        /// The first reason.
        why: String,
    },
    /// Less than half of what was there.
    #[error(
        "it has {found} records where {held} are in force: see whether it is whole, and confirm it if it is meant so"
    )]
    Less {
        /// Records that are in force.
        held: u64,
        /// Records of this one.
        found: u64,
    },
    /// Older than what is in force.
    #[error(
        "it is of {found}, what is in force is of {held}: bring a newer one, or confirm it if it is meant so"
    )]
    Older {
        /// Of when what is in force is.
        held: Timestamp,
        /// Of when this one is.
        found: Timestamp,
    },
    /// It says a day that has not come.
    #[error("it is of {found}, which has not come: set the server's clock, or ask who made it")]
    Ahead {
        /// Of when it is.
        found: Timestamp,
    },
    /// One more than a server keeps.
    #[error(
        "{} feeds are in force, and no more are kept: join some, or remove one",
        cordon_proto::limits::FEEDS
    )]
    TooMany,
    /// The signature.
    #[error(transparent)]
    Signature(#[from] signed::NotSigned),
    /// The file itself is none.
    #[error("{0}")]
    File(String),
}

impl NotTaken {
    /// A word to count it by.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::OtherKind { .. } => "other-kind",
            Self::Nothing { .. } => "nothing-read",
            Self::Less { .. } => "much-less",
            Self::Older { .. } => "older",
            Self::Ahead { .. } => "ahead",
            Self::TooMany => "too-many-feeds",
            Self::Signature(why) => why.word(),
            Self::File(_) => "broken-file",
        }
    }

    /// Whether a person may say that it is meant so.
    #[must_use]
    pub fn can_be_confirmed(&self) -> bool {
        match self {
            Self::Less { .. } | Self::Older { .. } => true,
            Self::OtherKind { .. }
            | Self::Nothing { .. }
            | Self::Ahead { .. }
            | Self::TooMany
            | Self::Signature(_)
            | Self::File(_) => false,
        }
    }
}

/// Of when a feed is. A table says it of itself. Of a collection the newest record only says that it is no older: whoever
/// signed or brought it may have seen it whole on a later day.
fn dated(
    kind: Kind,
    own: Option<Timestamp>,
    signer: Option<Timestamp>,
    person: Option<Timestamp>,
) -> Option<(Timestamp, DatedBy)> {
    let own = own.map(|at| (at, DatedBy::Feed));
    let others = [(signer, DatedBy::Signer), (person, DatedBy::Person)];
    let other = others.into_iter().find_map(|(at, by)| Some((at?, by)));
    if !kind.is_collection() {
        return own.or(other);
    }
    let later = |(at, _): &(Timestamp, DatedBy)| own.is_none_or(|(own, _)| own <= *at);
    other.filter(later).or(own)
}

/// Whether a file becomes a feed, over the one that is in force.
///
/// # Errors
/// It does not, and why.
pub fn judge(held: Option<&Feed>, incoming: Incoming, now: Timestamp) -> Result<Feed, NotTaken> {
    if let Some(held) = held.filter(|held| held.kind != incoming.kind) {
        return Err(NotTaken::OtherKind { held: held.kind.word() });
    }
    let Incoming { name, kind, sha256, length, tally, said, signed, confirmed, by } = incoming;
    if tally.records == 0 {
        let first = tally.first_refused.map(|first| alloc::format!(" ({}: {})", first.file, first.why));
        return Err(NotTaken::Nothing { why: first.unwrap_or_default() });
    }
    let made = signed.as_ref().map(|signed| signed.made);
    let (as_of, dated_by) = dated(kind, tally.as_of, made, said).unwrap_or((now, DatedBy::Arrival));
    if Age::of(Some(as_of), now, None) == Age::Ahead {
        return Err(NotTaken::Ahead { found: as_of });
    }
    if let Some(held) = held.filter(|_| !confirmed) {
        if as_of < held.as_of {
            return Err(NotTaken::Older { held: held.as_of, found: as_of });
        }
        if tally.records.saturating_mul(2) < held.records {
            return Err(NotTaken::Less { held: held.records, found: tally.records });
        }
    }
    Ok(Feed {
        v: VERSION,
        name,
        kind,
        sha256,
        length,
        as_of,
        dated_by,
        received: now,
        by,
        records: tally.records,
        refused: tally.refused,
        mended: tally.mended,
        first_refused: tally.first_refused,
        signed_by: signed.map(|signed| signed.key),
    })
}
