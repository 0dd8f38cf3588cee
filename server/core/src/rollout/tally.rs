//! Counting a wave, the stop by its failures, and when it is settled.
//!
//! Failures are counted among *finished* devices only; unreached devices are never failures, and one that ran the
//! image already is neither a success nor a failure. The statistical stop needs the lower end of the 95 % Wilson score
//! interval (Wilson 1927; Agresti and Coull 1998) to lie above the limit. At a limit of 2 % that means: of 8 finished
//! devices one failure is enough, of 27 two, of 51 three, of 78 four. It is asked after every end, so one failure early
//! in a large wave would stop it by bad luck more often than the interval says; there two are asked for
//! ([`Policy::least_failures`]). In small waves one is enough: a canary of four has to bite. Read next: [`super::plan`].

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use cordon_proto::time::Timestamp;

use super::{DeviceFacts, Failure, Fleet, Policy, Rollout, SMALL_WAVE, Stage, Wave};

/// Standard normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_964;

/// The devices of one wave by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Not heard since the wave began, or the wave has not begun.
    pub unreached: u32,
    /// Blocked by something they name.
    pub waiting: u32,
    /// At work.
    pub installing: u32,
    /// Ran the ordered image already.
    pub already: u32,
    /// Confirmed by receipt.
    pub confirmed: u32,
    /// Gone back by receipt.
    pub returned: u32,
    /// Rolled back.
    pub rolled_back: u32,
    /// Refused.
    pub refused: u32,
    /// Silent after the go.
    pub silent: u32,
    /// Not accepted by a person.
    pub not_accepted: u32,
    /// Not returned although the way back was ordered.
    pub not_returned: u32,
}

/// Why a wave stops its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// So many failures are enough.
    Count {
        /// Devices that failed.
        failed: u32,
        /// How many are enough.
        limit: u32,
    },
    /// The plain share is too high.
    Rate {
        /// Devices that failed.
        failed: u32,
        /// Devices that finished.
        finished: u32,
        /// The limit, in thousandths.
        limit_permille: u32,
    },
    /// The share is above the limit with 95 % certainty.
    Bound {
        /// Devices that failed.
        failed: u32,
        /// Devices that finished.
        finished: u32,
        /// The lower end of the interval, in thousandths, rounded down so that "at least" is true as printed.
        at_least_permille: u32,
        /// The limit, in thousandths.
        limit_permille: u32,
    },
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |permille: u32| f64::from(permille) / 10.0;
        match *self {
            Self::Count { failed, limit } => write!(f, "{failed} devices failed; {limit} are enough to stop"),
            Self::Rate { failed, finished, limit_permille } => {
                let limit = percent(limit_permille);
                write!(f, "{failed} of {finished} finished devices failed; the limit is {limit} %")
            }
            Self::Bound { failed, finished, at_least_permille, limit_permille } => {
                let (at_least, limit) = (percent(at_least_permille), percent(limit_permille));
                write!(
                    f,
                    "{failed} of {finished} finished devices failed, at least {at_least:.1} %; the limit is {limit} %"
                )
            }
        }
    }
}

impl Tally {
    /// Devices that failed.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.rolled_back + self.refused + self.silent + self.not_accepted + self.not_returned
    }

    /// Devices that ended one way or the other by this rollout: those among which failures are counted.
    #[must_use]
    pub fn finished(&self) -> u32 {
        self.confirmed + self.returned + self.failed()
    }

    /// Devices of which nothing more is expected.
    #[must_use]
    pub fn ended(&self) -> u32 {
        self.finished() + self.already
    }

    /// All devices of the wave.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.unreached + self.waiting + self.installing + self.ended()
    }

    /// "2 rolled back, 1 silent".
    #[must_use]
    pub fn failures(&self) -> String {
        let kinds = [
            (self.rolled_back, "rolled back"),
            (self.refused, "refused"),
            (self.silent, "silent"),
            (self.not_accepted, "not accepted"),
            (self.not_returned, "not returned"),
        ];
        let some = kinds.iter().filter(|(count, _)| *count > 0);
        some.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            unreached: self.unreached + other.unreached,
            waiting: self.waiting + other.waiting,
            installing: self.installing + other.installing,
            already: self.already + other.already,
            confirmed: self.confirmed + other.confirmed,
            returned: self.returned + other.returned,
            rolled_back: self.rolled_back + other.rolled_back,
            refused: self.refused + other.refused,
            silent: self.silent + other.silent,
            not_accepted: self.not_accepted + other.not_accepted,
            not_returned: self.not_returned + other.not_returned,
        }
    }

    fn add(&mut self, stage: Stage) {
        let count = match stage {
            Stage::Unreached => &mut self.unreached,
            Stage::Waiting => &mut self.waiting,
            Stage::Installing => &mut self.installing,
            Stage::Already => &mut self.already,
            Stage::Confirmed => &mut self.confirmed,
            Stage::Returned => &mut self.returned,
            Stage::Failed(Failure::RolledBack) => &mut self.rolled_back,
            Stage::Failed(Failure::Refused) => &mut self.refused,
            Stage::Failed(Failure::Silent) => &mut self.silent,
            Stage::Failed(Failure::NotAccepted) => &mut self.not_accepted,
            Stage::Failed(Failure::NotReturned) => &mut self.not_returned,
        };
        *count += 1;
    }
}

