//! The Merkle tree of RFC 9162 section 2.1: one root over many leaves, and proofs as short as a logarithm.
//!
//! Two users share it: an order's scope, whose leaf hashes are the hardware identities themselves
//! ([`Tree::push_hash`]), and the audit log, whose leaves are entries ([`Tree::push_data`]). It must never take a
//! node for a leaf (the prefixes 0x00 and 0x01 keep them apart) nor accept a proof that is one hash too long.
//!
//! Read next: [`Tree`] to make proofs in memory, [`Nodes`] to make them from stored hashes, [`Inclusion::proves`] and
//! [`Consistency::proves`] to check them.

use alloc::vec::Vec;
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

/// A SHA-256 digest: of a leaf, a node or a whole tree.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256(0x00 ‖ data).
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

/// The hash of a node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over ready leaf hashes in their order; of none it is SHA-256 of nothing.
#[must_use]
pub fn root(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    leaves.into_iter().collect::<Tree>().root()
}

/// The same root over a list, without a tree in memory.
#[must_use]
pub fn root_of<T>(leaves: &[T], hash: fn(&T) -> Hash) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => hash(leaf),
        many => {
            // The largest power of two below the count (RFC 9162 section 2.1.1).
            let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
            node_hash(&root_of(left, hash), &root_of(right, hash))
        }
    }
}

/// That one leaf stands at one place of a tree (RFC 9162 section 2.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The place of the leaf, from 0.
    pub index: u64,
    /// The leaves of the tree.
    pub size: u64,
    /// The hashes beside the way from the leaf to the root, lowest first.
    pub path: Vec<Hash>,
}

/// That a tree is the beginning of a later one (RFC 9162 section 2.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The leaves of the earlier tree.
    pub first: u64,
    /// The leaves of the later tree.
    pub second: u64,
    /// The hashes from which both roots can be made.
    pub path: Vec<Hash>,
}

impl Inclusion {
    /// Whether the leaf hash stands at `index` of the tree of `size` leaves with this root. The caller compares
    /// `size` with the size it was told by a signature.
    #[must_use]
    pub fn proves(&self, leaf: &Hash, root: &Hash) -> bool {
        self.root_from(leaf).is_some_and(|made| made == *root)
    }

    /// RFC 9162 section 2.1.3.2; nothing when the path has the wrong length for index and size.
    fn root_from(&self, leaf: &Hash) -> Option<Hash> {
        if self.index >= self.size {
            return None;
        }
        let (mut place, mut last, mut made) = (self.index, self.size - 1, *leaf);
        for beside in &self.path {
            if last == 0 {
                return None;
            }
            if place & 1 == 1 || place == last {
                made = node_hash(beside, &made);
                // A right edge without a partner moves up unhashed.
                while place & 1 == 0 && place != 0 {
                    place >>= 1;
                    last >>= 1;
                }
            } else {
                made = node_hash(&made, beside);
            }
            place >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(made)
    }
}

impl Consistency {
    /// Whether the tree with `second_root` begins with the tree with `first_root` (RFC 9162 section 2.1.4.2). An
    /// empty earlier tree is the beginning of every tree: its root must then be that of no leaves.
    #[must_use]
    pub fn proves(&self, first_root: &Hash, second_root: &Hash) -> bool {
        if self.first == 0 {
            return self.path.is_empty() && *first_root == root([]);
        }
        if self.first == self.second {
            return self.path.is_empty() && first_root == second_root;
        }
        self.first < self.second
            && self.roots(first_root).is_some_and(|made| made == (*first_root, *second_root))
    }

