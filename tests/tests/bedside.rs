//! At the bedside, end to end: real agents under a boot loader and a real server. What the maker's software, a person and
//! nobody say decides alone whether a device reboots, and the server knows why it does not; and a new image that cannot
//! reach the server goes back by itself, which the server shows.
//!
//! Read next: `cordon_agent_core::interlock`, `agent/interlock/cordon_interlock.h`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cordon_agent::boot::{BootControl, FileBoot};
use cordon_agent::capture::fed::Fed;
use cordon_agent::clock::{Clock, SystemClock};
use cordon_agent::run::{Exit, Ports, run};
use cordon_agent_core::update::Slot;
use cordon_proto::limits;
use cordon_proto::time::Millis;
use cordon_proto::update::release::InterlockClass;
use cordon_sim::demo::boot_loader::Machine;
use cordon_sim::demo::catalogue::{QUIET_PUMP, Unit};
use cordon_sim::demo::fleet::{self, Factory};
use cordon_sim::hospital::{Hospital, Place, Release, Who};
use cordon_sim::program::program;
use cordon_sim::pump::{Pump, built};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const PATIENCE: Duration = Duration::from_secs(300);
/// What the server must know by.
const MINUTE: Duration = Duration::from_secs(60);
/// Seconds of the applications' leases.
const LEASE_S: u64 = 2;
/// Longer than the agent's time between two looks at its surroundings, twice.
const TWO_LOOKS: Duration = Duration::from_secs(12);
const OLD: &str = "vp-3/4.2.1";
const NEW: &str = "vp-3/4.2.2";

/// An owner and a maker, with pumps that the maker's repository knows.
struct Ward {
    hospital: Hospital,
    folder: PathBuf,
}

/// One pump, as it stands on the ward.
struct Stand {
    unit: Unit,
    config: PathBuf,
}

impl Stand {
    fn path(&self, name: &str) -> PathBuf {
        self.config.with_file_name(name)
    }

    fn machine(&self) -> Machine {
        Machine::new(Path::new(SIM), &["agent"], &self.config, &self.path("boot"))
    }

