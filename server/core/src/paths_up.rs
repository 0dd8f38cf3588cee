//! The way up: which releases a device has to install one after another to reach the one that is wanted.
//!
//! A step is what a device would accept: listed, for its model and revision, above what runs, from no lower a counter
//! than the release asks for, and never below the floor that the steps before it left. The fewest steps win; of equally
//! many the one over the highest releases. Nothing here orders anything. Read next: [`crate::order_plan`].

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cordon_proto::ids::{TargetPath, Text};
use cordon_proto::update::release::Release;

use crate::import::KnownRelease;

/// A release that may be a step, with what its maker signed of it.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// As it is known here.
    pub known: &'a KnownRelease,
    /// The maker's own words.
    pub stated: Release,
}

/// Where a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stands<'a> {
    /// Its hardware revision.
    pub revision: &'a Text,
    /// The counter that runs.
    pub counter: u64,
    /// The lowest counter that it accepts.
    pub floor: u64,
}

/// The steps that a model has: its listed releases whose details are known, lowest counter first.
#[must_use]
pub fn steps_of<'a>(model: &Text, all: &'a [KnownRelease]) -> Vec<Step<'a>> {
    let own = all.iter().filter(|known| known.listed && known.model == *model);
    let mut steps: Vec<Step<'a>> =
        own.filter_map(|known| Some(Step { known, stated: known.stated()? })).collect();
    steps.sort_by_key(|step| step.stated.counter);
    steps
}

/// The steps from where a device stands to the wanted release, that one last; nothing if there is no way.
#[must_use]
pub fn path(from: Stands<'_>, to: &TargetPath, steps: &[Step<'_>]) -> Option<Vec<TargetPath>> {
    // Breadth first over counters: every step goes up, so no state comes twice.
    let mut reached: BTreeSet<u64> = BTreeSet::from([from.counter]);
    let mut front: Vec<(Stands<'_>, Vec<TargetPath>)> = Vec::from([(from, Vec::new())]);
    while !front.is_empty() {
        let mut next = Vec::new();
        for (stands, way) in front {
            for step in steps.iter().rev().filter(|step| may_install(stands, step)) {
                let mut way = way.clone();
                way.push(step.known.release.clone());
                if step.known.release == *to {
                    return Some(way);
                }
                if reached.insert(step.stated.counter) {
                    next.push((after(stands, step), way));
                }
            }
        }
        front = next;
    }
    None
}

fn may_install(stands: Stands<'_>, step: &Step<'_>) -> bool {
    let release = &step.stated;
    release.hardware.contains(stands.revision)
        && release.min_from <= stands.counter
        && stands.counter < release.counter
        && stands.floor <= release.counter
}

fn after<'a>(stands: Stands<'a>, step: &Step<'_>) -> Stands<'a> {
    Stands { counter: step.stated.counter, floor: stands.floor.max(step.stated.floor), ..stands }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::string::{String, ToString};

    use cordon_proto::ids::Sha256;
    use cordon_proto::time::Timestamp;
    use proptest::prelude::*;

    use super::*;

    /// Releases of one model: counter, lowest counter from which, floor.
    fn known((counter, min_from, floor): (u64, u64, u64), revision: &str) -> KnownRelease {
        let custom = format!(
            r#"{{"v":1,"model":"VP-3","hardware":["{revision}"],"counter":{counter},"floor":{floor},"min_from":{min_from},"interlock":"none","confirm":"local","recall":"none","needs":"none","support":{{}},"sbom":null,"vex":null,"mud":null,"deltas":[]}}"#
        );
        KnownRelease {
            v: 1,
            repository: "halden".parse().expect("a name"),
            release: format!("vp-3/{counter}").parse().expect("a path"),
            model: "VP-3".parse().expect("a model"),
            counter,
            floor,
            sha256: Sha256([0; 32]),
            length: 1,
            imported: Timestamp(0),
            listed: true,
            statement: custom,
            signers: Vec::new(),
            expires: None,
            forms: BTreeMap::new(),
        }
    }

    fn way(from: u64, to: u64, all: &[KnownRelease]) -> Option<Vec<String>> {
        let (model, revision): (Text, Text) =
            ("VP-3".parse().expect("a model"), "C".parse().expect("a text"));
        let to = format!("vp-3/{to}").parse().expect("a path");
        let from = Stands { revision: &revision, counter: from, floor: 0 };
        let found = path(from, &to, &steps_of(&model, all))?;
        Some(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_device_that_is_too_old_goes_by_the_release_between() {
        // Goal: the order names what has to be installed first. Method: 42 asks for 30, and 30 fits everybody.
        let all = [known((30, 0, 0), "C"), known((42, 30, 0), "C")];
        assert_eq!(way(20, 42, &all), Some(Vec::from(["vp-3/30".to_string(), "vp-3/42".into()])));
        assert_eq!(way(30, 42, &all), Some(Vec::from(["vp-3/42".to_string()])));
        assert_eq!(way(42, 42, &all), None);
        assert_eq!(way(20, 42, &all[1..]), None, "nothing between");
        let mut other = all.clone();
        other[0] = known((30, 0, 0), "D");
        assert_eq!(way(20, 42, &other), None, "the step is for other hardware");
        other[0] = KnownRelease { listed: false, ..all[0].clone() };
        assert_eq!(way(20, 42, &other), None, "the maker delisted the step");
    }

    /// The fewest steps by trying every order of steps.
    fn brute(from: (u64, u64), to: u64, all: &[(u64, u64, u64)]) -> Option<usize> {
        let fits = |one: &&(u64, u64, u64)| one.1 <= from.0 && from.0 < one.0 && from.1 <= one.0;
        let tries = all.iter().filter(fits).filter_map(|one| {
            if one.0 == to { Some(1) } else { brute((one.0, from.1.max(one.2)), to, all).map(|n| n + 1) }
        });
        tries.min()
    }

    proptest! {
        #[test]
        fn no_shorter_way_exists(raw in proptest::collection::btree_map(2_u64..12, (0_u64..12, 0_u64..12), 1..7), from in 0_u64..12) {
            let all: Vec<(u64, u64, u64)> =
                raw.iter().map(|(counter, (min, floor))| (*counter, (*min).min(counter - 1), (*floor).min(*counter))).collect();
            let releases: Vec<KnownRelease> = all.iter().map(|one| known(*one, "C")).collect();
            let to = all.last().expect("one at least").0;
            prop_assert_eq!(way(from, to, &releases).map(|way| way.len()), brute((from, 0), to, &all));
        }
    }
}
