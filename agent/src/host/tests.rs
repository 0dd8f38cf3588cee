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
            "System accounts-with-shell = unknown",
            "System architecture = unknown",
            "System boot-id = unknown",
            "System command-line = unknown",
            "System id = wardos",
            "System id-like = unknown",
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
            "Posture empty-password = unknown | shadow",
            "Posture integrity-measurement = unknown | the machine does not run",
            "Posture kernel-lockdown = unknown | the machine does not run",
            "Posture other-root-account = unknown | passwd",
            "Posture root-locked = unknown | shadow",
            "Posture secure-boot = unknown | the machine does not run",
            "Posture tpm = unknown | the machine does not run",
            "Unread var/lib/dpkg/status = 1 entries are broken and were left out",
        ]
    );
    let again = take(&Root::at(folder.path()).expect("opens"));
    assert_eq!(inventory.root(), again.root(), "the same machine has the same root");
    put(folder.path(), "var/lib/dpkg/status.d/base", "Package: base\nVersion: 13\nArchitecture: all\n");
    assert_ne!(inventory.root(), take(&Root::at(folder.path()).expect("opens")).root());
}

/// The rows of packages, and of what could not be read.
fn packages_of(folder: &Path) -> Vec<String> {
    let inventory = take(&Root::at(folder).expect("opens"));
    let is_told = |line: &String| line.starts_with("Package ") || line.starts_with("Unread ");
    laid_out(&inventory).into_iter().filter(is_told).collect()
}

#[test]
fn an_alpine_image_is_read_with_its_origins() {
    // Goal: apk's packages and what pip put beside them. Method: a made tree; Python packages of the distribution, of pip,
    // and one that does not say what it is.
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    put(root, "etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n");
    put(root, "lib/apk/db/installed", "P:libcrypto3\nV:3.1.4-r5\nA:x86_64\no:openssl\n\nP:broken\n\n");
    let site = "usr/lib/python3.11/site-packages";
    put(root, &format!("{site}/requests-2.31.0.dist-info/METADATA"), "Name: requests\nVersion: 2.31.0\n");
    put(
        root,
        &format!("{site}/flask-3.0.0.dist-info/METADATA"),
        "Name: Flask\nVersion: 3.0.0\n\nVersion: 9\n",
    );
    put(root, &format!("{site}/flask-3.0.0.dist-info/INSTALLER"), "pip\n");
    put(root, "opt/ward/venv/lib/python3.11/site-packages/odd.dist-info/METADATA", "Name: odd\n");
    put(root, "opt/ward/venv/lib/python3.11/site-packages/old-1.egg-info", "Name: old\nVersion: 1\n");
    let expected = [
        "Package apk/libcrypto3/x86_64 = 3.1.4-r5 | openssl | 3.1.4-r5",
        "Package pypi/Flask/3.0.0 = 3.0.0",
        "Package pypi/old/1 = 1",
        "Unread lib/apk/db/installed = 1 entries are broken and were left out",
        "Unread python packages = 1 entries are broken and were left out",
    ];
    assert_eq!(packages_of(root), expected);
    fs::remove_dir_all(root.join("lib/apk")).expect("removes");
    let without = packages_of(root);
    assert!(
        without.contains(&"Package pypi/requests/2.31.0 = 2.31.0".to_owned()),
        "no list has it: {without:?}"
    );
}

#[test]
fn an_openwrt_image_names_its_sources_where_its_control_files_do() {
    // Goal: opkg's packages. Method: a made tree, one package with its control file and one without.
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let entry = |name: &str, status: &str| {
        format!("Package: {name}\nVersion: 3.0.13-1\nStatus: install {status}\nArchitecture: mips_24kc\n\n")
    };
    let status = entry("libopenssl3", "user installed")
        + &entry("gone", "ok not-installed")
        + &entry("busybox", "ok installed");
    put(root, "usr/lib/opkg/status", status);
    put(root, "usr/lib/opkg/info/libopenssl3.control", "Package: libopenssl3\nSourceName: openssl\n");
    let expected = [
        "Package opkg/busybox/mips_24kc = 3.0.13-1 | busybox | 3.0.13-1",
        "Package opkg/libopenssl3/mips_24kc = 3.0.13-1 | openssl | 3.0.13-1",
    ];
    assert_eq!(packages_of(root), expected);
}

