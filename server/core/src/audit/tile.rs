//! How the sealed tree is kept: in tiles of 256 hashes, of which only the last of each level ever changes.
//!
//! A tile of level 0 holds the leaf hashes of 256 entries; a tile of level n holds the roots of 256 full tiles of the
//! level below. So a proof over a million entries reads a handful of tiles, and sealing a batch writes one or two. The
//! unfinished tiles are the sealer's whole state ([`Edge`]): a restart reads no entry again. Nothing here signs, and
//! nothing here believes a tile: what was read is compared with a signed root by [`super::seal`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cell::Cell;

use cordon_proto::merkle::{Hash, Nodes, node_hash, root};

/// Levels of the tree in one tile.
const HEIGHT: u32 = 8;
/// Hashes of a full tile.
pub const WIDTH: u64 = 1 << HEIGHT;
const FULL: usize = 1 << HEIGHT;
const VERSION: u8 = 1;

/// The place of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileAt {
    /// 0 for leaf hashes.
    pub level: u8,
    /// Its place in its level, from 0.
    pub index: u64,
}

/// The hashes of one tile, at most [`WIDTH`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tile(Vec<Hash>);

impl Tile {
    /// The document to store: a version, then the hashes.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        let mut body = Vec::from([VERSION]);
        body.extend_from_slice(self.0.as_flattened());
        body
    }

    /// Reads [`Tile::to_body`]; `None` if the bytes are none.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        let (version, rest) = body.split_first()?;
        let (hashes, rest) = rest.as_chunks::<32>();
        let fits = *version == VERSION && rest.is_empty() && hashes.len() <= FULL;
        fits.then(|| Self(hashes.to_vec()))
    }

    /// The hashes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// The hash over a complete subtree within the tile.
    fn complete(&self, first: u64, count: u64) -> Option<Hash> {
        let (first, count) = (usize::try_from(first).ok()?, usize::try_from(count).ok()?);
        self.0.get(first..first.checked_add(count)?).map(fold)
    }
}

/// The root over hashes whose number is a power of two.
fn fold(hashes: &[Hash]) -> Hash {
    match hashes {
        [only] => *only,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(&fold(left), &fold(right))
        }
    }
}

/// Tiles that were read so far, for a proof that is tried again until it misses none.
#[derive(Debug, Default)]
pub struct Tiles {
    held: BTreeMap<TileAt, Tile>,
    missed: Cell<Option<TileAt>>,
}

impl Tiles {
    /// Takes a tile that was read.
    pub fn hold(&mut self, at: TileAt, tile: Tile) {
        self.held.insert(at, tile);
    }

    /// The tile that the last attempt lacked.
    #[must_use]
    pub fn missed(&self) -> Option<TileAt> {
        self.missed.take()
    }

    /// The tiles that were read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Nodes for Tiles {
    fn node(&self, level: u32, place: u64) -> Option<Hash> {
        let count = 1_u64.checked_shl(level % HEIGHT)?;
        let first = place.checked_mul(count)?;
        let at = TileAt { level: u8::try_from(level / HEIGHT).ok()?, index: first / WIDTH };
        let Some(tile) = self.held.get(&at) else {
            self.missed.set(Some(at));
            return None;
        };
        tile.complete(first % WIDTH, count)
    }
}

/// The unfinished right edge of a tree that only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// The last tile of each level, never full.
    open: Vec<Tile>,
    full: BTreeMap<TileAt, Tile>,
    touched: BTreeSet<usize>,
}

impl Edge {
    /// The edge of a tree of `size` leaves; `None` if a tile is missing or has another number of hashes.
    #[must_use]
    pub fn new(size: u64, tiles: &BTreeMap<TileAt, Tile>) -> Option<Self> {
        let mut open = Vec::new();
        for (at, count) in unfinished(size) {
            let tile = if count == 0 { Tile::default() } else { tiles.get(&at)?.clone() };
            if u64::try_from(tile.0.len()).ok()? != count {
                return None;
            }
            open.push(tile);
        }
        Some(Self { size, open, ..Self::default() })
    }

