//! Where a device stands and what it is for: the owner's word, never the device's.
//!
//! Read next: [`crate::risk::facts`] for what impact and reach weigh.

use alloc::vec::Vec;

use cordon_proto::ids::Text;
use serde::{Deserialize, Serialize};

use crate::risk::facts::{Impact, PatientData, Reach, Severity};

/// Where a device stands and what it is for, in the owner's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// The site.
    pub site: Text,
    /// The ward or room.
    pub ward: Text,
    /// What it is for.
    pub kind: DeviceKind,
    /// Clinical severity and patient data, for the score; missing parts are the model's cautious defaults.
    #[serde(default)]
    pub impact: Impact,
    /// Network zone and place, for the score.
    #[serde(default)]
    pub reach: Reach,
    /// Free text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Text>,
}

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// Gives drugs by line.
    InfusionPump,
    /// Watches vital signs.
    PatientMonitor,
    /// Breathes for a patient.
    Ventilator,
    /// Gives anaesthesia.
    AnaesthesiaMachine,
    /// Cleans blood.
    DialysisMachine,
    /// Restarts hearts.
    Defibrillator,
    /// Makes or shows images.
    ImagingWorkstation,
    /// Measures samples.
    LaboratoryAnalyser,
    /// Stands where anybody can touch it.
    Kiosk,
    /// Connects devices to other systems.
    Gateway,
    /// Used by staff.
    Workstation,
    /// Nothing of the above.
    Other,
}

impl DeviceKind {
    /// The word on the wire, in the store and in lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InfusionPump => "infusion-pump",
            Self::PatientMonitor => "patient-monitor",
            Self::Ventilator => "ventilator",
            Self::AnaesthesiaMachine => "anaesthesia-machine",
            Self::DialysisMachine => "dialysis-machine",
            Self::Defibrillator => "defibrillator",
            Self::ImagingWorkstation => "imaging-workstation",
            Self::LaboratoryAnalyser => "laboratory-analyser",
            Self::Kiosk => "kiosk",
            Self::Gateway => "gateway",
            Self::Workstation => "workstation",
            Self::Other => "other",
        }
    }

    /// What a failure or a leak of such a device usually means (ISO 14971 practice; expert judgement that an owner
    /// may overrule for each token or device). Used where a token says nothing else.
    #[must_use]
    pub fn usual_impact(self) -> Impact {
        let (severity, patient_data) = match self {
            Self::Ventilator | Self::AnaesthesiaMachine => (Severity::LifeSupporting, PatientData::Limited),
            Self::InfusionPump | Self::DialysisMachine | Self::Defibrillator => {
                (Severity::Critical, PatientData::Limited)
            }
            Self::PatientMonitor => (Severity::Serious, PatientData::Limited),
            Self::LaboratoryAnalyser | Self::ImagingWorkstation | Self::Gateway => {
                (Severity::Serious, PatientData::Bulk)
            }
            Self::Workstation => (Severity::Minor, PatientData::Bulk),
            Self::Kiosk => (Severity::Minor, PatientData::Limited),
            Self::Other => return Impact::default(),
        };
        Impact { severity: Some(severity), patient_data: Some(patient_data) }
    }
}
