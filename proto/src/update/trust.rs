//! What may be believed of a repository: the client workflow of TUF 1.0.34 section 5 as a chain of states.
//!
//! `Trusted<AtRoot>` becomes `AtTimestamp`, `AtSnapshot`, `AtTargets` by one call each, and there is no other way to
//! get one: whoever holds a state holds the proof of all before it. Each call takes received bytes; `now` and the
//! check of signatures come with [`Rules`]. Nothing here fetches or stores; it must never accept a document because
//! it was stored: what was stored is verified again, only its age is forgiven where the standard says so.
//!
//! Read next: [`super::refresh`], which says what to fetch in which order, and [`super::search`] for one file.

use super::delegation::DelegatedRole;
use super::document::Document;
use super::fault::{Fault, Role, TrustError};
use super::key::{Authority, Verifier};
use super::metadata::{MetaFile, Root, Snapshot, Targets, Timestamp};
use super::name;
use crate::{limits, time};
use alloc::borrow::ToOwned;
use alloc::string::String;

/// How large each file may be, and how far a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of a root.
    pub root: usize,
    /// Bytes of a timestamp.
    pub timestamp: usize,
    /// Bytes of a snapshot.
    pub snapshot: usize,
    /// Bytes of any targets role.
    pub targets: usize,
    /// New roots followed in one refresh.
    pub rotations: u64,
    /// Delegated roles visited for one file.
    pub roles: usize,
}

impl Sizes {
    /// For a device with little memory.
    pub const DEVICE: Self = Self {
        root: limits::DEVICE_ROOT_BYTES,
        timestamp: limits::DEVICE_TIMESTAMP_BYTES,
        snapshot: limits::DEVICE_SNAPSHOT_BYTES,
        targets: limits::DEVICE_TARGETS_BYTES,
        rotations: limits::ROOT_ROTATIONS,
        roles: limits::DELEGATIONS,
    };
    /// For servers, workstations and the conformance suite.
    pub const CONFORMANCE: Self = Self {
        root: limits::TUF_ROOT_BYTES,
        timestamp: limits::TUF_TIMESTAMP_BYTES,
        snapshot: limits::TUF_SNAPSHOT_BYTES,
        targets: limits::TUF_TARGETS_BYTES,
        rotations: limits::ROOT_ROTATIONS,
        roles: limits::DELEGATIONS,
    };
}

/// Whose expiry counts for snapshot and timestamp. Root and targets roles always count for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Their own.
    Own,
    /// That of the verified bundle they came in (decision 0002), in place of their own.
    Bundle {
        /// When the bundle expires.
        expires: time::Timestamp,
    },
}

/// What a verification goes by.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The check of signatures.
    pub verifier: &'a dyn Verifier,
    /// The one instant at which expiry is judged in this refresh (TUF 5.1).
    pub now: time::Timestamp,
    /// The limits.
    pub sizes: Sizes,
    /// Whose expiry counts for snapshot and timestamp.
    pub freshness: Freshness,
}

impl Rules<'_> {
    fn age(&self, role: &Role, expires: time::Timestamp) -> Result<(), TrustError> {
        let at = match (role, self.freshness) {
            (Role::Timestamp | Role::Snapshot, Freshness::Bundle { expires }) => expires,
            (Role::Timestamp | Role::Snapshot, Freshness::Own)
            | (Role::Root | Role::Targets | Role::Delegated(_), _) => expires,
        };
        if self.now >= at { Err(Fault::Expired { at }.of(role.clone())) } else { Ok(()) }
    }

    fn document(&self, role: &Role, bytes: &[u8], authority: &Authority) -> Result<Document, TrustError> {
        let document = Document::parse(bytes, self.limit(role)).map_err(|fault| fault.of(role.clone()))?;
        document.demand(authority, self.verifier).map_err(|fault| fault.of(role.clone()))?;
        Ok(document)
    }

    pub(super) fn limit(&self, role: &Role) -> usize {
        match role {
            Role::Root => self.sizes.root,
            Role::Timestamp => self.sizes.timestamp,
            Role::Snapshot => self.sizes.snapshot,
            Role::Targets | Role::Delegated(_) => self.sizes.targets,
        }
    }

    /// The bytes to read at most for a file whose length may be signed.
    pub(super) fn limit_of(&self, role: &Role, meta: &MetaFile) -> usize {
        let limit = self.limit(role);
        meta.length.and_then(|length| usize::try_from(length).ok()).map_or(limit, |length| length.min(limit))
    }
}

