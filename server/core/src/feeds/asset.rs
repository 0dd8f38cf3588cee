//! A hospital's own list of assets. It is a CMMS export, row by row: whose device, which model, which software, where.
//!
//! The adapter splits the text into cells; here columns are found by the names that exports use, and cells are cleaned. A row
//! without a model, or with a cell nobody could show, is refused with a word and counted. Nothing is matched here. Read next:
//! [`super::devices`].

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use serde::Serialize;

/// One device of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// Its row, the header being the first.
    pub row: usize,
    /// The owner's number for it.
    pub tag: String,
    /// Its maker.
    pub maker: String,
    /// Its model.
    pub model: String,
    /// The version of its software; empty where nobody knows.
    pub version: String,
    /// Its serial number.
    pub serial: String,
    /// Where it stands.
    pub ward: String,
    /// At which site.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// What it is for, in the list's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its name in the network.
    pub hostname: String,
    /// Its address.
    pub ip: String,
    /// Its hardware address.
    pub mac: String,
}

/// A list as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assets {
    /// The devices in the list's order.
    pub assets: Vec<Asset>,
    /// Rows that were not taken, by reason.
    pub refused: BTreeMap<&'static str, usize>,
    /// The same rows, one by one.
    pub left_out: Vec<LeftOut>,
    /// Columns that nobody asked for, as they were written.
    pub passed_over: Vec<String>,
    columns: Option<BTreeMap<Column, usize>>,
    rows: usize,
    seen: BTreeMap<(String, String), usize>,
}

/// A row that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its row, the header being the first.
    pub row: usize,
    /// The reason's word.
    pub why: &'static str,
    /// For one that stands there twice: the first of the two rows.
    pub first: Option<usize>,
}

/// Why a list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    /// No header with a column for the model.
    #[error(
        "no column for the model in its first row ({found}): name one `model`, and beside it manufacturer, version, serial, site, department, type, hostname, ip, mac, tag"
    )]
    NoModel {
        /// The columns that are there.
        found: String,
    },
    /// A column twice.
    #[error("two columns for the same: `{0}`; take one of them out")]
    Twice(String),
    /// More rows than are read.
    #[error("more than {} rows: split the list", limits::ASSET_ROWS)]
    TooLong,
    /// No row was taken.
    #[error("no row of the list could be taken")]
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Tag,
    Maker,
    Model,
    Version,
    Serial,
    Ward,
    Site,
    Kind,
    Hostname,
    Ip,
    Mac,
}

/// The names that exports give a column, without case and signs.
const NAMES: [(Column, &[&str]); 11] = [
    (
        Column::Tag,
        &[
            "tag",
            "assettag",
            "assetid",
            "assetnumber",
            "assetno",
            "asset",
            "equipmentid",
            "equipmentno",
            "equipmentnumber",
            "controlnumber",
            "inventorynumber",
            "cmmsid",
            "id",
            "inventarnummer",
        ],
    ),
    (
        Column::Maker,
        &[
            "maker",
            "manufacturer",
            "manufacturername",
            "mfr",
            "mfg",
            "make",
            "vendor",
            "oem",
            "hersteller",
            "brand",
        ],
    ),
    (
        Column::Model,
        &[
            "model",
            "modelname",
            "modelno",
            "modelnumber",
            "devicemodel",
            "product",
            "productname",
            "modell",
            "typ",
            "equipmentmodel",
        ],
    ),
    (
        Column::Version,
        &[
            "version",
            "softwareversion",
            "software",
            "softwarerev",
            "softwarerevision",
            "swversion",
            "swrev",
            "firmware",
            "firmwareversion",
            "fwversion",
            "fw",
            "softwarestand",
        ],
    ),
    (Column::Serial, &["serial", "serialnumber", "serialno", "sn", "seriennummer"]),
    (
        Column::Ward,
        &[
            "ward",
            "department",
            "dept",
            "location",
            "unit",
            "clinic",
            "costcenter",
            "owningdepartment",
            "station",
            "abteilung",
        ],
    ),
    (Column::Site, &["site", "sitename", "facility", "hospital", "campus", "building", "standort"]),
    (
        Column::Kind,
        &[
            "kind",
            "type",
            "devicetype",
            "equipmenttype",
            "assettype",
            "category",
            "devicecategory",
            "equipmentcategory",
            "geraeteart",
        ],
    ),
    (Column::Hostname, &["hostname", "host", "computername", "networkname", "dnsname", "fqdn"]),
    (Column::Ip, &["ip", "ipaddress", "ipaddr", "ipv4", "ipadresse"]),
    (Column::Mac, &["mac", "macaddress", "macaddr", "ethernetaddress", "hardwareaddress", "macadresse"]),
];

