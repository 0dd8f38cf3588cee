//! What the server remembers and how it may change: a transaction is a value.
//!
//! A [`Commit`] says what must still be true ([`Expected`]), what changes, what the audit journal records and, for
//! requests that people repeat, under which idempotency key. [`apply`] decides what a store has to write for it; every
//! store calls this same function, so that no engine has semantics of its own. Bodies are opaque here: documents with
//! a version of their own, upgraded by the module that owns them. Nothing here knows a database.
//!
//! Read next: [`Key`] for what exists, [`delivery`] for telemetry, `audit` for the journal's entries.

pub mod delivery;
mod feed;
mod key;
pub mod lease;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;

pub use self::feed::{Changed, Touched};
pub use self::key::{Index, Key, KeyError, Kind, Set};
use crate::audit::{Actor, Entry, Recorded};

/// The number of a transaction. Later transactions have higher numbers; numbers are not dense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A stored document: the transaction that wrote it last, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The transaction that wrote it last.
    pub revision: Revision,
    /// The document, opaque to the store.
    pub body: Vec<u8>,
}

/// What a commit takes for granted about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is stored under the key.
    Absent,
    /// The document has not been written since this revision was read.
    At(Revision),
}

impl Expected {
    /// What somebody who has just read `row` takes for granted.
    #[must_use]
    pub fn of(row: Option<&Row>) -> Self {
        row.map_or(Self::Absent, |row| Self::At(row.revision))
    }

    fn holds(self, row: Option<&Row>) -> bool {
        self == Self::of(row)
    }
}

/// One change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The document becomes this.
    Put(Key, Vec<u8>),
    /// The document goes, if it is there.
    Delete(Key),
}

impl Change {
    /// The key that changes.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    fn body_bytes(&self) -> usize {
        match self {
            Self::Put(_, body) => body.len(),
            Self::Delete(_) => 0,
        }
    }
}

/// How a request that arrives twice gets the same answer and acts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key; two actors may use the same one.
    pub key: Text,
    /// Digest of the request, so that a key used for something else is refused.
    pub request: Sha256,
    /// What a repetition is answered with.
    pub outcome: Vec<u8>,
    /// Until when a repetition is recognised.
    pub until: Timestamp,
}

/// One transaction, checked: exists only within the bounds of `limits` and with each key at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    at: Timestamp,
    actor: Actor,
    expect: Vec<(Key, Expected)>,
    changes: Vec<Change>,
    audit: Vec<Entry>,
    idempotency: Option<Idempotency>,
}

/// A transaction being written down; [`Draft::finish`] makes it a [`Commit`].
#[derive(Clone, Debug)]
pub struct Draft(Commit);

/// Why a draft is no commit. All of these are mistakes of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More changes, expectations or audit entries than one commit may hold.
    #[error("{found} changes, expectations or audit entries in one commit, at most {limit}: split it")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A document that belongs into the blobs folder.
    #[error("the document of {key} has {found} bytes, at most {limit}: keep it as a blob")]
    TooLarge {
        /// Its key.
        key: Key,
        /// Its bytes.
        found: usize,
        /// The bytes it may have.
        limit: usize,
    },
    /// All bodies together.
    #[error("the commit has {found} bytes, at most {limit}: split it")]
    TooLargeInAll {
        /// The bytes of all bodies.
        found: usize,
        /// The bytes they may have.
        limit: usize,
    },
    /// Two changes, or two expectations, of one key.
    #[error("{0} occurs twice in one commit")]
    Twice(Key),
    /// A key that only the store itself writes.
    #[error("{0} is written by the store itself")]
    Reserved(Key),
}

impl Commit {
    /// Begins a transaction of `actor` at `at`.
    #[must_use]
    pub fn draft(at: Timestamp, actor: Actor) -> Draft {
        Draft(Self {
            at,
            actor,
            expect: Vec::new(),
            changes: Vec::new(),
            audit: Vec::new(),
            idempotency: None,
        })
    }

    /// The changes.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The keys that [`apply`] will load, so that a store that is far away can fetch them together.
    #[must_use]
    pub fn reads(&self) -> Vec<Key> {
        let once = self.idempotency.iter().map(|once| once.row_key(&self.actor));
        once.chain(self.expect.iter().map(|(key, _)| key.clone())).collect()
    }

    /// Bytes of all bodies, for the store's own bounds.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        let outcome = self.idempotency.as_ref().map_or(0, |once| once.outcome.len());
        self.changes.iter().map(Change::body_bytes).fold(outcome, usize::saturating_add)
    }
}

