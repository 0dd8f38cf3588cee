//! The engines' own interfaces, used as well as they can be for events: time-first keys, 5,000 a durable transaction.
//!
//! Nothing of the store's is here: no watermark, no index, no checksum. sled gets the fsync without which its flush
//! keeps nothing (decision 0001); PostgreSQL gets COPY in binary form.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use redb::{Database, TableDefinition};
use tokio::time::Instant;

use super::Look;
use super::side::{BEGIN, Meter};

/// Bytes of an event.
pub const EVENT_BYTES: usize = 200;
/// Events of one durable transaction.
pub const GROUP: u64 = 5000;

/// The bytes of an event: half of them differ from event to event, as in flow rows.
#[must_use]
pub fn event(number: u64) -> [u8; EVENT_BYTES] {
    let mut bytes = [0x20; EVENT_BYTES];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in bytes.iter_mut().step_by(2) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = u8::try_from(state & 0xff).unwrap_or(0);
    }
    bytes
}

/// Time, then device.
fn key(number: u64) -> [u8; 16] {
    let time = BEGIN.unsigned_abs().wrapping_add(number / 100);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&time.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// What is stored, and what it costs.
pub struct Load {
    /// Events.
    pub events: u64,
    /// When to look for the first time.
    pub look: u64,
    /// Events of one durable transaction.
    pub group: u64,
    /// What it costs.
    pub meter: Meter,
    /// How long each transaction took.
    pub waits: Vec<Duration>,
}

impl Load {
    /// Runs `store` over all events, a group at a time.
    fn run(
        &mut self,
        bytes: impl Fn() -> anyhow::Result<u64>,
        mut store: impl FnMut(Range<u64>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Look>> {
        let mut looks = Vec::new();
        let mut from = 0;
        while from < self.events {
            let until = (from + self.group).min(self.events);
            let begun = Instant::now();
            store(from..until)?;
            self.waits.push(begun.elapsed());
            if until == self.look || until == self.events {
                looks.push(self.meter.look(until, bytes()?)?);
            }
            from = until;
        }
        Ok(looks)
    }
}

/// redb: one table, one write transaction a group.
pub fn redb(path: &Path, load: &mut Load) -> anyhow::Result<Vec<Look>> {
    const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("events");
    let database: Database = redb::Builder::new().set_cache_size(64 << 20).create(path)?;
    let bytes = || Ok(path.metadata()?.len());
    load.run(bytes, |numbers| {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for number in numbers {
                table.insert(key(number).as_slice(), event(number).as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    })
}

/// sled: one batch a group, then its flush and the fsync that makes it true.
pub fn sled(path: &Path, load: &mut Load) -> anyhow::Result<Vec<Look>> {
    let database = sled::Config::new().path(path).cache_capacity(64 << 20).flush_every_ms(None).open()?;
    let file = File::open(path.join("db")).context("sled has no file `db`")?;
    let bytes = || Ok(database.size_on_disk()?);
    load.run(bytes, |numbers| {
        let mut batch = sled::Batch::default();
        for number in numbers {
            batch.insert(&key(number)[..], &event(number)[..]);
        }
        database.apply_batch(batch)?;
        database.flush()?;
        Ok(file.sync_all()?)
    })
}

/// PostgreSQL: COPY into a table with a primary key.
pub fn postgres(url: &str, load: &mut Load) -> anyhow::Result<Vec<Look>> {
    let mut client = postgres::Client::connect(url, postgres::NoTls)?;
    client.batch_execute("CREATE TABLE raw_events (key bytea PRIMARY KEY, value bytea NOT NULL)")?;
    let mut asker = postgres::Client::connect(url, postgres::NoTls)?;
    let asker = std::cell::RefCell::new(&mut asker);
    let bytes = || {
        let row = asker.borrow_mut().query_one("SELECT pg_total_relation_size('raw_events')", &[])?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    };
    load.run(bytes, |numbers| {
        let sink = client.copy_in("COPY raw_events FROM STDIN BINARY")?;
        let mut writer = BinaryCopyInWriter::new(sink, &[Type::BYTEA, Type::BYTEA]);
        for number in numbers {
            writer.write(&[&key(number).as_slice(), &event(number).as_slice()])?;
        }
        writer.finish()?;
        Ok(())
    })
}
