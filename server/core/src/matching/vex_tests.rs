//! Tests of VEX: each rule of who is believed about what, and that no statement vanishes.
//!
//! The silent ends are those of matchers in the field: a `distro=debian-12` that misses 12.13, a `%2B`, a product without a
//! version that holds for every one. Read next: [`super::vex`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use proptest::prelude::*;

use super::advisory::{Advisory, Affected, Range, Stated};
use super::component::{Component, ComponentSet};
use super::ecosystem::Ecosystem;
use super::index::Index;
use super::purl::Purl;
use super::vex::{Product, Statement, Status, Unused, Use};

const CVE: &str = "CVE-2024-0001";
const SOURCE: &str = "pkg:deb/debian/pump@1:2.4-3?arch=source&distro=debian-12";

fn advisory(id: &str, aliases: &[&str], name: &str) -> Advisory {
    let affected = Affected {
        ecosystem: Ecosystem::debian("12"),
        name: name.into(),
        state: Stated::ByVersion,
        ranges: vec![Range::below(Some("1:2.4-4"))],
        versions: Vec::new(),
    };
    let aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
    Advisory { id: id.into(), aliases, affected: vec![affected], ..Advisory::default() }
}

/// What records say of `pump` 1:2.4-3 in Debian 12, and of `ward`.
fn records() -> Vec<Advisory> {
    vec![
        advisory("DSA-1-1", &[CVE], "pump"),
        advisory("GHSA-1", &[CVE], "pump"),
        advisory("DSA-2-1", &["CVE-2024-0002", "CVE-2024-0003"], "ward"),
    ]
}

fn installed(version: &str, binaries: &[&str]) -> ComponentSet {
    let pump = Component::new(Ecosystem::debian("12"), "pump", version);
    let pump = binaries.iter().fold(pump, |pump, binary| pump.with_binary(binary));
    ComponentSet::new(vec![pump, Component::new(Ecosystem::debian("12"), "ward", "1:2.4-3")])
}

fn statement(weakness: &str, product: &str, status: Status) -> Statement {
    let product = Purl::canonical(product).map_or_else(|_| Product::Other(product.into()), Product::Package);
    Statement {
        document: "vex-1".into(),
        at: None,
        weakness: vec![weakness.into()],
        products: vec![product],
        status,
    }
}

fn not_affected(product: &str) -> Statement {
    statement(CVE, product, Status::NotAffected { justification: "vulnerable_code_not_present".into() })
}

/// The answers about `CVE-2024-0001` and the others after the statements, and what became of each statement.
fn after(set: &ComponentSet, statements: &[Statement]) -> (String, Vec<Use>) {
    let index = Index::build(&records()).expect("few records");
    let mut matches = index.matches(set);
    let uses = matches.overrule(&index, set, statements);
    let words = matches.verdicts.iter().map(|verdict| {
        let was = verdict.overruling.map(|overruling| format!(" was {}", overruling.was.word()));
        format!("{}: {}{}", verdict.group, verdict.answer.word(), was.unwrap_or_default())
    });
    (words.collect::<Vec<_>>().join("; "), uses)
}

/// The answer about `CVE-2024-0001` after one statement, and why it decided nothing.
fn one(statement: Statement) -> (String, Option<Unused>) {
    let (words, uses) = after(&installed("1:2.4-3", &["pumpd"]), &[statement]);
    let word = words.split("; ").next().unwrap_or_default();
    (word.trim_start_matches("CVE-2024-0001: ").to_string(), uses[0].unused)
}

#[test]
fn a_statement_changes_what_it_speaks_of_and_nothing_is_lost() {
    // Goal: the answer with what it was and by whom. Method: a statement about one of three answers; the evidence stays.
    let index = Index::build(&records()).expect("few records");
    let set = installed("1:2.4-3", &["pumpd"]);
    let statements = [not_affected(SOURCE)];
    let mut matches = index.matches(&set);
    let before = matches.verdicts.clone();
    let uses = matches.overrule(&index, &set, &statements);
    assert_eq!(uses, [Use { matched: 1, changed: 1, unused: None }]);
    let words: Vec<_> = matches.verdicts.iter().map(|verdict| verdict.answer.word()).collect();
    assert_eq!(words, ["not-affected", "affected", "affected"]);
    let overruling = matches.verdicts[0].overruling.expect("a statement");
    assert_eq!((overruling.statement, overruling.was), (&statements[0], before[0].answer));
    assert_eq!(matches.verdicts[0].evidence, before[0].evidence);
    assert_eq!(matches.verdicts[0].repair(), None);
    assert_eq!(matches.verdicts[1..], before[1..]);
}

