//! The list of a scope: the devices that a person names, one a line, and the root that their list makes.
//!
//! A line is `MANUFACTURER<TAB>MODEL<TAB>SERIAL`, from which `H` is computed here, or the 64 digits of an `H` and a
//! remark. The order of lines does not matter: the tree is over the sorted hashes, each once (decision 0002). Read next:
//! `cordon_proto::merkle`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use cordon_proto::ids::{Hardware, HardwareId, Sha256, Text};
use cordon_proto::{limits, merkle};

use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::plain;

/// Bytes of a list: a line has about a hundred.
const LIST_BYTES: u64 = 128 * limits::SCOPE_SET;

/// The devices of one scope.
#[derive(Clone, Debug)]
pub struct ScopeList {
    devices: BTreeMap<HardwareId, Listed>,
}

#[derive(Clone, Debug)]
struct Listed {
    name: String,
    model: Option<Text>,
}

impl ScopeList {
    /// Reads a list.
    ///
    /// # Errors
    /// A line cannot be read, a device stands twice, or there are none or too many.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_file(path, LIST_BYTES)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| refused(path, 0, &error))?;
        Self::parse(text).map_err(|(line, why)| refused(path, line, &why))
    }

    /// Reads the text of a list; an error has the number of its line.
    ///
    /// # Errors
    /// As for [`ScopeList::read`].
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut devices = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (identity, listed) = device(line).map_err(|why| (number, why))?;
            if devices.insert(identity, listed).is_some() {
                return Err((number, "this device stands in the list twice".to_owned()));
            }
        }
        let list = Self { devices };
        match list.count() {
            0 => Err((0, "the list names no device".to_owned())),
            count if count > limits::SCOPE_SET => {
                Err((0, format!("more than {} devices", limits::SCOPE_SET)))
            }
            _ => Ok(list),
        }
    }

    /// Devices in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.devices.len()).unwrap_or(u64::MAX)
    }

    /// The root over the sorted `H`.
    #[must_use]
    pub fn root(&self) -> Sha256 {
        Sha256(merkle::root(self.devices.keys().map(|identity| identity.0)))
    }

    /// Whether a device is in it.
    #[must_use]
    pub fn contains(&self, identity: &HardwareId) -> bool {
        self.devices.contains_key(identity)
    }

    /// The hardware identities, sorted.
    pub fn identities(&self) -> impl Iterator<Item = &HardwareId> {
        self.devices.keys()
    }

    /// The devices of which `seen` says no, with the list's words for them.
    #[must_use]
    pub fn without(&self, seen: impl Fn(&HardwareId) -> bool) -> Vec<(HardwareId, String)> {
        let unseen = self.devices.iter().filter(|(identity, _)| !seen(identity));
        unseen.map(|(identity, listed)| (*identity, listed.name.clone())).collect()
    }

    /// The devices, one a line.
    #[must_use]
    pub fn lines(&self) -> String {
        self.devices.iter().map(|(identity, listed)| format!("    {identity}  {}\n", listed.name)).collect()
    }

    /// Refuses a list with devices of another model, as far as the list says.
    ///
    /// # Errors
    /// The first device of another model.
    pub fn only_model(&self, model: &Text) -> Result<(), String> {
        let other =
            self.devices.values().find(|listed| listed.model.as_ref().is_some_and(|other| other != model));
        match other {
            Some(listed) => {
                Err(format!("{} is no {model}: the release could not be installed on it", listed.name))
            }
            None => Ok(()),
        }
    }
}

fn refused(path: &Path, line: usize, why: &dyn Display) -> Failure {
    Failure::refused("unusable list", format!("{} line {line}: {why}", path.display()))
}

fn device(line: &str) -> Result<(HardwareId, Listed), String> {
    let columns: Vec<_> = line.split('\t').collect();
    if let [manufacturer, model, serial] = columns.as_slice() {
        let text = |text: &str| text.parse::<Text>().map_err(|error| format!("`{}`: {error}", plain(text)));
        let model = text(model)?;
        // The revision is not part of `H`.
        let hardware = Hardware {
            manufacturer: text(manufacturer)?,
            model: model.clone(),
            revision: text("-")?,
            serial: text(serial)?,
        };
        return Ok((hardware.identity(), Listed { name: plain(&columns.join(" ")), model: Some(model) }));
    }
    let (digits, remark) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let form =
        || "write MANUFACTURER, MODEL and SERIAL parted by tabs, or the 64 digits of a hardware identity";
    let identity = digits.parse().map_err(|_| form().to_owned())?;
    Ok((identity, Listed { name: plain(remark.trim()), model: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_makes_the_root_of_the_sorted_identities() {
        // Goal: the root that the devices prove against. Method: both spellings of the same devices in any order,
        // beside a tree made by hand.
        let list = ScopeList::parse("# ward 3\nHalden\tVP-3\t2\nHalden\tVP-3\t1\r\n\n").unwrap();
        let mut identities: Vec<HardwareId> = list.devices.keys().copied().collect();
        let hardware = |serial: &str| Hardware {
            manufacturer: "Halden".parse().unwrap(),
            model: "VP-3".parse().unwrap(),
            revision: "any".parse().unwrap(),
            serial: serial.parse().unwrap(),
        };
        let mut wanted = [hardware("1").identity(), hardware("2").identity()];
        wanted.sort();
        assert_eq!(identities, wanted);
        assert_eq!(list.root().0, merkle::node_hash(&wanted[0].0, &wanted[1].0));
        identities.reverse();
        let digits: String = identities.iter().map(|identity| format!("{identity} a remark\n")).collect();
        assert_eq!(ScopeList::parse(&digits).unwrap().root(), list.root());
        assert!(list.only_model(&"VP-3".parse().unwrap()).is_ok());
        assert!(list.only_model(&"VP-4".parse().unwrap()).is_err());
        assert!(list.contains(&wanted[0]) && list.count() == 2);
    }

    #[test]
    fn unreadable_doubled_and_empty_lists_are_refused_by_line() {
        // Goal: a person finds the line. Method: one fault each.
        let line = |text: &str| ScopeList::parse(text).unwrap_err().0;
        assert_eq!(line("# nothing\n"), 0);
        assert_eq!(line("Halden\tVP-3\t1\nHalden\tVP-3\t1\n"), 2);
        assert_eq!(line("\nHalden VP-3 1\n"), 2);
        assert_eq!(line("Halden\tVP-3\t\n"), 1);
        assert_eq!(line(&format!("{}\n", "0".repeat(63))), 1);
    }
}
