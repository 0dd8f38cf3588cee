//! The scope of an order: the devices it is for, as a set that proves membership or as facts a device knows of itself.
//!
//! Exactly one of both. A site or a ward is always a set, because a device's place is the server's word and not its
//! own. A scope is a closed document: a restriction that an older reader skipped would widen it. It must never take
//! the size of the tree from a proof: the signed `count` decides. Read next: [`super::decide`].

use minicbor::{Decode, Encode};

use super::decide::Device;
use super::release::Release;
use super::unreadable::{Unreadable, bounded, parsed};
use crate::canonical::{FieldProblem, Fields, Value};
use crate::checkin::ScopeProof;
use crate::ids::{HardwareId, Sha256, Text};
use crate::limits;
use crate::merkle::Inclusion;

/// The devices an order is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A list of devices, as the root of an RFC 9162 tree whose leaf hashes are the sorted `H`, each once.
    Set {
        /// The root.
        root: Sha256,
        /// Devices in the list.
        count: u64,
    },
    /// Facts that a device knows of itself; new and returning devices fit it.
    Match {
        /// The model.
        model: Text,
        /// The hardware revision.
        hardware: Text,
        /// The lowest installed counter.
        from_least: u64,
        /// The highest installed counter.
        from_most: u64,
    },
}

/// Why a device is not in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ScopeMiss {
    /// The scope is a list, and no proof came with the order.
    #[n(0)]
    NoProof,
    /// The proof is of another device, another list, or no proof at all.
    #[n(1)]
    ProofFails,
    /// Another model.
    #[n(2)]
    Model,
    /// Another hardware revision.
    #[n(3)]
    Hardware,
    /// The installed release is outside the range.
    #[n(4)]
    Counter,
}

impl Scope {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, Unreadable> {
        fields.only(&["set", "match"])?;
        match (fields.optional_map("set")?, fields.optional_map("match")?) {
            (Some(set), None) => Self::read_set(&set),
            (None, Some(facts)) => Self::read_match(&facts),
            (Some(_), Some(_)) | (None, None) => {
                Err(fields.error("set", FieldProblem::Form("exactly one of set and match")).into())
            }
        }
    }

    fn read_set(set: &Fields<'_>) -> Result<Self, Unreadable> {
        set.only(&["root", "count"])?;
        let root = parsed(set, "root", "a SHA-256 in 64 lower-case hexadecimal digits")?;
        Ok(Self::Set { root, count: bounded(set, "count", 1, limits::SCOPE_SET)? })
    }

    fn read_match(facts: &Fields<'_>) -> Result<Self, Unreadable> {
        facts.only(&["model", "hardware", "from"])?;
        let wrong = || facts.error("from", FieldProblem::Form("two counters, the lower one first"));
        let [least, most] = facts.list("from")? else { return Err(wrong().into()) };
        let counter = |value: &Value| match value {
            Value::Integer(number) => number.unsigned(),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        };
        let (from_least, from_most) =
            counter(least).zip(counter(most)).filter(|(least, most)| least <= most).ok_or_else(wrong)?;
        Ok(Self::Match {
            model: parsed(facts, "model", "a model's name of 1 to 256 characters")?,
            hardware: parsed(facts, "hardware", "a hardware revision of 1 to 256 characters")?,
            from_least,
            from_most,
        })
    }

    /// The scope as it stands in an order.
    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Self::Set { root, count } => {
                let set = [("root", super::release::digest_value(*root)), ("count", Value::from(*count))];
                Value::object([("set", Value::object(set))])
            }
            Self::Match { model, hardware, from_least, from_most } => {
                let facts = [
                    ("model", Value::from(model.as_str())),
                    ("hardware", Value::from(hardware.as_str())),
                    ("from", Value::list([*from_least, *from_most])),
                ];
                Value::object([("match", Value::object(facts))])
            }
        }
    }

    /// Whether a device may take the order: its own list or facts.
    ///
    /// # Errors
    /// Why it may not.
    pub fn covers(&self, device: &Device<'_>, proof: Option<&ScopeProof>) -> Result<(), ScopeMiss> {
        self.covers_kind(device, proof)?;
        match self {
            Self::Match { from_least, from_most, .. }
                if !(*from_least..=*from_most).contains(&device.counter) =>
            {
                Err(ScopeMiss::Counter)
            }
            Self::Match { .. } | Self::Set { .. } => Ok(()),
        }
    }

    /// The same without the range of installed counters: on the way back the device has left that range by following
    /// the order.
    pub(super) fn covers_kind(
        &self,
        device: &Device<'_>,
        proof: Option<&ScopeProof>,
    ) -> Result<(), ScopeMiss> {
        match self {
            Self::Set { root, count } => in_set((root, *count), &device.identity, proof),
            Self::Match { model, .. } if model != device.model => Err(ScopeMiss::Model),
            Self::Match { hardware, .. } if hardware != device.revision => Err(ScopeMiss::Hardware),
            Self::Match { .. } => Ok(()),
        }
    }

    /// Whether any device in this scope could run the release.
    pub(super) fn may_fit(&self, release: &Release) -> bool {
        match self {
            Self::Set { .. } => true,
            Self::Match { model, hardware, from_least, from_most } => {
                let range = *from_most >= release.min_from && *from_least < release.counter;
                *model == release.model && release.hardware.contains(hardware) && range
            }
        }
    }
}

fn in_set(
    (root, count): (&Sha256, u64),
    leaf: &HardwareId,
    proof: Option<&ScopeProof>,
) -> Result<(), ScopeMiss> {
    let proof = proof.ok_or(ScopeMiss::NoProof)?;
    if proof.hashes.len() > limits::PROOF_HASHES {
        return Err(ScopeMiss::ProofFails);
    }
    let path = proof.hashes.iter().map(|hash| hash.0).collect();
    let inclusion = Inclusion { index: proof.index, size: count, path };
    if inclusion.proves(&leaf.0, &root.0) { Ok(()) } else { Err(ScopeMiss::ProofFails) }
}
