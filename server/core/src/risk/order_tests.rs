//! Tests: what holds for every device, and the order of the weights (the order is the promise, not the figures).
//!
//! Read next: `examples` for worked devices.

use alloc::format;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use proptest::option::of as option;
use proptest::prelude::*;
use proptest::sample::select;

use super::examples::{NOW, days_ago, exposure, finding, flat_pump};
use super::facts::*;
use super::hazard::{of_exposure, parts, reach_share};
use super::model::RISK_V1;
use super::next_step::{Act, Owner, Remedy, plan, remediation};
use super::score::{Band, score, value};

const ANSWERS: [Answer; 3] = [Answer::Unknown, Answer::No, Answer::Yes];
const SEVERITIES: [Severity; 5] =
    [Severity::None, Severity::Minor, Severity::Serious, Severity::Critical, Severity::LifeSupporting];
const TIERS: [KeyProtection; 4] =
    [KeyProtection::Unknown, KeyProtection::File, KeyProtection::Pkcs11, KeyProtection::Tpm];
const ZONES: [Zone; 4] = [Zone::Isolated, Zone::Segmented, Zone::Flat, Zone::Internet];
const PLACES: [Place; 3] = [Place::LockedRoom, Place::ClinicalArea, Place::Public];
const VECTORS: [Vector; 4] = [Vector::Physical, Vector::Local, Vector::Adjacent, Vector::Network];
const FINDINGS: [FindingSeverity; 4] =
    [FindingSeverity::Low, FindingSeverity::Medium, FindingSeverity::High, FindingSeverity::Critical];

fn any_finding() -> impl Strategy<Value = Finding> {
    (0..40_u32, 0..6_u32, select(&FINDINGS[..]), -5..60_i64).prop_map(|(id, kind, severity, age)| Finding {
        kind: format!("kind {kind}"),
        ..finding(&format!("F-{id}-{kind}-{age}-{severity:?}"), severity, days_ago(age))
    })
}

fn any_exposure() -> impl Strategy<Value = Exposure> {
    let flags = (any::<bool>(), any::<bool>(), select(&VECTORS[..]), 0..4_u8, any::<bool>());
    let figures = (option(0..1_000_001_u32), option(0..101_u8));
    let names = (0..40_u32, select(&["src 1.0", "src 1.1", "other 2:1-3", "bare"][..]));
    let remedy = (option(38..44_u64), any::<bool>(), option(0..90_i64));
    (names, figures, flags, remedy).prop_map(|((id, package), (epss, tenths), flags, remedy)| {
        let (known_exploited, ransomware, vector, treatment, maker) = flags;
        let (fixed, counted, known) = remedy;
        let treatment = match treatment {
            0 => Treatment::Workaround,
            1 => Treatment::NotAffected,
            _ => Treatment::None,
        };
        let source = if maker { CvssSource::MakerEnvironmental } else { CvssSource::Base };
        Exposure {
            package: package.into(),
            epss_millionths: epss,
            cvss: tenths.map(|tenths| Cvss { tenths, source }),
            known_exploited,
            ransomware,
            vector,
            treatment,
            fixed_in: fixed.map(|counter| format!("r-{counter}")),
            fixed_counter: fixed.filter(|_| counted),
            known_since: known.map(days_ago),
            ..exposure(&format!("CVE-{id}"), 0, 0)
        }
    })
}

#[test]
fn a_key_in_a_file_weighs_little_and_a_doubt_about_an_identity_weighs_until_it_is_cleared() {
    // Goal: hardware is worth something, silence is not punished, and a doubt counts once and does not fade. Method:
    // each tier, both kinds of evidence about a copy, and months later.
    let with = |key_protection, identity_doubted| {
        let mut facts = Facts::unknown("d");
        (facts.posture.key_protection, facts.posture.identity_doubted) = (key_protection, identity_doubted);
        facts
    };
    let value_of = |facts: &Facts| value(facts, &RISK_V1, NOW).hundredths;
    let file = value_of(&with(KeyProtection::File, None));
    for tier in [KeyProtection::Unknown, KeyProtection::Pkcs11, KeyProtection::Tpm] {
        assert_eq!(value_of(&with(tier, None)), 0, "{tier:?}");
        assert!(file > 0 && file < 200, "{file}");
    }
    assert_eq!(KeyProtection::of("in a drawer"), KeyProtection::Unknown);
    let (fresh, old) = (with(KeyProtection::Tpm, Some(NOW)), with(KeyProtection::Tpm, Some(days_ago(200))));
    assert_eq!(value_of(&fresh), value_of(&old), "a doubt does not fade");
    let mut both = old.clone();
    let copy = Finding { kind: "clone".into(), ..finding("F-1", FindingSeverity::High, days_ago(1)) };
    both.findings.push(copy);
    assert_eq!(value_of(&both), value_of(&old), "the same evidence counts once");
    let steps = plan(&old, &RISK_V1, NOW);
    assert!(steps.iter().any(|step| step.short == "Settle the doubt"), "{steps:?}");
    let mut gravest = old;
    gravest.findings.push(Finding { kind: "clone".into(), ..finding("F-2", FindingSeverity::Critical, NOW) });
    assert!(value_of(&gravest) > value_of(&fresh));
}

