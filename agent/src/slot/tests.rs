//! Slots under good and bad bytes, short and full media, links and swaps.
//!
//! Tests only; see [`super`].

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::writing::Sink as _;
use super::*;

/// A medium in memory with a size and a memory for mishaps.
#[derive(Default)]
struct Fake {
    bytes: Vec<u8>,
    room: usize,
    /// A byte that the medium gives back wrong.
    rotten: Option<usize>,
}

impl Fake {
    fn of(room: usize) -> Self {
        Self { room, ..Self::default() }
    }
}

impl Medium for Fake {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).expect("small");
        if at + bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.resize(self.bytes.len().max(at + bytes.len()), 0);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let at = usize::try_from(at).expect("small");
        let left = self.bytes.get(at..).unwrap_or_default();
        // Short reads are allowed and must not matter.
        let read = left.len().min(bytes.len()).min(1000);
        bytes[..read].copy_from_slice(&left[..read]);
        if let Some(rotten) = self.rotten.filter(|rotten| (at..at + read).contains(rotten)) {
            bytes[rotten - at] ^= 1;
        }
        Ok(read)
    }

    fn apart(&self) -> io::Result<Flush> {
        Ok(Box::new(|| Ok(())))
    }
}

/// What a whole image hashes to as the medium gives it back.
fn read_back(written: &SlotWriter<Fake>) -> Sha256 {
    assert!(written.is_whole());
    let hashed = hash_first(&written.medium, &written.path, written.length).expect("reads");
    Sha256(hashed.finalize().into())
}

fn image(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).expect("a byte")).collect()
}

#[test]
fn every_byte_of_an_image_flipped_once_is_another_image() {
    // Goal: no byte of an artefact escapes. Method: one bit of each byte, cut by one, longer by one, empty; written into a
    // slot as a device does, and hashed as it is read back. What is not the signed hash is never armed: the machine's test.
    let good = image(3000);
    let hash = |bytes: &[u8]| {
        let length = u64::try_from(bytes.len()).expect("small");
        let mut writer = writer(Fake::of(10_000), length);
        writer.write(0, bytes).expect("is written");
        read_back(&writer)
    };
    let signed = Sha256::of(&good);
    assert_eq!(hash(&good), signed);
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        assert_ne!(hash(&bad), signed, "byte {place}");
    }
    assert_ne!(hash(&good[..good.len() - 1]), signed);
    assert_ne!(hash(&[good.as_slice(), &[0]].concat()), signed);
}

fn writer(medium: Fake, length: u64) -> SlotWriter<Fake> {
    SlotWriter::resume(medium, Path::new("slot"), (length, 0))
}

fn slots(root: &Path) -> Slots {
    fs::write(root.join("a"), b"the running image").expect("writes");
    Slots::new([root.join("a"), root.join("b")])
}

#[test]
fn a_medium_that_gives_back_one_wrong_byte_is_noticed() {
    // Goal: re-hash of the slot, not of the stream. Method: rot one byte after writing.
    let bytes = image(5000);
    for (rotten, good) in [(None, true), (Some(4321), false)] {
        let mut writer = writer(Fake { rotten, ..Fake::of(5000) }, 5000);
        writer.write(0, &bytes).expect("written");
        assert_eq!(read_back(&writer) == Sha256::of(&bytes), good);
    }
}

#[test]
fn bytes_too_many_too_few_or_of_another_place_are_refused() {
    // Goal: endless and truncated images. Method: one byte over, one under, a gap, an overlap.
    let refused = |result: Result<(), SlotError>| result.expect_err("refused").fault() == FetchFault::Damaged;
    let mut over = writer(Fake::of(9000), 5000);
    over.write(0, &image(4999)).expect("written");
    assert!(refused(over.write(4999, &[1, 2])));
    assert!(refused(over.write(5000, &[1])), "a gap");
    assert!(refused(over.write(0, &[1])), "an overlap");
    assert!(refused(over.write(u64::MAX, &[1])));
    assert!(!over.is_whole(), "one byte is missing");
}

#[test]
fn a_full_medium_is_a_clean_error_and_what_is_synced_stays() {
    // Goal: disk full. Method: a medium with room for half, then more room.
    let bytes = image(4000);
    let mut first = writer(Fake::of(2000), 4000);
    first.write(0, &bytes[..1500]).expect("written");
    assert_eq!(first.write(1500, &bytes[1500..3000]).expect_err("full").fault(), FetchFault::DiskFull);
    let medium = Fake { room: 4000, ..first.medium };
    let mut second = SlotWriter::resume(medium, Path::new("slot"), (4000, 1500));
    second.write(1500, &bytes[1500..]).expect("written");
    assert_eq!(read_back(&second), Sha256::of(&bytes));
}

