//! The reader of CSAF 2.0. It takes security advisories and VEX (OASIS, <https://docs.oasis-open.org/csaf/csaf/v2.0/>).
//!
//! Kept is what decides a match and what people are told: products with maker, model and versions, statuses, remedies,
//! scores, justifications, dates. A document of another form is refused whole; a product that a status names and the tree
//! does not is counted. Nothing is judged here. Read next: [`tree`] for the products, [`super::devices`] for who asks.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::Deserialize;

use self::form::{Document, Members, Vulnerability};
use self::tree::{ByName, Product};
use super::date;
use crate::cvss::Vector;
use crate::matching::json::{self, Refused};

mod form;
#[cfg(test)]
mod tests;
pub mod tree;

/// One CSAF document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advisory {
    /// Its name, such as `ICSMA-21-294-01`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its profile, such as `csaf_vex`.
    pub category: String,
    /// Who published it.
    pub publisher: String,
    /// Draft, interim or final.
    pub status: String,
    /// When it was first published.
    pub published: Option<Timestamp>,
    /// When it was last changed.
    pub updated: Option<Timestamp>,
    /// All products of its tree.
    pub products: Vec<Product>,
    /// The weaknesses that it speaks of.
    pub weaknesses: Vec<Weakness>,
    /// Names of products that stand nowhere in its tree: what was said of them is lost, and counted here.
    pub nowhere: usize,
    /// Branches deeper than they are followed, or relationships that go round in a circle.
    pub unresolved: usize,
    /// Scores that are not what their vectors say, and vectors that are none: the vector counts where there is one.
    pub miscounted: usize,
}

/// What a document says of one weakness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weakness {
    /// Its CVE, or the first other name; the document's own with a number where there is none.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its title.
    pub title: String,
    /// Products, by their place in [`Advisory::products`], with the worst that is said of each.
    pub statuses: BTreeMap<usize, Status>,
    /// What can be done.
    pub remedies: Vec<Remedy>,
    /// CVSS vectors.
    pub scores: Vec<Score>,
    /// Why products are not affected: a flag's label or a sentence about the impact.
    pub reasons: Vec<Reason>,
}

/// What is said of a product, in order: a later one is worse, and of two the worse is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The one to install; says nothing about the weakness.
    Recommended,
    /// It never had it.
    KnownNotAffected,
    /// It is repaired.
    Fixed,
    /// The first that is repaired.
    FirstFixed,
    /// Nobody knows yet.
    UnderInvestigation,
    /// The first that had it.
    FirstAffected,
    /// The last that had it.
    LastAffected,
    /// It has it.
    KnownAffected,
}

/// Something that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Of which kind.
    pub kind: RemedyKind,
    /// In the publisher's words.
    pub details: String,
    /// Where it is.
    pub url: Option<String>,
    /// Since when.
    pub date: Option<Timestamp>,
    /// For which products; empty: for all.
    pub products: Vec<usize>,
}

/// Kinds of remedies of CSAF 2.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemedyKind {
    /// The maker has a repair.
    VendorFix,
    /// Something lowers the risk.
    Mitigation,
    /// Something avoids it.
    Workaround,
    /// The maker will not repair it.
    NoFixPlanned,
    /// There is no repair yet.
    NoneAvailable,
}

impl RemedyKind {
    /// Its word, as CSAF writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::VendorFix => "vendor_fix",
            Self::Mitigation => "mitigation",
            Self::Workaround => "workaround",
            Self::NoFixPlanned => "no_fix_planned",
            Self::NoneAvailable => "none_available",
        }
    }
}

/// A severity as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// The CVSS vector.
    pub vector: String,
    /// The base score in tenths, 0 to 100: what the vector says, or what is written where that cannot be read.
    pub base_tenths: u8,
    /// The vector, where it is one of version 3 or 4.
    pub severity: Option<Vector>,
    /// For which products; empty: for all.
    pub products: Vec<usize>,
}

/// Why products are not affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The flag's label, or the sentence.
    pub text: String,
    /// Whether it is one of the labels of VEX.
    pub label: bool,
    /// For which products.
    pub products: Vec<usize>,
}

impl Weakness {
    /// The remedies for a product, what the maker repairs first.
    pub fn remedies_for(&self, product: usize) -> impl Iterator<Item = &Remedy> {
        let for_it = move |remedy: &&Remedy| remedy.products.is_empty() || remedy.products.contains(&product);
        let mut remedies: Vec<&Remedy> = self.remedies.iter().filter(for_it).collect();
        remedies.sort_by_key(|remedy| remedy.kind);
        remedies.into_iter()
    }

    /// The highest base score for a product, with its vector.
    #[must_use]
    pub fn score_for(&self, product: usize) -> Option<&Score> {
        let for_it = |score: &&Score| score.products.is_empty() || score.products.contains(&product);
        self.scores.iter().filter(for_it).max_by_key(|score| score.base_tenths)
    }
}

