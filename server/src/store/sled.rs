//! The other embedded engine: sled, one tree in a folder, made durable and watched by us.
//!
//! sled's own `flush` neither syncs the file's size nor empties the disk's cache, so each group ends with our own sync
//! of its `db` file, and is visible and answered only then. sled goes on without a word when bytes of it are gone; the
//! mark beside the folder finds that out at the next opening, which reads the whole tree for it and **refuses to serve
//! a store that has lost what was acknowledged**. sled panics over some damage; no panic of it leaves this file. It has
//! no snapshots: a reader holds off the writer while it reads (pages are short; a backup takes as long as it takes),
//! and the writer holds off readers while the disk syncs. After any failure it is opened again before its next use; a
//! failed sync is for good, as with redb. Read next: `sled/mark.rs` for the loss, `sled/layout.rs` for what stands where.

mod layout;
mod mark;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use self::layout::{Laid, Stored, TALLY_KEY};
use self::mark::{Mark, Tally};
pub use super::disk::Options;
use super::disk::{self, DiskState};
use super::kv::{Condition, Kv, KvStore, Space, Span, View, Visit, WriteBatch};
use super::{StoreError, blobs};
use crate::chance;

/// The sled engine.
#[derive(Debug)]
pub struct Sled {
    folder: PathBuf,
    options: Options,
    disk: DiskState,
    state: RwLock<State>,
    /// Something failed: open again before the next use.
    suspect: AtomicBool,
}

/// What the lock is over.
#[derive(Debug)]
struct State {
    tree: Option<Tree>,
    mark: Mark,
    tally: Tally,
}

/// The open tree, and the file that we sync.
#[derive(Debug)]
struct Tree {
    database: sled::Db,
    file: File,
}

/// Why a store folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use: a server is running on it; stop it, or speak to it over its local socket", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder's parent is missing, or closed to us.
    #[error("cannot open {}: make the folder above it and give it to the user the server runs as", .folder.display())]
    Unreachable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No room to open it.
    #[error("the disk under {} is full: free space there and start again", .folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
    },
    /// Less is there than was acknowledged.
    #[error(
        "records that were acknowledged are gone from {}: {found}. Do not go on with it: move the folder and the .mark \
         file beside it away, and restore the last backup", .folder.display()
    )]
    Lost {
        /// The folder.
        folder: PathBuf,
        /// What is there, and what was.
        found: String,
    },
    /// Damaged, or no store at all.
    #[error(
        "{} is damaged or no store: move the folder and the .mark file beside it away, and restore the last backup",
        .folder.display()
    )]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// sled's word.
        #[source]
        source: sled::Error,
    },
    /// Opened, but not to be used.
    #[error("cannot use {}", .folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl Sled {
    /// Opens or makes the store in `folder`, mode 0700. Blocks, the longer the more it holds: all of it is read.
    pub fn open(folder: &Path, options: Options) -> Result<KvStore<Self>, OpenError> {
        let engine = Self::engine(folder, options)?;
        KvStore::open(engine, options.gather)
            .map_err(|source| OpenError::Unusable { folder: folder.to_owned(), source })
    }

    fn engine(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let disk = DiskState::new(options.unsynced);
        let unreachable = |source: io::Error| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse { folder: folder.to_owned() },
            _ => unreachable(folder, source),
        };
        let (mut mark, told) = Mark::open(&beside(folder)).map_err(unreachable)?;
        let (tree, tally) = open_tree(folder, options, told, &disk)?;
        mark.tell(tally, &disk).and_then(|()| mark.sync(&disk)).map_err(unreachable)?;
        let state = RwLock::new(State { tree: Some(tree), mark, tally });
        Ok(Self { folder: folder.to_owned(), options, disk, state, suspect: AtomicBool::new(false) })
    }

    /// The state to read, opened again if something had failed.
    fn reading(&self) -> Result<RwLockReadGuard<'_, State>, StoreError> {
        if self.suspect.load(Ordering::Acquire) {
            drop(self.writing()?);
        }
        Ok(self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state to write, opened again if something had failed.
    fn writing(&self) -> Result<RwLockWriteGuard<'_, State>, StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if self.suspect.load(Ordering::Acquire) {
            self.reopen(&mut state)?;
        }
        Ok(state)
    }

    fn reopen(&self, state: &mut State) -> Result<(), StoreError> {
        close(state.tree.take());
        let opened = open_tree(&self.folder, self.options, Some(state.tally), &self.disk);
        let (tree, tally) = opened.map_err(|error| match error {
            OpenError::Full { .. } => StoreError::Full,
            error => StoreError::unavailable("open again after a failure", error),
        })?;
        (state.tree, state.tally) = (Some(tree), tally);
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }

    /// An error of sled as one of the store's; whatever it was, the tree has to be opened again.
    fn failed(&self, doing: &str, error: sled::Error) -> StoreError {
        self.suspect.store(true, Ordering::Release);
        match error {
            sled::Error::Corruption { .. } => StoreError::Corrupt(self.folder.display().to_string()),
            sled::Error::Io(error) => StoreError::of_io(doing, error),
            error => StoreError::unavailable(doing, error),
        }
    }

    /// Hands a batch to sled, and says what the tree holds then. Not durable yet.
    fn apply(&self, state: &State, batch: WriteBatch) -> Result<Tally, StoreError> {
        let database = &state.tree.as_ref().ok_or_else(closed)?.database;
        let applied = unpanicked(|| {
            let mut laid = Laid::over(database, batch)?;
            let batches = state.tally.batches.saturating_add(1);
            let tally = Tally { batches, pairs: laid.pairs(state.tally.pairs), ..state.tally };
            laid.batch.insert(TALLY_KEY, tally.to_bytes());
            database.apply_batch(laid.batch)?;
            database.flush()?;
            Ok(tally)
        });
        applied.map_err(|error| self.failed("write", error))
    }

    /// Makes durable what sled was given, then tells the mark.
    fn settle(&self, state: &mut State, tally: Tally) -> Result<(), StoreError> {
        let file = &state.tree.as_ref().ok_or_else(closed)?.file;
        let synced = self.disk.sync(|| file.sync_data());
        synced.and_then(|()| state.mark.tell(tally, &self.disk)).map_err(|error| {
            self.suspect.store(true, Ordering::Release);
            StoreError::of_io("sync", error)
        })?;
        state.tally = tally;
        Ok(())
    }
}

