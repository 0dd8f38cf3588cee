//! Two other TUF clients as judges of ours: on spoilt repositories we never accept what both refuse.
//!
//! A case is a repository at two moments, bent before it was signed or afterwards. Ours judges it in this process; the
//! others, python-tuf and tuf-js, in programs of their own that read cases and write verdicts, a line each. What we refuse
//! and they accept is only counted: strictness is ours to choose. Where a judge is not installed, a test skips by its name
//! and a soak stops. Read next: [`scene`] and [`bend`] for the cases, [`ours`] for our verdict.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::time::Timestamp;
use cordon_server::clock::Clock;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::ours::Gullible;
use self::scene::{Files, Scene};
use crate::program::program;
use crate::skip::look_up;
use crate::soak::{Outcome, Rounds};

pub mod bend;
pub mod ours;
pub mod scene;
#[cfg(test)]
mod tests;

/// Cases of one round of the soak.
const ROUND: u64 = 250;
/// Cases after which a client that believes every signature must have been found out.
const CONTROL: u64 = 2_000;

/// The judges: name, the program that runs it, its flag for a program text, the text, and how to install it.
const JUDGES: [(&str, &str, &str, &str, &str); 2] = [
    (
        "python-tuf",
        "python3",
        "-c",
        include_str!("oracles/python_tuf.py"),
        "pip install tuf 'securesystemslib[crypto]', into the python3 of the path",
    ),
    ("tuf-js", "node", "-e", include_str!("oracles/tuf_js.js"), "npm install --global tuf-js@3"),
];

/// One repository at some moments, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The root that is trusted from the start.
    pub root: Vec<u8>,
    /// What is shown at each moment.
    pub steps: Vec<Files>,
    /// The files that are looked for.
    pub paths: Vec<String>,
}

/// What a client says of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whether the metadata is believed.
    pub refreshed: bool,
    /// Of each path: `LENGTH SHA256`, `none` where nobody lists it, `error: why`.
    pub found: Vec<String>,
    /// Why it is not believed.
    pub said: String,
    /// Whether what was remembered of timestamp and snapshot was dropped, because a root changed their keys (TUF 5.3.11).
    #[serde(default)]
    pub forgot: bool,
    /// What our client keeps afterwards.
    #[serde(skip)]
    pub kept: Files,
}

impl Step {
    /// Whether it is believed in the same way as another, as far as that one believes.
    fn bears_out(&self, other: &Self) -> bool {
        let found = |(own, other): (&String, &String)| own == other || !is_file(other);
        self.refreshed && self.found.iter().zip(&other.found).all(found)
    }

    /// Whether it is not believed because something older or less was remembered.
    fn is_rollback(&self) -> bool {
        let words = ["ersion", "missing info", "Missing file"];
        words.iter().any(|word| self.said.contains(word))
    }
}

/// Whether an answer is a file.
fn is_file(found: &str) -> bool {
    found != "none" && !found.starts_with("error")
}

impl Case {
    /// The case of a seed.
    #[must_use]
    pub fn new(seed: u64, now: Timestamp) -> Self {
        let chance = &mut Rng::with_seed(seed);
        let mut scene = Scene::honest(chance, now);
        let honest = scene.files();
        let root = honest.get("1.root.json").cloned().unwrap_or_default();
        let mut first = scene.clone();
        if chance.u8(..) < 100 {
            bend::bend(&mut first, chance, now);
        }
        let mut first = first.files();
        if chance.u8(..) < 40 {
            bend::spoil(&mut first, &honest, chance);
        }
        scene.evolve(chance);
        if chance.u8(..) < 230 {
            bend::bend(&mut scene, chance, now);
        }
        let mut second = scene.files();
        if chance.u8(..) < 60 {
            bend::spoil(&mut second, &first, chance);
        }
        Self { root, steps: vec![first, second], paths: bend::paths(chance) }
    }

