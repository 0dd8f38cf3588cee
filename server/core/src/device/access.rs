//! May the holder of a certificate ask for this now: the device plane's door, and the words of its refusals.
//!
//! A device that is quarantined may still say how it is and bring itself up to date; one that is retired or lost may only
//! take leave. Nothing is changed here. Read next: `super` for the states.

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;

use super::{Device, State};

/// What a request of a device is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Saying how it is.
    Status,
    /// Metadata, images and receipts: the way out of many troubles.
    Update,
    /// Telling what it saw, and waiting for news.
    Telling,
    /// Handing in its last receipt.
    Farewell,
}

/// Why a device's request is refused. Only [`Refused::UnknownDevice`] lets an agent drop its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No device has or had this certificate.
    #[error("no device of this server has this certificate: enrol the device again with a new token")]
    UnknownDevice,
    /// The device has this certificate no more: a newer one is in force, or was handed out instead.
    #[error(
        "a newer certificate of this device is in force: if that is not this device, tell the owner's security team"
    )]
    Superseded,
    /// The certificate is past its end. It may still ask for the next one while the owner's grace lasts.
    #[error(
        "the certificate has expired: the device renews it by itself while the owner's grace lasts; after that, \
         enrol it again with a new token"
    )]
    Expired,
    /// Quarantined.
    #[error("the device is in quarantine: only a person can release it, at the server")]
    Quarantined,
    /// Retired.
    #[error("the device was retired: to use it again, enrol it with a new token")]
    Retired,
    /// Reported lost.
    #[error("the device was reported lost: whoever found it should tell the owner")]
    Lost,
}

impl Refused {
    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownDevice => "unknown_device",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
            Self::Lost => "lost",
        }
    }
}

/// Whether the holder of the certificate `leaf`, which belongs or belonged to `device`, may ask for `access` now.
pub fn may(device: Option<&Device>, leaf: &Sha256, access: Access, now: Timestamp) -> Result<(), Refused> {
    let device = device.ok_or(Refused::UnknownDevice)?;
    let identity = device.holding(leaf).ok_or(Refused::Superseded)?;
    if now > identity.not_after {
        return Err(Refused::Expired);
    }
    match (device.state, access) {
        (State::Active, _)
        | (State::Quarantined, Access::Status | Access::Update | Access::Farewell)
        | (State::Retired | State::Lost, Access::Farewell) => Ok(()),
        (State::Quarantined, Access::Telling) => Err(Refused::Quarantined),
        (State::Retired, _) => Err(Refused::Retired),
        (State::Lost, _) => Err(Refused::Lost),
        // An identity is given in the commit that makes a device active, and stays known for ever.
        (State::Listed | State::Expected | State::Pending, _) => Err(Refused::UnknownDevice),
    }
}
