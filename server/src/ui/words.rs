//! Numbers, ages, dates and plurals, the same on every page.
//!
//! Here is the only place where a time or a number becomes text. Nothing here knows the current time by itself: a
//! [`Clock`] is given. Read next: [`super::said`] for device text.

use cordon_proto::time::Timestamp;

use super::marks::Markup;

/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Ages are told up to here, then the date.
const AGE_DAYS_MAX: i64 = 90;
/// Narrow no-break space, before % and units.
const NARROW: char = '\u{202f}';

/// The time of a page and the zone in which it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// When the page was made.
    pub now: Timestamp,
    /// Seconds by which the site's time is ahead of UTC.
    pub offset_s: i64,
    /// What the zone is called, named once at the foot.
    pub zone: String,
}

impl Clock {
    /// A clock that tells UTC.
    #[must_use]
    pub fn utc(now: Timestamp) -> Self {
        Self { now, offset_s: 0, zone: "UTC".into() }
    }

    /// Age in words: `12 s`, `24 min`, `8 h`, `9 d`; from 90 days on the date.
    #[must_use]
    pub fn age_words(&self, at: Timestamp) -> String {
        let seconds = self.now.seconds_since(at).max(0);
        match seconds {
            0..60 => format!("{seconds} s"),
            60..3600 => format!("{} min", seconds / 60),
            3600..DAY_S => format!("{} h", seconds / 3600),
            _ if seconds < AGE_DAYS_MAX * DAY_S => format!("{} d", seconds / DAY_S),
            _ => self.day_words(at),
        }
    }

    /// Age as an element that the script keeps current: `24 min`.
    #[must_use]
    pub fn age(&self, at: &Timestamp) -> Markup {
        let at = *at;
        let form = if self.is_told_as_age(at) { " data-age=\"bare\"" } else { "" };
        self.element(at, form, &self.age_words(at))
    }

    /// Age with `ago`, or the date: `24 min ago`.
    #[must_use]
    pub fn ago(&self, at: &Timestamp) -> Markup {
        let at = *at;
        if self.is_told_as_age(at) {
            self.element(at, " data-age=\"ago\"", &format!("{} ago", self.age_words(at)))
        } else {
            self.element(at, "", &self.day_words(at))
        }
    }

    /// `14:02`.
    #[must_use]
    pub fn time(&self, at: &Timestamp) -> Markup {
        let at = *at;
        self.element(at, "", &self.time_words(at))
    }

    /// `14:02:09`.
    #[must_use]
    pub fn second(&self, at: &Timestamp) -> Markup {
        let at = *at;
        let [.., hour, minute, second] = self.local(at).civil();
        self.element(at, "", &format!("{hour:02}:{minute:02}:{second:02}"))
    }

    /// A point in time inside a sentence: `today 14:02`, `yesterday 16:40`, `18 Nov 02:10`.
    #[must_use]
    pub fn moment(&self, at: &Timestamp) -> Markup {
        let at = *at;
        self.element(at, "", &self.moment_words(at))
    }

    /// The words of [`Clock::moment`].
    #[must_use]
    pub fn moment_words(&self, at: Timestamp) -> String {
        format!("{} {}", self.near_day_words(at), self.time_words(at))
    }

    /// A day: `today`, `yesterday`, `22 Nov`, `22 Nov 2025`.
    #[must_use]
    pub fn day(&self, at: &Timestamp) -> Markup {
        let at = *at;
        self.element(at, "", &self.near_day_words(at))
    }

    /// A date without `today`: `22 Nov`, with its year where that differs.
    #[must_use]
    pub fn day_words(&self, at: Timestamp) -> String {
        let [year, month, day, ..] = self.local(at).civil();
        let [this_year, ..] = self.local(self.now).civil();
        let month = month_short(month);
        if year == this_year { format!("{day} {month}") } else { format!("{day} {month} {year}") }
    }

