//! Signed feeds: a small statement beside a file says whose it is, which file, and of when.
//!
//! The statement names the feed and what it holds, so that a signature over one file cannot stand for another, and its day,
//! so that an old file cannot come back as news. A closed document: an older reader must not skip a field that narrows it.
//! Read next: [`super::judge`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::canonical::{FieldError, Value};
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::{Authority, PublicKey, Verifier};

use super::Kind;

const TYPE: &str = "feed";
/// Bytes of a signed statement.
pub const STATEMENT_BYTES: usize = 8 * 1024;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The feed.
    pub feed: Name,
    /// What it holds.
    pub kind: Kind,
    /// The file.
    pub sha256: Sha256,
    /// Its bytes.
    pub length: u64,
    /// Of when it is, as the signer says.
    pub made: Timestamp,
}

/// A file that somebody signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The id of the key.
    pub key: String,
    /// Of when the file is, as the signer says.
    pub made: Timestamp,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// There is none, and the owner wants one.
    #[error(
        "the owner named keys for this feed, and the file is not signed: sign it with `cordonctl feeds sign`"
    )]
    Missing,
    /// It cannot be read.
    #[error("the signature cannot be read: {0}")]
    Unreadable(String),
    /// None of the owner's keys made it.
    #[error("none of the keys that the owner named for this feed made the signature")]
    Stranger,
    /// It is about another file, another feed or another kind.
    #[error("the signature is about another {0}: send the one that was made for this file")]
    Other(&'static str),
}

impl NotSigned {
    /// A word to count it by.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing => "unsigned",
            Self::Unreadable(_) => "signature-unreadable",
            Self::Stranger => "signature-of-a-stranger",
            Self::Other(_) => "signature-of-another-file",
        }
    }
}

impl Statement {
    /// Reads the signed part of a document.
    ///
    /// # Errors
    /// The first field that is unknown, missing or of another form.
    pub fn read(signed: &Value) -> Result<Self, NotSigned> {
        let wrong = |error: FieldError| NotSigned::Unreadable(error.to_string());
        let fields = signed.map().map_err(wrong)?;
        fields.only(&["_type", "v", "feed", "kind", "sha256", "length", "made"]).map_err(wrong)?;
        let text = |name| fields.text(name).map_err(wrong);
        if text("_type")? != TYPE || fields.unsigned("v").map_err(wrong)? != 1 {
            return Err(NotSigned::Unreadable(
                "it is no statement about a feed, or of a later version".into(),
            ));
        }
        let kind = Kind::of(text("kind")?);
        let feed = text("feed")?.parse();
        Ok(Self {
            feed: feed.map_err(|_| NotSigned::Unreadable("its feed has no name".into()))?,
            kind: kind.ok_or_else(|| NotSigned::Unreadable("it names no kind of feed".into()))?,
            sha256: Sha256(fields.hex("sha256").map_err(wrong)?),
            length: fields.unsigned("length").map_err(wrong)?,
            made: fields.time("made").map_err(wrong)?,
        })
    }

    /// The signed part, to be signed.
    #[must_use]
    pub fn value(&self) -> Value {
        Value::object([
            ("_type", Value::from(TYPE)),
            ("v", 1_u64.into()),
            ("feed", self.feed.as_str().into()),
            ("kind", self.kind.word().into()),
            ("sha256", self.sha256.to_string().as_str().into()),
            ("length", self.length.into()),
            ("made", self.made.into()),
        ])
    }
}

/// Judges the signature of a file. Without keys of the owner's none is needed, and one that is sent proves nothing.
///
/// # Errors
/// It is missing, unreadable, a stranger's, or about something else.
pub fn verify(
    statement: Option<&[u8]>,
    keys: &[PublicKey],
    about: (&Name, Kind, Sha256),
    verifier: &dyn Verifier,
) -> Result<Option<Signed>, NotSigned> {
    if keys.is_empty() {
        return Ok(None);
    }
    let bytes = statement.ok_or(NotSigned::Missing)?;
    let document = Document::parse(bytes, STATEMENT_BYTES);
    let document = document.map_err(|fault| NotSigned::Unreadable(fault.to_string()))?;
    let signer = keys.iter().find(|key| {
        let authority = Authority::new([(*key).clone()], 1);
        authority.is_some_and(|authority| document.demand(&authority, verifier).is_ok())
    });
    let signer = signer.ok_or(NotSigned::Stranger)?;
    let said = Statement::read(document.signed())?;
    let (feed, kind, sha256) = about;
    let others: Vec<&'static str> = [
        (said.sha256 != sha256).then_some("file"),
        (said.feed != *feed).then_some("feed"),
        (said.kind != kind).then_some("kind of feed"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match others.first() {
        Some(other) => Err(NotSigned::Other(other)),
        None => Ok(Some(Signed { key: signer.id().to_string(), made: said.made })),
    }
}