#[test]
fn a_product_is_found_however_its_url_is_written() {
    // Goal: no statement is missed for its spelling. Method: point releases, code names, encoded signs, the epoch apart, a
    // binary with its source, no version at all, no release at all.
    for product in [
        SOURCE,
        "pkg:deb/debian/pump@1%3A2.4-3?arch=source&distro=debian-12.13",
        "pkg:deb/debian/pump@2.4-3?arch=source&distro=bookworm&epoch=1",
        "pkg:DEB/Debian/Pump@1:2.4-3?Distro=debian-12&arch=source",
        "pkg:deb/debian/pumpd@1:2.4-3%2Bb1?distro=debian-12&upstream=pump%401:2.4-3",
        "pkg:deb/debian/pumpd?distro=debian-12&upstream=pump%401:2.4-3",
        "pkg:deb/debian/pumpd@1:2.4-3?arch=all",
        "pkg:deb/debian/pump?arch=source",
    ] {
        assert_eq!(one(not_affected(product)), ("not-affected was affected".to_string(), None), "{product}");
    }
}

#[test]
fn what_is_another_product_or_cannot_be_compared_changes_nothing_and_says_why() {
    // Goal: no statement silently matches nothing, and none silently matches too much. Method: each way to miss, each with its
    // reason.
    let none = || Status::NotAffected { justification: " ".into() };
    for (statement, wanted) in [
        (not_affected("cpe:2.3:a:maker:pump"), Unused::NotAPackage),
        (Statement { products: vec![], ..not_affected(SOURCE) }, Unused::NotAPackage),
        (not_affected("pkg:deb/debian/other@1?arch=source"), Unused::NoComponent),
        (not_affected("pkg:deb/debian/pump@1:2.4-2?arch=source"), Unused::NoComponent),
        (not_affected("pkg:deb/debian/pump@2.4-3?arch=source"), Unused::NoComponent),
        (not_affected("pkg:deb/debian/pump@1:2.4-3?arch=source&distro=debian-13"), Unused::NoComponent),
        (not_affected("pkg:deb/ubuntu/pump@1:2.4-3?arch=source"), Unused::NoComponent),
        (not_affected("pkg:npm/pump@1:2.4-3"), Unused::NoComponent),
        (not_affected("pkg:deb/debian/pumpd@1:2.4-3?arch=arm64"), Unused::Limited),
        (not_affected("pkg:deb/debian/pump@1:2.4-3?arch=source&distro=unheard-of"), Unused::Limited),
        (not_affected("pkg:deb/debian/pump@1:2.4-3?arch=source&repository_url=x"), Unused::Limited),
        (not_affected("pkg:deb/debian/pump@1:2.4-3?arch=source#lib"), Unused::Limited),
        (statement("CVE-2024-9999", SOURCE, Status::UnderInvestigation), Unused::NoFinding),
        (statement(CVE, SOURCE, none()), Unused::NoJustification),
        (statement(CVE, "pkg:deb/debian/pump?arch=source", Status::Fixed), Unused::NoVersion),
        (statement(CVE, "pkg:deb/debian/pump?arch=source", Status::Affected), Unused::NoVersion),
    ] {
        assert_eq!(one(statement.clone()), ("affected".to_string(), Some(wanted)), "{statement:?}");
    }
    let sentences = Unused::ALL.map(Unused::sentence);
    assert_eq!(sentences.iter().collect::<alloc::collections::BTreeSet<_>>().len(), Unused::ALL.len());
}

#[test]
fn what_holds_for_one_binary_does_not_hold_for_its_siblings() {
    // Goal: "the client is not affected" says nothing of the server from the same source. Method: one binary and two.
    let about = [not_affected("pkg:deb/debian/pumpd@1:2.4-3?distro=debian-12")];
    let (words, uses) = after(&installed("1:2.4-3", &["pumpd"]), &about);
    assert!(words.starts_with("CVE-2024-0001: not-affected") && uses[0].unused.is_none(), "{words}");
    let (words, uses) = after(&installed("1:2.4-3", &["pumpd", "libpump2"]), &about);
    assert!(words.starts_with("CVE-2024-0001: affected;"), "{words}");
    assert_eq!(uses[0].unused, Some(Unused::Limited));
}

