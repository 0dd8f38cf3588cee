//! Small repositories as papers that can be bent before they are signed: the material of the oracles' cases.
//!
//! A [`Scene`] is what a repository shows at one moment. Its signatures are real (Ed25519 from fixed seeds), its key ids are
//! ours, its JSON is free to be anything. Read next: [`super::bend`], which spoils it.

use std::collections::BTreeMap;

use cordon_proto::canonical::Value;
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer};
use cordon_proto::update::{PublicKey, Role, name};
use ed25519_dalek::{Signer as _, SigningKey};
use fastrand::Rng;
use serde_json::{Value as Json, json};

/// Files of one repository by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The paths that every case asks for.
pub const PATHS: [&str; 6] = ["x", "a/1", "b/1", "a/deep", "b/deep", "nobody/1"];

const DAY_S: i64 = 86_400;
const JSON_BYTES: usize = 1 << 20;
const ROOT_SEEDS: [u8; 3] = [1, 2, 3];
const TARGETS_SEEDS: [u8; 2] = [11, 12];

/// A document before it is signed, and who will sign it how.
#[derive(Clone, Debug)]
pub struct Paper {
    /// The signed part.
    pub signed: Json,
    /// Whose keys sign it.
    pub seeds: Vec<u8>,
    /// What is done to the list of signatures afterwards.
    pub marks: Vec<Mark>,
}

/// What may be done to a list of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The first one stands there twice.
    Twice,
    /// One more that is empty, by a key of the first seed.
    Empty(u8),
    /// One more that is no hexadecimal text.
    Words(u8),
    /// One more by a key that nobody knows.
    Stranger,
    /// The digits of the first one are capitals.
    Capitals,
    /// The first one is somebody else's.
    Borrowed,
}

/// What a repository shows.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The roots from version 1 on.
    pub roots: Vec<Paper>,
    /// `targets` and the delegated roles.
    pub roles: BTreeMap<String, Paper>,
    /// The snapshot.
    pub snapshot: Paper,
    /// The timestamp.
    pub timestamp: Paper,
    /// Whether lengths and hashes of metadata are stated.
    pub stated: bool,
}

/// The public key of a seed.
#[must_use]
pub fn public(seed: u8) -> PublicKey {
    PublicKey::ed25519(secret(seed).verifying_key().to_bytes())
}

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn keys(seeds: &[u8]) -> Json {
    let key = |seed: u8| json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex(public(seed))}});
    seeds.iter().map(|seed| (public(*seed).id().0, key(*seed))).collect::<serde_json::Map<_, _>>().into()
}

fn hex(key: PublicKey) -> String {
    key.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `keyids` and `threshold` of these seeds.
#[must_use]
pub fn authority(seeds: &[u8], threshold: u64) -> Json {
    json!({"keyids": seeds.iter().map(|seed| public(*seed).id().0).collect::<Vec<_>>(), "threshold": threshold})
}

/// Sets a field of a field of a value, if there is room for it: a bent value may be no object any more.
pub fn put(value: &mut Json, path: &[&str], new: Json) {
    let Some((name, above)) = path.split_last() else { return };
    let place = above.iter().try_fold(value, |value, name| value.get_mut(name));
    if let Some(Json::Object(fields)) = place {
        fields.insert((*name).to_owned(), new);
    }
}

impl Paper {
    fn new(kind: &str, (version, expires): (u64, Timestamp), seeds: &[u8]) -> Self {
        let head = json!({"_type": kind, "spec_version": "1.0.31", "version": version, "expires": expires.to_string()});
        Self { signed: head, seeds: seeds.to_vec(), marks: Vec::new() }
    }

    fn with(mut self, name: &str, value: Json) -> Self {
        if let Json::Object(fields) = &mut self.signed {
            fields.insert(name.to_owned(), value);
        }
        self
    }

    /// The version, if it is one.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.signed.get("version").and_then(Json::as_u64)
    }

    /// Raises or lowers the version.
    pub fn set_version(&mut self, version: u64) {
        if let Some(held) = self.signed.get_mut("version") {
            *held = version.into();
        }
    }

    /// The document. What is no canonical JSON is left unsigned.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        let text = self.signed.to_string();
        let Ok(value) = Value::parse(text.as_bytes(), JSON_BYTES) else {
            return json!({"signatures": [], "signed": self.signed}).to_string().into_bytes();
        };
        let signs: Vec<_> = self.seeds.iter().map(|seed| signs_with(*seed)).collect();
        let signers: Vec<_> = self
            .seeds
            .iter()
            .zip(&signs)
            .map(|(seed, sign)| Signer { key: public(*seed).id(), sign })
            .collect();
        let bytes = author::sign(&value, &signers);
        if self.marks.is_empty() {
            return bytes;
        }
        let Ok(mut document) = serde_json::from_slice::<Json>(&bytes) else { return bytes };
        if let Some(Json::Array(list)) = document.get_mut("signatures") {
            self.marks.iter().for_each(|mark| mark.apply(list));
        }
        document.to_string().into_bytes()
    }
}

