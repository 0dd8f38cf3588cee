//! Chunk deltas: which release offers one, where each piece comes from, how requests are drawn together, and walks that
//! begin anywhere.
//!
//! Tests only; see [`super`].

use super::*;
use crate::update::fixture;
use cordon_proto::update::chunks::{self, Entry, Parameters};
use proptest::prelude::*;

/// Bytes of every piece of these images, and of its stored form.
const PIECE: u32 = 5000;
const STORED: u32 = 1000;

fn id(piece: u32) -> Half {
    Half::of(&piece.to_be_bytes())
}

/// An image of these pieces; equal numbers are equal pieces.
fn index(pieces: &[u32]) -> (Vec<u8>, Offer, (Sha256, u64)) {
    let mut known = alloc::collections::BTreeSet::new();
    let entry = |number: &u32| {
        let stored = if known.insert(*number) { STORED } else { 0 };
        Entry { id: id(*number), seal: id(number + 1000), length: PIECE, stored }
    };
    let entries: Vec<_> = pieces.iter().map(entry).collect();
    let length = u64::from(PIECE) * u64::try_from(pieces.len()).expect("few");
    let image = FileRef { length, sha256: Sha256([1; 32]) };
    let stored = u64::from(STORED) * u64::try_from(known.len()).expect("few");
    let store = FileRef { length: stored, sha256: Sha256([2; 32]) };
    let bytes = chunks::write(&Parameters::for_image(length), image, store, &entries);
    let listed = FileRef { length: u64::try_from(bytes.len()).expect("small"), sha256: Sha256::of(&bytes) };
    (bytes, Offer { index: listed, store }, (image.sha256, length))
}

/// The plan of an image where the running slot has these pieces, one after the other.
fn plan(pieces: &[u32], running: &[u32]) -> Plan {
    let (bytes, offer, image) = index(pieces);
    let mut plan = offer.plan(bytes, image).expect("is usable");
    for (place, number) in running.iter().enumerate() {
        plan.found(&id(*number), 5000, 5000 * u64::try_from(place).expect("few"));
    }
    plan
}

/// The sources of a walk from the beginning; one request for all that it brings.
fn walk(plan: &mut Plan) -> Vec<Source> {
    let pieces: Vec<_> = plan.index().pieces().collect();
    let one = |piece: &Placed| {
        let source = plan.source(piece).expect("is somewhere");
        plan.written(piece);
        source
    };
    pieces.iter().map(one).collect()
}

#[test]
fn a_release_offers_a_delta_that_is_small_beside_what_is_still_to_come() {
    // Goal: no index for nothing. Method: both sides of each bound.
    let files = |index: u64| [index, 70].map(|length| FileRef { length, sha256: Sha256([7; 32]) }).to_vec();
    let mut release = fixture::release(42);
    assert_eq!(Offer::of(&release, 0), Ok(None), "there is none");
    release.deltas = files(100);
    release.image.length = 1000;
    assert_eq!(Offer::of(&release, 0).map(|offer| offer.map(|offer| offer.store.length)), Ok(Some(70)));
    assert!(Offer::of(&release, 200).is_ok_and(|offer| offer.is_some()));
    assert_eq!(Offer::of(&release, 201), Err(Unusable::Large), "most of it is there");
    release.deltas = files(limits::DELTA_INDEX_BYTES);
    release.image.length = limits::IMAGE_BYTES;
    assert!(Offer::of(&release, 0).is_ok_and(|offer| offer.is_some()));
    release.deltas = files(limits::DELTA_INDEX_BYTES + 1);
    assert_eq!(Offer::of(&release, 0), Err(Unusable::Large), "more than a device reads");
    release.deltas.truncate(1);
    assert_eq!(Offer::of(&release, 0), Ok(None), "half of one");
}

#[test]
fn an_index_of_another_image_or_store_is_not_used() {
    // Goal: only the signed pair. Method: one fact wrong at a time.
    let (bytes, offer, (sha256, length)) = index(&[1, 2]);
    assert!(offer.plan(bytes.clone(), (sha256, length)).is_ok());
    let refused = |offer: &Offer, image| offer.plan(bytes.clone(), image).err();
    assert_eq!(refused(&offer, (Sha256([9; 32]), length)), Some(Unusable::Other));
    assert_eq!(refused(&offer, (sha256, length + 1)), Some(Unusable::Other));
    let other = Offer { store: FileRef { sha256: Sha256([9; 32]), ..offer.store }, ..offer };
    assert_eq!(refused(&other, (sha256, length)), Some(Unusable::Other));
    assert_eq!(
        offer.plan(b"nonsense".to_vec(), (sha256, length)).err(),
        Some(Unusable::Index(IndexFault::Length))
    );
}

