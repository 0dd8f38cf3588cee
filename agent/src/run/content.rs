//! The device's content on disk and in force: stored, applied, watched for ten minutes, and taken back.
//!
//! The decisions are the core's; here a step is stored in two checksummed copies before it is applied, and shown to the
//! other roles. What brings a content here is [`super::updating`]. A restore is applied even where the disk refuses it:
//! the marker that stands there brings it about again at the next start. Read next: `cordon_agent_core::content`.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cordon_agent_core::content::{Event, State, step};
use cordon_agent_core::detect::Thresholds;
use cordon_proto::checkin::ContentFault;
use cordon_proto::ids::Name;
use cordon_proto::time::Millis;
use cordon_proto::update::window::Window;
use cordon_proto::{limits, wire};
use tokio::sync::watch;

use crate::clock::TrustedClock;
use crate::files::{FileError, Folder};
use crate::store::{Found, Pair};

/// The folder in the state folder, one for each owner.
pub(crate) const FOLDER: &str = "content";
/// The two copies in it.
const COPIES: [&str; 2] = ["content.a", "content.b"];
/// Bytes of a copy: two contents and what is said of them.
const STATE_BYTES: usize = 2 * limits::CONTENT_BYTES + 8 * 1024;
/// How much memory the kernel gives this program, line by line.
const STATUS: &str = "/proc/self/status";

/// What says how many KiB of memory the agent holds.
pub type Memory = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// What is applied, and what is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The content that is applied, and its version.
    pub(crate) current: Option<(Name, u64)>,
    /// Whether it is on trial.
    pub(crate) on_trial: bool,
    /// Version of the content in force, 0 for none.
    pub(crate) in_force: u64,
    /// Why a content was given back or refused.
    pub(crate) fault: Option<ContentFault>,
    /// Seconds between two check-ins at least.
    pub(crate) checkin_s: Option<u32>,
    /// When the detectors speak.
    pub(crate) thresholds: Thresholds,
    /// When the device may reboot at all.
    pub(crate) windows: Option<Vec<Window>>,
}

/// The content of this device, shared by whoever works on it and whoever ends the run.
#[derive(Clone)]
pub(crate) struct Contents(Arc<Mutex<Kept>>);

struct Kept {
    /// Nothing where not even their folder could be made.
    copies: Option<Pair>,
    state: State,
    clock: TrustedClock,
    memory: Memory,
    view: watch::Sender<Applied>,
}

impl Contents {
    /// Opens what is kept, and takes back what an agent has died with. Trouble with the disk costs the content and never
    /// the agent.
    pub(crate) fn open(folder: Result<Folder, FileError>, clock: TrustedClock, memory: Memory) -> Self {
        let without = |error: &dyn Display| {
            tracing::error!(%error, "the content cannot be read; the device goes on without one");
        };
        let folder = folder.inspect_err(|error| without(error)).ok();
        let mut copies = folder.map(|folder| Pair::new(folder, COPIES.map(str::to_owned), STATE_BYTES));
        let read = |bytes: &[u8]| wire::read::<State>(bytes, STATE_BYTES).map_err(|error| error.to_string());
        let state = match copies.as_mut().map(|copies| copies.load(read)) {
            Some(Ok(Found::Newest { value, .. })) => value,
            Some(Ok(Found::Nothing)) | None => State::default(),
            Some(Err(error)) => {
                without(&error);
                State::default()
            }
        };
        let view = watch::Sender::new(Applied::default());
        let mut kept = Kept { copies, state, clock, memory, view };
        if !kept.step(Event::Started) {
            // Without its marker on the disk a content on trial is not applied. It was not tried either, and may be taken
            // again.
            tracing::error!("the content on trial waits until the disk takes its marker");
            let current = kept.state.previous.take();
            let newest = current.as_ref().map_or(0, |held| held.version);
            kept.state = State { newest, current, trial: None, ..kept.state };
        }
        kept.show();
        Self(Arc::new(Mutex::new(kept)))
    }

    /// What is applied, for whoever wants to follow it.
    pub(crate) fn view(&self) -> watch::Receiver<Applied> {
        self.kept().view.subscribe()
    }

    /// The highest version taken so far.
    pub(crate) fn newest(&self) -> u64 {
        self.kept().state.newest
    }

    /// When the device may reboot at all, where the content has a say.
    pub(crate) fn windows(&self) -> Option<Vec<Window>> {
        self.kept().view.borrow().windows.clone()
    }

    /// KiB of memory that the agent holds now.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        (self.kept().memory)()
    }

    /// Takes a step: stores it, then applies it. Whether the server should hear of what came of it.
    pub(crate) fn take(&self, event: Event) -> bool {
        let mut kept = self.kept();
        let told = |kept: &Kept| (kept.state.in_force(), kept.state.fault.clone());
        let before = told(&kept);
        kept.step(event);
        kept.show();
        told(&kept) != before
    }

    /// Looks at the memory while a content is on trial; `resting` is whether nothing else needs any.
    pub(crate) fn look(&self, resting: bool) -> bool {
        if self.kept().state.trial.is_none() {
            return false;
        }
        let kib = if resting { self.memory_kib() } else { None };
        self.take(Event::Looked(kib))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Whether the step is stored, if it changed anything.
    fn step(&mut self, event: Event) -> bool {
        let now = i64::try_from(self.clock.monotonic().as_millis()).unwrap_or(i64::MAX);
        let Some(next) = step(&self.state, event, Millis(now)) else { return true };
        let stored = self.copies.as_mut().is_some_and(|copies| {
            let stored = copies.store(&wire::write(&next));
            stored.inspect_err(|error| tracing::error!(%error, "the content cannot be stored")).is_ok()
        });
        if let Some(fault) = next.fault.as_ref().filter(|fault| self.state.fault.as_ref() != Some(*fault)) {
            tracing::warn!(content = %fault.content, version = fault.version, reason = %fault.why.sentence, "content");
        }
        let restored = self.state.trial.is_some() && next.trial.is_none() && next.fault.is_some();
        if stored || restored {
            self.state = next;
        }
        stored || restored
    }

    fn show(&mut self) {
        let says = self.state.says();
        let current = self.state.current.as_ref().filter(|_| says.is_some());
        let applied = Applied {
            current: current.map(|held| (held.id.clone(), held.version)),
            on_trial: self.state.trial.is_some(),
            in_force: self.state.in_force(),
            fault: self.state.fault.clone(),
            checkin_s: says.as_ref().and_then(|says| says.settings.checkin_s),
            thresholds: says
                .as_ref()
                .map_or_else(Thresholds::default, |says| Thresholds::of(&says.detectors)),
            windows: says.and_then(|says| says.windows),
        };
        self.view.send_if_modified(|view| {
            let changed = *view != applied;
            *view = applied;
            changed
        });
    }
}

/// Forgets the contents of all owners.
pub(crate) fn forget(state: &Folder) -> Result<(), FileError> {
    let is_one = |name: &&String| name.starts_with(FOLDER) && state.path().join(name).is_dir();
    for name in state.names()?.iter().filter(is_one) {
        let folder = state.inside(name)?;
        COPIES.iter().try_for_each(|copy| folder.remove(copy))?;
    }
    Ok(())
}

/// KiB of memory that this program holds, by the kernel's word.
pub(crate) fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string(STATUS).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
pub(crate) mod tests;
