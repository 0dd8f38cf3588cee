//! Installed packages, read from the dpkg database itself: `status`, and `status.d` of images without dpkg.
//!
//! A package is known by its source package too, since advisories speak of sources: `Source: name (version)` where they
//! differ, epoch kept. A broken entry is counted and the others are read; a package without a status of installed is not
//! there. The database is read line by line, so that a million bytes of it cost some kilobytes of memory.

use std::io::{self, BufRead, BufReader, Read};

use cordon_proto::inventory::Section;
use cordon_proto::limits;

use super::{Root, Rows};

const STATUS: &str = "var/lib/dpkg/status";
const STATUS_FOLDER: &str = "var/lib/dpkg/status.d";
/// Bytes of a line that are looked at: fields of interest are far shorter, descriptions do not matter.
const LINE_BYTES: usize = 4096;

/// Takes a package into the rows.
type Add<'a> = &'a mut dyn FnMut(Package, &mut Rows);

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with epoch.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The source package it was built from.
    pub source: String,
    /// The version of that, with epoch.
    pub source_version: String,
}

/// Adds a row for each installed package.
pub fn read(root: &Root, rows: &mut Rows) {
    let mut count = 0;
    let mut add = |package: Package, rows: &mut Rows| {
        count += 1;
        if count <= limits::INVENTORY_ROWS {
            let key = format!("deb/{}/{}", package.name, package.architecture);
            rows.add(Section::Package, &key, [&*package.version, &*package.source, &*package.source_version]);
        }
    };
    one(root, STATUS, true, (rows, &mut add));
    match root.names(STATUS_FOLDER) {
        Ok(names) => {
            for name in names.iter().filter(|name| !name.ends_with(".md5sums")) {
                one(root, &format!("{STATUS_FOLDER}/{name}"), false, (rows, &mut add));
            }
        }
        Err(error) => rows.unread(STATUS_FOLDER, &error),
    }
    if count > limits::INVENTORY_ROWS {
        let reason = format!("{count} packages, only {} are listed", limits::INVENTORY_ROWS);
        rows.add(Section::Unread, "packages", [&*reason]);
    }
}

