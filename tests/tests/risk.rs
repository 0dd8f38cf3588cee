//! The risk that people read, end to end: a real server process, real command lines, and the same number without a server.

use std::path::Path;

use cordon_proto::ids::Sha256;
use cordon_sim::hospital::{Hospital, Release};
use cordon_sim::one_device::OneDevice;
use serde_json::Value;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_recomputes_the_number_of_a_site_with_figures_of_its_own() {
    // Goal: what the server says can be computed anew by anybody, also after a site judged otherwise and after a restart. Method: two
    // pumps, a release, a figure set by command, the server started anew; facts and table saved from its answers, the score offline;
    // what the release would change, the board, the register and the versions by command.
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
    let image = folder.path().join("vp-3-4.2.2.img");
    std::fs::write(&image, vec![7; 10_000]).expect("writes");
    hospital
        .release(&Release { interlock: "none", revision: "A", ..Release::pump(&image) })
        .await
        .expect("a release");
    let states = folder.path().join("states");
    std::fs::create_dir(&states).expect("a folder");
    for serial in ["VP3-1", "VP3-2"] {
        let pump = OneDevice::enrol(&hospital, &states, serial).await.expect("enrols");
        pump.stands_by(421, Sha256([1; 32])).await.expect("checks in");
    }
    let set = ["risk", "model", "set", "key_in_file=3000", "--reason", "our pumps stand in corridors"];
    let set = hospital.ctl(&set).await.expect("set");
    hospital.stop().await.expect("drains");
    hospital.start(&[]).await.expect("starts");

    let model = hospital.ctl(&["risk", "model", "show"]).await.expect("shown");
    assert_eq!(at(&model, "/model_sha256"), at(&set, "/model_sha256"), "a restart forgets nothing");
    let devices = hospital.ctl(&["risk", "list"]).await.expect("listed");
    let id = at(&devices, "/0/device").as_str().expect("a device").to_owned();
    let device = hospital.ctl(&["risk", "show", &id]).await.expect("shown");
    assert_eq!(at(&device, "/score/model_sha256"), at(&model, "/model_sha256"));
    assert_eq!(at(&device, "/score/set_by_site/0/site"), &Value::from(3000));
    let [facts, table] =
        ["facts.json", "model.json"].map(|name| folder.path().join(name).display().to_string());
    std::fs::write(&facts, at(&device, "/facts").to_string()).expect("writes");
    std::fs::write(&table, model.to_string()).expect("writes");
    let time = at(&device, "/score/at").to_string();
    let offline = ["score", "--facts", &facts, "--model", &table, "--at", &time];
    let offline = hospital.ctl(&offline).await.expect("computed");
    assert_eq!(&offline, at(&device, "/score"), "every byte of it");

    let ask = ["risk", "what-if", "--repository", "halden", "--release", "vp-3/4.2.2"];
    let what_if = hospital.ctl(&ask).await.expect("judged");
    assert_eq!(
        (at(&what_if, "/fleet/devices"), at(&what_if, "/matched")),
        (&2.into(), &0.into()),
        "{what_if}"
    );
    let board = hospital.ctl(&["risk", "fleet", "--by", "model"]).await.expect("a board");
    assert_eq!(
        (at(&board, "/all/devices"), at(&board, "/lines/0/key")),
        (&2.into(), &"VP-3".into()),
        "{board}"
    );
    let out = folder.path().join("register.csv").display().to_string();
    hospital.ctl(&["export", "register", "--out", &out]).await.expect("written");
    let register = std::fs::read_to_string(&out).expect("a file");
    assert_eq!(register.lines().count(), 3, "{register}");
    let versions = hospital.ctl(&["risk", "versions"]).await.expect("listed");
    assert_eq!(
        (at(&versions, "/rows/0/counter"), at(&versions, "/rows/0/newer")),
        (&421.into(), &1.into()),
        "{versions}"
    );
    let sheet = hospital.ctl(&["export", "mds2", "--model", "VP-3"]).await.expect("a sheet");
    assert!(sheet.to_string().contains("Is the key of its identity kept in hardware?,0,2,0"), "{sheet}");
    let entries = hospital.api("/api/v1/audit?limit=500").await.expect("the journal");
    assert!(entries.to_string().contains("risk.set-model"), "{entries}");
}
