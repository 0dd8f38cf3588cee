//! Releases that were taken in and what they would repair, and a fleet scored by what its devices share.

use std::collections::BTreeSet;

use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::update::release::Release;
use cordon_proto::wire;
use cordon_server_core::device::{Proof, Report};
use cordon_server_core::risk::gather::Newest;

use super::feeds::{DEBIAN, four_feeds, inventory, three_pumps};
use super::*;
use crate::appraisal::{Published, appraise, plan_each, rescore};
use crate::fleet::Member;
use crate::testing::maker::{Bytes, file, release};
use crate::testing::{Enrolled, checkin};

/// A bill of materials of a Debian 12 with this version of the pump's package.
fn bill(pump: &str) -> Vec<u8> {
    let purl = format!("pkg:deb/debian/pump@{pump}?distro=debian-12");
    let pump = json!({"type": "library", "name": "pump", "version": pump, "purl": purl});
    json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [pump]}).to_string().into_bytes()
}

/// A pump says that it runs this release, and has this version of its package.
async fn runs(api: &Api, pump: &Enrolled, counter: u64, package: &str) {
    let app = api.bench.app();
    let draft = Commit::draft(app.clock.now(), person());
    app.commit(draft.put(Key::Inventory(pump.id), inventory(&[("pump", package)]))).await.expect("commits");
    let mut said = checkin(pump);
    said.software.release = Some(format!("vp-3/4.{counter}").parse().expect("a path"));
    said.software.counter = counter;
    app.fleet.heard(pump.id, Some(Report::of(&said)), None, app.clock.now());
    app.write_now(pump.id).await.expect("written");
    app.knowledge.bring_up_to_date(app).await.expect("made");
}

/// The pump's receipt for the way from one release to the other.
async fn proves(api: &Api, pump: &Enrolled, before: &Release, after: &Release) {
    let member = api.bench.app().fleet.get(pump.id).expect("a pump");
    let body = ReceiptBody {
        release: Some(after.image.release.clone()),
        counter: after.counter,
        sha256: after.image.sha256,
        previous_sha256: before.image.sha256,
        ..receipt(&member, Outcome::Confirmed, "0187")
    };
    hands_in(api, &body).await;
}

/// How an update by this order ended, as the device has it in its receipt.
fn receipt(member: &Member, outcome: Outcome, order: &str) -> ReceiptBody {
    ReceiptBody {
        device: member.id(),
        hardware: member.device.hardware.identity(),
        order: order.parse().expect("a name"),
        action: Action::Install,
        outcome,
        release: None,
        counter: 41,
        sha256: Sha256([1; 32]),
        previous_sha256: Sha256([2; 32]),
        slot: text("A"),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: member.device.since,
        reason: None,
    }
}

async fn hands_in(api: &Api, body: &ReceiptBody) {
    let app = api.bench.app();
    let now = app.clock.now();
    let signed = Receipt::sign::<std::convert::Infallible>(body, |_| Ok(vec![1])).expect("signed");
    let bytes = wire::write(&signed);
    let key = Key::Receipt { order: body.order.clone(), device: body.device, digest: Sha256::of(&bytes) };
    let proof = Proof::new(&bytes, Sha256([5; 32]), now);
    app.commit(Commit::draft(now, person()).put(key, proof.to_body())).await.expect("commits");
}