impl Assets {
    /// Takes one row, cells in order; the first is the header.
    ///
    /// # Errors
    /// The header does not say which column is the model, or there are too many rows.
    pub fn row(&mut self, cells: &[&str]) -> Result<(), NoList> {
        self.rows += 1;
        let Some(columns) = self.columns.clone() else { return self.header(cells) };
        if self.rows > limits::ASSET_ROWS {
            return Err(NoList::TooLong);
        }
        let cell = |column: Column| {
            let cell = columns.get(&column).and_then(|at| cells.get(*at)).map(|cell| cell.trim());
            cell.filter(|cell| !is_nothing(cell)).unwrap_or_default()
        };
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        let asset = Asset {
            row: self.rows,
            tag: cell(Column::Tag).to_string(),
            maker: cell(Column::Maker).to_string(),
            model: cell(Column::Model).to_string(),
            version: cell(Column::Version).to_string(),
            serial: cell(Column::Serial).to_string(),
            ward: cell(Column::Ward).to_string(),
            site: cell(Column::Site).to_string(),
            kind: cell(Column::Kind).to_string(),
            hostname: cell(Column::Hostname).to_string(),
            ip: cell(Column::Ip).to_string(),
            mac: cell(Column::Mac).to_string(),
        };
        match self.fault(&asset) {
            Some((why, first)) => {
                *self.refused.entry(why).or_default() += 1;
                self.left_out.push(LeftOut { row: asset.row, why, first });
            }
            None => self.assets.push(asset),
        }
        Ok(())
    }

    /// The whole list.
    ///
    /// # Errors
    /// There was no header, or no row was taken.
    pub fn finish(self) -> Result<Self, NoList> {
        match self.columns {
            None => Err(NoList::NoModel { found: "it is empty".into() }),
            Some(_) if self.assets.is_empty() => Err(NoList::Empty),
            Some(_) => Ok(self),
        }
    }

    fn header(&mut self, cells: &[&str]) -> Result<(), NoList> {
        let mut columns = BTreeMap::new();
        for (at, cell) in cells.iter().enumerate() {
            let plain: String = cell.chars().filter(char::is_ascii_alphanumeric).collect();
            let plain = plain.to_ascii_lowercase();
            match NAMES.iter().find(|(_, names)| names.contains(&plain.as_str())) {
                None if cell.trim().is_empty() => {}
                None => self.passed_over.push(shown(cell)),
                Some((column, _)) => {
                    if columns.insert(*column, at).is_some() {
                        return Err(NoList::Twice(shown(cell)));
                    }
                }
            }
        }
        if !columns.contains_key(&Column::Model) {
            let found = cells.iter().map(|cell| shown(cell)).collect::<Vec<_>>().join(", ");
            return Err(NoList::NoModel { found });
        }
        self.columns = Some(columns);
        Ok(())
    }

    /// Why a row is not taken, and the row that it repeats.
    fn fault(&mut self, asset: &Asset) -> Option<(&'static str, Option<usize>)> {
        let Asset { row, tag, maker, model, version, serial, ward, site, kind, hostname, ip, mac } = asset;
        let cells = [tag, maker, model, version, serial, ward, site, kind, hostname, ip, mac];
        if model.is_empty() {
            return Some(("no-model", None));
        }
        if cells.iter().any(|cell| cell.len() > limits::ASSET_CELL) {
            return Some(("cell-too-long", None));
        }
        if cells.iter().any(|cell| cell.chars().any(char::is_control)) {
            return Some(("control-character", None));
        }
        if tag.is_empty() && serial.is_empty() {
            return None;
        }
        match self.seen.entry((tag.clone(), serial.clone())) {
            Entry::Occupied(first) => Some(("twice", Some(*first.get()))),
            Entry::Vacant(place) => {
                place.insert(*row);
                None
            }
        }
    }
}

