//! The soak of real Debians: trees that debootstrap unpacks, asked by debsecan and by us over the agent's own inventory.
//!
//! A minimal system of each suite, with some of what devices carry, is fetched once and kept. A round draws a table of repairs
//! around the versions that are really installed, among them epochs and `~`, and asks both sides: debsecan dpkg's database, us the
//! inventory that the agent takes of the folder. Needs root, debootstrap and a mirror. Read next: [`super`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cordon_agent::host::{self, Root};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_server_core::matching::component::{Component, ComponentSet};
use cordon_server_core::matching::debian;
use cordon_server_core::matching::index::{Builder, Index};
use cordon_server_core::matching::inventory;

use super::{Judge, Line, Ours, Tally, feed, of_set};
use crate::command::Folder;
use crate::program::program;
use crate::skip::look_up;
use crate::soak::{Outcome, Rounds};

/// The suites that are unpacked.
const SUITES: [&str; 3] = ["bullseye", "bookworm", "trixie"];
/// What devices carry beside the smallest system.
const MORE: &str =
    "openssh-server,nginx-light,python3-minimal,curl,perl,sqlite3,iproute2,dnsmasq-base,samba-common";
/// Where packages come from.
const MIRROR: &str = "http://deb.debian.org/debian";

/// The rounds of `soak debian-trees`.
#[derive(Debug)]
pub struct Trees {
    folder: PathBuf,
    debsecan: PathBuf,
    round: u64,
}

/// What lies in one tree.
struct Tree {
    suite: &'static str,
    status: PathBuf,
    inventory: Inventory,
}

impl Trees {
    /// Where trees are kept, and the judge.
    ///
    /// # Errors
    /// A program is missing.
    pub fn new(folder: PathBuf) -> Result<Self> {
        ensure!(look_up("debootstrap").is_some(), "no debootstrap: install the package debootstrap");
        let debsecan = look_up("debsecan").context("no debsecan: install the package debsecan")?;
        Ok(Self { folder, debsecan, round: 0 })
    }

    /// The tree of a suite, fetched if it is not here yet, and its inventory as the agent takes it.
    fn tree(&self, suite: &'static str) -> Result<Tree> {
        let (ready, making) = (self.folder.join(suite), self.folder.join(format!("{suite}.part")));
        if !ready.exists() {
            std::fs::create_dir_all(&self.folder)?;
            if making.exists() {
                std::fs::remove_dir_all(&making)?;
            }
            let mut command = program("debootstrap");
            command.args(["--variant=minbase", &format!("--include={MORE}"), suite]).arg(&making).arg(MIRROR);
            let output = command.output().context("debootstrap cannot be started")?;
            let told = String::from_utf8_lossy(&output.stdout);
            let last: Vec<&str> = told.lines().rev().take(3).collect();
            ensure!(output.status.success(), "debootstrap of {suite}: {}", last.join("; "));
            std::fs::rename(&making, &ready)?;
        }
        let inventory = host::take(&Root::at(&ready)?);
        Ok(Tree { suite, status: ready.join("var/lib/dpkg/status"), inventory })
    }

    /// What both sides say, by a table drawn by chance; `bent` is what is done to the components before we are asked.
    fn ask(&self, tree: &Tree, seed: u64, bent: fn(Component) -> Component) -> Result<(Tally, usize, usize)> {
        let found = inventory::components(&tree.inventory);
        ensure!(
            found.place.is_ok() && found.not_understood == 0,
            "the agent's inventory of {} is not placed",
            tree.suite
        );
        let lines = table(&found.components, seed);
        let scratch = Folder::open(None)?;
        std::fs::write(scratch.path().join(tree.suite), feed(&lines, &[]))?;
        let judge = Judge { debsecan: &self.debsecan, feeds: scratch.path() };
        let theirs = judge.ask(tree.suite, &tree.status)?;
        let set = ComponentSet::new(found.components.into_iter().map(bent).collect());
        let Ours { affected, unknown, unjudged } = of_set(&set, &index(tree.suite, &lines)?);
        ensure!(unjudged == 0, "{unjudged} packages of {} are in no ecosystem of the table", tree.suite);
        let theirs: BTreeSet<_> = theirs.difference(&unknown).cloned().collect();
        Ok((Tally::of(&theirs, &affected), packages(&tree.inventory), unknown.len()))
    }
}

