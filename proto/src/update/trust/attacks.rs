//! The attacks of TUF 1.0.34 section 1.5 and of the threat model, one test each: what the attacker holds, what the
//! client must say, and that it goes on from there.

use super::super::author;
use super::super::fetch::Mirrors;
use super::super::testing::*;
use super::super::{Fault, Role, TrustError};
use crate::canonical::Value;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

fn fault(result: Result<impl Sized, TrustError>) -> (Role, Fault) {
    let error = result.err().expect("the attack must be refused");
    (error.role, error.fault)
}

fn refresh(client: &mut Client, repository: &Repository) -> Result<(), TrustError> {
    client.refresh(repository, &rules()).map(drop)
}

fn replace(repository: &mut Repository, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    change(repository.files.get_mut(file).expect(file));
}

/// The document with `signed` changed and the old signatures kept.
fn tampered(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_owned()).unwrap();
    assert!(text.contains(from), "{from} not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn arbitrary_metadata_is_refused_in_every_role() {
    // Goal: nothing unsigned is believed. Method: the signed part of each file is changed, its signatures are kept.
    let honest = Repository::new();
    for (file, role) in [("timestamp.json", Role::Timestamp), ("1.snapshot.json", Role::Snapshot)] {
        let mut evil = honest.clone();
        replace(&mut evil, file, |bytes| *bytes = tampered(bytes, "1.0.34", "1.0.35"));
        let (found, fault) = fault(refresh(&mut Client::new(&honest), &evil));
        assert_eq!(found, role);
        assert!(matches!(fault, Fault::Threshold { .. } | Fault::Hash), "{fault:?}");
    }
    let mut evil = honest.clone();
    evil.root.version = 2;
    evil.write_root(&[1, 99]);
    assert_eq!(
        fault(refresh(&mut Client::new(&honest), &evil)),
        (Role::Root, Fault::Threshold { valid: 1, needed: 2 })
    );
    // The server signs snapshot and timestamp itself, so a forged targets file gets its hash: the threshold holds.
    let mut evil = honest.clone();
    evil.targets.targets.insert("app/1.img".to_owned(), file(b"forged image"));
    let forged = signed_by(&author::targets(&evil.targets), &[11, 21, 31]);
    evil.snapshot.meta.insert("targets.json".to_owned(), super::MetaFile::of(1, &forged));
    evil.files.insert("1.targets.json".to_owned(), forged);
    evil.publish_online();
    assert_eq!(
        fault(refresh(&mut Client::new(&honest), &evil)),
        (Role::Targets, Fault::Threshold { valid: 1, needed: 2 })
    );
}

#[test]
fn endless_data_is_cut_at_the_limit_in_every_role() {
    // Goal: nobody makes the client read without end. Method: each file is followed by spaces beyond its limit.
    let honest = Repository::new();
    let sizes = rules().sizes;
    for (file, role, limit) in [
        ("2.root.json", Role::Root, sizes.root),
        ("timestamp.json", Role::Timestamp, sizes.timestamp),
        ("1.snapshot.json", Role::Snapshot, sizes.snapshot),
        ("1.targets.json", Role::Targets, sizes.targets),
    ] {
        let mut evil = honest.clone();
        evil.files.entry(file.to_owned()).or_default().resize(limit * 4, b' ');
        let (found, fault) = fault(refresh(&mut Client::new(&honest), &evil));
        assert_eq!(found, role);
        let signed_length = matches!(fault, Fault::Length { .. });
        assert!(fault == (Fault::TooLong { limit }) || signed_length, "{fault:?}");
    }
    // Without a signed length the limit of the role holds.
    let mut evil = honest.clone();
    evil.timestamp.snapshot.length = None;
    evil.timestamp.snapshot.hashes = None;
    evil.write_timestamp();
    evil.files.get_mut("1.snapshot.json").unwrap().resize(sizes.snapshot * 4, b' ');
    let limit = sizes.snapshot;
    assert_eq!(fault(refresh(&mut Client::new(&honest), &evil)), (Role::Snapshot, Fault::TooLong { limit }));
}

