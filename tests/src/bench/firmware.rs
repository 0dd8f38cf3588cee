//! `bench firmware`: what an image costs on its way, beside the plainest tool for each step.
//!
//! *Verify*: the agent's read-back of a written slot beside `openssl dgst -sha256` of the same file, both reading from the
//! disk; the figure is CPU, and the bar 1.1 of OpenSSL's. *Download to slot*: the device plane of a real server over mutual
//! TLS, the agent's own link and slot writer, synced, beside `dd conv=fsync` from the server's own copy to the same file
//! system; and a third side, curl from the same server with the same certificate, then `sync`, without a look at what came.
//! The figure is bytes a second, and the bar 0.8 of the slower peer: nothing comes faster than the disk takes it, nor faster
//! than the line brings it. Sides take turns; CPU is read from the kernel in ticks of 10 ms. *A bad line*: the shipped agent
//! program takes 160 MiB at a cap of 20 Mbit/s over a connection that is cut fifty times; the figures are bytes on the wire,
//! and the agent's memory during and a minute after. Read next: `cordon_agent::slot`, `cordon_sim::transport`, and
//! [`super::chunk_delta`], which runs behind them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cordon_agent::link::Patience;
use cordon_agent::slot::writing::{Piece, Told, Writing};
use cordon_agent::slot::{Medium, Slots};
use cordon_agent_core::update::Slot;
use cordon_proto::ids::Sha256;
use tokio::time::{Instant, sleep};

use super::agent_footprint;
use super::footprint::{Footprint, TICKS_PER_S, family_ticks};
use crate::command::Folder;
use crate::hospital::{Hospital, Place, Release, Who};
use crate::light::{Light, hardware};
use crate::program::program;
use crate::relay::Relay;
use crate::skip::require_package;
use crate::transport::{Trip, noise};

/// Bytes of the image.
const IMAGE_BYTES: usize = 256 * 1024 * 1024;
/// Rounds on each side, in turn, after one that warms both up.
const ROUNDS: usize = 5;
/// Our CPU of a read-back beside OpenSSL's.
const VERIFY_BAR: f64 = 1.1;
/// Our bytes a second beside those of the slower of disk and line.
const DOWNLOAD_BAR: f64 = 0.8;
/// Bytes of the image on the bad line.
const LINE_BYTES: usize = 160 * 1024 * 1024;
/// Times that it is cut.
const CUTS: u64 = 50;
/// Kilobits a second that the device takes of it.
const LINE_KBIT_S: u64 = 20_000;
/// Bytes to the device beside the image's own.
const LINE_BAR: f64 = 1.02;
/// Resident KiB of the agent during an update, and a minute after it.
const MEMORY_BARS_KIB: [u64; 2] = [32 * 1024, 7 * 1024];
/// Seconds from the end of an update to the look at what the agent still holds.
const AFTER_S: u64 = 60;
/// What the image is called in the maker's repository.
const RELEASE: &str = "bench-pc/2.0.0";

/// One side of a pair.
struct Side {
    name: String,
    argv: String,
    figures: Vec<f64>,
}

/// Runs both pairs, and the bad line.
pub fn run() -> anyhow::Result<()> {
    let openssl = require_package("openssl").context("OpenSSL is the peer: install the package openssl")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Folder::open(None)?;
    let image = folder.path().join("image");
    std::fs::write(&image, noise(IMAGE_BYTES))?;
    let digest = Sha256::of(&std::fs::read(&image)?);
    println!("an image of {} MiB, {ROUNDS} rounds on each side in turn", IMAGE_BYTES / (1024 * 1024));
    let verified = verify(&openssl, &image, digest)?;
    let loaded = runtime.block_on(download(folder.path(), &image, digest))?;
    let agent = agent_footprint::build()?;
    let carried = runtime.block_on(bad_line(&folder.path().join("line"), &agent))?;
    ensure!(verified && loaded && carried, "a bar was missed");
    super::chunk_delta::run()
}

