//! Feeds and advisories as people's tools meet them: the router in memory, over a whole server with its jobs.

use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::wire;
use cordon_server_core::exception;
use cordon_server_core::feeds::archive;
use cordon_server_core::feeds::intake::Kind;
use cordon_server_core::feeds::intake::signed::Statement;
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::clock::Clock;
use crate::knowledge::import::{Brought, FeedError};
use crate::people::Doer;
use crate::store::StoreError;
use crate::store::memory::Memory;
use crate::testing::PATIENCE;
use crate::testing::faulty::{Fault, Faulty};

pub(super) const DEBIAN: &str = "release,source,cve,fixed_version,advisory\n\
    bookworm,pump,CVE-2024-0001,2-1,DSA-1-1\n\
    bookworm,valve,CVE-2024-0002,<undetermined>,\n\
    bookworm,hose,CVE-2024-0003,1-1,\n";
const KEV: &str = r#"{"catalogVersion":"1","dateReleased":"2024-05-01T00:00:00Z","vulnerabilities":[{"cveID":"CVE-2024-0001","dateAdded":"2024-05-01","knownRansomwareCampaignUse":"Known"}]}"#;
const OSV: &str = r#"{"id":"DSA-9-1","summary":"pump leaks","details":"It leaks.","modified":"2024-05-01T00:00:00Z","upstream":["CVE-2024-0009"],
    "affected":[{"package":{"ecosystem":"Debian:12","name":"pump"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}"#;
const CSAF: &str = r#"{"document":{"category":"csaf_security_advisory","csaf_version":"2.0","title":"Halden VP-3","publisher":{"category":"vendor","name":"Halden","namespace":"https://halden.example"},
    "tracking":{"id":"ICSMA-24-001-01","status":"final","version":"1","initial_release_date":"2024-05-01T00:00:00Z","current_release_date":"2024-05-02T00:00:00Z","revision_history":[]}},
    "product_tree":{"branches":[{"category":"vendor","name":"Halden","branches":[{"category":"product_name","name":"VP-3","product":{"name":"VP-3","product_id":"P1"}}]}]},
    "vulnerabilities":[{"cve":"CVE-2024-0007","product_status":{"known_affected":["P1"]},"remediations":[{"category":"vendor_fix","details":"Install 4.2","product_ids":["P1"]}]}]}"#;

/// The inventory of a Debian with these source packages and versions.
pub(super) fn inventory(packages: &[(&str, &str)]) -> Vec<u8> {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let package = |(name, version): &(&str, &str)| {
        row(Section::Package, &format!("deb/{name}-bin/arm64"), &[version, name, version])
    };
    let mut rows: Vec<Row> = packages.iter().map(package).collect();
    rows.push(row(Section::System, "id", &["debian"]));
    rows.push(row(Section::System, "version-id", &["12"]));
    wire::write(&Inventory::new(rows))
}

/// A tar file of documents.
fn tar(documents: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, text) in documents {
        let length = u64::try_from(text.len()).expect("short");
        bytes.extend_from_slice(&archive::header(name, length).expect("fits"));
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len() + usize::try_from(archive::filling(length)).expect("short"), 0);
    }
    bytes.extend_from_slice(&archive::ENDING);
    bytes
}

impl Api {
    async fn feed(&self, query: &str, file: impl Into<Vec<u8>>) -> (StatusCode, Value) {
        self.ask("PUT", &format!("/api/v1/feeds/{query}"), "*", file.into()).await
    }

    /// Brings a feed, and waits until answers are made of it.
    pub(super) async fn brought(&self, query: &str, file: impl Into<Vec<u8>>) {
        let (status, answer) = self.feed(query, file).await;
        assert_eq!(status, StatusCode::OK, "{query}: {answer}");
        self.ready().await;
    }

    async fn ready(&self) {
        ready(self.bench.app()).await;
    }

