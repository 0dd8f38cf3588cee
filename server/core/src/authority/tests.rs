//! Tests of the change of roots, of who stands on the list of void certificates, and of warnings.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use cordon_proto::ids::DeviceId;
use proptest::prelude::*;

use super::*;
use crate::device::{Act, Identity};

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
        replaced: vec![Sha256([1; 32])],
        ..token.expected(DeviceId::from_random([1; 16])).expect("for one serial")
    }
}

#[test]
fn the_list_holds_what_people_decided_and_no_ordinary_renewal() {
    // Goal: E20, who is on it. Method: one device with a renewed, a replaced, a present and a coming leaf in each state.
    for state in STATES {
        let found: Vec<(u8, Reason)> =
            revoked(&device(state)).iter().map(|one| (one.leaf.0[0], one.reason)).collect();
        let replaced = (1, Reason::Superseded);
        let wanted = match state {
            State::Quarantined => vec![(2, Reason::Hold), (3, Reason::Hold), replaced],
            State::Retired => vec![(2, Reason::Ceased), (3, Reason::Ceased), replaced],
            State::Lost => vec![(2, Reason::KeyCompromise), (3, Reason::KeyCompromise), replaced],
            State::Active | State::Expected | State::Pending => vec![replaced],
        };
        assert_eq!(found, wanted, "{state:?}");
    }
    let quarantined =
        device(State::Active).after(Act::Quarantine, Text::lossy("seen"), NOW).expect("possible");
    assert_eq!(revoked(&quarantined).len(), 3);
    let released = quarantined.after(Act::Release, Text::lossy("fine"), NOW).expect("possible");
    assert_eq!(revoked(&released).len(), 1, "a hold ends");
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
