//! The calendar of wards: on which days which windows are open for devices that still have an order before them, and what
//! people hold. It answers one question: will tonight disturb a ward?
//!
//! Windows are times of the device's own clock and are shown as they are signed; a device in use does not reboot whatever
//! the calendar says. A rollout that a person paused or stopped, or that stopped itself, stays in the calendar as one that stands
//! still: nothing of it is planned, but for devices that were told to go before a pause. Read next: [`super::Book`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Name;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::window::{DAY_MINUTES, Window};

use super::{Book, Rollout, State};
use crate::device::Device;

/// Days that one calendar shows at most.
pub const DAYS_MAX: u32 = 31;
/// The minute of the next day at which a night ends.
const MORNING: u16 = 8 * 60;
const DAY_S: i64 = 86_400;

/// One ward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ward {
    /// Its site.
    pub site: String,
    /// Its name.
    pub ward: String,
    /// The rollouts that have something for its devices, those that stand still too.
    pub rollouts: BTreeSet<Name>,
    /// Those of them that stand still.
    pub still: BTreeSet<Name>,
    /// The days, the first one first.
    pub days: Vec<Day>,
}

/// One day of one ward.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// When a reboot is allowed, in minutes of the day, earliest first, none touching the next.
    pub open: Vec<(u16, u16)>,
    /// Devices that may reboot then.
    pub devices: u32,
    /// Devices of waves that have not begun and may have by then.
    pub later: u32,
    /// Devices that a person holds.
    pub held: u32,
    /// Devices whose rollout stands still: none of them gets the go before somebody lets it go on.
    pub still: u32,
    /// The holds.
    pub holds: BTreeSet<Name>,
}

impl Day {
    /// Whether a device may reboot in this stretch of the day.
    fn disturbs(&self, from: u16, to: u16) -> bool {
        self.devices > 0 && self.open.iter().any(|(opens, closes)| *opens < to && *closes > from)
    }
}

impl Ward {
    /// Whether a device of it may reboot before the next morning.
    #[must_use]
    pub fn disturbed_tonight(&self, now: Timestamp) -> bool {
        let (_, second) = now.week();
        let minute = u16::try_from(second / 60).unwrap_or(0);
        let on = |day: usize, from, to| self.days.get(day).is_some_and(|day| day.disturbs(from, to));
        if minute < MORNING {
            return on(0, minute, MORNING);
        }
        on(0, minute, DAY_MINUTES) || on(1, 0, MORNING)
    }
}

/// The calendar of all wards that some order still concerns, from the day of `from` on, by site and ward.
#[must_use]
pub fn wards<'a>(
    book: &Book,
    devices: impl IntoIterator<Item = &'a Device>,
    from: Timestamp,
    days: u32,
) -> Vec<Ward> {
    let days = days.clamp(1, DAYS_MAX);
    let first = Timestamp(from.0.div_euclid(DAY_S).saturating_mul(DAY_S));
    let mut found: BTreeMap<(String, String), Ward> = BTreeMap::new();
    for device in devices {
        for (rollout, order, when) in before(book, device) {
            let placement = &device.placement;
            let name = (placement.site.as_str().into(), placement.ward.as_str().into());
            let ward = found.entry(name).or_insert_with_key(|(site, ward)| Ward {
                site: site.clone(),
                ward: ward.clone(),
                rollouts: BTreeSet::new(),
                still: BTreeSet::new(),
                days: (0..days).map(|_| Day::default()).collect(),
            });
            ward.rollouts.insert(rollout.id.clone());
            if !rollout.moves() {
                ward.still.insert(rollout.id.clone());
            }
            for (number, day) in (0_i64..).zip(&mut ward.days) {
                add(day, (book, device), (rollout, order, when), first.plus_seconds(number * DAY_S));
            }
        }
    }
    found.into_values().collect()
}

/// When a device may get the go of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// As soon as window and interlock allow it, or it has it already.
    Now,
    /// When its wave has begun.
    Later,
    /// When somebody lets its rollout go on.
    Never,
}