#[test]
fn freeze_ends_when_any_role_expires() {
    // Goal: silence is noticed. Method: each role in turn expires one second before the others, at exactly `now`.
    for role in [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets] {
        let mut repository = Repository::new();
        match role {
            Role::Root => repository.root.expires = NOW,
            Role::Timestamp => repository.timestamp.expires = NOW,
            Role::Snapshot => repository.snapshot.expires = NOW,
            Role::Targets | Role::Delegated(_) => repository.targets.expires = NOW,
        }
        repository.write_root(&[1, 2]);
        repository.publish();
        let mut rules = rules();
        let mut client = Client::new(&repository);
        assert_eq!(fault(client.refresh(&repository, &rules)), (role, Fault::Expired { at: NOW }));
        rules.now = NOW.plus_seconds(-1);
        assert!(client.refresh(&repository, &rules).is_ok());
    }
}

#[test]
fn a_bundle_stands_in_for_the_expiry_of_snapshot_and_timestamp_alone() {
    // Goal: a stick is as fresh as its signed index, and no other role is forgiven. Method: both ways round.
    let old = NOW.plus_seconds(-1);
    let mut repository = Repository::new();
    (repository.snapshot.expires, repository.timestamp.expires) = (old, old);
    repository.publish();
    let mut rules = rules();
    let fresh = NOW.plus_seconds(60);
    rules.freshness = super::Freshness::Bundle { expires: fresh };
    assert!(Client::new(&repository).refresh(&repository, &rules).is_ok());
    rules.freshness = super::Freshness::Bundle { expires: NOW };
    let stale = Client::new(&repository).refresh(&repository, &rules);
    assert_eq!(fault(stale), (Role::Timestamp, Fault::Expired { at: NOW }));
    rules.freshness = super::Freshness::Bundle { expires: fresh };
    repository.targets.expires = old;
    repository.publish();
    let stale = Client::new(&repository).refresh(&repository, &rules);
    assert_eq!(fault(stale), (Role::Targets, Fault::Expired { at: old }));
    repository.root.expires = old;
    repository.write_root(&[1, 2]);
    let stale = Client::new(&repository).refresh(&repository, &rules);
    assert_eq!(fault(stale), (Role::Root, Fault::Expired { at: old }));
}

#[test]
fn fast_forward_is_undone_by_rotating_the_online_keys() {
    // Goal: a thief of the online keys cannot stop updates for ever. Method: versions jump to the end of the range,
    // the owner rotates both keys and starts again at 2.
    let mut repository = Repository::new();
    let mut client = Client::new(&repository);
    let mut evil = repository.clone();
    (evil.snapshot.version, evil.timestamp.version) = (u64::MAX, u64::MAX);
    evil.snapshot.meta.insert(
        "targets.json".to_owned(),
        super::MetaFile { version: u64::MAX, ..super::MetaFile::of(1, b"") },
    );
    evil.publish_online();
    assert_eq!(fault(refresh(&mut client, &evil)).0, Role::Targets);
    assert_eq!(client.stored.len(), 3, "root, timestamp and snapshot of the thief are stored");
    repository.next_version();
    let (role, refused) = fault(refresh(&mut client, &repository));
    assert_eq!((role, refused), (Role::Timestamp, Fault::Rollback { trusted: u64::MAX, offered: 2 }));
    (repository.root.snapshot, repository.root.timestamp) = (authority(&[22], 1), authority(&[32], 1));
    (repository.snapshot_seed, repository.timestamp_seed) = (22, 32);
    repository.next_root(&[2, 3]);
    repository.publish();
    assert_eq!(refresh(&mut client, &repository), Ok(()));
    assert_eq!(
        refresh(&mut client, &evil),
        Err(Fault::Threshold { valid: 0, needed: 1 }.of(Role::Timestamp))
    );
}

#[test]
fn fast_forward_is_undone_by_rotating_either_online_key() {
    // Goal: both stored files go when one key changes (TUF 5.3.11). Method: the thief's timestamp or snapshot still has a
    // valid key after the other one was rotated, and must bound nothing all the same.
    for (snapshot, timestamp) in [(22, 31), (21, 32)] {
        let mut repository = Repository::new();
        let mut client = Client::new(&repository);
        let mut evil = repository.clone();
        (evil.snapshot.version, evil.timestamp.version) = (u64::MAX, u64::MAX);
        evil.publish_online();
        assert_eq!(refresh(&mut client, &evil), Ok(()));
        repository.root.snapshot = authority(&[snapshot], 1);
        repository.root.timestamp = authority(&[timestamp], 1);
        (repository.snapshot_seed, repository.timestamp_seed) = (snapshot, timestamp);
        repository.next_root(&[2, 3]);
        repository.next_version();
        assert_eq!(refresh(&mut client, &repository), Ok(()), "{snapshot} and {timestamp}");
    }
}

