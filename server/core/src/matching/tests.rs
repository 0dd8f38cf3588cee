//! Tests of matching: each rule by the case that breaks when it is left out.
//!
//! The shortcuts named here are those that matchers in the field take: the upstream part only, the epoch lost, the release
//! ignored, the binary's name for the source's. Read next: `properties.rs`, which judges by a second way of counting.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::advisory::{Advisory, Affected, Event, Order, Range, Stated};
use super::component::{Component, ComponentSet};
use super::dpkg;
use super::ecosystem::Ecosystem;
use super::index::{Counts, Index};
use super::verdict::{Answer, Verdict, Why};

fn place(text: &str) -> Ecosystem {
    text.parse().expect("an ecosystem")
}

/// A record about `pump`.
fn record(id: &str, ecosystem: &str, events: Vec<Event>) -> Advisory {
    let range = Range { order: Order::Ecosystem, events };
    said(id, ecosystem, Stated::ByVersion, vec![range], &[])
}

fn said(id: &str, ecosystem: &str, state: Stated, ranges: Vec<Range>, versions: &[&str]) -> Advisory {
    let versions = versions.iter().map(|version| (*version).to_string()).collect();
    let affected = Affected { ecosystem: place(ecosystem), name: "pump".into(), state, ranges, versions };
    Advisory { id: id.into(), affected: vec![affected], ..Advisory::default() }
}

/// Repaired in a version, and there from the beginning.
fn fixed(id: &str, ecosystem: &str, version: &str) -> Advisory {
    record(id, ecosystem, Range::below(Some(version)).events)
}

fn also(mut advisory: Advisory, aliases: &[&str]) -> Advisory {
    advisory.aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
    advisory
}

/// What the records say of `pump` in a version: the groups with their answers, then what is unjudged.
fn answers(records: &[Advisory], ecosystem: &str, version: &str) -> Vec<String> {
    of_component(records, Component::new(place(ecosystem), "pump", version))
}

fn of_component(records: &[Advisory], component: Component) -> Vec<String> {
    let index = Index::build(records).expect("few records");
    let set = ComponentSet::new(vec![component]);
    let matches = index.matches(&set);
    let verdicts = matches.verdicts.iter().map(|verdict| {
        let more = match verdict.answer {
            Answer::Affected { fixed: Some(fixed) } => format!(" until {fixed}"),
            Answer::Affected { fixed: None } => " for good".to_string(),
            Answer::Unknown(why) => format!(" {}", why.word()),
            Answer::Fixed | Answer::NotAffected => String::new(),
        };
        format!("{} {}{more} by {}", verdict.group, verdict.answer.word(), verdict.evidence.advisory)
    });
    verdicts
        .chain(matches.unjudged.iter().map(|(name, count)| format!("{count} unjudged in {name}")))
        .collect()
}

const CVE: &str = "CVE-2024-0001";

/// What the one answer stands on: the scheme, the installed text as it was compared, the bound, then the repair.
fn stands_on(records: &[Advisory], component: Component) -> String {
    let index = Index::build(records).expect("few records");
    let set = ComponentSet::new(vec![component]);
    let verdicts = index.matches(&set).verdicts;
    let [verdict] = verdicts.as_slice() else { panic!("one answer of {verdicts:?}") };
    let compared = verdict.evidence.compared;
    let bound = compared.bound.map(|bound| format!("{} {}", bound.role.word(), bound.version));
    let (scheme, word) = (compared.scheme.name(), verdict.answer.word());
    format!("{word}: {scheme} {} {bound:?} {:?}", compared.installed, verdict.repair())
}

/// The word of the one answer.
fn word(records: &[Advisory], ecosystem: &str, version: &str) -> String {
    let all = answers(records, ecosystem, version);
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].strip_prefix("CVE-2024-0001 ").expect("that CVE").to_string()
}

#[test]
fn a_release_is_judged_by_its_own_repairs() {
    // Goal: the newest repair of all releases is none of ours: taking it called 71 of 100 findings wrong. Method: three
    // releases, each with its own repair; a record of no release at all.
    let records = [
        fixed(CVE, "Debian:11", "1.0-1+deb11u1"),
        fixed(CVE, "Debian:12", "2.0-1+deb12u1"),
        fixed(CVE, "Debian", "9"),
    ];
    assert_eq!(word(&records, "Debian:11", "1.0-1+deb11u1"), "fixed by CVE-2024-0001");
    assert_eq!(word(&records, "Debian:11", "1.0-1"), "affected until 1.0-1+deb11u1 by CVE-2024-0001");
    assert_eq!(word(&records, "Debian:12", "2.0-1"), "affected until 2.0-1+deb12u1 by CVE-2024-0001");
    assert_eq!(answers(&records, "Debian:13", "1"), ["1 unjudged in Debian:13"]);
    assert_eq!(answers(&records, "Debian", "1"), ["1 unjudged in Debian"]);
    let counts = Index::build(&records).expect("few records").counts();
    assert_eq!(counts, Counts { advisories: 2, statements: 2, withdrawn: 0, without_release: 1 });
}

