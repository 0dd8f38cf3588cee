//! What is known about one device, as far as its risk is concerned.
//!
//! These are plain values that the fleet view fills from stored facts and that `cordonctl score --facts` reads from a
//! file (`docs/schemas/facts.json`). A missing field means "not known", never "no". Probabilities and scores are
//! integers with their unit in the name, so that one fact has one text. Nothing here computes; read [`super::hazard`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::next_step::Owner;

/// Everything the score of one device depends on, besides the model and the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The device, in whatever name the caller uses; copied into the score.
    pub device: String,
    /// What a failure or a leak of this device would mean.
    #[serde(default)]
    pub impact: Impact,
    /// From where an attacker can reach it.
    #[serde(default)]
    pub reach: Reach,
    /// How the device is set up.
    #[serde(default)]
    pub posture: Posture,
    /// How current the device, and what we know of it, is.
    #[serde(default)]
    pub freshness: Freshness,
    /// Open and acknowledged findings about it.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Components that an advisory hits, one for each alias group and source package.
    #[serde(default)]
    pub exposures: Vec<Exposure>,
    /// Vulnerabilities of which nobody can say whether they hit a component of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exposures_unknown: u32,
    /// Components for which no advisories are published in a form that can be matched.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub components_unmatchable: u32,
}

/// Whether there are none of these; such a count is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Why facts that can be read make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFact {
    /// A chance above one.
    #[error("epss_millionths of {0} is above 1000000: EPSS is a chance, write 0.0123 as 12300")]
    Epss(String),
    /// A severity above ten.
    #[error("cvss.tenths of {0} is above 100: write a CVSS of 9.8 as 98")]
    Cvss(String),
}

impl Facts {
    /// Facts of a device of which nothing is known yet.
    #[must_use]
    pub fn unknown(device: &str) -> Self {
        Self {
            device: device.into(),
            impact: Impact::default(),
            reach: Reach::default(),
            posture: Posture::default(),
            freshness: Freshness::default(),
            findings: Vec::new(),
            exposures: Vec::new(),
            exposures_unknown: 0,
            components_unmatchable: 0,
        }
    }

    /// Refuses figures that are none, which a score would cut to the nearest that is.
    pub fn check(&self) -> Result<(), NoFact> {
        for exposure in &self.exposures {
            if exposure.epss_millionths.is_some_and(|millionths| millionths > 1_000_000) {
                return Err(NoFact::Epss(exposure.id.clone()));
            }
            if exposure.cvss.is_some_and(|cvss| cvss.tenths > 100) {
                return Err(NoFact::Cvss(exposure.id.clone()));
            }
        }
        Ok(())
    }
}

/// Answer to a yes-or-no question about a device. "No" is only said by somebody who looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nobody looked, or the device cannot say.
    #[default]
    Unknown,
    /// Looked, and it is not so.
    No,
    /// Looked, and it is so.
    Yes,
}

/// Clinical severity and patient data; the owner or the maker states both for a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Impact {
    /// Harm to a patient if the device fails or misleads; missing: assumed serious.
    pub severity: Option<Severity>,
    /// Patient data that the device can reach; missing: assumed limited.
    pub patient_data: Option<PatientData>,
}

/// Harm to a patient, in the steps of ISO 14971 practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// No part in care.
    None,
    /// Inconvenience, or harm that passes.
    Minor,
    /// Harm that needs treatment.
    Serious,
    /// Lasting harm.
    Critical,
    /// Keeps a patient alive.
    LifeSupporting,
}

/// Patient data within reach of somebody who takes the device over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatientData {
    /// None.
    None,
    /// Of the few patients it is used for.
    Limited,
    /// Of many patients.
    Bulk,
}

/// Where the device stands: in the network and in the building.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reach {
    /// Kind of network; missing: assumed flat.
    pub zone: Option<Zone>,
    /// Who can walk up to it; missing: assumed a clinical area.
    pub place: Option<Place>,
}

impl Reach {
    /// How many there are.
    pub const KINDS: usize = 20;

