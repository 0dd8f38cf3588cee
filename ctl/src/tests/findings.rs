//! Findings and service visits as they are typed: what is asked, what is sent, what is printed.

use serde_json::json;

use super::online::server;
use super::*;

const DEVICE: &str = "31313131-3131-4131-b131-313131313131";

#[test]
fn a_finding_is_decided_by_its_name_of_one_device_or_of_many() {
    // Goal: a person types a name, not an address. Method: a mute of one, an allowance of many, an unknown name.
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    let posted =
        json!({"decided": 199, "already": 0, "critical": 1, "allowed": 1, "state": {"kind": "muted"}});
    let (server, stored) = server::start(&posted.to_string());
    let one = json!({"findings": [{
        "id": "f-0123456789ab", "digest": "d".repeat(64), "device": DEVICE, "group": "g-0123456789ab",
        "finding": {"severity": "high", "title": "Calls out", "last": 1_795_251_906},
        "rarity": {"words": "Only this one of 41 VP-3 reported it."},
    }]});
    let put = |path: &str, answer: &Value| {
        stored.lock().unwrap().insert(format!("/api/v1/{path}"), answer.to_string().into_bytes());
    };
    put("findings?id=f-0123456789ab", &one);
    put("findings?id=f-ffffffffffff", &json!({"findings": []}));
    put("findings?state=open", &one);
    let until = "2027-03-01T00:00:00Z";
    let hide = |verb: &str, id: &str| {
        let reason = "the new server of the pharmacy";
        desk.online(&server, &["findings", verb, id, "--until", until, "--reason", reason])
    };
    assert_eq!(done(hide("mute", "f-0123456789ab")), "f-0123456789ab is muted\n");
    assert_eq!(
        done(hide("allow", "g-0123456789ab")),
        "g-0123456789ab: allow, 199 findings; 0 were so already; 1 critical ones are left to be decided one by one; allowed for the whole model: 1\n"
    );
    let sent: Value = {
        let stored = stored.lock().unwrap();
        let path = format!("/api/v1/findings/{DEVICE}/{}/mute", "d".repeat(64));
        assert!(stored.contains_key("/api/v1/findings/groups/g-0123456789ab/allow"));
        serde_json::from_slice(&stored[&path]).unwrap()
    };
    assert_eq!(sent, json!({"reason": "the new server of the pharmacy", "until": until}));
    assert_eq!(hide("mute", "f-ffffffffffff").0, 1);
    let list = done(desk.online(&server, &["findings", "list"]));
    assert!(list.contains("Only this one of 41 VP-3 reported it.") && list.contains("2026-11-21"), "{list}");
}

#[test]
fn a_visit_is_announced_with_its_devices_and_its_time() {
    // Goal: maintenance is announced from a script. Method: announce; what was sent and printed.
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    let (server, stored) = server::start(&json!({"id": "v-01020304", "devices": 12}).to_string());
    let announce = ["visits", "announce", "--devices", "ward=ICU 2", "--who", "K. Lang", "--until"];
    let rest = ["2027-03-01T00:00:00Z", "--reason", "battery exchange"];
    let said = done(desk.online(&server, &[&announce[..], &rest[..]].concat()));
    assert_eq!(said, "v-01020304 is announced; it covers 12 devices now\n");
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/visits"]).unwrap();
    assert_eq!((&sent["filter"], &sent["from"]), (&json!(["ward=ICU 2"]), &Value::Null));
}
