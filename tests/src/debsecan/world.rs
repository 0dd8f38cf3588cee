//! A Debian made up by chance: source packages, what each suite published of them, and weaknesses with their repairs.
//!
//! Versions are made in order, so that the world knows which is newer without comparing texts. It holds what matchers trip
//! over: epochs that come and upstream parts that fall back, numbers that lose a digit's place (9, 10), `~rc`, `+dfsg`,
//! repairs of old suites below the one of unstable, packages that did not change between two suites, suites that lack a
//! package, weaknesses that never were in one suite. It is written in every form that matchers read: [`World::tracker`],
//! [`World::table`], [`World::records`], [`World::lines`]. Read next: `inventory.rs`, what of it is installed.

use std::fmt::Write as _;

use cordon_server_core::matching::debian::COLUMNS;
use cordon_server_core::matching::ecosystem::Ecosystem;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::Line;

mod chain;
mod inventory;

pub use self::inventory::{Inventory, Packages};

/// The suites, oldest first, with their numbers.
pub const SUITES: [(&str, &str); 5] =
    [("stretch", "9"), ("buster", "10"), ("bullseye", "11"), ("bookworm", "12"), ("trixie", "13")];
/// Where unstable stands behind them.
const UNSTABLE: usize = SUITES.len();

/// A Debian.
#[derive(Clone, Debug)]
pub struct World {
    sources: Vec<Source>,
}

/// A source package.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    binaries: Vec<Binary>,
    /// What each suite published, and last unstable; oldest first. Empty where it is not part of the suite.
    chains: Vec<Vec<Published>>,
    weaknesses: Vec<Weakness>,
}

/// A binary package.
#[derive(Clone, Debug)]
struct Binary {
    name: String,
    /// The first suite that no longer builds it.
    gone_from: usize,
}

/// A published version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    version: String,
    /// Its place among all versions of its package.
    rank: usize,
}

/// A weakness of one source package.
#[derive(Clone, Debug)]
struct Weakness {
    id: String,
    unstable: Repair,
    /// What is said of single suites, against what unstable says.
    notes: Vec<Option<Note>>,
    /// No effect on what the package builds: debsecan does not list it.
    unimportant: bool,
    flags: [char; 2],
}

/// What is said of unstable, and so of all suites without a note.
#[derive(Clone, Debug)]
enum Repair {
    At(Published),
    Never,
    Open,
}

/// What is said of one suite.
#[derive(Clone, Copy, Debug)]
enum Note {
    /// Repaired by this of its versions.
    At(usize),
    Never,
}

/// How a weakness stands in one suite.
enum State<'a> {
    Resolved(&'a str),
    Never,
    Open,
}

impl World {
    /// A world of so many source packages.
    #[must_use]
    pub fn random(seed: u64, sources: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut next = 0;
        Self { sources: (0..sources).map(|at| Source::random(&mut rng, at, &mut next)).collect() }
    }

    /// How many weaknesses it has.
    #[must_use]
    pub fn weaknesses(&self) -> usize {
        self.sources.iter().map(|source| source.weaknesses.len()).sum()
    }

    /// The tracker's JSON.
    #[must_use]
    pub fn tracker(&self) -> String {
        let mut all = Map::new();
        for source in &self.sources {
            let mut weaknesses = Map::new();
            for weakness in &source.weaknesses {
                let mut releases = Map::new();
                for (place, name, _) in places() {
                    let Some(state) = source.state(weakness, place) else { continue };
                    let (status, fixed) = match state {
                        State::Resolved(version) => ("resolved", Some(version)),
                        State::Never => ("resolved", Some("0")),
                        State::Open => ("open", None),
                    };
                    let urgency = if weakness.unimportant { "unimportant" } else { "not yet assigned" };
                    let mut release =
                        json!({"status": status, "urgency": urgency, "repositories": {name: "1"}});
                    if let (Some(fixed), Some(release)) = (fixed, release.as_object_mut()) {
                        release.insert("fixed_version".to_owned(), fixed.into());
                    }
                    releases.insert(name.to_owned(), release);
                }
                weaknesses.insert(weakness.id.clone(), json!({"scope": "local", "releases": releases}));
            }
            all.insert(source.name.clone(), Value::Object(weaknesses));
        }
        Value::Object(all).to_string()
    }