    /// A month: `Sep`, with its year where that differs.
    #[must_use]
    pub fn month_words(&self, at: Timestamp) -> String {
        let words = self.day_words(at);
        words.split_once(' ').map_or(words.clone(), |(_, month)| month.to_owned())
    }

    /// When something was over: the time of today, else the day.
    #[must_use]
    pub fn past_words(&self, at: Timestamp) -> String {
        if self.days_ahead(at) == 0 { self.moment_words(at) } else { self.near_day_words(at) }
    }

    /// `Friday 20 November, 14:26`.
    #[must_use]
    pub fn long_words(&self) -> String {
        let local = self.local(self.now);
        let [_, month, day, ..] = local.civil();
        let (weekday, _) = local.week();
        format!("{} {day} {}, {}", weekday_long(weekday), month_long(month), self.time_words(self.now))
    }

    /// A deadline in a column: today or past says so.
    #[must_use]
    pub fn due(&self, at: Timestamp) -> Due {
        let days = self.days_ahead(at);
        let words = match days {
            ..0 => format!("{}, late", self.day_words(at)),
            0 => "today".into(),
            _ => self.day_words(at),
        };
        Due { words: self.element(at, "", &words), pressing: days <= 0 }
    }

    /// Whole local days from today to `at`; negative if past.
    #[must_use]
    pub fn days_ahead(&self, at: Timestamp) -> i64 {
        self.local(at).0.div_euclid(DAY_S) - self.local(self.now).0.div_euclid(DAY_S)
    }

    fn is_told_as_age(&self, at: Timestamp) -> bool {
        self.now.seconds_since(at) < AGE_DAYS_MAX * DAY_S
    }

    fn local(&self, at: Timestamp) -> Timestamp {
        at.plus_seconds(self.offset_s)
    }

    /// `14:02`, as words.
    #[must_use]
    pub fn time_words(&self, at: Timestamp) -> String {
        let [.., hour, minute, _] = self.local(at).civil();
        format!("{hour:02}:{minute:02}")
    }

    fn near_day_words(&self, at: Timestamp) -> String {
        match self.days_ahead(at) {
            0 => "today".into(),
            -1 => "yesterday".into(),
            1 => "tomorrow".into(),
            _ => self.day_words(at),
        }
    }

    /// `<time>` with the exact time in UTC for machines and in `title`. All of it is digits and our own words.
    fn element(&self, at: Timestamp, form: &str, words: &str) -> Markup {
        let title = at.to_string();
        Markup::new(format!("<time datetime=\"{at}\" title=\"{title}\"{form}>{words}</time>"))
    }
}

/// A deadline as a column shows it.
#[derive(Clone, Debug)]
pub struct Due {
    /// The words.
    pub words: Markup,
    /// Today or past: shown in the colour of high.
    pub pressing: bool,
}

/// A number with commas: `4,812`.
#[must_use]
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A change with its sign: `+3`, `−8` with a true minus, `0`.
#[must_use]
pub fn change(by: i64) -> String {
    let size = number(by.unsigned_abs());
    match by {
        0 => size,
        1.. => format!("+{size}"),
        _ => format!("−{size}"),
    }
}

/// A count with its noun: `1 device`, `12 devices`.
#[must_use]
pub fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// A share in thousandths as a percentage with at most one decimal: `2 %`, `4.7 %`.
#[must_use]
pub fn percent(permille: u32) -> String {
    match permille % 10 {
        0 => format!("{}{NARROW}%", permille / 10),
        tenth => format!("{}.{tenth}{NARROW}%", permille / 10),
    }
}

/// A chance in millionths as a percentage: `99.3 %`, `0.06 %`, `< 0.01 %`.
#[must_use]
pub fn chance(millionths: u32) -> String {
    match millionths {
        0..100 => format!("< 0.01{NARROW}%"),
        100..10_000 => format!("0.{:02}{NARROW}%", millionths / 100),
        _ => percent(millionths.min(1_000_000) / 1000),
    }
}

