//! The internet layer and what stands on it: IPv4, IPv6 with its extension headers, TCP, UDP, ICMP and ICMPv6.
//!
//! RFC 791, 8200, 9293, 768, 792, 4443, 4861. A packet of which only the headers were captured is whole; what is behind
//! the length that the header states (Ethernet's padding) is not read. Of fragments only the first has ports.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cordon_proto::limits;
use cordon_proto::telemetry::Protocol;

use super::{Carries, Damage, Datagram, Icmp, Mac, Undelivered, head, word};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

/// An IP packet of either version.
pub fn datagram(bytes: &[u8]) -> Result<Datagram<'_>, Damage> {
    let (header, payload) = header(bytes)?;
    let carries = match (header.fragment, header.protocol) {
        (true, _) => Carries::Fragment,
        (false, TCP) => tcp(payload)?,
        (false, UDP) => {
            let (head, payload) = head::<8>(payload)?;
            Carries::Udp { ports: ports(head), payload }
        }
        (false, ICMP) => Carries::Icmp(icmp(payload)?),
        (false, ICMP6) => Carries::Icmp(icmp6(payload)?),
        (false, other) => Carries::Other(other),
    };
    Ok(Datagram { source: header.source, destination: header.destination, bytes: header.bytes, carries })
}

struct Header {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// A fragment that is not the first.
    fragment: bool,
    bytes: u32,
}

fn header(bytes: &[u8]) -> Result<(Header, &[u8]), Damage> {
    match bytes.first().ok_or(Damage::Cut)? >> 4 {
        4 => header4(bytes),
        6 => header6(bytes),
        _ => Err(Damage::Malformed),
    }
}

fn header4(bytes: &[u8]) -> Result<(Header, &[u8]), Damage> {
    let (head, _) = head::<20>(bytes)?;
    let length = usize::from(head[0] & 0x0f) * 4;
    let stated = usize::from(word(head[2], head[3]));
    // Zero where the sender's network card cuts large sends into packets itself.
    let whole = if stated == 0 { bytes.len() } else { stated };
    if length < 20 || whole < length {
        return Err(Damage::Malformed);
    }
    let inside = bytes.get(..whole).unwrap_or(bytes);
    let header = Header {
        source: IpAddr::V4(Ipv4Addr::new(head[12], head[13], head[14], head[15])),
        destination: IpAddr::V4(Ipv4Addr::new(head[16], head[17], head[18], head[19])),
        protocol: head[9],
        fragment: word(head[6], head[7]) & 0x1fff != 0,
        bytes: u32::try_from(whole).unwrap_or(u32::MAX),
    };
    Ok((header, inside.get(length..).ok_or(Damage::Cut)?))
}

fn header6(bytes: &[u8]) -> Result<(Header, &[u8]), Damage> {
    let (head, rest) = head::<40>(bytes)?;
    let stated = usize::from(word(head[4], head[5]));
    let behind = if stated == 0 { rest.len() } else { stated };
    let mut inside = rest.get(..behind).unwrap_or(rest);
    let (mut protocol, mut fragment) = (head[6], false);
    for _ in 0..limits::IPV6_EXTENSIONS {
        // Length in units of eight bytes beyond the first eight; in four beyond two for authentication (RFC 4302).
        let skip = match (protocol, inside) {
            (0 | 43 | 60 | 135 | 139 | 140, [_, length, ..]) => usize::from(*length) * 8 + 8,
            (44, [_, _, high, low, ..]) => {
                fragment |= word(*high, *low) & 0xfff8 != 0;
                8
            }
            (51, [_, length, ..]) => usize::from(*length) * 4 + 8,
            (0 | 43 | 44 | 51 | 60 | 135 | 139 | 140, _) => return Err(Damage::Cut),
            _ => break,
        };
        protocol = inside.first().copied().ok_or(Damage::Cut)?;
        inside = inside.get(skip..).ok_or(Damage::Cut)?;
    }
    let (_, addresses) = super::head::<8>(head)?;
    let (source, destination) = super::head::<16>(addresses)?;
    let (destination, _) = super::head::<16>(destination)?;
    let header = Header {
        source: IpAddr::V6(Ipv6Addr::from(*source)),
        destination: IpAddr::V6(Ipv6Addr::from(*destination)),
        protocol,
        fragment,
        bytes: u32::try_from(behind.saturating_add(40)).unwrap_or(u32::MAX),
    };
    Ok((header, inside))
}

fn tcp(bytes: &[u8]) -> Result<Carries<'_>, Damage> {
    let (head, _) = head::<14>(bytes)?;
    let length = usize::from(head[12] >> 4) * 4;
    if length < 20 {
        return Err(Damage::Malformed);
    }
    let payload = bytes.get(length..).unwrap_or_default();
    let ports = (word(head[0], head[1]), word(head[2], head[3]));
    Ok(Carries::Tcp { ports, flags: head[13] & 0x3f, payload })
}

fn ports(head: &[u8; 8]) -> (u16, u16) {
    (word(head[0], head[1]), word(head[2], head[3]))
}

fn icmp(bytes: &[u8]) -> Result<Icmp, Damage> {
    let (head, rest) = head::<2>(bytes)?;
    let [kind, code] = *head;
    let exchange = |other, answers| Icmp::Exchange { kinds: (kind, other), answers };
    Ok(match kind {
        8 => exchange(0, false),
        0 => exchange(8, true),
        13 => exchange(14, false),
        14 => exchange(13, true),
        15 => exchange(16, false),
        16 => exchange(15, true),
        17 => exchange(18, false),
        18 => exchange(17, true),
        10 => exchange(9, false),
        9 => exchange(10, true),
        3 | 11 => undelivered(rest).map_or(Icmp::OneWay(kind, code), Icmp::Undelivered),
        _ => Icmp::OneWay(kind, code),
    })
}

fn icmp6(bytes: &[u8]) -> Result<Icmp, Damage> {
    let (head, rest) = head::<2>(bytes)?;
    let [kind, code] = *head;
    Ok(match kind {
        128 => Icmp::Exchange { kinds: (128, 129), answers: false },
        129 => Icmp::Exchange { kinds: (129, 128), answers: true },
        1 | 3 => undelivered(rest).map_or(Icmp::OneWay(kind, code), Icmp::Undelivered),
        136 => neighbour(rest).unwrap_or(Icmp::Upkeep),
        130..=135 | 137 | 143 => Icmp::Upkeep,
        _ => Icmp::OneWay(kind, code),
    })
}

/// The packet inside an error, from behind the type and code of the error.
fn undelivered(bytes: &[u8]) -> Option<Undelivered> {
    let (header, payload) = header(bytes.get(6..)?).ok()?;
    let (ports, _) = payload.split_first_chunk::<4>()?;
    let (from, to) = (word(ports[0], ports[1]), word(ports[2], ports[3]));
    let protocol = match header.protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => return None,
    };
    let whole = !header.fragment;
    let (source, destination) = ((header.source, from), (header.destination, to));
    whole.then_some(Undelivered { protocol, source, destination })
}

/// A neighbour advertisement with the option that names the target's hardware address (RFC 4861, 4.4 and 4.6.1).
fn neighbour(bytes: &[u8]) -> Option<Icmp> {
    let (target, options) = bytes.get(6..)?.split_first_chunk::<16>()?;
    let mac = match options {
        [2, 1, a, b, c, d, e, f, ..] => Mac([*a, *b, *c, *d, *e, *f]),
        _ => return None,
    };
    Some(Icmp::Neighbour { target: IpAddr::V6(Ipv6Addr::from(*target)), mac })
}
