//! Contents: the fixed layout both ways, what is refused, every bound on both sides, and the order of a decision.
//!
//! Tests only; see [`super`].

use super::*;
use crate::ids::{Hardware, HardwareId, Sha256};
use crate::time::Timestamp;
use crate::update::decide::Device;
use crate::update::decide::tests::{NOW, set};
use crate::update::release::Listed;
use crate::update::scope::{Scope, ScopeMiss};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::prelude::*;

const GOLDEN: &str = include_str!("../../../golden/v1/content.json");
const GOLDEN_ASSIGNMENT: &str = include_str!("../../../golden/v1/content-assignment.json");
const END: Timestamp = Timestamp(NOW.0 + 80 * 86_400);

fn text(value: &str) -> Text {
    value.parse().expect("a text")
}

fn sample() -> Content {
    Content {
        id: "icu-quiet".parse().expect("a name"),
        version: 3,
        model: text("VP-3"),
        settings: Settings { checkin_s: Some(600) },
        detectors: Detectors { beacon_starts: Some(12), beacon_score: Some(850), wide_networks: None },
        windows: Some(vec![Window::new(0b001_1111, 22 * 60, 5 * 60).expect("a window")]),
    }
}

fn bytes_of(content: &Content) -> Vec<u8> {
    content.value().canonical()
}

fn read(text: &str) -> Result<Content, ContentError> {
    Content::read(text.trim().as_bytes())
}

fn changed(from: &str, to: &str) -> Result<Content, ContentError> {
    assert!(GOLDEN.contains(from), "{from}");
    read(&GOLDEN.replacen(from, to, 1))
}

#[test]
fn a_content_of_the_first_version_is_read_and_written_in_one_form() {
    // Goal: the fixed layout. Method: golden text both ways; all of it left to the device.
    assert_eq!(read(GOLDEN), Ok(sample()));
    assert_eq!(String::from_utf8(bytes_of(&sample())).expect("UTF-8"), GOLDEN.trim());
    let bare =
        Content { settings: Settings::default(), detectors: Detectors::default(), windows: None, ..sample() };
    assert_eq!(Content::read(&bytes_of(&bare)), Ok(bare));
    let never = Content { windows: Some(vec![]), ..sample() };
    assert_eq!(Content::read(&bytes_of(&never)), Ok(never), "never is not the same as no word");
}

/// Every map of a document, by the path of keys that leads to it.
fn maps(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Map(map) => {
            found.push(path.clone());
            for (key, inner) in map {
                path.push(key.clone());
                maps(inner, path, found);
                path.pop();
            }
        }
        Value::List(items) => items.iter().enumerate().for_each(|(at, inner)| {
            path.push(at.to_string());
            maps(inner, path, found);
            path.pop();
        }),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Text(_) => {}
    }
}

fn map_at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut crate::canonical::Map {
    let inner = path.iter().fold(value, |value, key| match value {
        Value::Map(map) => map.get_mut(key).expect("the key"),
        Value::List(items) => items.get_mut(key.parse::<usize>().expect("a place")).expect("an item"),
        _ => panic!("no way down"),
    });
    let Value::Map(map) = inner else { panic!("a map") };
    map
}

#[test]
fn crowdstrike_2024_07_19_a_field_defined_and_not_given_or_given_and_not_defined_is_refused() {
    // Goal: on 19 July 2024 a template defined 21 fields, the content gave 20, and the reader read past the end on
    // 8.5 million machines. Method: in every map of the document, however deep, each field taken away in turn, and one
    // more given; each time the whole document is refused and the field is named.
    let whole = Value::parse(GOLDEN.trim().as_bytes(), limits::CONTENT_BYTES).expect("JSON");
    let mut places = Vec::new();
    maps(&whole, &mut Vec::new(), &mut places);
    let mut fields = 0;
    for place in &places {
        let keys: Vec<String> = map_at(&mut whole.clone(), place).keys().cloned().collect();
        for key in &keys {
            fields += 1;
            let mut fewer = whole.clone();
            map_at(&mut fewer, place).remove(key);
            let error = Content::read(&fewer.canonical()).expect_err(key);
            assert!(error.to_string().contains(key.as_str()), "{place:?} {key}: {error}");
        }
        let mut more = whole.clone();
        map_at(&mut more, place).insert("twenty_first".to_owned(), Value::Null);
        let error = Content::read(&more.canonical()).expect_err("one more");
        assert!(error.to_string().contains("twenty_first"), "{place:?}: {error}");
    }
    let defined = FIELDS.len() + SETTINGS.len() + DETECTORS.len() + BEACON.len() + ALLOW_LIST.len();
    assert_eq!(fields, defined + 3, "all that is defined, and the three of the one window");
}

