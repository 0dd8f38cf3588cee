//! The next certificate of a device that has one: followed, never replaced, until the next one has spoken.
//!
//! `identity` is in force, `next` was handed out and is silent; both open every door. [`first_word`] moves `next` to
//! `identity`. So an answer that is lost, a kill between two writes and a restored backup all leave one that works. A
//! new key each time: the same one only where it lives in hardware, which the device's report says, or where the owner
//! allows it to all. Read next: `docs/decisions/0010-identity.md`.

use alloc::boxed::Box;

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::time::Timestamp;

use super::{Terms, queue};
use crate::device::{self, Asking, Device, Identity, Replaced, SUPERSEDED, State};

const DAY_S: i64 = 86_400;

/// One request for the next certificate, over a connection that proved the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// SHA-256 of the certificate that the connection proved.
    pub leaf: Sha256,
    /// SHA-256 of the SubjectPublicKeyInfo that was proved by the request.
    pub key: Sha256,
    /// The serial in the certification request.
    pub serial: Text,
    /// Where it came from, for people.
    pub from: Text,
}

/// What becomes of a renewal that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It was answered before: hand out this certificate again.
    Same(Sha256),
    /// A certificate is to be made and written down with [`Renewing::with`].
    Issue(Box<Renewing>),
    /// A person has to look first. The device is to be written down, if there is one.
    Wait(Option<Box<Device>>),
}

/// A device that gets its next certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewing {
    device: Device,
    key: Sha256,
    /// Whether a person chose this key.
    chosen: bool,
}

/// Why no next certificate is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalRefused {
    /// The identity does not allow it.
    #[error(transparent)]
    Identity(#[from] device::Refused),
    /// The request names another device.
    #[error("the request's serial is not that of the device whose certificate was shown")]
    SerialMismatch,
    /// No new key.
    #[error(
        "the request is for the key of the present certificate: make a new key; if yours cannot leave its chip, the \
         owner can allow this in the server's configuration"
    )]
    SameKey,
    /// A person said no to this key.
    #[error(
        "a person said no to this key: ask the owner's security team, and make a new key before you ask again"
    )]
    Denied,
}

impl RenewalRefused {
    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Identity(refused) => refused.code(),
            Self::SerialMismatch => "serial_mismatch",
            Self::SameKey => "same_key",
            Self::Denied => "approval_denied",
        }
    }
}

/// Decides one renewal of the device that has or had the certificate; `denied` if a person said no to the new key.
pub fn renew(
    device: Option<&Device>,
    renewal: &Renewal,
    denied: bool,
    terms: &Terms,
    now: Timestamp,
) -> Result<Renewed, RenewalRefused> {
    let device = entitled(device, &renewal.leaf, terms, now)?;
    // RFC 7030 section 4.2.2 wants the subject of the present certificate; its serial says the same.
    if renewal.serial != device.hardware.serial && renewal.serial.as_str() != alloc::format!("{}", device.id)
    {
        return Err(RenewalRefused::SerialMismatch);
    }
    let spoken = first_word(device, &renewal.leaf);
    let device = spoken.as_ref().unwrap_or(device);
    if let Some(next) = device.next.as_ref().filter(|next| next.key == renewal.key && now <= next.not_after) {
        return Ok(Renewed::Same(next.leaf));
    }
    let same = device.identity.as_ref().is_some_and(|identity| identity.key == renewal.key);
    if same && !(terms.same_key_renewal || key_is_in_hardware(device)) {
        return Err(RenewalRefused::SameKey);
    }
    if denied {
        return Err(RenewalRefused::Denied);
    }
    let chosen = queue::is_approved(device, &renewal.key, now);
    // What a person chose and has not spoken yet is not pushed out by whoever holds the former certificate.
    let choice = device.next.as_ref().is_some_and(|next| !next.renews && now <= next.not_after);
    if (device.doubt.is_some() || choice) && !chosen {
        return Ok(Renewed::Wait(queue::noted(device, renewal.asking(now), now).map(Box::new)));
    }
    Ok(Renewed::Issue(Box::new(Renewing { device: device.clone(), key: renewal.key, chosen })))
}

