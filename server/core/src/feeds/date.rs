//! The dates that publishers write.
//!
//! What is no date is `None`; nothing here takes the present time for a missing one. Read next: [`super::age`], which
//! judges how old a feed is.

use alloc::format;

use cordon_proto::time::Timestamp;

/// Reads `2024-05-31`, `2024-05-31T10:00:00Z`, with a fraction, or with an offset as `+01:00` or `+0000` (RFC 3339, and the
/// form without a colon that EPSS writes).
#[must_use]
pub fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let Some((day, clock)) = text.split_once(['T', ' ']) else {
        return Timestamp::parse(&format!("{text}T00:00:00Z")).ok();
    };
    let at = clock.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = clock.split_at_checked(at)?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let east_s = offset(zone)?;
    Timestamp::parse(&format!("{day}T{time}Z")).ok().map(|local| local.plus_seconds(-east_s))
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None => digits.split_at_checked(2)?,
    };
    let number = |text: &str| if text.len() == 2 { text.parse::<u8>().ok() } else { None };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then(|| sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn dates_of_publishers_are_read_in_utc() {
        // Goal: an age is right whatever offset was written. Method: a row each, none for what is no date.
        for (text, wanted) in [
            ("2024-05-31", Some("2024-05-31T00:00:00Z")),
            ("2021-10-21T00:00:00.000000Z", Some("2021-10-21T00:00:00Z")),
            ("2022-03-14T13:10:55.000+01:00", Some("2022-03-14T12:10:55Z")),
            ("2024-01-01T00:00:00+0000", Some("2024-01-01T00:00:00Z")),
            ("2024-01-01T00:30:00-02:30", Some("2024-01-01T03:00:00Z")),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01T00:00:00+1:00", None),
            ("2024-01-01T00:00:00+25:00", None),
            ("2024-02-31", None),
            ("soon", None),
            ("", None),
            ("ä-+", None),
        ] {
            assert_eq!(read(text).map(|at| at.to_string()).as_deref(), wanted, "{text}");
        }
    }
}