#[test]
fn every_number_is_refused_one_beyond_either_end_of_its_bounds() {
    // Goal: no content silences a device or a detector. Method: both ends, one beyond each, and other kinds.
    for (field, given, [least, most]) in [
        ("checkin_s", 600, limits::CONTENT_CHECKIN_S),
        ("starts", 12, limits::CONTENT_BEACON_STARTS),
        ("score", 850, limits::CONTENT_BEACON_SCORE),
    ] {
        let from = format!("\"{field}\":{given}");
        let with = |number: &str| changed(&from, &format!("\"{field}\":{number}"));
        assert!(with(&least.to_string()).is_ok() && with(&most.to_string()).is_ok(), "{field}");
        for wrong in [(least - 1).to_string(), (most + 1).to_string(), "-1".into(), "4294967896".into()] {
            let error = with(&wrong).expect_err(&wrong);
            assert!(error.to_string().contains(field), "{error}");
        }
        assert!(with("\"600\"").is_err() && with("true").is_err() && with("null").is_ok(), "{field}");
    }
    let [least, most] = limits::CONTENT_WIDE_NETWORKS;
    let networks = |number: u32| changed("\"networks\":null", &format!("\"networks\":{number}"));
    assert!(networks(least).is_ok() && networks(most).is_ok());
    assert!(networks(least - 1).is_err() && networks(most + 1).is_err());
    assert!(changed("\"version\":3", "\"version\":0").is_err());
}

#[test]
fn what_a_content_may_not_touch_has_no_field_and_a_long_or_odd_document_is_refused() {
    // Goal: no root, floor, interlock or server address by content. Method: each as a field; then length and form.
    for field in ["root", "floor", "interlock", "server", "image_root", "permit_s", "slots"] {
        let error = changed("\"v\":1", &format!("\"{field}\":null,\"v\":1")).expect_err(field);
        assert!(error.to_string().contains(field), "{error}");
    }
    assert_eq!(changed("\"v\":1", "\"v\":2"), Err(ContentError::Field(Unreadable::Version(2))));
    let long = format!("{}{}", GOLDEN.trim(), " ".repeat(limits::CONTENT_BYTES));
    assert_eq!(Content::read(long.as_bytes()), Err(ContentError::TooLong));
    assert!(matches!(changed("\"v\":1", "\"v\":1,\"v\":1"), Err(ContentError::Json(_))), "a key twice");
    assert!(changed("\"v\":1", "\"v\":1.0").is_err());
}

fn assignment() -> Assignment {
    let bytes = bytes_of(&sample());
    Assignment {
        id: "icu-quiet".parse().expect("a name"),
        length: u64::try_from(bytes.len()).expect("small"),
        sha256: Sha256::of(&bytes),
        scope: set().0,
        version: 3,
        issued: NOW.plus_seconds(-3600),
        expires: NOW.plus_seconds(86_400),
        reason: text("Fewer calls at night"),
    }
}

fn read_assignment(path: &str, custom: &str, document_expires: Timestamp) -> Result<Assignment, Unreadable> {
    let custom = Value::parse(custom.trim().as_bytes(), 65_536).expect("JSON");
    let path = path.parse().expect("a path");
    let Assignment { length, sha256, .. } = assignment();
    Assignment::read(Listed { path: &path, length, sha256, custom: &custom }, document_expires)
}

#[test]
fn an_assignment_is_read_and_written_in_one_form_and_never_outlives_its_document() {
    // Goal: the fixed layout and its times. Method: golden text both ways, each field missing, the exact second.
    assert_eq!(read_assignment("content/icu-quiet", GOLDEN_ASSIGNMENT, END), Ok(assignment()));
    let written = String::from_utf8(assignment().custom().canonical()).expect("UTF-8");
    assert_eq!(written, GOLDEN_ASSIGNMENT.trim());
    let Value::Map(fields) = assignment().custom() else { panic!("a map") };
    for name in fields.keys() {
        let mut fewer = fields.clone();
        fewer.remove(name);
        let fewer = String::from_utf8(Value::Map(fewer).canonical()).expect("UTF-8");
        assert!(read_assignment("content/icu-quiet", &fewer, END).is_err(), "without {name}");
    }
    let end = assignment().expires;
    assert!(read_assignment("content/icu-quiet", GOLDEN_ASSIGNMENT, end).is_ok());
    assert!(read_assignment("content/icu-quiet", GOLDEN_ASSIGNMENT, end.plus_seconds(-1)).is_err());
    for path in ["order/icu-quiet", "content/a/b"] {
        assert!(read_assignment(path, GOLDEN_ASSIGNMENT, END).is_err(), "{path}");
    }
    let firmware = GOLDEN_ASSIGNMENT.replace("\"kind\":\"content\"", "\"kind\":\"firmware\"");
    assert!(read_assignment("content/icu-quiet", &firmware, END).is_err());
}

