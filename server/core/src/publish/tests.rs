//! Tests of publishing, with throw-away keys and real signatures.

use alloc::vec;

use cordon_proto::update::author::{Signer, sign};
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::key::Ed25519Strict;
use cordon_proto::update::trust::{Freshness, Sizes};
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

const NOW: Timestamp = Timestamp(1_795_251_906);
const YEAR_S: i64 = 365 * 86_400;

fn rules(now: Timestamp) -> Rules<'static> {
    Rules { verifier: &Ed25519Strict, now, sizes: Sizes::DEVICE, freshness: Freshness::Own }
}

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

/// Root keys 1 to 3 (2 of them), targets 4 to 6 (2), snapshot 7, timestamp 8, orders 9 and 10 (both).
fn root(version: u64, root_seeds: &[u8]) -> Value {
    author::root(&Root {
        version,
        expires: NOW.plus_seconds(YEAR_S),
        consistent_snapshot: true,
        root: authority(root_seeds, 2),
        timestamp: authority(&[8], 1),
        snapshot: authority(&[7], 1),
        targets: authority(&[4, 5, 6], 2),
    })
}

fn targets(version: u64) -> Value {
    let orders = DelegatedRole {
        name: "orders".to_string(),
        authority: authority(&[9, 10], 2),
        paths: Paths::Patterns(vec!["order/*".to_string()]),
        terminating: true,
    };
    author::targets(&Targets {
        version,
        expires: NOW.plus_seconds(YEAR_S),
        targets: BTreeMap::new(),
        delegations: Delegations { roles: vec![orders] },
    })
}

fn orders(version: u64) -> Value {
    let expires = NOW.plus_seconds(90 * 86_400);
    author::targets(&Targets {
        version,
        expires,
        targets: BTreeMap::new(),
        delegations: Delegations::default(),
    })
}

fn online() -> OnlineKeys {
    OnlineKeys { snapshot: public(7), timestamp: public(8) }
}

fn published() -> Director {
    let mut director = Director::default();
    let files = [
        ("1.root.json", signed(&root(1, &[1, 2, 3]), &[1, 2])),
        ("1.targets.json", signed(&targets(1), &[4, 5])),
        ("1.orders.json", signed(&orders(1), &[9, 10])),
    ];
    for (file, bytes) in files {
        let accepted = director.accept(file, &bytes, &online(), &rules(NOW)).expect(file);
        assert_eq!(accepted.file.as_str(), file);
    }
    director
}

#[test]
fn a_whole_ceremony_is_taken_in_and_a_device_would_believe_it() {
    // Goal: what the server serves passes the devices' own workflow. Method: publish, renew, sign, run the workflow.
    let mut director = published();
    let renewal = director.renewal(NOW, &rules(NOW)).expect("readable").expect("complete");
    let snapshot = signed(&renewal.snapshot_value(), &[7]);
    let timestamp = signed(&renewal.timestamp_value(&snapshot), &[8]);
    let files: Files = [
        ("1.root.json".to_string(), director.root.clone().expect("a root")),
        ("1.targets.json".to_string(), director.targets.clone().expect("targets")),
        ("1.orders.json".to_string(), director.delegated["orders"].clone()),
        (renewal.snapshot_file().expect("a name").as_str().to_string(), snapshot),
        ("timestamp.json".to_string(), timestamp),
    ]
    .into();
    let roles = verify_image(&files, Earlier::default(), &rules(NOW)).expect("verifies");
    assert_eq!(roles.iter().map(|role| role.targets.version).collect::<Vec<_>>(), [1, 1]);
    director.renewed(&renewal);
    assert_eq!((director.snapshot_version, director.timestamp_version), (1, 1));
    assert!(!director.is_due(NOW) && director.is_due(NOW.plus_seconds(2 * 86_400)));
}

