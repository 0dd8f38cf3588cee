//! Beginning a rollout, with the rules that refuse one, and its devices page by page.

use cordon_proto::ids::{Sha256, TargetPath};
use cordon_proto::update::content::{Assignment, Content, Detectors, Settings};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use cordon_server_core::device::Device;

use super::*;
use crate::rollouts::tests::{Desk, NOW, name, order as signed, publish, publish_contents};

const BYTES: &[u8] = b"the image";

/// An API with two enrolled pumps, and the time at which the signed documents hold.
async fn ward() -> (Api, Vec<Device>) {
    let api = Api::start().await;
    let mut pumps = Vec::new();
    for serial in ["VP3-1", "VP3-2"] {
        let id = api.bench.enrol(serial).await.id;
        pumps.push(Device::clone(&api.bench.app().fleet.get(id).expect("enrolled").device));
    }
    api.bench.clock.hold_at(NOW.into());
    (api, pumps)
}

fn release() -> TargetPath {
    "vp-3/4.2.2".parse().expect("a path")
}

fn order(id: &str, pumps: &[&Device]) -> Order {
    let image = Image { release: release(), length: BYTES.len() as u64, sha256: Sha256::of(BYTES) };
    Order { image, windows: vec![Window::ALWAYS], ..signed(id, pumps) }
}

impl Api {
    async fn orders(&self, live: &[Order]) {
        let app = self.bench.app();
        let repositories = Repositories::new(app.store.clone(), app.online.clone());
        publish(&Desk { online: app.online.clone(), repositories }, live).await;
    }

    async fn lists(&self, model: &str, bytes: &[u8]) {
        self.stores(model, bytes, json!({})).await;
    }

    /// A release as it is stored: what an earlier server stored does not say whether it is listed.
    async fn stores(&self, model: &str, bytes: &[u8], more: Value) {
        let mut known = json!({
            "v": 1, "repository": "halden", "release": release(), "model": model, "counter": 422, "floor": 0,
            "sha256": Sha256::of(bytes), "length": bytes.len(), "imported": NOW,
        });
        known.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        let key = Key::Release { repository: name("halden"), release: release() };
        let draft = Commit::draft(NOW, person()).put(key, known.to_string().into_bytes());
        self.bench.app().commit(draft).await.expect("commits");
    }

    async fn begins(&self, id: &str, order: &str, devices: &[&Device]) -> (StatusCode, Value) {
        let members: Vec<String> =
            devices.iter().map(|device| device.hardware.identity().to_string()).collect();
        let wave = json!({"name": "all", "order": order, "members": members});
        let ask = json!({"id": id, "title": "VP-3", "waves": [wave]});
        self.post("/api/v1/rollouts", "*", ask).await
    }

    async fn refusal(&self, order: &str, devices: &[&Device]) -> String {
        let (status, problem) = self.begins("r-no", order, devices).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        problem["code"].as_str().expect("a code").to_owned()
    }
}

#[tokio::test]
async fn a_rollout_begins_only_with_what_its_orders_need_and_says_which_rule_refused_it() {
    // Goal: a mistake is seen by who makes it, not by a ward at night. Method: what is missing comes in one by one.
    let (api, pumps) = ward().await;
    let [first, second] = pumps.as_slice() else { panic!("two pumps") };
    let closed = Order { windows: Vec::new(), ..order("closed", &[first]) };
    let yesterday = NOW.plus_seconds(-86_400);
    let ended = Order { issued: yesterday, not_before: yesterday, expires: NOW, ..order("ended", &[first]) };
    let mut other = order("other", &[first]);
    other.image.sha256 = Sha256([9; 32]);
    api.orders(&[order("both", &[first, second]), order("one", &[first]), closed, ended, other]).await;
    let both = [first, second];
    assert_eq!(api.refusal("nobody", &both).await, "order_not_listed");
    assert_eq!(api.refusal("closed", &[first]).await, "never_opens");
    assert_eq!(api.refusal("both", &both).await, "unknown_to_maker");
    api.lists("MR-1", BYTES).await;
    assert_eq!(api.refusal("both", &both).await, "image_missing");
    assert_eq!(api.refusal("other", &[first]).await, "hash_differs");
    let part = api.bench.app().blobs.put(64).await.expect("begun").write(BYTES.into()).await;
    part.expect("written").finish(Some(Sha256::of(BYTES))).await.expect("kept");
    assert_eq!(api.refusal("both", &both).await, "other_model");
    api.lists("VP-3", BYTES).await;
    assert_eq!(api.refusal("ended", &[first]).await, "order_expired");
    assert_eq!(api.refusal("both", &[first]).await, "other_list");
    let members = both.map(|device| device.hardware.identity().to_string());
    let wave = json!({"name": "all", "order": "both", "members": members});
    let ask = json!({"id": "r-no", "title": "VP-3", "waves": [wave], "failure_limit_permille": 1000});
    let (status, problem) = api.post("/api/v1/rollouts", "*", ask).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("rollout_refused")));
    api.stores("VP-3", BYTES, json!({"listed": false})).await;
    let (_, problem) = api.begins("r-no", "both", &both).await;
    assert_eq!(problem["code"], "unknown_to_maker");
    assert!(problem["detail"].as_str().is_some_and(|said| said.contains("took back")), "{problem}");
    api.lists("VP-3", BYTES).await;
    let (status, view) = api.begins("r-1", "both", &both).await;
    assert_eq!(status, StatusCode::CREATED, "{view}");
    assert_eq!(api.refusal("one", &[first]).await, "device_in_open_rollout");
}

