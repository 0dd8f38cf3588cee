//! Files that an image declares, as the device found them.
//!
//! The device hashes what its image lists and tells what differs; nothing is compared here. Read next: [`super::drift`] for
//! packages, `cordon_proto::inventory` for the rows.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::inventory::{Inventory, Section};
use serde::Serialize;

/// What a device says of the files that its image declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Files {
    /// `yes`: all are as declared; `no`: some are not; `unknown`.
    pub sound: String,
    /// How many are: "198 of 200".
    pub count: String,
    /// SHA-256 of the list.
    pub list: String,
    /// Those that are not, and those of which nobody knows.
    pub differing: Vec<File>,
}

/// A file that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// `no`, or `unknown`.
    pub sound: String,
    /// The SHA-256 that it has, `missing`, or why it was not read.
    pub found: String,
}

/// What an inventory says of declared files; nothing where the image declares none.
#[must_use]
pub fn declared(inventory: &Inventory) -> Option<Files> {
    let rows = || inventory.section(Section::Posture);
    let field = |fields: &[String], at: usize| fields.get(at).cloned().unwrap_or_default();
    let all = rows().find(|row| row.key.as_str() == "declared-files")?;
    let differing = rows().filter_map(|row| {
        let path = row.key.as_str().strip_prefix("declared-file/")?.to_owned();
        Some(File { path, sound: field(&row.fields, 0), found: field(&row.fields, 1) })
    });
    Some(Files {
        sound: field(&all.fields, 0),
        count: field(&all.fields, 1),
        list: field(&all.fields, 2),
        differing: differing.collect(),
    })
}

#[cfg(test)]
mod tests {
    use cordon_proto::ids::Text;
    use cordon_proto::inventory::Row;

    use super::*;

    #[test]
    fn what_a_device_says_of_its_declared_files_is_told_whole() {
        // Goal: a changed file is seen by its path. Method: rows as an agent sends them, and an inventory without any.
        let row = |key: &str, fields: &[&str]| Row {
            section: Section::Posture,
            key: Text::lossy(key),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        };
        let inventory = Inventory::new(alloc::vec![
            row("secure-boot", &["yes", "efivars"]),
            row("declared-files", &["no", "2 of 4", "ab12"]),
            row("declared-file/opt/pump", &["no", "cd34"]),
            row("declared-file/opt/key", &["unknown", "Permission denied"]),
        ]);
        let files = declared(&inventory).expect("declared");
        assert_eq!(
            (files.sound.as_str(), files.count.as_str(), files.list.as_str()),
            ("no", "2 of 4", "ab12")
        );
        let of = |file: &File| alloc::format!("{} {} {}", file.path, file.sound, file.found);
        assert_eq!(
            files.differing.iter().map(of).collect::<Vec<_>>(),
            ["opt/key unknown Permission denied", "opt/pump no cd34"]
        );
        assert_eq!(declared(&Inventory::default()), None);
    }
}
