//! The device's time zone as an offset from UTC at a moment: what windows are read in.
//!
//! Three forms are accepted: `UTC`, a rule of POSIX (`CET-1CEST,M3.5.0,M10.5.0/3`; IEEE 1003.1, 8.3), or a name such
//! as `Europe/Berlin`, whose present rule is read from the footer of the system's TZif file (RFC 8536 section 3.3).
//! Past rules are of no interest here. It must never guess: an unknown zone is an error, because a wrong one opens a
//! maintenance window at noon. Read next: `cordon_agent_core::window`.

use std::path::Path;

use cordon_proto::time::Timestamp;

use crate::files;

/// Where systems keep their zones.
pub const ZONEINFO: &str = "/usr/share/zoneinfo";
/// Bytes of a TZif file.
const TZIF_BYTES: usize = 64 * 1024;
const DAY_S: i64 = 86_400;

/// A time zone's present rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    standard_s: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summer {
    offset_s: i64,
    from: Change,
    until: Change,
}

/// A day of each year, and the local time of the change on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    day: Day,
    time_s: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// Day 1 to 365, 29 February never counted.
    Julian(i64),
    /// Day 0 to 365, 29 February counted.
    OfYear(i64),
    /// Month 1 to 12, week 1 to 5 (5 = the last), weekday 0 = Sunday.
    Weekday(i64, i64, i64),
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self { standard_s: 0, summer: None };

    /// The zone of a configuration's text; `None` for what is neither `UTC`, a rule, nor a name known to `folder`.
    #[must_use]
    pub fn of(text: &str, folder: &Path) -> Option<Self> {
        if text == "UTC" {
            return Some(Self::UTC);
        }
        Self::rule(text).or_else(|| Self::named(text, folder))
    }

    fn named(name: &str, folder: &Path) -> Option<Self> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
        };
        if !name.split('/').all(plain) {
            return None;
        }
        let bytes = files::read_file(&folder.join(name), TZIF_BYTES).ok()?;
        let text = bytes.strip_prefix(b"TZif").and_then(|rest| rest.strip_suffix(b"\n"))?;
        let footer = text.rsplit(|byte| *byte == b'\n').next()?;
        Self::rule(std::str::from_utf8(footer).ok()?)
    }

    fn rule(text: &str) -> Option<Self> {
        let mut rest = Reader(text);
        rest.name()?;
        let standard_s = -rest.duration()?;
        if rest.0.is_empty() {
            return Some(Self { standard_s, summer: None });
        }
        rest.name()?;
        let offset_s = if rest.0.starts_with(',') { standard_s + 3600 } else { -rest.duration()? };
        let from = rest.change()?;
        let until = rest.change()?;
        let summer = Summer { offset_s, from, until };
        rest.0.is_empty().then_some(Self { standard_s, summer: Some(summer) })
    }

    /// Minutes by which local time is ahead of UTC at this moment.
    #[must_use]
    pub fn minutes_at(&self, at: Timestamp) -> i16 {
        i16::try_from(self.seconds_at(at).div_euclid(60)).unwrap_or(0)
    }

    fn seconds_at(&self, at: Timestamp) -> i64 {
        let Some(summer) = &self.summer else { return self.standard_s };
        let [year, ..] = at.plus_seconds(self.standard_s).civil();
        let from = summer.from.in_year(year).plus_seconds(-self.standard_s);
        let until = summer.until.in_year(year).plus_seconds(-summer.offset_s);
        let in_summer = if from < until { from <= at && at < until } else { at < until || from <= at };
        if in_summer { summer.offset_s } else { self.standard_s }
    }
}

impl Change {
    /// The local time of the change, written as if it were UTC.
    fn in_year(&self, year: i64) -> Timestamp {
        let start =
            |month: i64| Timestamp::parse(&format!("{year:04}-{month:02}-01T00:00:00Z")).unwrap_or_default();
        let leap = i64::from(start(3).seconds_since(start(2)) == 29 * DAY_S);
        let day = match self.day {
            Day::Julian(day) => start(1).plus_seconds((day - 1 + if day >= 60 { leap } else { 0 }) * DAY_S),
            Day::OfYear(day) => start(1).plus_seconds(day * DAY_S),
            Day::Weekday(month, week, weekday) => {
                let first = start(month);
                let (monday_based, _) = first.week();
                let ahead = (weekday - (monday_based + 1)).rem_euclid(7);
                let next = if month == 12 { start(12).plus_seconds(31 * DAY_S) } else { start(month + 1) };
                let candidate = first.plus_seconds((ahead + (week - 1) * 7) * DAY_S);
                if candidate < next { candidate } else { candidate.plus_seconds(-7 * DAY_S) }
            }
        };
        day.plus_seconds(self.time_s)
    }
}

