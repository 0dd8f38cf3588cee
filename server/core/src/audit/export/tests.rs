//! The check of an export: whatever is edited, dropped, moved, cut off or signed anew is named.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;

use cordon_proto::merkle::leaf_hash;
use cordon_proto::time::Timestamp;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

use super::super::seal;
use super::super::tile::{Edge, WIDTH};
use super::*;
use crate::audit::{Actor, Entry};

fn entry(sequence: u64, word: &str) -> Vec<u8> {
    let object = format!("device:{word}").parse().expect("text");
    let entry = Entry::new("device.quarantine".parse().expect("name"), object);
    let actor = Actor::Server("tests".parse().expect("name"));
    Recorded { sequence, at: Timestamp(5), actor, entry }.to_bytes()
}

/// A journal as its server exports it: lines without their ends.
#[derive(Clone)]
struct Export {
    entries: Vec<Vec<u8>>,
    hashes: Vec<Vec<u8>>,
    heads: Vec<SignedHead>,
}

impl Export {
    /// Seals `sizes` one after the other.
    fn of(sizes: &[u64], seed: u8, word: impl Fn(u64) -> &'static str) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let last = sizes.last().copied().unwrap_or(0);
        let entries: Vec<Vec<u8>> = (1..=last).map(|n| entry(n, word(n))).collect();
        let (mut edge, mut heads, mut leaves) = (Edge::default(), Vec::new(), Vec::new());
        for (sequence, bytes) in (1..).zip(&entries) {
            seal::extend(&mut edge, [(sequence, bytes.as_slice())]).expect("in order");
            leaves.push(leaf_hash(bytes));
            if sizes.contains(&sequence) {
                let at = Timestamp(i64::try_from(sequence).expect("small"));
                let head = seal::head(&edge, key.verifying_key().to_bytes(), at);
                let signature = key.sign(&head.signed_bytes()).to_bytes();
                heads.push(SignedHead::new(head, signature).expect("signed"));
            }
        }
        let width = usize::try_from(WIDTH).expect("small");
        let hashes =
            (0_u64..).zip(leaves.chunks(width)).map(|(n, hashes)| hashes_line(n * WIDTH + 1, hashes));
        Self { entries, hashes: hashes.collect(), heads }
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        let heads = self.heads.iter().map(SignedHead::to_bytes);
        self.entries.iter().cloned().chain(self.hashes.iter().cloned()).chain(heads).collect()
    }

    fn check(&self, kept: &[SignedHead]) -> Result<Verified, Tampering> {
        check(&self.lines(), kept)
    }
}

fn check(lines: &[Vec<u8>], kept: &[SignedHead]) -> Result<Verified, Tampering> {
    let mut examination = Examination::default();
    for line in lines {
        examination.line(line.trim_ascii_end());
    }
    examination.finish(kept, None)
}

fn usual(_: u64) -> &'static str {
    "usual"
}

fn export() -> Export {
    Export::of(&[100, 101, 250, 300], 1, usual)
}

#[test]
fn an_untouched_export_is_verified_against_any_head_that_was_kept() {
    // Goal: no false alarm. Method: each of its heads as the kept one, all of them, and the log's key beside it.
    let export = export();
    for head in &export.heads {
        let verified = export.check(core::slice::from_ref(head)).expect("whole");
        assert_eq!((verified.entries, verified.head.size(), verified.heads), (300, 300, 5));
    }
    assert!(export.check(&export.heads).is_ok());
    let mut bare = export.clone();
    (bare.hashes, bare.heads) = (vec![], vec![]);
    assert!(bare.check(&export.heads[3..]).is_ok(), "the entries alone lead to the kept head");
    let log = export.heads[0].head().log;
    assert!(matches!(
        Examination::default().finish(&export.heads, Some([9; 32])),
        Err(Tampering::OtherLog { .. })
    ));
    assert_eq!(
        Examination::default().finish(&export.heads, Some(log)),
        Err(Tampering::Truncated { sequence: 1, size: 300 })
    );
}

