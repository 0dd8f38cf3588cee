//! The detector `volume`, where the device's own weeks are the measure: far more than it ever carried at this hour of the week.
//!
//! Bytes are summed over half an hour, each way, with its own network and with the internet; long connections are told that
//! often. While the profile learns, the most of each hour of the week is kept as a level (quarters of a doubling), and of all
//! windows that carried anything the moving mean and mean deviation (Roberts 1959; the deviation for the spread, as in RFC 6298). Told is
//! what lies, two windows in a row, above three times the most of this hour and its neighbours, and well above the mean: a
//! naive sum of such surplus gave 0.4 false alarms a device-day, so none is made. A week at least is learned. An hour that was never watched is measured
//! by the most of all hours. Flows that stay on the device count nothing. Read next: [`super::flood`] for what needs no measure.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::telemetry::{Direction, Finding, Severity};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::wire::WireError;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::ledger::{Detector, Ledger};
use super::words::{Judgement, experience, moment};
use crate::flow::Flow;
use crate::profile::Profile;
use crate::profile::key::is_local;

/// Seconds of a window: as often as a long connection is told.
const WINDOW_S: i64 = cordon_proto::limits::FLOW_ACTIVE_S;
const HOURS: usize = 168;
/// Out to the internet, out to its own network, and the same inwards.
const WAYS: usize = 4;
/// Bytes of a window below which nothing is much.
const LITTLE: u64 = 8 * 1024 * 1024;
/// Levels of three times as much, rounded up: 2^(7/4) is 3.4.
const THREE_TIMES: u8 = 7;
/// Mean deviations above the mean, in which a window must lie too.
const DEVIATIONS: i32 = 2;
/// Windows of a week, of which at least there are measures.
const WEEK: u32 = 336;
/// Windows in a row.
const ROW: u8 = 2;
/// A new window has its share in the moving figures as one of so many, at last.
const SHARE: i32 = 512;

/// What was learned of volumes, kept with the profile.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Usual {
    /// The level of the most of each hour of the week, way by way; 0 where it was never watched.
    #[n(0)]
    most: ByteVec,
    /// Mean and mean deviation of the levels, in 256ths, and how many they are of, way by way.
    #[n(1)]
    mean: [(i32, i32, i32); WAYS],
    /// Windows that were learned.
    #[n(2)]
    windows: u32,
}

impl Default for Usual {
    fn default() -> Self {
        Self { most: ByteVec::from(alloc::vec![0; WAYS * HOURS]), mean: [(0, 0, 0); WAYS], windows: 0 }
    }
}

impl Usual {
    /// What was learned if it keeps its shape, as it must after it was read back.
    pub fn bounded(self) -> Result<Self, WireError> {
        let sane = |(mean, deviation, of): &(i32, i32, i32)| {
            [mean, deviation].into_iter().all(|figure| (0..=0xffff).contains(figure))
                && (0..=SHARE).contains(of)
        };
        let fits = self.most.len() == WAYS * HOURS && self.mean.iter().all(sane);
        if fits { Ok(self) } else { Err(WireError::Malformed) }
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.most.capacity()
    }

    fn learn(&mut self, way: usize, hour: usize, level: u8) {
        if let Some(most) = self.most.get_mut(way * HOURS + hour) {
            *most = level.max(*most);
        }
        if let Some((mean, deviation, of)) = self.mean.get_mut(way).filter(|_| level > 1) {
            *of = of.saturating_add(1).clamp(1, SHARE);
            let away = (i32::from(level) << 8) - *mean;
            *mean += away / *of;
            // The first one lies on the mean.
            *deviation += (if *of == 1 { 0 } else { away.abs() } - *deviation) / *of;
        }
    }

    /// The level above which a window is far more than usual.
    fn bar(&self, way: usize, hour: usize) -> u8 {
        let of = |hour: usize| self.most.get(way * HOURS + hour % HOURS).copied().unwrap_or(0);
        let near = [hour + HOURS - 1, hour, hour + 1].map(of);
        let most = if near.contains(&0) { (0..HOURS).map(of).max() } else { near.into_iter().max() };
        let (mean, deviation, _) = self.mean.get(way).copied().unwrap_or_default();
        let spread =
            u8::try_from(mean.saturating_add(deviation.saturating_mul(DEVIATIONS)) >> 8).unwrap_or(u8::MAX);
        most.unwrap_or(0).saturating_add(THREE_TIMES).max(spread)
    }
}

/// The window that is open.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    window: Option<i64>,
    bytes: [u64; WAYS],
    row: [u8; WAYS],
}

