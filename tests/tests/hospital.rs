//! The owner's side end to end: a real server process, real signatures, real command lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cordon_agent::clock::{Clock, SystemClock};
use cordon_agent_core::update::TrialFault;
use cordon_proto::checkin::Action;
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_sim::demo::thief;
use cordon_sim::hospital::{Hospital, Place, Release, Who};
use cordon_sim::one_device::{End, Image, OneDevice};
use cordon_sim::postgres::Cluster;
use cordon_sim::tidy::tree;
use cordon_sim::transcript::{Step, Transcript};
use serde_json::Value;

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
    assert!(fleet.pointer("/director_version").and_then(Value::as_u64) >= Some(2), "{fleet}");

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
    let orders = served.pointer("/signed/targets").and_then(Value::as_object).expect("orders");
    assert_eq!(orders.keys().collect::<Vec<_>>(), ["order/monday", "order/tuesday"]);
    let ends = hospital.ctl(&["expiries", "--all"]).await.expect("lists");
    assert!(ends.to_string().contains("order tuesday"), "{ends}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_makers_p256_keys_are_believed_from_the_signing_room_to_the_order() {
    // Goal: a maker whose cards know no Ed25519. Method: every key of the maker on P-256; signed, packed, pinned, imported
    // into a running server and the own copy, and ordered from that copy; the server shows both signers.
    let folder = tempfile::tempdir().expect("a folder");
    let hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    hospital.open_maker_of(&["--p256"], "maker", &["VP-3"]).await.expect("a maker");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let image = folder.path().join("new.img");
    std::fs::write(&image, vec![7; 10_000]).expect("writes");
    let release = Release { repository: "maker", ..Release::pump(&image) };
    hospital.sign_release(&release).await.expect("two people sign it");
    let [maker, bundle, root, copy] = ["maker", "one.bundle", "maker/1.root.json", "copy"].map(path);
    hospital.ctl(&["release", "pack", "--repository", &maker, "--out", &bundle]).await.expect("packs");
    hospital.ctl(&["makers", "pin", "halden", "--model", "VP-3", "--root", &root]).await.expect("pins");
    let import =
        ["release", "import", "--bundle", &bundle, "--into", &copy, "--name", "halden", "--root", &root];
    hospital.ctl(&import).await.expect("is believed here and there");
    let listed = hospital.api("/api/v1/releases?listed=true").await.expect("lists");
    let signers = listed.pointer("/releases/0/signers").and_then(Value::as_array);
    assert_eq!(signers.map(Vec::len), Some(2), "{listed}");
    let list = folder.path().join("pumps.tsv");
    std::fs::write(&list, "Halden\tVP-3\tVP3-1001\n").expect("writes");
    let (director, key, list) = (path("director"), hospital.key("orders-1"), list.display().to_string());
    let mut order = vec!["order", "sign", "--director", &director, "--image", &copy, "--key", &key];
    order.extend(["--id", "o", "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "7d"]);
    order.extend(["--window", "always", "--reason", "closes a hole", "--whole", "--scope-list", &list]);
    hospital.ctl(&order).await.expect("is ordered over the own copy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_captured_server_that_keeps_receipts_back_is_found_out_on_the_workstation() {
    // Goal: a device whose proof is hidden is named, whoever hides it. Method: three devices install; a thief with all that
    // the server has takes the receipts of one away; then hands out another's twice, and one under another's name. What the
    // server says is counted from files alone.
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let settings = ["device.checkin_s=1"];
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &settings).await.expect("opens");
    three_install(&hospital).await;
    let [head, pack, receipts] = ["head.json", "evidence.jsonl", "receipts.jsonl"].map(path);
    hospital.ctl(&["audit", "head", "--out", &head]).await.expect("a head is kept");
    hospital.stop().await.expect("drains");
    let taken = thief::withhold(&folder.path().join("server"), "VP3-1008").await.expect("stolen");
    assert_eq!(taken, 1, "a receipt");
    hospital.start(&settings).await.expect("starts with what the thief left");
    hospital.ctl(&["receipts", "export", "--order", "vp3-422", "--out", &receipts]).await.expect("exports");
    let asked = ["evidence", "pack", "--rollout", "vp3-422", "--head", &head, "--out", &pack];
    hospital.ctl(&asked).await.expect("a pack");
    hospital.stop().await.expect("drains");
    let [director, maker, list] = ["director", "halden", "pumps.tsv"].map(path);
    let [ca, root] = ["server/ca/root.pem", "director/1.root.json"].map(path);
    let of_maker = format!("halden={}", path("halden/1.root.json"));
    let mut verify = vec!["--ca", &ca, "order", "verify", "--director", &director, "--image", &maker];
    verify.extend(["--order", "vp3-422", "--scope-list", &list, "--receipts", &receipts]);
    let named = |found: &Value, pointer: &str| {
        let absent = found.pointer(pointer).and_then(Value::as_array).expect("a list").clone();
        absent.iter().map(|one| one.get("name").cloned().unwrap_or_default()).collect::<Vec<_>>()
    };
    let gone = "Halden VP-3 VP3-1008";
    let found = hospital.ctl(&verify).await.expect("counts");
    assert_eq!(found.pointer("/orders/0/receipts/confirmed"), Some(&2.into()), "{found}");
    assert_eq!(named(&found, "/orders/0/receipts/missing"), [gone], "{found}");
    let mut evidence = vec!["--ca", &ca, "evidence", "verify", "--pack", &pack, "--director-root", &root];
    evidence.extend(["--image-root", &of_maker, "--head", &head, "--scope-list", &list]);
    let judged = hospital.ctl(&evidence).await.expect("holds what is in it");
    assert_eq!(judged.pointer("/orders/0/missing"), Some(&1.into()), "{judged}");
    assert_eq!(named(&judged, "/orders/0/absent"), [gone], "{judged}");
    let fewer = path("fewer.tsv");
    std::fs::write(&fewer, "Halden\tVP-3\tVP3-1001\n").expect("writes");
    let foreign = [&evidence[..], &["--scope-list", &fewer]].concat();
    let refused = hospital.ctl(&foreign).await.expect_err("a list that nobody signed").to_string();
    assert!(refused.contains("a list of 1 devices is of no order in this pack"), "{refused}");
    let kept = std::fs::read_to_string(&receipts).expect("receipts");
    let lines: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [one, other] = lines.as_slice() else { panic!("two receipts: {kept}") };
    let mixed = serde_json::json!({"receipt": one.get("receipt"), "certificate": other.get("certificate")});
    std::fs::write(&receipts, format!("{one}\n{other}\n{one}\n{mixed}\n")).expect("writes");
    let found = hospital.ctl(&verify).await.expect("counts");
    assert_eq!(found.pointer("/orders/0/receipts/confirmed"), Some(&2.into()), "{found}");
    assert_eq!(found.pointer("/orders/0/receipts/ignored"), Some(&1.into()), "{found}");
    assert_eq!(named(&found, "/orders/0/receipts/missing"), [gone], "{found}");
}

/// Three devices install the pump's release under one order, `vp3-422`, for the list `pumps.tsv`.
async fn three_install(hospital: &Hospital) {
    hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
    let image = hospital.folder().join("new.img");
    std::fs::write(&image, vec![7; 10_000]).expect("writes");
    let release = Release::pump(&image);
    hospital.release(&release).await.expect("a release");
    let serials = ["VP3-1001", "VP3-1008", "VP3-1009"];
    let list = hospital.folder().join("pumps.tsv");
    let lines: String = serials.iter().map(|serial| format!("Halden\tVP-3\t{serial}\n")).collect();
    std::fs::write(&list, lines).expect("writes");
    let wave = format!("all=vp3-422={}", list.display());
    hospital.order("vp3-422", &release, &[list]).await.expect("an order");
    let states = hospital.folder().join("states");
    let mut devices = Vec::new();
    for serial in serials {
        devices.push(OneDevice::enrol(hospital, &states, serial).await.expect("enrols"));
    }
    let create =
        ["rollouts", "create", "--id", "vp3-422", "--title", "VP-3", "--soak-s", "0", "--wave", &wave];
    hospital.ctl(&create).await.expect("begins");
    all_install(hospital, devices, Sha256::of(&vec![7; 10_000])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_of_rollouts_shows_what_the_commands_print() {
    // Goal: the whole flow by `cordonctl` alone, from the first key of a maker to evidence that needs no server, as the
    // document shows it. Method: the document's own commands are run; three pumps take part; every line that is printed
    // beside the document's, word for word, refusals too.
    let folder = tempfile::tempdir().expect("a folder");
    let document = std::fs::read_to_string(tree::root().join("docs/ROLLOUTS.md")).expect("the document");
    let mut play = Play::open(folder.path(), &document).await;
    let steps = Step::all(&document);
    assert_eq!(steps.len(), document.matches("\n$ ").count(), "a command stands outside a block that is run");
    let (mut found, mut differs) = (String::new(), Vec::new());
    for step in steps {
        play.before(&step).await;
        let (status, printed) = play.desk.run(&step.command).await.expect("runs");
        found += &format!("$ {}\n{printed}\n", step.command);
        assert_eq!(status != 0, step.is_refused(), "what was printed until it went another way:\n{found}");
        if !step.agrees(&printed) {
            differs.push(step.command);
        }
    }
    assert!(
        differs.is_empty(),
        "docs/ROLLOUTS.md shows something else for {differs:#?}\nthe commands print:\n{found}"
    );
    let left_out = play.left_out();
    assert!(left_out.is_empty(), "the document leaves out what the wards wait for: {left_out:?}");
}

/// What happens on the wards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cue {
    Enrol,
    AllStandBy,
    MaxHasHisCopy,
    WaitsUnderTheHold,
    HasTheGo,
    HasNoGo,
    BadRelease,
    GoesBack,
    Installs(usize),
    TakesTheContent,
    ForeignKey,
    ServerIsGone,
    AuditorSitsDown,
    PackIsBent,
}

/// What happens before a command of the document, by the command and how often it was given.
const CUES: [(&str, u32, Cue); 16] = [
    ("makers pin halden", 1, Cue::Enrol),
    ("order plan --release", 1, Cue::AllStandBy),
    ("order draft pull", 1, Cue::MaxHasHisCopy),
    ("rollouts reasons vp3-422", 1, Cue::WaitsUnderTheHold),
    ("rollouts halt vp3-422", 1, Cue::HasTheGo),
    ("rollouts resume vp3-422", 1, Cue::HasNoGo),
    ("rollouts watch vp3-422", 1, Cue::BadRelease),
    ("rollouts watch vp3-422", 2, Cue::GoesBack),
    ("order plan --release", 2, Cue::AllStandBy),
    ("rollouts devices vp3-423", 1, Cue::Installs(0)),
    ("rollouts devices vp3-423", 2, Cue::Installs(1)),
    ("rollouts watch night-1", 1, Cue::TakesTheContent),
    ("order verify --director", 2, Cue::ServerIsGone),
    ("evidence maker-report --pack", 1, Cue::ForeignKey),
    ("evidence verify --pack", 1, Cue::AuditorSitsDown),
    ("evidence verify --pack", 2, Cue::PackIsBent),
];

/// The scene of the document: a hospital, three pumps, and whose desk the commands are given at.
struct Play {
    hospital: Hospital,
    desk: Transcript,
    pumps: Vec<OneDevice>,
    times: BTreeMap<String, u32>,
}

impl Play {
    /// A server that runs and knows nobody, the keys that the document does not make, the files that people bring.
    async fn open(files: &Path, document: &str) -> Self {
        let settings = ["device.checkin_s=1"];
        let mut hospital = Hospital::laid(Path::new(SIM), files, &settings).expect("laid");
        hospital.start(&settings).await.expect("starts");
        let maker =
            ["root-2", "root-3", "targets-1", "targets-2", "model-1", "model-2", "snapshot", "timestamp"];
        let owner = ["root-1", "root-2", "targets-1", "targets-2", "orders-2", "content-1", "content-2"];
        // Max's desk.
        std::fs::create_dir(files.join("max")).expect("a folder");
        for (folder, names) in [("maker-keys", &maker[..]), ("keys", &owner[..])] {
            std::fs::create_dir_all(files.join(folder)).expect("a folder");
            for name in names {
                let key = files.join(format!("{folder}/{name}.pem")).display().to_string();
                hospital.ctl(&["keys", "generate", "--out", &key]).await.expect("a key");
            }
        }
        for (version, byte) in [("4.2.1", 1), ("4.2.2", 2), ("4.2.3", 3)] {
            std::fs::write(files.join(format!("vp-3-{version}.img")), vec![byte; 100_000]).expect("writes");
        }
        let shown = |language: &str| {
            let (_, rest) = document.split_once(&format!("```{language}\n")).expect("the document shows it");
            rest.split("```").next().expect("a first part").to_owned()
        };
        let sbom = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}"#;
        let vex = r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[]}"#;
        for (name, text) in [
            ("vp-3-4.2.2.cdx.json", sbom),
            ("vp-3-4.2.2.vex.json", vex),
            ("vp-3-4.2.2.txt", "Closes CVE-2026-1107.\n"),
            ("night-draft.json", shown("json").as_str()),
            ("pumps.csv", shown("csv").as_str()),
        ] {
            std::fs::write(files.join(name), text).expect("writes");
        }
        let [token, ca] =
            ["admin.token", "server/ca/root.pem"].map(|name| files.join(name).display().to_string());
        let server = format!("http://{}", hospital.ready().operator);
        let common = ["--server", &server, "--token-file", &token, "--ca", &ca].map(ToOwned::to_owned);
        Self { desk: Transcript::new(files, &common), hospital, pumps: Vec::new(), times: BTreeMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.hospital.folder().join(name)
    }

    fn pump(&self, place: usize) -> &OneDevice {
        self.pumps.get(place).expect("three pumps have enrolled")
    }

    /// The cues that never came.
    fn left_out(&self) -> Vec<Cue> {
        let came = |act: &str, time: u32| self.times.get(act).is_some_and(|times| *times >= time);
        CUES.iter().filter(|(act, time, _)| !came(act, *time)).map(|(_, _, cue)| *cue).collect()
    }

    /// What happens before a command.
    async fn before(&mut self, step: &Step) {
        let act = step.act();
        let times = self.times.entry(act.clone()).or_default();
        *times += 1;
        let cue = CUES.iter().find(|(of, time, _)| (*of, *time) == (act.as_str(), *times));
        let Some((_, _, cue)) = cue else { return };
        match cue {
            Cue::Enrol => self.enrol().await,
            Cue::AllStandBy => self.all_stand_by().await,
            Cue::MaxHasHisCopy => self.give_max_his_copy(),
            Cue::WaitsUnderTheHold => self.waits_under_the_hold().await,
            Cue::HasTheGo => drop(self.pump(0).go().await.expect("is let go")),
            Cue::HasNoGo => {
                let go = self.pump(0).asks(&first_order()).await.expect("is answered");
                assert_eq!(go, None, "it was stopped before the reboot");
            }
            Cue::BadRelease => self.bad_release().await,
            Cue::GoesBack => self.goes_back().await,
            Cue::Installs(place) => self.installs(*place).await,
            Cue::TakesTheContent => {
                self.pump(0).takes_content(1).await.expect("takes it");
                self.comes_to("night-1", "finished").await;
            }
            Cue::ForeignKey => {
                let foreign = step.command.replace("keys/orders-1.pem", "keys/root-1.pem");
                let (status, printed) = self.desk.run(&foreign).await.expect("runs");
                assert!(status == 1 && printed.contains("no key of the people who sign orders"), "{printed}");
            }
            Cue::ServerIsGone => {
                self.hospital.stop().await.expect("drains");
                std::fs::remove_file(self.path("server/store.redb")).expect("all that it knew");
            }
            Cue::AuditorSitsDown => self.auditor_sits_down(),
            Cue::PackIsBent => bend(&self.path("auditor")),
        }
    }

    async fn enrol(&mut self) {
        for serial in ["VP3-1001", "VP3-1008", "VP3-1009"] {
            let line =
                std::fs::read_to_string(self.path(&format!("joins/{serial}.join"))).expect("a join file");
            let pump = OneDevice::enrol_with(line.trim(), &self.path("states"), serial).await;
            self.pumps.push(pump.expect("enrols"));
        }
    }

    /// Lets the pumps say that they run the earlier image and that nobody is attached, and waits until the server shows it.
    async fn all_stand_by(&self) {
        for pump in &self.pumps {
            pump.stands_by(421, image(1).sha256).await.expect("is heard");
        }
        until(async || {
            let page = self.hospital.api("/api/v1/devices").await.expect("answers");
            let listed = page.get("devices").and_then(Value::as_array).expect("a list");
            let free = |device: &&Value| device.get("interlock") == Some(&"standby".into());
            listed.iter().filter(free).count() == self.pumps.len()
        })
        .await;
    }

    fn give_max_his_copy(&self) {
        std::fs::create_dir(self.path("max/director")).expect("a folder");
        for file in ["1.root.json", "1.targets.json"] {
            let [from, to] = ["director", "max/director"].map(|folder| self.path(folder).join(file));
            std::fs::copy(from, to).expect("is copied");
        }
    }

    async fn waits_under_the_hold(&self) {
        let offered = self.pump(0).offer().await.expect("is offered");
        assert_eq!(offered, first_order());
        assert_eq!(self.pump(0).asks(&offered).await.expect("is answered"), None, "it is held");
        until(async || {
            let reasons = self.hospital.api("/api/v1/rollouts/vp3-422/reasons").await.expect("answers");
            reasons.pointer("/reasons/0/code") == Some(&"held".into())
        })
        .await;
    }

    /// The first pump runs the new image; on the next one it is not healthy.
    async fn bad_release(&self) {
        self.pump(0).install(image(2), now).await.expect("installs");
        let permit = self.pump(1).go().await.expect("is let go");
        let (action, outcome) = (Action::Install, Outcome::RolledBack);
        let reason = Some(TrialFault::Unhealthy.blocked());
        let end = End { action, outcome, runs: image(1), reason, time: now() };
        self.pump(1).ends(permit.order, &end).await.expect("tells it");
        self.comes_to("vp3-422", "halted").await;
    }

    async fn goes_back(&self) {
        let permit = self.pump(0).go().await.expect("is let go");
        let (action, outcome) = (Action::Back, Outcome::WentBack);
        let end = End { action, outcome, runs: image(1), reason: None, time: now() };
        self.pump(0).ends(permit.order, &end).await.expect("tells it");
        self.comes_to("vp3-422", "returned").await;
    }

    /// A pump installs the mended release, and the server has counted it.
    async fn installs(&self, place: usize) {
        self.pump(place).install(image(3), now).await.expect("installs");
        let confirmed = format!("/waves/{place}/confirmed");
        until(async || {
            let rollout = self.hospital.api("/api/v1/rollouts/vp3-423").await.expect("answers");
            rollout.pointer(&confirmed) == Some(&1.into())
        })
        .await;
    }

    async fn comes_to(&self, rollout: &str, state: &str) {
        until(async || {
            let shown = self.hospital.api(&format!("/api/v1/rollouts/{rollout}")).await.expect("answers");
            shown.get("state") == Some(&state.into())
        })
        .await;
    }

    /// An empty folder, and in it what an auditor is given: nothing of the server.
    fn auditor_sits_down(&mut self) {
        let folder = self.path("auditor");
        std::fs::create_dir(&folder).expect("a folder");
        for (from, to) in [
            ("evidence.jsonl", "evidence.jsonl"),
            ("head.json", "head.json"),
            ("director/1.root.json", "owner-root.json"),
            ("halden/1.root.json", "halden-root.json"),
            ("server/ca/root.pem", "devices-ca.pem"),
            ("plan-2/wave1.tsv", "wave1.tsv"),
            ("plan-2/wave2.tsv", "wave2.tsv"),
        ] {
            std::fs::copy(self.path(from), folder.join(to)).expect("is copied");
        }
        let ca = folder.join("devices-ca.pem").display().to_string();
        self.desk = Transcript::new(&folder, &["--ca".to_owned(), ca]);
    }
}

/// The maker's release of this number behind 4.2.
fn image(number: u8) -> Image {
    Image {
        release: format!("vp-3/4.2.{number}").parse().expect("a path"),
        counter: 420 + u64::from(number),
        sha256: Sha256::of(&vec![number; 100_000]),
    }
}

fn first_order() -> (Name, Action) {
    ("vp3-422-1".parse().expect("a name"), Action::Install)
}

fn now() -> Timestamp {
    SystemClock::new().now().seconds()
}

/// Lets all devices take part until the rollout has finished: what it prints while it runs is a matter of moments.
async fn all_install(hospital: &Hospital, devices: Vec<OneDevice>, image: Sha256) {
    let mut installing = tokio::task::JoinSet::new();
    for device in devices {
        installing.spawn(async move {
            let release = "vp-3/4.2.2".parse().expect("a path");
            device.install(Image { release, counter: 422, sha256: image }, now).await
        });
    }
    while let Some(installed) = installing.join_next().await {
        installed.expect("no panic").expect("installs");
    }
    until(async || {
        let rollout = hospital.api("/api/v1/rollouts/vp3-422").await.expect("answers");
        rollout.get("state") == Some(&"finished".into())
    })
    .await;
}

/// Cuts the receipts out of the pack, into another file.
fn bend(files: &Path) {
    let pack = std::fs::read_to_string(files.join("evidence.jsonl")).expect("a pack");
    let bent: String = pack.split_inclusive('\n').filter(|line| !line.contains("evidence-receipt")).collect();
    std::fs::write(files.join("bent.jsonl"), bent).expect("writes");
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