#[test]
fn mix_and_match_of_versions_is_refused() {
    // Goal: files of different moments never meet. Method: old targets under the new name, old snapshot likewise.
    let mut repository = Repository::new();
    let old_targets = repository.files["1.targets.json"].clone();
    let old_snapshot = repository.files["1.snapshot.json"].clone();
    repository.next_version();
    let mut evil = repository.clone();
    evil.files.insert("2.targets.json".to_owned(), old_targets.clone());
    assert_eq!(fault(refresh(&mut Client::new(&repository), &evil)), (Role::Targets, Fault::Hash));
    let mut evil = repository.clone();
    evil.files.insert("2.snapshot.json".to_owned(), old_snapshot.clone());
    assert_eq!(fault(refresh(&mut Client::new(&repository), &evil)), (Role::Snapshot, Fault::Hash));
    // Without hashes the versions alone must do.
    let bare = |version| super::MetaFile { version, length: None, hashes: None };
    repository.snapshot.meta.insert("targets.json".to_owned(), bare(2));
    repository.publish_online();
    repository.timestamp.snapshot = bare(2);
    repository.write_timestamp();
    let wanted = Fault::Version { wanted: 2, found: 1 };
    let mut evil = repository.clone();
    evil.files.insert("2.targets.json".to_owned(), old_targets);
    assert_eq!(fault(refresh(&mut Client::new(&repository), &evil)), (Role::Targets, wanted.clone()));
    repository.files.insert("2.snapshot.json".to_owned(), old_snapshot);
    assert_eq!(fault(refresh(&mut Client::new(&repository), &repository)), (Role::Snapshot, wanted));
}

#[test]
fn rollback_of_the_root_is_refused() {
    // Goal: roots only go forward by one. Method: the next root's file holds the same, an older, and a skipped version.
    let mut repository = Repository::new();
    let mut client = Client::new(&repository);
    repository.next_root(&[1, 2]);
    assert_eq!(refresh(&mut client, &repository), Ok(()));
    for found in [1, 2, 4] {
        let mut evil = repository.clone();
        evil.root.version = found;
        let bytes = signed_by(&author::root(&evil.root), &[1, 2, 3]);
        evil.files.insert("3.root.json".to_owned(), bytes);
        let refused = fault(refresh(&mut client, &evil));
        assert_eq!(refused, (Role::Root, Fault::Version { wanted: 3, found }));
    }
}

#[test]
fn rollback_of_the_timestamp_is_refused_even_if_the_stored_one_has_expired() {
    // Goal: an old stick shows nothing new. Method: the first timestamp again after the second, and a year later.
    let mut repository = Repository::new();
    let old = repository.clone();
    let mut client = Client::new(&repository);
    repository.next_version();
    assert_eq!(refresh(&mut client, &repository), Ok(()));
    let refused = (Role::Timestamp, Fault::Rollback { trusted: 2, offered: 1 });
    assert_eq!(fault(refresh(&mut client, &old)), refused);
    let mut later = rules();
    later.now = repository.timestamp.expires;
    let mut old = old;
    old.timestamp.expires = later.now.plus_seconds(60);
    old.write_timestamp();
    old.root.expires = later.now.plus_seconds(60);
    old.next_root(&[1, 2]);
    assert_eq!(fault(client.refresh(&old, &later)), refused);
}

#[test]
fn rollback_of_the_snapshot_is_refused() {
    // Goal: a newer timestamp cannot name an older snapshot. Method: timestamp 3 names snapshot 1 after 2.
    let mut repository = Repository::new();
    let old = repository.clone();
    let mut client = Client::new(&repository);
    repository.next_version();
    assert_eq!(refresh(&mut client, &repository), Ok(()));
    let mut evil = old;
    evil.timestamp.version = 3;
    evil.write_timestamp();
    let wanted = Fault::RollbackOf { file: "snapshot.json".to_owned(), trusted: 2, offered: 1 };
    assert_eq!(fault(refresh(&mut client, &evil)), (Role::Timestamp, wanted));
    // The stored timestamp is lost: the stored snapshot still holds the line.
    client.stored.remove("timestamp.json");
    let wanted = Fault::Rollback { trusted: 2, offered: 1 };
    assert_eq!(fault(refresh(&mut client, &evil)), (Role::Snapshot, wanted));
}