fn signs_with(seed: u8) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| secret(seed).sign(message).to_bytes().to_vec()
}

impl Mark {
    fn apply(self, list: &mut Vec<Json>) {
        let entry = |seed: u8, sig: &str| json!({"keyid": public(seed).id().0, "sig": sig});
        match self {
            Self::Twice => list.extend(list.first().cloned()),
            Self::Empty(seed) => list.push(entry(seed, "")),
            Self::Words(seed) => list.push(entry(seed, "not digits")),
            Self::Stranger => list.push(entry(99, &"ab".repeat(64))),
            Self::Capitals | Self::Borrowed => {
                let Some(first) = list.first_mut() else { return };
                let digits = first.get("sig").and_then(Json::as_str).unwrap_or_default().to_uppercase();
                match (self, first) {
                    (Self::Capitals, first) => put(first, &["sig"], digits.into()),
                    (_, first) => put(first, &["keyid"], public(99).id().0.into()),
                }
            }
        }
    }
}

impl Scene {
    /// A repository that every client accepts, of a shape that chance chooses.
    pub fn honest(chance: &mut Rng, now: Timestamp) -> Self {
        let head = (1, now.plus_seconds(300 * DAY_S));
        let (root_needs, targets_need) = (chance.u64(1..=2), chance.u64(1..=2));
        let root = Paper::new("root", head, &ROOT_SEEDS)
            .with("consistent_snapshot", chance.bool().into())
            .with("keys", keys(&[ROOT_SEEDS.as_slice(), &TARGETS_SEEDS, &[21, 31]].concat()))
            .with(
                "roles",
                json!({
                    "root": authority(&ROOT_SEEDS, root_needs), "timestamp": authority(&[31], 1),
                    "snapshot": authority(&[21], 1), "targets": authority(&TARGETS_SEEDS, targets_need),
                }),
            );
        let mut scene = Self {
            roots: vec![root],
            roles: roles(chance, head),
            snapshot: Paper::new("snapshot", head, &[21]).with("meta", json!({})),
            timestamp: Paper::new("timestamp", head, &[31]).with("meta", json!({})),
            stated: chance.bool(),
        };
        scene.link();
        scene
    }

    /// Lets snapshot and timestamp say what is there.
    pub fn link(&mut self) {
        for role in self.roles.keys().cloned().collect::<Vec<_>>() {
            self.link_role(&role);
        }
        self.link_snapshot();
    }

    /// Lets the snapshot say what is there of a role.
    pub fn link_role(&mut self, role: &str) {
        let Some(paper) = self.roles.get(role) else { return };
        let entry = entry(paper, self.stated);
        if let Some(Json::Object(meta)) = self.snapshot.signed.get_mut("meta") {
            meta.insert(format!("{role}.json"), entry);
        }
    }

    /// Lets the timestamp say what is there of the snapshot.
    pub fn link_snapshot(&mut self) {
        let entry = entry(&self.snapshot, self.stated);
        if let Some(Json::Object(meta)) = self.timestamp.signed.get_mut("meta") {
            meta.insert("snapshot.json".to_owned(), entry);
        }
    }

    /// The next version, honestly: some roles change, sometimes the root.
    pub fn evolve(&mut self, chance: &mut Rng) {
        for paper in self.roles.values_mut().filter(|_| chance.bool()) {
            paper.set_version(paper.version().unwrap_or(1) + 1);
        }
        for paper in [&mut self.snapshot, &mut self.timestamp] {
            paper.set_version(paper.version().unwrap_or(1) + 1);
        }
        if chance.u8(..) < 80 {
            self.rotate(chance);
        }
        self.link();
    }

    /// A next root, sometimes with other online keys.
    pub fn rotate(&mut self, chance: &mut Rng) {
        let Some(mut next) = self.roots.last().cloned() else { return };
        next.set_version(next.version().unwrap_or(1) + 1);
        for (role, seed, paper) in
            [("snapshot", 22, &mut self.snapshot), ("timestamp", 32, &mut self.timestamp)]
        {
            if chance.bool() {
                put(&mut next.signed, &["roles", role], authority(&[seed], 1));
                if let (Some(Json::Object(held)), Json::Object(new)) =
                    (next.signed.get_mut("keys"), keys(&[seed]))
                {
                    held.extend(new);
                }
                paper.seeds = vec![seed];
            }
        }
        self.roots.push(next);
    }

