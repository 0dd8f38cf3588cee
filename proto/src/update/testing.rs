//! A repository and a client for the tests of this folder: real keys from fixed seeds, real documents, no network.
//!
//! Read next: `trust/attacks.rs`, which turns the repository into an attacker's.

use super::author::{self, Signer};
use super::delegation::{DelegatedRole, Delegations, Paths};
use super::key::{Authority, Ed25519Strict, PublicKey};
use super::metadata::{MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp};
use super::refresh::{Ask, Effect, Refresh, Source};
use super::search::{Found, Search};
use super::trust::{AtTargets, Freshness, Rules, Sizes, Trusted};
use super::{TrustError, name};
use crate::canonical::Value;
use crate::ids::Sha256;
use crate::time;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use ed25519_dalek::{Signer as _, SigningKey};

pub(crate) const NOW: time::Timestamp = time::Timestamp(1_800_000_000);
const YEAR_S: i64 = 365 * 86_400;

pub(crate) fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn public(seed: u8) -> PublicKey {
    PublicKey::ed25519(secret(seed).verifying_key().to_bytes())
}

pub(crate) fn authority(seeds: &[u8], threshold: u64) -> Authority {
    Authority::new(seeds.iter().map(|seed| public(*seed)), threshold).expect("a reachable threshold")
}

pub(crate) fn signed_by(signed: &Value, seeds: &[u8]) -> Vec<u8> {
    let signs: Vec<_> = seeds.iter().map(|seed| sign_with(*seed)).collect();
    let signers: Vec<_> =
        signs.iter().zip(seeds).map(|(sign, seed)| Signer { key: public(*seed).id(), sign }).collect();
    author::sign(signed, &signers)
}

pub(crate) fn sign_with(seed: u8) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| secret(seed).sign(message).to_bytes().to_vec()
}

pub(crate) fn rules() -> Rules<'static> {
    Rules { verifier: &Ed25519Strict, now: NOW, sizes: Sizes::DEVICE, freshness: Freshness::Own }
}

/// A repository: root 2 of 3 (seeds 1-3), targets 2 of 3 (11-13), snapshot 21, timestamp 31.
#[derive(Clone)]
pub(crate) struct Repository {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) root: Root,
    pub(crate) targets: Targets,
    pub(crate) delegated: BTreeMap<String, (Targets, Vec<u8>)>,
    pub(crate) snapshot: Snapshot,
    pub(crate) timestamp: Timestamp,
    pub(crate) snapshot_seed: u8,
    pub(crate) timestamp_seed: u8,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let expires = NOW.plus_seconds(YEAR_S);
        let mut repository = Self {
            files: BTreeMap::new(),
            root: Root {
                version: 1,
                expires,
                consistent_snapshot: true,
                root: authority(&[1, 2, 3], 2),
                timestamp: authority(&[31], 1),
                snapshot: authority(&[21], 1),
                targets: authority(&[11, 12, 13], 2),
            },
            targets: empty_targets(expires),
            delegated: BTreeMap::new(),
            snapshot: Snapshot { version: 1, expires, meta: BTreeMap::new() },
            timestamp: Timestamp { version: 1, expires, snapshot: MetaFile::of(1, b"") },
            snapshot_seed: 21,
            timestamp_seed: 31,
        };
        repository.targets.targets.insert("app/1.img".to_owned(), file(b"image one"));
        repository.write_root(&[1, 2]);
        repository.publish();
        repository
    }

    pub(crate) fn write_root(&mut self, seeds: &[u8]) {
        let bytes = signed_by(&author::root(&self.root), seeds);
        self.files.insert(name::path(&super::Role::Root, self.root.version, true), bytes);
    }

    /// Writes all but the root with the versions that they have now.
    pub(crate) fn publish(&mut self) {
        let bytes = signed_by(&author::targets(&self.targets), &[11, 12]);
        self.list("targets", self.targets.version, bytes);
        for (role, (targets, seeds)) in self.delegated.clone() {
            let bytes = signed_by(&author::targets(&targets), &seeds);
            self.list(&role, targets.version, bytes);
        }
        self.publish_online();
    }

    /// Writes snapshot and timestamp: what a server can do without anybody's help.
    pub(crate) fn publish_online(&mut self) {
        let bytes = signed_by(&author::snapshot(&self.snapshot), &[self.snapshot_seed]);
        self.timestamp.snapshot = MetaFile::of(self.snapshot.version, &bytes);
        self.files.insert(alloc::format!("{}.snapshot.json", self.snapshot.version), bytes);
        self.write_timestamp();
    }

    pub(crate) fn write_timestamp(&mut self) {
        let bytes = signed_by(&author::timestamp(&self.timestamp), &[self.timestamp_seed]);
        self.files.insert("timestamp.json".to_owned(), bytes);
    }

    fn list(&mut self, role: &str, version: u64, bytes: Vec<u8>) {
        self.snapshot.meta.insert(alloc::format!("{role}.json"), MetaFile::of(version, &bytes));
        let role =
            if role == "targets" { super::Role::Targets } else { super::Role::Delegated(role.to_owned()) };
        self.files.insert(name::path(&role, version, true), bytes);
    }

    /// Raises every version but the root's and publishes.
    pub(crate) fn next_version(&mut self) {
        self.targets.version += 1;
        for (targets, _) in self.delegated.values_mut() {
            targets.version += 1;
        }
        self.next_online_version();
        self.publish();
    }

    pub(crate) fn next_online_version(&mut self) {
        self.snapshot.version += 1;
        self.timestamp.version += 1;
    }

    pub(crate) fn next_root(&mut self, seeds: &[u8]) {
        self.root.version += 1;
        self.write_root(seeds);
    }

    /// Lets the top-level role delegate these patterns to a role with one key, which lists nothing yet.
    pub(crate) fn delegate(&mut self, name: &str, seed: u8, patterns: &[&str]) -> &mut Targets {
        self.targets.delegations.roles.push(delegation(name, seed, patterns));
        self.add_role(name, seed)
    }

    pub(crate) fn add_role(&mut self, name: &str, seed: u8) -> &mut Targets {
        let expires = self.targets.expires;
        &mut self.delegated.entry(name.to_owned()).or_insert((empty_targets(expires), vec![seed])).0
    }
}

