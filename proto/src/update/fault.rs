//! Why a metadata file is not believed: the role, what is wrong, and whose doing it is.
//!
//! One closed list for the whole client. It must never carry a piece of the offered document beyond names and
//! numbers: the text ends in logs and on screens. Read next: [`super::trust`], where each fault arises.

use super::key::KeyId;
use crate::canonical::{FieldError, ParseError};
use crate::time::Timestamp;
use alloc::string::String;
use core::fmt;

/// A role of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The role that names the keys of the other three and of itself.
    Root,
    /// The role that says which snapshot is the newest.
    Timestamp,
    /// The role that says which versions belong together.
    Snapshot,
    /// The role that lists files, or delegates that.
    Targets,
    /// A role that another targets role delegates to.
    Delegated(String),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Delegated(name) => name,
        })
    }
}

/// A metadata file that is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{role}: {fault}")]
pub struct TrustError {
    /// Whose file it is.
    pub role: Role,
    /// What is wrong with it.
    pub fault: Fault,
}

impl TrustError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.fault.blame()
    }
}

/// Who has to act on a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever delivered the bytes: they are not what the role signed, or not the newest of it.
    Delivery,
    /// The role itself: a threshold signed something that cannot be used.
    Signer,
    /// The role did not renew in time, an old file was delivered, or the clock is wrong.
    Time,
}

/// What can be wrong with a metadata file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file is not there.
    #[error("the file is missing; publish it, or ask the repository's owner to")]
    NotFound,
    /// The file is longer than allowed.
    #[error("the file is longer than {limit} bytes")]
    TooLong {
        /// The bytes allowed.
        limit: usize,
    },
    /// The file is no strict JSON.
    #[error("not valid JSON: {0}")]
    Json(ParseError),
    /// The file is JSON, but not `{{"signatures", "signed"}}`.
    #[error("not a signed document: {0}")]
    Envelope(FieldError),
    /// Two signatures claim one key id.
    #[error("two signatures claim the key id {0}")]
    DuplicateSignature(KeyId),
    /// Too few keys of the role signed these bytes.
    #[error("only {valid} of the {needed} signatures needed are valid")]
    Threshold {
        /// Different keys of the role with a valid signature.
        valid: u64,
        /// The threshold.
        needed: u64,
    },
    /// The role has fewer keys than its threshold, so nothing can ever be signed for it.
    #[error("the role has {keys} keys but needs {needed} signatures")]
    Unreachable {
        /// Different keys of the role.
        keys: u64,
        /// The threshold.
        needed: u64,
    },
    /// A field of the signed part is missing or wrong.
    #[error("signed, but not usable: {0}")]
    Field(FieldError),
    /// The file is signed for another role.
    #[error("the file was signed as another kind of metadata")]
    Type,
    /// The file follows another major version of the specification.
    #[error("the file follows another specification than TUF 1.x")]
    SpecVersion,
    /// The length differs from the signed one.
    #[error("the file has {found} bytes, the signed length is {wanted}")]
    Length {
        /// The signed length.
        wanted: u64,
        /// The length of what was offered.
        found: u64,
    },
    /// The hash differs from the signed one.
    #[error("the file's hash is not the signed one")]
    Hash,
    /// No hash is signed that this client can compute, or one beside it that it cannot.
    #[error("the hashes signed for it are not all of the kinds SHA-256 and SHA-512, or there is none")]
    NoKnownHash,
    /// The version differs from the one asked for.
    #[error("version {found} was offered where version {wanted} belongs")]
    Version {
        /// The version that belongs here.
        wanted: u64,
        /// The version found.
        found: u64,
    },
    /// The version is lower than one already trusted.
    #[error("version {offered} was offered although version {trusted} is known: a rollback")]
    Rollback {
        /// The version already trusted.
        trusted: u64,
        /// The version offered.
        offered: u64,
    },
    /// A version that this file states of another one is lower than one already trusted.
    #[error("it states version {offered} of {file} although version {trusted} is known: a rollback")]
    RollbackOf {
        /// The other file.
        file: String,
        /// The version already trusted.
        trusted: u64,
        /// The version stated.
        offered: u64,
    },
    /// A file that the trusted snapshot lists is not listed any more.
    #[error("it no longer lists {file}, which an earlier snapshot did")]
    Removed {
        /// The file.
        file: String,
    },
    /// The snapshot does not list the file.
    #[error("the snapshot does not list this file")]
    NotListed,
    /// No delegation names the role.
    #[error("no delegation names this role")]
    NotDelegated,
    /// The file has expired.
    #[error("it expired at {at}; ask for a newer one, or correct the clock")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// More delegated roles than a client visits for one file.
    #[error("more than {limit} delegated roles would have to be visited")]
    TooManyRoles {
        /// The roles allowed.
        limit: usize,
    },
    /// None of the first roots has the pinned hash.
    #[error("none of the first {tried} roots has the pinned hash; compare it with the owner's")]
    NotPinned {
        /// The roots that were looked at.
        tried: u64,
    },
}

impl Fault {
    /// This fault in the file of `role`.
    #[must_use]
    pub fn of(self, role: Role) -> TrustError {
        TrustError { role, fault: self }
    }

    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotFound
            | Self::TooLong { .. }
            | Self::Json(_)
            | Self::Envelope(_)
            | Self::DuplicateSignature(_)
            | Self::Threshold { .. }
            | Self::Length { .. }
            | Self::Hash
            | Self::Version { .. }
            | Self::Rollback { .. }
            | Self::NotPinned { .. } => Blame::Delivery,
            Self::Unreachable { .. }
            | Self::Field(_)
            | Self::Type
            | Self::SpecVersion
            | Self::NoKnownHash
            | Self::RollbackOf { .. }
            | Self::Removed { .. }
            | Self::NotListed
            | Self::NotDelegated
            | Self::TooManyRoles { .. } => Blame::Signer,
            Self::Expired { .. } => Blame::Time,
        }
    }
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}