#[test]
fn rollback_and_removal_of_targets_roles_are_refused() {
    // Goal: a newer snapshot cannot bring back or lose a role. Method: both, for the top-level and a delegated role.
    let mut repository = Repository::new();
    repository.delegate("supplier", 41, &["supplier/*"]);
    repository.next_version();
    let old = repository.clone();
    let mut client = Client::new(&repository);
    repository.next_version();
    assert_eq!(refresh(&mut client, &repository), Ok(()));
    for name in ["targets.json", "supplier.json"] {
        let mut evil = repository.clone();
        evil.next_online_version();
        evil.snapshot.meta.insert(name.to_owned(), old.snapshot.meta[name].clone());
        evil.publish_online();
        let wanted = Fault::RollbackOf { file: name.to_owned(), trusted: 3, offered: 2 };
        assert_eq!(fault(refresh(&mut client.clone(), &evil)), (Role::Snapshot, wanted));
        evil.snapshot.meta.remove(name);
        evil.publish_online();
        let wanted = Fault::Removed { file: name.to_owned() };
        assert_eq!(fault(refresh(&mut client.clone(), &evil)), (Role::Snapshot, wanted));
    }
}

#[test]
fn wrong_software_is_refused_although_the_same_signers_signed_it() {
    // Goal: what is installed is what was asked for. Method: another listed image, an older one and one of another
    // role are served in its place.
    let mut repository = Repository::new();
    repository.targets.targets.insert("app/2.img".to_owned(), file(b"image two"));
    repository.delegate("pump", 43, &["pump/*"]).targets.insert("pump/1.img".to_owned(), file(b"image pmp"));
    repository.next_version();
    let mut client = Client::new(&repository);
    let asked = client.find(&repository, "app/2.img").unwrap().expect("listed").file;
    assert_eq!(asked.check(b"image two"), Ok(()));
    for other in [&b"image one"[..], b"image pmp"] {
        assert_eq!(asked.check(other), Err(Fault::Hash), "of the same length, and signed, but another");
    }
    let pump = client.find(&repository, "pump/1.img").unwrap().expect("listed").file;
    assert_eq!(pump.check(b"image two"), Err(Fault::Hash));
    assert_eq!(client.find(&repository, "pump/2.img"), Ok(None), "a path that nobody lists is no file");
}

#[test]
fn extraneous_dependencies_are_neither_believed_nor_fetched() {
    // Goal: one name is one file; nobody can add what has to come along. Method: a supplier lists a library for the
    // pump and an installer for everyone, its image's `custom` names both, and its role delegates to helpers.
    let mut repository = Repository::new();
    repository.delegate("pump", 43, &["pump/*"]).targets.insert("pump/1.img".to_owned(), file(b"pump"));
    let supplier = repository.delegate("supplier", 41, &["supplier/*"]);
    let mut image = file(b"good");
    image.custom =
        Some(Value::object([("requires", Value::list(["pump/lib", "everyone/setup", "supplier/more"]))]));
    supplier.targets.insert("supplier/1.img".to_owned(), image);
    for path in ["pump/lib", "everyone/setup", "supplier/more"] {
        supplier.targets.insert(path.to_owned(), file(b"unwanted"));
    }
    supplier.delegations.roles.push(delegation("helpers", 42, &["pump/*", "everyone/*", "supplier/deep"]));
    repository.add_role("helpers", 42).targets.insert("everyone/setup".to_owned(), file(b"unwanted"));
    repository.next_version();
    let mut client = Client::new(&repository);
    assert!(client.find(&repository, "supplier/1.img").unwrap().is_some());
    let wanted = ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "2.supplier.json"];
    assert_eq!(client.fetched, wanted, "the image's own chain and nothing that it names");
    for path in ["pump/lib", "everyone/setup"] {
        assert_eq!(client.find(&repository, path), Ok(None), "{path}");
    }
    let pump = client.find(&repository, "pump/1.img").unwrap().expect("listed");
    assert_eq!(pump.role, Role::Delegated("pump".to_owned()));
}

