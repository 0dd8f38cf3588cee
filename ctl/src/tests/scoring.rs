//! `score`: the page's number from a file, and every way in which a file is none of facts.

use std::fs;

use cordon_proto::time::Timestamp;
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::{Facts, Score, score};
use serde_json::{Value, json};

use super::{cordonctl, done, refused};

/// 20 November 2026, 14:26 UTC.
const AT: Timestamp = Timestamp(1_795_184_760);

/// The example that the schema gives to people.
fn example() -> Value {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schemas/facts.json")).expect("JSON");
    schema["examples"][0].clone()
}

/// A folder with one file of facts, and its path.
fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("facts.json");
    fs::write(&path, content).expect("written");
    let path = path.display().to_string();
    (folder, path)
}

fn scored(facts: &Value, more: &[&str]) -> Score {
    let (_folder, path) = file(&facts.to_string());
    let arguments = ["--output", "json", "score", "--facts", &path];
    let at = if more.contains(&"--at") { vec![] } else { vec!["--at", "1795184760"] };
    let all: Vec<&str> = arguments.into_iter().chain(at).chain(more.iter().copied()).collect();
    serde_json::from_str(&done(cordonctl(&all))).expect("score.json")
}

#[test]
fn a_file_of_facts_gives_the_score_of_the_page_with_its_rows_and_hash() {
    // Goal: anybody recomputes the number. Method: the schema's example against the ground crate, at a stated time, in both
    // spellings; the text for people holds the sum, the rows and the table's hash.
    let facts: Facts = serde_json::from_value(example()).expect("facts");
    let wanted = score(&facts, &RISK_V1, AT);
    assert_eq!(scored(&example(), &[]), wanted);
    assert_eq!(scored(&example(), &["--at", "2026-11-20T14:26:00Z"]), wanted);
    let (_folder, path) = file(&example().to_string());
    let text = done(cordonctl(&["score", "--facts", &path, "--at", "2026-11-20T14:26:00Z"]));
    let points = |hundredths: u16| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    assert!(
        text.starts_with(&format!("VP3-004417: {} of 100, critical", points(wanted.value_hundredths))),
        "{text}"
    );
    assert!(text.contains(&wanted.model_sha256), "{text}");
    for part in &wanted.contributions {
        let row = text.lines().find(|line| line.contains(&part.id)).expect("a row of each part");
        assert!(row.starts_with(&points(part.hundredths)), "{row}");
    }
    assert!(text.contains("not known, so neither safe nor counted: "), "{text}");
}

#[test]
fn a_figure_set_by_the_site_is_shown_and_changes_the_hash() {
    // Goal: no silent other model. Method: one figure, two bands that only rise together, the list, and what is none.
    let other = scored(&example(), &["--figure", "secure_boot_off=9000"]);
    let plain = scored(&example(), &[]);
    assert!(other.value_hundredths > plain.value_hundredths && other.model_sha256 != plain.model_sha256);
    scored(&example(), &["--figure", "high_points=80", "--figure", "critical_points=90"]);
    let (_folder, path) = file(&example().to_string());
    let text = done(cordonctl(&["score", "--facts", &path, "--figure", "secure_boot_off=9000"]));
    assert!(text.contains("set by site: secure_boot_off 800 -> 9000"), "{text}");
    let listed = done(cordonctl(&["score", "--figures"]));
    assert!(listed.lines().any(|line| line.split_whitespace().eq(["rolled_back", "6000"])), "{listed}");
    for (figure, words) in [
        ("luck=1", "the risk model has no figure luck"),
        ("rolled_back", "`rolled_back` is no figure: write a name and a number"),
        ("rolled_back=many", "`rolled_back=many` is no figure"),
        ("rolled_back=10001", "rolled_back must lie between 0 and 10000"),
        ("high_points=80", "the bands must rise"),
    ] {
        let (status, _, told) = cordonctl(&["score", "--facts", &path, "--figure", figure]);
        assert!(status == 2 && told.contains(words), "{figure}: {told}");
    }
    let twice = cordonctl(&["score", "--facts", &path, "--figure", "silent=1", "--figure", "silent=2"]);
    assert!(twice.0 == 2 && twice.2.contains("the figure silent is given twice"), "{}", twice.2);
}

