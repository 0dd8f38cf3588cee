//! The four kinds of TUF metadata (TUF 1.0.34 section 4), read from the signed part of a document.
//!
//! Reading is not believing: these types are made by anyone from any bytes; what makes them trusted is
//! [`super::trust`]. Unknown fields are ignored here and kept in the signed [`Value`]. A wrong declaration about one
//! file (an unreadable hash) must never make the whole document unreadable: it fails when that file is checked.
//!
//! Read next: [`super::delegation`] for who may list what, [`super::trust`] for the order of checks.

use super::delegation::Delegations;
use super::fault::Fault;
use super::key::{Authority, KeyId, PublicKey};
use crate::canonical::fields::{decode_hex, encode_hex};
use crate::canonical::{FieldError, FieldProblem, Fields, Value};
use crate::ids::Sha256;
use crate::time;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest, Sha512};

#[cfg(test)]
mod tests;

/// The keys of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its version, from 1.
    pub version: u64,
    /// When it stops being valid.
    pub expires: time::Timestamp,
    /// Whether files are named by version and hash.
    pub consistent_snapshot: bool,
    /// Who signs the next root.
    pub root: Authority,
    /// Who signs the timestamp.
    pub timestamp: Authority,
    /// Who signs the snapshot.
    pub snapshot: Authority,
    /// Who signs the top-level targets.
    pub targets: Authority,
}

/// Which snapshot is the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Its version, from 1.
    pub version: u64,
    /// When it stops being valid.
    pub expires: time::Timestamp,
    /// The snapshot it names.
    pub snapshot: MetaFile,
}

/// Which versions of the targets roles belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its version, from 1.
    pub version: u64,
    /// When it stops being valid.
    pub expires: time::Timestamp,
    /// The files by name, such as `targets.json`.
    pub meta: BTreeMap<String, MetaFile>,
}

/// The files that a role lists, and to whom it delegates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Its version, from 1.
    pub version: u64,
    /// When it stops being valid.
    pub expires: time::Timestamp,
    /// The files by path.
    pub targets: BTreeMap<String, TargetFile>,
    /// The roles it delegates to.
    pub delegations: Delegations,
}

/// What one metadata file says of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFile {
    /// The version.
    pub version: u64,
    /// The length in bytes, if stated.
    pub length: Option<u64>,
    /// The hashes, if stated.
    pub hashes: Option<Hashes>,
}

/// What a targets role says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFile {
    /// The length in bytes.
    pub length: u64,
    /// The hashes.
    pub hashes: Hashes,
    /// What the signer says beyond that, whole.
    pub custom: Option<Value>,
}

/// The hashes stated for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: Option<Sha256>,
    /// SHA-512.
    pub sha512: Option<[u8; 64]>,
    /// A SHA-256 or SHA-512 is stated but is none: no file matches.
    pub unreadable: bool,
    /// A hash of an algorithm is stated that this client does not compute.
    pub unknown: bool,
}

impl Root {
    /// Reads the signed part of a root.
    ///
    /// # Errors
    /// It is of another kind, or a field is missing or wrong.
    pub fn read(signed: &Value) -> Result<Self, Fault> {
        let fields = signed.map()?;
        let (version, expires) = head(&fields, "root")?;
        let declared = keys(&fields.map("keys")?)?;
        let roles = fields.map("roles")?;
        // A role that this client does not use, such as `mirrors`, must be one all the same.
        roles.each()?.iter().try_for_each(|(_, role)| Authority::read(role, &declared).map(drop))?;
        let authority = |role: &str| Authority::read(&roles.map(role)?, &declared);
        Ok(Self {
            version,
            expires,
            consistent_snapshot: match fields.entries().contains_key("consistent_snapshot") {
                true => fields.bool("consistent_snapshot")?,
                false => false,
            },
            root: authority("root")?,
            timestamp: authority("timestamp")?,
            snapshot: authority("snapshot")?,
            targets: authority("targets")?,
        })
    }
}

impl Timestamp {
    /// Reads the signed part of a timestamp.
    ///
    /// # Errors
    /// It is of another kind, or a field is missing or wrong.
    pub fn read(signed: &Value) -> Result<Self, Fault> {
        let fields = signed.map()?;
        let (version, expires) = head(&fields, "timestamp")?;
        let meta = fields.map("meta")?;
        // It describes the snapshot and nothing else (TUF 4.6).
        meta.only(&["snapshot.json"])?;
        let snapshot = MetaFile::read(&meta.map("snapshot.json")?)?;
        Ok(Self { version, expires, snapshot })
    }
}