impl Draft {
    /// Refuses the commit with a conflict unless `expected` holds for `key`.
    #[must_use]
    pub fn expect(mut self, key: Key, expected: Expected) -> Self {
        self.0.expect.push((key, expected));
        self
    }

    /// Writes a document.
    #[must_use]
    pub fn put(mut self, key: Key, body: Vec<u8>) -> Self {
        self.0.changes.push(Change::Put(key, body));
        self
    }

    /// Removes a document.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.0.changes.push(Change::Delete(key));
        self
    }

    /// Records an act in the audit journal, in the same transaction.
    #[must_use]
    pub fn audit(mut self, entry: Entry) -> Self {
        self.0.audit.push(entry);
        self
    }

    /// Makes a repetition of the same request answer the same and change nothing.
    #[must_use]
    pub fn once(mut self, idempotency: Idempotency) -> Self {
        self.0.idempotency = Some(idempotency);
        self
    }

    /// The commit, if it is within bounds.
    pub fn finish(self) -> Result<Commit, Malformed> {
        let commit = self.0;
        let limit = limits::COMMIT_CHANGES;
        for found in [commit.changes.len(), commit.expect.len(), commit.audit.len()] {
            if found > limit {
                return Err(Malformed::TooMany { found, limit });
            }
        }
        each_once(commit.changes.iter().map(Change::key))?;
        each_once(commit.expect.iter().map(|(key, _)| key))?;
        for change in &commit.changes {
            allowed(change)?;
        }
        let (found, limit) = (commit.body_bytes(), limits::COMMIT_BYTES);
        if found > limit { Err(Malformed::TooLargeInAll { found, limit }) } else { Ok(commit) }
    }
}

/// What a store answers to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The transaction in which the changes were made; for a repetition, the first one's.
    pub revision: Revision,
    /// The outcome under the idempotency key, if there was one.
    pub outcome: Option<Vec<u8>>,
    /// Whether this was a repetition, which changed nothing.
    pub repeated: bool,
}

/// The numbers that a store gives to the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The commit's own.
    pub revision: Revision,
    /// The first of its audit entries'.
    pub sequence: u64,
}

/// What a store has to do for a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it was done before. The numbers offered stay unused.
    Repeated(Committed),
    /// Write all of this, or nothing.
    Write(Writes),
}

/// The effects of one commit, all at its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writes {
    /// The documents: changes, audit entries, idempotency record. `None` removes.
    pub rows: Vec<(Key, Option<Vec<u8>>)>,
    /// The commit for followers; without keys there is nothing to follow.
    pub changed: Changed,
    /// The first audit sequence that is still free.
    pub next_sequence: u64,
    /// The answer, once the writes are durable.
    pub committed: Committed,
}

/// Why a commit is not applied. Nothing is written.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<E> {
    /// Somebody else was faster; or the idempotency key was used for another request.
    Conflict(Key),
    /// The store's own record under this key cannot be read.
    Corrupt(Key),
    /// A document could not be loaded.
    Load(E),
}

/// Decides one commit against the stored documents that `load` returns.
///
/// A repetition is recognised first: its expectations failed when the first one succeeded.
pub fn apply<E>(
    commit: Commit,
    next: Next,
    mut load: impl FnMut(&Key) -> Result<Option<Row>, E>,
) -> Result<Decision, Refusal<E>> {
    if let Some(once) = &commit.idempotency {
        let key = once.row_key(&commit.actor);
        let row = load(&key).map_err(Refusal::Load)?;
        if let Some(committed) = once.repetition(key, row, commit.at)? {
            return Ok(Decision::Repeated(committed));
        }
    }
    for (key, expected) in &commit.expect {
        let row = load(key).map_err(Refusal::Load)?;
        if !expected.holds(row.as_ref()) {
            return Err(Refusal::Conflict(key.clone()));
        }
    }
    Ok(Decision::Write(writes(commit, next)))
}

/// The pointer document under [`Key::Generation`]: which generation of a set is the current one.
#[must_use]
pub fn generation_body(generation: u64) -> Vec<u8> {
    generation.to_be_bytes().to_vec()
}

/// Reads [`generation_body`]; `None` if the bytes are none.
#[must_use]
pub fn generation_of(body: &[u8]) -> Option<u64> {
    body.try_into().ok().map(u64::from_be_bytes)
}

