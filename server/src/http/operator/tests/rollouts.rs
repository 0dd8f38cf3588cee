//! Beginning a rollout, with the rules that refuse one, and its devices page by page.

use cordon_proto::ids::{Sha256, TargetPath};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use cordon_server_core::device::Device;

use super::*;
use crate::rollouts::tests::{Desk, NOW, name, order as signed, publish};

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
    for empty in ["?stage=confirmed", "?code=interlock", "?wave=3"] {
        assert_eq!(names(&ask(empty).await), [""; 0], "{empty}");
    }
    for path in ["r-1/devices?stage=done", "r-1/devices?after=x"] {
        let (status, problem) = api.ask("GET", &format!("/api/v1/rollouts/{path}"), "read", vec![]).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_query")));
    }
    assert_eq!(api.ask("GET", "/api/v1/rollouts/r-9/devices", "read", vec![]).await.0, StatusCode::NOT_FOUND);
}
