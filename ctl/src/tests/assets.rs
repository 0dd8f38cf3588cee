//! `match --devices` as it is typed: a hospital's list, advisories in folders, VEX, KEV and EPSS as they lie on a disk.

use cordon_server_core::schema::check;
use serde_json::json;

use super::*;

const LIST: &str = "Asset Tag;Manufacturer;Model;SW Version;Department;Serial
T1;Phillips;IntelliVue MX40;B.06.17;ICU;S1
T2;PHILIPS Medical Systems;MX40;B.06.18;ICU;S2
T3;Philips;MX-40;n/a;ER;S3
T4;Philips;Affiniti 70;1.0;ER;S4
T5;CareFusion;Alaris PCU;9.5;ER;S5
T6;House Brand;Blue Pump;1;ER;S6
T1;Philips;MX40;B.06.17;ICU;S1
T7;Philips;;1;;
";

/// One advisory of a maker about one model in a range, with one weakness.
fn advisory(id: &str, (maker, model, range): (&str, &str, &str), cve: &str) -> String {
    json!({
        "document": {
            "category": "csaf_security_advisory", "csaf_version": "2.0", "title": "t", "publisher": {"name": "CISA"},
            "tracking": {"id": id, "status": "final", "current_release_date": "2024-01-01T00:00:00Z"},
        },
        "product_tree": {"branches": [{"category": "vendor", "name": maker, "branches": [{
            "category": "product_name", "name": model,
            "branches": [{"category": "product_version_range", "name": range, "product": {"product_id": "P", "name": "p"}}],
        }]}]},
        "vulnerabilities": [{
            "cve": cve, "product_status": {"known_affected": ["P"]},
            "scores": [{"cvss_v3": {"vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "baseScore": 9.8}, "products": ["P"]}],
            "remediations": [{"category": "mitigation", "details": "Wall it off.", "product_ids": ["P"]}],
        }],
    })
    .to_string()
}

fn desk() -> Desk {
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    desk.file("list.csv", LIST.as_bytes());
    std::fs::create_dir_all(desk.path("csaf/white/2024")).unwrap();
    let philips =
        advisory("A-1", ("Philips", "IntelliVue MX40 Patient Worn Monitor", "< B.06.18"), "CVE-2024-0001");
    desk.file("csaf/white/2024/a.json", philips.as_bytes());
    let bd = advisory(
        "A-2",
        ("Becton, Dickinson and Company (BD)", "Alaris 8015 PC unit", "<= 9.5"),
        "CVE-2024-0002",
    );
    desk.file("csaf/white/2024/b.json", bd.as_bytes());
    let own = advisory("A-3", ("Real Maker Inc.", "Pump 500", "<May 2018"), "CVE-2024-0003");
    desk.file("csaf/c.json", own.as_bytes());
    desk.file("csaf/broken.json", b"{\"document\":");
    desk.file("aliases.csv", b"maker,model,alias\nReal Maker,,House Brand\nReal Maker,Pump 500,Blue Pump\n");
    desk.file("kev.json", br#"{"catalogVersion":"1","dateReleased":"2020-01-01T00:00:00Z","vulnerabilities":[{"cveID":"CVE-2024-0002","dateAdded":"2024-05-01","dueDate":"2024-05-22","knownRansomwareCampaignUse":"Known"}]}"#);
    desk.file("epss.csv", b"#model_version:v2025.03.14,score_date:2020-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2024-0001,0.5,0.9\n");
    desk
}

fn listed(desk: &Desk, more: &[&str]) -> Outcome {
    let [list, csaf, aliases] = ["list.csv", "csaf", "aliases.csv"].map(|name| desk.path(name));
    cordonctl(&[&["match", "--devices", &list, "--csaf", &csaf, "--aliases", &aliases][..], more].concat())
}

#[test]
fn a_list_of_devices_is_matched_in_one_command() {
    // Goal: who is affected, who may be, what to do, and nothing left out in silence. Method: a list by hand, golden.
    let desk = desk();
    let out = done(listed(&desk, &["--kev", &desk.path("kev.json")]));
    let folder = desk.path("");
    let text = out.replace(&folder, "FOLDER");
    for line in [
        "T1      ICU   Phillips IntelliVue MX40  B.06.17  AFFECTED             1           9.8   A-1       install B.06.18 or later",
        "T3      ER    Philips MX-40    -     unknown              1           9.8   A-1       look up the version of the device",
        "T5      ER    CareFusion Alaris PCU     9.5      AFFECTED, exploited  1           9.8   A-2       no repair; meanwhile: Wall it off.",
        "6 devices: 2 affected, 2 unknown, 1 fixed, 0 not affected, 1 of a model that no advisory names, which is no promise",
        "1 rows of the list left out: no-model",
        "1 rows of the list left out: twice",
        "FOLDERcsaf: 1 left out: no-json",
    ] {
        let same = |own: &str| own.split_whitespace().eq(line.split_whitespace());
        assert!(text.lines().any(same), "{line}\n{text}");
    }
    assert!(text.contains("FOLDERkev.json:") && text.contains("days old: get a newer one"), "{text}");
    assert!(text.contains("read the advisory: its range of versions cannot be understood"), "{text}");
    assert!(!text.contains("\nT2 "), "a fixed device is shown with --all only: {text}");
}

#[test]
fn the_answer_for_programs_has_its_evidence_and_what_suppressed_it() {
    // Goal: every device, each verdict with what it stands on; VEX hides nothing. Method: one statement that holds, one silent.
    let desk = desk();
    let vex = advisory("V-1", ("Philips", "IntelliVue MX40", "vers:generic/<=B.06.17"), "CVE-2024-0001")
        .replace("known_affected", "known_not_affected")
        .replace(
            "\"remediations\"",
            "\"flags\":[{\"label\":\"component_not_present\",\"product_ids\":[\"P\"]}],\"remediations\"",
        );
    desk.file("vex.json", vex.as_bytes());
    let other = vex.replace("IntelliVue MX40", "Other").replace("V-1", "V-2");
    desk.file("other.json", other.as_bytes());
    let files = ["vex.json", "other.json", "epss.csv", "kev.json"].map(|name| desk.path(name));
    let more =
        ["--output", "json", "--vex", &files[0], "--vex", &files[1], "--epss", &files[2], "--kev", &files[3]];
    let out: Value = serde_json::from_str(&done(listed(&desk, &more))).unwrap();
    assert_eq!(
        out["counts"],
        json!({"affected": 2, "unknown": 2, "fixed": 1, "not-affected": 0, "not-named": 1})
    );
    let first = &out["devices"][0];
    assert_eq!((&first["device"]["tag"], &first["answer"]), (&json!("T1"), &json!("affected")));
    let verdict = &first["verdicts"][0];
    assert_eq!(verdict["answer"], "affected");
    assert_eq!(
        verdict["suppressed_by"],
        json!({"status": "not_affected", "document": "V-1", "issuer": "CISA", "product": "p", "reason": "component_not_present"})
    );
    assert_eq!(
        verdict["evidence"],
        json!({"advisory": "A-1", "title": "t", "maker": "Philips", "product": "IntelliVue MX40 Patient Worn Monitor", "by": "model-code", "versions": "< B.06.18", "narrowed": [], "installed": "B.06.17", "bound": "B.06.18"})
    );
    assert_eq!(verdict["epss"], json!({"millionths": 500_000, "percentile_millionths": 900_000}));
    assert_eq!(
        out["devices"][4]["verdicts"][0]["exploited"],
        json!({"added": "2024-05-01T00:00:00Z", "due": "2024-05-22T00:00:00Z", "ransomware": true})
    );
    assert_eq!(
        out["silent_vex"],
        json!([{"weakness": "CVE-2024-0001", "product": "p", "status": "not_affected", "document": "V-2", "why": "no-such-product"}])
    );
    assert_eq!(out["devices"].as_array().map(Vec::len), Some(6));
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/schemas/match-devices.json")).expect("a schema");
    assert_eq!(check(&schema, &out), Ok(()));
}

#[test]
fn packages_have_what_the_world_says_beside_them() {
    // Goal: KEV, EPSS and VEX stand beside the answers about packages, too. Method: one package, one statement.
    let desk = desk();
    desk.file("status", b"Package: pump\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0-1\n");
    desk.file(
        "fixes.csv",
        b"release,source,cve,fixed_version,advisory\nbookworm,pump,CVE-2024-0002,1.0-2,DSA-1-1\n",
    );
    desk.file("vex.json", br#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"V","author":"Maker","timestamp":"2024-01-01T00:00:00Z","statements":[
        {"vulnerability":{"name":"CVE-2024-0002"},"products":[{"@id":"pkg:deb/debian/pump@1.0-1?distro=debian-12.5"}],"status":"not_affected","justification":"component_not_present"},
        {"vulnerability":{"name":"CVE-2024-0009"},"products":[{"@id":"pkg:deb/debian/pump"}],"status":"fixed"}]}"#);
    let [status, fixes, vex, kev] =
        ["status", "fixes.csv", "vex.json", "kev.json"].map(|name| desk.path(name));
    let command = [
        "match",
        "--dpkg-status",
        &status,
        "--release",
        "Debian:12",
        "--debian",
        &fixes,
        "--vex",
        &vex,
        "--kev",
        &kev,
    ];
    let text = done(cordonctl(&command));
    assert!(text.contains("of these 1 are exploited in the wild, 1 are judged by VEX"), "{text}");
    assert!(text.contains("VEX matched 1 of 2 statements to findings"), "{text}");
    let out: Value =
        serde_json::from_str(&done(cordonctl(&[&command[..], &["--output", "json"]].concat()))).unwrap();
    let verdict = &out["verdicts"][0];
    assert_eq!(
        (&verdict["answer"], &verdict["suppressed_by"]["issuer"]),
        (&json!("affected"), &json!("Maker"))
    );
    assert_eq!(out["silent_vex"][0]["why"], "no-such-finding");
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/schemas/match.json")).expect("a schema");
    assert_eq!(check(&schema, &out), Ok(()));
}

#[test]
fn what_cannot_be_used_ends_the_command_with_what_to_do() {
    // Goal: silence never looks like safety. Method: a list without a model, an empty feed, a wrong alias file.
    let desk = desk();
    desk.file("none.csv", b"price;colour\n1;2\n");
    desk.file("bad.csv", b"a,b\n1,2\n");
    desk.file("empty.json", b"{}");
    let csaf = desk.path("csaf");
    for (more, wanted) in [
        (["--devices", &desk.path("none.csv"), "--csaf", &csaf], "no column for the model"),
        (
            ["--devices", &desk.path("list.csv"), "--csaf", &desk.path("empty.json")],
            "nothing in it could be read (1 other-form)",
        ),
    ] {
        let why = refused(cordonctl(&[&["match"][..], &more].concat()));
        assert!(why.contains(wanted), "{wanted}: {why}");
    }
    let bad = ["--devices", &desk.path("list.csv"), "--csaf", &csaf, "--aliases", &desk.path("bad.csv")];
    assert!(refused(cordonctl(&[&["match"][..], &bad].concat())).contains("maker,model,alias"));
    misused(cordonctl(&["match", "--devices", &desk.path("list.csv")]));
}
