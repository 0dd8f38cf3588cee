//! From what is stored about a device to the facts that its score depends on.
//!
//! Only what somebody looked at becomes a "no"; everything else stays unknown. Muted findings count, closed ones do
//! not: hiding a finding from a list changes no score. Nothing here weighs; read [`super::hazard`] for that.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::checkin::UpdateState;
use cordon_proto::ids::TargetPath;
use cordon_proto::inventory::{Row, Section};
use cordon_proto::receipt::Outcome;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;

use super::facts::{
    Answer, Facts, Finding, FindingSeverity, Freshness, KeyProtection, OsSupport, PatientData, Posture,
    ReleaseAge,
};
use crate::device::{Device, Report};
use crate::triage;

/// The newest release that its maker signed for a device's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The release.
    pub release: TargetPath,
    /// Its counter.
    pub counter: u64,
    /// When it became known here.
    pub since: Timestamp,
}

/// The end of the last update, by receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEnd {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// What is known of one device.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its document.
    pub device: &'a Device,
    /// What it last said; newer than the document's own, if they differ.
    pub report: Option<&'a Report>,
    /// The last authenticated request.
    pub seen: Option<Timestamp>,
    /// The rows of its inventory, packages left out.
    pub inventory: Option<&'a [Row]>,
    /// The newest release for its model.
    pub newest: Option<&'a Newest>,
    /// The end of its last update.
    pub last_end: Option<LastEnd>,
}

/// The facts of one device.
#[must_use]
pub fn gather<'a>(known: &Known<'_>, findings: impl IntoIterator<Item = &'a triage::Record>) -> Facts {
    let placement = &known.device.placement;
    Facts {
        device: known.device.hardware.serial.to_string(),
        impact: placement.impact.clone(),
        reach: placement.reach.clone(),
        posture: posture(known),
        freshness: freshness(known),
        findings: findings.into_iter().filter(|record| record.weighs()).map(finding).collect(),
        exposures: Vec::new(),
    }
}

fn posture(known: &Known<'_>) -> Posture {
    let tier = known.report.map(|report| KeyProtection::of(report.key_protection.as_str()));
    let identity = Posture {
        key_protection: tier.unwrap_or_default(),
        identity_doubted: known.device.doubt.as_ref().map(|doubt| doubt.at),
        ..Posture::default()
    };
    let Some(rows) = known.inventory else { return Posture { read_at: known.seen, ..identity } };
    let field = |section, key: &str| {
        let row = rows.iter().find(|row| row.section == section && row.key.as_str() == key)?;
        row.fields.first().map(String::as_str)
    };
    // The inventory says whether the protection is there; the model asks whether the weakness is.
    let lacks = |key| match field(Section::Posture, key) {
        Some("yes") => Answer::No,
        Some("no") => Answer::Yes,
        Some(_) | None => Answer::Unknown,
    };
    let holds_data = match known.device.placement.impact.patient_data {
        Some(PatientData::None) => Answer::No,
        Some(PatientData::Limited | PatientData::Bulk) => Answer::Yes,
        None => Answer::Unknown,
    };
    Posture {
        read_at: known.seen,
        secure_boot_off: lacks("secure-boot"),
        disk_unencrypted: lacks("disk-encryption"),
        patient_data_at_rest: holds_data,
        os_support: os_support(field(Section::System, "support-end"), known.seen),
        ..identity
    }
}

/// `SUPPORT_END` of os-release(5), a date; unknown where the system does not state one.
fn os_support(end: Option<&str>, now: Option<Timestamp>) -> OsSupport {
    let at = end.and_then(|date| Timestamp::parse(&alloc::format!("{date}T00:00:00Z")).ok());
    match (at, now) {
        (Some(at), Some(now)) if at <= now => OsSupport::Ended { at },
        (Some(_), Some(_)) => OsSupport::Supported,
        (Some(_) | None, _) => OsSupport::Unknown,
    }
}

fn freshness(known: &Known<'_>) -> Freshness {
    let release = match (known.report, known.newest) {
        (Some(report), Some(newest)) if report.software.counter < newest.counter => {
            ReleaseAge::Behind { newest: newest.release.to_string(), since: newest.since }
        }
        (Some(_), Some(_)) => ReleaseAge::Current,
        (Some(_) | None, _) => ReleaseAge::Unknown,
    };
    let ended = |outcome| known.last_end.filter(|end| end.outcome == outcome).map(|end| end.at);
    let failing = known.report.is_some_and(|report| report.update.state == UpdateState::RolledBack);
    Freshness {
        last_seen: known.seen,
        release,
        update_failed: ended(Outcome::RolledBack).or(if failing { known.seen } else { None }),
        rolled_back: ended(Outcome::WentBack),
        feed_updated: None,
    }
}

fn finding(record: &triage::Record) -> Finding {
    Finding {
        id: record.id.to_string(),
        kind: record.finding.detector.to_string(),
        title: record.finding.title.to_string(),
        severity: match record.finding.severity {
            Severity::Low => FindingSeverity::Low,
            Severity::Medium => FindingSeverity::Medium,
            Severity::High => FindingSeverity::High,
            Severity::Critical => FindingSeverity::Critical,
        },
        at: record.finding.last,
    }
}
