//! The trial of a content: what a crash, a leak and a clean end do, at every step, and that versions never fall.
//!
//! Tests only; see [`super`].

use super::*;
use alloc::vec;
use alloc::vec::Vec;
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::content::{
    Admitted, Assignment, ContentCase, Detectors, Settings, admit, decide_content,
};
use cordon_proto::update::decide::Device;
use cordon_proto::update::scope::Scope;
use cordon_proto::wire;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const TRIAL: i64 = 600_000;

fn text(value: &str) -> Text {
    value.parse().expect("a text")
}

/// A content of this version as a device admits it.
fn taken(version: u64) -> Taken {
    let (id, model): (Name, Text) = ("icu".parse().expect("a name"), text("VP-3"));
    let settings = Settings { checkin_s: Some(600) };
    let content = Content {
        id: id.clone(),
        version,
        model: model.clone(),
        settings,
        detectors: Detectors::default(),
        windows: None,
    };
    let bytes = content.value().canonical();
    let assignment = Ok(Assignment {
        id: id.clone(),
        length: u64::try_from(bytes.len()).expect("small"),
        sha256: Sha256::of(&bytes),
        scope: Scope::Match { model: model.clone(), hardware: text("C"), from_least: 0, from_most: 9 },
        version,
        issued: Timestamp(0),
        expires: Timestamp(99),
        reason: text("a test"),
    });
    let device = Device {
        identity: cordon_proto::ids::HardwareId([1; 32]),
        model: &model,
        revision: &text("C"),
        counter: 1,
        sha256: Sha256([0; 32]),
        floor: 0,
        confirmed: None,
        given_up: &[],
    };
    let case =
        ContentCase { id: &id, assignment: Some(&assignment), proof: None, device: &device, newest: 0 };
    let admitted: Admitted<'_> = decide_content(&case, Timestamp(1)).expect("is for it");
    admit(&admitted, bytes).expect("is whole")
}

fn after(state: &State, event: Event, at: i64) -> State {
    step(state, event, Millis(at)).unwrap_or_else(|| state.clone())
}

/// What a restart reads back: what is volatile is gone.
fn stored(state: &State) -> State {
    wire::read(&wire::write(state), 1 << 20).expect("reads back")
}

/// A device with version 1 in force.
fn settled() -> State {
    let state = after(&State::default(), Event::Taken(taken(1), Some(4000)), 0);
    let state = after(&state, Event::Looked(Some(4000)), TRIAL);
    assert_eq!((state.in_force(), state.trial), (1, None));
    state
}

#[test]
fn a_content_is_in_force_after_ten_minutes_and_not_a_moment_before() {
    // Goal: 600 s. Method: the last millisecond before them, and the first after; then the next content.
    let state = after(&State::default(), Event::Taken(taken(1), Some(4000)), 5);
    assert_eq!((state.in_force(), state.newest), (0, 1));
    assert_eq!(state.says().expect("is applied at once").version, 1);
    let early = after(&state, Event::Looked(Some(4000)), 5 + TRIAL - 1);
    assert_eq!(early.in_force(), 0);
    let state = after(&early, Event::Looked(Some(4000)), 5 + TRIAL);
    assert_eq!((state.in_force(), state.previous.clone()), (1, None));
    assert_eq!(step(&state, Event::Looked(Some(1 << 30)), Millis(TRIAL * 9)), None, "the trial is over");
    let next = after(&state, Event::Taken(taken(2), None), TRIAL * 2);
    assert_eq!((next.in_force(), next.newest), (1, 2), "the one before counts until then");
}

