//! The model `risk-v1`: every figure of the score in one table, with a hash that goes with each score.
//!
//! Sources (`docs/decisions`, evidence on risk): EPSS and its group rule from FIRST, the floor for exploited
//! vulnerabilities from CISA KEV, the order of zones and vectors from CVSS and SSVC, the order of harm from ISO 14971
//! and SSVC human impact. All other magnitudes are judgement, so tests hold their order, not their size. A site may set
//! figures of its own ([`Model::with_all`]) within bounds and without turning an order round ([`order`]): the hash then
//! differs, and the score names what was set. The hash is over [`Model::canonical_text`]; the rules that use the figures are
//! named by the model's id. Read next: [`site`] for what a site's own table is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub mod order;
pub mod site;

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident = $value:literal),+ $(,)?) => {
        /// All figures of a model; probabilities, shares and impacts in ten-thousandths unless the name says otherwise.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Model {
            /// Name of the rules that use the figures.
            pub id: &'static str,
            $($(#[$doc])* pub $name: u32,)+
        }

        /// The model of this release.
        pub const RISK_V1: Model = Model { id: "risk-v1", $($name: $value,)+ };

        impl Model {
            /// Every figure by name, in the fixed order of the canonical text.
            #[must_use]
            pub fn figures(&self) -> Vec<(&'static str, u32)> {
                alloc::vec![$((stringify!($name), self.$name),)+]
            }

            /// The place of a figure by its name.
            fn figure_mut(&mut self, name: &str) -> Option<&mut u32> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }
        }
    };
}

figures! {
    /// No single part is more likely than this.
    probability_most = 9500,
    /// A password of the maker's works.
    default_credentials = 5000,
    /// A remote service without encryption.
    cleartext_service = 2000,
    /// Operating system without support.
    os_ended = 2000,
    /// More for each full year since the end of support.
    os_ended_per_year = 300,
    /// At most for an operating system without support.
    os_ended_most = 4000,
    /// Secure boot off.
    secure_boot_off = 800,
    /// Disk not encrypted.
    disk_unencrypted = 600,
    /// Disk not encrypted, with patient data on it.
    disk_unencrypted_patient_data = 1200,
    /// Debug port open.
    debug_port = 1000,
    /// Each unexpected service open to everybody.
    open_service = 500,
    /// Measured boot differs.
    measured_boot_mismatch = 4000,
    /// The key of its identity lies in a file.
    key_in_file = 200,
    /// There may be a second machine behind its identity; weighs until a person clears it.
    identity_doubted = 3500,
    /// Silent for longer than `silent_days`.
    silent = 400,
    /// Days until a device counts as silent.
    silent_days = 7,
    /// Silent for longer than `silent_long_days`.
    silent_long = 1200,
    /// Days until a device counts as long silent.
    silent_long_days = 30,
    /// Each full period behind the newest release.
    behind_per_period = 200,
    /// Days of such a period.
    behind_period_days = 30,
    /// At most for being behind.
    behind_most = 3000,
    /// Last update failed.
    update_failed = 800,
    /// Went back to an older release.
    rolled_back = 6000,
    /// Advisories older than `feed_stale_days`.
    feed_stale = 300,
    /// Days until advisories count as stale.
    feed_stale_days = 7,
    /// Fresh finding of low severity.
    finding_low = 500,
    /// Fresh finding of medium severity.
    finding_medium = 1500,
    /// Fresh finding of high severity.
    finding_high = 3500,
    /// Fresh finding of critical severity.
    finding_critical = 6000,
    /// Days after which a finding weighs half.
    finding_half_life_days = 7,
    /// Threat of a vulnerability without EPSS.
    epss_assumed = 100,
    /// Severity of a vulnerability without CVSS, in tenths.
    cvss_assumed_tenths = 50,
    /// Least threat of a vulnerability exploited in the wild.
    known_exploited_least = 9000,
    /// Least threat of one used by ransomware.
    ransomware_least = 9500,
    /// Share left by a workaround.
    workaround = 5000,
    /// Physical attack in a locked room.
    physical_locked_room = 500,
    /// Physical attack in a clinical area.
    physical_clinical_area = 1000,
    /// Physical attack in a public place.
    physical_public = 3000,
    /// Local attack in a locked room.
    local_locked_room = 2000,
    /// Local attack in a clinical area.
    local_clinical_area = 3000,
    /// Local attack in a public place.
    local_public = 4500,
    /// Network attack in an isolated zone.
    zone_isolated = 2000,
    /// Network attack in a segmented zone.
    zone_segmented = 5000,
    /// Network attack in a flat network.
    zone_flat = 8000,
    /// Network attack from the internet.
    zone_internet = 10000,
    /// Share of the zone for an adjacent attack.
    adjacent_share = 8000,
    /// The zone counts at most this for an adjacent attack.
    adjacent_zone_most = 8000,
    /// Harm: none.
    severity_none = 4500,
    /// Harm: minor.
    severity_minor = 5500,
    /// Harm: serious.
    severity_serious = 7000,
    /// Harm: critical.
    severity_critical = 8500,
    /// Harm: keeps a patient alive.
    severity_life_supporting = 9500,
    /// Patient data: none.
    patient_data_none = 0,
    /// Patient data: limited.
    patient_data_limited = 1000,
    /// Patient data: bulk.
    patient_data_bulk = 2500,
    /// The lowest impact a device can have; what is above it is the clinical impact's own row.
    impact_least = 4500,
    /// Points from which risk is medium.
    medium_points = 20,
    /// Points from which risk is high.
    high_points = 40,
    /// Points from which risk is critical.
    critical_points = 70,
}

