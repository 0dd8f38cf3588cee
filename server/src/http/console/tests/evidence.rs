//! Evidence in the console: a pack as a file for whom the API makes one, the measures, the commands.

use axum::http::StatusCode;
use cordon_server_core::policy::Role;

use super::fixture::Console;
use super::orders::console;
use super::releases::pump_release;
use crate::testing::maker::Bytes;

#[tokio::test]
async fn a_pack_is_asked_for_and_saved_as_a_file() {
    // Goal: what the API gives is a file under a plain name, and what it refuses is said beside the field. Method: a pack of
    // a live order; an order that never was, an advisory, a hostile name; the journal; a kept head, and text that is none.
    let console = console().await;
    console.get("/evidence?by=order&name=0187").await.must("value=\"0187\"").must("evidence verify --pack");
    let pack = console.post("/evidence", &[("by", "order"), ("name", "0187")]).await;
    assert_eq!(pack.status, StatusCode::OK, "{}", pack.read());
    assert_eq!(pack.headers["content-disposition"], "attachment; filename=\"evidence-order-0187.jsonl\"");
    assert_eq!(pack.headers["content-type"], "application/jsonl");
    assert!(pack.text.lines().count() > 4 && pack.text.contains("0187"), "{:.200}", pack.text);
    for (by, name, words) in [
        ("order", "never", "no order was ever published"),
        ("advisory", "CVE-2026-1107", "no advisories were imported"),
        ("order", "\"><script>x", "There is no such order"),
        ("nothing", "0187", "sk by exactly one"),
    ] {
        let refused = console.post("/evidence", &[("by", by), ("name", name)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", refused.read());
        assert!(refused.text.to_lowercase().contains(&words.to_lowercase()), "{name}: {}", refused.read());
        assert!(!refused.has("<script>x"));
    }
    let journal = console.bench.journal().await;
    assert_eq!(journal.iter().filter(|act| act.starts_with("evidence")).count(), 1, "{journal:?}");
    let kept = console.get("/api/v1/audit/head").await.text;
    let with = async |head: &str| {
        console.post("/evidence", &[("by", "order"), ("name", "0187"), ("head", head)]).await
    };
    let pack = with(&kept).await;
    assert!(pack.text.contains("evidence-earlier"), "{:.200}", pack.read());
    let refused = with("{}").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    refused.must("not a head of an audit log");
    console.get("/rollouts").await.must("href=\"/evidence\"");
    console.get("/orders/0187").await.must("/evidence?by=order&");
}

#[tokio::test]
async fn whom_the_api_refuses_a_pack_the_page_refuses_it_too() {
    // Goal: no way round the API's door. Method: a reader and a clinical engineer look, and send the form all the same.
    for role in [Role::Reader, Role::Clinical] {
        let console = Console::with_fleet().await.with_role(role).await;
        let page = console.get("/evidence").await;
        page.must("may look but not ask for a pack");
        assert!(!page.has("Make the pack"));
        let refused = console.post("/evidence", &[("by", "order"), ("name", "0187")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(!console.bench.journal().await.iter().any(|act| act.starts_with("evidence")));
    }
}

#[tokio::test]
async fn the_measures_count_receipts_and_say_what_is_unknown() {
    // Goal: nothing is called patched that did not prove it. Method: the fleet's rollouts, of which two devices confirmed,
    // one rolled back and three said nothing; before their release is taken in, and after.
    let console = console().await;
    console
        .get("/evidence")
        .await
        .must("No release has been rolled out that is known here")
        .must("Unknown on this page");
    let mut kept = Bytes::new();
    console.publish(1, &[pump_release(&mut kept)], &kept).await;
    let page = console.get("/evidence").await;
    page.must("33.3\u{202f}%, 2 of 6").must("vp-3/4.2.2");
}
