//! One device under test: its folder, the boot loader that starts it, and the process of its agent.
//!
//! The loader computes with the agent's own arithmetic and stores what it counted before it starts anything, in a
//! document, in GRUB's block, or by U-Boot's own tools. It knows nothing of updates. Read next: [`super::life`].

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use cordon_agent::boot::grub::GrubBoot;
use cordon_agent::boot::uboot::UbootBoot;
use cordon_agent::boot::{BootControl, BootState, Change, FileBoot, choose};
use cordon_agent_core::update::Slot;
use cordon_proto::limits;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::program::program;
use crate::skip::look_up;

/// The configuration of U-Boot's tools, in a device's folder.
pub const ENVIRONMENT: &str = "fw_env.config";
/// GRUB's block, in a device's folder.
pub const GRUB_BLOCK: &str = "grubenv";
const COPIES: &str = "environment";
const COPY_BYTES: usize = 0x1000;
/// How long processes may take to be gone once they are killed.
const GONE: u32 = 5000;

/// Where the boot flag is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Control {
    /// A document in two copies.
    File,
    /// GRUB's environment block.
    Grub,
    /// U-Boot's environment.
    Uboot,
}

impl Control {
    /// Those that this machine has the tools for.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let uboot = look_up("fw_setenv").and(look_up("fw_printenv")).map(|_| Self::Uboot);
        [Self::File, Self::Grub].into_iter().chain(uboot).collect()
    }
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    /// This program.
    pub sim: PathBuf,
    /// Its folder.
    pub home: PathBuf,
    /// Its boot control.
    pub control: Control,
    /// What its kernel is told: no part of the disk.
    pub command_line: PathBuf,
}

impl Device {
    /// A path in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// The file of a slot.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> PathBuf {
        self.path(match slot {
            Slot::A => "slot-a",
            Slot::B => "slot-b",
        })
    }

    /// Lays the boot control of a device on which this slot is active.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn lay_control(&self, active: Slot) -> anyhow::Result<()> {
        self.tell(active)?;
        match self.control {
            Control::File => {}
            Control::Grub => {
                let block = format!("{:#<1024}", format!("# GRUB Environment Block\ncordon={active}\n"));
                write_synced(&self.path(GRUB_BLOCK), block.as_bytes())?;
            }
            Control::Uboot => {
                let copies = self.path(COPIES);
                write_synced(&copies, &vec![0xff; 2 * COPY_BYTES])?;
                let at = copies.display();
                let config = format!("{at} 0x0 {COPY_BYTES:#x}\n{at} {COPY_BYTES:#x} {COPY_BYTES:#x}\n");
                write_synced(&self.path(ENVIRONMENT), config.as_bytes())?;
                let factory = format!(
                    "cordon_active={active}\ncordon_trial=B\nupgrade_available=0\nbootcount=0\nbootlimit=3\n"
                );
                write_synced(&self.path("factory"), factory.as_bytes())?;
                // Both copies must hold something before one is written anew.
                for _ in 0..2 {
                    self.set(&["-f", &self.path("factory").display().to_string(), "board", "vp3"])?;
                }
            }
        }
        Ok(())
    }

    /// What the boot control holds.
    ///
    /// # Errors
    /// If it cannot be read: then no loader could.
    pub fn boot_state(&self) -> anyhow::Result<BootState> {
        Ok(self.boot_control()?.read()?)
    }

    fn boot_control(&self) -> anyhow::Result<Box<dyn BootControl>> {
        let told = self.command_line.clone();
        Ok(match self.control {
            Control::File => Box::new(FileBoot::open(&self.path("boot"))?),
            Control::Grub => Box::new(GrubBoot::new(self.path(GRUB_BLOCK), told)),
            Control::Uboot => Box::new(UbootBoot::new(self.path(ENVIRONMENT), told)),
        })
    }

    /// The power comes on: the loader chooses, counts, stores, and starts.
    ///
    /// # Errors
    /// If it finds no slot: the device is a brick.
    pub fn power_on(&self) -> anyhow::Result<Slot> {
        if self.control == Control::File {
            return Ok(FileBoot::open(&self.path("boot"))?.boot()?);
        }
        let mut control = self.boot_control()?;
        let before = control.read()?;
        let (slot, after) = choose(&before);
        if after.attempts_left != before.attempts_left {
            match self.control {
                Control::File => {}
                // What is written is the state; the change that led to it says nothing to a block.
                Control::Grub => control.write(Change::Disarm, &after)?,
                Control::Uboot => {
                    let count = limits::TRIAL_BOOTS.saturating_sub(after.attempts_left);
                    self.set(&["bootcount", &count.to_string()])?;
                    File::open(self.path(COPIES))?.sync_all()?;
                }
            }
        }
        self.tell(slot)?;
        Ok(slot)
    }

    fn tell(&self, slot: Slot) -> anyhow::Result<()> {
        Ok(std::fs::write(&self.command_line, format!("quiet cordon.slot={slot}\n"))?)
    }

    fn set(&self, words: &[&str]) -> anyhow::Result<()> {
        let tool = look_up("fw_setenv").context("fw_setenv: apt-get install libubootenv-tool")?;
        let output = program(tool).arg("-c").arg(self.path(ENVIRONMENT)).args(words).output()?;
        ensure!(output.status.success(), "fw_setenv: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Starts its agent; `through` are the words of a program that starts it, none for the agent alone.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, through: &[String]) -> anyhow::Result<Running> {
        let mut command = match through.split_first() {
            Some((first, rest)) => {
                let mut command = program(first);
                command.args(rest).arg(&self.sim);
                command
            }
            None => program(&self.sim),
        };
        let boot = self.control.to_possible_value().context("a control has a name")?;
        command.arg("update-agent").arg("--config").arg(self.path("agent.toml"));
        command.arg("--boot").arg(boot.get_name()).arg("--command-line").arg(&self.command_line);
        let log = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        // A group of its own: whatever it starts ends with it.
        let child = command.process_group(0).spawn().context("the agent cannot be started")?;
        Ok(Running { child, log })
    }
}

/// An agent at work.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: File,
}

impl Running {
    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system's own.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it and all that it started, and waits until nobody is left.
    ///
    /// # Errors
    /// If somebody is.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process")?;
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
        self.child.wait()?;
        for _ in 0..GONE {
            if !is_peopled(group) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("a killed agent does not go")
    }

    /// What it said.
    #[must_use]
    pub fn said(&mut self) -> String {
        let mut text = String::new();
        let read = self.log.rewind().and_then(|()| self.log.read_to_string(&mut text));
        read.map_or_else(|error| error.to_string(), |_| text.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Whether anybody of a group still lives: the dead who wait for their parent hold no file any more.
fn is_peopled(group: Pid) -> bool {
    let group = group.as_raw_nonzero().to_string();
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(stat).any(|stat| {
        // `pid (name) state parent group`, and a name may hold anything.
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        let state = words.next().unwrap_or_default();
        words.nth(1) == Some(group.as_str()) && !matches!(state, "Z" | "X")
    })
}

fn write_synced(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes)?;
    Ok(File::open(path)?.sync_all()?)
}
