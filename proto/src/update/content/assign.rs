//! Whom a content is for, and whether a device takes it: target `content/<id>` of the owner's `content` role.
//!
//! The target's length and hash are those of the content document; its `custom` says for whom, in which version and
//! until when it may be taken. The version never falls: what a device has taken once, or has given back after a failed
//! trial, it takes no more. A [`Taken`] exists only as the outcome of [`admit`], so nothing unproved can be applied.
//! Read next: [`super::Content`], `cordon_agent_core::content` for the trial.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Content, ContentError};
use crate::canonical::{FieldError, FieldProblem, Value};
use crate::checkin::{Blocked, ScopeProof};
use crate::ids::{Name, Sha256, TargetPath, Text};
use crate::limits;
use crate::time::Timestamp;
use crate::update::decide::Device;
use crate::update::release::Listed;
use crate::update::scope::{Scope, ScopeMiss};
use crate::update::unreadable::{Unreadable, bounded, parsed, version_one};

const KIND: &str = "content";
const FOLDER: &str = "content/";

/// What the owner's people sign about one content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its name.
    pub id: Name,
    /// Bytes of the document.
    pub length: u64,
    /// SHA-256 of all of them.
    pub sha256: Sha256,
    /// The devices it is for.
    pub scope: Scope,
    /// The document's version.
    pub version: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// The first second in which no device takes it any more. Who has it keeps it.
    pub expires: Timestamp,
    /// Why it was given, in a person's words.
    pub reason: Text,
}

impl Assignment {
    /// Reads what the owner's document lists; `document_expires` is the document's own end.
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
            .ok_or_else(|| fields.error("path", FieldProblem::Form("content/ and the content's name")))?;
        let most = u64::try_from(limits::CONTENT_BYTES).unwrap_or(u64::MAX);
        if !(1..=most).contains(&listed.length) {
            return Err(FieldError { path: "length".into(), problem: FieldProblem::Range }.into());
        }
        let assignment = Self {
            id,
            length: listed.length,
            sha256: listed.sha256,
            scope: Scope::read(&fields.map("scope")?)?,
            version: bounded(&fields, "version", 1, u64::MAX)?,
            issued: fields.time("issued")?,
            expires: fields.time("expires")?,
            reason: parsed(&fields, "reason", "a reason of 1 to 256 characters")?,
        };
        if assignment.expires <= assignment.issued || assignment.expires > document_expires {
            let form = "later than issued, and no later than the end of the document";
            return Err(fields.error("expires", FieldProblem::Form(form)).into());
        }
        Ok(assignment)
    }

    /// The `custom` of this assignment, to be signed.
    #[must_use]
    pub fn custom(&self) -> Value {
        Value::object([
            ("v", Value::from(1_u64)),
            ("kind", KIND.into()),
            ("scope", self.scope.value()),
            ("version", self.version.into()),
            ("issued", self.issued.into()),
            ("expires", self.expires.into()),
            ("reason", self.reason.as_str().into()),
        ])
    }

    /// The target path of a content of this name.
    #[must_use]
    pub fn path_of(id: &Name) -> TargetPath {
        let path = alloc::format!("{FOLDER}{id}");
        path.parse().expect("a name behind content/ is a target path")
    }

    /// The content's name in a target path; nothing for a path of another kind.
    #[must_use]
    pub fn id_of(path: &TargetPath) -> Option<Name> {
        path.as_str().strip_prefix(FOLDER)?.parse().ok()
    }
}

/// Why the owner's document of contents is refused as a whole, when it is signed or published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// More live contents than one document may hold.
    #[error("the document has more than {} contents; withdraw those that are superseded", limits::CONTENTS)]
    TooMany,
    /// A target that is no content.
    #[error("the document lists {0}, which is not a content")]
    Foreign(TargetPath),
    /// One content cannot be read.
    #[error("content {id}: {why}")]
    Content {
        /// The content.
        id: Name,
        /// What is wrong with it.
        why: Unreadable,
    },
}

/// Reads all contents of the owner's document: for those who sign, serve or count them.
///
/// # Errors
/// The first thing that is wrong.
pub fn read_document<'a>(
    targets: impl IntoIterator<Item = Listed<'a>>,
    expires: Timestamp,
) -> Result<Vec<Assignment>, DocumentError> {
    let mut contents = Vec::new();
    for listed in targets {
        if contents.len() == limits::CONTENTS {
            return Err(DocumentError::TooMany);
        }
        let id = Assignment::id_of(listed.path).ok_or_else(|| DocumentError::Foreign(listed.path.clone()))?;
        contents.push(Assignment::read(listed, expires).map_err(|why| DocumentError::Content { id, why })?);
    }
    Ok(contents)
}

/// One question: may this device take this content?
#[derive(Clone, Copy, Debug)]
pub struct ContentCase<'a> {
    /// The content's name.
    pub id: &'a Name,
    /// The assignment as the owner's chain lists it, if it does.
    pub assignment: Option<&'a Result<Assignment, Unreadable>>,
    /// The proof that came with it.
    pub proof: Option<&'a ScopeProof>,
    /// The device.
    pub device: &'a Device<'a>,
    /// The highest version that the device has taken, 0 for none. It never falls.
    pub newest: u64,
}

