//! The spool: records wait here until the server has stored them, through power cuts, full disks and weeks offline.
//!
//! An append-only log of checksummed frames in segments, over a small [`Storage`] port. One group of records is one
//! write and one sync; a full spool drops its oldest segment; whatever is lost is counted and said in a
//! [`Gap`](cordon_proto::telemetry::Gap) record of the spool itself, so that a hole is never a quiet one. The
//! watermark of what the server holds is only a hint: if it is lost, records are sent again, and the server stores
//! each position once. The spool never stops the agent: when it cannot write, it counts and goes on.
//!
//! Read next: [`frame`] for the bytes, [`walk`] for damage; the files themselves are in the agent's `spool_file`.

pub mod frame;
pub mod walk;

#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::sorting::sort;
use cordon_proto::telemetry::{Body, Gap, GapReason, Position, Record};
use cordon_proto::time::Millis;
use cordon_proto::wire;

use frame::Head;
use walk::{Found, Walk};

/// Why the storage under the spool did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No room left on the disk.
    #[error("the disk is full: free some space; until then new records are counted as lost")]
    Full,
    /// Anything else: the adapter's log has the cause.
    #[error("the spool's storage failed: see the agent's log for the file and the cause")]
    Broken,
}

/// What is remembered beside the segments. Losing it costs a repeated delivery, never a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The server holds everything up to here.
    pub through: Position,
    /// Records lost, ever.
    pub lost: u64,
}

/// Where segments are kept. A segment is a numbered file that only grows.
pub trait Storage {
    /// The segments that exist with their lengths, in any order.
    fn segments(&mut self) -> Result<Vec<(u64, u64)>, Fault>;
    /// Makes an empty segment whose name survives a power cut.
    fn create(&mut self, segment: u64) -> Result<(), Fault>;
    /// Writes at the end of a segment; when it returns, the bytes survive a power cut.
    fn append(&mut self, segment: u64, bytes: &[u8]) -> Result<(), Fault>;
    /// Cuts a segment to a length.
    fn truncate(&mut self, segment: u64, length: u64) -> Result<(), Fault>;
    /// Reads into `buffer` from `offset`, as much as there is.
    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault>;
    /// Removes a segment.
    fn remove(&mut self, segment: u64) -> Result<(), Fault>;
    /// The mark last kept, if it is readable. A hint.
    fn mark(&mut self) -> Option<Mark>;
    /// Keeps the mark, without waiting for the disk.
    fn keep_mark(&mut self, mark: Mark);
}

/// Sizes of one spool. The product uses [`Bounds::default`]; tests use smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all segments.
    pub total: u64,
    /// Bytes of one segment.
    pub segment: u64,
    /// Bytes of one record's body.
    pub record: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            total: limits::SPOOL_BYTES,
            segment: limits::SPOOL_SEGMENT_BYTES,
            record: limits::RECORD_BYTES,
        }
    }
}

/// What became of a group of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All are stored and survive a power cut; this is the position of the last.
    Stored(Position),
    /// Records of the group that could not be written, counted as a gap; the ones before them are stored.
    Lost {
        /// How many.
        count: u64,
        /// Why.
        fault: Fault,
    },
    /// A record is larger than the spool's bound; nothing of the group was stored or counted.
    TooLarge,
}

/// How the spool is, for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Bytes stored.
    pub bytes: u64,
    /// Segments stored.
    pub segments: usize,
    /// Records that wait to be sent.
    pub waiting: u64,
    /// Records lost, ever.
    pub lost: u64,
    /// Bytes that were no frame: torn ends and damage, since the agent started.
    pub damaged_bytes: u64,
    /// What the storage last refused; `None` once it works again.
    pub fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    length: u64,
    last: Option<Position>,
}

/// A record handed out by [`Spool::read`] and not yet acknowledged.
#[derive(Clone, Copy, Debug)]
struct Handed {
    position: Position,
    segment: u64,
    end: u64,
    /// Records missing before it.
    hole: u64,
}

