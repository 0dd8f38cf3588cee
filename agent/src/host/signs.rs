//! Looks for signs of ransom and of tampering: who may sign in, what runs and from where, what is plugged in, what it was
//! started from, its cabinet's switches, and the stamps of its data files.
//!
//! A look is a minute's at most, bounded in files and processes, and opens no file of data and no list of arguments. What it may not
//! see is said in words that do not change from look to look. It decides nothing. Read next:
//! `cordon_agent_core::signs`, [`programs`], [`files`], [`cabinet`].

pub mod cabinet;
mod files;
mod programs;
#[cfg(test)]
pub(crate) mod tests;

use cordon_agent_core::signs::account::{Kind, Way};
use cordon_agent_core::signs::attached::Device;
use cordon_agent_core::signs::reboot::Start;
use cordon_agent_core::signs::{Look, Mark};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;

use self::cabinet::{Cabinet, Contact};
use super::Root;
use super::accounts::{ACCOUNTS, account};
use super::attached::USB;
use super::machine::MOUNTS;

/// The kernel's number of the boot.
pub const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";
const SETTINGS: &str = "proc/cmdline";
/// Below a disk, what tells it from others: its own, an MMC's, an NVMe's, a SCSI disk's, a virtual one's.
const SERIALS: [&str; 6] =
    ["device/serial", "device/cid", "wwid", "device/wwid", "serial", "device/vpd_pg83"];

/// A sign that is unseen, and why.
pub type Unseen = (&'static str, String);

/// What looks.
#[derive(Debug, Default)]
pub struct Looker {
    data: Vec<String>,
    cabinet: Cabinet,
    /// What the last look could not see.
    pub unseen: Vec<Unseen>,
}

impl Looker {
    /// Over these folders of data and these switches.
    #[must_use]
    pub fn new(data: &[String], cabinet: &[Contact]) -> Self {
        Self { data: data.to_vec(), cabinet: Cabinet::new(cabinet), unseen: Vec::new() }
    }

    /// Looks at what must be seen when it happens.
    pub fn watch(&mut self, root: &Root) {
        self.cabinet.watch(root);
    }

    /// Looks at everything. `server` is the time by the server's clock.
    pub fn look(&mut self, root: &Root, server: Option<Timestamp>) -> Look {
        self.cabinet.watch(root);
        let mut unseen = Vec::new();
        let mut say = |sign, why: Option<String>| unseen.extend(why.map(|why| (sign, why)));
        let (accounts, why) = ways(root);
        say("account", why);
        let mounts = root.text(MOUNTS).unwrap_or_default();
        let (programs, why) = programs::look(root, &mounts);
        say("program", why);
        let attached = attached(root);
        say("attached", attached.is_none().then(|| "the kernel does not show its USB devices".to_owned()));
        let medium = medium(root, &mounts);
        say("boot", medium.is_none().then(|| "no serial number of the root's disk can be read".to_owned()));
        let settings = root.line(SETTINGS).map(|line| Mark::of(&[&line]));
        let start = start(root, server);
        say("reboot", start.is_none().then(|| "the kernel does not number its boots".to_owned()));
        let (cabinet, why) = self.cabinet.take();
        say("cabinet", why);
        let (files, why) = files::look(root, &self.data);
        say("rewrite", why);
        self.unseen = unseen;
        Look { accounts, programs, attached, medium, settings, start, cabinet, files, ..Look::default() }
    }
}

/// Ways to sign in, and why some are not seen. Of keys that open an account the hash of their file.
fn ways(root: &Root) -> (Option<Vec<Way>>, Option<String>) {
    let text = match root.text(ACCOUNTS) {
        Ok(text) => text,
        Err(error) => return (None, Some(error.to_string())),
    };
    let (mut ways, mut hidden) = (Vec::new(), false);
    for account in text.lines().filter_map(account).take(limits::SIGN_MARKS / 4) {
        let mut add = |kind| ways.push(Way { account: account.name.to_owned(), kind });
        if account.number == "0" {
            add(Kind::Root);
        }
        if !account.may_sign_in {
            continue;
        }
        add(Kind::Shell);
        match root.text(&format!("{}/.ssh/authorized_keys", account.home)) {
            Ok(keys) => add(Kind::Keys(Mark::of(&[&keys]))),
            Err(error) => hidden |= error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }
    (Some(ways), hidden.then(|| "keys that open accounts are hidden from the agent's user".to_owned()))
}

/// Keyboards and storage. A machine without USB has none.
fn attached(root: &Root) -> Option<Vec<Device>> {
    let names = match root.names(USB) {
        Ok(names) => names,
        Err(_) => return root.exists("sys/bus").then(Vec::new),
    };
    let mut devices = Vec::new();
    let interfaces = names.iter().filter_map(|name| name.split_once(':').map(|(device, _)| (device, name)));
    for (device, interface) in interfaces.take(4 * limits::ATTACHED) {
        let line = |name: &str, file: &str| root.line(&format!("{USB}/{name}/{file}")).unwrap_or_default();
        let types = match line(interface, "bInterfaceClass").as_str() {
            "03" if line(interface, "bInterfaceProtocol") == "01" => true,
            "08" => false,
            _ => continue,
        };
        let product = [line(device, "idVendor"), line(device, "idProduct")].join(":");
        let serial = Some(line(device, "serial")).filter(|serial| !serial.is_empty());
        devices.push(Device { types, product, serial: serial.map(|serial| Mark::of(&[&serial])) });
    }
    Some(devices)
}

/// What the disk of the root is told by: the serial number of the disk and the number of its part, or of a mapped one its own.
fn medium(root: &Root, mounts: &str) -> Option<Mark> {
    let place = |line: &&str| line.split(' ').nth(4) == Some("/");
    let device = mounts.lines().rfind(place)?.split(' ').nth(2)?;
    let block = format!("sys/dev/block/{device}");
    if let Some(mapped) = root.line(&format!("{block}/dm/uuid")) {
        return Some(Mark::of(&[&mapped]));
    }
    let part = root.line(&format!("{block}/partition"));
    let disk = if part.is_some() { format!("{block}/..") } else { block };
    let serial = SERIALS.iter().find_map(|file| root.line(&format!("{disk}/{file}")))?;
    Some(Mark::of(&[&serial, &part.unwrap_or_default()]))
}

/// This start, and when it was by the server's clock.
fn start(root: &Root, server: Option<Timestamp>) -> Option<Start> {
    let mark = Mark::of(&[&root.line(BOOT_ID)?]);
    let up = root.line("proc/uptime").and_then(|line| line.split('.').next()?.parse::<i64>().ok());
    Some(Start { mark, at: server.zip(up).map(|(server, up)| server.plus_seconds(-up)) })
}
