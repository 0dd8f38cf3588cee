//! Telemetry: numbered records in batches, delivered at least once and stored once.
//!
//! A record's body travels as bytes under a `kind`, so that a server keeps what an agent newer than itself sends. No
//! payload of any connection, no patient data and no process arguments exist in this schema, and none may be added.
//! The server's watermark is the pair ([`Position`]) of boot and sequence, moved in the transaction of the batch.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::health::Health;
use crate::ids::{Name, Text};
use crate::inventory::Inventory;
use crate::inventory::delta::Delta;
use crate::inventory::packed::Packed;
use crate::limits;
use crate::time::{Millis, Timestamp};
use crate::wire::{self, WireError};

/// A place in a device's stream of records: boot first, then sequence.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Position {
    /// The boot in which the record was made.
    #[n(0)]
    pub boot: u64,
    /// Its number within that boot, from 1.
    #[n(1)]
    pub sequence: u64,
}

/// Records in rising order of position.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Batch {
    /// The records, at most `limits::BATCH_RECORDS`.
    #[n(0)]
    pub records: Vec<Record>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// Its place in the stream.
    #[n(0)]
    pub position: Position,
    /// The device's clock when it was made.
    #[n(1)]
    pub time: Millis,
    /// What the body is, see [`Body::kind`].
    #[n(2)]
    pub kind: u16,
    /// The body's bytes.
    #[n(3)]
    pub body: ByteVec,
}

/// What the server holds after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BatchAnswer {
    /// Everything up to here is stored.
    #[n(0)]
    pub stored_through: Position,
    /// Records of this batch that had been stored before.
    #[n(1)]
    pub duplicates: u32,
}

/// The bodies this version knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Connections with one peer over one reporting interval.
    Flows(FlowRow),
    /// Something a detector saw.
    Finding(Finding),
    /// The whole inventory.
    Inventory(Inventory),
    /// Records that were lost before they could be sent.
    Gap(Gap),
    /// A change of the sensor's sight.
    Sensor(SensorChange),
    /// A step of the update machine.
    Update(UpdateEvent),
    /// The machine's own figures of one moment.
    Health(Health),
    /// What changed of the inventory that the server says it holds.
    InventoryDelta(Delta),
    /// The whole inventory in columns, for a server that says that it reads them.
    InventoryPacked(Packed),
}

impl Body {
    /// The number under which this body travels. Numbers are never reused.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Self::Flows(_) => 1,
            Self::Finding(_) => 2,
            Self::Inventory(_) => 3,
            Self::Gap(_) => 4,
            Self::Sensor(_) => 5,
            Self::Update(_) => 6,
            Self::Health(_) => 7,
            Self::InventoryDelta(_) => 8,
            Self::InventoryPacked(_) => 9,
        }
    }

    /// The body as a record.
    #[must_use]
    pub fn record(&self, position: Position, time: Millis) -> Record {
        let body = match self {
            Self::Flows(row) => wire::write(row),
            Self::Finding(finding) => wire::write(finding),
            Self::Inventory(inventory) => wire::write(inventory),
            Self::Gap(gap) => wire::write(gap),
            Self::Sensor(change) => wire::write(change),
            Self::Update(event) => wire::write(event),
            Self::Health(health) => wire::write(health),
            Self::InventoryDelta(delta) => wire::write(delta),
            Self::InventoryPacked(packed) => wire::write(packed),
        };
        Record { position, time, kind: self.kind(), body: body.into() }
    }

    /// The body of a record; `None` for a kind that only newer versions know.
    pub fn of(record: &Record) -> Result<Option<Self>, WireError> {
        let bytes: &[u8] = &record.body;
        let limit = limits::RECORD_BYTES;
        Ok(Some(match record.kind {
            1 => Self::Flows(wire::read(bytes, limit)?),
            2 => Self::Finding(wire::read::<Finding>(bytes, limit)?.bounded()?),
            3 => Self::Inventory(wire::read::<Inventory>(bytes, limit)?.bounded()?),
            4 => Self::Gap(wire::read(bytes, limit)?),
            5 => Self::Sensor(wire::read(bytes, limit)?),
            6 => Self::Update(wire::read(bytes, limit)?),
            7 => Self::Health(wire::read::<Health>(bytes, limit)?.bounded()?),
            8 => Self::InventoryDelta(wire::read::<Delta>(bytes, limit)?.bounded()?),
            9 => Self::InventoryPacked(wire::read(bytes, limit)?),
            _ => return Ok(None),
        }))
    }
}

impl Batch {
    /// Reads a decompressed batch and checks its bounds and order.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let batch: Self = wire::read(bytes, limits::TELEMETRY_DECOMPRESSED_BYTES)?;
        if batch.records.len() > limits::BATCH_RECORDS {
            return Err(WireError::TooMany { limit: limits::BATCH_RECORDS });
        }
        let rising = batch.records.windows(2).all(|pair| match pair {
            [earlier, later] => earlier.position < later.position,
            _ => true,
        });
        if rising { Ok(batch) } else { Err(WireError::Malformed) }
    }
}

/// Who opened a connection.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The device did.
    #[n(0)]
    Outbound,
    /// The peer did.
    #[n(1)]
    Inbound,
}

