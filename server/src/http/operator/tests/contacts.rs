//! Searching among connections: from what a device tells to an answer, and what the audit log keeps of the question.

use cordon_proto::telemetry::{Batch, Body as Told, Direction, FlowRow, Position, Protocol};
use cordon_proto::time::{Millis, Timestamp};

use super::*;
use crate::testing::Enrolled;

const DAY_MS: i64 = 86_400_000;

/// Tells rows of the hour before, as one batch.
async fn tell(api: &Api, device: &Enrolled, sequence: u64, peers: &[(&str, u16)]) {
    let now = api.bench.clock.now_ms().seconds();
    let records = peers.iter().zip(sequence..).map(|((peer, port), sequence)| {
        let row = FlowRow {
            start: now.plus_seconds(-3600),
            end: now,
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            peer: text(peer),
            port: *port,
            connections: 2,
            bytes_out: 10,
            bytes_in: 5,
            minutes: vec![1],
            known: Some(*port != 4444),
        };
        Told::Flows(row).record(Position { boot: 1, sequence }, Millis(1))
    });
    api.bench.app().telemetry(device.id, Batch { records: records.collect() }).await.expect("stored");
}

fn serials(answer: &Value) -> Vec<&str> {
    answer["devices"].as_array().expect("devices").iter().filter_map(|row| row["serial"].as_str()).collect()
}

#[tokio::test]
async fn who_talked_to_a_peer_since_a_day_is_answered_whole_and_each_question_is_recorded() {
    // Goal: the analyst's question, after a restart and a night. Method: three devices over some days; an address, a name, a
    // network, a port, each from two days on; pages of one; who asks without a reason, and a reader.
    let api = Api::start().await;
    let (a, b, c) = (api.bench.enrol("A").await, api.bench.enrol("B").await, api.bench.enrol("C").await);
    let begin = api.bench.clock.now_ms();
    tell(&api, &a, 1, &[("203.0.113.9", 443), ("time.example.org", 123)]).await;
    tell(&api, &b, 1, &[("203.0.113.9", 4444)]).await;
    tell(&api, &c, 1, &[("192.0.2.1", 443), ("others", 0)]).await;
    api.bench.clock.hold_at(begin.plus(4 * DAY_MS));
    tell(&api, &a, 3, &[("203.0.113.9", 443)]).await;
    tell(&api, &c, 3, &[("203.0.113.77", 443)]).await;
    let since = |days: i64| begin.plus(days * DAY_MS).seconds().to_string();
    let ask = async |fields: Value| {
        let mut body = json!({"reason": "an address of the botnet"});
        body.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
        let (status, answer) = api.post("/api/v1/contacts/search", "read", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    };
    let all = ask(json!({"peer": "203.0.113.9"})).await;
    assert_eq!((serials(&all).len(), &all["likely"], &all["unnamed"]), (2, &json!(2), &json!(1)), "{all}");
    let of_a = all["devices"].as_array().expect("rows").iter().find(|row| row["serial"] == "A").expect("A");
    assert_eq!(
        (&of_a["connections"], &of_a["bytes_out"], &of_a["opened_by"]),
        (&json!(4), &json!(20), &json!("device"))
    );
    assert_eq!((&of_a["services"], &of_a["is_new"]), (&json!(["443/tcp"]), &json!(false)));
    assert_eq!(serials(&ask(json!({"peer": "203.0.113.9", "since": since(2)})).await), ["A"]);
    assert_eq!(serials(&ask(json!({"peer": "203.0.113.9", "until": since(2)})).await).len(), 2);
    assert_eq!(serials(&ask(json!({"peer": "example.org"})).await), ["A"]);
    assert_eq!(serials(&ask(json!({"peer": "203.0.113.0/24"})).await).len(), 3);
    let new = ask(json!({"port": "4444"})).await;
    assert_eq!((serials(&new), &new["devices"][0]["is_new"]), (vec!["B"], &json!(true)));
    assert!(serials(&ask(json!({"peer": "203.0.113.9", "port": "4444/udp"})).await).is_empty());
    let (mut paged, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = ask(json!({"peer": "203.0.113.0/24", "limit": 1, "after": after})).await;
        paged.extend(serials(&page).into_iter().map(str::to_owned));
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    paged.sort();
    assert_eq!(paged, ["A", "B", "C"]);
    for (body, code) in [
        (json!({"peer": "203.0.113.9"}), "reason_missing"),
        (json!({"reason": "an address of the botnet"}), "bad_search"),
        (json!({"reason": "an address of the botnet", "port": "1", "since": "Friday"}), "bad_search"),
        (json!({"reason": "an address of the botnet", "port": "1", "since": "2999-01-01"}), "bad_search"),
    ] {
        let (status, problem) = api.post("/api/v1/contacts/search", "read", body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)), "{problem}");
    }
    let (_, journal) = api.ask("GET", "/api/v1/audit?limit=100", "read", vec![]).await;
    let entries = journal["entries"].as_array().expect("entries");
    let searches: Vec<&Value> = entries.iter().filter(|entry| entry["action"] == "contacts.search").collect();
    assert_eq!(searches.len(), 10, "as many as were answered: {journal}");
    assert!(searches.iter().all(|entry| entry["reason"] == "an address of the botnet"));
    assert!(journal.to_string().contains("203.0.113.9, port 4444/udp, from "), "{journal}");
}

#[tokio::test]
async fn a_device_whose_rows_are_older_than_the_index_is_read_and_not_passed_over() {
    // Goal: an upgrade loses nothing. Method: rows that were stored without an index, of a device that has checked in.
    let api = Api::start().await;
    let device = api.bench.enrol("A").await;
    let member = api.bench.app().fleet.get(device.id).expect("there");
    let request = crate::testing::checkin(&device);
    api.bench.app().checkin(&member, &device.speaker(), &request).await.expect("answered");
    tell(&api, &device, 1, &[("203.0.113.9", 443)]).await;
    let key = Key::Contacts(device.id);
    let draft = Commit::draft(Timestamp(1), person()).delete(key);
    api.bench.app().commit(draft).await.expect("forgotten");
    let body = json!({"peer": "203.0.113.9", "reason": "an address of the botnet"});
    let (_, answer) = api.post("/api/v1/contacts/search", "read", body).await;
    assert_eq!((serials(&answer), &answer["likely"]), (vec!["A"], &json!(0)), "{answer}");
}
