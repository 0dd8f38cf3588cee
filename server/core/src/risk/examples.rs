//! Tests: the worked examples of `risk-v1`, to a hundredth, with their rows and what-ifs.
//!
//! The figures were computed once with a separate program; see `docs/schemas` for the shape. Read next: `order_tests`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::facts::*;
use super::model::RISK_V1;
use super::next_step::{Act, Owner, plan};
use super::score::{Band, Kind, Score, score};

/// 20 November 2026, 14:26 UTC.
pub(super) const NOW: Timestamp = Timestamp(1_795_184_760);
const DAY_S: i64 = 86_400;

pub(super) fn days_ago(days: i64) -> Timestamp {
    NOW.plus_seconds(-days * DAY_S)
}

pub(super) fn exposure(id: &str, epss_millionths: u32, tenths: u8) -> Exposure {
    Exposure {
        id: id.into(),
        package: "src 1.0".into(),
        epss_millionths: Some(epss_millionths),
        cvss: Some(Cvss { tenths, source: CvssSource::Base }),
        vector: Vector::Network,
        known_exploited: false,
        ransomware: false,
        treatment: Treatment::None,
        source: None,
        fixed_in: None,
        fixed_counter: None,
        fixed_version: None,
        known_since: Some(days_ago(14)),
        automatable: Answer::Unknown,
        total_control: Answer::Unknown,
    }
}

pub(super) fn finding(id: &str, severity: FindingSeverity, at: Timestamp) -> Finding {
    Finding {
        id: id.into(),
        kind: format!("kind of {id}"),
        title: format!("Does {id}"),
        severity,
        at,
        owner: None,
    }
}

fn twelve() -> Vec<Exposure> {
    (0..12).map(|n| exposure(&format!("CVE-2026-{n:04}"), 600, 55)).collect()
}

fn tomcat() -> Exposure {
    Exposure {
        known_exploited: true,
        package: "tomcat9 9.0.31-1".into(),
        fixed_in: Some("4.2.2".into()),
        ..exposure("CVE-2020-1938", 992_700, 98)
    }
}

fn pump(zone: Zone) -> Facts {
    let mut facts = Facts::unknown("VP3-004417");
    facts.impact =
        Impact { severity: Some(Severity::LifeSupporting), patient_data: Some(PatientData::Limited) };
    facts.reach = Reach { zone: Some(zone), place: Some(Place::ClinicalArea) };
    facts.exposures = twelve();
    facts
}

/// Example 3: flat network, no secure boot, 90 days behind.
pub(super) fn flat_pump() -> Facts {
    let mut facts = pump(Zone::Flat);
    facts.exposures.push(tomcat());
    facts.posture.secure_boot_off = Answer::Yes;
    facts.freshness.release =
        ReleaseAge::Behind { newest: "4.2.2".into(), since: days_ago(90), counter: None };
    facts
}

fn kiosk() -> Facts {
    let mut facts = Facts::unknown("K1-0231");
    facts.impact = Impact { severity: Some(Severity::None), patient_data: Some(PatientData::Limited) };
    facts.reach = Reach { zone: Some(Zone::Internet), place: Some(Place::Public) };
    let mut log4j = exposure("CVE-2021-44228", 999_990, 100);
    (log4j.known_exploited, log4j.ransomware) = (true, true);
    facts.exposures = vec![log4j];
    facts.posture.os_support = OsSupport::Ended { at: days_ago(100) };
    facts.posture.default_credentials = Answer::Yes;
    facts.posture.disk_unencrypted = Answer::Yes;
    facts
}

fn workstation() -> Facts {
    let mut facts = Facts::unknown("IW2-0017");
    facts.impact = Impact { severity: Some(Severity::Serious), patient_data: Some(PatientData::Bulk) };
    facts.reach = Reach { zone: Some(Zone::Segmented), place: Some(Place::ClinicalArea) };
    let mut kernel = exposure("CVE-2024-1086", 850_000, 78);
    (kernel.known_exploited, kernel.vector) = (true, Vector::Local);
    facts.exposures = vec![kernel];
    facts.findings = vec![finding("F-1", FindingSeverity::High, NOW)];
    facts.posture.disk_unencrypted = Answer::Yes;
    facts
}

