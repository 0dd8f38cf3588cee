//! The configuration: one TOML file, a few overrides on the command line, every value bounded.
//!
//! Unknown keys are errors, so that a misspelt limit is not a missing one. Paths are relative to the file's folder.
//! A figure may be tightened below `limits`, never loosened beyond it. Secrets do not stand here; their files are
//! named. Nothing here opens a listener or a store. Read next: [`Config::load`], and `init`, which writes the file.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use cordon_proto::{enrol, limits};
use serde::Deserialize;

use crate::age::Recipient;
use crate::ca::key::KeySetting;
use crate::files::{self, FileError};

mod enrolment;
mod feeds;
mod siem;

pub use enrolment::{AnchorSettings, Enrolment};
pub use feeds::Feeds;
pub use siem::SiemSettings;

/// All settings of one server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that relative paths start from.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The settings as they were written, for a backup.
    #[serde(skip)]
    pub text: String,
    /// Host name or address under which devices and people reach the server; it stands in enrolment strings.
    pub host: String,
    /// Further names and addresses for the server's certificate; `localhost` and the loopback addresses always are.
    #[serde(default)]
    pub names: Vec<String>,
    /// Where documents and telemetry are kept: `redb:PATH`; `sled:DIR`, where the program was built with it; or
    /// `memory` for trials.
    #[serde(default = "default_store")]
    pub store: String,
    /// What this server is called beside others on one store, in logs and leases; `host` if it is not given.
    #[serde(default)]
    pub server_name: Option<String>,
    /// The folder of images.
    #[serde(default = "default_blobs")]
    pub blobs: PathBuf,
    /// The folder of the certificate authority.
    #[serde(default = "default_ca")]
    pub ca: PathBuf,
    /// How issuing keys are kept: `age:FILE`, sealed for the identity in FILE; `pkcs11:…`, in a token; or, if it is not
    /// given, in plain with mode 0600.
    #[serde(default)]
    pub ca_key: KeySetting,
    /// The folder of the director's snapshot and timestamp keys.
    #[serde(default = "default_keys")]
    pub keys: PathBuf,
    /// The local control socket.
    #[serde(default = "default_control")]
    pub control: PathBuf,
    /// What is logged: `error`, `warn`, `info` or `debug`.
    #[serde(default)]
    pub log: LogLevel,
    /// How it is logged: `text`, or `json` for who collects logs.
    #[serde(default)]
    pub log_format: LogFormat,
    /// Whether the throw-away keys of `keys-example` are accepted. Only with every listener on loopback.
    #[serde(default)]
    pub allow_example_keys: bool,
    /// Days after which telemetry is forgotten, 1 to 3650. Documents and the audit journal are never forgotten.
    #[serde(default = "default_retention_days")]
    pub retention_days: u32,
    /// Mebibytes of the disk that stay free, 1 to 65536. Below them only removals are let through, every other write
    /// is answered 503, and the server still ends and starts in good order.
    #[serde(default = "default_reserve_mib")]
    pub reserve_mib: u64,
    /// How images are read again in search of damage.
    #[serde(default)]
    pub scrub: Scrub,
    /// Backups.
    #[serde(default)]
    pub backup: Backup,
    /// The enrolment plane. Where it has the device plane's address and port, both share it: see
    /// [`Config::shares_port`].
    #[serde(default)]
    pub enrolment: Enrolment,
    /// The device plane.
    #[serde(default)]
    pub device: DevicePlane,
    /// The operator plane.
    #[serde(default)]
    pub operator: OperatorPlane,
    /// Whose signatures feeds need.
    #[serde(default)]
    pub feeds: Feeds,
    /// The SIEM that is told of findings and acts.
    #[serde(default)]
    pub siem: Option<SiemSettings>,
    /// Bounds on what outsiders may hold.
    #[serde(default)]
    pub limits: Bounds,
}

/// The device plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevicePlane {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Seconds between two check-ins.
    pub checkin_s: u32,
    /// Requests that one device may make in a row before it has to wait.
    pub requests: u32,
    /// Requests that one device gets back each minute.
    pub requests_per_minute: u32,
}

/// The operator plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorPlane {
    /// Where it listens. TLS is spoken wherever this is not a loopback address.
    pub listen: SocketAddr,
}

/// How images are read again in search of damage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scrub {
    /// Days between two readings of one image, 1 to 365.
    pub days: u32,
    /// Mebibytes read in a second at most, 1 to 1000.
    pub mib_per_s: u64,
}

