//! The site's own figures, the fleet's board, what was said, and what a release would change, as tools ask for them.
//!
//! Read next: [`super::super::risk`].

use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::device::Report;

use super::*;
use crate::risk_book::{RiskBook, record};
use crate::rollouts::tests::{NOW, name};
use crate::testing::{Enrolled, checkin};

/// An API with its parts in hand, and three enrolled pumps that have reported.
struct Ward {
    api: Api,
    operator: Operator,
    pumps: Vec<Enrolled>,
}

impl Ward {
    /// Pumps that run counter 41 of a model whose newest release is 43.
    async fn open() -> Self {
        let api = Api::start().await;
        let mut pumps = Vec::new();
        for serial in ["VP3-1", "VP3-2", "=VP3+3"] {
            pumps.push(api.bench.enrol(serial).await);
        }
        api.bench.clock.hold_at(NOW.into());
        let app = api.bench.app().clone();
        for (counter, days, support) in
            [(41, 200, "2026-01-01"), (42, 100, "2027-06-01"), (43, 40, "2031-01-01")]
        {
            stored(&app, counter, NOW.plus_seconds(-days * 86_400), support).await;
        }
        let repositories = Repositories::new(app.store.clone(), app.online.clone());
        let rollouts = Rollouts::load(app.store.clone(), repositories.clone(), NOW).await.expect("loads");
        let operator = Operator { app, rollouts, repositories };
        let router = router(operator.clone());
        let ward = Self { api: Api { bench: api.bench, router }, operator, pumps };
        ward.pumps.iter().for_each(|pump| ward.says(pump, "file"));
        ward
    }

    /// A pump reports, with its key in this tier.
    fn says(&self, pump: &Enrolled, key_protection: &str) {
        let mut request = checkin(pump);
        request.software.counter = 41;
        request.software.release = Some("vp-3/4.41".parse().expect("a path"));
        request.key_protection = text(key_protection);
        let now = self.operator.app.clock.now();
        self.operator.app.fleet.heard(pump.id, Some(Report::of(&request)), None, now);
    }

