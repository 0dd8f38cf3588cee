//! Rollouts of content: what devices are offered, when they count as done or failed, and that a bad one stops itself.
//!
//! Tests only; see [`super`].

use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, Blocked, ContentFault, UpdateState};
use cordon_proto::ids::Sha256;

use super::super::fixture::{NOW, Ward, id, name, report, rollout, text};
use super::super::{
    Act, Covers, Failure, Hold, IN_FLIGHT_TOTAL, Sight, Stage, apply, apply_progress, check, go_at_check_in,
    plan, tally, would_stop,
};
use super::*;
use crate::device::Report;

const VERSION: u64 = 7;

fn assignment(id: &str, version: u64) -> Assignment {
    Assignment {
        id: name(id),
        length: 300,
        sha256: Sha256([7; 32]),
        scope: Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 0, from_most: 9 },
        version,
        issued: NOW,
        expires: NOW.plus_seconds(30 * 86_400),
        reason: text("quieter nights"),
    }
}

/// A ward whose rollout brings a content in two waves; the first has begun.
fn ward(first: u8, second: u8) -> Ward {
    let mut rollout = rollout(first, second);
    rollout.kind = RolloutKind::Content;
    (rollout.repository, rollout.release) = (name("director"), Assignment::path_of(&name("icu")));
    rollout.content_version = Some(VERSION);
    let key = content_key(&name("icu")).expect("short");
    rollout.waves.iter_mut().for_each(|wave| wave.order = key.clone());
    let mut ward = Ward::new(rollout);
    ward.book.contents = Contents::of([assignment("icu", VERSION)]);
    ward
}

fn says(version: u64, fault: Option<(&str, u64)>) -> Report {
    let content_fault = fault.map(|(code, version)| ContentFault {
        content: name("icu"),
        version,
        why: Blocked { code: text(code), sentence: text("It says so.") },
    });
    Report { content_version: version, content_fault, ..report(UpdateState::Idle, None, &[]) }
}

/// A pump checks in; what it is offered in the answer is written down first.
fn say(ward: &mut Ward, pump: u8, at: Timestamp, said: Report) {
    ward.say(pump, at, said, Action::Install);
    let told = ward.book.tell_content(&ward.pumps[&pump], at);
    let Some(told) = told.filter(|told| told.is_news) else { return };
    let late = late(&ward.book.rollouts[&told.of]);
    let known = ward.book.progress.entry(told.of).or_default().entry(id(pump)).or_default();
    *known = known.offered(late, at).expect("news");
}

fn stage(ward: &Ward, pump: u8, now: Timestamp) -> Stage {
    let rollout = &ward.book.rollouts[&ward.of];
    ward.fleet(now)[&id(pump)].stage(&rollout.policy, now)
}