#[test]
fn malicious_mirrors_only_cost_time() {
    // Goal: one honest mirror is enough. Method: every kind of bad mirror before it, in each place, over one client.
    let mut repository = Repository::new();
    let old = repository.clone();
    let mut client = Client::new(&repository);
    repository.next_version();
    assert_eq!(refresh(&mut client, &repository), Ok(()));
    repository.next_version();
    let mut bad = vec![old];
    let mut broken = |change: &dyn Fn(&mut Repository)| {
        let mut mirror = repository.clone();
        change(&mut mirror);
        bad.push(mirror);
    };
    broken(&|mirror| mirror.files.clear());
    broken(&|mirror| mirror.files.values_mut().for_each(|bytes| bytes.truncate(bytes.len() / 2)));
    broken(&|mirror| mirror.files.values_mut().for_each(|bytes| bytes.resize(1 << 20, b' ')));
    broken(&|mirror| drop(mirror.files.insert("2.root.json".to_owned(), b"{}".to_vec())));
    broken(&|mirror| {
        replace(mirror, "3.snapshot.json", |bytes| *bytes = tampered(bytes, "1.0.34", "1.0.35"))
    });
    // Last, because what it shows of timestamp and snapshot is right and stays.
    broken(&|mirror| drop(mirror.files.remove("3.targets.json")));
    for count in 1..=bad.len() {
        let mut mirrors = Mirrors::new(count + 1);
        let mut device = client.clone();
        let served = loop {
            let mirror =
                bad.get(mirrors.current()).filter(|_| mirrors.current() < count).unwrap_or(&repository);
            match refresh(&mut device, mirror) {
                Ok(()) => break mirrors.current(),
                Err(_) => assert!(mirrors.failed(), "the honest one had no turn"),
            }
        };
        assert_eq!(served, count, "the honest one, behind {count} bad ones");
        assert_eq!(device.stored["targets.json"], repository.files["3.targets.json"]);
    }
}

#[test]
fn keys_stolen_below_the_thresholds_sign_nothing_that_counts() {
    // Goal: one thief is not enough. Method: the thief holds both online keys, one of two keys of root and of targets
    // and a supplier's, and tries an image, the pump's role, new keys for every role, and the supplier's thresholds.
    let mut honest = Repository::new();
    honest.delegate("pump", 43, &["pump/*"]).targets.insert("pump/1.img".to_owned(), file(b"pump"));
    honest.delegate("supplier", 41, &["supplier/*"]);
    honest.next_version();
    let client = Client::new(&honest);
    let forged = file(b"forged image");
    let publish = |role: &str, path: &str, seeds: &[u8]| {
        let mut evil = honest.clone();
        let mut targets =
            evil.delegated.get(role).map_or(evil.targets.clone(), |(targets, _)| targets.clone());
        targets.version = 3;
        targets.targets.insert(path.to_owned(), forged.clone());
        let bytes = signed_by(&author::targets(&targets), seeds);
        evil.snapshot.meta.insert(alloc::format!("{role}.json"), super::MetaFile::of(3, &bytes));
        evil.files.insert(alloc::format!("3.{role}.json"), bytes);
        evil.next_online_version();
        evil.publish_online();
        client.clone().find(&evil, path).map(|found| found.map(|found| found.file))
    };
    let few = |role: Role, valid| Err(Fault::Threshold { valid, needed: valid + 1 }.of(role));
    let all = [1, 11, 21, 31, 41];
    assert_eq!(publish("targets", "app/1.img", &all), few(Role::Targets, 1));
    assert_eq!(publish("pump", "pump/1.img", &all), few(Role::Delegated("pump".to_owned()), 0));
    // A stolen delegated key is worth its own paths, by design of delegations, and no other.
    assert_eq!(publish("supplier", "supplier/1.img", &all), Ok(Some(forged.clone())));
    assert_eq!(publish("supplier", "pump/1.img", &all), Ok(Some(file(b"pump"))));
    let mut evil = honest.clone();
    evil.root.root = authority(&[1], 1);
    evil.root.targets = authority(&[11], 1);
    evil.next_root(&all);
    assert_eq!(client.clone().find(&evil, "app/1.img").map(drop), few(Role::Root, 1).map(drop));
}

