//! The reader of OpenVEX.
//!
//! A statement's own time goes before the document's, the time of its last change before that of its making. Read next:
//! [`super::ledger`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use serde::Deserialize;

use super::{Document, Format, Statement, Status, Subject, names_of, short};
use crate::feeds::date;
use crate::matching::json::{self, AtMost, Refused};

type List<T> = AtMost<T, { limits::CSAF_LIST }>;

#[derive(Deserialize)]
struct Whole {
    #[serde(rename = "@context")]
    context: String,
    #[serde(default, rename = "@id")]
    id: String,
    #[serde(default)]
    author: String,
    #[serde(flatten)]
    times: Times,
    statements: AtMost<Said, { limits::VEX_STATEMENTS }>,
}

#[derive(Default, Deserialize)]
struct Times {
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    last_updated: Option<String>,
}

impl Times {
    fn newest(&self) -> Option<cordon_proto::time::Timestamp> {
        let read = |text: &Option<String>| text.as_deref().and_then(date::read);
        read(&self.last_updated).or_else(|| read(&self.timestamp))
    }
}

#[derive(Deserialize)]
struct Said {
    vulnerability: Weakness,
    #[serde(default)]
    products: List<Product>,
    status: String,
    #[serde(default)]
    justification: Option<String>,
    #[serde(default)]
    impact_statement: Option<String>,
    #[serde(flatten)]
    times: Times,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Weakness {
    Text(String),
    Named {
        name: String,
        #[serde(default)]
        aliases: AtMost<String, { limits::ALIASES }>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Product {
    Text(String),
    Named {
        #[serde(flatten)]
        named: Named,
        #[serde(default)]
        subcomponents: List<Named>,
    },
}

#[derive(Deserialize)]
struct Named {
    #[serde(default, rename = "@id")]
    id: Option<String>,
    #[serde(default)]
    identifiers: Identifiers,
}

#[derive(Default, Deserialize)]
struct Identifiers {
    #[serde(default)]
    purl: Option<String>,
}

impl Named {
    fn subject(&self) -> Option<Subject> {
        self.identifiers
            .purl
            .as_deref()
            .or(self.id.as_deref())
            .filter(|text| !text.is_empty())
            .map(Subject::of)
    }
}

/// Reads a document.
///
/// # Errors
/// It is too long, too deep or of another form.
pub fn read(bytes: &[u8]) -> Result<Document, Refused> {
    let whole: Whole = json::read(bytes, limits::ADVISORY_BYTES)?;
    if !whole.context.starts_with("https://openvex.dev/ns") {
        return Err(Refused::OtherForm("@context is not https://openvex.dev/ns".into()));
    }
    let mut document = Document {
        format: Format::OpenVex,
        id: whole.id,
        issuer: whole.author,
        statements: Vec::new(),
        refused: alloc::collections::BTreeMap::new(),
    };
    let at = whole.times.newest();
    for said in whole.statements.0 {
        take(&mut document, said, at);
    }
    Ok(document)
}

fn take(document: &mut Document, said: Said, at: Option<cordon_proto::time::Timestamp>) {
    let names = match said.vulnerability {
        Weakness::Text(name) => names_of([name].iter()),
        Weakness::Named { name, aliases } => names_of([name].iter().chain(&aliases.0)),
    };
    let status = match said.status.as_str() {
        "not_affected" => Status::NotAffected,
        "affected" => Status::Affected,
        "fixed" => Status::Fixed,
        "under_investigation" => Status::UnderInvestigation,
        _ => return document.refuse("other-status"),
    };
    if said.products.0.is_empty() {
        return document.refuse("no-product");
    }
    let at = said.times.newest().or(at);
    let reason = said.justification.or(said.impact_statement).as_deref().map(short);
    for product in said.products.0 {
        let (subject, inside) = match product {
            Product::Text(text) => (Some(Subject::of(&text)), Some(Vec::new())),
            Product::Named { named, subcomponents } => {
                (named.subject(), subcomponents.0.iter().map(Named::subject).collect())
            }
        };
        let Some((subject, inside)) = subject.zip(inside) else {
            document.refuse("nameless-product");
            continue;
        };
        document.take(Statement {
            names: names.clone(),
            subject,
            inside,
            status,
            reason: reason.clone(),
            at,
        });
    }
}
