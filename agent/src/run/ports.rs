//! What the agent stands on: everything that a simulator replaces, in one struct.
//!
//! The real machine's ports are [`Ports::real`]; the simulator feeds captures and keeps state in folders of its own,
//! and runs the very same loops. A port maps and decides nothing. Read next: [`super`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cordon_agent_core::signs::Look;
use cordon_proto::health::Health;
use cordon_proto::ids::Sha256;
use cordon_proto::inventory::Inventory;
use cordon_proto::time::Timestamp;
use cordon_proto::update::refusal::Power;

use super::contact::Pace;
use super::content::{Memory, resident_kib};
use super::sensing::Rhythm;
use crate::boot::folder::FolderBoot;
use crate::boot::{self, BootError, Setting, SharedControl};
use crate::capture::Capture;
use crate::capture::tier1::Tier1;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::files::Folder;
use crate::host;
use crate::host::machine::Moment;
use crate::host::services::Services;
use crate::host::signs::cabinet::Contact;
use crate::host::signs::{self, Looker};
use crate::install::handed::Handed;
use crate::install::tree::Tree;
use crate::install::{self, Place};
use crate::interlock::Shared;
use crate::link::Patience;
use crate::slot::Slots;

/// Where the kernel shows mains and batteries.
const POWER: &str = "/sys/class/power_supply";
/// The operating system's identifier of the machine, below its root.
const MACHINE_ID: &str = "etc/machine-id";
/// The kernel's network interfaces, below the machine's root.
const INTERFACES: &str = "sys/class/net";
const MACHINE_LABEL: &[u8] = b"cordon machine v1\0";

/// What reads the machine's inventory.
pub trait Host: Send {
    /// What the machine is made of.
    fn inventory(&mut self) -> Inventory;
    /// The figures of the machine that change by the hour; `None` where there is no machine.
    fn health(&mut self, _at: Moment) -> Option<Health> {
        None
    }
    /// Looks at what must be seen when it happens; whether the figures call for a reading before their hour.
    fn watch(&mut self, _lived_s: u64) -> bool {
        false
    }
    /// Looks for signs of ransom and tampering, with the time by the server's clock, and says what it could not see; `None`
    /// where there is no machine.
    fn signs(&mut self, _server: Option<Timestamp>) -> Option<(Look, Vec<String>)> {
        None
    }
    /// The hash of what of a boot tells it from all others; `None` where it cannot be told.
    fn boot(&mut self) -> Option<Sha256> {
        None
    }
    /// The hash of what tells this machine from all others; `None` where it cannot be told.
    fn machine(&mut self) -> Option<Sha256> {
        None
    }
}

/// What says whether the machine is on mains.
pub trait PowerSource: Send {
    /// What it runs on.
    fn power(&mut self) -> Power;
}

/// Where images go and how they are started.
pub struct Installer {
    /// What holds images.
    pub slots: Place,
    /// The boot control.
    pub boot: SharedControl,
}

/// How quickly things happen. Tests and the simulator shorten it; nothing else does.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// Of the link.
    pub pace: Pace,
    /// Of the sensor.
    pub rhythm: Rhythm,
    /// Of waiting for answers.
    pub patience: Patience,
    /// Between two looks of the updater at its surroundings.
    pub look: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            rhythm: Rhythm::default(),
            patience: Patience::default(),
            look: Duration::from_secs(5),
        }
    }
}

/// Everything outside.
pub struct Ports {
    /// What looks at the network.
    pub capture: Box<dyn Capture>,
    /// What reads the machine.
    pub host: Box<dyn Host>,
    /// What says whether it is on mains.
    pub power: Box<dyn PowerSource>,
    /// Who says whether the device is in use.
    pub interlock: Shared,
    /// Slots and boot control; an error is told by `status` and stops updates only; `None` where none are configured.
    pub installer: Option<Result<Installer, BootError>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What says how much memory the agent holds.
    pub memory: Memory,
    /// How quickly things happen.
    pub tempo: Tempo,
}

impl Ports {
    /// The machine that this runs on.
    pub fn real(config: &Config) -> Result<Self, io::Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Ok(Self {
            capture: Box::new(Tier1::new(Arc::clone(&clock), config.packets)),
            host: Box::new(Machine::at(Path::new("/"))?.watched(&config.data, &config.cabinet)),
            power: Box::new(PowerSupplies::default()),
            interlock: Shared::new(Arc::clone(&clock)),
            installer: installer(config),
            clock,
            memory: Arc::new(resident_kib),
            tempo: Tempo::default(),
        })
    }
}