prop_compose! {
    fn any_posture()(answers in proptest::array::uniform7(select(&ANSWERS[..])), ended in proptest::option::of(-10..4000_i64),
                     tier in select(&TIERS[..]), doubted in proptest::option::of(0..400_i64),
                     services in proptest::option::of(proptest::collection::vec("[0-9]{1,5}/tcp", 0..4))) -> Posture {
        Posture {
            read_at: Some(days_ago(1)),
            weak_since: None,
            default_credentials: answers[0],
            empty_password: answers[1],
            cleartext_service: answers[1],
            os_support: ended.map_or(OsSupport::Unknown, |days| match days % 2 {
                0 => OsSupport::Ended { at: days_ago(days) },
                _ => OsSupport::Until { at: days_ago(days) },
            }),
            secure_boot_off: answers[2],
            disk_unencrypted: answers[3],
            patient_data_at_rest: answers[4],
            debug_port: answers[5],
            open_services: services,
            measured_boot_mismatch: answers[6],
            key_protection: tier,
            identity_doubted: doubted.map(days_ago),
        }
    }
}

prop_compose! {
    fn any_freshness()(seen in proptest::option::of(-1..60_i64), behind in proptest::option::of(0..900_i64),
                       failed in proptest::option::of(0..9_i64), back in proptest::option::of(0..9_i64),
                       feed in proptest::option::of(0..30_i64)) -> Freshness {
        Freshness {
            last_seen: seen.map(days_ago),
            release: behind.map_or(if failed.is_some() { ReleaseAge::Unknown } else { ReleaseAge::Current }, |days| {
                ReleaseAge::Behind { newest: "r-41".into(), since: days_ago(days), counter: (days % 3 > 0).then_some(41) }
            }),
            update_failed: failed.map(days_ago),
            rolled_back: back.map(days_ago),
            feed_updated: feed.map(days_ago),
        }
    }
}

prop_compose! {
    pub(super) fn any_facts()(severity in proptest::option::of(select(&SEVERITIES[..])), zone in proptest::option::of(select(&ZONES[..])),
                   place in proptest::option::of(select(&PLACES[..])), posture in any_posture(), freshness in any_freshness(),
                   findings in proptest::collection::vec(any_finding(), 0..8),
                   exposures in proptest::collection::vec(any_exposure(), 0..12)) -> Facts {
        Facts {
            device: "any".into(),
            impact: Impact { severity, patient_data: None },
            reach: Reach { zone, place },
            posture, freshness, findings, exposures,
            exposures_unknown: 0,
            components_unmatchable: 0,
        }
    }
}