#[test]
fn a_crash_within_the_trial_restores_what_was_before_and_never_tries_again() {
    // Goal: persist, then act; one crash is enough. Method: the state as stored, then a start.
    let trying = stored(&after(&settled(), Event::Taken(taken(2), Some(4000)), TRIAL * 2));
    let restored = after(&trying, Event::Started, 0);
    assert_eq!((restored.in_force(), restored.newest, restored.trial), (1, 2, None));
    let fault = restored.fault.clone().expect("is told");
    assert_eq!((fault.version, fault.why.code.as_str()), (2, "content-crash"));
    assert!(fault.why.sentence.as_str().contains("version 1 is in force again"), "{}", fault.why.sentence);
    assert_eq!(step(&restored, Event::Taken(taken(2), None), Millis(1)), None, "never again");
    let third = after(&restored, Event::Taken(taken(3), None), 1);
    assert_eq!((third.newest, third.fault), (3, None));
    let bare = stored(&after(&State::default(), Event::Taken(taken(1), None), 0));
    let bare = after(&bare, Event::Started, 0);
    assert_eq!((bare.current, bare.newest), (None, 1), "a device without content has none again");
}

#[test]
fn an_orderly_end_is_no_crash_and_the_trial_begins_anew() {
    // Goal: a restart for an update, or by a person, restores nothing. Method: nine minutes, an end, a start, nine more.
    let state = after(&settled(), Event::Taken(taken(2), Some(4000)), 0);
    let state = after(&state, Event::Looked(Some(4000)), 9 * MINUTE);
    let ended = stored(&after(&state, Event::Ending, 9 * MINUTE));
    let again = after(&ended, Event::Started, 0);
    assert_eq!(again.current.as_ref().map(|held| held.version), Some(2));
    let again = after(&again, Event::Looked(Some(4000)), 9 * MINUTE);
    assert_eq!(again.in_force(), 1, "ten minutes without a break");
    assert_eq!(after(&again, Event::Looked(Some(4000)), 10 * MINUTE).in_force(), 2);
    let crashed = after(&stored(&again), Event::Started, 0);
    assert_eq!(crashed.fault.expect("is told").why.code.as_str(), "content-crash");
    assert_eq!(step(&settled(), Event::Started, Millis(0)), None);
    assert_eq!(step(&settled(), Event::Ending, Millis(0)), None);
}

#[test]
fn memory_over_the_bar_restores_and_below_it_does_not() {
    // Goal: the bar of an agent at rest, and for a large one its own growth. Method: both edges of both.
    let small = after(&settled(), Event::Taken(taken(2), Some(4000)), 0);
    let bar = limits::CONTENT_RESIDENT_KIB;
    assert_eq!(after(&small, Event::Looked(Some(bar)), 1).fault, None);
    let over = after(&small, Event::Looked(Some(bar + 1)), 1);
    assert_eq!((over.in_force(), over.trial), (1, None));
    assert_eq!(over.fault.expect("is told").why.code.as_str(), "content-memory");
    let large = after(&settled(), Event::Taken(taken(2), Some(30_000)), 0);
    assert_eq!(after(&large, Event::Looked(Some(30_000 + limits::CONTENT_GROWTH_KIB)), 1).fault, None);
    assert!(after(&large, Event::Looked(Some(30_001 + limits::CONTENT_GROWTH_KIB)), 1).fault.is_some());
    let unseen = after(&small, Event::Looked(None), TRIAL);
    assert_eq!(unseen.in_force(), 1, "nobody could look yet");
    assert_eq!(after(&unseen, Event::Looked(Some(bar)), TRIAL + 1).in_force(), 2);
    let late = i64::from(limits::CONTENT_UNSEEN_S) * 1000;
    assert_eq!(after(&unseen, Event::Looked(None), late).in_force(), 2, "nobody ever could");
}

#[test]
fn a_newer_content_within_a_trial_keeps_what_was_proved_to_go_back_to() {
    // Goal: never back to a content that was itself only tried. Method: version 3 while 2 is on trial, then a crash.
    let trying = after(&settled(), Event::Taken(taken(2), None), 0);
    let third = stored(&after(&trying, Event::Taken(taken(3), None), MINUTE));
    assert_eq!(third.in_force(), 1);
    let restored = after(&third, Event::Started, 0);
    assert_eq!((restored.in_force(), restored.newest), (1, 3));
}

