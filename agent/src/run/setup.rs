//! Opens everything a run stands on, in an order in which each failure leaves nothing behind, and wires the roles.
//!
//! Trouble that only stops updates (slots, boot control, a lost security state) does not stop the agent: it is carried
//! to `status` as a reason. Trouble that would make it lie (no identity, no state folder) does. Read next:
//! [`super::run`].

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cordon_agent_core::update::{Installed, Record, Slot, report};
use cordon_proto::checkin::{Blocked, InterlockState, UpdateReport, UpdateState};
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::update::release::InterlockClass;
use tokio::sync::{mpsc, watch};

use super::contact::{self, Contact, ContactView, Facts, Pace};
use super::content::{self, Contents};
use super::keeping::Keeping;
use super::messages::{Heard, QUEUE, ToSensor, UpdateView};
use super::ports::{Installer, Ports};
use super::receipts::{self, Outbox};
use super::sensing::{Eyes, Sensing};
use super::telling::{Telling, Views};
use super::tuf::{DIRECTOR, Repositories};
use super::updating::{self, Updating};
use super::{Agent, Calls, RunError};
use crate::boot::{self, BootError};
use crate::clock::{Clock, Floor, TrustedClock};
use crate::config::Config;
use crate::files::Folder;
use crate::identity::{Applicant, Held, Home};
use crate::interlock::Socket;
use crate::link::Link;
use crate::link::mirrors::Mirrors;
use crate::store::{Found, SecurityStore};
use crate::zone::{ZONEINFO, Zone};

/// The code of a device that takes no updates by its configuration.
pub(super) const NO_SLOTS: &str = "no-slots";
/// The lock's name in the state folder.
const LOCK: &str = "lock";
/// How often the lock is tried before another agent is said to hold it: a program that an agent was just starting when it
/// ended has a copy of the lock's file until it runs.
const LOCK_TRIES: u32 = 100;
/// Between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Opens the state folder's lock, for as long as the file is kept; an error while another agent holds it.
pub(crate) fn lock(state: &Folder) -> Result<File, RunError> {
    let path = state.path().join(LOCK);
    let io = |source| RunError::Io { act: "open the state folder's lock", source };
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    if locked(&file).map_err(io)? {
        Ok(file)
    } else {
        Err(RunError::Taken(state.path().display().to_string()))
    }
}

fn locked(file: &File) -> std::io::Result<bool> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
    Ok(false)
}

/// Lets a command write into the state folder beside an agent, for as long as the file is kept; waits for another command.
pub(crate) fn beside(state: &Folder) -> Result<File, RunError> {
    let io = |source| RunError::Io { act: "lock the state folder", source };
    let folder = File::open(state.path()).map_err(io)?;
    folder.lock().map_err(io)?;
    Ok(folder)
}

/// Removes what writes that died have left, unless a command is writing here: its files are under way, not left.
fn sweep(state: &Folder) {
    let Ok(folder) = File::open(state.path()) else { return };
    if locked(&folder).unwrap_or(false) {
        state.sweep();
    }
}

