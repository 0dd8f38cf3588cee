//! `match` as it is typed, over files as they lie on a disk.

use serde_json::json;

use super::*;

const STATUS: &str = "Package: pumpd
Status: install ok installed
Architecture: arm64
Version: 1:2.4-3+b1
Source: pump (1:2.4-3)

Package: libpump2
Status: install ok installed
Architecture: arm64
Version: 1:2.4-3
Source: pump

Package: ward
Status: install ok installed
Architecture: all
Version: 7
";

const TABLE: &str = "release,source,cve,fixed_version,advisory
bookworm,pump,CVE-2024-0001,1:2.4-4,DSA-1-1
bookworm,pump,CVE-2024-0002,1:2.4-3,DSA-2-1
bookworm,ward,CVE-2024-0003,<end-of-life>,DSA-3-1
bookworm,ward,CVE-2024-0004,<not-affected>,DSA-3-1
bullseye,ward,CVE-2024-0005,8,DSA-4-1
hamm,ward,CVE-2024-0006,8,DSA-4-1
";

const RECORD: &str = r#"{"id":"DEBIAN-CVE-2024-0007","upstream":["CVE-2024-0007"],"affected":[
    {"package":{"ecosystem":"Debian:12","name":"ward"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}"#;

/// The folder of a test with a device's database and two feeds.
fn desk() -> Desk {
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    desk.file("status", STATUS.as_bytes());
    desk.file("fixes.csv", TABLE.as_bytes());
    std::fs::create_dir(desk.path("osv")).unwrap();
    desk.file("osv/b.json", RECORD.as_bytes());
    desk.file("osv/a.json", b"{\"id\":");
    desk.file("osv/readme.txt", b"no record");
    desk
}

fn matched(desk: &Desk, more: &[&str]) -> Outcome {
    let (status, table, folder) = (desk.path("status"), desk.path("fixes.csv"), desk.path("osv"));
    let files = ["match", "--dpkg-status", &status, "--debian", &table, "--osv", &folder];
    cordonctl(&[&files[..], more].concat())
}

#[test]
fn a_device_is_matched_from_files_alone() {
    // Goal: the four answers with what they stand on, for people. Method: a database and two feeds by hand, golden.
    let desk = desk();
    let out = done(matched(&desk, &["--release", "Debian:12", "--all"]));
    let folder = desk.path("");
    let wanted = "\
WEAKNESS       PACKAGE  INSTALLED  ANSWER                                    REPAIRED            BY
CVE-2024-0001  pump     1:2.4-3    AFFECTED                                  1:2.4-4             DSA-1-1
CVE-2024-0002  pump     1:2.4-3    fixed                                     1:2.4-3             DSA-2-1
CVE-2024-0003  ward     7          unknown: its publisher has not judged it  -                   DSA-3-1
CVE-2024-0004  ward     7          not affected                              -                   DSA-3-1
CVE-2024-0007  ward     7          AFFECTED                                  no repair is known  DEBIAN-CVE-2024-0007
2 affected, 1 unknown, 1 fixed, 1 not affected, of 2 components
FOLDERosv: 1 left out: no-json
FOLDERfixes.csv: 1 left out: release
";
    assert_eq!(out.replace(&folder, "FOLDER"), wanted);
    let short = done(matched(&desk, &["--release", "Debian:12"]));
    assert_eq!((short.lines().count(), short.contains("CVE-2024-0002")), (7, false));
}

/// Asserts that an answer has the fields that the schema says, and no others.
pub(super) fn fits(schema: &Value, whole: &Value, value: &Value, path: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => &whole["$defs"][reference.trim_start_matches("#/$defs/")],
        None => schema,
    };
    if let Value::Array(items) = value {
        items.iter().for_each(|item| fits(&schema["items"], whole, item, &format!("{path}[]")));
    }
    let (Value::Object(fields), Some(known)) = (value, schema["properties"].as_object()) else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(fields.contains_key(name.as_str().unwrap()), "{path}.{name} is missing");
    }
    for (name, field) in fields {
        assert!(known.contains_key(name), "{path}.{name} is in no schema");
        fits(&known[name], whole, field, &format!("{path}.{name}"));
    }
}

