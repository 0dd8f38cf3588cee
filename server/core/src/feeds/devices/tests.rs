//! Devices of a list before advisories of our own: each answer, each doubt.
//!
//! The real advisories are asked by `cordon-sim` where the folder of data is. Read next: [`super::Catalogue`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Answer, Catalogue, Verdict};
use crate::feeds::asset::{Asset, Assets};
use crate::feeds::csaf;
use crate::feeds::naming::Aliases;

/// A document about one maker: rows of model, version branch, status.
fn document(id: &str, maker: &str, rows: &[(&str, &str, &str)]) -> csaf::Advisory {
    let branch = |(at, (model, versions, _)): (usize, &(&str, &str, &str))| {
        let product = format!(r#""product":{{"product_id":"P{at}","name":"{model} {versions}"}}"#);
        match versions.strip_prefix('=') {
            None if versions.is_empty() => {
                format!(r#"{{"category":"product_name","name":"{model}",{product}}}"#)
            }
            listed => {
                let category = if listed.is_some() { "product_version" } else { "product_version_range" };
                let name = listed.unwrap_or(versions);
                format!(
                    r#"{{"category":"product_name","name":"{model}","branches":[{{"category":"{category}","name":"{name}",{product}}}]}}"#
                )
            }
        }
    };
    let branches: Vec<String> = rows.iter().enumerate().map(branch).collect();
    let mut statuses: Vec<String> = Vec::new();
    for status in ["known_affected", "known_not_affected", "fixed", "under_investigation"] {
        let places =
            rows.iter().enumerate().filter(|(_, row)| row.2 == status).map(|(at, _)| format!("\"P{at}\""));
        let places: Vec<String> = places.collect();
        statuses.push(format!("\"{status}\":[{}]", places.join(",")));
    }
    let text = format!(
        r#"{{"document":{{"category":"csaf_security_advisory","csaf_version":"2.0","publisher":{{"name":"P"}},"tracking":{{"id":"{id}","current_release_date":"2024-01-01T00:00:00Z"}}}},
        "product_tree":{{"branches":[{{"category":"vendor","name":"{maker}","branches":[{}]}}]}},"vulnerabilities":[{{"cve":"CVE-2024-0001","product_status":{{{}}}}}]}}"#,
        branches.join(","),
        statuses.join(",")
    );
    csaf::read(text.as_bytes()).expect("a document")
}

fn asset(maker: &str, model: &str, version: &str) -> Asset {
    let [maker, model, version] = [maker, model, version].map(ToString::to_string);
    Asset { maker, model, version, ..Asset::default() }
}

/// The answer in short, with the reason or the bound.
fn judged(catalogue: &Catalogue, asset: &Asset) -> String {
    let verdicts = catalogue.judge(asset);
    let said = |verdict: &Verdict<'_>| {
        let why = match verdict.answer {
            Answer::Affected { fixed } => fixed.unwrap_or_default(),
            Answer::Unknown(why) => why.word(),
            Answer::Fixed | Answer::NotAffected => verdict.bound.unwrap_or_default(),
        };
        format!("{} {why} {}", verdict.answer.word(), verdict.likeness.word())
    };
    verdicts.iter().map(said).collect::<Vec<_>>().join("|")
}

const AFFECTED: &str = "known_affected";

