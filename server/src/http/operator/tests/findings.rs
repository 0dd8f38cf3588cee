//! Findings as people's tools see them: one of many devices, how rare, previews, past verdicts, service visits.

use cordon_proto::ids::{DeviceId, Name, Sha256, Text};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::telemetry::{Batch, Body as Told, Finding, Position, Severity};
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use cordon_server_core::device::Proof;

use super::*;

const DAY: i64 = 86_400;

fn finding(key: &str, severity: Severity, first: Timestamp) -> Finding {
    let text = |words: &str| words.parse::<Text>().expect("a text");
    Finding {
        detector: "allow-list".parse().expect("a name"),
        key: text(key),
        first,
        last: first,
        count: 1,
        peer: None,
        severity,
        attack: Vec::new(),
        evidence: [].into(),
        title: text("Opens connections to a new name"),
        what_changed: text("Since today."),
        why_it_matters: text("It never did."),
        how_sure: text("High."),
        what_to_do: text("Ask."),
    }
}

impl Api {
    /// Devices of one model, all heard just now.
    async fn ward(&self, devices: usize) -> Vec<DeviceId> {
        let mut ids = Vec::new();
        for number in 0..devices {
            let id = self.bench.enrol(&format!("VP3-{number}")).await.id;
            let app = self.bench.app();
            app.fleet.heard(id, None, None, app.clock.now_ms());
            ids.push(id);
        }
        ids
    }

    /// What a device tells, by the way that devices tell it.
    async fn tells(&self, device: DeviceId, place: u64, finding: Finding) {
        let app = self.bench.app();
        let position = Position { boot: 1, sequence: place };
        let record = Told::Finding(finding).record(position, app.clock.now().into());
        app.telemetry(device, Batch { records: vec![record] }).await.expect("stored");
    }

    async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, "read", vec![]).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// A confirmed update of a device.
    async fn updated(&self, device: DeviceId, at: Timestamp) {
        let app = self.bench.app();
        let body = ReceiptBody {
            device,
            hardware: HardwareId([1; 32]),
            order: "o-17".parse().expect("a name"),
            action: cordon_proto::checkin::Action::Install,
            outcome: Outcome::Confirmed,
            release: Some("vp-3/4.2.1".parse().expect("a path")),
            counter: 42,
            sha256: Sha256([4; 32]),
            previous_sha256: Sha256([3; 32]),
            slot: text("A"),
            boots: 1,
            floor: 40,
            interlock: cordon_proto::checkin::InterlockState::Standby,
            time: at,
            reason: None,
        };
        let receipt = Receipt::sign::<std::convert::Infallible>(&body, |_| Ok(vec![1])).expect("signed");
        let bytes = wire::write(&receipt);
        let order: Name = body.order.clone();
        let key = Key::Receipt { order, device, digest: Sha256::of(&bytes) };
        let proof = Proof::new(&bytes, Sha256([4; 32]), at);
        app.commit(Commit::draft(app.clock.now(), person()).put(key, proof.to_body())).await.expect("stored");
    }
}

