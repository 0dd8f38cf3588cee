//! Publishing: which signed metadata the server takes in, and what it adds to it.
//!
//! The server holds no key that matters: it checks what people signed before it serves it (so that a mistake is seen at
//! the workstation and not on eight hundred devices), and for the director repository it adds snapshot and timestamp,
//! which say nothing but which versions are newest. A check here protects nobody from a stolen server; the devices
//! check again. Read next: [`Director::accept`], and `cordon_proto::update::trust` for the devices' side.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::canonical::Value;
use cordon_proto::ids::TargetPath;
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::fault::{Fault, Role, TrustError};
use cordon_proto::update::key::{Authority, PublicKey};
use cordon_proto::update::metadata::{MetaFile, Root, Snapshot, Targets, Timestamp as TimestampRole};
use cordon_proto::update::trust::{Rules, Trusted};
use cordon_proto::update::{author, name};

mod image;

pub(crate) use image::stated;
pub use image::{Earlier, Files, VerifiedRole, verify_image};

/// Days the director's snapshot lives.
const SNAPSHOT_S: i64 = 7 * 86_400;
/// Days the director's timestamp lives.
const TIMESTAMP_S: i64 = 3 * 86_400;
/// Both are made anew when less than this is left of the timestamp.
const RENEW_S: i64 = 2 * 86_400;

/// The director repository as it stands: the newest document of each role, as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Director {
    /// The newest root.
    pub root: Option<Vec<u8>>,
    /// The newest targets.
    pub targets: Option<Vec<u8>>,
    /// The newest document of each delegated role.
    pub delegated: BTreeMap<String, Vec<u8>>,
    /// Version of the newest snapshot, 0 before the first.
    pub snapshot_version: u64,
    /// Version of the newest timestamp, 0 before the first.
    pub timestamp_version: u64,
    /// When the newest timestamp lapses.
    pub timestamp_expires: Option<Timestamp>,
}

/// The public halves of the two keys that the server holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlineKeys {
    /// Signs snapshots.
    pub snapshot: PublicKey,
    /// Signs timestamps.
    pub timestamp: PublicKey,
}

/// Why a document is not taken in. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Signatures, versions or times do not hold.
    #[error("{0}")]
    Trust(TrustError),
    /// A root must come first.
    #[error("there is no root yet: publish 1.root.json first")]
    NoRoot,
    /// Targets must come before what they delegate to.
    #[error("there is no targets document yet: publish it before {0}")]
    NoTargets(String),
    /// The targets delegate to no role of that name.
    #[error("the targets document delegates to no role `{0}`")]
    NotDelegated(String),
    /// The root names other online keys than this server's.
    #[error(
        "the root does not name this server's {0} key: make it anew with the key that `cordon-server init` printed"
    )]
    OnlineKey(&'static str),
    /// Not a file of a repository.
    #[error("`{0}` is not the name of a metadata file such as 1.root.json or 2.orders.json")]
    Name(String),
    /// Snapshot and timestamp of the director are the server's own.
    #[error("the server signs the director's {0} itself")]
    OwnRole(&'static str),
}

impl From<TrustError> for Refused {
    fn from(error: TrustError) -> Self {
        Self::Trust(error)
    }
}

/// One document that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Under which name it is served.
    pub file: TargetPath,
    /// Its role.
    pub role: Role,
    /// Its version.
    pub version: u64,
    /// When it lapses.
    pub expires: Timestamp,
}

/// Snapshot and timestamp, ready to be signed: first the snapshot, then the timestamp over its bytes.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// What the snapshot says.
    pub snapshot: Snapshot,
    timestamp_version: u64,
    expires: Timestamp,
}

impl Director {
    /// Checks one document against the repository as it stands and takes it in. A repeated upload of the document in
    /// force changes nothing and is accepted.
    pub fn accept(
        &mut self,
        file: &str,
        bytes: &[u8],
        online: &OnlineKeys,
        rules: &Rules<'_>,
    ) -> Result<Accepted, Refused> {
        let role = role_of(file)?;
        match &role {
            Role::Root => self.accept_root(bytes, online, rules),
            Role::Targets => self.accept_targets(bytes, rules),
            Role::Delegated(name) => self.accept_delegated(name.clone(), bytes, rules),
            Role::Snapshot => Err(Refused::OwnRole("snapshot")),
            Role::Timestamp => Err(Refused::OwnRole("timestamp")),
        }
    }