impl Kv for Sled {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn view(&self) -> Result<Box<dyn View + '_>, StoreError> {
        Ok(Box::new(Moment { engine: self, state: self.reading()? }))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.disk.check()?;
        if !batch.frees {
            disk::has_room(&self.folder, self.options.reserve_bytes)?;
        }
        let mut state = self.writing()?;
        #[cfg(test)]
        self.disk.fault.on_write().map_err(|error| StoreError::of_io("write", error))?;
        let before = state.tally.batches;
        match self.apply(&state, batch) {
            Ok(tally) => self.settle(&mut state, tally),
            // The disk was full, or worse: what it holds now is what counts, whole or not at all.
            Err(error) => match self.reopen(&mut state) {
                Ok(()) if state.tally.batches > before => Ok(()),
                Ok(()) | Err(_) => Err(error),
            },
        }
    }

    fn condition(&self) -> Condition {
        let room = || disk::has_room(&self.folder, self.options.reserve_bytes);
        let problem = self.disk.check().and_then(|()| room()).err().map(|error| error.to_string());
        Condition { bytes: bytes_in(&self.folder), free_bytes: disk::free_bytes(&self.folder), problem }
    }
}

impl Drop for Sled {
    /// sled syncs when it is dropped, and panics if that fails.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        close(state.tree.take());
        // All that was answered is durable; an older mark only sees less.
        let _ = state.mark.sync(&self.disk);
    }
}

/// The tree, held against writes.
struct Moment<'e> {
    engine: &'e Sled,
    state: RwLockReadGuard<'e, State>,
}

impl Moment<'_> {
    fn tree(&self) -> Result<&sled::Db, StoreError> {
        self.state.tree.as_ref().map(|tree| &tree.database).ok_or_else(closed)
    }

    /// The value that stands at `place` as `found`.
    fn value(&self, place: &[u8], found: &[u8]) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::Corrupt(self.engine.folder.display().to_string());
        let stored = Stored::read(found).ok_or_else(damaged)?;
        let bytes = match stored {
            Stored::Whole(value) => return Ok(value.to_vec()),
            Stored::Cut(bytes) => bytes,
        };
        let mut value = Vec::new();
        for number in 0..stored.pieces() {
            value.extend_from_slice(&self.read(&layout::piece(place, number))?.ok_or_else(damaged)?);
        }
        if value.len() == bytes { Ok(value) } else { Err(damaged()) }
    }

    fn read(&self, place: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let tree = self.tree()?;
        unpanicked(|| tree.get(place)).map_err(|error| self.engine.failed("read", error))
    }
}

impl View for Moment<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let place = layout::place(space, key);
        let found = self.read(&place)?;
        found.map(|found| self.value(&place, &found)).transpose()
    }

    fn range(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if span.is_empty() {
            return Ok(());
        }
        let (from, to) = layout::bounds(span);
        let mut pairs = self.tree()?.range(from..to);
        let mut next = || unpanicked(|| if span.down { pairs.next_back() } else { pairs.next() }.transpose());
        while let Some((place, found)) = next().map_err(|error| self.engine.failed("read", error))? {
            let value = self.value(&place, &found)?;
            let key = place.get(1..).unwrap_or_default();
            if let ControlFlow::Break(()) = visit(key, &value) {
                break;
            }
        }
        Ok(())
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("answer: restart the server", "the database is closed")
}

/// Runs sled; a panic of it is an error like others.
fn unpanicked<T>(work: impl FnOnce() -> sled::Result<T>) -> sled::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(sled::Error::ReportableBug("it panicked: see the log".to_owned())))
}

/// Closes a tree, and lets no panic out. What was answered is durable already.
fn close(tree: Option<Tree>) {
    let _ = unpanicked(|| {
        drop(tree);
        Ok(())
    });
}

