//! Devices without an agent, matched to advisories. Four answers, each with what it stands on.
//!
//! By maker, model, alias and version, never by CPE. Where an advisory names a model itself, its other products say nothing of
//! it. A model that is only a part of a name, a version that is not known or not placeable, a range that is not understood: all
//! unknown, never safe. A model that no advisory names gets no verdict, which is no promise. Read next: [`super::naming`] for
//! names, [`super::span`] for versions.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::asset::Asset;
use super::csaf::tree::{Product, Relation};
use super::csaf::{Advisory, Status, Weakness};
use super::naming::{Aliases, Likeness, Model, names_of};
use super::span::{self, Among};

#[cfg(test)]
mod tests;

/// Advisories by the makers of their products.
#[derive(Debug, Default)]
pub struct Catalogue {
    advisories: Vec<Advisory>,
    aliases: Aliases,
    by_maker: BTreeMap<String, Vec<usize>>,
    products: Vec<Indexed>,
}

#[derive(Debug)]
struct Indexed {
    advisory: usize,
    product: usize,
    names: Vec<Model>,
    /// No maker is named.
    nameless: bool,
}

/// Does a device have a weakness?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Yes; with the version that repairs it, where the range names one.
    Affected {
        /// The first version that is not affected.
        fixed: Option<&'a str>,
    },
    /// It may, and cannot be judged. Never safe.
    Unknown(Why),
    /// Not any more: its version is behind the range, or said to be repaired.
    Fixed,
    /// Its version is before the range, or said never to have had it.
    NotAffected,
}

/// Why an answer is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The version could not be placed.
    Version(span::Why),
    /// The list's model is only a part of the advisory's product, or the other way round.
    ModelInPart,
    /// The list names no maker.
    NoMaker,
    /// It is about something that may be installed on the device.
    PartNotKnown,
    /// The maker is still looking.
    UnderInvestigation,
    /// The advisory names the product, and says of no weakness whether it has it.
    NoStatus,
}

/// One answer about one device and one weakness.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// The advisory.
    pub advisory: &'a Advisory,
    /// The weakness.
    pub weakness: &'a Weakness,
    /// The product of the advisory that decided.
    pub product: &'a Product,
    /// Its place in the advisory.
    pub place: usize,
    /// How like the two names are.
    pub likeness: Likeness,
    /// The answer.
    pub answer: Answer<'a>,
    /// The bound that decided, where one did.
    pub bound: Option<&'a str>,
}

impl Answer<'_> {
    /// Its word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Affected { .. } => "affected",
            Self::Unknown(_) => "unknown",
            Self::Fixed => "fixed",
            Self::NotAffected => "not-affected",
        }
    }

    /// A worse answer is higher.
    fn rank(&self) -> u8 {
        match self {
            Self::NotAffected => 0,
            Self::Fixed => 1,
            Self::Unknown(_) => 2,
            Self::Affected { .. } => 3,
        }
    }
}

impl Why {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Version(why) => why.word(),
            Self::ModelInPart => "model-in-part",
            Self::NoMaker => "no-maker",
            Self::PartNotKnown => "part-not-known",
            Self::UnderInvestigation => "under-investigation",
            Self::NoStatus => "no-status",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Version(why) => why.sentence(),
            Self::ModelInPart => "compare the two names: one is only a part of the other",
            Self::NoMaker => "write the maker into the list",
            Self::PartNotKnown => "look whether that part is installed on the device",
            Self::UnderInvestigation => "wait for the maker, who is still looking",
            Self::NoStatus => "read the advisory: it names the model and does not say whether it is affected",
        }
    }
}

impl Catalogue {
    /// Sorts advisories by the makers of their products. Of two documents of one publisher and one name the newer counts.
    #[must_use]
    pub fn new(advisories: Vec<Advisory>, aliases: Aliases) -> Self {
        let mut newest: BTreeMap<(String, String), Advisory> = BTreeMap::new();
        for advisory in advisories {
            let name = (advisory.id.clone(), advisory.publisher.clone());
            let newer = newest.get(&name).is_none_or(|held| held.updated < advisory.updated);
            if newer {
                newest.insert(name, advisory);
            }
        }
        let advisories: Vec<Advisory> = newest.into_values().collect();
        let mut by_maker: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut products = Vec::new();
        for (at, advisory) in advisories.iter().enumerate() {
            for (place, product) in advisory.products.iter().enumerate() {
                let makers = aliases.makers(&product.maker);
                let mut names = names_of(&product.model);
                names.extend(product.model_numbers.iter().cloned());
                // Advisories put model codes where versions belong.
                names.extend(
                    product.versions_text.split(['|', '/']).filter(|text| is_code(text)).map(Into::into),
                );
                let names = names.iter().map(|name| aliases.model(name, &makers)).collect();
                let nameless = makers.is_empty();
                for maker in makers.into_iter().chain(nameless.then(String::new)) {
                    by_maker.entry(maker).or_default().push(products.len());
                }
                products.push(Indexed { advisory: at, product: place, names, nameless });
            }
        }
        Self { advisories, aliases, by_maker, products }
    }

