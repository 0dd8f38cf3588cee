//! What the sealer decides: whether the journal still extends what was sealed, and which head comes next.
//!
//! A batch is built on the kept hashes of the batches before, never on the entries themselves, and only after those
//! hashes were found to lead to the last signed root. So an entry that is edited later cannot be signed over: the tree
//! keeps its old hash, and [`same`] names the entry. On any [`Fault`] the sealer stops. Read next: `export`, the check
//! that people make elsewhere.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cordon_proto::audit::{Head, SignedHead};
use cordon_proto::merkle::{Hash, leaf_hash};
use cordon_proto::time::Timestamp;

use super::Recorded;
use super::tile::{Edge, Tile, TileAt};

/// Seconds for which every head is kept; of older ones the last of each hour stays.
const EVERY_HEAD_S: i64 = 3600;
const HOUR_S: i64 = 3600;

/// What is wrong with the stored journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry is gone, or was never given a place.
    #[error("entry {0} of the audit journal is missing")]
    Missing(u64),
    /// What is stored under a sequence is not the entry of that sequence.
    #[error("what stands in the place of entry {0} of the audit journal is not that entry")]
    Unreadable(u64),
    /// An entry has another hash than when it was sealed.
    #[error("entry {0} of the audit journal was changed after it was sealed")]
    Changed(u64),
    /// The last signed head cannot be believed.
    #[error("the signed head of {0} audit entries is not what the sealer wrote")]
    Head(u64),
    /// The kept hashes are not those of the last head.
    #[error("the kept hashes of the first {0} audit entries do not lead to their signed head")]
    Tiles(u64),
    /// Another server's key sealed this journal, or the key was lost.
    #[error(
        "the audit journal is sealed with another key than this server's: copy audit.key.pem from the server that \
         sealed it, or restore it from a backup"
    )]
    OtherKey,
}

impl Fault {
    /// The entry that it is about, if it is one.
    #[must_use]
    pub fn entry(&self) -> Option<u64> {
        match self {
            Self::Missing(sequence) | Self::Unreadable(sequence) | Self::Changed(sequence) => Some(*sequence),
            Self::Head(_) | Self::Tiles(_) | Self::OtherKey => None,
        }
    }
}

/// The edge on which the next batch may be built: the kept hashes, if they lead to the last head, and that head is of
/// our own key.
pub fn begin(
    last: Option<&SignedHead>,
    log: &[u8; 32],
    tiles: &BTreeMap<TileAt, Tile>,
) -> Result<Edge, Fault> {
    let Some(last) = last else { return Ok(Edge::default()) };
    if last.head().log != *log {
        return Err(Fault::OtherKey);
    }
    let edge = Edge::new(last.size(), tiles).filter(|edge| edge.root() == last.head().root);
    edge.ok_or(Fault::Tiles(last.size()))
}

/// Adds the stored entries that follow the edge, in the order of their sequence, without gaps.
pub fn extend<'a>(edge: &mut Edge, entries: impl IntoIterator<Item = (u64, &'a [u8])>) -> Result<(), Fault> {
    for (sequence, bytes) in entries {
        let wanted = edge.size().saturating_add(1);
        if sequence != wanted {
            return Err(Fault::Missing(wanted));
        }
        if Recorded::from_bytes(bytes).map(|recorded| recorded.sequence) != Ok(sequence) {
            return Err(Fault::Unreadable(sequence));
        }
        edge.push(leaf_hash(bytes));
    }
    Ok(())
}

/// The head over an edge, to be signed.
#[must_use]
pub fn head(edge: &Edge, log: [u8; 32], at: Timestamp) -> Head {
    Head { log, size: edge.size(), root: edge.root(), at }
}

/// Whether stored entries still have the hashes with which they were sealed. `first` is the sequence of the first hash.
pub fn same(first: u64, sealed: &[Hash], stored: &BTreeMap<u64, Vec<u8>>) -> Result<(), Fault> {
    for (sequence, hash) in (first..).zip(sealed) {
        let bytes = stored.get(&sequence).ok_or(Fault::Missing(sequence))?;
        if leaf_hash(bytes) != *hash {
            return Err(Fault::Changed(sequence));
        }
    }
    Ok(())
}

