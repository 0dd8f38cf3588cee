//! Tests of the change of roots, of who stands on the list of void certificates, and of warnings.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use cordon_proto::ids::DeviceId;
use proptest::prelude::*;

use super::*;
use crate::admit::first_word;
use crate::device::{Act, Identity, Replaced};

const NOW: Timestamp = Timestamp(1_800_000_000);
const STATES: [State; 6] =
    [State::Expected, State::Pending, State::Active, State::Quarantined, State::Retired, State::Lost];

fn serials(count: usize) -> Vec<Text> {
    (0..count).map(|number| Text::lossy(&format!("SN-{number:04}"))).collect()
}

fn fleet(serials: &[Text], offline: usize) -> Vec<Seen<'_>> {
    let ready = serials.len() - offline;
    let believes = |at: usize| if at < ready { Some(1) } else { Some(0) };
    let seen = |(at, serial)| Seen { serial, state: State::Active, believes: believes(at) };
    serials.iter().enumerate().map(seen).collect()
}

#[test]
fn the_steps_have_one_order_and_nothing_but_force_leaves_a_device_behind() {
    // Goal: E13, the decision. Method: 1000 devices of which 10, then 11 are away; every step in every phase.
    let serials = serials(1000);
    let ten = Tally::of(fleet(&serials, 10), 1);
    assert_eq!((ten.active, ten.ready, ten.missing), (1000, 990, 10));
    assert_eq!(ten.serials.first().map(String::as_str), Some("SN-0990"));
    assert_eq!(may_switch(Phase::Staged, 1, &ten, false), Ok(()));
    let eleven = Tally::of(fleet(&serials, 11), 1);
    let refused = may_switch(Phase::Staged, 1, &eleven, false).expect_err("98.9 in 100");
    assert!(
        refused.to_string().contains("989 of 1000") && refused.to_string().contains("SN-0999"),
        "{refused}"
    );
    assert_eq!(may_switch(Phase::Staged, 1, &eleven, true), Ok(()));
    let refused = may_finish(Phase::Switched, 1, &ten, false).expect_err("ten would be lost");
    assert!(refused.to_string().starts_with("10 devices"), "{refused}");
    assert_eq!(may_finish(Phase::Switched, 1, &ten, true), Ok(()));
    let all = Tally::of(fleet(&serials, 0), 1);
    assert_eq!(may_finish(Phase::Switched, 1, &all, false), Ok(()));
    for forced in [false, true] {
        assert_eq!(may_finish(Phase::Staged, 1, &all, forced), Err(Refused::NotSwitched));
        assert_eq!(may_finish(Phase::Settled, 1, &all, forced), Err(Refused::NotStaged));
        assert_eq!(may_switch(Phase::Settled, 1, &all, forced), Err(Refused::NotStaged));
        assert_eq!(may_switch(Phase::Switched, 1, &all, forced), Err(Refused::SwitchedAlready));
    }
    assert_eq!(may_stage(Phase::Settled), Ok(()));
    assert_eq!(may_stage(Phase::Staged), Err(Refused::UnderWay));
    assert_eq!(may_stage(Phase::Switched), Err(Refused::UnderWay));
}

#[test]
fn many_names_are_cut_and_counted() {
    // Goal: an answer has a bound. Method: more missing devices than are named.
    let serials = serials(NAMED + 20);
    let tally = Tally::of(fleet(&serials, NAMED + 20), 1);
    assert_eq!((tally.missing, tally.serials.len()), (NAMED + 20, NAMED));
    assert!(tally.named().ends_with("SN-0099 and 20 more"), "{}", tally.named());
}

#[test]
fn a_leaf_comes_from_the_new_root_only_for_whoever_said_it_believes_it() {
    // Goal: issuing strands nobody. Method: every phase with a device before, at and behind the bundle.
    for phase in [Phase::Settled, Phase::Staged] {
        assert!((0..4).all(|believes| !issues_new(phase, 2, believes)));
    }
    assert_eq!(
        [0, 1, 2, 3].map(|believes| issues_new(Phase::Switched, 2, believes)),
        [false, false, true, true]
    );
}

fn device(state: State) -> Device {
    let binding = crate::admit::Binding::Serial { serial: Text::lossy("A"), replaces: false };
    let order = crate::admit::TokenOrder {
        manufacturer: None,
        model: Text::lossy("VP-3"),
        binding,
        placement: crate::device::Placement {
            site: Text::lossy("s"),
            ward: Text::lossy("w"),
            kind: crate::device::DeviceKind::Kiosk,
            impact: Default::default(),
            reach: Default::default(),
            tags: vec![],
        },
        hours: 1,
    };
    let token = crate::admit::Token::new(order, "person:ines".into(), NOW).expect("a token");
    let identity = |leaf| Identity {
        leaf: Sha256([leaf; 32]),
        key: Sha256([leaf; 32]),
        token: None,
        renews: false,
        issued: NOW,
        not_after: NOW.plus_seconds(9),
    };
    Device {
        state,
        identity: Some(identity(2)),
        next: Some(identity(3)),
        superseded: vec![Sha256([0; 32]), Sha256([1; 32])],
        replaced: vec![Replaced { leaf: Sha256([1; 32]), at: Some(NOW.plus_seconds(-7)) }],
        ..token.expected(DeviceId::from_random([1; 16])).expect("for one serial")
    }
}

