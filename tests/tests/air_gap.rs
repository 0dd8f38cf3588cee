//! An update without a network, end to end: two people sign a folder, a real agent takes it from there, and what comes
//! back on the stick ends the rollout at a real server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_proto::update::release::InterlockClass;
use cordon_sim::demo::boot_loader::Machine;
use cordon_sim::demo::catalogue::{QUIET_PUMP, Unit};
use cordon_sim::demo::fleet::{self, Factory};
use cordon_sim::hospital::{Hospital, Place, Who};
use cordon_sim::program::program;
use serde_json::Value;
use tokio::time::sleep;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const SETTINGS: [&str; 1] = ["device.checkin_s=1"];

/// A ward without a network: the hospital's side in one folder, the device's in another, and a stick.
struct Ward {
    hospital: Hospital,
    home: PathBuf,
    config: PathBuf,
    stick: PathBuf,
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Ward {
    /// An owner and a maker, one enrolled pump that has seen the server once, and an order for it that needs no permit.
    async fn open(folder: &Path) -> Self {
        let owner = folder.join("owner");
        let hospital = Hospital::open(Path::new(SIM), &owner, &SETTINGS).await.expect("opens");
        hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
        let home = folder.join("pump");
        let config = Self::pump(&hospital, &home).await;
        let ward = Self { hospital, home, config, stick: folder.join("stick") };
        ward.sign_release().await;
        ward.sign_order().await;
        ward
    }

    async fn pump(hospital: &Hospital, home: &Path) -> PathBuf {
        let unit = Unit { model: QUIET_PUMP, number: 0, site: "St. Anna", ward: "ICU 2" };
        let root = hospital.maker_root("halden");
        let factory = Factory {
            release: "vp-3/4.2.1".parse().expect("a release"),
            counter: 421,
            image: b"the factory image",
            interlock: InterlockClass::None,
            maker: ("halden", &root),
        };
        let config = fleet::build(home, &unit, &factory).expect("is built");
        let place = Place { site: unit.site, ward: unit.ward, kind: QUIET_PUMP.kind };
        let line = hospital.enrolment("VP-3", &place, Who::Serial(&unit.serial())).await.expect("a token");
        let join = home.join("join");
        std::fs::write(&join, line + "\n").expect("writes");
        agent(&config, &["enrol", "--with", &shown(&join)]).await.expect("enrols");
        config
    }

    fn owner(&self, name: &str) -> String {
        shown(&self.hospital.folder().join(name))
    }

    async fn ctl(&self, arguments: &[&str]) -> Result<Value, String> {
        self.hospital.ctl(arguments).await.map_err(|error| error.to_string())
    }

    async fn sign_release(&self) {
        let image = self.hospital.folder().join("new.img");
        std::fs::write(&image, vec![7; 3_000_000]).expect("writes");
        let (folder, image) = (self.owner("halden"), shown(&image));
        let key = |name: &str| self.hospital.key(&format!("halden-{name}"));
        let keys = ["model-1", "model-2", "snapshot", "timestamp"].map(key);
        let mut words = vec!["release", "sign", "--repository", &folder, "--release", "vp-3/4.2.2"];
        words.extend(["--image", &image, "--model", "VP-3", "--hardware", "C", "--counter", "422"]);
        words.extend(["--interlock", "none", "--confirm", "local", "--key", &keys[0], "--key", &keys[1]]);
        words.extend(["--snapshot-key", &keys[2], "--timestamp-key", &keys[3]]);
        self.ctl(&words).await.expect("a release");
        self.ctl(&["repo", "publish", "--image", &folder, "--name", "halden"]).await.expect("is published");
    }

    async fn sign_order(&self) {
        let list = self.list();
        std::fs::write(&list, "Halden\tVP-3\tVP3-1001\n").expect("writes");
        let (director, image, list) = (self.owner("director"), self.owner("halden"), list.as_str());
        let head = ["order", "sign", "--director", &director, "--image", &image, "--scope-list", list];
        let [first, second] = ["orders-1", "orders-2"].map(|name| self.hospital.key(name));
        let mut words = vec!["--id", "ward-422", "--release", "vp-3/4.2.2", "--repository", "halden"];
        words.extend(["--expires", "10d", "--window", "always", "--reason", "closes a hole", "--offline"]);
        words.extend(["--key", &first]);
        self.ctl(&[&head[..], &words].concat()).await.expect("an order");
        self.ctl(&[&head[..], &["--add", "--key", &second]].concat()).await.expect("two signatures");
        self.ctl(&["repo", "publish", "--director", &director]).await.expect("is published");
        let wave = format!("icu=ward-422={list}");
        let words =
            ["rollouts", "create", "--id", "ward", "--title", "Ward", "--soak-s", "0", "--wave", &wave];
        self.ctl(&words).await.expect("a rollout");
    }

    fn list(&self) -> String {
        self.owner("ward.tsv")
    }

    /// `bundle make` over the own folders, with more words.
    async fn make(&self, more: &[&str]) -> Result<Value, String> {
        let (director, image, out, list) =
            (self.owner("director"), self.owner("halden"), shown(&self.stick), self.list());
        let mut words = vec!["bundle", "make", "--director", &director, "--image", &image, "--out", &out];
        words.extend(["--scope-list", &list]);
        self.ctl(&[&words[..], more].concat()).await
    }

    async fn verify(&self) -> Result<Value, String> {
        let (director, stick) = (self.owner("director"), shown(&self.stick));
        self.ctl(&["bundle", "verify", "--bundle", &stick, "--director", &director]).await
    }

    /// A bundle by two people.
    async fn bundle(&self) {
        let [first, second] = ["orders-1", "orders-2"].map(|name| self.hospital.key(name));
        self.ctl(&["repo", "fetch", "--director", &self.owner("director")]).await.expect("fetches");
        self.make(&["--order", "ward-422", "--key", &first]).await.expect("is made");
        self.make(&["--add", "--key", &second]).await.expect("is signed by two");
    }

    async fn install(&self) -> Result<String, String> {
        agent(&self.config, &["install-bundle", &shown(&self.stick), "--wait", "150"]).await
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&agent(&self.config, &["status", "--json"]).await.expect("answers"))
            .expect("JSON")
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        for _ in 0..300 {
            if holds(&self.status().await) {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
        let log = std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default();
        panic!("never: {what}: {}\n{log}", self.status().await);
    }

    fn receipts(&self) -> Vec<PathBuf> {
        let Ok(files) = std::fs::read_dir(self.stick.join("receipts")) else { return Vec::new() };
        files.map(|file| file.expect("lists").path()).collect()
    }
}

/// One command of the agent, as a process.
async fn agent(config: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = program(SIM);
    command.args(["agent", "--config"]).arg(config).args(arguments);
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(told) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_sign_a_stick_a_pump_without_a_network_takes_it_and_its_receipt_ends_the_rollout() {
    // Goal: the whole way out and back. Method: real programs and files; the server is down while the pump is updated,
    // and the power is cut in between.
    let folder = tempfile::tempdir().expect("a folder");
    let mut ward = Ward::open(folder.path()).await;
    ward.hospital.stop().await.expect("drains");
    ward.hospital.start(&SETTINGS).await.expect("starts");
    let key = ward.hospital.key("orders-1");
    let early = ward.make(&["--order", "ward-422", "--key", &key]).await.expect_err("no snapshot yet");
    assert!(early.contains("timestamp"), "{early}");
    ward.ctl(&["repo", "fetch", "--director", &ward.owner("director")]).await.expect("fetches");
    ward.hospital.stop().await.expect("drains");

    let foreign = ward.make(&["--order", "ward-422", "--key", &ward.hospital.key("content-1")]).await;
    assert!(foreign.expect_err("a stranger's key").contains("none of the role orders"));
    ward.make(&["--order", "ward-422", "--key", &key]).await.expect("is made");
    assert!(ward.verify().await.expect_err("one is not two").contains("1 of the 2 signatures"));
    assert!(ward.install().await.expect_err("one is not two").contains("bundle-not-believed"));
    assert!(ward.make(&["--add", "--key", &key]).await.expect_err("one person").contains("already signed"));
    ward.make(&["--add", "--key", &ward.hospital.key("orders-2")]).await.expect("is signed by two");
    let verified = ward.verify().await.expect("is whole");
    assert_eq!(verified.get("orders"), Some(&serde_json::json!(["ward-422"])));

    let machine = Machine::new(Path::new(SIM), &["agent"], &ward.config, &ward.home.join("boot"));
    machine.on();
    ward.until("the agent runs", |status| status["running"] == true).await;
    ward.install().await.expect("is taken");
    let _ = machine.kill();
    ward.until("the new image is confirmed", |status| status["installed"]["counter"] == 422).await;
    ward.until("it is at rest", |status| status["update"]["state"] == "idle").await;
    // The power may be cut at the very moment of the reboot, and then the cut is the reboot: either way it was started anew.
    assert!(machine.starts() > 1, "it confirmed without a start of the new image");
    let told = ward.install().await.expect("carried out is no error");
    assert!(told.contains("1 receipts copied") && told.contains("carried out"), "{told}");
    machine.off();

    let receipts = ward.receipts();
    let [receipt] = receipts.as_slice() else { panic!("one receipt: {receipts:?}") };
    ward.hospital.start(&SETTINGS).await.expect("starts again");
    let file = shown(receipt);
    let taken = ward.ctl(&["receipts", "import", &file]).await.expect("is taken");
    assert_eq!(taken.pointer("/receipts/0/before"), Some(&false.into()), "{taken}");
    assert_eq!(taken.pointer("/receipts/0/outcome"), Some(&"confirmed".into()), "{taken}");
    let again = ward.ctl(&["receipts", "import", &file]).await.expect("twice is once");
    assert_eq!(again.pointer("/receipts/0/before"), Some(&true.into()), "{again}");
    let mut bent = std::fs::read(receipt).expect("reads");
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    let forged = folder.path().join("forged.receipt");
    std::fs::write(&forged, bent).expect("writes");
    ward.ctl(&["receipts", "import", &shown(&forged)]).await.expect_err("a bent one is refused");
    let journal = ward.hospital.api("/api/v1/audit").await.expect("reads").to_string();
    assert!(journal.contains("receipt.import"), "{journal}");
    let mut rollout = Value::Null;
    for _ in 0..300 {
        rollout = ward.hospital.api("/api/v1/rollouts/ward").await.expect("reads");
        if rollout.pointer("/waves/0/confirmed") == Some(&1.into()) {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(rollout.pointer("/waves/0/confirmed"), Some(&1.into()), "{rollout}");
    ward.hospital.stop().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stick_that_is_pulled_at_any_file_is_refused_by_both_sides_and_taken_once_it_is_whole() {
    // Goal: half a copy is no bundle, for the people and for the device. Method: a copy that ends before each file in
    // turn, then the whole one.
    let folder = tempfile::tempdir().expect("a folder");
    let mut ward = Ward::open(folder.path()).await;
    ward.bundle().await;
    ward.hospital.stop().await.expect("drains");
    let whole = folder.path().join("whole");
    std::fs::rename(&ward.stick, &whole).expect("renames");
    let mut files = Vec::new();
    walk(&whole, &mut files);
    assert!(files.len() > 10, "{files:?}");
    for missing in 0..files.len() {
        let _ = std::fs::remove_dir_all(&ward.stick);
        for file in files.iter().take(missing) {
            let to = ward.stick.join(file.strip_prefix(&whole).expect("is inside"));
            std::fs::create_dir_all(to.parent().expect("is inside")).expect("makes");
            std::fs::copy(file, to).expect("copies");
        }
        std::fs::create_dir_all(&ward.stick).expect("makes");
        ward.verify().await.expect_err("is not whole");
        let told = ward.install().await.expect_err("is not whole");
        assert!(told.contains("bundle-file-missing"), "{missing}: {told}");
    }
    let _ = std::fs::remove_dir_all(&ward.stick);
    std::fs::rename(&whole, &ward.stick).expect("renames");
    assert!(ward.install().await.expect("is whole").contains("does not run"));
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("lists");
    for path in entries.map(|entry| entry.expect("lists").path()) {
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}
