//! `match` as it is typed, over files as they lie on a disk.

use cordon_server_core::schema::check;
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

const RECORD: &str = r#"{"id":"DEBIAN-CVE-2024-0007","upstream":["CVE-2024-0007"],
    "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"}],"affected":[
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
WEAKNESS       CVSS  PACKAGE  INSTALLED  ANSWER                                    REPAIRED            BY
CVE-2024-0001  -     pump     1:2.4-3    AFFECTED                                  1:2.4-4             DSA-1-1
CVE-2024-0002  -     pump     1:2.4-3    fixed                                     1:2.4-3             DSA-2-1
CVE-2024-0003  -     ward     7          unknown: its publisher has not judged it  -                   DSA-3-1
CVE-2024-0004  -     ward     7          not affected                              -                   DSA-3-1
CVE-2024-0007  7.8   ward     7          AFFECTED                                  no repair is known  DEBIAN-CVE-2024-0007
2 affected, 1 unknown, 1 fixed, 1 not affected, of 2 components
FOLDERosv: 1 left out: no-json
FOLDERosv: the first of them is FOLDERosv/a.json: it is no JSON: EOF while parsing a value at line 1 column 6
FOLDERfixes.csv: 1 left out: release
";
    assert_eq!(out.replace(&folder, "FOLDER"), wanted);
    let short = done(matched(&desk, &["--release", "Debian:12"]));
    assert_eq!((short.lines().count(), short.contains("CVE-2024-0002")), (8, false));
}

/// The document that a command printed, by its schema.
fn document(out: &str) -> Value {
    let document: Value = serde_json::from_str(out).expect("one document");
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/schemas/match.json")).expect("a schema");
    assert_eq!(check(&schema, &document), Ok(()));
    document
}

#[test]
fn programs_get_every_answer_by_the_schema() {
    // Goal: `docs/schemas/match.json` is true. Method: the document, its first answer golden, and the same twice.
    let desk = desk();
    let matched = || matched(&desk, &["--release", "Debian:12", "--output", "json"]);
    let out = done(matched());
    assert_eq!(out, done(matched()), "the same bytes");
    let document = document(&out);
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/schemas/match.json")).expect("a schema");
    let mut spoilt = document.clone();
    spoilt["verdicts"][0]["evidence"]["scheme"] = "dep".into();
    assert!(check(&schema, &spoilt).is_err(), "a word that is none");
    let first = json!({
        "id": "CVE-2024-0001",
        "component": {"ecosystem": "Debian:12", "name": "pump", "version": "1:2.4-3", "binaries": ["libpump2", "pumpd"]},
        "answer": "affected", "fixed_version": "1:2.4-4", "why": null,
        "evidence": {"advisory": "DSA-1-1", "scheme": "deb", "installed": "1:2.4-3", "bound": "1:2.4-4", "event": "fixed"},
        "doubts": [], "cvss": null,
    });
    assert_eq!(document["verdicts"][0], first);
    let last = document["verdicts"].as_array().and_then(|all| all.last()).expect("answers");
    let vector = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H";
    assert_eq!(last["cvss"], json!({"vector": vector, "tenths": 78}));
    assert_eq!(document["counts"], json!({"affected": 2, "unknown": 1, "fixed": 1, "not-affected": 1}));
    assert_eq!(document["feeds"][0]["refused"], json!({"no-json": 1}));
    let why = "it is no JSON: EOF while parsing a value at line 1 column 6";
    let file = desk.path("osv/a.json");
    assert_eq!(document["feeds"][0]["first_refused"], json!({"file": file, "why": why}));
    assert_eq!(document["feeds"][1]["first_refused"], Value::Null);
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
    assert!(out.contains("CVE-2024-0005  -     ward     7          AFFECTED  8"), "{out}");
    assert!(out.contains("1 affected, 0 unknown, 0 fixed, 0 not affected, of 2 components\n"), "{out}");
    let derived = refused(matched(&desk, &["--os-release", &desk.path("derived")]));
    assert!(derived.contains("it is a derivative") && derived.contains("write --release"), "{derived}");
    let (status, _, told) = matched(&desk, &[]);
    assert!(status == 2 && told.contains("--release Debian:12") && told.contains("--os-release"), "{told}");
}

