//! `bench inventory`: what a reading of a machine costs, and what of it travels, beside dpkg's own list.
//!
//! The machine is a folder with 1,000 packages of a made-up Debian, the same for both sides: the shipped program reads and prints
//! everything that an inventory holds, `dpkg-query --show` prints name, version, source and its version of each package. CPU is
//! that of many processes from start to end, as the kernel counts it; memory is the most that ours ever had. Bytes are those of
//! the telemetry request, compressed as the agent compresses it. Read next: `agent/src/host.rs`.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_agent::host::{Root, take};
use cordon_proto::inventory::delta::Delta;
use cordon_proto::inventory::packed::Packed;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::telemetry::{Batch, Body, Position};
use cordon_proto::time::Millis;
use cordon_proto::wire;
use fastrand::Rng;

use super::agent_footprint;
use super::footprint::{Footprint, TICKS_PER_S, family_ticks};
use super::matching::entries;
use crate::command::Folder;
use crate::debsecan::world::{Packages, World};
use crate::program::program;

/// Packages of the machine.
const PACKAGES: usize = 1_000;
/// Runs of each side.
const ROUNDS: u32 = 100;
/// The agent's own level.
const ZSTD_LEVEL: i32 = 3;
/// The bars: CPU of a reading, memory of a process that reads once, bytes of the whole and of one change.
const BAR_MS: f64 = 60.0;
const BAR_KIB: u64 = 12 * 1024;
const BAR_WHOLE: usize = 12_000;
const BAR_CHANGE: usize = 300;

/// Runs both sides.
pub fn run() -> anyhow::Result<()> {
    let dpkg =
        agent_footprint::which("dpkg-query").context("dpkg-query is the peer: install the package dpkg")?;
    let agent = agent_footprint::build()?;
    let folder = Folder::open(None)?;
    let root = folder.path().join("machine");
    lay(&root)?;

    let ours = || {
        let mut reading = program(&agent);
        reading.arg("inventory").arg("--root").arg(&root);
        reading
    };
    let theirs = || {
        let mut list = program(&dpkg);
        list.arg(format!("--admindir={}", root.join("var/lib/dpkg").display()));
        list.args(["-W", "-f=${Package} ${Version} ${source:Package} ${source:Version}\\n"]);
        list
    };
    let (ours_ms, theirs_ms) = (cpu(&ours)?, cpu(&theirs)?);
    let (peak, printed) = peak(ours())?;
    let lines = str::from_utf8(&printed)?.lines();
    let rows: Vec<Row> =
        lines.map(serde_json::from_str).collect::<Result<_, _>>().context("a line is no row")?;
    let before = Inventory::new(rows);
    let packages = before.section(Section::Package).count();
    ensure!(packages == PACKAGES, "{packages} packages were read of {PACKAGES}");
    let (whole, change) = travels(&root, before)?;

    println!("{PACKAGES} packages, {ROUNDS} processes of each side");
    println!("{:>9} {:>9}", "CPU ms", "peak KiB");
    println!("{ours_ms:>9.2} {:>9} {:?}", peak.peak_kib, ours());
    println!("{theirs_ms:>9.2} {:>9} {:?}", "", theirs());
    println!("{ours_ms:.2} ms a reading, at most {BAR_MS}; {} KiB, at most {BAR_KIB}", peak.peak_kib);
    println!(
        "{whole} bytes the whole, at most {BAR_WHOLE}; {change} bytes one changed package, at most {BAR_CHANGE}"
    );
    ensure!(ours_ms <= BAR_MS && peak.peak_kib <= BAR_KIB, "a bar of the reading was missed");
    ensure!(whole <= BAR_WHOLE && change <= BAR_CHANGE, "a bar of the wire was missed");
    Ok(())
}

/// A machine of [`PACKAGES`] packages, and what else is read of one.
fn lay(root: &Path) -> anyhow::Result<()> {
    let world = World::random(200, 8_500);
    let status = world.inventory(&mut Rng::with_seed(1), 3, Packages::Own).status;
    // The peer refuses what no machine has: a package of an architecture that is not the machine's, in two versions.
    let own = status.split_inclusive("\n\n").filter(|entry| !entry.contains("\nArchitecture: i386\n"));
    let status = entries(&own.collect::<String>(), PACKAGES);
    for (path, text) in [
        ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("etc/shadow", "root:!:19000::::::\n"),
        ("var/lib/dpkg/status", &status),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// Milliseconds of CPU of one process, over [`ROUNDS`] of them.
fn cpu(command: &dyn Fn() -> Command) -> anyhow::Result<f64> {
    let own = std::process::id();
    let begun = family_ticks(own)?;
    for _ in 0..ROUNDS {
        let mut command = command();
        ensure!(command.stdout(Stdio::null()).status()?.success(), "{command:?} failed");
    }
    Ok((family_ticks(own)? - begun) as f64 / TICKS_PER_S * 1000.0 / f64::from(ROUNDS))
}

/// What a process had at most, seen while it waits for somebody to read the last of what it prints; and what it prints.
fn peak(mut command: Command) -> anyhow::Result<(Footprint, Vec<u8>)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("piped")?;
    sleep(Duration::from_secs(2));
    let peak = Footprint::of(child.id()).context("it should wait with what it prints")?;
    let mut printed = Vec::new();
    output.read_to_end(&mut printed)?;
    ensure!(child.wait()?.success(), "{command:?} failed");
    Ok((peak, printed))
}

/// Bytes of the whole inventory on the wire, and of what one newer package changes.
fn travels(root: &Path, before: Inventory) -> anyhow::Result<(usize, usize)> {
    let status = root.join("var/lib/dpkg/status");
    let text = fs::read_to_string(&status)?;
    fs::write(&status, text.replacen("\nVersion: ", "\nVersion: 9", 1))?;
    let change = Delta::between(&before, &take(&Root::at(root)?));
    ensure!(change.rows() == 1, "{} rows changed of one package", change.rows());
    let packed = Packed::of(&before).context("a value holds a mark")?;
    Ok((compressed(&Body::InventoryPacked(packed))?, compressed(&Body::InventoryDelta(change))?))
}

fn compressed(body: &Body) -> anyhow::Result<usize> {
    let record = body.record(Position { boot: 7, sequence: 4000 }, Millis(1_795_251_906_123));
    let plain = wire::write(&Batch { records: vec![record] });
    Ok(zstd::bulk::compress(&plain, ZSTD_LEVEL)?.len().min(plain.len()))
}
