//! What looks at the machine see: each sign in a made-up root, what is unseen said, and nothing that names a patient.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cordon_agent_core::signs::program::Place;
use cordon_agent_core::signs::rewrite::Files;

use super::cabinet::SWITCH;
use super::*;

/// Writes a file below a root.
pub(crate) fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
    fs::write(path, text).expect("writes");
}

fn contact(text: &str) -> Contact {
    Contact::parse(text).expect("is one")
}

/// A sealed pump below a folder.
pub(crate) fn pump(root: &Path) {
    put(
        root,
        "etc/passwd",
        concat!(
            "root:x:0:0:root:/root:/bin/sh\nward:x:1000:1000:A Name:/home",
            "/ward:/bin/sh\nbin:x:2:2::/:/usr/sbin/nologin\n"
        ),
    );
    put(root, "home/ward/.ssh/authorized_keys", "ssh-ed25519 AAAA service\n");
    put(root, MOUNTS, "1 0 8:2 / / ro,relatime - ext4 /dev/sda2 ro\n2 1 0:5 / /tmp rw - tmpfs tmpfs rw\n");
    put(root, "sys/devices/disk/device/serial", "S1\n");
    put(root, "sys/devices/disk/part/partition", "2\n");
    fs::create_dir_all(root.join("sys/dev/block")).expect("makes");
    symlink("../../devices/disk/part", root.join("sys/dev/block/8:2")).expect("links");
    put(root, SETTINGS, "root=/dev/sda2 ro quiet\n");
    put(root, BOOT_ID, "11111111-1111-1111-1111-111111111111\n");
    put(root, "proc/uptime", "3600.50 7000.00\n");
    runs(root, 1, "/usr/bin/pump");
    put(root, &format!("{USB}/1-1/idVendor"), "046d\n");
    put(root, &format!("{USB}/1-1/idProduct"), "c31c\n");
    put(root, &format!("{USB}/1-1:1.0/bInterfaceClass"), "03\n");
    put(root, &format!("{USB}/1-1:1.0/bInterfaceProtocol"), "01\n");
    put(root, "sys/gpio17/value", "0\n");
    for number in 0..60 {
        put(root, &format!("srv/data/ward/{number:02}.dcm"), "DICM");
    }
}

/// Lets a program run.
pub(crate) fn runs(root: &Path, number: u32, path: &str) {
    let name = path.trim_end_matches(" (deleted)").rsplit(['/', ':']).next().unwrap_or(path);
    put(root, &format!("proc/{number}/comm"), &format!("{name}\n"));
    let link = root.join(format!("proc/{number}/exe"));
    drop(fs::remove_file(&link));
    symlink(path, link).expect("links");
}

fn looker() -> Looker {
    Looker::new(&["/srv/data".to_owned()], &[contact("door:/sys/gpio17/value=1")])
}

#[test]
fn a_look_at_a_sealed_pump_finds_each_thing_and_no_name_of_a_patient() {
    // Goal: everything a sign needs, and nothing else. Method: a made-up root; the look as text.
    let folder = tempfile::tempdir().expect("a folder");
    pump(folder.path());
    runs(folder.path(), 77, "/tmp/miner");
    let root = Root::at(folder.path()).expect("opens");
    let mut looker = looker();
    let look = looker.look(&root, Some(Timestamp(1_800_003_600)));
    assert_eq!(looker.unseen, []);
    let ways: Vec<(String, Kind)> =
        look.accounts.clone().expect("seen").into_iter().map(|way| (way.account, way.kind)).collect();
    let keys = Kind::Keys(Mark::of(&["ssh-ed25519 AAAA service\n"]));
    let expected = [("root", Kind::Root), ("root", Kind::Shell), ("ward", Kind::Shell), ("ward", keys)];
    assert_eq!(ways, expected.map(|(name, kind)| (name.to_owned(), kind)));
    let programs = look.programs.clone().expect("sealed");
    assert_eq!((programs.seen, programs.unseen, programs.outside.len()), (2, 0, 1));
    assert_eq!((programs.outside[0].name.as_str(), programs.outside[0].place), ("miner", Place::Passing));
    let attached = look.attached.clone().expect("seen");
    assert_eq!((attached.len(), attached[0].types, attached[0].product.as_str()), (1, true, "046d:c31c"));
    assert_eq!(look.medium, Some(Mark::of(&["S1", "2"])));
    assert_eq!(look.start.and_then(|start| start.at), Some(Timestamp(1_800_000_000)));
    assert_eq!((look.cabinet.len(), look.cabinet[0].open), (1, false));
    assert_eq!(look.files.as_ref().map(|files| files.files.len()), Some(60));
    let said = format!("{look:?}");
    assert!(!said.contains("A Name") && !said.contains(".dcm") && !said.contains("quiet"), "{said}");
    assert_eq!(
        looker.look(&root, Some(Timestamp(1_800_003_600))),
        look,
        "the same machine gives the same look"
    );
}

