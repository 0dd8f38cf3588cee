//! The machine step by step: each transition, each fault, and random events in any order.
//!
//! Tests only; the interplay with power cuts is in `search`.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, InterlockState, UpdateState};
use cordon_proto::receipt::Outcome;
use proptest::prelude::*;

use super::super::fixture::{LENGTH, NEW, OLD, Signed, clock, old_record};
use super::super::loader::BootState;
use super::super::record::{Installed, Slot};
use super::super::{report, *};
use super::*;

mod trial;
mod untaken;

fn signed() -> Signed {
    Signed::to(42, 42)
}

fn clear(record: &Record) -> Box<Look> {
    Box::new(signed().clear_look(record, Action::Install, clock(0)))
}

/// Sends events one after the other and gives back the record and the last effects.
fn after(mut record: Record, events: Vec<Event>) -> (Record, Vec<Effect>) {
    let mut effects = Vec::new();
    for event in events {
        let next = step(record, event, clock(0));
        (record, effects) = (next.record, next.effects);
    }
    (record, effects)
}

fn fetching() -> Record {
    let record = old_record();
    let look = clear(&record);
    after(record, vec![Event::Look(look)]).0
}

fn waiting() -> Record {
    after(fetching(), vec![Event::Complete, Event::Hashed(NEW)]).0
}

fn armed() -> Record {
    let look = clear(&waiting());
    after(waiting(), vec![Event::Look(look)]).0
}

fn view(active: Slot, trial: Option<Slot>, booted: Slot, boots: u64) -> BootState {
    let attempts_left = u8::from(trial.is_some()) * 2;
    BootState { active, trial, attempts_left, booted, boots, refused: false }
}

fn trial() -> Record {
    let look = clear(&armed());
    let started = Event::Started(view(Slot::A, Some(Slot::B), Slot::B, 1));
    after(armed(), vec![Event::Armed(look), started]).0
}

