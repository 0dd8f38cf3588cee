//! An order: the owner's signed word that devices in its scope may install one image, until when, and which image
//! they may return to (`custom` v1 of a target `order/<id>`, decision 0002).
//!
//! The target's own length and hash are the image's. A missing `permit_s` or `back` is refused rather than guessed,
//! and scopes and windows are closed documents, because skipping a restriction would widen what was signed. Nothing
//! here judges whether an order applies: that is [`super::decide`]. Read next: [`super::scope`].

use alloc::vec::Vec;

use super::release::{Image, Listed, Release, digest, digest_value};
use super::scope::Scope;
use super::unreadable::{Unreadable, bounded, parsed, version_one};
use super::window::Window;
use crate::canonical::{FieldProblem, Fields, Value};
use crate::ids::{Name, TargetPath, Text};
use crate::limits;
use crate::time::Timestamp;

const KIND: &str = "firmware";
const FOLDER: &str = "order/";

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its name in the owner's document.
    pub id: Name,
    /// The maker's image repository.
    pub repository: Name,
    /// The image, by the owner's signature.
    pub image: Image,
    /// The devices it is for.
    pub scope: Scope,
    /// When it was signed.
    pub issued: Timestamp,
    /// The first second in which it holds.
    pub not_before: Timestamp,
    /// The first second in which it holds no more.
    pub expires: Timestamp,
    /// When a device may reboot for it; none means never.
    pub windows: Vec<Window>,
    /// The signed way back.
    pub back: Option<Back>,
    /// Seconds a permit stays fresh; `None` lets a device without a connection install.
    pub permit_s: Option<u32>,
    /// Why it was given, in a person's words.
    pub reason: Text,
}

/// The image to which a device that confirmed the order's image may return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// The earlier image.
    pub image: Image,
    /// The first second in which the way is closed.
    pub until: Timestamp,
}

impl Order {
    /// Reads an order that the owner's document lists; `document_expires` is the document's own end, beyond which no
    /// order may reach.
    ///
    /// # Errors
    /// The first field that is unknown, missing, out of bounds, or at odds with another.
    pub fn read(listed: Listed<'_>, document_expires: Timestamp) -> Result<Self, Unreadable> {
        let fields = listed.custom.map()?;
        version_one(&fields)?;
        match fields.text("kind")? {
            KIND => {}
            other => return Err(Unreadable::word("kind", other)),
        }
        let id = Self::id_of(listed.path)
            .ok_or_else(|| fields.error("path", FieldProblem::Form("order/ and the order's name")))?;
        let release = parsed(&fields, "release", "a target path")?;
        let order = Self {
            id,
            repository: parsed(&fields, "repository", "a repository's name")?,
            image: Image::checked(release, listed.length, listed.sha256)?,
            scope: Scope::read(&fields.map("scope")?)?,
            issued: fields.time("issued")?,
            not_before: fields.time("not_before")?,
            expires: fields.time("expires")?,
            windows: Window::read_all(&fields)?,
            back: Back::read(&fields)?,
            permit_s: permit_s(&fields)?,
            reason: parsed(&fields, "reason", "a reason of 1 to 256 characters")?,
        };
        order.check_times(&fields, document_expires)?;
        Ok(order)
    }

