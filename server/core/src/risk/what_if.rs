//! What a release would change: the risk of each device before and after, part by part, and of the fleet.
//!
//! Two sets of facts go in, so that whoever knows more (the bill of materials of the release) says it in the second set, and
//! the arithmetic is the score's own. What is gone, what is new, what weighs otherwise and what nobody could match after
//! it are told apart; a question that is open afterwards is never counted as solved. Nothing here knows a store. Read next:
//! [`installed`] for the facts afterwards, [`super::score`] for the arithmetic.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::facts::{Exposure, Facts, Freshness, ReleaseAge};
use super::hazard::{Cause, Part, parts};
use super::model::Model;
use super::score::{Band, Kind, Value, impact_e8, sum};
use crate::exposure::Billed;

/// A release that a device would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed<'a> {
    /// Its name.
    pub release: &'a str,
    /// Its counter.
    pub counter: u64,
    /// How it stands to the newest one of its model.
    pub age: ReleaseAge,
}

/// What is known of the vulnerabilities of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing beyond what the device's own exposures say of their remedies.
    AsKnown,
    /// What a match of its bill of materials found.
    Found {
        /// Vulnerabilities that hit a component of it.
        exposures: Vec<Exposure>,
        /// Vulnerabilities of which nobody can say whether they do.
        unknown: u32,
        /// Components that cannot be matched.
        unmatchable: u32,
    },
}

/// A part that the release changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its identity.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// The reason, as it is afterwards, or was before if it is gone.
    pub reason: String,
    /// Its hazard before.
    pub before_micronepers: u32,
    /// Its hazard afterwards.
    pub after_micronepers: u32,
}

/// What a release would change on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The score now.
    pub before: Value,
    /// The score afterwards.
    pub after: Value,
    /// Parts that would be gone.
    pub removed: Vec<Changed>,
    /// Parts that it would bring.
    pub added: Vec<Changed>,
    /// Parts that would weigh otherwise.
    pub other: Vec<Changed>,
    /// Vulnerabilities and components of which nobody could say afterwards whether they are hit.
    pub unknown: u32,
}

/// What a release would change on all devices that it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FleetEffect {
    /// Devices.
    pub devices: u32,
    /// Sum of their scores now, in hundredths of a point.
    pub before_hundredths: u64,
    /// The same afterwards.
    pub after_hundredths: u64,
    /// Devices by band now: low, medium, high, critical.
    pub bands_before: [u32; 4],
    /// The same afterwards.
    pub bands_after: [u32; 4],
    /// Devices that leave the critical band.
    pub leave_critical: u32,
    /// Devices that enter it.
    pub enter_critical: u32,
    /// Devices whose score falls.
    pub better: u32,
    /// Devices whose score rises.
    pub worse: u32,
    /// On how many devices a part would be gone, by its identity.
    pub removed: BTreeMap<String, u32>,
    /// On how many devices a part would be new.
    pub added: BTreeMap<String, u32>,
    /// On how many devices a part would weigh otherwise.
    pub other: BTreeMap<String, u32>,
    /// Devices of which something would be unknown afterwards.
    pub unknown_devices: u32,
}

/// The facts of a device once it runs a release and has confirmed it. What it reports as of now stays as it is: where it
/// stands, how it is set up, what it was seen to do.
#[must_use]
pub fn installed(facts: &Facts, release: &Installed<'_>, left: Left) -> Facts {
    let freshness = Freshness {
        release: release.age.clone(),
        update_failed: None,
        rolled_back: None,
        ..facts.freshness.clone()
    };
    let (exposures, exposures_unknown, components_unmatchable) = match left {
        Left::AsKnown => {
            let stays = |exposure: &&Exposure| !removes(release, exposure);
            let stay = facts.exposures.iter().filter(stays).cloned().collect();
            (stay, facts.exposures_unknown, facts.components_unmatchable)
        }
        Left::Found { exposures, unknown, unmatchable } => (dated(exposures, facts), unknown, unmatchable),
    };
    Facts { freshness, exposures, exposures_unknown, components_unmatchable, ..facts.clone() }
}

