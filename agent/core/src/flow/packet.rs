//! From packets to sightings: which end is the device's, who opened the flow, what a packet says of it.
//!
//! Who opened a TCP connection is known from its handshake and who opened an ICMP exchange from its question. Only where
//! the beginning was not seen, and for UDP, is the end behind a well-known port taken for the one that was called. Read
//! next: [`super::table`] for what becomes of sightings.

use core::net::IpAddr;

use cordon_proto::telemetry::{Direction, Protocol};

use super::{Connection, Counted, Endpoint, Phase, Traffic, Tuple};
use crate::dissect::flags::{ACK, SYN};
use crate::dissect::{Carries, Datagram, Icmp, Undelivered};

/// A packet's place in a flow, before it is known which end is the device's.
struct Sent {
    protocol: Protocol,
    from: Endpoint,
    to: Endpoint,
    /// Whether the sender opened the flow.
    opens: bool,
    flags: Option<u8>,
}

/// The sighting that an IP packet is; `None` where neither end is a device, or it belongs to no flow. `is_device` says of
/// an address whether it may be one.
pub fn connection(packet: &Datagram<'_>, is_device: impl Fn(IpAddr) -> bool) -> Option<Connection> {
    let sent = match packet.carries {
        Carries::Tcp { ports, flags, .. } => {
            let opens = match flags & (SYN | ACK) {
                SYN => true,
                both if both == SYN | ACK => false,
                _ => opens_by_port(ports),
            };
            sent(packet, Protocol::Tcp, ports, opens).with(flags)
        }
        Carries::Udp { ports, .. } => sent(packet, Protocol::Udp, ports, opens_by_port(ports)),
        Carries::Icmp(Icmp::Exchange { kinds: (own, other), answers }) => {
            sent(packet, Protocol::Icmp, (u16::from(own), u16::from(other)), !answers)
        }
        Carries::Icmp(Icmp::OneWay(kind, code)) => {
            sent(packet, Protocol::Icmp, (u16::from(kind), u16::from(code)), true)
        }
        Carries::Icmp(Icmp::Undelivered(undelivered)) => return not_arrived(&undelivered, is_device),
        Carries::Icmp(Icmp::Neighbour { .. } | Icmp::Upkeep) | Carries::Fragment | Carries::Other(_) => {
            return None;
        }
    };
    let (tuple, from_local) = oriented((sent.protocol, sent.from, sent.to), is_device)?;
    let traffic = match from_local {
        true => Traffic { packets_out: 1, bytes_out: u64::from(packet.bytes), ..Traffic::default() },
        false => Traffic { packets_in: 1, bytes_in: u64::from(packet.bytes), ..Traffic::default() },
    };
    Some(Connection {
        tuple,
        direction: if sent.opens == from_local { Direction::Outbound } else { Direction::Inbound },
        phase: match sent.flags {
            Some(flags) => Phase::Segment { from_local, flags },
            None => Phase::Datagram { from_local },
        },
        counted: Counted::Added(traffic),
        name: None,
    })
}

impl Sent {
    fn with(self, flags: u8) -> Self {
        Self { flags: Some(flags), ..self }
    }
}

fn sent(packet: &Datagram<'_>, protocol: Protocol, (from, to): (u16, u16), opens: bool) -> Sent {
    Sent {
        protocol,
        from: Endpoint { address: packet.source, port: from },
        to: Endpoint { address: packet.destination, port: to },
        opens,
        flags: None,
    }
}

/// Whether the sender is taken for the one who opened: it is not the one behind a well-known port.
fn opens_by_port((from, to): (u16, u16)) -> bool {
    from >= 1024 || to < 1024
}

/// The device's end as `local`, and whether it sent. Of two devices the lower end is `local`, whichever sent.
pub fn oriented(
    (protocol, from, to): (Protocol, Endpoint, Endpoint),
    is_device: impl Fn(IpAddr) -> bool,
) -> Option<(Tuple, bool)> {
    let from_local = match (is_device(from.address), is_device(to.address)) {
        (false, false) => return None,
        (true, false) => true,
        (false, true) => false,
        (true, true) => from <= to,
    };
    let (local, remote) = if from_local { (from, to) } else { (to, from) };
    Some((Tuple { protocol, local, remote }, from_local))
}

fn not_arrived(packet: &Undelivered, is_device: impl Fn(IpAddr) -> bool) -> Option<Connection> {
    let end = |(address, port)| Endpoint { address, port };
    let ends = (packet.protocol, end(packet.source), end(packet.destination));
    let (tuple, from_local) = oriented(ends, is_device)?;
    Some(Connection {
        tuple,
        direction: if from_local { Direction::Outbound } else { Direction::Inbound },
        phase: Phase::Undelivered,
        counted: Counted::Unknown,
        name: None,
    })
}
