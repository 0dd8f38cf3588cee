//! Mutants: one-line breakages of the checks that matter, each with the test that must notice.
//!
//! The tree is copied, one line of the copy is broken, exactly the named test runs there and has to *fail*: not to
//! pass, not to be missing, not to stop at the compiler. The real tree is never touched. Without the breakage the same
//! test has to pass, so that a test that always fails counts for nothing. Read next: `mutants/table.rs`, the list.

use crate::program::program;
use crate::tidy::tree;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

pub mod air_gap;
pub mod assets;
pub mod chunk_delta;
pub mod contacts;
pub mod content;
pub mod desk;
pub mod engine;
pub mod evidence;
pub mod feeds;
pub mod fleet;
pub mod installers;
pub mod inventory;
pub mod matching;
pub mod mud;
pub mod owner;
pub mod refusals;
pub mod risk;
pub mod rollouts;
pub mod rooms;
pub mod sboms;
pub mod sensor;
pub mod shortcuts;
pub mod siem;
pub mod signing;
pub mod signs;
pub mod table;
#[cfg(test)]
mod tests;
pub mod transport;
pub mod tuf;
pub mod update_faults;
pub mod wards;

/// All of them.
pub const ALL: &[&[Breakage]] = &[
    table::BREAKAGES,
    tuf::TUF,
    owner::OWNER,
    air_gap::AIR_GAP,
    chunk_delta::CHUNK_DELTA,
    contacts::CONTACTS,
    content::CONTENT,
    desk::DESK,
    assets::LISTS,
    engine::ENGINE,
    evidence::EVIDENCE,
    feeds::FEEDS,
    fleet::FLEET,
    signs::SIGNS_OF_HOSTS,
    installers::INSTALLERS,
    inventory::INVENTORY,
    matching::MATCHING,
    mud::MUD,
    refusals::REFUSALS,
    risk::RISK,
    rollouts::ROLLOUTS,
    sboms::SBOMS,
    sensor::SENSOR,
    shortcuts::SHORTCUTS,
    siem::SIEM,
    signing::SIGNING,
    transport::TRANSPORT,
    update_faults::UPDATE_FAULTS,
    wards::WARDS,
];
/// How long running one test may take, once it is built.
const DEADLINE_S: &str = "600";
/// How long building a package's tests may take, with everything that they build on.
const BUILD_S: &str = "1800";

/// One breakage and who must notice.
#[derive(Clone, Copy, Debug)]
pub struct Breakage {
    /// What it would mean, in three or four words.
    pub name: &'static str,
    /// The file that is broken.
    pub file: &'static str,
    /// A piece of the file that stands there exactly once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
    /// The package whose library has the test.
    pub package: &'static str,
    /// The full name of the test that must fail.
    pub test: &'static str,
}

/// What became of one run of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The test ran and failed.
    Failed,
    /// The test ran and passed.
    Passed,
    /// It did not compile, or broke off: nothing was shown.
    NotRun,
    /// There is no test of that name.
    NoSuchTest,
    /// The test did not end in time.
    Endless,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failed => "caught",
            Self::Passed => "SURVIVED",
            Self::NotRun => "DID NOT RUN",
            Self::NoSuchTest => "NO SUCH TEST",
            Self::Endless => "DID NOT END",
        })
    }
}

/// Which breakages to try.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// So many, drawn by chance; all if `None`.
    pub sample: Option<usize>,
    /// Only those whose name contains this.
    pub only: Option<String>,
}

/// Tries the chosen breakages and prints what became of each.
///
/// # Errors
/// If a mutant is not caught, a fragment no longer matches, a test fails without its breakage, or cargo cannot run.
pub fn run(choice: &Choice) -> Result<()> {
    let chosen = choose(&ALL.concat(), choice);
    ensure!(!chosen.is_empty(), "no breakage has such a name");
    let root = tree::root();
    for Breakage { name, .. } in &chosen {
        println!("drawn: {name} (again: cordon-sim mutants --only '{name}')");
    }
    let bench = Bench { copy: root.join("target/mutants/tree"), target: root.join("target/mutants/build") };
    bench.lay(&root)?;
    bench.must_pass(&chosen)?;
    let mut escaped = 0;
    println!("{:16} {:32} {:34} must be caught by", "outcome", "breakage", "in");
    for breakage in &chosen {
        let outcome = bench.try_one(breakage)?;
        println!("{outcome:16} {:32} {:34} {}", breakage.name, breakage.file, breakage.test);
        escaped += usize::from(outcome != Outcome::Failed);
    }
    println!("{} mutants, {escaped} not caught", chosen.len());
    if escaped > 0 {
        bail!("{escaped} of {} breakages went unnoticed: the named tests must fail on them", chosen.len());
    }
    Ok(())
}

