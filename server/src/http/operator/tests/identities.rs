//! Tokens for a list of devices, keys that wait for a person, and the history of one identity.

use cordon_proto::ids::{DeviceId, Sha256};
use cordon_server_core::audit::Actor;
use cordon_server_core::device::{Asking, Device, Doubt, DoubtKind, State as Trust};

use super::*;

fn row(serial: &str, secret: &str) -> Value {
    json!({"model": "VP-3", "serial": serial, "ward": "4B", "tags": ["week-47"], "id": TokenId::of(secret).to_string()})
}

#[tokio::test]
async fn a_list_of_eight_hundred_makes_each_token_once() {
    // Goal: IT takes 800 devices in, and a repetition makes nothing. Method: two lists of 400, twice; a spoilt row.
    let api = Api::start().await;
    let lists: Vec<Value> = [0..400, 400..800]
        .map(|part| {
            let rows: Vec<Value> = part.map(|n| row(&format!("VP3-{n}"), &format!("secret {n}"))).collect();
            json!({"tokens": rows})
        })
        .to_vec();
    for outcome in ["made", "kept"] {
        for list in &lists {
            let (status, answer) = api.post("/api/v1/tokens/list", "*", list.clone()).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            let rows = answer["rows"].as_array().expect("rows");
            assert!(rows.len() == 400 && rows.iter().all(|row| row["outcome"] == outcome), "{outcome}");
        }
    }
    let (_, page) = api.ask("GET", "/api/v1/tokens?state=open&limit=500", "read", vec![]).await;
    assert_eq!(page["tokens"].as_array().map(Vec::len), Some(500));
    let next = page["next"].as_str().expect("more").to_owned();
    let (_, rest) = api.ask("GET", &format!("/api/v1/tokens?state=open&after={next}"), "read", vec![]).await;
    assert_eq!((rest["tokens"].as_array().map(Vec::len), &rest["next"]), (Some(300), &Value::Null));
    let expected = api.bench.app().fleet.all().iter().filter(|m| m.device.state == Trust::Expected).count();
    assert_eq!(expected, 800, "people see whom they wait for");
    let whole = api.ask("GET", "/api/v1/tokens?limit=500", "read", vec![]).await.1.to_string();
    let ask = json!({"model": "VP-3", "serial": "VP3-made-here"});
    let (status, made) = api.post("/api/v1/tokens", "*", ask).await;
    let (secret, id) = (made["token"].as_str().expect("a secret"), made["id"].as_str().expect("an id"));
    assert_eq!((status, TokenId::of(secret).to_string().as_str()), (StatusCode::CREATED, id));
    let (_, page) = api.ask("GET", "/api/v1/tokens?serial=VP3-made-here", "read", vec![]).await;
    assert_eq!(page["tokens"][0]["id"], id, "it is listed");
    let (_, journal) = api.ask("GET", "/api/v1/audit?limit=500", "read", vec![]).await;
    for told in [whole, page.to_string(), journal.to_string()] {
        assert!(!told.contains(secret), "a secret is told once");
    }
    api.post(&format!("/api/v1/tokens/{id}/revoke"), "*", json!({"reason": "it was for this test only"}))
        .await;
    let twice = json!({"tokens": [row("A", "one"), row("A", "two")]});
    let (status, problem) = api.post("/api/v1/tokens/list", "*", twice).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("list_refused")));
    let other = json!({"tokens": [row("A", "secret 1")]});
    let (_, answer) = api.post("/api/v1/tokens/list", "*", other).await;
    assert_eq!(answer["rows"][0]["outcome"], "refused", "{answer}");
}

