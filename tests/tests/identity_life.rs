//! An identity over its life, with the agent's own process against the real server: killed while it renews, told a
//! wrong time, retired and lost.
//!
//! The server runs in this process with a clock that is moved, the agent is `cordon-sim agent`. Every file step of a
//! renewal is walked in the agent's own tests; here it is whole processes that die. Read next: `cordon_agent::identity`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use cordon_agent::files::Folder;
use cordon_agent::identity::{Home, Identity};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::time::Millis;
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::init;
use cordon_server::serve::Server;
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::device::{Act, Device, DeviceKind, Placement};
use cordon_server_core::risk::facts::{Impact, Reach};
use cordon_sim::program::program;
use cordon_sim::skip::require_package;
use serde_json::Value;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const DAY_MS: i64 = 86_400_000;
/// Kills of the agent's process in one run of the test.
const KILLS: u32 = 50;
/// Seconds a run of the agent may take that nobody disturbs.
const PATIENCE: Duration = Duration::from_secs(120);

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

/// A server whose clock is moved, and the devices that belong to it.
struct Owner {
    server: Server,
    clock: Clock,
    now: Millis,
    folder: tempfile::TempDir,
}

impl Owner {
    /// A server whose authority is of a hundred days ago, and that issues certificates for ninety days.
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = init::Options {
            folder: folder.path().join("server"),
            admin_token_file: None,
            host: "127.0.0.1".to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        let now = Clock::system().now_ms();
        let clock = Clock::held(now);
        let laid = init::run(&options, now.plus(-100 * DAY_MS).seconds()).await.expect("laid");
        let planes = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        // The clock stands still, so no request that was spent would ever come back.
        let more = ["enrolment.leaf_days=90", "device.requests=100000", "device.requests_per_minute=100000"];
        let sets = planes.into_iter().chain(more.map(ToOwned::to_owned)).collect::<Vec<_>>();
        let config = Config::load(&laid.config, &sets).expect("settings");
        let server = Server::start(config, clock.clone()).await.expect("starts");
        Self { server, clock, now, folder }
    }

    /// Moves the server's clock to so many days before the present.
    fn move_to(&self, days_ago: i64) {
        self.clock.hold_at(self.now.plus(-days_ago * DAY_MS));
    }

    /// A device that has enrolled.
    async fn device(&self, serial: &str) -> Machine {
        let machine = Machine { folder: self.folder.path().join(serial) };
        std::fs::create_dir(&machine.folder).expect("makes the folder");
        let config = format!(
            "state = \"state\"\nhardware = {{ manufacturer = \"Halden\", model = \"VP-3\", revision = \"C\", \
             serial = \"{serial}\" }}\n"
        );
        std::fs::write(machine.folder.join("agent.toml"), config).expect("writes");
        std::fs::write(machine.folder.join("join"), format!("{}\n", self.line(serial).await))
            .expect("writes");
        let enrolled = machine.agent(&["enrol", "--with", "join"]).await;
        assert!(enrolled.status.success(), "{}", said(&enrolled));
        machine
    }

    async fn line(&self, serial: &str) -> EnrolmentString {
        let order = TokenOrder {
            manufacturer: Some(text("Halden")),
            model: text("VP-3"),
            binding: Binding::Serial { serial: text(serial), replaces: false },
            placement: Placement {
                site: text("St. Anna"),
                ward: text("ICU 2"),
                kind: DeviceKind::InfusionPump,
                impact: Impact::default(),
                reach: Reach::default(),
                tags: Vec::new(),
            },
            hours: 1,
        };
        let app = &self.server.app;
        let made = app.make_token(order, &Actor::Person(text("ines"))).await.expect("a token");
        EnrolmentString {
            host: "127.0.0.1".to_owned(),
            enrolment_port: self.server.ready.enrolment.port(),
            device_port: self.server.ready.device.port(),
            ca_pin: app.ca.pin(),
            director_root: Sha256([7; 32]),
            token: made.secret,
        }
    }

