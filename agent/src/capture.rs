//! Captures: what looks at the network and hands sightings to the sensor.
//!
//! The port is [`Capture`]. Behind it stand [`tier0::Tier0`] (sockets of the real machine, without any privilege),
//! [`tier1::Tier1`] (the same and headers of packets, where that is permitted) and [`fed::Fed`] (generated or recorded
//! sightings). A capture maps and decides nothing, reads no payload, and says truthfully how much it sees: a blind sensor
//! must never look like a quiet device. Read next: [`tier0`], [`tier1`].

pub mod diag;
pub mod fed;
pub mod hearing;
pub mod losses;
mod means;
pub mod packets;
pub mod procnet;
pub mod program;
pub mod sockets;
pub mod tier0;
pub mod tier1;

use std::net::IpAddr;
use std::sync::Arc;

use cordon_agent_core::flow::Sighting;
use cordon_proto::ids::Text;
use cordon_proto::telemetry::SensorChange;
use cordon_proto::time::Millis;
use tokio::sync::Notify;

/// Something that looks at the network.
pub trait Capture: Send {
    /// Looks once, appending what was sighted. Never waits for the network. Trouble shows in [`Capture::sight`].
    fn poll(&mut self, now: Millis, seen: &mut Vec<Sighting>);

    /// How much it sees now.
    fn sight(&self) -> &Sight;

    /// Hands over what was caught of packets, all of it older than what the last `poll` sighted: take it first.
    fn caught(&mut self, _take: &mut dyn FnMut(Caught<'_>)) {}

    /// Who calls when so many packets wait that they should be taken before the next `poll`.
    fn hurry(&self) -> Option<Arc<Notify>> {
        None
    }
}

/// What was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught<'a> {
    /// The addresses that the device has from now on; none while no packets are caught.
    Home(&'a [IpAddr]),
    /// A packet from its network header on, as the filter let it through, and when.
    Packet(&'a [u8], Millis),
}

/// How much a capture sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// 0: connections without privilege; 1: packets as well; `None`: blind.
    pub tier: Option<u8>,
    /// By what means, why not by better ones, or why nothing is seen.
    pub note: String,
}

impl Sight {
    /// The change to report, if this differs from what was reported before.
    #[must_use]
    pub fn change_from(&self, before: Option<&Self>) -> Option<SensorChange> {
        let changed = before != Some(self);
        changed.then(|| SensorChange { tier: self.tier, reason: Text::lossy(&self.note) })
    }
}
