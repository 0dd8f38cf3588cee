//! Files with secrets in them, and files that others wait for.
//!
//! A secret is written with mode 0600 and never over another one; it is read only if nobody but its owner could have
//! read it, as sshd does. A file that others wait for appears whole or not at all. Nothing here knows what is in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Bytes that a file of ours may have at most.
const MAX_BYTES: u64 = 1024 * 1024;

/// What is wrong with a file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Somebody else may read it.
    #[error("{} can be read by others (mode {mode:04o}): run `chmod 600 {}`, and make a new key if others may have read it", .path.display(), .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is there already.
    #[error("{} is there already and is not overwritten: choose another folder, or move it away", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing: "read", path, source }
    }

    fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io { doing: "write", path, source },
        }
    }
}

/// Reads a secret, unless group or others have any right to it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(FileError::reading(path))?;
    let mode = file.metadata().map_err(FileError::reading(path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(FileError::reading(path))?;
    Ok(bytes)
}

/// Reads a secret that the system hands to this service. systemd gives such a file to root's group as well, by an access
/// list for the service's own user, so a file of root may be readable by root's group; else as [`read_secret`].
pub fn read_credential(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let facts = fs::metadata(path).map_err(FileError::reading(path))?;
    if facts.uid() != 0 || facts.gid() != 0 || facts.mode() & 0o037 != 0 {
        return read_secret(path);
    }
    Ok(read(path)?.into())
}

/// Reads a public file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileError::reading(path))?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(FileError::reading(path))?;
    Ok(bytes)
}

/// Writes a secret, mode 0600, durably; never over another file.
pub fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    create(path, bytes, 0o600).map_err(FileError::writing(path))
}

/// Writes a public file, durably; never over another file.
pub fn create_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    create(path, bytes, 0o644).map_err(FileError::writing(path))
}

/// Removes a file, durably; one that is gone already is none.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::writing(path)(error)),
        Ok(()) | Err(_) => sync_folder(path).map_err(FileError::writing(path)),
    }
}

/// The names of the plain files in a folder, sorted; names that are not text are left out.
pub fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let read = fs::read_dir(folder).and_then(|all| all.collect::<io::Result<Vec<_>>>());
    let entries = read.map_err(FileError::reading(folder))?.into_iter();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Makes a folder that only its owner may enter; it may be there already.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::writing(path))
}

/// Replaces a public file in one step: readers see the old bytes or the new ones.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = create(&part, bytes, 0o644).and_then(|()| fs::rename(&part, path));
    written.and_then(|()| sync_folder(path)).map_err(|error| {
        let _ = fs::remove_file(&part);
        FileError::writing(path)(error)
    })
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_folder(path)
}

/// Makes the entry of `path` in its folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        // Goal: E16, the server's side. Method: each bit of group and others, then none.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        create_secret(&path, b"secret").expect("written");
        assert_eq!(read_secret(&path).expect("ours alone").as_slice(), b"secret");
        for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let refused = read_secret(&path).expect_err("refused");
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn nothing_is_written_over_a_key() {
        // Goal: no key is lost by a second init. Method: create twice; the first bytes stay.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        create_secret(&path, b"first").expect("written");
        assert!(matches!(create_secret(&path, b"second"), Err(FileError::Exists { .. })));
        assert_eq!(read(&path).expect("read"), b"first");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn a_replaced_file_is_whole_and_leaves_no_part() {
        // Goal: whoever waits for the file never reads half of it. Method: replace twice, list the folder.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ready.json");
        for text in ["one", "two"] {
            replace(&path, text.as_bytes()).expect("replaced");
            assert_eq!(read(&path).expect("read"), text.as_bytes());
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
