//! Tests of what was once wrong: dates that slid, ends that hid each other, releases that made old devices look young, and
//! lines that repeated themselves. Also that a value without its reasons is the explained one.
//!
//! Read next: `examples` for worked devices, `order_tests` for what holds for every device.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::UpdateState;
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::inventory::{Row as InventoryRow, Section};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::{Millis, Timestamp};
use proptest::prelude::*;

use super::examples::{NOW, days_ago, exposure};
use super::facts::*;
use super::gather::{End, Ends, FELL_S, Known, Newest, gather, newest_of};
use super::model::{Model, RISK_V1};
use super::next_step::{Act, Owner, plan};
use super::noticed::Noticed;
use super::order_tests::any_facts;
use super::score::{score, value};
use crate::device::{Device, Report};
use crate::import::KnownRelease;
use crate::order_plan::fixture::{pump, runs};

fn release(counter: u64, imported: Timestamp) -> KnownRelease {
    let body = format!(
        r#"{{"v":1,"repository":"halden","release":"vp-3/{counter}","model":"VP-3","counter":{counter},"floor":0,"sha256":"{}","length":10,"imported":{}}}"#,
        Sha256([1; 32]),
        imported.0
    );
    serde_json::from_str(&body).expect("a release as it was stored first")
}

/// A pump that runs release 40, said so a minute ago, and what is known of it.
fn known<'a>(device: &'a Device, newest: Option<&'a Newest>, ends: &[End]) -> Known<'a> {
    let ends = ends.iter().copied().collect::<Ends>();
    let seen = Some(NOW.plus_seconds(-60));
    Known {
        device,
        report: device.report.as_ref(),
        reported: seen.map(Millis::from),
        seen,
        inventory: None,
        newest,
        ends,
        exposed: None,
    }
}

fn end(outcome: Outcome, counter: u64, days: i64) -> End {
    End { outcome, counter, at: days_ago(days), is_ordered: true }
}

fn facts_of(known: &Known<'_>) -> Facts {
    gather(known, [])
}

/// The pump in this state of its update.
fn in_state(state: UpdateState) -> Device {
    let mut device = runs(pump("VP3-1"), 40);
    device.report.as_mut().expect("it has reported").update.state = state;
    device
}

#[test]
fn a_device_is_behind_since_the_first_newer_release_and_not_since_the_newest() {
    // Goal: taking in one more release makes no device two years behind look fresh. Method: the same pump before and after
    // an import of today, and with the release in between taken off its maker's list.
    let device = runs(pump("VP3-1"), 40);
    let behind = |releases: &[KnownRelease]| {
        let newest = newest_of(releases);
        let facts = facts_of(&known(&device, newest.get(&Text::lossy("VP-3")), &[]));
        (facts.freshness.release.clone(), value(&facts, &RISK_V1, NOW).hundredths)
    };
    let mut releases =
        vec![release(39, days_ago(900)), release(41, days_ago(700)), release(40, days_ago(800))];
    let (age, before) = behind(&releases);
    let of = |newest: &str, counter| ReleaseAge::Behind {
        newest: newest.into(),
        since: days_ago(700),
        counter: Some(counter),
    };
    assert_eq!(age, of("vp-3/41", 41));
    releases.push(release(42, NOW));
    assert_eq!(behind(&releases), (of("vp-3/42", 42), before));
    releases[1].listed = false;
    assert_eq!(behind(&releases), (of("vp-3/42", 42), before), "a shorter list makes nothing younger");
    releases[3].listed = false;
    assert_eq!(behind(&releases).0, ReleaseAge::Current, "what is listed no more is not to be installed");
    assert_eq!(behind(&[]).0, ReleaseAge::Unknown);
}

#[test]
fn the_last_end_counts_for_each_outcome_by_itself() {
    // Goal: an order that was refused later does not hide the trial that failed. Method: the ends of updates in each order
    // that matters.
    let ends = |ends: &[End]| ends.iter().copied().collect::<Ends>();
    let failed = end(Outcome::RolledBack, 40, 9);
    let after = ends(&[failed, end(Outcome::Refused, 40, 3)]);
    assert_eq!((after.failed, after.ran), (Some(days_ago(9)), Some((40, days_ago(9)))));
    let both = ends(&[failed, end(Outcome::WentBack, 39, 5), end(Outcome::Refused, 39, 3)]);
    assert_eq!((both.failed, both.returned, both.strayed), (Some(days_ago(9)), Some(days_ago(5)), None));
    let confirmed = ends(&[failed, end(Outcome::WentBack, 39, 5), end(Outcome::Confirmed, 41, 1)]);
    assert_eq!(confirmed, Ends { ran: Some((41, days_ago(1))), ..Ends::default() });
    let device = in_state(UpdateState::Refused);
    let facts = facts_of(&known(&device, None, &[failed, end(Outcome::Refused, 40, 3)]));
    assert_eq!(facts.freshness.update_failed, Some(days_ago(9)));
}