/// The installer that a configuration names; `None` unless it names what holds images and a boot control.
#[must_use]
pub fn installer(config: &Config) -> Option<Result<Installer, BootError>> {
    Some(match &config.install {
        Some(install::Setting::Folder(root)) => folder(root, config),
        Some(install::Setting::Command(command)) => handed(command, config),
        None => {
            let (slots, boot) = (config.slots.clone()?, config.boot.as_ref()?);
            boot.open().map(|boot| Installer { slots: Slots::new(slots).into(), boot })
        }
    })
}

fn folder(root: &Path, config: &Config) -> Result<Installer, BootError> {
    let boot = boot::opened(FolderBoot::at(root, config.restart.clone())?)?;
    Ok(Installer { slots: Place::Tree(Tree::new(root.to_owned())), boot })
}

/// The command is also the boot control, unless there is another one.
fn handed(command: &str, config: &Config) -> Result<Installer, BootError> {
    let own = Setting::Exec(command.to_owned());
    let boot = config.boot.as_ref().unwrap_or(&own).open()?;
    Ok(Installer { slots: Place::Handed(Handed::new(command, Folder::open(&config.state)?)), boot })
}

/// A machine whose files lie below a folder; `/` is the running one.
pub struct Machine {
    root: host::Root,
    services: Services,
    looker: Looker,
}

impl Machine {
    /// The machine below `folder`.
    pub fn at(folder: &Path) -> Result<Self, io::Error> {
        let root = host::Root::at(folder)?;
        Ok(Self { root, services: Services::below(folder), looker: Looker::default() })
    }

    /// The same, with folders of data and switches of its cabinet that are watched.
    #[must_use]
    pub fn watched(self, data: &[String], cabinet: &[Contact]) -> Self {
        Self { looker: Looker::new(data, cabinet), ..self }
    }
}

impl Host for Machine {
    fn inventory(&mut self) -> Inventory {
        host::with(&self.root, &self.looker.unseen)
    }

    fn health(&mut self, at: Moment) -> Option<Health> {
        let restarts = self.services.tell(&self.root, at.lived_s);
        Some(Health { restarts, ..host::machine::read(&self.root, at) })
    }

    fn watch(&mut self, lived_s: u64) -> bool {
        self.looker.watch(&self.root);
        self.services.look(lived_s)
    }

    fn signs(&mut self, server: Option<Timestamp>) -> Option<(Look, Vec<String>)> {
        let look = self.looker.look(&self.root, server);
        let unseen = self.looker.unseen.iter().map(|(sign, why)| format!("{sign}: {why}"));
        Some((look, unseen.collect()))
    }

    fn boot(&mut self) -> Option<Sha256> {
        self.root.line(signs::BOOT_ID).map(|id| Sha256::of(id.as_bytes()))
    }

    fn machine(&mut self) -> Option<Sha256> {
        let id = self.root.text(MACHINE_ID).ok()?;
        machine_of(&id, &addresses(&self.root))
    }
}

/// The hardware addresses of the interfaces that are devices, in the order of their names.
fn addresses(root: &host::Root) -> Vec<String> {
    let names = root.names(INTERFACES).unwrap_or_default();
    let real = names.iter().filter(|name| root.exists(&format!("{INTERFACES}/{name}/device")));
    real.filter_map(|name| root.line(&format!("{INTERFACES}/{name}/address"))).collect()
}

/// The hash under which a machine is told: its identifier is nobody's business (machine-id(5)). The identifier alone
/// would make one machine of all that were set up from one image, so its hardware addresses are in it; a machine
/// without either is not told.
fn machine_of(text: &str, addresses: &[String]) -> Option<Sha256> {
    let id = text.trim();
    let whole = id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    let told = [id, &addresses.join(" ")].join(" ");
    (whole && !addresses.is_empty()).then(|| Sha256::of(&[MACHINE_LABEL, told.as_bytes()].concat()))
}

/// The kernel's power supply class.
pub struct PowerSupplies {
    folder: PathBuf,
}

impl Default for PowerSupplies {
    fn default() -> Self {
        Self { folder: PathBuf::from(POWER) }
    }
}