#[test]
fn a_file_slot_is_written_privately_and_cut_to_its_image() {
    // Goal: real files. Method: a longer earlier image, then the new one, then its hash by path.
    let root = tempfile::tempdir().expect("a scratch folder");
    let slots = slots(root.path());
    fs::write(root.path().join("b"), image(9000)).expect("writes");
    let bytes = image(5000);
    let mut writer = slots.write(Slot::B, Slot::A, (5000, 0)).expect("opens");
    writer.write(0, &bytes[..3000]).expect("written");
    drop(writer);
    let mut writer = slots.write(Slot::B, Slot::A, (5000, 3000)).expect("resumes");
    assert_eq!(writer.offset(), 3000);
    writer.write(3000, &bytes[3000..]).expect("written");
    assert!(writer.is_whole());
    assert_eq!(slots.hash(Slot::B, 5000).expect("reads"), Sha256::of(&bytes));
    assert_eq!(fs::read(root.path().join("b")).expect("reads"), bytes, "nothing of the longer image is left");
    assert!(slots.hash(Slot::B, 4999).is_err(), "a longer file is another image");
    assert!(slots.hash(Slot::B, 5001).is_err());
    assert_eq!(fs::read(root.path().join("a")).expect("reads"), b"the running image");
    fs::remove_file(root.path().join("b")).expect("removed");
    let lost = slots.write(Slot::B, Slot::A, (10, 5)).err().expect("what was held is gone");
    assert_eq!(lost.fault(), FetchFault::Damaged);
    drop(slots.write(Slot::B, Slot::A, (10, 0)).expect("made"));
    let mode = fs::metadata(root.path().join("b")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_running_slot_is_never_opened_for_writing_under_any_name() {
    // Goal: never brick. Method: the slot itself, a hard link, a symbolic link, a folder.
    let root = tempfile::tempdir().expect("a scratch folder");
    let slots = slots(root.path());
    assert!(matches!(slots.write(Slot::A, Slot::A, (10, 0)), Err(SlotError::Running { .. })));
    fs::hard_link(root.path().join("a"), root.path().join("b")).expect("linked");
    assert!(matches!(slots.write(Slot::B, Slot::A, (10, 0)), Err(SlotError::Running { .. })));
    fs::remove_file(root.path().join("b")).expect("removed");
    std::os::unix::fs::symlink(root.path().join("a"), root.path().join("b")).expect("linked");
    assert!(slots.write(Slot::B, Slot::A, (10, 0)).is_err() && slots.hash(Slot::B, 17).is_err());
    assert_eq!(fs::read(root.path().join("a")).expect("reads"), b"the running image");
    fs::remove_file(root.path().join("b")).expect("removed");
    fs::create_dir(root.path().join("b")).expect("made");
    assert!(slots.write(Slot::B, Slot::A, (10, 0)).is_err());
    assert!(matches!(slots.hash(Slot::B, 0), Err(SlotError::Kind(_))));
}

#[test]
fn an_image_swapped_after_it_was_written_is_not_the_one_that_is_read_back() {
    // Goal: time of check, time of use: what is read back is what stands at the slot's path, which is what is booted, and
    // not what was written. Method: rename another image of the same length over the slot between writing and read-back.
    let root = tempfile::tempdir().expect("a scratch folder");
    let slots = slots(root.path());
    let bytes = image(2000);
    let mut writer = slots.write(Slot::B, Slot::A, (2000, 0)).expect("opens");
    writer.write(0, &bytes).expect("written");
    assert!(writer.is_whole());
    let evil: Vec<u8> = bytes.iter().rev().copied().collect();
    fs::write(root.path().join("evil"), &evil).expect("writes");
    fs::rename(root.path().join("evil"), root.path().join("b")).expect("swapped");
    assert_eq!(slots.hash(Slot::B, 2000).expect("reads"), Sha256::of(&evil), "it is found out");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.min(64)))]

    #[test]
    fn however_it_is_cut_into_pieces_and_attempts_the_image_is_the_same(
        length in 1_usize..6000, pieces in proptest::collection::vec((1_usize..900, any::<bool>()), 0..20),
    ) {
        let bytes = image(length);
        let whole = u64::try_from(length).expect("small");
        let mut open = writer(Fake::of(length), whole);
        let mut at = 0;
        for (size, broken_off) in pieces {
            let end = (at + size).min(length);
            // Whoever sends may begin anew before the next byte.
            let from = at.saturating_sub(size / 2);
            open.take(u64::try_from(from).expect("small"), &bytes[from..end]).expect("written");
            at = end;
            if broken_off {
                let offset = open.offset();
                open = SlotWriter::resume(open.medium, Path::new("slot"), (whole, offset));
            }
        }
        open.write(u64::try_from(at).expect("small"), &bytes[at..]).expect("written");
        prop_assert_eq!(read_back(&open), Sha256::of(&bytes));
    }
}
