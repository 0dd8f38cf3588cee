//! The fuzz driver: every reader of outside bytes, fed with real samples that chance has bent.
//!
//! It runs on the stable compiler, without coverage: what it lacks in guidance it has in samples that reach deep (a bent
//! request is signed anew, a bent DER has right lengths) and in what it checks: not only that nothing panics, but that no
//! certificate comes out that should not. A failing input is written to a file and printed, with the seed of its run.
//! Read next: [`targets`] for what is fed, [`mutate`] for how it is bent, [`leaf`] for what a certificate may be.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::time::Instant;

use self::mutate::Mutator;
use self::targets::{TARGETS, Target};
use crate::bench::footprint::Footprint;
use crate::soak::{Outcome, Rounds};

pub mod der;
pub mod dissectors;
pub mod est;
pub mod feeds;
pub mod leaf;
pub mod matching;
pub mod mud;
pub mod mutate;
pub mod packages;
pub mod packets;
pub mod samples;
pub mod sboms;
pub mod siem;
pub mod targets;
#[cfg(test)]
mod tests;

/// Executions between two looks at the clock.
const BATCH: u64 = 64;
/// Inputs beside the samples that were read, and so are bent further.
const KEPT: usize = 256;
/// Executions of a target in one round of the soak, and of those that issue certificates.
const ROUND: u64 = 10_000;

/// Which targets, for how long.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Only this one.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// Seconds of all together.
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub seconds: u64,
    /// What chance begins with; printed.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Feed this file instead, once.
    #[arg(long, value_name = "FILE", requires = "target")]
    pub input: Option<PathBuf>,
}

/// What became of a run of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Inputs that were fed.
    pub executions: u64,
    /// Inputs that were read as what they should be.
    pub parsed: u64,
    /// What went wrong, if anything; the run ends with it.
    pub failure: Option<Failure>,
}

/// An input that a target does not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The target.
    pub target: &'static str,
    /// What the run began with.
    pub seed: u64,
    /// Which execution of the run.
    pub execution: u64,
    /// The input.
    pub input: Vec<u8>,
    /// What the target said.
    pub words: String,
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many executions.
    Executions(u64),
    /// When this time has passed.
    Passed(Duration),
}

/// Feeds the targets that are wanted.
///
/// # Errors
/// If there is no such target, or one does not stand an input.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let wanted = |target: &&Target| options.target.as_ref().is_none_or(|name| name == target.name);
    let chosen: Vec<&Target> = TARGETS.iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("no such target: {}", TARGETS.map(|target| target.name).join(", "));
    }
    if let Some(file) = &options.input {
        let input = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        for target in chosen {
            println!("{}: parsed: {}", target.name, (target.run)(&input));
        }
        return Ok(());
    }
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let share = Duration::from_secs(options.seconds) / u32::try_from(chosen.len()).unwrap_or(u32::MAX);
    println!("seed {seed}, {} targets, {share:?} each", chosen.len());
    let mut failed = 0;
    for target in chosen {
        let tally = feed(target, seed, Until::Passed(share));
        println!("{:14} {:>9} executions, {:>9} parsed", target.name, tally.executions, tally.parsed);
        if let Some(failure) = &tally.failure {
            failed += 1;
            println!("{}", failure.told(&crate::tidy::tree::root().join("target/fuzz"))?);
        }
    }
    if failed > 0 {
        bail!("{failed} targets failed");
    }
    Ok(())
}

/// Feeds one target: its samples as they are, then bent ones.
#[must_use]
pub fn feed(target: &Target, seed: u64, until: Until) -> Tally {
    let begun = Instant::now();
    let mut chance = fastrand::Rng::with_seed(seed);
    let samples = (target.samples)();
    let (first, mut kept) = (samples.len(), samples);
    let mut tally = Tally::default();
    loop {
        let over = match until {
            Until::Executions(limit) => tally.executions >= limit,
            Until::Passed(limit) => tally.executions % BATCH == 0 && begun.elapsed() >= limit,
        };
        if over {
            return tally;
        }
        let number = usize::try_from(tally.executions).unwrap_or(usize::MAX);
        let input = match kept.get(number).filter(|_| number < first) {
            Some(sample) => sample.clone(),
            None => Mutator { chance: &mut chance, pool: &kept, der: target.der }.bend(),
        };
        tally.executions += 1;
        match catch_unwind(AssertUnwindSafe(|| (target.run)(&input))) {
            Ok(false) => {}
            Ok(true) => {
                tally.parsed += 1;
                if number >= first {
                    keep(&mut kept, first, input, &mut chance);
                }
            }
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                tally.failure = Some(Failure {
                    target: target.name,
                    seed,
                    execution: tally.executions,
                    input,
                    words: words.unwrap_or_else(|| "a panic without words".to_owned()),
                });
                return tally;
            }
        }
    }
}

