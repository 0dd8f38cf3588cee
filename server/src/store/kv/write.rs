//! What each verb of the store writes, over the group's overlay.
//!
//! The decisions are `cordon_server_core::change`'s; here they become entries of a batch. All reads of a verb come
//! before its writes. Removals of unknown size go in steps that others get between.

use cordon_proto::ids::DeviceId;
use cordon_proto::telemetry::Record;
use cordon_proto::time::Millis;
use cordon_server_core::change::delivery::{watermark_body, watermark_of};
use cordon_server_core::change::{Changed, Decision, Next, Refusal, StoredOutcome, apply, lease as leases};

use super::frame::{self, FORMAT, FORMAT_KEY, RESTORING_KEY};
use super::overlay::Overlay;
use super::{Kv, Place, Space, Span};
use crate::store::archive::{self, Item};
use crate::store::{
    Appended, Chunk, Commit, Committed, Delivery, EventId, Expired, Index, Key, Kind, LeaseAnswer,
    LeaseRequest, Revision, Row, Set, StoreError, chunk, not_current,
};

/// Entries of one step of a removal.
const STEP: usize = 2048;

/// Checks that the engine holds a store of this version, marks an empty one, and says its last revision. Several servers
/// may do so at once.
pub(super) fn open(engine: &impl Kv) -> Result<Revision, StoreError> {
    let mut found = None;
    engine.transact(&mut |view| {
        let mut overlay = Overlay::new(view);
        found = Some(overlay.attempt(look));
        overlay.into_batch()
    })?;
    found.expect("an engine decides before it says that it wrote")
}

fn look(overlay: &mut Overlay<'_>) -> Result<Revision, StoreError> {
    if overlay.get(Space::Own, RESTORING_KEY)?.is_some() {
        let doing = "open: remove this store and restore the backup again";
        return Err(StoreError::unavailable(doing, "a restore did not end"));
    }
    match overlay.get(Space::Own, FORMAT_KEY)?.as_deref() {
        Some([FORMAT]) => Ok(overlay.counters()?.revision),
        Some(_) => {
            let doing = "open: start the version of the server that wrote it";
            Err(StoreError::unavailable(doing, "the store was written by a newer version"))
        }
        None => {
            overlay.put(Space::Own, FORMAT_KEY.to_vec(), &[FORMAT]);
            Ok(Revision::default())
        }
    }
}

/// The place of a document.
pub(super) fn row_read(key: &Key) -> Place {
    (Space::Rows, key.to_bytes())
}

/// What [`commit`] will read.
pub(super) fn commit_reads(commit: &Commit) -> Vec<Place> {
    commit.reads().iter().map(row_read).collect()
}

/// What [`append`] will read, unless the device's batches crowd into one millisecond at the end of an hour.
pub(super) fn append_reads(delivery: &Delivery) -> Vec<Place> {
    let (device, hour) = (delivery.device(), frame::hour_of(delivery.received()));
    vec![row_read(&Key::Watermark(device)), (Space::Hours, frame::hour_key(hour, device))]
}

pub(super) fn commit(overlay: &mut Overlay<'_>, commit: Commit) -> Result<Committed, StoreError> {
    let mut counters = overlay.counters()?;
    let next = Next { revision: counters.revision.next(), sequence: counters.audited.saturating_add(1) };
    let writes = match apply(commit, next, |key| overlay.row(key)) {
        Ok(Decision::Repeated(committed)) => return Ok(committed),
        Ok(Decision::Write(writes)) => writes,
        Err(Refusal::Conflict(key)) => return Err(StoreError::Conflict(key)),
        Err(Refusal::Corrupt(key)) => return Err(StoreError::Corrupt(key.to_string())),
        Err(Refusal::Load(error)) => return Err(error),
    };
    for (key, body) in writes.rows {
        match body {
            Some(body) => overlay.put_row(&key, &Row { revision: next.revision, body }),
            None => overlay.delete_row(&key),
        }
    }
    if !writes.changed.keys.is_empty() {
        put_changed(overlay, &writes.changed);
    }
    counters.revision = next.revision;
    counters.audited = writes.next_sequence.saturating_sub(1);
    overlay.set_counters(counters);
    Ok(writes.committed)
}

