//! What counts as the same peer, service and listening socket.
//!
//! The coarser the key, the fewer false alarms and the more an attacker can hide in it. Exact are services below 1024,
//! a list of registered ones, and the device's own ports; other high ports of peers are one bucket. NTP servers come
//! from a pool that hands out another one each time, so they are one peer. Text from the network is reduced to the
//! characters of host names here, once.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

use cordon_proto::telemetry::{Direction, Protocol};
use minicbor::{Decode, Encode};

use crate::flow::{Flow, Listener};

/// First port that the system gives to clients (Linux's default `ip_local_port_range`).
pub const EPHEMERAL: u16 = 32_768;
/// Characters of a peer's name or a program that are kept.
pub const NAME_CHARS: usize = 64;
/// Registered services at or above 1024 that are told apart (IANA; HL7 2575, DICOM 11112).
const LISTED: [u16; 18] = [
    1433, 1521, 1883, 1900, 2575, 3306, 3389, 5060, 5222, 5353, 5432, 5900, 6379, 8080, 8443, 8883, 9100,
    11112,
];

/// A short text that owns itself.
pub type ShortText = Box<str>;

/// Whom a connection is with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Who {
    /// An IPv4 /16.
    #[n(0)]
    Net4(#[n(0)] [u8; 2]),
    /// An IPv6 /48.
    #[n(1)]
    Net6(#[n(0)] [u8; 6]),
    /// Multicast or broadcast.
    #[n(2)]
    Group,
    /// Any server of a pooled service.
    #[n(3)]
    Anyone,
    /// A registrable domain, or a name without dots.
    #[n(4)]
    Name(#[n(0)] ShortText),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Service {
    /// Exactly this port.
    #[n(0)]
    Port(#[n(0)] u16),
    /// Any other high port.
    #[n(1)]
    High,
}

/// What makes two flows the same thing to a profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Key {
    /// Who opened it.
    #[n(0)]
    pub direction: Direction,
    /// Transport.
    #[n(1)]
    pub protocol: Protocol,
    /// The service.
    #[n(2)]
    pub service: Service,
    /// The peer.
    #[n(3)]
    pub who: Who,
}

/// Who can reach a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Reach {
    /// Only the device itself.
    #[n(0)]
    Device,
    /// The network.
    #[n(1)]
    Network,
}

/// What makes two listening sockets the same thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Socket {
    /// Transport.
    #[n(0)]
    pub protocol: Protocol,
    /// The port.
    #[n(1)]
    pub service: Service,
    /// Who can reach it.
    #[n(2)]
    pub reach: Reach,
    /// The program behind it, where known.
    #[n(3)]
    pub program: Option<ShortText>,
}

impl Key {
    /// The key of a flow: by name where the flow has one.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        let key = Self::by_network(flow);
        match (&flow.name, &key.who) {
            (Some(name), Who::Net4(_) | Who::Net6(_)) => Self { who: Who::Name(registrable(name)), ..key },
            (Some(_), Who::Group | Who::Anyone | Who::Name(_)) | (None, _) => key,
        }
    }

    /// The key of a flow by its network, whatever its name.
    #[must_use]
    pub fn by_network(flow: &Flow) -> Self {
        let (direction, protocol) = (flow.direction, flow.tuple.protocol);
        let service = service(direction, flow.service_port());
        let pooled =
            (direction, protocol, service) == (Direction::Outbound, Protocol::Udp, Service::Port(123));
        let who = if pooled { Who::Anyone } else { network(flow.tuple.remote.address) };
        Self { direction, protocol, service, who }
    }

    /// Whether two keys differ in the service at most.
    #[must_use]
    pub fn same_peer(&self, other: &Self) -> bool {
        (self.direction, self.protocol, &self.who) == (other.direction, other.protocol, &other.who)
    }

    /// Whether two keys differ in the peer at most.
    #[must_use]
    pub fn same_service(&self, other: &Self) -> bool {
        (self.direction, self.protocol, self.service) == (other.direction, other.protocol, other.service)
    }
}