    fn accept_root(
        &mut self,
        bytes: &[u8],
        online: &OnlineKeys,
        rules: &Rules<'_>,
    ) -> Result<Accepted, Refused> {
        let trusted = match self.root.as_deref() {
            None => Trusted::start(bytes, rules)?,
            Some(same) if same == bytes => Trusted::start(bytes, rules)?,
            Some(earlier) => {
                let mut trusted = Trusted::start(earlier, rules)?;
                trusted.rotate(bytes, rules)?;
                trusted
            }
        };
        let root = trusted.root();
        if root.timestamp.id_of(&online.timestamp).is_none() {
            return Err(Refused::OnlineKey("timestamp"));
        }
        if root.snapshot.id_of(&online.snapshot).is_none() {
            return Err(Refused::OnlineKey("snapshot"));
        }
        trusted.final_root(rules)?;
        let (version, expires) = (root.version, root.expires);
        self.root = Some(bytes.to_vec());
        accepted(Role::Root, version, expires)
    }

    fn accept_targets(&mut self, bytes: &[u8], rules: &Rules<'_>) -> Result<Accepted, Refused> {
        let root = self.trusted_root(rules)?;
        let targets = verified(&Role::Targets, bytes, &root.targets, rules)?;
        newer(&Role::Targets, self.targets.as_deref(), bytes, targets.version, rules)?;
        self.targets = Some(bytes.to_vec());
        accepted(Role::Targets, targets.version, targets.expires)
    }

    fn accept_delegated(
        &mut self,
        name: String,
        bytes: &[u8],
        rules: &Rules<'_>,
    ) -> Result<Accepted, Refused> {
        let role = Role::Delegated(name.clone());
        let parent = self.targets(rules)?.ok_or_else(|| Refused::NoTargets(name.clone()))?;
        let delegation = parent.delegations.role(&name).ok_or_else(|| Refused::NotDelegated(name.clone()))?;
        let targets = verified(&role, bytes, &delegation.authority, rules)?;
        newer(&role, self.delegated.get(&name).map(Vec::as_slice), bytes, targets.version, rules)?;
        self.delegated.insert(name, bytes.to_vec());
        accepted(role, targets.version, targets.expires)
    }

    fn trusted_root(&self, rules: &Rules<'_>) -> Result<Root, Refused> {
        let bytes = self.root.as_deref().ok_or(Refused::NoRoot)?;
        Ok(Trusted::start(bytes, rules)?.root().clone())
    }

    /// Version of the root in force, 0 before the first.
    pub fn root_version(&self, rules: &Rules<'_>) -> Result<u64, Refused> {
        match &self.root {
            Some(bytes) => Ok(Trusted::start(bytes, rules)?.root().version),
            None => Ok(0),
        }
    }

    /// The targets in force.
    pub fn targets(&self, rules: &Rules<'_>) -> Result<Option<Targets>, Refused> {
        let Some(bytes) = self.targets.as_deref() else { return Ok(None) };
        read(&Role::Targets, bytes, rules).map(Some)
    }

    /// The document of a delegated role in force.
    pub fn delegated(&self, name: &str, rules: &Rules<'_>) -> Result<Option<Targets>, Refused> {
        let Some(bytes) = self.delegated.get(name) else { return Ok(None) };
        read(&Role::Delegated(name.to_string()), bytes, rules).map(Some)
    }

    /// The keys that signed the document of a delegated role in force, and how many had to.
    pub fn signers(&self, name: &str, rules: &Rules<'_>) -> Result<(Vec<String>, u64), Refused> {
        let targets = self.targets(rules)?;
        let roles =
            targets.as_ref().map_or_else(Default::default, |targets| targets.delegations.roles.iter());
        let Some((role, bytes)) =
            roles.into_iter().find(|role| role.name == name).zip(self.delegated.get(name))
        else {
            return Ok((Vec::new(), 0));
        };
        Ok((image::signers(bytes, &role.authority, rules), role.authority.threshold()))
    }

