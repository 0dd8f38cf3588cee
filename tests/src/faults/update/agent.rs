//! The agent under test: the shipped library's own loop in a process of its own, with a quick look at its surroundings.
//!
//! Only what a device stands on is replaced, as in the demo: the machine's inventory, its mains, its network, and the
//! kernel's command line, which here is a file. State, slots, boot control, metadata and bundle are real files. Read
//! next: `demo::fleet`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use cordon_agent::boot::grub::GrubBoot;
use cordon_agent::boot::uboot::UbootBoot;
use cordon_agent::boot::{REBOOT_STATUS, SharedControl};
use cordon_agent::capture::fed::Fed;
use cordon_agent::clock::SystemClock;
use cordon_agent::config::Config;
use cordon_agent::run::{Exit, Installer, Ports, Tempo, run};
use cordon_agent::slot::Slots;

use super::device::{Control, ENVIRONMENT, GRUB_BLOCK};
use super::stage;
use crate::demo::fleet;

/// Between two looks of the updater.
const LOOK: Duration = Duration::from_millis(20);

/// What the process is told.
#[derive(Clone, Debug, Args)]
pub struct Task {
    /// The device's configuration.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Its boot control.
    #[arg(long)]
    pub boot: Control,
    /// What its kernel was told.
    #[arg(long, value_name = "FILE")]
    pub command_line: PathBuf,
}

/// Runs the agent until it asks for a reboot or is struck.
#[must_use]
pub fn main(task: &Task) -> ExitCode {
    match live(task) {
        Ok(Exit::Reboot) => ExitCode::from(REBOOT_STATUS),
        Ok(exit) => {
            eprintln!("the agent ended: {exit:?}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the agent did not start: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn live(task: &Task) -> anyhow::Result<Exit> {
    let config = fleet::config(&task.config)?;
    let (_feed, capture) = Fed::new();
    let ports =
        fleet::ports(&config, &stage::unit(), Arc::new(Mutex::new(capture)), Arc::new(SystemClock::new()));
    let installer = installer(task, &config)?;
    let ports = Ports { installer: Some(Ok(installer)), tempo: Tempo { look: LOOK, ..ports.tempo }, ..ports };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(run(config, ports, std::future::pending())))
}

fn installer(task: &Task, config: &Config) -> anyhow::Result<Installer> {
    let folder = task.config.parent().context("a configuration lies in a folder")?;
    let told = task.command_line.clone();
    let boot: SharedControl = match task.boot {
        Control::File => config.boot.as_ref().context("no boot control")?.open()?,
        Control::Grub => Arc::new(Mutex::new(GrubBoot::new(folder.join(GRUB_BLOCK), told))),
        Control::Uboot => Arc::new(Mutex::new(UbootBoot::new(folder.join(ENVIRONMENT), told))),
    };
    Ok(Installer { slots: Slots::new(config.slots.clone().context("no slots")?), boot })
}
