//! The calendar: wards by day, when devices there may reboot, and what people hold. Will tonight disturb a ward?
//!
//! What may happen is decided in `cordon_server_core::rollout::calendar`; here it is only shown. Hours are those of the
//! devices' own clocks, as they were signed. Read next: `server/ui/calendar.html`.

use std::collections::BTreeSet;

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_proto::update::window::DAY_MINUTES;
use cordon_server_core::rollout::calendar::Day;

use super::said::Said;
use super::words::{list, plural};
use super::{Frame, paths};

/// Days that are shown.
pub const DAYS: u32 = 7;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    /// The days, the first one first.
    pub days: Vec<Timestamp>,
    /// The wards.
    pub wards: Vec<Ward>,
    /// Holds in force.
    pub holds: u64,
}

/// One ward.
#[derive(Clone, Debug)]
pub struct Ward {
    /// Its name.
    pub name: Said,
    /// Its site.
    pub site: Said,
    /// The rollouts that have something for it.
    pub rollouts: Vec<Planned>,
    /// The value under which a hold names it.
    pub holdable: String,
    /// Whether a device of it may reboot before tomorrow morning.
    pub tonight: bool,
    /// Its days.
    pub days: Vec<Day>,
}

/// A rollout that has something for a ward.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name in addresses.
    pub id: String,
    /// What people call it.
    pub title: Said,
    /// Why it stands still, in a word; nothing of it is planned then.
    pub still: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "calendar.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Calendar,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Calendar) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    /// "Tonight may disturb 4B and ICU 2".
    fn head(&self) -> String {
        let tonight: Vec<String> =
            self.page.wards.iter().filter(|ward| ward.tonight).map(|ward| ward.name.to_string()).collect();
        let tonight = match tonight.len() {
            0 => "tonight disturbs no ward".into(),
            1..=3 => format!("tonight may disturb {}", list(&tonight)),
            many => format!("tonight may disturb {many} wards"),
        };
        let planned = self.page.wards.iter().flat_map(|ward| &ward.rollouts);
        let still: BTreeSet<&str> =
            planned.filter(|rollout| rollout.still.is_some()).map(|rollout| rollout.id.as_str()).collect();
        match still.len() {
            0 => tonight,
            1 => format!("{tonight}; 1 rollout stands still"),
            many => format!("{tonight}; {many} rollouts stand still"),
        }
    }

    fn day(&self, at: &Timestamp) -> String {
        let [_, _, day, ..] = at.civil();
        let weekday = usize::try_from(at.week().0).ok().and_then(|place| WEEKDAYS.get(place));
        format!("{} {day}", weekday.unwrap_or(&""))
    }

    fn day_of(&self, place: &usize) -> String {
        self.page.days.get(place.saturating_sub(1)).map(|at| self.day(at)).unwrap_or_default()
    }

    fn class(&self, day: &Day) -> &'static str {
        class(day)
    }

    fn hours(&self, day: &Day) -> String {
        hours(day)
    }

    fn counts(&self, day: &Day) -> String {
        counts(day)
    }

    fn rollout_href(&self, id: &str) -> String {
        paths::rollout(id)
    }

    fn hold_href(&self, ward: &Ward) -> String {
        paths::with_query(paths::NEW_HOLD, &[("choice", &ward.holdable)])
    }

    fn holds_words(&self) -> String {
        plural(self.page.holds, "hold in force", "holds in force")
    }
}

fn class(day: &Day) -> &'static str {
    match (day.held > 0 || day.still > 0, day.devices > 0) {
        (true, false) => "held",
        (true, true) => "held partly",
        (false, true) => "opens",
        (false, false) => "",
    }
}

/// "22:00 to 24:00".
fn hours(day: &Day) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let stretch = |(from, to): &(u16, u16)| match (*from, *to) {
        (0, DAY_MINUTES) => "all day".to_owned(),
        (from, to) => format!("{} to {}", clock(from), clock(to)),
    };
    day.open.iter().map(stretch).collect::<Vec<_>>().join(", ")
}

/// "12 devices, 3 held, 5 not before it goes on, 40 in later waves".
fn counts(day: &Day) -> String {
    let mut words = Vec::new();
    if day.devices > 0 {
        words.push(plural(day.devices.into(), "device", "devices"));
    }
    if day.held > 0 {
        words.push(format!("{} held", day.held));
    }
    if day.still > 0 {
        words.push(format!("{} not before it goes on", day.still));
    }
    if day.later > 0 {
        words.push(format!("{} in later waves", day.later));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_hours_and_numbers_and_what_is_held() {
        // Goal: read without a legend. Method: a night, a whole day that is held, an empty one.
        let night = Day { open: vec![(0, 300), (1320, 1440)], devices: 12, later: 40, ..Day::default() };
        assert_eq!(hours(&night), "00:00 to 05:00, 22:00 to 24:00");
        assert_eq!((counts(&night).as_str(), class(&night)), ("12 devices, 40 in later waves", "opens"));
        let held = Day { open: vec![(0, DAY_MINUTES)], held: 1, ..Day::default() };
        assert_eq!((hours(&held).as_str(), counts(&held).as_str()), ("all day", "1 held"));
        assert_eq!((class(&held), class(&Day::default())), ("held", ""));
        let still = Day { held: 0, still: 9, ..held };
        assert_eq!((counts(&still).as_str(), class(&still)), ("9 not before it goes on", "held"));
        assert_eq!(class(&Day { devices: 1, ..still }), "held partly");
    }
}
