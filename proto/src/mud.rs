//! A maker's usage description as a device holds it.
//!
//! The rules of a MUD file (RFC 8520), compiled and bounded. One rule is one entry of an access list, seen from the device: which way, with whom, over what. What a site alone
//! knows (its networks, its controllers) was put in when the file was compiled. It is data: nothing here reads JSON,
//! resolves a name or decides. Read next: `cordon_server_core::mud` for the file, `cordon_agent_core::mud` for the judge.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use minicbor::{Decode, Encode};

use crate::ids::Text;
use crate::limits;
use crate::telemetry::{Direction, Protocol};
use crate::wire::{self, WireError};

/// The version of the form.
const VERSION: u32 = 1;

/// What a device is for, as rules of which the first that fits decides.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Usage {
    #[n(0)]
    version: u32,
    /// What the maker calls the device.
    #[n(1)]
    pub device: Text,
    /// Networks of the site that are local beside the private ones.
    #[n(2)]
    pub local: Vec<Net>,
    /// The rules, in the order of the file.
    #[n(3)]
    pub rules: Vec<Rule>,
}

/// One entry of an access list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Rule {
    /// Whose packets: those of the device are outbound.
    #[n(0)]
    pub says: Direction,
    /// Whether they may pass.
    #[n(1)]
    pub accept: bool,
    /// Only of this version of IP: 4 or 6.
    #[n(2)]
    pub family: Option<u8>,
    /// Only over this transport.
    #[n(3)]
    pub protocol: Option<Protocol>,
    /// Only with whom.
    #[n(4)]
    pub place: Place,
    /// Only with an address in this network.
    #[n(5)]
    pub net: Option<Net>,
    /// Only with an address of this name.
    #[n(6)]
    pub name: Option<HostName>,
    /// Only with this port of the peer.
    #[n(7)]
    pub peer_port: Option<Ports>,
    /// Only with this port of the device.
    #[n(8)]
    pub own_port: Option<Ports>,
    /// Only on connections that this side opened.
    #[n(9)]
    pub opened: Option<Direction>,
    /// Only ICMP messages of this type.
    #[n(10)]
    pub icmp_type: Option<u8>,
    /// Only ICMP messages of this code.
    #[n(11)]
    pub icmp_code: Option<u8>,
}

impl Rule {
    /// A rule that fits everything this way.
    #[must_use]
    pub fn anything(says: Direction, accept: bool) -> Self {
        Self {
            says,
            accept,
            family: None,
            protocol: None,
            place: Place::Anywhere,
            net: None,
            name: None,
            peer_port: None,
            own_port: None,
            opened: None,
            icmp_type: None,
            icmp_code: None,
        }
    }

    /// Whether it says whom it is about, more closely than a class that the site has not bound.
    #[must_use]
    pub fn names_peer(&self) -> bool {
        self.net.is_some() || self.name.is_some() || matches!(self.place, Place::Bound(_))
    }
}

/// A class of peers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Place {
    /// All.
    #[n(0)]
    Anywhere,
    /// Whoever is on the site's own networks, groups included.
    #[n(1)]
    Local,
    /// Whom the site has bound to the class.
    #[n(2)]
    Bound(#[n(0)] Vec<Net>),
}

/// A name of a peer in DNS, in lower case, without the last dot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HostName {
    /// The name.
    #[n(0)]
    pub name: Box<str>,
    /// Whether names below it fit too.
    #[n(1)]
    pub below: bool,
}

impl HostName {
    /// Whether a peer's name, in any case, is this one.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        let surplus = name.len().saturating_sub(self.name.len());
        let (head, tail) = name.as_bytes().split_at(surplus);
        tail.eq_ignore_ascii_case(self.name.as_bytes())
            && (head.is_empty() || self.below && head.ends_with(b"."))
    }
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Net {
    /// Of IPv4.
    #[n(0)]
    V4(#[n(0)] u32, #[n(1)] u8),
    /// Of IPv6, as two halves.
    #[n(1)]
    V6(#[n(0)] u64, #[n(1)] u64, #[n(2)] u8),
}

impl Net {
    /// The network of an address with so many leading bits; `None` where there are not so many.
    #[must_use]
    pub fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => (prefix <= 32).then(|| Self::V4(v4.to_bits(), prefix)),
            IpAddr::V6(v6) => {
                let halves = |bits: u128| [bits >> 64, bits & u128::from(u64::MAX)];
                let [high, low] = halves(v6.to_bits()).map(|half| u64::try_from(half).unwrap_or(0));
                (prefix <= 128).then_some(Self::V6(high, low, prefix))
            }
        }
    }

    /// From `10.0.0.0/8`, `10.0.0.7` or the like of IPv6.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        Self::of(address, prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 }))
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (*self, address) {
            (Self::V4(own, prefix), IpAddr::V4(v4)) => {
                (own ^ v4.to_bits()).checked_shr(32_u32.saturating_sub(prefix.into())).unwrap_or(0) == 0
            }
            (Self::V6(high, low, prefix), IpAddr::V6(v6)) => {
                let own = u128::from(high) << 64 | u128::from(low);
                (own ^ v6.to_bits()).checked_shr(128_u32.saturating_sub(prefix.into())).unwrap_or(0) == 0
            }
            (Self::V4(..), IpAddr::V6(_)) | (Self::V6(..), IpAddr::V4(_)) => false,
        }
    }

    /// The version of IP.
    #[must_use]
    pub fn family(&self) -> u8 {
        match self {
            Self::V4(..) => 4,
            Self::V6(..) => 6,
        }
    }
}

