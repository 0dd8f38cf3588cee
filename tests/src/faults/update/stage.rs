//! What is laid once for all rounds: an owner and a maker with fresh keys, and a device that has taken one update and
//! holds the next one in a bundle.
//!
//! The first update makes what must not fall worth something: a floor, versions of metadata, a confirmed image in slot
//! B. The second one is the one that is struck; it needs no server and nobody's word. Rounds work on copies. Read next:
//! [`super::life`].

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use cordon_agent_core::update::Slot;
use cordon_proto::ids::Sha256;
use cordon_proto::update::release::InterlockClass;

use super::device::{Control, Device};
use super::judge;
use crate::demo::catalogue::{QUIET_PUMP, Unit};
use crate::demo::fleet::{self, Factory};
use crate::faults::image;
use crate::hospital::{Hospital, Place, Who};
use crate::program::program;

/// Bytes of the image whose installation is struck: some syncs on the way, and no round number.
const NEW_BYTES: usize = 17 * 1024 * 1024 + 13;
/// Bytes of the others.
const OLD_BYTES: usize = 200_003;
/// MiB of a device's disk.
const DISK_MB: u64 = 96;
/// How long an undisturbed update may take, in steps of a hundredth of a second.
const PATIENCE: u32 = 3000;

/// An image and its place in the order of releases.
#[derive(Clone, Debug)]
pub struct Image {
    /// The counter of its release.
    pub counter: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Image {
    fn new(counter: u64, length: usize) -> Self {
        let mut chance = fastrand::Rng::with_seed(counter);
        let mut bytes = vec![0; length];
        chance.fill(&mut bytes);
        Self { counter, sha256: Sha256::of(&bytes), bytes }
    }

    fn release(&self) -> String {
        format!("vp-3/{}", self.counter)
    }
}

/// Everything that rounds begin with.
#[derive(Debug)]
pub struct Stage {
    sim: PathBuf,
    folder: tempfile::TempDir,
    disk: Option<image::Image>,
    /// What the factory put into slot A.
    pub old: Image,
    /// What runs from slot B.
    pub middle: Image,
    /// What the bundle brings.
    pub new: Image,
    /// Receipts of before.
    pub receipts: usize,
}

/// The device's make.
#[must_use]
pub fn unit() -> Unit {
    Unit { model: QUIET_PUMP, number: 0, site: "St. Anna", ward: "ICU 2" }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Stage {
    /// Lays everything. `sim` is this program.
    ///
    /// # Errors
    /// If a step fails; the steps are those of the products themselves.
    pub fn lay(sim: &Path) -> anyhow::Result<Self> {
        Self::lay_with(sim, NEW_BYTES)
    }

    /// The same with a new image of so many bytes.
    ///
    /// # Errors
    /// As there.
    pub fn lay_with(sim: &Path, bytes: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("cordon-update-").tempdir()?;
        let (old, middle) = (Image::new(421, OLD_BYTES), Image::new(422, OLD_BYTES));
        let new = Image::new(423, bytes);
        let stage = Self { sim: sim.to_owned(), folder, disk: None, old, middle, new, receipts: 1 };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(Laying { stage: &stage }.lay())?;
        Ok(stage)
    }

    /// The signed image of this hash.
    ///
    /// # Errors
    /// If there is none.
    pub fn image(&self, sha256: Sha256) -> anyhow::Result<&Image> {
        let all = [&self.old, &self.middle, &self.new];
        all.into_iter()
            .find(|image| image.sha256 == sha256)
            .with_context(|| format!("nobody signed {sha256}"))
    }

    /// Where the bundle is.
    #[must_use]
    pub fn stick(&self) -> PathBuf {
        self.folder.path().join("stick-423")
    }

    /// The device's folder that rounds copy.
    fn template(&self) -> PathBuf {
        self.folder.path().join("device")
    }

    /// A device in a folder.
    #[must_use]
    pub fn device(&self, home: &Path, control: Control, command_line: PathBuf) -> Device {
        Device { sim: self.sim.clone(), home: home.to_owned(), control, command_line }
    }

    /// A copy of the device's folder.
    ///
    /// # Errors
    /// If there is no room.
    pub fn copy(&self, home: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(home)?;
        let from = self.template().join(".");
        let output = program("cp").args(["-a", "--reflink=auto"]).arg(from).arg(home).output()?;
        ensure!(output.status.success(), "cp: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// A copy of a disk that holds the device's folder; the first call makes that disk.
    ///
    /// # Errors
    /// If this machine does not let us.
    pub fn disk(&mut self, to: &Path) -> anyhow::Result<image::Image> {
        if self.disk.is_none() {
            let disk = image::Image::make(&self.folder.path().join("disk"), DISK_MB)?;
            let mounted = disk.mount(&self.folder.path().join("mounted"))?;
            self.copy(mounted.path())?;
            mounted.unmount()?;
            self.disk = Some(disk);
        }
        self.disk.as_ref().context("made just now")?.copy(to)
    }
}

/// The laying, step by step.
struct Laying<'s> {
    stage: &'s Stage,
}

impl Laying<'_> {
    async fn lay(&self) -> anyhow::Result<()> {
        let (stage, folder) = (self.stage, self.stage.folder.path());
        let mut hospital = Hospital::open(&stage.sim, &folder.join("owner"), &[]).await?;
        hospital.open_maker("halden", &["VP-3"]).await?;
        let home = stage.template();
        let config = self.pump(&hospital, &home).await?;
        std::fs::write(hospital.folder().join("ward.tsv"), "Halden\tVP-3\tVP3-1001\n")?;
        let device = stage.device(&home, Control::File, folder.join("cmdline"));
        let stick = |image: &Image| folder.join(format!("stick-{}", image.counter));
        for image in [&stage.middle, &stage.new] {
            self.bundle(&hospital, image, &stick(image)).await?;
        }
        // From here on there is no server: one that took a receipt would leave none to be seen.
        hospital.stop().await?;
        for image in [&stage.middle, &stage.new] {
            agent(&stage.sim, &config, &["install-bundle", &shown(&stick(image)), "--wait", "0"])?;
            if image.counter == stage.middle.counter {
                self.first_update(&device)?;
            }
        }
        Ok(())
    }

    async fn pump(&self, hospital: &Hospital, home: &Path) -> anyhow::Result<PathBuf> {
        let unit = unit();
        let factory = Factory {
            release: self.stage.old.release().parse().context("a release")?,
            counter: self.stage.old.counter,
            image: &self.stage.old.bytes,
            interlock: InterlockClass::None,
            // Beside the configuration, so that a copy of the folder is whole.
            maker: ("halden", Path::new("maker-root.json")),
        };
        let config = fleet::build(home, &unit, &factory)?;
        std::fs::copy(hospital.maker_root("halden"), home.join("maker-root.json"))?;
        let place = Place { site: unit.site, ward: unit.ward, kind: unit.model.kind };
        let line = hospital.enrolment("VP-3", &place, Who::Serial(&unit.serial())).await?;
        std::fs::write(home.join("join"), line + "\n")?;
        agent(&self.stage.sim, &config, &["enrol", "--with", &shown(&home.join("join"))])?;
        Ok(config)
    }

    /// Maker and owner sign, and two people make a bundle of it.
    async fn bundle(&self, hospital: &Hospital, image: &Image, stick: &Path) -> anyhow::Result<()> {
        let owner = |name: &str| shown(&hospital.folder().join(name));
        let (director, maker, list) = (owner("director"), owner("halden"), owner("ward.tsv"));
        let (file, counter) = (owner(&format!("{}.img", image.counter)), image.counter.to_string());
        std::fs::write(&file, &image.bytes)?;
        let keys = ["model-1", "model-2", "snapshot", "timestamp"];
        let [first, second, snapshot, timestamp] = keys.map(|name| hospital.key(&format!("halden-{name}")));
        let release = image.release();
        let mut words = vec!["release", "sign", "--repository", &maker, "--release", &release];
        words.extend(["--image", &file, "--model", "VP-3", "--hardware", "C", "--counter", &counter]);
        words.extend(["--floor", &counter, "--interlock", "none", "--confirm", "local", "--key", &first]);
        words.extend(["--key", &second, "--snapshot-key", &snapshot, "--timestamp-key", &timestamp]);
        hospital.ctl(&words).await?;
        hospital.ctl(&["repo", "publish", "--image", &maker, "--name", "halden"]).await?;

        let [first, second] = ["orders-1", "orders-2"].map(|name| hospital.key(name));
        let id = format!("ward-{counter}");
        let head = ["order", "sign", "--director", &director, "--image", &maker, "--scope-list", &list];
        let mut words = vec!["--id", &id, "--release", &release, "--repository", "halden"];
        words.extend(["--expires", "10d", "--window", "always", "--reason", "closes a hole", "--offline"]);
        words.extend(["--key", &first]);
        hospital.ctl(&[&head[..], &words].concat()).await?;
        hospital.ctl(&[&head[..], &["--add", "--key", &second]].concat()).await?;
        hospital.ctl(&["repo", "publish", "--director", &director]).await?;
        hospital.ctl(&["repo", "fetch", "--director", &director]).await?;

        let out = shown(stick);
        let head = ["bundle", "make", "--director", &director, "--image", &maker, "--out", &out];
        let head = [&head[..], &["--scope-list", &list]].concat();
        let more = ["--order", &id, "--counter", &counter, "--key", &first];
        hospital.ctl(&[&head[..], &more].concat()).await?;
        hospital.ctl(&[&head[..], &["--add", "--key", &second]].concat()).await?;
        Ok(())
    }

    /// Lets the device take its first update.
    fn first_update(&self, device: &Device) -> anyhow::Result<()> {
        while !judge::is_over(device, 0) {
            device.power_on()?;
            let mut running = device.start(&[])?;
            let mut looks = 0;
            while running.ended()?.is_none() && !judge::is_over(device, 0) {
                looks += 1;
                ensure!(looks < PATIENCE, "the first update does not end: {}", running.said());
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            running.kill()?;
        }
        let runs = device.boot_state()?.active;
        ensure!(runs == Slot::B, "the first update ended in slot {runs}");
        Ok(())
    }
}

/// One command of the agent, as a process.
fn agent(sim: &Path, config: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = program(sim);
    command.args(["agent", "--config"]).arg(config).args(arguments);
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cordon-agent {arguments:?}: {}", told.trim());
    Ok(())
}