/// Backups.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// The public key that backups are sealed for, `age1…`. Its private half belongs on another machine.
    pub recipient: Option<Recipient>,
    /// The folder that the server backs up into by itself; without one it does not.
    pub folder: Option<PathBuf>,
    /// Hours between two backups of its own, 1 to 720.
    pub every_hours: u32,
    /// How many of its own backups it keeps, 1 to 1000.
    pub keep: usize,
}

/// Bounds that an owner may tighten, for each plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// Requests worked on at once, waits not counted.
    pub requests: usize,
    /// Seconds a handshake may take.
    pub handshake_s: u64,
    /// Seconds the head of a request may take.
    pub headers_s: u64,
    /// Seconds an idle connection is kept.
    pub idle_s: u64,
    /// Seconds a draining server waits for requests under way.
    pub drain_s: u64,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what must be repaired.
    Error,
    /// Also what should be looked at.
    Warn,
    /// Also what a server does once or seldom.
    #[default]
    Info,
    /// Also single requests.
    Debug,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line an event.
    #[default]
    Text,
    /// An object an event.
    Json,
}

/// What is wrong with a configuration, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "there is no usable configuration: run `cordon-server init --dir D`, then `serve --config D/cordon.toml`"
    )]
    File(#[from] FileError),
    /// The file is not what it should be.
    #[error("{origin}: {reason}")]
    Form {
        /// The file, or the override.
        origin: String,
        /// What the parser says.
        reason: String,
    },
    /// A value beyond its bounds.
    #[error("`{key}` must be {bounds}, not {found}")]
    Bounds {
        /// The setting.
        key: &'static str,
        /// What it may be.
        bounds: String,
        /// What it is.
        found: String,
    },
}

impl Config {
    /// Reads a file and applies `KEY=VALUE` overrides, `KEY` being dotted as in `device.listen=127.0.0.1:0`.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let bytes = files::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, overrides, folder).map_err(|error| match error {
            ConfigError::Form { origin, reason } if origin.is_empty() => {
                ConfigError::Form { origin: path.display().to_string(), reason }
            }
            other @ (ConfigError::Form { .. } | ConfigError::File(_) | ConfigError::Bounds { .. }) => other,
        })
    }

    /// Reads a text. The origin of an error in the text itself is left empty.
    pub fn parse(text: &str, overrides: &[String], folder: PathBuf) -> Result<Self, ConfigError> {
        let form = |reason: String| ConfigError::Form { origin: String::new(), reason };
        let mut table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| form(error.to_string()))?;
        for change in overrides {
            let refused = |reason: &str| ConfigError::Form {
                origin: format!("--set {change}"),
                reason: reason.to_owned(),
            };
            let (key, value) = change.split_once('=').ok_or_else(|| refused("is not KEY=VALUE"))?;
            set(&mut table, key, value).map_err(refused)?;
        }
        let mut config: Self = table.try_into().map_err(|error: toml::de::Error| form(error.to_string()))?;
        (config.folder, config.text) = (folder, text.to_owned());
        config.bounded()
    }

    /// A path of the configuration as it is meant.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Bytes of the disk that stay free.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_mib.saturating_mul(1024 * 1024)
    }

    /// Whether every listener is on a loopback address, so that nobody else can reach the server.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        let listeners = [self.enrolment.listen, self.device.listen, self.operator.listen];
        listeners.iter().all(|address| address.ip().is_loopback())
    }

    /// Whether the enrolment plane and the device plane are one listener, told apart by the name that a connection asks
    /// for in TLS. Port 0 is no port yet: each plane gets a free one.
    #[must_use]
    pub fn shares_port(&self) -> bool {
        self.enrolment.listen == self.device.listen && self.device.listen.port() != 0
    }

    /// The names and addresses that the server's certificate is for.
    #[must_use]
    pub fn certificate_names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.push(self.host.clone());
        if self.shares_port() {
            names.push(enrol::shared_name(&self.host));
        }
        names.extend(self.names.iter().cloned());
        let listeners = [self.enrolment.listen, self.device.listen, self.operator.listen];
        names.extend(
            listeners.iter().map(|l| l.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()),
        );
        names.sort();
        names.dedup();
        names
    }

    fn bounded(self) -> Result<Self, ConfigError> {
        let (bounds, device) = (&self.limits, &self.device);
        within("limits.connections", bounds.connections, 1, limits::CONNECTIONS)?;
        within("limits.handshakes", bounds.handshakes, 1, limits::HANDSHAKES)?;
        within("limits.requests", bounds.requests, 1, limits::CONNECTIONS)?;
        within("limits.handshake_s", bounds.handshake_s, 1, limits::TLS_HANDSHAKE_S)?;
        within("limits.headers_s", bounds.headers_s, 1, limits::HEADERS_S)?;
        within("limits.idle_s", bounds.idle_s, 1, limits::IDLE_CONNECTION_S)?;
        within("limits.drain_s", bounds.drain_s, 1, limits::IDLE_CONNECTION_S)?;
        self.enrolment.bounded()?;
        self.siem.as_ref().map_or(Ok(()), SiemSettings::bounded)?;
        within("device.checkin_s", device.checkin_s, 1, 86_400)?;
        within("device.requests", device.requests, 1, 100_000)?;
        within("device.requests_per_minute", device.requests_per_minute, 1, 100_000)?;
        within("retention_days", self.retention_days, 1, 3650)?;
        within("reserve_mib", self.reserve_mib, 1, 65_536)?;
        within("scrub.days", self.scrub.days, 1, 365)?;
        within("scrub.mib_per_s", self.scrub.mib_per_s, 1, 1000)?;
        within("backup.every_hours", self.backup.every_hours, 1, 720)?;
        within("backup.keep", self.backup.keep, 1, 1000)?;
        if self.backup.folder.is_some() && self.backup.recipient.is_none() {
            let bounds = "the public key that `age-keygen` printed, where `backup.folder` is set".to_owned();
            return Err(ConfigError::Bounds { key: "backup.recipient", bounds, found: "missing".to_owned() });
        }
        if self.host.is_empty() || self.host.contains(|c: char| c.is_whitespace() || c == '#' || c == '/') {
            let bounds = "a host name or an address without brackets".to_owned();
            return Err(ConfigError::Bounds { key: "host", bounds, found: format!("`{}`", self.host) });
        }
        if self.shares_port() && self.host.parse::<IpAddr>().is_ok() {
            let bounds =
                "a host name where enrolment and device plane share a port: TLS names no address".to_owned();
            return Err(ConfigError::Bounds { key: "host", bounds, found: format!("`{}`", self.host) });
        }
        Ok(self)
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    found: T,
    least: T,
    most: T,
) -> Result<(), ConfigError> {
    if (&least..=&most).contains(&&found) {
        return Ok(());
    }
    Err(ConfigError::Bounds { key, bounds: format!("{least} to {most}"), found: found.to_string() })
}

