//! The words of each part of a score: its identity, its kind, the reason and the evidence under it; and the questions
//! that nobody answered.
//!
//! Text that a device or a file supplied (services, titles, packages) is passed through as data; whoever shows it
//! escapes and cuts it. Read next: [`super::hazard`] for the causes, [`super::score`] for who uses the words.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::facts::{
    Answer, Exposure, Facts, FindingSeverity, Impact, OsSupport, PatientData, Place, ReleaseAge, Severity,
    Treatment, Zone,
};
use super::hazard::{ASSUMED_PLACE, ASSUMED_ZONE, Cause, DAY_S};
use super::model::Model;
use super::score::Kind;

impl<'a> Cause<'a> {
    /// Identity of the part inside one score; decides ties.
    #[must_use]
    pub fn id(&self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::DefaultCredentials => "posture:default-credentials",
            Self::EmptyPassword => "posture:empty-password",
            Self::CleartextService => "posture:cleartext-service",
            Self::OsEnded(_) => "posture:os-support",
            Self::SecureBootOff => "posture:secure-boot",
            Self::DiskUnencrypted(_) => "posture:disk-encryption",
            Self::DebugPort => "posture:debug-port",
            Self::MeasuredBootMismatch => "posture:measured-boot",
            Self::KeyInFile => "posture:key-in-file",
            Self::IdentityDoubted(_) => "posture:identity-doubted",
            Self::Silent(_) => "freshness:silent",
            Self::Behind(..) => "freshness:behind",
            Self::UpdateFailed(_) => "freshness:update-failed",
            Self::RolledBack(_) => "freshness:rolled-back",
            Self::FeedStale(_) => "freshness:advisories",
            Self::OpenService(name) => return Cow::Owned(format!("posture:open-service:{name}")),
            Self::Finding(finding) => finding.id.as_str(),
            Self::Exposure(exposure) => return Cow::Owned(format!("{}:{}", exposure.id, exposure.package)),
        })
    }

    /// The kind, which decides the colour.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::DefaultCredentials
            | Self::EmptyPassword
            | Self::CleartextService
            | Self::OsEnded(_)
            | Self::SecureBootOff
            | Self::DiskUnencrypted(_)
            | Self::DebugPort
            | Self::OpenService(_)
            | Self::MeasuredBootMismatch
            | Self::KeyInFile
            | Self::IdentityDoubted(_) => Kind::Posture,
            Self::Silent(_)
            | Self::Behind(..)
            | Self::UpdateFailed(_)
            | Self::RolledBack(_)
            | Self::FeedStale(_) => Kind::Freshness,
            Self::Finding(_) => Kind::Behaviour,
            Self::Exposure(_) => Kind::Vulnerability,
        }
    }

    /// The reason in one line.
    #[must_use]
    pub fn reason(&self, now: Timestamp) -> String {
        match self {
            Self::DefaultCredentials => "A password of the maker's still works".into(),
            Self::EmptyPassword => "An account that may sign in needs no password".into(),
            Self::CleartextService => "A remote service speaks without encryption".into(),
            Self::OsEnded(_) => "Operating system without support".into(),
            Self::SecureBootOff => "Secure boot is off".into(),
            Self::DiskUnencrypted(false) => "Disk is not encrypted".into(),
            Self::DiskUnencrypted(true) => "Disk with patient data is not encrypted".into(),
            Self::DebugPort => "Debug port is open".into(),
            Self::OpenService(name) => format!("Unexpected service {name} is open to everybody"),
            Self::MeasuredBootMismatch => "Measured boot differs from its release".into(),
            Self::KeyInFile => "The key of its identity lies in a file that can be copied".into(),
            Self::IdentityDoubted(_) => "There may be a second machine with its identity".into(),
            Self::Silent(at) => format!("Has not reported for {}", age(*at, now)),
            Self::Behind(newest, since) => format!("{} behind release {newest}", age(*since, now)),
            Self::UpdateFailed(_) => "Last update failed".into(),
            Self::RolledBack(_) => "Went back to an older release".into(),
            Self::FeedStale(at) => format!("Advisories are {} old", age(*at, now)),
            Self::Finding(finding) => finding.title.clone(),
            Self::Exposure(exposure) => exposure_reason(exposure),
        }
    }

    /// The evidence under the reason.
    #[must_use]
    pub fn evidence(&self, facts: &Facts, now: Timestamp) -> String {
        match self {
            Self::Silent(at) => format!("Last report {}", day(*at)),
            Self::Behind(_, since) => format!("A newer release exists since {}", day(*since)),
            Self::UpdateFailed(at) | Self::RolledBack(at) => format!("Seen {}", ago(*at, now)),
            Self::FeedStale(at) => format!("Newest import of {}", day(*at)),
            Self::OsEnded(at) => format!("Support ended {}", day(*at)),
            Self::IdentityDoubted(at) => format!("Seen first {}; nobody has cleared it", ago(*at, now)),
            Self::Finding(finding) => {
                format!(
                    "Finding {}, {}, last seen {}",
                    finding.id,
                    severity_word(finding.severity),
                    ago(finding.at, now)
                )
            }
            Self::Exposure(exposure) => exposure_evidence(exposure, facts),
            Self::DefaultCredentials
            | Self::EmptyPassword
            | Self::CleartextService
            | Self::SecureBootOff
            | Self::DiskUnencrypted(_)
            | Self::DebugPort
            | Self::OpenService(_)
            | Self::KeyInFile
            | Self::MeasuredBootMismatch => match facts.posture.read_at {
                Some(at) => format!("Told by the device {}", ago(at, now)),
                None => "Told by the device".into(),
            },
        }
    }
}