/// What dropping segments costs.
#[derive(Clone, Copy, Debug)]
struct Doom {
    /// The gap to tell.
    gap: Option<Gap>,
    /// Records lost by it.
    records: u64,
    /// Frames removed with it that were waiting, gap records included.
    frames: u64,
}

/// The spool over its storage.
#[derive(Debug)]
pub struct Spool<S> {
    storage: S,
    bounds: Bounds,
    segments: VecDeque<Segment>,
    /// Where the first record that is not acknowledged begins.
    cursor: (u64, u64),
    /// The record before the cursor, if it was seen by this process and nothing was dropped since.
    before_cursor: Option<Position>,
    handed: Vec<Handed>,
    watermark: Position,
    next: Position,
    pending: Option<Gap>,
    health: Health,
}

impl<S: Storage> Spool<S> {
    /// Opens what is there. `boot` is the agent's boot number; it is raised above any that is stored, so that positions
    /// always rise: use [`Spool::boot`] afterwards.
    pub fn open(storage: S, bounds: Bounds, boot: u64) -> Result<Self, Fault> {
        let mut spool = Self {
            storage,
            bounds,
            segments: VecDeque::new(),
            cursor: (0, 0),
            before_cursor: None,
            handed: Vec::new(),
            watermark: Position::default(),
            next: Position { boot, sequence: 1 },
            pending: None,
            health: Health::default(),
        };
        let mut found = spool.storage.segments()?;
        sort(&mut found);
        let mut end = 0;
        for (number, length) in found {
            end = spool.adopt(number, length.min(bounds.segment.saturating_mul(2)))?;
        }
        spool.cut_torn_end(end);
        let stored = spool.segments.iter().filter_map(|segment| segment.last).max();
        let mark = spool.storage.mark().unwrap_or_default();
        (spool.watermark, spool.health.lost) = (mark.through, mark.lost);
        let highest = stored.unwrap_or_default().boot.max(mark.through.boot);
        spool.next.boot = boot.max(highest.saturating_add(1));
        spool.cursor = spool.segments.front().map_or((0, 0), |segment| (segment.number, 0));
        spool.seek()?;
        spool.drop_acknowledged();
        Ok(spool)
    }