/// The orders that a device still has before it, of rollouts that are open.
fn before<'a>(book: &'a Book, device: &Device) -> Vec<(&'a Rollout, &'a Order, When)> {
    let open = book.rollouts.values().filter(|rollout| rollout.is_open());
    let known = open.filter_map(|rollout| {
        let (_, wave) = rollout.wave_of(device.id)?;
        let order = book.orders.get(&wave.order)?;
        let progress = book.progress.get(&rollout.id).and_then(|devices| devices.get(&device.id));
        let outcome = progress.and_then(|progress| progress.outcome);
        let back = progress.and_then(|progress| progress.back.as_ref()?.outcome);
        let open = match rollout.state {
            State::Returning => outcome == Some(Outcome::Confirmed) && back.is_none(),
            State::Running
            | State::Paused { .. }
            | State::Halted { .. }
            | State::Stopped { .. }
            | State::Aborted { .. }
            | State::Returned { .. }
            | State::Finished { .. } => outcome.is_none(),
        };
        // A pause takes back no go that was given.
        let goes = rollout.keeps_gos() && progress.is_some_and(|progress| progress.go().is_some());
        let when = match (rollout.moves() || goes, wave.started) {
            (true, Some(_)) => When::Now,
            (true, None) => When::Later,
            (false, _) => When::Never,
        };
        open.then_some((rollout, order, when))
    });
    known.collect()
}

fn add(
    day: &mut Day,
    (book, device): (&Book, &Device),
    (rollout, order, when): (&Rollout, &Order, When),
    starts: Timestamp,
) {
    let ends = starts.plus_seconds(DAY_S);
    let until = match (&rollout.state, &order.back) {
        (State::Returning, Some(back)) => back.until,
        _ => order.expires,
    };
    if until <= starts || order.not_before >= ends {
        return;
    }
    let open = open_on(&order.windows, starts);
    if open.is_empty() {
        return;
    }
    // A hold that ends within the day holds no more for the rest of it.
    let last = ends.plus_seconds(-1);
    let covering = book.holds_over(device).filter(|hold| hold.at < ends && hold.holds(last));
    let holds: Vec<Name> = covering.map(|hold| hold.id.clone()).collect();
    match (holds.is_empty(), when) {
        (_, When::Never) => day.still += 1,
        (false, _) => day.held += 1,
        (true, When::Now) => day.devices += 1,
        (true, When::Later) => day.later += 1,
    }
    day.holds.extend(holds);
    day.open.extend(open);
    day.open = joined(core::mem::take(&mut day.open));
}

/// When windows are open on the day that begins `starts`.
fn open_on(windows: &[Window], starts: Timestamp) -> Vec<(u16, u16)> {
    let today = u8::try_from(starts.week().0).unwrap_or(0);
    let yesterday = (today + 6) % 7;
    let mut open = Vec::new();
    for window in windows {
        let end = window.from_minute().saturating_add(window.length_minutes());
        if window.opens_on(today) {
            open.push((window.from_minute(), end.min(DAY_MINUTES)));
        }
        if window.opens_on(yesterday) && end > DAY_MINUTES {
            open.push((0, end - DAY_MINUTES));
        }
    }
    joined(open)
}

