//! Which VEX statement counts for a finding.
//!
//! The most specific one wins: one that names the version before one that does not, one about the device's release before one
//! about the component alone; then the newest; of two alike the worse. `fixed` counts only with a version. Only an issuer that the owner believes takes anything
//! off a list, and nothing is deleted: the caller shows what suppressed it. A statement that met nothing is told by
//! [`Ledger::silent`] with the reason. Read next: [`super::subject`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::subject::{Fit, Thing};
use super::{Document, Statement, Status};
use crate::feeds::naming::Aliases;

/// Statements, and what became of each.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    documents: Vec<Source>,
    rows: Vec<Row>,
    by_name: BTreeMap<String, Vec<usize>>,
    aliases: Aliases,
}

#[derive(Clone, Debug)]
struct Source {
    id: String,
    issuer: String,
    believed: bool,
}

#[derive(Clone, Debug)]
struct Row {
    document: usize,
    statement: Statement,
    met: Met,
}

/// What a statement met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// No finding of that weakness.
    NoWeakness,
    /// The weakness, but not its product.
    NoProduct,
    /// Its product, which it calls fixed without saying in which version.
    NoVersion,
    /// Its issuer is not believed.
    NotBelieved,
    /// A finding that it speaks of.
    Finding,
}

impl Met {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoWeakness => "no-such-finding",
            Self::NoProduct => "no-such-product",
            Self::NoVersion => "fixed-in-no-version",
            Self::NotBelieved => "issuer-not-believed",
            Self::Finding => "matched",
        }
    }
}

/// A finding that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// The weakness by all its names.
    pub names: &'a [&'a str],
    /// What has it.
    pub component: &'a Thing,
    /// The device or the release that it is in, where it is in one.
    pub product: Option<&'a Thing>,
}

/// The statement that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// What it says.
    pub status: Status,
    /// Its document.
    pub document: &'a str,
    /// Who says it.
    pub issuer: &'a str,
    /// The statement.
    pub statement: &'a Statement,
}

impl Ledger {
    /// An empty one, with a site's aliases.
    #[must_use]
    pub fn new(aliases: Aliases) -> Self {
        Self { aliases, ..Self::default() }
    }

    /// Takes a document; `believed` says whether the owner believes its issuer.
    pub fn add(&mut self, document: Document, believed: bool) {
        let place = self.documents.len();
        let Document { id, issuer, statements, .. } = document;
        self.documents.push(Source { id, issuer, believed });
        for statement in statements {
            for name in &statement.names {
                self.by_name.entry(name.to_ascii_uppercase()).or_default().push(self.rows.len());
            }
            self.rows.push(Row { document: place, statement, met: Met::NoWeakness });
        }
    }

    /// The statement that counts for a finding, if there is one. What each candidate met is noted.
    pub fn judge(&mut self, finding: Finding<'_>) -> Option<Said<'_>> {
        for at in self.candidates(finding) {
            let Some((met, _)) = self.rows.get(at).map(|row| self.meets(row, finding)) else { continue };
            if let Some(row) = self.rows.get_mut(at) {
                row.met = row.met.max(met);
            }
        }
        self.said(finding)
    }

    /// Whether any statement is about a weakness of this name.
    #[must_use]
    pub fn speaks_of(&self, name: &str) -> bool {
        !self.rows.is_empty() && self.by_name.contains_key(&name.to_ascii_uppercase())
    }

    /// The statement that counts for a finding, if there is one. Other than [`Ledger::judge`] it notes nothing: for whoever
    /// asks again and again.
    #[must_use]
    pub fn said(&self, finding: Finding<'_>) -> Option<Said<'_>> {
        let rows = self.candidates(finding).into_iter().filter_map(|at| Some((at, self.rows.get(at)?)));
        let places = rows.filter_map(|(at, row)| {
            let (met, rank) = self.meets(row, finding);
            let (versioned, product) = rank.filter(|_| met == Met::Finding)?;
            Some((versioned, product, row.statement.at, row.statement.status, at))
        });
        let (.., at) = places.max()?;
        self.said_by(at)
    }

    /// What a statement meets in a finding, and how specific it is for it.
    fn meets(&self, row: &Row, finding: Finding<'_>) -> (Met, Option<(bool, bool)>) {
        let rank = rank(&row.statement, finding, &self.aliases);
        let met = match (rank, self.is_believed(row)) {
            (None, _) => Met::NoProduct,
            // A repair is a repair of some version: without one it would clear every older one too.
            (Some((false, _)), _) if row.statement.status == Status::Fixed => Met::NoVersion,
            (Some(_), false) => Met::NotBelieved,
            (Some(_), true) => Met::Finding,
        };
        (met, rank)
    }

    fn candidates(&self, finding: Finding<'_>) -> Vec<usize> {
        let names = finding.names.iter().filter_map(|name| self.by_name.get(&name.to_ascii_uppercase()));
        let mut candidates: Vec<usize> = names.flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    fn is_believed(&self, row: &Row) -> bool {
        self.documents.get(row.document).is_some_and(|source| source.believed)
    }

    fn said_by(&self, at: usize) -> Option<Said<'_>> {
        let row = self.rows.get(at)?;
        let source = self.documents.get(row.document)?;
        let (document, issuer) = (source.id.as_str(), source.issuer.as_str());
        Some(Said { status: row.statement.status, document, issuer, statement: &row.statement })
    }

    /// How many statements there are, and how many met a finding.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.rows.len(), self.rows.iter().filter(|row| row.met == Met::Finding).count())
    }

    /// The statements that met nothing, and why.
    pub fn silent(&self) -> impl Iterator<Item = (&Statement, &str, Met)> {
        let silent = self.rows.iter().filter(|row| row.met != Met::Finding);
        silent.map(|row| {
            let document = self.documents.get(row.document).map(|source| source.id.as_str());
            (&row.statement, document.unwrap_or_default(), row.met)
        })
    }
}

/// How specific a statement is for a finding: by version, about the product. `None`: it speaks of something else.
fn rank(statement: &Statement, finding: Finding<'_>, aliases: &Aliases) -> Option<(bool, bool)> {
    let fits = |subject: &super::Subject, thing: Option<&Thing>| match thing
        .map(|thing| subject.fits(thing, aliases))
    {
        Some(Fit::Is { versioned }) => Some(versioned),
        Some(Fit::Not) | None => None,
    };
    let component = Some(finding.component);
    if statement.inside.is_empty() {
        let product = fits(&statement.subject, finding.product).map(|versioned| (versioned, true));
        return product.or_else(|| fits(&statement.subject, component).map(|versioned| (versioned, false)));
    }
    let inside = statement.inside.iter().filter_map(|subject| fits(subject, component)).max()?;
    let product = fits(&statement.subject, finding.product)?;
    Some((inside || product, true))
}
