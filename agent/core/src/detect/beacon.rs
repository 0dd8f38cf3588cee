//! The detector `beacon`: regular calls to a peer that the learned profile does not hold.
//!
//! Only the starts of outbound connections are used, and only to peers that are not usual, so the heartbeat of a medical
//! device is never its own top finding. The score has four parts after RITA v5 (activecm/rita, analysis of timestamps):
//! symmetry of the intervals (Bowley), their spread (median absolute deviation), the share near the median, and how much
//! of the watched span the rhythm fills. Symmetry of so few intervals is noisy and weighs a tenth, the others three; few
//! starts need a higher score. Simulated, that reports 0.1 % of random (exponential) callers over 64 calls, and 99.8 % of
//! beacons with 20 % jitter within 25. All in thousandths, by integers. Bounded in peers and starts.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Finding, Protocol, Severity};
use cordon_proto::time::Timestamp;

use super::Thresholds;
use super::ledger::{Detector, Ledger, Tally};
use super::words::{self, Judgement, experience, moment, period};
use crate::flow::Flow;
use crate::profile::key::{is_local, protocol_word};
use crate::profile::{Knowledge, Profile};

/// Starts below which there is no rhythm.
pub(super) const LEAST_STARTS: usize = 10;
/// The score from which a rhythm of many starts is reported, unless the owner's content says otherwise.
pub(super) const USUAL_SCORE: u32 = 800;
/// Seconds of watching below which there is no rhythm.
const LEAST_SPAN_S: u32 = 300;
/// Starts from which the score is taken as it is.
const MANY_STARTS: usize = 20;
/// Seconds after which a start is forgotten.
const MEMORY_S: i64 = 24 * 3600;
/// Seconds in which calls are counted to tell who is called often.
const BUSY_S: i64 = 3600;
const _: () =
    assert!(limits::CONTENT_BEACON_STARTS_MOST < 24, "an hourly beacon can be reported within a day");

/// One watched destination.
#[derive(Clone, Debug)]
struct Track {
    peer: String,
    protocol: Protocol,
    port: u16,
    /// Seconds of the starts, rising.
    starts: Vec<i64>,
}

/// The rhythm of a destination's starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// Starts it rests on.
    pub starts: usize,
    /// Seconds from the first to the last.
    pub span_s: u32,
    /// Median interval.
    pub interval_s: u32,
    /// Median absolute deviation of the intervals.
    pub deviation_s: u32,
    /// Symmetry, spread, steadiness and filling, in thousandths.
    pub parts: [u32; 4],
    /// Their weighted mean.
    pub score: u32,
}

impl Rhythm {
    /// The score from which this many starts are reported: 800, and 5 more for each start below twenty.
    #[must_use]
    pub fn reported_from(&self) -> u32 {
        let missing = MANY_STARTS.saturating_sub(self.starts);
        USUAL_SCORE + 5 * u32::try_from(missing).unwrap_or(0)
    }
}

/// The watched destinations.
#[derive(Clone, Debug, Default)]
pub struct Beacons {
    tracks: Vec<Track>,
}

impl Beacons {
    /// Takes the beginning of a flow.
    pub fn observe(
        &mut self,
        flow: &Flow,
        (profile, thresholds): (&Profile, &Thresholds),
        ledger: &mut Ledger,
        now: Timestamp,
    ) -> Option<Finding> {
        let unusual = profile.knows(flow, &[]) != Knowledge::Known;
        if flow.direction != Direction::Outbound || !unusual {
            return None;
        }
        let track = self.track(flow);
        track.note(flow.start.seconds().0);
        let rhythm = rhythm(&track.starts).filter(|rhythm| rhythm.starts >= thresholds.beacon_starts)?;
        let from = (rhythm.reported_from() + thresholds.beacon_score).saturating_sub(USUAL_SCORE);
        if rhythm.score < from {
            return None;
        }
        let key = format!("{}/{}/{}", protocol_word(track.protocol), track.port, track.peer);
        let tally = ledger.count(Detector::Beacon, &key, now)?;
        let since = Timestamp(track.starts.first().copied().unwrap_or(now.0)).min(tally.first);
        let judgement = judge(flow, (&rhythm, from), (&tally, profile), since);
        Some(Finding { first: since, ..judgement.finding(&tally) })
    }