#[tokio::test]
async fn the_same_on_many_devices_is_one_finding_that_is_decided_in_one_act() {
    // Goal: 200 devices, one row, one decision; the critical one stays. Method: four of six pumps, one critical; mute, then
    // allow; a fifth pump that shows it later.
    let api = Api::start().await;
    let ward = api.ward(6).await;
    let now = api.bench.app().clock.now();
    for (number, severity) in
        [Severity::Medium, Severity::Medium, Severity::High, Severity::Critical].iter().enumerate()
    {
        api.tells(ward[number], 1, finding("new.example 443/tcp", *severity, now.plus_seconds(-60))).await;
    }
    let groups = api.read("/api/v1/findings/groups").await;
    let group = &groups["groups"][0];
    assert_eq!((&group["devices"], &group["of"], &group["open"]), (&json!(4), &json!(6), &json!(4)));
    assert_eq!((&group["kind"], &group["critical"]), (&json!("model"), &json!(1)));
    let id = group["id"].as_str().expect("a name");
    let open = api.read(&format!("/api/v1/findings?group={id}")).await;
    assert_eq!(open["findings"].as_array().map(Vec::len), Some(4));
    let preview = api.read(&format!("/api/v1/findings/groups/{id}/preview")).await;
    assert_eq!((&preview["findings"], &preview["past_alerts"]), (&json!(3), &json!(3)));
    let path = |verb: &str| format!("/api/v1/findings/groups/{id}/{verb}");
    let until = now.plus_seconds(30 * DAY).to_string();
    let (status, _) = api.post(&path("mute"), "*", json!({"reason": "short", "until": until})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let ask = json!({"reason": "the new time server of the maker", "until": until});
    assert_eq!(api.post(&path("mute"), "read", ask.clone()).await.0, StatusCode::FORBIDDEN);
    let (_, done) = api.post(&path("mute"), "*", ask.clone()).await;
    assert_eq!(done, json!({"decided": 3, "already": 0, "critical": 1, "allowed": 0}));
    let (_, done) = api.post(&path("allow"), "*", ask).await;
    assert_eq!(done, json!({"decided": 3, "already": 0, "critical": 1, "allowed": 1}));
    api.tells(ward[4], 1, finding("new.example 443/tcp", Severity::Medium, now)).await;
    api.tells(ward[5], 1, finding("new.example 443/tcp", Severity::Critical, now)).await;
    let open = api.read("/api/v1/findings").await;
    let severities: Vec<&Value> =
        open["findings"].as_array().expect("a list").iter().map(|one| &one["finding"]["severity"]).collect();
    assert_eq!(severities, ["critical", "critical"], "what is worse than what was allowed is news");
    let allowances = api.read("/api/v1/allowances").await;
    let allowance = allowances["allowances"][0]["id"].as_str().expect("a name").to_owned();
    let take_back = json!({"reason": "the maker says it is not theirs"}).to_string().into_bytes();
    let path = format!("/api/v1/allowances/{allowance}");
    assert_eq!(api.ask("DELETE", &path, "*", take_back.clone()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(api.ask("DELETE", &path, "*", take_back).await.0, StatusCode::NOT_FOUND);
    let journal = api.read("/api/v1/audit").await.to_string();
    assert_eq!(journal.matches("\"finding.decide\"").count(), 6, "each finding's decision stands by itself");
    assert!(journal.contains("model.allow") && journal.contains("model.disallow"));
}

#[tokio::test]
async fn what_is_new_after_a_confirmed_update_is_one_finding_of_the_release() {
    // Goal: the release is asked first, from one device on. Method: a receipt an hour ago, a finding since.
    let api = Api::start().await;
    let ward = api.ward(2).await;
    let now = api.bench.app().clock.now();
    api.updated(ward[0], now.plus_seconds(-3600)).await;
    api.tells(ward[0], 1, finding("new.example 443/tcp", Severity::Medium, now.plus_seconds(-60))).await;
    let groups = api.read("/api/v1/findings/groups").await;
    let group = &groups["groups"][0];
    assert_eq!((&group["kind"], &group["release"]), (&json!("post-update-drift"), &json!("vp-3/4.2.1")));
    assert!(group["what_to_do"].as_str().is_some_and(|words| words.starts_with("Ask the maker whether")));
    let shown = api.read(&format!("/api/v1/findings/groups/{}", group["id"].as_str().expect("a name"))).await;
    assert_eq!(shown["parts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_finding_says_how_rare_it_is_what_was_decided_before_and_what_a_mute_would_hide() {
    // Goal: the next analyst knows what the last one knew. Method: one pump of six; its finding closed and seen again; the
    // same on a second pump.
    let api = Api::start().await;
    let ward = api.ward(6).await;
    let now = api.bench.app().clock.now();
    let seen = finding("new.example 443/tcp", Severity::Medium, now.plus_seconds(-3 * DAY));
    api.tells(ward[0], 1, seen.clone()).await;
    let open = api.read("/api/v1/findings").await;
    let digest = open["findings"][0]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(open["findings"][0]["rarity"]["words"], "Only this one of 6 VP-3 reported it.");
    let path = |device: DeviceId, rest: &str| format!("/api/v1/findings/{device}/{digest}{rest}");
    let why = json!({"reason": "the pharmacy moved its server"});
    assert_eq!(api.post(&path(ward[0], "/close"), "*", why).await.0, StatusCode::OK);
    api.tells(ward[0], 2, Finding { count: 2, last: now, ..seen.clone() }).await;
    api.tells(ward[1], 1, seen).await;
    let shown = api.read(&path(ward[1], "")).await;
    let verdict = &shown["verdicts"][0];
    assert_eq!((&verdict["turn"], &verdict["likeness"]), (&json!("closed"), &json!("same-key")));
    assert_eq!(verdict["reason"], "the pharmacy moved its server");
    assert_eq!(shown["rarity"]["words"], "2 of 6 VP-3 reported it.");
    let preview = api.read(&path(ward[0], "/preview")).await;
    assert_eq!((&preview["findings"], &preview["past_alerts"]), (&json!(1), &json!(2)));
    let preview = api.read(&path(ward[0], "/preview?scope=model")).await;
    assert_eq!((&preview["devices"], &preview["past_alerts"]), (&json!(2), &json!(3)));
    let odd = api.ask("GET", &path(ward[0], "/preview?scope=world"), "read", vec![]).await;
    assert_eq!(odd.0, StatusCode::UNPROCESSABLE_ENTITY);
    let named = api.read(&format!("/api/v1/findings?id={}", shown["id"].as_str().expect("a name"))).await;
    assert_eq!(named["findings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_finding_that_begins_during_a_visit_is_tied_to_it_and_a_visit_is_announced_in_bounds() {
    // Goal: a technician's work is expected, and hides nothing grave. Method: a visit of now; a medium and a critical
    // finding; a visit for everything; ended, and ended again.
    let api = Api::start().await;
    let ward = api.ward(1).await;
    let now = api.bench.app().clock.now();
    let until = now.plus_seconds(7200).to_string();
    let ask = |filter: &[&str]| {
        let who = "K. Lang, Halden field service";
        json!({"filter": filter, "who": who, "until": until, "reason": "battery exchange in ICU 2", "ticket": "WO-1187"})
    };
    assert_eq!(api.post("/api/v1/visits", "*", ask(&[])).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.post("/api/v1/visits", "*", ask(&["band=low"])).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, visit) = api.post("/api/v1/visits", "*", ask(&["ward=ICU 2"])).await;
    assert_eq!((status, &visit["state"], &visit["devices"]), (StatusCode::CREATED, &json!("now"), &json!(1)));
    api.tells(ward[0], 1, finding("a", Severity::Medium, now.plus_seconds(1))).await;
    api.tells(ward[0], 2, finding("b", Severity::Critical, now.plus_seconds(1))).await;
    let open = api.read("/api/v1/findings").await;
    let expected: Vec<&Value> =
        open["findings"].as_array().expect("a list").iter().map(|one| &one["visit"]["expected"]).collect();
    assert_eq!(expected, [&json!(false), &json!(true)], "the critical one first, and not lowered");
    let end = format!("/api/v1/visits/{}/end", visit["id"].as_str().expect("a name"));
    let why = json!({"reason": "done before the time"});
    assert_eq!(api.post(&end, "*", why.clone()).await.1["state"], "over");
    assert_eq!(api.post(&end, "*", why).await.0, StatusCode::CONFLICT);
    let visits = api.read("/api/v1/visits").await;
    assert!(visits["visits"][0]["ended_by"].as_str().is_some_and(|by| by.starts_with("token:")));
    let journal = api.read("/api/v1/audit").await.to_string();
    assert!(journal.contains("visit.announce") && journal.contains("visit.end"));
}
