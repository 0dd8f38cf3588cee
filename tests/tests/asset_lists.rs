//! A hospital's own list of assets against the real server, from the spreadsheet to the device that comes to life.
//!
//! The server runs in this process with a clock that is moved; people use `cordonctl` as they would; a light device enrols
//! over real mutual TLS as one that the list names. Read next: `cordon_server_core::assets`, `exception`, `health`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cordon_agent::link::Patience;
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::health::{ClockState, Disk, Health};
use cordon_proto::ids::{DeviceId, Sha256, Text, TokenId};
use cordon_proto::telemetry::{Batch, Body, Position};
use cordon_proto::time::Millis;
use cordon_server::app::ApiToken;
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::serve::Server;
use cordon_server::{exceptions, init};
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::change::{Commit, Key};
use cordon_server_core::device::{Device, DeviceKind, Placement, Source, State};
use cordon_server_core::risk::facts::{Impact, Reach};
use cordon_sim::light::{Light, hardware, says};
use serde_json::Value;

const DAY_S: i64 = 86_400;
/// Public names of makers and models, as lists of assets hold them.
const MODELS: [(&str, &str, &str); 12] = [
    ("Philips", "IntelliVue MX40", "patient monitor"),
    ("Philips", "IntelliVue MP50", "patient monitor"),
    ("GE Healthcare", "CARESCAPE B650", "patient monitor"),
    ("Draeger", "Evita V500", "ventilator"),
    ("Draeger", "Infinity Delta", "patient monitor"),
    ("Baxter", "Sigma Spectrum", "infusion pump"),
    ("BD", "Alaris 8015", "infusion pump"),
    ("ICU Medical", "Plum 360", "infusion pump"),
    ("Hillrom", "Connex CS", "patient monitor"),
    ("Fresenius", "5008S", "dialysis machine"),
    ("Zoll", "X Series", "defibrillator"),
    ("Siemens", "syngo.via", "imaging workstation"),
];

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

/// A list of so many devices, tags and serials counted, with these versions.
fn list(devices: usize, version: impl Fn(usize) -> String) -> String {
    let mut list = String::from(
        "Asset Tag,Manufacturer,Model,Software Version,Serial,Department,Device Type,IP Address\n",
    );
    for (at, (maker, model, kind)) in MODELS.iter().cycle().take(devices).enumerate() {
        let (ward, ip) = (at % 14 + 1, format!("10.20.{}.{}", at / 250, at % 250));
        list.push_str(&format!(
            "T{at:05},{maker},{model},{},SN-{at:05},Ward {ward},{kind},{ip}\n",
            version(at)
        ));
    }
    list
}

/// A server, two people's tokens, and the folder in which they work.
struct Owner {
    server: Server,
    clock: Clock,
    now: Millis,
    folder: tempfile::TempDir,
}

impl Owner {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = init::Options {
            folder: folder.path().join("server"),
            admin_token_file: Some(folder.path().join("ines")),
            host: "127.0.0.1".to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        let now = Clock::system().now_ms();
        let clock = Clock::held(now);
        let laid = init::run(&options, now.seconds()).await.expect("laid");
        let planes = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        let config = Config::load(&laid.config, &planes).expect("settings");
        let server = Server::start(config, clock.clone()).await.expect("starts");
        let owner = Self { server, clock, now, folder };
        owner.second_person().await;
        owner
    }

    /// Another person's token: there is no command for it yet.
    async fn second_person(&self) {
        let secret = "joy".repeat(16);
        let token = ApiToken {
            v: 1,
            name: text("joy"),
            scopes: vec!["*".to_owned()],
            created: self.now.seconds(),
            expires: None,
        };
        let draft = Commit::draft(self.now.seconds(), Actor::Person(text("ines")))
            .put(Key::ApiToken(TokenId::of(&secret)), token.to_body());
        self.server.app.commit(draft).await.expect("is stored");
        let file = self.folder.path().join("joy");
        std::fs::write(&file, secret).expect("writes");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("is hers alone");
    }