#[test]
fn a_sites_table_in_a_file_gives_the_servers_number() {
    // Goal: an auditor recomputes the score of a site with figures of its own. Method: the printed table with one figure changed, in
    // both forms; a stated hash that is another's, a table that lacks a figure, one of another model, one that is turned round.
    let printed = done(cordonctl(&["--output", "json", "score", "--figures"]));
    let mut table: Value = serde_json::from_str(&printed).expect("JSON");
    let write = |table: &Value| file(&table.to_string());
    let (_whole, path) = write(&table);
    assert_eq!(scored(&example(), &["--model", &path]), scored(&example(), &[]));
    table["figures"]["secure_boot_off"] = 9000.into();
    let (_stale, path) = write(&table);
    let (_facts, facts) = file(&example().to_string());
    let told = refused(cordonctl(&["score", "--facts", &facts, "--model", &path]));
    assert!(told.contains("it states the hash ") && told.contains("its figures have "), "{told}");
    table.as_object_mut().expect("fields").remove("model_sha256");
    let (_changed, path) = write(&table);
    let by_file = scored(&example(), &["--model", &path]);
    assert_eq!(by_file, scored(&example(), &["--figure", "secure_boot_off=9000"]));
    assert_eq!(by_file.set_by_site.len(), 1);
    let named = table["figures"].as_object().expect("figures").clone();
    let listed: Vec<Value> =
        named.iter().map(|(name, value)| json!({"figure": name, "value": value, "ours": 1})).collect();
    let (_listed, path) = write(&json!({"model": "risk-v1", "figures": listed, "orders": []}));
    assert_eq!(scored(&example(), &["--model", &path]), by_file, "as the server answers");
    for (change, words) in [
        (json!({"model": "risk-v2"}), "it is of the model risk-v2"),
        (json!({"figures": {"silent": 1}}), "it lacks the figure probability_most"),
    ] {
        let mut wrong = table.clone();
        wrong.as_object_mut().expect("fields").extend(change.as_object().expect("fields").clone());
        let (_wrong, path) = write(&wrong);
        let told = refused(cordonctl(&["score", "--facts", &facts, "--model", &path]));
        assert!(told.contains(words), "{told}");
    }
    table["figures"]["zone_internet"] = 1.into();
    let (_turned, path) = write(&table);
    let told = refused(cordonctl(&["score", "--facts", &facts, "--model", &path]));
    assert!(told.contains("a wider network reaches more"), "{told}");
}

#[test]
fn what_is_no_file_of_facts_is_refused_with_what_is_wrong() {
    // Goal: a typing error is never silently safe. Method: spoilt files, each with the words that name the fault.
    let spoilt = |change: &dyn Fn(&mut Value)| {
        let mut facts = example();
        change(&mut facts);
        facts.to_string()
    };
    let cases = [
        ("".to_owned(), "EOF while parsing"),
        ("{\"device\":".to_owned(), "line 1"),
        ("[]".to_owned(), "invalid"),
        (json!({"id": "x", "facts": example()}).to_string(), "save its member `facts` alone"),
        (spoilt(&|facts| facts["postur"] = json!({})), "unknown field `postur`"),
        (spoilt(&|facts| facts["reach"]["zone"] = "safe".into()), "unknown variant `safe`"),
        (spoilt(&|facts| facts["exposures"][0]["cvss"]["tenths"] = 101.into()), "write a CVSS of 9.8 as 98"),
        (
            spoilt(&|facts| facts["exposures"][0]["epss_millionths"] = 1_000_001.into()),
            "epss_millionths of CVE-2020-1938 is above 1000000",
        ),
        (example().to_string().replacen("{", "{\"device\":\"again\",", 1), "duplicate field `device`"),
        (format!("{} x", example()), "trailing characters"),
    ];
    for (content, words) in cases {
        let (_folder, path) = file(&content);
        let told = refused(cordonctl(&["score", "--facts", &path]));
        assert!(
            told.contains("does not hold the facts of a device") && told.contains(words),
            "{content}: {told}"
        );
    }
    let (folder, _) = file("");
    let none = folder.path().join("none.json").display().to_string();
    assert!(refused(cordonctl(&["score", "--facts", &none])).contains("cannot read"));
    let (_folder, path) = file(&example().to_string());
    for arguments in
        [&["score"][..], &["score", "--facts", &path, "--at", "soon"], &["score", "--figures", "--at", "1"]]
    {
        assert_eq!(cordonctl(arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn an_auditor_who_changes_one_fact_sees_one_row_move() {
    // Goal: a score that people can check by hand. Method: another EPSS of the one vulnerability, the hazards before and after.
    let mut changed = example();
    changed["exposures"][0]["epss_millionths"] = 960_000.into();
    let hazards = |score: &Score| -> Vec<(String, u32)> {
        let mut rows: Vec<_> =
            score.contributions.iter().map(|part| (part.id.clone(), part.hazard_micronepers)).collect();
        rows.sort();
        rows
    };
    let (before, after) = (hazards(&scored(&example(), &[])), hazards(&scored(&changed, &[])));
    let moved: Vec<&str> =
        before.iter().zip(&after).filter(|(a, b)| a != b).map(|((id, _), _)| id.as_str()).collect();
    assert_eq!(moved, ["CVE-2020-1938:tomcat9 9.0.31-1"]);
}
