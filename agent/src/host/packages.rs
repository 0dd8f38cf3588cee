//! Installed packages, read from the dpkg database itself: `status`, and `status.d` of images without dpkg.
//!
//! What an entry says is `cordon_proto::inventory::dpkg`'s to tell; here stand the files. A broken entry is counted and the
//! others are read; a package without a status of installed is not there. The database is read line by line, so that a
//! million bytes of it cost some kilobytes of memory.

use std::io::{self, BufRead, BufReader, Read};

use cordon_proto::inventory::Section;
use cordon_proto::inventory::dpkg::{Broken, Entry, Package};
use cordon_proto::limits;

use super::{Root, Rows};

const STATUS: &str = "var/lib/dpkg/status";
const STATUS_FOLDER: &str = "var/lib/dpkg/status.d";

/// Takes a package into the rows.
type Add<'a> = &'a mut dyn FnMut(Package, &mut Rows);

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
        let end = next_line(&mut reader, &mut line)?;
        if !line.is_empty() {
            entry.take(&line);
            if end == End::File {
                entry.cut();
            }
        }
        if line.is_empty() || end == End::File {
            match entry.finish(stated) {
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
