//! What the machine says it is: DMI (SMBIOS) or device tree.
//!
//! Makers leave place-holders there; those count as unknown. [`identity`] is for devices whose image does not state
//! their hardware itself.

use cordon_proto::ids::{Hardware, Text};
use cordon_proto::inventory::Section;

use super::{Root, Rows};

const DMI: &str = "sys/class/dmi/id";
const TREE: &str = "proc/device-tree";
/// What makers forget to fill in, in lower case.
const PLACE_HOLDERS: [&str; 11] = [
    "",
    "0",
    "none",
    "n/a",
    "default string",
    "not specified",
    "not available",
    "system manufacturer",
    "system product name",
    "system serial number",
    "to be filled by o.e.m.",
];

/// Adds the rows of the hardware's own word.
pub fn read(root: &Root, rows: &mut Rows) {
    rows.add_known(Section::Hardware, "manufacturer", manufacturer(root).as_deref());
    rows.add_known(Section::Hardware, "product", product(root).as_deref());
    rows.add_known(Section::Hardware, "board", board(root).as_deref());
}

/// The hardware identity as DMI or the device tree state it; `None` unless maker, model and serial number are all there.
/// A DMI serial number is readable by root alone.
#[must_use]
pub fn identity(root: &Root) -> Option<Hardware> {
    let serial =
        dmi(root, "product_serial").or_else(|| stated(root.line(&format!("{TREE}/serial-number"))))?;
    Some(Hardware {
        manufacturer: Text::lossy(&manufacturer(root)?),
        model: Text::lossy(&product(root)?),
        revision: Text::lossy(board(root).as_deref().unwrap_or(super::UNKNOWN)),
        serial: Text::lossy(&serial),
    })
}

fn manufacturer(root: &Root) -> Option<String> {
    dmi(root, "sys_vendor").or_else(|| {
        // `compatible` is a list of "maker,board" (Devicetree Specification 2.3.1).
        let compatible = root.text(&format!("{TREE}/compatible")).ok()?;
        stated(compatible.split_once(',').map(|(maker, _)| maker.to_owned()))
    })
}

fn product(root: &Root) -> Option<String> {
    dmi(root, "product_name").or_else(|| stated(root.line(&format!("{TREE}/model"))))
}

fn board(root: &Root) -> Option<String> {
    dmi(root, "product_version").or_else(|| dmi(root, "board_version"))
}

fn dmi(root: &Root, name: &str) -> Option<String> {
    stated(root.line(&format!("{DMI}/{name}")))
}

fn stated(value: Option<String>) -> Option<String> {
    value.filter(|value| !PLACE_HOLDERS.contains(&value.trim().to_lowercase().as_str()))
}
