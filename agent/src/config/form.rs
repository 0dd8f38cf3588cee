//! The configuration as written: TOML, key by key, with the line of a mistake.
//!
//! It is read from the parsed document by hand: deriving it through serde costs the device program 70 KB more. No key
//! is skipped: an unknown one is refused by name. What the values mean is said in [`super`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use cordon_proto::ids::{Hardware, Name, Text};
use cordon_proto::limits;
use cordon_proto::update::release::InterlockClass;
use toml::de::{DeTable, DeValue};

use crate::host::signs::cabinet::Contact;

const KEYS: &str = "state, slots, boot, install, restart, hardware, image_root, timezone, interlock_socket, \
                    interlock, server, proxy, proxy_auth_file, metered, mirrors, image_kbit_s, key, \
                    clock_floor, health, trial_s, mud, packets, data, cabinet";

/// The file as written.
#[derive(Default)]
pub(super) struct File {
    pub(super) state: Option<PathBuf>,
    pub(super) slots: Option<[PathBuf; 2]>,
    pub(super) boot: Option<String>,
    pub(super) install: Option<String>,
    pub(super) restart: Vec<String>,
    pub(super) hardware: Option<Hardware>,
    pub(super) image_root: BTreeMap<Name, PathBuf>,
    pub(super) timezone: Option<String>,
    pub(super) interlock_socket: Option<PathBuf>,
    pub(super) interlock: Option<InterlockClass>,
    pub(super) server: Vec<IpAddr>,
    pub(super) proxy: Option<String>,
    pub(super) proxy_auth_file: Option<PathBuf>,
    pub(super) metered: Option<u32>,
    pub(super) mirrors: Vec<String>,
    pub(super) image_kbit_s: Option<u32>,
    pub(super) key: Option<String>,
    pub(super) clock_floor: Option<String>,
    pub(super) health: Option<HealthValue>,
    pub(super) trial_s: Option<u32>,
    pub(super) mud: Option<PathBuf>,
    pub(super) packets: Option<bool>,
    pub(super) data: Vec<String>,
    pub(super) cabinet: Vec<Contact>,
}

/// The two forms of `health`.
pub(super) enum HealthValue {
    Program(Vec<String>),
    Text(String),
}

impl File {
    /// Reads the text; the error is a sentence that names line and key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document = DeTable::parse(text).map_err(|error| error.to_string())?;
        let mut file = Self::default();
        for (key, value) in document.get_ref() {
            file.take(key.get_ref(), value.get_ref()).map_err(|wrong| {
                let before = text.get(..key.span().start).unwrap_or_default();
                format!("line {}: {wrong}", before.matches('\n').count() + 1)
            })?;
        }
        Ok(file)
    }

    fn take(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), String> {
        let must = |what: &str| format!("key `{key}` must be {what}");
        let text = || string(value).ok_or_else(|| must("a text"));
        match key {
            "state" => self.state = Some(text()?.into()),
            "slots" => self.slots = Some(slots(value).ok_or_else(|| must("two paths"))?),
            "boot" => self.boot = Some(text()?),
            "install" => self.install = Some(text()?),
            "restart" => {
                let words = strings(value).filter(|words| !words.is_empty());
                self.restart = words.ok_or_else(|| must("[\"program\", …]"))?;
            }
            "hardware" => self.hardware = Some(hardware(value)?),
            "image_root" => self.image_root = image_root(value)?,
            "timezone" => self.timezone = Some(text()?),
            "interlock_socket" => self.interlock_socket = Some(text()?.into()),
            "interlock" => {
                let form = || must("\"application\", \"person\", \"idle\" or \"none\"");
                self.interlock = Some(class(&text()?).ok_or_else(form)?);
            }
            "server" => {
                self.server = addresses(value).ok_or_else(|| must("one IP address or a list of them"))?
            }
            "proxy" => self.proxy = Some(text()?),
            "proxy_auth_file" => self.proxy_auth_file = Some(text()?.into()),
            "metered" => {
                let form = || must("true, false, or seconds between two reports, at most a week");
                self.metered = metered(value).ok_or_else(form)?;
            }
            "mirrors" => {
                let form = || {
                    must(
                        "a list of at most 7 addresses http://HOST:PORT/PATH, without a name or password, \
                         an international HOST in its xn-- form",
                    )
                };
                self.mirrors = mirrors(value).ok_or_else(form)?;
            }
            "image_kbit_s" => {
                let form = || must("kilobits a second, at least 256 and at most 10000000");
                self.image_kbit_s = Some(
                    whole(value, limits::IMAGE_KBIT_S_LEAST..=limits::IMAGE_KBIT_S_MOST).ok_or_else(form)?,
                );
            }
            "key" => self.key = Some(text()?),
            "mud" => self.mud = Some(text()?.into()),
            "data" => {
                let form = || must("a list of at most 8 folders, each from / on");
                let rooted = |all: &Vec<String>| all.iter().all(|place| place.starts_with('/'));
                self.data = few(value).filter(rooted).ok_or_else(form)?;
            }
            "cabinet" => {
                let form = || must("a list of at most 8 switches NAME:PATH=VALUE");
                let parsed = |all: Vec<String>| all.iter().map(|one| Contact::parse(one)).collect();
                self.cabinet = few(value).and_then(parsed).ok_or_else(form)?;
            }
            "packets" => self.packets = Some(value.as_bool().ok_or_else(|| must("true or false"))?),
            "clock_floor" => self.clock_floor = Some(text()?),
            "health" => {
                let form = || must("[\"program\", …] or \"file:PATH\"");
                self.health = Some(health(value).ok_or_else(form)?);
            }
            "trial_s" => {
                let form = || must("seconds, at least 1 and at most 3600");
                self.trial_s = Some(whole(value, 1..=limits::TRIAL_S.into()).ok_or_else(form)?);
            }
            _ => return Err(format!("unknown field `{key}`, expected one of {KEYS}")),
        }
        Ok(())
    }
}

