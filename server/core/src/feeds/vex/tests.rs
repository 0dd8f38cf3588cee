//! Statements of each format and what they do to a finding: the traps that other tools fell into, a row each.
//!
//! Read next: [`super::ledger`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::cyclonedx::References;
use super::ledger::{Finding, Ledger};
use super::subject::Thing;
use super::*;
use crate::feeds::naming::Aliases;
use crate::matching::component::Component;
use crate::matching::ecosystem::Ecosystem;

fn openvex(statements: &str) -> String {
    format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://maker.example/vex-1","author":"Maker","timestamp":"2024-01-01T00:00:00Z","version":1,"statements":[{statements}]}}"#
    )
}

fn stated(product: &str, status: &str, rest: &str) -> String {
    format!(
        r#"{{"vulnerability":{{"name":"CVE-2024-0001","aliases":["GHSA-x"]}},"products":[{{"@id":"{product}"}}],"status":"{status}","justification":"vulnerable_code_not_present"{rest}}}"#
    )
}

fn document(text: &str) -> Document {
    read(text.as_bytes(), &References::default()).expect("a document")
}

fn attr() -> Thing {
    Thing::of_component(
        &Component::new(Ecosystem::debian("12"), "attr", "1:2.4.47-2+b1").with_binary("libattr1"),
    )
}

/// What counts for CVE-2024-0001 in `component`, and how many statements met nothing.
fn judged(documents: &[String], component: &Thing, product: Option<&Thing>) -> (Option<&'static str>, usize) {
    let mut ledger = Ledger::new(Aliases::default());
    for text in documents {
        ledger.add(document(text), true);
    }
    let names = &["CVE-2024-0001"];
    let said = ledger.judge(Finding { names, component, product }).map(|said| said.status.word());
    let silent = ledger.silent().count();
    (said, silent)
}

#[test]
fn a_package_url_is_met_however_it_is_written() {
    // Goal: no statement is missed for its spelling, none taken for a neighbour's. Method: spellings, golden.
    for (purl, meets) in [
        ("pkg:deb/debian/attr@1:2.4.47-2%2Bb1", true),
        ("pkg:deb/debian/attr@1%3A2.4.47-2+b1", true),
        ("pkg:deb/debian/attr@2.4.47-2+b1?epoch=1", true),
        ("pkg:deb/Debian/ATTR", true),
        ("pkg:deb/debian/libattr1", true),
        ("pkg:deb/debian/attr?distro=debian-12", true),
        ("pkg:deb/debian/attr?distro=debian-12.13", true),
        ("pkg:deb/debian/attr?distro=bookworm", true),
        ("pkg:deb/debian/attr?arch=source", true),
        ("pkg:deb/debian/attr?distro=debian-11", false),
        ("pkg:deb/debian/attr?arch=amd64&distro=debian-11", false),
        ("pkg:deb/debian/attr@2.4.47-2+b1", false),
        ("pkg:deb/ubuntu/attr", false),
        ("pkg:deb/debian/attrs", false),
        ("pkg:rpm/debian/attr", false),
        ("https://example.org/attr", false),
    ] {
        let text = openvex(&stated(purl, "not_affected", ""));
        let wanted = if meets { (Some("not_affected"), 0) } else { (None, 1) };
        assert_eq!(judged(&[text], &attr(), None), wanted, "{purl}");
    }
}

