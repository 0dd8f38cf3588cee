//! How old a feed is, and when that is too old.
//!
//! A date in the future is no freshness: clocks and publishers are wrong, and the verdict says so. Read next: [`super::kev`]
//! and its neighbours, each of which carries its date.

use cordon_proto::limits;
use cordon_proto::time::Timestamp;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// Whether a feed can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Young enough.
    Fresh {
        /// Whole days.
        days: i64,
    },
    /// Too old: that itself is a finding.
    Stale {
        /// Whole days.
        days: i64,
    },
    /// It says a day that has not come, by more than a day: its age is not known.
    Ahead,
    /// It does not say of when it is.
    Undated,
}

impl Age {
    /// Judges the age at `now` of what is of `as_of`; a bound of no days takes [`limits::FEED_STALE_DAYS`].
    #[must_use]
    pub fn of(as_of: Option<Timestamp>, now: Timestamp, bound_days: Option<u32>) -> Self {
        let Some(as_of) = as_of else { return Self::Undated };
        let age_s = now.seconds_since(as_of);
        let bound_s = i64::from(bound_days.unwrap_or(limits::FEED_STALE_DAYS)).saturating_mul(DAY_S);
        let days = age_s.max(0) / DAY_S;
        match age_s {
            age_s if age_s < -DAY_S => Self::Ahead,
            age_s if age_s > bound_s => Self::Stale { days },
            _ => Self::Fresh { days },
        }
    }

    /// Whether it is to be shown as a finding.
    #[must_use]
    pub fn is_finding(self) -> bool {
        !matches!(self, Self::Fresh { .. })
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh { .. } => "fresh",
            Self::Stale { .. } => "stale",
            Self::Ahead => "ahead",
            Self::Undated => "undated",
        }
    }

    /// Whole days, where they are known.
    #[must_use]
    pub fn days(self) -> Option<i64> {
        match self {
            Self::Fresh { days } | Self::Stale { days } => Some(days),
            Self::Ahead | Self::Undated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_stale_one_second_behind_its_bound() {
        // Goal: the bound is exact, and neither a missing nor a future date is fresh. Method: a row each side.
        let now = Timestamp(1_000 * DAY_S);
        let of = |back_s: i64, bound| Age::of(Some(Timestamp(now.0 - back_s)), now, bound);
        assert_eq!(of(0, None), Age::Fresh { days: 0 });
        assert_eq!(of(7 * DAY_S, None), Age::Fresh { days: 7 });
        assert_eq!(of(7 * DAY_S + 1, None), Age::Stale { days: 7 });
        assert_eq!(of(8 * DAY_S, Some(30)), Age::Fresh { days: 8 });
        assert_eq!(of(1, Some(0)), Age::Stale { days: 0 });
        assert_eq!(of(-DAY_S, None), Age::Fresh { days: 0 });
        assert_eq!(of(-DAY_S - 1, None), Age::Ahead);
        assert_eq!(Age::of(None, now, None), Age::Undated);
        assert_eq!(Age::of(Some(Timestamp(i64::MIN)), Timestamp(i64::MAX), None).word(), "stale");
        assert!(Age::Ahead.is_finding() && Age::Undated.is_finding() && !of(0, None).is_finding());
    }
}
