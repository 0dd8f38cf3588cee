//! One device of a test: a light device with a stream of its own, against a running hospital.
//!
//! For tests that ask what the server answers, message by message. Nothing here is a fleet; read next: `light`.

use std::path::Path;

use cordon_agent::identity::IdentityError;
use cordon_agent::link::{Link, LinkError, Patience};
use cordon_proto::checkin::CheckinAnswer;
use cordon_proto::ids::Hardware;
use cordon_proto::telemetry::{Batch, BatchAnswer, Position, Record};
use cordon_proto::time::Millis;

use crate::hospital::{Hospital, Place, Who};
use crate::light::{self, Light};

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
        let link = Self::ask(&line, states, serial).await?.link(None, Patience::default())?;
        Ok(Self { serial: serial.to_owned(), link, sequence: 0 })
    }

    /// An enrolment string for this serial.
    pub async fn line(hospital: &Hospital, serial: &str) -> anyhow::Result<String> {
        let place = Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" };
        hospital.enrolment("VP-3", &place, Who::Serial(serial)).await
    }

    /// Asks for an identity with an enrolment string.
    pub async fn ask(line: &str, states: &Path, serial: &str) -> Result<Light, IdentityError> {
        Light::enrol(states, line, hardware(serial)).await
    }

    /// Checks in.
    pub async fn checkin(&self) -> Result<CheckinAnswer, LinkError> {
        self.link.checkin(&light::says(&hardware(&self.serial))).await
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

fn hardware(serial: &str) -> Hardware {
    light::hardware("Halden", "VP-3", serial)
}
