//! What is installed in the fleet: each component once, each distinct set of components once, and which devices have it.
//!
//! Twenty thousand devices are of a few hundred images, and images of one system share most packages. So a component is kept
//! once with a number, a composition is a sorted list of numbers under the hash of its rows, and a device is a pointer to its
//! composition. From a package the way leads back: its components, the compositions that hold one, their devices. Read next:
//! [`super::answers`], which asks about them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::inventory::{Inventory, Section};
use sha2::{Digest, Sha256 as Hasher};

use crate::matching::component::{Component, ComponentSet};
use crate::matching::ecosystem::Ecosystem;
use crate::matching::inventory;

/// Rows of the host that decide where its packages belong, beside the packages themselves.
const HOST: [&str; 5] = ["id", "id-like", "version-id", "version-codename", "pretty-name"];

/// What is installed in the fleet.
#[derive(Debug, Default)]
pub struct Holdings {
    numbers: BTreeMap<Arc<Component>, u32>,
    components: BTreeMap<u32, Kept>,
    compositions: BTreeMap<Sha256, Composition>,
    of_device: BTreeMap<DeviceId, Sha256>,
    next: u32,
    version: u64,
}

#[derive(Debug)]
struct Kept {
    component: Arc<Component>,
    /// In how many compositions it is.
    uses: u32,
}

/// A distinct set of components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Composition {
    /// Its components by number, sorted.
    pub parts: Vec<u32>,
    /// Rows of packages that were not understood.
    pub not_understood: u32,
    /// What the agent itself could not read.
    pub unread: u32,
    /// The operating system and its version, as os-release says.
    pub os: Option<(String, String)>,
    /// Until when its maker supports it, as os-release says: a date.
    pub support_end: Option<String>,
    devices: BTreeSet<DeviceId>,
}

/// An inventory with the hash of the composition that it is, found once.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    inventory: &'a Inventory,
    composition: Sha256,
}

impl<'a> From<&'a Inventory> for Listed<'a> {
    fn from(inventory: &'a Inventory) -> Self {
        Self { inventory, composition: digest(inventory) }
    }
}

impl<'a> Listed<'a> {
    /// The inventory.
    #[must_use]
    pub fn inventory(&self) -> &'a Inventory {
        self.inventory
    }

    /// The hash of its composition.
    #[must_use]
    pub fn composition(&self) -> Sha256 {
        self.composition
    }
}

impl Composition {
    /// The devices that have it.
    #[must_use]
    pub fn devices(&self) -> &BTreeSet<DeviceId> {
        &self.devices
    }
}

/// How much is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Distinct components.
    pub components: usize,
    /// Distinct compositions.
    pub compositions: usize,
    /// Devices with an inventory.
    pub devices: usize,
}

impl Holdings {
    /// Takes a device's inventory, in place of the one that was held.
    pub fn put<'a>(&mut self, device: DeviceId, listed: impl Into<Listed<'a>>) {
        let Listed { inventory, composition: digest } = listed.into();
        if self.of_device.get(&device) == Some(&digest) {
            return;
        }
        self.remove(device);
        if !self.compositions.contains_key(&digest) {
            let composition = self.compose(inventory);
            self.compositions.insert(digest, composition);
        }
        if let Some(composition) = self.compositions.get_mut(&digest) {
            composition.devices.insert(device);
        }
        self.of_device.insert(device, digest);
        self.version += 1;
    }

    /// Forgets a device.
    pub fn remove(&mut self, device: DeviceId) {
        let Some(digest) = self.of_device.remove(&device) else { return };
        self.version += 1;
        let Some(composition) = self.compositions.get_mut(&digest) else { return };
        composition.devices.remove(&device);
        if !composition.devices.is_empty() {
            return;
        }
        let parts = self.compositions.remove(&digest).map(|gone| gone.parts).unwrap_or_default();
        for part in parts {
            let Some(kept) = self.components.get_mut(&part) else { continue };
            kept.uses = kept.uses.saturating_sub(1);
            if kept.uses == 0
                && let Some(gone) = self.components.remove(&part)
            {
                self.numbers.remove(&gone.component);
            }
        }
    }

    fn compose(&mut self, from: &Inventory) -> Composition {
        let found = inventory::components(from);
        let set = ComponentSet::new(found.components);
        let mut parts: Vec<u32> = set.items().iter().map(|component| self.intern(component)).collect();
        parts.sort_unstable();
        let field =
            |key| from.field(Section::System, key).filter(|text| !text.is_empty()).map(ToString::to_string);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Composition {
            parts,
            not_understood: number(found.not_understood),
            unread: number(found.unread.len()),
            os: field("id").zip(field("version-id")),
            support_end: field("support-end"),
            devices: BTreeSet::new(),
        }
    }

    fn intern(&mut self, component: &Component) -> u32 {
        if let Some(number) = self.numbers.get(component) {
            if let Some(kept) = self.components.get_mut(number) {
                kept.uses += 1;
            }
            return *number;
        }
        // Numbers are never used again: what was found out about one would be told of another.
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let component = Arc::new(component.clone());
        self.numbers.insert(component.clone(), number);
        self.components.insert(number, Kept { component, uses: 1 });
        number
    }

    /// A number that rises whenever a device's composition changes.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How much is held.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            components: self.components.len(),
            compositions: self.compositions.len(),
            devices: self.of_device.len(),
        }
    }

    /// The composition of a device, by its hash.
    #[must_use]
    pub fn of(&self, device: DeviceId) -> Option<(&Sha256, &Composition)> {
        self.of_device.get(&device).and_then(|digest| self.compositions.get_key_value(digest))
    }

    /// The hash of a device's composition.
    #[must_use]
    pub fn digest_of(&self, device: DeviceId) -> Option<&Sha256> {
        self.of_device.get(&device)
    }

    /// A composition by its hash, if some device has it.
    #[must_use]
    pub fn composition(&self, digest: &Sha256) -> Option<&Composition> {
        self.compositions.get(digest)
    }

    /// Whether some device has this composition.
    #[must_use]
    pub fn has_composition(&self, digest: &Sha256) -> bool {
        self.compositions.contains_key(digest)
    }

    /// The component of a number.
    #[must_use]
    pub fn component(&self, number: u32) -> Option<&Arc<Component>> {
        self.components.get(&number).map(|kept| &kept.component)
    }

    /// All components with their numbers.
    pub fn components(&self) -> impl Iterator<Item = (u32, &Arc<Component>)> {
        self.components.iter().map(|(number, kept)| (*number, &kept.component))
    }

    /// All compositions.
    pub fn compositions(&self) -> impl Iterator<Item = &Composition> {
        self.compositions.values()
    }

    /// The components of a package, backports counted to the release that they were rebuilt from.
    pub fn of_package<'a>(
        &'a self,
        ecosystem: &'a Ecosystem,
        name: &'a str,
    ) -> impl Iterator<Item = (u32, &'a Arc<Component>)> {
        let is_from = move |component: &Component| match component.backport() {
            None => component.ecosystem == *ecosystem,
            Some((from, _)) => from == *ecosystem || component.ecosystem == *ecosystem,
        };
        let places = self.ecosystems_of(ecosystem);
        places
            .into_iter()
            .flat_map(move |place| self.named(&place, name))
            .filter(move |(_, one)| is_from(one))
    }

    /// The ecosystem itself, and of Debian each release: a backport stands in one and is judged by another.
    fn ecosystems_of(&self, ecosystem: &Ecosystem) -> Vec<Ecosystem> {
        if ecosystem.family() != "Debian" {
            return Vec::from([ecosystem.clone()]);
        }
        let mut found = Vec::new();
        let mut from = Component::new(Ecosystem::new("Debian", None), "", "");
        while let Some((next, _)) =
            self.numbers.range::<Component, _>((Bound::Excluded(&from), Bound::Unbounded)).next()
            && next.ecosystem.family() == "Debian"
        {
            found.push(next.ecosystem.clone());
            from = Component::new(next.ecosystem.clone(), "\u{10ffff}", "");
        }
        found
    }

    fn named(&self, ecosystem: &Ecosystem, name: &str) -> Vec<(u32, &Arc<Component>)> {
        let first = Component::new(ecosystem.clone(), name, "");
        let all = self.numbers.range::<Component, _>((Bound::Included(&first), Bound::Unbounded));
        let own = all.take_while(|(held, _)| held.ecosystem == *ecosystem && held.name == first.name);
        own.map(|(component, number)| (*number, component)).collect()
    }
}

