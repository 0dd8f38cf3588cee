//! Tests of what a reader of the engine found: gos that nobody heard of, holds over dark devices, refusals that are none,
//! orders that are others, waves that show nothing, and what the check must see by itself.

use alloc::string::ToString;
use alloc::vec;

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::Outcome;
use cordon_proto::update::order::Order;

use super::fixture::*;
use super::*;

const FREE: &[&str] = &["no-permit"];

fn taken(number: u8, action: Action) -> Act {
    Act::TakeBack { wave: 0, device: id(number), action }
}

fn silent(number: u8) -> Act {
    Act::Silent { wave: 0, device: id(number), action: Action::Install }
}

fn permit(number: u8) -> Act {
    Act::Permit { wave: 0, device: id(number) }
}

/// One wave over so many pumps that all ask, before any step.
fn asking(count: u8) -> Ward {
    let mut ward = Ward::new(rollout(count, 0));
    ward.rollout().waves.truncate(1);
    for number in 0..count {
        ward.waits(number, "w1", FREE, NOW);
    }
    ward
}

#[test]
fn a_go_that_nobody_came_for_is_no_silence_and_one_that_was_told_is() {
    // Goal: a device that speaks every six hours does not fail for a go it never heard of; one that went dark with the go
    // does. Method: two pumps, one place; the first sleeps over its go, comes again, is let go in that check-in, and
    // is heard no more.
    let mut ward = asking(2);
    ward.rollout().policy = Policy { in_flight: 1, soak_s: 60, ..Policy::default() };
    assert_eq!(ward.step(NOW), [permit(0)]);
    let at = |s: i64| NOW.plus_seconds(s);
    assert_eq!(ward.step(at(900)), []);
    assert_eq!(ward.step(at(901)), [taken(0, Action::Install), permit(1)], "its place is another's");
    ward.waits(1, "w1", &["interlock"], at(910));
    assert_eq!(ward.step(at(911)), [taken(1, Action::Install)], "nothing for one that did not come");
    assert_eq!(ward.step(at(20_000)), []);
    let facts = &ward.fleet(at(20_000))[&id(0)];
    assert_eq!(facts.stage(&Policy::default(), at(20_000)), Stage::Waiting, "no failure");
    ward.waits(0, "w1", FREE, at(21_600));
    assert!(ward.is_given_at_check_in(0, at(21_600)));
    let go = ward.tell(0, at(21_600));
    assert!(go.permit.is_some() && !go.is_news, "written down before it is told");
    assert_eq!(ward.step(at(21_600 + 10_800)), []);
    assert_eq!(ward.step(at(21_600 + 10_801))[0], silent(0));
}

