//! Tests of who was not there: a server that was off, a device that has gone on to another release, one that was silent
//! and speaks again, one that a person took out of service, and times that have not come.

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::Outcome;

use super::fixture::*;
use super::*;
use crate::device::State as Trust;

const FREE: &[&str] = &["no-permit"];

fn at(seconds: i64) -> Timestamp {
    NOW.plus_seconds(seconds)
}

/// One wave of three pumps that were given the go and told; silence begins after 600 s.
fn told() -> Ward {
    let mut ward = Ward::new(rollout(3, 0));
    ward.rollout().waves.truncate(1);
    for number in 0..3 {
        ward.waits(number, "w1", FREE, NOW);
    }
    assert_eq!(ward.step(NOW).len(), 3);
    for number in 0..3 {
        ward.waits(number, "w1", FREE, NOW);
    }
    assert_eq!(ward.gos(), 3);
    ward
}

fn silent(number: u8) -> Act {
    Act::Silent { wave: 0, device: id(number), action: Action::Install }
}

#[test]
fn a_server_that_was_off_calls_nobody_silent_for_the_time_it_was_not_there() {
    // Goal: a server that was down over night does not halt its rollouts by its own absence. Method: three pumps with the
    // go, a server that comes back a day later: nothing; those who stay away from it for the usual time are silent.
    let mut ward = told();
    ward.book.there = Some(at(86_400));
    assert_eq!(ward.step(at(86_400)), []);
    assert_eq!(ward.step(at(87_000)), []);
    ward.waits(0, "w1", &["interlock"], at(86_500));
    let acts = ward.step(at(87_001));
    assert!(acts.contains(&silent(1)) && acts.contains(&silent(2)) && !acts.contains(&silent(0)), "{acts:?}");
    // A start under a clock that was ahead is no excuse for ever.
    let mut ahead = told();
    ahead.book.there = Some(at(31_536_000));
    assert_eq!(ahead.step(at(601)).first(), Some(&silent(0)));
}

#[test]
fn who_was_silent_and_speaks_again_has_failed_at_nothing_until_the_second_time() {
    // Goal: a ward whose network was down does not end its rollout for good. Method: all three fall silent and the rollout
    // halts; they speak again: nothing would stop it, a go later the first installs, the second is silent once more.
    let mut ward = told();
    ward.rollout().pace = Pace { silent_tries: 2, back_off_s: 60 };
    let acts = ward.step(at(601));
    assert!(matches!(acts.last(), Some(Act::Halt { .. })), "{acts:?}");
    let would = |ward: &Ward, now| {
        let (fleet, orders) = (ward.fleet(now), orders());
        let sight = Sight { fleet: &fleet, orders: &orders, room: IN_FLIGHT_TOTAL, now };
        would_stop(&ward.book.rollouts[&ward.of], &sight)
    };
    assert!(would(&ward, at(700)).is_some(), "nobody has spoken");
    for number in 0..3 {
        ward.waits(number, "w1", FREE, at(800));
    }
    assert_eq!(would(&ward, at(800)), None);
    ward.by("resume", at(800));
    assert_eq!(ward.step(at(800)).len(), 3, "and the time to try again has come");
    for number in 0..3 {
        ward.waits(number, "w1", FREE, at(801));
    }
    let ended = receipt(&ward.pumps[&0].clone(), "w1", Outcome::Confirmed);
    ward.count(&ended, at(900)).expect("an open row");
    ward.waits(2, "w1", &["interlock"], at(1_400));
    let acts = ward.step(at(1_402));
    assert!(acts.contains(&silent(1)) && matches!(acts.last(), Some(Act::Halt { .. })), "{acts:?}");
    ward.waits(1, "w1", FREE, at(1_500));
    assert!(would(&ward, at(1_500)).is_some(), "who does it twice is believed no more");
}

