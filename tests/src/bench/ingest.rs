//! `bench ingest`: durable batches of a hundred events over mutual TLS, beside the raw store, in one run.
//!
//! Devices with identities of their own hand in hourly flow rows, each waiting for its acknowledgement before the next
//! batch. The pair is the engine's own interface with one durable transaction a batch, and, stricter, the store's port
//! with as many writers and no network at all. Server and driver share the machine, so the server's CPU stands beside
//! the rates. Bar: the rate over mutual TLS is at least half of the raw store's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_agent::link::Patience;
use cordon_proto::time::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::footprint::{Footprint, TICKS_PER_S};
use crate::command::Folder;
use crate::hospital::{Hospital, Place, Who};
use crate::light::{Light, flows, hardware};
use crate::program::program;

/// Devices at once.
const DEVICES: u64 = 64;
/// Batches of each.
const BATCHES: u64 = 100;
/// Events of a batch.
const BATCH: u64 = 100;
/// Part of the raw store's rate that must arrive over the network.
const BAR: f64 = 0.5;

/// Runs the three sides.
pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Folder::open(None)?;
    let network = runtime.block_on(over_the_network(folder.path()))?;
    let place = folder.path().join("raw.redb");
    let raw = side("raw", &place.display().to_string())?;
    let port = side("ours", &format!("redb:{}", folder.path().join("port.redb").display()))?;
    println!("{} events in batches of {BATCH}, {DEVICES} devices at once, redb", DEVICES * BATCHES * BATCH);
    println!("{:<44} {:>10} {:>14} {:>12}", "", "events/s", "µs CPU/event", "p99 ms");
    for (name, figures) in [
        ("over mutual TLS (CPU: the server's)", &network),
        ("redb itself, one transaction a batch", &raw),
        ("the store's port, as many writers", &port),
    ] {
        println!("{name:<44} {:>10.0} {:>14.2} {:>12.1}", figures.rate, figures.cpu_us, figures.p99_ms);
    }
    let ratio = network.rate / raw.rate;
    let word = if ratio >= BAR { "held  " } else { "MISSED" };
    println!("\n{word} over mutual TLS beside the raw store: {ratio:.2}, at least {BAR}");
    println!("       over mutual TLS beside the store's port: {:.2}", network.rate / port.rate);
    ensure!(ratio >= BAR, "a bar was missed");
    Ok(())
}

/// One line of the table.
struct Figures {
    rate: f64,
    cpu_us: f64,
    p99_ms: f64,
}

/// Batches without a network, in a process of their own.
fn side(kind: &str, place: &str) -> anyhow::Result<Figures> {
    let events = DEVICES * BATCHES * BATCH;
    let output = program(std::env::current_exe()?)
        .args(["bench-side", "redb", kind, place, "--events", &events.to_string()])
        .args([
            "--look",
            &events.to_string(),
            "--writers",
            &DEVICES.to_string(),
            "--group",
            &BATCH.to_string(),
        ])
        .output()?;
    ensure!(output.status.success(), "the side {kind} failed: {}", String::from_utf8_lossy(&output.stderr));
    let said: super::store::Said = serde_json::from_slice(&output.stdout)?;
    let look = said.looks.last().context("no look")?;
    let events = look.events as f64;
    Ok(Figures { rate: events / look.wall_s, cpu_us: look.cpu_s * 1e6 / events, p99_ms: said.p99_ms })
}

/// The server as it ships, and devices that hand in what they have.
async fn over_the_network(folder: &std::path::Path) -> anyhow::Result<Figures> {
    let sim = std::env::current_exe()?;
    let settings = ["device.requests=100000", "device.requests_per_minute=100000"];
    let mut hospital = Hospital::open(&sim, folder, &settings).await?;
    let devices = enrol(&hospital, folder).await?;
    let pid = hospital.ready().pid;
    let before = Footprint::of(pid)?.ticks;
    let (begun, stored) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let waits = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for device in devices {
        tasks.spawn(hand_in(device, stored.clone(), waits.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let wall_s = begun.elapsed().as_secs_f64();
    let cpu_s = (Footprint::of(pid)?.ticks - before) as f64 / TICKS_PER_S;
    hospital.stop().await?;
    let events = stored.load(Ordering::Relaxed) as f64;
    let mut waits = std::mem::take(&mut *waits.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Figures { rate: events / wall_s, cpu_us: cpu_s * 1e6 / events, p99_ms: p99_ms(&mut waits) })
}

async fn enrol(hospital: &Hospital, folder: &std::path::Path) -> anyhow::Result<Vec<Light>> {
    let place = Place { site: "Bench", ward: "Bench", kind: "workstation" };
    let count = usize::try_from(DEVICES)?;
    let line = hospital.enrolment("Bench-PC", &place, Who::Count(count)).await?;
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let hardware = hardware("Cordon", "Bench-PC", &format!("BENCH-{number:04}"));
        devices.push(Light::enrol(&folder.join("devices"), &line, hardware).await?);
    }
    Ok(devices)
}

async fn hand_in(
    device: Light,
    stored: Arc<AtomicU64>,
    waits: Arc<Mutex<Vec<Duration>>>,
) -> anyhow::Result<()> {
    let mut link = device.link(None, Patience::default())?;
    for number in 0..BATCHES {
        let batch = flows(number * BATCH + 1, BATCH, Timestamp(1_790_000_000));
        let asked = Instant::now();
        let answer = link.telemetry(&batch).await?;
        waits.lock().unwrap_or_else(PoisonError::into_inner).push(asked.elapsed());
        ensure!(answer.stored_through.sequence == (number + 1) * BATCH, "not all of it was stored");
        stored.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}

/// The wait that 99 of a hundred do not exceed, in milliseconds.
#[must_use]
pub fn p99_ms(waits: &mut [Duration]) -> f64 {
    waits.sort_unstable();
    let place = waits.len().saturating_mul(99) / 100;
    waits.get(place.min(waits.len().saturating_sub(1))).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
}
