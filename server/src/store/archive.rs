//! The backup file: everything a store holds, in a form that belongs to no engine.
//!
//! So a backup is also the way from one engine to another. Frames of a length, a tag and a payload follow a magic
//! line; the last frame is the SHA-256 of all before it, checked before a single document is believed. A file is
//! written beside its name, synced, then renamed, mode 0600; an existing file is never replaced. Read next:
//! `care::backup`, which seals such a stream instead of leaving it on a disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::limits;
use cordon_proto::telemetry::Record;
use cordon_proto::time::Millis;
use cordon_server_core::change::{Changed, Key, Revision, Row};
use sha2::{Digest, Sha256 as Hasher};

use super::{Backup, StoreError, chunk};

const MAGIC: &[u8] = b"cordon-backup 1\n";
const FRAME_BYTES: usize = 2 * limits::COMMIT_BYTES;
const BUFFER_BYTES: usize = 256 * 1024;

/// One thing in a backup.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// A document.
    Row(Key, Row),
    /// A commit for followers.
    Changed(Changed),
    /// Telemetry of one device that arrived together.
    Events(Millis, DeviceId, Vec<Record>),
    /// The store's numbers, once, at the end.
    Counters(Counters),
}

/// The numbers from which a store goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// The last transaction.
    pub(super) revision: Revision,
    /// The last audit entry.
    pub(super) audited: u64,
    /// The last commit that followers can no longer read.
    pub(super) forgotten: Revision,
}

impl Counters {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.revision.0, self.audited, self.forgotten.0].map(u64::to_be_bytes).concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (revision, rest) = bytes.split_first_chunk::<8>()?;
        let (audited, rest) = rest.split_first_chunk::<8>()?;
        let forgotten = rest.try_into().ok()?;
        Some(Self {
            revision: Revision(u64::from_be_bytes(*revision)),
            audited: u64::from_be_bytes(*audited),
            forgotten: Revision(u64::from_be_bytes(forgotten)),
        })
    }
}

/// Writes a whole backup into a file that does not exist yet.
pub(super) fn to_file(
    to: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<Backup, StoreError>,
) -> Result<Backup, StoreError> {
    let part = to.with_added_extension("part");
    if to.exists() {
        let exists = io::Error::from(io::ErrorKind::AlreadyExists);
        let doing = format!("back up to {}: choose a new name", to.display());
        return Err(StoreError::unavailable(doing, exists));
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, file.map_err(|error| failed(&part, error))?);
    let backup = write(&mut file)?;
    let file = file.into_inner().map_err(|error| failed(&part, error.into_error()))?;
    let named =
        file.sync_all().and_then(|()| fs::rename(&part, to)).and_then(|()| super::blobs::sync_folder(to));
    named.map_err(|error| failed(to, error))?;
    Ok(backup)
}

/// A backup being written.
pub(super) struct Writer<'w> {
    into: &'w mut dyn Write,
    hasher: Hasher,
    backup: Backup,
}

impl<'w> Writer<'w> {
    /// Begins a backup.
    pub(super) fn begin(into: &'w mut dyn Write) -> Result<Self, StoreError> {
        let backup = Backup { documents: 0, events: 0, bytes: 0, sha256: Sha256([0; 32]) };
        let mut writer = Self { into, hasher: Hasher::new(), backup };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// Adds one item.
    pub(super) fn put(&mut self, item: &Item) -> Result<(), StoreError> {
        match item {
            Item::Row(..) => self.backup.documents = self.backup.documents.saturating_add(1),
            Item::Events(_, _, records) => {
                self.backup.events = self.backup.events.saturating_add(count(records))
            }
            Item::Changed(_) | Item::Counters(_) => {}
        }
        for (tag, payload) in frames(item) {
            self.frame(tag, &payload)?;
        }
        Ok(())
    }

    /// Closes the backup with its digest.
    pub(super) fn finish(mut self) -> Result<Backup, StoreError> {
        let digest = Sha256(self.hasher.clone().finalize().into());
        self.frame(TAG_END, digest.as_bytes())?;
        self.into.flush().map_err(unwritten)?;
        Ok(Backup { sha256: digest, ..self.backup })
    }

    fn frame(&mut self, tag: u8, payload: &[u8]) -> Result<(), StoreError> {
        let length =
            u32::try_from(payload.len()).map_err(|error| StoreError::unavailable("back up", error))?;
        self.write(&length.to_be_bytes())?;
        self.write(&[tag])?;
        self.write(payload)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.backup.bytes = self.backup.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.into.write_all(bytes).map_err(unwritten)
    }
}

/// A backup whose digest was found right, being read.
pub(super) struct Reader {
    from: PathBuf,
    file: BufReader<File>,
    backup: Backup,
    ended: bool,
}

impl Reader {
    /// Reads the whole file once to check it, then stands at its first item.
    pub(super) fn open(from: &Path) -> Result<Self, StoreError> {
        let sha256 = Self::start(from)?.check()?;
        let bytes = fs::metadata(from).map_err(|error| failed(from, error))?.len();
        let reader = Self::start(from)?;
        Ok(Self { backup: Backup { sha256, bytes, ..reader.backup }, ..reader })
    }