#[test]
fn a_refusal_for_good_is_told_once_and_a_taken_content_ends_it() {
    // Goal: the rollout hears of it. Method: a refused version above, one at and one below what was taken.
    let fault = |version| ContentFault {
        content: "icu".parse().expect("a name"),
        version,
        why: Blocked { code: text("content-unfit"), sentence: text("no") },
    };
    let refused = after(&settled(), Event::Refused(fault(2)), 0);
    assert_eq!(refused.fault, Some(fault(2)));
    assert_eq!(step(&refused, Event::Refused(fault(2)), Millis(1)), None);
    assert_eq!(
        step(&settled(), Event::Refused(fault(1)), Millis(1)),
        None,
        "it was taken, whatever came after"
    );
    assert_eq!(after(&refused, Event::Taken(taken(2), None), 1).fault, None);
}

#[derive(Clone, Debug)]
enum Fate {
    Take(u64),
    Look(u64),
    Crash,
    Restart,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        (1_u64..6).prop_map(Fate::Take),
        (0_u64..12_000).prop_map(Fate::Look),
        Just(Fate::Crash),
        Just(Fate::Restart),
    ];
    proptest::collection::vec(fate, 0..40)
}

#[test]
fn an_offer_that_is_never_taken_is_told_once_and_what_is_applied_is_not() {
    // Goal: whoever offers what this device will never take hears it. Method: a version below the one in force, the very
    // one, one that failed, and one between; then a newer one is refused.
    let spent = |version: u64| {
        let why = Blocked { code: text("content-spent"), sentence: text("Never.") };
        Event::Spent(ContentFault { content: "icu".parse().expect("a name"), version, why })
    };
    let one = settled();
    assert_eq!(step(&one, spent(1), Millis(TRIAL)), None, "it is in force");
    let tried = after(&one, Event::Taken(taken(4), Some(4000)), TRIAL);
    for version in [1, 3, 4] {
        assert_eq!(step(&tried, spent(version), Millis(TRIAL)), None, "{version}: on trial, or further");
    }
    let failed = after(&tried, Event::Looked(Some(limits::CONTENT_RESIDENT_KIB + 1)), TRIAL);
    assert_eq!(step(&failed, spent(4), Millis(TRIAL)), None, "that was told");
    let told = after(&failed, spent(3), TRIAL);
    assert_eq!(told.fault.as_ref().map(|fault| fault.version), Some(3));
    assert_eq!(step(&told, spent(3), Millis(TRIAL)), None, "once");
    assert_eq!((told.newest, told.in_force()), (4, 1), "and nothing else changes");
}

proptest! {
    #[test]
    fn whatever_happens_versions_never_fall_and_what_is_applied_was_proved_or_is_on_trial(fates in fates()) {
        let (mut state, mut now, mut proved) = (State::default(), 0, vec![0]);
        for fate in fates {
            let before = state.clone();
            now += 4 * MINUTE;
            let event = match fate {
                Fate::Take(version) => Event::Taken(taken(version), None),
                Fate::Look(kib) => Event::Looked(Some(kib)),
                Fate::Crash => {
                    state = stored(&state);
                    Event::Started
                }
                Fate::Restart => {
                    state = stored(&after(&state, Event::Ending, now));
                    Event::Started
                }
            };
            state = after(&state, event, now);
            prop_assert!(state.newest >= before.newest);
            let current = state.current.as_ref().map_or(0, |held| held.version);
            if state.trial.is_none() && state.in_force() > before.in_force() {
                proved.push(current);
            }
            prop_assert!(state.trial.is_some() || proved.contains(&current), "{current} of {proved:?}");
            prop_assert!(proved.contains(&state.in_force()));
            prop_assert!(state.trial.is_none() || state.trial.is_some_and(|trial| trial.running));
        }
    }
}
