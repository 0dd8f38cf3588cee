//! From what is stored about a device to the facts that its score depends on.
//!
//! Only what somebody looked at becomes a "no"; everything else stays unknown. Muted findings count, closed ones do
//! not: hiding a finding from a list changes no score. A return that the owner ordered is no evidence against a device:
//! it counts as being behind and nothing more. Nothing here weighs; read [`super::hazard`] for that, [`super::noticed`]
//! for since when something holds that no receipt dates.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::checkin::UpdateState;
use cordon_proto::ids::{TargetPath, Text};
use cordon_proto::inventory::{Row, Section};
use cordon_proto::receipt::Outcome;
use cordon_proto::telemetry::{self, Severity};
use cordon_proto::time::{Millis, Timestamp};

use super::facts::{
    Answer, Facts, Finding, FindingSeverity, Freshness, KeyProtection, OsSupport, PatientData, Posture,
    ReleaseAge,
};
use super::next_step::Owner;
use super::noticed::Noticed;
use crate::device::{Device, Report};
use crate::exposure::Exposed;
use crate::import::KnownRelease;
use crate::{health, triage};

/// Seconds for which a device has to go on saying that its counter fell before that counts.
pub const FELL_S: i64 = 900;
/// Whether a password that the maker gives to every device still works: a row that a maker's own check may add.
const DEFAULT_CREDENTIALS: &str = "default-credentials";
/// Whether an account that may sign in needs no password.
const EMPTY_PASSWORD: &str = "empty-password";
/// Rows of the inventory that say that a weakness is there, where the others say that a protection is.
pub(super) const WEAK: [&str; 2] = [DEFAULT_CREDENTIALS, EMPTY_PASSWORD];

/// The newest release that its maker signed for a device's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The release.
    pub release: TargetPath,
    /// Its counter.
    pub counter: u64,
    /// When each release of the model became known here, by counter. Also those that are listed no more: a maker who takes
    /// old releases off its list makes no device younger.
    pub known: Vec<(u64, Timestamp)>,
}

impl Newest {
    /// Since when there is something newer than what has this counter: the first time that such a release became known.
    #[must_use]
    pub fn since(&self, running: u64) -> Option<Timestamp> {
        self.known.iter().filter(|(counter, _)| *counter > running).map(|(_, at)| *at).min()
    }
}

/// The newest listed release of each model.
#[must_use]
pub fn newest_of(releases: &[KnownRelease]) -> BTreeMap<Text, Newest> {
    let mut newest: BTreeMap<Text, Newest> = BTreeMap::new();
    for known in releases.iter().filter(|known| known.listed) {
        let best = newest.entry(known.model.clone()).or_insert_with(|| Newest {
            release: known.release.clone(),
            counter: known.counter,
            known: Vec::new(),
        });
        if known.counter > best.counter {
            (best.release, best.counter) = (known.release.clone(), known.counter);
        }
    }
    for known in releases {
        if let Some(newest) = newest.get_mut(&known.model) {
            newest.known.push((known.counter, known.imported));
        }
    }
    newest
}

/// The end of one update, by receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// The counter of what ran then.
    pub counter: u64,
    /// When the receipt came.
    pub at: Timestamp,
    /// Whether the order that it names is one that was published here.
    pub is_ordered: bool,
}

/// What the receipts of one device say together, made from the oldest to the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The last trial that failed, if nothing was confirmed since. That an order was refused meanwhile hides nothing.
    pub failed: Option<Timestamp>,
    /// The last return by an order that was published here, if nothing was confirmed since.
    pub returned: Option<Timestamp>,
    /// The last return that names no such order, if nothing was confirmed since.
    pub strayed: Option<Timestamp>,
    /// The counter of what ran after the last update that ended, and when that was told.
    pub ran: Option<(u64, Timestamp)>,
}

