//! One update from its hand-over to its end, struck at moments that chance names.
//!
//! A moment is a time, or a time after something that the agent does: a new generation of its security state, a write of
//! the boot flag, of the slot, of the receipt, the request for a reboot. **What must not be lost is noted before fate
//! strikes.** Between a strike and the next start the device is judged. A planned reboot is no strike; the loader starts
//! the device again. Read next: [`super::judge`].

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_agent::boot::REBOOT_STATUS;
use cordon_agent_core::update::Slot;
use fastrand::Rng;
use tokio::time::Instant;

use super::Fate;
use super::device::{Control, Device, Running};
use super::judge::{self, Bound};
use super::seen::{self, Document};
use super::stage::Stage;
use crate::faults::image::{Fuse, Image, Mounted};
use crate::skip::look_up;

/// Between two looks at what the agent does.
const LOOK: Duration = Duration::from_micros(150);
/// Looks between two looks at whether the update has ended.
const LOOKS_UNTIL_END: u32 = 40;
/// How long an update may take from one strike to the next, or to its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the agent and its disk behave: right, or as one of the controls that must be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// As it ships.
    Right,
    /// No sync reaches the disk.
    Unsynced,
    /// A strike takes the newest copy of the security state.
    Forgetful,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The device was struck and is as it must be.
    Struck {
        /// The boot flag was being written.
        in_flag: bool,
    },
    /// The update has ended as it must.
    Over {
        /// The new image runs for good.
        confirmed: bool,
    },
}

/// When fate strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Never in this turn.
    Never,
    /// So long after a start.
    After(Duration),
    /// So long after so many generations of the security state.
    Record(u64, Duration),
    /// So long after a write of the boot flag began.
    Flag(Duration),
    /// So long after the first byte went into the slot.
    Slot(Duration),
    /// So long after the receipt is begun.
    Receipt(Duration),
    /// As soon as the agent has asked for its reboot.
    Reboot,
}

impl Moment {
    fn draw(chance: &mut Rng) -> Self {
        let micros = |chance: &mut Rng, most| Duration::from_micros(chance.u64(0..most));
        match chance.u8(0..16) {
            0..=2 => Self::After(micros(chance, 900_000)),
            3..=6 => Self::Record(chance.u64(1..9), micros(chance, 6_000)),
            7..=10 => Self::Flag(micros(chance, 3_000)),
            11..=12 => Self::Slot(micros(chance, 150_000)),
            13 => Self::Receipt(micros(chance, 6_000)),
            _ => Self::Reboot,
        }
    }
}

/// Where the device's folder is.
#[derive(Debug)]
enum Place {
    Folder,
    Disk { disk: Image, mounted: Option<Mounted> },
}

/// One update.
#[derive(Debug)]
pub struct Life {
    device: Device,
    place: Place,
    /// The new image is well.
    well: bool,
    /// The loader has its turn first.
    off: bool,
    strikes: u32,
    story: Vec<String>,
    // Last: what is mounted in it goes first.
    _folder: tempfile::TempDir,
}

/// What is there when an agent starts.
struct Marks {
    began: Instant,
    record: u64,
    boot: u64,
    block: i64,
    slot: i64,
    documents: Vec<Document>,
}

/// What was seen of a running agent.
enum Watched {
    Due,
    Rebooted,
    Over,
}