#[test]
fn the_list_holds_what_people_decided_and_no_ordinary_renewal() {
    // Goal: E20, who is on it and since when. Method: one device with a renewed, a replaced, a present and a coming leaf
    // in each state; then the ways by which a leaf gets there: a renewal, another key by a person's word, people's acts.
    for state in STATES {
        let found = listed(&device(state));
        let (held, replaced) = (NOW.0, (1, Reason::Superseded, Some(NOW.0 - 7)));
        let wanted = match state {
            State::Quarantined => {
                vec![(2, Reason::Hold, Some(held)), (3, Reason::Hold, Some(held)), replaced]
            }
            State::Retired => {
                vec![(2, Reason::Ceased, Some(held)), (3, Reason::Ceased, Some(held)), replaced]
            }
            State::Lost => {
                let lost = Reason::KeyCompromise;
                vec![(2, lost, Some(held)), (3, lost, Some(held)), replaced]
            }
            State::Active | State::Listed | State::Expected | State::Pending => vec![replaced],
        };
        assert_eq!(found, wanted, "{state:?}");
    }
    let mut renewing = device(State::Active);
    let coming = renewing.next.as_mut().expect("one that was handed out");
    (coming.renews, coming.issued) = (true, NOW.plus_seconds(5));
    let renewed = first_word(&renewing, &Sha256([3; 32])).expect("it spoke");
    assert!(renewed.superseded.contains(&Sha256([2; 32])));
    assert_eq!(listed(&renewed), listed(&device(State::Active)), "a renewal voids nothing");
    let at = NOW.plus_seconds(60);
    let quarantined = renewed.after(Act::Quarantine, Text::lossy("seen"), at).expect("possible");
    let since: Vec<_> = listed(&quarantined).into_iter().map(|(leaf, _, since)| (leaf, since)).collect();
    assert_eq!(since, [(3, Some(at.0)), (1, Some(NOW.0 - 7))]);
    let released = quarantined.after(Act::Release, Text::lossy("fine"), at).expect("possible");
    assert_eq!(listed(&released), listed(&renewed), "a hold ends");
}

/// Who stands on the list: leaf, reason, since when.
fn listed(device: &Device) -> Vec<(u8, Reason, Option<i64>)> {
    let since = |one: &Revoked| one.since.map(|since| since.0);
    revoked(device).iter().map(|one| (one.leaf.0[0], one.reason, since(one))).collect()
}

#[test]
fn the_date_of_a_replaced_certificate_is_the_same_on_every_later_list() {
    // Goal: third parties see one date. Method: another key takes the place; then renewals, a quarantine and its end; the
    // stored document after each; and one of before dates were kept.
    let mut device = device(State::Active);
    let coming = device.next.as_mut().expect("one that was handed out");
    coming.issued = NOW.plus_seconds(100);
    let mut device = first_word(&device, &Sha256([3; 32])).expect("it spoke");
    let date = |device: &Device| {
        let found = listed(device).into_iter().find(|(leaf, ..)| *leaf == 2).expect("on the list");
        (found.1, found.2)
    };
    let wanted = (Reason::Superseded, Some(NOW.0 + 100));
    assert_eq!(date(&device), wanted);
    for round in 1..4_u8 {
        let leaf = Sha256([10 + round; 32]);
        let issued = NOW.plus_seconds(1000 * i64::from(round));
        let next = device.identity.clone().map(|present| Identity { leaf, issued, renews: true, ..present });
        device = first_word(&Device { next, ..device }, &leaf).expect("it spoke");
        device = device.after(Act::Quarantine, Text::lossy("seen"), issued).expect("possible");
        assert_eq!(date(&device), wanted, "quarantined after renewal {round}");
        device = device.after(Act::Release, Text::lossy("fine"), issued).expect("possible");
        device = Device::from_body(&device.to_body()).expect("reads");
        assert_eq!(date(&device), wanted, "renewal {round}");
    }
    let body = String::from_utf8(device.to_body()).expect("UTF-8");
    let digest = Sha256([2; 32]).to_string();
    let dated = format!(r#"{{"leaf":"{digest}","at":{}}}"#, NOW.0 + 100);
    assert!(body.contains(&dated), "{body}");
    let old = Device::from_body(body.replace(&dated, &format!("\"{digest}\"")).as_bytes()).expect("reads");
    assert_eq!(date(&old), (Reason::Superseded, None));
}

#[test]
fn the_end_is_said_at_ninety_thirty_and_seven_days() {
    // Goal: nobody is surprised. Method: a second before and at each threshold, and past the end.
    let before = |seconds: i64| warning(NOW.plus_seconds(seconds), NOW);
    for days in WARN_DAYS {
        assert_eq!(before(days * DAY_S), Some(days));
    }
    assert_eq!(
        [before(90 * DAY_S + 1), before(30 * DAY_S + 1), before(7 * DAY_S + 1)],
        [None, Some(90), Some(30)]
    );
    assert_eq!([before(0), before(-5)], [Some(7), Some(7)]);
}

proptest! {
    #[test]
    fn a_finish_that_is_allowed_without_force_strands_nobody(
        fleet in proptest::collection::vec((0_usize..6, proptest::option::of(0_u64..4)), 0..40),
        version in 1_u64..4,
    ) {
        // Goal: "refused while any active device would be stranded", for any fleet. Method: count by hand.
        let serial = Text::lossy("A");
        let seen = fleet.iter().map(|(state, believes)| Seen { serial: &serial, state: STATES[*state], believes: *believes });
        let tally = Tally::of(seen.clone(), version);
        let lost = seen.filter(|one| matches!(one.state, State::Active | State::Quarantined))
            .filter(|one| one.believes.unwrap_or(0) < version)
            .count();
        prop_assert_eq!(may_finish(Phase::Switched, version, &tally, false).is_ok(), lost == 0);
        prop_assert_eq!(tally.missing, lost);
        prop_assert!(may_finish(Phase::Switched, version, &tally, true).is_ok());
        if may_switch(Phase::Staged, version, &tally, false).is_ok() {
            prop_assert!(tally.ready * 100 >= tally.active * SWITCH_PERCENT);
        }
    }
}
