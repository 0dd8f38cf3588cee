//! What is not taken, not read, or lost again: the image stays where it can, and the trial asks once more.
//!
//! Tests only; the other transitions are in [`super`].

use super::*;

fn written() -> Record {
    after(fetching(), vec![Event::Synced { offset: LENGTH }, Event::Complete]).0
}

fn refuse(record: Record, refused: bool, at: i64) -> Step {
    step(record, Event::NotTaken { refused }, clock(at))
}

/// The next look that may hand it over again.
fn look_at(record: Record, at: i64) -> Step {
    let look = signed().clear_look(&record, Action::Install, clock(at));
    step(record, Event::Look(Box::new(look)), clock(at))
}

fn codes(record: &Record, at: i64) -> Vec<String> {
    let look = signed().clear_look(record, Action::Install, clock(at));
    let told = report::blocked_by(record, &look, clock(at));
    told.iter().map(|one| one.code.as_str().into()).collect()
}

const READ_BACK: [Effect; 1] = [Effect::HashSlot { slot: Slot::B, length: LENGTH }];

#[test]
fn an_image_that_the_installer_refuses_is_kept_offered_again_and_given_up_with_its_own_reason() {
    // Goal: no endless download of what is refused. Method: the limit's number of refusals, a restart between two of
    // them; before and after each pause, from both states in which an image is handed over.
    for mut record in [written(), waiting()] {
        for times in 1..limits::INSTALL_TRIES {
            let at = i64::from(times) * 10 * limits::SLOT_PAUSE_S;
            let next = refuse(record, true, at);
            assert!(next.effects.is_empty(), "{:?}", next.effects);
            let stored: Record = wire::read(&next.persist.expect("is counted"), 65_536).expect("parses");
            let State::Written(written) = &stored.state else { panic!("{:?}", stored.state) };
            assert_eq!(written.refused, Some(times));
            assert_eq!(codes(&next.record, at), ["image-not-taken"]);
            let soon = look_at(next.record, at + limits::SLOT_PAUSE_S - 1);
            assert!(soon.effects.is_empty(), "it pauses");
            let later = look_at(soon.record, at + limits::SLOT_PAUSE_S);
            assert_eq!(later.effects, READ_BACK, "the same file, no download");
            assert!(look_at(later.record.clone(), at + limits::SLOT_PAUSE_S).effects.is_empty(), "and once");
            let (restarted, effects) = after(stored, vec![Event::Started(view(Slot::A, None, Slot::A, 0))]);
            assert_eq!(effects, READ_BACK, "a start asks at once");
            record = if times % 2 == 0 { restarted } else { later.record };
        }
        let last = refuse(record, true, 0);
        let [Effect::EmitReceipt(receipt)] = last.effects.as_slice() else { panic!("{:?}", last.effects) };
        assert_eq!((receipt.outcome, receipt.sha256), (Outcome::Refused, OLD));
        assert_eq!(receipt.reason.as_ref().expect("a reason").code.as_str(), "image-not-taken");
        let (record, _) = after(last.record, vec![Event::ReceiptKept { serial: receipt.serial }]);
        let idle = look_at(record, 0);
        assert!(idle.record.state == State::Idle && idle.effects.is_empty(), "and not taken up again");
    }
}

#[test]
fn an_installer_that_takes_the_image_at_last_is_as_good_as_one_that_took_it_at_once() {
    // Goal: a busy installer costs time only. Method: a refusal, the pause, the right hash, a free look.
    let record = refuse(written(), true, 0).record;
    let record = look_at(record, limits::SLOT_PAUSE_S).record;
    let (record, effects) = after(record, vec![Event::Hashed(NEW), Event::Look(clear(&waiting()))]);
    assert!(matches!(record.state, State::Armed(_)) && matches!(effects[..], [Effect::Arm { .. }]));
    let (record, _) = after(record, vec![Event::Disarmed]);
    let next = refuse(record, true, 0);
    assert!(
        matches!(next.record.state, State::Written(written) if written.refused == Some(1)),
        "from the beginning"
    );
}

