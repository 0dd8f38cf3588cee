//! `bench risk`: CPU of scoring 100,000 devices with 20 vulnerabilities each anew, as after an import of advisories.
//!
//! The fleet is made from a fixed seed: 5,000 vulnerabilities of many kinds, each device with 20 of them, with a place, a
//! weak set-up, a finding, and an age of its release. *Table* is what a board does: every vulnerability's hazards for every
//! place first, then additions; *explained* is the same from the whole facts without their words, device by device. Both are
//! the shipped functions and must agree on every device. There is no peer: no tool that we know scores a fleet by a formula
//! that can be recomputed. Read next: `cordon_server_core::risk::table`.

use std::process;

use anyhow::ensure;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::facts::{
    Answer, Cvss, CvssSource, Exposure, Finding, FindingSeverity, Impact, KeyProtection, PatientData, Place,
    Reach, ReleaseAge, Severity, Treatment, Vector, Zone,
};
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::table::{self, Row};
use cordon_server_core::risk::{Facts, Value, score};

use super::footprint::{Footprint, TICKS_PER_S};

/// Devices.
const DEVICES: usize = 100_000;
/// Vulnerabilities of each.
const EACH: usize = 20;
/// Different vulnerabilities.
const KNOWN: usize = 5000;
/// Milliseconds of CPU in which the whole fleet is to be scored anew.
const BAR_MS: f64 = 100.0;
/// How often each way is run; the clock of the kernel ticks every 10 ms, so that one run says little.
const RUNS: u32 = 10;
/// 20 November 2026, 14:26 UTC.
pub const NOW: Timestamp = Timestamp(1_795_184_760);
const DAY_S: i64 = 86_400;

/// A fleet whose devices share their vulnerabilities.
struct Fleet {
    known: Vec<Exposure>,
    devices: Vec<(Facts, Vec<usize>)>,
}

/// The facts of so many devices, always the same, their vulnerabilities included.
#[must_use]
pub fn fleet(devices: usize) -> Vec<Facts> {
    Fleet::made(devices).whole()
}

/// Runs it.
///
/// # Errors
/// The two ways differ, the bar is not kept, or this process cannot be looked at.
pub fn run() -> anyhow::Result<()> {
    let fleet = Fleet::made(DEVICES);
    println!("{DEVICES} devices x {EACH} of {KNOWN} vulnerabilities, model {}", RISK_V1.id);
    let (by_table, table_ms) = timed(RUNS, || fleet.by_table())?;
    println!("table       {table_ms:>8.1} ms CPU a fleet, mean of {RUNS} (bar {BAR_MS:.0} ms)");
    let whole = fleet.whole();
    let scored = || whole.iter().map(|facts| score::value(facts, &RISK_V1, NOW)).collect::<Vec<Value>>();
    let (explained, explained_ms) = timed(1, scored)?;
    println!("explained   {explained_ms:>8.1} ms CPU a fleet, one run");
    ensure!(by_table == explained, "the table and the explained score differ");
    let own = Footprint::of(process::id())?;
    println!("every value equal; pid {}, `{}`, {} ticks in all", own.pid, own.argv, own.ticks);
    ensure!(table_ms <= BAR_MS, "{table_ms:.1} ms are more than the {BAR_MS:.0} ms that were promised");
    Ok(())
}

/// The last outcome, and the CPU milliseconds of one run.
fn timed<T>(runs: u32, mut work: impl FnMut() -> T) -> anyhow::Result<(T, f64)> {
    let before = Footprint::of(process::id())?.ticks;
    let mut outcome = work();
    for _ in 1..runs {
        outcome = work();
    }
    let ticks = Footprint::of(process::id())?.ticks - before;
    Ok((outcome, ticks as f64 / TICKS_PER_S * 1e3 / f64::from(runs)))
}

impl Fleet {
    fn made(devices: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let known = (0..KNOWN).map(|number| exposure(number, &mut random)).collect();
        let devices = (0..devices).map(|number| {
            let mut places: Vec<usize> = (0..EACH).map(|_| random.usize(..KNOWN)).collect();
            places.sort_unstable();
            places.dedup();
            (device(number, &mut random), places)
        });
        Self { known, devices: devices.collect() }
    }