/// Counts one wave. Before it has begun, every device is unreached.
#[must_use]
pub fn tally(wave: &Wave, fleet: &Fleet, policy: &Policy, now: Timestamp) -> Tally {
    let mut tally = Tally::default();
    let absent = DeviceFacts::default();
    for device in &wave.devices {
        let facts = fleet.get(device).unwrap_or(&absent);
        let stage = if wave.started.is_some() { facts.stage(policy, now) } else { Stage::Unreached };
        tally.add(stage);
    }
    tally
}

/// The 95 % Wilson score interval of `failed` among `finished`, as shares of one; the whole range when nothing ended.
#[must_use]
pub fn wilson(failed: u32, finished: u32) -> (f64, f64) {
    if finished == 0 {
        return (0.0, 1.0);
    }
    let n = f64::from(finished);
    let share = f64::from(failed.min(finished)) / n;
    let z2 = Z * Z;
    let centre = share + z2 / (2.0 * n);
    let half = Z * libm::sqrt(share * (1.0 - share) / n + z2 / (4.0 * n * n));
    let scale = 1.0 + z2 / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// Why the failures of a wave stop its rollout, if they do.
#[must_use]
pub fn broken(tally: &Tally, policy: &Policy) -> Option<Break> {
    let (failed, finished) = (tally.failed(), tally.finished());
    let limit_permille = policy.failure_limit_permille;
    if let Some(limit) = policy.failure_count.filter(|limit| failed >= (*limit).max(1)) {
        return Some(Break::Count { failed, limit });
    }
    let least = if tally.total() <= SMALL_WAVE { 1 } else { policy.least_failures.max(1) };
    let (low, _) = wilson(failed, finished);
    if failed >= least && low * 1000.0 > f64::from(limit_permille) {
        let at_least_permille = permille(low);
        return Some(Break::Bound { failed, finished, at_least_permille, limit_permille });
    }
    let rate = policy.failure_rate_permille.filter(|_| finished >= policy.rate_from.max(1));
    let rate = rate.filter(|limit| u64::from(failed) * 1000 > u64::from(finished) * u64::from(*limit));
    rate.map(|limit_permille| Break::Rate { failed, finished, limit_permille })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of one is 0 to 1000")]
fn permille(share: f64) -> u32 {
    libm::floor(share.clamp(0.0, 1.0) * 1000.0) as u32
}

/// Whether the watch of a begun wave may begin: every device has ended, or is no longer waited for, and enough have
/// confirmed. A wave of nobody but unreached devices is never settled, nor is one that everybody failed in.
#[must_use]
pub fn may_settle(rollout: &Rollout, index: usize, fleet: &Fleet, now: Timestamp) -> bool {
    let Some(wave) = rollout.waves.get(index) else { return false };
    let Some(started) = wave.started else { return false };
    let policy = &rollout.policy;
    let absent = DeviceFacts::default();
    let facts = wave.devices.iter().map(|device| fleet.get(device).unwrap_or(&absent));
    let mut open = facts.filter(|facts| !facts.stage(policy, now).has_ended());
    has_shown(rollout, index, fleet, now) && open.all(|facts| is_late(facts, started, policy, now))
}

/// Whether enough of a wave have confirmed for the next one to be trusted with the release. Who ran it already can show
/// nothing: of such a wave nothing is asked if an earlier one has shown it, or none comes after.
pub(super) fn has_shown(rollout: &Rollout, index: usize, fleet: &Fleet, now: Timestamp) -> bool {
    let count = |wave: &Wave| tally(wave, fleet, &rollout.policy, now);
    let Some(counted) = rollout.waves.get(index).map(count) else { return false };
    let asked = u64::from(counted.total() - counted.already);
    if asked == 0 {
        let last = index + 1 == rollout.waves.len();
        return last || rollout.waves.iter().take(index).any(|wave| count(wave).confirmed > 0);
    }
    let advance = &rollout.policy.advance;
    let share = asked * u64::from(advance.least_confirmed_permille);
    let least = share.div_ceil(1000).max(advance.least_confirmed.max(1).into()).min(asked);
    u64::from(counted.confirmed) >= least
}

/// Whether a device that has not ended is no longer waited for. One with the go in its hand always is.
fn is_late(facts: &DeviceFacts, started: Timestamp, policy: &Policy, now: Timestamp) -> bool {
    let advance = &policy.advance;
    let since = |at: Timestamp, limit_s: u32| now.seconds_since(at) >= i64::from(limit_s);
    let overdue = since(started, advance.unreached_after_s);
    match facts.stage(policy, now) {
        Stage::Unreached | Stage::Waiting | Stage::Installing if facts.has_go().is_some() => false,
        Stage::Unreached => overdue,
        Stage::Waiting if advance.waiting_after_s.is_some_and(|limit_s| since(started, limit_s)) => true,
        // It had taken the order up, and then went into a cupboard.
        Stage::Waiting | Stage::Installing => {
            overdue && facts.heard.is_none_or(|heard| since(heard, advance.unreached_after_s))
        }
        Stage::Already | Stage::Confirmed | Stage::Returned | Stage::Failed(_) => true,
    }
}
