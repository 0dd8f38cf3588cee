//! What each verb of the store reads, from one moment of an engine.
//!
//! A page ends at its rows, at its bytes, or at the effort that one read may cost, whichever comes first; so no query
//! of a person holds a thread for long, and the answer says where to go on.

use std::io::Write;
use std::ops::ControlFlow::{self, Break, Continue};

use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_proto::telemetry::{Position, Record};
use cordon_proto::time::Millis;

use super::frame::{self, COUNTERS_KEY};
use super::{Space, Span, View, write};
use crate::store::archive::{self, Counters, Item};
use crate::store::{
    Backup, Cursor, EventId, EventPage, EventQuery, Feed, Index, Key, Page, Revision, Row, StoreError, chunk,
};

/// Chunks, or hours of a device, that one page of telemetry looks at.
const EFFORT: usize = 4096;

pub(super) fn counters(view: &dyn View) -> Result<Counters, StoreError> {
    let Some(value) = view.get(Space::Own, COUNTERS_KEY)? else { return Ok(Counters::default()) };
    let payload = frame::open(Space::Own, COUNTERS_KEY, &value)?;
    Counters::from_bytes(payload).ok_or_else(|| frame::damaged(Space::Own, COUNTERS_KEY))
}

pub(super) fn row_if(key: &[u8], value: Option<Vec<u8>>) -> Result<Option<Row>, StoreError> {
    value.map(|value| row(key, &value)).transpose()
}

pub(super) fn scan(view: &dyn View, index: &Index, from: &Cursor, limit: usize) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, limits::PAGE_ROWS);
    let span = Span::of(Space::Rows, &index.prefix()).going(from.goes_down());
    let span = match from {
        Cursor::First | Cursor::Last => span,
        Cursor::After(key) => span.from(frame::after_key(&key.to_bytes())),
        Cursor::Before(key) => span.below(key.to_bytes()),
    };
    let (mut rows, mut bytes, mut more) = (Vec::new(), 0_usize, false);
    each(view, &span, |key, value| {
        if rows.len() >= limit || bytes >= limits::PAGE_BYTES {
            more = true;
            return Ok(Break(()));
        }
        bytes = bytes.saturating_add(value.len());
        let name = Key::from_bytes(key).map_err(|_| frame::damaged(Space::Rows, key))?;
        rows.push((name, row(key, value)?));
        Ok(Continue(()))
    })?;
    let last = rows.last().map_or_else(|| from.clone(), |(key, _)| from.behind(key.clone()));
    Ok(Page { rows, next: more.then_some(last) })
}

pub(super) fn changes(view: &dyn View, after: Revision, limit: usize) -> Result<Feed, StoreError> {
    let counters = counters(view)?;
    if after < counters.forgotten {
        return Ok(Feed::Gone { resume: counters.revision });
    }
    let limit = limit.clamp(1, limits::PAGE_ROWS);
    let span = Span::of(Space::Feed, &[]).from(after.next().0.to_be_bytes().to_vec());
    let (mut commits, mut keys) = (Vec::new(), 0_usize);
    each(view, &span, |key, value| {
        if commits.len() >= limit || keys >= Feed::KEYS {
            return Ok(Break(()));
        }
        let changed = write::changed_of(key, value)?;
        keys = keys.saturating_add(changed.keys.len());
        commits.push(changed);
        Ok(Continue(()))
    })?;
    Ok(Feed::Commits(commits))
}

pub(super) fn events(view: &dyn View, query: &EventQuery) -> Result<EventPage, StoreError> {
    let mut pager = Pager::new(query);
    match query.device {
        Some(device) => events_of(view, &mut pager, device)?,
        None => {
            let span = Span::of(Space::Events, &[])
                .from(frame::event_prefix(pager.lowest(), None))
                .below_if(frame::after_prefix(&frame::event_prefix(pager.highest(), None)))
                .going(query.newest_first);
            // Full or at the end: the pager knows which.
            let _ = pager.read(view, &span)?;
        }
    }
    Ok(pager.page())
}

/// Walks the hours in which anything arrived, and in each the batches of the device.
fn events_of(view: &dyn View, pager: &mut Pager<'_>, device: DeviceId) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (edge(view, false)?, edge(view, true)?) else { return Ok(()) };
    let first = first.max(frame::hour_of(pager.lowest()));
    let last = last.min(frame::hour_of(pager.highest()));
    let down = pager.query.newest_first;
    let mut hour = if down { last } else { first };
    while first <= hour && hour <= last {
        let start = frame::start_of_hour(hour);
        if !pager.spend(start, device) {
            return Ok(());
        }
        let mut arrivals = arrivals(view, hour, device)?;
        if down {
            arrivals.reverse();
        }
        for at in arrivals {
            if at < pager.lowest() || pager.highest() < at {
                continue;
            }
            let prefix = frame::event_prefix(at, Some(device));
            if pager.read(view, &Span::of(Space::Events, &prefix).going(down))?.is_break() {
                return Ok(());
            }
        }
        hour = if down { hour.saturating_sub(1) } else { hour.saturating_add(1) };
    }
    Ok(())
}

/// The first or the last hour in which anything arrived.
fn edge(view: &dyn View, down: bool) -> Result<Option<i64>, StoreError> {
    let mut hour = None;
    view.range(&Span::of(Space::Hours, &[]).going(down), &mut |key, _| {
        hour = frame::hour_of_key(key);
        Break(())
    })?;
    Ok(hour)
}