#[test]
fn a_read_back_that_fails_in_a_trial_is_asked_for_again_until_the_trials_time_is_over() {
    // Goal: a bus that is not up yet does not cost a good image. Method: each way of failing, then looks; then the end.
    for failed in [Event::HashFailed, Event::NotTaken { refused: true }, Event::NotTaken { refused: false }] {
        let (record, effects) = after(trial(), vec![failed.clone()]);
        assert!(effects.is_empty() && matches!(record.state, State::Trial(_)), "not in a circle: {failed:?}");
        let next = look_at(record, 60);
        assert_eq!(next.effects, READ_BACK, "{failed:?}");
        let Step { record, effects, .. } = look_at(next.record, 60);
        assert!(effects.is_empty(), "one at a time");
        let good = vec![Event::Hashed(NEW), Event::Healthy, Event::CheckedIn];
        assert_eq!(after(record, good).1, [Effect::Confirm { slot: Slot::B }]);
    }
    let (record, _) = after(trial(), vec![Event::HashFailed]);
    assert_eq!(look_at(record, 300).effects, [Effect::RollBack { to: Slot::A }]);
}

#[test]
fn a_read_back_that_something_came_into_is_done_again_and_looks_do_not_begin_a_second_one() {
    // Goal: the agent looks while it reads, and what it reads is of after the last obstacle. Method: looks at a free
    // device and at one in use while the image is read, in both states.
    let busy = |record: &Record| {
        let mut look = clear(record);
        look.interlock = InterlockState::InUse;
        Event::Look(look)
    };
    let free = |record: &Record| Event::Look(clear(record));
    let stored: Record = wire::read(&wire::write(&waiting()), 65_536).expect("parses");
    let (reading, effects) = after(stored.clone(), vec![free(&stored)]);
    assert_eq!(effects, READ_BACK);
    for record in [reading, written()] {
        let (quiet, effects) = after(record.clone(), vec![free(&record), free(&record)]);
        assert!(effects.is_empty(), "{effects:?}");
        let (_, effects) = after(quiet, vec![Event::Hashed(NEW), free(&waiting())]);
        assert!(matches!(effects[..], [Effect::Arm { .. }]), "{effects:?}");
        let (disturbed, effects) = after(record.clone(), vec![busy(&record)]);
        assert!(effects.is_empty());
        let (next, effects) = after(disturbed, vec![Event::Hashed(NEW), free(&waiting())]);
        assert!(matches!(next.state, State::Waiting(_)) && effects == READ_BACK, "{effects:?}");
    }
}

#[test]
fn what_had_to_make_room_is_fetched_from_its_beginning_without_a_word_of_damage() {
    // Goal: the record promises no byte that is gone. Method: a file that is removed on a full disk; then the next try.
    let lost = Event::Synced { offset: 0 };
    let events = vec![Event::Synced { offset: 1000 }, lost, Event::Stopped(FetchFault::DiskFull)];
    let (record, _) = after(fetching(), events);
    let stored: Record = wire::read(&wire::write(&record), 65_536).expect("parses");
    assert!(matches!(&stored.state, State::Fetching(fetching) if fetching.offset == 0));
    assert_eq!((codes(&record, 0), &record.damaged), (vec!["disk-full".into()], &None));
    let later = look_at(record, limits::SLOT_PAUSE_S);
    assert!(matches!(later.effects.first(), Some(Effect::WriteSlot { offset: 0, .. })));
}

proptest! {
    #[test]
    fn no_order_of_refusals_and_looks_fetches_again_or_lasts_longer_than_its_tries(
        happened in proptest::collection::vec((0_u8..4, 0_i64..600), 0..80),
    ) {
        let (mut record, mut at, mut refused, mut asked) = (written(), 0, 0, 1);
        for (choice, seconds) in happened {
            at += seconds;
            let next = match choice {
                0 => look_at(record, at),
                1 if asked > 0 => { refused += 1; asked = 0; refuse(record, true, at) }
                2 if asked > 0 => { asked = 0; refuse(record, false, at) }
                3 => {
                    let stored = wire::read(&wire::write(&record), 65_536).expect("parses");
                    step(stored, Event::Started(view(Slot::A, None, Slot::A, 0)), clock(at))
                }
                _ => continue,
            };
            record = next.record;
            let fetches = next.effects.iter().any(|effect| matches!(effect, Effect::WriteSlot { .. } | Effect::Fetch { .. }));
            prop_assert!(!fetches);
            asked += next.effects.iter().filter(|effect| matches!(effect, Effect::HashSlot { .. })).count();
            let over = matches!(record.state, State::Failed(_));
            prop_assert_eq!(over, refused == limits::INSTALL_TRIES, "after {} refusals: {:?}", refused, record.state);
            if over {
                break;
            }
        }
    }
}