    /// What the server knows of a device.
    fn known(&self, id: DeviceId) -> Device {
        (*self.server.app.fleet.get(id).expect("is in the fleet").device).clone()
    }

    async fn act(&self, id: DeviceId, act: Act) {
        let actor = Actor::Person(text("ines"));
        self.server.app.act(id, act, text("a test"), &actor).await.expect("is done");
    }
}

/// A device: a folder, and the agent's process in it.
struct Machine {
    folder: PathBuf,
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Machine {
    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = program(SIM);
        command.args(["agent", "--config"]).arg(self.folder.join("agent.toml")).args(arguments);
        command.current_dir(&self.folder);
        command
    }

    async fn agent(&self, arguments: &[&str]) -> Output {
        ended(self.command(arguments)).await
    }

    /// Starts the agent and kills it after so long, without a word; whether it was still at work.
    async fn killed_after(&self, life: Duration) -> bool {
        let mut command = self.command(&["run", "--once"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        tokio::time::sleep(life).await;
        let worked = child.try_wait().expect("is asked").is_none();
        child.kill().expect("is killed or gone");
        child.wait().expect("is over");
        worked
    }

    async fn status(&self) -> Value {
        let status = self.agent(&["status", "--json"]).await;
        serde_json::from_slice(&status.stdout).expect("a status")
    }

    fn names(&self) -> Vec<String> {
        self.identity_folder().names().expect("lists")
    }

    fn identity_folder(&self) -> Folder {
        Folder::open(self.folder.join("state/identity")).expect("opens")
    }

    fn identity(&self) -> Identity {
        Identity::load(&self.identity_folder()).expect("reads").expect("is enrolled")
    }

    fn leaf(&self) -> Sha256 {
        let held = Home::from(&self.identity_folder()).held().expect("reads").expect("is enrolled");
        held.identity.fingerprint()
    }
}

async fn ended(mut command: std::process::Command) -> Output {
    let run = tokio::task::spawn_blocking(move || command.output());
    tokio::time::timeout(PATIENCE, run).await.expect("ends in time").expect("no panic").expect("runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_fifty_times_while_it_renews_always_comes_back_with_one_identity_that_works() {
    // Goal: E10, never neither. Method: certificates that are due by the server's word; the agent's process killed ever
    // later, at chance's hand, until each device has renewed; then one report that nobody disturbs, and both sides compared.
    let (mut kills, mut renewed, mut devices) = (0, 0, 0);
    let began = tokio::time::Instant::now();
    while kills < KILLS {
        // One machine is one device: a second one of the same machine would be doubted, and rightly.
        let owner = Owner::new().await;
        owner.move_to(80);
        let machine = owner.device("VP3-1").await;
        let before = machine.identity();
        devices += 1;
        owner.move_to(12);
        // A machine that is slower or faster moves where the kills fall, not what must hold.
        let mut life = Duration::from_millis(fastrand::u64(5..60));
        loop {
            if !machine.killed_after(life).await {
                break;
            }
            kills += 1;
            let held = machine.identity();
            assert_eq!(held.device, before.device, "there is an identity after every kill");
            life += Duration::from_millis(fastrand::u64(5..50));
        }
        for _ in 0..2 {
            let reported = machine.agent(&["run", "--once"]).await;
            assert!(reported.status.success(), "after {kills} kills: {}", said(&reported));
            let status = machine.status().await;
            assert_eq!(
                status.pointer("/identity/renewal_error"),
                Some(&Value::Null),
                "{:?}",
                owner.known(before.device).doubt
            );
        }
        let after = machine.identity();
        renewed += u32::from(after.not_after > before.not_after);
        let known = owner.known(before.device);
        let in_force = known.identity.expect("has one");
        assert_eq!((in_force.leaf, known.next), (machine.leaf(), None), "both mean the same certificate");
        let names = machine.names();
        assert_eq!(names.len(), 2, "one certificate, one key: {names:?}");
        owner.server.stop().await;
    }
    let took = began.elapsed();
    println!("{kills} kills of {devices} devices in {took:?}; {renewed} renewed");
    assert_eq!(renewed, devices, "every device has the next certificate in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_whose_process_lives_in_1970_or_in_ten_years_reports_and_keeps_its_identity() {
    // Goal: E9. Method: the agent's process under faketime, which moves its wall clock alone; then the right time again.
    let Some(faketime) = require_package("faketime") else { return };
    let owner = Owner::new().await;
    let machine = owner.device("VP3-1").await;
    let before = machine.leaf();
    for when in ["1970-01-02 00:00:00", "+3650d"] {
        let plain = machine.command(&["run", "--once"]);
        let mut command = program(&faketime);
        command.args(["--exclude-monotonic", "-f", when]).arg(plain.get_program()).args(plain.get_args());
        command.current_dir(&machine.folder);
        let reported = ended(command).await;
        assert!(reported.status.success(), "{when}: {}", said(&reported));
        assert_eq!(machine.leaf(), before, "{when}: not renewed, and not dropped");
    }
    assert!(machine.agent(&["run", "--once"]).await.status.success());
    let member = owner.server.app.fleet.get(machine.identity().device).expect("is in the fleet");
    assert!(member.report.is_some(), "it was heard");
    owner.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_retired_or_lost_takes_leave_and_is_wiped_and_its_agent_rests() {
    // Goal: decision 0010, the end. Method: the agent runs; a person retires or loses the device; the process ends by
    // itself with 0, again and again; the server has the farewell, the folder nothing of the owner.
    for (act, word) in [(Act::Retire, "retired by its owner"), (Act::ReportLost, "reported lost")] {
        let owner = Owner::new().await;
        let machine = owner.device("VP3-1").await;
        let id = machine.identity().device;
        assert!(machine.agent(&["run", "--once"]).await.status.success());
        owner.act(id, act).await;
        for _ in 0..2 {
            let left = machine.agent(&["run"]).await;
            assert!(left.status.success(), "{}", said(&left));
        }
        assert!(machine.names().is_empty(), "{:?}", machine.names());
        assert!(owner.known(id).farewell.is_some(), "the server has the farewell");
        let status = machine.agent(&["status"]).await;
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(status.contains(word) && status.contains("the server has it too"), "{status}");
        assert!(machine.folder.join("state/security.a").exists(), "floor and versions stay");
        owner.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_retired_by_hand_leaves_with_and_without_its_server() {
    // Goal: `retire` at the device. Method: once with the server, which learns of it, and once without.
    let owner = Owner::new().await;
    let (near, far) = (owner.device("VP3-1").await, owner.device("VP3-2").await);
    let id = near.identity().device;
    let retired = near.agent(&["retire"]).await;
    let told = String::from_utf8_lossy(&retired.stdout).into_owned();
    assert!(
        retired.status.success() && told.contains("the server has its farewell"),
        "{told}{}",
        said(&retired)
    );
    assert_eq!(owner.known(id).state.word(), "retired");
    owner.server.stop().await;
    let retired = far.agent(&["retire"]).await;
    let told = String::from_utf8_lossy(&retired.stdout).into_owned();
    assert!(retired.status.success() && told.contains("does not have its farewell"), "{told}");
    assert!(far.names().is_empty());
    let status: Value = far.status().await;
    assert_eq!(status.pointer("/farewell/handed_in"), Some(&Value::Bool(false)), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_key_others_may_read_does_not_start() {
    // Goal: E16. Method: mode 0644 on the key of an enrolled device.
    let owner = Owner::new().await;
    let machine = owner.device("VP3-1").await;
    let key = machine.names().into_iter().find(|name| Path::new(name).extension().is_some_and(|e| e == "p8"));
    let key = machine.folder.join("state/identity").join(key.expect("has a key"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("changes the mode");
    let refused = machine.agent(&["run", "--once"]).await;
    assert!(!refused.status.success() && said(&refused).contains("chmod 600"), "{}", said(&refused));
    owner.server.stop().await;
}
