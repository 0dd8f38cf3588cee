//! `bench anomaly`: attacks inside recorded honest traffic.
//!
//! Six recorded devices are learned and frozen. Then each class of attack is put into the later traffic of a device twenty
//! times, at times and devices that a seed chooses; found is what a detector of the class tells that it does not tell
//! without the attack. False alarms are counted over all later days of all devices, with their Wilson interval. Without a
//! peer. Bars: the constants below; a missed one is printed and ends the bench with 1. Read next: [`attacks`], [`watch`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use cordon_agent_core::detect::Detectors;
use cordon_agent_core::profile::{Learning, Profile};
use cordon_proto::mud::Usage;
use cordon_proto::time::Millis;
use cordon_server_core::mud::compile::{Site, compile};
use cordon_server_core::mud::read::read;
use fastrand::Rng;

use self::attacks::{Attack, attacks};
use self::watch::{Event, Watch};
use crate::recorded::{self, PAIRS, Row};

pub mod attacks;
pub mod watch;

/// Injections of each class.
const INJECTIONS: usize = 20;
/// What chance begins with.
const SEED: u64 = 8520;
/// Injections in a hundred of each class that must be found.
const BAR_RECALL: usize = 95;
/// False alarms a device and week at most.
const BAR_ALARMS: f64 = 1.0;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Honest traffic before an injection, so that the sensor is in the middle of its work.
const BEFORE_MS: i64 = 6 * HOUR_MS;
/// Time after the last packet of an attack in which it still counts as found.
const AFTER_MS: i64 = HOUR_MS / 2;

/// What the sensor knows besides the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// The device's own sockets: no names.
    Sockets,
    /// Names too.
    Names,
    /// Names and the maker's description.
    Described,
}

impl Sight {
    fn word(self) -> &'static str {
        match self {
            Self::Sockets => "sockets alone",
            Self::Names => "with names",
            Self::Described => "with names and the maker's description",
        }
    }
}

/// One recorded device.
struct Device {
    name: &'static str,
    rows: Vec<Row>,
    usage: Arc<Usage>,
}

/// What was learned of a device in one sight.
struct Learned {
    profile: Profile,
    /// The first row that was not learned from.
    from: usize,
    /// Findings while it was learned: those that need no profile.
    told: usize,
    usage: Option<Arc<Usage>>,
    named: bool,
}

/// Measures and prints both tables.
///
/// # Errors
/// The recordings are missing, or a bar is missed.
pub fn run() -> anyhow::Result<()> {
    let folder = recorded::folder().context("no recordings: name a folder with anomaly in CORDON_DATA")?;
    let devices = devices(&folder)?;
    let attacks = attacks(&folder)?;
    let mut missed = Vec::new();
    for sight in [Sight::Sockets, Sight::Names, Sight::Described] {
        let learned: Vec<Option<Learned>> = devices.iter().map(|device| learn(device, sight)).collect();
        println!("\n{}", sight.word());
        let rate = alarms(&devices, &learned);
        if rate > BAR_ALARMS {
            missed.push(format!(
                "{}: {rate:.2} false alarms a device-week, the bar is {BAR_ALARMS}",
                sight.word()
            ));
        }
        println!(
            "  class, found of {INJECTIONS}, Wilson interval of the share (95 %), seconds to the finding (median, most), by whom"
        );
        for attack in &attacks {
            let found = injections(attack, &devices, &learned);
            let count = found.iter().filter(|injection| injection.told.is_some()).count();
            println!("  {}", line(attack, &found));
            if count * 100 < BAR_RECALL * INJECTIONS {
                missed.push(format!("{}: {} found {count} of {INJECTIONS}", sight.word(), attack.name));
            }
        }
    }
    ensure!(missed.is_empty(), "MISSED:\n  {}", missed.join("\n  "));
    Ok(())
}

