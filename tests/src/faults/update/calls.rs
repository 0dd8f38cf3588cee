//! The k-th failing call: each system call by which an update touches the device's files fails once, in every way.
//!
//! An undisturbed update is counted first: which calls its two lives make on the device's own files. Then each call in
//! its turn gets EIO, ENOSPC, EINTR or a kill; the life goes on as far as it can and is ended; the device is judged; and
//! without faults its update must then come to its confirmed end. strace does the failing, so the agent is what ships.
//! A round is one comb of all calls; after [`COMB`] rounds each has had its turn. Read next: [`super::judge`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_agent::boot::REBOOT_STATUS;
use cordon_agent_core::update::Slot;

use super::device::{Control, Device, Running};
use super::judge::{self, Bound};
use super::stage::Stage;
use crate::program::program;
use crate::skip::look_up;
use crate::soak::{Outcome, Rounds};

/// Rounds in which every call has its turn.
pub const COMB: u64 = 60;
/// Bytes of the image: a few pieces.
const IMAGE_BYTES: usize = 200_017;
/// The calls that touch files.
const CALLS: &str = "openat,read,pread64,write,pwrite64,fsync,fdatasync,ftruncate,fallocate,rename,unlink,fchmod,\
                     mkdir,getdents64,lseek";
/// What befalls a call.
const FAULTS: [&str; 4] = ["error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL"];
/// Between two looks, and looks that a disturbed and an undisturbed life may take.
const LOOK: Duration = Duration::from_millis(10);
const DISTURBED: u32 = 150;
const UNDISTURBED: u32 = 3000;

/// One call that is to fail: in which life, which, and the how-many-eth.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    life: usize,
    name: String,
    number: u64,
}

/// All rounds.
#[derive(Debug)]
pub struct Calls {
    stage: Stage,
    folder: tempfile::TempDir,
    strace: PathBuf,
    /// Empty until they are counted.
    calls: Vec<Call>,
    files: Vec<PathBuf>,
    turn: u64,
}

impl Calls {
    /// Lays the stage. `sim` is this program.
    ///
    /// # Errors
    /// If strace is not installed, or the stage cannot be laid.
    pub fn new(sim: &Path) -> anyhow::Result<Self> {
        let strace = look_up("strace").context("strace: apt-get install strace")?;
        let stage = Stage::lay_with(sim, IMAGE_BYTES)?;
        let folder = tempfile::Builder::new().prefix("cordon-calls-").tempdir()?;
        Ok(Self { stage, folder, strace, calls: Vec::new(), files: Vec::new(), turn: 0 })
    }

    /// Every `comb`-th call and fault, from `first` on.
    ///
    /// # Errors
    /// If it could not be played; what it found wrong is the outcome's.
    pub fn comb(&mut self, first: u64, comb: u64) -> anyhow::Result<Outcome> {
        self.count()?;
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut turn = 0_u64;
        for call in self.calls.clone() {
            for fault in FAULTS {
                turn += 1;
                if turn % comb != first % comb {
                    continue;
                }
                *counts.entry(fault).or_default() += 1;
                if let Err(error) = self.fail(&call, fault) {
                    let said =
                        format!("{} {} of life {}: {fault}: {error:#}", call.name, call.number, call.life);
                    return Ok(Outcome { counts: counts.into_iter().collect(), fault: Some(said) });
                }
            }
        }
        Ok(Outcome { counts: counts.into_iter().collect(), fault: None })
    }

    fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The device, always under the same name: the calls are told by their paths.
    fn device(&self) -> Device {
        self.stage.device(&self.home("device"), Control::File, self.home("cmdline"))
    }

    /// A device before a life: fresh, or with its trial armed.
    fn lay(&self, life: usize) -> anyhow::Result<Device> {
        let device = self.device();
        if device.home.exists() {
            std::fs::remove_dir_all(&device.home)?;
        }
        if life == 0 {
            self.stage.copy(&device.home)?
        } else {
            copy(&self.home("armed"), &device.home)?
        }
        device.lay_control(Slot::B)?;
        device.power_on()?;
        Ok(device)
    }

    fn strace(&self, log: &Path, more: &[String]) -> Vec<String> {
        let mut words = vec![self.strace.display().to_string()];
        let fixed = ["-f", "-qq", "--seccomp-bpf", "-e", &format!("trace={CALLS}"), "-o"];
        words.extend(fixed.map(str::to_owned));
        words.push(log.display().to_string());
        words.extend(more.iter().cloned());
        for file in &self.files {
            words.extend(["-P".to_owned(), file.display().to_string()]);
        }
        words
    }

