//! The routine report: one row for each peer and service over an hour, instead of one for each connection.
//!
//! That is what keeps a device that talks a lot below 20 KB an hour. Connections that stay on the device are left out.
//! Rows are bounded; what exceeds them is summed in rows whose peer is [`OTHERS`], never dropped.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, FlowRow, Protocol};
use cordon_proto::time::{Millis, Timestamp};

use crate::detect::words;
use crate::flow::Flow;

/// The peer of the rows in which peers beyond the bound are summed.
pub const OTHERS: &str = "others";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    direction: Direction,
    protocol: Protocol,
    port: u16,
    peer: String,
}

#[derive(Clone, Debug, Default)]
struct Sum {
    connections: u32,
    bytes_out: u64,
    bytes_in: u64,
    minutes: Vec<u16>,
    known: Option<bool>,
}

/// The report in the making.
#[derive(Debug, Default)]
pub struct Report {
    start: Option<Timestamp>,
    lines: BTreeMap<Line, Sum>,
}

impl Report {
    /// Counts the beginning of a flow. `known` is what the profile says of it, `None` while it learns.
    pub fn began(&mut self, flow: &Flow, known: Option<bool>) {
        if flow.stays_on_device() {
            return;
        }
        let minute = self.minute(flow.start);
        let sum = self.sum(flow);
        sum.connections = sum.connections.saturating_add(1);
        sum.known = known;
        if let Err(place) = sum.minutes.binary_search(&minute) {
            sum.minutes.insert(place, minute);
        }
    }

    /// Adds the traffic of a flow that ended or goes on.
    pub fn carried(&mut self, flow: &Flow) {
        if flow.stays_on_device() {
            return;
        }
        self.minute(flow.end);
        let sum = self.sum(flow);
        sum.bytes_out = sum.bytes_out.saturating_add(flow.traffic.bytes_out);
        sum.bytes_in = sum.bytes_in.saturating_add(flow.traffic.bytes_in);
    }

    /// Whether the interval is over.
    #[must_use]
    pub fn due(&self, now: Millis) -> bool {
        self.start.is_some_and(|start| now.seconds().seconds_since(start) >= limits::REPORT_INTERVAL_S)
    }

    /// The rows so far, in order; the next interval begins.
    pub fn take(&mut self, now: Millis) -> Vec<FlowRow> {
        let end = now.seconds();
        let start = self.start.take().unwrap_or(end);
        let lines = core::mem::take(&mut self.lines);
        let row = |(line, sum): (Line, Sum)| FlowRow {
            start,
            end,
            direction: line.direction,
            protocol: line.protocol,
            peer: Text::lossy(&line.peer),
            port: line.port,
            connections: sum.connections,
            bytes_out: sum.bytes_out,
            bytes_in: sum.bytes_in,
            minutes: sum.minutes,
            known: sum.known,
        };
        lines.into_iter().map(row).collect()
    }

    /// Minutes from the start of the interval, which begins with the first flow told of.
    fn minute(&mut self, at: Millis) -> u16 {
        let start = *self.start.get_or_insert(at.seconds());
        u16::try_from(at.seconds().seconds_since(start).max(0) / 60).unwrap_or(u16::MAX)
    }

    fn sum(&mut self, flow: &Flow) -> &mut Sum {
        let (direction, protocol, port) = (flow.direction, flow.tuple.protocol, flow.service_port());
        let line = Line { direction, protocol, port, peer: words::peer(flow) };
        let fits = self.lines.len() < limits::REPORT_ROWS || self.lines.contains_key(&line);
        let others = || Line { direction, protocol, port: 0, peer: OTHERS.to_owned() };
        self.lines.entry(if fits { line } else { others() }).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Endpoint, State, Traffic, Tuple};
    use core::net::{IpAddr, Ipv4Addr};

    fn flow(remote: u32, minute: i64, bytes_out: u64) -> Flow {
        Flow {
            tuple: Tuple {
                protocol: Protocol::Tcp,
                local: Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), port: 50_000 },
                remote: Endpoint { address: IpAddr::V4(Ipv4Addr::from(remote)), port: 443 },
            },
            direction: Direction::Outbound,
            start: Millis(minute * 60_000),
            end: Millis(minute * 60_000 + 1),
            state: State::Closed,
            traffic: Traffic { bytes_out, bytes_in: 1, ..Traffic::default() },
            total: Traffic::default(),
            answered: true,
            name: None,
            asked_for: None,
        }
    }

    #[test]
    fn a_hundred_connections_a_minute_to_one_peer_are_one_row_an_hour() {
        // Goal: the uplink bar. Method: 6,000 connections in an hour; rows and bytes as sent.
        let mut report = Report::default();
        for connection in 0..6000 {
            let flow = flow(0xcb00_7109, connection / 100, 10);
            report.began(&flow, Some(true));
            report.carried(&flow);
            assert!(!report.due(Millis(59 * 60_000)));
        }
        assert!(report.due(Millis(3_600_000)));
        let rows = report.take(Millis(3_600_000));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].connections, rows[0].bytes_out, rows[0].bytes_in), (6000, 60_000, 6000));
        assert_eq!((rows[0].minutes.len(), rows[0].peer.as_str()), (60, "203.0.113.9"));
        assert!(cordon_proto::wire::write(&rows[0]).len() < 200);
        assert!(report.take(Millis(3_700_000)).is_empty());
    }

    #[test]
    fn peers_beyond_the_bound_are_summed_not_dropped() {
        // Goal: bounded rows, exact sums. Method: three times as many peers as rows.
        let mut report = Report::default();
        let peers = 3 * u32::try_from(limits::REPORT_ROWS).expect("small");
        for peer in 0..peers {
            report.began(&flow(0x0800_0000 + peer, 0, 0), None);
        }
        let rows = report.take(Millis(3_600_000));
        assert_eq!(rows.len(), limits::REPORT_ROWS + 1);
        assert_eq!(rows.iter().map(|row| row.connections).sum::<u32>(), peers);
        assert!(rows.iter().any(|row| row.peer.as_str() == OTHERS && row.port == 0));
    }

    #[test]
    fn what_stays_on_the_device_is_left_out() {
        // Goal: no noise from the device's own plumbing. Method: one loopback connection.
        let mut report = Report::default();
        report.began(&flow(0x7f00_0001, 0, 0), None);
        report.carried(&flow(0x7f00_0001, 0, 9));
        assert!(report.take(Millis(1)).is_empty());
    }
}
