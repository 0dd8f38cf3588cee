//! The versions that an advisory speaks of.
//!
//! `vers:` ranges (package-url/vers-spec), the comparators and the words of ICS advisories are understood; everything else is
//! kept as *not understood*, and whoever asks gets unknown. "Not among them" is said only beyond the bound of a range that was
//! understood: versions named one by one say nothing about the others. Read next: [`super::device_version`].

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

use cordon_proto::limits;

use super::device_version::{self, Standing};
use crate::matching::version::{self, Scheme};

#[cfg(test)]
mod tests;

/// Which versions of a product are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// No version is named: the product as such.
    Unsaid,
    /// Every one.
    All,
    /// One by one: the others are not spoken of.
    Listed(Vec<String>),
    /// Those in any of these ranges.
    Ranges {
        /// By whose order.
        order: Order,
        /// From where to where; any may hold.
        spans: Vec<Span>,
    },
    /// A text that has no meaning here.
    NotUnderstood,
}

/// By whose order versions stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// That of devices' own software, which nobody defined: [`device_version`].
    Device,
    /// That of a packaging world.
    Scheme(Scheme),
}

/// From one version to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins; at every version's beginning if missing.
    pub low: Option<Bound>,
    /// Where it ends; never if missing.
    pub high: Option<Bound>,
}

/// An end of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The version there.
    pub version: String,
    /// Whether it belongs to the span.
    pub inclusive: bool,
}

/// How an installed version stands to [`Versions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among<'a> {
    /// Among them. With the version where the range ends and which is not in it, if one is named: the repair.
    In(Option<&'a str>),
    /// Behind the end of a range: the bound.
    Above(&'a str),
    /// Before its beginning: the bound.
    Below(&'a str),
    /// It cannot be said.
    Unknown(Why),
}

/// Why it cannot be said whether a version is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The text of the advisory has no meaning here.
    NotUnderstood,
    /// The version of the device is not known.
    NoVersion,
    /// The two texts have no order, or one only says more of the same.
    NoOrder,
    /// Other versions are named one by one, this one is not.
    NotListed,
}

impl Why {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotUnderstood => "range-not-understood",
            Self::NoVersion => "no-version",
            Self::NoOrder => "no-order",
            Self::NotListed => "version-not-listed",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotUnderstood => {
                "read the advisory: its range of versions cannot be understood by a program"
            }
            Self::NoVersion => "look up the version of the device",
            Self::NoOrder => "ask the maker: the installed version cannot be placed in the range",
            Self::NotListed => "ask the maker: the advisory names other versions one by one",
        }
    }
}

impl Versions {
    /// Reads a `product_version_range` of CSAF, or the same in words.
    #[must_use]
    pub fn range(text: &str) -> Self {
        let text = text.trim();
        if text.len() > limits::VERSION_CHARS * 4 {
            return Self::NotUnderstood;
        }
        if let Some(vers) = text.strip_prefix("vers:") {
            return vers.split_once('/').map_or(Self::NotUnderstood, |(scheme, rest)| by_vers(scheme, rest));
        }
        let lower = without_notes(text).to_ascii_lowercase();
        let lower = lower.trim();
        if matches!(lower, "*" | "all" | "all versions" | "any" | "any version" | "all firmware versions") {
            return Self::All;
        }
        comparators(without_notes(text)).or_else(|| words(lower)).unwrap_or_else(|| Self::listed(text))
    }

    /// Reads a `product_version` of CSAF: one version, or several with a bar between.
    #[must_use]
    pub fn one(text: &str) -> Self {
        let plain = without_notes(text);
        let told = ["<", ">", "vers:"].iter().any(|sign| text.contains(sign));
        let told = told || words(&plain.to_ascii_lowercase()).is_some();
        if told || matches!(plain.to_ascii_lowercase().as_str(), "*" | "all" | "all versions") {
            Self::range(text)
        } else {
            Self::listed(text)
        }
    }

    /// Exactly this one version, whatever its text is.
    #[must_use]
    pub fn named(version: &str) -> Self {
        if version.len() > limits::VERSION_CHARS {
            return Self::NotUnderstood;
        }
        Self::Listed(alloc::vec![version.to_owned()])
    }

