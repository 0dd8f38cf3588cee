//! What a device takes from where when its image comes as a chunk delta: from the slot that runs, from what is written
//! already, or from the store.
//!
//! The caller tells what it finds in the running slot, then walks the pieces in their order and asks for the source of
//! each. Walking can begin anywhere, so a cut download goes on where it stopped. Pieces to be fetched are drawn together
//! into few requests: a little too much is fetched where that saves one, because a server lets a device ask only so
//! often. Nothing is believed here: whoever reads a piece compares its hash, says so where it was not what it should be,
//! and the written slot is read back and hashed as ever. Read next: `cordon_proto::update::chunks`.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::sorting::sort_by;
use cordon_proto::update::chunks::{Half, Index, IndexFault, Placed};
use cordon_proto::update::release::{FileRef, Release};

/// Bytes that are fetched without need rather than asking twice: about what a request and its answer cost.
const GAP_BYTES: u64 = 1024;
/// An index must be so many times smaller than what is still to come.
const WORTH: u64 = 8;

/// The two files of a chunk delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The index.
    pub index: FileRef,
    /// The packed pieces.
    pub store: FileRef,
}

/// Where a piece comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The running slot, from this byte on.
    Running(u64),
    /// The image itself as far as it is written, from this byte on.
    Written(u64),
    /// The store, by [`Plan::request`] where no request under way brings it.
    Store,
}

/// Why a delta is left, and the whole image fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The index cannot be read.
    #[error("the index of the chunk delta is not usable: {0}")]
    Index(IndexFault),
    /// The index is of another image, or its store is not the one in the release.
    #[error("the index of the chunk delta is of another image or another store than the release says")]
    Other,
    /// So much would have to be fetched that the whole image is no more.
    #[error("the chunk delta would save nothing: what runs has too little of the new image")]
    NoGain,
    /// The index takes too much memory, or is not small beside what is still to come.
    #[error("the index of the chunk delta is too large for this device, or beside what is still to come")]
    Large,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Running(u64),
    Written(u64),
}

/// The pieces of an image and where each is known to be.
pub struct Plan {
    index: Index,
    /// Of each piece that the store has; of the others nothing is noted.
    places: Vec<Place>,
    gap: u64,
}

impl Offer {
    /// The chunk delta of a release; nothing where there is none.
    ///
    /// # Errors
    /// Its index is not small, on this device or beside what is still to come of the image.
    pub fn of(release: &Release, from: u64) -> Result<Option<Self>, Unusable> {
        let [index, store, ..] = release.deltas.as_slice() else { return Ok(None) };
        let left = release.image.length.saturating_sub(from);
        let small = index.length <= limits::DELTA_INDEX_BYTES && index.length.saturating_mul(WORTH) <= left;
        if small { Ok(Some(Self { index: *index, store: *store })) } else { Err(Unusable::Large) }
    }

    /// The plan over a received index, whose length and hash the caller compared with [`Offer::index`].
    ///
    /// # Errors
    /// The index is not usable for this image.
    pub fn plan(&self, index: Vec<u8>, (sha256, length): (Sha256, u64)) -> Result<Plan, Unusable> {
        let index = Index::read(index).map_err(Unusable::Index)?;
        if index.image != (FileRef { length, sha256 }) || index.store != self.store {
            return Err(Unusable::Other);
        }
        let places = vec![Place::Nowhere; index.count()];
        Ok(Plan { index, places, gap: GAP_BYTES })
    }
}

impl Plan {
    /// The index.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The running slot has a piece of this hash and length at this byte.
    pub fn found(&mut self, id: &Half, length: usize, at: u64) {
        let Some(number) = self.index.find(id) else { return };
        let same = self.index.entry(number).is_some_and(|entry| usize::try_from(entry.length) == Ok(length));
        if let Some(place) = self.places.get_mut(number).filter(|place| same && **place == Place::Nowhere) {
            *place = Place::Running(at);
        }
    }

