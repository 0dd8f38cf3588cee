//! Tests of the way back: who is offered it, who is not, and how a return ends.

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::receipt::Outcome;

use super::fixture::*;
use super::*;

/// Three pumps of a begun wave: two have confirmed, one has the go and has not ended; then a person sends all back.
fn returning() -> Ward {
    let mut ward = Ward::new(rollout(3, 0));
    for number in 0..3 {
        ward.waits(number, "w1", &["no-permit"], NOW);
    }
    assert_eq!(ward.step(NOW).len(), 3);
    for number in 0..2 {
        let ended = receipt(&ward.pumps[&number].clone(), "w1", Outcome::Confirmed);
        ward.count(&ended, NOW).expect("an open row");
        ward.say(number, NOW, report(UpdateState::Idle, None, &[]), Action::Install);
    }
    ward.by("back", NOW);
    ward
}

fn asks_back(ward: &mut Ward, number: u8, codes: &[&str], now: Timestamp) {
    ward.say(number, now, report(UpdateState::Waiting, Some("w1"), codes), Action::Back);
}

#[test]
fn the_way_back_is_offered_to_those_who_confirmed_and_installs_stop_at_once() {
    // Goal: the signed way back without a new signature. Method: what each of three is told, then to the end.
    let mut ward = returning();
    let action = |ward: &Ward, number| ward.tell(number, NOW).order.map(|offer| offer.action);
    assert_eq!([0, 1, 2].map(|n| action(&ward, n)), [Some(Action::Back), Some(Action::Back), None]);
    assert_eq!(ward.tell(2, NOW).permit, None, "the go of an install ends with the return");
    asks_back(&mut ward, 0, &["no-permit"], NOW);
    asks_back(&mut ward, 1, &["no-permit", "interlock"], NOW);
    let withheld = Act::TakeBack { wave: 0, device: id(2), action: Action::Install };
    assert_eq!(ward.step(NOW), [withheld, Act::Back { wave: 0, device: id(0) }]);
    let permit = ward.tell(0, NOW).permit.expect("the go");
    assert_eq!((permit.action, permit.until), (Action::Back, NOW.plus_seconds(900)));
    let went = receipt(&ward.pumps[&0].clone(), "w1", Outcome::WentBack);
    let mut elsewhere = went.clone();
    elsewhere.sha256 = ORDERED;
    assert_eq!(ward.count(&elsewhere, NOW), Err(NotCounted::OtherImage));
    assert_eq!(ward.count(&went, NOW), Ok(()));
    assert_eq!(ward.fleet(NOW)[&id(0)].stage(&Policy::default(), NOW), Stage::Returned);
    // The third had rebooted before: its receipt comes late and makes it one that goes back too.
    let late = receipt(&ward.pumps[&2].clone(), "w1", Outcome::Confirmed);
    assert_eq!(ward.count(&late, NOW), Ok(()));
    assert_eq!(action(&ward, 2), Some(Action::Back));
    for number in [1, 2] {
        asks_back(&mut ward, number, &["no-permit"], NOW);
    }
    assert_eq!(ward.step(NOW).len(), 2);
    for number in [1, 2] {
        let went = receipt(&ward.pumps[&number].clone(), "w1", Outcome::WentBack);
        ward.count(&went, NOW).expect("an open row");
    }
    assert_eq!(ward.step(NOW), [Act::FinishReturn]);
    assert_eq!(ward.rollout().state, State::Returned { at: NOW });
}

