//! How an honest refresh goes: what is asked, what is kept, how roots and delegations are followed.

use super::super::delegation::Paths;
use super::super::fault::Blame;
use super::super::refresh::{FirstRoot, Next};
use super::super::testing::*;
use super::super::{Fault, Role};
use super::{Rules, Sizes, Trusted};
use crate::ids::Sha256;
use crate::limits;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;
use proptest::prelude::*;

fn fetched(client: &mut Client, repository: &Repository) -> Vec<alloc::string::String> {
    client.fetched.clear();
    client.refresh(repository, &rules()).unwrap();
    client.fetched.clone()
}

#[test]
fn a_refresh_asks_for_four_files_and_the_next_one_for_two() {
    // Goal: the exact sequence of requests. Method: first refresh, unchanged repository, new version, new roots.
    let mut repository = Repository::new();
    let mut client = Client::new(&repository);
    let first = fetched(&mut client, &repository);
    assert_eq!(first, ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert_eq!(fetched(&mut client, &repository), ["2.root.json", "timestamp.json"]);
    repository.next_version();
    let second = fetched(&mut client, &repository);
    assert_eq!(second, ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]);
    repository.next_root(&[1, 2]);
    repository.next_root(&[1, 2]);
    let third = fetched(&mut client, &repository);
    assert_eq!(third, ["2.root.json", "3.root.json", "4.root.json", "timestamp.json"]);
    assert_eq!(fetched(&mut client, &repository), ["4.root.json", "timestamp.json"]);
    assert_eq!(client.stored["root.json"], repository.files["3.root.json"]);
    assert_eq!(client.stored["targets.json"], repository.files["2.targets.json"]);
    let kept: Vec<_> = client.stored.keys().collect();
    assert_eq!(kept, ["root.json", "snapshot.json", "targets.json", "timestamp.json"]);
}

#[test]
fn without_consistent_snapshots_only_roots_carry_a_version() {
    // Goal: plain repositories work. Method: the files are renamed.
    let mut repository = Repository::new();
    repository.root.consistent_snapshot = false;
    repository.write_root(&[1, 2]);
    for name in ["snapshot.json", "targets.json"] {
        let bytes = repository.files[&format!("1.{name}")].clone();
        repository.files.insert(name.to_owned(), bytes);
    }
    let asked = fetched(&mut Client::new(&repository), &repository);
    assert_eq!(asked, ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]);
    let file = file(b"image one");
    let hash = Sha256::of(b"image one");
    assert_eq!(file.stored_path("app/1.img", false), "app/1.img");
    assert_eq!(file.stored_path("app/1.img", true), format!("app/{hash}.1.img"));
    assert_eq!(file.stored_path("1.img", true), format!("{hash}.1.img"));
}

#[test]
fn a_timestamp_of_the_known_version_is_dropped_and_nothing_more_is_asked() {
    // Goal: a glitch of a mirror is no outage. Method: same version, other content, signed.
    let repository = Repository::new();
    let mut client = Client::new(&repository);
    client.refresh(&repository, &rules()).unwrap();
    let mut other = repository.clone();
    other.timestamp.snapshot.version = 7;
    other.write_timestamp();
    assert_eq!(fetched(&mut client, &other), ["2.root.json", "timestamp.json"]);
    assert_eq!(client.stored["timestamp.json"], repository.files["timestamp.json"]);
}

#[test]
fn roots_rotate_through_expired_ones_and_every_one_is_kept() {
    // Goal: a device that slept for years comes back. Method: keys change twice, the middle root has expired.
    let mut repository = Repository::new();
    let mut client = Client::new(&repository);
    repository.root.root = authority(&[4, 5, 6], 2);
    repository.root.expires = NOW.plus_seconds(-5);
    repository.next_root(&[1, 3, 4, 6]);
    let mut middle = repository.clone();
    middle.files.remove("3.root.json");
    let error = client.clone().refresh(&middle, &rules()).unwrap_err();
    assert_eq!((error.role.clone(), error.blame()), (Role::Root, Blame::Time));
    repository.root.root = authority(&[7], 1);
    repository.root.expires = NOW.plus_seconds(5);
    repository.next_root(&[4, 5, 7]);
    let trusted = client.refresh(&repository, &rules()).unwrap();
    assert_eq!((trusted.root().version, trusted.timestamp_version()), (3, 1));
    // A root that only its own keys or only the former ones signed is refused.
    for seeds in [&[7][..], &[8, 9]] {
        let mut evil = repository.clone();
        evil.root.root = authority(&[8, 9], 2);
        evil.next_root(seeds);
        let error = client.clone().refresh(&evil, &rules()).unwrap_err();
        assert!(matches!(error.fault, Fault::Threshold { .. }), "{error}");
        assert_eq!(error.blame(), Blame::Delivery);
    }
}

