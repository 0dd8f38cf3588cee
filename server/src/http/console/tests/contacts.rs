//! Searching among connections in the console: from a finding to everybody who talked to its peer.

use axum::http::StatusCode;
use cordon_server_core::policy::Role;

use super::fixture::{Console, finding_id};

#[tokio::test]
async fn from_a_finding_a_reader_finds_everybody_who_talked_to_its_peer_and_says_why() {
    // Goal: the question after every bad address. Method: the link of a finding, the form that it fills, an answer, a form
    // without a reason, a form without its proof; what was typed is kept and never markup.
    let console = Console::with_fleet().await.with_role(Role::Reader).await;
    let page = console.get(&format!("/findings/{}", finding_id(console.app(), 0))).await;
    page.must("/contacts?peer=203.0.113.9");
    console.get("/contacts?peer=203.0.113.9").await.must("value=\"203.0.113.9\"").must("kept for 30 days");
    let asked = [("peer", "203.0.113.0/24"), ("port", ""), ("since", ""), ("reason", "seen in a bulletin")];
    let found = console.post("/contacts", &asked).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text);
    for words in ["1 device", "VP3-0001", "203.0.113.9 443/tcp; new to it", "St. Brigid/4B"] {
        found.must(words);
    }
    assert!(!found.has("&lt;time") && !found.has("&#60;time"), "times are markup: {}", found.text);
    let nobody =
        console.post("/contacts", &[("peer", "192.0.2.200"), ("reason", "seen in a bulletin")]).await;
    nobody.must("No device reported a connection with it");
    let hostile = [("peer", "<script>\"x\""), ("reason", "seen in a bulletin")];
    let refused = console.post("/contacts", &hostile).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.has("is no peer") && !refused.has("<script>\""), "{}", refused.text);
    let silent = console.post("/contacts", &[("peer", "203.0.113.9"), ("reason", "")]).await;
    silent.must("give a reason");
    let forged = console.post_bare("/contacts", &asked).await;
    assert_ne!(forged.status, StatusCode::OK);
    console.get("/audit").await.must("seen in a bulletin");
}
