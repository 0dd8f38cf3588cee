//! Documents of our own, golden; those of others are asked by `cordon-sim` where the folder of data is.
//!
//! Read next: [`super::tree`].

use alloc::format;
use alloc::string::String;

use proptest::prelude::*;

use super::*;

const HEAD: &str = r#""document":{"category":"csaf_security_advisory","csaf_version":"2.0","title":"Ward pump","publisher":{"name":"Maker"},
    "tracking":{"id":"MK-1","status":"final","initial_release_date":"2024-01-02T00:00:00.000Z","current_release_date":"2024-02-03T01:00:00+01:00"}}"#;

const TREE: &str = r#""product_tree":{"branches":[{"category":"vendor","name":"Maker","branches":[
    {"category":"product_family","name":"Wards","branches":[{"category":"product_name","name":"Pump 5","branches":[
        {"category":"product_version_range","name":"<4.2","product":{"product_id":"P1","name":"Pump 5 <4.2"}},
        {"category":"product_version","name":"4.2","product":{"product_id":"P2","name":"Pump 5 4.2"}},
        {"category":"language","name":"de","product":{"product_id":"P3","name":"Pump 5 German"}},
        {"category":"product_version","name":"3","branches":[{"category":"service_pack","name":"SP1","product":{"product_id":"P4","name":"x"}}]}]}]}]}],
    "full_product_names":[{"product_id":"L","name":"Library 1.0","product_identification_helper":{"purl":"pkg:generic/library@1.0","model_numbers":["LB-1"]}}],
    "relationships":[
        {"category":"installed_on","product_reference":"R1","relates_to_product_reference":"P1","full_product_name":{"product_id":"R2","name":"twice"}},
        {"category":"default_component_of","product_reference":"L","relates_to_product_reference":"P2","full_product_name":{"product_id":"R1","name":"Library on the pump"}},
        {"category":"installed_on","product_reference":"R3","relates_to_product_reference":"P1","full_product_name":{"product_id":"R3","name":"a circle"}}],
    "product_groups":[{"group_id":"G","product_ids":["P1","P3"]}]}"#;

const WEAKNESS: &str = r#""vulnerabilities":[{"cve":"CVE-2024-0001","ids":[{"system_name":"x","text":"BUG-7"}],"title":"t",
    "product_status":{"known_affected":["P1","R1","NOWHERE"],"fixed":["P2","P1"],"recommended":["P2"],"known_not_affected":["P3"]},
    "remediations":[{"category":"mitigation","details":"wall it off","group_ids":["G"]},{"category":"vendor_fix","details":"4.2","product_ids":["P1"],"url":"https://maker.example","date":"2024-02-01T00:00:00Z"},
        {"category":"no_fix_planned","details":"none"}],
    "scores":[{"cvss_v3":{"vectorString":"CVSS:3.1/AV:N","baseScore":7.3},"products":["P1"]},{"cvss_v3":{"baseScore":11},"products":["P1"]},
        {"cvss_v3":{"vectorString":"CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","baseScore":2},"products":["P2"]},
        {"cvss_v4":{"vectorString":"CVSS:4.0/AV:N","baseScore":1},"cvss_v3":{"vectorString":"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","baseScore":9.8},"products":["P3"]}],
    "flags":[{"label":"component_not_present","product_ids":["P3"]}],"threats":[{"category":"impact","details":"not there\n","product_ids":["P3"]},{"category":"exploit_status","details":"x"}]},
    {"product_status":{}}]"#;

fn document(parts: &[&str]) -> String {
    format!("{{{}}}", parts.join(","))
}

fn whole() -> Advisory {
    read(document(&[HEAD, TREE, WEAKNESS]).as_bytes()).expect("a document")
}

#[test]
fn products_are_laid_flat_whatever_depth_they_stand_at() {
    // Goal: maker, model, versions of each, relationships out of order. Method: one tree with all of it, golden.
    let advisory = whole();
    let row = |product: &Product| {
        let Product { id, maker, family, model, versions_text, .. } = product;
        let part = product.part.map(|(relation, at)| format!("{relation:?} {at}")).unwrap_or_default();
        let narrowed = product.narrowed.join(" ");
        format!("{id}|{maker}|{family}|{model}|{versions_text}|{narrowed}|{part}")
    };
    let rows: Vec<String> = advisory.products.iter().map(row).collect();
    let wanted = [
        "P1|Maker|Wards|Pump 5|<4.2||",
        "P2|Maker|Wards|Pump 5|4.2||",
        "P3|Maker|Wards|Pump 5||de|",
        "P4|Maker|Wards|Pump 5|3 SP1||",
        "L|||Library 1.0|||",
        "R1|Maker|Wards|Pump 5|4.2||DefaultComponentOf 4",
        "R2|Maker|Wards|Pump 5|<4.2||InstalledOn 5",
    ];
    assert_eq!(rows, wanted);
    assert_eq!(advisory.products[3].versions, crate::feeds::span::Versions::NotUnderstood);
    assert_eq!(advisory.products[4].model_numbers, ["LB-1"]);
    assert_eq!((advisory.unresolved, advisory.nowhere), (1, 1));
    assert_eq!(advisory.updated.map(|at| format!("{at}")).as_deref(), Some("2024-02-03T00:00:00Z"));
}

