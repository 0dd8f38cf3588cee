//! The owner's side end to end: a real server process, real signatures, real command lines.

use std::path::Path;

use cordon_agent::clock::{Clock, SystemClock};
use cordon_proto::ids::Sha256;
use cordon_sim::hospital::{Hospital, Place, Release, Who};
use cordon_sim::one_device::OneDevice;
use cordon_sim::postgres::Cluster;
use cordon_sim::tidy::tree;
use cordon_sim::transcript::Transcript;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_at_their_own_desks_sign_by_way_of_the_server_and_no_order_is_lost() {
    // Goal: drafts over a real server. Method: two orders made at once at two desks; one is signed and published, the other
    // is refused, rebased, signed and published; both are in force, both drafts are told as the server keeps them.
    let folder = tempfile::tempdir().expect("a folder");
    let hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
    let image = folder.path().join("new.img");
    std::fs::write(&image, vec![7; 10_000]).expect("writes");
    hospital.release(&Release::pump(&image)).await.expect("a release");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let maker = path("halden");
    for desk in ["ines", "max"] {
        std::fs::create_dir(path(desk)).expect("a desk");
        for file in ["1.root.json", "1.targets.json"] {
            std::fs::copy(folder.path().join("director").join(file), folder.path().join(desk).join(file))
                .expect("is copied");
        }
    }
    for (desk, key, name) in [("ines", "orders-1", "tuesday"), ("max", "orders-2", "monday")] {
        let (director, list, key) = (path(desk), path(&format!("{name}.tsv")), hospital.key(key));
        std::fs::write(&list, format!("Halden\tVP-3\tVP3-{name}\n")).expect("writes");
        let mut order = vec!["order", "sign", "--director", &director, "--image", &maker, "--key", &key];
        order.extend(["--id", name, "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "7d"]);
        order.extend(["--window", "always", "--reason", "closes a hole", "--scope-list", &list]);
        hospital.ctl(&order).await.expect("signs");
        let push =
            ["order", "draft", "push", name, "--director", &director, "--scope-list", &list, "--by", desk];
        hospital.ctl(&push).await.expect("hands it on");
    }
    let sign = async |desk: &str, key: &str, how: [&str; 2]| {
        let (director, key) = (path(desk), hospital.key(key));
        let head = ["order", "sign", "--director", &director, "--image", &maker, "--key", &key];
        hospital.ctl(&[&head[..], &how].concat()).await
    };
    let publish = async |desk: &str| {
        hospital.ctl(&["repo", "publish", "--director", &path(desk)]).await.expect("publishes")
    };
    sign("max", "orders-2", ["--draft", "tuesday"]).await.expect("is complete");
    publish("max").await;
    let late = sign("ines", "orders-1", ["--draft", "monday"]).await.expect_err("other orders").to_string();
    assert!(late.contains("in force are orders 1"), "{late}");
    sign("ines", "orders-1", ["--rebase", "monday"]).await.expect("is laid onto them");
    let told = hospital.api("/api/v1/drafts").await.expect("lists");
    assert_eq!(told.pointer("/drafts/0/base"), Some(&1.into()), "{told}");
    assert_eq!(told.pointer("/drafts/0/adds/0"), Some(&"monday".into()), "{told}");
    sign("max", "orders-2", ["--draft", "monday"]).await.expect("is complete");
    publish("max").await;
    let served = hospital.api("/api/v1/repositories/director/2.orders.json").await.expect("is served");
    let orders = served.pointer("/signed/targets").and_then(serde_json::Value::as_object).expect("orders");
    assert_eq!(orders.keys().collect::<Vec<_>>(), ["order/monday", "order/tuesday"]);
    let ends = hospital.ctl(&["expiries", "--all"]).await.expect("lists");
    assert!(ends.to_string().contains("order tuesday"), "{ends}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_of_rollouts_shows_what_the_commands_print() {
    // Goal: the whole flow by `cordonctl` alone, from a signed release to evidence that needs no server, as the document
    // shows it. Method: two devices take part; every command and its output beside the document, word for word.
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital =
        Hospital::open(Path::new(SIM), folder.path(), &["device.checkin_s=1"]).await.expect("opens");
    hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
    let image = folder.path().join("vp-3-4.2.2.img");
    std::fs::write(&image, vec![7; 100_000]).expect("writes");
    let release = Release::pump(&image);
    hospital.release(&release).await.expect("a release");
    std::fs::write(folder.path().join("ward-4b.tsv"), "Halden\tVP-3\tVP3-1001\nHalden\tVP-3\tVP3-1008\n")
        .expect("writes");
    let states = folder.path().join("states");
    let mut devices = Vec::new();
    for serial in ["VP3-1001", "VP3-1008"] {
        devices.push(OneDevice::enrol(&hospital, &states, serial).await.expect("enrols"));
    }
    let token = folder.path().join("admin.token").display().to_string();
    let ca = folder.path().join("server/ca/root.pem").display().to_string();
    let server = format!("http://{}", hospital.ready().operator);
    let common = ["--server", &server, "--token-file", &token, "--ca", &ca].map(ToOwned::to_owned);
    let mut told = Transcript::new(folder.path(), &common);
    for step in ORDERING {
        told.run(step, &FILES, 0).await.expect("is done");
    }
    let sha256 = Sha256::of(&vec![7; 100_000]);
    let path = release.name.parse().expect("a path");
    let now = || SystemClock::new().now().seconds();
    let (first, second) =
        tokio::join!(devices[0].install(&path, sha256, now), devices[1].install(&path, sha256, now));
    first.and(second).expect("both install");
    // What it prints while it still runs is a matter of moments.
    until(async || {
        let rollout = hospital.api("/api/v1/rollouts/vp3-422").await.expect("answers");
        rollout.get("state") == Some(&"finished".into())
    })
    .await;
    for step in ENDING {
        told.run(step, &FILES, 0).await.expect("is done");
    }
    hospital.stop().await.expect("drains");
    std::fs::remove_dir_all(folder.path().join("server/db")).ok();
    for step in PROVING {
        told.run(step, &FILES, 0).await.expect("is done");
    }
    let pack = folder.path().join("evidence.jsonl");
    let bent: String = std::fs::read_to_string(&pack)
        .expect("a pack")
        .split_inclusive('\n')
        .filter(|line| !line.contains("evidence-receipt"))
        .collect();
    std::fs::write(folder.path().join("bent.jsonl"), bent).expect("writes");
    told.run(&BENT, &FILES, 1).await.expect("is refused");
    let document = std::fs::read_to_string(tree::root().join("docs/ROLLOUTS.md")).expect("the document");
    let shown: String =
        document.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(
        shown == told.text(),
        "docs/ROLLOUTS.md shows something else; the commands print:\n{}",
        told.text()
    );
}

/// Waits until it holds.
async fn until(holds: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it does not come to hold within a minute");
}

/// Names that the transcript's commands give to files.
const FILES: [&str; 13] = [
    "./director",
    "./halden",
    "keys/orders-1.pem",
    "keys/orders-2.pem",
    "ward-4b.tsv",
    "receipts.jsonl",
    "head.json",
    "evidence.jsonl",
    "bent.jsonl",
    "director/1.root.json",
    "halden/1.root.json",
    "report.json",
    "vp-3-4.2.2.img",
];
const ORDERING: [&[&str]; 5] = [
    &[
        "order",
        "sign",
        "--director",
        "./director",
        "--image",
        "./halden",
        "--key",
        "keys/orders-1.pem",
        "--id",
        "vp3-422",
        "--release",
        "vp-3/4.2.2",
        "--repository",
        "halden",
        "--expires",
        "7d",
        "--window",
        "always",
        "--whole",
        "--scope-list",
        "ward-4b.tsv",
        "--reason",
        "closes a hole",
    ],
    &[
        "order",
        "sign",
        "--director",
        "./director",
        "--image",
        "./halden",
        "--key",
        "keys/orders-2.pem",
        "--add",
        "--scope-list",
        "ward-4b.tsv",
    ],
    &["repo", "publish", "--director", "./director"],
    &["audit", "head", "--out", "head.json"],
    &[
        "rollouts",
        "create",
        "--id",
        "vp3-422",
        "--title",
        "VP-3 4.2.2 to ward 4B",
        "--wave",
        "pumps=vp3-422=ward-4b.tsv",
        "--waves",
        "1,rest",
        "--soak-s",
        "0",
    ],
];
const ENDING: [&[&str]; 4] = [
    &["rollouts", "watch", "vp3-422", "--lines"],
    &["rollouts", "list"],
    &["receipts", "export", "--order", "vp3-422", "--out", "receipts.jsonl"],
    &["evidence", "pack", "--rollout", "vp3-422", "--out", "evidence.jsonl"],
];
const PROVING: [&[&str]; 4] = [
    &[
        "order",
        "verify",
        "--director",
        "./director",
        "--image",
        "./halden",
        "--order",
        "vp3-422",
        "--scope-list",
        "ward-4b.tsv",
        "--receipts",
        "receipts.jsonl",
    ],
    &[
        "evidence",
        "verify",
        "--pack",
        "evidence.jsonl",
        "--director-root",
        "director/1.root.json",
        "--image-root",
        "halden=halden/1.root.json",
        "--head",
        "head.json",
    ],
    &[
        "evidence",
        "measures",
        "--pack",
        "evidence.jsonl",
        "--director-root",
        "director/1.root.json",
        "--image-root",
        "halden=halden/1.root.json",
        "--head",
        "head.json",
        "--known",
        "CVE-2026-1107=2026-01-02",
    ],
    &[
        "evidence",
        "maker-report",
        "--pack",
        "evidence.jsonl",
        "--director-root",
        "director/1.root.json",
        "--image-root",
        "halden=halden/1.root.json",
        "--head",
        "head.json",
        "--approve",
        "boots",
        "--key",
        "keys/orders-1.pem",
        "--out",
        "report.json",
    ],
];
const BENT: [&str; 10] = [
    "evidence",
    "verify",
    "--pack",
    "bent.jsonl",
    "--director-root",
    "director/1.root.json",
    "--image-root",
    "halden=halden/1.root.json",
    "--head",
    "head.json",
];
