//! VEX, in one form. What makers say of whether a weakness touches their product, in OpenVEX, CycloneDX or CSAF.
//!
//! A statement is about one product and one weakness. `not_affected` needs a reason, or it is refused; a subject that nobody
//! can recognise stays and is reported as matching nothing. Readers only read: which statement counts is decided by
//! [`ledger`]. Read next: [`ledger`], then the reader of a format.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::span::Versions;
use crate::matching::json::{self, Refused};
use crate::matching::purl::Purl;

pub mod cyclonedx;
pub mod ledger;
pub mod of_csaf;
pub mod openvex;
pub mod subject;
#[cfg(test)]
mod tests;

/// A VEX document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// In which format it was written.
    pub format: Format,
    /// Its name.
    pub id: String,
    /// Who says it, as the document writes it: no proof.
    pub issuer: String,
    /// What it says.
    pub statements: Vec<Statement>,
    /// Statements that were not understood, by reason.
    pub refused: BTreeMap<&'static str, usize>,
}

/// Formats of VEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenVEX 0.2.
    OpenVex,
    /// CycloneDX 1.4 and later.
    CycloneDx,
    /// CSAF 2.0.
    Csaf,
}

impl Format {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::OpenVex => "openvex",
            Self::CycloneDx => "cyclonedx",
            Self::Csaf => "csaf",
        }
    }
}

/// One statement: a weakness, a product, what is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The weakness by all its names.
    pub names: Vec<String>,
    /// The product.
    pub subject: Subject,
    /// The components of it that are spoken of; empty: the product itself.
    pub inside: Vec<Subject>,
    /// What is so.
    pub status: Status,
    /// Why, as a label or a sentence.
    pub reason: Option<String>,
    /// When it was true.
    pub at: Option<Timestamp>,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// By what it is recognised.
    pub by: By,
    /// Which versions, where the name does not say it.
    pub versions: Versions,
    /// As it was written.
    pub written: String,
}

/// By what a product is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Its package URL.
    Purl(Purl),
    /// Its maker and its name.
    Name {
        /// Empty where the document names none.
        maker: String,
        /// The product.
        name: String,
    },
    /// A text that only the very same text can answer: an IRI, a link into an SBOM that is not here.
    Text,
}

/// What a statement says, in order: a later one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does not have the weakness.
    NotAffected,
    /// It does not have it any more.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
    /// It has it.
    Affected,
}

impl Status {
    /// Its word, as OpenVEX writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAffected => "not_affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under_investigation",
            Self::Affected => "affected",
        }
    }
}

impl Subject {
    /// A product by a text: its package URL if it is one.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let by = Purl::canonical(text).map_or(By::Text, By::Purl);
        Self { by, versions: Versions::Unsaid, written: short(text) }
    }
}

impl Document {
    fn refuse(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }

    /// Takes a statement, if it says all that it must.
    fn take(&mut self, statement: Statement) {
        let has_reason = statement.reason.as_deref().is_some_and(|reason| !reason.trim().is_empty());
        if self.statements.len() == limits::VEX_STATEMENTS {
            self.refuse("too-many");
        } else if statement.names.is_empty() {
            self.refuse("no-weakness");
        } else if statement.status == Status::NotAffected && !has_reason {
            self.refuse("no-justification");
        } else {
            self.statements.push(statement);
        }
    }
}

/// The names of a weakness that are kept: every product of a statement repeats them.
fn names_of<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let fits = |name: &&String| (1..=limits::VEX_NAME).contains(&name.len());
    names.filter(fits).take(limits::VEX_NAMES).cloned().collect()
}

/// The beginning of a text, as much as is kept of it.
fn short(text: &str) -> String {
    text.trim().chars().take(limits::VEX_TEXT).collect()
}

#[derive(Deserialize)]
struct Probe {
    #[serde(default, rename = "@context")]
    openvex: Option<IgnoredAny>,
    #[serde(default, rename = "bomFormat")]
    cyclonedx: Option<IgnoredAny>,
    #[serde(default, rename = "document")]
    csaf: Option<IgnoredAny>,
}

/// Reads a document of any of the three formats; links into SBOMs are looked up in `known`.
///
/// # Errors
/// It is of none of them, or refused by its reader.
pub fn read(bytes: &[u8], known: &cyclonedx::References) -> Result<Document, Refused> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let probe: Probe = json::read(bytes, limits::ADVISORY_BYTES)?;
    if probe.cyclonedx.is_some() {
        cyclonedx::read(bytes, known)
    } else if probe.csaf.is_some() {
        super::csaf::read(bytes).map(|advisory| of_csaf::document(&advisory))
    } else if probe.openvex.is_some() {
        openvex::read(bytes)
    } else {
        Err(Refused::OtherForm("neither OpenVEX nor CycloneDX nor CSAF".into()))
    }
}
