//! Learned profiles of several devices in one file, for a sensor that watches others and for whoever reviews them.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::wire::{self, WireError};
use minicbor::{Decode, Encode};

use super::Profile;

/// The version of the form.
const VERSION: u32 = 1;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Profiles {
    #[n(0)]
    version: u32,
    /// By the name of the device on the wire: its address or its hardware address.
    #[n(1)]
    pub devices: Vec<Named>,
}

/// The profile of one device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Named {
    /// The device.
    #[n(0)]
    pub device: String,
    /// What is usual for it.
    #[n(1)]
    pub profile: Profile,
}

impl Profiles {
    /// A file of these.
    #[must_use]
    pub fn of(devices: Vec<Named>) -> Self {
        Self { version: VERSION, devices }
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::write(self)
    }

    /// From bytes, each profile within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let read: Self = wire::read(bytes, limits::PROFILES_BYTES)?;
        if read.version != VERSION {
            return Err(WireError::Malformed);
        }
        if read.devices.len() > limits::RECORDED_DEVICES {
            return Err(WireError::TooMany { limit: limits::RECORDED_DEVICES });
        }
        let bounded = |named: Named| Ok(Named { profile: named.profile.bounded()?, ..named });
        Ok(Self::of(read.devices.into_iter().map(bounded).collect::<Result<_, WireError>>()?))
    }
}
