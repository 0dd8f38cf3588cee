//! Names of makers and models, compared.
//!
//! Case, signs, legal forms and a maker's older names make no difference; a table of aliases, to which a site adds its own,
//! says what else is the same. A name that only contains another is told apart from one that is the same: nothing here calls
//! two products one because they sound alike. Read next: [`super::devices`], which asks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Makers by their present name and what else they are or were called: spellings of advisories, brands, companies bought.
const MAKERS: [(&str, &[&str]); 17] = [
    ("abbott", &["st jude", "thoratec"]),
    ("b braun", &["b braun melsungen", "bbraun", "braun"]),
    ("baxter", &["hillrom", "hill rom", "welch allyn", "gambro", "sigma", "mortara"]),
    ("bd", &["becton dickinson", "carefusion", "alaris", "cme"]),
    ("bmc", &["3b", "react"]),
    ("drager", &["draeger", "drager werk", "dragerwerk", "draegerwerk"]),
    ("fujifilm", &["fuji film", "fuji"]),
    ("ge", &["general electric", "datex ohmeda", "ohmeda", "gehealthcare"]),
    ("icu", &["smiths", "hospira"]),
    ("medtronic", &["covidien", "minimed", "medtronic minimed"]),
    ("natus", &["excel tech", "xltek"]),
    ("olympus", &["olympus corporation"]),
    ("omnicell", &["aesynt"]),
    (
        "philips",
        &["phillips", "koninklijke philips", "royal philips", "respironics", "capsule", "qualcomm life"],
    ),
    ("roche", &["f hoffmann la roche", "hoffmann la roche"]),
    ("siemens", &["siemens healthineers", "varian"]),
    ("spacelabs", &["space labs"]),
];

/// Models that advisories name otherwise than people do: maker, what people write, what stands in advisories.
const MODELS: [(&str, &str, &str); 5] = [
    ("bd", "Alaris PCU", "Alaris 8015 PC unit"),
    ("bd", "Alaris PCU", "Alaris Point-of-Care Unit (PCU) Model 8015"),
    ("bd", "8015 PCU", "Alaris 8015 PC unit"),
    ("bd", "8015 PCU", "Alaris Point-of-Care Unit (PCU) Model 8015"),
    ("philips", "Information Center iX", "Patient Information Center iX (PICiX)"),
];

/// Legal forms and filling words of makers' names.
const LEGAL: [&str; 27] = [
    "inc",
    "incorporated",
    "ltd",
    "limited",
    "llc",
    "co",
    "company",
    "corp",
    "corporation",
    "gmbh",
    "ag",
    "se",
    "sa",
    "spa",
    "bv",
    "nv",
    "oy",
    "ab",
    "plc",
    "kg",
    "kgaa",
    "pty",
    "the",
    "and",
    "usa",
    "us",
    "europe",
];

/// What many makers of one trade carry in their names; dropped where something else is left.
const TRADE: [&str; 16] = [
    "medical",
    "healthcare",
    "health",
    "diagnostics",
    "systems",
    "technologies",
    "technology",
    "laboratories",
    "international",
    "group",
    "solutions",
    "devices",
    "care",
    "instruments",
    "healthineers",
    "development",
];

/// Words of models that tell nothing apart.
const GENERIC: [&str; 38] = [
    "pump",
    "pumps",
    "infusion",
    "syringe",
    "system",
    "systems",
    "monitor",
    "monitors",
    "patient",
    "bedside",
    "device",
    "devices",
    "model",
    "models",
    "software",
    "family",
    "series",
    "the",
    "and",
    "with",
    "for",
    "of",
    "in",
    "on",
    "medical",
    "unit",
    "machine",
    "version",
    "versions",
    "all",
    "only",
    "edition",
    "equipment",
    "product",
    "products",
    "application",
    "handheld",
    "portable",
];

/// What is the same as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aliases {
    makers: BTreeMap<String, String>,
    models: BTreeMap<(String, String), Vec<String>>,
}

/// A model's name, ready to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its words in order.
    words: Vec<String>,
    /// Those that tell something apart.
    core: BTreeSet<String>,
    /// Model codes that the name shortens: `FM20/30` is also `FM30`.
    also: BTreeSet<String>,
    /// Model codes from one to another: `MX400-550`.
    ranges: Vec<CodeRange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct CodeRange {
    letters: String,
    low: u32,
    high: u32,
}

/// How sure it is that two names are one model; a later one is surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// One names a part of the other: somebody has to look.
    Partly,
    /// One has all words of the other, and a model code is among them.
    Code,
    /// The same but for words that tell nothing apart.
    Core,
    /// The same by an alias.
    Alias,
    /// The same.
    Same,
}

