//! What is in the releases of a model: as found on devices that run them, or by the bill of materials that came with them.
//!
//! A bill says nothing of what it does not name: a package that is missing from it may have gone, or was forgotten. So of such
//! a package, of one that no advisory can be asked about, and of a release without a bill that nobody runs the answer is
//! *nobody knows*, which neither repairs a weakness nor brings one. Read next: [`super::exposed`], which asks for the first
//! release without a weakness; `risk::what_if`, which asks what a release would leave.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use cordon_proto::ids::Sha256;

use super::answers::{ModelHit, ModelKey, Word};
use super::exposed::{Case, Exposed};
use super::world::World;
use crate::matching::component::Component;
use crate::sbom::Sbom;

/// A release of a device's model, as far as it is known what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// The release.
    pub release: String,
    /// Its counter.
    pub counter: u64,
    /// What its packages have or may have; none where nobody knows its packages.
    pub packages: Option<Open>,
    /// The names of what advisories say its model has or may have in this version; none where its name tells no version.
    pub model: Option<BTreeSet<String>>,
}

/// Weaknesses that something has or may have, each in its source package, in a few bytes. Two packages may look alike in
/// it: then something passes for weak that is not, never the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    weak: BTreeSet<u64>,
    /// The packages that it speaks of; none where it speaks of all that there is.
    told: Option<BTreeSet<u64>>,
}

/// A bill of materials, as far as advisories can be asked about what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    components: Vec<Component>,
    left_out: u32,
}

/// What a release with a bill of materials is exposed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    /// As of a device that runs it.
    pub exposed: Exposed,
    /// Weaknesses, each in its package, of which nobody can say whether it has them.
    pub unsure: BTreeSet<(String, String)>,
    told: BTreeSet<String>,
}

impl Shipped {
    /// Whether it may have a weakness in a package; none where nobody knows.
    #[must_use]
    pub fn may_have(&self, group: u32, source: &str) -> Option<bool> {
        self.packages.as_ref()?.may_have(group, source)
    }

    /// Whether its model may have a weakness in this version, by one of its names; none where nobody knows.
    #[must_use]
    pub fn model_may_have(&self, names: &[String]) -> Option<bool> {
        let weak = self.model.as_ref()?;
        Some(names.iter().any(|name| weak.contains(name)))
    }
}

impl Open {
    /// Takes a weakness of a package.
    pub fn add(&mut self, group: u32, source: &str) {
        self.weak.insert(u64::from(group) << 32 | u64::from(mark(source)));
    }

    /// Takes all of another one that was found too.
    pub fn join(&mut self, other: &Self) {
        self.weak.extend(&other.weak);
    }

    /// Whether it may have a weakness in a package; none where it does not speak of the package.
    #[must_use]
    pub fn may_have(&self, group: u32, source: &str) -> Option<bool> {
        let mark = mark(source);
        let weak = self.weak.contains(&(u64::from(group) << 32 | u64::from(mark)));
        let told = self.told.as_ref().is_none_or(|told| told.contains(&u64::from(mark)));
        (weak || told).then_some(weak)
    }
}

fn mark(source: &str) -> u32 {
    let [a, b, c, d, ..] = *Sha256::of(source.as_bytes()).as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl Bill {
    /// The bill, with what nobody can be asked about counted.
    #[must_use]
    pub fn of(sbom: &Sbom) -> Self {
        let matchable = sbom.matchable();
        let packages = matchable.left_out.iter().filter(|(why, _)| **why != "not-a-package");
        let left_out = packages.map(|(_, count)| u32::try_from(*count).unwrap_or(u32::MAX));
        let left_out = left_out.fold(0, u32::saturating_add);
        Self { components: matchable.components, left_out }
    }
}

impl Billed {
    /// Whether anything is known of a package in this release, so that a weakness that it does not show is gone.
    #[must_use]
    pub fn tells_of(&self, source: &str) -> bool {
        self.told.contains(source)
    }

    /// One that shows no weakness in these packages but for doubts.
    #[cfg(test)]
    pub(crate) fn told_of(told: BTreeSet<String>, unsure: BTreeSet<(String, String)>) -> Self {
        Self { exposed: Exposed::default(), unsure, told }
    }
}

impl World {
    /// What the packages of a bill have or may have.
    #[must_use]
    pub fn open_of_bill(&self, bill: &Bill) -> Open {
        let mut open = Open::default();
        for component in &bill.components {
            self.ask(component).hits.iter().for_each(|hit| open.add(hit.group, &component.name));
        }
        open.told = Some(self.told(bill).iter().map(|name| u64::from(mark(name))).collect());
        open
    }

    /// What a release is exposed to by its bill of materials. `case` is a device that runs it.
    #[must_use]
    pub fn expose_bill(&self, case: &Case<'_>, bill: &Bill) -> Billed {
        let parts = bill.components.iter().map(|component| (component, Arc::new(self.ask(component))));
        let (mut exposed, unsure) = self.judge(case, parts);
        exposed.unmatchable = exposed.unmatchable.saturating_add(bill.left_out);
        let mut told: BTreeSet<String> = self.told(bill).into_iter().map(ToString::to_string).collect();
        // Advisories about the model were asked of this very version; what they leave open is unsure.
        told.insert(case.model.model.clone());
        Billed { exposed, unsure, told }
    }

    /// The packages of which a bill says what they are, and some advisory speaks of their kind.
    fn told<'a>(&self, bill: &'a Bill) -> BTreeSet<&'a str> {
        let mut told: BTreeSet<&str> = bill.components.iter().map(|one| one.name.as_str()).collect();
        for component in bill.components.iter().filter(|component| self.ask(component).unjudged) {
            told.remove(component.name.as_str());
        }
        told
    }

    /// The names of what advisories say that a model has or may have in a version; none without a version.
    #[must_use]
    pub fn open_of_model(&self, model: &ModelKey) -> Option<BTreeSet<String>> {
        let is_open = |hit: &ModelHit| matches!(hit.row.answer, Word::Affected | Word::Unknown);
        let said = (!model.version.is_empty()).then(|| self.ask_model(model))?;
        Some(said.into_iter().filter(is_open).flat_map(|hit| hit.names).collect())
    }
}

