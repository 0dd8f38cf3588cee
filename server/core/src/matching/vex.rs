//! What a maker states about a weakness in its product (VEX), and what that changes about an answer.
//!
//! Nothing is deleted: an answer that a statement changes keeps what it was and what it stood on. Every statement ends in a
//! [`Use`], so that none silently matches nothing. A component is found by its package URL alone: the version and the
//! qualifiers count where the statement names them, and what cannot be compared does not hold. Whoever calls has judged the
//! issuer: what nobody vouches for must not come here. Readers of CSAF, OpenVEX and CycloneDX bring their documents into a
//! [`Statement`]. Read next: [`Matches::overrule`], [`super::purl`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use cordon_proto::time::Timestamp;

use super::component::{Component, ComponentSet};
use super::index::Index;
use super::matcher::Matches;
use super::purl::Purl;
use super::verdict::{Answer, Verdict};
use super::version::compare;

/// One statement of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The document's own name, for whoever looks the statement up.
    pub document: String,
    /// When it was made, if it says so. A later one overrules an earlier one, and any overrules one without a time.
    pub at: Option<Timestamp>,
    /// Names of the one weakness: its CVE, or what else it is called.
    pub weakness: Vec<String>,
    /// Of which products it speaks.
    pub products: Vec<Product>,
    /// What it says.
    pub status: Status,
}

/// A product as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Product {
    /// By its package URL.
    Package(Purl),
    /// By anything else, such as a CPE or a name: it holds for no component.
    Other(String),
}

/// What a statement says of its products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// They do not have the weakness, or it cannot be used.
    NotAffected {
        /// Why, as its format names the reasons; blank where it does not say, and then it is not believed.
        justification: String,
    },
    /// Their named version does not have it any more.
    Fixed,
    /// They have it.
    Affected,
    /// Nobody knows yet.
    UnderInvestigation,
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Answers that it speaks of.
    pub matched: usize,
    /// Those of them that it changed.
    pub changed: usize,
    /// Why it decided nothing, if it did not.
    pub unused: Option<Unused>,
}

/// Why a statement decided nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unused {
    /// No product of it is named by a package URL.
    NotAPackage,
    /// No component here is one of its products.
    NoComponent,
    /// It is limited to a part of the component, such as one binary of several, or to what is not known of it, such as an
    /// architecture.
    Limited,
    /// The product is here, and no record says anything about it and this weakness.
    NoFinding,
    /// It says "not affected" and not why.
    NoJustification,
    /// It says "fixed" or "affected" of no version.
    NoVersion,
    /// A more exact or a newer statement decides.
    Overruled,
}

/// A statement that changed an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overruling<'a> {
    /// The statement.
    pub statement: &'a Statement,
    /// What the records say without it.
    pub was: Answer<'a>,
}

impl Unused {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotAPackage,
        Self::NoComponent,
        Self::Limited,
        Self::NoFinding,
        Self::NoJustification,
        Self::NoVersion,
        Self::Overruled,
    ];

    /// A sentence for people, with what to do where something can be done.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotAPackage => "it names its products by no package URL, and nothing is matched by a name",
            Self::NoComponent => "none of its products is here in that version",
            Self::Limited => {
                "it is limited to a part of what is here, or to an architecture or place that is not known of it"
            }
            Self::NoFinding => "its product is here, and no record speaks of it and this weakness",
            Self::NoJustification => {
                "it says that its product is not affected and not why: ask its publisher"
            }
            Self::NoVersion => "it says fixed or affected and names no version: ask its publisher",
            Self::Overruled => "a more exact or a newer statement decides",
        }
    }
}

/// How a product stands to a component, from nothing to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It is another one.
    Not,
    /// It may be, by a qualifier that cannot be compared.
    Limited,
    /// It is, in every version.
    AnyVersion,
    /// It is, in this version.
    ThisVersion,
}

/// A statement that speaks of an answer.
#[derive(Clone, Copy)]
struct Claim<'a> {
    place: usize,
    fit: Fit,
    statement: &'a Statement,
}

