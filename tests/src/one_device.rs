//! One device of a test: a light device with a stream of its own, against a running hospital.
//!
//! For tests that ask what the server answers, message by message. Nothing here is a fleet; read next: `light`.

use std::path::Path;

use anyhow::ensure;
use cordon_agent::identity::IdentityError;
use cordon_agent::link::{Link, LinkError, Patience};
use cordon_proto::checkin::{
    Action, Blocked, CheckinAnswer, CheckinRequest, InterlockState, Permit, PermitRequest, Software,
    UpdateReport, UpdateState,
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

/// An image, as a device that runs it names it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The release.
    pub release: TargetPath,
    /// Its number.
    pub counter: u64,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// How an act of an order ended on a device.
#[derive(Clone, Debug)]
pub struct End {
    /// The act.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// What runs now.
    pub runs: Image,
    /// Why, where it ended badly.
    pub reason: Option<Blocked>,
    /// The device's clock.
    pub time: Timestamp,
}

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
        Self::enrol_with(&line, states, serial).await
    }

    /// The same with an enrolment string that somebody made.
    pub async fn enrol_with(line: &str, states: &Path, serial: &str) -> anyhow::Result<Self> {
        let light = Self::ask(line, states, serial).await?;
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
    pub async fn install(&self, runs: Image, now: impl Fn() -> Timestamp) -> anyhow::Result<()> {
        let permit = self.go().await?;
        let (action, outcome) = (Action::Install, Outcome::Confirmed);
        self.ends(permit.order, &End { action, outcome, runs, reason: None, time: now() }).await
    }

    /// Waits until it is offered an act of an order.
    pub async fn offer(&self) -> anyhow::Result<(Name, Action)> {
        let until = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < until, "{} was offered no order", self.serial);
            if let Some(offer) = self.checkin().await?.order {
                return Ok((offer.order, offer.action));
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks for the go once, with nothing else in its way.
    pub async fn asks(&self, (order, action): &(Name, Action)) -> Result<Option<Permit>, LinkError> {
        let idle = light::says(&hardware(&self.serial));
        let update = UpdateReport { state: UpdateState::Waiting, order: Some(order.clone()), ..idle.update };
        let want_permit = Some(PermitRequest { order: order.clone(), action: *action });
        let software = Software { counter: 1, ..idle.software };
        let interlock = InterlockState::Standby;
        let said = CheckinRequest { update, want_permit, software, interlock, ..idle };
        let permit = self.link.checkin(&said).await?.permit;
        Ok(permit.filter(|permit| (&permit.order, permit.action) == (order, *action)))
    }

    /// Waits for an order and asks until it has the go.
    pub async fn go(&self) -> anyhow::Result<Permit> {
        let offered = self.offer().await?;
        let until = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < until, "{} was not given the go", self.serial);
            if let Some(permit) = self.asks(&offered).await? {
                return Ok(permit);
            }
            sleep(PAUSE).await;
        }
    }

    /// Hands in the receipt for an order.
    pub async fn ends(&self, order: Name, end: &End) -> anyhow::Result<()> {
        let identity = &self.light.identity;
        let body = ReceiptBody {
            device: identity.device,
            hardware: self.light.hardware.identity(),
            order,
            action: end.action,
            outcome: end.outcome,
            release: Some(end.runs.release.clone()),
            counter: end.runs.counter,
            sha256: end.runs.sha256,
            previous_sha256: Sha256([0; 32]),
            slot: Text::lossy("B"),
            boots: 1,
            floor: 0,
            interlock: InterlockState::Standby,
            time: end.time,
            reason: end.reason.clone(),
        };
        let receipt = Receipt::sign(&body, |message| identity.key().sign(message))?;
        Ok(self.link.receipt(&receipt).await?)
    }

    /// Waits until it is offered a content of this version, and says that it is in force.
    pub async fn takes_content(&self, version: u64) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < until, "{} was offered no content", self.serial);
            let answer = self.checkin().await?;
            if answer.content.is_some() && answer.content_version == version {
                break;
            }
            sleep(PAUSE).await;
        }
        let idle = light::says(&hardware(&self.serial));
        self.link.checkin(&CheckinRequest { content_version: version, ..idle }).await?;
        Ok(())
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
