//! The file under redb: redb's own backend, watched for syncs that fail.
//!
//! Nothing else is added, and nothing is hidden from redb. Read next: `store/disk.rs` for what a failed sync means.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use crate::store::disk::DiskState;

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
        self.state.sync(|| self.file.sync_data())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_reaches_the_kernel() {
        // Goal: no sync is answered by us instead of the disk. Method: a device that the kernel cannot sync.
        let device = File::options().read(true).write(true).open("/dev/null").expect("opened");
        let state = Arc::new(DiskState::default());
        let disk = Disk::new(device, state.clone()).expect("taken");
        assert!(disk.sync_data().is_err());
        assert!(state.check().is_err(), "and it is remembered");
    }
}