    /// A table of repairs, a row a release.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{COLUMNS}\n");
        for (source, weakness) in self.important() {
            for (place, name, _) in places() {
                let cell = match source.state(weakness, place) {
                    None => continue,
                    Some(State::Resolved(version)) => version,
                    Some(State::Never) => "<not-affected>",
                    Some(State::Open) => "<unfixed>",
                };
                let _ = writeln!(text, "{name},{},{},{cell},", source.name, weakness.id);
            }
        }
        text
    }

    /// OSV records: of a weakness under its own name, or of an advisory that repairs it.
    #[must_use]
    pub fn records(&self) -> Vec<String> {
        let mut records = Vec::new();
        for (at, (source, weakness)) in self.important().enumerate() {
            let mut affected = Vec::new();
            for (place, _, number) in places() {
                let mut events = vec![json!({"introduced": "0"})];
                match source.state(weakness, place) {
                    None | Some(State::Never) => continue,
                    Some(State::Resolved(version)) => events.push(json!({"fixed": version})),
                    Some(State::Open) => {}
                }
                affected.push(json!({
                    "package": {"ecosystem": Ecosystem::debian(number).to_string(), "name": source.name},
                    "ranges": [{"type": "ECOSYSTEM", "events": events}],
                }));
            }
            let record = match at % 3 {
                0 => json!({"id": weakness.id, "affected": affected}),
                1 => json!({"id": format!("DSA-{at}-1"), "upstream": [weakness.id], "affected": affected}),
                _ => {
                    json!({"id": format!("DEBIAN-{}", weakness.id), "aliases": [weakness.id], "affected": affected})
                }
            };
            records.push(record.to_string());
        }
        records
    }

    /// debsecan's feed for a suite, by the tracker's own rules. Every version that a suite published counts as still there:
    /// the tracker forgets those that an update replaced, and debsecan then calls them weak for good.
    #[must_use]
    pub fn lines(&self, suite: usize) -> Vec<Line> {
        let line = |(source, weakness): (&Source, &Weakness)| {
            let unstable = match &weakness.unstable {
                Repair::At(published) => published.version.clone(),
                Repair::Open => String::new(),
                Repair::Never => return None,
            };
            let mut other = Vec::new();
            for (chain, note) in source.chains.iter().zip(&weakness.notes) {
                let first = match note {
                    None => continue,
                    Some(Note::At(first)) => *first,
                    Some(Note::Never) => 0,
                };
                other.extend(chain.iter().skip(first).map(|published| published.version.clone()));
            }
            let repaired = matches!(source.state(weakness, suite), Some(State::Resolved(_)));
            let [urgency, reach] = weakness.flags;
            let flags = [urgency, reach, if repaired { 'F' } else { ' ' }];
            Some(Line { weakness: weakness.id.clone(), source: source.name.clone(), flags, unstable, other })
        };
        self.important().filter_map(line).collect()
    }

    /// Which binaries a suite builds, for the sources that build others than their own name alone.
    #[must_use]
    pub fn binaries(&self, suite: usize) -> Vec<(String, Vec<String>)> {
        let mut all = Vec::new();
        for source in &self.sources {
            let there = source.chains.get(suite).is_some_and(|chain| !chain.is_empty());
            let built = source.binaries.iter().filter(|binary| there && suite < binary.gone_from);
            let built: Vec<String> = built.map(|binary| binary.name.clone()).collect();
            if built.as_slice() != [source.name.as_str()] {
                all.push((source.name.clone(), built));
            }
        }
        all
    }

    fn important(&self) -> impl Iterator<Item = (&Source, &Weakness)> {
        let all = self
            .sources
            .iter()
            .flat_map(|source| source.weaknesses.iter().map(move |weakness| (source, weakness)));
        all.filter(|(_, weakness)| !weakness.unimportant)
    }
}