/// Reason and evidence of the clinical impact row.
pub(super) fn impact_words(facts: &Facts, model: &Model) -> (String, String) {
    let reason = match severity(&facts.impact) {
        Severity::LifeSupporting => "It keeps a patient alive: clinical impact",
        Severity::Critical => "Its failure can do lasting harm: clinical impact",
        Severity::Serious => "Its failure can do harm that needs treatment: clinical impact",
        Severity::Minor => "Its failure can do harm that passes: clinical impact",
        Severity::None => "It can reach patient data: clinical impact",
    };
    let harm = match severity(&facts.impact) {
        Severity::None => "No part in care",
        Severity::Minor => "Minor harm",
        Severity::Serious => "Serious harm",
        Severity::Critical => "Critical harm",
        Severity::LifeSupporting => "Life-supporting",
    };
    let records = match patient_data(&facts.impact) {
        PatientData::None => "no patient data",
        PatientData::Limited => "limited patient data",
        PatientData::Bulk => "patient data in bulk",
    };
    let (s, d) = impact_figures(&facts.impact, model);
    (reason.into(), format!("{harm} {}, {records} {}", share(s), share(d)))
}

/// The figures S and D of a device, in ten-thousandths.
pub(super) fn impact_figures(impact: &Impact, model: &Model) -> (u32, u32) {
    let severity = match severity(impact) {
        Severity::None => model.severity_none,
        Severity::Minor => model.severity_minor,
        Severity::Serious => model.severity_serious,
        Severity::Critical => model.severity_critical,
        Severity::LifeSupporting => model.severity_life_supporting,
    };
    let data = match patient_data(impact) {
        PatientData::None => model.patient_data_none,
        PatientData::Limited => model.patient_data_limited,
        PatientData::Bulk => model.patient_data_bulk,
    };
    (severity, data)
}

/// Ten-thousandths as a number with two decimals, or four where two would not say it.
fn share(ten_thousandths: u32) -> String {
    let (whole, part) = (ten_thousandths / 10_000, ten_thousandths % 10_000);
    if part % 100 == 0 { format!("{whole}.{:02}", part / 100) } else { format!("{whole}.{part:04}") }
}

/// Severity of a device, assumed where nobody stated it.
pub(super) fn severity(impact: &Impact) -> Severity {
    impact.severity.unwrap_or(Severity::Serious)
}

/// Patient data of a device, assumed where nobody stated it.
pub(super) fn patient_data(impact: &Impact) -> PatientData {
    impact.patient_data.unwrap_or(PatientData::Limited)
}

/// Questions nobody answered, in words that follow "Not known:".
#[must_use]
pub fn unknown(facts: &Facts) -> Vec<String> {
    let posture = &facts.posture;
    let mut unknown = Vec::new();
    for (answer, words) in [
        (posture.default_credentials, "whether a password of the maker's works"),
        (posture.empty_password, "whether an account needs no password"),
        (posture.cleartext_service, "whether a remote service speaks without encryption"),
        (posture.secure_boot_off, "secure boot"),
        (posture.disk_unencrypted, "disk encryption"),
        (posture.debug_port, "debug port"),
        (posture.measured_boot_mismatch, "measured boot"),
    ] {
        if answer == Answer::Unknown {
            unknown.push(words.to_string());
        }
    }
    let more = [
        (posture.os_support == OsSupport::Unknown, "support of the operating system"),
        (posture.open_services.is_none(), "unexpected open services"),
        (facts.freshness.last_seen.is_none(), "when it was last seen"),
        (facts.freshness.release == ReleaseAge::Unknown, "whether it runs the newest release"),
        (
            facts.freshness.feed_updated.is_none()
                && facts.exposures.is_empty()
                && facts.exposures_unknown == 0,
            "vulnerabilities: no advisories were imported",
        ),
    ];
    unknown.extend(more.iter().filter(|(missing, _)| *missing).map(|(_, words)| (*words).to_string()));
    match facts.exposures_unknown {
        0 => {}
        1 => unknown.push("whether one more vulnerability hits it".into()),
        many => unknown.push(format!("whether {many} more vulnerabilities hit it")),
    }
    match facts.components_unmatchable {
        0 => {}
        1 => unknown.push("vulnerabilities of one component: no advisories for it can be matched".into()),
        many => {
            unknown
                .push(format!("vulnerabilities of {many} components: no advisories for them can be matched"));
        }
    }
    unknown
}