    /// The next item; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Item>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let (tag, payload) = self.frame()?;
        if tag == TAG_END {
            self.ended = true;
            return Ok(None);
        }
        let item = item(tag, &payload).ok_or_else(|| damaged(&self.from))?;
        match &item {
            Item::Row(..) => self.backup.documents = self.backup.documents.saturating_add(1),
            Item::Events(_, _, records) => {
                self.backup.events = self.backup.events.saturating_add(count(records))
            }
            Item::Changed(_) | Item::Counters(_) => {}
        }
        Ok(Some(item))
    }

    /// Items of about `bytes` bodies, for a write of bounded size; none at the end.
    pub(super) fn some(&mut self, bytes: usize) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut held) = (Vec::new(), 0_usize);
        while held < bytes {
            let Some(item) = self.next()? else { break };
            held = held.saturating_add(weight(&item));
            items.push(item);
        }
        Ok(items)
    }

    /// What was read so far.
    pub(super) fn backup(&self) -> Backup {
        self.backup
    }

    fn start(from: &Path) -> Result<Self, StoreError> {
        let file = File::open(from).map_err(|error| failed(from, error))?;
        let backup = Backup { documents: 0, events: 0, bytes: 0, sha256: Sha256([0; 32]) };
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut reader = Self { from: from.to_owned(), file, backup, ended: false };
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic)?;
        if magic == MAGIC { Ok(reader) } else { Err(damaged(from)) }
    }

    fn check(mut self) -> Result<Sha256, StoreError> {
        let mut hasher = Hasher::new();
        hasher.update(MAGIC);
        loop {
            let (tag, payload) = self.frame()?;
            if tag == TAG_END {
                let digest = Sha256(hasher.finalize().into());
                let ends = self.file.read(&mut [0]).is_ok_and(|surplus| surplus == 0);
                let right = ends && payload == digest.as_bytes();
                return if right { Ok(digest) } else { Err(damaged(&self.from)) };
            }
            let length = u32::try_from(payload.len()).map_err(|_| damaged(&self.from))?;
            hasher.update(length.to_be_bytes());
            hasher.update([tag]);
            hasher.update(&payload);
        }
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), StoreError> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [a, b, c, d, tag] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > FRAME_BYTES {
            return Err(damaged(&self.from));
        }
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        Ok((tag, payload))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged(&self.from),
            _ => failed(&self.from, error),
        })
    }
}

/// The refusal to restore over something.
pub(super) fn not_empty() -> StoreError {
    let occupied = io::Error::from(io::ErrorKind::AlreadyExists);
    StoreError::unavailable(
        "restore over documents: move the old store away and restore into a new one",
        occupied,
    )
}

const TAG_ROW: u8 = 1;
const TAG_CHANGED: u8 = 2;
const TAG_EVENTS: u8 = 3;
const TAG_COUNTERS: u8 = 4;
const TAG_END: u8 = 0xff;

fn frames(item: &Item) -> Vec<(u8, Vec<u8>)> {
    match item {
        Item::Row(key, row) => {
            let key = key.to_bytes();
            let length = u16::try_from(key.len()).expect("no key has more than 2,100 bytes");
            let payload =
                [&length.to_be_bytes()[..], &key, &row.revision.0.to_be_bytes(), &row.body].concat();
            vec![(TAG_ROW, payload)]
        }
        Item::Changed(changed) => {
            vec![(TAG_CHANGED, [&changed.revision.0.to_be_bytes()[..], &changed.to_bytes()].concat())]
        }
        Item::Events(received, device, records) => {
            let head = [&received.0.to_be_bytes()[..], device.as_bytes()].concat();
            let chunks = chunk::chunks(records).into_iter();
            chunks.map(|(_, chunk)| (TAG_EVENTS, [&head[..], &chunk].concat())).collect()
        }
        Item::Counters(counters) => vec![(TAG_COUNTERS, counters.to_bytes())],
    }
}

