//! In which form a release's SBOM, VEX or MUD file is, and how much it counts: enough for the release's own page.
//!
//! Read while it is counted: nothing of the file is kept but a name and a number, so that a file of the greatest length
//! takes no memory. What the components are is not judged here. A file that is none of the known forms is said to be not
//! readable, and is no reason to refuse the release: its maker signed it so. Read next: [`super::Part`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use cordon_proto::limits;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Part;
use crate::sbom::{self, Format};

/// Characters kept of a version.
const VERSION_CHARS: usize = 16;

/// A file's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// CycloneDX in JSON (ECMA-424).
    CycloneDx,
    /// SPDX 2 in JSON or tag-value (ISO/IEC 5962).
    Spdx,
    /// CSAF (OASIS).
    Csaf,
    /// OpenVEX.
    OpenVex,
    /// A MUD file (RFC 8520).
    Mud,
    /// None of those that belong here, or more than is read.
    NotReadable,
}

/// What was seen of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Its form.
    pub kind: Kind,
    /// The form's version, as the file states it: its maker's text.
    pub version: String,
    /// Components of an SBOM, vulnerabilities or statements of a VEX, access lists of a MUD file.
    pub count: u64,
}

/// The fields by which forms are told apart; all others are skipped.
#[derive(Deserialize)]
struct Seen {
    #[serde(default, rename = "bomFormat")]
    bom_format: Option<String>,
    #[serde(default, rename = "specVersion")]
    spec_version: Option<String>,
    #[serde(default, rename = "spdxVersion")]
    spdx_version: Option<String>,
    #[serde(default, rename = "@context")]
    context: Option<Context>,
    #[serde(default)]
    document: Option<Document>,
    #[serde(default, rename = "ietf-mud:mud")]
    mud: Option<Usage>,
    #[serde(default, rename = "ietf-access-control-list:acls")]
    lists: Option<Lists>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Option<Counted>,
    // Elements without a size: only their number is kept.
    #[serde(default)]
    packages: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    vulnerabilities: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    statements: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Context {
    Address(String),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    component: Option<Inside>,
}

/// A component, of which only the parts count that lie in it.
#[derive(Deserialize)]
struct Inside {
    #[serde(default)]
    components: Option<Counted>,
}

/// How many components a list holds, with those that lie in them; the reader's own depth bounds it.
#[derive(Clone, Copy, Default)]
struct Counted(u64);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Count)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = Counted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of components")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Counted, A::Error> {
        let mut count = 0_u64;
        while let Some(one) = list.next_element::<Inside>()? {
            count = count.saturating_add(one.count()).saturating_add(1);
        }
        Ok(Counted(count))
    }
}

impl Inside {
    fn count(&self) -> u64 {
        self.components.unwrap_or_default().0
    }
}

#[derive(Deserialize)]
struct Document {
    csaf_version: String,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(rename = "mud-version")]
    version: u64,
}

#[derive(Default, Deserialize)]
struct Lists {
    #[serde(default)]
    acl: Vec<IgnoredAny>,
}

impl Form {
    /// Looks at a file that a release names as this part.
    #[must_use]
    pub fn of(part: Part, bytes: &[u8]) -> Self {
        let seen = serde_json::from_slice::<Seen>(bytes).ok();
        let form = match part {
            Part::Sbom => seen.map_or_else(|| Self::of_tags(bytes), |seen| seen.sbom()),
            Part::Vex => seen.and_then(|seen| seen.vex()),
            Part::Mud => seen.and_then(|seen| seen.usage()),
            Part::Image | Part::Delta => None,
        };
        let within = form.filter(|form| form.count <= as_u64(limits::SBOM_COMPONENTS));
        within.unwrap_or_else(Self::not_readable)
    }

    /// A file that is none of the known forms, or longer than is read.
    #[must_use]
    pub fn not_readable() -> Self {
        Self { kind: Kind::NotReadable, version: String::new(), count: 0 }
    }

    /// SPDX as lines of tags and values, which is no JSON.
    fn of_tags(bytes: &[u8]) -> Option<Self> {
        let sbom = sbom::read(bytes).ok().filter(|sbom| sbom.format == Format::SpdxTags)?;
        let count = sbom.components.len() + usize::from(sbom.subject.is_some());
        Some(Self { kind: Kind::Spdx, version: sbom.version, count: as_u64(count) })
    }

    fn new<T>(kind: Kind, version: &str, counted: Option<&Vec<T>>) -> Option<Self> {
        Self::counted(kind, version, as_u64(counted.map_or(0, Vec::len)))
    }

    fn counted(kind: Kind, version: &str, count: u64) -> Option<Self> {
        Some(Self { kind, version: version.chars().take(VERSION_CHARS).collect(), count })
    }
}

impl Seen {
    fn is_cyclone_dx(&self) -> bool {
        self.bom_format.as_deref() == Some("CycloneDX")
    }

    fn sbom(&self) -> Option<Form> {
        if self.is_cyclone_dx() {
            let version = self.spec_version.as_deref().unwrap_or_default();
            // What it is of is no part of itself; what that is made of is.
            let of = self.metadata.as_ref().and_then(|metadata| metadata.component.as_ref());
            let count = self.components.unwrap_or_default().0;
            return Form::counted(
                Kind::CycloneDx,
                version,
                count.saturating_add(of.map_or(0, Inside::count)),
            );
        }
        let version = self.spdx_version.as_deref()?.strip_prefix("SPDX-")?;
        Form::new(Kind::Spdx, version, self.packages.as_ref())
    }

