//! Boot control in U-Boot's environment, through the tools that a device with U-Boot has: `fw_printenv`, `fw_setenv`.
//!
//! They know flash, its locks and its two copies; we do not. The variables are those of U-Boot's own boot counter
//! (`upgrade_available`, `bootcount`, `bootlimit`) and two of ours (`cordon_active`, `cordon_trial`). The tools of the
//! two makers share no way to set several at once, so they are set one by one, in an order in which a power cut between
//! any two is the state before or the state after. An environment in one copy is refused: a torn write would lose it.
//! Which slot runs is told by the kernel's command line. Read next: docs/boot.md for the script, [`super`].

use std::fs::File;
use std::path::PathBuf;

use cordon_agent_core::update::Slot;
use cordon_agent_core::update::loader::{BootState, Change};
use rustix::io::Errno;

use super::{BootControl, BootError, slot, told, value};
use crate::files::{self, io_error};
use crate::program;

/// Where the tools' configuration is unless configured otherwise.
pub const CONFIG: &str = "/etc/fw_env.config";
/// Bytes of it.
const CONFIG_BYTES: usize = 16 * 1024;
const TOOLS: [&str; 2] = ["fw_printenv", "fw_setenv"];
const VARIABLES: [&str; 5] = ["cordon_active", "cordon_trial", "upgrade_available", "bootcount", "bootlimit"];

/// Boot control in U-Boot's environment.
pub struct UbootBoot {
    config: PathBuf,
    command_line: PathBuf,
    tools: [String; 2],
}

impl UbootBoot {
    /// The environment that the tools find by this configuration, on a machine whose kernel was told this.
    #[must_use]
    pub fn new(config: PathBuf, command_line: PathBuf) -> Self {
        Self { config, command_line, tools: TOOLS.map(str::to_owned) }
    }

    /// The same, with other tools of the same two languages.
    #[cfg(test)]
    pub(super) fn with(self, tools: [String; 2]) -> Self {
        Self { tools, ..self }
    }

    fn tool(&self, which: usize, words: &[&str]) -> Result<String, BootError> {
        let (tool, config) = (self.tools.get(which).expect("one of two"), self.config.display().to_string());
        let words = [&[tool, "-c", &config], words].concat();
        program::answer(&words).map_err(|why| BootError::Program { program: tool.clone(), why })
    }

    fn set(&self, name: &str, value: &str) -> Result<(), BootError> {
        self.tool(1, &[name, value]).map(drop)
    }

    /// The files and devices that the configuration names, one for each copy.
    fn devices(&self) -> Result<Vec<PathBuf>, BootError> {
        let text = files::read_file(&self.config, CONFIG_BYTES)?;
        let text = String::from_utf8_lossy(&text);
        let holds = |must| BootError::Holds { place: self.config.display().to_string(), must };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut copies = Vec::new();
        for line in lines {
            let copy = copy(line).ok_or_else(|| {
                holds("must hold one line `/PATH OFFSET SIZE …` for each copy, the path without `:`, and no other form")
            })?;
            if !copies.contains(&copy) {
                copies.push(copy);
            }
        }
        if copies.len() < 2 {
            return Err(holds(
                "must name two copies of the environment: with one, a power cut while it is written loses it",
            ));
        }
        Ok(copies.into_iter().map(|(device, _)| device.into()).collect())
    }

    /// The tools do not say whether the medium took it.
    fn sync(&self) -> Result<(), BootError> {
        for device in self.devices()? {
            let synced = File::open(&device).and_then(|file| file.sync_all());
            // Raw flash has nothing to be synced, and says so.
            if let Err(source) = synced
                && source.raw_os_error() != Some(Errno::INVAL.raw_os_error())
            {
                return Err(io_error("sync", &device, source).into());
            }
        }
        Ok(())
    }
}

impl BootControl for UbootBoot {
    fn read(&mut self) -> Result<BootState, BootError> {
        self.devices()?;
        let (booted, refused) = told(&self.command_line)?;
        let text = self.tool(0, &VARIABLES)?;
        state(&text, (booted, refused)).ok_or_else(|| BootError::Holds {
            place: "the U-Boot environment".into(),
            must: "must hold cordon_active, cordon_trial, upgrade_available, bootcount and bootlimit",
        })
    }

    fn write(&mut self, change: Change, after: &BootState) -> Result<(), BootError> {
        match change {
            Change::Arm { slot, .. } => {
                // The trial counts from its last step on.
                self.set("upgrade_available", "0")?;
                self.set("cordon_trial", letter(slot))?;
                self.set("bootcount", "0")?;
                self.set("bootlimit", &after.attempts_left.to_string())?;
                self.set("upgrade_available", "1")?;
            }
            Change::Disarm => self.set("upgrade_available", "0")?,
            Change::Confirm { .. } | Change::RollBack { .. } => {
                // A trial of the active slot is none, so the first step is the whole change.
                self.set("cordon_active", letter(after.active))?;
                self.set("upgrade_available", "0")?;
            }
        }
        self.sync()
    }
}

/// Where a copy begins: its file or device, and the offset. The tools also read YAML, and volumes by `DEVICE:NAME`; there
/// nobody here can tell how many copies there are, or sync them.
fn copy(line: &str) -> Option<(&str, i64)> {
    let mut words = line.split_ascii_whitespace();
    let device = words.next().filter(|path| path.starts_with('/') && !path.contains(':'))?;
    let offset = words.next()?;
    let (sign, digits) = offset.strip_prefix('-').map_or((1, offset), |digits| (-1, digits));
    let offset = match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    Some((device, sign * offset.ok().filter(|offset| *offset >= 0)?))
}

/// What the variables mean. U-Boot counts upwards, also beyond the limit.
fn state(text: &str, (booted, refused): (Slot, bool)) -> Option<BootState> {
    let named = |name| value(text, name);
    let number = |name| named(name)?.parse::<u32>().ok();
    let active = named("cordon_active=").and_then(slot)?;
    let armed = match named("upgrade_available=")? {
        "1" => {
            let left = number("bootlimit=")?.saturating_sub(number("bootcount=")?);
            Some((named("cordon_trial=").and_then(slot)?, u8::try_from(left).ok()?))
        }
        "0" | "" => None,
        _ => return None,
    };
    let armed = armed.filter(|(trial, _)| *trial != active);
    let (trial, attempts_left) = (armed.map(|(trial, _)| trial), armed.map_or(0, |(_, left)| left));
    Some(BootState { active, trial, attempts_left, booted, boots: 0, refused })
}

fn letter(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "A",
        Slot::B => "B",
    }
}