#[test]
fn a_wrong_target_is_refused() {
    // Goal: only the listed bytes are the file. Method: another length, another content, no usable hash.
    let repository = Repository::new();
    let found = Client::new(&repository).find(&repository, "app/1.img").unwrap().expect("listed");
    assert_eq!(found.role, Role::Targets);
    assert_eq!(found.file.check(b"image one"), Ok(()));
    assert_eq!(found.file.check(b"image two"), Err(Fault::Hash));
    assert_eq!(found.file.check(b"image"), Err(Fault::Length { wanted: 9, found: 5 }));
    let mut bare = found.file;
    bare.hashes = super::super::metadata::Hashes::default();
    assert_eq!(bare.check(b"image one"), Err(Fault::NoKnownHash));
    assert_eq!(Client::new(&repository).find(&repository, "app/2.img"), Ok(None));
}

#[test]
fn thresholds_count_different_keys() {
    // Goal: two signatures mean two people. Method: one key under two ids, one listed twice, one signing twice.
    let honest = Repository::new();
    let root = |mut signed: Value, seeds: &[u8], change: &dyn Fn(&mut Value)| {
        change(&mut signed);
        signed_by(&signed, seeds)
    };
    let mut next = honest.root.clone();
    next.version = 2;
    let signed = author::root(&next);
    let offer = |bytes: Vec<u8>| {
        let mut evil = honest.clone();
        evil.files.insert("2.root.json".to_owned(), bytes);
        refresh(&mut Client::new(&honest), &evil)
    };
    let few = Err(Fault::Threshold { valid: 1, needed: 2 }.of(Role::Root));
    assert_eq!(offer(root(signed.clone(), &[1], &|_| {})), few);
    assert_eq!(offer(root(signed.clone(), &[1, 99], &|_| {})), few);
    assert_eq!(offer(root(signed.clone(), &[1, 3], &|_| {})), Ok(()));
    let twice = offer(root(signed.clone(), &[1, 1], &|_| {}));
    assert_eq!(twice, Err(Fault::DuplicateSignature(public(1).id()).of(Role::Root)));
    // The new root lists key 1 again under the name of key 2; both old keys signed it, but only one key of its own.
    let text = String::from_utf8(signed.canonical()).unwrap();
    let key = |seed: u8| String::from_utf8(public(seed).to_value().canonical()).unwrap();
    let renamed = Value::parse(text.replace(&key(2), &key(1)).as_bytes(), 1 << 16).unwrap();
    assert!(offer(signed_by(&renamed, &[1, 2])).is_err());
    // Too few keys for the threshold can never be met.
    let unreachable = text.replacen("\"threshold\":2", "\"threshold\":4", 1);
    let unreachable = Value::parse(unreachable.as_bytes(), 1 << 16).unwrap();
    assert_eq!(
        offer(signed_by(&unreachable, &[1, 2, 3])),
        Err(Fault::Unreachable { keys: 3, needed: 4 }.of(Role::Root))
    );
    let zero =
        Value::parse(text.replacen("\"threshold\":2", "\"threshold\":0", 1).as_bytes(), 1 << 16).unwrap();
    assert!(matches!(fault(offer(signed_by(&zero, &[1, 2]))), (Role::Root, Fault::Field(_))));
}

#[test]
fn spoilt_extra_signatures_do_not_matter() {
    // Goal: nobody can spoil a good document by adding to it. Method: empty, non-hexadecimal, foreign and cut extras.
    let mut repository = Repository::new();
    for extra in ["", "zz", "00", &"ab".repeat(64)] {
        for seed in [3, 99] {
            let mut evil = repository.clone();
            evil.root.version = 2;
            evil.write_root(&[1, 2]);
            let id = public(seed).id();
            replace(&mut evil, "2.root.json", |bytes| {
                let added = alloc::format!("\"signatures\":[{{\"keyid\":\"{id}\",\"sig\":\"{extra}\"}},");
                *bytes = tampered(bytes, "\"signatures\":[", &added);
            });
            assert_eq!(refresh(&mut Client::new(&repository), &evil), Ok(()));
        }
    }
    repository.files.get_mut("timestamp.json").unwrap().extend_from_slice(b" \n");
    let mut client = Client::new(&repository);
    assert_eq!(refresh(&mut client, &repository), Ok(()));
    assert_eq!(
        client.stored["timestamp.json"], repository.files["timestamp.json"],
        "received bytes are kept"
    );
}

