//! The store in memory: the model that every engine is compared with, and the engine of tests.
//!
//! Plain maps under one lock, nothing clever: each verb says in a few lines what it means. It forgets everything when
//! it is dropped, so the server never runs on it. Read next: `kv` for the same verbs on ordered bytes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cordon_proto::limits;
use cordon_proto::telemetry::Record;
use cordon_proto::time::Millis;
use cordon_server_core::change::delivery::{watermark_body, watermark_of};
use cordon_server_core::change::{Decision, Next, Refusal, StoredOutcome, apply, lease};
use tokio::sync::watch;

use super::archive::{self, Counters, Item};
use super::{
    Answer, Appended, Backup, Changed, Chunk, Commit, Committed, Cursor, Delivery, EventId, EventPage,
    EventQuery, Expired, Feed, Health, Index, Key, LeaseAnswer, LeaseRequest, Page, Revision, Row, Set, Sink,
    Store, StoreError, not_current,
};

/// A store that lives as long as its process.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
    latest: watch::Sender<Revision>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<Key, Row>,
    events: BTreeMap<EventId, Record>,
    feed: BTreeMap<Revision, Changed>,
    revision: Revision,
    audited: u64,
    forgotten: Revision,
    writes: u64,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one write, which happened once this returns, and tells the followers.
    fn write<T>(&self, write: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.state();
        state.writes = state.writes.saturating_add(1);
        let answer = write(&mut state)?;
        if let Some((last, _)) = state.feed.last_key_value() {
            self.latest.send_if_modified(|seen| core::mem::replace(seen, *last) != *last);
        }
        Ok(answer)
    }
}

impl Store for Memory {
    fn get(&self, key: Key) -> Answer<'_, Option<Row>> {
        Box::pin(ready(Ok(self.state().rows.get(&key).cloned())))
    }

    fn scan(&self, index: Index, from: Cursor, limit: usize) -> Answer<'_, Page> {
        Box::pin(ready(Ok(self.state().scan(&index, &from, limit))))
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        Box::pin(ready(self.write(|state| state.commit(commit))))
    }

    fn append(&self, delivery: Delivery) -> Answer<'_, Appended> {
        Box::pin(ready(self.write(|state| state.append(delivery))))
    }

    fn events(&self, query: EventQuery) -> Answer<'_, EventPage> {
        Box::pin(ready(Ok(self.state().events(&query))))
    }

    fn expire(&self, before: Millis) -> Answer<'_, Expired> {
        Box::pin(ready(self.write(|state| Ok(state.expire(before)))))
    }

    fn changes(&self, after: Revision, limit: usize) -> Answer<'_, Feed> {
        Box::pin(ready(Ok(self.state().changes(after, limit))))
    }

    fn lease(&self, request: LeaseRequest) -> Answer<'_, LeaseAnswer> {
        Box::pin(ready(self.write(|state| state.lease(&request))))
    }

    fn load(&self, set: Set, generation: u64, chunk: Chunk) -> Answer<'_, ()> {
        Box::pin(ready(self.write(|state| state.load(set, generation, chunk))))
    }

    fn drop_generation(&self, set: Set, generation: u64) -> Answer<'_, u64> {
        Box::pin(ready(self.write(|state| state.drop_generation(set, generation))))
    }

    fn backup(&self, to: PathBuf) -> Answer<'_, Backup> {
        Box::pin(ready(archive::to_file(&to, |into| self.state().backup(into))))
    }

    fn backup_into(&self, mut into: Sink) -> Answer<'_, Backup> {
        Box::pin(ready(self.state().backup(&mut *into)))
    }

    fn restore(&self, from: PathBuf) -> Answer<'_, Backup> {
        Box::pin(ready(self.write(|state| state.restore(&from))))
    }

    fn health(&self) -> Answer<'_, Health> {
        let state = self.state();
        Box::pin(ready(Ok(Health {
            engine: "memory",
            revision: state.revision,
            problem: None,
            bytes: 0,
            free_bytes: None,
            writes: state.writes,
            groups: state.writes,
        })))
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }
}