#[test]
fn programs_get_every_answer_by_the_schema() {
    // Goal: `docs/schemas/match.json` is true. Method: the document, its first answer golden, and the same twice.
    let desk = desk();
    let matched = || matched(&desk, &["--release", "Debian:12", "--output", "json"]);
    let out = done(matched());
    assert_eq!(out, done(matched()), "the same bytes");
    let document: Value = serde_json::from_str(&out).expect("one document");
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/schemas/match.json")).expect("a schema");
    fits(&schema, &schema, &document, "$");
    let first = json!({
        "id": "CVE-2024-0001",
        "component": {"ecosystem": "Debian:12", "name": "pump", "version": "1:2.4-3", "binaries": ["libpump2", "pumpd"]},
        "answer": "affected", "fixed_version": "1:2.4-4", "why": null,
        "evidence": {"advisory": "DSA-1-1", "scheme": "deb", "installed": "1:2.4-3", "bound": "1:2.4-4"},
        "doubts": [],
    });
    assert_eq!(document["verdicts"][0], first);
    assert_eq!(document["counts"], json!({"affected": 2, "unknown": 1, "fixed": 1, "not-affected": 1}));
    assert_eq!(document["feeds"][0]["refused"], json!({"no-json": 1}));
    assert_eq!(document["index"]["statements"], json!(6));
}

#[test]
fn another_release_is_told_and_never_guessed() {
    // Goal: advisories of one release say nothing of another. Method: the release by os-release, one that no feed knows, a
    // derivative, none at all.
    let desk = desk();
    desk.file("os", b"ID=debian\nVERSION_ID=\"11\"\n");
    desk.file("derived", b"ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"12\"\n");
    let out = done(matched(&desk, &["--os-release", &desk.path("os")]));
    assert!(out.contains("CVE-2024-0005  ward     7          AFFECTED  8"), "{out}");
    assert!(out.contains("1 affected, 0 unknown, 0 fixed, 0 not affected, of 2 components\n"), "{out}");
    let out = done(matched(&desk, &["--release", "Debian:13"]));
    assert!(out.contains("2 components of Debian:13 are unknown: no advisory here speaks of it\n"), "{out}");
    let derived = refused(matched(&desk, &["--os-release", &desk.path("derived")]));
    assert!(derived.contains("it is a derivative") && derived.contains("write --release"), "{derived}");
    misused(matched(&desk, &[]));
    misused(matched(&desk, &["--release", ""]));
}

#[test]
fn an_inventory_is_matched_as_the_agent_printed_it() {
    // Goal: the agent's own reading of the device serves. Method: its lines; a derivative's end as unknown, with a note.
    let desk = desk();
    let lines = |id: &str| {
        format!(
            "{{\"section\":\"system\",\"key\":\"id\",\"fields\":[\"{id}\"]}}\n\
             {{\"section\":\"system\",\"key\":\"version-id\",\"fields\":[\"12\"]}}\n\
             {{\"section\":\"package\",\"key\":\"deb/pumpd/arm64\",\"fields\":[\"1:2.4-3+b1\",\"pump\",\"1:2.4-3\"]}}\n"
        )
    };
    let matched = |text: &str| {
        desk.file("rows", text.as_bytes());
        cordonctl(&["match", "--inventory", &desk.path("rows"), "--debian", &desk.path("fixes.csv")])
    };
    assert!(done(matched(&lines("debian"))).contains("CVE-2024-0001  pump     1:2.4-3    AFFECTED  1:2.4-4"));
    let (status, out, err) = matched(&lines("raspbian"));
    assert!(status == 0 && err.starts_with("note: advisories cannot be placed on this host"), "{err}");
    assert!(out.contains("1 components of raspbian are unknown"), "{out}");
    assert!(refused(matched("{}\n")).contains("line 1"));
    assert!(refused(matched("")).contains("lists no package"));
}

#[test]
fn a_feed_that_says_nothing_is_refused() {
    // Goal: a broken feed does not make a device look safe. Method: each way to say nothing, and no feed at all.
    let desk = desk();
    desk.file("empty.csv", TABLE.lines().next().unwrap().as_bytes());
    desk.file("html", b"<html>");
    std::fs::create_dir(desk.path("none")).unwrap();
    let with = |feed: &str, name: &str| {
        let (status, path) = (desk.path("status"), desk.path(name));
        cordonctl(&["match", "--dpkg-status", &status, "--release", "Debian:12", feed, &path])
    };
    assert!(refused(with("--debian", "empty.csv")).ends_with("no record could be read ()"));
    assert!(refused(with("--debian", "html")).contains("its first line is not"));
    assert!(refused(with("--osv", "none")).ends_with("no record could be read ()"));
    assert!(refused(with("--osv", "osv/a.json")).ends_with("no record could be read (1 no-json)"));
    assert!(refused(with("--osv", "missing")).contains("cannot read"));
    let status = desk.path("status");
    misused(cordonctl(&["match", "--dpkg-status", &status, "--release", "Debian:12"]));
    desk.file("status", b"");
    assert!(refused(with("--debian", "fixes.csv")).contains("lists no installed package"));
}
