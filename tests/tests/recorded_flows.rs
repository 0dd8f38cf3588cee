//! The detectors over recorded, benign traffic of real devices: how often they would call somebody for nothing.
//!
//! The recordings (UNSW, MIT licence, one CSV a device) are no part of the project. Where the folder named by
//! `CORDON_DATA` holds `anomaly/flows-unsw` or `flows-unsw`, the figures are measured and printed; else the test is
//! skipped. Each flow is judged as tier 0 sees it, without names, and again with the names of the recording.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use cordon_agent_core::detect::Detectors;
use cordon_agent_core::flow::Flow;
use cordon_agent_core::profile::{Learning, Profile};
use cordon_sim::recorded::{self, PAIRS, Row};
use cordon_sim::skip;

const DAY_S: i64 = 86_400;

/// Findings by detector, and the days on which the device was seen after learning.
fn judge(rows: &[Row], named: bool) -> (BTreeMap<String, usize>, usize) {
    let span_s = rows
        .last()
        .zip(rows.first())
        .map_or(0, |(last, first)| last.flow.start.since(first.flow.start) / 1000);
    let least_s = if span_s < 10 * DAY_S { 3 * DAY_S } else { 7 * DAY_S };
    let mut detectors = Detectors::new(Profile::new(), Learning { least_s, ..Learning::default() });
    let (mut findings, mut days) = (BTreeMap::new(), BTreeSet::new());
    for Row { flow, .. } in rows {
        let name = flow.name.clone().filter(|_| named);
        let now = flow.start;
        if !detectors.profile().learns() {
            days.insert(now.seconds().0.div_euclid(DAY_S));
        }
        for finding in detectors.observe(&Flow { name, ..flow.clone() }, now) {
            // A finding told again is the same finding.
            *findings.entry(finding.detector.to_string()).or_default() +=
                usize::from(finding.count == 1 || finding.first == finding.last);
        }
        detectors.pass(now);
    }
    (findings, days.len())
}

#[test]
fn real_devices_raise_at_most_one_false_alarm_a_week() {
    // Goal: evidence target T1. Method: learn, freeze, count findings over all later days of six devices, with and
    // without names. The keys were chosen with these recordings in view, so the figure is a check, not a blind proof.
    let Some(folder) = recorded::folder() else {
        skip::skip("no recorded flows: name a folder with flows-unsw in CORDON_DATA");
        return;
    };
    for (named, sight) in [(false, "tier 0, no names"), (true, "with names")] {
        let (mut alarms, mut days, mut each) = (0, 0, String::new());
        for (device, _) in PAIRS {
            let (findings, device_days) = judge(&recorded::rows(&folder, device), named);
            alarms += findings.values().sum::<usize>();
            days += device_days;
            each.push_str(&format!("\n  {device} {device_days} days {findings:?}"));
        }
        let thousandths = alarms * 1000 / days.max(1);
        let line = format!(
            "recorded flows, {sight}: {alarms} findings in {days} device-days, 0.{thousandths:03} a day{each}\n"
        );
        std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
        assert!(alarms * 7 <= days, "{line}");
    }
}