    /// Whether a flow's destination was called so often within the last hour.
    #[must_use]
    pub fn is_busy(&self, flow: &Flow, starts: usize) -> bool {
        let now = flow.start.seconds().0;
        let peer = words::peer(flow);
        let track = self.tracks.iter().find(|track| track.is_of(&peer, flow));
        let recent = |track: &Track| track.starts.iter().filter(|start| now - **start <= BUSY_S).count();
        track.is_some_and(|track| recent(track) >= starts)
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let held = |track: &Track| track.peer.capacity() + track.starts.capacity() * size_of::<i64>();
        self.tracks.capacity() * size_of::<Track>() + self.tracks.iter().map(held).sum::<usize>()
    }

    /// The track of a flow's destination. Where there is no room, the one with the fewest and then the oldest starts
    /// goes, so that a burst of other destinations does not wipe out a rhythm.
    fn track(&mut self, flow: &Flow) -> &mut Track {
        let (peer, port, protocol) = (words::peer(flow), flow.service_port(), flow.tuple.protocol);
        let place = self.tracks.iter().position(|track| track.is_of(&peer, flow)).unwrap_or_else(|| {
            let worth = |(_, track): &(usize, &Track)| (track.starts.len(), track.starts.last().copied());
            let least = self.tracks.iter().enumerate().min_by_key(worth).map(|(place, _)| place);
            if let (true, Some(least)) = (self.tracks.len() >= limits::BEACON_TRACKS, least) {
                self.tracks.swap_remove(least);
            }
            self.tracks.push(Track { peer, protocol, port, starts: Vec::new() });
            self.tracks.len() - 1
        });
        self.tracks.get_mut(place).expect("it was found or pushed just now")
    }
}

impl Track {
    fn is_of(&self, peer: &str, flow: &Flow) -> bool {
        self.port == flow.service_port() && self.protocol == flow.tuple.protocol && self.peer == peer
    }

    /// Notes a start. Those of one second are one: parallel connections are one call.
    fn note(&mut self, second: i64) {
        if self.starts.last().is_some_and(|last| second <= last.saturating_add(1)) {
            return;
        }
        self.starts.retain(|start| second - start <= MEMORY_S);
        if self.starts.len() >= limits::BEACON_STARTS {
            self.starts.remove(0);
        }
        self.starts.push(second);
    }
}

/// The rhythm of rising starts in seconds; `None` where there are too few, or too little time.
#[must_use]
pub fn rhythm(starts: &[i64]) -> Option<Rhythm> {
    let (first, last) = (starts.first()?, starts.last()?);
    let span_s = u32::try_from(last.saturating_sub(*first)).ok()?;
    if starts.len() < LEAST_STARTS || span_s < LEAST_SPAN_S {
        return None;
    }
    let mut intervals: Vec<u32> = starts
        .windows(2)
        .filter_map(|pair| match pair {
            [earlier, later] => u32::try_from(later.saturating_sub(*earlier)).ok(),
            _ => None,
        })
        .collect();
    intervals.sort_unstable();
    let median = quartile(&intervals, 2)?.max(1);
    let mut deviations: Vec<u32> = intervals.iter().map(|interval| interval.abs_diff(median)).collect();
    deviations.sort_unstable();
    let deviation = quartile(&deviations, 2)?;
    let near = intervals.iter().filter(|interval| interval.abs_diff(median) <= median / 4).count();
    let parts = [
        symmetry(quartile(&intervals, 1)?, median, quartile(&intervals, 3)?),
        1000_u32.saturating_sub(per_mille(u64::from(deviation), u64::from(median))),
        per_mille(as_u64(near), as_u64(intervals.len())),
        per_mille(u64::from(median) * as_u64(intervals.len()), u64::from(span_s)),
    ];
    let [symmetry, spread, steadiness, filling] = parts;
    let score = (symmetry + 3 * (spread + steadiness + filling)) / 10;
    Some(Rhythm { starts: starts.len(), span_s, interval_s: median, deviation_s: deviation, parts, score })
}

