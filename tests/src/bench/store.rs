//! `bench store`: one million events through every engine, beside the engine's own interface, in one run.
//!
//! Both sides store the same 200-byte events durably, by groups of 5,000: ours as batches of 100 of fifty devices, through
//! watermark, hour index, checksum and group commit; the raw side as plain pairs in time order, the least that engine
//! can do for the promise "stored". Each side is a process of its own, so that its memory is its own. Bar: an event at
//! one million costs at most 1.2 times the CPU of one at a hundred thousand. Read next: [`side`], [`raw`].

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::command::Folder;
use crate::postgres::Cluster;
use crate::program::program;

pub mod raw;
pub mod side;

/// Events of a run.
const EVENTS: u64 = 1_000_000;
/// Where the early look is taken.
const EARLY: u64 = 100_000;
/// CPU of an event at the end over one at the early look.
const BAR_GROWTH: f64 = 1.2;

/// One side of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The engine's own interface.
    Raw,
    /// The store's port.
    Ours,
    /// Opening what the store left, in a fresh process.
    Reopen,
}

/// What a side says when it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    /// The process.
    pub pid: u32,
    /// Looks at rising numbers of events.
    pub looks: Vec<Look>,
    /// Resident KiB at the end, without the database server's.
    pub rss_kib: u64,
    /// Milliseconds until the first answer, for a reopening.
    pub reopen_ms: f64,
    /// Milliseconds that 99 of a hundred durable writes did not exceed.
    pub p99_ms: f64,
}

/// Where a side stands after so many events.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Look {
    /// Events stored.
    pub events: u64,
    /// Seconds since the first.
    pub wall_s: f64,
    /// Seconds of CPU since then, of the process and of the database server.
    pub cpu_s: f64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Runs every engine, both sides, and prints them.
pub fn run() -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    println!(
        "{EVENTS} events of {} bytes, batches of {}, one sync of the disk for at most {} events\n",
        raw::EVENT_BYTES,
        side::BATCH,
        raw::GROUP
    );
    println!(
        "{:<9} {:<5} {:>8} {:>9} {:>11} {:>11} {:>7} {:>8} {:>9} {:>11} {:>12}",
        "engine",
        "side",
        "pid",
        "events/s",
        "µs CPU 100k",
        "µs CPU 1M",
        "growth",
        "B/event",
        "RSS KiB",
        "reopen ms",
        "RSS reopened"
    );
    let mut missed = Vec::new();
    // A folder of its own: the database's user has to pass.
    let home = tempfile::Builder::new().prefix("cordon-pg-").tempdir()?;
    for engine in ["redb", "sled", "postgres"] {
        let place = folder.path().join(engine);
        let cluster = match engine {
            "postgres" => Some(Cluster::started(home.path())?.context("the peer is missing")?),
            _ => None,
        };
        for kind in [Kind::Raw, Kind::Ours] {
            let text = place_of(engine, &place, kind, cluster.as_ref());
            let root = cluster.as_ref().and_then(Cluster::process);
            let said = child(engine, kind, &text, root, EVENTS)?;
            let reopened = match kind {
                Kind::Ours => Some(child(engine, Kind::Reopen, &text, root, 0)?),
                Kind::Raw | Kind::Reopen => None,
            };
            let growth = print(engine, kind, &said, reopened.as_ref())?;
            if kind == Kind::Ours && growth > BAR_GROWTH {
                missed.push(format!("{engine}: {growth:.2}"));
            }
        }
    }
    let held = missed.is_empty();
    let word = if held { "held  " } else { "MISSED" };
    println!(
        "\n{word} CPU of an event at {EVENTS} over one at {EARLY}: at most {BAR_GROWTH} {}",
        missed.join(", ")
    );
    ensure!(held, "a bar was missed");
    Ok(())
}

/// What a side opens: the store's own text, or for a raw side the place behind it.
fn place_of(engine: &str, place: &Path, kind: Kind, cluster: Option<&Cluster>) -> String {
    match (cluster, kind) {
        (Some(cluster), Kind::Raw) => cluster.url(),
        (Some(cluster), Kind::Ours | Kind::Reopen) => format!("postgres:{}", cluster.url()),
        (None, Kind::Raw) => place.with_extension("raw").display().to_string(),
        (None, Kind::Ours | Kind::Reopen) => format!("{engine}:{}", place.display()),
    }
}

/// Runs one side in a process of its own.
pub fn child(
    engine: &str,
    kind: Kind,
    place: &str,
    server: Option<u32>,
    events: u64,
) -> anyhow::Result<Said> {
    let kind = match kind {
        Kind::Raw => "raw",
        Kind::Ours => "ours",
        Kind::Reopen => "reopen",
    };
    let mut command = program(std::env::current_exe()?);
    command.args(["bench-side", engine, kind, place, "--events", &events.to_string()]);
    command.args(["--look", &EARLY.to_string()]);
    if let Some(server) = server {
        command.args(["--server", &server.to_string()]);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the {kind} side of {engine} failed");
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the {kind} side of {engine} said nothing"))
}

/// One line; says how the cost of an event grew.
fn print(engine: &str, kind: Kind, said: &Said, reopened: Option<&Said>) -> anyhow::Result<f64> {
    let (early, last) = said.looks.first().zip(said.looks.last()).context("no look")?;
    let cost = |look: &Look| look.cpu_s * 1e6 / look.events as f64;
    let growth = cost(last) / cost(early);
    let (ms, rss) = match reopened {
        Some(said) => (format!("{:.1}", said.reopen_ms), said.rss_kib.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    println!(
        "{engine:<9} {:<5} {:>8} {:>9.0} {:>11.2} {:>11.2} {growth:>7.2} {:>8} {:>9} {ms:>11} {rss:>12}",
        format!("{kind:?}").to_lowercase(),
        said.pid,
        last.events as f64 / last.wall_s,
        cost(early),
        cost(last),
        last.bytes / last.events,
        said.rss_kib,
    );
    Ok(growth)
}
