//! What a soak keeps between its calls, and the report that is made of it.
//!
//! One file of JSON a soak, replaced whole. A report says only what was counted: rounds really played, with the seed
//! that repeats them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_server::clock::Clock;
use cordon_server::files;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::tidy::tree;

/// Faults that are kept by name.
const FAULTS: usize = 20;

/// The count of one soak.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Which soak, and of which engine if it is about one.
    pub name: String,
    /// What chance began with.
    pub seed: u64,
    /// Rounds played.
    pub rounds: u64,
    /// How long they took, in milliseconds.
    pub took_ms: u64,
    /// What was added up.
    pub counts: BTreeMap<String, u64>,
    /// Rounds that failed.
    pub faulty: u64,
    /// The first of them, in words.
    pub faults: Vec<String>,
    /// How the control was caught.
    pub control: Option<String>,
}

impl State {
    /// Nothing played yet.
    #[must_use]
    pub fn fresh(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            rounds: 0,
            took_ms: 0,
            counts: BTreeMap::new(),
            faulty: 0,
            faults: Vec::new(),
            control: None,
        }
    }

    /// What an earlier call left in `folder`, or nothing played yet with `seed`.
    ///
    /// # Errors
    /// If what is there is no count.
    pub fn load(folder: &Path, name: &str, seed: u64) -> anyhow::Result<Self> {
        let path = path(folder, name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let state: Self = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is no count of a soak: remove it", path.display()))?;
                ensure!(state.name == name, "{} counts {}", path.display(), state.name);
                Ok(state)
            }
            Err(_) => Ok(Self::fresh(name, seed)),
        }
    }

    /// Keeps it for the next call.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        files::replace(&path(folder, &self.name), &serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }

    /// The seed of the next round.
    #[must_use]
    pub fn round_seed(&self) -> u64 {
        fastrand::Rng::with_seed(self.seed.wrapping_add(self.rounds)).u64(..)
    }

    /// Counts a round.
    pub fn count(&mut self, seed: u64, outcome: Outcome, took: Duration) {
        for (name, count) in outcome.counts {
            *self.counts.entry(name.to_owned()).or_default() += count;
        }
        if let Some(fault) = outcome.fault {
            self.faulty += 1;
            if self.faults.len() < FAULTS {
                self.faults.push(format!("round {} with seed {seed}: {fault}", self.rounds));
            }
        }
        self.rounds += 1;
        self.took_ms = self.took_ms.saturating_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }

    /// One line.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut line = format!("{}: {} rounds in {:.0} s", self.name, self.rounds, self.seconds());
        for (name, count) in &self.counts {
            let _ = write!(line, ", {count} {name}");
        }
        let _ = write!(line, "; {} rounds failed", self.faulty);
        line
    }

    /// Writes the dated report into `docs/soak`, over an earlier one of the same day.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn report(&self, heading: &str, command: &str) -> anyhow::Result<PathBuf> {
        let now = Clock::system().now().to_string();
        let date = now.split('T').next().unwrap_or_default();
        let path = tree::root().join("docs/soak").join(format!("{date}-{}.md", self.name));
        std::fs::write(&path, self.text(heading, command, date))?;
        Ok(path)
    }

    fn text(&self, heading: &str, command: &str, date: &str) -> String {
        let mut text = format!("# {heading}, {date}\n\n");
        let _ = writeln!(text, "On {}. The last call of this count: `{command}`.\n", machine());
        let _ = writeln!(text, "| what | how many |\n|---|---|");
        let _ = writeln!(text, "| rounds | {} |\n| rounds that failed | {} |", self.rounds, self.faulty);
        for (name, count) in &self.counts {
            let _ = writeln!(text, "| {name} | {count} |");
        }
        let rate = self.rounds as f64 / self.seconds().max(0.001);
        let _ = writeln!(text, "| seconds | {:.0} |\n| rounds a second | {rate:.2} |\n", self.seconds());
        let _ = writeln!(
            text,
            "Seed {}: `--seed` with it, in an empty `--keep`, plays the same moments.\n",
            self.seed
        );
        let control = self.control.as_deref().unwrap_or("not played");
        let _ = writeln!(text, "## The control, which has to lose\n\n```\n{control}\n```");
        if !self.faults.is_empty() {
            let _ = writeln!(text, "\n## Rounds that failed\n\n```\n{}\n```", self.faults.join("\n"));
        }
        text
    }

    fn seconds(&self) -> f64 {
        Duration::from_millis(self.took_ms).as_secs_f64()
    }
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// The machine, as far as it matters: cores, memory, system.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let kilobytes = memory.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let release = read("/etc/os-release");
    let system =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("an unknown system");
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel: Vec<&str> = kernel.trim().split('.').take(2).collect();
    let gigabytes = kilobytes.div_ceil(1024 * 1024);
    format!("{cores} cores, {gigabytes} GB, {}, Linux {}", system.trim_matches('"'), kernel.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_call_goes_on_counting() {
        // Goal: a soak may be cut in pieces. Method: count, save, load, count; the seeds of rounds go on too.
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = State::load(folder.path(), "kills-redb", 9).expect("fresh");
        let first = state.round_seed();
        state.count(
            first,
            Outcome { counts: vec![("lost", 2)], fault: Some("gone".into()) },
            Duration::from_secs(1),
        );
        state.save(folder.path()).expect("saved");
        let mut state = State::load(folder.path(), "kills-redb", 10).expect("loaded");
        assert_eq!((state.seed, state.rounds), (9, 1));
        assert_ne!(state.round_seed(), first);
        state.count(1, Outcome { counts: vec![("lost", 1)], fault: None }, Duration::from_secs(1));
        assert_eq!(state.summary(), "kills-redb: 2 rounds in 2 s, 3 lost; 1 rounds failed");
        let text = state.text("Store redb, kills", "cordon-sim soak kills", "2026-11-21");
        assert!(text.starts_with("# Store redb, kills, 2026-11-21\n"), "{text}");
        assert!(text.contains("| lost | 3 |") && text.contains("gone") && text.contains("Seed 9"), "{text}");
    }
}