/// Values the score had to assume, in words; of vulnerabilities one line for all that lack the same.
#[must_use]
pub fn assumed(facts: &Facts, model: &Model) -> Vec<String> {
    let mut assumed = Vec::new();
    if facts.impact.severity.is_none() {
        assumed.push("clinical severity: serious".into());
    }
    if facts.impact.patient_data.is_none() {
        assumed.push("patient data: limited".into());
    }
    if facts.reach.zone.is_none() {
        assumed.push("network: flat".into());
    }
    if facts.reach.place.is_none() {
        assumed.push("place: clinical area".into());
    }
    let tenths = model.cvss_assumed_tenths;
    let without = [
        ("EPSS", share(model.epss_assumed), which(facts, |exposure| exposure.epss_millionths.is_none())),
        (
            "CVSS",
            format!("{}.{}", tenths / 10, tenths % 10),
            which(facts, |exposure| exposure.cvss.is_none()),
        ),
    ];
    assumed.extend(
        without.into_iter().filter_map(|(what, value, of)| Some(format!("{what} of {}: {value}", of?))),
    );
    assumed
}

/// The vulnerabilities that lack something, in words: the one by its name, many by their number.
fn which(facts: &Facts, lacks: impl Fn(&Exposure) -> bool) -> Option<String> {
    let weighs = |exposure: &&Exposure| match exposure.treatment {
        Treatment::None | Treatment::Workaround => true,
        Treatment::NotAffected | Treatment::Fixed => false,
    };
    let lacking = facts.exposures.iter().filter(weighs).filter(|exposure| lacks(exposure));
    let ids: BTreeSet<&str> = lacking.map(|exposure| exposure.id.as_str()).collect();
    match ids.len() {
        0 => None,
        1 => ids.first().map(|id| (*id).to_string()),
        many => Some(format!("{many} vulnerabilities")),
    }
}

/// An age in whole units: minutes, hours, then days.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.seconds_since(at).max(0);
    if seconds < 3600 {
        let minutes = (seconds / 60).max(1);
        format!("{minutes} min")
    } else if seconds < 2 * DAY_S {
        format!("{} h", seconds / 3600)
    } else {
        format!("{} days", seconds / DAY_S)
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", age(at, now))
}

/// The UTC date of a time, `YYYY-MM-DD`.
fn day(at: Timestamp) -> String {
    let [year, month, day, ..] = at.civil();
    format!("{year:04}-{month:02}-{day:02}")
}

fn severity_word(severity: FindingSeverity) -> &'static str {
    match severity {
        FindingSeverity::Low => "low",
        FindingSeverity::Medium => "medium",
        FindingSeverity::High => "high",
        FindingSeverity::Critical => "critical",
    }
}

fn exposure_reason(exposure: &Exposure) -> String {
    let note = match (exposure.known_exploited, exposure.ransomware) {
        (true, true) => ", used by ransomware",
        (true, false) => ", exploited in the wild",
        (false, _) => "",
    };
    format!("{} in {}{note}", exposure.id, exposure.package)
}

fn exposure_evidence(exposure: &Exposure, facts: &Facts) -> String {
    let zone = match facts.reach.zone.unwrap_or(ASSUMED_ZONE) {
        Zone::Isolated => "an isolated network",
        Zone::Segmented => "its own network segment",
        Zone::Flat => "a flat network",
        Zone::Internet => "the internet",
    };
    let place = match facts.reach.place.unwrap_or(ASSUMED_PLACE) {
        Place::LockedRoom => "a locked room",
        Place::ClinicalArea => "a clinical area",
        Place::Public => "a public place",
    };
    let from = match exposure.vector {
        super::facts::Vector::Network | super::facts::Vector::Adjacent => zone,
        super::facts::Vector::Local | super::facts::Vector::Physical => place,
    };
    let cvss =
        exposure.cvss.map_or("not known".into(), |cvss| format!("{}.{}", cvss.tenths / 10, cvss.tenths % 10));
    let repaired = match (&exposure.fixed_version, &exposure.fixed_in) {
        (Some(version), None) => format!(". Repaired in {version}, which no release of the maker has"),
        (Some(version), Some(_)) => format!(". Repaired in {version}"),
        (None, _) => String::new(),
    };
    format!("CVSS {cvss}. Reachable from {from}{repaired}")
}
