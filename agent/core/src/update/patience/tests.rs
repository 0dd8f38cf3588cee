//! The time of a trial over starts, power cuts and an extension; and the pauses between two checks.
//!
//! Tests only; see [`super`].

use alloc::vec::Vec;

use cordon_proto::wire;
use proptest::prelude::*;

use super::*;

#[test]
fn a_trial_has_an_hour_and_a_second_one_once() {
    // Goal: the limits as written. Method: the last millisecond and the first one behind it, before and after.
    let mut patience = Patience::default();
    patience.begin(Millis(5));
    let hour_ms = i64::from(limits::TRIAL_S) * 1000;
    assert!(patience.has_time(limits::TRIAL_S, Millis(5 + hour_ms - 1)));
    assert!(!patience.has_time(limits::TRIAL_S, Millis(5 + hour_ms)));
    assert!(!patience.has_time(u32::MAX, Millis(5 + hour_ms)), "nobody has more than the limits page says");
    assert!(patience.extend() && !patience.extend());
    assert!(patience.has_time(limits::TRIAL_S, Millis(5 + 2 * hour_ms - 1)));
    assert!(!patience.has_time(limits::TRIAL_S, Millis(5 + 2 * hour_ms)));
    assert!(!patience.has_time(0, Millis(5 + 2000)), "a trial of no time is one of a second");
}

#[test]
fn a_check_is_made_again_after_pauses_that_double_up_to_a_twelfth_of_the_time() {
    // Goal: soon at first, seldom later, and often enough in a short trial. Method: the pauses of an hour and of 12 s.
    let pauses = |trial_s: u32| -> Vec<i64> {
        let (mut again, mut now) = (Again::default(), Millis(77));
        assert!(!again.is_due(trial_s, now) && !again.has_said_no());
        (0..9)
            .map(|_| {
                again.said_no(now);
                let from = now;
                while !again.is_due(trial_s, now) {
                    now = now.plus(250);
                }
                assert!(!again.is_due(trial_s, now.plus(1_000_000)), "it is under way");
                now.since(from) / 250
            })
            .collect()
    };
    assert_eq!(pauses(limits::TRIAL_S), [20, 40, 80, 160, 320, 640, 1200, 1200, 1200]);
    assert_eq!(pauses(12), [4; 9]);
    let mut again = Again::default();
    (0..1000).for_each(|_| again.said_no(Millis(0)));
    assert!(
        !again.is_due(limits::TRIAL_S, Millis(299_999)) && again.is_due(limits::TRIAL_S, Millis(300_000))
    );
}

/// One run of the agent in a trial: looks after so many tenths of a step each, with the network down or not.
type Start = (Vec<(u32, bool)>, u32);

proptest! {
    #[test]
    fn no_power_cuts_give_a_trial_more_than_its_time_twice_or_a_second_extension(
        trial_s in 8..=limits::TRIAL_S,
        starts in proptest::collection::vec(
            (proptest::collection::vec((1..=10_u32, any::<bool>()), 0..300), 0..10_u32), 1..12),
        down in any::<bool>(),
    ) {
        let starts: Vec<Start> = starts;
        let step_ms = i64::from((trial_s / 8).clamp(1, limits::TRIAL_STEP_S)) * 1000;
        let (mut stored, mut lasted_ms, mut extensions) = (wire::write(&Patience::default()), 0, 0);
        let mut booted = 0_i64;
        'trial: for (looks, cut) in starts {
            let mut patience: Patience = wire::read(&stored, 64).expect("is read");
            booted += 1;
            let mut now = Millis(booted * 1_000_000_007);
            patience.begin(now);
            // The first look comes with the start.
            for (tenths, dark) in [(0, false)].into_iter().chain(looks) {
                let wait_ms = i64::from(tenths) * step_ms / 10;
                (now, lasted_ms) = (now.plus(wait_ms), lasted_ms + wait_ms);
                let mut goes_on = patience.has_time(trial_s, now);
                if !goes_on && dark && down && patience.extend() {
                    extensions += 1;
                    goes_on = patience.has_time(trial_s, now);
                }
                stored = wire::write(&patience);
                if !goes_on {
                    break 'trial;
                }
            }
            // Until the cut; nobody looked any more.
            lasted_ms += i64::from(cut) * step_ms / 10;
        }
        let most_ms = i64::from(trial_s) * 1000 * (1 + i64::from(extensions));
        // The end is seen at a look, and a cut may cost the part of a second that was not counted yet.
        prop_assert!(lasted_ms <= most_ms + step_ms + 1000 * booted, "{lasted_ms} of {most_ms}");
        prop_assert!(extensions <= i32::from(down));
    }

    #[test]
    fn any_bytes_are_a_patience_or_none_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..12), trial_s in any::<u32>(), now in any::<i64>(),
    ) {
        if let Ok(mut patience) = wire::read::<Patience>(&bytes, 64) {
            patience.begin(Millis(0));
            let _ = (patience.has_time(trial_s, Millis(now)), patience.extend(), patience.has_time(trial_s, Millis(now)));
        }
    }
}
