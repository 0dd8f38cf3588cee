//! A release bundle on its way into a folder: outside bytes, of which only a repository's own files are let through.
//!
//! The archive's reader refuses paths that lead out, links that leave, and every second way to write the same; here all
//! that is no metadata file and no file by its hash is refused too. What is written is not believed yet. Read next:
//! [`super::import`].

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::update::tree::{Entry, Kind, Part, Reader};

use crate::failure::Failure;
use crate::folder::TARGETS;

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Metadata files of one bundle.
const METADATA_FILES: usize = 1024;

/// Unpacks a bundle into a new folder.
///
/// # Errors
/// It is no bundle, or cannot be read or written. The folder may be left half written.
pub fn unpack(bundle: &Path, folder: &Path) -> Result<(), Failure> {
    let unread = |error: std::io::Error| Failure::file("read", bundle, &error);
    let refused = |why: &dyn std::fmt::Display| {
        Failure::refused("no release bundle", format!("{}: {why}", bundle.display()))
    };
    let mut source = File::open(bundle).map_err(unread)?;
    let mut reader = Reader::new(source.metadata().map_err(unread)?.len());
    let mut shelf = Shelf { folder, open: None, metadata: 0 };
    let mut buffer = vec![0; PIECE_BYTES];
    while !reader.is_over() {
        let read = source.read(&mut buffer).map_err(unread)?;
        let mut bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Err(refused(&"it ends early"));
        }
        while let Some(part) = reader.next(&mut bytes).map_err(|fault| refused(&fault))? {
            match part {
                Part::Entry(entry) => {
                    shelf.enter(&entry).map_err(|why| why.unwrap_or_else(|| foreign(&entry)))?
                }
                Part::Content(piece) => shelf.write(piece)?,
                Part::End => {}
            }
        }
    }
    Ok(())
}

fn foreign(entry: &Entry) -> Failure {
    let detail = format!("{:?} is no file of a release bundle", entry.path());
    Failure::refused("no release bundle", detail)
}

/// The folder, and the file that is being written.
struct Shelf<'a> {
    folder: &'a Path,
    open: Option<File>,
    metadata: usize,
}

impl Shelf<'_> {
    /// Begins an entry; an error without a failure means that it does not belong into a bundle.
    fn enter(&mut self, entry: &Entry) -> Result<(), Option<Failure>> {
        let path = self.folder.join(entry.path());
        match entry.kind() {
            Kind::Folder if matches!(entry.path(), "" | TARGETS) => {
                fs::create_dir(&path).map_err(|error| Some(Failure::file("make", &path, &error)))
            }
            Kind::File { length, program: false } if self.belongs(entry.path(), *length) => {
                let made = OpenOptions::new().write(true).create_new(true).open(&path);
                self.open = Some(made.map_err(|error| Some(Failure::file("write", &path, &error)))?);
                Ok(())
            }
            Kind::Folder | Kind::File { .. } | Kind::Link { .. } => Err(None),
        }
    }

    fn belongs(&mut self, path: &str, length: u64) -> bool {
        match path.split_once('/') {
            Some((TARGETS, digest)) => digest.parse::<Sha256>().is_ok() && length <= limits::IMAGE_BYTES,
            Some(_) => false,
            None => {
                self.metadata += 1;
                let bounded = usize::try_from(length).is_ok_and(|length| length <= limits::TUF_TARGETS_BYTES);
                path.ends_with(".json") && bounded && self.metadata <= METADATA_FILES
            }
        }
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let Some(file) = &mut self.open else { return Ok(()) };
        file.write_all(piece).map_err(|error| Failure::file("write", self.folder, &error))
    }
}