impl Rounds for Trees {
    fn title(&self) -> &'static str {
        "unpacked Debians, their weaknesses by debsecan and by us over the agent's inventory"
    }

    fn resume(&mut self, rounds: u64) {
        self.round = rounds;
    }

    fn play(&mut self, seed: u64) -> Result<Outcome> {
        let place = usize::try_from(self.round % SUITES.len() as u64)?;
        self.round += 1;
        let tree = self.tree(SUITES.get(place).copied().unwrap_or(SUITES[0]))?;
        let (tally, packages, unknown) = self.ask(&tree, seed, |component| component)?;
        let counts = vec![
            ("packages asked", u64::try_from(packages)?),
            ("pairs that both list", u64::try_from(tally.both)?),
            ("pairs that only debsecan lists", u64::try_from(tally.only_theirs.len())?),
            ("pairs that only we list", u64::try_from(tally.only_ours.len())?),
            ("pairs unknown to us", u64::try_from(unknown)?),
        ];
        let wrong = || {
            let some = tally.only_theirs.iter().chain(&tally.only_ours).take(3);
            format!("{}: {tally}: {:?}", tree.suite, some.collect::<Vec<_>>())
        };
        let fault = (!tally.is_alike() || tally.both == 0).then(wrong);
        Ok(Outcome { counts, fault })
    }

    fn control(&mut self, seed: u64) -> Result<String> {
        let tree = self.tree(SUITES[0])?;
        let without_epoch = |component: Component| {
            let version = component.version.split_once(':').map(|(_, rest)| rest.to_owned());
            Component { version: version.unwrap_or_else(|| component.version.clone()), ..component }
        };
        let (tally, ..) = self.ask(&tree, seed, without_epoch)?;
        ensure!(!tally.is_alike(), "an inventory that lost its epochs was not told apart");
        Ok(format!("an inventory of {} without epochs: {tally}", tree.suite))
    }
}

fn packages(inventory: &Inventory) -> usize {
    inventory.section(Section::Package).filter(|Row { key, .. }| key.as_str().starts_with("deb/")).count()
}

/// Weaknesses of what is installed: repaired before, by, and behind the very version, with other epochs, or never.
fn table(components: &[Component], seed: u64) -> Vec<Line> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let installed: BTreeSet<(&str, &str)> =
        components.iter().map(|component| (component.name.as_str(), component.version.as_str())).collect();
    let mut lines = Vec::new();
    for (source, version) in installed {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        for _ in 0..chance.usize(1..4) {
            let unstable = match chance.u8(..8) {
                0 => version.to_owned(),
                1 => format!("{version}~"),
                2 => format!("{version}+deb99u1"),
                3 => format!("{}:{rest}", epoch.parse::<u32>().unwrap_or(0) + 1),
                4 => format!("{epoch}:{rest}.1"),
                5 => rest.to_owned(),
                6 => String::new(),
                _ => format!("{epoch}:0~{rest}"),
            };
            let weakness = format!("CVE-2026-{:05}", 10_000 + lines.len());
            let flags = [' ', ' ', if unstable.is_empty() { ' ' } else { 'F' }];
            lines.push(Line { weakness, source: source.to_owned(), flags, unstable, other: Vec::new() });
        }
    }
    lines
}

/// The same table as our matcher reads it.
fn index(suite: &str, lines: &[Line]) -> Result<Index> {
    let mut table = format!("{}\n", debian::COLUMNS);
    for Line { weakness, source, unstable, .. } in lines {
        let fixed = if unstable.is_empty() { "<unfixed>" } else { unstable };
        table.push_str(&format!("{suite},{source},{weakness},{fixed},\n"));
    }
    let mut builder = Builder::default();
    let mut full = false;
    let counts = debian::read(table.as_bytes(), &mut |advisory| full |= builder.add(&advisory).is_err())?;
    ensure!(counts.refused.is_empty() && !full, "a row of the table was refused: {:?}", counts.refused);
    Ok(builder.finish()?)
}
