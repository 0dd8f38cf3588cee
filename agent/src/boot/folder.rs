//! Boot control of a folder of two trees: a link `current` to the one that runs, and a file `boot` of a few words.
//!
//! The link is what the application is started from, so it alone says what starts after a power cut; it changes by one
//! rename. Where the configuration names a command that starts the application again, the agent does the loader's act
//! itself: count, store, turn the link, look once more, start; until the command has ended, the words name the tree it starts.
//! Elsewhere a loader of one's own does (agent/installers/cordon-start). It must never turn the link to a tree that is neither active
//! nor on trial. Read next: docs/installers.md, [`super`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_agent_core::update::Slot;
use cordon_agent_core::update::loader::{BootState, Change, choose};
use cordon_proto::limits;

use super::{BootControl, BootError, exec, slot, value};
use crate::files::{self, Folder};
use crate::program;

/// The file of words.
const WORDS: &str = "boot";
/// The link to the tree that runs.
const CURRENT: &str = "current";
/// What the kernel draws anew at each boot of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long the application may take to be started again.
const RESTART: Duration = Duration::from_secs(120);

/// Boot control beside two trees.
pub struct FolderBoot {
    folder: Folder,
    restart: Vec<String>,
    boot_id: PathBuf,
}

impl FolderBoot {
    /// The boot control in a folder that exists; `restart` is empty where a loader starts the application.
    ///
    /// # Errors
    /// There is no such folder, or anyone may change it.
    pub fn at(root: &Path, restart: Vec<String>) -> Result<Self, BootError> {
        let folder = Folder::look_at(root)?;
        if root.is_dir() {
            return Ok(Self { folder, restart, boot_id: BOOT_ID.into() });
        }
        Err(BootError::Missing(root.to_owned()))
    }

    /// The boot of the machine, as one word.
    fn machine(&self) -> String {
        let id = files::read_file(&self.boot_id, 64).unwrap_or_default();
        String::from_utf8_lossy(&id).trim().to_owned()
    }

    /// The tree that the link names.
    fn linked(&self) -> Result<Slot, BootError> {
        let named = std::fs::read_link(self.folder.path().join(CURRENT)).ok();
        let named = named.and_then(|to| slot(to.to_str()?));
        named.ok_or_else(|| self.holds(CURRENT, "must be a link to A or B, the tree that runs"))
    }

    fn holds(&self, name: &str, must: &'static str) -> BootError {
        BootError::Holds { place: self.folder.path().join(name).display().to_string(), must }
    }

    /// The words, and whether they are of this boot of the machine.
    fn words(&self) -> Result<(String, bool), BootError> {
        let bytes = self.folder.read(WORDS, limits::BOOT_STATE_BYTES)?;
        let bytes = bytes.ok_or_else(|| BootError::Missing(self.folder.path().join(WORDS)))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let of_now = self.restart.is_empty() || value(&text, "machine=") == Some(&self.machine());
        Ok((text, of_now))
    }

    fn store(&self, state: &BootState, starting: Option<Slot>) -> Result<(), BootError> {
        let [trial, starting] = [state.trial, starting].map(|slot| slot.map_or("none", Slot::letter));
        let (left, machine) = (state.attempts_left, self.machine());
        let text = format!(
            "active={} trial={trial} left={left} booted={} starting={starting} machine={machine}\n",
            state.active, state.booted
        );
        Ok(self.folder.write(WORDS, text.as_bytes())?)
    }

    /// Turns the link, by one rename.
    fn point(&self, to: Slot) -> Result<(), BootError> {
        Ok(self.folder.link(CURRENT, to.letter())?)
    }

    fn start(&self) -> bool {
        let words: Vec<&str> = self.restart.iter().map(String::as_str).collect();
        let started = program::work(&words, RESTART);
        if let Err(error) = &started {
            tracing::error!(program = %self.restart.join(" "), %error, "the application could not be started again");
        }
        started.is_ok()
    }
}

impl BootControl for FolderBoot {
    fn read(&mut self) -> Result<BootState, BootError> {
        let (text, of_now) = self.words()?;
        let must = "must say active=A|B, trial=A|B|none, left=NUMBER and booted=A|B";
        let mut state = exec::state(&text).ok_or_else(|| self.holds(WORDS, must))?;
        let linked = self.linked()?;
        // Since the machine itself was started, the application runs from where the link led.
        if !of_now {
            state.booted = linked;
        }
        Ok(state)
    }

    fn write(&mut self, change: Change, after: &BootState) -> Result<(), BootError> {
        self.store(after, self.begun()?)?;
        // A start that did not come about has left the link on the trial: a power cut must not start that.
        if matches!(change, Change::Disarm) && after.booted == after.active {
            self.point(after.active)?;
        }
        Ok(())
    }

    fn restart(&mut self, may: &mut dyn FnMut() -> bool) -> Result<Option<bool>, BootError> {
        if self.restart.is_empty() {
            return Ok(None);
        }
        let (before, begun, linked) = (self.read()?, self.begun()?, self.linked()?);
        let (slot, after) = choose(&before);
        self.store(&BootState { booted: before.booted, ..after }, Some(slot))?;
        self.point(slot)?;
        if !may() {
            // The link first: behind it the words still count a start that a power cut may have made.
            self.point(linked)?;
            self.store(&before, begun)?;
            return Err(BootError::NotNow);
        }
        let well = self.start();
        if !well && slot == after.active {
            // Perhaps nothing runs now. What is stored still says that the way back is not done.
            return Err(BootError::NotBack);
        }
        self.store(&after, None)?;
        Ok(Some(well))
    }

    fn begun(&self) -> Result<Option<Slot>, BootError> {
        let (text, of_now) = self.words()?;
        let starting = value(&text, "starting=").and_then(slot);
        Ok(starting.filter(|_| of_now && !self.restart.is_empty()))
    }
}

#[cfg(test)]
mod tests;