#[test]
fn the_wrong_role_cannot_sign() {
    // Goal: online keys stay online keys. Method: snapshot's key signs the timestamp, the timestamp's the targets,
    // and a timestamp is served as a snapshot.
    let honest = Repository::new();
    let mut evil = honest.clone();
    evil.timestamp_seed = 21;
    evil.publish_online();
    let none = |role: Role, needed: u64| (role, Fault::Threshold { valid: 0, needed });
    assert_eq!(fault(refresh(&mut Client::new(&honest), &evil)), none(Role::Timestamp, 1));
    let mut evil = honest.clone();
    let forged = signed_by(&author::targets(&evil.targets), &[21, 31]);
    evil.snapshot.meta.insert("targets.json".to_owned(), super::MetaFile::of(1, &forged));
    evil.files.insert("1.targets.json".to_owned(), forged);
    evil.publish_online();
    assert_eq!(fault(refresh(&mut Client::new(&honest), &evil)), none(Role::Targets, 2));
    // One key for both roles, as small owners do: the kind of document must still be right.
    let mut evil = honest;
    evil.root.snapshot = authority(&[31], 1);
    evil.snapshot_seed = 31;
    evil.write_root(&[1, 2]);
    evil.publish_online();
    let other = signed_by(&author::timestamp(&evil.timestamp), &[31]);
    evil.timestamp.snapshot = super::MetaFile::of(1, &other);
    evil.files.insert("1.snapshot.json".to_owned(), other);
    evil.write_timestamp();
    assert_eq!(fault(refresh(&mut Client::new(&evil), &evil)), (Role::Snapshot, Fault::Type));
}

#[test]
fn a_malicious_delegation_reaches_only_its_own_paths() {
    // Goal: a supplier speaks for itself alone. Method: it lists another's file, and delegates that file on.
    let mut repository = Repository::new();
    let supplier = repository.delegate("supplier", 41, &["supplier/*"]);
    supplier.targets.insert("pump/1.img".to_owned(), file(b"evil"));
    supplier.targets.insert("supplier/1.img".to_owned(), file(b"good"));
    supplier.delegations.roles.push(delegation("accomplice", 42, &["*/*"]));
    repository.add_role("accomplice", 42).targets.insert("pump/1.img".to_owned(), file(b"evil"));
    repository.delegate("pump", 43, &["pump/*"]).targets.insert("pump/1.img".to_owned(), file(b"pump"));
    repository.next_version();
    let found = Client::new(&repository).find(&repository, "pump/1.img").unwrap().expect("listed");
    assert_eq!((found.role, found.file), (Role::Delegated("pump".to_owned()), file(b"pump")));
    let found = Client::new(&repository).find(&repository, "supplier/1.img").unwrap().expect("listed");
    assert_eq!(found.file, file(b"good"));
    // Directly, without a search, the same holds.
    let mut client = Client::new(&repository);
    let trusted = client.refresh(&repository, &rules()).unwrap();
    let bytes = &repository.files["2.supplier.json"];
    let targets = trusted.delegated("supplier", bytes, &rules()).unwrap();
    assert_eq!(targets.targets.keys().collect::<Vec<_>>(), ["supplier/1.img"]);
    assert_eq!(fault(trusted.delegated("pump", bytes, &rules())).0, Role::Delegated("pump".to_owned()));
    assert_eq!(fault(trusted.delegated("nobody", bytes, &rules())).1, Fault::NotDelegated);
}

#[test]
fn one_role_name_under_two_delegators_is_verified_for_each() {
    // Goal: no confused deputy between suppliers. Method: both delegate to `release`, the second with another key;
    // the file verified through the first and stored must not pass for the second.
    let mut repository = Repository::new();
    repository.delegate("first", 41, &["a/*"]).delegations.roles.push(delegation(
        "release",
        44,
        &["a/*", "b/*"],
    ));
    repository.delegate("second", 42, &["b/*"]).delegations.roles.push(delegation("release", 45, &["b/*"]));
    let release = repository.add_role("release", 44);
    release.targets.insert("a/1".to_owned(), file(b"a"));
    release.targets.insert("b/1".to_owned(), file(b"b"));
    repository.next_version();
    let mut client = Client::new(&repository);
    assert!(client.find(&repository, "a/1").unwrap().is_some());
    assert!(client.stored.contains_key("release.json"));
    let none = Fault::Threshold { valid: 0, needed: 1 };
    assert_eq!(fault(client.find(&repository, "b/1")), (Role::Delegated("release".to_owned()), none));
}
