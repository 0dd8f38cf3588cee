//! The store on ordered bytes: everything an engine must share, so that an engine is only a map and a sync.
//!
//! An engine is a [`Kv`]: reads of one moment, range reads, and one batch that is written whole and durable. All else
//! is here: how documents become bytes (`frame`), what each verb writes (`write`) and reads (`read`), and the writer
//! thread (`group`) that gathers the writes of many callers into one batch, each with its own outcome. Nothing here
//! knows which engine it runs on. Read next: `super::redb` for the engine, `group` for the gathering.

mod frame;
mod group;
mod overlay;
mod read;
mod write;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::time::Millis;
use tokio::sync::watch;

pub(super) use self::frame::{number_of, ordered};
use self::group::{Ask, Writer};
use self::overlay::Overlay;
use super::archive;
use super::{
    Answer, Appended, Backup, Chunk, Commit, Committed, Cursor, Delivery, EventPage, EventQuery, Expired,
    Feed, Health, Index, Key, LeaseAnswer, LeaseRequest, Page, Revision, Row, Set, Sink, Store, StoreError,
};

/// The maps that an engine keeps, each ordered by its keys. Names and numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Space {
    /// The store's own numbers.
    Own = 0,
    /// Documents by the bytes of their key.
    Rows = 1,
    /// What followers read, by revision.
    Feed = 2,
    /// By hour and device, when batches arrived: the way from a device to its events.
    Hours = 3,
    /// Telemetry, time first: appended at the end, forgotten from the front.
    Events = 4,
}

impl Space {
    /// All spaces, in order.
    pub const ALL: [Self; 5] = [Self::Own, Self::Rows, Self::Feed, Self::Hours, Self::Events];

    /// The name, for engines that name their maps.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Rows => "rows",
            Self::Feed => "feed",
            Self::Hours => "hours",
            Self::Events => "events",
        }
    }

    /// The number, for engines that have one map and put it before the key.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// One write of an engine: later entries are already merged, `None` removes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    /// What changes.
    pub entries: BTreeMap<Place, Option<Vec<u8>>>,
    /// Whether the batch only removes, and so is let through on a disk that is nearly full.
    pub frees: bool,
}

/// Keys of one space from the first, included, to the last, excluded, up or down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The space.
    pub space: Space,
    /// The lowest key.
    pub from: Vec<u8>,
    /// The lowest key above; `None` is above all.
    pub to: Option<Vec<u8>>,
    /// Whether the highest comes first.
    pub down: bool,
}

/// What is called for each pair of a span, until it breaks.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// One moment of an engine.
pub trait View {
    /// One value.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The pairs of a span, in order.
    fn range(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Says which values will be asked for, so that an engine that is far away fetches them in one journey. A failure
    /// shows when they are asked for.
    fn ahead(&self, places: &[Place]) {
        let _ = places;
    }
}

/// A key of a space.
pub type Place = (Space, Vec<u8>);

/// Decides one batch over a moment of an engine.
pub type Decide<'a> = dyn FnMut(&dyn View) -> WriteBatch + 'a;

/// An engine. All of it blocks; the layer above keeps it off the async threads, and writes from one thread only.
pub trait Kv: Send + Sync + 'static {
    /// The engine's name.
    fn name(&self) -> &'static str;

    /// The present moment. Writes that are not durable yet are not in it.
    fn view(&self) -> Result<Box<dyn View + '_>, StoreError>;

    /// Writes a batch whole or not at all, durable when it returns. After an error other than `Full` it may have been
    /// written.
    fn write(&self, batch: WriteBatch) -> Result<(), StoreError>;

    /// Decides and writes one batch, whole or not at all, durable when it returns: `decide` is called once, over a
    /// moment that nobody else's write can come after. An engine that other processes write too holds them off.
    fn transact(&self, decide: &mut Decide<'_>) -> Result<(), StoreError> {
        let view = self.view()?;
        let batch = decide(&*view);
        // The engine may have to close and open itself again after a failure: no reader may be in its way.
        drop(view);
        if batch.entries.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// One value of the present moment, for engines to which a moment is dearer than a value.
    fn look_up(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.view()?.get(space, key)
    }

    /// Drops what an engine can drop whole of the pairs of a space below a key, and says how many telemetry records
    /// that were. What it leaves is removed pair by pair.
    fn drop_front(&self, space: Space, below: &[u8]) -> Result<u64, StoreError> {
        let _ = (space, below);
        Ok(0)
    }

    /// Whether other processes write this store too: then a view in memory is only as fresh as its follower.
    fn is_shared(&self) -> bool {
        false
    }

    /// Begins to tell of the commits of other processes, as far as they are heard of: a hint, not a promise. It ends
    /// with the engine.
    fn listen(&self, hear: Arc<dyn Fn(Revision) + Send + Sync>) {
        let _ = hear;
    }

    /// Gives room that removals freed back to the disk, where an engine keeps it to itself otherwise. Asked for after
    /// removals on a disk that is nearly full; may do nothing when others are reading.
    fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Bytes on disk, bytes free, and why writes are refused.
    fn condition(&self) -> Condition;
}

/// How an engine's disk is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes free.
    pub free_bytes: Option<u64>,
    /// Why writes are refused, and what to do.
    pub problem: Option<String>,
}

