//! A device as the server remembers it: what it is, where it stands, whether it is trusted, what it last said.
//!
//! The life of an identity is a table ([`step`]); what a device may ask in which state is another ([`may`]), consulted
//! on every request. Nothing here believes a request: identity is the fingerprint of the leaf certificate that the
//! connection proved, never a name in a body. Placement is the owner's word, not the device's.
//!
//! Read next: [`crate::admit`] for how a device comes in, `report` for what of a check-in is kept.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::farewell::{Cause, Farewell};
use cordon_proto::ids::{DeviceId, Hardware, Sha256, Text, TokenId};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::{limits, wire};
use serde::{Deserialize, Serialize};

use crate::clone::Suspicion;
use crate::risk::noticed::Noticed;

mod access;
pub mod asset;
mod placement;
mod proof;
mod report;
#[cfg(test)]
mod tests;
mod unsaid;

pub use access::{Access, Refused, may};
pub use asset::AssetRecord;
pub use placement::{DeviceKind, Placement};
pub use proof::Proof;
pub use report::{OtherHardware, Report, Voice, Wanted};
pub use unsaid::is_unknown;

/// The version of the document under `Key::Device`.
pub const VERSION: u32 = 1;
/// Superseded certificates that are remembered by fingerprint, so that their holder learns that it was superseded.
pub const SUPERSEDED: usize = 8;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub id: DeviceId,
    /// What it is made of.
    pub hardware: Hardware,
    /// Whether the device itself stated manufacturer and revision; until then they are the token's word or `unknown`.
    pub stated: bool,
    /// How it is known.
    pub source: Source,
    /// Where it stands and what it is for.
    pub placement: Placement,
    /// Where its identity is in its life.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the words of whoever moved it there.
    pub reason: Text,
    /// The certificate in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// A certificate that was handed out and has not spoken yet. The one in force lives until this one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Identity>,
    /// Fingerprints of certificates that were replaced, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<Sha256>,
    /// Those of them whose place another key took by a person's word: they are void for third parties too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
    /// A key that asked for this device's identity and waits for a person.
    #[serde(default, alias = "contest", skip_serializing_if = "Option::is_none")]
    pub asking: Option<Asking>,
    /// Why there may be more than one machine behind this identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// The last thing it signed before it wiped itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub farewell: Option<Taken>,
    /// The last check-in that said something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// When it came, by the clock of the server that heard it: of two servers' accounts the later one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Millis>,
    /// The last authenticated request, as last written down; the fleet view knows better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When something on it first said whether it is in use: its application, or a person at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoke: Option<Timestamp>,
    /// Until when it listens for a word of ours, by its last request; a device on a metered line never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listens: Option<Timestamp>,
    /// Since when something weighs in its score that nothing else dates.
    #[serde(default, skip_serializing_if = "Noticed::is_empty")]
    pub noticed: Noticed,
    /// What the owner's list of assets says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetRecord>,
}

/// How a device is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It runs an agent, or has enrolled by EST.
    Agent,
    /// Its traffic was seen by a tap.
    Observed,
    /// It stands in a list of assets.
    Imported,
}

impl Source {
    /// The word on the wire, in the store and in lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Observed => "observed",
            Self::Imported => "imported",
        }
    }
}

/// Where a device's identity is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It stands in a list of assets and nothing else is known: it holds no identity, and the list lets nobody in.
    Listed,
    /// A token was made for it; it has not come yet.
    Expected,
    /// It asked, and waits for a person.
    Pending,
    /// Trusted.
    Active,
    /// Not trusted until a person says so. It may still be told of updates and take them.
    Quarantined,
    /// Its use has ended.
    Retired,
    /// Nobody knows where it is.
    Lost,
}

/// The certificate in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// SHA-256 of the certificate's DER.
    pub leaf: Sha256,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Sha256,
    /// The token that paid for it; none for a renewal, a birth certificate or a person's approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Whether the holder of the former one asked for it: a renewal.
    #[serde(default)]
    pub renews: bool,
    /// When it was issued.
    pub issued: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
}

/// A certificate whose place another key took by a person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenReplaced")]
pub struct Replaced {
    /// SHA-256 of the certificate's DER.
    pub leaf: Sha256,
    /// When the other one was issued; documents of before this was kept do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// How [`Replaced`] may be written: it was a bare digest once.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenReplaced {
    Bare(Sha256),
    Dated { leaf: Sha256, at: Option<Timestamp> },
}