/// A share between 0 and 1 as rounded thousandths.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "between 0 and 1000 by the clamp")]
#[expect(clippy::cast_sign_loss, reason = "between 0 and 1000 by the clamp")]
pub fn permille(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1000.0).round() as u32
}

/// Bytes as people read them: `22 kB`, `1.2 MB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("B", 1)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| count >= *size).unwrap_or(("B", 1));
    let tenths = u128::from(count) * 10 / u128::from(size);
    if size == 1 || tenths >= 100 {
        format!("{}{NARROW}{unit}", tenths / 10)
    } else {
        format!("{}.{}{NARROW}{unit}", tenths / 10, tenths % 10)
    }
}

/// Hundredths of a point as a number with two decimals: `79.73`.
#[must_use]
pub fn hundredths(value: u16) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// A part of a whole as an SVG length: `31.72%`. Nothing of nothing is 0.
#[must_use]
pub fn length(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0%".into();
    }
    hundredths_percent(u128::from(part) * 10_000 / u128::from(whole))
}

/// Hundredths of a percent as an SVG length.
#[must_use]
pub fn hundredths_percent(hundredths: u128) -> String {
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// Whole words in a row: `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn month_long(month: i64) -> &'static str {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    usize::try_from(month - 1).ok().and_then(|place| MONTHS.get(place).copied()).unwrap_or("")
}

fn month_short(month: i64) -> &'static str {
    let long = month_long(month);
    long.get(..3).unwrap_or(long)
}

fn weekday_long(weekday: i64) -> &'static str {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    usize::try_from(weekday).ok().and_then(|place| DAYS.get(place).copied()).unwrap_or("")
}

/// Who acted, for people: the journal's long names of tokens and devices are for looking up, not for reading.
#[must_use]
pub fn actor_words(actor: &str) -> String {
    match actor.split_once(':') {
        Some(("person", account)) => account.to_owned(),
        Some(("token", id)) => format!("token {}", id.chars().take(8).collect::<String>()),
        Some(("device", _)) => "the device".to_owned(),
        Some(("server", _)) => "the server".to_owned(),
        Some(_) | None => actor.to_owned(),
    }
}

/// What a finished rollout has done to its devices, such as "20 pumps": of a content there is no receipt.
#[must_use]
pub fn finished_words(devices: &str, content: bool) -> String {
    format!("{devices} {}.", if content { "in force by their own word" } else { "confirmed by receipt" })
}

