//! How a device stands, in the console's words: its states, its kind, its place, its release.
//!
//! Text that a device or a token supplied leaves here as `Said`, never as markup. Nothing is decided about a device;
//! the same words stand on every page. Read next: `ui::state` for shapes and their order.

use cordon_proto::checkin::{InterlockState, UpdateState};
use cordon_proto::ids::TargetPath;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::waiting;
use cordon_server_core::device::{Device, DeviceKind, Source, State as Trust};
use cordon_server_core::risk::facts::FindingSeverity;
use cordon_server_core::rollout::{Covers, ward_name};

use crate::fleet::Member;
use crate::ui::act::Thing;
use crate::ui::{DeviceState, Said};

/// Seconds without a request after which a device counts as silent.
pub(super) const SILENT_S: i64 = 86_400;
/// How a token says that it does not know where a device will stand.
const UNKNOWN: &str = "unknown";

/// All states that hold for a device, the one that matters most first; never empty.
pub(super) fn states_of(member: &Member, now: Timestamp) -> Vec<DeviceState> {
    let mut states = Vec::new();
    match member.device.state {
        Trust::Listed if waiting(&member.device, now).is_some() => return vec![DeviceState::ToApprove],
        Trust::Listed => return vec![DeviceState::Listed],
        Trust::Expected => return vec![DeviceState::Expected],
        Trust::Pending => return vec![DeviceState::ToApprove],
        Trust::Retired => return vec![DeviceState::Retired],
        Trust::Lost => states.push(DeviceState::Lost),
        Trust::Quarantined => states.push(DeviceState::Quarantined),
        Trust::Active => {}
    }
    if now >= silent_from(member) {
        states.push(DeviceState::Silent { last_seen: member.seen });
    }
    if let Some(report) = &member.report {
        states.extend(match report.update.state {
            UpdateState::Fetching | UpdateState::Waiting | UpdateState::Armed | UpdateState::Trial => {
                Some(DeviceState::Updating)
            }
            UpdateState::RolledBack => Some(DeviceState::RolledBack),
            UpdateState::Refused => Some(DeviceState::Refused),
            UpdateState::Idle | UpdateState::Confirmed => None,
        });
        states.extend(match report.interlock {
            InterlockState::InUse => {
                Some(DeviceState::InUse { patient: touches_patients(member.device.placement.kind) })
            }
            InterlockState::Standby => Some(DeviceState::Standby),
            InterlockState::Service | InterlockState::Unknown => None,
        });
    }
    if states.is_empty() {
        states.push(DeviceState::Online);
    }
    states.sort_by_key(|state| state.rank());
    states
}

/// From when on a device counts as silent if it says nothing more.
pub(super) fn silent_from(member: &Member) -> Timestamp {
    match member.device.source {
        Source::Agent => member.seen.unwrap_or(member.device.since).plus_seconds(SILENT_S),
        // Whoever has no agent cannot fall silent.
        Source::Observed | Source::Imported => Timestamp(i64::MAX),
    }
}

/// Whether a device belongs to the fleet that is counted: neither still to come nor gone.
pub(super) fn is_counted(member: &Member) -> bool {
    match member.device.state {
        Trust::Listed | Trust::Pending | Trust::Active | Trust::Quarantined | Trust::Lost => true,
        Trust::Expected | Trust::Retired => false,
    }
}

fn touches_patients(kind: DeviceKind) -> bool {
    match kind {
        DeviceKind::InfusionPump
        | DeviceKind::PatientMonitor
        | DeviceKind::Ventilator
        | DeviceKind::AnaesthesiaMachine
        | DeviceKind::DialysisMachine
        | DeviceKind::Defibrillator => true,
        DeviceKind::ImagingWorkstation
        | DeviceKind::LaboratoryAnalyser
        | DeviceKind::Kiosk
        | DeviceKind::Gateway
        | DeviceKind::Workstation
        | DeviceKind::Other => false,
    }
}

/// One and many of a kind.
pub(super) fn kind_words(kind: DeviceKind) -> (&'static str, &'static str) {
    match kind {
        DeviceKind::InfusionPump => ("Infusion pump", "Infusion pumps"),
        DeviceKind::PatientMonitor => ("Patient monitor", "Patient monitors"),
        DeviceKind::Ventilator => ("Ventilator", "Ventilators"),
        DeviceKind::AnaesthesiaMachine => ("Anaesthesia machine", "Anaesthesia machines"),
        DeviceKind::DialysisMachine => ("Dialysis machine", "Dialysis machines"),
        DeviceKind::Defibrillator => ("Defibrillator", "Defibrillators"),
        DeviceKind::ImagingWorkstation => ("Imaging workstation", "Imaging workstations"),
        DeviceKind::LaboratoryAnalyser => ("Laboratory analyser", "Laboratory analysers"),
        DeviceKind::Kiosk => ("Kiosk", "Kiosks"),
        DeviceKind::Gateway => ("Gateway", "Gateways"),
        DeviceKind::Workstation => ("Workstation", "Workstations"),
        DeviceKind::Other => ("Other device", "Other devices"),
    }
}

/// Ward and site, as far as somebody said.
pub(super) fn place_words(device: &Device) -> String {
    let known = |text: &str| (text != UNKNOWN).then(|| text.to_owned());
    let (ward, site) = (known(device.placement.ward.as_str()), known(device.placement.site.as_str()));
    match (ward, site) {
        (Some(ward), Some(site)) => format!("{ward}, {site}"),
        (Some(place), None) | (None, Some(place)) => place,
        (None, None) => "Not placed".into(),
    }
}

/// Whether somebody said in which ward it stands.
pub(super) fn is_placed(device: &Device) -> bool {
    device.placement.ward.as_str() != UNKNOWN
}

/// A release as people name it: the last part of its path.
pub(super) fn release_words(release: &TargetPath) -> &str {
    release.as_str().rsplit('/').next().unwrap_or(release.as_str())
}

/// The severity that the score knows.
pub(super) fn severity_of(severity: Severity) -> FindingSeverity {
    match severity {
        Severity::Low => FindingSeverity::Low,
        Severity::Medium => FindingSeverity::Medium,
        Severity::High => FindingSeverity::High,
        Severity::Critical => FindingSeverity::Critical,
    }
}

/// A device as the question of an act names it.
pub(super) fn thing_of(member: &Member, now: Timestamp) -> Thing {
    Thing {
        id: member.id().to_string(),
        name: member.device.called().as_str().into(),
        place: place_words(&member.device).into(),
        state: states_of(member, now).first().copied().unwrap_or(DeviceState::Online),
        key: None,
    }
}

/// Whether a hold covers a device, as `Book::held` has it.
pub(super) fn covers(what: &Covers, device: &Device) -> bool {
    let placement = &device.placement;
    match what {
        Covers::Ward(name) => *name == ward_name(placement.site.as_str(), placement.ward.as_str()),
        Covers::Site(name) => *name == placement.site.as_str(),
        Covers::Model(name) => *name == device.hardware.model.as_str(),
    }
}

/// What a hold covers, in words.
pub(super) fn covers_words(covers: &Covers) -> Said {
    match covers {
        Covers::Ward(name) => match name.split_once('/') {
            Some((site, ward)) => format!("ward {ward} of {site}").into(),
            None => format!("ward {name}").into(),
        },
        Covers::Site(name) => format!("site {name}").into(),
        Covers::Model(name) => format!("model {name}").into(),
    }
}
