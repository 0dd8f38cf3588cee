//! The store port: what the server can ask of a database, in a dozen verbs and without a word of any database.
//!
//! The transaction is a value ([`Commit`]); reads return documents with their revision; pages end at a [`Cursor`].
//! No handle, closure or query builder crosses this line, so handlers stay five verbs: parse, load, decide, commit,
//! reply. Engines: [`memory`] is the model that all are compared with, [`redb`] the default, sled
//! the other that needs nothing beside it; each passes `conformance`. Read next: [`Store`] for the contract, `kv` for
//! how documents become bytes, [`open`] for the way from a setting to an engine.

mod archive;
pub mod blobs;
mod chunk;
mod disk;
pub mod kv;
pub mod memory;
pub mod open;
pub mod postgres;
pub mod redb;
#[cfg(feature = "sled")]
pub mod sled;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::limits;
use cordon_proto::telemetry::{Position, Record};
use cordon_proto::time::Millis;
pub use cordon_server_core::change::delivery::{Appended, Delivery};
pub use cordon_server_core::change::lease::{Answer as LeaseAnswer, Lease, Request as LeaseRequest};
pub use cordon_server_core::change::{
    Change, Changed, Commit, Committed, Expected, Idempotency, Index, Key, Kind, Revision, Row, Set, Touched,
};
use tokio::sync::watch;

/// What a verb of the store returns: a future that any executor of this process can drive.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where a backup is written to.
pub type Sink = Box<dyn Write + Send>;

/// The contract that every engine keeps, checked by one conformance suite.
///
/// * **When `commit`, `append`, `lease`, `load` or `restore` returns, its effect survives a power cut.**
/// * A commit happens whole or not at all, and only if each of its expectations holds at that moment. Commits are
///   in one order: of two, the later has the higher [`Revision`], and sees the earlier.
/// * A conflict of one caller never fails another, although their writes may share one sync of the disk.
/// * A read sees all commits that had returned before it began, and each page is one moment; two pages are two.
/// * Pages may be shorter than asked for, even empty; only a missing `next` is the end.
/// * Dropping the future of a write does not undo it: it may or may not happen. After [`StoreError::Unavailable`],
///   too, a write may have happened; load again, or repeat it under its idempotency key.
/// * Telemetry is delivered at least once and stored once. What must follow from a batch (a finding) is committed
///   before the batch is appended, under keys made from the records, because the device will not send it again.
pub trait Store: Send + Sync {
    /// One document.
    fn get(&self, key: Key) -> Answer<'_, Option<Row>>;

    /// Documents of an index in key order, at most `limit` and at most `limits::PAGE_ROWS`.
    fn scan(&self, index: Index, from: Cursor, limit: usize) -> Answer<'_, Page>;

    /// One transaction.
    fn commit(&self, commit: Commit) -> Answer<'_, Committed>;

    /// Stores the records of a batch that are new, and moves the device's watermark with them.
    ///
    /// Each batch of a device is kept under a millisecond of its own: the first, from its arrival on, that has none.
    /// So no two events have one place, although a device that began again repeats positions.
    fn append(&self, delivery: Delivery) -> Answer<'_, Appended>;

    /// Telemetry records.
    fn events(&self, query: EventQuery) -> Answer<'_, EventPage>;

    /// Forgets telemetry received before the full hour (UTC) that holds `before`, outcomes that lapsed before it, and
    /// what [`Store::changes`] says of commits before it. Documents and the audit journal stay.
    fn expire(&self, before: Millis) -> Answer<'_, Expired>;

    /// Commits after a revision, in order, with the keys that they touched; for followers that keep a view of their
    /// own. Telemetry, leases and bulk rows are not followed. A page ends at `limit` commits, or once it names
    /// [`Feed::KEYS`] keys, or because that was all at this moment.
    fn changes(&self, after: Revision, limit: usize) -> Answer<'_, Feed>;

    /// Takes, renews or is refused a lease.
    fn lease(&self, request: LeaseRequest) -> Answer<'_, LeaseAnswer>;

    /// Writes rows of a generation that nobody reads yet. The pointer [`Key::Generation`] makes it current by a commit.
    /// Loading into the current generation is a conflict on the pointer. A chunk may be repeated.
    fn load(&self, set: Set, generation: u64, chunk: Chunk) -> Answer<'_, ()>;

