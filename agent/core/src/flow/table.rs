//! The bounded flow table: sightings in, beginnings and ends out.
//!
//! A growing slab indexed by `u32`, found through a hash table whose keyed hasher is an argument (traffic is hostile),
//! with three queues by age. Time ends a flow (idle), splits it (active), or pressure does: a full table gives up ended
//! flows first, then those that were never established, then the longest unseen, so that a flood of half-open
//! connections cannot push out the established ones. Forced ends are counted, for the flood is itself the finding.
//! Iteration order never depends on the hasher: the same sightings give the same changes.

#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::Millis;
use hashbrown::HashTable;

use super::names::Names;
use super::{Connection, Counted, Flow, Phase, State, Traffic, Tuple};
use crate::dissect::flags::{ACK, FIN, RST, SYN};

/// No slot.
const NONE: u32 = u32::MAX;
/// Slots by which the slab grows at once.
const GROWTH: usize = 512;

/// What a sighting or the passing of time changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A flow has begun. Its traffic so far is told with its end.
    Began(Flow),
    /// Who was called has answered for the first time.
    Answered(Flow),
    /// A long flow goes on; its traffic since the last report.
    Continues(Flow),
    /// A flow has ended; its traffic since the last report.
    Ended(Flow),
}

/// How long flows are kept. The product uses [`Timeouts::default`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Milliseconds unseen after which a flow without an established connection has ended.
    pub short_ms: i64,
    /// Milliseconds unseen after which an established connection has ended.
    pub long_ms: i64,
    /// Milliseconds an ended flow is remembered.
    pub linger_ms: i64,
    /// Milliseconds after which a live flow is reported.
    pub active_ms: i64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            short_ms: limits::FLOW_IDLE_SHORT_S * 1000,
            long_ms: limits::FLOW_IDLE_LONG_S * 1000,
            linger_ms: limits::FLOW_LINGER_S * 1000,
            active_ms: limits::FLOW_ACTIVE_S * 1000,
        }
    }
}

/// The queue a slot waits in, oldest sighting first. The order of the variants is the order of giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Ended,
    Short,
    Long,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

/// Half of a tuple's keyed hash: fits beside the slot's other small fields, and is enough to find 14,336 flows by.
#[derive(Clone, Copy, Debug)]
struct Hash(u32);

impl Hash {
    fn of(whole: u64) -> Self {
        let [a, b, c, d, ..] = whole.to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }

    /// Spread over all bits again, for the index takes some from either end.
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// What is remembered of a flow's packets, as bits.
mod mark {
    /// The local end has said its last.
    pub(super) const LOCAL_ENDS: u8 = 1;
    /// The remote end has said its last.
    pub(super) const REMOTE_ENDS: u8 = 2;
    /// Who was called has answered.
    pub(super) const ANSWERED: u8 = 4;
    /// The name was learned after the beginning.
    pub(super) const NAMED_LATE: u8 = 8;
    /// One broke off, beside a socket that has not told its end yet.
    pub(super) const BROKEN_OFF: u8 = 16;
    /// Both have said their last.
    pub(super) const BOTH_END: u8 = LOCAL_ENDS | REMOTE_ENDS;
}

#[derive(Clone, Debug)]
struct Slot {
    tuple: Tuple,
    hash: Hash,
    direction: Direction,
    state: State,
    queue: Queue,
    marks: u8,
    start: Millis,
    last: Millis,
    /// Seconds from `start` to the last report.
    reported_s: u32,
    traffic: Traffic,
    reported: Traffic,
    name: Option<Arc<str>>,
    older: u32,
    newer: u32,
}

/// The table. What is generic is compiled where it is used, there for size: so all work but the hash is in [`Rows`].
#[derive(Debug)]
pub struct FlowTable<S> {
    hasher: S,
    rows: Rows,
}

/// The table below its hashes.
#[derive(Debug)]
struct Rows {
    slots: Vec<Slot>,
    free: Vec<u32>,
    index: HashTable<u32>,
    queues: [Ends; 3],
    names: Names,
    timeouts: Timeouts,
    capacity: usize,
    peak: usize,
    forced: u64,
}

impl<S: BuildHasher> FlowTable<S> {
    /// An empty table of `limits::FLOWS`. `hasher` must be keyed by chance: peers choose the tuples.
    #[must_use]
    pub fn new(hasher: S) -> Self {
        Self::bounded(hasher, Timeouts::default(), limits::FLOWS)
    }

