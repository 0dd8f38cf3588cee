//! What a light device does among several servers: checks in, takes part in the rollout, hands in numbered records.
//!
//! It speaks to one server as long as that answers, then to another. A batch is repeated, the same to the byte, until
//! some server acknowledged it; only then the next is made. It keeps account of what it was told and how long that took.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cordon_agent::clock::{Clock, SystemClock};
use cordon_agent::link::{Link, LinkError, Patience};
use cordon_proto::checkin::{
    Action, CheckinRequest, InterlockState, PermitRequest, Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::{DeviceId, Name, Sha256, Text};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::time::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::light::{Light, flows, says};

/// The release of the rollout.
pub const RELEASE: &str = "bench-pc/2.0.0";
/// Its counter.
pub const COUNTER: u64 = 200;
/// Records of a batch.
const BATCH: u64 = 5;
/// How often a device speaks.
const PERIOD: Duration = Duration::from_secs(10);
/// Before it asks another server.
const PAUSE: Duration = Duration::from_millis(250);
/// For the answer of a server that may have been killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ports of the servers' device planes.
pub type Doors = Arc<[u16]>;

/// What devices were told, and what it took.
#[derive(Debug, Default)]
pub struct Account {
    /// By device, the last record that was acknowledged; all before it were too.
    pub acknowledged: BTreeMap<DeviceId, u64>,
    /// From the first try of a batch to its acknowledgement.
    pub waits: Vec<Duration>,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were not, by their kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// Devices whose receipt was taken.
    pub installed: u64,
}

impl Account {
    /// Adds another device's.
    pub fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.waits.extend(other.waits);
        self.answered += other.answered;
        self.installed += other.installed;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }

    fn failed(&mut self, error: &LinkError) {
        let kind = match error {
            LinkError::Unreachable { .. } | LinkError::Stalled { .. } | LinkError::Proxy(_) => "unreachable",
            LinkError::OwnKey { .. } => "own key",
            LinkError::Busy { .. } => "asked to wait (429, 503)",
            LinkError::Refused { .. } | LinkError::CertificateRefused { .. } => "refused",
            LinkError::WrongServer(_) => "wrong server",
            LinkError::Rejected { .. } => "rejected",
            LinkError::Malformed { .. } | LinkError::TooLarge { .. } => "not understood",
        };
        *self.errors.entry(kind).or_default() += 1;
    }
}

/// Where a device stands in the rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Update {
    Idle,
    Wants(Name),
    Installed(Name),
    Done,
}

struct Device {
    light: Light,
    doors: Doors,
    at: usize,
    link: Option<Link>,
    update: Update,
    sent: u64,
    account: Account,
}

