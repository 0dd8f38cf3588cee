//! The file under redb: redb's own backend, watched for syncs that fail.
//!
//! Whoever asks after a failed sync is told so, for as long as the process lives. Nothing else is added, and nothing
//! is hidden from redb.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use crate::store::StoreError;

/// What is known of the disk, across openings of the file.
#[derive(Debug, Default)]
pub(super) struct DiskState {
    syncs: AtomicU64,
    sync_failed: AtomicBool,
    #[cfg(test)]
    pub(super) fault: Fault,
}

impl DiskState {
    /// Refuses once a sync has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if !self.sync_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let doing = "write: the disk failed to keep what it was given; check the disk, then restart the server, and \
                     restore the last backup if it finds damage";
        Err(StoreError::unavailable(doing, "a sync of the store's file failed"))
    }

    /// Syncs since the start.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Disk {
    file: FileBackend,
    state: Arc<DiskState>,
}

impl Disk {
    pub(super) fn new(file: File, state: Arc<DiskState>) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, state })
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        #[cfg(test)]
        self.state.fault.on_write()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.state.syncs.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        let synced = self.state.fault.on_sync().and_then(|()| self.file.sync_data());
        #[cfg(not(test))]
        let synced = self.file.sync_data();
        if synced.is_err() {
            self.state.sync_failed.store(true, Ordering::Release);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        #[cfg(test)]
        self.state.fault.on_write()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// A disk that fails on demand, for tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Fault {
    /// Writes find no room.
    pub(super) full: AtomicBool,
    /// Syncs fail.
    pub(super) broken: AtomicBool,
}

#[cfg(test)]
impl Fault {
    fn on_write(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn on_sync(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) { Err(io::Error::other("injected")) } else { Ok(()) }
    }
}
