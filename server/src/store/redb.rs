//! The default engine: redb, one file, one sync of the disk for every group of writes.
//!
//! redb checks every page after a crash and keeps two commit slots, so a power cut costs nothing that was answered.
//! After a failed write it answers nothing any more until it is opened again; this engine does that by itself when
//! the disk was merely full. **A failed sync is for good**: the kernel may have dropped the pages while showing them
//! still, so no write is accepted until people have looked at the disk. Read next: [`Redb::open`] for what can go wrong.

mod disk;

use std::cell::OnceCell;
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::{
    CompactionError, Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase, StorageError,
    TableDefinition,
};

use self::disk::Disk;
pub use super::disk::Options;
use super::disk::{self as disks, DiskState};
use super::kv::{Condition, Kv, KvStore, Space, Span, View, Visit, WriteBatch};
use super::{StoreError, blobs};

/// How often and how long apart a moment without readers is looked for.
const RECLAIM_TRIES: u32 = 100;
const RECLAIM_PAUSE: Duration = Duration::from_millis(20);

/// The redb engine.
#[derive(Debug)]
pub struct Redb {
    path: PathBuf,
    options: Options,
    disk: Arc<DiskState>,
    database: RwLock<Option<Database>>,
    /// Something failed: open again before the next use.
    suspect: AtomicBool,
}

/// Why a store file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use: a server is running on it; stop it, or speak to it over its local socket", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The folder is missing or closed to us.
    #[error("cannot open {}: make its folder and give it to the user the server runs as", .path.display())]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No room to open it.
    #[error("the disk under {} is full: free space there and start again", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Damaged, or no store at all.
    #[error("{} is damaged or no store: move it away and run `cordon-server restore` with the last backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// redb's word.
        #[source]
        source: DatabaseError,
    },
    /// Opened, but not to be used.
    #[error("cannot use {}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl Redb {
    /// Opens or makes the store at `path`, mode 0600. Blocks, for a while after a power cut.
    pub fn open(path: &Path, options: Options) -> Result<KvStore<Self>, OpenError> {
        let engine = Self::engine(path, options)?;
        KvStore::open(engine, options.gather)
            .map_err(|source| OpenError::Unusable { path: path.to_owned(), source })
    }

    fn engine(path: &Path, options: Options) -> Result<Self, OpenError> {
        let disk = Arc::new(DiskState::new(options.unsynced));
        let database = open_database(path, options, &disk)?;
        let (path, database) = (path.to_owned(), RwLock::new(Some(database)));
        Ok(Self { path, options, disk, database, suspect: AtomicBool::new(false) })
    }

    /// The open database, opened again if something had failed.
    fn database(&self) -> Result<RwLockReadGuard<'_, Option<Database>>, StoreError> {
        if self.suspect.load(Ordering::Acquire) {
            self.reopen()?;
        }
        Ok(self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if !self.suspect.load(Ordering::Acquire) {
            return Ok(());
        }
        drop(database.take());
        let opened = open_database(&self.path, self.options, &self.disk);
        *database = Some(opened.map_err(|error| match error {
            OpenError::Full { .. } => StoreError::Full,
            error => StoreError::unavailable("open again after a failure", error),
        })?);
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }

    /// An error of redb as one of the store's; after one of the disk, the database has to be opened again.
    fn failed(&self, doing: &str, error: impl Into<redb::Error>) -> StoreError {
        let error = error.into();
        match error {
            redb::Error::Corrupted(what) => StoreError::Corrupt(what),
            redb::Error::Io(error) => {
                self.suspect.store(true, Ordering::Release);
                StoreError::of_io(doing, error)
            }
            error => {
                self.suspect.store(true, Ordering::Release);
                StoreError::unavailable(doing, error)
            }
        }
    }

    fn has_room(&self) -> Result<(), StoreError> {
        disks::has_room(&self.path, self.options.reserve_bytes)
    }

    fn write_all(&self, database: &Database, batch: &WriteBatch) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        for space in Space::ALL {
            let mut entries = batch.entries.range((space, Vec::new())..).peekable();
            if entries.peek().is_none_or(|((found, _), _)| *found != space) {
                continue;
            }
            let mut table = transaction.open_table(table(space))?;
            for ((_, key), value) in entries.take_while(|((found, _), _)| *found == space) {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Kv for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn view(&self) -> Result<Box<dyn View + '_>, StoreError> {
        let guard = self.database()?;
        let database = guard.as_ref().ok_or_else(closed)?;
        let transaction = database.begin_read().map_err(|error| self.failed("begin to read", error))?;
        Ok(Box::new(Moment { engine: self, transaction, tables: Default::default(), _guard: guard }))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.disk.check()?;
        if !batch.frees {
            self.has_room()?;
        }
        let guard = self.database()?;
        let database = guard.as_ref().ok_or_else(closed)?;
        self.write_all(database, &batch).map_err(|error| self.failed("write", error))?;
        Ok(())
    }

    /// The file keeps freed pages for later writes, which the disk's free space does not show: without this, shorter
    /// retention would never end a full disk. While it works nothing else is answered, so it is done only then.
    fn reclaim(&self) -> Result<(), StoreError> {
        if self.has_room().is_ok() {
            return Ok(());
        }
        for _ in 0..RECLAIM_TRIES {
            // Never waits in line: a waiting writer would hold up every reader behind a long one, such as a backup.
            let Ok(mut database) = self.database.try_write() else {
                std::thread::sleep(RECLAIM_PAUSE);
                continue;
            };
            let Some(database) = database.as_mut() else { return Err(closed()) };
            return match database.compact() {
                Ok(_) | Err(CompactionError::TransactionInProgress) => Ok(()),
                Err(error) => Err(self.failed("give room back to the disk", error)),
            };
        }
        Ok(())
    }

    fn condition(&self) -> Condition {
        let bytes = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        let sync = self.disk.check().err();
        let problem = sync.or_else(|| self.has_room().err()).map(|error| error.to_string());
        Condition { bytes, free_bytes: disks::free_bytes(&self.path), problem }
    }
}

