//! The two image slots, as files or block devices: written in a stream, then read back and hashed.
//!
//! It must never write the slot that runs (not even under another name), never follow a link outside `/dev`, and never
//! call an image the signed one before its bytes were read back from the medium: they are hashed there and nowhere
//! else. A full or short medium is a clean error; what is synced stays for the next attempt. Read next: [`writing`],
//! `cordon_agent_core::update` for who asks.

pub mod writing;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cordon_agent_core::update::{FetchFault, Slot};
use cordon_proto::ids::Sha256;
use cordon_proto::update::tree::TreeFault;
use rustix::fs::{Advice, FallocateFlags, OFlags};
use sha2::{Digest, Sha256 as Hasher};

/// Bytes read at once when hashing.
const PIECE_BYTES: usize = 256 * 1024;

/// Why a slot could not be written or read back.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The slot to be written is the one that runs.
    #[error("slot {slot} runs, may run, or is the same medium as the running one ({}); two slots need two places", path.display())]
    Running {
        /// The slot.
        slot: Slot,
        /// Its path.
        path: PathBuf,
    },
    /// Neither a file nor a block device.
    #[error("{} is neither a plain file nor a block device; correct `slots` in the configuration", .0.display())]
    Kind(PathBuf),
    /// The medium is smaller than the image.
    #[error("{} has {found} bytes, the image {needed}; ask the maker for an image that fits", path.display())]
    TooShort {
        /// The slot's path.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The image's length.
        needed: u64,
    },
    /// No room on the medium that holds the slot.
    #[error("no room for the image at {}; free some space", .0.display())]
    DiskFull(PathBuf),
    /// More bytes than the image has, fewer, or bytes of another place.
    #[error("the image does not arrive as signed: byte {at} where byte {wanted} of {length} belongs")]
    Bytes {
        /// Where the bytes belong by their sender.
        at: u64,
        /// Where bytes are wanted.
        wanted: u64,
        /// The image's length.
        length: u64,
    },
    /// What an earlier attempt wrote is gone.
    #[error("{} no longer holds what was written before; the image is fetched from its beginning", .0.display())]
    ResumeLost(PathBuf),
    /// An archive that no folder may become, or a tree that is no archive's.
    #[error(transparent)]
    Tree(#[from] TreeFault),
    /// The maker's command that takes images.
    #[error("{program} {why}")]
    Command {
        /// The command.
        program: String,
        /// What went wrong.
        why: String,
    },
    /// Any other trouble of the operating system.
    #[error("cannot {act} {}: {source}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The slot's path.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
}

impl SlotError {
    /// What the update machine is told.
    #[must_use]
    pub fn fault(&self) -> FetchFault {
        match self {
            Self::TooShort { .. } => FetchFault::SlotTooShort,
            Self::DiskFull(_) => FetchFault::DiskFull,
            Self::Bytes { .. } | Self::ResumeLost(_) | Self::Tree(_) => FetchFault::Damaged,
            Self::Command { .. } => FetchFault::NotTaken,
            Self::Running { .. } => FetchFault::MayRun,
            Self::Kind(_) | Self::Io { .. } => FetchFault::SlotFails,
        }
    }
}

/// Syncs a medium from wherever it is called.
pub type Flush = Box<dyn Fn() -> io::Result<()> + Send>;

/// What holds the bytes of a slot.
pub trait Medium {
    /// Writes all bytes at this place.
    ///
    /// # Errors
    /// The medium's own.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Reads some bytes at this place; none at its end.
    ///
    /// # Errors
    /// The medium's own.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;

    /// What syncs it from another thread, while more is written: when that returns, a power cut takes nothing of what was
    /// written before it was called. A failure that one of the two was told counts for
    /// both: the operating system may tell it once.
    ///
    /// # Errors
    /// The operating system refuses it.
    fn apart(&self) -> io::Result<Flush>;

    /// Drops what the machine remembers of it, so that reading asks the medium itself.
    fn forget(&self) {}
}

impl Medium for File {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, at)
    }

    fn apart(&self) -> io::Result<Flush> {
        let file = self.try_clone()?;
        Ok(Box::new(move || file.sync_data()))
    }

    fn forget(&self) {
        // Advice only: where it is not taken, the read-back still compares the bytes.
        let _ = rustix::fs::fadvise(self, 0, None, Advice::DontNeed);
    }
}

/// The two slots of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    a: PathBuf,
    b: PathBuf,
}

impl Slots {
    /// The slots as configured.
    #[must_use]
    pub fn new([a, b]: [PathBuf; 2]) -> Self {
        Self { a, b }
    }