proptest! {
    #[test]
    fn every_score_is_bounded_and_its_parts_sum_to_it_exactly(facts in any_facts()) {
        let score = score(&facts, &RISK_V1, NOW);
        prop_assert!(score.value_hundredths <= 10_000);
        prop_assert_eq!(score.contributions.iter().map(|part| part.hundredths).sum::<u16>(), score.value_hundredths);
        prop_assert_eq!(score.contributions.iter().map(|part| part.points).sum::<u16>(), score.points());
        prop_assert_eq!(value(&facts, &RISK_V1, NOW), score.value());
        let expected = match score.points() {
            0..20 => Band::Low,
            20..40 => Band::Medium,
            40..70 => Band::High,
            _ => Band::Critical,
        };
        prop_assert_eq!(score.band, expected, "the number never contradicts its band");
    }

    #[test]
    fn the_order_of_the_facts_changes_no_byte(facts in any_facts(), seed in any::<u64>()) {
        let mut shuffled = facts.clone();
        let turn = |len: usize| if len == 0 { 0 } else { usize::try_from(seed % 97).unwrap() % len };
        shuffled.findings.reverse();
        let places = turn(shuffled.exposures.len());
        shuffled.exposures.rotate_left(places);
        let one = serde_json::to_string(&score(&facts, &RISK_V1, NOW).contributions).unwrap();
        let other = serde_json::to_string(&score(&shuffled, &RISK_V1, NOW).contributions).unwrap();
        prop_assert_eq!(one, other);
    }

    #[test]
    fn one_more_finding_or_exposure_never_lowers_a_score(facts in any_facts(), more in any_finding(), hole in any_exposure()) {
        let before = value(&facts, &RISK_V1, NOW).hundredths;
        let mut found = facts.clone();
        found.findings.push(more);
        prop_assert!(value(&found, &RISK_V1, NOW).hundredths >= before);
        let mut exposed = facts;
        exposed.exposures.push(hole);
        prop_assert!(value(&exposed, &RISK_V1, NOW).hundredths >= before);
    }

    #[test]
    fn more_impact_never_lowers_a_score(facts in any_facts()) {
        let scores = SEVERITIES.map(|severity| {
            let impact = Impact { severity: Some(severity), patient_data: Some(PatientData::None) };
            let bulk = Impact { severity: Some(severity), patient_data: Some(PatientData::Bulk) };
            let with = |impact| value(&Facts { impact, ..facts.clone() }, &RISK_V1, NOW).hundredths;
            (with(impact), with(bulk))
        });
        prop_assert!(scores.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        prop_assert!(scores.iter().all(|(none, bulk)| none <= bulk));
    }

    #[test]
    fn fixing_two_things_gains_at_least_what_each_gains_alone(facts in any_facts()) {
        let score = score(&facts, &RISK_V1, NOW);
        let [a, b, ..] = &score.contributions[..] else { return Ok(()) };
        let gain = |ids: &[&str]| score.value_hundredths - score.without(ids, &RISK_V1).hundredths;
        let (one, other, both) = (gain(&[&a.id]), gain(&[&b.id]), gain(&[&a.id, &b.id]));
        prop_assert!(both >= one && both >= other);
        prop_assert!(both + 2 >= one + other, "joint {both}, single {one} and {other}, but for rounding");
        prop_assert_eq!(a.alone_hundredths.unwrap(), score.without(&[&a.id], &RISK_V1).hundredths);
    }

    #[test]
    fn a_step_never_raises_the_score_and_they_come_in_order_of_effect(facts in any_facts()) {
        let steps = plan(&facts, &RISK_V1, NOW);
        prop_assert!(steps.len() <= 3);
        prop_assert!(steps.iter().all(|step| step.after_hundredths <= step.before_hundredths));
        let ours: Vec<u16> =
            steps.iter().filter(|s| s.owner != Owner::Maker).map(|s| s.after_hundredths).collect();
        prop_assert!(ours.is_sorted());
    }

    #[test]
    fn arbitrary_bytes_are_facts_or_refused_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), now in any::<i64>()) {
        any_bytes(&bytes, Timestamp(now));
    }

    #[test]
    fn facts_at_any_time_score_without_a_panic(facts in any_facts(), now in any::<i64>()) {
        any_bytes(&serde_json::to_vec(&facts).unwrap(), Timestamp(now));
    }
}

/// Entry for fuzzing: bytes of a facts file, scored and planned.
fn any_bytes(bytes: &[u8], now: Timestamp) {
    if let Ok(facts) = serde_json::from_slice::<Facts>(bytes) {
        let score = score(&facts, &RISK_V1, now);
        assert!(score.value_hundredths <= 10_000);
        let _ = plan(&facts, &RISK_V1, now);
    }
}

#[test]
fn exploited_weighs_at_least_as_much_as_not_and_ransomware_at_least_as_much_as_exploited() {
    // Goal: order of threats. Method: one vulnerability at every tenth of EPSS.
    for epss in (0..=1_000_000).step_by(100_000) {
        let plain = exposure("CVE-1", epss, 70);
        let exploited = Exposure { known_exploited: true, ..plain.clone() };
        let ransomware = Exposure { ransomware: true, ..exploited.clone() };
        let [a, b, c] = [plain, exploited, ransomware].map(|e| of_exposure(&e, &Reach::default(), &RISK_V1));
        assert!(a <= b && b <= c, "{a} {b} {c} at {epss}");
    }
}

#[test]
fn wider_networks_and_remoter_vectors_weigh_at_least_as_much() {
    // Goal: internet ≥ flat ≥ segmented ≥ isolated, and N ≥ A ≥ L ≥ P in every zone and place. Method: the whole grid.
    let share =
        |vector, zone, place| reach_share(vector, &Reach { zone: Some(zone), place: Some(place) }, &RISK_V1);
    for place in PLACES {
        for vector in VECTORS {
            assert!(ZONES.map(|zone| share(vector, zone, place)).is_sorted(), "{vector:?} {place:?}");
        }
        for zone in ZONES {
            assert!(VECTORS.map(|vector| share(vector, zone, place)).is_sorted(), "{zone:?} {place:?}");
        }
    }
}

