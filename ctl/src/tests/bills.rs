//! `sbom` and `match --sbom` as they are typed, over files as they lie on a disk.

use cordon_server_core::schema::check;
use serde_json::json;

use super::*;

const BOM: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.4","metadata":{"timestamp":"2026-01-02T03:04:05Z","component":{"type":"firmware","name":"Pump 500","version":"4.2","bom-ref":"p"}},
"components":[{"type":"operating-system","name":"debian","version":"12"},{"type":"library","bom-ref":"a","name":"libpump2","purl":"pkg:deb/debian/libpump2@1%3A2.4-3?upstream=pump"},
{"type":"library","name":"ward","purl":"pkg:deb/debian/ward@6"},{"type":"library","name":"gone","purl":"pkg:deb/debian/gone@1"},{"type":"library","name":"in-house\u001b"}],
"dependencies":[{"ref":"p","dependsOn":["a","lost"]}]}"#;

const SPDX: &str = "SPDXVersion: SPDX-2.3\nDocumentNamespace: https://maker.example/d\nPackageName: pump\nSPDXID: SPDXRef-1\nPackageVersion: 1\nExternalRef: PACKAGE-MANAGER purl pkg:npm/pump@1\n";

const ROWS: &str = r#"{"section":"system","key":"id","fields":["debian"]}
{"section":"system","key":"version-id","fields":["12"]}
{"section":"package","key":"deb/libpump2/arm64","fields":["1:2.4-3","pump","1:2.4-3"]}
{"section":"package","key":"deb/ward/all","fields":["7","ward","7"]}
{"section":"package","key":"deb/extra/all","fields":["1","extra","1"]}
{"section":"unread","key":"var/lib/x","fields":["no"]}
"#;

fn desk() -> Desk {
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    desk.file("bom.json", BOM.as_bytes());
    desk.file("bom.spdx", SPDX.as_bytes());
    desk.file("rows", ROWS.as_bytes());
    desk.file(
        "fixes.csv",
        b"release,source,cve,fixed_version,advisory\nbookworm,pump,CVE-2024-0001,1:2.4-4,DSA-1-1\n",
    );
    desk
}

fn by_schema(schema: &str, out: &str) -> Value {
    let (schema, document) = (serde_json::from_str(schema).unwrap(), serde_json::from_str(out).unwrap());
    assert_eq!(check(&schema, &document), Ok(()));
    document
}

#[test]
fn a_bill_of_materials_is_told_with_what_nobody_can_be_asked_about() {
    // Goal: a maker sees what is missing before a hospital does. Method: golden for people, the schema for programs.
    let desk = desk();
    let out = done(cordonctl(&["sbom", "check", &desk.path("bom.json")]));
    let wanted = "\
CycloneDX 1.4 of Pump 500 4.2: 5 components, 1 dependencies
3 can be asked about by package URL
1 have no package URL, and stay unknown
1 are files, systems or data: no advisory speaks of such by itself
1 dependencies name nothing in the document
";
    assert_eq!(out, wanted);
    let out = done(cordonctl(&["sbom", "check", &desk.path("bom.json"), "--output", "json"]));
    let document = by_schema(include_str!("../../../docs/schemas/sbom.json"), &out);
    assert_eq!((&document["matchable"], &document["unmatchable"]["no-purl"]), (&json!(3), &json!(1)));
    let tags = done(cordonctl(&["sbom", "check", &desk.path("bom.spdx")]));
    assert!(tags.starts_with("SPDX tag-value 2.3: 1 components"), "{tags}");
}

#[test]
fn a_conversion_gives_the_same_bytes_and_draws_nothing_by_chance() {
    // Goal: two people get one file. Method: SPDX and an inventory twice, to the screen and to a file.
    let desk = desk();
    let convert = |more: &[&str]| done(cordonctl(&[&["sbom", "convert"], more].concat()));
    let (bom, rows, out) = (desk.path("bom.spdx"), desk.path("rows"), desk.path("out.json"));
    let text = convert(&[&bom]);
    assert_eq!(text, convert(&[&bom]));
    assert!(!text.contains("timestamp") && !text.contains("serialNumber"), "{text}");
    assert!(text.contains("\"purl\":\"pkg:npm/pump@1\""), "{text}");
    let serial = "3e671687-395b-41f5-a30f-a58921a69b79";
    let dated = convert(&["--inventory", &rows, "--made", "2026-01-02T03:04:05Z", "--serial", serial]);
    assert!(dated.contains("2026-01-02T03:04:05Z") && dated.contains("urn:uuid:3e671687"), "{dated}");
    assert!(dated.contains("pkg:deb/debian/ward@7?arch=all&distro=debian-12&upstream=ward%407"), "{dated}");
    let told = convert(&[&desk.path("bom.json"), "--out", &out]);
    assert!(told.ends_with("out.json: CycloneDX 1.6, 5 components\n"), "{told}");
    let kept = std::fs::read_to_string(&out).unwrap();
    assert!(kept.contains("\"timestamp\":\"2026-01-02T03:04:05Z\""), "its own time: {kept}");
    assert!(misused(cordonctl(&["sbom", "convert", &bom, "--serial", "7"])).contains("takes a UUID"));
}

