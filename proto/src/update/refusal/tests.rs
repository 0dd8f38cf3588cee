//! Codes, sentences, finality and order of the refusals.
//!
//! Tests only; see [`super`].

use super::*;
use crate::update::fault::Fault;
use crate::update::metadata::Root;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

const AT: Timestamp = Timestamp(1_795_251_906);

fn name() -> Name {
    "2026-11-vp3-w1".parse().expect("a name")
}

fn path() -> TargetPath {
    "vp-3/4.2.2".parse().expect("a path")
}

fn text(value: &str) -> Text {
    value.parse().expect("a text")
}

/// One of every variant and of everything that changes its sentence.
pub(crate) fn all() -> Vec<Refusal> {
    let mut list = chains();
    list.extend(orders());
    list.extend(images());
    list.extend(at_the_reboot());
    list
}

fn chains() -> Vec<Refusal> {
    let roles =
        [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets, Role::Delegated("orders".into())];
    let chain = |party| {
        roles
            .clone()
            .into_iter()
            .map(move |role| Refusal::Chain { party, error: Fault::Expired { at: AT }.of(role) })
    };
    let mut list: Vec<Refusal> = chain(Party::Director).chain(chain(Party::Image)).collect();
    let unread = Root::read(&crate::canonical::Value::Null).expect_err("no root");
    for error in [Fault::NotFound.of(Role::Root), unread.of(Role::Root)] {
        list.push(Refusal::Chain { party: Party::Image, error });
    }
    list
}

fn orders() -> Vec<Refusal> {
    let order = name();
    let mut list = alloc::vec![
        Refusal::OrderNotListed { order: order.clone() },
        Refusal::OrderUnreadable { order: order.clone(), why: Unreadable::word("kind", &"x".repeat(500)) },
        Refusal::OrderNotYet { order: order.clone(), not_before: AT },
        Refusal::OrderExpired { order: order.clone(), expires: AT },
        Refusal::NoWayBack { order: order.clone() },
        Refusal::WayBackClosed { order: order.clone(), until: AT },
        Refusal::ClockBeforeOrder { order: order.clone(), issued: AT },
    ];
    let misses = [
        ScopeMiss::NoProof,
        ScopeMiss::ProofFails,
        ScopeMiss::Model,
        ScopeMiss::Hardware,
        ScopeMiss::Counter,
    ];
    list.extend(misses.map(|why| Refusal::NotInScope { order: order.clone(), why }));
    let given_up =
        [GaveUp::WentBack, GaveUp::TrialFailed, GaveUp::ImageDamaged, GaveUp::SlotTooShort, GaveUp::NotTaken];
    list.extend(given_up.map(|why| Refusal::GivenUp { order: order.clone(), why }));
    let permits = [
        PermitMiss::NoAnswer,
        PermitMiss::Withheld,
        PermitMiss::Old { age_s: 1000, permit_s: 900 },
        PermitMiss::Over { until: AT },
    ];
    list.extend(permits.map(|why| Refusal::NoPermit { order: order.clone(), why }));
    list
}

fn images() -> Vec<Refusal> {
    let release = path();
    alloc::vec![
        Refusal::UnknownToMaker { release: release.clone() },
        Refusal::ReleaseUnreadable { release: release.clone(), why: Unreadable::Version(2) },
        Refusal::LengthDiffers { release: release.clone(), ordered: 1, listed: 2 },
        Refusal::HashDiffers { release },
        Refusal::OtherModel { needed: text("VP-4"), device: text("VP-3") },
        Refusal::OtherHardware { device: text("C") },
        Refusal::NotNewer { offered: 41, installed: 41 },
        Refusal::NotConfirmedHere { order: name() },
        Refusal::BackNotOlder { back: 42, installed: 42 },
        Refusal::BelowFloor { offered: 39, floor: 40 },
        Refusal::MinFrom { needed: 42, installed: 40 },
    ]
}

fn at_the_reboot() -> Vec<Refusal> {
    let mut list = alloc::vec![
        Refusal::OutsideWindow { next: Some(AT), zone_minutes: 60 },
        Refusal::OutsideWindow { next: None, zone_minutes: 60 },
        Refusal::Power { power: Power::Battery { percent: 20 } },
        Refusal::Power { power: Power::Unknown },
    ];
    let classes =
        [InterlockClass::None, InterlockClass::Idle, InterlockClass::Person, InterlockClass::Application];
    let states =
        [InterlockState::InUse, InterlockState::Standby, InterlockState::Service, InterlockState::Unknown];
    for (class, state) in classes.into_iter().flat_map(|class| states.map(|state| (class, state))) {
        list.push(Refusal::Interlock { class, state, service: false });
        list.push(Refusal::Interlock { class, state, service: true });
    }
    list
}

