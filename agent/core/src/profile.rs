//! The learned profile: the list of peers, services and listening sockets that are usual for one device.
//!
//! A peer is learned as a name once names are seen, else as its /16 (IPv4) or /48 (IPv6), together with who opened the
//! connection, the protocol and the service. Learning ends when, by Good and Turing's estimate (Good 1953), less than
//! one connection in a hundred would be a first-time one, not before a least and not after a most time of watching.
//! Then the list is frozen: what is new is reported, never learned silently. Bounded in keys and bytes; the same
//! observations give the same bytes. Read next: [`key`] for what counts as the same, [`crate::detect`] for its use.

pub mod kept;
pub mod key;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::Protocol;
use cordon_proto::time::Timestamp;
use cordon_proto::wire::{self, WireError};
use minicbor::{Decode, Encode};

use crate::flow::{Flow, Listener};
use key::{Key, Service, Socket, Who};

const DAY_S: i64 = 24 * 3600;
const WEEK_S: i64 = 7 * DAY_S;

/// How long a device is watched before its list is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// Seconds of watching below which nothing is frozen.
    pub least_s: i64,
    /// Seconds of watching after which the list is frozen, complete or not.
    pub most_s: i64,
}

impl Default for Learning {
    /// A week at least, for weekends differ; four weeks at most.
    fn default() -> Self {
        Self { least_s: 7 * 24 * 3600, most_s: 28 * 24 * 3600 }
    }
}

/// Where the profile stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Stage {
    /// Everything seen is taken in.
    #[n(0)]
    Learning,
    /// Nothing more is taken in.
    #[n(1)]
    Frozen {
        /// When it was frozen.
        #[n(0)]
        at: Timestamp,
        /// Whether the estimate said that little is missing, and the bounds were not hit.
        #[n(1)]
        complete: bool,
    },
}

/// How often, and when, a learned thing was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// First.
    #[n(0)]
    pub first: Timestamp,
    /// Last.
    #[n(1)]
    pub last: Timestamp,
    /// How often.
    #[n(2)]
    pub count: u32,
}

impl Record {
    fn is_of_one_day(&self) -> bool {
        self.last.seconds_since(self.first) < DAY_S
    }
}

/// What the profile says of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It is usual.
    Known,
    /// Its network is new, but the device talks to so many networks on this service, and to new ones so often, that this
    /// says little.
    Wide,
    /// It is new.
    New,
}

/// The learned list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Profile {
    #[n(0)]
    stage: Stage,
    /// Seconds of watching so far.
    #[n(1)]
    learned_s: i64,
    #[n(2)]
    last: Option<Timestamp>,
    #[n(3)]
    observations: u64,
    /// Things that did not fit.
    #[n(4)]
    overflow: u64,
    /// Sorted by key.
    #[n(5)]
    peers: Vec<(Key, Record)>,
    /// Sorted by socket.
    #[n(6)]
    sockets: Vec<(Socket, Record)>,
    /// Since when the device's packets were learned from beside its sockets.
    #[n(7)]
    packets: Option<Timestamp>,
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}

