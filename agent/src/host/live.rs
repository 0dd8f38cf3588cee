//! Facts that only the running machine has: memory, processors, disks, interfaces, listening sockets.
//!
//! By sysinfo, asked for exactly these: its `new_all` and `refresh_all` walk every process and cost a hundred times as
//! much. No host name and no hardware address is taken.

use cordon_agent_core::profile::key::{EPHEMERAL, protocol_word};
use cordon_proto::inventory::Section;
use cordon_proto::limits;
use cordon_proto::telemetry::Protocol;
use sysinfo::{CpuRefreshKind, DiskRefreshKind, Disks, Networks, System};

use super::Rows;
use crate::capture::procnet::ProcNet;
use crate::capture::sockets::Stand;

/// Adds the rows of the running machine.
pub fn read(rows: &mut Rows) {
    machine(rows);
    disks(rows);
    interfaces(rows);
    listeners(rows);
}

fn machine(rows: &mut Rows) {
    let (mut memory, mut processors) = (None, None);
    if let Ok(mut system) = System::new() {
        system.refresh_memory();
        system.refresh_cpu_list(CpuRefreshKind::nothing());
        memory = Some(system.total_memory()).filter(|bytes| *bytes > 0);
        processors = Some(system.cpus().len()).filter(|count| *count > 0);
    }
    rows.add_known(Section::Hardware, "memory-bytes", memory.map(|bytes| bytes.to_string()).as_deref());
    rows.add_known(Section::Hardware, "cpus", processors.map(|count| count.to_string()).as_deref());
}

/// The bytes of all fixed disks, each counted once however often it is mounted.
fn disks(rows: &mut Rows) {
    let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage());
    let total = disks.ok().map(|disks| {
        let fixed = disks.iter().filter(|disk| !disk.is_removable());
        let mut sizes: Vec<_> = fixed.map(|disk| (disk.name().to_owned(), disk.total_space())).collect();
        sizes.sort_unstable();
        sizes.dedup_by(|later, earlier| later.0 == earlier.0);
        sizes.iter().map(|(_, bytes)| bytes).sum::<u64>().to_string()
    });
    rows.add_known(Section::Hardware, "disk-bytes", total.as_deref());
}

fn interfaces(rows: &mut Rows) {
    let Ok(networks) = Networks::new_with_refreshed_list() else {
        return rows.add(Section::Unread, "interfaces", ["the system does not list them"]);
    };
    let mut names: Vec<_> = networks.iter().filter(|(name, _)| *name != "lo").collect();
    names.sort_by_key(|(name, _)| (*name).clone());
    for (name, network) in names.into_iter().take(limits::INTERFACES) {
        let mut addresses: Vec<String> = network.ip_networks().iter().map(ToString::to_string).collect();
        addresses.sort_unstable();
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
