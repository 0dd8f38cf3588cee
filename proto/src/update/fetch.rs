//! How patiently a file is fetched, and from whom: the least rate, and one mirror after the other.
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
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// The patience of a fetch that begins.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { patience, waited: Duration::ZERO, bytes: 0 }
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
            *self = Self::new(self.patience);
        }
    }

    /// The bytes for which the patience begins anew.
    fn due(&self) -> u64 {
        let patience_ms = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        patience_ms.saturating_mul(limits::BODY_BYTES_PER_S) / 1000
    }
}

/// Whose turn it is among several mirrors of one repository. A mirror that fails, for whatever reason, is followed by
/// the next, until each had one turn; the one that served is asked first the next time.
///
/// A whole refresh is one turn: a mirror that offers old, cut or forged metadata then only costs time. What an
/// earlier turn proved and kept stays good.
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
