//! Tests of the API as people's tools speak it: the router in memory, over a whole server.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use cordon_proto::ids::{HardwareId, TokenId};
use cordon_server_core::change::{Commit, Key};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::app::ApiToken;
use crate::example::ExampleDirector;
use crate::testing::{Bench, person, text};

/// A server, its API, and two tokens.
struct Api {
    bench: Bench,
    router: Router,
}

impl Api {
    async fn start() -> Self {
        let bench = Bench::start(&[]).await;
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

    async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        self.ask("POST", path, token, body.to_string().into_bytes()).await
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_and_a_reader_changes_nothing() {
    // Goal: one door. Method: guess, reader and administrator, looking and changing.
    let api = Api::start().await;
    let hold = json!({"covers": {"kind": "site", "name": "St. Brigid"}, "reason": "the site moves tonight"});
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
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("rollout_refused")));
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("is enrolled here")),
        "{problem}"
    );
}
