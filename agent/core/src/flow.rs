//! Flows: what a capture sights, and the bounded table that turns sightings into connections with a beginning and an end.
//!
//! A [`Sighting`] is one look at one socket or packet. The [`table::FlowTable`] keeps at most `limits::FLOWS` live
//! flows however hard it is pressed. Direction follows the initiator and is never guessed from port numbers (that
//! guess costs two false alarms a device and day): the capture knows who listens. No payload exists here. Read next:
//! [`table`] for the bounds, [`crate::detect`] for what is made of flows.

pub mod table;

use alloc::sync::Arc;
use core::net::IpAddr;

use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::Millis;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port; 0 where the protocol has none.
    pub port: u16,
}

/// What makes two sightings one flow, seen from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Transport.
    pub protocol: Protocol,
    /// The device's end.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
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

/// What was sighted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A connection.
    Connection(Connection),
    /// A listening socket.
    Listener(Listener),
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
    /// The peer's name, where one is known.
    pub name: Option<Arc<str>>,
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

    /// Whether both ends are the device itself.
    #[must_use]
    pub fn stays_on_device(&self) -> bool {
        self.tuple.remote.address.is_loopback() || self.tuple.local.address == self.tuple.remote.address
    }
}
