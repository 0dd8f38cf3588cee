//! Bundles: the fixed layout both ways, every refusal by name, and bytes that were never a bundle.
//!
//! Tests only; see [`super`].

use super::*;
use crate::update::key::Ed25519Strict;
use crate::update::testing::{NOW, authority, signed_by};
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::prelude::*;

const GOLDEN: &str = include_str!("../../../golden/v1/bundle.json");
const PEOPLE: [u8; 3] = [41, 42, 43];

fn listed(bytes: &[u8]) -> Listed {
    Listed { length: u64::try_from(bytes.len()).expect("small"), sha256: Sha256::of(bytes) }
}

fn path(text: &str) -> TargetPath {
    text.parse().expect("a path")
}

fn sample() -> Bundle {
    let files = [("install/0187", &b""[..]), ("director/timestamp.json", b"{}"), ("targets/00", b"image")];
    Bundle {
        director: Sha256([7; 32]),
        counter: 12,
        issued: NOW.plus_seconds(-SECONDS_A_DAY),
        expires: NOW.plus_seconds(SECONDS_A_DAY),
        files: files.into_iter().map(|(name, bytes)| (path(name), listed(bytes))).collect(),
    }
}

fn against() -> Against {
    Against { director: Sha256([7; 32]), kept: Kept { counter: 11, digest: None }, now: NOW }
}

fn open(bundle: &Bundle, seeds: &[u8], against: &Against) -> Result<(Bundle, Kept), BundleFault> {
    let bytes = signed_by(&bundle.value(), seeds);
    Bundle::open(&bytes, (&authority(&PEOPLE, 2), &Ed25519Strict), against)
}