fn ask(
    assignment: Option<Result<Assignment, Unreadable>>,
    (identity, model): (HardwareId, &str),
    newest: u64,
    now: Timestamp,
) -> Result<Taken, ContentRefusal> {
    let (model, revision, id) = (text(model), text("C"), "icu-quiet".parse().expect("a name"));
    let device = Device {
        identity,
        model: &model,
        revision: &revision,
        counter: 41,
        sha256: Sha256([1; 32]),
        floor: 40,
        confirmed: None,
        given_up: &[],
    };
    let proof = set().1.iter().find(|(leaf, _)| *leaf == identity).map(|(_, proof)| proof.clone());
    let (assignment, proof) = (assignment.as_ref(), proof.as_ref());
    let case = ContentCase { id: &id, assignment, proof, device: &device, newest };
    admit(&decide_content(&case, now)?, bytes_of(&sample()))
}

#[test]
fn a_device_takes_what_is_listed_fresh_its_own_and_newer_and_nothing_else() {
    // Goal: each check, with the edges of time and version. Method: one thing wrong at a time.
    let here = set().1[1].0;
    let ok = |assignment| Some(Ok(assignment));
    let taken = ask(ok(assignment()), (here, "VP-3"), 2, NOW).expect("is taken");
    assert_eq!(taken.content, sample());
    let code = |case: Result<Taken, ContentRefusal>| case.expect_err("refused").code();
    assert_eq!(code(ask(None, (here, "VP-3"), 2, NOW)), "content-not-listed");
    assert_eq!(code(ask(Some(Err(Unreadable::Version(2))), (here, "VP-3"), 2, NOW)), "content-unreadable");
    assert_eq!(code(ask(ok(assignment()), (here, "VP-3"), 2, assignment().expires)), "content-expired");
    let early = assignment().issued.plus_seconds(-1);
    assert_eq!(code(ask(ok(assignment()), (here, "VP-3"), 2, early)), "content-not-yet");
    let stranger =
        Hardware { manufacturer: text("H"), model: text("M"), revision: text("C"), serial: text("9") };
    let elsewhere = ask(ok(assignment()), (stranger.identity(), "VP-3"), 2, NOW);
    assert_eq!(elsewhere, Err(ContentRefusal::NotInScope(ScopeMiss::NoProof)));
    assert_eq!(code(ask(ok(assignment()), (here, "VP-3"), 3, NOW)), "content-not-newer");
    assert_eq!(code(ask(ok(assignment()), (here, "VP-3"), 4, NOW)), "content-not-newer");
    let bytes = Assignment { sha256: Sha256([7; 32]), ..assignment() };
    assert_eq!(code(ask(ok(bytes), (here, "VP-3"), 2, NOW)), "content-other-bytes");
    let length = Assignment { length: assignment().length + 1, ..assignment() };
    assert_eq!(code(ask(ok(length), (here, "VP-3"), 2, NOW)), "content-other-bytes");
    let version = Assignment { version: 4, ..assignment() };
    assert_eq!(code(ask(ok(version), (here, "VP-3"), 2, NOW)), "content-other-name");
    assert_eq!(code(ask(ok(assignment()), (here, "VP-4"), 2, NOW)), "content-other-model");
    let other = Assignment { id: "other".parse().expect("a name"), ..assignment() };
    assert_eq!(code(ask(ok(other), (here, "VP-3"), 2, NOW)), "content-not-listed");
}

#[test]
fn a_content_that_is_signed_and_yet_no_good_is_refused_for_good() {
    // Goal: two signatures do not make a bad document applicable. Method: the hash of a document with one field fewer.
    let mut map = sample().value();
    if let Value::Map(map) = &mut map {
        map.remove("windows");
    }
    let bytes = map.canonical();
    let bad = Assignment {
        length: u64::try_from(bytes.len()).expect("small"),
        sha256: Sha256::of(&bytes),
        ..assignment()
    };
    let model = text("VP-3");
    let refusal = admit(&Admitted { assignment: &bad, model: &model }, bytes).expect_err("refused");
    assert_eq!((refusal.code(), refusal.is_final()), ("content-unfit", true));
    assert!(refusal.blocked().sentence.as_str().contains("windows"), "{refusal}");
    assert!(!ContentRefusal::OtherBytes.is_final(), "bytes that a network bent may come right");
}

