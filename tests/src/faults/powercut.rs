//! Power cuts: a fresh disk a round, writers on it, the power gone at a moment that the seed names.
//!
//! The moment lies between the opening of the store and half a second later, so that some rounds cut a store that has
//! just been made. The control writes without syncs and has to lose.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::Verdict;
use super::checker::{Answered, promised};
use super::image::{Image, Mounted};
use super::subject::{Engine, Habit, Subject};
use crate::soak::{Outcome, Rounds};

/// MiB of a disk: the writers never fill it.
const DISK_MB: u64 = 256;
/// PostgreSQL keeps more beside its tables.
const POSTGRES_DISK_MB: u64 = 768;
/// Milliseconds after the opening in which the power goes.
const CUT_WITHIN_MS: u64 = 500;
/// Rounds in which the control must have lost something.
const CONTROL_ROUNDS: u64 = 5;

/// All rounds of one engine, and the disk that each begins with.
#[derive(Debug)]
pub struct PowerCuts {
    sim: PathBuf,
    engine: Engine,
    folder: tempfile::TempDir,
    template: Image,
}

impl PowerCuts {
    /// Makes the first disk. `sim` is this program.
    ///
    /// # Errors
    /// If this machine does not let us, or PostgreSQL is not installed.
    pub fn new(sim: &Path, engine: Engine) -> anyhow::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        super::image::probe().context("power cannot be cut here")?;
        let folder = tempfile::Builder::new().prefix("cordon-cut-").tempdir()?;
        // PostgreSQL runs as somebody else, who has to pass.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let megabytes = if engine == Engine::Postgres { POSTGRES_DISK_MB } else { DISK_MB };
        let template = Image::make(&folder.path().join("template"), megabytes)?;
        let mounted = template.mount(&folder.path().join("mounted"))?;
        Subject::prepare(engine, &place(&mounted))?;
        mounted.unmount()?;
        Ok(Self { sim: sim.to_owned(), engine, folder, template })
    }

    /// One round on a fresh disk.
    ///
    /// # Errors
    /// If the round could not be played to its end.
    pub fn play(&self, seed: u64, habit: Habit) -> anyhow::Result<Verdict> {
        let (file, mount) = (self.folder.path().join("disk"), self.folder.path().join("mounted"));
        let disk = self.template.copy(&file)?;
        let mounted = disk.mount(&mount)?;
        let mut subject = Subject::of(&self.sim, self.engine, &place(&mounted), habit);
        subject.start()?;
        let mut writing = subject.write(seed, 0, None)?;
        std::thread::sleep(Duration::from_millis(fastrand::Rng::with_seed(seed).u64(0..CUT_WITHIN_MS)));
        // Taken before the cut: what is answered later may be of the time after it.
        let answered = Answered { seed, runs: vec![writing.answered()] };
        mounted.cut()?;
        writing.kill()?;
        subject.kill()?;
        mounted.unmount()?;
        let mounted = disk.mount(&mount)?;
        let verdict = match subject.start() {
            Ok(()) => subject.check(&answered)?,
            Err(error) => {
                let mut verdict = promised(&answered);
                verdict.lost = verdict.commits.saturating_add(verdict.records);
                verdict.notes.push(format!("it does not start: {error:#}"));
                verdict
            }
        };
        subject.kill()?;
        mounted.unmount()?;
        std::fs::remove_file(file)?;
        Ok(verdict)
    }
}

impl Rounds for PowerCuts {
    fn title(&self) -> &'static str {
        "power cuts"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        Ok(Outcome::from(Self::play(self, seed, Habit::Right)?))
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        for round in 1..=CONTROL_ROUNDS {
            let verdict = Self::play(self, seed.wrapping_add(round), Habit::Unsynced)?;
            if verdict.lost > 0 {
                return Ok(format!("the same without syncs, round {round}: {verdict}"));
            }
        }
        anyhow::bail!("without syncs nothing was lost in {CONTROL_ROUNDS} rounds: this harness shows nothing")
    }
}

/// The store's folder on a disk.
fn place(disk: &Mounted) -> PathBuf {
    disk.path().join("store")
}
