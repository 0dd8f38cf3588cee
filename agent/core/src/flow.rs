//! Flows: what a capture sights, and the bounded table that turns sightings into connections with a beginning and an end.
//!
//! A [`Sighting`] is one look at one socket or packet. The [`table::FlowTable`] keeps at most `limits::FLOWS` live
//! flows however hard it is pressed. Direction follows the initiator and is never guessed from port numbers (that
//! guess costs two false alarms a device and day): the capture knows who listens. No payload exists here. Read next:
//! [`table`] for the bounds, [`crate::detect`] for what is made of flows.

pub mod community;
pub mod names;
pub mod packet;
pub mod table;

use alloc::sync::Arc;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::Millis;

use crate::dissect::Mac;
use crate::dissect::flags::{ACK, RST, SYN};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port; 0 where the protocol has none.
    pub port: u16,
}

/// What makes two sightings one flow, seen from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// Transport.
    pub protocol: Protocol,
    /// The device's end.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
}

impl Tuple {
    /// The same connection seen from its other end.
    #[must_use]
    pub fn flipped(self) -> Self {
        Self { protocol: self.protocol, local: self.remote, remote: self.local }
    }
}

/// In one write: a keyed hash of many small ones costs several times as much, for every packet. Of two IPv4 ends, which
/// nearly all traffic has, it is short.
impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ([a, b], [c, d]) = (self.local.port.to_be_bytes(), self.remote.port.to_be_bytes());
        let protocol = match self.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Icmp => 1,
        };
        if let (IpAddr::V4(local), IpAddr::V4(remote)) = (self.local.address, self.remote.address) {
            let ([e, f, g, h], [i, j, k, l]) = (local.octets(), remote.octets());
            state.write(&[e, f, g, h, i, j, k, l, a, b, c, d, protocol, 0, 0, 0]);
            return;
        }
        let wide = |address| match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let mut bytes = [0; 40];
        let (local, rest) = bytes.split_at_mut(16);
        let (remote, ports) = rest.split_at_mut(16);
        local.copy_from_slice(&wide(self.local.address));
        remote.copy_from_slice(&wide(self.remote.address));
        ports.copy_from_slice(&[a, b, c, d, protocol, 0, 0, 0]);
        state.write(&bytes);
    }
}

/// How a flow is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Begun, not answered yet; for UDP and ICMP, nothing more is ever known.
    New,
    /// The handshake is done.
    Established,
    /// Ended in order.
    Closed,
    /// Broken off.
    Reset,
    /// The peer said no, or nothing, to the handshake.
    Refused,
    /// Not seen any more, or pushed out of a full table.
    Expired,
}

impl State {
    /// The word of `observe` and of the console.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn ended(self) -> bool {
        match self {
            Self::New | Self::Established => false,
            Self::Closed | Self::Reset | Self::Refused | Self::Expired => true,
        }
    }
}

/// Packets and bytes of a flow, from the device (`out`) and to it (`in`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets from the device.
    pub packets_out: u32,
    /// Bytes from the device.
    pub bytes_out: u64,
    /// Packets to the device.
    pub packets_in: u32,
    /// Bytes to the device.
    pub bytes_in: u64,
}

impl Traffic {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            packets_out: self.packets_out.saturating_add(more.packets_out),
            bytes_out: self.bytes_out.saturating_add(more.bytes_out),
            packets_in: self.packets_in.saturating_add(more.packets_in),
            bytes_in: self.bytes_in.saturating_add(more.bytes_in),
        }
    }

    /// The larger of both, figure by figure: running totals never fall.
    #[must_use]
    pub fn at_least(self, total: Self) -> Self {
        Self {
            packets_out: self.packets_out.max(total.packets_out),
            bytes_out: self.bytes_out.max(total.bytes_out),
            packets_in: self.packets_in.max(total.packets_in),
            bytes_in: self.bytes_in.max(total.bytes_in),
        }
    }

    /// The same seen from the other end.
    #[must_use]
    pub fn turned(self) -> Self {
        Self {
            packets_out: self.packets_in,
            bytes_out: self.bytes_in,
            packets_in: self.packets_out,
            bytes_in: self.bytes_out,
        }
    }

    /// What this has above `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            packets_out: self.packets_out.saturating_sub(earlier.packets_out),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            packets_in: self.packets_in.saturating_sub(earlier.packets_in),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
        }
    }
}

/// How a sighting counts its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The connection's totals so far, as a socket knows them.
    Total(Traffic),
    /// What came with this sighting, as a packet shows it.
    Added(Traffic),
    /// Nothing is known.
    Unknown,
}

