//! Chunk indexes: the fixed layout both ways, every refusal by name, finding a piece, and bytes that were never an index.
//!
//! Tests only; see [`super`].

use super::*;
use alloc::vec;
use proptest::prelude::*;

const GOLDEN: &str = include_str!("../../../golden/v1/chunk-index.hex");

fn golden() -> Vec<u8> {
    let digits: Vec<char> = GOLDEN.chars().filter(char::is_ascii_hexdigit).collect();
    let byte =
        |pair: &[char]| pair.iter().fold(0, |byte, digit| byte * 16 + digit.to_digit(16).expect("hex"));
    digits.chunks(2).map(|pair| u8::try_from(byte(pair)).expect("two digits")).collect()
}

fn file(bytes: &[u8]) -> FileRef {
    FileRef { length: u64::try_from(bytes.len()).expect("small"), sha256: Sha256::of(bytes) }
}

fn entry(piece: &[u8], stored: &[u8]) -> Entry {
    let seal = if stored.is_empty() { Half([0; 16]) } else { Half::of(stored) };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
    Entry { id: Half::of(piece), seal, length: length(piece), stored: length(stored) }
}

fn entries() -> Vec<Entry> {
    vec![entry(b"one", b"ON"), entry(b"two two", b"two two"), entry(b"one", b"")]
}

fn sample(parameters: &Parameters, entries: &[Entry]) -> Vec<u8> {
    write(parameters, file(b"onetwo twoone"), file(b"ONtwo two"), entries)
}

fn usual() -> Parameters {
    Parameters::for_image(13)
}

#[test]
fn an_index_of_the_first_version_is_read_and_written_in_one_form() {
    // Goal: the fixed layout. Method: golden bytes both ways, and every field of them.
    assert_eq!(sample(&usual(), &entries()), golden());
    let index = Index::read(golden()).expect("is an index");
    assert_eq!((index.parameters, index.count()), (usual(), 3));
    assert_eq!((index.image, index.store), (file(b"onetwo twoone"), file(b"ONtwo two")));
    let placed: Vec<_> = index.pieces().map(|piece| (piece.number, piece.at, piece.stored_at)).collect();
    assert_eq!(placed, [(0, 0, 0), (1, 3, 2), (2, 10, 9)]);
    assert_eq!(index.pieces().map(|piece| piece.entry).collect::<Vec<_>>(), entries());
    assert!(entries()[1].is_plain() && !entries()[0].is_plain() && !entries()[2].is_stored());
    assert_eq!(index.find(&Half::of(b"one")), Some(0), "the first of equal ones");
    assert_eq!(index.find(&Half::of(b"two two")), Some(1));
    assert_eq!(index.find(&Half::of(b"three")), None);
}

#[test]
fn what_is_no_index_is_refused_by_its_name() {
    // Goal: every bound. Method: one thing wrong at a time.
    let refused = |entries: &[Entry]| Index::read(sample(&usual(), entries)).expect_err("is refused");
    let bent = |change: fn(&mut [Entry])| {
        let mut entries = entries();
        change(&mut entries);
        refused(&entries)
    };
    assert_eq!(bent(|entries| entries[0].length = 0), IndexFault::Piece { number: 0 });
    assert_eq!(bent(|entries| entries[1].length = 131_073), IndexFault::Piece { number: 1 });
    assert_eq!(bent(|entries| entries[0].stored = 4), IndexFault::Piece { number: 0 }, "more than the piece");
    assert_eq!(bent(|entries| entries[0].length = 4), IndexFault::Sum);
    assert_eq!(bent(|entries| entries[1].stored = 6), IndexFault::Sum);
    assert_eq!(bent(|entries| entries.swap(0, 2)), IndexFault::Piece { number: 0 }, "never stored before");
    assert_eq!(
        bent(|entries| entries[2].id = Half::of(b"two two")),
        IndexFault::Piece { number: 2 },
        "another length"
    );
    let twice = [entry(b"one", b"ON"), entry(b"two two", b"two t"), entry(b"one", b"tw")];
    assert_eq!(refused(&twice), IndexFault::Piece { number: 2 }, "stored twice");
    assert_eq!(refused(&[]), IndexFault::Count);
    let odd = |change: fn(&mut Parameters)| {
        let mut parameters = usual();
        change(&mut parameters);
        Index::read(sample(&parameters, &entries())).expect_err("is refused")
    };
    let wrong: [fn(&mut Parameters); 7] = [
        |bounds| bounds.least = 1022,
        |bounds| bounds.least = 4097,
        |bounds| bounds.least = bounds.average + 2,
        |bounds| bounds.average = bounds.most + 2,
        |bounds| bounds.average = limits::DELTA_MOST_BYTES / 8 + 2,
        |bounds| bounds.most = limits::DELTA_MOST_BYTES + 2,
        |bounds| bounds.context = limits::DELTA_CONTEXT_BYTES + 1,
    ];
    wrong.iter().for_each(|change| assert_eq!(odd(*change), IndexFault::Parameters));
    let mut other = golden();
    other[14] = b'2';
    assert_eq!(Index::read(other), Err(IndexFault::Form), "a later form");
    let mut endless = golden();
    endless[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Index::read(endless), Err(IndexFault::Count));
    let mut longer = golden();
    longer.push(0);
    assert_eq!(Index::read(longer), Err(IndexFault::Length));
    for length in 0..golden().len() {
        assert_eq!(Index::read(golden()[..length].to_vec()), Err(IndexFault::Length), "{length}");
    }
}

#[test]
fn an_image_of_any_length_has_no_more_pieces_than_a_device_keeps_in_mind() {
    // Goal: bounded memory. Method: the largest image, with pieces of half the wanted size.
    for length in [1, 1 << 20, 1 << 31, 1 << 32, limits::IMAGE_BYTES] {
        let parameters = Parameters::for_image(length);
        assert!(parameters.is_usable(), "{length}: {parameters:?}");
        assert!(length / u64::from(parameters.average) <= 1 << 16, "{length}: {parameters:?}");
    }
    let most = HEAD_BYTES + limits::DELTA_CHUNKS * ENTRY_BYTES;
    assert!(u64::try_from(most).expect("small") <= limits::DELTA_INDEX_BYTES);
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_every_piece_is_found(pieces in prop::collection::vec(0_u8..40, 1..120)) {
        let mut known = alloc::collections::BTreeSet::new();
        let bytes = |number: u8| vec![number; usize::from(number) + 1];
        let entries: Vec<Entry> = pieces.iter().map(|number| {
            let first = known.insert(*number);
            entry(&bytes(*number), if first { b"x" } else { b"" })
        }).collect();
        let image: Vec<u8> = pieces.iter().flat_map(|number| bytes(*number)).collect();
        let written = write(&usual(), file(&image), file(&vec![b'x'; known.len()]), &entries);
        let index = Index::read(written).expect("is an index");
        prop_assert_eq!(index.pieces().map(|piece| piece.entry).collect::<Vec<_>>(), entries);
        for piece in index.pieces() {
            let number = pieces[piece.number];
            let first = pieces.iter().position(|other| *other == number);
            prop_assert_eq!(index.find(&piece.entry.id), first);
            let at = usize::try_from(piece.at).expect("small");
            prop_assert_eq!(image[at], number);
            let next: Vec<_> = index.pieces_after(Some(&piece)).take(1).collect();
            prop_assert_eq!(next, index.pieces().skip(piece.number + 1).take(1).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>, place in 0_usize..1000, byte: u8) {
        let _ = Index::read(bytes);
        let mut bent = golden();
        let place = place % bent.len();
        bent[place] = byte;
        let _ = Index::read(bent);
    }
}