impl Likeness {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Partly => "name-in-part",
            Self::Code => "model-code",
            Self::Core => "name-but-for-generic-words",
            Self::Alias => "alias",
            Self::Same => "name",
        }
    }
}

impl Default for Aliases {
    fn default() -> Self {
        let mut aliases = Self { makers: BTreeMap::new(), models: BTreeMap::new() };
        for (maker, others) in MAKERS {
            for other in others {
                aliases.add_maker(other, maker);
            }
        }
        for (maker, alias, model) in MODELS {
            aliases.add_model(maker, alias, model);
        }
        aliases
    }
}

impl Aliases {
    /// One more name of a maker.
    pub fn add_maker(&mut self, alias: &str, maker: &str) {
        let (alias, maker) = (plain_maker(alias), plain_maker(maker));
        if !alias.is_empty() && !maker.is_empty() && alias != maker {
            self.makers.insert(alias, maker);
        }
    }

    /// One more name of a maker's model, as the site writes it and as advisories do.
    pub fn add_model(&mut self, maker: &str, alias: &str, model: &str) {
        let key = (self.present(plain_maker(maker)), words(alias).join(" "));
        self.models.entry(key).or_default().push(model.to_string());
    }

    /// Under which names a maker is found: the whole, what stands in brackets, and each of several.
    #[must_use]
    pub fn makers(&self, text: &str) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let outside = outside_brackets(text);
        let parts = outside.split([',', '/', '&', ';']).flat_map(|part| part.split(" and "));
        for text in parts.chain([outside.as_str()]).chain(brackets(text)) {
            let plain = plain_maker(text);
            if plain.len() >= 2 {
                keys.insert(self.present(plain));
            }
        }
        keys
    }

    /// A model's name without the maker's.
    #[must_use]
    pub fn model(&self, text: &str, makers: &BTreeSet<String>) -> Model {
        let mut name = words(text);
        // The maker's present and older names in front say nothing about the model.
        let others = self.makers.iter().filter(|(_, maker)| makers.contains(*maker)).map(|(alias, _)| alias);
        let mut fronts: Vec<Vec<String>> = makers.iter().chain(others).map(|maker| words(maker)).collect();
        fronts.sort_by_key(|front| core::cmp::Reverse(front.len()));
        let front = fronts.iter().find(|front| name.starts_with(front) && name.len() > front.len());
        let length = front.map_or(0, Vec::len);
        name.drain(..length);
        Model::new(name, text)
    }

    /// All names under which advisories may have what a site calls so.
    #[must_use]
    pub fn aliases_of(&self, makers: &BTreeSet<String>, text: &str) -> Vec<Model> {
        let name = words(text).join(" ");
        let found = makers.iter().filter_map(|maker| self.models.get(&(maker.clone(), name.clone())));
        found.flatten().map(|other| self.model(other, makers)).collect()
    }

    fn present(&self, plain: String) -> String {
        self.makers.get(&plain).cloned().unwrap_or(plain)
    }
}

impl Model {
    fn new(words: Vec<String>, text: &str) -> Self {
        let words = joined(words);
        let mut core: BTreeSet<String> =
            words.iter().filter(|word| !GENERIC.contains(&word.as_str())).cloned().collect();
        if core.is_empty() {
            core = words.iter().cloned().collect();
        }
        let (also, ranges) = shortened(text);
        Self { words, core, also, ranges }
    }

    /// How like the name of an asset, `self`, is to that of a product in an advisory.
    #[must_use]
    pub fn likeness(&self, product: &Self) -> Option<Likeness> {
        if self.core.is_empty() || product.core.is_empty() {
            return None;
        }
        // `MX 40`, `MX-40` and `MX40` are written for the same.
        if self.words == product.words || self.words.concat() == product.words.concat() {
            return Some(Likeness::Same);
        }
        if self.core == product.core {
            return Some(Likeness::Core);
        }
        let shared = || self.core.iter().filter(|word| product.has(word));
        let has_code = shared().any(|word| is_code(word));
        let within = shared().count() == self.core.len() || product.core.is_subset(&self.core);
        match (within, has_code) {
            (true, true) => Some(Likeness::Code),
            (true, false) | (false, true) => Some(Likeness::Partly),
            (false, false) => None,
        }
    }

    fn has(&self, word: &str) -> bool {
        self.core.contains(word)
            || self.also.contains(word)
            || self.ranges.iter().any(|range| {
                let number = word.strip_prefix(range.letters.as_str()).and_then(|rest| rest.parse().ok());
                number.is_some_and(|number| (range.low..=range.high).contains(&number))
            })
    }
}