impl From<WrittenReplaced> for Replaced {
    fn from(written: WrittenReplaced) -> Self {
        match written {
            WrittenReplaced::Bare(leaf) => Self { leaf, at: None },
            WrittenReplaced::Dated { leaf, at } => Self { leaf, at },
        }
    }
}

/// A key that asked for an identity and waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// SHA-256 of the asking key's SubjectPublicKeyInfo.
    pub key: Sha256,
    /// When it asked first.
    pub at: Timestamp,
    /// From where.
    pub from: Text,
    /// What it brought: `token ID`, `birth certificate of ANCHOR`, `renewal`, or `nothing`.
    #[serde(default = "nothing")]
    pub with: Text,
    /// When a person said yes to this very key, and who; it is given its certificate when it asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approval>,
}

fn nothing() -> Text {
    Text::lossy("nothing")
}

/// A person's yes to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// When.
    pub at: Timestamp,
    /// Whose: the actor as the journal writes it.
    pub by: String,
}

/// Why there may be more than one machine behind one identity. Nothing is cut off by it: the certificate in force
/// lives on, but none is renewed until a person has looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What was seen.
    pub kind: DoubtKind,
    /// When it was seen first.
    pub at: Timestamp,
    /// What exactly, for people.
    pub evidence: Text,
}

/// What makes us doubt that one identity is one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoubtKind {
    /// One certificate in use from two addresses at the same time.
    Overlap,
    /// A certificate that was replaced, or whose device was retired, is used again.
    Reuse,
    /// Its count of boots or check-ins ran backwards.
    Backwards,
    /// Two identities say that they are the same machine.
    SameMachine,
}

impl DoubtKind {
    /// The word in the store and in the journal.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Reuse => "reuse",
            Self::Backwards => "backwards",
            Self::SameMachine => "same-machine",
        }
    }
}

/// The device's own last receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// When the server got it.
    pub at: Timestamp,
    /// The signed bytes as received (`cordon_proto::farewell::Farewell`), base64url without padding.
    pub bytes: String,
}

/// A device that has taken leave does so again in other words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this device has taken leave already, and said something else then: the first farewell stays")]
pub struct TookLeave;

impl Taken {
    /// The signed statement, without its signature.
    fn stated(&self) -> Option<Vec<u8>> {
        let bytes = from_base64url(&self.bytes)?;
        let farewell: Farewell = wire::read(&bytes, limits::BODY_BYTES).ok()?;
        Some(farewell.body.into())
    }
}

/// The certificate as it was handed out, under `Key::Leaf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Version of this document.
    pub v: u32,
    /// Whose it is.
    pub device: DeviceId,
    /// Its DER, base64url without padding.
    pub der: String,
}

/// A person's act on an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Stop trusting it.
    Quarantine,
    /// Trust it again.
    Release,
    /// End its use.
    Retire,
    /// Nobody knows where it is.
    ReportLost,
    /// It turned up; it stays untrusted until released.
    Find,
}

impl Act {
    /// The word in the audit journal.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::Quarantine => "device.quarantine",
            Self::Release => "device.release",
            Self::Retire => "device.retire",
            Self::ReportLost => "device.report-lost",
            Self::Find => "device.find",
        }
    }
}

/// An act that does not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device that is {} cannot be moved by this act; look at its page, somebody may have been faster", .from.word())]
pub struct NotPossible {
    /// The state it is in.
    pub from: State,
}

impl State {
    /// The word on the wire, in the store and in the journal.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Expected => "expected",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
            Self::Lost => "lost",
        }
    }
}

/// The state after an act.
pub fn step(from: State, act: Act) -> Result<State, NotPossible> {
    match (act, from) {
        (Act::Quarantine, State::Active) | (Act::Find, State::Lost) => Ok(State::Quarantined),
        (Act::Release, State::Quarantined) => Ok(State::Active),
        (Act::ReportLost, State::Active | State::Quarantined) => Ok(State::Lost),
        (
            Act::Retire,
            State::Listed
            | State::Expected
            | State::Pending
            | State::Active
            | State::Quarantined
            | State::Lost,
        ) => Ok(State::Retired),
        (
            Act::Quarantine,
            State::Listed
            | State::Expected
            | State::Pending
            | State::Quarantined
            | State::Retired
            | State::Lost,
        )
        | (
            Act::Release,
            State::Listed | State::Expected | State::Pending | State::Active | State::Retired | State::Lost,
        )
        | (
            Act::ReportLost,
            State::Listed | State::Expected | State::Pending | State::Retired | State::Lost,
        )
        | (
            Act::Find,
            State::Listed
            | State::Expected
            | State::Pending
            | State::Active
            | State::Quarantined
            | State::Retired,
        )
        | (Act::Retire, State::Retired) => Err(NotPossible { from }),
    }
}

