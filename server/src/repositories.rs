//! The TUF repositories in the store: taking in what people signed, adding the director's snapshot and timestamp.
//!
//! Decisions are `server/core`'s `publish`; here files are loaded, committed with an audit entry in one transaction,
//! and the two online keys sign. Those keys say which versions are newest and nothing else: no document that this
//! file can sign names firmware. Files are stored and served as received. Read next: `image` for makers' repositories,
//! `http/repository` for who reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::canonical::Value;
use cordon_proto::ids::{Name, TargetPath, Text};
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{Signer, sign};
use cordon_proto::update::order::{DocumentError, Order, read_document};
use cordon_proto::update::release::Listed;
use cordon_proto::update::trust::{Freshness, Rules, Sizes};
use cordon_proto::update::{Role, TrustError, name};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::lease::Lease;
use cordon_server_core::change::{Commit, Draft, Expected, Key, Malformed};
pub use cordon_server_core::import::KnownRelease;
use cordon_server_core::import::{ImportRefused, PinRefused};
use cordon_server_core::publish::{Accepted, Director, OnlineKeys as PublicKeys, Refused};
use serde::{Deserialize, Serialize};

use crate::online::{OnlineKeys, OnlineRole};
use crate::people::Doer;
use crate::store::blobs::BlobError;
use crate::store::{Store, StoreError};
use crate::verifier::ServerVerifier;

mod content;
mod ends;
mod image;
mod makers;
mod withdrawn;

pub use image::{Incoming, releases_in};
pub use withdrawn::TakenBack;

/// The name of the director's repository. No manufacturer's repository may have it.
pub const DIRECTOR: &str = "director";
/// How often a publication is decided anew after somebody else was faster.
const ATTEMPTS: usize = 5;

/// Both kinds of repositories.
#[derive(Clone)]
pub struct Repositories {
    store: Arc<dyn Store>,
    online: Arc<OnlineKeys>,
}