/// The first release newer than what runs that does not have a weakness, and behind which none is known to have it again.
/// One of which nobody knows stands for nothing.
pub(super) fn first_without<'a>(
    case: &Case<'a>,
    may_have: impl Fn(&Shipped) -> Option<bool>,
) -> Option<&'a Shipped> {
    let mut first = None;
    for release in case.shipped.iter().rev() {
        if case.running.is_some_and(|runs| release.counter <= runs) {
            break;
        }
        match may_have(release) {
            Some(true) => break,
            Some(false) => first = Some(release),
            None => {}
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::{Builder, Since};
    use crate::feeds::intake::Tally;
    use crate::sbom;
    use alloc::vec;

    const DEBIAN: &str = "release,source,cve,fixed_version,advisory\n\
        bookworm,pump,CVE-2024-0001,2-1,DSA-1-1\n\
        bookworm,pump,CVE-2024-0002,<unfixed>,\n\
        bookworm,hose,CVE-2024-0003,2-1,\n\
        bookworm,valve,CVE-2024-0004,2-1,\n";
    const BILL: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"type":"library","name":"pump","version":"2-1","purl":"pkg:deb/debian/pump@2-1?distro=debian-12"},
        {"type":"library","name":"hose","version":"1-1","purl":"pkg:deb/debian/hose@1-1"},
        {"type":"library","name":"valve","version":"2-1"},
        {"type":"file","name":"logo.png"}]}"#;

    fn world() -> World {
        let (mut builder, mut tally) = (Builder::default(), Tally::default());
        builder.debian(DEBIAN.as_bytes(), &mut tally).expect("Debian's data");
        builder.finish().expect("a world")
    }

    fn bill() -> Bill {
        Bill::of(&sbom::read(BILL.as_bytes()).expect("a bill"))
    }

    #[test]
    fn a_bill_speaks_of_what_it_names_and_can_be_judged_and_of_nothing_else() {
        // Goal: nothing is called repaired because a bill is silent. Method: a package that is repaired, one with a weakness that
        // nobody repairs, one whose release nobody says, one without a package URL, and one that the bill does not name.
        let (world, bill) = (world(), bill());
        let group = |name: &str| world.index.group_of(name).expect("known");
        let open = world.open_of_bill(&bill);
        assert_eq!(open.may_have(group("CVE-2024-0001"), "pump"), Some(false));
        assert_eq!(open.may_have(group("CVE-2024-0002"), "pump"), Some(true));
        assert_ne!(open.may_have(group("CVE-2024-0003"), "hose"), Some(false), "no release is said");
        assert_eq!(open.may_have(group("CVE-2024-0004"), "valve"), None);
        assert_eq!(open.may_have(group("CVE-2024-0001"), "tube"), None);
        let model = ModelKey { model: "VP-3".into(), ..ModelKey::default() };
        let holdings = crate::exposure::Holdings::default();
        let case = Case {
            holdings: &holdings,
            composition: None,
            model: &model,
            said_of_model: &[],
            since: &Since::default(),
            shipped: &[],
            running: Some(42),
        };
        let billed = world.expose_bill(&case, &bill);
        let ids: Vec<&str> = billed.exposed.exposures.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["CVE-2024-0002"]);
        assert!(billed.tells_of("pump") && billed.tells_of("VP-3"));
        assert!(!billed.tells_of("hose") && !billed.tells_of("valve") && !billed.tells_of("logo.png"));
        assert_eq!(billed.exposed.unmatchable, 2, "one without its release, one without a package URL");
    }

    #[test]
    fn a_release_of_which_nobody_knows_neither_repairs_nor_brings_a_weakness() {
        // Goal: unknown is no answer, in either direction. Method: shelves of three releases over a device that runs 41.
        let (holdings, model, since) =
            (crate::exposure::Holdings::default(), ModelKey::default(), Since::default());
        let of = |counter, weak: Option<bool>| Shipped {
            counter,
            packages: weak.map(|weak| {
                let mut open = Open::default();
                open.add(7, if weak { "pump" } else { "other" });
                open
            }),
            ..Shipped::default()
        };
        let first = |shelf: &[Shipped]| {
            let case = Case {
                holdings: &holdings,
                composition: None,
                model: &model,
                said_of_model: &[],
                since: &since,
                shipped: shelf,
                running: Some(41),
            };
            first_without(&case, |release| release.may_have(7, "pump")).map(|release| release.counter)
        };
        let cases = [
            (vec![of(42, None)], None),
            (vec![of(42, Some(false)), of(43, None)], Some(42)),
            (vec![of(42, None), of(43, Some(false))], Some(43)),
            (vec![of(42, Some(false)), of(43, None), of(44, Some(true))], None),
            (vec![of(41, Some(false)), of(42, Some(true)), of(43, None)], None),
        ];
        for (shelf, wanted) in cases {
            assert_eq!(first(&shelf), wanted, "{shelf:?}");
        }
    }
}
