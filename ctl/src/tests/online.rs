//! The half that asks a server: what is sent, in which order, and what is never taken from the answer.

use super::*;

/// Answers by method and path, and remembers every upload.
pub(super) mod server {
    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    pub(in crate::tests) type Stored = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

    /// A server that keeps what is PUT, gives it back on GET, and answers every POST with `posted`.
    pub(in crate::tests) fn start(posted: &str) -> (String, Stored) {
        let posted = posted.to_owned();
        start_with(move |_| posted.clone())
    }

    /// The same, with an answer to each POST's body.
    pub(in crate::tests) fn start_with(
        mut posted: impl FnMut(&[u8]) -> String + Send + 'static,
    ) -> (String, Stored) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stored = Stored::default();
        let shared = Arc::clone(&stored);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &shared, &mut posted);
            }
        });
        (address, stored)
    }

    fn answer(mut stream: TcpStream, stored: &Stored, posted: &mut dyn FnMut(&[u8]) -> String) {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
        let (head, body) = loop {
            let read = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..read]);
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                break (head, bytes[end + 4..].to_vec());
            }
        };
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
        let (status, answer) = match method {
            "PUT" => {
                stored.lock().unwrap().insert(path, body);
                (200, b"{}".to_vec())
            }
            "POST" => {
                let answer = posted(&body).into_bytes();
                stored.lock().unwrap().insert(path, body);
                (201, answer)
            }
            _ => {
                stored.lock().unwrap().get(&path).cloned().map_or((404, b"{}".to_vec()), |bytes| (200, bytes))
            }
        };
        // A server tells the time where a test gave it one.
        let date = stored.lock().unwrap().get("date").cloned().unwrap_or_default();
        let date = String::from_utf8(date).unwrap();
        let head = format!(
            "HTTP/1.1 {status} x\r\n{date}content-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        stream.write_all(&[head.as_bytes(), &answer].concat()).unwrap();
    }
}

impl Desk {
    pub(super) fn online(&self, server: &str, arguments: &[&str]) -> Outcome {
        let token = self.file("token", b"secret");
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let token = token.to_str().unwrap();
        cordonctl(&[&["--server", server, "--token-file", token], arguments].concat())
    }
}

#[test]
fn publishing_sends_every_file_once_and_the_timestamp_last() {
    // Goal: a server has what people signed, byte for byte. Method: a server that keeps files; publish twice each.
    let desk = Desk::stocked();
    desk.two_signers();
    let (server, stored) = server::start("");
    let [director, image] = [desk.path("director"), desk.path("image")];
    let publish_image = || desk.online(&server, &["repo", "publish", "--image", &image, "--name", "halden"]);
    let sent = done(publish_image());
    assert!(sent.trim().ends_with("timestamp.json"), "{sent}");
    assert!(done(publish_image()).contains("has it all"));
    let publish = || desk.online(&server, &["repo", "publish", "--director", &director]);
    assert_eq!(done(publish()), "sent 1.root.json, 1.targets.json, 1.orders.json\n");
    assert!(done(publish()).contains("has it all"));
    let stored = stored.lock().unwrap();
    for (path, file) in [
        ("director/1.orders.json", "director/1.orders.json"),
        ("image/halden/3.vp-3.json", "image/3.vp-3.json"),
        ("image/halden/timestamp.json", "image/timestamp.json"),
    ] {
        let bytes = std::fs::read(desk.folder.path().join(file)).unwrap();
        assert_eq!(stored.get(&format!("/api/v1/repositories/{path}")), Some(&bytes), "{path}");
    }
    let sha256 = Sha256::of(b"firmware 4.2.2");
    assert_eq!(stored[&format!("/api/v1/targets/{sha256}")], b"firmware 4.2.2");
}

