//! Tests of what an approval fills in, and of what it leaves alone.

use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::admit::{Binding, Token, TokenOrder};
use crate::device::Identity;
use cordon_proto::ids::{DeviceId, Sha256};

const NOW: Timestamp = Timestamp(1_800_000_000);

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

fn device(placement: Placement) -> Device {
    let binding = Binding::Serial { serial: text("A"), replaces: false };
    let order = TokenOrder { manufacturer: None, model: text("VP-3"), binding, placement, hours: 1 };
    let token = Token::new(order, "person:ines".to_string(), NOW).expect("a token");
    token.expected(DeviceId::from_random([1; 16])).expect("for one serial")
}

fn stated() -> Stated {
    Stated {
        model: Some(text("K-1")),
        site: Some(text("St. Anna")),
        ward: Some(text("ICU 2")),
        kind: Some(DeviceKind::Ventilator),
        zone: Some(Zone::Segmented),
        place: Some(Place::LockedRoom),
        tags: vec![text("loan")],
    }
}

#[test]
fn a_yes_fills_what_nobody_said_and_tells_what_that_was() {
    // Goal: a device that nobody announced is placed with its approval. Method: one of which nothing is known.
    let unknown = device(Stated::default().placement());
    let unknown =
        Device { hardware: Hardware { model: text("unknown"), ..unknown.hardware.clone() }, ..unknown };
    assert_eq!(Stated::default().completed(unknown.clone()), Err(ModelUnknown));
    let after = stated().completed(unknown.clone()).expect("complete");
    assert_eq!((after.hardware.model.as_str(), &after.placement), ("K-1", &stated().placement()));
    assert_eq!(after.placement.impact, DeviceKind::Ventilator.usual_impact());
    assert_eq!(
        filled_in(&unknown.placement, &after.placement),
        "site St. Anna, ward ICU 2, for use as ventilator, zone segmented, place locked-room, tags loan"
    );
    assert_eq!(
        stated().completed(Device { stated: true, ..unknown }),
        Err(ModelUnknown),
        "its own word counts"
    );
}

#[test]
fn a_yes_never_moves_a_device_that_stands_somewhere() {
    // Goal: one place typed beside many keys leaves placed devices alone. Method: a placed pump, then one whose ward is
    // not known, with a place at another site, with one at no site, and with one at its own.
    let placed = Stated {
        site: Some(text("St. Brigid")),
        ward: Some(text("4B")),
        kind: Some(DeviceKind::InfusionPump),
        ..Stated::default()
    };
    let pump = device(placed.placement());
    let after = stated().completed(pump.clone()).expect("complete");
    let known = (&pump.hardware, &pump.placement.site, &pump.placement.ward, pump.placement.kind);
    assert_eq!((&after.hardware, &after.placement.site, &after.placement.ward, after.placement.kind), known);
    assert_eq!(after.placement.impact, pump.placement.impact);
    let told = filled_in(&pump.placement, &after.placement);
    assert_eq!(told, "tags loan", "zone and place are those of another site");
    let gap = device(Stated { ward: None, ..placed }.placement());
    let after = stated().completed(gap.clone()).expect("complete");
    assert_eq!((after.placement.site.as_str(), after.placement.ward.as_str()), ("St. Brigid", "unknown"));
    let unsaid = Stated { site: None, ..stated() }.completed(gap.clone()).expect("complete");
    assert_eq!(unsaid.placement, after.placement, "a ward without a site is a ward of nowhere");
    let here =
        Stated { site: Some(text("St. Brigid")), ..stated() }.completed(gap.clone()).expect("complete");
    assert_eq!(
        filled_in(&gap.placement, &here.placement),
        "ward ICU 2, zone segmented, place locked-room, tags loan"
    );
}

#[test]
fn a_second_key_is_one_beside_a_key_that_works() {
    // Goal: the one rule of what an approval replaces. Method: every state, with a living, an ended and no certificate.
    let identity = |not_after| Identity {
        leaf: Sha256([2; 32]),
        key: Sha256([2; 32]),
        token: None,
        renews: false,
        issued: NOW,
        not_after,
    };
    let all =
        [State::Expected, State::Pending, State::Active, State::Quarantined, State::Retired, State::Lost];
    for state in all {
        let with = |identity| Device { state, identity, ..device(Stated::default().placement()) };
        let wanted = matches!(state, State::Active | State::Quarantined);
        assert_eq!(replaces_living(&with(Some(identity(NOW))), NOW), wanted, "{state:?}");
        assert!(!replaces_living(&with(Some(identity(NOW.plus_seconds(-1)))), NOW), "{state:?}");
        assert!(!replaces_living(&with(None), NOW), "{state:?}");
    }
}

fn texts() -> impl Strategy<Value = Option<Text>> {
    proptest::option::of(prop_oneof!["unknown", "[a-c]{1,3}"].prop_map(|word| text(&word)))
}

fn statements() -> impl Strategy<Value = Stated> {
    let kinds = proptest::option::of(prop_oneof![
        Just(DeviceKind::Other),
        Just(DeviceKind::Kiosk),
        Just(DeviceKind::Ventilator)
    ]);
    let zones = proptest::option::of(prop_oneof![Just(Zone::Flat), Just(Zone::Isolated)]);
    let places = proptest::option::of(prop_oneof![Just(Place::Public), Just(Place::LockedRoom)]);
    (texts(), texts(), texts(), kinds, zones, places, proptest::collection::vec("[a-c]{1,2}", 0..2)).prop_map(
        |(model, site, ward, kind, zone, place, tags)| Stated {
            model,
            site,
            ward,
            kind,
            zone,
            place,
            tags: tags.iter().map(|tag| text(tag)).collect(),
        },
    )
}

proptest! {
    #[test]
    fn what_was_known_stays_for_any_two_statements(first in statements(), second in statements()) {
        // Goal: "fills gaps and overwrites nothing", for any place. Method: one statement after another, by hand.
        let known = first.placement();
        let after = second.filled(&known);
        prop_assert!(is_unknown(&known.site) || after.site == known.site);
        prop_assert!(is_unknown(&known.ward) || after.ward == known.ward);
        let place = |placement: &Placement| (placement.ward.clone(), placement.reach.clone());
        let here = is_unknown(&known.site) || second.site.as_ref() == Some(&known.site);
        prop_assert!(here || place(&after) == place(&known), "no ward of one site at another");
        prop_assert!(known.kind == DeviceKind::Other || after.kind == known.kind);
        prop_assert!(known.reach.zone.is_none() || after.reach.zone == known.reach.zone);
        prop_assert!(known.reach.place.is_none() || after.reach.place == known.reach.place);
        prop_assert!(known.tags.is_empty() || after.tags == known.tags);
        prop_assert_eq!(second.filled(&after), after.clone(), "the same yes again changes nothing");
        prop_assert_eq!(filled_in(&known, &after).is_empty(), known == after);
    }
}
