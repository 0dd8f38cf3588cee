//! The detectors: each says what changed, why it matters, how sure it is and what to do, or says nothing.
//!
//! They compare flows and listening sockets with the learned profile. A detector never acts, never judges twice what is
//! already an open finding ([`ledger`]), and holds bounded state whatever the network does: all of it together at most
//! `limits::DETECTOR_BYTES`. While the profile learns they are silent. Read next: [`destination`] for the simplest one,
//! [`words`] for the rules of the sentences, [`crate::sensor`] for who calls them.

pub mod beacon;
pub mod destination;
pub mod ledger;
pub mod listener;
pub mod pressure;
pub mod words;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::Finding;
use cordon_proto::time::Millis;
use cordon_proto::wire::{self, WireError};
use minicbor::{Decode, Encode};

use crate::flow::{Flow, Listener};
use crate::profile::key::Key;
use crate::profile::{Learning, Profile};
use beacon::Beacons;
use ledger::Ledger;

/// What is kept across restarts: the profile, what was reported, and the networks that were noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Kept {
    #[n(0)]
    profile: Profile,
    #[n(1)]
    ledger: Ledger,
    #[n(2)]
    noticed: Vec<Key>,
}

/// All detectors of one device.
#[derive(Debug, Default)]
pub struct Detectors {
    kept: Kept,
    learning: Learning,
    beacons: Beacons,
}

impl Detectors {
    /// Detectors over a profile.
    #[must_use]
    pub fn new(profile: Profile, learning: Learning) -> Self {
        Self { kept: Kept { profile, ..Kept::default() }, learning, beacons: Beacons::default() }
    }

    /// Detectors as they were kept by [`Detectors::keep`].
    pub fn restore(bytes: &[u8], learning: Learning) -> Result<Self, WireError> {
        let kept: Kept = wire::read(bytes, limits::DETECTOR_KEPT_BYTES)?;
        if kept.noticed.len() > limits::OPEN_FINDINGS {
            return Err(WireError::TooMany { limit: limits::OPEN_FINDINGS });
        }
        let kept =
            Kept { profile: kept.profile.bounded()?, ledger: kept.ledger.bounded()?, noticed: kept.noticed };
        Ok(Self { kept, learning, beacons: Beacons::default() })
    }

    /// What must survive a restart, as bytes.
    #[must_use]
    pub fn keep(&self) -> Vec<u8> {
        wire::write(&self.kept)
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.kept.profile
    }

    /// Ends learning at once, for a device whose learning time was given from outside.
    pub fn freeze(&mut self, now: Millis) {
        self.kept.profile.freeze(now.seconds());
    }

    /// Takes the beginning of a flow: learns it, or looks at it. At most one finding of each detector.
    pub fn observe(&mut self, flow: &Flow, now: Millis) -> Vec<Finding> {
        if flow.stays_on_device() {
            return Vec::new();
        }
        let Kept { profile, ledger, noticed } = &mut self.kept;
        if profile.learns() {
            profile.learn(flow, now.seconds());
            return Vec::new();
        }
        let new = destination::observe(flow, (profile, noticed), ledger, now.seconds());
        let beacon = self.beacons.observe(flow, &self.kept.profile, &mut self.kept.ledger, now.seconds());
        new.into_iter().chain(beacon).collect()
    }

    /// Takes a listening socket that has appeared: learns it, or looks at it.
    pub fn listening(&mut self, listener: &Listener, now: Millis) -> Option<Finding> {
        let Kept { profile, ledger, .. } = &mut self.kept;
        if profile.learns() {
            profile.learn_listener(listener, now.seconds());
            return None;
        }
        listener::observe(listener, profile, ledger, now.seconds())
    }

    /// Takes the number of flows that a full table has given up since it was last told.
    pub fn pressed(&mut self, forced: u64, now: Millis) -> Option<Finding> {
        pressure::observe(forced, &mut self.kept.ledger, now.seconds())
    }

    /// Lets time pass; `true` if the profile was frozen now.
    pub fn pass(&mut self, now: Millis) -> bool {
        self.kept.profile.pass(now.seconds(), &self.learning)
    }

    /// Bytes of memory that all detectors hold together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let noticed: usize = self.kept.noticed.iter().map(|key| key.who.bytes()).sum();
        self.kept.profile.bytes()
            + self.kept.ledger.bytes()
            + self.kept.noticed.capacity() * size_of::<Key>()
            + noticed
            + self.beacons.bytes()
    }
}
