//! How long a trial may last, and when a check in it that said no is made again.
//!
//! A trial has its time, and once as much again where the network itself is down: that is not the release's fault. The
//! time is of all the trial's starts together. It is charged ahead, a little at a time, and what is charged is stored:
//! a power cut may make a trial shorter, never longer, and no start gives it a second extension. Nothing here looks at
//! a clock. Read next: [`super::machine`] for what the end of the time means.

use core::mem;

use cordon_proto::limits;
use cordon_proto::time::Millis;
use minicbor::{Decode, Encode};

/// The time of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Patience {
    /// Seconds that are charged: of all starts so far, this one and a little ahead included.
    #[n(0)]
    charged_s: u32,
    /// Whether it has its time a second time.
    #[n(1)]
    extended: bool,
    /// Volatile: when this start began, on the monotonic clock.
    #[cbor(skip)]
    since: Millis,
    /// Volatile: what was charged when it began.
    #[cbor(skip)]
    before_s: u32,
}

impl Patience {
    /// Whether there is nothing to store of it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.charged_s == 0 && !self.extended
    }

    /// Whether it was extended.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// A start of the agent in the trial.
    pub fn begin(&mut self, now: Millis) {
        (self.since, self.before_s) = (now, self.charged_s);
    }

    /// Whether there is time left. It is charged ahead by one step at least, two at most, so this is to be asked once in
    /// each step ([`limits::TRIAL_STEP_S`], or an eighth of a shorter trial).
    pub fn has_time(&mut self, trial_s: u32, now: Millis) -> bool {
        let trial_s = trial_s.clamp(1, limits::TRIAL_S);
        let limit_s = trial_s * (1 + u32::from(self.extended));
        let here_s = u32::try_from(now.since(self.since).max(0) / 1000).unwrap_or(u32::MAX);
        let used_s = self.before_s.saturating_add(here_s);
        if used_s >= limit_s {
            return false;
        }
        let step_s = (trial_s / 8).clamp(1, limits::TRIAL_STEP_S);
        if self.charged_s < used_s.saturating_add(step_s) {
            self.charged_s = used_s.saturating_add(2 * step_s).min(limit_s);
        }
        true
    }

    /// Gives the trial its time once more, unless that was done before: whether it was not.
    pub fn extend(&mut self) -> bool {
        !mem::replace(&mut self.extended, true)
    }
}

/// A check that is made again after it said no, each time after a longer pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again {
    times: u8,
    since: Option<Millis>,
}

impl Again {
    /// It said no.
    pub fn said_no(&mut self, now: Millis) {
        self.times = self.times.saturating_add(1);
        self.since = Some(now);
    }

    /// Whether it ever said no.
    #[must_use]
    pub fn has_said_no(&self) -> bool {
        self.times > 0
    }

    /// Whether to make it again now; it is under way then. Pauses double, up to a twelfth of the trial's time.
    pub fn is_due(&mut self, trial_s: u32, now: Millis) -> bool {
        let Some(since) = self.since else { return false };
        let longest_ms = i64::from(trial_s.clamp(1, limits::TRIAL_S)) * 1000 / 12;
        let doubled = u32::from(self.times.saturating_sub(1)).min(16);
        let pause_ms = (limits::TRIAL_PAUSE_MS << doubled).min(longest_ms);
        let due = now.since(since) >= pause_ms;
        if due {
            self.since = None;
        }
        due
    }
}

#[cfg(test)]
mod tests;
