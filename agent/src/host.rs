//! The inventory: what the machine is made of, read from its own files, live or below a folder (`--root`).
//!
//! Reads are bounded, nothing is executed, nothing leaves the root it was given. What cannot be read becomes a row that
//! says so: unknown is never taken for no, and an absent row never looks safe. No host name, no user name, no process
//! arguments. Figures that change by the hour are [`machine`]'s. Read next: [`root`] for safe reading, [`packages`], [`posture`].

pub mod accounts;
pub mod attached;
pub mod declared;
pub mod drives;
pub mod hardware;
pub mod live;
pub mod machine;
pub mod packages;
pub mod posture;
pub mod root;
pub mod services;
pub mod signs;
pub mod system;

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};

use cordon_proto::ids::Text;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::limits;

pub use root::Root;

/// The value of a fact that could not be read.
pub const UNKNOWN: &str = "unknown";

/// Something whose inventory can be taken.
pub trait Host: Send {
    /// What it is made of now.
    fn inventory(&mut self) -> Inventory;
}

/// A machine, live or below a folder.
impl Host for Root {
    fn inventory(&mut self) -> Inventory {
        take(self)
    }
}

/// A machine that is described, for the simulator.
impl Host for Inventory {
    fn inventory(&mut self) -> Inventory {
        self.clone()
    }
}

/// Takes the inventory of a machine.
#[must_use]
pub fn take(root: &Root) -> Inventory {
    with(root, &[])
}

/// The same, with the signs that could not be looked at.
#[must_use]
pub fn with(root: &Root, unseen: &[signs::Unseen]) -> Inventory {
    let mut rows = Rows::default();
    for (sign, why) in unseen {
        rows.add(Section::Posture, &format!("sign/{sign}"), [UNKNOWN, why]);
    }
    system::read(root, &mut rows);
    hardware::read(root, &mut rows);
    packages::read(root, &mut rows);
    posture::read(root, &mut rows);
    accounts::read(root, &mut rows);
    declared::read(root, &mut rows);
    if root.is_live() {
        attached::read(root, &mut rows);
        live::read(root, &mut rows);
    }
    Inventory::new(rows.rows)
}

/// Rows in the making.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<Row>,
}

impl Rows {
    /// Adds a row. Values are cut to what a row may hold.
    pub fn add<'a>(&mut self, section: Section, key: &str, fields: impl IntoIterator<Item = &'a str>) {
        let fields = fields
            .into_iter()
            .take(limits::ROW_FIELDS)
            .map(|field| Text::lossy(field).as_str().to_owned())
            .collect();
        self.rows.push(Row { section, key: Text::lossy(key), fields });
    }

    /// Adds a row for a value that may not be known.
    pub fn add_known(&mut self, section: Section, key: &str, value: Option<&str>) {
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        self.add(section, key, [value.unwrap_or(UNKNOWN)]);
    }

    /// Says that a source could not be read. A source that does not exist is no trouble.
    pub fn unread(&mut self, source: &str, error: &io::Error) {
        if error.kind() != ErrorKind::NotFound {
            self.add(Section::Unread, source, [error.to_string().as_str()]);
        }
    }
}
