//! What the writer writes: a pure function of the seed, so that whoever checks needs no list.
//!
//! Each writer goes through numbered steps and takes the next one only once the last was answered. A step is a commit
//! of several documents with its audit entry, which also moves the writer's head and removes a document of an older
//! step, or a batch of telemetry. Sizes vary, so that values lie within pages and across them.

use bytes::Bytes;
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::telemetry::{Batch, Position, Record};
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::audit::{Actor, Entry};
use cordon_server_core::change::delivery::Delivery;
use cordon_server_core::change::{Commit, Expected, Key, Revision};

/// Steps after which a step's first document is removed; a multiple of [`PERIOD`].
const KEPT: u64 = 6;
/// Of so many steps one is telemetry.
const PERIOD: u64 = 3;
/// When telemetry arrives, in milliseconds: some day in 2026.
const ARRIVAL_MS: i64 = 1_780_000_000_000;

/// Who writes: one of several, in one run on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scribe {
    /// The store's seed.
    pub seed: u64,
    /// The run.
    pub run: u32,
    /// The writer.
    pub writer: u32,
}

/// What is asked of the store in one step.
#[derive(Clone, Debug)]
pub enum Step {
    /// A transaction.
    Commit(Box<Commit>),
    /// Telemetry.
    Append(Delivery),
}

/// The documents and the audit entry of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Keys and bodies; the first is removed by a later step.
    pub documents: Vec<(Key, Vec<u8>)>,
    /// What the audit entry is about.
    pub object: String,
}

impl Scribe {
    /// Whether a step is a commit; else it is telemetry.
    #[must_use]
    pub fn is_commit(number: u64) -> bool {
        number % PERIOD != PERIOD - 1
    }

    /// Whether the first document of a commit is gone once the steps below `next` were taken.
    #[must_use]
    pub fn is_trimmed(number: u64, next: u64) -> bool {
        number.saturating_add(KEPT) < next
    }

    /// What is asked of the store, given the revision at which the head stands.
    ///
    /// # Panics
    /// If the plan itself is malformed.
    #[must_use]
    pub fn step(self, number: u64, head: Option<Revision>) -> Step {
        if !Self::is_commit(number) {
            let batch = Batch { records: self.records(number) };
            let received = Millis(ARRIVAL_MS.saturating_add(i64::try_from(number).unwrap_or(0)));
            let delivery = Delivery::new(self.device(), received, batch);
            return Step::Append(delivery.expect("positions rise"));
        }
        let page = self.page(number);
        let actor = Actor::Server(name("faults"));
        let mut draft = Commit::draft(Timestamp(1), actor)
            .expect(self.head(), head.map_or(Expected::Absent, Expected::At))
            .put(self.head(), number.to_string().into_bytes());
        for (key, body) in page.documents {
            draft = draft.expect(key.clone(), Expected::Absent).put(key, body);
        }
        if let Some(old) = number.checked_sub(KEPT) {
            draft = draft.delete(self.key(old, 0));
        }
        let entry = Entry::new(name("faults.step"), page.object.parse().expect("a text"));
        Step::Commit(Box::new(draft.audit(entry).finish().expect("within bounds")))
    }

    /// The documents and the audit entry of a commit.
    #[must_use]
    pub fn page(self, number: u64) -> Page {
        let mut chance = self.chance(number);
        let count = chance.u32(2..5);
        let documents = (0..count).map(|place| (self.key(number, place), body(&mut chance))).collect();
        Page { documents, object: self.object(number) }
    }

    /// What the audit entry of a commit is about.
    #[must_use]
    pub fn object(self, number: u64) -> String {
        format!("r{}.w{}.n{number}", self.run, self.writer)
    }

    /// The records of a step of telemetry.
    #[must_use]
    pub fn records(self, number: u64) -> Vec<Record> {
        let mut chance = self.chance(number);
        let count = chance.u64(1..40);
        let record = |sequence| Record {
            position: Position { boot: number, sequence },
            time: Millis(ARRIVAL_MS),
            kind: chance.u16(0..4),
            body: Bytes::from(body(&mut chance)).to_vec().into(),
        };
        (0..count).map(record).collect()
    }

    /// Whose telemetry it is.
    #[must_use]
    pub fn device(self) -> DeviceId {
        let mut bytes = [0; 16];
        self.chance(u64::MAX).fill(&mut bytes);
        DeviceId::from_random(bytes)
    }

    /// The document that every commit of this writer moves.
    #[must_use]
    pub fn head(self) -> Key {
        Key::Site(name(&format!("r{}.w{}.head", self.run, self.writer)))
    }

    fn key(self, number: u64, place: u32) -> Key {
        Key::Site(name(&format!("{}.{place}", self.object(number))))
    }

    /// The chance of one step, the same for writer and checker.
    fn chance(self, number: u64) -> fastrand::Rng {
        let mut chance = fastrand::Rng::with_seed(self.seed);
        for part in [u64::from(self.run), u64::from(self.writer), number] {
            chance = fastrand::Rng::with_seed(chance.u64(..) ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        chance
    }
}

/// A name of ours.
pub(super) fn name(text: &str) -> Name {
    text.parse().expect("a name of ours is a name")
}

/// Mostly small, at times larger than a page, seldom larger than many.
fn body(chance: &mut fastrand::Rng) -> Vec<u8> {
    let length = match chance.u32(0..100) {
        0 => chance.usize(20_000..60_000),
        1..=8 => chance.usize(3000..9000),
        _ => chance.usize(0..700),
    };
    let mut body = vec![0; length];
    chance.fill(&mut body);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_and_another_does_not() {
        // Goal: the checker knows what the writer wrote. Method: a few steps twice, then of another seed and run.
        let scribe = Scribe { seed: 7, run: 1, writer: 2 };
        for number in 0..30 {
            assert_eq!(scribe.page(number), scribe.page(number));
            assert_eq!(scribe.records(number), scribe.records(number));
            assert_ne!(scribe.page(number), Scribe { seed: 8, ..scribe }.page(number));
            assert_ne!(scribe.page(number), Scribe { run: 2, ..scribe }.page(number));
            let _ = scribe.step(number, Some(Revision(3)));
        }
        assert_ne!(scribe.device(), Scribe { writer: 3, ..scribe }.device());
    }

    #[test]
    fn a_removed_document_is_one_of_a_commit() {
        // Goal: the removal of a step names what an older one wrote. Method: every commit of a while.
        for number in (KEPT..100).filter(|number| Scribe::is_commit(*number)) {
            assert!(Scribe::is_commit(number - KEPT));
            assert!(
                Scribe::is_trimmed(number - KEPT, number + 1) && !Scribe::is_trimmed(number - KEPT, number)
            );
        }
    }
}
