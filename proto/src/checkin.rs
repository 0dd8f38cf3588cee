//! The check-in: what a device says of itself every few minutes, and what the server may answer.
//!
//! An answer can only offer what the owner signed (`order`, verified on the device by its own metadata) and grant or
//! withhold the fresh go (`permit`). Silence stops: no field of an answer makes a device install, reboot or skip a
//! check. Unknown fields are skipped by older readers. Read next: `update` for what an order is.

use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use crate::ids::{Hardware, Name, Sha256, TargetPath, Text};
use crate::time::Timestamp;

/// What a device says of itself. The identity is the client certificate's, never the body's.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CheckinRequest {
    /// The device's boot number, rising with every start of the agent.
    #[n(0)]
    pub boot: u64,
    /// The device's own clock.
    #[n(1)]
    pub device_time: Timestamp,
    /// Version of the agent.
    #[n(2)]
    pub agent_version: Text,
    /// Seconds since the agent started.
    #[n(3)]
    pub uptime_s: u64,
    /// What the device is, by its own reading.
    #[n(4)]
    pub hardware: Hardware,
    /// What runs, and what it would still accept.
    #[n(5)]
    pub software: Software,
    /// Where its update stands.
    #[n(6)]
    pub update: UpdateReport,
    /// Clinical use.
    #[n(7)]
    pub interlock: InterlockState,
    /// How much of the network the sensor sees.
    #[n(8)]
    pub sensor: SensorReport,
    /// Root of the inventory as it now is.
    #[n(9)]
    pub inventory_root: Sha256,
    /// Where the device's private key lives: `file`, `pkcs11`, `tpm`.
    #[n(10)]
    pub key_protection: Text,
    /// Records waiting in the spool.
    #[n(11)]
    pub spool_records: u64,
    /// Records the spool had to drop, ever.
    #[n(12)]
    pub spool_lost: u64,
    /// Version of the content in force, 0 for none. One on trial is not in force yet.
    #[n(13)]
    pub content_version: u64,
    /// Version of the trusted director root, 0 while none is trusted.
    #[n(14)]
    pub director_root_version: u64,
    /// The order that waits for the server's go.
    #[n(15)]
    pub want_permit: Option<PermitRequest>,
    /// Check-ins of this run of the agent, this one counted; 0 from agents that do not count.
    #[n(16)]
    #[cbor(default)]
    pub sequence: u64,
    /// A number drawn at random when the agent started: tells two agents apart that started from one copied state.
    #[n(17)]
    #[cbor(default)]
    pub run: u64,
    /// SHA-256 over the operating system's machine identifier and the machine's hardware addresses; `None` where it has
    /// not both.
    #[n(18)]
    pub machine: Option<Sha256>,
    /// Version of the signed bundle of authorities that the device trusts; 0 for the pin it enrolled with.
    #[n(19)]
    #[cbor(default)]
    pub ca_version: u64,
    /// The content that the device gave back or does not take, until it takes a newer one.
    #[n(20)]
    pub content_fault: Option<ContentFault>,
}

/// Why a content is not in force on a device that it was for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct ContentFault {
    /// The content.
    #[n(0)]
    pub content: Name,
    /// Its version.
    #[n(1)]
    pub version: u64,
    /// Why.
    #[n(2)]
    pub why: Blocked,
}

/// What runs on the device, and what it would still accept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Software {
    /// The installed release; `None` for an image that no release names.
    #[n(0)]
    pub release: Option<TargetPath>,
    /// The installed release's counter.
    #[n(1)]
    pub counter: u64,
    /// SHA-256 of the running slot, as measured.
    #[n(2)]
    pub sha256: Sha256,
    /// The lowest counter the device still accepts.
    #[n(3)]
    pub floor: u64,
    /// The running slot, `A` or `B`.
    #[n(4)]
    pub slot: Text,
}

/// Where the update machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateState {
    /// No order applies.
    #[n(0)]
    Idle,
    /// The image is being fetched.
    #[n(1)]
    Fetching,
    /// The slot is written and verified; something still blocks the reboot.
    #[n(2)]
    Waiting,
    /// The trial slot is armed.
    #[n(3)]
    Armed,
    /// The new image runs and is not yet confirmed.
    #[n(4)]
    Trial,
    /// The order's image is confirmed.
    #[n(5)]
    Confirmed,
    /// The trial failed and the old image runs again.
    #[n(6)]
    RolledBack,
    /// The device refused the order.
    #[n(7)]
    Refused,
}

/// Where the update stands and why it does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct UpdateReport {
    /// The state.
    #[n(0)]
    pub state: UpdateState,
    /// The order it is about.
    #[n(1)]
    pub order: Option<Name>,
    /// What blocks it now, in the order in which it is checked.
    #[n(2)]
    pub blocked_by: Vec<Blocked>,
    /// Bytes of the image already held.
    #[n(3)]
    pub fetched_bytes: u64,
}

/// One reason why an update does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Blocked {
    /// Stable word for programs, the refusal's `code`.
    #[n(0)]
    pub code: Text,
    /// The sentence that the device's own `status` prints.
    #[n(1)]
    pub sentence: Text,
}

