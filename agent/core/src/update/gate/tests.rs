//! Every obstacle at the reboot, alone and together, in the fixed order.
//!
//! Tests only; see [`super`].

use alloc::boxed::Box;
use alloc::vec;

use cordon_proto::time::Millis;
use cordon_proto::update::decide::Cleared;
use cordon_proto::update::refusal::Step;

use super::super::fixture::{NEW, Signed, clock, old_record};
use super::super::{Event, State, step};
use super::*;

/// A device that waits with a verified slot, and a look in which nothing is in the way.
fn waiting() -> (Record, Look) {
    let signed = Signed::to(42, 42);
    let look = signed.clear_look(&old_record(), Action::Install, clock(0));
    let mut record = old_record();
    for event in [Event::Look(Box::new(look.clone())), Event::Complete, Event::Hashed(NEW)] {
        record = step(record, event, clock(0)).record;
    }
    assert!(matches!(record.state, State::Waiting(_)));
    (record, look)
}

fn codes(change: impl FnOnce(&mut Look, &mut Job), now: Clock) -> Vec<&'static str> {
    let (record, mut look) = waiting();
    let mut job = record.job().expect("an act").clone();
    change(&mut look, &mut job);
    blocked(&record, &job, &look, now).iter().map(Refusal::code).collect()
}

fn cleared(look: &mut Look) -> &mut Cleared {
    look.verdict.as_mut().expect("asked").outcome.as_mut().expect("cleared")
}

#[test]
fn nothing_in_the_way_is_go_and_each_obstacle_is_named() {
    // Goal: the last four refusals, and the clearance itself. Method: one obstacle each.
    let now = clock(0);
    assert!(codes(|_, _| {}, now).is_empty());
    assert_eq!(codes(|look, _| look.verdict = None, now), ["order-not-listed"]);
    assert_eq!(codes(|look, _| cleared(look).image.sha256.0[0] ^= 1, now), ["hash-differs"]);
    assert_eq!(codes(|look, _| cleared(look).until = now.wall, now), ["order-expired"]);
    assert_eq!(codes(|look, _| look.word = None, now), ["no-permit"]);
    assert_eq!(codes(|_, job| job.cleared.windows.clear(), now), ["outside-window"]);
    assert_eq!(codes(|look, _| look.content_windows = Some(vec![]), now), ["outside-window"]);
    assert_eq!(codes(|look, _| look.power = Power::Unknown, now), ["power"]);
    assert_eq!(codes(|look, _| look.power = Power::Battery { percent: 49 }, now), ["power"]);
    assert!(codes(|look, _| look.power = Power::Battery { percent: 50 }, now).is_empty());
    assert_eq!(codes(|look, _| look.interlock = InterlockState::InUse, now), ["interlock"]);
    assert_eq!(codes(|look, _| look.interlock = InterlockState::Unknown, now), ["interlock"]);
    assert_eq!(codes(|_, job| job.cleared.needs = Needs::Service, now), ["interlock"]);
}

#[test]
fn all_obstacles_are_listed_in_the_order_of_refusals() {
    // Goal: people see everything at once, the earliest first. Method: break all, and compare the steps.
    let (record, mut look) = waiting();
    let mut job = record.job().expect("an act").clone();
    look.verdict = None;
    look.word = None;
    job.cleared.windows.clear();
    look.power = Power::Unknown;
    look.interlock = InterlockState::InUse;
    let steps: Vec<Step> = blocked(&record, &job, &look, clock(0)).iter().map(Refusal::step).collect();
    assert_eq!(steps, [Step::Listed, Step::Permit, Step::Window, Step::Power, Step::Interlock]);
}

#[test]
fn a_stale_permit_stops_although_the_wall_clock_stands_still() {
    // Goal: age on the monotonic clock. Method: only that clock moves.
    let stale = Clock { monotonic: Millis(901_000), ..clock(0) };
    assert_eq!(codes(|_, _| {}, stale), ["no-permit"]);
    let offline = |look: &mut Look, job: &mut Job| {
        job.cleared.permit_s = None;
        look.word = None;
    };
    assert!(codes(offline, stale).is_empty(), "a bundle's order installs without a server");
}

#[test]
fn the_installed_releases_class_holds_as_long_as_it_runs_and_the_owners_only_tightens() {
    // Goal: never looser than any maker's word. Method: loosen one class at a time, nobody speaking.
    let (mut record, mut look) = waiting();
    let mut job = record.job().expect("an act").clone();
    look.interlock = InterlockState::Unknown;
    job.cleared.interlock = InterlockClass::None;
    assert!(
        !blocked(&record, &job, &look, clock(0)).is_empty(),
        "the running software asks for the application"
    );
    record.installed.interlock = InterlockClass::Idle;
    assert!(!blocked(&record, &job, &look, clock(0)).is_empty(), "somebody left a moment ago");
    look.silence.idle = true;
    assert!(blocked(&record, &job, &look, clock(0)).is_empty());
    look.local_class = Some(InterlockClass::Person);
    assert!(!blocked(&record, &job, &look, clock(0)).is_empty(), "the owner may be stricter");
    look.local_class = Some(InterlockClass::None);
    job.cleared.interlock = InterlockClass::Application;
    assert!(!blocked(&record, &job, &look, clock(0)).is_empty(), "but not looser");
    assert!(!may_leave_trial(&record, &job, &look));
    look.interlock = InterlockState::Standby;
    assert!(may_leave_trial(&record, &job, &look));
}

#[test]
fn a_release_by_hand_counts_where_a_person_is_asked_and_is_told_as_that_persons_word() {
    // Goal: the class `person`, and no way around the application. Method: one release, each class; what a receipt tells.
    let (mut record, mut look) = waiting();
    let mut job = record.job().expect("an act").clone();
    (look.interlock, look.silence.released) = (InterlockState::Unknown, true);
    let all =
        [InterlockClass::None, InterlockClass::Idle, InterlockClass::Person, InterlockClass::Application];
    for class in all {
        (record.installed.interlock, job.cleared.interlock) = (class, class);
        let free = class != InterlockClass::Application;
        assert_eq!(blocked(&record, &job, &look, clock(0)).is_empty(), free, "{class}");
        let told = if free { InterlockState::Standby } else { InterlockState::Unknown };
        assert_eq!(said(&record, &job, &look), told, "{class}");
    }
    look.silence.released = false;
    assert_eq!(said(&record, &job, &look), InterlockState::Unknown);
    look.interlock = InterlockState::InUse;
    assert_eq!(said(&record, &job, &look), InterlockState::InUse);
}
