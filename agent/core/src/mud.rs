//! Judging a flow by its maker's usage description (RFC 8520).
//!
//! Packets each way are judged apart, as a filter would see them. The first rule that fits decides; what no rule fits is
//! unlisted (RFC 8520, 3: whatever is not described is denied). A rule by name cannot be judged where nobody sees names:
//! that is said and is neither allowed nor a finding. It never resolves a name and keeps nothing. Read next:
//! `cordon_proto::mud` for the rules, [`crate::detect::usage`] for the finding.

use core::net::{IpAddr, Ipv4Addr};

use cordon_proto::mud::{Net, Place, Rule, Usage};
use cordon_proto::telemetry::{Direction, Protocol};

use crate::flow::Flow;
use crate::profile::key::is_local;

/// Packets of a flow one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way<'a> {
    /// Whose: those of the device are outbound.
    pub says: Direction,
    /// Over what.
    pub protocol: Protocol,
    /// With whom.
    pub peer: IpAddr,
    /// The peer's port.
    pub peer_port: u16,
    /// The device's port.
    pub own_port: u16,
    /// Who opened the flow, where that is known.
    pub opened: Option<Direction>,
    /// The name that DNS gave for the peer.
    pub name: Option<&'a str>,
    /// Type and code of an ICMP message, where they are known.
    pub icmp: Option<[u8; 2]>,
}

impl<'a> Way<'a> {
    /// The packets of a flow from the one who opened it, or from the other one.
    #[must_use]
    pub fn of(flow: &'a Flow, says: Direction) -> Self {
        let (local, remote) = (flow.tuple.local, flow.tuple.remote);
        let asks = says == flow.direction;
        let port = |port: u16| u8::try_from(port).ok();
        let question = match flow.direction {
            Direction::Outbound => [local.port, remote.port],
            Direction::Inbound => [remote.port, local.port],
        };
        let icmp = match (flow.tuple.protocol, question.map(port)) {
            (Protocol::Icmp, [Some(kind), Some(answer)]) => Some(message(kind, answer, asks)),
            (Protocol::Icmp | Protocol::Tcp | Protocol::Udp, _) => None,
        };
        Self {
            says,
            protocol: flow.tuple.protocol,
            peer: remote.address,
            peer_port: remote.port,
            own_port: local.port,
            opened: Some(flow.direction),
            // A name belongs to whoever was called.
            name: flow.name.as_deref().filter(|_| flow.direction == Direction::Outbound),
            icmp,
        }
    }
}

/// Type and code of a message of a flow, whose ports are the type of its question and, where that has one, of its answer.
fn message(kind: u8, answer: u8, asks: bool) -> [u8; 2] {
    let exchanged = matches!((kind, answer), (8, 0) | (13, 14) | (15, 16) | (17, 18) | (128, 129));
    match (exchanged, asks) {
        (true, true) => [kind, 0],
        (true, false) => [answer, 0],
        (false, _) => [kind, answer],
    }
}

/// What a rule asks and a packet does not have, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses(u16);

impl Misses {
    /// The other version of IP, or another transport.
    pub const PROTOCOL: Self = Self(1);
    /// Another network or class of peers.
    pub const PEER: Self = Self(2);
    /// Another name.
    pub const NAME: Self = Self(4);
    /// No name is known of the peer.
    pub const NAMELESS: Self = Self(8);
    /// Another port of the peer.
    pub const PEER_PORT: Self = Self(16);
    /// Another port of the device.
    pub const OWN_PORT: Self = Self(32);
    /// The other side opened the connection.
    pub const OPENER: Self = Self(64);
    /// Another ICMP message.
    pub const ICMP: Self = Self(128);

    /// Whether nothing is missed.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this is among them.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn note(&mut self, other: Self, missed: bool) {
        self.0 |= if missed { other.0 } else { 0 };
    }
}

/// What a usage says of packets one way. Rules are named by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This rule lets them pass.
    Allowed(usize),
    /// This rule stops them.
    Stopped(usize),
    /// Only this rule could let them pass, and it goes by a name that nobody here sees.
    Unjudged(usize),
    /// No rule speaks of them.
    Unlisted,
}

/// Judges packets one way. `sees_names` says whether names are seen at all where the flow was.
#[must_use]
pub fn judge(usage: &Usage, way: &Way<'_>, sees_names: bool) -> Verdict {
    let mut perhaps = None;
    for (place, rule) in usage.rules.iter().enumerate() {
        if rule.says != way.says {
            continue;
        }
        let misses = misses(usage, rule, way);
        if misses.is_none() {
            return match (rule.accept, perhaps) {
                (true, _) => Verdict::Allowed(place),
                (false, Some(earlier)) => Verdict::Unjudged(earlier),
                (false, None) => Verdict::Stopped(place),
            };
        }
        if misses == Misses::NAMELESS && !sees_names && rule.accept {
            perhaps = perhaps.or(Some(place));
        }
    }
    perhaps.map_or(Verdict::Unlisted, Verdict::Unjudged)
}

/// What a rule of this direction asks and the packets do not have.
#[must_use]
pub fn misses(usage: &Usage, rule: &Rule, way: &Way<'_>) -> Misses {
    let mut misses = Misses::default();
    let family = if way.peer.is_ipv4() { 4 } else { 6 };
    misses.note(Misses::PROTOCOL, rule.family.is_some_and(|asked| asked != family));
    misses.note(Misses::PROTOCOL, rule.protocol.is_some_and(|asked| asked != way.protocol));
    let holds = |nets: &[Net]| nets.iter().any(|net| net.holds(way.peer));
    let placed = match &rule.place {
        Place::Anywhere => true,
        Place::Local => on_site(way.peer) || holds(&usage.local),
        Place::Bound(nets) => holds(nets),
    };
    misses.note(Misses::PEER, !placed || rule.net.is_some_and(|net| !net.holds(way.peer)));
    if let Some(asked) = &rule.name {
        misses.note(Misses::NAMELESS, way.name.is_none());
        misses.note(Misses::NAME, way.name.is_some_and(|name| !asked.fits(name)));
    }
    misses.note(Misses::PEER_PORT, rule.peer_port.is_some_and(|ports| !ports.fits(way.peer_port)));
    misses.note(Misses::OWN_PORT, rule.own_port.is_some_and(|ports| !ports.fits(way.own_port)));
    misses.note(Misses::OPENER, rule.opened.is_some_and(|asked| way.opened.is_some_and(|by| by != asked)));
    if let Some([kind, code]) = way.icmp {
        let other = |asked: Option<u8>, seen| asked.is_some_and(|asked| asked != seen);
        misses.note(Misses::ICMP, other(rule.icmp_type, kind) || other(rule.icmp_code, code));
    }
    misses
}

/// The rule of this direction that misses least, where one misses no more than two things; of several the first.
#[must_use]
pub fn nearest(usage: &Usage, way: &Way<'_>) -> Option<(usize, Misses)> {
    let same_way = usage.rules.iter().enumerate().filter(|(_, rule)| rule.says == way.says && rule.accept);
    let judged = same_way.map(|(place, rule)| (place, misses(usage, rule, way)));
    judged.min_by_key(|(place, misses)| (misses.count(), *place)).filter(|(_, misses)| misses.count() <= 2)
}

/// Whether an address is on the site: private, link-local, a group, a broadcast, or of nobody yet.
fn on_site(address: IpAddr) -> bool {
    let everyone = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    is_local(address) || address.is_multicast() || address.is_unspecified() || everyone
}

#[cfg(test)]
mod tests;
