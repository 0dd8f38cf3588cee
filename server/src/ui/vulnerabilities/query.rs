//! The state of the list of vulnerabilities, which is its address: filters, order and page.
//!
//! It is read from the query, written into every link, and decides with [`VulnerabilityQuery::fits`] what a count counts, so
//! that a count and its list cannot differ. Read next: [`super::VulnerabilityRow`].

use core::cmp::Reverse;

use cordon_proto::time::Timestamp;
use cordon_server_core::risk::Band;

use super::super::marks::band_class;
use super::super::paths;
use super::super::said::Said;
use super::{Fix, VulnerabilityRow, cvss_band};

/// Seconds within which something is due this week.
const WEEK_S: i64 = 7 * 86_400;

/// The state of the list: every filter, the order and the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VulnerabilityQuery {
    /// Words in a name, an alias, a package or a model.
    pub text: Option<String>,
    /// A severity.
    pub severity: Option<Band>,
    /// Whether it is exploited.
    pub threat: Option<Threat>,
    /// Whether a repair is to be had.
    pub fix: Option<Fix>,
    /// By when something is due.
    pub due: Option<Due>,
    /// A model that it hits or may hit.
    pub model: Option<String>,
    /// Which answers.
    pub shown: Shown,
    /// The order.
    pub sort: Sort,
    /// The page, from 1; 0 counts as 1.
    pub page: usize,
}

/// Which answers a row must have somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// It hits or may hit a device. A search by text also shows what hits none.
    #[default]
    Open,
    /// It hits a device.
    Affected,
    /// Of a device nobody can say.
    Unknown,
    /// It hits none here, as far as is known.
    Clear,
}

/// Whether it is exploited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threat {
    /// A catalogue lists it.
    Exploited,
    /// A catalogue lists it as used by ransomware.
    Ransomware,
}

/// By when something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The day has passed.
    Late,
    /// Within seven days, or late.
    Week,
}

/// Orders of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// What to do first: what is due first, then what is exploited, then the most devices.
    #[default]
    First,
    /// The gravest first.
    Severity,
    /// The most devices first.
    Devices,
    /// The likeliest to be exploited first.
    Epss,
    /// By name.
    Name,
}

/// All orders with their value and their words.
pub const SORTS: [(Sort, &str, &str); 5] = [
    (Sort::First, "first", "What to do first"),
    (Sort::Severity, "severity", "Severity, then devices"),
    (Sort::Devices, "devices", "Devices, then severity"),
    (Sort::Epss, "epss", "EPSS, then devices"),
    (Sort::Name, "name", "Name"),
];

/// All severities, gravest first.
pub(super) const BANDS: [Band; 4] = [Band::Critical, Band::High, Band::Medium, Band::Low];

/// A filter of the menu: its name in the form, its label, its values with their words.
type Menu = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SEVERITIES: &[(&str, &str)] =
    &[("critical", "critical"), ("high", "high"), ("medium", "medium"), ("low", "low")];
const THREATS: &[(&str, &str)] = &[("exploited", "exploited"), ("ransomware", "used by ransomware")];
const FIXES: &[(&str, &str)] =
    &[("release", "a signed release"), ("version", "a repaired version"), ("none", "none yet")];
const DUES: &[(&str, &str)] = &[("late", "late"), ("week", "this week or late")];
const ANSWERS: &[(&str, &str)] =
    &[("affected", "hits a device"), ("unknown", "unknown of a device"), ("clear", "hits none")];

/// The filters of the menu.
pub(super) const MENUS: [Menu; 5] = [
    ("severity", "Severity", SEVERITIES),
    ("exploited", "Exploited", THREATS),
    ("fix", "Fix", FIXES),
    ("due", "Due", DUES),
    ("answer", "Answer", ANSWERS),
];