#[test]
fn an_epoch_stands_before_everything() {
    // Goal: Dependency-Track 4 took 2:9.0 for older than 8.3.2; an inventory that loses it finds too much. Method: both ways.
    let records = [fixed(CVE, "Debian:12", "1:2.0-1")];
    assert_eq!(word(&records, "Debian:12", "1:2.0-1"), "fixed by CVE-2024-0001");
    assert_eq!(word(&records, "Debian:12", "2:0.1-1"), "fixed by CVE-2024-0001");
    assert_eq!(word(&records, "Debian:12", "9.0-1"), "affected until 1:2.0-1 by CVE-2024-0001");
}

#[test]
fn a_revision_is_part_of_a_version() {
    // Goal: distributions repair without a new upstream version: by that alone 91 of 1,247 findings were missed. Method: the
    // same upstream version before and after.
    let records = [fixed(CVE, "Debian:12", "2.0-1+deb12u2")];
    assert_eq!(word(&records, "Debian:12", "2.0-1+deb12u1"), "affected until 2.0-1+deb12u2 by CVE-2024-0001");
    assert_eq!(word(&records, "Debian:12", "2.0-1+deb12u2"), "fixed by CVE-2024-0001");
}

#[test]
fn a_package_is_known_by_its_source() {
    // Goal: osv.dev asked by a binary's name misses what is known of its source. Method: a database whose binary has another
    // name and another version than its source.
    let status = "Package: pumpd\nStatus: install ok installed\nArchitecture: all\nVersion: 9:1-1+b1\nSource: pump (1.0-1)\n";
    let component = dpkg::read(status, &place("Debian:12")).components.remove(0);
    let found = of_component(&[fixed(CVE, "Debian:12", "1.0-2")], component);
    assert_eq!(found, ["CVE-2024-0001 affected until 1.0-2 by CVE-2024-0001"]);
}

#[test]
fn events_open_and_close_as_the_schema_says() {
    // Goal: each event by its rule. Method: a range with two holes, versions on and beside each edge, in any order.
    let introduced = |version: &str| Event::Introduced(version.into());
    let repaired = |version: &str| Event::Fixed(version.into());
    let mut events = vec![
        introduced("2"),
        repaired("5"),
        Event::LastAffected("3".into()),
        introduced("4"),
        introduced("8"),
    ];
    for turn in 0..events.len() {
        events.rotate_left(1);
        let records = [record(CVE, "Debian:12", events.clone())];
        for (version, wanted) in [
            ("1", "not-affected by CVE-2024-0001"),
            ("2", "affected until 5 by CVE-2024-0001"),
            ("3", "affected until 5 by CVE-2024-0001"),
            ("3-1", "fixed by CVE-2024-0001"),
            ("4", "affected until 5 by CVE-2024-0001"),
            ("5~rc1", "affected until 5 by CVE-2024-0001"),
            ("5", "fixed by CVE-2024-0001"),
            ("8", "affected for good by CVE-2024-0001"),
        ] {
            assert_eq!(word(&records, "Debian:12", version), wanted, "{version}, turn {turn}");
        }
    }
    let limited = |limits: &[&str]| {
        let limits = limits.iter().map(|limit| Event::Limit((*limit).into()));
        word(&[record(CVE, "Debian:12", limits.chain([introduced("0")]).collect())], "Debian:12", "5")
    };
    assert_eq!(limited(&["5"]), "fixed by CVE-2024-0001");
    assert_eq!(limited(&["5", "6"]), "affected for good by CVE-2024-0001");
    assert_eq!(limited(&["*"]), "affected for good by CVE-2024-0001");
    let both = vec![introduced("2"), repaired("2")];
    let both = [record(CVE, "Debian:12", both)];
    assert_eq!(
        word(&both, "Debian:12", "3"),
        "affected for good by CVE-2024-0001",
        "the worse of two at one version"
    );
    let closed = [record(CVE, "Debian:12", vec![repaired("3")])];
    assert_eq!(
        word(&closed, "Debian:12", "2"),
        "affected until 3 by CVE-2024-0001",
        "without a beginning it was always there"
    );
    assert_eq!(
        word(&[fixed(CVE, "Debian:12", "1")], "Debian:12", "0~~"),
        "affected until 1 by CVE-2024-0001"
    );
}