/// Puts one override into the table. A value is TOML where it reads as such, and text where it does not.
fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), &'static str> {
    let mut parts = key.split('.').rev();
    let last = parts.next().filter(|last| !last.is_empty()).ok_or("names no key")?;
    let folders: Vec<&str> = parts.rev().collect();
    let mut at = table;
    for name in folders {
        let below = at.entry(name).or_insert_with(|| toml::Table::new().into());
        at = below.as_table_mut().ok_or("goes below a key that is a plain value")?;
    }
    let read: Option<toml::Value> =
        format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    at.insert(last.to_owned(), read.unwrap_or_else(|| value.to_owned().into()));
    Ok(())
}

fn default_store() -> String {
    "redb:store.redb".to_owned()
}

fn default_blobs() -> PathBuf {
    "blobs".into()
}

fn default_ca() -> PathBuf {
    "ca".into()
}

fn default_keys() -> PathBuf {
    "keys".into()
}

fn default_control() -> PathBuf {
    "control.sock".into()
}

fn default_retention_days() -> u32 {
    30
}

fn default_reserve_mib() -> u64 {
    64
}

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port)
}

impl Default for DevicePlane {
    fn default() -> Self {
        Self {
            listen: everywhere(8443),
            checkin_s: limits::CHECKIN_S,
            requests: 300,
            requests_per_minute: 600,
        }
    }
}

impl Default for OperatorPlane {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 8080) }
    }
}

