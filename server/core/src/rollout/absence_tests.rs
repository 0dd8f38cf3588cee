//! Tests of who was not there: a server that was off, a device that has gone on to another release, one that was silent
//! and speaks again, one that a person took out of service, and times that have not come.

use alloc::vec::Vec;

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
fn who_rebooted_before_a_clock_went_ahead_keeps_its_go_and_gets_no_second_one() {
    // Goal: no pump is let go twice by a clock that was a year ahead for a minute. Method: three that were told and reboot;
    // a tick of next year calls them silent; set right, they have the go that they had, and nobody gives them another.
    // One speaks and hears of it again; the two others are silent when their time has come, for the first time.
    let mut ward = told();
    ward.rollout().policy.failure_limit_permille = 1000;
    assert_eq!(ward.step(at(31_536_000)), [silent(0), silent(1), silent(2)]);
    assert_eq!(ward.step(at(10)), [], "they reboot for the go that they were told of");
    let facts = ward.fleet(at(10));
    for number in 0..3 {
        let facts = &facts[&id(number)];
        assert_eq!((facts.stage(&Policy::default(), at(10)), facts.tries), (Stage::Installing, 0));
    }
    ward.waits(0, "w1", FREE, at(20));
    assert!(ward.tell(0, at(20)).permit.is_some(), "it did not reboot after all");
    assert_eq!(ward.step(at(20)), []);
    assert_eq!(ward.step(at(601)), [silent(1), silent(2)]);
    assert_eq!([0, 1, 2].map(|number| ward.book.progress[&ward.of][&id(number)].tries), [1, 1, 1]);
}

#[test]
fn who_was_told_by_a_clock_ahead_gets_no_other_go_before_it_speaks() {
    // Goal: the same where the go itself is of next year. Method: two pumps told of it under that clock, of which one speaks
    // after it was set right; both places are freed, and that one alone has another go.
    let mut ward = Ward::new(rollout(2, 0));
    ward.rollout().waves.truncate(1);
    let year = at(31_536_000);
    for number in 0..2 {
        ward.waits(number, "w1", FREE, NOW);
        let known = Progress { told: GoTold::At(year), ..Progress::default().permitted(year) };
        ward.book.progress.entry(ward.of.clone()).or_default().insert(id(number), known);
    }
    let taken = |number| Act::TakeBack { wave: 0, device: id(number), action: Action::Install };
    assert_eq!(ward.step(at(5)), [taken(0), taken(1)]);
    ward.waits(1, "w1", FREE, at(6));
    assert_eq!(ward.step(at(7)), [Act::Permit { wave: 0, device: id(1) }]);
}

#[test]
fn waves_that_a_clock_ahead_began_and_settled_go_on_by_the_time_of_now() {
    // Goal: the next wave does not wait for next year. Method: a first wave of next year, whose pumps have confirmed; one of
    // whose pumps some were not waited for by that clock only; a second wave that it began.
    let year = at(31_536_000);
    let ahead = |confirmed: u8| {
        let mut ward = Ward::new(rollout(3, 2));
        (ward.rollout().waves[0].started, ward.rollout().waves[0].settled) = (Some(year), Some(year));
        let known =
            Progress { v: 1, outcome: Some(Outcome::Confirmed), ended: Some(NOW), ..Progress::default() };
        let rows = (0..confirmed).map(|number| (id(number), known.clone()));
        ward.book.progress.insert(ward.of.clone(), rows.collect());
        ward
    };
    let (begin, settle) = (|wave| Act::Begin { wave }, Act::Settle { wave: 0 });
    let mut all = ahead(3);
    assert_eq!(all.step(at(5)), [begin(0), settle.clone()]);
    assert_eq!(all.step(at(64)), [], "it is watched");
    assert_eq!(all.step(at(65)), [begin(1)]);
    let mut some = ahead(1);
    some.rollout().waves[1].started = Some(year);
    some.waits(3, "w2", FREE, at(4));
    let go = Act::Permit { wave: 1, device: id(3) };
    assert_eq!(some.step(at(5)), [begin(0), begin(1), go], "what has begun goes on");
    let waits_s = i64::from(some.rollout().policy.advance.unreached_after_s);
    assert!(!some.step(at(4 + waits_s)).contains(&settle));
    assert!(some.step(at(5 + waits_s)).contains(&settle), "when they were waited for");
    let early = check_at(&rollout(3, 2), &Fleet::new(), &[begin(0)], at(5));
    assert_eq!(early, Err(Violation::WaveTooEarly), "one that has begun is not begun again");
}

#[test]
fn who_falls_silent_with_tries_left_is_waited_for_in_that_very_tick() {
    // Goal: a wave of silent pumps is over when nobody may come any more, not a moment before. Method: three that fall
    // silent at once under a wide limit; they are tried again, and then nobody is heard.
    let mut ward = told();
    ward.rollout().policy.failure_limit_permille = 1000;
    ward.rollout().pace = Pace { silent_tries: 1, back_off_s: 60 };
    assert_eq!(ward.step(at(601)), [silent(0), silent(1), silent(2)], "no halt beside it");
    for number in 0..3 {
        ward.waits(number, "w1", FREE, at(700));
    }
    assert_eq!(ward.step(at(700)).len(), 3, "another go");
    for number in 0..3 {
        ward.waits(number, "w1", FREE, at(701));
    }
    let acts = ward.step(at(1_302));
    assert_eq!(acts[..3], [silent(0), silent(1), silent(2)]);
    assert!(matches!(acts[3..], [Act::Halt { .. }]), "no tries are left: {acts:?}");
}

