//! The audit journal's entries: who did what to what, why, when, as bytes that will be read for ever.
//!
//! An entry is written in the transaction of the act it records; the store gives it its sequence. Its bytes are the
//! leaf that the sealer will close into an RFC 9162 tree, so they are stored, exported and hashed as they are and
//! never written again. One entry is one line of JSON: fields in alphabetical order, strings and integers only.
//! Entries name people and devices; they never hold secrets or patient data.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use cordon_proto::ids::{DeviceId, IdError, Name, Text, TokenId};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A person, by account.
    Person(Text),
    /// An API token, by its hash.
    Token(TokenId),
    /// A device.
    Device(DeviceId),
    /// A job of the server.
    Server(Name),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(account) => write!(f, "person:{account}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Device(id) => write!(f, "device:{id}"),
            Self::Server(job) => write!(f, "server:{job}"),
        }
    }
}

impl FromStr for Actor {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once(':').ok_or(IdError::Character)? {
            ("person", account) => account.parse().map(Self::Person),
            ("token", id) => id.parse().map(Self::Token),
            ("device", id) => id.parse().map(Self::Device),
            ("server", job) => job.parse().map(Self::Server),
            _ => Err(IdError::Character),
        }
    }
}

/// What was recorded of a state before or after an act: at most `limits::SUMMARY_CHARS`, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary(String);

impl Summary {
    /// The beginning of `text` without its control characters.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.chars().filter(|c| !c.is_control()).take(limits::SUMMARY_CHARS).collect())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One act, as its handler describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was done: `device.quarantine`, `token.create`.
    pub action: Name,
    /// To what: `device:…`, `rollout:…`.
    pub object: Text,
    /// The reason that the actor gave.
    pub reason: Option<Text>,
    /// What was so before.
    pub before: Option<Summary>,
    /// What is so since.
    pub after: Option<Summary>,
    /// The request in which it happened, to be found in the logs.
    pub request: Option<Text>,
}

impl Entry {
    /// An act without reason, summaries or request; the fields are public.
    #[must_use]
    pub fn new(action: Name, object: Text) -> Self {
        Self { action, object, reason: None, before: None, after: None, request: None }
    }
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the journal, from 1, without gaps.
    pub sequence: u64,
    /// When, by the commit's word.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub entry: Entry,
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// More bytes than any entry has.
    #[error("the audit entry is too long")]
    TooLong,
    /// Not an entry of a version known here.
    #[error("the bytes are not an audit entry of a known version")]
    Malformed,
}

impl Recorded {
    /// The bytes to store, export and seal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let summary = |summary: &Option<Summary>| summary.as_ref().map(|text| text.0.clone());
        let line = Line {
            action: self.entry.action.clone(),
            actor: self.actor.to_string(),
            after: summary(&self.entry.after),
            at: self.at.0,
            before: summary(&self.entry.before),
            object: self.entry.object.clone(),
            reason: self.entry.reason.clone(),
            request: self.entry.request.clone(),
            sequence: self.sequence,
            v: VERSION,
        };
        serde_json::to_vec(&line).expect("strings and integers are always JSON")
    }

    /// Reads stored or exported bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AuditError> {
        if bytes.len() > limits::AUDIT_ENTRY_BYTES {
            return Err(AuditError::TooLong);
        }
        let line: Line = serde_json::from_slice(bytes).map_err(|_| AuditError::Malformed)?;
        if line.v != VERSION {
            return Err(AuditError::Malformed);
        }
        Ok(Self {
            sequence: line.sequence,
            at: Timestamp(line.at),
            actor: line.actor.parse().map_err(|_| AuditError::Malformed)?,
            entry: Entry {
                action: line.action,
                object: line.object,
                reason: line.reason,
                before: line.before.as_deref().map(Summary::of),
                after: line.after.as_deref().map(Summary::of),
                request: line.request,
            },
        })
    }
}

const VERSION: u8 = 1;