    fn listed(text: &str) -> Self {
        let parts: Vec<String> = without_notes(text).split('|').map(|part| part.trim().to_owned()).collect();
        let fits = |part: &String| device_version::is_version(part) && part.split(' ').count() <= 2;
        let all = parts.iter().all(fits) && parts.len() <= limits::STATED_VERSIONS;
        if all { Self::Listed(parts) } else { Self::NotUnderstood }
    }

    /// Whether an installed version is among them.
    #[must_use]
    pub fn among(&self, installed: Option<&str>) -> Among<'_> {
        let installed = installed.map(str::trim).filter(|text| !text.is_empty());
        match (self, installed) {
            (Self::Unsaid | Self::All, _) => Among::In(None),
            (Self::NotUnderstood, _) => Among::Unknown(Why::NotUnderstood),
            (Self::Listed(_) | Self::Ranges { .. }, None) => Among::Unknown(Why::NoVersion),
            (Self::Listed(versions), Some(installed)) => {
                let same = |version: &String| {
                    matches!(
                        device_version::compare(installed, version),
                        Some(Standing::At | Standing::Within)
                    ) || version.eq_ignore_ascii_case(installed)
                };
                if versions.iter().any(same) { Among::In(None) } else { Among::Unknown(Why::NotListed) }
            }
            (Self::Ranges { order, spans }, Some(installed)) => among(*order, spans, installed),
        }
    }

    /// Whether a version is named at all: such a statement is more specific than one about the product.
    #[must_use]
    pub fn is_said(&self) -> bool {
        !matches!(self, Self::Unsaid | Self::All)
    }
}

/// In any of them, else unknown if one is, else outside of all; behind the last counts more than before the first.
fn among<'a>(order: Order, spans: &'a [Span], installed: &str) -> Among<'a> {
    let mut found = Among::Unknown(Why::NotUnderstood);
    let rank = |among: &Among<'_>| match among {
        Among::In(_) => 3,
        Among::Unknown(_) => 2,
        Among::Above(_) => 1,
        Among::Below(_) => 0,
    };
    for (at, span) in spans.iter().enumerate() {
        let next = span.place(order, installed);
        if at == 0 || rank(&next) > rank(&found) {
            found = next;
        }
    }
    found
}

impl Span {
    fn place(&self, order: Order, installed: &str) -> Among<'_> {
        let unknown = Among::Unknown(Why::NoOrder);
        if let Some(low) = &self.low {
            match standing(order, installed, &low.version) {
                None | Some(Standing::Below { coarse: true }) => return unknown,
                Some(Standing::Below { coarse: false }) => return Among::Below(&low.version),
                Some(Standing::At) if !low.inclusive => return Among::Below(&low.version),
                Some(Standing::Within) if !low.inclusive => return unknown,
                Some(Standing::At | Standing::Within | Standing::Above { .. }) => {}
            }
        }
        let Some(high) = &self.high else { return Among::In(None) };
        let repair = (!high.inclusive).then_some(high.version.as_str());
        match standing(order, installed, &high.version) {
            None => unknown,
            Some(Standing::Below { .. }) => Among::In(repair),
            Some(Standing::At) if !high.inclusive => Among::Above(&high.version),
            Some(Standing::Within) if !high.inclusive => unknown,
            Some(Standing::At | Standing::Within) => Among::In(repair),
            Some(Standing::Above { finer: true }) if high.inclusive => unknown,
            Some(Standing::Above { .. }) => Among::Above(&high.version),
        }
    }
}

fn standing(order: Order, a: &str, b: &str) -> Option<Standing> {
    let scheme = match order {
        Order::Device => return device_version::compare(a, b),
        Order::Scheme(scheme) => scheme,
    };
    let valid = version::is_valid(scheme, a) && version::is_valid(scheme, b);
    version::compare(scheme, a, b).filter(|_| valid).map(|order| match order {
        Ordering::Less => Standing::Below { coarse: false },
        Ordering::Equal => Standing::At,
        Ordering::Greater => Standing::Above { finer: false },
    })
}