#[test]
fn a_release_is_written_in_one_form_or_refused_with_what_to_write() {
    // Goal: a typing error does not end as an answer about no release at all. Method: other ways to write one; each way to be
    // none, with the words that help.
    let desk = desk();
    let plain = done(matched(&desk, &["--release", "Debian:12"]));
    for release in ["debian:12", "Debian:bookworm", "Debian:12.11"] {
        assert_eq!(done(matched(&desk, &["--release", release])), plain, "{release}");
    }
    for (release, words) in [
        ("", "dpkg's packages are matched by releases of Debian and Ubuntu"),
        ("Debian", "the release is missing"),
        ("Debian:bokworm", "there is no such release"),
        ("Alpine:v3.19", "dpkg's packages are matched by releases of Debian and Ubuntu"),
        ("PyPI", "dpkg's packages are matched by releases of Debian and Ubuntu"),
    ] {
        let (status, _, told) = matched(&desk, &["--release", release]);
        assert!(status == 2 && told.contains(words) && told.contains("write Debian:12"), "{release}: {told}");
    }
}

#[test]
fn what_no_feed_speaks_of_counts_as_unknown() {
    // Goal: zero affected and zero unknown is said only of what somebody judged. Method: a release that no feed knows, for
    // people and for programs; one package of two worlds.
    let desk = desk();
    let out = done(matched(&desk, &["--release", "Debian:13"]));
    assert!(out.contains("0 affected, 2 unknown, 0 fixed, 0 not affected, of 2 components\n"), "{out}");
    let line =
        "2 components of Debian:13 are unknown: no advisory here speaks of it; give a feed that does\n";
    assert!(out.contains(line), "{out}");
    let document = document(&done(matched(&desk, &["--release", "Debian:13", "--output", "json"])));
    assert_eq!(document["counts"], json!({"affected": 0, "unknown": 2, "fixed": 0, "not-affected": 0}));
    assert_eq!(document["unknown"]["ecosystems"], json!({"Debian:13": 2}));
    let (table, npm) = (desk.path("fixes.csv"), "pkg:npm/left@1.0.0");
    let known = "pkg:deb/debian/pump@1:2.4-3?arch=source&distro=bookworm";
    let out = done(cordonctl(&["match", "--purl", npm, "--purl", known, "--debian", &table]));
    assert!(out.contains("1 affected, 1 unknown, 1 fixed, 0 not affected, of 2 components\n"), "{out}");
    // A binary's own name is no source's: that nothing is known under it is no answer.
    let binary = "pkg:deb/debian/libpump3@2?arch=amd64&distro=bookworm";
    let out = done(cordonctl(&["match", "--purl", binary, "--debian", &table]));
    assert!(out.contains("0 affected, 1 unknown, 0 fixed, 0 not affected, of 1 components\n"), "{out}");
}

#[test]
fn a_package_is_matched_by_its_url() {
    // Goal: one package can be asked about without a device. Method: a source, a binary with and without its source, a module
    // stream, an order of versions that is not Debian's; what nothing can be asked about, and what names nothing.
    let desk = desk();
    desk.file(
        "osv/more.json",
        r#"{"id":"GHSA-1","affected":[
            {"package":{"ecosystem":"AlmaLinux:9","name":"pump"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"}]}]},
            {"package":{"ecosystem":"npm","name":"@ward/pump"},"ranges":[{"type":"SEMVER","events":[{"introduced":"1.0.0"},{"last_affected":"1.10.0"}]}]}]}"#
            .as_bytes(),
    );
    let (table, osv) = (desk.path("fixes.csv"), desk.path("osv"));
    let files = ["--debian", &table, "--osv", &osv, "--output", "json", "--all"];
    let asked = |purl: &str| cordonctl(&[&["match", "--purl", purl], &files[..]].concat());
    let first = |purl: &str| document(&done(asked(purl)))["verdicts"][0].clone();
    let source = first("pkg:deb/debian/pump@1:2.4-3?arch=source&distro=debian-12");
    assert_eq!((&source["id"], &source["answer"]), (&json!("CVE-2024-0001"), &json!("affected")));
    assert_eq!(source["doubts"], json!([]));
    let binary = first("pkg:deb/debian/pumpd@1:2.4-3%2Bb1?distro=bookworm&upstream=pump%401:2.4-3");
    assert_eq!(binary["component"]["version"], json!("1:2.4-3"));
    let assumed = first("pkg:deb/debian/pump@1:2.4-3?distro=debian-12");
    assert_eq!(assumed["doubts"], json!(["source-assumed"]));
    let modular = first("pkg:rpm/almalinux/pump@1-1.el9?arch=src&distro=almalinux-9.4&rpmmod=pump:1");
    assert_eq!((&modular["why"], &modular["doubts"]), (&json!("module-stream"), &json!(["epoch-assumed"])));
    let last = first("pkg:npm/%40ward/pump@1.11.0");
    assert_eq!((&last["answer"], &last["fixed_version"]), (&json!("fixed"), &Value::Null));
    let evidence = json!({
        "advisory": "GHSA-1", "scheme": "semver", "installed": "1.11.0", "bound": "1.10.0", "event": "last_affected",
    });
    assert_eq!(last["evidence"], evidence);
    let people = done(cordonctl(&["match", "--purl", "pkg:npm/%40ward/pump@1.11.0", "--osv", &osv, "--all"]));
    let line = people.lines().nth(1).unwrap_or_default();
    let words = ["GHSA-1", "-", "@ward/pump", "1.11.0", "fixed", "-", "GHSA-1"];
    assert!(line.split_whitespace().eq(words), "the last affected version repairs nothing: {line}");
    for (purl, words) in [
        ("pump", "no package URL"),
        ("pkg:npm/pump", "write @VERSION"),
        ("pkg:deb/debian/pump@1", "distro=debian-12"),
    ] {
        let (status, _, told) = asked(purl);
        assert!(status == 2 && told.contains(words) && told.contains(purl), "{purl}: {told}");
    }
    let (status, _, told) = cordonctl(&["match", "--debian", &table]);
    assert!(
        status == 2 && told.contains("--dpkg-status FILE, --inventory FILE, --sbom FILE or --purl PURL"),
        "{told}"
    );
    misused(cordonctl(&["match", "--release", "Debian:12", "--debian", &table]));
}

