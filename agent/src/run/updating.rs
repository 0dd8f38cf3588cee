//! The updater role: carries the update machine's events in and its effects out, in order, and never decides.
//!
//! Each step is stored before any of its effects; while the disk refuses, nothing goes on. The machine's own start
//! handling makes every crash in between harmless, so nothing here remembers more than the record does. Effects that
//! take long run beside the other roles. Read next: `cordon_agent_core::update`, [`super::evidence`], [`fetch`].

mod content;
mod delta;
mod effects;
mod fetch;
mod handed;
mod proving;
mod view;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use cordon_agent_core::update::gate::Look;
use cordon_agent_core::update::{self, Event, Record};
use cordon_proto::checkin::{Blocked, UpdateState};
use cordon_proto::ids::{Hardware, Name, Text};
use cordon_proto::limits;
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::permit::{Clock, Word};
use cordon_proto::update::refusal::Power;
use cordon_proto::update::release::InterlockClass;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::contact::ContactView;
use super::content::Contents;
use super::evidence::{self, Evidence};
use super::health;
use super::messages::{Heard, ToLink, ToSensor, UpdateView};
use super::ports::{Installer, PowerSource};
use super::receipts::Outbox;
use super::tuf::Repositories;
use crate::boot;
use crate::clock::TrustedClock;
use crate::config::Health;
use crate::files::Folder;
use crate::identity::InForce;
use crate::interlock::Shared;
use crate::link::Repository;
use crate::link::mirrors::{Mirrors, Standing};
use crate::store::SecurityStore;
use crate::zone::Zone;
use fetch::Fetch;
use proving::Proving;

/// The latest known time is stored when it has moved on by this.
const LATEST_S: i64 = 3600;

/// What the updater knows of the device.
pub(crate) struct Device {
    pub(crate) hardware: Hardware,
    pub(crate) identity: InForce,
    pub(crate) zone: Zone,
    pub(crate) health: Health,
    /// Seconds that a trial gets.
    pub(crate) trial_s: u32,
    pub(crate) clock: TrustedClock,
    pub(crate) interlock: Shared,
    pub(crate) local_class: Option<InterlockClass>,
    pub(crate) power: Box<dyn PowerSource>,
    /// Between two looks at the surroundings.
    pub(crate) look: Duration,
}

/// What it can do.
pub(crate) struct Means {
    /// The security state: its store, unless it is lost.
    pub(crate) store: Option<SecurityStore>,
    /// Slots and boot control, or why there are none.
    pub(crate) installer: Result<Installer, Blocked>,
    pub(crate) repositories: Repositories,
    pub(crate) outbox: Outbox,
    /// The state folder, where bundles are handed over.
    pub(crate) state: Folder,
}

/// The other roles as the updater sees them.
pub(crate) struct Peers {
    pub(crate) heard: watch::Receiver<Option<Heard>>,
    pub(crate) view: watch::Sender<UpdateView>,
    pub(crate) to_sensor: mpsc::Sender<ToSensor>,
    pub(crate) to_link: mpsc::Sender<ToLink>,
    pub(crate) mirrors: Mirrors,
    pub(crate) contact: watch::Receiver<ContactView>,
}

type Checking = Pin<Box<dyn Future<Output = Event> + Send>>;

/// The updater role.
pub(crate) struct Updating {
    device: Device,
    means: Means,
    peers: Peers,
    record: Record,
    queue: VecDeque<Event>,
    evidence: Option<Evidence>,
    /// Why nothing could be gathered, or nothing be stored.
    missing: Option<Blocked>,
    word: Option<Word>,
    bundle: Option<handed::Handed>,
    fetch: Option<Fetch>,
    delta: Option<delta::Delta>,
    /// Why the last image came whole although its release has a delta.
    whole: Option<String>,
    /// What was told of that.
    whole_told: Option<String>,
    /// What was told of the mirrors.
    mirrors_told: Vec<Standing>,
    checking: Option<Checking>,
    proving: Option<Proving>,
    /// What the software that ran before has said, where it cannot be taken away.
    stale: Option<health::Said>,
    told: Option<(UpdateState, Option<Name>)>,
    latest_kept: Timestamp,
    power: Power,
    director_root_version: u64,
    reboot: bool,
    contents: Contents,
    tried: Option<content::Tried>,
}