    /// The tiles that [`Edge::new`] wants for a tree of `size` leaves, the lowest level first.
    pub fn wants(size: u64) -> impl Iterator<Item = TileAt> {
        unfinished(size).filter(|(_, count)| *count > 0).map(|(at, _)| at)
    }

    /// The leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tile of leaf hashes that the next leaf goes to.
    #[must_use]
    pub fn next_tile(&self) -> TileAt {
        TileAt { level: 0, index: self.size / WIDTH }
    }

    /// The leaf hashes of the unfinished tile.
    #[must_use]
    pub fn open_leaves(&self) -> &[Hash] {
        self.open.first().map_or(&[], Tile::hashes)
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        // The complete subtrees from left to right: a tree is the highest of them, joined with the tree of the rest.
        let mut peaks = Vec::new();
        for tile in self.open.iter().rev() {
            let mut rest = tile.hashes();
            while !rest.is_empty() {
                let (peak, after) = rest.split_at(1 << rest.len().ilog2());
                peaks.push(fold(peak));
                rest = after;
            }
        }
        peaks.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(|| root([]))
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut carried = leaf;
        for level in 0.. {
            if self.open.len() == level {
                self.open.push(Tile::default());
            }
            let Some(tile) = self.open.get_mut(level) else { break };
            tile.0.push(carried);
            self.touched.insert(level);
            if tile.0.len() < FULL {
                break;
            }
            let tile = core::mem::take(tile);
            carried = fold(tile.hashes());
            self.full.insert(place(level, self.size), tile);
        }
        self.size = self.size.saturating_add(1);
    }

    /// Forgets full tiles, for whoever only wants the root.
    pub fn forget(&mut self) {
        self.full.clear();
    }

    /// The tiles that came or changed since the edge was read.
    #[must_use]
    pub fn grown(&self) -> BTreeMap<TileAt, Tile> {
        let mut grown = self.full.clone();
        for (level, tile) in self.open.iter().enumerate() {
            if self.touched.contains(&level) && !tile.0.is_empty() {
                grown.insert(place(level, self.size), tile.clone());
            }
        }
        grown
    }
}

/// The last tile of each level of a tree of `size` leaves, and how many hashes it has; lowest level first.
fn unfinished(size: u64) -> impl Iterator<Item = (TileAt, u64)> {
    let mut rest = size;
    (0_u8..).map_while(move |level| {
        let (index, count) = (rest / WIDTH, rest % WIDTH);
        let more = rest > 0;
        rest = index;
        more.then_some((TileAt { level, index }, count))
    })
}