fn read(text: &str) -> Result<Bundle, BundleFault> {
    Bundle::claim(alloc::format!(r#"{{"signatures":[],"signed":{text}}}"#).as_bytes())
}

#[test]
fn an_index_of_the_first_version_is_read_and_written_in_one_form() {
    // Goal: the fixed layout. Method: golden text both ways.
    assert_eq!(read(GOLDEN.trim()), Ok(sample()));
    assert_eq!(String::from_utf8(sample().value().canonical()).expect("UTF-8"), GOLDEN.trim());
}

#[test]
fn a_bundle_that_enough_people_signed_is_opened_and_no_other() {
    // Goal: the threshold of orders. Method: two of three, one, one twice over, strangers, the wrong document.
    let (bundle, kept) = open(&sample(), &[41, 43], &against()).expect("is opened");
    assert_eq!((bundle, kept.counter), (sample(), 12));
    for seeds in [&[41][..], &[], &[41, 61], &[61, 62]] {
        assert!(matches!(open(&sample(), seeds, &against()), Err(BundleFault::Index(_))), "{seeds:?}");
    }
    let people = authority(&PEOPLE, 2);
    let targets = crate::update::author::targets(&crate::update::testing::empty_targets(NOW));
    let other = Bundle::open(&signed_by(&targets, &[41, 42]), (&people, &Ed25519Strict), &against());
    assert!(matches!(other, Err(BundleFault::Unreadable(_))), "a signed document of another kind");
}

#[test]
fn each_end_of_a_bundles_life_is_exact_to_the_second() {
    // Goal: expiry and clock. Method: the seconds beside each end.
    let at = |now| open(&sample(), &[41, 42], &Against { now, ..against() }).map(drop);
    let Bundle { issued, expires, .. } = sample();
    assert_eq!(at(issued), Ok(()));
    assert_eq!(at(issued.plus_seconds(-1)), Err(BundleFault::ClockBefore { issued }));
    assert_eq!(at(expires.plus_seconds(-1)), Ok(()));
    assert_eq!(at(expires), Err(BundleFault::Expired { expires }));
    let longest = limits::BUNDLE_DAYS * SECONDS_A_DAY;
    for (life, fits) in [(0, false), (-5, false), (1, true), (longest, true), (longest + 1, false)] {
        let bundle = Bundle { expires: issued.plus_seconds(life), ..sample() };
        let now = issued;
        assert_eq!(open(&bundle, &[41, 42], &Against { now, ..against() }).is_ok(), fits, "{life}");
    }
}

#[test]
fn an_older_stick_and_another_one_with_the_same_counter_are_refused() {
    // Goal: no replay, and a cut installation goes on. Method: counters around the kept one, the very same bundle.
    let kept = |counter, digest| Against { kept: Kept { counter, digest }, ..against() };
    let (_, mine) = open(&sample(), &[41, 42], &against()).expect("is opened");
    assert!(open(&sample(), &[42, 43], &kept(12, mine.digest)).is_ok(), "the same one, whoever signed it");
    let other = Some(Sha256([1; 32]));
    for digest in [None, other] {
        let refused = open(&sample(), &[41, 42], &kept(12, digest)).map(drop);
        assert_eq!(refused, Err(BundleFault::SameCounter { counter: 12 }));
    }
    let replayed = Err(BundleFault::Replayed { counter: 12, kept: 13 });
    assert_eq!(open(&sample(), &[41, 42], &kept(13, mine.digest)).map(drop), replayed);
}

#[test]
fn another_owners_bundle_is_refused() {
    // Goal: whose it is. Method: a root that is not the one trusted here.
    let against = Against { director: Sha256([8; 32]), ..against() };
    assert_eq!(open(&sample(), &[41, 42], &against).map(drop), Err(BundleFault::OtherDirector));
}

#[test]
fn paths_that_climb_doubled_ones_and_unknown_fields_are_refused() {
    // Goal: nothing outside the folder, nothing read two ways, no restriction skipped. Method: one novelty each.
    let changed = |from: &str, to: &str| {
        assert!(GOLDEN.contains(from), "{from}");
        read(&GOLDEN.replace(from, to))
    };
    for climbing in ["../x", "director/../x", "/etc/x", "a//b", ".hidden", "A/b", "a\\\\b", "c:/x", ""] {
        let told = changed("targets/00", climbing);
        assert!(matches!(told, Err(BundleFault::Unreadable(_))), "{climbing}");
    }
    for (from, to) in [
        ("director/timestamp.json", "targets/00"),
        ("install/0187", "stall/0187"),
        (r#""v":1"#, r#""v":2"#),
        (r#""v":1"#, r#""only":"icu","v":1"#),
        (r#""counter":12"#, r#""counter":0"#),
        (r#""_type":"bundle""#, r#""_type":"targets""#),
        (r#""length":5"#, r#""length":17179869185"#),
        (r#""length":5"#, r#""length":-5"#),
    ] {
        assert!(matches!(changed(from, to), Err(BundleFault::Unreadable(_))), "{to}");
    }
    assert!(changed(r#""length":5"#, r#""length":4294967296"#).is_ok(), "beyond 4 GiB");
    let long = alloc::format!(r#"{{"signatures":[],"signed":{GOLDEN}}}{}"#, " ".repeat(limits::BUNDLE_BYTES));
    assert!(matches!(Bundle::claim(long.as_bytes()), Err(BundleFault::Index(Fault::TooLong { .. }))));
}

#[test]
fn the_files_and_acts_of_a_bundle_are_bounded() {
    // Goal: bounds. Method: one beyond each.
    let with = |count: usize, folder: &str| {
        let more = (0..count).map(|number| (path(&alloc::format!("{folder}/{number}")), listed(b"x")));
        let mut bundle = sample();
        bundle.files.extend(more);
        Bundle::claim(&signed_by(&bundle.value(), &[]))
    };
    let spare = limits::BUNDLE_FILES - 3;
    assert!(with(spare, "image/m").is_ok());
    assert!(with(spare + 1, "image/m").is_err());
    let offers = with(limits::BUNDLE_OFFERS - 1, "back").expect("fits").offers().count();
    assert_eq!(offers, limits::BUNDLE_OFFERS);
    assert!(with(limits::BUNDLE_OFFERS, "back").is_err());
}

#[test]
fn a_file_is_what_was_listed_or_is_named() {
    // Goal: flips and cuts are seen. Method: every bit of a small file, one byte less, one more.
    let bytes = b"an image".to_vec();
    let file = listed(&bytes);
    assert_eq!(check("x", &file, &bytes), Ok(()));
    for bit in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(check("x", &file, &bent), Err(BundleFault::Differs { .. })));
    }
    for other in [&bytes[1..], b"an image."] {
        assert!(matches!(check("x", &file, other), Err(BundleFault::Length { listed: 8, .. })));
    }
}

#[test]
fn a_device_proves_itself_from_the_list_and_a_stranger_does_not() {
    // Goal: the proof of a set. Method: each device of lists of many sizes; a stranger; a cut list.
    for count in 1_u8..=33 {
        let devices: Vec<_> = (0..count).map(|number| HardwareId([number; 32])).collect();
        let root = crate::merkle::root(devices.iter().map(|device| device.0));
        let list = list_of(&devices);
        for device in &devices {
            let ScopeProof { index, hashes } = proof_from(&list, device).expect("is listed");
            let path = hashes.iter().map(|hash| hash.0).collect();
            let inclusion = crate::merkle::Inclusion { index, size: count.into(), path };
            assert!(inclusion.proves(&device.0, &root));
        }
        assert_eq!(proof_from(&list, &HardwareId([200; 32])), None);
        assert_eq!(proof_from(&list[..list.len() - 1], &devices[usize::from(count) - 1]), None);
        assert_eq!(proof_from(&[&list[..], b"x"].concat(), &devices[0]), None);
    }
    assert_eq!(proof_from(b"", &HardwareId([0; 32])), None);
}

#[test]
fn every_refusal_has_its_own_word_and_a_sentence_that_fits() {
    // Goal: named refusals. Method: all of them side by side.
    let text = crate::ids::Text::lossy("targets/0123456789abcdef");
    let order: Name = "0187".parse().expect("a name");
    let (issued, expires) = (NOW, NOW);
    let all = vec![
        BundleFault::Index(Fault::Threshold { valid: 1, needed: 2 }),
        BundleFault::Unreadable(Unreadable::Version(2)),
        BundleFault::OtherDirector,
        BundleFault::ClockBefore { issued },
        BundleFault::Expired { expires },
        BundleFault::Replayed { counter: 1, kept: 2 },
        BundleFault::SameCounter { counter: 1 },
        BundleFault::Missing { path: text.clone() },
        BundleFault::Length { path: text.clone(), listed: 1 },
        BundleFault::Differs { path: text.clone() },
        BundleFault::NotAFile { path: text.clone() },
        BundleFault::Foreign { path: text.clone() },
        BundleFault::Disk { cause: text },
        BundleFault::NeedsPermit { order: order.clone() },
        BundleFault::NeedsServer { order },
    ];
    let codes: alloc::collections::BTreeSet<_> = all.iter().map(BundleFault::code).collect();
    assert_eq!(codes.len(), all.len());
    for fault in &all {
        let blocked = fault.blocked();
        assert!(blocked.sentence.as_str().ends_with('.'), "{fault}");
        assert_eq!(blocked.sentence.as_str(), fault.to_string());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        // Goal: a closed parser. Method: anything, and anything inside an envelope.
        let _ = Bundle::claim(&bytes);
        let _ = read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_is_written_is_read_and_any_flipped_byte_is_not_opened(
        counter in 1..u64::MAX,
        life in 1..=limits::BUNDLE_DAYS * SECONDS_A_DAY,
        names in prop::collection::btree_map("[a-z0-9]{1,8}(/[a-z0-9._-]{1,4}z){0,2}", any::<u64>(), 0..20),
        flip in any::<(prop::sample::Index, u8)>(),
    ) {
        // Goal: one meaning, covered whole by the signatures. Method: made-up bundles there and back; one byte bent.
        let mut bundle = Bundle { counter, ..sample() };
        bundle.expires = bundle.issued.plus_seconds(life);
        for (name, length) in names {
            if let Ok(path) = name.parse() {
                let length = length % limits::IMAGE_BYTES;
                bundle.files.entry(path).or_insert(Listed { length, sha256: Sha256([counter.to_le_bytes()[0]; 32]) });
            }
        }
        let bytes = signed_by(&bundle.value(), &[41, 42]);
        prop_assert_eq!(Bundle::claim(&bytes), Ok(bundle.clone()));
        let against = Against { now: bundle.issued, kept: Kept { counter: 0, digest: None }, ..against() };
        let people = (&authority(&PEOPLE, 2), &Ed25519Strict as &dyn Verifier);
        prop_assert!(Bundle::open(&bytes, people, &against).is_ok());
        let mut bent = bytes.clone();
        let (at, mask) = (flip.0.index(bent.len()), flip.1 | 1);
        bent[at] ^= mask;
        if let Ok((opened, _)) = Bundle::open(&bent, people, &against) {
            prop_assert_eq!(opened, bundle, "a byte of no meaning, such as the case of a digit");
        }
    }
}
