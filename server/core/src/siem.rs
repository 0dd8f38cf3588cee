//! What the owner's SIEM is told: findings and audit entries, in its own words.
//!
//! An event is one step of a finding, one entry of the journal, or a test. It becomes OCSF or CEF text of one line, and a
//! line becomes one message of syslog. Whatever a device said passes through [`Room::say`], so that it can neither begin
//! a field nor a record; a peer is named only while its finding is not closed. Nothing here opens a connection. Read
//! next: [`position`] for what was sent, [`syslog`] for how a line travels.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use cordon_proto::limits;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Millis;
use serde::{Deserialize, Serialize};

use crate::audit::{Actor, Recorded};
use crate::device::Device;
use crate::triage::{Record, Step, Turn};

pub mod cef;
pub mod ocsf;
pub mod position;
pub mod syslog;
#[cfg(test)]
mod tests;

/// The name under which a SIEM knows us, as vendor and as product.
pub const PRODUCT: &str = "Cordon";
/// What a test says.
const TEST: &str = "A person tries whether events arrive here; nothing happened";

/// In which words a SIEM is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// ArcSight's Common Event Format, version 0.
    Cef,
}

/// What of the server's life a SIEM is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Findings: opened, worse, decided, closed.
    Findings,
    /// The audit journal.
    Audit,
}

/// Who tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// The server's name.
    pub host: String,
    /// The version of its program.
    pub version: String,
}

/// One thing that a SIEM is told.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step of a finding.
    Finding(Told<'a>),
    /// An entry of the journal.
    Audit(&'a Recorded),
    /// Nothing happened: a person tries the way.
    Test {
        /// When.
        at: Millis,
        /// Who.
        by: &'a Actor,
    },
}

/// A step of a finding, with the finding as it is known now.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The finding.
    pub record: &'a Record,
    /// The step.
    pub step: &'a Step,
    /// Its device, unless it is gone.
    pub device: Option<&'a Device>,
    /// Whether the SIEM hears of the finding for the first time, whatever the step is.
    pub first: bool,
}

/// What a step is for somebody who keeps a copy of the finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It is new.
    Create,
    /// It is known, and something about it changed.
    Update,
    /// It is over.
    Close,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A finding.
    Finding,
    /// The connection behind a finding.
    Network,
    /// An entry of the journal.
    Audit,
    /// A test.
    Test,
}

/// One line for a SIEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub kind: Kind,
    /// When it happened.
    pub at: Millis,
    /// How bad it is; nothing is bad about an entry of the journal or a test.
    pub severity: Option<Severity>,
    /// The line, without an end of line in it, of at most [`limits::SIEM_BODY_BYTES`].
    pub text: String,
}

impl Kind {
    /// The word for it, which is the type of its syslog message.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Network => "network",
            Self::Audit => "audit",
            Self::Test => "test",
        }
    }
}

impl Format {
    /// The word of the settings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
        }
    }

    /// The format of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Ocsf, Self::Cef].into_iter().find(|format| format.word() == word)
    }
}

impl Stream {
    /// The word of the settings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Audit => "audit",
        }
    }
}

impl Event<'_> {
    /// The lines for it: one, or for the connection behind a finding another one.
    #[must_use]
    pub fn messages(self, reporter: &Reporter, format: Format) -> Vec<Message> {
        let line = |kind: Kind| Message {
            kind,
            at: self.at(),
            severity: match self {
                Self::Finding(told) => Some(told.record.finding.severity),
                Self::Audit(_) | Self::Test { .. } => None,
            },
            text: match format {
                Format::Ocsf => ocsf::write(self, kind, reporter),
                Format::Cef => cef::write(self, reporter),
            },
        };
        match self {
            Self::Finding(told) if format == Format::Ocsf && told.tells_connection() => {
                Vec::from([line(Kind::Finding), line(Kind::Network)])
            }
            Self::Finding(_) => Vec::from([line(Kind::Finding)]),
            Self::Audit(_) => Vec::from([line(Kind::Audit)]),
            Self::Test { .. } => Vec::from([line(Kind::Test)]),
        }
    }

    /// When it happened.
    #[must_use]
    pub fn at(self) -> Millis {
        match self {
            Self::Finding(told) => told.step.at.into(),
            Self::Audit(entry) => entry.at.into(),
            Self::Test { at, .. } => at,
        }
    }
}

impl<'a> Told<'a> {
    /// What the step is for a copy of the finding.
    #[must_use]
    pub fn activity(&self) -> Activity {
        if self.first {
            return Activity::Create;
        }
        match self.step.turn() {
            Some(Turn::Opened) => Activity::Create,
            Some(Turn::Closed) => Activity::Close,
            Some(Turn::Raised | Turn::Again | Turn::Acknowledged | Turn::Muted | Turn::Allowed) | None => {
                Activity::Update
            }
        }
    }

