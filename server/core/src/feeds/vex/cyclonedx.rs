//! The reader of VEX in CycloneDX.
//!
//! What a vulnerability affects is a name in the same document, or a link `urn:cdx:SERIAL/VERSION#NAME` into another one
//! ([`References`]). A link into an SBOM that is not here stays a text, which nothing answers. The status that a version
//! carries goes before the state of the analysis. Read next: [`super::ledger`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::Deserialize;

use super::{By, Document, Format, Statement, Status, Subject, names_of, short};
use crate::feeds::date;
use crate::feeds::span::Versions;
use crate::matching::json::{self, AtMost, Refused};
use crate::matching::purl::Purl;

type List<T> = AtMost<T, { limits::CSAF_LIST }>;

/// What names of SBOMs stand for, by link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References(BTreeMap<String, Subject>);

#[derive(Deserialize)]
struct Whole {
    #[serde(rename = "bomFormat")]
    format: String,
    #[serde(default, rename = "serialNumber")]
    serial: Option<String>,
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    components: AtMost<Component, { limits::VEX_STATEMENTS }>,
    #[serde(default)]
    vulnerabilities: List<Vulnerability>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    component: Option<Component>,
    #[serde(default)]
    supplier: Option<Party>,
    #[serde(default, alias = "manufacture")]
    manufacturer: Option<Party>,
    #[serde(default)]
    authors: AtMost<Party, 64>,
}

#[derive(Deserialize)]
struct Party {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default, rename = "bom-ref")]
    reference: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    supplier: Option<Party>,
    #[serde(default)]
    components: AtMost<Component, { limits::VEX_STATEMENTS }>,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    id: String,
    #[serde(default)]
    references: AtMost<Other, { limits::ALIASES }>,
    #[serde(default)]
    analysis: Option<Analysis>,
    #[serde(default)]
    affects: List<Affected>,
    #[serde(default)]
    updated: Option<String>,
    #[serde(default)]
    published: Option<String>,
}

#[derive(Deserialize)]
struct Other {
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
struct Analysis {
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    justification: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default, rename = "lastUpdated")]
    updated: Option<String>,
    #[serde(default, rename = "firstIssued")]
    issued: Option<String>,
}

#[derive(Deserialize)]
struct Affected {
    r#ref: String,
    #[serde(default)]
    versions: AtMost<Version, { limits::STATED_VERSIONS }>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    range: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

impl References {
    /// Adds the names of an SBOM, to be found by links.
    ///
    /// # Errors
    /// It is no CycloneDX, too long or too deep.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let whole = whole(bytes)?;
        let Some(serial) = whole.serial.as_deref() else { return Ok(()) };
        let serial = serial.trim_start_matches("urn:uuid:");
        let front = alloc::format!("urn:cdx:{serial}/{}", whole.version.unwrap_or(1));
        for (name, subject) in names(&whole) {
            if self.0.len() < limits::VEX_STATEMENTS {
                self.0.insert(alloc::format!("{front}#{name}"), subject);
            }
        }
        Ok(())
    }
}

fn whole(bytes: &[u8]) -> Result<Whole, Refused> {
    let whole: Whole = json::read(bytes, limits::ADVISORY_BYTES)?;
    if whole.format == "CycloneDX" {
        Ok(whole)
    } else {
        Err(Refused::OtherForm("bomFormat is not CycloneDX".into()))
    }
}

/// All components by their names in the document.
fn names(whole: &Whole) -> BTreeMap<String, Subject> {
    let (mut names, mut left): (_, Vec<&Component>) = (BTreeMap::new(), Vec::new());
    left.extend(&whole.components.0);
    left.extend(&whole.metadata.component);
    while let Some(component) = left.pop() {
        left.extend(&component.components.0);
        if let Some(reference) = component.reference.as_deref().filter(|reference| !reference.is_empty()) {
            names.insert(reference.into(), component.subject());
        }
    }
    names
}

impl Component {
    fn subject(&self) -> Subject {
        let purl = self.purl.as_deref().and_then(|purl| Purl::canonical(purl).ok());
        let maker = self.supplier.as_ref().map(|supplier| supplier.name.as_str());
        let version = self.version.as_deref().filter(|version| !version.is_empty());
        let by = match purl {
            Some(purl) => By::Purl(purl),
            None if self.name.is_empty() => By::Text,
            None => By::Name {
                maker: short(maker.or(self.group.as_deref()).unwrap_or_default()),
                name: short(&self.name),
            },
        };
        let versions = match (&by, version) {
            (By::Name { .. }, Some(version)) => Versions::named(version),
            (By::Name { .. }, None) | (By::Purl(_) | By::Text, _) => Versions::Unsaid,
        };
        let written = match version {
            Some(version) => short(&alloc::format!("{} {version}", self.name)),
            None => short(&self.name),
        };
        Subject { by, versions, written }
    }
}