/// The heads, by size, that need not be kept: all are kept for an hour, of older ones the last of each hour. The
/// newest always stays. A head that somebody took away proves as much as before: it carries its own signature.
#[must_use]
pub fn superfluous(heads: &[(u64, Timestamp)], now: Timestamp) -> Vec<u64> {
    let hour = |at: Timestamp| at.0.div_euclid(HOUR_S);
    let pairs = heads.iter().zip(heads.iter().skip(1));
    let old = pairs
        .filter(|((_, at), (_, next))| now.seconds_since(*at) > EVERY_HEAD_S && hour(*at) == hour(*next));
    old.map(|((size, _), _)| *size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, Entry};
    use alloc::vec;
    use ed25519_dalek::{Signer, SigningKey};

    fn entry(sequence: u64) -> Vec<u8> {
        let object = "device:x".parse().expect("text");
        let entry = Entry::new("device.quarantine".parse().expect("name"), object);
        let actor = Actor::Server("tests".parse().expect("name"));
        Recorded { sequence, at: Timestamp(5), actor, entry }.to_bytes()
    }

    fn signed(edge: &Edge, seed: u8) -> SignedHead {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let head = head(edge, key.verifying_key().to_bytes(), Timestamp(9));
        SignedHead::new(head, key.sign(&head.signed_bytes()).to_bytes()).expect("signed")
    }

    fn sealed(count: u64) -> (Edge, BTreeMap<TileAt, Tile>) {
        let entries: Vec<(u64, Vec<u8>)> = (1..=count).map(|n| (n, entry(n))).collect();
        let mut edge = Edge::default();
        extend(&mut edge, entries.iter().map(|(n, bytes)| (*n, bytes.as_slice()))).expect("in order");
        let tiles = edge.grown();
        (edge, tiles)
    }

    #[test]
    fn a_batch_is_built_only_on_hashes_that_lead_to_the_last_head_of_our_own_key() {
        // Goal: never sign over a damaged tree. Method: the whole tree, a changed hash, a lost tile, another's head.
        let (edge, mut tiles) = sealed(300);
        let last = signed(&edge, 1);
        let log = last.head().log;
        assert_eq!(begin(None, &log, &tiles), Ok(Edge::default()));
        assert_eq!(begin(Some(&last), &log, &tiles).map(|edge| edge.root()), Ok(last.head().root));
        assert_eq!(begin(Some(&signed(&edge, 2)), &log, &tiles), Err(Fault::OtherKey));
        let at = TileAt { level: 0, index: 1 };
        let mut body = tiles[&at].to_body();
        body[5] ^= 1;
        tiles.insert(at, Tile::from_body(&body).expect("a tile"));
        assert_eq!(begin(Some(&last), &log, &tiles), Err(Fault::Tiles(300)));
        tiles.remove(&at);
        assert_eq!(begin(Some(&last), &log, &tiles), Err(Fault::Tiles(300)));
    }

    #[test]
    fn entries_that_do_not_follow_without_a_gap_stop_the_sealer() {
        // Goal: the tree has the journal's order. Method: a gap, a repetition, a foreign entry, noise in its place.
        let one = entry(301);
        let two = entry(302);
        let noise = b"noise".to_vec();
        for (entries, fault) in [
            (vec![(301, &one), (303, &two)], Fault::Missing(302)),
            (vec![(301, &one), (301, &one)], Fault::Missing(302)),
            (vec![(300, &one)], Fault::Missing(301)),
            (vec![(301, &two)], Fault::Unreadable(301)),
            (vec![(301, &one), (302, &noise)], Fault::Unreadable(302)),
        ] {
            let (mut edge, _) = sealed(300);
            let entries = entries.into_iter().map(|(sequence, bytes)| (sequence, bytes.as_slice()));
            assert_eq!(extend(&mut edge, entries), Err(fault));
        }
    }

    #[test]
    fn a_stored_entry_with_another_hash_is_named() {
        // Goal: the server itself names what was edited. Method: all alike, one edited, one removed.
        let (_, tiles) = sealed(10);
        let hashes = tiles[&TileAt { level: 0, index: 0 }].hashes();
        let mut stored: BTreeMap<u64, Vec<u8>> = (1..=10).map(|n| (n, entry(n))).collect();
        assert_eq!(same(1, hashes, &stored), Ok(()));
        stored.insert(7, entry(8));
        assert_eq!(same(1, hashes, &stored), Err(Fault::Changed(7)));
        stored.remove(&4);
        assert_eq!(same(1, hashes, &stored), Err(Fault::Missing(4)));
        assert_eq!(Fault::Missing(4).entry(), Some(4));
    }

    #[test]
    fn of_old_heads_the_last_of_each_hour_stays() {
        // Goal: heads of years stay few. Method: heads of three hours, seen from the third.
        let heads: Vec<(u64, Timestamp)> =
            [(1, 10), (2, 20), (3, 3590), (4, 3600), (5, 7199), (6, 7300), (7, 7301)]
                .map(|(size, at)| (size, Timestamp(at)))
                .into();
        assert_eq!(superfluous(&heads, Timestamp(7301)), vec![1, 2, 4]);
        assert_eq!(superfluous(&heads, Timestamp(1_000_000)), vec![1, 2, 4, 6]);
        assert!(superfluous(&heads[..1], Timestamp(1_000_000)).is_empty());
    }
}