    /// The documents that our client came to believe at a moment, as a repository of their own.
    fn believed(&self, (number, own): (usize, &Step)) -> Self {
        let shown = self.steps.get(number).cloned().unwrap_or_default();
        let mut files: Files = shown.into_iter().filter(|(name, _)| name.ends_with(".root.json")).collect();
        let read = |bytes: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
        let root = own.kept.get("root.json").map(read).unwrap_or_default();
        let consistent = root.pointer("/signed/consistent_snapshot") == Some(&true.into());
        for (name, bytes) in own.kept.iter().filter(|(name, _)| *name != "root.json") {
            let version = read(bytes).pointer("/signed/version").and_then(serde_json::Value::as_u64);
            let versioned = version.filter(|_| consistent && name != "timestamp.json");
            let name = versioned.map_or_else(|| name.clone(), |version| format!("{version}.{name}"));
            files.insert(name, bytes.clone());
        }
        Self { root: self.root.clone(), steps: vec![files], paths: self.paths.clone() }
    }

    fn line(&self) -> String {
        let encoded = |files: &Files| {
            files
                .iter()
                .map(|(name, bytes)| (name.clone(), STANDARD.encode(bytes).into()))
                .collect::<serde_json::Map<_, _>>()
        };
        let steps: Vec<_> = self.steps.iter().map(encoded).collect();
        json!({"root": STANDARD.encode(&self.root), "steps": steps, "paths": self.paths}).to_string()
    }
}

/// Another client in a process of its own.
#[derive(Debug)]
pub struct Judge {
    /// Its name and version.
    pub name: String,
    child: Child,
    cases: Option<ChildStdin>,
    verdicts: BufReader<ChildStdout>,
}

impl Judge {
    /// Starts all judges.
    ///
    /// # Errors
    /// One is not installed: its name, and how to install it.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        JUDGES.into_iter().map(Self::start).collect()
    }

    fn start((name, runs, flag, text, cure): (&str, &str, &str, &str, &str)) -> anyhow::Result<Self> {
        let absent = || format!("the judge {name} is not there ({cure})");
        let runs = look_up(runs).with_context(absent)?;
        let mut child = program(runs)
            .args([flag, text])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(absent)?;
        let (cases, verdicts) = (child.stdin.take(), child.stdout.take().context("its output is piped")?);
        let mut judge = Self { name: String::new(), child, cases, verdicts: BufReader::new(verdicts) };
        judge.name = judge.read().with_context(absent)?;
        ensure!(judge.name.starts_with(name), absent());
        Ok(judge)
    }

    fn read(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.verdicts.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} has stopped", self.name);
        Ok(line.trim_end().to_owned())
    }

    fn judge(&mut self, line: &str) -> anyhow::Result<Vec<Step>> {
        let cases = self.cases.as_mut().context("it takes cases until it ends")?;
        writeln!(cases, "{line}")?;
        let said = self.read()?;
        serde_json::from_str(&said).with_context(|| format!("{} said {said}", self.name))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // At the end of its input it ends by itself.
        drop(self.cases.take());
        let _ = self.child.wait();
    }
}

/// What became of a number of cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Moments that were judged.
    pub moments: u64,
    /// Moments that all clients believe.
    pub all_accept: u64,
    /// Moments that no client believes.
    pub all_refuse: u64,
    /// Moments that we refuse and somebody believes.
    pub only_we_refuse: u64,
    /// Files that all clients find, and find the same.
    pub files: u64,
    /// What a judge believes with us only if it remembers nothing of the moment before.
    pub remembered: u64,
    /// What we accept and no judge does, with the seed of its case.
    pub faults: Vec<String>,
}

/// A moment that we believe in a way in which no judge does.
#[derive(Clone, Debug)]
struct Doubt {
    number: usize,
    rollback: bool,
    said: String,
}

impl Tally {
    /// Adds a case, and returns what no judge believes with us.
    fn add(&mut self, case: &Case, ours: &[Step], theirs: &[Vec<Step>]) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        for (number, our) in ours.iter().enumerate() {
            let others: Vec<&Step> = theirs.iter().filter_map(|steps| steps.get(number)).collect();
            let believing = others.iter().filter(|step| step.refreshed).count();
            self.moments += 1;
            self.all_accept += u64::from(our.refreshed && believing == others.len());
            self.all_refuse += u64::from(!our.refreshed && believing == 0);
            self.only_we_refuse += u64::from(!our.refreshed && believing > 0);
            if our.refreshed && believing == 0 {
                let said: Vec<&str> = others.iter().map(|step| step.said.as_str()).collect();
                let said = format!("we believe what all refuse: {}", said.join("; "));
                // Of a moment that we refused there is nothing to remember.
                let before = number.checked_sub(1).and_then(|before| ours.get(before));
                let remembers = !our.forgot && before.is_some_and(|step| step.refreshed);
                let rollback = remembers && others.iter().any(|step| step.is_rollback());
                doubts.push(Doubt { number, rollback, said });
                continue;
            }
            for (place, (path, found)) in case.paths.iter().zip(&our.found).enumerate() {
                let answers: Vec<&str> =
                    others.iter().filter_map(|step| step.found.get(place).map(String::as_str)).collect();
                if !is_file(found) {
                    continue;
                }
                self.files += u64::from(answers.iter().all(|answer| answer == found));
                if !answers.contains(&found.as_str()) {
                    let said = format!("of {path:?} we believe {found}, they say {answers:?}");
                    doubts.push(Doubt { number, rollback: false, said });
                }
            }
        }
        doubts
    }
}