#[test]
fn each_answer_has_its_evidence() {
    // Goal: affected, unknown, fixed, not affected, and no word. Method: devices of a list against one advisory, golden.
    let advisory = document(
        "A-1",
        "Phillips",
        &[
            ("IntelliVue MX40 Patient Worn Monitor (WLAN only)", ">= B.05 | < B.06.18", AFFECTED),
            ("Patient Information Center iX (PICiX)", "=C.02", AFFECTED),
            ("Patient Information Center iX (PICiX)", "=C.03", "fixed"),
            ("PageWriter TC10 TC20", "", AFFECTED),
            ("SureSigns", "< May 2018", AFFECTED),
            ("e-Alert", "", "under_investigation"),
            ("MiniMed 630G", "=MMT-1715 | MMT-1754", AFFECTED),
            ("Xhibit", "vers:all/*", "known_not_affected"),
            ("Forgotten", "vers:all/*", "recommended_by_nobody"),
        ],
    );
    let catalogue = Catalogue::new(alloc::vec![advisory], Aliases::default());
    for (maker, model, version, wanted) in [
        ("PHILIPS Medical Systems", "MX40", "B.06.17", "affected B.06.18 model-code"),
        ("Philips", "IntelliVue MX40", "B.06.18", "fixed B.06.18 model-code"),
        ("Philips", "IntelliVue MX40", "B.04", "not-affected B.05 model-code"),
        ("Philips", "IntelliVue MX40", "", "unknown no-version model-code"),
        ("Philips", "IntelliVue MX40", "seven", "unknown no-order model-code"),
        ("", "IntelliVue MX40", "B.06.17", "unknown no-maker model-code"),
        ("Philips", "IntelliVue", "B.06.17", "unknown model-in-part name-in-part"),
        ("Philips", "PICiX", "C.02", "affected  alias"),
        ("Philips", "Information Center iX", "C.02", "affected  alias"),
        ("Philips", "Patient Information Center iX", "C.03", "fixed  alias"),
        ("Philips", "PICiX", "C.04", "unknown version-not-listed alias"),
        ("Philips", "PageWriter TC20", "", "affected  model-code"),
        ("Philips", "SureSigns", "1.0", "unknown range-not-understood name"),
        ("Philips", "e-Alert", "1.0", "unknown under-investigation name"),
        ("Philips", "MMT-1754", "", "affected  alias"),
        ("Philips", "Xhibit", "1", "not-affected  name"),
        ("Philips", "Forgotten", "1", "unknown no-status name"),
        ("Siemens", "MX40", "B.06.17", ""),
        ("Philips", "Affiniti 70", "1.0", ""),
    ] {
        assert_eq!(judged(&catalogue, &asset(maker, model, version)), wanted, "{maker} {model} {version}");
    }
}

#[test]
fn a_model_that_is_named_itself_is_not_judged_by_its_neighbours() {
    // Goal: no doubt from `Promote` about a `Promote Quadra`. Method: both in one advisory, in either order; the newer document.
    let rows = [("Promote", "", AFFECTED), ("Promote Quadra", "< 2.0", AFFECTED)];
    let turned = [rows[1], rows[0]];
    for rows in [rows, turned] {
        let catalogue = Catalogue::new(alloc::vec![document("A-1", "Abbott", &rows)], Aliases::default());
        assert_eq!(judged(&catalogue, &asset("St. Jude Medical", "Promote Quadra", "2.0")), "fixed 2.0 name");
        assert_eq!(judged(&catalogue, &asset("Abbott", "Promote", "2.0")), "affected  name");
    }
    let old = document("A-1", "Abbott", &[("Promote", "< 9", AFFECTED)]);
    let mut new = document("A-1", "Abbott", &[("Promote", "< 2", AFFECTED)]);
    new.updated = new.updated.map(|at| at.plus_seconds(1));
    for advisories in [[old.clone(), new.clone()], [new, old]] {
        let catalogue = Catalogue::new(advisories.to_vec(), Aliases::default());
        assert_eq!(catalogue.counts(), (1, 1));
        assert_eq!(judged(&catalogue, &asset("Abbott", "Promote", "5")), "fixed 2 name");
    }
}

#[test]
fn who_is_named_is_never_counted_as_not_named() {
    // Goal: no advisory about a model is lost in silence. Method: words that say nothing of the version that is here, a product
    // without a maker, a maker written otherwise; a model that is another one; a column of another software.
    let only = |maker: &str, row| Catalogue::new([document("A-1", maker, &[row])].into(), Aliases::default());
    let fixed = only("Acme", ("Pump 500", "=2.0", "fixed"));
    assert_eq!(judged(&fixed, &asset("Acme", "Pump 500", "1.0")), "unknown no-status name");
    let looking = only("Acme", ("Pump 500", "<5", "under_investigation"));
    assert_eq!(judged(&looking, &asset("Acme", "Pump 500", "")), "unknown no-status name");
    let nobody = only("", ("Pump 500", "<5", AFFECTED));
    assert_eq!(judged(&nobody, &asset("Acme", "Pump 500", "1")), "unknown model-in-part name-in-part");
    let otherwise = only("Acme", ("Pump 500", "<5", AFFECTED));
    assert_eq!(judged(&otherwise, &asset("Akme", "Pump 500", "1")), "unknown model-in-part name-in-part");
    assert_eq!(judged(&otherwise, &asset("Akme", "Pump 700", "1")), "");
    let mut list = Assets::default();
    for row in [["Manufacturer", "Model", "OS Version"], ["Acme", "Pump 500", "10.0.19045"]] {
        list.row(&row).expect("a row");
    }
    assert_eq!(list.finish().expect("a list").assets[0].version, "");
}