    /// A number below [`Reach::KINDS`] for each.
    #[must_use]
    pub fn number(&self) -> usize {
        let zone = match self.zone {
            None => 0,
            Some(Zone::Isolated) => 1,
            Some(Zone::Segmented) => 2,
            Some(Zone::Flat) => 3,
            Some(Zone::Internet) => 4,
        };
        let place = match self.place {
            None => 0,
            Some(Place::LockedRoom) => 1,
            Some(Place::ClinicalArea) => 2,
            Some(Place::Public) => 3,
        };
        zone * 4 + place
    }
}

/// Who can reach the device over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    /// Only its own counterpart.
    Isolated,
    /// Devices of its kind.
    Segmented,
    /// Anything in the building.
    Flat,
    /// Anything on the internet.
    Internet,
}

/// Who can stand before the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Staff with a key.
    LockedRoom,
    /// Staff, patients, visitors in company.
    ClinicalArea,
    /// Anybody: a kiosk.
    Public,
}

/// How the device is set up. Every question is "is this weakness there?".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Posture {
    /// When the device last told this.
    pub read_at: Option<Timestamp>,
    /// Since when the weaknesses below are known; deadlines count from it.
    pub weak_since: Option<Timestamp>,
    /// A password or key that the maker gives to every device of the model works.
    pub default_credentials: Answer,
    /// An account that may sign in needs no password.
    pub empty_password: Answer,
    /// A remote service speaks without encryption.
    pub cleartext_service: Answer,
    /// Support of the operating system.
    pub os_support: OsSupport,
    /// Secure boot is off.
    pub secure_boot_off: Answer,
    /// The disk is not encrypted.
    pub disk_unencrypted: Answer,
    /// Patient data lies on that disk.
    pub patient_data_at_rest: Answer,
    /// A debug port is open.
    pub debug_port: Answer,
    /// Services open to everybody that no profile expects, such as `4444/tcp`; missing: nobody looked.
    pub open_services: Option<Vec<String>>,
    /// The measured boot differs from what the release should measure.
    pub measured_boot_mismatch: Answer,
    /// Where the device keeps the key of its identity, as it says.
    pub key_protection: KeyProtection,
    /// Since when there may be a second machine behind its identity.
    pub identity_doubted: Option<Timestamp>,
}

/// Where a device keeps the key of its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyProtection {
    /// It has not said, or says a word that is not known here.
    #[default]
    Unknown,
    /// In a file, which can be copied.
    File,
    /// In a token or a secure element (PKCS#11).
    Pkcs11,
    /// In a TPM.
    Tpm,
}

impl KeyProtection {
    /// The tier of a device's own word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "file" => Self::File,
            "pkcs11" => Self::Pkcs11,
            "tpm" => Self::Tpm,
            _ => Self::Unknown,
        }
    }
}

/// Whether the maker of the operating system still repairs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OsSupport {
    /// The system or its dates are not known.
    #[default]
    Unknown,
    /// Still repaired.
    Supported,
    /// Repaired until then, and not any more after it; a date that has passed needs nobody to say so again.
    Until {
        /// Until when.
        at: Timestamp,
    },
    /// Not repaired any more.
    Ended {
        /// Since when.
        at: Timestamp,
    },
}

/// How current the device, and what we know of it, is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freshness {
    /// Last authenticated report; missing: never.
    pub last_seen: Option<Timestamp>,
    /// The running release against the newest one signed for it.
    pub release: ReleaseAge,
    /// The last update failed, and none has succeeded since; when it did.
    pub update_failed: Option<Timestamp>,
    /// A return to an older release that no order of ours asked for was seen, and no later confirmation of a newer one.
    pub rolled_back: Option<Timestamp>,
    /// Date of the newest advisories that were matched; missing: none were ever imported.
    pub feed_updated: Option<Timestamp>,
}

/// The running release against the newest one signed for the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReleaseAge {
    /// The running release, or what is newest, is not known.
    #[default]
    Unknown,
    /// Runs the newest.
    Current,
    /// Runs an older one.
    Behind {
        /// The newest release, by name.
        newest: String,
        /// Since when there is something newer than what runs.
        since: Timestamp,
        /// The newest release's counter; missing: not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counter: Option<u64>,
    },
}