    fn check_times(&self, fields: &Fields<'_>, document_expires: Timestamp) -> Result<(), Unreadable> {
        if self.expires <= self.not_before || self.expires <= self.issued {
            let form = "later than not_before and issued";
            return Err(fields.error("expires", FieldProblem::Form(form)).into());
        }
        let form = FieldProblem::Form("no later than the end of the document of orders");
        if self.expires > document_expires {
            return Err(fields.error("expires", form).into());
        }
        match &self.back {
            Some(back) if back.until > document_expires => Err(fields.error("back.until", form).into()),
            Some(back) if back.until <= self.not_before => {
                Err(fields.error("back.until", FieldProblem::Form("later than not_before")).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The `custom` of this order, to be signed.
    #[must_use]
    pub fn custom(&self) -> Value {
        Value::object([
            ("v", Value::from(1_u64)),
            ("kind", KIND.into()),
            ("repository", self.repository.as_str().into()),
            ("release", self.image.release.as_str().into()),
            ("scope", self.scope.value()),
            ("issued", self.issued.into()),
            ("not_before", self.not_before.into()),
            ("expires", self.expires.into()),
            ("windows", Value::list(self.windows.iter().map(Window::value))),
            ("back", self.back.as_ref().map(Back::value).into()),
            ("permit_s", self.permit_s.into()),
            ("reason", self.reason.as_str().into()),
        ])
    }

    /// The target path under which the order stands.
    #[must_use]
    pub fn path(&self) -> TargetPath {
        Self::path_of(&self.id)
    }

    /// The target path of an order of this name.
    #[must_use]
    pub fn path_of(id: &Name) -> TargetPath {
        let path = alloc::format!("{FOLDER}{id}");
        path.parse().expect("a name behind order/ is a target path")
    }

    /// The order's name in a target path; nothing for a path of another kind.
    #[must_use]
    pub fn id_of(path: &TargetPath) -> Option<Name> {
        path.as_str().strip_prefix(FOLDER)?.parse().ok()
    }

    /// What the person who signs must not sign: an order that no device could follow, or whose way back would be
    /// closed by the release itself.
    ///
    /// # Errors
    /// The first reason not to sign.
    pub fn author_check(&self, release: &Release, back: Option<&Release>) -> Result<(), AuthorError> {
        if release.image != self.image {
            return Err(AuthorError::OtherImage);
        }
        if let Scope::Match { from_least, .. } = &self.scope
            && *from_least >= release.counter
        {
            return Err(AuthorError::Downgrade { from: *from_least, release: release.counter });
        }
        if !self.scope.may_fit(release) {
            return Err(AuthorError::ScopeMissesRelease);
        }
        match (&self.back, back) {
            (None, _) => Ok(()),
            (Some(way), Some(earlier)) if earlier.image == way.image => check_back(release, earlier),
            (Some(_), _) => Err(AuthorError::BackNotListed),
        }
    }
}

fn check_back(release: &Release, earlier: &Release) -> Result<(), AuthorError> {
    if earlier.counter < release.floor {
        return Err(AuthorError::BackBelowFloor { back: earlier.counter, floor: release.floor });
    }
    if earlier.counter >= release.counter {
        return Err(AuthorError::BackNotOlder { back: earlier.counter, release: release.counter });
    }
    if earlier.model != release.model {
        return Err(AuthorError::BackOtherModel);
    }
    Ok(())
}

impl Back {
    fn read(fields: &Fields<'_>) -> Result<Option<Self>, Unreadable> {
        if *fields.value("back")? == Value::Null {
            return Ok(None);
        }
        let back = fields.map("back")?;
        let release = parsed(&back, "release", "a target path")?;
        let length = bounded(&back, "length", 1, limits::IMAGE_BYTES)?;
        let image = Image { release, length, sha256: digest(&back)? };
        Ok(Some(Self { image, until: back.time("until")? }))
    }

    fn value(&self) -> Value {
        Value::object([
            ("release", Value::from(self.image.release.as_str())),
            ("length", self.image.length.into()),
            ("sha256", digest_value(self.image.sha256)),
            ("until", self.until.into()),
        ])
    }
}

fn permit_s(fields: &Fields<'_>) -> Result<Option<u32>, Unreadable> {
    if *fields.value("permit_s")? == Value::Null {
        return Ok(None);
    }
    let seconds = bounded(fields, "permit_s", 1, limits::PERMIT_MAX_S.into())?;
    Ok(u32::try_from(seconds).ok())
}

/// Why a person must not sign an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorError {
    /// The maker lists another image under this name.
    #[error("the maker lists another image under this release's name; fetch the maker's repository again")]
    OtherImage,
    /// The scope names a model or hardware that the release is not for.
    #[error(
        "the scope names a model or hardware revision that the release is not for; no device could follow it"
    )]
    ScopeMissesRelease,
    /// Every device of the scope runs this release or a newer one.
    #[error(
        "every device of the scope runs counter {from} or a newer one, and the release has {release}: devices refuse a downgrade; only a signed way back goes down"
    )]
    Downgrade {
        /// The lowest counter of the scope.
        from: u64,
        /// The release's counter.
        release: u64,
    },
    /// The maker does not list the image of the way back.
    #[error(
        "the maker does not list the way back as it stands in the order; choose a release that is listed"
    )]
    BackNotListed,
    /// The way back is below the floor that confirming the release sets.
    #[error(
        "the way back (counter {back}) is below the floor {floor} of the release itself: confirming would close it"
    )]
    BackBelowFloor {
        /// The way back's counter.
        back: u64,
        /// The release's floor.
        floor: u64,
    },
    /// The way back is not an earlier release.
    #[error("the way back (counter {back}) is not older than the release (counter {release})")]
    BackNotOlder {
        /// The way back's counter.
        back: u64,
        /// The release's counter.
        release: u64,
    },
    /// The way back is for another model.
    #[error("the way back is for another model than the release")]
    BackOtherModel,
}

/// Why the owner's document of orders is refused as a whole, when it is signed or imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// More live orders than one document may hold.
    #[error("the document has more than {} orders; withdraw those that are done", limits::ORDERS)]
    TooMany,
    /// A target that is no order.
    #[error("the document lists {0}, which is not an order")]
    Foreign(TargetPath),
    /// One order cannot be read.
    #[error("order {id}: {why}")]
    Order {
        /// The order.
        id: Name,
        /// What is wrong with it.
        why: Unreadable,
    },
}

/// Reads all orders of the owner's document: for those who sign, serve or count it. A device reads only the one it
/// is offered, so that an order of a later version stops nobody else.
///
/// # Errors
/// The first thing that is wrong.
pub fn read_document<'a>(
    targets: impl IntoIterator<Item = Listed<'a>>,
    expires: Timestamp,
) -> Result<Vec<Order>, DocumentError> {
    let mut orders = Vec::new();
    for listed in targets {
        if orders.len() == limits::ORDERS {
            return Err(DocumentError::TooMany);
        }
        let id = Order::id_of(listed.path).ok_or_else(|| DocumentError::Foreign(listed.path.clone()))?;
        orders.push(Order::read(listed, expires).map_err(|why| DocumentError::Order { id, why })?);
    }
    Ok(orders)
}

#[cfg(test)]
mod tests;
