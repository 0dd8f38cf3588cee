//! Tests of the history: what is due, that moves explain the whole difference, and that nothing grows without end.
//!
//! Read next: [`super`].

use alloc::format;
use alloc::vec;

use proptest::prelude::*;

use super::fleet::{FleetPoint, FleetSaid};
use super::*;
use crate::risk::examples::{NOW, exposure, flat_pump};
use crate::risk::facts::{Answer, Facts};
use crate::risk::model::RISK_V1;
use crate::risk::order_tests::any_facts;
use crate::risk::score::{ByKind, score, value_by_kind};

const HOUR_S: i64 = 3600;

fn at(hours: i64) -> Timestamp {
    NOW.plus_seconds(hours * HOUR_S)
}

fn said(facts: &[(&Facts, i64)]) -> Said {
    let mut said = Said::default();
    facts.iter().for_each(|(facts, hours)| said.record(&score(facts, &RISK_V1, at(*hours))));
    said
}

/// The moves of every point but the first sum to the difference from the one before.
fn is_explained(said: &Said) -> bool {
    said.points.windows(2).all(|pair| {
        let moved: i32 = pair[1].moved.iter().map(|one| one.hundredths).sum();
        moved == i32::from(pair[1].hundredths) - i32::from(pair[0].hundredths)
    })
}

#[test]
fn a_score_is_written_down_when_it_moved_by_a_point_or_changed_its_band() {
    // Goal: many readings, few writings. Method: both sides of each threshold.
    let value = |hundredths, band| Value { hundredths, band };
    let last = Last { at: NOW, value: value(3950, Band::Medium) };
    assert!(!last.is_due(value(3999, Band::Medium), at(48)), "less than a point");
    assert!(last.is_due(value(4000, Band::High), NOW), "another band, at once");
    assert!(last.is_due(value(3850, Band::Medium), at(1)));
    assert!(!last.is_due(value(3850, Band::Medium), NOW.plus_seconds(HOUR_S - 1)), "once an hour");
}

#[test]
fn a_point_says_what_moved_the_score_in_words() {
    // Goal: "why is it higher than last week" has an answer. Method: the pump of example 3, with debug port, then without the
    // exploited weakness; the moves by sign, order and sum.
    let before = flat_pump();
    let mut opened = before.clone();
    opened.posture.debug_port = Answer::Yes;
    let mut patched = opened.clone();
    patched.exposures.retain(|one| !one.known_exploited);
    let said = said(&[(&before, 0), (&opened, 5), (&patched, 30)]);
    assert!(is_explained(&said) && said.points[0].moved.is_empty());
    let opened = &said.points[1].moved;
    let port = opened.iter().find(|one| one.id == "posture:debug-port").expect("named");
    assert_eq!(
        (port.how, port.reason.as_str(), port.kind),
        (How::New, "Debug port is open", Some(Kind::Posture))
    );
    assert!(port.hundredths > 0, "{opened:?}");
    let patched = &said.points[2].moved[..2];
    let gone = patched.iter().find(|one| one.how == How::Gone).expect("among the greatest");
    assert_eq!(gone.reason, "CVE-2020-1938 in tomcat9 9.0.31-1, exploited in the wild");
    assert!(gone.hundredths < -2000, "{patched:?}");
}

#[test]
fn a_document_reads_for_ever() {
    // Goal: what was said stays readable. Method: golden JSON of a small history, and another version.
    let golden = r#"{"v":1,"points":[{"at":1,"hundredths":19,"band":"low","model":"ab","moved":[]},{"at":2,"hundredths":119,"band":"low","model":"ab","moved":[{"id":"posture:debug-port","kind":"posture","how":"new","reason":"Debug port is open","hundredths":100}]}],"pieces":[{"id":"others","kind":null,"reason":"Smaller parts together","hundredths":119}]}"#;
    let read = Said::from_body(golden.as_bytes()).expect("reads");
    assert_eq!(String::from_utf8(read.to_body()).expect("JSON"), golden);
    assert_eq!(read.last().map(|last| last.value.hundredths), Some(119));
    assert_eq!(Said::from_body(golden.replace("\"v\":1", "\"v\":2").as_bytes()), None);
    let fleet = FleetSaid { points: vec![FleetPoint::default()], ..FleetSaid::default() };
    assert_eq!(FleetSaid::from_body(&fleet.to_body()), Some(fleet));
}