#[test]
fn a_database_that_was_cut_off_says_so() {
    // Goal: a version that lost its end is none. Method: the database without its last line feed.
    let desk = desk();
    desk.file("status", STATUS.trim_end().as_bytes());
    let out = done(matched(&desk, &["--release", "Debian:12"]));
    assert!(
        out.contains("of 1 components\n") && out.contains("packages: 1 left out: broken-entries\n"),
        "{out}"
    );
}

#[test]
fn a_folder_of_records_is_read_with_its_subfolders() {
    // Goal: archives of OSV lie in folders by ecosystem. Method: a record two folders down, a link back up, more folders than
    // are read.
    let desk = desk();
    std::fs::create_dir_all(desk.path("deep/debian/2024")).unwrap();
    desk.file("deep/debian/2024/a.json", RECORD.as_bytes());
    std::os::unix::fs::symlink(desk.path("deep"), desk.path("deep/debian/again")).unwrap();
    let with = |name: &str| {
        let (status, path) = (desk.path("status"), desk.path(name));
        cordonctl(&["match", "--dpkg-status", &status, "--release", "Debian:12", "--osv", &path])
    };
    assert!(done(with("deep")).contains("CVE-2024-0007  7.8   ward     7          AFFECTED"));
    std::fs::create_dir_all(desk.path("deep/1/2/3/4/5/6/7/8/9")).unwrap();
    let told = refused(with("deep"));
    assert!(told.contains("7/8/9 lies more than 8 folders deep"), "{told}");
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
    assert!(
        done(matched(&lines("debian")))
            .contains("CVE-2024-0001  -     pump     1:2.4-3    AFFECTED  1:2.4-4")
    );
    let (status, out, err) = matched(&lines("raspbian"));
    assert!(status == 0 && err.starts_with("note: advisories cannot be placed on this host"), "{err}");
    assert!(out.contains("1 components of raspbian are unknown"), "{out}");
    assert!(out.contains("0 affected, 1 unknown, 0 fixed, 0 not affected, of 1 components"), "{out}");
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
    let empty = refused(with("--debian", "empty.csv"));
    assert!(
        empty.contains("empty.csv: it has no row; give the tracker's JSON or the whole table"),
        "{empty}"
    );
    desk.file(
        "strange.csv",
        format!("{}\nhamm,ward,CVE-2024-0006,8,DSA-4-1\n", TABLE.lines().next().unwrap()).as_bytes(),
    );
    let strange = refused(with("--debian", "strange.csv"));
    assert!(strange.contains("no row could be used (1 release); give one that names releases"), "{strange}");
    assert!(refused(with("--debian", "html")).contains("its first line is not"));
    let none = refused(with("--osv", "none"));
    assert!(
        none.contains("none: no file in it ends in .json; give a folder of OSV records, unpacked"),
        "{none}"
    );
    desk.file("none/b.json", b"{}");
    desk.file("none/a.json", b"{\"id\":");
    let broken = refused(with("--osv", "none"));
    let words = "none of its 2 files is an OSV record (1 no-json, 1 other-form); the first is";
    assert!(broken.contains(words) && broken.contains("none/a.json: it is no JSON: EOF"), "{broken}");
    assert!(broken.contains("give records as osv.dev publishes them"), "{broken}");
    assert!(refused(with("--osv", "missing")).contains("cannot read"));
    let status = desk.path("status");
    misused(cordonctl(&["match", "--dpkg-status", &status, "--release", "Debian:12"]));
    desk.file("status", b"");
    assert!(refused(with("--debian", "fixes.csv")).contains("lists no installed package"));
}
