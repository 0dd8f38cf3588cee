//! The audit journal's entries: who did what to what, why, when, as bytes that will be read for ever.
//!
//! An entry is written in the transaction of the act it records; the store gives it its sequence. Its bytes are the
//! leaf that the sealer will close into an RFC 9162 tree, so they are stored, exported and hashed as they are and
//! never written again. One entry is one line of JSON: fields in alphabetical order, strings and integers only.
//! Entries name people and devices; they never hold secrets or patient data.
//!
//! Read next: [`tile`] for how the tree is kept, [`seal`] for what the sealer decides, [`export`] for the offline check.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use cordon_proto::ids::{DeviceId, IdError, Name, Text, TokenId};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

pub mod export;
pub mod seal;
pub mod tile;

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
mod tests;
