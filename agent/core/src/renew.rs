//! When a device asks for its next certificate, and what it does with each word by which a server refuses it.
//!
//! Renewal begins at two thirds of the certificate's life, a tenth earlier or later by chance, and is judged by a time
//! that is believed: the server's word over a pinned connection, else a clock that is not below its floor, else none.
//! Only two words make a device give its identity up, and no failure does. It never reads a clock or draws a number.
//! Read next: `backoff` for the spread, docs/decisions/0010-identity.md.

use cordon_proto::farewell::Cause;
use cordon_proto::time::Timestamp;

use crate::backoff::{share, spread};

/// Milliseconds of the first wait after a renewal that failed.
pub const FIRST_MS: u64 = 60_000;
/// Milliseconds between two certificates, at least.
pub const LEAST_MS: u64 = 600_000;
/// Milliseconds of the longest wait between two tries.
pub const LONGEST_MS: u64 = 6 * 3600 * 1000;

/// The life of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its first second.
    pub not_before: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

impl Life {
    /// When renewal begins. `chance` belongs to the certificate, so that a restart does not throw the die again.
    #[must_use]
    pub fn due(self, chance: u32) -> Timestamp {
        let life_s = u64::try_from(self.not_after.seconds_since(self.not_before)).unwrap_or(0);
        let wait_ms = spread(life_s.saturating_mul(1000) / 3 * 2, chance);
        self.not_before.plus_seconds(i64::try_from(wait_ms / 1000).unwrap_or(i64::MAX))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn over(self, now: Timestamp) -> bool {
        now > self.not_after
    }
}

/// The time that renewal is judged by: what the server said in this run, carried on; else the device's own clock, unless
/// it is below its floor and so known to be wrong.
#[must_use]
pub fn believed(heard: Option<Timestamp>, own: Timestamp, floor: Timestamp) -> Option<Timestamp> {
    heard.or_else(|| (own >= floor).then_some(own))
}

/// The state of one device's renewal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    failures: u32,
    /// Not before this, on the monotonic clock.
    again_ms: u64,
    /// The server said that the certificate has ended, which needs no clock.
    ended: bool,
}

impl Renewal {
    /// Milliseconds until renewal is to be tried; 0 for now, `None` while nobody knows the time.
    #[must_use]
    pub fn wait_ms(&self, due: Timestamp, now: Option<Timestamp>, monotonic_ms: u64) -> Option<u64> {
        let until_due_ms = match now {
            _ if self.ended => 0,
            Some(now) => u64::try_from(due.seconds_since(now)).unwrap_or(0).saturating_mul(1000),
            None => return None,
        };
        Some(until_due_ms.max(self.again_ms.saturating_sub(monotonic_ms)))
    }

    /// The server's TLS says that the certificate has ended.
    pub fn ended(&mut self) {
        self.ended = true;
    }

    /// There is a next certificate. The one after it has time, whatever the server says of the one that it just made: a
    /// server whose certificates come overdue is not asked for one after the other.
    pub fn succeeded(&mut self, monotonic_ms: u64) {
        *self = Self { again_ms: monotonic_ms.saturating_add(LEAST_MS), ..Self::default() };
    }

    /// A try failed. The next one comes after a minute at first and six hours at most, or later where the server asks
    /// for it; at once with the longest wait where a person has to act first.
    pub fn failed(&mut self, monotonic_ms: u64, asked: Asked, jitter: u32) {
        let step_ms = match asked {
            Asked::Late => LONGEST_MS,
            Asked::Nothing | Asked::Seconds(_) => {
                FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(LONGEST_MS)
            }
        };
        self.failures = self.failures.saturating_add(1);
        let asked_ms = match asked {
            Asked::Seconds(seconds) => seconds.saturating_mul(1000).min(LONGEST_MS),
            Asked::Nothing | Asked::Late => 0,
        };
        let wait_ms = (step_ms / 2).max(asked_ms) + share(step_ms - step_ms / 2, jitter);
        self.again_ms = monotonic_ms.saturating_add(wait_ms);
    }
}

/// What a failed renewal says of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// Not before these seconds.
    Seconds(u64),
    /// A person has to act first.
    Late,
}

/// The words by which a server refuses a device, or its TLS the device's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// No such device.
    UnknownDevice,
    /// Not trusted for now.
    Quarantined,
    /// Its use has ended.
    Retired,
    /// Nobody knows where it is.
    Lost,
    /// A newer certificate is in force.
    Superseded,
    /// Other hardware than enrolled.
    HardwareMismatch,
    /// TLS does not take the certificate.
    Certificate,
    /// TLS does not take the certificate, because it has ended.
    Ended,
}

/// What the device does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Keep everything and try again later.
    Wait,
    /// Show the other certificate that is held.
    Other,
    /// Ask for the next certificate at once.
    Renew,
    /// Sign a farewell and wipe.
    Leave(Cause),
}

