//! Tests of the boot controls: what the configuration may name, torn and failing writes, and all four beside each other.

use std::fs;
use std::path::Path;

use cordon_agent_core::update::Slot;
use proptest::prelude::*;

use super::fixture::{Device, KINDS, Kind, block};
use super::grub::GrubBoot;
use super::*;
use crate::store::PairError;

const ARM: Change = Change::Arm { slot: Slot::B, attempts: 3 };

fn parse(text: &str) -> Result<Setting, BootError> {
    Setting::parse(text, Path::new("/etc/cordon"))
}

/// What must be the same everywhere; only the file counts boots.
fn shape(state: BootState) -> BootState {
    BootState { boots: 0, ..state }
}

#[test]
fn the_configuration_names_one_of_four_and_its_place() {
    // Goal: no boot control is guessed. Method: every form of the key, and what is none.
    let path = |text: &str| PathBuf::from(text);
    assert_eq!(parse("file:boot").expect("known"), Setting::File(path("/etc/cordon/boot")));
    assert_eq!(parse("grub").expect("known"), Setting::Grub(path("/boot/grub/grubenv")));
    assert_eq!(parse("grub:/efi/cordonenv").expect("known"), Setting::Grub(path("/efi/cordonenv")));
    assert_eq!(parse("uboot").expect("known"), Setting::Uboot(path("/etc/fw_env.config")));
    assert_eq!(parse("uboot:fw").expect("known"), Setting::Uboot(path("/etc/cordon/fw")));
    assert_eq!(parse("exec:/sbin/boot --x").expect("known"), Setting::Exec("/sbin/boot --x".into()));
    for text in ["", "file", "file:", "exec", "exec:", "exec:boot", "grub:", "efi", "efi:/x", "File:/x"] {
        assert!(matches!(parse(text), Err(BootError::Unknown(_))), "{text}");
    }
    assert!(matches!(Setting::File("/".into()).open(), Err(BootError::Path(_))));
}

#[test]
fn what_is_missing_or_wrong_is_said_when_it_is_opened() {
    // Goal: a clear word at the start, not at the first order. Method: absent places, then wrong contents.
    let root = tempfile::tempdir().expect("a scratch folder");
    let path = |name: &str| root.path().join(name);
    let said = |setting: Setting| setting.open().err().expect("refused").to_string();
    assert!(said(Setting::File(path("boot"))).contains("must bring it"));
    assert!(said(Setting::Grub(path("grubenv"))).contains("cannot read"));
    fs::write(path("grubenv"), block("saved_entry=1\n")).expect("writes");
    assert!(said(Setting::Grub(path("grubenv"))).contains("one variable cordon of one letter"));
    assert!(said(Setting::Uboot(path("fw"))).contains("cannot read"));
    fs::write(path("fw"), "# one copy\n/dev/mmcblk0 0x400000 0x4000\n").expect("writes");
    assert!(said(Setting::Uboot(path("fw"))).contains("must name two copies"));
    let uboot = |text: &str| {
        fs::write(path("fw"), text).expect("writes");
        said(Setting::Uboot(path("fw")))
    };
    let same = "/dev/mmcblk0 0x400000 0x4000\n/dev/mmcblk0 4194304 0x4000\n";
    assert!(uboot(same).contains("must name two copies"), "one place named twice");
    let comment = "/dev/mtd1 0x0 0x4000 # the other copy is in /dev/mtd2\n";
    assert!(uboot(comment).contains("must name two copies"), "a path in a remark is no copy");
    let yaml = "uboot:\n  size : 0x4000\n  devices:\n    - path : /dev/mmcblk0\n      offset : 0x400000\n    - path : /dev/mmcblk0\n";
    for text in [
        yaml,
        "/dev/ubi0:env1 0x0 0x1f000\n/dev/ubi0:env2 0x0 0x1f000\n",
        "/dev/mtd1 env 0x4000\n/dev/mtd2 env 0x4000\n",
        "/dev/mtd1\n/dev/mtd2\n",
        "mtd1 0x0 0x4000\nmtd2 0x0 0x4000\n",
    ] {
        assert!(uboot(text).contains("`/PATH OFFSET SIZE"), "{text}");
    }
    let good = "# two\n\n  /dev/mmcblk0 -0x4000 0x2000\n\t/dev/mmcblk0\t-8192\t0x2000\n";
    assert!(uboot(good).contains("cordon.slot="), "two copies; what is missing is the loader's word");
    assert!(said(Setting::Exec(path("boot").display().to_string())).contains("cannot look at"));
    let exec = |text: &str| {
        let device = Device::new(Kind::Exec);
        device.script("command", text);
        device.control().read().expect_err("no answer").to_string()
    };
    assert!(exec("exit 3").contains("failed: exit status: 3"));
    for text in ["", "echo active=A", "echo active=A trial=A left=1 booted=A", "cat BOOT; echo active=B"] {
        assert!(exec(text).contains("must answer `state`"), "{text}");
    }
}