impl VulnerabilityQuery {
    /// Reads the pairs of an address; unknown names and values are ignored, an empty value is no filter.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = Self::default();
        for (name, value) in pairs {
            let text = (!value.trim().is_empty()).then(|| value.trim().to_owned());
            match name {
                "q" => query.text = text,
                "severity" => query.severity = BANDS.into_iter().find(|band| band_class(*band) == value),
                "exploited" => {
                    query.threat =
                        [Threat::Exploited, Threat::Ransomware].into_iter().find(|one| one.value() == value)
                }
                "fix" => {
                    query.fix = [Fix::Release, Fix::Version, Fix::None]
                        .into_iter()
                        .find(|one| fix_value(*one) == value)
                }
                "due" => query.due = [Due::Late, Due::Week].into_iter().find(|one| one.value() == value),
                "model" => query.model = text,
                "answer" => query.shown = Shown::from_value(value),
                "sort" => {
                    query.sort =
                        SORTS.iter().find(|(_, v, _)| *v == value).map_or(Sort::First, |found| found.0)
                }
                "page" => query.page = value.parse().unwrap_or(1),
                _ => {}
            }
        }
        query
    }

    /// The address of this state of the list. Defaults are left out, so equal states have equal addresses.
    #[must_use]
    pub fn address(&self) -> String {
        let page = self.page.to_string();
        let mut pairs: Vec<(&str, &str)> = self.filters();
        if let Some((_, value, _)) =
            SORTS.iter().find(|(sort, ..)| *sort == self.sort && *sort != Sort::First)
        {
            pairs.push(("sort", value));
        }
        if self.page > 1 {
            pairs.push(("page", &page));
        }
        paths::with_query(paths::VULNERABILITIES, &pairs)
    }

    /// The filters that are set, by the names of the form.
    #[must_use]
    pub fn filters(&self) -> Vec<(&'static str, &str)> {
        [
            ("q", self.text.as_deref()),
            ("severity", self.severity.map(band_class)),
            ("exploited", self.threat.map(Threat::value)),
            ("fix", self.fix.map(fix_value)),
            ("due", self.due.map(Due::value)),
            ("model", self.model.as_deref()),
            ("answer", self.shown.value()),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }

    /// Whether any filter is set.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !self.filters().is_empty()
    }

    /// Whether two states filter alike.
    #[must_use]
    pub fn has_same_filters(&self, other: &Self) -> bool {
        self.filters() == other.filters()
    }

    /// This state without one filter, back on the first page.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let kept = self.filters().into_iter().filter(|(filter, _)| *filter != name);
        let mut query = Self::from_pairs(kept);
        query.sort = self.sort;
        query
    }

    /// Whether the list in this state contains the row.
    #[must_use]
    pub fn fits(&self, row: &VulnerabilityRow, now: Timestamp) -> bool {
        let is_open = row.affected > 0 || row.unknown > 0;
        let answered = match self.shown {
            Shown::Open => is_open || self.text.is_some(),
            Shown::Affected => row.affected > 0,
            Shown::Unknown => row.unknown > 0,
            Shown::Clear => !is_open,
        };
        answered
            && self.severity.is_none_or(|band| row.cvss_tenths.map(cvss_band) == Some(band))
            && self.threat.is_none_or(|threat| threat.holds(row))
            && self.fix.is_none_or(|fix| fix == row.fix)
            && self.due.is_none_or(|due| due.holds(row, now))
            && self.model.as_ref().is_none_or(|model| row.models.iter().any(|said| said.raw() == model))
            && self.text.as_ref().is_none_or(|text| text.split_whitespace().all(|word| holds(row, word)))
    }

    /// Sorts rows into this order; equal rows by name.
    pub fn arrange(&self, rows: &mut [VulnerabilityRow]) {
        let severity = |row: &VulnerabilityRow| Reverse(row.cvss_tenths);
        let devices = |row: &VulnerabilityRow| Reverse((row.affected, row.unknown));
        let due = |row: &VulnerabilityRow| {
            let due = row.step.as_ref().and_then(|step| step.due);
            due.map_or((1, Timestamp::default()), |at| (0, at))
        };
        rows.sort_by(|a, b| {
            match self.sort {
                Sort::First => due(a)
                    .cmp(&due(b))
                    .then_with(|| Reverse(a.exploited).cmp(&Reverse(b.exploited)))
                    .then_with(|| severity(a).cmp(&severity(b)))
                    .then_with(|| devices(a).cmp(&devices(b))),
                Sort::Severity => severity(a).cmp(&severity(b)).then_with(|| devices(a).cmp(&devices(b))),
                Sort::Devices => devices(a).cmp(&devices(b)).then_with(|| severity(a).cmp(&severity(b))),
                Sort::Epss => Reverse(a.epss_millionths)
                    .cmp(&Reverse(b.epss_millionths))
                    .then_with(|| devices(a).cmp(&devices(b))),
                Sort::Name => core::cmp::Ordering::Equal,
            }
            .then_with(|| a.name.cmp(&b.name))
            .then_with(|| a.id.cmp(&b.id))
        });
    }
}