#[test]
fn an_enrolment_string_carries_the_hash_of_the_persons_own_root() {
    // Goal: a server cannot choose the director. Method: an answer that offers another root; a rollout of the list.
    let desk = Desk::stocked();
    let answer = serde_json::json!({
        "id": "x", "token": "A".repeat(43), "expires": "2030-01-01T00:00:00Z", "host": "cordon.example",
        "enrolment_port": 8444, "device_port": 8443, "ca_pin": "0".repeat(64), "director_root": "1".repeat(64),
    });
    let (server, stored) = server::start(&answer.to_string());
    let root = desk.path("director/1.root.json");
    let create = [
        "--output",
        "json",
        "tokens",
        "create",
        "--model",
        "VP-3",
        "--serial",
        "1",
        "--director-root",
        &root,
    ];
    let made: Value = serde_json::from_str(&done(desk.online(&server, &create))).unwrap();
    let string: cordon_proto::enrol::EnrolmentString =
        made["enrolment_string"].as_str().unwrap().parse().unwrap();
    assert_eq!(string.director_root, Sha256::of(&std::fs::read(&root).unwrap()));
    assert_eq!(stored.lock().unwrap()["/api/v1/tokens"], br#"{"model":"VP-3","serial":"1"}"#);
    desk.waves();
    let wave = format!("first=vp3-422-1={}", desk.path("wave1.tsv"));
    done(desk.online(
        &server,
        &["rollouts", "create", "--id", "r", "--title", "t", "--wave", &wave, "--soak-s", "5"],
    ));
    let asked: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/rollouts"]).unwrap();
    assert_eq!(asked["waves"][0]["members"], serde_json::json!([hardware("1").to_string()]));
    assert_eq!((asked["waves"][0]["order"].as_str(), asked["soak_s"].as_u64()), (Some("vp3-422-1"), Some(5)));
    let id = "00000000-0000-4000-8000-000000000000";
    done(desk.online(&server, &["devices", "quarantine", id, "--reason", "seen in the car park"]));
    done(desk.online(&server, &["rollouts", "halt", "r", "--reason", "looks odd to me"]));
    let stored = stored.lock().unwrap();
    assert_eq!(stored[&format!("/api/v1/devices/{id}/quarantine")], br#"{"reason":"seen in the car park"}"#);
    assert!(stored.contains_key("/api/v1/rollouts/r/stop"));
}

#[test]
fn one_list_is_split_into_waves_and_the_whole_list_goes_along_once() {
    // Goal: several waves under one order. Method: five devices in three sizes; what was sent; each wrong use.
    let desk = Desk::new();
    let (server, stored) = server::start("{}");
    let lines: String = (1..=5).map(|n| format!("Halden\tVP-3\tVP3-{n}\n")).collect();
    let list = desk.file("list.tsv", lines.as_bytes());
    let wave = format!("pumps=o-1={}", list.display());
    let create = ["rollouts", "create", "--id", "r-1", "--title", "VP-3", "--wave", &wave];
    let sized =
        [&create[..], &["--waves", "1,40%,rest", "--priority", "700", "--accept-per-wave", "2"]].concat();
    done(desk.online(&server, &sized));
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/rollouts"]).unwrap();
    let count = |pointer: &str| sent.pointer(pointer).and_then(Value::as_array).map(Vec::len);
    assert_eq!([0, 1, 2].map(|n| count(&format!("/waves/{n}/part"))), [Some(1), Some(2), Some(2)]);
    assert_eq!([0, 1, 2].map(|n| count(&format!("/waves/{n}/members"))), [Some(5), None, None]);
    assert_eq!(sent["waves"][2]["name"], "pumps 3");
    assert_eq!((&sent["priority"], &sent["acceptance"]["per_wave"]), (&Value::from(700), &Value::from(2)));
    for sizes in ["2", "0,rest", "half"] {
        misused(desk.online(&server, &[&create[..], &["--waves", sizes]].concat()));
    }
    let told =
        misused(desk.online(&server, &[&create[..], &["--waves", "group:St. Anna/ICU 2,rest"]].concat()));
    assert!(told.contains("`order plan --waves`"), "{told}");
}

#[test]
fn every_limit_of_a_rollout_can_be_said_on_the_command_line() {
    // Goal: no limit only for who writes JSON. Method: when a wave is done, and that each device is looked at; none said.
    let desk = Desk::new();
    let (server, stored) = server::start("{}");
    let create = ["rollouts", "create", "--id", "r-1", "--title", "VP-3", "--wave", "first=facts-1"];
    let limits = ["--unreached-after-s", "1", "--waiting-after-s", "2", "--least-confirmed-permille", "3"];
    let limits = [&limits[..], &["--least-confirmed", "4", "--accept-every"]].concat();
    done(desk.online(&server, &[&create[..], &limits].concat()));
    let sent = || serde_json::from_slice::<Value>(&stored.lock().unwrap()["/api/v1/rollouts"]).unwrap();
    let advance = serde_json::json!({
        "unreached_after_s": 1, "waiting_after_s": 2, "least_confirmed_permille": 3, "least_confirmed": 4,
    });
    assert_eq!((&sent()["advance"], &sent()["acceptance"]["kind"]), (&advance, &"every".into()));
    done(desk.online(&server, &create));
    assert_eq!((sent().get("advance"), sent().get("acceptance")), (None, None));
}

#[test]
fn people_act_on_rollouts_and_holds_with_a_reason() {
    // Goal: the acts reach their addresses. Method: each act once; what was sent.
    let desk = Desk::new();
    let (server, stored) = server::start("{}");
    let view =
        br#"{"id": "r-1", "state": "running", "rollout": {"state": {"kind": "running"}}, "waves": []}"#;
    stored.lock().unwrap().insert("/api/v1/rollouts/r-1".to_owned(), view.to_vec());
    for (command, act) in [
        ("pause", "pause"),
        ("halt", "stop"),
        ("resume", "resume"),
        ("abort", "abort"),
        ("back", "back"),
        ("finish", "finish"),
    ] {
        done(desk.online(&server, &["rollouts", command, "r-1", "--reason", "the ward moves tonight"]));
        let sent = stored.lock().unwrap()[&format!("/api/v1/rollouts/r-1/{act}")].clone();
        assert!(String::from_utf8_lossy(&sent).contains("the ward moves tonight"), "{command}");
    }
    let listed = br#"{"holds": [{"id": "h-1", "covers": {"kind": "site", "name": "St. Anna"}}],
        "lapsed": [{"id": "h-2", "covers": {"kind": "model", "name": "VP-3"}, "until": 1795251906}]}"#;
    stored.lock().unwrap().insert("/api/v1/holds".to_owned(), listed.to_vec());
    let told = done(desk.online(&server, &["holds", "list"]));
    let lines: Vec<Vec<&str>> = told.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..4], ["h-1", "holds", "site", "St."], "{told}");
    assert_eq!(lines[1][..5], ["h-2", "lapsed", "model", "VP-3", "2026-11-21T09:05:06Z"], "{told}");
    let hold = ["holds", "set", "--ward", "St. Brigid/4B", "--until", "2026-11-23T06:00:00Z"];
    done(desk.online(&server, &[&hold[..], &["--reason", "the ward moves tonight"]].concat()));
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/holds"]).unwrap();
    assert_eq!((&sent["covers"]["kind"], &sent["until"]), (&"ward".into(), &"2026-11-23T06:00:00Z".into()));
}