fn ventilator() -> Facts {
    let mut facts = Facts::unknown("AER-V5-0088");
    facts.impact = Impact { severity: Some(Severity::LifeSupporting), patient_data: Some(PatientData::None) };
    facts.reach = Reach { zone: Some(Zone::Segmented), place: Some(Place::ClinicalArea) };
    facts.exposures = (0..5).map(|n| exposure(&format!("CVE-2025-{n:04}"), 10_000, 75)).collect();
    facts.freshness.rolled_back = Some(days_ago(40));
    facts.freshness.last_seen = Some(days_ago(31));
    facts
}

/// Hundredths of the parts, those of equal kind and hazard joined: the rows of the evidence's table.
fn rows(score: &Score) -> Vec<u16> {
    let mut rows: Vec<(Kind, u32, u16)> = Vec::new();
    for part in &score.contributions {
        match rows.last_mut() {
            Some((kind, hazard, sum)) if (*kind, *hazard) == (part.kind, part.hazard_micronepers) => {
                *sum += part.hundredths;
            }
            _ => rows.push((part.kind, part.hazard_micronepers, part.hundredths)),
        }
    }
    rows.into_iter().map(|(_, _, sum)| sum).collect()
}

#[test]
fn the_six_worked_examples_score_to_a_hundredth() {
    // Goal: the formula is the published one. Method: the devices of the evidence's table, score, band and rows.
    let mut exploited_pump = pump(Zone::Segmented);
    exploited_pump.exposures.push(tomcat());
    let cases: [(Facts, u16, Band, &[u16]); 6] = [
        (pump(Zone::Segmented), 19, Band::Low, &[9, 10]),
        (exploited_pump, 4655, Band::High, &[2187, 6, 2462]),
        (flat_pump(), 7725, Band::Critical, &[3313, 184, 136, 7, 4085]),
        (kiosk(), 4955, Band::High, &[3328, 770, 248, 69, 540]),
        (workstation(), 4012, Band::High, &[1376, 756, 198, 1682]),
        (ventilator(), 6218, Band::High, &[2539, 354, 52, 3273]),
    ];
    for (number, (facts, value, band, expected)) in (1..).zip(cases) {
        let score = score(&facts, &RISK_V1, NOW);
        assert_eq!((score.value_hundredths, score.band), (value, band), "example {number}");
        let rows = rows(&score);
        assert_eq!(rows.iter().sum::<u16>(), value, "example {number}: the rows add up");
        for (row, expected) in rows.iter().zip(expected) {
            assert!(row.abs_diff(*expected) <= 1, "example {number}: rows {rows:?}");
        }
    }
}

#[test]
fn a_finding_fades_with_a_half_life_of_a_week() {
    // Goal: example 5 two weeks later. Method: the same facts, scored later.
    let later = score(&workstation(), &RISK_V1, NOW.plus_seconds(14 * DAY_S));
    assert_eq!((later.value_hundredths, later.band), (2502, Band::Medium));
}

#[test]
fn many_unexploited_vulnerabilities_stay_low() {
    // Goal: noise does not drown signal. Method: 500 unfixed ones on a patient monitor in a flat network.
    let mut facts = pump(Zone::Flat);
    facts.impact.severity = Some(Severity::Critical);
    facts.exposures = (0..500).map(|n| exposure(&format!("CVE-2026-{n:04}"), 500, 60)).collect();
    let score = score(&facts, &RISK_V1, NOW);
    assert_eq!((score.value_hundredths, score.band), (978, Band::Low));
}

#[test]
fn what_a_release_would_change_is_the_score_without_its_parts() {
    // Goal: the what-if of the evidence, 69.72 to 7.64, 2,483.2 points on 40 pumps. Method: example 3 at the least
    // threat of an exploited vulnerability and not stale, then less all exposures.
    let mut facts = flat_pump();
    facts.freshness.release = ReleaseAge::Current;
    facts.exposures[12].epss_millionths = Some(1000);
    let before = score(&facts, &RISK_V1, NOW);
    assert_eq!((before.value_hundredths, before.points(), before.band), (6972, 69, Band::High));
    let exposures: Vec<String> =
        before.contributions.iter().filter(|p| p.kind == Kind::Vulnerability).map(|p| p.id.clone()).collect();
    let exposures: Vec<&str> = exposures.iter().map(String::as_str).collect();
    assert_eq!(before.without(&exposures, &RISK_V1).hundredths, 764);
}