/// Why a changed model is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The model has no figure of this name.
    #[error("the risk model has no figure {0}; `cordonctl score --figures` lists them all")]
    NoSuchFigure(String),
    /// The figure is out of its range.
    #[error("{figure} must lie between {least} and {most}")]
    Range {
        /// Its name.
        figure: &'static str,
        /// The least it may be.
        least: u32,
        /// The most it may be.
        most: u32,
    },
    /// The bands do not rise.
    #[error("the bands must rise: medium_points < high_points < critical_points")]
    Bands,
    /// An order that holds for every table is turned round.
    #[error(
        "{lower} is {lower_value} and {upper} is {upper_value}: the first may not be above the second, because {why}; set both"
    )]
    Order {
        /// The figure that may not be above the other.
        lower: &'static str,
        /// What it would be.
        lower_value: u32,
        /// The other.
        upper: &'static str,
        /// What it would be.
        upper_value: u32,
        /// The rule, in words.
        why: &'static str,
    },
}

/// A figure that a site set otherwise than the model of this release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFigure {
    /// Its name.
    pub figure: String,
    /// What the model of this release says.
    pub ours: u32,
    /// What the site says.
    pub site: u32,
}

impl Default for Model {
    fn default() -> Self {
        RISK_V1
    }
}

impl Model {
    /// This model with one figure changed by the site.
    pub fn with(&self, figure: &str, value: u32) -> Result<Self, ModelError> {
        self.with_all([(figure, value)])
    }

    /// This model with figures changed by the site. They are judged together: bands may all move.
    pub fn with_all<'a>(
        &self,
        figures: impl IntoIterator<Item = (&'a str, u32)>,
    ) -> Result<Self, ModelError> {
        let mut changed = self.clone();
        for (figure, value) in figures {
            let place = changed.figure_mut(figure).ok_or_else(|| ModelError::NoSuchFigure(figure.into()))?;
            *place = value;
        }
        changed.check()?;
        Ok(changed)
    }

    /// Figures that differ from the model of this release: name, ours, the site's.
    #[must_use]
    pub fn set_by_site(&self) -> Vec<(&'static str, u32, u32)> {
        let ours = RISK_V1.figures();
        let pairs = ours.into_iter().zip(self.figures());
        pairs.filter(|(a, b)| a != b).map(|((name, a), (_, b))| (name, a, b)).collect()
    }