fn devices(folder: &Path) -> anyhow::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for (name, mud) in PAIRS {
        let bytes = std::fs::read(folder.join("mud-unsw").join(mud))?;
        let usage = compile(&read(&bytes)?, &Site::default()).usage;
        devices.push(Device { name, rows: recorded::rows(folder, name), usage: Arc::new(usage) });
    }
    Ok(devices)
}

/// Learns as the agent does; a device that was recorded for less than ten days is learned for three.
fn learn(device: &Device, sight: Sight) -> Option<Learned> {
    let named = sight != Sight::Sockets;
    let (first, last) = (device.rows.first()?.flow.start, device.rows.last()?.flow.start);
    let days = if last.since(first) < 10 * DAY_MS { 3 } else { 7 };
    let learning = Learning { least_s: days * DAY_MS / 1000, ..Learning::default() };
    let mut detectors = Detectors::new(Profile::new(), learning);
    let usage = (sight == Sight::Described).then(|| device.usage.clone());
    detectors.set_usage(usage.clone());
    if named {
        detectors.names_are_seen(Millis(first.0 - watch::SETTLED_MS));
    }
    let mut told = BTreeSet::new();
    for (place, row) in device.rows.iter().enumerate() {
        let flow = watch::seen(row, named);
        let findings = detectors.observe(&flow, flow.start);
        told.extend(findings.iter().map(|finding| (finding.detector.to_string(), finding.key.to_string())));
        detectors.pass(flow.start);
        if !detectors.profile().learns() {
            let profile = detectors.profile().clone();
            return Some(Learned { profile, from: place + 1, told: told.len(), usage, named });
        }
    }
    None
}

/// Prints what is called for nothing, device by device; gives the false alarms of a device in a week.
fn alarms(devices: &[Device], learned: &[Option<Learned>]) -> f64 {
    let (mut all, mut days, mut bad_days) = (0_usize, 0_usize, 0_usize);
    for (device, learned) in devices.iter().zip(learned) {
        let Some(learned) = learned else {
            println!("  {}: was never recorded long enough to be learned", device.name);
            continue;
        };
        let later = device.rows.get(learned.from..).unwrap_or_default();
        let day = |at: Millis| at.0.div_euclid(DAY_MS);
        let mut seen: Vec<i64> = later.iter().map(|row| day(row.flow.start)).collect();
        seen.dedup();
        let mut watch = Watch::new(learned.profile.clone(), learned.usage.clone());
        later.iter().for_each(|row| watch.honest(row, learned.named));
        let findings = watch.findings();
        let mut bad: Vec<i64> = findings.iter().map(|(at, _, _)| day(*at)).collect();
        bad.dedup();
        let mut by: BTreeMap<&str, usize> = BTreeMap::new();
        findings.iter().for_each(|(_, detector, _)| *by.entry(detector).or_default() += 1);
        println!(
            "  {}: {} device-days, {} false alarms {by:?}; {} while it was learned",
            device.name,
            seen.len(),
            findings.len(),
            learned.told
        );
        (all, days, bad_days) = (all + findings.len(), days + seen.len(), bad_days + bad.len());
    }
    let weeks = as_f64(days) / 7.0;
    let (low, high) = wilson(bad_days, days);
    let rate = as_f64(all) / weeks.max(f64::MIN_POSITIVE);
    println!(
        "  all: {days} device-days, {all} false alarms, {rate:.2} a device-week; {bad_days} days with one, {:.2} to {:.2} such days a week (Wilson, 95 %)",
        7.0 * low,
        7.0 * high
    );
    rate
}

/// An attack that was put into a device's traffic.
struct Injection {
    device: &'static str,
    /// Seconds to the finding, and who told it.
    told: Option<(f64, String)>,
}