    fn id(&self, place: usize) -> DeviceId {
        self.pumps[place].id
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.api.ask("GET", path, "read", vec![]).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    async fn put_model(&self, token: &str, body: Value) -> (StatusCode, Value) {
        self.api.ask("PUT", "/api/v1/risk/model", token, body.to_string().into_bytes()).await
    }

    async fn later(&self, seconds: i64) {
        self.api.bench.clock.hold_at(self.operator.app.clock.now().plus_seconds(seconds).into());
    }
}

async fn stored(app: &App, counter: u64, imported: Timestamp, support: &str) {
    let statement = format!(
        r#"{{"confirm":"local","counter":{counter},"deltas":[],"floor":0,"hardware":["C"],"interlock":"none","min_from":0,"model":"VP-3","mud":null,"needs":"none","recall":"none","sbom":null,"support":{{"security":"{support}T00:00:00Z"}},"v":1,"vex":null}}"#
    );
    let release: cordon_proto::ids::TargetPath = format!("vp-3/4.{counter}").parse().expect("a path");
    let known = json!({
        "v": 1, "repository": "halden", "release": release, "model": "VP-3", "counter": counter, "floor": 0,
        "sha256": Sha256([u8::try_from(counter).expect("small"); 32]), "length": 9, "imported": imported, "statement": statement,
    });
    let key = Key::Release { repository: name("halden"), release };
    let draft = Commit::draft(NOW, person()).put(key, known.to_string().into_bytes());
    app.commit(draft).await.expect("commits");
}

#[tokio::test]
async fn a_site_sets_its_own_figures_and_every_score_says_so() {
    // Goal: an override is possible, bounded, seen everywhere, and survives. Method: preview, set, look at a score, restart, two
    // wrong tables, a reader, and all of it back; the journal.
    let ward = Ward::open().await;
    let device = format!("/api/v1/devices/{}", ward.id(0));
    let (model, before) = (ward.get("/api/v1/risk/model").await, ward.get(&device).await);
    assert_eq!((&model["set"], &before["score"]["set_by_site"]), (&Value::Null, &Value::Null));
    let ask = json!({"set": {"key_in_file": 900}, "reason": "our wards have no tokens yet"});
    let (status, preview) = ward.put_model("*", json!({"set": {"key_in_file": 900}, "preview": true})).await;
    assert_eq!(status, StatusCode::OK, "{preview}");
    assert_eq!(ward.get(&device).await["score"], before["score"], "a preview changes nothing");
    assert_eq!(ward.put_model("read", ask.clone()).await.0, StatusCode::FORBIDDEN);
    let (status, set) = ward.put_model("*", ask.clone()).await;
    assert_eq!((status, &set["model_sha256"]), (StatusCode::OK, &preview["model_sha256"]), "{set}");
    assert_eq!(set["set"]["reason"], "our wards have no tokens yet");
    let after = ward.get(&device).await;
    assert_eq!(after["score"]["model_sha256"], set["model_sha256"]);
    let figure = json!([{"figure": "key_in_file", "ours": 200, "site": 900}]);
    assert_eq!(after["score"]["set_by_site"], figure);
    assert!(after["risk_hundredths"].as_u64() > before["risk_hundredths"].as_u64());
    let restarted = RiskBook::default();
    restarted.load(&*ward.operator.app.store).await.expect("loads");
    assert_eq!(*restarted.model(), *ward.operator.app.risk.model());
    assert_eq!(ward.put_model("*", ask).await.1["code"], "figures_refused", "it is so already");
    let turned = json!({"set": {"zone_internet": 100}, "reason": "the internet is far away"});
    let (status, problem) = ward.put_model("*", turned).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("figures_refused")));
    assert!(problem["detail"].as_str().is_some_and(|said| said.contains("zone_flat is 8000")), "{problem}");
    let short = json!({"set": {"silent": 1}, "reason": "so"});
    assert_eq!(ward.put_model("*", short).await.1["code"], "reason_missing");
    let back = json!({"reset_all": true, "reason": "the tokens have come at last"});
    let (_, back) = ward.put_model("*", back).await;
    assert_eq!((&back["set"], &back["model_sha256"]), (&Value::Null, &model["model_sha256"]));
    let (_, journal) = ward.api.ask("GET", "/api/v1/audit?limit=1", "*", vec![]).await;
    assert_eq!(journal["entries"][0]["action"], "risk.set-model");
    let before = journal["entries"][0]["before"].as_str().unwrap_or_default();
    assert!(before.ends_with("key_in_file 200 -> 900"), "{journal}");
}

#[tokio::test]
async fn a_table_that_is_not_understood_is_not_used_in_silence() {
    // Goal: after a downgrade scores are by the model's own figures, and that is said. Method: a stored table with a figure of another
    // release, then one of another version; setting it anew mends it.
    let ward = Ward::open().await;
    for body in [
        r#"{"v":1,"figures":{"luck":5},"reason":"of a later release","by":"x","at":1}"#,
        r#"{"v":2,"figures":{},"reason":"of a later release","by":"x","at":1}"#,
    ] {
        let draft = Commit::draft(NOW, person()).put(Key::Meta(name("risk-model")), body.into());
        ward.operator.app.commit(draft).await.expect("commits");
        let model = ward.get("/api/v1/risk/model").await;
        assert_eq!((&model["unread"], &model["model_sha256"]), (&json!(true), &model["own_sha256"]));
    }
    let (status, set) =
        ward.put_model("*", json!({"set": {"silent": 500}, "reason": "we set it once more"})).await;
    assert_eq!((status, &set["unread"]), (StatusCode::OK, &json!(false)), "{set}");
}