    /// How many advisories and products it has.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.advisories.len(), self.products.len())
    }

    /// The advisories by their names.
    #[must_use]
    pub fn advisories(&self) -> &[Advisory] {
        &self.advisories
    }

    /// The answers about one device, the worst for each weakness, in the order of their names.
    #[must_use]
    pub fn judge(&self, asset: &Asset) -> Vec<Verdict<'_>> {
        let mut worst: BTreeMap<&str, Verdict<'_>> = BTreeMap::new();
        for (advisory, (likeness, places)) in self.alike(asset) {
            let Some(advisory) = self.advisories.get(advisory) else { continue };
            for weakness in &advisory.weaknesses {
                let Some(verdict) = verdict(advisory, weakness, likeness, &places, asset) else { continue };
                let held = worst.entry(&weakness.id).or_insert(verdict);
                if verdict.answer.rank() > held.answer.rank() {
                    *held = verdict;
                }
            }
        }
        worst.into_values().collect()
    }

    /// The products of each advisory that are most like the device, and how like they are.
    fn alike(&self, asset: &Asset) -> BTreeMap<usize, (Likeness, Vec<usize>)> {
        let makers = self.aliases.makers(&asset.maker);
        // A maker that no advisory knows may be written otherwise there: its models are looked for under all names.
        let stranger = !makers.is_empty() && !makers.iter().any(|maker| self.by_maker.contains_key(maker));
        let candidates: BTreeSet<usize> = if makers.is_empty() || stranger {
            (0..self.products.len()).collect()
        } else {
            let nameless = self.by_maker.get("").into_iter().flatten();
            makers
                .iter()
                .filter_map(|maker| self.by_maker.get(maker))
                .flatten()
                .chain(nameless)
                .copied()
                .collect()
        };
        let (model, others) =
            (self.aliases.model(&asset.model, &makers), self.aliases.aliases_of(&makers, &asset.model));
        let mut found: BTreeMap<usize, (Likeness, Vec<usize>)> = BTreeMap::new();
        for indexed in candidates.iter().filter_map(|at| self.products.get(*at)) {
            let direct = indexed.names.iter().enumerate().filter_map(|(at, name)| {
                let likeness = model.likeness(name)?;
                // The name that is the product's whole one is the same; another of its names is an alias.
                Some(if at > 0 && likeness >= Likeness::Core { Likeness::Alias } else { likeness })
            });
            let pairs = indexed.names.iter().flat_map(|name| others.iter().map(move |other| (other, name)));
            let by_alias = pairs.filter_map(|(other, name)| match other.likeness(name)? {
                Likeness::Same | Likeness::Alias | Likeness::Core => Some(Likeness::Alias),
                // What is found under its maker's name by its model's code is found under the site's name too.
                Likeness::Code => Some(Likeness::Code),
                Likeness::Partly => None,
            });
            let best = direct.chain(by_alias).max();
            let Some(mut likeness) = best else { continue };
            if !makers.is_empty() && (stranger || indexed.nameless) {
                // One name without the other's maker proves nothing; it is for a person to compare.
                if likeness < Likeness::Core {
                    continue;
                }
                likeness = Likeness::Partly;
            }
            let (held, places) = found.entry(indexed.advisory).or_insert((likeness, Vec::new()));
            if likeness > *held {
                (*held, *places) = (likeness, Vec::new());
            }
            if likeness == *held {
                places.push(indexed.product);
            }
        }
        found
    }
}

/// What this very version's being named as safe weighs, and above which only "affected" and "still looking" stand.
const SAID_SAFE: u8 = 4;
/// What a version that cannot be placed weighs.
const IN_DOUBT: u8 = 3;

