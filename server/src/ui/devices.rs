//! The list of devices: counts that are filters, a filter bar that is a form, a table that leads with what to do.
//!
//! The state of the list is [`DeviceQuery`], which is the address. Read next: [`super::device_query`],
//! `server/ui/devices.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::{Owner, Value};

use super::device_query::{BANDS, SORTS, field};
pub use super::device_query::{DeviceQuery, Sort};
use super::marks::{Markup, band_class, band_word, glyph, shape};
use super::said::Said;
use super::state::DeviceState;
use super::words::{number, plural};
use super::{Frame, badge, live, paths};

/// Rows of one page of the list.
pub const PAGE_ROWS: usize = 50;

/// One device as lists show it, and what it can be filtered by.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Its identity in addresses.
    pub id: String,
    /// Its name: the serial.
    pub name: Said,
    /// What it is for: "Infusion pump".
    pub kind: Said,
    /// Its model.
    pub model: Said,
    /// Its site.
    pub site: Said,
    /// Its ward; empty: not placed.
    pub ward: Said,
    /// Where it stands, for people: "4B Cardiology, bed 12".
    pub place: Said,
    /// Its tags.
    pub tags: Vec<Said>,
    /// Its risk.
    pub risk: Value,
    /// What to do next.
    pub step: Option<Step>,
    /// The state that matters most.
    pub state: DeviceState,
}

impl DeviceRow {
    /// Whose its next step is, as lists are filtered by it.
    #[must_use]
    pub fn owner_word(&self) -> &'static str {
        self.step.as_ref().map_or("nobody", |step| step.owner.word())
    }
}

/// The next step in columns.
#[derive(Clone, Debug)]
pub struct Step {
    /// "Install 4.2.2".
    pub short: Said,
    /// Whose it is.
    pub owner: Owner,
    /// By when.
    pub due: Option<Timestamp>,
    /// Since when it waits for the maker.
    pub waiting_since: Option<Timestamp>,
}

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// The state of the list.
    pub query: DeviceQuery,
    /// All devices of the site.
    pub total: u64,
    /// Devices that fit the filters.
    pub matching: u64,
    /// Devices by risk: critical, high, medium, low; of the whole site, not of the filter.
    pub bands: [u64; 4],
    /// Devices by the states worth a count, such as silent, quarantined and to approve; of the whole site.
    pub states: Vec<(DeviceState, String, u64)>,
    /// The rows of this page, in order.
    pub rows: Vec<DeviceRow>,
    /// Values that the filter menu offers: the form's name, its label, the values.
    pub choices: Vec<Choice>,
    /// Where nothing fits: how many would fit without each filter, by the form's name.
    pub without: Vec<(&'static str, u64)>,
    /// How the devices are known: by our agent, from traffic, from lists alone.
    pub sources: [u64; 3],
    /// Whether this person may import a list.
    pub may_import: bool,
}

/// Values that the filter menu offers for one field.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Name in the form: `site`, `ward`, `kind`, `model`, `state`, `tag` or `owner`.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// Values.
    pub values: Vec<Said>,
}

#[derive(Template)]
#[template(path = "devices.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Devices,
}

/// The list as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Devices) -> String {
    super::page(&Page { frame, page })
}

/// How to enrol a device: the manual of the empty list, as a page of its own.
#[must_use]
pub fn render_enrol(frame: &Frame) -> String {
    super::page(&EnrolPage { frame })
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct EnrolPage<'a> {
    frame: &'a Frame,
}

/// One count of the strip.
struct Count {
    mark: Markup,
    word: String,
    count: String,
    live: &'static str,
    href: String,
    current: bool,
    aside: bool,
}

/// One filter as a chip.
struct Chip {
    field: &'static str,
    value: Said,
    remove: String,
}