#[test]
fn an_edited_entry_is_named_by_its_hash_else_by_its_batch() {
    // Goal: the very entry, or the batch of one second. Method: edit one; then its sealed hash too; then drop the hashes.
    let whole = export();
    let kept = &whole.heads[..1];
    let mut export = whole.clone();
    export.entries[119] = entry(120, "other");
    assert_eq!(export.check(kept), Err(Tampering::Changed { sequence: 120 }));
    let leaves: Vec<Hash> = export.entries.iter().map(|bytes| leaf_hash(bytes)).collect();
    export.hashes = vec![hashes_line(1, &leaves)];
    let stretch = Tampering::ChangedWithin { first: 102, last: 250 };
    assert_eq!(export.check(kept), Err(stretch.clone()), "the edited hashes lead to no signed root");
    export.hashes.clear();
    assert_eq!(export.check(kept), Err(stretch));
    export.entries[100] = entry(101, "other");
    assert_eq!(export.check(kept), Err(Tampering::ChangedWithin { first: 101, last: 101 }));
    assert_eq!(Tampering::Changed { sequence: 7 }.entries(), Some((7, 7)));
}

#[test]
fn a_rewritten_log_with_new_heads_is_held_to_the_kept_head() {
    // Goal: whoever holds the key cannot change the past. Method: another history under the same key, against heads of
    // the first; another key; heads kept from both sides of the change.
    let first = export();
    let second = Export::of(&[100, 101, 250, 300], 1, |n| if n == 120 { "other" } else { "usual" });
    let rewritten = |first, last| Err(Tampering::Rewritten { first, last });
    assert_eq!(second.check(&first.heads[2..3]), rewritten(1, 250));
    assert_eq!(second.check(&first.heads[..3]), rewritten(102, 250), "two kept heads narrow it");
    assert!(second.check(&first.heads[..1]).is_ok(), "what came after the kept head is not held by it");
    let foreign = Export::of(&[100, 300], 2, usual);
    let found = foreign.check(&first.heads[..1]);
    assert!(matches!(found, Err(Tampering::OtherKey { line: 303, size: 100, .. })), "{found:?}");
    let mixed = [first.heads[0].clone(), foreign.heads[0].clone()];
    assert!(matches!(first.check(&mixed), Err(Tampering::OtherLog { .. })));
}

#[test]
fn what_is_cut_off_or_added_at_the_end_is_named() {
    // Goal: the end counts too. Method: cut entries; cut entries and heads; cut heads alone; add an entry.
    let whole = export();
    let truncated = |sequence, size| Err(Tampering::Truncated { sequence, size });
    let mut export = whole.clone();
    export.entries.truncate(270);
    assert_eq!(export.check(&whole.heads[..1]), truncated(271, 300));
    export.heads.truncate(2);
    export.entries.truncate(101);
    assert_eq!(export.check(&whole.heads[2..3]), truncated(102, 250));
    assert!(export.check(&whole.heads[..1]).is_ok(), "an older export is whole too");
    let mut export = whole.clone();
    export.heads.truncate(3);
    assert_eq!(export.check(&whole.heads[..1]), Err(Tampering::Unsealed { sequence: 251 }));
    let mut export = whole.clone();
    export.entries.push(entry(301, "usual"));
    assert_eq!(export.check(&whole.heads[..1]), Err(Tampering::Unsealed { sequence: 301 }));
}

#[test]
fn a_changed_head_and_an_entry_that_the_server_could_not_read_are_named() {
    // Goal: no line is believed. Method: a flipped digit in a head; the server's own word that an entry is gone.
    let export = export();
    let mut lines = export.lines();
    let last = lines.len() - 1;
    lines[last] = String::from_utf8(lines[last].clone())
        .expect("text")
        .replace("size\":300", "size\":299")
        .into_bytes();
    let found = check(&lines, &export.heads[..1]);
    assert!(matches!(found, Err(Tampering::Head { line: 306, .. })), "{found:?}");
    let mut lines = export.lines();
    lines[41] = unreadable_line(42);
    assert_eq!(check(&lines, &export.heads[..1]), Err(Tampering::Unreadable { sequence: 42, line: 42 }));
}

