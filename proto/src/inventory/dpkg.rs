//! What an entry of dpkg's database says (dpkg(1), deb-control(5)): the one reader, for the device and for whoever matches
//! without it.
//!
//! Lines go in one by one, so that a database of any length costs the fields of one entry. A package is known by its source
//! package too, since advisories speak of sources: `Source: name (version)` where they differ, epoch kept. What dpkg itself
//! refuses is broken here and never half a package: a field said twice, a last line without its end. Nothing here opens a
//! file. Read next: `limits` for how much of a line is looked at.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::limits;

/// One package that is on the disk.
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

/// An entry that is not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry of dpkg's database is broken: `dpkg --audit` on the device says more")]
pub struct Broken;

/// An entry in the making: [`Entry::take`] each of its lines, then [`Entry::finish`] at the empty line behind it.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    any: bool,
    /// A field was said twice, or a line has no end.
    broken: bool,
    name: Option<String>,
    status: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    source: Option<String>,
}

impl Entry {
    /// Takes a line of the entry, without its end; of a long one the front.
    pub fn take(&mut self, line: &[u8]) {
        self.any = true;
        let line = line.get(..limits::PACKAGE_LINE_BYTES).unwrap_or(line);
        // A line that begins with a blank goes on with the field above: its name is none of these.
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
        // What is no text is no name, no version and no status.
        let value = str::from_utf8(value.get(1..).unwrap_or_default()).unwrap_or_default();
        self.broken |= place.replace(value.trim().to_owned()).is_some();
    }

    /// The line taken last ended with the file and not with a line feed. Its version may be the front of another one, so the
    /// entry is broken, as for dpkg ("missing final newline").
    pub fn cut(&mut self) {
        self.broken = true;
    }

    /// The package of this entry; `None` if there is none, or nothing of it is on the disk. The next entry begins.
    ///
    /// `stated`: whether entries carry a status, as in `status`; those of `status.d` are all there.
    ///
    /// # Errors
    /// The entry is none, and nothing of it can be relied on.
    pub fn finish(&mut self, stated: bool) -> Result<Option<Package>, Broken> {
        let entry = core::mem::take(self);
        if !entry.any {
            return Ok(None);
        }
        if entry.broken {
            return Err(Broken);
        }
        let name = entry.name.filter(|name| is_name(name)).ok_or(Broken)?;
        if stated && !is_present(&entry.status.ok_or(Broken)?)? {
            return Ok(None);
        }
        let version = entry.version.filter(|version| is_version(version)).ok_or(Broken)?;
        let architecture = entry.architecture.filter(|architecture| is_name(architecture)).ok_or(Broken)?;
        let (source, source_version) = match entry.source {
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

pub(super) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    (1..=100).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'~' | b':');
    (1..=200).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The packages of a database in their order, `broken` where one is.
    fn all(bytes: &[u8], stated: bool) -> Vec<String> {
        let (mut entry, mut found) = (Entry::default(), Vec::new());
        let mut add = |read: Result<Option<Package>, Broken>| match read {
            Ok(package) => found.extend(package.map(|package| {
                let Package { name, version, architecture, source, source_version } = package;
                format!("{name} {version} {architecture} {source} {source_version}")
            })),
            Err(Broken) => found.push("broken".to_string()),
        };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line {
                b"\n" => add(entry.finish(stated)),
                [line @ .., b'\n'] => entry.take(line),
                line => {
                    entry.take(line);
                    entry.cut();
                }
            }
        }
        add(entry.finish(stated));
        found
    }

    const TEXT: &str = "\
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
        // Goal: what advisories are matched against. Method: a hand-written database; entries without a status.
        let wanted = [
            "pumpd 1:2.4-3+ward1 arm64 pump 1:2.4-3",
            "libward2 0.9~rc1 arm64 ward 0.9~rc1",
            "plain 7 all plain 7",
        ];
        assert_eq!(all(TEXT.as_bytes(), true), wanted);
        let image = b"Package: base\nVersion: 1\nArchitecture: all\n";
        assert_eq!(all(image, false), ["base 1 all base 1"]);
        assert_eq!(all(image, true), ["broken"]);
    }

    #[test]
    fn a_last_line_without_its_end_is_half_an_entry() {
        // Goal: a database that was cut off gives no package a version that it does not have. Method: the text cut behind
        // every byte of its last version, and behind the whole of it; dpkg refuses all of them.
        let text = TEXT.replace("Version: 7\n", "Version: 7.10-2\n");
        let whole = all(text.as_bytes(), true);
        assert_eq!(whole.last().map(String::as_str), Some("plain 7.10-2 all plain 7.10-2"));
        for cut in 1.."7.10-2\n".len() {
            let found = all(&text.as_bytes()[..text.len() - cut], true);
            assert_eq!(found.last().map(String::as_str), Some("broken"), "{cut} bytes off");
            assert_eq!(found.len(), whole.len(), "the others are read");
        }
    }

    #[test]
    fn a_broken_entry_is_told_and_costs_only_itself() {
        // Goal: one bad entry does not hide a thousand. Method: each way to be broken between two good ones.
        let good = "Package: good\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n";
        let long = format!("{}Source: {}\n", good.replace("good", "x"), "s".repeat(1 << 16));
        for bad in [
            "Package: nover\nStatus: install ok installed\nArchitecture: all\n",
            "Status: install ok installed\nVersion: 1\nArchitecture: all\n",
            "Package: a b\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
            "Package: x\nStatus: install ok strange\nVersion: 1\nArchitecture: all\n",
            "Package: x\nStatus: installed\nVersion: 1\nArchitecture: all\n",
            "Package: x\nStatus: install ok installed\nVersion: 1\u{202e}2\nArchitecture: all\n",
            "Package: x\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nSource: y (2\n",
            "Package: x\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nVersion: 2\n",
            "\u{0}\u{1}\n",
            &long,
        ] {
            let found = all(format!("{good}\n{bad}\n{good}").as_bytes(), true);
            assert_eq!(found, ["good 1 all good 1", "broken", "good 1 all good 1"], "{bad:?}");
        }
        let joined = format!("{good}Package: hidden\nStatus: install ok installed\nVersion: 9\n");
        assert_eq!(all(joined.as_bytes(), true), ["broken"], "two run together are not one of them");
        let no_text = [good.as_bytes(), b"Source: \xff\n"].concat();
        assert_eq!(all(&no_text, true), ["broken"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), stated in any::<bool>()) {
            all(&bytes, stated);
        }

        #[test]
        fn any_damage_to_a_database_costs_at_most_two_entries(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = TEXT.as_bytes().to_vec();
            let at = place.index(bytes.len());
            bytes[at] = byte;
            let found = all(&bytes, true);
            prop_assert!(found.len() >= 2, "{:?}", found);
        }
    }
}