impl Page<'_> {
    fn of(&self) -> String {
        if self.page.query.is_filtered() {
            format!("{} of {}", number(self.page.matching), number(self.page.total))
        } else {
            number(self.page.total)
        }
    }

    fn counts(&self) -> Vec<Count> {
        let query = &self.page.query;
        let all = DeviceQuery { sort: query.sort, ..DeviceQuery::default() };
        let mut counts = vec![Count {
            mark: Markup::default(),
            word: "All".into(),
            count: number(self.page.total),
            live: live::key::DEVICES,
            href: all.address(),
            current: !query.is_filtered(),
            aside: false,
        }];
        let keys = [live::key::CRITICAL, live::key::HIGH, live::key::MEDIUM, live::key::LOW];
        for ((band, count), live) in BANDS.into_iter().zip(self.page.bands).zip(keys) {
            counts.push(Count {
                mark: glyph(band),
                word: band_word(band).into(),
                count: number(count),
                live,
                href: DeviceQuery { band: Some(band), ..all.clone() }.address(),
                current: query.band == Some(band),
                aside: false,
            });
        }
        for (state, word, count) in &self.page.states {
            counts.push(Count {
                mark: shape(state.shape()),
                word: word.clone(),
                count: number(*count),
                live: "",
                href: DeviceQuery { state: Some(state.slug().into()), ..all.clone() }.address(),
                current: query.state.as_deref() == Some(state.slug()),
                aside: true,
            });
        }
        counts
    }

    fn chips(&self) -> Vec<Chip> {
        let query = &self.page.query;
        let shown = query.filters().into_iter().filter(|(name, _)| *name != "q");
        shown
            .map(|(name, value)| Chip {
                field: field(name),
                value: value.into(),
                remove: query.without(name).address(),
            })
            .collect()
    }

    /// Filters other than the text, for the form's hidden fields.
    fn kept(&self) -> Vec<(&'static str, Said)> {
        let kept = self.page.query.filters().into_iter().filter(|(name, _)| *name != "q");
        kept.map(|(name, value)| (name, value.into())).collect()
    }

    fn band_value(&self) -> Option<&'static str> {
        self.page.query.band.map(band_class)
    }

    fn filter_count(&self) -> usize {
        self.page.query.filters().len()
    }

    fn text(&self) -> &str {
        self.page.query.text.as_deref().unwrap_or_default()
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
        let address = |sort| DeviceQuery { sort, page: 0, ..self.page.query.clone() }.address();
        SORTS.iter().map(|(sort, _, words)| (*words, address(*sort), *sort == self.page.query.sort)).collect()
    }

    fn is_sorted(&self, value: &str) -> bool {
        self.sort_value() == value
    }

    fn mark(&self, row: &DeviceRow) -> Markup {
        badge::risk(row.risk)
    }

    fn href(&self, row: &DeviceRow) -> String {
        paths::device(&row.id)
    }

    fn owner(&self, step: &Step) -> &'static str {
        badge::owner_short(step.owner)
    }

    fn due(&self, step: &Step) -> Markup {
        badge::due(step, &self.frame.clock)
    }

    /// "1 to 50 of 1,379", and the pages before and after.
    fn pages(&self) -> (String, Option<String>, Option<String>) {
        let page = self.page.query.page.max(1);
        let rows = u64::try_from(PAGE_ROWS).unwrap_or(50);
        let before = u64::try_from(page - 1).unwrap_or(0) * rows;
        let shown = u64::try_from(self.page.rows.len()).unwrap_or(0);
        let words =
            format!("{} to {} of {}", number(before + 1), number(before + shown), number(self.page.matching));
        let go = |page| DeviceQuery { page, ..self.page.query.clone() }.address();
        let back = (page > 1).then(|| go(page - 1));
        let on = (before + shown < self.page.matching).then(|| go(page + 1));
        (words, back, on)
    }

    /// "46 match without Ward": what clearing one filter would show.
    fn hints(&self) -> Vec<(String, &'static str, String)> {
        let helpful = self.page.without.iter().filter(|(_, count)| *count > 0);
        helpful
            .map(|(name, count)| {
                let words =
                    if *count == 1 { "1 matches".into() } else { format!("{} match", number(*count)) };
                (words, field(name), self.page.query.without(name).address())
            })
            .collect()
    }

    fn no_match(&self) -> String {
        let count = u64::try_from(self.filter_count()).unwrap_or(0);
        format!("No device matches {}", plural(count, "filter", "filters"))
    }

    /// "1,204 with our agent, 41 seen in traffic, 134 known from lists alone."; empty without devices.
    fn coverage(&self) -> String {
        let [agent, observed, imported] = self.page.sources;
        let parts: Vec<String> =
            [(agent, "with our agent"), (observed, "seen in traffic"), (imported, "known from lists alone")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, words)| format!("{} {words}", number(count)))
                .collect();
        if parts.is_empty() { String::new() } else { format!("{}.", parts.join(", ")) }
    }

    /// The filter in a sentence, for print.
    fn sentence(&self) -> String {
        let parts: Vec<String> = self
            .page
            .query
            .filters()
            .into_iter()
            .map(|(name, value)| format!("{} {}", field(name), Said::from(value)))
            .collect();
        let filter = if parts.is_empty() { "no filter".into() } else { parts.join(", ") };
        format!("{}, {filter}, sorted by {}", self.of(), self.sort_words().to_lowercase())
    }
}