/// What may be done to an export.
#[derive(Clone, Debug)]
enum Act {
    Edit,
    Flip(prop::sample::Index),
    Renumber(u64),
    Drop,
    Swap(prop::sample::Index),
    Repeat(prop::sample::Index),
    Truncate,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Edit),
        any::<prop::sample::Index>().prop_map(Act::Flip),
        (1_u64..400).prop_map(Act::Renumber),
        Just(Act::Drop),
        any::<prop::sample::Index>().prop_map(Act::Swap),
        any::<prop::sample::Index>().prop_map(Act::Repeat),
        Just(Act::Truncate),
    ]
}

/// Does it to the entry at `at`; gives the first entry that is no longer in its place, if any.
fn tamper(entries: &mut Vec<Vec<u8>>, at: usize, act: &Act) -> Option<u64> {
    let place = |at: usize| u64::try_from(at).expect("small") + 1;
    match act {
        Act::Edit => entries[at] = entry(place(at), "other"),
        Act::Flip(bit) => {
            let bit = bit.index(entries[at].len() * 8);
            entries[at][bit / 8] ^= 1 << (bit % 8);
        }
        Act::Renumber(sequence) if *sequence == place(at) => return None,
        Act::Renumber(sequence) => entries[at] = entry(*sequence, "usual"),
        Act::Drop => drop(entries.remove(at)),
        Act::Swap(other) => {
            let other = other.index(entries.len());
            if at == other {
                return None;
            }
            entries.swap(at, other);
            return Some(place(at.min(other)));
        }
        Act::Repeat(other) => {
            let again = entries[other.index(at + 1)].clone();
            entries.insert(at + 1, again);
            return Some(place(at + 1));
        }
        Act::Truncate => entries.truncate(at),
    }
    Some(place(at))
}

proptest! {
    #[test]
    fn whatever_is_done_to_an_entry_names_that_entry(
        sizes in proptest::collection::btree_set(1_u64..320, 1..5), chosen: prop::sample::Index, act in acts(), head: prop::sample::Index
    ) {
        // Goal: edit, drop, move, repeat or cut off any entry: it is named. Method: every kind of act at any place,
        // against any head that was kept, with the sealed hashes whole.
        let sizes: Vec<u64> = sizes.into_iter().collect();
        let mut export = Export::of(&sizes, 1, usual);
        let kept = [export.heads[head.index(export.heads.len())].clone()];
        let at = chosen.index(export.entries.len());
        match tamper(&mut export.entries, at, &act) {
            None => prop_assert!(export.check(&kept).is_ok()),
            Some(first) => {
                let named = export.check(&kept).expect_err("tampered");
                prop_assert_eq!(named.entries().map(|(first, _)| first), Some(first), "{:?}: {}", act, named);
            }
        }
    }

    #[test]
    fn without_the_sealed_hashes_the_batch_is_named(chosen in 0_usize..300, bit: prop::sample::Index) {
        // Goal: an attacker who edits the hashes too is held by the heads. Method: edit one entry, no hashes.
        let mut export = export();
        let kept = [export.heads[0].clone()];
        export.hashes.clear();
        let bit = bit.index(export.entries[chosen].len() * 8);
        export.entries[chosen][bit / 8] ^= 1 << (bit % 8);
        let sequence = u64::try_from(chosen).expect("small") + 1;
        let (first, last) = export.check(&kept).expect_err("tampered").entries().expect("entries");
        prop_assert!((first..=last).contains(&sequence));
        prop_assert!([100, 1, 149, 50].contains(&(last - first + 1)) || first == last);
    }

    #[test]
    fn any_lines_are_an_export_or_refused_without_a_panic(noise: Vec<Vec<u8>>, kept in 0_usize..4) {
        // Goal: the check can be fed anything. Method: noise behind every beginning that it knows.
        let export = export();
        let mut lines = noise;
        for (line, begin) in lines.iter_mut().zip([&b"{\"sig\":"[..], b"{\"_type\":", b"{\"action\":"].into_iter().cycle()) {
            line.splice(0..0, begin.iter().copied());
        }
        prop_assert!(check(&lines, &export.heads[kept..=kept]).is_err());
        let hashes: BTreeMap<usize, Vec<u8>> = lines.into_iter().enumerate().collect();
        let mut mixed = export.lines();
        for (at, line) in hashes {
            mixed.insert(at * 3, line);
        }
        let _ = check(&mixed, &export.heads[kept..=kept]);
    }
}
