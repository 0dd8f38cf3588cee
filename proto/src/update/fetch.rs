//! How patiently a file is fetched, how fast at most, and from whom: the least rate, the cap, and one mirror after the
//! other.
//!
//! Nothing here fetches or looks at a clock: whoever waits says how long it was. A mirror is never believed and never
//! disbelieved for good; it is only asked in turn, and what it sends is proved like anything else. It must never be
//! possible to hold a device by sending one byte now and then (TUF 1.0.34 section 5.1, slow retrieval).
//!
//! Read next: [`super::refresh`], which says what to fetch.

use crate::limits;
use core::time::Duration;

#[cfg(test)]
mod tests;

/// The patience with one file on its way: [`limits::BODY_BYTES_PER_S`] on average over every stretch of waiting as long
/// as a stall may be, and so no stall either. Time in which nobody waits for bytes, because a slot is written or a
/// bandwidth cap is kept, does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    patience: Duration,
    bytes_per_s: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// The patience of a fetch that begins.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { patience, bytes_per_s: limits::BODY_BYTES_PER_S, waited: Duration::ZERO, bytes: 0 }
    }

    /// The patience with a site's mirror, which is near and has another behind it: more is asked of it than of the
    /// last resort, but never more than half of what the device itself would take.
    #[must_use]
    pub fn with_mirror(patience: Duration, cap: Option<u64>) -> Self {
        let fair = cap.map_or(u64::MAX, |cap| cap / 2);
        Self { bytes_per_s: limits::MIRROR_BYTES_PER_S.min(fair), ..Self::new(patience) }
    }

    /// How long a stall may be.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How long to wait for the next piece at most. If none comes in that time, the file is given up.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.patience.saturating_sub(self.waited)
    }

    /// A piece of so many bytes came after so long a wait.
    pub fn received(&mut self, bytes: usize, waited: Duration) {
        self.waited = self.waited.saturating_add(waited);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.bytes >= self.due() {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }

    /// The bytes for which the patience begins anew.
    fn due(&self) -> u64 {
        let patience_ms = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        patience_ms.saturating_mul(self.bytes_per_s) / 1000
    }
}

/// What a bandwidth cap leaves to the bytes of images: a bucket that fills evenly and holds
/// [`limits::IMAGE_BURST_MS`] of the cap (the generic cell rate algorithm, ITU-T I.371). What has come is paid for
/// before more is read, so that the line itself is held back. Nothing but images is counted: a check-in never waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    bytes_per_s: u64,
    /// When everything that has come is paid for.
    paid: Duration,
}

impl Allowance {
    /// A full bucket.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), paid: Duration::ZERO }
    }

    /// Bytes a second, at most.
    #[must_use]
    pub fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s
    }

    /// So many bytes have come at `now`, on a clock that only rises. How long to read nothing.
    pub fn spend(&mut self, bytes: usize, now: Duration) -> Duration {
        let burst = Duration::from_millis(limits::IMAGE_BURST_MS);
        let bytes = u128::try_from(bytes).unwrap_or(u128::MAX);
        let cost = bytes.saturating_mul(1_000_000_000).div_ceil(self.bytes_per_s.into());
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        self.paid = self.paid.max(now.saturating_sub(burst)).saturating_add(cost);
        self.paid.saturating_sub(now)
    }
}

/// Whose turn it is among several mirrors of one repository, or of one image, of which the last is the server itself. A
/// mirror that fails, for whatever reason, is followed by the next, until each had one turn; the one that served is
/// asked first the next time.
///
/// A whole refresh is one turn: a mirror that offers old, cut or forged metadata then only costs time. What an
/// earlier turn proved and kept stays good. Of an image only the whole is proved, at its end: once one has come damaged,
/// the server alone is asked for it (`cordon_agent_core::update::Record::doubts_mirrors`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrors {
    count: usize,
    current: usize,
    failed: usize,
}

impl Mirrors {
    /// The turns of so many mirrors, at most [`limits::MIRRORS`]. One that holds all is the server itself.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { count: count.clamp(1, limits::MIRRORS), current: 0, failed: 0 }
    }

    /// The one to ask.
    #[must_use]
    pub fn current(&self) -> usize {
        self.current
    }

    /// The current one did not serve. Whether there is another one to ask in its place.
    pub fn failed(&mut self) -> bool {
        self.current = (self.current + 1) % self.count;
        self.failed += 1;
        if self.failed < self.count {
            return true;
        }
        self.failed = 0;
        false
    }

    /// The current one served.
    pub fn served(&mut self) {
        self.failed = 0;
    }
}