#[test]
fn the_way_back_stays_open_after_the_order_and_closes_when_it_says() {
    // Goal: until `back.until`, not `expires`. Method: between both, in the last second, and at the end.
    let mut ward = returning();
    let (expires, until) = (NOW.plus_seconds(14 * 86_400), NOW.plus_seconds(30 * 86_400));
    let last = until.plus_seconds(-1);
    assert!(ward.tell(0, expires).order.is_some() && ward.tell(0, last).order.is_some());
    assert_eq!(ward.tell(0, until), Told::default());
    for number in 0..2 {
        asks_back(&mut ward, number, &["no-permit"], last);
    }
    ward.pumps.remove(&2);
    let acts = ward.step(last);
    assert_eq!(acts.len(), 2, "{acts:?}");
    assert_eq!(ward.tell(0, last).permit.expect("the go").until, until, "no go outlives its way back");
    let mut closed = returning();
    closed.pumps.remove(&2);
    let back = [Act::Back { wave: 0, device: id(0) }];
    asks_back(&mut closed, 0, &["no-permit"], until);
    let fleet = closed.fleet(until);
    let rollout = closed.rollout().clone();
    assert_eq!(check_at(&rollout, &fleet, &back, until), Err(Violation::NotEntitled));
    assert!(matches!(closed.step(until).as_slice(), [Act::Stop { .. }]));
}

#[test]
fn the_checker_lets_nobody_back_who_did_not_confirm_and_installs_nothing_meanwhile() {
    // Goal: the second opinion on a return. Method: forged plans.
    let mut ward = returning();
    asks_back(&mut ward, 2, &["no-permit"], NOW);
    let (rollout, fleet) = (ward.rollout().clone(), ward.fleet(NOW));
    let refused = |act| check_at(&rollout, &fleet, &[act], NOW);
    assert_eq!(refused(Act::Back { wave: 0, device: id(2) }), Err(Violation::NotEntitled));
    assert_eq!(refused(Act::Permit { wave: 0, device: id(2) }), Err(Violation::NotRunning));
    assert_eq!(refused(Act::FinishReturn), Err(Violation::FinishedTooEarly));
}

#[test]
fn a_return_that_goes_wrong_stops() {
    // Goal: the bound holds for the return too. Method: one of two is not healthy in the earlier image.
    let mut ward = returning();
    asks_back(&mut ward, 0, &["no-permit"], NOW);
    ward.step(NOW);
    let mut failed = receipt(&ward.pumps[&0].clone(), "w1", Outcome::RolledBack);
    failed.action = Action::Back;
    ward.count(&failed, NOW).expect("an open row");
    assert_eq!(ward.fleet(NOW)[&id(0)].stage(&Policy::default(), NOW), Stage::Failed(Failure::NotReturned));
    assert!(matches!(ward.step(NOW).as_slice(), [Act::Stop { .. }]));
    assert!(ward.step(NOW).is_empty() && ward.tell(1, NOW).permit.is_none());
}

#[test]
fn a_pump_in_use_keeps_its_place_free_on_the_way_back_too() {
    // Goal: as for installs. Method: one place, one pump that comes into use after the go, another that is free.
    let mut ward = returning();
    if let Some(way) = &mut ward.rollout().way_back {
        way.in_flight = 1;
    }
    for number in 0..2 {
        asks_back(&mut ward, number, &["no-permit"], NOW);
    }
    let withheld = Act::TakeBack { wave: 0, device: id(2), action: Action::Install };
    assert_eq!(ward.step(NOW), [withheld, Act::Back { wave: 0, device: id(0) }]);
    asks_back(&mut ward, 0, &["interlock"], NOW);
    let taken = Act::TakeBack { wave: 0, device: id(0), action: Action::Back };
    assert_eq!(ward.step(NOW), [taken, Act::Back { wave: 0, device: id(1) }]);
    assert!(ward.tell(0, NOW).permit.is_none() && ward.tell(1, NOW).permit.is_some());
}

#[test]
fn a_return_that_is_stopped_brings_nobody_the_release_that_the_others_left() {
    // Goal: installs end with the return, for good. Method: the third pump is offered the install before, and nothing while the
    // return goes on or is stopped.
    let mut ward = returning();
    assert_eq!(ward.tell(2, NOW).order, None);
    ward.by("stop", NOW);
    assert_eq!(ward.tell(2, NOW).order, None);
    ward.by("resume", NOW);
    ward.rollout().way_back = None;
    let offered = ward.tell(2, NOW).order.map(|offer| offer.action);
    assert_eq!(offered, Some(Action::Install), "without a return it would be");
}
