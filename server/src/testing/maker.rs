//! A manufacturer for tests: keys of its own, releases, and whole publications that really verify.
//!
//! Nothing here is used outside tests.

use std::collections::BTreeMap;

use cordon_proto::canonical::Value;
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::key::{Authority, PublicKey};
use cordon_proto::update::metadata::{
    MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp as TimestampRole,
};
use cordon_proto::update::release::{Confirm, FileRef, Image, InterlockClass, Needs, Recall, Release};
use ed25519_dalek::{Signer as _, SigningKey};

use super::text;

/// The bytes of a file by its hash.
pub(crate) type Bytes = BTreeMap<Sha256, Vec<u8>>;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::ed25519(key(seed).verifying_key().to_bytes())
}

fn authority(seeds: &[u8], threshold: u64) -> Authority {
    Authority::new(seeds.iter().map(|seed| public(*seed)), threshold).expect("a reachable threshold")
}

fn signed(value: &Value, seeds: &[u8]) -> Vec<u8> {
    let makers: Vec<_> =
        seeds.iter().map(|seed| move |m: &[u8]| key(*seed).sign(m).to_bytes().to_vec()).collect();
    let signers: Vec<Signer<'_>> =
        seeds.iter().zip(&makers).map(|(seed, sign)| Signer { key: public(*seed).id(), sign }).collect();
    sign(value, &signers)
}

/// A file of these bytes, kept for the upload.
pub(crate) fn file(bytes: &[u8], kept: &mut Bytes) -> FileRef {
    let sha256 = Sha256::of(bytes);
    kept.insert(sha256, bytes.to_vec());
    FileRef { length: u64::try_from(bytes.len()).expect("short"), sha256 }
}

/// A release of the VP-3, hardware C, interlock `application`, whose image is its own name.
pub(crate) fn release(path: &str, counter: u64, kept: &mut Bytes) -> Release {
    let FileRef { length, sha256 } = file(path.as_bytes(), kept);
    Release {
        image: Image { release: path.parse().expect("a path"), length, sha256 },
        model: text("VP-3"),
        hardware: vec![text("C")],
        counter,
        floor: 0,
        min_from: 0,
        interlock: InterlockClass::Application,
        confirm: Confirm::Checkin,
        recall: Recall::None,
        needs: Needs::None,
        support: BTreeMap::new(),
        sbom: None,
        vex: None,
        mud: None,
        deltas: Vec::new(),
    }
}

/// A whole publication in the order in which it is sent, the timestamp last.
pub(crate) fn publication(now: Timestamp, version: u64, releases: &[Release]) -> Vec<(String, Vec<u8>)> {
    let expires = now.plus_seconds(300 * 86_400);
    let root = Root {
        version: 1,
        expires: Timestamp(4_000_000_000),
        consistent_snapshot: true,
        root: authority(&[41, 42], 2),
        timestamp: authority(&[45], 1),
        snapshot: authority(&[44], 1),
        targets: authority(&[43], 1),
    };
    let pumps = DelegatedRole {
        name: "vp-3".to_owned(),
        authority: authority(&[46, 47], 2),
        paths: Paths::Patterns(vec!["vp-3/*".to_owned()]),
        terminating: true,
    };
    let delegations = Delegations { roles: vec![pumps] };
    let targets = author::targets(&Targets { version, expires, targets: BTreeMap::new(), delegations });
    let listed = releases.iter().map(|one| {
        let file = TargetFile::new(one.image.length, one.image.sha256, Some(one.custom()));
        (one.image.release.as_str().to_owned(), file)
    });
    let role = Targets { version, expires, targets: listed.collect(), delegations: Delegations::default() };
    let (targets, role) = (signed(&targets, &[43]), signed(&author::targets(&role), &[46, 47]));
    let meta = BTreeMap::from([
        ("targets.json".to_owned(), MetaFile::of(version, &targets)),
        ("vp-3.json".to_owned(), MetaFile::of(version, &role)),
    ]);
    let snapshot = signed(&author::snapshot(&Snapshot { version, expires, meta }), &[44]);
    let newest = TimestampRole { version, expires, snapshot: MetaFile::of(version, &snapshot) };
    vec![
        ("1.root.json".to_owned(), signed(&author::root(&root), &[41, 42])),
        (format!("{version}.targets.json"), targets),
        (format!("{version}.vp-3.json"), role),
        (format!("{version}.snapshot.json"), snapshot),
        ("timestamp.json".to_owned(), signed(&author::timestamp(&newest), &[45])),
    ]
}
