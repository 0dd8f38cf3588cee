//! Whom a sensor watches: the device it runs on, or all that speak on a wire it looks at.
//!
//! Who speaks from a local address is a device, unless devices were named. A named hardware address is followed to the
//! addresses it speaks from. Bounded: those beyond `limits::RECORDED_DEVICES` are counted and not judged. Read next:
//! [`crate::sensor`].

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use cordon_proto::limits;
use cordon_proto::mud::Usage;
use cordon_proto::time::Millis;

use crate::detect::Detectors;
use crate::dissect::Mac;
use crate::profile::key::is_local;
use crate::profile::{Learning, Profile};

/// Addresses that one named hardware address is followed to.
const OWNED: usize = 256;

/// A device as it is known on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    /// The one that the sensor runs on.
    Itself,
    /// By its address.
    Address(IpAddr),
    /// By its hardware address.
    Mac(Mac),
    /// Nobody alone: what concerns all who share the wire.
    Network,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("this device"),
            Self::Address(address) => address.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
            Self::Network => f.write_str("network"),
        }
    }
}

/// A text names neither an address nor a hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device is named by its IP address or its hardware address, such as 10.0.0.7 or 00:1b:44:11:3a:b7")]
pub struct NotADevice;

impl FromStr for Device {
    type Err = NotADevice;

    fn from_str(text: &str) -> Result<Self, NotADevice> {
        let address = text.parse().map(Self::Address);
        address.or_else(|_| text.parse().map(Self::Mac)).map_err(|_| NotADevice)
    }
}

/// A network in the notation of RFC 4632, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is written as an address and the length of its prefix, such as 10.0.0.0/8")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').ok_or(NotANetwork)?;
        let (address, prefix) =
            (address.parse().map_err(|_| NotANetwork)?, prefix.parse().map_err(|_| NotANetwork)?);
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if prefix <= most { Ok(Self { address, prefix }) } else { Err(NotANetwork) }
    }
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(wide4(own), wide4(other), 32 - self.prefix),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(wide6(own), wide6(other), 128 - self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn wide4(address: Ipv4Addr) -> u128 {
    u128::from(u32::from(address))
}

fn wide6(address: Ipv6Addr) -> u128 {
    u128::from(address)
}

fn same(own: u128, other: u128, free_bits: u32) -> bool {
    (own ^ other).checked_shr(free_bits).unwrap_or(0) == 0
}

/// What the detectors of a watched device that need a profile go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// They are off.
    Off,
    /// They learn for so many seconds from the device's first word.
    Seconds(i64),
    /// They learn to the end.
    All,
}

/// Who is watched.
#[derive(Debug)]
pub struct Choice {
    /// Named devices; all local ones where there is none.
    pub devices: Vec<Device>,
    /// Networks that are local beside the private ones.
    pub local: Vec<Network>,
    /// What is learned.
    pub learn: Learn,
    /// Profiles that were learned before, by device.
    pub profiles: Vec<(String, Profile)>,
    /// What their maker describes, where they are all of one model.
    pub usage: Option<Arc<Usage>>,
}

/// One watched device.
#[derive(Debug)]
pub struct Watched {
    /// Which.
    pub device: Device,
    /// Its detectors.
    pub detectors: Detectors,
    /// Its first word.
    pub first: Millis,
    /// Its last word.
    pub last: Millis,
}

/// The watched devices.
#[derive(Debug)]
pub struct Roll {
    /// `None` where only the device itself is watched.
    choice: Option<Choice>,
    /// The addresses of the device itself, where its packets are seen.
    home: Vec<IpAddr>,
    /// Addresses that named hardware addresses spoke from.
    owned: Vec<(IpAddr, Mac)>,
    /// Sorted by device.
    watched: Vec<Watched>,
    beyond: u64,
}

impl Roll {
    /// The device itself.
    #[must_use]
    pub fn itself(detectors: Detectors) -> Self {
        let first = Millis(0);
        let watched = Vec::from([Watched { device: Device::Itself, detectors, first, last: first }]);
        Self { choice: None, home: Vec::new(), owned: Vec::new(), watched, beyond: 0 }
    }

    /// Others.
    #[must_use]
    pub fn others(choice: Choice) -> Self {
        Self { choice: Some(choice), home: Vec::new(), owned: Vec::new(), watched: Vec::new(), beyond: 0 }
    }

    /// The addresses that the device itself has now.
    pub fn move_home(&mut self, addresses: &[IpAddr]) {
        self.home.clear();
        self.home.extend(addresses.iter().take(limits::HOME_ADDRESSES));
    }

