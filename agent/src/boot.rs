//! Boot control: which slot starts, told by the agent and read by the boot loader.
//!
//! One port, [`BootControl`], and five that stand behind it: a document ([`FileBoot`]), GRUB's environment block
//! ([`grub`]), U-Boot's environment ([`uboot`]), a command of the maker's ([`exec`]) and a link ([`folder`]). They map; all arithmetic is
//! `cordon_agent_core::update::loader`'s. Every change is read back: a device must never believe that it armed what it
//! did not. What the loader has to do is in docs/boot.md. Read next there.

pub mod exec;
mod file;
pub mod folder;
pub mod grub;
pub mod uboot;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cordon_agent_core::update::Slot;
use cordon_agent_core::update::handed::{slot, word as value};
pub use cordon_agent_core::update::loader::{BootChangeError, BootState, Change, choose};

use crate::files::{self, FileError};
use crate::program::ProgramError;
use crate::store::PairError;
use exec::ExecBoot;
pub use file::FileBoot;
use grub::GrubBoot;
use uboot::UbootBoot;

/// The exit status by which an agent on `file:PATH` asks for its reboot.
pub const REBOOT_STATUS: u8 = 86;

/// What the kernel was told by the boot loader.
const COMMAND_LINE: &str = "/proc/cmdline";
/// Bytes of it.
const COMMAND_LINE_BYTES: usize = 16 * 1024;

/// Why the boot control cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The configuration names something else than a boot control.
    #[error("boot = \"{0}\" is not known; use file:PATH, uboot, grub or exec:/PATH/OF/PROGRAM")]
    Unknown(String),
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
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file or an answer that does not hold what it must.
    #[error("{place} {must}; see docs/boot.md")]
    Holds {
        /// The file or program.
        place: String,
        /// What it must hold.
        must: &'static str,
    },
    /// A program that gave no answer.
    #[error("{program} {why}")]
    Program {
        /// Its name.
        program: String,
        /// What went wrong.
        why: ProgramError,
    },
    /// What was written does not stand there.
    #[error("the boot control does not hold what was written; nothing counts as armed or confirmed")]
    NotTaken,
    /// Somebody came in the last moment.
    #[error("the device has come into use; the application is not started again now")]
    NotNow,
    /// The way back came to no end.
    #[error("the command could not start the application from the tree that it is to go back to")]
    NotBack,
}

/// What the configuration's `boot` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A document at this path.
    File(PathBuf),
    /// U-Boot's environment, by the configuration of its tools.
    Uboot(PathBuf),
    /// GRUB's environment block at this path.
    Grub(PathBuf),
    /// A command of the maker's: a program and its first arguments.
    Exec(String),
}

/// The boot control of one device. It maps; whoever changes it calls [`change`].
pub trait BootControl: Send {
    /// What it holds now.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self) -> Result<BootState, BootError>;

    /// Stores what a change makes of it. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, change: Change, after: &BootState) -> Result<(), BootError>;

    /// Does the loader's act and starts what is chosen, where that takes no reboot; whether it started. `None` where the
    /// device has to be rebooted. `may` is asked when nothing but the start is left.
    ///
    /// # Errors
    /// It may not, and all is as it was before; the act could not be stored; or the active slot did not start. It is to be
    /// done once more.
    fn restart(&mut self, may: &mut dyn FnMut() -> bool) -> Result<Option<bool>, BootError> {
        let _ = may;
        Ok(None)
    }

    /// The slot whose start was begun and not seen to its end: it may run, although another one is said to.
    ///
    /// # Errors
    /// It cannot be read.
    fn begun(&self) -> Result<Option<Slot>, BootError> {
        Ok(None)
    }
}

/// A boot control as roles share it.
pub type SharedControl = Arc<Mutex<dyn BootControl>>;

/// Changes a boot control. When this returns, the change was read back and survives a power cut.
///
/// # Errors
/// The change makes no sense, it cannot be written, or something else stands there afterwards.
pub fn change(control: &mut dyn BootControl, asked: Change) -> Result<(), BootError> {
    let wanted = control.read()?.changed(asked)?;
    control.write(asked, &wanted)?;
    if control.read()? == wanted { Ok(()) } else { Err(BootError::NotTaken) }
}

impl Setting {
    /// Reads the configuration's word. Relative paths count from `folder`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, BootError> {
        let (kind, argument) = match text.split_once(':') {
            Some((kind, argument)) if !argument.is_empty() => (kind, Some(argument)),
            Some(_) => ("", None),
            None => (text, None),
        };
        let path = |default: &str| folder.join(argument.unwrap_or(default));
        match (kind, argument) {
            ("file", Some(path)) => Ok(Self::File(folder.join(path))),
            ("uboot", _) => Ok(Self::Uboot(path(uboot::CONFIG))),
            ("grub", _) => Ok(Self::Grub(path(grub::BLOCK))),
            ("exec", Some(command)) if command.starts_with('/') => Ok(Self::Exec(command.into())),
            _ => Err(BootError::Unknown(text.into())),
        }
    }

    /// Opens the boot control that is named, and reads it once.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn open(&self) -> Result<SharedControl, BootError> {
        let told = || PathBuf::from(COMMAND_LINE);
        match self {
            Self::File(path) => opened(FileBoot::at(path)?),
            Self::Uboot(config) => opened(UbootBoot::new(config.clone(), told())),
            Self::Grub(block) => opened(GrubBoot::new(block.clone(), told())),
            Self::Exec(command) => opened(ExecBoot::new(command)),
        }
    }
}

pub(crate) fn opened(control: impl BootControl + 'static) -> Result<SharedControl, BootError> {
    let control: SharedControl = Arc::new(Mutex::new(control));
    read(&control)?;
    Ok(control)
}

/// What a shared boot control holds now.
///
/// # Errors
/// It cannot be read.
pub fn read(control: &SharedControl) -> Result<BootState, BootError> {
    control.lock().unwrap_or_else(PoisonError::into_inner).read()
}

/// The slot that runs, for whoever is about to write `slot`: that one itself, where it may run.
///
/// # Errors
/// It cannot be read.
pub fn running(control: &SharedControl, slot: Slot) -> Result<Slot, BootError> {
    let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
    let may_run = control.begun()? == Some(slot);
    Ok(if may_run { slot } else { control.read()?.booted })
}

/// As [`change`], for a shared one.
///
/// # Errors
/// As there.
pub fn change_shared(control: &SharedControl, asked: Change) -> Result<(), BootError> {
    change(&mut *control.lock().unwrap_or_else(PoisonError::into_inner), asked)
}

/// As [`BootControl::restart`], for a shared one, with what it holds afterwards.
///
/// # Errors
/// As there, or it cannot be read.
pub fn restart(
    control: &SharedControl,
    may: &mut dyn FnMut() -> bool,
) -> Result<Option<(bool, BootState)>, BootError> {
    let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
    match control.restart(may)? {
        Some(well) => Ok(Some((well, control.read()?))),
        None => Ok(None),
    }
}

/// What the loader has told the kernel: the slot that runs, and whether it refused to try another one.
fn told(command_line: &Path) -> Result<(Slot, bool), BootError> {
    let text = files::read_file(command_line, COMMAND_LINE_BYTES)?;
    let text = String::from_utf8_lossy(&text);
    let running = value(&text, "cordon.slot=").and_then(slot).ok_or_else(|| BootError::Holds {
        place: command_line.display().to_string(),
        must: "must hold cordon.slot=A or cordon.slot=B, which the boot loader gives to the kernel that it starts",
    })?;
    Ok((running, text.split_ascii_whitespace().any(|word| word == "cordon.refused")))
}
