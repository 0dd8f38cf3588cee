//! What the store can hold: every document has a [`Key`], and the enum is closed.
//!
//! So a token, a device, a user or a rollout is one precondition like any other. The byte form sorts as the enum
//! sorts, is a prefix of nothing but its own index, and must never change: a tag is never reused, a new variant is
//! appended before the store's own kinds. Read next: [`Index`] for what can be listed.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use cordon_proto::ids::{DeviceId, HardwareId, Name, Sha256, TargetPath, Text, TokenId};

use crate::audit::tile::TileAt;

/// A bulk data set that is replaced as a whole, generation by generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Set {
    /// Published vulnerabilities by package and version range.
    Advisories = 1,
    /// Vulnerabilities known to be exploited (KEV).
    KnownExploited = 2,
    /// Probabilities of exploitation (EPSS).
    ExploitProbability = 3,
    /// Suppressions from VEX statements.
    Suppressions = 4,
}

/// The name of one document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// One of a kind: schema, settings, cursors of jobs.
    Meta(Name),
    /// A device.
    Device(DeviceId),
    /// Which device has this hardware identity.
    DeviceByHardware(HardwareId),
    /// Which device of a model has this serial.
    DeviceBySerial {
        /// The kind of device.
        model: Text,
        /// Its maker's number.
        serial: Text,
    },
    /// The last inventory of a device.
    Inventory(DeviceId),
    /// A leaf certificate by the SHA-256 of its DER.
    Leaf(Sha256),
    /// An enrolment token by its hash.
    Token(TokenId),
    /// A request for enrolment that waits for a person, by the digest of its public key.
    Pending(Sha256),
    /// A person's account.
    User(Text),
    /// A session by the hash of its secret.
    Session(TokenId),
    /// An API token by its hash.
    ApiToken(TokenId),
    /// A file of a TUF repository, as received.
    RepositoryFile {
        /// The repository.
        repository: Name,
        /// The file.
        file: TargetPath,
    },
    /// A release that was imported.
    Release {
        /// The image repository.
        repository: Name,
        /// The target.
        release: TargetPath,
    },
    /// A rollout.
    Rollout(Name),
    /// How far a device is in a rollout.
    Progress {
        /// The rollout.
        rollout: Name,
        /// The device.
        device: DeviceId,
    },
    /// A receipt by the digest of its bytes, so that a repetition is the same document.
    Receipt {
        /// The order it answers.
        order: Name,
        /// The device.
        device: DeviceId,
        /// SHA-256 of the receipt.
        digest: Sha256,
    },
    /// A person's stop for a ward, site or model.
    Hold(Name),
    /// A finding of a device, by the digest of its detector and key.
    Finding {
        /// The device.
        device: DeviceId,
        /// SHA-256 over detector and key.
        finding: Sha256,
    },
    /// A mute.
    Mute(Name),
    /// An accepted risk.
    Exception(Name),
    /// A service visit.
    Visit(Name),
    /// The learned profile of a device.
    Profile(DeviceId),
    /// A site.
    Site(Name),
    /// An advisory feed and how fresh it is.
    Feed(Name),
    /// What the server knows of an order beside its signed text.
    Order(Name),
    /// A model with its aliases.
    Model(Text),
    /// Which generation of a set is the current one, see [`super::generation_body`].
    Generation(Set),
    /// A signed head of the audit log, by the entries that it seals.
    AuditHead(u64),
    /// Hashes of the sealed audit log.
    AuditTile(TileAt),
    /// A document that is being written for the owner's signature.
    Draft(Name),
    /// What is pinned of a manufacturer: its root and how far its metadata was believed.
    Maker(Name),
    /// How far a content is staged.
    ContentState(Name),
    /// A pack of evidence that was made.
    Pack(Name),
    /// The last figures of a device's health.
    Health(DeviceId),
    /// What was said of a device's risk over time.
    RiskHistory(DeviceId),
    /// With whom a device talked, by digest.
    Contacts(DeviceId),
    /// Up to which position a device's telemetry is stored. Moved by the store's `append` alone.
    Watermark(DeviceId),
    /// Who does a job. Written by the store's `lease` alone; its revision is the fencing token.
    Lease(Name),
    /// A remembered outcome. Written by the store's `commit` alone.
    Idempotency(Sha256),
    /// An entry of the audit journal by its sequence. Written by the store's `commit` alone.
    Audit(u64),
    /// A row of a generation of a set. Written by the store's `load` alone.
    Bulk {
        /// The set.
        set: Set,
        /// The generation.
        generation: u64,
        /// The row's own key.
        row: Vec<u8>,
    },
}

