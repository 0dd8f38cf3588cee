//! Drafts: the fixed form both ways, and changes that never lose an order.
//!
//! Tests only; see [`super`].

use super::*;
use crate::ids::Sha256;
use crate::update::release::Image;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn order(id: &str, seed: u8) -> Order {
    Order {
        id: id.parse().expect("a name"),
        repository: "halden".parse().expect("a name"),
        image: Image {
            release: "vp-3/4.2.2".parse().expect("a path"),
            length: 9,
            sha256: Sha256([seed; 32]),
        },
        scope: Scope::Set { root: Sha256([seed; 32]), count: 2 },
        issued: NOW,
        not_before: NOW,
        expires: NOW.plus_seconds(86_400),
        windows: Vec::new(),
        back: None,
        permit_s: Some(900),
        reason: "closes a hole".parse().expect("a text"),
    }
}

fn draft(intents: Vec<Intent>) -> Draft {
    Draft {
        name: "tuesday".parse().expect("a name"),
        base: 3,
        intents,
        expires: NOW.plus_seconds(90 * 86_400),
        by: "Ines".parse().expect("a text"),
        made: NOW,
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

#[test]
fn a_draft_has_one_form() {
    // Goal: the fixed layout. Method: golden text both ways; what is closed, missing or too much.
    let written = draft(vec![Intent::Add(order("a", 1)), Intent::Withdraw(name("b"))]);
    let text = String::from_utf8(written.value().canonical()).expect("UTF-8");
    let digits = Sha256([1; 32]);
    let golden = format!(
        r#"{{"base":3,"by":"Ines","expires":"2027-04-15T08:00:00Z","intents":[{{"add":{{"custom":{},"length":9,"path":"order/a","sha256":"{digits}"}}}},{{"withdraw":"b"}}],"made":"2027-01-15T08:00:00Z","name":"tuesday","v":1}}"#,
        String::from_utf8(order("a", 1).custom().canonical()).expect("UTF-8"),
    );
    assert_eq!(text, golden);
    let read = |text: &str| Draft::read(&Value::parse(text.as_bytes(), 1 << 20).expect("JSON"));
    assert_eq!(read(&golden), Ok(written));
    for (from, to) in [
        (r#""v":1"#, r#""v":2"#),
        (r#""base":3"#, r#""base":-3"#),
        (r#""base":3"#, r#""base":3,"more":1"#),
        (r#"{"withdraw":"b"}"#, r#"{}"#),
        (r#"{"withdraw":"b"}"#, r#"{"withdraw":"B b"}"#),
        (r#""path":"order/a""#, r#""path":"other/a""#),
        (r#""expires":"2027-04-15T08:00:00Z""#, r#""expires":"2027-01-15T08:00:00Z""#),
        (r#""by":"Ines""#, r#""by":"""#),
    ] {
        assert!(golden.contains(from), "{from}");
        assert!(read(&golden.replacen(from, to, 1)).is_err(), "{to}");
    }
    let many = vec![Intent::Withdraw(name("b")); limits::DRAFT_INTENTS + 1];
    assert!(Draft::read(&draft(many).value()).is_err() && Draft::read(&draft(vec![]).value()).is_ok());
}

#[test]
fn two_drafts_over_one_base_both_land_or_say_why_not() {
    // Goal: no order is lost. Method: two drafts one after the other, both ways round; a name for two orders; an order
    // that both withdraw; one that is added twice over.
    let base = [order("a", 1), order("b", 2)];
    let one = [Intent::Add(order("c", 3)), Intent::Withdraw(name("a"))];
    let two = [Intent::Add(order("d", 4))];
    let there = lay(&lay(&base, &one).expect("lands"), &two).expect("lands too");
    let back = lay(&lay(&base, &two).expect("lands"), &one).expect("lands too");
    assert_eq!((&there, there.len()), (&back, 3));
    let names: Vec<_> = there.iter().map(|order| order.id.as_str()).collect();
    assert_eq!(names, ["b", "c", "d"]);
    assert_eq!(lay(&there, &one), Err(Clash::Gone(name("a"))), "who withdrew it, and was it this one?");
    assert_eq!(lay(&there, &[Intent::Add(order("c", 9))]), Err(Clash::NameTaken(name("c"))));
    assert_eq!(lay(&there, &two), Ok(there.clone()), "the very same order is there already");
    let swap = [Intent::Withdraw(name("b")), Intent::Add(order("b", 9))];
    assert_eq!(lay(&base, &swap), Err(Clash::NameTaken(name("b"))), "a name is used once");
    assert_eq!(intents(&base, &there).len(), 3);
    assert_eq!(lay(&base, &intents(&base, &there)), Ok(there));
}

#[test]
fn more_than_devices_read_is_not_laid() {
    // Goal: bounds at the desk, not at the bedside. Method: one order too many; long reasons.
    let many: Vec<_> = (0..=limits::ORDERS).map(|n| Intent::Add(order(&format!("o-{n}"), 1))).collect();
    assert_eq!(lay(&[], &many), Err(Clash::TooMany));
    assert!(lay(&[], &many[1..]).is_ok());
    let reason: Text = "x".repeat(256).parse().expect("a text");
    let long = |n| {
        let windows = vec![crate::update::window::Window::ALWAYS; 16];
        Intent::Add(Order { reason: reason.clone(), windows, ..order(&format!("o-{n}"), 1) })
    };
    let large: Vec<_> = (0..limits::ORDERS).map(long).collect();
    assert!(matches!(lay(&[], &large), Err(Clash::TooLarge { bytes }) if bytes > SIGNED_BYTES));
}

#[test]
fn a_summary_has_a_line_for_each_release_that_comes_or_goes() {
    // Goal: one look before the long list. Method: golden lines of three orders that come and one that goes.
    let facts = Scope::Match {
        model: "VP-3".parse().expect("a text"),
        hardware: "C".parse().expect("a text"),
        from_least: 1,
        from_most: 2,
    };
    let before = [order("old", 1), order("same", 1)];
    let open = Order { scope: facts, ..order("c", 3) };
    let after = [order("same", 1), order("a", 2), order("b", 2), open];
    let lines: Vec<_> = summary(&before, &after).iter().map(ToString::to_string).collect();
    let until = "2027-01-16T08:00:00Z";
    let wanted = [
        format!(
            "adds 3 orders of vp-3/4.2.2 for 4 devices and every device of a kind, until {until}: a, b, c"
        ),
        format!("withdraws 1 order of vp-3/4.2.2 for 2 devices, until {until}: old"),
    ];
    assert_eq!(lines, wanted);
    assert!(summary(&after, &after).is_empty());
}

proptest! {
    #[test]
    fn the_order_of_changes_means_nothing_and_no_order_is_lost(
        base in proptest::collection::btree_set(0..12_u8, 0..8),
        changes in proptest::collection::vec((0..12_u8, 0..3_u8), 0..10),
        turn in 0..10_usize,
    ) {
        // Goal: the same set or a clash, whatever the order. Method: any base and changes, turned round; every order of
        // the result was in the base or added, every one of either is there unless it was withdrawn.
        let named = |n: &u8, seed: u8| order(&format!("o-{n}"), seed);
        let base: Vec<_> = base.iter().map(|n| named(n, 1)).collect();
        let changes: Vec<_> = changes
            .iter()
            .map(|(n, kind)| match kind {
                0 => Intent::Withdraw(name(&format!("o-{n}"))),
                seed => Intent::Add(named(n, *seed)),
            })
            .collect();
        let mut turned = changes.clone();
        if !turned.is_empty() {
            let by = turn % turned.len();
            turned.rotate_left(by);
            turned.reverse();
        }
        let (one, other) = (lay(&base, &changes), lay(&base, &turned));
        prop_assert_eq!(one.is_ok(), other.is_ok());
        let Ok(laid) = one else { return Ok(()) };
        prop_assert_eq!(Ok(&laid), other.as_ref());
        let gone = |order: &Order| changes.contains(&Intent::Withdraw(order.id.clone()));
        let added: Vec<_> = changes.iter().filter_map(|change| match change {
            Intent::Add(order) => Some(order.clone()),
            Intent::Withdraw(_) => None,
        }).collect();
        for order in base.iter().chain(&added) {
            prop_assert_eq!(laid.contains(order), !gone(order), "{}", order.id);
        }
        prop_assert!(laid.iter().all(|order| base.contains(order) || added.contains(order)));
    }
}