/// One less the absolute Bowley skewness. Quartiles that lie within an eighth of the median, or two seconds, count as
/// symmetrical: the polling second would skew them.
fn symmetry(low: u32, median: u32, high: u32) -> u32 {
    let width = high.saturating_sub(low);
    if width <= (median / 8).max(2) {
        return 1000;
    }
    let (below, above) = (u64::from(median.saturating_sub(low)), u64::from(high.saturating_sub(median)));
    1000_u32.saturating_sub(per_mille(below.abs_diff(above), u64::from(width)))
}

/// `part / whole` in thousandths, at most 1000.
fn per_mille(part: u64, whole: u64) -> u32 {
    let share = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    u32::try_from(share.min(1000)).unwrap_or(1000)
}

/// The value a quarter, half or three quarters of the way through a sorted list.
fn quartile(sorted: &[u32], quarter: usize) -> Option<u32> {
    sorted.get(sorted.len().saturating_sub(1) * quarter / 4).copied()
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn judge(
    flow: &Flow,
    (rhythm, from): (&Rhythm, u32),
    (tally, profile): (&Tally, &Profile),
    since: Timestamp,
) -> Judgement {
    let peer = words::peer(flow);
    let named = words::shortened(&peer);
    let port = flow.service_port();
    let every = period(rhythm.interval_s);
    let local = is_local(flow.tuple.remote.address);
    let place = if local { "local" } else { "outside" };
    let title = if tally.is_common() {
        "Calls many new addresses at regular times".to_string()
    } else {
        format!("Calls one {place} address every {every}")
    };
    let strong = rhythm.score >= 900 && rhythm.starts >= MANY_STARTS;
    Judgement {
        detector: Detector::Beacon,
        severity: if local { Severity::Medium } else { Severity::High },
        attack: &["T1071", "T1573"],
        evidence: evidence(rhythm, port),
        title,
        what_changed: format!(
            "Since {} this device opens a connection to {named} port {port} every {every}, {} seen. It never did in {}.",
            moment(since),
            rhythm.starts,
            experience(profile)
        ),
        why_it_matters: "Regular calls to an unknown address are how a device asks for orders from someone who should not give any.",
        how_sure: format!(
            "{}: the intervals differ by {} s at the median, rhythm {} of 1000, reported from {}.",
            if strong { "High" } else { "Medium" },
            rhythm.deviation_s,
            rhythm.score,
            from
        ),
        what_to_do: format!(
            "Quarantine the device unless the maker or IT knows {named}. Update checks and status services also call regularly: if it is one, press Allow."
        ),
        peer: Some(peer),
    }
}

fn evidence(rhythm: &Rhythm, port: u16) -> Vec<(&'static str, String)> {
    let [symmetry, spread, steadiness, filling] = rhythm.parts;
    Vec::from([
        ("port", port.to_string()),
        ("starts", rhythm.starts.to_string()),
        ("span-s", rhythm.span_s.to_string()),
        ("interval-s", rhythm.interval_s.to_string()),
        ("deviation-s", rhythm.deviation_s.to_string()),
        ("score", rhythm.score.to_string()),
        ("part-symmetry", symmetry.to_string()),
        ("part-spread", spread.to_string()),
        ("part-steadiness", steadiness.to_string()),
        ("part-filling", filling.to_string()),
    ])
}
