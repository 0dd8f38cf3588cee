//! The link role: check in, hand in what waits, listen for a push until the next report is due; and fetch for others.
//!
//! It decides nothing: answers go to the updater as they are, and what a refusal means for the identity is the keeper's
//! ([`super::keeping`]). Every failure is waited out by the jittered schedule, or longer where the server says so. While
//! it waits, everything stays in the spool. Read next: [`crate::link`], [`super::messages`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use cordon_agent_core::backoff::{Backoff, next_report, spread};
use cordon_agent_core::renew::Course;
use cordon_proto::checkin::{CheckinRequest, WaitRequest};
use cordon_proto::farewell::Cause;
use cordon_proto::ids::{Hardware, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::telemetry::Batch;
use cordon_proto::time::{Millis, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::content::Applied;
use super::keeping::Keeping;
use super::messages::{Heard, Lacking, SensorView, ToLink, ToSensor, UpdateView};
use crate::clock::TrustedClock;
use crate::identity::InForce;
use crate::link::mirrors;
use crate::link::proxy::ProxyFault;
use crate::link::{Link, LinkError, Refusal, Retry};
use crate::status::IdentityStatus;

/// Bytes of records in one batch: with room to spare even where nothing compresses.
const BATCH_BYTES: usize = limits::TELEMETRY_BYTES / 2;
/// Milliseconds between two looks at whether the certificate is to be renewed, at most.
const RENEWAL_LOOK_MS: u64 = 3600 * 1000;
/// Check-ins of one report that does not wait, at most.
const ONCE_ROUNDS: u32 = 3;

/// The rhythm of the link. Tests and the simulator shorten it; nothing else does.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The schedule after failures.
    pub backoff: Backoff,
    /// Between two tries where a person has to act first.
    pub slowly: Duration,
    /// Between two check-ins at least, whatever the server says.
    pub gap: Duration,
    /// Between two batches at least, where the cause is urgent.
    pub urgent_gap: Duration,
    /// Between two reports of a device whose every byte is paid for, unless the server asks for more. Such a device
    /// does not wait for pushes, and hands in with its report what others hand in at once.
    pub metered: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            slowly: Duration::from_secs(3600),
            gap: Duration::from_millis(500),
            urgent_gap: Duration::from_secs(5),
            metered: None,
        }
    }
}

/// What is the same in every check-in of this run.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) boot: u64,
    pub(crate) hardware: Hardware,
    /// Drawn at this start: tells two agents apart that started from one copied state.
    pub(crate) run: u64,
    /// The hash of the operating system's own identifier.
    pub(crate) machine: Option<Sha256>,
}

/// How the contact with the server stands, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContactView {
    /// The last answered check-in, by the device's clock.
    pub(crate) last: Option<Timestamp>,
    /// The server's clock at that check-in.
    pub(crate) server_time: Option<Timestamp>,
    /// Failures since then.
    pub(crate) failures: u32,
    /// The last failure.
    pub(crate) error: Option<LinkError>,
    /// How many of the latest attempts, one after the other, met nobody.
    pub(crate) dark: u32,
    /// Records the server would not take and that were given up.
    pub(crate) given_up: u64,
    /// Who the device is, and how its renewal stands.
    pub(crate) identity: Option<IdentityStatus>,
}

/// The other roles as the link sees them.
pub(crate) struct Peers {
    pub(crate) sensor: watch::Receiver<SensorView>,
    pub(crate) update: watch::Receiver<UpdateView>,
    pub(crate) content: watch::Receiver<Applied>,
    pub(crate) to_sensor: mpsc::Sender<ToSensor>,
    pub(crate) heard: watch::Sender<Option<Heard>>,
    pub(crate) view: watch::Sender<ContactView>,
}

/// The link role.
pub(crate) struct Contact {
    link: Link,
    facts: Facts,
    clock: TrustedClock,
    pace: Pace,
    peers: Peers,
    keeping: Keeping,
    wait_token: u64,
    /// Check-ins of this run.
    sequence: u64,
    batch_bytes: usize,
    /// What of the two roles' urgent causes has been sent.
    sent: Sent,
}

struct Sent {
    sensor: u64,
    update: u64,
    /// Telemetry is urgent again from here on.
    again: Instant,
}

/// What ended a rest between two reports.
enum Rested {
    /// It is time for the next report.
    Due,
    /// The wait failed.
    Failed(LinkError),
}