impl core::fmt::Display for Net {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::V4(bits, prefix) => write!(f, "{}/{prefix}", core::net::Ipv4Addr::from_bits(bits)),
            Self::V6(high, low, prefix) => {
                let bits = u128::from(high) << 64 | u128::from(low);
                write!(f, "{}/{prefix}", core::net::Ipv6Addr::from_bits(bits))
            }
        }
    }
}

/// A condition on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ports {
    /// From the first to the second, both included.
    #[n(0)]
    Within(#[n(0)] u16, #[n(1)] u16),
    /// Any but this one.
    #[n(1)]
    Not(#[n(0)] u16),
}

impl Ports {
    /// Whether a port meets it.
    #[must_use]
    pub fn fits(self, port: u16) -> bool {
        match self {
            Self::Within(least, most) => least <= port && port <= most,
            Self::Not(other) => port != other,
        }
    }
}

impl Usage {
    /// A usage of these rules.
    #[must_use]
    pub fn of(device: Text, local: Vec<Net>, rules: Vec<Rule>) -> Self {
        Self { version: VERSION, device, local, rules }
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::write(self)
    }

    /// From bytes, within its bounds.
    ///
    /// # Errors
    /// The bytes are no usage, of another version, or more than a device holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let read: Self = wire::read(bytes, limits::USAGE_BYTES)?;
        if read.version != VERSION {
            return Err(WireError::Malformed);
        }
        let few = |nets: &[Net]| nets.len() <= limits::MUD_BOUND;
        let bound = |rule: &Rule| match &rule.place {
            Place::Bound(nets) => few(nets),
            Place::Anywhere | Place::Local => true,
        };
        if read.rules.len() > limits::MUD_ENTRIES || !few(&read.local) || !read.rules.iter().all(bound) {
            return Err(WireError::TooMany { limit: limits::MUD_ENTRIES });
        }
        let named =
            |rule: &Rule| rule.name.as_ref().is_none_or(|name| name.name.len() <= limits::HOST_NAME_BYTES);
        if read.rules.iter().all(named) { Ok(read) } else { Err(WireError::Malformed) }
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let held = |rule: &Rule| {
            let bound = match &rule.place {
                Place::Bound(nets) => nets.capacity() * size_of::<Net>(),
                Place::Anywhere | Place::Local => 0,
            };
            bound + rule.name.as_ref().map_or(0, |name| name.name.len())
        };
        self.rules.capacity() * size_of::<Rule>() + self.rules.iter().map(held).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_names_hold_what_they_say() {
        // Goal: edges of prefixes and names. Method: samples on both sides of each edge.
        let holds = |net: &str, address: &str| Net::parse(net).unwrap().holds(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::7", "2001:db8::8"));
        assert!(holds("ff00::/8", "ff02::1") && holds("::/0", "fe80::1"));
        for text in ["10.0.0.0/33", "::/129", "10.0.0", "", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(Net::parse(text), None, "{text}");
        }
        let name = |below| HostName { name: "maker.example".into(), below };
        assert!(name(false).fits("Maker.Example.") && !name(false).fits("a.maker.example"));
        assert!(name(true).fits("a.b.maker.example") && name(true).fits("maker.example"));
        assert!(!name(true).fits("notmaker.example") && !name(true).fits("example") && !name(true).fits(""));
    }

    #[test]
    fn ports_are_compared_with_their_edges() {
        // Goal: no port too many. Method: both sides of each edge.
        let within = |port| Ports::Within(1024, 2000).fits(port);
        assert_eq!([1023, 1024, 2000, 2001].map(within), [false, true, true, false]);
        assert!(!Ports::Not(23).fits(23) && Ports::Not(23).fits(24));
    }

    #[test]
    fn a_usage_travels_whole_and_bounded() {
        // Goal: what a device reads is what was compiled, and no more than it can hold. Method: there and back; one rule
        // too many; another version.
        let rule = Rule {
            family: Some(4),
            protocol: Some(Protocol::Tcp),
            place: Place::Bound(Vec::from([Net::parse("10.0.0.7").unwrap()])),
            name: Some(HostName { name: "maker.example".into(), below: true }),
            peer_port: Some(Ports::Within(443, 443)),
            opened: Some(Direction::Outbound),
            ..Rule::anything(Direction::Outbound, true)
        };
        let usage = |count| Usage::of(Text::lossy("pump"), Vec::new(), alloc::vec![rule.clone(); count]);
        assert_eq!(Usage::decode(&usage(3).encode()), Ok(usage(3)));
        let most = usage(limits::MUD_ENTRIES);
        assert!(most.encode().len() <= limits::USAGE_BYTES && Usage::decode(&most.encode()).is_ok());
        assert!(Usage::decode(&usage(limits::MUD_ENTRIES + 1).encode()).is_err());
        let later = Usage { version: 2, ..usage(1) };
        assert_eq!(Usage::decode(&later.encode()), Err(WireError::Malformed));
    }
}