#[test]
fn what_is_said_of_a_product_is_the_worst_of_it() {
    // Goal: contradictions are no way to safety; remedies, scores and reasons find their products. Method: one weakness.
    let advisory = whole();
    let [weakness, nameless] = &advisory.weaknesses[..] else { panic!("two weaknesses") };
    assert_eq!((weakness.id.as_str(), &weakness.aliases[..]), ("CVE-2024-0001", &["BUG-7".to_string()][..]));
    assert_eq!(nameless.id, "MK-1#2");
    assert_eq!(
        weakness.statuses,
        [
            (0, Status::KnownAffected),
            (1, Status::Fixed),
            (2, Status::KnownNotAffected),
            (5, Status::KnownAffected)
        ]
        .into()
    );
    let kinds = |product| weakness.remedies_for(product).map(|remedy| remedy.kind.word()).collect::<Vec<_>>();
    assert_eq!(kinds(0), ["vendor_fix", "mitigation", "no_fix_planned"]);
    assert_eq!(kinds(1), ["no_fix_planned"]);
    assert_eq!(weakness.score_for(0).map(|score| score.base_tenths), Some(73));
    let scores: Vec<_> =
        weakness.scores.iter().map(|score| (score.base_tenths, score.severity.is_some())).collect();
    assert_eq!(scores, [(73, false), (68, true), (98, true)], "no score is above ten, and vectors count");
    assert_eq!(advisory.miscounted, 2, "half a vector, and a score that is not the vector's");
    let reasons: Vec<_> =
        weakness.reasons.iter().map(|reason| (reason.text.as_str(), reason.label)).collect();
    assert_eq!(reasons, [("component_not_present", true), ("not there", false)]);
}

#[test]
fn what_is_no_document_is_refused_with_a_word() {
    // Goal: no half of a document. Method: each break of the one above.
    let whole = document(&[HEAD, TREE, WEAKNESS]);
    for (find, replace) in [
        ("\"csaf_version\":\"2.0\"", "\"csaf_version\":\"2.1\""),
        ("\"id\":\"MK-1\"", "\"id\":\" \""),
        ("service_pack", "platform"),
        ("\"known_affected\"", "\"perhaps_affected\""),
        ("\"mitigation\"", "\"prayer\""),
        ("\"product_id\":\"P2\"", "\"product_id\":\"P1\""),
        ("installed_on", "beside"),
    ] {
        let text = whole.replace(find, replace);
        assert_ne!(text, whole, "{find}");
        assert_eq!(read(text.as_bytes()).map_err(|refused| refused.word()), Err("other-form"), "{find}");
    }
    let deep = format!("{{\"product_tree\":{}", "{\"branches\":[".repeat(200));
    assert_eq!(read(deep.as_bytes()).map_err(|refused| refused.word()), Err("too-deep"));
    assert_eq!(read(b"[").map_err(|refused| refused.word()), Err("no-json"));
    let long = " ".repeat(limits::ADVISORY_BYTES + 1);
    assert_eq!(read(long.as_bytes()).map_err(|refused| refused.word()), Err("too-long"));
    let marked = [b"\xef\xbb\xbf", whole.as_bytes()].concat();
    assert!(read(&marked).is_ok(), "the mark of UTF-8 is no fault");
}

#[test]
fn a_small_document_opens_to_no_great_one() {
    // Goal: what a group or a name makes many of is bounded. Method: a group that 20,000 remedies name, a name without an end.
    let products: Vec<String> =
        (0..2_000).map(|at| format!("{{\"product_id\":\"{at}\",\"name\":\"n\"}}")).collect();
    let names: Vec<String> = (0..2_000).map(|at| format!("\"{at}\"")).collect();
    let tree = format!(
        r#""product_tree":{{"full_product_names":[{}],"product_groups":[{{"group_id":"G","product_ids":[{}]}}]}}"#,
        products.join(","),
        names.join(",")
    );
    let remedies = |count: usize| {
        let remedies = [r#"{"category":"mitigation","group_ids":["G"]}"#].repeat(count).join(",");
        let text =
            document(&[HEAD, &tree, &format!(r#""vulnerabilities":[{{"remediations":[{remedies}]}}]"#)]);
        read(text.as_bytes())
            .map(|advisory| advisory.weaknesses[0].remedies.len())
            .map_err(|refused| refused.word())
    };
    assert_eq!(remedies(100), Ok(100));
    assert_eq!(remedies(20_000), Err("other-form"));
    let long =
        document(&[HEAD, &TREE.replace("Pump 5\",", &format!("{}\",", "x".repeat(limits::CSAF_NAME + 1)))]);
    assert_eq!(read(long.as_bytes()).map_err(|refused| refused.word()), Err("other-form"));
}

proptest! {
    #[test]
    fn no_bytes_break_it(at in 0..3000_usize, byte in any::<u8>(), cut in 0..4000_usize) {
        // Goal: hostile bytes are refused or read, and every place that is named exists. Method: the document, bent.
        let mut bytes = document(&[HEAD, TREE, WEAKNESS]).into_bytes();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(cut.max(at));
        if let Ok(advisory) = read(&bytes) {
            for weakness in &advisory.weaknesses {
                prop_assert!(weakness.statuses.keys().all(|product| *product < advisory.products.len()));
            }
        }
    }
}
