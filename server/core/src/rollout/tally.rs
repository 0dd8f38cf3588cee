//! Counting a wave, and the statistical stop.
//!
//! Failures are counted among *finished* devices only; unreached devices are never failures. The stop needs the lower
//! end of the 95 % Wilson score interval (Wilson 1927; Agresti and Coull 1998) to lie above the limit, so that one
//! unlucky device of a large wave does not stop it, and three of ten do.

use cordon_proto::time::Timestamp;

use super::{DeviceFacts, Failure, Fleet, Policy, Stage, Wave};

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
    /// Confirmed by receipt.
    pub confirmed: u32,
    /// Rolled back.
    pub rolled_back: u32,
    /// Refused.
    pub refused: u32,
    /// Silent after the go.
    pub silent: u32,
}

impl Tally {
    /// Devices that failed.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.rolled_back + self.refused + self.silent
    }

    /// Devices that ended one way or the other.
    #[must_use]
    pub fn finished(&self) -> u32 {
        self.confirmed + self.failed()
    }

    /// All devices of the wave.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.unreached + self.waiting + self.installing + self.finished()
    }

    fn add(&mut self, stage: Stage) {
        let count = match stage {
            Stage::Unreached => &mut self.unreached,
            Stage::Waiting => &mut self.waiting,
            Stage::Installing => &mut self.installing,
            Stage::Confirmed => &mut self.confirmed,
            Stage::Failed(Failure::RolledBack) => &mut self.rolled_back,
            Stage::Failed(Failure::Refused) => &mut self.refused,
            Stage::Failed(Failure::Silent) => &mut self.silent,
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

/// Whether the failures are above the limit with 95 % certainty.
#[must_use]
pub fn limit_broken(tally: &Tally, policy: &Policy) -> bool {
    tally.failed() > 0
        && wilson(tally.failed(), tally.finished()).0 * 1000.0 > f64::from(policy.failure_limit_permille)
}