#[test]
fn a_good_image_goes_through_every_state_in_the_order_of_the_evidence() {
    // Goal: write, sync, read back, flag, look, reboot, health, commit, floor. Method: the effects of each step.
    let record = old_record();
    let look = clear(&record);
    let (record, effects) = after(record, vec![Event::Look(look)]);
    let write = Effect::WriteSlot { slot: Slot::B, length: LENGTH, offset: 0 };
    assert_eq!(effects, [write, Effect::Fetch { sha256: NEW, length: LENGTH }]);
    let (record, effects) = after(record, vec![Event::Synced { offset: LENGTH }, Event::Complete]);
    assert_eq!(effects, [Effect::HashSlot { slot: Slot::B, length: LENGTH }]);
    let look = clear(&record);
    let (record, effects) = after(record, vec![Event::Hashed(NEW), Event::Look(look.clone())]);
    assert_eq!(effects, [Effect::Arm { slot: Slot::B, attempts: limits::TRIAL_BOOTS }]);
    let (record, effects) = after(record, vec![Event::Armed(look)]);
    assert_eq!(effects, [Effect::Reboot]);
    let (record, effects) = after(record, vec![Event::Started(view(Slot::A, Some(Slot::B), Slot::B, 1))]);
    assert_eq!(effects, [Effect::HashSlot { slot: Slot::B, length: LENGTH }, Effect::CheckHealth]);
    let (record, effects) = after(record, vec![Event::Hashed(NEW), Event::Healthy, Event::CheckedIn]);
    assert_eq!(effects, [Effect::Confirm { slot: Slot::B }]);
    assert_eq!((record.floor(), record.installed.counter), (40, 41), "nothing rises before the commit");
    let (record, effects) = after(record, vec![Event::Committed]);
    let [Effect::EmitReceipt(receipt)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((receipt.outcome, receipt.sha256, receipt.previous_sha256), (Outcome::Confirmed, NEW, OLD));
    assert_eq!((receipt.boots, receipt.floor, receipt.interlock), (1, 42, InterlockState::Standby));
    assert_eq!((record.floor(), record.installed.slot), (42, Slot::B));
    let (record, effects) = after(record, vec![Event::ReceiptKept { serial: receipt.serial }]);
    assert_eq!((record.state, effects), (State::Idle, vec![Effect::Forget]));
}

#[test]
fn what_waited_is_read_back_once_more_and_armed_only_if_it_is_still_the_ordered_image() {
    // Goal: nobody swaps the image between check and use, and none that rotted meanwhile is tried. Method: wait behind a
    // patient, then a free way: the slot is read first; right, wrong, unreadable, and a patient who comes meanwhile.
    let record = waiting();
    let now = clock(0);
    let look = |record: &Record, interlock| {
        Event::Look(Box::new(Look { interlock, ..signed().clear_look(record, Action::Install, now) }))
    };
    let free = |record: &Record| look(record, InterlockState::Standby);
    let busy = look(&record, InterlockState::InUse);
    let (held_up, effects) = after(record.clone(), vec![busy.clone()]);
    assert!(matches!(held_up.state, State::Waiting(_)) && effects.is_empty());
    let read_back = [Effect::HashSlot { slot: Slot::B, length: LENGTH }];
    let (reading, effects) = after(held_up.clone(), vec![free(&held_up)]);
    assert!(matches!(reading.state, State::Waiting(_)), "{:?}", reading.state);
    assert_eq!(effects, read_back);
    assert_eq!(reading.state.in_proof(), Some(NEW), "whoever reads back is told of the order");
    let (right, effects) = after(reading.clone(), vec![Event::Hashed(NEW), free(&reading)]);
    assert!(matches!(right.state, State::Armed(_)) && matches!(effects[..], [Effect::Arm { .. }]));
    for wrong in [Event::Hashed(OLD), Event::HashFailed] {
        let (next, effects) = after(reading.clone(), vec![wrong]);
        let State::Fetching(fetching) = &next.state else { panic!("{:?}", next.state) };
        assert!(fetching.offset == 0 && effects.is_empty(), "fetched again from its beginning");
    }
    let (again, effects) = after(reading.clone(), vec![Event::Hashed(NEW), busy, free(&reading)]);
    assert!(matches!(again.state, State::Waiting(_)), "what was read before the patient came counts no more");
    assert_eq!(effects, read_back);
    // What was read back before a restart counts no more either.
    let stored: Record = wire::read(&wire::write(&record), 65_536).expect("parses");
    let (_, effects) = after(stored, vec![free(&record)]);
    assert_eq!(effects, read_back);
}

#[test]
fn the_patient_who_comes_between_flag_and_reboot_stops_it() {
    // Goal: the gate in the last step. Method: arm, then each obstacle in the last look.
    let obstacles: [fn(&mut Look); 7] = [
        |look| look.interlock = InterlockState::InUse,
        |look| look.interlock = InterlockState::Unknown,
        |look| look.word = None,
        |look| look.content_windows = Some(Vec::new()),
        |look| look.power = cordon_proto::update::refusal::Power::Unknown,
        |look| look.power = cordon_proto::update::refusal::Power::Battery { percent: 49 },
        |look| look.verdict = None,
    ];
    for obstacle in obstacles {
        let mut look = clear(&armed());
        obstacle(&mut look);
        let (record, effects) = after(armed(), vec![Event::Armed(look)]);
        assert_eq!(effects, [Effect::Disarm]);
        let (record, effects) = after(record, vec![Event::Disarmed]);
        assert!(matches!(record.state, State::Waiting(_)) && effects.is_empty());
    }
    let (record, effects) = after(armed(), vec![Event::Look(clear(&armed()))]);
    assert_eq!(effects, [Effect::Disarm], "a reboot that never came takes its flag back");
    assert!(matches!(record.state, State::Armed(_)));
}

#[test]
fn a_reboot_is_done_only_while_the_look_of_that_moment_is_free() {
    // Goal: to store the step may take minutes, and a patient may come meanwhile. Method: a state that wants a reboot, on
    // the way there and on the way back, under each word of clinical use; a go that has ended; states that want none.
    let (reverting, _) = after(trial(), vec![Event::Sick]);
    for record in [armed(), reverting] {
        let mut look = clear(&record);
        for (interlock, free) in [
            (InterlockState::Standby, true),
            (InterlockState::Service, true),
            (InterlockState::InUse, false),
            (InterlockState::Unknown, false),
        ] {
            look.interlock = interlock;
            assert_eq!(gate::may_reboot(&record, &look, clock(0)), free, "{interlock:?}");
        }
        look.interlock = InterlockState::Standby;
        let go_needed = matches!(record.state, State::Armed(_));
        assert_eq!(gate::may_reboot(&record, &look, clock(7200)), !go_needed, "the go has ended");
    }
    for record in [old_record(), fetching(), waiting(), trial()] {
        assert!(!gate::may_reboot(&record, &clear(&record), clock(0)), "{:?}", record.state);
    }
}

#[test]
fn a_slot_that_no_longer_holds_what_was_synced_is_believed() {
    // Goal: no later attempt takes bytes for held that were never written again. Method: fewer bytes than before.
    let (record, _) = after(fetching(), vec![Event::Synced { offset: 2000 }, Event::Synced { offset: 512 }]);
    assert!(matches!(&record.state, State::Fetching(fetching) if fetching.offset == 512));
}

#[test]
fn an_image_with_one_flipped_byte_is_fetched_again_and_then_given_up_with_one_receipt() {
    // Goal: forged or damaged images. Method: the wrong hash, as often as the limit allows.
    let mut record = fetching();
    assert!(!record.doubts_mirrors());
    for times in 1..limits::IMAGE_TRIES {
        let (next, effects) = after(record, vec![Event::Complete, Event::Hashed(OLD)]);
        assert!(effects.is_empty(), "it pauses first");
        assert_eq!(next.damaged.as_ref().map(|damaged| damaged.times), Some(times));
        let look = clear(&next);
        let soon = step(next.clone(), Event::Look(look.clone()), clock(1));
        assert!(soon.effects.is_empty(), "still pausing");
        let later = step(next, Event::Look(look), clock(limits::IMAGE_PAUSE_S));
        assert!(matches!(
            later.effects.as_slice(),
            [Effect::WriteSlot { offset: 0, .. }, Effect::Fetch { .. }]
        ));
        record = later.record;
        assert!(record.doubts_mirrors(), "from the first time on the server alone is asked");
    }
    let mut other = record.clone();
    other.damaged = Some(Damaged { order: "9".parse().expect("a name"), times: 1 });
    assert!(!other.doubts_mirrors(), "another order's was another image");
    let (record, effects) = after(record, vec![Event::Stopped(FetchFault::Damaged)]);
    let [Effect::EmitReceipt(receipt)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((receipt.outcome, receipt.sha256), (Outcome::Refused, OLD));
    assert_eq!(receipt.reason.as_ref().expect("a reason").code.as_str(), "image-damaged");
    let (record, _) = after(record, vec![Event::ReceiptKept { serial: receipt.serial }]);
    let look = clear(&record);
    assert_eq!(
        look.verdict.as_ref().expect("asked").outcome.as_ref().expect_err("no more").code(),
        "given-up"
    );
    assert_eq!(after(record, vec![Event::Look(look)]).0.state, State::Idle);
}

#[test]
fn a_full_disk_pauses_and_a_short_slot_ends_the_order() {
    // Goal: local faults. Method: each fault, then looks before and after the pause.
    let (record, effects) =
        after(fetching(), vec![Event::Synced { offset: 1000 }, Event::Stopped(FetchFault::DiskFull)]);
    assert!(effects.is_empty());
    let look = clear(&record);
    let told = report::blocked_by(&record, &look, clock(1));
    assert_eq!(told.iter().map(|one| one.code.as_str()).collect::<Vec<_>>(), ["disk-full"]);
    assert!(step(record.clone(), Event::Look(look.clone()), clock(1)).effects.is_empty());
    let later = step(record, Event::Look(look), clock(limits::SLOT_PAUSE_S));
    let resumed = Effect::WriteSlot { slot: Slot::B, length: LENGTH, offset: 1000 };
    assert_eq!(later.effects.first(), Some(&resumed), "it goes on where it stopped");
    let (record, effects) = after(fetching(), vec![Event::Stopped(FetchFault::SlotTooShort)]);
    assert!(
        matches!(record.state, State::Failed(_)) && matches!(effects.as_slice(), [Effect::EmitReceipt(_)])
    );
    let (record, _) = after(fetching(), vec![Event::Stopped(FetchFault::Unreachable)]);
    let look = clear(&record);
    assert_eq!(
        after(record, vec![Event::Look(look)]).1.len(),
        2,
        "the network is tried again at the next look"
    );
}

#[test]
fn a_server_that_asks_to_wait_is_asked_again_after_that_and_within_an_hour() {
    // Goal: an overloaded server is spared, and cannot end updates. Method: a short wait and an endless one; looks before
    // and after.
    let longest = i64::try_from(limits::RETRY_AFTER_S).expect("small");
    for (seconds, pause) in [(30, 30), (u64::MAX, longest)] {
        let (record, effects) =
            after(fetching(), vec![Event::Synced { offset: 1000 }, Event::Delayed { seconds }]);
        assert!(effects.is_empty());
        let look = clear(&record);
        let soon = step(record.clone(), Event::Look(look.clone()), clock(pause - 1));
        assert!(soon.effects.is_empty(), "it waits");
        let later = step(record, Event::Look(look), clock(pause));
        let resumed = Effect::WriteSlot { slot: Slot::B, length: LENGTH, offset: 1000 };
        assert_eq!(later.effects.first(), Some(&resumed), "it goes on where it stopped");
    }
}

#[test]
fn an_order_that_is_withdrawn_or_replaced_while_waiting_goes_and_a_passing_doubt_stays() {
    // Goal: what a later look means. Method: each answer of the decision, for a waiting act.
    let act = |outcome| {
        Some(gate::Verdict { order: "0187".parse().expect("a name"), action: Action::Install, outcome })
    };
    let with = |verdict| {
        let look = Look { verdict, ..*clear(&waiting()) };
        after(waiting(), vec![Event::Look(Box::new(look))])
    };
    let order: Name = "0187".parse().expect("a name");
    let withdrawn = cordon_proto::update::refusal::Refusal::OrderNotListed { order: order.clone() };
    let (record, effects) = with(act(Err(withdrawn)));
    assert_eq!((record.state, effects), (State::Idle, vec![Effect::Forget]));
    let doubt = cordon_proto::update::refusal::Refusal::ClockBeforeOrder { order, issued: clock(9).wall };
    let (record, effects) = with(act(Err(doubt)));
    assert!(matches!(record.state, State::Waiting(_)) && effects.is_empty());
    let newer = Signed::to(43, 43).verdict(&waiting(), Action::Install, clock(0));
    let (record, effects) = with(Some(newer));
    assert!(matches!(record.state, State::Fetching(_)) && effects.len() == 2, "another image starts anew");
    let elsewhere = gate::Verdict {
        order: "0200".parse().expect("a name"),
        action: Action::Install,
        outcome: Err(cordon_proto::update::refusal::Refusal::NotNewer { offered: 1, installed: 2 }),
    };
    let (record, _) = with(Some(elsewhere));
    assert!(matches!(record.state, State::Waiting(_)), "a refusal of another order is not about this one");
}

#[test]
fn a_trial_is_confirmed_only_with_hash_health_and_check_in_in_time() {
    // Goal: the health gate. Method: all but one, then the deadline; each failure by its name.
    let all = [Event::Hashed(NEW), Event::Healthy, Event::CheckedIn];
    for missing in 0..all.len() {
        let events =
            all.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, event)| event.clone()).collect();
        let (record, effects) = after(trial(), events);
        assert!(effects.is_empty() && matches!(record.state, State::Trial(_)), "without {:?}", all[missing]);
        let look = clear(&record);
        assert!(step(record.clone(), Event::Look(look.clone()), clock(299)).effects.is_empty());
        let late = step(record, Event::Look(look), clock(300));
        assert_eq!(late.effects, [Effect::RollBack { to: Slot::A }]);
        let State::Reverting(reverting) = late.record.state else { panic!("reverting") };
        let why = if missing == 2 { TrialFault::NoCheckin } else { TrialFault::Silent };
        assert_eq!(reverting.why, why);
    }
    let (record, effects) = after(trial(), vec![Event::Hashed(OLD)]);
    assert_eq!(effects, [Effect::RollBack { to: Slot::A }]);
    assert!(matches!(&record.state, State::Reverting(reverting) if reverting.why == TrialFault::HashDiffers));
}

