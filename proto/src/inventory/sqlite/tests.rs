//! Tests of the reader of SQLite's files: one that SQLite itself wrote, and every kind of damage to it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::inventory::rpm;

/// Written by SQLite 3.40: pages of 512 bytes, a table before `Packages`, fifteen headers of which two reach over several
/// pages, the seventh deleted, and a last row that holds a text.
const GOLDEN: &[u8] = include_bytes!("../../../golden/inventory/rpmdb.sqlite");

#[derive(Default)]
struct Seen {
    names: Vec<String>,
    broken: usize,
}

impl Rows for Seen {
    fn extent(&self, front: &[u8]) -> usize {
        rpm::extent(front)
    }

    fn take(&mut self, blob: &[u8]) {
        match rpm::package(blob) {
            Ok(package) => {
                self.names.extend(package.map(|package| format!("{} {}", package.name, package.version)))
            }
            Err(_) => self.broken += 1,
        }
    }

    fn broken(&mut self) {
        self.broken += 1;
    }
}

fn read(mut file: &[u8], table: &str) -> Result<(Vec<String>, usize), Fault> {
    let mut seen = Seen::default();
    blobs(&mut file, table, &mut seen).map(|()| (seen.names, seen.broken))
}

#[test]
fn a_database_that_sqlite_wrote_is_read_row_by_row() {
    // Goal: every package that is there, none that is gone. Method: a golden file with leaves, an inner page and overflow pages.
    let (names, broken) = read(GOLDEN, "Packages").expect("is one");
    let wanted: Vec<String> =
        (0..15).filter(|n| *n != 6).map(|n| format!("ward-{n:02} 1:3.0.7-24.el9")).collect();
    assert_eq!((names, broken), (wanted, 1), "a row without a blob is told");
    assert_eq!(read(GOLDEN, "Basenames"), Err(Fault::NoTable));
    assert_eq!(read(b"RpmP", "Packages"), Err(Fault::Short));
    assert_eq!(read(&[b'x'; 512], "Packages"), Err(Fault::NoDatabase));
}

#[test]
fn a_database_that_is_cut_off_is_never_read_as_whole() {
    // Goal: half a database is not a machine with half its packages. Method: cut at every page.
    for pages in 1..GOLDEN.len() / 512 {
        let whole = read(GOLDEN, "Packages").expect("is one");
        let found = read(&GOLDEN[..pages * 512], "Packages");
        assert!(found.as_ref().map_or(true, |(_, broken)| *broken > whole.1), "{pages}: {found:?}");
    }
}

#[test]
fn pages_that_point_in_a_circle_end() {
    // Goal: no file holds up the reader. Method: the inner page's last child is the inner page itself.
    let mut file = GOLDEN.to_vec();
    let inner = file.chunks_exact(512).skip(1).position(|page| page[0] == INTERIOR).expect("is there") + 1;
    let itself = u32::try_from(inner + 1).expect("small").to_be_bytes();
    file[inner * 512 + 8..inner * 512 + 12].copy_from_slice(&itself);
    assert_eq!(read(&file, "Packages"), Err(Fault::Endless));
}

proptest! {
    #[test]
    fn any_damage_is_read_without_a_panic(places in prop::collection::vec((0_usize..1 << 16, any::<u8>()), 1..8)) {
        let mut file = GOLDEN.to_vec();
        for (at, byte) in places {
            let at = at % file.len();
            file[at] = byte;
        }
        let _ = read(&file, "Packages");
    }
}