#[test]
fn a_weakness_is_known_by_each_of_its_names_but_not_by_one_of_several() {
    // Goal: a statement under another name is not lost, one about an advisory of two CVEs is about neither. Method: the name of
    // a record of one CVE, of a record of two.
    let status = || Status::NotAffected { justification: "component_not_present".into() };
    assert_eq!(one(statement("GHSA-1", SOURCE, status())), ("not-affected was affected".to_string(), None));
    let ward = "pkg:deb/debian/ward@1:2.4-3?arch=source";
    let (words, uses) = after(
        &installed("1:2.4-3", &[]),
        &[statement("DSA-2-1", ward, status()), statement("CVE-2024-0003", ward, status())],
    );
    assert_eq!(
        words,
        "CVE-2024-0001: affected; CVE-2024-0002: affected; CVE-2024-0003: not-affected was affected"
    );
    assert_eq!((uses[0].unused, uses[1].unused), (Some(Unused::NoFinding), None));
}

#[test]
fn the_most_exact_then_the_newest_then_the_worst_statement_decides() {
    // Goal: a blanket statement does not hide what is said of this version, and no order of files makes an answer safer. Method:
    // pairs, both ways round.
    let at = |seconds: i64, statement: Statement| Statement { at: Some(Timestamp(seconds)), ..statement };
    let blanket = || at(9, not_affected("pkg:deb/debian/pump?arch=source"));
    let exact = |status: Status| statement(CVE, SOURCE, status);
    let open = || exact(Status::UnderInvestigation);
    let set = installed("1:2.4-3", &["pumpd"]);
    for (a, b, wanted) in [
        (blanket(), at(1, open()), "affected"),
        (at(2, not_affected(SOURCE)), at(1, open()), "not-affected was affected"),
        (at(1, not_affected(SOURCE)), at(2, open()), "affected"),
        (at(1, not_affected(SOURCE)), open(), "not-affected was affected"),
        (not_affected(SOURCE), open(), "affected"),
        (not_affected(SOURCE), exact(Status::Fixed), "fixed was affected"),
    ] {
        for pair in [[a.clone(), b.clone()], [b, a]] {
            let (words, uses) = after(&set, &pair);
            assert!(words.starts_with(&format!("CVE-2024-0001: {wanted};")), "{words} of {pair:?}");
            let losers = uses.iter().filter(|used| used.unused == Some(Unused::Overruled)).count();
            assert_eq!(losers, 1, "{uses:?}");
        }
    }
    let safe = installed("1:2.4-4", &["pumpd"]);
    let still = statement(CVE, "pkg:deb/debian/pump@1:2.4-4?arch=source", Status::Affected);
    let (words, _) = after(&safe, &[still]);
    assert!(words.starts_with("CVE-2024-0001: affected was fixed"), "a maker knows of its version: {words}");
}

fn any_statement() -> impl Strategy<Value = Statement> {
    let names = prop::sample::select(vec![CVE, "CVE-2024-0002", "GHSA-1", "DSA-2-1", "CVE-1"]);
    let products = prop::sample::select(vec![
        SOURCE,
        "pkg:deb/debian/pump?arch=source",
        "pkg:deb/debian/pumpd@1:2.4-3",
        "pkg:deb/debian/ward@1:2.4-3?arch=source",
        "pkg:deb/debian/ward",
        "pkg:npm/ward@1",
        "ward",
    ]);
    (names, products, 0..5_u8, prop::option::of(0..3_i64)).prop_map(|(name, product, status, at)| {
        let status = match status {
            0 => Status::NotAffected { justification: String::new() },
            1 => Status::NotAffected { justification: "component_not_present".into() },
            2 => Status::Fixed,
            3 => Status::Affected,
            _ => Status::UnderInvestigation,
        };
        Statement { at: at.map(Timestamp), ..statement(name, product, status) }
    })
}

proptest! {
    #[test]
    fn every_statement_decides_something_or_says_why_not(statements in prop::collection::vec(any_statement(), 0..6), one in any::<bool>()) {
        let binaries: &[&str] = if one { &["pumpd"] } else { &["pumpd", "libpump2"] };
        let set = installed("1:2.4-3", binaries);
        let (words, uses) = after(&set, &statements);
        prop_assert_eq!(uses.len(), statements.len());
        for (used, statement) in uses.iter().zip(&statements) {
            prop_assert!(used.changed <= used.matched);
            prop_assert!(used.matched > 0 || used.unused.is_some(), "{:?} of {:?}", used, statement);
            prop_assert!(used.changed == 0 || used.unused.is_none() || used.unused == Some(Unused::NoVersion), "{:?}", used);
        }
        let mut reversed = statements.clone();
        reversed.reverse();
        prop_assert_eq!(after(&set, &reversed).0, words, "the order of statements changes nothing");
    }
}