impl Profile {
    /// An empty profile that learns.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stage: Stage::Learning,
            learned_s: 0,
            last: None,
            observations: 0,
            overflow: 0,
            peers: Vec::new(),
            sockets: Vec::new(),
            packets: None,
        }
    }

    /// The device's packets are seen beside its sockets: while it learns, it learns from both.
    pub fn hears_packets(&mut self, now: Timestamp) {
        if self.learns() {
            self.packets.get_or_insert(now);
        }
    }

    /// Whether it could hold what a flow of the device itself is. Sockets alone show little but TCP, so a list that was
    /// learned from them says nothing of other packets; and a peer that was learned by name is not known again while names
    /// are not seen.
    #[must_use]
    pub fn can_tell(&self, flow: &Flow, packets_are_seen: bool, names_are_seen: bool) -> bool {
        let key = Key::of(flow);
        let learned = !packets_are_seen || self.packets.is_some() || key.protocol == Protocol::Tcp;
        let named = |known: &Key| matches!(known.who, Who::Name(_)) && known.same_service(&key);
        let nameless = key.who.is_network() && !names_are_seen;
        learned && !(nameless && self.peers.iter().any(|(known, _)| named(known)))
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether it still learns.
    #[must_use]
    pub fn learns(&self) -> bool {
        self.stage == Stage::Learning
    }

    /// Seconds of watching that it rests on.
    #[must_use]
    pub fn learned_s(&self) -> i64 {
        self.learned_s
    }

    /// Connections that it rests on.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.observations
    }

    /// The learned peers, in order.
    #[must_use]
    pub fn peers(&self) -> &[(Key, Record)] {
        &self.peers
    }

    /// The learned listening sockets, in order.
    #[must_use]
    pub fn sockets(&self) -> &[(Socket, Record)] {
        &self.sockets
    }

    /// Connections in a thousand that would be first-time ones: Good and Turing's estimate of the missing mass, with one
    /// more singleton and one more observation, so that a handful of connections proves nothing.
    #[must_use]
    pub fn missing_per_mille(&self) -> u64 {
        let once = self.peers.iter().filter(|(_, record)| record.count == 1).count();
        let once = u64::try_from(once).unwrap_or(u64::MAX);
        once.saturating_add(1).saturating_mul(1000) / self.observations.saturating_add(1)
    }

    /// Lets time pass. Two neighbouring times add at most `limits::LEARN_STEP_S`, so that a clock that is set right
    /// does not pass for experience. Freezes the list when enough is known; `true` if that happened now.
    pub fn pass(&mut self, now: Timestamp, learning: &Learning) -> bool {
        if !self.learns() {
            return false;
        }
        let step = self.last.map_or(0, |last| now.seconds_since(last)).clamp(0, limits::LEARN_STEP_S);
        self.learned_s = self.learned_s.saturating_add(step);
        self.last = Some(now);
        let enough = self.learned_s >= learning.least_s && self.missing_per_mille() < 10;
        if enough || self.learned_s >= learning.most_s.max(learning.least_s) {
            self.freeze(now);
        }
        !self.learns()
    }

    /// Freezes the list as it is.
    pub fn freeze(&mut self, now: Timestamp) {
        if self.learns() {
            let complete = self.overflow == 0 && self.missing_per_mille() < 10;
            self.stage = Stage::Frozen { at: now, complete };
        }
    }

    /// Takes the beginning of a flow in, while learning.
    pub fn learn(&mut self, flow: &Flow, now: Timestamp) {
        if !self.learns() {
            return;
        }
        self.observations = self.observations.saturating_add(1);
        let mut key = Key::of(flow);
        if self.name_bytes().saturating_add(key.who.bytes()) > limits::PROFILE_NAME_BYTES && !self.holds(&key)
        {
            key = Key::by_network(flow);
        }
        self.overflow += u64::from(!note(&mut self.peers, key, now, limits::PROFILE_KEYS));
    }

    /// Takes a listening socket in, while learning.
    pub fn learn_listener(&mut self, listener: &Listener, now: Timestamp) {
        if let (true, Some(socket)) = (self.learns(), Socket::of(listener)) {
            self.overflow += u64::from(!note(&mut self.sockets, socket, now, limits::PROFILE_LISTENERS));
        }
    }

    /// What is known of a flow. `noticed` are networks that were reported since, for [`Knowledge::Wide`].
    #[must_use]
    pub fn knows(&self, flow: &Flow, noticed: &[Key]) -> Knowledge {
        self.knows_beside(flow, noticed, limits::WIDE_SERVICE_NETWORKS)
    }

    /// The same with a number of networks on one service from which on it is [`Knowledge::Wide`].
    #[must_use]
    pub fn knows_beside(&self, flow: &Flow, noticed: &[Key], wide: usize) -> Knowledge {
        let key = Key::of(flow);
        let network = Key::by_network(flow);
        if self.holds(&key) || self.holds(&network) {
            return Knowledge::Known;
        }
        // A failed attempt whose port the system forgot is usual where its peer is.
        let forgotten = key.protocol != Protocol::Icmp && key.service == Service::Port(0);
        if forgotten && self.peers.iter().any(|(known, _)| known.same_peer(&key) || known.same_peer(&network))
        {
            return Knowledge::Known;
        }
        let same_service = |other: &Key| other.same_service(&key) && other.who.is_network();
        let learned = || self.peers.iter().filter(|(other, _)| same_service(other));
        let later = noticed.iter().filter(|other| same_service(other)).count();
        // Those that were used on one day only foretell how many new ones a week brings (Good 1953).
        let passing = later + learned().filter(|(_, record)| record.is_of_one_day()).count();
        let weeks_s = i64::try_from(passing).unwrap_or(i64::MAX).saturating_mul(WEEK_S);
        let is_wide = learned().count() + later >= wide && weeks_s >= self.learned_s;
        if key.who.is_network() && is_wide { Knowledge::Wide } else { Knowledge::New }
    }

    /// Whether a listening socket is usual. Where one side does not know the program, the other's does not matter.
    #[must_use]
    pub fn knows_socket(&self, socket: &Socket) -> bool {
        self.sockets.iter().any(|(known, _)| {
            let same_place = known.protocol == socket.protocol && known.reach == socket.reach;
            let same_program = match (&known.program, &socket.program) {
                (Some(known), Some(seen)) => known == seen,
                (None, _) | (_, None) => true,
            };
            same_place && known.service == socket.service && same_program
        })
    }

    /// The program that is usual on a socket's place, if another is.
    #[must_use]
    pub fn usual_program(&self, socket: &Socket) -> Option<&str> {
        let same_place = |known: &Socket| {
            known.protocol == socket.protocol
                && known.reach == socket.reach
                && known.service == socket.service
        };
        self.sockets.iter().find(|(known, _)| same_place(known))?.0.program.as_deref()
    }

    /// The profile as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::write(self)
    }

    /// The profile from bytes, within its bounds and in order.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        wire::read::<Self>(bytes, limits::PROFILE_BYTES)?.bounded()
    }

    /// Checks what [`Profile::decode`] promises, for a profile that came inside something else.
    pub fn bounded(self) -> Result<Self, WireError> {
        if self.peers.len() > limits::PROFILE_KEYS || self.sockets.len() > limits::PROFILE_LISTENERS {
            return Err(WireError::TooMany { limit: limits::PROFILE_KEYS });
        }
        let fits = self.name_bytes() <= limits::PROFILE_NAME_BYTES && self.learned_s >= 0;
        if fits && rises(&self.peers) && rises(&self.sockets) { Ok(self) } else { Err(WireError::Malformed) }
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let programs: usize =
            self.sockets.iter().map(|(socket, _)| socket.program.as_ref().map_or(0, |p| p.len())).sum();
        self.peers.capacity() * size_of::<(Key, Record)>()
            + self.sockets.capacity() * size_of::<(Socket, Record)>()
            + self.name_bytes()
            + programs
    }

    fn holds(&self, key: &Key) -> bool {
        self.peers.binary_search_by(|(known, _)| known.cmp(key)).is_ok()
    }

    fn name_bytes(&self) -> usize {
        self.peers.iter().map(|(key, _)| key.who.bytes()).sum()
    }
}

/// Counts one sighting of `thing` in a sorted list; `false` if the list is full.
fn note<T: Ord>(list: &mut Vec<(T, Record)>, thing: T, now: Timestamp, limit: usize) -> bool {
    match list.binary_search_by(|(known, _)| known.cmp(&thing)) {
        Ok(place) => {
            if let Some((_, record)) = list.get_mut(place) {
                record.last = record.last.max(now);
                record.count = record.count.saturating_add(1);
            }
            true
        }
        Err(_) if list.len() >= limit => false,
        Err(place) => {
            if list.len() == list.capacity() {
                list.reserve_exact(64);
            }
            list.insert(place, (thing, Record { first: now, last: now, count: 1 }));
            true
        }
    }
}

fn rises<T: Ord>(list: &[(T, Record)]) -> bool {
    list.windows(2).all(|pair| match pair {
        [(earlier, _), (later, _)] => earlier < later,
        _ => true,
    })
}
