//! Points in time as integers: UTC seconds and milliseconds since the Unix epoch, and RFC 3339 text.
//!
//! There is no clock here and never will be: whoever decides is given `now`. Text is RFC 3339 in UTC with a final `Z`
//! (TUF metadata, `observe`); other offsets are refused, so that two texts of one instant are equal.

use alloc::string::String;
use core::fmt;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Timestamp(#[n(0)] pub i64);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Millis(#[n(0)] pub i64);

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not `YYYY-MM-DDThh:mm:ssZ` (a fraction of a second is allowed and dropped).
    #[error("a time is written YYYY-MM-DDThh:mm:ssZ in UTC")]
    Form,
    /// A month, day, hour, minute or second that does not exist.
    #[error("a part of the time is out of range")]
    Range,
}

const DAY_S: i64 = 86_400;

impl Timestamp {
    /// Reads RFC 3339 in UTC (`Z` only, section 5.6). A fraction of a second is dropped.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let (date, clock) = text.split_once('T').ok_or(TimeError::Form)?;
        let clock = clock.strip_suffix('Z').ok_or(TimeError::Form)?;
        let clock = match clock.split_once('.') {
            Some((whole, fraction))
                if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) =>
            {
                whole
            }
            Some(_) => return Err(TimeError::Form),
            None => clock,
        };
        let [year, month, day] = fields(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return Err(TimeError::Range);
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(TimeError::Range);
        }
        Ok(Self(days_from_civil(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second))
    }

    /// This time plus `seconds`, held at the ends of the range.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time; negative if `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Year, month, day, hour, minute, second in UTC.
    #[must_use]
    pub fn civil(self) -> [i64; 6] {
        let days = self.0.div_euclid(DAY_S);
        let rest = self.0.rem_euclid(DAY_S);
        let (year, month, day) = civil_from_days(days);
        [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
    }

    /// Day of the week, 0 = Monday, and second of that day, both in UTC.
    #[must_use]
    pub fn week(self) -> (i64, i64) {
        // 1970-01-01 was a Thursday.
        ((self.0.div_euclid(DAY_S) + 3).rem_euclid(7), self.0.rem_euclid(DAY_S))
    }
}

impl Millis {
    /// The whole second this millisecond lies in.
    #[must_use]
    pub fn seconds(self) -> Timestamp {
        Timestamp(self.0.div_euclid(1000))
    }

    /// Milliseconds from `earlier` to this time; negative if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `milliseconds`, held at the ends of the range.
    #[must_use]
    pub fn plus(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

impl From<Timestamp> for Millis {
    fn from(at: Timestamp) -> Self {
        Self(at.0.saturating_mul(1000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, day, hour, minute, second] = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, day, hour, minute, second] = self.seconds().civil();
        let thousandth = self.0.rem_euclid(1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{thousandth:03}Z")
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        alloc::format!("{at}")
    }
}

/// Three unsigned decimal fields of exactly the given widths.
fn fields(text: &str, separator: char, widths: [usize; 3]) -> Result<[i64; 3], TimeError> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().ok_or(TimeError::Form)?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TimeError::Form);
        }
        *number = part.parse().map_err(|_| TimeError::Form)?;
    }
    if parts.next().is_some() { Err(TimeError::Form) } else { Ok(numbers) }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    #[test]
    fn known_instants_are_read_and_written() {
        // Goal: fixed points incl. leap days and times before the epoch. Method: pairs known from other sources.
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-21T09:05:06Z", 1_795_251_906),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(Timestamp::parse(text), Ok(Timestamp(seconds)), "{text}");
            assert_eq!(format!("{}", Timestamp(seconds)), text);
        }
        assert_eq!(Timestamp::parse("2026-11-21T09:05:06.123Z"), Ok(Timestamp(1_795_251_906)));
        assert_eq!(Timestamp(1_795_251_906).week(), (5, 32_706), "21 November 2026 is a Saturday");
    }

    #[test]
    fn other_forms_are_refused() {
        // Goal: one instant has one text. Method: near misses.
        for text in
            ["", "2026-11-21", "2026-11-21T09:05:06", "2026-11-21T09:05:06+00:00", "2026-11-21T9:05:06Z"]
        {
            assert_eq!(Timestamp::parse(text), Err(TimeError::Form), "{text}");
        }
        for text in
            ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-00T00:00:00Z"]
        {
            assert_eq!(Timestamp::parse(text), Err(TimeError::Range), "{text}");
        }
    }

    proptest! {
        #[test]
        fn writing_then_reading_gives_the_same_second(seconds in -62_135_596_800_i64..253_402_300_800) {
            prop_assert_eq!(Timestamp::parse(&format!("{}", Timestamp(seconds))), Ok(Timestamp(seconds)));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC*") {
            let _ = Timestamp::parse(&text);
        }
    }
}