#[test]
fn a_go_of_an_earlier_version_of_the_server_is_taken_for_told() {
    // Goal: nobody who died under an old server is overlooked. Method: progress as it was stored before.
    let mut ward = asking(1);
    let old = alloc::format!(r#"{{"v":1,"permitted":{},"outcome":null,"ended":null,"reason":null}}"#, NOW.0);
    let known: Progress = serde_json::from_str(&old).expect("reads");
    ward.book.progress.entry(name("r-1")).or_default().insert(id(0), known);
    assert_eq!(ward.step(NOW.plus_seconds(601))[0], silent(0));
}

#[test]
fn what_is_given_at_a_check_in_is_what_the_plan_would_give() {
    // Goal: no second way to a go. Method: no place; in use; a halt; a place.
    let mut ward = asking(3);
    ward.rollout().policy.in_flight = 1;
    assert!(ward.is_given_at_check_in(2, NOW));
    assert!(!ward.is_given_at_check_in(2, NOW) && !ward.is_given_at_check_in(1, NOW), "one place");
    let ended = receipt(&ward.pumps[&2].clone(), "w1", Outcome::Confirmed);
    ward.count(&ended, NOW).expect("an open row");
    ward.waits(0, "w1", &["no-permit", "interlock"], NOW);
    assert!(!ward.is_given_at_check_in(0, NOW), "in use");
    let failed = Progress { outcome: Some(Outcome::RolledBack), ..Progress::default() };
    ward.book.progress.entry(name("r-1")).or_default().insert(id(0), failed);
    assert!(!ward.is_given_at_check_in(1, NOW), "it has to stop");
    ward.book.progress.entry(name("r-1")).or_default().remove(&id(0));
    assert!(ward.is_given_at_check_in(1, NOW));
    assert_eq!(ward.step(NOW), [], "nothing is left to give");
}

#[test]
fn nobody_sleeps_over_the_way_back_either() {
    // Goal: the same for the return. Method: a confirmed pump asks, gets the go at a tick, sleeps; then inside a check-in.
    let mut ward = asking(1);
    ward.step(NOW);
    let ended = receipt(&ward.pumps[&0].clone(), "w1", Outcome::Confirmed);
    ward.count(&ended, NOW).expect("an open row");
    ward.by("back", NOW);
    let asks = |ward: &mut Ward, s| {
        let said = report(UpdateState::Waiting, Some("w1"), FREE);
        ward.say(0, NOW.plus_seconds(s), said, Action::Back);
    };
    asks(&mut ward, 0);
    assert_eq!(ward.step(NOW), [Act::Back { wave: 0, device: id(0) }]);
    assert_eq!(ward.step(NOW.plus_seconds(901)), [taken(0, Action::Back)]);
    assert_eq!(ward.step(NOW.plus_seconds(9000)), []);
    asks(&mut ward, 21_600);
    assert!(ward.is_given_at_check_in(0, NOW.plus_seconds(21_600)));
    assert!(ward.tell(0, NOW.plus_seconds(21_600)).permit.is_some());
}

#[test]
fn a_hold_does_not_hide_a_device_that_went_dark_after_its_go() {
    // Goal: a pump that died of the release is a failure, whatever a person holds. Method: told its go; a hold over the
    // ward; it is heard no more. One that is heard under the hold is kept, and no failure.
    for heard in [false, true] {
        let mut ward = asking(1);
        ward.step(NOW);
        ward.waits(0, "w1", &[], NOW.plus_seconds(1));
        let (id_, covers) = (name("h"), Covers::Model("VP-3".to_string()));
        let (by, reason, at) = ("m".to_string(), "a move".to_string(), NOW.plus_seconds(5));
        ward.book
            .holds
            .insert(id_.clone(), Hold { v: 1, id: id_, covers, by, reason, at, until: None, lapsed: None });
        if heard {
            ward.waits(0, "w1", FREE, NOW.plus_seconds(6));
            assert_eq!(ward.step(NOW.plus_seconds(7)), [taken(0, Action::Install)]);
        }
        let acts = ward.step(NOW.plus_seconds(700));
        assert_eq!(acts.first() == Some(&silent(0)), !heard, "{acts:?}");
    }
}

#[test]
fn a_place_is_free_again_when_another_rollout_has_the_device() {
    // Goal: no place leaks. Method: the go; then the pump asks for the order of another rollout, for ever.
    let mut ward = asking(1);
    assert_eq!(ward.step(NOW), [permit(0)]);
    ward.waits(0, "w9", FREE, NOW.plus_seconds(5));
    assert_eq!(ward.step(NOW.plus_seconds(6)), [taken(0, Action::Install)]);
    assert_eq!(ward.gos(), 0);
}

#[test]
fn who_got_a_newer_release_from_another_rollout_refuses_nothing() {
    // Goal: two rollouts for one pump do not halt one another. Method: it says not-newer; with the other rollout's
    // confirmed image, with an image that nobody here brought, and without a confirmation.
    let mut ward = asking(1);
    let newer = Sha256([7; 32]);
    let mut other =
        Rollout { id: name("r-2"), release: "vp-3/4.3.0".parse().expect("a path"), ..rollout(1, 0) };
    other.waves[0].order = name("w9");
    let mut signed = Signed::from(&order("w9"));
    signed.sha256 = newer;
    other.waves[0].signed = Some(signed);
    ward.book.rollouts.insert(name("r-2"), other);
    let stage = |ward: &mut Ward, runs, outcome| {
        let known = Progress { outcome, ..Progress::default() };
        ward.book.progress.entry(name("r-2")).or_default().insert(id(0), known);
        let mut said = report(UpdateState::Refused, Some("w1"), &["not-newer"]);
        said.software.sha256 = runs;
        ward.say(0, NOW, said, Action::Install);
        ward.fleet(NOW)[&id(0)].stage(&Policy::default(), NOW)
    };
    let confirmed = Some(Outcome::Confirmed);
    assert_eq!(stage(&mut ward, newer, confirmed), Stage::Already);
    assert_eq!(stage(&mut ward, Sha256([8; 32]), confirmed), Stage::Failed(Failure::Refused));
    assert_eq!(stage(&mut ward, newer, None), Stage::Failed(Failure::Refused));
}

#[test]
fn receipts_of_an_order_that_is_withdrawn_are_read_by_what_is_kept_with_the_wave() {
    // Goal: a restart forgets no receipt. Method: the order leaves the list; the row is read from the stored wave.
    let mut ward = asking(1);
    ward.rollout().waves[0].signed = Some(Signed::from(&order("w1")));
    ward.step(NOW);
    let stored = serde_json::to_string(ward.rollout()).expect("writes");
    let again: Rollout = serde_json::from_str(&stored).expect("reads");
    let signed = again.waves[0].signed.clone().expect("kept");
    assert_eq!(signed.back, Some(EARLIER));
    let progress = ward.book.progress[&name("r-1")][&id(0)].clone();
    let row = Row { order: &again.waves[0].order, signed: &signed, begun: NOW, progress: &progress };
    let good = receipt(&ward.pumps[&0].clone(), "w1", Outcome::Confirmed);
    assert_eq!(count(&good, &row, NOW).map(|known| known.outcome), Ok(Some(Outcome::Confirmed)));
    let other = cordon_proto::receipt::ReceiptBody { sha256: EARLIER, ..good };
    assert_eq!(count(&other, &row, NOW), Err(NotCounted::OtherImage));
}

#[test]
fn an_order_that_was_signed_anew_for_another_release_is_another_order() {
    // Goal: a name is no order. Method: the same name, then for another release, then with other bytes.
    let mut ward = asking(1);
    ward.rollout().waves[0].signed = Some(Signed::from(&order("w1")));
    ward.step(NOW);
    ward.waits(0, "w1", &[], NOW.plus_seconds(1));
    let told = |ward: &Ward| ward.tell(0, NOW.plus_seconds(2)).order.is_some();
    assert!(told(&ward));
    let mut anew = order("w1");
    anew.image.release = "vp-3/4.3.0".parse().expect("a path");
    ward.book.orders.insert(name("w1"), anew.clone());
    assert!(!told(&ward));
    anew.image.release = "vp-3/4.2.2".parse().expect("a path");
    anew.image.sha256 = Sha256([9; 32]);
    ward.book.orders.insert(name("w1"), anew);
    assert!(!told(&ward));
    let rollout = ward.rollout().clone();
    assert!(ward.book.orders_of(&rollout).is_empty());
    ward.book.orders.insert(name("w1"), Order { reason: text("said better"), ..order("w1") });
    assert!(told(&ward), "the same release and bytes under a new signature");
}

#[test]
fn a_refusal_of_the_way_back_counts_until_the_way_back_closes() {
    // Goal: a return does not wait for devices that said no. Method: the refusal before and after the order's end, and
    // after the end of the way back.
    let mut ward = asking(1);
    ward.step(NOW);
    let ended = receipt(&ward.pumps[&0].clone(), "w1", Outcome::Confirmed);
    ward.count(&ended, NOW).expect("an open row");
    ward.by("back", NOW);
    let (expires, until) = (NOW.plus_seconds(14 * 86_400), NOW.plus_seconds(30 * 86_400));
    for (at, seen) in [(NOW, true), (expires, true), (until.plus_seconds(-1), true), (until, false)] {
        ward.say(0, at, report(UpdateState::Refused, Some("w1"), &["below-floor"]), Action::Back);
        assert_eq!(ward.fleet(at)[&id(0)].refused.is_some(), seen, "{at}");
    }
}

fn end(outcome: Outcome) -> DeviceFacts {
    DeviceFacts { trusted: true, permitted: Some(NOW), receipt: Some(outcome), ..DeviceFacts::default() }
}

fn had_it() -> DeviceFacts {
    DeviceFacts { already: true, ..DeviceFacts::default() }
}

#[test]
fn a_wave_that_shows_nothing_does_not_open_the_next() {
    // Goal: the second wave begins on somebody's receipt. Method: first waves of nobody but those who had the image; the
    // same after one that confirmed, and as the last one; plan and check each by themselves.
    let settles = |rollout: &Rollout, fleet: &Fleet, wave: usize| {
        let act = Act::Settle { wave };
        let passes = check_at(rollout, fleet, core::slice::from_ref(&act), NOW).is_ok();
        assert_eq!(passes, may_settle(rollout, wave, fleet, NOW), "plan and check agree");
        passes && plan_at(rollout, fleet, NOW).contains(&act)
    };
    let mut two = rollout(2, 2);
    let mut fleet: Fleet = (0..2).map(|n| (id(n), had_it())).collect();
    assert!(!settles(&two, &fleet, 0));
    let acts = plan_at(&two, &fleet, NOW);
    assert!(
        matches!(acts.as_slice(), [Act::Halt { wave: 0, reason }] if reason.contains("0 of 2 are confirmed"))
    );
    fleet.insert(id(1), end(Outcome::Confirmed));
    assert!(settles(&two, &fleet, 0), "one of one that could");
    two.waves[0].settled = Some(NOW);
    two.waves[1].started = Some(NOW);
    fleet.extend((2..4).map(|n| (id(n), had_it())));
    assert!(settles(&two, &fleet, 1), "the first wave has shown it");
    let mut one = rollout(2, 0);
    one.waves.truncate(1);
    let fleet: Fleet = (0..2).map(|n| (id(n), had_it())).collect();
    assert!(settles(&one, &fleet, 0), "nothing comes after it");
}

#[test]
fn a_wave_in_which_everybody_failed_stops_even_where_the_limit_is_wide() {
    // Goal: "a tenth and one device are confirmed" is true as it is printed. Method: all of four fail at a limit that
    // nothing breaks; silent ones that will be tried again; a wave that is smaller than the number asked for.
    let mut rollout = rollout(4, 2);
    rollout.policy.failure_limit_permille = 999;
    let fleet: Fleet = (0..4).map(|n| (id(n), end(Outcome::RolledBack))).collect();
    assert!(!may_settle(&rollout, 0, &fleet, NOW));
    assert!(matches!(plan_at(&rollout, &fleet, NOW).as_slice(), [Act::Halt { .. }]));
    let settle = [Act::Settle { wave: 0 }];
    assert_eq!(check_at(&rollout, &fleet, &settle, NOW), Err(Violation::SettledTooEarly));
    let dark = DeviceFacts { silent: Some(NOW), tries: 1, trusted: true, ..DeviceFacts::default() };
    let fleet: Fleet = (0..4).map(|n| (id(n), dark.clone())).collect();
    assert_eq!(plan_at(&rollout, &fleet, NOW), [], "they are tried again");
    rollout.policy.advance.least_confirmed = 9;
    let fleet: Fleet = (0..4).map(|n| (id(n), end(Outcome::Confirmed))).collect();
    assert_eq!(plan_at(&rollout, &fleet, NOW), settle);
}

#[test]
fn the_check_sees_by_itself_who_is_silent_and_whose_go_may_be_taken() {
    // Goal: a wrong plan frees no place. Method: forged acts over a pump at work, a dark one, one that never came, one in
    // use; and a forged place for another.
    let rollout = rollout(3, 0);
    let with = |facts: DeviceFacts| -> Fleet { [(id(0), facts)].into() };
    let at = |facts: &DeviceFacts, act: Act, s: i64| {
        check_at(&rollout, &with(facts.clone()), &[act], NOW.plus_seconds(s))
    };
    let heard = |s: i64, codes: &[&str]| DeviceFacts {
        heard: Some(NOW.plus_seconds(s)),
        permitted: Some(NOW),
        told: GoTold::At(NOW),
        state: Some(UpdateState::Waiting),
        rules: codes.iter().map(|code| text(code)).collect(),
        asks: Some((name("w1"), Action::Install)),
        trusted: true,
        ..DeviceFacts::default()
    };
    let works = heard(1, &[]);
    let back = || taken(0, Action::Install);
    assert_eq!(at(&works, back(), 60), Err(Violation::TakenWithoutCause));
    assert_eq!(at(&works, silent(0), 601), Err(Violation::NotSilent));
    assert_eq!(at(&works, silent(0), 602), Ok(()));
    assert_eq!(at(&heard(1, &["interlock"]), back(), 60), Ok(()));
    let asleep = DeviceFacts { told: GoTold::NotYet, ..heard(-5, &[]) };
    assert_eq!(at(&asleep, silent(0), 90_000), Err(Violation::NotSilent));
    assert_eq!(
        (at(&asleep, back(), 900), at(&asleep, back(), 901)),
        (Err(Violation::TakenWithoutCause), Ok(()))
    );
    let mut full = rollout.clone();
    full.policy.in_flight = 1;
    let mut fleet = with(works);
    fleet.insert(id(1), DeviceFacts { permitted: None, ..heard(1, FREE) });
    let busy = heard(1, &["interlock"]);
    let both = [back(), back(), permit(1)];
    assert_eq!(check_at(&full, &fleet, &[back(), permit(1)], NOW), Err(Violation::TakenWithoutCause));
    fleet.insert(id(0), busy);
    assert_eq!(check_at(&full, &fleet, &both[1..], NOW), Ok(()));
    assert_eq!(check_at(&full, &fleet, &both, NOW), Err(Violation::Nonsense), "one go ends once");
}

#[test]
fn a_refused_plan_keeps_its_stop() {
    // Goal: a mistake in a plan does not keep a bad release going. Method: a halt beside a forged go, and beside nothing.
    let rollout = rollout(2, 0);
    let (fleet, orders) = (Fleet::new(), orders());
    let sight = Sight { fleet: &fleet, orders: &orders, room: IN_FLIGHT_TOTAL, now: NOW };
    let halt = Act::Halt { wave: 0, reason: "failures".to_string() };
    let (acts, violation) = passed(&rollout, &sight, vec![silent(0), halt.clone(), permit(1)]);
    assert_eq!((acts, violation.is_some()), (vec![halt.clone()], true));
    assert_eq!(passed(&rollout, &sight, vec![permit(1)]).0, []);
    assert_eq!(passed(&rollout, &sight, vec![halt.clone()]), (vec![halt], None));
}

#[test]
fn whether_it_would_stop_at_once_is_known_before_it_goes_on() {
    // Goal: going on gives no go out for a moment. Method: a halted rollout with three failures of three; the same after
    // one had bad luck in a large wave; a return that went wrong.
    let (mut rollout, listed) = (rollout(4, 0), orders());
    rollout.state = State::Halted { at: NOW, wave: 0, reason: "failures".to_string() };
    let fleet: Fleet = (0..3).map(|n| (id(n), end(Outcome::RolledBack))).collect();
    let why = |rollout: &Rollout, fleet: &Fleet| {
        would_stop(rollout, &Sight { fleet, orders: &listed, room: IN_FLIGHT_TOTAL, now: NOW })
    };
    assert!(why(&rollout, &fleet).is_some_and(|words| words.contains("3 of 3 finished devices failed")));
    assert_eq!(why(&rollout, &Fleet::new()), None);
    let (by, reason) = ("m".to_string(), "it drifts".to_string());
    rollout.way_back = Some(WayBack { at: NOW, by, reason, in_flight: 100 });
    let gone = BackFacts { outcome: Some(Outcome::RolledBack), ..BackFacts::default() };
    let fleet: Fleet =
        (0..3).map(|n| (id(n), DeviceFacts { back: gone, ..end(Outcome::Confirmed) })).collect();
    assert!(why(&rollout, &fleet).is_some_and(|words| words.contains("the way back goes wrong")));
}
