//! Large files by their hash: firmware images, SBOMs, anything that is no document.
//!
//! A blob's name is the SHA-256 of its bytes, so it never changes, two puts of it are one, and any copy of the folder
//! will do. Bytes are hashed as they come in and get their name only when the hash is right and the file is synced;
//! a half-written file has no name. They are hashed again when they go out whole, and a file that has rotted loses its
//! name before anybody takes it for good. The store's reserve on the disk is not theirs to fill. Blocking work runs
//! off the async threads. Nothing here decides who may read. Read next: `care::scrub`, which reads them all in turn.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cordon_proto::ids::Sha256;
use futures_util::Stream;
use sha2::{Digest, Sha256 as Hasher};

/// Bytes of one piece of a stream.
const PIECE_BYTES: usize = 64 * 1024;

/// How long nobody has written a part that belongs to nobody any more.
const ABANDONED: Duration = Duration::from_secs(86_400);

/// A folder of blobs.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: Arc<Path>,
    reserve_bytes: u64,
    damaged: Arc<Mutex<BTreeSet<Sha256>>>,
}

/// Why a blob cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// More bytes than were announced or allowed.
    #[error("the file is longer than the {limit} bytes allowed here; nothing was kept")]
    TooLong {
        /// Bytes allowed.
        limit: u64,
    },
    /// The bytes are not the ones that were asked for.
    #[error("the bytes have SHA-256 {found}, not {expected}: fetch the file again from its maker")]
    WrongHash {
        /// The name they should have.
        expected: Sha256,
        /// What they are.
        found: Sha256,
    },
    /// No room. Nothing was kept.
    #[error("the disk under {} is full but for its reserve: free space there and send the file again", .folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder or a file cannot be used.
    #[error("cannot use {}: see that the server owns it and that the disk is sound", .path.display())]
    Unavailable {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A blob that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub sha256: Sha256,
    /// Its bytes.
    pub length: u64,
}

impl Blobs {
    /// Opens or makes the folder, mode 0700, and clears what was half-written when the server last stopped.
    pub async fn open(folder: PathBuf) -> Result<Self, BlobError> {
        Self::open_sparing(folder, Duration::ZERO).await
    }

    /// Opens a folder that other servers use too: what is half-written may be theirs and goes only when it is a day old.
    pub async fn open_beside(folder: PathBuf) -> Result<Self, BlobError> {
        Self::open_sparing(folder, ABANDONED).await
    }

