//! The bytes of a chunk index: a head of fixed length, then one record of fixed length for each piece.
//!
//! Numbers are big-endian. It judges nothing but the form; what the numbers may be is [`super`]'s.

use alloc::vec::Vec;

use super::{Entry, Half, IndexFault, Parameters};
use crate::ids::Sha256;
use crate::update::release::FileRef;

/// The first bytes of an index, with the number of the form.
const MAGIC: [u8; 16] = *b"cordon chunks 1\n";
/// Bytes of the head: the magic, four bounds, two files, the count.
pub const HEAD_BYTES: usize = 16 + 4 * 4 + 2 * (8 + 32) + 4;
/// Bytes of one record: two halves of a hash, and two lengths of three bytes.
pub const ENTRY_BYTES: usize = 16 + 16 + 3 + 3;

/// The head as it stands there.
pub(super) struct Head {
    pub(super) parameters: Parameters,
    pub(super) image: FileRef,
    pub(super) store: FileRef,
    pub(super) count: usize,
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, IndexFault> {
        let mut rest = bytes;
        if take::<16>(&mut rest)? != MAGIC {
            return Err(IndexFault::Form);
        }
        let parameters = Parameters {
            least: number(&mut rest)?,
            average: number(&mut rest)?,
            most: number(&mut rest)?,
            context: number(&mut rest)?,
        };
        let (image, store) = (file(&mut rest)?, file(&mut rest)?);
        let count = usize::try_from(number(&mut rest)?).map_err(|_| IndexFault::Count)?;
        Ok(Self { parameters, image, store, count })
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&MAGIC);
        let Parameters { least, average, most, context } = self.parameters;
        [least, average, most, context]
            .iter()
            .for_each(|bound| bytes.extend_from_slice(&bound.to_be_bytes()));
        for file in [self.image, self.store] {
            bytes.extend_from_slice(&file.length.to_be_bytes());
            bytes.extend_from_slice(&file.sha256.0);
        }
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_be_bytes());
    }
}

/// A record; nothing only where it has another length.
pub(super) fn entry(record: &[u8; ENTRY_BYTES]) -> Option<Entry> {
    let mut rest = &record[..];
    Some(Entry {
        id: Half(take(&mut rest).ok()?),
        seal: Half(take(&mut rest).ok()?),
        length: short(take(&mut rest).ok()?),
        stored: short(take(&mut rest).ok()?),
    })
}

pub(super) fn write_entry(entry: &Entry, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&entry.id.0);
    bytes.extend_from_slice(&entry.seal.0);
    for length in [entry.length, entry.stored] {
        let [_, low @ ..] = length.to_be_bytes();
        bytes.extend_from_slice(&low);
    }
}

fn file(rest: &mut &[u8]) -> Result<FileRef, IndexFault> {
    Ok(FileRef { length: u64::from_be_bytes(take(rest)?), sha256: Sha256(take(rest)?) })
}

fn number(rest: &mut &[u8]) -> Result<u32, IndexFault> {
    Ok(u32::from_be_bytes(take(rest)?))
}

fn short([high, middle, low]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, high, middle, low])
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], IndexFault> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or(IndexFault::Length)?;
    *rest = after;
    Ok(*first)
}
