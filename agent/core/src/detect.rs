//! The detectors: each says what changed, why it matters, how sure it is and what to do, or says nothing.
//!
//! Some compare flows and listening sockets with the learned profile and are silent while it learns; the others know an
//! attack by its form and need none. A detector never acts, never judges twice what is already an open finding
//! ([`ledger`]), and holds bounded state whatever the network does: all of it together at most `limits::DETECTOR_BYTES`.
//! Read next: [`destination`] for the simplest one that compares, [`identity`] for the simplest of the others, [`words`]
//! for the rules of the sentences, [`crate::sensor`] for who calls them.

pub mod beacon;
pub mod brute_force;
pub mod destination;
pub mod flood;
pub mod identity;
pub mod lease;
pub mod ledger;
pub mod listener;
pub mod pressure;
pub mod scan;
pub mod tunnel;
pub mod usage;
pub mod volume;
pub mod words;

#[cfg(test)]
pub(crate) mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::mud::Usage;
use cordon_proto::telemetry::{Direction, Finding};
use cordon_proto::time::Millis;
use cordon_proto::update::content;
use cordon_proto::wire::{self, WireError};
use minicbor::{Decode, Encode};

use crate::dissect::dhcp;
use crate::flow::{Flow, Listener};
use crate::neighbour;
use crate::profile::key::Key;
use crate::profile::{Knowledge, Learning, Profile};
use crate::signs::rewrite::Watched;
use crate::signs::{Look, Signs};
use beacon::Beacons;
use brute_force::Logins;
use core::net::IpAddr;
use flood::Floods;
use lease::Leases;
use ledger::Ledger;
use scan::Scans;
use tunnel::Tunnels;
use usage::Described;
use volume::{Usual, Volumes};

/// What is kept across restarts: the profile, what was reported, the networks that were noticed, and what is usual beside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Kept {
    #[n(0)]
    profile: Profile,
    #[n(1)]
    ledger: Ledger,
    #[n(2)]
    noticed: Vec<Key>,
    /// Signs at the machine itself.
    #[n(3)]
    #[cbor(default)]
    signs: Signs,
    /// Usual volumes.
    #[n(4)]
    #[cbor(default)]
    usual: Usual,
    /// Usual servers of DHCP.
    #[n(5)]
    #[cbor(default)]
    servers: Vec<u32>,
}

/// When the detectors speak. The owner's content may set each, within the limits page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Starts below which a rhythm is not reported.
    pub beacon_starts: usize,
    /// Score, in thousandths, from which a rhythm of many starts is reported.
    pub beacon_score: u32,
    /// Networks on one service from which on a further one is no news by itself.
    pub wide_networks: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            beacon_starts: beacon::LEAST_STARTS,
            beacon_score: beacon::USUAL_SCORE,
            wide_networks: limits::WIDE_SERVICE_NETWORKS,
        }
    }
}

impl Thresholds {
    /// Those that a content sets, and the usual ones where it sets none. A number of starts that an hourly beacon would
    /// never reach is cut.
    #[must_use]
    pub fn of(content: &content::Detectors) -> Self {
        let usual = Self::default();
        let count = |set: Option<u32>, usual| set.and_then(|set| usize::try_from(set).ok()).unwrap_or(usual);
        let starts = content.beacon_starts.map(|starts| starts.min(limits::CONTENT_BEACON_STARTS_MOST));
        Self {
            beacon_starts: count(starts, usual.beacon_starts),
            beacon_score: content.beacon_score.unwrap_or(usual.beacon_score),
            wide_networks: count(content.wide_networks, usual.wide_networks),
        }
    }
}

/// All detectors of one device.
#[derive(Debug, Default)]
pub struct Detectors {
    kept: Kept,
    learning: Learning,
    /// There is no profile to compare with, and none is learned.
    without_profile: bool,
    beacons: Beacons,
    scans: Scans,
    logins: Logins,
    tunnels: Tunnels,
    floods: Floods,
    leases: Leases,
    volumes: Volumes,
    files: Watched,
    thresholds: Thresholds,
    /// What the maker describes, where a description is at hand, and since when names of peers are seen.
    usage: Option<Arc<Usage>>,
    names_since: Option<Millis>,
    /// Of the device itself: whether its packets are seen beside its sockets.
    beside: Option<bool>,
}

impl Detectors {
    /// Detectors over a profile.
    #[must_use]
    pub fn new(profile: Profile, learning: Learning) -> Self {
        Self { kept: Kept { profile, ..Kept::default() }, learning, ..Self::default() }
    }