    /// Counts the calls of an undisturbed update.
    fn count(&mut self) -> anyhow::Result<()> {
        if !self.calls.is_empty() {
            return Ok(());
        }
        // Once without anything, for the files that there are in the end.
        let device = self.lay(0)?;
        let mut files = BTreeSet::new();
        walk(&device.home, &mut files)?;
        self.live(&device, &[], UNDISTURBED)?;
        copy(&device.home, &self.home("armed"))?;
        walk(&device.home, &mut files)?;
        device.power_on()?;
        self.live(&device, &[], UNDISTURBED)?;
        walk(&device.home, &mut files)?;
        self.files = files.into_iter().collect();
        for life in 0..2 {
            let device = self.lay(life)?;
            let log = self.home("log");
            self.live(&device, &self.strace(&log, &[]), UNDISTURBED)?;
            let log = std::fs::read_to_string(&log)?;
            for name in CALLS.split(',').map(str::trim) {
                let made = log.lines().filter(|line| line.contains(&format!(" {name}("))).count();
                let numbers = 1..=u64::try_from(made)?;
                self.calls.extend(numbers.map(|number| Call { life, name: name.to_owned(), number }));
            }
        }
        ensure!(self.calls.len() > 100, "only {} calls were seen: this shows nothing", self.calls.len());
        println!("{} calls on {} files, each in {} ways", self.calls.len(), self.files.len(), FAULTS.len());
        Ok(())
    }

    /// One life, to its reboot, to the update's end, or as far as it comes.
    fn live(&self, device: &Device, through: &[String], looks: u32) -> anyhow::Result<()> {
        let mut running = device.start(through)?;
        let over = self.ended(device, &mut running, looks)?;
        running.kill()?;
        let said = running.said();
        ensure!(!said.contains("panicked"), "{said}");
        ensure!(over || looks < UNDISTURBED, "it does not come to its end: {said}");
        Ok(())
    }

    fn ended(&self, device: &Device, running: &mut Running, looks: u32) -> anyhow::Result<bool> {
        for _ in 0..looks {
            if let Some(status) = running.ended()? {
                return Ok(status.code() == Some(i32::from(REBOOT_STATUS)));
            }
            if judge::is_over(device, self.stage.receipts) {
                return Ok(true);
            }
            std::thread::sleep(LOOK);
        }
        Ok(false)
    }

    fn fail(&self, call: &Call, fault: &str) -> anyhow::Result<()> {
        let device = self.lay(call.life)?;
        let bound = Bound::of(&device, true, &[])?;
        let inject = format!("inject={}:{fault}:when={}", call.name, call.number);
        let through = self.strace(Path::new("/dev/null"), &["-e".to_owned(), inject]);
        self.live(&device, &through, DISTURBED)?;
        judge::judge(&device, &self.stage, &bound)?;
        for _ in 0..4 {
            if judge::is_over(&device, self.stage.receipts) {
                break;
            }
            device.power_on()?;
            self.live(&device, &[], UNDISTURBED)?;
        }
        let confirmed = judge::end(&device, &self.stage, true)?;
        ensure!(confirmed, "one fault cost the update");
        Ok(())
    }
}

impl Rounds for Calls {
    fn title(&self) -> &'static str {
        "every system call of an update fails"
    }

    fn resume(&mut self, rounds: u64) {
        self.turn = rounds;
    }

    fn play(&mut self, _seed: u64) -> anyhow::Result<Outcome> {
        let outcome = self.comb(self.turn, COMB)?;
        self.turn += 1;
        Ok(outcome)
    }

    fn control(&mut self, _seed: u64) -> anyhow::Result<String> {
        self.count()?;
        // The judge must see what a fault could do: the device's newest record goes, and a byte of its slot.
        let device = self.lay(1)?;
        let bound = Bound::of(&device, true, &[])?;
        let path = device.slot(Slot::A);
        let mut bytes = std::fs::read(&path)?;
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
        std::fs::write(&path, bytes)?;
        match judge::judge(&device, &self.stage, &bound) {
            Ok(()) => anyhow::bail!("a flipped byte in the slot on trial was not seen: this shows nothing"),
            Err(error) => Ok(format!("a flipped byte in the slot on trial: {error:#}")),
        }
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    let output = program("cp").arg("-a").arg(from.join(".")).arg(to).output()?;
    ensure!(output.status.success(), "cp: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// All files and folders, and beside each file the one that it is written as first; the metadata also where a bundle is
/// tried on a copy of it.
fn walk(folder: &Path, files: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    files.insert(folder.to_owned());
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            files.insert(path.with_file_name(format!(".{name}.new")));
            files.insert(path.clone());
        }
    }
    let tried: Vec<PathBuf> = files
        .iter()
        .filter_map(|path| {
            let text = path.to_str()?;
            text.contains("/state/tuf").then(|| text.replacen("/state/tuf", "/state/bundle-tried", 1).into())
        })
        .collect();
    files.extend(tried);
    Ok(())
}
