//! One image's way to one device: a real server, the real agent program, and whatever line or mirror stands between.
//!
//! For the tests of transport and for `bench firmware`, which take the same steps with small and with large images. What
//! stands between is the caller's ([`crate::cutting_proxy`], a mirror); here is only what both ends need, and what the
//! agent took of memory meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_proto::update::release::InterlockClass;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::bench::footprint::Footprint;
use crate::demo::boot_loader::Machine;
use crate::demo::catalogue::{BENCH, Unit};
use crate::demo::fleet::{self, Factory};
use crate::hospital::{Hospital, Place, Release, Who};
use crate::program::program;

/// The maker's repository.
pub const REPOSITORY: &str = "bench";
/// Between two looks at the agent's memory.
const LOOK: Duration = Duration::from_millis(50);

/// A device, its server, and an image that waits.
pub struct Trip {
    /// The owner.
    pub hospital: Hospital,
    /// The device.
    pub machine: Machine,
    /// The device's folder.
    pub home: PathBuf,
    image: PathBuf,
}

/// What the agent took of memory, KiB resident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The most, as the kernel has it, from the order to the reboot.
    pub peak_kib: u64,
    /// The most of it that was its own and not a file's.
    pub peak_anon_kib: u64,
}

impl Trip {
    /// Lays the owner below `folder`, enrols a device whose folder is `home`, and publishes a release of so many bytes.
    /// `agent` is the program and its first words; `settings` are lines of the device's configuration.
    pub async fn prepare(
        (folder, home): (&Path, &Path),
        (agent, door): (&Path, &[&str]),
        settings: &str,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let sim = if door.is_empty() { std::env::current_exe()? } else { agent.to_owned() };
        let hospital = Hospital::open(&sim, folder, &["device.checkin_s=1"]).await?;
        hospital.open_maker(REPOSITORY, &[BENCH.name]).await?;
        let image = folder.join("new.img");
        std::fs::write(&image, noise(bytes))?;
        let trip = Self {
            machine: Machine::new(agent, door, &home.join("agent.toml"), &home.join("boot")),
            hospital,
            home: home.to_owned(),
            image,
        };
        trip.hospital.release(&trip.release()).await?;
        trip.enrol((agent, door), settings).await?;
        Ok(trip)
    }

    fn release(&self) -> Release<'_> {
        Release {
            repository: REPOSITORY,
            name: "bench-pc/2.0.0",
            model: BENCH.name,
            revision: BENCH.revision,
            counter: 200,
            interlock: BENCH.interlock,
            image: &self.image,
        }
    }

    async fn enrol(&self, (agent, door): (&Path, &[&str]), settings: &str) -> anyhow::Result<()> {
        let unit = Unit { model: BENCH, number: 0, site: "Bench", ward: "Bench" };
        let factory = Factory {
            release: "bench-pc/1.0.0".parse()?,
            counter: 100,
            image: b"as built\n",
            interlock: InterlockClass::None,
            maker: (REPOSITORY, &self.hospital.maker_root(REPOSITORY)),
        };
        let config = fleet::build(&self.home, &unit, &factory)?;
        // Before the tables: TOML's own order.
        let built = std::fs::read_to_string(&config)?;
        std::fs::write(&config, format!("{settings}{built}"))?;
        let place = Place { site: unit.site, ward: unit.ward, kind: BENCH.kind };
        let line = self.hospital.enrolment(BENCH.name, &place, Who::Serial(&unit.serial())).await?;
        let join = self.home.join("join");
        std::fs::write(&join, line + "\n")?;
        let mut command = program(agent);
        command.args(door).arg("--config").arg(&config).args(["enrol", "--with"]).arg(&join);
        let enrolled = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(enrolled.status.success(), "enrol: {}", String::from_utf8_lossy(&enrolled.stderr));
        Ok(())
    }

    /// Two people order the release for the device, and the server rolls it out.
    pub async fn order(&self) -> anyhow::Result<()> {
        let list = self.hospital.folder().join("bench.tsv");
        let unit = Unit { model: BENCH, number: 0, site: "Bench", ward: "Bench" };
        std::fs::write(&list, format!("{}\t{}\t{}\n", BENCH.maker, BENCH.name, unit.serial()))?;
        self.hospital.order("bench", &self.release(), std::slice::from_ref(&list)).await?;
        let wave = format!("one=bench={}", list.display());
        let words = ["rollouts", "create", "--id", "bench", "--title", "bench", "--wave", &wave];
        self.hospital.ctl(&words).await.map(drop)
    }

    /// Watches the agent's memory until the server has its confirmed receipt.
    pub async fn installed(&self, patience: Duration) -> anyhow::Result<Memory> {
        let (mut memory, first, begun) = (Memory::default(), self.machine.pid(), Instant::now());
        let mut asked = Instant::now();
        loop {
            if let Some(pid) = self.machine.pid().filter(|pid| Some(*pid) == first)
                && let Ok(seen) = Footprint::of(pid)
            {
                memory.peak_kib = memory.peak_kib.max(seen.peak_kib);
                memory.peak_anon_kib = memory.peak_anon_kib.max(seen.anon_kib);
            }
            sleep(LOOK).await;
            if asked.elapsed() < Duration::from_secs(1) {
                continue;
            }
            asked = Instant::now();
            let rollout = self.hospital.api("/api/v1/rollouts/bench").await?;
            if rollout.pointer("/waves/0/confirmed").and_then(Value::as_u64) == Some(1) {
                break;
            }
            ensure!(begun.elapsed() < patience, "not installed: {rollout}\n{}", self.said());
        }
        let held = std::fs::read(self.home.join("slot-b")).context("the slot")?;
        ensure!(held == std::fs::read(&self.image)?, "the slot holds something else");
        Ok(memory)
    }

    /// What the agent logged.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.home.join("agent.log")).unwrap_or_default()
    }
}

/// Bytes that nothing compresses, the same in every run.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(41);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}
