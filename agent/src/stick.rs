//! A bundle's folder: on the stick that a person put in, and the copy of its small files in the state folder.
//!
//! Only files that the index lists are ever opened, and each is measured against the index as it is read. The copy is
//! made so that an update can go on after a restart, or in the night, without the stick; only the image stays on the
//! stick. The index is written last: a copy that was cut off is none. Nothing is believed here, and everything is read
//! again where it counts. Read next: `cordon_proto::update::bundle`, [`crate::run`].

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::limits;
use cordon_proto::update::bundle::{self, Bundle, BundleFault, INDEX, Listed};
use sha2::{Digest, Sha256 as Hasher};

use crate::files::{self, FileError, Folder};

/// The copy's folder inside the state folder.
const COPY: &str = "bundle";
/// In the copy: where the stick was.
const FROM: &str = "from";
/// Bytes of a path, at most.
const PATH_BYTES: usize = 4096;
/// Bytes of a file that is copied; all but the images.
const SMALL_BYTES: usize = limits::DEVICE_TARGETS_BYTES;
/// Bytes read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A bundle's folder with its claimed index.
pub(crate) struct Stick {
    /// Where the listed files are.
    folder: PathBuf,
    /// Where the images are.
    images: PathBuf,
    /// The index as it was read.
    pub(crate) index: Vec<u8>,
    /// What it says.
    pub(crate) claim: Bundle,
}

impl Stick {
    /// A folder that a person names.
    pub(crate) fn open(folder: &Path) -> Result<Self, BundleFault> {
        Self::read_index(folder, folder)
    }

    /// The copy in the state folder.
    pub(crate) fn copied(state: &Path) -> Result<Self, BundleFault> {
        let copy = state.join(COPY);
        let from = files::read_file(&copy.join(FROM), PATH_BYTES).unwrap_or_default();
        Self::read_index(&copy, Path::new(OsStr::from_bytes(&from)))
    }

    fn read_index(folder: &Path, images: &Path) -> Result<Self, BundleFault> {
        let index = read(folder, INDEX, limits::BUNDLE_BYTES)?;
        let claim = Bundle::claim(&index)?;
        Ok(Self { folder: folder.to_owned(), images: images.to_owned(), index, claim })
    }

    /// A listed small file, measured; `None` for one that is not listed, whatever lies in the folder.
    pub(crate) fn file(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, BundleFault> {
        let Some(listed) = self.claim.file(path) else { return Ok(None) };
        let bytes = read(&self.folder, path, limit)?;
        bundle::check(path, listed, &bytes)?;
        Ok(Some(bytes))
    }

    /// A listed image from a byte on; `None` for one that is not listed. Its bytes are measured in the slot.
    pub(crate) fn image(&self, sha256: Sha256, from: u64) -> Result<Option<File>, BundleFault> {
        let path = bundle::image_path(sha256);
        if !self.claim.files.contains_key(&path) {
            return Ok(None);
        }
        let mut file = ordinary(&self.images, path.as_str())?;
        file.seek(SeekFrom::Start(from)).map_err(|error| disk(&error))?;
        Ok(Some(file))
    }

    /// Measures every listed file to its end, and refuses others beside them.
    pub(crate) fn measure(&self) -> Result<(), BundleFault> {
        for (path, listed) in &self.claim.files {
            measured(&self.folder, path.as_str(), listed)?;
        }
        let folders = self.claim.files.keys().filter_map(|path| path.as_str().split('/').next());
        let mut last = "";
        for folder in folders.filter(|folder| self.folder.join(folder).is_dir()) {
            if folder != last {
                self.only_listed(folder)?;
            }
            last = folder;
        }
        Ok(())
    }

    fn only_listed(&self, folder: &str) -> Result<(), BundleFault> {
        for entry in fs::read_dir(self.folder.join(folder)).map_err(|error| disk(&error))? {
            let entry = entry.map_err(|error| disk(&error))?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if self.claim.file(&path).is_some() {
                continue;
            }
            let inside = format!("{path}/");
            if !self.claim.files.keys().any(|listed| listed.as_str().starts_with(&inside)) {
                return Err(BundleFault::Foreign { path: Text::lossy(&path) });
            }
            self.only_listed(&path)?;
        }
        Ok(())
    }

    /// Copies all but the images into the state folder, in place of an earlier copy.
    pub(crate) fn copy_into(&self, state: &Folder) -> Result<(), anyhow::Error> {
        forget(state)?;
        let copy = state.inside(COPY)?;
        for path in self.claim.files.keys().filter(|path| !is_image(path.as_str())) {
            let bytes = self.file(path.as_str(), SMALL_BYTES)?.unwrap_or_default();
            let mut segments: Vec<&str> = path.as_str().split('/').collect();
            let name = segments.pop().unwrap_or_default();
            let mut folder = copy.clone();
            for segment in segments {
                folder = folder.inside(segment)?;
            }
            folder.write(name, &bytes)?;
        }
        copy.write(FROM, fs::canonicalize(&self.images)?.as_os_str().as_bytes())?;
        Ok(copy.write(INDEX, &self.index)?)
    }
}

/// Removes the copy, its index first.
pub(crate) fn forget(state: &Folder) -> Result<(), FileError> {
    state.inside(COPY)?.remove(INDEX)?;
    let path = state.path().join(COPY);
    fs::remove_dir_all(&path).map_err(|source| FileError::Io { act: "remove", path, source })
}

/// What changes when another bundle is handed over; `None` while there is none.
pub(crate) fn stamp(state: &Path) -> Option<SystemTime> {
    fs::metadata(state.join(COPY).join(INDEX)).ok()?.modified().ok()
}

fn is_image(path: &str) -> bool {
    path.starts_with("targets/")
}

fn read(folder: &Path, path: &str, limit: usize) -> Result<Vec<u8>, BundleFault> {
    let mut bytes = Vec::new();
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    ordinary(folder, path)?.take(cap).read_to_end(&mut bytes).map_err(|error| disk(&error))?;
    Ok(bytes)
}

/// Opens a file of which no part of the way is a link.
fn ordinary(folder: &Path, path: &str) -> Result<File, BundleFault> {
    let named = || Text::lossy(path);
    let mut place = folder.to_owned();
    for segment in path.split('/') {
        place.push(segment);
        let found = fs::symlink_metadata(&place).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BundleFault::Missing { path: named() },
            _ => disk(&error),
        })?;
        if !found.is_dir() && !found.is_file() {
            return Err(BundleFault::NotAFile { path: named() });
        }
    }
    match File::open(&place) {
        Ok(file) if place.is_file() => Ok(file),
        Ok(_) => Err(BundleFault::NotAFile { path: named() }),
        Err(error) => Err(disk(&error)),
    }
}

fn measured(folder: &Path, path: &str, listed: &Listed) -> Result<(), BundleFault> {
    let mut file = ordinary(folder, path)?;
    if file.metadata().map_err(|error| disk(&error))?.len() != listed.length {
        return Err(BundleFault::Length { path: Text::lossy(path), listed: listed.length });
    }
    let mut hash = Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(|error| disk(&error))? {
            0 => break,
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
    if Sha256(hash.finalize().into()) == listed.sha256 {
        return Ok(());
    }
    Err(BundleFault::Differs { path: Text::lossy(path) })
}

fn disk(error: &io::Error) -> BundleFault {
    BundleFault::Disk { cause: Text::lossy(&error.to_string()) }
}

#[cfg(test)]
mod tests;