#[test]
fn what_is_no_version_is_unknown_and_never_safe() {
    // Goal: no answer is better than a wrong one. Method: each way to have none, beside a bound that would decide.
    let bound = |bound: &str| [fixed(CVE, "Debian:12", bound)];
    assert_eq!(
        word(&bound("kernel-image-2.4.17"), "Debian:12", "9"),
        "unknown bad-version-in-advisory by CVE-2024-0001"
    );
    assert_eq!(word(&bound("1:"), "Debian:12", "9"), "unknown bad-version-in-advisory by CVE-2024-0001");
    assert_eq!(word(&bound("1"), "Debian:12", "1_2"), "unknown bad-installed-version by CVE-2024-0001");
    let half = [record(
        CVE,
        "Debian:12",
        vec![Event::Introduced("0".into()), Event::Fixed("1".into()), Event::Limit("x y".into())],
    )];
    assert_eq!(word(&half, "Debian:12", "9"), "unknown bad-version-in-advisory by CVE-2024-0001");
    assert_eq!(word(&[fixed(CVE, "Maven", "1")], "Maven", "2"), "unknown no-scheme by CVE-2024-0001");
    let git = || vec![Range { order: Order::Git, events: Range::below(Some("1")).events }];
    let only = [said(CVE, "Debian:12", Stated::ByVersion, git(), &[])];
    assert_eq!(word(&only, "Debian:12", "9"), "unknown commits-only by CVE-2024-0001");
    let beside = [said(CVE, "Debian:12", Stated::ByVersion, git(), &["1.0"])];
    assert_eq!(word(&beside, "Debian:12", "9"), "not-affected by CVE-2024-0001");
    assert_eq!(word(&beside, "Debian:12", "1.0"), "affected for good by CVE-2024-0001");
    let nothing = [said(CVE, "Debian:12", Stated::ByVersion, vec![], &[])];
    assert_eq!(word(&nothing, "Debian:12", "9"), "unknown undetermined by CVE-2024-0001");
    let nobody = [said(CVE, "Debian:12", Stated::Undetermined, vec![], &[])];
    assert_eq!(word(&nobody, "Debian:12", "9"), "unknown undetermined by CVE-2024-0001");
    let never = [said(CVE, "Debian:12", Stated::Never, vec![], &[])];
    assert_eq!(word(&never, "Debian:12", "9"), "not-affected by CVE-2024-0001");
    assert_eq!(
        Why::ALL.map(Why::word).iter().collect::<alloc::collections::BTreeSet<_>>().len(),
        Why::ALL.len()
    );
}

#[test]
fn versions_listed_one_by_one_are_affected_whatever_the_ranges_say() {
    // Goal: a list or a range, either is enough. Method: listed beside a range that is closed, and written otherwise.
    let range = vec![Range::below(Some("1.0"))];
    let records = [said(CVE, "PyPI", Stated::ByVersion, range, &["2.0"])];
    assert_eq!(word(&records, "PyPI", "2.0.0"), "affected for good by CVE-2024-0001");
    assert_eq!(word(&records, "PyPI", "2.1"), "fixed by CVE-2024-0001");
    let unordered = [said(CVE, "NuGet", Stated::ByVersion, vec![], &["2.0"])];
    assert_eq!(word(&unordered, "NuGet", "2.0"), "affected for good by CVE-2024-0001");
    assert_eq!(word(&unordered, "NuGet", "2.1"), "not-affected by CVE-2024-0001");
}

