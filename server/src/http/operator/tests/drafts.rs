//! Drafts of orders as people's tools hand them on, and what ends as they ask for it.

use cordon_proto::canonical::Value as Signed;
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author;
use cordon_proto::update::draft::{Draft, Intent, document};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;

use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn order(id: &str, now: Timestamp) -> Order {
    Order {
        id: name(id),
        repository: name("halden"),
        image: Image { release: "vp-3/4.2.2".parse().expect("a path"), length: 9, sha256: Sha256([1; 32]) },
        scope: Scope::Set { root: Sha256([2; 32]), count: 1 },
        issued: now,
        not_before: now,
        expires: now.plus_seconds(86_400),
        windows: Vec::new(),
        back: None,
        permit_s: Some(900),
        reason: text("closes a hole"),
    }
}

/// A draft of one order over `base`, as a tool writes it.
fn ask(id: &str, base: u64, now: Timestamp) -> Value {
    let expires = now.plus_seconds(30 * 86_400);
    let draft = Draft {
        name: name(id),
        base,
        intents: vec![Intent::Add(order(id, now))],
        expires,
        by: text("ines"),
        made: now,
    };
    let document = author::sign(&author::targets(&document(base + 1, expires, &[order(id, now)])), &[]);
    let json = |value: &Signed| String::from_utf8(value.json()).expect("UTF-8");
    json!({
        "draft": json(&draft.value()),
        "document": String::from_utf8(document).expect("UTF-8"),
        "lists": {id: "Halden\tVP-3\t1\n"},
    })
}

impl Api {
    async fn keep(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask("PUT", path, "*", body.to_string().into_bytes()).await
    }
}

#[tokio::test]
async fn a_draft_is_written_over_what_was_read_or_not_at_all() {
    // Goal: of two who write at once one is told. Method: a new draft, the same name again, the next state over the right
    // and over an old revision, a reader; then the end with a reason; the journal.
    let api = Api::start().await;
    let now = api.bench.app().clock.now();
    let path = "/api/v1/drafts/tuesday";
    let (status, kept) = api.keep(path, &ask("tuesday", 0, now)).await;
    assert_eq!(status, StatusCode::OK, "{kept}");
    assert_eq!(api.keep(path, &ask("tuesday", 0, now)).await.0, StatusCode::CONFLICT, "there is one already");
    let (status, whole) = api.ask("GET", path, "read", vec![]).await;
    assert_eq!(
        (status, &whole["revision"], &whole["adds"]),
        (StatusCode::OK, &kept["revision"], &json!(["tuesday"]))
    );
    assert_eq!(whole["document"], ask("tuesday", 0, now)["document"], "byte for byte");
    let revision = whole["revision"].as_u64().expect("a number");
    let over = |revision: u64| format!("{path}?revision={revision}");
    let (_, next) = api.keep(&over(revision), &ask("tuesday", 3, now)).await;
    assert_ne!(next["revision"], kept["revision"]);
    let late = api.keep(&over(revision), &ask("tuesday", 0, now)).await;
    assert_eq!(late.0, StatusCode::CONFLICT, "somebody was faster");
    let (_, listed) = api.ask("GET", "/api/v1/drafts", "read", vec![]).await;
    assert_eq!((&listed["drafts"][0]["base"], &listed["drafts"][0]["by"]), (&json!(3), &json!("ines")));
    let refused = api.ask("PUT", path, "read", ask("tuesday", 0, now).to_string().into_bytes()).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    let end = async |reason: &str| {
        api.ask("DELETE", path, "*", json!({"reason": reason}).to_string().into_bytes()).await.0
    };
    assert_eq!(end("done").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(end("it was signed on paper").await, StatusCode::NO_CONTENT);
    assert_eq!(end("it was signed on paper").await, StatusCode::NOT_FOUND);
    let (_, journal) = api.ask("GET", "/api/v1/audit?limit=1", "*", vec![]).await;
    assert_eq!(journal["entries"][0]["action"], json!("draft.drop"));
}

#[tokio::test]
async fn what_is_no_draft_is_not_kept_and_a_draft_is_forgotten_after_two_weeks() {
    // Goal: bounded, and of one form. Method: a name, a base, an end, a list that do not fit; one more than there may be;
    // the clock two weeks on.
    let api = Api::start().await;
    let now = api.bench.app().clock.now();
    let good = ask("tuesday", 0, now);
    let other_base = ask("tuesday", 1, now);
    let mut bent = vec![
        json!({"draft": "{}", "document": "{}"}),
        json!({"draft": good["draft"], "document": "{}"}),
        json!({"draft": good["draft"], "document": other_base["document"]}),
        json!({"draft": ask("monday", 0, now)["draft"], "document": good["document"]}),
        json!({"draft": good["draft"], "document": ask("tuesday", 0, now.plus_seconds(60))["document"]}),
    ];
    let mut foreign = good.clone();
    foreign["lists"]["monday"] = json!("Halden\tVP-3\t1\n");
    bent.push(foreign);
    for body in bent {
        let (status, problem) = api.keep("/api/v1/drafts/tuesday", &body).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("draft_refused")),
            "{body}"
        );
    }
    for number in 0..limits::DRAFTS {
        let id = format!("d{number}");
        let (status, told) = api.keep(&format!("/api/v1/drafts/{id}"), &ask(&id, 0, now)).await;
        assert_eq!(status, StatusCode::OK, "{told}");
    }
    let (status, problem) = api.keep("/api/v1/drafts/tuesday", &good).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("32 drafts wait")), "{problem}");
    let clock = &api.bench.clock;
    clock.hold_at(clock.now_ms().plus(limits::DRAFT_DAYS * 86_400 * 1000));
    assert_eq!(api.ask("GET", "/api/v1/drafts/d0", "*", vec![]).await.0, StatusCode::NOT_FOUND);
    let later = api.bench.app().clock.now();
    assert_eq!(
        api.keep("/api/v1/drafts/d0", &ask("d0", 0, later)).await.0,
        StatusCode::OK,
        "over one that is gone"
    );
    let (_, listed) = api.ask("GET", "/api/v1/drafts", "*", vec![]).await;
    assert_eq!(listed["drafts"].as_array().map(Vec::len), Some(1), "those that were forgotten are swept out");
}

