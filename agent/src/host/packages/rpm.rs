//! The packages of RPM's database, in the two forms that are current: SQLite, and RPM's own.
//!
//! The older form, a Berkeley DB, is told and not read: nothing writes it any more, and a reader of it would be larger than the
//! rest of the inventory. So is a log that waits beside a database. Of a package that is installed in several versions at once,
//! as kernels are, every version is a row. Read next: `cordon_proto::inventory::{rpm, sqlite, ndb}`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use cordon_proto::inventory::database::{Fault, Source};
use cordon_proto::inventory::dpkg::Broken;
use cordon_proto::inventory::rpm::{self, Package};
use cordon_proto::inventory::sqlite::Rows as Headers;
use cordon_proto::inventory::{Section, ndb, sqlite};
use cordon_proto::limits;
use cordon_proto::sorting::sort_by;

use super::List;

const FOLDERS: [&str; 2] = ["var/lib/rpm", "usr/lib/sysimage/rpm"];
const SQLITE: &str = "rpmdb.sqlite";
const NDB: &str = "Packages.db";
const BERKELEY: &str = "Packages";

/// Adds the rows of the first database that is there.
pub(super) fn read(list: &mut List<'_>) {
    for folder in FOLDERS {
        for name in [SQLITE, NDB, BERKELEY] {
            let path = format!("{folder}/{name}");
            if list.root.exists(&path) {
                return one(list, &path, name);
            }
        }
    }
}

fn one(list: &mut List<'_>, path: &str, name: &str) {
    if name == BERKELEY {
        return list.rows.add(Section::Unread, path, ["a Berkeley DB, which is not read here"]);
    }
    let mut database = match list.root.open(path) {
        Ok(file) => Database(file),
        Err(error) => return list.rows.unread(path, &error),
    };
    let mut found = Found::default();
    let read = match name {
        SQLITE => sqlite::blobs(&mut database, "Packages", &mut found),
        _ => ndb::blobs(&mut database, &mut found),
    };
    if let Err(fault) = read {
        list.rows.add(Section::Unread, path, [&*fault.to_string()]);
    } else {
        list.broken(path, found.broken);
    }
    let log = format!("{path}-wal");
    if list.root.open(&log).and_then(|file| file.metadata()).is_ok_and(|log| log.len() > 0) {
        list.rows.add(Section::Unread, &log, ["changes wait in it that are not in the database yet"]);
    }
    add(list, found.packages);
}

/// Adds the packages in order; of one in several versions, all but the first are told apart by them.
fn add(list: &mut List<'_>, mut packages: Vec<Package>) {
    sort_by(&mut packages, |one, other| {
        (&one.name, &one.architecture, &one.version) < (&other.name, &other.architecture, &other.version)
    });
    let mut last = None;
    for package in packages {
        let Package { name, version, architecture, source, source_version, module } = package;
        let key = format!("rpm/{name}/{architecture}");
        let fields = [&*version, &*source, &*source_version].into_iter().chain(module.as_deref());
        if last.as_ref() == Some(&key) {
            list.add(&format!("{key}={version}"), fields);
        } else {
            list.add(&key, fields);
            last = Some(key);
        }
    }
}

#[derive(Default)]
struct Found {
    packages: Vec<Package>,
    broken: usize,
}

impl Headers for Found {
    fn extent(&self, front: &[u8]) -> usize {
        rpm::extent(front)
    }

    fn take(&mut self, header: &[u8]) {
        match rpm::package(header) {
            // One more than is listed is kept, so that the list is known to be too long.
            Ok(package) if self.packages.len() <= limits::INVENTORY_ROWS => self.packages.extend(package),
            Ok(_) => {}
            Err(Broken) => self.broken += 1,
        }
    }

    fn broken(&mut self) {
        self.broken += 1;
    }
}

struct Database(File);

impl Source for Database {
    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        self.0.read_exact_at(into, offset).map_err(|_| Fault::Short)
    }
}