    /// Removes the rows of a generation that is not the current one, and says how many there were.
    fn drop_generation(&self, set: Set, generation: u64) -> Answer<'_, u64>;

    /// Writes everything, as of one moment, into a new file of the engine-neutral backup format, mode 0600.
    fn backup(&self, to: PathBuf) -> Answer<'_, Backup>;

    /// Writes the same into a sink of the caller's, which may be slow; the store is not held up by it.
    fn backup_into(&self, into: Sink) -> Answer<'_, Backup>;

    /// Fills this store, which must be empty, from a backup of any engine. Revisions and sequences are kept.
    fn restore(&self, from: PathBuf) -> Answer<'_, Backup>;

    /// How the engine is.
    fn health(&self) -> Answer<'_, Health>;

    /// A hint that a commit was made by this process. Others may commit too: followers poll [`Store::changes`] as well.
    fn latest(&self) -> watch::Receiver<Revision>;

    /// Whether other servers write this store too. Then what a server holds in memory is true only as far as it has
    /// followed [`Store::changes`]; where nobody else writes, it is true with each commit.
    fn is_shared(&self) -> bool {
        false
    }
}

/// What a store cannot do. A conflict is the caller's to resolve; the others are the operator's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// An expectation does not hold, an idempotency key was used for another request, or a generation is in use.
    #[error("{0} was changed meanwhile: load it again and decide anew")]
    Conflict(Key),
    /// The engine did not answer. A write may or may not have happened.
    #[error("the store cannot {doing}")]
    Unavailable {
        /// What it was doing, and what to do about it.
        doing: String,
        /// The engine's own word.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Stored bytes are not what was written.
    #[error("stored bytes are damaged at {0}: stop the server and restore the last backup")]
    Corrupt(String),
    /// No room. Nothing was written.
    #[error(
        "the disk under the store is full: free space there, or shorten the retention of telemetry; nothing was written"
    )]
    Full,
}

impl StoreError {
    /// An [`StoreError::Unavailable`] of anything that has a message.
    pub(crate) fn unavailable(
        doing: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { doing: doing.into(), source: Arc::from(source.into()) }
    }

    /// An I/O error, which is either a full disk or an unavailable one.
    pub(crate) fn of_io(doing: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(source.kind(), StorageFull | QuotaExceeded) {
            return Self::Full;
        }
        Self::unavailable(doing, source)
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// At the first key, going up.
    First,
    /// Behind this key, going up.
    After(Key),
    /// At the last key, going down.
    Last,
    /// Before this key, going down.
    Before(Key),
}

impl Cursor {
    /// Whether keys fall.
    #[must_use]
    pub fn goes_down(&self) -> bool {
        match self {
            Self::First | Self::After(_) => false,
            Self::Last | Self::Before(_) => true,
        }
    }

    /// The cursor behind `key` in the same direction.
    #[must_use]
    pub fn behind(&self, key: Key) -> Self {
        if self.goes_down() { Self::Before(key) } else { Self::After(key) }
    }
}

/// One page of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The documents.
    pub rows: Vec<(Key, Row)>,
    /// Where the next page begins, unless this was the end.
    pub next: Option<Cursor>,
}

/// Which telemetry is asked for. Times are those of arrival, by the server's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// Of one device only.
    pub device: Option<DeviceId>,
    /// Of one kind of body only.
    pub kind: Option<u16>,
    /// Received at or after.
    pub from: Millis,
    /// Received before.
    pub until: Millis,
    /// The latest first.
    pub newest_first: bool,
    /// Where the page before ended.
    pub after: Option<EventId>,
    /// At most so many, and at most `limits::PAGE_ROWS`.
    pub limit: usize,
}

impl EventQuery {
    /// All telemetry, the oldest first; the fields narrow it.
    #[must_use]
    pub fn all() -> Self {
        Self {
            device: None,
            kind: None,
            from: Millis(i64::MIN),
            until: Millis(i64::MAX),
            newest_first: false,
            after: None,
            limit: limits::PAGE_ROWS,
        }
    }

    /// Whether an event is asked for, the cursor apart.
    #[must_use]
    pub fn wants(&self, id: EventId, record: &Record) -> bool {
        self.from <= id.received
            && id.received < self.until
            && self.device.is_none_or(|device| device == id.device)
            && self.kind.is_none_or(|kind| kind == record.kind)
    }

