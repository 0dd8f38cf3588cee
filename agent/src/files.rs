//! Small files that must survive a power cut: written beside, synced, renamed, folder synced; read back bounded.
//!
//! It must never leave a half-written file under its final name, never follow the rename before the sync, and never
//! hand out a secret that others on the machine may read. What the bytes mean is the caller's. Read next:
//! [`crate::identity`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::sorting::sort;

/// How the name of a file under way ends; it begins with a dot.
const UNDER_WAY: &[u8] = b".new";
/// Folders within folders that are looked through for such files.
const SWEPT_DEPTH: u32 = 4;

/// Why a small file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk has no room.
    #[error("the disk that holds {} is full; free some space, nothing is lost meanwhile", path.display())]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
    },
    /// Any other trouble of the operating system.
    #[error("cannot {act} {}: {source}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
    /// A secret that group or world may read.
    #[error("{} has mode {mode:o}; a secret must be readable by its owner alone (chmod 600), and one that others could read is to be replaced", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file or folder that anyone may change.
    #[error("{} has mode {mode:o} and may be changed by anyone; take that right away (chmod o-w)", path.display())]
    WorldWritable {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// More bytes than such a file ever has.
    #[error("{} has more than {limit} bytes; it is not what it should be", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes accepted.
        limit: usize,
    },
}

/// A point between two steps of a write, at which tests let the power fail.
type Hook = Arc<dyn Fn(&'static str, &str) -> io::Result<()> + Send + Sync>;

/// A folder of small files.
#[derive(Clone)]
pub struct Folder {
    path: PathBuf,
    /// Nothing is made here.
    looked_at: bool,
    hook: Option<Hook>,
}

impl Folder {
    /// Opens a folder, making it (0700) where it is missing, and refuses one that anyone may change.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        if !path.is_dir() {
            fs::create_dir_all(&path).map_err(|source| io_error("make", &path, source))?;
            let private = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&path, private).map_err(|source| io_error("protect", &path, source))?;
        }
        refuse_world_writable(&path)?;
        Ok(Self { path, looked_at: false, hook: None })
    }

    /// A folder as it stands, for whoever only looks: neither it nor one inside it is made. One that is missing is empty.
    pub fn look_at(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        if path.is_dir() {
            refuse_world_writable(&path)?;
        }
        Ok(Self { path, looked_at: true, hook: None })
    }

    /// A folder inside this one.
    pub fn inside(&self, name: &str) -> Result<Self, FileError> {
        let path = self.path.join(name);
        let inner = if self.looked_at { Self::look_at(path)? } else { Self::open(path)? };
        Ok(Self { hook: self.hook.clone(), ..inner })
    }

    /// The same folder, with a hook called before each step of a write.
    #[cfg(test)]
    pub(crate) fn hooked(
        mut self,
        hook: impl Fn(&'static str, &str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes, at most `limit`; `None` where there is no such file.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.path.join(name);
        match File::open(&path) {
            Ok(file) => read_bounded(file, &path, limit).map(Some),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("read", &path, source)),
        }
    }

    /// As [`Self::read`], and refuses a file that others than its owner may read or write.
    pub fn read_secret(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, FileError> {
        match read_secret_file(&self.path.join(name), limit) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Replaces a file whole: after `Ok` it survives a power cut, before it the old one does. Mode 0600.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path.join(name);
        let beside = self.path.join(format!(".{name}.new"));
        self.write_steps(name, bytes, (&beside, &path)).map_err(|source| io_error("write", &path, source))
    }

    /// Replaces a file whole without asking the disk to hurry: for pictures that nobody misses after a power cut.
    pub fn write_lightly(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let (beside, path) = (self.path.join(format!(".{name}.new")), self.path.join(name));
        fs::write(&beside, bytes)
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(|source| io_error("write", &path, source))
    }

    fn write_steps(&self, name: &str, bytes: &[u8], (beside, path): (&Path, &Path)) -> io::Result<()> {
        self.point("create", name)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(beside)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        self.point("fill", name)?;
        file.write_all(bytes)?;
        self.point("sync", name)?;
        file.sync_all()?;
        self.point("rename", name)?;
        fs::rename(beside, path)?;
        self.point("sync folder", name)?;
        File::open(&self.path)?.sync_all()
    }

    /// Turns a symbolic link of this name, by one rename: after `Ok` it survives a power cut, before it the old one does.
    pub fn link(&self, name: &str, to: &str) -> Result<(), FileError> {
        let (beside, path) = (self.path.join(format!(".{name}.new")), self.path.join(name));
        let turn = || {
            self.point("link", name)?;
            let _ = fs::remove_file(&beside);
            symlink(to, &beside)?;
            self.point("rename", name)?;
            fs::rename(&beside, &path)?;
            self.point("sync folder", name)?;
            File::open(&self.path)?.sync_all()
        };
        turn().map_err(|source| io_error("turn", &path, source))
    }

    /// Removes a file; one that is not there is removed already.
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        let path = self.path.join(name);
        self.point("remove", name).map_err(|source| io_error("remove", &path, source))?;
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path, source)),
            Ok(()) | Err(_) => sync_folder(&self.path),
        }
    }

    /// Removes what writes that died have left, here and in the folders below; whatever resists costs only its room. Only
    /// who holds the folder alone may call it.
    pub fn sweep(&self) {
        sweep(&self.path, SWEPT_DEPTH);
    }

    /// Renames a file that is not what it should be, so that nothing stumbles over it and a person can still look at it.
    pub fn set_aside(&self, name: &str) -> Result<(), FileError> {
        let path = self.path.join(name);
        let aside = self.path.join(aside(name));
        fs::rename(&path, aside).map_err(|source| io_error("set aside", &path, source))?;
        sync_folder(&self.path)
    }

    /// The names in this folder, sorted; files under way are left out.
    pub fn names(&self) -> Result<Vec<String>, FileError> {
        let entries = fs::read_dir(&self.path).map_err(|source| io_error("list", &self.path, source))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        sort(&mut names);
        Ok(names)
    }

    fn point(&self, step: &'static str, name: &str) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(step, name))
    }
}