/// What is still to be read of a rule.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Option<()> {
        self.0 = self.0.get(length..)?;
        Some(())
    }

    fn eat(&mut self, letter: char) -> bool {
        match self.0.strip_prefix(letter) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Three letters or more, or anything in angle brackets.
    fn name(&mut self) -> Option<()> {
        if self.eat('<') {
            let end = self.0.find('>')?;
            return self.take(end + 1);
        }
        let length = self.0.bytes().take_while(u8::is_ascii_alphabetic).count();
        if length < 3 {
            return None;
        }
        self.take(length)
    }

    fn number(&mut self, largest: i64) -> Option<i64> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).take(3).count();
        let number = self.0.get(..length)?.parse().ok()?;
        self.take(length)?;
        (number <= largest).then_some(number)
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    fn duration(&mut self) -> Option<i64> {
        let sign = if self.eat('-') { -1 } else { 1 };
        if sign == 1 {
            self.eat('+');
        }
        let mut seconds = self.number(167)? * 3600;
        for unit in [60, 1] {
            if self.eat(':') {
                seconds += self.number(59)? * unit;
            }
        }
        Some(sign * seconds)
    }

    fn change(&mut self) -> Option<Change> {
        if !self.eat(',') {
            return None;
        }
        let day = if self.eat('M') {
            let month = self.number(12).filter(|month| *month > 0)?;
            let week = self.eat('.').then(|| self.number(5))??;
            let weekday = self.eat('.').then(|| self.number(6))??;
            Day::Weekday(month, week.max(1), weekday)
        } else if self.eat('J') {
            Day::Julian(self.number(365)?.max(1))
        } else {
            Day::OfYear(self.number(365)?)
        };
        let time_s = if self.eat('/') { self.duration()? } else { 2 * 3600 };
        Some(Change { day, time_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minutes(zone: &str, at: &str) -> i16 {
        let zone = Zone::of(zone, Path::new("/nowhere")).expect("is a rule");
        zone.minutes_at(Timestamp::parse(at).expect("a time"))
    }

    #[test]
    fn the_changes_of_known_zones_fall_on_their_known_seconds() {
        // Goal: POSIX rules. Method: published change instants of 2026, both sides of each, north, south and odd zones.
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(minutes(berlin, "2026-03-29T00:59:59Z"), 60);
        assert_eq!(minutes(berlin, "2026-03-29T01:00:00Z"), 120);
        assert_eq!(minutes(berlin, "2026-10-25T00:59:59Z"), 120);
        assert_eq!(minutes(berlin, "2026-10-25T01:00:00Z"), 60);
        let new_york = "EST5EDT,M3.2.0,M11.1.0";
        assert_eq!(minutes(new_york, "2026-03-08T06:59:59Z"), -300);
        assert_eq!(minutes(new_york, "2026-03-08T07:00:00Z"), -240);
        assert_eq!(minutes(new_york, "2026-11-01T06:00:00Z"), -300);
        let sydney = "AEST-10AEDT,M10.1.0,M4.1.0/3";
        assert_eq!(minutes(sydney, "2026-01-15T00:00:00Z"), 660, "summer spans the new year");
        assert_eq!(minutes(sydney, "2026-04-04T16:00:00Z"), 600);
        assert_eq!(minutes("<+0545>-5:45", "2026-06-01T00:00:00Z"), 345);
        assert_eq!(minutes("UTC", "2026-06-01T00:00:00Z"), 0);
    }

    #[test]
    fn a_name_is_read_from_the_footer_of_its_file_and_an_unknown_one_is_no_zone() {
        // Goal: names by the system's own table, nothing guessed, no path leaves the folder. Method: a made-up file.
        let root = tempfile::tempdir().expect("a scratch folder");
        std::fs::create_dir(root.path().join("Europe")).expect("makes the folder");
        let file = b"TZif2\0\0binary\n\nCET-1CEST,M3.5.0,M10.5.0/3\n";
        std::fs::write(root.path().join("Europe/Berlin"), file).expect("writes");
        let berlin = Zone::of("Europe/Berlin", root.path()).expect("is known");
        assert_eq!(berlin.minutes_at(Timestamp::parse("2026-07-01T00:00:00Z").expect("a time")), 120);
        assert_eq!(Zone::of("Europe/Atlantis", root.path()), None);
        assert_eq!(Zone::of("../Europe/Berlin", &root.path().join("x")), None);
        assert_eq!(Zone::of("", root.path()), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_every_offset_is_bounded(text in "[A-Z]{3}-?[0-9]{1,3}\\PC{0,30}", at in any::<i64>()) {
            if let Some(zone) = Zone::rule(&text) {
                let at = Timestamp(at / 4_000_000_000);
                prop_assert!(zone.minutes_at(at).abs() <= 168 * 60);
            }
        }
    }
}