#[test]
fn a_fedora_image_is_read_from_rpms_own_database() {
    // Goal: RPM's packages, and a database that is not read is told. Method: the ground's golden file; a log beside it; the
    // file cut off; the old form.
    const GOLDEN: &[u8] = include_bytes!("../../../proto/golden/inventory/rpmdb.sqlite");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    put(root, "usr/lib/sysimage/rpm/rpmdb.sqlite", GOLDEN);
    let found = packages_of(root);
    assert_eq!(found.len(), 15);
    assert_eq!(
        found[0],
        "Package rpm/ward-00/x86_64 = 1:3.0.7-24.el9 | openssl | 1:3.0.7-24.el9 | openssl:3:9050:a75119d5"
    );
    let told = "Unread usr/lib/sysimage/rpm/rpmdb.sqlite = 1 entries are broken and were left out";
    assert_eq!(found[14], told);
    put(root, "usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "x");
    let log =
        "Unread usr/lib/sysimage/rpm/rpmdb.sqlite-wal = changes wait in it that are not in the database yet";
    assert_eq!(packages_of(root)[15], log);
    put(root, "usr/lib/sysimage/rpm/rpmdb.sqlite", &GOLDEN[..2048]);
    let cut = packages_of(root);
    assert!(cut.iter().any(|line| line.starts_with("Unread") && line.contains("ends before")), "{cut:?}");
    let old = tempfile::tempdir().expect("a folder");
    put(old.path(), "var/lib/rpm/Packages", "x");
    assert_eq!(
        packages_of(old.path()),
        ["Unread var/lib/rpm/Packages = a Berkeley DB, which is not read here"]
    );
}

#[test]
fn node_packages_are_found_within_packages_and_a_walk_has_its_end() {
    // Goal: what an application brought with it. Method: packages in packages, a scope, a link that bites its own tail.
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let package = |path: &str, name: &str, version: &str| {
        put(
            root,
            &format!("{path}/package.json"),
            format!("{{\"name\": \"{name}\", \"version\": \"{version}\"}}"),
        );
    };
    package("opt/ward/app/node_modules/express", "express", "4.18.2");
    package("opt/ward/app/node_modules/express/node_modules/debug", "debug", "2.6.9");
    package("opt/ward/app/node_modules/@ward/pump", "@ward/pump", "1.0.0");
    package("usr/lib/node_modules/npm", "npm", "10.0.0");
    put(root, "opt/ward/app/node_modules/odd/package.json", "{}");
    symlink("/opt/ward/app", root.join("opt/ward/app/node_modules/express/node_modules/tail"))
        .expect("links");
    symlink(
        "/opt/ward/app/node_modules",
        root.join("opt/ward/app/node_modules/express/node_modules/debug/node_modules"),
    )
    .expect("links");
    let found = packages_of(root);
    for row in ["npm/express/4.18.2", "npm/debug/2.6.9", "npm/@ward/pump/1.0.0", "npm/npm/10.0.0"] {
        assert!(found.iter().any(|line| line.starts_with(&format!("Package {row} = "))), "{row}: {found:?}");
    }
    assert!(found.iter().any(|line| line.starts_with("Unread node packages")), "{found:?}");
}

#[test]
fn what_is_attached_is_told_without_its_owner() {
    // Goal: a stick and an instrument, and no serial number. Method: a made sysfs.
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let usb =
        |name: &str, file: &str, text: &str| put(root, &format!("sys/bus/usb/devices/{name}/{file}"), text);
    for name in ["1-1", "1-2"] {
        usb(name, "idVendor", "0781\n");
        usb(name, "idProduct", "5567\n");
        usb(name, "serial", "ANNA-4711\n");
        usb(&format!("{name}:1.0"), "bInterfaceClass", "08\n");
    }
    usb("usb1", "idVendor", "1d6b\n");
    usb("usb1", "idProduct", "0002\n");
    put(root, "sys/class/tty/ttyUSB0/device/uevent", "DRIVER=ftdi_sio\n");
    put(root, "sys/class/tty/ttyS1/device/uevent", "DRIVER=serial8250\n");
    put(root, "sys/class/tty/ttyS1/type", "0\n");
    put(root, "sys/class/tty/tty0/dev", "4:0\n");
    let mut rows = Rows::default();
    attached::read(&Root::at(root).expect("opens"), &mut rows);
    let expected = ["Hardware serial/ttyUSB0 = ftdi_sio", "Hardware usb/0781:5567 = storage | 2"];
    assert_eq!(laid_out(&Inventory::new(rows.rows)), expected);
}

#[test]
fn the_figures_of_a_machine_are_read_from_its_files() {
    // Goal: each figure from its source, and none from nothing. Method: a made machine, then an empty one.
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    put(root, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
    put(root, "proc/uptime", "86400.12 1.00\n");
    put(root, "proc/vmstat", "nr_free_pages 1\noom_kill 3\n");
    put(
        root,
        "proc/self/mountinfo",
        "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 1 8:1 /x /x rw - ext4 /dev/sda1 rw\n",
    );
    put(root, "sys/dev/block/8:1/uevent", "DEVNAME=sda1\n");
    put(root, "sys/fs/ext4/sda1/errors_count", "2\n");
    put(root, "sys/block/mmcblk0/device/life_time", "0x02 0x03\n");
    put(root, "sys/block/mmcblk0/device/pre_eol_info", "0x01\n");
    put(root, "sys/block/mmcblk0/stat", "1 2 3 4 5 6 100 8\n");
    put(root, "sys/block/loop0/stat", "1\n");
    put(root, "sys/class/thermal/thermal_zone0/temp", "41000\n");
    put(root, "sys/class/hwmon/hwmon0/temp1_input", "52500\n");
    put(root, "sys/class/hwmon/hwmon0/temp2_input", "-273000\n");
    put(root, "sys/devices/system/edac/mc/mc0/ce_count", "7\n");
    put(root, "sys/devices/system/edac/mc/mc0/ue_count", "0\n");
    put(root, "var/crash/one.core", "");
    put(root, "sys/fs/pstore/dmesg-efi-1", "");
    put(root, "run/systemd/timesync/synchronized", "");
    let moment = machine::Moment {
        now: cordon_proto::time::Timestamp(1_800_000_000),
        ahead_ms: Some(-2000),
        boots: 3,
        starts: 5,
        lived_s: 60,
    };
    let health = machine::read(&Root::at(root).expect("opens"), moment);
    assert_eq!((health.memory_bytes, health.available_bytes), (Some(1_024_000), Some(409_600)));
    assert_eq!((health.uptime_s, health.memory_kills, health.crashes), (Some(86_400), Some(3), Some(2)));
    assert_eq!((health.hottest_mc, health.corrected, health.uncorrected), (Some(52_500), Some(7), Some(0)));
    assert_eq!((health.clock.synchronised, health.clock.ahead_ms), (Some(true), Some(-2000)));
    let [disk] = &*health.disks else { panic!("one disk, once: {:?}", health.disks) };
    assert_eq!((disk.mount.as_str(), disk.errors, disk.read_only), ("/", Some(2), false));
    assert!(disk.bytes > 0 && disk.used <= disk.bytes);
    let [drive] = &*health.drives else { panic!("one drive: {:?}", health.drives) };
    assert_eq!(
        (drive.worn_percent, drive.failing, drive.written_bytes),
        (Some(30), Some(false), Some(51_200))
    );
    let empty = tempfile::tempdir().expect("a folder");
    let health = machine::read(&Root::at(empty.path()).expect("opens"), moment);
    assert_eq!((health.memory_bytes, health.hottest_mc, health.crashes), (None, None, None));
    assert_eq!((health.corrected, health.clock.synchronised, health.uptime_s), (None, None, None));
    assert!(health.disks.is_empty() && health.drives.is_empty());
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

    let of = |paths: &[(&str, &str)], fact: fn(&Root) -> (&'static str, &'static str)| {
        let folder = tempfile::tempdir().expect("a folder");
        paths.iter().for_each(|(path, text)| put(folder.path(), path, text));
        fact(&Root::at(folder.path()).expect("opens"))
    };
    assert_eq!(of(&[("sys/class/tpm/tpm0/tpm_version_major", "2\n")], posture::tpm), ("yes", "version 2"));
    assert_eq!(of(&[("sys/class/tpm/x", "")], posture::tpm).0, "no");
    assert_eq!(of(&[], posture::tpm).0, UNKNOWN);
    assert_eq!(of(&[("sys/kernel/security/ima/violations", "0")], posture::measurement).0, "yes");
    assert_eq!(of(&[("sys/kernel/security/lsm", "x")], posture::measurement).0, "no");
    assert_eq!(of(&[], posture::measurement).0, UNKNOWN);
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