impl<'a> Matches<'a> {
    /// Lets these statements decide what they speak of: the most exact first, then the newest, then the worst. Returns what
    /// became of each, in their order.
    pub fn overrule(
        &mut self,
        index: &'a Index,
        set: &ComponentSet,
        statements: &'a [Statement],
    ) -> Vec<Use> {
        let names = Names::of(index, statements);
        let mut uses = alloc::vec![Use::default(); statements.len()];
        let mut claims: BTreeMap<usize, Vec<Claim<'a>>> = BTreeMap::new();
        for ((place, statement), used) in statements.iter().enumerate().zip(&mut uses) {
            let named = Named::all(statement);
            for (at, verdict) in self.verdicts.iter().enumerate() {
                if !names.is_about(statement, verdict.group) {
                    continue;
                }
                let fit = best(&named, verdict.component);
                if fit < Fit::AnyVersion {
                    continue;
                }
                used.matched += 1;
                match statement.flaw(fit) {
                    Some(flaw) => used.unused = Some(flaw),
                    None => claims.entry(at).or_default().push(Claim { place, fit, statement }),
                }
            }
            if used.matched == 0 {
                used.unused = Some(absence(&named, set));
            }
        }
        let mut decides = alloc::vec![false; statements.len()];
        for (at, claims) in &claims {
            let Some((claim, verdict)) =
                claims.iter().max_by(|a, b| a.order(b)).zip(self.verdicts.get_mut(*at))
            else {
                continue;
            };
            let changed = verdict.overruled_by(claim);
            if let (Some(used), Some(decides)) = (uses.get_mut(claim.place), decides.get_mut(claim.place)) {
                used.changed += usize::from(changed);
                *decides = true;
            }
        }
        for (used, decides) in uses.iter_mut().zip(decides) {
            if !decides {
                used.unused.get_or_insert(Unused::Overruled);
            }
        }
        uses
    }
}

impl<'a> Verdict<'a> {
    /// Whether the statement changes the answer, which it then has.
    fn overruled_by(&mut self, claim: &Claim<'a>) -> bool {
        let open = matches!(self.answer, Answer::Affected { .. } | Answer::Unknown(_));
        let answer = match claim.statement.status {
            Status::NotAffected { .. } if open => Answer::NotAffected,
            Status::Fixed if open => Answer::Fixed,
            // Who made it knows of this very version what a record does not.
            Status::Affected if !matches!(self.answer, Answer::Affected { .. }) => {
                Answer::Affected { fixed: None }
            }
            Status::NotAffected { .. } | Status::Fixed | Status::Affected | Status::UnderInvestigation => {
                return false;
            }
        };
        self.overruling = Some(Overruling { statement: claim.statement, was: self.answer });
        self.answer = answer;
        true
    }
}

impl Claim<'_> {
    /// Whose word counts more. Of two of one time the worse, so that no order of statements makes an answer safer.
    fn order(&self, other: &Self) -> Ordering {
        let worse = |claim: &Self| match claim.statement.status {
            Status::NotAffected { .. } => 0,
            Status::Fixed => 1,
            Status::UnderInvestigation => 2,
            Status::Affected => 3,
        };
        let times = self.statement.at.cmp(&other.statement.at);
        self.fit.cmp(&other.fit).then(times).then_with(|| worse(self).cmp(&worse(other)))
    }
}

impl Statement {
    /// What makes it say nothing about a component that it fits.
    fn flaw(&self, fit: Fit) -> Option<Unused> {
        match &self.status {
            Status::NotAffected { justification } if justification.trim().is_empty() => {
                Some(Unused::NoJustification)
            }
            Status::Fixed | Status::Affected if fit != Fit::ThisVersion => Some(Unused::NoVersion),
            Status::NotAffected { .. } | Status::Fixed | Status::Affected | Status::UnderInvestigation => {
                None
            }
        }
    }
}

/// A product by its package URL, and the component that it would be.
struct Named<'a> {
    purl: &'a Purl,
    component: Component,
    /// Whether it names a version; else that of the component says nothing.
    versioned: bool,
}

impl<'a> Named<'a> {
    fn all(statement: &'a Statement) -> Vec<Self> {
        let named = statement.products.iter().filter_map(|product| match product {
            Product::Package(purl) => Self::of(purl),
            Product::Other(_) => None,
        });
        named.collect()
    }

