//! Taking devices in: a list of 800, broken off and begun again; keys that ask; the end of an identity.

use std::collections::BTreeMap;

use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::TokenId;
use serde_json::json;

use super::online::server;
use super::*;

/// A server that remembers which ids it has, and gives up once after `fails_after` lists.
fn registry(fails_after: usize) -> (String, server::Stored) {
    let (mut known, mut lists) = (BTreeMap::<String, u32>::new(), 0);
    server::start_with(move |body| {
        let asked: Value = serde_json::from_slice(body).unwrap();
        lists += 1;
        if lists == fails_after + 1 {
            return "{}".to_owned();
        }
        let rows = asked["tokens"].as_array().unwrap().iter().map(|ask| {
            let id = ask["id"].as_str().unwrap().to_owned();
            let times = known.entry(id.clone()).and_modify(|times| *times += 1).or_default();
            // The device with the serial 7 has come; the first token of serial 8 ran out meanwhile.
            let outcome = match (ask["serial"].as_str().unwrap(), *times) {
                (_, 0) => "made",
                ("7", _) => "used",
                ("8", 1) => "lapsed",
                _ => "kept",
            };
            json!({"id": id, "outcome": outcome, "expires": "2030-01-01T00:00:00Z"})
        });
        let rows: Vec<Value> = rows.collect();
        json!({"host": "cordon.example", "enrolment_port": 8444, "device_port": 8443, "ca_pin": "0".repeat(64),
            "rows": rows})
        .to_string()
    })
}