/// Keeps an input to be bent further; once there are many, in place of another.
fn keep(kept: &mut Vec<Vec<u8>>, first: usize, input: Vec<u8>, chance: &mut fastrand::Rng) {
    if kept.len() < first + KEPT {
        kept.push(input);
    } else if let Some(place) = kept.get_mut(first + chance.usize(..KEPT)) {
        *place = input;
    }
}

impl Failure {
    /// Writes the input into `folder` and says all that repeats it.
    fn told(&self, folder: &Path) -> anyhow::Result<String> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}-{}-{}.bin", self.target, self.seed, self.execution));
        std::fs::write(&file, &self.input).with_context(|| format!("cannot write {}", file.display()))?;
        let hex: String = self.input.iter().map(|byte| format!("{byte:02x}")).collect();
        let Self { target, seed, execution, words, .. } = self;
        let file = file.display();
        Ok(format!(
            "{target}: seed {seed}, execution {execution}: {words}\ninput {hex}\nonce more: cordon-sim fuzz --target {target} --input {file}"
        ))
    }
}

/// The readers of what strangers publish of weaknesses and of components.
const OF_FEEDS: [&str; 11] =
    ["version", "osv", "debian", "purl", "csaf", "vex", "tables", "assets", "folders", "sbom", "cvss"];

/// What the sensor reads off the wire, from the kernel and from recordings: each dissector alone, then the whole of it.
const OF_PACKETS: [&str; 14] = [
    "link",
    "ip",
    "arp",
    "dhcp",
    "dns",
    "client-hello",
    "pcap",
    "pcapng",
    "conn-log-lines",
    "sock-diag",
    "packet-losses",
    "proc-net",
    "packet",
    "capture",
];

/// KiB of memory of its own that this process may hold at most above what it held before [`OF_PACKETS`] were first fed: inputs
/// that are kept to be bent further are some of it.
const PACKETS_KIB: u64 = 24 * 1024;

/// The rounds of `soak fuzz`, of `soak fuzz-feeds` and of `soak fuzz-packets`.
pub struct Fuzzing {
    title: &'static str,
    targets: Vec<&'static Target>,
    /// KiB of memory of its own that this process may take beyond what it held at first.
    room_kib: Option<u64>,
    /// What it held then.
    first_kib: Option<u64>,
}

impl Fuzzing {
    /// Every target.
    #[must_use]
    pub fn all() -> Self {
        Self {
            title: "Fuzz: every reader of outside bytes",
            targets: TARGETS.iter().collect(),
            room_kib: None,
            first_kib: None,
        }
    }

    /// Those of strangers' feeds, which are many and quick.
    #[must_use]
    pub fn of_feeds() -> Self {
        let targets = TARGETS.iter().filter(|target| OF_FEEDS.contains(&target.name)).collect();
        Self {
            title: "Fuzz: every reader of feeds and of lists of components",
            targets,
            room_kib: None,
            first_kib: None,
        }
    }

    /// Those of the sensor.
    #[must_use]
    pub fn of_packets() -> Self {
        let targets = TARGETS.iter().filter(|target| OF_PACKETS.contains(&target.name)).collect();
        Self {
            title: "Fuzz: every dissector and reader of the sensor",
            targets,
            room_kib: Some(PACKETS_KIB),
            first_kib: None,
        }
    }

    /// What is wrong with the memory of this process, if anything.
    fn swollen(&mut self) -> anyhow::Result<Option<String>> {
        let Some(room) = self.room_kib else { return Ok(None) };
        let held = Footprint::of(std::process::id())?.anon_kib;
        let most = *self.first_kib.get_or_insert(held) + room;
        Ok((held > most).then(|| format!("{held} KiB are held, the bar is {most}")))
    }
}

impl Rounds for Fuzzing {
    fn title(&self) -> &'static str {
        self.title
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        self.swollen()?;
        for target in self.targets.clone() {
            let tally = feed(target, seed, Until::Executions(ROUND));
            outcome.counts.push((target.name, tally.executions));
            outcome.counts.push((target.parsed, tally.parsed));
            if let Some(failure) = &tally.failure {
                outcome.fault = Some(failure.told(&crate::tidy::tree::root().join("target/fuzz"))?);
            } else if let Some(swollen) = self.swollen()? {
                outcome.fault = Some(format!("after {}: {swollen}", target.name));
            }
        }
        Ok(outcome)
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        let tally = feed(&targets::PLANTED, seed, Until::Executions(1_000_000));
        let failure = tally.failure.context("a planted fault was not found: the driver finds nothing")?;
        Ok(format!(
            "a planted fault in a nested length, after {} executions: {}",
            failure.execution, failure.words
        ))
    }
}
