//! From lists of sockets to sightings: who listens, who opened a connection, what is gone.
//!
//! Both readers of tier 0 (netlink and /proc) hand their sockets here, so that they cannot differ in meaning. Direction
//! follows from who listens: a connection on a port of ours that listens was opened by the peer. Memory is one look back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cordon_agent_core::flow::{
    Connection, Counted, Endpoint, Listener, Phase, Seen, Sighting, State, Traffic, Tuple,
};
use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::Millis;

/// How a socket stands, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Waits for connections, or for datagrams from anyone.
    Listens,
    /// Shakes hands.
    Opening,
    /// Carries data, or ends in order.
    Open,
    /// Only remembers (`TIME_WAIT`).
    Lingers,
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Transport.
    pub protocol: Protocol,
    /// Our end.
    pub local: Endpoint,
    /// The peer's end; meaningless for a listener.
    pub remote: Endpoint,
    /// How it stands.
    pub stand: Stand,
    /// Its inode, 0 where unknown.
    pub inode: u64,
    /// Its traffic, where known.
    pub traffic: Option<Traffic>,
}

/// A socket that the kernel has just destroyed, with its last figures where it knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// Which.
    pub tuple: Tuple,
    /// Its traffic.
    pub traffic: Option<Traffic>,
    /// Whether the handshake was ever done.
    pub established: bool,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub struct Sockets {
    listeners: HashSet<(Protocol, Endpoint)>,
    live: HashMap<Tuple, Direction>,
    /// Gone at the last look, with no word of their end yet.
    gone: HashMap<Tuple, Direction>,
}

impl Sockets {
    /// Takes one look. A connection that vanished waits one look: for its last figures where destroyed sockets are told,
    /// and because no list is a snapshot, so that a line may be passed over while others open and close sockets. `program` names the
    /// program of a new listener.
    pub fn look(
        &mut self,
        now: Millis,
        (sockets, destroyed): (&[Socket], &[Destroyed]),
        program: &mut dyn FnMut(u64) -> Option<Arc<str>>,
        seen: &mut Vec<Sighting>,
    ) {
        let mut sight = |what: Seen| seen.push(Sighting { at: now, seen: what });
        let ports = self.listening(sockets, program, &mut sight);
        let direction = |tuple: &Tuple| match ports.contains(&(tuple.protocol, tuple.local.port)) {
            true => Direction::Inbound,
            false => Direction::Outbound,
        };
        let ended: HashSet<Tuple> = destroyed.iter().map(|end| end.tuple).collect();
        for end in destroyed {
            let known = self.live.remove(&end.tuple).or_else(|| self.gone.remove(&end.tuple));
            let direction = known.unwrap_or_else(|| direction(&end.tuple));
            sight(Seen::Connection(end.sighting(direction)));
        }
        let before = std::mem::take(&mut self.live);
        for socket in sockets.iter().filter(|socket| socket.stand != Stand::Listens) {
            let tuple = socket.tuple();
            if ended.contains(&tuple) || self.live.len() >= limits::FLOWS {
                continue;
            }
            let known = before.get(&tuple).or_else(|| self.gone.get(&tuple));
            let direction = known.copied().unwrap_or_else(|| direction(&tuple));
            if socket.stand != Stand::Lingers {
                self.live.insert(tuple, direction);
            }
            sight(Seen::Connection(socket.sighting(direction)));
        }
        let vanished =
            before.into_iter().filter(|(tuple, _)| !self.live.contains_key(tuple) && !ended.contains(tuple));
        let waiting: HashMap<Tuple, Direction> = vanished.collect();
        let over = std::mem::replace(&mut self.gone, waiting);
        let mut over: Vec<_> = over.into_iter().filter(|(tuple, _)| !self.live.contains_key(tuple)).collect();
        over.sort_unstable();
        for (tuple, direction) in over {
            let phase = Phase::Over(State::Closed);
            sight(Seen::Connection(Connection {
                tuple,
                direction,
                phase,
                counted: Counted::Unknown,
                name: None,
            }));
        }
    }

    /// Tells the listeners that are new, and returns the ports on which connections are inbound: those that listen now,
    /// and those that did a look ago.
    fn listening(
        &mut self,
        sockets: &[Socket],
        program: &mut dyn FnMut(u64) -> Option<Arc<str>>,
        sight: &mut dyn FnMut(Seen),
    ) -> HashSet<(Protocol, u16)> {
        let mut ports: HashSet<_> =
            self.listeners.iter().map(|(protocol, local)| (*protocol, local.port)).collect();
        let mut now = HashSet::new();
        for socket in sockets.iter().filter(|socket| socket.stand == Stand::Listens) {
            let place = (socket.protocol, socket.local);
            ports.insert((socket.protocol, socket.local.port));
            if now.insert(place) && !self.listeners.contains(&place) {
                let program = program(socket.inode);
                sight(Seen::Listener(Listener { protocol: socket.protocol, local: socket.local, program }));
            }
        }
        self.listeners = now;
        ports
    }
}

impl Socket {
    fn tuple(&self) -> Tuple {
        Tuple { protocol: self.protocol, local: self.local, remote: self.remote }
    }

    fn sighting(&self, direction: Direction) -> Connection {
        let phase = match self.stand {
            Stand::Listens | Stand::Opening => Phase::Opening,
            Stand::Open => Phase::Open,
            Stand::Lingers => Phase::Lingering,
        };
        let counted = self.traffic.map_or(Counted::Unknown, Counted::Total);
        Connection { tuple: self.tuple(), direction, phase, counted, name: None }
    }
}