impl PowerSource for PowerSupplies {
    fn power(&mut self) -> Power {
        power_of(&self.folder)
    }
}

/// What the machine runs on, by the kernel's power supply class: mains where any is online or none is known at all (a
/// device without battery lists nothing); else the emptiest system battery that is being discharged.
fn power_of(folder: &Path) -> Power {
    let supplies = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Power::Mains,
        Err(_) => return Power::Unknown,
    };
    let line = |supply: &Path, name: &str| {
        let text = fs::read_to_string(supply.join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let (mut lowest, mut unknown) = (None, false);
    for supply in supplies {
        match line(&supply, "type").as_deref() {
            Some("Mains" | "USB") if line(&supply, "online").as_deref() == Some("1") => return Power::Mains,
            // A mouse's battery is not the machine's.
            Some("Battery") if line(&supply, "scope").as_deref() != Some("Device") => {
                match line(&supply, "capacity").and_then(|text| text.parse::<u8>().ok()) {
                    Some(percent) => lowest = lowest.min(Some(percent)).or(Some(percent)),
                    None => unknown = true,
                }
            }
            Some(_) | None => {}
        }
    }
    match (lowest, unknown) {
        (_, true) => Power::Unknown,
        (Some(percent), false) => Power::Battery { percent },
        (None, false) => Power::Mains,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_by_a_hash_that_devices_of_one_image_do_not_share() {
        // Goal: clones are seen, a golden image is none, the identifier itself is not told. Method: machine-id(5) as
        // written with two hardware addresses, a bridge beside them, then what is none.
        let root = tempfile::tempdir().expect("a scratch folder");
        fs::create_dir(root.path().join("etc")).expect("makes the folder");
        let interface = |name: &str, address: &str, real: bool| {
            let place = root.path().join(INTERFACES).join(name);
            fs::create_dir_all(&place).expect("makes the folder");
            fs::write(place.join("address"), format!("{address}\n")).expect("writes");
            if real {
                fs::create_dir_all(place.join("device")).expect("makes the folder");
            }
        };
        interface("br0", "02:00:00:00:00:01", false);
        let told = |text: &str| {
            fs::write(root.path().join(MACHINE_ID), text).expect("writes");
            Machine::at(root.path()).expect("opens").machine()
        };
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(told(&format!("{id}\n")), None, "without an address of its own it cannot be told");
        interface("eth0", "00:11:22:33:44:55", true);
        let expected = Sha256::of(format!("cordon machine v1\0{id} 00:11:22:33:44:55").as_bytes());
        assert_eq!(told(&format!("{id}\n")), Some(expected));
        interface("eth0", "00:11:22:33:44:56", true);
        assert_ne!(told(&format!("{id}\n")), Some(expected), "another device of the same image");
        for none in ["", "uninitialized\n", &id[1..]] {
            assert_eq!(told(none), None, "{none:?}");
        }
    }

    #[test]
    fn mains_wins_the_emptiest_battery_counts_and_no_supply_at_all_is_mains() {
        // Goal: no reboot on an empty battery, no waiting on a machine without one. Method: made-up supplies.
        let root = tempfile::tempdir().expect("a scratch folder");
        let put = |supply: &str, facts: &[(&str, &str)]| {
            let folder = root.path().join(supply);
            fs::create_dir_all(&folder).expect("makes the folder");
            for (name, value) in facts {
                fs::write(folder.join(name), format!("{value}\n")).expect("writes");
            }
        };
        assert_eq!(power_of(&root.path().join("absent")), Power::Mains);
        assert_eq!(power_of(root.path()), Power::Mains);
        put("mouse", &[("type", "Battery"), ("scope", "Device"), ("capacity", "3")]);
        assert_eq!(power_of(root.path()), Power::Mains);
        put("BAT0", &[("type", "Battery"), ("capacity", "80")]);
        put("BAT1", &[("type", "Battery"), ("capacity", "40")]);
        put("AC", &[("type", "Mains"), ("online", "0")]);
        assert_eq!(power_of(root.path()), Power::Battery { percent: 40 });
        put("BAT1", &[("capacity", "?")]);
        assert_eq!(power_of(root.path()), Power::Unknown);
        put("AC", &[("online", "1")]);
        assert_eq!(power_of(root.path()), Power::Mains);
    }
}
