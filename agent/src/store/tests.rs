//! Two copies: what one damaged file costs, what two do, and every step at which the power can go.
//!
//! Tests only; see [`super`].

use std::fs;
use std::io;
use std::path::Path;

use cordon_agent_core::update::{Installed, Slot};
use cordon_proto::update::release::InterlockClass;
use proptest::prelude::*;

use super::*;

pub(crate) fn record(counter: u64) -> Record {
    Record::factory(Installed {
        release: Some("vp-3/4.1.0".parse().expect("a path")),
        counter,
        sha256: Sha256([41; 32]),
        length: 4096,
        slot: Slot::A,
        interlock: InterlockClass::Application,
    })
}

fn counter(found: &Found<Record>) -> Option<u64> {
    match found {
        Found::Nothing => None,
        Found::Newest { value, .. } => Some(value.installed.counter),
    }
}

fn folder(path: &Path) -> Folder {
    Folder::open(path.join("state")).expect("opens")
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("reads");
    let place = at % bytes.len();
    bytes[place] ^= 1;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn records_alternate_between_two_copies_and_the_newest_counts() {
    // Goal: two generations on disk. Method: store three, read with a fresh store each time.
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = folder(root.path());
    let mut store = SecurityStore::new(folder.clone());
    assert_eq!(store.load().expect("reads"), Found::Nothing);
    store.create(&record(1)).expect("created");
    assert!(matches!(store.create(&record(9)), Err(PairError::Exists(_))), "nothing is ever started over");
    for number in 2..5 {
        store.store(&wire::write(&record(number))).expect("stored");
        let mut fresh = SecurityStore::new(folder.clone());
        assert_eq!(counter(&fresh.load().expect("reads")), Some(number));
    }
    assert_eq!(folder.names().expect("lists"), ["security.a", "security.b"]);
}

#[test]
fn a_damaged_newest_copy_falls_back_to_the_other_and_is_reported_and_healed() {
    // Goal: one rotten file is no downgrade beyond one step. Method: flip a byte in the newest, read, store, read.
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = folder(root.path());
    let mut store = SecurityStore::new(folder.clone());
    store.create(&record(1)).expect("created");
    store.store(&wire::write(&record(2))).expect("stored");
    flip(&folder.path().join("security.b"), 60);
    let mut after = SecurityStore::new(folder.clone());
    let found = after.load().expect("reads");
    assert_eq!(counter(&found), Some(1));
    let Found::Newest { damage: Some(damage), .. } = found else { panic!("reported") };
    assert_eq!(damage.file, "security.b");
    after.store(&wire::write(&record(3))).expect("stored");
    let healed = SecurityStore::new(folder).load().expect("reads");
    assert_eq!(healed, Found::Newest { value: record(3), damage: None });
}

#[test]
fn two_damaged_copies_stop_all_installing_and_are_never_reset() {
    // Goal: a lost floor is not a fresh device. Method: damage both; then remove one and damage the other.
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = folder(root.path());
    let mut store = SecurityStore::new(folder.clone());
    store.create(&record(1)).expect("created");
    store.store(&wire::write(&record(2))).expect("stored");
    flip(&folder.path().join("security.a"), 70);
    flip(&folder.path().join("security.b"), 3);
    let error = SecurityStore::new(folder.clone()).load().expect_err("lost");
    assert!(error.to_string().contains("Nothing is installed"), "{error}");
    assert!(SecurityStore::new(folder.clone()).create(&record(1)).is_err());
    folder.remove("security.a").expect("removed");
    assert!(
        matches!(SecurityStore::new(folder).load(), Err(PairError::Lost { .. })),
        "a damaged one alone too"
    );
}

#[test]
fn a_copy_that_is_whole_but_of_no_known_meaning_counts_as_damaged() {
    // Goal: a record of an unreadable later version does not crash or reset the device. Method: garbage, well summed.
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = folder(root.path());
    let mut store = SecurityStore::new(folder.clone());
    store.create(&record(1)).expect("created");
    store.store(b"not CBOR of a record").expect("stored");
    let found = SecurityStore::new(folder).load().expect("reads");
    assert!(matches!(&found, Found::Newest { damage: Some(_), .. }) && counter(&found) == Some(1));
}

#[test]
fn a_store_that_dies_at_any_step_leaves_the_old_or_the_new_record() {
    // Goal: power cuts in the middle of a write. Method: fail before each step of the file's write.
    for step in ["create", "fill", "sync", "rename", "sync folder"] {
        let root = tempfile::tempdir().expect("a scratch folder");
        let plain = folder(root.path());
        let mut store = SecurityStore::new(plain.clone());
        store.create(&record(1)).expect("created");
        let dying = plain.clone().hooked(move |at, _| match at == step {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => Ok(()),
        });
        let mut dying = SecurityStore::new(dying);
        dying.load().expect("reads");
        let error = dying.store(&wire::write(&record(2))).expect_err("dies");
        assert!(matches!(error, PairError::File(FileError::DiskFull { .. })), "{error}");
        let after = counter(&SecurityStore::new(plain.clone()).load().expect("reads"));
        assert!(after == Some(1) || (step == "sync folder" && after == Some(2)), "{step}: {after:?}");
        dying.load().expect("reads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.min(64)))]

    #[test]
    fn any_single_flipped_byte_is_noticed(at in any::<usize>(), second in any::<bool>()) {
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = folder(root.path());
        let mut store = SecurityStore::new(folder.clone());
        store.create(&record(1)).expect("created");
        store.store(&wire::write(&record(2))).expect("stored");
        let name = if second { "security.b" } else { "security.a" };
        flip(&folder.path().join(name), at);
        let found = SecurityStore::new(folder).load().expect("reads");
        let noticed = matches!(&found, Found::Newest { damage: Some(damage), .. } if damage.file == name);
        prop_assert!(noticed, "byte {at} of {name}");
        prop_assert_eq!(counter(&found), Some(if second { 1 } else { 2 }));
    }

    #[test]
    fn any_bytes_as_a_copy_are_damage_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(split(&bytes).is_none());
    }
}
