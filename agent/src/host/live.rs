//! Facts that only the running machine has: memory, processors, disks, interfaces, listening sockets.
//!
//! Disks and interfaces by sysinfo, asked for exactly these: its `new_all` and `refresh_all` walk every process and cost
//! a hundred times as much. Memory and processors are two lines of /proc, for which its system half is not linked. No
//! host name and no hardware address is taken.

use std::ffi::OsStr;

use cordon_agent_core::profile::key::{EPHEMERAL, protocol_word};
use cordon_proto::inventory::Section;
use cordon_proto::limits;
use cordon_proto::sorting::{sort, sort_by};
use cordon_proto::telemetry::Protocol;
use sysinfo::{DiskRefreshKind, Disks, Networks};

use super::{Root, Rows};
use crate::capture::procnet::ProcNet;
use crate::capture::sockets::Stand;

/// Adds the rows of the running machine.
pub fn read(root: &Root, rows: &mut Rows) {
    machine(root, rows);
    disks(rows);
    interfaces(rows);
    listeners(rows);
}

fn machine(root: &Root, rows: &mut Rows) {
    let memory = root.text("proc/meminfo").ok().and_then(|text| memory_bytes(&text));
    let processors = root.text("proc/stat").ok().and_then(|text| processors(&text));
    rows.add_known(Section::Hardware, "memory-bytes", memory.map(|bytes| bytes.to_string()).as_deref());
    rows.add_known(Section::Hardware, "cpus", processors.map(|count| count.to_string()).as_deref());
}

/// The machine's memory (proc_meminfo(5): `MemTotal`, in KiB).
fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024).filter(|bytes| *bytes > 0)
}

/// The processors at work (proc_stat(5): one `cpuN` line each, below the line of all).
fn processors(stat: &str) -> Option<usize> {
    let numbered = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    Some(stat.lines().filter(numbered).count()).filter(|count| *count > 0)
}

/// The bytes of all fixed disks, each counted once however often it is mounted.
fn disks(rows: &mut Rows) {
    let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage());
    let total = disks.ok().map(|disks| {
        let fixed = disks.iter().filter(|disk| !disk.is_removable());
        let mut sizes: Vec<(&OsStr, u64)> = Vec::new();
        for disk in fixed {
            let bytes = disk.total_space();
            match sizes.iter_mut().find(|(name, _)| *name == disk.name()) {
                Some((_, least)) => *least = bytes.min(*least),
                None => sizes.push((disk.name(), bytes)),
            }
        }
        sizes.iter().map(|(_, bytes)| bytes).sum::<u64>().to_string()
    });
    rows.add_known(Section::Hardware, "disk-bytes", total.as_deref());
}

fn interfaces(rows: &mut Rows) {
    let Ok(networks) = Networks::new_with_refreshed_list() else {
        return rows.add(Section::Unread, "interfaces", ["the system does not list them"]);
    };
    let mut names: Vec<_> = networks.iter().filter(|(name, _)| *name != "lo").collect();
    sort_by(&mut names, |(one, _), (other, _)| one < other);
    for (name, network) in names.into_iter().take(limits::INTERFACES) {
        let mut addresses: Vec<String> = network.ip_networks().iter().map(ToString::to_string).collect();
        sort(&mut addresses);
        rows.add(Section::Interface, &name.to_string_lossy(), addresses.iter().map(String::as_str));
    }
}

/// Who may be called from outside: TCP listeners, and UDP sockets that are no clients.
fn listeners(rows: &mut Rows) {
    let sockets = match ProcNet::new("/proc/net").read() {
        Ok((sockets, _)) => sockets,
        Err(error) => return rows.unread("proc/net", &error),
    };
    let listens = sockets.iter().filter(|socket| {
        socket.stand == Stand::Listens && (socket.protocol == Protocol::Tcp || socket.local.port < EPHEMERAL)
    });
    for socket in listens.take(limits::PROFILE_LISTENERS) {
        let protocol = protocol_word(socket.protocol).to_lowercase();
        let key = format!("{protocol}/{}/{}", socket.local.address, socket.local.port);
        let reach = if socket.local.address.is_loopback() { "device" } else { "network" };
        rows.add(Section::Listener, &key, [reach]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processors_come_from_the_lines_that_say_so() {
        // Goal: the two numbers, and none from other text. Method: lines as the kernel writes them, then damaged ones.
        let meminfo = "MemTotal:       24570380 kB\nMemFree:         1000 kB\n";
        assert_eq!(memory_bytes(meminfo), Some(24_570_380 * 1024));
        for damaged in [
            "",
            "MemFree: 1000 kB\n",
            "MemTotal: many kB\n",
            "MemTotal: 0 kB\n",
            "MemTotal: 18446744073709551615 kB",
        ] {
            assert_eq!(memory_bytes(damaged), None, "{damaged:?}");
        }
        let stat = "cpu  1 2 3\ncpu0 1 2\ncpu1 3 4\ncpu10 5 6\nintr 1 2\ncpus 7\n";
        assert_eq!(processors(stat), Some(3));
        assert_eq!(processors("intr 1\n"), None);
    }
}
