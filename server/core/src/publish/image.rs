//! A manufacturer's repository: taken in whole, verified by the devices' own workflow before it is served.
//!
//! What was in force before is the history that no publication may fall behind, exactly as on a device. Whether its
//! releases may be taken in at all is decided in [`crate::import`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::update::document::Document;
use cordon_proto::update::fault::{Fault, Role, TrustError};
use cordon_proto::update::key::Authority;
use cordon_proto::update::metadata::{Targets, Timestamp};
use cordon_proto::update::name;
use cordon_proto::update::refresh::{Ask, Effect, Refresh, Source};
use cordon_proto::update::trust::Rules;

/// The files of a repository by the name under which they are served.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The timestamp and the snapshot of the publication in force; empty before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier(Files);

/// A role of a verified repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRole {
    /// What it lists.
    pub targets: Targets,
    /// Ids of the keys that signed it, each signature checked.
    pub signers: Vec<String>,
}

/// Files in memory, nothing stored but what was in force before.
struct Served<'a> {
    files: &'a Files,
    earlier: Earlier,
}

impl Earlier {
    /// What the stored files of a repository have in force: its timestamp, and the snapshot that this one names.
    #[must_use]
    pub fn of(files: &Files, rules: &Rules<'_>) -> Self {
        let newest = name::file(&Role::Timestamp);
        let Some(timestamp) = files.get(&newest) else { return Self::default() };
        let mut earlier = Files::from([(newest, timestamp.clone())]);
        if let Some(stated) = stated(timestamp, rules) {
            let snapshot = files.get(&name::path(&Role::Snapshot, stated.snapshot.version, true));
            earlier.extend(snapshot.map(|bytes| (name::file(&Role::Snapshot), bytes.clone())));
        }
        Self(earlier)
    }

    /// The bytes of the timestamp in force.
    #[must_use]
    pub fn timestamp(&self) -> Option<&[u8]> {
        self.0.get(&name::file(&Role::Timestamp)).map(Vec::as_slice)
    }

    /// The bytes of the snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Option<&[u8]> {
        self.0.get(&name::file(&Role::Snapshot)).map(Vec::as_slice)
    }
}

/// What a timestamp states. Its signatures were checked when it was taken in.
pub(crate) fn stated(timestamp: &[u8], rules: &Rules<'_>) -> Option<Timestamp> {
    let document = Document::parse(timestamp, rules.sizes.timestamp).ok()?;
    Timestamp::read(document.signed()).ok()
}

impl Source for Served<'_> {
    type Error = TrustError;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, TrustError> {
        Ok(match ask {
            Ask::Fetch(request) => self.files.get(&request.path).cloned(),
            Ask::Stored(file) => self.earlier.0.get(file).cloned(),
        })
    }

    fn apply(&mut self, effects: &[Effect], _: &[u8]) -> Result<(), TrustError> {
        for effect in effects {
            match effect {
                Effect::Forget(file) => drop(self.earlier.0.remove(file)),
                Effect::Keep(_) => {}
            }
        }
        Ok(())
    }
}

/// Runs the devices' workflow over the files from the first root on, with what was in force before as the history, and
/// demands every role that the snapshot lists. All roles come back, top-level first.
///
/// # Errors
/// The first thing that a device would not believe.
pub fn verify_image(
    files: &Files,
    earlier: Earlier,
    rules: &Rules<'_>,
) -> Result<Vec<VerifiedRole>, TrustError> {
    let first = name::path(&Role::Root, 1, true);
    let root = files.get(&first).ok_or_else(|| Fault::NotFound.of(Role::Root))?;
    let known = earlier.timestamp().map(<[u8]>::to_vec);
    let trusted = Refresh::run(root, rules, &mut Served { files, earlier })?;
    not_another_of_its_version(files, known.as_deref(), trusted.timestamp_version(), rules)?;
    let top = trusted.targets();
    let bytes = files.get(&name::path(&Role::Targets, top.version, true));
    let top_signers = bytes.map_or_else(Vec::new, |bytes| signers(bytes, &trusted.root().targets, rules));
    let mut roles = Vec::from([VerifiedRole { targets: top.clone(), signers: top_signers }]);
    for delegation in &top.delegations.roles {
        let role = Role::Delegated(delegation.name.clone());
        let meta = trusted.listed(&delegation.name)?;
        let file = files.get(&name::path(&role, meta.version, true));
        let bytes = file.ok_or_else(|| Fault::NotFound.of(role.clone()))?;
        let targets = trusted.delegated(&delegation.name, bytes, rules)?;
        roles.push(VerifiedRole { targets, signers: signers(bytes, &delegation.authority, rules) });
    }
    Ok(roles)
}

/// Devices keep the timestamp they know and drop another one of the same version: it must not be served in its place.
fn not_another_of_its_version(
    files: &Files,
    known: Option<&[u8]>,
    version: u64,
    rules: &Rules<'_>,
) -> Result<(), TrustError> {
    let offered = files.get(&name::file(&Role::Timestamp)).map(Vec::as_slice);
    let Some(known) = known.filter(|known| Some(*known) != offered) else { return Ok(()) };
    match stated(known, rules) {
        Some(stated) if stated.version == version => {
            let wanted = version.saturating_add(1);
            Err(Fault::Version { wanted, found: version }.of(Role::Timestamp))
        }
        Some(_) | None => Ok(()),
    }
}

/// The keys of an authority whose signature under a document holds.
pub(super) fn signers(bytes: &[u8], authority: &Authority, rules: &Rules<'_>) -> Vec<String> {
    let Ok(document) = Document::parse(bytes, rules.sizes.targets) else { return Vec::new() };
    let alone = |key| Authority::new([key], 1);
    let holds = |authority: &Authority| document.demand(authority, rules.verifier).is_ok();
    let keys = authority.keys().iter();
    keys.filter(|(_, key)| alone((*key).clone()).is_some_and(|one| holds(&one)))
        .map(|(id, _)| id.0.to_string())
        .collect()
}
