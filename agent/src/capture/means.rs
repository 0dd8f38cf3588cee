//! A means of looking: open, or refused at some time for some reason, and then tried again once a minute.

use std::io;

use cordon_proto::time::Millis;

/// Milliseconds until a refused means is tried again, and for which what was lost shows.
pub(super) const AGAIN_MS: i64 = 60_000;

/// A means of looking.
#[derive(Debug)]
pub(super) enum Means<T> {
    Untried,
    Open(T),
    Refused { at: Millis, why: String },
}

impl<T> Means<T> {
    /// Uses the means, opening it first where it is time to. `None` if it is refused, now or still.
    pub(super) fn with<R>(
        &mut self,
        now: Millis,
        open: impl FnOnce() -> io::Result<T>,
        act: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> Option<R> {
        let due = match self {
            Self::Untried => true,
            Self::Open(_) => false,
            Self::Refused { at, .. } => now.since(*at) >= AGAIN_MS || now < *at,
        };
        if due {
            *self = match open() {
                Ok(means) => Self::Open(means),
                Err(error) => Self::Refused { at: now, why: error.to_string() },
            };
        }
        let Self::Open(means) = self else { return None };
        match act(means) {
            Ok(result) => Some(result),
            Err(error) => {
                *self = Self::Refused { at: now, why: error.to_string() };
                None
            }
        }
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Self::Untried => "not tried",
            Self::Open(_) => "works",
            Self::Refused { why, .. } => why,
        }
    }
}
