//! Reading below one folder, bounded and without leaving it.
//!
//! A disk image may hold links that point anywhere, pipes that never end, and files of any size: paths are resolved by
//! the kernel as if the folder were the root (`openat2`, `RESOLVE_IN_ROOT`), only regular files are read, and at most as
//! many bytes as asked for. On the live machine the root is `/` and links are the machine's own.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cordon_proto::limits;
use cordon_proto::sorting::sort;
use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags};

/// A folder that stands for a machine's root.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
    live: bool,
}

impl Root {
    /// The running machine.
    pub fn live() -> io::Result<Self> {
        Ok(Self { folder: open_folder(Path::new("/"))?, live: true })
    }

    /// The machine whose files lie below `folder`; `/` is the running one.
    pub fn at(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: open_folder(folder)?, live: folder == Path::new("/") })
    }

    /// Whether facts of the running kernel belong to this root.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Opens a regular file below the root.
    pub fn open(&self, path: &str) -> io::Result<File> {
        let file = File::from(self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(ErrorKind::InvalidInput, "not a file"))
        }
    }

    /// The bytes of a file, which must be at most `limits::INVENTORY_FILE_BYTES`.
    pub fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(limits::INVENTORY_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limits::INVENTORY_FILE_BYTES {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "larger than such a file ever is"));
        }
        Ok(bytes)
    }

    /// The text of a file; bytes that are no UTF-8 are shown as marks.
    pub fn text(&self, path: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(path)?).into_owned())
    }

    /// The first line of a file without the blanks around it, if it can be read and has any.
    #[must_use]
    pub fn line(&self, path: &str) -> Option<String> {
        let text = self.text(path).ok()?;
        let line = text.lines().next()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// The names in a folder, in order, at most `limits::INVENTORY_FOLDER_FILES`.
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)?.take(limits::INVENTORY_FOLDER_FILES) {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        sort(&mut names);
        Ok(names)
    }

    /// Whether a path exists.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH).is_ok()
    }

    /// Where a link in a folder leads, as its text says it.
    pub fn link(&self, folder: &str, name: &str) -> io::Result<String> {
        let folder = self.resolve(folder, OFlags::PATH | OFlags::DIRECTORY)?;
        let text = rustix::fs::readlinkat(folder, name, Vec::new())?;
        Ok(text.to_string_lossy().into_owned())
    }

    /// Opens a device without waiting for what it says.
    pub fn device(&self, path: &str) -> io::Result<File> {
        Ok(File::from(self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK)?))
    }

    /// What changes with a file, without opening it or following a link.
    pub fn stamp(&self, path: &str) -> io::Result<Stamp> {
        let file = File::from(self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?).metadata()?;
        Ok(if file.is_dir() {
            Stamp::Folder
        } else if file.is_file() {
            Stamp::File([
                file.ino(),
                file.size(),
                file.mtime().unsigned_abs(),
                file.mtime_nsec().unsigned_abs(),
            ])
        } else {
            Stamp::Other
        })
    }

    /// How full the file system is that a folder lies in.
    #[must_use]
    pub fn usage(&self, path: &str) -> Option<Usage> {
        let said = rustix::fs::fstatvfs(self.resolve(path, OFlags::PATH).ok()?).ok()?;
        Some(Usage {
            bytes: said.f_blocks.checked_mul(said.f_frsize)?,
            free: said.f_bavail.checked_mul(said.f_frsize)?,
            files: said.f_files,
            files_free: said.f_favail,
        })
    }

    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        if self.live {
            return Ok(rustix::fs::openat(&self.folder, path, flags, Mode::empty())?);
        }
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), inside)?)
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// A folder.
    Folder,
    /// A file: its place on the disk, its size, when it was changed, and the nanoseconds of that.
    File([u64; 4]),
    /// Neither.
    Other,
}

/// How full a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes it can hold.
    pub bytes: u64,
    /// Bytes that ordinary programs may still write.
    pub free: u64,
    /// Files it can hold; 0 where it does not count them.
    pub files: u64,
    /// Files that ordinary programs may still make.
    pub files_free: u64,
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_an_image_never_lead_out_of_it() {
        // Goal: an offline inventory reads the image, not this machine. Method: absolute and climbing links.
        let image = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("secret"), "outside").expect("writes");
        fs::create_dir_all(image.path().join("usr/lib")).expect("makes");
        fs::create_dir_all(image.path().join("etc")).expect("makes");
        fs::write(image.path().join("usr/lib/os-release"), "inside").expect("writes");
        symlink("/usr/lib/os-release", image.path().join("etc/os-release")).expect("links");
        symlink(outside.path().join("secret"), image.path().join("etc/absolute")).expect("links");
        symlink("../../../../../../../../etc/passwd", image.path().join("etc/climbing")).expect("links");
        symlink("/proc/self/exe", image.path().join("etc/magic")).expect("links");
        let root = Root::at(image.path()).expect("opens");
        assert!(!root.is_live());
        assert_eq!(root.text("etc/os-release").expect("an absolute link is the image's own"), "inside");
        for path in ["etc/absolute", "etc/climbing", "etc/magic", "../etc/passwd"] {
            assert!(root.text(path).is_err(), "{path}");
        }
    }

    #[test]
    fn folders_pipes_and_giants_are_refused_without_waiting() {
        // Goal: nothing in an image can hold up or fill the reader. Method: one of each.
        let image = tempfile::tempdir().expect("a folder");
        fs::create_dir(image.path().join("folder")).expect("makes");
        let path = image.path().join("pipe");
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .expect("makes");
        let giant = File::create(image.path().join("giant")).expect("makes");
        giant.set_len(limits::INVENTORY_FILE_BYTES + 1).expect("grows");
        let root = Root::at(image.path()).expect("opens");
        assert!(root.bytes("folder").is_err());
        assert!(root.bytes("pipe").is_err());
        assert_eq!(root.bytes("giant").map_err(|error| error.kind()), Err(ErrorKind::FileTooLarge));
        assert_eq!(root.names("/").expect("lists"), ["folder", "giant", "pipe"]);
        assert!(root.exists("giant") && !root.exists("dwarf"));
    }
}
