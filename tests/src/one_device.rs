//! One device of a test: the agent's own identity and link against a running hospital, without its event loop.
//!
//! For tests that ask what the server answers, message by message. Nothing here is a fleet; read next: `hospital`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cordon_agent::clock::{Floor, SystemClock, TrustedClock};
use cordon_agent::files::Folder;
use cordon_agent::identity::{Applicant, Identity, IdentityError, enrol};
use cordon_agent::link::{Link, LinkError, Patience};
use cordon_agent::tls::Route;
use cordon_proto::checkin::{
    CheckinAnswer, CheckinRequest, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::{Hardware, Sha256, Text};
use cordon_proto::telemetry::{Batch, BatchAnswer, Position, Record};
use cordon_proto::time::{Millis, Timestamp};

use crate::hospital::{Hospital, Place, Who};

/// A device that has enrolled.
pub struct OneDevice {
    serial: String,
    link: Link,
    sequence: u64,
}

impl OneDevice {
    /// Enrols a pump of this serial; its state lies in a folder of its name below `states`.
    pub async fn enrol(hospital: &Hospital, states: &Path, serial: &str) -> anyhow::Result<Self> {
        let line = Self::line(hospital, serial).await?;
        let identity = Self::ask(&line, states, serial).await?;
        let route = Route { host: "127.0.0.1".to_owned(), ..Route::default() };
        let link = Link::new(&identity, &route, clock(), Patience::default()).context("a link")?;
        Ok(Self { serial: serial.to_owned(), link, sequence: 0 })
    }

    /// An enrolment string for this serial.
    pub async fn line(hospital: &Hospital, serial: &str) -> anyhow::Result<String> {
        let place = Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" };
        hospital.enrolment("VP-3", &place, Who::Serial(serial)).await
    }

    /// Asks for an identity with an enrolment string.
    pub async fn ask(line: &str, states: &Path, serial: &str) -> Result<Identity, IdentityError> {
        let string: EnrolmentString = line.parse().expect("the server's own string");
        let state = Folder::open(states.join(serial))?;
        let applicant =
            Applicant { hardware: hardware(serial), addresses: Vec::new(), proxy: None, clock: clock() };
        enrol(&state, &string, &applicant).await
    }

    /// Checks in.
    pub async fn checkin(&self) -> Result<CheckinAnswer, LinkError> {
        self.link.checkin(&checkin(&self.serial)).await
    }

    /// Sends `records` records of this many bytes in one batch. Refused ones are sent again the next time, as an agent
    /// does.
    pub async fn tell(&mut self, records: u64, bytes: usize) -> Result<BatchAnswer, LinkError> {
        let first = self.sequence.saturating_add(1);
        let last = self.sequence.saturating_add(records);
        let record = |sequence| {
            let position = Position { boot: 1, sequence };
            Record { position, time: Millis(1), kind: 99, body: vec![7; bytes].into() }
        };
        let answer = self.link.telemetry(&Batch { records: (first..=last).map(record).collect() }).await?;
        self.sequence = answer.stored_through.sequence;
        Ok(answer)
    }

    /// Sequence of the last record that the server acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.sequence
    }

    /// The agent's link, for whatever else a test asks.
    #[must_use]
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

fn hardware(serial: &str) -> Hardware {
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial: text(serial) }
}

fn clock() -> TrustedClock {
    TrustedClock::new(Arc::new(SystemClock::new()), Floor::new(None))
}

fn checkin(serial: &str) -> CheckinRequest {
    CheckinRequest {
        boot: 1,
        device_time: Timestamp(1_800_000_000),
        agent_version: text("0.1.0"),
        uptime_s: 1,
        hardware: hardware(serial),
        software: Software { release: None, counter: 0, sha256: Sha256([0; 32]), floor: 0, slot: text("A") },
        update: UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 },
        interlock: InterlockState::Unknown,
        sensor: SensorReport { tier: None, note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([5; 32]),
        key_protection: text("file"),
        spool_records: 0,
        spool_lost: 0,
        content_version: 0,
        director_root_version: 0,
        want_permit: None,
    }
}
