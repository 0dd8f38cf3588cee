//! The figures of the running machine that change by the hour: disks, wear, heat, memory, clock, crashes.
//!
//! They go into a record of their own (`cordon_proto::health`), never into the inventory. A figure whose source is missing is
//! absent. Only counts are taken of what programs left behind, never a name: a core dump's file name holds its user. Read next:
//! [`drives`] for wear, [`super::services`] for what starts again and again, which takes a watch and no reading.

use std::time::{Duration, SystemTime};

use cordon_proto::health::{ClockState, Disk, Health};
use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;

use super::{Root, drives};

pub(super) const MOUNTS: &str = "proc/self/mountinfo";
/// File systems that lie on a medium of the machine's own and can run full. Those that are read-only by nature are not among them.
const FILE_SYSTEMS: [&str; 13] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "exfat", "ubifs", "jffs2", "zfs", "ntfs3",
    "overlay",
];
/// Where people's own sticks are mounted: their names are nobody's business.
const STICKS: [&str; 3] = ["/media/", "/run/media/", "/run/user/"];
const MEMORY_CONTROLLERS: &str = "sys/devices/system/edac/mc";
/// Where core dumps and what a dying kernel saved are kept.
const CRASHES: [&str; 5] =
    ["var/lib/systemd/coredump", "var/crash", "var/spool/abrt", "sys/fs/pstore", "var/lib/systemd/pstore"];
/// The mark of systemd-timesyncd, which is there when the clock was set (systemd-timesyncd.service(8)).
const TIMESYNC: &str = "run/systemd/timesync/synchronized";
/// Files that a time service rewrites while it holds the clock: chrony's at most hourly (chrony.conf(5), `driftfile`), ntpd's
/// hourly (ntpd(8)).
const DRIFTS: [&str; 4] = [
    "var/lib/chrony/drift",
    "var/lib/chrony/chrony.drift",
    "var/lib/ntp/ntp.drift",
    "var/lib/ntpsec/ntp.drift",
];
/// Seconds for which such a file speaks for the clock.
const DRIFT_S: u64 = 26 * 3600;
/// Thousandths of a degree that a sensor of a machine may truly show.
const PLAUSIBLE_MC: std::ops::Range<i64> = -40_000..200_000;

/// What the agent itself knows when the machine is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock.
    pub now: Timestamp,
    /// What the clock is ahead of the server's.
    pub ahead_ms: Option<i64>,
    /// Starts of the machine, ever.
    pub boots: u64,
    /// Starts of the agent, ever.
    pub starts: u64,
    /// Seconds by a clock that nobody sets.
    pub lived_s: u64,
}

/// Reads the machine.
#[must_use]
pub fn read(root: &Root, moment: Moment) -> Health {
    let memory = root.text("proc/meminfo").unwrap_or_default();
    let [corrected, uncorrected] = ["ce_count", "ue_count"].map(|count| memory_errors(root, count));
    Health {
        time: moment.now,
        uptime_s: root.line("proc/uptime").and_then(|line| line.split('.').next()?.parse().ok()),
        disks: root.text(MOUNTS).map(|mounts| disks(root, &mounts)).unwrap_or_default(),
        drives: drives::read(root),
        hottest_mc: hottest(root),
        memory_bytes: kibibytes(&memory, "MemTotal:"),
        available_bytes: kibibytes(&memory, "MemAvailable:"),
        corrected,
        uncorrected,
        clock: ClockState { synchronised: synchronised(root, moment.now), ahead_ms: moment.ahead_ms },
        boots: moment.boots,
        starts: moment.starts,
        crashes: crashes(root),
        memory_kills: root.text("proc/vmstat").ok().and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("oom_kill "))
                .and_then(|count| count.trim().parse().ok())
        }),
        restarts: None,
    }
}

/// A line of proc_meminfo(5), in bytes.
pub(super) fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024).filter(|bytes| *bytes > 0)
}

/// A mount of a file system on a medium: its device, where it is, its kind.
struct Mount<'a> {
    device: &'a str,
    place: &'a str,
    kind: &'a str,
    read_only: bool,
}

/// A line of proc_pid_mountinfo(5).
fn mount(line: &str) -> Option<Mount<'_>> {
    let (front, back) = line.split_once(" - ")?;
    let mut words = front.split(' ').skip(2);
    let (device, place) = (words.next()?, words.nth(1)?);
    let options = words.next()?;
    let kind = back.split(' ').next()?;
    let of_file_system = back.split(' ').nth(2).unwrap_or_default();
    let read_only = [options, of_file_system].iter().any(|options| options.split(',').any(|o| o == "ro"));
    let is_stick = STICKS.iter().any(|stick| place.starts_with(stick));
    (FILE_SYSTEMS.contains(&kind) && !is_stick).then_some(Mount { device, place, kind, read_only })
}