/// Lives until it is told to stop.
pub async fn live(light: Light, number: u64, doors: Doors, stop: watch::Receiver<bool>) -> Account {
    let at = usize::try_from(number).unwrap_or(0) % doors.len();
    let account = Account::default();
    let mut device = Device { light, doors, at, link: None, update: Update::Idle, sent: 0, account };
    // Devices do not all speak in the same second.
    let period = u64::try_from(PERIOD.as_millis()).unwrap_or(1);
    sleep(Duration::from_millis(number.wrapping_mul(7919) % period)).await;
    while !*stop.borrow() {
        let begun = Instant::now();
        device.check_in(&stop).await;
        device.hand_in(&stop).await;
        let mut stopped = stop.clone();
        tokio::select! {
            () = tokio::time::sleep_until(begun + PERIOD) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }
    device.account
}

impl Device {
    /// The link to the present server.
    fn link(&mut self) -> anyhow::Result<Link> {
        if let Some(link) = self.link.take() {
            return Ok(link);
        }
        let patience = Patience { answer: PATIENCE, ..Patience::default() };
        self.light.link(self.doors.get(self.at).copied(), patience)
    }

    /// Keeps the link after an answer, goes to another server after none.
    async fn after<T>(&mut self, link: Link, answer: Result<T, LinkError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.account.answered += 1;
                self.link = Some(link);
                Some(answer)
            }
            Err(error) => {
                self.account.failed(&error);
                // Not simply the next one: the kills go round too.
                self.at = fastrand::usize(..self.doors.len());
                sleep(PAUSE).await;
                None
            }
        }
    }

    async fn check_in(&mut self, stop: &watch::Receiver<bool>) {
        let mut answer = None;
        while answer.is_none() && !*stop.borrow() {
            let Ok(link) = self.link() else { return };
            let said = link.checkin(&self.says()).await;
            answer = self.after(link, said).await;
        }
        let Some(answer) = answer else { return };
        match (&self.update, answer.order, answer.permit) {
            (Update::Idle, Some(offer), _) => self.update = Update::Wants(offer.order),
            (Update::Wants(order), _, Some(permit)) if permit.order == *order => {
                self.update = Update::Installed(permit.order);
            }
            _ => {}
        }
        if let Update::Installed(order) = self.update.clone() {
            self.prove(order, stop).await;
        }
    }

    /// Hands in the receipt until it is taken.
    async fn prove(&mut self, order: Name, stop: &watch::Receiver<bool>) {
        let Ok(receipt) = self.receipt(order) else { return };
        while !*stop.borrow() {
            let Ok(link) = self.link() else { return };
            let answer = link.receipt(&receipt).await;
            if self.after(link, answer).await.is_some() {
                self.account.installed += 1;
                self.update = Update::Done;
                return;
            }
        }
    }

    /// Hands in the next batch until it is acknowledged.
    async fn hand_in(&mut self, stop: &watch::Receiver<bool>) {
        let batch = flows(self.sent + 1, BATCH, Timestamp(1_790_000_000));
        let begun = Instant::now();
        while !*stop.borrow() {
            let Ok(mut link) = self.link() else { return };
            let answer = link.telemetry(&batch).await;
            if let Some(answer) = self.after(link, answer).await {
                self.sent = answer.stored_through.sequence;
                self.account.waits.push(begun.elapsed());
                self.account.acknowledged.insert(self.light.identity.device, self.sent);
                return;
            }
        }
    }

    fn says(&self) -> CheckinRequest {
        let (state, order) = match &self.update {
            Update::Idle => (UpdateState::Idle, None),
            Update::Wants(order) => (UpdateState::Waiting, Some(order.clone())),
            Update::Installed(order) => (UpdateState::Confirmed, Some(order.clone())),
            Update::Done => (UpdateState::Confirmed, None),
        };
        let want = match &self.update {
            Update::Wants(order) => Some(PermitRequest { order: order.clone(), action: Action::Install }),
            Update::Idle | Update::Installed(_) | Update::Done => None,
        };
        let is_new = matches!(self.update, Update::Installed(_) | Update::Done);
        let idle = says(&self.light.hardware);
        CheckinRequest {
            software: Software {
                release: is_new.then(|| RELEASE.parse().expect("a valid name")),
                counter: if is_new { COUNTER } else { 0 },
                ..idle.software
            },
            update: UpdateReport { state, order, blocked_by: vec![], fetched_bytes: 0 },
            interlock: InterlockState::Standby,
            director_root_version: 1,
            want_permit: want,
            sequence: 0,
            run: 0,
            machine: None,
            ca_version: 0,
            content_fault: None,
            ..idle
        }
    }

    fn receipt(&self, order: Name) -> anyhow::Result<Receipt> {
        let identity = &self.light.identity;
        let body = ReceiptBody {
            device: identity.device,
            hardware: self.light.hardware.identity(),
            order,
            action: Action::Install,
            outcome: Outcome::Confirmed,
            release: Some(RELEASE.parse()?),
            counter: COUNTER,
            sha256: Sha256::of(&[0x5a; 4096]),
            previous_sha256: Sha256([0; 32]),
            slot: Text::lossy("B"),
            boots: 1,
            floor: 0,
            interlock: InterlockState::Standby,
            // By the clock of this machine, as the owner's: an order is not answered before it was issued.
            time: SystemClock::new().now().seconds(),
            reason: None,
        };
        Ok(Receipt::sign(&body, |message| identity.key().sign(message))?)
    }
}