    async fn open_sparing(folder: PathBuf, age: Duration) -> Result<Self, BlobError> {
        let blobs = Self { folder: folder.into(), reserve_bytes: 0, damaged: Arc::default() };
        let this = blobs.clone();
        blocking(move || {
            let incoming = this.incoming();
            if incoming.exists() {
                this.clear(&incoming, age)?;
            }
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&incoming);
            made.and_then(|()| sync_folder(&incoming)).map_err(|error| this.failed(&incoming, error))?;
            let aside = if this.aside().exists() { this.entries(&this.aside())? } else { Vec::new() };
            this.known_damaged().extend(aside.iter().filter_map(|path| name_of(path)));
            Ok(())
        })
        .await?;
        Ok(blobs)
    }

    /// Leaves so many bytes of the disk free, for the store beside it.
    #[must_use]
    pub fn with_reserve(self, reserve_bytes: u64) -> Self {
        Self { reserve_bytes, ..self }
    }

    /// Begins a blob of at most `limit` bytes. Dropping it before it is finished leaves nothing behind.
    pub async fn put(&self, limit: u64) -> Result<Incoming, BlobError> {
        let this = self.clone();
        blocking(move || {
            this.has_room(0)?;
            let mut random = [0; 16];
            getrandom::fill(&mut random)
                .map_err(|error| this.failed(&this.folder, io::Error::other(error.to_string())))?;
            let path = this.incoming().join(format!("{:032x}", u128::from_be_bytes(random)));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let file = file.map_err(|error| this.failed(&path, error))?;
            let (hasher, length) = (Hasher::new(), 0);
            Ok(Incoming { blobs: this, part: Part { path, file, hasher, length }, limit })
        })
        .await
    }

    /// The blob of this name, opened for reading; `None` if it is not here.
    pub async fn get(&self, sha256: Sha256) -> Result<Option<Blob>, BlobError> {
        let this = self.clone();
        blocking(move || {
            let path = this.path(sha256);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(this.failed(&path, error)),
            };
            let length = file.metadata().map_err(|error| this.failed(&path, error))?.len();
            Ok(Some(Blob { info: Stored { sha256, length }, file: Arc::new(file), home: this }))
        })
        .await
    }

    /// Reads a blob in full and compares it with its name; `None` if it is not here.
    pub async fn verify(&self, sha256: Sha256) -> Result<Option<Stored>, BlobError> {
        let Some(blob) = self.get(sha256).await? else { return Ok(None) };
        blocking(move || blob.compare().map(Some)).await
    }

    /// Takes its name from a blob whose bytes are not the ones it says, so that it is not served and a new upload
    /// replaces it. Says whether it did: a blob that reads well now is left alone.
    pub async fn set_aside(&self, sha256: Sha256) -> Result<bool, BlobError> {
        let this = self.clone();
        let Some(blob) = self.get(sha256).await? else { return Ok(false) };
        blocking(move || this.put_aside(&blob)).await
    }

    /// Removes a blob. Whoever reads it goes on reading it.
    pub async fn remove(&self, sha256: Sha256) -> Result<(), BlobError> {
        let this = self.clone();
        blocking(move || {
            let path = this.path(sha256);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(this.failed(&path, error)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// The blobs that were set aside and have not come back.
    #[must_use]
    pub fn damaged(&self) -> Vec<Sha256> {
        self.known_damaged().iter().copied().collect()
    }

    /// The names of all blobs, sorted, to compare a copy with.
    pub async fn list(&self) -> Result<Vec<Sha256>, BlobError> {
        let this = self.clone();
        blocking(move || {
            let mut names = Vec::new();
            for shelf in this.entries(&this.folder)? {
                if shelf.file_name().is_some_and(|name| name.len() == 2) {
                    let files = this.entries(&shelf)?;
                    names.extend(files.iter().filter_map(|file| name_of(file)));
                }
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// Removes files that nobody has written for so long. One that another server removes meanwhile is gone as well.
    fn clear(&self, incoming: &Path, age: Duration) -> Result<(), BlobError> {
        for path in self.entries(incoming)? {
            let written = fs::metadata(&path).and_then(|part| part.modified());
            // A time to come is another machine's clock, not an age.
            let is_old = written.is_ok_and(|at| at.elapsed().unwrap_or_default() >= age);
            match if is_old { fs::remove_file(&path) } else { Ok(()) } {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed(&path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>, BlobError> {
        let read = fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
        read.map_err(|error| self.failed(folder, error))
    }

    fn incoming(&self) -> PathBuf {
        self.folder.join("incoming")
    }

    fn aside(&self) -> PathBuf {
        self.folder.join("damaged")
    }

    fn known_damaged(&self) -> std::sync::MutexGuard<'_, BTreeSet<Sha256>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_aside(&self, blob: &Blob) -> Result<bool, BlobError> {
        let sha256 = blob.info.sha256;
        if blob.compare().is_ok() {
            return Ok(false);
        }
        let (path, aside) = (self.path(sha256), self.aside());
        let moved = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&aside)
            .and_then(|()| fs::rename(&path, aside.join(sha256.to_string())))
            .and_then(|()| sync_folder(&path))
            .and_then(|()| sync_folder(&aside.join("x")));
        moved.map_err(|error| self.failed(&path, error))?;
        self.known_damaged().insert(sha256);
        tracing::error!(
            %sha256, folder = %aside.display(),
            "a stored file is damaged and was set aside: send it again, and look at the disk"
        );
        Ok(true)
    }

    /// Refuses bytes that would reach into the reserve.
    fn has_room(&self, bytes: u64) -> Result<(), BlobError> {
        let Ok(disk) = rustix::fs::statvfs(&*self.folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.reserve_bytes.saturating_add(bytes) {
            return Err(BlobError::Full { folder: self.folder.to_path_buf() });
        }
        Ok(())
    }

    /// `blobs/ab/ab…`: shelves keep folders short.
    fn path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        let shelf = name.get(..2).expect("a digest has 64 characters");
        self.folder.join(shelf).join(&name)
    }

    fn failed(&self, path: &Path, source: io::Error) -> BlobError {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return BlobError::Full { folder: self.folder.to_path_buf() };
        }
        BlobError::Unavailable { path: path.to_owned(), source }
    }
}

/// A blob on its way in.
#[derive(Debug)]
pub struct Incoming {
    blobs: Blobs,
    part: Part,
    limit: u64,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    length: u64,
}

impl Drop for Part {
    /// A part that got its name is no longer there under this one.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Incoming {
    /// Takes the next bytes, or refuses the whole blob when they are too many.
    pub async fn write(mut self, bytes: Bytes) -> Result<Self, BlobError> {
        let length = self.part.length.saturating_add(length_of(&bytes));
        if length > self.limit {
            return Err(BlobError::TooLong { limit: self.limit });
        }
        blocking(move || {
            self.blobs.has_room(length_of(&bytes))?;
            let written = self.part.file.write_all(&bytes);
            written.map_err(|error| self.blobs.failed(&self.part.path, error))?;
            self.part.hasher.update(&bytes);
            self.part.length = length;
            Ok(self)
        })
        .await
    }

    /// Gives the blob its name, once it is durable. With `expected`, bytes of any other hash are refused.
    pub async fn finish(self, expected: Option<Sha256>) -> Result<Stored, BlobError> {
        let Self { blobs, mut part, .. } = self;
        blocking(move || {
            let found = Sha256(std::mem::take(&mut part.hasher).finalize().into());
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(BlobError::WrongHash { expected, found });
            }
            let path = blobs.path(found);
            let shelf = path.parent().expect("a blob lies on a shelf");
            let named = part
                .file
                .sync_all()
                .and_then(|()| fs::DirBuilder::new().recursive(true).mode(0o700).create(shelf))
                .and_then(|()| sync_folder(shelf))
                .and_then(|()| fs::rename(&part.path, &path))
                .and_then(|()| sync_folder(&path));
            named.map_err(|error| blobs.failed(&path, error))?;
            if blobs.known_damaged().remove(&found) {
                let _ = fs::remove_file(blobs.aside().join(found.to_string()));
            }
            Ok(Stored { sha256: found, length: part.length })
        })
        .await
    }
}

/// A blob opened for reading. It stays readable although its name goes.
#[derive(Clone, Debug)]
pub struct Blob {
    info: Stored,
    file: Arc<File>,
    home: Blobs,
}

impl Blob {
    /// Name and length.
    #[must_use]
    pub fn info(&self) -> Stored {
        self.info
    }

    /// The bytes from `offset`, at most `length` of them, in pieces. A file that ends early is an error, not an end;
    /// and a file that is read whole ends in an error, before its last piece, if it is not the one of its name.
    pub fn stream(&self, offset: u64, length: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let end = offset.saturating_add(length).min(self.info.length);
        let whole = offset == 0 && end == self.info.length;
        let reading = Reading { blob: self.clone(), at: offset, end, hasher: whole.then(Hasher::new) };
        futures_util::stream::try_unfold(reading, |reading| async move {
            if reading.at >= reading.end {
                return Ok(None);
            }
            let piece = tokio::task::spawn_blocking(move || reading.piece());
            piece.await.map_err(io::Error::other)?.map(Some)
        })
    }

    /// All bytes, for a thread that may block.
    pub(crate) fn reader(&self) -> impl io::Read + Send + 'static {
        BlobReader { file: self.file.clone(), at: 0 }
    }

    /// A piece from `at` on; empty at the end.
    pub async fn piece(&self, at: u64) -> io::Result<Bytes> {
        let left = usize::try_from(self.info.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let file = self.file.clone();
        let piece = tokio::task::spawn_blocking(move || read_piece(&file, at, left.min(PIECE_BYTES)));
        piece.await.map_err(io::Error::other)?
    }

    /// Whether the bytes are those of the name. Blocks.
    fn compare(&self) -> Result<Stored, BlobError> {
        let (mut hasher, mut offset) = (Hasher::new(), 0_u64);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = self.file.read_at(&mut piece, offset);
            let read = read.map_err(|error| self.home.failed(&self.home.path(self.info.sha256), error))?;
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
            offset = offset.saturating_add(length_of(bytes));
        }
        let (expected, found) = (self.info.sha256, Sha256(hasher.finalize().into()));
        if found == expected { Ok(self.info) } else { Err(BlobError::WrongHash { expected, found }) }
    }
}

struct BlobReader {
    file: Arc<File>,
    at: u64,
}

impl io::Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

/// A blob on its way out.
struct Reading {
    blob: Blob,
    at: u64,
    end: u64,
    hasher: Option<Hasher>,
}

impl Reading {
    fn piece(mut self) -> io::Result<(Bytes, Self)> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let piece = read_piece(&self.blob.file, self.at, left.min(PIECE_BYTES))?;
        self.at = self.at.saturating_add(length_of(&piece));
        let Some(mut hasher) = self.hasher.take() else { return Ok((piece, self)) };
        hasher.update(&piece);
        if self.at < self.end {
            self.hasher = Some(hasher);
        } else if Sha256(hasher.finalize().into()) != self.blob.info.sha256 {
            if let Err(error) = self.blob.home.put_aside(&self.blob) {
                tracing::error!(error = crate::log::chain(&error), "a damaged file could not be set aside");
            }
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the stored file is damaged"));
        }
        Ok((piece, self))
    }
}

/// Makes the entry of `path` in its folder durable: after a create or a rename.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn read_piece(file: &File, at: u64, length: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; length];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

/// The name of the blob that a file holds, if it has one.
fn name_of(path: &Path) -> Option<Sha256> {
    path.file_name()?.to_str()?.parse().ok()
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BlobError::Unavailable { path: PathBuf::new(), source: io::Error::other(error) }),
    }
}

#[cfg(test)]
mod tests;