    /// What `cordonctl` says to one of the people: its JSON, or why not.
    async fn ctl(&self, person: &str, arguments: &[&str]) -> Result<Value, String> {
        let server = format!("http://{}", self.server.ready.operator);
        let token = self.folder.path().join(person).display().to_string();
        let options = ["cordonctl", "--output", "json", "--server", &server, "--token-file", &token];
        let line: Vec<String> = options.iter().chain(arguments).map(ToString::to_string).collect();
        // A thread of its own: commands that ask a server bring their own runtime.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let status = cordonctl::run_with(line, &mut out, &mut err);
            let _ = sender.send((status, out, err));
        });
        let (status, out, err) = receiver.await.expect("no panic");
        match status {
            0 => Ok(serde_json::from_slice(&out).expect("JSON")),
            _ => Err(String::from_utf8_lossy(&err).into_owned()),
        }
    }

    async fn said(&self, person: &str, arguments: &[&str]) -> Value {
        match self.ctl(person, arguments).await {
            Ok(json) => json,
            Err(err) => panic!("{arguments:?}: {err}"),
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, content).expect("writes");
        file
    }

    async fn line(&self, model: &str) -> String {
        let order = TokenOrder {
            manufacturer: None,
            model: text(model),
            binding: Binding::Count { count: 5 },
            placement: Placement {
                site: text("St. Anna"),
                ward: text("ICU 2"),
                kind: DeviceKind::PatientMonitor,
                impact: Impact::default(),
                reach: Reach::default(),
                tags: Vec::new(),
            },
            hours: 24,
        };
        let app = &self.server.app;
        let made = app.make_token(order, &Actor::Person(text("ines"))).await.expect("a token");
        let line = EnrolmentString {
            host: "127.0.0.1".to_owned(),
            enrolment_port: self.server.ready.enrolment.port(),
            device_port: self.server.ready.device.port(),
            ca_pin: app.ca.pin(),
            director_root: Sha256([7; 32]),
            token: made.secret,
        };
        line.to_string()
    }
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn word<'a>(value: &'a Value, place: &str) -> &'a str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_else(|| panic!("no {place} in {value}"))
}