impl State {
    fn scan(&self, index: &Index, from: &Cursor, limit: usize) -> Page {
        let limit = limit.clamp(1, limits::PAGE_ROWS);
        let inside = |key: &Key| match from {
            Cursor::First | Cursor::Last => index.holds(key),
            Cursor::After(last) => key > last && index.holds(key),
            Cursor::Before(last) => key < last && index.holds(key),
        };
        let mut rows: Vec<(Key, Row)> = self
            .rows
            .iter()
            .filter(|(key, _)| inside(key))
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect();
        if from.goes_down() {
            rows.reverse();
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map_or_else(|| from.clone(), |(key, _)| from.behind(key.clone()));
        Page { rows, next: more.then_some(last) }
    }

    fn commit(&mut self, commit: Commit) -> Result<Committed, StoreError> {
        let next = Next { revision: self.revision.next(), sequence: self.audited.saturating_add(1) };
        let decision = apply(commit, next, |key| Ok::<_, Infallible>(self.rows.get(key).cloned()));
        let writes = match decision {
            Ok(Decision::Repeated(committed)) => return Ok(committed),
            Ok(Decision::Write(writes)) => writes,
            Err(Refusal::Conflict(key)) => return Err(StoreError::Conflict(key)),
            Err(Refusal::Corrupt(key)) => return Err(StoreError::Corrupt(key.to_string())),
            Err(Refusal::Load(never)) => match never {},
        };
        for (key, body) in writes.rows {
            match body {
                Some(body) => self.rows.insert(key, Row { revision: next.revision, body }),
                None => self.rows.remove(&key),
            };
        }
        if !writes.changed.keys.is_empty() {
            self.feed.insert(next.revision, writes.changed);
        }
        self.revision = next.revision;
        self.audited = writes.next_sequence.saturating_sub(1);
        Ok(writes.committed)
    }

    fn append(&mut self, delivery: Delivery) -> Result<Appended, StoreError> {
        let (device, mut received) = (delivery.device(), delivery.received());
        let key = Key::Watermark(device);
        let watermark = match self.rows.get(&key) {
            Some(row) => Some(watermark_of(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?),
            None => None,
        };
        let fresh = delivery.split(watermark);
        while self.events.keys().any(|id| (id.received, id.device) == (received, device)) {
            received = received.plus(1);
        }
        if !fresh.records.is_empty() {
            self.revision = self.revision.next();
            let body = watermark_body(fresh.appended.through);
            self.rows.insert(key, Row { revision: self.revision, body });
        }
        for record in fresh.records {
            self.events.insert(EventId { received, device, position: record.position }, record);
        }
        Ok(fresh.appended)
    }

    fn events(&self, query: &EventQuery) -> EventPage {
        let limit = query.limit.clamp(1, limits::PAGE_ROWS);
        let wanted =
            |(id, record): &(&EventId, &Record)| query.wants(**id, record) && query.is_behind_cursor(**id);
        let mut events: Vec<(EventId, Record)> =
            self.events.iter().filter(wanted).map(|(id, record)| (*id, record.clone())).collect();
        if query.newest_first {
            events.reverse();
        }
        let more = events.len() > limit;
        events.truncate(limit);
        let last = events.last().map(|(id, _)| *id).or(query.after);
        EventPage { events, next: if more { last } else { None } }
    }

    fn expire(&mut self, before: Millis) -> Expired {
        let (events, rows, feed) = (self.events.len(), self.rows.len(), self.feed.len());
        let hour = Millis(before.0.div_euclid(3_600_000).saturating_mul(3_600_000));
        self.events.retain(|id, _| id.received >= hour);
        let lapsed =
            |row: &Row| StoredOutcome::read(&row.body).is_some_and(|once| Millis::from(once.until) < before);
        self.rows.retain(|key, row| !(matches!(key, Key::Idempotency(_)) && lapsed(row)));
        while let Some(oldest) = self.feed.first_entry() {
            if Millis::from(oldest.get().at) >= before {
                break;
            }
            self.forgotten = *oldest.key();
            oldest.remove();
        }
        Expired {
            events: difference(events, self.events.len()),
            outcomes: difference(rows, self.rows.len()),
            commits: difference(feed, self.feed.len()),
        }
    }

    fn changes(&self, after: Revision, limit: usize) -> Feed {
        if after < self.forgotten {
            return Feed::Gone { resume: self.revision };
        }
        let limit = limit.clamp(1, limits::PAGE_ROWS);
        Feed::Commits(self.feed.range(after.next()..).take(limit).map(|(_, commit)| commit.clone()).collect())
    }

    fn lease(&mut self, request: &LeaseRequest) -> Result<LeaseAnswer, StoreError> {
        let key = Key::Lease(request.name.clone());
        let (answer, row) = lease::decide(request, self.rows.get(&key), self.revision.next())
            .map_err(|lease::Unreadable| StoreError::Corrupt(key.to_string()))?;
        if let Some(row) = row {
            self.revision = self.revision.max(row.revision);
            self.rows.insert(key, row);
        }
        Ok(answer)
    }

    fn load(&mut self, set: Set, generation: u64, chunk: Chunk) -> Result<(), StoreError> {
        not_current(set, generation, self.rows.get(&Key::Generation(set)))?;
        self.revision = self.revision.next();
        for (key, body) in chunk.into_documents(set, generation) {
            self.rows.insert(key, Row { revision: self.revision, body });
        }
        Ok(())
    }

    fn drop_generation(&mut self, set: Set, generation: u64) -> Result<u64, StoreError> {
        not_current(set, generation, self.rows.get(&Key::Generation(set)))?;
        let (index, rows) = (Index::RowsOf(set, generation), self.rows.len());
        self.rows.retain(|key, _| !index.holds(key));
        Ok(difference(rows, self.rows.len()))
    }

    fn backup(&self, into: &mut dyn Write) -> Result<Backup, StoreError> {
        let mut writer = archive::Writer::begin(into)?;
        for (key, row) in &self.rows {
            writer.put(&Item::Row(key.clone(), row.clone()))?;
        }
        for changed in self.feed.values() {
            writer.put(&Item::Changed(changed.clone()))?;
        }
        for (id, record) in &self.events {
            writer.put(&Item::Events(id.received, id.device, vec![record.clone()]))?;
        }
        writer.put(&Item::Counters(self.counters()))?;
        writer.finish()
    }

    fn restore(&mut self, from: &Path) -> Result<Backup, StoreError> {
        if self.revision != Revision::default() || !self.rows.is_empty() {
            return Err(archive::not_empty());
        }
        let mut reader = archive::Reader::open(from)?;
        let mut state = Self::default();
        while let Some(item) = reader.next()? {
            state.take(item);
        }
        *self = state;
        Ok(reader.backup())
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Row(key, row) => {
                self.rows.insert(key, row);
            }
            Item::Changed(changed) => {
                self.feed.insert(changed.revision, changed);
            }
            Item::Events(received, device, records) => {
                let id = |record: &Record| EventId { received, device, position: record.position };
                self.events.extend(records.into_iter().map(|record| (id(&record), record)));
            }
            Item::Counters(counters) => {
                (self.revision, self.forgotten) = (counters.revision, counters.forgotten);
                self.audited = counters.audited;
            }
        }
    }

    fn counters(&self) -> Counters {
        Counters { revision: self.revision, audited: self.audited, forgotten: self.forgotten }
    }
}

fn difference(before: usize, after: usize) -> u64 {
    u64::try_from(before.saturating_sub(after)).unwrap_or(u64::MAX)
}