/// Clinical use of the device, as its own software says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum InterlockState {
    /// A patient is attached, or a customer is served.
    #[n(0)]
    InUse,
    /// Not in use; a reboot disturbs nobody.
    #[n(1)]
    Standby,
    /// In a person's hands for service.
    #[n(2)]
    Service,
    /// Nobody says. Treated as in use where the release asks for the application or a person.
    #[n(3)]
    Unknown,
}

/// How much of the network the sensor sees. A blind sensor must never look like a quiet device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct SensorReport {
    /// 0: connections without privilege; 1: packet headers. `None` while nothing is seen.
    #[n(0)]
    pub tier: Option<u8>,
    /// Why the tier is not higher, or since when the sensor is blind.
    #[n(1)]
    pub note: Option<Text>,
    /// Peers in the learned profile; 0 while learning has not begun.
    #[n(2)]
    pub profile_keys: u32,
    /// Whether the profile is still being learned.
    #[n(3)]
    pub learning: bool,
}

/// The act a permit is asked or given for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, serde::Serialize, serde::Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Install the order's image.
    #[n(0)]
    Install,
    /// Take the order's signed way back.
    #[n(1)]
    Back,
}

/// A device that has written and verified a slot asks for the go.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PermitRequest {
    /// The order.
    #[n(0)]
    pub order: Name,
    /// The act.
    #[n(1)]
    pub action: Action,
}

/// The server's fresh go for one device and one order. Its age is measured on the device's monotonic clock from the
/// arrival of the answer; see `update`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Permit {
    /// The order.
    #[n(0)]
    pub order: Name,
    /// The act.
    #[n(1)]
    pub action: Action,
    /// The latest time, by the server's clock, at which the device may reboot for it.
    #[n(2)]
    pub until: Timestamp,
}

/// An order that the server believes applies, with the proof that this device is in its scope set.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OrderOffer {
    /// The order's identifier in the director repository.
    #[n(0)]
    pub order: Name,
    /// Inclusion of this device's `H` in the scope's tree (RFC 9162 section 2.1.3); `None` for a `match` scope.
    #[n(1)]
    pub proof: Option<ScopeProof>,
    /// Which act the server has in mind.
    #[n(2)]
    pub action: Action,
}

/// An inclusion proof of one leaf hash.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ScopeProof {
    /// Index of the leaf.
    #[n(0)]
    pub index: u64,
    /// Hashes from the leaf's sibling up to the root's child.
    #[n(1)]
    pub hashes: Vec<Sha256>,
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CheckinAnswer {
    /// The server's clock.
    #[n(0)]
    pub time: Timestamp,
    /// The order that applies.
    #[n(1)]
    pub order: Option<OrderOffer>,
    /// The go.
    #[n(2)]
    pub permit: Option<Permit>,
    /// Version of the content that applies, 0 for none.
    #[n(3)]
    pub content_version: u64,
    /// SHA-256 of the CA bundle now served by `cacerts`.
    #[n(4)]
    pub ca_bundle: Option<Sha256>,
    /// The audit log's signed head, once it is sealed.
    #[n(5)]
    pub audit_head: Option<minicbor::bytes::ByteVec>,
    /// Seconds to the next check-in.
    #[n(6)]
    pub next_s: u32,
    /// Whether the server lacks the inventory of this root.
    #[n(7)]
    pub want_inventory: bool,
    /// Version of the director's timestamp; unchanged means that the metadata the device holds is the newest.
    #[n(8)]
    pub director_version: u64,
    /// To be handed to the next wait, so that no change between the two is missed.
    #[n(9)]
    pub wait_token: u64,
    /// Version of the newest signed bundle of authorities, at `/v1/authorities/{version}`; 0 while there is none.
    #[n(10)]
    #[cbor(default)]
    pub ca_version: u64,
    /// The content that applies.
    #[n(11)]
    pub content: Option<ContentOffer>,
    /// Root of the inventory that the server holds instead of the one it lacks: what changed since then is enough.
    #[n(12)]
    pub inventory_base: Option<Sha256>,
    /// Whether the server reads a packed inventory; `None` from one that never heard of it.
    #[n(13)]
    pub reads_packed: Option<bool>,
}

/// A content that the server believes applies. The device looks for it in the owner's metadata, as for an order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContentOffer {
    /// The content's name in the director repository.
    #[n(0)]
    pub content: Name,
    /// Inclusion of this device's `H` in the scope's tree; `None` for a `match` scope.
    #[n(1)]
    pub proof: Option<ScopeProof>,
}

/// A long poll: answered when something changed for this device, or after `max_s`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WaitRequest {
    /// The token of the last answer.
    #[n(0)]
    pub token: u64,
    /// Seconds the device is willing to wait.
    #[n(1)]
    pub max_s: u32,
}

/// The long poll's answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WaitAnswer {
    /// The token for the next wait.
    #[n(0)]
    pub token: u64,
    /// Whether a check-in now would bring something new.
    #[n(1)]
    pub changed: bool,
}