impl ReleaseAge {
    /// The same without the name of the newest release, which costs memory and weighs nothing.
    #[must_use]
    pub fn wordless(&self) -> Self {
        match *self {
            Self::Unknown => Self::Unknown,
            Self::Current => Self::Current,
            Self::Behind { newest: _, since, counter } => {
                Self::Behind { newest: String::new(), since, counter }
            }
        }
    }
}

/// A finding that a detector or a check made about this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Identity of the finding, as people see it.
    pub id: String,
    /// What kind it is (its detector); of one kind only the weightiest counts.
    pub kind: String,
    /// Its title, what the device does.
    pub title: String,
    /// How grave it is.
    pub severity: FindingSeverity,
    /// When it was last seen to happen.
    pub at: Timestamp,
    /// Whose move it is, where the finding says so: a drive that wears out is no matter of the security team's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// Gravity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    /// Worth knowing.
    Low,
    /// Worth a look.
    Medium,
    /// Look today.
    High,
    /// Look now.
    Critical,
}

/// A component of the device that an advisory hits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// The alias group's name, mostly its CVE.
    pub id: String,
    /// Source package and version, as matched.
    pub package: String,
    /// The source package without its version; missing: `package` up to its last blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Chance of exploitation anywhere within 30 days (EPSS), in millionths; missing: assumed.
    #[serde(default)]
    pub epss_millionths: Option<u32>,
    /// Severity; missing: assumed.
    #[serde(default)]
    pub cvss: Option<Cvss>,
    /// From where it can be attacked.
    #[serde(default)]
    pub vector: Vector,
    /// Listed as exploited in the wild (CISA KEV).
    #[serde(default)]
    pub known_exploited: bool,
    /// Listed as used by ransomware.
    #[serde(default)]
    pub ransomware: bool,
    /// What a VEX statement or the release says about it.
    #[serde(default)]
    pub treatment: Treatment,
    /// The first release that removes it, if there is one; every later one removes it too.
    #[serde(default)]
    pub fixed_in: Option<String>,
    /// That release's counter; missing: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_counter: Option<u64>,
    /// The version of the source package that repairs it, whether a release has it or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_version: Option<String>,
    /// Since when it is known of this device.
    #[serde(default)]
    pub known_since: Option<Timestamp>,
    /// Can be exploited by a machine alone (SSVC); unknown counts as yes.
    #[serde(default)]
    pub automatable: Answer,
    /// Gives total control (SSVC technical impact); unknown counts as yes.
    #[serde(default)]
    pub total_control: Answer,
}

impl Exposure {
    /// The source package without its version: of one alias group in it only the weightiest exposure counts.
    #[must_use]
    pub fn source_name(&self) -> &str {
        let named = self.source.as_deref();
        named.unwrap_or_else(|| self.package.rsplit_once(' ').map_or(self.package.as_str(), |(name, _)| name))
    }

    /// Whether the newest release, of this counter, removes it. Of what no counter says otherwise it does: the first release
    /// that removes something is no newer than the newest.
    #[must_use]
    pub fn is_removed_by_newest(&self, newest: Option<u64>) -> bool {
        let is_newer = self.fixed_counter.zip(newest).is_some_and(|(fixed, newest)| fixed > newest);
        self.fixed_in.is_some() && !is_newer
    }
}

/// A CVSS score and what it already contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cvss {
    /// The score times ten, 0 to 100.
    pub tenths: u8,
    /// What the score describes.
    #[serde(default)]
    pub source: CvssSource,
}

/// What a CVSS score describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CvssSource {
    /// The vulnerability as such: v4 base, else v3.1 base.
    #[default]
    Base,
    /// The vulnerability in this device, scored by the maker with the MITRE rubric for medical devices; reach and
    /// workarounds are already in it.
    MakerEnvironmental,
}

/// CVSS attack vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vector {
    /// Hands on the device.
    Physical,
    /// A session on the device.
    Local,
    /// The same network segment.
    Adjacent,
    /// Any network path; assumed where nothing is said.
    #[default]
    Network,
}

/// What is said about an exposure on this device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Nothing.
    #[default]
    None,
    /// A workaround is in place.
    Workaround,
    /// The device is not affected (VEX with justification).
    NotAffected,
    /// It is fixed in what runs.
    Fixed,
}
