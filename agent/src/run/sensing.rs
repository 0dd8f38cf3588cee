//! The sensor role: polls the capture, runs the core's sensor, keeps what came of it, owns the spool and the inventory.
//!
//! It decides nothing: findings and rows are the core's. Everything goes into the spool before anyone may send it. A
//! blind sensor, a full disk and a lost record are said, never passed over. It never blocks the network and knows
//! nothing of the server. Read next: `cordon_agent_core::sensor`, [`crate::spool_file`].

use std::fs::File;
use std::hash::RandomState;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cordon_agent_core::detect::Detectors;
use cordon_agent_core::dissect::link::{Link, packet};
use cordon_agent_core::flow::Sighting;
use cordon_agent_core::flow::table::FlowTable;
use cordon_agent_core::profile::{Learning, Profile};
use cordon_agent_core::sensor::{Output, Sensor};
use cordon_agent_core::signs::Mark;
use cordon_agent_core::spool::{Bounds, Kept, Spool};
use cordon_agent_core::watched::Device;
use cordon_proto::checkin::{SensorReport, UpdateState};
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::inventory::Inventory;
use cordon_proto::limits;
use cordon_proto::mud::Usage;
use cordon_proto::telemetry::{Body, Position, Record, Severity};
use cordon_proto::time::Millis;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::content::Applied;
use super::kept::{self, Told};
use super::messages::{Lacking, SensorView, ToSensor, UpdateView};
use super::ports::Host;
use crate::capture::{Capture, Caught, Sight};
use crate::clock::TrustedClock;
use crate::files::{FileError, Folder};
use crate::host::declared;
use crate::host::machine::Moment;
use crate::spool_file::SpoolFolder;

/// The detectors' memory in the state folder.
const PROFILE: &str = "profile.cbor";
/// The spool's folder in the state folder.
const SPOOL: &str = "spool";

/// The rhythm of the sensor. Tests and the simulator shorten it; nothing else does.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Between two looks of the capture.
    pub look: Duration,
    /// Between two readings of the inventory.
    pub inventory: Duration,
    /// Between two looks at the machine itself.
    pub machine: Duration,
    /// Between two savings of the profile.
    pub save: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(1),
            inventory: Duration::from_secs(3600),
            machine: Duration::from_secs(60),
            save: Duration::from_secs(900),
        }
    }
}

/// What the sensor looks through.
pub(crate) struct Eyes {
    pub(crate) capture: Box<dyn Capture>,
    pub(crate) host: Box<dyn Host>,
    pub(crate) clock: TrustedClock,
    pub(crate) rhythm: Rhythm,
}

/// The sensor role.
pub(crate) struct Sensing {
    eyes: Eyes,
    state: Folder,
    sensor: Sensor<RandomState>,
    spool: Spool<SpoolFolder>,
    view: watch::Sender<SensorView>,
    /// Reused from look to look.
    seen: Vec<Sighting>,
    told_sight: Option<Sight>,
    /// Where the inventory that the server asked for waits in the spool.
    inventory_waits: Option<Position>,
    unsaved: bool,
    content: Option<watch::Receiver<Applied>>,
    update: Option<watch::Receiver<UpdateView>>,
    /// Starts of the machine.
    boots: u64,
    told: Told,
}

impl Sensing {
    /// Opens profile and spool. `starts` numbers this start of the agent; the spool may know of a higher one.
    pub(crate) fn open(eyes: Eyes, state: Folder, starts: u64) -> Result<Self, super::RunError> {
        let detectors = load_detectors(&state)?;
        let sensor = Sensor::new(FlowTable::new(RandomState::new()), detectors);
        let storage = storage(&state)?;
        let spool = Spool::open(storage, Bounds::default(), starts).map_err(super::RunError::Spool)?;
        let view = SensorView {
            report: SensorReport { tier: None, note: None, profile_keys: 0, learning: true },
            inventory_root: Sha256([0; 32]),
            declared: Vec::new(),
            unseen: Vec::new(),
            spool_records: 0,
            spool_lost: 0,
            spool_fault: None,
            urgent: 0,
        };
        let mut eyes = eyes;
        let boots = kept::boots(&state, eyes.host.boot());
        let mut sensing = Self {
            eyes,
            state,
            sensor,
            spool,
            view: watch::Sender::new(view),
            seen: Vec::new(),
            told_sight: None,
            inventory_waits: None,
            unsaved: false,
            content: None,
            update: None,
            boots,
            told: Told::default(),
        };
        drop(sensing.read_inventory());
        sensing.read_health();
        sensing.look();
        Ok(sensing)
    }

