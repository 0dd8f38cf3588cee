//! Feeding what inventories are made of: apk's and opkg's lines, RPM's headers, SQLite's pages, columns and changes.
//!
//! What is read is a package that a row can hold: no blank, no sign of a path, a version that is not empty. What a reader asks
//! for before it is content never shrinks and never exceeds its bound. Read next: [`super::targets`].

use cordon_proto::inventory::delta::{Delta, Mismatch};
use cordon_proto::inventory::dpkg::Package;
use cordon_proto::inventory::packed::Packed;
use cordon_proto::inventory::sqlite::{Rows, blobs};
use cordon_proto::inventory::text::Entry;
use cordon_proto::inventory::{Inventory, apk, ndb, node, opkg, python, rpm};
use cordon_proto::{limits, wire};

/// A database that SQLite wrote.
const DATABASE: &[u8] = include_bytes!("../../../proto/golden/inventory/rpmdb.sqlite");

/// apk's database.
#[must_use]
pub fn apk_databases() -> Vec<Vec<u8>> {
    let text = "C:Q1abc=\nP:libcrypto3\nV:3.1.4-r5\nA:aarch64\nS:1\no:openssl\nF:lib\nR:x\n\nP:busybox\nV:1.36.1_git2023-r2\nA:aarch64\n\n\
        P:.deps\nV:2026\nA:noarch\n\n";
    vec![text.into()]
}

/// opkg's database.
#[must_use]
pub fn opkg_databases() -> Vec<Vec<u8>> {
    let text = "Package: libopenssl3\nVersion: 3.0.13-1\nDepends: libc\nStatus: install user installed\nArchitecture: mips_24kc\n\
        Source: feeds/x\n\nPackage: gone\nVersion: 1\nStatus: unknown ok not-installed\nArchitecture: all\n\n";
    vec![text.into()]
}

/// Headers of RPM's.
#[must_use]
pub fn headers() -> Vec<Vec<u8>> {
    let mut kept = Kept::default();
    let mut source = DATABASE;
    blobs(&mut source, "Packages", &mut kept).expect("SQLite wrote it");
    kept.headers.truncate(4);
    kept.headers
}

/// SQLite's files.
#[must_use]
pub fn databases() -> Vec<Vec<u8>> {
    vec![DATABASE.to_vec()]
}

/// What a package's own file says, of both languages.
#[must_use]
pub fn language_files() -> Vec<Vec<u8>> {
    let node = r#"{"author": {"name": "no"}, "name": "@ward/pump", "files": ["version", "1"], "x": 1.5e3, "version": "1.2.3-b.1"}"#;
    let python = "Metadata-Version: 2.1\nName: Flask-Login\nVersion: 0.6.3\n\ntext\n";
    vec![node.into(), python.into()]
}

/// Unpacks an inventory: what comes out keeps its bounds, and packed anew comes out as the same.
#[must_use]
pub fn unpacks(packed: &Packed) -> bool {
    let Ok(inventory) = packed.unpack() else { return false };
    let bytes = wire::write(&inventory).len();
    assert!(bytes <= limits::RECORD_BYTES, "{bytes} bytes out of a record");
    if let Some(again) = Packed::of(&inventory) {
        assert_eq!(again.unpack(), Ok(inventory));
    }
    true
}

/// Applies a change to nothing, the only inventory that an input can name: what comes out has the root that it says.
#[must_use]
pub fn applies(delta: Delta) -> bool {
    let root = delta.root;
    match delta.apply(&Inventory::default()) {
        Ok(inventory) => assert_eq!(inventory.root(), root),
        Err(Mismatch::Base | Mismatch::Root) => {}
    }
    true
}

#[derive(Default)]
struct Kept {
    headers: Vec<Vec<u8>>,
    packages: usize,
}

impl Rows for Kept {
    fn extent(&self, front: &[u8]) -> usize {
        rpm::extent(front)
    }

    fn take(&mut self, blob: &[u8]) {
        assert!(blob.len() <= limits::RPM_HEADER_BYTES, "more than asked for");
        self.packages += usize::from(header(blob));
        self.headers.push(blob.to_vec());
    }

    fn broken(&mut self) {}
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '\0', '\n'])
}

fn lines(input: &[u8], mut entry: Entry) -> bool {
    let mut found = 0;
    let mut add = |package: Option<Package>| {
        if let Some(Package { name, version, architecture, source, source_version }) = package {
            let words = [name, version, architecture, source, source_version];
            assert!(words.iter().all(|word| is_word(word) && !word.contains(' ')), "{words:?}");
            found += 1;
        }
    };
    for line in input.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            add(entry.finish().unwrap_or_default());
        } else {
            entry.take(line);
        }
    }
    add(entry.finish().unwrap_or_default());
    found > 0
}

/// Reads apk's database.
#[must_use]
pub fn apk_database(input: &[u8]) -> bool {
    lines(input, Entry::Apk(apk::Entry::default()))
}

/// Reads opkg's database.
#[must_use]
pub fn opkg_database(input: &[u8]) -> bool {
    if let Some(source) = str::from_utf8(input).ok().and_then(opkg::source) {
        assert!(is_word(source), "{source}");
    }
    lines(input, Entry::Opkg(opkg::Entry::default()))
}

/// Reads a header. What a longer front asks for is no less than what a shorter one did, until it is enough.
#[must_use]
pub fn header(input: &[u8]) -> bool {
    let mut asked = 0;
    loop {
        let wanted = rpm::extent(input.get(..asked).unwrap_or(input));
        assert!(wanted <= limits::RPM_HEADER_BYTES);
        if wanted <= asked || asked > input.len() {
            break;
        }
        asked = wanted;
    }
    let Ok(Some(package)) = rpm::package(input) else { return false };
    let words =
        [&package.name, &package.version, &package.architecture, &package.source, &package.source_version];
    assert!(words.into_iter().all(|word| is_word(word)), "{words:?}");
    assert!(package.source_version.contains(':'), "an epoch is always told");
    if let Some(front) = input.get(..asked) {
        assert_eq!(rpm::package(front), Ok(Some(package)), "the bytes that matter tell the same package");
    }
    true
}

/// Reads a database of headers, in either form.
#[must_use]
pub fn database(input: &[u8]) -> bool {
    let (mut one, mut other) = (Kept::default(), Kept::default());
    let (mut pages, mut slots) = (input, input);
    let read = blobs(&mut pages, "Packages", &mut one).is_ok();
    let read_slots = ndb::blobs(&mut slots, &mut other).is_ok();
    (read || read_slots) && one.packages + other.packages > 0
}

/// Reads what a package of a language says of itself.
#[must_use]
pub fn language_file(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    let found = [node::package(text), python::package(text)];
    for (name, version) in found.into_iter().flatten() {
        assert!(!name.is_empty() && is_word(version), "{name} {version}");
    }
    found.iter().any(Option::is_some)
}