#[test]
fn the_most_specific_statement_counts_then_the_newest_then_the_worse() {
    // Goal: an old word about one version is not undone by a new one about all. Method: pairs in both orders.
    let purl = "pkg:deb/debian/attr";
    let exact = "pkg:deb/debian/attr@1:2.4.47-2%2Bb1";
    let at = |day: u8| format!(r#","timestamp":"2024-02-{day:02}T00:00:00Z""#);
    for (first, second, wanted) in [
        (stated(exact, "not_affected", &at(1)), stated(purl, "affected", &at(9)), "not_affected"),
        (stated(purl, "not_affected", &at(1)), stated(purl, "affected", &at(9)), "affected"),
        (stated(purl, "not_affected", &at(9)), stated(purl, "affected", &at(1)), "not_affected"),
        (stated(purl, "not_affected", &at(1)), stated(purl, "affected", &at(1)), "affected"),
        (stated(exact, "fixed", &at(1)), stated(exact, "under_investigation", &at(1)), "under_investigation"),
        (
            stated(exact, "affected", &at(9)),
            stated(
                exact,
                "fixed",
                r#","timestamp":"2023-01-01T00:00:00Z","last_updated":"2024-03-01T00:00:00Z""#,
            ),
            "fixed",
        ),
    ] {
        for documents in [[openvex(&first), openvex(&second)], [openvex(&second), openvex(&first)]] {
            assert_eq!(judged(&documents, &attr(), None), (Some(wanted), 0), "{first} {second}");
        }
    }
}

#[test]
fn a_repair_without_a_version_clears_nothing() {
    // Goal: "fixed" in some version is no word about the one that is here. Method: without a version, with it, beside others.
    let (purl, exact) = ("pkg:deb/debian/attr", "pkg:deb/debian/attr@1:2.4.47-2%2Bb1");
    let one = |product: &str| [openvex(&stated(product, "fixed", ""))];
    assert_eq!(judged(&one(purl), &attr(), None), (None, 1));
    assert_eq!(judged(&one(exact), &attr(), None), (Some("fixed"), 0));
    let beside = [one(purl), [openvex(&stated(purl, "affected", ""))]].concat();
    assert_eq!(judged(&beside, &attr(), None), (Some("affected"), 1));
    let mut ledger = Ledger::new(Aliases::default());
    ledger.add(document(&one(purl)[0]), true);
    assert_eq!(ledger.judge(Finding { names: &["CVE-2024-0001"], component: &attr(), product: None }), None);
    assert_eq!(ledger.silent().map(|(_, _, met)| met.word()).collect::<Vec<_>>(), ["fixed-in-no-version"]);
}

#[test]
fn without_its_maker_a_product_is_only_met_by_its_very_name() {
    // Goal: a word that tells nothing apart makes no two products one. Method: a name with one more such word, maker known
    // on both sides, on one.
    let vex = |maker: &str| {
        let supplier =
            if maker.is_empty() { String::new() } else { format!(r#","supplier":{{"name":"{maker}"}}"#) };
        format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{{"component":{{"bom-ref":"p","name":"PrisMax System"{supplier}}}}},
            "vulnerabilities":[{{"id":"CVE-2024-0001","analysis":{{"state":"not_affected","justification":"code_not_present"}},"affects":[{{"ref":"p"}}]}}]}}"#
        )
    };
    let thing =
        |maker: &str, name: &str| Thing { maker: maker.into(), name: name.into(), ..Thing::default() };
    for (supplier, maker, name, meets) in [
        ("Baxter", "Baxter", "PrisMax", true),
        ("Baxter", "", "PrisMax", false),
        ("", "Baxter", "PrisMax", false),
        ("", "Baxter", "prismax  system", true),
        ("Baxter", "Acme", "PrisMax System", false),
    ] {
        let (said, _) = judged(&[vex(supplier)], &thing(maker, name), None);
        assert_eq!(said.is_some(), meets, "{supplier} {maker} {name}");
    }
}