    fn roots(&self, first_root: &Hash) -> Option<(Hash, Hash)> {
        let mut path = self.path.iter();
        // A complete earlier tree is itself a node of the later one and therefore left out of the path.
        let start = if self.first.is_power_of_two() { first_root } else { path.next()? };
        let (mut place, mut last) = (self.first - 1, self.second - 1);
        while place & 1 == 1 {
            place >>= 1;
            last >>= 1;
        }
        let (mut earlier, mut later) = (*start, *start);
        for beside in path {
            if last == 0 {
                return None;
            }
            if place & 1 == 1 || place == last {
                earlier = node_hash(beside, &earlier);
                later = node_hash(beside, &later);
                while place & 1 == 0 && place != 0 {
                    place >>= 1;
                    last >>= 1;
                }
            } else {
                later = node_hash(&later, beside);
            }
            place >>= 1;
            last >>= 1;
        }
        (last == 0).then_some((earlier, later))
    }
}

/// A tree that only grows; it answers for every size it ever had, in logarithmic time.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `levels[k][i]` is the hash of the complete subtree over the 2ᵏ leaves from i · 2ᵏ.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The leaves so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| count(leaves.len()))
    }

    /// Adds a leaf of data.
    pub fn push_data(&mut self, data: &[u8]) {
        self.push_hash(leaf_hash(data));
    }

    /// Adds a leaf whose hash is ready.
    pub fn push_hash(&mut self, leaf: Hash) {
        let mut carried = leaf;
        for level in &mut self.levels {
            level.push(carried);
            carried = match level.as_slice() {
                [.., left, right] if level.len() % 2 == 0 => node_hash(left, right),
                _ => return,
            };
        }
        self.levels.push(Vec::from([carried]));
    }

    /// The hash of a leaf; nothing if there is no such leaf.
    #[must_use]
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        self.node(0, index)
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root_at(self.size()).unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// The root when the tree had `size` leaves; nothing if it never had so many.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        root_over(self, size)
    }

    /// The proof that leaf `index` stands in this tree; nothing if there is no such leaf.
    #[must_use]
    pub fn inclusion(&self, index: u64) -> Option<Inclusion> {
        self.inclusion_at(index, self.size())
    }

    /// The proof that leaf `index` stood in the tree when it had `size` leaves.
    #[must_use]
    pub fn inclusion_at(&self, index: u64, size: u64) -> Option<Inclusion> {
        inclusion_over(self, index, size)
    }

    /// The proof that this tree began with its first `first` leaves; nothing if it has fewer.
    #[must_use]
    pub fn consistency(&self, first: u64) -> Option<Consistency> {
        consistency_over(self, first, self.size())
    }
}

impl Nodes for Tree {
    fn node(&self, level: u32, place: u64) -> Option<Hash> {
        let level = self.levels.get(usize::try_from(level).ok()?)?;
        level.get(usize::try_from(place).ok()?).copied()
    }
}

/// Where the hashes of complete subtrees are kept: in memory ([`Tree`]), or piece by piece in a store.
pub trait Nodes {
    /// The hash of the complete subtree over the 2^`level` leaves from `place` · 2^`level`; nothing if it is not here.
    fn node(&self, level: u32, place: u64) -> Option<Hash>;
}

/// The root over the first `size` leaves; nothing if a hash that it needs is not there.
#[must_use]
pub fn root_over(nodes: &impl Nodes, size: u64) -> Option<Hash> {
    if size == 0 { Some(Sha256::digest([]).into()) } else { subtree(nodes, 0, size) }
}

/// The proof that leaf `index` stands in the tree of the first `size` leaves; nothing if there is no such leaf, or a
/// hash that it needs is not there.
#[must_use]
pub fn inclusion_over(nodes: &impl Nodes, index: u64, size: u64) -> Option<Inclusion> {
    if index >= size {
        return None;
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    // A leaf that is alone in its tree has no way to the root, and must be there all the same.
    nodes.node(0, index).map(|_| Inclusion { index, size, path })
}

/// The proof that the tree of `second` leaves began with its first `first` leaves; nothing if `first` is more, or a
/// hash that it needs is not there.
#[must_use]
pub fn consistency_over(nodes: &impl Nodes, first: u64, second: u64) -> Option<Consistency> {
    if first > second {
        return None;
    }
    let mut path = Vec::new();
    if first > 0 && first < second {
        let (mut start, mut end) = (0, second);
        // Down to the subtree that ends where the earlier tree ended.
        while end != first {
            let middle = start + split(end - start);
            if first <= middle {
                path.push(subtree(nodes, middle, end)?);
                end = middle;
            } else {
                path.push(subtree(nodes, start, middle)?);
                start = middle;
            }
        }
        if start > 0 {
            path.push(subtree(nodes, start, end)?);
        }
        path.reverse();
    }
    Some(Consistency { first, second, path })
}

/// The hash over the leaves from `start` to before `end`, where `start` is a multiple of a power of two that is not
/// smaller than the range: the only ranges that occur in a tree.
fn subtree(nodes: &impl Nodes, start: u64, end: u64) -> Option<Hash> {
    let length = end.checked_sub(start).filter(|length| *length > 0)?;
    if length.is_power_of_two() {
        return nodes.node(length.trailing_zeros(), start / length);
    }
    let middle = start + split(length);
    Some(node_hash(&subtree(nodes, start, middle)?, &subtree(nodes, middle, end)?))
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.push_hash(leaf);
        }
        tree
    }
}

/// The largest power of two that is smaller than `length` (at least 2).
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("lengths have at most 64 bits")
}
