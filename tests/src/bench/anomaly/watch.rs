//! One device under the agent's own sensor, honest rows and attacks.
//!
//! The device is named by its address, so that what is said to it and by it is its own. Read next: [`super::attacks`].

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;

use cordon_agent_core::dissect::What;
use cordon_agent_core::dissect::link::{Link, packet};
use cordon_agent_core::flow::table::FlowTable;
use cordon_agent_core::flow::{Connection, Counted, Endpoint, Flow, Phase, Seen, Sighting, State, Tuple};
use cordon_agent_core::profile::Profile;
use cordon_agent_core::recording::conn_log::Recorded;
use cordon_agent_core::sensor::{Output, Sensor};
use cordon_agent_core::watched::{Choice, Device, Learn};
use cordon_proto::limits;
use cordon_proto::mud::Usage;
use cordon_proto::telemetry::Protocol;
use cordon_proto::time::Millis;

use crate::recorded::Row;

/// The address under which every device is watched: recordings change theirs.
pub const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 2));

/// How long names were seen before the first row where they are seen at all: nobody without one has one then.
pub const SETTLED_MS: i64 = limits::NAMES_SETTLE_S * 1000;

/// What an attack does, at its own time.
#[derive(Clone, Debug)]
pub enum Event {
    /// A captured packet, in which an address becomes the device's.
    Packet(Link, Vec<u8>, IpAddr),
    /// A connection of a list.
    Listed(Recorded),
    /// A sighting, with the device's address in it.
    Sighting(Seen),
}

/// A finding: when it was told, by whom, about what.
pub type Told = (Millis, String, String);

/// The sensor and what it said.
pub struct Watch {
    sensor: Sensor<RandomState>,
    output: Output,
    second: i64,
    told: Vec<Told>,
}

/// A row as a flow of the device, with its name or without.
#[must_use]
pub fn seen(row: &Row, named: bool) -> Flow {
    let mut flow = row.flow.clone();
    flow.tuple.local.address = OWN;
    flow.name = flow.name.filter(|_| named);
    flow
}

impl Watch {
    /// A sensor over a finished profile.
    #[must_use]
    pub fn new(profile: Profile, usage: Option<Arc<Usage>>) -> Self {
        let choice = Choice {
            devices: vec![Device::Address(OWN)],
            local: Vec::new(),
            learn: Learn::Off,
            profiles: vec![(OWN.to_string(), profile)],
            usage,
        };
        let table = FlowTable::new(RandomState::new());
        Self {
            sensor: Sensor::of_others(table, choice),
            output: Output::default(),
            second: 0,
            told: Vec::new(),
        }
    }

    /// Takes a row of the recording: a connection that was answered and, where it was TCP, has ended.
    pub fn honest(&mut self, row: &Row, named: bool) {
        let flow = seen(row, named);
        let begun = Connection {
            tuple: flow.tuple,
            direction: flow.direction,
            phase: Phase::Opening,
            counted: Counted::Unknown,
            name: flow.name,
        };
        let tcp = flow.tuple.protocol == Protocol::Tcp;
        let last = if tcp { Phase::Over(State::Closed) } else { Phase::Open };
        for phase in [Phase::Opening, Phase::Open, last] {
            self.sees(flow.start, Seen::Connection(Connection { phase, ..begun.clone() }));
        }
        if named {
            let before = Millis(flow.start.0 - SETTLED_MS);
            self.sensor.roll_mut().all_mut().iter_mut().for_each(|one| one.detectors.names_are_seen(before));
        }
    }

    /// Takes what an attack does.
    pub fn event(&mut self, at: Millis, event: &Event) {
        match event {
            Event::Packet(link, bytes, whose) => {
                self.until(at);
                let Ok(mut packet) = packet(*link, bytes) else { return };
                let own = |address: &mut IpAddr| *address = if address == whose { OWN } else { *address };
                match &mut packet.what {
                    What::Arp(arp) => {
                        own(&mut arp.sender);
                        own(&mut arp.target);
                    }
                    What::Ip(datagram) => {
                        own(&mut datagram.source);
                        own(&mut datagram.destination);
                    }
                    What::Other => {}
                }
                self.sensor.packet(&packet, at, &mut self.output);
            }
            Event::Listed(recorded) => {
                self.until(at);
                let lasted = recorded.end.since(recorded.start);
                let (start, end) = (at, Millis(at.0 + lasted));
                self.sensor.recorded(&Recorded { start, end, ..*recorded }, &mut self.output);
            }
            Event::Sighting(seen) => self.sees(at, seen.clone()),
        }
        self.collect(at);
    }

    /// Lets time pass, second by second where something may still be waited for.
    pub fn until(&mut self, now: Millis) {
        let second = now.seconds().0;
        let waits = (self.second + 1).max(second - 8);
        for passed in waits..=second {
            let at = Millis((passed * 1000).min(now.0));
            self.sensor.pass(at, &mut self.output);
            self.collect(at);
        }
        self.second = self.second.max(second);
    }

    /// All that was told, each finding once.
    #[must_use]
    pub fn findings(self) -> Vec<Told> {
        self.told
    }

    fn sees(&mut self, at: Millis, seen: Seen) {
        self.until(at);
        self.sensor.observe(&Sighting { at, seen }, &mut self.output);
        self.collect(at);
    }

    fn collect(&mut self, at: Millis) {
        self.output.flows.clear();
        for (_, finding) in self.output.findings.drain(..) {
            let again = finding.count > 1 && finding.first != finding.last;
            let (detector, key) = (finding.detector.to_string(), finding.key.to_string());
            let known = self.told.iter().any(|(_, other, same)| *other == detector && *same == key);
            if !(again && known) {
                self.told.push((at, detector, key));
            }
        }
    }
}

/// A connection of the device, for attacks that are made up.
#[must_use]
pub fn connection((protocol, own, peer): (Protocol, u16, Endpoint), outbound: bool, phase: Phase) -> Seen {
    use cordon_proto::telemetry::Direction;
    Seen::Connection(Connection {
        tuple: Tuple { protocol, local: Endpoint { address: OWN, port: own }, remote: peer },
        direction: if outbound { Direction::Outbound } else { Direction::Inbound },
        phase,
        counted: Counted::Unknown,
        name: None,
    })
}