#[test]
fn what_cannot_be_looked_at_is_unseen_with_a_reason_and_never_empty() {
    // Goal: blind is not quiet. Method: a bare root; then a root that can be written; then folders that are shut.
    let folder = tempfile::tempdir().expect("a folder");
    let root = Root::at(folder.path()).expect("opens");
    let mut looker = looker();
    let look = looker.look(&root, None);
    assert_eq!((look.accounts, look.programs, look.attached), (None, None, None));
    assert_eq!((look.medium, look.start, look.cabinet), (None, None, Vec::new()));
    let signs: Vec<&str> = looker.unseen.iter().map(|(sign, _)| *sign).collect();
    assert_eq!(signs, ["account", "program", "attached", "boot", "reboot", "cabinet", "rewrite"]);
    pump(folder.path());
    put(folder.path(), MOUNTS, "1 0 8:2 / / rw - ext4 /dev/sda2 rw\n");
    assert_eq!(looker.look(&root, None).programs, None);
    assert_eq!(looker.unseen.len(), 1, "{:?}", looker.unseen);
    put(folder.path(), "usr/share/cordon/files.sha256", "");
    assert!(looker.look(&root, None).programs.is_some(), "an image that declares its files is sealed");
    let mut nothing = Looker::default();
    assert_eq!(nothing.look(&root, None).files, None);
    assert_eq!(nothing.unseen[0].1, "the configuration names no folders of `data`");
    let shut = folder.path().join("srv/data/ward");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).expect("shuts");
    let cut = looker.look(&root, None).files.map(|files| files.cut.len());
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).expect("opens");
    if !rustix::process::geteuid().is_root() {
        assert_eq!(cut, Some(1), "a folder that is shut is not an empty one");
    }
}

#[test]
fn a_switch_counts_each_opening_between_two_looks() {
    // Goal: a door that was open for a second is seen. Method: a level that moves; events as the kernel writes them.
    let folder = tempfile::tempdir().expect("a folder");
    let event = |kind: u16, code: u16, value: i32| {
        let mut bytes = vec![0; 2 * size_of::<usize>()];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    };
    put(folder.path(), "dev/input/event2", "");
    put(folder.path(), "sys/gpio17/value", "1\n");
    let root = Root::at(folder.path()).expect("opens");
    let contacts = [contact("door:/sys/gpio17/value=1"), contact("lid:/dev/input/event2=14")];
    let mut looker = Looker::new(&[], &contacts);
    let first = looker.look(&root, None).cabinet;
    assert_eq!((first.len(), first[0].open, first[0].openings), (1, true, 0), "the lid has not spoken");
    for level in ["0", "1", "0", "1", "0"] {
        put(folder.path(), "sys/gpio17/value", &format!("{level}\n"));
        looker.watch(&root);
    }
    let mut input =
        fs::OpenOptions::new().append(true).open(folder.path().join("dev/input/event2")).expect("opens");
    for (kind, code, value) in [(SWITCH, 14, 1), (0, 0, 0), (SWITCH, 3, 1), (SWITCH, 14, 0), (SWITCH, 14, 1)]
    {
        input.write_all(&event(kind, code, value)).expect("writes");
    }
    let then = looker.look(&root, None).cabinet;
    let said: Vec<(&str, bool, u32)> =
        then.iter().map(|switch| (switch.name.as_str(), switch.open, switch.openings)).collect();
    assert_eq!(said, [("door", false, 2), ("lid", true, 2)]);
    for wrong in ["door", "door:/x", "door:x=1", "door:/x=", "door:/dev/input/event0=x", "no name:/x=1"] {
        assert_eq!(Contact::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn stamps_move_with_a_rewrite_and_a_rename_and_with_nothing_else() {
    // Goal: what the sign of mass rewriting rests on. Method: read, rewrite, rename; too many files.
    let folder = tempfile::tempdir().expect("a folder");
    pump(folder.path());
    let root = Root::at(folder.path()).expect("opens");
    let look = || looker().look(&root, None).files.expect("named");
    let before = look();
    fs::read(folder.path().join("srv/data/ward/00.dcm")).expect("reads");
    assert_eq!(look(), before, "a backup reads");
    put(folder.path(), "srv/data/ward/00.dcm", "encrypted");
    fs::rename(folder.path().join("srv/data/ward/01.dcm"), folder.path().join("srv/data/ward/01.dcm.locked"))
        .expect("renames");
    let differ =
        |one: &Files, other: &Files| one.files.iter().filter(|file| !other.files.contains(file)).count();
    assert_eq!((differ(&before, &look()), look().files.len()), (2, 60));
    for number in 0..limits::WATCHED_FILES {
        put(folder.path(), &format!("srv/data/more/{number}"), "");
    }
    let all = look();
    assert_eq!((all.files.len(), all.cut.len()), (limits::WATCHED_FILES, 1));
}