/// The breakages that `choice` asks for: package by package, since a change of the ground has all above it built anew.
fn choose(all: &[Breakage], choice: &Choice) -> Vec<Breakage> {
    let wanted =
        |breakage: &&Breakage| choice.only.as_ref().is_none_or(|only| breakage.name.contains(only.as_str()));
    let mut chosen: Vec<(usize, Breakage)> = all.iter().filter(wanted).copied().enumerate().collect();
    fastrand::shuffle(&mut chosen);
    chosen.truncate(choice.sample.unwrap_or(usize::MAX));
    chosen.sort_by_key(|(index, breakage)| (breakage.package, *index));
    chosen.into_iter().map(|(_, breakage)| breakage).collect()
}

/// `text` with the one line broken.
fn broken(text: &str, breakage: &Breakage) -> Result<String> {
    let found = text.matches(breakage.find).count();
    ensure!(
        found == 1,
        "{}: `{}` stands {found} times in {}, not once: the table must follow the code",
        breakage.name,
        breakage.find,
        breakage.file
    );
    Ok(text.replacen(breakage.find, breakage.replace, 1))
}

/// Reads the output of `cargo test -- --exact NAME`.
fn outcome(success: bool, stopped: bool, stdout: &str) -> Outcome {
    let ran = stdout.lines().any(|line| line.trim() == "running 1 test");
    let missed = stdout.lines().any(|line| line.trim() == "running 0 tests");
    match (ran, missed) {
        _ if stopped => Outcome::Endless,
        (true, _) if success => Outcome::Passed,
        (true, _) if stdout.contains("test result: FAILED. 0 passed; 1 failed") => Outcome::Failed,
        (false, true) => Outcome::NoSuchTest,
        (true | false, _) => Outcome::NotRun,
    }
}

/// Where the copy of the tree lies, and its own build folder.
///
/// It must not be the build folder of the real tree: cargo names the artefacts of a workspace by paths relative to its
/// root, so those of a broken copy would pass for the real ones. Both stay, and the next run builds only what changed.
struct Bench {
    copy: PathBuf,
    target: PathBuf,
}

impl Bench {
    /// Copies the tree; a file that is the same stays untouched, so that only what changed is built again.
    fn lay(&self, root: &Path) -> Result<()> {
        let sources = tree::read(root)?;
        let wanted: BTreeSet<PathBuf> = sources.iter().map(|source| self.copy.join(&source.path)).collect();
        clear(&self.copy, &wanted)?;
        for source in &sources {
            let path = self.copy.join(&source.path);
            if std::fs::read(&path).ok().as_deref() != Some(source.content.as_slice()) {
                let folder = path.parent().context("a file lies in a folder")?;
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                std::fs::write(&path, &source.content)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Every named test passes while nothing is broken.
    fn must_pass(&self, chosen: &[Breakage]) -> Result<()> {
        let tests: BTreeSet<(&str, &str)> =
            chosen.iter().map(|breakage| (breakage.package, breakage.test)).collect();
        let packages: BTreeSet<&str> = tests.iter().map(|(package, _)| *package).collect();
        for package in packages {
            let built = self.cargo(BUILD_S, package).arg("--no-run").status();
            ensure!(built.context("cargo cannot be started")?.success(), "{package} cannot be built");
        }
        for (package, test) in tests {
            let outcome = self.test(package, test)?;
            ensure!(
                outcome == Outcome::Passed,
                "{package}: {test} does not pass on the tree as it is: {outcome}"
            );
        }
        Ok(())
    }

    /// Breaks the copy, runs the named test, heals the copy.
    fn try_one(&self, breakage: &Breakage) -> Result<Outcome> {
        let path = self.copy.join(breakage.file);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        std::fs::write(&path, broken(&text, breakage)?)?;
        let outcome = self.test(breakage.package, breakage.test);
        std::fs::write(&path, text)?;
        outcome
    }

    /// The build of a package's own tests in the copy, ended after `deadline_s`.
    fn cargo(&self, deadline_s: &str, package: &str) -> std::process::Command {
        let mut cargo = program("timeout");
        cargo.args([deadline_s, "cargo", "test", "--quiet", "--locked", "--package", package, "--lib"]);
        cargo.current_dir(&self.copy).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    fn test(&self, package: &str, test: &str) -> Result<Outcome> {
        // Apart, so that a slow compiler is not taken for a test without an end.
        let built =
            self.cargo(BUILD_S, package).arg("--no-run").output().context("cargo cannot be started")?;
        if !built.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&built.stderr));
            return Ok(Outcome::NotRun);
        }
        let mut cargo = self.cargo(DEADLINE_S, package);
        let output = cargo.args(["--", "--exact", test]).output().context("cargo cannot be started")?;
        let stopped = output.status.code() == Some(124);
        let outcome = outcome(output.status.success(), stopped, &String::from_utf8_lossy(&output.stdout));
        if outcome == Outcome::NotRun {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(outcome)
    }
}

/// Takes every file below `folder` away that is not `wanted`.
fn clear(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            clear(&path, wanted)?;
        } else if !wanted.contains(&path) {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
