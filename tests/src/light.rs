//! Light devices: identity and link of the shipped agent without its event loop, thousands of them in one process.
//!
//! Each enrols over the enrolment plane with a key of its own and speaks over mutual TLS; what it says is numbered, so
//! that afterwards it can be asked what of it was stored, and how often. Read next: `cordon_agent::link`.

use std::path::Path;
use std::sync::Arc;

use cordon_agent::clock::{Floor, SystemClock, TrustedClock};
use cordon_agent::files::Folder;
use cordon_agent::identity::{Applicant, Identity, IdentityError, enrol};
use cordon_agent::link::{Link, Patience};
use cordon_agent::tls::Route;
use cordon_proto::checkin::{
    CheckinRequest, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::{Hardware, Sha256, Text};
use cordon_proto::telemetry::{Batch, Body, Direction, FlowRow, Position, Protocol};
use cordon_proto::time::{Millis, Timestamp};

/// Seconds of an hour, the interval of a flow row.
const HOUR_S: i64 = 3600;

/// A device that is enrolled.
#[derive(Clone, Debug)]
pub struct Light {
    /// What it is.
    pub hardware: Hardware,
    /// Who it is.
    pub identity: Identity,
}

/// A clock as a device has it.
fn clock() -> TrustedClock {
    TrustedClock::new(Arc::new(SystemClock::new()), Floor::new(None))
}

/// The hardware of a light device.
#[must_use]
pub fn hardware(maker: &str, model: &str, serial: &str) -> Hardware {
    let text = Text::lossy;
    Hardware { manufacturer: text(maker), model: text(model), revision: text("A"), serial: text(serial) }
}

impl Light {
    /// Enrols a device whose state is kept under `folder`.
    ///
    /// # Panics
    /// If `string` is no enrolment string: it is the server's own.
    pub async fn enrol(folder: &Path, string: &str, hardware: Hardware) -> Result<Self, IdentityError> {
        let string: EnrolmentString = string.parse().expect("the server's own string");
        let state = Folder::open(folder.join(hardware.serial.as_str()))?;
        let applicant = Applicant {
            hardware: hardware.clone(),
            addresses: Vec::new(),
            proxy: None,
            metered: false,
            clock: clock(),
        };
        let identity = enrol(&state, &string, &applicant).await?;
        Ok(Self { hardware, identity })
    }

    /// A connection to its server, or to the one at another port.
    pub fn link(&self, port: Option<u16>, patience: Patience) -> anyhow::Result<Link> {
        let mut identity = self.identity.clone();
        identity.site.device_port = port.unwrap_or(identity.site.device_port);
        let route = Route { host: identity.site.host.clone(), ..Route::default() };
        Ok(Link::new(&identity, &route, clock(), patience)?)
    }
}

/// What a device says of itself that has nothing to tell; the fields are public.
#[must_use]
pub fn says(hardware: &Hardware) -> CheckinRequest {
    CheckinRequest {
        boot: 1,
        device_time: Timestamp(1_790_000_000),
        agent_version: Text::lossy("0.1.0"),
        uptime_s: 1,
        hardware: hardware.clone(),
        software: Software {
            release: None,
            counter: 0,
            sha256: Sha256([0; 32]),
            floor: 0,
            slot: Text::lossy("A"),
        },
        update: UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 },
        interlock: InterlockState::Unknown,
        sensor: SensorReport { tier: None, note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: Text::lossy("file"),
        spool_records: 0,
        spool_lost: 0,
        content_version: 0,
        director_root_version: 0,
        want_permit: None,
        sequence: 0,
        run: 0,
        machine: None,
        ca_version: 0,
        content_fault: None,
    }
}

/// The flow rows `first..first + count` of a device's stream: hourly sums, as the agent reports them.
#[must_use]
pub fn flows(first: u64, count: u64, now: Timestamp) -> Batch {
    let row = |sequence: u64| FlowRow {
        start: now.plus_seconds(-HOUR_S),
        end: now,
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        peer: Text::lossy(&format!("ward-{}.pacs.hospital.example", sequence % 97)),
        port: u16::try_from(1024 + sequence % 40_000).unwrap_or(443),
        connections: 6,
        bytes_out: sequence.wrapping_mul(7919) % 1_000_000,
        bytes_in: sequence.wrapping_mul(104_729) % 10_000_000,
        minutes: vec![3, 14, 15, 26, 53, 58],
        known: Some(true),
    };
    let record =
        |sequence| Body::Flows(row(sequence)).record(Position { boot: 1, sequence }, Millis::from(now));
    Batch { records: (first..first + count).map(record).collect() }
}
