//! What the kernel says of a running process: memory, threads, CPU ticks, command line.
//!
//! Read from `/proc/PID` (proc(5)). Memory in KiB as the kernel prints it; CPU in clock ticks of 10 ms.

use std::fs;
use std::io;

/// Clock ticks of one second (getconf CLK_TCK).
pub const TICKS_PER_S: f64 = 100.0;

/// One look at a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Its number.
    pub pid: u32,
    /// Its command line.
    pub argv: String,
    /// Resident set, KiB; shared library pages count.
    pub rss_kib: u64,
    /// The most that it ever was, KiB.
    pub peak_kib: u64,
    /// Resident anonymous memory, KiB.
    pub anon_kib: u64,
    /// Private dirty pages, KiB.
    pub private_kib: u64,
    /// Threads.
    pub threads: u64,
    /// User and system time, clock ticks.
    pub ticks: u64,
}

impl Footprint {
    /// Looks at a process of this machine.
    pub fn of(pid: u32) -> io::Result<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        let argv = read("cmdline")?.replace('\0', " ").trim().to_owned();
        Ok(Self {
            pid,
            argv,
            rss_kib: field(&status, "VmRSS:"),
            peak_kib: field(&status, "VmHWM:"),
            anon_kib: field(&status, "RssAnon:"),
            private_kib: field(&rollup, "Private_Dirty:"),
            threads: field(&status, "Threads:"),
            ticks: ticks(&read("stat")?),
        })
    }
}

/// CPU ticks of a process, of its children that live, and of those that it has outlived and waited for.
pub fn family_ticks(root: u32) -> io::Result<u64> {
    let own = fs::read_to_string(format!("/proc/{root}/stat"))?;
    let mut sum = fields(&own, 11, 4);
    for entry in fs::read_dir("/proc")?.flatten() {
        // A process may end while it is looked at; then its parent counts it.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if fields(&stat, 1, 1) == u64::from(root) {
            sum += fields(&stat, 11, 2);
        }
    }
    Ok(sum)
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Fields 14 and 15 of stat.
fn ticks(stat: &str) -> u64 {
    fields(stat, 11, 2)
}

/// The sum of some fields of stat; the program's name in brackets may hold anything, so counting begins behind it.
fn fields(stat: &str, skip: usize, take: usize) -> u64 {
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(skip).take(take).filter_map(|number| number.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_with_its_memory_and_time() {
        // Goal: the figures are read from the right fields. Method: this very process, and a stat line with a trap.
        let own = Footprint::of(std::process::id()).expect("this process is there");
        assert!(own.rss_kib > 500 && own.anon_kib > 0 && own.threads >= 1, "{own:?}");
        assert!(own.anon_kib <= own.rss_kib && own.rss_kib <= own.peak_kib);
        let line = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 1 0 5 0 0";
        assert_eq!(ticks(line), 42);
        assert_eq!(fields(line, 1, 1), 1, "the parent");
        assert!(family_ticks(std::process::id()).expect("this process is there") >= own.ticks);
    }
}
