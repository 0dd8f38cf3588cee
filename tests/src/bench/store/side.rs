//! One side of `bench store` in a process of its own: stores events, says what it cost.
//!
//! The store is opened from the text of the configuration, as the server opens it. Times are the monotonic clock's;
//! CPU is that of this process and, for PostgreSQL, of the whole server behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::telemetry::{Batch, Position, Record};
use cordon_proto::time::Millis;
use cordon_server::config::Config;
use cordon_server::serve::open_store;
use cordon_server::store::{Delivery, Key, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Kind, Look, Said, raw};
use crate::bench::footprint::{self, Footprint};
use crate::bench::ingest::p99_ms;

/// Events of a batch, as devices send them.
pub const BATCH: u64 = 100;
/// When the first batch arrives: a round number of an ordinary day.
pub const BEGIN: i64 = 1_790_000_000_000;

/// What a side is asked to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Task {
    /// The engine.
    engine: String,
    /// Which side.
    #[arg(value_enum)]
    kind: Kind,
    /// What it opens.
    place: String,
    /// Events to store.
    #[arg(long)]
    events: u64,
    /// After how many to look for the first time.
    #[arg(long)]
    look: u64,
    /// The database server's process.
    #[arg(long)]
    server: Option<u32>,
    /// Devices that hand in batches at the same time.
    #[arg(long, default_value_t = raw::GROUP / BATCH)]
    writers: u64,
    /// Events of one durable transaction of the raw side.
    #[arg(long, default_value_t = raw::GROUP)]
    group: u64,
}

/// What it costs, from a first moment on.
pub struct Meter {
    begun: Instant,
    cpu_before_s: f64,
    server: Option<u32>,
}

impl Meter {
    fn start(server: Option<u32>) -> anyhow::Result<Self> {
        Ok(Self { begun: Instant::now(), cpu_before_s: cpu_s(server)?, server })
    }

    /// A look after so many events.
    pub fn look(&self, events: u64, bytes: u64) -> anyhow::Result<Look> {
        let cpu_s = cpu_s(self.server)? - self.cpu_before_s;
        Ok(Look { events, wall_s: self.begun.elapsed().as_secs_f64(), cpu_s, bytes })
    }
}

fn cpu_s(server: Option<u32>) -> anyhow::Result<f64> {
    let behind = server.map(footprint::family_ticks).transpose()?.unwrap_or(0);
    let ticks = Footprint::of(std::process::id())?.ticks + behind;
    Ok(ticks as f64 / footprint::TICKS_PER_S)
}

/// Runs a side and prints what it has to say as one line of JSON.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut waits = Vec::new();
    let (looks, reopen_ms) = match task.kind {
        Kind::Reopen => (Vec::new(), runtime.block_on(reopen(task))?),
        Kind::Ours => (runtime.block_on(store(task, &mut waits))?, 0.0),
        Kind::Raw => {
            let meter = Meter::start(task.server)?;
            let mut load =
                raw::Load { events: task.events, look: task.look, group: task.group, meter, waits };
            let looks = match task.engine.as_str() {
                "redb" => raw::redb(Path::new(&task.place), &mut load)?,
                "sled" => raw::sled(Path::new(&task.place), &mut load)?,
                "postgres" => raw::postgres(&task.place, &mut load)?,
                other => bail!("no engine `{other}`"),
            };
            waits = load.waits;
            (looks, 0.0)
        }
    };
    let p99_ms = p99_ms(&mut waits);
    let rss_kib = Footprint::of(std::process::id())?.rss_kib;
    let said = Said { pid: std::process::id(), looks, rss_kib, reopen_ms, p99_ms };
    println!("{}", serde_json::to_string(&said)?);
    Ok(())
}

/// The store behind a text of the configuration.
pub async fn open(text: &str) -> anyhow::Result<Arc<dyn Store>> {
    let settings = format!("host = 'bench'\nstore = '{text}'");
    Ok(open_store(&Config::parse(&settings, &[], PathBuf::new())?).await?)
}

/// From nothing to the first answer.
async fn reopen(task: &Task) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let store = open(&task.place).await?;
    store.get(Key::Site("bench".parse::<Name>()?)).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

async fn store(task: &Task, waits: &mut Vec<Duration>) -> anyhow::Result<Vec<Look>> {
    let store = open(&task.place).await?;
    let meter = Meter::start(task.server)?;
    let mut looks = Vec::new();
    let mut from = 0;
    for until in [task.look, task.events] {
        if until == from {
            continue;
        }
        let mut writers = JoinSet::new();
        for writer in 0..task.writers {
            let mine = (from / BATCH..until / BATCH).filter(|number| number % task.writers == writer);
            writers.spawn(write(store.clone(), writer, mine.collect()));
        }
        while let Some(written) = writers.join_next().await {
            waits.extend(written??);
        }
        looks.push(meter.look(until, store.health().await?.bytes)?);
        from = until;
    }
    Ok(looks)
}

/// Some batches of one device, each with its acknowledgement awaited.
async fn write(store: Arc<dyn Store>, writer: u64, numbers: Vec<u64>) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    for number in numbers {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&writer.to_be_bytes());
        let received = Millis(BEGIN + i64::try_from(number)?);
        let delivery = Delivery::new(DeviceId::from_random(id), received, batch(number * BATCH))?;
        let asked = Instant::now();
        store.append(delivery).await.context("a batch was refused")?;
        waits.push(asked.elapsed());
    }
    Ok(waits)
}

/// One batch of events.
#[must_use]
pub fn batch(first: u64) -> Batch {
    let record = |sequence| Record {
        position: Position { boot: 1, sequence },
        time: Millis(BEGIN),
        kind: 9,
        body: raw::event(sequence).to_vec().into(),
    };
    Batch { records: (first + 1..=first + BATCH).map(record).collect() }
}
