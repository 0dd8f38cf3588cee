//! Random devices for the score, and everything that must hold of each: for the tests here and for the soak outside.
//!
//! A case is made from one number by integers alone, so a number names the same case on every machine. What is wrong is told in
//! words with the number. Read next: [`check`] for the list of promises.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::facts::{
    Answer, Cvss, CvssSource, Exposure, Facts, Finding, FindingSeverity, Freshness, Impact, KeyProtection,
    OsSupport, PatientData, Place, Posture, Reach, ReleaseAge, Severity, Treatment, Vector, Zone,
};
use super::hazard::of_exposures;
use super::history::Said;
use super::model::{Model, RISK_V1};
use super::score::{Score, Value, score, value, value_by_kind, value_sharing};
use super::what_if::{Installed, Left, effect, installed};

/// When all cases are scored: 20 November 2026, 14:26 UTC.
pub const NOW: Timestamp = Timestamp(1_795_184_760);
const DAY_S: i64 = 86_400;

/// What is broken, with the case's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The number of the case.
    pub seed: u64,
    /// Which promise, in words.
    pub promise: &'static str,
}

/// Numbers by chance from one number (SplitMix64, Steele et al. 2014).
pub struct Chance(u64);

impl Chance {
    /// A source that begins with this number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end.max(1))).unwrap_or(0)
    }

    fn one_in(&mut self, of: u32) -> bool {
        self.below(of) == 0
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let place = usize::try_from(self.next() % all.len().max(1) as u64).unwrap_or(0);
        *all.get(place).or(all.first()).expect("no list here is empty")
    }

    fn ago(&mut self, days: u32) -> Timestamp {
        let (days, seconds) = (i64::from(self.below(days)), i64::from(self.below(86_400)));
        NOW.plus_seconds(-days * DAY_S - seconds)
    }

    fn maybe<T>(&mut self, of: u32, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(of) { None } else { Some(make(self)) }
    }
}

const ANSWERS: [Answer; 3] = [Answer::Unknown, Answer::No, Answer::Yes];
const ZONES: [Zone; 4] = [Zone::Isolated, Zone::Segmented, Zone::Flat, Zone::Internet];
const PLACES: [Place; 3] = [Place::LockedRoom, Place::ClinicalArea, Place::Public];
const VECTORS: [Vector; 4] = [Vector::Physical, Vector::Local, Vector::Adjacent, Vector::Network];
const SEVERITIES: [Severity; 5] =
    [Severity::None, Severity::Minor, Severity::Serious, Severity::Critical, Severity::LifeSupporting];
const RECORDS: [PatientData; 3] = [PatientData::None, PatientData::Limited, PatientData::Bulk];

/// A device by chance.
pub fn device(chance: &mut Chance) -> Facts {
    let findings = (0..chance.below(6)).map(|_| finding(chance)).collect();
    let exposures = (0..chance.below(14)).map(|_| exposure(chance)).collect();
    Facts {
        device: String::from("case"),
        impact: Impact {
            severity: chance.maybe(5, |c| c.of(&SEVERITIES)),
            patient_data: chance.maybe(5, |c| c.of(&RECORDS)),
        },
        reach: Reach { zone: chance.maybe(5, |c| c.of(&ZONES)), place: chance.maybe(5, |c| c.of(&PLACES)) },
        posture: posture(chance),
        freshness: freshness(chance),
        findings,
        exposures,
        exposures_unknown: chance.below(3),
        components_unmatchable: chance.below(3),
    }
}

fn posture(chance: &mut Chance) -> Posture {
    let mut answer = || chance.of(&ANSWERS);
    let (default_credentials, cleartext_service, secure_boot_off) = (answer(), answer(), answer());
    let (disk_unencrypted, patient_data_at_rest, debug_port) = (answer(), answer(), answer());
    let (measured_boot_mismatch, empty_password) = (answer(), answer());
    Posture {
        read_at: Some(NOW),
        weak_since: chance.maybe(2, |c| c.ago(90)),
        default_credentials,
        empty_password,
        cleartext_service,
        os_support: match chance.below(4) {
            0 => OsSupport::Unknown,
            1 => OsSupport::Supported,
            2 => OsSupport::Until { at: chance.ago(2000) },
            _ => OsSupport::Ended { at: chance.ago(6000) },
        },
        secure_boot_off,
        disk_unencrypted,
        patient_data_at_rest,
        debug_port,
        open_services: chance
            .maybe(2, |c| (0..c.below(4)).map(|_| format!("{}/tcp", c.below(65_536))).collect()),
        measured_boot_mismatch,
        key_protection: chance.of(&[KeyProtection::Unknown, KeyProtection::File, KeyProtection::Tpm]),
        identity_doubted: chance.one_in(8).then_some(NOW),
    }
}

