//! A site's own figures of the risk model: what is stored, and how it may change.
//!
//! Only what differs from the model of this release is kept, so that a later release's better figure reaches a site that
//! never touched it. A stored table that this release does not understand is an error for whoever reads it, never a table
//! of other figures in silence. Read next: [`super::order`] for what no site may set.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Model, ModelError, RISK_V1};

/// The version of the stored document.
const VERSION: u32 = 1;

/// The figures that a site set, with who set them last, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteModel {
    /// Version of this document.
    pub v: u32,
    /// The figures by name.
    pub figures: BTreeMap<String, u32>,
    /// Why they were set so.
    pub reason: Text,
    /// Who did it, as the journal writes it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What is to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// Figures to set.
    pub set: BTreeMap<String, u32>,
    /// Figures to go back to the model of this release.
    pub reset: Vec<String>,
    /// All figures are to go back, before any is set.
    pub reset_all: bool,
}

/// Why a site's table is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteRefused {
    /// The table has no meaning.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A figure is to be set and to go back.
    #[error("{0} is to be set and to go back at once: say one of the two")]
    Both(String),
    /// Nothing would change.
    #[error("every figure is so already: nothing was changed")]
    Nothing,
}

impl Changes {
    /// The table after these changes, with the figures that differ from the model of this release.
    ///
    /// # Errors
    /// The table would have no meaning, or nothing would change.
    pub fn over(&self, before: &Model) -> Result<(Model, BTreeMap<String, u32>), SiteRefused> {
        let mut figures: BTreeMap<String, u32> = match self.reset_all {
            true => BTreeMap::new(),
            false => before.set_by_site().into_iter().map(|(name, _, site)| (name.into(), site)).collect(),
        };
        for name in &self.reset {
            if self.set.contains_key(name) {
                return Err(SiteRefused::Both(name.clone()));
            }
            if RISK_V1.figure(name).is_none() {
                return Err(ModelError::NoSuchFigure(name.clone()).into());
            }
            figures.remove(name);
        }
        figures.extend(self.set.iter().map(|(name, value)| (name.clone(), *value)));
        let model = RISK_V1.with_all(figures.iter().map(|(name, value)| (name.as_str(), *value)))?;
        if model == *before {
            return Err(SiteRefused::Nothing);
        }
        figures.retain(|name, value| RISK_V1.figure(name) != Some(*value));
        Ok((model, figures))
    }

    /// The changes that make a table of whole figures the one in force: those it names are set, the others go back.
    #[must_use]
    pub fn to_table(figures: BTreeMap<String, u32>) -> Self {
        Self { set: figures, reset: Vec::new(), reset_all: true }
    }
}

impl SiteModel {
    /// Figures with who set them.
    #[must_use]
    pub fn new(figures: BTreeMap<String, u32>, reason: Text, by: String, at: Timestamp) -> Self {
        Self { v: VERSION, figures, reason, by, at }
    }

    /// The model with these figures.
    ///
    /// # Errors
    /// This release does not take them.
    pub fn model(&self) -> Result<Model, ModelError> {
        RISK_V1.with_all(self.figures.iter().map(|(name, value)| (name.as_str(), *value)))
    }

    /// The stored document.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and integers are always JSON")
    }

    /// Reads the stored document; nothing for one of another version.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|read: &Self| read.v == VERSION)
    }
}

/// What was set, for the journal: `rolled_back 6000 -> 5000, silent 400 -> 500`; or that nothing is.
#[must_use]
pub fn summary(model: &Model) -> String {
    let set: Vec<String> =
        model.set_by_site().iter().map(|(name, ours, site)| format!("{name} {ours} -> {site}")).collect();
    if set.is_empty() { String::from("the model's own figures") } else { set.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn set(figures: &[(&str, u32)]) -> Changes {
        let set = figures.iter().map(|(name, value)| ((*name).to_string(), *value)).collect();
        Changes { set, ..Changes::default() }
    }

    #[test]
    fn figures_are_set_kept_and_given_back() {
        // Goal: a site's table is what it set and nothing more. Method: set two, set one anew, give one back, give all back.
        let (first, figures) = set(&[("silent", 500), ("rolled_back", 7000)]).over(&RISK_V1).unwrap();
        assert_eq!(figures.len(), 2);
        let (second, _) = set(&[("silent", 600)]).over(&first).unwrap();
        assert_eq!(second.set_by_site(), [("silent", 400, 600), ("rolled_back", 6000, 7000)]);
        assert_eq!(summary(&second), "silent 400 -> 600, rolled_back 6000 -> 7000");
        let back = Changes { reset: vec!["silent".into()], ..Changes::default() };
        let (third, figures) = back.over(&second).unwrap();
        assert_eq!((third.figure("silent"), figures.len()), (Some(400), 1));
        let (ours, figures) = Changes { reset_all: true, ..Changes::default() }.over(&third).unwrap();
        assert_eq!((ours, figures.len()), (RISK_V1, 0));
        assert_eq!(summary(&RISK_V1), "the model's own figures");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        // Goal: no table by accident. Method: an unknown figure both ways, one named twice, one that is so already, a turned order.
        let reset = |name: &str| Changes { reset: vec![name.into()], ..Changes::default() };
        assert!(matches!(
            set(&[("luck", 1)]).over(&RISK_V1),
            Err(SiteRefused::Model(ModelError::NoSuchFigure(_)))
        ));
        assert!(matches!(reset("luck").over(&RISK_V1), Err(SiteRefused::Model(ModelError::NoSuchFigure(_)))));
        let both = Changes { reset: vec!["silent".into()], ..set(&[("silent", 1)]) };
        assert_eq!(both.over(&RISK_V1), Err(SiteRefused::Both("silent".into())));
        assert_eq!(set(&[("silent", 400)]).over(&RISK_V1), Err(SiteRefused::Nothing));
        assert_eq!(reset("silent").over(&RISK_V1), Err(SiteRefused::Nothing));
        assert!(matches!(set(&[("zone_internet", 100)]).over(&RISK_V1), Err(SiteRefused::Model(_))));
        let named = set(&[("silent", 400), ("feed_stale", 200)]).over(&RISK_V1).unwrap();
        assert_eq!(named.1.len(), 1, "what is as the model has it is not kept");
    }

    #[test]
    fn a_stored_table_reads_back_and_one_of_another_version_does_not() {
        // Goal: no table of other figures in silence. Method: golden JSON; another version, a figure of another release.
        let golden =
            r#"{"v":1,"figures":{"silent":500},"reason":"our wards report daily","by":"person:ines","at":5}"#;
        let site = SiteModel::from_body(golden.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(site.to_body()).unwrap(), golden);
        assert_eq!(site.model().unwrap().figure("silent"), Some(500));
        assert_eq!(SiteModel::from_body(golden.replace("\"v\":1", "\"v\":2").as_bytes()), None);
        let other = SiteModel::from_body(golden.replace("silent", "luck").as_bytes()).unwrap();
        assert!(matches!(other.model(), Err(ModelError::NoSuchFigure(_))));
    }
}