/// The device once the certificate `leaf` has spoken for the first time; `None` if that is no news. The former one is
/// superseded by it.
#[must_use]
pub fn first_word(device: &Device, leaf: &Sha256) -> Option<Device> {
    device.next.as_ref().filter(|next| next.leaf == *leaf)?;
    let mut device = device.clone();
    let next = device.next.take();
    // After a renewal the former key is destroyed by its own holder; another's word made it void.
    let renews = next.as_ref().is_some_and(|next| next.renews);
    let former = core::mem::replace(&mut device.identity, next);
    if !renews {
        void(&mut device, former.as_ref());
    }
    supersede(&mut device, former);
    Some(device)
}

impl Renewal {
    fn asking(&self, now: Timestamp) -> Asking {
        let with = Text::lossy("renewal");
        Asking { key: self.key, at: now, from: self.from.clone(), with, approved: None }
    }
}

impl Renewing {
    /// The device that the certificate is for.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device as it is once the certificate is handed out. `leaf` is its SHA-256; `not_after` its end.
    #[must_use]
    pub fn with(self, leaf: Sha256, issued: Timestamp, not_after: Timestamp) -> Device {
        let Self { mut device, key, chosen } = self;
        if chosen {
            // A person chose this one of two: that was the answer to the doubt.
            (device.asking, device.doubt) = (None, None);
        }
        follow(&mut device, Identity { leaf, key, token: None, renews: !chosen, issued, not_after });
        device
    }
}

/// Hands out a certificate that follows the one in force. One that was handed out before and never spoke is over. Where a
/// person chose one of the two, whoever has the other key is not who was meant, and third parties hear of it; a device
/// that lost an answer of its own is no news to them, and must not crowd out what is.
pub(super) fn follow(device: &mut Device, identity: Identity) {
    let (key, renews) = (identity.key, identity.renews);
    let silent = device.next.replace(identity);
    let chosen = |silent: &&Identity| silent.key != key && !(renews && silent.renews);
    void(device, silent.as_ref().filter(chosen));
    supersede(device, silent);
}

/// Remembers a certificate whose place another key took by a person's word, for third parties to hear of. The newest one
/// that the device holds took it: the date of its making stays that of this end, whatever follows.
pub(super) fn void(device: &mut Device, former: Option<&Identity>) {
    let at = device.identities().map(|held| held.issued).max();
    device.replaced.extend(former.map(|identity| Replaced { leaf: identity.leaf, at }));
    let surplus = device.replaced.len().saturating_sub(SUPERSEDED);
    device.replaced.drain(..surplus);
}

/// Remembers a certificate that opens nothing any more.
pub(super) fn supersede(device: &mut Device, former: Option<Identity>) {
    device.superseded.extend(former.map(|identity| identity.leaf));
    let surplus = device.superseded.len().saturating_sub(SUPERSEDED);
    device.superseded.drain(..surplus);
}

/// The device, if the certificate may ask for the next one: one in force or at most so long past its end.
fn entitled<'a>(
    device: Option<&'a Device>,
    leaf: &Sha256,
    terms: &Terms,
    now: Timestamp,
) -> Result<&'a Device, device::Refused> {
    let device = device.ok_or(device::Refused::UnknownDevice)?;
    let identity = device.holding(leaf).ok_or(device::Refused::Superseded)?;
    match device.state {
        State::Active => {}
        State::Quarantined => return Err(device::Refused::Quarantined),
        State::Retired => return Err(device::Refused::Retired),
        State::Lost => return Err(device::Refused::Lost),
        State::Listed | State::Expected | State::Pending => return Err(device::Refused::UnknownDevice),
    }
    let grace_s = i64::from(terms.grace_days) * DAY_S;
    if now > identity.not_after.plus_seconds(grace_s) {
        return Err(device::Refused::Expired);
    }
    Ok(device)
}

/// Whether the device says that its key cannot leave it. Only the device loses by a lie.
fn key_is_in_hardware(device: &Device) -> bool {
    device.report.as_ref().is_some_and(|report| report.key_protection.as_str() != "file")
}