/// The tile of a level that holds the way to leaf `leaf`.
fn place(level: usize, leaf: u64) -> TileAt {
    let level = u8::try_from(level).unwrap_or(u8::MAX);
    let index = leaf.checked_shr(HEIGHT.saturating_mul(u32::from(level).saturating_add(1))).unwrap_or(0);
    TileAt { level, index }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::merkle::{Tree, consistency_over, inclusion_over, leaf_hash, root_over};
    use proptest::prelude::*;

    fn leaf(number: u64) -> Hash {
        leaf_hash(&number.to_be_bytes())
    }

    /// Grows a store of tiles by batches, reading the edge anew for each, and compares with the tree in memory.
    fn grown(batches: &[u64]) -> (Tree, BTreeMap<TileAt, Tile>) {
        let (mut tree, mut stored) = (Tree::new(), BTreeMap::new());
        for batch in batches {
            let mut edge = Edge::new(tree.size(), &stored).expect("an edge");
            for _ in 0..*batch {
                edge.push(leaf(tree.size()));
                tree.push_hash(leaf(tree.size()));
            }
            assert_eq!((edge.size(), edge.root()), (tree.size(), tree.root()));
            stored.extend(edge.grown());
        }
        (tree, stored)
    }

    fn answered<T>(
        stored: &BTreeMap<TileAt, Tile>,
        make: impl Fn(&Tiles) -> Option<T>,
    ) -> (Option<T>, usize) {
        let mut tiles = Tiles::default();
        loop {
            if let Some(made) = make(&tiles) {
                return (Some(made), tiles.len());
            }
            let missed = tiles.missed().and_then(|at| Some((at, stored.get(&at)?.clone())));
            let Some((at, tile)) = missed else { return (None, tiles.len()) };
            tiles.hold(at, tile);
        }
    }

    #[test]
    fn tiles_fill_and_carry_at_their_edges() {
        // Goal: the carry into higher levels. Method: batches around 256 and 65,536 leaves, of any cut.
        for batches in [&[255, 1, 1][..], &[256, 256], &[65_535, 1, 1], &[70_000], &[0, 1, 0, 511, 3]] {
            let (tree, stored) = grown(batches);
            for level in 0..3_u8 {
                let tiles = stored.keys().filter(|at| at.level == level).count();
                let hashes = tree.size() / WIDTH.pow(u32::from(level));
                assert_eq!(u64::try_from(tiles).expect("few"), hashes.div_ceil(WIDTH), "{batches:?} {level}");
            }
        }
    }

    #[test]
    fn a_proof_over_a_hundred_thousand_leaves_reads_a_handful_of_tiles() {
        // Goal: the cost of a proof does not grow with the journal. Method: count the tiles read for proofs anywhere.
        let (tree, stored) = grown(&[99_000, 1000, 1]);
        for index in [0, 255, 256, 65_535, 65_536, 70_001, 100_000] {
            let (proof, read) = answered(&stored, |tiles| inclusion_over(tiles, index, tree.size()));
            assert_eq!(proof, tree.inclusion(index));
            assert!(read <= 5, "{index}: {read} tiles");
            let (proof, read) = answered(&stored, |tiles| consistency_over(tiles, index, tree.size()));
            assert_eq!(proof, tree.consistency(index));
            assert!(read <= 6, "{index}: {read} tiles");
        }
        assert_eq!(answered(&stored, |tiles| root_over(tiles, tree.size())).0, Some(tree.root()));
        assert_eq!(answered(&stored, |tiles| inclusion_over(tiles, 7, tree.size() + 1)).0, None);
    }

    #[test]
    fn an_edge_with_a_tile_of_another_length_is_none() {
        // Goal: a lost write is not built upon. Method: take a hash away, add one, take the tile away.
        let (_, mut stored) = grown(&[300]);
        let at = Edge::wants(300).next().expect("a tile");
        let whole = stored[&at].clone();
        for tile in [Tile(whole.0[1..].to_vec()), Tile([&whole.0[..], &[[0; 32]]].concat())] {
            stored.insert(at, tile);
            assert_eq!(Edge::new(300, &stored), None);
        }
        stored.remove(&at);
        assert_eq!(Edge::new(300, &stored), None);
    }

    #[test]
    fn a_tile_of_the_first_version_is_read_for_ever() {
        // Goal: stored trees outlive versions. Method: the golden beginning, and what is refused.
        let tile = Tile(Vec::from([[0xab; 32], [0xcd; 32]]));
        let golden = [&[1][..], &[0xab; 32], &[0xcd; 32]].concat();
        assert_eq!(tile.to_body(), golden);
        assert_eq!(Tile::from_body(&golden), Some(tile));
        assert_eq!(Tile::from_body(&golden[..64]), None, "cut off");
        assert_eq!(Tile::from_body(&[&[2][..], &golden[1..]].concat()), None);
        assert_eq!(Tile::from_body(&[&[1][..], &[0; 257 * 32]].concat()), None);
    }

    proptest! {
        #[test]
        fn any_cut_into_batches_is_the_same_tree(batches in proptest::collection::vec(0_u64..700, 1..6), first: u64, index: u64) {
            let (tree, stored) = grown(&batches);
            let size = tree.size();
            let (first, index) = (first % (size + 1), index % (size + 1));
            let proof = answered(&stored, |tiles| consistency_over(tiles, first, size)).0;
            prop_assert_eq!(proof, tree.consistency(first));
            let proof = answered(&stored, |tiles| inclusion_over(tiles, index, size)).0;
            prop_assert_eq!(proof, tree.inclusion(index));
        }

        #[test]
        fn any_bytes_are_a_tile_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = Tile::from_body(&bytes);
        }
    }
}
