//! The sensor: the one path from a sighting or a packet to findings, report rows and flows, for the running agent, for
//! `observe`, for the simulator alike.
//!
//! It owns the flow table, the detectors of whom it watches, the neighbours and the report, and nothing else. It never
//! looks anything up and never acts. Everything it is given carries its own time. Of a payload it reads what
//! [`crate::dissect`] reads, and keeps names alone. Read next: [`crate::flow`], [`crate::detect`], [`crate::watched`].

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::IpAddr;

use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Finding, FlowRow};
use cordon_proto::time::Millis;

use crate::detect::Detectors;
use crate::dissect::{Arp, Carries, Datagram, Icmp, Packet, What, dhcp, dns, tls};
use crate::flow::table::{Change, FlowTable};
use crate::flow::{Claim, Connection, Counted, Flow, Phase, Seen, Sighting, State, Traffic, packet};
use crate::neighbour::Neighbours;
use crate::profile::Knowledge;
use crate::recording::conn_log::Recorded;
use crate::report::Report;
use crate::watched::{Choice, Device, Roll};

/// The port of DNS.
const DNS: u16 = 53;
/// The port that DHCP's clients speak to.
const DHCP: u16 = 67;
/// The port that its servers answer to.
const DHCP_CLIENT: u16 = 68;

/// What came of sightings and time. The caller takes it out; nothing is kept here.
#[derive(Debug, Default)]
pub struct Output {
    /// Findings to report now, and whose they are.
    pub findings: Vec<(Device, Finding)>,
    /// Rows of a finished routine report.
    pub rows: Vec<FlowRow>,
    /// Flows that ended, or were told as they stood at the end.
    pub flows: Vec<Flow>,
    /// The profile was frozen: keep it.
    pub frozen: bool,
}

impl Output {
    fn found(&mut self, device: Device, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings.into_iter().map(|finding| (device, finding)));
    }
}

/// The sensor.
#[derive(Debug)]
pub struct Sensor<S> {
    table: FlowTable<S>,
    roll: Roll,
    neighbours: Neighbours,
    /// Only of the device itself.
    report: Option<Report>,
    forced_told: u64,
    /// Whose flow it was for which others were given up since that was last told.
    pressed: Option<IpAddr>,
    /// Reused from sighting to sighting.
    changes: Vec<Change>,
}

impl<S: BuildHasher> Sensor<S> {
    /// A sensor of the device that it runs on, over a flow table and detectors.
    #[must_use]
    pub fn new(table: FlowTable<S>, detectors: Detectors) -> Self {
        Self::over(table, Roll::itself(detectors), Some(Report::default()))
    }

    /// A sensor of others that speak on a wire.
    #[must_use]
    pub fn of_others(table: FlowTable<S>, choice: Choice) -> Self {
        Self::over(table, Roll::others(choice), None)
    }

    fn over(table: FlowTable<S>, roll: Roll, report: Option<Report>) -> Self {
        Self {
            table,
            roll,
            neighbours: Neighbours::default(),
            report,
            forced_told: 0,
            pressed: None,
            changes: Vec::new(),
        }
    }

    /// The detectors of the device itself, for their profile and for keeping them.
    #[must_use]
    pub fn detectors(&self) -> &Detectors {
        &self.roll.all().first().expect("the device itself is watched from the beginning").detectors
    }

    /// The detectors of the device itself, to freeze them.
    pub fn detectors_mut(&mut self) -> &mut Detectors {
        &mut self
            .roll
            .all_mut()
            .first_mut()
            .expect("the device itself is watched from the beginning")
            .detectors
    }

    /// Who is watched.
    #[must_use]
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// Who is watched, to freeze what was learned.
    pub fn roll_mut(&mut self) -> &mut Roll {
        &mut self.roll
    }

    /// The flow table, for its size and peak.
    #[must_use]
    pub fn table(&self) -> &FlowTable<S> {
        &self.table
    }

    /// Takes one sighting at its own time.
    pub fn observe(&mut self, sighting: &Sighting, output: &mut Output) {
        match &sighting.seen {
            Seen::Connection(connection) => self.connection(connection, sighting.at, output),
            Seen::Listener(listener) => {
                if let Some(watched) = self.roll.network(sighting.at) {
                    output.found(watched.device, watched.detectors.listening(listener, sighting.at));
                }
            }
            Seen::Neighbour(claim) => self.neighbour(claim, sighting.at, output),
        }
    }

    /// The addresses that the device itself has now: packets to and from them are its own, beside its sockets.
    /// Without any, packets are not seen.
    pub fn move_home(&mut self, addresses: &[IpAddr], now: Millis) {
        self.roll.move_home(addresses);
        self.detectors_mut().packets_are_seen(!addresses.is_empty(), now);
    }

    /// Takes one captured packet.
    pub fn packet(&mut self, packet: &Packet<'_>, at: Millis, output: &mut Output) {
        match &packet.what {
            What::Arp(arp) => self.arp(packet, arp, at, output),
            What::Ip(datagram) => {
                if let Some((mac, _)) = packet.macs {
                    self.roll.speaks(mac, datagram.source);
                }
                self.datagram(datagram, at, output);
            }
            What::Other => {}
        }
    }

