//! The scripts over RAUC and SWUpdate before the programs themselves: both verify, write and are read back for real.
//!
//! RAUC runs as a service on a message bus of the test's own, with its boot loader played by a script of a few words.
//! Read next: `agent/installers`, docs/installers.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use cordon_agent::boot::exec::ExecBoot;
use cordon_agent::boot::{BootControl, Change, change};
use cordon_agent::files::Folder;
use cordon_agent::install::Place;
use cordon_agent::install::handed::Handed;
use cordon_agent_core::update::Slot;
use cordon_proto::ids::Sha256;
use cordon_sim::faults::image;
use cordon_sim::program::{program, write_program};
use cordon_sim::skip::{require_package, require_right};

const INSTALLERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/installers");

/// The boot loader as RAUC asks it: what is primary, which slots are good.
const BACKEND: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
case "$1" in
get-primary) cat primary ;;
set-primary) echo "$2" > primary; echo good > "state.$2" ;;
get-state) cat "state.$2" ;;
set-state) echo "$3" > "state.$2" ;;
get-current) cat current ;;
esac
"#;

struct Scene {
    folder: tempfile::TempDir,
    children: Vec<Child>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        Self { folder, children: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writes");
    }

    fn run(&self, name: &Path, words: &[&str]) {
        let output = program(name).args(words).current_dir(self.folder.path()).output().expect("starts");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn spawn(&mut self, command: &mut Command) {
        let log = fs::File::create(self.path("log")).expect("makes");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("starts");
        self.children.push(child);
    }

    /// A maker's key and certificate for what these programs check.
    fn certificate(&self, openssl: &Path) {
        let words =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"];
        let more = ["-days", "3", "-subj", "/CN=maker", "-addext", "extendedKeyUsage=emailProtection"];
        self.run(openssl, &[&words[..], &more].concat());
    }

    /// Takes an image of the agent's to its slot: written, read back, proven, handed over.
    fn hand_over(&self, command: &str, image: &[u8]) -> Result<Sha256, String> {
        let place = self.place(command);
        let length = u64::try_from(image.len()).expect("small");
        let mut writing = place.write(Slot::B, Slot::A, (length, 0)).map_err(|error| error.to_string())?;
        writing.write(0, image).map_err(|error| error.to_string())?;
        assert!(writing.is_whole(), "all of it is written");
        drop(writing);
        self.prove(command, image, Slot::A)
    }

    fn prove(&self, command: &str, image: &[u8], running: Slot) -> Result<Sha256, String> {
        let length = u64::try_from(image.len()).expect("small");
        let proven = self.place(command).prove(
            (Slot::B, running),
            (Sha256::of(image), length),
            &AtomicBool::new(true),
        );
        proven.map_err(|error| error.to_string())
    }

    fn place(&self, command: &str) -> Place {
        Place::Handed(Handed::new(command, Folder::open(self.path("agent")).expect("opens")))
    }

    /// Our script behind a few settings.
    fn command(&self, name: &str, settings: &str) -> String {
        let text = format!("#!/bin/sh\n{settings}\nexec {INSTALLERS}/{name} \"$@\"\n");
        write_program(&self.path("command"), &text).expect("writes");
        self.text("command")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn noise(seed: u8) -> Vec<u8> {
    (0..100_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap_or(0) ^ seed).collect()
}

/// RAUC at work in this scene, with such a line of its configuration; the command that speaks to it, and a bundle.
fn rauc(scene: &mut Scene, content: &[u8], notes: &str) -> Option<(String, Vec<u8>)> {
    let [rauc, bus, openssl] = ["rauc", "dbus-daemon", "openssl"].map(require_package);
    let (rauc, bus, openssl) = (rauc?, bus?, openssl?);
    require_package("mksquashfs")?;
    if !require_right("of root over loop devices", "RAUC's own installation", image::mounts().is_ok()) {
        return None;
    }
    scene.certificate(&openssl);
    fs::create_dir(scene.path("in")).expect("makes");
    fs::write(scene.path("in/rootfs.img"), content).expect("writes");
    let manifest = "[update]\ncompatible=pump\nversion=2\n[image.rootfs]\nfilename=rootfs.img\n";
    fs::write(scene.path("in/manifest.raucm"), manifest).expect("writes");
    scene.run(&rauc, &["--cert", "cert.pem", "--key", "key.pem", "bundle", "in", "out.raucb"]);
    write_program(&scene.path("backend"), BACKEND).expect("writes");
    for (name, text) in [("primary", "A"), ("current", "A"), ("state.A", "good"), ("state.B", "bad")] {
        scene.write(name, text);
    }
    for slot in ["slot.A", "slot.B"] {
        fs::write(scene.path(slot), vec![0; 200_000]).expect("writes");
    }
    let here = scene.folder.path().display().to_string();
    let slot = |number: u8, letter: &str| {
        format!("[slot.rootfs.{number}]\ndevice={here}/slot.{letter}\ntype=raw\nbootname={letter}\n")
    };
    let config = format!(
        "[system]\ncompatible=pump\nbootloader=custom\n{notes}activate-installed=false\n\
         mountprefix={here}/mnt\n[keyring]\npath={here}/cert.pem\n[handlers]\n\
         bootloader-custom-backend={here}/backend\n{}{}",
        slot(0, "A"),
        slot(1, "B")
    );
    scene.write("system.conf", &config);
    let address = format!("unix:path={here}/bus");
    let mut daemon = program(bus);
    daemon.args(["--session", "--nofork", "--nopidfile", "--address", &address]);
    scene.spawn(&mut daemon);
    service(scene, "A");
    let conf = scene.text("system.conf");
    let settings = format!(
        "export DBUS_SESSION_BUS_ADDRESS={address} DBUS_STARTER_BUS_TYPE=session\n\
         export CORDON_NOTE={here}/note CORDON_RAUC='rauc --conf={conf}'"
    );
    Some((scene.command("rauc", &settings), fs::read(scene.path("out.raucb")).expect("reads")))
}

/// RAUC's service on a machine that was started from this slot.
fn service(scene: &mut Scene, booted: &str) {
    // The bus first, then at most one service.
    while scene.children.len() > 1 {
        let mut child = scene.children.pop().expect("there is one");
        let _ = child.kill();
        let _ = child.wait();
    }
    scene.write("current", booted);
    let address = format!("unix:path={}", scene.text("bus"));
    for _ in 0..1200 {
        if scene.path("bus").exists() {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    let mut service = program("rauc");
    service.args(["--conf", &scene.text("system.conf"), "service", "--override-boot-slot", booted]);
    service.env("DBUS_SESSION_BUS_ADDRESS", address).env("DBUS_STARTER_BUS_TYPE", "session");
    scene.spawn(&mut service);
}

fn answers(control: &mut ExecBoot) {
    for _ in 0..600 {
        if control.read().is_ok() {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    control.read().expect("RAUC answers");
}

#[test]
fn rauc_installs_what_was_proven_and_its_slots_go_through_trial_confirmation_and_back() {
    // Goal: a device with RAUC keeps it. Method: RAUC 1.8 itself, its service, a signed bundle, file slots; every verb of
    // our script, and what the boot loader would do in between.
    let (mut scene, content) = (Scene::new(), noise(1));
    let notes = format!("statusfile={}\n", scene.text("status"));
    let Some((command, bundle)) = rauc(&mut scene, &content, &notes) else { return };
    let mut control = ExecBoot::new(&command);
    answers(&mut control);
    let state = control.read().expect("reads");
    assert_eq!((state.active, state.booted, state.trial), (Slot::A, Slot::A, None));

    assert_eq!(scene.hand_over(&command, &bundle).expect("is installed"), Sha256::of(&bundle));
    let slot = fs::read(scene.path("slot.B")).expect("reads");
    assert!(slot.starts_with(&content), "RAUC wrote the slot");
    assert_eq!(fs::read_to_string(scene.path("primary")).expect("reads").trim(), "A", "and armed nothing");

    change(&mut control, Change::Arm { slot: Slot::B, attempts: 3 }).expect("arms");
    assert_eq!(fs::read_to_string(scene.path("primary")).expect("reads").trim(), "B");
    // The boot loader tried it in vain and went back.
    scene.write("primary", "A");
    scene.write("state.B", "bad");
    assert!(control.read().expect("reads").fell_back());
    change(&mut control, Change::Disarm).expect("disarms");

    change(&mut control, Change::Arm { slot: Slot::B, attempts: 3 }).expect("arms");
    service(&mut scene, "B");
    answers(&mut control);
    let state = control.read().expect("reads");
    assert_eq!((state.booted, state.active, state.tried(Slot::B)), (Slot::B, Slot::A, Some(1)));
    scene.prove(&command, &bundle, Slot::B).expect("what runs is what was installed");
    change(&mut control, Change::Confirm { slot: Slot::B }).expect("confirms");
    change(&mut control, Change::RollBack { to: Slot::A }).expect("goes back");
    assert_eq!(fs::read_to_string(scene.path("primary")).expect("reads").trim(), "A");

    // What changes in the slot afterwards shows.
    let mut bent = slot;
    bent[50_000] ^= 1;
    fs::write(scene.path("slot.B"), bent).expect("writes");
    let found = scene.prove(&command, &bundle, Slot::B).expect("is read");
    assert_ne!(found, Sha256::of(&bundle), "another byte runs");
}

#[test]
fn rauc_refuses_a_bundle_of_another_maker_and_nothing_counts_as_installed() {
    // Goal: RAUC's own no is ours. Method: a bundle that ends in other bytes than RAUC's certificate signed.
    let mut scene = Scene::new();
    let notes = format!("statusfile={}\n", scene.text("status"));
    let Some((command, mut bundle)) = rauc(&mut scene, &noise(2), &notes) else { return };
    answers(&mut ExecBoot::new(&command));
    let at = bundle.len() - 100;
    bundle[at] ^= 1;
    let error = scene.hand_over(&command, &bundle).expect_err("is refused");
    assert!(error.contains("failed"), "{error}");
    assert!(!scene.path("agent/handed").exists(), "no note");
}

#[test]
fn rauc_that_notes_no_sizes_proves_no_trial() {
    // Goal: what cannot be read back is not believed. Method: RAUC itself without `statusfile`, and raw slots: after the
    // restart into the trial it cannot say how much of the slot is its, though nothing has changed.
    let (mut scene, content) = (Scene::new(), noise(4));
    let Some((command, bundle)) = rauc(&mut scene, &content, "") else { return };
    answers(&mut ExecBoot::new(&command));
    scene.hand_over(&command, &bundle).expect("is installed");
    service(&mut scene, "B");
    answers(&mut ExecBoot::new(&command));
    assert_eq!(verb(&command, &["digest", "B"]), None);
    scene.prove(&command, &bundle, Slot::B).expect_err("is not believed");
}

/// A device with our script over a RAUC that says what it is told to: two groups of two slots each.
fn said(scene: &Scene) -> String {
    let here = scene.folder.path().display().to_string();
    let slots: String = [
        ("rootfs.1", "", "B", "slot.B"),
        ("app.1", "rootfs.1", "", "app.B"),
        ("rootfs.0", "", "A", "slot.A"),
    ]
    .iter()
    .zip(1..)
    .map(|((_, parent, letter, device), n)| {
        format!(
            "RAUC_SLOT_PARENT_{n}='{parent}'\nRAUC_SLOT_BOOTNAME_{n}='{letter}'\n\
                 RAUC_SLOT_DEVICE_{n}='{here}/{device}'\nRAUC_SLOT_STATUS_CHECKSUM_SIZE_{n}='100000'\n"
        )
    })
    .collect();
    let said = format!(
        "RAUC_SYSTEM_BOOTED_BOOTNAME='A'\nRAUC_BOOT_PRIMARY='rootfs.0'\nRAUC_SYSTEM_SLOTS='rootfs.1 app.1 rootfs.0'\n{slots}"
    );
    scene.write("said", &said);
    for device in ["slot.A", "slot.B", "app.B"] {
        fs::write(scene.path(device), noise(5)).expect("writes");
    }
    let fake = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n\
                case \"$2\" in mark-active) [ ! -e cut ] || kill -9 $PPID; exit 0 ;; esac\ncat said\n";
    write_program(&scene.path("fake"), fake).expect("writes");
    scene.command("rauc", &format!("export CORDON_NOTE={here}/note CORDON_RAUC={here}/fake"))
}

/// What the script says to a verb, if it ends well.
fn verb(command: &str, words: &[&str]) -> Option<String> {
    let output = program(command).args(words).output().expect("starts");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_slot_of_rauc_that_cannot_be_read_whole_has_no_digest() {
    // Goal: a read-back that did not take place is none. Method: each slot of the group changed, short, unreadable, and
    // without a size; a letter without a slot. RAUC is played by a script.
    let scene = Scene::new();
    let command = said(&scene);
    let digest = || verb(&command, &["digest", "B"]);
    let whole = digest().expect("is read");
    assert!(whole.starts_with("sha256=") && whole.trim().len() == 71, "{whole}");
    for device in ["slot.B", "app.B"] {
        let held = fs::read(scene.path(device)).expect("reads");
        fs::write(scene.path(device), noise(6)).expect("writes");
        assert_ne!(digest().expect("is read"), whole, "{device} counts");
        fs::write(scene.path(device), &held[1..]).expect("writes");
        assert_eq!(digest(), None, "{device} is short");
        fs::remove_file(scene.path(device)).expect("removes");
        assert_eq!(digest(), None, "{device} is gone");
        fs::create_dir(scene.path(device)).expect("makes");
        assert_eq!(digest(), None, "{device} gives an error");
        fs::remove_dir(scene.path(device)).expect("removes");
        fs::write(scene.path(device), held).expect("writes");
    }
    assert_eq!(digest().as_ref(), Some(&whole));
    let text = fs::read_to_string(scene.path("said")).expect("reads");
    for (line, other) in
        [("SIZE_2='100000'\n", ""), ("SIZE_2='100000'", "SIZE_2='0'"), ("SIZE_1='100000'", "SIZE_1=''")]
    {
        let text = match other {
            "" => text.replace(&format!("RAUC_SLOT_STATUS_CHECKSUM_{line}"), other),
            _ => text.replace(line, other),
        };
        scene.write("said", &text);
        assert_eq!(digest(), None, "{line}");
    }
    scene.write("said", &text.replace("BOOTNAME_1='B'", "BOOTNAME_1='C'"));
    assert_eq!(digest(), None, "nobody is B");
    scene.write("said", "exit 1\n");
    assert_eq!((digest(), verb(&command, &["state"])), (None, None), "RAUC does not answer");
}

#[test]
fn the_very_first_trial_over_rauc_is_one_also_if_the_power_goes_before_it_is_noted() {
    // Goal: no image escapes the health gate. Method: RAUC is played by a script that kills ours once the slot is marked;
    // the device starts from it.
    let scene = Scene::new();
    let command = said(&scene);
    scene.write("cut", "");
    assert_eq!(verb(&command, &["arm", "B", "3"]), None, "it was cut off");
    let text = fs::read_to_string(scene.path("said")).expect("reads");
    scene.write("said", &text.replace("BOOTED_BOOTNAME='A'", "BOOTED_BOOTNAME='B'"));
    let state = ExecBoot::new(&command).read().expect("reads");
    assert_eq!((state.booted, state.active), (Slot::B, Slot::A), "B runs, A is what was confirmed");
}

#[test]
fn swupdate_installs_what_was_proven_into_the_slot_that_does_not_run() {
    // Goal: a device with SWUpdate keeps it. Method: SWUpdate 2022.12 itself, a signed .swu, file slots; then a bent one.
    let [Some(_), Some(openssl), Some(cpio)] = ["swupdate", "openssl", "cpio"].map(require_package) else {
        return;
    };
    let (scene, content) = (Scene::new(), noise(3));
    scene.certificate(&openssl);
    fs::write(scene.path("rootfs.img"), &content).expect("writes");
    let here = scene.folder.path().display();
    let mode = |mode: &str, letter: &str| {
        format!(
            "{mode}: {{ images: ( {{ filename = \"rootfs.img\"; device = \"{here}/slot.{letter}\"; type = \"raw\"; \
             sha256 = \"{}\"; }} ); }};\n",
            Sha256::of(&content)
        )
    };
    let description = format!(
        "software = {{ version = \"2\"; hardware-compatibility = [ \"C\" ]; stable = {{\n{}{}}}; }}\n",
        mode("a", "A"),
        mode("b", "B")
    );
    scene.write("sw-description", &description);
    let sign = ["cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer", "cert.pem"];
    scene.run(
        &openssl,
        &[&sign[..], &["-inkey", "key.pem", "-outform", "DER", "-nosmimecap", "-binary"]].concat(),
    );
    scene.write("list", "sw-description\nsw-description.sig\nrootfs.img\n");
    let packed = program(cpio)
        .args(["-o", "-H", "crc", "-O", "out.swu"])
        .stdin(fs::File::open(scene.path("list")).expect("opens"))
        .stderr(Stdio::null())
        .current_dir(scene.folder.path())
        .status();
    assert!(packed.expect("starts").success());
    for slot in ["slot.A", "slot.B"] {
        fs::write(scene.path(slot), vec![0; content.len()]).expect("writes");
    }
    let settings = format!(
        "slot_a={here}/slot.A slot_b={here}/slot.B\nselect=stable\noptions=\"-k {here}/cert.pem -H pump:C\"\n"
    );
    scene.write("swupdate.conf", &settings);
    let command = scene.command("swupdate", &format!("export CORDON_SWUPDATE={here}/swupdate.conf"));

    let image = fs::read(scene.path("out.swu")).expect("reads");
    assert_eq!(scene.hand_over(&command, &image).expect("is installed"), Sha256::of(&image));
    assert_eq!(fs::read(scene.path("slot.B")).expect("reads"), content);
    assert!(fs::read(scene.path("slot.A")).expect("reads").iter().all(|byte| *byte == 0), "what runs stays");
    scene.prove(&command, &image, Slot::B).expect("what runs is what was installed");

    let mut bent = image;
    let at = bent.len() / 2;
    bent[at] ^= 1;
    let error = scene.hand_over(&command, &bent).expect_err("is refused");
    assert!(error.contains("failed"), "{error}");
}
