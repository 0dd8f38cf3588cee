//! The boot controls before other judges: GRUB itself and its tool, U-Boot's tools, and the scripts of docs/boot.md.
//!
//! The agent's adapters write, the others read, and the other way round. GRUB runs as a program over a disk image; the
//! script of U-Boot runs in a shell whose `setenv`, `setexpr` and `saveenv` stand for U-Boot's. Read next:
//! `cordon_agent::boot`.

use std::fs;
use std::path::PathBuf;

use cordon_agent::boot::exec::ExecBoot;
use cordon_agent::boot::grub::GrubBoot;
use cordon_agent::boot::uboot::UbootBoot;
use cordon_agent::boot::{BootControl, BootState, Change, change, choose};
use cordon_agent_core::update::Slot;
use cordon_sim::program::{program, write_program};
use cordon_sim::skip::require_package;
use tempfile::TempDir;

const DOCUMENT: &str = include_str!("../../docs/boot.md");
const ARM: Change = Change::Arm { slot: Slot::B, attempts: 3 };
const CONFIRM: Change = Change::Confirm { slot: Slot::B };

/// The first script of this language in the document.
fn script(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).expect("the document has it");
    rest.split_once("```").expect("it ends").0
}

/// What a program says; it must end well.
fn said(name: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> String {
    let output = program(&name).args(words).output().expect("starts");
    assert!(output.status.success(), "{} {words:?}: {output:?}", name.as_ref().display());
    String::from_utf8(output.stdout).expect("is text")
}

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().expect("a scratch folder"));
        bench.tell("cordon.slot=A");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("writes");
        self.text(name)
    }

    /// What the kernel was told.
    fn tell(&self, words: &str) {
        self.write("cmdline", &format!("quiet {words}\n"));
    }

    fn grub(&self) -> GrubBoot {
        GrubBoot::new(self.path("grubenv"), self.path("cmdline"))
    }

    fn uboot(&self) -> UbootBoot {
        UbootBoot::new(self.path("fw_env.config"), self.path("cmdline"))
    }
}

