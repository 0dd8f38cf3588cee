//! Dissectors: what the headers of a captured packet say, and nothing of what it carries.
//!
//! Pure readers of hostile bytes: each takes a slice, reads a bounded part of it, keeps nothing and allocates nothing. Of
//! payload only three kinds are ever looked at, DNS questions and answers, the message type and hardware address of DHCP,
//! and the server's name in a TLS ClientHello; HL7, DICOM and all the rest stay unread. What is cut off or contradicts
//! itself is [`Damage`], never a guess. Read next: [`link`], then [`ip`]; what is made of packets: [`crate::flow::packet`].

pub mod dhcp;
pub mod dns;
pub mod filter;
pub mod ip;
pub mod link;
pub mod tls;

#[cfg(test)]
mod tests;

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use cordon_proto::telemetry::Protocol;

/// A hardware address (EUI-48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// A text is no hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hardware address is written as six pairs of hexadecimal digits, such as 00:1b:44:11:3a:b7")]
pub struct NotAMac;

/// Why a packet cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It ends within a header.
    #[error("the packet ends within a header")]
    Cut,
    /// Its headers contradict themselves.
    #[error("the packet's headers contradict themselves")]
    Malformed,
}

/// One packet, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Hardware addresses of sender and receiver, where the link has both.
    pub macs: Option<(Mac, Mac)>,
    /// What it is.
    pub what: What<'a>,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// An ARP message for IPv4 over Ethernet (RFC 826).
    Arp(Arp),
    /// An IP packet.
    Ip(Datagram<'a>),
    /// Something else on the wire.
    Other,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Whether it answers.
    pub reply: bool,
    /// The hardware address that the sender claims.
    pub sender_mac: Mac,
    /// The address that the sender claims to have.
    pub sender: IpAddr,
    /// The address that is asked for, or that is answered.
    pub target: IpAddr,
}

/// An IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// From.
    pub source: IpAddr,
    /// To.
    pub destination: IpAddr,
    /// Bytes of the whole IP packet, as its header says.
    pub bytes: u32,
    /// What it carries.
    pub carries: Carries<'a>,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries<'a> {
    /// A TCP segment.
    Tcp {
        /// Ports of sender and receiver.
        ports: (u16, u16),
        /// Its flags, see [`flags`].
        flags: u8,
        /// As much of its payload as was captured.
        payload: &'a [u8],
    },
    /// A UDP datagram.
    Udp {
        /// Ports of sender and receiver.
        ports: (u16, u16),
        /// As much of its payload as was captured.
        payload: &'a [u8],
    },
    /// An ICMP or ICMPv6 message.
    Icmp(Icmp),
    /// A later fragment, which has no ports.
    Fragment,
    /// Another protocol.
    Other(u8),
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// A question or an answer of two sides. `kinds` are its own type and that of its counterpart.
    Exchange {
        /// The type as it stands in the message, and the type that answers it or that it answers.
        kinds: (u8, u8),
        /// Whether it is the answer.
        answers: bool,
    },
    /// A message that nothing answers: type and code.
    OneWay(u8, u8),
    /// Word that another packet did not arrive.
    Undelivered(Undelivered),
    /// Claims that an address has a hardware address (neighbour advertisement, RFC 4861).
    Neighbour {
        /// The address.
        target: IpAddr,
        /// Its hardware address.
        mac: Mac,
    },
    /// Upkeep of the link, which is nobody's connection.
    Upkeep,
}

/// The packet that did not arrive, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Transport.
    pub protocol: Protocol,
    /// Who had sent it.
    pub source: (IpAddr, u16),
    /// Whom it was for.
    pub destination: (IpAddr, u16),
}

/// The flags of TCP (RFC 9293, 3.1).
pub mod flags {
    /// Ends.
    pub const FIN: u8 = 0x01;
    /// Begins.
    pub const SYN: u8 = 0x02;
    /// Breaks off.
    pub const RST: u8 = 0x04;
    /// Pushes.
    pub const PSH: u8 = 0x08;
    /// Acknowledges.
    pub const ACK: u8 = 0x10;
    /// Urgent.
    pub const URG: u8 = 0x20;
}

impl Mac {
    /// Whether it names one station: not a group, not nobody.
    #[must_use]
    pub fn is_station(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut bytes = [0; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            let pair =
                pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(NotAMac)?;
        }
        if pairs.next().is_some() { Err(NotAMac) } else { Ok(Self(bytes)) }
    }
}

/// The first `N` bytes and the rest.
fn head<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Damage> {
    bytes.split_first_chunk().ok_or(Damage::Cut)
}

fn word(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}