    /// The same, with flows held against what the maker describes. A description that cannot be read is said, and costs
    /// nothing but itself.
    pub(crate) fn described(mut self, usage: Option<&Path>) -> Self {
        let Some(path) = usage else { return self };
        match read_usage(path) {
            Ok(usage) => self.sensor.detectors_mut().set_usage(Some(usage)),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the maker's description cannot be read")
            }
        }
        self
    }

    /// The same, with the thresholds of the content that is applied, now and later.
    pub(crate) fn following(mut self, mut content: watch::Receiver<Applied>) -> Self {
        content.mark_changed();
        self.content = Some(content);
        self.heed_content();
        self
    }

    /// The same, knowing where the update stands: what it changes is no sign of anything.
    pub(crate) fn beside(self, update: watch::Receiver<UpdateView>) -> Self {
        Self { update: Some(update), ..self }
    }

    fn heed_content(&mut self) {
        if let Some(content) = &mut self.content
            && content.has_changed().unwrap_or(false)
        {
            let thresholds = content.borrow_and_update().thresholds;
            self.sensor.detectors_mut().set_thresholds(thresholds);
        }
    }

    /// The boot number of this start's records.
    pub(crate) fn boot(&self) -> u64 {
        self.spool.boot()
    }

    /// The view that others see.
    pub(crate) fn view(&self) -> watch::Receiver<SensorView> {
        self.view.subscribe()
    }

    /// Looks and serves until told to stop; then ends what is open and saves.
    pub(crate) async fn run(mut self, mut calls: mpsc::Receiver<ToSensor>, mut stop: watch::Receiver<bool>) {
        let every = |period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks
        };
        let rhythm = self.eyes.rhythm;
        let hurry = self.eyes.capture.hurry().unwrap_or_default();
        let (mut look, mut inventory, mut save) =
            (every(rhythm.look), every(rhythm.inventory), every(rhythm.save));
        let mut machine = every(rhythm.machine);
        // The first tick of an interval comes at once; opening did that work already.
        inventory.tick().await;
        save.tick().await;
        loop {
            tokio::select! {
                _ = look.tick() => self.look(),
                () = hurry.notified() => {
                    let mut output = Output::default();
                    self.catch(&mut output);
                    self.take(output, None);
                }
                _ = inventory.tick() => {
                    drop(self.read_inventory());
                    self.read_health();
                }
                _ = machine.tick() => self.look_at_machine(),
                _ = save.tick() => self.save(),
                Some(call) = calls.recv() => self.serve(call),
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.finish();
    }

    fn look(&mut self) {
        self.heed_content();
        if self.eyes.host.watch(self.lived_s()) {
            self.read_health();
        }
        let now = self.eyes.clock.raw();
        self.eyes.capture.poll(now, &mut self.seen);
        let mut output = Output::default();
        self.catch(&mut output);
        for sighting in &self.seen {
            self.sensor.observe(sighting, &mut output);
        }
        self.unsaved |= !self.seen.is_empty();
        self.seen.clear();
        self.sensor.pass(now, &mut output);
        let sight = self.eyes.capture.sight();
        let change = sight.change_from(self.told_sight.as_ref()).map(Body::Sensor);
        if change.is_some() {
            self.told_sight = Some(sight.clone());
        }
        self.take(output, change);
    }

    /// Looks for signs at the machine itself. What is known of it is saved with the first look and with each finding.
    fn look_at_machine(&mut self) {
        let Some((mut look, unseen)) = self.eyes.host.signs(self.eyes.clock.heard()) else { return };
        if let Some(update) = &self.update {
            let update = update.borrow();
            let software = &update.software;
            look.release = Some(Mark::of(&[&software.sha256.to_string(), &software.slot.to_string()]));
            look.updating = matches!(update.update.state, UpdateState::Armed | UpdateState::Trial);
        }
        self.view.send_if_modified(|view| {
            let changed = view.unseen != unseen;
            view.unseen = unseen;
            changed
        });
        let before = self.sensor.detectors().signs().clone();
        let findings = self.sensor.detectors_mut().looked(&look, self.eyes.clock.raw());
        let changed = *self.sensor.detectors().signs() != before;
        let findings = findings.into_iter().map(|finding| (Device::Itself, finding)).collect();
        self.take(Output { findings, ..Output::default() }, None);
        self.unsaved |= changed;
        if changed {
            self.save();
        }
    }

    /// Takes the packets that were caught. One that cannot be read is nobody's.
    fn catch(&mut self, output: &mut Output) {
        let (now, sensor) = (self.eyes.clock.raw(), &mut self.sensor);
        self.eyes.capture.caught(&mut |caught| match caught {
            Caught::Home(addresses) => sensor.move_home(addresses, now),
            Caught::Packet(bytes, at) => {
                if let Ok(packet) = packet(Link::Bare, bytes) {
                    sensor.packet(&packet, at, output);
                }
            }
        });
    }

    /// Keeps what a look brought, all of it in one group.
    fn take(&mut self, output: Output, change: Option<Body>) {
        let Output { findings, rows, flows: _, frozen } = output;
        let urgent = findings.iter().any(|(_, finding)| finding.severity >= Severity::Medium);
        let findings = findings.into_iter().map(|(_, finding)| Body::Finding(finding));
        let bodies: Vec<Body> =
            change.into_iter().chain(findings).chain(rows.into_iter().map(Body::Flows)).collect();
        if frozen {
            self.unsaved = true;
            self.save();
        }
        self.keep(bodies);
        if urgent {
            self.view.send_modify(|view| view.urgent += 1);
        }
    }

    fn keep(&mut self, bodies: Vec<Body>) {
        if !bodies.is_empty() {
            let now = self.eyes.clock.raw();
            let group: Vec<(Millis, Body)> = bodies.into_iter().map(|body| (now, body)).collect();
            match self.spool.append(&group) {
                Kept::Stored(_) => {}
                Kept::Lost { count, fault } => {
                    tracing::error!(count, %fault, "records could not be kept; the gap is counted")
                }
                Kept::TooLarge => tracing::error!("a record is larger than the spool takes and was dropped"),
            }
        }
        self.show();
    }

    fn serve(&mut self, call: ToSensor) {
        match call {
            ToSensor::Keep(body) => self.keep(vec![*body]),
            ToSensor::Take(bytes, back) => {
                let _ = back.send(self.read(bytes));
            }
            ToSensor::Stored(position) => {
                self.spool.acknowledge(position);
                self.inventory_waits = self.inventory_waits.filter(|waits| *waits > position);
                self.show();
            }
            ToSensor::WantInventory(lacking) => self.hand_in_inventory(lacking),
        }
    }

    fn read(&mut self, bytes: usize) -> Vec<Record> {
        self.spool.read(bytes).unwrap_or_else(|fault| {
            tracing::error!(%fault, "the spool cannot be read; what it holds waits");
            Vec::new()
        })
    }

    /// Reads the inventory and shows its root. The rows are not kept: they would weigh more than all the rest.
    fn read_inventory(&mut self) -> Inventory {
        let inventory = self.eyes.host.inventory();
        let root = inventory.root();
        let declared = declared::told(&inventory);
        self.view.send_if_modified(|view| {
            let changed = (view.inventory_root, &view.declared) != (root, &declared);
            (view.inventory_root, view.declared) = (root, declared);
            changed
        });
        inventory
    }

    fn lived_s(&self) -> u64 {
        self.eyes.clock.monotonic().as_secs()
    }

    /// Reads the figures of the machine and keeps them, if they are worth telling now.
    fn read_health(&mut self) {
        let (clock, now) = (&self.eyes.clock, self.eyes.clock.raw());
        let server: Option<Millis> = clock.heard().map(Into::into);
        let moment = Moment {
            now: now.seconds(),
            ahead_ms: server.map(|server| now.since(server)),
            boots: self.boots,
            starts: self.spool.boot(),
            lived_s: self.lived_s(),
        };
        if let Some(health) = self.eyes.host.health(moment).and_then(|health| self.told.tell(health)) {
            self.keep(vec![Body::Health(health)]);
        }
    }

    /// The server lacks the inventory: one copy, or what changed, goes into the spool, not one a report while it waits there.
    fn hand_in_inventory(&mut self, lacking: Lacking) {
        if self.inventory_waits.is_none() {
            let inventory = self.read_inventory();
            let rows = inventory.rows().len();
            let body = kept::hand_in(&self.state, lacking, inventory);
            match self.spool.append(&[(self.eyes.clock.raw(), body)]) {
                Kept::Stored(position) => self.inventory_waits = Some(position),
                Kept::Lost { fault, .. } => tracing::error!(%fault, "the inventory could not be kept"),
                Kept::TooLarge => tracing::error!(
                    rows,
                    limit = limits::RECORD_BYTES,
                    "the inventory is larger than a record may be and is not sent"
                ),
            }
        }
        self.show();
    }

    /// Shows the newest state to the others, if it changed.
    fn show(&self) {
        let profile = self.sensor.detectors().profile();
        let sight = self.told_sight.as_ref();
        let report = SensorReport {
            tier: sight.and_then(|sight| sight.tier),
            note: sight.map(|sight| Text::lossy(&sight.note)),
            profile_keys: u32::try_from(profile.peers().len() + profile.sockets().len()).unwrap_or(u32::MAX),
            learning: profile.learns(),
        };
        let health = self.spool.health();
        self.view.send_if_modified(|view| {
            let next = SensorView {
                report,
                inventory_root: view.inventory_root,
                declared: view.declared.clone(),
                unseen: view.unseen.clone(),
                spool_records: health.waiting,
                spool_lost: health.lost,
                spool_fault: health.fault.map(|fault| fault.to_string()),
                urgent: view.urgent,
            };
            let changed = *view != next;
            *view = next;
            changed
        });
    }

    fn save(&mut self) {
        if !std::mem::take(&mut self.unsaved) {
            return;
        }
        if let Err(error) = self.state.write(PROFILE, &self.sensor.detectors().keep()) {
            tracing::error!(%error, "the profile could not be saved; it is tried again");
            self.unsaved = true;
        }
    }

    fn finish(mut self) {
        let mut output = Output::default();
        self.sensor.finish(self.eyes.clock.raw(), &mut output);
        self.sensor.detectors_mut().ends();
        self.unsaved = true;
        self.take(output, None);
        self.save();
    }
}