/// What makes two inventories one composition: their packages, where they belong, what was not read.
fn digest(inventory: &Inventory) -> Sha256 {
    let mut hasher = Hasher::new();
    let mut text = |text: &str| {
        hasher.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    for key in HOST.into_iter().chain(["support-end"]) {
        text(inventory.field(Section::System, key).unwrap_or_default());
    }
    for section in [Section::Package, Section::Unread] {
        for row in inventory.section(section) {
            text(row.key.as_str());
            row.fields.iter().for_each(|field| text(field));
            text("\0");
        }
        text("\0\0");
    }
    Sha256(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::fixture::{device, inventory};

    #[test]
    fn devices_of_one_image_share_one_composition_and_images_share_components() {
        // Goal: memory goes by what is different. Method: three devices, two of one image, then all gone.
        let mut holdings = Holdings::default();
        let both = inventory("12", &[("pump", "1"), ("valve", "1")]);
        holdings.put(device(1), &both);
        holdings.put(device(2), &both);
        holdings.put(device(3), &inventory("12", &[("pump", "1"), ("valve", "2")]));
        let counts = |components, compositions, devices| Counts { components, compositions, devices };
        assert_eq!(holdings.counts(), counts(3, 2, 3));
        let version = holdings.version();
        holdings.put(device(1), &both);
        assert_eq!(holdings.version(), version, "nothing new was told");
        holdings.put(device(2), &inventory("12", &[("pump", "2")]));
        assert_eq!(holdings.counts(), counts(4, 3, 3));
        for number in 1..=3 {
            holdings.remove(device(number));
        }
        assert_eq!(holdings.counts(), Counts::default());
        assert!(holdings.numbers.is_empty());
    }

    #[test]
    fn a_package_leads_to_its_components_also_those_rebuilt_for_another_release() {
        // Goal: a new advisory finds its devices and no others. Method: two releases, a backport, a neighbour by name.
        let mut holdings = Holdings::default();
        holdings.put(device(1), &inventory("12", &[("pump", "1"), ("pumpd", "1"), ("valve", "3~bpo12+1")]));
        holdings.put(device(2), &inventory("13", &[("pump", "1"), ("valve", "3")]));
        let found = |release: &str, name: &str| {
            let ecosystem = Ecosystem::debian(release);
            let all = holdings.of_package(&ecosystem, name);
            all.map(|(_, one)| alloc::format!("{} {}", one.ecosystem, one.version)).collect::<Vec<_>>()
        };
        assert_eq!(found("12", "pump"), ["Debian:12 1"]);
        assert_eq!(found("13", "valve"), ["Debian:12 3~bpo12+1", "Debian:13 3"]);
        assert_eq!(found("12", "valve"), ["Debian:12 3~bpo12+1"]);
        assert!(found("11", "pump").is_empty() && found("12", "p").is_empty());
    }
}