#[test]
fn eight_hundred_devices_are_taken_in_and_a_broken_run_goes_on_where_it_was() {
    // Goal: one secret and one join file for each device, however often the command is run. Method: a list of 800
    // against a server that fails after the second part; the same command again; and once more.
    let desk = Desk::stocked();
    let rows: String = (1..=800).map(|n| format!("{n},4B\n")).collect();
    desk.file("list.csv", format!("serial,ward\n{rows}").as_bytes());
    let (server, stored) = registry(2);
    let [list, out, root] = [desk.path("list.csv"), desk.path("out"), desk.path("director/1.root.json")];
    let create =
        ["tokens", "create", "--from", &list, "--model", "VP-3", "--director-root", &root, "--out", &out];
    assert!(refused(desk.online(&server, &create)).contains("no usable token"));
    let before = std::fs::read(Path::new(&out).join("1.join")).unwrap();
    let told = done(desk.online(&server, &create));
    assert!(told.starts_with("800 rows: 301 tokens made, 498 kept, 1 used already\n"), "{told}");
    assert_eq!(std::fs::read(Path::new(&out).join("1.join")).unwrap(), before, "the same secret again");
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/tokens/list"]).unwrap();
    let last = sent["tokens"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((last["serial"].as_str(), last["ward"].as_str()), (Some("800"), Some("4B")));
    assert!(last.get("token").is_none(), "no secret leaves");
    let mut ids = std::collections::BTreeSet::new();
    for n in 1..=800 {
        let path = Path::new(&out).join(format!("{n}.join"));
        let line = std::fs::read_to_string(&path).unwrap();
        let join: EnrolmentString = line.parse().unwrap();
        assert_eq!(join.director_root, Sha256::of(&std::fs::read(&root).unwrap()));
        assert!(ids.insert(TokenId::of(&join.token)), "{n}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let last_id: TokenId = last["id"].as_str().unwrap().parse().unwrap();
    assert!(ids.contains(&last_id));
    let summary = std::fs::read_to_string(Path::new(&out).join("summary.csv")).unwrap();
    assert_eq!(summary.lines().count(), 801);
    assert!(summary.lines().nth(7).unwrap().starts_with("7,VP-3,used,") && !summary.contains("cordon1:"));
    let again = done(desk.online(&server, &create));
    assert!(again.starts_with("800 rows: 0 tokens made, 799 kept, 1 used already"), "{again}");
}

#[test]
fn a_bad_list_makes_nothing_and_a_foreign_folder_is_left_alone() {
    // Goal: nothing is half done. Method: a list with two bad rows; a folder that holds something else.
    let desk = Desk::stocked();
    let (server, stored) = registry(9);
    desk.file("list.csv", b"serial\n1\n1\n\"\"\n");
    let [list, out, root] = [desk.path("list.csv"), desk.path("director"), desk.path("director/1.root.json")];
    let create =
        ["tokens", "create", "--from", &list, "--model", "VP-3", "--director-root", &root, "--out", &out];
    let why = refused(desk.online(&server, &create));
    assert!(why.contains("line 3: serial 1 stands in line 2 already"), "{why}");
    desk.file("list.csv", b"serial\n1\n");
    assert!(refused(desk.online(&server, &create)).contains("choose a new folder"));
    assert!(stored.lock().unwrap().is_empty());
}

#[test]
fn keys_are_approved_by_their_whole_fingerprint_and_an_end_says_what_it_does() {
    // Goal: the command line sends what a person compared, and says what a device will do. Method: one key, a list,
    // and retire.
    let desk = Desk::stocked();
    let (server, stored) = server::start_with(|body| {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let rows = asked["rows"].as_array().cloned().unwrap_or_default();
        let rows: Vec<Value> = rows
            .into_iter()
            .map(|row| match row["serial"].as_str() {
                Some("VP3-2") => {
                    json!({"serial": "VP3-2", "outcome": "refused", "detail": "another key asks now"})
                }
                _ => json!({"serial": row["serial"], "outcome": "done"}),
            })
            .collect();
        json!({"rows": rows}).to_string()
    });
    let print = "AB".repeat(32);
    let approve =
        ["approvals", "approve", "VP3-1", "--fingerprint", &print, "--reason", "read off its screen"];
    done(desk.online(&server, &approve));
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/approvals"]).unwrap();
    assert_eq!(sent["rows"], json!([{"serial": "VP3-1", "fingerprint": "ab".repeat(32)}]));
    assert_eq!(
        (sent["verb"].as_str(), sent["reason"].as_str()),
        (Some("approve"), Some("read off its screen"))
    );
    let place = ["--model", "VP-3", "--site", "St. Anna", "--ward", "4B", "--zone", "isolated"];
    done(desk.online(&server, &[&approve[..], &place].concat()));
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/approvals"]).unwrap();
    let placement = json!({"site": "St. Anna", "ward": "4B", "zone": "isolated"});
    assert_eq!((&sent["placement"], &sent["model"]), (&placement, &json!("VP-3")));
    let deny = ["approvals", "deny", "VP3-1", "--fingerprint", &print, "--reason", "nobody knows it"];
    for (flag, value) in [("--site", "St. Anna"), ("--ward", "4B"), ("--kind", "kiosk"), ("--model", "VP-3")]
    {
        misused(desk.online(&server, &[&deny[..], &[flag, value]].concat()));
    }
    done(desk.online(&server, &deny));
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/approvals"]).unwrap();
    let fields: Vec<_> = sent.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["reason", "rows", "verb"], "a no places nobody");
    misused(desk.online(&server, &["approvals", "approve", "VP3-1", "--reason", "read off its screen"]));
    desk.file("pairs.csv", format!("serial,fingerprint\nVP3-1,{print}\nVP3-2,{print}\n").as_bytes());
    let pairs = desk.path("pairs.csv");
    let why = refused(
        desk.online(&server, &["approvals", "deny", "--all-from", &pairs, "--reason", "nobody knows them"]),
    );
    assert!(why.starts_with("1 of 2 rows were refused") && why.contains("another key asks now"), "{why}");
    let id = "00000000-0000-4000-8000-000000000000";
    let retired = desk.online(&server, &["devices", "retire", id, "--reason", "sold to another clinic"]);
    assert!(
        retired.2.contains("it wipes its identity") && retired.2.contains("Therapy, network"),
        "{}",
        retired.2
    );
    done(retired);
    done(desk.online(&server, &["devices", "clear-doubt", id, "--reason", "one machine, looked at it"]));
    let stored = stored.lock().unwrap();
    assert!(stored.contains_key(&format!("/api/v1/devices/{id}/retire")));
    assert!(stored.contains_key(&format!("/api/v1/devices/{id}/clear-doubt")));
}