fn path(file: &Path) -> &str {
    file.to_str().expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_devices_of_a_list_are_known_on_day_one_and_one_of_them_comes_to_life() {
    // Goal: useful before any agent runs. Method: a list by preview, by import, again, with changes; the coverage; a device of
    // it that enrols over mutual TLS; the list once more.
    let owner = Owner::new().await;
    let file = owner.file("CMMS Export.csv", &list(300, |at| format!("4.{}", at % 7)));
    let preview =
        owner.said("ines", &["devices", "import", path(&file), "--site", "St. Anna", "--preview"]).await;
    assert_eq!((number(&preview, "new"), preview["preview"].as_bool()), (300, Some(true)));
    assert!(owner.server.app.fleet.all().is_empty(), "a preview changes nothing");
    let done = owner.said("ines", &["devices", "import", path(&file), "--site", "St. Anna"]).await;
    assert_eq!(
        (number(&done, "new"), word(&done, "/list"), done["refused_rows"].as_array().map(Vec::len)),
        (300, "cmms-export", Some(0))
    );
    let again = owner.said("ines", &["devices", "import", path(&file), "--site", "St. Anna"]).await;
    assert_eq!((number(&again, "new"), number(&again, "changed"), number(&again, "unchanged")), (0, 0, 300));

    let listed = owner.said("ines", &["devices", "list", "--source", "imported"]).await;
    let listed = listed.as_array().expect("rows");
    assert_eq!(listed.len(), 300);
    assert!(listed.iter().all(|row| word(row, "/state") == "listed" && word(row, "/site") == "St. Anna"));
    let found = owner.said("ines", &["devices", "list", "--search", "t00012"]).await;
    let id: DeviceId = word(&found[0], "/id").parse().expect("a device");
    let coverage = owner.said("ines", &["devices", "coverage"]).await;
    assert_eq!((number(&coverage["sources"], "imported"), number(&coverage, "with_version")), (300, 300));
    assert_eq!(
        word(&coverage, "/blind_spots/0"),
        "300 devices: no agent runs: nothing of them was measured, neither software nor behaviour"
    );

    let machine = hardware("philips", "IntelliVue MX40", "SN-00012");
    let light =
        Light::enrol(owner.folder.path(), &owner.line("IntelliVue MX40").await, machine.clone()).await;
    let light = light.expect("enrols");
    assert_eq!(light.identity.device, id, "it is the device that the list names");
    light.link(None, Patience::default()).expect("a link").checkin(&says(&machine)).await.expect("is let in");
    let device = owner.server.app.fleet.get(id).expect("is known").device.clone();
    assert_eq!((device.source, device.state, &device.hardware), (Source::Agent, State::Active, &machine));
    let asset = device.asset.as_ref().expect("its line stays");
    assert_eq!(asset.tag.as_ref().map(Text::as_str), Some("T00012"));
    let line = owner.line("IntelliVue MX40").await;
    let other = hardware("Other Maker", "IntelliVue MX40", "SN-00024");
    let stranger = Light::enrol(owner.folder.path(), &line, other);
    let stranger = stranger.await.expect("a list keeps nobody out");
    let stranger = owner.server.app.fleet.get(stranger.identity.device).expect("is known");
    assert!(stranger.device.asset.is_none(), "the serial of another maker is another device");

    let mut rows = list(299, |at| if at == 7 { "9.9".to_owned() } else { format!("4.{}", at % 7) });
    rows.push_str("T00001,Philips,Copied,1,SN-X,Ward 1,kiosk,\n,,No Name,1,,Ward 1,,\n");
    let file = owner.file("CMMS Export.csv", &rows);
    let later = owner.said("joy", &["devices", "import", path(&file), "--site", "St. Anna"]).await;
    assert_eq!((number(&later, "changed"), number(&later, "unlisted"), number(&later, "new")), (1, 1, 0));
    let refused: Vec<(u64, &str)> = later["refused_rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (number(row, "row"), word(row, "/code")))
        .collect();
    assert_eq!(refused, [(3, "twice"), (301, "twice"), (302, "no-tag-or-serial")]);
    let kept = owner.server.app.fleet.get(id).expect("is known").device.clone();
    let parts = |device: &Device| (device.hardware.clone(), device.identity.clone(), device.asset.clone());
    assert_eq!(parts(&kept), parts(&device), "a list changes no identity");
    let wrong = owner.file("wrong.csv", "price;colour\n1;red\n");
    let error = owner.ctl("ines", &["devices", "import", path(&wrong)]).await.expect_err("is refused");
    assert!(error.contains("no column for the model") && error.contains("price, colour"), "{error}");
    owner.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_risk_needs_two_people_changes_no_score_and_lapses_loudly() {
    // Goal: the life of an exception. Method: one person asks and may not approve; another does; the score before and after;
    // the clock moves past its end.
    let owner = Owner::new().await;
    let machine = hardware("Halden", "VP-3", "A-1");
    let light =
        Light::enrol(owner.folder.path(), &owner.line("VP-3").await, machine.clone()).await.expect("enrols");
    light.link(None, Patience::default()).expect("a link").checkin(&says(&machine)).await.expect("is let in");
    let id = light.identity.device.to_string();
    let before = owner.said("ines", &["devices", "show", &id]).await;
    let until = owner.now.seconds().plus_seconds(20 * DAY_S).to_string();
    let ask = [
        "exceptions",
        "request",
        "--about",
        "posture:key-in-file",
        "--devices",
        "model=VP-3",
        "--owner",
        "Clinical engineering",
        "--reason",
        "the board has no secure element",
        "--control",
        "the pumps stand in a locked room",
        "--until",
        &until,
    ];
    let asked = owner.said("ines", &ask).await;
    assert_eq!(
        (word(&asked, "/state"), number(&asked, "devices"), number(&asked, "devices_with")),
        ("requested", 1, 1)
    );
    let name = word(&asked, "/id").to_owned();
    let own = ["exceptions", "approve", &name, "--reason", "I say yes to myself"];
    let refused = owner.ctl("ines", &own).await.expect_err("one person is not two");
    assert!(refused.contains("a second person has to"), "{refused}");
    let approved = owner.said("joy", &["exceptions", "approve", &name, "--reason", "seen in the room"]).await;
    assert_eq!(word(&approved, "/state"), "approved");
    let during = owner.said("ines", &["devices", "show", &id]).await;
    assert_eq!(during["score"], before["score"], "an exception changes no score");
    assert_eq!(word(&during, "/exceptions/0/about"), "posture:key-in-file");
    let ends = owner.said("ines", &["expiries"]).await;
    let named = |ends: &Value| -> Vec<(Option<u64>, String)> {
        let rows = ends["expiries"].as_array().expect("rows").iter();
        rows.filter(|row| word(row, "/what") == "exception")
            .map(|row| (row["within"].as_u64(), word(row, "/name").to_owned()))
            .collect()
    };
    assert_eq!(named(&ends).iter().map(|(within, _)| *within).collect::<Vec<_>>(), [Some(30)]);

    owner.clock.hold_at(owner.now.plus(21 * DAY_S * 1000));
    assert_eq!(exceptions::lapse(&owner.server.app).await.expect("is noted"), 1);
    assert_eq!(exceptions::lapse(&owner.server.app).await.expect("once"), 0);
    let over = owner.said("joy", &["exceptions", "show", &name]).await;
    assert_eq!(word(&over, "/state"), "lapsed");
    assert_eq!(
        named(&owner.said("ines", &["expiries"]).await).len(),
        1,
        "it is announced until somebody has seen it"
    );
    let journal = owner.said("ines", &["audit", "list", "--limit", "50"]).await.to_string();
    for action in ["exception.request", "exception.approve", "exception.lapse"] {
        assert!(journal.contains(action), "no {action} in {journal}");
    }
    owner.said("ines", &["exceptions", "withdraw", &name, "--reason", "the boards were replaced"]).await;
    assert_eq!(named(&owner.said("ines", &["expiries"]).await), []);
    owner.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_is_a_finding_before_it_is_full_and_closes_when_there_is_room() {
    // Goal: the breakdown is told before it comes, over the real wire. Method: a device tells twenty days of a disk that fills,
    // then a day with room.
    let owner = Owner::new().await;
    let machine = hardware("Halden", "VP-3", "A-1");
    let light =
        Light::enrol(owner.folder.path(), &owner.line("VP-3").await, machine.clone()).await.expect("enrols");
    let mut link = light.link(None, Patience::default()).expect("a link");
    link.checkin(&says(&machine)).await.expect("is let in");
    let point = |hours_ago: i64, used: u64| Health {
        time: owner.now.seconds().plus_seconds(-hours_ago * 3600),
        uptime_s: None,
        disks: vec![Disk {
            mount: text("/var"),
            bytes: 1_000_000_000,
            used,
            files: 0,
            files_used: 0,
            read_only: false,
            errors: None,
        }],
        drives: vec![],
        hottest_mc: None,
        memory_bytes: None,
        available_bytes: None,
        corrected: None,
        uncorrected: None,
        clock: ClockState::default(),
        boots: 1,
        starts: 1,
        crashes: None,
        memory_kills: None,
        restarts: None,
    };
    let fills = (1..=80_u64).map(|at| {
        (
            i64::try_from(at).unwrap_or(0),
            point(i64::try_from(81 - at).unwrap_or(0) * 6, 600_000_000 + at * 2_500_000),
        )
    });
    let at_ms = Millis::from(owner.now.seconds());
    let records = fills
        .map(|(sequence, health)| {
            let position = Position { boot: 1, sequence: u64::try_from(sequence).unwrap_or(0) };
            Body::Health(health).record(position, at_ms)
        })
        .collect();
    link.telemetry(&Batch { records }).await.expect("is taken");
    let id = light.identity.device;
    let record = |owner: &Owner| {
        let member = owner.server.app.fleet.get(id).expect("is known");
        member.findings.values().next().expect("a finding").clone()
    };
    let told = record(&owner);
    assert!(told.weighs() && told.finding.title.as_str().starts_with("/var fills about 20"), "{told:?}");
    assert_eq!(told.finding.evidence.get("owner").map(String::as_str), Some("clinical engineering"));
    let room = Body::Health(point(0, 200_000_000)).record(Position { boot: 1, sequence: 81 }, at_ms);
    link.telemetry(&Batch { records: vec![room] }).await.expect("is taken");
    let closed = record(&owner);
    assert!(!closed.weighs(), "{closed:?}");
    assert_eq!(closed.history.last().map(|step| step.what.as_str()), Some("Closed by itself"));
    owner.server.stop().await;
}