/// The kinds of keys, in the order of their tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is described at the variant of Key of the same name")]
pub enum Kind {
    Meta = 0x01,
    Device = 0x02,
    DeviceByHardware = 0x03,
    DeviceBySerial = 0x04,
    Inventory = 0x05,
    Leaf = 0x06,
    Token = 0x07,
    Pending = 0x08,
    User = 0x09,
    Session = 0x0a,
    ApiToken = 0x0b,
    RepositoryFile = 0x0c,
    Release = 0x0d,
    Rollout = 0x0e,
    Progress = 0x0f,
    Receipt = 0x10,
    Hold = 0x11,
    Finding = 0x12,
    Mute = 0x13,
    Exception = 0x14,
    Visit = 0x15,
    Profile = 0x16,
    Site = 0x17,
    Feed = 0x18,
    Order = 0x19,
    Model = 0x1a,
    Generation = 0x1b,
    AuditHead = 0x1c,
    AuditTile = 0x1d,
    Draft = 0x1e,
    Maker = 0x1f,
    ContentState = 0x20,
    Pack = 0x21,
    Health = 0x22,
    RiskHistory = 0x23,
    Contacts = 0x24,
    Watermark = 0xe0,
    Lease = 0xe1,
    Idempotency = 0xe2,
    Audit = 0xe3,
    Bulk = 0xe4,
}

/// Why bytes are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the bytes of a key of this version")]
pub struct KeyError;

/// What can be listed: documents whose keys stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    /// All documents of a kind.
    All(Kind),
    /// The files of a repository.
    FilesOf(Name),
    /// The releases of a repository.
    ReleasesOf(Name),
    /// The devices of a rollout.
    ProgressOf(Name),
    /// The receipts for an order.
    ReceiptsFor(Name),
    /// The findings of a device.
    FindingsOf(DeviceId),
    /// The rows of a generation.
    RowsOf(Set, u64),
}

impl Kind {
    /// All kinds, in order.
    pub const ALL: [Self; 41] = [
        Self::Meta,
        Self::Device,
        Self::DeviceByHardware,
        Self::DeviceBySerial,
        Self::Inventory,
        Self::Leaf,
        Self::Token,
        Self::Pending,
        Self::User,
        Self::Session,
        Self::ApiToken,
        Self::RepositoryFile,
        Self::Release,
        Self::Rollout,
        Self::Progress,
        Self::Receipt,
        Self::Hold,
        Self::Finding,
        Self::Mute,
        Self::Exception,
        Self::Visit,
        Self::Profile,
        Self::Site,
        Self::Feed,
        Self::Order,
        Self::Model,
        Self::Generation,
        Self::AuditHead,
        Self::AuditTile,
        Self::Draft,
        Self::Maker,
        Self::ContentState,
        Self::Pack,
        Self::Health,
        Self::RiskHistory,
        Self::Contacts,
        Self::Watermark,
        Self::Lease,
        Self::Idempotency,
        Self::Audit,
        Self::Bulk,
    ];

    /// The first byte of every key of this kind.
    #[must_use]
    pub fn tag(self) -> u8 {
        self as u8
    }

    /// Whether only the store itself writes documents of this kind.
    #[must_use]
    pub fn is_of_the_store(self) -> bool {
        self >= Self::Watermark
    }

    fn of(tag: u8) -> Result<Self, KeyError> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag).ok_or(KeyError)
    }
}

impl Set {
    const ALL: [Self; 4] =
        [Self::Advisories, Self::KnownExploited, Self::ExploitProbability, Self::Suppressions];

    fn of(tag: u8) -> Result<Self, KeyError> {
        Self::ALL.into_iter().find(|set| *set as u8 == tag).ok_or(KeyError)
    }
}