fn freshness(chance: &mut Chance) -> Freshness {
    let release = match chance.below(3) {
        0 => ReleaseAge::Unknown,
        1 => ReleaseAge::Current,
        _ => ReleaseAge::Behind {
            newest: "r-41".into(),
            since: chance.ago(900),
            counter: chance.maybe(3, |_| 41),
        },
    };
    Freshness {
        last_seen: chance.maybe(4, |c| c.ago(60)),
        release,
        update_failed: chance.one_in(6).then(|| chance.ago(9)),
        rolled_back: chance.one_in(8).then(|| chance.ago(9)),
        feed_updated: chance.maybe(4, |c| c.ago(30)),
    }
}

/// A finding by chance.
pub fn finding(chance: &mut Chance) -> Finding {
    let severity = chance.of(&[
        FindingSeverity::Low,
        FindingSeverity::Medium,
        FindingSeverity::High,
        FindingSeverity::Critical,
    ]);
    Finding {
        id: format!("F-{}", chance.next()),
        kind: format!("kind {}", chance.below(5)),
        title: String::from("Does something"),
        severity,
        at: chance.ago(60),
        owner: None,
    }
}

/// An exposure by chance.
pub fn exposure(chance: &mut Chance) -> Exposure {
    let counter = 38 + u64::from(chance.below(6));
    let is_fixed = chance.one_in(2);
    Exposure {
        id: format!("CVE-2026-{:04}", chance.below(60)),
        package: format!("src{} {}.{}-1", chance.below(3), chance.below(3), chance.below(3)),
        source: None,
        epss_millionths: chance.maybe(4, |c| c.below(1_000_001)),
        cvss: chance.maybe(4, |c| Cvss {
            tenths: u8::try_from(c.below(101)).unwrap_or(0),
            source: if c.one_in(4) { CvssSource::MakerEnvironmental } else { CvssSource::Base },
        }),
        vector: chance.of(&VECTORS),
        known_exploited: chance.one_in(5),
        ransomware: chance.one_in(9),
        treatment: chance.of(&[
            Treatment::None,
            Treatment::None,
            Treatment::Workaround,
            Treatment::NotAffected,
        ]),
        fixed_in: is_fixed.then(|| format!("r-{counter}")),
        fixed_counter: (is_fixed && chance.one_in(2)).then_some(counter),
        fixed_version: None,
        known_since: chance.maybe(3, |c| c.ago(90)),
        automatable: chance.of(&ANSWERS),
        total_control: chance.of(&ANSWERS),
    }
}

/// A table of figures by chance: the model's own, with a figure set if that is allowed.
fn table(chance: &mut Chance) -> Model {
    let figures = RISK_V1.figures();
    let place = usize::try_from(chance.below(u32::try_from(figures.len()).unwrap_or(1))).unwrap_or(0);
    let Some((name, _)) = figures.get(place) else { return RISK_V1 };
    RISK_V1.with(name, chance.below(10_001)).unwrap_or(RISK_V1)
}

/// A device, another one, and the table that both are scored by.
fn case(chance: &mut Chance) -> (Facts, Facts, Model) {
    (device(chance), device(chance), table(chance))
}

/// Everything that must hold of the case with this number; its score.
///
/// # Errors
/// The first promise that is broken.
pub fn check(seed: u64) -> Result<Score, Broken> {
    let chance = &mut Chance::new(seed);
    let (facts, other, model) = case(chance);
    let score = score(&facts, &model, NOW);
    let plain = value(&facts, &model, NOW);
    let joint = joint_gain(&score, &model);
    let held = [
        ("a score lies between 0 and 100", score.value_hundredths <= 10_000),
        ("the rows sum to the score exactly", sums_exactly(&score)),
        ("a value without reasons is the explained one", plain == score.value()),
        ("exposures that devices share weigh as their own", shares(&facts, plain, &model)),
        ("the order of the facts changes nothing", permutes(&facts, &score, &model)),
        ("facts that are written down and read score the same", reads_back(&facts, &score, &model)),
        (
            "one thing more never lowers a score",
            is_monotone(&facts, chance, |facts| value(facts, &model, NOW)),
        ),
        ("more impact and a wider reach never lower a score", is_ordered(&facts, &model)),
        ("two repairs together gain what both gain alone", joint),
        (
            "the shares of the kinds sum to the score",
            value_by_kind(&facts, &model, NOW).1.total() == u64::from(plain.hundredths),
        ),
        ("a release that only repairs raises no score", repairs(&facts, &model)),
        (
            "what moved a score sums to its difference",
            is_explained(&score, &super::score(&other, &model, NOW)),
        ),
    ];
    match held.into_iter().find(|(_, held)| !held) {
        Some((promise, _)) => Err(Broken { seed, promise }),
        None => Ok(score),
    }
}

fn shares(facts: &Facts, plain: Value, model: &Model) -> bool {
    let without = Facts { exposures: Vec::new(), ..facts.clone() };
    value_sharing(&without, of_exposures(&facts.exposures, &facts.reach, model), model, NOW) == plain
}

fn sums_exactly(score: &Score) -> bool {
    let hundredths: u32 = score.contributions.iter().map(|part| u32::from(part.hundredths)).sum();
    let points: u32 = score.contributions.iter().map(|part| u32::from(part.points)).sum();
    hundredths == u32::from(score.value_hundredths) && points == u32::from(score.points())
}

