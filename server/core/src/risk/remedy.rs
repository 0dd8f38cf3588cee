//! What is to be done about each vulnerability of a device: the act, whose it is, by when.
//!
//! The steps of a device join what one act solves; here each exposure stands by itself, as a list of vulnerabilities needs it.
//! The days are those of CISA BOD 26-04. Where the maker has no repair there is no date: it waits for the maker since the day on
//! which it was known, and a network that would make it harder to reach is named meanwhile. Read next: [`super::next_step`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::facts::{Exposure, Facts, Vector, Zone};
use super::hazard::{ASSUMED_ZONE, DAY_S, parts};
use super::model::Model;
use super::next_step::{Act, Case, Owner, SEGMENT_DAYS, Target, exposure_due, words};

/// What is to be done about one exposure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExposureStep {
    /// The vulnerability.
    pub id: String,
    /// Source package and version.
    pub package: String,
    /// What to do, for machines.
    pub act: Act,
    /// What to do, in a sentence without a full stop.
    pub words: String,
    /// Whose it is.
    pub owner: Owner,
    /// By when; none where it goes with the next upgrade, or where nobody here can act.
    pub due: Option<Timestamp>,
    /// Since when it waits for the maker.
    pub waiting_since: Option<Timestamp>,
    /// Whether somebody is to look for signs of a break-in as well.
    pub investigate: bool,
    /// What makes it harder to reach until there is a repair.
    pub meanwhile: Option<Meanwhile>,
}

/// What can be done before there is a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meanwhile {
    /// What to do.
    pub words: String,
    /// Whose it is.
    pub owner: Owner,
    /// By when, if it is known since when the vulnerability is.
    pub due: Option<Timestamp>,
}

/// What is to be done about each exposure that weighs, the weightiest first.
#[must_use]
pub fn of_exposures(facts: &Facts, model: &Model, now: Timestamp) -> Vec<ExposureStep> {
    let mut parts = parts(facts, model, now);
    parts.sort_by(|a, b| b.hazard.cmp(&a.hazard).then_with(|| a.cause.id().cmp(&b.cause.id())));
    let case = Case::of(facts, model, now, &parts);
    let target = case.target();
    case.exposures().map(|exposure| step(exposure, target.as_ref(), &case)).collect()
}

fn step(exposure: &Exposure, target: Option<&Target<'_>>, case: &Case<'_>) -> ExposureStep {
    let repaired = target.filter(|newest| exposure.is_removed_by_newest(newest.counter));
    let (act, owner) = match repaired {
        Some(newest) => (Act::Install(newest.name.into()), Owner::It),
        None => (Act::WaitForMaker, Owner::Maker),
    };
    let is_waiting = repaired.is_none();
    ExposureStep {
        id: exposure.id.clone(),
        package: exposure.package.clone(),
        words: words(&act).0,
        act,
        owner,
        due: repaired.and_then(|newest| exposure_due(exposure, newest, case)),
        waiting_since: exposure.known_since.filter(|_| is_waiting),
        investigate: case.remedy(exposure).is_some_and(|remedy| remedy.investigate),
        meanwhile: is_waiting.then(|| segment(exposure, case.facts)).flatten(),
    }
}

/// Another network, where that makes the exposure harder to reach.
fn segment(exposure: &Exposure, facts: &Facts) -> Option<Meanwhile> {
    let is_wide = facts.reach.zone.unwrap_or(ASSUMED_ZONE) > Zone::Segmented;
    let is_remote = exposure.vector >= Vector::Adjacent;
    (is_wide && is_remote).then(|| Meanwhile {
        words: words(&Act::Segment).0,
        owner: Owner::Network,
        due: exposure.known_since.map(|at| at.plus_seconds(SEGMENT_DAYS * DAY_S)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::examples::{NOW, days_ago, exposure, flat_pump};
    use crate::risk::facts::{Answer, ReleaseAge, Treatment};
    use crate::risk::model::RISK_V1;
    use crate::risk::order_tests::any_facts;
    use crate::risk::plan;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn each_exposure_has_its_act_its_owner_and_its_date() {
        // Goal: a list to work down. Method: exploited and repaired; repaired without haste; not repaired, exploited; treated.
        let fixed = |one: Exposure| Exposure { fixed_in: Some("4.2.2".into()), ..one };
        let mut facts = flat_pump();
        facts.exposures = vec![
            fixed(Exposure { known_exploited: true, ..exposure("CVE-A", 900_000, 98) }),
            fixed(Exposure { automatable: Answer::No, ..exposure("CVE-B", 100, 50) }),
            Exposure { known_exploited: true, ..exposure("CVE-C", 900_000, 90) },
            Exposure { treatment: Treatment::NotAffected, ..exposure("CVE-D", 900_000, 90) },
        ];
        let steps = of_exposures(&facts, &RISK_V1, NOW);
        let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["CVE-A", "CVE-C", "CVE-B"], "what does not hit the device is nobody's work");
        let [a, c, b] = steps.as_slice() else { panic!("three") };
        assert_eq!((a.owner, a.due, a.investigate), (Owner::It, Some(days_ago(11)), true));
        assert_eq!((b.act.clone(), b.due), (Act::Install("4.2.2".into()), None), "with the next upgrade");
        assert_eq!((c.owner, c.due, c.waiting_since), (Owner::Maker, None, Some(days_ago(14))));
        let meanwhile = c.meanwhile.as_ref().expect("a flat network");
        assert_eq!((meanwhile.owner, meanwhile.due), (Owner::Network, Some(NOW)));
        facts.reach.zone = Some(Zone::Segmented);
        assert_eq!(of_exposures(&facts, &RISK_V1, NOW)[1].meanwhile, None);
        facts.freshness.release = ReleaseAge::Current;
        let waiting = of_exposures(&facts, &RISK_V1, NOW);
        assert!(waiting.iter().all(|step| step.owner == Owner::Maker && step.due.is_none()));
    }

    proptest! {
        #[test]
        fn what_waits_for_the_maker_has_no_date_and_what_does_not_has_somebody(facts in any_facts()) {
            let steps = of_exposures(&facts, &RISK_V1, NOW);
            for step in &steps {
                prop_assert!(step.owner != Owner::Maker || step.due.is_none());
                prop_assert!(step.owner == Owner::Maker || step.waiting_since.is_none());
            }
            let earliest = steps.iter().filter_map(|step| step.due).min();
            let install = plan(&facts, &RISK_V1, NOW).into_iter().find(|step| matches!(step.act, Act::Install(_)));
            if let (Some(earliest), Some(install)) = (earliest, install) {
                prop_assert_eq!(install.due, Some(earliest), "the device's step is due when its first exposure is");
            }
        }
    }
}
