//! Import as a maker's publication meets the API: judged whole, pinned makers, releases with their files.

use cordon_proto::ids::Sha256;
use cordon_proto::time::Millis;
use cordon_proto::update::release::Release;

use super::*;
use crate::testing::maker::{Bytes, file, publication, release};

impl Api {
    /// Sends a publication to a repository; the answer to its last file, or to the first one that is refused.
    pub(super) async fn publish(
        &self,
        repository: &str,
        version: u64,
        releases: &[Release],
    ) -> (StatusCode, Value) {
        let now = self.bench.app().clock.now();
        let mut last = (StatusCode::OK, Value::Null);
        for (file, bytes) in publication(now, version, releases) {
            last = self.put(&format!("/api/v1/repositories/image/{repository}/{file}"), bytes).await;
            if last.0 != StatusCode::OK {
                break;
            }
        }
        last
    }

    async fn put(&self, path: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        self.ask("PUT", path, "*", bytes).await
    }

    pub(super) async fn send(&self, kept: &Bytes) {
        for (sha256, bytes) in kept {
            let (status, answer) = self.put(&format!("/api/v1/targets/{sha256}"), bytes.clone()).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, "read", vec![]).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }
}

fn detail(answer: (StatusCode, Value)) -> String {
    assert_eq!(answer.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.1);
    answer.1["detail"].as_str().expect("a sentence").to_owned()
}

const SBOM: &[u8] = br#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{},{},{}]}"#;

#[tokio::test]
async fn a_release_is_taken_in_with_its_files_and_shown_with_what_was_signed() {
    // Goal: nothing without its files, and every file with a link. Method: publish before and after the upload; the
    // list, the release, a file of it.
    let api = Api::start().await;
    let mut kept = Bytes::new();
    let mut pump = release("vp-3/4.2.2", 42, &mut kept);
    pump.sbom = Some(file(SBOM, &mut kept));
    let missing = detail(api.publish("halden", 1, std::slice::from_ref(&pump)).await);
    assert!(missing.contains("vp-3/4.2.2 lacks its image"), "{missing}");
    assert_eq!(api.get("/api/v1/releases").await["releases"], json!([]));
    api.send(&kept).await;
    let (status, answer) = api.publish("halden", 1, std::slice::from_ref(&pump)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let listed = api.get("/api/v1/releases?model=VP-3&listed=true").await;
    let known = &listed["releases"][0];
    assert_eq!(
        (&known["release"], &known["custom"]["interlock"]),
        (&json!("vp-3/4.2.2"), &json!("application"))
    );
    assert_eq!(known["signers"].as_array().map(Vec::len), Some(2));
    assert_eq!(api.get("/api/v1/releases?model=M-8").await["releases"], json!([]));
    let shown = api.get("/api/v1/releases/halden/vp-3/4.2.2").await;
    let files = shown["files"].as_array().expect("files");
    assert_eq!(files.iter().map(|file| &file["part"]).collect::<Vec<_>>(), [&json!("image"), &json!("sbom")]);
    assert!(files.iter().all(|file| file["here"] == true), "{shown}");
    assert_eq!(files[1]["form"], json!({"kind": "cyclone-dx", "version": "1.6", "count": 3}));
    let request =
        Request::get(files[1]["href"].as_str().expect("a link")).header(AUTHORIZATION, "Bearer read");
    let reply =
        api.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("answers");
    assert!(reply.headers()["content-disposition"].to_str().expect("text").starts_with("attachment"));
    assert_eq!(reply.into_body().collect().await.expect("a body").to_bytes(), SBOM);
    let gone = api.ask("GET", "/api/v1/releases/halden/vp-3/9", "read", vec![]).await;
    assert_eq!(gone.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_older_publication_and_changed_files_are_refused_and_the_first_date_stays() {
    // Goal: the server goes no further back than a device, and "behind since" does not jump. Method: versions 1, 2, 1 and
    // 3 with the clock going on; a file in force with other bytes; a release that its maker delists.
    let api = Api::start().await;
    let mut kept = Bytes::new();
    let [old, new] = [("vp-3/4.2.1", 41), ("vp-3/4.2.2", 42)].map(|(path, n)| release(path, n, &mut kept));
    api.send(&kept).await;
    let both = [old, new.clone()];
    assert_eq!(api.publish("halden", 1, &both[..1]).await.0, StatusCode::OK);
    let first = api.get("/api/v1/releases").await["releases"][0]["imported"].clone();
    let now = api.bench.clock.now_ms();
    api.bench.clock.hold_at(Millis(now.0 + 86_400_000));
    assert_eq!(api.publish("halden", 2, &both).await.0, StatusCode::OK);
    let back = detail(api.publish("halden", 1, &both[..1]).await);
    assert!(back.contains("rollback") || back.contains("in force"), "{back}");
    let changed = api.put("/api/v1/repositories/image/halden/2.vp-3.json", b"{}".to_vec()).await;
    assert!(detail(changed).contains("in force with other bytes"));
    let dates = api.get("/api/v1/releases").await;
    assert_eq!(dates["releases"][0]["imported"], first);
    assert_ne!(dates["releases"][1]["imported"], first);
    assert_eq!(api.publish("halden", 3, &[new]).await.0, StatusCode::OK);
    let gone = api.get("/api/v1/releases?listed=false").await;
    assert_eq!(
        (&gone["releases"][0]["release"], &gone["releases"][0]["imported"]),
        (&json!("vp-3/4.2.1"), &first)
    );
    let journal = api.bench.journal().await;
    assert_eq!(journal.iter().filter(|action| *action == "repository.publish").count(), 3);
}

#[tokio::test]
async fn a_pinned_maker_lists_its_own_models_and_begins_with_its_own_root() {
    // Goal: a release for a foreign model is refused, whoever signed it. Method: pins before and after a publication.
    let api = Api::start().await;
    let mut kept = Bytes::new();
    let pump = [release("vp-3/4.2.2", 42, &mut kept)];
    api.send(&kept).await;
    let now = api.bench.app().clock.now();
    let root = Sha256::of(&publication(now, 1, &pump)[0].1).to_string();
    let pin = async |repository: &str, models: &[&str], root: &str| {
        let asked = json!({"models": models, "root_sha256": root}).to_string().into_bytes();
        api.put(&format!("/api/v1/makers/{repository}"), asked).await
    };
    assert_eq!(pin("halden", &["VP-3"], &"9".repeat(64)).await.0, StatusCode::OK);
    assert!(detail(api.publish("halden", 1, &pump).await).contains("was pinned to 9999"));
    assert_eq!(pin("halden", &["M-8"], &root).await.0, StatusCode::OK);
    assert!(detail(api.publish("halden", 1, &pump).await).contains("not one of this maker's"));
    assert_eq!(pin("halden", &["M-8", "VP-3"], &root).await.0, StatusCode::OK);
    assert_eq!(api.publish("halden", 1, &pump).await.0, StatusCode::OK);
    assert!(detail(api.publish("other", 1, &pump).await).contains("`halden`"));
    assert!(detail(pin("other", &["VP-3"], &root).await).contains("a model has one maker"));
    assert!(detail(pin("halden", &["M-8"], &root).await).contains("lists vp-3/4.2.2"));
    assert!(detail(pin("director", &["M-8"], &root).await).contains("director"));
    let makers = api.get("/api/v1/makers").await;
    assert_eq!(makers["makers"][0]["models"], json!(["M-8", "VP-3"]));
    let (status, _) = api.ask("PUT", "/api/v1/makers/x", "read", b"{}".to_vec()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(api.bench.journal().await.contains(&"maker.pin".to_owned()));
}