impl Default for Scrub {
    fn default() -> Self {
        Self { days: 7, mib_per_s: 8 }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self { recipient: None, folder: None, every_hours: 24, keep: 14 }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            handshakes: limits::HANDSHAKES,
            requests: 1024,
            handshake_s: limits::TLS_HANDSHAKE_S,
            headers_s: limits::HEADERS_S,
            idle_s: limits::IDLE_CONNECTION_S,
            drain_s: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use cordon_server_core::admit::Admit;

    use super::*;

    fn parse(text: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        Config::parse(text, &overrides, PathBuf::from("/srv/cordon"))
    }

    #[test]
    fn one_line_is_enough_and_paths_start_at_the_file() {
        // Goal: defaults of the fixed interface. Method: the smallest file.
        let config = parse("host = 'cordon.example'", &[]).expect("enough");
        assert_eq!(config.device.listen.to_string(), "0.0.0.0:8443");
        assert_eq!(config.enrolment.listen.to_string(), "0.0.0.0:8444");
        assert_eq!(config.operator.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.path(&config.blobs), Path::new("/srv/cordon/blobs"));
        assert!(!config.is_loopback_only());
        assert_eq!(config.certificate_names(), ["127.0.0.1", "::1", "cordon.example", "localhost"]);
    }

    #[test]
    fn overrides_reach_any_key_and_read_as_toml_or_text() {
        // Goal: `--set KEY=VALUE`. Method: an address, a number, a list, a new table; then what must be refused.
        let sets = [
            "device.listen=127.0.0.1:0",
            "enrolment.listen=127.0.0.1:0",
            "device.checkin_s=2",
            "names=['a','b']",
            "log=debug",
        ];
        let config = parse("host = 'x'\n[device]\ncheckin_s = 60", &sets).expect("fits");
        assert_eq!((config.device.checkin_s, config.log), (2, LogLevel::Debug));
        assert!(config.is_loopback_only());
        for (change, words) in [
            ("device", "KEY=VALUE"),
            ("=1", "names no key"),
            ("host.x=1", "plain value"),
            ("device.lisden=127.0.0.1:0", "unknown field"),
        ] {
            let error = parse("host = 'x'", &[change]).expect_err(change);
            assert!(error.to_string().contains(words), "{change}: {error}");
        }
    }

    #[test]
    fn two_planes_on_one_port_need_a_name_of_their_own() {
        // Goal: one port by SNI. Method: one address for both, the certificate's names, an address as host, port 0.
        let one = ["device.listen=127.0.0.1:8443", "enrolment.listen=127.0.0.1:8443"];
        let config = parse("host = 'cordon.example'", &one).expect("fits");
        assert!(config.shares_port());
        assert!(config.certificate_names().contains(&"enrol.cordon.example".to_owned()));
        let error = parse("host = '192.0.2.7'", &one).expect_err("has no name").to_string();
        assert!(error.contains("share a port") && error.contains("192.0.2.7"), "{error}");
        let free = ["device.listen=127.0.0.1:0", "enrolment.listen=127.0.0.1:0"];
        assert!(!parse("host = '192.0.2.7'", &free).expect("fits").shares_port());
        assert!(!parse("host = 'x'", &[]).expect("fits").shares_port());
    }

    #[test]
    fn a_maker_is_an_anchor_that_lets_in_the_expected_alone_unless_it_says_more() {
        // Goal: `[[enrolment.anchor]]`. Method: the least and the most that can be said; a misspelt word.
        let least = "host = 'x'\n[[enrolment.anchor]]\nname = 'halden'\ncertificates = 'halden.pem'\nmanufacturer = 'Halden'\n";
        let config = parse(least, &[]).expect("enough");
        let anchor = config.enrolment.anchor[0].anchor();
        assert_eq!((anchor.admit, anchor.require_binding, anchor.models.len()), (Admit::Expected, false, 0));
        assert!(!config.enrolment.terms().approval_queue && !config.enrolment.tls12);
        let more = format!("{least}models = ['VP-3']\nadmit = 'approval'\nrequire_binding = true\n");
        let anchor = parse(&more, &[]).expect("fits").enrolment.anchor[0].anchor();
        assert_eq!((anchor.admit, anchor.require_binding, anchor.models.len()), (Admit::Approval, true, 1));
        assert!(parse(&format!("{least}admit = 'everybody'\n"), &[]).is_err());
    }

    #[test]
    fn limits_can_be_tightened_and_never_loosened() {
        // Goal: the limits hold. Method: the edge and one beyond, for each kind of figure.
        assert!(parse("host = 'x'", &["limits.headers_s=1", "limits.connections=8"]).is_ok());
        for change in [
            "limits.headers_s=6",
            "limits.headers_s=0",
            "limits.handshake_s=6",
            "limits.idle_s=61",
            "limits.connections=5000",
            "reserve_mib=0",
            "scrub.mib_per_s=0",
            "scrub.days=0",
            "backup.every_hours=0",
            "backup.keep=0",
            "backup.folder=backups",
            "enrolment.leaf_days=91",
            "enrolment.grace_days=91",
            "enrolment.approval_retry_s=0",
            "device.checkin_s=0",
            "host=",
            "host='a b'",
        ] {
            let error = parse("host = 'x'", &[change]).expect_err(change);
            assert!(matches!(error, ConfigError::Bounds { .. }), "{change}: {error}");
        }
    }
}
