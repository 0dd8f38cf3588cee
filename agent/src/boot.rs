//! Boot control: which slot starts, told by the agent and read by the boot loader.
//!
//! Built in is `file:PATH`: a small checksummed JSON document in two copies beside each other, for virtual machines,
//! kiosks and the simulator, whose loader is [`FileBoot::boot`]. U-Boot, GRUB and command adapters are named in the
//! configuration and refused until they exist: a device must never believe that it armed what it did not. All
//! arithmetic is `cordon_agent_core::update::loader`'s. Read next there.

use std::path::{Path, PathBuf};

use cordon_agent_core::update::Slot;
pub use cordon_agent_core::update::loader::{BootChangeError, BootState, choose};
use cordon_proto::limits;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, Folder};
use crate::store::{Found, Pair, PairError};

/// The exit status by which an agent on `file:PATH` asks for its reboot.
pub const REBOOT_STATUS: u8 = 86;

/// Why the boot control cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The configuration names something else than a boot control.
    #[error("boot = \"{0}\" is not known; use file:PATH, uboot, grub or exec:CMD")]
    Unknown(String),
    /// Named, but not built.
    #[error("boot = \"{0}\" is not yet supported in this build; use file:PATH, or a build that has it")]
    NotSupported(String),
    /// Nothing stands at the path.
    #[error("{} does not exist; the system image or the installer must bring it", .0.display())]
    Missing(PathBuf),
    /// The copies on disk.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The path has no folder or no name.
    #[error("boot = \"file:{}\" must name a file inside a folder", .0.display())]
    Path(PathBuf),
    /// A change that makes no sense.
    #[error(transparent)]
    Change(#[from] BootChangeError),
}

/// What the configuration's `boot` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A document at this path.
    File(PathBuf),
    /// U-Boot's environment.
    Uboot,
    /// GRUB's environment block.
    Grub,
    /// A command of the maker's.
    Exec(String),
}

/// The boot control of one device.
pub trait BootControl: Send {
    /// What it holds now.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self) -> Result<BootState, BootError>;

    /// Sets the try-once flag. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// It cannot be written, or the slot is the active one.
    fn arm(&mut self, slot: Slot, attempts: u8) -> Result<(), BootError>;

    /// Takes the flag back.
    ///
    /// # Errors
    /// It cannot be written.
    fn disarm(&mut self) -> Result<(), BootError>;

    /// Makes the running slot the active one.
    ///
    /// # Errors
    /// It cannot be written, or the slot does not run.
    fn confirm(&mut self, slot: Slot) -> Result<(), BootError>;

    /// Makes the old slot the one that starts next.
    ///
    /// # Errors
    /// It cannot be written.
    fn roll_back(&mut self, to: Slot) -> Result<(), BootError>;
}

impl Setting {
    /// Reads the configuration's word.
    ///
    /// # Errors
    /// It is none of the four.
    pub fn parse(text: &str) -> Result<Self, BootError> {
        let argument = |prefix| text.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        match (text, argument("file:"), argument("exec:")) {
            (_, Some(path), _) => Ok(Self::File(path.into())),
            (_, _, Some(command)) => Ok(Self::Exec(command.into())),
            ("uboot", _, _) => Ok(Self::Uboot),
            ("grub", _, _) => Ok(Self::Grub),
            (other, _, _) => Err(BootError::Unknown(other.into())),
        }
    }

    /// Opens the boot control that is named.
    ///
    /// # Errors
    /// It is not built in, or its document does not exist.
    pub fn open(&self) -> Result<Box<dyn BootControl>, BootError> {
        match self {
            Self::File(path) => Ok(Box::new(FileBoot::open(path)?)),
            Self::Uboot => Err(BootError::NotSupported("uboot".into())),
            Self::Grub => Err(BootError::NotSupported("grub".into())),
            Self::Exec(command) => Err(BootError::NotSupported(format!("exec:{command}"))),
        }
    }
}

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
        let mut control = Self { pair: pair(path)?, path: path.to_owned() };
        control.read()?;
        Ok(control)
    }

    /// Makes the document of a device whose factory image stands in this slot: an installer's task.
    ///
    /// # Errors
    /// There is one already, or the disk.
    pub fn create(path: &Path, slot: Slot) -> Result<Self, BootError> {
        let mut control = Self { pair: pair(path)?, path: path.to_owned() };
        control.pair.create(&text(&BootState::factory(slot)))?;
        Ok(control)
    }

    /// The boot loader's act: count, choose, store, and say what to start.
    ///
    /// # Errors
    /// Neither copy is whole, or the disk.
    pub fn boot(&mut self) -> Result<Slot, BootError> {
        let (slot, next) = choose(&self.read()?);
        self.write(&next)?;
        Ok(slot)
    }

    fn write(&mut self, state: &BootState) -> Result<(), BootError> {
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

    fn arm(&mut self, slot: Slot, attempts: u8) -> Result<(), BootError> {
        let armed = self.read()?.armed(slot, attempts)?;
        self.write(&armed)
    }

    fn disarm(&mut self) -> Result<(), BootError> {
        let disarmed = self.read()?.disarmed();
        self.write(&disarmed)
    }

    fn confirm(&mut self, slot: Slot) -> Result<(), BootError> {
        let confirmed = self.read()?.confirmed(slot)?;
        self.write(&confirmed)
    }

    fn roll_back(&mut self, to: Slot) -> Result<(), BootError> {
        let rolled_back = self.read()?.rolled_back(to);
        self.write(&rolled_back)
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
    })
}