impl Key {
    /// The kind of document.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Meta(_) => Kind::Meta,
            Self::Device(_) => Kind::Device,
            Self::DeviceByHardware(_) => Kind::DeviceByHardware,
            Self::DeviceBySerial { .. } => Kind::DeviceBySerial,
            Self::Inventory(_) => Kind::Inventory,
            Self::Leaf(_) => Kind::Leaf,
            Self::Token(_) => Kind::Token,
            Self::Pending(_) => Kind::Pending,
            Self::User(_) => Kind::User,
            Self::Session(_) => Kind::Session,
            Self::ApiToken(_) => Kind::ApiToken,
            Self::RepositoryFile { .. } => Kind::RepositoryFile,
            Self::Release { .. } => Kind::Release,
            Self::Rollout(_) => Kind::Rollout,
            Self::Progress { .. } => Kind::Progress,
            Self::Receipt { .. } => Kind::Receipt,
            Self::Hold(_) => Kind::Hold,
            Self::Finding { .. } => Kind::Finding,
            Self::Mute(_) => Kind::Mute,
            Self::Exception(_) => Kind::Exception,
            Self::Visit(_) => Kind::Visit,
            Self::Profile(_) => Kind::Profile,
            Self::Site(_) => Kind::Site,
            Self::Feed(_) => Kind::Feed,
            Self::Order(_) => Kind::Order,
            Self::Model(_) => Kind::Model,
            Self::Generation(_) => Kind::Generation,
            Self::AuditHead(_) => Kind::AuditHead,
            Self::AuditTile(_) => Kind::AuditTile,
            Self::Draft(_) => Kind::Draft,
            Self::Maker(_) => Kind::Maker,
            Self::ContentState(_) => Kind::ContentState,
            Self::Pack(_) => Kind::Pack,
            Self::Health(_) => Kind::Health,
            Self::RiskHistory(_) => Kind::RiskHistory,
            Self::Contacts(_) => Kind::Contacts,
            Self::Watermark(_) => Kind::Watermark,
            Self::Lease(_) => Kind::Lease,
            Self::Idempotency(_) => Kind::Idempotency,
            Self::Audit(_) => Kind::Audit,
            Self::Bulk { .. } => Kind::Bulk,
        }
    }

    /// The bytes under which a store keeps the document: they sort as keys sort.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let out = Out::of(self.kind());
        match self {
            Self::Device(id)
            | Self::Inventory(id)
            | Self::Profile(id)
            | Self::Health(id)
            | Self::RiskHistory(id)
            | Self::Contacts(id)
            | Self::Watermark(id) => out.fixed(id.as_bytes()),
            Self::DeviceByHardware(id) => out.fixed(id.as_bytes()),
            Self::Leaf(digest) | Self::Pending(digest) | Self::Idempotency(digest) => {
                out.fixed(digest.as_bytes())
            }
            Self::Token(id) | Self::Session(id) | Self::ApiToken(id) => out.fixed(id.as_bytes()),
            Self::DeviceBySerial { model, serial } => out.text(model.as_str()).text(serial.as_str()),
            Self::User(text) | Self::Model(text) => out.text(text.as_str()),
            Self::RepositoryFile { repository, file: path } | Self::Release { repository, release: path } => {
                out.text(repository.as_str()).text(path.as_str())
            }
            Self::Progress { rollout, device } => out.text(rollout.as_str()).fixed(device.as_bytes()),
            Self::Receipt { order, device, digest } => {
                out.text(order.as_str()).fixed(device.as_bytes()).fixed(digest.as_bytes())
            }
            Self::Finding { device, finding } => out.fixed(device.as_bytes()).fixed(finding.as_bytes()),
            Self::Meta(name)
            | Self::Rollout(name)
            | Self::Hold(name)
            | Self::Mute(name)
            | Self::Exception(name)
            | Self::Visit(name)
            | Self::Site(name)
            | Self::Feed(name)
            | Self::Order(name)
            | Self::Draft(name)
            | Self::Maker(name)
            | Self::ContentState(name)
            | Self::Pack(name)
            | Self::Lease(name) => out.text(name.as_str()),
            Self::Generation(set) => out.fixed(&[*set as u8]),
            Self::Audit(number) | Self::AuditHead(number) => out.fixed(&number.to_be_bytes()),
            Self::AuditTile(at) => out.fixed(&[at.level]).fixed(&at.index.to_be_bytes()),
            Self::Bulk { set, generation, row } => {
                out.fixed(&[*set as u8]).fixed(&generation.to_be_bytes()).fixed(row)
            }
        }
        .0
    }

    /// Reads the bytes of [`Key::to_bytes`], and no others.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let (tag, rest) = bytes.split_first().ok_or(KeyError)?;
        let mut from = In(rest);
        let key = match Kind::of(*tag)? {
            Kind::Meta => Self::Meta(from.text()?),
            Kind::Device => Self::Device(from.device()?),
            Kind::DeviceByHardware => Self::DeviceByHardware(HardwareId(from.fixed()?)),
            Kind::DeviceBySerial => Self::DeviceBySerial { model: from.text()?, serial: from.text()? },
            Kind::Inventory => Self::Inventory(from.device()?),
            Kind::Leaf => Self::Leaf(Sha256(from.fixed()?)),
            Kind::Token => Self::Token(TokenId(from.fixed()?)),
            Kind::Pending => Self::Pending(Sha256(from.fixed()?)),
            Kind::User => Self::User(from.text()?),
            Kind::Session => Self::Session(TokenId(from.fixed()?)),
            Kind::ApiToken => Self::ApiToken(TokenId(from.fixed()?)),
            Kind::RepositoryFile => Self::RepositoryFile { repository: from.text()?, file: from.text()? },
            Kind::Release => Self::Release { repository: from.text()?, release: from.text()? },
            Kind::Rollout => Self::Rollout(from.text()?),
            Kind::Progress => Self::Progress { rollout: from.text()?, device: from.device()? },
            Kind::Receipt => {
                let (order, device) = (from.text()?, from.device()?);
                Self::Receipt { order, device, digest: Sha256(from.fixed()?) }
            }
            Kind::Hold => Self::Hold(from.text()?),
            Kind::Finding => Self::Finding { device: from.device()?, finding: Sha256(from.fixed()?) },
            Kind::Mute => Self::Mute(from.text()?),
            Kind::Exception => Self::Exception(from.text()?),
            Kind::Visit => Self::Visit(from.text()?),
            Kind::Profile => Self::Profile(from.device()?),
            Kind::Site => Self::Site(from.text()?),
            Kind::Feed => Self::Feed(from.text()?),
            Kind::Order => Self::Order(from.text()?),
            Kind::Model => Self::Model(from.text()?),
            Kind::Generation => Self::Generation(from.set()?),
            Kind::AuditHead => Self::AuditHead(u64::from_be_bytes(from.fixed()?)),
            Kind::AuditTile => {
                let [level] = from.fixed()?;
                Self::AuditTile(TileAt { level, index: u64::from_be_bytes(from.fixed()?) })
            }
            Kind::Draft => Self::Draft(from.text()?),
            Kind::Maker => Self::Maker(from.text()?),
            Kind::ContentState => Self::ContentState(from.text()?),
            Kind::Pack => Self::Pack(from.text()?),
            Kind::Health => Self::Health(from.device()?),
            Kind::RiskHistory => Self::RiskHistory(from.device()?),
            Kind::Contacts => Self::Contacts(from.device()?),
            Kind::Watermark => Self::Watermark(from.device()?),
            Kind::Lease => Self::Lease(from.text()?),
            Kind::Idempotency => Self::Idempotency(Sha256(from.fixed()?)),
            Kind::Audit => Self::Audit(u64::from_be_bytes(from.fixed()?)),
            Kind::Bulk => {
                let (set, generation) = (from.set()?, u64::from_be_bytes(from.fixed()?));
                Self::Bulk { set, generation, row: from.rest() }
            }
        };
        if from.0.is_empty() { Ok(key) } else { Err(KeyError) }
    }
}

