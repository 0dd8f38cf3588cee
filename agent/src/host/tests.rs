//! Whole inventories: of hand-made machines, and of the one the tests run on.

use super::*;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

fn put(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
    fs::write(path, bytes).expect("writes");
}

/// A small ward machine.
fn machine() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    put(root, "usr/lib/os-release", "ID=wardos\nVERSION_ID=\"3\"\nPRETTY_NAME=\"Ward OS 3\"\n");
    let status = "Package: pumpd\nStatus: install ok installed\nVersion: 1:2.4-3\nArchitecture: arm64\nSource: pump\n\nPackage: bad\n";
    put(root, "var/lib/dpkg/status", status);
    put(root, "var/lib/dpkg/status.d/base", "Package: base\nVersion: 12\nArchitecture: all\n");
    put(root, "var/lib/dpkg/status.d/base.md5sums", "0123 usr/bin/x\n");
    put(root, "sys/class/dmi/id/sys_vendor", "Halden\n");
    put(root, "sys/class/dmi/id/product_name", "VP-3\n");
    put(root, "sys/class/dmi/id/product_version", "To Be Filled By O.E.M.\n");
    put(root, "sys/class/dmi/id/product_serial", "VP3-004417\n");
    folder
}

fn laid_out(inventory: &Inventory) -> Vec<String> {
    let row = |row: &Row| format!("{:?} {} = {}", row.section, row.key, row.fields.join(" | "));
    inventory.rows().iter().map(row).collect()
}

#[test]
fn the_inventory_of_a_folder_is_this() {
    // Goal: offline inventory, with unknown told from no, and what is broken counted. Method: golden rows.
    let folder = machine();
    let inventory = take(&Root::at(folder.path()).expect("opens"));
    assert_eq!(
        laid_out(&inventory),
        [
            "System architecture = unknown",
            "System boot-id = unknown",
            "System id = wardos",
            "System kernel = unknown",
            "System pretty-name = Ward OS 3",
            "System version-codename = unknown",
            "System version-id = 3",
            "Hardware board = unknown",
            "Hardware manufacturer = Halden",
            "Hardware product = VP-3",
            "Package deb/base/all = 12 | base | 12",
            "Package deb/pumpd/arm64 = 1:2.4-3 | pump | 1:2.4-3",
            "Posture disk-encryption = unknown | the machine does not run",
            "Posture kernel-lockdown = unknown | the machine does not run",
            "Posture secure-boot = unknown | the machine does not run",
            "Unread var/lib/dpkg/status = 1 entries are broken and were left out",
        ]
    );
    let again = take(&Root::at(folder.path()).expect("opens"));
    assert_eq!(inventory.root(), again.root(), "the same machine has the same root");
    put(folder.path(), "var/lib/dpkg/status.d/base", "Package: base\nVersion: 13\nArchitecture: all\n");
    assert_ne!(inventory.root(), take(&Root::at(folder.path()).expect("opens")).root());
}

#[test]
fn an_empty_folder_is_unknown_not_clean() {
    // Goal: absence never looks safe. Method: nothing at all.
    let folder = tempfile::tempdir().expect("a folder");
    let inventory = take(&Root::at(folder.path()).expect("opens"));
    assert_eq!(inventory.field(Section::System, "id"), Some(UNKNOWN));
    assert_eq!(inventory.field(Section::Posture, "secure-boot"), Some(UNKNOWN));
    assert!(Root::at(&folder.path().join("missing")).is_err());
}

#[test]
fn the_hardware_identity_needs_maker_model_and_serial() {
    // Goal: no identity from place-holders. Method: DMI whole, DMI without serial, a device tree.
    let folder = machine();
    let read = |folder: &Path| hardware::identity(&Root::at(folder).expect("opens"));
    let identity = read(folder.path()).expect("whole");
    let texts =
        [&identity.manufacturer, &identity.model, &identity.revision, &identity.serial].map(|t| t.as_str());
    assert_eq!(texts, ["Halden", "VP-3", "unknown", "VP3-004417"]);
    put(folder.path(), "sys/class/dmi/id/product_serial", "Default string\n");
    assert_eq!(read(folder.path()), None);
    let board = tempfile::tempdir().expect("a folder");
    put(board.path(), "proc/device-tree/compatible", b"halden,vp3\0halden,vp\0");
    put(board.path(), "proc/device-tree/model", b"Halden VP-3 board C\0");
    put(board.path(), "proc/device-tree/serial-number", b"0004417\0");
    let identity = read(board.path()).expect("whole");
    assert_eq!((identity.manufacturer.as_str(), identity.serial.as_str()), ("halden", "0004417"));
}

