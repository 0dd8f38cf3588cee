//! Releases: the fixed layout both ways, and what is refused by name.
//!
//! Tests only; see [`super`].

use super::*;
use crate::update::decide::tests::{image, release as sample};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

const GOLDEN: &str = r#"{"confirm":"checkin","counter":42,"deltas":[{"length":9,"sha256":"0505050505050505050505050505050505050505050505050505050505050505"}],"floor":40,"hardware":["B","C"],"interlock":"application","min_from":40,"model":"VP-3","mud":null,"needs":"service","recall":"security","sbom":{"length":7,"sha256":"0404040404040404040404040404040404040404040404040404040404040404"},"support":{"security":"2030-01-01T00:00:00Z"},"v":1,"vex":null}"#;

fn golden() -> Release {
    let support = [("security".parse().expect("a name"), Timestamp(1_893_456_000))];
    Release {
        needs: Needs::Service,
        recall: Recall::Security,
        support: support.into_iter().collect(),
        sbom: Some(FileRef { length: 7, sha256: Sha256([4; 32]) }),
        deltas: vec![FileRef { length: 9, sha256: Sha256([5; 32]) }],
        ..sample(image("vp-3/4.2.2", 42), 42)
    }
}

fn read(custom: &str) -> Result<Release, Unreadable> {
    let custom = Value::parse(custom.as_bytes(), 65_536).expect("JSON");
    let image = image("vp-3/4.2.2", 42);
    let listed = Listed { path: &image.release, length: image.length, sha256: image.sha256, custom: &custom };
    Release::read(listed)
}

fn changed(from: &str, to: &str) -> Result<Release, Unreadable> {
    assert!(GOLDEN.contains(from), "{from}");
    read(&GOLDEN.replace(from, to))
}

#[test]
fn a_release_of_the_first_version_is_read_and_written_in_one_form() {
    // Goal: the fixed layout. Method: golden text both ways; absent optional files are as null.
    assert_eq!(read(GOLDEN), Ok(golden()));
    assert_eq!(golden().custom().canonical(), GOLDEN.as_bytes());
    let bare = changed(r#""mud":null,"#, "").expect("reads");
    assert_eq!(bare.mud, None);
    assert_eq!(
        changed(r#""v":1,"#, r#""v":1,"later":{"any":[1]},"#),
        Ok(golden()),
        "unknown fields are tolerated"
    );
}

#[test]
fn notes_are_for_people_and_change_nothing_for_a_device() {
    // Goal: notes are signed with the release, and older agents read it as before. Method: with and without, both ways;
    // a statement whose notes are no file.
    let notes_file = FileRef { length: 3, sha256: Sha256([6; 32]) };
    let with = with_notes(golden().custom(), Some(notes_file));
    let text = String::from_utf8(with.canonical()).expect("UTF-8");
    assert!(text.contains(&format!(r#""notes":{{"length":3,"sha256":"{}"}}"#, Sha256([6; 32]))), "{text}");
    assert_eq!(read(&text), Ok(golden()));
    assert_eq!(notes(&with), Ok(Some(notes_file)));
    assert_eq!(
        (notes(&golden().custom()), with_notes(golden().custom(), None)),
        (Ok(None), golden().custom())
    );
    assert!(notes(&Value::object([("notes", Value::from("read me"))])).is_err());
}

#[test]
fn an_unknown_version_or_word_is_refused_by_name() {
    // Goal: no guess at words of later versions. Method: each closed list once.
    assert_eq!(changed(r#""v":1"#, r#""v":2"#), Err(Unreadable::Version(2)));
    for (field, word) in
        [("interlock", "application"), ("confirm", "checkin"), ("recall", "security"), ("needs", "service")]
    {
        let result = changed(&format!(r#""{field}":"{word}""#), &format!(r#""{field}":"maybe""#));
        let found = "maybe".parse().expect("a text");
        assert_eq!(result, Err(Unreadable::Word { field, found }));
        assert!(
            changed(&format!(r#""{field}":"{word}""#), &format!(r#""other":"{word}""#)).is_err(),
            "{field} missing"
        );
    }
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    // Goal: a release that would close itself, or never fits, does not exist. Method: one contradiction each.
    for (from, to) in [
        (r#""floor":40"#, r#""floor":43"#),
        (r#""min_from":40"#, r#""min_from":42"#),
        (r#""counter":42"#, r#""counter":0"#),
        (r#""counter":42"#, r#""counter":-1"#),
        (r#""hardware":["B","C"]"#, r#""hardware":[]"#),
        (r#""hardware":["B","C"]"#, r#""hardware":[""]"#),
        (r#""hardware":["B","C"]"#, r#""hardware":"C""#),
        (r#""length":7"#, r#""length":0"#),
        (r#""length":7"#, r#""length":17179869185"#),
        (r#""security":"2030"#, r#""Security":"2030"#),
        (r#"2030-01-01T00:00:00Z"#, r#"2030-01-01"#),
        ("0404", "04"),
    ] {
        assert!(changed(from, to).is_err(), "{to}");
    }
    assert!(changed(r#""floor":40"#, r#""floor":42"#).is_ok(), "a floor at the release itself is allowed");
    let many = format!(r#""hardware":["{}"]"#, vec!["C"; limits::RELEASE_HARDWARE + 1].join(r#"",""#));
    assert!(changed(r#""hardware":["B","C"]"#, &many).is_err());
}

#[test]
fn an_image_of_no_bytes_or_beyond_the_limit_is_refused() {
    // Goal: bounds of the image itself. Method: both ends.
    let custom = golden().custom();
    let image = image("vp-3/4.2.2", 42);
    let with = |length| {
        Release::read(Listed { path: &image.release, length, sha256: image.sha256, custom: &custom })
    };
    assert!(with(0).is_err() && with(limits::IMAGE_BYTES + 1).is_err());
    for length in [1, (1 << 31) + 1, (1 << 32) + 1, limits::IMAGE_BYTES] {
        assert_eq!(with(length).map(|release| release.image.length), Ok(length));
    }
}

#[test]
fn stricter_interlock_classes_compare_as_greater() {
    // Goal: `max` of two classes is the stricter one. Method: the whole order.
    let order =
        [InterlockClass::None, InterlockClass::Idle, InterlockClass::Person, InterlockClass::Application];
    assert!(order.is_sorted());
}

proptest! {
    #[test]
    fn any_release_reads_back(counter in 1_u64.., floor in any::<u64>(), min_from in any::<u64>(), interlock in 0..4_usize) {
        let classes = [InterlockClass::None, InterlockClass::Idle, InterlockClass::Person, InterlockClass::Application];
        let interlock = classes[interlock];
        let release = Release { counter, floor: floor % counter, min_from: min_from % counter, interlock, ..golden() };
        let text = String::from_utf8(release.custom().canonical()).expect("UTF-8");
        prop_assert_eq!(read(&text), Ok(release));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(at in 0..600_usize, byte in any::<u8>(), cut in 0..600_usize) {
        let mut bytes = GOLDEN.as_bytes().to_vec();
        let place = at % bytes.len();
        bytes[place] = byte;
        if cut < 300 { bytes.truncate(cut); }
        if let Ok(custom) = Value::parse(&bytes, 65_536) {
            let image = image("vp-3/4.2.2", 42);
            let _ = Release::read(Listed { path: &image.release, length: 1, sha256: image.sha256, custom: &custom });
        }
    }
}
