//! `bench delta`, a part of `bench firmware`: what a device fetches of a new image, beside casync and `zstd --patch-from`.
//!
//! Ours is the whole way: `cordonctl release sign --delta`, a real server, the shipped agent on the older image, a relay
//! that counts every byte between them (handshakes, reports and the receipt are in the figure), up to the confirmed image.
//! casync's figure is what its store gains and the index; its apply has the old image as seed. `zstd --patch-from` needs
//! the exact old image and much memory; it is the floor of what a delta can be, not a bar. The bars: not more bytes than
//! casync, and at most 32 MB resident. Read next: [`super::debian_pair`], decision 0012.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::sleep;

use super::agent_footprint;
use super::debian_pair::{self, Pair};
use super::footprint::{TICKS_PER_S, family_ticks};
use crate::command::Folder;
use crate::patched_pump::PatchedPump;
use crate::program::program;
use crate::skip::require_package;

/// Resident memory of the agent, KiB.
const MEMORY_BAR_KIB: u64 = 32 * 1024;
/// How long the device may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// One side's figures.
struct Row {
    name: &'static str,
    bytes: u64,
    make_s: f64,
    apply_s: f64,
    peak_kib: u64,
}

/// Runs the three sides.
pub fn run() -> anyhow::Result<()> {
    let casync = require_package("casync").context("casync is the peer: install the package casync")?;
    let zstd = require_package("zstd").context("zstd is the floor: install the package zstd")?;
    let agent = agent_footprint::build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Folder::open(None)?;
    let pair = debian_pair::make(folder.path())?;
    println!("{}", pair.title);
    let ours = runtime.block_on(ours(&agent, folder.path(), &pair))?;
    let theirs = by_casync(&casync, folder.path(), &pair)?;
    let floor = by_zstd(&zstd, folder.path(), &pair)?;
    println!("\n{:<46} {:>12} {:>8} {:>8} {:>10}", "", "bytes", "make s", "apply s", "peak KiB");
    for Row { name, bytes, make_s, apply_s, peak_kib } in [&ours, &theirs, &floor] {
        println!("{name:<46} {bytes:>12} {make_s:>8.2} {apply_s:>8.2} {peak_kib:>10}");
    }
    let fewer = ours.bytes <= theirs.bytes;
    let small = ours.peak_kib <= MEMORY_BAR_KIB;
    let ratio = ours.bytes as f64 / theirs.bytes as f64;
    println!("{} bytes beside casync: {ratio:.2}, at most 1", word(fewer));
    println!("{} resident memory of the agent: {} KiB, at most {MEMORY_BAR_KIB}", word(small), ours.peak_kib);
    ensure!(fewer && small, "a bar was missed");
    Ok(())
}

fn word(held: bool) -> &'static str {
    if held { "held  " } else { "MISSED" }
}

async fn ours(agent: &Path, folder: &Path, pair: &Pair) -> anyhow::Result<Row> {
    let sim = std::env::current_exe()?;
    let mut pump = PatchedPump::open(&sim, (agent, &[]), &folder.join("ours"), &pair.old).await?;
    let before = family_ticks(std::process::id())?;
    pump.release(&pair.new).await?;
    let make = family_ticks(std::process::id())? - before;
    pump.order().await?;
    let passed = pump.relay.passed();
    pump.machine.on();
    let (mut peak_kib, mut ticks) = (0, 0);
    while pump.machine.reboots() == 0 {
        if let Some(pid) = pump.machine.pid() {
            let (peak, now) = usage(pid);
            (peak_kib, ticks) = (peak_kib.max(peak), ticks.max(now));
        }
        sleep(Duration::from_millis(5)).await;
    }
    pump.confirmed(PATIENCE).await?;
    pump.machine.off();
    let bytes = pump.relay.passed() - passed;
    let same = std::fs::read(pump.slot("b"))? == std::fs::read(&pair.new)?;
    ensure!(same, "the slot holds something else");
    let told = pump.log();
    told.lines()
        .filter(|line| line.contains("put together"))
        .for_each(|line| println!("    {}", line.trim()));
    ensure!(told.contains("the image was put together"), "the delta was left: {told}");
    pump.hospital.stop().await?;
    let (make_s, apply_s) = (seconds(make), seconds(ticks));
    Ok(Row { name: "cordon, all that passed up to the receipt", bytes, make_s, apply_s, peak_kib })
}

fn by_casync(casync: &Path, folder: &Path, pair: &Pair) -> anyhow::Result<Row> {
    let [store, old, new, out] =
        ["store.castr", "old.caibx", "new.caibx", "casync.img"].map(|name| folder.join(name));
    let make = |index: &PathBuf, image: &PathBuf| {
        let mut command = program(casync);
        command.arg("make").arg(format!("--store={}", store.display())).arg(index).arg(image);
        watched(command)
    };
    make(&old, &pair.old)?;
    let known = chunks(&store)?;
    let (made, _) = make(&new, &pair.new)?;
    let fresh = chunks(&store)?;
    let bytes: u64 = fresh.difference(&known).map(|(_, length)| length).sum();
    let mut command = program(casync);
    command.arg("extract").arg(format!("--store={}", store.display()));
    command.arg(format!("--seed={}", pair.old.display())).arg(&new).arg(&out);
    let (applied, peak_kib) = watched(command)?;
    let bytes = bytes + std::fs::metadata(&new)?.len();
    Ok(Row { name: "casync, new chunks and index", bytes, make_s: made, apply_s: applied, peak_kib })
}

fn by_zstd(zstd: &Path, folder: &Path, pair: &Pair) -> anyhow::Result<Row> {
    let (patch, out) = (folder.join("patch.zst"), folder.join("zstd.img"));
    let from = format!("--patch-from={}", pair.old.display());
    let mut command = program(zstd);
    command.args(["-q", "-f", "-19", "--long=28", &from]).arg(&pair.new).arg("-o").arg(&patch);
    let (make_s, _) = watched(command)?;
    let mut command = program(zstd);
    command.args(["-q", "-f", "-d", "--long=28", "--memory=512MB", &from]).arg(&patch).arg("-o").arg(&out);
    let (apply_s, peak_kib) = watched(command)?;
    ensure!(std::fs::read(&out)? == std::fs::read(&pair.new)?, "zstd made something else");
    let bytes = std::fs::metadata(&patch)?.len();
    Ok(Row { name: "zstd -19 --patch-from, exact old image only", bytes, make_s, apply_s, peak_kib })
}

/// CPU seconds and peak memory of a program, which must succeed.
fn watched(mut command: Command) -> anyhow::Result<(f64, u64)> {
    let before = family_ticks(std::process::id())?;
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(usage(child.id()).0);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok((seconds(family_ticks(std::process::id())? - before), peak))
}

/// Peak memory in KiB and CPU ticks of a process; nothing where it has ended.
fn usage(pid: u32) -> (u64, u64) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    let stat = read("stat");
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    (peak.unwrap_or(0), fields.filter_map(|number| number.parse::<u64>().ok()).sum())
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_S
}

/// Names and lengths of a store's chunks.
fn chunks(store: &Path) -> anyhow::Result<BTreeSet<(PathBuf, u64)>> {
    let mut found = BTreeSet::new();
    for folder in std::fs::read_dir(store)?.flatten() {
        for chunk in std::fs::read_dir(folder.path())?.flatten() {
            found.insert((chunk.path(), chunk.metadata()?.len()));
        }
    }
    Ok(found)
}