impl Shown {
    fn from_value(value: &str) -> Self {
        [Self::Affected, Self::Unknown, Self::Clear]
            .into_iter()
            .find(|one| one.value() == Some(value))
            .unwrap_or_default()
    }

    fn value(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Affected => Some("affected"),
            Self::Unknown => Some("unknown"),
            Self::Clear => Some("clear"),
        }
    }
}

impl Threat {
    fn value(self) -> &'static str {
        match self {
            Self::Exploited => "exploited",
            Self::Ransomware => "ransomware",
        }
    }

    fn holds(self, row: &VulnerabilityRow) -> bool {
        match self {
            Self::Exploited => row.exploited.is_listed(),
            Self::Ransomware => row.exploited == super::Exploited::Ransomware,
        }
    }
}

impl Due {
    fn value(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Week => "week",
        }
    }

    /// Whether the next step of a row is due by then.
    fn holds(self, row: &VulnerabilityRow, now: Timestamp) -> bool {
        let Some(due) = row.step.as_ref().and_then(|step| step.due) else { return false };
        match self {
            Self::Late => due < now,
            Self::Week => due <= now.plus_seconds(WEEK_S),
        }
    }
}

fn fix_value(fix: Fix) -> &'static str {
    match fix {
        Fix::None => "none",
        Fix::Version => "version",
        Fix::Release => "release",
    }
}

/// Whether any text of the row holds the word, in any case.
fn holds(row: &VulnerabilityRow, word: &str) -> bool {
    let word = word.to_lowercase();
    let texts = [&row.name].into_iter().chain(&row.aliases).chain(&row.packages).chain(&row.models);
    texts.into_iter().any(|said: &Said| said.raw().to_lowercase().contains(&word))
}

/// What a filter is called.
pub(super) fn field(name: &str) -> &'static str {
    match name {
        "q" => "Text",
        "model" => "Model",
        _ => MENUS.iter().find(|(known, ..)| *known == name).map_or("", |found| found.1),
    }
}

