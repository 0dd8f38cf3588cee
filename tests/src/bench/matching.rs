//! `bench match`: a device of 1,000 packages held against 200,000 ranges, beside debsecan on the same facts.
//!
//! A made-up Debian in both forms: the tracker's JSON for us, debsecan's own feed for debsecan. What is measured is reading
//! the feed into an index (time and resident memory), asking it about one device, and asking about one new advisory on
//! 10,000 devices: each of them in turn, and as a server does, through what is installed, each distinct thing once. Both sides must list the same pairs. debsecan reads its feed anew each time, so its figure stands
//! beside reading and asking together. Read next: `debsecan/world.rs`.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_server_core::exposure::topic::devices_with;
use cordon_server_core::exposure::{self, Holdings, Word};
use cordon_server_core::feeds::intake;
use cordon_server_core::matching::advisory::{Advisory, Affected, Range, Stated};
use cordon_server_core::matching::component::ComponentSet;
use cordon_server_core::matching::ecosystem::Ecosystem;
use cordon_server_core::matching::index::{Builder, Full, Index};
use cordon_server_core::matching::verdict::Answer;
use cordon_server_core::matching::{debian, dpkg};
use fastrand::Rng;
use serde_json::json;
use tokio::time::Instant;

use super::footprint::Footprint;
use crate::command::Folder;
use crate::debsecan::world::{Packages, SUITES, World};
use crate::debsecan::{Judge, Pair, Tally, feed, ours};
use crate::program::program;
use crate::skip::require_package;

/// Source packages of the world: about 200,000 statements with a range.
const SOURCES: usize = 8_500;
/// Ranges that there must be at least.
const RANGES: usize = 200_000;
/// Packages of the device.
const PACKAGES: usize = 1_000;
/// The suite of the device.
const SUITE: usize = 3;
/// Devices of the fleet, and different inventories among them; images of a server's fleet.
const DEVICES: usize = 10_000;
const IMAGES: usize = 200;
const KINDS: usize = 10;
/// Repetitions; the best counts.
const ROUNDS: usize = 11;

/// The bars: asking about a device, reading the feed, its memory, a new advisory for the fleet.
const BAR_MATCH: Duration = Duration::from_millis(20);
const BAR_INDEX: Duration = Duration::from_secs(2);
const BAR_MIB: f64 = 200.0;
const BAR_FLEET: Duration = Duration::from_secs(1);

/// Runs both sides.
pub fn run() -> anyhow::Result<()> {
    let debsecan =
        require_package("debsecan").context("debsecan is the peer: install the package debsecan")?;
    let world = World::random(200, SOURCES);
    let folder = Folder::open(None)?;
    let (suite, number) = SUITES.get(SUITE).copied().context("a suite")?;
    std::fs::write(folder.path().join(suite), feed(&world.lines(SUITE), &world.binaries(SUITE)))?;
    let status = entries(&world.inventory(&mut Rng::with_seed(1), SUITE, Packages::Own).status, PACKAGES);
    let file = folder.path().join("status");
    std::fs::write(&file, &status)?;
    let place = Ecosystem::debian(number);
    let text = world.tracker();
    let json = folder.path().join("tracker.json");
    std::fs::write(&json, &text)?;
    let begun = Instant::now();
    let (index, ranges) = read(&text)?;
    let index_time = begun.elapsed();
    let mib = memory(&json)?;
    println!("a made-up Debian{}", if cfg!(debug_assertions) { " (a debug build)" } else { "" });
    println!(
        "{ranges} ranges of {} statements, {} MB of JSON",
        index.counts().statements,
        text.len() / 1_000_000
    );
    let set = ComponentSet::new(dpkg::read(&status, &place).components);
    let asked = best(|| index.matches(black_box(&set)).verdicts.len());
    let said = ours(&status, &place, &index);

    let judge = Judge { debsecan: &debsecan, feeds: folder.path() };
    let (theirs, debsecan_time) = peer(|| judge.ask(suite, &file))?;
    let tally = Tally::of(&theirs, &said.affected);
    println!("{} source packages of {PACKAGES} packages: {tally}", set.items().len());
    ensure!(tally.is_alike() && said.unknown.is_empty(), "the two sides differ");

    let fleet = fleet(&place)?;
    let server = server_way(&world, &text, &place)?;
    println!("\n{:<58} {:>10}", "", "ms");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{:<58} {:>10.2}", "cordon: the tracker's JSON read into an index", ms(index_time));
    println!("{:<58} {:>10.2}", "cordon: the device asked about", ms(asked));
    println!("{:<58} {:>10.2}", "debsecan: its feed read and the device asked about", ms(debsecan_time));
    println!("{:<58} {:>10.2}", "cordon: one new advisory, 10,000 devices, each asked", ms(fleet));
    println!("{:<58} {:>10.2}", "server: the feed with one advisory more read into a world", ms(server.read));
    println!(
        "{:<58} {:>10.2}",
        "server: the packages that are installed asked anew, once each",
        ms(server.asked)
    );
    println!(
        "{:<58} {:>10.2}",
        "server: from the advisory to its devices, each with evidence",
        ms(server.found)
    );
    println!("the index: {mib:.1} MiB resident");
    ensure!(ranges >= RANGES, "only {ranges} ranges");
    for (what, held) in [
        ("a device", asked < BAR_MATCH),
        ("the index", index_time <= BAR_INDEX),
        ("its memory", mib <= BAR_MIB),
        ("a new advisory", fleet < BAR_FLEET),
        ("a new advisory on a server, its feed read", server.asked + server.found < BAR_FLEET),
    ] {
        println!("{} {what}", if held { "held" } else { "MISSED" });
        ensure!(held, "a bar was missed: {what}");
    }
    Ok(())
}

