//! The answers about one component and about one model, and one row for people with what an answer stands on.
//!
//! What is kept of a component is short, because there are tens of thousands of answers: the weakness by number, whether it
//! is sure, and the version that repairs it. Whoever wants to see why asks again for the row. Read next: [`super::exposed`].

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::world::{Severity, World};
use crate::feeds::asset::Asset;
use crate::feeds::devices;
use crate::feeds::vex::ledger::{Finding, Said};
use crate::feeds::vex::subject::Thing;
use crate::matching::component::Component;
use crate::matching::verdict::{Answer, Verdict};

/// Remedies of one row.
const REMEDIES: usize = 8;

/// What is known of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// The weaknesses that it has or may have.
    pub hits: Vec<Hit>,
    /// Whether no advisory speaks of its ecosystem at all.
    pub unjudged: bool,
}

/// A weakness that a component has or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The weakness, by its number in the index.
    pub group: u32,
    /// Whether it has it.
    pub sure: Sure,
}

/// Whether a component has a weakness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sure {
    /// It has it; with the version that repairs it, where one is known.
    Affected(Option<Box<str>>),
    /// Nobody can say.
    Unknown,
}

/// A model in one version, as advisories about devices are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelKey {
    /// Its maker.
    pub maker: String,
    /// Its model.
    pub model: String,
    /// The version of its software; empty where nobody knows.
    pub version: String,
}

/// What an advisory about devices says of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelHit {
    /// The answer as a row.
    pub row: Row,
    /// All names of the weakness.
    pub names: Vec<String>,
    /// How grave it is, as the advisory says.
    pub severity: Option<Severity>,
}

/// An answer, a worse one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// It never had it.
    NotAffected,
    /// Not any more.
    Fixed,
    /// Nobody can say.
    Unknown,
    /// It has it.
    Affected,
}

impl Word {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAffected => "not-affected",
            Self::Fixed => "fixed",
            Self::Unknown => "unknown",
            Self::Affected => "affected",
        }
    }
}

impl Word {
    /// Whether something may be wrong.
    #[must_use]
    pub fn is_open(self) -> bool {
        self >= Self::Unknown
    }
}

impl Row {
    /// The answer with the maker's statement counted in.
    #[must_use]
    pub fn stands(&self) -> Word {
        match self.stated.as_ref().map(|stated| stated.status) {
            Some("not_affected") if self.answer.is_open() => Word::NotAffected,
            Some("fixed") if self.answer.is_open() => Word::Fixed,
            Some(_) | None => self.answer,
        }
    }
}

/// One answer about one weakness and one component or model, with what it stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The weakness: a CVE, or the name of what has none.
    pub id: String,
    /// The source package, or the model.
    pub source: String,
    /// Its version; empty where nobody knows.
    pub version: String,
    /// Whose package, with the release; `device` for an advisory about the model.
    pub ecosystem: String,
    /// The binary packages that are installed of it.
    pub binaries: Vec<String>,
    /// The answer of the records.
    pub answer: Word,
    /// Why nobody can say.
    pub why: Option<&'static str>,
    /// The same in a sentence: what to look up.
    pub why_words: Option<&'static str>,
    /// The version that repairs it.
    pub fixed_version: Option<String>,
    /// The record that decided.
    pub advisory: String,
    /// The product as the advisory writes it, where it is about a model.
    pub product: Option<String>,
    /// Whose order of versions compared the two; for a model how like the two names are.
    pub by: &'static str,
    /// The installed version as it was compared.
    pub installed: String,
    /// The version of the record that decided.
    pub bound: Option<String>,
    /// What the record says of that version.
    pub event: Option<&'static str>,
    /// What was assumed.
    pub doubts: Vec<&'static str>,
    /// What the maker offers.
    pub remedies: Vec<RemedyRow>,
    /// A maker's statement that counts for it.
    pub stated: Option<StatedRow>,
}

/// Something that can be done, in the maker's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemedyRow {
    /// Its kind, as CSAF writes it.
    pub kind: &'static str,
    /// In the maker's words.
    pub details: String,
    /// Where it is.
    pub url: Option<String>,
}

/// A maker's statement (VEX).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatedRow {
    /// What it says: `not_affected`, `fixed`, `under_investigation`, `affected`.
    pub status: &'static str,
    /// Its document.
    pub document: String,
    /// Who says it.
    pub issuer: String,
    /// The product, as it was written.
    pub product: String,
    /// Why.
    pub reason: Option<String>,
}

impl From<Said<'_>> for StatedRow {
    fn from(said: Said<'_>) -> Self {
        Self {
            status: said.status.word(),
            document: said.document.to_owned(),
            issuer: said.issuer.to_owned(),
            product: said.statement.subject.written.clone(),
            reason: said.statement.reason.clone(),
        }
    }
}

impl ModelKey {
    /// As a maker's statement would name it.
    #[must_use]
    pub fn thing(&self) -> Thing {
        let version = Some(self.version.clone()).filter(|version| !version.is_empty());
        Thing { maker: self.maker.clone(), name: self.model.clone(), version, ..Thing::default() }
    }
}

