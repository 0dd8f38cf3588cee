//! Folders as what is updated, end to end: a drug library, and the agent itself, at a real server by real agents.
//!
//! The loader of the agent's own folder is agent/installers/cordon-start, started again and again as systemd would.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use cordon_agent::boot::{FileBoot, REBOOT_STATUS};
use cordon_agent_core::update::Slot;
use cordon_proto::limits;
use cordon_proto::update::release::InterlockClass;
use cordon_sim::archive;
use cordon_sim::demo::catalogue::{Model, QUIET_PUMP, Unit};
use cordon_sim::demo::fleet::{self, Factory};
use cordon_sim::hospital::{Hospital, Place, Release, Who};
use cordon_sim::program::{program, write_program};
use cordon_sim::skip::require_package;
use cordon_sim::small_disk::{MIB, SmallDisk};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::time::sleep;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const SETTINGS: [&str; 1] = ["device.checkin_s=1"];
const MODEL: &str = "VP-3-DRUGS";
const LOADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/installers/cordon-start");

/// A file of a tree: its path, its text, whether it may be started.
type Held<'a> = (&'a str, &'a str, bool);

fn lay(folder: &Path, files: &[Held<'_>]) {
    fs::create_dir_all(folder).expect("makes");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("sets");
    for (name, text, program) in files {
        let path = folder.join(name);
        let inner = path.parent().expect("is inside");
        fs::create_dir_all(inner).expect("makes");
        fs::set_permissions(inner, fs::Permissions::from_mode(0o755)).expect("sets");
        if *program {
            write_program(&path, text).expect("writes");
        } else {
            fs::write(&path, text).expect("writes");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets");
        }
    }
}

/// A hospital with one enrolled device whose updatable part is a folder.
struct Ward {
    hospital: Hospital,
    folder: PathBuf,
    config: PathBuf,
    serial: String,
}

impl Ward {
    /// `more` is configuration; `files` stand in tree A.
    async fn open(folder: &Path, files: &[Held<'_>], more: &str) -> Self {
        Self::open_with(folder, files, &format!("install = \"directory:part\"\n{more}")).await
    }

    /// The same with another installer's lines.
    async fn open_with(folder: &Path, files: &[Held<'_>], install: &str) -> Self {
        let hospital = Hospital::open(Path::new(SIM), &folder.join("owner"), &SETTINGS).await.expect("opens");
        hospital.open_maker("halden", &[MODEL]).await.expect("a maker");
        let home = folder.join("device");
        let part = home.join("part");
        lay(&part.join("A"), files);
        symlink("A", part.join("current")).expect("links");
        fs::write(part.join("boot"), "active=A trial=none left=0 booted=A\n").expect("writes");
        let unit =
            Unit { model: Model { name: MODEL, ..QUIET_PUMP }, number: 0, site: "St. Anna", ward: "ICU 2" };
        let image = archive::of_folder(&part.join("A")).expect("an archive");
        let factory = Factory {
            release: "vp-3-drugs/1".parse().expect("a release"),
            counter: 1,
            image: &image,
            interlock: InterlockClass::None,
            maker: ("halden", &hospital.maker_root("halden")),
        };
        let config = fleet::build(&home, &unit, &factory).expect("is built");
        let slots = "slots = [\"slot-a\", \"slot-b\"]\nboot = \"file:boot\"\n";
        let text = fs::read_to_string(&config).expect("reads");
        assert!(text.contains(slots));
        fs::write(&config, text.replace(slots, install)).expect("writes");
        let place = Place { site: unit.site, ward: unit.ward, kind: "infusion-pump" };
        let line = hospital.enrolment(MODEL, &place, Who::Serial(&unit.serial())).await.expect("a token");
        let join = home.join("join");
        fs::write(&join, line + "\n").expect("writes");
        let ward = Self { hospital, folder: folder.to_owned(), config, serial: unit.serial() };
        ward.agent(&["enrol", "--with", &join.display().to_string()]);
        ward
    }

    fn part(&self, name: &str) -> PathBuf {
        self.folder.join("device/part").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.part(name)).unwrap_or_default().trim().to_owned()
    }

    fn agent(&self, arguments: &[&str]) -> String {
        let output = program(SIM).args(["agent", "--config"]).arg(&self.config).args(arguments).output();
        let output = output.expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("is text")
    }

    fn log(&self) -> fs::File {
        let log = self.folder.join("agent.log");
        fs::OpenOptions::new().create(true).append(true).open(log).expect("opens")
    }

    /// The agent as a process.
    fn run(&self) -> Child {
        let mut command = program(SIM);
        command.args(["agent", "--config"]).arg(&self.config).arg("run");
        command.stdout(Stdio::null()).stderr(self.log()).spawn().expect("starts")
    }

    /// The maker signs `files` as a release, the owner orders it, the server rolls it out.
    async fn order(&self, counter: u64, files: &[Held<'_>]) {
        let tree = self.folder.join(format!("release-{counter}"));
        lay(&tree, files);
        let image = self.folder.join(format!("release-{counter}.tar"));
        fs::write(&image, archive::of_folder(&tree).expect("an archive")).expect("writes");
        let name = format!("vp-3-drugs/{counter}");
        let release = Release {
            repository: "halden",
            name: &name,
            model: MODEL,
            revision: "C",
            counter,
            interlock: "none",
            image: &image,
        };
        self.hospital.release(&release).await.expect("a release");
        let list = self.folder.join(format!("list-{counter}"));
        fs::write(&list, format!("Halden\t{MODEL}\t{}\n", self.serial)).expect("writes");
        let id = format!("order-{counter}");
        self.hospital.order(&id, &release, std::slice::from_ref(&list)).await.expect("an order");
        let wave = format!("icu={id}={}", list.display());
        let rollout = format!("rollout-{counter}");
        let words =
            ["rollouts", "create", "--id", &rollout, "--title", "Ward", "--soak-s", "0", "--wave", &wave];
        self.hospital.ctl(&words).await.expect("a rollout");
    }

    /// The device as the server shows it, and beside it the rollouts.
    async fn device(&self) -> Value {
        let listed = self.hospital.api("/api/v1/devices").await.expect("reads");
        let id = listed.pointer("/devices/0/id").or(listed.pointer("/items/0/id"));
        let id = id.and_then(Value::as_str).unwrap_or_else(|| panic!("no device: {listed}"));
        let mut device = self.hospital.api(&format!("/api/v1/devices/{id}")).await.expect("reads");
        let rollouts = self.hospital.api("/api/v1/rollouts").await.expect("reads");
        device.as_object_mut().expect("an object").insert("rollouts".to_owned(), rollouts);
        device
    }

    /// Waits until `status --json` says this at the device: the picture is written after the server is told.
    async fn shows(&self, place: &str, wanted: &str) {
        let mut status = Value::Null;
        for _ in 0..300 {
            status = serde_json::from_str(&self.agent(&["status", "--json"])).expect("JSON");
            if status.pointer(place).and_then(Value::as_str) == Some(wanted) {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
        panic!("never: {place} is {wanted}: {status}");
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut device = Value::Null;
        for _ in 0..900 {
            device = self.device().await;
            if holds(&device) {
                return device;
            }
            sleep(Duration::from_millis(200)).await;
        }
        let log = fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default();
        panic!("never: {what}: {device}\nboot: {}\n{log}", self.text("boot"));
    }
}

fn installed(counter: u64) -> impl Fn(&Value) -> bool {
    move |device| {
        let release = format!("vp-3-drugs/{counter}");
        let software = device.get("software").unwrap_or(&Value::Null);
        software.get("counter") == Some(&counter.into())
            && software.get("release").and_then(Value::as_str) == Some(&release)
            && device.pointer("/update/state").and_then(Value::as_str) != Some("trial")
    }
}

/// Whether the rollout of this release counts a device that went back.
fn rolled_back(device: &Value, counter: u64) -> bool {
    let rollouts = device.pointer("/rollouts/rollouts").and_then(Value::as_array);
    let id = format!("rollout-{counter}");
    let rollout = rollouts.and_then(|all| all.iter().find(|one| one.get("id") == Some(&id.as_str().into())));
    rollout.and_then(|rollout| rollout.pointer("/waves/0/rolled_back")) == Some(&1.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drug_library_is_updated_shown_with_its_version_and_left_again_when_it_is_not_well() {
    // Goal: clinical content by the very rules of firmware. Method: one release that is well, one that its health check
    // does not like; what the server shows, what the application would read, how often it was started again.
    let folder = tempfile::tempdir().expect("a folder");
    let files =
        |edition: &'static str| [("drugs/adult.csv", "morphine;10\n", false), ("edition", edition, false)];
    let more = "restart = [\"sh\", \"-c\", \"cat PART/current/edition >> PART/started; echo >> PART/started\"]\n\
                health = [\"sh\", \"-c\", \"! grep -q bad PART/current/edition\"]\ntrial_s = 30\n";
    let part = folder.path().join("device/part").display().to_string();
    let ward = Ward::open(folder.path(), &files("one"), &more.replace("PART", &part)).await;
    let mut agent = ward.run();
    ward.until("the factory's edition is shown", installed(1)).await;
    ward.order(2, &files("two")).await;
    ward.until("the second edition is shown", installed(2)).await;
    assert_eq!((ward.text("current/edition").as_str(), ward.text("started").as_str()), ("two", "two"));
    ward.shows("/installed/release", "vp-3-drugs/2").await;

    ward.order(3, &files("bad")).await;
    let is_back = |device: &Value| ward.text("started") == "two\nbad\ntwo" && installed(2)(device);
    ward.until("the second edition runs again", is_back).await;
    assert_eq!(ward.text("current/edition"), "two");
    ward.until("the server counts it", |device| rolled_back(device, 3)).await;
    agent.kill().expect("is ended");
    let _ = agent.wait();
}

/// How long a good trial may take on a busy machine, in seconds.
const TRIAL_S: u32 = 60;

/// The supervisor of an agent that lives in the folder: starts the loader again after every end, kills all at once.
struct Supervised {
    child: Option<Child>,
    /// Seconds after which the loader ends a trial that is not confirmed.
    trial_s: u32,
}

impl Supervised {
    fn new() -> Self {
        Self { child: None, trial_s: TRIAL_S }
    }

    fn start(&mut self, ward: &Ward) {
        let link = fs::read_link(ward.part("current")).expect("a link always");
        let whole = ward.part("").join(link).join("bin/cordon-agent");
        assert!(whole.is_file(), "{}: a program is always there to be started", whole.display());
        let mut command = program(LOADER);
        command.arg(ward.part("")).arg(ward.part("current/bin/cordon-agent"));
        command.arg("--config").arg(&ward.config).arg("run");
        command.env("CORDON_TRIAL_S", self.trial_s.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(ward.log()).process_group(0);
        self.child = Some(command.spawn().expect("starts"));
    }

    /// Starts it again if it has ended.
    fn watch(&mut self, ward: &Ward) {
        if self.child.as_mut().is_none_or(|child| child.try_wait().expect("looks").is_some()) {
            self.start(ward);
        }
    }

    /// As a power cut would.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// The same, unless this is the last start that the loader grants the trial: whoever cut that one, too, would be right
    /// to be given up on. Everything stands still while it is looked up.
    fn kill_but_for_the_last(&mut self, ward: &Ward) {
        self.signal(Signal::STOP);
        if ward.text("boot").contains("trial=B left=0") { self.signal(Signal::CONT) } else { self.kill() }
    }

    fn signal(&self, signal: Signal) {
        let group = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        let _ = group.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The agent's program: the real one, behind a line that tells two versions apart.
fn agent_program(version: &str) -> String {
    format!("#!/bin/sh\n# version {version}\nexec {SIM} agent \"$@\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_replaces_itself_and_comes_back_from_one_that_does_not_work() {
    // Goal: one working agent always. Method: a new version that works; one that ends at once; one that hangs.
    let folder = tempfile::tempdir().expect("a folder");
    let first = agent_program("1");
    let ward = Ward::open(folder.path(), &[("bin/cordon-agent", &first, true)], "").await;
    let mut agent = Supervised::new();
    let second = agent_program("2");
    ward.order(2, &[("bin/cordon-agent", &second, true)]).await;
    let told = supervised(&ward, &mut agent, "the second version is shown", installed(2)).await;
    assert_eq!(ward.text("current/bin/cordon-agent"), second.trim(), "{told}");

    let hangs = "#!/bin/sh\nexec sleep 600\n";
    for (counter, broken, trial_s) in [(3, "#!/bin/sh\nexit 1\n", TRIAL_S), (4, hangs, 4)] {
        agent.trial_s = trial_s;
        ward.order(counter, &[("bin/cordon-agent", broken, true)]).await;
        let is_back = |device: &Value| rolled_back(device, counter) && installed(2)(device);
        supervised(&ward, &mut agent, "the broken version is left again", is_back).await;
        assert_eq!(ward.text("current/bin/cordon-agent"), second.trim());
    }
}

/// Watches over the agent until the server's word of the device is as wanted.
async fn supervised(
    ward: &Ward,
    agent: &mut Supervised,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let mut device = Value::Null;
    for _ in 0..1800 {
        agent.watch(ward);
        device = ward.device().await;
        if holds(&device) {
            return device;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let log = fs::read_to_string(ward.folder.join("agent.log")).unwrap_or_default();
    panic!("never: {what}: {device}\nboot: {}\n{log}", ward.text("boot"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_while_it_replaces_itself_always_leaves_one_that_starts() {
    // Goal: no moment without an agent. Method: everything is killed after ever longer times, from the first byte to the
    // confirmed end, but for the third and last start of the trial; before each start the link must lead to a program.
    let folder = tempfile::tempdir().expect("a folder");
    let filler = "0123456789abcdef".repeat(200_000);
    let (first, second) = (agent_program("1"), agent_program("2"));
    let files = |program| [("bin/cordon-agent", program, true), ("filler", filler.as_str(), false)];
    let ward = Ward::open(folder.path(), &files(first.as_str()), "").await;
    ward.order(2, &files(second.as_str())).await;
    let mut agent = Supervised::new();
    let mut kills = 0;
    for millis in (200..).step_by(130) {
        agent.watch(&ward);
        sleep(Duration::from_millis(millis)).await;
        if installed(2)(&ward.device().await) {
            break;
        }
        if kills % 2 == 0 || millis > 1500 {
            agent.kill_but_for_the_last(&ward);
        }
        kills += 1;
        assert!(kills < 60, "it never comes to an end: {}", ward.text("boot"));
    }
    assert!(kills > 2, "the agent was too quick to be killed");
    supervised(&ward, &mut agent, "the second version is confirmed", |device| {
        installed(2)(device) && ward.text("boot").starts_with("active=B trial=none")
    })
    .await;
}

#[test]
fn a_loader_whose_trial_is_confirmed_sleeps_until_its_command_ends_and_passes_its_end_on() {
    // Goal: a confirmed agent costs no more than itself. Method: a `sleep` that counts its calls and confirms the trial in the
    // second; a command that goes on for a while, is told to end, and takes its time: who slept how often, and its status.
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    symlink("A", path("current")).expect("links");
    fs::write(path("boot"), "active=A trial=B left=3 booted=A\n").expect("writes");
    let root = folder.path().display().to_string();
    let napping = "#!/bin/sh\necho >> ROOT/naps\n[ $(wc -l < ROOT/naps) != 2 ] ||\n\
                   echo 'active=B trial=none left=0 booted=B' > ROOT/boot\nexec PATH_OF_SLEEP 0.05\n";
    let command = "#!/bin/sh\ntrap 'PATH_OF_SLEEP 0.3; exit 7' TERM\n\
                   until grep -q trial=none ROOT/boot; do PATH_OF_SLEEP 0.05; done\n\
                   n=0; while [ $n -lt 20 ]; do PATH_OF_SLEEP 0.1; n=$((n + 1)); done\n\
                   touch ROOT/confirmed; while :; do PATH_OF_SLEEP 0.1; done\n";
    let sleep = ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|path| Path::new(path).exists());
    let filled = |text: &str| text.replace("ROOT", &root).replace("PATH_OF_SLEEP", sleep.expect("a sleep"));
    fs::create_dir(path("bin")).expect("makes");
    for (name, text) in [("bin/sleep", napping), ("command", command)] {
        write_program(&path(name), &filled(text)).expect("writes");
    }
    let found = format!("{root}/bin:/usr/local/bin:/usr/bin:/bin");
    let mut loader = program(LOADER);
    loader.arg(folder.path()).arg(path("command")).env("PATH", found).stdin(Stdio::null());
    let mut loader = loader.spawn().expect("starts");
    let came_so_far = (0..3000).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        path("confirmed").exists()
    });
    assert!(came_so_far, "the command never came so far");
    let pid = i32::try_from(loader.id()).ok().and_then(Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, Signal::TERM).expect("is told");
    assert_eq!(loader.wait().expect("ends").code(), Some(7), "the end of the command is the loader's");
    assert_eq!(fs::read_to_string(path("naps")).expect("reads").lines().count(), 2);
}

/// A maker's command: the slot is a file.
const COMMAND: &str = r#"#!/bin/sh
set -e
cd "$(dirname "$0")"
case "$1" in
install) cp "$3" "slot.$2" ;;
digest) echo "sha256=$(sha256sum < "slot.$2" | cut -d' ' -f1)" ;;
esac
"#;

/// Bytes that an image leaves free where the agent's own state is; see docs/installers.md.
const RESERVE: u64 = limits::SPOOL_BYTES + limits::SPOOL_BYTES / 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_a_command_takes_waits_for_room_and_the_server_says_so() {
    // Goal: a full disk is told, costs the agent's own state nothing, and ends with the ballast. Method: a device on a small
    // disk of its own, on which image and reserve have no room; then they have.
    let Some(disk) = SmallDisk::of(64, "a full disk under a device") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let home = disk.path().join("device");
    fs::create_dir(&home).expect("makes");
    symlink(&home, folder.path().join("device")).expect("links");
    let command = home.join("command");
    write_program(&command, COMMAND).expect("writes");
    let filler = "0123456789abcdef".repeat(200_000);
    let files = |edition| [("edition", edition, false), ("filler", filler.as_str(), false)];
    let install = format!("install = \"exec:{}\"\nboot = \"file:boot\"\n", command.display());
    let ward = Ward::open_with(folder.path(), &files("one"), &install).await;
    let image = home.join("state/handed.B");
    let ballast = disk.fill(RESERVE + MIB);
    let mut agent = ward.run();
    ward.until("the factory's edition is shown", installed(1)).await;
    ward.order(2, &files("two")).await;
    ward.until("the full disk is shown", |device| {
        let blocked = device.pointer("/update/blocked_by").and_then(Value::as_array);
        blocked.is_some_and(|all| all.iter().any(|one| one.get("code") == Some(&"disk-full".into())))
    })
    .await;
    assert!(!image.exists() && disk.free() > RESERVE, "{} bytes are free", disk.free());
    fs::remove_file(ballast).expect("removes");
    // It tries again by itself after minutes; a new start does not wait for that.
    agent.kill().expect("is ended");
    agent.wait().expect("is ended");
    agent = ward.run();
    let ended = (0..900).find_map(|_| {
        std::thread::sleep(Duration::from_millis(200));
        agent.try_wait().expect("looks")
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(i32::from(REBOOT_STATUS)));
    let mut boot = FileBoot::open(&home.join("boot")).expect("opens");
    assert_eq!(boot.boot().expect("boots"), Slot::B);
    agent = ward.run();
    ward.until("the second edition is shown", installed(2)).await;
    let slot = fs::read(home.join("slot.B")).expect("reads");
    assert!(slot == fs::read(folder.path().join("release-2.tar")).expect("reads"), "what was signed");
    agent.kill().expect("is ended");
    let _ = agent.wait();
}

#[test]
fn gnu_tar_makes_the_very_archive_that_the_agent_makes_again() {
    // Goal: a maker needs no tool of ours. Method: the line of docs/installers.md over a folder with deep and long names,
    // odd rights and links; byte for byte.
    let Some(tar) = require_package("tar") else { return };
    let document = include_str!("../../docs/installers.md");
    let line = document.lines().find(|line| line.starts_with("tar --format=ustar")).expect("the line");
    let folder = tempfile::tempdir().expect("a folder");
    let tree = folder.path().join("tree");
    let long = format!("{}/{}/{}", "x".repeat(90), "y".repeat(60), "z".repeat(40));
    let whole = format!("{}/{}", "v".repeat(99), "w".repeat(99));
    lay(
        &tree,
        &[
            ("bin/run", "#!/bin/sh\n", true),
            ("bin.txt", "x", false),
            ("bin/empty", "", false),
            (&long, "deep", false),
            (&whole, "long", true),
            ("ä ö", "text", false),
        ],
    );
    symlink("../bin.txt", tree.join("bin/link")).expect("links");
    symlink("bin", tree.join("a-folder")).expect("links");
    fs::set_permissions(tree.join("bin.txt"), fs::Permissions::from_mode(0o600)).expect("sets");
    fs::set_permissions(tree.join("bin/run"), fs::Permissions::from_mode(0o700)).expect("sets");
    let out = folder.path().join("out.tar");
    let words = line.split(' ').skip(1).map(|word| match word {
        "FOLDER" => tree.display().to_string(),
        "FILE" => out.display().to_string(),
        word => word.to_owned(),
    });
    assert!(program(tar).args(words).status().expect("starts").success());
    let (theirs, ours) = (fs::read(&out).expect("reads"), archive::of_folder(&tree).expect("an archive"));
    assert!(theirs == ours, "{} bytes against {}", theirs.len(), ours.len());
}
