//! Kills: a writer is killed with SIGKILL at a moment that the seed names, again and again on the same store.
//!
//! A killed process leaves the kernel's memory behind, so this says nothing of power; it shows half transactions, and
//! stores that do not open after a crash. With PostgreSQL every other round kills all processes of the database as
//! well. A store lives for some rounds, then a new one begins. The control says answers before they are given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Verdict;
use super::checker::Answered;
use super::subject::{Engine, Habit, Subject};
use crate::soak::{Outcome, Rounds};

/// Rounds that a store lives.
const LIFE: usize = 10;
/// Milliseconds after the opening in which the kill comes.
const KILL_WITHIN_MS: u64 = 300;
/// Rounds in which the control must have been caught.
const CONTROL_ROUNDS: u64 = 20;

/// All rounds of one engine.
#[derive(Debug)]
pub struct Kills {
    sim: PathBuf,
    engine: Engine,
    life: Option<Life>,
}

/// A store and what was answered on it so far.
#[derive(Debug)]
struct Life {
    subject: Subject,
    answered: Answered,
    // Behind the subject: its processes end before their folder goes.
    _folder: tempfile::TempDir,
}

impl Kills {
    /// Nothing is made yet. `sim` is this program.
    #[must_use]
    pub fn new(sim: &Path, engine: Engine) -> Self {
        Self { sim: sim.to_owned(), engine, life: None }
    }

    /// One round.
    ///
    /// # Errors
    /// If the round could not be played to its end.
    pub fn play(&mut self, seed: u64, habit: Habit) -> anyhow::Result<Verdict> {
        let mut life = match self.life.take() {
            Some(life) => life,
            None => Life::begin(&self.sim, self.engine, seed, habit)?,
        };
        let verdict = life.play(seed)?;
        if life.answered.runs.len() < LIFE && verdict.is_clean() {
            self.life = Some(life);
        }
        Ok(verdict)
    }
}

impl Life {
    fn begin(sim: &Path, engine: Engine, seed: u64, habit: Habit) -> anyhow::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::Builder::new().prefix("cordon-kill-").tempdir()?;
        // PostgreSQL runs as somebody else, who has to pass.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let place = folder.path().join("store");
        Subject::prepare(engine, &place)?;
        let mut subject = Subject::of(sim, engine, &place, habit);
        subject.start()?;
        Ok(Self { subject, answered: Answered { seed, runs: Vec::new() }, _folder: folder })
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Verdict> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let run = u32::try_from(self.answered.runs.len())?;
        let before = super::checker::promised(&self.answered);
        let mut writing = self.subject.write(self.answered.seed, run, None)?;
        std::thread::sleep(Duration::from_millis(chance.u64(0..KILL_WITHIN_MS)));
        let with_database = chance.bool();
        self.answered.runs.push(writing.answered());
        if with_database {
            self.subject.kill()?;
        }
        writing.kill()?;
        if with_database {
            self.subject.start()?;
        }
        let mut verdict = self.subject.check(&self.answered)?;
        // What earlier rounds counted is checked again, not counted again.
        verdict.commits = verdict.commits.saturating_sub(before.commits);
        verdict.records = verdict.records.saturating_sub(before.records);
        Ok(verdict)
    }
}

impl Rounds for Kills {
    fn title(&self) -> &'static str {
        "kills"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        Ok(Outcome::from(Self::play(self, seed, Habit::Right)?))
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        let mut control = Self::new(&self.sim, self.engine);
        for round in 1..=CONTROL_ROUNDS {
            let verdict = control.play(seed.wrapping_add(round), Habit::Early)?;
            if verdict.lost > 0 {
                return Ok(format!("the same with answers said too early, round {round}: {verdict}"));
            }
        }
        anyhow::bail!(
            "answers said too early were never missed in {CONTROL_ROUNDS} rounds: this harness shows nothing"
        )
    }
}
