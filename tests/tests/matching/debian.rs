//! Made-up Debians: debsecan and our matcher on the same facts, each in the form that it reads.

use std::collections::BTreeSet;
use std::path::Path;

use cordon_server_core::matching::ecosystem::Ecosystem;
use cordon_server_core::matching::index::{Builder, Index};
use cordon_server_core::matching::{debian, osv};
use cordon_sim::debsecan::world::{Inventory, Packages, SUITES, World};
use cordon_sim::debsecan::{Judge, Line, Ours, Pair, Tally, feed, ours};
use cordon_sim::skip::require_package;
use fastrand::Rng;

use super::say;

/// Worlds, machines of each suite in one, source packages of one.
const WORLDS: usize = 4;
const MACHINES: usize = 5;
const SOURCES: usize = 60;

/// The three forms in which our matcher reads a world.
fn indexes(world: &World) -> [(&'static str, Index); 3] {
    let read = |text: &str| {
        let mut builder = Builder::default();
        let counts = debian::read(text.as_bytes(), &mut |advisory| builder.add(&advisory).expect("few"));
        assert!(counts.expect("a feed").refused.is_empty(), "a statement was refused");
        builder.finish().expect("few")
    };
    let mut builder = Builder::default();
    for record in world.records() {
        builder.add(&osv::read(record.as_bytes()).expect("a record").advisory).expect("few");
    }
    let records = builder.finish().expect("few");
    [("tracker", read(&world.tracker())), ("table", read(&world.table())), ("OSV", records)]
}

/// What debsecan says of a machine.
fn theirs(judge: Judge<'_>, suite: usize, inventory: &Inventory) -> BTreeSet<Pair> {
    let status = judge.feeds.join("status");
    std::fs::write(&status, &inventory.status).expect("writes");
    let (name, _) = SUITES.get(suite).expect("a suite");
    judge.ask(name, &status).expect("debsecan judges")
}

fn lay(world: &World, folder: &Path) {
    for (suite, (name, _)) in SUITES.iter().enumerate() {
        std::fs::write(folder.join(name), feed(&world.lines(suite), &world.binaries(suite))).expect("writes");
    }
}

#[test]
fn made_up_machines_have_the_weaknesses_that_debsecan_lists() {
    // Goal: precision and recall are 1 on Debian's own judge. Method: worlds by chance, in each suite machines by chance;
    // debsecan on the tracker's feed, ours on the tracker's JSON, on a table and on OSV records; every pair compared.
    let Some(debsecan) = require_package("debsecan") else { return };
    let (mut machines, mut count, mut tallies) =
        (0, Inventory::default(), [(); 3].map(|()| Tally::default()));
    let mut weaknesses = 0;
    for _ in 0..WORLDS {
        let seed = fastrand::u64(..);
        let world = World::random(seed, SOURCES);
        let folder = tempfile::tempdir().expect("a folder");
        let judge = Judge { debsecan: &debsecan, feeds: folder.path() };
        lay(&world, folder.path());
        let indexes = indexes(&world);
        let mut rng = Rng::with_seed(seed);
        weaknesses += world.weaknesses();
        for (suite, (name, number)) in SUITES.iter().enumerate() {
            for _ in 0..MACHINES {
                let inventory = world.inventory(&mut rng, suite, Packages::Own);
                let theirs = theirs(judge, suite, &inventory);
                for ((form, index), tally) in indexes.iter().zip(&mut tallies) {
                    let Ours { affected, unknown, unjudged } =
                        ours(&inventory.status, &Ecosystem::debian(number), index);
                    assert!(unknown.is_empty() && unjudged == 0, "{form}, {name}, seed {seed}: {unknown:?}");
                    let found = Tally::of(&theirs, &affected);
                    assert!(found.is_alike(), "{form}, {name}, seed {seed}: {found:?}");
                    tally.add(found);
                }
                machines += 1;
                count.installed += inventory.installed;
                count.obsolete += inventory.obsolete;
                count.apart += inventory.apart;
                count.local += inventory.local;
            }
        }
    }
    say(&format!(
        "debsecan: {machines} machines of {} suites, {} packages ({} obsolete, {} with a version apart from their source's, {} \
         of no suite), {weaknesses} weaknesses",
        SUITES.len(),
        count.installed,
        count.obsolete,
        count.apart,
        count.local
    ));
    for (form, tally) in ["tracker", "table", "OSV"].iter().zip(&tallies) {
        say(&format!("debsecan beside ours on {form}: {tally}"));
        assert!(tally.both > 5_000, "{form}: only {} pairs say little", tally.both);
    }
    let traps = [count.obsolete, count.apart, count.local];
    assert!(traps.iter().all(|trap| *trap > 100), "a trap is missing: {traps:?}");
}

#[test]
fn the_judge_of_debian_tells_the_known_shortcuts_apart() {
    // Goal: the comparison above would notice. Method: the database bent as matchers in the field bend it (epoch lost, the
    // revision left out, binaries for sources, another release asked), the same judge: each must differ.
    let Some(debsecan) = require_package("debsecan") else { return };
    let seed = fastrand::u64(..);
    let world = World::random(seed, SOURCES * 2);
    let folder = tempfile::tempdir().expect("a folder");
    let judge = Judge { debsecan: &debsecan, feeds: folder.path() };
    lay(&world, folder.path());
    let index = &indexes(&world)[0].1;
    let mut rng = Rng::with_seed(seed);
    let version = |line: &str, bend: &dyn Fn(&str) -> String| match line.split_once(": ") {
        Some(("Version", version)) => format!("Version: {}", bend(version)),
        Some(("Source", source)) => match source.split_once(" (") {
            Some((name, version)) => format!("Source: {name} ({})", bend(version.trim_end_matches(')'))),
            None => line.to_owned(),
        },
        _ => line.to_owned(),
    };
    let no_epoch = |text: &str| text.split_once(':').map_or(text, |(_, rest)| rest).to_owned();
    let upstream = |text: &str| text.rsplit_once('-').map_or(text, |(front, _)| front).to_owned();
    let bent = |status: &str, bend: &dyn Fn(&str) -> String| {
        status.lines().map(|line| bend(line) + "\n").collect::<String>()
    };
    let no_source =
        |line: &str| if line.starts_with("Source: ") { "X: ".to_owned() } else { line.to_owned() };
    let mut tallies = [(); 5].map(|()| Tally::default());
    for (suite, (_, number)) in SUITES.iter().enumerate() {
        let inventory = world.inventory(&mut rng, suite, Packages::Own);
        let theirs = theirs(judge, suite, &inventory);
        let other = SUITES[(suite + 1) % SUITES.len()].1;
        let cases = [
            (inventory.status.clone(), number),
            (bent(&inventory.status, &|line| version(line, &no_epoch)), number),
            (bent(&inventory.status, &|line| version(line, &upstream)), number),
            (bent(&inventory.status, &no_source), number),
            (inventory.status.clone(), &other),
        ];
        for ((status, number), tally) in cases.iter().zip(&mut tallies) {
            tally.add(Tally::of(&theirs, &ours(status, &Ecosystem::debian(number), index).affected));
        }
    }
    let names = ["no shortcut", "epoch lost", "revision left out", "source left out", "another release"];
    for (name, tally) in names.iter().zip(&tallies) {
        say(&format!("shortcut: {name}: {tally}"));
        assert_eq!(tally.is_alike(), *name == "no shortcut", "{name}, seed {seed}");
    }
}

#[test]
fn what_dpkg_left_half_way_counts_although_debsecan_leaves_it_out() {
    // Goal: files on the disk can be attacked, in whatever state dpkg left them. Method: one package in each state.
    let Some(debsecan) = require_package("debsecan") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let judge = Judge { debsecan: &debsecan, feeds: folder.path() };
    let line = Line {
        weakness: "CVE-2024-0001".to_owned(),
        source: "pump".to_owned(),
        flags: [' ', ' ', 'F'],
        unstable: "2-1".to_owned(),
        other: Vec::new(),
    };
    std::fs::write(folder.path().join("bookworm"), feed(&[line], &[])).expect("writes");
    let states = [
        "installed",
        "unpacked",
        "half-installed",
        "half-configured",
        "triggers-awaited",
        "triggers-pending",
        "config-files",
        "not-installed",
    ];
    let entry = |state: &&str| {
        format!(
            "Package: in-{state}\nStatus: install ok {state}\nArchitecture: all\nSource: pump\nVersion: 1-1\n\n"
        )
    };
    let status: String = states.iter().map(entry).collect();
    let inventory = Inventory { status, ..Inventory::default() };
    let theirs = theirs(judge, 3, &inventory);
    let table = "release,source,cve,fixed_version,advisory\nbookworm,pump,CVE-2024-0001,2-1,\n";
    let mut builder = Builder::default();
    debian::read(table.as_bytes(), &mut |advisory| builder.add(&advisory).expect("one")).expect("a table");
    let index = builder.finish().expect("one");
    let ours = ours(&inventory.status, &Ecosystem::debian("12"), &index).affected;
    let binaries =
        |pairs: &BTreeSet<Pair>| pairs.iter().map(|(_, binary)| binary.clone()).collect::<BTreeSet<_>>();
    let named = |states: &[&str]| states.iter().map(|state| format!("in-{state}")).collect::<BTreeSet<_>>();
    assert_eq!(binaries(&theirs), named(&states[..1]));
    assert_eq!(binaries(&ours), named(&states[..6]));
}

#[test]
fn a_suite_without_a_feed_is_loud_on_both_sides() {
    // Goal: silence is no clean bill. Method: a machine of a suite of which nothing is there.
    let Some(debsecan) = require_package("debsecan") else { return };
    let world = World::random(7, 10);
    let folder = tempfile::tempdir().expect("a folder");
    let judge = Judge { debsecan: &debsecan, feeds: folder.path() };
    let inventory = world.inventory(&mut Rng::with_seed(7), 3, Packages::Own);
    let status = folder.path().join("status");
    std::fs::write(&status, &inventory.status).expect("writes");
    let refused = judge.ask("bookworm", &status).expect_err("no feed");
    assert!(refused.to_string().contains("while downloading"), "{refused}");
    let other =
        format!("release,source,cve,fixed_version,advisory\n{},pump,CVE-2024-0001,2-1,\n", SUITES[0].0);
    let mut builder = Builder::default();
    debian::read(other.as_bytes(), &mut |advisory| builder.add(&advisory).expect("one")).expect("a table");
    let said = ours(&inventory.status, &Ecosystem::debian("12"), &builder.finish().expect("one"));
    assert!(said.affected.is_empty() && said.unjudged > 0, "{said:?}");
}