/// The first entries of a database.
pub(super) fn entries(status: &str, count: usize) -> String {
    let mut text = String::new();
    for entry in status.split_inclusive("\n\n").filter(|entry| entry.contains(" installed\n")).take(count) {
        text.push_str(entry);
    }
    text
}

/// The index of a feed, and its number of ranges.
fn read(text: &str) -> anyhow::Result<(Index, usize)> {
    let (mut builder, mut ranges) = (Builder::default(), 0);
    let mut taken: Result<(), Full> = Ok(());
    debian::read(text.as_bytes(), &mut |advisory| {
        ranges += advisory.affected.iter().map(|affected| affected.ranges.len()).sum::<usize>();
        if taken.is_ok() {
            taken = builder.add(&advisory);
        }
    })?;
    taken?;
    Ok((builder.finish()?, ranges))
}

/// The feed in a file, to be read by a process that has done nothing before: its memory is the index's.
#[derive(Clone, Debug, Args)]
pub struct Task {
    /// The tracker's JSON.
    pub feed: PathBuf,
}

/// Reads a feed into an index and prints MiB that it holds.
pub fn side(task: &Task) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&task.feed)?;
    let resident = || Footprint::of(std::process::id()).map(|footprint| footprint.anon_kib);
    let before = resident()?;
    let index = read(&text)?;
    println!("{:.1}", resident()?.saturating_sub(before) as f64 / 1024.0);
    drop(black_box(index));
    Ok(())
}

/// MiB of the index, as a process of its own measures them.
fn memory(feed: &Path) -> anyhow::Result<f64> {
    let output = program(std::env::current_exe()?).arg("match-side").arg(feed).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.trim().parse().context("a figure")
}

/// The shortest of several runs.
fn best(run: impl Fn() -> usize) -> Duration {
    let times = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        black_box(run());
        begun.elapsed()
    });
    times.min().unwrap_or_default()
}

/// The peer's answer and its shortest run of three.
fn peer(run: impl Fn() -> anyhow::Result<BTreeSet<Pair>>) -> anyhow::Result<(BTreeSet<Pair>, Duration)> {
    let mut best: Option<(BTreeSet<Pair>, Duration)> = None;
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = run()?;
        let took = begun.elapsed();
        if best.as_ref().is_none_or(|(_, known)| took < *known) {
            best = Some((answer, took));
        }
    }
    best.context("a run")
}

/// What a new advisory costs a server.
struct ServerWay {
    /// Reading the whole feed again.
    read: Duration,
    /// Asking about everything that is installed, each distinct thing once.
    asked: Duration,
    /// From the advisory to its devices.
    found: Duration,
}