    /// Where a slot is.
    #[must_use]
    pub fn path(&self, slot: Slot) -> &Path {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    /// Opens the slot that does not run for an image of `length` bytes, of which the first `offset` are held.
    ///
    /// # Errors
    /// It is the running slot, no slot at all, too short, or the medium fails.
    pub fn write(
        &self,
        slot: Slot,
        running: Slot,
        (length, offset): (u64, u64),
    ) -> Result<SlotWriter<File>, SlotError> {
        let path = self.path(slot);
        if slot == running {
            return Err(SlotError::Running { slot, path: path.to_owned() });
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(!in_dev(path)).mode(0o600);
        let file =
            file.custom_flags(follow(path)).open(path).map_err(|source| io_error("open", path, source))?;
        self.check_apart(slot, running, &file)?;
        let size = prepare(&file, path, (length, offset))?;
        if size < length {
            return Err(SlotError::TooShort { path: path.to_owned(), found: size, needed: length });
        }
        Ok(SlotWriter::resume(file, path, (length, offset)))
    }

    /// Reads the first `length` bytes of a slot back and hashes them. A file that is longer than that is another image.
    ///
    /// # Errors
    /// The slot is shorter, a longer file, no slot at all, or the medium fails.
    pub fn hash(&self, slot: Slot, length: u64) -> Result<Sha256, SlotError> {
        let path = self.path(slot);
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(follow(path)).open(path);
        let file = file.map_err(|source| io_error("open", path, source))?;
        let (kind, size) = size_of(&file, path)?;
        if size < length || (kind == Kind::File && size != length) {
            return Err(SlotError::Bytes { at: size, wanted: length, length });
        }
        file.forget();
        Ok(Sha256(hash_first(&file, path, length)?.finalize().into()))
    }

    /// Opens a slot for reading only, with its size.
    ///
    /// # Errors
    /// It is no slot at all, or the medium fails.
    pub fn read(&self, slot: Slot) -> Result<(File, u64), SlotError> {
        let path = self.path(slot);
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(follow(path)).open(path);
        let file = file.map_err(|source| io_error("open", path, source))?;
        let (_, size) = size_of(&file, path)?;
        Ok((file, size))
    }

    /// Two names of one medium would let an update write what runs.
    fn check_apart(&self, slot: Slot, running: Slot, file: &File) -> Result<(), SlotError> {
        let path = self.path(slot);
        let written = file.metadata().map_err(|source| io_error("look at", path, source))?;
        let Ok(runs) = std::fs::metadata(self.path(running)) else { return Ok(()) };
        let same_file = written.dev() == runs.dev() && written.ino() == runs.ino();
        let both_devices = written.file_type().is_block_device() && runs.file_type().is_block_device();
        if same_file || (both_devices && written.rdev() == runs.rdev()) {
            return Err(SlotError::Running { slot, path: path.to_owned() });
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Device,
}

fn size_of(file: &File, path: &Path) -> Result<(Kind, u64), SlotError> {
    let metadata = file.metadata().map_err(|source| io_error("look at", path, source))?;
    if metadata.file_type().is_block_device() {
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::End(0));
        return Ok((Kind::Device, end.map_err(|error| io_error("measure", path, error.into()))?));
    }
    if metadata.is_file() {
        return Ok((Kind::File, metadata.len()));
    }
    Err(SlotError::Kind(path.to_owned()))
}

/// Makes room for the image and says how much there is.
fn prepare(file: &File, path: &Path, (length, offset): (u64, u64)) -> Result<u64, SlotError> {
    let (kind, size) = size_of(file, path)?;
    if kind == Kind::Device {
        return Ok(size);
    }
    if size < offset {
        return Err(SlotError::ResumeLost(path.to_owned()));
    }
    // A file slot ends where its image ends: what an earlier, longer image left behind is cut off.
    file.set_len(if offset == 0 { 0 } else { length }).map_err(|source| io_error("cut", path, source))?;
    let reserve = || rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length);
    // A large reservation takes its time, and a signal may come meanwhile.
    match rustix::io::retry_on_intr(reserve) {
        Ok(()) => Ok(length),
        // No reservation on this file system: a full disk will then show itself while writing.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            file.set_len(length).map_err(|source| io_error("extend", path, source))?;
            Ok(length)
        }
        Err(error) => Err(io_error("reserve room for", path, error.into())),
    }
}

/// A slot being written, each byte at its own place.
pub struct SlotWriter<M> {
    medium: M,
    path: PathBuf,
    offset: u64,
    /// Bytes that are synced, or being synced.
    synced: u64,
    length: u64,
}

impl<M: Medium> SlotWriter<M> {
    /// Goes on behind the first `offset` bytes. What the medium holds of them shows when the whole is read back.
    #[must_use]
    pub fn resume(medium: M, path: &Path, (length, offset): (u64, u64)) -> Self {
        Self { medium, path: path.to_owned(), offset, synced: offset, length }
    }

    /// The next byte wanted.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes a piece of the image that belongs at `at`.
    ///
    /// # Errors
    /// The piece does not belong here, the medium is full, or it fails.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), SlotError> {
        let end = u64::try_from(bytes.len()).ok().and_then(|length| at.checked_add(length));
        let Some(end) = end.filter(|end| at == self.offset && *end <= self.length) else {
            return Err(SlotError::Bytes { at, wanted: self.offset, length: self.length });
        };
        self.medium.write_at(bytes, at).map_err(|source| io_error("write", &self.path, source))?;
        self.offset = end;
        Ok(())
    }
}

fn hash_first(medium: &impl Medium, path: &Path, length: u64) -> Result<Hasher, SlotError> {
    let mut hasher = Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < length {
        let wanted = usize::try_from(length - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let buffer = piece.get_mut(..wanted).expect("at most a piece is wanted");
        let read = match medium.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(io_error("read back", path, source)),
            Ok(0) => return Err(SlotError::ResumeLost(path.to_owned())),
            Ok(read) => read,
        };
        hasher.update(buffer.get(..read).expect("no more is read than asked for"));
        at += u64::try_from(read).expect("a piece has at most 64 bits");
    }
    Ok(hasher)
}

fn in_dev(path: &Path) -> bool {
    path.starts_with("/dev")
}

/// Links are followed only under `/dev`, where partition labels are links; elsewhere a link is somebody's trick.
fn follow(path: &Path) -> i32 {
    let flags = if in_dev(path) { OFlags::CLOEXEC } else { OFlags::CLOEXEC | OFlags::NOFOLLOW };
    i32::try_from(flags.bits()).expect("open flags are small")
}

pub(crate) fn io_error(act: &'static str, path: &Path, source: io::Error) -> SlotError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            SlotError::DiskFull(path)
        }
        _ => SlotError::Io { act, path, source },
    }
}

#[cfg(test)]
mod tests;
