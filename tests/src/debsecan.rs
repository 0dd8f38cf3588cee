//! debsecan, Debian's own judge of what is installed, and the same question asked of our matcher.
//!
//! debsecan fetches one feed a suite and holds dpkg's database against it. Here the feed lies in a folder, written in the
//! form that the security tracker writes (`VERSION 1`, packed by zlib; debsecan(1), `calculateDebsecan1` of the tracker).
//! Both sides answer in pairs of a weakness and a binary package. Read next: [`world`], which makes up a Debian.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cordon_server_core::matching::component::ComponentSet;
use cordon_server_core::matching::dpkg;
use cordon_server_core::matching::ecosystem::Ecosystem;
use cordon_server_core::matching::index::Index;
use cordon_server_core::matching::verdict::Answer;

use crate::program::program;

pub mod trees;
pub mod world;

/// A weakness and a binary package that has it.
pub type Pair = (String, String);

/// debsecan, and the folder in which the feeds lie, each under its suite's name.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The program.
    pub debsecan: &'a Path,
    /// The folder.
    pub feeds: &'a Path,
}

/// A line of debsecan's feed: what is known of one weakness in one source package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The weakness.
    pub weakness: String,
    /// The source package.
    pub source: String,
    /// Urgency, reach and whether the suite has a repair: three letters of the format.
    pub flags: [char; 3],
    /// The version that repaired it in unstable; empty if none did.
    pub unstable: String,
    /// Versions of other branches that do not have it, one by one.
    pub other: Vec<String>,
}

/// What our matcher says of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// Pairs that it calls affected.
    pub affected: BTreeSet<Pair>,
    /// Pairs that it cannot judge.
    pub unknown: BTreeSet<Pair>,
    /// Source packages in an ecosystem of which it knows nothing.
    pub unjudged: usize,
}

/// How two sets of pairs stand to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Pairs that both list.
    pub both: usize,
    /// Pairs that only debsecan lists.
    pub only_theirs: Vec<Pair>,
    /// Pairs that only we list.
    pub only_ours: Vec<Pair>,
}

/// The feed of one suite; `binaries` are the source packages that build others than their own name alone.
#[must_use]
pub fn feed(lines: &[Line], binaries: &[(String, Vec<String>)]) -> Vec<u8> {
    let names: Vec<&str> =
        lines.iter().map(|line| line.weakness.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut text = String::from("VERSION 1\n");
    text.extend(names.iter().map(|name| format!("{name},,of a pump, and more\n")));
    text.push('\n');
    for Line { weakness, source, flags, unstable, other } in lines {
        let place = names.partition_point(|name| *name < weakness.as_str());
        let flags: String = flags.iter().collect();
        text.push_str(&format!("{source},{place},S{flags},{unstable},{}\n", other.join(" ")));
    }
    text.push('\n');
    text.extend(binaries.iter().map(|(source, names)| format!("{source},{}\n", names.join(" "))));
    text.push('\n');
    zlib(text.as_bytes())
}

impl Judge<'_> {
    /// What debsecan lists for dpkg's database `status`, by the feed of a suite.
    ///
    /// # Errors
    /// It cannot be started, or ends with an error: then its own words.
    pub fn ask(&self, suite: &str, status: &Path) -> Result<BTreeSet<Pair>> {
        let mut command = program(self.debsecan);
        // Neither what its configuration says nor what somebody put on a list of exceptions.
        command.args(["--config", "/nowhere", "--whitelist", "/nowhere", "--format", "simple"]);
        command.args(["--suite", suite, "--source"]).arg(format!("file://{}/", self.feeds.display()));
        let output = command.arg("--status").arg(status).output().context("debsecan cannot be started")?;
        ensure!(output.status.success(), "debsecan: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).context("debsecan speaks ASCII")?;
        let pair = |line: &str| match line.split_once(' ') {
            Some((weakness, binary)) => Ok((weakness.to_owned(), binary.to_owned())),
            None => bail!("debsecan says `{line}`"),
        };
        text.lines().map(pair).collect()
    }
}

/// What our matcher says of the same database.
#[must_use]
pub fn ours(status: &str, ecosystem: &Ecosystem, index: &Index) -> Ours {
    of_set(&ComponentSet::new(dpkg::read(status, ecosystem).components), index)
}

/// What our matcher says of components.
#[must_use]
pub fn of_set(set: &ComponentSet, index: &Index) -> Ours {
    let matches = index.matches(set);
    let mut ours = Ours { unjudged: matches.unjudged.values().sum(), ..Ours::default() };
    for verdict in &matches.verdicts {
        let pairs =
            verdict.component.binaries.iter().map(|binary| (verdict.group.to_owned(), binary.clone()));
        match verdict.answer {
            Answer::Affected { .. } => ours.affected.extend(pairs),
            Answer::Unknown(_) => ours.unknown.extend(pairs),
            Answer::Fixed | Answer::NotAffected => {}
        }
    }
    ours
}

impl Tally {
    /// Compares.
    #[must_use]
    pub fn of(theirs: &BTreeSet<Pair>, ours: &BTreeSet<Pair>) -> Self {
        Self {
            both: theirs.intersection(ours).count(),
            only_theirs: theirs.difference(ours).cloned().collect(),
            only_ours: ours.difference(theirs).cloned().collect(),
        }
    }

    /// Takes another one in.
    pub fn add(&mut self, other: Self) {
        self.both += other.both;
        self.only_theirs.extend(other.only_theirs);
        self.only_ours.extend(other.only_ours);
    }

    /// Whether both sides say the very same.
    #[must_use]
    pub fn is_alike(&self) -> bool {
        self.only_theirs.is_empty() && self.only_ours.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |of: usize| if of == 0 { 1.0 } else { self.both as f64 / of as f64 };
        let (theirs, ours) = (self.both + self.only_theirs.len(), self.both + self.only_ours.len());
        write!(
            f,
            "{theirs} pairs by debsecan, {ours} by us: precision {:.3}, recall {:.3}",
            share(ours),
            share(theirs)
        )
    }
}

/// A zlib stream that packs nothing (RFC 1950, stored blocks of RFC 1951): what it is read for is what it holds.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    // Adler-32.
    let sum = |(low, high): (u32, u32), byte: &u8| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    };
    let (low, high) = bytes.iter().fold((1, 0), sum);
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}