#[test]
fn rotations_per_refresh_have_a_limit() {
    // Goal: nobody feeds roots for ever. Method: a limit of two and four new roots take two refreshes.
    let mut repository = Repository::new();
    let mut client = Client::new(&repository);
    (0..3).for_each(|_| repository.next_root(&[1, 2]));
    let rules = Rules { sizes: Sizes { rotations: 2, ..Sizes::DEVICE }, ..rules() };
    assert_eq!(client.refresh(&repository, &rules).unwrap().root().version, 3);
    assert_eq!(client.refresh(&repository, &rules).unwrap().root().version, 4);
}

#[test]
fn a_bad_first_root_makes_no_request() {
    // Goal: no traffic on behalf of nobody. Method: a root that its own threshold did not sign.
    let mut repository = Repository::new();
    repository.write_root(&[1]);
    let mut client = Client::new(&repository);
    let error = client.refresh(&repository, &rules()).unwrap_err();
    assert_eq!(error.fault, Fault::Threshold { valid: 1, needed: 2 });
    assert!(client.fetched.is_empty());
}

#[test]
fn missing_files_are_named_at_every_level() {
    // Goal: the operator knows what to publish. Method: each file in turn is away.
    let mut repository = Repository::new();
    repository.delegate("supplier", 41, &["supplier/*"]);
    repository.next_version();
    for (path, role) in [
        ("timestamp.json", Role::Timestamp),
        ("2.snapshot.json", Role::Snapshot),
        ("2.targets.json", Role::Targets),
        ("2.supplier.json", Role::Delegated("supplier".to_owned())),
    ] {
        let mut lacking = repository.clone();
        lacking.files.remove(path);
        let error = Client::new(&repository).find(&lacking, "supplier/1").unwrap_err();
        assert_eq!(error, Fault::NotFound.of(role));
    }
    repository.snapshot.meta.remove("supplier.json");
    repository.publish_online();
    let error = Client::new(&repository).find(&repository, "supplier/1").unwrap_err();
    assert_eq!(error.fault, Fault::NotListed);
}

/// A tree of roles: `1` delegates to `2` and `4`, `2` to `3`; then `5` beside `1`.
fn tree(terminating: &[&str]) -> Repository {
    let mut repository = Repository::new();
    let edge = |name: &str, seed: u8| {
        let mut role = delegation(name, seed, &["*"]);
        role.terminating = terminating.contains(&name);
        role
    };
    repository.targets.delegations.roles = [edge("1", 51), edge("5", 55)].into();
    repository.add_role("1", 51).delegations.roles = [edge("2", 52), edge("4", 54)].into();
    repository.add_role("2", 52).delegations.roles = [edge("3", 53), delegation("1", 51, &["*"])].into();
    for (name, seed) in [("3", 53), ("4", 54), ("5", 55)] {
        repository.add_role(name, seed);
    }
    repository.next_version();
    repository
}

fn visited(repository: &Repository, path: &str) -> Vec<alloc::string::String> {
    let mut client = Client::new(repository);
    client.find(repository, path).unwrap();
    let names = client.fetched.iter().skip(4);
    names.map(|name| name[2..].trim_end_matches(".json").to_owned()).collect()
}

#[test]
fn delegations_are_searched_in_preorder_once_each_and_end_at_terminating_ones() {
    // Goal: the standard's order. Method: the roles fetched for a file that nobody lists, in a tree with a cycle.
    assert_eq!(visited(&tree(&[]), "x"), ["1", "2", "3", "4", "5"]);
    assert_eq!(visited(&tree(&["1"]), "x"), ["1", "2", "3", "4"]);
    assert_eq!(visited(&tree(&["2"]), "x"), ["1", "2", "3"]);
    assert_eq!(visited(&tree(&["3"]), "x"), ["1", "2", "3"]);
    assert_eq!(visited(&tree(&["5"]), "x"), ["1", "2", "3", "4", "5"]);
    assert!(visited(&tree(&[]), "x/y").is_empty(), "`*` does not cross `/`");
    let mut repository = tree(&[]);
    repository.delegated.get_mut("4").unwrap().0.targets.insert("x".to_owned(), file(b"x"));
    repository.next_version();
    let mut client = Client::new(&repository);
    assert!(client.find(&repository, "x").unwrap().is_some());
    client.fetched.clear();
    assert!(client.find(&repository, "x").unwrap().is_some());
    assert_eq!(client.fetched, ["2.root.json", "timestamp.json"], "stored roles are not fetched again");
}