#[tokio::test]
async fn a_token_that_was_taken_back_lets_the_row_draw_another() {
    // Goal: revoking bites and is told apart. Method: make, revoke with and without a reason, send the list again.
    let api = Api::start().await;
    let list = json!({"tokens": [row("A", "first")]});
    api.post("/api/v1/tokens/list", "*", list.clone()).await;
    let path = format!("/api/v1/tokens/{}/revoke", TokenId::of("first"));
    let (status, _) = api.post(&path, "*", json!({"reason": "short"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, view) = api.post(&path, "*", json!({"reason": "the list went to the wrong address"})).await;
    assert_eq!((status, &view["state"]), (StatusCode::OK, &json!("revoked")));
    let (_, answer) = api.post("/api/v1/tokens/list", "*", list).await;
    assert_eq!(answer["rows"][0]["outcome"], "lapsed");
}

impl Api {
    /// A device that has come by its token, and a second key that asks for its identity.
    async fn contested(&self, serial: &str, key: Sha256) -> DeviceId {
        let id = self.bench.enrol(serial).await.id;
        self.change(id, |device| {
            let asking = Asking {
                key,
                at: device.since,
                from: text("10.0.0.9"),
                with: text("nothing"),
                approved: None,
            };
            Device { asking: Some(asking), ..device }
        })
        .await;
        id
    }

    async fn change(&self, id: DeviceId, change: impl FnOnce(Device) -> Device) {
        let app = self.bench.app();
        let device = change(Device::clone(&app.fleet.get(id).expect("enrolled").device));
        let draft = Commit::draft(app.clock.now(), Actor::Server("tests".parse().expect("a name")));
        app.commit(draft.put(Key::Device(id), device.to_body())).await.expect("stored");
    }
}

#[tokio::test]
async fn a_person_approves_a_key_and_no_other() {
    // Goal: whoever swaps the key meanwhile gets nothing. Method: list; a wrong key, none, the right one; by list.
    let api = Api::start().await;
    let (key, other) = (Sha256([7; 32]), Sha256([8; 32]));
    let id = api.contested("VP3-1", key).await;
    let (_, list) = api.ask("GET", "/api/v1/approvals", "read", vec![]).await;
    let view = &list["approvals"][0];
    assert_eq!(
        (view["serial"].as_str(), view["fingerprint"].as_str()),
        (Some("VP3-1"), Some(&*key.to_string()))
    );
    assert_eq!((view["from"].as_str(), view["replaces"].as_bool()), (Some("10.0.0.9"), Some(true)));
    let path = format!("/api/v1/approvals/{id}/approve");
    let ask = |key: String| json!({"fingerprint": key, "reason": "its screen shows this key"});
    let (status, problem) = api.post(&path, "*", ask(other.to_string())).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_possible")));
    let (status, _) = api.post(&path, "*", ask(key.to_string()[..60].to_owned())).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.post(&path, "read", ask(key.to_string())).await.0, StatusCode::FORBIDDEN);
    let digits = key.to_string();
    let grouped = digits.as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two)).collect::<Vec<_>>();
    assert_eq!(api.post(&path, "*", ask(grouped.join(":").to_uppercase())).await.0, StatusCode::NO_CONTENT);
    let device = api.bench.app().fleet.get(id).expect("there").device.clone();
    let approved = device.asking.as_ref().and_then(|asking| asking.approved.clone()).expect("a yes");
    assert!(approved.by.starts_with("token:"), "{}", approved.by);
    let (_, list) = api.ask("GET", "/api/v1/approvals", "read", vec![]).await;
    assert_eq!(list["approvals"], json!([]));
    let second = api.contested("VP3-2", key).await;
    let rows = json!([{"serial": "VP3-2", "fingerprint": key.to_string()},
        {"serial": "VP3-9", "fingerprint": key.to_string()}, {"device": second.to_string(), "fingerprint": other.to_string()}]);
    let deny = json!({"verb": "deny", "reason": "nobody reset this device", "rows": rows});
    let (_, answer) = api.post("/api/v1/approvals", "*", deny).await;
    let outcomes: Vec<_> =
        answer["rows"].as_array().expect("rows").iter().map(|row| row["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("done"), Some("refused"), Some("refused")], "{answer}");
    let device = api.bench.app().fleet.get(second).expect("its identity lives on").device.clone();
    assert_eq!((device.state, &device.asking), (Trust::Active, &None));
}

#[tokio::test]
async fn a_yes_places_whom_nobody_placed_and_moves_nobody() {
    // Goal: one place typed beside several keys is that of the new ones alone, and the journal names it. Method: a placed
    // pump with a second key and a device that came without a word, approved together; the journal; an empty place.
    let api = Api::start_with(&["enrolment.approval_queue=true"]).await;
    let known = api.contested("VP3-1", Sha256([7; 32])).await;
    let before = api.bench.app().fleet.get(known).expect("there").device.clone();
    let key = crate::testing::device_key();
    assert_eq!(api.bench.simpleenroll(&crate::testing::csr("SN-9", &key), None, &[]).await.status, 202);
    let (_, list) = api.ask("GET", "/api/v1/approvals", "read", vec![]).await;
    let waits = list["approvals"].as_array().expect("keys");
    let rows: Vec<Value> = waits
        .iter()
        .map(|view| json!({"device": view["device"], "fingerprint": view["fingerprint"]}))
        .collect();
    assert_eq!(rows.len(), 2);
    let place = json!({"site": "St. Elsewhere", "ward": "9", "kind": "kiosk", "tags": ["loan"]});
    let ask = |place: Value| json!({"verb": "approve", "reason": "read off both screens", "rows": rows, "model": "K-9", "placement": place});
    let (status, problem) = api.post("/api/v1/approvals", "*", ask(json!({"kind": "toaster"}))).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("place_refused")));
    let (_, answer) = api.post("/api/v1/approvals", "*", ask(place)).await;
    assert!(answer["rows"].as_array().expect("rows").iter().all(|row| row["outcome"] == "done"), "{answer}");
    let app = api.bench.app();
    let after = app.fleet.get(known).expect("there").device.clone();
    let stands =
        |device: &Device| (device.hardware.clone(), device.placement.ward.clone(), device.placement.kind);
    assert_eq!(stands(&after), stands(&before));
    assert_eq!(
        (&after.placement.site, &after.placement.impact),
        (&before.placement.site, &before.placement.impact)
    );
    let all = app.fleet.all();
    let new = all.iter().find(|member| member.device.hardware.serial.as_str() == "SN-9").expect("there");
    let place = &new.device.placement;
    assert_eq!((new.device.hardware.model.as_str(), place.site.as_str()), ("K-9", "St. Elsewhere"));
    assert_eq!(place.ward.as_str(), "9");
    let (_, journal) = api.ask("GET", "/api/v1/audit?limit=500", "read", vec![]).await;
    let said = |device: DeviceId| {
        let entries = journal["entries"].as_array().expect("entries");
        let mut of = entries.iter().filter(|entry| entry["object"] == format!("device:{device}"));
        let entry = of.find(|entry| entry["action"] == "device.approve").expect("an entry");
        entry["after"].as_str().expect("a summary").to_owned()
    };
    assert!(
        said(new.id()).ends_with("site St. Elsewhere, ward 9, for use as kiosk, tags loan"),
        "{}",
        said(new.id())
    );
    assert!(said(known).ends_with("as VP-3 VP3-1; said with it: tags loan"), "{}", said(known));
}