pub(super) fn append(overlay: &mut Overlay<'_>, delivery: Delivery) -> Result<Appended, StoreError> {
    let (device, mut received) = (delivery.device(), delivery.received());
    let key = Key::Watermark(device);
    let watermark = match overlay.row(&key)? {
        Some(row) => Some(watermark_of(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?),
        None => None,
    };
    let fresh = delivery.split(watermark);
    if fresh.records.is_empty() {
        return Ok(fresh.appended);
    }
    while arrivals(overlay, received, device)?.contains(&received) {
        received = received.plus(1);
    }
    let mut counters = overlay.counters()?;
    counters.revision = counters.revision.next();
    let body = watermark_body(fresh.appended.through);
    put_events(overlay, received, device, &fresh.records)?;
    overlay.put_row(&key, &Row { revision: counters.revision, body });
    overlay.set_counters(counters);
    Ok(fresh.appended)
}

pub(super) fn lease(overlay: &mut Overlay<'_>, request: &LeaseRequest) -> Result<LeaseAnswer, StoreError> {
    let key = Key::Lease(request.name.clone());
    let mut counters = overlay.counters()?;
    let current = overlay.row(&key)?;
    let (answer, row) = leases::decide(request, current.as_ref(), counters.revision.next())
        .map_err(|leases::Unreadable| StoreError::Corrupt(key.to_string()))?;
    if let Some(row) = row {
        counters.revision = counters.revision.max(row.revision);
        overlay.put_row(&key, &row);
        overlay.set_counters(counters);
    }
    Ok(answer)
}

pub(super) fn load(
    overlay: &mut Overlay<'_>,
    set: Set,
    generation: u64,
    chunk: Chunk,
) -> Result<(), StoreError> {
    not_current(set, generation, overlay.row(&Key::Generation(set))?.as_ref())?;
    let mut counters = overlay.counters()?;
    counters.revision = counters.revision.next();
    for (key, body) in chunk.into_documents(set, generation) {
        overlay.put_row(&key, &Row { revision: counters.revision, body });
    }
    overlay.set_counters(counters);
    Ok(())
}

/// One step: how many rows went, and whether that was the last.
pub(super) fn drop_generation(
    overlay: &mut Overlay<'_>,
    set: Set,
    generation: u64,
) -> Result<(u64, bool), StoreError> {
    not_current(set, generation, overlay.row(&Key::Generation(set))?.as_ref())?;
    let span = Span::of(Space::Rows, &Index::RowsOf(set, generation).prefix());
    let rows = overlay.some_of(&span, STEP)?;
    let found = rows.len();
    for (key, _) in rows {
        overlay.delete(Space::Rows, key);
    }
    Ok((number(found), found < STEP))
}

/// One step: what went, and whether that was the last.
pub(super) fn expire(overlay: &mut Overlay<'_>, before: Millis) -> Result<(Expired, bool), StoreError> {
    let mut expired = Expired::default();
    let hour = frame::hour_of(before);
    let old = Span::of(Space::Events, &[]).below(frame::event_prefix(frame::start_of_hour(hour), None));
    let chunks = overlay.some_of(&old, STEP)?;
    let mut done = chunks.len() < STEP;
    for (key, value) in chunks {
        let payload = frame::open(Space::Events, &key, &value)?;
        expired.events = expired.events.saturating_add(chunk::count(payload).unwrap_or(0).into());
        overlay.delete(Space::Events, key);
    }
    let old = Span::of(Space::Hours, &[]).below(frame::hour_start(hour));
    let hours = overlay.some_of(&old, STEP)?;
    done &= hours.len() < STEP;
    for (key, _) in hours {
        overlay.delete(Space::Hours, key);
    }
    done &= forget_commits(overlay, before, &mut expired)?;
    if done {
        forget_outcomes(overlay, before, &mut expired)?;
    }
    Ok((expired, done))
}

fn forget_commits(
    overlay: &mut Overlay<'_>,
    before: Millis,
    expired: &mut Expired,
) -> Result<bool, StoreError> {
    let commits = overlay.some_of(&Span::of(Space::Feed, &[]), STEP)?;
    let mut counters = overlay.counters()?;
    let all = commits.len();
    let mut gone = 0_usize;
    for (key, value) in commits {
        let changed = changed_of(&key, &value)?;
        if Millis::from(changed.at) >= before {
            break;
        }
        counters.forgotten = changed.revision;
        overlay.delete(Space::Feed, key);
        gone = gone.saturating_add(1);
    }
    if gone > 0 {
        overlay.set_counters(counters);
    }
    expired.commits = number(gone);
    Ok(all < STEP || gone < all)
}

/// Outcomes are few: people's and tools' requests of a day.
fn forget_outcomes(
    overlay: &mut Overlay<'_>,
    before: Millis,
    expired: &mut Expired,
) -> Result<(), StoreError> {
    let span = Span::of(Space::Rows, &Index::All(Kind::Idempotency).prefix());
    for (key, value) in overlay.some_of(&span, usize::MAX)? {
        let payload = frame::open(Space::Rows, &key, &value)?;
        let row = frame::row_of(payload).ok_or_else(|| frame::damaged(Space::Rows, &key))?;
        let once = StoredOutcome::read(&row.body);
        if once.is_some_and(|once| Millis::from(once.until) < before) {
            overlay.delete(Space::Rows, key);
            expired.outcomes = expired.outcomes.saturating_add(1);
        }
    }
    Ok(())
}

/// Marks an empty store as half restored, until [`end_restore`].
pub(super) fn begin_restore(overlay: &mut Overlay<'_>) -> Result<(), StoreError> {
    let rows = overlay.some_of(&Span::of(Space::Rows, &[]), 1)?;
    if overlay.counters()?.revision != Revision::default() || !rows.is_empty() {
        return Err(archive::not_empty());
    }
    overlay.put(Space::Own, RESTORING_KEY.to_vec(), &[]);
    Ok(())
}

pub(super) fn restore(overlay: &mut Overlay<'_>, items: Vec<Item>) -> Result<(), StoreError> {
    for item in items {
        match item {
            Item::Row(key, row) => overlay.put_row(&key, &row),
            Item::Changed(changed) => put_changed(overlay, &changed),
            Item::Events(received, device, records) => put_events(overlay, received, device, &records)?,
            Item::Counters(counters) => overlay.set_counters(counters),
        }
    }
    Ok(())
}

pub(super) fn end_restore(overlay: &mut Overlay<'_>) -> Result<Revision, StoreError> {
    overlay.delete(Space::Own, RESTORING_KEY.to_vec());
    Ok(overlay.counters()?.revision)
}

/// A commit as stored for followers.
pub(super) fn changed_of(key: &[u8], value: &[u8]) -> Result<Changed, StoreError> {
    let payload = frame::open(Space::Feed, key, value)?;
    let revision = key.try_into().ok().map(|key| Revision(u64::from_be_bytes(key)));
    let changed = revision.and_then(|revision| Changed::from_bytes(revision, payload));
    changed.ok_or_else(|| frame::damaged(Space::Feed, key))
}

fn put_changed(overlay: &mut Overlay<'_>, changed: &Changed) {
    overlay.put(Space::Feed, changed.revision.0.to_be_bytes().to_vec(), &changed.to_bytes());
}

/// The chunks of the records, and their arrival in the hour's index of the device.
fn put_events(
    overlay: &mut Overlay<'_>,
    received: Millis,
    device: DeviceId,
    records: &[Record],
) -> Result<(), StoreError> {
    let hour = frame::hour_key(frame::hour_of(received), device);
    let mut arrivals = arrivals(overlay, received, device)?;
    if let Err(place) = arrivals.binary_search(&received) {
        arrivals.insert(place, received);
        overlay.put(Space::Hours, hour, &frame::arrivals_bytes(&arrivals));
    }
    for (first, chunk) in chunk::chunks(records) {
        let id = EventId { received, device, position: first.position };
        overlay.put(Space::Events, frame::event_key(id), &chunk);
    }
    Ok(())
}

/// When batches of the device arrived within the hour of `received`.
fn arrivals(overlay: &Overlay<'_>, received: Millis, device: DeviceId) -> Result<Vec<Millis>, StoreError> {
    let hour = frame::hour_key(frame::hour_of(received), device);
    match overlay.get(Space::Hours, &hour)? {
        Some(payload) => frame::arrivals_of(&payload).ok_or_else(|| frame::damaged(Space::Hours, &hour)),
        None => Ok(Vec::new()),
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
