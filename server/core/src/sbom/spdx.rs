//! The reader of SPDX 2.2 and 2.3 in JSON; what both notations mean.
//!
//! After ISO/IEC 5962. Packages become components, with the package URL and CPE of their external references; files and
//! snippets are passed over. What a document describes, if it is one package, is its subject. Relationships that say who
//! needs or contains whom become dependencies. Read next: [`super::tag_value`], the other notation.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use serde::Deserialize;

use super::edges::Written;
use super::{Component, Format, Kind, Refused, Sbom, kept, refused};
use crate::feeds::date;
use crate::matching::json::AtMost;

/// External references of a package.
const REFERENCES: usize = 1_024;
/// How a document names itself.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: String,
    #[serde(default)]
    document_namespace: Option<String>,
    #[serde(default)]
    creation_info: Creation,
    #[serde(default)]
    document_describes: AtMost<String, { limits::SBOM_COMPONENTS }>,
    #[serde(default)]
    packages: AtMost<Package, { limits::SBOM_COMPONENTS }>,
    #[serde(default)]
    relationships: AtMost<Relationship, { limits::SBOM_NEEDS }>,
}

#[derive(Default, Deserialize)]
struct Creation {
    #[serde(default)]
    created: Option<String>,
}

/// A package as either notation writes it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Package {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) version_info: Option<String>,
    #[serde(default)]
    pub(super) primary_package_purpose: Option<String>,
    #[serde(default)]
    pub(super) license_concluded: Option<String>,
    #[serde(default)]
    pub(super) license_declared: Option<String>,
    #[serde(default)]
    pub(super) external_refs: AtMost<External, REFERENCES>,
}

/// Where a package is known elsewhere.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct External {
    pub(super) reference_type: String,
    pub(super) reference_locator: String,
}

/// What one element is to another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relationship {
    pub(super) spdx_element_id: String,
    pub(super) relationship_type: String,
    pub(super) related_spdx_element: String,
}

/// A document of either notation.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) created: Option<String>,
    pub(super) describes: Vec<String>,
    pub(super) packages: Vec<Package>,
    pub(super) relationships: Vec<Relationship>,
}

/// Reads a document whose depth and number of packages are known to be within the limits.
pub(super) fn read(bytes: &[u8]) -> Result<Sbom, Refused> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| refused(&error))?;
    let parts = Parts {
        version: document.spdx_version,
        namespace: document.document_namespace,
        created: document.creation_info.created,
        describes: document.document_describes.0,
        packages: document.packages.0,
        relationships: document.relationships.0,
    };
    parts.sbom(Format::SpdxJson)
}

impl Parts {
    /// What the document says, in our words.
    pub(super) fn sbom(self, format: Format) -> Result<Sbom, Refused> {
        let version = match self.version.trim() {
            "SPDX-2.2" => "2.2",
            "SPDX-2.3" => "2.3",
            other => {
                let other: String = other.chars().take(16).collect();
                return Err(Refused::OtherVersion(other));
            }
        };
        let subject = self.subject();
        let packages: BTreeSet<&str> = self.packages.iter().map(|package| package.id.as_str()).collect();
        let written: Vec<Written> = self
            .relationships
            .iter()
            .filter_map(Relationship::needs)
            // Files, snippets and other documents are no components.
            .filter(|(who, what)| packages.contains(who) && packages.contains(what))
            .map(|(who, what)| (short(who).into(), short(what)))
            .collect();
        let (mut own, mut components) = (None, Vec::with_capacity(self.packages.len()));
        for package in &self.packages {
            let is_subject = own.is_none() && subject.as_deref() == Some(package.id.as_str());
            let component = package.component();
            if is_subject { own = Some(component) } else { components.push(component) }
        }
        let mut sbom = Sbom {
            format,
            version: version.into(),
            serial: self.namespace.as_deref().and_then(kept),
            made: self.created.as_deref().and_then(date::read),
            subject: own,
            components,
            ..Sbom::default()
        };
        sbom.resolve(subject.as_deref().map(short).as_deref(), written);
        Ok(sbom)
    }

    /// The one package that the document describes.
    fn subject(&self) -> Option<String> {
        let mut described: BTreeSet<&str> = self.describes.iter().map(String::as_str).collect();
        described.extend(self.relationships.iter().filter_map(Relationship::describes));
        let package = self.packages.iter().find(|package| described.contains(package.id.as_str()))?;
        (described.len() == 1).then(|| package.id.clone())
    }
}

impl Relationship {
    /// Who needs what, if it says so.
    fn needs(&self) -> Option<(&str, &str)> {
        let (one, other) = (self.spdx_element_id.as_str(), self.related_spdx_element.as_str());
        match self.relationship_type.as_str() {
            "DEPENDS_ON" | "CONTAINS" | "STATIC_LINK" | "DYNAMIC_LINK" | "HAS_PREREQUISITE" => {
                Some((one, other))
            }
            "DEPENDENCY_OF"
            | "RUNTIME_DEPENDENCY_OF"
            | "OPTIONAL_DEPENDENCY_OF"
            | "PROVIDED_DEPENDENCY_OF"
            | "CONTAINED_BY"
            | "PREREQUISITE_FOR" => Some((other, one)),
            _ => None,
        }
    }

    fn describes(&self) -> Option<&str> {
        let (one, other) = (self.spdx_element_id.as_str(), self.related_spdx_element.as_str());
        match self.relationship_type.as_str() {
            "DESCRIBES" if one == DOCUMENT => Some(other),
            "DESCRIBED_BY" if other == DOCUMENT => Some(one),
            _ => None,
        }
    }
}

impl Package {
    fn component(&self) -> Component {
        let find = |kinds: &[&str]| {
            let found =
                self.external_refs.0.iter().find(|known| kinds.contains(&known.reference_type.as_str()));
            found.map(|known| known.reference_locator.as_str())
        };
        // What was concluded goes before what was declared.
        let licence = [&self.license_concluded, &self.license_declared].into_iter().flatten();
        let licence =
            licence.map(|text| text.trim()).find(|text| !matches!(*text, "" | "NOASSERTION" | "NONE"));
        let component = Component {
            kind: self.kind(),
            name: kept(&self.name).unwrap_or_default(),
            version: self.version_info.as_deref().and_then(kept).filter(|version| version != "NOASSERTION"),
            cpe: find(&["cpe23Type", "cpe22Type"]).and_then(kept),
            licences: licence.and_then(kept).into_iter().collect(),
            reference: short(&self.id),
            ..Component::default()
        };
        match find(&["purl"]) {
            Some(purl) => component.with_purl(purl),
            None => component,
        }
    }

    fn kind(&self) -> Kind {
        match self.primary_package_purpose.as_deref().unwrap_or_default() {
            "APPLICATION" => Kind::Application,
            "FRAMEWORK" => Kind::Framework,
            "CONTAINER" => Kind::Container,
            "OPERATING_SYSTEM" | "OPERATING-SYSTEM" => Kind::OperatingSystem,
            "DEVICE" => Kind::Device,
            "FIRMWARE" => Kind::Firmware,
            "FILE" => Kind::File,
            _ => Kind::Library,
        }
    }
}

fn short(name: &str) -> String {
    kept(name).unwrap_or_default()
}
