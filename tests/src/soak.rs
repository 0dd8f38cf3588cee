//! Soaks: rounds of one kind until the time is over, counted across calls, with a dated report.
//!
//! A soak is a [`Rounds`]; it knows its kind of round and nothing of time, state or reports. A round that fails is
//! counted and named, and the rounds go on; the command ends with 0 only if none failed and the control was caught.
//! A new soak is one more [`Name`] and one line in [`begin`]. Read next: [`state`] for what is kept between calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use tokio::time::Instant;

use crate::debsecan::trees::Trees;
use crate::faults::Verdict;
use crate::faults::kills::Kills;
use crate::faults::powercut::PowerCuts;
use crate::faults::subject::Engine;
use crate::faults::update::calls::Calls;
use crate::faults::update::sparse::Sparse;
use crate::faults::update::swaps::Swaps;
use crate::faults::update::{Fate, Strikes};
use crate::fuzz::Fuzzing;
use crate::oracles::Oracles;
use crate::other_machines::OtherMachines;
use crate::planner::Planner;
use crate::reconnect::Reconnect;
use crate::scan::Scans;
use crate::score_cases::ScoreCases;
use crate::sensor_soak::SensorSoak;
use crate::servers::UnderFire;
use crate::tuf_suite::Suite;

pub mod state;

use self::state::State;

/// Minutes of a soak that is told neither minutes nor rounds.
const MINUTES: u64 = 10;
/// Devices that come back in one round.
const DEVICES: usize = 100_000;
/// Rounds between two lines of progress.
const PROGRESS: u64 = 10;

/// The soaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// The disk under the store loses its power.
    Powercut,
    /// The process that writes is killed.
    Kills,
    /// Servers that share one PostgreSQL are killed under load, whatever engine is named.
    Servers,
    /// A whole fleet reconnects at once to a server on redb, whatever engine is named.
    Reconnect,
    /// Outside scanners look at both TLS planes of a server; no engine matters.
    Scan,
    /// Bent bytes for every reader of outside bytes; no engine matters.
    Fuzz,
    /// The TUF community's client conformance suite drives the agent's library; no engine matters.
    TufConformance,
    /// Spoilt TUF repositories, judged by two other clients beside ours; no engine matters.
    TufOracles,
    /// The disk under an agent that updates its device loses power; no engine matters.
    UpdatePowercut,
    /// An agent that updates its device is killed; no engine matters.
    UpdateKills,
    /// Each system call of an agent that updates its device fails in its turn; no engine matters.
    UpdateCalls,
    /// Files are swapped between check and use; no engine matters.
    UpdateSwaps,
    /// Images whose lengths fit no 32 bits; no engine matters.
    UpdateSparse,
    /// Random worlds of the rollout engine; no engine of a store matters.
    Planner,
    /// Bent bytes for the readers of strangers' feeds alone; no engine matters.
    FuzzFeeds,
    /// Unpacked Debians, asked by debsecan and by us; no engine matters.
    DebianTrees,
    /// Random devices, every promise of the score; no engine matters.
    Score,
    /// The same scores on processors of other kinds; no engine matters.
    OtherMachines,
    /// Bent bytes for the dissectors of the sensor and the readers beside them alone; no engine matters.
    FuzzPackets,
    /// The shipped agent's memory, CPU and traffic with its sensor on, minute by minute; no engine matters.
    Sensor,
}

impl Name {
    /// The engine that its rounds are about: the one that was named where it may be chosen, none where none matters.
    fn engine(self, named: Engine) -> Option<Engine> {
        match self {
            Self::Powercut | Self::Kills => Some(named),
            Self::Servers => Some(Engine::Postgres),
            Self::Reconnect => Some(Engine::Redb),
            Self::Scan | Self::Fuzz | Self::TufConformance | Self::TufOracles => None,
            Self::UpdatePowercut | Self::UpdateKills | Self::UpdateCalls => None,
            Self::UpdateSwaps | Self::UpdateSparse | Self::Planner | Self::Score => None,
            Self::FuzzFeeds | Self::DebianTrees | Self::OtherMachines => None,
            Self::FuzzPackets | Self::Sensor => None,
        }
    }
}

