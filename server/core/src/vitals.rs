//! The points that are kept of a device's health: enough to draw a line through months, few enough for every device.
//!
//! The last two days stand as they came, before that one point a day, the last of it. A point that is not later than the
//! newest adds nothing: records come twice, and a clock that was set back must not tear the line. A clock that ran ahead is
//! set right by the points after it: what lies in the future of the server's own clock is left out. Read next:
//! `cordon_proto::health` for what a point says.

use alloc::vec::Vec;

use cordon_proto::health::Health;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::wire;

/// Seconds for which points stand as they came.
const FINE_S: i64 = 2 * DAY_S;
/// Seconds that the device's clock may be ahead of ours before a point is not believed.
const AHEAD_S: i64 = 3600;
const DAY_S: i64 = 24 * 3600;

/// The points of one device in rising order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points(Vec<Health>);

impl Points {
    /// The points, oldest first.
    #[must_use]
    pub fn all(&self) -> &[Health] {
        &self.0
    }

    /// The newest point.
    #[must_use]
    pub fn last(&self) -> Option<&Health> {
        self.0.last()
    }

    /// Takes a point in that came at `now`; whether it is one that was not known.
    pub fn add(&mut self, point: Health, now: Timestamp) -> bool {
        let is_ahead = |time: Timestamp| time.seconds_since(now) > AHEAD_S;
        self.0.retain(|held| !is_ahead(held.time));
        if is_ahead(point.time) || self.last().is_some_and(|last| last.time >= point.time) {
            return false;
        }
        let newest = point.time;
        self.0.push(point);
        let day = |point: &Health| point.time.0.div_euclid(DAY_S);
        let mut later = None;
        let mut kept: Vec<Health> = Vec::with_capacity(self.0.len());
        for point in self.0.drain(..).rev() {
            let is_fine =
                newest.seconds_since(point.time) < FINE_S && kept.len() < limits::HEALTH_FINE_POINTS;
            if is_fine || later != Some(day(&point)) {
                later = Some(day(&point));
                kept.push(point);
            }
        }
        kept.truncate(limits::HEALTH_POINTS);
        kept.reverse();
        self.0 = kept;
        true
    }

    /// The document that holds them.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        wire::write(&self.0)
    }

    /// Reads [`Points::to_body`].
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        wire::read(body, limits::DOCUMENT_BYTES).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use cordon_proto::health::ClockState;
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Health {
        Health {
            time: Timestamp(seconds),
            uptime_s: None,
            disks: vec![],
            drives: vec![],
            hottest_mc: None,
            memory_bytes: None,
            available_bytes: None,
            corrected: None,
            uncorrected: None,
            clock: ClockState::default(),
            boots: 0,
            starts: 0,
            crashes: None,
            memory_kills: None,
            restarts: None,
        }
    }

    fn times(points: &Points) -> Vec<i64> {
        points.all().iter().map(|point| point.time.0).collect()
    }

    #[test]
    fn two_days_stand_whole_and_before_them_one_point_a_day() {
        // Goal: a line through months from few points. Method: a point each hour for 400 days.
        let mut points = Points::default();
        for hour in 0..400 * 24 {
            assert!(points.add(at(hour * 3600), Timestamp(hour * 3600)));
        }
        let last = (400 * 24 - 1) * 3600;
        let times = times(&points);
        assert_eq!(times.len(), limits::HEALTH_POINTS);
        let fine = times.iter().filter(|time| last - **time < FINE_S).count();
        assert_eq!(fine, 48);
        let coarse: Vec<i64> = times.iter().copied().filter(|time| last - *time >= FINE_S).collect();
        assert!(coarse.windows(2).all(|pair| pair[1] - pair[0] == DAY_S), "{coarse:?}");
        assert_eq!(Points::from_body(&points.to_body()), Some(points));
    }

    #[test]
    fn what_comes_twice_or_from_the_future_adds_nothing() {
        // Goal: records are delivered at least once, and clocks jump. Method: a repetition, a jump ahead, the way back.
        let mut points = Points::default();
        assert!(points.add(at(1000), Timestamp(1000)));
        assert!(!points.add(at(1000), Timestamp(1100)), "twice");
        assert!(!points.add(at(900), Timestamp(1100)), "late");
        assert!(!points.add(at(1100 + AHEAD_S + 1), Timestamp(1100)), "ahead");
        assert_eq!(times(&points), [1000]);
        let mut points = Points(vec![at(1000), at(90_000)]);
        assert!(points.add(at(2000), Timestamp(2000)), "a point that lay in the future held it up");
        assert_eq!(times(&points), [1000, 2000]);
    }

    proptest! {
        #[test]
        fn points_are_few_and_in_order_whatever_comes(steps in prop::collection::vec((0_i64..200_000, -5000_i64..5000), 0..400)) {
            let (mut points, mut now) = (Points::default(), 0);
            for (step, skew) in steps {
                now += step;
                points.add(at(now + skew), Timestamp(now));
                let times = times(&points);
                prop_assert!(times.is_sorted_by(|one, other| one < other));
                prop_assert!(times.len() <= limits::HEALTH_POINTS);
            }
        }
    }
}
