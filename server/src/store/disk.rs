//! What the engines that keep files share: how they are opened, whether a sync of their disk ever failed, how much room
//! is left.
//!
//! Whoever asks after a failed sync is told so, for as long as the process lives: the kernel may have dropped the
//! pages while showing them still. Nothing here writes.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::StoreError;
use super::kv::Gather;

/// How a store in files is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of pages kept in memory, as far as the engine keeps to it.
    pub cache_bytes: usize,
    /// Bytes that must stay free on the disk; below it only removals are let through.
    pub reserve_bytes: u64,
    /// How writes are gathered.
    pub gather: Gather,
    /// Leaves the syncs out: see [`Terms::unsynced`](super::open::Terms::unsynced).
    #[doc(hidden)]
    pub unsynced: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
            reserve_bytes: 64 * 1024 * 1024,
            gather: Gather::default(),
            unsynced: false,
        }
    }
}

/// What is known of the disk, across openings of the store.
#[derive(Debug, Default)]
pub(super) struct DiskState {
    syncs: AtomicU64,
    sync_failed: AtomicBool,
    /// Whether the syncs are left out: see `Terms::unsynced`.
    unsynced: bool,
    #[cfg(test)]
    pub(super) fault: Fault,
}

impl DiskState {
    /// Nothing has failed yet.
    pub(super) fn new(unsynced: bool) -> Self {
        Self { unsynced, ..Self::default() }
    }

    /// Refuses once a sync has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if !self.sync_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let doing = "write: the disk failed to keep what it was given; check the disk, then restart the server, and \
                     restore the last backup if it finds damage";
        Err(StoreError::unavailable(doing, "a sync of the store's file failed"))
    }

    /// Runs a sync, counts it, and remembers for good if it fails.
    pub(super) fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if self.unsynced {
            return Ok(());
        }
        #[cfg(test)]
        let synced = self.fault.on_sync().and_then(|()| sync());
        #[cfg(not(test))]
        let synced = sync();
        if synced.is_err() {
            self.sync_failed.store(true, Ordering::Release);
        }
        synced
    }

    /// Syncs since the start.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// Bytes free under `path`, for those who are not root.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Refuses when less than `reserve_bytes` are free under `path`.
pub(super) fn has_room(path: &Path, reserve_bytes: u64) -> Result<(), StoreError> {
    match free_bytes(path) {
        Some(free) if free < reserve_bytes => Err(StoreError::Full),
        Some(_) | None => Ok(()),
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
    pub(super) fn on_write(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn on_sync(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) { Err(io::Error::other("injected")) } else { Ok(()) }
    }
}
