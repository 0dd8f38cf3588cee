//! The health of a machine: what will break, and about when, before it does.
//!
//! From the few points that are kept of a device to findings of the detector `host`: a disk that fills on a day, a drive at
//! the end of its life, heat above the device's own usual, a clock that drifts, a machine or a service that starts again and
//! again, memory that errs. A figure that is absent says nothing, good or bad. What is no longer so is not in the answer, and its finding
//! closes by itself; what is open stays until it is clearly over, so that nothing flickers. Read next: [`trend`] for the
//! mathematics with its sources, `words` for what people are told.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cordon_proto::health::{Disk, Drive, Health, Service, loop_steps};
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use self::trend::{LEAST, Point, Rise, rise, usual};
use self::words::{Ail, Told};
use crate::triage;

#[cfg(test)]
mod tests;
mod trend;
mod words;

/// The detector of these findings.
pub const DETECTOR: &str = "host";
/// What every key of these findings begins with, so that none of another check is closed with them.
const KEY: &str = "health ";

const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;
/// A disk that fills within so many days is told of; one that is open stays while it would fill within twice as many.
const FILLS_DAYS: f64 = 30.0;
/// The same where only the last two days show it.
const FILLS_SOON_DAYS: f64 = 4.0;
/// Percent of a disk from which it is full in all but name, and from which that is over.
const FULL: (u64, u64) = (95, 92);
/// Percent of a drive's stated life, and days ahead of its end.
const WORN: u8 = 90;
const WORN_DAYS: f64 = 180.0;
/// Degrees above the usual that are heat at least, and how many spreads; degrees that are heat anywhere.
const HEAT: (f64, f64) = (12.0, 5.0);
const HOT: f64 = 95.0;
/// Seconds that a clock may be off, and days ahead of when it will be.
const CLOCK_S: f64 = 60.0;
const CLOCK_DAYS: f64 = 14.0;
/// Starts of the machine within a day that are a loop, and from which it is over; the same of the agent alone.
const BOOTS: (u64, u64) = (5, 2);
const STARTS: (u64, u64) = (8, 3);
/// Restarts of a service from which its loop is over; proto says from which it is one.
const CALM_RESTARTS: u32 = 2;
/// Days before from which the usual of a service is known.
const DAYS_USUAL: usize = 3;
/// Blocks that a flash gave up within [`BLOCKS_DAYS`], and from which that is over: a few do in any flash's life.
const BLOCKS: (u64, u64) = (4, 1);
const BLOCKS_DAYS: f64 = 30.0;
/// Errors of memory that were put right within a day (Schroeder, Pinheiro and Weber, 2009: they foretell those that cannot be).
const CORRECTED: (u64, u64) = (100, 10);

/// What ails a device now, by the points that are kept of it and what is open already.
#[must_use]
pub fn judge<'a>(points: &[Health], open: impl IntoIterator<Item = &'a triage::Record>) -> Vec<Finding> {
    let Some(last) = points.last() else { return Vec::new() };
    let is_open = |record: &&triage::Record| record.finding.detector.as_str() == DETECTOR && record.weighs();
    let open: BTreeSet<&str> =
        open.into_iter().filter(is_open).map(|record| record.finding.key.as_str()).collect();
    let case = Case { points, last, open };
    let mut told = Vec::new();
    for disk in &last.disks {
        told.extend(case.disk(disk));
    }
    told.extend(case.drives());
    told.extend(case.heat());
    told.extend(case.clock());
    told.extend(case.restarts());
    told.extend(case.services());
    told.extend(case.memory());
    told.into_iter().map(|told| told.finding(last.time)).collect()
}

/// The findings of this check that are open and no longer so.
pub fn passed<'a>(
    open: impl IntoIterator<Item = &'a triage::Record>,
    found: &[Finding],
) -> impl Iterator<Item = &'a triage::Record> {
    let mine = |record: &&triage::Record| {
        let finding = &record.finding;
        let is_ours = finding.detector.as_str() == DETECTOR && finding.key.as_str().starts_with(KEY);
        is_ours && record.weighs() && !found.iter().any(|found| found.key == finding.key)
    };
    open.into_iter().filter(mine)
}

/// The reason with which such a finding closes.
pub const PASSED: &str = "the machine's own figures no longer show it";