impl Device {
    /// A device of which only this is known: it has no identity, and has said nothing yet.
    #[must_use]
    pub fn bare(
        id: DeviceId,
        hardware: Hardware,
        placement: Placement,
        state: State,
        since: Timestamp,
    ) -> Self {
        Self {
            v: VERSION,
            id,
            hardware,
            stated: false,
            source: Source::Agent,
            placement,
            state,
            since,
            reason: Text::lossy(""),
            identity: None,
            next: None,
            superseded: Vec::new(),
            replaced: Vec::new(),
            asking: None,
            doubt: None,
            farewell: None,
            report: None,
            reported: None,
            last_seen: None,
            spoke: None,
            listens: None,
            noticed: Noticed::default(),
            asset: None,
        }
    }

    /// The bytes under `Key::Device`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, integers and lists are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|device: &Self| device.v == VERSION)
    }

    /// The identity behind a certificate that opens doors: the one in force, or the one that was handed out to follow it.
    #[must_use]
    pub fn holding(&self, leaf: &Sha256) -> Option<&Identity> {
        self.identities().find(|identity| identity.leaf == *leaf)
    }

    /// Its certificates that open doors: the one in force, and the one that was handed out to follow it.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.identity.iter().chain(&self.next)
    }

    /// The device after a person's act, with the person's reason. A yes to a key that has not come for its certificate
    /// does not outlive the device's use.
    pub fn after(&self, act: Act, reason: Text, at: Timestamp) -> Result<Self, NotPossible> {
        let state = step(self.state, act)?;
        let asking = match act {
            Act::Retire | Act::ReportLost => None,
            Act::Quarantine | Act::Release | Act::Find => self.asking.clone(),
        };
        Ok(Self { state, since: at, reason, asking, ..self.clone() })
    }

    /// The device in doubt; `None` if it is already, because the first reason is the one to look into.
    #[must_use]
    pub fn in_doubt(&self, suspicion: &Suspicion, at: Timestamp) -> Option<Self> {
        let doubt = Doubt { kind: suspicion.kind, at, evidence: suspicion.evidence.clone() };
        self.doubt.is_none().then(|| Self { doubt: Some(doubt), ..self.clone() })
    }

    /// The device after a person has looked. Which agent spoke last no longer counts: it may have been the copy.
    #[must_use]
    pub fn without_doubt(&self) -> Self {
        let report = self.report.clone().map(|report| Report { voice: None, ..report });
        Self { doubt: None, report, ..self.clone() }
    }

    /// The device after it handed in a farewell: what was `stated`, signed within the received `bytes`. What a person decides at the device
    /// itself is an act; what it repeats of our own word is only noted. `None` if it states the same again, however often
    /// it was signed. Once its use has ended, the last word of it stays.
    pub fn taking_leave(
        &self,
        cause: Cause,
        (stated, bytes): (&[u8], &[u8]),
        at: Timestamp,
    ) -> Result<Option<Self>, TookLeave> {
        let taken = Taken { at, bytes: base64url(bytes) };
        match self.farewell.as_ref().map(Taken::stated) {
            Some(known) if known.as_deref() == Some(stated) => return Ok(None),
            Some(_) if matches!(self.state, State::Retired | State::Lost) => return Err(TookLeave),
            // Of a device that is trusted, the later one counts: it goes on, whatever it said.
            Some(_) | None => {}
        }
        let acts = match cause {
            Cause::AtDevice => matches!(self.state, State::Active | State::Quarantined),
            Cause::Retired | Cause::Lost => false,
        };
        let retired = acts.then(|| self.after(Act::Retire, Text::lossy("retired at the device itself"), at));
        let device = retired.and_then(Result::ok).unwrap_or_else(|| self.clone());
        Ok(Some(Self { farewell: Some(taken), ..device }))
    }

    /// Whether its connections must end at once: its certificate no longer opens every door.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        match self.state {
            State::Active | State::Listed | State::Expected | State::Pending => false,
            State::Quarantined | State::Retired | State::Lost => true,
        }
    }
}

impl Leaf {
    /// The bytes under `Key::Leaf`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|leaf: &Self| leaf.v == VERSION)
    }
}