#[test]
fn treatments_fade_and_years_weigh_in_their_order() {
    // Goal: not affected ≤ workaround ≤ nothing said; older ≤ newer findings; a year of EOL never lowers; a return
    // weighs more than being stale. Method: each pair.
    let treated = [Treatment::Fixed, Treatment::NotAffected, Treatment::Workaround, Treatment::None];
    let treated = treated.map(|t| {
        of_exposure(&Exposure { treatment: t, ..exposure("C", 500_000, 70) }, &Reach::default(), &RISK_V1)
    });
    assert!(treated.is_sorted() && treated[1] == 0 && treated[2] > 0, "{treated:?}");
    let only = |change: &dyn Fn(&mut Facts)| {
        let mut facts = Facts::unknown("d");
        change(&mut facts);
        parts(&facts, &RISK_V1, NOW).iter().map(|part| part.hazard).sum::<u32>()
    };
    let faded = [60, 14, 7, 1, 0]
        .map(|age| only(&|f| f.findings = Vec::from([finding("F", FindingSeverity::High, days_ago(age))])));
    assert!(faded.is_sorted() && faded[0] > 0, "{faded:?}");
    let ended = [0, 364, 365, 730, 5000]
        .map(|age| only(&|f| f.posture.os_support = OsSupport::Ended { at: days_ago(age) }));
    assert!(ended.is_sorted() && ended[1] < ended[2], "{ended:?}");
    let stale = only(&|f| {
        f.freshness.release = ReleaseAge::Behind { newest: "2".into(), since: days_ago(3000), counter: None }
    });
    assert!(only(&|f| f.freshness.rolled_back = Some(NOW)) > stale);
    let silent = [7, 8, 31].map(|age| only(&|f| f.freshness.last_seen = Some(days_ago(age))));
    assert!(silent.is_sorted() && silent[0] == 0 && silent[1] > 0, "{silent:?}");
}

#[test]
fn of_one_kind_only_the_newest_counts() {
    // Goal: a repeated alarm is one fact. Method: the same kind twice, of equal severity; then in two kinds.
    let mut facts = Facts::unknown("d");
    let same = |id: &str, age| Finding {
        kind: "beacon".into(),
        ..finding(id, FindingSeverity::High, days_ago(age))
    };
    facts.findings = Vec::from([same("F-2", 5), same("F-1", 0), same("F-3", 0)]);
    let once = score(&facts, &RISK_V1, NOW);
    assert_eq!(once.contributions.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["F-1", "impact"]);
    facts.findings.push(Finding { kind: "scan".into(), ..same("F-4", 0) });
    assert!(score(&facts, &RISK_V1, NOW).value_hundredths > once.value_hundredths);
}

#[test]
fn deadlines_are_those_of_the_directive() {
    // Goal: CISA BOD 26-04, its sixteen rows, the investigation included. Method: the published table in its own order.
    let days = |days| Some(Remedy { days, investigate: false });
    let forensic = Some(Remedy { days: 3, investigate: true });
    let rows = [
        (0, 0, 0, 0, None),
        (1, 0, 0, 0, days(14)),
        (0, 1, 0, 0, days(60)),
        (0, 0, 1, 0, days(60)),
        (0, 0, 0, 1, None),
        (1, 1, 0, 0, days(14)),
        (1, 0, 1, 0, days(14)),
        (0, 1, 1, 0, days(14)),
        (1, 0, 0, 1, days(14)),
        (0, 1, 0, 1, days(14)),
        (0, 0, 1, 1, days(60)),
        (1, 1, 1, 0, days(3)),
        (1, 1, 0, 1, forensic),
        (1, 0, 1, 1, forensic),
        (0, 1, 1, 1, days(3)),
        (1, 1, 1, 1, forensic),
    ];
    for (exploited, exposed, automatable, total, remedy) in rows {
        assert_eq!(remediation(exploited == 1, exposed == 1, automatable == 1, total == 1), remedy);
    }
}

#[test]
fn a_finding_that_says_whose_move_it_is_is_given_to_them() {
    // Goal: nobody allows a full disk in a profile. Method: a finding with an owner, the same without, the step of each.
    let step = |owner| {
        let mut facts = flat_pump();
        facts.exposures.clear();
        facts.findings = alloc::vec![Finding { owner, ..finding("F-1", FindingSeverity::Critical, NOW) }];
        let steps = plan(&facts, &RISK_V1, NOW);
        let step = steps.into_iter().find(|step| step.act == Act::Decide("F-1".into())).expect("a step");
        (step.owner, step.why.contains("stands in the finding"))
    };
    assert_eq!(step(Some(Owner::Maker)), (Owner::Maker, true));
    assert_eq!(step(None), (Owner::Security, false));
}