/// The stage in which a connection was sighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The handshake has begun, or the protocol has none.
    Opening,
    /// Open.
    Open,
    /// Over, with its last figures.
    Over(State),
    /// A remnant of an ended connection (`TIME_WAIT`): news only if the connection itself was never sighted.
    Lingering,
    /// A TCP segment with these flags ([`crate::dissect::flags`]).
    Segment {
        /// Whether the local end sent it.
        from_local: bool,
        /// Its flags.
        flags: u8,
    },
    /// A packet of a protocol without connections.
    Datagram {
        /// Whether the local end sent it.
        from_local: bool,
    },
    /// Word that a packet of the connection did not arrive; no news where the connection was never sighted.
    Undelivered,
    /// A TCP segment with these flags, on the device whose sockets are looked at as well: what the connection carries and
    /// how it ends is the socket's to tell, so that nothing is counted twice.
    Beside {
        /// Whether the local end sent it.
        from_local: bool,
        /// Its flags.
        flags: u8,
    },
}

impl Phase {
    /// Whether a connection begins, or has begun, with this: on the ports of one that has ended, a new one.
    #[must_use]
    pub fn opens(self) -> bool {
        match self {
            Self::Opening | Self::Open | Self::Datagram { .. } => true,
            Self::Segment { flags, .. } | Self::Beside { flags, .. } => flags & (SYN | ACK) == SYN,
            Self::Over(_) | Self::Lingering | Self::Undelivered => false,
        }
    }

    /// Whether a connection that was never sighted is news in this phase. Of a segment beside a socket only a handshake or
    /// a probe is: what else has a socket is told by it, with its direction.
    #[must_use]
    pub fn is_news(self) -> bool {
        match self {
            Self::Undelivered => false,
            Self::Beside { flags, .. } => flags & (ACK | RST) == 0,
            Self::Opening
            | Self::Open
            | Self::Over(_)
            | Self::Lingering
            | Self::Segment { .. }
            | Self::Datagram { .. } => true,
        }
    }
}

/// One sighting of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Which.
    pub tuple: Tuple,
    /// Who opened it.
    pub direction: Direction,
    /// In which stage.
    pub phase: Phase,
    /// Its traffic.
    pub counted: Counted,
    /// The peer's name, where the capture has seen one.
    pub name: Option<Arc<str>>,
}

impl Connection {
    /// The same on the device whose sockets are looked at as well. Only TCP's sockets count.
    #[must_use]
    pub fn beside_its_socket(self) -> Self {
        match self.phase {
            Phase::Segment { from_local, flags } => {
                Self { phase: Phase::Beside { from_local, flags }, counted: Counted::Unknown, ..self }
            }
            Phase::Opening
            | Phase::Open
            | Phase::Over(_)
            | Phase::Lingering
            | Phase::Datagram { .. }
            | Phase::Undelivered
            | Phase::Beside { .. } => self,
        }
    }
}

/// One sighting of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Transport.
    pub protocol: Protocol,
    /// Where it listens; the unspecified address for everywhere.
    pub local: Endpoint,
    /// The program behind it, where the capture may know.
    pub program: Option<Arc<str>>,
}

/// Somebody's claim that an address has a hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The hardware address that is claimed for it.
    pub mac: Mac,
    /// Whom it was said to, where to one alone.
    pub told: Option<IpAddr>,
}

/// What was sighted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A connection.
    Connection(Connection),
    /// A listening socket.
    Listener(Listener),
    /// A neighbour and its hardware address.
    Neighbour(Claim),
}

/// One look at one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at: Millis,
    /// What.
    pub seen: Seen,
}

/// A flow as detectors, reports and `observe` see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Which.
    pub tuple: Tuple,
    /// Who opened it.
    pub direction: Direction,
    /// First sighting.
    pub start: Millis,
    /// Last sighting.
    pub end: Millis,
    /// How it is, or how it ended.
    pub state: State,
    /// Its traffic since it was last reported.
    pub traffic: Traffic,
    /// Its traffic since it began.
    pub total: Traffic,
    /// Whether the peer, or the device where the peer opened it, has said anything to it.
    pub answered: bool,
    /// The peer's name, where one was known when it began.
    pub name: Option<Arc<str>>,
    /// The name that the one who opened it asked for later: what it says, proof of nothing.
    pub asked_for: Option<Arc<str>>,
}

impl Flow {
    /// The service's port: the peer's when outbound, the device's own when inbound.
    #[must_use]
    pub fn service_port(&self) -> u16 {
        match self.direction {
            Direction::Outbound => self.tuple.remote.port,
            Direction::Inbound => self.tuple.local.port,
        }
    }

    /// The same flow seen from its other end.
    #[must_use]
    pub fn flipped(&self) -> Self {
        Self {
            tuple: self.tuple.flipped(),
            direction: self.direction.turned(),
            traffic: self.traffic.turned(),
            total: self.total.turned(),
            ..self.clone()
        }
    }

    /// Whether both ends are the device itself.
    #[must_use]
    pub fn stays_on_device(&self) -> bool {
        self.tuple.remote.address.is_loopback() || self.tuple.local.address == self.tuple.remote.address
    }
}