/// The file of the mark: beside the folder, so that it outlives an emptied one.
fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".mark");
    folder.with_file_name(name)
}

/// Opens the folder, private to its owner, and compares it with what was `told` of it.
fn open_tree(
    folder: &Path,
    options: Options,
    told: Option<Tally>,
    disk: &DiskState,
) -> Result<(Tree, Tally), OpenError> {
    let unreachable = |source| unreachable(folder, source);
    let refused = |error| refused(folder, error);
    DirBuilder::new().mode(0o700).create(folder).or_else(there_already).map_err(unreachable)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(unreachable)?;
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(u64::try_from(options.cache_bytes).unwrap_or(u64::MAX))
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(None);
    let database = open_database(&config).map_err(refused)?;
    private(folder).map_err(unreachable)?;
    let file = OpenOptions::new().read(true).write(true).open(folder.join("db")).map_err(unreachable)?;
    let tree = Tree { database, file };
    let held = unpanicked(|| held(&tree.database)).map_err(refused)?;
    let tally = match judged(held, told) {
        Ok(Some(tally)) => tally,
        Ok(None) => begin(&tree.database, told).map_err(refused)?,
        Err(found) => {
            close(Some(tree));
            return Err(OpenError::Lost { folder: folder.to_owned(), found });
        }
    };
    // What was only in the kernel's memory when a server was killed counts from now on.
    let synced = disk.sync(|| tree.file.sync_all());
    synced.and_then(|()| disk.sync(|| sync_entries(folder))).map_err(unreachable)?;
    Ok((tree, tally))
}

/// Opens sled. Threads of its own may hold the file's lock for a moment after it was closed.
fn open_database(config: &sled::Config) -> sled::Result<sled::Db> {
    const PATIENCE: u32 = 100;
    let mut tries = 0;
    loop {
        match unpanicked(|| config.open()) {
            Err(sled::Error::Io(error)) if tries < PATIENCE && error.to_string().contains("acquire lock") => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            answer => return answer,
        }
    }
}

/// What a tree holds: its tally, and the pairs that are really there, each of them read.
fn held(database: &sled::Db) -> sled::Result<(Option<Tally>, u64)> {
    let mut pairs: u64 = 0;
    let mut last = None;
    for pair in database.range(..TALLY_KEY) {
        let (key, _) = pair?;
        if last.as_ref() >= Some(&key) {
            return Err(sled::Error::ReportableBug("its keys do not rise".to_owned()));
        }
        last = Some(key);
        pairs = pairs.saturating_add(1);
    }
    let tally = database.get(TALLY_KEY)?.map(|bytes| {
        let damaged = || sled::Error::ReportableBug("its tally cannot be read".to_owned());
        Tally::from_bytes(&bytes).ok_or_else(damaged)
    });
    Ok((tally.transpose()?, pairs))
}

/// Whether a tree still holds what was told of it; `None` if it is new. The error says what is missing.
fn judged((held, pairs): (Option<Tally>, u64), told: Option<Tally>) -> Result<Option<Tally>, String> {
    let batches = told.map_or(0, |told| told.batches);
    let Some(held) = held else {
        let is_new = pairs == 0 && batches == 0;
        return if is_new {
            Ok(None)
        } else {
            Err(format!("{batches} writes were acknowledged, none is there"))
        };
    };
    match told {
        None => {
            Err("its .mark file is missing or damaged, so nobody can tell whether it is whole".to_owned())
        }
        Some(told) if told.epoch != held.epoch => Err("its .mark file tells of another store".to_owned()),
        Some(_) if held.batches < batches => {
            Err(format!("{batches} writes were acknowledged, {} are there", held.batches))
        }
        Some(_) if held.pairs != pairs => Err(format!("{} pairs were stored, {pairs} are there", held.pairs)),
        Some(_) => Ok(Some(held)),
    }
}

/// The first tally of a new store.
fn begin(database: &sled::Db, told: Option<Tally>) -> sled::Result<Tally> {
    let epoch = told.map_or_else(chance::random, |told| told.epoch);
    let tally = Tally { epoch, batches: 0, pairs: 0 };
    unpanicked(|| {
        database.insert(TALLY_KEY, tally.to_bytes())?;
        database.flush()
    })?;
    Ok(tally)
}

fn there_already(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Takes every right of others from sled's files.
fn private(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(entry.path(), Permissions::from_mode(mode & 0o700))?;
        }
    }
    Ok(())
}

/// Makes the names of sled's files, and of its folder, durable.
fn sync_entries(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    blobs::sync_folder(folder)
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

fn refused(folder: &Path, error: sled::Error) -> OpenError {
    match error {
        sled::Error::Io(source) if source.to_string().contains("acquire lock") => {
            OpenError::InUse { folder: folder.to_owned() }
        }
        sled::Error::Io(source) => unreachable(folder, source),
        source => OpenError::Damaged { folder: folder.to_owned(), source },
    }
}

fn unreachable(folder: &Path, source: io::Error) -> OpenError {
    let folder = folder.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::Full { folder },
        _ => OpenError::Unreachable { folder, source },
    }
}

#[cfg(test)]
mod tests;