/// A repository verified up to a stage.
#[derive(Clone, Debug)]
pub struct Trusted<Stage> {
    root: Root,
    stage: Stage,
}

/// The root is trusted; a timestamp of an earlier refresh may be known.
#[derive(Clone, Debug)]
pub struct AtRoot {
    earlier: Option<Timestamp>,
}

/// The timestamp is trusted; a snapshot of an earlier refresh may be known.
#[derive(Clone, Debug)]
pub struct AtTimestamp {
    timestamp: Timestamp,
    earlier: Option<Snapshot>,
    kept: bool,
}

/// The snapshot is trusted.
#[derive(Clone, Debug)]
pub struct AtSnapshot {
    timestamp_version: u64,
    snapshot: Snapshot,
}

/// The top-level targets role is trusted.
#[derive(Clone, Debug)]
pub struct AtTargets {
    timestamp_version: u64,
    snapshot: Snapshot,
    targets: Targets,
}

/// What a new root does to what earlier refreshes proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The keys of timestamp and snapshot are the same.
    SameKeys,
    /// They changed: stored timestamps and snapshots are to be forgotten, so that a repository whose online keys ran
    /// away with the version numbers can recover (TUF 5.3.11).
    Forget,
}

impl<Stage> Trusted<Stage> {
    /// The trusted root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }
}

impl Trusted<AtRoot> {
    /// Starts from a root that is trusted already: shipped, pinned by its hash, or stored. It must be signed by its
    /// own threshold; its age does not matter yet (TUF 5.2).
    ///
    /// # Errors
    /// The root is unusable.
    pub fn start(bytes: &[u8], rules: &Rules<'_>) -> Result<Self, TrustError> {
        let wrong = |fault: Fault| fault.of(Role::Root);
        let document = Document::parse(bytes, rules.sizes.root).map_err(wrong)?;
        let root = Root::read(document.signed()).map_err(wrong)?;
        document.demand(&root.root, rules.verifier).map_err(wrong)?;
        Ok(Self { root, stage: AtRoot { earlier: None } })
    }

    /// Goes on to the next root: version N + 1, signed by the thresholds of both (TUF 5.3.4 to 5.3.7).
    ///
    /// # Errors
    /// The new root is refused; the old one stays trusted.
    pub fn rotate(&mut self, bytes: &[u8], rules: &Rules<'_>) -> Result<Rotation, TrustError> {
        let wrong = |fault: Fault| fault.of(Role::Root);
        let document = rules.document(&Role::Root, bytes, &self.root.root)?;
        let root = Root::read(document.signed()).map_err(wrong)?;
        document.demand(&root.root, rules.verifier).map_err(wrong)?;
        let wanted = self.root.version.saturating_add(1);
        if root.version != wanted {
            return Err(wrong(Fault::Version { wanted, found: root.version }));
        }
        let same = root.timestamp.keys() == self.root.timestamp.keys()
            && root.snapshot.keys() == self.root.snapshot.keys();
        self.root = root;
        Ok(if same { Rotation::SameKeys } else { Rotation::Forget })
    }

    /// Refuses a final root that has expired (TUF 5.3.10).
    ///
    /// # Errors
    /// [`Fault::Expired`].
    pub fn final_root(&self, rules: &Rules<'_>) -> Result<(), TrustError> {
        rules.age(&Role::Root, self.root.expires)
    }

    /// Takes the timestamp of an earlier refresh as the lower bound of versions, even if it has expired.
    ///
    /// # Errors
    /// It is not signed by this root's keys: then it bounds nothing.
    pub fn recall(&mut self, bytes: &[u8], rules: &Rules<'_>) -> Result<(), TrustError> {
        self.stage.earlier = Some(self.read(bytes, rules)?);
        Ok(())
    }