#[tokio::test]
async fn a_key_that_waited_too_long_is_approved_no_more() {
    // Goal: a yes is to what stands on the list. Method: a key whose time was over a second ago, over both doors.
    let api = Api::start().await;
    let key = Sha256([7; 32]);
    let id = api.contested("VP3-1", key).await;
    let late = api.bench.clock.now().plus_seconds(cordon_proto::limits::APPROVAL_DAYS * 86_400);
    api.bench.clock.hold_at(late.into());
    let ask = json!({"fingerprint": key.to_string(), "reason": "its screen shows this key"});
    let (status, problem) = api.post(&format!("/api/v1/approvals/{id}/approve"), "*", ask).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_possible")));
    let row = json!({"serial": "VP3-1", "fingerprint": key.to_string()});
    let list = json!({"verb": "approve", "reason": "its screen shows this key", "rows": [row]});
    let (_, answer) = api.post("/api/v1/approvals", "*", list).await;
    assert_eq!(answer["rows"][0]["outcome"], "refused", "{answer}");
    let device = api.bench.app().fleet.get(id).expect("there").device.clone();
    assert!(device.asking.as_ref().is_none_or(|asking| asking.approved.is_none()));
}

#[tokio::test]
async fn deleting_a_token_needs_a_reason_too() {
    // Goal: no act without who and why. Method: DELETE without a body, with a short reason, with a good one.
    let api = Api::start().await;
    let token = api.bench.token("VP3-1").await;
    let path = format!("/api/v1/tokens/{}", token.id);
    let delete = async |body: &str| api.ask("DELETE", &path, "*", body.as_bytes().to_vec()).await;
    assert_eq!(delete("").await.0, StatusCode::BAD_REQUEST);
    let (status, problem) = delete(r#"{"reason": "short"}"#).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("reason_missing")));
    assert!(api.bench.app().token(token.id).await.expect("read").expect("there").revoked.is_none());
    assert_eq!(delete(r#"{"reason": "sent to the wrong ward"}"#).await.0, StatusCode::NO_CONTENT);
    let (_, journal) = api.ask("GET", "/api/v1/audit?limit=1", "*", vec![]).await;
    let entry = &journal["entries"][0];
    assert_eq!(
        (&entry["action"], &entry["reason"]),
        (&json!("token.revoke"), &json!("sent to the wrong ward"))
    );
}

#[tokio::test]
async fn one_answer_reads_a_bounded_stretch_of_a_long_journal() {
    // Goal: nobody makes the server read its whole log. Method: a device, then 4,100 entries of others.
    let api = Api::start().await;
    let id = api.bench.enrol("VP3-1").await.id;
    let app = api.bench.app();
    for _ in 0..41 {
        let mut draft = Commit::draft(app.clock.now(), person());
        for _ in 0..100 {
            let action = "device.find".parse().expect("a name");
            draft = draft.audit(cordon_server_core::audit::Entry::new(action, text("device:other")));
        }
        app.commit(draft).await.expect("stored");
    }
    let history = async |query: &str| {
        let path = format!("/api/v1/devices/{id}/history{query}");
        api.ask("GET", &path, "read", vec![]).await.1
    };
    let newest = history("").await;
    assert_eq!(newest["entries"], json!([]), "the bound was reached");
    let further = newest["next"].as_u64().expect("where to look further");
    let rest = history(&format!("?before={further}")).await;
    assert_eq!(rest["entries"].as_array().map(Vec::len), Some(2), "{rest}");
    let tokens = app.tokens_among(0, |_, _| true).await.expect("read");
    assert!(tokens.is_empty(), "and no more tokens than it was allowed");
}

#[tokio::test]
async fn an_identity_tells_its_history_and_a_doubt_is_cleared_with_a_reason() {
    // Goal: who did what to this identity, newest first. Method: enrol, doubt, clear, quarantine; read; another device.
    let api = Api::start().await;
    let id = api.bench.enrol("VP3-1").await.id;
    api.bench.enrol("VP3-2").await;
    api.change(id, |device| {
        let doubt =
            Doubt { kind: DoubtKind::Overlap, at: device.since, evidence: text("10.0.0.1 and 10.0.0.2") };
        Device { doubt: Some(doubt), ..device }
    })
    .await;
    let (_, shown) = api.ask("GET", &format!("/api/v1/devices/{id}"), "read", vec![]).await;
    assert_eq!(shown["doubt"]["kind"], "overlap");
    let reason = json!({"reason": "one machine with two cards"});
    let clear = format!("/api/v1/devices/{id}/clear-doubt");
    assert_eq!(api.post(&clear, "*", json!({"reason": ""})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.post(&clear, "*", reason.clone()).await.0, StatusCode::OK);
    assert_eq!(api.post(&clear, "*", reason).await.0, StatusCode::CONFLICT);
    api.post(&format!("/api/v1/devices/{id}/quarantine"), "*", json!({"reason": "it calls an unknown host"}))
        .await;
    let (status, history) = api.ask("GET", &format!("/api/v1/devices/{id}/history"), "read", vec![]).await;
    assert_eq!(status, StatusCode::OK);
    let acts: Vec<_> =
        history["entries"].as_array().expect("entries").iter().map(|e| e["action"].as_str()).collect();
    let wanted = ["device.quarantine", "device.clear-doubt", "device.enrol", "token.create"].map(Some);
    assert_eq!(acts, wanted, "{history}");
    assert_eq!(history["entries"][0]["reason"], "it calls an unknown host");
    let certificate = &history["certificates"][0];
    assert_eq!(certificate["standing"], "in-force");
    assert!(certificate["why"].as_str().is_some_and(|why| why.starts_with("token ")), "{certificate}");
    assert_eq!(history["tokens"][0]["state"], "used");
    let farewell = api.ask("GET", &format!("/api/v1/devices/{id}/farewell"), "read", vec![]).await;
    assert_eq!(farewell.0, StatusCode::NOT_FOUND);
}