    /// Whether somebody should look.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        match self.step.turn() {
            Some(Turn::Opened | Turn::Raised | Turn::Again) => true,
            Some(Turn::Acknowledged | Turn::Muted | Turn::Allowed | Turn::Closed) | None => false,
        }
    }

    /// Whether addresses may be named: only while the finding is not closed, now and by this step.
    #[must_use]
    pub fn may_name_peers(&self) -> bool {
        self.record.weighs() && self.activity() != Activity::Close
    }

    /// What the device does, in a few words; the detector's name instead where they name a peer that may not be named.
    #[must_use]
    pub fn title(&self) -> &'a str {
        let (finding, title) = (&self.record.finding, self.record.finding.title.as_str());
        let names = finding.peer.as_ref().is_some_and(|peer| title.contains(peer.as_str()));
        if names && !self.may_name_peers() { finding.detector.as_str() } else { title }
    }

    /// The peer, where it may be named.
    #[must_use]
    pub fn peer(&self) -> Option<Peer<'a>> {
        let peer = self.record.finding.peer.as_ref().filter(|_| self.may_name_peers())?;
        Some(Peer::of(peer.as_str()))
    }

    /// The service at the peer, where it may be named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let port = self.record.finding.evidence.get("port").filter(|_| self.may_name_peers())?;
        port.parse().ok()
    }

    /// The device's own address, from the owner's list of assets.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.device?.asset.as_ref()?.ip.as_ref()?.as_str().parse().ok()
    }

    /// Names of techniques, as ATT&CK writes them (`T1071` or `T1071.004`); a device's other words are none.
    pub fn techniques(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.record.finding.attack.iter().map(|technique| technique.as_str()).filter(|id| is_technique(id))
    }

    /// Whether the connection behind it is told too: when it opens, and there is a peer that may be named.
    fn tells_connection(&self) -> bool {
        let opens = match self.step.turn() {
            Some(Turn::Opened | Turn::Again) => true,
            Some(Turn::Raised | Turn::Acknowledged | Turn::Muted | Turn::Allowed | Turn::Closed) | None => {
                self.first
            }
        };
        opens && self.peer().is_some()
    }
}

fn is_technique(text: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let Some(rest) = text.strip_prefix('T') else { return false };
    match rest.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(rest, 4),
    }
}

/// Whom a device spoke with, as its finding calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer<'a> {
    /// An address.
    Address(IpAddr),
    /// A name of the domain name system.
    Host(&'a str),
    /// Another name, such as a pseudonym.
    Name(&'a str),
}

impl<'a> Peer<'a> {
    fn of(text: &'a str) -> Self {
        let is_host = text.contains('.')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) if is_host => Self::Host(text),
            Err(_) => Self::Name(text),
        }
    }
}

/// How much of what others said has room in a line.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Characters of one text.
    chars: usize,
    /// Entries of one list.
    entries: usize,
    /// Whether it is less than all.
    is_cut: bool,
}

/// From all to what always fits.
const ROOMS: [Room; 4] = [
    Room { chars: usize::MAX, entries: usize::MAX, is_cut: false },
    Room { chars: limits::TEXT_CHARS, entries: 8, is_cut: true },
    Room { chars: 64, entries: 2, is_cut: true },
    Room { chars: 12, entries: 0, is_cut: true },
];

impl Room {
    /// A text of others: control, direction-changing and invisible characters become `U+FFFD`, and the rest is cut.
    fn say(self, text: &str) -> String {
        text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).take(self.chars).collect()
    }
}

/// The longest line that fits.
fn fitting(mut write: impl FnMut(Room) -> String) -> String {
    let mut last = String::new();
    for room in ROOMS {
        last = write(room);
        if last.len() <= limits::SIEM_BODY_BYTES {
            break;
        }
    }
    last
}

/// Characters that act on a reader instead of being read: those that the console marks, and what some readers take for the
/// end of a line.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            0x61c
                | 0x200b..=0x200f
                | 0x2028..=0x202e
                | 0x2060..=0x206f
                | 0xfeff
                | 0xfff9..=0xfffb
                | 0xe0000..=0xe007f
        )
}

/// The kind and the name within an object or an actor of the journal, `device:…`.
fn parted(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or(("", text))
}

/// A device by the name of its kind and what people call it.
fn called(device: &Device) -> (String, String) {
    (device.placement.kind.word().to_string(), device.called().to_string())
}