/// How long, on what.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Which.
    pub name: Name,
    /// Minutes of this call.
    #[arg(long, value_name = "N")]
    pub minutes: Option<u64>,
    /// Rounds of this call, if they are reached before its minutes are over.
    #[arg(long, value_name = "N")]
    pub rounds: Option<u64>,
    /// The engine.
    #[arg(long, default_value = "redb")]
    pub engine: Engine,
    /// Where the count is kept from call to call; below the build folder if not said.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Devices that come back in one round of `reconnect`.
    #[arg(long, value_name = "N", default_value_t = DEVICES)]
    pub devices: usize,
    /// Neither read nor write a count, and write no report.
    #[arg(long)]
    pub no_report: bool,
    /// What chance begins with, for a count that begins; printed.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// One kind of round.
pub trait Rounds {
    /// What they are called in a report.
    fn title(&self) -> &'static str;

    /// Goes on behind so many rounds of earlier calls; of use to rounds that come in an order.
    fn resume(&mut self, _rounds: u64) {}

    /// Plays one round.
    ///
    /// # Errors
    /// If it could not be played; what it found wrong is the outcome's.
    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome>;

    /// Plays what must be caught, and says how it was.
    ///
    /// # Errors
    /// If it was not: then all other rounds show nothing.
    fn control(&mut self, seed: u64) -> anyhow::Result<String>;
}

/// What a round found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What is added up, by name.
    pub counts: Vec<(&'static str, u64)>,
    /// What was wrong, if anything.
    pub fault: Option<String>,
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        let fault = (!verdict.is_clean()).then(|| verdict.to_string());
        let counts = vec![
            ("commits answered", verdict.commits),
            ("telemetry records answered", verdict.records),
            ("lost", verdict.lost),
            ("doubled", verdict.doubled),
            ("torn", verdict.torn),
        ];
        Self { counts, fault }
    }
}

/// Runs a soak.
///
/// # Errors
/// If a round failed, now or in an earlier call, or the control was not caught.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let sim = std::env::current_exe().context("this program has no path")?;
    let keep = (!options.no_report).then(|| folder(options));
    let engine = options.name.engine(options.engine);
    let name = counted(options.name, engine);
    let fresh = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut state = match &keep {
        Some(keep) => State::load(keep, &name, fresh)?,
        None => State::fresh(&name, fresh),
    };
    let mut rounds = begin(&sim, options)?;
    rounds.resume(state.rounds);
    println!("{name}: seed {}, {} rounds so far", state.seed, state.rounds);
    if state.control.is_none() {
        let caught = rounds.control(state.seed)?;
        println!("control caught: {caught}");
        state.control = Some(caught);
    }
    let played = play(options, &mut *rounds, &mut state, keep.as_deref());
    println!("{}", state.summary());
    if let Some(keep) = &keep {
        state.save(keep)?;
        println!("report: {}", state.report(&heading(engine, rounds.title()), &command(options))?.display());
    }
    played?;
    ensure!(state.faults.is_empty(), "{} of {} rounds failed", state.faulty, state.rounds);
    Ok(())
}