#[tokio::test]
async fn the_devices_of_a_rollout_come_page_by_page_and_by_what_is_asked() {
    // Goal: ten thousand devices are read in pieces. Method: two of a rollout that waits for its order's day, one at a
    // time, by wave, stage and code; what is no question; a rollout that is not there.
    let (api, pumps) = ward().await;
    let [first, second] = pumps.as_slice() else { panic!("two pumps") };
    let (model, hardware) = (text("VP-3"), text("C"));
    let scope = Scope::Match { model, hardware, from_least: 0, from_most: 9 };
    api.orders(&[Order { scope, ..order("facts", &[]) }]).await;
    api.lists("VP-3", BYTES).await;
    let part = api.bench.app().blobs.put(64).await.expect("begun").write(BYTES.into()).await;
    part.expect("written").finish(Some(Sha256::of(BYTES))).await.expect("kept");
    let wave = |device: &Device, joins: bool| json!({"name": "w", "order": "facts", "part": [device.hardware.identity().to_string()], "joins": joins});
    let ask = json!({"id": "r-1", "title": "VP-3", "waves": [wave(first, false), wave(second, true)]});
    let (status, view) = api.post("/api/v1/rollouts", "*", ask).await;
    assert_eq!(status, StatusCode::CREATED, "{view}");
    assert_eq!(view.pointer("/rollout/waves/1/joins"), Some(&json!(true)));
    assert_eq!(view.pointer("/rollout/waves/1/devices"), None, "no lists in the answer: {view}");
    assert_eq!((&view["waves"][1]["devices"], &view["waves"][1]["unaccepted"]), (&json!(1), &json!(0)));
    assert_eq!(view["waves"][1]["devices_at"], "/api/v1/rollouts/r-1/devices?wave=2");
    let ask = async |query: &str| {
        let path = format!("/api/v1/rollouts/r-1/devices{query}");
        let (status, page) = api.ask("GET", &path, "read", vec![]).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page
    };
    let names = |page: &Value| -> Vec<String> {
        let rows = page["devices"].as_array().expect("rows").iter();
        rows.map(|row| row["device"].as_str().expect("a name").to_owned()).collect()
    };
    let whole = names(&ask("").await);
    let mut both = [first.id.to_string(), second.id.to_string()];
    both.sort();
    assert_eq!(whole, both);
    let page = ask("?limit=1").await;
    assert_eq!((names(&page), page["next"].as_str()), (both[..1].to_vec(), Some(both[0].as_str())));
    let page = ask(&format!("?limit=1&after={}", both[0])).await;
    assert_eq!((names(&page), &page["next"]), (both[1..].to_vec(), &Value::Null));
    let of_wave = ask("?wave=2&stage=unreached").await;
    assert_eq!(names(&of_wave), [second.id.to_string()]);
    assert_eq!(
        (&of_wave["devices"][0]["wave"], &of_wave["devices"][0]["serial"]),
        (&json!(2), &json!("VP3-2"))
    );
    for empty in ["?stage=confirmed", "?code=interlock", "?wave=3", "?unaccepted=true"] {
        assert_eq!(names(&ask(empty).await), [""; 0], "{empty}");
    }
    for path in ["r-1/devices?stage=done", "r-1/devices?after=x"] {
        let (status, problem) = api.ask("GET", &format!("/api/v1/rollouts/{path}"), "read", vec![]).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_query")));
    }
    assert_eq!(api.ask("GET", "/api/v1/rollouts/r-9/devices", "read", vec![]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_does_not_fit_is_refused_by_an_order_that_this_server_has_not_heard_of_yet() {
    // Goal: what is asked at the door does not depend on which server is asked. Method: the order comes over another
    // server's hands; a pump that its facts do not name; the order that is nowhere.
    let (api, pumps) = ward().await;
    let scope = Scope::Match { model: text("MR-1"), hardware: text("C"), from_least: 0, from_most: 9 };
    api.orders(&[Order { scope, ..order("facts", &[]) }]).await;
    assert_eq!(api.refusal("facts", &[&pumps[0]]).await, "not_in_scope");
    assert_eq!(api.refusal("none", &[&pumps[0]]).await, "order_not_listed");
}

#[tokio::test]
async fn going_on_over_another_state_than_was_seen_is_refused() {
    // Goal: a stop stands against a page that was loaded before it. Method: pause, stop, resume what was paused.
    let (api, pumps) = ward().await;
    api.orders(&[order("one", &[&pumps[0]])]).await;
    api.lists("VP-3", BYTES).await;
    let part = api.bench.app().blobs.put(64).await.expect("begun").write(BYTES.into()).await;
    part.expect("written").finish(Some(Sha256::of(BYTES))).await.expect("kept");
    let (status, view) = api.begins("r-1", "one", &[&pumps[0]]).await;
    assert_eq!(status, StatusCode::CREATED, "{view}");
    let act = async |deed: &str, seen: Value| {
        let ask = json!({"reason": "a nurse reported noise", "seen": seen});
        api.post(&format!("/api/v1/rollouts/r-1/{deed}"), "*", ask).await
    };
    assert_eq!(act("pause", Value::Null).await.0, StatusCode::OK);
    assert_eq!(act("stop", json!("running")).await.0, StatusCode::OK);
    let (status, problem) = act("resume", json!("paused")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_possible")));
    assert!(problem["detail"].as_str().is_some_and(|words| words.contains("stopped by now")), "{problem}");
    assert_eq!(act("resume", json!("stopped")).await.0, StatusCode::OK);
}

/// The document of a content for this model, and what was signed about it.
fn content(version: u64, model: &str, pumps: &[&Device]) -> (Vec<u8>, Assignment) {
    let content = Content {
        id: name("night"),
        version,
        model: model.parse().expect("a text"),
        settings: Settings { checkin_s: Some(600) },
        detectors: Detectors::default(),
        windows: None,
    };
    let bytes = content.value().canonical();
    let assignment = Assignment {
        id: name("night"),
        length: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
        scope: signed("any", pumps).scope,
        version,
        issued: NOW,
        expires: NOW.plus_seconds(86_400),
        reason: "quieter nights".parse().expect("a text"),
    };
    (bytes, assignment)
}

#[tokio::test]
async fn a_content_begins_only_with_a_document_that_its_devices_would_take() {
    // Goal: a bad content is seen before any device does. Method: not listed, not here, a field fewer, another model; then
    // a good one, which is told in the rollout; and a version under the same name that no wave staged.
    let (api, pumps) = ward().await;
    let both: Vec<&Device> = pumps.iter().collect();
    api.orders(&[]).await;
    let app = api.bench.app();
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    let desk = Desk { online: app.online.clone(), repositories };
    let members: Vec<String> = both.iter().map(|device| device.hardware.identity().to_string()).collect();
    let begins = async |id: &str| {
        let wave = json!({"name": "all", "order": "night", "members": members});
        api.post(
            "/api/v1/rollouts",
            "*",
            json!({"id": id, "title": "Nights", "kind": "content", "waves": [wave]}),
        )
        .await
    };
    let refused = async |words: &str| {
        let (status, problem) = begins("no").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(words)),
            "{words}: {problem}"
        );
        problem["code"].as_str().expect("a code").to_owned()
    };
    let keep = async |bytes: &[u8]| {
        let part = app.blobs.put(4096).await.expect("begun").write(bytes.to_vec().into()).await;
        part.expect("written").finish(Some(Sha256::of(bytes))).await.expect("kept");
    };
    assert_eq!(refused("content `night`: the owner lists none").await, "content_unfit");
    let (bytes, good) = content(1, "VP-3", &both);
    publish_contents(&desk, 1, std::slice::from_ref(&good)).await;
    assert_eq!(refused("its document is not here").await, "content_unfit");
    let fewer =
        String::from_utf8(bytes.clone()).expect("UTF-8").replace(",\"windows\":null", "").into_bytes();
    let bad = Assignment { length: fewer.len() as u64, sha256: Sha256::of(&fewer), ..good.clone() };
    keep(&fewer).await;
    publish_contents(&desk, 2, &[bad]).await;
    assert_eq!(refused("windows").await, "content_unfit");
    let (other, scanner) = content(1, "MR-1", &both);
    keep(&other).await;
    publish_contents(&desk, 3, &[scanner]).await;
    assert_eq!(refused("is no MR-1").await, "content_unfit");
    keep(&bytes).await;
    publish_contents(&desk, 4, &[good]).await;
    let accepted = json!({
        "id": "no", "title": "Nights", "kind": "content", "acceptance": {"kind": "every"},
        "waves": [{"name": "all", "order": "night", "members": members}],
    });
    let (status, problem) = api.post("/api/v1/rollouts", "*", accepted).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("rollout_refused")));
    let (status, view) = begins("nights").await;
    assert_eq!(status, StatusCode::CREATED, "{view}");
    assert_eq!(view["rollout"]["kind"], "content");
    assert_eq!((&view["rollout"]["content_version"], &view["release"]), (&json!(1), &json!("content/night")));
    assert_eq!(refused("stands in the open rollout").await, "device_in_open_rollout");
}