    /// An empty table with its own times and at most `capacity` flows (held between 1 and `limits::FLOWS`).
    #[must_use]
    pub fn bounded(hasher: S, timeouts: Timeouts, capacity: usize) -> Self {
        let rows = Rows {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            queues: [Ends { oldest: NONE, newest: NONE }; 3],
            names: Names::default(),
            timeouts,
            capacity: capacity.clamp(1, limits::FLOWS),
            peak: 0,
            forced: 0,
        };
        Self { hasher, rows }
    }

    /// Flows in the table, ended ones that are still remembered included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.index.len()
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.index.is_empty()
    }

    /// The most flows there ever were at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.rows.peak
    }

    /// Live flows that were given up because the table was full.
    #[must_use]
    pub fn forced(&self) -> u64 {
        self.rows.forced
    }

    /// The names of peers, for what begins from now on.
    pub fn names_mut(&mut self) -> &mut Names {
        &mut self.rows.names
    }

    /// Notes the name that somebody asked for on a flow that has begun without one.
    pub fn name(&mut self, tuple: &Tuple, name: &str) {
        let hash = Hash::of(self.hasher.hash_one(tuple));
        self.rows.name(hash, tuple, name);
    }

    /// A keyed hash of a name, for counting different ones.
    pub fn hash_name(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Takes one sighting; what it changed is appended to `changes` (at most four).
    pub fn observe(&mut self, seen: &Connection, now: Millis, changes: &mut Vec<Change>) {
        let hash = Hash::of(self.hasher.hash_one(seen.tuple));
        self.rows.observe(hash, seen, now, changes);
    }

    /// Ends what has not been seen for too long. Call it at least every few seconds.
    pub fn expire(&mut self, now: Millis, changes: &mut Vec<Change>) {
        self.rows.expire(now, changes);
    }

    /// Tells at most so many flows as they stand, for a file that has been read to its end; whether there are more.
    pub fn finish(&mut self, most: usize, changes: &mut Vec<Change>) -> bool {
        self.rows.finish(most, changes);
        !self.is_empty()
    }
}

impl Rows {
    fn observe(&mut self, hash: Hash, seen: &Connection, now: Millis, changes: &mut Vec<Change>) {
        match self.find(hash, &seen.tuple) {
            Some(slot) => self.again(slot, seen, now, changes),
            None if seen.phase.is_news() => self.begin(hash, seen, now, changes),
            None => {}
        }
    }

    fn find(&self, hash: Hash, tuple: &Tuple) -> Option<u32> {
        let slots = &self.slots;
        let same = |slot: &u32| slots.get(as_usize(*slot)).is_some_and(|s| s.tuple == *tuple);
        self.index.find(hash.spread(), same).copied()
    }

    fn name(&mut self, hash: Hash, tuple: &Tuple, name: &str) {
        let found = self.find(hash, tuple);
        if let Some(slot) = found.and_then(|slot| self.slots.get_mut(as_usize(slot)))
            && slot.name.is_none()
        {
            slot.name = Some(Arc::from(name));
            slot.marks |= mark::NAMED_LATE;
        }
    }

    fn expire(&mut self, now: Millis, changes: &mut Vec<Change>) {
        for queue in [Queue::Ended, Queue::Short, Queue::Long] {
            let timeout = match queue {
                Queue::Ended => self.timeouts.linger_ms,
                Queue::Short => self.timeouts.short_ms,
                Queue::Long => self.timeouts.long_ms,
            };
            while let Some(slot) = self.oldest(queue) {
                if now.since(slot.last) <= timeout {
                    break;
                }
                self.give_up(queue, true, changes);
            }
        }
    }

