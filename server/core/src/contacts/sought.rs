//! What is looked for among connections: a peer, a port, or both.
//!
//! A peer is an address, a network, or a name with all below it. Every form is reduced to terms that rows were indexed by, and
//! judged on the row itself at last. Read next: [`super::Contacts::standing`].

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

use cordon_proto::telemetry::{Direction, FlowRow, Protocol};
use cordon_proto::time::Timestamp;

use super::digest;

/// Prefix lengths by which addresses are indexed.
const V4: [u8; 2] = [16, 24];
const V6: [u8; 2] = [48, 64];
/// Labels of a name, from its end, that are indexed one above the other.
const LABELS: usize = 10;
/// Characters of a name in the DNS (RFC 1035, section 2.3.4).
const NAME_CHARS: usize = 253;
/// Different peers and ports of one device that an answer lists.
const LISTED: usize = 8;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    peer: Option<Peer>,
    port: Option<Port>,
}

/// With whom.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Peer {
    Address(IpAddr),
    Network { address: IpAddr, bits: u8 },
    Name(String),
}

/// At which port; of TCP or UDP where neither is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    number: u16,
    protocol: Option<Protocol>,
}

/// Why nothing can be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoughtError {
    /// Neither peer nor port.
    #[error("say whom: a peer (203.0.113.9, 203.0.113.0/24 or example.org), a port (4444/tcp), or both")]
    Nothing,
    /// Not a peer.
    #[error(
        "`{0}` is no peer: give an address (203.0.113.9), a network (203.0.113.0/24) or a name (example.org)"
    )]
    Peer(String),
    /// Too large a network.
    #[error("`{0}` is too large a network: search IPv4 by /16 or longer, IPv6 by /48 or longer")]
    Network(String),
    /// Not a port.
    #[error("`{0}` is no port: give 4444, 4444/tcp or 4444/udp")]
    Port(String),
}

/// What a device did with what is sought, over some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Connections that began.
    pub connections: u64,
    /// Bytes from the device.
    pub bytes_out: u64,
    /// Bytes to the device.
    pub bytes_in: u64,
    /// Begin of the first interval with one, by the device's clock.
    pub first: Timestamp,
    /// End of the last.
    pub last: Timestamp,
    /// Peers, at most eight.
    pub peers: BTreeSet<String>,
    /// Services as `443/tcp`, at most eight.
    pub services: BTreeSet<String>,
    /// Whether the device opened some.
    pub opened: bool,
    /// Whether the peer opened some.
    pub accepted: bool,
    /// Whether some are outside what the device had learned.
    pub is_new: bool,
}

impl Sought {
    /// Reads what a person typed; empty is not said.
    ///
    /// # Errors
    /// What cannot be looked for, and what to type.
    pub fn read(peer: &str, port: &str) -> Result<Self, SoughtError> {
        let typed = |text: &str| Some(text.trim().to_string()).filter(|text| !text.is_empty());
        let peer = typed(peer).map(|text| Peer::read(&text)).transpose()?;
        let port = typed(port).map(|text| Port::read(&text)).transpose()?;
        if peer.is_none() && port.is_none() {
            return Err(SoughtError::Nothing);
        }
        Ok(Self { peer, port })
    }

    /// Of each of these one must have been told.
    pub(super) fn terms(&self) -> Vec<Vec<u64>> {
        let peer = self.peer.as_ref().map(|peer| alloc::vec![peer.term()]);
        let port = self.port.map(|port| {
            let of = |protocol| service_term(port.number, protocol);
            port.protocol.map_or_else(
                || alloc::vec![of(Protocol::Tcp), of(Protocol::Udp)],
                |protocol| alloc::vec![of(protocol)],
            )
        });
        peer.into_iter().chain(port).collect()
    }

    /// Whether a row is of it.
    #[must_use]
    pub fn fits(&self, row: &FlowRow) -> bool {
        let port = |port: Port| {
            let is_alike = port.protocol.is_none_or(|protocol| protocol == row.protocol);
            has_ports(row.protocol) && port.number == row.port && is_alike
        };
        self.peer.as_ref().is_none_or(|peer| peer.fits(row.peer.as_str())) && self.port.is_none_or(port)
    }

    /// What the rows of a device come to, of those that reach into this time; none if nothing was.
    #[must_use]
    pub fn among<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a FlowRow>,
        (since, until): (Timestamp, Timestamp),
    ) -> Option<Hit> {
        let is_within = |row: &&FlowRow| since <= row.end && row.start < until && self.fits(row);
        let mut hit: Option<Hit> = None;
        for row in rows.into_iter().filter(is_within) {
            hit.get_or_insert_with(|| Hit::none(row)).add(row);
        }
        hit
    }
}

/// As it is written into the audit log.
impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            None => f.write_str("any peer")?,
            Some(Peer::Address(address)) => write!(f, "{address}")?,
            Some(Peer::Network { address, bits }) => write!(f, "{address}/{bits}")?,
            Some(Peer::Name(name)) => f.write_str(name)?,
        }
        match self.port {
            None => Ok(()),
            Some(Port { number, protocol: None }) => write!(f, ", port {number}"),
            Some(Port { number, protocol: Some(protocol) }) => {
                write!(f, ", port {number}/{}", protocol.word())
            }
        }
    }
}

