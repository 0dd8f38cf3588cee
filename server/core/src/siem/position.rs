//! How far a SIEM was told, and what comes next: a document of the store that moves after the SIEM took what was sent.
//!
//! Findings are followed by commits, the journal by its sequence. At the beginning, and after commits were forgotten, all
//! findings are walked through instead. What is told twice after a break bears the same name, what is told never bears
//! none: the position moves afterwards. Read next: [`Position::steps`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::change::{Key, Revision};
use crate::triage::{Record, Step};

/// Seconds after which a SIEM that takes nothing is told to people.
pub const SILENT_S: i64 = 3600;
/// Seconds in which a way that nothing travels is tried all the same.
pub const TRIED_S: i64 = 600;
/// The version of the document.
const VERSION: u32 = 1;
/// Characters of a failure that are kept.
const WHY_CHARS: usize = 512;

/// How far one SIEM was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    v: u32,
    /// Which SIEM, as the settings name it.
    pub to: String,
    /// How far findings were told.
    pub findings: Findings,
    /// The last entry of the journal that was told.
    pub audit: u64,
    /// Events that it took.
    pub events: u64,
    /// When it last took something, were it nothing but a connection.
    pub taken: Option<Timestamp>,
    /// Since when, and why, it takes nothing.
    pub failing: Option<Failing>,
}

/// How far findings were told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Findings {
    /// All findings are walked through, in the order of their keys.
    Walk {
        /// The commit to go on from afterwards.
        resume: u64,
        /// The last key that was told, in hexadecimal digits.
        after: Option<String>,
        /// Only steps of this time or later; at the beginning every finding that is not closed.
        since: Option<Timestamp>,
        /// When the walk began.
        begun: Timestamp,
    },
    /// Commits are followed.
    Follow {
        /// The last one that was looked at.
        after: u64,
        /// When it was made.
        at: Timestamp,
    },
}

/// Since when, and why, a SIEM takes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// Why, as it was last said.
    pub why: String,
}

impl Position {
    /// The position before anything was told: open findings come first, the journal goes on from its present end.
    #[must_use]
    pub fn begin(to: &str, (revision, audit): (Revision, u64), now: Timestamp) -> Self {
        let findings = Findings::Walk { resume: revision.0, after: None, since: None, begun: now };
        Self { v: VERSION, to: to.to_string(), findings, audit, events: 0, taken: None, failing: None }
    }

    /// Reads a document; nothing if it is of another version, or of another SIEM.
    #[must_use]
    pub fn from_body(body: &[u8], to: &str) -> Option<Self> {
        let position: Self = serde_json::from_slice(body).ok()?;
        (position.v == VERSION && position.to == to).then_some(position)
    }

    /// The document.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// The commits behind the position were forgotten before they were told.
    #[must_use]
    pub fn forgotten(self, resume: Revision, now: Timestamp) -> Self {
        let since = match &self.findings {
            Findings::Walk { since, .. } => *since,
            Findings::Follow { at, .. } => Some(*at),
        };
        Self { findings: Findings::Walk { resume: resume.0, after: None, since, begun: now }, ..self }
    }

    /// The SIEM took so many events.
    #[must_use]
    pub fn took(self, events: u64, now: Timestamp) -> Self {
        Self { events: self.events.saturating_add(events), taken: Some(now), failing: None, ..self }
    }

    /// It took nothing.
    #[must_use]
    pub fn failed(self, why: &str, now: Timestamp) -> Self {
        let since = self.failing.map_or(now, |failing| failing.since);
        let why = why.chars().take(WHY_CHARS).collect();
        Self { failing: Some(Failing { since, why }), ..self }
    }

    /// Whether the way should be tried although nothing is to be told.
    #[must_use]
    pub fn is_untried(&self, now: Timestamp) -> bool {
        self.failing.is_some() || self.taken.is_none_or(|taken| now.seconds_since(taken) >= TRIED_S)
    }

    /// What people must be told of it, if anything.
    #[must_use]
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        let failing = self.failing.as_ref()?;
        let last = match self.taken {
            Some(taken) => format!("since {taken}"),
            None => format!("ever; it has been tried since {}", failing.since),
        };
        (now.seconds_since(self.taken.unwrap_or(failing.since)) >= SILENT_S).then(|| {
            format!(
                "the SIEM at {} has taken nothing {last}, so nobody there sees findings of here: {}",
                self.to, failing.why
            )
        })
    }

    /// The key behind which a walk goes on.
    #[must_use]
    pub fn walked(&self) -> Option<Key> {
        match &self.findings {
            Findings::Walk { after: Some(digits), .. } => Key::from_bytes(&unhex(digits)?).ok(),
            Findings::Walk { after: None, .. } | Findings::Follow { .. } => None,
        }
    }

    /// The walk has come to this key, or to its end.
    #[must_use]
    pub fn walk_to(mut self, key: Option<&Key>) -> Self {
        self.findings = match (self.findings, key) {
            (Findings::Walk { resume, since, begun, .. }, Some(key)) => {
                Findings::Walk { resume, after: Some(hex(&key.to_bytes())), since, begun }
            }
            (Findings::Walk { resume, begun, .. }, None) => Findings::Follow { after: resume, at: begun },
            (follow @ Findings::Follow { .. }, _) => follow,
        };
        self
    }

    /// This commit has been looked at.
    #[must_use]
    pub fn followed(self, revision: Revision, at: Timestamp) -> Self {
        Self { findings: Findings::Follow { after: revision.0, at }, ..self }
    }

    /// The steps of a finding that a walk tells, and whether the SIEM hears of it for the first time.
    #[must_use]
    pub fn steps<'a>(&self, record: &'a Record) -> (Vec<&'a Step>, bool) {
        match &self.findings {
            Findings::Walk { since: None, .. } => {
                let last = record.history.last().filter(|_| record.weighs());
                (last.into_iter().collect(), true)
            }
            Findings::Walk { since: Some(since), .. } => {
                (record.history.iter().filter(|step| step.at >= *since).collect(), false)
            }
            Findings::Follow { .. } => (Vec::new(), false),
        }
    }
}

/// The steps of a finding that a commit of this time brought: both were given the time of one decision.
pub fn brought(record: &Record, at: Timestamp) -> impl Iterator<Item = &Step> {
    record.history.iter().filter(move |step| step.at == at)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let bytes = digits.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
    bytes.len().is_multiple_of(2).then(|| bytes.chunks(2).map(pair).collect())?
}