/// Judges the cases of these seeds; `ours` is our verdict.
///
/// Where no judge believes with us at the second moment, judges that remember nothing are shown the documents that we came
/// to believe. If one then believes the same, the proof is good and only what was kept from before differs: a judge takes
/// a kept snapshot without its hash and then misses files, or keeps what a root with new online keys makes us forget. That
/// is counted and is no fault, unless they had refused a rollback that we should have remembered.
///
/// # Errors
/// A judge has stopped.
pub fn compare(
    judges: &mut [Judge],
    seeds: impl IntoIterator<Item = u64>,
    ours: impl Fn(&Case) -> Vec<Step>,
    now: Timestamp,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for seed in seeds {
        let case = Case::new(seed, now);
        let (own, theirs) = (ours(&case), judged(judges, &case)?);
        for Doubt { number, rollback, said } in tally.add(&case, &own, &theirs) {
            let own = own.get(number).context("it was just doubted")?;
            let again = judged(judges, &case.believed((number, own)))?;
            let borne_out = again.iter().flatten().any(|step| step.bears_out(own));
            if number > 0 && borne_out && !rollback {
                tally.remembered += 1;
            } else {
                tally.faults.push(format!("seed {seed}, moment {number}: {said}"));
            }
        }
    }
    Ok(tally)
}

/// What each judge says of a case.
fn judged(judges: &mut [Judge], case: &Case) -> anyhow::Result<Vec<Vec<Step>>> {
    let line = case.line();
    judges.iter_mut().map(|judge| judge.judge(&line)).collect()
}

/// The time by the machine's clock, which the judges go by.
#[must_use]
pub fn now() -> Timestamp {
    Clock::system().now()
}

/// The rounds of `soak tuf-oracles`.
#[derive(Debug)]
pub struct Oracles {
    judges: Vec<Judge>,
}

impl Oracles {
    /// Starts the judges.
    ///
    /// # Errors
    /// One is not installed.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { judges: Judge::all()? })
    }
}

/// The seeds of one round.
fn seeds(seed: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |number| seed.wrapping_add(number))
}

impl Rounds for Oracles {
    fn title(&self) -> &'static str {
        "TUF: spoilt repositories judged by two other clients"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let now = now();
        let tally = compare(&mut self.judges, seeds(seed, ROUND), |case| ours::strictly(case, now), now)?;
        let counts = vec![
            ("spoilt repositories", ROUND),
            ("moments that were judged", tally.moments),
            ("moments that all three believe", tally.all_accept),
            ("moments that all three refuse", tally.all_refuse),
            ("moments that only we refuse, or one judge with us", tally.only_we_refuse),
            ("files that all three find alike", tally.files),
            ("answers that differ by what was kept from before", tally.remembered),
            ("accepted by us and by no judge", u64::try_from(tally.faults.len())?),
        ];
        let fault = (!tally.faults.is_empty()).then(|| tally.faults.join("\n"));
        Ok(Outcome { counts, fault })
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        let now = now();
        let names: Vec<&str> = self.judges.iter().map(|judge| judge.name.as_str()).collect();
        let names = names.join(" and ");
        for number in seeds(seed, CONTROL) {
            let gullible = |case: &Case| ours::judge(case, &Gullible, now);
            let tally = compare(&mut self.judges, [number], gullible, now)?;
            if let Some(fault) = tally.faults.first() {
                return Ok(format!(
                    "a client that believes every signature, by {names}, after {} repositories: {fault}",
                    number.wrapping_sub(seed) + 1
                ));
            }
        }
        anyhow::bail!("a client that believes every signature was not found out in {CONTROL} repositories")
    }
}
