//! Security facts: secure boot, disk encryption, kernel lockdown, TPM, integrity measurement. Each is `yes`, `no` or `unknown`, with its source.
//!
//! `no` is said only where a source says so. Of a machine that does not run (`--root`), all of them are unknown.

use cordon_proto::inventory::Section;

use super::{Root, Rows, UNKNOWN};

/// The EFI variable, with the GUID of the UEFI specification's global variables.
const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const TPMS: &str = "sys/class/tpm";
const SECURITY: &str = "sys/kernel/security";
const LOCKDOWN: &str = "sys/kernel/security/lockdown";
/// Layers of block devices below the root file system that are followed.
const LAYERS: usize = 8;

/// A fact and where it is from.
type Fact = (&'static str, &'static str);
/// Reads one fact.
type Reader = fn(&Root) -> Fact;

/// Adds the rows of the posture.
pub fn read(root: &Root, rows: &mut Rows) {
    let offline = (UNKNOWN, "the machine does not run");
    let facts: [(&str, Reader); 5] = [
        ("secure-boot", secure_boot),
        ("disk-encryption", disk_encryption),
        ("kernel-lockdown", lockdown),
        ("tpm", tpm),
        ("integrity-measurement", measurement),
    ];
    for (key, fact) in facts {
        let (value, source) = if root.is_live() { fact(root) } else { offline };
        rows.add(Section::Posture, key, [value, source]);
    }
}

/// Four bytes of attributes and one of value (UEFI specification 3.3; Linux `efivarfs`).
pub(super) fn secure_boot(root: &Root) -> Fact {
    match root.bytes(SECURE_BOOT).as_deref() {
        Ok([_, _, _, _, 1]) => ("yes", "efivars"),
        Ok([_, _, _, _, 0]) => ("no", "efivars"),
        Ok(_) => (UNKNOWN, "efivars are not of the known form"),
        // Without UEFI a boot loader may verify images all the same; nobody tells us.
        Err(_) if root.exists("sys/firmware/efi") => (UNKNOWN, "efivars cannot be read"),
        Err(_) => (UNKNOWN, "the machine did not boot by UEFI"),
    }
}

/// Whether the root file system lies on a dm-crypt device, at whatever depth (LVM on LUKS, LUKS on RAID).
pub(super) fn disk_encryption(root: &Root) -> Fact {
    let Ok(mounts) = root.text("proc/self/mountinfo") else { return (UNKNOWN, "mountinfo cannot be read") };
    let mounted = |line: &str| {
        let mut words = line.split(' ').skip(2);
        let device = words.next()?.to_owned();
        (words.nth(1)? == "/").then_some(device)
    };
    // The last mount on / is the one that is seen (proc_pid_mountinfo(5)).
    let Some(device) = mounts.lines().filter_map(mounted).next_back() else {
        return (UNKNOWN, "no root file system in mountinfo");
    };
    if device.starts_with("0:") || !device.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return (UNKNOWN, "the root file system is not on one block device");
    }
    match encrypted(root, &format!("sys/dev/block/{device}"), LAYERS) {
        Some(true) => ("yes", "dm uuid"),
        Some(false) => ("no", "dm uuid"),
        None => (UNKNOWN, "sysfs cannot be read"),
    }
}

/// Whether a block device is dm-crypt, or every device below it is. `None` where sysfs does not say.
fn encrypted(root: &Root, device: &str, layers: usize) -> Option<bool> {
    if layers == 0 || !root.exists(device) {
        return None;
    }
    if root.line(&format!("{device}/dm/uuid")).is_some_and(|uuid| uuid.starts_with("CRYPT-")) {
        return Some(true);
    }
    let below = root.names(&format!("{device}/slaves")).unwrap_or_default();
    if below.is_empty() {
        return Some(false);
    }
    let each = below.iter().map(|name| encrypted(root, &format!("{device}/slaves/{name}"), layers - 1));
    each.reduce(|all, one| Some(all? && one?)).flatten()
}

/// `[none] integrity confidentiality`: the chosen one stands in brackets.
pub(super) fn lockdown(root: &Root) -> Fact {
    match root.line(LOCKDOWN) {
        Some(line) if line.contains("[none]") => ("no", "securityfs"),
        Some(line) if line.contains("[integrity]") || line.contains("[confidentiality]") => {
            ("yes", "securityfs")
        }
        Some(_) => (UNKNOWN, "securityfs is not of the known form"),
        None => (UNKNOWN, "the kernel does not say"),
    }
}

/// Whether the kernel drives a TPM. A kernel without that driver cannot say whether there is one.
pub(super) fn tpm(root: &Root) -> Fact {
    match root.names(TPMS) {
        Ok(names) => match names.iter().find(|name| name.starts_with("tpm")) {
            Some(name) => match root.line(&format!("{TPMS}/{name}/tpm_version_major")).as_deref() {
                Some("2") => ("yes", "version 2"),
                Some("1") => ("yes", "version 1"),
                Some(_) | None => ("yes", "of a version that the kernel does not say"),
            },
            None => ("no", "sysfs"),
        },
        Err(_) => (UNKNOWN, "the kernel has no driver for one"),
    }
}

/// Whether the kernel keeps a list of what was measured (IMA).
pub(super) fn measurement(root: &Root) -> Fact {
    match root.names(SECURITY) {
        Ok(names) if names.is_empty() => (UNKNOWN, "securityfs is not mounted"),
        Ok(names) if names.iter().any(|name| name == "ima") => ("yes", "securityfs"),
        Ok(_) => ("no", "securityfs"),
        Err(_) => (UNKNOWN, "securityfs cannot be read"),
    }
}