    fn finish(&mut self, most: usize, changes: &mut Vec<Change>) {
        for _ in 0..most {
            let mut queues = [Queue::Ended, Queue::Short, Queue::Long].into_iter();
            let Some(queue) = queues.find(|queue| self.oldest(*queue).is_some()) else { return };
            self.give_up(queue, false, changes);
        }
    }

    /// A sighting of a flow that is known.
    fn again(&mut self, number: u32, seen: &Connection, now: Millis, changes: &mut Vec<Change>) {
        let Some(slot) = self.slots.get_mut(as_usize(number)) else { return };
        if slot.state.ended() {
            // Remnants of an ended connection are no news; a new handshake on the same ports is.
            if seen.phase.opens() {
                slot.restart(seen, now);
                slot.named(&self.names);
                let queue = slot.wanted_queue();
                changes.push(Change::Began(slot.flow(Traffic::default())));
                self.requeue(number, queue);
            }
            return;
        }
        slot.last = slot.last.max(now);
        slot.count(seen.counted);
        if slot.name.is_none() {
            slot.name.clone_from(&seen.name);
        }
        let answered = slot.marks & mark::ANSWERED;
        slot.state = slot.after(seen.phase);
        if slot.marks & mark::ANSWERED != answered {
            changes.push(Change::Answered(slot.flow(Traffic::default())));
        }
        if slot.state.ended() {
            changes.push(Change::Ended(slot.report()));
        } else if now.since(slot.start) - i64::from(slot.reported_s) * 1000 >= self.timeouts.active_ms {
            changes.push(Change::Continues(slot.report()));
        }
        let queue = slot.wanted_queue();
        self.requeue(number, queue);
    }

    /// A sighting of a flow that is not known.
    fn begin(&mut self, hash: Hash, seen: &Connection, now: Millis, changes: &mut Vec<Change>) {
        if self.index.len() >= self.capacity {
            let queue = [Queue::Ended, Queue::Short, Queue::Long]
                .into_iter()
                .find(|queue| self.oldest(*queue).is_some());
            if let Some(queue) = queue {
                self.forced += u64::from(queue != Queue::Ended);
                self.give_up(queue, true, changes);
            }
        }
        let mut slot = Slot::new(hash, seen, now);
        slot.named(&self.names);
        changes.push(Change::Began(slot.flow(Traffic::default())));
        if slot.state.ended() {
            changes.push(Change::Ended(slot.report()));
        }
        let queue = slot.wanted_queue();
        let number = self.place(slot);
        let slots = &self.slots;
        let rehash = |slot: &u32| slots.get(as_usize(*slot)).map_or(0, |s| s.hash.spread());
        self.index.insert_unique(hash.spread(), number, rehash);
        self.link(number, queue);
        self.peak = self.peak.max(self.index.len());
    }

