//! A release: what the manufacturer signs about one firmware image (`custom` v1 of an image target, decision 0002).
//!
//! A [`Release`] exists only if every field is known, bounded and consistent: `floor` never above the release's own
//! `counter`, `min_from` always below it. It must never be made from an unverified target; whoever calls
//! [`Release::read`] holds the end of a verified chain. Read next: [`super::order`], [`super::decide`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use super::unreadable::{Unreadable, bounded, parsed, version_one, words};
use crate::canonical::{FieldProblem, Fields, Value};
use crate::ids::{Name, Sha256, TargetPath, Text};
use crate::limits;
use crate::time::Timestamp;

words! {
    /// Who must say that the device is not in use before it may reboot. Later ones are stricter.
    InterlockClass, "interlock", {
        /// Nobody need say; an explicit hold still holds.
        None = 0 "none",
        /// Nobody has said anything for a while, or a person has released the device.
        Idle = 1 "idle",
        /// A person at the device must have released it, or put it in standby or service.
        Person = 2 "person",
        /// The device's own application must have put it in standby or service.
        Application = 3 "application",
    }
}

words! {
    /// What makes a trial good.
    Confirm, "confirm", {
        /// Health, and a check-in over mutual TLS.
        Checkin = 0 "checkin",
        /// Health alone, for devices that may be offline.
        Local = 1 "local",
    }
}

words! {
    /// Whether the release answers a recall. It changes no rule on the device.
    Recall, "recall", {
        /// An ordinary release.
        None = 0 "none",
        /// It closes a security hole.
        Security = 1 "security",
        /// It answers a safety recall.
        Safety = 2 "safety",
    }
}

words! {
    /// Whether somebody must be there.
    Needs, "needs", {
        /// Nobody.
        None = 0 "none",
        /// The device must be in service when it reboots.
        Service = 1 "service",
    }
}

/// A firmware image by name, length and hash.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Image {
    /// The release's target path in its image repository.
    #[n(0)]
    pub release: TargetPath,
    /// Bytes.
    #[n(1)]
    pub length: u64,
    /// SHA-256 of all of them.
    #[n(2)]
    pub sha256: Sha256,
}

/// A file that a release names, by length and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// Bytes.
    pub length: u64,
    /// SHA-256 of all of them.
    pub sha256: Sha256,
}

/// One target as a verified chain lists it.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The target's path.
    pub path: &'a TargetPath,
    /// Its length.
    pub length: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its `custom`.
    pub custom: &'a Value,
}

/// What a manufacturer says about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The image.
    pub image: Image,
    /// The model it is for.
    pub model: Text,
    /// The hardware revisions it fits.
    pub hardware: Vec<Text>,
    /// Orders releases of a model.
    pub counter: u64,
    /// The lowest counter accepted once this release is confirmed.
    pub floor: u64,
    /// The lowest installed counter from which it may be installed.
    pub min_from: u64,
    /// Who must say that the device is not in use.
    pub interlock: InterlockClass,
    /// What makes its trial good.
    pub confirm: Confirm,
    /// Whether it answers a recall.
    pub recall: Recall,
    /// Whether somebody must be there.
    pub needs: Needs,
    /// Named dates of the maker's support.
    pub support: BTreeMap<Name, Timestamp>,
    /// The bill of materials.
    pub sbom: Option<FileRef>,
    /// The maker's exploitability statements.
    pub vex: Option<FileRef>,
    /// The manufacturer usage description (RFC 8520).
    pub mud: Option<FileRef>,
    /// The index of a chunk delta, and then its store ([`super::chunks`]). Later forms may follow; a reader takes what
    /// it knows.
    pub deltas: Vec<FileRef>,
}

impl Image {
    /// The image that a target names; refuses an empty or an endless one.
    pub(super) fn checked(release: TargetPath, length: u64, sha256: Sha256) -> Result<Self, Unreadable> {
        if !(1..=limits::IMAGE_BYTES).contains(&length) {
            let path = "length".into();
            return Err(crate::canonical::FieldError { path, problem: FieldProblem::Range }.into());
        }
        Ok(Self { release, length, sha256 })
    }
}

impl FileRef {
    fn read(fields: &Fields<'_>) -> Result<Self, Unreadable> {
        let length = bounded(fields, "length", 1, limits::IMAGE_BYTES)?;
        Ok(Self { length, sha256: digest(fields)? })
    }

    fn value(self) -> Value {
        Value::object([("length", Value::from(self.length)), ("sha256", digest_value(self.sha256))])
    }
}

