//! The clock: the only place of this package that asks what time it is.
//!
//! Everything that decides is given a time; this is where it comes from. A held clock stands still until it is moved,
//! so that tests of expiry need no waiting. Timers of the runtime are no clock: they measure, they do not date.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cordon_proto::time::{Millis, Timestamp};

/// Says what time it is.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Held(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `at`.
    #[must_use]
    pub fn held(at: Millis) -> Self {
        Self(Source::Held(Arc::new(AtomicI64::new(at.0))))
    }

    /// Moves a held clock; the machine's own is not ours to set.
    pub fn hold_at(&self, at: Millis) {
        match &self.0 {
            Source::System => {}
            Source::Held(held) => held.store(at.0, Ordering::SeqCst),
        }
    }

    /// The time in milliseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one clock of this package")]
    pub fn now_ms(&self) -> Millis {
        match &self.0 {
            Source::System => {
                // A clock before 1970 is read as 1970: nothing is valid then, which is the safe side.
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Held(held) => Millis(held.load(Ordering::SeqCst)),
        }
    }

    /// The time in seconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now_ms().seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_clock_stands_until_it_is_moved_and_the_systems_goes_on() {
        // Goal: both sources. Method: read, move, read; the machine is after this line was written.
        let clock = Clock::held(Millis(5_000));
        let copy = clock.clone();
        assert_eq!((clock.now_ms(), clock.now()), (Millis(5_000), Timestamp(5)));
        clock.hold_at(Millis(7_999));
        assert_eq!(copy.now(), Timestamp(7), "copies are one clock");
        let system = Clock::system();
        system.hold_at(Millis(0));
        assert!(system.now() > Timestamp(1_750_000_000));
    }
}