#[test]
fn a_device_that_has_gone_on_to_another_release_is_not_asked_back_and_stops_nobody() {
    // Goal: the way back of 4.2.2 is no matter of the pump that has 4.2.3 since. Method: three confirmed; one confirms in a
    // newer rollout, one was at a service technician's and says that it runs something else; the third goes back, and
    // that is all the return asks for. One that says the same and runs the very image has failed.
    let mut ward = told();
    for number in 0..3 {
        let ended = receipt(&ward.pumps[&number].clone(), "w1", Outcome::Confirmed);
        ward.count(&ended, at(60)).expect("an open row");
        ward.say(number, at(60), report(UpdateState::Idle, None, &[]), Action::Install);
    }
    let mut newer = rollout(3, 0);
    newer.id = name("r-2");
    newer.waves.truncate(1);
    ward.book.rollouts.insert(newer.id.clone(), newer);
    let since =
        Progress { v: 1, outcome: Some(Outcome::Confirmed), ended: Some(at(90)), ..Progress::default() };
    ward.book.progress.entry(name("r-2")).or_default().insert(id(0), since.clone());
    ward.by("back", at(100));
    assert_eq!(ward.tell(0, at(100)).order.map(|offer| offer.action), None, "not offered at all");
    let gone = |runs: u8| {
        let mut said = report(UpdateState::Refused, Some("w1"), &["not-confirmed-here"]);
        said.software.sha256 = Sha256([runs; 32]);
        said
    };
    ward.say(1, at(110), gone(7), Action::Back);
    assert_eq!(ward.step(at(110)), [], "no stop by two who have left");
    ward.say(2, at(120), report(UpdateState::Waiting, Some("w1"), FREE), Action::Back);
    assert_eq!(ward.step(at(120)), [Act::Back { wave: 0, device: id(2) }]);
    let went = receipt(&ward.pumps[&2].clone(), "w1", Outcome::WentBack);
    ward.count(&went, at(130)).expect("an open row");
    assert_eq!(ward.step(at(130)), [Act::FinishReturn]);
    // Back from the newer one, it runs this one's image again and is asked.
    ward.by("back", at(140));
    let back = BackEnd { outcome: Some(Outcome::WentBack), ..BackEnd::default() };
    let returned = Progress { back: Some(back), ..since };
    ward.book.progress.entry(name("r-2")).or_default().insert(id(0), returned);
    assert_eq!(ward.tell(0, at(140)).order.map(|offer| offer.action), Some(Action::Back));
    ward.say(1, at(150), gone(1), Action::Back);
    assert!(matches!(ward.step(at(150))[..], [Act::Stop { .. }]), "this one refuses its own way back");
}

#[test]
fn the_go_of_a_device_that_a_person_called_lost_is_taken_back_and_is_no_failure() {
    // Goal: a pump that was stolen on the night of its update halts nothing. Method: one of three is lost with the go.
    let mut ward = told();
    ward.pumps.get_mut(&1).expect("a pump").state = Trust::Lost;
    let taken = Act::TakeBack { wave: 0, device: id(1), action: Action::Install };
    assert_eq!(ward.step(at(10)), [taken]);
    for number in [0, 2] {
        ward.waits(number, "w1", &["interlock"], at(590));
    }
    let acts = ward.step(at(700));
    assert!(acts.iter().all(|act| !matches!(act, Act::Silent { .. } | Act::Halt { .. })), "{acts:?}");
}

#[test]
fn marks_of_a_time_that_has_not_come_keep_nobody_from_the_go() {
    // Goal: a server whose clock was a year ahead for a minute bars nobody for a year. Method: pumps that were marked under
    // that clock: silent, slept over, told, and never told; set right, those who ask are let go, the place of the one
    // that is heard no more is free, and the one that hears of its go only now goes dark after the usual time.
    let mut ward = Ward::new(rollout(4, 0));
    ward.rollout().waves.truncate(1);
    ward.rollout().policy.in_flight = 3;
    let year = at(31_536_000);
    let given = Progress::default().permitted(year);
    let marked = [
        Progress { silent: Some(year), tries: 1, ..given.clone() },
        Progress { taken_back: Some(year), ..given.clone() },
        Progress { told: GoTold::At(year), ..given.clone() },
        given,
    ];
    for (number, progress) in (0..).zip(marked) {
        ward.book.progress.entry(ward.of.clone()).or_default().insert(id(number), progress);
    }
    for number in [0, 1, 3] {
        ward.waits(number, "w1", FREE, at(5));
    }
    let taken = Act::TakeBack { wave: 0, device: id(2), action: Action::Install };
    let permit = |number| Act::Permit { wave: 0, device: id(number) };
    assert_eq!(ward.step(at(6)), [taken, permit(0), permit(1)]);
    assert!(ward.tell(3, at(6)).permit.is_some(), "it had heard of its go");
    for number in [0, 1] {
        ward.waits(number, "w1", &["interlock"], at(605));
    }
    assert!(ward.step(at(606)).contains(&silent(3)));
}

#[test]
fn a_pause_leaves_the_go_to_whoever_came_for_it_and_frees_the_other_places() {
    // Goal: a rollout that is paused for weeks keeps no place that nobody uses. Method: two of three came for their go.
    let mut ward = Ward::new(rollout(3, 0));
    ward.rollout().waves.truncate(1);
    for number in 0..3 {
        ward.waits(number, "w1", FREE, NOW);
    }
    assert_eq!(ward.step(NOW).len(), 3);
    for number in 0..2 {
        ward.waits(number, "w1", FREE, at(1));
    }
    ward.by("pause", at(2));
    assert_eq!(ward.step(at(900)), []);
    let taken = Act::TakeBack { wave: 0, device: id(2), action: Action::Install };
    assert_eq!(ward.step(at(901)), [taken]);
    assert!(ward.tell(0, at(901)).permit.is_some() && ward.gos() == 2);
    assert_eq!(ward.step(at(86_400)), [], "and nobody is called silent while it rests");
}
