//! How much the store was seen to hold, kept in a file beside it: so that a loss is found out, which sled does not do.
//!
//! sled drops what it cannot read and goes on as if it had never been: a cut tail costs rows without a word, a few
//! flipped bytes all of them. Each batch therefore moves a [`Tally`] inside the tree, and the same tally goes into this
//! file once the batch is durable; at the next opening the two are compared. The file has two slots that are written in
//! turn, so that a torn write leaves the one before. **The mark never runs ahead of the store.** It may lag: it is
//! synced only every so many batches, because an older mark refuses nothing that is whole, it only sees less.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::store::blobs;
use crate::store::disk::DiskState;

/// Batches after which the mark is synced: one sync more in so many. A store that is cut and loses its tail in the
/// same moment can lose at most so many batches unseen.
const BATCHES_A_SYNC: u32 = 64;
/// Bytes from one slot to the next: a page of the disk each.
const SLOT_BYTES: u64 = 4096;
const MAGIC: &[u8; 8] = b"cordon\x01\n";
const CHECK_BYTES: usize = 8;

/// What a store holds, in three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// Which store it is: drawn when it was made.
    pub(super) epoch: [u8; 16],
    /// Batches written so far.
    pub(super) batches: u64,
    /// Pairs in the tree, this one apart.
    pub(super) pairs: u64,
}

impl Tally {
    /// Bytes of a tally.
    const BYTES: usize = MAGIC.len() + 16 + 8 + 8 + CHECK_BYTES;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.epoch);
        bytes.extend(self.batches.to_be_bytes());
        bytes.extend(self.pairs.to_be_bytes());
        bytes.extend(check(&bytes));
        bytes
    }

    /// Reads [`Tally::to_bytes`]; `None` if the bytes are none.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (said, found) = bytes.split_last_chunk::<CHECK_BYTES>()?;
        if check(said) != *found {
            return None;
        }
        let rest = said.strip_prefix(MAGIC)?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (batches, rest) = rest.split_first_chunk::<8>()?;
        let pairs = rest.try_into().ok()?;
        let (batches, pairs) = (u64::from_be_bytes(*batches), u64::from_be_bytes(pairs));
        Some(Self { epoch: *epoch, batches, pairs })
    }
}

fn check(said: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(said).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

/// The file, held by one process at a time.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    unsynced: u32,
}

impl Drop for Mark {
    /// For every copy of the file: a program that this process is just starting has one, too, until it runs.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Mark {
    /// Opens or makes the file, mode 0600, and says what it tells. `WouldBlock` if another process has it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Tally>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        blobs::sync_folder(path)?;
        let mark = Self { file, unsynced: 0 };
        let told = [0, 1].into_iter().filter_map(|slot| mark.read(slot)).max_by_key(|tally| tally.batches);
        Ok((mark, told))
    }

    /// Tells of a batch that is durable.
    pub(super) fn tell(&mut self, tally: Tally, disk: &DiskState) -> io::Result<()> {
        self.file.write_all_at(&tally.to_bytes(), tally.batches % 2 * SLOT_BYTES)?;
        self.unsynced = self.unsynced.saturating_add(1);
        if self.unsynced < BATCHES_A_SYNC { Ok(()) } else { self.sync(disk) }
    }

    /// Makes what was told durable.
    pub(super) fn sync(&mut self, disk: &DiskState) -> io::Result<()> {
        self.unsynced = 0;
        disk.sync(|| self.file.sync_data())
    }

    fn read(&self, slot: u64) -> Option<Tally> {
        let mut bytes = [0; Tally::BYTES];
        self.file.read_exact_at(&mut bytes, slot * SLOT_BYTES).ok()?;
        Tally::from_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(batches: u64) -> Tally {
        Tally { epoch: [7; 16], batches, pairs: 3 }
    }

    #[test]
    fn the_latest_whole_slot_counts_and_a_torn_one_does_not() {
        // Goal: no write of the mark costs the mark. Method: several batches; each byte of the last slot damaged.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mark");
        let disk = DiskState::default();
        let (mut mark, none) = Mark::open(&path).expect("made");
        assert_eq!(none, None);
        for batches in 0..=5 {
            mark.tell(tally(batches), &disk).expect("told");
        }
        drop(mark);
        let whole = std::fs::read(&path).expect("read");
        for at in 0..Tally::BYTES {
            let mut torn = whole.clone();
            torn[usize::try_from(SLOT_BYTES).expect("small") + at] ^= 0x40;
            std::fs::write(&path, &torn).expect("written");
            assert_eq!(Mark::open(&path).expect("opened").1, Some(tally(4)), "byte {at}");
        }
        std::fs::write(&path, &whole).expect("written");
        assert_eq!(Mark::open(&path).expect("opened").1, Some(tally(5)));
    }

    #[test]
    fn one_process_holds_it_and_few_syncs_serve_it() {
        // Goal: no second opener; no second sync a batch. Method: open twice; count the syncs of a thousand batches.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mark");
        let disk = DiskState::default();
        let (mut mark, _) = Mark::open(&path).expect("made");
        assert_eq!(Mark::open(&path).expect_err("held").kind(), io::ErrorKind::WouldBlock);
        for batches in 0..1024 {
            mark.tell(tally(batches), &disk).expect("told");
        }
        assert_eq!(disk.syncs(), 16);
    }
}