    /// Goes on to the newest timestamp (TUF 5.4). One of the version already known is dropped for the known one.
    ///
    /// # Errors
    /// The root has expired, or the timestamp is refused.
    pub fn timestamp(self, bytes: &[u8], rules: &Rules<'_>) -> Result<Trusted<AtTimestamp>, TrustError> {
        self.final_root(rules)?;
        let offered = self.read(bytes, rules)?;
        let (timestamp, kept) = match self.stage.earlier {
            Some(known) => newer(known, offered).map_err(|fault| fault.of(Role::Timestamp))?,
            None => (offered, false),
        };
        rules.age(&Role::Timestamp, timestamp.expires)?;
        Ok(Trusted { root: self.root, stage: AtTimestamp { timestamp, earlier: None, kept } })
    }

    fn read(&self, bytes: &[u8], rules: &Rules<'_>) -> Result<Timestamp, TrustError> {
        let document = rules.document(&Role::Timestamp, bytes, &self.root.timestamp)?;
        Timestamp::read(document.signed()).map_err(|fault| fault.of(Role::Timestamp))
    }
}

/// The timestamp to go on with, and whether it is the known one (TUF 5.4.3).
fn newer(known: Timestamp, offered: Timestamp) -> Result<(Timestamp, bool), Fault> {
    if offered.version < known.version {
        return Err(Fault::Rollback { trusted: known.version, offered: offered.version });
    }
    if offered.version == known.version {
        return Ok((known, true));
    }
    let (trusted, stated) = (known.snapshot.version, offered.snapshot.version);
    if stated < trusted {
        let file = name::file(&Role::Snapshot);
        return Err(Fault::RollbackOf { file, trusted, offered: stated });
    }
    Ok((offered, false))
}

impl Trusted<AtTimestamp> {
    /// The trusted timestamp.
    #[must_use]
    pub fn newest(&self) -> &Timestamp {
        &self.stage.timestamp
    }

    /// Whether it is the one already known, so that there is nothing to store.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.stage.kept
    }

    /// Takes the snapshot of an earlier refresh as the lower bound of versions. `Ok(true)` if it is the very one the
    /// timestamp names and still fresh, so that none need be fetched.
    ///
    /// # Errors
    /// It is not signed by this root's keys: then it bounds nothing.
    pub fn recall(&mut self, bytes: &[u8], rules: &Rules<'_>) -> Result<bool, TrustError> {
        let snapshot = self.read(bytes, rules)?;
        let current = self.stage.timestamp.snapshot.check(bytes).is_ok()
            && snapshot.version == self.stage.timestamp.snapshot.version
            && rules.age(&Role::Snapshot, snapshot.expires).is_ok();
        self.stage.earlier = Some(snapshot);
        Ok(current)
    }

    /// Goes on to the snapshot that the timestamp names (TUF 5.5).
    ///
    /// # Errors
    /// The snapshot is refused.
    pub fn snapshot(self, bytes: &[u8], rules: &Rules<'_>) -> Result<Trusted<AtSnapshot>, TrustError> {
        let wrong = |fault: Fault| fault.of(Role::Snapshot);
        let named = &self.stage.timestamp.snapshot;
        named.check(bytes).map_err(wrong)?;
        let snapshot = self.read(bytes, rules)?;
        if snapshot.version != named.version {
            return Err(wrong(Fault::Version { wanted: named.version, found: snapshot.version }));
        }
        if let Some(known) = &self.stage.earlier {
            not_older(known, &snapshot).map_err(wrong)?;
        }
        rules.age(&Role::Snapshot, snapshot.expires)?;
        let timestamp_version = self.stage.timestamp.version;
        Ok(Trusted { root: self.root, stage: AtSnapshot { timestamp_version, snapshot } })
    }

    fn read(&self, bytes: &[u8], rules: &Rules<'_>) -> Result<Snapshot, TrustError> {
        let document = rules.document(&Role::Snapshot, bytes, &self.root.snapshot)?;
        Snapshot::read(document.signed()).map_err(|fault| fault.of(Role::Snapshot))
    }
}

/// No version may fall and no file may vanish (TUF 5.5.5).
fn not_older(known: &Snapshot, offered: &Snapshot) -> Result<(), Fault> {
    if offered.version < known.version {
        return Err(Fault::Rollback { trusted: known.version, offered: offered.version });
    }
    for (file, trusted) in &known.meta {
        let Some(stated) = offered.meta.get(file) else {
            return Err(Fault::Removed { file: file.clone() });
        };
        if stated.version < trusted.version {
            let (trusted, offered) = (trusted.version, stated.version);
            return Err(Fault::RollbackOf { file: file.clone(), trusted, offered });
        }
    }
    Ok(())
}