/// The file systems, each once: by the first of the places it was mounted at.
fn disks(root: &Root, mounts: &str) -> Vec<Disk> {
    let mut mounts: Vec<Mount<'_>> = mounts.lines().filter_map(mount).collect();
    // Of a container's root, which lies over others, only the machine's own root counts.
    mounts.retain(|mount| mount.kind != "overlay" || mount.place == "/");
    let mut disks: Vec<Disk> = Vec::new();
    let mut seen = Vec::new();
    for mount in mounts {
        if disks.len() == limits::HEALTH_DISKS || seen.contains(&mount.device) {
            continue;
        }
        let Some(usage) = root.usage(mount.place) else { continue };
        seen.push(mount.device);
        let errors = error_count(root, &mount);
        disks.push(Disk {
            mount: Text::lossy(mount.place),
            bytes: usage.bytes,
            used: usage.bytes.saturating_sub(usage.free),
            files: usage.files,
            files_used: usage.files.saturating_sub(usage.files_free),
            read_only: mount.read_only,
            errors,
        });
    }
    disks
}

/// What ext4 has counted since it was made (kernel, "ext4 sysfs": `errors_count`).
fn error_count(root: &Root, mount: &Mount<'_>) -> Option<u64> {
    if !mount.kind.starts_with("ext") {
        return None;
    }
    let events = root.text(&format!("sys/dev/block/{}/uevent", mount.device)).ok()?;
    let name = events.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    root.line(&format!("sys/fs/ext4/{name}/errors_count"))?.parse().ok()
}

/// The hottest sensor: the kernel's thermal zones and its hardware monitors.
fn hottest(root: &Root) -> Option<i64> {
    let mut files = Vec::new();
    for zone in root.names("sys/class/thermal").unwrap_or_default() {
        if zone.starts_with("thermal_zone") {
            files.push(format!("sys/class/thermal/{zone}/temp"));
        }
    }
    for monitor in root.names("sys/class/hwmon").unwrap_or_default().iter().take(limits::MONITORS) {
        let folder = format!("sys/class/hwmon/{monitor}");
        let names = root.names(&folder).unwrap_or_default();
        let inputs = names.iter().filter(|name| name.starts_with("temp") && name.ends_with("_input"));
        files.extend(inputs.map(|input| format!("{folder}/{input}")));
    }
    let read = |file: &String| root.line(file)?.parse::<i64>().ok().filter(|mc| PLAUSIBLE_MC.contains(mc));
    files.iter().take(limits::ATTACHED).filter_map(read).max()
}

/// The errors that all memory controllers have counted; `None` where none counts.
fn memory_errors(root: &Root, count: &str) -> Option<u64> {
    let names = root.names(MEMORY_CONTROLLERS).ok()?;
    let controllers = names.iter().filter(|name| name.starts_with("mc"));
    let counts = controllers
        .map(|name| root.line(&format!("{MEMORY_CONTROLLERS}/{name}/{count}"))?.parse::<u64>().ok());
    counts.reduce(|sum, one| sum?.checked_add(one?)).flatten()
}

fn crashes(root: &Root) -> Option<u64> {
    let folders = CRASHES.iter().filter_map(|folder| root.names(folder).ok());
    folders.map(|names| u64::try_from(names.len()).unwrap_or(u64::MAX)).reduce(u64::saturating_add)
}

/// Whether a time service says that it holds the clock. `None` where none says so: it may be one that leaves no mark.
fn synchronised(root: &Root, now: Timestamp) -> Option<bool> {
    if root.exists(TIMESYNC) {
        return Some(true);
    }
    if root.exists("run/systemd/timesync") {
        return Some(false);
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now.0).ok()?);
    let is_fresh = |path: &str| {
        let changed = root.open(path).and_then(|file| file.metadata()?.modified());
        changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|age| age.as_secs() <= DRIFT_S))
    };
    DRIFTS.iter().any(|path| is_fresh(path)).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_media_of_the_machine_count_and_no_others() {
        // Goal: what can run full, and no name of anybody's stick. Method: lines as the kernel writes them.
        let place = |line: &str| mount(line).map(|mount| (mount.place.to_owned(), mount.read_only));
        let line = |place: &str, options: &str, kind: &str, of: &str| {
            format!("25 1 8:1 / {place} {options} shared:1 - {kind} /dev/sda1 {of}")
        };
        assert_eq!(place(&line("/", "rw,relatime", "ext4", "rw")), Some(("/".to_owned(), false)));
        assert_eq!(place(&line("/", "rw", "ext4", "ro,errors=remount-ro")), Some(("/".to_owned(), true)));
        assert_eq!(place(&line("/data", "ro", "ubifs", "rw")), Some(("/data".to_owned(), true)));
        for other in [
            line("/proc", "rw", "proc", "rw"),
            line("/snap", "ro", "squashfs", "ro"),
            line("/media/ANNA", "rw", "vfat", "rw"),
            "25 1 8:1".to_owned(),
            String::new(),
        ] {
            assert_eq!(place(&other), None, "{other}");
        }
    }
}
