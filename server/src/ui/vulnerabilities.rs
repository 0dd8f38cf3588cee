//! The list of vulnerabilities: which weakness is in which devices, what to do first, whose move it is.
//!
//! A row is a weakness that hits or may hit a device here, or one that a feed names and a search asked for. What cannot be
//! judged is a column of its own and is never counted as safe; a search that finds nothing says what was searched and how
//! old that is. The state of the list is [`VulnerabilityQuery`], which is the address. Read next: [`query`],
//! [`super::vulnerability`] for one of them, `server/ui/vulnerabilities.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::Band;

use super::devices::{Choice, Step};
use super::marks::{Markup, Shape, band_word, glyph, shape};
use super::said::Said;
use super::words::{Clock, chance, number, plural};
use super::{Frame, badge, paths};
use query::{SORTS, field};
pub use query::{Shown, Sort, VulnerabilityQuery};

pub mod query;

/// Rows of one page of the list.
pub const PAGE_ROWS: usize = 50;

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Vulnerabilities {
    /// The state of the list.
    pub query: VulnerabilityQuery,
    /// Weaknesses that hit or may hit a device.
    pub total: u64,
    /// Rows that fit the filters.
    pub matching: u64,
    /// What the strip counts, of the whole list.
    pub counts: Counts,
    /// The rows of this page, in order.
    pub rows: Vec<VulnerabilityRow>,
    /// Values that the filter menu offers.
    pub choices: Vec<Choice>,
    /// Where nothing fits: how many would fit without each filter.
    pub without: Vec<(&'static str, u64)>,
    /// What all this stands on.
    pub ground: Ground,
}

/// Counts over the whole list; a weakness may stand in several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// By severity: critical, high, medium, low.
    pub severities: [u64; 4],
    /// Listed as exploited.
    pub exploited: u64,
    /// Of some device nobody can say whether it is hit.
    pub unknown: u64,
    /// Without a fix from their maker.
    pub waiting: u64,
    /// Due within seven days, or late.
    pub due: u64,
}

/// One weakness as lists show it, and what it can be filtered by.
#[derive(Clone, Debug, Default)]
pub struct VulnerabilityRow {
    /// Its name in addresses.
    pub id: String,
    /// Its name: a CVE, or that of an advisory that has none.
    pub name: Said,
    /// Its other names.
    pub aliases: Vec<Said>,
    /// The source packages or products that it is in, as far as they are here.
    pub packages: Vec<Said>,
    /// The models of devices that it hits or may hit.
    pub models: Vec<Said>,
    /// CVSS times ten; none: not scored.
    pub cvss_tenths: Option<u8>,
    /// Whether it is exploited.
    pub exploited: Exploited,
    /// Chance of exploitation within 30 days; none: no score.
    pub epss_millionths: Option<u32>,
    /// Devices that have it.
    pub affected: u64,
    /// Devices of which nobody can say.
    pub unknown: u64,
    /// Of both, those in clinical use now.
    pub in_use: u64,
    /// Wards in which those stand.
    pub wards: u64,
    /// What to do next about it.
    pub step: Option<Step>,
    /// Whether a repair is to be had.
    pub fix: Fix,
    /// Devices for which a person has accepted it. It changes no count.
    pub accepted: u64,
}

/// Whether a weakness is exploited in the wild.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exploited {
    /// No catalogue of what is exploited is here.
    #[default]
    Unknown,
    /// The catalogue does not list it.
    NotListed,
    /// The catalogue lists it.
    Listed,
    /// The catalogue lists it as used by ransomware.
    Ransomware,
}

/// Whether a repair is to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fix {
    /// Nobody says so.
    #[default]
    None,
    /// Its publisher names a version that repairs it; no signed release here has it.
    Version,
    /// A signed release here removes it.
    Release,
}

/// What the answers stand on, and what they cannot see.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    /// Whether advisories are being read just now: until then nothing is known.
    pub preparing: bool,
    /// Feeds of advisories that are in force.
    pub feeds: u64,
    /// Of all feeds, those that are too old.
    pub stale: u64,
    /// The day of the oldest feed of advisories.
    pub oldest: Option<Timestamp>,
    /// The day of the newest.
    pub newest: Option<Timestamp>,
    /// Devices of which no list of software and no known model is here: nothing can be said about them.
    pub unseen: u64,
    /// Components for which no advisories are published in a form that can be matched.
    pub unmatchable: u64,
}

