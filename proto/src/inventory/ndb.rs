//! RPM's own database `Packages.db` (SUSE and openSUSE; rpm's lib/backend/ndb/rpmpkg.c): a table of slots, each naming the
//! place of a header.
//!
//! All numbers are in little-endian order. Places count in blocks of 16 bytes. A slot that names no header, or another than
//! the one that lies there, is broken and costs only itself. Nothing here opens a file. Read next: [`super::rpm`].

use alloc::vec;

use super::database::{Fault, Source};
use super::sqlite::Rows;
use crate::limits;

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT: u32 = u32::from_le_bytes(*b"Slot");
const BLOB: u32 = u32::from_le_bytes(*b"BlbS");
/// Bytes of a slot, of a block, and of the head of a header.
const BLOCK: usize = 16;
const PAGE: usize = 4096;
/// Bytes of the file's own head, in the place of the first slots.
const FILE_HEAD: usize = 32;

/// Reads the headers of a database.
///
/// # Errors
/// The file is no such database, or ends too early.
pub fn blobs(source: &mut dyn Source, rows: &mut dyn Rows) -> Result<(), Fault> {
    let mut page = vec![0; PAGE];
    let mut head = [0; FILE_HEAD];
    source.read(0, &mut head)?;
    if (word(&head, 0), word(&head, 4)) != (Some(MAGIC), Some(0)) {
        return Err(Fault::NoDatabase);
    }
    let pages = word(&head, 12).ok_or(Fault::NoDatabase)?;
    if usize::try_from(pages).map_err(|_| Fault::Endless)? > limits::RPM_SLOT_PAGES {
        return Err(Fault::Endless);
    }
    for number in 0..pages {
        source.read(u64::from(number) * 4096, &mut page)?;
        let skip = if number == 0 { FILE_HEAD } else { 0 };
        for slot in page.chunks_exact(BLOCK).skip(skip / BLOCK) {
            let [Some(magic), Some(package), Some(place), Some(_)] = [0, 4, 8, 12].map(|at| word(slot, at))
            else {
                return Err(Fault::Broken);
            };
            if magic != SLOT {
                return Err(Fault::Broken);
            }
            // A slot that is free names no package.
            if place != 0 {
                one(source, (package, place), rows);
            }
        }
    }
    Ok(())
}

/// Reads one header.
fn one(source: &mut dyn Source, (package, place): (u32, u32), rows: &mut dyn Rows) {
    let at = u64::from(place) * 16;
    let mut head = [0; BLOCK];
    let known =
        source.read(at, &mut head).is_ok() && word(&head, 0) == Some(BLOB) && word(&head, 4) == Some(package);
    let length = word(&head, 12).and_then(|length| usize::try_from(length).ok()).filter(|_| known);
    let Some(length) = length else { return rows.broken() };
    let mut blob = vec![];
    loop {
        let wanted = rows.extent(&blob).min(length);
        if wanted <= blob.len() {
            return rows.take(&blob);
        }
        blob.resize(wanted, 0);
        if source.read(at + 16, &mut blob).is_err() {
            return rows.broken();
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::inventory::rpm::{self, tests::sample};

    #[derive(Default)]
    struct Names {
        names: Vec<String>,
        broken: usize,
    }

    impl Rows for Names {
        fn extent(&self, front: &[u8]) -> usize {
            rpm::extent(front)
        }

        fn take(&mut self, blob: &[u8]) {
            match rpm::package(blob) {
                Ok(package) => self.names.extend(package.map(|package| package.name)),
                Err(_) => self.broken += 1,
            }
        }

        fn broken(&mut self) {
            self.broken += 1;
        }
    }

    /// A database of one page of slots and these headers.
    fn database(headers: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [MAGIC, 0, 1, 1, 100, 0, 0, 0] {
            file.extend(word.to_le_bytes());
        }
        let mut body = Vec::new();
        for (place, header) in headers.iter().enumerate() {
            let block = u32::try_from((PAGE + body.len()) / BLOCK).expect("small");
            let number = u32::try_from(place + 1).expect("small");
            let length = u32::try_from(header.len()).expect("small");
            for word in [SLOT, number, block, length.div_ceil(16) + 2] {
                file.extend(word.to_le_bytes());
            }
            for word in [BLOB, number, 1, length] {
                body.extend(word.to_le_bytes());
            }
            body.extend(header);
            body.resize(body.len().next_multiple_of(BLOCK) + BLOCK, 0);
        }
        while file.len() < PAGE {
            for word in [SLOT, 0, 0, 0] {
                file.extend(word.to_le_bytes());
            }
        }
        [file, body].concat()
    }

    fn names(file: &[u8]) -> Result<(Vec<String>, usize), Fault> {
        let (mut source, mut rows) = (file, Names::default());
        blobs(&mut source, &mut rows).map(|()| (rows.names, rows.broken))
    }

    #[test]
    fn every_slot_in_use_is_a_package_and_a_broken_one_costs_only_itself() {
        // Goal: openSUSE's packages. Method: a database by the source's own layout; a slot that points elsewhere, one
        // that points to another package's header; other bytes.
        let file = database(&[sample("zypper"), sample("bash"), sample("curl")]);
        let all = ["zypper", "bash", "curl"].map(ToString::to_string).to_vec();
        assert_eq!(names(&file), Ok((all.clone(), 0)));
        let mut astray = file.clone();
        astray[FILE_HEAD + BLOCK + 8] ^= 1;
        assert_eq!(names(&astray), Ok(([&all[..1], &all[2..]].concat(), 1)));
        let mut of_another = file.clone();
        of_another.copy_within(FILE_HEAD + 8..FILE_HEAD + 12, FILE_HEAD + BLOCK + 8);
        assert_eq!(names(&of_another), Ok(([&all[..1], &all[2..]].concat(), 1)), "a package told twice");
        assert_eq!(names(&file[..file.len() - 1000]).expect("is one").1, 1, "the last header is cut off");
        assert_eq!(names(&file[..4000]), Err(Fault::Short));
        assert_eq!(names(b"SQLite format 3\0 and something more of it"), Err(Fault::NoDatabase));
        let mut endless = file;
        endless[12..16].copy_from_slice(&[0xff; 4]);
        assert_eq!(names(&endless), Err(Fault::Endless));
    }

    proptest! {
        #[test]
        fn any_damage_is_read_without_a_panic(at in 0_usize..5000, byte in any::<u8>()) {
            let mut file = database(&[sample("zypper"), sample("bash")]);
            let at = at % file.len();
            file[at] = byte;
            let _ = names(&file);
        }
    }
}