/// The rounds of a name.
fn begin(sim: &Path, options: &Options) -> anyhow::Result<Box<dyn Rounds>> {
    Ok(match options.name {
        Name::Powercut => Box::new(PowerCuts::new(sim, options.engine)?),
        Name::Kills => Box::new(Kills::new(sim, options.engine)),
        Name::Servers => Box::new(UnderFire),
        Name::Scan => Box::new(Scans),
        Name::Fuzz => Box::new(Fuzzing::all()),
        Name::FuzzFeeds => Box::new(Fuzzing::of_feeds()),
        Name::FuzzPackets => Box::new(Fuzzing::of_packets()),
        Name::Sensor => Box::new(SensorSoak::new(sim)?),
        Name::DebianTrees => Box::new(Trees::new(folder(options).join("debian-trees"))?),
        Name::TufConformance => Box::new(Suite),
        Name::TufOracles => Box::new(Oracles::new()?),
        Name::UpdatePowercut => Box::new(Strikes::new(sim, Fate::Cut)?),
        Name::UpdateKills => Box::new(Strikes::new(sim, Fate::Kill)?),
        Name::UpdateCalls => Box::new(Calls::new(sim)?),
        Name::UpdateSwaps => Box::new(Swaps::new(sim)?),
        Name::UpdateSparse => Box::new(Sparse::new(sim)),
        Name::Planner => Box::new(Planner::default()),
        Name::Score => Box::new(ScoreCases::default()),
        Name::OtherMachines => Box::new(OtherMachines::new()?),
        Name::Reconnect => Box::new(Reconnect { devices: options.devices }),
    })
}

fn play(
    options: &Options,
    rounds: &mut dyn Rounds,
    state: &mut State,
    keep: Option<&Path>,
) -> anyhow::Result<()> {
    let minutes = options.minutes.or(options.rounds.is_none().then_some(MINUTES));
    let begun = Instant::now();
    let end = minutes.map(|minutes| begun + Duration::from_secs(minutes.saturating_mul(60)));
    for played in 0..options.rounds.unwrap_or(u64::MAX) {
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let round = Instant::now();
        let seed = state.round_seed();
        let outcome =
            rounds.play(seed).with_context(|| format!("round {} with seed {seed}", state.rounds))?;
        if let Some(fault) = &outcome.fault {
            println!("round {} with seed {seed}: {fault}", state.rounds);
        }
        state.count(seed, outcome, round.elapsed());
        if played % PROGRESS == PROGRESS - 1 && Some(played + 1) != options.rounds {
            println!("{}", state.summary());
            if let Some(keep) = keep {
                state.save(keep)?;
            }
        }
    }
    Ok(())
}

/// Under which name a soak is counted.
fn counted(name: Name, engine: Option<Engine>) -> String {
    let name = word(name);
    engine.map_or_else(|| name.clone(), |engine| format!("{name}-{engine}"))
}

/// The heading of a report: the engine stands in it only where the rounds are about one.
fn heading(engine: Option<Engine>, title: &str) -> String {
    if let Some(engine) = engine {
        return format!("Store {engine}, {title}");
    }
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn word(name: Name) -> String {
    name.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn folder(options: &Options) -> PathBuf {
    let default = || crate::tidy::tree::root().join("target/soak");
    options.keep.clone().unwrap_or_else(default)
}

/// The command line as a person would repeat it.
fn command(options: &Options) -> String {
    let mut line = format!("cordon-sim soak {}", word(options.name));
    if let Some(engine) = options.name.engine(options.engine) {
        line.push_str(&format!(" --engine {engine}"));
    }
    for (flag, value) in [("--minutes", options.minutes), ("--rounds", options.rounds)] {
        if let Some(value) = value {
            line.push_str(&format!(" {flag} {value}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_an_engine_only_where_its_rounds_are_about_one() {
        // Goal: no report claims a store that it never looked at. Method: each soak with an engine that was named.
        let named = |name: Name| {
            let engine = name.engine(Engine::Sled);
            (counted(name, engine), heading(engine, "what it does"))
        };
        for (name, file, head) in [
            (Name::Kills, "kills-sled", "Store sled, what it does"),
            (Name::Powercut, "powercut-sled", "Store sled, what it does"),
            (Name::Servers, "servers-postgres", "Store postgres, what it does"),
            (Name::Reconnect, "reconnect-redb", "Store redb, what it does"),
            (Name::Scan, "scan", "What it does"),
            (Name::Fuzz, "fuzz", "What it does"),
            (Name::UpdateKills, "update-kills", "What it does"),
        ] {
            assert_eq!(named(name), (file.to_owned(), head.to_owned()));
        }
    }
}
