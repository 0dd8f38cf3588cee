//! What learned volumes promise: silence on ordinary weeks, a tell within an hour and a half, and nothing from a clock.

use alloc::vec::Vec;

use super::*;
use crate::detect::tests::{WEEK_S, dice, flow, monday};
use crate::flow::Traffic;
use crate::profile::Learning;

/// A device whose volume follows the hour of the week, with noise of a factor of two either way.
struct Kiosk {
    usual: Usual,
    volumes: Volumes,
    profile: Profile,
    ledger: Ledger,
}

impl Kiosk {
    fn new() -> Self {
        let (usual, volumes) = (Usual::default(), Volumes::default());
        Self { usual, volumes, profile: Profile::new(), ledger: Ledger::default() }
    }

    /// Half hours of `of` weeks from the `from`th; `bytes` says what goes out to the internet in each.
    fn weeks(&mut self, (from, of): (i64, i64), mut bytes: impl FnMut(i64, i64) -> u64) -> Vec<Finding> {
        let mut told = Vec::new();
        for window in from * 336..(from + of) * 336 {
            let now = Millis((monday() + window * WINDOW_S) * 1000);
            told.extend(self.volumes.pass((&mut self.usual, &self.profile), &mut self.ledger, now));
            let traffic =
                Traffic { bytes_out: bytes(window / 48 % 7, window / 2 % 24), ..Traffic::default() };
            self.volumes.carried(&Flow { traffic, ..flow("203.0.113.9", 443, monday()) });
            if self.profile.learns()
                && self.profile.pass(now.seconds(), &Learning { least_s: 0, most_s: 2 * WEEK_S })
            {
                assert!(told.is_empty(), "silent while it learns");
            }
        }
        told
    }
}

/// Busy by day, half as much at the weekend, next to nothing by night.
fn ordinary(day: i64, hour: i64) -> u64 {
    let base = if (8..18).contains(&hour) { 60_000_000 } else { 400_000 };
    if day >= 5 { base / 2 } else { base }
}

#[test]
fn ordinary_weeks_with_noise_are_quiet() {
    // Goal: no false alarm in two hundred device-weeks. Method: noise of a factor of two either way, twenty seeds, two weeks learned.
    let mut told = Vec::new();
    for seed in 1..=20 {
        let mut dice = dice(seed * 7919);
        let mut noisy = |day, hour| ordinary(day, hour) * u64::from(50 + dice.below(151)) / 100;
        let mut kiosk = Kiosk::new();
        assert!(kiosk.weeks((0, 2), &mut noisy).is_empty());
        kiosk.profile.freeze(Timestamp(monday() + 2 * WEEK_S));
        told.extend(kiosk.weeks((2, 10), &mut noisy));
    }
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn twenty_times_the_usual_of_an_hour_is_told_at_the_second_window_by_day_and_by_night() {
    // Goal: exfiltration is found at any hour. Method: from a given hour on a disk leaves; the words of the first.
    for (from, expected) in [(10, 1_200_000_000_u64), (2, 900_000_000)] {
        let mut kiosk = Kiosk::new();
        kiosk.weeks((0, 2), ordinary);
        kiosk.profile.freeze(Timestamp(monday() + 2 * WEEK_S));
        let told = kiosk.weeks((2, 1), |day, hour| match day == 3 && (from..from + 4).contains(&hour) {
            true => expected,
            false => ordinary(day, hour),
        });
        let Some(first) = told.first() else { panic!("nothing told from hour {from} on") };
        let begun = monday() + 2 * WEEK_S + 3 * 24 * 3600 + from * 3600;
        assert_eq!(first.first.0 - begun, 2 * WINDOW_S, "an hour after it began");
        assert_eq!((first.key.as_str(), first.detector.as_str()), ("out/internet", "volume"));
        assert!(first.what_changed.as_str().contains("0.0 MB in half an hour"), "{}", first.what_changed);
    }
}

#[test]
fn one_window_an_hour_never_watched_and_a_clock_that_is_set_say_nothing() {
    // Goal: no alarm from a burst, a gap or a clock. Method: each, with a hundred times the usual.
    let much = |day: i64, hour: i64| ordinary(day, hour) * 100;
    let mut once = false;
    let mut kiosk = Kiosk::new();
    kiosk.weeks((0, 2), ordinary);
    kiosk.profile.freeze(Timestamp(monday() + 2 * WEEK_S));
    let told = kiosk.weeks((2, 1), |day, hour| {
        if day == 3 && hour == 10 && !core::mem::replace(&mut once, true) {
            much(day, hour)
        } else {
            ordinary(day, hour)
        }
    });
    assert!(told.is_empty(), "one window: {told:?}");
    for jump in [365, -365, 1, -1] {
        let traffic = Traffic { bytes_out: 10_000_000_000, ..Traffic::default() };
        kiosk.volumes.carried(&Flow { traffic, ..flow("203.0.113.9", 443, monday()) });
        let now = Millis((monday() + 3 * WEEK_S + jump * 24 * 3600) * 1000);
        assert_eq!(
            kiosk.volumes.pass((&mut kiosk.usual, &kiosk.profile), &mut kiosk.ledger, now),
            None,
            "{jump} days"
        );
    }
    let way = 0;
    let mut partly = Usual::default();
    partly.learn(way, 50, level(60_000_000));
    assert_eq!(partly.bar(way, 3), partly.bar(way, 50), "what was never watched is measured by all");
}

#[test]
fn levels_are_quarters_of_a_doubling() {
    // Goal: three times as much is seven levels at most. Method: by hand.
    assert_eq!([0, 1, 2, 4, 5, 8, 1024, u64::MAX].map(level), [1, 2, 6, 10, 11, 14, 42, 254]);
    for bytes in [1_000_u64, 77_777, 123_456_789, 10_000_000_000] {
        assert!(
            level(bytes * 4) > level(bytes) + THREE_TIMES && level(bytes * 3) <= level(bytes) + THREE_TIMES
        );
        assert!(amount(level(bytes)) <= bytes && amount(level(bytes) + 1) > bytes);
    }
}

#[test]
fn a_profile_from_before_volumes_were_learned_gets_a_week_of_its_own() {
    // Goal: an agent that was brought up to date neither cries at once nor stays dumb. Method: a frozen profile, nothing learned.
    let mut kiosk = Kiosk::new();
    kiosk.profile.freeze(Timestamp(monday()));
    assert!(kiosk.weeks((0, 1), ordinary).is_empty(), "its first week is the measure");
    assert!(kiosk.weeks((1, 1), ordinary).is_empty());
    assert!(!kiosk.weeks((2, 1), |day, hour| ordinary(day, hour) * 20).is_empty());
}