struct Case<'a> {
    points: &'a [Health],
    last: &'a Health,
    open: BTreeSet<&'a str>,
}

impl Case<'_> {
    fn is_open(&self, key: &str) -> bool {
        self.open.contains(key)
    }

    /// The points of one figure in the last so many seconds; of each stretch of time the last one.
    fn series(&self, over_s: f64, every_s: f64, pick: impl Fn(&Health) -> Option<f64>) -> Vec<Point> {
        let mut series: Vec<Point> = Vec::new();
        let now = seconds(self.last.time);
        for point in self.points {
            let at = seconds(point.time) - now;
            let Some(value) = pick(point).filter(|_| at >= -over_s) else { continue };
            let same = |earlier: &Point| libm::floor(earlier.0 / every_s) == libm::floor(at / every_s);
            if series.last().is_some_and(same) {
                series.pop();
            }
            series.push((at, value));
        }
        series
    }

    /// A line through weeks, or, where there is none, through the last two days, with the days ahead that it speaks for.
    fn line(&self, pick: impl Fn(&Health) -> Option<f64> + Copy) -> Option<(Rise, f64)> {
        let weeks = rise(&self.series(60.0 * DAY_S, DAY_S, pick)).map(|rise| (rise, FILLS_DAYS));
        weeks.or_else(|| rise(&self.series(2.0 * DAY_S, HOUR_S, pick)).map(|rise| (rise, FILLS_SOON_DAYS)))
    }

    fn disk(&self, disk: &Disk) -> Vec<Told> {
        let same = |point: &Health| point.disks.iter().find(|other| other.mount == disk.mount).cloned();
        let mut told = Vec::new();
        for files in [false, true] {
            let of =
                |disk: &Disk| if files { (disk.files_used, disk.files) } else { (disk.used, disk.bytes) };
            let (used, whole) = of(disk);
            if whole == 0 || disk.read_only {
                continue;
            }
            let key = alloc::format!("{KEY}{} {}", if files { "files" } else { "disk" }, disk.mount);
            let full_at = if self.is_open(&key) { FULL.1 } else { FULL.0 };
            if percent(used, whole) >= full_at {
                told.push(Told::new(key, Ail::Full { disk: disk.clone(), files }));
                continue;
            }
            let line = self.line(|point| same(point).map(|disk| figure(of(&disk).0)));
            let Some((rise, days)) = line else { continue };
            let days = if self.is_open(&key) { days * 2.0 } else { days };
            let left = rise.reaches(figure(whole));
            if left <= days * DAY_S {
                let (soonest, over_s) = (rise.soonest(figure(whole)), rise.over_s);
                told.push(Told::new(key, Ail::Fills { disk: disk.clone(), files, left, soonest, over_s }));
            }
        }
        told.extend(self.file_system(disk));
        told
    }

    /// What was writable and is not, and errors that the file system counted within a week.
    fn file_system(&self, disk: &Disk) -> Vec<Told> {
        let before = self.points.iter().filter_map(|point| {
            let own = point.disks.iter().find(|other| other.mount == disk.mount)?;
            Some((seconds(self.last.time) - seconds(point.time), own))
        });
        let mut told = Vec::new();
        if disk.read_only && before.clone().any(|(_, own)| !own.read_only) {
            let key = alloc::format!("{KEY}read-only {}", disk.mount);
            told.push(Told::new(key, Ail::ReadOnly { mount: disk.mount.clone() }));
        }
        let week = before.filter(|(ago, _)| *ago <= 7.0 * DAY_S);
        let least = week.filter_map(|(_, own)| own.errors).min();
        if let (Some(now), Some(least)) = (disk.errors, least)
            && now > least
        {
            let key = alloc::format!("{KEY}file-system {}", disk.mount);
            let errors = now.saturating_sub(least);
            told.push(Told::new(key, Ail::FileSystem { mount: disk.mount.clone(), errors }));
        }
        told
    }

    fn drives(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for drive in &self.last.drives {
            if drive.failing == Some(true) {
                let key = alloc::format!("{KEY}drive {}", drive.name);
                told.push(Told::new(key, Ail::Failing { drive: drive.name.clone() }));
            }
            told.extend(self.flash(drive));
            let Some(worn) = drive.worn_percent else { continue };
            let of = |point: &Health| {
                let own = point.drives.iter().find(|other| other.name == drive.name)?;
                own.worn_percent.map(f64::from)
            };
            // Wear is told in steps, of ten percent mostly: the line is drawn through the steps alone.
            let mut steps = self.series(f64::MAX, DAY_S, of);
            steps.dedup_by(|later, earlier| later.1 == earlier.1);
            let left = match (steps.get(1), steps.last()) {
                (Some(first), Some(last)) if steps.len() >= 3 && last.1 > first.1 => {
                    Some(((100.0 - last.1) * (last.0 - first.0) / (last.1 - first.1) + last.0).max(0.0))
                }
                _ => None,
            };
            if worn >= WORN || left.is_some_and(|left| left <= WORN_DAYS * DAY_S) {
                let key = alloc::format!("{KEY}wear {}", drive.name);
                told.push(Told::new(key, Ail::Worn { drive: drive.name.clone(), worn, left }));
            }
        }
        told
    }

    /// Reads that came back wrong within a week, and blocks given up within a month: flash that nears its end does both.
    fn flash(&self, drive: &Drive) -> Option<Told> {
        let of = |point: &Health, pick: fn(&Drive) -> Option<u64>| {
            pick(point.drives.iter().find(|other| other.name == drive.name)?)
        };
        let key = alloc::format!("{KEY}flash {}", drive.name);
        let lost = rises(&self.within(7.0 * DAY_S), |point| of(point, |drive| drive.lost)).unwrap_or(0);
        let blocks = rises(&self.within(BLOCKS_DAYS * DAY_S), |point| of(point, |drive| drive.bad_blocks));
        let blocks = blocks.unwrap_or(0);
        let from = if self.is_open(&key) { BLOCKS.1 } else { BLOCKS.0 };
        let ail = Ail::Flash { drive: drive.name.clone(), lost, blocks };
        (lost > 0 || blocks >= from).then(|| Told::new(key, ail))
    }

    fn heat(&self) -> Option<Told> {
        let degrees = |point: &Health| {
            point.hottest_mc.and_then(|mc| i32::try_from(mc).ok()).map(|mc| f64::from(mc) / 1000.0)
        };
        let lately = self.series(6.0 * HOUR_S, 60.0, degrees);
        let before: Vec<f64> = self
            .series(60.0 * DAY_S, HOUR_S, degrees)
            .iter()
            .filter(|(at, _)| *at < -DAY_S)
            .map(|(_, value)| *value)
            .collect();
        let mut values: Vec<f64> = lately.iter().map(|(_, value)| *value).collect();
        if values.len() < 3 {
            return None;
        }
        let now = trend::median(&mut values)?;
        let key = alloc::format!("{KEY}heat");
        let (more, spreads) = HEAT;
        // What is open stays until half of it is gone.
        let share = if self.is_open(&key) { 0.5 } else { 1.0 };
        let usual = usual(&before).filter(|_| before.len() >= LEAST);
        let limit = usual.map(|(middle, spread)| middle + share * more.max(spreads * spread));
        let hot = HOT - if share < 1.0 { 5.0 } else { 0.0 };
        let is_hot = now >= hot || limit.is_some_and(|limit| now >= limit);
        is_hot.then(|| Told::new(key, Ail::Heat { now, usual: usual.map(|(middle, _)| middle) }))
    }

    fn clock(&self) -> Option<Told> {
        let off = |point: &Health| {
            point.clock.ahead_ms.and_then(|ms| i32::try_from(ms).ok()).map(|ms| f64::from(ms) / 1000.0)
        };
        let ahead = off(self.last)?;
        let key = alloc::format!("{KEY}clock");
        let limit = if self.is_open(&key) { CLOCK_S / 2.0 } else { CLOCK_S };
        if libm::fabs(ahead) >= limit {
            return Some(Told::new(key, Ail::Clock { ahead, left: None }));
        }
        let away = |point: &Health| off(point).map(libm::fabs);
        let rise = rise(&self.series(30.0 * DAY_S, 6.0 * HOUR_S, away))?;
        let left = rise.reaches(CLOCK_S);
        (left <= CLOCK_DAYS * DAY_S).then(|| Told::new(key, Ail::Clock { ahead, left: Some(left) }))
    }

    fn restarts(&self) -> Vec<Told> {
        let day: Vec<&Health> = self.within(DAY_S);
        let Some(first) = day.first() else { return Vec::new() };
        let boots = self.last.boots.saturating_sub(first.boots);
        let starts = self.last.starts.saturating_sub(first.starts).saturating_sub(boots);
        let mut told = Vec::new();
        for (what, count, (from, over)) in [("boots", boots, BOOTS), ("starts", starts, STARTS)] {
            let key = alloc::format!("{KEY}{what}");
            let from = if self.is_open(&key) { over } else { from };
            if count >= from {
                told.push(Told::new(key, Ail::Restarts { machine: what == "boots", count }));
            }
        }
        told
    }

    /// Services in a loop of starts; one that is gone since stays told.
    fn services(&self) -> Vec<Told> {
        let Some(now) = &self.last.restarts else { return Vec::new() };
        let mut told = Vec::new();
        for service in &now.services {
            let key = alloc::format!("{KEY}service {}", service.name);
            let goes_on = self.is_open(&key) && (service.down || service.restarts >= CALM_RESTARTS);
            if loop_steps(service.restarts) > 0 || goes_on {
                let (over_s, missed) = (now.over_s, now.missed);
                let usual = self.usual_restarts(service);
                told.push(Told::new(key, Ail::Service { service: service.clone(), over_s, missed, usual }));
            }
        }
        told
    }

    /// How often a service was started anew on a usual day before the last two; `None` where too few days are known.
    fn usual_restarts(&self, service: &Service) -> Option<u32> {
        let of = |point: &Health| {
            let told = &point.restarts.as_ref()?.services;
            let own = told.iter().find(|other| other.name == service.name);
            Some(own.map_or(0.0, |own| f64::from(own.restarts)))
        };
        let days = self.series(30.0 * DAY_S, DAY_S, of);
        let mut before: Vec<f64> =
            days.iter().filter(|(at, _)| *at < -2.0 * DAY_S).map(|(_, value)| *value).collect();
        let usual = trend::median(&mut before).filter(|_| before.len() >= DAYS_USUAL)?;
        Some(whole(usual))
    }

    fn memory(&self) -> Vec<Told> {
        let day = self.within(DAY_S);
        let mut told = Vec::new();
        let key = alloc::format!("{KEY}memory");
        let lost = self.last.uncorrected.unwrap_or(0);
        let mended = rises(&day, |point| point.corrected).unwrap_or(0);
        let from = if self.is_open(&key) { CORRECTED.1 } else { CORRECTED.0 };
        if lost > 0 || mended >= from {
            told.push(Told::new(key, Ail::Memory { lost, mended }));
        }
        let kills = rises(&day, |point| point.memory_kills).unwrap_or(0);
        if kills > 0 {
            told.push(Told::new(alloc::format!("{KEY}memory-short"), Ail::MemoryShort { kills }));
        }
        told
    }

    fn within(&self, over_s: f64) -> Vec<&Health> {
        let now = seconds(self.last.time);
        self.points.iter().filter(|point| now - seconds(point.time) <= over_s).collect()
    }
}

/// By how much a counter rose over some points. Counters begin anew with the machine, so what fell is counted from nothing.
fn rises(points: &[&Health], pick: impl Fn(&Health) -> Option<u64>) -> Option<u64> {
    let mut sum = None;
    let mut before: Option<u64> = None;
    for value in points.iter().filter_map(|point| pick(point)) {
        if let Some(before) = before {
            let more = value.checked_sub(before).unwrap_or(value);
            sum = Some(more.saturating_add(sum.unwrap_or(0)));
        }
        before = Some(value);
    }
    sum
}

/// A count of restarts again, as one counts.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float stops at the ends of the type"
)]
fn whole(figure: f64) -> u32 {
    figure as u32
}

/// Percent of a whole, rounded down.
fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

/// A count as a figure to reckon with; a petabyte is exact to a few bytes.
#[expect(clippy::cast_precision_loss, reason = "a trend needs no last byte")]
fn figure(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "seconds of our age fit a double exactly")]
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64
}

/// The severity by how many days are left.
fn by_days(days: f64) -> Severity {
    if days <= 3.0 { Severity::Medium } else { Severity::Low }
}