#[test]
fn a_failed_update_is_dated_by_its_receipt_else_since_it_was_first_told() {
    // Goal: a deadline that comes. Method: a pump that says its update failed, with the receipt; without one; a day later
    // with what its document kept; and when it says so no more.
    let mut device = in_state(UpdateState::RolledBack);
    let failed = |device: &Device, ends: &[End], seen: Timestamp| {
        let known = Known { seen: Some(seen), ..known(device, None, ends) };
        (facts_of(&known).freshness.update_failed, Noticed::of(&known))
    };
    assert_eq!(failed(&device, &[end(Outcome::RolledBack, 40, 2)], NOW).0, Some(days_ago(2)));
    let (first, noticed) = failed(&device, &[], NOW);
    assert_eq!((first, noticed.failing), (Some(NOW.plus_seconds(-60)), first), "not when it was last seen");
    device.noticed = noticed;
    let later = Known {
        reported: Some(Millis::from(NOW.plus_seconds(86_400))),
        ..known(&device, None, &[end(Outcome::Confirmed, 40, 90)])
    };
    assert_eq!(facts_of(&later).freshness.update_failed, first, "further news move no date");
    let well = Device { noticed, ..in_state(UpdateState::Confirmed) };
    let (none, noticed) = failed(&well, &[], NOW);
    assert_eq!((none, noticed.failing), (None, None));
}

#[test]
fn a_return_that_was_ordered_weighs_nothing_and_any_other_does() {
    // Goal: sending a thousand devices back by an order makes no thousand high risks, and a return that nobody ordered is
    // seen. Method: the same receipt for a published order and for an unknown one, and a newer release for the former.
    let device = runs(pump("VP3-1"), 40);
    let newest = newest_of(&[release(41, days_ago(2))]);
    let newest = newest.get(&Text::lossy("VP-3"));
    let back = end(Outcome::WentBack, 40, 1);
    let ordered = facts_of(&known(&device, newest, &[end(Outcome::Confirmed, 41, 2), back]));
    assert_eq!(ordered.freshness.rolled_back, None);
    assert!(matches!(ordered.freshness.release, ReleaseAge::Behind { .. }), "it is behind, and that is all");
    let strayed = facts_of(&known(&device, newest, &[End { is_ordered: false, ..back }]));
    assert_eq!(strayed.freshness.rolled_back, Some(days_ago(1)));
    assert!(value(&strayed, &RISK_V1, NOW).hundredths > value(&ordered, &RISK_V1, NOW).hundredths + 3000);
}

#[test]
fn a_counter_that_falls_without_a_receipt_is_a_return_once_it_stays() {
    // Goal: a downgrade by hand is seen, and no way back in progress is called one. Method: a pump that proved 41 and says 40:
    // at once, after a while, in a trial, before the receipt, and with the receipt of an ordered return.
    let mut device = runs(pump("VP3-1"), 40);
    let proved = [end(Outcome::Confirmed, 41, 9)];
    let told = |known: &Known<'_>| facts_of(known).freshness.rolled_back;
    let fell = NOW.plus_seconds(-60);
    assert_eq!(told(&known(&device, None, &proved)), None, "the receipt may be on its way");
    device.noticed = Noticed::of(&known(&device, None, &proved));
    assert_eq!(device.noticed.fell, Some(fell));
    let stays = Known { seen: Some(fell.plus_seconds(FELL_S)), ..known(&device, None, &proved) };
    assert_eq!(told(&stays), Some(fell));
    let returned = [proved[0], end(Outcome::WentBack, 40, 1)];
    assert_eq!(told(&Known { ends: returned.into_iter().collect(), ..stays }), None);
    let earlier = Known { reported: Some(Millis::from(days_ago(10))), ..stays };
    assert_eq!(told(&earlier), None, "it said so before that receipt");
    let trial = Device { noticed: device.noticed, ..in_state(UpdateState::Trial) };
    assert_eq!(told(&Known { report: trial.report.as_ref(), device: &trial, ..stays }), None);
}