#[derive(Template)]
#[template(path = "vulnerabilities.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Vulnerabilities,
}

/// The list as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Vulnerabilities) -> String {
    super::page(&Page { frame, page })
}

/// One count of the strip.
struct Count {
    mark: Markup,
    word: &'static str,
    count: String,
    href: String,
    current: bool,
    aside: bool,
}

/// A closed filter: its name, its label, its values with their words and whether each is chosen.
type Menu = (&'static str, &'static str, Vec<(&'static str, &'static str, bool)>);

/// One filter as a chip.
struct Chip {
    field: &'static str,
    value: Said,
    remove: String,
}

/// The band whose glyph and colour stand for a CVSS score, by FIRST's own scale.
#[must_use]
pub fn cvss_band(tenths: u8) -> Band {
    match tenths {
        0..40 => Band::Low,
        40..70 => Band::Medium,
        70..90 => Band::High,
        90.. => Band::Critical,
    }
}

impl Exploited {
    /// Its words in a column.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotListed => "not listed",
            Self::Listed => "Exploited",
            Self::Ransomware => "Ransomware",
        }
    }

    /// Whether the catalogue lists it.
    #[must_use]
    pub fn is_listed(self) -> bool {
        self >= Self::Listed
    }
}

impl Ground {
    /// "Matched against 3 feeds of advisories, the oldest 12 d old."
    pub(super) fn words(&self, clock: &Clock) -> String {
        if self.preparing {
            return "Advisories are being read; until that is done every answer is unknown.".into();
        }
        if self.feeds == 0 {
            return "No feed of advisories is here, so nothing can be said about any device.".into();
        }
        let feeds = plural(self.feeds, "feed of advisories", "feeds of advisories");
        let age = |at: Option<Timestamp>| at.map(|at| age_words(clock, at));
        match (age(self.newest), age(self.oldest)) {
            (Some(newest), Some(oldest)) if newest != oldest => {
                format!("Matched against {feeds}, the newest {newest}, the oldest {oldest}.")
            }
            (Some(age), _) | (None, Some(age)) => format!("Matched against {feeds}, {age}."),
            (None, None) => format!("Matched against {feeds} of an unknown day."),
        }
    }

    /// Whether something can be said at all.
    pub(super) fn knows(&self) -> bool {
        self.feeds > 0 && !self.preparing
    }

    /// What cannot be seen, in a sentence; empty: all can.
    pub(super) fn blind(&self) -> String {
        let mut parts = Vec::new();
        if self.unseen > 0 {
            parts.push(plural(self.unseen, "device gives", "devices give") + " nothing to match by");
        }
        if self.unmatchable > 0 {
            let components = plural(self.unmatchable, "component is", "components are");
            parts.push(components + " of a kind for which no advisories are here");
        }
        if parts.is_empty() { String::new() } else { format!("Not seen: {}.", parts.join("; ")) }
    }
}

/// "2 d old"; "of 3 Mar" from 90 days on.
pub(super) fn age_words(clock: &Clock, at: Timestamp) -> String {
    let days = clock.now.seconds_since(at) / 86_400;
    if days < 90 { format!("{} old", clock.age_words(at)) } else { format!("of {}", clock.day_words(at)) }
}

impl VulnerabilityRow {
    /// Glyph, score and word of its severity.
    pub(super) fn severity(&self) -> Markup {
        self.cvss_tenths
            .map_or_else(|| Markup::new("<span class=\"is-quiet\">not scored</span>".into()), badge::cvss)
    }

    /// Whether it is exploited, and its chance to be.
    pub(super) fn threat(&self) -> Markup {
        let (class, word) =
            (if self.exploited.is_listed() { "is-critical" } else { "is-quiet" }, self.exploited.word());
        Markup::new(format!("<span class=\"{class}\">{word}</span>"))
    }

    /// "EPSS 0.06 %", or that there is none.
    pub(super) fn epss(&self) -> String {
        self.epss_millionths
            .map_or_else(|| "no EPSS".into(), |millionths| format!("EPSS {}", chance(millionths)))
    }

    /// "tomcat9, libtomcat9-java and 3 more".
    pub(super) fn packages_words(&self) -> String {
        named(&self.packages, 2)
    }
}

