//! Keys that wait for a person: how one is noted, approved, denied, forgotten.
//!
//! A person approves a *key*, seen as its fingerprint, never a serial: a serial is printed on the case. The first key
//! that asks stays noted until a person decides or its time is over, so that nobody can push it out; only the same
//! address may come with another one. A denied key is remembered and does not get in line again. Nothing here touches
//! the identity in force.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::device::{Approval, Asking, Device, State};

const DAY_S: i64 = 86_400;

/// A key that a person said no to, under `Key::Pending` by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Version of this document.
    pub v: u32,
    /// The device that it asked for.
    pub device: DeviceId,
    /// The serial that it asked for.
    pub serial: Text,
    /// When.
    pub at: Timestamp,
    /// By whom: the actor as the journal writes it.
    pub by: String,
}

/// What is left of a device once the key that asked for it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: it was known by its asking alone.
    Nothing,
    /// The device without it.
    Device(alloc::boxed::Box<Device>),
}

/// A decision about a key that does not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this key does not ask for this device any more: look at the list again")]
pub struct NotAsking;

impl Denied {
    /// The bytes under `Key::Pending`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|denied: &Self| denied.v == 1)
    }
}

/// The key that waits for a person's decision about this device now.
#[must_use]
pub fn waiting(device: &Device, now: Timestamp) -> Option<&Asking> {
    device.asking.as_ref().filter(|asking| asking.approved.is_none() && is_fresh(asking, now))
}

/// The device after a person's yes to this very key. It is given its certificate when it asks again.
pub fn approve(device: &Device, key: &Sha256, by: String, now: Timestamp) -> Result<Device, NotAsking> {
    let asking = device.asking.as_ref().filter(|asking| asking.key == *key).ok_or(NotAsking)?;
    let approved = asking.approved.clone().unwrap_or(Approval { at: now, by });
    let asking = Asking { approved: Some(approved), ..asking.clone() };
    Ok(Device { asking: Some(asking), ..device.clone() })
}

/// What is left after a person's no to this very key.
pub fn deny(device: &Device, key: &Sha256) -> Result<Left, NotAsking> {
    device.asking.as_ref().filter(|asking| asking.key == *key).ok_or(NotAsking)?;
    Ok(without(device))
}

/// What is left of a device whose asking key waited too long; `None` if there is nothing to forget.
#[must_use]
pub fn stale(device: &Device, now: Timestamp) -> Option<Left> {
    let asking = device.asking.as_ref()?;
    (!is_fresh(asking, now)).then(|| without(device))
}

/// The device without its doubt, once a person has looked; `None` if there is none.
#[must_use]
pub fn cleared(device: &Device) -> Option<Device> {
    device.doubt.as_ref()?;
    Some(device.without_doubt())
}

/// Whether a person said yes to this key, and its time is not over.
pub(super) fn is_approved(device: &Device, key: &Sha256, now: Timestamp) -> bool {
    let asking = device.asking.as_ref().filter(|asking| asking.key == *key && is_fresh(asking, now));
    asking.is_some_and(|asking| asking.approved.is_some())
}

/// The device with this key noted on it; `None` if that changes nothing, so that a loop writes once.
pub(super) fn noted(device: &Device, asking: Asking, now: Timestamp) -> Option<Device> {
    let stays = device.asking.as_ref().is_some_and(|present| {
        let own = present.key != asking.key && present.from == asking.from && present.approved.is_none();
        is_fresh(present, now) && !own
    });
    (!stays).then(|| Device { asking: Some(asking), ..device.clone() })
}

/// Counted from the decision, where there is one: the device may be away when it comes.
fn is_fresh(asking: &Asking, now: Timestamp) -> bool {
    let since = asking.approved.as_ref().map_or(asking.at, |approval| approval.at);
    now.seconds_since(since) < limits::APPROVAL_DAYS * DAY_S
}

fn without(device: &Device) -> Left {
    if device.state == State::Pending && device.identity.is_none() {
        return Left::Nothing;
    }
    Left::Device(Device { asking: None, ..device.clone() }.into())
}
