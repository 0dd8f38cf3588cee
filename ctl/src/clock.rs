//! The clock's one home in this package, and what a clock must not say when somebody signs.
//!
//! A workstation whose battery is flat would sign orders that begin or end in another year. What was made before proves
//! that its time has been: a clock that stands before it is wrong, and so is one far from the server's. There is no way
//! around it but to set the clock. Everything else is given `now`; read [`crate::session`] next.

use std::time::{SystemTime, UNIX_EPOCH};

use cordon_proto::limits;
use cordon_proto::time::Timestamp;

use crate::failure::Failure;

/// The machine's time; a clock before 1970 counts as 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the clock's one home")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Refuses to sign while the clock stands before a time at which something was made.
///
/// # Errors
/// It does; the latest such time is named.
pub fn not_behind(now: Timestamp, made: &[(Timestamp, String)]) -> Result<(), Failure> {
    let Some((at, what)) = made.iter().max_by_key(|(at, _)| *at) else { return Ok(()) };
    if now.plus_seconds(limits::SIGNING_CLOCK_S) >= *at {
        return Ok(());
    }
    let detail = format!(
        "this machine's clock says {now}, but {what} was made at {at}: set the clock right, or ask whose was wrong then"
    );
    Err(Failure::refused("wrong clock", detail))
}

/// Refuses to sign while the clock is far from the server's.
///
/// # Errors
/// It is.
pub fn near(now: Timestamp, server: Timestamp) -> Result<(), Failure> {
    if now.seconds_since(server).abs() <= limits::SERVER_CLOCK_S {
        return Ok(());
    }
    let detail = format!(
        "this machine's clock says {now}, the server's {server}: set the wrong one right; nothing was signed"
    );
    Err(Failure::refused("wrong clock", detail))
}

/// Refuses a maker's document that ends before the one it follows, where nobody asked for an early end. Nothing in it says
/// when it was made; each lives as long as the one before, so that the clock of one that ends earlier stands behind.
///
/// # Errors
/// It does.
pub fn not_shorter(expires: Timestamp, (version, ends): (u64, Timestamp)) -> Result<(), Failure> {
    if expires >= ends {
        return Ok(());
    }
    let detail = format!(
        "it would end at {expires}, before version {version}, which ends at {ends}: set this machine's clock right, or ask \
         for that end with --expires"
    );
    Err(Failure::refused("wrong clock", detail))
}

/// Reads the date of an HTTP answer (RFC 9110 section 5.6.7, the form that must be sent).
#[must_use]
pub fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<_> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_251_906);

    #[test]
    fn a_clock_that_stands_before_what_was_made_signs_nothing() {
        // Goal: no order of last year. Method: both sides of the tolerance, the later of two proofs, none.
        let made =
            |seconds: i64| [(NOW, "order a".to_owned()), (NOW.plus_seconds(seconds), "order b".to_owned())];
        assert!(not_behind(NOW, &[]).is_ok());
        assert!(not_behind(NOW, &made(limits::SIGNING_CLOCK_S)).is_ok());
        let told = not_behind(NOW, &made(limits::SIGNING_CLOCK_S + 1)).unwrap_err().to_string();
        assert!(told.contains("order b was made at"), "{told}");
        assert!(not_behind(NOW, &[(NOW.plus_seconds(365 * 86_400), "snapshot 3".to_owned())]).is_err());
    }

    #[test]
    fn a_clock_a_day_from_the_servers_signs_nothing() {
        // Goal: ahead is as wrong as behind. Method: both sides of a day, both ways.
        let day = limits::SERVER_CLOCK_S;
        for seconds in [-day, 0, day] {
            assert!(near(NOW, NOW.plus_seconds(seconds)).is_ok(), "{seconds}");
        }
        for seconds in [-day - 1, day + 1, 365 * 86_400, -365 * 86_400] {
            assert!(near(NOW, NOW.plus_seconds(seconds)).is_err(), "{seconds}");
        }
    }

    #[test]
    fn the_date_of_an_answer_is_read_in_its_one_form() {
        // Goal: RFC 9110. Method: its own example, and what is none.
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Timestamp::parse("1994-11-06T08:49:37Z").ok());
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Non 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
