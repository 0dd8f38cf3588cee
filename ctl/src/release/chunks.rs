//! The chunk delta of an image: its index and its store, made on the maker's machine in one pass and little memory.
//!
//! The image is cut by its contents; each piece that comes for the first time is packed by itself, with the bytes before
//! it in the image as context, which every device has by then. So a device with any older image fetches what is new,
//! nearly as small as if all of it were packed together. The index is read back with the devices' own reader. Read next:
//! `cordon_proto::update::chunks`, decision 0012.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cordon_proto::ids::Sha256;
use cordon_proto::update::chunks::{self, Entry, Half, Index, Parameters};
use cordon_proto::update::release::FileRef;
use fastcdc::v2020::StreamCDC;
use sha2::{Digest, Sha256 as Hasher};
use zstd::zstd_safe::{CCtx, CParameter, get_error_name};

use crate::failure::Failure;

/// Measured: what stands above it costs much time and saves little.
const LEVEL: i32 = 15;
/// What packing may add to a piece that does not pack.
const ROOM: usize = 1024;

/// The two files of a chunk delta, where they lie for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The index.
    pub index: (PathBuf, FileRef),
    /// The store.
    pub store: (PathBuf, FileRef),
}

impl Made {
    /// Makes the chunk delta of an image into two files in `folder`.
    ///
    /// # Errors
    /// A file cannot be read or written, or the image changed meanwhile.
    pub fn of(image: &Path, measured: FileRef, folder: &Path) -> Result<Self, Failure> {
        let (index, store) = (folder.join("delta.index.partial"), folder.join("delta.store.partial"));
        let parameters = Parameters::for_image(measured.length);
        let mut packing = Packing::into_file(&store, parameters)?;
        let file = File::open(image).map_err(|error| Failure::file("read", image, &error))?;
        let [least, average, most] = [parameters.least, parameters.average, parameters.most].map(size);
        let (mut cut, mut hash) = (0_u64, Hasher::new());
        for piece in StreamCDC::new(file, least, average, most) {
            let piece = piece.map_err(|error| Failure::file("read", image, &error.into()))?;
            hash.update(&piece.data);
            cut = cut.saturating_add(length(&piece.data));
            packing.take(&piece.data)?;
        }
        if (cut, hash.finalize().as_slice()) != (measured.length, measured.sha256.as_bytes().as_slice()) {
            let detail =
                format!("{} changed while it was read: leave it alone and sign again", image.display());
            return Err(Failure::refused("no chunk delta", detail));
        }
        let (entries, stored) = packing.finish()?;
        let bytes = chunks::write(&parameters, measured, stored, &entries);
        let listed = FileRef { length: length(&bytes), sha256: Sha256::of(&bytes) };
        fresh(&index)?.write_all(&bytes).map_err(|error| Failure::file("write", &index, &error))?;
        Index::read(bytes).map_err(|fault| {
            let detail = format!("the chunk delta of {} is not usable: {fault}", image.display());
            Failure::refused("no chunk delta", detail)
        })?;
        Ok(Self { index: (index, listed), store: (store, stored) })
    }

    /// Both, in the order in which a release names them.
    #[must_use]
    pub fn files(&self) -> [&(PathBuf, FileRef); 2] {
        [&self.index, &self.store]
    }

    /// Removes both files.
    pub fn clean(&self) {
        // What is left behind is written over the next time.
        self.files().iter().for_each(|(path, _)| drop(std::fs::remove_file(path)));
    }
}

/// A store that is being written.
struct Packing<'a> {
    path: &'a Path,
    file: BufWriter<File>,
    hash: Hasher,
    written: u64,
    parameters: Parameters,
    context: Vec<u8>,
    known: HashSet<Half>,
    entries: Vec<Entry>,
}

impl<'a> Packing<'a> {
    fn into_file(path: &'a Path, parameters: Parameters) -> Result<Self, Failure> {
        let file = fresh(path)?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
            hash: Hasher::new(),
            written: 0,
            parameters,
            context: Vec::new(),
            known: HashSet::new(),
            entries: Vec::new(),
        })
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let id = Half::of(piece);
        let (mut seal, mut stored) = (Half([0; 16]), 0);
        if self.known.insert(id) {
            let packed = self.pack(piece)?;
            let form = if packed.len() < piece.len() { packed.as_slice() } else { piece };
            (seal, stored) = (Half::of(form), narrow(form.len()));
            self.file.write_all(form).map_err(|error| Failure::file("write", self.path, &error))?;
            self.hash.update(form);
            self.written = self.written.saturating_add(length(form));
        }
        self.entries.push(Entry { id, seal, length: narrow(piece.len()), stored });
        self.context.extend_from_slice(piece);
        let over = self.context.len().saturating_sub(size(self.parameters.context));
        self.context.drain(..over);
        Ok(())
    }

    fn pack(&self, piece: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut packed = Vec::with_capacity(piece.len().saturating_add(ROOM));
        let mut packer = CCtx::create();
        let window = self.parameters.context.saturating_add(self.parameters.most);
        let settings = [
            CParameter::CompressionLevel(LEVEL),
            CParameter::ContentSizeFlag(false),
            CParameter::WindowLog(window.next_power_of_two().trailing_zeros()),
        ];
        let done = settings
            .into_iter()
            .try_for_each(|setting| packer.set_parameter(setting).map(drop))
            .and_then(|()| packer.ref_prefix(&self.context))
            .and_then(|_| packer.compress2(&mut packed, piece));
        match done {
            Ok(_) => Ok(packed),
            Err(code) => Err(Failure::refused("no chunk delta", get_error_name(code))),
        }
    }

    fn finish(mut self) -> Result<(Vec<Entry>, FileRef), Failure> {
        let wrong = |error: std::io::Error| Failure::file("write", self.path, &error);
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(wrong)?;
        let store = FileRef { length: self.written, sha256: Sha256(self.hash.finalize().into()) };
        Ok((self.entries, store))
    }
}

/// A new file: one of this name that was left behind may be another name of a file that is published.
fn fresh(path: &Path) -> Result<File, Failure> {
    drop(std::fs::remove_file(path));
    File::create_new(path).map_err(|error| Failure::file("write", path, &error))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn size(bound: u32) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_changes_while_it_is_cut_makes_no_delta() {
        // Goal: an index never promises another image than the one that was measured. Method: an image of the same
        // length and other bytes, and a longer one, behind the measure of the first.
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        let content = vec![7; 100_000];
        let measured = FileRef { length: length(&content), sha256: Sha256::of(&content) };
        std::fs::write(&image, &content).expect("writes");
        Made::of(&image, measured, folder.path()).expect("is made").clean();
        for other in [vec![8; 100_000], vec![7; 100_001]] {
            std::fs::write(&image, other).expect("writes");
            let failure = Made::of(&image, measured, folder.path()).expect_err("is refused");
            assert!(failure.to_string().contains("changed while it was read"), "{failure}");
        }
    }
}