impl Updating {
    pub(crate) fn new(
        device: Device,
        (means, contents): (Means, Contents),
        peers: Peers,
        record: Record,
    ) -> Self {
        let latest_kept = record.latest();
        let director_root_version = means.repositories.director_root_version(device.clock.now());
        Self {
            device,
            means,
            peers,
            record,
            queue: VecDeque::new(),
            evidence: None,
            missing: None,
            word: None,
            bundle: None,
            fetch: None,
            delta: None,
            whole: None,
            whole_told: None,
            mirrors_told: Vec::new(),
            checking: None,
            proving: None,
            stale: None,
            told: None,
            latest_kept,
            power: Power::Unknown,
            director_root_version,
            reboot: false,
            contents,
            tried: None,
        }
    }

    /// Works until a reboot is due.
    pub(crate) async fn run(mut self) {
        self.start().await;
        let mut ticks = interval(self.device.look);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interlock = self.device.interlock.changes();
        let mut mirrors = self.peers.mirrors.view();
        while !self.reboot {
            tokio::select! {
                Ok(()) = self.peers.heard.changed() => self.heard().await,
                Ok(()) = interlock.changed() => self.look().await,
                _ = ticks.tick() => self.look().await,
                happened = fetch::next(&mut self.fetch) => self.fetched(happened).await,
                event = proving::next(&mut self.proving) => self.proven(event).await,
                Ok(()) = mirrors.changed() => {
                    let standings = mirrors.borrow_and_update().clone();
                    self.tell_mirrors(standings).await;
                }
                said = checked(&mut self.checking) => {
                    self.checking = None;
                    self.handle(said).await;
                }
            }
        }
    }

    /// What the start finds.
    async fn start(&mut self) {
        let view = match &mut self.means.installer {
            Ok(installer) => boot::read(&installer.boot),
            Err(_) => return self.show(),
        };
        match view {
            Ok(view) => self.handle(Event::Started(view)).await,
            Err(error) => {
                tracing::error!(%error, "the boot control cannot be read; nothing is installed");
                self.means.installer = Err(Blocked {
                    code: Text::lossy("boot-control"),
                    sentence: Text::lossy(&error.to_string()),
                });
                self.show();
            }
        }
    }

    /// The server has answered a check-in.
    async fn heard(&mut self) {
        let Some(Heard { answer, arrived }) = self.peers.heard.borrow_and_update().clone() else { return };
        self.record.raise_latest(answer.time);
        self.word = Some(Word::of(&answer, arrived));
        if answer.order.is_none() {
            if !self.is_carried() {
                self.evidence = None;
                self.missing = None;
            }
            self.trust_director().await;
        }
        if let (Some(offer), Ok(_)) = (&answer.order, &self.means.installer) {
            self.leave_bundle();
            let monotonic = self.device.clock.monotonic();
            let holds = self.evidence.as_ref().is_some_and(|evidence| evidence.holds(&answer, monotonic));
            if !holds {
                self.gather((offer, answer.director_version), monotonic).await;
            }
        }
        self.handle(Event::CheckedIn).await;
        self.look().await;
        if self.reboot {
            // At once: each moment from here on is one in which a patient may come.
            return;
        }
        self.take_content(&answer).await;
        self.keep_latest().await;
        self.deliver().await;
    }

    /// Finds the director's first root as soon as there is a server, so that a wrong hash shows long before an order.
    async fn trust_director(&mut self) {
        if self.director_root_version > 0 {
            return;
        }
        let now = self.device.clock.now();
        let refreshed = self.means.repositories.refresh(Repository::Director, now).await.map(|_| ());
        self.director_root_version = self.means.repositories.director_root_version(now);
        if let Err(error) = refreshed {
            tracing::warn!(%error, "the owner's repository cannot be followed yet; no update is taken meanwhile");
        }
    }

