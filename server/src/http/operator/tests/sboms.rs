//! Bills of materials as tools ask for them: shipped, as found, and what differs.

use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::wire;
use cordon_server_core::device::Report;
use cordon_server_core::sbom;

use super::*;
use crate::testing::checkin;
use crate::testing::maker::{Bytes, file, release};

const SHIPPED: &[u8] = br#"{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":{"type":"firmware","name":"VP-3","version":"4.2.2"}},
"components":[{"type":"library","name":"curl","purl":"pkg:deb/debian/curl@7.88.1-10?distro=debian-12"},{"type":"library","name":"apt","purl":"pkg:deb/debian/apt@2.6.0"},
{"type":"library","name":"gone","purl":"pkg:deb/debian/gone@1"},{"type":"library","name":"in-house"}]}"#;

async fn problem(api: &Api, path: &str) -> (StatusCode, String) {
    let (status, answer) = api.ask("GET", path, "read", vec![]).await;
    (status, answer["detail"].as_str().unwrap_or_default().to_owned())
}

/// A device that has told what it runs and what it is made of.
async fn device(api: &Api) -> String {
    let enrolled = api.bench.enrol("VP3-1").await;
    let app = api.bench.app();
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: text(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let inventory = Inventory::new(vec![
        row(Section::System, "id", &["debian"]),
        row(Section::System, "version-id", &["12"]),
        row(Section::Package, "deb/apt/amd64", &["2.6.1", "apt", "2.6.1"]),
        row(Section::Package, "deb/curl/amd64", &["7.88.1-10", "curl", "7.88.1-10"]),
        row(Section::Package, "deb/nc/amd64", &["1.10", "netcat", "1.10"]),
        row(Section::Posture, "declared-files", &["no", "2 of 3", "ab12"]),
        row(Section::Posture, "declared-file/opt/pump", &["no", "missing"]),
    ]);
    let draft = Commit::draft(app.clock.now(), person());
    app.commit(draft.put(Key::Inventory(enrolled.id), wire::write(&inventory))).await.expect("commits");
    let mut said = checkin(&enrolled);
    said.software.release = Some("vp-3/4.2.2".parse().expect("a path"));
    said.software.counter = 42;
    said.inventory_root = inventory.root();
    app.fleet.heard(enrolled.id, Some(Report::of(&said)), None, app.clock.now());
    enrolled.id.to_string()
}

#[tokio::test]
async fn a_release_a_device_and_what_differs_are_told_by_three_answers() {
    // Goal: what was shipped, what is there, what changed, over the API. Method: a release with an SBOM, a device that
    // runs it with other packages.
    let api = Api::start().await;
    let mut kept = Bytes::new();
    let mut pump = release("vp-3/4.2.2", 42, &mut kept);
    pump.sbom = Some(file(SHIPPED, &mut kept));
    api.send(&kept).await;
    assert_eq!(api.publish("halden", 1, std::slice::from_ref(&pump)).await.0, StatusCode::OK);
    let shown = api.get("/api/v1/sboms/halden/vp-3/4.2.2?limit=2").await;
    assert_eq!(
        (&shown["format"], &shown["version"], &shown["count"]),
        (&json!("CycloneDX"), &json!("1.5"), &json!(4))
    );
    assert_eq!((&shown["matchable"], &shown["without_release"]), (&json!(3), &json!(2)));
    assert_eq!(shown["unmatchable"], json!({"no-purl": 1}));
    assert_eq!((&shown["components"][0]["name"], &shown["next"]), (&json!("apt"), &json!(2)));
    let rest = api.get("/api/v1/sboms/halden/vp-3/4.2.2?limit=2&after=2").await;
    assert_eq!((&rest["components"][1]["name"], &rest["next"]), (&json!("in-house"), &Value::Null));
    let whole = api.get("/api/v1/sboms/halden/vp-3/4.2.2?as=cyclonedx").await;
    assert_eq!((&whole["specVersion"], &whole["components"][0]["name"]), (&json!("1.6"), &json!("apt")));

    let id = device(&api).await;
    let found = api.get(&format!("/api/v1/devices/{id}/sbom")).await;
    assert_eq!(found["metadata"]["component"]["name"], json!("VP-3"));
    assert!(
        found["metadata"]["timestamp"].is_string() && found["metadata"]["properties"].is_null(),
        "{found}"
    );
    let read = sbom::read(found.to_string().as_bytes()).expect("our own");
    assert_eq!(read.matchable().components.len(), 3);
    let drift = api.get(&format!("/api/v1/devices/{id}/drift")).await;
    assert_eq!((&drift["release"], &drift["repository"]), (&json!("vp-3/4.2.2"), &json!("halden")));
    assert_eq!(drift["missing"], json!([{"purl": "pkg:deb/debian/gone", "versions": ["1"]}]));
    assert_eq!(drift["extra"], json!([{"purl": "pkg:deb/debian/nc", "versions": ["1.10"]}]));
    let apt = json!([{"purl": "pkg:deb/debian/apt", "shipped": ["2.6.0"], "found": ["2.6.1"]}]);
    assert_eq!((&drift["changed"], &drift["same"]), (&apt, &json!(1)));
    assert_eq!(drift["not_compared"]["shipped"], json!({"no-purl": 1}));
    assert_eq!(drift["files"]["count"], "2 of 3");
    assert_eq!(drift["files"]["differing"], json!([{"path": "opt/pump", "sound": "no", "found": "missing"}]));
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_read_is_said() {
    // Goal: no empty list where nothing is known. Method: no device, no inventory, no release, no SBOM, one that is none.
    let api = Api::start().await;
    let mut kept = Bytes::new();
    let (bare, mut odd) = (release("vp-3/4.2.1", 41, &mut kept), release("vp-3/4.2.2", 42, &mut kept));
    odd.sbom = Some(file(b"<bom/>", &mut kept));
    api.send(&kept).await;
    assert_eq!(api.publish("halden", 1, &[bare, odd]).await.0, StatusCode::OK);
    let nobody = "/api/v1/devices/00000000-0000-4000-8000-000000000000";
    for path in
        [format!("{nobody}/sbom"), format!("{nobody}/drift"), "/api/v1/sboms/halden/vp-3/9".to_owned()]
    {
        assert_eq!(problem(&api, &path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let enrolled = api.bench.enrol("VP3-2").await.id;
    let (status, told) = problem(&api, &format!("/api/v1/devices/{enrolled}/sbom")).await;
    assert_eq!((status, told.as_str()), (StatusCode::NOT_FOUND, "the device has sent no inventory"));
    let (status, told) = problem(&api, "/api/v1/sboms/halden/vp-3/4.2.1").await;
    assert_eq!((status, told.as_str()), (StatusCode::NOT_FOUND, "the maker shipped no SBOM with vp-3/4.2.1"));
    let (status, told) = problem(&api, "/api/v1/sboms/halden/vp-3/4.2.2").await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && told.contains("it is XML: write it as JSON"),
        "{told}"
    );
    let now = api.bench.app().clock.now();
    let draft =
        Commit::draft(now, person()).put(Key::Inventory(enrolled), wire::write(&Inventory::new(vec![])));
    api.bench.app().commit(draft).await.expect("commits");
    let told = &api.get(&format!("/api/v1/devices/{enrolled}/sbom")).await["metadata"];
    let outdated = json!([{"name": "cordon:told:inventory-outdated", "value": "1"}]);
    assert_eq!(
        (&told["properties"], &told["timestamp"]),
        (&outdated, &Value::Null),
        "nobody said that it is true"
    );
    let id = device(&api).await;
    let (status, told) = problem(&api, &format!("/api/v1/devices/{id}/drift")).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && told.contains("it is XML"), "{told}");
    let (status, _) = problem(&api, "/api/v1/sboms/halden/vp-3/4.2.2?as=pdf").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}