#[test]
fn who_is_out_of_service_is_named_so_and_not_as_unreached_or_held() {
    // Goal: nobody searches for a pump that was scrapped. Method: one that was heard and is lost, one retired before it was
    // heard, under a hold; both as the reason table names them.
    let mut ward = Ward::new(rollout(3, 0));
    ward.rollout().waves.truncate(1);
    ward.waits(0, "w1", FREE, at(1));
    for (number, state) in [(0, Trust::Lost), (1, Trust::Retired)] {
        ward.pumps.get_mut(&number).expect("a pump").state = state;
    }
    let (covers, by, reason) = (Covers::Model("VP-3".into()), "nurse".into(), "rounds".into());
    let hold = Hold { v: 1, id: name("h"), covers, by, reason, at: at(2), until: None, lapsed: None };
    ward.book.holds.insert(name("h"), hold);
    let fleet = ward.fleet(at(3));
    let reasons = ward.book.reasons(&ward.book.rollouts[&ward.of], &fleet, at(3));
    let told: Vec<(&str, u32)> = reasons.iter().map(|reason| (reason.code.as_str(), reason.count)).collect();
    assert_eq!(told, [("unreached", 2), ("out-of-service", 1)]);
    ward.pumps.get_mut(&1).expect("a pump").last_seen = Some(at(1));
    let fleet = ward.fleet(at(3));
    let devices = ward.book.devices_of(&ward.book.rollouts[&ward.of], &fleet, "out-of-service", at(3));
    assert_eq!(devices, [id(0), id(1)]);
}

/// Three pumps with the go, of which two came for it.
fn two_of_three_came() -> Ward {
    let mut ward = Ward::new(rollout(3, 0));
    ward.rollout().waves.truncate(1);
    for number in 0..3 {
        ward.waits(number, "w1", FREE, NOW);
    }
    assert_eq!(ward.step(NOW).len(), 3);
    for number in 0..2 {
        ward.waits(number, "w1", FREE, at(1));
    }
    ward
}

#[test]
fn a_pause_leaves_the_go_to_whoever_came_for_it_and_frees_the_other_places() {
    // Goal: a rollout that is paused for weeks keeps no place that nobody uses. Method: two of three came for their go.
    let mut ward = two_of_three_came();
    ward.by("pause", at(2));
    assert_eq!(ward.step(at(900)), []);
    let taken = Act::TakeBack { wave: 0, device: id(2), action: Action::Install };
    assert_eq!(ward.step(at(901)), [taken]);
    assert!(ward.tell(0, at(901)).permit.is_some() && ward.gos() == 2);
    assert_eq!(ward.step(at(86_400)), [], "and nobody is called silent while it rests");
}

#[test]
fn a_stop_takes_the_go_back_from_all_who_still_wait_and_leaves_the_place_to_who_rebooted() {
    // Goal: what stands still keeps no place but of those who may be on their way. Method: of three one never heard of its go,
    // one says after the stop that it misses one, one has rebooted.
    let mut ward = two_of_three_came();
    ward.by("stop", at(2));
    let taken = |number| Act::TakeBack { wave: 0, device: id(number), action: Action::Install };
    assert_eq!(ward.step(at(2)), [taken(2)]);
    ward.waits(0, "w1", FREE, at(3));
    assert_eq!((ward.step(at(4)), ward.gos()), ([taken(0)].into(), 1));
    assert_eq!(ward.step(at(5)), [], "the other one may be rebooting");
    let silent = Act::Silent { wave: 0, device: id(1), action: Action::Install };
    assert_eq!((ward.step(at(86_400)), ward.gos()), ([silent].into(), 0));
}

#[test]
fn who_speaks_after_a_stop_with_the_go_in_hand_keeps_its_place() {
    // Goal: a place is free when the device says that it misses the go, not when it says anything. Method: after a stop one reads
    // its slot back and names nothing in its way, one fetches anew; then the first misses its go.
    let mut ward = two_of_three_came();
    ward.by("stop", at(2));
    assert_eq!(ward.step(at(2)).len(), 1);
    ward.waits(0, "w1", &[], at(3));
    ward.say(1, at(3), report(UpdateState::Fetching, Some("w1"), &[]), Action::Install);
    let taken = |number| Act::TakeBack { wave: 0, device: id(number), action: Action::Install };
    assert_eq!(ward.step(at(4)), [taken(1)], "who fetches again cannot reboot");
    ward.waits(0, "w1", FREE, at(5));
    assert_eq!(ward.step(at(6)), [taken(0)]);
}

#[test]
fn a_stop_by_a_clock_ahead_keeps_no_place_until_its_time_comes() {
    // Goal: a time that has not come bounds nothing. Method: stopped a year from now; the clock is set right; one misses its go.
    let mut ward = two_of_three_came();
    ward.by("stop", at(365 * 86_400));
    ward.waits(0, "w1", FREE, at(3));
    let taken = |number| Act::TakeBack { wave: 0, device: id(number), action: Action::Install };
    assert_eq!(ward.step(at(4)), [taken(0), taken(2)]);
}