impl FromIterator<End> for Ends {
    fn from_iter<T: IntoIterator<Item = End>>(ends: T) -> Self {
        let mut all = Self::default();
        for end in ends {
            match end.outcome {
                Outcome::Confirmed => all = Self::default(),
                Outcome::RolledBack => all.failed = Some(end.at),
                Outcome::WentBack if end.is_ordered => all.returned = Some(end.at),
                Outcome::WentBack => all.strayed = Some(end.at),
                Outcome::Refused => continue,
            }
            all.ran = Some((end.counter, end.at));
        }
        all
    }
}

/// What is known of one device.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its document.
    pub device: &'a Device,
    /// What it last said; newer than the document's own, if they differ.
    pub report: Option<&'a Report>,
    /// When it said so.
    pub reported: Option<Millis>,
    /// The last authenticated request.
    pub seen: Option<Timestamp>,
    /// The rows of its inventory in their order, packages left out.
    pub inventory: Option<&'a [Row]>,
    /// The newest release for its model.
    pub newest: Option<&'a Newest>,
    /// The ends of its updates.
    pub ends: Ends,
    /// What it is exposed to; none where nothing was ever imported to hold it against.
    pub exposed: Option<&'a Exposed>,
}

/// The facts of one device.
#[must_use]
pub fn gather<'a>(known: &Known<'_>, findings: impl IntoIterator<Item = &'a triage::Record>) -> Facts {
    let placement = &known.device.placement;
    let noticed = Noticed::of(known);
    Facts {
        exposures: known.exposed.map(|exposed| exposed.exposures.clone()).unwrap_or_default(),
        impact: placement.impact.clone(),
        reach: placement.reach.clone(),
        posture: posture(known, &noticed),
        freshness: freshness(known, &noticed),
        findings: findings.into_iter().filter(|record| record.weighs()).map(finding).collect(),
        exposures_unknown: known.exposed.map_or(0, |exposed| exposed.unknown),
        components_unmatchable: known.exposed.map_or(0, |exposed| exposed.unmatchable),
        ..Facts::unknown(known.device.hardware.serial.as_str())
    }
}

impl Known<'_> {
    /// The first field of a row of its inventory.
    fn field(&self, section: Section, key: &str) -> Option<&str> {
        let rows = self.inventory?;
        let place = rows.binary_search_by(|row| (row.section, row.key.as_str()).cmp(&(section, key))).ok()?;
        rows.get(place)?.fields.first().map(String::as_str)
    }

    /// Whether a protection is missing. The inventory says whether it is there; the model asks whether it is not.
    pub(super) fn lacks(&self, key: &str) -> Answer {
        match self.field(Section::Posture, key) {
            Some("yes") => Answer::No,
            Some("no") => Answer::Yes,
            Some(_) | None => Answer::Unknown,
        }
    }

    /// Whether a weakness is there, as the inventory says in the same sense as the model asks.
    pub(super) fn has(&self, key: &str) -> Answer {
        match self.field(Section::Posture, key) {
            Some("yes") => Answer::Yes,
            Some("no") => Answer::No,
            Some(_) | None => Answer::Unknown,
        }
    }

    /// Where it keeps its key, as it says.
    pub(super) fn key_protection(&self) -> KeyProtection {
        let tier = self.report.map(|report| KeyProtection::of(report.key_protection.as_str()));
        tier.unwrap_or_default()
    }

    /// Whether it says that its last update failed.
    pub(super) fn is_failing(&self) -> bool {
        self.report.is_some_and(|report| report.update.state == UpdateState::RolledBack)
    }

    /// Whether it says that it runs something older than its last receipt proves, and said so after that receipt. A trial
    /// may be one of an ordered way back, whose receipt comes when it ends.
    pub(super) fn is_fallen(&self) -> bool {
        let (Some(report), Some((counter, at))) = (self.report, self.ends.ran) else { return false };
        let is_later = self.reported.is_some_and(|reported| reported.seconds() > at);
        let is_amid = matches!(report.update.state, UpdateState::Armed | UpdateState::Trial);
        is_later && !is_amid && report.software.counter < counter
    }
}

