//! What the drives of the machine say of their own wear and failure, as far as the kernel tells it to everybody.
//!
//! Blocks by their standards: eMMC and UFS in tenths of their life, raw flash (MTD, UBI) in blocks and reads it lost, arrays in
//! missing parts. Nothing is asked of a drive that could wake or slow it, and no command is sent: what NVMe and SATA tell only to a
//! command, and so only with privilege, is absent, which is unknown and never new. Read next: [`super::machine`].

use cordon_proto::health::Drive;
use cordon_proto::ids::Text;
use cordon_proto::limits;

use super::Root;

pub(super) const BLOCKS: &str = "sys/block";
/// Block devices without a medium of their own.
const NO_DRIVES: [&str; 7] = ["loop", "ram", "zram", "dm-", "sr", "nbd", "fd"];
const ARRAYS: &str = "proc/mdstat";
/// Raw flash (kernel, `sysfs-class-mtd`), and what spreads the wear over it (kernel, `sysfs-class-ubi`).
const FLASH: &str = "sys/class/mtd";
const WEAR_LEVELLERS: &str = "sys/class/ubi";
/// From a logical unit of UFS, over its target and its host, to what the whole medium says (kernel, `sysfs-driver-ufs`).
const UFS: &str = "device/../../../health_descriptor";

/// The drives, the arrays made of them, and raw flash.
pub(super) fn read(root: &Root) -> Vec<Drive> {
    let mut drives = blocks(root);
    let flash = root.names(FLASH).unwrap_or_default();
    drives.extend(flash.iter().filter_map(|name| flash_of(root, name)));
    let levellers = root.names(WEAR_LEVELLERS).unwrap_or_default();
    drives.extend(levellers.iter().filter_map(|name| leveller_of(root, name)));
    drives.truncate(limits::HEALTH_DRIVES);
    drives
}

/// Whether a block device of this name is a drive, or an array. Parts of an eMMC for booting are no drives of their own.
pub(super) fn is_drive(name: &str) -> bool {
    let boots = name.starts_with("mmcblk") && name.contains("boot");
    !boots && !NO_DRIVES.iter().any(|front| name.starts_with(front))
}

/// A drive of which nothing is known.
fn unknown(name: &str) -> Drive {
    Drive {
        name: Text::lossy(name),
        worn_percent: None,
        failing: None,
        written_bytes: None,
        lost: None,
        bad_blocks: None,
    }
}

fn blocks(root: &Root) -> Vec<Drive> {
    let arrays = root.text(ARRAYS).unwrap_or_default();
    let names = root.names(BLOCKS).unwrap_or_default();
    // All logical units of a UFS medium share its wear, which is told with the first.
    let mut is_told = false;
    let drive = |name: &String| {
        let line = |file: &str| line(root, [BLOCKS, name, file]);
        let mut drive = unknown(name);
        // Sectors of 512 bytes, whatever the drive's own are (kernel, "Block layer statistics in /sys/block/<dev>/stat").
        let sectors = line("stat").and_then(|line| line.split_ascii_whitespace().nth(6)?.parse::<u64>().ok());
        drive.written_bytes = sectors.and_then(|sectors| sectors.checked_mul(512));
        if name.starts_with("md") {
            drive.failing = is_degraded(&arrays, name);
            return drive;
        }
        let worn = |file: &str| worn_percent(&line(file)?);
        let ending = |file: &str| is_ending(&line(file)?);
        drive.worn_percent = worn("device/life_time");
        drive.failing = ending("device/pre_eol_info");
        if drive.worn_percent.is_none() && !is_told {
            let estimates = ["a", "b"].map(|which| worn(&format!("{UFS}/life_time_estimation_{which}")));
            drive.worn_percent = estimates.into_iter().max().flatten();
            drive.failing = drive.failing.or_else(|| ending(&format!("{UFS}/eol_info")));
            is_told = drive.worn_percent.is_some();
        }
        // What the kernel has given up, NVMe and SCSI in their own words.
        if matches!(line("device/state").as_deref(), Some("dead" | "offline")) {
            drive.failing = Some(true);
        }
        drive
    };
    // Raw flash speaks for itself, below its own class.
    let own = names.iter().filter(|name| is_drive(name) && !name.starts_with("mtdblock"));
    own.take(limits::HEALTH_DRIVES).map(drive).collect()
}