fn item(tag: u8, payload: &[u8]) -> Option<Item> {
    match tag {
        TAG_ROW => {
            let (length, rest) = payload.split_first_chunk::<2>()?;
            let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let (revision, body) = rest.split_first_chunk::<8>()?;
            let revision = Revision(u64::from_be_bytes(*revision));
            Some(Item::Row(Key::from_bytes(key).ok()?, Row { revision, body: body.to_vec() }))
        }
        TAG_CHANGED => {
            let (revision, rest) = payload.split_first_chunk::<8>()?;
            Changed::from_bytes(Revision(u64::from_be_bytes(*revision)), rest).map(Item::Changed)
        }
        TAG_EVENTS => {
            let (received, rest) = payload.split_first_chunk::<8>()?;
            let (device, chunk) = rest.split_first_chunk::<16>()?;
            let received = Millis(i64::from_be_bytes(*received));
            Some(Item::Events(received, DeviceId::from_bytes(*device), chunk::records(chunk)?))
        }
        TAG_COUNTERS => Counters::from_bytes(payload).map(Item::Counters),
        _ => None,
    }
}

fn weight(item: &Item) -> usize {
    const OVERHEAD: usize = 64;
    match item {
        Item::Row(_, row) => row.body.len().saturating_add(OVERHEAD),
        Item::Changed(changed) => changed.keys.len().saturating_mul(OVERHEAD),
        Item::Events(_, _, records) => {
            records.iter().map(|record| record.body.len().saturating_add(OVERHEAD)).sum()
        }
        Item::Counters(_) => OVERHEAD,
    }
}

fn count(records: &[Record]) -> u64 {
    u64::try_from(records.len()).unwrap_or(u64::MAX)
}

fn failed(path: &Path, error: io::Error) -> StoreError {
    StoreError::of_io(format!("read or write the backup {}", path.display()), error)
}

fn unwritten(error: io::Error) -> StoreError {
    StoreError::of_io("write the backup", error)
}

fn damaged(path: &Path) -> StoreError {
    StoreError::Corrupt(format!("the backup {}, of which nothing was used", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::telemetry::Position;
    use proptest::prelude::*;

    fn items() -> Vec<Item> {
        let position = Position { boot: 1, sequence: 2 };
        let record = Record { position, time: Millis(3), kind: 4, body: vec![5].into() };
        let row = Row { revision: Revision(2), body: vec![6; 3] };
        let site = Key::Site("a".parse().expect("name"));
        let touched = cordon_server_core::change::Touched { key: site.clone(), deleted: false };
        let at = cordon_proto::time::Timestamp(9);
        vec![
            Item::Row(site, row),
            Item::Changed(Changed { revision: Revision(2), at, keys: vec![touched] }),
            Item::Events(Millis(-5), DeviceId::from_random([1; 16]), vec![record]),
            Item::Counters(Counters { revision: Revision(7), audited: 8, forgotten: Revision(9) }),
        ]
    }

    fn write(folder: &Path) -> (PathBuf, Backup) {
        let path = folder.join("backup");
        let backup = to_file(&path, |into| {
            let mut writer = Writer::begin(into)?;
            for item in items() {
                writer.put(&item)?;
            }
            writer.finish()
        });
        (path, backup.expect("written"))
    }

    #[test]
    fn a_backup_reads_back_and_is_for_its_owner_only() {
        // Goal: the file is whole, private and never overwritten. Method: write, read, look at the mode, write again.
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("folder");
        let (path, backup) = write(folder.path());
        let mut reader = Reader::open(&path).expect("opened");
        assert_eq!(reader.some(usize::MAX).expect("read"), items());
        assert!(reader.some(usize::MAX).expect("read").is_empty(), "the end stays the end");
        assert_eq!(reader.backup(), backup);
        assert_eq!((backup.documents, backup.events), (1, 1));
        let metadata = fs::metadata(&path).expect("there");
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, backup.bytes));
        assert!(to_file(&path, |_| Err(StoreError::Full)).is_err(), "an existing backup is kept");
    }

    #[test]
    fn any_flipped_or_missing_byte_refuses_the_whole_backup() {
        // Goal: no document of a damaged backup is believed. Method: every byte flipped, every length cut.
        let folder = tempfile::tempdir().expect("folder");
        let (path, _) = write(folder.path());
        let whole = fs::read(&path).expect("read");
        let damaged = folder.path().join("damaged");
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x10;
            fs::write(&damaged, &bytes).expect("written");
            assert!(matches!(Reader::open(&damaged), Err(StoreError::Corrupt(_))), "byte {position}");
            fs::write(&damaged, &whole[..position]).expect("written");
            assert!(matches!(Reader::open(&damaged), Err(StoreError::Corrupt(_))), "cut at {position}");
        }
        fs::write(&damaged, [&whole[..], b"x"].concat()).expect("written");
        assert!(matches!(Reader::open(&damaged), Err(StoreError::Corrupt(_))), "a surplus byte");
    }

    proptest! {
        #[test]
        fn any_frame_is_an_item_or_refused_without_a_panic(tag in 0_u8..6, payload: Vec<u8>) {
            let _ = item(tag, &payload);
        }
    }
}