    /// Detectors of a device of which nothing is learned: those that need a profile are off.
    #[must_use]
    pub fn without_profile() -> Self {
        Self { without_profile: true, ..Self::default() }
    }

    /// Detectors as they were kept by [`Detectors::keep`].
    pub fn restore(bytes: &[u8], learning: Learning) -> Result<Self, WireError> {
        let kept: Kept = wire::read(bytes, limits::DETECTOR_KEPT_BYTES)?;
        if kept.noticed.len() > limits::OPEN_FINDINGS || kept.servers.len() > limits::DHCP_SERVERS {
            return Err(WireError::TooMany { limit: limits::OPEN_FINDINGS });
        }
        let kept = Kept {
            profile: kept.profile.bounded()?,
            ledger: kept.ledger.bounded()?,
            signs: kept.signs.bounded()?,
            usual: kept.usual.bounded()?,
            ..kept
        };
        Ok(Self { kept, learning, ..Self::default() })
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

    /// Whether there is a profile to compare with, or one is learned.
    #[must_use]
    pub fn compares(&self) -> bool {
        !self.without_profile
    }

    /// From now on they speak from these thresholds on.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// From now on flows are held against what the maker describes.
    pub fn set_usage(&mut self, usage: Option<Arc<Usage>>) {
        self.usage = usage;
    }

    /// An answer of DNS was seen: some time after the first one, a peer without a name has none.
    pub fn names_are_seen(&mut self, now: Millis) {
        self.names_since.get_or_insert(now);
    }

    /// These are of the device itself, whose packets are seen from now on beside its sockets, or are not.
    pub fn packets_are_seen(&mut self, seen: bool, now: Millis) {
        self.beside = Some(seen);
        if seen {
            self.kept.profile.hears_packets(now.seconds());
        } else {
            self.names_since = None;
        }
    }

    /// Whether the profile could hold a flow, by the means by which it was learned and those by which the flow is seen.
    fn can_tell(&self, flow: &Flow, now: Millis) -> bool {
        match self.beside {
            None => true,
            Some(seen) => self.kept.profile.can_tell(flow, seen, self.names_settled(now)),
        }
    }

    fn names_settled(&self, now: Millis) -> bool {
        self.names_since.is_some_and(|since| now.since(since) / 1000 >= limits::NAMES_SETTLE_S)
    }

    /// Ends learning at once, for a device whose learning time was given from outside.
    pub fn freeze(&mut self, now: Millis) {
        self.kept.profile.freeze(now.seconds());
    }

    /// Takes the beginning of a flow: learns it, and looks at it. At most one finding of each detector.
    pub fn observe(&mut self, flow: &Flow, now: Millis) -> Vec<Finding> {
        if flow.stays_on_device() {
            return Vec::new();
        }
        let known = self.usual(flow);
        let described = self.described(flow, flow.direction, now);
        let judged = !described.told && self.can_tell(flow, now);
        let Kept { profile, ledger, noticed, .. } = &mut self.kept;
        let mut findings: Vec<Finding> = self.scans.began(flow, (known, now), ledger).into_iter().collect();
        findings.extend(self.floods.began(flow, ledger, now));
        findings.extend(described.finding);
        if self.without_profile {
            return findings;
        }
        if profile.learns() {
            profile.learn(flow, now.seconds());
            return findings;
        }
        if described.vouched {
            return findings;
        }
        let rhythm = self.beacons.observe(flow, (&*profile, &self.thresholds), ledger, now.seconds());
        // Where so many networks are used that a further one is no news, one that is called again and again is.
        let busy = self.beacons.is_busy(flow, limits::BUSY_STARTS);
        let wide = if busy { usize::MAX } else { self.thresholds.wide_networks };
        if judged {
            findings.extend(destination::observe(flow, (profile, noticed, wide), ledger, now.seconds()));
        }
        findings.extend(rhythm);
        findings
    }

    /// Takes the first answer of whoever was called.
    pub fn answered(&mut self, flow: &Flow, now: Millis) -> Vec<Finding> {
        self.floods.answered(flow, now);
        let scan = self.scans.answered(flow, now, &mut self.kept.ledger);
        let back = self.described(flow, flow.direction.turned(), now);
        scan.into_iter().chain(back.finding).collect()
    }

    /// What the maker's description says of packets of a flow one way. What is usual was told while it was learned.
    fn described(&mut self, flow: &Flow, says: Direction, now: Millis) -> Described {
        let asked = !flow.stays_on_device() && !self.usual(flow);
        let Some(usage) = self.usage.as_deref().filter(|_| asked) else { return Described::default() };
        let usage = (usage, self.names_settled(now));
        usage::observe(usage, (flow, says), &mut self.kept.ledger, now.seconds())
    }

    /// Takes what a flow that goes on has carried since it was last told.
    pub fn carried(&mut self, flow: &Flow, _: Millis) -> Vec<Finding> {
        if !flow.stays_on_device() {
            self.volumes.carried(flow);
        }
        Vec::new()
    }

    /// Takes the end of a flow.
    pub fn ended(&mut self, flow: &Flow, now: Millis) -> Vec<Finding> {
        if flow.stays_on_device() {
            return Vec::new();
        }
        self.volumes.carried(flow);
        let known = self.usual(flow);
        let ledger = &mut self.kept.ledger;
        let scan = self.scans.ended(flow, (known, now), ledger);
        scan.into_iter().chain(self.logins.ended(flow, ledger)).collect()
    }

    /// Takes a question to DNS: a name, and its keyed hash.
    pub fn asked(&mut self, question: (&str, u64), now: Millis) -> Option<Finding> {
        self.tunnels.asked(question, &mut self.kept.ledger, now.seconds())
    }

    /// Takes a search for a neighbour.
    pub fn searched(&mut self, neighbour: IpAddr, now: Millis) -> Option<Finding> {
        self.scans.searched(neighbour, now, &mut self.kept.ledger)
    }

    /// A neighbour that was searched for is there.
    pub fn found(&mut self, neighbour: IpAddr) {
        self.scans.found(neighbour);
    }

    /// Takes what a client says to the DHCP servers.
    pub fn lease_asked(&mut self, message: &dhcp::Message, now: Millis) -> Vec<Finding> {
        let ledger = &mut self.kept.ledger;
        let flood = self.floods.lease_asked(message, ledger, now);
        flood.into_iter().chain(self.leases.asked(message, ledger, now)).collect()
    }

    /// Takes what a DHCP server says to a client.
    pub fn lease_answered(&mut self, message: &dhcp::Message, now: Millis) -> Option<Finding> {
        let Kept { profile, ledger, servers, .. } = &mut self.kept;
        if self.without_profile {
            return None;
        }
        lease::answered(message, (servers, profile.learns()), ledger, now)
    }

    /// Takes a look at the machine itself.
    pub fn looked(&mut self, look: &Look, now: Millis) -> Vec<Finding> {
        let Kept { profile, ledger, signs, .. } = &mut self.kept;
        signs.look(look, (&mut self.files, profile.learns()), ledger, now.seconds())
    }

    /// What is known of the machine itself.
    #[must_use]
    pub fn signs(&self) -> &Signs {
        &self.kept.signs
    }

    /// The run of the agent ends in order.
    pub fn ends(&mut self) {
        self.kept.signs.ends();
    }

    /// Takes a change of a neighbour's hardware address.
    pub fn changed_hands(&mut self, change: &neighbour::Change, now: Millis) -> Option<Finding> {
        identity::observe(change, &mut self.kept.ledger, now.seconds())
    }

    /// Whether a flow is in a finished profile.
    fn usual(&self, flow: &Flow) -> bool {
        let profile = &self.kept.profile;
        !self.without_profile && !profile.learns() && profile.knows(flow, &[]) == Knowledge::Known
    }

    /// Takes a listening socket that has appeared: learns it, or looks at it.
    pub fn listening(&mut self, listener: &Listener, now: Millis) -> Option<Finding> {
        let Kept { profile, ledger, .. } = &mut self.kept;
        if self.without_profile {
            return None;
        }
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

    /// Lets time pass: `true` if the profile was frozen now, and what has shown by staying away or by its sum.
    pub fn pass(&mut self, now: Millis) -> (bool, Vec<Finding>) {
        let Kept { profile, ledger, usual, .. } = &mut self.kept;
        let mut findings: Vec<Finding> = self.scans.pass(now, ledger).into_iter().collect();
        if self.without_profile {
            return (false, findings);
        }
        findings.extend(self.volumes.pass((usual, profile), ledger, now));
        (profile.pass(now.seconds(), &self.learning), findings)
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
            + self.scans.bytes()
            + self.logins.bytes()
            + self.tunnels.bytes()
            + self.floods.bytes()
            + self.leases.bytes()
            + self.files.bytes()
            + self.kept.signs.bytes()
            + self.kept.usual.bytes()
            + self.kept.servers.capacity() * size_of::<u32>()
            + self.usage.as_ref().map_or(0, |usage| usage.bytes())
    }
}