    /// Whether snapshot and timestamp have to be made anew although nothing was published.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.timestamp_expires.is_some_and(|at| at.seconds_since(now) < RENEW_S)
    }

    /// The next snapshot, once root and targets are there.
    pub fn renewal(&self, now: Timestamp, rules: &Rules<'_>) -> Result<Option<Renewal>, Refused> {
        let (Some(_), Some(targets)) = (&self.root, &self.targets) else { return Ok(None) };
        let mut meta = BTreeMap::new();
        let version = read(&Role::Targets, targets, rules)?.version;
        meta.insert(name::file(&Role::Targets), MetaFile::of(version, targets));
        for (name, bytes) in &self.delegated {
            let role = Role::Delegated(name.clone());
            meta.insert(name::file(&role), MetaFile::of(read(&role, bytes, rules)?.version, bytes));
        }
        let version = self.snapshot_version.saturating_add(1);
        let snapshot = Snapshot { version, expires: now.plus_seconds(SNAPSHOT_S), meta };
        let timestamp_version = self.timestamp_version.saturating_add(1);
        Ok(Some(Renewal { snapshot, timestamp_version, expires: now.plus_seconds(TIMESTAMP_S) }))
    }

    /// Takes in the signed renewal.
    pub fn renewed(&mut self, renewal: &Renewal) {
        self.snapshot_version = renewal.snapshot.version;
        self.timestamp_version = renewal.timestamp_version;
        self.timestamp_expires = Some(renewal.expires);
    }
}

impl Renewal {
    /// What is to be signed by the snapshot key.
    #[must_use]
    pub fn snapshot_value(&self) -> Value {
        author::snapshot(&self.snapshot)
    }

    /// What is to be signed by the timestamp key, over the signed snapshot's bytes.
    #[must_use]
    pub fn timestamp_value(&self, snapshot: &[u8]) -> Value {
        author::timestamp(&TimestampRole {
            version: self.timestamp_version,
            expires: self.expires,
            snapshot: MetaFile::of(self.snapshot.version, snapshot),
        })
    }

    /// The name under which the snapshot is served.
    pub fn snapshot_file(&self) -> Result<TargetPath, Refused> {
        served(&Role::Snapshot, self.snapshot.version)
    }
}

/// The role that a file name speaks of: `3.root.json`, `targets.json`, `12.orders.json`.
pub fn role_of(file: &str) -> Result<Role, Refused> {
    let wrong = || Refused::Name(file.chars().take(80).collect());
    let stem = file.strip_suffix(".json").ok_or_else(wrong)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let role = match stem.split_once('.') {
        Some((version, role)) if digits(version) => role,
        Some(_) | None => stem,
    };
    let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if role.is_empty() || role.len() > 64 || !role.bytes().all(safe) {
        return Err(wrong());
    }
    Ok(match role {
        "root" => Role::Root,
        "timestamp" => Role::Timestamp,
        "snapshot" => Role::Snapshot,
        "targets" => Role::Targets,
        other => Role::Delegated(other.to_string()),
    })
}

fn verified(role: &Role, bytes: &[u8], authority: &Authority, rules: &Rules<'_>) -> Result<Targets, Refused> {
    let wrong = |fault: Fault| Refused::Trust(fault.of(role.clone()));
    let document = Document::parse(bytes, rules.sizes.targets).map_err(wrong)?;
    document.demand(authority, rules.verifier).map_err(wrong)?;
    let targets = Targets::read(document.signed()).map_err(wrong)?;
    if rules.now >= targets.expires {
        return Err(wrong(Fault::Expired { at: targets.expires }));
    }
    Ok(targets)
}

/// Demands a higher version than the document in force, unless it is that very document.
fn newer(
    role: &Role,
    earlier: Option<&[u8]>,
    bytes: &[u8],
    version: u64,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    let Some(earlier) = earlier.filter(|earlier| *earlier != bytes) else { return Ok(()) };
    let wanted = read(role, earlier, rules)?.version.saturating_add(1);
    if version < wanted {
        Err(Refused::Trust(Fault::Version { wanted, found: version }.of(role.clone())))
    } else {
        Ok(())
    }
}

/// Reads a document that was verified when it was taken in.
fn read(role: &Role, bytes: &[u8], rules: &Rules<'_>) -> Result<Targets, Refused> {
    let wrong = |fault: Fault| Refused::Trust(fault.of(role.clone()));
    let document = Document::parse(bytes, rules.sizes.targets).map_err(wrong)?;
    Targets::read(document.signed()).map_err(wrong)
}

fn accepted(role: Role, version: u64, expires: Timestamp) -> Result<Accepted, Refused> {
    Ok(Accepted { file: served(&role, version)?, role, version, expires })
}

fn served(role: &Role, version: u64) -> Result<TargetPath, Refused> {
    let file = name::path(role, version, true);
    file.parse().map_err(|_| Refused::Name(format!("{role}")))
}

#[cfg(test)]
mod tests;
