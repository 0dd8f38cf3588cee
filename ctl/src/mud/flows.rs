//! Flows as `cordon-agent observe` writes them, seen from one device.
//!
//! One JSON object a line; other lines than flows are passed over. The name of a line belongs to whoever was called, so
//! it is the peer's where the device called. Read next: [`super::conformance`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use cordon_agent_core::mud::Way;
use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Protocol};
use serde::Deserialize;

use crate::failure::Failure;

/// One observed flow, seen from the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When it began, as it was written.
    pub start: String,
    /// Over what.
    pub protocol: Protocol,
    /// Who opened it.
    pub opened: Direction,
    /// The peer.
    pub peer: IpAddr,
    /// The peer's port.
    pub peer_port: u16,
    /// The device's port.
    pub own_port: u16,
    /// The peer's name.
    pub name: Option<String>,
    /// Which ways packets went: from the device, to it.
    pub went: [bool; 2],
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
struct Line {
    r#type: String,
    #[serde(default)]
    start: String,
    #[serde(default)]
    proto: String,
    src: Option<IpAddr>,
    #[serde(default)]
    src_port: u16,
    dst: Option<IpAddr>,
    #[serde(default)]
    dst_port: u16,
    #[serde(default)]
    packets_out: u64,
    #[serde(default)]
    packets_in: u64,
    name: Option<String>,
}

impl Flow {
    /// The packets of one way, for the judge.
    #[must_use]
    pub fn way(&self, says: Direction) -> Way<'_> {
        let asks = says == self.opened;
        let icmp = match (self.protocol, asks) {
            (Protocol::Icmp, true) => {
                let kind = if self.opened == Direction::Outbound { self.own_port } else { self.peer_port };
                u8::try_from(kind).ok().map(|kind| [kind, 0])
            }
            (Protocol::Icmp, false) => {
                let kind = if self.opened == Direction::Outbound { self.peer_port } else { self.own_port };
                u8::try_from(kind).ok().map(|kind| [kind, 0])
            }
            (Protocol::Tcp | Protocol::Udp, _) => None,
        };
        Way {
            says,
            protocol: self.protocol,
            peer: self.peer,
            peer_port: self.peer_port,
            own_port: self.own_port,
            opened: Some(self.opened),
            name: self.name.as_deref(),
            icmp,
        }
    }

    /// The ways that packets went.
    pub fn ways(&self) -> impl Iterator<Item = Direction> {
        let [out, back] = self.went;
        let ways = [(Direction::Outbound, out), (Direction::Inbound, back)];
        ways.into_iter().filter(|(_, went)| *went).map(|(says, _)| says)
    }

    /// The port of whoever was called.
    #[must_use]
    pub fn service(&self) -> u16 {
        match self.opened {
            Direction::Outbound => self.peer_port,
            Direction::Inbound => self.own_port,
        }
    }
}

/// Reads the flows of a device; where none is named, of the one that most flows begin at.
///
/// # Errors
/// The file cannot be read, a line is no JSON, or no flow is the device's.
pub fn read(path: &Path, device: Option<IpAddr>) -> Result<(IpAddr, Vec<Flow>), Failure> {
    let failed = |error: std::io::Error| Failure::file("read", path, &error);
    let refuse = |what: String| Failure::refused("unusable flows", format!("{}: {what}", path.display()));
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut lines = Vec::new();
    let most = u64::try_from(limits::RECORDED_LINE_BYTES).unwrap_or(u64::MAX);
    for number in 1.. {
        let mut bytes = Vec::new();
        let length = reader.by_ref().take(most).read_until(b'\n', &mut bytes).map_err(failed)?;
        if length == 0 {
            break;
        }
        let line: Line = serde_json::from_slice(&bytes).map_err(|error| {
            refuse(format!("line {number} is not one of `cordon-agent observe`: {error}"))
        })?;
        if line.r#type == "flow" {
            lines.push(line);
        }
        if lines.len() > limits::MUD_FLOWS {
            return Err(refuse(format!(
                "more than {} flows: cut it with --from and --until",
                limits::MUD_FLOWS
            )));
        }
    }
    let Some(device) = device.or_else(|| busiest(&lines)) else {
        return Err(refuse("there is no flow in it".to_owned()));
    };
    let flows: Vec<Flow> = lines.iter().filter_map(|line| seen_from(device, line)).collect();
    if flows.is_empty() {
        return Err(refuse(format!("no flow in it is {device}'s: name another with --device")));
    }
    Ok((device, flows))
}

fn busiest(lines: &[Line]) -> Option<IpAddr> {
    let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for source in lines.iter().filter_map(|line| line.src) {
        *counts.entry(source).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)
}

fn seen_from(device: IpAddr, line: &Line) -> Option<Flow> {
    let protocol = match line.proto.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        _ => return None,
    };
    let (source, target) = (line.src?, line.dst?);
    let (sent, received) = (line.packets_out > 0, line.packets_in > 0);
    let opened = match (source == device, target == device) {
        (true, false) => Direction::Outbound,
        (false, true) => Direction::Inbound,
        (true, true) | (false, false) => return None,
    };
    let (start, name) = (line.start.clone(), line.name.clone());
    Some(match opened {
        Direction::Outbound => Flow {
            start,
            protocol,
            opened,
            peer: target,
            peer_port: line.dst_port,
            own_port: line.src_port,
            name,
            went: [sent, received],
        },
        Direction::Inbound => Flow {
            start,
            protocol,
            opened,
            peer: source,
            peer_port: line.src_port,
            own_port: line.dst_port,
            name: None,
            went: [received, sent],
        },
    })
}
