//! Boot control by a command of the maker's, where a device already has RAUC, SWUpdate or a loader of its own.
//!
//! The command is asked for its `state` and told `arm SLOT ATTEMPTS`, `disarm`, `confirm SLOT` or `rollback SLOT`. It
//! answers by its exit status, to `state` also by four words. No answer, a late one or half a one is an error, never an
//! armed trial: after each change the state is asked for again. Read next: docs/boot.md for the contract, [`super`].

use cordon_agent_core::update::loader::{BootState, Change};

use super::{BootControl, BootError, slot, value};
use crate::program;

/// Boot control by a command.
pub struct ExecBoot {
    words: Vec<String>,
}

impl ExecBoot {
    /// The command: a program's full path and its first arguments, divided by blanks.
    #[must_use]
    pub fn new(command: &str) -> Self {
        Self { words: command.split_ascii_whitespace().map(str::to_owned).collect() }
    }

    fn ask(&self, verb: &[&str]) -> Result<String, BootError> {
        let words = program::checked(&self.words, verb)?;
        program::answer(&words).map_err(|why| BootError::Program { program: self.words.join(" "), why })
    }
}

impl BootControl for ExecBoot {
    fn read(&mut self) -> Result<BootState, BootError> {
        state(&self.ask(&["state"])?).ok_or_else(|| BootError::Holds {
            place: self.words.join(" "),
            must: "must answer `state` by active=A|B, trial=A|B|none, left=NUMBER and booted=A|B",
        })
    }

    fn write(&mut self, change: Change, _: &BootState) -> Result<(), BootError> {
        let said = match change {
            Change::Arm { slot, attempts } => self.ask(&["arm", &slot.to_string(), &attempts.to_string()]),
            Change::Disarm => self.ask(&["disarm"]),
            Change::Confirm { slot } => self.ask(&["confirm", &slot.to_string()]),
            Change::RollBack { to } => self.ask(&["rollback", &to.to_string()]),
        };
        said.map(drop)
    }
}

pub(super) fn state(text: &str) -> Option<BootState> {
    let active = value(text, "active=").and_then(slot)?;
    let booted = value(text, "booted=").and_then(slot)?;
    let left: u8 = value(text, "left=")?.parse().ok()?;
    let trial = match value(text, "trial=")? {
        "none" => None,
        trial => Some(slot(trial)?),
    };
    let attempts_left = if trial.is_some() { left } else { 0 };
    let sensible = trial != Some(active);
    sensible.then_some(BootState { active, trial, attempts_left, booted, boots: 0, refused: false })
}