/// The first of some names, and how many follow.
pub(super) fn named(names: &[Said], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(ToString::to_string).collect();
    match names.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Page<'_> {
    fn of(&self) -> String {
        if self.page.query.is_filtered() {
            format!("{} of {}", number(self.page.matching), number(self.page.total))
        } else {
            number(self.page.total)
        }
    }

    /// The first line: what is due, or that nothing is, as far as is known.
    fn answer(&self) -> String {
        let (counts, ground) = (self.page.counts, &self.page.ground);
        match (counts.due, self.page.total) {
            _ if ground.preparing => "Advisories are being read".into(),
            _ if ground.feeds == 0 => "Nothing is known: no advisories were imported".into(),
            (0, 0) => "No known vulnerability was matched to a device".into(),
            (0, _) if counts.exploited > 0 => {
                let exploited =
                    plural(counts.exploited, "is exploited in the wild", "are exploited in the wild");
                format!("None is due this week, {exploited}")
            }
            (0, _) => "None is due this week".into(),
            (due, _) => plural(due, "is due this week or late", "are due this week or late"),
        }
    }

    fn counts(&self) -> Vec<Count> {
        let (query, counts) = (&self.page.query, self.page.counts);
        let all = VulnerabilityQuery { sort: query.sort, ..VulnerabilityQuery::default() };
        let count = |mark, word, count, wanted: VulnerabilityQuery, aside| Count {
            mark,
            word,
            count: number(count),
            current: query.has_same_filters(&wanted),
            href: wanted.address(),
            aside,
        };
        let mut strip = vec![count(Markup::default(), "All", self.page.total, all.clone(), false)];
        for (band, severities) in query::BANDS.into_iter().zip(counts.severities) {
            let wanted = VulnerabilityQuery { severity: Some(band), ..all.clone() };
            strip.push(count(glyph(band), band_word(band), severities, wanted, false));
        }
        let (due, exploited) = (query::Due::Week, query::Threat::Exploited);
        let wanted = VulnerabilityQuery { due: Some(due), ..all.clone() };
        strip.push(count(shape(Shape::HalfRing), "Due", counts.due, wanted, true));
        let wanted = VulnerabilityQuery { threat: Some(exploited), ..all.clone() };
        strip.push(count(shape(Shape::Cross), "Exploited", counts.exploited, wanted, true));
        let wanted = VulnerabilityQuery { fix: Some(Fix::None), ..all.clone() };
        strip.push(count(shape(Shape::ThinRing), "No fix", counts.waiting, wanted, true));
        let wanted = VulnerabilityQuery { shown: Shown::Unknown, ..all };
        strip.push(count(shape(Shape::DashedRing), "Unknown", counts.unknown, wanted, true));
        strip
    }

    fn chips(&self) -> Vec<Chip> {
        let query = &self.page.query;
        let shown = query.filters().into_iter().filter(|(name, _)| *name != "q");
        let chip = |(name, value): (&'static str, &str)| Chip {
            field: field(name),
            value: query::value_words(name, value).into(),
            remove: query.without(name).address(),
        };
        shown.map(chip).collect()
    }

    /// Filters other than the text, for the form's hidden fields.
    fn kept(&self) -> Vec<(&'static str, Said)> {
        let kept = self.page.query.filters().into_iter().filter(|(name, _)| *name != "q");
        kept.map(|(name, value)| (name, value.into())).collect()
    }

    fn text(&self) -> &str {
        self.page.query.text.as_deref().unwrap_or_default()
    }

    fn said_text(&self) -> Said {
        self.text().into()
    }

    fn filter_count(&self) -> usize {
        self.page.query.filters().len()
    }

    /// The closed filters of the menu: name, label, values with their words, and which is chosen.
    fn menus(&self) -> Vec<Menu> {
        let filters = self.page.query.filters();
        let menu = |(name, label, values): &(&'static str, &'static str, &[(&'static str, &'static str)])| {
            let is_set = |value: &str| filters.iter().any(|(set, chosen)| set == name && *chosen == value);
            (*name, *label, values.iter().map(|(value, words)| (*value, *words, is_set(value))).collect())
        };
        query::MENUS.iter().map(menu).collect()
    }

    fn is_chosen(&self, choice: &Choice, value: &Said) -> bool {
        self.page.query.filters().into_iter().any(|(name, set)| name == choice.name && set == value.raw())
    }

    fn sort_words(&self) -> &'static str {
        SORTS.iter().find(|(sort, ..)| *sort == self.page.query.sort).map_or("", |found| found.2)
    }

    fn sort_value(&self) -> &'static str {
        SORTS.iter().find(|(sort, ..)| *sort == self.page.query.sort).map_or("", |found| found.1)
    }

    fn sorts(&self) -> Vec<(&'static str, String, bool)> {
        let address = |sort| VulnerabilityQuery { sort, page: 0, ..self.page.query.clone() }.address();
        SORTS.iter().map(|(sort, _, words)| (*words, address(*sort), *sort == self.page.query.sort)).collect()
    }

    fn is_sorted(&self, value: &str) -> bool {
        self.sort_value() == value
    }

    fn href(&self, row: &VulnerabilityRow) -> String {
        paths::vulnerability(&row.id)
    }

    /// The devices of one row with one answer.
    fn devices_href(&self, row: &VulnerabilityRow, answer: &str) -> String {
        format!("{}#devices", paths::with_query(&paths::vulnerability(&row.id), &[("answer", answer)]))
    }

    fn in_use_href(&self, row: &VulnerabilityRow) -> String {
        format!(
            "{}#devices",
            paths::with_query(&paths::vulnerability(&row.id), &[("answer", "open"), ("state", "in-use")])
        )
    }

    fn owner(&self, step: &Step) -> &'static str {
        badge::owner_short(step.owner)
    }

    fn due(&self, step: &Step) -> Markup {
        badge::due(step, &self.frame.clock)
    }

    fn number(&self, count: &u64) -> String {
        number(*count)
    }

    /// "1 to 50 of 318", and the pages before and after.
    fn pages(&self) -> (String, Option<String>, Option<String>) {
        let page = self.page.query.page.max(1);
        let rows = u64::try_from(PAGE_ROWS).unwrap_or(50);
        let before = u64::try_from(page - 1).unwrap_or(0) * rows;
        let shown = u64::try_from(self.page.rows.len()).unwrap_or(0);
        let words =
            format!("{} to {} of {}", number(before + 1), number(before + shown), number(self.page.matching));
        let go = |page| VulnerabilityQuery { page, ..self.page.query.clone() }.address();
        let on = (before + shown < self.page.matching).then(|| go(page + 1));
        (words, (page > 1).then(|| go(page - 1)), on)
    }

    /// "46 match without Fix": what clearing one filter would show.
    fn hints(&self) -> Vec<(String, &'static str, String)> {
        let helpful = self.page.without.iter().filter(|(_, count)| *count > 0);
        let hint = |(name, count): &(&'static str, u64)| {
            let words = if *count == 1 { "1 matches".into() } else { format!("{} match", number(*count)) };
            (words, field(name), self.page.query.without(name).address())
        };
        helpful.map(hint).collect()
    }

    fn no_match(&self) -> String {
        let count = u64::try_from(self.filter_count()).unwrap_or(0);
        format!("No vulnerability matches {}", plural(count, "filter", "filters"))
    }

    /// Whether the only filter is a text: then the answer is about the feeds, not about the filter.
    fn is_plain_search(&self) -> bool {
        self.page.query.text.is_some() && self.filter_count() == 1
    }

    fn ground(&self) -> String {
        self.page.ground.words(&self.frame.clock)
    }

    /// How far back the feeds reach, for somebody who found nothing.
    fn newest_words(&self) -> String {
        match self.page.ground.newest {
            Some(at) => format!("The newest feed is {}", age_words(&self.frame.clock, at)),
            None => "No feed says of when it is".into(),
        }
    }

    /// The list as the API gives it, with this filter.
    fn export(&self, form: &str) -> String {
        let filters = self.page.query.filters();
        let pairs: Vec<(&str, &str)> = filters.into_iter().chain([("format", form)]).collect();
        paths::with_query(paths::VULNERABILITIES_EXPORT, &pairs)
    }

    /// The filter in a sentence, for print.
    fn sentence(&self) -> String {
        let parts: Vec<String> =
            self.chips().iter().map(|chip| format!("{} {}", chip.field, chip.value)).collect();
        let text = (!self.text().is_empty()).then(|| format!("text {}", self.said_text()));
        let parts: Vec<String> = text.into_iter().chain(parts).collect();
        let filter = if parts.is_empty() { "no filter".into() } else { parts.join(", ") };
        format!("{}, {filter}, sorted by {}", self.of(), self.sort_words().to_lowercase())
    }
}