    /// Scored from nothing but the advisories: the table is made anew as well.
    fn by_table(&self) -> Vec<Value> {
        let rows: Vec<Row> = self.known.iter().map(|exposure| Row::of(exposure, &RISK_V1)).collect();
        let scored = |(facts, places): &(Facts, Vec<usize>)| {
            let hit = places.iter().filter_map(|place| rows.get(*place));
            table::value(facts, hit, &RISK_V1, NOW)
        };
        self.devices.iter().map(scored).collect()
    }

    /// The same devices with their vulnerabilities among their facts.
    fn whole(&self) -> Vec<Facts> {
        let whole = |(facts, places): &(Facts, Vec<usize>)| Facts {
            exposures: places.iter().filter_map(|place| self.known.get(*place)).cloned().collect(),
            ..facts.clone()
        };
        self.devices.iter().map(whole).collect()
    }
}

fn exposure(number: usize, random: &mut fastrand::Rng) -> Exposure {
    let vectors = [Vector::Physical, Vector::Local, Vector::Adjacent, Vector::Network];
    Exposure {
        id: format!("CVE-2026-{number:05}"),
        package: format!("source-{} 1.{}-1", number % 400, number % 7),
        source: None,
        epss_millionths: random.bool().then(|| random.u32(..20_000)),
        cvss: Some(Cvss { tenths: random.u8(20..=100), source: CvssSource::Base }),
        vector: random.choice(vectors).unwrap_or_default(),
        known_exploited: random.u8(..100) == 0,
        ransomware: random.u8(..4) == 0,
        treatment: if random.u8(..20) == 0 { Treatment::Workaround } else { Treatment::None },
        fixed_in: None,
        fixed_counter: None,
        fixed_version: None,
        known_since: None,
        automatable: Answer::Unknown,
        total_control: Answer::Unknown,
    }
}

fn device(number: usize, random: &mut fastrand::Rng) -> Facts {
    let zones = [Zone::Isolated, Zone::Segmented, Zone::Flat, Zone::Internet];
    let places = [Place::LockedRoom, Place::ClinicalArea, Place::Public];
    let ago = |days: i64| NOW.plus_seconds(-days * DAY_S);
    let mut facts = Facts::unknown(&format!("VP3-{number:06}"));
    facts.impact = Impact { severity: Some(Severity::Serious), patient_data: Some(PatientData::Limited) };
    facts.reach = Reach {
        zone: if random.bool() { random.choice(zones) } else { None },
        place: if random.bool() { random.choice(places) } else { None },
    };
    facts.posture.key_protection = if random.bool() { KeyProtection::File } else { KeyProtection::Tpm };
    facts.posture.disk_unencrypted = if random.u8(..3) == 0 { Answer::Yes } else { Answer::No };
    facts.freshness.last_seen = Some(ago(i64::from(random.u8(..9))));
    if random.bool() {
        let since = ago(i64::from(random.u16(..400)));
        facts.freshness.release = ReleaseAge::Behind { newest: "4.2.2".into(), since, counter: Some(42) };
    }
    if random.u8(..10) == 0 {
        facts.findings.push(Finding {
            id: format!("F-{number}"),
            kind: "beacon".into(),
            title: "First contact".into(),
            severity: FindingSeverity::Medium,
            at: ago(i64::from(random.u8(..30))),
        });
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_the_bench_score_the_same_fleet_alike() {
        // Goal: what is timed is the real work. Method: a small fleet, each device both ways, and no score like another's.
        let fleet = Fleet::made(500);
        let by_table = fleet.by_table();
        let explained: Vec<Value> =
            fleet.whole().iter().map(|facts| score::value(facts, &RISK_V1, NOW)).collect();
        assert_eq!(by_table, explained);
        let different: std::collections::BTreeSet<u16> =
            by_table.iter().map(|value| value.hundredths).collect();
        assert!(different.len() > 300, "{} different scores", different.len());
    }
}