/// Over what a plan of the ward is made.
fn sighted<T>(ward: &Ward, now: Timestamp, look: impl Fn(&Rollout, &Sight<'_>) -> T) -> T {
    let rollout = &ward.book.rollouts[&ward.of];
    let (fleet, orders) = (ward.fleet(now), ward.book.orders_of(rollout));
    look(rollout, &Sight { fleet: &fleet, orders: &orders, room: IN_FLIGHT_TOTAL, now })
}

/// Count, plan, check, apply, as the server does.
fn step(ward: &mut Ward, now: Timestamp) -> Vec<Act> {
    let rollout = ward.book.rollouts[&ward.of].clone();
    for pump in ward.pumps.values() {
        if let Some(progress) = ward.book.content_progress(&rollout, pump, now) {
            ward.book.progress.entry(ward.of.clone()).or_default().insert(pump.id, progress);
        }
    }
    let acts = sighted(ward, now, |rollout, sight| {
        let acts = plan(rollout, sight);
        assert_eq!(check(rollout, sight, &acts), Ok(()), "{acts:?}");
        acts
    });
    for act in &acts {
        apply(ward.rollout(), act, now);
        if let Act::Permit { device, .. } | Act::TakeBack { device, .. } | Act::Silent { device, .. } = act {
            let known = ward.book.progress.entry(ward.of.clone()).or_default().entry(*device).or_default();
            *known = apply_progress(known, act, now).expect("an act on a device");
        }
    }
    acts
}

/// These pumps ask, are given their places, and are told.
fn tries(ward: &mut Ward, pumps: impl IntoIterator<Item = u8> + Clone, at: Timestamp) {
    pumps.clone().into_iter().for_each(|pump| say(ward, pump, at, says(0, None)));
    step(ward, at);
    pumps.into_iter().for_each(|pump| say(ward, pump, at, says(0, None)));
}

fn places(acts: &[Act]) -> Vec<DeviceId> {
    let given = acts.iter().filter_map(|act| match act {
        Act::Permit { device, .. } => Some(*device),
        _ => None,
    });
    given.collect()
}

fn offered(ward: &Ward, pump: u8, now: Timestamp) -> Option<u64> {
    assert_eq!(ward.tell(pump, now).order, None, "a content is no order");
    ward.book.tell_content(&ward.pumps[&pump], now).map(|told| {
        assert_eq!(told.offer.content, name("icu"), "devices know it by its own name");
        told.version
    })
}

fn hold(ward: &mut Ward, at: Timestamp) {
    let (covers, by, reason) = (Covers::Model("VP-3".into()), "nurse".into(), "rounds".into());
    let hold = Hold { v: 1, id: name("h"), covers, by, reason, at, until: None, lapsed: None };
    ward.book.holds.insert(name("h"), hold);
}

/// A moment after everybody who knows of the content has been silent for too long.
fn too_long(at: Timestamp) -> Timestamp {
    at.plus_seconds(i64::from(CONTENT_SILENT_S) + 1)
}

#[test]
fn a_content_is_offered_wave_by_wave_and_done_by_the_devices_own_word() {
    // Goal: staged like firmware, without a go. Method: two waves; the first takes it, is watched, the second follows.
    let mut ward = ward(2, 2);
    assert_eq!((offered(&ward, 0, NOW), stage(&ward, 0, NOW)), (None, Stage::Unreached));
    let heard = NOW.plus_seconds(10);
    (0..3).for_each(|pump| say(&mut ward, pump, heard, says(0, None)));
    assert_eq!(stage(&ward, 0, heard), Stage::Waiting, "it has no place yet");
    assert_eq!(places(&step(&mut ward, heard)), [id(0), id(1)]);
    assert_eq!((offered(&ward, 0, heard), offered(&ward, 2, heard)), (Some(VERSION), None));
    say(&mut ward, 0, heard, says(0, None));
    assert_eq!(stage(&ward, 0, heard), Stage::Installing, "it was offered and tries it");
    assert_eq!(step(&mut ward, heard), [], "nothing is settled");
    say(&mut ward, 1, heard, says(0, None));
    for pump in [0, 1] {
        say(&mut ward, pump, NOW.plus_seconds(700), says(VERSION, None));
    }
    let done = NOW.plus_seconds(701);
    assert_eq!(stage(&ward, 0, done), Stage::Confirmed);
    assert_eq!(step(&mut ward, done), [Act::Settle { wave: 0 }]);
    assert_eq!(step(&mut ward, done.plus_seconds(59)), [], "the watch");
    assert_eq!(step(&mut ward, done.plus_seconds(60)), [Act::Begin { wave: 1 }]);
    let late = done.plus_seconds(61);
    tries(&mut ward, [2], late);
    assert_eq!(offered(&ward, 2, late), Some(VERSION));
    say(&mut ward, 2, late, says(VERSION, None));
    say(&mut ward, 3, late, says(VERSION + 1, None));
    assert_eq!(stage(&ward, 3, late), Stage::Already, "it never tries this one");
    step(&mut ward, late);
    assert_eq!(step(&mut ward, late.plus_seconds(60)), [Act::Finish]);
    let after = late.plus_seconds(61);
    assert_eq!(offered(&ward, 0, after), Some(VERSION), "who has it keeps the offer");
    ward.book.progress.clear();
    say(&mut ward, 1, after, says(0, None));
    assert_eq!(offered(&ward, 1, after), Some(VERSION), "who comes late needs no place");
    assert!(ward.book.progress[&ward.of][&id(1)].offered.is_some(), "and is written down as told");
}

#[test]
fn a_content_that_devices_give_back_stops_its_rollout_and_reaches_nobody_else() {
    // Goal: a bad content ends in the first wave, also when a device goes on to another one. Method: a restore; what the
    // others are offered; the same device with a later content in force and its fault forgotten.
    let mut ward = ward(10, 10);
    tries(&mut ward, 0..10, NOW.plus_seconds(5));
    say(&mut ward, 0, NOW.plus_seconds(60), says(0, Some(("content-crash", VERSION))));
    let at = NOW.plus_seconds(61);
    let acts = step(&mut ward, at);
    assert!(matches!(acts[..], [Act::Halt { wave: 0, .. }]), "{acts:?}");
    assert_eq!(stage(&ward, 0, at), Stage::Failed(Failure::RolledBack));
    let after = NOW.plus_seconds(99_999);
    assert!((0..20).all(|pump| offered(&ward, pump, after).is_none()), "nobody is offered it any more");
    for forgotten in [says(VERSION + 1, None), says(0, None), says(VERSION, None)] {
        say(&mut ward, 0, at, forgotten);
        assert_eq!(stage(&ward, 0, at), Stage::Failed(Failure::RolledBack), "the first word counts");
    }
    let known = &ward.book.progress[&ward.of][&id(0)];
    assert_eq!(known.reason.as_ref().map(|why| why.code.as_str()), Some("content-crash"));
    assert!(sighted(&ward, at, would_stop).is_some(), "and it may not go on");
}

#[test]
fn no_more_devices_try_a_content_at_once_than_the_policy_allows() {
    // Goal: a content that strikes all of a wave at once finds a few. Method: ten that ask, three places, in their order;
    // one ends, one sleeps through its place, one asks in a check-in of its own.
    let mut ward = ward(10, 1);
    let at = NOW.plus_seconds(9);
    (0..10).for_each(|pump| say(&mut ward, pump, at, says(0, None)));
    assert_eq!(places(&step(&mut ward, at)), [id(0), id(1), id(2)]);
    (0..2).for_each(|pump| say(&mut ward, pump, at, says(0, None)));
    assert_eq!((0..10).filter(|pump| offered(&ward, *pump, at).is_some()).count(), 3);
    assert_eq!(step(&mut ward, at), []);
    say(&mut ward, 1, at, says(VERSION, None));
    assert_eq!(places(&step(&mut ward, at)), [id(3)], "a place is free");
    say(&mut ward, 3, at, says(0, None));
    let slept = at.plus_seconds(901);
    say(&mut ward, 0, slept, says(0, None));
    let taken = Act::TakeBack { wave: 0, device: id(2), action: Action::Install };
    assert!(step(&mut ward, slept).contains(&taken), "it never came for its place");
    let fresh = sighted(&ward, slept, |rollout, sight| go_at_check_in(rollout, sight, id(9)));
    assert_eq!(fresh, Ok(None), "the place went to the next one");
    say(&mut ward, 0, slept, says(VERSION, None));
    let fresh = sighted(&ward, slept, |rollout, sight| go_at_check_in(rollout, sight, id(9)));
    assert_eq!(fresh, Ok(Some(Act::Permit { wave: 0, device: id(9) })), "it is here");
    let later = slept.plus_seconds(1);
    for pump in 0..10 {
        say(&mut ward, pump, later, says(if pump < 2 { VERSION } else { 0 }, None));
    }
    step(&mut ward, later);
    let trying =
        |pump: &u8| offered(&ward, *pump, later).is_some() && stage(&ward, *pump, later) != Stage::Confirmed;
    assert_eq!((0..10).filter(trying).count(), 3);
}

#[test]
fn devices_that_hold_a_later_content_open_no_wave_for_one_that_nobody_tried() {
    // Goal: staging cannot be stepped over by another content's number. Method: a first wave of such devices alone.
    let mut ward = ward(2, 10);
    let at = NOW.plus_seconds(9);
    for pump in [0, 1] {
        say(&mut ward, pump, at, says(VERSION + 1, None));
    }
    for late in [0, 60, 99_999] {
        let acts = step(&mut ward, at.plus_seconds(late));
        assert!(!acts.iter().any(|act| matches!(act, Act::Begin { .. } | Act::Finish)), "{acts:?}");
    }
    let mut further = self::ward(1, 1);
    tries(&mut further, [0], at);
    say(&mut further, 0, at, says(VERSION + 1, None));
    assert_eq!(stage(&further, 0, at), Stage::Already, "also where it was offered this one before");
    assert_eq!(further.gos(), 1);
    step(&mut further, at);
    assert_eq!(further.gos(), 0, "its place is free");
}

#[test]
fn a_server_that_was_off_calls_nobody_silent_for_what_it_did_not_hear() {
    // Goal: a server that was down for a day does not halt its contents by its own absence. Method: a pump that was told,
    // and a server that is there again after all patience; the same patience again; and a start under a clock ahead.
    let at = NOW.plus_seconds(9);
    let mut ward = ward(1, 1);
    tries(&mut ward, [0], at);
    let back = too_long(at).plus_seconds(86_400);
    ward.book.there = Some(back);
    assert_eq!(stage(&ward, 0, back.plus_seconds(601)), Stage::Installing, "metered, every six hours");
    assert_eq!(stage(&ward, 0, too_long(back).plus_seconds(-1)), Stage::Installing);
    assert_eq!(stage(&ward, 0, too_long(back)), Stage::Failed(Failure::Silent));
    ward.book.there = Some(NOW.plus_seconds(31_536_000));
    assert_eq!(stage(&ward, 0, too_long(at)), Stage::Failed(Failure::Silent), "a start that has not come");
}

#[test]
fn a_wave_that_a_clock_ahead_began_is_begun_by_the_time_of_now() {
    // Goal: a clock that was a year ahead for a minute keeps no content away for a year. Method: a pump that speaks after
    // the clock was set right.
    let mut ward = ward(1, 1);
    ward.rollout().waves[0].started = Some(NOW.plus_seconds(31_536_000));
    let at = NOW.plus_seconds(9);
    say(&mut ward, 0, at, says(0, None));
    assert_eq!(step(&mut ward, at), [Act::Begin { wave: 0 }]);
    assert_eq!(places(&step(&mut ward, at)), [id(0)]);
}

#[test]
fn a_refusal_for_good_is_a_failure_and_one_of_another_version_is_not() {
    // Goal: the fault is of this very version. Method: each code, another version, a later one in force.
    let mut ward = ward(3, 1);
    let at = NOW.plus_seconds(9);
    for (code, version, expected) in [
        ("content-unfit", VERSION, Stage::Failed(Failure::Refused)),
        ("content-memory", VERSION, Stage::Failed(Failure::RolledBack)),
        ("content-crash", VERSION - 1, Stage::Waiting),
    ] {
        say(&mut ward, 0, at, says(0, Some((code, version))));
        assert_eq!(stage(&ward, 0, at), expected, "{code} {version}");
    }
    say(&mut ward, 0, at, says(VERSION, Some(("content-unfit", VERSION + 1))));
    assert_eq!(stage(&ward, 0, at), Stage::Already, "it was not offered it here");
    tries(&mut ward, [0], at);
    say(&mut ward, 0, at, says(VERSION, Some(("content-unfit", VERSION + 1))));
    assert_eq!(stage(&ward, 0, at), Stage::Confirmed);
    let rollout = ward.book.rollouts[&ward.of].clone();
    let counted = tally(&rollout.waves[0], &ward.fleet(at), &rollout.policy, at);
    assert_eq!((counted.confirmed, counted.unreached), (1, 2));
}

#[test]
fn holds_stops_and_ends_keep_a_content_away() {
    // Goal: a person without a key may stop it. Method: each in turn, on a device that has its place.
    let at = NOW.plus_seconds(9);
    let mut held = ward(1, 1);
    tries(&mut held, [0], at);
    hold(&mut held, at);
    assert_eq!(offered(&held, 0, at), None);
    assert_eq!(step(&mut held, at), [], "its place is free");
    assert_eq!(stage(&held, 0, at), Stage::Waiting);
    for word in ["pause", "stop", "abort"] {
        let mut stopped = ward(1, 1);
        tries(&mut stopped, [0], at);
        stopped.by(word, at);
        assert_eq!(offered(&stopped, 0, at), None, "{word}");
    }
    let mut over = ward(1, 1);
    tries(&mut over, [0], at);
    let end = assignment("icu", VERSION).expires;
    assert_eq!(offered(&over, 0, end.plus_seconds(-1)), Some(VERSION));
    assert_eq!(offered(&over, 0, end), None);
}

#[test]
fn silence_counts_from_the_offer_and_only_while_it_stands() {
    // Goal: a device that died with it is seen, and a cupboard is no failure. Method: one that was told; one that was not;
    // and one that was told before a hold, a pause and a loss that outlast all patience.
    let at = NOW.plus_seconds(9);
    let mut told = ward(1, 1);
    tries(&mut told, [0], at);
    assert_eq!(stage(&told, 0, too_long(at).plus_seconds(-1)), Stage::Installing, "metered, every six hours");
    assert_eq!(stage(&told, 0, too_long(at)), Stage::Failed(Failure::Silent));
    let acts = step(&mut told, too_long(at));
    assert!(matches!(acts[..], [Act::Silent { .. }, Act::Halt { .. }]), "{acts:?}");
    let mut untold = ward(4, 1);
    tries(&mut untold, 0..4, at);
    (0..3).for_each(|pump| say(&mut untold, pump, too_long(at), says(0, None)));
    assert_eq!(stage(&untold, 3, too_long(at)), Stage::Waiting, "it was heard, and never offered it");
    for kept in ["hold", "pause", "lost"] {
        let mut ward = ward(1, 1);
        tries(&mut ward, [0], at);
        match kept {
            "hold" => hold(&mut ward, at),
            "pause" => ward.by("pause", at),
            _ => ward.pumps.get_mut(&0).expect("there").state = crate::device::State::Lost,
        }
        let monday = too_long(too_long(at));
        assert_ne!(stage(&ward, 0, monday), Stage::Failed(Failure::Silent), "{kept}");
        assert_eq!(step(&mut ward, monday), [], "{kept}");
        ward.book.holds.clear();
        ward.rollout().state = State::Running;
        ward.pumps.get_mut(&0).expect("there").state = crate::device::State::Active;
        assert_eq!(places(&step(&mut ward, monday)), [id(0)], "{kept}");
        let patient = too_long(monday).plus_seconds(-1);
        assert_eq!(stage(&ward, 0, patient), Stage::Installing, "{kept}: it counts anew");
        assert_eq!(
            stage(&ward, 0, too_long(monday)),
            Stage::Failed(Failure::Silent),
            "{kept}: and it counts"
        );
    }
}

#[test]
fn a_wave_of_devices_that_went_silent_for_good_halts_and_is_not_open_for_ever() {
    // Goal: everybody ended and too few confirmed is an end. Method: limits that stop nothing, and one device, which may
    // come for another try for as long as an unreached one is waited for.
    let mut ward = ward(1, 1);
    ward.rollout().policy.failure_limit_permille = 1000;
    let at = NOW.plus_seconds(9);
    tries(&mut ward, [0], at);
    let silent = too_long(at);
    let acts = step(&mut ward, silent);
    assert!(matches!(acts[..], [Act::Silent { .. }]), "{acts:?}");
    let waits_s = i64::from(ward.rollout().policy.advance.unreached_after_s);
    assert_eq!(step(&mut ward, silent.plus_seconds(waits_s - 1)), []);
    let acts = step(&mut ward, silent.plus_seconds(waits_s));
    assert!(matches!(acts[..], [Act::Halt { wave: 0, .. }]), "{acts:?}");
}

#[test]
fn a_rollout_that_a_person_finished_offers_it_only_where_its_waves_have_proved_it() {
    // Goal: what stopped itself for its devices' sake reaches nobody by being called done. Method: a wave in which one
    // confirmed and the others were not waited for; it is stopped and finished; who comes late, and who confirmed; the same
    // with a wave that was settled, and one of a wave that never began.
    let mut ward = ward(3, 1);
    let at = NOW.plus_seconds(9);
    tries(&mut ward, [0], at);
    say(&mut ward, 0, at, says(VERSION, None));
    step(&mut ward, at);
    ward.by("stop", at);
    ward.rollout().state = State::Finished { at };
    for pump in 0..4 {
        say(&mut ward, pump, at, says(0, None));
        assert_eq!(offered(&ward, pump, at).is_some(), pump == 0, "pump {pump}, nothing was settled");
    }
    ward.rollout().waves[0].settled = Some(at);
    for pump in 0..4 {
        say(&mut ward, pump, at, says(0, None));
        assert_eq!(offered(&ward, pump, at).is_some(), pump < 3, "pump {pump}, the first wave was settled");
    }
}

#[test]
fn other_bytes_under_the_same_version_are_another_content() {
    // Goal: what was staged is what is offered. Method: the wave keeps what it was created over; the list names other bytes.
    let mut ward = ward(1, 1);
    let key = ward.rollout().waves[0].order.clone();
    let signed = ward.book.contents.as_orders()[&key].clone();
    ward.rollout().waves[0].signed = Some((&signed).into());
    tries(&mut ward, [0], NOW);
    assert_eq!(offered(&ward, 0, NOW), Some(VERSION));
    let other = Assignment { sha256: Sha256([8; 32]), ..assignment("icu", VERSION) };
    ward.book.contents = Contents::of([other]);
    assert_eq!(offered(&ward, 0, NOW), None);
}

#[test]
fn who_has_proved_a_content_is_offered_it_again_when_it_comes_back_without_it() {
    // Goal: a pump back from service has the ward's thresholds again. Method: it confirmed, and then has none.
    let mut ward = ward(1, 1);
    let at = NOW.plus_seconds(9);
    tries(&mut ward, [0], at);
    say(&mut ward, 0, at, says(VERSION, None));
    step(&mut ward, at);
    say(&mut ward, 0, at, says(0, None));
    assert_eq!((offered(&ward, 0, at), stage(&ward, 0, at)), (Some(VERSION), Stage::Confirmed));
    let late = at.plus_seconds(1);
    say(&mut ward, 0, late, says(0, Some(("content-crash", VERSION))));
    assert_eq!(stage(&ward, 0, late), Stage::Confirmed, "what it proved stays");
}

#[test]
fn a_finished_rollout_never_brings_a_version_that_it_did_not_stage() {
    // Goal: a new version under an old name goes through waves of its own. Method: the list moves on under a rollout that
    // is running, and under one that has finished by itself.
    let mut ward = ward(1, 0);
    ward.rollout().waves.truncate(1);
    tries(&mut ward, [0], NOW);
    assert_eq!(offered(&ward, 0, NOW), Some(VERSION));
    let listed = |version| Contents::of([assignment("icu", version)]);
    ward.book.contents = listed(VERSION + 1);
    assert_eq!(offered(&ward, 0, NOW), None);
    ward.book.contents = listed(VERSION);
    say(&mut ward, 0, NOW, says(VERSION, None));
    assert_eq!(step(&mut ward, NOW), [Act::Settle { wave: 0 }]);
    let done = NOW.plus_seconds(60);
    assert_eq!(step(&mut ward, done), [Act::Finish]);
    ward.book.contents = listed(VERSION + 1);
    assert_eq!(offered(&ward, 0, done), None);
    ward.book.contents = listed(VERSION);
    assert_eq!(offered(&ward, 0, done), Some(VERSION));
}

#[test]
fn of_two_contents_a_device_is_offered_the_later_one_and_neither_takes_a_list_of_an_order() {
    // Goal: one number for all contents of a device; names of orders and contents are apart. Method: two rollouts; a key.
    let mut ward = ward(1, 1);
    let mut other = ward.book.rollouts[&ward.of].clone();
    other.id = name("r-2");
    other.content_version = Some(VERSION + 1);
    let key = content_key(&name("icu-2")).expect("short");
    other.release = Assignment::path_of(&name("icu-2"));
    other.waves.iter_mut().for_each(|wave| wave.order = key.clone());
    ward.book.rollouts.insert(name("r-2"), other);
    ward.book.contents = Contents::of([assignment("icu", VERSION), assignment("icu-2", VERSION + 1)]);
    for rollout in ["r-1", "r-2"] {
        ward.of = name(rollout);
        tries(&mut ward, [0], NOW);
    }
    let told = ward.book.tell_content(&ward.pumps[&0], NOW).expect("is offered one");
    assert_eq!((told.offer.content, told.version), (name("icu-2"), VERSION + 1));
    assert_eq!((&key, content_name(&key)), (&name("content.icu-2"), name("icu-2")));
    assert_eq!(content_key(&name(&"a".repeat(128))), None, "a name that leaves no room");
    assert_eq!(vec![ward.book.contents.version(&key)], [Some(VERSION + 1)]);
}