#[test]
fn of_several_records_the_worst_word_counts() {
    // Goal: one exposure a weakness, and no record hides another. Method: two records joined by an alias, in pairs of every
    // answer; two repairs of one CVE; the repair that both agree with.
    let by = |a: Advisory, b: Advisory| word(&[also(a, &[CVE]), also(b, &[CVE])], "Debian:12", "5");
    let affected = || fixed("A-1", "Debian:12", "6");
    let unknown = || said("B-1", "Debian:12", Stated::Undetermined, vec![], &[]);
    let repaired = || fixed("C-1", "Debian:12", "4");
    let never = || said("D-1", "Debian:12", Stated::Never, vec![], &[]);
    assert_eq!(by(affected(), unknown()), "affected until 6 by A-1");
    assert_eq!(by(repaired(), unknown()), "unknown undetermined by B-1");
    assert_eq!(by(repaired(), never()), "fixed by C-1");
    assert_eq!(by(repaired(), affected()), "affected until 6 by A-1");
    assert_eq!(by(affected(), fixed("E-1", "Debian:12", "7")), "affected until 7 by A-1");
    let again = record("F-1", "Debian:12", vec![Event::Introduced("5.5".into()), Event::Fixed("8".into())]);
    assert_eq!(by(affected(), again), "affected until 8 by A-1");
    let open = record("G-1", "Debian:12", Range::below(None).events);
    assert_eq!(by(affected(), open), "affected for good by A-1");
    let mut taken_back = affected();
    taken_back.withdrawn = true;
    assert_eq!(by(taken_back, repaired()), "fixed by C-1");
    let two = also(fixed("DSA-1-1", "Debian:12", "6"), &[CVE, "CVE-2024-0002"]);
    assert_eq!(answers(&[two], "Debian:12", "5").len(), 2, "an advisory of two CVEs is two");
}

#[test]
fn a_backport_is_judged_by_the_release_it_came_from() {
    // Goal: Wazuh calls every backport critical. Method: with and without data about the release behind it.
    let old = fixed(CVE, "Debian:12", "1.0-1+deb12u1");
    let new = fixed(CVE, "Debian:13", "2.0-3");
    let both = [old.clone(), new];
    assert_eq!(word(&both, "Debian:12", "2.0-3~bpo12+1"), "fixed by CVE-2024-0001");
    assert_eq!(word(&both, "Debian:12", "2.0-2~bpo12+1"), "affected until 2.0-3 by CVE-2024-0001");
    let blind = answers(&[old], "Debian:12", "2.0-3~bpo12+1");
    assert_eq!(
        blind,
        ["CVE-2024-0001 unknown no-feed-for-backport by CVE-2024-0001", "1 unjudged in Debian:13"]
    );
}

#[test]
fn rpm_bounds_without_a_release_speak_of_every_release() {
    // Goal: "fixed in 1.2" does not call 1.2-3 affected. Method: bounds with and without; a module stream is not guessed.
    let whole = [fixed(CVE, "AlmaLinux:9", "1.2")];
    assert_eq!(word(&whole, "AlmaLinux:9", "0:1.2-3.el9"), "fixed by CVE-2024-0001");
    assert_eq!(word(&whole, "AlmaLinux:9", "0:1.1-3.el9"), "affected until 1.2 by CVE-2024-0001");
    let one = [fixed(CVE, "AlmaLinux:9", "1.2-4.el9")];
    assert_eq!(word(&one, "AlmaLinux:9", "1.2-3.el9"), "affected until 1.2-4.el9 by CVE-2024-0001");
    let mut component = Component::new(place("AlmaLinux:9"), "pump", "1.2-5.el9");
    component.module = Some("pump:1".to_string());
    assert_eq!(of_component(&one, component), ["CVE-2024-0001 unknown module-stream by CVE-2024-0001"]);
}

#[test]
fn silence_is_counted_and_not_taken_for_safety() {
    // Goal: an ecosystem without a feed is no clean bill; a package that nobody wrote about is no finding. Method: both.
    let records = [fixed(CVE, "Debian:12", "1")];
    assert_eq!(answers(&records, "opkg", "1"), ["1 unjudged in opkg"]);
    let other = Component::new(place("Debian:12"), "ward", "1");
    assert!(of_component(&records, other).is_empty());
}

#[test]
fn evidence_is_the_comparison_that_was_made() {
    // Goal: an auditor repeats it and sees the same. Method: ranges of an order that is not the ecosystem's, an RPM bound
    // without a release, a backport, a listed version, what names no version at all.
    let of = |record: &Advisory, version: &str| {
        let place = record.affected[0].ecosystem.clone();
        stands_on(core::slice::from_ref(record), Component::new(place, "pump", version))
    };
    let semver = vec![Range { order: Order::Semver, ..Range::below(Some("1.10.0")) }];
    let java = said(CVE, "Maven", Stated::ByVersion, semver, &[]);
    assert_eq!(of(&java, "1.9.0"), "affected: semver 1.9.0 Some(\"fixed 1.10.0\") Some(\"1.10.0\")");
    assert_eq!(of(&java, "a"), "unknown: semver a None None");
    let whole = fixed(CVE, "AlmaLinux:9", "1.2");
    assert_eq!(of(&whole, "0:1.2-3.el9"), "fixed: rpm 0:1.2 Some(\"fixed 1.2\") Some(\"1.2\")");
    let part = fixed(CVE, "AlmaLinux:9", "1.2-4.el9");
    assert_eq!(
        of(&part, "0:1.2-3.el9"),
        "affected: rpm 0:1.2-3.el9 Some(\"fixed 1.2-4.el9\") Some(\"1.2-4.el9\")"
    );
    let new = [fixed(CVE, "Debian:12", "1.0"), fixed(CVE, "Debian:13", "2.0-3")];
    let backport = Component::new(place("Debian:12"), "pump", "2.0-3~bpo12+1");
    assert_eq!(stands_on(&new, backport), "fixed: deb 2.0-3 Some(\"fixed 2.0-3\") Some(\"2.0-3\")");
    let listed = said(CVE, "PyPI", Stated::ByVersion, vec![], &["2.0"]);
    assert_eq!(of(&listed, "2.0.0"), "affected: pep440 2.0.0 Some(\"listed 2.0\") None");
    let never = said(CVE, "Debian:12", Stated::Never, vec![], &[]);
    assert_eq!(of(&never, "1"), "not-affected: deb 1 None None");
    let bad = fixed(CVE, "Debian:12", "kernel-image-2.4.17");
    assert_eq!(of(&bad, "1"), "unknown: deb 1 Some(\"fixed kernel-image-2.4.17\") None");
}