/// Detectors as they were saved. Damage costs the profile, which is then learned anew, and is said.
fn load_detectors(state: &Folder) -> Result<Detectors, FileError> {
    let learning = Learning::default();
    let Some(bytes) = state.read(PROFILE, limits::DETECTOR_KEPT_BYTES)? else {
        return Ok(Detectors::new(Profile::new(), learning));
    };
    Ok(Detectors::restore(&bytes, learning).unwrap_or_else(|error| {
        tracing::error!(%error, "the stored profile is damaged; the device is learned anew");
        Detectors::new(Profile::new(), learning)
    }))
}

fn read_usage(path: &Path) -> io::Result<Arc<Usage>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limits::USAGE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Usage::decode(&bytes).map(Arc::new).map_err(io::Error::other)
}

/// Teaches a device that has not run yet from sightings at their own times, and freezes the profile at `until`: for
/// the simulator, and for makers who know what their model does.
pub fn teach(state: &Folder, sightings: &[Sighting], until: Millis) -> Result<(), FileError> {
    let detectors = Detectors::new(Profile::new(), Learning::default());
    let mut sensor = Sensor::new(FlowTable::new(RandomState::new()), detectors);
    let mut output = Output::default();
    for sighting in sightings {
        sensor.observe(sighting, &mut output);
        sensor.pass(sighting.at, &mut output);
        output = Output::default();
    }
    sensor.finish(until, &mut output);
    sensor.detectors_mut().freeze(until);
    state.write(PROFILE, &sensor.detectors().keep())
}

/// The spool's segments.
pub(crate) fn storage(state: &Folder) -> Result<SpoolFolder, FileError> {
    SpoolFolder::open(state.path().join(SPOOL))
}

/// Removes profile, spool and the inventory that was handed in, for a device that leaves its site.
pub fn forget(state: &Folder) -> Result<(), FileError> {
    state.remove(PROFILE)?;
    kept::forget(state)?;
    let spool = state.inside(SPOOL)?;
    for name in spool.names()? {
        spool.remove(&name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
