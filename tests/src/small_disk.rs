//! A small disk that really fills up: a tmpfs of its own, for a server or a device.
//!
//! Root is needed to mount it; without, a test says so. It goes with its value, whatever is still open on it.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::skip::require_right;

/// Bytes of a MiB.
pub const MIB: u64 = 1024 * 1024;

/// A disk that goes with its test.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// A disk of so many MiB; `None` after saying that this machine lets nobody mount one for `test`.
    ///
    /// # Panics
    /// If there is no room for a folder.
    #[must_use]
    pub fn of(mib: u64, test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let options = std::ffi::CString::new(format!("size={mib}m")).expect("plain text");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let mounted = mount("tmpfs", folder.path(), "tmpfs", flags, Some(options.as_c_str()));
        require_right("to mount a tmpfs", test, mounted.is_ok()).then_some(Self(folder))
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its free bytes.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.path()).expect("a disk");
        disk.f_bavail * disk.f_frsize
    }

    /// Fills it up to so many free bytes, with a file that may be removed.
    ///
    /// # Panics
    /// If the file cannot be made.
    #[must_use]
    pub fn fill(&self, free: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).expect("made");
        while self.free() > free {
            let piece = usize::try_from((self.free() - free).min(MIB)).expect("small");
            if std::io::Write::write_all(&mut file, &vec![1; piece]).is_err() {
                break;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}
