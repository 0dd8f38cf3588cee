//! Everything that is known of weaknesses, from all feeds together: built once, then only read.
//!
//! A [`Builder`] takes the documents of each feed, counts what it does not understand, and makes a [`World`]. Long texts are
//! not kept: a record's place in its file is, for whoever wants to read it. Read next: [`super::answers`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;

use crate::cvss;
use crate::feeds::csaf::{self, Advisory, Score};
use crate::feeds::devices::Catalogue;
use crate::feeds::eol::{self, Lifecycle};
use crate::feeds::epss::{Chance, Scores};
use crate::feeds::intake::{Kind, Tally};
use crate::feeds::kev::{self, Exploited};
use crate::feeds::naming::Aliases;
use crate::feeds::vex::cyclonedx::References;
use crate::feeds::vex::ledger::Ledger;
use crate::feeds::vex::{self, Document};
use crate::matching::index::{self, Full, Index};
use crate::matching::json::Refused;
use crate::matching::{debian, osv};
use crate::risk::facts::{Answer, Cvss, CvssSource, Vector};

/// Where a record stands in the file of its feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The feed, by its place among those that the world was built from.
    pub feed: u16,
    /// Its first byte.
    pub at: u64,
    /// Its bytes.
    pub length: u32,
}

/// Everything that is known of weaknesses.
#[derive(Debug, Default)]
pub struct World {
    /// Advisories about packages.
    pub index: Index,
    /// Where each record of the index stands, by its number.
    pub spots: Vec<Option<Spot>>,
    /// What is exploited, by CVE.
    pub exploited: BTreeMap<String, Exploited>,
    /// Chances of exploitation, by CVE.
    pub chances: BTreeMap<String, Chance>,
    /// Advisories about devices.
    pub catalogue: Catalogue,
    /// Statements of makers.
    pub ledger: Ledger,
    pub(super) lifecycles: BTreeMap<String, Lifecycle>,
    severities: BTreeMap<String, Severity>,
    as_of: BTreeMap<Kind, Timestamp>,
}

/// A world in the making.
#[derive(Debug, Default)]
pub struct Builder {
    index: index::Builder,
    spots: Vec<Option<Spot>>,
    exploited: BTreeMap<String, Exploited>,
    chances: BTreeMap<String, Chance>,
    advisories: Vec<Advisory>,
    statements: Vec<Document>,
    lifecycles: BTreeMap<String, Lifecycle>,
    aliases: Aliases,
    as_of: BTreeMap<Kind, Timestamp>,
}