#[test]
fn each_piece_comes_from_where_it_is() {
    // Goal: nothing is fetched that is there. Method: pieces in the running slot, new ones, and repeats of both.
    let mut plan = plan(&[1, 2, 3, 2, 1, 3], &[9, 1]);
    assert_eq!(plan.settle(0), Ok(2000));
    let expected = [
        Source::Running(5000),
        Source::Store,
        Source::Store,
        Source::Written(5000),
        Source::Running(5000),
        Source::Written(10_000),
    ];
    let pieces: Vec<_> = plan.index().pieces().collect();
    assert_eq!(plan.request(&pieces[1]), 1000..3000, "with what comes next");
    assert_eq!(plan.request(&pieces[2]), 2000..3000);
    assert_eq!(walk(&mut plan), expected);
    plan.found(&id(2), 4999, 0);
    assert_eq!(plan.settle(0), Ok(2000), "another length is another piece");
    assert!(
        plan.source(&plan.index().pieces().nth(3).expect("is there")).is_none(),
        "a new try forgets what was written"
    );
}

#[test]
fn what_is_not_where_it_was_is_looked_for_elsewhere() {
    // Goal: a running system that writes to its own slot costs bytes and nothing else. Method: lose a piece, then its
    // repeat, then what was written.
    let mut plan = plan(&[1, 2, 1], &[1, 2]);
    let pieces: Vec<_> = plan.index().pieces().collect();
    let (first, last) = (pieces[0], pieces[2]);
    assert_eq!(plan.source(&last), Some(Source::Running(0)));
    plan.lost(&last);
    assert_eq!(plan.source(&last), Some(Source::Written(0)), "its like was written before it");
    plan.lost(&last);
    assert_eq!(plan.source(&last), None);
    plan.found(&id(1), 5000, 0);
    plan.lost(&first);
    assert_eq!((plan.source(&first), plan.request(&first)), (Some(Source::Store), 0..1000));
}

#[test]
fn requests_are_drawn_together_until_there_are_few_enough() {
    // Goal: a server is not asked more often than it allows. Method: every other piece is new, then one in three.
    let all: Vec<u32> = (0..2000).collect();
    let old: Vec<u32> = all.iter().copied().filter(|number| number % 2 == 1).collect();
    let mut one = plan(&all, &old);
    assert_eq!(
        one.settle(0),
        Ok(1000 * 1000 + 999 * 1000),
        "a gap of one piece is fetched rather than asked around"
    );
    let first = one.index().pieces().next().expect("is there");
    assert_eq!(one.request(&first), 0..1999 * 1000);
    // 2,500 runs with gaps of 2 to 51 pieces: the largest stay gaps.
    let mut all = Vec::new();
    let mut old = Vec::new();
    for run in 0..2500_u32 {
        all.push(run * 1000);
        let between = (run * 1000 + 1..).take(2 + usize::try_from(run % 50).expect("small"));
        old.extend(between.clone());
        all.extend(between);
    }
    let mut many = plan(&all, &old);
    many.settle(0).expect("is worth it");
    let pieces: Vec<_> = many.index().pieces().collect();
    let mut requests = alloc::collections::BTreeSet::new();
    let mut until = 0;
    for piece in pieces {
        if many.source(&piece) == Some(Source::Store) && piece.stored_at >= until {
            let part = many.request(&piece);
            until = part.end;
            requests.insert(part.start);
        }
        many.written(&piece);
    }
    assert!((1900..=limits::DELTA_REQUESTS).contains(&requests.len()), "{}", requests.len());
}

#[test]
fn a_delta_that_saves_nothing_is_left() {
    // Goal: never more than the image. Method: a store as large as the image, and nothing there.
    let (bytes, offer, image) = index(&[1]);
    let mut plan = offer.plan(bytes, image).expect("is usable");
    assert_eq!(plan.settle(0), Ok(1000));
    assert_eq!(plan.settle(4000), Err(Unusable::NoGain), "for the last 1000 bytes");
}

proptest! {
    #[test]
    fn a_walk_from_anywhere_has_a_source_for_every_piece_and_fetches_what_is_new_once(
        pieces in prop::collection::vec(0_u32..60, 1..80),
        running in prop::collection::vec(0_u32..60, 0..40),
        from in 0_u64..400_000,
    ) {
        let mut plan = plan(&pieces, &running);
        let planned = plan.settle(from);
        let mut fetched = 0;
        let (mut until, mut bytes) = (0, 0);
        for piece in plan.index().pieces().collect::<Vec<_>>() {
            if piece.at + 5000 > from {
                let source = plan.source(&piece);
                prop_assert!(source.is_some(), "{piece:?}");
                if source == Some(Source::Store) {
                    let part = plan.request(&piece);
                    prop_assert!(piece.entry.is_stored());
                    prop_assert!(part.start <= piece.stored_at && piece.stored_at + 1000 <= part.end);
                    fetched += 1000;
                    if piece.stored_at >= until {
                        bytes += part.end - part.start;
                        until = part.end;
                    }
                }
            }
            plan.written(&piece);
        }
        prop_assert!(fetched <= bytes);
        if let Ok(planned) = planned {
            prop_assert_eq!(bytes, planned);
        }
    }
}