fn pair(path: &Path) -> Result<Pair, BootError> {
    let wrong = || BootError::Path(path.to_owned());
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).ok_or_else(wrong)?;
    let folder = Folder::open(folder).map_err(|error: FileError| BootError::Pair(error.into()))?;
    Ok(Pair::new(folder, [name.into(), format!("{name}.2")], limits::BOOT_STATE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_named_but_not_built_is_refused_and_what_is_unknown_too() {
        // Goal: no boot control that only pretends. Method: every form of the key.
        let open = |text: &str| Setting::parse(text).and_then(|setting| setting.open().map(drop));
        for text in ["uboot", "grub", "exec:/usr/sbin/bootctl"] {
            let error = open(text).expect_err("not built");
            assert!(matches!(&error, BootError::NotSupported(named) if named == text), "{error}");
            assert!(error.to_string().contains("not yet supported in this build"));
        }
        for text in ["", "file:", "exec:", "efi", "File:/x"] {
            assert!(matches!(open(text), Err(BootError::Unknown(_))), "{text}");
        }
        assert!(matches!(open("file:/"), Err(BootError::Path(_))));
    }

    #[test]
    fn a_trial_is_armed_booted_confirmed_and_seen_by_another_reader() {
        // Goal: agent and loader understand each other through the file. Method: two handles on one path.
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = root.path().join("boot/control.json");
        assert!(matches!(FileBoot::open(&path), Err(BootError::Missing(_))));
        let mut loader = FileBoot::create(&path, Slot::A).expect("created");
        assert_eq!(loader.boot().expect("boots"), Slot::A);
        let mut agent =
            Setting::parse(&format!("file:{}", path.display())).expect("known").open().expect("opens");
        assert!(matches!(agent.arm(Slot::A, 3), Err(BootError::Change(_))), "the active slot is never tried");
        agent.arm(Slot::B, 2).expect("armed");
        assert_eq!(loader.boot().expect("boots"), Slot::B);
        agent.confirm(Slot::B).expect("confirmed");
        assert!(matches!(agent.confirm(Slot::A), Err(BootError::Change(_))), "only what runs is confirmed");
        assert_eq!(loader.boot().expect("boots"), Slot::B);
        agent.arm(Slot::A, 1).expect("armed");
        assert_eq!([loader.boot().expect("boots"), loader.boot().expect("boots")], [Slot::A, Slot::B]);
        let seen = agent.read().expect("reads");
        assert!(seen.fell_back() && seen.boots == 5);
        agent.disarm().expect("disarmed");
        agent.roll_back(Slot::A).expect("rolled back");
        assert_eq!(loader.boot().expect("boots"), Slot::A);
    }

    #[test]
    fn a_torn_write_falls_back_to_the_copy_before_it() {
        // Goal: a torn boot document boots the old slot. Method: cut and blank the newest copy at every length.
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = root.path().join("boot.json");
        let mut control = FileBoot::create(&path, Slot::A).expect("created");
        control.arm(Slot::B, 3).expect("armed");
        let newest = root.path().join("boot.json.2");
        let whole = fs::read(&newest).expect("reads");
        for length in 0..whole.len() {
            fs::write(&newest, &whole[..length]).expect("torn");
            let mut loader = FileBoot::open(&path).expect("the other copy is whole");
            assert_eq!(loader.boot().expect("boots"), Slot::A, "cut at {length}");
        }
        fs::write(&newest, b"").expect("torn");
        fs::write(&path, b"").expect("torn");
        assert!(matches!(FileBoot::open(&path), Err(BootError::Pair(PairError::Lost { .. }))));
    }
}