/// The line as written: alphabetical, absent fields left out.
#[derive(Serialize, Deserialize)]
struct Line {
    action: Name,
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    object: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Text>,
    sequence: u64,
    v: u8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of the first version. They are in journals: this text may never change.
    const GOLDEN: &str = concat!(
        r#"{"action":"device.quarantine","actor":"person:ines@clinic.example","after":"quarantined","at":1767225600,"#,
        r#""before":"trusted","object":"device:00000000-0000-4000-8000-000000000000","reason":"beacons to \"203.0.113.9\"","#,
        r#""request":"r-81","sequence":42,"v":1}"#
    );
    const GOLDEN_SHORT: &str =
        r#"{"action":"audit.seal","actor":"server:sealer","at":-1,"object":"audit","sequence":1,"v":1}"#;

    fn text(text: &str) -> Text {
        text.parse().expect("text")
    }

    fn golden() -> Recorded {
        let object = text("device:00000000-0000-4000-8000-000000000000");
        Recorded {
            sequence: 42,
            at: Timestamp(1_767_225_600),
            actor: Actor::Person(text("ines@clinic.example")),
            entry: Entry {
                reason: Some(text("beacons to \"203.0.113.9\"")),
                before: Some(Summary::of("trusted")),
                after: Some(Summary::of("quarantined")),
                request: Some(text("r-81")),
                ..Entry::new("device.quarantine".parse().expect("name"), object)
            },
        }
    }

    #[test]
    fn entries_of_the_first_version_are_read_for_ever() {
        // Goal: journals outlive versions. Method: golden bytes, read and written, with and without optional fields.
        assert_eq!(String::from_utf8(golden().to_bytes()).expect("UTF-8"), GOLDEN);
        assert_eq!(Recorded::from_bytes(GOLDEN.as_bytes()), Ok(golden()));
        let short = Recorded::from_bytes(GOLDEN_SHORT.as_bytes()).expect("reads");
        assert_eq!(short.actor, Actor::Server("sealer".parse().expect("name")));
        assert_eq!(String::from_utf8(short.to_bytes()).expect("UTF-8"), GOLDEN_SHORT);
    }

    #[test]
    fn a_line_with_two_meanings_or_another_version_is_refused() {
        // Goal: one line, one meaning. Method: a duplicate key, a foreign actor, a later version, a long line.
        let refused = |from: &str, to: &str| Recorded::from_bytes(GOLDEN.replace(from, to).as_bytes());
        assert_eq!(refused("\"v\":1", "\"v\":1,\"sequence\":43"), Err(AuditError::Malformed));
        assert_eq!(refused("person:", "robot:"), Err(AuditError::Malformed));
        assert_eq!(refused("\"v\":1", "\"v\":2"), Err(AuditError::Malformed));
        let long = "x".repeat(limits::AUDIT_ENTRY_BYTES);
        assert_eq!(refused("quarantined", &long), Err(AuditError::TooLong));
    }

    #[test]
    fn the_longest_entry_can_be_read_back() {
        // Goal: nothing that is written is too long to be read. Method: every text at its limit, in characters that
        // take most bytes in JSON.
        let longest = text(&"\u{10ffff}".repeat(limits::TEXT_CHARS));
        let quotes = Some(Summary::of(&"\u{10ffff}".repeat(limits::SUMMARY_CHARS)));
        let mut entry = golden();
        entry.actor = Actor::Person(longest.clone());
        entry.entry.object = longest.clone();
        (entry.entry.reason, entry.entry.request) = (Some(longest.clone()), Some(longest));
        (entry.entry.before, entry.entry.after) = (quotes.clone(), quotes);
        assert_eq!(Recorded::from_bytes(&entry.to_bytes()), Ok(entry));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = Recorded::from_bytes(&bytes);
        }

        #[test]
        fn entries_read_back(sequence: u64, at: i64, reason in "\\PC{1,40}", summary in ".{0,40}", id: [u8; 32]) {
            let entry = Recorded {
                sequence,
                at: Timestamp(at),
                actor: Actor::Token(TokenId(id)),
                entry: Entry {
                    reason: Some(Text::lossy(&reason)),
                    after: Some(Summary::of(&summary)),
                    ..golden().entry
                },
            };
            prop_assert_eq!(Recorded::from_bytes(&entry.to_bytes()), Ok(entry));
        }
    }
}