/// How writes are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// How long a group waits for more, once it is not alone.
    pub wait: Duration,
    /// Writes of one group.
    pub writes: usize,
    /// Bytes of bodies of one group.
    pub bytes: usize,
}

impl Default for Gather {
    /// A slow disk gathers by itself while it syncs. Measured on a fast one (0.3 ms a sync), commits of 300 bytes:
    /// 300 µs needs as few syncs as 2 ms at 16 and 64 waiting writers, in about half the time.
    fn default() -> Self {
        Self { wait: Duration::from_micros(300), writes: 1024, bytes: 8 * 1024 * 1024 }
    }
}

/// A store over an engine.
pub struct KvStore<K> {
    engine: Arc<K>,
    writer: Writer,
    latest: Arc<watch::Sender<Revision>>,
}

/// Bytes moved in one step of a restore.
const RESTORE_BYTES: usize = 4 * 1024 * 1024;

impl<K: Kv> KvStore<K> {
    /// Takes an engine whose maps are empty or of a version known here, and starts the writer thread. Blocks.
    pub fn open(engine: K, gather: Gather) -> Result<Self, StoreError> {
        let engine = Arc::new(engine);
        let revision = write::open(&*engine)?;
        let latest = Arc::new(watch::Sender::new(revision));
        let told = latest.clone();
        engine.listen(Arc::new(move |revision| group::tell(&told, revision)));
        let writer = Writer::start(engine.clone(), latest.clone(), gather)?;
        Ok(Self { engine, writer, latest })
    }

    /// Reads one moment on a blocking thread.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn View) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let engine = self.engine.clone();
        Box::pin(off_thread(move || read(&*engine.view()?)))
    }

    /// Repeats a bounded removal, each in a group of its own, until nothing is left.
    async fn sweep<T: Default + Send + 'static>(
        &self,
        step: impl Fn(&mut Overlay<'_>) -> Result<(T, bool), StoreError> + Clone + Send + 'static,
        add: impl Fn(T, T) -> T,
    ) -> Result<T, StoreError> {
        let mut total = T::default();
        loop {
            let (part, done) = self.writer.alone(step.clone()).await?;
            total = add(total, part);
            if done {
                return Ok(total);
            }
        }
    }

    /// Drops old telemetry whole, where the engine can, and removes the rest step by step.
    async fn expire_before(&self, before: Millis) -> Result<Expired, StoreError> {
        let engine = self.engine.clone();
        let dropped = off_thread(move || {
            let hour = frame::hour_of(before);
            engine.drop_front(Space::Hours, &frame::hour_start(hour))?;
            engine.drop_front(Space::Events, &frame::event_prefix(frame::start_of_hour(hour), None))
        });
        let dropped = Expired { events: dropped.await?, ..Expired::default() };
        let add = |a: Expired, b: Expired| Expired {
            events: a.events.saturating_add(b.events),
            outcomes: a.outcomes.saturating_add(b.outcomes),
            commits: a.commits.saturating_add(b.commits),
        };
        let swept = self.sweep(move |overlay| write::expire(overlay, before), add).await?;
        if swept.events > 0 {
            let engine = self.engine.clone();
            off_thread(move || engine.reclaim()).await?;
        }
        Ok(add(dropped, swept))
    }

    async fn restore_from(&self, from: PathBuf) -> Result<Backup, StoreError> {
        let mut reader = off_thread(move || archive::Reader::open(&from)).await?;
        self.writer.alone(write::begin_restore).await?;
        loop {
            let (items, rest) = off_thread(move || Ok((reader.some(RESTORE_BYTES)?, reader))).await?;
            reader = rest;
            if items.is_empty() {
                break;
            }
            self.writer.alone(move |overlay| write::restore(overlay, items)).await?;
        }
        let last = self.writer.alone(write::end_restore).await?;
        self.latest.send_replace(last);
        Ok(reader.backup())
    }
}

