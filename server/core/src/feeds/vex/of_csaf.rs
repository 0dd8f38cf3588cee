//! The VEX statements of a CSAF document.
//!
//! A product on another one is a product with a component inside. Read next: [`crate::feeds::csaf`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{By, Document, Format, Statement, Status, Subject, names_of, short};
use crate::feeds::csaf::tree::Product;
use crate::feeds::csaf::{self, Advisory, Reason, Weakness};

/// What a CSAF document says as VEX.
#[must_use]
pub fn document(advisory: &Advisory) -> Document {
    let mut document = Document {
        format: Format::Csaf,
        id: advisory.id.clone(),
        issuer: advisory.publisher.clone(),
        statements: Vec::new(),
        refused: BTreeMap::new(),
    };
    for weakness in &advisory.weaknesses {
        let names = names_of(core::iter::once(&weakness.id).chain(&weakness.aliases));
        let reasons = reasons(weakness);
        for (place, status) in &weakness.statuses {
            let status = match status {
                csaf::Status::Recommended => continue,
                csaf::Status::KnownNotAffected => Status::NotAffected,
                csaf::Status::Fixed | csaf::Status::FirstFixed => Status::Fixed,
                csaf::Status::UnderInvestigation => Status::UnderInvestigation,
                csaf::Status::FirstAffected | csaf::Status::LastAffected | csaf::Status::KnownAffected => {
                    Status::Affected
                }
            };
            let Some(product) = advisory.products.get(*place) else { continue };
            let part = product.part.and_then(|(_, part)| advisory.products.get(part));
            document.take(Statement {
                names: names.clone(),
                subject: subject(product),
                inside: part.map(subject).into_iter().collect(),
                status,
                reason: reasons.get(place).map(|reason| reason.text.clone()),
                at: advisory.updated,
            });
        }
    }
    document
}

/// The reason for each product: the label before the sentence.
fn reasons(weakness: &Weakness) -> BTreeMap<usize, &Reason> {
    let mut reasons: BTreeMap<usize, &Reason> = BTreeMap::new();
    for reason in &weakness.reasons {
        for product in &reason.products {
            let held = reasons.entry(*product).or_insert(reason);
            if reason.label {
                *held = reason;
            }
        }
    }
    reasons
}

fn subject(product: &Product) -> Subject {
    let by = match &product.purl {
        Some(purl) => By::Purl(purl.clone()),
        None => By::Name { maker: product.maker.clone(), name: product.model.clone() },
    };
    Subject { by, versions: product.versions.clone(), written: short(&product.name) }
}