#[test]
fn a_neighbour_that_is_safe_clears_no_doubt() {
    // Goal: of two products that a device may be, the one that is said to be safe does not speak for the other. Method: a code
    // that stands in both, and the same for one product in two rows.
    let rows = [("Pump 500 A", "< May 2018", AFFECTED), ("Pump 500 B", "=2.0", "known_not_affected")];
    let catalogue = Catalogue::new([document("A-1", "Acme", &rows)].into(), Aliases::default());
    assert_eq!(
        judged(&catalogue, &asset("Acme", "Pump 500", "2.0")),
        "unknown range-not-understood model-code"
    );
    let rows = [("Pump 500", "< May 2018", AFFECTED), ("Pump 500", "=2.0", "known_not_affected")];
    let catalogue = Catalogue::new([document("A-1", "Acme", &rows)].into(), Aliases::default());
    assert_eq!(judged(&catalogue, &asset("Acme", "Pump 500", "2.0")), "not-affected  name");
}

#[test]
fn two_publishers_may_use_one_number() {
    // Goal: no document takes the place of another publisher's. Method: one number, two publishers, the newer one milder.
    let worse = document("A-1", "Acme", &[("Pump 500", "< 9", AFFECTED)]);
    let mut milder = document("A-1", "Acme", &[("Pump 500", "< 2", AFFECTED)]);
    milder.publisher = "Q".into();
    milder.updated = milder.updated.map(|at| at.plus_seconds(1));
    let catalogue = Catalogue::new([worse, milder].into(), Aliases::default());
    assert_eq!(catalogue.counts(), (2, 2));
    assert_eq!(judged(&catalogue, &asset("Acme", "Pump 500", "5")), "affected 9 name");
}

#[test]
fn of_two_advisories_the_worse_word_counts() {
    // Goal: a repair in one record is no safety before another. Method: the same weakness in two documents, a site's alias.
    let advisories = alloc::vec![
        document("A-1", "Maker", &[("Pump 500", "< 2.0", AFFECTED)]),
        document("A-2", "Maker", &[("Pump 500", "< 3.0", AFFECTED)]),
    ];
    let mut aliases = Aliases::default();
    aliases.add_maker("Old Name Ltd", "Maker");
    aliases.add_model("Maker", "The Blue One", "Pump 500");
    let catalogue = Catalogue::new(advisories, aliases);
    assert_eq!(judged(&catalogue, &asset("Old Name", "Pump 500", "2.5")), "affected 3.0 name");
    assert_eq!(judged(&catalogue, &asset("old name", "the blue one", "2.5")), "affected 3.0 alias");
    assert_eq!(judged(&catalogue, &asset("Maker", "the blue one", "3.0")), "fixed 2.0 alias");
}

proptest! {
    #[test]
    fn what_is_not_understood_is_never_safe(range in "[<>=| a-zA-Z0-9.]{0,16}", version in "[a-zA-Z0-9. ]{0,8}") {
        // Goal: safe only beyond a bound that was understood. Method: random ranges and versions.
        prop_assume!(!range.trim().is_empty());
        let catalogue = Catalogue::new(alloc::vec![document("A-1", "Maker", &[("Pump 500", &range, AFFECTED)])], Aliases::default());
        let pump = asset("Maker", "Pump 500", &version);
        for verdict in catalogue.judge(&pump) {
            let safe = matches!(verdict.answer, Answer::Fixed | Answer::NotAffected);
            prop_assert!(!safe || verdict.bound.is_some(), "{} in {}", version, range);
        }
        prop_assert_eq!(catalogue.judge(&pump).len(), 1);
    }
}

#[test]
fn what_a_site_calls_otherwise_is_found_wherever_its_model_is() {
    // Goal: a relabelled device is in no less danger. Method: advisories with the model's own name and with a range of codes, asked
    // under the model's name and under the site's.
    let advisories = Vec::from([
        document("A-1", "Philips", &[("IntelliVue patient monitor MP2-MP90", "", AFFECTED)]),
        document("A-2", "Philips", &[("IntelliVue MP50", "", AFFECTED)]),
    ]);
    for one in advisories {
        let mut aliases = Aliases::default();
        aliases.add_model("Philips", "Hall Monitor 5", "IntelliVue MP50");
        let catalogue = Catalogue::new(Vec::from([one]), aliases);
        let said = |model: &str| judged(&catalogue, &asset("Philips", model, "L.00.95"));
        let answer = |model: &str| said(model).split(' ').next().map(ToString::to_string);
        assert_eq!(answer("IntelliVue MP50").as_deref(), Some("affected"), "{}", said("IntelliVue MP50"));
        assert_eq!(answer("Hall Monitor 5"), answer("IntelliVue MP50"), "{}", said("Hall Monitor 5"));
        assert_eq!(said("Hall Monitor 6"), "");
    }
}
