//! Lines through a few points that a single bad point cannot bend, and whether there is a line at all.
//!
//! Slope: Theil (1950) and Sen (1968), the median over all pairs. Whether it rises at all: the test of Mann (1945) and Kendall
//! (1975) with its correction for ties. What is usual: median and median absolute deviation, with the modified z-score of
//! Iglewicz and Hoaglin (1993). Points are bounded by who keeps them, so pairs are few. Nothing here knows what is measured.

use alloc::vec::Vec;

use libm::{fabs, sqrt};

/// The z-value from which a rise counts: one chance in ten thousand for each look at noise.
const RISES_Z: f64 = 3.72;
/// How far a figure must rise over the time looked at, in spreads of the points about their line.
const RISES_SPREADS: f64 = 6.0;
/// What makes the median absolute deviation of normal noise its standard deviation.
const MAD_SIGMA: f64 = 1.4826;
/// Points below which nothing is said.
pub(super) const LEAST: usize = 8;

/// A point: seconds, and a figure.
pub(super) type Point = (f64, f64);

/// A rising line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rise {
    /// Units a second.
    pub(super) slope: f64,
    /// A slope that four of five pairs do not exceed: the faster end of what is likely.
    pub(super) fast: f64,
    /// The line's value at the last point.
    pub(super) now: f64,
    /// Seconds from the first point to the last.
    pub(super) over_s: f64,
}

impl Rise {
    /// Seconds from the last point until the line reaches a value.
    pub(super) fn reaches(&self, value: f64) -> f64 {
        ((value - self.now) / self.slope).max(0.0)
    }

    /// The same at the faster end.
    pub(super) fn soonest(&self, value: f64) -> f64 {
        ((value - self.now) / self.fast.max(self.slope)).max(0.0)
    }
}

/// The line, if the points rise: by the test, by a rise that stands out of their own spread, and to a new height. What went up
/// and down before (logs that are turned over) is no rise until it is above all that was.
pub(super) fn rise(points: &[Point]) -> Option<Rise> {
    let (first, last) = (points.first()?, points.last()?);
    if points.len() < LEAST || mann_kendall(points) < RISES_Z {
        return None;
    }
    let mut slopes = slopes(points);
    let slope = median(&mut slopes)?;
    if slope <= 0.0 {
        return None;
    }
    let fast = part(&slopes, 4, 5)?;
    let mut offsets: Vec<f64> = points.iter().map(|(at, value)| value - slope * at).collect();
    let offset = median(&mut offsets)?;
    let mut apart: Vec<f64> = points.iter().map(|(at, value)| fabs(value - slope * at - offset)).collect();
    let spread = median(&mut apart)? * MAD_SIGMA;
    let over_s = last.0 - first.0;
    let highest = points.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
    let is_new_height = last.1 >= highest - spread;
    let stands_out = slope * over_s >= RISES_SPREADS * spread;
    (is_new_height && stands_out).then_some(Rise { slope, fast, now: slope * last.0 + offset, over_s })
}

/// How sure it is that the points rise, in standard deviations of what chance does; ties count for nothing.
fn mann_kendall(points: &[Point]) -> f64 {
    let mut s = 0.0;
    for (place, (_, earlier)) in points.iter().enumerate() {
        for (_, later) in points.iter().skip(place.saturating_add(1)) {
            s += f64::from(i8::from(later > earlier)) - f64::from(i8::from(later < earlier));
        }
    }
    let weight = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|one, other| one == other).map(|same| weight(count(same))).sum();
    let variance = (weight(count(points)) - ties) / 18.0;
    if variance <= 0.0 { 0.0 } else { (s - 1.0) / sqrt(variance) }
}

/// The slope of every pair, in no order.
fn slopes(points: &[Point]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(points.len().saturating_mul(points.len()) / 2);
    for (place, (at, value)) in points.iter().enumerate() {
        for (later, then) in points.iter().skip(place.saturating_add(1)) {
            if later > at {
                slopes.push((then - value) / (later - at));
            }
        }
    }
    slopes
}

/// What is usual: the median, and the spread about it as the standard deviation of normal noise would be.
pub(super) fn usual(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    let middle = median(&mut sorted)?;
    let mut apart: Vec<f64> = values.iter().map(|value| fabs(value - middle)).collect();
    Some((middle, median(&mut apart)? * MAD_SIGMA))
}

/// The median; sorts.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get((values.len() / 2).checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

/// The value below which so many of so many stand, of sorted ones.
fn part(sorted: &[f64], of: usize, all: usize) -> Option<f64> {
    let place = sorted.len().checked_sub(1)?.saturating_mul(of) / all;
    sorted.get(place).copied()
}

fn count<T>(things: &[T]) -> f64 {
    u32::try_from(things.len()).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(slope: f64, count: u32) -> Vec<Point> {
        (0..count).map(|at| (f64::from(at) * 3600.0, 10.0 + slope * f64::from(at))).collect()
    }

    #[test]
    fn a_line_is_found_with_its_day_and_one_wild_point_bends_nothing() {
        // Goal: the very slope. Method: a straight line; the same with a tenth of its points far off.
        let straight = rise(&line(2.0, 40)).expect("it rises");
        assert!(fabs(straight.slope * 3600.0 - 2.0) < 1e-9 && fabs(straight.now - 88.0) < 1e-9);
        assert!(fabs(straight.reaches(90.0) - 3600.0) < 1e-6, "{straight:?}");
        let mut wild = line(2.0, 40);
        for at in [3, 17, 29, 34] {
            wild[at].1 = -500.0;
        }
        let found = rise(&wild).expect("it rises still");
        assert!(fabs(found.slope * 3600.0 - 2.0) < 0.05, "{found:?}");
    }

    #[test]
    fn what_falls_stands_or_swings_does_not_rise() {
        // Goal: no alarm on logs that are turned over. Method: a fall, a flat line, a saw at every place of its tooth, too few points.
        assert_eq!(rise(&line(-1.0, 40)), None);
        assert_eq!(rise(&line(0.0, 40)), None);
        assert_eq!(rise(&line(5.0, 7)), None);
        for cut in 20..120_u32 {
            let saw: Vec<Point> = (0..cut).map(|at| (f64::from(at) * 86_400.0, f64::from(at % 7))).collect();
            assert_eq!(rise(&saw), None, "after {cut} days");
        }
    }

    proptest! {
        #[test]
        fn a_rise_is_the_same_line_whatever_the_unit_and_the_origin(
            steps in prop::collection::vec(0.0_f64..5.0, 8..60), scale in 0.5_f64..4.0, shift in -1e6_f64..1e6
        ) {
            // Goal: no hidden scale. Method: rising points, and the same stretched and moved.
            let mut value = 0.0;
            let points: Vec<Point> = steps.iter().enumerate().map(|(at, step)| {
                value += step;
                (f64::from(u32::try_from(at).unwrap_or(0)), value)
            }).collect();
            let moved: Vec<Point> = points.iter().map(|(at, value)| (at + shift, value * scale)).collect();
            match (rise(&points), rise(&moved)) {
                (Some(one), Some(other)) => prop_assert!(fabs(one.slope * scale - other.slope) <= 1e-6 * other.slope),
                (one, other) => prop_assert_eq!(one.is_some(), other.is_some()),
            }
        }
    }
}