/// The shipped agent at the end of a bad line.
async fn bad_line(folder: &Path, agent: &Path) -> anyhow::Result<bool> {
    let piece = u64::try_from(LINE_BYTES)? / (CUTS + 1);
    let line = Relay::start().await?;
    let settings = format!("{}image_kbit_s = {LINE_KBIT_S}\n", line.setting());
    let (owner, home) = (folder.join("owner"), folder.join("device"));
    let trip = Trip::prepare((&owner, &home), (agent, &[]), &settings, LINE_BYTES).await?;
    trip.machine.on();
    let before = line.to_device();
    line.cut(CUTS, piece);
    trip.order().await?;
    let begun = Instant::now();
    let memory = trip.installed(Duration::from_secs(1200)).await?;
    let (took, came) = (begun.elapsed(), line.to_device() - before);
    sleep(Duration::from_secs(AFTER_S)).await;
    let after = Footprint::of(trip.machine.pid().context("the agent does not run")?)?;
    let ratio = came as f64 / LINE_BYTES as f64;
    println!(
        "\n{} MiB at {LINE_KBIT_S} kbit/s, cut {} times, in {} s: {came} bytes to the device",
        LINE_BYTES >> 20,
        line.cuts(),
        took.as_secs()
    );
    println!("    {}", after.argv);
    let [during_bar, after_bar] = MEMORY_BARS_KIB;
    let kib = |what: &str, kib: u64, bar: u64| {
        println!(
            "{} resident KiB {what}: {kib}, at most {bar}",
            if kib <= bar { "held  " } else { "MISSED" }
        );
        kib <= bar
    };
    let bars = [
        judged("bytes on the wire beside the image's own", ratio, ratio <= LINE_BAR, "at most", LINE_BAR),
        kib("at the most during the update", memory.peak_kib, during_bar),
        kib("a minute after it", after.rss_kib, after_bar),
        line.cuts() == CUTS,
    ];
    Ok(bars.into_iter().all(|held| held))
}

fn verify(openssl: &Path, image: &Path, digest: Sha256) -> anyhow::Result<bool> {
    let length = u64::try_from(IMAGE_BYTES)?;
    let slots = Slots::new([image.to_owned(), image.with_extension("other")]);
    let argv = format!("{} dgst -sha256 {}", openssl.display(), image.display());
    let mut ours = Side::new("the agent's read-back of a slot", "in this process");
    let mut theirs = Side::new("openssl dgst -sha256", &argv);
    for round in 0..=ROUNDS {
        let counts = round > 0;
        let hashed = ours.cpu(counts, || Ok(slots.hash(Slot::A, length)?))?;
        ensure!(hashed == digest, "the slot's hash is not the image's");
        std::fs::File::open(image)?.forget();
        let said = theirs.cpu(counts, || {
            let output = program(openssl).args(["dgst", "-sha256"]).arg(image).output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })?;
        ensure!(said.contains(&digest.to_string()), "OpenSSL says otherwise: {said}");
    }
    let ratio = ours.median() / theirs.median();
    print("CPU seconds an image", &[&ours, &theirs], 3);
    Ok(judged("CPU of verifying beside openssl dgst", ratio, ratio <= VERIFY_BAR, "at most", VERIFY_BAR))
}