/// The word of one advisory about one weakness: the worst, but for what names this very version.
fn verdict<'a>(
    advisory: &'a Advisory,
    weakness: &'a Weakness,
    likeness: Likeness,
    places: &[usize],
    asset: &Asset,
) -> Option<Verdict<'a>> {
    let (mut best, mut doubt): (Option<(u8, Verdict<'a>)>, Option<Verdict<'a>>) = (None, None);
    for place in places {
        let Some((status, product)) = weakness.statuses.get(place).zip(advisory.products.get(*place)) else {
            continue;
        };
        let Some((weight, answer, bound)) = said(*status, product, asset) else { continue };
        let verdict = Verdict { advisory, weakness, product, place: *place, likeness, answer, bound };
        if weight == IN_DOUBT {
            doubt = doubt.or(Some(verdict));
        }
        if best.as_ref().is_none_or(|(held, _)| weight > *held) {
            best = Some((weight, verdict));
        }
    }
    // That one product is said to be safe clears no doubt about another that the device may be as well.
    let other = |safe: &Verdict<'_>| doubt.filter(|doubt| doubt.product.model != safe.product.model);
    let mut verdict = match best {
        Some((SAID_SAFE, safe)) => other(&safe).unwrap_or(safe),
        Some((_, verdict)) => verdict,
        None => unsaid(advisory, weakness, likeness, places)?,
    };
    if likeness == Likeness::Partly {
        verdict.answer = Answer::Unknown(Why::ModelInPart);
    } else if asset.maker.is_empty() {
        verdict.answer = Answer::Unknown(Why::NoMaker);
    }
    Some(verdict)
}

/// The word of an advisory that names a product and says nothing of it anywhere: unknown, for silence would look like safety.
fn unsaid<'a>(
    advisory: &'a Advisory,
    weakness: &'a Weakness,
    likeness: Likeness,
    places: &[usize],
) -> Option<Verdict<'a>> {
    let said =
        |place: &usize| advisory.weaknesses.iter().any(|weakness| weakness.statuses.contains_key(place));
    let place = places.first().copied().filter(|_| !places.iter().any(said))?;
    let product = advisory.products.get(place)?;
    let answer = Answer::Unknown(Why::NoStatus);
    Some(Verdict { advisory, weakness, product, place, likeness, answer, bound: None })
}

/// What one product's status says of a device, and how much it weighs beside others.
fn said<'a>(
    status: Status,
    product: &'a Product,
    asset: &Asset,
) -> Option<(u8, Answer<'a>, Option<&'a str>)> {
    let installed = Some(asset.version.as_str()).filter(|version| !version.is_empty());
    // A code that stands for the versions names the model: every version of it.
    let by_code = is_code(&product.versions_text) && is_named(product, &asset.model);
    let among = if by_code { Among::In(None) } else { product.versions.among(installed) };
    let sure = match product.part {
        None | Some((Relation::DefaultComponentOf, _)) => true,
        Some((
            Relation::OptionalComponentOf
            | Relation::ExternalComponentOf
            | Relation::InstalledOn
            | Relation::InstalledWith,
            _,
        )) => false,
    };
    let explicit = product.versions.is_said();
    match (status, among) {
        (Status::KnownAffected | Status::LastAffected | Status::FirstAffected, Among::In(_)) if !sure => {
            Some((5, Answer::Unknown(Why::PartNotKnown), None))
        }
        (Status::KnownAffected | Status::LastAffected | Status::FirstAffected, Among::In(fixed)) => {
            Some((6, Answer::Affected { fixed }, fixed))
        }
        (Status::KnownAffected | Status::LastAffected | Status::FirstAffected, Among::Unknown(why)) => {
            Some((IN_DOUBT, Answer::Unknown(Why::Version(why)), None))
        }
        (Status::KnownAffected, Among::Above(bound)) => Some((2, Answer::Fixed, Some(bound))),
        (Status::KnownAffected, Among::Below(bound)) => Some((1, Answer::NotAffected, Some(bound))),
        (Status::UnderInvestigation, Among::In(_)) => {
            Some((5, Answer::Unknown(Why::UnderInvestigation), None))
        }
        (Status::Fixed | Status::FirstFixed, Among::In(_)) if explicit && sure => {
            Some((SAID_SAFE, Answer::Fixed, None))
        }
        (Status::KnownNotAffected, Among::In(_)) if sure => {
            Some((if explicit { SAID_SAFE } else { 1 }, Answer::NotAffected, None))
        }
        (Status::Recommended, _) => None,
        // It is named, and of this version nothing is said: that is no silence.
        (
            Status::KnownNotAffected
            | Status::Fixed
            | Status::FirstFixed
            | Status::UnderInvestigation
            | Status::FirstAffected
            | Status::LastAffected,
            _,
        ) => Some((0, Answer::Unknown(Why::NoStatus), None)),
    }
}

/// Whether a text is a model code and no version: letters, a sign and a number, as `MMT-1715`, or three digits without a point.
fn is_code(text: &str) -> bool {
    let text = text.trim();
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    letters >= 2 && digits >= 3 && !text.contains(['.', '<', '>', '*', ':'])
}

fn is_named(product: &Product, model: &str) -> bool {
    let words = super::naming::words(model);
    let codes = super::naming::words(&product.versions_text);
    words
        .iter()
        .any(|word| word.len() >= 4 && word.bytes().any(|byte| byte.is_ascii_digit()) && codes.contains(word))
}