/// The names of a product in an advisory: the whole, without what stands in brackets, and a short name in brackets.
#[must_use]
pub fn names_of(text: &str) -> Vec<String> {
    let mut names = alloc::vec![text.to_string()];
    let outside = outside_brackets(text);
    if outside.trim() != text.trim() && !outside.trim().is_empty() {
        names.push(outside);
    }
    let capitals = |text: &str| text.bytes().filter(u8::is_ascii_uppercase).count() >= 2;
    let short = |text: &&str| (3..=12).contains(&text.len()) && !text.contains(' ') && capitals(text);
    names.extend(brackets(text).filter(short).map(ToString::to_string));
    names
}

/// The words of a name in small letters. A sign between letters and a number joins them: `MMT-503` is `mmt503`.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut pending): (Vec<String>, String, bool) = (Vec::new(), String::new(), false);
    for sign in text.chars().take(512).flat_map(folded) {
        if sign.is_alphanumeric() {
            let joins = word.chars().all(|letter| letter.is_ascii_alphabetic()) && sign.is_ascii_digit();
            if pending && !joins {
                words.extend(Some(core::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            word.push(sign);
            pending = false;
        } else if sign == '-' && !word.is_empty() && !pending {
            pending = true;
        } else {
            words.extend(Some(core::mem::take(&mut word)).filter(|word| !word.is_empty()));
            pending = false;
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// A model's letters and its number as one word: `MX 40` is `MX40`. Only letters that can stand for a model: at most three.
fn joined(words: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        let is_number = word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_digit());
        let letters = out.last_mut().filter(|last| {
            last.len() <= 3
                && last.bytes().all(|byte| byte.is_ascii_alphabetic())
                && !GENERIC.contains(&last.as_str())
        });
        match letters {
            Some(letters) if is_number => letters.push_str(&word),
            Some(_) | None => out.push(word),
        }
    }
    out
}

/// Small letters, without the marks that keyboards of other countries lack.
fn folded(sign: char) -> impl Iterator<Item = char> {
    let plain = match sign {
        'ä' | 'Ä' | 'á' | 'à' | 'å' | 'Å' => 'a',
        'ö' | 'Ö' | 'ó' | 'ø' | 'Ø' => 'o',
        'ü' | 'Ü' | 'ú' => 'u',
        'é' | 'É' | 'è' | 'ê' => 'e',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    };
    plain.to_lowercase()
}

fn plain_maker(text: &str) -> String {
    let all = words(text);
    let without = |list: &[&str], words: &[String]| -> Vec<String> {
        let kept: Vec<String> = words.iter().filter(|word| !list.contains(&word.as_str())).cloned().collect();
        if kept.is_empty() { words.to_vec() } else { kept }
    };
    without(&TRADE, &without(&LEGAL, &all)).join(" ")
}

/// Whether a word is a model code: letters and digits of at least three signs, or a number of at least three digits.
fn is_code(word: &str) -> bool {
    word.len() >= 3 && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// Model codes that a name shortens, with a stroke or from one to another.
fn shortened(text: &str) -> (BTreeSet<String>, Vec<CodeRange>) {
    let (mut also, mut ranges): (BTreeSet<String>, Vec<CodeRange>) = (BTreeSet::new(), Vec::new());
    for chunk in
        text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '/' || sign == '-')).take(64)
    {
        let chunk = chunk.to_ascii_lowercase();
        let mut letters = "";
        for part in chunk.split('/') {
            if let Some((low, high)) =
                part.split_once('-').and_then(|(low, high)| Some((code(low)?, code(high)?)))
            {
                let same = high.0.is_empty() || high.0 == low.0;
                if !low.0.is_empty() && same && low.1 < high.1 {
                    ranges.push(CodeRange { letters: low.0.into(), low: low.1, high: high.1 });
                }
            }
            let digits = part.find(|sign: char| sign.is_ascii_digit());
            match digits {
                Some(0) if !letters.is_empty() => {
                    also.insert(alloc::format!("{letters}{part}"));
                }
                Some(at) if at > 0 => letters = part.get(..at).unwrap_or_default().trim_end_matches('-'),
                Some(_) | None => {}
            }
        }
    }
    (also, ranges)
}

/// Letters, then a number that fits.
fn code(text: &str) -> Option<(&str, u32)> {
    let at = text.find(|sign: char| sign.is_ascii_digit())?;
    let (letters, number) = text.split_at_checked(at)?;
    let plain = letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    Some((letters, number.parse().ok()?)).filter(|_| plain)
}

fn brackets(text: &str) -> impl Iterator<Item = &str> {
    text.split('(').skip(1).filter_map(|rest| rest.split_once(')')).map(|(inside, _)| inside.trim())
}

fn outside_brackets(text: &str) -> String {
    let (mut depth, mut outside) = (0_usize, String::new());
    for sign in text.chars() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            sign if depth == 0 => outside.push(sign),
            _ => {}
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same_maker(a: &str, b: &str) -> bool {
        let aliases = Aliases::default();
        !aliases.makers(a).is_disjoint(&aliases.makers(b))
    }

    #[test]
    fn makers_are_found_under_every_name() {
        // Goal: the spellings of the advisories and of asset lists. Method: pairs that are one, pairs that are not.
        for (a, b) in [
            ("Phillips", "PHILIPS Medical Systems"),
            ("GE Healthcare", "General Electric (GE)"),
            ("Silex Technology and GE Healthcare", "GE HEALTHCARE INC."),
            ("Becton, Dickinson and Company (BD)", "BD"),
            ("Becton Dickinson", "CareFusion Corp"),
            ("B. Braun Medical", "B.Braun Melsungen AG"),
            ("Hillrom", "Welch Allyn, Inc."),
            ("Smiths Medical", "ICU Medical"),
            ("Dräger", "Draegerwerk AG"),
            ("BMC Medical, 3B Medical", "3B Medical"),
            ("Natus Medical, Inc. (Natus)", "natus"),
            ("St. Jude Medical", "Abbott Laboratories"),
        ] {
            assert!(same_maker(a, b), "{a} and {b}");
        }
        for (a, b) in [
            ("Philips", "Siemens"),
            ("Hamilton Medical AG", "Hillrom"),
            ("BPL Medical Technologies", "BD"),
            ("", "BD"),
        ] {
            assert!(!same_maker(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn models_are_the_same_like_or_not() {
        // Goal: how sure it is, and never more. Method: names of asset lists and of advisories, golden.
        let aliases = Aliases::default();
        let likeness = |maker: &str, asset: &str, product: &str| {
            let makers = aliases.makers(maker);
            let product = aliases.model(product, &makers);
            aliases.model(asset, &makers).likeness(&product).map(Likeness::word)
        };
        for (maker, asset, product, wanted) in [
            (
                "Philips",
                "PageWriter TC20",
                "PageWriter TC10 TC20 TC30 TC50 TC70 Cardiographs",
                Some("model-code"),
            ),
            (
                "Philips",
                "IntelliVue MX40",
                "IntelliVue MX40 Patient Worn Monitor (WLAN only)",
                Some("model-code"),
            ),
            ("Philips", "IntelliVue MX 40", "IntelliVue MX40 (WLAN only)", Some("model-code")),
            ("Philips", "MX450", "IntelliVue Patient Monitors MX (MX400-550)", Some("model-code")),
            ("Philips", "IntelliVue MP50", "IntelliVue patient monitor MP2-MP90", Some("model-code")),
            ("Philips", "MX950", "IntelliVue Patient Monitors MX (MX400-550)", None),
            (
                "Philips",
                "Avalon FM30",
                "Avalon Fetal/Maternal Monitors FM20/FM30/FM40/FM50",
                Some("model-code"),
            ),
            ("Philips", "IntelliVue MX600", "IntelliVue MP monitors MX800/700/600", Some("model-code")),
            ("Philips", "IntelliVue", "IntelliVue X2", Some("name-in-part")),
            ("Philips", "IntelliVue X3", "IntelliVue X2", None),
            ("Maker", "PUMP-500", "Pump 500", Some("name")),
            ("Medtronic", "MMT503 remote controller", "MMT-503 Remote Controller", Some("name")),
            ("Baxter", "Sigma Spectrum", "Baxter Spectrum", Some("name")),
            ("Baxter", "Spectrum IQ", "Baxter Spectrum", Some("name-in-part")),
            (
                "Smiths Medical",
                "MEDFUSION 4000",
                "Medfusion 4000 Wireless Syringe Infusion Pump",
                Some("model-code"),
            ),
            ("Hamilton Medical", "Hamilton-T1", "T1 Ventilator", Some("name-in-part")),
            ("St. Jude Medical", "Promote Quadra", "Promote", Some("name-in-part")),
            ("Baxter", "PrisMax System", "PrisMax", Some("name-but-for-generic-words")),
            ("BD", "Pyxis", "Alaris TIVA", None),
        ] {
            assert_eq!(likeness(maker, asset, product), wanted, "{asset} and {product}");
        }
        assert_eq!(names_of("Patient Information Center iX (PICiX)").len(), 3);
        let bd = aliases.makers("CareFusion");
        assert_eq!(aliases.aliases_of(&bd, "alaris  pcu").len(), 2);
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            // Goal: any list of assets is read. Method: any names; a name is itself.
            let aliases = Aliases::default();
            let makers = aliases.makers(&a);
            let (one, other) = (aliases.model(&a, &makers), aliases.model(&b, &makers));
            let _ = one.likeness(&other);
            prop_assert!(one.core.is_empty() || one.likeness(&one) == Some(Likeness::Same));
        }
    }
}
