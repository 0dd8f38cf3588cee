//! Rollouts of content: what devices are offered, when they count as done or failed, and that a bad one stops itself.
//!
//! Tests only; see [`super`].

use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, Blocked, ContentFault, UpdateState};
use cordon_proto::ids::Sha256;

use super::super::fixture::{NOW, Ward, id, name, report, rollout, text};
use super::super::{Act, Covers, Failure, Hold, IN_FLIGHT_TOTAL, Sight, Stage, apply, check, plan, tally};
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

fn say(ward: &mut Ward, pump: u8, at: Timestamp, said: Report) {
    ward.say(pump, at, said, Action::Install);
}

fn stage(ward: &Ward, pump: u8, now: Timestamp) -> Stage {
    let rollout = &ward.book.rollouts[&ward.of];
    ward.fleet(now)[&id(pump)].stage(&rollout.policy, now)
}

/// Plan, check, apply, as the server does.
fn step(ward: &mut Ward, now: Timestamp) -> Vec<Act> {
    let fleet = ward.fleet(now);
    let orders = ward.book.listed(RolloutKind::Content).clone();
    let sight = Sight { fleet: &fleet, orders: &orders, room: IN_FLIGHT_TOTAL, now };
    let rollout = ward.rollout();
    let acts = plan(rollout, &sight);
    assert_eq!(check(rollout, &sight, &acts), Ok(()), "{acts:?}");
    acts.iter().for_each(|act| apply(rollout, act, now));
    acts
}

fn offered(ward: &Ward, pump: u8, now: Timestamp) -> Option<u64> {
    assert_eq!(ward.tell(pump, now).order, None, "a content is no order");
    ward.book.tell_content(&ward.pumps[&pump], now).map(|(offer, version)| {
        assert_eq!(offer.content, name("icu"), "devices know it by its own name");
        version
    })
}

#[test]
fn a_content_is_offered_wave_by_wave_and_done_by_the_devices_own_word() {
    // Goal: staged like firmware, without a go. Method: two waves; the first takes it, is watched, the second follows.
    let mut ward = ward(2, 2);
    assert_eq!((offered(&ward, 0, NOW), offered(&ward, 2, NOW)), (Some(VERSION), None));
    assert_eq!(stage(&ward, 0, NOW), Stage::Unreached);
    let heard = NOW.plus_seconds(10);
    say(&mut ward, 0, heard, says(0, None));
    assert_eq!(stage(&ward, 0, heard), Stage::Installing, "it was offered and tries it");
    assert_eq!(step(&mut ward, heard), [], "no go is given, and nothing is settled");
    for pump in [0, 1] {
        say(&mut ward, pump, NOW.plus_seconds(700), says(VERSION, None));
    }
    let done = NOW.plus_seconds(701);
    assert_eq!(stage(&ward, 0, done), Stage::Confirmed);
    assert_eq!(step(&mut ward, done), [Act::Settle { wave: 0 }]);
    assert_eq!(step(&mut ward, done.plus_seconds(59)), [], "the watch");
    assert_eq!(step(&mut ward, done.plus_seconds(60)), [Act::Begin { wave: 1 }]);
    let late = done.plus_seconds(61);
    assert_eq!(offered(&ward, 2, late), Some(VERSION));
    say(&mut ward, 2, late, says(VERSION, None));
    say(&mut ward, 3, late, says(VERSION + 1, None));
    assert_eq!(stage(&ward, 3, late), Stage::Already, "it never tries this one");
    step(&mut ward, late);
    assert_eq!(step(&mut ward, late.plus_seconds(60)), [Act::Finish]);
    assert_eq!(offered(&ward, 0, late.plus_seconds(61)), Some(VERSION), "who comes late is still offered it");
}

#[test]
fn a_content_that_devices_give_back_stops_its_rollout_and_reaches_nobody_else() {
    // Goal: a bad content ends in the first wave. Method: restores at the bound; then what the others are offered.
    let mut ward = ward(10, 10);
    for pump in 0..10 {
        say(&mut ward, pump, NOW.plus_seconds(5), says(0, None));
    }
    say(&mut ward, 0, NOW.plus_seconds(60), says(0, Some(("content-crash", VERSION))));
    let acts = step(&mut ward, NOW.plus_seconds(61));
    assert!(matches!(acts[..], [Act::Halt { wave: 0, .. }]), "{acts:?}");
    assert_eq!(stage(&ward, 0, NOW.plus_seconds(61)), Stage::Failed(Failure::RolledBack));
    let after = NOW.plus_seconds(99_999);
    assert!((0..20).all(|pump| offered(&ward, pump, after).is_none()), "nobody is offered it any more");
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
}

