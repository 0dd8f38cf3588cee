//! Tier 1: the sockets of tier 0, and beside them what the headers of packets say, where `CAP_NET_RAW` permits it.
//!
//! Packets bring names, probes of closed ports, datagrams without a socket of their own, and neighbours' claims; listeners,
//! programs, bytes and ends of TCP stay the sockets' to tell, so that nothing is counted twice. Without the right it is
//! tier 0, and says why; it tries again once a minute. Packets that the kernel dropped, and a machine without an address,
//! show in its sight within seconds. Read next: [`super::packets`], `cordon_agent_core::flow::Phase::Beside`.

use std::net::IpAddr;
use std::sync::Arc;

use cordon_agent_core::flow::{Connection, Phase, Seen, Sighting, State};
use cordon_proto::limits;
use cordon_proto::time::Millis;
use sysinfo::Networks;
use tokio::sync::Notify;

use super::losses::Losses;
use super::means::{AGAIN_MS, Means};
use super::packets::Packets;
use super::tier0::Tier0;
use super::{Capture, Caught, Sight};
use crate::clock::Clock;

/// Milliseconds between two looks at addresses and losses.
const CHECK_MS: i64 = 5000;

/// The capture.
#[derive(Debug)]
pub struct Tier1 {
    sockets: Tier0,
    packets: Means<Packets>,
    losses: Means<Losses>,
    wanted: bool,
    clock: Arc<dyn Clock>,
    hurry: Arc<Notify>,
    home: Vec<IpAddr>,
    /// Whether the newest of `home`, or that there are no packets, has been handed over.
    home_told: bool,
    checked: Option<Millis>,
    /// Packets dropped so far, and when there were last more.
    dropped: u32,
    lost: Option<Millis>,
    sight: Sight,
}

impl Tier1 {
    /// The real machine. Packets are looked at if they are `wanted` and that is permitted.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, wanted: bool) -> Self {
        Self {
            sockets: Tier0::new(),
            packets: Means::Untried,
            losses: Means::Untried,
            wanted,
            clock,
            hurry: Arc::default(),
            home: Vec::new(),
            home_told: false,
            checked: None,
            dropped: 0,
            lost: None,
            sight: Sight { tier: None, note: "not looked yet".to_owned() },
        }
    }

    /// Gathers packets, by a socket that is opened where there is none; whether there is one.
    fn gather(&mut self, now: Millis) -> bool {
        let before = matches!(self.packets, Means::Open(_));
        if self.wanted {
            let (clock, hurry) = (&self.clock, &self.hurry);
            let open = || Packets::open(Arc::clone(clock), Arc::clone(hurry));
            self.packets.with(now, open, Packets::gather);
        }
        let open = matches!(self.packets, Means::Open(_));
        if open != before {
            (self.checked, self.losses, self.dropped) = (None, Means::Untried, 0);
            self.home_told = false;
        }
        open
    }

    /// Looks at the addresses and at what was lost, where it is time.
    fn check(&mut self, now: Millis) {
        if self.checked.is_some_and(|last| now.since(last) < CHECK_MS && now >= last) {
            return;
        }
        self.checked = Some(now);
        let addresses = addresses();
        // In no order: each list comes in another.
        if addresses.len() != self.home.len() || !addresses.iter().all(|own| self.home.contains(own)) {
            (self.home, self.home_told) = (addresses, false);
        }
        let Means::Open(packets) = &self.packets else { return };
        let dropped = self.losses.with(now, || Losses::of(packets.inode()?), Losses::count);
        if let Some(dropped) = dropped {
            if dropped > self.dropped {
                self.lost = Some(now);
            }
            self.dropped = dropped;
        }
    }

    fn now_seen(&self, now: Millis, open: bool) -> Sight {
        let Sight { tier, note } = self.sockets.sight();
        let lost = self.lost.is_some_and(|at| now.since(at) < AGAIN_MS);
        let more = match (&self.packets, &self.losses) {
            (Means::Open(_), _) if lost => {
                "names and probes by packets, of which the kernel dropped some".to_owned()
            }
            (Means::Open(_), Means::Refused { why, .. }) => {
                format!("names and probes by packets; how many are lost is not known ({why})")
            }
            (Means::Open(_), Means::Open(_) | Means::Untried) => "names and probes by packets".to_owned(),
            (Means::Untried | Means::Refused { .. }, _) if !self.wanted => {
                "no packets (switched off)".to_owned()
            }
            (Means::Untried | Means::Refused { .. }, _) => format!("no packets ({})", self.packets.why()),
        };
        let cut_off =
            if self.home.iter().all(IpAddr::is_loopback) { "; the machine has no address" } else { "" };
        let tier = tier.map(|tier| if open { 1 } else { tier });
        Sight { tier, note: format!("{note}; {more}{cut_off}") }
    }
}

impl Capture for Tier1 {
    fn poll(&mut self, now: Millis, seen: &mut Vec<Sighting>) {
        let from = seen.len();
        self.sockets.poll(now, seen);
        let open = self.gather(now);
        if open {
            // A refused call whose port the system forgot shows whole in the packets.
            let mut place = 0;
            seen.retain(|sighting| {
                place += 1;
                place <= from || !forgotten(sighting)
            });
        }
        self.check(now);
        self.sight = self.now_seen(now, open);
    }

    fn sight(&self) -> &Sight {
        &self.sight
    }

    fn caught(&mut self, take: &mut dyn FnMut(Caught<'_>)) {
        let open = matches!(self.packets, Means::Open(_));
        if !std::mem::replace(&mut self.home_told, true) {
            take(Caught::Home(if open { &self.home } else { &[] }));
        }
        if let Means::Open(packets) = &mut self.packets {
            packets.take(|packet, at| take(Caught::Packet(packet, at)));
        }
    }

    fn hurry(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.hurry))
    }
}

fn forgotten(sighting: &Sighting) -> bool {
    match &sighting.seen {
        Seen::Connection(Connection { tuple, phase: Phase::Over(State::Refused), .. }) => {
            tuple.remote.port == 0
        }
        Seen::Connection(_) | Seen::Listener(_) | Seen::Neighbour(_) => false,
    }
}

/// The addresses of all interfaces.
fn addresses() -> Vec<IpAddr> {
    let Ok(networks) = Networks::new_with_refreshed_list() else { return Vec::new() };
    let all = networks.values().flat_map(|network| network.ip_networks()).map(|network| network.addr);
    all.take(limits::HOME_ADDRESSES).collect()
}

#[cfg(test)]
mod tests;