fn behind(counter: Option<u64>) -> ReleaseAge {
    ReleaseAge::Behind { newest: "4.2.2".into(), since: days_ago(30), counter }
}

fn holes(exposures: Vec<Exposure>, release: ReleaseAge) -> Facts {
    let mut facts = Facts::unknown("d");
    facts.exposures = exposures;
    facts.freshness.release = release;
    facts
}

fn hole(id: &str, fixed: Option<(&str, u64)>) -> Exposure {
    let (fixed_in, fixed_counter) = fixed.map(|(name, counter)| (name.into(), counter)).unzip();
    Exposure { known_exploited: true, fixed_in, fixed_counter, ..exposure(id, 900_000, 98) }
}

#[test]
fn what_an_earlier_release_repaired_the_newest_repairs_too() {
    // Goal: no vulnerability is nobody's step. Method: holes closed before, by and after the newest release, and by none; the
    // first two are to be installed away, the others wait for the maker.
    let fixed = [
        hole("CVE-1", Some(("4.2.1", 41))),
        hole("CVE-2", Some(("4.2.2", 42))),
        hole("CVE-3", Some(("4.2.3", 43))),
        hole("CVE-4", None),
    ];
    let facts = holes(fixed.to_vec(), behind(Some(42)));
    let steps = plan(&facts, &RISK_V1, NOW);
    let removed = |wanted: &dyn Fn(&Act) -> bool| -> Vec<&str> {
        let step = steps.iter().find(|step| wanted(&step.act)).expect("such a step");
        step.removes.iter().map(|id| id.split(':').next().unwrap_or_default()).collect()
    };
    let install = removed(&|act| matches!(act, Act::Install(name) if name == "4.2.2"));
    assert_eq!(install, ["freshness", "CVE-1", "CVE-2"]);
    assert_eq!(removed(&|act| *act == Act::WaitForMaker), ["CVE-3", "CVE-4"]);
    let uncounted = Exposure { fixed_counter: None, ..fixed[0].clone() };
    assert!(uncounted.is_removed_by_newest(Some(42)) && uncounted.is_removed_by_newest(None));
    let unknown = plan(&holes(fixed.to_vec(), ReleaseAge::Unknown), &RISK_V1, NOW);
    assert!(unknown.iter().any(|step| step.act == Act::Install("4.2.3".into())), "{unknown:?}");
}

#[test]
fn of_releases_without_counters_the_newest_is_no_matter_of_spelling() {
    // Goal: nobody is told to install 4.9 where 4.10 is out. Method: names as makers write them, in both orders; a counter
    // says more than any name.
    let told = |names: [&str; 2], counters: [Option<u64>; 2]| {
        let both = [("CVE-1", 0), ("CVE-2", 1)].map(|(id, at)| Exposure {
            fixed_in: Some(names[at].into()),
            fixed_counter: counters[at],
            ..hole(id, None)
        });
        let steps = plan(&holes(both.to_vec(), ReleaseAge::Unknown), &RISK_V1, NOW);
        steps.into_iter().find_map(|step| if let Act::Install(name) = step.act { Some(name) } else { None })
    };
    for (older, newer) in
        [("4.9.0", "4.10.0"), ("vp-3/9", "vp-3/10"), ("release 4.2", "release 4.2.1"), ("a", "b")]
    {
        assert_eq!(told([older, newer], [None; 2]).as_deref(), Some(newer));
        assert_eq!(told([newer, older], [None; 2]).as_deref(), Some(newer));
        assert_eq!(told([older, newer], [Some(7), Some(6)]).as_deref(), Some(older));
        assert_eq!(told([older, newer], [Some(7), None]).as_deref(), Some(older));
    }
}

#[test]
fn a_vulnerability_without_a_first_day_is_due_since_its_remedy_is_known() {
    // Goal: due dates stand still. Method: one hole without `known_since`, planned today and a week later; then with it.
    let mut facts = holes(vec![hole("CVE-1", Some(("4.2.1", 41)))], behind(Some(42)));
    facts.exposures[0].known_since = None;
    let due = |facts: &Facts, now| {
        let steps = plan(facts, &RISK_V1, now);
        steps.iter().find(|step| matches!(step.act, Act::Install(_))).expect("a step").due
    };
    assert_eq!(due(&facts, NOW), Some(days_ago(27)), "3 days of the directive after the release");
    assert_eq!(due(&facts, NOW.plus_seconds(7 * 86_400)), Some(days_ago(27)));
    facts.exposures[0].known_since = Some(days_ago(2));
    assert_eq!(due(&facts, NOW), Some(NOW.plus_seconds(86_400)));
}