/// Reads one file of the database. `stated` says whether entries carry a status.
fn one(root: &Root, path: &str, stated: bool, (rows, add): (&mut Rows, Add<'_>)) {
    let parsed = root.open(path).and_then(|file| {
        let reader = BufReader::new(file.take(limits::PACKAGE_DATABASE_BYTES));
        parse(reader, stated, &mut |package| add(package, rows))
    });
    match parsed {
        Ok(0) => {}
        Ok(broken) => {
            rows.add(Section::Unread, path, [&*format!("{broken} entries are broken and were left out")])
        }
        Err(error) => rows.unread(path, &error),
    }
}

/// Reads a database, handing out each installed package; returns how many entries were broken.
pub fn parse(mut reader: impl BufRead, stated: bool, each: &mut dyn FnMut(Package)) -> io::Result<usize> {
    let mut entry = Entry::default();
    let mut line = Vec::with_capacity(256);
    let mut broken = 0;
    loop {
        let more = next_line(&mut reader, &mut line)?;
        if more && !line.is_empty() {
            entry.take(&line);
            continue;
        }
        match std::mem::take(&mut entry).finish(stated) {
            Ok(package) => package.into_iter().for_each(&mut *each),
            Err(Broken) => broken += 1,
        }
        if !more {
            return Ok(broken);
        }
    }
}

/// Reads a line without its end, keeping at most [`LINE_BYTES`]; `false` at the end of the file.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// An entry that is not what the format says.
#[derive(Clone, Copy, Debug)]
struct Broken;

/// An entry in the making.
#[derive(Debug, Default)]
struct Entry {
    any: bool,
    name: Option<String>,
    status: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    source: Option<String>,
}

impl Entry {
    fn take(&mut self, line: &[u8]) {
        self.any = true;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = line.split_at(colon);
        let place = match name {
            b"Package" => &mut self.name,
            b"Status" => &mut self.status,
            b"Version" => &mut self.version,
            b"Architecture" => &mut self.architecture,
            b"Source" => &mut self.source,
            _ => return,
        };
        let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
        *place = Some(value.trim().to_owned());
    }

    /// The package of this entry; `None` if there is none, or it is not installed.
    fn finish(self, stated: bool) -> Result<Option<Package>, Broken> {
        if !self.any {
            return Ok(None);
        }
        let name = self.name.filter(|name| is_name(name)).ok_or(Broken)?;
        if stated && !is_present(&self.status.ok_or(Broken)?)? {
            return Ok(None);
        }
        let version = self.version.filter(|version| is_version(version)).ok_or(Broken)?;
        let architecture = self.architecture.filter(|architecture| is_name(architecture)).ok_or(Broken)?;
        let (source, source_version) = match self.source {
            None => (name.clone(), version.clone()),
            Some(source) => match source.split_once('(') {
                None => (source, version.clone()),
                Some((source, rest)) => {
                    let source_version = rest.strip_suffix(')').ok_or(Broken)?;
                    (source.trim_end().to_owned(), source_version.to_owned())
                }
            },
        };
        if !is_name(&source) || !is_version(&source_version) {
            return Err(Broken);
        }
        Ok(Some(Package { name, version, architecture, source, source_version }))
    }
}

/// Whether files of a package are on the disk: every state but `not-installed` and `config-files` (dpkg(1)).
fn is_present(status: &str) -> Result<bool, Broken> {
    match status.split_ascii_whitespace().nth(2).ok_or(Broken)? {
        "not-installed" | "config-files" => Ok(false),
        "installed" | "unpacked" | "half-installed" | "half-configured" | "triggers-awaited"
        | "triggers-pending" => Ok(true),
        _ => Err(Broken),
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    (1..=100).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'~' | b':');
    (1..=200).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &[u8], stated: bool) -> (Vec<String>, usize) {
        let mut packages = Vec::new();
        let word = |p: Package| {
            format!("{} {} {} {} {}", p.name, p.version, p.architecture, p.source, p.source_version)
        };
        let broken =
            parse(text, stated, &mut |package| packages.push(word(package))).expect("memory can be read");
        (packages, broken)
    }

    const STATUS_TEXT: &str = "\
Package: pumpd
Status: install ok installed
Version: 1:2.4-3+ward1
Architecture: arm64
Description: drives a pump
 Version: 9 in a continuation is no field
 .
Source: pump (1:2.4-3)

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: libward2
Status: install ok half-configured
Version: 0.9~rc1
Architecture: arm64
Source: ward

Package: plain
Status: hold ok installed
Architecture: all
Version: 7
";

    #[test]
    fn packages_sources_and_epochs_are_read() {
        // Goal: what advisories are matched against. Method: a hand-written database.
        let expected = [
            "pumpd 1:2.4-3+ward1 arm64 pump 1:2.4-3",
            "libward2 0.9~rc1 arm64 ward 0.9~rc1",
            "plain 7 all plain 7",
        ];
        assert_eq!(all(STATUS_TEXT.as_bytes(), true), (expected.map(str::to_owned).to_vec(), 0));
        let without_end = STATUS_TEXT.trim_end();
        assert_eq!(all(without_end.as_bytes(), true).0.len(), 3);
        let windows_would = STATUS_TEXT.replace('\n', "\n\n").replace("\n\n ", "\n ");
        assert!(
            all(windows_would.as_bytes(), true).1 > 0,
            "fields torn apart are broken entries, not packages"
        );
    }

    #[test]
    fn a_broken_entry_is_counted_and_costs_only_itself() {
        // Goal: one bad entry does not hide a thousand. Method: each way to be broken between two good ones.
        let good = "Package: good\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n";
        for bad in [
            "Package: nover\nStatus: install ok installed\nArchitecture: all\n",
            "Status: install ok installed\nVersion: 1\nArchitecture: all\n",
            "Package: a b\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
            "Package: x\nStatus: install ok strange\nVersion: 1\nArchitecture: all\n",
            "Package: x\nStatus: installed\nVersion: 1\nArchitecture: all\n",
            "Package: x\nStatus: install ok installed\nVersion: 1\u{202e}2\nArchitecture: all\n",
            "Package: x\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nSource: y (2\n",
            "\u{0}\u{1}\n",
        ] {
            let text = format!("{good}\n{bad}\n{good}");
            let (packages, broken) = all(text.as_bytes(), true);
            assert_eq!((packages.len(), broken), (2, 1), "{bad:?}");
        }
        let long = format!(
            "Package: long\nStatus: install ok installed\nVersion: {}\nArchitecture: all\n",
            "1".repeat(1 << 20)
        );
        assert_eq!(all(long.as_bytes(), true), (Vec::new(), 1));
    }

    #[test]
    fn an_image_without_dpkg_lists_its_packages_one_by_one() {
        // Goal: status.d has no status lines. Method: the same text, both ways.
        let text = b"Package: base\nVersion: 1\nArchitecture: all\n";
        assert_eq!(all(text, false), (vec!["base 1 all base 1".to_owned()], 0));
        assert_eq!(all(text, true), (Vec::new(), 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), stated in any::<bool>()) {
            all(&bytes, stated);
        }

        #[test]
        fn any_damage_to_a_database_costs_at_most_two_entries(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = STATUS_TEXT.as_bytes().to_vec();
            let at = place.index(bytes.len());
            bytes[at] = byte;
            let (packages, broken) = all(&bytes, true);
            prop_assert!(packages.len() + broken >= 2, "{:?} {}", packages, broken);
        }
    }
}