/// Why a file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// More than a server holds.
    #[error(transparent)]
    Full(#[from] Full),
    /// It is no file of its kind.
    #[error("it is no such file: {0}")]
    Form(#[from] Refused),
}

impl Builder {
    /// Says of when the feeds of a kind are: of several the newest.
    pub fn dated(&mut self, kind: Kind, as_of: Timestamp) {
        let held = self.as_of.entry(kind).or_insert(as_of);
        *held = as_of.max(*held);
    }

    /// Takes an OSV record.
    ///
    /// # Errors
    /// There are too many.
    pub fn osv(
        &mut self,
        file: &str,
        bytes: &[u8],
        spot: Option<Spot>,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let read = match osv::read(bytes) {
            Err(refused) => {
                tally.refuse(file, &refused);
                return Ok(());
            }
            Ok(read) => read,
        };
        tally.records += 1;
        Tally::count(&mut tally.mended, "packages-without-a-name", read.without_package);
        Tally::count(&mut tally.mended, "ranges-without-a-beginning", read.without_introduced);
        Tally::count(&mut tally.mended, "ranges-with-two-ends", read.two_ends);
        Tally::count(&mut tally.mended, "severities-not-understood", read.bad_severities);
        self.add(&read.advisory, spot)?;
        Ok(())
    }

    /// Takes Debian's own data.
    ///
    /// # Errors
    /// It is none, or there is too much of it.
    pub fn debian(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<(), Stop> {
        let mut taken = Ok(());
        let counts = debian::read(bytes, &mut |advisory| {
            if taken.is_ok() {
                taken = self.add(&advisory, None);
            }
        })?;
        taken?;
        tally.records += u64::try_from(counts.records).unwrap_or(u64::MAX);
        for (why, count) in counts.refused {
            Tally::count(&mut tally.refused, why, count);
        }
        Ok(())
    }

    fn add(
        &mut self,
        advisory: &crate::matching::advisory::Advisory,
        spot: Option<Spot>,
    ) -> Result<(), Full> {
        self.index.add(advisory)?;
        self.spots.resize(self.index.records(), None);
        if let Some(last) = self.spots.last_mut().filter(|_| !advisory.withdrawn) {
            *last = spot;
        }
        Ok(())
    }

    /// Takes a CSAF advisory.
    pub fn csaf(&mut self, file: &str, bytes: &[u8], tally: &mut Tally) {
        match csaf::read(bytes) {
            Err(refused) => tally.refuse(file, &refused),
            Ok(advisory) => {
                tally.records += 1;
                tally.as_of = tally.as_of.max(advisory.updated);
                Tally::count(&mut tally.mended, "products-nowhere", advisory.nowhere);
                Tally::count(&mut tally.mended, "products-unresolved", advisory.unresolved);
                Tally::count(&mut tally.mended, "scores-other-than-their-vectors", advisory.miscounted);
                self.advisories.push(advisory);
            }
        }
    }

    /// Takes CISA's catalogue.
    ///
    /// # Errors
    /// It is none.
    pub fn kev(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<(), Stop> {
        let read = kev::read(bytes)?;
        tally.records += u64::try_from(read.entries.len()).unwrap_or(u64::MAX);
        tally.as_of = read.as_of;
        for (why, count) in read.refused {
            Tally::count(&mut tally.refused, why, count);
        }
        self.exploited.extend(read.entries);
        Ok(())
    }

    /// Takes a table of chances, as its rows were read.
    pub fn epss(&mut self, read: Scores, tally: &mut Tally) {
        tally.records += u64::try_from(read.scores.len()).unwrap_or(u64::MAX);
        tally.as_of = read.as_of;
        for (why, count) in read.refused {
            Tally::count(&mut tally.refused, why, count);
        }
        self.chances.extend(read.scores);
    }

    /// Takes the ends of life of one product, which a document of the first form names by its file alone.
    pub fn eol(&mut self, file: &str, bytes: &[u8], tally: &mut Tally) {
        let named = file.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
        match eol::read(bytes) {
            Err(refused) => tally.refuse(file, &refused),
            Ok(read) => {
                let product = read.product.clone().or(named.map(Into::into));
                Tally::count(&mut tally.refused, "releases-not-understood", read.refused);
                let Some(product) = product.filter(|name: &String| !name.is_empty()) else {
                    let nameless = "it does not say which product it is about: call the file PRODUCT.json";
                    return tally.refuse(file, &Refused::OtherForm(nameless.into()));
                };
                tally.records += 1;
                tally.as_of = tally.as_of.max(read.as_of);
                self.lifecycles.insert(product.to_lowercase(), read);
            }
        }
    }

    /// Takes statements of a maker, links into SBOMs being known.
    pub fn vex(&mut self, file: &str, bytes: &[u8], known: &References, tally: &mut Tally) {
        match vex::read(bytes, known) {
            Err(refused) => tally.refuse(file, &refused),
            Ok(document) => {
                tally.records += u64::try_from(document.statements.len()).unwrap_or(u64::MAX);
                let newest = document.statements.iter().filter_map(|statement| statement.at).max();
                tally.as_of = tally.as_of.max(newest);
                for (why, count) in &document.refused {
                    Tally::count(&mut tally.refused, why, *count);
                }
                self.statements.push(document);
            }
        }
    }

    /// Takes a row of a site's own names: maker, model, alias; without a model it is the maker's name. Says whether it is one.
    pub fn alias(&mut self, cells: &[&str]) -> bool {
        match cells {
            [maker, "", alias] if !maker.is_empty() && !alias.is_empty() => {
                self.aliases.add_maker(alias, maker)
            }
            [maker, model, alias] if [maker, model, alias].iter().all(|cell| !cell.is_empty()) => {
                self.aliases.add_model(maker, alias, model);
            }
            _ => return false,
        }
        true
    }

    /// All taken.
    ///
    /// # Errors
    /// There is too much of it.
    pub fn finish(self) -> Result<World, Full> {
        let index = self.index.finish()?;
        let mut ledger = Ledger::new(self.aliases.clone());
        for document in self.statements {
            ledger.add(document, true);
        }
        let severities = severities(&self.advisories);
        let catalogue = Catalogue::new(self.advisories, self.aliases);
        let mut chances = self.chances;
        // Of hundreds of thousands only those that some advisory here can ask for.
        let mut named: Vec<&str> = index.groups().collect();
        let weaknesses = catalogue.advisories().iter().flat_map(|advisory| &advisory.weaknesses);
        named.extend(weaknesses.flat_map(|one| one.aliases.iter().chain([&one.id])).map(String::as_str));
        named.sort_unstable();
        chances.retain(|cve, _| named.binary_search(&cve.as_str()).is_ok());
        Ok(World {
            index,
            spots: self.spots,
            exploited: self.exploited,
            chances,
            catalogue,
            ledger,
            lifecycles: self.lifecycles,
            severities,
            as_of: self.as_of,
        })
    }
}

impl World {
    /// Of when the newest feed of a kind is.
    #[must_use]
    pub fn as_of(&self, kind: Kind) -> Option<Timestamp> {
        self.as_of.get(&kind).copied()
    }

    /// How grave a weakness is, as its records say, or else advisories about devices.
    #[must_use]
    pub fn severity(&self, weakness: &str) -> Option<Severity> {
        let record = self.index.group_of(weakness).and_then(|group| self.index.severity_of(group));
        record.map(Severity::of).or_else(|| self.severities.get(weakness).copied())
    }
}

/// How grave a weakness is, and what SSVC asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity {
    /// Its score.
    pub cvss: Cvss,
    /// From where it is attacked.
    pub vector: Vector,
    /// Whether a machine alone can attack it.
    pub automatable: Answer,
    /// Whether it gives control of the whole device.
    pub total_control: Answer,
}

impl Severity {
    /// What a vector says of the weakness as such.
    #[must_use]
    pub fn of(vector: cvss::Vector) -> Self {
        Self {
            cvss: vector.fact(false),
            vector: vector.attack(),
            automatable: vector.automatable(),
            total_control: vector.total_control(),
        }
    }

    /// What an advisory about devices says; of an older vector only the score that is written beside it.
    #[must_use]
    pub fn of_score(score: &Score) -> Self {
        let written = || Self {
            cvss: Cvss { tenths: score.base_tenths, source: CvssSource::Base },
            vector: Vector::Network,
            automatable: Answer::Unknown,
            total_control: Answer::Unknown,
        };
        score.severity.map_or_else(written, Self::of)
    }
}

/// The severities that advisories about devices state of their weaknesses; of several the gravest.
fn severities(advisories: &[Advisory]) -> BTreeMap<String, Severity> {
    let mut severities: BTreeMap<String, Severity> = BTreeMap::new();
    for weakness in advisories.iter().flat_map(|advisory| &advisory.weaknesses) {
        for score in &weakness.scores {
            let found = Severity::of_score(score);
            for name in weakness.aliases.iter().chain([&weakness.id]) {
                let held = severities.entry(name.clone()).or_insert(found);
                *held = found.max(*held);
            }
        }
    }
    severities
}

/// Bytes of the longest document of a kind.
#[must_use]
pub fn document_bytes(kind: Kind) -> u64 {
    match kind {
        Kind::Debian | Kind::Kev | Kind::Epss | Kind::Aliases => limits::FEED_BYTES,
        Kind::Osv | Kind::Csaf | Kind::Eol => u64::try_from(limits::ADVISORY_BYTES).unwrap_or(u64::MAX),
        Kind::Vex => limits::SBOM_BYTES,
    }
}