impl Snapshot {
    /// Reads the signed part of a snapshot.
    ///
    /// # Errors
    /// It is of another kind, or a field is missing or wrong.
    pub fn read(signed: &Value) -> Result<Self, Fault> {
        let fields = signed.map()?;
        let (version, expires) = head(&fields, "snapshot")?;
        let mut meta = BTreeMap::new();
        for (name, file) in fields.map("meta")?.each()? {
            meta.insert(name.to_owned(), MetaFile::read(&file)?);
        }
        Ok(Self { version, expires, meta })
    }
}

impl Targets {
    /// Reads the signed part of a targets role.
    ///
    /// # Errors
    /// It is of another kind, or a field is missing or wrong.
    pub fn read(signed: &Value) -> Result<Self, Fault> {
        let fields = signed.map()?;
        let (version, expires) = head(&fields, "targets")?;
        let mut targets = BTreeMap::new();
        for (path, file) in fields.map("targets")?.each()? {
            targets.insert(path.to_owned(), TargetFile::read(&file)?);
        }
        let delegations = match fields.entries().contains_key("delegations") {
            true => Delegations::read(&fields.map("delegations")?)?,
            false => Delegations::default(),
        };
        Ok(Self { version, expires, targets, delegations })
    }
}

impl MetaFile {
    fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let version = positive(fields, "version")?;
        let length = fields.optional_unsigned("length")?;
        let hashes = fields.optional_map("hashes")?.map(|hashes| Hashes::read(&hashes)).transpose()?;
        Ok(Self { version, length, hashes })
    }

    /// What to state of a file of these bytes.
    #[must_use]
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self { version, length: Some(length_of(bytes)), hashes: Some(Hashes::of(bytes)) }
    }

    /// The statement as an object of a document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let length = self.length.map(|length| ("length", Value::from(length)));
        let hashes = self.hashes.as_ref().map(|hashes| ("hashes", hashes.to_value()));
        Value::object([Some(("version", Value::from(self.version))), length, hashes].into_iter().flatten())
    }

    /// Whether the bytes have the stated length and hashes, as far as these are stated: all of them, so one that cannot be
    /// computed here is not met (TUF 1.0.34 sections 5.5.2 and 5.6.2).
    ///
    /// # Errors
    /// [`Fault::Length`], [`Fault::Hash`] or [`Fault::NoKnownHash`].
    pub fn check(&self, bytes: &[u8]) -> Result<(), Fault> {
        let found = length_of(bytes);
        match self.length {
            Some(wanted) if wanted != found => return Err(Fault::Length { wanted, found }),
            Some(_) | None => {}
        }
        match &self.hashes {
            Some(hashes) if hashes.unknown => Err(Fault::NoKnownHash),
            Some(hashes) => hashes.check(bytes),
            None => Ok(()),
        }
    }
}

impl TargetFile {
    fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let length = fields.unsigned("length")?;
        let hashes = Hashes::read(&fields.map("hashes")?)?;
        Ok(Self { length, hashes, custom: fields.optional("custom").cloned() })
    }

    /// What to state of a file.
    #[must_use]
    pub fn new(length: u64, sha256: Sha256, custom: Option<Value>) -> Self {
        Self { length, hashes: Hashes { sha256: Some(sha256), ..Hashes::default() }, custom }
    }

    /// The statement as an object of a document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let custom = self.custom.clone().map(|custom| ("custom", custom));
        let fixed = [("length", Value::from(self.length)), ("hashes", self.hashes.to_value())];
        Value::object(fixed.into_iter().chain(custom))
    }

    /// The SHA-256 that names an image in Cordon.
    ///
    /// # Errors
    /// [`Fault::NoKnownHash`]: the signer stated none, or an unreadable one.
    pub fn sha256(&self) -> Result<Sha256, Fault> {
        self.hashes.sha256.filter(|_| !self.hashes.unreadable).ok_or(Fault::NoKnownHash)
    }

    /// Whether these whole bytes are the file.
    ///
    /// # Errors
    /// [`Fault::Length`], [`Fault::Hash`] or [`Fault::NoKnownHash`].
    pub fn check(&self, bytes: &[u8]) -> Result<(), Fault> {
        let found = length_of(bytes);
        if self.length != found {
            return Err(Fault::Length { wanted: self.length, found });
        }
        self.hashes.check(bytes)
    }

    /// The path under which a repository keeps the file: with consistent snapshots `dir/<hash>.name`.
    #[must_use]
    pub fn stored_path(&self, path: &str, consistent_snapshot: bool) -> String {
        let hash = match (&self.hashes.sha256, &self.hashes.sha512) {
            (Some(sha256), _) => encode_hex(&sha256.0),
            (None, Some(sha512)) => encode_hex(sha512),
            (None, None) => return path.to_owned(),
        };
        match path.rsplit_once('/') {
            _ if !consistent_snapshot => path.to_owned(),
            Some((folder, name)) => format!("{folder}/{hash}.{name}"),
            None => format!("{hash}.{path}"),
        }
    }
}