/// The name of a file that was set aside.
#[must_use]
pub fn aside(name: &str) -> String {
    format!("{name}.damaged")
}

/// Refuses a file or folder that anyone on the machine may change. A sticky folder such as `/tmp` is refused too.
pub fn refuse_world_writable(path: &Path) -> Result<(), FileError> {
    let mode = fs::metadata(path).map_err(|source| io_error("look at", path, source))?.mode() & 0o7777;
    if mode & 0o002 == 0 {
        return Ok(());
    }
    Err(FileError::WorldWritable { path: path.to_owned(), mode })
}

/// A file anywhere, at most `limit` bytes.
pub fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|source| io_error("read", path, source))?;
    read_bounded(file, path, limit)
}

/// As [`read_file`], and refuses a file that others than its owner may read or write.
pub fn read_secret_file(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|source| io_error("read", path, source))?;
    let mode = file.metadata().map_err(|source| io_error("read", path, source))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::TooOpen { path: path.to_owned(), mode });
    }
    read_bounded(file, path, limit)
}

/// Writes a file whole into a folder that is nobody's secret, such as one on a stick; the folder is made if need be.
pub(crate) fn write_plain(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    let (path, beside) = (folder.join(name), folder.join(format!("{name}.part")));
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().map_err(|source| io_error("write", &path, source))?;
    sync_folder(folder)
}

fn read_bounded(file: File, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(cap).read_to_end(&mut bytes).map_err(|source| io_error("read", path, source))?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn sweep(path: &Path, depth: u32) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => sweep(&entry.path(), depth - 1),
            Ok(kind) if kind.is_file() && name.starts_with(b".") && name.ends_with(UNDER_WAY) => {
                let _ = fs::remove_file(entry.path());
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| io_error("sync", path, source))
}

pub(crate) fn io_error(act: &'static str, path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FileError::DiskFull { path },
        _ => FileError::Io { act, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_write_that_dies_at_any_step_leaves_the_old_or_the_new_file_whole() {
        // Goal: no half file under its final name. Method: fail before each step in turn and read back.
        for step in ["create", "fill", "sync", "rename", "sync folder"] {
            let root = tempfile::tempdir().expect("a scratch folder");
            let folder = Folder::open(root.path().join("s")).expect("opens");
            folder.write("x", b"old").expect("writes");
            let dying = folder.clone().hooked(move |at, _| match at == step {
                true => Err(io::Error::other("power")),
                false => Ok(()),
            });
            assert!(dying.write("x", b"new and longer").is_err(), "{step}");
            let after = folder.read("x", 100).expect("reads").expect("is there");
            assert!(after == b"old" || (step == "sync folder" && after == b"new and longer"), "{step}");
            assert_eq!(folder.names().expect("lists"), ["x"], "{step}");
        }
    }

    #[test]
    fn what_dying_writes_left_is_swept_away_and_nothing_else() {
        // Goal: no litter for ever. Method: a write that dies here and one in a folder within a folder; other names.
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = Folder::open(root.path().join("s")).expect("opens").hooked(|at, _| match at {
            "rename" => Err(io::Error::other("power")),
            _ => Ok(()),
        });
        let inner = folder.inside("tuf").and_then(|tuf| tuf.inside("director")).expect("opens");
        for folder in [&folder, &inner] {
            folder.write("x", b"half").expect_err("the power fails");
            for other in ["x", "x.new", ".hidden"] {
                fs::write(folder.path().join(other), b"kept").expect("writes");
            }
        }
        folder.sweep();
        for folder in [&folder, &inner] {
            let mut names: Vec<_> = fs::read_dir(folder.path())
                .expect("lists")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
                .filter(|name| name != "tuf")
                .collect();
            names.sort_unstable();
            assert_eq!(names, [".hidden", "x", "x.new"]);
        }
    }

    #[test]
    fn the_rename_comes_after_the_sync() {
        // Goal: order of the steps. Method: record them.
        let root = tempfile::tempdir().expect("a scratch folder");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let folder = Folder::open(root.path().join("s")).expect("opens").hooked(move |at, _| {
            log.lock().expect("one thread").push(at);
            Ok(())
        });
        folder.write("x", b"1").expect("writes");
        assert_eq!(*seen.lock().expect("one thread"), ["create", "fill", "sync", "rename", "sync folder"]);
    }

    #[test]
    fn open_secrets_open_folders_and_bloated_files_are_refused() {
        // Goal: the three refusals. Method: one file or folder each.
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = Folder::open(root.path().join("s")).expect("opens");
        folder.write("key", b"secret").expect("writes");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changes the mode");
        };
        assert!(folder.read_secret("key", 10).is_ok());
        assert!(matches!(folder.read("key", 3), Err(FileError::TooLarge { limit: 3, .. })));
        mode(&folder.path().join("key"), 0o644);
        assert!(matches!(folder.read_secret("key", 10), Err(FileError::TooOpen { mode: 0o644, .. })));
        mode(folder.path(), 0o777);
        assert!(matches!(Folder::open(folder.path()), Err(FileError::WorldWritable { mode: 0o777, .. })));
    }
}