impl Contact {
    pub(crate) fn new(
        (link, keeping): (Link, Keeping),
        facts: Facts,
        clock: TrustedClock,
        pace: Pace,
        peers: Peers,
    ) -> Self {
        let sent = Sent { sensor: 0, update: 0, again: Instant::now() };
        Self {
            link,
            facts,
            clock,
            pace,
            peers,
            keeping,
            wait_token: 0,
            sequence: 0,
            batch_bytes: BATCH_BYTES,
            sent,
        }
    }

    /// The identity in force, for others.
    pub(crate) fn in_force(&self) -> InForce {
        self.keeping.in_force()
    }

    /// Reports until the owner says that the device is to leave.
    pub(crate) async fn run(mut self) -> Cause {
        self.show_identity();
        loop {
            let failed = match self.report().await {
                Ok(next_ms) => match self.rest(next_ms).await {
                    Rested::Due => None,
                    Rested::Failed(error) => Some(error),
                },
                Err(error) => Some(error),
            };
            let Some(error) = failed else {
                sleep(self.pace.gap).await;
                continue;
            };
            let unnamed = matches!(error, LinkError::Proxy(ProxyFault::Unauthorised));
            let pause = match self.keeping.course(&error) {
                Course::Leave(cause) => return cause,
                Course::Other if self.keeping.show_other(&self.link) => {
                    self.failed(error);
                    self.pace.gap
                }
                Course::Renew if self.renew_if_due().await => self.pace.gap,
                Course::Other | Course::Renew | Course::Wait => self.pause(error),
            };
            sleep(pause).await;
            if unnamed {
                // Somebody may have mended the file meanwhile.
                self.keeping.introduce_anew(&self.link);
            }
        }
    }

    /// One report that does not wait: another certificate, or the next one, may have to be shown first. The cause, if the
    /// device is to leave.
    pub(crate) async fn once(&mut self) -> Result<Option<Cause>, LinkError> {
        self.show_identity();
        let mut rounds = ONCE_ROUNDS;
        loop {
            rounds -= 1;
            let error = match self.report().await {
                // The next certificate proves itself at once.
                Ok(0) if rounds > 0 => continue,
                Ok(_) => return Ok(None),
                Err(error) => error,
            };
            let again = match self.keeping.course(&error) {
                Course::Leave(cause) => return Ok(Some(cause)),
                Course::Other => self.keeping.show_other(&self.link),
                Course::Renew => self.renew_if_due().await,
                Course::Wait => false,
            };
            self.failed(error.clone());
            if rounds == 0 || !again {
                return Err(error);
            }
        }
    }

    /// One report: check in, hand in what waits. Milliseconds to the next one.
    pub(crate) async fn report(&mut self) -> Result<u64, LinkError> {
        let next_ms = self.check_in().await?;
        self.hand_in_unless_quarantined().await?;
        self.pace.backoff.succeeded();
        // The next certificate proves itself at once.
        Ok(if self.renew_if_due().await { 0 } else { next_ms })
    }

    async fn renew_if_due(&mut self) -> bool {
        let renewed = self.keeping.renew_if_due(&self.link).await;
        self.show_identity();
        renewed
    }

    fn show_identity(&self) {
        let identity = Some(self.keeping.status());
        self.peers.view.send_if_modified(|view| {
            let changed = view.identity != identity;
            view.identity.clone_from(&identity);
            changed
        });
    }

    /// A quarantined device may check in and nothing more; what waits stays in the spool.
    async fn hand_in_unless_quarantined(&mut self) -> Result<(), LinkError> {
        let handed_in = self.hand_in().await;
        // One context serves all batches of a report; between two reports it would only be held.
        self.link.ease();
        match handed_in {
            Err(LinkError::Refused { refusal: Refusal::Quarantined, .. }) => Ok(()),
            handed_in => handed_in,
        }
    }

    async fn check_in(&mut self) -> Result<u64, LinkError> {
        let request = self.request();
        let answer = self.link.checkin(&request).await?;
        // Only a pinned, verified connection gets here, so the server's clock may be believed.
        self.clock.hear(answer.time);
        self.keeping.answered();
        if answer.ca_version > self.keeping.identity().believed.version {
            self.keeping.follow_authorities(answer.ca_version, &self.link).await;
        }
        self.wait_token = answer.wait_token;
        let next_ms = u64::from(answer.next_s.max(1)).saturating_mul(1000);
        if answer.want_inventory {
            let packed = answer.reads_packed == Some(true);
            let lacking = Lacking { held: answer.inventory_base, packed };
            self.tell(ToSensor::WantInventory(lacking)).await;
        }
        let (time, now) = (answer.time, self.clock.raw().seconds());
        self.peers.view.send_modify(|view| {
            *view = ContactView {
                last: Some(now),
                server_time: Some(time),
                given_up: view.given_up,
                identity: view.identity.take(),
                ..ContactView::default()
            };
        });
        let arrived = Millis(i64::try_from(self.clock.monotonic().as_millis()).unwrap_or(i64::MAX));
        self.peers.heard.send_replace(Some(Heard { answer, arrived }));
        let content_ms = self.peers.content.borrow().checkin_s.map_or(0, |seconds| u64::from(seconds) * 1000);
        // `next_s` is a lower bound; the spread keeps a fleet apart.
        Ok(next_report(next_ms.max(content_ms), self.pace.metered.map(millis), chance()))
    }