/// Reads constraints of a `vers:` range: sorted by version, then joined in pairs. `!=` has no place in a span.
fn by_vers(scheme: &str, constraints: &str) -> Versions {
    if constraints.trim() == "*" {
        return Versions::All;
    }
    let order = match scheme {
        "generic" | "intdot" | "datetime" => Order::Device,
        "deb" => Order::Scheme(Scheme::Deb),
        "rpm" => Order::Scheme(Scheme::Rpm),
        "apk" | "alpine" => Order::Scheme(Scheme::Apk),
        "pypi" => Order::Scheme(Scheme::Pep440),
        "semver" | "npm" | "cargo" | "golang" | "hex" => Order::Scheme(Scheme::Semver),
        _ => return Versions::NotUnderstood,
    };
    spans(order, constraints).unwrap_or(Versions::NotUnderstood)
}

/// A bound with its sign, as it was written.
struct Constraint {
    /// It opens a span; else it closes one.
    opens: bool,
    bound: Bound,
}

fn spans(order: Order, constraints: &str) -> Option<Versions> {
    let (mut ends, mut listed): (Vec<Constraint>, Vec<String>) = (Vec::new(), Vec::new());
    for part in constraints.split('|').map(str::trim) {
        if ends.len() + listed.len() == limits::STATED_VERSIONS {
            return None;
        }
        let (opens, inclusive, version) = match part {
            part if part.starts_with(">=") => (true, true, part.get(2..)?),
            part if part.starts_with("<=") => (false, true, part.get(2..)?),
            part if part.starts_with('>') => (true, false, part.get(1..)?),
            part if part.starts_with('<') => (false, false, part.get(1..)?),
            part => {
                listed.push(decoded(part.trim_start_matches('='))?);
                continue;
            }
        };
        ends.push(Constraint { opens, bound: Bound { version: decoded(version)?, inclusive } });
    }
    if ends.is_empty() {
        return Some(Versions::Listed(listed));
    }
    let mut spans = paired(order, ends)?;
    spans.extend(listed.into_iter().map(|version| {
        let bound = Bound { version, inclusive: true };
        Span { low: Some(bound.clone()), high: Some(bound) }
    }));
    Some(Versions::Ranges { order, spans })
}

/// Sorts the ends and joins each that opens with the next, which must close.
fn paired(order: Order, mut ends: Vec<Constraint>) -> Option<Vec<Span>> {
    // An insertion sort: it may end at a pair without an order, and there are few.
    for end in 1..ends.len() {
        let mut at = end;
        while at > 0 {
            let (before, this) = (ends.get(at - 1)?, ends.get(at)?);
            match standing(order, &this.bound.version, &before.bound.version)? {
                Standing::Below { .. } => ends.swap(at, at - 1),
                Standing::At | Standing::Within | Standing::Above { .. } => break,
            }
            at -= 1;
        }
    }
    let (mut spans, mut open) = (Vec::new(), None);
    for (at, end) in ends.into_iter().enumerate() {
        match (end.opens, open.take()) {
            (true, None) => open = Some(end.bound),
            (false, Some(low)) => spans.push(Span { low: Some(low), high: Some(end.bound) }),
            (false, None) if at == 0 => spans.push(Span { low: None, high: Some(end.bound) }),
            (true, Some(_)) | (false, None) => return None,
        }
    }
    spans.extend(open.map(|low| Span { low: Some(low), high: None }));
    Some(spans)
}

/// A version of a `vers:` text, `%XX` resolved; `None` for one that can be none.
fn decoded(text: &str) -> Option<String> {
    let mut version = String::with_capacity(text.len());
    let mut rest = text.trim();
    while let Some((front, after)) = rest.split_once('%') {
        version.push_str(front);
        let (code, after) = after.split_at_checked(2)?;
        let byte = u8::from_str_radix(code, 16).ok().filter(u8::is_ascii_graphic)?;
        version.push(char::from(byte));
        rest = after;
    }
    version.push_str(rest);
    let fits = !version.is_empty() && version.len() <= limits::VERSION_CHARS;
    (fits && !version.contains(['!', '<', '>', '='])).then_some(version)
}