/// One moment of the file.
struct Moment<'e> {
    engine: &'e Redb,
    transaction: ReadTransaction,
    tables: [OnceCell<ReadOnlyTable<&'static [u8], &'static [u8]>>; Space::ALL.len()],
    _guard: RwLockReadGuard<'e, Option<Database>>,
}

impl Moment<'_> {
    fn table(&self, space: Space) -> Result<&ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        let cell = self.tables.get(usize::from(space.number())).expect("a cell for every space");
        if let Some(table) = cell.get() {
            return Ok(table);
        }
        let table = self.transaction.open_table(table(space));
        let table = table.map_err(|error| self.engine.failed("read", error))?;
        Ok(cell.get_or_init(|| table))
    }
}

impl View for Moment<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.table(space)?.get(key).map_err(|error| self.engine.failed("read", error))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn range(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if span.is_empty() {
            return Ok(());
        }
        let to = span.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (Bound::Included(span.from.as_slice()), to);
        let pairs = self.table(span.space)?.range::<&[u8]>(bounds);
        let mut pairs = pairs.map_err(|error| self.engine.failed("read", error))?;
        while let Some(pair) = if span.down { pairs.next_back() } else { pairs.next() } {
            let (key, value) = pair.map_err(|error| self.engine.failed("read", error))?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn table(space: Space) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(space.name())
}

fn closed() -> StoreError {
    StoreError::unavailable("answer: restart the server", "the database is closed")
}

/// Opens the file, private to its owner, with every table there.
fn open_database(path: &Path, options: Options, disk: &Arc<DiskState>) -> Result<Database, OpenError> {
    let unreachable = |source| unreachable(path, source);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(unreachable)?;
    let mode = file.metadata().map_err(unreachable)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(unreachable)?;
    }
    blobs::sync_folder(path).map_err(unreachable)?;
    let backend = Disk::new(file, disk.clone()).map_err(|error| refused(path, error))?;
    let opened = redb::Builder::new().set_cache_size(options.cache_bytes).create_with_backend(backend);
    let database = opened.map_err(|error| refused(path, error))?;
    let made = make_tables(&database);
    made.map_err(|source| OpenError::Unusable { path: path.to_owned(), source })?;
    Ok(database)
}

/// Makes what is missing, and writes nothing if nothing is.
fn make_tables(database: &Database) -> Result<(), StoreError> {
    let failed = |error: redb::Error| match error {
        redb::Error::Io(error) => StoreError::of_io("make its tables", error),
        error => StoreError::unavailable("make its tables", error),
    };
    let reading = database.begin_read().map_err(|error| failed(error.into()))?;
    if Space::ALL.into_iter().all(|space| reading.open_table(table(space)).is_ok()) {
        return Ok(());
    }
    let writing = database.begin_write().map_err(|error| failed(error.into()))?;
    for space in Space::ALL {
        writing.open_table(table(space)).map_err(|error| failed(error.into()))?;
    }
    writing.commit().map_err(|error| failed(error.into()))
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path_again = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path_again },
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != io::ErrorKind::InvalidData => {
            unreachable(path, source)
        }
        source => OpenError::Damaged { path: path_again, source },
    }
}

fn unreachable(path: &Path, source: io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::Full { path },
        _ => OpenError::Unreachable { path, source },
    }
}

#[cfg(test)]
mod tests;