    /// The boot number that new records carry.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.next.boot
    }

    /// How the spool is.
    #[must_use]
    pub fn health(&self) -> Health {
        let bytes = self.segments.iter().map(|segment| segment.length).sum();
        Health { bytes, segments: self.segments.len(), ..self.health }
    }

    /// Stores a group in order, with whatever gap is waiting to be told before it: one write and one sync, two where
    /// the group crosses into a new segment.
    pub fn append(&mut self, group: &[(Millis, Body)]) -> Kept {
        let Some((time, _)) = group.first() else { return Kept::Stored(self.last()) };
        let bodies: Vec<Record> = group.iter().map(|(time, body)| body.record(self.next, *time)).collect();
        if bodies.iter().any(|record| record.body.len() > self.bounds.record) {
            return Kept::TooLarge;
        }
        let mut stored = 0;
        while stored < bodies.len() {
            match self.write_some(bodies.get(stored..).unwrap_or_default(), *time) {
                Ok(written) => stored += written,
                Err(fault) => return self.lose(bodies.len() - stored, fault),
            }
        }
        self.health.fault = None;
        Kept::Stored(self.last())
    }

    /// The oldest records that are not acknowledged: at most `bytes` of bodies and `limits::BATCH_RECORDS`, but at
    /// least one record if there is any. Reading again without acknowledging gives the same records again.
    pub fn read(&mut self, bytes: usize) -> Result<Vec<Record>, Fault> {
        self.handed.clear();
        let mut records = Vec::new();
        let mut size = 0;
        let mut before = self.before_cursor;
        let from = self.segments.iter().position(|segment| segment.number == self.cursor.0).unwrap_or(0);
        let places: Vec<Segment> = self.segments.iter().skip(from).copied().collect();
        for segment in places {
            let start = if segment.number == self.cursor.0 { self.cursor.1 } else { 0 };
            let mut walk = Walk::new(segment.number, segment.length, start, self.bounds.record);
            while let Some(found) = walk.next(&mut self.storage)? {
                size += frame::HEAD + found.head.length;
                let full = size > bytes || records.len() >= limits::BATCH_RECORDS;
                if full && !records.is_empty() {
                    return Ok(records);
                }
                if self.hand_out(segment.number, &found, &mut before) {
                    records.push(record(&found.head, walk.body(&found)));
                }
            }
        }
        Ok(records)
    }

    /// The server holds everything up to `position`: moves on, and removes what is no longer needed.
    pub fn acknowledge(&mut self, position: Position) {
        if position <= self.watermark {
            return;
        }
        let count = self.handed.iter().take_while(|handed| handed.position <= position).count();
        let Some(last) = count.checked_sub(1).and_then(|place| self.handed.get(place)).copied() else {
            return;
        };
        self.health.waiting = self.health.waiting.saturating_sub(as_u64(count));
        let missing: u64 = self.handed.drain(..count).map(|handed| handed.hole).sum();
        let after = self.watermark;
        self.cursor = (last.segment, last.end);
        self.before_cursor = Some(last.position);
        self.watermark = last.position;
        self.keep_mark();
        if missing > 0 {
            self.count_gap(Gap { after, before: last.position, count: missing, reason: GapReason::Damaged });
        }
        self.drop_acknowledged();
    }

    /// Records that were lost and not yet told to the server by a stored gap record.
    #[must_use]
    pub fn pending_gap(&self) -> Option<Gap> {
        self.pending
    }

    fn last(&self) -> Position {
        Position { boot: self.next.boot, sequence: self.next.sequence.saturating_sub(1) }
    }

    /// Takes a segment found on opening into the index; returns where its last whole frame ends.
    fn adopt(&mut self, number: u64, length: u64) -> Result<u64, Fault> {
        let mut walk = Walk::new(number, length, 0, self.bounds.record);
        let (mut last, mut end) = (None, 0);
        while let Some(found) = walk.next(&mut self.storage)? {
            last = last.max(Some(found.head.position));
            end = found.end;
            self.health.damaged_bytes += found.skipped;
        }
        self.health.damaged_bytes += walk.trailing();
        self.segments.push_back(Segment { number, length, last });
        Ok(end)
    }

    /// Cuts the newest segment after its last whole frame: what a power cut tore was never promised to be there.
    fn cut_torn_end(&mut self, end: u64) {
        let Some(newest) = self.segments.back_mut() else { return };
        let whole = end == newest.length || self.storage.truncate(newest.number, end).is_ok();
        // A segment that cannot be cut is closed by counting it as full.
        newest.length = if whole { end } else { newest.length.max(self.bounds.segment) };
    }

    fn keep_mark(&mut self) {
        self.storage.keep_mark(Mark { through: self.watermark, lost: self.health.lost });
    }

    /// Moves the cursor past what the watermark covers, and counts what waits behind it.
    fn seek(&mut self) -> Result<(), Fault> {
        for segment in self.segments.clone() {
            let mut walk = Walk::new(segment.number, segment.length, 0, self.bounds.record);
            while let Some(found) = walk.next(&mut self.storage)? {
                if found.head.position > self.watermark {
                    self.health.waiting += 1;
                } else if self.health.waiting == 0 {
                    self.cursor = (segment.number, found.end);
                    self.before_cursor = Some(found.head.position);
                }
            }
        }
        Ok(())
    }

    /// Remembers a record on its way to the server; `false` for one that is out of order, which only damage can make.
    fn hand_out(&mut self, segment: u64, found: &Found, before: &mut Option<Position>) -> bool {
        let position = found.head.position;
        if before.is_some_and(|before| position <= before) || position <= self.watermark {
            return false;
        }
        let jump = match before {
            Some(before) if before.boot == position.boot => position.sequence - before.sequence - 1,
            Some(_) | None => 0,
        };
        let hole = jump.max(u64::from(found.skipped > 0));
        self.handed.push(Handed { position, segment, end: found.end, hole });
        *before = Some(position);
        true
    }

    /// Writes as many of `records` as fit the current segment, opening a new one where none fits.
    fn write_some(&mut self, records: &[Record], time: Millis) -> Result<usize, Fault> {
        let first = records.first().map_or(0, |record| record.body.len()) + frame::HEAD;
        let room = self.segments.back().map_or(0, |newest| self.bounds.segment.saturating_sub(newest.length));
        let gap_room = if self.pending.is_some() { GAP_FRAME } else { 0 };
        if as_u64(first + gap_room) > room {
            self.rotate()?;
        }
        let doomed = self.doomed();
        let Doom { gap, records: dropped, frames } = self.gap_of(&doomed)?;
        let mut bytes = Vec::new();
        let mut next = self.next;
        if let Some(gap) = gap {
            let body = wire::write(&gap);
            push(&mut bytes, &mut next, time, (Body::Gap(gap).kind(), &body));
        }
        let length = self.segments.back().map_or(0, |newest| newest.length);
        let mut written = 0;
        for record in records {
            let size = length + as_u64(bytes.len() + frame::HEAD + record.body.len());
            if written > 0 && size > self.bounds.segment {
                break;
            }
            push(&mut bytes, &mut next, record.time, (record.kind, &record.body));
            written += 1;
        }
        self.commit(&bytes, next)?;
        self.pending = None;
        let added = as_u64(written) + u64::from(gap.is_some());
        self.health.waiting = (self.health.waiting + added).saturating_sub(frames);
        if dropped > 0 {
            self.health.lost = self.health.lost.saturating_add(dropped);
            self.keep_mark();
        }
        doomed.iter().for_each(|number| self.remove(*number));
        Ok(written)
    }

    /// Appends bytes to the newest segment; if that fails, takes back what may have been written.
    fn commit(&mut self, bytes: &[u8], next: Position) -> Result<(), Fault> {
        let Some(newest) = self.segments.back().copied() else { return Err(Fault::Broken) };
        if let Err(fault) = self.storage.append(newest.number, bytes) {
            if self.storage.truncate(newest.number, newest.length).is_err() {
                // Some of the bytes may stay: their positions are used up and the segment is closed.
                self.next = next;
                if let Some(newest) = self.segments.back_mut() {
                    newest.length = self.bounds.segment;
                }
            }
            return Err(fault);
        }
        if let Some(newest) = self.segments.back_mut() {
            newest.length += as_u64(bytes.len());
            newest.last = Some(Position { boot: next.boot, sequence: next.sequence.saturating_sub(1) });
        }
        self.next = next;
        Ok(())
    }

    /// Opens a new segment.
    fn rotate(&mut self) -> Result<(), Fault> {
        let number = self.segments.back().map_or(1, |newest| newest.number + 1);
        self.storage.create(number)?;
        self.segments.push_back(Segment { number, length: 0, last: None });
        Ok(())
    }

    /// The oldest segments that must go so that the newest can fill. They are removed only after the gap that tells of
    /// them is stored, so room for one more segment is kept free: the bound holds at every moment.
    fn doomed(&self) -> Vec<u64> {
        let older = self.segments.len().saturating_sub(1);
        let mut total: u64 = self.segments.iter().take(older).map(|segment| segment.length).sum();
        let mut doomed = Vec::new();
        for segment in self.segments.iter().take(older) {
            if total + 2 * self.bounds.segment <= self.bounds.total {
                break;
            }
            total -= segment.length;
            doomed.push(segment.number);
        }
        doomed
    }

    /// What dropping `doomed` will lose, and the gap that tells of it and of what is waiting to be told.
    fn gap_of(&mut self, doomed: &[u64]) -> Result<Doom, Fault> {
        let (mut gap, mut records, mut frames) = (self.pending, 0, 0);
        for segment in self.segments.clone() {
            if !doomed.contains(&segment.number) {
                continue;
            }
            let mut walk = Walk::new(segment.number, segment.length, 0, self.bounds.record);
            while let Some(found) = walk.next(&mut self.storage)? {
                if found.head.position > self.watermark {
                    records += u64::from(found.head.kind != GAP_KIND);
                    frames += 1;
                    gap = Some(merge(gap, self.lost_with(&found.head, walk.body(&found))));
                }
            }
        }
        if !doomed.is_empty() {
            let kept = self
                .segments
                .iter()
                .find(|segment| !doomed.contains(&segment.number) && segment.last.is_some());
            let before = match kept {
                Some(segment) => first_of(&mut self.storage, *segment, self.bounds.record)?,
                None => None,
            };
            let here = before.unwrap_or(self.next);
            gap = gap.map(|gap| Gap { before: gap.before.max(here), ..gap });
        }
        Ok(Doom { gap, records, frames })
    }

    /// What is lost with one record: itself, or the gap it told of.
    fn lost_with(&self, head: &Head, body: &[u8]) -> Gap {
        let told =
            if head.kind == GAP_KIND { wire::read::<Gap>(body, self.bounds.record).ok() } else { None };
        let before = Position { sequence: head.position.sequence.saturating_add(1), ..head.position };
        let after = Position { sequence: head.position.sequence.saturating_sub(1), ..head.position };
        told.unwrap_or(Gap { after, before, count: 1, reason: GapReason::SpoolFull })
    }

    fn lose(&mut self, count: usize, fault: Fault) -> Kept {
        let count = as_u64(count);
        self.health.fault = Some(fault);
        let reason = match fault {
            Fault::Full => GapReason::DiskFull,
            Fault::Broken => GapReason::Damaged,
        };
        self.count_gap(Gap { after: self.last(), before: self.next, count, reason });
        Kept::Lost { count, fault }
    }

    fn count_gap(&mut self, gap: Gap) {
        self.health.lost = self.health.lost.saturating_add(gap.count);
        self.pending = Some(merge(self.pending, gap));
        self.keep_mark();
    }

    /// Removes the segments at the front whose records the server holds. The newest stays.
    fn drop_acknowledged(&mut self) {
        while self.segments.len() > 1 {
            let Some(oldest) = self.segments.front() else { return };
            if oldest.last.is_some_and(|last| last > self.watermark) {
                return;
            }
            let (number, before) = (oldest.number, self.before_cursor);
            self.remove(number);
            self.before_cursor = before;
        }
    }

    /// Removes one segment, and moves the cursor if it stood there.
    fn remove(&mut self, number: u64) {
        if self.storage.remove(number).is_err() {
            self.health.fault = Some(Fault::Broken);
        }
        self.segments.retain(|segment| segment.number != number);
        self.handed.retain(|handed| handed.segment != number);
        let oldest = self.segments.front().map_or((0, 0), |segment| (segment.number, 0));
        if self.cursor.0 < oldest.0 {
            self.cursor = oldest;
            self.before_cursor = None;
        }
    }
}

