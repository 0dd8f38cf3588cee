//! Bills of materials: read, written as CycloneDX 1.6, compared.
//!
//! Two families of formats are brought into one closed form. A reader takes a stranger's file within the limits of bytes,
//! depth, components and dependencies, and refuses what it cannot say, with a word. A component that no advisory can be
//! asked about is kept and counted, never silently safe. Nothing here follows a reference more than once, so a circle
//! costs nothing. Nothing opens a file. Read next: [`cyclonedx`] and [`spdx`] for the readers, [`matchable`] for who is
//! asked about, [`drift`] for shipped against found.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::de::IgnoredAny;

use crate::matching::json;
use crate::matching::purl::Purl;

pub mod cyclonedx;
pub mod drift;
mod edges;
pub mod files;
pub mod found;
pub mod matchable;
pub mod spdx;
mod tag_value;
#[cfg(test)]
mod tests;
pub mod write;

/// A bill of materials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sbom {
    /// In which format it came.
    pub format: Format,
    /// The format's version, as it states it.
    pub version: String,
    /// Its own name in the world: a serial number or a namespace.
    pub serial: Option<String>,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// What it is of.
    pub subject: Option<Component>,
    /// What that is made of, nested ones too, in the order of the file.
    pub components: Vec<Component>,
    /// Who needs whom, by places in [`Sbom::components`]; sorted, each once.
    pub needs: Vec<Need>,
    /// What of it was not understood, or mended, by word.
    pub told: BTreeMap<&'static str, usize>,
}

/// One thing needs another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Who; nothing for the subject itself.
    pub who: Option<u32>,
    /// What.
    pub what: u32,
}

/// The formats that are read, and the one in which devices are told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// CycloneDX in JSON, 1.2 to 1.6.
    #[default]
    CycloneDx,
    /// SPDX 2.2 and 2.3 in JSON.
    SpdxJson,
    /// The same as lines of tags and values.
    SpdxTags,
    /// No file: the inventory of a device.
    Inventory,
}

impl Format {
    /// What people call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::CycloneDx => "CycloneDX",
            Self::SpdxJson => "SPDX",
            Self::SpdxTags => "SPDX tag-value",
            Self::Inventory => "inventory",
        }
    }
}

/// A component as its bill of materials names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Who or what it belongs to, such as a vendor or an organisation.
    pub group: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its package URL in canonical form.
    pub purl: Option<String>,
    /// It has a package URL that is none.
    pub bad_purl: bool,
    /// Its CPE, as text: nothing is matched by it.
    pub cpe: Option<String>,
    /// Its licences.
    pub licences: Vec<String>,
    /// Its name within the document; empty where it has none.
    pub reference: String,
}

/// What a component is, in CycloneDX's words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program.
    Application,
    /// A framework.
    Framework,
    /// A library; also where nothing is said.
    #[default]
    Library,
    /// A container image.
    Container,
    /// A run-time environment.
    Platform,
    /// An operating system.
    OperatingSystem,
    /// A device.
    Device,
    /// A driver.
    DeviceDriver,
    /// Firmware.
    Firmware,
    /// One file.
    File,
    /// A model of machine learning.
    MachineLearningModel,
    /// Data.
    Data,
    /// A key, a certificate, an algorithm.
    CryptographicAsset,
}

impl Kind {
    /// Whether it is software of which an advisory might speak by itself.
    #[must_use]
    pub fn is_software(self) -> bool {
        match self {
            Self::Application
            | Self::Framework
            | Self::Library
            | Self::Container
            | Self::Platform
            | Self::DeviceDriver
            | Self::Firmware => true,
            Self::OperatingSystem
            | Self::Device
            | Self::File
            | Self::MachineLearningModel
            | Self::Data
            | Self::CryptographicAsset => false,
        }
    }
}

/// Why a bill of materials is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many bytes.
    #[error("it is longer than {} MiB: give an SBOM of one release, without its files", limits::SBOM_BYTES / (1024 * 1024))]
    TooLong,
    /// Nested more deeply than any document is read.
    #[error("it is nested more deeply than {} levels", limits::JSON_DEPTH)]
    TooDeep,
    /// More components or dependencies than are read.
    #[error(
        "it has more than {} components or {} dependencies: give an SBOM of one release",
        limits::SBOM_COMPONENTS,
        limits::SBOM_NEEDS
    )]
    TooMany,
    /// XML.
    #[error("it is XML: write it as JSON, which every tool that writes CycloneDX or SPDX can")]
    Xml,
    /// SPDX 3.
    #[error("it is SPDX 3, which is not read: write SPDX 2.3 or CycloneDX 1.6")]
    SpdxThree,
    /// A version of a format that is not read.
    #[error("it is {0}: CycloneDX 1.2 to 1.6 and SPDX 2.2 and 2.3 are read")]
    OtherVersion(String),
    /// No JSON at all.
    #[error("it is no JSON: {0}")]
    NoJson(String),
    /// Something else.
    #[error("it is neither CycloneDX nor SPDX: {0}")]
    OtherForm(String),
}

