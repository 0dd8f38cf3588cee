//! Inventories of made-up Debians for the tests of this folder.

use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::inventory::{Inventory, Row, Section};

/// A device by a number.
pub(crate) fn device(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 16])
}

fn row(section: Section, key: &str, fields: &[&str]) -> Row {
    let fields = fields.iter().map(|field| (*field).to_string()).collect();
    Row { section, key: Text::lossy(key), fields }
}

/// The inventory of a Debian of this release with these source packages and versions.
pub(crate) fn inventory(release: &str, packages: &[(&str, &str)]) -> Inventory {
    let mut rows: Vec<Row> = packages
        .iter()
        .map(|(name, version)| {
            row(Section::Package, &alloc::format!("deb/{name}-bin/arm64"), &[version, name, version])
        })
        .collect();
    rows.push(row(Section::System, "id", &["debian"]));
    rows.push(row(Section::System, "version-id", &[release]));
    Inventory::new(rows)
}