#[test]
fn a_failed_trial_leaves_only_when_the_device_is_free_and_is_told_in_one_receipt() {
    // Goal: no reboot in use, not even to escape a bad image. Method: in use, unknown, then standby.
    let (record, _) = after(trial(), vec![Event::Sick]);
    let mut look = clear(&record);
    for state in [InterlockState::InUse, InterlockState::Unknown] {
        look.interlock = state;
        let (waits, effects) =
            after(record.clone(), vec![Event::Reverted(look.clone()), Event::Look(look.clone())]);
        assert!(effects.is_empty(), "{state:?}");
        let told = report::blocked_by(&waits, &look, clock(0));
        let codes: Vec<&str> = told.iter().map(|one| one.code.as_str()).collect();
        assert_eq!(codes, ["trial-unhealthy", "interlock"]);
    }
    look.interlock = InterlockState::Standby;
    look.word = None;
    let (record, effects) = after(record, vec![Event::Reverted(look)]);
    assert_eq!(effects, [Effect::Reboot], "going back needs no permit: silence must not hold a bad image");
    let (record, effects) = after(record, vec![Event::Started(view(Slot::A, None, Slot::A, 2))]);
    let [Effect::EmitReceipt(receipt)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((receipt.outcome, receipt.sha256, receipt.previous_sha256), (Outcome::RolledBack, OLD, NEW));
    assert!(record.has_given_up(&receipt.order) && record.floor() == 40);
}

#[test]
fn an_agent_that_keeps_dying_in_a_trial_goes_back_after_its_starts() {
    // Goal: crash loop without a reboot. Method: start again and again in one boot.
    let mut record = trial();
    let again = Event::Started(view(Slot::A, Some(Slot::B), Slot::B, 1));
    for _ in 1..limits::TRIAL_BOOTS {
        let (next, effects) = after(record, vec![again.clone()]);
        assert_eq!(effects.last(), Some(&Effect::CheckHealth));
        record = next;
    }
    let (record, effects) = after(record, vec![again]);
    assert_eq!(effects, [Effect::RollBack { to: Slot::A }]);
    assert!(matches!(&record.state, State::Reverting(reverting) if reverting.why == TrialFault::Crashes));
}

#[test]
fn a_commit_that_the_record_missed_counts_and_an_armed_flag_that_survived_a_kill_is_taken_back() {
    // Goal: starts between boot control and record. Method: the two views.
    let (record, effects) = after(trial(), vec![Event::Started(view(Slot::B, None, Slot::B, 1))]);
    assert!(
        matches!(record.state, State::Confirmed(_)) && matches!(effects.as_slice(), [Effect::EmitReceipt(_)])
    );
    assert_eq!((record.floor(), record.installed.sha256), (42, NEW));
    let (record, effects) = after(armed(), vec![Event::Started(view(Slot::A, Some(Slot::B), Slot::A, 0))]);
    assert_eq!(effects, [Effect::Disarm], "killed between flag and reboot; the go may be gone");
    assert!(matches!(record.state, State::Armed(_)));
}

#[test]
fn a_fall_back_of_the_loader_before_it_was_told_to_leaves_no_mark_behind() {
    // Goal: the next order is not given up for a trial that was another's. Method: the power goes while the flag is
    // rolled back, in the trial's last boot (found by killing the real agent); the mark goes before the receipt.
    let (reverting, _) = after(trial(), vec![Event::Sick]);
    assert!(matches!(reverting.state, State::Reverting(_)));
    let used_up = BootState { attempts_left: 0, ..view(Slot::A, Some(Slot::B), Slot::A, 4) };
    let (record, effects) = after(reverting.clone(), vec![Event::Started(used_up)]);
    assert!(matches!(record.state, State::RolledBack(_)));
    assert!(matches!(effects[..], [Effect::Disarm, Effect::EmitReceipt(_)]), "{effects:?}");
    let (_, effects) = after(reverting, vec![Event::Started(view(Slot::A, None, Slot::A, 4))]);
    assert!(matches!(effects[..], [Effect::EmitReceipt(_)]), "{effects:?}");
}

#[test]
fn the_way_back_takes_the_old_image_from_its_slot_if_it_is_still_there() {
    // Goal: going back without a download, verified all the same. Method: intact and overwritten old slot.
    let open = Signed::to(42, 41);
    let look = Event::Look(Box::new(open.clear_look(&old_record(), Action::Install, clock(0))));
    let (record, _) = after(old_record(), vec![look, Event::Complete, Event::Hashed(NEW)]);
    let arm = Event::Look(Box::new(open.clear_look(&record, Action::Install, clock(0))));
    let good = [
        Event::Hashed(NEW),
        Event::Healthy,
        Event::CheckedIn,
        Event::Committed,
        Event::ReceiptKept { serial: 1 },
    ];
    let boot = Event::Started(view(Slot::A, Some(Slot::B), Slot::B, 1));
    let (record, _) = after(record, [arm, boot].into_iter().chain(good).collect());
    let back = Event::Look(Box::new(open.clear_look(&record, Action::Back, clock(0))));
    let (record, effects) = after(record, vec![back]);
    assert_eq!(effects, [Effect::HashSlot { slot: Slot::A, length: LENGTH }], "nothing is fetched");
    let (intact, _) = after(record.clone(), vec![Event::Hashed(OLD)]);
    assert!(matches!(intact.state, State::Waiting(_)) && intact.previous.is_some());
    for lost in [Event::Hashed(NEW), Event::HashFailed] {
        let (lost, effects) = after(record.clone(), vec![lost]);
        assert!(matches!(lost.state, State::Fetching(_)) && effects.len() == 2);
        assert_eq!(lost.previous, None, "before the first byte is written the claim is dropped");
    }
}

#[test]
fn what_the_other_slot_held_is_no_longer_claimed_before_its_first_byte_is_overwritten() {
    // Goal: the record never promises a way back that is half gone. Method: what is stored before `WriteSlot`.
    let mut record = old_record();
    record.previous = Some(Installed { slot: Slot::B, counter: 40, ..record.installed.clone() });
    let look = clear(&record);
    let next = step(record, Event::Look(look), clock(0));
    assert!(matches!(next.effects.first(), Some(Effect::WriteSlot { slot: Slot::B, .. })));
    let stored: Record = wire::read(&next.persist.expect("stored first"), 65_536).expect("parses");
    assert_eq!(stored.previous, None);
}

#[test]
fn a_device_that_was_switched_by_hand_says_what_runs_and_writes_nothing_until_it_is_settled() {
    // Goal: the boot control is believed about what runs. Method: the other slot booted, with and without history.
    let mut record = old_record();
    record.previous = Some(Installed { slot: Slot::B, counter: 40, ..record.installed.clone() });
    let (swapped, effects) = after(record, vec![Event::Started(view(Slot::B, None, Slot::B, 1))]);
    assert_eq!((swapped.installed.slot, swapped.installed.counter, swapped.floor()), (Slot::B, 40, 40));
    assert!(effects.is_empty());
    let (unknown, _) = after(old_record(), vec![Event::Started(view(Slot::A, None, Slot::B, 1))]);
    assert_eq!((unknown.installed.release.clone(), unknown.installed.counter), (None, 41));
    let look = clear(&unknown);
    let told = report::blocked_by(&unknown, &look, clock(0));
    assert_eq!(told[0].code.as_str(), "boot-unsettled");
    let (still, effects) = after(unknown, vec![Event::Look(look)]);
    assert!(still.state == State::Idle && effects.is_empty());
    // The same while a receipt is still to be kept: the record says B, the device runs A.
    let good = [Event::Hashed(NEW), Event::Healthy, Event::CheckedIn, Event::Committed];
    let switched = Event::Started(view(Slot::A, None, Slot::A, 2));
    let events = good.into_iter().chain([switched, Event::ReceiptKept { serial: 1 }]).collect();
    let (confirmed, _) = after(trial(), events);
    assert!(confirmed.state == State::Idle && confirmed.installed.slot == Slot::B);
    let newer = Signed::to(43, 43).clear_look(&confirmed, Action::Install, clock(0));
    let (still, effects) = after(confirmed, vec![Event::Look(Box::new(newer))]);
    assert!(still.state == State::Idle && effects.is_empty(), "A runs and must not be written");
}

#[test]
fn a_check_in_reports_state_bytes_order_and_wish() {
    // Goal: what the server is told. Method: one record of each kind.
    let told = |record: &Record| {
        let update = report::update_report(record, &clear(record), clock(0));
        (update.state, update.order.is_some(), update.fetched_bytes, report::want_permit(record).is_some())
    };
    assert_eq!(told(&old_record()), (UpdateState::Idle, true, 0, false));
    assert_eq!(
        told(&after(fetching(), vec![Event::Synced { offset: 7 }]).0),
        (UpdateState::Fetching, true, 7, false)
    );
    assert_eq!(told(&waiting()), (UpdateState::Waiting, true, LENGTH, true));
    assert_eq!(told(&trial()), (UpdateState::Trial, true, 0, false));
    let software = report::software(&trial());
    assert_eq!(
        (software.counter, software.sha256, software.slot.as_str()),
        (42, NEW, "B"),
        "what runs, not what was"
    );
}

/// The event that leads the act onwards, so that random walks get everywhere.
fn onward(number: u64, look: Box<Look>, record: &Record) -> Event {
    match &record.state {
        State::Idle | State::Waiting(_) => Event::Look(look),
        State::Fetching(fetching) if !fetching.running => Event::Look(look),
        State::Fetching(_) => Event::Complete,
        State::Written(written) => Event::Hashed(written.job.cleared.image.sha256),
        State::Armed(_) if number.is_multiple_of(2) => Event::Armed(look),
        State::Armed(job) => Event::Started(view(job.slot.other(), Some(job.slot), job.slot, number)),
        State::Trial(trial) if trial.shown.confirming => Event::Committed,
        State::Trial(trial) if !trial.shown.hashed => Event::Hashed(trial.job.cleared.image.sha256),
        State::Trial(trial) if !trial.shown.healthy => Event::Healthy,
        State::Trial(_) => Event::CheckedIn,
        State::Reverting(_) if number.is_multiple_of(2) => Event::Reverted(look),
        State::Reverting(reverting) => {
            let old = reverting.job.slot.other();
            Event::Started(view(old, None, old, number))
        }
        State::Confirmed(_) | State::RolledBack(_) | State::Failed(_) => {
            Event::ReceiptKept { serial: record.receipts }
        }
    }
}

fn any_event(signed: &Signed, (choice, number): (u8, u64), record: &Record) -> Event {
    let mut look = Box::new(signed.clear_look(record, Action::Install, clock(0)));
    if number % 3 == 0 {
        look.interlock = InterlockState::InUse;
    }
    if number % 5 == 0 {
        look.verdict = None;
    }
    if choice >= 64 {
        return onward(number, look, record);
    }
    let slot = |odd: bool| if odd { Slot::B } else { Slot::A };
    let trial = (number % 4 == 0).then_some(Slot::B);
    match choice % 18 {
        0 => Event::Started(view(slot(number % 2 == 1), trial, slot(number % 7 > 3), number)),
        1 => Event::Synced { offset: number },
        2 => Event::Complete,
        3 => Event::Stopped(FetchFault::Unreachable),
        4 => Event::Stopped(FetchFault::Damaged),
        5 => Event::Hashed(if number % 4 == 0 { OLD } else { NEW }),
        6 => Event::HashFailed,
        7 => Event::Armed(look),
        8 => Event::Disarmed,
        9 => Event::Healthy,
        10 => Event::Sick,
        11 => Event::CheckedIn,
        12 => Event::Committed,
        13 => Event::ReceiptKept { serial: number % 4 },
        14 => Event::Delayed { seconds: number % 100 },
        15 => Event::Unwell,
        16 => Event::NotTaken { refused: number % 2 == 0 },
        _ => Event::Look(look),
    }
}

proptest! {
    #[test]
    fn no_order_of_events_lowers_the_floor_arms_the_unverified_or_reboots_in_use(
        events in proptest::collection::vec((any::<u8>(), 0_u64..40), 0..60),
    ) {
        let (signed, mut record, mut runs) = (signed(), old_record(), Slot::A);
        for chosen in events {
            let event = any_event(&signed, chosen, &record);
            if let Event::Started(view) = &event {
                runs = view.booted;
            }
            let in_use = matches!(&event, Event::Look(look) | Event::Armed(look) | Event::Reverted(look)
                if look.interlock == InterlockState::InUse);
            let before = record.clone();
            let next = step(record, event, clock(1));
            record = next.record;
            prop_assert!(record.floor() >= before.floor());
            prop_assert!(record.starts >= before.starts && record.receipts >= before.receipts);
            for effect in &next.effects {
                match effect {
                    Effect::Reboot => prop_assert!(!in_use),
                    Effect::Arm { slot, .. } => {
                        prop_assert!(matches!(before.state, State::Waiting(_)) && *slot != record.installed.slot);
                    }
                    Effect::WriteSlot { slot, .. } => prop_assert!(*slot != runs, "{before:?}"),
                    _ => {}
                }
            }
            let stored = next.persist.map(|bytes| wire::read::<Record>(&bytes, limits::SECURITY_STATE_BYTES));
            prop_assert!(stored.is_none_or(|stored| stored.is_ok_and(|stored| stored.floor() == record.floor())));
        }
    }
}