#[test]
fn an_exploited_hole_with_total_control_asks_for_a_look_for_a_break_in() {
    // Goal: the investigation of three rows of the directive is not lost. Method: with and without a release that repairs it,
    // and the row that wants none.
    let mut facts = holes(vec![hole("CVE-1", Some(("4.2.2", 42)))], behind(Some(42)));
    let asked = |facts: &Facts, act: &dyn Fn(&Act) -> bool| {
        let steps = plan(facts, &RISK_V1, NOW);
        let step = steps.iter().find(|step| act(&step.act)).expect("such a step");
        assert_eq!(step.investigate, step.why.contains("signs of a break-in"), "{step:?}");
        step.investigate
    };
    assert!(asked(&facts, &|act| matches!(act, Act::Install(_))));
    facts.exposures[0].fixed_in = None;
    assert!(asked(&facts, &|act| *act == Act::WaitForMaker));
    facts.exposures[0].total_control = Answer::No;
    assert!(!asked(&facts, &|act| *act == Act::WaitForMaker));
}

#[test]
fn one_hole_in_one_source_package_counts_once_whatever_its_version() {
    // Goal: two binaries or two readings of a version are one exposure. Method: the same group at two versions of one source,
    // at another source, and where the source is named outright.
    let named = |package: &str, source: Option<&str>| Exposure {
        package: package.into(),
        source: source.map(String::from),
        ..exposure("CVE-1", 900_000, 98)
    };
    let count = |all: &[Exposure]| {
        let score = score(&holes(all.to_vec(), ReleaseAge::Unknown), &RISK_V1, NOW);
        score.contributions.iter().filter(|part| part.hazard_micronepers > 0).count()
    };
    assert_eq!(count(&[named("openssl 3.0.9-1", None), named("openssl 3.0.9-2", None)]), 1);
    assert_eq!(count(&[named("openssl 3.0.9-1", None), named("nss 3.0.9-1", None)]), 2);
    assert_eq!(count(&[named("libssl3 3.0.9-1", Some("openssl")), named("openssl 3.0.9-1", None)]), 1);
    assert_eq!(named("Acme Monitor 5000 2.1", None).source_name(), "Acme Monitor 5000");
    assert_eq!(named("bare", None).source_name(), "bare");
}

#[test]
fn what_had_to_be_assumed_is_one_line_for_all_that_lack_it() {
    // Goal: five hundred vulnerabilities are not a thousand lines. Method: many without EPSS, one without CVSS, one that does
    // not hit the device; the values are the model's.
    let mut facts = Facts::unknown("d");
    facts.exposures = (0..412)
        .map(|n| Exposure { epss_millionths: None, ..exposure(&format!("CVE-{n}"), 0, 50) })
        .collect();
    facts.exposures[7].cvss = None;
    facts.exposures[8].treatment = Treatment::NotAffected;
    let assumed = |model: &Model| score(&facts, model, NOW).assumed.split_off(4);
    assert_eq!(assumed(&RISK_V1), ["EPSS of 411 vulnerabilities: 0.01", "CVSS of CVE-7: 5.0"]);
    let site = RISK_V1.with_all([("epss_assumed", 725), ("cvss_assumed_tenths", 73)]).unwrap();
    assert_eq!(assumed(&site), ["EPSS of 411 vulnerabilities: 0.0725", "CVSS of CVE-7: 7.3"]);
}

#[test]
fn what_could_not_be_matched_is_unknown_and_never_safe() {
    // Goal: unknown is a word on the page, and no points. Method: counts of both kinds, one and many.
    let told = |unknown, components| {
        let facts =
            Facts { exposures_unknown: unknown, components_unmatchable: components, ..Facts::unknown("d") };
        let score = score(&facts, &RISK_V1, NOW);
        assert_eq!(score.value_hundredths, 0);
        score.unknown.join("; ")
    };
    let many = told(6, 132);
    assert!(many.contains("whether 6 more vulnerabilities hit it"), "{many}");
    assert!(
        many.contains("vulnerabilities of 132 components: no advisories for them can be matched"),
        "{many}"
    );
    assert!(told(1, 1).contains("whether one more vulnerability hits it; vulnerabilities of one component:"));
    assert!(told(0, 0).ends_with("vulnerabilities: no advisories were imported"));
}

