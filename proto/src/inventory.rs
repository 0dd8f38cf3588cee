//! Inventory: what a device is made of, as rows that hash to one root.
//!
//! Rows are sorted by section and key, each at most once; the root is SHA-256 over the rows' SHA-256, so both sides
//! know in 32 bytes whether they agree. Unknown is a value of its own (`unknown`), never an absent row that looks safe.
//! No process arguments, user names of persons, or host names of peers belong here.

use alloc::string::String;
use alloc::vec::Vec;

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256 as Hasher};

use crate::ids::{Sha256, Text};
use crate::limits;
use crate::sorting::sort;
use crate::wire::{self, WireError};

pub mod apk;
pub mod database;
pub mod delta;
pub mod dpkg;
pub mod ndb;
pub mod node;
pub mod opkg;
pub mod packed;
pub mod python;
pub mod rpm;
pub mod sqlite;
pub mod text;

/// What a row is about.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Operating system: keys such as `id`, `version-id`, `pretty-name`, `kernel`, `architecture`, `boot-id`, `accounts-with-shell`.
    #[n(0)]
    System,
    /// Hardware as the machine says: `manufacturer`, `product`, `memory-bytes`, `cpus`, `disk-bytes`, `usb/vendor:product`, `serial/port`.
    #[n(1)]
    Hardware,
    /// A package: key `deb|apk|opkg|rpm/name/architecture`, fields version, source name, source version, module stream; or
    /// `pypi|npm/name/version`, field version. Of an `rpm` installed in several versions, all but one have `=version` in their key.
    #[n(2)]
    Package,
    /// A listening socket: key `protocol/address/port`, fields `device` or `network`, the program that holds it.
    #[n(3)]
    Listener,
    /// A security fact: keys `secure-boot`, `disk-encryption`, …; first field `yes`, `no` or `unknown`, second its source.
    /// `declared-files`: whether the files of the image's own list are as it says, how many, the list's SHA-256; and
    /// `declared-file/PATH` for each that is not, with what was found.
    #[n(4)]
    Posture,
    /// A network interface: key is its name, fields addresses without host names.
    #[n(5)]
    Interface,
    /// What the reader itself could not read: key is the source, field the reason.
    #[n(6)]
    Unread,
}

/// One row.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, serde::Serialize, serde::Deserialize,
)]
pub struct Row {
    /// What it is about.
    #[n(0)]
    pub section: Section,
    /// Its key within the section.
    #[n(1)]
    pub key: Text,
    /// Its values.
    #[n(2)]
    pub fields: Vec<String>,
}

/// All rows of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Inventory {
    #[n(0)]
    rows: Vec<Row>,
}

impl Inventory {
    /// Sorts the rows and keeps the first of each section and key.
    #[must_use]
    pub fn new(mut rows: Vec<Row>) -> Self {
        sort(&mut rows);
        rows.dedup_by(|later, earlier| later.section == earlier.section && later.key == earlier.key);
        rows.truncate(limits::INVENTORY_ROWS);
        Self { rows }
    }

    /// The rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows of one section.
    pub fn section(&self, section: Section) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.section == section)
    }

    /// The first field of a row.
    #[must_use]
    pub fn field(&self, section: Section, key: &str) -> Option<&str> {
        self.section(section).find(|row| row.key.as_str() == key)?.fields.first().map(String::as_str)
    }

    /// SHA-256 over the SHA-256 of each row's CBOR, in order.
    #[must_use]
    pub fn root(&self) -> Sha256 {
        let mut hasher = Hasher::new();
        for row in &self.rows {
            hasher.update(Sha256::of(&wire::write(row)).as_bytes());
        }
        Sha256(hasher.finalize().into())
    }

    /// The inventory if it keeps its bounds and order, as it must after travelling.
    pub(crate) fn bounded(self) -> Result<Self, WireError> {
        if self.rows.len() > limits::INVENTORY_ROWS {
            return Err(WireError::TooMany { limit: limits::INVENTORY_ROWS });
        }
        if in_order(&self.rows) && self.rows.iter().all(fits) { Ok(self) } else { Err(WireError::Malformed) }
    }
}

/// Whether rows stand in order, each section and key once.
fn in_order(rows: &[Row]) -> bool {
    rows.is_sorted_by(|earlier, later| (earlier.section, &earlier.key) < (later.section, &later.key))
}

/// Whether a row is as wide as rows are.
fn fits(row: &Row) -> bool {
    row.fields.len() <= limits::ROW_FIELDS && row.fields.iter().all(|f| f.len() <= 4 * limits::TEXT_CHARS)
}