#[test]
fn the_number_of_visited_roles_has_a_limit() {
    // Goal: no endless walk. Method: a chain of one role more than allowed.
    let mut repository = Repository::new();
    let last = limits::DELEGATIONS + 1;
    repository.targets.delegations.roles = [delegation("r1", 60, &["*"])].into();
    for at in 1..=last {
        let next = delegation(&format!("r{}", at + 1), 60, &["*"]);
        let role = repository.add_role(&format!("r{at}"), 60);
        if at < last {
            role.delegations.roles = [next].into();
        }
    }
    repository.next_version();
    let error = Client::new(&repository).find(&repository, "x").unwrap_err();
    assert_eq!(error.fault, Fault::TooManyRoles { limit: limits::DELEGATIONS });
}

#[test]
fn role_names_are_encoded_whole() {
    // Goal: a name is never a path. Method: the names of the conformance checklist, on the wire and on the disk.
    let names = [("?", "%3F"), ("#", "%23"), ("/x", "%2Fx"), ("../x", "..%2Fx")];
    for (name, encoded) in names {
        let mut repository = Repository::new();
        repository.delegate(name, 41, &["*"]).targets.insert("x".to_owned(), file(b"x"));
        repository.next_version();
        let mut client = Client::new(&repository);
        assert!(client.find(&repository, "x").unwrap().is_some());
        assert_eq!(client.fetched.last(), Some(&format!("2.{encoded}.json")));
        assert!(client.stored.contains_key(&format!("{encoded}.json")));
        assert_eq!(client.stored.len(), 5);
    }
}

#[test]
fn hash_prefixes_spread_files_over_roles() {
    // Goal: hashed bins. Method: the role of the right prefix lists the file, that of another prefix as well.
    let mut repository = Repository::new();
    let digest = format!("{}", Sha256::of(b"x"));
    let other = if digest.starts_with('0') { "1" } else { "0" };
    for (name, seed, prefix) in [("wrong", 41, other), ("right", 42, &digest[..2])] {
        repository.delegate(name, seed, &[]).targets.insert("x".to_owned(), file(name.as_bytes()));
        let role = repository.targets.delegations.roles.last_mut().unwrap();
        role.paths = Paths::HashPrefixes([prefix.to_owned()].into());
    }
    repository.next_version();
    let found = Client::new(&repository).find(&repository, "x").unwrap().expect("listed");
    assert_eq!(found.role, Role::Delegated("right".to_owned()));
}

#[test]
fn the_first_root_is_found_by_its_hash_among_the_first_64() {
    // Goal: trust from one hash. Method: the third of three roots is pinned; then none; then an unsigned one.
    let mut repository = Repository::new();
    repository.next_root(&[1, 2]);
    repository.next_root(&[1, 2]);
    let search = |pin: Sha256, repository: &Repository| {
        let mut first = FirstRoot::new(pin);
        loop {
            let bytes = repository.files.get(&first.ask(&rules()).path);
            match first.answer(bytes.map(Vec::as_slice), &rules())?.next {
                Next::Ask(next) => first = next,
                Next::Done(()) => return Ok(bytes.cloned()),
            }
        }
    };
    let third = repository.files["3.root.json"].clone();
    assert_eq!(search(Sha256::of(&third), &repository), Ok(Some(third)));
    let missed = |tried| Err(Fault::NotPinned { tried }.of(Role::Root));
    assert_eq!(search(Sha256([0; 32]), &repository), missed(3));
    (0..70).for_each(|_| repository.next_root(&[1, 2]));
    assert_eq!(search(Sha256([0; 32]), &repository), missed(64));
    repository.root.version = 2;
    repository.write_root(&[3]);
    let unsigned = Sha256::of(&repository.files["2.root.json"]);
    assert!(search(unsigned, &repository).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_in_place_of_any_file_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), file in 0_usize..4) {
        let mut repository = Repository::new();
        let client = Client::new(&repository);
        let name = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"][file];
        repository.files.insert(name.to_owned(), bytes.clone());
        prop_assert!(client.clone().refresh(&repository, &rules()).is_err());
        prop_assert!(Trusted::start(&bytes, &rules()).is_err());
        let mut client = client;
        client.stored.insert("timestamp.json".to_owned(), bytes);
        prop_assert!(client.refresh(&Repository::new(), &rules()).is_ok(), "spoilt stored files bound nothing");
    }
}
