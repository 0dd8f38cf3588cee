//! What a device is exposed to, as its score needs it: one entry for each weakness and source package.
//!
//! Where an advisory about the model names a weakness that a component of the device was found to have, the component's entry
//! stands: the same weakness is not counted twice. A statement of the maker's marks an entry and takes none away. Read next:
//! `risk::facts` for the entries, `risk::gather` for who asks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;

use super::answers::{Hits, ModelHit, ModelKey, StatedRow, Sure, Word};
use super::holdings::{Composition, Holdings};
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

/// A release of a device's model, as far as it is known what is in it: by its bill of materials, or as it was found on
/// devices that run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// The release.
    pub release: String,
    /// Its counter.
    pub counter: u64,
    /// What it has or may have.
    pub open: Open,
}

/// Weaknesses that something has or may have, each in its source package, in a few bytes. Two packages may look alike in
/// it: then something passes for weak that is not, never the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open(BTreeSet<u64>);

impl Open {
    /// Takes a weakness of a package.
    pub fn add(&mut self, group: u32, source: &str) {
        self.0.insert(open_key(group, source));
    }

    /// Takes all of another one.
    pub fn join(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Whether it may have a weakness in a package.
    #[must_use]
    pub fn may_have(&self, group: u32, source: &str) -> bool {
        self.0.contains(&open_key(group, source))
    }
}

fn open_key(group: u32, source: &str) -> u64 {
    let [a, b, c, d, ..] = *Sha256::of(source.as_bytes()).as_bytes();
    u64::from(group) << 32 | u64::from(u32::from_be_bytes([a, b, c, d]))
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
        let product = case.model.thing();
        let mut found: BTreeMap<(String, String), Exposure> = BTreeMap::new();
        let mut unknown: BTreeSet<(String, String)> = BTreeSet::new();
        let mut unmatchable = 0_u32;
        for part in case.composition.iter().flat_map(|composition| &composition.parts) {
            let Some(component) = case.holdings.component(*part) else { continue };
            let hits = known(*part, component);
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
        if let Some(composition) = case.composition {
            unmatchable = unmatchable.saturating_add(composition.not_understood);
        }
        Exposed {
            exposures: found.into_values().collect(),
            unknown: u32::try_from(unknown.len()).unwrap_or(u32::MAX),
            unmatchable,
            os_support: case.composition.map(|composition| self.support(composition)).unwrap_or_default(),
            as_of: self.of_when(case.composition.is_some()),
        }
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
        if let Some(release) = first_without(case, group, &component.name) {
            exposure.fixed_in = Some(release.release.clone());
            exposure.fixed_counter = Some(release.counter);
        }
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

/// The first release newer than what runs that does not have it, and behind which none has it again.
fn first_without<'a>(case: &Case<'a>, group: u32, source: &str) -> Option<&'a Shipped> {
    let newer =
        case.shipped.iter().rev().take_while(|one| case.running.is_none_or(|runs| one.counter > runs));
    let without = newer.take_while(|one| !one.open.may_have(group, source));
    without.last()
}
