//! The link layer: Ethernet with VLAN tags, Linux cooked captures, raw IP and loopback; and ARP, which stands beside IP.
//!
//! Formats: IEEE 802.3 and 802.1Q, RFC 826, and the link types of tcpdump.org (LINKTYPE_ETHERNET 1, RAW 101, LOOP 108,
//! LINUX_SLL 113, LINUX_SLL2 276, NULL 0). Read next: [`super::ip`].

use core::net::{IpAddr, Ipv4Addr};

use super::{Arp, Damage, Mac, Packet, What, head, ip, word};

/// VLAN tags that are looked past.
const TAGS: usize = 2;

/// How packets were captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// Linux cooked capture, version 1.
    Cooked1,
    /// Linux cooked capture, version 2.
    Cooked2,
    /// IP without anything before it.
    Raw,
    /// Loopback: four bytes of address family.
    Loopback,
    /// From the network header on, as the kernel hands packets that [`super::filter`] let through: IP or ARP.
    Bare,
}

impl Link {
    /// The link of a number in a capture file, if packets of it can be read.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Ethernet,
            113 => Self::Cooked1,
            276 => Self::Cooked2,
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            0 | 108 => Self::Loopback,
            _ => return None,
        })
    }
}

/// Reads one captured packet.
pub fn packet(link: Link, bytes: &[u8]) -> Result<Packet<'_>, Damage> {
    match link {
        Link::Ethernet => {
            let (head, rest) = head::<14>(bytes)?;
            let [to @ .., a, b, c, d, e, f, high, low] = *head;
            let macs = Some((Mac([a, b, c, d, e, f]), Mac(to)));
            Ok(Packet { macs, what: tagged(word(high, low), rest)? })
        }
        Link::Cooked1 => {
            let (head, rest) = head::<16>(bytes)?;
            Ok(Packet { macs: None, what: tagged(word(head[14], head[15]), rest)? })
        }
        Link::Cooked2 => {
            let (head, rest) = head::<20>(bytes)?;
            Ok(Packet { macs: None, what: tagged(word(head[0], head[1]), rest)? })
        }
        Link::Raw => Ok(Packet { macs: None, what: What::Ip(ip::datagram(bytes)?) }),
        Link::Loopback => {
            let (family, rest) = head::<4>(bytes)?;
            // In the byte order of the machine that captured: 2 is IPv4 everywhere; 10, 24, 28 and 30 are IPv6 somewhere.
            let is_ip = matches!(family, [2 | 10 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 2 | 10 | 24 | 28 | 30]);
            let what = if is_ip { What::Ip(ip::datagram(rest)?) } else { What::Other };
            Ok(Packet { macs: None, what })
        }
        // ARP begins with its hardware type, Ethernet is 1; no version of IP begins with four zero bits.
        Link::Bare => {
            let bare = bytes.first().is_some_and(|first| first >> 4 == 0);
            Ok(Packet { macs: None, what: tagged(if bare { 0x0806 } else { 0x0800 }, bytes)? })
        }
    }
}

/// What stands behind an EtherType, and behind the tags before it.
fn tagged(mut kind: u16, mut rest: &[u8]) -> Result<What<'_>, Damage> {
    for _ in 0..TAGS {
        if !matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
            break;
        }
        let (tag, behind) = head::<4>(rest)?;
        (kind, rest) = (word(tag[2], tag[3]), behind);
    }
    Ok(match kind {
        0x0800 | 0x86dd => What::Ip(ip::datagram(rest)?),
        0x0806 => arp(rest)?.map_or(What::Other, What::Arp),
        _ => What::Other,
    })
}

/// An ARP message; `None` for other hardware or protocols, and other operations than request and reply.
fn arp(bytes: &[u8]) -> Result<Option<Arp>, Damage> {
    let (head, rest) = head::<8>(bytes)?;
    let [0, 1, 8, 0, 6, 4, 0, operation @ (1 | 2)] = *head else { return Ok(None) };
    let (body, _) = super::head::<20>(rest)?;
    let [a, b, c, d, e, f, s0, s1, s2, s3, _, _, _, _, _, _, t0, t1, t2, t3] = *body;
    Ok(Some(Arp {
        reply: operation == 2,
        sender_mac: Mac([a, b, c, d, e, f]),
        sender: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        target: IpAddr::V4(Ipv4Addr::new(t0, t1, t2, t3)),
    }))
}
