//! Images that a command of the maker's puts into their slot: RAUC, SWUpdate, whatever a device already has.
//!
//! The image is kept as a file until it was read back and hashed; only then the command is told `install SLOT FILE`, and
//! asked by `digest SLOT` for what now stands there. That answer must be the same again when the image runs on trial. It
//! must never be told of the slot that runs, or of a file that is not the ordered one, and no image may take the room that
//! the agent's own state needs. Read next: docs/installers.md for the contract, [`crate::boot::exec`] for the rest of it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_agent_core::update::Slot;
use cordon_agent_core::update::handed::{Digest, Note};
use cordon_proto::ids::Sha256;
use cordon_proto::limits;

use crate::files::Folder;
use crate::program::{self, ProgramError};
use crate::slot::{self, SlotError, SlotWriter, Slots};

/// The note of what was installed.
const NOTE: &str = "handed";
/// Bytes of it.
const NOTE_BYTES: usize = 512;
/// How long an installation may take.
const INSTALL: Duration = Duration::from_secs(3600);
/// How long reading a slot back may take.
const DIGEST: Duration = Duration::from_secs(600);
/// Bytes that an image leaves to the rest of the state folder: a spool, and the small files around it.
const RESERVE: u64 = limits::SPOOL_BYTES + limits::SPOOL_BYTES / 4;
/// Bytes of a block as the file system counts them (stat(2)).
const BLOCK: u64 = 512;

/// A command, and where images wait for it.
#[derive(Clone)]
pub struct Handed {
    words: Vec<String>,
    images: Slots,
    state: Folder,
    /// Held by whoever works on an image: one whom nobody waits for any more may not have ended yet.
    turn: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handed({})", self.words.join(" "))
    }
}

impl Handed {
    /// The command, a program's full path and its first arguments; images wait in the state folder.
    #[must_use]
    pub fn new(command: &str, state: Folder) -> Self {
        let words = command.split_ascii_whitespace().map(str::to_owned).collect();
        let images = Slots::new(["handed.A", "handed.B"].map(|name| state.path().join(name)));
        Self { words, images, state, turn: Arc::default() }
    }

    pub(super) fn images(&self) -> &Slots {
        &self.images
    }

    pub(super) fn write(
        &self,
        slot: Slot,
        running: Slot,
        held: (u64, u64),
    ) -> Result<SlotWriter<File>, SlotError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if slot != running {
            // What runs stands in its slot; the file it came from is of no use any more.
            self.give_back(slot.other());
            if held.1 == 0 {
                // A new file: an installer may still read the old one, which must not change under it.
                self.give_back(slot);
            }
            self.check_room(self.images.path(slot), held.0)?;
        }
        self.images.write(slot, running, held)
    }

    fn check_room(&self, path: &Path, length: u64) -> Result<(), SlotError> {
        let disk = rustix::fs::statvfs(self.state.path());
        let disk = disk.map_err(|error| slot::io_error("look at the disk of", path, error.into()))?;
        let held = std::fs::metadata(path).map_or(0, |file| file.blocks().saturating_mul(BLOCK).min(length));
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if leaves_enough(free, length - held) { Ok(()) } else { Err(SlotError::DiskFull(path.to_owned())) }
    }

    /// Gives back the room of an image; whether there was one.
    pub(super) fn give_back(&self, slot: Slot) -> bool {
        std::fs::remove_file(self.images.path(slot)).is_ok()
    }

    pub(super) fn hash(&self, slot: Slot, length: u64) -> Result<Sha256, SlotError> {
        self.images.hash(slot, length)
    }

    pub(super) fn prove(
        &self,
        (slot, running): (Slot, Slot),
        (wanted, length): (Sha256, u64),
        awaited: &AtomicBool,
    ) -> Result<Sha256, SlotError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.hash(slot, length)?;
        if found != wanted {
            return Ok(found);
        }
        let note = self.state.read(NOTE, NOTE_BYTES).ok().flatten().and_then(|bytes| Note::read(&bytes));
        let mut stands = None;
        if let Some(note) = note.filter(|note| note.is_of(slot, found)) {
            let digest = self.digest(slot, awaited)?;
            if digest == note.digest {
                return Ok(found);
            }
            tracing::error!(%slot, "the slot no longer holds what was installed into it");
            stands = digest.0;
        }
        if slot == running {
            return stands.ok_or_else(|| self.failed("did not install what runs, as far as is known"));
        }
        let path = self.images.path(slot).display().to_string();
        let words = self.command(&["install", slot.letter(), &path])?;
        program::work_while(awaited, &words, INSTALL).map_err(|why| self.ended(why))?;
        let note = Note { slot, image: found, digest: self.digest(slot, awaited)? };
        self.state.write(NOTE, note.text().as_bytes()).map_err(|error| self.failed(&error.to_string()))?;
        Ok(found)
    }

    fn digest(&self, slot: Slot, awaited: &AtomicBool) -> Result<Digest, SlotError> {
        let words = self.command(&["digest", slot.letter()])?;
        let said = program::answer_while(awaited, &words, DIGEST).map_err(|why| self.ended(why))?;
        Digest::read(&said).ok_or_else(|| self.failed("must answer `digest` by sha256=HEX or sha256=none"))
    }

    fn command<'a>(&'a self, verb: &[&'a str]) -> Result<Vec<&'a str>, SlotError> {
        program::checked(&self.words, verb).map_err(|error| self.failed(&error.to_string()))
    }

    fn ended(&self, why: ProgramError) -> SlotError {
        self.failed(&why.to_string())
    }

    fn failed(&self, why: &str) -> SlotError {
        SlotError::Command { program: self.words.join(" "), why: why.to_owned() }
    }
}

fn leaves_enough(free: u64, needed: u64) -> bool {
    needed.checked_add(RESERVE).is_some_and(|needed| free >= needed)
}

#[cfg(test)]
mod tests;