impl Direction {
    /// The same seen from the other end.
    #[must_use]
    pub fn turned(self) -> Self {
        match self {
            Self::Outbound => Self::Inbound,
            Self::Inbound => Self::Outbound,
        }
    }
}

/// Transport protocol.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[n(0)]
    Tcp,
    /// UDP.
    #[n(1)]
    Udp,
    /// ICMP and ICMPv6.
    #[n(2)]
    Icmp,
}

impl Protocol {
    /// As services are written: `443/tcp`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// All connections with one peer and service over one interval, one row a peer an hour in routine reports.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct FlowRow {
    /// Start of the interval.
    #[n(0)]
    pub start: Timestamp,
    /// End of the interval.
    #[n(1)]
    pub end: Timestamp,
    /// Who opened them.
    #[n(2)]
    pub direction: Direction,
    /// Transport.
    #[n(3)]
    pub protocol: Protocol,
    /// The peer as an address or, once names are seen, a name.
    #[n(4)]
    pub peer: Text,
    /// The service's port: the peer's when outbound, the device's own when inbound.
    #[n(5)]
    pub port: u16,
    /// Connections that started in the interval.
    #[n(6)]
    pub connections: u32,
    /// Bytes from the device.
    #[n(7)]
    pub bytes_out: u64,
    /// Bytes to the device.
    #[n(8)]
    pub bytes_in: u64,
    /// Minutes of the interval in which a connection started, as offsets from `start`, for the picture of its rhythm.
    #[n(9)]
    pub minutes: Vec<u16>,
    /// Whether the learned profile holds this peer and service; `None` while there is no profile.
    #[n(10)]
    pub known: Option<bool>,
}

/// How bad a finding is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    #[n(0)]
    Low,
    /// Worth a look this week.
    #[n(1)]
    Medium,
    /// Worth a look today.
    #[n(2)]
    High,
    /// Worth a look now.
    #[n(3)]
    Critical,
}

/// Something a detector saw. The same finding seen again is sent again with the same `key` and a higher `count`.
#[derive(Clone, Debug, PartialEq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// The detector's name: peer-identity, mud, allow-list, listener, scan, brute-force, beacon, dns-tunnel, volume,
    /// table-pressure, host.
    #[n(0)]
    pub detector: Name,
    /// What makes two sightings the same finding, within detector and device.
    #[n(1)]
    pub key: Text,
    /// First seen.
    #[n(2)]
    pub first: Timestamp,
    /// Last seen.
    #[n(3)]
    pub last: Timestamp,
    /// How often.
    #[n(4)]
    pub count: u32,
    /// The peer, where there is one.
    #[n(5)]
    pub peer: Option<Text>,
    /// How bad.
    #[n(6)]
    pub severity: Severity,
    /// MITRE ATT&CK techniques.
    #[n(7)]
    pub attack: Vec<Technique>,
    /// What the judgement rests on: at most `limits::EVIDENCE` named figures or texts.
    #[n(8)]
    pub evidence: BTreeMap<String, String>,
    /// At most 48 characters: what it does, in the present.
    #[n(9)]
    pub title: Text,
    /// Since when, how often, compared with what.
    #[n(10)]
    pub what_changed: Sentence,
    /// One sentence.
    #[n(11)]
    pub why_it_matters: Sentence,
    /// Low, medium or high, and the evidence in words.
    #[n(12)]
    pub how_sure: Sentence,
    /// The act first, then the harmless explanation.
    #[n(13)]
    pub what_to_do: Sentence,
}

/// A technique of ATT&CK, such as `T1071.004`.
pub type Technique = Text;

/// Prose of at most 256 characters.
pub type Sentence = Text;

impl Finding {
    fn bounded(self) -> Result<Self, WireError> {
        let texts =
            self.evidence.iter().all(|(k, v)| k.len() <= limits::TEXT_CHARS && v.len() <= limits::TEXT_CHARS);
        if self.evidence.len() > limits::EVIDENCE || self.attack.len() > limits::EVIDENCE || !texts {
            return Err(WireError::TooMany { limit: limits::EVIDENCE });
        }
        Ok(self)
    }
}

/// Why records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The spool was full and the oldest were dropped.
    #[n(0)]
    SpoolFull,
    /// The disk was full.
    #[n(1)]
    DiskFull,
    /// Stored bytes were damaged.
    #[n(2)]
    Damaged,
}

/// Records that were lost before they could be sent, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// Before the first lost record, as far as known.
    #[n(0)]
    pub after: Position,
    /// The first record that is there again.
    #[n(1)]
    pub before: Position,
    /// How many, as far as known.
    #[n(2)]
    pub count: u64,
    /// Why.
    #[n(3)]
    pub reason: GapReason,
}

/// A change of the sensor's sight.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct SensorChange {
    /// The tier now; `None` when blind.
    #[n(0)]
    pub tier: Option<u8>,
    /// What happened.
    #[n(1)]
    pub reason: Text,
}

/// A step of the update machine, for the timeline. Receipts, not these, count as proof.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct UpdateEvent {
    /// The order.
    #[n(0)]
    pub order: Option<Name>,
    /// The state entered.
    #[n(1)]
    pub state: crate::checkin::UpdateState,
    /// The sentence of the refusal or failure, if any.
    #[n(2)]
    pub note: Option<Text>,
}
