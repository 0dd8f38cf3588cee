//! From an advisory to its devices: what one weakness is to everything that is installed.
//!
//! Only components of the packages that the advisory names are asked, and only devices that have one are touched. Read next:
//! [`super::holdings`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::DeviceId;

use super::answers::Row;
use super::holdings::Holdings;
use super::world::World;

/// What people ask about: one weakness, or an advisory that speaks of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// As it was asked.
    pub name: String,
    /// Weaknesses of packages, by number.
    pub groups: Vec<u32>,
    /// Names under which advisories about devices know it.
    pub names: BTreeSet<String>,
}

impl World {
    /// What a name stands for: a CVE, another weakness, or an advisory by its own name. `None`: nothing here knows it.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Topic> {
        let mut topic = Topic { name: name.to_string(), ..Topic::default() };
        match self.index.group_of(name) {
            Some(group) => topic.groups.push(group),
            None => topic.groups = self.index.groups_of_record(name),
        }
        for advisory in self.catalogue.advisories() {
            for weakness in &advisory.weaknesses {
                let mut all = weakness.aliases.iter().chain([&weakness.id]);
                if advisory.id == name || all.any(|one| one == name) {
                    topic.names.insert(weakness.id.clone());
                }
            }
        }
        // A device advisory's CVE may be one of a package as well.
        if topic.groups.is_empty() {
            topic.groups = topic.names.iter().filter_map(|name| self.index.group_of(name)).collect();
        }
        (!topic.groups.is_empty() || !topic.names.is_empty()).then_some(topic)
    }

    /// What the components that are held say of a topic, by component: the worst of several weaknesses.
    #[must_use]
    pub fn components_about(&self, holdings: &Holdings, topic: &Topic) -> BTreeMap<u32, Row> {
        let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
        for group in &topic.groups {
            let name = self.index.group_name(*group);
            for (ecosystem, package) in self.index.packages(*group) {
                for (number, component) in holdings.of_package(&ecosystem, &package) {
                    for row in self.rows(component).into_iter().filter(|row| row.id == name) {
                        match rows.get_mut(&number) {
                            Some(held) if held.answer >= row.answer => {}
                            Some(held) => *held = row,
                            None => {
                                rows.insert(number, row);
                            }
                        }
                    }
                }
            }
        }
        rows
    }
}

/// The devices that have one of these components, each with the worst answer and whose it is; of several equal ones the first.
#[must_use]
pub fn devices_with<'a>(
    holdings: &Holdings,
    rows: &'a BTreeMap<u32, Row>,
) -> BTreeMap<DeviceId, (u32, &'a Row)> {
    let mut devices = BTreeMap::new();
    for composition in holdings.compositions() {
        let held = rows.iter().filter(|(number, _)| composition.parts.binary_search(number).is_ok());
        let Some((number, worst)) = held.reduce(|a, b| if b.1.answer > a.1.answer { b } else { a }) else {
            continue;
        };
        devices.extend(composition.devices().iter().map(|device| (*device, (*number, worst))));
    }
    devices
}