/// A list of as many texts as there may be places of signs.
fn few(value: &DeValue<'_>) -> Option<Vec<String>> {
    strings(value).filter(|places| places.len() <= limits::SIGN_PLACES)
}

fn string(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn class(word: &str) -> Option<InterlockClass> {
    use InterlockClass::{Application, Idle, None, Person};
    [None, Idle, Person, Application].into_iter().find(|class| class.word() == word)
}

fn strings(value: &DeValue<'_>) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|word| string(word.get_ref())).collect()
}

fn slots(value: &DeValue<'_>) -> Option<[PathBuf; 2]> {
    let [a, b] = <[String; 2]>::try_from(strings(value)?).ok()?;
    Some([a.into(), b.into()])
}

fn addresses(value: &DeValue<'_>) -> Option<Vec<IpAddr>> {
    let words = string(value).map(|one| vec![one]).or_else(|| strings(value))?;
    words.iter().map(|word| word.parse().ok()).collect()
}

/// Seconds between two reports of a metered device; the inner `None` for one that is not metered.
fn metered(value: &DeValue<'_>) -> Option<Option<u32>> {
    match value {
        DeValue::Boolean(metered) => Some(metered.then_some(limits::METERED_CHECKIN_S)),
        value => whole(value, 1..=limits::METERED_CHECKIN_MAX_S.into()).map(Some),
    }
}

fn mirrors(value: &DeValue<'_>) -> Option<Vec<String>> {
    let mirrors = strings(value)?;
    // The server is one of them.
    if mirrors.len() >= limits::MIRRORS {
        return None;
    }
    mirrors.iter().map(|mirror| mirror_url(mirror)).collect()
}

/// Where a mirror is, without a slash at the end. Only plain HTTP: nothing depends on the carrier, and a certificate
/// here would promise what nobody checks.
fn mirror_url(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none();
    let plain = url.scheme() == "http" && url.query().is_none() && url.fragment().is_none();
    (bare && plain).then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// A whole number within bounds.
fn whole(value: &DeValue<'_>, bounds: RangeInclusive<u64>) -> Option<u32> {
    let DeValue::Integer(number) = value else { return None };
    let number = u32::from_str_radix(number.as_str(), number.radix()).ok()?;
    bounds.contains(&number.into()).then_some(number)
}

fn health(value: &DeValue<'_>) -> Option<HealthValue> {
    string(value).map(HealthValue::Text).or_else(|| strings(value).map(HealthValue::Program))
}

fn image_root(value: &DeValue<'_>) -> Result<BTreeMap<Name, PathBuf>, String> {
    let table = value.as_table().ok_or("key `image_root` must be { NAME = PATH, … }")?;
    let mut roots = BTreeMap::new();
    for (name, path) in table {
        let name = name.get_ref();
        let named: Name = name.parse().map_err(|error| format!("key `image_root`: `{name}`: {error}"))?;
        let path = string(path.get_ref()).ok_or_else(|| format!("key `image_root.{name}` must be a path"))?;
        roots.insert(named, path.into());
    }
    Ok(roots)
}

fn hardware(value: &DeValue<'_>) -> Result<Hardware, String> {
    const FORM: &str = "key `hardware` must be { manufacturer, model, revision, serial }";
    let table = value.as_table().ok_or(FORM)?;
    let text = |key: &str| -> Result<Text, String> {
        let value = table.get(key).ok_or_else(|| format!("{FORM}: `{key}` is missing"))?;
        let text = value.get_ref().as_str().ok_or_else(|| format!("key `hardware.{key}` must be a text"))?;
        text.parse().map_err(|error| format!("key `hardware.{key}`: {error}"))
    };
    let hardware = Hardware {
        manufacturer: text("manufacturer")?,
        model: text("model")?,
        revision: text("revision")?,
        serial: text("serial")?,
    };
    // All four are there, so a fifth is one that nobody reads.
    if table.len() == 4 { Ok(hardware) } else { Err(format!("{FORM} and nothing else")) }
}
