//! One device of a test: a light device with a stream of its own, against a running hospital.
//!
//! For tests that ask what the server answers, message by message. Nothing here is a fleet; read next: `light`.

use std::path::Path;

use anyhow::ensure;
use cordon_agent::identity::IdentityError;
use cordon_agent::link::{Link, LinkError, Patience};
use cordon_proto::checkin::{
    Action, CheckinAnswer, CheckinRequest, InterlockState, PermitRequest, Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::{Hardware, Name, Sha256, TargetPath, Text};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::telemetry::{Batch, BatchAnswer, Position, Record};
use cordon_proto::time::{Millis, Timestamp};
use tokio::time::{Duration, Instant, sleep};

use crate::hospital::{Hospital, Place, Who};
use crate::light::{self, Light};

/// Where it stands.
const PLACE: Place<'static> = Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" };
/// Between two questions for the order or the go.
const PAUSE: Duration = Duration::from_millis(700);
/// How long both may take together.
const PATIENCE: Duration = Duration::from_secs(180);

/// A device that has enrolled.
pub struct OneDevice {
    serial: String,
    light: Light,
    link: Link,
    sequence: u64,
}

impl OneDevice {
    /// Enrols a pump of this serial; its state lies in a folder of its name below `states`.
    pub async fn enrol(hospital: &Hospital, states: &Path, serial: &str) -> anyhow::Result<Self> {
        Self::enrol_in(hospital, states, serial, PLACE.ward).await
    }

    /// The same in another ward.
    pub async fn enrol_in(
        hospital: &Hospital,
        states: &Path,
        serial: &str,
        ward: &str,
    ) -> anyhow::Result<Self> {
        let line = hospital.enrolment("VP-3", &Place { ward, ..PLACE }, Who::Serial(serial)).await?;
        let light = Self::ask(&line, states, serial).await?;
        let link = light.link(None, Patience::default())?;
        Ok(Self { serial: serial.to_owned(), light, link, sequence: 0 })
    }

    /// An enrolment string for this serial.
    pub async fn line(hospital: &Hospital, serial: &str) -> anyhow::Result<String> {
        hospital.enrolment("VP-3", &PLACE, Who::Serial(serial)).await
    }

    /// Asks for an identity with an enrolment string.
    pub async fn ask(line: &str, states: &Path, serial: &str) -> Result<Light, IdentityError> {
        Light::enrol(states, line, hardware(serial)).await
    }

    /// Checks in.
    pub async fn checkin(&self) -> Result<CheckinAnswer, LinkError> {
        self.link.checkin(&light::says(&hardware(&self.serial))).await
    }

    /// Says that it runs this image, and that nobody is attached to it.
    pub async fn stands_by(&self, counter: u64, sha256: Sha256) -> Result<CheckinAnswer, LinkError> {
        let idle = light::says(&hardware(&self.serial));
        let software = Software { counter, sha256, ..idle.software };
        self.link.checkin(&CheckinRequest { software, interlock: InterlockState::Standby, ..idle }).await
    }

    /// Takes part in a rollout as an agent does: waits for the order, asks for the go, and hands in the receipt of this
    /// image at `now`.
    pub async fn install(
        &self,
        release: &TargetPath,
        image: Sha256,
        now: impl Fn() -> Timestamp,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut order: Option<Name> = None;
        loop {
            ensure!(Instant::now() < until, "{} was not given the go", self.serial);
            let answer = self.link.checkin(&self.waits_for(order.as_ref())).await?;
            let go = answer.permit.filter(|permit| Some(&permit.order) == order.as_ref());
            if let Some(permit) = go {
                let receipt = self.receipt(permit.order, release, (image, now()))?;
                return Ok(self.link.receipt(&receipt).await?);
            }
            order = answer.order.map(|offer| offer.order).or(order);
            sleep(PAUSE).await;
        }
    }

    fn waits_for(&self, order: Option<&Name>) -> CheckinRequest {
        let idle = light::says(&hardware(&self.serial));
        let Some(order) = order else { return idle };
        let update = UpdateReport { state: UpdateState::Waiting, order: Some(order.clone()), ..idle.update };
        let want_permit = Some(PermitRequest { order: order.clone(), action: Action::Install });
        let software = Software { counter: 1, ..idle.software };
        CheckinRequest { update, want_permit, software, interlock: InterlockState::Standby, ..idle }
    }

    fn receipt(
        &self,
        order: Name,
        release: &TargetPath,
        (sha256, time): (Sha256, Timestamp),
    ) -> anyhow::Result<Receipt> {
        let identity = &self.light.identity;
        let body = ReceiptBody {
            device: identity.device,
            hardware: self.light.hardware.identity(),
            order,
            action: Action::Install,
            outcome: Outcome::Confirmed,
            release: Some(release.clone()),
            counter: 422,
            sha256,
            previous_sha256: Sha256([0; 32]),
            slot: Text::lossy("B"),
            boots: 1,
            floor: 0,
            interlock: InterlockState::Standby,
            time,
            reason: None,
        };
        Ok(Receipt::sign(&body, |message| identity.key().sign(message))?)
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