impl Peer {
    fn read(text: &str) -> Result<Self, SoughtError> {
        if let Ok(address) = IpAddr::from_str(text) {
            return Ok(Self::Address(address.to_canonical()));
        }
        if let Some((address, bits)) = text.split_once('/') {
            let refused = || SoughtError::Peer(shown(text));
            let address = IpAddr::from_str(address).map_err(|_| refused())?.to_canonical();
            let bits: u8 = bits.parse().map_err(|_| refused())?;
            let ([least, _], most) = lengths(address);
            return match bits {
                bits if bits > most => Err(refused()),
                bits if bits == most => Ok(Self::Address(address)),
                bits if bits < least => Err(SoughtError::Network(shown(text))),
                bits => Ok(Self::Network { address: masked(address, bits), bits }),
            };
        }
        let name = text.strip_prefix("*.").unwrap_or(text).trim_end_matches('.').to_ascii_lowercase();
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_name = !name.is_empty()
            && name.len() <= NAME_CHARS
            && name.chars().all(is_plain)
            && name.split('.').all(|label| !label.is_empty());
        if is_name { Ok(Self::Name(name)) } else { Err(SoughtError::Peer(shown(text))) }
    }

    /// The term that every row of this peer has.
    fn term(&self) -> u64 {
        match self {
            Self::Address(address) => digest(&["peer", &address.to_string()]),
            Self::Network { address, bits } => {
                let ([coarse, fine], _) = lengths(*address);
                network_term(*address, if *bits < fine { coarse } else { fine })
            }
            Self::Name(name) => match name.split('.').count() {
                ..=LABELS => digest(&["peer", name]),
                _ => digest(&["peer", below(name, LABELS)]),
            },
        }
    }

    fn fits(&self, peer: &str) -> bool {
        let address = || IpAddr::from_str(peer).map(|address| address.to_canonical()).ok();
        match self {
            Self::Address(sought) => address() == Some(*sought),
            Self::Network { address: sought, bits } => address().is_some_and(|address| {
                address.is_ipv4() == sought.is_ipv4() && masked(address, *bits) == *sought
            }),
            Self::Name(name) => {
                let peer = peer.trim_end_matches('.').to_ascii_lowercase();
                peer.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

impl Port {
    fn read(text: &str) -> Result<Self, SoughtError> {
        let refused = || SoughtError::Port(shown(text));
        let (number, protocol) = match text.split_once('/') {
            None => (text, None),
            Some((number, "tcp")) => (number, Some(Protocol::Tcp)),
            Some((number, "udp")) => (number, Some(Protocol::Udp)),
            Some(_) => return Err(refused()),
        };
        Ok(Self { number: number.parse().map_err(|_| refused())?, protocol })
    }
}

impl Hit {
    fn none(row: &FlowRow) -> Self {
        Self {
            connections: 0,
            bytes_out: 0,
            bytes_in: 0,
            first: row.start,
            last: row.end,
            peers: BTreeSet::new(),
            services: BTreeSet::new(),
            opened: false,
            accepted: false,
            is_new: false,
        }
    }

    fn add(&mut self, row: &FlowRow) {
        self.connections = self.connections.saturating_add(row.connections.into());
        self.bytes_out = self.bytes_out.saturating_add(row.bytes_out);
        self.bytes_in = self.bytes_in.saturating_add(row.bytes_in);
        self.first = self.first.min(row.start);
        self.last = self.last.max(row.end);
        self.is_new |= row.known == Some(false);
        match row.direction {
            Direction::Outbound => self.opened = true,
            Direction::Inbound => self.accepted = true,
        }
        listed(&mut self.peers, row.peer.to_string());
        if has_ports(row.protocol) {
            listed(&mut self.services, format!("{}/{}", row.port, row.protocol.word()));
        }
    }
}

/// Every term of a row: its peer, what the peer is part of, and its service.
pub(super) fn terms_of(row: &FlowRow) -> Vec<u64> {
    let mut terms = Vec::new();
    let peer = row.peer.as_str();
    if let Ok(address) = IpAddr::from_str(peer) {
        let address = address.to_canonical();
        terms.push(digest(&["peer", &address.to_string()]));
        terms.extend(lengths(address).0.map(|bits| network_term(address, bits)));
    } else {
        let name = peer.trim_end_matches('.').to_ascii_lowercase();
        terms.extend(
            (1..=name.split('.').count().min(LABELS)).map(|labels| digest(&["peer", below(&name, labels)])),
        );
    }
    if has_ports(row.protocol) {
        terms.push(service_term(row.port, row.protocol));
    }
    terms
}

fn service_term(port: u16, protocol: Protocol) -> u64 {
    digest(&["port", &port.to_string(), protocol.word()])
}

fn network_term(address: IpAddr, bits: u8) -> u64 {
    digest(&["peer", &masked(address, bits).to_string(), &bits.to_string()])
}

/// The last labels of a name.
fn below(name: &str, labels: usize) -> &str {
    let dot = name.rmatch_indices('.').nth(labels.saturating_sub(1));
    dot.and_then(|(at, _)| name.get(at.saturating_add(1)..)).unwrap_or(name)
}

/// The prefix lengths that addresses of its kind are indexed by, and the whole length.
fn lengths(address: IpAddr) -> ([u8; 2], u8) {
    match address {
        IpAddr::V4(_) => (V4, 32),
        IpAddr::V6(_) => (V6, 128),
    }
}

/// The first bits of an address, the rest zero.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

fn has_ports(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Tcp | Protocol::Udp => true,
        Protocol::Icmp => false,
    }
}

fn listed(set: &mut BTreeSet<String>, word: String) {
    if set.len() < LISTED {
        set.insert(word);
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
