//! Tier 0: the sockets of the real machine, without any privilege.
//!
//! By netlink where the kernel lets us, with byte counts and word of every ended connection; by /proc/net where not.
//! Neighbours and their hardware addresses come from /proc/net alone. Which means it is, what is missing and why, and
//! whether events were lost, shows in its sight at once, so that the server hears of it with the next report. Better means
//! are tried again once a minute. Read next: [`super::tier1`], which adds packets.

use cordon_agent_core::flow::{Seen, Sighting};
use cordon_proto::time::Millis;

use super::diag::{Diag, Heard};
use super::hearing::Hearing;
use super::means::{AGAIN_MS, Means};
use super::procnet::ProcNet;
use super::program::Programs;
use super::sockets::{Socket, Sockets};
use super::{Capture, Sight};

/// Milliseconds between two looks at the neighbours.
const NEIGHBOURS_MS: i64 = 5000;

/// The capture.
#[derive(Debug)]
pub struct Tier0 {
    lists: Means<Diag>,
    events: Means<Hearing>,
    tables: ProcNet,
    programs: Programs,
    sockets: Sockets,
    overrun: Option<Millis>,
    /// When the neighbours were last looked at.
    neighbours: Option<Millis>,
    sight: Sight,
}

impl Default for Tier0 {
    fn default() -> Self {
        Self::new()
    }
}

impl Tier0 {
    /// The real machine. Nothing is opened before the first look.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lists: Means::Untried,
            events: Means::Untried,
            tables: ProcNet::new("/proc/net"),
            programs: Programs::new("/proc"),
            sockets: Sockets::default(),
            overrun: None,
            neighbours: None,
            sight: Sight { tier: None, note: "not looked yet".to_owned() },
        }
    }

    /// The real machine as it is seen where netlink is refused.
    #[must_use]
    pub fn without_netlink(now: Millis) -> Self {
        let refused = || "switched off".to_owned();
        Self {
            lists: Means::Refused { at: now, why: refused() },
            events: Means::Refused { at: now, why: refused() },
            ..Self::new()
        }
    }

    /// The sockets, by the best means that works; `None` if none does.
    fn list(&mut self, now: Millis) -> Option<Vec<Socket>> {
        let lingering = !matches!(self.events, Means::Open(_));
        let listed = self.lists.with(now, Diag::open, |diag| diag.list(lingering));
        // The tables cost the kernel a walk through all of its hash buckets, on a large machine milliseconds each.
        if listed.is_some() {
            return listed;
        }
        match self.tables.read() {
            Ok((sockets, _)) => Some(sockets),
            Err(error) => {
                let note = format!("blind: {}; /proc/net: {error}", self.lists.why());
                self.sight = Sight { tier: None, note };
                None
            }
        }
    }

    /// The neighbours, where it is time; a kernel that does not tell them is no blindness to connections.
    fn look_at_neighbours(&mut self, now: Millis, seen: &mut Vec<Sighting>) {
        if self.neighbours.is_some_and(|last| now.since(last) < NEIGHBOURS_MS && now >= last) {
            return;
        }
        self.neighbours = Some(now);
        let claims = self.tables.neighbours().unwrap_or_default();
        seen.extend(claims.into_iter().map(|claim| Sighting { at: now, seen: Seen::Neighbour(claim) }));
    }

    /// What the sight is after a look that worked.
    fn now_seen(&self, now: Millis) -> Sight {
        let overrun = self.overrun.is_some_and(|at| now.since(at) < AGAIN_MS);
        let note = match (&self.lists, &self.events) {
            (Means::Open(_), Means::Open(_)) if overrun => {
                "connections by sock_diag; the kernel dropped word of ended ones, short connections are missing".to_owned()
            }
            (Means::Open(_), Means::Open(_)) => "connections by sock_diag".to_owned(),
            (Means::Open(_), Means::Untried | Means::Refused { .. }) => {
                format!("connections by sock_diag, short ones without byte counts ({})", self.events.why())
            }
            (Means::Untried | Means::Refused { .. }, _) => {
                format!("connections by /proc/net, without byte counts ({})", self.lists.why())
            }
        };
        Sight { tier: Some(0), note }
    }
}

impl Capture for Tier0 {
    fn poll(&mut self, now: Millis, seen: &mut Vec<Sighting>) {
        self.look_at_neighbours(now, seen);
        // The groups are joined before the first list, and heard after each: no end can fall between the two.
        self.events.with(now, Hearing::open, |_| Ok(()));
        let Some(sockets) = self.list(now) else { return };
        let by_netlink = matches!(self.lists, Means::Open(_));
        let heard = if by_netlink { self.events.with(now, Hearing::open, Hearing::hear) } else { None };
        let Heard { destroyed, overrun } = heard.unwrap_or_default();
        if overrun {
            self.overrun = Some(now);
        }
        let programs = &mut self.programs;
        let mut program = |inode| programs.name(inode, now);
        self.sockets.look(now, (&sockets, &destroyed), &mut program, seen);
        self.sight = self.now_seen(now);
    }

    fn sight(&self) -> &Sight {
        &self.sight
    }
}

#[cfg(test)]
pub(super) mod tests;