/// Reads the statements of a document.
///
/// # Errors
/// It is too long, too deep or of another form.
pub fn read(bytes: &[u8], known: &References) -> Result<Document, Refused> {
    let whole = whole(bytes)?;
    let names = names(&whole);
    let party = |party: &Option<Party>| party.as_ref().map(|party| party.name.clone());
    let metadata = &whole.metadata;
    let first = metadata.authors.0.first().map(|author| author.name.clone());
    let component = metadata.component.as_ref().and_then(|component| party(&component.supplier));
    let issuer = party(&metadata.supplier).or_else(|| party(&metadata.manufacturer)).or(first).or(component);
    let mut document = Document {
        format: Format::CycloneDx,
        id: whole.serial.clone().unwrap_or_default(),
        issuer: issuer.unwrap_or_default(),
        statements: Vec::new(),
        refused: BTreeMap::new(),
    };
    let at = metadata.timestamp.as_deref().and_then(date::read);
    for vulnerability in whole.vulnerabilities.0 {
        let find = |reference: &str| names.get(reference).or_else(|| known.0.get(reference)).cloned();
        vulnerability.state(&mut document, at, find);
    }
    Ok(document)
}

impl Vulnerability {
    fn state(self, document: &mut Document, at: Option<Timestamp>, find: impl Fn(&str) -> Option<Subject>) {
        let state = self.analysis.as_ref().and_then(|analysis| analysis.state.as_deref());
        let state = match state {
            Some("resolved" | "resolved_with_pedigree") => Status::Fixed,
            // A document that lists a weakness without an analysis says that it is there.
            Some("exploitable") | None => Status::Affected,
            Some("in_triage") => Status::UnderInvestigation,
            Some("false_positive" | "not_affected") => Status::NotAffected,
            Some(_) => return document.refuse("other-status"),
        };
        if self.affects.0.is_empty() {
            return document.refuse("no-product");
        }
        let analysis = self.analysis.as_ref();
        let own =
            |of: fn(&Analysis) -> &Option<String>| analysis.and_then(|analysis| of(analysis).as_deref());
        let times =
            [own(|a| &a.updated), own(|a| &a.issued), self.updated.as_deref(), self.published.as_deref()];
        let at = times.into_iter().flatten().find_map(date::read).or(at);
        let reason = own(|a| &a.justification).or_else(|| own(|a| &a.detail)).map(short);
        let others = self.references.0.iter().map(|other| &other.id);
        let names = names_of(core::iter::once(&self.id).chain(others));
        for affected in self.affects.0 {
            let subject = find(&affected.r#ref).unwrap_or_else(|| Subject::of(&affected.r#ref));
            let whole = Version { version: None, range: None, status: None };
            let versions =
                if affected.versions.0.is_empty() { alloc::vec![whole] } else { affected.versions.0 };
            for version in versions {
                let names_one = version.version.is_some() || version.range.is_some();
                let status = match version.status.as_deref() {
                    None if !names_one => state,
                    // The schema's own default for a version that is named.
                    None | Some("affected") if state == Status::NotAffected || state == Status::Fixed => {
                        Status::Affected
                    }
                    None | Some("affected") => state,
                    Some("unaffected") if state == Status::Fixed => Status::Fixed,
                    Some("unaffected") => Status::NotAffected,
                    Some("unknown") => Status::UnderInvestigation,
                    Some(_) => {
                        document.refuse("other-status");
                        continue;
                    }
                };
                let subject = version.narrow(&subject);
                let (names, reason) = (names.clone(), reason.clone());
                document.take(Statement { names, subject, inside: Vec::new(), status, reason, at });
            }
        }
    }
}

impl Version {
    /// The subject in these versions, where they are named.
    fn narrow(&self, subject: &Subject) -> Subject {
        let versions = match (&self.version, &self.range) {
            (Some(version), _) => Versions::named(version),
            (None, Some(range)) => Versions::range(range),
            (None, None) => return subject.clone(),
        };
        let text = self.version.as_deref().or(self.range.as_deref()).unwrap_or_default();
        let mut by = subject.by.clone();
        if let By::Purl(purl) = &mut by {
            purl.version = None;
        }
        Subject { by, versions, written: short(&alloc::format!("{} {text}", subject.written)) }
    }
}