impl Socket {
    /// The key of a listening socket; `None` for a UDP client, which only looks like one.
    #[must_use]
    pub fn of(listener: &Listener) -> Option<Self> {
        let port = listener.local.port;
        let reach = if listener.local.address.is_loopback() { Reach::Device } else { Reach::Network };
        if listener.protocol == Protocol::Udp && port >= EPHEMERAL {
            return None;
        }
        // What only the device itself reaches on a port the system chose is one thing, whichever port it got.
        let service =
            if reach == Reach::Device && port >= EPHEMERAL { Service::High } else { Service::Port(port) };
        let program = listener.program.as_deref().map(|program| clean(program).into_boxed_str());
        Some(Self { protocol: listener.protocol, service, reach, program })
    }
}

impl Who {
    /// Whether this is a network, as learned where no names are seen.
    #[must_use]
    pub fn is_network(&self) -> bool {
        match self {
            Self::Net4(_) | Self::Net6(_) => true,
            Self::Group | Self::Anyone | Self::Name(_) => false,
        }
    }

    /// Bytes of heap memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Name(name) => name.len(),
            Self::Net4(_) | Self::Net6(_) | Self::Group | Self::Anyone => 0,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net4([a, b]) => write!(f, "{a}.{b}.0.0/16"),
            Self::Net6([a, b, c, d, e, g]) => {
                let group = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
                write!(f, "{:x}:{:x}:{:x}::/48", group(a, b), group(c, d), group(e, g))
            }
            Self::Group => f.write_str("a multicast group"),
            Self::Anyone => f.write_str("any server"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::High => f.write_str("1024+"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Outbound => "out",
            Direction::Inbound => "in",
        };
        write!(f, "{direction}/{}/{}/{}", protocol_word(self.protocol), self.service, self.who)
    }
}

/// The protocol as one reads it.
#[must_use]
pub fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Icmp => "ICMP",
    }
}

/// Whether an address belongs to a private or link-local network (RFC 1918, 3927, 4193, 4291).
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// A text from outside as a host name at most: lower case, other characters as `?`, at most [`NAME_CHARS`], the end kept.
#[must_use]
pub fn clean(text: &str) -> String {
    let count = text.chars().count();
    let kept = text.trim_end_matches('.').chars().skip(count.saturating_sub(NAME_CHARS));
    let cleaned: String = kept
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':') {
                c.to_ascii_lowercase()
            } else {
                '?'
            }
        })
        .collect();
    if cleaned.is_empty() { "?".to_owned() } else { cleaned }
}

/// The part of a name that someone registered: the last two labels, three below a two-letter country's `co`, `com`,
/// `org`, `net`, `gov`, `ac` or `edu`. Without the public suffix list this joins some neighbours (`github.io`), which
/// errs towards silence, never towards noise.
#[must_use]
pub fn registrable(name: &str) -> Box<str> {
    let name = clean(name);
    let mut labels = name.rsplit('.');
    let (Some(top), Some(second)) = (labels.next(), labels.next()) else { return name.into_boxed_str() };
    let below_country =
        top.len() == 2 && matches!(second, "co" | "com" | "org" | "net" | "gov" | "ac" | "edu");
    match (below_country, labels.next()) {
        (true, Some(third)) => format!("{third}.{second}.{top}").into_boxed_str(),
        (true, None) | (false, _) => format!("{second}.{top}").into_boxed_str(),
    }
}

fn service(direction: Direction, port: u16) -> Service {
    let exact = match direction {
        Direction::Outbound => port < 1024 || LISTED.contains(&port),
        Direction::Inbound => port < EPHEMERAL,
    };
    if exact { Service::Port(port) } else { Service::High }
}

fn network(address: IpAddr) -> Who {
    if address.is_multicast() {
        return Who::Group;
    }
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [255, 255, 255, 255] => Who::Group,
            // A private address ending in 255 is a broadcast in all but the oddest of hospital networks.
            [_, _, _, 255] if v4.is_private() => Who::Group,
            [a, b, _, _] => Who::Net4([a, b]),
        },
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), v6.octets()) {
            (Some(v4), _) => network(IpAddr::V4(v4)),
            (None, [a, b, c, d, e, f, ..]) => Who::Net6([a, b, c, d, e, f]),
        },
    }
}