/// What to do on a refusal. `other` says whether a second certificate is held that was not refused yet.
#[must_use]
pub fn course(word: Word, other: bool) -> Course {
    match word {
        Word::Retired => Course::Leave(Cause::Retired),
        Word::Lost => Course::Leave(Cause::Lost),
        Word::Ended => Course::Renew,
        Word::UnknownDevice | Word::Superseded | Word::Certificate if other => Course::Other,
        Word::UnknownDevice
        | Word::Superseded
        | Word::Certificate
        | Word::Quarantined
        | Word::HardwareMismatch => Course::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_S: i64 = 86_400;
    const BORN: Timestamp = Timestamp(1_795_000_000);

    fn month() -> Life {
        Life { not_before: BORN, not_after: BORN.plus_seconds(30 * DAY_S) }
    }

    #[test]
    fn renewal_begins_at_two_thirds_of_life_spread_by_a_tenth() {
        // Goal: the schedule as decided. Method: the least, the middle and the greatest die on thirty days.
        let days = |chance| month().due(chance).seconds_since(BORN) / DAY_S;
        assert_eq!((days(0), days(1 << 31), days(u32::MAX)), (18, 20, 21));
        assert!(!month().over(month().not_after) && month().over(month().not_after.plus_seconds(1)));
    }

    #[test]
    fn a_clock_below_its_floor_never_begins_a_renewal_and_the_servers_word_wins() {
        // Goal: 1970 and ten years on. Method: a wrong clock alone, then with the server's word.
        let (due, floor) = (month().due(1 << 31), BORN);
        let wait = |heard, own| Renewal::default().wait_ms(due, believed(heard, own, floor), 0);
        assert_eq!(wait(None, Timestamp(0)), None, "1970: nobody knows");
        assert_eq!(wait(Some(BORN), Timestamp(0)), Some(20 * 86_400_000), "the server knows");
        let ten_years_on = BORN.plus_seconds(3650 * DAY_S);
        assert_eq!(wait(None, ten_years_on), Some(0), "nobody says that it is wrong");
        assert_eq!(wait(Some(BORN.plus_seconds(DAY_S)), ten_years_on), Some(19 * 86_400_000));
        let mut told = Renewal::default();
        told.ended();
        assert_eq!(told.wait_ms(due, None, 0), Some(0), "the server said that it has ended");
    }

    #[test]
    fn tries_are_a_minute_apart_at_first_and_six_hours_at_most() {
        // Goal: no storm on a server that is in trouble. Method: a row of failures with the middle die.
        let mut renewal = Renewal::default();
        let waits: alloc::vec::Vec<u64> = (0..11)
            .map(|_| {
                renewal.failed(0, Asked::Nothing, 1 << 31);
                renewal.wait_ms(BORN, Some(BORN), 0).expect("the time is known") / 1000
            })
            .collect();
        assert_eq!(waits, [45, 90, 180, 360, 720, 1440, 2880, 5760, 11_520, 16_200, 16_200]);
        let mut late = Renewal::default();
        late.failed(0, Asked::Late, 0);
        assert_eq!(late.wait_ms(BORN, Some(BORN), 0), Some(LONGEST_MS / 2));
        late.succeeded(0);
        late.failed(LEAST_MS, Asked::Nothing, 0);
        assert_eq!(late.wait_ms(BORN, Some(BORN), LEAST_MS), Some(FIRST_MS / 2), "failures are counted anew");
    }

    #[test]
    fn a_certificate_that_comes_overdue_or_ended_is_not_followed_at_once() {
        // Goal: no loop of renewals with a server that is wrong. Method: success, then a due that is long past and the
        // server's word that the new one has ended; the wait at three moments.
        let mut renewal = Renewal::default();
        renewal.ended();
        assert_eq!(renewal.wait_ms(BORN, None, 7_000), Some(0));
        renewal.succeeded(7_000);
        let long_past = BORN.plus_seconds(400 * DAY_S);
        assert_eq!(renewal.wait_ms(BORN, Some(long_past), 7_000), Some(LEAST_MS));
        renewal.ended();
        assert_eq!(renewal.wait_ms(BORN, None, 7_000 + LEAST_MS / 2), Some(LEAST_MS / 2));
        assert_eq!(renewal.wait_ms(BORN, None, 7_000 + LEAST_MS), Some(0));
    }

    #[test]
    fn only_two_words_end_an_identity() {
        // Goal: nothing but the owner's own word wipes a device. Method: every word, with and without another identity.
        use Word as W;
        for other in [false, true] {
            assert_eq!(course(W::Retired, other), Course::Leave(Cause::Retired));
            assert_eq!(course(W::Lost, other), Course::Leave(Cause::Lost));
            assert_eq!(course(W::Ended, other), Course::Renew);
            for word in [W::Quarantined, W::HardwareMismatch] {
                assert_eq!(course(word, other), Course::Wait);
            }
            for word in [W::UnknownDevice, W::Superseded, W::Certificate] {
                assert_eq!(course(word, other), if other { Course::Other } else { Course::Wait });
            }
        }
    }

    proptest! {
        #[test]
        fn renewal_begins_within_the_certificates_life(
            start in 0_i64..4_000_000_000, life in 0_i64..400 * DAY_S, chance in any::<u32>(),
        ) {
            let life = Life { not_before: Timestamp(start), not_after: Timestamp(start + life) };
            let due = life.due(chance);
            let part = due.seconds_since(life.not_before);
            let whole = life.not_after.seconds_since(life.not_before);
            prop_assert!(part >= whole * 3 / 5 - 1 && part <= whole * 11 / 15 + 1, "{part} of {whole}");
        }

        #[test]
        fn every_wait_is_bounded_and_never_shorter_than_asked(
            asked in prop_oneof![
                Just(Asked::Nothing), Just(Asked::Late), any::<u64>().prop_map(Asked::Seconds),
            ],
            failures in 1_u32..40, jitter in any::<u32>(), now in 0_u64..1 << 40,
        ) {
            let mut renewal = Renewal::default();
            for _ in 0..failures {
                renewal.failed(now, asked, jitter);
            }
            let wait = renewal.wait_ms(BORN, Some(BORN), now).expect("the time is known");
            let least = if let Asked::Seconds(s) = asked { s.saturating_mul(1000).min(LONGEST_MS) } else { FIRST_MS / 2 };
            prop_assert!(wait >= least && wait <= LONGEST_MS * 3 / 2 + 1, "{wait}");
        }
    }
}