    /// The files, named as the last root's `consistent_snapshot` demands.
    #[must_use]
    pub fn files(&self) -> Files {
        let last = self.roots.last().map(|root| &root.signed);
        let consistent = last.and_then(|root| root.get("consistent_snapshot")) == Some(&json!(true));
        let mut files = Files::new();
        for (version, root) in (1..).zip(&self.roots) {
            files.insert(name::path(&Role::Root, version, true), root.document());
        }
        let stated = |paper: &Paper, file: &str| {
            paper.signed.pointer(&format!("/meta/{file}/version")).and_then(Json::as_u64).unwrap_or(1)
        };
        for (role, paper) in &self.roles {
            let version = stated(&self.snapshot, &format!("{role}.json"));
            let role = if role == "targets" { Role::Targets } else { Role::Delegated(role.clone()) };
            files.insert(name::path(&role, version, consistent), paper.document());
        }
        let version = stated(&self.timestamp, "snapshot.json");
        files.insert(name::path(&Role::Snapshot, version, consistent), self.snapshot.document());
        files.insert("timestamp.json".to_owned(), self.timestamp.document());
        files
    }

    /// One of its papers, the roots' last first.
    pub fn paper(&mut self, which: usize) -> (String, &mut Paper) {
        let others = self.roles.len() + 3;
        match which % others {
            0 => ("timestamp".to_owned(), &mut self.timestamp),
            1 => ("snapshot".to_owned(), &mut self.snapshot),
            2 => ("root".to_owned(), self.roots.last_mut().expect("there is a first root")),
            other => {
                let role = self.roles.iter_mut().nth(other - 3);
                let (name, paper) = role.expect("there are so many roles");
                (name.clone(), paper)
            }
        }
    }
}

/// What a parent says of a paper.
fn entry(paper: &Paper, stated: bool) -> Json {
    let mut entry = json!({"version": paper.signed.get("version").cloned().unwrap_or(json!(1))});
    if stated {
        let bytes = paper.document();
        put(&mut entry, &["length"], bytes.len().into());
        put(&mut entry, &["hashes"], json!({"sha256": Sha256::of(&bytes).to_string()}));
    }
    entry
}

/// `targets`, which delegates to `a` and `b`, which both delegate to `deep`, sometimes with different keys.
fn roles(chance: &mut Rng, head: (u64, Timestamp)) -> BTreeMap<String, Paper> {
    let file = |content: &str| {
        let hash = Sha256::of(content.as_bytes()).to_string();
        json!({"length": content.len(), "hashes": {"sha256": hash}, "custom": {"note": content}})
    };
    let mut delegation = |name: &str, seed: u8, patterns: &[&str]| {
        let mut role = authority(&[seed], 1);
        put(&mut role, &["name"], name.into());
        put(&mut role, &["terminating"], (chance.u8(..) < 50).into());
        match chance.u8(..) {
            0..30 => put(&mut role, &["path_hash_prefixes"], json!(["0", "1", "2", "3", "4", "5", "6", "7"])),
            _ => put(&mut role, &["paths"], json!(patterns)),
        }
        role
    };
    let top = json!({
        "keys": keys(&[41, 42]),
        "roles": [delegation("a", 41, &["a/*"]), delegation("b", 42, &["b/*", "a/deep"])],
    });
    let deep = |role: Json, seed: u8| json!({"keys": keys(&[seed]), "roles": [role]});
    let from_a = deep(delegation("deep", 43, &["a/deep", "b/*"]), 43);
    let other = if chance.u8(..) < 60 { 44 } else { 43 };
    let mut role = authority(&[other], 1);
    put(&mut role, &["name"], "deep".into());
    put(&mut role, &["terminating"], false.into());
    put(&mut role, &["paths"], json!(["b/deep"]));
    let from_b = deep(role, other);
    let paper = |seeds: &[u8], files: Json| Paper::new("targets", head, seeds).with("targets", files);
    let papers = [
        ("targets", paper(&TARGETS_SEEDS, json!({"x": file("x")})).with("delegations", top)),
        ("a", paper(&[41], json!({"a/1": file("a"), "b/1": file("not a's")})).with("delegations", from_a)),
        ("b", paper(&[42], json!({"b/1": file("b")})).with("delegations", from_b)),
        ("deep", paper(&[43], json!({"a/deep": file("deep a"), "b/deep": file("deep b")}))),
    ];
    papers.map(|(name, paper)| (name.to_owned(), paper)).into()
}
