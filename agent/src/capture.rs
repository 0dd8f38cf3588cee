//! Captures: what looks at the network and hands sightings to the sensor.
//!
//! The port is [`Capture`]. Behind it stand [`tier0::Tier0`] (sockets of the real machine, without any privilege) and
//! [`fed::Fed`] (generated or recorded sightings). A capture maps and decides nothing, reads no payload, and says
//! truthfully how much it sees: a blind sensor must never look like a quiet device. Read next: [`tier0`].

pub mod diag;
pub mod fed;
pub mod procnet;
pub mod program;
pub mod sockets;
pub mod tier0;

use cordon_agent_core::flow::Sighting;
use cordon_proto::ids::Text;
use cordon_proto::telemetry::SensorChange;
use cordon_proto::time::Millis;

/// Something that looks at the network.
pub trait Capture: Send {
    /// Looks once, appending what was sighted. Never waits for the network. Trouble shows in [`Capture::sight`].
    fn poll(&mut self, now: Millis, seen: &mut Vec<Sighting>);

    /// How much it sees now.
    fn sight(&self) -> &Sight;
}

/// How much a capture sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// 0: connections without privilege; `None`: blind.
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
