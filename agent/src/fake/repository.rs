//! Signed repositories for tests: real documents and real Ed25519 signatures from fixed seeds, in memory.
//!
//! One key a role, so that tests read easily; thresholds are the ground's own tests. Tests only.

use std::collections::BTreeMap;

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer};
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{self, MetaFile, Root, Snapshot, TargetFile, Targets};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Release;
use cordon_proto::update::{Authority, PublicKey};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The role that a fake repository delegates to, and its paths.
pub(crate) type Delegation = (&'static str, &'static str);

/// A repository of one version.
pub(crate) struct Repository {
    /// First seed of its keys.
    seed: u8,
    /// Its files by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// What a repository of some version holds.
pub(crate) struct Contents {
    /// First seed of its keys; another one is another repository.
    pub(crate) seed: u8,
    /// Version of all but the root.
    pub(crate) version: u64,
    /// End of all documents.
    pub(crate) expires: Timestamp,
    /// Whether the files are listed by a delegated role or by targets itself.
    pub(crate) delegation: Option<Delegation>,
    /// The listed files.
    pub(crate) targets: BTreeMap<String, TargetFile>,
}

impl Repository {
    pub(crate) fn new(contents: &Contents) -> Self {
        Self::listed_by(contents, contents.seed + 4)
    }

    /// What somebody makes who has the snapshot's and the timestamp's keys and, for the list of a delegated role, the key of
    /// this seed.
    pub(crate) fn listed_by(contents: &Contents, lister: u8) -> Self {
        let Contents { seed, version, expires, delegation, targets } = contents;
        let (seed, version, expires) = (*seed, *version, *expires);
        let root = Root {
            version: 1,
            expires,
            consistent_snapshot: true,
            root: authority(seed),
            timestamp: authority(seed + 1),
            snapshot: authority(seed + 2),
            targets: authority(seed + 3),
        };
        let listing =
            Targets { version, expires, targets: targets.clone(), delegations: Delegations::default() };
        let mut files = BTreeMap::from([("1.root.json".to_owned(), signed(&author::root(&root), seed))]);
        let mut meta = BTreeMap::new();
        let mut list = |role: &str, bytes: Vec<u8>| {
            meta.insert(format!("{role}.json"), MetaFile::of(version, &bytes));
            files.insert(format!("{version}.{role}.json"), bytes);
        };
        match delegation {
            None => list("targets", signed(&author::targets(&listing), seed + 3)),
            Some((role, pattern)) => {
                let to = DelegatedRole {
                    name: (*role).to_owned(),
                    authority: authority(seed + 4),
                    paths: Paths::Patterns(vec![(*pattern).to_owned()]),
                    terminating: true,
                };
                let delegations = Delegations { roles: vec![to] };
                let top = Targets { version, expires, targets: BTreeMap::new(), delegations };
                list("targets", signed(&author::targets(&top), seed + 3));
                list(role, signed(&author::targets(&listing), lister));
            }
        }
        let snapshot = signed(&author::snapshot(&Snapshot { version, expires, meta }), seed + 2);
        let timestamp = metadata::Timestamp { version, expires, snapshot: MetaFile::of(version, &snapshot) };
        files.insert(format!("{version}.snapshot.json"), snapshot);
        files.insert("timestamp.json".to_owned(), signed(&author::timestamp(&timestamp), seed + 1));
        Self { seed, files }
    }

    /// A later root of the same owner: the first one under another version.
    pub(crate) fn next_root(&self, version: u64) -> Vec<u8> {
        let document = Document::parse(self.root(), 65_536).expect("a document");
        let root = Root { version, ..Root::read(document.signed()).expect("a root") };
        signed(&author::root(&root), self.seed)
    }

    /// The first root's bytes.
    pub(crate) fn root(&self) -> &[u8] {
        &self.files["1.root.json"]
    }

    /// The hash that an enrolment string carries.
    pub(crate) fn pin(&self) -> Sha256 {
        Sha256::of(self.root())
    }
}

/// First seed of the fake director.
pub(crate) const DIRECTOR: u8 = 100;
/// First seed of the fake maker.
pub(crate) const MAKER: u8 = 200;
/// The end of all fake documents: 2030-01-01.
pub(crate) const END: Timestamp = Timestamp(1_893_456_000);

/// The director of this version, with these orders.
pub(crate) fn director(version: u64, orders: &[Order]) -> Repository {
    director_of(DIRECTOR, version, orders)
}

/// The director of the owner whose keys begin with this seed.
pub(crate) fn director_of(seed: u8, version: u64, orders: &[Order]) -> Repository {
    let target = |order: &Order| {
        let image = &order.image;
        let file = TargetFile::new(image.length, image.sha256, Some(order.custom()));
        (order.path().as_str().to_owned(), file)
    };
    let (targets, delegation) = (orders.iter().map(target).collect(), Some(("orders", "order/*")));
    Repository::new(&Contents { seed, version, expires: END, delegation, targets })
}

/// The hash of the fake director's first root, which is the same in every version.
pub(crate) fn director_pin() -> Sha256 {
    director(1, &[]).pin()
}

/// The maker of this version, with these releases.
pub(crate) fn maker(version: u64, releases: &[Release]) -> Repository {
    let target = |release: &Release| {
        let image = &release.image;
        let file = TargetFile::new(image.length, image.sha256, Some(release.custom()));
        (image.release.as_str().to_owned(), file)
    };
    let targets = releases.iter().map(target).collect();
    Repository::new(&Contents { seed: MAKER, version, expires: END, delegation: None, targets })
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes are a seed")
}

fn public(seed: u8) -> PublicKey {
    PublicKey::ed25519(pair(seed).public_key().as_ref().try_into().expect("32 bytes"))
}

fn authority(seed: u8) -> Authority {
    Authority::new([public(seed)], 1).expect("a reachable threshold")
}

pub(crate) fn signed(value: &cordon_proto::canonical::Value, seed: u8) -> Vec<u8> {
    let sign = |message: &[u8]| pair(seed).sign(message).as_ref().to_vec();
    author::sign(value, &[Signer { key: public(seed).id(), sign: &sign }])
}
