//! A bundle: the signed index of a folder that carries an update to a device without a network (decision 0011).
//!
//! It lists every file that may be read from the folder, by length and hash, and is signed by the threshold that signs
//! orders. Its own expiry and counter stand in for the expiry of the owner's snapshot and timestamp, and for nothing
//! else: both chains are verified as online. Paths are target paths, so none climbs out of its folder or differs from
//! another by case alone. It must never be believed before [`Bundle::open`]; [`Bundle::claim`] only says where to look.
//! Read next: [`super::trust::Freshness`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::document::Document;
use super::fault::Fault;
use super::key::{Authority, Verifier};
use super::unreadable::{Unreadable, bounded, parsed, version_one};
use crate::canonical::{FieldProblem, Fields, Value};
use crate::checkin::{Action, ScopeProof};
use crate::ids::{HardwareId, Name, Sha256, TargetPath};
use crate::limits;
use crate::merkle::Tree;
use crate::time::Timestamp;

pub mod fault;

pub use fault::BundleFault;

/// The name of the index inside the folder.
pub const INDEX: &str = "bundle.json";
const KIND: &str = "bundle";
const SECONDS_A_DAY: i64 = 86_400;
/// Bytes of a hardware identity in the list of a scope.
const IDENTITY_BYTES: usize = 32;

/// One file of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its bytes.
    pub length: u64,
    /// Their hash.
    pub sha256: Sha256,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// SHA-256 of the owner's newest root: who made it, and for which trust.
    pub director: Sha256,
    /// Rises with each bundle of this owner.
    pub counter: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// The first second in which it holds no more.
    pub expires: Timestamp,
    /// The files, by their path inside the folder.
    pub files: BTreeMap<TargetPath, Listed>,
}

/// The bundle that a device accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its counter, 0 for none.
    pub counter: u64,
    /// What it stated, so that the very same one may go on where it was cut off.
    pub digest: Option<Sha256>,
}

/// What a device holds against a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Against {
    /// SHA-256 of the owner's root that it trusts, the newest one of the bundle included.
    pub director: Sha256,
    /// The bundle that it accepted last.
    pub kept: Kept,
    /// Its clock.
    pub now: Timestamp,
}

impl Bundle {
    /// What an index says of itself, its signatures unproved: enough to look for the files, never to believe them.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn claim(bytes: &[u8]) -> Result<Self, BundleFault> {
        let document = Document::parse(bytes, limits::BUNDLE_BYTES).map_err(BundleFault::Index)?;
        Ok(Self::read(document.signed())?)
    }

    /// Opens an index: signed by the threshold of the people who sign orders, of this owner, in time, and not older
    /// than the one that was accepted last. With it comes what it states as one hash, to be kept.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn open(
        bytes: &[u8],
        (orders, verifier): (&Authority, &dyn Verifier),
        against: &Against,
    ) -> Result<(Self, Kept), BundleFault> {
        let document = Document::parse(bytes, limits::BUNDLE_BYTES).map_err(BundleFault::Index)?;
        document.demand(orders, verifier).map_err(BundleFault::Index)?;
        let bundle = Self::read(document.signed())?;
        let digest = Sha256::of(&document.signed().canonical());
        bundle.check(digest, against)?;
        let kept = Kept { counter: bundle.counter, digest: Some(digest) };
        Ok((bundle, kept))
    }

    fn check(&self, digest: Sha256, against: &Against) -> Result<(), BundleFault> {
        if self.director != against.director {
            return Err(BundleFault::OtherDirector);
        }
        self.holds_at(against.now)?;
        let kept = against.kept;
        if self.counter < kept.counter {
            return Err(BundleFault::Replayed { counter: self.counter, kept: kept.counter });
        }
        if self.counter == kept.counter && kept.digest != Some(digest) {
            return Err(BundleFault::SameCounter { counter: self.counter });
        }
        Ok(())
    }

    /// Whether it holds at this second, by what it says of itself.
    ///
    /// # Errors
    /// It does not hold yet, or no more.
    pub fn holds_at(&self, now: Timestamp) -> Result<(), BundleFault> {
        if now < self.issued {
            return Err(BundleFault::ClockBefore { issued: self.issued });
        }
        if now >= self.expires {
            return Err(BundleFault::Expired { expires: self.expires });
        }
        Ok(())
    }

    fn read(signed: &Value) -> Result<Self, Unreadable> {
        let fields = signed.map()?;
        match fields.text("_type")? {
            KIND => {}
            other => return Err(Unreadable::word("_type", other)),
        }
        version_one(&fields)?;
        // Closed: a restriction that an older reader skipped would widen what was signed.
        fields.only(&["_type", "v", "director", "counter", "issued", "expires", "files"])?;
        let bundle = Self {
            director: parsed(&fields, "director", "a SHA-256 in 64 lower-case hexadecimal digits")?,
            counter: bounded(&fields, "counter", 1, u64::MAX)?,
            issued: fields.time("issued")?,
            expires: fields.time("expires")?,
            files: files(&fields)?,
        };
        let life = bundle.expires.seconds_since(bundle.issued);
        if !(1..=limits::BUNDLE_DAYS * SECONDS_A_DAY).contains(&life) {
            return Err(fields.error("expires", FieldProblem::Form("at most 14 days after issued")).into());
        }
        Ok(bundle)
    }

    /// The signed part.
    #[must_use]
    pub fn value(&self) -> Value {
        let file = |(path, listed): (&TargetPath, &Listed)| {
            Value::object([
                ("path", Value::from(path.as_str())),
                ("length", listed.length.into()),
                ("sha256", super::release::digest_value(listed.sha256)),
            ])
        };
        Value::object([
            ("_type", Value::from(KIND)),
            ("v", 1_u64.into()),
            ("director", super::release::digest_value(self.director)),
            ("counter", self.counter.into()),
            ("issued", self.issued.into()),
            ("expires", self.expires.into()),
            ("files", Value::list(self.files.iter().map(file))),
        ])
    }

    /// A file by its path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Listed> {
        self.files.get(&path.parse().ok()?)
    }

    /// The acts that it was made for: one file each, `install/ORDER` or `back/ORDER`.
    pub fn offers(&self) -> impl Iterator<Item = (Action, Name)> {
        self.files.keys().filter_map(|path| offer_of(path.as_str()))
    }
}