/// The same stretches, those that touch joined.
fn joined(mut open: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    open.sort_unstable();
    let mut found: Vec<(u16, u16)> = Vec::new();
    for (from, to) in open {
        match found.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            Some(_) | None => found.push((from, to)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::super::fixture::{NOW, id, name, order, pump, rollout};
    use super::super::{Covers, Hold, Progress};
    use super::*;

    /// Two pumps of a begun wave and one of the next, windows from ten to five every night; NOW is a Saturday, 09:05.
    fn book() -> Book {
        let night = Window::new(0x7f, 22 * 60, 5 * 60).expect("a window");
        let orders = ["w1", "w2"].map(|id| (name(id), Order { windows: vec![night], ..order(id) }));
        Book { orders: orders.into(), rollouts: [(name("r-1"), rollout(2, 1))].into(), ..Book::default() }
    }

    fn shown(book: &Book) -> Vec<Ward> {
        let pumps: Vec<Device> = (0..3).map(pump).collect();
        wards(book, &pumps, NOW, 3)
    }

    fn hold(until: Option<Timestamp>) -> Hold {
        let covers = Covers::Ward("St. Brigid/4B".to_string());
        let (by, reason) = ("J. Weiss".to_string(), "two transfers tonight".to_string());
        Hold { v: 1, id: name("h-1"), covers, by, reason, at: NOW, until, lapsed: None }
    }

    fn counts(day: &Day) -> (u32, u32, u32) {
        (day.devices, day.later, day.held)
    }

    #[test]
    fn a_night_lies_on_two_days_and_counts_who_may_reboot_in_it() {
        // Goal: a nurse sees the hours. Method: three days of one ward; then one pump has ended, and the order ends.
        let mut book = book();
        let [ward] = shown(&book).try_into().expect("one ward");
        assert_eq!((ward.site.as_str(), ward.ward.as_str(), ward.days.len()), ("St. Brigid", "4B", 3));
        assert!(ward.days.iter().all(|day| day.open == [(0, 300), (1320, 1440)] && counts(day) == (2, 1, 0)));
        assert!(ward.disturbed_tonight(NOW));
        let ended = Progress { outcome: Some(Outcome::RolledBack), ..Progress::default() };
        book.progress.entry(name("r-1")).or_default().insert(id(0), ended);
        book.orders.get_mut(&name("w2")).expect("listed").expires = NOW.plus_seconds(3600);
        let [ward] = shown(&book).try_into().expect("one ward");
        assert_eq!(ward.days.iter().map(counts).collect::<Vec<_>>(), [(1, 1, 0), (1, 0, 0), (1, 0, 0)]);
    }

    #[test]
    fn a_hold_takes_the_nights_that_it_covers_to_their_end() {
        // Goal: a held ward sleeps. Method: no end; an end before midnight; an end on the next morning.
        let mut book = book();
        let mut with = |until: Option<i64>| {
            let until = until.map(|seconds| NOW.plus_seconds(seconds));
            book.holds = [(name("h-1"), hold(until))].into();
            let [ward] = shown(&book).try_into().expect("one ward");
            (ward.days.iter().map(counts).collect::<Vec<_>>(), ward.disturbed_tonight(NOW))
        };
        assert_eq!(with(None), (vec![(0, 0, 3); 3], false));
        assert_eq!(with(Some(12 * 3600)), (vec![(2, 1, 0); 3], true));
        assert_eq!(with(Some(20 * 3600)), (vec![(0, 0, 3), (2, 1, 0), (2, 1, 0)], true));
    }

    #[test]
    fn a_rollout_that_stands_still_disturbs_nobody_and_a_return_those_who_confirmed() {
        // Goal: only who may get the go is counted. Method: halted; stopped; paused with one go in hand; returning with one
        // confirmed; windows on one weekday.
        let mut book = book();
        let state =
            |book: &mut Book, state| book.rollouts.get_mut(&name("r-1")).expect("there").state = state;
        state(&mut book, State::Halted { at: NOW, wave: 0, reason: "two failed".to_string() });
        let still = |book: &Book| {
            let [ward] = shown(book).try_into().expect("it is shown");
            assert_eq!((&ward.rollouts, &ward.still), (&[name("r-1")].into(), &[name("r-1")].into()));
            let of = |day: &Day| (day.still, day.devices, day.later);
            (ward.days.iter().map(of).collect::<Vec<_>>(), ward.disturbed_tonight(NOW))
        };
        assert_eq!(still(&book), (vec![(3, 0, 0); 3], false));
        let (by, reason) = ("J. Weiss".to_string(), "the night shift is short".to_string());
        state(&mut book, State::Stopped { at: NOW, by: by.clone(), reason: reason.clone() });
        let goes = Progress { permitted: Some(NOW), ..Progress::default() };
        book.progress.entry(name("r-1")).or_default().insert(id(0), goes);
        assert_eq!(still(&book), (vec![(3, 0, 0); 3], false), "a stop takes back what was given");
        state(&mut book, State::Paused { at: NOW, by, reason });
        assert_eq!(still(&book), (vec![(2, 1, 0); 3], true), "a pause does not");
        book.progress.clear();
        assert_eq!(still(&book), (vec![(3, 0, 0); 3], false));
        state(&mut book, State::Returning);
        let confirmed = Progress { outcome: Some(Outcome::Confirmed), ..Progress::default() };
        book.progress.entry(name("r-1")).or_default().insert(id(1), confirmed);
        let [ward] = shown(&book).try_into().expect("one ward");
        assert_eq!(counts(&ward.days[0]), (1, 0, 0));
        state(&mut book, State::Running);
        let monday = Window::new(1, 22 * 60, 5 * 60).expect("a window");
        book.orders.values_mut().for_each(|order| order.windows = vec![monday]);
        let [ward] = shown(&book).try_into().expect("one ward");
        assert_eq!(
            ward.days.iter().map(|day| day.open.clone()).collect::<Vec<_>>(),
            [vec![], vec![], vec![(1320, 1440)]]
        );
        assert!(!ward.disturbed_tonight(NOW));
    }
}
