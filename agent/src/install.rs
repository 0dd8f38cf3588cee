//! Where an image goes: one port over slots, a folder, and a command of the maker's.
//!
//! Whatever stands behind it, the same holds: bytes come in a stream to what does not run, and nothing counts as written
//! before it was read back and hashed as it was signed. It must never decide what may be installed. Read next:
//! [`tree`] for folders, [`handed`] for commands, [`crate::slot`] for slots; docs/installers.md for people.

pub mod handed;
pub mod tree;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use cordon_agent_core::update::Slot;
use cordon_proto::ids::Sha256;

use crate::slot::writing::Sink;
use crate::slot::{SlotError, Slots};
use handed::Handed;
use tree::Tree;

/// What the configuration's `install` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A folder that holds two trees and a link to the one that runs.
    Folder(std::path::PathBuf),
    /// A command of the maker's: a program and its first arguments.
    Command(String),
}

impl Setting {
    /// Reads the configuration's word; `None` for one that is neither. Relative paths count from `folder`.
    #[must_use]
    pub fn parse(text: &str, folder: &Path) -> Option<Self> {
        match text.split_once(':')? {
            ("directory", path) if !path.is_empty() => Some(Self::Folder(folder.join(path))),
            ("exec", command) if command.starts_with('/') => Some(Self::Command(command.into())),
            _ => None,
        }
    }
}

/// What holds images.
#[derive(Clone, Debug)]
pub enum Place {
    /// Files or block devices, byte for byte.
    Slots(Slots),
    /// Folders: the image is an archive, unpacked.
    Tree(Tree),
    /// A command that takes the image from a file.
    Handed(Handed),
}

impl From<Slots> for Place {
    fn from(slots: Slots) -> Self {
        Self::Slots(slots)
    }
}

impl Place {
    /// The slots, where each holds an image byte for byte: what a chunk delta is put together from.
    #[must_use]
    pub fn slots(&self) -> Option<&Slots> {
        match self {
            Self::Slots(slots) => Some(slots),
            Self::Tree(_) | Self::Handed(_) => None,
        }
    }

    /// Opens the slot that does not run for an image of `length` bytes, of which about the first `offset` are held; the
    /// writer says where it goes on, and is written by [`crate::slot::writing`].
    ///
    /// # Errors
    /// It is the running slot, or the medium fails.
    pub fn write(&self, slot: Slot, running: Slot, held: (u64, u64)) -> Result<Box<dyn Sink>, SlotError> {
        Ok(match self {
            Self::Slots(slots) => Box::new(slots.write(slot, running, held)?),
            Self::Tree(tree) => Box::new(tree.write(slot, running, held)?),
            Self::Handed(handed) => Box::new(handed.write(slot, running, held)?),
        })
    }

    /// Reads a slot back and hashes it as its image was signed.
    ///
    /// # Errors
    /// The slot holds something else, or the medium fails.
    pub fn hash(&self, slot: Slot, length: u64) -> Result<Sha256, SlotError> {
        match self {
            Self::Slots(slots) => slots.hash(slot, length),
            Self::Tree(tree) => tree.hash(slot),
            Self::Handed(handed) => handed.hash(slot, length),
        }
    }

    /// As [`Self::hash`], and hands an image that is the ordered one on to whoever puts it into its slot. No program
    /// outlives `wanted`.
    ///
    /// # Errors
    /// As there, or it was not taken.
    pub fn prove(
        &self,
        (slot, running): (Slot, Slot),
        image: (Sha256, u64),
        wanted: &AtomicBool,
    ) -> Result<Sha256, SlotError> {
        match self {
            Self::Handed(handed) => handed.prove((slot, running), image, wanted),
            Self::Slots(_) | Self::Tree(_) => self.hash(slot, image.1),
        }
    }

    /// Gives back the room of an image that came in part, where that is the agent's own disk; whether it did.
    #[must_use]
    pub fn give_back(&self, slot: Slot) -> bool {
        match self {
            Self::Handed(handed) => handed.give_back(slot),
            Self::Slots(_) | Self::Tree(_) => false,
        }
    }

    /// Length and hash of what a slot holds, whatever it is.
    #[must_use]
    pub fn measure(&self, slot: Slot) -> Option<(u64, Sha256)> {
        let slots = match self {
            Self::Slots(slots) => slots,
            Self::Tree(tree) => return tree.measure(slot).ok(),
            Self::Handed(handed) => handed.images(),
        };
        let length = std::fs::metadata(slots.path(slot)).ok()?.len();
        Some((length, slots.hash(slot, length).ok()?))
    }
}
