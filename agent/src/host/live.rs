//! Facts that only the running machine has: memory, processors, disks, interfaces, listening sockets.
//!
//! Interfaces by sysinfo, asked for exactly these: its `new_all` and `refresh_all` walk every process and cost a hundred times
//! as much. All else is a line of /proc or /sys each, for which its other halves are not linked. No host name and no hardware
//! address is taken, and of a program that listens its short name only. What changes by the hour is [`super::machine`]'s.

use cordon_agent_core::profile::key::{EPHEMERAL, protocol_word};
use cordon_proto::inventory::Section;
use cordon_proto::limits;
use cordon_proto::sorting::{sort, sort_by};
use cordon_proto::telemetry::Protocol;
use cordon_proto::time::Millis;
use sysinfo::Networks;

use super::drives::{BLOCKS, is_drive};
use super::machine::kibibytes;
use super::{Root, Rows, UNKNOWN};
use crate::capture::procnet::ProcNet;
use crate::capture::program::Programs;
use crate::capture::sockets::Stand;

/// Adds the rows of the running machine.
pub fn read(root: &Root, rows: &mut Rows) {
    machine(root, rows);
    disks(root, rows);
    interfaces(rows);
    listeners(rows);
}

fn machine(root: &Root, rows: &mut Rows) {
    let memory = root.text("proc/meminfo").ok().and_then(|text| kibibytes(&text, "MemTotal:"));
    let processors = root.text("proc/stat").ok().and_then(|text| processors(&text));
    rows.add_known(Section::Hardware, "memory-bytes", memory.map(|bytes| bytes.to_string()).as_deref());
    rows.add_known(Section::Hardware, "cpus", processors.map(|count| count.to_string()).as_deref());
}

/// The processors at work (proc_stat(5): one `cpuN` line each, below the line of all).
fn processors(stat: &str) -> Option<usize> {
    let numbered = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    Some(stat.lines().filter(numbered).count()).filter(|count| *count > 0)
}

/// The bytes of all drives that are built in.
fn disks(root: &Root, rows: &mut Rows) {
    let names = root.names(BLOCKS).unwrap_or_default();
    let line = |name: &String, file: &str| root.line(&format!("{BLOCKS}/{name}/{file}"));
    let built_in = names.iter().filter(|name| {
        is_drive(name) && !name.starts_with("md") && line(name, "removable").as_deref() == Some("0")
    });
    // Sectors of 512 bytes, whatever the drive's own are.
    let sizes = built_in.map(|name| line(name, "size")?.parse::<u64>().ok()?.checked_mul(512));
    let bytes = sizes.reduce(|sum, one| sum?.checked_add(one?)).flatten();
    rows.add_known(Section::Hardware, "disk-bytes", bytes.map(|bytes| bytes.to_string()).as_deref());
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
    let mut programs = Programs::new("/proc");
    for socket in listens.take(limits::PROFILE_LISTENERS) {
        let protocol = protocol_word(socket.protocol).to_lowercase();
        let key = format!("{protocol}/{}/{}", socket.local.address, socket.local.port);
        let reach = if socket.local.address.is_loopback() { "device" } else { "network" };
        // All of them are of one look, so /proc is walked once.
        let program = programs.name(socket.inode, Millis(0));
        rows.add(Section::Listener, &key, [reach, program.as_deref().unwrap_or(UNKNOWN)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processors_come_from_the_lines_that_say_so() {
        // Goal: the two numbers, and none from other text. Method: lines as the kernel writes them, then damaged ones.
        let meminfo = "MemTotal:       24570380 kB\nMemFree:         1000 kB\n";
        assert_eq!(kibibytes(meminfo, "MemTotal:"), Some(24_570_380 * 1024));
        for damaged in [
            "",
            "MemFree: 1000 kB\n",
            "MemTotal: many kB\n",
            "MemTotal: 0 kB\n",
            "MemTotal: 18446744073709551615 kB",
        ] {
            assert_eq!(kibibytes(damaged, "MemTotal:"), None, "{damaged:?}");
        }
        let stat = "cpu  1 2 3\ncpu0 1 2\ncpu1 3 4\ncpu10 5 6\nintr 1 2\ncpus 7\n";
        assert_eq!(processors(stat), Some(3));
        assert_eq!(processors("intr 1\n"), None);
    }
}