#[test]
fn posture_facts_come_from_their_sources_only() {
    // Goal: yes and no are read, anything else is unknown. Method: hand-made sysfs trees.
    let secure_boot = |bytes: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        let name = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        put(folder.path(), name, bytes);
        posture::secure_boot(&Root::at(folder.path()).expect("opens")).0
    };
    assert_eq!(
        [secure_boot(&[6, 0, 0, 0, 1]), secure_boot(&[6, 0, 0, 0, 0]), secure_boot(&[1])],
        ["yes", "no", "unknown"]
    );

    let encryption = |device: &str, uuids: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder");
        let mounts = format!("22 1 0:20 / /proc rw - proc proc rw\n25 1 {device} / / rw - ext4 /dev/x rw\n");
        put(folder.path(), "proc/self/mountinfo", mounts);
        for (path, uuid) in uuids {
            put(folder.path(), &format!("sys/dev/block/{path}/dm/uuid"), format!("{uuid}\n"));
        }
        posture::disk_encryption(&Root::at(folder.path()).expect("opens")).0
    };
    assert_eq!(encryption("253:0", &[("253:0", "CRYPT-LUKS2-0123-root")]), "yes");
    assert_eq!(
        encryption("253:1", &[("253:1", "LVM-ab"), ("253:1/slaves/dm-0", "CRYPT-LUKS1-0123-pv")]),
        "yes"
    );
    let half = [("9:0/slaves/dm-0", "CRYPT-LUKS1-0123-a"), ("9:0/slaves/sdb", "plain")];
    assert_eq!(encryption("9:0", &half), "no", "half encrypted is not encrypted");
    assert_eq!(encryption("8:1", &[("8:1", "")]), "no");
    assert_eq!(encryption("0:45", &[]), "unknown", "an overlay does not say");
    assert_eq!(encryption("8:2", &[]), "unknown", "no sysfs");

    let lockdown = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), "sys/kernel/security/lockdown", text);
        posture::lockdown(&Root::at(folder.path()).expect("opens")).0
    };
    assert_eq!(["[none] integrity", "none [integrity]", "odd"].map(lockdown), ["no", "yes", "unknown"]);
}

#[test]
fn sysfs_that_bites_its_own_tail_ends() {
    // Goal: bounded walks. Method: a device that is its own slave.
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "proc/self/mountinfo", "25 1 253:0 / / rw - ext4 /dev/x rw\n");
    fs::create_dir_all(folder.path().join("sys/dev/block/253:0/slaves")).expect("makes");
    symlink("/sys/dev/block/253:0", folder.path().join("sys/dev/block/253:0/slaves/dm-0")).expect("links");
    assert_eq!(posture::disk_encryption(&Root::at(folder.path()).expect("opens")).0, UNKNOWN);
}

#[test]
fn this_machine_is_read_within_bounds() {
    // Goal: the real thing. Method: the machine under the tests; its packages beside a count made another way.
    let inventory = take(&Root::live().expect("opens"));
    for key in ["kernel", "architecture", "boot-id", "pretty-name"] {
        assert_ne!(inventory.field(Section::System, key), None, "{key}");
    }
    let memory =
        inventory.field(Section::Hardware, "memory-bytes").and_then(|bytes| bytes.parse::<u64>().ok());
    assert!(memory.is_some_and(|bytes| bytes > 16 << 20));
    for key in ["secure-boot", "disk-encryption", "kernel-lockdown"] {
        let value = inventory.field(Section::Posture, key).expect("a fact");
        assert!(["yes", "no", UNKNOWN].contains(&value), "{key} {value}");
    }
    let travelled = cordon_proto::telemetry::Body::Inventory(inventory.clone())
        .record(cordon_proto::telemetry::Position::default(), cordon_proto::time::Millis(0));
    assert!(cordon_proto::telemetry::Body::of(&travelled).is_ok(), "{} bytes", travelled.body.len());
    let Ok(status) = fs::read_to_string("/var/lib/dpkg/status") else {
        writeln!(io::stderr(), "SKIPPED: this machine has no dpkg database").expect("stderr is open");
        return;
    };
    let installed =
        status.split("\n\n").filter(|entry| entry.contains("\nStatus: install ok installed\n")).count();
    assert_eq!(
        inventory.section(Section::Package).filter(|row| row.key.as_str().starts_with("deb/")).count(),
        installed
    );
}