    fn place(&mut self, slot: Slot) -> u32 {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.slots.get_mut(as_usize(number))
        {
            *place = slot;
            return number;
        }
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(GROWTH.min(self.capacity));
        }
        self.slots.push(slot);
        u32::try_from(self.slots.len() - 1).expect("the capacity is far below u32::MAX")
    }

    fn oldest(&self, queue: Queue) -> Option<&Slot> {
        self.slots.get(as_usize(self.ends(queue).oldest))
    }

    /// Takes the oldest flow of a queue out of the table, and tells its end if that was not told before.
    fn give_up(&mut self, queue: Queue, expired: bool, changes: &mut Vec<Change>) {
        let number = self.ends(queue).oldest;
        self.unlink(number);
        let Some(slot) = self.slots.get_mut(as_usize(number)) else { return };
        if !slot.state.ended() {
            // Only the last acknowledgement of an orderly end was not seen.
            let closed = slot.marks & mark::BOTH_END == mark::BOTH_END;
            slot.state = match (closed, expired) {
                _ if slot.marks & mark::BROKEN_OFF != 0 => State::Reset,
                (true, _) => State::Closed,
                (false, true) => State::Expired,
                (false, false) => slot.state,
            };
            changes.push(Change::Ended(slot.report()));
        }
        slot.name = None;
        let hash = slot.hash.spread();
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        self.free.push(number);
    }

    fn ends(&self, queue: Queue) -> Ends {
        let [ended, short, long] = self.queues;
        match queue {
            Queue::Ended => ended,
            Queue::Short => short,
            Queue::Long => long,
        }
    }

    fn ends_mut(&mut self, queue: Queue) -> &mut Ends {
        let [ended, short, long] = &mut self.queues;
        match queue {
            Queue::Ended => ended,
            Queue::Short => short,
            Queue::Long => long,
        }
    }

    fn requeue(&mut self, number: u32, queue: Queue) {
        let newest = self.ends(queue).newest == number;
        if !newest {
            self.unlink(number);
            self.link(number, queue);
        }
    }

    fn unlink(&mut self, number: u32) {
        let Some(slot) = self.slots.get(as_usize(number)) else { return };
        let (older, newer, queue) = (slot.older, slot.newer, slot.queue);
        match self.slots.get_mut(as_usize(older)) {
            Some(slot) => slot.newer = newer,
            None => self.ends_mut(queue).oldest = newer,
        }
        match self.slots.get_mut(as_usize(newer)) {
            Some(slot) => slot.older = older,
            None => self.ends_mut(queue).newest = older,
        }
    }

    fn link(&mut self, number: u32, queue: Queue) {
        let newest = self.ends(queue).newest;
        match self.slots.get_mut(as_usize(newest)) {
            Some(slot) => slot.newer = number,
            None => self.ends_mut(queue).oldest = number,
        }
        self.ends_mut(queue).newest = number;
        if let Some(slot) = self.slots.get_mut(as_usize(number)) {
            (slot.older, slot.newer, slot.queue) = (newest, NONE, queue);
        }
    }
}

impl Slot {
    fn new(hash: Hash, seen: &Connection, now: Millis) -> Self {
        let mut slot = Self {
            tuple: seen.tuple,
            hash,
            direction: seen.direction,
            state: State::New,
            queue: Queue::Short,
            marks: 0,
            start: now,
            last: now,
            reported_s: 0,
            traffic: Traffic::default(),
            reported: Traffic::default(),
            name: None,
            older: NONE,
            newer: NONE,
        };
        slot.restart(seen, now);
        slot
    }

    fn restart(&mut self, seen: &Connection, now: Millis) {
        self.direction = seen.direction;
        (self.state, self.marks) = (State::New, 0);
        self.state = self.after(seen.phase);
        (self.start, self.last, self.reported_s) = (now, now, 0);
        (self.traffic, self.reported) = (Traffic::default(), Traffic::default());
        self.name.clone_from(&seen.name);
        self.count(seen.counted);
    }

    /// The state after a sighting in this phase; what it leaves behind is marked.
    fn after(&mut self, phase: Phase) -> State {
        match phase {
            Phase::Opening => self.state,
            Phase::Open => {
                self.marks |= mark::ANSWERED;
                State::Established
            }
            Phase::Over(State::Closed) | Phase::Lingering => {
                // An end in order is one of both sides.
                self.marks |= mark::ANSWERED;
                if self.marks & mark::BROKEN_OFF == 0 { State::Closed } else { State::Reset }
            }
            Phase::Over(state) => state,
            Phase::Segment { from_local, flags } => self.after_segment(from_local, flags),
            Phase::Beside { from_local, flags } => self.after_beside(from_local, flags),
            Phase::Datagram { from_local } => {
                if self.called_sent(from_local) {
                    self.marks |= mark::ANSWERED;
                    State::Established
                } else {
                    self.state
                }
            }
            Phase::Undelivered if self.state == State::New => State::Refused,
            Phase::Undelivered => self.state,
        }
    }