    fn request(&mut self) -> CheckinRequest {
        let sensor = self.peers.sensor.borrow_and_update().clone();
        let update = self.peers.update.borrow_and_update().clone();
        self.sent.update = update.urgent;
        self.sequence += 1;
        let content = self.peers.content.borrow_and_update().clone();
        let identity = self.keeping.identity();
        CheckinRequest {
            boot: self.facts.boot,
            device_time: self.clock.raw().seconds(),
            agent_version: Text::lossy(env!("CARGO_PKG_VERSION")),
            uptime_s: self.clock.monotonic().as_secs(),
            hardware: self.facts.hardware.clone(),
            software: update.software,
            update: update.update,
            interlock: update.interlock,
            sensor: sensor.report,
            inventory_root: sensor.inventory_root,
            key_protection: Text::lossy(identity.key().protection()),
            spool_records: sensor.spool_records,
            spool_lost: sensor.spool_lost,
            content_version: content.in_force,
            director_root_version: update.director_root_version,
            want_permit: update.want_permit,
            sequence: self.sequence,
            run: self.facts.run,
            machine: self.facts.machine,
            ca_version: identity.believed.version,
            content_fault: content.fault,
        }
    }

    /// Hands in everything that waits. A record that the server refuses by itself is given up and counted, so that
    /// one odd record does not hold back all that follow.
    async fn hand_in(&mut self) -> Result<(), LinkError> {
        self.sent.sensor = self.peers.sensor.borrow().urgent;
        self.sent.again = Instant::now() + self.pace.urgent_gap;
        loop {
            let records = self.take().await;
            let Some(last) = records.last().map(|record| record.position) else { return Ok(()) };
            let alone = records.len() == 1;
            match self.link.telemetry(&Batch { records }).await {
                Ok(answer) => {
                    self.batch_bytes = BATCH_BYTES;
                    self.tell(ToSensor::Stored(answer.stored_through)).await;
                    if answer.stored_through < last {
                        return Ok(());
                    }
                }
                Err(LinkError::Rejected { status: 400..=407 | 409..=428, .. }) if alone => {
                    self.peers.view.send_modify(|view| view.given_up += 1);
                    self.tell(ToSensor::Stored(last)).await;
                }
                Err(LinkError::Rejected { status: 400..=407 | 409..=428, .. }) => self.batch_bytes /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    async fn take(&self) -> Vec<cordon_proto::telemetry::Record> {
        let (back, records) = oneshot::channel();
        self.tell(ToSensor::Take(self.batch_bytes, back)).await;
        records.await.unwrap_or_default()
    }

    async fn tell(&self, call: ToSensor) {
        // A sensor that is gone is the end of the run; the run itself says so.
        let _ = self.peers.to_sensor.send(call).await;
    }

    /// Listens for a push until the next report is due, on the report's own connection. What is urgent meanwhile goes
    /// out beside it.
    async fn rest(&mut self, next_ms: u64) -> Rested {
        let due = Instant::now() + Duration::from_millis(next_ms);
        if self.pace.metered.is_some() {
            return self.rest_in_silence(due).await;
        }
        let waiter = self.link.waiter();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let max_s = u32::try_from(left.as_secs().min(limits::WAIT_S)).unwrap_or(0);
            if max_s == 0 {
                sleep_until(due).await;
                return Rested::Due;
            }
            let question = WaitRequest { token: self.wait_token, max_s };
            let mut wait = pin!(waiter.wait(&question));
            let answer = loop {
                tokio::select! {
                    answer = &mut wait => break answer,
                    urgent = self.urgent() => match self.send_urgent(urgent).await {
                        Ok(false) => {}
                        Ok(true) => return Rested::Due,
                        Err(error) => return Rested::Failed(error),
                    },
                }
            };
            match answer {
                Ok(answer) => {
                    self.wait_token = answer.token;
                    if answer.changed {
                        return Rested::Due;
                    }
                }
                Err(LinkError::Refused { refusal: Refusal::Quarantined, .. }) => {
                    sleep_until(due).await;
                    return Rested::Due;
                }
                Err(error) => return Rested::Failed(error),
            }
        }
    }

    /// The rest of a metered device: nothing is asked and nothing listened for. Only the updater and a renewal are not
    /// kept waiting: they are rare, and the updater's few words are about a machine that is about to change, or just has.
    async fn rest_in_silence(&mut self, due: Instant) -> Rested {
        loop {
            let urgent = tokio::select! {
                () = sleep_until(due) => return Rested::Due,
                urgent = self.urgent() => urgent,
            };
            match self.send_urgent(urgent).await {
                Ok(false) => {}
                Ok(true) => return Rested::Due,
                Err(error) => return Rested::Failed(error),
            }
        }
    }

    /// Resolves when the updater or the sensor has something that should not wait, or the certificate is to be renewed.
    async fn urgent(&mut self) -> Urgent {
        let renewal_ms = self.keeping.wait_ms();
        let renewal = async {
            match renewal_ms {
                Some(wait_ms) => sleep(Duration::from_millis(wait_ms.min(RENEWAL_LOOK_MS))).await,
                None => std::future::pending().await,
            }
        };
        let (sent, peers, metered) = (&self.sent, &mut self.peers, self.pace.metered.is_some());
        let sensor = async {
            if metered {
                // Handed in with the next report.
                std::future::pending::<()>().await;
            }
            sleep_until(sent.again).await;
            let _ = peers.sensor.wait_for(|view| view.urgent != sent.sensor).await;
        };
        tokio::select! {
            _ = peers.update.wait_for(|view| view.urgent != sent.update) => Urgent::Update,
            () = sensor => Urgent::Sensor,
            () = renewal => Urgent::Renewal,
        }
    }

    /// Does what does not wait; whether a check-in is due by it.
    async fn send_urgent(&mut self, urgent: Urgent) -> Result<bool, LinkError> {
        match urgent {
            Urgent::Update => self.check_in().await.map(|_| false),
            Urgent::Sensor => self.hand_in_unless_quarantined().await.map(|()| false),
            Urgent::Renewal => Ok(self.renew_if_due().await),
        }
    }

    /// Notes a failure. One that met nobody counts towards a network that is down, any answer ends that count.
    fn failed(&mut self, error: LinkError) {
        self.peers.view.send_modify(|view| {
            view.failures = view.failures.saturating_add(1);
            view.dark = if error.met_nobody() { view.dark.saturating_add(1) } else { 0 };
            view.error = Some(error);
        });
    }

    /// How long to stay away after a failure.
    fn pause(&mut self, error: LinkError) -> Duration {
        let retry = error.retry();
        self.failed(error);
        let asked = match retry {
            Retry::After(seconds) => Some(seconds),
            Retry::Soon | Retry::Slowly | Retry::Never => None,
        };
        let ordinary = Duration::from_millis(self.pace.backoff.failed(asked, chance()));
        match retry {
            Retry::Soon | Retry::After(_) => ordinary,
            Retry::Slowly | Retry::Never => {
                Duration::from_millis(spread(millis(self.pace.slowly), chance())).max(ordinary)
            }
        }
    }
}

/// Who cannot wait.
enum Urgent {
    Update,
    Sensor,
    Renewal,
}

/// Serves the other roles' calls until nobody can call any more. An image flows beside the other calls, because whoever
/// takes it may ask something else meanwhile; a new image takes the place of the one before.
pub(crate) async fn serve(link: Link, mut calls: mpsc::Receiver<ToLink>) {
    let mut image: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
    loop {
        let call = tokio::select! {
            call = calls.recv() => call,
            () = flowing(&mut image) => {
                image = None;
                continue;
            }
        };
        match call {
            None => return,
            Some(ToLink::Metadata { repository, file, limit, back }) => {
                let _ = back.send(link.metadata(&repository, &file, limit).await);
            }
            Some(ToLink::Content { sha256, back }) => {
                let _ = back.send(link.content(&sha256).await);
            }
            Some(ToLink::Receipt { receipt, back }) => {
                let _ = back.send(link.receipt(&receipt).await);
            }
            Some(ToLink::Image { wanted, pieces }) => {
                let link = link.waiter();
                image = Some(Box::pin(async move {
                    if let Err(error) = mirrors::forward(&link, wanted, &pieces).await {
                        let _ = pieces.send(Err(error)).await;
                    }
                }));
            }
        }
    }
}

async fn flowing(image: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match image {
        Some(image) => image.await,
        None => std::future::pending().await,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A die from the kernel; a kernel without chance gives the middle.
pub(crate) fn chance() -> u32 {
    getrandom::u32().unwrap_or(1 << 31)
}

#[cfg(test)]
mod tests;
