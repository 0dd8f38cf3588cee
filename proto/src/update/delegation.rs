//! Delegations: which other role may list which paths, and with whose keys.
//!
//! A delegated role speaks only for the paths its delegator gives it; whatever else it lists is as if it were not
//! there ([`DelegatedRole::allows`]). It must never be reached by name alone: two delegators may name the same role
//! with different keys, so the keys travel with the delegation. Read next: [`super::search`], which walks them.

use super::key::{Authority, KeyId, PublicKey};
use super::metadata::keys;
use crate::canonical::fields::encode_hex;
use crate::canonical::{FieldError, FieldProblem, Fields, Value};
use crate::ids::Sha256;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// The roles that a targets role delegates to, the first trusted most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegations {
    /// The roles in order.
    pub roles: Vec<DelegatedRole>,
}

/// One delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegatedRole {
    /// The name of the role.
    pub name: String,
    /// Who signs for it, by this delegator's word.
    pub authority: Authority,
    /// What it may list.
    pub paths: Paths,
    /// No later delegation is asked about a path that this one may list.
    pub terminating: bool,
}

/// The paths that a delegated role may list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Those that match one of these patterns: `*` is any run of characters of one segment, `?` one of them.
    Patterns(Vec<String>),
    /// Those whose SHA-256 in hexadecimal digits begins with one of these.
    HashPrefixes(Vec<String>),
}

const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

impl Delegations {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let declared = keys(&fields.map("keys")?)?;
        let mut names = BTreeSet::new();
        let mut roles = Vec::new();
        for role in fields.maps("roles")? {
            let read = DelegatedRole::read(&role, &declared)?;
            if !names.insert(read.name.clone()) {
                return Err(
                    role.error("name", FieldProblem::Form("a name that no other delegation here has"))
                );
            }
            roles.push(read);
        }
        Ok(Self { roles })
    }

    /// The delegation with this name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&DelegatedRole> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The delegations to ask about a path, in order, up to and with the first terminating one.
    pub fn for_path<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a DelegatedRole> {
        let mut stopped = false;
        self.roles.iter().filter(|role| role.allows(path)).take_while(move |role| {
            let wanted = !stopped;
            stopped |= role.terminating;
            wanted
        })
    }

    /// The delegations as an object of a document, with the keys of all roles.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let keys = self.roles.iter().flat_map(|role| role.authority.keys());
        let keys = Value::object(keys.map(|(id, key)| (id.0.as_str(), key.to_value())));
        Value::object([
            ("keys", keys),
            ("roles", Value::list(self.roles.iter().map(DelegatedRole::to_value))),
        ])
    }
}

impl DelegatedRole {
    fn read(fields: &Fields<'_>, declared: &BTreeMap<KeyId, PublicKey>) -> Result<Self, FieldError> {
        let name = fields.text("name")?;
        if name.is_empty() || TOP_LEVEL.contains(&name) {
            return Err(fields
                .error("name", FieldProblem::Form("a name other than those of the four top-level roles")));
        }
        let texts = |field: &str| -> Result<Vec<String>, FieldError> {
            Ok(fields.texts(field)?.into_iter().map(ToOwned::to_owned).collect())
        };
        let paths = match (fields.optional("paths"), fields.optional("path_hash_prefixes")) {
            (Some(_), None) => Paths::Patterns(texts("paths")?),
            (None, Some(_)) => Paths::HashPrefixes(texts("path_hash_prefixes")?),
            (None, None) | (Some(_), Some(_)) => {
                return Err(
                    fields.error("paths", FieldProblem::Form("given, or path_hash_prefixes, but not both"))
                );
            }
        };
        Ok(Self {
            name: name.to_owned(),
            authority: Authority::read(fields, declared)?,
            paths,
            terminating: fields.bool("terminating")?,
        })
    }

    /// Whether this role may list a path.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        match &self.paths {
            Paths::Patterns(patterns) => patterns.iter().any(|pattern| matches(pattern, path)),
            Paths::HashPrefixes(prefixes) => {
                let digest = encode_hex(&Sha256::of(path.as_bytes()).0);
                prefixes.iter().any(|prefix| digest.starts_with(prefix.as_str()))
            }
        }
    }

    fn to_value(&self) -> Value {
        let list = |texts: &[String]| Value::list(texts.iter().map(String::as_str));
        let paths = match &self.paths {
            Paths::Patterns(patterns) => ("paths", list(patterns)),
            Paths::HashPrefixes(prefixes) => ("path_hash_prefixes", list(prefixes)),
        };
        Value::object([
            ("name", Value::from(self.name.as_str())),
            ("keyids", Value::list(self.authority.keys().keys().map(|id| id.0.as_str()))),
            ("threshold", Value::from(self.authority.threshold())),
            ("terminating", Value::from(self.terminating)),
            paths,
        ])
    }
}

/// Whether a path matches a pattern, segment by segment: no wildcard crosses a `/`.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let same = pattern.split('/').all(|pattern| segments.next().is_some_and(|text| segment(pattern, text)));
    same && segments.next().is_none()
}

/// Wildcards inside one segment, in time of at most pattern × text: the last `*` alone is ever tried again.
fn segment(pattern: &str, text: &str) -> bool {
    let (mut rest, mut left) = (pattern.chars(), text.chars());
    let mut again = None;
    loop {
        let (before, here) = (rest.clone(), left.clone());
        match (rest.next(), left.next()) {
            (Some('*'), _) => {
                // Nothing is taken by the star at first; on a mismatch it takes one character more.
                again = Some((rest.clone(), here.clone()));
                left = here;
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            (None, None) => return true,
            (Some(_) | None, _) => {
                let Some((after_star, mut taken)) = again.take() else { return false };
                if taken.next().is_none() {
                    return false;
                }
                again = Some((after_star.clone(), taken.clone()));
                (rest, left) = (after_star, taken);
            }
        }
        debug_assert!(before.as_str().len() <= pattern.len(), "the pattern never grows");
    }
}

#[cfg(test)]
mod tests;
