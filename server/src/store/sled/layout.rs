//! Where a pair stands in sled's one tree: the space's number before the key, large values in pieces.
//!
//! sled keeps a node that is larger than a quarter of a segment (128 KiB) in a file of its own, which nobody syncs. A
//! node has some sixteen pairs, so a value longer than [`PIECE_BYTES`] is cut: its place says how long it is, its pieces
//! stand in a room of their own under the digest of its place. So no node is ever that large, and one file is all there
//! is to sync.

use sha2::{Digest, Sha256};

use crate::store::kv::{Space, Span, WriteBatch};

/// Bytes of one piece: twenty such pairs with keys of a kilobyte are below sled's bound.
pub(super) const PIECE_BYTES: usize = 4096;
/// Under which the tally stands; above all spaces.
pub(super) const TALLY_KEY: &[u8] = b"\xfftally";
/// Before the keys of pieces; above all spaces.
const PIECES: u8 = 0xfe;
/// Bytes of a place's digest: two places never share one.
const DIGEST_BYTES: usize = 20;
const WHOLE: u8 = 0;
const CUT: u8 = 1;

/// The key of a pair in the tree.
pub(super) fn place(space: Space, key: &[u8]) -> Vec<u8> {
    [&[space.number()], key].concat()
}

/// The keys of a span in the tree: from the first, included, to the last, excluded.
pub(super) fn bounds(span: &Span) -> (Vec<u8>, Vec<u8>) {
    let to = match &span.to {
        Some(to) => place(span.space, to),
        None => vec![span.space.number().saturating_add(1)],
    };
    (place(span.space, &span.from), to)
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored<'v> {
    /// The value.
    Whole(&'v [u8]),
    /// The bytes of a value that is cut.
    Cut(usize),
}

impl<'v> Stored<'v> {
    /// Reads what stands at a place; `None` if no engine of ours wrote it.
    pub(super) fn read(bytes: &'v [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&WHOLE, value) => Some(Self::Whole(value)),
            (&CUT, length) => {
                Some(Self::Cut(usize::try_from(u64::from_be_bytes(length.try_into().ok()?)).ok()?))
            }
            _ => None,
        }
    }

    /// Pieces beside it.
    pub(super) fn pieces(self) -> u32 {
        match self {
            Self::Whole(_) => 0,
            Self::Cut(bytes) => u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX),
        }
    }
}

/// The key of a piece of the value at `place`.
pub(super) fn piece(place: &[u8], number: u32) -> Vec<u8> {
    let digest: [u8; 32] = Sha256::digest(place).into();
    let digest = digest.first_chunk::<DIGEST_BYTES>().expect("a digest is longer");
    [&[PIECES], &digest[..], &number.to_be_bytes()].concat()
}

/// The entries of a batch as the tree takes them, and how many pairs they add.
#[derive(Default)]
pub(super) struct Laid {
    pub(super) batch: sled::Batch,
    added: u64,
    removed: u64,
}

impl Laid {
    /// Lays a batch over what stands in the tree.
    pub(super) fn over(tree: &sled::Db, batch: WriteBatch) -> sled::Result<Self> {
        let mut laid = Self::default();
        for ((space, key), value) in batch.entries {
            let place = place(space, &key);
            let old = tree.get(&place)?;
            let old_pieces = old.as_deref().and_then(Stored::read).map_or(0, Stored::pieces);
            laid.removed = laid.removed.saturating_add(u64::from(old.is_some()));
            laid.put(place, value, old_pieces);
        }
        Ok(laid)
    }

    /// Pairs in the tree after the batch.
    pub(super) fn pairs(&self, before: u64) -> u64 {
        before.saturating_add(self.added).saturating_sub(self.removed)
    }

    fn put(&mut self, place: Vec<u8>, value: Option<Vec<u8>>, old_pieces: u32) {
        let mut pieces = 0;
        match value {
            Some(value) if value.len() <= PIECE_BYTES => {
                self.insert(place.clone(), [&[WHOLE], value.as_slice()].concat());
            }
            Some(value) => {
                let length = u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes();
                for part in value.chunks(PIECE_BYTES) {
                    self.insert(piece(&place, pieces), part.to_vec());
                    pieces = pieces.saturating_add(1);
                }
                self.insert(place.clone(), [&[CUT], &length[..]].concat());
            }
            None => self.batch.remove(place.clone()),
        }
        for number in pieces..old_pieces {
            self.batch.remove(piece(&place, number));
        }
        self.removed = self.removed.saturating_add(u64::from(old_pieces));
    }

    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.batch.insert(key, value);
        self.added = self.added.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_values_on_disk_never_change() {
        // Goal: every store ever written is read, and no value is mistaken for another. Method: golden bytes; lengths
        // around the bound; bytes that are none of ours.
        assert_eq!(place(Space::Rows, b"k"), b"\x01k");
        let all = Span { space: Space::Events, from: vec![], to: None, down: false };
        assert_eq!(bounds(&all), (vec![4], vec![5]));
        assert_eq!(piece(b"\x01k", 258).len(), 25);
        assert_eq!(piece(b"\x01k", 258).get(..4), Some(&[0xfe, 0xb7, 0x89, 0x02][..]));
        assert_eq!(Stored::read(b"\x00ab"), Some(Stored::Whole(b"ab")));
        assert_eq!(Stored::read(b"\x01\0\0\0\0\0\0\x10\x01"), Some(Stored::Cut(PIECE_BYTES + 1)));
        assert_eq!(Stored::Cut(PIECE_BYTES + 1).pieces(), 2);
        for other in [&b""[..], b"\x02a", b"\x01abc"] {
            assert_eq!(Stored::read(other), None);
        }
    }
}