    fn vex(&self) -> Option<Form> {
        if self.is_cyclone_dx() {
            let version = self.spec_version.as_deref().unwrap_or_default();
            return Form::new(Kind::CycloneDx, version, self.vulnerabilities.as_ref());
        }
        if let Some(document) = &self.document {
            return Form::new(Kind::Csaf, &document.csaf_version, self.vulnerabilities.as_ref());
        }
        let Some(Context::Address(address)) = &self.context else { return None };
        let version = address.strip_prefix("https://openvex.dev/ns")?.trim_start_matches(['/', 'v']);
        Form::new(Kind::OpenVex, version, self.statements.as_ref())
    }

    fn usage(&self) -> Option<Form> {
        let version = alloc::format!("{}", self.mud.as_ref()?.version);
        Form::new(Kind::Mud, &version, self.lists.as_ref().map(|lists| &lists.acl))
    }
}

impl Kind {
    /// What people call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::CycloneDx => "CycloneDX",
            Self::Spdx => "SPDX",
            Self::Csaf => "CSAF",
            Self::OpenVex => "OpenVEX",
            Self::Mud => "MUD",
            Self::NotReadable => "not readable",
        }
    }
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms_are_named_and_counted_and_others_are_not_readable() {
        // Goal: the page says what a file is. Method: the beginning of each form, in the place where it belongs, and
        // each thing that does not belong there.
        let seen = |part, text: &str| {
            let form = Form::of(part, text.as_bytes());
            alloc::format!("{} {} {}", form.kind.word(), form.version, form.count)
        };
        let cyclone = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a"},{"name":"b","x":[1]}],"vulnerabilities":[{}]}"#;
        assert_eq!(seen(Part::Sbom, cyclone), "CycloneDX 1.6 2");
        assert_eq!(seen(Part::Vex, cyclone), "CycloneDX 1.6 1");
        let nested = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":{"name":"pump","components":[{"name":"c"}]}},
            "components":[{"name":"a","components":[{"name":"b","components":[{},{}]}]},{"name":"d","components":null}]}"#;
        let read = sbom::read(nested.as_bytes()).expect("it is read");
        assert_eq!((seen(Part::Sbom, nested), read.components.len()), ("CycloneDX 1.5 6".into(), 6));
        let spdx = r#"{"spdxVersion":"SPDX-2.3","packages":[{},{},{}]}"#;
        assert_eq!(seen(Part::Sbom, spdx), "SPDX 2.3 3");
        let tags =
            "SPDXVersion: SPDX-2.2\nPackageName: a\nSPDXID: SPDXRef-1\nPackageName: b\nSPDXID: SPDXRef-2\n";
        assert_eq!(
            (seen(Part::Sbom, tags), seen(Part::Vex, tags)),
            ("SPDX 2.2 2".into(), "not readable  0".into())
        );
        let csaf = r#"{"document":{"category":"csaf_vex","csaf_version":"2.0"},"vulnerabilities":[{},{}]}"#;
        assert_eq!(seen(Part::Vex, csaf), "CSAF 2.0 2");
        let open = r#"{"@context":"https://openvex.dev/ns/v0.2.0","version":1,"statements":[{}]}"#;
        assert_eq!(seen(Part::Vex, open), "OpenVEX 0.2.0 1");
        let mud = r#"{"ietf-mud:mud":{"mud-version":1},"ietf-access-control-list:acls":{"acl":[{},{}]}}"#;
        assert_eq!(seen(Part::Mud, mud), "MUD 1 2");
        for (part, text) in [
            (Part::Sbom, csaf),
            (Part::Vex, spdx),
            (Part::Mud, cyclone),
            (Part::Sbom, "{\"bomFormat\":\"CycloneDX\",\"components\":7}"),
            (Part::Sbom, "{\"bomFormat\":\"CycloneDX\",\"components\":[{\"components\":7}]}"),
            (Part::Sbom, "[]"),
            (Part::Sbom, ""),
            (Part::Image, cyclone),
        ] {
            assert_eq!(seen(part, text), "not readable  0", "{text}");
        }
        let long = alloc::format!("{{\"spdxVersion\":\"SPDX-{}\",\"packages\":[]}}", "9".repeat(99));
        assert_eq!(Form::of(Part::Sbom, long.as_bytes()).version.len(), VERSION_CHARS);
    }

    #[test]
    fn a_file_of_too_many_components_is_not_read_on() {
        // Goal: a bound. Method: one component more than it.
        let list = |count: usize| {
            let ones = ["1"].repeat(count).join(",");
            Form::of(
                Part::Sbom,
                alloc::format!("{{\"spdxVersion\":\"SPDX-2.3\",\"packages\":[{ones}]}}").as_bytes(),
            )
        };
        assert_eq!(list(limits::SBOM_COMPONENTS).count, as_u64(limits::SBOM_COMPONENTS));
        assert_eq!(list(limits::SBOM_COMPONENTS + 1), Form::not_readable());
        let inside = ["{}"].repeat(limits::SBOM_COMPONENTS).join(",");
        let nested =
            alloc::format!("{{\"bomFormat\":\"CycloneDX\",\"components\":[{{\"components\":[{inside}]}}]}}");
        assert_eq!(Form::of(Part::Sbom, nested.as_bytes()), Form::not_readable(), "those inside count too");
    }
}