impl Release {
    /// Reads what the maker lists under a target.
    ///
    /// # Errors
    /// The first field that is unknown, missing, out of bounds, or at odds with another.
    pub fn read(listed: Listed<'_>) -> Result<Self, Unreadable> {
        let fields = listed.custom.map()?;
        version_one(&fields)?;
        let counter = bounded(&fields, "counter", 1, u64::MAX)?;
        Ok(Self {
            image: Image::checked(listed.path.clone(), listed.length, listed.sha256)?,
            model: parsed(&fields, "model", "a model's name of 1 to 256 characters")?,
            hardware: hardware(&fields)?,
            counter,
            floor: bounded(&fields, "floor", 0, counter)?,
            min_from: bounded(&fields, "min_from", 0, counter - 1)?,
            interlock: InterlockClass::read(&fields)?,
            confirm: Confirm::read(&fields)?,
            recall: Recall::read(&fields)?,
            needs: Needs::read(&fields)?,
            support: support(&fields)?,
            sbom: file(&fields, "sbom")?,
            vex: file(&fields, "vex")?,
            mud: file(&fields, "mud")?,
            deltas: deltas(&fields)?,
        })
    }

    /// The `custom` of this release, to be signed.
    #[must_use]
    pub fn custom(&self) -> Value {
        let dates = self.support.iter().map(|(name, at)| (name.as_str(), Value::from(*at)));
        Value::object([
            ("v", Value::from(1_u64)),
            ("model", self.model.as_str().into()),
            ("hardware", Value::list(self.hardware.iter().map(Text::as_str))),
            ("counter", self.counter.into()),
            ("floor", self.floor.into()),
            ("min_from", self.min_from.into()),
            ("interlock", self.interlock.word().into()),
            ("confirm", self.confirm.word().into()),
            ("recall", self.recall.word().into()),
            ("needs", self.needs.word().into()),
            ("support", Value::object(dates)),
            ("sbom", self.sbom.map(FileRef::value).into()),
            ("vex", self.vex.map(FileRef::value).into()),
            ("mud", self.mud.map(FileRef::value).into()),
            ("deltas", Value::list(self.deltas.iter().map(|delta| delta.value()))),
        ])
    }
}

/// The maker's notes on a release, for people: a file that the same statement names. No device reads them, so they
/// are no field of [`Release`].
///
/// # Errors
/// The field is there and names no file.
pub fn notes(custom: &Value) -> Result<Option<FileRef>, Unreadable> {
    file(&custom.map()?, "notes")
}

/// The statement of a release with its notes, to be signed.
#[must_use]
pub fn with_notes(custom: Value, notes: Option<FileRef>) -> Value {
    match (custom, notes) {
        (Value::Map(mut entries), Some(notes)) => {
            entries.insert("notes".into(), notes.value());
            Value::Map(entries)
        }
        (custom, _) => custom,
    }
}

/// A digest as it stands in a signed statement.
pub(super) fn digest_value(digest: Sha256) -> Value {
    Value::Text(alloc::format!("{digest}"))
}

pub(super) fn digest(fields: &Fields<'_>) -> Result<Sha256, Unreadable> {
    parsed(fields, "sha256", "a SHA-256 in 64 lower-case hexadecimal digits")
}

fn hardware(fields: &Fields<'_>) -> Result<Vec<Text>, Unreadable> {
    let revisions = fields.texts("hardware")?;
    if !(1..=limits::RELEASE_HARDWARE).contains(&revisions.len()) {
        return Err(fields.error("hardware", FieldProblem::Range).into());
    }
    let form = FieldProblem::Form("a list of hardware revisions of 1 to 256 characters");
    revisions.iter().map(|text| text.parse().map_err(|_| fields.error("hardware", form).into())).collect()
}

fn support(fields: &Fields<'_>) -> Result<BTreeMap<Name, Timestamp>, Unreadable> {
    let Some(dates) = fields.optional_map("support")? else { return Ok(BTreeMap::new()) };
    if dates.entries().len() > limits::RELEASE_ENTRIES {
        return Err(fields.error("support", FieldProblem::Range).into());
    }
    let named =
        |key: &str| key.parse().map_err(|_| fields.error("support", FieldProblem::Form("named dates")));
    let mut support = BTreeMap::new();
    for key in dates.entries().keys() {
        support.insert(named(key)?, dates.time(key)?);
    }
    Ok(support)
}

fn file(fields: &Fields<'_>, name: &str) -> Result<Option<FileRef>, Unreadable> {
    fields.optional_map(name)?.map(|inner| FileRef::read(&inner)).transpose()
}

fn deltas(fields: &Fields<'_>) -> Result<Vec<FileRef>, Unreadable> {
    if fields.optional("deltas").is_none() {
        return Ok(Vec::new());
    }
    let deltas = fields.maps("deltas")?;
    if deltas.len() > limits::RELEASE_ENTRIES {
        return Err(fields.error("deltas", FieldProblem::Range).into());
    }
    deltas.iter().map(FileRef::read).collect()
}

#[cfg(test)]
mod tests;