impl Destroyed {
    fn sighting(&self, direction: Direction) -> Connection {
        let refused =
            !self.established && direction == Direction::Outbound && self.tuple.protocol == Protocol::Tcp;
        let phase = Phase::Over(if refused { State::Refused } else { State::Closed });
        let counted = self.traffic.map_or(Counted::Unknown, Counted::Total);
        Connection { tuple: self.tuple, direction, phase, counted, name: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(address: &str, port: u16) -> Endpoint {
        Endpoint { address: address.parse().expect("address"), port }
    }

    fn socket(local: u16, remote: u16, stand: Stand) -> Socket {
        Socket {
            protocol: Protocol::Tcp,
            local: end("10.0.0.2", local),
            remote: end("10.0.0.9", remote),
            stand,
            inode: 7,
            traffic: None,
        }
    }

    fn look(sockets: &mut Sockets, now: &[Socket], destroyed: &[Destroyed]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut program = |inode| Some(format!("p{inode}").into());
        sockets.look(Millis(0), (now, destroyed), &mut program, &mut seen);
        let word = |sighting: Sighting| match sighting.seen {
            Seen::Listener(listener) => format!("listens {} {:?}", listener.local.port, listener.program),
            Seen::Neighbour(claim) => format!("{claim:?}"),
            Seen::Connection(connection) => {
                let tuple = connection.tuple;
                format!(
                    "{:?} {}→{} {:?}",
                    connection.direction, tuple.local.port, tuple.remote.port, connection.phase
                )
            }
        };
        seen.into_iter().map(word).collect()
    }

    #[test]
    fn direction_follows_who_listens() {
        // Goal: the orientation rule. Method: one listener, one connection to it, one of our own.
        let now = [
            socket(22, 0, Stand::Listens),
            socket(22, 50_000, Stand::Open),
            socket(40_000, 443, Stand::Open),
        ];
        let mut sockets = Sockets::default();
        assert_eq!(
            look(&mut sockets, &now, &[]),
            ["listens 22 Some(\"p7\")", "Inbound 22→50000 Open", "Outbound 40000→443 Open"]
        );
        let again = look(&mut sockets, &now[1..], &[]);
        assert_eq!(again[0], "Inbound 22→50000 Open", "also when the listener is gone");
        assert_eq!(
            look(&mut sockets, &now, &[])[0],
            "listens 22 Some(\"p7\")",
            "and is told when it comes back"
        );
    }

    #[test]
    fn a_vanished_connection_waits_one_look_for_its_figures_and_is_over_after_it() {
        // Goal: ends are never lost, and their exact figures win. Method: with word of the end, and without.
        let open = [socket(40_000, 443, Stand::Open)];
        let mut told = Sockets::default();
        look(&mut told, &open, &[]);
        assert!(look(&mut told, &[], &[]).is_empty(), "waits one look");
        let last = Destroyed { tuple: open[0].tuple(), traffic: Some(Traffic::default()), established: true };
        assert_eq!(look(&mut told, &[], &[last]), ["Outbound 40000→443 Over(Closed)"]);
        assert!(look(&mut told, &[], &[]).is_empty(), "told once");

        let mut missed = Sockets::default();
        look(&mut missed, &open, &[]);
        look(&mut missed, &[], &[]);
        assert_eq!(
            look(&mut missed, &[], &[]),
            ["Outbound 40000→443 Over(Closed)"],
            "without word, a look later"
        );
    }

    #[test]
    fn a_line_that_a_look_passed_over_ends_no_connection_and_turns_no_direction() {
        // Goal: tables of the kernel are no snapshots. Method: an inbound connection is missing in one look, its listener
        // in the next.
        let (listens, open) = (socket(22, 0, Stand::Listens), socket(22, 50_000, Stand::Open));
        let mut sockets = Sockets::default();
        look(&mut sockets, &[listens, open], &[]);
        assert!(look(&mut sockets, &[], &[]).is_empty());
        assert_eq!(look(&mut sockets, &[open], &[]), ["Inbound 22→50000 Open"]);
        assert_eq!(look(&mut sockets, &[open], &[]), ["Inbound 22→50000 Open"]);
    }

    #[test]
    fn a_connection_between_two_looks_is_seen_by_its_end() {
        // Goal: short connections are not missed. Method: only the destruction, established and refused.
        let mut sockets = Sockets::default();
        look(&mut sockets, &[socket(22, 0, Stand::Listens)], &[]);
        let of = |local: u16, remote: u16, established: bool| Destroyed {
            tuple: socket(local, remote, Stand::Open).tuple(),
            traffic: None,
            established,
        };
        let ends = [of(40_001, 443, true), of(40_002, 81, false), of(22, 50_001, false)];
        assert_eq!(
            look(&mut sockets, &[socket(22, 0, Stand::Listens)], &ends),
            [
                "Outbound 40001→443 Over(Closed)",
                "Outbound 40002→81 Over(Refused)",
                "Inbound 22→50001 Over(Closed)"
            ]
        );
    }

    #[test]
    fn a_socket_destroyed_after_the_list_was_made_is_not_opened_again() {
        // Goal: the list and the events race. Method: the same tuple in both.
        let open = socket(40_000, 443, Stand::Open);
        let last = Destroyed { tuple: open.tuple(), traffic: None, established: true };
        let mut sockets = Sockets::default();
        assert_eq!(look(&mut sockets, &[open], &[last]), ["Outbound 40000→443 Over(Closed)"]);
    }
}
