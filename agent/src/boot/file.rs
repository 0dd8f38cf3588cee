//! Boot control in a file: a small checksummed JSON document in two copies beside each other.
//!
//! For virtual machines, kiosks and the simulator, whose loader is [`FileBoot::boot`]. A torn copy is the state before
//! it. Read next: [`super`].

use std::path::{Path, PathBuf};

use cordon_agent_core::update::Slot;
use cordon_agent_core::update::loader::{BootState, Change, choose};
use cordon_proto::limits;
use serde::{Deserialize, Serialize};

use super::{BootControl, BootError};
use crate::files::{FileError, Folder};
use crate::store::{Found, Pair};

/// Boot control in a document of two copies: `PATH` and `PATH.2`.
pub struct FileBoot {
    pair: Pair,
    path: PathBuf,
}

impl FileBoot {
    /// Opens a document that exists.
    ///
    /// # Errors
    /// It does not exist, or neither copy is whole.
    pub fn open(path: &Path) -> Result<Self, BootError> {
        let mut control = Self::at(path)?;
        control.read()?;
        Ok(control)
    }

    pub(super) fn at(path: &Path) -> Result<Self, BootError> {
        Ok(Self { pair: pair(path)?, path: path.to_owned() })
    }

    /// Makes the document of a device whose factory image stands in this slot: an installer's task.
    ///
    /// # Errors
    /// There is one already, or the disk.
    pub fn create(path: &Path, slot: Slot) -> Result<Self, BootError> {
        let mut control = Self::at(path)?;
        control.pair.create(&text(&BootState::factory(slot)))?;
        Ok(control)
    }

    /// The boot loader's act: count, choose, store, and say what to start.
    ///
    /// # Errors
    /// Neither copy is whole, or the disk.
    pub fn boot(&mut self) -> Result<Slot, BootError> {
        let (slot, next) = choose(&self.read()?);
        self.store(&next)?;
        Ok(slot)
    }

    fn store(&mut self, state: &BootState) -> Result<(), BootError> {
        Ok(self.pair.store(&text(state))?)
    }
}

impl BootControl for FileBoot {
    fn read(&mut self) -> Result<BootState, BootError> {
        match self.pair.load(meaning)? {
            Found::Nothing => Err(BootError::Missing(self.path.clone())),
            Found::Newest { value, damage } => {
                if let Some(damage) = damage {
                    tracing::warn!(file = %damage.file, why = %damage.why, "a copy of the boot control is damaged");
                }
                Ok(value)
            }
        }
    }

    fn write(&mut self, _: Change, after: &BootState) -> Result<(), BootError> {
        self.store(after)
    }
}

/// The document as written.
#[derive(Serialize, Deserialize)]
struct Document {
    active: Letter,
    trial: Option<Letter>,
    attempts_left: u8,
    booted: Letter,
    boots: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Letter {
    A,
    B,
}

impl From<Slot> for Letter {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::A => Self::A,
            Slot::B => Self::B,
        }
    }
}

impl From<Letter> for Slot {
    fn from(letter: Letter) -> Self {
        match letter {
            Letter::A => Self::A,
            Letter::B => Self::B,
        }
    }
}

fn text(state: &BootState) -> Vec<u8> {
    let document = Document {
        active: state.active.into(),
        trial: state.trial.map(Letter::from),
        attempts_left: state.attempts_left,
        booted: state.booted.into(),
        boots: state.boots,
    };
    serde_json::to_vec(&document).expect("a document of letters and numbers is JSON")
}

fn meaning(bytes: &[u8]) -> Result<BootState, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    Ok(BootState {
        active: document.active.into(),
        trial: document.trial.map(Slot::from),
        attempts_left: document.attempts_left,
        booted: document.booted.into(),
        boots: document.boots,
        refused: false,
    })
}

fn pair(path: &Path) -> Result<Pair, BootError> {
    let wrong = || BootError::Path(path.to_owned());
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).ok_or_else(wrong)?;
    let folder = Folder::open(folder).map_err(|error: FileError| BootError::Pair(error.into()))?;
    Ok(Pair::new(folder, [name.into(), format!("{name}.2")], limits::BOOT_STATE_BYTES))
}
