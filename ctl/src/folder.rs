//! A repository as a folder of files: `N.root.json`, `N.targets.json`, `timestamp.json`, and images by their hash.
//!
//! Files appear whole or not at all, and a versioned file that is signed enough is never replaced by other bytes.
//! What is read here is not believed here: see [`crate::chain`].

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cordon_proto::ids::Sha256;
use cordon_proto::update::{Ask, Effect, Role, Source, name};

use crate::arguments::read_file;
use crate::failure::Failure;

/// The sub-folder of images.
pub const TARGETS: &str = "targets";
/// What ends the name of a root that waits for signatures.
const WAITING: &str = ".waiting";
/// Bytes read of any metadata file; the role's own limit is checked where it is parsed.
const METADATA_BYTES: u64 = 4 * 1024 * 1024;

/// A repository's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// An existing repository.
    ///
    /// # Errors
    /// There is no root in it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let folder = Self { path: path.to_owned() };
        if folder.versions(&Role::Root)?.is_empty() {
            let detail = format!("{} holds no root: make one with `cordonctl repo init`", path.display());
            return Err(Failure::refused("no repository", detail));
        }
        Ok(folder)
    }

    /// A repository whose first root may still wait for signatures.
    ///
    /// # Errors
    /// There is no root in it, not even one that waits.
    pub fn begun(path: &Path) -> Result<Self, Failure> {
        let folder = Self { path: path.to_owned() };
        if folder.waiting_root()?.is_some() { Ok(folder) } else { Self::open(path) }
    }

    /// A new repository.
    ///
    /// # Errors
    /// There is one already, or the folder cannot be made.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(|error| Failure::file("make", path, &error))?;
        let folder = Self { path: path.to_owned() };
        if folder.versions(&Role::Root)?.is_empty() && folder.waiting_root()?.is_none() {
            return Ok(folder);
        }
        let detail = format!("{} holds a repository already: choose another folder", path.display());
        Err(Failure::refused("repository exists", detail))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The versions of a role's file that are there, lowest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn versions(&self, role: &Role) -> Result<Vec<u64>, Failure> {
        self.numbered(&format!(".{}", name::file(role)))
    }

    /// The version of a root that waits for signatures. It lies under a name of its own, so that nothing takes it for
    /// one that is in force.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn waiting_root(&self) -> Result<Option<u64>, Failure> {
        Ok(self.numbered(&format!(".{}{WAITING}", name::file(&Role::Root)))?.last().copied())
    }

    fn numbered(&self, ending: &str) -> Result<Vec<u64>, Failure> {
        let wrong = |error: std::io::Error| Failure::file("read", &self.path, &error);
        let mut versions = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(wrong)? {
            let file = entry.map_err(wrong)?.file_name();
            let number = file.to_str().and_then(|file| file.strip_suffix(ending));
            versions.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// A file's bytes, or nothing.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path.join(file);
        if path.exists() { read_file(&path, METADATA_BYTES).map(Some) } else { Ok(None) }
    }

    /// A role's file of one version.
    ///
    /// # Errors
    /// It is missing or cannot be read.
    pub fn role(&self, role: &Role, version: u64) -> Result<Vec<u8>, Failure> {
        let file = name::path(role, version, true);
        let missing =
            || Failure::refused("missing file", format!("{} is missing", self.path.join(&file).display()));
        self.read(&file)?.ok_or_else(missing)
    }

    /// A role's file of one version, or the root of that version that waits for signatures.
    ///
    /// # Errors
    /// It is missing or cannot be read.
    pub fn to_sign(&self, role: &Role, version: u64) -> Result<Vec<u8>, Failure> {
        let waiting = format!("{}{WAITING}", name::path(role, version, true));
        let waits = if *role == Role::Root { self.read(&waiting)? } else { None };
        waits.map_or_else(|| self.role(role, version), Ok)
    }

    /// Writes a root: in force once it is complete, until then under the name of one that waits. Gives the name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_root(&self, version: u64, bytes: &[u8], complete: bool) -> Result<String, Failure> {
        let file = name::path(&Role::Root, version, true);
        let waiting = format!("{file}{WAITING}");
        if !complete {
            self.write(&waiting, bytes)?;
            return Ok(waiting);
        }
        self.write(&file, bytes)?;
        let path = self.path.join(&waiting);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::file("remove", &path, &error)),
            Err(_) | Ok(()) => Ok(file),
        }
    }

    /// Writes a file whole, in place of an earlier one of that name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        write_whole(&self.path.join(file), bytes)
    }

    /// Keeps what lies under a name beside it, before other bytes take its place.
    ///
    /// # Errors
    /// It cannot be read or renamed.
    pub fn set_aside(&self, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        match self.read(file)? {
            Some(known) if known != bytes => self.write(&format!("{file}.set-aside"), &known),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes a role's file of one version.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_role(&self, role: &Role, version: u64, bytes: &[u8]) -> Result<String, Failure> {
        let file = name::path(role, version, true);
        self.write(&file, bytes)?;
        Ok(file)
    }

    /// Where an image of this hash lies.
    #[must_use]
    pub fn image(&self, sha256: &Sha256) -> PathBuf {
        self.path.join(TARGETS).join(sha256.to_string())
    }

    /// Takes an image in, by hard link where the file system can.
    ///
    /// # Errors
    /// It cannot be linked or copied.
    pub fn take_image(&self, from: &Path, sha256: &Sha256) -> Result<(), Failure> {
        let to = self.image(sha256);
        let wrong = |error: std::io::Error| Failure::file("write", &to, &error);
        fs::create_dir_all(self.path.join(TARGETS)).map_err(wrong)?;
        match fs::hard_link(from, &to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(_) => fs::copy(from, &to).map(drop).map_err(wrong),
            Ok(()) => Ok(()),
        }
    }
}

impl Source for Folder {
    type Error = Failure;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, Failure> {
        match ask {
            Ask::Stored(_) => Ok(None),
            Ask::Fetch(request) => self.read(&request.path),
        }
    }

    fn apply(&mut self, _: &[Effect], _: &[u8]) -> Result<(), Failure> {
        Ok(())
    }
}

/// Writes a file whole, in place of an earlier one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("write", path, &error);
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)?;
    fs::rename(&partial, path).map_err(wrong)
}

/// Writes a file with a secret whole, in place of an earlier one; only its owner may read it, at no moment anybody else.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("write", path, &error);
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(wrong(error)),
        Err(_) | Ok(()) => {}
    }
    write_new_secret(&partial, bytes)?;
    fs::rename(&partial, path).map_err(wrong)
}

/// Writes a new file with a secret that only its owner may read.
pub(crate) fn write_new_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("write", path, &error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)
}