#[test]
fn a_restless_device_keeps_a_bounded_history_that_still_adds_up() {
    // Goal: bounded whatever a device does. Method: 500 days, a change every six hours; count, bytes, days, sums.
    let (calm, mut wild) = (flat_pump(), flat_pump());
    wild.exposures = (0..60).map(|n| exposure(&format!("CVE-2026-{n:04}"), 900_000, 90)).collect();
    let mut said = Said::default();
    for step in 0..2000 {
        let facts = if step % 2 == 0 { &calm } else { &wild };
        said.record(&score(facts, &RISK_V1, at(step * 6)));
        assert!(said.points.len() <= POINTS);
    }
    assert!(is_explained(&said), "also over joined days");
    assert!(said.to_body().len() < 64 * 1024, "{}", said.to_body().len());
    let newest = said.points.last().expect("points").at;
    let older: Vec<i64> = said
        .points
        .iter()
        .filter(|one| newest.seconds_since(one.at) > 15 * DAY_S)
        .map(|one| day(one.at))
        .collect();
    assert!(older.windows(2).all(|pair| pair[0] < pair[1]), "one point a day");
    let mut old = said.clone();
    old.record(&score(&calm, &RISK_V1, newest.plus_seconds((DAYS + 1) * DAY_S)));
    assert_eq!(old.points.len(), 1, "what is older than that is forgotten");
}

#[test]
fn the_fleets_line_is_hourly_for_a_week_and_daily_after_it_and_loses_nobody() {
    // Goal: a trend of a year in one document. Method: 450 days of a point every half hour, one device coming each time.
    let mut said = FleetSaid::default();
    for step in 0..21_600_i64 {
        let mut point = FleetPoint::begin(NOW.plus_seconds(step * 1800), &RISK_V1);
        let (value, kinds) = value_by_kind(&flat_pump(), &RISK_V1, NOW);
        point.add(value, &kinds, None);
        said.record(point);
    }
    assert!(said.points.len() <= 8 * 24 + 1 + 401, "{}", said.points.len());
    assert!(said.to_body().len() < 256 * 1024);
    let newest = said.points.last().expect("points");
    assert_eq!((newest.devices, newest.kinds.total(), newest.hundredths), (1, 7725, 7725));
    let joined: u32 = said.points.iter().map(|point| point.joined).sum();
    let kept_days = newest.at.seconds_since(said.points[0].at) / DAY_S;
    assert!((399..=400).contains(&kept_days));
    assert!(joined > 48 * 399, "those of joined points count in the point that stands for them: {joined}");
}

#[test]
fn who_became_critical_and_who_left_it_is_counted_between_points() {
    // Goal: a trend that says what happened. Method: one that stays, one that comes in, one that leaves, one that is new.
    let critical = Value { hundredths: 8000, band: Band::Critical };
    let low = Value { hundredths: 100, band: Band::Low };
    let mut point = FleetPoint::begin(NOW, &RISK_V1);
    for (value, before) in [
        (critical, Some(Band::Critical)),
        (critical, Some(Band::Low)),
        (low, Some(Band::Critical)),
        (critical, None),
    ] {
        point.add(value, &ByKind::default(), before);
    }
    assert_eq!((point.entered_critical, point.left_critical, point.joined, point.devices), (1, 1, 1, 4));
    assert_eq!(point.bands, [1, 0, 0, 3]);
}

proptest! {
    #[test]
    fn moves_sum_to_the_difference_of_any_two_scores(facts in proptest::collection::vec(any_facts(), 2..6)) {
        let all: Vec<(&Facts, i64)> = facts.iter().zip(0..).collect();
        let said = said(&all);
        prop_assert!(is_explained(&said));
        prop_assert!(said.points.iter().all(|point| point.moved.len() <= MOVES + 1));
        prop_assert_eq!(Said::from_body(&said.to_body()), Some(said));
    }

    #[test]
    fn the_kinds_of_a_score_sum_to_it(facts in any_facts()) {
        let (value, kinds) = value_by_kind(&facts, &RISK_V1, NOW);
        prop_assert_eq!(kinds.total(), u64::from(value.hundredths));
        let whole = score(&facts, &RISK_V1, NOW);
        prop_assert_eq!(whole.value(), value);
        let of = |kind: Kind| -> u64 {
            whole.contributions.iter().filter(|part| part.kind == kind).map(|part| u64::from(part.hundredths)).sum()
        };
        let rows = whole.contributions.len() as u64;
        prop_assert!(kinds.impact.abs_diff(of(Kind::Impact)) <= 1);
        prop_assert!(kinds.posture.abs_diff(of(Kind::Posture)) <= rows);
    }
}