impl Refused {
    /// A word to count it by.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::TooDeep => "too-deep",
            Self::TooMany => "too-many",
            Self::Xml => "xml",
            Self::SpdxThree => "spdx-3",
            Self::OtherVersion(_) => "other-version",
            Self::NoJson(_) => "no-json",
            Self::OtherForm(_) => "other-form",
        }
    }
}

/// Reads a bill of materials of either family.
///
/// # Errors
/// It is too long, too deep, of too many parts, or of no format that is read.
pub fn read(bytes: &[u8]) -> Result<Sbom, Refused> {
    if u64::try_from(bytes.len()).map_or(true, |length| length > limits::SBOM_BYTES) {
        return Err(Refused::TooLong);
    }
    // Some tools write the mark of UTF-8 in front.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    match bytes.first() {
        Some(b'<') => Err(Refused::Xml),
        Some(b'{') if !json::depth_within(bytes, limits::JSON_DEPTH) => Err(Refused::TooDeep),
        Some(b'{') => from_json(bytes),
        _ => tag_value::read(bytes),
    }
}

/// The fields by which the formats are told apart; all others are passed over.
#[derive(serde::Deserialize)]
struct Mark {
    #[serde(default, rename = "bomFormat")]
    cyclonedx: Option<String>,
    #[serde(default, rename = "spdxVersion")]
    spdx: Option<String>,
    #[serde(default, rename = "@context")]
    linked: Option<IgnoredAny>,
    // Elements without a size: only their number is kept.
    #[serde(default)]
    packages: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    relationships: Option<Vec<IgnoredAny>>,
}

impl Mark {
    fn is_too_long(&self) -> bool {
        let count = |list: &Option<Vec<IgnoredAny>>| list.as_ref().map_or(0, Vec::len);
        count(&self.packages) > limits::SBOM_COMPONENTS || count(&self.relationships) > limits::SBOM_NEEDS
    }
}

fn from_json(bytes: &[u8]) -> Result<Sbom, Refused> {
    let mark: Mark = serde_json::from_slice(bytes).map_err(|error| refused(&error))?;
    match &mark {
        Mark { cyclonedx: Some(name), .. } if name == "CycloneDX" => cyclonedx::read(bytes),
        Mark { spdx: Some(_), .. } if mark.is_too_long() => Err(Refused::TooMany),
        Mark { spdx: Some(_), .. } => spdx::read(bytes),
        Mark { linked: Some(_), .. } => Err(Refused::SpdxThree),
        Mark { .. } => Err(Refused::OtherForm("it has neither bomFormat nor spdxVersion".into())),
    }
}

/// The refusal behind an error of the parser.
fn refused(error: &serde_json::Error) -> Refused {
    if error.is_data() { Refused::OtherForm(error.to_string()) } else { Refused::NoJson(error.to_string()) }
}

impl Sbom {
    fn tell(&mut self, word: &'static str, count: usize) {
        if count > 0 {
            *self.told.entry(word).or_default() += count;
        }
    }

    /// Components by package URL, sorted by it: what has none stands at the end, by name.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Component> {
        let mut sorted: Vec<&Component> = self.components.iter().collect();
        sorted.sort_by_key(|component| component.order());
        sorted
    }
}

impl Component {
    /// Takes a package URL as it is written.
    fn with_purl(mut self, text: &str) -> Self {
        match Purl::canonical(text.trim()) {
            Ok(purl) => self.purl = Some(purl.to_string()),
            Err(_) => self.bad_purl = true,
        }
        self
    }

    fn order(&self) -> (bool, Option<&str>, &str, Option<&str>, &str) {
        (self.purl.is_none(), self.purl.as_deref(), &self.name, self.version.as_deref(), &self.reference)
    }
}

/// A text as much as is kept of it, and nothing for an empty one.
fn kept(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(limits::SBOM_TEXT).collect();
    (!text.is_empty()).then_some(text)
}
