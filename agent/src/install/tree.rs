//! A folder of two trees, `A` and `B`: an archive is unpacked into the one that does not run, as it arrives.
//!
//! What is read is not proven yet, so only what [`Reader`] lets through is made, with rights of its own, never through
//! a link. What was written is proven by turning the tree into its archive again, from the medium, byte for byte. It must
//! never touch the tree that runs, and never call a tree whole because its stream was. Read next:
//! [`cordon_proto::update::tree`]; [`crate::boot::folder`] for the link to the tree that runs.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use cordon_agent_core::update::Slot;
use cordon_proto::ids::Sha256;
use cordon_proto::sorting::sort;
use cordon_proto::update::tree::{ENDING, Entry, Kind, Part, Reader, TreeFault};
use rustix::fs::{Advice, OFlags};
use sha2::{Digest, Sha256 as Hasher};

use crate::slot::writing::Sink;
use crate::slot::{Flush, SlotError, io_error};

/// Bytes read at once when hashing.
const PIECE_BYTES: usize = 64 * 1024;

/// The folder of both trees.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The folder as configured.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.root.join(slot.letter())
    }

    pub(super) fn write(
        &self,
        slot: Slot,
        running: Slot,
        (length, offset): (u64, u64),
    ) -> Result<TreeWriter, SlotError> {
        let path = self.path(slot);
        let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let same = identity(&path).is_some() && identity(&path) == identity(&self.path(running));
        if slot == running || same {
            return Err(SlotError::Running { slot, path });
        }
        TreeWriter::open(path, length, offset)
    }

    /// The hash of the archive that this tree is; one of another length hashes to something else.
    pub(super) fn hash(&self, slot: Slot) -> Result<Sha256, SlotError> {
        self.measure(slot).map(|(_, sha256)| sha256)
    }

    /// Length and hash of the archive that this tree is.
    pub(super) fn measure(&self, slot: Slot) -> Result<(u64, Sha256), SlotError> {
        let mut hasher = Hasher::new();
        let mut length = 0;
        walk(&self.path(slot), &mut |entry, path| {
            hasher.update(entry.header());
            if let Kind::File { length, .. } = entry.kind() {
                hash_file(path, *length, &mut hasher)?;
            }
            hasher.update(ENDING.get(..entry.filling()).unwrap_or_default());
            length += entry.span();
            Ok(())
        })?;
        hasher.update(ENDING);
        length += u64::try_from(ENDING.len()).unwrap_or_default();
        Ok((length, Sha256(hasher.finalize().into())))
    }
}

/// Everything in a folder, in the order of its archive.
fn walk(root: &Path, found: &mut dyn FnMut(Entry, &Path) -> Result<(), SlotError>) -> Result<(), SlotError> {
    fn below(
        (path, name): (&Path, &str),
        found: &mut dyn FnMut(Entry, &Path) -> Result<(), SlotError>,
    ) -> Result<(), SlotError> {
        let entry = entry(path, name)?;
        let folder = *entry.kind() == Kind::Folder;
        found(entry, path)?;
        if !folder {
            return Ok(());
        }
        let mut names = Vec::new();
        for held in fs::read_dir(path).map_err(|source| io_error("list", path, source))? {
            let held = held.map_err(|source| io_error("list", path, source))?.file_name();
            names.push(held.into_string().map_err(|held| TreeFault::Path(held.to_string_lossy().into()))?);
        }
        sort(&mut names);
        names.iter().try_for_each(|held| {
            let slash = if name.is_empty() { "" } else { "/" };
            below((&path.join(held), &[name, slash, held].concat()), found)
        })
    }
    below((root, ""), found)
}

/// What stands at a path, as an archive would name it; a link is not followed.
fn entry(path: &Path, name: &str) -> Result<Entry, SlotError> {
    let metadata = fs::symlink_metadata(path).map_err(|source| io_error("look at", path, source))?;
    let (kind, mode) = (metadata.file_type(), metadata.mode() & 0o7777);
    let found = if kind.is_symlink() {
        let to = fs::read_link(path).map_err(|source| io_error("read", path, source))?;
        return Ok(Entry::new(name, Kind::Link { to: to.to_string_lossy().into() })?);
    } else if kind.is_dir() {
        Kind::Folder
    } else if kind.is_file() {
        Kind::File { length: metadata.len(), program: mode == 0o755 }
    } else {
        return Err(TreeFault::Kind { path: name.into(), kind: '?' }.into());
    };
    if mode != 0o755 && (mode != 0o644 || found == Kind::Folder) {
        return Err(TreeFault::Mode { path: name.into(), mode }.into());
    }
    Ok(Entry::new(name, found)?)
}