fn writes(commit: Commit, next: Next) -> Writes {
    let Commit { at, actor, expect: _, changes, audit, idempotency } = commit;
    let keys = changes.iter().map(touched).collect();
    let once = idempotency.map(|once| (once.row_key(&actor), once));
    let mut rows: Vec<(Key, Option<Vec<u8>>)> = changes.into_iter().map(into_row).collect();
    let mut sequence = next.sequence;
    for entry in audit {
        let recorded = Recorded { sequence, at, actor: actor.clone(), entry };
        rows.push((Key::Audit(sequence), Some(recorded.to_bytes())));
        sequence = sequence.saturating_add(1);
    }
    let outcome = once.as_ref().map(|(_, once)| once.outcome.clone());
    if let Some((key, once)) = once {
        rows.push((key, Some(once.to_body())));
    }
    Writes {
        rows,
        changed: Changed { revision: next.revision, at, keys },
        next_sequence: sequence,
        committed: Committed { revision: next.revision, outcome, repeated: false },
    }
}

fn touched(change: &Change) -> Touched {
    Touched { key: change.key().clone(), deleted: matches!(change, Change::Delete(_)) }
}

fn into_row(change: Change) -> (Key, Option<Vec<u8>>) {
    match change {
        Change::Put(key, body) => (key, Some(body)),
        Change::Delete(key) => (key, None),
    }
}

fn each_once<'a>(keys: impl Iterator<Item = &'a Key>) -> Result<(), Malformed> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(Malformed::Twice(key.clone()));
        }
    }
    Ok(())
}

/// The store's own keys are not put from outside. Two may be removed: a lease is given back, and the watermark of a
/// device that lost its spool is reset, or its next records would pass for duplicates.
fn allowed(change: &Change) -> Result<(), Malformed> {
    let removable = matches!(change, Change::Delete(Key::Watermark(_) | Key::Lease(_)));
    if change.key().kind().is_of_the_store() && !removable {
        return Err(Malformed::Reserved(change.key().clone()));
    }
    let (found, limit) = (change.body_bytes(), limits::DOCUMENT_BYTES);
    if found > limit {
        return Err(Malformed::TooLarge { key: change.key().clone(), found, limit });
    }
    Ok(())
}

const IDEMPOTENCY_VERSION: u8 = 1;

impl Idempotency {
    /// The actor is part of the key, so nobody meets another's keys.
    fn row_key(&self, actor: &Actor) -> Key {
        let mut text = alloc::format!("{actor}").into_bytes();
        text.push(0);
        text.extend_from_slice(self.key.as_str().as_bytes());
        Key::Idempotency(Sha256::of(&text))
    }

    /// Version, digest of the request, last second, outcome; the revision is the row's.
    fn to_body(&self) -> Vec<u8> {
        let mut body = Vec::from([IDEMPOTENCY_VERSION]);
        body.extend_from_slice(self.request.as_bytes());
        body.extend_from_slice(&self.until.0.to_be_bytes());
        body.extend_from_slice(&self.outcome);
        body
    }

    fn repetition<E>(
        &self,
        key: Key,
        row: Option<Row>,
        now: Timestamp,
    ) -> Result<Option<Committed>, Refusal<E>> {
        let Some(row) = row else { return Ok(None) };
        let Some(stored) = StoredOutcome::read(&row.body) else { return Err(Refusal::Corrupt(key)) };
        if stored.until <= now {
            return Ok(None);
        }
        if stored.request != self.request {
            return Err(Refusal::Conflict(key));
        }
        let outcome = Some(stored.outcome.to_vec());
        Ok(Some(Committed { revision: row.revision, outcome, repeated: true }))
    }
}

/// The record under [`Key::Idempotency`], as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredOutcome<'a> {
    /// Digest of the request that was answered.
    pub request: Sha256,
    /// Until when a repetition is recognised; a store may forget it from then on.
    pub until: Timestamp,
    /// The answer.
    pub outcome: &'a [u8],
}

impl<'a> StoredOutcome<'a> {
    /// Reads a stored record; `None` if the bytes are none.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (version, rest) = body.split_first()?;
        let (request, rest) = rest.split_first_chunk::<32>()?;
        let (until, outcome) = rest.split_first_chunk::<8>()?;
        let until = Timestamp(i64::from_be_bytes(*until));
        (*version == IDEMPOTENCY_VERSION).then_some(Self { request: Sha256(*request), until, outcome })
    }
}

#[cfg(test)]
mod tests;