#[test]
fn the_kernel_must_have_been_told_which_slot_runs() {
    // Goal: what runs is never guessed. Method: command lines without, with two, and with a strange slot.
    let device = Device::new(Kind::Grub);
    for words in ["", "cordon.slot=", "cordon.slot=C", "cordon.slot=A cordon.slot=B", "xcordon.slot=A"] {
        device.tell(words);
        let error = device.control().read().expect_err("not told").to_string();
        assert!(error.contains("cordon.slot=A or cordon.slot=B"), "{words}: {error}");
    }
    device.tell("cordon.slot=B");
    assert_eq!(device.control().read().expect("reads").booted, Slot::B);
}

#[test]
fn a_trial_is_armed_booted_confirmed_and_seen_by_another_reader() {
    // Goal: agent and loader understand each other through the medium. Method: one life of a device of each kind.
    for kind in KINDS {
        let device = Device::new(kind);
        let mut agent = device.control();
        let mut asked = |asked| change(agent.as_mut(), asked);
        let wrong = asked(Change::Arm { slot: Slot::A, attempts: 3 });
        assert!(matches!(wrong, Err(BootError::Change(_))), "{kind:?}: the active slot is never tried");
        asked(Change::Arm { slot: Slot::B, attempts: 2 }).expect("armed");
        assert_eq!(device.boot(), Slot::B, "{kind:?}");
        asked(Change::Confirm { slot: Slot::B }).expect("confirmed");
        let wrong = asked(Change::Confirm { slot: Slot::A });
        assert!(matches!(wrong, Err(BootError::Change(_))), "{kind:?}: only what runs is confirmed");
        assert_eq!(device.boot(), Slot::B, "{kind:?}");
        asked(Change::Arm { slot: Slot::A, attempts: 1 }).expect("armed");
        assert_eq!([device.boot(), device.boot(), device.boot()], [Slot::A, Slot::B, Slot::B], "{kind:?}");
        assert!(device.control().read().expect("reads").fell_back(), "{kind:?}");
        asked(Change::Disarm).expect("disarmed");
        asked(Change::RollBack { to: Slot::A }).expect("rolled back");
        assert_eq!(device.boot(), Slot::A, "{kind:?}");
        let seen = device.control().read().expect("reads");
        assert_eq!(shape(seen), BootState::factory(Slot::A), "{kind:?}");
        assert!(kind != Kind::File || seen.boots == 7);
    }
}

#[test]
fn a_loader_that_cannot_count_does_not_try_and_says_so() {
    // Goal: no trial without an end. Method: the script's word on the kernel's command line.
    for kind in [Kind::Grub, Kind::Uboot] {
        let device = Device::new(kind);
        change(device.control().as_mut(), ARM).expect("armed");
        assert!(!device.control().read().expect("reads").fell_back(), "killed before the reboot");
        device.tell("cordon.slot=A cordon.refused");
        let seen = device.control().read().expect("reads");
        assert!(seen.fell_back() && seen.tried(Slot::B) == Some(0), "{kind:?}");
        change(device.control().as_mut(), Change::Disarm).expect("disarmed");
    }
}