impl Life {
    /// A fresh copy of the device, with a boot control and the health of its new image by chance.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn begin(stage: &mut Stage, fate: Fate, chance: &mut Rng) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("cordon-life-").tempdir()?;
        let home = folder.path().join("device");
        let place = match fate {
            Fate::Kill => {
                stage.copy(&home)?;
                Place::Folder
            }
            Fate::Cut => {
                let disk = stage.disk(&folder.path().join("disk"))?;
                let mounted = Some(disk.mount(&home)?);
                Place::Disk { disk, mounted }
            }
        };
        let controls = Control::all();
        // The document is what most devices of the first customers have; the others come in turn.
        let control = if chance.bool() { None } else { chance.choice(controls) };
        let device = stage.device(&home, control.unwrap_or(Control::File), folder.path().join("cmdline"));
        let well = chance.u8(0..4) > 0;
        device.lay_control(Slot::B)?;
        if !well {
            let path = device.path("agent.toml");
            let text = std::fs::read_to_string(&path)? + "health = [\"false\"]\ntrial_s = 2\n";
            std::fs::write(path, text)?;
        }
        rustix::fs::syncfs(std::fs::File::open(&home)?)?;
        let story = vec![format!("{:?}, the new image is well: {well}", device.control)];
        Ok(Self { device, place, well, off: true, strikes: 0, story, _folder: folder })
    }

    /// How often it was struck.
    #[must_use]
    pub fn strikes(&self) -> u32 {
        self.strikes
    }

    /// What happened to it.
    #[must_use]
    pub fn story(&self) -> String {
        self.story.join("\n")
    }

    /// Goes on until it is struck, or until the update has ended; undisturbed if it shall not be struck. The inner error
    /// is what is wrong with the device.
    ///
    /// # Errors
    /// If the turn could not be played.
    pub fn play(
        &mut self,
        stage: &Stage,
        chance: &mut Rng,
        (habit, strikes): (Habit, bool),
    ) -> anyhow::Result<Result<Turn, String>> {
        let moment = if strikes { Moment::draw(chance) } else { Moment::Never };
        let until = Instant::now() + PATIENCE;
        loop {
            if self.off {
                match self.device.power_on() {
                    Ok(slot) => self.story.push(format!("slot {slot} is started")),
                    Err(error) => return Ok(Err(format!("the loader starts nothing: {error:#}"))),
                }
                self.off = false;
            }
            let marks = self.marks()?;
            let fuse = self.fuse()?;
            let mut running = self.device.start(&through(habit)?)?;
            let watched = match self.watch(&mut running, (moment, &marks), (stage, until)) {
                Ok(watched) => watched,
                Err(error) => return Ok(Err(format!("{error:#}: {}", running.said()))),
            };
            let rebooted = match watched {
                Watched::Over => {
                    running.kill()?;
                    drop(fuse);
                    let ended = judge::end(&self.device, stage, self.well);
                    return Ok(ended
                        .map(|confirmed| Turn::Over { confirmed })
                        .map_err(|error| format!("at its end: {error:#}")));
                }
                Watched::Rebooted => true,
                Watched::Due => false,
            };
            self.off = rebooted;
            if rebooted && moment != Moment::Reboot {
                continue;
            }
            self.story.push(format!("struck {moment:?}"));
            self.strikes += 1;
            let bound = Bound::of(&self.device, rebooted || fuse.is_none(), &marks.documents)?;
            let struck = self.strike((&mut running, fuse), (&bound, habit), stage, chance)?;
            let said = running.said();
            return Ok(match struck {
                _ if said.contains("panicked") => Err(said),
                Ok(in_flag) => Ok(Turn::Struck { in_flag }),
                Err(fault) => Err(format!("{fault}\n{said}")),
            });
        }
    }

    /// Strikes, brings the disk back, and judges.
    fn strike(
        &mut self,
        (running, fuse): (&mut Running, Option<Fuse>),
        (bound, habit): (&Bound, Habit),
        stage: &Stage,
        chance: &mut Rng,
    ) -> anyhow::Result<Result<bool, String>> {
        let folder = &self.device.home;
        let in_flag = [".boot.new", ".boot.2.new"].iter().any(|name| folder.join(name).exists());
        if let Some(fuse) = fuse {
            fuse.burn()?;
        }
        running.kill()?;
        match &mut self.place {
            // The device runs on, or its loader has its turn.
            Place::Folder => self.off |= chance.bool(),
            Place::Disk { disk, mounted } => {
                mounted.take().context("it was mounted")?.unmount()?;
                *mounted = Some(disk.mount(folder)?);
                self.off = true;
            }
        }
        if habit == Habit::Forgetful {
            forget(&self.device)?;
        }
        let judged = judge::judge(&self.device, stage, bound);
        Ok(judged.map(|()| in_flag).map_err(|error| format!("{error:#}")))
    }

    fn fuse(&self) -> anyhow::Result<Option<Fuse>> {
        match &self.place {
            Place::Disk { mounted: Some(mounted), .. } => mounted.fuse().map(Some),
            Place::Disk { mounted: None, .. } | Place::Folder => Ok(None),
        }
    }

    fn marks(&self) -> anyhow::Result<Marks> {
        Ok(Marks {
            began: Instant::now(),
            record: self.record(),
            boot: self.boot(),
            block: self.block(),
            slot: written(&self.device.path("slot-a")),
            documents: judge::trusted(&self.device)?,
        })
    }

    fn record(&self) -> u64 {
        let state = self.device.path("state");
        seen::generation([&state.join("security.a"), &state.join("security.b")])
    }

    fn boot(&self) -> u64 {
        seen::generation([&self.device.path("boot"), &self.device.path("boot.2")])
    }

    fn block(&self) -> i64 {
        match self.device.control {
            Control::File => 0,
            Control::Grub => written(&self.device.path(super::device::GRUB_BLOCK)),
            Control::Uboot => written(&self.device.path("environment")),
        }
    }

    /// Watches until the moment has come, the agent has asked for its reboot, or the update has ended.
    fn watch(
        &self,
        running: &mut Running,
        (moment, marks): (Moment, &Marks),
        (stage, until): (&Stage, Instant),
    ) -> anyhow::Result<Watched> {
        let mut looks = 0_u32;
        loop {
            if let Some(status) = running.ended()? {
                let asked = status.code() == Some(i32::from(REBOOT_STATUS));
                ensure!(asked, "the agent ended with {status}");
                return Ok(Watched::Rebooted);
            }
            if let Some(pause) = self.is_due(moment, marks) {
                std::thread::sleep(pause);
                return Ok(Watched::Due);
            }
            looks += 1;
            if looks.is_multiple_of(LOOKS_UNTIL_END) && judge::is_over(&self.device, stage.receipts) {
                return Ok(Watched::Over);
            }
            ensure!(Instant::now() < until, "the update does not come to its end");
            std::thread::sleep(LOOK);
        }
    }

    /// Whether the moment has come, and what is left to wait.
    fn is_due(&self, moment: Moment, marks: &Marks) -> Option<Duration> {
        let there = |names: [&str; 2]| names.iter().any(|name| self.device.path(name).exists());
        match moment {
            Moment::Never | Moment::Reboot => None,
            Moment::After(time) => (marks.began.elapsed() >= time).then_some(Duration::ZERO),
            Moment::Record(more, pause) => (self.record() >= marks.record + more).then_some(pause),
            Moment::Flag(pause) => {
                let written = there([".boot.new", ".boot.2.new"])
                    || self.boot() > marks.boot
                    || self.block() != marks.block;
                written.then_some(pause)
            }
            Moment::Slot(pause) => (written(&self.device.path("slot-a")) != marks.slot).then_some(pause),
            Moment::Receipt(pause) => {
                let receipt = format!("{:020}.receipt", 2);
                let beside = format!("state/receipts/.{receipt}.new");
                there([&beside, &format!("state/receipts/{receipt}")]).then_some(pause)
            }
        }
    }
}

/// When a file was last written, in nanoseconds within its second and the second itself, as one number.
fn written(path: &Path) -> i64 {
    std::fs::metadata(path)
        .map_or(0, |found| found.mtime().wrapping_mul(1_000_000_000).wrapping_add(found.mtime_nsec()))
}

/// What the agent is started through.
fn through(habit: Habit) -> anyhow::Result<Vec<String>> {
    if habit != Habit::Unsynced {
        return Ok(Vec::new());
    }
    let strace = look_up("strace").context("strace: apt-get install strace")?;
    let words = ["-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-e"];
    let words = words.into_iter().chain(["inject=fsync,fdatasync:retval=0", "-o", "/dev/null"]);
    Ok([strace.display().to_string()].into_iter().chain(words.map(str::to_owned)).collect())
}

/// Takes the newest copy of the security state away.
fn forget(device: &Device) -> anyhow::Result<()> {
    let state = device.path("state");
    let copies = ["security.a", "security.b"].map(|name| state.join(name));
    let newest = copies.iter().max_by_key(|copy| seen::generation([copy, copy])).context("two copies")?;
    Ok(std::fs::remove_file(newest)?)
}