    /// Whether an event lies behind the cursor.
    #[must_use]
    pub fn is_behind_cursor(&self, id: EventId) -> bool {
        self.after.is_none_or(|after| if self.newest_first { id < after } else { id > after })
    }
}

/// The place of a record among all telemetry: time first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// When its batch arrived.
    pub received: Millis,
    /// Whose it is.
    pub device: DeviceId,
    /// Its place in the device's stream.
    pub position: Position,
}

/// One page of telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The records.
    pub events: Vec<(EventId, Record)>,
    /// Where the next page begins, unless this was the end.
    pub next: Option<EventId>,
}

/// What [`Store::expire`] forgot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Telemetry records.
    pub events: u64,
    /// Remembered outcomes of requests.
    pub outcomes: u64,
    /// Commits of [`Store::changes`].
    pub commits: u64,
}

/// What a follower reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The next commits; none means that the follower is up to date.
    Commits(Vec<Changed>),
    /// Some commits after the asked revision are forgotten: scan what you follow, then go on from here.
    Gone {
        /// The revision that the scans will have included.
        resume: Revision,
    },
}

impl Feed {
    /// Keys after which a page of commits ends.
    pub const KEYS: usize = 5000;

    /// Whether this page of at most `limit` commits held all there were, so that its reader is up to date.
    #[must_use]
    pub fn is_whole(&self, limit: usize) -> bool {
        match self {
            Self::Commits(commits) => {
                let keys: usize = commits.iter().map(|commit| commit.keys.len()).sum();
                commits.len() < limit && keys < Self::KEYS
            }
            Self::Gone { .. } => false,
        }
    }
}

/// Rows of bulk data on their way into a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk(Vec<(Vec<u8>, Vec<u8>)>);

/// The chunk is beyond the bounds of one write: split it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more rows or bytes than one chunk of bulk data may have: split it")]
pub struct ChunkTooLarge;

impl Chunk {
    /// Rows of a chunk.
    pub const ROWS: usize = 4096;

    /// Key and value of each row, within `limits`.
    pub fn new(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, ChunkTooLarge> {
        let keys_fit = rows.iter().all(|(key, _)| key.len() <= limits::BULK_KEY_BYTES);
        let bytes = rows.iter().map(|(key, value)| key.len().saturating_add(value.len()));
        let bytes = bytes.fold(0_usize, usize::saturating_add);
        if keys_fit && rows.len() <= Self::ROWS && bytes <= limits::COMMIT_BYTES {
            Ok(Self(rows))
        } else {
            Err(ChunkTooLarge)
        }
    }

    /// The documents that these rows are in a generation.
    pub(crate) fn into_documents(self, set: Set, generation: u64) -> impl Iterator<Item = (Key, Vec<u8>)> {
        self.0.into_iter().map(move |(row, value)| (Key::Bulk { set, generation, row }, value))
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum()
    }
}

/// A backup that was written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Documents, audit entries included.
    pub documents: u64,
    /// Telemetry records.
    pub events: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The digest that the file carries of itself.
    pub sha256: Sha256,
}

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its name.
    pub engine: &'static str,
    /// The last transaction.
    pub revision: Revision,
    /// Why writes are refused, if they are, and what to do.
    pub problem: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes free beside it, where that means something.
    pub free_bytes: Option<u64>,
    /// Writes since the start.
    pub writes: u64,
    /// Groups in which they were synced.
    pub groups: u64,
}

/// What the current-generation pointer says, for `load` and `drop_generation`.
fn pointed_generation(set: Set, pointer: Option<&Row>) -> Result<Option<u64>, StoreError> {
    let Some(row) = pointer else { return Ok(None) };
    let generation = cordon_server_core::change::generation_of(&row.body);
    generation.map(Some).ok_or_else(|| StoreError::Corrupt(Key::Generation(set).to_string()))
}

/// Refuses to touch the rows of the current generation.
fn not_current(set: Set, generation: u64, pointer: Option<&Row>) -> Result<(), StoreError> {
    if pointed_generation(set, pointer)? == Some(generation) {
        return Err(StoreError::Conflict(Key::Generation(set)));
    }
    Ok(())
}