impl Left {
    /// What a match of a release's bill of materials leaves on a device. What the bill does not speak of, and what nobody can
    /// judge in it, stays as it is on the device, unless its own remedy names the release.
    #[must_use]
    pub fn of_bill(billed: &Billed, facts: &Facts, release: &Installed<'_>) -> Self {
        let key = |exposure: &Exposure| (exposure.id.clone(), String::from(exposure.source_name()));
        let mut exposures = billed.exposed.exposures.clone();
        let mut held: BTreeSet<(String, String)> = exposures.iter().map(key).collect();
        for exposure in &facts.exposures {
            let key = key(exposure);
            let is_gone = billed.tells_of(&key.1) && !billed.unsure.contains(&key);
            if !is_gone && !removes(release, exposure) && held.insert(key) {
                exposures.push(exposure.clone());
            }
        }
        let unknown = billed.unsure.iter().filter(|key| !held.contains(*key)).count();
        let unknown = u32::try_from(unknown).unwrap_or(u32::MAX);
        Self::Found { exposures, unknown, unmatchable: billed.exposed.unmatchable }
    }
}

/// Whether a release removes an exposure, by what the exposure says of its remedy. Without counters only the release that is
/// named, or the newest of all, is known to.
fn removes(release: &Installed<'_>, exposure: &Exposure) -> bool {
    match (&exposure.fixed_in, exposure.fixed_counter) {
        (None, _) => false,
        (Some(_), Some(counter)) => counter <= release.counter,
        (Some(name), None) => name == release.release || release.age == ReleaseAge::Current,
    }
}

/// The exposures with the day on which each became known of this device, where it is known already.
fn dated(mut exposures: Vec<Exposure>, facts: &Facts) -> Vec<Exposure> {
    let key = |exposure: &Exposure| (exposure.id.clone(), String::from(exposure.source_name()));
    let known: BTreeMap<_, _> =
        facts.exposures.iter().map(|exposure| (key(exposure), exposure.known_since)).collect();
    for exposure in &mut exposures {
        if let Some(since) = known.get(&key(exposure)) {
            exposure.known_since = *since;
        }
    }
    exposures
}

/// What changes between two sets of facts of one device.
#[must_use]
pub fn effect(before: &Facts, after: &Facts, model: &Model, now: Timestamp) -> Effect {
    let (parts_before, parts_after) = (parts(before, model, now), parts(after, model, now));
    let value =
        |facts: &Facts, parts: &[Part<'_>]| Value::of(sum(parts), impact_e8(&facts.impact, model), model);
    let mut effect = Effect {
        before: value(before, &parts_before),
        after: value(after, &parts_after),
        removed: Vec::new(),
        added: Vec::new(),
        other: Vec::new(),
        unknown: after.exposures_unknown.saturating_add(after.components_unmatchable),
    };
    let changed = |part: &Part<'_>, before_micronepers, after_micronepers| Changed {
        id: part.cause.id().into_owned(),
        kind: part.cause.kind(),
        reason: part.cause.reason(now),
        before_micronepers,
        after_micronepers,
    };
    let mut were: BTreeMap<_, Vec<&Part<'_>>> = BTreeMap::new();
    parts_before.iter().for_each(|part| were.entry(key(&part.cause)).or_default().push(part));
    for part in &parts_after {
        match were.get_mut(&key(&part.cause)).and_then(Vec::pop) {
            None => effect.added.push(changed(part, 0, part.hazard)),
            Some(was) if was.hazard != part.hazard => {
                effect.other.push(changed(part, was.hazard, part.hazard));
            }
            Some(_) => {}
        }
    }
    effect.removed = were.into_values().flatten().map(|part| changed(part, part.hazard, 0)).collect();
    for list in [&mut effect.removed, &mut effect.added, &mut effect.other] {
        let weight = |one: &Changed| one.before_micronepers.max(one.after_micronepers);
        list.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.id.cmp(&b.id)));
    }
    effect
}

/// What is the same part before and after: a vulnerability in one source package, whatever its version.
fn key<'a>(cause: &Cause<'a>) -> (Cow<'a, str>, &'a str) {
    match cause.exposure() {
        Some(exposure) => (Cow::Borrowed(exposure.id.as_str()), exposure.source_name()),
        None => (cause.id(), ""),
    }
}

impl FleetEffect {
    /// Takes in one device.
    pub fn add(&mut self, effect: &Effect) {
        let (before, after) = (effect.before, effect.after);
        self.devices += 1;
        self.before_hundredths += u64::from(before.hundredths);
        self.after_hundredths += u64::from(after.hundredths);
        self.better += u32::from(after.hundredths < before.hundredths);
        self.worse += u32::from(after.hundredths > before.hundredths);
        self.leave_critical += u32::from(before.band == Band::Critical && after.band != Band::Critical);
        self.enter_critical += u32::from(before.band != Band::Critical && after.band == Band::Critical);
        self.unknown_devices += u32::from(effect.unknown > 0);
        count(&mut self.bands_before, before.band);
        count(&mut self.bands_after, after.band);
        for (counts, parts) in [
            (&mut self.removed, &effect.removed),
            (&mut self.added, &effect.added),
            (&mut self.other, &effect.other),
        ] {
            for part in parts {
                *counts.entry(part.id.clone()).or_default() += 1;
            }
        }
    }