async fn download(folder: &Path, image: &Path, digest: Sha256) -> anyhow::Result<bool> {
    let settings = ["device.requests=100000", "device.requests_per_minute=100000"];
    let mut hospital = Hospital::open(&std::env::current_exe()?, folder, &settings).await?;
    hospital.open_maker("bench", &["Bench-PC"]).await?;
    let release = Release {
        repository: "bench",
        name: RELEASE,
        model: "Bench-PC",
        revision: "A",
        counter: 2,
        interlock: "none",
        image,
    };
    hospital.release(&release).await?;
    let place = Place { site: "Bench", ward: "Bench", kind: "workstation" };
    let line = hospital.enrolment("Bench-PC", &place, Who::Count(1)).await?;
    let hardware = hardware("Cordon", "Bench-PC", "BENCH-0001");
    let device = Light::enrol(&folder.join("devices"), &line, hardware).await?;
    let slots = Slots::new([folder.join("slot-a"), folder.join("slot-b")]);
    let copy = folder.join("copy");
    let pid = hospital.ready().pid;
    let mut ours = Side::new("device plane over TLS, slot written and synced", &format!("server {pid}"));
    let argv = format!("dd if={} of={} bs=1M conv=fsync", image.display(), copy.display());
    let mut theirs = Side::new("dd conv=fsync", &argv);
    let words = curl(folder, &device, digest)?;
    let mut lines = Side::new("curl, then sync, nothing hashed", &words.join(" "));
    let mut ticks = [0; 3];
    for round in 0..=ROUNDS {
        let (begun, before) = (Instant::now(), [family_ticks(pid)?, family_ticks(std::process::id())?]);
        fetch(&device, &slots, digest).await?;
        ours.rate(round > 0, begun.elapsed());
        let after = [family_ticks(pid)?, family_ticks(std::process::id())?];
        ensure!(slots.hash(Slot::B, u64::try_from(IMAGE_BYTES)?)? == digest, "the slot holds something else");
        let before_dd = family_ticks(std::process::id())?;
        theirs.rate(round > 0, copied(image, &copy)?);
        let spent =
            [after[0] - before[0], after[1] - before[1], family_ticks(std::process::id())? - before_dd];
        ticks.iter_mut().zip(spent).for_each(|(sum, spent)| *sum += if round > 0 { spent } else { 0 });
        lines.rate(round > 0, curled(&words, &copy)?);
    }
    hospital.stop().await?;
    let [ratio, beside_curl] = [&theirs, &lines].map(|peer| ours.median() / peer.median());
    print("MiB a second", &[&ours, &theirs, &lines], 0);
    let [server, agent, dd] = ticks.map(|ticks| ticks as f64 / TICKS_PER_S / ROUNDS as f64);
    println!(
        "    CPU seconds an image: server {server:.2}, device {agent:.2} (its syncs with it), dd and its reading {dd:.2}"
    );
    println!("       bytes a second beside dd alone: {ratio:.2}; beside curl and sync: {beside_curl:.2}");
    let ratio = ratio.max(beside_curl);
    let what = "bytes a second from the server to the slot beside the slower of the two";
    Ok(judged(what, ratio, ratio >= DOWNLOAD_BAR, "at least", DOWNLOAD_BAR))
}

/// The command that fetches the image with this device's certificate, but for where to.
fn curl(folder: &Path, device: &Light, digest: Sha256) -> anyhow::Result<Vec<String>> {
    let curl = require_package("curl").context("curl is a peer: install the package curl")?;
    let identity = folder.join("devices").join(device.hardware.serial.as_str());
    let keys = std::fs::read_dir(identity)?.collect::<Result<Vec<_>, _>>()?;
    let key = keys
        .iter()
        .map(std::fs::DirEntry::path)
        .find(|path| path.extension().is_some_and(|ending| ending == "p8"));
    let leaf = folder.join("leaf.der");
    std::fs::write(&leaf, device.identity.certified_key().end_entity_cert()?)?;
    let site = &device.identity.site;
    let url = format!("https://{}/v1/targets/{digest}", site.authority(site.device_port));
    let (key, leaf) =
        (key.context("the device has no key")?.display().to_string(), leaf.display().to_string());
    let words =
        ["-sSfk", "--cert-type", "DER", "--key-type", "DER", "--cert", &leaf, "--key", &key, &url, "-o"];
    Ok([curl.display().to_string()].into_iter().chain(words.map(str::to_owned)).collect())
}