fn row(section: Section, key: &str, value: &str) -> InventoryRow {
    InventoryRow { section, key: Text::lossy(key), fields: vec![value.to_string()] }
}

#[test]
fn support_ends_on_its_day_whether_or_not_the_device_is_heard() {
    // Goal: a silent device does not stay supported for ever. Method: a pump last heard a year before its system's end, scored
    // a day before that end and a day after.
    let device = runs(pump("VP3-1"), 40);
    let rows = [row(Section::System, "support-end", "2027-06-30")];
    let silent = Known { inventory: Some(&rows), ..known(&device, None, &[]) };
    let facts = facts_of(&silent);
    let ends = Timestamp::parse("2027-06-30T00:00:00Z").expect("a time");
    assert_eq!(facts.posture.os_support, OsSupport::Until { at: ends });
    let has_ended = |now| {
        let score = score(&facts, &RISK_V1, now);
        assert!(!score.unknown.iter().any(|words| words.contains("operating system")));
        score.contributions.iter().any(|part| part.id == "posture:os-support")
    };
    assert!(!has_ended(ends.plus_seconds(-86_400)));
    assert!(has_ended(ends.plus_seconds(86_400)));
    let undated = [row(Section::System, "support-end", "soon")];
    let unknown = facts_of(&Known { inventory: Some(&undated), ..silent });
    assert_eq!(unknown.posture.os_support, OsSupport::Unknown);
}

#[test]
fn a_weak_set_up_is_to_be_repaired_by_a_date_that_stands() {
    // Goal: posture steps have a date. Method: a pump without disk encryption, seen again for days; the first time is kept in
    // its document for as long as it is weak.
    let mut device = runs(pump("VP3-1"), 40);
    device.report.as_mut().expect("it has reported").key_protection = Text::lossy("tpm");
    let weak = [row(Section::Posture, "disk-encryption", "no"), row(Section::Posture, "secure-boot", "no")];
    let well = [row(Section::Posture, "disk-encryption", "yes")];
    let first = NOW.plus_seconds(-60);
    for day in 0..9 {
        let at = first.plus_seconds(day * 86_400);
        let known = Known {
            inventory: Some(&weak),
            reported: Some(at.into()),
            seen: Some(at),
            ..known(&device, None, &[])
        };
        let mut facts = facts_of(&known);
        facts.exposures = vec![hole("CVE-1", None)];
        let steps = plan(&facts, &RISK_V1, at);
        let harden = steps.iter().find(|step| step.act == Act::Harden).expect("a step");
        let due = Some(first.plus_seconds(60 * 86_400));
        assert_eq!((harden.due, harden.owner), (due, Owner::ClinicalEngineering), "day {day}");
        device.noticed = Noticed::of(&known);
    }
    let stored: Device = serde_json::from_slice(&device.to_body()).expect("reads");
    assert_eq!(stored.noticed, device.noticed);
    let repaired = Known { inventory: Some(&well), ..known(&device, None, &[]) };
    assert_eq!(Noticed::of(&repaired), Noticed::default());
    let in_file = runs(pump("VP3-2"), 40);
    assert!(facts_of(&known(&in_file, None, &[])).posture.weak_since.is_some(), "a key in a file is one too");
}

#[test]
fn documents_of_before_still_read() {
    // Goal: what is stored stays readable. Method: facts, a step and a device in their former words.
    let facts = r#"{"device":"d","impact":{"severity":null,"patient_data":null},"reach":{"zone":"flat","place":null},
        "posture":{"os_support":{"ended":{"at":5}}},"freshness":{"release":{"behind":{"newest":"2","since":7}}},
        "findings":[],"exposures":[{"id":"C","package":"p 1","fixed_in":"2"}]}"#;
    let read: Facts = serde_json::from_str(facts).expect("reads");
    let ReleaseAge::Behind { counter: None, .. } = read.freshness.release else { panic!("{read:?}") };
    assert_eq!((read.exposures[0].source_name(), read.exposures_unknown), ("p", 0));
    let text = serde_json::to_string(&read).expect("JSON");
    for name in ["counter", "fixed_version", "\"source\"", "exposures_unknown", "components_unmatchable"] {
        assert!(!text.contains(name), "{name} is written only where it is known: {text}");
    }
    let device = runs(pump("VP3-1"), 40);
    let body = String::from_utf8(device.to_body()).expect("text");
    assert!(!body.contains("noticed"));
    let Report { software, .. } = device.report.clone().expect("it has reported");
    assert_eq!(software.counter, 40);
    assert_eq!(Device::from_body(body.as_bytes()), Some(device));
}