#[test]
fn the_calendar_is_told_by_ward_and_day_and_what_stands_still_is_said() {
    // Goal: a ward's nights without a browser. Method: two wards, one of a paused rollout; closed days are left out.
    let desk = Desk::new();
    let (server, stored) = server::start("{}");
    let day = |open: Value, counts: [u32; 4]| {
        let [devices, held, still, later] = counts;
        serde_json::json!({"open": open, "devices": devices, "held": held, "still": still, "later": later})
    };
    let night = serde_json::json!([[0, 300], [1320, 1440]]);
    let answer = serde_json::json!({"from": "2026-11-22T14:00:00Z", "wards": [
        {"site": "St. Brigid", "ward": "4B", "rollouts": ["r-1", "r-2"], "still": ["r-2"],
            "days": [day(night.clone(), [2, 0, 1, 4]), day(serde_json::json!([]), [0; 4])]},
        {"site": "St. Anna", "ward": "ICU", "rollouts": ["r-1"], "still": [],
            "days": [day(serde_json::json!([]), [0; 4]), day(night, [0, 7, 0, 0])]},
    ]});
    let path = "/api/v1/rollouts/calendar?days=2".to_owned();
    stored.lock().unwrap().insert(path, answer.to_string().into_bytes());
    let told = done(desk.online(&server, &["rollouts", "calendar", "--days", "2"]));
    let lines: Vec<String> =
        told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let wanted = [
        "DAY WARD OPEN DEVICES HELD STILL LATER ROLLOUTS",
        "2026-11-22 St. Brigid/4B 00:00-05:00, 22:00-24:00 2 0 1 4 r-1, r-2 (stands still)",
        "2026-11-23 St. Anna/ICU 00:00-05:00, 22:00-24:00 0 7 0 0 r-1",
    ];
    assert_eq!(lines, wanted, "{told}");
}