#[test]
fn a_torn_file_falls_back_to_the_copy_before_it() {
    // Goal: a torn boot document boots the old slot. Method: cut and blank the newest copy at every length.
    let root = tempfile::tempdir().expect("a scratch folder");
    let path = root.path().join("boot.json");
    let mut control = FileBoot::create(&path, Slot::A).expect("created");
    change(&mut control, ARM).expect("armed");
    let newest = root.path().join("boot.json.2");
    let whole = fs::read(&newest).expect("reads");
    for length in 0..whole.len() {
        fs::write(&newest, &whole[..length]).expect("torn");
        let mut loader = FileBoot::open(&path).expect("the other copy is whole");
        assert_eq!(loader.boot().expect("boots"), Slot::A, "cut at {length}");
    }
    fs::write(&newest, b"").expect("torn");
    fs::write(&path, b"").expect("torn");
    assert!(matches!(FileBoot::open(&path), Err(BootError::Pair(PairError::Lost { .. }))));
}

#[test]
fn a_grub_block_torn_at_any_byte_or_sector_holds_the_old_or_the_new_state() {
    // Goal: no mixture of two states. Method: every change from every state the agent can meet, with the letter in the
    // first sector, across the border and in the second; of the new block each beginning and each end is written.
    let others = |length: usize| format!("a={}\n", "x".repeat(length));
    for before in [0, 440, 476, 478, 900] {
        let device = Device::new(Kind::Grub);
        let path = device.path("boot");
        let block = block(&format!("{}cordon=A\nb=1\n", others(before)));
        fs::write(&path, &block).expect("writes");
        device.boot();
        let confirm = Change::Confirm { slot: Slot::B };
        for asked in [Some(ARM), Some(Change::Disarm), Some(ARM), None, Some(confirm)] {
            let old = fs::read(&path).expect("reads");
            let state = device.control().read().expect("reads");
            match asked {
                Some(asked) => change(device.control().as_mut(), asked).expect("changed"),
                None => drop(device.boot()),
            }
            let new = fs::read(&path).expect("reads");
            assert_eq!((old.len(), new.len()), (1024, 1024));
            assert_eq!(old.iter().zip(&new).filter(|(old, new)| old != new).count(), 1, "one byte");
            for cut in 0..=1024 {
                for torn in [[&new[..cut], &old[cut..]].concat(), [&old[..cut], &new[cut..]].concat()] {
                    assert!(torn == new || torn == old, "cut at {cut}");
                }
            }
            fs::write(&path, old).expect("torn before");
            let seen = device.control().read().expect("reads");
            assert_eq!(BootState { booted: state.booted, ..seen }, state);
            fs::write(&path, new).expect("writes");
        }
        let kept = fs::read_to_string(&path).expect("reads");
        assert_eq!(kept.replace("cordon=B", "cordon=A"), block, "the variables of others stay");
    }
}

#[test]
fn a_block_is_read_as_grub_reads_it() {
    // Goal: no letter out of somebody else's value. Method: escaped newlines, doubles, long and odd values, no block.
    let device = Device::new(Kind::Grub);
    let active = |text: &str| {
        fs::write(device.path("boot"), text).expect("writes");
        device.control().read().map(|state| state.active)
    };
    assert_eq!(active(&block("note=one\\\ncordon=A\ncordon=B\n")).expect("reads"), Slot::B);
    assert_eq!(active(&block("note=back\\\\\ncordon=B\n")).expect("reads"), Slot::B);
    for text in ["cordon=A\ncordon=B\n", "cordon=\n", "cordon=AB\n", "cordon=x\n", "cordon=A", "xcordon=A\n"]
    {
        assert!(matches!(active(&block(text)), Err(BootError::Holds { .. })), "{text}");
    }
    for text in ["", "cordon=A\n", "# GRUB Environment Block", &"\0".repeat(1024)] {
        assert!(matches!(active(text), Err(BootError::Holds { .. })), "{text}");
    }
    let (block, told) = (device.path("boot"), device.path("cmdline"));
    assert!(matches!(GrubBoot::new(block.join("x"), told).read(), Err(BootError::File(_))));
}