/// The two estimates of an eMMC (JESD84-B51, 7.4.40) or UFS (JESD220, `bDeviceLifeTimeEst`) in tenths of its life, `0x0B` for more
/// than all of it: the worse one.
fn worn_percent(life_time: &str) -> Option<u8> {
    let tenths = |word: &str| u8::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let worse = life_time.split_ascii_whitespace().filter_map(tenths).max()?;
    match worse {
        1..=10 => worse.checked_mul(10),
        11 => Some(101),
        _ => None,
    }
}

/// Their word about spare blocks (JESD84-B51, 7.4.39; JESD220, `bPreEOLInfo`): 1 normal, 2 a warning at 80 %, 3 urgent.
fn is_ending(pre_eol: &str) -> Option<bool> {
    match u8::from_str_radix(pre_eol.strip_prefix("0x")?, 16).ok()? {
        1 | 2 => Some(false),
        3 => Some(true),
        _ => None,
    }
}

/// Whether an array runs with a part missing: in mdstat (md(4)) the line after its name ends in `[UU_]`.
fn is_degraded(mdstat: &str, name: &str) -> Option<bool> {
    let mut lines = mdstat.lines().skip_while(|line| line.split(' ').next() != Some(name));
    let is_active = lines.next()?.split_once(" : ")?.1.starts_with("active");
    let parts = lines.next()?.rsplit_once('[')?.1.strip_suffix(']')?;
    let known = !parts.is_empty() && parts.bytes().all(|part| part == b'U' || part == b'_');
    known.then(|| !is_active || parts.contains('_'))
}

/// A part of raw NAND flash: other kinds have neither blocks to give up nor reads to put right.
fn flash_of(root: &Root, name: &str) -> Option<Drive> {
    if name.ends_with("ro") || !line(root, [FLASH, name, "type"])?.ends_with("nand") {
        return None;
    }
    let (lost, bad_blocks) =
        (count(root, [FLASH, name, "ecc_failures"]), count(root, [FLASH, name, "bad_blocks"]));
    Some(Drive { lost, bad_blocks, ..unknown(name) })
}

/// UBI ends when the blocks that it holds back for bad ones are gone, or when it has closed itself to writing.
fn leveller_of(root: &Root, name: &str) -> Option<Drive> {
    let number = |file: &str| count(root, [WEAR_LEVELLERS, name, file]);
    let (bad, spare) = (number("bad_peb_count")?, number("reserved_for_bad")?);
    let failing = number("ro_mode") == Some(1) || (bad > 0 && spare == 0);
    Some(Drive { failing: Some(failing), ..unknown(name) })
}

/// The first line of a file: class, device, file.
fn line(root: &Root, path: [&str; 3]) -> Option<String> {
    root.line(&path.join("/"))
}

