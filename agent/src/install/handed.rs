//! Images that a command of the maker's puts into their slot: RAUC, SWUpdate, whatever a device already has.
//!
//! The image is kept as a file until it was read back and hashed; only then the command is told `install SLOT FILE`, and
//! asked by `digest SLOT` for what now stands there. That answer must be the same again when the image runs on trial. It
//! must never be told of the slot that runs, or of a file that is not the ordered one. Read next: docs/installers.md for
//! the contract, [`crate::boot::exec`] for the rest of it.

use std::fs::File;
use std::time::Duration;

use cordon_agent_core::update::Slot;
use cordon_agent_core::update::handed::{Digest, Note};
use cordon_proto::ids::Sha256;

use crate::files::{Folder, refuse_world_writable};
use crate::program;
use crate::slot::{SlotError, SlotWriter, Slots};

/// The note of what was installed.
const NOTE: &str = "handed";
/// Bytes of it.
const NOTE_BYTES: usize = 512;
/// How long an installation may take.
const INSTALL: Duration = Duration::from_secs(3600);
/// How long reading a slot back may take.
const DIGEST: Duration = Duration::from_secs(600);

/// A command, and where images wait for it.
#[derive(Clone)]
pub struct Handed {
    words: Vec<String>,
    images: Slots,
    state: Folder,
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
        Self { words, images, state }
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
        // What runs stands in its slot; the file it came from is of no use any more.
        let _ = std::fs::remove_file(self.images.path(slot.other()));
        self.images.write(slot, running, held)
    }

    pub(super) fn hash(&self, slot: Slot, length: u64) -> Result<Sha256, SlotError> {
        self.images.hash(slot, length)
    }

    pub(super) fn prove(
        &self,
        slot: Slot,
        running: Slot,
        (wanted, length): (Sha256, u64),
    ) -> Result<Sha256, SlotError> {
        let found = self.hash(slot, length)?;
        if found != wanted {
            return Ok(found);
        }
        let note = self.state.read(NOTE, NOTE_BYTES).ok().flatten().and_then(|bytes| Note::read(&bytes));
        if let Some(note) = note.filter(|note| note.is_of(slot, found)) {
            if self.digest(slot)? == note.digest {
                return Ok(found);
            }
            tracing::error!(%slot, "the slot no longer holds what was installed into it");
        }
        if slot == running {
            return Err(self.failed("did not install what runs, or something else stands there since"));
        }
        let path = self.images.path(slot).display().to_string();
        self.told(&["install", slot.letter(), &path], INSTALL)?;
        let note = Note { slot, image: found, digest: self.digest(slot)? };
        self.state.write(NOTE, note.text().as_bytes()).map_err(|error| self.failed(&error.to_string()))?;
        Ok(found)
    }

    fn digest(&self, slot: Slot) -> Result<Digest, SlotError> {
        let said = program::answer_in(&self.command(&["digest", slot.letter()])?, DIGEST);
        let said = said.map_err(|why| self.failed(&why.to_string()))?;
        Digest::read(&said).ok_or_else(|| self.failed("must answer `digest` by sha256=HEX or sha256=none"))
    }

    fn told(&self, verb: &[&str], limit: Duration) -> Result<(), SlotError> {
        let worked = program::work(&self.command(verb)?, limit);
        worked.map_err(|why| self.failed(&why.to_string()))
    }

    fn command<'a>(&'a self, verb: &[&'a str]) -> Result<Vec<&'a str>, SlotError> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).chain(verb.iter().copied()).collect();
        let program = words.first().copied().unwrap_or_default();
        refuse_world_writable(program.as_ref()).map_err(|error| self.failed(&error.to_string()))?;
        Ok(words)
    }

    fn failed(&self, why: &str) -> SlotError {
        SlotError::Command { program: self.words.join(" "), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests;
