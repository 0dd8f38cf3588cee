//! Releases in the console: taken in by the API, shown with their files, counted over the fleet.

use cordon_proto::update::release::Release;

use super::*;
use crate::testing::maker::{Bytes, file, publication, release};

impl Console {
    /// Sends bytes that are text, as a page's own script would.
    async fn put(&self, address: &str, body: &[u8]) {
        let cookie = format!("cordon-session={}", self.cookie);
        let headers = [("cookie", cookie.as_str()), ("x-csrf", self.csrf.as_str())];
        let body = std::str::from_utf8(body).expect("text");
        let reply = self.ask("PUT", address, &headers, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{address}: {}", reply.text);
    }

    /// Publishes these releases, their files first.
    pub(super) async fn publish(&self, version: u64, releases: &[Release], kept: &Bytes) {
        for (sha256, bytes) in kept {
            self.put(&format!("/api/v1/targets/{sha256}"), bytes).await;
        }
        for (file, bytes) in publication(self.app().clock.now(), version, releases) {
            self.put(&format!("/api/v1/repositories/image/halden/{file}"), &bytes).await;
        }
    }
}

/// The release that the fleet's orders install.
pub(super) fn pump_release(kept: &mut Bytes) -> Release {
    Release { min_from: 1, ..release("vp-3/4.2.2", 4_000_000, kept) }
}

#[tokio::test]
async fn a_release_shows_what_was_signed_and_where_it_runs() {
    // Goal: SBOM, VEX and MUD are part of the release's page. Method: two releases with files, one of a hostile form;
    // the list, both pages, a link to a file; then the maker delists one.
    let console = Console::with_fleet().await;
    let mut kept = Bytes::new();
    let mut new = release("vp-3/4.2.2", 4_000_000, &mut kept);
    new.sbom = Some(file(br#"{"spdxVersion":"SPDX-2.3","packages":[{},{}]}"#, &mut kept));
    new.vex = Some(file(br#"{"<script>":1}"#, &mut kept));
    new.mud = Some(file(br#"{"ietf-mud:mud":{"mud-version":1}}"#, &mut kept));
    let old = release("vp-3/4.2.1", 3_999_999, &mut kept);
    console.publish(1, &[old, new.clone()], &kept).await;
    let list = console.get("/releases").await;
    list.must("2 releases for 1 model").must("SBOM, VEX, MUD file").must("Newest").must("Older");
    list.must("/releases/halden/vp-3%2F4.2.2");
    let page = console.get("/releases/halden/vp-3%2F4.2.2").await;
    for words in [
        "SPDX 2.3",
        "2 packages",
        "not readable",
        "MUD 1",
        "2 keys",
        "application",
        "0 run it",
        "Unknown: no",
    ] {
        page.must(words);
    }
    assert!(!page.has("script>\":1"));
    page.must(&format!("/api/v1/targets/{}", new.image.sha256));
    assert_eq!(console.get("/releases/halden/vp-3%2F9").await.status, StatusCode::NOT_FOUND);
    assert_eq!(console.get("/releases/no%20name/x").await.status, StatusCode::NOT_FOUND);
    console.publish(2, &[new], &Bytes::new()).await;
    console.get("/releases").await.must("No longer listed");
    console.get("/rollouts").await.must("href=\"/releases\"");
}

#[tokio::test]
async fn a_preview_tells_every_devices_fate_and_changes_nothing() {
    // Goal: people see before they sign. Method: a release over the fleet: two pumps speak, two said nothing, kiosks are
    // another model; filters that choose, one that is none, a release that is not here, a way back below the floor.
    let console = Console::with_fleet().await;
    let mut kept = Bytes::new();
    let old = release("vp-3/4.0.0", 40, &mut kept);
    let new = Release { floor: 41, min_from: 30, ..release("vp-3/4.2.2", 42, &mut kept) };
    console.publish(1, &[old, new], &kept).await;
    let before = console.bench.journal().await;
    let cookie = format!("cordon-session={}", console.cookie);
    let ask = async |body: serde_json::Value| {
        let headers = [("cookie", cookie.as_str()), ("x-csrf", console.csrf.as_str())];
        let reply = console.ask("POST", "/api/v1/orders/preview", &headers, &body.to_string()).await;
        (reply.status, serde_json::from_str::<serde_json::Value>(&reply.text).expect("JSON"))
    };
    let wanted = |release: &str, filter: &[&str], back: Option<&str>| serde_json::json!({"repository": "halden", "release": release, "filter": filter, "back": back});
    let (status, found) = ask(wanted("vp-3/4.2.2", &[], Some("vp-3/4.0.0"))).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    assert_eq!(found["fates"], serde_json::json!({"fits": 2, "unknown": 2}));
    assert_eq!((&found["total"], &found["in_use_now"]), (&4.into(), &1.into()));
    assert!(found["risk_after_hundredths"].as_u64() <= found["risk_before_hundredths"].as_u64());
    assert_eq!(found["back"], serde_json::json!({"below-floor": {"floor": 41, "counter": 40}}));
    let fits = |device: &&serde_json::Value| device["fate"] == "fits";
    let serials: Vec<_> = found["devices"].as_array().expect("devices").iter().filter(fits).collect();
    assert_eq!((serials.len(), &serials[0]["place"]), (2, &"St. Brigid/4B".into()));
    let (_, tagged) = ask(wanted("vp-3/4.2.2", &["tag=act-this-week", "from=41:41"], None)).await;
    assert_eq!(tagged["total"], 1);
    let (status, refusal) = ask(wanted("vp-3/4.2.2", &["advisory=CVE-2026-1107"], None)).await;
    assert_eq!((status, &refusal["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"bad_filter".into()));
    assert_eq!(ask(wanted("vp-3/9", &[], None)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(console.bench.journal().await, before);
    let orders = console.get("/api/v1/orders").await;
    assert_eq!(orders.text, "{\"orders\":[]}");
    assert_eq!(console.get("/api/v1/orders/none").await.status, StatusCode::NOT_FOUND);
}