    /// Takes one connection of a recorded list.
    pub fn recorded(&mut self, recorded: &Recorded, output: &mut Output) {
        let roll = &self.roll;
        let ends = (recorded.protocol, recorded.opener, recorded.called);
        let Some((tuple, opened)) = packet::oriented(ends, |address| roll.may_be(address)) else { return };
        let [(packets_out, bytes_out), (packets_in, bytes_in)] = recorded.sent;
        let total = Traffic { packets_out, bytes_out, packets_in, bytes_in };
        let begun = Connection {
            tuple,
            direction: if opened { Direction::Outbound } else { Direction::Inbound },
            phase: Phase::Opening,
            counted: Counted::Total(if opened { total } else { total.turned() }),
            name: None,
        };
        self.connection(&begun, recorded.start, output);
        if recorded.answered {
            self.connection(&Connection { phase: Phase::Open, ..begun.clone() }, recorded.start, output);
        }
        let last = recorded.ended.map_or(Phase::Opening, Phase::Over);
        self.connection(&Connection { phase: last, ..begun }, recorded.end, output);
    }

    /// Lets time pass: ends idle flows, finishes the report, freezes profiles. Call it every second or so.
    pub fn pass(&mut self, now: Millis, output: &mut Output) {
        let mut changes = core::mem::take(&mut self.changes);
        self.table.expire(now, &mut changes);
        self.take(&mut changes, now, output);
        self.changes = changes;
        self.tell_pressure(now, output);
        for watched in self.roll.all_mut() {
            let (frozen, findings) = watched.detectors.pass(now);
            output.frozen |= frozen;
            output.found(watched.device, findings);
        }
        if let Some(report) = self.report.as_mut().filter(|report| report.due(now)) {
            output.rows.extend(report.take(now));
        }
    }

    /// Tells everything that is still open, for an agent that stops.
    pub fn finish(&mut self, now: Millis, output: &mut Output) {
        while self.finish_some(now, output) {}
    }

    /// Tells some of what is still open, for a file read to its end; whether there is more to be told.
    pub fn finish_some(&mut self, now: Millis, output: &mut Output) -> bool {
        let mut changes = core::mem::take(&mut self.changes);
        let more = self.table.finish(limits::FLOWS_AT_ONCE, &mut changes);
        self.take(&mut changes, now, output);
        self.changes = changes;
        self.tell_pressure(now, output);
        if let Some(report) = self.report.as_mut().filter(|_| !more) {
            output.rows.extend(report.take(now));
        }
        more
    }

    fn connection(&mut self, connection: &Connection, at: Millis, output: &mut Output) {
        let mut changes = core::mem::take(&mut self.changes);
        self.table.observe(connection, at, &mut changes);
        self.take(&mut changes, at, output);
        self.changes = changes;
        if self.table.forced() > self.forced_told && self.pressed.is_none() {
            let ends = [connection.tuple.local.address, connection.tuple.remote.address];
            self.pressed = ends.into_iter().find(|address| self.roll.at(*address).is_some());
        }
    }

    /// Tells whoever it concerns that flows were given up because the table was full: all, where nobody watched spoke.
    fn tell_pressure(&mut self, now: Millis, output: &mut Output) {
        let forced = self.table.forced();
        if forced == self.forced_told {
            return;
        }
        let watched = match self.pressed.take() {
            Some(address) => self.roll.at(address),
            None => self.roll.network(now),
        };
        if let Some(watched) = watched {
            output.found(watched.device, watched.detectors.pressed(forced - self.forced_told, now));
            self.forced_told = forced;
        }
    }

    fn datagram(&mut self, datagram: &Datagram<'_>, at: Millis, output: &mut Output) {
        match datagram.carries {
            Carries::Udp { ports: (from, to), payload } if from == DNS || to == DNS => {
                self.dns(datagram, payload, at, output);
            }
            Carries::Udp { ports: (DHCP, DHCP_CLIENT), payload } => {
                if let (Some(message), Some(watched)) = (dhcp::message(payload), self.roll.network(at)) {
                    output.found(watched.device, watched.detectors.lease_answered(&message, at));
                }
            }
            Carries::Udp { ports: (_, DHCP), payload } => {
                if let (Some(message), Some(watched)) = (dhcp::message(payload), self.roll.network(at)) {
                    output.found(watched.device, watched.detectors.lease_asked(&message, at));
                }
            }
            Carries::Icmp(Icmp::Neighbour { target, mac }) => {
                let told = (!datagram.destination.is_multicast()).then_some(datagram.destination);
                self.neighbour(&Claim { address: target, mac, told }, at, output);
            }
            Carries::Tcp { .. }
            | Carries::Udp { .. }
            | Carries::Icmp(_)
            | Carries::Fragment
            | Carries::Other(_) => {}
        }
        let roll = &self.roll;
        let Some(connection) = packet::connection(datagram, |address| roll.may_be(address)) else { return };
        // The sockets of the device itself are looked at as well, and know better.
        let itself = !roll.watches_others();
        let connection = if itself { connection.beside_its_socket() } else { connection };
        self.connection(&connection, at, output);
        if let Carries::Tcp { payload: hello @ [22, 3, ..], .. } = datagram.carries
            && let Some(name) = tls::server_name(hello)
        {
            self.table.name(&connection.tuple, name);
        }
    }