    /// The same as a score carries it.
    #[must_use]
    pub fn site_figures(&self) -> Vec<SetFigure> {
        let set = self.set_by_site().into_iter();
        set.map(|(name, ours, site)| SetFigure { figure: name.into(), ours, site }).collect()
    }

    /// The value of a figure by its name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<u32> {
        self.figures().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The text whose SHA-256 names this table: one `name=value` a line, in fixed order.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        let mut text = format!("cordon risk model\nid={}\n", self.id);
        for (name, value) in self.figures() {
            text.push_str(&format!("{name}={value}\n"));
        }
        text
    }

    /// SHA-256 of the canonical text, in lower-case hexadecimal.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        let digest = Sha256::digest(self.canonical_text().as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Refuses figures with which the arithmetic would lose its meaning.
    fn check(&self) -> Result<(), ModelError> {
        for (figure, value) in self.figures() {
            let (least, most) = range(figure);
            if !(least..=most).contains(&value) {
                return Err(ModelError::Range { figure, least, most });
            }
        }
        let rising = self.medium_points < self.high_points && self.high_points < self.critical_points;
        if !rising {
            return Err(ModelError::Bands);
        }
        order::check(self)
    }
}

/// Least and most of a figure, told by the ending of its name.
#[must_use]
pub fn range(figure: &str) -> (u32, u32) {
    if figure.ends_with("_days") {
        (1, 3650)
    } else if figure.ends_with("_points") || figure.ends_with("_tenths") {
        (1, 100)
    } else if figure == "probability_most" {
        (1, 9999)
    } else if figure.starts_with("severity_") {
        (RISK_V1.impact_least, 10_000)
    } else if figure == "impact_least" {
        (RISK_V1.impact_least, RISK_V1.impact_least)
    } else {
        (0, 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_risk_v1_is_what_its_hash_says() {
        // Goal: no figure changes unnoticed under the same name. Method: the hash, pinned.
        let text = RISK_V1.canonical_text();
        assert!(text.starts_with("cordon risk model\nid=risk-v1\nprobability_most=9500\n"), "{text}");
        assert!(text.ends_with("medium_points=20\nhigh_points=40\ncritical_points=70\n"), "{text}");
        assert_eq!(RISK_V1.sha256_hex(), include_str!("golden/model.sha256").trim());
        assert_eq!(RISK_V1.check(), Ok(()));
        assert_eq!(RISK_V1.set_by_site(), []);
    }

    #[test]
    fn a_site_may_change_a_figure_and_the_hash_tells() {
        // Goal: overriding is possible, visible and bounded. Method: one good change, three bad ones.
        let changed = RISK_V1.with("default_credentials", 9000).unwrap();
        assert_ne!(changed.sha256_hex(), RISK_V1.sha256_hex());
        assert_eq!(changed.set_by_site(), [("default_credentials", 5000, 9000)]);
        let said =
            crate::risk::score(&crate::risk::Facts::unknown("P"), &changed, crate::risk::examples::NOW)
                .set_by_site;
        let said: Vec<_> = said.iter().map(|set| (set.figure.as_str(), set.ours, set.site)).collect();
        assert_eq!(said, [("default_credentials", 5000, 9000)], "each score says so");
        assert_eq!(RISK_V1.with("luck", 1), Err(ModelError::NoSuchFigure("luck".into())));
        assert!(matches!(
            RISK_V1.with("silent_days", 0),
            Err(ModelError::Range { figure: "silent_days", .. })
        ));
        assert!(matches!(RISK_V1.with("rolled_back", 10_001), Err(ModelError::Range { .. })));
        assert!(matches!(RISK_V1.with("impact_least", 5000), Err(ModelError::Range { .. })));
        assert_eq!(RISK_V1.with("high_points", 80), Err(ModelError::Bands));
        let moved = RISK_V1.with_all([("high_points", 80), ("critical_points", 90)]).unwrap();
        assert_eq!((moved.high_points, moved.critical_points), (80, 90));
    }
}