impl Trusted<AtSnapshot> {
    /// What the snapshot says of the top-level targets role.
    ///
    /// # Errors
    /// [`Fault::NotListed`].
    pub fn listed_targets(&self) -> Result<&MetaFile, TrustError> {
        listed(&self.stage.snapshot, &Role::Targets)
    }

    /// Goes on to the top-level targets role (TUF 5.6.1 to 5.6.5).
    ///
    /// # Errors
    /// The role is refused.
    pub fn targets(self, bytes: &[u8], rules: &Rules<'_>) -> Result<Trusted<AtTargets>, TrustError> {
        let targets = self.check_targets(bytes, rules)?;
        let AtSnapshot { timestamp_version, snapshot } = self.stage;
        Ok(Trusted { root: self.root, stage: AtTargets { timestamp_version, snapshot, targets } })
    }

    /// The check of [`Trusted::targets`] without going on, for bytes that may be out of date.
    pub(super) fn check_targets(&self, bytes: &[u8], rules: &Rules<'_>) -> Result<Targets, TrustError> {
        role(&self.stage.snapshot, (&Role::Targets, &self.root.targets), bytes, rules)
    }
}

impl Trusted<AtTargets> {
    /// The version of the trusted timestamp.
    #[must_use]
    pub fn timestamp_version(&self) -> u64 {
        self.stage.timestamp_version
    }

    /// The trusted snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.stage.snapshot
    }

    /// The trusted top-level targets role.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.stage.targets
    }

    /// What the snapshot says of a delegated role.
    ///
    /// # Errors
    /// [`Fault::NotListed`].
    pub fn listed(&self, name: &str) -> Result<&MetaFile, TrustError> {
        listed(&self.stage.snapshot, &Role::Delegated(name.to_owned()))
    }

    /// Verifies a role that the top-level targets role delegates to, and drops what it may not list.
    ///
    /// # Errors
    /// Nobody delegates to it, or the role is refused.
    pub fn delegated(&self, name: &str, bytes: &[u8], rules: &Rules<'_>) -> Result<Targets, TrustError> {
        let unknown = || Fault::NotDelegated.of(Role::Delegated(name.to_owned()));
        self.delegated_by(self.stage.targets.delegations.role(name).ok_or_else(unknown)?, bytes, rules)
    }

    /// Verifies a role by the word of whoever delegated to it, and drops what it may not list. The delegation must
    /// come from a role that was itself verified; it is checked anew for every delegator, because two of them may
    /// give one name to different keys.
    ///
    /// # Errors
    /// The role is refused.
    pub fn delegated_by(
        &self,
        delegation: &DelegatedRole,
        bytes: &[u8],
        rules: &Rules<'_>,
    ) -> Result<Targets, TrustError> {
        let named = Role::Delegated(delegation.name.clone());
        let mut targets = role(&self.stage.snapshot, (&named, &delegation.authority), bytes, rules)?;
        targets.targets.retain(|path, _| delegation.allows(path));
        Ok(targets)
    }
}

fn listed<'a>(snapshot: &'a Snapshot, role: &Role) -> Result<&'a MetaFile, TrustError> {
    // The snapshot lists plain names; only paths and stored files are encoded.
    let file: String = alloc::format!("{role}.json");
    snapshot.meta.get(&file).ok_or_else(|| Fault::NotListed.of(role.clone()))
}

/// The checks of TUF 5.6.2 to 5.6.5, the same for every targets role.
fn role(
    snapshot: &Snapshot,
    (role, authority): (&Role, &Authority),
    bytes: &[u8],
    rules: &Rules<'_>,
) -> Result<Targets, TrustError> {
    let wrong = |fault: Fault| fault.of(role.clone());
    let named = listed(snapshot, role)?;
    named.check(bytes).map_err(wrong)?;
    let document = rules.document(role, bytes, authority)?;
    let targets = Targets::read(document.signed()).map_err(wrong)?;
    if targets.version != named.version {
        return Err(wrong(Fault::Version { wanted: named.version, found: targets.version }));
    }
    rules.age(role, targets.expires)?;
    Ok(targets)
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod tests;