fn permutes(facts: &Facts, score: &Score, model: &Model) -> bool {
    let mut turned = facts.clone();
    turned.findings.reverse();
    turned.exposures.reverse();
    if let Some(services) = &mut turned.posture.open_services {
        services.reverse();
    }
    super::score(&turned, model, NOW) == *score
}

fn reads_back(facts: &Facts, score: &Score, model: &Model) -> bool {
    let text = serde_json::to_vec(facts).unwrap_or_default();
    serde_json::from_slice::<Facts>(&text).is_ok_and(|read| super::score(&read, model, NOW) == *score)
}

/// Whether one finding, exposure or weakness more never lowers what `value` says.
pub fn is_monotone(facts: &Facts, chance: &mut Chance, value: impl Fn(&Facts) -> Value) -> bool {
    let before = value(facts).hundredths;
    let with = |change: &mut dyn FnMut(&mut Facts)| {
        let mut more = facts.clone();
        change(&mut more);
        value(&more).hundredths >= before
    };
    let (finding, exposure) = (finding(chance), exposure(chance));
    with(&mut |more| more.findings.push(finding.clone()))
        && with(&mut |more| more.exposures.push(exposure.clone()))
        && with(&mut |more| more.posture.debug_port = Answer::Yes)
        && with(&mut |more| more.posture.default_credentials = Answer::Yes)
        && with(&mut |more| more.posture.empty_password = Answer::Yes)
        && with(&mut |more| more.freshness.rolled_back = Some(NOW))
}

fn is_ordered(facts: &Facts, model: &Model) -> bool {
    let of = |change: &dyn Fn(&mut Facts)| {
        let mut changed = facts.clone();
        change(&mut changed);
        value(&changed, model, NOW).hundredths
    };
    SEVERITIES.map(|one| of(&|facts| facts.impact.severity = Some(one))).is_sorted()
        && RECORDS.map(|one| of(&|facts| facts.impact.patient_data = Some(one))).is_sorted()
        && ZONES.map(|one| of(&|facts| facts.reach.zone = Some(one))).is_sorted()
        && PLACES.map(|one| of(&|facts| facts.reach.place = Some(one))).is_sorted()
        && VECTORS
            .map(|one| of(&|facts| facts.exposures.iter_mut().for_each(|hole| hole.vector = one)))
            .is_sorted()
}

/// Joint gains, but for the rounding of each of the three scores to a hundredth and below its whole point.
fn joint_gain(score: &Score, model: &Model) -> bool {
    let [a, b, ..] = score.contributions.as_slice() else { return true };
    let gain = |ids: &[&str]| score.value_hundredths.saturating_sub(score.without(ids, model).hundredths);
    gain(&[&a.id, &b.id]).saturating_add(2) >= gain(&[&a.id]).saturating_add(gain(&[&b.id]))
}

fn repairs(facts: &Facts, model: &Model) -> bool {
    let newest = Installed { release: "r-99", counter: 99, age: ReleaseAge::Current };
    let after = installed(facts, &newest, Left::AsKnown);
    let effect = effect(facts, &after, model, NOW);
    effect.after.hundredths <= effect.before.hundredths && effect.added.is_empty()
}

fn is_explained(one: &Score, other: &Score) -> bool {
    let mut said = Said::default();
    said.record(one);
    said.record(other);
    let moved: i32 = said.points.last().map_or(0, |point| point.moved.iter().map(|one| one.hundredths).sum());
    moved == i32::from(other.value_hundredths) - i32::from(one.value_hundredths)
}

/// A score that takes the mean of its parts instead of their sum: what `check`'s promises must catch.
#[must_use]
pub fn mean_of_parts(facts: &Facts) -> Value {
    let parts = super::hazard::parts(facts, &RISK_V1, NOW);
    let count = u64::try_from(parts.len()).unwrap_or(1).max(1);
    Value::of(super::score::sum(&parts) / count, super::score::impact_e8(&facts.impact, &RISK_V1), &RISK_V1)
}

/// The score of the case with this number as it is written down, for whoever compares machines.
#[must_use]
pub fn written(seed: u64) -> Vec<u8> {
    let (facts, _, model) = case(&mut Chance::new(seed));
    serde_json::to_vec(&score(&facts, &model, NOW)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elsewhere::digest;

    #[test]
    fn every_promise_holds_of_two_thousand_cases_and_their_bytes_are_the_same_everywhere() {
        // Goal: one number for one set of facts, on whatever machine. Method: the digest of all scores with their words, pinned; it
        // was made on x86-64 and is compared wherever the tests run.
        assert_eq!((0..2000).find_map(|seed| check(seed).err()), None);
        assert_eq!(digest(0..2000, written), include_str!("golden/cases.sha256").trim());
    }

    #[test]
    fn a_score_that_takes_a_mean_is_caught() {
        // Goal: the promises bite. Method: a score of the kind that others publish, in which a second finding lowers the first.
        let caught = (0..200).any(|seed| {
            let chance = &mut Chance::new(seed);
            let facts = device(chance);
            !is_monotone(&facts, chance, mean_of_parts)
        });
        assert!(caught);
    }
}