#[test]
fn the_steps_of_the_flat_pump_are_to_install_then_to_move_then_to_decide() {
    // Goal: what to do, whose, by when, and the effect, in order of effect. Method: the pump of the console's picture.
    let mut facts = flat_pump();
    for exposure in &mut facts.exposures {
        exposure.fixed_in = Some("4.2.2".into());
    }
    facts.findings = vec![finding("F-20871", FindingSeverity::Medium, NOW.plus_seconds(-20 * 3600))];
    let score = score(&facts, &RISK_V1, NOW);
    assert_eq!((score.points(), score.band), (79, Band::Critical));
    assert_eq!(score.contributions.iter().map(|part| part.points).sum::<u16>(), 79);
    let steps = plan(&facts, &RISK_V1, NOW);
    let short: Vec<&str> = steps.iter().map(|step| step.short.as_str()).collect();
    assert_eq!(short, ["Install 4.2.2", "Move to its network", "Decide on F-20871"]);
    let after: Vec<(u16, Band)> = steps.iter().map(|s| (s.after_hundredths / 100, s.after_band)).collect();
    assert_eq!(after, [(19, Band::Low), (59, Band::High), (77, Band::Critical)]);
    assert_eq!(steps[0].owner, Owner::It);
    assert_eq!(steps[0].due, Some(days_ago(11)), "known for 14 days, 3 days allowed");
    assert_eq!(steps[0].removes.len(), 14);
    assert!(steps[1].removes.is_empty());
}

#[test]
fn each_step_says_the_score_that_doing_it_gives() {
    // Goal: the promised effect is the real one. Method: do the step in the facts and score again.
    let mut facts = kiosk();
    facts.posture.disk_unencrypted = Answer::No;
    facts.posture.weak_since = Some(days_ago(1));
    let steps = plan(&facts, &RISK_V1, NOW);
    let password = steps.iter().find(|step| step.act == Act::ReplacePassword).unwrap();
    assert_eq!((password.owner, password.due), (Owner::It, Some(NOW.plus_seconds(2 * DAY_S))));
    facts.posture.default_credentials = Answer::No;
    assert_eq!(score(&facts, &RISK_V1, NOW).value_hundredths, password.after_hundredths);
    let maker = steps.last().unwrap();
    assert_eq!((maker.owner, maker.due, maker.waiting_since), (Owner::Maker, None, Some(days_ago(100))));
}

#[test]
fn a_silent_device_is_to_be_found_before_anything_is_installed() {
    // Goal: no order to install on what does not answer. Method: the ventilator, with a newer release.
    let mut facts = ventilator();
    facts.freshness.release =
        ReleaseAge::Behind { newest: "2.1.0".into(), since: days_ago(31), counter: None };
    let steps = plan(&facts, &RISK_V1, NOW);
    let find = steps.iter().find(|step| matches!(step.act, Act::Find(_))).unwrap();
    assert_eq!(
        (find.short.as_str(), find.owner),
        ("Find it, then install 2.1.0", Owner::ClinicalEngineering)
    );
    assert_eq!(steps[0].act, Act::ExplainUpdate);
}

#[test]
fn a_device_of_low_risk_asks_for_nothing() {
    // Goal: a calm fleet is a calm screen. Method: example 1; then a low finding, which still wants a decision.
    let mut facts = pump(Zone::Segmented);
    assert_eq!(plan(&facts, &RISK_V1, NOW), []);
    facts.findings = vec![finding("F-2", FindingSeverity::Low, NOW)];
    let steps = plan(&facts, &RISK_V1, NOW);
    assert_eq!(steps.iter().map(|step| step.short.as_str()).collect::<Vec<_>>(), ["Decide on F-2"]);
}

#[test]
fn what_nobody_knows_is_listed_and_adds_no_points() {
    // Goal: unknown is never safe and never guilt. Method: a device of which nothing is known.
    let score = score(&Facts::unknown("new"), &RISK_V1, NOW);
    assert_eq!((score.value_hundredths, score.contributions.len()), (0, 0));
    assert_eq!(score.unknown.len(), 12);
    assert!(score.unknown.contains(&"secure boot".to_string()), "{:?}", score.unknown);
    assert_eq!(score.assumed.len(), 4);
}

#[test]
fn words_and_bytes_of_a_score_are_fixed() {
    // Goal: the same bytes on every machine. Method: the whole score of example 3, as JSON, against a golden file.
    let text = serde_json::to_string_pretty(&score(&flat_pump(), &RISK_V1, NOW)).unwrap();
    assert_eq!(text.trim(), include_str!("golden/flat_pump.score.json").trim());
}