/// `<= 4.2`, `>= 1.1 | <= 1.3`, and `1.0 < 2.0`, which means from the one to the other.
fn comparators(text: &str) -> Option<Versions> {
    if !text.contains(['<', '>']) {
        return None;
    }
    let begins = text.starts_with(['<', '>', '=']);
    let text = match text.split_once('<').filter(|_| !begins) {
        // Whether the end belongs to it is written both ways: the worse reading.
        Some((low, high)) => alloc::format!(">={}|<={}", low.trim(), high.trim_start_matches('=').trim()),
        None => text.replace(", ", "|").replace(" and ", "|"),
    };
    let found = spans(Order::Device, &text).unwrap_or(Versions::NotUnderstood);
    let known = match &found {
        Versions::Ranges { spans, .. } => {
            let ends = spans.iter().flat_map(|span| [&span.low, &span.high]).flatten();
            ends.into_iter().all(|bound| is_bound(&bound.version))
        }
        Versions::Unsaid | Versions::All | Versions::Listed(_) | Versions::NotUnderstood => false,
    };
    Some(if known { found } else { Versions::NotUnderstood })
}

/// Whether a text can end a range: a version, and no date in words.
fn is_bound(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let dated = text
        .split(|sign: char| !sign.is_ascii_alphabetic())
        .any(|word| word.len() >= 3 && months.iter().any(|month| word.starts_with(month)));
    let mut parts = text.split(' ').filter(|part| !part.is_empty());
    let first = parts.next().is_some_and(device_version::is_version);
    let more = ["service", "pack", "sp", "build", "patch", "rev", "update", "hotfix"];
    let fits =
        |part: &str| more.contains(&part) || part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    device_version::is_version(&text) && first && parts.all(fits) && !dated
}

/// The ranges that people write in words, in small letters.
fn words(text: &str) -> Option<Versions> {
    let text = text.strip_prefix("all ").unwrap_or(text);
    let plain = strip_words(text);
    for (front, inclusive) in [
        ("prior to and including ", true),
        ("up to and including ", true),
        ("prior to ", false),
        ("earlier than ", false),
        ("before ", false),
        ("below ", false),
        ("older than ", false),
        ("up to ", true),
        ("through ", true),
    ] {
        if let Some(version) = plain.strip_prefix(front) {
            return Some(to(None, strip_words(version), inclusive));
        }
    }
    let before = |word: &str| {
        let front = plain.strip_suffix(word)?;
        front.strip_suffix(" and ").or_else(|| front.strip_suffix(" or "))
    };
    let earlier =
        ["earlier", "prior", "below", "older", "lower", "previous", "prior versions", "earlier versions"];
    if let Some(version) = earlier.into_iter().find_map(before) {
        return Some(to(None, version.trim_end_matches(','), true));
    }
    if let Some(version) = ["later", "newer", "above", "higher", "greater"].into_iter().find_map(before) {
        return Some(from(version));
    }
    let (low, high) = plain.split_once(" through ").or_else(|| plain.split_once(" to "))?;
    Some(to(Some(low), strip_words(high), true))
}

fn strip_words(text: &str) -> &str {
    let mut rest = text.trim();
    for word in ["software ", "firmware ", "versions ", "version "] {
        rest = rest.strip_prefix(word).unwrap_or(rest).trim_start();
    }
    rest
}

fn to(low: Option<&str>, high: &str, inclusive: bool) -> Versions {
    let (low, high) = (low.map(str::trim), high.trim());
    if !low.is_none_or(is_bound) || !is_bound(high) {
        return Versions::NotUnderstood;
    }
    let low = low.map(|version| Bound { version: version.to_string(), inclusive: true });
    let high = Some(Bound { version: high.to_string(), inclusive });
    Versions::Ranges { order: Order::Device, spans: alloc::vec![Span { low, high }] }
}

fn from(version: &str) -> Versions {
    let version = version.trim().trim_end_matches(',');
    if !is_bound(version) {
        return Versions::NotUnderstood;
    }
    let low = Some(Bound { version: version.to_string(), inclusive: true });
    Versions::Ranges { order: Order::Device, spans: alloc::vec![Span { low, high: None }] }
}

/// The text without what stands in brackets behind it: a condition or a note, which the evidence shows.
fn without_notes(text: &str) -> &str {
    let text = text.trim();
    let (mut depth, mut cut) = (0_usize, text.len());
    for (at, sign) in text.char_indices() {
        match sign {
            '(' => {
                if depth == 0 {
                    cut = at;
                }
                depth += 1;
            }
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && !sign.is_whitespace() => cut = text.len(),
            _ => {}
        }
    }
    text.get(..cut).unwrap_or(text).trim_end()
}