#[test]
fn whose_keys_signed_the_orders_is_told_with_how_many_had_to() {
    // Goal: a page names no key that did not sign. Method: both keys and a foreign one beside them; a role that is not there.
    let mut director = published();
    let bytes = signed(&orders(2), &[9, 10, 11]);
    director.accept("2.orders.json", &bytes, &online(), &rules(NOW)).expect("accepted");
    let (mut keys, threshold) = director.signers("orders", &rules(NOW)).expect("reads");
    let mut wanted = [9, 10].map(|seed| public(seed).id().0.to_string());
    keys.sort();
    wanted.sort();
    assert_eq!((keys.as_slice(), threshold), (wanted.as_slice(), 2));
    assert_eq!(director.signers("spare", &rules(NOW)), Ok((vec![], 0)));
    assert_eq!(Director::default().signers("orders", &rules(NOW)), Ok((vec![], 0)));
}

#[test]
fn too_few_foreign_or_expired_signatures_are_named() {
    // Goal: a mistake is seen at the workstation. Method: one damage a case.
    let refused = |file: &str, bytes: Vec<u8>, now| {
        published().accept(file, &bytes, &online(), &rules(now)).expect_err(file).to_string()
    };
    let one = refused("2.orders.json", signed(&orders(2), &[9]), NOW);
    assert!(one.contains("only 1 of the 2 signatures"), "{one}");
    let foreign = refused("2.orders.json", signed(&orders(2), &[11, 12]), NOW);
    assert!(foreign.contains("only 0 of the 2"), "{foreign}");
    let late = NOW.plus_seconds(91 * 86_400);
    assert!(refused("2.orders.json", signed(&orders(2), &[9, 10]), late).contains("expired"));
    assert!(refused("2.spare.json", signed(&orders(2), &[9, 10]), NOW).contains("no role `spare`"));
    assert!(refused("snapshot.json", signed(&orders(2), &[7]), NOW).contains("itself"));
    assert!(refused("../root", signed(&orders(2), &[7]), NOW).contains("not the name"));
}

#[test]
fn an_older_document_is_refused_and_the_same_one_accepted_again() {
    // Goal: no version goes back; a repeated upload is harmless. Method: orders 2, then 2 again, then 1.
    let mut director = published();
    let second = signed(&orders(2), &[9, 10]);
    for _ in 0..2 {
        director.accept("2.orders.json", &second, &online(), &rules(NOW)).expect("accepted");
    }
    let first = signed(&orders(1), &[10, 9]);
    let refusal = director.accept("1.orders.json", &first, &online(), &rules(NOW)).expect_err("older");
    assert!(
        matches!(refusal, Refused::Trust(TrustError { fault: Fault::Version { wanted: 3, found: 1 }, .. })),
        "{refusal:?}"
    );
    assert_eq!(director.delegated["orders"], second, "nothing was changed");
}

#[test]
fn a_root_that_does_not_name_this_servers_keys_is_refused() {
    // Goal: a root for another server would take updates away from every device. Method: other online keys.
    let first = signed(&root(1, &[1, 2, 3]), &[1, 2]);
    let other = OnlineKeys { snapshot: public(20), timestamp: public(8) };
    let refusal = Director::default().accept("1.root.json", &first, &other, &rules(NOW));
    assert_eq!(refusal, Err(Refused::OnlineKey("snapshot")));
    let rotated = signed(&root(2, &[1, 2, 13]), &[1, 2]);
    let accepted = published().accept("2.root.json", &rotated, &online(), &rules(NOW)).expect("rotates");
    assert_eq!(accepted.version, 2);
    let skipped = signed(&root(3, &[1, 2, 13]), &[1, 2]);
    assert!(
        published().accept("3.root.json", &skipped, &online(), &rules(NOW)).is_err(),
        "versions go one by one"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_and_names_are_refused_without_a_panic(
        name in "[0-9]{0,2}\\.?[a-z./]{0,12}(\\.json)?", bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)
    ) {
        proptest::prop_assert!(published().accept(&name, &bytes, &online(), &rules(NOW)).is_err());
    }
}