/// Why a publication did not happen. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The document is refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The document of orders is signed, but not usable.
    #[error("the orders are signed, but not usable: {0}")]
    Orders(#[from] DocumentError),
    /// A content of the owner's that cannot be read.
    #[error(transparent)]
    Contents(#[from] cordon_proto::update::content::DocumentError),
    /// A maker's publication, or a file of one, is refused.
    #[error(transparent)]
    Import(#[from] ImportRefused),
    /// A maker is not pinned.
    #[error(transparent)]
    Pin(#[from] PinRefused),
    /// The files that releases name cannot be looked at.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The name belongs to the owner's own repository.
    #[error("`director` is the owner's own repository; a manufacturer's needs another name")]
    Reserved,
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More documents than one transaction holds.
    #[error(transparent)]
    TooMuch(#[from] Malformed),
}

impl From<TrustError> for PublishError {
    fn from(error: TrustError) -> Self {
        Self::Refused(error.into())
    }
}

/// Which documents of the director are the newest, under `Key::Meta("director")`.
#[derive(Default, Serialize, Deserialize)]
struct Heads {
    v: u32,
    root: u64,
    targets: u64,
    delegated: BTreeMap<String, u64>,
    snapshot: u64,
    timestamp: u64,
    timestamp_expires: Option<Timestamp>,
}

impl Repositories {
    /// Over a store, with the server's two keys.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, online: Arc<OnlineKeys>) -> Self {
        Self { store, online }
    }

    /// Takes in one document of the owner's and renews snapshot and timestamp in the same transaction.
    pub async fn publish_director(
        &self,
        file: &str,
        bytes: &[u8],
        by: Doer<'_>,
    ) -> Result<Accepted, PublishError> {
        let Doer { actor, now } = by;
        for _ in 0..ATTEMPTS {
            let (mut director, expected) = self.director().await?;
            let accepted = director.accept(file, bytes, &self.public(), &rules(now))?;
            if matches!(&accepted.role, Role::Delegated(role) if role == "orders") {
                orders_of(&director, now)?;
            }
            if matches!(&accepted.role, Role::Delegated(role) if role == content::CONTENT) {
                content::contents_of(&director, now)?;
            }
            let entry = entry("repository.publish", &format!("director:{}", accepted.file));
            let draft = Commit::draft(now, actor.clone())
                .expect(heads_key(), expected)
                .put(director_file(&accepted.file), bytes.to_vec())
                .audit(entry);
            match self.commit_renewed(draft, &mut director, now).await {
                Err(PublishError::Store(StoreError::Conflict(_))) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(accepted),
            }
        }
        Err(StoreError::Conflict(heads_key()).into())
    }

    /// Renews snapshot and timestamp when they are about to lapse. Says whether it did: somebody who publishes, or
    /// another server with the lease, may be faster.
    pub async fn renew_if_due(&self, now: Timestamp, lease: Option<&Lease>) -> Result<bool, PublishError> {
        let (mut director, expected) = self.director().await?;
        if !director.is_due(now) {
            return Ok(false);
        }
        let job: Name = "repositories".parse().expect("a valid name");
        let mut draft = Commit::draft(now, Actor::Server(job)).expect(heads_key(), expected);
        if let Some((key, expected)) = lease.map(Lease::guard) {
            draft = draft.expect(key, expected);
        }
        match self.commit_renewed(draft, &mut director, now).await {
            Err(PublishError::Store(StoreError::Conflict(_))) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// The document that every publication of the owner's moves, and what a commit that depends on it must expect.
    pub async fn heads(&self) -> Result<(Key, Expected), StoreError> {
        let row = self.store.get(heads_key()).await?;
        Ok((heads_key(), Expected::of(row.as_ref())))
    }

    /// Renews both after a restore, with versions that no device can have seen: between the backup and the loss more
    /// may have been signed, and a device never goes back. Versions go on from the second of the restore, which is
    /// beyond any that was counted up by ones.
    pub async fn renew_after_restore(&self, by: Doer<'_>, told: &str) -> Result<(), PublishError> {
        let Doer { actor, now } = by;
        let (mut director, expected) = self.director().await?;
        let beyond = u64::try_from(now.0).unwrap_or(0);
        director.snapshot_version = director.snapshot_version.max(beyond);
        director.timestamp_version = director.timestamp_version.max(beyond);
        let entry = Entry { after: Some(Summary::of(told)), ..entry("store.restore", "server") };
        let draft = Commit::draft(now, actor.clone()).expect(heads_key(), expected).audit(entry);
        self.commit_renewed(draft, &mut director, now).await
    }

    async fn commit_renewed(
        &self,
        mut draft: Draft,
        director: &mut Director,
        now: Timestamp,
    ) -> Result<(), PublishError> {
        if let Some(renewal) = director.renewal(now, &rules(now))? {
            let snapshot = self.signed(&renewal.snapshot_value(), OnlineRole::Snapshot);
            let timestamp = self.signed(&renewal.timestamp_value(&snapshot), OnlineRole::Timestamp);
            draft = draft.put(director_file(&renewal.snapshot_file()?), snapshot);
            draft = draft.put(director_file(&timestamp_file()), timestamp);
            director.renewed(&renewal);
        }
        let heads = heads(director, now)?;
        let body = serde_json::to_vec(&heads).expect("strings and integers are always JSON");
        self.store.commit(draft.put(heads_key(), body).finish()?).await?;
        Ok(())
    }

    fn public(&self) -> PublicKeys {
        let public = |role| self.online.public(role);
        PublicKeys { snapshot: public(OnlineRole::Snapshot), timestamp: public(OnlineRole::Timestamp) }
    }

    fn signed(&self, value: &Value, role: OnlineRole) -> Vec<u8> {
        let make = |message: &[u8]| self.online.sign(role, message);
        sign(value, &[Signer { key: self.online.public(role).id(), sign: &make }])
    }

    /// The director repository as it stands, and what a commit over it must expect.
    async fn director(&self) -> Result<(Director, Expected), PublishError> {
        let row = self.store.get(heads_key()).await?;
        let expected = Expected::of(row.as_ref());
        let Some(row) = row else { return Ok((Director::default(), expected)) };
        let corrupt = || StoreError::Corrupt(heads_key().to_string());
        let heads: Heads = serde_json::from_slice(&row.body).map_err(|_| corrupt())?;
        let mut director = Director {
            root: self.head(&Role::Root, heads.root).await?,
            targets: self.head(&Role::Targets, heads.targets).await?,
            delegated: BTreeMap::new(),
            snapshot_version: heads.snapshot,
            timestamp_version: heads.timestamp,
            timestamp_expires: heads.timestamp_expires,
        };
        for (role, version) in heads.delegated {
            let document = self.head(&Role::Delegated(role.clone()), version).await?;
            director.delegated.extend(document.map(|bytes| (role, bytes)));
        }
        Ok((director, expected))
    }

    async fn head(&self, role: &Role, version: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Ok(file) = name::path(role, version, true).parse() else { return Ok(None) };
        Ok(self.store.get(director_file(&file)).await?.map(|row| row.body))
    }

    /// The owner's live orders and the version of the director's timestamp.
    pub async fn orders(&self, now: Timestamp) -> Result<(Vec<Order>, u64), PublishError> {
        let (director, _) = self.director().await?;
        Ok((orders_of(&director, now)?, director.timestamp_version))
    }

    /// The version of the document of orders in force, the keys that signed it, and how many had to.
    pub async fn order_signers(&self, now: Timestamp) -> Result<(u64, Vec<String>, u64), PublishError> {
        let (director, _) = self.director().await?;
        let version = director.delegated("orders", &rules(now))?.map_or(0, |document| document.version);
        let (keys, threshold) = director.signers("orders", &rules(now))?;
        Ok((version, keys, threshold))
    }

    /// One file of a repository, as received.
    pub async fn file(&self, repository: &Name, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Ok(file) = file.parse() else { return Ok(None) };
        let key = Key::RepositoryFile { repository: repository.clone(), file };
        Ok(self.store.get(key).await?.map(|row| row.body))
    }
}

fn rules(now: Timestamp) -> Rules<'static> {
    Rules { verifier: &ServerVerifier, now, sizes: Sizes::DEVICE, freshness: Freshness::Own }
}

fn heads_key() -> Key {
    Key::Meta(DIRECTOR.parse().expect("a valid name"))
}

fn director_file(file: &TargetPath) -> Key {
    Key::RepositoryFile { repository: DIRECTOR.parse().expect("a valid name"), file: file.clone() }
}

fn timestamp_file() -> TargetPath {
    "timestamp.json".parse().expect("a valid path")
}

fn entry(action: &str, object: &str) -> Entry {
    Entry::new(action.parse().expect("a valid name"), Text::lossy(object))
}

/// The versions in force.
fn heads(director: &Director, now: Timestamp) -> Result<Heads, PublishError> {
    let mut heads = Heads {
        v: 1,
        snapshot: director.snapshot_version,
        timestamp: director.timestamp_version,
        timestamp_expires: director.timestamp_expires,
        ..Heads::default()
    };
    heads.root = director.root_version(&rules(now))?;
    heads.targets = director.targets(&rules(now))?.map_or(0, |targets| targets.version);
    for role in director.delegated.keys() {
        let version = director.delegated(role, &rules(now))?.map_or(0, |targets| targets.version);
        heads.delegated.insert(role.clone(), version);
    }
    Ok(heads)
}

fn orders_of(director: &Director, now: Timestamp) -> Result<Vec<Order>, PublishError> {
    let Some(document) = director.delegated("orders", &rules(now))? else { return Ok(Vec::new()) };
    let null = Value::Null;
    let mut listed = Vec::new();
    let paths: Vec<_> = document.targets.keys().map(|path| path.parse::<TargetPath>()).collect();
    for (path, (text, file)) in paths.iter().zip(&document.targets) {
        let path = path.as_ref().map_err(|_| Refused::Name(text.chars().take(80).collect()))?;
        let sha256 = file.sha256().map_err(|fault| fault.of(Role::Delegated("orders".to_owned())))?;
        let custom = file.custom.as_ref().unwrap_or(&null);
        listed.push(Listed { path, length: file.length, sha256, custom });
    }
    Ok(read_document(listed, document.expires)?)
}