impl Hashes {
    fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        // Other algorithms are not computed here, but are hashes all the same.
        let names = || fields.entries().keys();
        names().try_for_each(|name| fields.text(name).map(drop))?;
        let unknown = names().any(|name| !matches!(&**name, "sha256" | "sha512"));
        let sha256 = fields.optional_text("sha256")?;
        let sha512 = fields.optional_text("sha512")?;
        // Small letters alone, as every client writes and compares them.
        let decode_hex =
            |text: &str| decode_hex(text).filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase()));
        let read256 = sha256.and_then(decode_hex).and_then(|bytes| bytes.try_into().ok()).map(Sha256);
        let read512 = sha512.and_then(decode_hex).and_then(|bytes| bytes.try_into().ok());
        let unreadable = sha256.is_some() != read256.is_some() || sha512.is_some() != read512.is_some();
        Ok(Self { sha256: read256, sha512: read512, unreadable, unknown })
    }

    /// The SHA-256 of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: Some(Sha256::of(bytes)), ..Self::default() }
    }

    fn to_value(&self) -> Value {
        let sha256 = self.sha256.map(|hash| ("sha256", Value::from(encode_hex(&hash.0))));
        let sha512 = self.sha512.map(|hash| ("sha512", Value::from(encode_hex(&hash))));
        Value::object([sha256, sha512].into_iter().flatten())
    }

    /// Whether every stated hash that this client knows is the hash of the bytes, and at least one is stated.
    fn check(&self, bytes: &[u8]) -> Result<(), Fault> {
        if self.sha256.is_none() && self.sha512.is_none() && !self.unreadable {
            return Err(Fault::NoKnownHash);
        }
        let same256 = self.sha256.is_none_or(|wanted| wanted == Sha256::of(bytes));
        let same512 = self.sha512.is_none_or(|wanted| Sha512::digest(bytes) == wanted);
        if self.unreadable || !same256 || !same512 { Err(Fault::Hash) } else { Ok(()) }
    }
}

/// Reads a map of key ids to keys.
pub(super) fn keys(fields: &Fields<'_>) -> Result<BTreeMap<KeyId, PublicKey>, FieldError> {
    let mut keys = BTreeMap::new();
    for (id, key) in fields.each()? {
        keys.insert(KeyId(id.to_owned()), PublicKey::read(&key)?);
    }
    Ok(keys)
}

/// Kind, specification, version and expiry: the head of every role.
fn head(fields: &Fields<'_>, kind: &str) -> Result<(u64, time::Timestamp), Fault> {
    if fields.text("_type")? != kind {
        return Err(Fault::Type);
    }
    // The minor numbers are not compared (TUF 4.3), but must be numbers: what nobody can read is no version.
    let numbers: Vec<&str> = fields.text("spec_version")?.split('.').collect();
    let digits = |number: &&str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if numbers.first() != Some(&"1") || !(2..=3).contains(&numbers.len()) || !numbers.iter().all(digits) {
        return Err(Fault::SpecVersion);
    }
    // Whole seconds and nothing else (TUF 4.2): other clients read no fraction.
    if fields.text("expires")?.contains('.') {
        return Err(fields
            .error("expires", FieldProblem::Form("a time such as 2026-11-21T09:05:06Z"))
            .into());
    }
    Ok((positive(fields, "version")?, fields.time("expires")?))
}

fn positive(fields: &Fields<'_>, name: &str) -> Result<u64, FieldError> {
    match fields.unsigned(name)? {
        0 => Err(fields.error(name, FieldProblem::Range)),
        number => Ok(number),
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("lengths have at most 64 bits")
}
