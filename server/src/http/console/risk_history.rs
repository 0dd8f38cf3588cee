//! What was said of risk over time, as pages draw it: the fleet's trend, bands a week ago, a device's line and its moves.
//!
//! Read next: `cordon_server_core::risk::history` for what is kept, `ui::chart` for the drawings.

use cordon_proto::time::Timestamp;
use cordon_server_core::risk::history::fleet::{FleetPoint, FleetSaid};
use cordon_server_core::risk::history::{Point as SaidPoint, Said};

use crate::ui::chart::{Event, NoChart, Point, Trend};
use crate::ui::device::Change;
use crate::ui::overview::Range;
use crate::ui::{Said as Words, paths};

/// Seconds of a week, and how far from it a point may lie that stands for it.
const WEEK_S: i64 = 7 * 86_400;
const NEAR_S: i64 = 86_400;
/// Points of a device's line.
const LINE: usize = 24;

/// The fleet's trend over a range, or why there is none yet.
pub(super) fn trend(said: &FleetSaid, range: Range, now: Timestamp) -> Result<Trend, NoChart> {
    let from = now.plus_seconds(-range.seconds());
    let shown: Vec<&FleetPoint> = said.points.iter().filter(|point| point.at >= from).collect();
    let point = |said: &&FleetPoint| {
        let [_, _, high, critical] = said.bands;
        Point { at: said.at, critical, high }
    };
    let points = shown.iter().map(point).collect();
    let trend = Trend { points, events: new_figures(&shown) };
    let begun = said.points.first().map(|point| point.at);
    match (trend.is_drawable(), begun) {
        (true, _) => Ok(trend),
        (false, None) => Err(NoChart(
            "No line yet: what is said of the fleet's risk is written down every ten minutes.".into(),
        )),
        (false, Some(at)) => Err(NoChart(format!("No line yet for this time: writing down began {at}."))),
    }
}

/// Where another table of figures came into force.
fn new_figures(shown: &[&FleetPoint]) -> Vec<Event> {
    let others = shown.windows(2).filter_map(|pair| match pair {
        [before, after] if before.model != after.model => Some(after.at),
        _ => None,
    });
    let event = |at| Event { at, label: "Risk figures changed".into(), href: paths::AUDIT.to_owned() };
    others.map(event).collect()
}

/// Devices by band a week ago: critical, high, medium, low; none where nothing was said then.
pub(super) fn week_ago(said: &FleetSaid, now: Timestamp) -> Option<[u64; 4]> {
    let then = now.plus_seconds(-WEEK_S);
    let away = |point: &&FleetPoint| point.at.seconds_since(then).abs();
    let near = said.points.iter().filter(|point| away(point) <= NEAR_S).min_by_key(away)?;
    let [low, medium, high, critical] = near.bands.map(u64::from);
    Some([critical, high, medium, low])
}

/// A device's scores for its line, in whole points, the last ones.
pub(super) fn line(said: &Said) -> Vec<u32> {
    let surplus = said.points.len().saturating_sub(LINE);
    said.points.iter().skip(surplus).map(|point| u32::from(point.hundredths / 100)).collect()
}

/// The moves of a device's score as things that happened: by how many whole points, and for which reason most.
pub(super) fn moves(said: &Said) -> Vec<Change> {
    let pairs = said.points.windows(2).filter_map(|pair| match pair {
        [before, after] => Some((before, after)),
        _ => None,
    });
    let change = |(before, after): (&SaidPoint, &SaidPoint)| {
        let (was, is) = (before.hundredths / 100, after.hundredths / 100);
        let why = after.moved.first().map_or_else(Words::default, |one| one.reason.as_str().into());
        Change {
            at: after.at,
            what: format!("Risk went from {was} to {is}").into(),
            source: why,
            href: None,
            risk: Some(i64::from(is) - i64::from(was)),
        }
    };
    pairs.map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_server_core::risk::Band;
    use cordon_server_core::risk::history::{How, Move};

    const NOW: Timestamp = Timestamp(1_795_184_760);

    fn fleet(points: &[(i64, [u32; 4], &str)]) -> FleetSaid {
        let point = |(ago_s, bands, model): &(i64, [u32; 4], &str)| FleetPoint {
            at: NOW.plus_seconds(-ago_s),
            bands: *bands,
            model: (*model).to_owned(),
            ..FleetPoint::default()
        };
        FleetSaid { points: points.iter().map(point).collect(), ..FleetSaid::default() }
    }

    #[test]
    fn a_trend_is_drawn_from_what_was_said_and_from_nothing_else() {
        // Goal: no line at zero. Method: nothing said, one point, three points of which one is before the range; another table.
        assert!(trend(&fleet(&[]), Range::Week, NOW).is_err_and(|why| why.0.contains("every ten minutes")));
        let one = fleet(&[(9 * 86_400, [9, 0, 0, 1], "a"), (60, [8, 1, 0, 1], "a")]);
        assert!(
            trend(&one, Range::Week, NOW).is_err_and(|why| why.0.contains("writing down began 2026-11-11"))
        );
        let drawn = trend(&one, Range::Month, NOW).expect("two points");
        assert_eq!((drawn.points.len(), drawn.points[0].critical, drawn.events.len()), (2, 1, 0));
        let other = fleet(&[(7200, [1, 0, 2, 3], "a"), (3600, [1, 0, 2, 3], "b"), (0, [1, 0, 2, 3], "b")]);
        let drawn = trend(&other, Range::Day, NOW).expect("three points");
        assert_eq!((drawn.points[0].high, drawn.events.len()), (2, 1));
        assert_eq!(drawn.events[0].at, NOW.plus_seconds(-3600));
    }

    #[test]
    fn a_week_ago_is_a_point_near_it_or_nothing() {
        // Goal: "change in 7 d" is a change in seven days. Method: points around it, and only newer ones.
        let said = fleet(&[
            (9 * 86_400, [1, 1, 1, 1], "a"),
            (WEEK_S + 3600, [4, 3, 2, 1], "a"),
            (0, [0, 0, 0, 9], "a"),
        ]);
        assert_eq!(week_ago(&said, NOW), Some([1, 2, 3, 4]));
        assert_eq!(week_ago(&fleet(&[(86_400, [4, 3, 2, 1], "a")]), NOW), None);
    }

    #[test]
    fn a_devices_moves_are_told_in_whole_points_with_their_first_reason() {
        // Goal: the timeline says why. Method: two points.
        let point = |ago_s: i64, hundredths, moved| SaidPoint {
            at: NOW.plus_seconds(-ago_s),
            hundredths,
            band: Band::High,
            model: "a".into(),
            moved,
        };
        let moved = Move {
            id: "x".into(),
            kind: None,
            how: How::New,
            reason: "Debug port is open".into(),
            hundredths: 455,
        };
        let said =
            Said { points: vec![point(60, 4199, vec![]), point(0, 4654, vec![moved])], ..Said::default() };
        let [change] = &moves(&said)[..] else { panic!("one") };
        assert_eq!(
            (change.what.raw(), change.source.raw()),
            ("Risk went from 41 to 46", "Debug port is open")
        );
        assert_eq!((change.risk, line(&said)), (Some(5), vec![41, 46]));
    }
}
