//! Windows at their edges, past midnight, in other time zones, and cut with the content's.
//!
//! Tests only; see [`super`].

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Saturday 2026-11-21, midnight UTC.
const SATURDAY: Timestamp = Timestamp(1_795_219_200);
const SAT: u8 = 0b010_0000;

fn window(days: u8, from: u16, to: u16) -> Window {
    Window::new(days, from, to).expect("a window")
}

fn at(hour: i64, minute: i64) -> Timestamp {
    SATURDAY.plus_seconds(hour * 3600 + minute * 60)
}

fn schedule<'a>(order: &'a [Window], content: Option<&'a [Window]>, zone_minutes: i16) -> Schedule<'a> {
    Schedule { order, content, zone_minutes }
}

#[test]
fn a_window_is_open_from_its_first_minute_to_before_its_last_on_its_own_days() {
    // Goal: the ends, and the day. Method: the minutes around each, a day earlier and later.
    let order = [window(SAT, 120, 240)];
    let plan = schedule(&order, None, 0);
    for (hour, minute, open) in
        [(1, 59, false), (2, 0, true), (3, 59, true), (4, 0, false), (26, 30, false), (-22, 30, false)]
    {
        assert_eq!(plan.is_open(at(hour, minute)), open, "{hour}:{minute:02}");
    }
}

#[test]
fn a_window_past_midnight_belongs_to_the_day_on_which_it_opens() {
    // Goal: crossing midnight. Method: Saturday 22:00 to 04:00, looked at on three days.
    let order = [window(SAT, 22 * 60, 4 * 60)];
    let plan = schedule(&order, None, 0);
    for (hour, open) in
        [(3, false), (21, false), (22, true), (24, true), (27, true), (28, false), (46, false)]
    {
        assert_eq!(plan.is_open(at(hour, 0)), open, "hour {hour}");
    }
    let always = [Window::ALWAYS];
    assert!((0..200).all(|hour| schedule(&always, None, 330).is_open(at(hour, 7))));
}

#[test]
fn windows_are_read_in_the_devices_own_time_zone() {
    // Goal: local time. Method: the same window east and west of Greenwich.
    let order = [window(SAT, 120, 180)];
    assert!(schedule(&order, None, 60).is_open(at(1, 30)), "Zurich in winter");
    assert!(schedule(&order, None, -300).is_open(at(7, 30)), "New York");
    assert!(schedule(&order, None, 840).is_open(at(-12, 30)), "Kiribati is on Saturday already");
    assert!(!schedule(&order, None, 840).is_open(at(2, 30)));
}

#[test]
fn no_window_is_never_and_content_only_tightens() {
    // Goal: empty means never on either side; both must be open. Method: all combinations.
    let (wide, narrow) = ([window(SAT, 60, 360)], [window(SAT, 120, 180)]);
    assert!(!schedule(&[], None, 0).is_open(at(2, 30)));
    assert!(!schedule(&wide, Some(&[]), 0).is_open(at(2, 30)));
    assert_eq!(schedule(&wide, Some(&[]), 0).next_opening(at(0, 0)), None);
    let both = schedule(&wide, Some(&narrow), 0);
    assert_eq!((both.is_open(at(1, 30)), both.is_open(at(2, 30))), (false, true));
    assert_eq!(both.next_opening(at(0, 0)), Some(at(2, 0)));
    assert_eq!(schedule(&narrow, Some(&wide), 0).next_opening(at(0, 0)), Some(at(2, 0)), "either way round");
    let (early, late) = ([window(SAT, 60, 120)], [window(SAT, 120, 180)]);
    assert_eq!(schedule(&early, Some(&late), 0).next_opening(at(0, 0)), None, "they never meet");
}

#[test]
fn the_next_opening_is_named_in_utc_a_week_ahead_if_need_be() {
    // Goal: what `status` tells. Method: just before, inside, and just after.
    let order = [window(SAT, 120, 240)];
    let plan = schedule(&order, None, 60);
    assert_eq!(plan.next_opening(at(0, 59)), Some(at(1, 0)));
    assert_eq!(
        plan.next_opening(at(1, 0)),
        Some(at(7 * 24 + 1, 0)),
        "it is open now; the next one is in a week"
    );
    assert_eq!(schedule(&[], None, 60).next_opening(at(0, 0)), None);
}

proptest! {
    #[test]
    fn at_the_next_opening_it_is_open_and_never_in_between(
        days in 1_u8..128, from in 0_u16..1440, to in 1_u16..=1440, zone in -720_i16..=840, now in 0_i64..1_209_600,
        other in 0_u16..1439,
    ) {
        prop_assume!(from != to);
        let order = [window(days, from, to)];
        let content = [window(0x7f, other, 1440)];
        let plan = schedule(&order, Some(&content), zone);
        let now = SATURDAY.plus_seconds(now);
        if let Some(next) = plan.next_opening(now) {
            prop_assert!(plan.is_open(next));
            if !plan.is_open(now) {
                let step = (next.seconds_since(now) / 50).max(1);
                prop_assert!((1..50).map(|k| now.plus_seconds(k * step)).all(|t| t >= next || !plan.is_open(t)));
            }
        } else {
            prop_assert!((0..2016).all(|k| !plan.is_open(now.plus_seconds(k * 300 + 300))));
        }
    }

    #[test]
    fn no_content_opens_what_the_order_keeps_shut(
        days in 1_u8..128, from in 0_u16..1440, to in 1_u16..=1440, zone in -720_i16..=840, now in 0_i64..604_800,
        content in proptest::option::of(proptest::collection::vec((1_u8..128, 0_u16..1440, 1_u16..=1440), 0..5)),
    ) {
        prop_assume!(from != to);
        let order = [window(days, from, to)];
        let windows = |list: Vec<_>| -> Vec<Window> {
            list.into_iter().filter_map(|(days, from, to)| Window::new(days, from, to)).collect()
        };
        let content = content.map(windows);
        let (alone, cut) = (schedule(&order, None, zone), schedule(&order, content.as_deref(), zone));
        let now = SATURDAY.plus_seconds(now);
        prop_assert!(alone.is_open(now) || !cut.is_open(now));
    }
}