impl Source {
    fn random(rng: &mut Rng, at: usize, next: &mut usize) -> Self {
        let stem = rng.choice(["pump", "lib+ward", "x.monitor", "kiosk-"]).unwrap_or_default();
        let name = format!("{stem}{at}");
        let binary = |ending: &str, rng: &mut Rng| {
            let gone_from = if rng.u8(..5) == 0 { rng.usize(1..UNSTABLE) } else { usize::MAX };
            Binary { name: format!("{name}{ending}"), gone_from }
        };
        let mut binaries = vec![binary("", rng)];
        for ending in ["-2", "-data", "-utils"] {
            if rng.bool() {
                binaries.push(binary(ending, rng));
            }
        }
        if rng.u8(..4) == 0 {
            // Not every source builds a binary of its own name.
            binaries.rotate_left(1);
            binaries.truncate(binaries.len().saturating_sub(1).max(1));
        }
        let chains = chain::random(rng);
        let mut source = Self { name, binaries, chains, weaknesses: Vec::new() };
        for _ in 0..rng.usize(1..12) {
            *next += 1;
            let weakness = source.weakness(rng, format!("CVE-2024-{:04}", *next));
            source.weaknesses.push(weakness);
        }
        source
    }

    fn weakness(&self, rng: &mut Rng, id: String) -> Weakness {
        // What was in unstable once: where each suite began, and what came since.
        let firsts = self.chains.iter().take(UNSTABLE).filter_map(|chain| chain.first());
        let were: Vec<&Published> = firsts.chain(self.chains.iter().skip(UNSTABLE).flatten()).collect();
        let unstable = match rng.u8(..10) {
            0 => Repair::Never,
            1 | 2 => Repair::Open,
            _ => rng.choice(&were).map_or(Repair::Open, |published| Repair::At((*published).clone())),
        };
        let notes = (0..UNSTABLE).map(|suite| self.note(rng, suite, &unstable)).collect();
        let flags =
            [rng.choice([' ', 'L', 'M', 'H']), rng.choice(['?', 'R', ' '])].map(|flag| flag.unwrap_or(' '));
        Weakness { id, unstable, notes, unimportant: rng.u8(..12) == 0, flags }
    }

    /// A suite has a note only where unstable's repair came after everything that it published.
    fn note(&self, rng: &mut Rng, suite: usize, unstable: &Repair) -> Option<Note> {
        let chain = self.chains.get(suite)?;
        let top = chain.last()?;
        let later = match unstable {
            Repair::At(repair) => repair.rank > top.rank,
            Repair::Open => true,
            Repair::Never => false,
        };
        // A version that two suites share is either weak or not.
        let shared = self.chains.iter().filter(|other| other.first() == chain.first()).count() > 1;
        let first = usize::from(shared);
        match rng.u8(..10) {
            _ if !later => None,
            0 if !shared => Some(Note::Never),
            0..=5 if first < chain.len() => Some(Note::At(rng.usize(first..chain.len()))),
            _ => None,
        }
    }

    /// How a weakness stands in a suite; nothing where the suite lacks the package.
    fn state<'a>(&'a self, weakness: &'a Weakness, place: usize) -> Option<State<'a>> {
        let chain = self.chains.get(place)?;
        let top = chain.last()?;
        match weakness.notes.get(place).copied().flatten() {
            Some(Note::At(first)) => chain.get(first).map(|published| State::Resolved(&published.version)),
            Some(Note::Never) => Some(State::Never),
            None => Some(match &weakness.unstable {
                Repair::Never => State::Never,
                Repair::At(repair) if repair.rank <= top.rank => State::Resolved(&repair.version),
                Repair::At(_) | Repair::Open => State::Open,
            }),
        }
    }
}

/// All suites and unstable: place, name, number.
fn places() -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    SUITES
        .into_iter()
        .chain([("sid", "sid")])
        .enumerate()
        .map(|(place, (name, number))| (place, name, number))
}
