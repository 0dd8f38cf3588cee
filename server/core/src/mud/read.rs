//! A MUD file from bytes: the container `ietf-mud:mud` and the access lists it names.
//!
//! Module prefixes of names are passed over, so that a file that repeats them, or does not, reads the same. Names of lists
//! and entries are unique where RFC 8519 has them as keys. Read next: [`super::entry`].

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::canonical::{Fields, Value};
use cordon_proto::limits;

use super::{Kind, List, MudError, MudFile, entry};

/// Hours for which a file may be kept where it does not say.
const CACHE_HOURS: u64 = 48;
/// What a maker says of a device in words.
const WORDS: [&str; 9] = [
    "systeminfo",
    "mfg-name",
    "model-name",
    "firmware-rev",
    "software-rev",
    "documentation",
    "mud-signature",
    "masa-server",
    "sbom-url",
];
/// What else stands in the container.
const KNOWN: [&str; 8] = [
    "mud-version",
    "mud-url",
    "last-update",
    "cache-validity",
    "is-supported",
    "extensions",
    "from-device-policy",
    "to-device-policy",
];

/// Reads a file.
///
/// # Errors
/// The first thing that is wrong, where, and what to do.
pub fn read(bytes: &[u8]) -> Result<MudFile, MudError> {
    if bytes.len() > limits::MUD_BYTES {
        return Err(MudError::TooLong);
    }
    let document = Value::parse(bytes, limits::MUD_BYTES)?;
    let top = document.map()?;
    let mud = top.map(long(&top, "mud").unwrap_or("ietf-mud:mud"))?;
    let version = mud.unsigned("mud-version")?;
    if version != 1 {
        return Err(MudError::Version(version));
    }
    let lists_at = long(&top, "acls").or_else(|| long(&top, "access-lists")).ok_or(MudError::NoLists)?;
    let lists = lists(&top.map(lists_at)?)?;
    let mut passed_over = Vec::new();
    for name in mud.entries().keys() {
        if !WORDS.contains(&short(name)) && !KNOWN.contains(&short(name)) {
            passed_over.push(format!("mud.{name}"));
        }
    }
    let mut words = Vec::new();
    for word in WORDS {
        if let Some(text) = long(&mud, word).map(|name| mud.optional_text(name)).transpose()?.flatten() {
            words.push((word, cut(text)));
        }
    }
    let file = MudFile {
        url: cut(mud.text("mud-url")?),
        last_update: cut(mud.text("last-update")?),
        cache_hours: mud.optional_unsigned("cache-validity")?.unwrap_or(CACHE_HOURS),
        supported: mud.bool("is-supported")?,
        words,
        extensions: texts(&mud, "extensions")?,
        from_device: policy(&mud, "from-device-policy")?,
        to_device: policy(&mud, "to-device-policy")?,
        lists,
        passed_over,
    };
    let missing = |name: &&String| !file.lists.iter().any(|list| list.name == **name);
    match file.from_device.iter().chain(&file.to_device).find(missing) {
        Some(name) => Err(MudError::MissingList(name.clone())),
        None => Ok(file),
    }
}

/// The name of a field without its module.
pub(super) fn short(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, short)| short)
}

/// The name under which a field stands, with or without its module.
pub(super) fn long<'a>(fields: &Fields<'a>, wanted: &str) -> Option<&'a str> {
    fields.entries().keys().map(String::as_str).find(|name| short(name) == wanted)
}

/// A text within the bounds of texts.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(limits::TEXT_CHARS).collect()
}

fn texts(fields: &Fields<'_>, name: &str) -> Result<Vec<String>, MudError> {
    let Some(Value::List(items)) = fields.optional(name) else { return Ok(Vec::new()) };
    let text = |item: &Value| match item {
        Value::Text(text) => Some(cut(text)),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::List(_) | Value::Map(_) => None,
    };
    Ok(items.iter().filter_map(text).take(limits::MUD_LISTS).collect())
}

/// The names of the lists of a policy; none where there is no policy.
fn policy(mud: &Fields<'_>, name: &str) -> Result<Vec<String>, MudError> {
    let Some(at) = long(mud, name) else { return Ok(Vec::new()) };
    let policy = mud.map(at)?;
    let Some(at) = long(&policy, "access-lists") else { return Ok(Vec::new()) };
    let lists = policy.map(at)?;
    let named = lists.maps("access-list")?;
    if named.len() > limits::MUD_LISTS {
        return Err(MudError::TooMany);
    }
    named.iter().map(|one| Ok(one.text("name")?.to_owned())).collect()
}

fn lists(container: &Fields<'_>) -> Result<Vec<List>, MudError> {
    let mut lists: Vec<List> = Vec::new();
    let mut left = limits::MUD_ENTRIES;
    let all = container.maps("acl")?;
    if all.len() > limits::MUD_LISTS {
        return Err(MudError::TooMany);
    }
    for acl in &all {
        let name = acl.text("name")?.to_owned();
        if lists.iter().any(|other| other.name == name) {
            return Err(MudError::Twice(name));
        }
        let kind = match acl.optional_text("type")?.map(short) {
            Some("ipv4-acl-type") => Kind::Ipv4,
            Some("ipv6-acl-type") => Kind::Ipv6,
            Some("eth-acl-type" | "ethernet-acl-type") => Kind::Ethernet,
            Some(_) | None => Kind::Mixed,
        };
        let mut list = List { name, kind, entries: Vec::new() };
        // A list without entries is one that says nothing.
        if acl.optional("aces").is_some() {
            let aces = acl.map("aces")?;
            for ace in &aces.maps("ace")? {
                left = left.checked_sub(1).ok_or(MudError::TooMany)?;
                let entry = entry::read(ace, &list)?;
                if list.entries.iter().any(|other| other.name == entry.name) {
                    return Err(MudError::Twice(format!("{} in {}", entry.name, list.name)));
                }
                list.entries.push(entry);
            }
        }
        lists.push(list);
    }
    Ok(lists)
}
