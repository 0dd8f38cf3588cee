//! The owner's side end to end: a real server process, real signatures, real command lines.

use std::path::Path;

use cordon_sim::hospital::{Hospital, Place, Release, Who};
use cordon_sim::postgres::Cluster;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_signs_publishes_and_makes_enrolment_strings() {
    // Goal: the ceremony of a new hospital, as its people do it. Method: server process, cordonctl, operator API.
    ceremony(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_does_the_same_with_a_server_on_postgresql() {
    // Goal: the engine is a setting and nothing else. Method: the same ceremony, the store on a PostgreSQL.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cluster) = Cluster::started(folder.path()).expect("starts") else { return };
    ceremony(Some(&format!("postgres:{}", cluster.url()))).await;
    let commits = cluster.say("SELECT count(*) FROM cordon.feed").expect("read");
    assert!(commits.parse::<u32>().expect("a number") > 5, "{commits}");
}

/// A hospital from its first key to its first devices, on the store of the defaults or on another.
async fn ceremony(store: Option<&str>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store.map(|store| format!("store=\"{store}\""));
    let settings: Vec<&str> = ["device.checkin_s=1"].into_iter().chain(store.as_deref()).collect();
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &settings).await.expect("opens");
    hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
    let image = folder.path().join("vp-3-4.2.2.img");
    std::fs::write(&image, vec![7; 100_000]).expect("writes");
    let release = Release::pump(&image);
    hospital.release(&release).await.expect("a release");
    let releases = hospital.api("/api/v1/releases").await.expect("lists");
    assert_eq!(releases.pointer("/releases/0/counter"), Some(&422.into()), "{releases}");

    let list = folder.path().join("wave-1.tsv");
    std::fs::write(&list, "Halden\tVP-3\tVP3-1001\nHalden\tVP-3\tVP3-1008\n").expect("writes");
    hospital.order("vp3-422", &release, &[list]).await.expect("an order");
    let fleet = hospital.api("/api/v1/fleet").await.expect("answers");
    assert!(fleet.pointer("/director_version").and_then(serde_json::Value::as_u64) >= Some(2), "{fleet}");

    let place = Place { site: "St. Brigid", ward: "4B", kind: "infusion-pump" };
    let line = hospital.enrolment("VP-3", &place, Who::Count(2)).await.expect("a token");
    assert!(line.starts_with("cordon1:127.0.0.1:"), "{line}");
    assert!(hospital.sign_in_link().expect("a link").starts_with("http://127.0.0.1:"));
    let [head, export, key] = ["head.json", "audit.jsonl", "server/audit-key.json"]
        .map(|name| folder.path().join(name).display().to_string());
    hospital.ctl(&["audit", "head", "--out", &head]).await.expect("a head is kept");
    hospital.enrolment("VP-3", &place, Who::Count(1)).await.expect("one more entry");
    hospital.ctl(&["audit", "export", "--out", &export]).await.expect("exports");
    let verify = ["audit", "verify", "--export", &export, "--head", &head, "--key", &key];
    let verified = hospital.ctl(&verify).await.expect("as it was sealed");
    assert_eq!(verified.get("verified"), Some(&true.into()), "{verified}");
    let edited = std::fs::read_to_string(&export).expect("an export").replacen("token:", "token: ", 1);
    std::fs::write(&export, edited).expect("edited");
    let refused = hospital.ctl(&verify).await.expect_err("tampered").to_string();
    assert!(refused.contains("was changed after it was sealed"), "{refused}");
    hospital.stop().await.expect("drains");
    hospital.start(&settings).await.expect("starts again on the same ports");
    assert!(
        hospital.api("/api/v1/fleet").await.expect("answers").get("director_version")
            == fleet.get("director_version")
    );
}
