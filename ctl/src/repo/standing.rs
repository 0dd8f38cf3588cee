//! What a whole folder says, whatever its age: the root in force, every role's newest document, every end.
//!
//! Signatures are checked from the first root on and must hold; ends are reported, not judged here, because a folder
//! that is over must still be read to be mended. Read next: [`super::verify`], [`super::diff`].

use std::path::Path;

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{MetaFile, Snapshot, Targets, Timestamp as TimestampRole};
use cordon_proto::update::{Authority, Fault, Role, Rules, name};

use crate::chain::{ORDERS, RootChain, Signed, newest, no_example, roots};
use crate::failure::Failure;
use crate::folder::Folder;

/// A document of people's.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its role.
    pub role: Role,
    /// Who signs for it.
    pub authority: Authority,
    /// Its newest version; nothing if there is none yet.
    pub signed: Option<Signed>,
}

/// A folder.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The roots.
    pub chain: RootChain,
    /// The root that waits for signatures.
    pub waiting_root: Option<u64>,
    /// Targets, and then the roles it delegates to.
    pub documents: Vec<Listed>,
    /// Version and end of the snapshot in force, if the folder holds one.
    pub snapshot: Option<(u64, Timestamp)>,
    /// Version and end of the timestamp, if the folder holds one.
    pub timestamp: Option<(u64, Timestamp)>,
    /// What the snapshot does not list as it stands in the folder.
    pub unlisted: Vec<Role>,
}

impl Standing {
    /// Reads a folder.
    ///
    /// # Errors
    /// A root does not follow from the one before it, or a document cannot be read or is not signed by its role.
    pub fn read(path: &Path, rules: &Rules<'_>, example_keys: bool) -> Result<Self, Failure> {
        let folder = Folder::open(path)?;
        let chain = roots(&folder, rules)?;
        no_example(&chain.root, example_keys)?;
        let authority = chain.root.targets.clone();
        let signed = newest(&folder, &Role::Targets, &authority, rules)?;
        let delegations =
            signed.as_ref().filter(|signed| signed.complete).map(|signed| &signed.targets.delegations);
        let roles: Vec<_> = delegations.iter().flat_map(|delegations| delegations.roles.clone()).collect();
        let mut documents = vec![Listed { role: Role::Targets, authority, signed }];
        for delegation in roles {
            let role = Role::Delegated(delegation.name);
            let signed = newest(&folder, &role, &delegation.authority, rules)?;
            documents.push(Listed { role, authority: delegation.authority, signed });
        }
        let waiting_root = folder.waiting_root()?;
        let mut standing =
            Self { chain, waiting_root, documents, snapshot: None, timestamp: None, unlisted: Vec::new() };
        standing.automatic(&folder, rules)?;
        Ok(standing)
    }

    /// Whether it is an owner's folder.
    #[must_use]
    pub fn is_directors(&self) -> bool {
        self.documents.iter().any(|listed| listed.role == Role::Delegated(ORDERS.to_owned()))
    }

    /// What a role lists.
    #[must_use]
    pub fn targets(&self, role: &Role) -> Option<&Targets> {
        let listed = self.documents.iter().find(|listed| listed.role == *role)?;
        listed.signed.as_ref().map(|signed| &signed.targets)
    }

    /// Every end, with the words for what ends, the soonest first.
    #[must_use]
    pub fn ends(&self) -> Vec<(Timestamp, String)> {
        let mut ends = vec![(self.chain.root.expires, format!("root {}", self.chain.root.version))];
        for Listed { role, signed, .. } in &self.documents {
            ends.extend(
                signed.iter().map(|signed| (signed.targets.expires, format!("{role} {}", signed.version))),
            );
        }
        ends.extend(self.snapshot.map(|(version, at)| (at, format!("snapshot {version}"))));
        ends.extend(self.timestamp.map(|(version, at)| (at, format!("timestamp {version}"))));
        ends.sort();
        ends
    }

    /// Reads timestamp and snapshot, where the folder holds them.
    fn automatic(&mut self, folder: &Folder, rules: &Rules<'_>) -> Result<(), Failure> {
        let Some(bytes) = folder.read(&name::file(&Role::Timestamp))? else { return Ok(()) };
        let wrong = |role: Role| move |fault: Fault| Failure::from(fault.of(role.clone()));
        let at = wrong(Role::Timestamp);
        let document = Document::parse(&bytes, rules.sizes.timestamp).map_err(&at)?;
        document.demand(&self.chain.root.timestamp, rules.verifier).map_err(&at)?;
        let timestamp = TimestampRole::read(document.signed()).map_err(&at)?;
        let at = wrong(Role::Snapshot);
        let bytes = folder.role(&Role::Snapshot, timestamp.snapshot.version)?;
        timestamp.snapshot.check(&bytes).map_err(&at)?;
        let document = Document::parse(&bytes, rules.sizes.snapshot).map_err(&at)?;
        document.demand(&self.chain.root.snapshot, rules.verifier).map_err(&at)?;
        let snapshot = Snapshot::read(document.signed()).map_err(&at)?;
        self.timestamp = Some((timestamp.version, timestamp.expires));
        self.snapshot = Some((snapshot.version, snapshot.expires));
        let is_listed = |listed: &&Listed| {
            let meta = snapshot.meta.get(&format!("{}.json", listed.role));
            let signed = listed.signed.as_ref();
            signed.is_none_or(|signed| {
                meta.is_some_and(|meta: &MetaFile| {
                    meta.version == signed.version && meta.check(&signed.bytes).is_ok()
                })
            })
        };
        let unlisted = self.documents.iter().filter(|listed| !is_listed(listed));
        self.unlisted = unlisted.map(|listed| listed.role.clone()).collect();
        Ok(())
    }
}

/// The hash of a root's bytes in words.
#[must_use]
pub fn root_words(chain: &RootChain) -> String {
    let (first, newest): (Sha256, Sha256) = (chain.first, chain.newest);
    format!("first root SHA-256 {first}\nroot {} SHA-256 {newest}", chain.root.version)
}