fn arrivals(view: &dyn View, hour: i64, device: DeviceId) -> Result<Vec<Millis>, StoreError> {
    let key = frame::hour_key(hour, device);
    let Some(value) = view.get(Space::Hours, &key)? else { return Ok(Vec::new()) };
    let payload = frame::open(Space::Hours, &key, &value)?;
    frame::arrivals_of(payload).ok_or_else(|| frame::damaged(Space::Hours, &key))
}

/// One page of telemetry being filled.
struct Pager<'q> {
    query: &'q EventQuery,
    limit: usize,
    events: Vec<(EventId, Record)>,
    bytes: usize,
    effort: usize,
    /// Where the next page begins, once this one had to end.
    next: Option<EventId>,
}

impl<'q> Pager<'q> {
    fn new(query: &'q EventQuery) -> Self {
        let limit = query.limit.clamp(1, limits::PAGE_ROWS);
        Self { query, limit, events: Vec::new(), bytes: 0, effort: 0, next: None }
    }

    /// The first arrival that can hold anything for this page.
    fn lowest(&self) -> Millis {
        let after = self.query.after.filter(|_| !self.query.newest_first);
        after.map_or(self.query.from, |after| after.received.max(self.query.from))
    }

    /// The last arrival that can hold anything for this page.
    fn highest(&self) -> Millis {
        let last = self.query.until.plus(-1);
        let after = self.query.after.filter(|_| self.query.newest_first);
        after.map_or(last, |after| after.received.min(last))
    }

    /// Counts one look at an hour; when the effort is spent, the next page begins at that hour.
    fn spend(&mut self, start: Millis, device: DeviceId) -> bool {
        self.effort = self.effort.saturating_add(1);
        if self.effort <= EFFORT {
            return true;
        }
        // Nothing of this hour was read: upwards the page ends before its first millisecond, downwards after its last.
        let position = Position { boot: u64::MAX, sequence: u64::MAX };
        let at = if self.query.newest_first { start.plus(frame::HOUR_MS) } else { start.plus(-1) };
        let position = if self.query.newest_first { Position::default() } else { position };
        self.next = Some(EventId { received: at, device, position });
        false
    }

    /// Takes what is wanted from the chunks of a span; breaks when the page is full.
    fn read(&mut self, view: &dyn View, span: &Span) -> Result<ControlFlow<()>, StoreError> {
        let mut full = Continue(());
        each(view, span, |key, value| {
            full = self.take(key, value)?;
            Ok(full)
        })?;
        Ok(full)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<ControlFlow<()>, StoreError> {
        let payload = frame::open(Space::Events, key, value)?;
        let origin = frame::event_origin(key).zip(chunk::records(payload));
        let ((received, device), mut records) = origin.ok_or_else(|| frame::damaged(Space::Events, key))?;
        if self.query.newest_first {
            records.reverse();
        }
        let mut last = None;
        for record in records {
            let id = EventId { received, device, position: record.position };
            if self.query.wants(id, &record) && self.query.is_behind_cursor(id) {
                if self.events.len() >= self.limit || self.bytes >= limits::PAGE_BYTES {
                    self.next = self.events.last().map(|(id, _)| *id).or(self.query.after);
                    return Ok(Break(()));
                }
                self.bytes = self.bytes.saturating_add(record.body.len());
                self.events.push((id, record));
            }
            last = Some(id);
        }
        self.effort = self.effort.saturating_add(1);
        if self.effort > EFFORT {
            self.next = last;
            return Ok(Break(()));
        }
        Ok(Continue(()))
    }

    fn page(self) -> EventPage {
        EventPage { events: self.events, next: self.next }
    }
}

pub(super) fn backup(view: &dyn View, into: &mut dyn Write) -> Result<Backup, StoreError> {
    let mut writer = archive::Writer::begin(into)?;
    each(view, &Span::of(Space::Rows, &[]), |key, value| {
        let name = Key::from_bytes(key).map_err(|_| frame::damaged(Space::Rows, key))?;
        writer.put(&Item::Row(name, row(key, value)?)).map(Continue)
    })?;
    each(view, &Span::of(Space::Feed, &[]), |key, value| {
        writer.put(&Item::Changed(write::changed_of(key, value)?)).map(Continue)
    })?;
    each(view, &Span::of(Space::Events, &[]), |key, value| {
        let payload = frame::open(Space::Events, key, value)?;
        let origin = frame::event_origin(key).zip(chunk::records(payload));
        let ((received, device), records) = origin.ok_or_else(|| frame::damaged(Space::Events, key))?;
        writer.put(&Item::Events(received, device, records)).map(Continue)
    })?;
    writer.put(&Item::Counters(counters(view)?))?;
    writer.finish()
}

fn row(key: &[u8], value: &[u8]) -> Result<Row, StoreError> {
    let payload = frame::open(Space::Rows, key, value)?;
    frame::row_of(payload).ok_or_else(|| frame::damaged(Space::Rows, key))
}

/// Visits a span with a visitor that may fail.
fn each(
    view: &dyn View,
    span: &Span,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut failed = None;
    view.range(span, &mut |key, value| {
        visit(key, value).unwrap_or_else(|error| {
            failed = Some(error);
            Break(())
        })
    })?;
    failed.map_or(Ok(()), Err)
}
