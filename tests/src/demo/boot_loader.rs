//! The boot loader of the real agent in the demo: starts the chosen slot, counts attempts, starts again after every end.
//!
//! A reboot is the agent's exit with status 86; any other end is a power cut to the loader. It knows nothing of
//! updates: all arithmetic is the agent's `boot`. Read next: `cordon_agent::boot`.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cordon_agent::boot::{FileBoot, REBOOT_STATUS};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::program::program;

/// A machine that runs the real agent.
pub struct Machine {
    program: PathBuf,
    door: Vec<String>,
    config: PathBuf,
    boot: PathBuf,
    log: PathBuf,
    running: Arc<Mutex<Running>>,
}

/// What runs now.
#[derive(Default)]
struct Running {
    child: Option<Child>,
    /// Processes that were started, in order.
    pids: Vec<u32>,
    /// Reboots that the agent asked for.
    reboots: u32,
    off: bool,
}

impl Machine {
    /// A machine with the boot control at `boot`. `door` are the words before the agent's own arguments.
    #[must_use]
    pub fn new(program: &Path, door: &[&str], config: &Path, boot: &Path) -> Self {
        let log = config.with_extension("log");
        Self {
            program: program.to_owned(),
            door: door.iter().map(|word| (*word).to_owned()).collect(),
            config: config.to_owned(),
            boot: boot.to_owned(),
            log,
            running: Arc::default(),
        }
    }

    /// Switches it on; the loader goes on until [`Machine::off`].
    pub fn on(&self) -> JoinHandle<anyhow::Result<()>> {
        let (running, log) = (Arc::clone(&self.running), self.log.clone());
        let (agent, door) = (self.program.clone(), self.door.clone());
        let (config, boot) = (self.config.clone(), self.boot.clone());
        tokio::spawn(async move {
            loop {
                if lock(&running).off {
                    return Ok(());
                }
                FileBoot::open(&boot)?.boot().context("the boot loader finds no slot")?;
                let said = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
                let child = program(&agent)
                    .args(&door)
                    .arg("--config")
                    .arg(&config)
                    .arg("run")
                    .stdin(Stdio::null())
                    .stdout(Stdio::from(said.try_clone()?))
                    .stderr(Stdio::from(said))
                    .spawn()?;
                {
                    let mut now = lock(&running);
                    now.pids.push(child.id());
                    now.child = Some(child);
                    // Switched off since it was looked up.
                    if now.off {
                        let _ = now.child.as_mut().map(Child::kill);
                    }
                }
                let rebooted = ended(&running).await?;
                lock(&running).reboots += u32::from(rebooted);
            }
        })
    }

    /// Kills the agent as a power cut would. The loader starts it again.
    pub fn kill(&self) -> anyhow::Result<u32> {
        let mut running = lock(&self.running);
        let child = running.child.as_mut().context("no agent runs")?;
        child.kill()?;
        Ok(child.id())
    }

    /// The process that runs now.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        lock(&self.running).child.as_ref().map(Child::id)
    }

    /// Reboots that the agent asked for.
    #[must_use]
    pub fn reboots(&self) -> u32 {
        lock(&self.running).reboots
    }

    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> usize {
        lock(&self.running).pids.len()
    }

    /// Switches it off.
    pub fn off(&self) {
        let mut running = lock(&self.running);
        running.off = true;
        if let Some(child) = running.child.as_mut() {
            let _ = child.kill();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.off();
        if let Some(mut child) = lock(&self.running).child.take() {
            let _ = child.wait();
        }
    }
}

/// Waits for the end of the agent; whether it asked for a reboot.
async fn ended(running: &Mutex<Running>) -> anyhow::Result<bool> {
    loop {
        sleep(Duration::from_millis(50)).await;
        let mut now = lock(running);
        let Some(child) = now.child.as_mut() else { return Ok(false) };
        if let Some(status) = child.try_wait()? {
            now.child = None;
            return Ok(status.code() == Some(i32::from(REBOOT_STATUS)));
        }
    }
}

fn lock(running: &Mutex<Running>) -> std::sync::MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