impl World {
    /// What is known of one component, in short.
    #[must_use]
    pub fn ask(&self, component: &Component) -> Hits {
        let matches = self.index.matches_one(component);
        let hit = |verdict: &Verdict<'_>| {
            let sure = match verdict.answer {
                Answer::Affected { fixed } => Sure::Affected(fixed.map(Into::into)),
                Answer::Unknown(_) => Sure::Unknown,
                Answer::Fixed | Answer::NotAffected => return None,
            };
            Some(Hit { group: self.index.group_of(verdict.group)?, sure })
        };
        let mut hits: Vec<Hit> = matches.verdicts.iter().filter_map(hit).collect();
        hits.shrink_to_fit();
        Hits { hits, unjudged: !matches.unjudged.is_empty() }
    }

    /// All rows about one component, fixed ones and such that never were included.
    #[must_use]
    pub fn rows(&self, component: &Component) -> Vec<Row> {
        self.index.matches_one(component).verdicts.iter().map(row).collect()
    }

    /// What advisories about devices say of a model.
    #[must_use]
    pub fn ask_model(&self, key: &ModelKey) -> Vec<ModelHit> {
        let ModelKey { maker, model, version } = key.clone();
        let asset = Asset { maker, model, version, ..Asset::default() };
        self.catalogue.judge(&asset).iter().map(|verdict| model_hit(verdict, key)).collect()
    }

    /// The maker's statement that counts for a weakness of something, if there is one.
    #[must_use]
    pub fn stated(
        &self,
        names: &[&str],
        thing: impl FnOnce() -> Thing,
        product: Option<&Thing>,
    ) -> Option<StatedRow> {
        if !names.iter().any(|name| self.ledger.speaks_of(name)) {
            return None;
        }
        let thing = thing();
        self.ledger.said(Finding { names, component: &thing, product }).map(StatedRow::from)
    }

    /// Notes for each finding which statements speak of it, so that those that meet none can be told.
    pub fn meet(&mut self, names: &[&str], thing: &Thing, product: Option<&Thing>) {
        if names.iter().any(|name| self.ledger.speaks_of(name)) {
            let _ = self.ledger.judge(Finding { names, component: thing, product });
        }
    }
}

fn row(verdict: &Verdict<'_>) -> Row {
    let (answer, why) = match verdict.answer {
        Answer::Affected { .. } => (Word::Affected, None),
        Answer::Unknown(why) => (Word::Unknown, Some(why)),
        Answer::Fixed => (Word::Fixed, None),
        Answer::NotAffected => (Word::NotAffected, None),
    };
    let (component, compared) = (verdict.component, verdict.evidence.compared);
    Row {
        id: verdict.group.to_owned(),
        source: component.name.clone(),
        version: component.version.clone(),
        ecosystem: component.ecosystem.to_string(),
        binaries: component.binaries.clone(),
        answer,
        why: why.map(|why| why.word()),
        why_words: why.map(|why| why.sentence()),
        fixed_version: verdict.repair().map(ToOwned::to_owned),
        advisory: verdict.evidence.advisory.to_owned(),
        product: None,
        by: compared.scheme.name(),
        installed: compared.installed.to_owned(),
        bound: compared.bound.map(|bound| bound.version.to_owned()),
        event: compared.bound.map(|bound| bound.role.word()),
        doubts: component.doubts.words(),
        remedies: Vec::new(),
        stated: None,
    }
}

fn model_hit(verdict: &devices::Verdict<'_>, key: &ModelKey) -> ModelHit {
    let devices::Verdict { advisory, weakness, product, place, likeness, answer, bound } = verdict;
    let (word, why, fixed) = match answer {
        devices::Answer::Affected { fixed } => (Word::Affected, None, *fixed),
        devices::Answer::Unknown(why) => (Word::Unknown, Some(*why), None),
        devices::Answer::Fixed => (Word::Fixed, None, None),
        devices::Answer::NotAffected => (Word::NotAffected, None, None),
    };
    let remedies = weakness.remedies_for(*place).take(REMEDIES).map(|remedy| RemedyRow {
        kind: remedy.kind.word(),
        details: remedy.details.clone(),
        url: remedy.url.clone(),
    });
    let row = Row {
        id: weakness.id.clone(),
        source: key.model.clone(),
        version: key.version.clone(),
        ecosystem: "device".to_owned(),
        binaries: Vec::new(),
        answer: word,
        why: why.map(|why| why.word()),
        why_words: why.map(|why| why.sentence()),
        fixed_version: fixed.map(ToOwned::to_owned),
        advisory: advisory.id.clone(),
        product: Some(product.name.clone()),
        by: likeness.word(),
        installed: key.version.clone(),
        bound: bound.map(ToOwned::to_owned),
        event: None,
        doubts: Vec::new(),
        remedies: remedies.collect(),
        stated: None,
    };
    ModelHit {
        row,
        names: weakness.aliases.iter().chain([&weakness.id]).cloned().collect(),
        severity: weakness.score_for(*place).map(Severity::of_score),
    }
}