/// What people write where they know nothing.
fn is_nothing(cell: &str) -> bool {
    let words = [
        "",
        "-",
        "--",
        "n/a",
        "na",
        "none",
        "unknown",
        "unk",
        "tbd",
        "?",
        "null",
        "nil",
        "not available",
        "unbekannt",
    ];
    words.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

fn shown(cell: &str) -> String {
    cell.chars().filter(|sign| !sign.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(rows: &[&str]) -> Result<Assets, NoList> {
        let mut assets = Assets::default();
        for row in rows {
            assets.row(&row.split(';').collect::<Vec<_>>())?;
        }
        assets.finish()
    }

    #[test]
    fn columns_are_found_by_the_names_that_exports_give_them() {
        // Goal: any order, any spelling. Method: two exports of the same device.
        let one = list(&["\u{feff}Asset Tag;Manufacturer;Model No.;SW Version;Serial #;Department;Host Name;IP Address;MAC;Price",
            "T1;Philips;MX40;B.06;S1;ICU;mon1;10.0.0.1;aa:bb;9"]).expect("a list");
        let other = list(&[
            "MODELL;hersteller;Softwarestand;Seriennummer;Abteilung;hostname;ip;mac-adresse;Inventarnummer",
            " MX40 ;Philips;B.06;S1;ICU;mon1;10.0.0.1;aa:bb;T1",
        ])
        .expect("a list");
        assert_eq!(one.assets, other.assets);
        assert_eq!((one.assets[0].row, one.assets[0].tag.as_str()), (2, "T1"));
        assert_eq!(one.passed_over, ["Price"]);
        let placed = list(&["Model;Site;Department;Device Type", "MX40;St. Anna;ICU;Patient Monitor"])
            .expect("a list");
        let asset = &placed.assets[0];
        assert_eq!((&*asset.site, &*asset.ward, &*asset.kind), ("St. Anna", "ICU", "Patient Monitor"));
    }

    #[test]
    fn rows_that_cannot_be_taken_are_counted() {
        // Goal: nothing vanishes. Method: each fault once, short rows, words for nothing.
        let long = "x".repeat(limits::ASSET_CELL + 1);
        let rows = [
            "model;version;tag",
            "MX40;n/a;1",
            "MX40;2",
            ";1;2",
            &long,
            "a\u{1b}b;1;3",
            "MX40;1;1",
            ";;",
            "unknown;1;9",
        ];
        let read = list(&rows).expect("a list");
        let taken: Vec<_> =
            read.assets.iter().map(|asset| (asset.model.as_str(), asset.version.as_str())).collect();
        assert_eq!(taken, [("MX40", ""), ("MX40", "2")]);
        assert_eq!(
            read.refused,
            [("cell-too-long", 1), ("control-character", 1), ("no-model", 2), ("twice", 1)].into()
        );
        let rows: Vec<_> = read.left_out.iter().map(|left| (left.row, left.why, left.first)).collect();
        assert_eq!(
            rows,
            [
                (4, "no-model", None),
                (5, "cell-too-long", None),
                (6, "control-character", None),
                (7, "twice", Some(2)),
                (9, "no-model", None)
            ]
        );
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_to_do() {
        // Goal: a wrong file names its cure. Method: each kind.
        let said = |rows: &[&str]| list(rows).map(drop).map_err(|why| why.to_string()).unwrap_err();
        assert!(said(&["price;colour"]).contains("(price, colour): name one `model`"));
        assert!(said(&["model;Model Number"]).contains("`Model Number`; take one"));
        assert!(said(&["model"]).contains("no row"));
        assert!(said(&[]).contains("it is empty"));
    }

    proptest! {
        #[test]
        fn every_row_is_taken_or_counted(rows in prop::collection::vec("[a-zA-Z0-9;\\x1b ]{0,12}", 0..20)) {
            // Goal: the sum is right. Method: random rows.
            let mut assets = Assets::default();
            prop_assert!(assets.row(&["model", "tag"]).is_ok());
            for row in &rows {
                prop_assert!(assets.row(&row.split(';').collect::<Vec<_>>()).is_ok());
            }
            let empty = rows.iter().filter(|row| row.split(';').all(|cell| cell.trim().is_empty())).count();
            prop_assert_eq!(assets.assets.len() + assets.refused.values().sum::<usize>() + empty, rows.len());
        }
    }
}
