//! `bench flow-meter`: what metering costs, the device program beside softflowd, on the same recordings.
//!
//! It is built as it ships, but with `observe`, which alone reads recordings and which ships without (decision 6).
//! Two made-up recordings of headers alone: a long honest one (a few hundred connections at a time, answered, ended), and
//! a flood of a million SYNs of a million tuples. Rounds of the sides alternate. CPU is what the kernel counted for the
//! process and its children, memory the most that it held. Bars: the constants below.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use fastrand::Rng;

use super::agent_footprint::built_by;
use super::footprint::{Footprint, TICKS_PER_S, family_ticks};
use crate::command::Folder;
use crate::program::program;
use crate::skip;

/// Packets of the long recording.
const LONG: u32 = 2_000_000;
/// Packets, and tuples, of the flood.
const FLOOD: u32 = 1_000_000;
/// Rounds of each side.
const ROUNDS: usize = 5;
/// Packets a CPU-second of the long recording at least.
const BAR_PACKETS: f64 = 5_000_000.0;
/// CPU beside softflowd's at most.
const BAR_RATIO: f64 = 2.0;
/// Resident KiB under the flood at most.
const BAR_RSS_KIB: u64 = 8 * 1024;
/// Between two looks at a running side.
const LOOK: Duration = Duration::from_millis(10);

/// What one run cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    ticks: u64,
    peak_kib: u64,
}

/// Makes both recordings, runs both sides over both, prints, and fails where a bar is missed.
pub fn run() -> anyhow::Result<()> {
    let peer = skip::look_up("softflowd").context("the peer is missing: apt-get install softflowd")?;
    let folder = Folder::open(None)?;
    // A copy, since the next `cargo agent` puts the shipped one in its place.
    let agent = folder.path().join("cordon-agent");
    std::fs::copy(built_by("agent-observe")?, &agent)?;
    let (long, flood) = (folder.path().join("long.pcap"), folder.path().join("flood.pcap"));
    record(&long, LONG, conversation())?;
    record(&flood, FLOOD, syn)?;
    let mut missed = Vec::new();
    for (name, file, packets) in [("long", &long, LONG), ("flood", &flood, FLOOD)] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(cost(&agent, &observe(file))?);
            theirs.push(cost(&peer, &meter(file))?);
        }
        println!("{name}: {packets} packets, {ROUNDS} rounds");
        let (own, rate, peak_kib) = print("cordon-agent observe", &mut ours, packets);
        let (other, _, _) = print("softflowd", &mut theirs, packets);
        println!("  ratio of the medians {:.2}", own / other);
        let is_long = name == "long";
        if is_long && rate < BAR_PACKETS {
            missed.push(format!("{rate:.0} packets a CPU-second, the bar is {BAR_PACKETS:.0}"));
        }
        if own > BAR_RATIO * other {
            missed.push(format!("{name}: {:.2} of softflowd's CPU, the bar is {BAR_RATIO}", own / other));
        }
        if !is_long && peak_kib > BAR_RSS_KIB {
            missed.push(format!("{peak_kib} KiB under the flood, the bar is {BAR_RSS_KIB}"));
        }
    }
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

fn observe(file: &Path) -> Vec<String> {
    ["observe", "--read", &file.display().to_string(), "--out", "/dev/null"].map(str::to_owned).into()
}

/// softflowd over a file, sending its reports to a port where nobody listens.
fn meter(file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    ["-r", &file, "-n", "127.0.0.1:29995", "-v", "9", "-m", "65536", "-d"].map(str::to_owned).into()
}

fn cost(side: &PathBuf, args: &[String]) -> anyhow::Result<Cost> {
    let own = std::process::id();
    let before = family_ticks(own)?;
    let mut child = program(side).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peak_kib = 0;
    let ended = loop {
        // One that has just ended has no memory to look at.
        peak_kib = Footprint::of(child.id()).map_or(peak_kib, |look| peak_kib.max(look.peak_kib));
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(LOOK);
    };
    ensure!(ended.success(), "{} {} failed: {ended}", side.display(), args.join(" "));
    Ok(Cost { ticks: family_ticks(own)?.saturating_sub(before), peak_kib })
}

/// Median CPU seconds, packets a CPU-second and the most memory of a side.
fn print(side: &str, costs: &mut [Cost], packets: u32) -> (f64, f64, u64) {
    costs.sort_by_key(|cost| cost.ticks);
    let seconds = |cost: Option<&Cost>| cost.map_or(0.0, |cost| cost.ticks.max(1) as f64 / TICKS_PER_S);
    let (median, worst) = (seconds(costs.get(costs.len() / 2)), seconds(costs.last()));
    let peak_kib = costs.iter().map(|cost| cost.peak_kib).max().unwrap_or(0);
    let rate = f64::from(packets) / median;
    println!(
        "  {side}: {median:.2} CPU s (worst {worst:.2}), {rate:.0} packets a CPU-second, {peak_kib} KiB at most"
    );
    (median, rate, peak_kib)
}

/// Writes a recording of headers alone: Ethernet, IPv4, TCP.
fn record(path: &Path, packets: u32, mut next: impl FnMut(u32) -> Segment) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])?;
    for number in 0..packets {
        let Segment { from, to, flags, millisecond } = next(number);
        let (second, part) = (1_790_000_000 + millisecond / 1000, millisecond % 1000 * 1000);
        for field in [second, part, 54, 54] {
            file.write_all(&field.to_le_bytes())?;
        }
        file.write_all(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0])?;
        file.write_all(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0])?;
        file.write_all(&from.0)?;
        file.write_all(&to.0)?;
        file.write_all(&from.1.to_be_bytes())?;
        file.write_all(&to.1.to_be_bytes())?;
        file.write_all(&[0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 255, 255, 0, 0, 0, 0])?;
    }
    file.flush()?;
    Ok(())
}

struct Segment {
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    flags: u8,
    millisecond: u32,
}

/// A million strangers knock at one device.
fn syn(number: u32) -> Segment {
    let [_, a, b, c] = number.to_be_bytes();
    let from = ([198, a, b, c], 1024 + u16::from(c));
    Segment { from, to: ([10, 0, 0, 2], 80), flags: 0x02, millisecond: number / 50 }
}

/// Devices that talk with a few servers: three hundred connections at a time, of some hundred packets each.
fn conversation() -> impl FnMut(u32) -> Segment {
    let mut chance = Rng::with_seed(26);
    // How many packets a connection has had, and its port.
    let mut open: Vec<(u32, u16)> = (0..300).map(|place| (0, 40_000 + place)).collect();
    move |number| {
        let place = chance.usize(..open.len());
        let low = u8::try_from(place % 250).expect("below 250");
        let connection = open.get_mut(place).expect("one of them");
        let (device, server) = (([10, 0, 0, low], connection.1), ([203, 0, 113, low % 8], 443));
        let flags = match connection.0 {
            0 => 0x02,
            1 => 0x12,
            200 | 201 => 0x11,
            _ => 0x10,
        };
        let outward = connection.0.is_multiple_of(2);
        connection.0 += 1;
        if connection.0 > 202 {
            *connection = (0, connection.1.wrapping_add(1).max(40_000));
        }
        let (from, to) = if outward { (device, server) } else { (server, device) };
        Segment { from, to, flags, millisecond: number / 10 }
    }
}
