//! Writing documents: they read back as written, signatures add up, and the bytes are pinned.

use super::super::fault::Fault;
use super::super::key::Ed25519Strict;
use super::super::testing::*;
use super::*;
use crate::ids::Sha256;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use proptest::prelude::*;

#[test]
fn what_is_written_reads_back_the_same() {
    // Goal: author and reader agree. Method: all four kinds of a repository with a delegation.
    let mut repository = Repository::new();
    repository.delegate("supplier", 41, &["supplier/*"]);
    repository.next_version();
    assert_eq!(Root::read(&root(&repository.root)), Ok(repository.root));
    assert_eq!(Timestamp::read(&timestamp(&repository.timestamp)), Ok(repository.timestamp));
    assert_eq!(Snapshot::read(&snapshot(&repository.snapshot)), Ok(repository.snapshot));
    assert_eq!(Targets::read(&targets(&repository.targets)), Ok(repository.targets));
}

#[test]
fn two_people_sign_one_after_the_other() {
    // Goal: two workstations, one document. Method: the second signature is added to the bytes of the first.
    let orders = authority(&[51, 52], 2);
    let expires = NOW.plus_seconds(60);
    let signed = targets(&empty_targets(expires));
    let first = signed_by(&signed, &[51]);
    let count = |bytes: &[u8]| Document::parse(bytes, 1 << 16).unwrap().count(&orders, &Ed25519Strict);
    assert_eq!(count(&first), 1);
    let (sign_first, sign_second) = (sign_with(51), sign_with(52));
    let one = Signer { key: public(51).id(), sign: &sign_first };
    let other = Signer { key: public(52).id(), sign: &sign_second };
    let again = add_signature(&first, 1 << 16, &one);
    assert_eq!(again, Err(SignError::AlreadySigned(public(51).id())));
    let both = add_signature(&first, 1 << 16, &other).unwrap();
    assert_eq!(count(&both), 2);
    assert_eq!(both, signed_by(&signed, &[51, 52]));
    let fault = add_signature(b"{}", 1 << 16, &other);
    assert!(matches!(fault, Err(SignError::Document(Fault::Envelope(_)))));
}

#[test]
fn documents_are_golden() {
    // Goal: bytes never change by accident, since signatures cover them. Method: one text in full, the digests of
    // the files of a fixed repository.
    let repository = Repository::new();
    let text = String::from_utf8(timestamp(&repository.timestamp).canonical()).unwrap();
    let snapshot_file = &repository.files["1.snapshot.json"];
    let (hash, length) = (Sha256::of(snapshot_file), snapshot_file.len());
    let meta =
        format!(r#"{{"snapshot.json":{{"hashes":{{"sha256":"{hash}"}},"length":{length},"version":1}}}}"#);
    let head = r#""_type":"timestamp","expires":"2028-01-15T08:00:00Z""#;
    assert_eq!(text, format!(r#"{{{head},"meta":{meta},"spec_version":"1.0.34","version":1}}"#));
    let digests: BTreeMap<String, String> = repository
        .files
        .iter()
        .map(|(name, bytes)| (name.clone(), format!("{}", Sha256::of(bytes))))
        .collect();
    let golden = include_str!("../../../golden/update/repository.txt");
    let made: String = digests.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    assert_eq!(made, golden);
}

proptest! {
    #[test]
    fn any_files_survive_writing_and_reading(
        files in prop::collection::btree_map("[a-z/]{1,12}", (any::<u64>(), any::<[u8; 32]>()), 0..6),
        version in 1_u64..,
    ) {
        let mut made = empty_targets(NOW);
        made.version = version;
        for (path, (length, hash)) in files {
            let custom = Some(Value::object([("v", Value::from(1))]));
            made.targets.insert(path.to_owned(), super::super::metadata::TargetFile::new(length, Sha256(hash), custom));
        }
        let bytes = signed_by(&targets(&made), &[1]);
        let document = Document::parse(&bytes, 1 << 16).unwrap();
        prop_assert_eq!(document.demand(&authority(&[1], 1), &Ed25519Strict), Ok(()));
        prop_assert_eq!(Targets::read(document.signed()), Ok(made));
    }
}
