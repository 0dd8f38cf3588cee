//! What a device is exposed to, as its score needs it: one entry for each weakness and source package.
//!
//! Where an advisory about the model names a weakness that a component of the device was found to have, the component's entry
//! stands: the same weakness is not counted twice. A statement of the maker's marks an entry and takes none away. Read next:
//! `risk::facts` for the entries, `risk::gather` for who asks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::answers::{Hits, ModelHit, ModelKey, StatedRow, Sure, Word};
use super::holdings::{Composition, Holdings};
use super::shipped::{Open, Shipped, first_without};
use super::since::Since;
use super::world::{Severity, World};
use crate::feeds::intake::Kind;
use crate::feeds::vex::subject::Thing;
use crate::matching::component::Component;
use crate::risk::facts::{Answer, Exposure, OsSupport, Treatment, Vector};

/// What a device is exposed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposed {
    /// Weaknesses that it has, one for each weakness and source package.
    pub exposures: Vec<Exposure>,
    /// Weaknesses of which nobody can say whether it has them.
    pub unknown: u32,
    /// Components of which nothing can be said at all.
    pub unmatchable: u32,
    /// Until when its operating system is repaired.
    pub os_support: OsSupport,
    /// Of when the advisories are that it was held against.
    pub as_of: Option<Timestamp>,
}

/// How a component's answers are found again: made once, kept for all devices that have it.
pub type Known<'a> = &'a dyn Fn(u32, &Component) -> Arc<Hits>;

/// A device to be judged.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// What is installed in the fleet.
    pub holdings: &'a Holdings,
    /// What is installed on it, where it was told.
    pub composition: Option<&'a Composition>,
    /// What it is.
    pub model: &'a ModelKey,
    /// What advisories say of its model.
    pub said_of_model: &'a [ModelHit],
    /// Since when weaknesses are known here.
    pub since: &'a Since,
    /// The releases of its model, by counter.
    pub shipped: &'a [Shipped],
    /// The counter of what it runs.
    pub running: Option<u64>,
}

impl World {
    /// What a device is exposed to.
    #[must_use]
    pub fn expose(&self, case: &Case<'_>, known: Known<'_>) -> Exposed {
        let held = case.composition.iter().flat_map(|composition| &composition.parts);
        let parts = held.filter_map(|part| {
            let component = case.holdings.component(*part)?;
            Some((&**component, known(*part, component)))
        });
        let (mut exposed, _) = self.judge(case, parts);
        if let Some(composition) = case.composition {
            exposed.unmatchable = exposed.unmatchable.saturating_add(composition.not_understood);
            exposed.os_support = self.support(composition);
        }
        exposed
    }

    /// What these components and the model are exposed to, and of which weaknesses nobody can say.
    pub(super) fn judge<'c>(
        &self,
        case: &Case<'_>,
        parts: impl Iterator<Item = (&'c Component, Arc<Hits>)>,
    ) -> (Exposed, BTreeSet<(String, String)>) {
        let product = case.model.thing();
        let (mut has_packages, mut unmatchable) = (case.composition.is_some(), 0_u32);
        let mut found: BTreeMap<(String, String), Exposure> = BTreeMap::new();
        let mut unknown: BTreeSet<(String, String)> = BTreeSet::new();
        for (component, hits) in parts {
            has_packages = true;
            unmatchable += u32::from(hits.unjudged);
            for hit in &hits.hits {
                let name = self.index.group_name(hit.group);
                let key = (name.to_string(), component.name.clone());
                match &hit.sure {
                    Sure::Unknown => {
                        unknown.insert(key);
                    }
                    Sure::Affected(fixed) => {
                        let fixed = fixed.as_deref();
                        let exposure = self.of_component(case, (hit.group, component), fixed, &product);
                        let held = found.entry(key).or_insert_with(|| exposure.clone());
                        // Of two versions of one package the one that no statement covers.
                        if treatment_rank(exposure.treatment) > treatment_rank(held.treatment) {
                            *held = exposure;
                        }
                    }
                }
            }
        }
        let sure: BTreeSet<String> = found.keys().map(|(name, _)| name.clone()).collect();
        for said in case.said_of_model {
            if said.names.iter().any(|name| sure.contains(name)) {
                continue;
            }
            let key = (said.row.id.clone(), said.row.source.clone());
            match said.row.answer {
                Word::Affected => {
                    found.insert(key, self.of_model(case, said, &product));
                }
                Word::Unknown => {
                    unknown.insert(key);
                }
                Word::Fixed | Word::NotAffected => {}
            }
        }
        unknown.retain(|key| !found.contains_key(key));
        let exposed = Exposed {
            exposures: found.into_values().collect(),
            unknown: u32::try_from(unknown.len()).unwrap_or(u32::MAX),
            unmatchable,
            os_support: OsSupport::Unknown,
            as_of: self.of_when(has_packages),
        };
        (exposed, unknown)
    }