fn count(root: &Root, path: [&str; 3]) -> Option<u64> {
    line(root, path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        fs::write(path, text).expect("writes");
    }

    #[test]
    fn what_drives_say_of_themselves_is_read_by_their_standards() {
        // Goal: wear and failure, and nothing from other text. Method: the words of the standards, then damaged ones.
        let worn =
            ["0x01 0x01", "0x02 0x0A", "0x0b 0x01", "0x00 0x00", "0x0c 0x01", "", "3 4"].map(worn_percent);
        assert_eq!(worn, [Some(10), Some(100), Some(101), None, None, None, None]);
        let ending = ["0x01", "0x02", "0x03", "0x00", "", "1"].map(is_ending);
        assert_eq!(ending, [Some(false), Some(false), Some(true), None, None, None]);
        let mdstat = "Personalities : [raid1]\nmd0 : active raid1 sdb1[1] sda1[0]\n      1046528 blocks super 1.2 [2/2] [UU]\n\n\
            md1 : active raid1 sdb2[1]\n      1046528 blocks super 1.2 [2/1] [_U]\n\nmd2 : active raid0 a[0]\n      9 blocks 512k chunks\n";
        assert_eq!(
            ["md0", "md1", "md2", "md3"].map(|name| is_degraded(mdstat, name)),
            [Some(false), Some(true), None, None]
        );
    }

    #[test]
    fn flash_of_every_kind_tells_its_wear_once_and_nvme_none_that_it_was_not_asked_for() {
        // Goal: UFS, raw flash, UBI and dead drives; no figure from nothing. Method: folders as the kernel lays them out.
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let ufs = "sys/devices/platform/1d84000.ufshc";
        put(root, &format!("{ufs}/health_descriptor/life_time_estimation_a"), "0x03\n");
        put(root, &format!("{ufs}/health_descriptor/life_time_estimation_b"), "0x09\n");
        put(root, &format!("{ufs}/health_descriptor/eol_info"), "0x03\n");
        for (unit, name) in [("0:0:0:0", "sda"), ("0:0:0:1", "sdb")] {
            put(root, &format!("{ufs}/host0/target0:0:0/{unit}/state"), "running\n");
            put(root, &format!("sys/block/{name}/stat"), "1 2 3 4 5 6 8 8\n");
            let unit = format!("../../devices/platform/1d84000.ufshc/host0/target0:0:0/{unit}");
            symlink(unit, root.join(format!("sys/block/{name}/device"))).expect("links");
        }
        put(root, "sys/block/nvme0n1/device/state", "live\n");
        put(root, "sys/block/nvme1n1/device/state", "dead\n");
        put(root, "sys/block/mmcblk0/device/life_time", "0x01 0x02\n");
        put(root, "sys/block/mmcblk0boot0/device/life_time", "0x01 0x02\n");
        put(root, "sys/block/mtdblock2/stat", "1\n");
        for (part, kind) in [("mtd0", "nor"), ("mtd2", "nand"), ("mtd2ro", "nand"), ("mtd3", "mlc-nand")] {
            put(root, &format!("{FLASH}/{part}/type"), kind);
            put(root, &format!("{FLASH}/{part}/ecc_failures"), "1\n");
            put(root, &format!("{FLASH}/{part}/bad_blocks"), "7\n");
        }
        for (name, bad, spare, closed) in [
            ("ubi0", "7", "13", "0"),
            ("ubi1", "7", "0", "0"),
            ("ubi2", "0", "0", "1"),
            ("ubi3", "0", "0", "0"),
        ] {
            for (file, text) in [("bad_peb_count", bad), ("reserved_for_bad", spare), ("ro_mode", closed)] {
                put(root, &format!("{WEAR_LEVELLERS}/{name}/{file}"), text);
            }
        }
        put(root, &format!("{WEAR_LEVELLERS}/version"), "1\n");
        let said = |drive: &Drive| {
            let Drive { name, worn_percent, failing, written_bytes: _, lost, bad_blocks } = drive;
            format!("{name} {worn_percent:?} {failing:?} {lost:?} {bad_blocks:?}")
        };
        let drives = read(&Root::at(root).expect("opens"));
        let expected = [
            "mmcblk0 Some(20) None None None",
            "nvme0n1 None None None None",
            "nvme1n1 None Some(true) None None",
            "sda Some(90) Some(true) None None",
            "sdb None None None None",
            "mtd2 None None Some(1) Some(7)",
            "mtd3 None None Some(1) Some(7)",
            "ubi0 None Some(false) None None",
            "ubi1 None Some(true) None None",
            "ubi2 None Some(true) None None",
            "ubi3 None Some(false) None None",
        ];
        assert_eq!(drives.iter().map(said).collect::<Vec<_>>(), expected);
    }
}