/// The file of an act: the identities of the order's devices, empty where its scope needs none.
#[must_use]
pub fn offer_path(action: Action, order: &Name) -> TargetPath {
    let path = alloc::format!("{}/{order}", folder_of(action));
    path.parse().expect("a folder and a name are a target path")
}

fn folder_of(action: Action) -> &'static str {
    match action {
        Action::Install => "install",
        Action::Back => "back",
    }
}

fn offer_of(path: &str) -> Option<(Action, Name)> {
    let (folder, order) = path.split_once('/')?;
    let action = [Action::Install, Action::Back].into_iter().find(|action| folder_of(*action) == folder)?;
    Some((action, order.parse().ok()?))
}

/// The file of an image.
#[must_use]
pub fn image_path(sha256: Sha256) -> TargetPath {
    let path = alloc::format!("targets/{sha256}");
    path.parse().expect("a folder and hexadecimal digits are a target path")
}

/// The proof that a device stands in the list of a scope, made on the device itself. Nothing where it does not: the
/// order's own root decides what a proof is worth.
#[must_use]
pub fn proof_from(list: &[u8], identity: &HardwareId) -> Option<ScopeProof> {
    let (identities, rest) = list.as_chunks::<IDENTITY_BYTES>();
    let place = identities.iter().position(|listed| *listed == identity.0)?;
    if !rest.is_empty() {
        return None;
    }
    let index = u64::try_from(place).ok()?;
    let inclusion = identities.iter().copied().collect::<Tree>().inclusion(index)?;
    Some(ScopeProof { index, hashes: inclusion.path.into_iter().map(Sha256).collect() })
}

fn files(fields: &Fields<'_>) -> Result<BTreeMap<TargetPath, Listed>, Unreadable> {
    let listed = fields.maps("files")?;
    if !(1..=limits::BUNDLE_FILES).contains(&listed.len()) {
        return Err(fields.error("files", FieldProblem::Range).into());
    }
    let mut files = BTreeMap::new();
    for file in &listed {
        let path: TargetPath = parsed(file, "path", "a path inside the folder, in lower case")?;
        let length = bounded(file, "length", 0, limits::IMAGE_BYTES)?;
        if files.insert(path, Listed { length, sha256: super::release::digest(file)? }).is_some() {
            return Err(file.error("path", FieldProblem::Form("listed once")).into());
        }
    }
    let offers = files.keys().filter(|path| offer_of(path.as_str()).is_some()).count();
    if (1..=limits::BUNDLE_OFFERS).contains(&offers) {
        return Ok(files);
    }
    Err(fields.error("files", FieldProblem::Form("1 to 16 acts, such as install/ORDER")).into())
}

/// The bytes of a scope's list, from identities in their order.
pub fn list_of<'a>(identities: impl IntoIterator<Item = &'a HardwareId>) -> Vec<u8> {
    identities.into_iter().flat_map(|identity| identity.0.to_owned()).collect()
}

/// Whether what was read is the listed file.
///
/// # Errors
/// Its length or hash differs.
pub fn check(path: &str, listed: &Listed, bytes: &[u8]) -> Result<(), BundleFault> {
    let path = || crate::ids::Text::lossy(path);
    let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if found != listed.length {
        return Err(BundleFault::Length { path: path(), listed: listed.length });
    }
    if Sha256::of(bytes) == listed.sha256 { Ok(()) } else { Err(BundleFault::Differs { path: path() }) }
}

impl From<Unreadable> for BundleFault {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}

impl From<Fault> for BundleFault {
    fn from(fault: Fault) -> Self {
        Self::Index(fault)
    }
}

#[cfg(test)]
mod tests;
