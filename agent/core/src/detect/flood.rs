//! The detector `volume`, where no baseline is needed: floods of connections, and of requests for addresses.
//!
//! Five hundred connections that nobody has answered, begun within ten seconds, are a flood by any measure: the busiest
//! benign recording has a tenth of it. So are thirty-two clients of DHCP within a minute, or a hundred requests, whoever
//! sends them: a server sees as many in an hour of ordinary work. A flood of packets inside one connection is not seen here.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Finding, Severity};
use cordon_proto::time::Millis;

use super::ledger::{Detector, Ledger};
use super::words::{self, Judgement, moment};
use crate::dissect::{Mac, dhcp};
use crate::flow::{Flow, State};
use crate::profile::key::is_local;

/// Unanswered connections begun within [`CONNECTIONS_MS`].
const CONNECTIONS: u32 = 500;
/// Milliseconds in which they are counted.
const CONNECTIONS_MS: i64 = 10_000;
/// Requests within [`CLIENTS_MS`], of however many clients.
const REQUESTS: u32 = 100;
/// Milliseconds in which clients and their requests are counted.
const CLIENTS_MS: i64 = 60_000;

/// What is counted.
#[derive(Clone, Debug, Default)]
pub struct Floods {
    /// By the device, and at it.
    connections: [Window; 2],
    leases_since: Option<Millis>,
    /// Those that asked for an address, each once.
    clients: Vec<Mac>,
    requests: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Option<Millis>,
    open: u32,
}

impl Floods {
    /// Takes the beginning of a flow.
    pub fn began(&mut self, flow: &Flow, ledger: &mut Ledger, now: Millis) -> Option<Finding> {
        if flow.answered || flow.state != State::New {
            return None;
        }
        let window = self.window(flow.direction);
        if window.since.is_none_or(|since| now.since(since) > CONNECTIONS_MS) {
            *window = Window { since: Some(now), open: 0 };
        }
        window.open = window.open.saturating_add(1);
        let (since, open) = (window.since.unwrap_or(now), window.open);
        if open < CONNECTIONS {
            return None;
        }
        let key = if flow.direction == Direction::Outbound { "by-device" } else { "at-device" };
        let tally = ledger.count(Detector::Volume, key, now.seconds())?;
        Some(connections(flow, (since, now), open).finding(&tally))
    }

    /// Takes the first answer to a flow.
    pub fn answered(&mut self, flow: &Flow, now: Millis) {
        let window = self.window(flow.direction);
        if window.since.is_some_and(|since| flow.start >= since && now.since(since) <= CONNECTIONS_MS) {
            window.open = window.open.saturating_sub(1);
        }
    }

    /// Takes what a client says to the DHCP servers.
    pub fn lease_asked(
        &mut self,
        message: &dhcp::Message,
        ledger: &mut Ledger,
        now: Millis,
    ) -> Option<Finding> {
        if !matches!(message.kind, 1 | 3 | 8) {
            return None;
        }
        let since = *self.leases_since.get_or_insert(now);
        if now.since(since) > CLIENTS_MS {
            self.leases_since = Some(now);
            self.clients.clear();
            self.requests = 0;
        }
        self.requests = self.requests.saturating_add(1);
        if !self.clients.contains(&message.client) && self.clients.len() < limits::DHCP_CLIENTS {
            self.clients.push(message.client);
        }
        if self.clients.len() < limits::DHCP_CLIENTS && self.requests < REQUESTS {
            return None;
        }
        let tally = ledger.count(Detector::Volume, "dhcp", now.seconds())?;
        Some(leases((self.clients.len(), self.requests), (since, now)).finding(&tally))
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.clients.capacity() * size_of::<Mac>()
    }

    fn window(&mut self, direction: Direction) -> &mut Window {
        let [by, at] = &mut self.connections;
        match direction {
            Direction::Outbound => by,
            Direction::Inbound => at,
        }
    }
}

fn connections(flow: &Flow, (since, now): (Millis, Millis), open: u32) -> Judgement {
    let peer = words::peer(flow);
    let local = is_local(flow.tuple.remote.address);
    let seconds = (now.since(since).max(0) / 1000 + 1).to_string();
    let (title, who) = match flow.direction {
        Direction::Outbound => ("Floods others with connections", "this device opened"),
        Direction::Inbound => ("Is flooded with connections", "others opened"),
    };
    Judgement {
        detector: Detector::Volume,
        severity: if local { Severity::High } else { Severity::Medium },
        attack: &["T1498", "T1499"],
        evidence: Vec::from([
            ("unanswered", open.to_string()),
            ("seconds", seconds.clone()),
            ("last-port", flow.service_port().to_string()),
        ]),
        title: title.to_string(),
        what_changed: format!(
            "Since {} {who} {open} connections within {seconds} s that got no answer; the last was with {} port {}.",
            moment(since.seconds()),
            words::shortened(&peer),
            flow.service_port()
        ),
        why_it_matters: "A flood keeps devices from their work, and the network from carrying what others need.",
        how_sure: "High: the count is exact, and no ordinary device opens so many that nobody answers.".to_string(),
        what_to_do: "Look at the network port of whoever sends it and take that off the network. A load test looks the same."
            .to_string(),
        peer: Some(peer),
    }
}

fn leases((clients, requests): (usize, u32), (since, now): (Millis, Millis)) -> Judgement {
    let seconds = (now.since(since).max(0) / 1000 + 1).to_string();
    Judgement {
        detector: Detector::Volume,
        peer: None,
        severity: Severity::High,
        attack: &["T1499", "T0814"],
        evidence: Vec::from([
            ("clients", clients.to_string()),
            ("requests", requests.to_string()),
            ("seconds", seconds.clone()),
        ]),
        title: "The servers of addresses are flooded".to_string(),
        what_changed: format!(
            "Since {} {requests} requests for addresses came within {seconds} s, of {}.",
            moment(since.seconds()),
            words::counted(u64::try_from(clients).unwrap_or(0), "hardware address", "hardware addresses")
        ),
        why_it_matters: "When all addresses are taken, devices that restart get none and cannot speak.",
        how_sure: "High: so many do not come at once, unless power returns to a whole floor.".to_string(),
        what_to_do: "Ask the network team for the port they come from. After a power cut this is ordinary: wait ten minutes."
            .to_string(),
    }
}
