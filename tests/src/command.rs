//! The command line of `cordon-sim`.
//!
//! Names and flags are fixed. Each command prints what it shows and ends with 0 only if all of it held.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::faults::{checker, update, writer};
use crate::{bench, demo, fuzz, mutants, packages, postgres, scripted, soak, talking, tidy};

/// The simulated fleet: demo, benches, mutants.
#[derive(Debug, Parser)]
#[command(name = "cordon-sim", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// One command, no set-up: a hospital with its devices, an attack, a rollout, a stolen server.
    Demo(demo::Options),
    /// Figures beside a peer.
    Bench {
        /// Which.
        name: bench::Name,
        #[command(flatten)]
        rollout: bench::rollout::Options,
    },
    /// One side of a bench, in a process of its own.
    #[command(hide = true)]
    BenchSide(bench::store::side::Task),
    /// The memory of an index, in a process of its own.
    #[command(hide = true)]
    MatchSide(bench::matching::Task),
    /// Scripted connections that the agent's sensor watches, in a process of its own.
    #[command(hide = true)]
    Scripted(scripted::Task),
    /// A device's ordinary talk, in a process of its own.
    #[command(hide = true)]
    Talk(talking::Task),
    /// A bill of materials, in a process of its own.
    #[command(hide = true)]
    SbomSide(bench::sbom::Task),
    /// Rounds until the time is over, with a dated report.
    Soak(soak::Options),
    /// Bent bytes for every reader of outside bytes.
    Fuzz(fuzz::Options),
    /// Writes to a store until it is killed.
    #[command(hide = true)]
    StoreWriter(writer::Task),
    /// Holds a store against what was answered.
    #[command(hide = true)]
    StoreChecker(checker::Task),
    /// An agent that is struck while it updates.
    #[command(hide = true)]
    UpdateAgent(update::agent::Task),
    /// A PostgreSQL that lives as long as its input is open; prints what stands behind `postgres:` in `store`.
    Postgres,
    /// The tree for docs/ARCHITECTURE.md, from the heads of the files.
    Tree {
        /// Write it there.
        #[arg(long)]
        write: bool,
    },
    /// The OpenAPI document as it is served.
    Openapi {
        /// Write it to docs/openapi.json.
        #[arg(long)]
        write: bool,
    },
    /// The Debian packages of programs that were built before, and a trial of them.
    Packages(packages::Options),
    /// One-line breakages that named tests must catch.
    Mutants {
        /// So many, drawn by chance.
        #[arg(long, value_name = "N")]
        sample: Option<usize>,
        /// Only those whose name contains this.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
}

/// Runs a command line, program name first.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let done = match arguments.command {
        Command::Demo(options) => demo::run(options),
        Command::Bench { name, rollout } => bench::run(name, &rollout),
        Command::BenchSide(task) => bench::store::side::run(&task),
        Command::MatchSide(task) => bench::matching::side(&task),
        Command::Scripted(task) => scripted::run(&task),
        Command::Talk(task) => talking::run(&task),
        Command::SbomSide(task) => bench::sbom::side(&task),
        Command::Soak(options) => soak::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::StoreWriter(task) => writer::run(&task),
        Command::StoreChecker(task) => checker::run(&task),
        Command::UpdateAgent(task) => return update::agent::main(&task),
        Command::Postgres => postgres::keep(),
        Command::Tree { write } => tidy::map::run(write),
        Command::Openapi { write } => tidy::served::run(write),
        Command::Packages(options) => packages::run(&options),
        Command::Mutants { sample, only } => mutants::run(&mutants::Choice { sample, only }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "cordon-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A scratch folder that is removed at the end, or one that is kept.
#[derive(Debug)]
pub enum Folder {
    /// Removed at the end.
    Scratch(tempfile::TempDir),
    /// Kept.
    Kept(PathBuf),
}

impl Folder {
    /// The folder that was named, or a fresh one.
    pub fn open(keep: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = keep else {
            return Ok(Self::Scratch(tempfile::Builder::new().prefix("cordon-").tempdir()?));
        };
        std::fs::create_dir_all(&path)?;
        anyhow::ensure!(
            std::fs::read_dir(&path)?.next().is_none(),
            "{} is not empty: name a new folder",
            path.display()
        );
        Ok(Self::Kept(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Scratch(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}
