//! Installed packages, read from the databases themselves: those of dpkg, apk and opkg here, RPM's in [`rpm`], and what the
//! installers of languages put beside them in [`languages`].
//!
//! What an entry says is the ground's to tell (`cordon_proto::inventory`); here stand the files. A broken entry is counted and
//! the others are read; a package without a status of installed is not there. A database is read line by line, so that a
//! million bytes of it cost some kilobytes of memory.

pub mod languages;
pub mod rpm;

use std::io::{self, BufRead, BufReader, Read};

use cordon_proto::inventory::dpkg::{Broken, Package};
use cordon_proto::inventory::text::Entry;
use cordon_proto::inventory::{Section, apk, dpkg, opkg};
use cordon_proto::limits;

use super::{Root, Rows};

const DPKG: &str = "var/lib/dpkg/status";
const DPKG_FOLDER: &str = "var/lib/dpkg/status.d";
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const OPKG: [&str; 2] = ["usr/lib/opkg", "var/lib/opkg"];

/// Adds a row for each installed package.
pub fn read(root: &Root, rows: &mut Rows) {
    let mut list = List { root, rows, count: 0 };
    list.text(DPKG, Entry::Dpkg(dpkg::Entry::default()), &|package| row("deb", package));
    match root.names(DPKG_FOLDER) {
        Ok(names) => {
            for name in names.iter().filter(|name| !name.ends_with(".md5sums")) {
                let entry = Entry::DpkgImage(dpkg::Entry::default());
                list.text(&format!("{DPKG_FOLDER}/{name}"), entry, &|package| row("deb", package));
            }
        }
        Err(error) => list.rows.unread(DPKG_FOLDER, &error),
    }
    if let Some(path) = APK.into_iter().find(|path| root.exists(path)) {
        list.text(path, Entry::Apk(apk::Entry::default()), &|package| row("apk", package));
    }
    if let Some(folder) = OPKG.into_iter().find(|folder| root.exists(&format!("{folder}/status"))) {
        let entry = Entry::Opkg(opkg::Entry::default());
        list.text(&format!("{folder}/status"), entry, &|package| row("opkg", sourced(root, folder, package)));
    }
    rpm::read(&mut list);
    // What a distribution installed of a language is in its own list already, under the version that its advisories speak of.
    let distributed = list.count > 0;
    languages::read(&mut list, distributed);
    if list.count > limits::INVENTORY_ROWS {
        let reason = format!("{} packages, only {} are listed", list.count, limits::INVENTORY_ROWS);
        rows.add(Section::Unread, "packages", [&*reason]);
    }
}

/// The list in the making.
struct List<'a> {
    root: &'a Root,
    rows: &'a mut Rows,
    count: usize,
}

impl List<'_> {
    /// Adds a package. Those beyond the limit are counted.
    fn add<'f>(&mut self, key: &str, fields: impl IntoIterator<Item = &'f str>) {
        self.count += 1;
        if self.count <= limits::INVENTORY_ROWS {
            self.rows.add(Section::Package, key, fields);
        }
    }

    /// Says how many entries of a source were left out.
    fn broken(&mut self, source: &str, entries: usize) {
        if entries > 0 {
            self.rows.add(
                Section::Unread,
                source,
                [&*format!("{entries} entries are broken and were left out")],
            );
        }
    }

    /// Reads one text database.
    fn text(&mut self, path: &str, entry: Entry, row: &dyn Fn(Package) -> (String, [String; 3])) {
        let parsed = self.root.open(path).and_then(|file| {
            let reader = BufReader::new(file.take(limits::PACKAGE_DATABASE_BYTES));
            parse(reader, entry, &mut |package| {
                let (key, fields) = row(package);
                self.add(&key, fields.iter().map(String::as_str));
            })
        });
        match parsed {
            Ok(broken) => self.broken(path, broken),
            Err(error) => self.rows.unread(path, &error),
        }
    }
}

fn row(kind: &str, package: Package) -> (String, [String; 3]) {
    let key = format!("{kind}/{}/{}", package.name, package.architecture);
    (key, [package.version, package.source, package.source_version])
}

/// The package with the source that its control file names.
fn sourced(root: &Root, folder: &str, package: Package) -> Package {
    let control = root.text(&format!("{folder}/info/{}.control", package.name)).unwrap_or_default();
    match opkg::source(&control) {
        Some(source) => Package { source: source.to_owned(), ..package },
        None => package,
    }
}

/// Reads a database, handing out each installed package; returns how many entries were broken.
pub fn parse(mut reader: impl BufRead, mut entry: Entry, each: &mut dyn FnMut(Package)) -> io::Result<usize> {
    let mut line = Vec::with_capacity(256);
    let mut broken = 0;
    loop {
        let end = next_line(&mut reader, &mut line)?;
        if !line.is_empty() {
            entry.take(&line);
            if end == End::File {
                entry.cut();
            }
        }
        if line.is_empty() || end == End::File {
            match entry.finish() {
                Ok(package) => package.into_iter().for_each(&mut *each),
                Err(Broken) => broken += 1,
            }
        }
        if end == End::File {
            return Ok(broken);
        }
    }
}

/// What a line ended with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Line,
    File,
}

/// Reads a line without its end, keeping at most [`limits::PACKAGE_LINE_BYTES`].
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<End> {
    line.clear();
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(End::File);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = limits::PACKAGE_LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(End::Line);
        }
    }
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
        let entry = dpkg::Entry::default();
        let entry = if stated { Entry::Dpkg(entry) } else { Entry::DpkgImage(entry) };
        let broken =
            parse(text, entry, &mut |package| packages.push(word(package))).expect("memory can be read");
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
        assert_eq!(all(format!("\n{STATUS_TEXT}\n\n").as_bytes(), true), all(STATUS_TEXT.as_bytes(), true));
        let windows_would = STATUS_TEXT.replace('\n', "\n\n").replace("\n\n ", "\n ");
        assert!(
            all(windows_would.as_bytes(), true).1 > 0,
            "fields torn apart are broken entries, not packages"
        );
    }

    #[test]
    fn a_broken_entry_is_counted_and_a_line_has_its_limit() {
        // Goal: what is left out is told, and a line without an end costs no memory. Method: a broken entry between two good
        // ones, one with a line of a million bytes, a file that was cut off.
        let good = "Package: good\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n";
        let bad = good.replace("Version: 1", "Version: (");
        let (packages, broken) = all(format!("{good}\n{bad}\n{good}").as_bytes(), true);
        assert_eq!((packages.len(), broken), (2, 1));
        let long = good.replace("Version: 1", &format!("Version: {}", "1".repeat(1 << 20)));
        assert_eq!(all(long.as_bytes(), true), (Vec::new(), 1));
        let cut = STATUS_TEXT.trim_end();
        let (packages, broken) = all(cut.as_bytes(), true);
        assert_eq!((packages.len(), broken), (2, 1), "the last one may have lost a part of its version");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), stated in any::<bool>()) {
            all(&bytes, stated);
        }
    }
}