/// A filter's value in words.
pub(super) fn value_words(name: &str, value: &str) -> String {
    let menu = MENUS.iter().find(|(known, ..)| *known == name);
    let words = menu.and_then(|menu| menu.2.iter().find(|(known, _)| *known == value));
    words.map_or_else(|| value.to_owned(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Exploited;
    use super::*;
    use crate::ui::devices::Step;
    use cordon_server_core::risk::Owner;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_795_184_760);

    fn row() -> VulnerabilityRow {
        let step = Step {
            short: "Install 4.2.2".into(),
            owner: Owner::It,
            due: Some(NOW.plus_seconds(86_400)),
            waiting_since: None,
        };
        VulnerabilityRow {
            id: "CVE-2020-1938".into(),
            name: "CVE-2020-1938".into(),
            aliases: vec!["DSA-4673-1".into()],
            packages: vec!["tomcat9".into()],
            models: vec!["VP-3".into()],
            cvss_tenths: Some(98),
            exploited: Exploited::Listed,
            affected: 41,
            unknown: 6,
            fix: Fix::Release,
            step: Some(step),
            ..VulnerabilityRow::default()
        }
    }

    #[test]
    fn a_query_filters_by_each_field_and_by_every_word() {
        // Goal: a count and its list agree. Method: fitting and unfitting values of each field.
        for (pair, fits) in [
            ("q=cve-2020-1938", true),
            ("q=dsa-4673 tomcat9", true),
            ("q=vp-3", true),
            ("q=openssl", false),
            ("severity=critical", true),
            ("severity=high", false),
            ("exploited=exploited", true),
            ("exploited=ransomware", false),
            ("fix=release", true),
            ("fix=none", false),
            ("due=week", true),
            ("due=late", false),
            ("model=VP-3", true),
            ("model=VP", false),
            ("answer=unknown", true),
            ("answer=clear", false),
            ("severity=nonsense", true),
        ] {
            let (name, value) = pair.split_once('=').unwrap();
            assert_eq!(VulnerabilityQuery::from_pairs([(name, value)]).fits(&row(), NOW), fits, "{pair}");
        }
    }

    #[test]
    fn what_hits_nothing_here_is_listed_only_when_it_is_asked_for() {
        // Goal: the list is what concerns us, and a search still answers. Method: a weakness without a device.
        let clear = VulnerabilityRow { affected: 0, unknown: 0, ..row() };
        let asked =
            |pairs: &[(&'static str, &'static str)]| VulnerabilityQuery::from_pairs(pairs.iter().copied());
        assert!(!asked(&[]).fits(&clear, NOW));
        assert!(asked(&[("q", "1938")]).fits(&clear, NOW) && asked(&[("answer", "clear")]).fits(&clear, NOW));
        assert!(!asked(&[("q", "1938"), ("answer", "affected")]).fits(&clear, NOW));
        assert!(!asked(&[("severity", "low")]).fits(&VulnerabilityRow { cvss_tenths: None, ..row() }, NOW));
    }

    #[test]
    fn what_to_do_first_is_what_is_due_first_then_what_is_exploited() {
        // Goal: the order that a person works by. Method: four rows that differ in one thing each.
        let named = |id: &str, exploited, due: Option<i64>| {
            let step =
                row().step.map(|step| Step { due: due.map(|days| NOW.plus_seconds(days * 86_400)), ..step });
            VulnerabilityRow { id: id.into(), name: id.into(), exploited, step, ..row() }
        };
        let mut rows = [
            named("D", Exploited::NotListed, None),
            named("C", Exploited::Listed, None),
            named("B", Exploited::NotListed, Some(9)),
            named("A", Exploited::NotListed, Some(-2)),
        ];
        VulnerabilityQuery::default().arrange(&mut rows);
        assert_eq!(rows.each_ref().map(|row| row.id.as_str()), ["A", "B", "C", "D"]);
        VulnerabilityQuery { sort: Sort::Name, ..VulnerabilityQuery::default() }.arrange(&mut rows);
        assert_eq!(rows[0].id, "A");
    }

    #[test]
    fn an_address_keeps_the_filters_and_drops_defaults() {
        // Goal: every state is one address. Method: golden addresses.
        let query = VulnerabilityQuery::from_pairs([
            ("q", " a b "),
            ("exploited", "ransomware"),
            ("answer", "unknown"),
            ("sort", "epss"),
            ("page", "3"),
            ("x", "y"),
        ]);
        assert_eq!(
            query.address(),
            "/vulnerabilities?q=a%20b&exploited=ransomware&answer=unknown&sort=epss&page=3"
        );
        assert_eq!(
            query.without("q").address(),
            "/vulnerabilities?exploited=ransomware&answer=unknown&sort=epss"
        );
        assert_eq!(VulnerabilityQuery::default().address(), "/vulnerabilities");
    }

    proptest! {
        #[test]
        fn any_address_is_read_and_written_to_the_same_state(
            pairs in proptest::collection::vec(("(q|severity|exploited|fix|due|model|answer|sort|page|other)", any::<String>()), 0..8)
        ) {
            let query = VulnerabilityQuery::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let filters = query.filters();
            let again = VulnerabilityQuery::from_pairs(filters.iter().copied());
            prop_assert_eq!(again.filters(), filters);
            prop_assert!(query.address().starts_with("/vulnerabilities"));
            let _ = query.fits(&row(), NOW);
        }
    }
}