/// A content that this device may fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admitted<'a> {
    /// What was signed about it.
    pub assignment: &'a Assignment,
    /// The device's own model.
    pub(super) model: &'a Text,
}

/// A content that this device may apply: the bytes as received, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// What they say.
    pub content: Content,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why a device does not take a content, in the order in which it is checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentRefusal {
    /// The owner lists no content of this name.
    #[error("The owner's signed list holds no content of this name.")]
    NotListed,
    /// What is listed cannot be read.
    #[error("What the owner signed about this content cannot be read: {0}.")]
    Unreadable(String),
    /// It may be taken no more.
    #[error("This content may be taken until {0} only. Sign it anew.")]
    Expired(Timestamp),
    /// The device's clock is before its signature.
    #[error("The clock is before {0}, when this content was signed. It waits for the right time.")]
    NotYet(Timestamp),
    /// The device is not in its scope.
    #[error("This content is not for this device.")]
    NotInScope(ScopeMiss),
    /// The device has taken this version or a higher one before.
    #[error(
        "Version {offered} is not newer than {newest}, which this device has taken. Sign a higher version."
    )]
    NotNewer {
        /// What is offered.
        offered: u64,
        /// The highest version taken.
        newest: u64,
    },
    /// The bytes are not those that were signed.
    #[error("What arrived is not the content that was signed (another length or hash).")]
    OtherBytes,
    /// The document is not closed, not bounded, or no document.
    #[error("The content cannot be applied: {0}.")]
    Unfit(String),
    /// The document has another name or version than its signature says.
    #[error("The content's name or version is not the signed one.")]
    OtherName,
    /// The document is for another model.
    #[error("The content is for the model {0}.")]
    OtherModel(Text),
}

impl ContentRefusal {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotListed => "content-not-listed",
            Self::Unreadable(_) => "content-unreadable",
            Self::Expired(_) => "content-expired",
            Self::NotYet(_) => "content-not-yet",
            Self::NotInScope(_) => "content-not-in-scope",
            Self::NotNewer { .. } => "content-not-newer",
            Self::OtherBytes => "content-other-bytes",
            Self::Unfit(_) => "content-unfit",
            Self::OtherName => "content-other-name",
            Self::OtherModel(_) => "content-other-model",
        }
    }

    /// Whether nothing but another signature mends it: the device will not take this content, however long one waits.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::NotListed | Self::NotYet(_) | Self::NotInScope(_) | Self::OtherBytes => false,
            Self::Unreadable(_)
            | Self::Expired(_)
            | Self::NotNewer { .. }
            | Self::Unfit(_)
            | Self::OtherName
            | Self::OtherModel(_) => true,
        }
    }

    /// For the check-in and for `status`.
    #[must_use]
    pub fn blocked(&self) -> Blocked {
        Blocked { code: Text::lossy(self.code()), sentence: Text::lossy(&self.to_string()) }
    }
}

/// Whether this device may fetch a content.
///
/// # Errors
/// The first refusal.
pub fn decide_content<'a>(case: &ContentCase<'a>, now: Timestamp) -> Result<Admitted<'a>, ContentRefusal> {
    let assignment = match case.assignment {
        None => return Err(ContentRefusal::NotListed),
        Some(Err(why)) => return Err(ContentRefusal::Unreadable(why.brief())),
        Some(Ok(assignment)) if assignment.id != *case.id => return Err(ContentRefusal::NotListed),
        Some(Ok(assignment)) => assignment,
    };
    if now >= assignment.expires {
        return Err(ContentRefusal::Expired(assignment.expires));
    }
    if now < assignment.issued {
        return Err(ContentRefusal::NotYet(assignment.issued));
    }
    assignment.scope.covers(case.device, case.proof).map_err(ContentRefusal::NotInScope)?;
    if assignment.version <= case.newest {
        return Err(ContentRefusal::NotNewer { offered: assignment.version, newest: case.newest });
    }
    Ok(Admitted { assignment, model: case.device.model })
}

/// Whether these bytes are the content that was signed, and one that this device can apply.
///
/// # Errors
/// The first refusal.
pub fn admit(admitted: &Admitted<'_>, bytes: Vec<u8>) -> Result<Taken, ContentRefusal> {
    let Admitted { assignment, model } = *admitted;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length != assignment.length || Sha256::of(&bytes) != assignment.sha256 {
        return Err(ContentRefusal::OtherBytes);
    }
    let content = Content::read(&bytes).map_err(|error| unfit(&error))?;
    if content.id != assignment.id || content.version != assignment.version {
        return Err(ContentRefusal::OtherName);
    }
    if content.model != *model {
        return Err(ContentRefusal::OtherModel(content.model));
    }
    Ok(Taken { content, bytes })
}

fn unfit(error: &ContentError) -> ContentRefusal {
    ContentRefusal::Unfit(error.to_string().chars().take(100).collect())
}
