//! The clock's one home in this package. Everything else is given `now`; read [`crate::session`] next.

use std::time::{SystemTime, UNIX_EPOCH};

use cordon_proto::time::Timestamp;

/// The machine's time; a clock before 1970 counts as 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the clock's one home")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