impl Volumes {
    /// Takes what a flow carried since it was last told.
    pub fn carried(&mut self, flow: &Flow) {
        let local = usize::from(is_local(flow.tuple.remote.address));
        for (place, bytes) in [(local, flow.traffic.bytes_out), (2 + local, flow.traffic.bytes_in)] {
            if let Some(sum) = self.bytes.get_mut(place) {
                *sum = sum.saturating_add(bytes);
            }
        }
    }

    /// Lets time pass: a window that is over is learned, or held against what was. A clock that is set begins a new window.
    pub fn pass(
        &mut self,
        (usual, profile): (&mut Usual, &Profile),
        ledger: &mut Ledger,
        now: Millis,
    ) -> Option<Finding> {
        let window = now.seconds().0.div_euclid(WINDOW_S);
        let before = self.window.replace(window);
        if before == Some(window) {
            return None;
        }
        let bytes = core::mem::take(&mut self.bytes);
        if before != Some(window.saturating_sub(1)) {
            self.row = [0; WAYS];
            return None;
        }
        let (day, second) = Timestamp((window - 1).saturating_mul(WINDOW_S)).week();
        let hour = usize::try_from(day * 24 + second / 3600).unwrap_or(0);
        // Who had a profile before volumes were learned is measured against a week of its own.
        let learns = profile.learns() || usual.windows < WEEK;
        usual.windows = usual.windows.saturating_add(u32::from(learns));
        let mut finding = None;
        for (way, (bytes, row)) in bytes.into_iter().zip(&mut self.row).enumerate() {
            let level = level(bytes);
            if learns {
                usual.learn(way, hour, level);
                continue;
            }
            let bar = usual.bar(way, hour);
            *row = if bytes >= LITTLE && level > bar { row.saturating_add(1) } else { 0 };
            if *row >= ROW && finding.is_none() {
                finding = tell(way, (bytes, amount(bar)), (profile, ledger), now.seconds());
            }
        }
        finding
    }
}

/// Quarters of a doubling: 1 for nothing, 4 more for twice as much.
fn level(bytes: u64) -> u8 {
    let Some(log) = bytes.checked_ilog2() else { return 1 };
    let quarter = if log >= 2 { (bytes >> (log - 2)) & 3 } else { 0 };
    u8::try_from(u64::from(log) * 4 + quarter).unwrap_or(u8::MAX).saturating_add(2).min(254)
}

/// About the bytes of a level.
fn amount(level: u8) -> u64 {
    let steps = u32::from(level.saturating_sub(2));
    let whole = 1_u64.checked_shl(steps / 4).unwrap_or(u64::MAX);
    whole.saturating_add((whole / 4).saturating_mul(u64::from(steps % 4)))
}

fn tell(
    way: usize,
    (bytes, bar): (u64, u64),
    (profile, ledger): (&Profile, &mut Ledger),
    now: Timestamp,
) -> Option<Finding> {
    let direction = if way < 2 { Direction::Outbound } else { Direction::Inbound };
    let local = way % 2 == 1;
    let with = if local { "its own network" } else { "the internet" };
    let (word, does, title, attack): (_, _, _, &'static [&'static str]) = match direction {
        Direction::Outbound => ("out", "sent to", "Sends far more than it usually does", &["T1048", "T1030"]),
        Direction::Inbound => {
            ("in", "received from", "Receives far more than it usually does", &["T1105", "T1499"])
        }
    };
    let key = format!("{word}/{}", if local { "network" } else { "internet" });
    let tally = ledger.count(Detector::Volume, &key, now)?;
    let judgement = Judgement {
        detector: Detector::Volume,
        peer: None,
        severity: if local { Severity::Low } else { Severity::Medium },
        attack,
        evidence: Vec::from([("bytes", bytes.to_string()), ("bar", bar.to_string()), ("window-s", WINDOW_S.to_string())]),
        title: title.to_string(),
        what_changed: format!(
            "Since {} this device {does} {with} {} in half an hour, for an hour at least. What is still usual at this hour of the week, after {}, is {}.",
            moment(tally.first),
            megabytes(bytes),
            experience(profile),
            megabytes(bar)
        ),
        why_it_matters: "Much more than ever is how data leaves a device, and how a device is used for what is not its work.",
        how_sure: "Medium: the sums are exact, and three times the most of this hour is rare; a new task may be as rare.".to_string(),
        what_to_do: "Look at the device's peers of this hour, and quarantine it if nobody knows the one that took most. An update, an export or an archive run looks the same.".to_string(),
    };
    Some(judgement.finding(&tally))
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests;