pub(super) fn posture(known: &Known<'_>, noticed: &Noticed) -> Posture {
    let holds_data = match known.device.placement.impact.patient_data {
        Some(PatientData::None) => Answer::No,
        Some(PatientData::Limited | PatientData::Bulk) => Answer::Yes,
        None => Answer::Unknown,
    };
    let is_read = known.inventory.is_some();
    Posture {
        read_at: known.seen,
        weak_since: noticed.weak,
        default_credentials: known.has(DEFAULT_CREDENTIALS),
        empty_password: known.has(EMPTY_PASSWORD),
        secure_boot_off: known.lacks("secure-boot"),
        disk_unencrypted: known.lacks("disk-encryption"),
        patient_data_at_rest: if is_read { holds_data } else { Answer::Unknown },
        os_support: support(known.exposed, || os_support(known.field(Section::System, "support-end"))),
        key_protection: known.key_protection(),
        identity_doubted: known.device.doubt.as_ref().map(|doubt| doubt.at),
        ..Posture::default()
    }
}

/// What feeds say of the support of its operating system, or else what it says itself.
pub(super) fn support(exposed: Option<&Exposed>, own: impl FnOnce() -> OsSupport) -> OsSupport {
    match exposed.map(|exposed| exposed.os_support) {
        None | Some(OsSupport::Unknown) => own(),
        Some(said) => said,
    }
}

/// `SUPPORT_END` of os-release(5), a date; unknown where the system does not state one. Whether it has passed is asked
/// when the score is made, not when the device was last seen.
fn os_support(end: Option<&str>) -> OsSupport {
    let at = end.and_then(|date| Timestamp::parse(&alloc::format!("{date}T00:00:00Z")).ok());
    at.map_or(OsSupport::Unknown, |at| OsSupport::Until { at })
}

fn freshness(known: &Known<'_>, noticed: &Noticed) -> Freshness {
    Freshness {
        last_seen: known.seen,
        release: release_age(known.report.map(|report| report.software.counter), known.newest),
        update_failed: known.ends.failed.or(noticed.failing),
        rolled_back: went_back(known.ends.strayed, noticed.fell, known.seen),
        feed_updated: known.exposed.and_then(|exposed| exposed.as_of),
    }
}

/// What runs, by its counter, against the newest release of its model.
#[must_use]
pub fn release_age(running: Option<u64>, newest: Option<&Newest>) -> ReleaseAge {
    match (running, newest) {
        (Some(running), Some(newest)) => match newest.since(running).filter(|_| running < newest.counter) {
            Some(since) => ReleaseAge::Behind {
                newest: newest.release.to_string(),
                since,
                counter: Some(newest.counter),
            },
            None => ReleaseAge::Current,
        },
        (Some(_) | None, _) => ReleaseAge::Unknown,
    }
}

/// When a device went back unasked: by its receipts, or else by a counter that fell and stayed so.
pub(super) fn went_back(
    strayed: Option<Timestamp>,
    fell: Option<Timestamp>,
    seen: Option<Timestamp>,
) -> Option<Timestamp> {
    // A receipt travels by itself: the check-in after a way back may come before it.
    let is_sure = |fell: &Timestamp| seen.is_some_and(|seen| seen.seconds_since(*fell) >= FELL_S);
    strayed.or(fell.filter(is_sure))
}

pub(crate) fn finding(record: &triage::Record) -> Finding {
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
        owner: owner(&record.finding),
    }
}

/// Whose move a finding of this server's own says it is: no device chooses who reads of it.
fn owner(finding: &telemetry::Finding) -> Option<Owner> {
    let is_own = finding.detector.as_str() == health::DETECTOR;
    Owner::of(finding.evidence.get("owner").filter(|_| is_own)?)
}