#[test]
fn drift_is_told_for_people_and_for_programs() {
    // Goal: what changed since it was shipped, and what could not be compared. Method: golden; found by rows or by a document.
    let desk = desk();
    let (bom, rows, found) = (desk.path("bom.json"), desk.path("rows"), desk.path("found.json"));
    let out = done(cordonctl(&["sbom", "drift", "--release-sbom", &bom, "--inventory", &rows]));
    let wanted = "\
MISSING  pkg:deb/debian/gone 1
EXTRA    pkg:deb/debian/extra 1
CHANGED  pkg:deb/debian/ward shipped 6, found 7
1 missing, 1 extra, 1 in another version, 1 as shipped
1 not compared, shipped: have no package URL, and stay unknown
1 not compared, shipped: are files, systems or data: no advisory speaks of such by itself
1 not compared, found: are files, systems or data: no advisory speaks of such by itself
1 not compared, found: sources could not be read on the device: what they hold is not known
";
    assert_eq!(out, wanted);
    done(cordonctl(&["sbom", "convert", "--inventory", &rows, "--out", &found]));
    let json = |files: &[&str]| {
        let out = done(cordonctl(
            &[&["sbom", "drift", "--release-sbom", &bom, "--output", "json"], files].concat(),
        ));
        by_schema(include_str!("../../../docs/schemas/drift.json"), &out)
    };
    let (direct, written) = (json(&["--inventory", &rows]), json(&["--found", &found]));
    for part in ["missing", "extra", "changed", "same"] {
        assert_eq!(direct[part], written[part], "{part}");
    }
}

#[test]
fn a_bill_of_materials_is_matched_like_a_device() {
    // Goal: DESIGN's flag. Method: the weakness of the source package; what has no package URL is counted.
    let desk = desk();
    let fixes = desk.path("fixes.csv");
    let ask = |file: &str| cordonctl(&["match", "--sbom", &desk.path(file), "--debian", &fixes]);
    let out = done(ask("bom.json"));
    assert!(out.contains("CVE-2024-0001  -     pump     1:2.4-3    AFFECTED  1:2.4-4   DSA-1-1"), "{out}");
    assert!(out.contains("packages: 1 left out: no-purl\n"), "{out}");
    assert!(done(ask("bom.spdx")).contains("1 components of npm are unknown"));
    desk.file(
        "bare.json",
        br#"{"bomFormat":"CycloneDX","specVersion":"1.4","components":[{"type":"library","name":"x"}]}"#,
    );
    assert!(
        refused(ask("bare.json")).contains("names no package by a package URL with a version (1 no-purl)")
    );
}

#[test]
fn a_file_that_is_none_or_too_great_is_refused_with_what_to_do() {
    // Goal: hostile files end before they are believed. Method: 500 MB, a million components, XML, no file.
    let desk = desk();
    let check = |name: &str| refused(cordonctl(&["sbom", "check", &desk.path(name)]));
    std::fs::File::create(desk.path("huge")).unwrap().set_len(500_000_000).unwrap();
    assert!(check("huge").contains("has more than 33554432 bytes"));
    let parts = vec!["{\"name\":\"a\"}"; 1_000_000].join(",");
    let million = format!("{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{parts}]}}");
    desk.file("million", million.as_bytes());
    assert!(check("million").contains("more than 100000 components"));
    desk.file("bom.xml", b"<?xml version=\"1.0\"?><bom/>");
    assert!(check("bom.xml").contains("write it as JSON"));
    assert!(check("nothing").contains("nothing"));
}

#[test]
fn a_server_is_asked_what_a_device_is_made_of() {
    // Goal: the same words over the API, and the document as it was served. Method: a server that answers both.
    let desk = desk();
    let (server, stored) = online::server::start("");
    let id = "00000000-0000-4000-8000-000000000001";
    let served = b"{\"z\":1,\"a\":2}\n".to_vec();
    let drift = br#"{"missing":[],"extra":[{"purl":"pkg:deb/debian/nc\u001b","versions":["1"]}],"changed":[],"same":3,"not_compared":{"shipped":{},"found":{"unread-by-the-agent":1}},"files":{"sound":"no","count":"2 of 3","list":"ab","differing":[{"path":"opt/pump\u001b","sound":"no","found":"missing"}]}}"#;
    for (path, bytes) in [("sbom", served.clone()), ("drift", drift.to_vec())] {
        stored.lock().unwrap().insert(format!("/api/v1/devices/{id}/{path}"), bytes);
    }
    let out = desk.path("device.json");
    done(desk.online(&server, &["devices", "sbom", id, "--out", &out]));
    assert_eq!(std::fs::read(&out).unwrap(), served, "byte for byte");
    let told = done(desk.online(&server, &["devices", "drift", id]));
    let wanted = "\
EXTRA    pkg:deb/debian/nc\u{fffd} 1
0 missing, 1 extra, 0 in another version, 3 as shipped
2 of 3 files that the image declares are as declared
FILE     opt/pump\u{fffd}: missing
1 not compared, found: sources could not be read on the device: what they hold is not known
";
    assert_eq!(told, wanted);
}