pub(crate) fn delegation(name: &str, seed: u8, patterns: &[&str]) -> DelegatedRole {
    DelegatedRole {
        name: name.to_owned(),
        authority: authority(&[seed], 1),
        paths: Paths::Patterns(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()),
        terminating: false,
    }
}

pub(crate) fn empty_targets(expires: time::Timestamp) -> Targets {
    Targets { version: 1, expires, targets: BTreeMap::new(), delegations: Delegations::default() }
}

pub(crate) fn file(bytes: &[u8]) -> TargetFile {
    TargetFile::new(u64::try_from(bytes.len()).expect("small"), Sha256::of(bytes), None)
}

/// A client with its stored files and a log of what it fetched.
#[derive(Clone, Default)]
pub(crate) struct Client {
    pub(crate) stored: BTreeMap<String, Vec<u8>>,
    pub(crate) fetched: Vec<String>,
}

struct Connected<'a> {
    client: &'a mut Client,
    files: &'a BTreeMap<String, Vec<u8>>,
}

impl Source for Connected<'_> {
    type Error = TrustError;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, TrustError> {
        match ask {
            Ask::Stored(name) => Ok(self.client.stored.get(name).cloned()),
            Ask::Fetch(request) => {
                self.client.fetched.push(request.path.clone());
                let bytes = self.files.get(&request.path);
                // A transport stops one byte behind the limit.
                Ok(bytes.map(|bytes| bytes.iter().take(request.limit + 1).copied().collect()))
            }
        }
    }

    fn apply(&mut self, effects: &[Effect], answered: &[u8]) -> Result<(), TrustError> {
        for effect in effects {
            match effect {
                Effect::Keep(name) => drop(self.client.stored.insert(name.clone(), answered.to_owned())),
                Effect::Forget(name) => drop(self.client.stored.remove(name)),
            }
        }
        Ok(())
    }
}

impl Client {
    /// A client that was shipped with the first root.
    pub(crate) fn new(repository: &Repository) -> Self {
        let root = repository.files["1.root.json"].clone();
        Self { stored: BTreeMap::from([("root.json".to_owned(), root)]), fetched: vec![] }
    }

    pub(crate) fn refresh(
        &mut self,
        repository: &Repository,
        rules: &Rules<'_>,
    ) -> Result<Trusted<AtTargets>, TrustError> {
        let root = self.stored["root.json"].clone();
        Refresh::run(&root, rules, &mut Connected { client: self, files: &repository.files })
    }

    /// Refreshes, then looks for a file.
    pub(crate) fn find(&mut self, repository: &Repository, path: &str) -> Result<Option<Found>, TrustError> {
        let trusted = self.refresh(repository, &rules())?;
        let mut source = Connected { client: self, files: &repository.files };
        Search::run(&trusted, path, &rules(), &mut source)
    }
}
