//! The configuration file: a few fixed keys, read once, unknown keys refused by name.
//!
//! It must never be read from a place that anyone may change, and holds no secret. Relative paths count from the
//! file's own folder. Who the device is comes from `hardware` here (inside the system image) or from the machine
//! itself; never from the server. Read next: [`crate::run`].

mod form;
pub mod key_place;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cordon_proto::ids::{Hardware, Name};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::release::InterlockClass;

use self::form::{File, HealthValue};
use self::key_place::KeyPlace;
use crate::boot::Setting;
use crate::files::{self, FileError};
use crate::host::signs::cabinet::Contact;
use crate::host::{self, Root};
use crate::install::Setting as Installing;
use crate::link::proxy::Proxy;

/// Bytes of a configuration file.
const CONFIG_BYTES: usize = 64 * 1024;
/// Where the configuration stands unless `--config` says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/cordon/agent.toml";
/// Where state is kept unless configured otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/cordon";

/// Everything a person configured, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of identity, metadata, floor, spool.
    pub state: PathBuf,
    /// The two image slots, files or block devices; `None` for a device that takes no updates.
    pub slots: Option<[PathBuf; 2]>,
    /// The boot control.
    pub boot: Option<Setting>,
    /// What takes images in place of slots: a folder or a command.
    pub install: Option<Installing>,
    /// What starts the application in such a folder again.
    pub restart: Vec<String>,
    /// What the device is.
    pub hardware: Hardware,
    /// First root file of each manufacturer's image repository.
    pub image_root: BTreeMap<Name, PathBuf>,
    /// The time zone that windows are read in.
    pub timezone: String,
    /// Socket on which the device's own software says whether it is in use.
    pub interlock_socket: Option<PathBuf>,
    /// The owner's own class, where it is stricter than the maker's; a looser one changes nothing.
    pub interlock: Option<InterlockClass>,
    /// Addresses of the server, used in place of a name look-up.
    pub server: Vec<IpAddr>,
    /// HTTP CONNECT proxy, `http://HOST:PORT`, and the file of what it is told about us.
    pub proxy: Option<Proxy>,
    /// Seconds between two reports of a device whose every byte is paid for; `None` for any other.
    pub metered: Option<u32>,
    /// Site mirrors, `http://HOST…`, that are asked for images before the server, in this order.
    pub mirrors: Vec<String>,
    /// What images may take of the line, kilobits a second; `None` for all of it.
    pub image_kbit_s: Option<u32>,
    /// Where the device's private key is kept.
    pub key: KeyPlace,
    /// A time before which it cannot be.
    pub clock_floor: Option<Timestamp>,
    /// What the maker describes of the device, as `cordonctl mud compile` writes it.
    pub mud: Option<PathBuf>,
    /// Whether headers of packets are looked at, where that is permitted.
    pub packets: bool,
    /// Folders whose files are watched for mass rewriting.
    pub data: Vec<String>,
    /// Switches that say whether the cabinet is open.
    pub cabinet: Vec<Contact>,
    /// What must hold after a trial boot, besides a check-in.
    pub health: Health,
    /// Seconds that a trial gets, and once more where the network is down.
    pub trial_s: u32,
}

/// The health gate that a trial must pass before it is confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Only the check-in.
    #[default]
    CheckinOnly,
    /// A program that exits 0.
    Program(Vec<String>),
    /// A file that the device's own software writes; healthy while it begins with `ok`.
    File(PathBuf),
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, or anyone may change it.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not UTF-8, not TOML, or an unknown key.
    #[error("{}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// A key whose value cannot be used.
    #[error("{}: key `{key}`: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it must be.
        message: String,
    },
    /// Neither the configuration nor the machine says what the device is.
    #[error(
        "the device does not say what it is: maker, model and serial number are not all in its DMI tables or device tree (the serial number is readable by root alone); set hardware = {{ manufacturer, model, revision, serial }} in {}", path.display()
    )]
    Hardware {
        /// The configuration file.
        path: PathBuf,
    },
}

/// Where to look: the command line's two options, and the machine's root.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `--config`; the default file may be absent, a named one may not.
    pub config: Option<PathBuf>,
    /// `--state`, which wins over the file.
    pub state: Option<PathBuf>,
    /// The folder below which the machine says what it is.
    pub root: PathBuf,
}

impl Default for Sources {
    fn default() -> Self {
        Self { config: None, state: None, root: PathBuf::from("/") }
    }
}