#[test]
fn every_refusal_has_a_stable_code_and_a_whole_sentence_that_fits_the_wire() {
    // Goal: one word for programs, one sentence for people. Method: look at one of every kind.
    for refusal in all() {
        let (code, sentence) = (refusal.code(), refusal.to_string());
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        assert!(sentence.ends_with('.') && sentence.len() <= 256, "{} {sentence}", sentence.len());
        assert!(sentence.starts_with(|c: char| c.is_ascii_uppercase()), "{sentence}");
        let blocked = refusal.blocked();
        assert_eq!((blocked.code.as_str(), blocked.sentence.as_str()), (code, &*sentence), "nothing is cut");
    }
}

#[test]
fn the_codes_are_these_and_no_others() {
    // Goal: codes are an interface. Method: the whole list, sorted.
    let codes: BTreeSet<&str> = all().iter().map(Refusal::code).collect();
    let listed = [
        "below-floor",
        "clock-before-order",
        "director-root",
        "director-snapshot",
        "director-targets",
        "director-timestamp",
        "given-up",
        "hash-differs",
        "image-root",
        "image-snapshot",
        "image-targets",
        "image-timestamp",
        "interlock",
        "length-differs",
        "min-from",
        "no-permit",
        "no-way-back",
        "not-confirmed-here",
        "not-in-scope",
        "not-newer",
        "order-expired",
        "order-not-listed",
        "order-not-yet",
        "order-unreadable",
        "other-hardware",
        "other-model",
        "outside-window",
        "power",
        "release-unreadable",
        "unknown-to-maker",
        "way-back-closed",
        "way-back-not-older",
    ];
    assert_eq!(codes, listed.into_iter().collect());
}

#[test]
fn what_time_a_person_or_the_server_can_change_is_not_final() {
    // Goal: a device never drops an order for something that passes by itself. Method: finality by step.
    for refusal in all() {
        let passes = match refusal.step() {
            Step::Root | Step::Timestamp | Step::Snapshot | Step::Targets => true,
            Step::Issued | Step::Scope | Step::Permit | Step::Window | Step::Power | Step::Interlock => true,
            Step::Validity => matches!(refusal, Refusal::OrderNotYet { .. }),
            Step::Listed | Step::Maker | Step::Image | Step::Hardware => false,
            Step::Counter | Step::Floor | Step::MinFrom => false,
        };
        assert_eq!(refusal.is_final(), !passes, "{}", refusal.code());
    }
}

#[test]
fn sentences_say_what_is_wrong_and_what_to_do() {
    // Goal: the words people read. Method: golden sentences of the most frequent refusals.
    let say = |refusal: Refusal| refusal.to_string();
    assert_eq!(
        say(Refusal::OutsideWindow { next: Some(AT), zone_minutes: 60 }),
        "Outside the window: it opens Sat 2026-11-21 10:05 (device time)."
    );
    assert_eq!(
        say(Refusal::BelowFloor { offered: 39, floor: 40 }),
        "The release (counter 39) is below the oldest accepted version (40). Ask the maker to list it under a new counter."
    );
    assert_eq!(
        say(Refusal::NoPermit { order: name(), why: PermitMiss::Withheld }),
        "No go for order 2026-11-vp3-w1: its rollout is halted, on hold, or not yet at this device."
    );
    assert_eq!(
        say(Refusal::HashDiffers { release: path() }),
        "Owner and maker signed different images as vp-3/4.2.2: one is forged or outdated. Compare them before signing again."
    );
    let in_use = Refusal::Interlock {
        class: InterlockClass::Application,
        state: InterlockState::InUse,
        service: false,
    };
    assert_eq!(say(in_use), "The device is in use. It reboots in standby; nothing to do until it is free.");
}

#[test]
fn a_code_alone_tells_what_is_final() {
    // Goal: who knows the code alone decides as who knows the refusal. Method: one of every kind, and unknown words.
    for refusal in all() {
        assert_eq!(is_final_code(refusal.code()), refusal.is_final(), "{}", refusal.code());
    }
    assert!(!is_final_code("") && !is_final_code("trial-unhealthy") && !is_final_code("of a later version"));
}
