//! Every byte of every metadata file flipped: refused, or the file still says exactly the same.
//!
//! What may pass is a flip in a spare signature, and one that only writes a digit of a signature as a capital. Each file
//! is tried where it is offered and where it is stored.

use super::super::Role;
use super::super::document::Document;
use super::super::metadata::MetaFile;
use super::super::testing::*;
use super::super::{Fault, TrustError};
use super::Trusted;
use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

#[test]
fn every_flipped_byte_of_a_root_is_refused_or_changes_nothing() {
    // Goal: no byte escapes the signature. Method: all bytes of a root with one signature more than needed; what is
    // still accepted must say exactly the same.
    let mut repository = Repository::new();
    repository.next_root(&[1, 2, 3]);
    let good = repository.files["2.root.json"].clone();
    let start = Trusted::start(&repository.files["1.root.json"], &rules()).unwrap();
    let mut accepted = vec![];
    let wanted = Document::parse(&good, 1 << 16).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        let mut trusted = start.clone();
        if trusted.rotate(&bad, &rules()).is_ok() {
            let document = Document::parse(&bad, 1 << 16).unwrap();
            assert_eq!(document.signed(), wanted.signed(), "byte {place}");
            accepted.push(place);
        }
    }
    // Each of the three signatures is 128 digits under an id of 64: any one may be spoilt.
    assert!(
        accepted.len() > 3 * 128 && accepted.len() < good.len() / 2,
        "{} of {}",
        accepted.len(),
        good.len()
    );
}

/// Whether two documents are the same but for how the digits of their signatures are written.
fn same(one: &[u8], other: &[u8]) -> bool {
    let [one, other] = [one, other].map(|bytes| Document::parse(bytes, 1 << 16).unwrap());
    (one.signed(), one.signatures()) == (other.signed(), other.signatures())
}

/// Flips one bit in each byte of a file, tries it, and returns the places at which it was still believed: the same file.
fn believed(good: &[u8], accepts: impl Fn(&[u8]) -> Result<(), TrustError>) -> Vec<usize> {
    assert_eq!(accepts(good), Ok(()), "unbent it is believed");
    let mut places = vec![];
    for place in 0..good.len() {
        let mut bad = good.to_owned();
        bad[place] ^= 1 << (place % 8);
        if accepts(&bad).is_ok() {
            assert!(same(&bad, good), "byte {place} changes what is believed");
            places.push(place);
        }
    }
    places
}

/// A repository with a delegated role that states neither lengths nor hashes, so that signatures alone hold it, or all.
fn repository(stated: bool) -> Repository {
    let mut repository = Repository::new();
    repository.delegate("supplier", 41, &["supplier/*"]).targets.insert("supplier/1".to_owned(), file(b"1"));
    repository.next_version();
    if !stated {
        let bare = |meta: &mut MetaFile| (meta.length, meta.hashes) = (None, None);
        repository.snapshot.meta.values_mut().for_each(bare);
        repository.publish_online();
        bare(&mut repository.timestamp.snapshot);
        repository.write_timestamp();
    }
    repository
}

#[test]
fn every_flipped_byte_of_an_offered_file_is_refused() {
    // Goal: no byte of timestamp, snapshot, targets or a delegated role escapes. Method: one bit of each, once with
    // lengths and hashes stated and once with signatures alone. None has a spare signature: only capitals may pass, and
    // under a stated hash not even these.
    for stated in [true, false] {
        let repository = repository(stated);
        let rules = rules();
        let file = |name: &str| repository.files[name].as_slice();
        let root = Trusted::start(file("1.root.json"), &rules).unwrap();
        let timestamp = root.clone().timestamp(file("timestamp.json"), &rules).unwrap();
        let snapshot = timestamp.clone().snapshot(file("2.snapshot.json"), &rules).unwrap();
        let targets = snapshot.clone().targets(file("2.targets.json"), &rules).unwrap();
        let timestamps =
            believed(file("timestamp.json"), |bad| root.clone().timestamp(bad, &rules).map(drop));
        let snapshots =
            believed(file("2.snapshot.json"), |bad| timestamp.clone().snapshot(bad, &rules).map(drop));
        let tops = believed(file("2.targets.json"), |bad| snapshot.clone().targets(bad, &rules).map(drop));
        let supplier = |bad: &[u8]| targets.delegated("supplier", bad, &rules).map(drop);
        let roles = believed(file("2.supplier.json"), supplier);
        let roots = believed(file("1.root.json"), |bad| Trusted::start(bad, &rules).map(drop));
        for places in [&timestamps, &roots] {
            assert!(places.len() < 40, "capitals of at most two signatures: {places:?}");
        }
        for places in [snapshots, tops, roles] {
            assert!(if stated { places.is_empty() } else { places.len() < 40 }, "{places:?}");
        }
    }
}

#[test]
fn every_flipped_byte_of_a_stored_file_leaves_the_device_able_to_refresh_and_no_older_file_is_believed() {
    // Goal: a spoilt disk neither stops updates nor lowers a version by itself. Method: each file kept by a refresh is
    // bent; what is recalled of it bounds exactly as before or not at all, and the honest repository is taken.
    let repository = repository(true);
    let mut kept = Client::new(&repository);
    assert!(kept.find(&repository, "supplier/1").unwrap().is_some());
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets, Role::Delegated("supplier".to_owned())] {
        let name = super::super::name::file(&role);
        let good = kept.stored[&name].clone();
        for place in (0..good.len()).step_by(7) {
            let mut client = kept.clone();
            client.stored.get_mut(&name).unwrap()[place] ^= 1 << (place % 8);
            let found = client.find(&repository, "supplier/1").unwrap().expect("listed");
            assert_eq!(found.file, file(b"1"), "{name}, byte {place}");
            assert!(same(&client.stored[&name], &good), "the honest file is there again, byte {place}");
        }
    }
}

#[test]
fn a_file_cut_short_anywhere_or_followed_by_anything_is_refused() {
    // Goal: the whole file and nothing but the file. Method: every length of a timestamp, and one byte more.
    let repository = Repository::new();
    let root = Trusted::start(&repository.files["1.root.json"], &rules()).unwrap();
    let good = &repository.files["timestamp.json"];
    for length in 0..good.len() {
        assert!(root.clone().timestamp(&good[..length], &rules()).is_err(), "{length} bytes");
    }
    for more in 0..=u8::MAX {
        let longer = [good.as_slice(), &[more]].concat();
        let space = matches!(more, b' ' | b'\t' | b'\n' | b'\r');
        let offered = root.clone().timestamp(&longer, &rules());
        assert_eq!(offered.is_ok(), space, "followed by byte {more}");
        assert!(space || matches!(offered.unwrap_err().fault, Fault::Json(_)));
    }
}
