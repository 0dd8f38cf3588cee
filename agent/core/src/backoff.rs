//! When to try again: a jittered, bounded, exponential schedule.
//!
//! Chance is an argument, so the same failures and the same dice give the same waits. A thousand devices that lose
//! their server together must not come back together: every wait is spread over half of its length. A server may ask
//! for a longer wait (`Retry-After`, RFC 9110 section 10.2.3), but not for silence: at most `limits::RETRY_AFTER_S`.
//! It never sleeps and never reads a clock.

use cordon_proto::limits;

/// The state of one retry schedule, one for each thing that is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    first_ms: u64,
    longest_ms: u64,
}

impl Default for Backoff {
    /// The schedule of the limits page: 1 s at first, 5 minutes at most.
    fn default() -> Self {
        Self::new(limits::RETRY_FIRST_MS, limits::RETRY_LONGEST_MS)
    }
}

impl Backoff {
    /// A schedule between two waits, held within the limits page.
    #[must_use]
    pub fn new(first_ms: u64, longest_ms: u64) -> Self {
        let longest_ms = longest_ms.clamp(1, limits::RETRY_LONGEST_MS);
        Self { failures: 0, first_ms: first_ms.clamp(1, longest_ms), longest_ms }
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Success: the next failure starts from the first wait again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failure: milliseconds to wait before the next attempt.
    ///
    /// `retry_after_s` is what the server asked for; the wait is never shorter than that (within its limit), and the
    /// spread is added on top, so that devices sent away together do not return together. `jitter` is a uniformly
    /// random number.
    pub fn failed(&mut self, retry_after_s: Option<u64>, jitter: u32) -> u64 {
        let exponent = self.failures.min(32);
        self.failures = self.failures.saturating_add(1);
        let step_ms = self.first_ms.saturating_mul(1 << exponent).min(self.longest_ms);
        let spread_ms = share(step_ms - step_ms / 2, jitter);
        let asked_ms = retry_after_s.unwrap_or(0).min(limits::RETRY_AFTER_S) * 1000;
        (step_ms / 2).max(asked_ms) + spread_ms
    }
}

/// A regular interval, spread by a tenth to either side: milliseconds between nine and eleven tenths of it.
#[must_use]
pub fn spread(interval_ms: u64, jitter: u32) -> u64 {
    let tenth_ms = interval_ms / 10;
    interval_ms - tenth_ms + share(tenth_ms.saturating_mul(2), jitter)
}

/// Milliseconds to the next report: what the server asked for, or a metered device's own longer interval, spread, and
/// never less than what the server asked for.
#[must_use]
pub fn next_report(asked_ms: u64, metered_ms: Option<u64>, jitter: u32) -> u64 {
    spread(asked_ms.max(metered_ms.unwrap_or(0)), jitter).max(asked_ms)
}

/// `whole · jitter / 2³²`: a uniform share of `whole`, `whole` itself excluded.
pub(crate) fn share(whole: u64, jitter: u32) -> u64 {
    let product = u128::from(whole) * u128::from(jitter);
    u64::try_from(product >> 32).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_success() {
        // Goal: the schedule as written. Method: a run with fixed dice, written out.
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..11).map(|_| backoff.failed(None, 1 << 31)).collect();
        assert_eq!(
            waits,
            [750, 1500, 3000, 6000, 12_000, 24_000, 48_000, 96_000, 192_000, 225_000, 225_000],
            "three quarters of 1, 2, 4, … 256, 300, 300 s"
        );
        assert_eq!(backoff.failures(), 11);
        backoff.succeeded();
        assert_eq!(backoff.failed(None, 0), 500);
    }

    #[test]
    fn a_servers_wish_is_honoured_up_to_an_hour() {
        // Goal: Retry-After is a lower bound, and not a switch-off. Method: small, large and absurd wishes.
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(Some(120), 0), 120_000);
        assert_eq!(Backoff::default().failed(Some(120), u32::MAX), 120_499);
        assert_eq!(Backoff::default().failed(Some(u64::MAX), 0), 3_600_000);
    }

    #[test]
    fn a_thousand_devices_do_not_return_together() {
        // Goal: the spread is a spread. Method: 1,000 evenly thrown dice fill each tenth of the second half evenly.
        let mut tenths = [0; 10];
        for die in 0..1000_u32 {
            let wait = Backoff::new(10_000, 10_000).failed(None, die * (u32::MAX / 1000));
            let place = usize::try_from((wait - 5000) / 500).expect("small");
            tenths[place.min(9)] += 1;
        }
        assert!(tenths.iter().all(|count| (90..=110).contains(count)), "{tenths:?}");
    }

    proptest! {
        #[test]
        fn every_wait_is_bounded_and_at_least_what_was_asked(
            first in any::<u64>(), longest in any::<u64>(),
            steps in proptest::collection::vec((proptest::option::of(any::<u64>()), any::<u32>()), 1..80),
        ) {
            let mut backoff = Backoff::new(first, longest);
            for (asked, die) in steps {
                let wait = backoff.failed(asked, die);
                let least = asked.unwrap_or(0).min(limits::RETRY_AFTER_S) * 1000;
                prop_assert!(wait >= least && wait <= limits::RETRY_AFTER_S * 1000 + limits::RETRY_LONGEST_MS);
            }
        }

        #[test]
        fn a_metered_device_reports_by_its_own_interval_unless_the_server_asks_for_a_longer_one(
            asked in 1_u64..1_000_000_000, metered in proptest::option::of(1_u64..1_000_000_000), die in any::<u32>(),
        ) {
            let wait = next_report(asked, metered, die);
            let own = metered.unwrap_or(0);
            prop_assert!(wait >= asked && wait >= own - own / 10);
            prop_assert!(wait <= asked.max(own) / 10 * 11 + 11);
        }

        #[test]
        fn a_spread_interval_stays_within_a_tenth(interval in 10_u64..1_000_000_000, die in any::<u32>()) {
            let wait = spread(interval, die);
            prop_assert!(wait >= interval - interval / 10 && wait <= interval + interval / 10);
        }
    }
}
