//! Tests of the API as people's tools speak it: the router in memory, over a whole server.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::fields::decode_hex;
use cordon_proto::ids::{HardwareId, TokenId};
use cordon_proto::merkle::{Consistency, Hash, Inclusion, leaf_hash};
use cordon_server_core::audit::export::Examination;
use cordon_server_core::change::{Commit, Key};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::app::ApiToken;
use crate::example::ExampleDirector;
use crate::testing::{Bench, person, text};

mod contacts;
mod drafts;
mod evidence;
mod feeds;
mod findings;
mod identities;
mod import;
mod receipts;
mod risk;
mod rollouts;
mod sboms;
mod shelf;

/// A server, its API, and two tokens.
struct Api {
    bench: Bench,
    router: Router,
}

impl Api {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(sets: &[&str]) -> Self {
        let bench = Bench::start(sets).await;
        let app = bench.app().clone();
        for scope in ["*", "read"] {
            let (v, created) = (1, app.clock.now());
            let token =
                ApiToken { v, name: text(scope), scopes: vec![scope.to_owned()], created, expires: None };
            let key = Key::ApiToken(TokenId::of(scope));
            app.commit(Commit::draft(created, person()).put(key, token.to_body())).await.expect("commits");
        }
        let repositories = Repositories::new(app.store.clone(), app.online.clone());
        let now = app.clock.now();
        let rollouts = Rollouts::load(app.store.clone(), repositories.clone(), now).await.expect("loads");
        rollouts.belong_to(&app);
        let router = router(Operator { app, rollouts, repositories });
        Self { bench, router }
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: Vec<u8>) -> (StatusCode, Value) {
        let request =
            Request::builder().method(method).uri(path).header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.body(Body::from(body)).expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("answers");
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        (parts.status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The bytes of an answer to an administrator's question.
    async fn file(&self, path: &str, ask: Value) -> Vec<u8> {
        let request = Request::builder().method("POST").uri(path).header(AUTHORIZATION, "Bearer *");
        let request = request.body(Body::from(ask.to_string())).expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("answers");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.into_body().collect().await.expect("a body").to_bytes().to_vec()
    }

    /// The lines of an answer that is no single document.
    async fn lines(&self, path: &str) -> Vec<Value> {
        let request = Request::builder().uri(path).header(AUTHORIZATION, "Bearer read").body(Body::empty());
        let answer = self.router.clone().oneshot(request.expect("a request")).await.expect("answers");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        self.ask("POST", path, token, body.to_string().into_bytes()).await
    }
}

#[test]
fn what_the_document_says_is_in_a_path_is_in_that_path_and_the_rest_is_in_the_query() {
    // Goal: a program made from the document puts each parameter where the server reads it. Method: all of them.
    let document: Value = serde_json::from_str(&openapi()).expect("JSON");
    let (mut in_path, mut in_query) = (0, 0);
    for (path, item) in document["paths"].as_object().expect("paths") {
        let operations = item.as_object().expect("operations").values();
        for parameter in operations.filter_map(|operation| operation["parameters"].as_array()).flatten() {
            let named = path.contains(&format!("{{{}}}", parameter["name"].as_str().expect("a name")));
            let place = if named { "path" } else { "query" };
            assert_eq!(parameter["in"], place, "{path}: {parameter}");
            *(if named { &mut in_path } else { &mut in_query }) += 1;
        }
    }
    assert!(in_path > 20 && in_query > 20, "{in_path} in paths, {in_query} in queries");
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_and_a_reader_changes_nothing() {
    // Goal: one door. Method: guess, reader and administrator, looking and changing.
    let api = Api::start().await;
    api.bench.enrol("VP3-1").await;
    let hold = json!({"covers": {"kind": "site", "name": "St. Anna"}, "reason": "the site moves tonight"});
    assert_eq!(api.ask("GET", "/api/v1/devices", "guess", vec![]).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(api.post("/api/v1/holds", "guess", hold.clone()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(api.ask("GET", "/api/v1/devices", "read", vec![]).await.0, StatusCode::OK);
    let (status, problem) = api.post("/api/v1/holds", "read", hold.clone()).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("not_allowed")));
    assert_eq!(api.post("/api/v1/holds", "*", hold).await.0, StatusCode::CREATED);
    let (_, holds) = api.ask("GET", "/api/v1/holds", "read", vec![]).await;
    assert_eq!(holds["holds"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_root_with_an_example_key_is_refused_before_anything_is_stored() {
    // Goal: keys that everybody has steer no fleet. Method: the example director's own root.
    let api = Api::start().await;
    let now = api.bench.app().clock.now();
    let example = ExampleDirector::sign(now);
    let (status, problem) =
        api.ask("PUT", "/api/v1/repositories/director/1.root.json", "*", example.root).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("example_key")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("cordonctl keys generate")));
    let stored = api.ask("GET", "/api/v1/repositories/director/1.root.json", "*", vec![]).await;
    assert_eq!(stored.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_act_on_a_device_needs_a_reason_and_stands_in_the_journal() {
    // Goal: who, what and why. Method: quarantine without and with a reason, again, and an unknown device.
    let api = Api::start().await;
    let device = api.bench.enrol("VP3-1").await.id;
    let path = format!("/api/v1/devices/{device}/quarantine");
    let (status, problem) = api.post(&path, "*", json!({"reason": "short"})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("reason_missing")));
    let (status, view) = api.post(&path, "*", json!({"reason": "it calls an unknown address"})).await;
    assert_eq!((status, &view["state"]), (StatusCode::OK, &json!("quarantined")));
    assert_eq!(
        api.post(&path, "*", json!({"reason": "it calls an unknown address"})).await.0,
        StatusCode::CONFLICT
    );
    let (_, journal) = api.ask("GET", "/api/v1/audit?limit=1", "*", vec![]).await;
    assert_eq!(journal["entries"][0]["reason"], json!("it calls an unknown address"));
    let nobody = "/api/v1/devices/00000000-0000-4000-8000-000000000000/quarantine";
    assert_eq!(
        api.post(nobody, "*", json!({"reason": "it calls an unknown address"})).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn lifting_a_hold_needs_a_reason_as_setting_it_does() {
    // Goal: the journal says why devices may reboot again. Method: DELETE without a body, with a short reason, with a
    // good one; the holds and the journal.
    let api = Api::start().await;
    api.bench.enrol("VP3-1").await;
    let hold = json!({"covers": {"kind": "site", "name": "St. Anna"}, "reason": "the site moves tonight"});
    let (_, set) = api.post("/api/v1/holds", "*", hold).await;
    let path = format!("/api/v1/holds/{}", set["id"].as_str().expect("a name"));
    let lift = async |body: &str| api.ask("DELETE", &path, "*", body.as_bytes().to_vec()).await;
    assert_eq!(lift("").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(lift(r#"{"reason": "done"}"#).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let holds = async || api.ask("GET", "/api/v1/holds", "read", vec![]).await.1["holds"].clone();
    assert_eq!(holds().await.as_array().map(Vec::len), Some(1));
    assert_eq!(lift(r#"{"reason": "the site has moved"}"#).await.0, StatusCode::NO_CONTENT);
    assert_eq!(holds().await, json!([]));
    let (_, journal) = api.ask("GET", "/api/v1/audit?limit=1", "*", vec![]).await;
    let entry = &journal["entries"][0];
    assert_eq!((&entry["action"], &entry["reason"]), (&json!("hold.end"), &json!("the site has moved")));
    let gone = lift(r#"{"reason": "the site has moved"}"#).await;
    assert_eq!(gone.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rollout_may_name_thousands_of_devices() {
    // Goal: a list for a whole hospital is read. Method: 20,000 identities, of which none is enrolled.
    let api = Api::start().await;
    let members: Vec<String> = (0..20_000_u32)
        .map(|n| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            HardwareId(bytes).to_string()
        })
        .collect();
    let ask =
        json!({"id": "r", "title": "all", "waves": [{"name": "one", "order": "o", "members": members}]});
    let (status, problem) = api.post("/api/v1/rollouts", "*", ask).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("not_enrolled")));
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("is enrolled here")),
        "{problem}"
    );
}

#[tokio::test]
async fn the_sealed_log_is_served_as_it_is_stored_with_proofs_that_hold() {
    // Goal: an auditor needs nothing but these answers. Method: seal the journal of a new server, read head, heads,
    // export and both proofs, and check them with the ground's own code; ask for what is not there.
    let api = Api::start().await;
    let app = api.bench.app();
    for n in 0..3 {
        api.bench.token(&format!("P{n}")).await;
        app.audit.seal(app.clock.now_ms()).await.expect("sealed");
    }
    let kept = app.audit.heads(0).await.expect("read");
    let bytes = async |path: &str| {
        let request = Request::builder().uri(format!("/api/v1/audit/{path}"));
        let request = request.header(AUTHORIZATION, "Bearer read").body(Body::empty()).expect("a request");
        let answer = api.router.clone().oneshot(request).await.expect("answers");
        (answer.status(), answer.into_body().collect().await.expect("a body").to_bytes().to_vec())
    };
    let head = SignedHead::parse(&bytes("head").await.1).expect("a head");
    let heads = bytes("heads").await.1;
    let export = bytes(&format!("export?size={}", head.size())).await.1;
    let mut check = Examination::default();
    for line in [export, heads].concat().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        check.line(line);
    }
    let verified = check.finish(&kept[..1], None).expect("as it was sealed");
    assert_eq!((verified.entries, &verified.head), (head.size(), &head));
    let (first, second) = (kept[0].size(), head.size());
    let (_, proof) = api
        .ask("GET", &format!("/api/v1/audit/proof/consistency?from={first}&to={second}"), "read", vec![])
        .await;
    let path = path_of(&proof);
    assert!(Consistency { first, second, path }.proves(&kept[0].head().root, &head.head().root));
    let (_, proof) = api
        .ask("GET", &format!("/api/v1/audit/proof/inclusion?sequence=1&size={second}"), "read", vec![])
        .await;
    let entry = app.store.get(Key::Audit(1)).await.expect("read").expect("there").body;
    let inclusion = Inclusion { index: 0, size: second, path: path_of(&proof) };
    assert!(inclusion.proves(&leaf_hash(&entry), &head.head().root));
    for path in [
        "proof/inclusion?sequence=1&size=999",
        "proof/inclusion?sequence=0&size=1",
        "proof/consistency?from=1&to=999",
    ] {
        assert_eq!(bytes(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let (_, page) = api.ask("GET", "/api/v1/audit", "read", vec![]).await;
    assert_eq!((page["sealed"].as_u64(), page["entries"][0]["sealed"].as_bool()), (Some(second), Some(true)));
}

fn path_of(proof: &Value) -> Vec<Hash> {
    let path: Vec<String> = serde_json::from_value(proof["path"].clone()).expect("texts");
    let hash = |text: &String| decode_hex(text).and_then(|bytes| bytes.try_into().ok()).expect("a hash");
    path.iter().map(hash).collect()
}

#[tokio::test]
async fn a_hold_that_covers_nobody_is_refused_and_one_that_covers_somebody_says_how_many() {
    // Goal: nobody relies on a hold with a typing mistake in it. Method: a ward without its site, a ward that is there.
    let api = Api::start().await;
    for serial in ["VP3-1", "VP3-2"] {
        api.bench.enrol(serial).await;
    }
    let set = async |name: &str| {
        let hold = json!({"covers": {"kind": "ward", "name": name}, "reason": "the ward moves tonight"});
        api.post("/api/v1/holds", "*", hold).await
    };
    let (status, problem) = set("ICU 2").await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("holds_nothing")));
    let (status, held) = set("St. Anna/ICU 2").await;
    assert_eq!(
        (status, &held["devices"], &held["covers"]["kind"]),
        (StatusCode::CREATED, &json!(2), &json!("ward"))
    );
    let (_, holds) = api.ask("GET", "/api/v1/holds", "read", vec![]).await;
    assert_eq!(holds["holds"].as_array().map(Vec::len), Some(1));
}

#[test]
fn stopping_needs_less_than_changing_and_ending_a_hold_or_resuming_does_not() {
    // Goal: a clinical engineer stops, and starts nothing again. Method: the acts of rollouts and holds, by method.
    let post = |path: &str| access_of(&Method::POST, path);
    for path in ["/api/v1/rollouts/r/stop", "/api/v1/rollouts/r/pause", "/api/v1/holds"] {
        assert_eq!(post(path), Access::Stop, "{path}");
        assert_eq!(access_of(&Method::GET, path), Access::Read, "{path}");
        assert_eq!(access_of(&Method::DELETE, path), Access::Change, "{path}");
    }
    for path in [
        "/api/v1/rollouts",
        "/api/v1/rollouts/stop",
        "/api/v1/rollouts/r/resume",
        "/api/v1/rollouts/r/back",
        "/api/v1/rollouts/r/stop/",
        "/api/v1/holds/h",
    ] {
        assert_eq!(post(path), Access::Change, "{path}");
    }
}