#[tokio::test]
async fn a_release_that_nobody_runs_yet_repairs_by_its_bill_and_the_proof_of_it_is_measured() {
    // Goal: "update to R" is known before any device runs R, what it would change is computed from its own bill, and how fast
    // it closed the hole is told. Method: three releases, two with a bill, one without; a pump with the weakness, which then
    // proves that it runs the second.
    let api = Api::start().await;
    let mut kept = Bytes::new();
    let mut releases = [41, 42, 43].map(|counter| release(&format!("vp-3/4.{counter}"), counter, &mut kept));
    (releases[0].sbom, releases[1].sbom) =
        (Some(file(&bill("1-1"), &mut kept)), Some(file(&bill("2-1"), &mut kept)));
    api.send(&kept).await;
    assert_eq!(api.publish("halden", 1, &releases).await.0, StatusCode::OK);
    let pump = api.bench.enrol("VP3-1").await;
    api.brought("debian?kind=debian", DEBIAN).await;
    runs(&api, &pump, 41, "1-1").await;
    let exposures = api.get(&format!("/api/v1/devices/{}/exposures", pump.id)).await;
    let weighs = &exposures["exposures"][0]["weighs"];
    assert_eq!(
        (&weighs["fixed_in"], &weighs["fixed_counter"]),
        (&json!("vp-3/4.42"), &json!(42)),
        "{exposures}"
    );

    let newer = api.get("/api/v1/risk/what-if/halden/vp-3%2F4.42").await;
    assert_eq!((&newer["by"], &newer["matched"]), (&json!("sbom"), &json!(1)), "{newer}");
    assert_eq!(newer["fleet"]["removed"]["CVE-2024-0001:pump 1-1"], 1, "{newer}");
    let same = api.get("/api/v1/risk/what-if/halden/vp-3%2F4.43").await;
    assert_eq!((&same["by"], &same["matched"]), (&json!("remedies"), &json!(0)));
    assert!(same["by_words"].as_str().is_some_and(|words| words.contains("shipped no SBOM")), "{same}");

    let open = api.get("/api/v1/risk/measures?model=VP-3").await;
    assert_eq!((&open["devices"], &open["patched_permille"]), (&json!(1), &json!(0)), "{open}");
    assert!(open["cases"][0]["available"].is_string(), "{open}");
    api.bench.clock.hold_at(api.bench.app().clock.now().plus_seconds(2 * 86_400).into());
    runs(&api, &pump, 42, "2-1").await;
    proves(&api, &pump, &releases[0], &releases[1]).await;
    let closed = api.get("/api/v1/risk/measures").await;
    assert_eq!(
        (&closed["patched_permille"], &closed["closed_permille"]),
        (&json!(1000), &json!(1000)),
        "{closed}"
    );
    let days = closed["available_to_deployed"]["median_s"].as_i64().unwrap_or_default() / 86_400;
    assert_eq!((days, &closed["cases"][0]["patched"]), (2, &json!(1)), "{closed}");
    assert_eq!(api.get("/api/v1/risk/measures?model=other").await["vulnerabilities"], 0);
    let (status, _) = api.ask("GET", "/api/v1/risk/measures?from=soon", "read", vec![]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_fleet_that_is_scored_by_sets_has_the_numbers_of_its_pages() {
    // Goal: the quick way over a whole fleet gives no other number. Method: pumps of three images, two of one; one is behind its
    // newest release, one is back by an order that was published and one by another; each score of the pass against the one with its
    // reasons.
    let api = Api::start().await;
    three_pumps(&api).await;
    api.pump("4", &[("pump", "1-1"), ("hose", "1-1")]).await;
    let behind = api.bench.enrol("VP3-5").await;
    four_feeds(&api).await;
    let app = api.bench.app();
    runs(&api, &behind, 41, "1-1").await;
    for (member, order) in app.fleet.all().iter().zip(["0187", "0188"]) {
        hands_in(&api, &receipt(member, Outcome::WentBack, order)).await;
    }
    let (matched, model) = (app.knowledge.matched(), app.risk.model());
    let (members, now) = (app.fleet.all(), app.clock.now());
    let newest = Newest {
        release: "halden/vp-3/43".parse().expect("a path"),
        counter: u64::MAX,
        known: vec![(u64::MAX, now.plus_seconds(-200 * 86_400))],
    };
    let published = Published {
        newest: members.iter().map(|one| (one.device.hardware.model.clone(), newest.clone())).collect(),
        orders: BTreeSet::from(["0187".parse().expect("a name")]),
        matched,
        model,
    };
    let (mut weak, mut behind, mut strayed) = (0, 0, 0);
    rescore(&members, &published, now, |member, value, kinds| {
        let score = appraise(member, &published, now).score;
        assert_eq!((value, kinds.total()), (score.value(), u64::from(score.value_hundredths)));
        let has = |id: &str| u32::from(score.contributions.iter().any(|part| part.id == id));
        weak += u32::from(kinds.vulnerability > 0);
        behind += has("freshness:behind");
        strayed += has("freshness:rolled-back");
    });
    assert!((3..=5).contains(&weak), "{weak}");
    assert_eq!((behind, strayed), (1, 1), "one return was ordered");
    let mut planned = 0;
    plan_each(&members, &published, now, |member, steps| {
        assert_eq!(steps, appraise(member, &published, now).steps);
        planned += steps.len();
    });
    assert!(planned > members.len(), "{planned}");
    let [one, other] = ["1", "4"].map(|serial| {
        let member = members.iter().find(|member| member.device.hardware.serial.as_str() == serial);
        published.matched.exposed(member.expect("a pump")).expect("feeds are here")
    });
    assert!(Arc::ptr_eq(&one, &other), "devices of one image share one set");
}
