//! Orders: the fixed layout both ways, what is refused, and what a person is kept from signing.
//!
//! Tests only; see [`super`].

use super::*;
use crate::ids::Sha256;
use crate::update::decide::tests::{NOW, image, order as sample, release};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

const END: Timestamp = Timestamp(NOW.0 + 80 * 86_400);
const GOLDEN: &str = include_str!("../../../golden/v1/order.json");

fn read_at(path: &str, custom: &str, document_expires: Timestamp) -> Result<Order, Unreadable> {
    let custom = Value::parse(custom.as_bytes(), 65_536).expect("JSON");
    let path = path.parse().expect("a path");
    let listed = Listed { path: &path, length: 4096, sha256: Sha256([42; 32]), custom: &custom };
    Order::read(listed, document_expires)
}

fn read(custom: &str) -> Result<Order, Unreadable> {
    read_at("order/0187", custom, END)
}

fn changed(from: &str, to: &str) -> Result<Order, Unreadable> {
    assert!(GOLDEN.contains(from), "{from}");
    read(&GOLDEN.replace(from, to))
}

#[test]
fn an_order_of_the_first_version_is_read_and_written_in_one_form() {
    // Goal: the fixed layout. Method: golden text both ways, each kind of scope.
    assert_eq!(read(GOLDEN.trim()), Ok(sample()));
    assert_eq!(String::from_utf8(sample().custom().canonical()).expect("UTF-8"), GOLDEN.trim());
    assert_eq!(sample().path().as_str(), "order/0187");
    let facts = Scope::Match {
        model: "VP-3".parse().expect("a text"),
        hardware: "C".parse().expect("a text"),
        from_least: 40,
        from_most: 41,
    };
    let offline = Order { scope: facts, back: None, permit_s: None, windows: vec![], ..sample() };
    let text = String::from_utf8(offline.custom().canonical()).expect("UTF-8");
    assert!(text.contains(r#""scope":{"match":{"from":[40,41],"hardware":"C","model":"VP-3"}}"#), "{text}");
    assert!(text.contains(r#""back":null"#) && text.contains(r#""permit_s":null"#), "{text}");
    assert_eq!(read(&text), Ok(offline));
}

#[test]
fn what_is_missing_is_never_taken_for_permission() {
    // Goal: a dropped field must not mean "offline" or "no limit". Method: drop each field in turn.
    let Value::Map(fields) = Value::parse(GOLDEN.as_bytes(), 65_536).expect("JSON") else { panic!("a map") };
    for name in fields.keys() {
        let mut fewer = fields.clone();
        fewer.remove(name);
        let text = String::from_utf8(Value::Map(fewer).canonical()).expect("UTF-8");
        assert!(read(&text).is_err(), "without {name}");
    }
    assert!(changed(r#""v":1"#, r#""later":7,"v":1"#).is_ok(), "unknown fields are tolerated");
}

#[test]
fn unknown_versions_kinds_and_restrictions_are_refused() {
    // Goal: no guess, and no restriction skipped. Method: one novelty each.
    assert_eq!(changed(r#""v":1"#, r#""v":2"#), Err(Unreadable::Version(2)));
    let found = "content".parse().expect("a text");
    assert_eq!(
        changed(r#""kind":"firmware""#, r#""kind":"content""#),
        Err(Unreadable::Word { field: "kind", found })
    );
    for (from, to) in [
        (r#""scope":{"#, r#""scope":{"ward":"icu","#),
        (r#"{"count":3,"#, r#"{"count":3,"only":1,"#),
        (r#"{"count":3,"#, r#"{"count":0,"#),
        (r#"{"count":3,"#, r#"{"count":1048577,"#),
        (r#""scope":{"set":"#, r#""scope":{"match":{"from":[1,2],"hardware":"C","model":"VP-3"},"set":"#),
        (r#""permit_s":900"#, r#""permit_s":0"#),
        (r#""permit_s":900"#, r#""permit_s":86401"#),
        (r#""release":"vp-3/4.2.2""#, r#""release":"../4.2.2""#),
        (r#""repository":"halden""#, r#""repository":"Halden""#),
    ] {
        assert!(changed(from, to).is_err(), "{to}");
    }
    for path in ["orders/0187", "order/a/b", "vp-3/4.2.2"] {
        assert!(read_at(path, GOLDEN, END).is_err(), "{path}");
    }
}

#[test]
fn the_range_of_a_match_is_two_counters_the_lower_first() {
    // Goal: from: [min, max]. Method: every other form.
    let order = Order {
        scope: Scope::Match {
            model: "VP-3".parse().expect("a text"),
            hardware: "C".parse().expect("a text"),
            from_least: 40,
            from_most: 41,
        },
        ..sample()
    };
    let text = String::from_utf8(order.custom().canonical()).expect("UTF-8");
    for from in ["[41,40]", "[40]", "[40,41,42]", "[-1,41]", "[\"40\",41]", "41", "null"] {
        assert!(read(&text.replace("[40,41]", from)).is_err(), "{from}");
    }
    assert!(read(&text.replace("[40,41]", "[40,40]")).is_ok());
}

#[test]
fn no_order_outlives_its_document_or_ends_before_it_begins() {
    // Goal: the document's expiry bounds all. Method: the exact second on both sides.
    let order = sample();
    let back = order.back.clone().expect("a way back");
    assert!(read_at("order/0187", GOLDEN, back.until).is_ok());
    assert!(read_at("order/0187", GOLDEN, back.until.plus_seconds(-1)).is_err(), "the way back outlives it");
    let no_back = Order { back: None, ..order.clone() }.custom().canonical();
    let no_back = String::from_utf8(no_back).expect("UTF-8");
    assert!(read_at("order/0187", &no_back, order.expires).is_ok());
    assert!(
        read_at("order/0187", &no_back, order.expires.plus_seconds(-1)).is_err(),
        "the order outlives it"
    );
    for wrong in [
        Order { expires: order.not_before, ..order.clone() },
        Order { expires: order.issued, not_before: order.issued.plus_seconds(-9), ..order.clone() },
        Order { back: Some(Back { until: order.not_before, ..back }), ..order.clone() },
    ] {
        assert!(read(&String::from_utf8(wrong.custom().canonical()).expect("UTF-8")).is_err());
    }
}

#[test]
fn a_document_holds_at_most_128_orders_and_nothing_else() {
    // Goal: bounds of the document. Method: 128, 129, and a foreign target.
    let custom = sample().custom();
    let document = |paths: Vec<TargetPath>| {
        let listed = |path| Listed { path, length: 4096, sha256: Sha256([42; 32]), custom: &custom };
        read_document(paths.iter().map(listed), END).map(|orders| orders.len())
    };
    let paths = |count| (0..count).map(|id| format!("order/{id}").parse().expect("a path")).collect();
    assert_eq!(document(paths(limits::ORDERS)), Ok(limits::ORDERS));
    assert_eq!(document(paths(limits::ORDERS + 1)), Err(DocumentError::TooMany));
    let foreign: TargetPath = "vp-3/4.2.2".parse().expect("a path");
    assert_eq!(document(vec![foreign.clone()]), Err(DocumentError::Foreign(foreign)));
}

#[test]
fn a_person_is_kept_from_signing_what_no_device_could_follow() {
    // Goal: `cordonctl order sign` refuses. Method: one contradiction each.
    let newer = release(image("vp-3/4.2.2", 42), 42);
    let older = release(image("vp-3/4.1.0", 41), 41);
    let order = sample();
    assert_eq!(order.author_check(&newer, Some(&older)), Ok(()));
    let check = |newer: Release, older: Release| order.author_check(&newer, Some(&older));
    let with_floor = Release { floor: 42, ..newer.clone() };
    assert_eq!(check(with_floor, older.clone()), Err(AuthorError::BackBelowFloor { back: 41, floor: 42 }));
    let forward = Release { counter: 42, ..older.clone() };
    assert_eq!(check(newer.clone(), forward), Err(AuthorError::BackNotOlder { back: 42, release: 42 }));
    let foreign = Release { model: "VP-4".parse().expect("a text"), ..older.clone() };
    assert_eq!(check(newer.clone(), foreign), Err(AuthorError::BackOtherModel));
    let other = release(image("vp-3/4.2.2", 43), 42);
    assert_eq!(check(other, older.clone()), Err(AuthorError::OtherImage));
    assert_eq!(order.author_check(&newer, None), Err(AuthorError::BackNotListed));
    let relisted = release(image("vp-3/4.1.0", 40), 41);
    assert_eq!(check(newer.clone(), relisted), Err(AuthorError::BackNotListed));
    let scope = |model: &str, from_least, from_most| Order {
        scope: Scope::Match {
            model: model.parse().expect("a text"),
            hardware: "C".parse().expect("a text"),
            from_least,
            from_most,
        },
        ..sample()
    };
    for (scope, fits) in [
        (scope("VP-3", 40, 41), true),
        (scope("VP-3", 0, 40), true),
        (scope("VP-4", 40, 41), false),
        (scope("VP-3", 0, 39), false),
        (scope("VP-3", 42, 50), false),
    ] {
        assert_eq!(scope.author_check(&newer, Some(&older)).is_ok(), fits, "{:?}", scope.scope);
    }
    let same = scope("VP-3", 42, 50).author_check(&newer, Some(&older));
    assert_eq!(
        same,
        Err(AuthorError::Downgrade { from: 42, release: 42 }),
        "the same counter is no update either"
    );
}

proptest! {
    #[test]
    fn any_order_reads_back(
        permit_s in proptest::option::of(1_u32..=limits::PERMIT_MAX_S), least in any::<u64>(), span in 0_u64..1000,
        begin in -86_400_i64..0, length in 1_i64..86_400, fill in any::<u8>(),
    ) {
        let not_before = NOW.plus_seconds(begin);
        let scope = if fill % 2 == 0 {
            Scope::Set { root: Sha256([fill; 32]), count: u64::from(fill) + 1 }
        } else {
            Scope::Match {
                model: "VP-3 \"x\" é".parse().expect("a text"),
                hardware: "C".parse().expect("a text"),
                from_least: least.min(u64::MAX - 1000),
                from_most: least.min(u64::MAX - 1000) + span,
            }
        };
        let order = Order { permit_s, scope, issued: not_before, not_before, expires: not_before.plus_seconds(length), ..sample() };
        let text = String::from_utf8(order.custom().canonical()).expect("UTF-8");
        prop_assert_eq!(read(&text), Ok(order));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(at in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
        let mut bytes = GOLDEN.trim().as_bytes().to_vec();
        let place = at % bytes.len();
        bytes[place] = byte;
        if cut % 3 == 0 { bytes.truncate(cut % bytes.len()); }
        if let Some(text) = core::str::from_utf8(&bytes).ok().filter(|t| Value::parse(t.as_bytes(), 65_536).is_ok()) {
            let _ = read(text);
        }
    }
}
