//! A manufacturer's repository: taken in whole, verified by the devices' own workflow before it is served.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::update::fault::{Fault, Role, TrustError};
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::name;
use cordon_proto::update::refresh::{Ask, Effect, Refresh, Source};
use cordon_proto::update::trust::Rules;

/// The files of a repository by the name under which they are served.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Files in memory, nothing stored.
struct Served<'a>(&'a Files);

impl Source for Served<'_> {
    type Error = TrustError;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, TrustError> {
        Ok(match ask {
            Ask::Fetch(request) => self.0.get(&request.path).cloned(),
            Ask::Stored(_) => None,
        })
    }

    fn apply(&mut self, _: &[Effect], _: &[u8]) -> Result<(), TrustError> {
        Ok(())
    }
}

/// Runs the devices' workflow over the files from the first root on, and demands every role that the snapshot lists.
/// The targets of all roles come back, top-level first.
pub fn verify_image(files: &Files, rules: &Rules<'_>) -> Result<Vec<Targets>, TrustError> {
    let first = name::path(&Role::Root, 1, true);
    let root = files.get(&first).ok_or_else(|| Fault::NotFound.of(Role::Root))?;
    let trusted = Refresh::run(root, rules, &mut Served(files))?;
    let mut roles = Vec::from([trusted.targets().clone()]);
    for delegation in &trusted.targets().delegations.roles {
        let role = Role::Delegated(delegation.name.clone());
        let meta = trusted.listed(&delegation.name)?;
        let file = files.get(&name::path(&role, meta.version, true));
        let bytes = file.ok_or_else(|| Fault::NotFound.of(role.clone()))?;
        roles.push(trusted.delegated(&delegation.name, bytes, rules)?);
    }
    Ok(roles)
}