impl<K: Kv> Store for KvStore<K> {
    fn get(&self, key: Key) -> Answer<'_, Option<Row>> {
        let engine = self.engine.clone();
        Box::pin(off_thread(move || {
            let bytes = key.to_bytes();
            read::row_if(&bytes, engine.look_up(Space::Rows, &bytes)?)
        }))
    }

    fn scan(&self, index: Index, from: Cursor, limit: usize) -> Answer<'_, Page> {
        self.read(move |view| read::scan(view, &index, &from, limit))
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        let ask = Ask { bytes: commit.body_bytes(), reads: write::commit_reads(&commit) };
        Box::pin(self.writer.write(ask, move |overlay| write::commit(overlay, commit)))
    }

    fn append(&self, delivery: Delivery) -> Answer<'_, Appended> {
        let ask = Ask { bytes: delivery.body_bytes(), reads: write::append_reads(&delivery) };
        Box::pin(self.writer.write(ask, move |overlay| write::append(overlay, delivery)))
    }

    fn events(&self, query: EventQuery) -> Answer<'_, EventPage> {
        self.read(move |view| read::events(view, &query))
    }

    fn expire(&self, before: Millis) -> Answer<'_, Expired> {
        Box::pin(self.expire_before(before))
    }

    fn changes(&self, after: Revision, limit: usize) -> Answer<'_, Feed> {
        self.read(move |view| read::changes(view, after, limit))
    }

    fn lease(&self, request: LeaseRequest) -> Answer<'_, LeaseAnswer> {
        let ask = Ask { bytes: 0, reads: vec![write::row_read(&Key::Lease(request.name.clone()))] };
        Box::pin(self.writer.write(ask, move |overlay| write::lease(overlay, &request)))
    }

    fn load(&self, set: Set, generation: u64, chunk: Chunk) -> Answer<'_, ()> {
        let ask = Ask { bytes: chunk.bytes(), reads: vec![write::row_read(&Key::Generation(set))] };
        Box::pin(self.writer.write(ask, move |overlay| write::load(overlay, set, generation, chunk)))
    }

    fn drop_generation(&self, set: Set, generation: u64) -> Answer<'_, u64> {
        let step = move |overlay: &mut Overlay<'_>| write::drop_generation(overlay, set, generation);
        Box::pin(self.sweep(step, u64::saturating_add))
    }

    fn backup(&self, to: PathBuf) -> Answer<'_, Backup> {
        self.read(move |view| archive::to_file(&to, |into| read::backup(view, into)))
    }

    fn backup_into(&self, mut into: Sink) -> Answer<'_, Backup> {
        self.read(move |view| read::backup(view, &mut *into))
    }

    fn restore(&self, from: PathBuf) -> Answer<'_, Backup> {
        Box::pin(self.restore_from(from))
    }

    fn health(&self) -> Answer<'_, Health> {
        let (engine, (writes, groups)) = (self.engine.clone(), self.writer.counts());
        Box::pin(off_thread(move || {
            let Condition { bytes, free_bytes, mut problem } = engine.condition();
            let revision = match engine.view().and_then(|view| read::counters(&*view)) {
                Ok(counters) => counters.revision,
                Err(error) => {
                    problem = problem.or(Some(error.to_string()));
                    Revision::default()
                }
            };
            Ok(Health { engine: engine.name(), revision, problem, bytes, free_bytes, writes, groups })
        }))
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }

    fn is_shared(&self) -> bool {
        self.engine.is_shared()
    }
}

#[cfg(test)]
impl<K: Kv> KvStore<K> {
    /// Writes documents as somebody would who has the file and this very program: past every rule, with right checks.
    pub(crate) fn tamper(&self, rows: impl IntoIterator<Item = (Key, Option<Vec<u8>>)>) {
        let sealed = |(key, body): (Key, Option<Vec<u8>>)| {
            let row = body.map(|body| frame::row_bytes(&Row { revision: Revision(1), body }));
            let value = row.map(|row| frame::seal(Space::Rows, &key.to_bytes(), &row));
            (key, value)
        };
        self.overwrite(rows.into_iter().map(sealed));
    }

    /// Writes values as somebody would who has only the file.
    pub(crate) fn overwrite(&self, values: impl IntoIterator<Item = (Key, Option<Vec<u8>>)>) {
        let at = |(key, value): (Key, Option<Vec<u8>>)| ((Space::Rows, key.to_bytes()), value);
        let entries = values.into_iter().map(at).collect();
        self.engine.write(WriteBatch { entries, frees: false }).expect("written");
    }
}

/// Runs blocking work on a thread made for it.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(StoreError::unavailable("finish a read, which broke off", error)),
    }
}

#[cfg(test)]
pub(super) mod tests;