#[test]
fn only_a_repair_is_told_as_one() {
    // Goal: nobody installs a version that no record calls repaired. Method: a range closed by each kind of end, versions on
    // both of its sides; two records of which one names a repair.
    let ends = |end: Event| record(CVE, "Debian:12", vec![Event::Introduced("2".into()), end]);
    let of = |record: &Advisory, version: &str| {
        stands_on(core::slice::from_ref(record), Component::new(place("Debian:12"), "pump", version))
    };
    let last = ends(Event::LastAffected("4".into()));
    assert_eq!(of(&last, "1"), "not-affected: deb 1 Some(\"introduced 2\") None");
    assert_eq!(of(&last, "3"), "affected: deb 3 Some(\"last_affected 4\") None");
    assert_eq!(of(&last, "5"), "fixed: deb 5 Some(\"last_affected 4\") None");
    let limit = ends(Event::Limit("4".into()));
    assert_eq!(of(&limit, "3"), "affected: deb 3 Some(\"limit 4\") None");
    assert_eq!(of(&limit, "5"), "fixed: deb 5 Some(\"limit 4\") None");
    let repair = ends(Event::Fixed("4".into()));
    assert_eq!(of(&repair, "3"), "affected: deb 3 Some(\"fixed 4\") Some(\"4\")");
    assert_eq!(of(&repair, "5"), "fixed: deb 5 Some(\"fixed 4\") Some(\"4\")");
    assert_eq!(of(&ends(Event::Limit("*".into())), "3"), "affected: deb 3 Some(\"introduced 2\") None");
    let both = [ends(Event::LastAffected("5".into())), also(ends(Event::Fixed("4".into())), &["DSA-1-1"])];
    let said = stands_on(&both, Component::new(place("Debian:12"), "pump", "6"));
    assert_eq!(said, "fixed: deb 6 Some(\"fixed 4\") Some(\"4\")");
}

#[test]
fn a_weakness_is_as_grave_as_the_record_that_speaks_of_it_alone() {
    // Goal: one severity a weakness, from whoever knows it best. Method: a distribution's record of two weaknesses, records of
    // one in other ecosystems, in either order; a weakness of which only the first speaks; one of which nobody says.
    let grave = |record: Advisory, vector: &str| Advisory { severity: vector.parse().ok(), ..record };
    let both = grave(
        also(fixed("DSA-1-1", "Debian:12", "9"), &[CVE, "CVE-2024-0002"]),
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H",
    );
    let old = grave(fixed(CVE, "Debian:11", "9"), "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H");
    let new =
        grave(also(fixed("GHSA-1", "npm", "9"), &[CVE]), "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H");
    let silent = fixed("CVE-2024-0003", "Debian:12", "9");
    for records in [[&both, &old, &new, &silent], [&silent, &new, &old, &both]] {
        let index = Index::build(records).expect("few records");
        let set = ComponentSet::new(vec![Component::new(place("Debian:12"), "pump", "1")]);
        let verdicts = index.matches(&set).verdicts;
        let tenths = |verdict: &Verdict<'_>| verdict.severity.map(|vector| vector.scores().base);
        let told: Vec<_> = verdicts.iter().map(|verdict| (verdict.group, tenths(verdict))).collect();
        assert_eq!(told, [(CVE, Some(78)), ("CVE-2024-0002", Some(100)), ("CVE-2024-0003", None)]);
    }
}
