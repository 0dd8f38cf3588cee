//! Since when something holds of a device that nothing else dates: a weak set-up, a failed update or a fallen counter
//! without a receipt.
//!
//! A deadline that counts from "now" never comes. What is first noticed is therefore kept with the device and carried on
//! for as long as it holds; when it holds no more, it is forgotten. Read next: [`super::gather`], which uses the times.

use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::{Answer, KeyProtection};
use super::gather::{Known, WEAK};

/// Since when, as far as it holds at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noticed {
    /// Its set-up has a weakness that a person can repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weak: Option<Timestamp>,
    /// It says that its last update failed, and no receipt says when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Timestamp>,
    /// It runs something older than its last receipt proves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fell: Option<Timestamp>,
}

impl Noticed {
    /// What holds of a device now, since the time that its document says, or since it was told.
    #[must_use]
    pub fn of(known: &Known<'_>) -> Self {
        let before = known.device.noticed;
        let told = known.reported.map(|reported| reported.seconds()).or(known.seen);
        let since = |holds: bool, before: Option<Timestamp>| before.or(told).filter(|_| holds);
        Self {
            weak: since(is_weak(known), before.weak),
            failing: since(known.is_failing() && known.ends.failed.is_none(), before.failing),
            fell: since(known.is_fallen(), before.fell),
        }
    }

    /// Whether nothing of it holds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether there is a weakness of the set-up that its owner can repair.
fn is_weak(known: &Known<'_>) -> bool {
    known.key_protection() == KeyProtection::File
        || ["secure-boot", "disk-encryption"].iter().any(|key| known.lacks(key) == Answer::Yes)
        || WEAK.iter().any(|key| known.has(key) == Answer::Yes)
}