    /// What a composition has or may have.
    #[must_use]
    pub fn open(&self, holdings: &Holdings, composition: &Composition, known: Known<'_>) -> Open {
        let mut open = Open::default();
        for part in &composition.parts {
            let Some(component) = holdings.component(*part) else { continue };
            known(*part, component).hits.iter().for_each(|hit| open.add(hit.group, &component.name));
        }
        open
    }

    /// Of when the advisories are that a device is held against: about packages, or else about its model.
    #[must_use]
    pub fn of_when(&self, has_packages: bool) -> Option<Timestamp> {
        let kinds: &[Kind] = if has_packages { &[Kind::Osv, Kind::Debian] } else { &[Kind::Csaf] };
        kinds.iter().filter_map(|kind| self.as_of(*kind)).max()
    }

    fn of_component(
        &self,
        case: &Case<'_>,
        (group, component): (u32, &Component),
        fixed: Option<&str>,
        product: &Thing,
    ) -> Exposure {
        let name = self.index.group_name(group);
        let said = self.stated(&[name], || Thing::of_component(component), Some(product));
        let mut exposure = self.exposure(name, &component.name, &component.version);
        exposure.fixed_version = fixed.map(ToString::to_string);
        exposure.treatment = treatment(said.as_ref());
        exposure.known_since = case.since.of(name, &component.name);
        repaired_by(&mut exposure, first_without(case, |release| release.may_have(group, &component.name)));
        exposure
    }

    fn of_model(&self, case: &Case<'_>, said: &ModelHit, product: &Thing) -> Exposure {
        let names: Vec<&str> = said.names.iter().map(String::as_str).collect();
        let stated = self.stated(&names, || product.clone(), None);
        let mut exposure = self.exposure(&said.row.id, &case.model.model, &case.model.version);
        if let Some(severity) = said.severity {
            weigh(&mut exposure, severity);
        }
        exposure.fixed_version.clone_from(&said.row.fixed_version);
        exposure.treatment = treatment(stated.as_ref());
        exposure.known_since = case.since.of(&said.row.id, &case.model.model);
        repaired_by(&mut exposure, first_without(case, |release| release.model_may_have(&said.names)));
        exposure
    }

    /// A weakness of a package, with what the world says of the weakness.
    fn exposure(&self, weakness: &str, source: &str, version: &str) -> Exposure {
        let exploited = self.exploited.get(weakness);
        let package = alloc::format!("{source} {version}");
        let mut exposure = Exposure {
            id: weakness.into(),
            package: package.trim_end().into(),
            source: Some(source.into()),
            epss_millionths: self.chances.get(weakness).map(|chance| chance.millionths),
            cvss: None,
            vector: Vector::default(),
            known_exploited: exploited.is_some(),
            ransomware: exploited.is_some_and(|exploited| exploited.ransomware),
            treatment: Treatment::None,
            fixed_in: None,
            fixed_counter: None,
            fixed_version: None,
            known_since: None,
            automatable: Answer::Unknown,
            total_control: Answer::Unknown,
        };
        if let Some(severity) = self.severity(weakness) {
            weigh(&mut exposure, severity);
        }
        exposure
    }
}

fn repaired_by(exposure: &mut Exposure, release: Option<&Shipped>) {
    if let Some(release) = release {
        exposure.fixed_in = Some(release.release.clone());
        exposure.fixed_counter = Some(release.counter);
    }
}

fn weigh(exposure: &mut Exposure, severity: Severity) {
    exposure.cvss = Some(severity.cvss);
    exposure.vector = severity.vector;
    exposure.automatable = severity.automatable;
    exposure.total_control = severity.total_control;
}

/// What a maker's statement does to an entry. That a workaround exists is not that somebody applied it.
fn treatment(said: Option<&StatedRow>) -> Treatment {
    match said.map(|said| said.status) {
        Some("not_affected") => Treatment::NotAffected,
        Some("fixed") => Treatment::Fixed,
        Some(_) | None => Treatment::None,
    }
}

/// How much of an entry is left.
fn treatment_rank(treatment: Treatment) -> u8 {
    match treatment {
        Treatment::NotAffected => 0,
        Treatment::Fixed => 1,
        Treatment::Workaround => 2,
        Treatment::None => 3,
    }
}