    /// RFC 9293, 3.3.2, as far as one who only looks on can tell.
    fn after_segment(&mut self, from_local: bool, flags: u8) -> State {
        let called = self.called_sent(from_local);
        let answered = self.marks & mark::ANSWERED != 0;
        if flags & RST != 0 {
            let refused = self.state == State::New && called && !answered;
            return if refused { State::Refused } else { State::Reset };
        }
        if called {
            self.marks |= mark::ANSWERED;
        }
        if self.marks & mark::BOTH_END == mark::BOTH_END && flags & (SYN | FIN) == 0 {
            return State::Closed;
        }
        // A FIN counts where there is a connection; alone it is a probe.
        if flags & FIN != 0 && self.state == State::Established {
            self.marks |= if from_local { mark::LOCAL_ENDS } else { mark::REMOTE_ENDS };
        }
        let acknowledges = self.state == State::New && flags & (SYN | ACK) == ACK;
        if acknowledges { State::Established } else { self.state }
    }

    /// The same beside a socket, of which only segments with SYN, FIN, RST or without ACK are seen: a refusal ends a flow,
    /// for a probe of a closed port has no socket; all other ends are the socket's.
    fn after_beside(&mut self, from_local: bool, flags: u8) -> State {
        let called = self.called_sent(from_local);
        if flags & RST != 0 {
            if self.state == State::New && called && self.marks & mark::ANSWERED == 0 {
                return State::Refused;
            }
            self.marks |= mark::BROKEN_OFF;
            return self.state;
        }
        if called {
            self.marks |= mark::ANSWERED;
        }
        if flags & FIN != 0 && self.marks & mark::ANSWERED != 0 {
            self.marks |= if from_local { mark::LOCAL_ENDS } else { mark::REMOTE_ENDS };
        }
        self.state
    }

    /// Whether a packet comes from the end that did not open the flow.
    fn called_sent(&self, from_local: bool) -> bool {
        (self.direction == Direction::Inbound) == from_local
    }

    /// Takes the name of the end that was called, if it has none.
    fn named(&mut self, names: &Names) {
        if self.name.is_none() {
            let called = match self.direction {
                Direction::Outbound => self.tuple.remote,
                Direction::Inbound => self.tuple.local,
            };
            self.name = names.of(called.address);
        }
    }

    fn count(&mut self, counted: Counted) {
        self.traffic = match counted {
            Counted::Total(total) => self.traffic.at_least(total),
            Counted::Added(more) => self.traffic.plus(more),
            Counted::Unknown => self.traffic,
        };
    }

    fn wanted_queue(&self) -> Queue {
        match (self.state, self.tuple.protocol) {
            (State::Closed | State::Reset | State::Refused | State::Expired, _) => Queue::Ended,
            (State::Established, Protocol::Tcp) => Queue::Long,
            (State::Established, Protocol::Udp | Protocol::Icmp) | (State::New, _) => Queue::Short,
        }
    }

    /// The flow with its traffic since the last report, which this is now.
    fn report(&mut self) -> Flow {
        let flow = self.flow(self.traffic.since(self.reported));
        self.reported = self.traffic;
        self.reported_s = u32::try_from(self.last.since(self.start) / 1000).unwrap_or(u32::MAX);
        flow
    }

    fn flow(&self, traffic: Traffic) -> Flow {
        let late = self.marks & mark::NAMED_LATE != 0;
        let (name, asked_for) = if late { (None, self.name.clone()) } else { (self.name.clone(), None) };
        Flow {
            tuple: self.tuple,
            direction: self.direction,
            start: self.start,
            end: self.last,
            state: self.state,
            traffic,
            total: self.traffic,
            answered: self.marks & mark::ANSWERED != 0,
            name,
            asked_for,
        }
    }
}

fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