    /// Enrols a pump with these packages.
    pub(super) async fn pump(&self, serial: &str, packages: &[(&str, &str)]) -> DeviceId {
        let id = self.bench.enrol(serial).await.id;
        let app = self.bench.app();
        let draft = Commit::draft(app.clock.now(), person()).put(Key::Inventory(id), inventory(packages));
        app.commit(draft).await.expect("commits");
        id
    }
}

/// Waits until answers are those of the feeds in force.
async fn ready(app: &Arc<App>) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while app.knowledge.matched().readiness != crate::knowledge::Readiness::Ready {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("knowledge is made");
}

fn words(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = answer["devices"].as_array().expect("a list");
    rows.iter().map(|row| (text(&row["serial"]), text(&row["answer"]))).collect()
}

fn word(serial: &str, answer: &str) -> (String, String) {
    (serial.to_owned(), answer.to_owned())
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

/// Three pumps: what the first is exposed to is asked for; and what the world says of them.
pub(super) async fn three_pumps(api: &Api) -> DeviceId {
    let weak = api.pump("1", &[("pump", "1-1"), ("hose", "1-1")]).await;
    api.pump("2", &[("pump", "2-1"), ("valve", "1")]).await;
    api.pump("3", &[("pump", "x y")]).await;
    weak
}

/// Feeds of four kinds.
pub(super) async fn four_feeds(api: &Api) {
    api.brought("debian?kind=debian", DEBIAN).await;
    api.brought("kev?kind=kev", KEV).await;
    api.brought("osv?kind=osv", tar(&[("a/DSA-9-1.json", OSV), ("b.json", "{}"), ("README.md", "x")])).await;
    api.brought("icsma?kind=csaf", CSAF).await;
}

#[tokio::test]
async fn an_advisory_leads_to_its_devices_by_any_of_its_names() {
    // Goal: from import to devices, each with what the answer stands on. Method: three pumps, feeds of four kinds by HTTP,
    // every question.
    let api = Api::start().await;
    three_pumps(&api).await;
    assert_eq!(api.get("/api/v1/feeds").await["matching"], "no-feeds");
    let (status, problem) = api.ask("GET", "/api/v1/advisories/CVE-2024-0001", "read", vec![]).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_advisories")));
    four_feeds(&api).await;
    let listed = api.get("/api/v1/advisories").await;
    let ids: Vec<&str> = listed["advisories"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(ids, ["CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0007", "CVE-2024-0009"]);
    assert_eq!(listed["advisories"][0]["exploited"], true);
    let counts = json!({"affected": 1, "unknown": 1, "fixed": 1, "not_affected": 0});
    assert_eq!(listed["advisories"][0]["devices"], counts);
    let page = api.get("/api/v1/advisories?limit=1&q=pump").await;
    assert_eq!((&page["total"], &page["next"]), (&json!(2), &json!("CVE-2024-0001")));
    let page = api.get("/api/v1/advisories?limit=1&q=pump&after=CVE-2024-0001").await;
    assert_eq!((&page["advisories"][0]["id"], &page["next"]), (&json!("CVE-2024-0009"), &Value::Null));

    let shown = api.get("/api/v1/advisories/DSA-9-1").await;
    assert_eq!(
        (&shown["texts"][0]["summary"], &shown["devices"]["affected"]),
        (&json!("pump leaks"), &json!(2))
    );
    let shown = api.get("/api/v1/advisories/CVE-2024-0001").await;
    assert_eq!(shown["packages"][0]["ranges"], json!(["introduced 0, fixed 2-1"]));
    assert_eq!(shown["by_ward"], json!([{"name": "St. Anna / ICU 2", "affected": 1, "unknown": 1}]));
    assert_eq!(shown["in_use"]["unknown"], 1, "nobody said that it is not in use");
    let devices = api.get("/api/v1/advisories/CVE-2024-0001/devices").await;
    assert_eq!(sorted(words(&devices)), [word("1", "affected"), word("2", "fixed"), word("3", "unknown")]);
    let model = api.get("/api/v1/advisories/ICSMA-24-001-01/devices?answer=affected&limit=2").await;
    assert_eq!(words(&model).len(), 2);
    let rest = model["next"].as_str().expect("one more");
    let rest =
        api.get(&format!("/api/v1/advisories/ICSMA-24-001-01/devices?answer=affected&after={rest}")).await;
    assert_eq!((words(&rest).len(), &rest["next"]), (1, &Value::Null));
    let fitting = api.get("/api/v1/devices?advisory=CVE-2024-0001").await;
    assert_eq!(fitting["devices"].as_array().map(Vec::len), Some(1));
    assert_eq!(fitting["devices"][0]["serial"], "1");
}

#[tokio::test]
async fn the_list_of_vulnerabilities_is_a_file_of_the_api() {
    // Goal: what the console lists, programs get whole, and never as an empty file before anything is known. Method: before any
    // feed; four feeds; JSON and CSV of the same question; each filter, and values that are none.
    let api = Api::start().await;
    three_pumps(&api).await;
    let (status, problem) = api.ask("GET", "/api/v1/vulnerabilities", "read", vec![]).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_advisories")));
    four_feeds(&api).await;
    let names = |list: &Value| -> Vec<String> {
        let rows = list["vulnerabilities"].as_array().expect("a list");
        sorted(rows.iter().filter_map(|row| row["vulnerability"].as_str().map(str::to_owned)).collect())
    };
    let all = api.get("/api/v1/vulnerabilities").await;
    assert_eq!(names(&all), ["CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0007", "CVE-2024-0009"]);
    let rows = all["vulnerabilities"].as_array().expect("a list");
    let first = rows.iter().find(|row| row["vulnerability"] == "CVE-2024-0001").expect("listed");
    assert_eq!(
        (&first["affected"], &first["unknown"], &first["exploited"]),
        (&json!(1), &json!(1), &json!("ransomware"))
    );
    assert_eq!((&first["fix"], &first["packages"]), (&json!("version"), &json!(["pump"])));
    assert!(first["next_step"].is_string() && first["owner"].is_string(), "{first}");
    let exploited = api.get("/api/v1/vulnerabilities?exploited=exploited").await;
    assert_eq!(names(&exploited), ["CVE-2024-0001"]);
    let unknown = names(&api.get("/api/v1/vulnerabilities?answer=unknown&sort=name").await);
    assert!(unknown.contains(&"CVE-2024-0002".to_owned()), "{unknown:?}");
    assert_eq!(names(&api.get("/api/v1/vulnerabilities?q=nothing-of-the-kind").await).len(), 0);
    for wrong in ["exploited=yes", "severity=huge", "format=xml", "sort=colour", "due=never", "fix=soon"] {
        let (status, _) = api.ask("GET", &format!("/api/v1/vulnerabilities?{wrong}"), "read", vec![]).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
}

#[tokio::test]
async fn a_file_stays_only_where_its_commit_may_have_been_made() {
    // Goal: no byte of a refused import stays on a full disk, and none goes that a commit may name. Method: a feed in force; the
    // store finds its disk full, says that somebody was faster, or does not say what it did.
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let clock = Clock::held(Clock::system().now_ms());
    let bench = Bench::over(store.clone(), Bench::laid().await, &["store=memory"], clock).await;
    let app = bench.app();
    let bring = async |file: String| {
        let incoming = app.knowledge.receive(1 << 20).await.expect("begun");
        let stored = incoming.write(file.into()).await.expect("written").finish(None).await.expect("kept");
        let brought = Brought {
            name: "debian".parse().expect("a name"),
            kind: Kind::Debian,
            as_of: None,
            signature: None,
            confirmed: false,
        };
        let by = Doer { actor: &person(), now: app.clock.now() };
        app.knowledge.import(app, brought, stored, by).await.map(|feed| feed.sha256)
    };
    let held = bring(DEBIAN.to_owned()).await.expect("taken");
    for fault in [Fault::Full, Fault::Conflict] {
        store.next(fault);
        let refused =
            bring(format!("{DEBIAN}bookworm,more,CVE-2024-0010,1-1,\n")).await.expect_err("refused");
        assert!(matches!(refused, FeedError::Store(StoreError::Full) | FeedError::Moved), "{refused}");
        assert_eq!(app.knowledge.files().await, [held], "{fault:?}");
        store.next(fault);
        bring(DEBIAN.to_owned()).await.expect_err("refused");
        assert_eq!(app.knowledge.files().await, [held], "{fault:?}: the file that is in force stays");
    }
    store.next(Fault::Before);
    bring(format!("{DEBIAN}bookworm,more,CVE-2024-0010,1-1,\n")).await.expect_err("nobody knows");
    assert_eq!(app.knowledge.files().await.len(), 2);
}

#[tokio::test]
async fn a_device_says_what_it_is_exposed_to_and_its_score_rises() {
    // Goal: reasons and scores follow an import. Method: the same pumps and feeds, asked by device and by feed.
    let api = Api::start().await;
    let device = format!("/api/v1/devices/{}", three_pumps(&api).await);
    let before = api.get(&device).await;
    four_feeds(&api).await;
    let after = api.get(&device).await;
    let exposed: Vec<&str> = after["facts"]["exposures"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(exposed, ["CVE-2024-0001", "CVE-2024-0007", "CVE-2024-0009"]);
    assert_eq!(after["facts"]["exposures"][0]["fixed_version"], "2-1");
    let points = |device: &Value| device["risk_hundredths"].as_u64().expect("a score");
    assert!(points(&after) > points(&before) + 1000, "{} then {}", points(&before), points(&after));
    let rows = api.get(&format!("{device}/exposures")).await;
    assert_eq!((&rows["total"], &rows["matching"]), (&json!(3), &json!("ready")));
    let first = &rows["exposures"][0];
    assert_eq!(
        (&first["advisory"], &first["bound"], &first["by"]),
        (&json!("DSA-1-1"), &json!("2-1"), &json!("deb"))
    );
    assert_eq!(first["weighs"]["known_exploited"], true);
    let fixed = api.get(&format!("{device}/exposures?answer=fixed")).await;
    assert_eq!(fixed["exposures"][0]["id"], "CVE-2024-0003");

    let feeds = api.get("/api/v1/feeds").await;
    let osv =
        feeds["feeds"].as_array().expect("a list").iter().find(|feed| feed["name"] == "osv").expect("it");
    assert_eq!(
        (&osv["records"], &osv["refused"]["other-form"], &osv["trust"]),
        (&json!(1), &json!(1), &json!("plain"))
    );
    assert_eq!(osv["first_refused"]["file"], "b.json");
    assert_eq!(feeds["never"], json!(["epss", "eol"]));
    let ends = api.get("/api/v1/expiries").await;
    let stale: Vec<_> =
        ends["expiries"].as_array().expect("a list").iter().filter(|end| end["what"] == "feed").collect();
    assert!(stale.iter().any(|end| end["within"] == 0), "a catalogue of 2024 is old news: {ends}");
}

#[tokio::test]
async fn a_file_that_is_refused_leaves_what_is_in_force_and_is_counted() {
    // Goal: no import makes anything safe by accident. Method: each file that must not be taken, and what stands then.
    let api = Api::start().await;
    api.pump("1", &[("pump", "1-1")]).await;
    api.brought("debian?kind=debian", DEBIAN).await;
    let held = api.get("/api/v1/feeds/debian").await["sha256"].clone();
    let less = "release,source,cve,fixed_version,advisory\nbookworm,pump,CVE-2024-0001,2-1,\n";
    for (query, file, status, code) in [
        ("debian", "{}x", StatusCode::UNPROCESSABLE_ENTITY, "broken-file"),
        ("debian", "x,y\n", StatusCode::UNPROCESSABLE_ENTITY, "broken-file"),
        ("debian?kind=kev", KEV, StatusCode::UNPROCESSABLE_ENTITY, "other-kind"),
        ("debian", less, StatusCode::CONFLICT, "much-less"),
        ("debian?as_of=2020-01-01T00:00:00Z", DEBIAN, StatusCode::CONFLICT, "older"),
        ("debian?as_of=2099-01-01T00:00:00Z", DEBIAN, StatusCode::UNPROCESSABLE_ENTITY, "ahead"),
        ("debian?as_of=today", DEBIAN, StatusCode::UNPROCESSABLE_ENTITY, "bad_query"),
        ("new", DEBIAN, StatusCode::UNPROCESSABLE_ENTITY, "unknown_kind"),
        ("new?kind=news", DEBIAN, StatusCode::UNPROCESSABLE_ENTITY, "unknown_kind"),
        ("new?kind=osv", "{\"id\":1}", StatusCode::UNPROCESSABLE_ENTITY, "nothing-read"),
        ("new?kind=epss", "cve,epss,percentile\n", StatusCode::UNPROCESSABLE_ENTITY, "broken-file"),
    ] {
        let (found, problem) = api.feed(query, file).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{query}: {problem}");
    }
    let mut cut = tar(&[("a.json", OSV)]);
    cut.truncate(700);
    assert_eq!(api.feed("new?kind=osv", cut).await.1["code"], "broken-file");
    assert_eq!(api.ask("PUT", "/api/v1/feeds/debian", "read", less.into()).await.0, StatusCode::FORBIDDEN);
    let feed = api.get("/api/v1/feeds/debian").await;
    assert_eq!((&feed["sha256"], &feed["in_force"]), (&held, &json!(true)));
    assert_eq!(
        (&feed["refused_files"]["broken-file"], &feed["refused_files"]["much-less"]),
        (&json!(2), &json!(1))
    );
    let page = api.get("/api/v1/feeds").await;
    assert_eq!(page["refused_files"][0]["feed"], "new", "{page}");
    assert_eq!(api.get("/api/v1/advisories").await["total"], 1);

    api.brought("debian?confirm=true", less).await;
    assert_ne!(api.get("/api/v1/feeds/debian").await["sha256"], held);
    let files = api.bench.app().knowledge.files().await;
    assert_eq!(files.len(), 1, "the former file and the refused ones are gone");
    let reason = json!({"reason": "another publisher from now on"}).to_string().into_bytes();
    assert_eq!(api.ask("DELETE", "/api/v1/feeds/debian", "*", reason).await.0, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/api/v1/feeds").await["matching"], "no-feeds");
    assert!(api.bench.journal().await.iter().any(|act| act == "feed.remove"));
}

#[tokio::test]
async fn where_the_owner_named_a_key_only_what_it_signed_is_taken() {
    // Goal: nobody slips a feed in. Method: a plain file, a stranger's, one for another feed, the owner's own.
    let (ours, theirs) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
    let hex: String = ours.verifying_key().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let api = Api::start_with(&[&format!("feeds.keys.kev=[\"{hex}\"]")]).await;
    assert_eq!(api.get("/api/v1/feeds").await["must_be_signed"], json!(["kev"]));
    let signed = |key: &SigningKey, feed: &str| {
        use base64::Engine;
        let statement = Statement {
            feed: feed.parse().expect("a name"),
            kind: Kind::Kev,
            sha256: Sha256::of(KEV.as_bytes()),
            length: KEV.len() as u64,
            made: cordon_proto::time::Timestamp(1_714_600_000),
        };
        let pen = |message: &[u8]| key.sign(message).to_bytes().to_vec();
        let id = cordon_proto::update::PublicKey::ed25519(key.verifying_key().to_bytes()).id();
        let signer = cordon_proto::update::author::Signer { key: id, sign: &pen };
        let bytes = cordon_proto::update::author::sign(&statement.value(), &[signer]);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    let send = async |signature: Option<String>| {
        let request = Request::builder().method("PUT").uri("/api/v1/feeds/kev?kind=kev");
        let request = request.header(AUTHORIZATION, "Bearer *");
        let request =
            signature.into_iter().fold(request, |request, text| request.header("cordon-signature", text));
        let request = request.body(Body::from(KEV)).expect("a request");
        let answer = api.router.clone().oneshot(request).await.expect("answers");
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice::<Value>(&bytes).expect("JSON")
    };
    assert_eq!(send(None).await["code"], "unsigned");
    assert_eq!(send(Some("!".to_owned())).await["code"], "feed_refused");
    assert_eq!(send(Some(signed(&theirs, "kev"))).await["code"], "signature-of-a-stranger");
    assert_eq!(send(Some(signed(&ours, "cisa"))).await["code"], "signature-of-another-file");
    let taken = send(Some(signed(&ours, "kev"))).await;
    assert_eq!((&taken["trust"], &taken["records"]), (&json!("signed"), &json!(1)), "{taken}");
}

#[tokio::test]
async fn an_accepted_risk_stands_in_the_register_and_an_old_feed_in_what_cannot_be_seen() {
    // Goal: an auditor reads who carries a risk beside the score, and nobody takes an old feed for a new one. Method: one of two
    // pumps has an accepted weakness; a feed grows old.
    let api = Api::start().await;
    let weak = api.pump("1", &[("pump", "1-1")]).await;
    api.pump("2", &[("pump", "2-1")]).await;
    api.brought("debian?kind=debian", DEBIAN).await;
    let app = api.bench.app();
    let now = app.clock.now();
    let word = |by: &str| exception::Word {
        by: by.to_owned(),
        at: now,
        reason: text("the maker repairs it in May"),
    };
    let asked = exception::Asked {
        about: "CVE-2024-0001".to_owned(),
        filter: vec!["model=VP-3".to_owned()],
        owner: text("Head of IT"),
        reason: text("the maker repairs it in May"),
        control: text("the ward is segmented"),
        until: now.plus_seconds(30 * 86_400),
    };
    let id = "x-1".parse().expect("a name");
    let asked = exception::Exception::request(id, asked, "person:ines".to_owned(), now).expect("allowed");
    let accepted = asked.approve(word("person:joy")).expect("allowed");
    let draft = Commit::draft(now, person()).put(Key::Exception(accepted.id.clone()), accepted.to_body());
    app.commit(draft).await.expect("commits");
    let register = api.get("/api/v1/risk/register").await;
    for row in register["rows"].as_array().expect("rows") {
        let lines: Vec<&str> =
            row["exceptions"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        if row["device"] == weak.to_string() {
            assert!(
                lines.len() == 1 && lines[0].starts_with("CVE-2024-0001 is accepted by Head of IT until"),
                "{row}"
            );
        } else {
            assert!(lines.is_empty(), "it does not have what is accepted: {row}");
        }
    }
    let fresh = api.get("/api/v1/coverage").await;
    assert!(
        fresh["feeds"].as_array().is_some_and(|gaps| gaps.iter().all(|gap| gap["why"] == "never")),
        "{fresh}"
    );
    api.bench.clock.hold_at(now.plus_seconds(9 * 86_400).into());
    let old = api.get("/api/v1/coverage").await;
    assert_eq!(
        (&old["feeds"][0]["feed"], &old["feeds"][0]["age_days"]),
        (&json!("debian"), &json!(9)),
        "{old}"
    );
    let spots = old["blind_spots"].as_array().expect("sentences");
    assert!(spots.iter().any(|line| line.as_str().is_some_and(|line| line.contains("9 days old"))), "{old}");
}

#[tokio::test]
async fn what_is_known_survives_a_restart_and_days_stand_still() {
    // Goal: a restart forgets nothing and moves no due date. Method: a server on a disk, stopped and opened a day later;
    // then its file bent, and gone.
    let folder = Bench::laid().await;
    let bench = Bench::open(folder.clone(), &[]).await;
    let (id, first) = {
        let id = bench.enrol("1").await.id;
        let app = bench.app();
        let draft = Commit::draft(app.clock.now(), person());
        app.commit(draft.put(Key::Inventory(id), inventory(&[("pump", "1-1")]))).await.expect("commits");
        bring(app, "debian", DEBIAN).await;
        app.knowledge.bring_up_to_date(app).await.expect("made");
        (id, app.clock.now())
    };
    bench.server.stop().await;
    let bench = Bench::open(folder.clone(), &[]).await;
    let app = bench.app().clone();
    ready(&app).await;
    let member = app.fleet.get(id).expect("a device");
    let exposed = app.knowledge.matched().exposed(&member).expect("feeds are here");
    assert_eq!(exposed.exposures.len(), 1);
    let since = exposed.exposures[0].known_since.expect("a day");
    assert!(since.seconds_since(first).abs() < 60, "{since} beside {first}");
    bench.server.stop().await;
    // Whoever holds the application holds its store.
    drop(app);

    let shelf = folder.path().join("blobs").join(crate::knowledge::FOLDER);
    let files = || {
        let shelves = std::fs::read_dir(&shelf).expect("a folder").filter_map(Result::ok);
        let shelves = shelves.filter(|entry| entry.file_name().len() == 2);
        shelves.flat_map(|shelf| std::fs::read_dir(shelf.path()).expect("a shelf")).filter_map(Result::ok)
    };
    let file = files().next().expect("the file").path();
    std::fs::write(&file, "release,source,cve,fixed_version,advisory\nbookworm,x,CVE-2024-0001,1,\n")
        .expect("bent");
    let bench = Bench::open(folder.clone(), &[]).await;
    let app = bench.app().clone();
    ready(&app).await;
    let matched = app.knowledge.matched();
    let made = matched.made.clone().expect("made");
    assert!(made.missing.values().any(|why| why.contains("damaged")), "{:?}", made.missing);
    let exposed = matched.exposed(&app.fleet.get(id).expect("a device")).expect("feeds are here");
    assert_eq!((exposed.exposures.len(), exposed.unmatchable), (0, 1), "what is not known is not safe");
    bench.server.stop().await;
}

#[tokio::test]
async fn what_one_server_takes_in_the_other_one_knows() {
    // Goal: two servers say the same. Method: one imports, the other is asked; the other removes it.
    let [(one, _), (two, _)] = Bench::pair().await;
    bring(one.app(), "debian", DEBIAN).await;
    ready(one.app()).await;
    let waited = tokio::time::timeout(PATIENCE, async {
        while two.app().knowledge.feeds().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it follows");
    ready(two.app()).await;
    assert!(two.app().knowledge.matched().topic("DSA-1-1").is_some());
}

/// Brings a table of Debian's to a server.
async fn bring(app: &Arc<App>, name: &str, file: &str) {
    let incoming = app.knowledge.receive(1 << 20).await.expect("room");
    let incoming = incoming.write(bytes::Bytes::copy_from_slice(file.as_bytes())).await.expect("room");
    let stored = incoming.finish(None).await.expect("kept");
    let brought = Brought {
        name: name.parse().expect("a name"),
        kind: Kind::Debian,
        as_of: None,
        signature: None,
        confirmed: false,
    };
    let (actor, now) = (person(), app.clock.now());
    let by = Doer { actor: &actor, now };
    app.knowledge.import(app, brought, stored, by).await.expect("taken");
}
