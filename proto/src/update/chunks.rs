//! The index of a chunk delta: an image as a list of pieces, so that a device fetches only those that it does not have.
//!
//! The pieces are cut by their contents (FastCDC), with bounds that the index states, so whoever cuts an older version the
//! same way finds what both share. Its maker names the index, by length and SHA-256, in the release that is signed; it is
//! believed for that alone, and read only after it was measured. Each piece has two hashes: one of its bytes, by which it
//! is found in what a device runs, and one of its stored form, so that no byte that nobody signed is ever unpacked. Both are cut to 128
//! bits: finding another piece for a given one is out of reach, and two alike could only be made by the maker, whose image
//! is read back and hashed as a whole all the same. It must never be believed in place of that. Decision 0012. Read next:
//! [`super::release`] for who names it.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::release::FileRef;
use crate::ids::Sha256;
use crate::limits;

mod form;

pub use form::{ENTRY_BYTES, HEAD_BYTES};

/// The first half of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Half(pub [u8; 16]);

/// How an image is cut and packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Bytes of the smallest piece, but for the last one of an image.
    pub least: u32,
    /// Bytes that pieces tend to.
    pub average: u32,
    /// Bytes of the largest piece.
    pub most: u32,
    /// Bytes of the image before a piece that help to unpack it.
    pub context: u32,
}

/// One piece of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of its bytes.
    pub id: Half,
    /// Of its stored form; nothing where an equal piece comes earlier.
    pub seal: Half,
    /// Its bytes.
    pub length: u32,
    /// Bytes of its stored form: 0 where an equal piece comes earlier, its own length where it is stored as it is.
    pub stored: u32,
}

/// A piece and its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its number.
    pub number: usize,
    /// The piece.
    pub entry: Entry,
    /// Where it begins in the image.
    pub at: u64,
    /// Where its stored form begins in the store; for a piece without one, where the next begins.
    pub stored_at: u64,
}

/// An index that was read: whole, within bounds, and consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// How the image is cut.
    pub parameters: Parameters,
    /// The image.
    pub image: FileRef,
    /// The store of the packed pieces.
    pub store: FileRef,
    bytes: Vec<u8>,
    /// The numbers of all pieces, by their hash and then by their place.
    order: Vec<u32>,
}

/// Why an index is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexFault {
    /// Not an index, or of a form that this program does not know.
    #[error("it is no chunk index of a form that is known here")]
    Form,
    /// Bytes are missing or left over.
    #[error("it ends too early or too late")]
    Length,
    /// A bound is out of bounds.
    #[error("its bounds are not usable")]
    Parameters,
    /// More pieces than a device can keep in mind, or none.
    #[error("it lists no pieces, or too many")]
    Count,
    /// A piece that is none.
    #[error("piece {number} is not possible")]
    Piece {
        /// Which one.
        number: usize,
    },
    /// The pieces are not the image, or not the store.
    #[error("its pieces do not add up")]
    Sum,
}

impl Half {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*Sha256::of(bytes).0.first_chunk().expect("a SHA-256 has 32 bytes"))
    }
}

impl Parameters {
    /// What suits an image of this length: pieces of 16 KiB as long as a device can keep all of them in mind, larger ones
    /// beyond.
    #[must_use]
    pub fn for_image(length: u64) -> Self {
        let mut average = limits::DELTA_AVERAGE_BYTES;
        while u64::from(average).saturating_mul(limits::DELTA_CHUNKS as u64 / 2) < length {
            average = average.saturating_mul(2);
        }
        let context = limits::DELTA_CONTEXT_BYTES;
        Self { least: average / 4, average, most: average.saturating_mul(8), context }
    }

    fn is_usable(&self) -> bool {
        let even = [self.least, self.average, self.most].iter().all(|bound| bound.is_multiple_of(2));
        even && limits::DELTA_LEAST_BYTES <= self.least
            && self.least <= self.average
            && self.average <= self.most
            && self.average <= limits::DELTA_MOST_BYTES / 8
            && self.most <= limits::DELTA_MOST_BYTES
            && self.context <= limits::DELTA_CONTEXT_BYTES
    }
}