    /// What it comes to, in a sentence: "Release 4.2.2 lowers fleet risk by 2,483.20 points on 40 devices; 12 leave
    /// critical".
    #[must_use]
    pub fn words(&self, release: &str) -> String {
        let moved = self.before_hundredths.abs_diff(self.after_hundredths);
        let points = format!("{}.{:02}", moved / 100, moved % 100);
        let devices = match self.devices {
            1 => String::from("1 device"),
            many => format!("{many} devices"),
        };
        let mut words = match self.after_hundredths.cmp(&self.before_hundredths) {
            core::cmp::Ordering::Less => {
                format!("Release {release} lowers fleet risk by {points} points on {devices}")
            }
            core::cmp::Ordering::Equal => format!("Release {release} changes no risk on {devices}"),
            core::cmp::Ordering::Greater => {
                format!("Release {release} raises fleet risk by {points} points on {devices}")
            }
        };
        for (count, verb) in
            [(self.leave_critical, "leave critical"), (self.enter_critical, "become critical")]
        {
            if count > 0 {
                words.push_str(&format!("; {count} {verb}"));
            }
        }
        if self.unknown_devices > 0 {
            words.push_str(&format!("; of {} something stays unknown", self.unknown_devices));
        }
        words
    }
}

/// Counts a device in its band: low, medium, high, critical.
pub fn count(bands: &mut [u32; 4], band: Band) {
    let [low, medium, high, critical] = bands;
    *match band {
        Band::Low => low,
        Band::Medium => medium,
        Band::High => high,
        Band::Critical => critical,
    } += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::examples::{NOW, days_ago, exposure, flat_pump};
    use crate::risk::model::RISK_V1;
    use crate::risk::order_tests::any_facts;
    use crate::risk::score::score;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn current(counter: u64) -> Installed<'static> {
        Installed { release: "4.2.2", counter, age: ReleaseAge::Current }
    }

    fn found(exposures: Vec<Exposure>) -> Left {
        Left::Found { exposures, unknown: 0, unmatchable: 0 }
    }

    #[test]
    fn the_what_if_of_the_evidence_lowers_forty_pumps_by_2483_20_points() {
        // Goal: the published figure. Method: example 3 less staleness at the least threat, forty times, with a release whose bill
        // of materials is clean.
        let mut pump = flat_pump();
        pump.freshness.release = ReleaseAge::Current;
        pump.exposures[12].epss_millionths = Some(1000);
        let after = installed(&pump, &current(42), found(Vec::new()));
        let one = effect(&pump, &after, &RISK_V1, NOW);
        assert_eq!((one.before.hundredths, one.after.hundredths), (6972, 764));
        assert_eq!((one.removed.len(), one.added.len(), one.other.len(), one.unknown), (13, 0, 0, 0));
        assert_eq!(one.removed[0].id, "CVE-2020-1938:tomcat9 9.0.31-1", "the heaviest first");
        let mut fleet = FleetEffect::default();
        (0..40).for_each(|_| fleet.add(&one));
        assert_eq!(
            (fleet.before_hundredths - fleet.after_hundredths, fleet.better, fleet.worse),
            (248_320, 40, 0)
        );
        assert_eq!(fleet.words("4.2.2"), "Release 4.2.2 lowers fleet risk by 2483.20 points on 40 devices");
        assert_eq!((fleet.bands_before, fleet.bands_after), ([0, 0, 40, 0], [40, 0, 0, 0]));
        assert_eq!(fleet.removed.get("CVE-2026-0003:src 1.0"), Some(&40));
    }

    #[test]
    fn a_release_without_a_bill_of_materials_removes_only_what_is_said_of_it() {
        // Goal: nothing is called repaired by hope. Method: remedies with and without counters, the newest and an older release.
        let fixed = |id: &str, name: Option<&str>, counter: Option<u64>| Exposure {
            fixed_in: name.map(Into::into),
            fixed_counter: counter,
            ..exposure(id, 900_000, 90)
        };
        let mut facts = flat_pump();
        facts.exposures = vec![
            fixed("A", Some("4.2.1"), Some(41)),
            fixed("B", Some("4.2.3"), Some(43)),
            fixed("C", None, None),
            fixed("D", Some("4.2.2"), None),
            fixed("E", Some("4.2.1"), None),
        ];
        (facts.freshness.update_failed, facts.freshness.rolled_back) = (Some(days_ago(1)), Some(days_ago(2)));
        let left = |release: &Installed<'_>| -> Vec<String> {
            installed(&facts, release, Left::AsKnown).exposures.into_iter().map(|one| one.id).collect()
        };
        assert_eq!(left(&current(42)), ["B", "C"], "the newest removes what an earlier one did");
        let behind = ReleaseAge::Behind { newest: "4.2.3".into(), since: days_ago(3), counter: Some(43) };
        let older = Installed { age: behind, ..current(42) };
        assert_eq!(left(&older), ["B", "C", "E"], "of an older one without counters nobody knows");
        let after = installed(&facts, &older, Left::AsKnown);
        assert_eq!((after.freshness.update_failed, after.freshness.rolled_back), (None, None));
        assert_eq!(after.posture, facts.posture, "a release moves no device and encrypts no disk");
    }

    #[test]
    fn what_a_release_brings_and_what_nobody_can_match_is_told() {
        // Goal: a release that is worse says so. Method: a bill of materials with one known hole, one new exploited one, and four
        // components that cannot be matched; the day of the known one stays.
        let facts = flat_pump();
        let known = Exposure { known_since: None, ..facts.exposures[0].clone() };
        let new = Exposure { known_exploited: true, ..exposure("CVE-2026-9999", 950_000, 100) };
        let left = Left::Found { exposures: vec![known, new], unknown: 1, unmatchable: 3 };
        let after = installed(&facts, &current(42), left);
        assert_eq!(after.exposures[0].known_since, Some(days_ago(14)));
        let one = effect(&facts, &after, &RISK_V1, NOW);
        assert_eq!((one.added.len(), one.removed.len(), one.unknown), (1, 13, 4));
        let mut fleet = FleetEffect::default();
        fleet.add(&one);
        assert!(fleet.words("X").ends_with("; of 1 something stays unknown"), "{}", fleet.words("X"));
    }

    #[test]
    fn a_bill_removes_only_what_it_speaks_of_and_can_judge() {
        // Goal: no score falls because a bill is silent. Method: a pump with holes in three packages; a bill that repairs one,
        // leaves one open for doubt, and does not name the third; the doubt about another one is counted.
        let of =
            |id: &str, source: &str| Exposure { source: Some(source.into()), ..exposure(id, 900_000, 90) };
        let mut facts = flat_pump();
        facts.exposures = vec![of("A", "pump"), of("B", "hose"), of("C", "valve"), of("D", "valve")];
        facts.exposures[3].fixed_in = Some("4.2.2".into());
        let told = ["pump".to_string(), "hose".to_string()].into();
        let key = |id: &str, source: &str| (id.to_string(), source.to_string());
        let unsure = [key("B", "hose"), key("E", "hose")].into();
        let billed = Billed::told_of(told, unsure);
        let Left::Found { exposures, unknown, unmatchable } = Left::of_bill(&billed, &facts, &current(42))
        else {
            panic!("a bill")
        };
        let ids: Vec<&str> = exposures.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["B", "C"], "A is repaired; D is said to be, by its own remedy");
        assert_eq!((unknown, unmatchable), (1, 0), "of E nobody knows; B counts already");
    }

    proptest! {
        #[test]
        fn an_effect_is_the_difference_of_two_scores(before in any_facts(), after in any_facts()) {
            // Goal: the promised change is the real one. Method: both scores anew; the hazards of the lists against the sums.
            let (one, other) = (score(&before, &RISK_V1, NOW), score(&after, &RISK_V1, NOW));
            let effect = effect(&before, &after, &RISK_V1, NOW);
            prop_assert_eq!((effect.before, effect.after), (one.value(), other.value()));
            let lists = effect.removed.iter().chain(&effect.added).chain(&effect.other);
            let moved: i64 =
                lists.map(|part| i64::from(part.after_micronepers) - i64::from(part.before_micronepers)).sum();
            let sums = [&one, &other].map(|score| i64::try_from(score.hazard_micronepers).unwrap_or(0));
            prop_assert_eq!(moved, sums[1] - sums[0]);
        }

        #[test]
        fn installing_what_removes_things_never_raises_a_score(facts in any_facts()) {
            // Goal: no release is worse by its name alone. Method: any device takes the newest one of which nothing else is known.
            let newest = Installed { release: "r-99", counter: 99, age: ReleaseAge::Current };
            let after = installed(&facts, &newest, Left::AsKnown);
            let effect = effect(&facts, &after, &RISK_V1, NOW);
            prop_assert!(effect.after.hundredths <= effect.before.hundredths);
            prop_assert!(effect.added.is_empty());
        }
    }
}