/// What a paused rollout keeps.
#[must_use]
pub fn paused_words(content: bool) -> &'static str {
    if content {
        "No device is offered it; where it is in force it stays."
    } else {
        "No device gets the go; those that have it keep it."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock() -> Clock {
        Clock::utc(Timestamp::parse("2026-11-20T14:26:00Z").unwrap())
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn people_read_short_names_of_those_who_acted() {
        // Goal: no line breaks over a hash. Method: each kind of actor, and a text that is none.
        let token = format!("token:{}", "8b8dff12".repeat(8));
        let words = ["person:admin", &token, "device:x", "server:rollouts", "odd"].map(actor_words);
        assert_eq!(words, ["admin", "token 8b8dff12", "the device", "the server", "odd"]);
    }

    #[test]
    fn ages_and_days_read_as_people_say_them() {
        // Goal: one form for each distance. Method: a row of times around one now.
        for (time, age, moment) in [
            ("2026-11-20T14:25:48Z", "12 s", "today 14:25"),
            ("2026-11-20T14:02:00Z", "24 min", "today 14:02"),
            ("2026-11-19T16:40:00Z", "21 h", "yesterday 16:40"),
            ("2026-11-11T14:26:00Z", "9 d", "11 Nov 14:26"),
            ("2026-08-22T14:26:00Z", "22 Aug", "22 Aug 14:26"),
            ("2025-11-22T09:05:00Z", "22 Nov 2025", "22 Nov 2025 09:05"),
            ("2026-11-20T15:00:00Z", "0 s", "today 15:00"),
        ] {
            assert_eq!(clock().age_words(at(time)), age, "{time}");
            assert_eq!(clock().moment_words(at(time)), moment, "{time}");
        }
        assert_eq!(clock().long_words(), "Friday 20 November, 14:26");
        assert_eq!(clock().month_words(at("2026-09-02T00:00:00Z")), "Sep");
        assert_eq!(clock().month_words(at("2025-09-02T00:00:00Z")), "Sep 2025");
        assert_eq!(clock().past_words(at("2026-11-20T14:02:00Z")), "today 14:02");
        assert_eq!(clock().past_words(at("2026-11-18T14:02:00Z")), "18 Nov");
        let east = Clock { offset_s: 10 * 3600, zone: "AEST".into(), ..clock() };
        assert_eq!(east.long_words(), "Saturday 21 November, 00:26");
        assert_eq!(east.moment_words(at("2026-11-20T13:59:00Z")), "yesterday 23:59");
    }

    #[test]
    fn a_time_is_an_element_with_the_exact_time() {
        // Goal: machines and tooltips have the exact time. Method: golden element.
        assert_eq!(
            clock().ago(&at("2026-11-20T14:02:00Z")).to_string(),
            "<time datetime=\"2026-11-20T14:02:00Z\" title=\"2026-11-20T14:02:00Z\" data-age=\"ago\">24 min ago</time>"
        );
    }

    #[test]
    fn a_deadline_today_or_past_is_pressing_and_says_so() {
        // Goal: nobody overlooks a due date. Method: before, on and after the day.
        let due = |time| clock().due(at(time));
        assert!(due("2026-11-19T00:00:00Z").pressing && due("2026-11-20T23:00:00Z").pressing);
        assert!(!due("2026-11-21T00:00:00Z").pressing);
        assert!(due("2026-11-19T00:00:00Z").words.to_string().contains(">19 Nov, late<"));
    }

    #[test]
    fn numbers_carry_commas_signs_and_units() {
        // Goal: figures read the same everywhere. Method: pairs.
        assert_eq!(
            [number(0), number(999), number(4812), number(1_000_000)],
            ["0", "999", "4,812", "1,000,000"]
        );
        assert_eq!([change(3), change(-8), change(0), change(-4118)], ["+3", "−8", "0", "−4,118"]);
        assert_eq!([percent(20), percent(47), percent(1000)], ["2\u{202f}%", "4.7\u{202f}%", "100\u{202f}%"]);
        assert_eq!(
            [bytes(0), bytes(412), bytes(4000), bytes(22_400), bytes(1_234_567)],
            ["0\u{202f}B", "412\u{202f}B", "4.0\u{202f}kB", "22\u{202f}kB", "1.2\u{202f}MB"]
        );
        assert_eq!([length(1, 3), length(0, 0), length(127, 127)], ["33.33%", "0%", "100.00%"]);
        assert_eq!(
            [chance(0), chance(600), chance(9_999), chance(10_000), chance(992_700), chance(1_000_000)],
            [
                "< 0.01\u{202f}%",
                "0.06\u{202f}%",
                "0.99\u{202f}%",
                "1\u{202f}%",
                "99.2\u{202f}%",
                "100\u{202f}%"
            ]
        );
        assert_eq!(plural(1, "device", "devices"), "1 device");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
        assert_eq!(hundredths(7973), "79.73");
    }

    proptest! {
        #[test]
        fn any_time_can_be_told(seconds in any::<i64>(), now in any::<i64>(), offset_s in -50_000..50_000_i64) {
            let clock = Clock { now: Timestamp(now / 4), offset_s, zone: "UTC".into() };
            let at = Timestamp(seconds / 4);
            let told = [clock.age(&at), clock.ago(&at), clock.moment(&at), clock.due(at).words].map(|m| m.to_string());
            prop_assert!(told.iter().all(|text| text.starts_with("<time ") && text.ends_with("</time>")));
        }
    }
}