impl Entry {
    /// Whether the store has a form of it.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored > 0
    }

    /// Whether the store has it as it is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.stored == self.length
    }
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn read(bytes: Vec<u8>) -> Result<Self, IndexFault> {
        let head = form::Head::read(&bytes)?;
        if !head.parameters.is_usable() {
            return Err(IndexFault::Parameters);
        }
        if !(1..=limits::DELTA_CHUNKS).contains(&head.count) {
            return Err(IndexFault::Count);
        }
        if bytes.len() != HEAD_BYTES + head.count * ENTRY_BYTES {
            return Err(IndexFault::Length);
        }
        let (parameters, image, store) = (head.parameters, head.image, head.store);
        let order = (0..head.count).filter_map(|number| u32::try_from(number).ok()).collect();
        let mut index = Self { parameters, image, store, bytes, order };
        index.check_pieces()?;
        index.sort();
        index.check_repeats()?;
        Ok(index)
    }

    /// Each piece by itself, and all together.
    fn check_pieces(&self) -> Result<(), IndexFault> {
        let (mut image, mut store) = (0_u64, 0_u64);
        for Placed { number, entry, .. } in self.pieces() {
            let possible = (1..=self.parameters.most).contains(&entry.length) && entry.stored <= entry.length;
            if !possible {
                return Err(IndexFault::Piece { number });
            }
            image += u64::from(entry.length);
            store += u64::from(entry.stored);
        }
        if (image, store) == (self.image.length, self.store.length) { Ok(()) } else { Err(IndexFault::Sum) }
    }

    fn sort(&mut self) {
        let mut order = core::mem::take(&mut self.order);
        order.sort_unstable_by_key(|number| (self.entry(*number as usize).map(|entry| entry.id), *number));
        self.order = order;
    }

    /// Of equal pieces the first is stored, and no other.
    fn check_repeats(&self) -> Result<(), IndexFault> {
        let mut first: Option<Entry> = None;
        for number in &self.order {
            let number = *number as usize;
            let Some(entry) = self.entry(number) else { return Err(IndexFault::Length) };
            let repeats = first.filter(|first| first.id == entry.id);
            let right = match repeats {
                Some(first) => !entry.is_stored() && entry.length == first.length,
                None => entry.is_stored(),
            };
            if !right {
                return Err(IndexFault::Piece { number });
            }
            first = repeats.or(Some(entry));
        }
        Ok(())
    }

    /// How many pieces there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// A piece by its number.
    #[must_use]
    pub fn entry(&self, number: usize) -> Option<Entry> {
        form::entry(self.bytes.get(HEAD_BYTES..)?.as_chunks::<ENTRY_BYTES>().0.get(number)?)
    }

    /// All pieces in their order, with their places.
    pub fn pieces(&self) -> impl Iterator<Item = Placed> {
        self.pieces_after(None)
    }

    /// The pieces that follow one, or all.
    pub fn pieces_after(&self, last: Option<&Placed>) -> impl Iterator<Item = Placed> {
        let start = last.map_or((0, 0, 0), |last| {
            let (at, stored) = (u64::from(last.entry.length), u64::from(last.entry.stored));
            (last.number + 1, last.at.saturating_add(at), last.stored_at.saturating_add(stored))
        });
        (start.0..self.count()).scan((start.1, start.2), |(at, stored_at), number| {
            let entry = self.entry(number)?;
            let placed = Placed { number, entry, at: *at, stored_at: *stored_at };
            *at = at.saturating_add(u64::from(entry.length));
            *stored_at = stored_at.saturating_add(u64::from(entry.stored));
            Some(placed)
        })
    }

    /// The number of the first piece with this hash.
    #[must_use]
    pub fn find(&self, id: &Half) -> Option<usize> {
        let compare =
            |number: &u32| self.entry(*number as usize).map_or(Ordering::Less, |entry| entry.id.cmp(id));
        let place = self.order.partition_point(|number| compare(number) == Ordering::Less);
        let number = *self.order.get(place)? as usize;
        self.entry(number).filter(|entry| entry.id == *id).map(|_| number)
    }
}

/// The bytes of an index.
#[must_use]
pub fn write(parameters: &Parameters, image: FileRef, store: FileRef, entries: &[Entry]) -> Vec<u8> {
    let head = form::Head { parameters: *parameters, image, store, count: entries.len() };
    let mut bytes = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES);
    head.write(&mut bytes);
    entries.iter().for_each(|entry| form::write_entry(entry, &mut bytes));
    bytes
}

#[cfg(test)]
mod tests;