    fn of(purl: &'a Purl) -> Option<Self> {
        let source = purl.qualifiers.get("upstream").and_then(|upstream| upstream.split_once('@'));
        let versioned = purl.version.is_some() || source.is_some_and(|(_, version)| !version.is_empty());
        let mut whole = purl.clone();
        whole.version.get_or_insert_with(|| "0".into());
        Some(Self { purl, component: whole.component()?, versioned })
    }

    /// How it stands to a component; it names a source package, or says which binary it means.
    fn fit(&self, component: &Component) -> Fit {
        let (purl, named) = (self.purl, &self.component);
        let is_binary = named.doubts.source && component.binaries.contains(&named.name);
        if named.name != component.name && !is_binary {
            return Fit::Not;
        }
        let released = !named.ecosystem.lacks_release();
        let same_place = match released {
            true => named.ecosystem == component.ecosystem,
            false => named.ecosystem.family() == component.ecosystem.family(),
        };
        if !same_place || (self.versioned && !self.is_version_of(component)) {
            return Fit::Not;
        }
        let compared = |(key, value): (&String, &String)| match key.as_str() {
            "distro" => released,
            "arch" => matches!(value.as_str(), "source" | "src" | "all" | "noarch"),
            "rpmmod" | "modularitylabel" => named.module == component.module,
            "upstream" | "epoch" => true,
            _ => false,
        };
        // What holds for one binary package holds for its source only where no other one of it is installed.
        let is_whole = matches!(purl.qualifiers.get("arch").map(String::as_str), Some("source" | "src"))
            || component.binaries.iter().all(|binary| *binary == purl.name);
        if !is_whole || !purl.subpath.is_empty() || !purl.qualifiers.iter().all(compared) {
            return Fit::Limited;
        }
        if self.versioned { Fit::ThisVersion } else { Fit::AnyVersion }
    }

    fn is_version_of(&self, component: &Component) -> bool {
        let (a, b) = (&self.component.version, &component.version);
        a == b || compare(component.ecosystem.scheme(), a, b).is_some_and(Ordering::is_eq)
    }
}

/// How the product that fits best stands to a component.
fn best(named: &[Named<'_>], component: &Component) -> Fit {
    named.iter().map(|named| named.fit(component)).max().unwrap_or(Fit::Not)
}

/// Why a statement of these products speaks of no answer at all.
fn absence(named: &[Named<'_>], set: &ComponentSet) -> Unused {
    if named.is_empty() {
        return Unused::NotAPackage;
    }
    match set.items().iter().map(|component| best(named, component)).max().unwrap_or(Fit::Not) {
        Fit::Not => Unused::NoComponent,
        Fit::Limited => Unused::Limited,
        Fit::AnyVersion | Fit::ThisVersion => Unused::NoFinding,
    }
}

/// Under which weakness a record's name stands, for statements that do not name the CVE.
struct Names<'a>(BTreeMap<&'a str, Option<&'a str>>);

impl<'a> Names<'a> {
    /// The names that the statements use and that are those of records.
    fn of(index: &'a Index, statements: &'a [Statement]) -> Self {
        let wanted = statements.iter().flat_map(|statement| &statement.weakness);
        let mut names: BTreeMap<&str, Vec<&str>> = wanted.map(|name| (name.as_str(), Vec::new())).collect();
        for (id, groups) in index.names() {
            if let Some(known) = names.get_mut(id) {
                known.extend(groups);
            }
        }
        // What names several weaknesses tells nothing about one of them.
        let single = |mut groups: Vec<&'a str>| {
            groups.sort_unstable();
            groups.dedup();
            if let [group] = groups.as_slice() { Some(*group) } else { None }
        };
        Self(names.into_iter().map(|(name, groups)| (name, single(groups))).collect())
    }

    fn is_about(&self, statement: &Statement, group: &str) -> bool {
        let is_it = |name: &String| name == group || self.0.get(name.as_str()) == Some(&Some(group));
        statement.weakness.iter().any(is_it)
    }
}