#[tokio::test]
async fn what_ends_is_listed_with_who_must_act_the_soonest_first() {
    // Goal: no end comes as a surprise. Method: a hold of three days beside the authorities of a new server; all ends and
    // those that are near; the same a year before the root's end.
    let api = Api::start().await;
    api.bench.enrol("VP3-1").await;
    let now = api.bench.app().clock.now();
    let until = now.plus_seconds(3 * 86_400).to_string();
    let hold = json!({
        "covers": {"kind": "site", "name": "St. Anna"}, "reason": "the site moves tonight", "until": until,
    });
    assert_eq!(api.post("/api/v1/holds", "*", hold).await.0, StatusCode::CREATED);
    let (status, near) = api.ask("GET", "/api/v1/expiries", "read", vec![]).await;
    assert_eq!(status, StatusCode::OK, "{near}");
    let rows = near["expiries"].as_array().expect("a list");
    let holds: Vec<_> = rows.iter().filter(|row| row["what"] == "hold").collect();
    assert_eq!(holds.len(), 1, "{near}");
    assert_eq!(
        (&holds[0]["within"], &holds[0]["days"], &holds[0]["whose"]),
        (&json!(7), &json!(3), &json!("staff"))
    );
    let (_, all) = api.ask("GET", "/api/v1/expiries?all=true", "read", vec![]).await;
    let ends: Vec<_> =
        all["expiries"].as_array().expect("a list").iter().map(|row| row["at"].as_str()).collect();
    assert!(ends.is_sorted() && ends.len() > rows.len(), "{all}");
    let whats: Vec<_> = all["expiries"].as_array().expect("a list").iter().map(|row| &row["what"]).collect();
    assert!(whats.contains(&&json!("authority")), "{all}");
}
