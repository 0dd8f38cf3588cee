//! One pump with an older image, and its maker's new one with a chunk delta: real server, real agent, and a relay between
//! them that counts what passes.
//!
//! For the test that looks on and the bench that measures. It decides nothing; read next: [`crate::hospital`],
//! [`crate::relay`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_proto::update::release::InterlockClass;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::demo::boot_loader::Machine;
use crate::demo::catalogue::{MODELS, Unit};
use crate::demo::fleet::{self, Factory};
use crate::hospital::{Hospital, Place, Who};
use crate::program::program;
use crate::relay::Relay;

/// The maker's repository.
const MAKER: &str = "halden";
/// The release that is ordered.
const RELEASE: &str = "vp-3/4.2.2";

/// The pump and all around it.
pub struct PatchedPump {
    /// The owner and the server.
    pub hospital: Hospital,
    /// What stands between.
    pub relay: Relay,
    /// The machine that runs the agent, off at first.
    pub machine: Machine,
    home: PathBuf,
    unit: Unit,
}

impl PatchedPump {
    /// A hospital, its maker, and an enrolled pump that runs the image in the file `old`. `agent` is its program, with the
    /// words before the agent's own.
    pub async fn open(
        sim: &Path,
        agent: (&Path, &[&str]),
        folder: &Path,
        old: &Path,
    ) -> anyhow::Result<Self> {
        let settings = ["device.checkin_s=1"];
        let hospital = Hospital::open(sim, &folder.join("owner"), &settings).await?;
        hospital.open_maker(MAKER, &["VP-3"]).await?;
        let relay = Relay::start().await?;
        let [model, ..] = MODELS;
        let unit = Unit { model, number: 7, site: "St. Anna", ward: "ICU 2" };
        let (home, image) = (folder.join("pump"), std::fs::read(old)?);
        let factory = Factory {
            release: "vp-3/4.2.1".parse().context("a release")?,
            counter: 421,
            image: &image,
            interlock: InterlockClass::None,
            maker: (MAKER, &hospital.maker_root(MAKER)),
        };
        let config = fleet::build(&home, &unit, &factory)?;
        let built = std::fs::read_to_string(&config)?;
        std::fs::write(&config, format!("proxy = \"{}\"\n{built}", relay.url()))?;
        let machine = Machine::new(agent.0, agent.1, &config, &home.join("boot"));
        let pump = Self { hospital, relay, machine, home, unit };
        pump.enrol(agent).await?;
        Ok(pump)
    }

    async fn enrol(&self, (agent, words): (&Path, &[&str])) -> anyhow::Result<()> {
        let place = Place { site: self.unit.site, ward: self.unit.ward, kind: "infusion-pump" };
        let line = self.hospital.enrolment("VP-3", &place, Who::Serial(&self.unit.serial())).await?;
        let join = self.home.join("join");
        std::fs::write(&join, line + "\n")?;
        let mut command = program(agent);
        command.args(words).arg("--config").arg(self.home.join("agent.toml"));
        command.args(["enrol", "--with"]).arg(join);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.hospital.folder().join(name).display().to_string()
    }

    /// The maker signs the image in the file `new`, with a chunk delta, and the owner imports it. The release's `custom`.
    pub async fn release(&self, new: &Path) -> anyhow::Result<Value> {
        let key = |name: &str| self.hospital.key(&format!("{MAKER}-{name}"));
        let [first, second, snapshot, timestamp] = ["model-1", "model-2", "snapshot", "timestamp"].map(key);
        let (folder, image) = (self.path(MAKER), new.display().to_string());
        let mut words = vec!["release", "sign", "--repository", &folder, "--release", RELEASE, "--delta"];
        words.extend(["--image", &image, "--model", "VP-3", "--hardware", "C", "--counter", "422"]);
        words.extend(["--interlock", "none", "--key", &first, "--key", &second]);
        words.extend(["--snapshot-key", &snapshot, "--timestamp-key", &timestamp]);
        let told = self.hospital.ctl(&words).await?;
        self.hospital.ctl(&["repo", "publish", "--image", &folder, "--name", MAKER]).await?;
        told.pointer("/release/custom").cloned().context("no release was told")
    }

    /// Two people order it, and the server lets it go.
    pub async fn order(&self) -> anyhow::Result<()> {
        let list = self.path("wave.tsv");
        std::fs::write(&list, format!("Halden\tVP-3\t{}\n", self.unit.serial()))?;
        let (director, image) = (self.path("director"), self.path(MAKER));
        let head = ["order", "sign", "--director", &director, "--image", &image, "--scope-list", &list];
        let [first, second] = ["orders-1", "orders-2"].map(|name| self.hospital.key(name));
        let mut words =
            vec!["--id", "vp3-422", "--release", RELEASE, "--repository", MAKER, "--expires", "7d"];
        words.extend(["--window", "always", "--reason", "closes a hole", "--whole", "--key", &first]);
        self.hospital.ctl(&[&head[..], &words].concat()).await?;
        self.hospital.ctl(&[&head[..], &["--add", "--key", &second]].concat()).await?;
        self.hospital.ctl(&["repo", "publish", "--director", &director]).await?;
        let wave = format!("one=vp3-422={list}");
        let words =
            ["rollouts", "create", "--id", "vp3-422", "--title", "One", "--soak-s", "0", "--wave", &wave];
        self.hospital.ctl(&words).await.map(drop)
    }

    /// Waits until the server has the receipt of the new image.
    pub async fn confirmed(&self, patience: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            let rollout = self.hospital.api("/api/v1/rollouts/vp3-422").await?;
            if rollout.pointer("/waves/0/confirmed").and_then(Value::as_u64) == Some(1) {
                return Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
        anyhow::bail!("the new image was not confirmed within {patience:?}:\n{}", self.log())
    }

    /// What the agent logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("agent.log")).unwrap_or_default()
    }

    /// The file of a slot.
    #[must_use]
    pub fn slot(&self, name: &str) -> PathBuf {
        self.home.join(format!("slot-{name}"))
    }

    /// Adds a line to the pump's configuration.
    pub fn set(&self, line: &str) -> anyhow::Result<()> {
        let path = self.home.join("agent.toml");
        let built = std::fs::read_to_string(&path)?;
        Ok(std::fs::write(&path, format!("{line}\n{built}"))?)
    }

    /// The folder that the maker published.
    #[must_use]
    pub fn published(&self) -> PathBuf {
        self.hospital.folder().join(MAKER)
    }

    /// Where the server keeps a file of this hash.
    pub fn blob(&self, sha256: &str) -> anyhow::Result<PathBuf> {
        let mut folders = vec![self.hospital.folder().join("server")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().replace('/', "").contains(sha256) {
                    return Ok(path);
                }
            }
        }
        anyhow::bail!("the server has no file {sha256}")
    }
}