/// A server's fleet of as many devices of many images, and a feed that says one thing more than before.
fn server_way(made: &World, text: &str, place: &Ecosystem) -> anyhow::Result<ServerWay> {
    let mut rng = Rng::with_seed(3);
    let mut holdings = Holdings::default();
    let inventories: Vec<Inventory> = (0..IMAGES)
        .map(|_| {
            let status = entries(&made.inventory(&mut rng, SUITE, Packages::Own).status, PACKAGES);
            inventory(&ComponentSet::new(dpkg::read(&status, place).components), place)
        })
        .collect();
    for (number, inventory) in (0_u128..).zip(inventories.iter().cycle().take(DEVICES)) {
        holdings.put(DeviceId::from_bytes(number.to_be_bytes()), inventory);
    }
    let counts = holdings.counts();
    println!(
        "a server's fleet: {} devices, {} compositions, {} distinct components",
        counts.devices, counts.compositions, counts.components
    );
    let (_, component) = holdings.components().next().context("a package")?;
    let (suite, _) = SUITES.get(SUITE).copied().context("a suite")?;
    let open = json!({"status": "open", "urgency": "low", "repositories": {suite: "1"}});
    let new =
        json!({component.name.as_str(): {"CVE-2026-0001": {"scope": "local", "releases": {suite: open}}}});
    let begun = Instant::now();
    let (mut builder, mut tally) = (exposure::Builder::default(), intake::Tally::default());
    builder.debian(text.as_bytes(), &mut tally)?;
    builder.debian(new.to_string().as_bytes(), &mut tally)?;
    let world = builder.finish()?;
    let read = begun.elapsed();
    let begun = Instant::now();
    let hits: usize = holdings.components().map(|(_, component)| world.ask(component).hits.len()).sum();
    let asked = begun.elapsed();
    let begun = Instant::now();
    let topic = world.topic("CVE-2026-0001").context("the advisory is known")?;
    let rows = world.components_about(&holdings, &topic);
    let devices = devices_with(&holdings, &rows);
    let found = begun.elapsed();
    let affected = devices.values().filter(|(_, row)| row.answer == Word::Affected).count();
    println!(
        "{hits} weaknesses of components; the new advisory is about {} devices, {affected} have it",
        devices.len()
    );
    ensure!(affected > 0 && affected < DEVICES, "everybody or nobody is affected: nothing was told apart");
    Ok(ServerWay { read, asked, found })
}

/// The inventory that an agent would send of these packages.
fn inventory(set: &ComponentSet, place: &Ecosystem) -> Inventory {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let mut rows = Vec::new();
    for component in set.items() {
        for binary in &component.binaries {
            let version = component.version.as_str();
            let key = format!("deb/{binary}/arm64");
            rows.push(row(Section::Package, &key, &[version, component.name.as_str(), version]));
        }
    }
    rows.push(row(Section::System, "id", &["debian"]));
    rows.push(row(Section::System, "version-id", &[place.release().unwrap_or_default()]));
    Inventory::new(rows)
}

/// One advisory that is new, and all devices asked about it.
fn fleet(place: &Ecosystem) -> anyhow::Result<Duration> {
    let world = World::random(201, SOURCES);
    let mut rng = Rng::with_seed(2);
    let kinds: Vec<ComponentSet> = (0..KINDS)
        .map(|_| {
            let status = entries(&world.inventory(&mut rng, SUITE, Packages::Own).status, PACKAGES);
            ComponentSet::new(dpkg::read(&status, place).components)
        })
        .collect();
    let component = kinds.first().and_then(|set| set.items().first()).context("a package")?;
    let affected = Affected {
        ecosystem: place.clone(),
        name: component.name.clone(),
        state: Stated::ByVersion,
        ranges: vec![Range::below(None)],
        versions: Vec::new(),
    };
    let advisory =
        Advisory { id: "CVE-2026-0001".to_owned(), affected: vec![affected], ..Advisory::default() };
    let index = Index::build([&advisory])?;
    let has = |set: &&ComponentSet| {
        let mut verdicts = index.matches(set).verdicts.into_iter();
        verdicts.any(|verdict| matches!(verdict.answer, Answer::Affected { .. }))
    };
    let begun = Instant::now();
    let affected = kinds.iter().cycle().take(DEVICES).filter(has).count();
    let took = begun.elapsed();
    println!(
        "one new advisory: {affected} of {DEVICES} devices are affected, {KINDS} inventories among them"
    );
    ensure!(affected > 0, "nobody is affected: nothing was asked");
    Ok(took)
}