    /// A piece that was thought to be in the running slot, or among what is written, is not there any more.
    pub fn lost(&mut self, piece: &Placed) {
        let Some(first) = self.first(piece) else { return };
        let written = self.index.pieces().nth(first).filter(|first| first.number < piece.number);
        let Some(place) = self.places.get_mut(first) else { return };
        *place = match (*place, written) {
            (Place::Running(_), Some(written)) => Place::Written(written.at),
            (Place::Running(_), None) | (Place::Written(_) | Place::Nowhere, _) => Place::Nowhere,
        };
    }

    /// A piece is written, or was before: an equal one need not be fetched.
    pub fn written(&mut self, piece: &Placed) {
        let first = self.first(piece);
        if let Some(place) = first.and_then(|first| self.places.get_mut(first))
            && *place == Place::Nowhere
        {
            *place = Place::Written(piece.at);
        }
    }

    /// A try begins at this byte of the image: how its requests are drawn together, and what it fetches. What an earlier
    /// try wrote is forgotten, because not all of it need be there.
    ///
    /// # Errors
    /// It would be no less than the image itself.
    pub fn settle(&mut self, from: u64) -> Result<u64, Unusable> {
        for place in self.places.iter_mut().filter(|place| matches!(place, Place::Written(_))) {
            *place = Place::Nowhere;
        }
        let mut gaps = Vec::new();
        let (mut bytes, mut last) = (0_u64, None);
        for piece in self.index.pieces().filter(|piece| ends(piece).0 > from && self.is_needed(piece)) {
            bytes += u64::from(piece.entry.stored);
            gaps.extend(last.map(|last| piece.stored_at.saturating_sub(last)));
            last = Some(ends(&piece).1);
        }
        sort_by(&mut gaps, |one, other| one > other);
        // So many of the largest gaps stay that there is one request fewer than allowed.
        let largest = gaps.get(limits::DELTA_REQUESTS - 1).copied().unwrap_or(0);
        self.gap = GAP_BYTES.max(largest);
        bytes += gaps.iter().filter(|gap| **gap <= self.gap).sum::<u64>();
        if bytes < self.index.image.length.saturating_sub(from) { Ok(bytes) } else { Err(Unusable::NoGain) }
    }

    /// Where to take a piece from. Nothing only for a piece whose like was lost and never stored.
    #[must_use]
    pub fn source(&self, piece: &Placed) -> Option<Source> {
        match self.places.get(self.first(piece)?)? {
            Place::Running(at) => Some(Source::Running(*at)),
            Place::Written(at) => Some(Source::Written(*at)),
            Place::Nowhere => piece.entry.is_stored().then_some(Source::Store),
        }
    }

    /// The piece of which an equal one stands first, which is the one that the store has.
    fn first(&self, piece: &Placed) -> Option<usize> {
        if piece.entry.is_stored() { Some(piece.number) } else { self.index.find(&piece.entry.id) }
    }

    fn is_needed(&self, piece: &Placed) -> bool {
        piece.entry.is_stored() && self.places.get(piece.number) == Some(&Place::Nowhere)
    }

    /// The part of the store from this piece on that is worth one request.
    #[must_use]
    pub fn request(&self, piece: &Placed) -> Range<u64> {
        let mut until = ends(piece).1;
        for next in self.index.pieces_after(Some(piece)) {
            if next.stored_at.saturating_sub(until) > self.gap {
                break;
            }
            if self.is_needed(&next) {
                until = ends(&next).1;
            }
        }
        piece.stored_at..until
    }
}

/// Where a piece ends, in the image and in the store.
fn ends(piece: &Placed) -> (u64, u64) {
    let entry = &piece.entry;
    (
        piece.at.saturating_add(u64::from(entry.length)),
        piece.stored_at.saturating_add(u64::from(entry.stored)),
    )
}

#[cfg(test)]
mod tests;