/// Whether an agent holds the state folder's lock. Nothing is made by asking.
pub(crate) fn runs(state: &Folder) -> bool {
    let lock = File::open(state.path().join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Where the interlock's socket is: as configured, or in the state folder.
pub(crate) fn interlock_path(config: &Config) -> std::path::PathBuf {
    config.interlock_socket.clone().unwrap_or_else(|| config.state.join("interlock.sock"))
}

/// What every start stands on.
pub(crate) struct Base {
    pub(crate) state: Folder,
    pub(crate) home: Home,
    pub(crate) clock: TrustedClock,
    /// Held as long as the agent runs.
    _lock: File,
}

impl Base {
    /// Takes the state folder; refused while another agent has it.
    pub(crate) fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, RunError> {
        let state = Folder::open(&config.state)?;
        let lock = lock(&state)?;
        sweep(&state);
        let home = Home::of(config, &state)?;
        home.mend()?;
        let clock = TrustedClock::new(clock, Floor::new(config.clock_floor));
        Ok(Self { state, home, clock, _lock: lock })
    }

    /// The same base over another folder, whose disk a test lets die.
    #[cfg(test)]
    pub(crate) fn on(self, state: Folder, home: Home) -> Self {
        Self { state, home, ..self }
    }

    /// What asking for a certificate needs.
    pub(crate) fn applicant(&self, config: &Config) -> Applicant {
        Applicant {
            hardware: config.hardware.clone(),
            addresses: config.server.clone(),
            proxy: config.proxy.clone(),
            metered: config.metered.is_some(),
            clock: self.clock.clone(),
        }
    }
}

/// Opens and wires everything.
pub(super) fn agent(base: &Base, held: Held, config: &Config, ports: Ports) -> Result<Agent, RunError> {
    let Base { state, clock, .. } = base;
    let zone = zone(config)?;
    let Ports { capture, mut host, power, interlock: shared, installer, clock: _, memory, tempo } = ports;
    let (record, store, installer) = security(state, installer);
    [record.latest(), held.identity.not_before].into_iter().for_each(|time| clock.floor().raise(time));
    let applicant = base.applicant(config);
    let site = held.identity.site.clone();
    let mirrors = Mirrors::new(&config.mirrors, clock.clone())?;
    let link = Link::new(&held.identity, &applicant.route(&site.host), clock.clone(), tempo.patience)?
        .capped(config.image_kbit_s)
        .mirrored(mirrors.clone());
    let keeping = Keeping::new(base.home.clone(), held, applicant);
    let machine = host.machine();
    let eyes = Eyes { capture, host, clock: clock.clone(), rhythm: tempo.rhythm };
    let starts = record.starts.saturating_add(1);
    let sensing = Sensing::open(eyes, state.clone(), starts)?.described(config.mud.as_deref());
    // What is kept of an owner is kept apart from any other's.
    let tuf = (state.inside("tuf")?, record.owners(DIRECTOR));
    let outbox = Outbox::new(state.inside(&record.owners(receipts::FOLDER))?);
    let interlock = socket(config)?;
    // Nothing fails after it: from here on a start that does not end as it should speaks against a content on trial.
    let contents = Contents::open(state.inside(&record.owners(content::FOLDER)), clock.clone(), memory);
    let sensing = sensing.following(contents.view());

    let pace = Pace { metered: config.metered.map(|s| Duration::from_secs(s.into())), ..tempo.pace };
    let (to_link, link_calls) = mpsc::channel(QUEUE);
    let wires = Wires::new(&sensing, first_view(&record, shared.state()), &mirrors, &contents);
    let sensing = sensing.beside(wires.views.update.clone());
    let facts = Facts {
        boot: sensing.boot(),
        hardware: config.hardware.clone(),
        run: getrandom::u64().unwrap_or_default(),
        machine,
    };
    let (who, hardware) = (keeping.status(), config.hardware.identity());
    let contact = wires.views.contact.clone();
    let telling = Telling::new(state.clone(), who, hardware, clock.clone(), wires.views);
    let (roots, site) = (config.image_root.clone(), (site.director_root, site.host.as_str()));
    let repositories = Repositories::new(tuf, roots, site, to_link.clone());
    let means = updating::Means { store, installer, repositories, outbox, state: state.clone() };
    let device = updating::Device {
        hardware: config.hardware.clone(),
        identity: keeping.in_force(),
        zone,
        health: config.health.clone(),
        trial_s: config.trial_s,
        clock: clock.clone(),
        interlock: shared.clone(),
        local_class: config.interlock,
        power,
        look: tempo.look,
    };
    let (heard, view, to_sensor) = wires.updater;
    let peers = updating::Peers { heard, view, to_sensor, to_link, mirrors, contact };
    let mut updating = Updating::new(device, (means, contents.clone()), peers, record);
    // The first check-in may come before the updater's first step; it must not call a trial idle.
    updating.show();
    Ok(Agent {
        server: link.waiter(),
        contact: Contact::new((link, keeping), facts, clock.clone(), pace, wires.contact),
        sensing,
        updating,
        telling,
        calls: Calls { sensor: wires.sensor_calls, link: link_calls },
        interlock,
        shared,
        contents,
    })
}

/// The time zone that the configuration names: windows of an order are hours of the ward's clock.
fn zone(config: &Config) -> Result<Zone, RunError> {
    Zone::of(&config.timezone, Path::new(ZONEINFO)).ok_or_else(|| RunError::Zone(config.timezone.clone()))
}

/// The channels between the roles, sorted by who gets which end.
struct Wires {
    contact: contact::Peers,
    updater: (watch::Receiver<Option<Heard>>, watch::Sender<UpdateView>, mpsc::Sender<ToSensor>),
    views: Views,
    sensor_calls: mpsc::Receiver<ToSensor>,
}

impl Wires {
    fn new(sensing: &Sensing, first: UpdateView, mirrors: &Mirrors, contents: &Contents) -> Self {
        let (to_sensor, sensor_calls) = mpsc::channel(QUEUE);
        let (heard_at, heard) = watch::channel(None);
        let (update_at, update) = watch::channel(first);
        let (contact_at, contact) = watch::channel(ContactView::default());
        Self {
            contact: contact::Peers {
                sensor: sensing.view(),
                update: update.clone(),
                content: contents.view(),
                to_sensor: to_sensor.clone(),
                heard: heard_at,
                view: contact_at,
            },
            updater: (heard, update_at, to_sensor),
            views: Views {
                sensor: sensing.view(),
                update,
                contact,
                mirrors: mirrors.view(),
                content: contents.view(),
            },
            sensor_calls,
        }
    }
}

/// The socket; one that was asked for must be there, the one in the state folder is a convenience.
fn socket(config: &Config) -> Result<Option<Socket>, RunError> {
    match (Socket::bind(&interlock_path(config)), &config.interlock_socket) {
        (Ok(socket), _) => Ok(Some(socket)),
        (Err(error), Some(_)) => Err(error.into()),
        (Err(error), None) => {
            tracing::warn!(%error, "no interlock socket; set interlock_socket to a path that works");
            Ok(None)
        }
    }
}

/// The security state and what installs; whatever is wrong with either stops updates and is said.
pub(crate) fn security(
    state: &Folder,
    installer: Option<Result<Installer, BootError>>,
) -> (Record, Option<SecurityStore>, Result<Installer, Blocked>) {
    let mut installer = match installer {
        Some(Ok(installer)) => Ok(installer),
        Some(Err(error)) => {
            tracing::error!(%error, "the boot control cannot be used; nothing is installed");
            Err(blocked("boot-control", &error.to_string()))
        }
        None => {
            let sentence = "This device takes no updates: its configuration names no slots and boot control.";
            Err(blocked(NO_SLOTS, sentence))
        }
    };
    let mut store = SecurityStore::new(state.clone());
    let found = store.load().and_then(|found| match found {
        Found::Newest { value, damage } => {
            if let Some(damage) = damage {
                tracing::warn!(file = %damage.file, why = %damage.why, "a copy of the security state is damaged");
            }
            Ok(value)
        }
        Found::Nothing => {
            let record = Record::factory(installed(installer.as_mut().ok()));
            store.create(&record).map(|()| record)
        }
    });
    let mut record = match found {
        Ok(record) => record,
        Err(error) => {
            tracing::error!(%error, "the security state cannot be read; nothing is installed");
            let unable = blocked("security-state", &error.to_string());
            return (Record::factory(installed(None)), None, Err(unable));
        }
    };
    if installer.is_err() {
        // Where there is no machine to count the start, it is counted here.
        record.starts = record.starts.saturating_add(1);
        if let Err(error) = store.store(&cordon_proto::wire::write(&record)) {
            tracing::warn!(%error, "this start could not be counted");
        }
    }
    (record, Some(store), installer)
}

/// What runs on a device that has no record yet: the image in the slot that was booted, measured, of no known release.
fn installed(installer: Option<&mut Installer>) -> Installed {
    let (slot, length, sha256) = installer.and_then(measured).unwrap_or((Slot::A, 0, Sha256([0; 32])));
    Installed { release: None, counter: 0, sha256, length, slot, interlock: InterlockClass::Application }
}

fn measured(installer: &mut Installer) -> Option<(Slot, u64, Sha256)> {
    let slot = boot::read(&installer.boot).ok()?.booted;
    let (length, sha256) = installer.slots.measure(slot)?;
    Some((slot, length, sha256))
}

fn first_view(record: &Record, interlock: InterlockState) -> UpdateView {
    UpdateView {
        software: report::software(record),
        update: UpdateReport {
            state: UpdateState::Idle,
            order: None,
            blocked_by: Vec::new(),
            fetched_bytes: 0,
        },
        interlock,
        want_permit: None,
        director_root_version: 0,
        whole: None,
        urgent: 0,
    }
}

fn blocked(code: &str, sentence: &str) -> Blocked {
    Blocked { code: Text::lossy(code), sentence: Text::lossy(sentence) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_for_a_moment_is_waited_for_and_a_held_one_is_not() {
        // Goal: a program that was just being started when its agent ended keeps no agent out. Method: a copy of the
        // lock's file that goes after 50 ms; then one that stays.
        let folder = tempfile::tempdir().expect("a scratch folder");
        let state = Folder::open(folder.path().join("state")).expect("opens");
        let held = lock(&state).expect("locks");
        let copy = held.try_clone().expect("is copied");
        drop(held);
        let started = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(copy);
        });
        let held = lock(&state).expect("is waited for");
        started.join().expect("no panic");
        assert!(matches!(lock(&state), Err(RunError::Taken(_))));
        drop(held);
    }

    #[test]
    fn what_a_command_writes_beside_a_starting_agent_is_not_swept_away() {
        // Goal: a stick handed over while the agent starts anew is no error. Method: a file under way, with and without a
        // command that writes.
        let folder = tempfile::tempdir().expect("a scratch folder");
        let state = Folder::open(folder.path().join("state")).expect("opens");
        let way = state.path().join(".snapshot.json.new");
        std::fs::write(&way, b"under way").expect("writes");
        let command = beside(&state).expect("locks");
        sweep(&state);
        assert!(way.exists(), "taken from under a command");
        drop(command);
        sweep(&state);
        assert!(!way.exists(), "litter");
    }
}