fn state(control: &mut dyn BootControl) -> BootState {
    control.read().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn grubs_own_tool_reads_what_we_write_and_we_read_what_it_writes() {
    // Goal: one format. Method: grub-editenv makes the block and lists it after each of our changes, and the reverse.
    let Some(tool) = require_package("grub-editenv") else { return };
    let bench = Bench::new();
    let block = bench.text("grubenv");
    let edit = |words: &[&str]| said(&tool, &[&[block.as_str()], words].concat());
    edit(&["create"]);
    edit(&["set", "saved_entry=back\\slash", "note=two\nlines\ncordon=Z", "cordon=A", "last=1"]);
    let others = edit(&["list"]).replace("cordon=A", "");
    let mut control = bench.grub();
    let lists = |letter: &str| {
        let list = edit(&["list"]);
        assert!(list.contains(&format!("\ncordon={letter}\n")), "{list}");
        assert_eq!(list.replace(&format!("cordon={letter}"), ""), others, "the rest stays");
    };
    change(&mut control, ARM).expect("armed");
    lists("3");
    change(&mut control, Change::Disarm).expect("disarmed");
    lists("A");
    bench.tell("cordon.slot=B");
    change(&mut control, CONFIRM).expect("confirmed");
    lists("B");
    for (letter, active, left) in [("2", Slot::A, 2), ("c", Slot::B, 2), ("a", Slot::B, 0)] {
        edit(&["set", "saved_entry=longer than before", &format!("cordon={letter}")]);
        let seen = state(&mut control);
        assert_eq!((seen.active, seen.trial, seen.attempts_left), (active, Some(active.other()), left));
    }
    edit(&["unset", "cordon"]);
    assert!(control.read().expect_err("gone").to_string().contains("one variable cordon"));
}

#[test]
fn the_documents_scripts_for_grub_are_grubs_language() {
    // Goal: what a maker copies can be read by GRUB. Method: its own checker.
    let Some(checker) = require_package("grub-script-check") else { return };
    let bench = Bench::new();
    for part in DOCUMENT.split("```grub\n").skip(1) {
        let (script, _) = part.split_once("```").expect("it ends");
        said(&checker, &[&bench.write("grub.cfg", script)]);
    }
}

/// GRUB as a program, with the block on a disk image that it can write, or on the host, which it cannot.
struct Grub {
    emulator: PathBuf,
    edit: PathBuf,
    debugfs: PathBuf,
    bench: Bench,
}

impl Grub {
    fn new() -> Option<Self> {
        let [emulator, edit] = ["grub-emu", "grub-editenv"].map(require_package);
        let [debugfs, mke2fs] = ["debugfs", "mke2fs"].map(require_package);
        let (grub, mke2fs) =
            (Self { emulator: emulator?, edit: edit?, debugfs: debugfs?, bench: Bench::new() }, mke2fs?);
        let bench = &grub.bench;
        for block in ["grubenv", "result"] {
            said(&grub.edit, &[&bench.text(block), "create"]);
        }
        said(&grub.edit, &[&bench.text("grubenv"), "set", "saved_entry=1", "cordon=A"]);
        said(&grub.edit, &[&bench.text("result"), "set", "slot=-", "refused=-"]);
        let disk = bench.write("disk", "");
        fs::File::options().write(true).open(&disk).expect("opens").set_len(4 << 20).expect("grows");
        said(&mke2fs, &["-q", "-F", "-t", "ext2", &disk]);
        bench.write("device.map", &format!("(hd0) {disk}\n"));
        grub.debug(&format!("write {} result", bench.text("result")));
        Some(grub)
    }

    fn debug(&self, command: &str) {
        said(&self.debugfs, &["-w", "-R", command, &self.bench.text("disk")]);
    }

    /// One boot: which slot is started, and whether GRUB says that it could not count.
    fn boot(&self, block: &str) -> (Slot, bool) {
        let bench = &self.bench;
        self.debug("rm grubenv");
        self.debug(&format!("write {} grubenv", bench.text("grubenv")));
        let folder = bench.path("grub");
        fs::create_dir_all(&folder).expect("makes the folder");
        let script = script("grub").replace("$prefix/grubenv", block);
        let end = "save_env -f (hd0)/result slot refused\nhalt\n";
        fs::write(folder.join("grub.cfg"), format!("{script}{end}")).expect("writes");
        let folder = folder.display().to_string();
        let map = bench.text("device.map");
        let mut emulator = program(&self.emulator);
        emulator.args(["-m", &map, "-d", &folder, "-r", "host"]).env("TERM", "dumb");
        let output = emulator.stdin(std::process::Stdio::null()).output().expect("starts");
        assert!(output.status.success(), "{output:?}");
        for file in ["grubenv", "result"] {
            self.debug(&format!("dump {file} {}", bench.text(file)));
        }
        let list = said(&self.edit, &[&bench.text("result"), "list"]);
        let slot = if list.contains("slot=A") { Slot::A } else { Slot::B };
        assert!(list.contains(&format!("slot={slot}")), "{list}");
        let refused = list.contains("refused=cordon.refused");
        bench.tell(&format!("cordon.slot={slot} {}", if refused { "cordon.refused" } else { "" }));
        (slot, refused)
    }
}

#[test]
fn grub_counts_chooses_and_stores_as_the_arithmetic_says() {
    // Goal: the script in the document is the loader that the agent counts on. Method: GRUB boots from every letter, from
    // a block that it can write and from one that it cannot; slot and block are compared with `choose`.
    let Some(grub) = Grub::new() else { return };
    let block = grub.bench.text("grubenv");
    for letter in ["A", "B", "3", "2", "1", "0", "d", "c", "b", "a"] {
        said(&grub.edit, &[&block, "set", &format!("cordon={letter}")]);
        let before = state(&mut grub.bench.grub());
        let (slot, after) = choose(&BootState { refused: false, ..before });
        assert_eq!(grub.boot("(hd0)/grubenv"), (slot, false), "{letter}");
        assert_eq!(state(&mut grub.bench.grub()), BootState { boots: 0, ..after }, "{letter}");
        assert!(said(&grub.edit, &[&block, "list"]).contains("saved_entry=1"));
    }
    for (letter, active) in [("3", Slot::A), ("1", Slot::A), ("d", Slot::B), ("A", Slot::A), ("a", Slot::B)] {
        said(&grub.edit, &[&block, "set", &format!("cordon={letter}")]);
        let counts = !["A", "a"].contains(&letter);
        assert_eq!(grub.boot(&format!("(host){block}")), (active, counts), "{letter} cannot be counted");
        let seen = state(&mut grub.bench.grub());
        assert!(seen.fell_back() == seen.trial.is_some() && seen.booted == active, "{letter}: {seen:?}");
    }
}

#[test]
fn an_update_under_grub_is_armed_tried_confirmed_and_left_again() {
    // Goal: agent and GRUB through one block. Method: a good image, then one that never comes up.
    let Some(grub) = Grub::new() else { return };
    let boot = || grub.boot("(hd0)/grubenv").0;
    let asked = |asked| change(&mut grub.bench.grub(), asked).expect("changed");
    assert_eq!(boot(), Slot::A);
    asked(ARM);
    assert_eq!(boot(), Slot::B);
    asked(CONFIRM);
    assert_eq!(boot(), Slot::B);
    asked(Change::Arm { slot: Slot::A, attempts: 3 });
    assert_eq!([boot(), boot(), boot(), boot()], [Slot::A, Slot::A, Slot::A, Slot::B]);
    assert!(state(&mut grub.bench.grub()).fell_back());
    asked(Change::Disarm);
    assert_eq!((boot(), state(&mut grub.bench.grub()).trial), (Slot::B, None));
}

/// An environment in two copies inside one file, made and read by the tools of libubootenv.
struct Uboot {
    tools: [PathBuf; 2],
    bench: Bench,
}

const COPY_BYTES: usize = 0x1000;

impl Uboot {
    fn new() -> Option<Self> {
        let [print, set] = ["fw_printenv", "fw_setenv"].map(require_package);
        let uboot = Self { tools: [print?, set?], bench: Bench::new() };
        let bench = &uboot.bench;
        fs::write(bench.path("environment"), vec![0xff; 2 * COPY_BYTES]).expect("writes");
        let environment = bench.text("environment");
        let copies =
            format!("{environment} 0x0 {COPY_BYTES:#x}\n{environment} {COPY_BYTES:#x} {COPY_BYTES:#x}\n");
        bench.write("fw_env.config", &format!("# two copies\n{copies}"));
        let factory =
            "cordon_active=A\ncordon_trial=B\nupgrade_available=0\nbootcount=0\nbootlimit=3\nother=one two\n";
        let factory = bench.write("factory", factory);
        said(&uboot.tools[1], &["-c", &bench.text("fw_env.config"), "-f", &factory, "board", "vp3"]);
        Some(uboot)
    }

    fn print(&self, name: &str) -> String {
        let config = self.bench.text("fw_env.config");
        said(&self.tools[0], &["-c", &config, "-n", name]).trim_end().to_owned()
    }

    /// The script of the document, in a shell that has U-Boot's variables; `saves` is whether `saveenv` works.
    fn boot(&self, saves: bool) -> (Slot, bool) {
        let config = self.bench.text("fw_env.config");
        let all = said(&self.tools[0], &["-c", &config]);
        let quoted = all.lines().filter_map(|line| line.split_once('='));
        let variables: String = quoted.map(|(name, value)| format!("{name}='{value}'\n")).collect();
        let set = self.tools[1].display();
        let save = match saves {
            true => format!("{set} -c {config} bootcount $bootcount"),
            false => "false".to_owned(),
        };
        let words = format!(
            "setenv() {{ name=$1; shift; eval \"$name=\\$*\"; }}\n\
             setexpr() {{ eval \"$1=\\$(($2 $3 $4))\"; }}\n\
             saveenv() {{ {save}; }}\n{variables}{}\necho \"$bootargs\"\n",
            script("hush")
        );
        let bootargs = said("sh", &["-c", &words]);
        self.bench.tell(&bootargs);
        let slot = if bootargs.contains("cordon.slot=A") { Slot::A } else { Slot::B };
        assert!(
            bootargs.contains(&format!("root=PARTLABEL=slot-{slot} ro panic=10 cordon.slot={slot}")),
            "{bootargs}"
        );
        (slot, bootargs.contains("cordon.refused"))
    }
}

#[test]
fn u_boots_own_tools_read_what_we_write_and_its_script_does_as_the_arithmetic_says() {
    // Goal: adapter, tools and script are one. Method: a good image and one that never comes up; each boot by the script,
    // each state by the tools and compared with `choose`.
    let Some(uboot) = Uboot::new() else { return };
    let mut control = uboot.bench.uboot();
    let boot = |control: &mut UbootBoot| {
        let (slot, after) = choose(&state(control));
        assert_eq!(uboot.boot(true), (slot, false));
        assert_eq!(state(control), BootState { boots: 0, ..after });
        slot
    };
    assert_eq!(boot(&mut control), Slot::A);
    change(&mut control, ARM).expect("armed");
    let names = ["cordon_active", "cordon_trial", "upgrade_available", "bootcount", "bootlimit"];
    assert_eq!(names.map(|name| uboot.print(name)), ["A", "B", "1", "0", "3"]);
    assert_eq!(boot(&mut control), Slot::B);
    change(&mut control, CONFIRM).expect("confirmed");
    assert_eq!((uboot.print("cordon_active"), uboot.print("upgrade_available")), ("B".into(), "0".into()));
    assert_eq!(boot(&mut control), Slot::B);
    change(&mut control, Change::Arm { slot: Slot::A, attempts: 2 }).expect("armed");
    let boots = [boot(&mut control), boot(&mut control), boot(&mut control), boot(&mut control)];
    assert_eq!(boots, [Slot::A, Slot::A, Slot::B, Slot::B]);
    assert!(state(&mut control).fell_back());
    change(&mut control, Change::Disarm).expect("disarmed");
    change(&mut control, Change::Arm { slot: Slot::A, attempts: 3 }).expect("armed");
    assert_eq!(uboot.boot(false), (Slot::B, true), "not counted, not tried");
    assert!(state(&mut control).fell_back());
    assert_eq!(
        (uboot.print("other"), uboot.print("board")),
        ("one two".into(), "vp3".into()),
        "the rest stays"
    );
}

#[test]
fn a_u_boot_environment_torn_at_any_sector_holds_the_state_before_or_after() {
    // Goal: two copies make each step whole. Method: of each step of arming, confirming and taking back, each beginning
    // and each end by sectors of the medium, read by U-Boot's tool.
    let Some(uboot) = Uboot::new() else { return };
    let mut control = uboot.bench.uboot();
    let (path, tool) = (uboot.bench.path("environment"), uboot.tools[1].clone());
    let config = uboot.bench.text("fw_env.config");
    let steps = [
        ("cordon_trial", "B"),
        ("bootcount", "0"),
        ("bootlimit", "3"),
        ("upgrade_available", "1"),
        ("bootcount", "1"),
        ("cordon_active", "B"),
        ("upgrade_available", "0"),
    ];
    for (name, value) in steps {
        let (old, before) = (fs::read(&path).expect("reads"), state(&mut control));
        said(&tool, &["-c", &config, name, value]);
        let (new, after) = (fs::read(&path).expect("reads"), state(&mut control));
        for cut in (0..=old.len()).step_by(512) {
            for torn in [[&new[..cut], &old[cut..]].concat(), [&old[..cut], &new[cut..]].concat()] {
                fs::write(&path, torn).expect("torn");
                let seen = state(&mut control);
                assert!(seen == before || seen == after, "{name}={value} cut at {cut}: {seen:?}");
            }
        }
        fs::write(&path, new).expect("writes");
    }
}

#[test]
fn an_environment_in_one_copy_or_without_our_variables_is_refused() {
    // Goal: never on a medium that a power cut empties, never by guessing. Method: one line; a missing variable.
    let Some(uboot) = Uboot::new() else { return };
    let config = uboot.bench.path("fw_env.config");
    said(&uboot.tools[1], &["-c", &config.display().to_string(), "cordon_active"]);
    let said = uboot.bench.uboot().read().expect_err("missing").to_string();
    assert!(said.contains("cordon_active"), "{said}");
    let lines = fs::read_to_string(&config).expect("reads");
    fs::write(&config, lines.lines().take(2).collect::<Vec<_>>().join("\n")).expect("writes");
    let said = uboot.bench.uboot().read().expect_err("one copy").to_string();
    assert!(said.contains("must name two copies"), "{said}");
}

#[test]
fn the_documents_command_keeps_the_contract() {
    // Goal: what a maker copies works. Method: the script over a file of ours, its loader by `choose`.
    let bench = Bench::new();
    let file = bench.write("state", "active=A trial=none left=0 booted=A\n");
    let command = bench.text("command");
    let text = script("sh").replace("/boot/cordon.state", &file);
    write_program(&bench.path("command"), &text).expect("writes");
    let mut control = ExecBoot::new(&command);
    let boot = |control: &mut ExecBoot| {
        let (slot, next) = choose(&state(control));
        let trial = next.trial.map_or("none".to_owned(), |slot| slot.to_string());
        let line =
            format!("active={} trial={trial} left={} booted={slot}\n", next.active, next.attempts_left);
        fs::write(&file, line).expect("writes");
        slot
    };
    change(&mut control, ARM).expect("armed");
    assert_eq!(boot(&mut control), Slot::B);
    change(&mut control, CONFIRM).expect("confirmed");
    change(&mut control, Change::Arm { slot: Slot::A, attempts: 1 }).expect("armed");
    assert_eq!([boot(&mut control), boot(&mut control)], [Slot::A, Slot::B]);
    change(&mut control, Change::Disarm).expect("disarmed");
    change(&mut control, Change::RollBack { to: Slot::A }).expect("rolled back");
    assert_eq!(boot(&mut control), Slot::A);
    for damage in ["", "active=A trial=B left=3", "active=$(reboot) trial=none left=0 booted=A", "active=C"] {
        fs::write(&file, damage).expect("writes");
        assert!(control.read().is_err(), "{damage}");
    }
}