#[tokio::test]
async fn what_was_said_is_kept_with_what_moved_it() {
    // Goal: a history that explains itself and survives. Method: three runs of the record; one pump's key moves to hardware; a
    // further run soon after says nothing new; another recorder goes on where this one was.
    let ward = Ward::open().await;
    let history = format!("/api/v1/devices/{}/risk-history", ward.id(0));
    assert_eq!(ward.get(&history).await["points"], json!([]));
    let first = record(&ward.operator, None).await.expect("recorded");
    assert_eq!((first.devices, first.waiting), (3, 0));
    ward.later(7200).await;
    assert_eq!(record(&ward.operator, None).await.expect("recorded").devices, 0, "nothing moved");
    ward.says(&ward.pumps[0], "tpm");
    ward.later(7200).await;
    assert_eq!(record(&ward.operator, None).await.expect("recorded").devices, 1);
    let points = ward.get(&history).await["points"].clone();
    let moved = &points[1]["moved"];
    assert_eq!((points.as_array().map(Vec::len), &points[0]["moved"]), (Some(2), &json!([])), "{points}");
    assert!(moved.to_string().contains("The key of its identity lies in a file"), "{moved}");
    let sum: i64 = moved.as_array().expect("moves").iter().filter_map(|one| one["hundredths"].as_i64()).sum();
    let score = |at: usize| points[at]["hundredths"].as_i64().unwrap_or_default();
    assert_eq!(sum, score(1) - score(0));
    let fleet = ward.get("/api/v1/risk/history").await["points"].clone();
    let fleet = fleet.as_array().expect("points");
    assert_eq!(
        (fleet.len(), &fleet[0]["joined"], &fleet[2]["joined"]),
        (3, &json!(3), &json!(0)),
        "{fleet:?}"
    );
    assert_eq!(fleet[2]["change_hundredths"].as_i64(), Some(score(1) - score(0)));
    assert_eq!(ward.get("/api/v1/risk/history?days=0").await["points"].as_array().map(Vec::len), Some(1));
    let nobody = "/api/v1/devices/00000000-0000-4000-8000-000000000000/risk-history";
    assert_eq!(ward.api.ask("GET", nobody, "read", vec![]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_release_is_judged_before_it_is_ordered() {
    // Goal: what would it bring, device by device, and to whom it cannot go. Method: the newest and the one before it, a pump of
    // which nothing is known, pages of one device; nothing is changed by asking.
    let ward = Ward::open().await;
    ward.api.bench.enrol("VP3-9").await;
    let what_if = |release: &str| format!("/api/v1/risk/what-if/halden/vp-3%2F{release}");
    let newest = ward.get(&what_if("4.43")).await;
    assert_eq!(
        (&newest["fleet"]["devices"], &newest["left_out"]),
        (&json!(3), &json!({"unknown": 1})),
        "{newest}"
    );
    assert_eq!(newest["fleet"]["removed"], json!({"freshness:behind": 3}));
    assert_eq!((&newest["matched"], &newest["fleet"]["worse"]), (&json!(0), &json!(0)));
    let words = newest["words"].as_str().unwrap_or_default();
    assert!(words.starts_with("Release vp-3/4.43 lowers fleet risk by "), "{words}");
    let one = &newest["devices"][0];
    assert!(one["after_hundredths"].as_u64() < one["before_hundredths"].as_u64(), "{one}");
    assert_eq!(one["removed"][0]["reason"], "100 days behind release vp-3/4.43");
    let older = ward.get(&what_if("4.42")).await;
    let behind = &older["devices"][0]["other"][0];
    assert_eq!(
        (&behind["id"], &behind["reason"]),
        (&json!("freshness:behind"), &json!("40 days behind release vp-3/4.43"))
    );
    let page = ward.get(&format!("{}?limit=1", what_if("4.43"))).await;
    let next = page["next"].as_str().expect("more");
    let rest = ward.get(&format!("{}?after={next}", what_if("4.43"))).await;
    assert_eq!((rest["devices"].as_array().map(Vec::len), &rest["next"]), (Some(2), &Value::Null));
    assert_eq!(rest["fleet"], newest["fleet"], "the sum is over all, whatever is listed");
    let nothing = ward.api.ask("GET", &what_if("4.99"), "read", vec![]).await;
    assert_eq!(nothing.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_fleet_is_told_by_ward_model_site_and_owner_and_in_a_register() {
    // Goal: one board, one table for auditors. Method: three pumps of one ward; each split sums to the whole; the register as pages
    // and as CSV, in which a serial that is a formula is a text.
    let ward = Ward::open().await;
    for (by, key) in
        [("ward", "St. Anna / ICU 2"), ("model", "VP-3"), ("site", "St. Anna"), ("owner", "nobody")]
    {
        let board = ward.get(&format!("/api/v1/risk/fleet?by={by}")).await;
        assert_eq!(
            (&board["lines"][0]["key"], &board["all"]["devices"]),
            (&json!(key), &json!(3)),
            "{board}"
        );
        assert_eq!(board["lines"][0]["hundredths"], board["all"]["hundredths"]);
    }
    assert_eq!(
        ward.api.ask("GET", "/api/v1/risk/fleet?by=luck", "read", vec![]).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let page = ward.get("/api/v1/risk/register?limit=2").await;
    assert_eq!((&page["total"], page["rows"].as_array().map(Vec::len)), (&json!(3), Some(2)), "{page}");
    let next = page["next"].as_str().expect("more");
    let rest = ward.get(&format!("/api/v1/risk/register?limit=2&after={next}")).await;
    assert_eq!((rest["rows"].as_array().map(Vec::len), &rest["next"]), (Some(1), &Value::Null), "{rest}");
    let none = ward.get("/api/v1/risk/register?band=critical").await;
    assert_eq!(none["total"], 0);
    for wrong in ["format=xls", "band=red", "after=x"] {
        let (status, _) =
            ward.api.ask("GET", &format!("/api/v1/risk/register?{wrong}"), "read", vec![]).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let request =
        Request::builder().uri("/api/v1/risk/register?format=csv").header(AUTHORIZATION, "Bearer read");
    let answer = ward.api.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
    let body = answer.expect("answers").into_body().collect().await.expect("a body").to_bytes();
    let csv = String::from_utf8(body.to_vec()).expect("text");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.starts_with("device,manufacturer,model,serial,") && csv.contains(",\"'=VP3+3\","), "{csv}");
}

#[tokio::test]
async fn versions_support_and_the_sheet_say_what_is_known_and_what_is_not() {
    // Goal: who runs what, until when, and what a buyer asks. Method: three pumps on a release whose support has ended, one of which
    // nothing is known.
    let ward = Ward::open().await;
    ward.api.bench.enrol("VP3-9").await;
    let versions = ward.get("/api/v1/risk/versions?model=VP-3").await;
    let row = &versions["rows"][0];
    assert_eq!(
        (&row["release"], &row["devices"], &row["newer"]),
        (&json!("vp-3/4.41"), &json!(3), &json!(2)),
        "{versions}"
    );
    assert_eq!((&row["stage"], &versions["rows"][1]["counter"]), (&json!("end-of-support"), &Value::Null));
    let support = ward.get("/api/v1/risk/support").await;
    assert_eq!(support["devices"], json!({"end-of-support": 3, "unknown": 1}), "{support}");
    assert_eq!(
        (support["releases"].as_array().map(Vec::len), &support["systems_unknown"]),
        (Some(1), &json!(4))
    );
    let sheet = ward.get("/api/v1/risk/sheet?model=VP-3").await["sheet"].clone();
    assert_eq!((&sheet["model"], &sheet["devices"]), (&json!("VP-3"), &json!(4)), "{sheet}");
    let answer = |id: &str| {
        let rows = sheet["answers"].as_array().expect("answers");
        let row = rows.iter().find(|row| row["id"] == id).expect(id);
        json!([row["yes"], row["no"], row["unknown"]])
    };
    assert_eq!(answer("maker-support"), json!([0, 3, 1]));
    assert_eq!((answer("key-hardware"), answer("sbom")), (json!([0, 3, 1]), json!([0, 3, 1])));
    for (path, status) in [
        ("/api/v1/risk/sheet", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v1/risk/sheet?model=none", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(ward.api.ask("GET", path, "read", vec![]).await.0, status);
    }
}

#[tokio::test]
async fn another_server_scores_by_the_figures_that_were_set_here() {
    // Goal: one owner, one table. Method: two servers on one store; set on one, the other follows.
    let [(one, _), (two, _)] = Bench::pair().await;
    let (app, other) = (one.app(), two.app());
    let changes = serde_json::from_value(json!({"set": {"silent": 600}})).expect("changes");
    let by = person();
    let doer = crate::people::Doer { actor: &by, now: app.clock.now() };
    app.set_risk_model(&changes, Text::lossy("ours report daily"), doer).await.expect("set");
    let repositories = Repositories::new(other.store.clone(), other.online.clone());
    let rollouts =
        Rollouts::load(other.store.clone(), repositories.clone(), other.clock.now()).await.expect("loads");
    let operator = Operator { app: other.clone(), rollouts, repositories };
    crate::follow::catch_up(&operator, None).await.expect("follows");
    assert_eq!(other.risk.model().silent, 600);
    assert_eq!(operator.published().model.sha256_hex(), app.risk.model().sha256_hex());
}