    async fn gather(&mut self, offer: (&cordon_proto::checkin::OrderOffer, u64), monotonic: Duration) {
        let now = self.device.clock.now();
        let gathered =
            evidence::gather(&self.means.repositories, offer, &self.record, (now, monotonic)).await;
        self.director_root_version = self.means.repositories.director_root_version(now);
        match gathered {
            Ok(evidence) => {
                self.note_versions(&evidence.versions);
                self.missing = None;
                self.evidence = Some(evidence);
                // Versions seen must survive even if no step of the machine follows.
                self.store_record().await;
            }
            Err(evidence::Missing(blocked)) => {
                tracing::warn!(code = %blocked.code, reason = %blocked.sentence, "the order cannot be judged");
                self.missing = Some(blocked);
                self.evidence = None;
            }
        }
    }

    fn note_versions(&mut self, versions: &[(Text, u64)]) {
        for (file, version) in versions {
            if !self.record.raise_version(file, *version) {
                tracing::warn!(%file, "no room to note the version of this metadata");
            }
        }
    }

    async fn look(&mut self) {
        self.take_bundle().await;
        self.look_at_content();
        let look = self.fresh_surroundings();
        self.handle(Event::Look(Box::new(look))).await;
    }

    /// The surroundings as they are now, for a decision.
    fn fresh_surroundings(&mut self) -> Look {
        self.power = self.device.power.power();
        self.surroundings()
    }

    /// The surroundings, with the power as last read: for showing.
    fn surroundings(&self) -> Look {
        let now = self.device.clock.now();
        let hardware = &self.device.hardware;
        Look {
            verdict: self.evidence.as_ref().map(|evidence| evidence.verdict(&self.record, hardware, now)),
            word: self.word.clone(),
            content_windows: self.contents.windows(),
            zone_minutes: self.device.zone.minutes_at(now),
            power: self.power,
            interlock: self.device.interlock.state(),
            silence: self.device.interlock.silence(),
            local_class: self.device.local_class,
            trial_s: self.device.trial_s,
            network_down: self.peers.contact.borrow().dark >= limits::DARK_ATTEMPTS,
        }
    }

    fn now(&self) -> Clock {
        let monotonic = self.device.clock.monotonic().as_millis();
        Clock {
            wall: self.device.clock.now(),
            monotonic: Millis(i64::try_from(monotonic).unwrap_or(i64::MAX)),
        }
    }

    /// One event and all that follow from it at once.
    async fn handle(&mut self, event: Event) {
        self.queue.push_back(event);
        self.settle().await;
    }

    /// All events that wait and all that follow from them: step, store, act.
    async fn settle(&mut self) {
        if self.means.installer.is_err() || self.means.store.is_none() {
            self.queue.clear();
        }
        while !self.reboot
            && let Some(event) = self.queue.pop_front()
        {
            let step = update::step(self.record.clone(), event, self.now());
            if let Some(bytes) = &step.persist {
                self.store(bytes).await;
            }
            self.record = step.record;
            self.tell().await;
            for effect in step.effects {
                self.perform(effect).await;
            }
        }
        self.show();
    }

    /// Stores a step. Until it is stored nothing goes on; whoever looks is told why.
    async fn store(&mut self, bytes: &[u8]) {
        let Some(store) = &mut self.means.store else { return };
        while let Err(error) = store.store(bytes) {
            tracing::error!(%error, "the security state cannot be stored; the update waits");
            let sentence = Text::lossy(&error.to_string());
            let blocked = Blocked { code: Text::lossy("state-not-stored"), sentence };
            self.peers.view.send_if_modified(|view| {
                let new = !view.update.blocked_by.contains(&blocked);
                if new {
                    view.update.blocked_by.insert(0, blocked.clone());
                    view.urgent += 1;
                }
                new
            });
            sleep(self.device.look).await;
        }
    }

    async fn store_record(&mut self) {
        self.latest_kept = self.record.latest();
        self.store(&cordon_proto::wire::write(&self.record)).await;
    }

    /// The server's clock is kept now and then, as a floor for the next start.
    async fn keep_latest(&mut self) {
        if self.record.latest().seconds_since(self.latest_kept) >= LATEST_S {
            self.store_record().await;
        }
    }
}

async fn checked(checking: &mut Option<Checking>) -> Event {
    match checking {
        Some(checking) => checking.await,
        None => std::future::pending().await,
    }
}