impl Config {
    /// Reads the configuration.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let path = sources.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
        let text = if sources.config.is_some() || path.exists() {
            files::refuse_world_writable(&path)?;
            let bytes = files::read_file(&path, CONFIG_BYTES)?;
            String::from_utf8(bytes).map_err(|_| toml_error(&path, "is not UTF-8"))?
        } else {
            String::new()
        };
        Self::parse(&text, &path, sources)
    }

    fn parse(text: &str, path: &Path, sources: &Sources) -> Result<Self, ConfigError> {
        let file = File::parse(text).map_err(|error| toml_error(path, &error))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let value = |key, message: &str| ConfigError::Value {
            path: path.to_owned(),
            key,
            message: message.to_owned(),
        };
        let boot = file.boot.map(|boot| Setting::parse(&boot, folder)).transpose();
        let boot = boot.map_err(|error| value("boot", &error.to_string()))?;
        let install = file.install.as_deref().map(|install| {
            Installing::parse(install, folder)
                .ok_or_else(|| value("install", "must be directory:PATH or exec:/PATH/OF/PROGRAM"))
        });
        let install = install.transpose()?;
        check_installer(&install, (&file.slots, &boot, &file.restart))
            .map_err(|(key, wrong)| value(key, wrong))?;
        let auth_file = file.proxy_auth_file.map(|auth_file| folder.join(auth_file));
        let proxy = Proxy::parse(file.proxy, auth_file).map_err(|(key, wrong)| value(key, wrong))?;
        let key = file.key.as_deref().map_or(Ok(KeyPlace::File), KeyPlace::parse);
        let key = key.map_err(|error| value("key", &error.to_string()))?;
        let clock_floor = file.clock_floor.as_deref().map(Timestamp::parse).transpose();
        let clock_floor = clock_floor.map_err(|error| value("clock_floor", &error.to_string()))?;
        let hardware = match file.hardware {
            Some(hardware) => hardware,
            None => Root::at(&sources.root)
                .ok()
                .and_then(|root| host::hardware::identity(&root))
                .ok_or_else(|| ConfigError::Hardware { path: path.to_owned() })?,
        };
        let mut image_root = file.image_root;
        for root in image_root.values_mut() {
            *root = folder.join(&*root);
        }
        let state = sources.state.clone().or(file.state).unwrap_or_else(|| PathBuf::from(DEFAULT_STATE));
        Ok(Self {
            state: if sources.state.is_some() { state } else { folder.join(state) },
            slots: file.slots.map(|slots| slots.map(|slot| folder.join(slot))),
            boot,
            install,
            restart: file.restart,
            hardware,
            image_root,
            timezone: file.timezone.unwrap_or_else(|| "UTC".to_owned()),
            interlock_socket: file.interlock_socket.map(|socket| folder.join(socket)),
            interlock: file.interlock,
            server: file.server,
            proxy,
            metered: file.metered,
            mirrors: file.mirrors,
            image_kbit_s: file.image_kbit_s,
            key,
            clock_floor,
            mud: file.mud.map(|mud| folder.join(mud)),
            packets: file.packets.unwrap_or(true),
            data: file.data,
            cabinet: file.cabinet,
            health: health(file.health, folder)
                .ok_or_else(|| value("health", "must be [\"program\", …] or \"file:PATH\""))?,
            trial_s: file.trial_s.unwrap_or(limits::TRIAL_S),
        })
    }
}

/// What names a place for images twice, or names what that place does not use, is a mistake.
fn check_installer(
    install: &Option<Installing>,
    (slots, boot, restart): (&Option<[PathBuf; 2]>, &Option<Setting>, &[String]),
) -> Result<(), (&'static str, &'static str)> {
    let folder = matches!(install, Some(Installing::Folder(_)));
    if install.is_some() && slots.is_some() {
        return Err(("install", "stands in place of `slots`; name one of them"));
    }
    if folder && boot.is_some() {
        return Err(("boot", "is not used with a directory, which has its own"));
    }
    if !folder && !restart.is_empty() {
        return Err(("restart", "is used with a directory only"));
    }
    Ok(())
}

fn health(value: Option<HealthValue>, folder: &Path) -> Option<Health> {
    match value {
        None => Some(Health::CheckinOnly),
        Some(HealthValue::Program(words)) if words.is_empty() => None,
        Some(HealthValue::Program(words)) => Some(Health::Program(words)),
        Some(HealthValue::Text(text)) => {
            text.strip_prefix("file:").map(|path| Health::File(folder.join(path)))
        }
    }
}

fn toml_error(path: &Path, message: &str) -> ConfigError {
    ConfigError::Toml { path: path.to_owned(), message: message.trim_end().to_owned() }
}

#[cfg(test)]
mod tests;