#[test]
fn the_devices_of_a_rollout_are_listed_page_by_page_by_what_is_asked() {
    // Goal: ten thousand devices are read in pieces. Method: two pages by wave and stage; what is shown of both.
    let desk = Desk::new();
    let (server, stored) = server::start("{}");
    let page = |device: &str, next: Value| {
        let row = serde_json::json!({"device": device, "wave": 2, "stage": "waiting", "code": "interlock"});
        serde_json::json!({"devices": [row], "next": next}).to_string().into_bytes()
    };
    let path = "/api/v1/rollouts/r-1/devices?wave=2&stage=waiting";
    stored.lock().unwrap().insert(path.to_owned(), page("first", "first".into()));
    stored.lock().unwrap().insert(format!("{path}&after=first"), page("second", Value::Null));
    let asked = ["rollouts", "devices", "r-1", "--wave", "2", "--stage", "waiting"];
    let told = done(desk.online(&server, &asked));
    for word in ["first", "second", "interlock"] {
        assert!(told.contains(word), "{told}");
    }
    let told = done(desk.online(&server, &[&asked[..], &["--most", "1"]].concat()));
    assert!(!told.contains("second"), "{told}");
}

#[test]
fn a_wave_of_an_order_by_facts_may_take_in_who_comes_later() {
    // Goal: which wave is said by its name. Method: two waves, the second takes in; a name that no wave has.
    let desk = Desk::new();
    let (server, stored) = server::start("{}");
    let create = ["rollouts", "create", "--id", "r-1", "--title", "VP-3"];
    let waves = ["--wave", "first=facts-1", "--wave", "rest=facts-2"];
    done(desk.online(&server, &[&create[..], &waves, &["--joins", "rest"]].concat()));
    let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/rollouts"]).unwrap();
    assert_eq!((sent["waves"][0].get("joins"), &sent["waves"][1]["joins"]), (None, &Value::Bool(true)));
    misused(desk.online(&server, &[&create[..], &waves, &["--joins", "others"]].concat()));
}

#[test]
fn receipts_are_fetched_page_by_page_into_the_file_that_order_verify_reads() {
    // Goal: no page is lost, and a server that sends the same again does not go on for ever. Method: two pages and the
    // end; then a server whose second page is its first.
    let desk = Desk::new();
    let (server, stored) = server::start("{}");
    let line = |after: &str| format!("{{\"after\":\"{after}\",\"certificate\":\"c\",\"receipt\":\"r\"}}\n");
    let page = |after: &str, lines: &str| {
        let path = format!("/api/v1/receipts?order=o-1{after}");
        stored.lock().unwrap().insert(path, lines.as_bytes().to_vec());
    };
    page("", &(line("a.1") + &line("b.2")));
    page("&after=b.2", &line("c.3"));
    page("&after=c.3", "");
    let out = desk.path("receipts.jsonl");
    let export = ["receipts", "export", "--order", "o-1", "--out", &out];
    let told = done(desk.online(&server, &export));
    assert!(told.contains("with 3 receipts for o-1") && told.contains("order verify --receipts"), "{told}");
    let written = std::fs::read_to_string(&out).unwrap();
    assert_eq!(written, line("a.1") + &line("b.2") + &line("c.3"));
    page("&after=b.2", &line("b.2"));
    assert!(refused(desk.online(&server, &export)).contains("the same receipts again"));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), written, "what was there stays");
}

#[test]
fn a_pack_is_asked_for_by_one_thing_and_written_as_it_came() {
    // Goal: the file is the server's answer, byte for byte. Method: by rollout; then nothing, and two things at once.
    let desk = Desk::new();
    let (server, stored) = server::start("{\"_type\":\"evidence\"}\n");
    let out = desk.path("evidence.jsonl");
    let pack = |more: &[&str]| desk.online(&server, &[&["evidence", "pack", "--out", &out], more].concat());
    let told = done(pack(&["--rollout", "r-1"]));
    assert!(told.contains("with 1 lines") && told.contains("evidence verify --pack"), "{told}");
    assert_eq!(std::fs::read(&out).unwrap(), b"{\"_type\":\"evidence\"}\n");
    assert_eq!(stored.lock().unwrap()["/api/v1/evidence"], br#"{"rollout":"r-1"}"#);
    assert!(misused(pack(&[])).contains("give one of --order"));
    assert!(misused(pack(&["--order", "o-1", "--release", "vp-3/2"])).contains("give one of --order"));
}