/// The kind of a gap record, see [`Body::kind`].
const GAP_KIND: u16 = 4;
/// The most bytes a gap's frame has: head, and five numbers of nine bytes with their array heads.
const GAP_FRAME: usize = frame::HEAD + 64;

fn record(head: &Head, body: &[u8]) -> Record {
    Record { position: head.position, time: head.time, kind: head.kind, body: body.to_vec().into() }
}

fn push(bytes: &mut Vec<u8>, next: &mut Position, time: Millis, (kind, body): (u16, &[u8])) {
    frame::write(bytes, &Head { position: *next, time, kind, length: body.len() }, body);
    next.sequence = next.sequence.saturating_add(1);
}

fn first_of<S: Storage>(storage: &mut S, segment: Segment, limit: usize) -> Result<Option<Position>, Fault> {
    let found = Walk::new(segment.number, segment.length, 0, limit).next(storage)?;
    Ok(found.map(|found| found.head.position))
}

/// Two gaps as one: the wider span, the sum, the later reason.
fn merge(earlier: Option<Gap>, later: Gap) -> Gap {
    match earlier {
        None => later,
        Some(earlier) => Gap {
            after: earlier.after.min(later.after),
            before: earlier.before.max(later.before),
            count: earlier.count.saturating_add(later.count),
            reason: later.reason,
        },
    }
}

fn as_u64(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
