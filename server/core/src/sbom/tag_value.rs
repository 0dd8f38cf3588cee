//! The reader of SPDX 2.2 and 2.3 as lines of tags and values.
//!
//! A line that has another tag than those that are read is passed over; a text between `<text>` and `</text>` may have many
//! lines. What a line means is said in [`super::spdx`].

use alloc::string::{String, ToString};

use cordon_proto::limits;

use super::spdx::{External, Package, Parts, Relationship};
use super::{Format, Refused, Sbom};

/// To whom the next line belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Document,
    Package,
    /// A file, a snippet, a licence.
    Other,
}

/// Reads a document.
pub(super) fn read(bytes: &[u8]) -> Result<Sbom, Refused> {
    let text = core::str::from_utf8(bytes).map_err(|_| none("it is no text in UTF-8"))?;
    let (mut parts, mut section) = (Parts::default(), Section::Document);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((tag, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if value.starts_with("<text>") && !value.ends_with("</text>") {
            // Nothing that is read here has many lines.
            lines.by_ref().find(|line| line.trim_end().ends_with("</text>"));
            continue;
        }
        section = parts.line(tag.trim(), value, section);
        if parts.packages.len() > limits::SBOM_COMPONENTS || parts.relationships.len() > limits::SBOM_NEEDS {
            return Err(Refused::TooMany);
        }
    }
    if parts.version.is_empty() {
        return Err(none("no line says SPDXVersion"));
    }
    parts.sbom(Format::SpdxTags)
}

fn none(why: &str) -> Refused {
    Refused::OtherForm(why.to_string())
}

impl Parts {
    /// Takes a line; gives the section in which it leaves the document.
    fn line(&mut self, tag: &str, value: &str, section: Section) -> Section {
        match (tag, section) {
            ("SPDXVersion", _) => self.version = value.into(),
            ("DocumentNamespace", _) => self.namespace = Some(value.into()),
            ("Created", _) => self.created = Some(value.into()),
            ("Relationship", _) => self.relationships.extend(relationship(value)),
            ("PackageName", _) => {
                self.packages.push(Package { name: value.into(), ..Package::default() });
                return Section::Package;
            }
            ("FileName" | "SnippetSPDXID" | "LicenseID", _) => return Section::Other,
            (_, Section::Package) => {
                if let Some(package) = self.packages.last_mut() {
                    package.line(tag, value);
                }
            }
            (_, Section::Document | Section::Other) => {}
        }
        section
    }
}

impl Package {
    fn line(&mut self, tag: &str, value: &str) {
        let text = || Some(String::from(value));
        match tag {
            "SPDXID" => self.id = value.into(),
            "PackageVersion" => self.version_info = text(),
            "PrimaryPackagePurpose" => self.primary_package_purpose = text(),
            "PackageLicenseConcluded" => self.license_concluded = text(),
            "PackageLicenseDeclared" => self.license_declared = text(),
            // Its category, its type, what it is.
            "ExternalRef" => {
                let mut words = value.split_whitespace().skip(1);
                if let (Some(kind), Some(locator)) = (words.next(), words.next()) {
                    let (reference_type, reference_locator) = (kind.into(), locator.into());
                    self.external_refs.0.push(External { reference_type, reference_locator });
                }
            }
            _ => {}
        }
    }
}

/// `A TYPE B`.
fn relationship(value: &str) -> Option<Relationship> {
    let mut words = value.split_whitespace().map(String::from);
    let (spdx_element_id, relationship_type) = (words.next()?, words.next()?);
    Some(Relationship { spdx_element_id, relationship_type, related_spdx_element: words.next()? })
}