#[test]
fn a_version_that_is_named_without_a_status_is_affected() {
    // Goal: the schema's default, where a writer left it out. Method: CycloneDX with one named version and no status; with one.
    let vex = |version: &str| {
        format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{{"bom-ref":"p","name":"attr","purl":"pkg:deb/debian/attr"}}],
            "vulnerabilities":[{{"id":"CVE-2024-0001","analysis":{{"state":"not_affected","justification":"code_not_present"}},"affects":[{{"ref":"p","versions":[{version}]}}]}}]}}"#
        )
    };
    for (version, wanted) in [
        (r#"{"version":"1:2.4.47-2+b1"}"#, Some("affected")),
        (r#"{"version":"1:2.4.47-2+b1","status":"unaffected"}"#, Some("not_affected")),
        (r#"{"range":"vers:deb/<1:3"}"#, Some("affected")),
        (r#"{"range":"vers:deb/<2:0","status":"unaffected"}"#, Some("not_affected")),
        (r#"{"range":"< 2.0","status":"unaffected"}"#, None),
        (r#"{"version":"1.2.4.47-2+b1","status":"unaffected"}"#, None),
    ] {
        assert_eq!(judged(&[vex(version)], &attr(), None).0, wanted, "{version}");
    }
}

#[test]
fn a_statement_about_a_release_and_a_component_in_it_wants_both() {
    // Goal: a maker speaks of its own product, not of everybody's component. Method: with the release, another, none.
    let statement = r#"{"vulnerability":{"name":"CVE-2024-0001"},"products":[{"@id":"pkg:generic/pump@5","subcomponents":[{"@id":"pkg:deb/debian/attr"}]}],"status":"not_affected","impact_statement":"not built in"}"#;
    let text = [openvex(statement), openvex(&stated("pkg:deb/debian/attr@1:2.4.47-2%2Bb1", "affected", ""))];
    let release = |version: &str| Thing {
        purls: vec![Purl::parse(&format!("pkg:generic/pump@{version}")).expect("a purl")],
        ..Thing::default()
    };
    assert_eq!(judged(&text, &attr(), Some(&release("5"))), (Some("not_affected"), 0));
    assert_eq!(judged(&text, &attr(), Some(&release("6"))), (Some("affected"), 1));
    assert_eq!(judged(&text, &attr(), None), (Some("affected"), 1));
}

#[test]
fn what_meets_nothing_is_told_with_the_reason() {
    // Goal: no statement is silent. Method: another weakness, another product, an issuer that nobody believes.
    let mut ledger = Ledger::new(Aliases::default());
    let other =
        stated("pkg:deb/debian/attr", "not_affected", "").replace("0001", "0002").replace("GHSA-x", "GHSA-y");
    ledger.add(document(&openvex(&format!("{other},{}", stated("pkg:deb/debian/x", "fixed", "")))), true);
    ledger.add(document(&openvex(&stated("pkg:deb/debian/attr", "not_affected", ""))), false);
    let (names, component) = (&["ghsa-X"], &attr());
    assert_eq!(ledger.judge(Finding { names, component, product: None }), None);
    let silent: Vec<_> =
        ledger.silent().map(|(statement, _, met)| (statement.subject.written.as_str(), met.word())).collect();
    let wanted = [
        ("pkg:deb/debian/attr", "no-such-finding"),
        ("pkg:deb/debian/x", "no-such-product"),
        ("pkg:deb/debian/attr", "issuer-not-believed"),
    ];
    assert_eq!(silent, wanted);
    assert_eq!(ledger.counts(), (3, 0));
}

#[test]
fn a_statement_that_lacks_something_is_counted() {
    // Goal: not affected needs a reason, a statement a product. Method: each lack, beside one that is whole.
    let whole = stated("pkg:deb/debian/attr", "not_affected", "");
    let bare = whole.replace(r#","justification":"vulnerable_code_not_present""#, "");
    let statements = [
        whole.clone(),
        bare,
        whole.replace(r#""products":[{"@id":"pkg:deb/debian/attr"}],"#, ""),
        whole.replace(r#"{"@id":"pkg:deb/debian/attr"}"#, "{}"),
        whole.replace("not_affected", "safe"),
        r#"{"vulnerability":"CVE-2024-0003","products":["pkg:deb/debian/x"],"status":"fixed"}"#.to_string(),
    ];
    let read = document(&openvex(&statements.join(",")));
    assert_eq!(read.statements.len(), 2);
    assert_eq!(read.statements[1].names, ["CVE-2024-0003"]);
    assert_eq!(
        read.refused,
        [("no-justification", 1), ("no-product", 1), ("nameless-product", 1), ("other-status", 1)].into()
    );
    for text in
        ["{}", "[]", r#"{"@context":"https://example.org","statements":[]}"#, r#"{"bomFormat":"SPDX"}"#]
    {
        let refused = super::read(text.as_bytes(), &References::default()).map_err(|refused| refused.word());
        assert_eq!(refused.map(drop), Err("other-form"), "{text}");
    }
}

const BOM: &str = r#"{"bomFormat":"CycloneDX","serialNumber":"urn:uuid:aa","version":2,"metadata":{"timestamp":"2024-01-01T00:00:00Z","supplier":{"name":"Maker"},
    "component":{"bom-ref":"pump","name":"Pump 5","version":"5.1","supplier":{"name":"Maker"}}},
    "components":[{"bom-ref":"c","name":"attr","purl":"pkg:deb/debian/attr@1:2.4.47-2%2Bb1","components":[{"bom-ref":"d","name":"deep","version":"1"}]}]"#;

fn cyclonedx(analysis: &str, affects: &str) -> String {
    format!(
        r#"{BOM},"vulnerabilities":[{{"id":"CVE-2024-0001","references":[{{"id":"SNYK-1"}}],{analysis}"affects":[{affects}]}}]}}"#
    )
}

#[test]
fn cyclonedx_names_are_looked_up_and_versions_go_before_the_state() {
    // Goal: each state, each status of a version, names near and far. Method: one document a row, golden.
    let not = r#""analysis":{"state":"not_affected","justification":"code_not_present"},"#;
    let is = r#""analysis":{"state":"exploitable","detail":"x"},"#;
    for (analysis, affects, wanted) in [
        (not, r#"{"ref":"c"}"#, "not_affected attr "),
        (not, r#"{"ref":"d"}"#, "not_affected deep 1"),
        (not, r#"{"ref":"pkg:npm/x"}"#, "not_affected pkg:npm/x"),
        (not, r#"{"ref":"urn:cdx:aa/2#pump"}"#, "not_affected Pump 5 5.1"),
        (not, r#"{"ref":"urn:cdx:bb/1#pump"}"#, "not_affected urn:cdx:bb/1#pump"),
        (not, r#"{"ref":"c","versions":[{"version":"9","status":"affected"}]}"#, "affected attr 9"),
        (
            not,
            r#"{"ref":"c","versions":[{"range":"vers:deb/<9","status":"unaffected"}]}"#,
            "not_affected attr vers:deb/<9",
        ),
        (
            is,
            r#"{"ref":"c","versions":[{"version":"8"},{"version":"9","status":"unaffected"},{"version":"7","status":"unknown"}]}"#,
            "affected attr 8|not_affected attr 9|under_investigation attr 7",
        ),
        ("", r#"{"ref":"pump"}"#, "affected Pump 5 5.1"),
        (r#""analysis":{"state":"in_triage"},"#, r#"{"ref":"pump"}"#, "under_investigation Pump 5 5.1"),
        (r#""analysis":{"state":"resolved"},"#, r#"{"ref":"pump"}"#, "fixed Pump 5 5.1"),
        (r#""analysis":{"state":"false_positive"},"#, r#"{"ref":"pump"}"#, "no-justification 1"),
        (r#""analysis":{"state":"maybe"},"#, r#"{"ref":"pump"}"#, "other-status 1"),
        (not, "", "no-product 1"),
    ] {
        let mut known = References::default();
        known.add(format!("{BOM}}}").as_bytes()).expect("an SBOM");
        let read = read(cyclonedx(analysis, affects).as_bytes(), &known).expect("a document");
        let said = |said: &Statement| format!("{} {}", said.status.word(), said.subject.written.trim_end());
        let mut rows: Vec<String> = read.statements.iter().map(said).collect();
        rows.extend(read.refused.iter().map(|(why, count)| format!("{why} {count}")));
        assert_eq!(rows.join("|"), wanted.replace("attr |", "attr|").trim_end(), "{affects}");
        assert_eq!(read.issuer, "Maker");
    }
}

#[test]
fn a_csaf_document_speaks_as_vex_about_devices_by_maker_model_and_version() {
    // Goal: the third format ends in the same form. Method: a device of the maker, of another, in other versions.
    let text = r#"{"document":{"category":"csaf_vex","csaf_version":"2.0","publisher":{"name":"Maker PSIRT"},"tracking":{"id":"V-1","current_release_date":"2024-01-01T00:00:00Z"}},
        "product_tree":{"branches":[{"category":"vendor","name":"Maker Medical, Inc.","branches":[{"category":"product_name","name":"Pump 500","branches":[
            {"category":"product_version_range","name":"vers:generic/>=2.9|<=4.1","product":{"product_id":"A","name":"a"}},{"category":"product_version","name":"5.0","product":{"product_id":"B","name":"b"}}]}]}]},
        "vulnerabilities":[{"cve":"CVE-2024-0001","product_status":{"known_not_affected":["A","B"],"recommended":["B"]},"threats":[{"category":"impact","details":"removed","product_ids":["A"]}]}]}"#;
    let read = document(text);
    assert_eq!((read.statements.len(), &read.refused), (1, &[("no-justification", 1)].into()));
    let device = |maker: &str, version: &str| Thing {
        maker: maker.to_string(),
        name: "PUMP-500".to_string(),
        version: Some(version.to_string()),
        ..Thing::default()
    };
    for (maker, version, wanted) in [
        ("maker", "3.0", Some("not_affected")),
        ("", "3.0", Some("not_affected")),
        ("maker", "4.2", None),
        ("maker", "4.1.7", None),
        ("other", "3.0", None),
    ] {
        let said = judged(&[text.to_string()], &device(maker, version), None);
        assert_eq!(said, (wanted, usize::from(wanted.is_none())), "{maker} {version}");
    }
}

proptest! {
    #[test]
    fn no_bytes_break_a_reader(at in 0..900_usize, byte in any::<u8>()) {
        // Goal: hostile bytes are refused or read. Method: one document of each format, bent at one place.
        let statement = stated("pkg:deb/debian/attr", "not_affected", "");
        for text in [openvex(&statement), cyclonedx("", r#"{"ref":"c","versions":[{"range":"<1"}]}"#)] {
            let mut bytes = text.into_bytes();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            if let Ok(document) = read(&bytes, &References::default()) {
                prop_assert!(document.statements.iter().all(|said| said.status != Status::NotAffected || said.reason.is_some()));
            }
        }
    }
}