    /// Whether others are watched than the device itself.
    #[must_use]
    pub fn watches_others(&self) -> bool {
        self.choice.is_some()
    }

    /// Whether an address may be a watched device.
    #[must_use]
    pub fn may_be(&self, address: IpAddr) -> bool {
        let Some(choice) = &self.choice else {
            return address.is_loopback() || self.home.contains(&address);
        };
        if choice.devices.is_empty() {
            is_local(address) || choice.local.iter().any(|network| network.holds(address))
        } else {
            let named = |device: &Device| *device == Device::Address(address);
            choice.devices.iter().any(named) || self.owned.iter().any(|(own, _)| *own == address)
        }
    }

    /// Whether a device was named by this address: it is watched though it never says a word.
    #[must_use]
    pub fn is_named(&self, address: IpAddr) -> bool {
        self.choice.as_ref().is_some_and(|choice| choice.devices.contains(&Device::Address(address)))
    }

    /// Follows a named hardware address to the address it speaks from.
    pub fn speaks(&mut self, mac: Mac, address: IpAddr) {
        let Some(choice) = &self.choice else { return };
        let named = choice.devices.contains(&Device::Mac(mac)) && !address.is_unspecified();
        if named && self.owned.len() < OWNED && !self.owned.iter().any(|(own, _)| *own == address) {
            self.owned.push((address, mac));
        }
    }

    /// The detectors of the device at an address that speaks now; `None` where it is not watched.
    pub fn speaker(&mut self, address: IpAddr, now: Millis) -> Option<&mut Watched> {
        if self.choice.is_some() && !self.may_be(address) {
            return None;
        }
        let device = self.device(address);
        let place = match self.find(device) {
            Ok(place) => place,
            Err(place) => {
                if self.watched.len() >= limits::RECORDED_DEVICES {
                    self.beyond += 1;
                    return None;
                }
                let detectors = self.choice.as_ref()?.detectors(device);
                self.watched.insert(place, Watched { device, detectors, first: now, last: now });
                place
            }
        };
        let watched = self.watched.get_mut(place)?;
        watched.last = watched.last.max(now);
        Some(watched)
    }

    /// The detectors of the device at an address, if it is watched and has spoken.
    pub fn at(&mut self, address: IpAddr) -> Option<&mut Watched> {
        let place = self.find(self.device(address)).ok()?;
        self.watched.get_mut(place)
    }

    /// The detectors for what concerns all who share the wire: those of the device itself where that is watched.
    pub fn network(&mut self, now: Millis) -> Option<&mut Watched> {
        let device = if self.choice.is_some() { Device::Network } else { Device::Itself };
        if let Err(place) = self.find(device) {
            let detectors = self.choice.as_ref()?.detectors(device);
            self.watched.insert(place, Watched { device, detectors, first: now, last: now });
        }
        let place = self.find(device).ok()?;
        self.watched.get_mut(place)
    }

    /// All.
    #[must_use]
    pub fn all(&self) -> &[Watched] {
        &self.watched
    }

    /// All.
    pub fn all_mut(&mut self) -> &mut [Watched] {
        &mut self.watched
    }

    /// Flows whose device was one too many.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    fn device(&self, address: IpAddr) -> Device {
        if self.choice.is_none() {
            return Device::Itself;
        }
        let owner = self.owned.iter().find(|(own, _)| *own == address);
        owner.map_or(Device::Address(address), |(_, mac)| Device::Mac(*mac))
    }

    fn find(&self, device: Device) -> Result<usize, usize> {
        self.watched.binary_search_by(|watched| watched.device.cmp(&device))
    }
}

impl Choice {
    fn detectors(&self, device: Device) -> Detectors {
        let name = alloc::format!("{device}");
        let known = self.profiles.iter().find(|(of, _)| *of == name);
        let learning = |seconds| Learning { least_s: seconds, most_s: seconds };
        let mut detectors = match (known, self.learn) {
            (Some((_, profile)), _) => Detectors::new(profile.clone(), Learning::default()),
            (None, Learn::Off) => Detectors::without_profile(),
            (None, Learn::Seconds(seconds)) => Detectors::new(Profile::new(), learning(seconds)),
            (None, Learn::All) => Detectors::new(Profile::new(), learning(i64::MAX)),
        };
        if device != Device::Network {
            detectors.set_usage(self.usage.clone());
        }
        detectors
    }
}
