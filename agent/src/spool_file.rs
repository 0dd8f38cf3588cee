//! The spool's segments as files in one folder: `0000000001.seg`, …, and `mark`.
//!
//! It maps the calls of [`Storage`] to files and decides nothing. A written group is synced before it counts
//! (`fdatasync`), a new segment's name is synced with its folder; the mark is a hint and is not. What went wrong is
//! logged here with its cause, since the ground knows only that the disk is full or broken. Read next:
//! [`cordon_agent_core::spool`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use cordon_agent_core::spool::frame::crc32c;
use cordon_agent_core::spool::{Fault, Mark, Storage};
use cordon_proto::telemetry::Position;

use crate::files::{FileError, Folder};

const SUFFIX: &str = ".seg";
const MARK: &str = "mark";
/// Boot, sequence, lost, checksum.
const MARK_BYTES: usize = 28;

/// Segments in a folder.
#[derive(Debug)]
pub struct SpoolFolder {
    folder: PathBuf,
    /// The segment that is open for writing or reading.
    open: Option<(u64, File)>,
    trouble: Option<String>,
}

impl SpoolFolder {
    /// Takes a folder, making it (0700) where it is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let folder = Folder::open(path)?;
        Ok(Self { folder: folder.path().to_path_buf(), open: None, trouble: None })
    }

    /// The last trouble in words, for `status`; `None` once a group has been written again.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(format!("{segment:010}{SUFFIX}"))
    }

    fn file(&mut self, segment: u64) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(number, _)| *number != segment) {
            let file = OpenOptions::new().read(true).append(true).open(self.path(segment))?;
            self.open = Some((segment, file));
        }
        let open = self.open.as_mut().map(|(_, file)| file);
        open.ok_or_else(|| io::Error::other("no segment is open"))
    }

    /// Keeps the cause for people, and tells the ground which kind it is.
    fn fault(&mut self, act: &str, source: &io::Error) -> Fault {
        let trouble = format!("cannot {act} {}: {source}", self.folder.display());
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(%trouble, "the spool goes on and counts what it loses");
        }
        self.trouble = Some(trouble);
        self.open = None;
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Full,
            _ => Fault::Broken,
        }
    }

    fn names(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|n| n.parse().ok());
            if let Some(number) = number {
                segments.push((number, fs::metadata(entry.path())?.len()));
            }
        }
        Ok(segments)
    }

    fn make(&mut self, segment: u64) -> io::Result<()> {
        let path = self.path(segment);
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)?;
        self.open = Some((segment, file));
        File::open(&self.folder)?.sync_all()
    }

    fn write(&mut self, segment: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(segment)?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn cut(&mut self, segment: u64, length: u64) -> io::Result<()> {
        let file = self.file(segment)?;
        file.set_len(length)?;
        file.sync_data()
    }

    fn fill(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.file(segment)?;
        let (mut filled, mut at) = (0, offset);
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    at = at.saturating_add(u64::try_from(count).unwrap_or(0));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl Storage for SpoolFolder {
    fn segments(&mut self) -> Result<Vec<(u64, u64)>, Fault> {
        self.names().map_err(|error| self.fault("list", &error))
    }

    fn create(&mut self, segment: u64) -> Result<(), Fault> {
        self.make(segment).map_err(|error| self.fault("make a segment in", &error))
    }

    fn append(&mut self, segment: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.write(segment, bytes).map_err(|error| self.fault("write to", &error))?;
        self.trouble = None;
        Ok(())
    }

    fn truncate(&mut self, segment: u64, length: u64) -> Result<(), Fault> {
        self.cut(segment, length).map_err(|error| self.fault("cut a segment in", &error))
    }

    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.fill(segment, offset, buffer).map_err(|error| self.fault("read from", &error))
    }

    fn remove(&mut self, segment: u64) -> Result<(), Fault> {
        self.open = None;
        fs::remove_file(self.path(segment)).map_err(|error| self.fault("remove a segment from", &error))
    }

    fn mark(&mut self) -> Option<Mark> {
        let bytes: [u8; MARK_BYTES] = fs::read(self.folder.join(MARK)).ok()?.try_into().ok()?;
        let (numbers, sum) = bytes.split_at_checked(MARK_BYTES - 4)?;
        if crc32c(numbers).to_le_bytes() != *sum {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(numbers.get(at..at + 8)?.try_into().ok()?));
        Some(Mark { through: Position { boot: number(0)?, sequence: number(8)? }, lost: number(16)? })
    }

    fn keep_mark(&mut self, mark: Mark) {
        let mut bytes = Vec::with_capacity(MARK_BYTES);
        for number in [mark.through.boot, mark.through.sequence, mark.lost] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        let path = self.folder.join(MARK);
        let written = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        if let Err(error) = written.and_then(|file| file.write_all_at(&bytes, 0)) {
            self.fault("keep the mark of", &error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_agent_core::spool::{Bounds, Kept, Spool};
    use cordon_proto::telemetry::{Body, Record, SensorChange};
    use cordon_proto::time::Millis;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn open(folder: &Path, boot: u64) -> Spool<SpoolFolder> {
        let storage = SpoolFolder::open(folder.join("spool")).expect("a folder");
        Spool::open(storage, Bounds::default(), boot).expect("opens")
    }

    fn group(count: usize) -> Vec<(Millis, Body)> {
        let note = |n: usize| {
            let reason = format!("{n:08}{}", "x".repeat(200)).parse().expect("a text");
            (Millis(1), Body::Sensor(SensorChange { tier: Some(0), reason }))
        };
        (0..count).map(note).collect()
    }

    fn drain(spool: &mut Spool<SpoolFolder>) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let batch = spool.read(cordon_proto::limits::SPOOL_READ_BYTES).expect("reads");
            let Some(last) = batch.last() else { return all };
            spool.acknowledge(last.position);
            all.extend(batch);
        }
    }

    #[test]
    fn records_survive_reopening_with_their_watermark() {
        // Goal: store and forward over real files. Method: 20,000 records, half sent, reopened; rotation included.
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = open(folder.path(), 1);
        for _ in 0..200 {
            assert!(matches!(spool.append(&group(100)), Kept::Stored(_)));
        }
        assert!(spool.health().segments > 4, "several segments of 1 MiB");
        let mut sent = 0;
        while sent < 10_000 {
            let batch = spool.read(cordon_proto::limits::SPOOL_READ_BYTES).expect("reads");
            let bytes: usize = batch.iter().map(|record| record.body.len()).sum();
            assert!(bytes <= cordon_proto::limits::SPOOL_READ_BYTES);
            spool.acknowledge(batch.last().expect("records").position);
            sent += batch.len();
        }
        drop(spool);
        let mut spool = open(folder.path(), 2);
        assert_eq!(spool.health().waiting, 20_000 - sent as u64);
        assert_eq!(drain(&mut spool).len(), 20_000 - sent);
        assert!(spool.health().segments == 1 && spool.health().damaged_bytes == 0);
        drop(spool);
        assert!(drain(&mut open(folder.path(), 3)).is_empty());
    }

    #[test]
    fn the_folder_and_its_files_are_private() {
        // Goal: what the device saw is nobody else's. Method: the permission bits.
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = open(folder.path(), 1);
        spool.append(&group(1));
        drain(&mut spool);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("spool")), 0o700);
        for entry in fs::read_dir(folder.path().join("spool")).expect("lists") {
            assert_eq!(mode(&entry.expect("an entry").path()), 0o600);
        }
    }

    #[test]
    fn a_full_disk_is_counted_and_told_when_there_is_room_again() {
        // Goal: the agent runs on without a disk. Method: the segment becomes a link to /dev/full, then is itself again.
        let folder = tempfile::tempdir().expect("a folder");
        drop(open(folder.path(), 1));
        let segment = folder.path().join("spool/0000000001.seg");
        symlink("/dev/full", &segment).expect("a link");
        let mut spool = open(folder.path(), 1);
        assert!(matches!(spool.append(&group(3)), Kept::Lost { count: 3, fault: Fault::Full }));
        assert_eq!(spool.health().fault, Some(Fault::Full));
        // The device file cannot be cut either, so the segment is given up and the next one is made.
        assert!(matches!(spool.append(&group(1)), Kept::Stored(_)));
        let kinds: Vec<u16> = drain(&mut spool).iter().map(|record| record.kind).collect();
        assert_eq!(kinds, [4, 5], "a gap record, then the record");
        drop(spool);
        assert_eq!(open(folder.path(), 2).health().lost, 3, "what was lost is remembered");
    }

    #[test]
    fn torn_and_flipped_files_are_read_around() {
        // Goal: the same over real files as over the model. Method: cut one segment, flip a byte in another.
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = open(folder.path(), 1);
        for _ in 0..120 {
            spool.append(&group(100));
        }
        drop(spool);
        let path = |n: u32| folder.path().join(format!("spool/{n:010}.seg"));
        let mut bytes = fs::read(path(2)).expect("reads");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(path(2), bytes).expect("writes");
        let last = (1..).take_while(|n| path(*n).exists()).last().expect("segments");
        let length = fs::metadata(path(last)).expect("there").len();
        OpenOptions::new().write(true).open(path(last)).expect("opens").set_len(length - 5).expect("cuts");
        let mut spool = open(folder.path(), 2);
        assert!(spool.health().damaged_bytes > 0);
        assert_eq!(drain(&mut spool).len(), 12_000 - 2);
        assert!(matches!(spool.append(&group(1)), Kept::Stored(_)));
    }
}
