//! The sensor: the one path from a sighting to findings and report rows, for the running agent, for `observe`, for the
//! simulator alike.
//!
//! It owns the flow table, the detectors and the report, and nothing else. It never looks anything up and never acts.
//! Every sighting carries its own time. Read next: [`crate::flow`], [`crate::detect`], [`crate::report`].

use alloc::vec::Vec;
use core::hash::BuildHasher;

use cordon_proto::telemetry::{Finding, FlowRow};
use cordon_proto::time::Millis;

use crate::detect::Detectors;
use crate::flow::table::{Change, FlowTable};
use crate::flow::{Connection, Flow, Seen, Sighting};
use crate::profile::Knowledge;
use crate::report::Report;

/// What came of sightings and time. The caller takes it out; nothing is kept here.
#[derive(Debug, Default)]
pub struct Output {
    /// Findings to report now.
    pub findings: Vec<Finding>,
    /// Rows of a finished routine report.
    pub rows: Vec<FlowRow>,
    /// Flows that ended or were reported while they go on.
    pub flows: Vec<Flow>,
    /// The profile was frozen: keep it.
    pub frozen: bool,
}

/// The sensor.
#[derive(Debug)]
pub struct Sensor<S> {
    table: FlowTable<S>,
    detectors: Detectors,
    report: Report,
    forced_told: u64,
}

impl<S: BuildHasher> Sensor<S> {
    /// A sensor over a flow table and detectors.
    #[must_use]
    pub fn new(table: FlowTable<S>, detectors: Detectors) -> Self {
        Self { table, detectors, report: Report::default(), forced_told: 0 }
    }

    /// The detectors, for their profile and for keeping them.
    #[must_use]
    pub fn detectors(&self) -> &Detectors {
        &self.detectors
    }

    /// The detectors, to freeze them.
    pub fn detectors_mut(&mut self) -> &mut Detectors {
        &mut self.detectors
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
                output.findings.extend(self.detectors.listening(listener, sighting.at))
            }
        }
    }

    /// Lets time pass: ends idle flows, finishes the report, freezes the profile. Call it every second or so.
    pub fn pass(&mut self, now: Millis, output: &mut Output) {
        let mut changes = Vec::new();
        self.table.expire(now, &mut changes);
        self.take(changes, now, output);
        let forced = self.table.forced();
        output.findings.extend(self.detectors.pressed(forced - self.forced_told, now));
        self.forced_told = forced;
        output.frozen |= self.detectors.pass(now);
        if self.report.due(now) {
            output.rows.extend(self.report.take(now));
        }
    }

    /// Ends everything that is still open, for a file read to its end or an agent that stops.
    pub fn finish(&mut self, now: Millis, output: &mut Output) {
        let mut changes = Vec::new();
        self.table.finish(&mut changes);
        self.take(changes, now, output);
        output.rows.extend(self.report.take(now));
    }

    fn connection(&mut self, connection: &Connection, at: Millis, output: &mut Output) {
        let mut changes = Vec::new();
        self.table.observe(connection, at, &mut changes);
        self.take(changes, at, output);
    }

    fn take(&mut self, changes: Vec<Change>, now: Millis, output: &mut Output) {
        for change in changes {
            match change {
                Change::Began(flow) => {
                    output.findings.extend(self.detectors.observe(&flow, now));
                    let profile = self.detectors.profile();
                    let known = (!profile.learns()).then(|| profile.knows(&flow, &[]) == Knowledge::Known);
                    self.report.began(&flow, known);
                }
                Change::Continues(flow) | Change::Ended(flow) => {
                    self.report.carried(&flow);
                    output.flows.push(flow);
                }
            }
        }
    }
}