#[test]
fn a_document_lists_contents_alone_and_not_too_many() {
    // Goal: the document as a whole. Method: a foreign target; the last one that fits and one more.
    let custom = assignment().custom();
    let listed = |path| {
        let Assignment { length, sha256, .. } = assignment();
        Listed { path, length, sha256, custom: &custom }
    };
    let paths: Vec<_> =
        (0..=limits::CONTENTS).map(|n| format!("content/c{n}").parse().expect("a path")).collect();
    assert_eq!(read_document(paths.iter().map(listed), END), Err(DocumentError::TooMany));
    let most = read_document(paths.iter().take(limits::CONTENTS).map(listed), END).expect("fits");
    assert_eq!(most.len(), limits::CONTENTS);
    let order = "order/1".parse().expect("a path");
    assert!(matches!(read_document([listed(&order)], END), Err(DocumentError::Foreign(_))));
}

fn any_window() -> impl Strategy<Value = Window> {
    (1_u8..0x80, 0_u16..1440, 1_u16..1440)
        .prop_filter_map("a window", |(days, from, to)| Window::new(days, from, to))
}

fn any_number([least, most]: [u32; 2]) -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(least..=most)
}

prop_compose! {
    fn any_content()(
        version in 1_u64..,
        checkin_s in any_number(limits::CONTENT_CHECKIN_S),
        beacon_starts in any_number(limits::CONTENT_BEACON_STARTS),
        beacon_score in any_number(limits::CONTENT_BEACON_SCORE),
        wide_networks in any_number(limits::CONTENT_WIDE_NETWORKS),
        windows in proptest::option::of(proptest::collection::vec(any_window(), 0..limits::WINDOWS)),
    ) -> Content {
        let detectors = Detectors { beacon_starts, beacon_score, wide_networks };
        Content { version, settings: Settings { checkin_s }, detectors, windows, ..sample() }
    }
}

proptest! {
    #[test]
    fn every_content_within_its_bounds_reads_back_as_it_was_written(content in any_content()) {
        prop_assert_eq!(Content::read(&bytes_of(&content)), Ok(content));
    }

    #[test]
    fn a_bent_byte_is_refused_or_leaves_a_content_within_its_bounds(
        content in any_content(), at in 0_usize..2000, flip in 1_u8..,
    ) {
        let mut bytes = bytes_of(&content);
        let length = bytes.len();
        if let Some(byte) = bytes.get_mut(at % length) { *byte ^= flip; }
        if let Ok(read) = Content::read(&bytes) {
            let within = |number: Option<u32>, [least, most]: [u32; 2]| number.is_none_or(|n| (least..=most).contains(&n));
            prop_assert!(within(read.settings.checkin_s, limits::CONTENT_CHECKIN_S));
            prop_assert!(within(read.detectors.beacon_starts, limits::CONTENT_BEACON_STARTS));
            prop_assert!(within(read.detectors.beacon_score, limits::CONTENT_BEACON_SCORE));
            prop_assert!(within(read.detectors.wide_networks, limits::CONTENT_WIDE_NETWORKS));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Content::read(&bytes);
    }

    #[test]
    fn no_version_is_taken_that_is_not_above_all_taken_before(newest in 0_u64..9, version in 1_u64..9) {
        let listed = Assignment { version, ..assignment() };
        let taken = ask(Some(Ok(listed)), (set().1[0].0, "VP-3"), newest, NOW);
        let older = matches!(taken, Err(ContentRefusal::NotNewer { .. }));
        prop_assert_eq!(older, version <= newest);
    }

    #[test]
    fn a_device_outside_the_scope_takes_nothing(counter in 0_u64..9, least in 0_u64..9, most in 0_u64..9) {
        let scope = Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: least, from_most: most };
        let listed: Result<Assignment, Unreadable> = Ok(Assignment { scope, ..assignment() });
        let (model, revision, id) = (text("VP-3"), text("C"), "icu-quiet".parse().expect("a name"));
        let device = Device {
            identity: set().1[0].0, model: &model, revision: &revision, counter,
            sha256: Sha256([1; 32]), floor: 0, confirmed: None, given_up: &[],
        };
        let case = ContentCase { id: &id, assignment: Some(&listed), proof: None, device: &device, newest: 0 };
        let inside = least <= counter && counter <= most;
        prop_assert_eq!(decide_content(&case, NOW).is_ok(), inside);
    }
}