#[test]
fn a_refusal_for_good_is_a_failure_and_one_of_another_version_is_not() {
    // Goal: the fault is of this very version. Method: each code, another version, a later one in force.
    let mut ward = ward(3, 1);
    let at = NOW.plus_seconds(9);
    for (code, version, expected) in [
        ("content-unfit", VERSION, Stage::Failed(Failure::Refused)),
        ("content-memory", VERSION, Stage::Failed(Failure::RolledBack)),
        ("content-crash", VERSION - 1, Stage::Installing),
    ] {
        say(&mut ward, 0, at, says(0, Some((code, version))));
        assert_eq!(stage(&ward, 0, at), expected, "{code} {version}");
    }
    say(&mut ward, 0, at, says(VERSION, Some(("content-unfit", VERSION + 1))));
    assert_eq!(stage(&ward, 0, at), Stage::Confirmed);
    let rollout = ward.book.rollouts[&ward.of].clone();
    let counted = tally(&rollout.waves[0], &ward.fleet(at), &rollout.policy, at);
    assert_eq!((counted.confirmed, counted.unreached), (1, 2));
}

#[test]
fn holds_stops_and_ends_keep_a_content_away_and_what_went_silent_counts() {
    // Goal: a person without a key may stop it; a device that died with it is seen. Method: each in turn.
    let at = NOW.plus_seconds(9);
    let mut held = ward(1, 1);
    say(&mut held, 0, at, says(0, None));
    let hold = Hold {
        v: 1,
        id: name("h"),
        covers: Covers::Model("VP-3".into()),
        by: "nurse".into(),
        reason: "rounds".into(),
        at,
        until: None,
    };
    held.book.holds.insert(name("h"), hold);
    assert_eq!((offered(&held, 0, at), stage(&held, 0, at)), (None, Stage::Waiting));
    for word in ["pause", "stop", "abort"] {
        let mut stopped = ward(1, 1);
        stopped.by(word, at);
        assert_eq!(offered(&stopped, 0, at), None, "{word}");
    }
    let mut over = ward(1, 1);
    let end = assignment("icu", VERSION).expires;
    assert_eq!(offered(&over, 0, end.plus_seconds(-1)), Some(VERSION));
    assert_eq!(offered(&over, 0, end), None);
    say(&mut over, 0, at, says(0, None));
    let silent = at.plus_seconds(i64::from(SILENT_S));
    assert_eq!(stage(&held, 0, silent.plus_seconds(1)), Stage::Waiting, "nothing was offered under the hold");
    assert_eq!(stage(&over, 0, silent), Stage::Installing, "a metered device checks in every six hours");
    assert_eq!(stage(&over, 0, silent.plus_seconds(1)), Stage::Failed(Failure::Silent));
}

#[test]
fn a_finished_rollout_never_brings_a_version_that_it_did_not_stage() {
    // Goal: a new version under an old name goes through waves of its own. Method: the list moves on under a rollout that
    // is running, and under one that is finished.
    let mut ward = ward(1, 1);
    ward.book.contents = Contents::of([assignment("icu", VERSION + 1)]);
    assert_eq!(offered(&ward, 0, NOW), None);
    ward.rollout().state = State::Finished { at: NOW };
    assert_eq!(offered(&ward, 0, NOW), None);
    ward.book.contents = Contents::of([assignment("icu", VERSION)]);
    assert_eq!(offered(&ward, 0, NOW), Some(VERSION));
}

#[test]
fn of_two_contents_a_device_is_offered_the_later_one_and_neither_takes_a_list_of_an_order() {
    // Goal: one number for all contents of a device; names of orders and contents are apart. Method: two rollouts; a key.
    let mut ward = ward(1, 1);
    let mut other = ward.book.rollouts[&ward.of].clone();
    other.id = name("r-2");
    other.content_version = Some(VERSION + 1);
    let key = content_key(&name("icu-2")).expect("short");
    other.waves.iter_mut().for_each(|wave| wave.order = key.clone());
    ward.book.rollouts.insert(name("r-2"), other);
    ward.book.contents = Contents::of([assignment("icu", VERSION), assignment("icu-2", VERSION + 1)]);
    let (offer, version) = ward.book.tell_content(&ward.pumps[&0], NOW).expect("is offered one");
    assert_eq!((offer.content, version), (name("icu-2"), VERSION + 1));
    assert_eq!((&key, content_name(&key)), (&name("content.icu-2"), name("icu-2")));
    assert_eq!(content_key(&name(&"a".repeat(128))), None, "a name that leaves no room");
    assert_eq!(vec![ward.book.contents.version(&key)], [Some(VERSION + 1)]);
}