/// Puts an attack into twenty devices and times.
fn injections(attack: &Attack, devices: &[Device], learned: &[Option<Learned>]) -> Vec<Injection> {
    let mut chance = Rng::with_seed(SEED);
    let ready: Vec<(&Device, &Learned)> = devices
        .iter()
        .zip(learned)
        .filter_map(|(device, learned)| Some((device, learned.as_ref()?)))
        .filter(|(device, learned)| learned.from + 1 < device.rows.len())
        .collect();
    (0..INJECTIONS)
        .filter_map(|round| {
            let (device, learned) = *ready.get(chance.usize(..ready.len()))?;
            let told = injected(attack, (device, learned), (round, &mut chance));
            Some(Injection { device: device.name, told })
        })
        .collect()
}

fn injected(
    attack: &Attack,
    (device, learned): (&Device, &Learned),
    (round, chance): (usize, &mut Rng),
) -> Option<(f64, String)> {
    // In the middle of some later row, so that it is a time at which the device was on.
    let later = device.rows.get(learned.from..)?;
    let at = later.get(chance.usize(..later.len()))?.flow.start.0 + chance.i64(0..60_000);
    let events = attack.events(round, chance);
    let end = at + events.last().map_or(0, |(offset, _)| *offset) + AFTER_MS;
    let span = later.iter().filter(|row| (at - BEFORE_MS..end).contains(&row.flow.start.0));
    let honest: Vec<&Row> = span.collect();
    let run = |events: &[(i64, Event)]| {
        let mut watch = Watch::new(learned.profile.clone(), learned.usage.clone());
        let mut events = events.iter().peekable();
        for row in &honest {
            while let Some((offset, event)) = events.next_if(|(offset, _)| at + offset <= row.flow.start.0) {
                watch.event(Millis(at + offset), event);
            }
            watch.honest(row, learned.named);
        }
        events.for_each(|(offset, event)| watch.event(Millis(at + offset), event));
        watch.until(Millis(end));
        watch.findings()
    };
    let quiet = run(&[]);
    let told = run(&events).into_iter().find(|(when, detector, key)| {
        let new = !quiet.iter().any(|(_, other, same)| other == detector && same == key);
        new && when.0 >= at && attack.detectors.contains(&detector.as_str())
    });
    told.map(|(when, detector, _)| ((when.0 - at) as f64 / 1000.0, detector))
}

fn line(attack: &Attack, found: &[Injection]) -> String {
    let mut seconds = Vec::new();
    let (mut by, mut missed) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new());
    for Injection { device, told } in found {
        match told {
            Some((after, detector)) => {
                seconds.push(*after);
                *by.entry(detector).or_default() += 1;
            }
            None => *missed.entry(device).or_default() += 1,
        }
    }
    seconds.sort_by(f64::total_cmp);
    let (low, high) = wilson(seconds.len(), found.len());
    let missed = if missed.is_empty() { String::new() } else { format!(" missed {missed:?}") };
    let (median, most) = (seconds.get(seconds.len() / 2), seconds.last());
    format!(
        "{:<44} {:>2}  {low:.2}-{high:.2} {:>8.1} {:>8.1}  {by:?}{missed}",
        attack.name,
        seconds.len(),
        median.copied().unwrap_or(f64::NAN),
        most.copied().unwrap_or(f64::NAN)
    )
}

/// Wilson's interval of a share, at 95 % (E. B. Wilson, JASA 22, 1927).
#[must_use]
pub fn wilson(hits: usize, of: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return (0.0, 1.0);
    }
    let (count, share) = (as_f64(of), as_f64(hits) / as_f64(of));
    let middle = share + Z * Z / (2.0 * count);
    let width = Z * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + Z * Z / count;
    (((middle - width) / scale).max(0.0), ((middle + width) / scale).min(1.0))
}

fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Goal: honest figures. Method: known values; nothing seen is not nothing possible.
        let (low, high) = wilson(10, 100);
        assert!((low - 0.0552).abs() < 0.0005 && (high - 0.1744).abs() < 0.0005, "{low} {high}");
        let (none, some) = wilson(0, 50);
        assert!(none == 0.0 && (some - 0.0713).abs() < 0.0005, "{some}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }
}
