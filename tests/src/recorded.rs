//! Recordings of real devices, read into the core's own types.
//!
//! The folder named by `CORDON_DATA` holds them, where there is one. Nothing of them is part of the project. A reader here is for tests and benches alone; the device's own readers are in
//! `cordon_agent_core::recording`. Read next: `tests/tests/recorded_flows.rs`, [`crate::bench::anomaly`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_agent_core::flow::{Endpoint, Flow, State, Traffic, Tuple};
use cordon_agent_core::mud::Way;
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::{Millis, Timestamp};

use crate::program::program;

/// Each recording of flows, and the MUD file that its maker might have written.
pub const PAIRS: [(&str, &str); 6] = [
    ("AwairAirQuality", "awairAirQualityMud.json"),
    ("BlipCareBPMeter", "blipcareBPmeterMud.json"),
    ("HelloBarbie", "hellobarbieMud.json"),
    ("NestDropCam", "dropcamMud.json"),
    ("PixStarPhotoFrame", "pixstarphotoframeMud.json"),
    ("TPLinkSmartPlug", "tplinkplugMud.json"),
];

/// The folder with the recordings of the network, where there is one.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let data = PathBuf::from(std::env::var_os("CORDON_DATA")?);
    [data.join("anomaly"), data].into_iter().find(|folder| folder.join("flows-unsw").is_dir())
}

/// One row of a recording.
#[derive(Clone, Debug)]
pub struct Row {
    /// As a flow.
    pub flow: Flow,
    /// Whose packet was seen first.
    pub says: Direction,
    /// Who opened it, where that was seen.
    pub opened: Option<Direction>,
}

impl Row {
    /// The packets that were seen, for the judge.
    #[must_use]
    pub fn way(&self) -> Way<'_> {
        Way { opened: self.opened, name: self.flow.name.as_deref(), ..Way::of(&self.flow, self.says) }
    }
}

/// The recorded rows of one device in order of time: those of a clock that was not set yet, of a device without an address,
/// and of the device with itself are left out.
///
/// # Panics
/// If the recording cannot be read.
#[must_use]
pub fn rows(folder: &Path, device: &str) -> Vec<Row> {
    let is_of = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(&format!("{device}_")))
    };
    let listed = folder.join("flows-unsw").read_dir().expect("the folder of recordings lists");
    let path =
        listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).find(is_of).expect("a recording");
    let output = program("gzip").arg("-dc").arg(&path).output().expect("gzip is part of every Debian");
    assert!(output.status.success(), "{}", path.display());
    let text = String::from_utf8(output.stdout).expect("the recording is text");
    let mut rows: Vec<Row> = text.lines().skip(1).filter_map(row).collect();
    rows.sort_by_key(|row| row.flow.start);
    rows
}

fn row(line: &str) -> Option<Row> {
    let mut columns = line.splitn(11, ',').skip(1);
    let mut column = || columns.next();
    let (at, local, remote, protocol) = (column()?, column()?, column()?, column()?);
    let (local_port, remote_port, says, initiated, tcp_initiated, rule) =
        (column()?, column()?, column()?, column()?, column()?, column()?);
    let (date, clock) = at.split_once(' ')?;
    let start = Timestamp::parse(&format!("{date}T{}Z", clock.get(..8)?)).ok()?;
    let protocol = match protocol {
        "6" => Protocol::Tcp,
        "17" => Protocol::Udp,
        _ => Protocol::Icmp,
    };
    let way = |by_device| if by_device { Direction::Outbound } else { Direction::Inbound };
    let seen = !tcp_initiated.is_empty();
    let opened = if protocol == Protocol::Tcp && seen { tcp_initiated } else { initiated };
    let end = |address: &str, port: &str| {
        Some(Endpoint { address: address.parse().ok()?, port: port.parse().unwrap_or(0) })
    };
    let (local, remote) = (end(local, local_port)?, end(remote, remote_port)?);
    let unset = start < Timestamp::parse("2016-01-01T00:00:00Z").ok()? || local.address.is_unspecified();
    let at = Millis::from(start);
    let flow = Flow {
        tuple: Tuple { protocol, local, remote },
        direction: way(opened == "True"),
        start: at,
        end: at,
        state: State::New,
        traffic: Traffic::default(),
        total: Traffic::default(),
        answered: true,
        name: name(rule),
        asked_for: None,
    };
    let opened = (protocol == Protocol::Tcp && seen).then_some(flow.direction);
    (!unset && !flow.stays_on_device()).then_some(Row { flow, says: way(says == "egress"), opened })
}

/// The name in the rule that would allow the flow, where it has one instead of an address.
fn name(rule: &str) -> Option<Arc<str>> {
    let peer =
        rule.split(' ').find_map(|word| word.strip_prefix("dst:").or_else(|| word.strip_prefix("src:")))?;
    let address = peer.split('/').next().is_some_and(|address| address.parse::<IpAddr>().is_ok());
    (!address).then(|| peer.into())
}