#[test]
fn a_u_boot_environment_whose_writing_dies_between_two_steps_is_safe() {
    // Goal: each step leaves the state before or after. Method: let the tool work k times, for all k, then boot.
    let confirm = Change::Confirm { slot: Slot::B };
    for (asked, steps) in [(ARM, 5), (Change::Disarm, 1), (confirm, 2), (Change::RollBack { to: Slot::A }, 2)]
    {
        for works in 0..=steps {
            let device = Device::new(Kind::Uboot);
            if asked != ARM {
                change(device.control().as_mut(), ARM).expect("armed");
                assert_eq!(device.boot(), Slot::B);
            }
            let before = device.control().read().expect("reads");
            let after = before.changed(asked).expect("makes sense");
            fs::write(device.path("boot.fuse"), works.to_string()).expect("writes");
            assert_eq!(change(device.control().as_mut(), asked).is_ok(), works == steps, "{asked:?} {works}");
            let seen = device.control().read().expect("reads");
            assert!(seen == before || seen == after, "{asked:?} {works}: {seen:?}");
            assert_eq!(device.boot(), choose(&seen).0, "{asked:?} {works}");
        }
    }
}

#[test]
fn a_command_that_does_not_do_what_it_says_arms_nothing() {
    // Goal: only what is read back counts. Method: a command that answers every change by success and keeps its state.
    let device = Device::new(Kind::Exec);
    device.script("command", "[ \"$1\" != state ] || cat BOOT");
    assert!(matches!(change(device.control().as_mut(), ARM), Err(BootError::NotTaken)));
    assert_eq!(device.control().read().expect("reads").trial, None);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Asked(Change),
    Boot,
}

fn act() -> impl Strategy<Value = Act> {
    let slot = prop_oneof![Just(Slot::A), Just(Slot::B)];
    let asked = |change: fn(Slot) -> Change| slot.clone().prop_map(move |slot| Act::Asked(change(slot)));
    let arm = (slot.clone(), 1..=3_u8);
    prop_oneof![
        1 => arm.prop_map(|(slot, attempts)| Act::Asked(Change::Arm { slot, attempts })),
        1 => Just(Act::Asked(Change::Disarm)),
        1 => asked(|slot| Change::Confirm { slot }),
        1 => asked(|to| Change::RollBack { to }),
        3 => Just(Act::Boot),
    ]
}

fn same_as_a_file(kind: Kind, acts: &[Act]) {
    let (device, file) = (Device::new(kind), Device::new(Kind::File));
    for act in acts {
        match act {
            Act::Boot => assert_eq!(device.boot(), file.boot(), "{kind:?}"),
            Act::Asked(asked) => {
                let [one, other] =
                    [&device, &file].map(|device| change(device.control().as_mut(), *asked).is_ok());
                assert_eq!(one, other, "{kind:?} {asked:?}");
            }
        }
        let [one, other] = [&device, &file].map(|device| shape(device.control().read().expect("reads")));
        assert_eq!(one, other, "{kind:?} after {act:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]
    #[test]
    fn a_grub_block_holds_what_a_file_would(acts in proptest::collection::vec(act(), 1..30)) {
        // Goal: one arithmetic behind all. Method: the same acts and boots on both, compared after each.
        same_as_a_file(Kind::Grub, &acts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 32))]
    #[test]
    fn a_u_boot_environment_and_a_command_hold_what_a_file_would(acts in proptest::collection::vec(act(), 1..12)) {
        // Goal and method as above; fewer rounds, because each act starts programs.
        same_as_a_file(Kind::Uboot, &acts);
        same_as_a_file(Kind::Exec, &acts);
    }
}