impl Index {
    /// The bytes with which every key of this index begins, and no other key.
    #[must_use]
    pub fn prefix(&self) -> Vec<u8> {
        match self {
            Self::All(kind) => Out::of(*kind),
            Self::FilesOf(repository) => Out::of(Kind::RepositoryFile).text(repository.as_str()),
            Self::ReleasesOf(repository) => Out::of(Kind::Release).text(repository.as_str()),
            Self::ProgressOf(rollout) => Out::of(Kind::Progress).text(rollout.as_str()),
            Self::ReceiptsFor(order) => Out::of(Kind::Receipt).text(order.as_str()),
            Self::FindingsOf(device) => Out::of(Kind::Finding).fixed(device.as_bytes()),
            Self::RowsOf(set, generation) => {
                Out::of(Kind::Bulk).fixed(&[*set as u8]).fixed(&generation.to_be_bytes())
            }
        }
        .0
    }

    /// Whether `key` is listed here.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        key.to_bytes().starts_with(&self.prefix())
    }
}

/// For messages to people; never parsed.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Device(id)
            | Self::Inventory(id)
            | Self::Profile(id)
            | Self::Health(id)
            | Self::RiskHistory(id)
            | Self::Contacts(id)
            | Self::Watermark(id) => write!(f, "{kind:?} {id}"),
            Self::DeviceByHardware(id) => write!(f, "{kind:?} {id}"),
            Self::Leaf(digest) | Self::Pending(digest) | Self::Idempotency(digest) => {
                write!(f, "{kind:?} {digest}")
            }
            Self::Token(id) | Self::Session(id) | Self::ApiToken(id) => write!(f, "{kind:?} {id}"),
            Self::DeviceBySerial { model, serial } => write!(f, "{kind:?} {model} {serial}"),
            Self::User(text) | Self::Model(text) => write!(f, "{kind:?} {text}"),
            Self::RepositoryFile { repository, file: path } | Self::Release { repository, release: path } => {
                write!(f, "{kind:?} {repository}/{path}")
            }
            Self::Progress { rollout, device } => write!(f, "{kind:?} {rollout} {device}"),
            Self::Receipt { order, device, digest } => write!(f, "{kind:?} {order} {device} {digest}"),
            Self::Finding { device, finding } => write!(f, "{kind:?} {device} {finding}"),
            Self::Meta(name)
            | Self::Rollout(name)
            | Self::Hold(name)
            | Self::Mute(name)
            | Self::Exception(name)
            | Self::Visit(name)
            | Self::Site(name)
            | Self::Feed(name)
            | Self::Order(name)
            | Self::Draft(name)
            | Self::Maker(name)
            | Self::ContentState(name)
            | Self::Pack(name)
            | Self::Lease(name) => write!(f, "{kind:?} {name}"),
            Self::Generation(set) => write!(f, "{kind:?} {set:?}"),
            Self::Audit(number) | Self::AuditHead(number) => write!(f, "{kind:?} {number}"),
            Self::AuditTile(at) => write!(f, "{kind:?} {} {}", at.level, at.index),
            Self::Bulk { set, generation, row } => {
                write!(f, "{kind:?} {set:?} {generation} {}", row.escape_ascii())
            }
        }
    }
}

/// Bytes being written. Texts hold no control characters, so a zero ends them and sorts before all that follows.
struct Out(Vec<u8>);

impl Out {
    fn of(kind: Kind) -> Self {
        Self(Vec::from([kind.tag()]))
    }

    fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.fixed(text.as_bytes()).fixed(&[0])
    }
}

/// Bytes being read.
struct In<'a>(&'a [u8]);

impl In<'_> {
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(KeyError)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn device(&mut self) -> Result<DeviceId, KeyError> {
        self.fixed().map(DeviceId::from_bytes)
    }

    fn set(&mut self) -> Result<Set, KeyError> {
        let [tag] = self.fixed()?;
        Set::of(tag)
    }

    fn text<T: FromStr>(&mut self) -> Result<T, KeyError> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(KeyError)?;
        let (text, rest) = self.0.split_at_checked(end).ok_or(KeyError)?;
        self.0 = rest.split_first().ok_or(KeyError)?.1;
        core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(KeyError)
    }

    fn rest(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.0).to_vec()
    }
}

#[cfg(test)]
mod tests;