    /// One command of the agent, as a process.
    async fn agent(&self, arguments: &[&str]) -> String {
        let mut command = program(SIM);
        command.args(["agent", "--config"]).arg(&self.config).args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
        let output = output.expect("starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until `status --json` says at the device that the interlock alone is in the way, by these words.
    async fn says(&self, words: &str) {
        let until = Instant::now() + MINUTE;
        loop {
            let status: Value = serde_json::from_str(&self.agent(&["status", "--json"]).await).expect("JSON");
            let told = reasons(&status, "/blocked_by");
            if is_interlock(&told, words) {
                return;
            }
            assert!(Instant::now() < until, "{words}: {status}");
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn reasons(value: &Value, pointer: &str) -> Vec<(String, String)> {
    let list = value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let reason = |one: &Value| (text(one, "/code").to_owned(), text(one, "/sentence").to_owned());
    list.iter().map(reason).collect()
}

/// Whether the interlock alone is in the way, by a sentence with these words. The go does not count: the server gives
/// none to what is in use.
fn is_interlock(told: &[(String, String)], words: &str) -> bool {
    let mut other = told.iter().filter(|(code, _)| code != "no-permit");
    let is_it = other.next().is_some_and(|(code, sentence)| code == "interlock" && sentence.contains(words));
    is_it && other.next().is_none()
}

impl Ward {
    async fn open(folder: &Path) -> Self {
        let hospital = Hospital::open(Path::new(SIM), &folder.join("owner"), &[]).await.expect("opens");
        hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
        let image = folder.join("new.img");
        std::fs::write(&image, vec![7; 300_000]).expect("writes");
        let release = Release { interlock: "none", ..Release::pump(&image) };
        hospital.release(&release).await.expect("a release");
        Self { hospital, folder: folder.to_owned() }
    }

    /// An enrolled pump whose factory image asks for this class, with more lines of configuration.
    async fn stand(&self, number: usize, class: InterlockClass, lines: &str) -> Stand {
        let unit = Unit { model: QUIET_PUMP, number, site: "St. Anna", ward: "ICU 2" };
        let root = self.hospital.maker_root("halden");
        let factory = Factory {
            release: OLD.parse().expect("a release"),
            counter: 421,
            image: b"the factory image",
            interlock: class,
            maker: ("halden", &root),
        };
        let home = self.folder.join(format!("pump-{number}"));
        let config = fleet::build(&home, &unit, &factory).expect("is built");
        let written = std::fs::read_to_string(&config).expect("reads");
        std::fs::write(&config, written + lines).expect("writes");
        let place = Place { site: unit.site, ward: unit.ward, kind: QUIET_PUMP.kind };
        let line =
            self.hospital.enrolment("VP-3", &place, Who::Serial(&unit.serial())).await.expect("a token");
        std::fs::write(home.join("join"), line + "\n").expect("writes");
        let stand = Stand { unit, config };
        stand.agent(&["enrol", "--with", &home.join("join").display().to_string()]).await;
        stand
    }

    /// Two people order the new release for these pumps, and a rollout carries it out: one wave for each group.
    async fn order(&self, groups: &[&[&Stand]]) {
        let image = self.folder.join("new.img");
        let release = Release { interlock: "none", ..Release::pump(&image) };
        let mut waves = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let lines: String =
                group.iter().map(|stand| format!("Halden\tVP-3\t{}\n", stand.unit.serial())).collect();
            let list = self.folder.join(format!("wave-{number}.tsv"));
            std::fs::write(&list, lines).expect("writes");
            let id = format!("vp3-{number}");
            self.hospital.order(&id, &release, std::slice::from_ref(&list)).await.expect("an order");
            waves.push(format!("w{number}={id}={}", list.display()));
        }
        let mut words = vec![
            "rollouts",
            "create",
            "--id",
            "vp3",
            "--title",
            "VP-3",
            "--soak-s",
            "0",
            "--in-flight",
            "100",
        ];
        words.extend(waves.iter().flat_map(|wave| ["--wave", wave.as_str()]));
        self.hospital.ctl(&words).await.expect("a rollout");
    }

    /// The devices as the operator API shows each of them, by serial.
    async fn devices(&self) -> BTreeMap<String, Value> {
        let page = self.hospital.api("/api/v1/devices").await.expect("lists");
        let listed = page.pointer("/devices").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut shown = BTreeMap::new();
        for device in &listed {
            let path = format!("/api/v1/devices/{}", text(device, "/id"));
            let device = self.hospital.api(&path).await.expect("shows it");
            shown.insert(text(&device, "/serial").to_owned(), device);
        }
        shown
    }

    /// Waits until the server shows of this pump the interlock alone in the way, by a sentence with these words; how long
    /// that took.
    async fn shows(&self, stand: &Stand, words: &str) -> Duration {
        let since = Instant::now();
        loop {
            let devices = self.devices().await;
            let told = devices.get(&stand.unit.serial()).map(|device| reasons(device, "/update/blocked_by"));
            if told.as_ref().is_some_and(|told| is_interlock(told, words)) {
                return since.elapsed();
            }
            let log = std::fs::read_to_string(stand.config.with_extension("log")).unwrap_or_default();
            assert!(since.elapsed() < PATIENCE, "{}: {words}: {told:?}\n{log}", stand.unit.serial());
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the server shows that this pump runs the new release.
    async fn installed(&self, stand: &Stand) {
        let until = Instant::now() + PATIENCE;
        loop {
            let devices = self.devices().await;
            let device = devices.get(&stand.unit.serial()).cloned().unwrap_or_default();
            if text(&device, "/release") == NEW && text(&device, "/software/slot") == "B" {
                return;
            }
            assert!(Instant::now() < until, "never installed: {device}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The maker's software at the bed: starts at the pump's socket as soon as it is there.
async fn therapy(pump: &Path, stand: &Stand) -> Pump {
    let socket = stand.path("interlock.sock");
    let mut looks = 0;
    while !socket.exists() {
        assert!(looks < 1200, "{}: the agent made no socket for its applications", stand.unit.serial());
        looks += 1;
        sleep(Duration::from_millis(100)).await;
    }
    let mut application = Pump::start(pump, &socket, LEASE_S).expect("starts");
    assert_eq!(application.says().expect("is read"), "standby");
    assert_eq!(application.told("start").expect("is told"), "in_use");
    application
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reboots_a_device_in_use_or_unknown_and_the_server_says_why_within_a_minute() {
    // Goal: the interlock over the whole house, with the real agent program and the window open all the time. Method:
    // seven pumps with one order: one in use, one whose application is killed, one whose application hangs without
    // renewing, one idle, one that a person releases, one at a stricter site, one at a site that would be looser.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(pump) = built(folder.path()).expect("compiles") else { return };
    let mut ward = Ward::open(folder.path()).await;
    let application = InterlockClass::Application;
    let used = ward.stand(0, application, "").await;
    let killed = ward.stand(1, application, "").await;
    let hung = ward.stand(2, application, "").await;
    let idle = ward.stand(3, InterlockClass::Idle, "").await;
    let person = ward.stand(4, InterlockClass::Person, "").await;
    let stricter = ward.stand(5, InterlockClass::None, "interlock = \"application\"\n").await;
    let looser = ward.stand(6, application, "interlock = \"none\"\n").await;
    let all = [&used, &killed, &hung, &idle, &person, &stricter, &looser];
    let machines = all.map(Stand::machine);
    let loaders = machines.each_ref().map(Machine::on);
    let mut at_used = therapy(&pump, &used).await;
    let at_killed = therapy(&pump, &killed).await;
    let at_hung = therapy(&pump, &hung).await;
    ward.order(&[&all]).await;

    let software = "own software does not say";
    for (stand, words) in [
        (&used, "is in use"),
        (&killed, "is in use"),
        (&hung, "is in use"),
        (&idle, "minutes of silence"),
        (&person, "Release it at the device"),
        (&stricter, software),
        (&looser, software),
    ] {
        ward.shows(stand, words).await;
        stand.says(words).await;
    }
    at_killed.killed().expect("is killed");
    at_hung.hangs().expect("is stopped");
    for stand in [&killed, &hung] {
        let took = ward.shows(stand, software).await;
        assert!(took < MINUTE, "{}: {took:?}", stand.unit.serial());
        stand.says(software).await;
    }
    // A person's release counts where the maker asks for a person, and nowhere where it asks for the application.
    for stand in [&killed, &stricter, &looser, &person] {
        assert!(stand.agent(&["interlock", "release"]).await.contains("the device is unknown"));
    }
    ward.installed(&person).await;
    sleep(TWO_LOOKS).await;
    let reboots = machines.each_ref().map(Machine::reboots);
    assert_eq!(reboots, [0, 0, 0, 0, 1, 0, 0], "in use, unknown and not yet idle never reboot");
    assert!(ward.shows(&used, "is in use").await < MINUTE);
    assert_eq!(at_used.told("stop").expect("is told"), "standby");
    ward.installed(&used).await;
    at_hung.wakes().expect("goes on");
    assert!(ward.shows(&hung, "is in use").await < MINUTE, "it renews again");
    machines.iter().for_each(Machine::off);
    for loader in loaders {
        loader.await.expect("no panic").expect("boots");
    }
    ward.hospital.stop().await.expect("drains");
}

/// A clock on which so many seconds go by in one, for whoever only counts them.
#[derive(Debug)]
struct Hurried(SystemClock, u32);

impl Clock for Hurried {
    fn now(&self) -> Millis {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * self.1
    }
}

/// One boot of a pump: the slot that the loader starts, and the agent's loops until they end.
async fn life(stand: &Stand, hurry: u32) -> (Slot, Exit) {
    let slot = FileBoot::open(&stand.path("boot")).expect("opens").boot().expect("boots");
    let clock: Arc<dyn Clock> = Arc::new(Hurried(SystemClock::new(), hurry));
    let config = fleet::config(&stand.config).expect("is read");
    let (_feed, capture) = Fed::new();
    let ports = fleet::ports(&config, &stand.unit, Arc::new(Mutex::new(capture)), clock);
    let exit = timeout(PATIENCE, run(config, ports, std::future::pending())).await;
    (slot, exit.expect("ends"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_reach_the_server_goes_back_by_itself_and_the_server_shows_it() {
    // Goal: the release's `confirm` without a network, after one boot and twice the time, and a rollout that stops there.
    // Method: the server is gone as soon as the pump reboots; its trial's seconds run a hundred times faster; then the
    // server comes back.
    let folder = tempfile::tempdir().expect("a folder");
    let mut ward = Ward::open(folder.path()).await;
    let first = ward.stand(0, InterlockClass::None, "").await;
    let second = ward.stand(1, InterlockClass::None, "").await;
    ward.order(&[&[&first], &[&second]]).await;
    let (slot, exit) = life(&first, 1).await;
    assert!(slot == Slot::A && matches!(exit, Exit::Reboot), "{exit:?}");
    ward.hospital.kill();
    let dark = Instant::now();
    let (slot, exit) = life(&first, 100).await;
    assert!(slot == Slot::B && matches!(exit, Exit::Reboot), "{exit:?}");
    let trial = Duration::from_secs(u64::from(limits::TRIAL_S)) / 100;
    assert!(dark.elapsed() >= 2 * trial, "it was given its time, and once more: {:?}", dark.elapsed());
    ward.hospital.start(&[]).await.expect("starts");
    let machine = first.machine();
    let loader = machine.on();
    let until = Instant::now() + PATIENCE;
    let count = |rollout: &Value, field: &str| rollout.pointer(field).and_then(Value::as_u64).unwrap_or(0);
    let rollout = loop {
        let rollout = ward.hospital.api("/api/v1/rollouts/vp3").await.expect("shows it");
        if count(&rollout, "/waves/0/rolled_back") == 1 && text(&rollout, "/state") != "running" {
            break rollout;
        }
        assert!(Instant::now() < until, "{rollout}");
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(count(&rollout, "/waves/1/unreached"), 1, "the next wave is not begun: {rollout}");
    let boot = FileBoot::open(&first.path("boot")).expect("opens").read().expect("reads");
    assert_eq!((boot.booted, boot.trial), (Slot::A, None), "back, after one boot of the new image");
    let devices = ward.devices().await;
    let device = devices.get(&first.unit.serial()).cloned().unwrap_or_default();
    assert_eq!((text(&device, "/release"), text(&device, "/software/slot")), (OLD, "A"), "{device}");
    let listed = ward.hospital.api("/api/v1/rollouts/vp3/devices?wave=1").await.expect("lists them");
    assert!(text(&listed, "/devices/0/note").contains("did not reach the server"), "{listed}");
    machine.off();
    loader.await.expect("no panic").expect("boots");
    ward.hospital.stop().await.expect("drains");
}

/// A pump whose agent runs in this process: whether the next content makes it grow over its bar, and its end.
struct AtWork {
    grows: Arc<AtomicU8>,
    stop: tokio::sync::oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Exit>,
}

/// Starts the agent's loops; ten minutes of its clock are six seconds.
fn at_work(stand: &Stand) -> AtWork {
    let clock: Arc<dyn Clock> = Arc::new(Hurried(SystemClock::new(), 100));
    let config = fleet::config(&stand.config).expect("is read");
    let (feed, capture) = Fed::new();
    let grows = Arc::new(AtomicU8::new(0));
    let seen = Arc::clone(&grows);
    // Asked once before a content is applied, and then at every look of its trial.
    let memory = move || match seen.load(Ordering::Relaxed) {
        0 => Some(4000),
        1 => {
            seen.store(2, Ordering::Relaxed);
            Some(4000)
        }
        _ => Some(limits::CONTENT_RESIDENT_KIB + 1),
    };
    let ports = Ports {
        memory: Arc::new(memory),
        ..fleet::ports(&config, &stand.unit, Arc::new(Mutex::new(capture)), clock)
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let ended = tokio::spawn(async move {
        let _feed = feed;
        run(config, ports, async move { drop(stopped.await) }).await
    });
    AtWork { grows, stop, ended }
}

impl Ward {
    /// Two people sign this version of the content `night` for both pumps, and a rollout brings it, one pump after the
    /// other.
    async fn content(&self, version: u64, list: &str) {
        let owner = self.folder.join("owner");
        let path = |name: String| owner.join(name).display().to_string();
        let (draft, file) = (path(format!("draft-{version}.json")), path(format!("night-{version}.json")));
        let text = format!(
            r#"{{"v": 1, "id": "night", "version": {version}, "model": "VP-3", "settings": {{"checkin_s": 60}},
            "detectors": {{"beacon": {{"starts": 20, "score": 850}}, "allow-list": {{"networks": null}}}},
            "windows": null}}"#
        );
        std::fs::write(&draft, text).expect("writes");
        let director = path("director".to_owned());
        let propose = ["content", "propose", "--file", &draft, "--director", &director, "--out", &file];
        self.hospital.ctl(&propose).await.expect("is proposed");
        let (first, second) = (self.hospital.key("content-1"), self.hospital.key("content-2"));
        let head = ["content", "sign", "--director", &director, "--file", &file, "--scope-list", list];
        self.hospital
            .ctl(&[&head[..], &["--reason", "a test", "--key", &first]].concat())
            .await
            .expect("signs");
        self.hospital.ctl(&[&head[..], &["--add", "--key", &second]].concat()).await.expect("signs too");
        self.hospital.ctl(&["repo", "publish", "--director", &director]).await.expect("is published");
        let (id, wave) = (format!("night-{version}"), format!("all=night={list}"));
        let mut create = vec!["rollouts", "create", "--content", "--id", &id, "--title", "Quiet nights"];
        create.extend(["--soak-s", "0", "--wave", &wave, "--waves", "1,rest"]);
        self.hospital.ctl(&create).await.expect("a rollout");
    }

    /// Waits until the rollout of this version stands so.
    async fn stands(&self, version: u64, state: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let path = format!("/api/v1/rollouts/night-{version}");
            let rollout = self.hospital.api(&path).await.expect("shows it");
            if text(&rollout, "/state") == state {
                return rollout;
            }
            assert!(Instant::now() < until, "never {state}: {rollout}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The content that a pump says it runs, and why it gave one back.
async fn content_of(stand: &Stand) -> (u64, String) {
    let status: Value = serde_json::from_str(&stand.agent(&["status", "--json"]).await).expect("JSON");
    let version = status.pointer("/content/version").and_then(Value::as_u64).unwrap_or(0);
    (version, text(&status, "/content/given_up/code").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_goes_through_two_signatures_and_waves_and_a_bad_one_is_given_back_and_halts() {
    // Goal: content, end to end: sign, publish, apply in waves; a bad one is restored by the device itself, its rollout
    // halts, and the next pump never sees it. Method: real command lines and server; two agents in this process, whose
    // seconds run a hundred times faster; the second version makes them grow over the bar.
    let folder = tempfile::tempdir().expect("a folder");
    let mut ward = Ward::open(folder.path()).await;
    let stands =
        [ward.stand(0, InterlockClass::None, "").await, ward.stand(1, InterlockClass::None, "").await];
    let lines: String =
        stands.iter().map(|stand| format!("Halden\tVP-3\t{}\n", stand.unit.serial())).collect();
    let list = folder.path().join("pumps.tsv");
    std::fs::write(&list, lines).expect("writes");
    let list = list.display().to_string();
    let work = [at_work(&stands[0]), at_work(&stands[1])];
    ward.content(1, &list).await;
    ward.stands(1, "finished").await;
    for stand in &stands {
        assert_eq!(content_of(stand).await, (1, String::new()));
    }
    work.iter().for_each(|pump| pump.grows.store(1, Ordering::Relaxed));
    ward.content(2, &list).await;
    let halted = ward.stands(2, "halted").await;
    let devices = ward.devices().await;
    let listed = ward.hospital.api("/api/v1/rollouts/night-2/devices?wave=1").await.expect("lists them");
    let id = text(&listed, "/devices/0/device").to_owned();
    let place = stands.iter().position(|stand| text(&devices[&stand.unit.serial()], "/id") == id);
    let (first, other) = match place.expect("one of both") {
        0 => (0, 1),
        _ => (1, 0),
    };
    let note = text(&listed, "/devices/0/note");
    assert!(
        note.contains("more memory than it may") && note.contains("version 1 is in force again"),
        "{note}"
    );
    assert_eq!(content_of(&stands[first]).await, (1, "content-memory".to_owned()));
    assert_eq!(content_of(&stands[other]).await, (1, String::new()), "it never heard of it");
    assert_eq!(halted.pointer("/rollout/waves/1/started"), Some(&Value::Null), "{halted}");
    for AtWork { stop, ended, .. } in work {
        stop.send(()).expect("it runs");
        assert!(matches!(ended.await.expect("no panic"), Exit::Stopped));
    }
    ward.hospital.stop().await.expect("drains");
}
