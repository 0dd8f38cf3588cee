//! The components of an inventory that an agent took: rows of packages, placed by what the host says of itself.
//!
//! A host that advisories cannot be placed on keeps its packages: they end as unjudged, under the host's own name. A row of
//! a kind that is not known here is counted, never dropped in silence. Read next: [`super::component`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::inventory::{Inventory, Section};

use super::component::Component;
use super::ecosystem::{Ecosystem, Host, NoRelease};

/// What an inventory holds for matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The components.
    pub components: Vec<Component>,
    /// Where the host's own packages stand.
    pub place: Result<Ecosystem, NoRelease>,
    /// Rows of packages that are of no known kind, or incomplete.
    pub not_understood: usize,
    /// What the agent itself could not read.
    pub unread: Vec<String>,
}

/// The components of an inventory.
#[must_use]
pub fn components(inventory: &Inventory) -> Found {
    let field = |key: &str| inventory.field(Section::System, key).unwrap_or_default();
    let id = field("id");
    let place = Ecosystem::of_host(Host {
        id,
        id_like: field("id-like"),
        version_id: field("version-id"),
        codename: field("version-codename"),
        pretty_name: field("pretty-name"),
    });
    let own = || Ecosystem::new(if id.is_empty() { "a host without a name" } else { id }, None);
    let ecosystem = place.clone().unwrap_or_else(|_| own());
    let mut found = Found { components: Vec::new(), place, not_understood: 0, unread: Vec::new() };
    for row in inventory.section(Section::Package) {
        match component(&ecosystem, row.key.as_str(), &row.fields) {
            Some(component) => found.components.push(component),
            None => found.not_understood += 1,
        }
    }
    found.unread.extend(inventory.section(Section::Unread).map(|row| row.key.as_str().into()));
    found
}

/// A row `deb/name/architecture` with version, source package, its version.
fn component(ecosystem: &Ecosystem, key: &str, fields: &[String]) -> Option<Component> {
    let (kind, rest) = key.split_once('/')?;
    let (name, _) = rest.split_once('/')?;
    let ("deb", [_, source, source_version]) = (kind, fields) else { return None };
    Some(Component::new(ecosystem.clone(), source, source_version).with_binary(name))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use cordon_proto::ids::Text;
    use cordon_proto::inventory::Row;

    use super::*;

    #[test]
    fn packages_are_placed_by_the_host_or_stay_unjudged() {
        // Goal: a derivative's packages are neither Debian's nor gone. Method: the same rows under two hosts, one row of a
        // kind that is not known.
        let row = |section, key: &str, fields: &[&str]| Row {
            section,
            key: Text::lossy(key),
            fields: fields.iter().map(|field| (*field).to_string()).collect(),
        };
        let of = |id: &str| {
            Inventory::new(vec![
                row(Section::System, "id", &[id]),
                row(Section::System, "version-id", &["12"]),
                row(Section::Package, "deb/pumpd/arm64", &["1:2-3+b1", "pump", "1:2-3"]),
                row(Section::Package, "strange/x/y", &["1"]),
                row(Section::Unread, "var/lib/x", &["no"]),
            ])
        };
        let found = components(&of("debian"));
        assert_eq!(found.place.map(|place| place.to_string()).as_deref(), Ok("Debian:12"));
        assert_eq!(
            found.components,
            [Component::new(Ecosystem::debian("12"), "pump", "1:2-3").with_binary("pumpd")]
        );
        assert_eq!((found.not_understood, found.unread), (1, vec!["var/lib/x".to_string()]));
        let found = components(&of("raspbian"));
        assert_eq!(found.components[0].ecosystem.to_string(), "raspbian");
    }
}