/// Hashes a file of this length as the medium holds it.
fn hash_file(path: &Path, length: u64, hasher: &mut Hasher) -> Result<(), SlotError> {
    let failed = |source| io_error("read back", path, source);
    let file = open(OpenOptions::new().read(true), path).map_err(failed)?;
    // Advice only: where it is not taken, the read-back still compares the bytes.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    let mut piece = vec![0; PIECE_BYTES];
    let (mut at, mut file) = (0, file.take(length.saturating_add(1)));
    loop {
        let read = match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed)?,
        };
        if read == 0 {
            break;
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        at += u64::try_from(read).unwrap_or_default();
    }
    if at == length { Ok(()) } else { Err(SlotError::Bytes { at, wanted: length, length }) }
}

/// Opens a file that is no link.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)
}

/// A tree being unpacked.
pub struct TreeWriter {
    path: PathBuf,
    reader: Reader,
    file: Option<(File, u64)>,
    synced: u64,
    length: u64,
}

impl TreeWriter {
    /// Goes on where an earlier attempt had synced about `offset` bytes; what stands behind that is taken away. A
    /// tree that no archive's beginning is, is written from its beginning: the offset then says so.
    fn open(path: PathBuf, length: u64, offset: u64) -> Result<Self, SlotError> {
        let mut writer = Self { path, reader: Reader::new(length), file: None, synced: 0, length };
        if offset == 0 || writer.take_up(offset).is_err() {
            writer.reader = Reader::new(length);
            writer.file = None;
            remove(&writer.path)?;
        }
        writer.synced = writer.reader.at();
        Ok(writer)
    }

    /// Whole entries that end before `offset` are held, and the beginning of the file in which it lies.
    fn take_up(&mut self, offset: u64) -> Result<(), SlotError> {
        let (reader, file) = (&mut self.reader, &mut self.file);
        let mut beyond = false;
        let mut late = Vec::new();
        walk(&self.path, &mut |entry, path| {
            let content_at = reader.at() + 512;
            if beyond || offset < content_at {
                beyond = true;
                late.push(path.to_owned());
                return Ok(());
            }
            let missing = (content_at + entry.length()).saturating_sub(offset);
            let held = entry.length() - missing.min(entry.length());
            reader.hold(entry, missing)?;
            if missing > 0 {
                let opened = open(OpenOptions::new().write(true), path);
                *file = Some((opened.map_err(|source| io_error("open", path, source))?, held));
                beyond = true;
            }
            Ok(())
        })?;
        // The innermost first: a folder is empty when its turn comes.
        late.iter().rev().try_for_each(|path| remove(path))
    }

    fn fill(&mut self, bytes: &[u8]) -> Result<(), SlotError> {
        let Some((file, at)) = &mut self.file else { return Err(TreeFault::Length.into()) };
        file.write_all_at(bytes, *at).map_err(|source| io_error("write a file of", &self.path, source))?;
        *at += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(())
    }
}

impl Sink for TreeWriter {
    fn path(&self) -> &Path {
        &self.path
    }

    fn offset(&self) -> u64 {
        self.reader.at()
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), SlotError> {
        let wanted = self.offset();
        let end = u64::try_from(bytes.len()).ok().and_then(|length| at.checked_add(length));
        if at != wanted || end.is_none_or(|end| end > self.length) {
            return Err(SlotError::Bytes { at, wanted, length: self.length });
        }
        let mut rest = bytes;
        while let Some(part) = self.reader.next(&mut rest)? {
            match part {
                Part::Entry(entry) => {
                    let path = self.path.join(entry.path());
                    // A path that was joined with nothing ends in a slash.
                    let path = if entry.path().is_empty() { self.path.clone() } else { path };
                    let made = make(&path, entry.kind());
                    self.file =
                        made.map_err(|source| io_error("write", &path, source))?.map(|file| (file, 0));
                }
                Part::Content(bytes) => self.fill(bytes)?,
                Part::End => self.file = None,
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.reader.is_over()
    }

    fn unsynced(&self) -> u64 {
        self.offset() - self.synced
    }

    fn sync_begun(&mut self) {
        self.synced = self.offset();
    }

    /// Syncs the file system that holds the tree: files, folders and names alike.
    fn apart(&self) -> io::Result<Flush> {
        let folder = File::open(self.path.parent().unwrap_or(Path::new("/")))?;
        Ok(Box::new(move || Ok(rustix::fs::syncfs(&folder)?)))
    }
}

/// Makes an entry that is not there yet; the file to be filled, where it is one.
///
/// A file has its length and its rights from the beginning, so that what is held can be told after a power cut.
fn make(path: &Path, kind: &Kind) -> io::Result<Option<File>> {
    match kind {
        Kind::Folder => {
            DirBuilder::new().mode(0o755).create(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o755)).map(|()| None)
        }
        Kind::Link { to } => symlink(to, path).map(|()| None),
        Kind::File { length, program } => {
            let mode = if *program { 0o755 } else { 0o644 };
            let file = open(OpenOptions::new().write(true).create_new(true).mode(mode), path)?;
            file.set_len(*length)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            Ok(Some(file))
        }
    }
}

/// Takes away whatever stands at a path; a link is not followed.
fn remove(path: &Path) -> Result<(), SlotError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("empty", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
