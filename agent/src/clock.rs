//! The clock's one home, and the floor below which no clock is believed.
//!
//! A device's battery-less clock may start in 1970; judging certificates by it would lock the device out or let old
//! ones in. Hence [`Floor`]: the latest of the build, the configuration, the certificate's own beginning and the
//! server's last word over a pinned connection. It only rises. Nothing else in the package asks the machine for time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cordon_proto::time::{Millis, Timestamp};

/// No agent of this source is older than this: 2026-11-01T00:00:00Z. A reproducible build may raise it by
/// `SOURCE_DATE_EPOCH`.
const BUILT: i64 = 1_793_491_200;

/// Where time comes from; the simulator brings its own.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock.
    fn now(&self) -> Millis;
    /// Time since some fixed moment, never set back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The machine's clock, its monotonic side counted from now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the clock's one home")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock's one home")]
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The time before which it cannot be, shared by whoever verifies. It only rises.
#[derive(Clone, Debug)]
pub struct Floor(Arc<AtomicI64>);

impl Floor {
    /// The floor of this build, raised by the configuration's.
    #[must_use]
    pub fn new(configured: Option<Timestamp>) -> Self {
        let built = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()).unwrap_or(BUILT);
        let configured = configured.map_or(i64::MIN, |at| at.0);
        Self(Arc::new(AtomicI64::new(built.max(BUILT).max(configured))))
    }

    /// The floor.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    /// Raises the floor; a lower time changes nothing.
    pub fn raise(&self, to: Timestamp) {
        self.0.fetch_max(to.0, Ordering::Relaxed);
    }
}

/// A clock that never goes below its floor: what certificates and metadata are judged by.
#[derive(Clone, Debug)]
pub struct TrustedClock {
    clock: Arc<dyn Clock>,
    floor: Floor,
    /// What the server's clock is ahead of the monotonic one, in seconds; `i64::MIN` before it has spoken.
    ahead: Arc<AtomicI64>,
}

impl TrustedClock {
    /// A clock over a floor.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, floor: Floor) -> Self {
        Self { clock, floor, ahead: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// Hears the server's clock over a pinned connection: it raises the floor, and is carried on from here.
    pub fn hear(&self, server: Timestamp) {
        self.floor.raise(server);
        let ahead = server.0.saturating_sub(self.monotonic_s()).max(i64::MIN + 1);
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// What the server's clock says now; `None` before it has spoken in this run.
    #[must_use]
    pub fn heard(&self) -> Option<Timestamp> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != i64::MIN).then(|| Timestamp(ahead.saturating_add(self.monotonic_s())))
    }

    fn monotonic_s(&self) -> i64 {
        i64::try_from(self.clock.monotonic().as_secs()).unwrap_or(i64::MAX)
    }

    /// The later of clock and floor.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().seconds().max(self.floor.at())
    }

    /// The device's own clock, believed or not.
    #[must_use]
    pub fn raw(&self) -> Millis {
        self.clock.now()
    }

    /// The clock's monotonic side.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The floor itself, to be raised.
    #[must_use]
    pub fn floor(&self) -> &Floor {
        &self.floor
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A clock that stands where it is put.
    #[derive(Debug, Default)]
    pub(crate) struct Standing(pub(crate) AtomicI64);

    impl Clock for Standing {
        fn now(&self) -> Millis {
            Timestamp(self.0.load(Ordering::Relaxed)).into()
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn a_clock_of_1970_is_lifted_to_the_floor_and_a_later_one_believed() {
        // Goal: max(clock, floor), and a floor that only rises. Method: a standing clock, three floors.
        let clock = Arc::new(Standing::default());
        let trusted = TrustedClock::new(Arc::clone(&clock) as Arc<dyn Clock>, Floor::new(None));
        assert!(trusted.now() >= Timestamp(BUILT));
        let later = Timestamp(BUILT + 1_000_000_000);
        trusted.floor().raise(later);
        trusted.floor().raise(Timestamp(5));
        assert_eq!(trusted.now(), later);
        clock.0.store(later.0 + 1, Ordering::Relaxed);
        assert_eq!(trusted.now(), later.plus_seconds(1));
        assert_eq!(trusted.heard(), None, "nobody has said the time");
        trusted.hear(later.plus_seconds(-9));
        assert_eq!((trusted.heard(), trusted.floor().at()), (Some(later.plus_seconds(-9)), later));
        assert_eq!(trusted.clone().heard(), trusted.heard(), "all handles hear it");
        assert_eq!(Floor::new(Some(later)).at(), later, "the configuration may raise it");
        assert!(Floor::new(Some(Timestamp(0))).at() >= Timestamp(BUILT), "but not lower it");
    }
}
