//! Values of the command line that have a form of their own: times, windows, ranges, file names.
//!
//! Each is parsed into a type or refused as wrong usage, with a sentence that shows the right form. Read next:
//! [`crate::cli`].

use std::path::Path;

use cordon_proto::time::Timestamp;
use cordon_proto::update::window::{DAY_MINUTES, Window};

use crate::failure::Failure;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time: RFC 3339 in UTC, or from now as `90d`, `12h`, `30m`.
///
/// # Errors
/// The text is neither.
pub fn time(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let seconds = [("d", 86_400), ("h", 3_600), ("m", 60)].into_iter().find_map(|(unit, seconds)| {
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        i64::from(number).checked_mul(seconds)
    });
    let wrong = || {
        Failure::Usage(format!("`{text}` is no time: write 2026-11-21T09:05:06Z, or 90d, 12h, 30m from now"))
    };
    Ok(now.plus_seconds(seconds.ok_or_else(wrong)?))
}

/// A window: `mon-fri 22:00-05:00`, `sat,sun 08:00-18:00`, `daily 00:00-24:00`, or `always`.
///
/// # Errors
/// The text is of another form.
pub fn window(text: &str) -> Result<Window, String> {
    let wrong =
        || format!("`{text}` is no window: write `mon-fri 22:00-05:00`, `sat,sun 08:00-18:00` or `always`");
    if text == "always" {
        return Ok(Window::ALWAYS);
    }
    let (days, hours) = text.split_once(' ').ok_or_else(wrong)?;
    let (from, to) = hours.trim().split_once('-').ok_or_else(wrong)?;
    let made = days_of(days).and_then(|days| Window::new(days, minute(from)?, minute(to)?));
    made.ok_or_else(wrong)
}

fn days_of(text: &str) -> Option<u8> {
    if text == "daily" {
        return Some(0x7f);
    }
    let place = |day: &str| DAYS.iter().position(|known| *known == day);
    let mut bits = 0_u8;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (place(first)?, place(last)?);
        bits |= 1 << day;
        while day != last {
            day = (day + 1) % 7;
            bits |= 1 << day;
        }
    }
    Some(bits)
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| if digits.len() == 2 { digits.parse::<u16>().ok() } else { None };
    let (hour, minute) = (two(hour)?, two(minute)?);
    Some(hour * 60 + minute).filter(|at| minute < 60 && *at <= DAY_MINUTES)
}

/// A range of counters, `30:41`, both ends included.
///
/// # Errors
/// The text is of another form, or the second end is lower.
pub fn counters(text: &str) -> Result<(u64, u64), String> {
    let ends = text.split_once(':').and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
    ends.filter(|(least, most)| least <= most)
        .ok_or_else(|| format!("`{text}` is no range of counters: write it as 30:41, the lower one first"))
}

/// A model's name as the name of its role and folder: `VP-3` becomes `vp-3`.
#[must_use]
pub fn slug(model: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    model.chars().map(letter).collect::<String>().trim_matches('-').to_owned()
}

/// The bytes of a file that people name on the command line.
///
/// # Errors
/// It cannot be read, or has more than `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let wrong = |error: std::io::Error| Failure::file("read", path, &error);
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(wrong)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        return Ok(bytes);
    }
    Err(Failure::refused("file", format!("{} has more than {limit} bytes", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_from_now() {
        // Goal: both spellings, nothing else. Method: samples.
        let now = Timestamp(1_000_000);
        assert_eq!(time("90d", now).unwrap(), Timestamp(1_000_000 + 90 * 86_400));
        assert_eq!(time("1970-01-02T00:00:00Z", now).unwrap(), Timestamp(86_400));
        for text in ["", "90", "d", "-1d", "1w", "2026-11-21"] {
            assert_eq!(time(text, now).unwrap_err().status(), 2, "{text}");
        }
    }

    #[test]
    fn windows_are_days_and_hours() {
        // Goal: spans, lists and nights. Method: samples beside the documents' own value.
        for (text, days, from, to) in [
            ("mon-fri 22:00-05:00", 0b001_1111, 1320, 300),
            ("sat,sun 08:00-18:30", 0b110_0000, 480, 1110),
            ("fri-mon 00:00-24:00", 0b111_0001, 0, 1440),
            ("daily 00:00-24:00", 0x7f, 0, 1440),
        ] {
            assert_eq!(window(text), Ok(Window::new(days, from, to).unwrap()), "{text}");
        }
        assert_eq!(window("always"), Ok(Window::ALWAYS));
        for text in [
            "",
            "mon",
            "mon 1:00-2:00",
            "mon 25:00-26:00",
            "mon 10:00-10:00",
            "someday 10:00-11:00",
            "mon 10:60-11:00",
        ] {
            assert!(window(text).is_err(), "{text}");
        }
    }

    #[test]
    fn models_and_ranges_are_read() {
        // Goal: safe role names; inclusive ranges. Method: samples.
        assert_eq!(slug("Vital Pump VP-3 (EU)"), "vital-pump-vp-3--eu");
        assert_eq!(counters("30:41"), Ok((30, 41)));
        for text in ["30", "41:30", "a:b", ":"] {
            assert!(counters(text).is_err(), "{text}");
        }
    }
}
