//! When two sets of windows are both open. Each is in the device's own time, so no zone is needed to compare them.
//!
//! Counted minute by minute over one week, which is exact and small; devices need none of it. Read next: [`super`].

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::{DAY_MINUTES, Window};

const DAY: usize = DAY_MINUTES as usize;
const WEEK: usize = 7 * DAY;

/// The windows in which both are open; none if they never meet. Windows that touch become one, up to a day long.
#[must_use]
pub fn intersect(a: &[Window], b: &[Window]) -> Vec<Window> {
    let (a, b) = (minutes(a), minutes(b));
    let both: Vec<bool> = a.iter().zip(&b).map(|(a, b)| *a && *b).collect();
    let mut windows: BTreeMap<(u16, u16), u8> = BTreeMap::new();
    for (start, length) in runs(&both) {
        for (day, from, to) in pieces(start, length) {
            *windows.entry((from, to)).or_default() |= 1 << day;
        }
    }
    windows.into_iter().filter_map(|((from, to), days)| Window::new(days, from, to)).collect()
}

/// The open minutes of a week that begins on Monday.
fn minutes(windows: &[Window]) -> Vec<bool> {
    let mut open = vec![false; WEEK];
    for window in windows {
        for day in (0..7_u8).filter(|day| window.opens_on(*day)) {
            let from = usize::from(day) * DAY + usize::from(window.from_minute());
            for minute in from..from + usize::from(window.length_minutes()) {
                if let Some(minute) = open.get_mut(minute % WEEK) {
                    *minute = true;
                }
            }
        }
    }
    open
}

/// Stretches of open minutes round the week: where each begins, and how long it is.
fn runs(open: &[bool]) -> Vec<(usize, usize)> {
    let Some(shut) = open.iter().position(|open| !open) else { return vec![(0, WEEK)] };
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut length = 0;
    // From a shut minute on, once round, so that no stretch is cut in two at the end of Sunday.
    for at in shut..=shut + WEEK {
        if open.get(at % WEEK) == Some(&true) {
            length += 1;
        } else if length > 0 {
            runs.push(((at - length) % WEEK, length));
            length = 0;
        }
    }
    runs
}

/// A stretch in windows: as it is, or where it is a day or longer cut at midnight.
fn pieces(start: usize, length: usize) -> Vec<(usize, u16, u16)> {
    let (mut pieces, mut at, mut left) = (Vec::new(), start, length);
    while left > 0 {
        let from = at % DAY;
        let piece = if left < DAY { left } else { left.min(DAY - from) };
        let end = from + piece;
        let to = if end > DAY { end - DAY } else { end };
        let minute = |minute: usize| u16::try_from(minute).unwrap_or(DAY_MINUTES);
        pieces.push((at / DAY % 7, minute(from), minute(to)));
        at += piece;
        left -= piece;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(days: u8, from: u16, to: u16) -> Window {
        Window::new(days, from, to).expect("a window")
    }

    #[test]
    fn two_sets_meet_where_both_are_open() {
        // Goal: known cases. Method: nights that touch, a weekend against a weekday, always, nothing.
        let night = [window(0x7f, 22 * 60, 5 * 60)];
        assert_eq!(intersect(&night, &[Window::ALWAYS]), night);
        assert_eq!(intersect(&[Window::ALWAYS], &[Window::ALWAYS]), [Window::ALWAYS]);
        assert_eq!(intersect(&night, &[window(0x10, 60, 6 * 60)]), [window(0x10, 60, 5 * 60)]);
        assert_eq!(intersect(&[window(1, 60, 120)], &[window(2, 60, 120)]), []);
        assert_eq!(intersect(&[window(1, 60, 120)], &[window(1, 120, 180)]), []);
        assert_eq!(intersect(&night, &[]), []);
        let sunday_night = [window(0x40, 23 * 60, 2 * 60)];
        assert_eq!(intersect(&night, &sunday_night), sunday_night, "past the end of the week");
    }

    prop_compose! {
        fn any_window()(days in 1_u8..0x80, from in 0..DAY_MINUTES, to in 1..=DAY_MINUTES) -> Option<Window> {
            Window::new(days, from, to)
        }
    }

    fn any_windows() -> impl Strategy<Value = Vec<Window>> {
        proptest::collection::vec(any_window(), 0..5).prop_map(|all| all.into_iter().flatten().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_minute_is_open_in_both_or_not_at_all(a in any_windows(), b in any_windows()) {
            let met = minutes(&intersect(&a, &b));
            let (a, b) = (minutes(&a), minutes(&b));
            prop_assert!((0..WEEK).all(|minute| met[minute] == (a[minute] && b[minute])));
        }
    }
}
