//! How long a maker supports what runs: the stages of IMDRF/CYBER WG/N70 from the dates that the maker signed.
//!
//! N70 knows *support*, *limited support* (from the end of life on) and *end of support*. A release carries named dates; the
//! names of the two ends are a closed list here, and a date under any other name decides nothing. What no date is known of is
//! unknown and never supported. Read next: `cordon_proto::update::release` for the dates.

use alloc::collections::BTreeMap;

use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::OsSupport;
use super::hazard::DAY_S;

/// Names of the date on which full support ends (end of life).
const FULL_ENDS: [&str; 5] = ["full", "support", "end-of-life", "eol", "end-of-guaranteed-support"];
/// Names of the date on which the last security repairs end (end of support).
const ALL_ENDS: [&str; 4] = ["security", "end-of-support", "eos", "limited"];
/// Days within which a loss of support is to be planned for.
pub const PLAN_DAYS: i64 = 365;

/// Where a release is in its maker's support.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The maker repairs it.
    Supported,
    /// The maker repairs a part: its end of life has passed, its end of support has not.
    LimitedSupport,
    /// The maker repairs nothing any more.
    EndOfSupport,
    /// The maker signed no such date, or nobody knows what runs.
    #[default]
    Unknown,
}

/// The support of a release at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Support {
    /// Its stage.
    pub stage: Stage,
    /// When full support ends or ended, if that is said.
    pub full_until: Option<Timestamp>,
    /// When all support ends or ended, if that is said.
    pub until: Option<Timestamp>,
}

impl Support {
    /// By the dates that a maker signed with a release. Of two dates for one end the earlier counts.
    #[must_use]
    pub fn of(dates: &BTreeMap<Name, Timestamp>, now: Timestamp) -> Self {
        let first = |names: &[&str]| {
            dates.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, at)| *at).min()
        };
        Self::by(first(&FULL_ENDS), first(&ALL_ENDS), now)
    }

    /// Of an operating system. One that is said to be supported without a day is so today.
    #[must_use]
    pub fn of_system(system: OsSupport, now: Timestamp) -> Self {
        match system {
            OsSupport::Unknown => Self::default(),
            OsSupport::Supported => Self { stage: Stage::Supported, ..Self::default() },
            OsSupport::Until { at } | OsSupport::Ended { at } => Self::by(None, Some(at), now),
        }
    }

    fn by(full_until: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Self {
        let is_over = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let stage = match (full_until, until) {
            (None, None) => Stage::Unknown,
            _ if is_over(until) => Stage::EndOfSupport,
            _ if is_over(full_until) => Stage::LimitedSupport,
            (Some(_), _) | (_, Some(_)) => Stage::Supported,
        };
        Self { stage, full_until, until }
    }

    /// Whole days until something of the support ends; none where nothing will.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> Option<i64> {
        let ahead = [self.full_until, self.until].into_iter().flatten().filter(|at| *at > now);
        ahead.min().map(|at| at.seconds_since(now).div_euclid(DAY_S))
    }

    /// The next end of the support, or the last one where all have passed.
    #[must_use]
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = [self.full_until, self.until].into_iter().flatten();
        let ahead = ends.clone().filter(|at| *at > now).min();
        ahead.or(ends.max())
    }

    /// Whether something of the support ends within the time in which a replacement is planned.
    #[must_use]
    pub fn is_ending(&self, now: Timestamp) -> bool {
        self.days_left(now).is_some_and(|days| days < PLAN_DAYS)
    }
}

impl Stage {
    /// The word, as it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::LimitedSupport => "limited-support",
            Self::EndOfSupport => "end-of-support",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::examples::NOW;

    fn dates(dates: &[(&str, i64)]) -> BTreeMap<Name, Timestamp> {
        let at = |days: i64| NOW.plus_seconds(days * DAY_S);
        dates.iter().map(|(name, days)| (name.parse().expect("a name"), at(*days))).collect()
    }

    #[test]
    fn the_stages_follow_the_dates_that_the_maker_signed() {
        // Goal: N70's stages and nothing guessed. Method: each side of each date, alone and together, other names, none.
        let stage = |named: &[(&str, i64)]| Support::of(&dates(named), NOW).stage;
        assert_eq!(stage(&[]), Stage::Unknown);
        assert_eq!(stage(&[("parts", 900)]), Stage::Unknown, "spare parts are no repairs");
        assert_eq!(stage(&[("security", 1)]), Stage::Supported);
        assert_eq!(stage(&[("security", 0)]), Stage::EndOfSupport, "the day itself is over");
        assert_eq!(stage(&[("full", 10), ("security", 400)]), Stage::Supported);
        assert_eq!(stage(&[("full", -10), ("security", 400)]), Stage::LimitedSupport);
        assert_eq!(
            stage(&[("end-of-life", -10)]),
            Stage::LimitedSupport,
            "nobody said that all support ended"
        );
        assert_eq!(stage(&[("full", -10), ("end-of-support", -1)]), Stage::EndOfSupport);
        assert_eq!(stage(&[("security", 40), ("eos", -1)]), Stage::EndOfSupport, "the earlier of two counts");
        assert_eq!(Support::of_system(OsSupport::Unknown, NOW).stage, Stage::Unknown);
        assert_eq!(Support::of_system(OsSupport::Ended { at: NOW }, NOW).stage, Stage::EndOfSupport);
        assert_eq!(Support::of_system(OsSupport::Supported, NOW).stage, Stage::Supported);
    }

    #[test]
    fn a_loss_of_support_is_told_a_year_ahead() {
        // Goal: "loses support in 12 months". Method: both sides of a year, the nearer of two ends, what is over.
        let ending = |named: &[(&str, i64)]| Support::of(&dates(named), NOW).is_ending(NOW);
        assert!(ending(&[("security", 364)]) && !ending(&[("security", 365)]));
        assert!(ending(&[("full", 30), ("security", 900)]));
        assert!(!ending(&[("security", -3)]), "that is not ending, that has ended");
        assert_eq!(Support::of(&dates(&[("full", 30), ("security", 900)]), NOW).days_left(NOW), Some(30));
        assert!(ending(&[("full", -30), ("security", 90)]));
        let next = |named: &[(&str, i64)]| {
            Support::of(&dates(named), NOW).next_end(NOW).map(|at| at.seconds_since(NOW) / DAY_S)
        };
        assert_eq!(next(&[("full", -30), ("security", 90)]), Some(90));
        assert_eq!((next(&[("full", -30), ("security", -9)]), next(&[])), (Some(-9), None));
    }
}