/// Reads one document.
///
/// # Errors
/// It is too long, too deep, of another form or of another version than 2.0.
pub fn read(bytes: &[u8]) -> Result<Advisory, Refused> {
    // Some publishers write the mark of UTF-8 in front.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Document { document, product_tree, vulnerabilities } = json::read(bytes, limits::ADVISORY_BYTES)?;
    if document.csaf_version != "2.0" {
        return Err(Refused::OtherForm("csaf_version is not 2.0".into()));
    }
    let tracking = document.tracking;
    if tracking.id.trim().is_empty() || tracking.id.len() > 128 {
        return Err(Refused::OtherForm("a document without a name".into()));
    }
    let tree = tree::flatten(product_tree)?;
    let mut advisory = Advisory {
        id: tracking.id.trim().to_string(),
        title: document.title,
        category: document.category,
        publisher: document.publisher.name,
        status: tracking.status,
        published: date::read(&tracking.initial_release_date),
        updated: date::read(&tracking.current_release_date),
        products: tree.products,
        weaknesses: Vec::new(),
        nowhere: 0,
        unresolved: tree.unresolved,
        miscounted: 0,
    };
    let mut left = limits::CSAF_MEMBERS;
    for (at, vulnerability) in vulnerabilities.0.into_iter().enumerate() {
        let weakness = advisory.weakness(at, vulnerability, &tree.names, &mut left)?;
        advisory.weaknesses.push(weakness);
    }
    Ok(advisory)
}

impl Advisory {
    fn weakness(
        &mut self,
        at: usize,
        from: Vulnerability,
        names: &ByName,
        left: &mut usize,
    ) -> Result<Weakness, Refused> {
        let mut aliases: Vec<String> = from.cve.into_iter().collect();
        aliases.extend(from.ids.0.into_iter().map(|id| id.text));
        aliases.retain(|name| !name.trim().is_empty());
        let own = || alloc::format!("{}#{}", self.id, at + 1);
        let id = if aliases.is_empty() { own() } else { aliases.remove(0) };
        let mut weakness = Weakness { id, aliases, title: from.title, ..Weakness::default() };
        for (status, products) in from.product_status.groups() {
            for product in &products.0 {
                match names.products.get(product) {
                    None => self.nowhere += 1,
                    Some(&product) => {
                        let held = weakness.statuses.entry(product).or_insert(status);
                        *held = status.max(*held);
                    }
                }
            }
        }
        for remedy in from.remediations.0 {
            weakness.remedies.push(Remedy {
                kind: remedy.category,
                products: self.members(remedy.members, names, left)?,
                details: short(&remedy.details),
                url: remedy.url.as_deref().map(short),
                date: remedy.date.as_deref().and_then(date::read),
            });
        }
        for score in from.scores.0 {
            let members = Members { product_ids: score.products, ..Members::default() };
            let products = self.members(members, names, left)?;
            // Of several versions of CVSS the newest that is here.
            let newer = [score.cvss_v4, score.cvss_v3].into_iter().flatten();
            let newer: Vec<_> = newer.filter_map(form::Cvss::whole).collect();
            let severity = |(vector, _): &(String, u8)| Vector::parse(vector.trim()).ok();
            let older = score.cvss_v2.and_then(form::Cvss::whole);
            let found = newer.iter().find(|one| severity(one).is_some()).or(newer.first()).or(older.as_ref());
            if let Some((vector, stated)) = found {
                let severity = Vector::parse(vector.trim()).ok();
                let base_tenths = severity.map_or(*stated, |vector| vector.scores().base);
                self.miscounted +=
                    usize::from(base_tenths != *stated || (severity.is_none() && !newer.is_empty()));
                weakness.scores.push(Score { vector: short(vector), base_tenths, severity, products });
            }
        }
        for flag in from.flags.0 {
            let products = self.members(flag.members, names, left)?;
            weakness.reasons.push(Reason { text: short(&flag.label), label: true, products });
        }
        for threat in from.threats.0.into_iter().filter(|threat| threat.category == "impact") {
            let products = self.members(threat.members, names, left)?;
            weakness.reasons.push(Reason { text: short(&threat.details), label: false, products });
        }
        Ok(weakness)
    }

    /// The products of a list and of its groups.
    fn members(&mut self, members: Members, names: &ByName, left: &mut usize) -> Result<Vec<usize>, Refused> {
        let mut products: Vec<usize> = Vec::new();
        for id in &members.product_ids.0 {
            match names.products.get(id) {
                Some(product) => products.push(*product),
                None => self.nowhere += 1,
            }
        }
        for id in &members.group_ids.0 {
            let Some(group) = names.groups.get(id) else {
                self.nowhere += 1;
                continue;
            };
            *left = left.checked_sub(group.len()).ok_or_else(too_many)?;
            products.extend(group);
        }
        *left = left.checked_sub(products.len()).ok_or_else(too_many)?;
        products.sort_unstable();
        products.dedup();
        Ok(products)
    }
}

/// Groups make much of little: what they open to is bounded for the whole document.
fn too_many() -> Refused {
    Refused::OtherForm(alloc::format!("lists of more than {} products together", limits::CSAF_MEMBERS))
}

/// The beginning of a text, as much as is kept of it.
fn short(text: &str) -> String {
    text.trim().chars().take(limits::VEX_TEXT).collect()
}