/// The due dates of all steps, by act.
fn dues(facts: &Facts, now: Timestamp) -> BTreeMap<String, Option<Timestamp>> {
    plan(facts, &RISK_V1, now).into_iter().map(|step| (step.words, step.due)).collect()
}

proptest! {
    #[test]
    fn no_due_date_slides(facts in any_facts(), hours in 1..72_i64) {
        let (today, later) = (dues(&facts, NOW), dues(&facts, NOW.plus_seconds(hours * 3600)));
        for (words, due) in &today {
            if let Some(other) = later.get(words) {
                prop_assert_eq!(due, other, "{}", words);
            }
        }
    }

    #[test]
    fn every_exposure_that_weighs_is_somebodys_step(facts in any_facts()) {
        let alone = Facts { findings: Vec::new(), posture: Posture::default(), ..facts };
        let alone = Facts {
            freshness: Freshness { release: alone.freshness.release.clone(), ..Freshness::default() },
            reach: Reach { zone: Some(Zone::Isolated), place: None },
            ..alone
        };
        let score = score(&alone, &RISK_V1, NOW);
        if score.points() >= 20 {
            let steps = plan(&alone, &RISK_V1, NOW);
            let removed: BTreeSet<&str> =
                steps.iter().flat_map(|step| step.removes.iter().map(String::as_str)).collect();
            for part in score.contributions.iter().filter(|part| part.hazard_micronepers > 0) {
                prop_assert!(removed.contains(part.id.as_str()), "{} in {:?}", part.id, steps);
            }
        }
    }

    #[test]
    fn a_value_without_reasons_is_the_explained_one(facts in any_facts(), age_s in -5_000_000..5_000_000_i64, figure in 0..200_usize, set in 0..10_001_u32) {
        let figures = RISK_V1.figures();
        let (name, _) = figures[figure % figures.len()];
        let model = RISK_V1.with(name, set).unwrap_or(RISK_V1);
        let now = NOW.plus_seconds(age_s);
        prop_assert_eq!(value(&facts, &model, now), score(&facts, &model, now).value());
    }
}

#[test]
fn an_account_without_a_password_weighs_as_a_known_password_does_and_counts_once_with_it() {
    // Goal: the inventory's flags of accounts are read, and "no" only where somebody looked. Method: a pump with each flag.
    let device = runs(pump("VP3-1"), 40);
    let rows = |rows: &[(&str, &str)]| {
        let row = |(key, answer): &(&str, &str)| InventoryRow {
            section: Section::Posture,
            key: Text::lossy(key),
            fields: vec![(*answer).to_string()],
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let of = |rows: &[InventoryRow]| facts_of(&Known { inventory: Some(rows), ..known(&device, None, &[]) });
    let ids = |facts: &Facts| -> Vec<String> {
        let parts = score(facts, &RISK_V1, NOW).contributions;
        parts
            .into_iter()
            .map(|part| part.id)
            .filter(|id| id.contains("password") || id.contains("credentials"))
            .collect()
    };
    let open = of(&rows(&[("empty-password", "yes")]));
    assert_eq!(
        (open.posture.empty_password, open.posture.default_credentials),
        (Answer::Yes, Answer::Unknown)
    );
    assert_eq!(ids(&open), ["posture:empty-password"]);
    assert_eq!(
        open.posture.weak_since,
        Some(NOW.plus_seconds(-60)),
        "its deadline counts from when it was told"
    );
    let step =
        plan(&open, &RISK_V1, NOW).into_iter().find(|step| step.act == Act::SetPassword).expect("a step");
    assert_eq!((step.owner, step.due), (Owner::It, Some(NOW.plus_seconds(3 * 86_400 - 60))));
    let both = of(&rows(&[("default-credentials", "yes"), ("empty-password", "yes")]));
    assert_eq!(ids(&both), ["posture:default-credentials"], "one open door");
    assert_eq!(value(&both, &RISK_V1, NOW), value(&open, &RISK_V1, NOW));
    for (answer, wanted) in [("no", Answer::No), ("unknown", Answer::Unknown)] {
        let safe = of(&rows(&[("empty-password", answer)]));
        assert_eq!((safe.posture.empty_password, ids(&safe).len()), (wanted, 0));
    }
    let unread = of(&[]);
    let asked = score(&unread, &RISK_V1, NOW).unknown;
    assert!(asked.iter().any(|line| line == "whether an account needs no password"), "{asked:?}");
}
