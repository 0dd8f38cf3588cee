//! CycloneDX 1.6 in JSON: the same bill gives the same bytes.
//!
//! Whoever writes it and whenever. Nothing in it is drawn by chance or taken from a clock; time and serial number come
//! from the caller or are left out. Components are sorted by package URL, each has a name of its own, and what was not
//! understood of the source is said in the document. Read next: [`super::Sbom`].

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::{Component, Kind, Sbom};

/// What the caller says of the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// When it is made.
    pub made: Option<Timestamp>,
    /// Its serial number, a UUID; left out where it is none.
    pub serial: Option<&'a str>,
    /// Version of the program that writes.
    pub program: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Written<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Depends<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    tools: Tools<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<Written<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools<'a> {
    components: [Tool<'a>; 1],
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: Kind,
    name: &'static str,
    version: &'a str,
}

#[derive(Serialize)]
struct Property {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct Written<'a> {
    r#type: Kind,
    #[serde(rename = "bom-ref")]
    reference: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Licence<'a> {
    Expression { expression: &'a str },
    Named { license: Name<'a> },
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Depends<'a> {
    r#ref: &'a str,
    #[serde(rename = "dependsOn")]
    on: Vec<&'a str>,
}

impl Sbom {
    /// The document, on one line.
    #[must_use]
    pub fn cyclonedx(&self, about: About<'_>) -> String {
        let (subject, names) = self.names();
        let mut order: Vec<(&Component, &str)> =
            self.components.iter().zip(names.iter().map(|name| &**name)).collect();
        order.sort_by_key(|(component, _)| component.order());
        let left_out = self.told.iter().map(|(word, count)| Property {
            name: alloc::format!("cordon:told:{word}"),
            value: count.to_string(),
        });
        let document = Document {
            schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
            bom_format: "CycloneDX",
            spec_version: "1.6",
            serial_number: about.serial.and_then(uuid),
            version: 1,
            metadata: Metadata {
                timestamp: about.made.map(|made| made.to_string()),
                tools: Tools {
                    components: [Tool { r#type: Kind::Application, name: "cordon", version: about.program }],
                },
                component: self.subject.as_ref().map(|component| written(component, &subject)),
                properties: left_out.collect(),
            },
            components: order.iter().map(|(component, name)| written(component, name)).collect(),
            dependencies: self.dependencies(&subject, &names),
        };
        let mut text = serde_json::to_string(&document).expect("texts and numbers are always JSON");
        text.push('\n');
        text
    }

    /// A name for the subject and for each component: its own where it has one of its own.
    fn names(&self) -> (String, Vec<Cow<'_, str>>) {
        let mut used: BTreeSet<Cow<'_, str>> = BTreeSet::new();
        let own = self.subject.as_ref().map_or("", |subject| subject.reference.as_str());
        let subject = if own.is_empty() { "subject" } else { own };
        used.insert(subject.to_string().into());
        let mut names = Vec::with_capacity(self.components.len());
        for (place, component) in self.components.iter().enumerate() {
            let purl = component.purl.as_deref().unwrap_or_default();
            let known = [component.reference.as_str(), purl].into_iter();
            let mut free = known.filter(|name| !name.is_empty() && !used.contains(*name));
            let name = free.next().map_or_else(|| alloc::format!("component {place}").into(), Cow::Borrowed);
            used.insert(name.clone());
            names.push(name);
        }
        (subject.to_string(), names)
    }

    fn dependencies<'a>(&self, subject: &'a str, names: &'a [Cow<'_, str>]) -> Vec<Depends<'a>> {
        let name = |place: u32| usize::try_from(place).ok().and_then(|place| names.get(place));
        let mut depends: Vec<Depends<'a>> = Vec::new();
        for group in self.needs.chunk_by(|one, other| one.who == other.who) {
            let who = group
                .first()
                .and_then(|need| need.who.map_or(Some(subject), |who| name(who).map(|name| &**name)));
            let Some(who) = who else { continue };
            let mut on: Vec<&str> =
                group.iter().filter_map(|need| name(need.what).map(|name| &**name)).collect();
            on.sort_unstable();
            depends.push(Depends { r#ref: who, on });
        }
        depends.sort_by_key(|depends| depends.r#ref);
        depends
    }
}

fn written<'a>(component: &'a Component, reference: &'a str) -> Written<'a> {
    Written {
        r#type: component.kind,
        reference: Cow::Borrowed(reference),
        group: component.group.as_deref(),
        name: if component.name.is_empty() { "without a name" } else { &component.name },
        version: component.version.as_deref(),
        licenses: licences(&component.licences),
        cpe: component.cpe.as_deref().filter(|cpe| is_cpe(cpe)),
        purl: component.purl.as_deref(),
    }
}

/// One expression, or names: the format does not let both stand together.
fn licences(texts: &[String]) -> Vec<Licence<'_>> {
    match texts {
        [one] if is_expression(one) => [Licence::Expression { expression: one }].into(),
        _ => texts.iter().map(|name| Licence::Named { license: Name { name } }).collect(),
    }
}

/// Whether a text is an expression of SPDX: identifiers with operators between them.
fn is_expression(text: &str) -> bool {
    let part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+:".contains(&byte));
    let words: Vec<&str> = text.split([' ', '(', ')']).filter(|word| !word.is_empty()).collect();
    let operator = |word: &str| matches!(word, "AND" | "OR" | "WITH");
    let alternate = words.iter().enumerate().all(|(at, word)| operator(word) == (at % 2 == 1) && part(word));
    alternate && words.len() % 2 == 1
}

/// Whether a text is a CPE 2.3 without anything unusual in it.
fn is_cpe(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte))
    };
    let Some((kind, rest)) = text.strip_prefix("cpe:2.3:").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    matches!(kind, "a" | "h" | "o") && rest.split(':').count() == 10 && rest.split(':').all(plain)
}

/// A UUID as a serial number.
fn uuid(text: &str) -> Option<String> {
    let text = text.trim_start_matches("urn:uuid:").to_ascii_lowercase();
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
    let digits = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (lengths && digits).then(|| alloc::format!("urn:uuid:{text}"))
}