    fn dns(&mut self, datagram: &Datagram<'_>, payload: &[u8], at: Millis, output: &mut Output) {
        let Some(message) = dns::message(payload) else { return };
        if message.response {
            self.table.names_mut().learn(message.name.as_str(), |take| message.addresses(take));
            if let Some(watched) = self.roll.at(datagram.destination) {
                watched.detectors.names_are_seen(at);
            }
        } else {
            let hash = self.table.hash_name(message.name.as_str());
            if !self.roll.may_be(datagram.source) {
                return;
            }
            if let Some(watched) = self.roll.speaker(datagram.source, at) {
                output.found(watched.device, watched.detectors.asked((message.name.as_str(), hash), at));
            }
        }
    }

    fn arp(&mut self, packet: &Packet<'_>, arp: &Arp, at: Millis, output: &mut Output) {
        self.roll.speaks(arp.sender_mac, arp.sender);
        let to_one = packet.macs.is_some_and(|(_, to)| to.is_station()) && arp.target != arp.sender;
        let claim = Claim { address: arp.sender, mac: arp.sender_mac, told: to_one.then_some(arp.target) };
        self.neighbour(&claim, at, output);
        if arp.reply {
            if let Some(asker) = self.roll.at(arp.target) {
                asker.detectors.found(arp.sender);
            }
            return;
        }
        let asks =
            arp.target != arp.sender && !self.neighbours.knows(arp.target) && self.roll.may_be(arp.sender);
        if asks && let Some(watched) = self.roll.speaker(arp.sender, at) {
            output.found(watched.device, watched.detectors.searched(arp.target, at));
        }
    }

    /// A claim that changes something is a finding of whom it was told to, else of whose address it is, else of all.
    fn neighbour(&mut self, claim: &Claim, at: Millis, output: &mut Output) {
        let Some(change) = self.neighbours.claim(claim, at) else { return };
        let whose = [change.told, Some(change.address)].into_iter().flatten();
        let device = whose.into_iter().find(|address| self.roll.at(*address).is_some());
        let watched = match device {
            Some(address) => self.roll.at(address),
            None => self.roll.network(at),
        };
        if let Some(watched) = watched {
            output.found(watched.device, watched.detectors.changed_hands(&change, at));
        }
    }

    fn take(&mut self, changes: &mut Vec<Change>, now: Millis, output: &mut Output) {
        for change in changes.drain(..) {
            match change {
                Change::Began(flow) => {
                    self.each_end(&flow, (now, Some(flow.direction)), output, Detectors::observe);
                    let profile = self.roll.all().first().map(|watched| watched.detectors.profile());
                    if let (Some(report), Some(profile)) = (&mut self.report, profile) {
                        let known =
                            (!profile.learns()).then(|| profile.knows(&flow, &[]) == Knowledge::Known);
                        report.began(&flow, known);
                    }
                }
                Change::Answered(flow) => {
                    self.each_end(&flow, (now, Some(flow.direction.turned())), output, Detectors::answered);
                }
                Change::Continues(flow) => {
                    self.each_end(&flow, (now, None), output, Detectors::carried);
                    self.carried(&flow);
                }
                Change::Ended(flow) => {
                    // A refusal is the word of whoever was called.
                    let speaks = (flow.state == State::Refused).then(|| flow.direction.turned());
                    self.each_end(&flow, (now, speaks), output, Detectors::ended);
                    self.carried(&flow);
                    output.flows.push(flow);
                }
            }
        }
    }

    fn carried(&mut self, flow: &Flow) {
        if let Some(report) = &mut self.report {
            report.carried(flow);
        }
    }

    /// Shows a flow to the detectors of each end that is watched, seen from that end. `speaks` is the way of what was
    /// said just now, where something was: outbound, the local end speaks.
    fn each_end(
        &mut self,
        flow: &Flow,
        (now, speaks): (Millis, Option<Direction>),
        output: &mut Output,
        look: fn(&mut Detectors, &Flow, Millis) -> Vec<Finding>,
    ) {
        let (local, remote) = (flow.tuple.local.address, flow.tuple.remote.address);
        let mut at = |roll: &mut Roll, address, speaking, flow: &Flow| {
            let watched = if speaking || roll.is_named(address) {
                roll.speaker(address, now)
            } else {
                roll.at(address)
            };
            if let Some(watched) = watched {
                output.found(watched.device, look(&mut watched.detectors, flow, now));
            }
        };
        at(&mut self.roll, local, speaks == Some(Direction::Outbound), flow);
        if self.roll.watches_others() && remote != local && self.roll.may_be(remote) {
            at(&mut self.roll, remote, speaks == Some(Direction::Inbound), &flow.flipped());
        }
    }
}

#[cfg(test)]
mod tests;