/// The image by curl into a file that is synced then.
fn curled(words: &[String], copy: &Path) -> anyhow::Result<Duration> {
    let (curl, words) = words.split_first().context("a command")?;
    let begun = Instant::now();
    ensure!(program(curl).args(words).arg(copy).status()?.success(), "curl failed");
    std::fs::File::open(copy)?.sync_all()?;
    let took = begun.elapsed();
    ensure!(std::fs::metadata(copy)?.len() == u64::try_from(IMAGE_BYTES)?, "curl fetched something else");
    std::fs::remove_file(copy)?;
    Ok(took)
}

/// The image over the link into slot B, as the updater writes it: by a thread of its own, synced beside it.
async fn fetch(device: &Light, slots: &Slots, digest: Sha256) -> anyhow::Result<()> {
    let link = device.link(None, Patience::default())?;
    let writer = slots.write(Slot::B, Slot::A, (u64::try_from(IMAGE_BYTES)?, 0))?;
    let mut writing = Writing::begin(Box::new(writer));
    let mut download = link.target(&digest, 0).await?;
    let (mut at, mut synced) = (0, 0);
    while let Some(bytes) = download.next().await? {
        let length = u64::try_from(bytes.len())?;
        ensure!(writing.put(Piece { at, bytes }).await, "the slot is not written");
        at += length;
        while let Some(Told::Synced(offset)) = writing.heard() {
            synced = offset;
        }
    }
    writing.end();
    loop {
        match writing.told().await.context("the slot is not written")? {
            Told::Synced(offset) => synced = offset,
            Told::Whole => break,
            other => bail!("the slot was left at {synced}: {other:?}"),
        }
    }
    ensure!(synced == u64::try_from(IMAGE_BYTES)?, "not all of it is synced");
    Ok(())
}

/// The same bytes by dd, from a file that is in memory, as the server's is.
fn copied(image: &Path, copy: &PathBuf) -> anyhow::Result<Duration> {
    std::fs::read(image)?;
    let begun = Instant::now();
    let mut command = program("dd");
    command.arg(format!("if={}", image.display())).arg(format!("of={}", copy.display()));
    command.args(["bs=1M", "conv=fsync"]).stderr(Stdio::null());
    ensure!(command.status()?.success(), "dd failed");
    let took = begun.elapsed();
    std::fs::remove_file(copy)?;
    Ok(took)
}

impl Side {
    fn new(name: &str, argv: &str) -> Self {
        Self { name: name.to_owned(), argv: argv.to_owned(), figures: Vec::new() }
    }

    /// The CPU seconds of this process and its children while `work` is done.
    fn cpu<T>(&mut self, counts: bool, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let before = family_ticks(std::process::id())?;
        let done = work()?;
        let ticks = family_ticks(std::process::id())? - before;
        if counts {
            self.figures.push(ticks as f64 / TICKS_PER_S);
        }
        Ok(done)
    }

    fn rate(&mut self, counts: bool, took: Duration) {
        if counts {
            self.figures.push(IMAGE_BYTES as f64 / (1024.0 * 1024.0) / took.as_secs_f64());
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn print(unit: &str, sides: &[&Side], digits: usize) {
    println!("\n{:<50} {:>10} {:>10} {:>10}   {unit}", "", "median", "least", "most");
    for side in sides {
        let sorted = side.sorted();
        let (least, most) = (sorted.first().unwrap_or(&f64::NAN), sorted.last().unwrap_or(&f64::NAN));
        println!("{:<50} {:>10.digits$} {least:>10.digits$} {most:>10.digits$}", side.name, side.median());
        println!("    {}", side.argv);
    }
}

fn judged(what: &str, ratio: f64, held: bool, word: &str, bar: f64) -> bool {
    println!("{} {what}: {ratio:.2}, {word} {bar}", if held { "held  " } else { "MISSED" });
    held
}
