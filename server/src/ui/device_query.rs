//! The state of the device list, which is its address: filters, order and page.
//!
//! It is read from the query, written into every link, and decides with [`DeviceQuery::fits`] what a count counts, so
//! that a count and its list cannot differ. Read next: [`super::devices`].

use std::cmp::Ordering;

use cordon_proto::time::Timestamp;
use cordon_server_core::risk::Band;

use super::devices::DeviceRow;
use super::marks::band_class;
use super::paths;
use super::said::Said;
use super::state::DeviceState;

/// The state of the list: every filter, the order and the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceQuery {
    /// Words in name, kind, model, place or tag.
    pub text: Option<String>,
    /// A band.
    pub band: Option<Band>,
    /// A state, by [`DeviceState::slug`].
    pub state: Option<String>,
    /// A site.
    pub site: Option<String>,
    /// A ward.
    pub ward: Option<String>,
    /// A kind.
    pub kind: Option<String>,
    /// A model.
    pub model: Option<String>,
    /// A tag.
    pub tag: Option<String>,
    /// Whose the next step is, by `Owner::word`; `nobody` where there is none.
    pub owner: Option<String>,
    /// The order.
    pub sort: Sort,
    /// The page, from 1; 0 counts as 1.
    pub page: usize,
}

/// Orders of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The highest risk first, then what is due first.
    #[default]
    Risk,
    /// What is due first, then the highest risk.
    Due,
    /// By name.
    Name,
    /// By place, then name.
    Place,
    /// The state that matters most first, then the highest risk.
    State,
}

/// All orders with their value and their words.
pub const SORTS: [(Sort, &str, &str); 5] = [
    (Sort::Risk, "risk", "Risk, then due"),
    (Sort::Due, "due", "Due, then risk"),
    (Sort::Name, "name", "Name"),
    (Sort::Place, "place", "Place, then name"),
    (Sort::State, "state", "State, then risk"),
];

impl DeviceQuery {
    /// The list of one band.
    #[must_use]
    pub fn of_band(band: Band) -> Self {
        Self { band: Some(band), ..Self::default() }
    }

    /// The list of one state.
    #[must_use]
    pub fn of_state(state: DeviceState) -> Self {
        Self { state: Some(state.slug().into()), ..Self::default() }
    }

    /// Reads the pairs of an address; unknown names and values are ignored, an empty value is no filter.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = Self::default();
        for (name, value) in pairs {
            let text = (!value.trim().is_empty()).then(|| value.trim().to_owned());
            match name {
                "q" => query.text = text,
                "band" => query.band = BANDS.into_iter().find(|band| band_class(*band) == value),
                "state" => query.state = text,
                "site" => query.site = text,
                "ward" => query.ward = text,
                "kind" => query.kind = text,
                "model" => query.model = text,
                "tag" => query.tag = text,
                "owner" => query.owner = text,
                "sort" => {
                    query.sort =
                        SORTS.iter().find(|(_, v, _)| *v == value).map_or(Sort::Risk, |found| found.0)
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
        if let Some((_, value, _)) = SORTS.iter().find(|(sort, ..)| *sort == self.sort && *sort != Sort::Risk)
        {
            pairs.push(("sort", value));
        }
        if self.page > 1 {
            pairs.push(("page", &page));
        }
        paths::with_query(paths::DEVICES, &pairs)
    }

    /// The filters that are set, by the names of the form.
    #[must_use]
    pub fn filters(&self) -> Vec<(&'static str, &str)> {
        let band = self.band.map(band_class);
        [
            ("q", self.text.as_deref()),
            ("band", band),
            ("state", self.state.as_deref()),
            ("site", self.site.as_deref()),
            ("ward", self.ward.as_deref()),
            ("kind", self.kind.as_deref()),
            ("model", self.model.as_deref()),
            ("tag", self.tag.as_deref()),
            ("owner", self.owner.as_deref()),
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

    /// This state without one filter, back on the first page.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let kept = self.filters().into_iter().filter(|(filter, _)| *filter != name);
        let mut query = Self::from_pairs(kept);
        query.sort = self.sort;
        query
    }

    /// Whether the list in this state contains the device.
    #[must_use]
    pub fn fits(&self, row: &DeviceRow) -> bool {
        let is =
            |filter: &Option<String>, said: &Said| filter.as_ref().is_none_or(|value| value == said.raw());
        self.band.is_none_or(|band| band == row.risk.band)
            && self.state.as_ref().is_none_or(|state| state == row.state.slug())
            && is(&self.site, &row.site)
            && is(&self.ward, &row.ward)
            && is(&self.kind, &row.kind)
            && is(&self.model, &row.model)
            && self.tag.as_ref().is_none_or(|tag| row.tags.iter().any(|said| said.raw() == tag))
            && self.owner.as_ref().is_none_or(|owner| owner == row.owner_word())
            && self.text.as_ref().is_none_or(|text| text.split_whitespace().all(|word| holds(row, word)))
    }

    /// Sorts rows into this order.
    pub fn arrange(&self, rows: &mut [DeviceRow]) {
        rows.sort_by(|a, b| self.compare(a, b));
    }

    /// Which of two rows stands first; equal ones by name.
    #[must_use]
    pub fn compare(&self, a: &DeviceRow, b: &DeviceRow) -> Ordering {
        let due = |row: &DeviceRow| {
            row.step.as_ref().and_then(|step| step.due).map_or((1, Timestamp::default()), |at| (0, at))
        };
        let risk = || b.risk.hundredths.cmp(&a.risk.hundredths);
        match self.sort {
            Sort::Risk => risk().then_with(|| due(a).cmp(&due(b))),
            Sort::Due => due(a).cmp(&due(b)).then_with(risk),
            Sort::Name => a.name.cmp(&b.name),
            Sort::Place => a.place.cmp(&b.place),
            Sort::State => a.state.rank().cmp(&b.state.rank()).then_with(risk),
        }
        .then_with(|| a.name.cmp(&b.name))
        .then_with(|| a.id.cmp(&b.id))
    }
}

/// All bands, gravest first.
pub(super) const BANDS: [Band; 4] = [Band::Critical, Band::High, Band::Medium, Band::Low];

/// Whether any text of the row holds the word, in any case.
fn holds(row: &DeviceRow, word: &str) -> bool {
    let word = word.to_lowercase();
    let texts = [&row.name, &row.kind, &row.model, &row.place, &row.ward, &row.site];
    texts.into_iter().chain(&row.tags).any(|said| said.raw().to_lowercase().contains(&word))
}

/// What a filter is called.
pub(super) fn field(name: &str) -> &'static str {
    match name {
        "q" => "Text",
        "band" => "Risk",
        "state" => "State",
        "site" => "Site",
        "ward" => "Ward",
        "kind" => "Kind",
        "model" => "Model",
        "owner" => "Whose",
        _ => "Tag",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_server_core::risk::Value;
    use proptest::prelude::*;

    fn row() -> DeviceRow {
        DeviceRow {
            id: "d1".into(),
            name: "VP3-004417".into(),
            kind: "Infusion pump".into(),
            model: "VP-3".into(),
            site: "St. Brigid".into(),
            ward: "4B".into(),
            place: "4B Cardiology, bed 12".into(),
            tags: vec!["act-this-week".into()],
            risk: Value { hundredths: 7973, band: Band::Critical },
            step: None,
            state: DeviceState::Standby,
        }
    }

    #[test]
    fn a_query_filters_by_each_field_and_by_every_word() {
        // Goal: a count and its list agree. Method: fitting and unfitting values of each field.
        for (address, fits) in [
            ("q=cardiology+pump", true),
            ("q=cardiology+ventilator", false),
            ("band=critical", true),
            ("band=low", false),
            ("state=standby", true),
            ("ward=4B", true),
            ("ward=4", false),
            ("tag=act-this-week", true),
            ("tag=other", false),
            ("owner=nobody", true),
            ("owner=it", false),
            ("band=nonsense", true),
        ] {
            let (name, value) = address.split_once('=').unwrap();
            let value = value.replace('+', " ");
            assert_eq!(DeviceQuery::from_pairs([(name, value.as_str())]).fits(&row()), fits, "{address}");
        }
    }

    #[test]
    fn an_address_keeps_the_filters_and_drops_defaults() {
        // Goal: every state is one address. Method: golden addresses.
        let query = DeviceQuery::from_pairs([
            ("q", " a b "),
            ("band", "high"),
            ("sort", "due"),
            ("page", "3"),
            ("x", "y"),
        ]);
        assert_eq!(query.address(), "/devices?q=a%20b&band=high&sort=due&page=3");
        assert_eq!(query.without("q").address(), "/devices?band=high&sort=due");
        assert_eq!(DeviceQuery::default().address(), "/devices");
    }

    #[test]
    fn rows_come_in_the_order_asked_for() {
        // Goal: orders are total. Method: two rows that differ in everything.
        let mut rows = [
            row(),
            DeviceRow { name: "A".into(), risk: Value::default(), state: DeviceState::Quarantined, ..row() },
        ];
        for (sort, first) in
            [(Sort::Risk, "VP3-004417"), (Sort::Name, "A"), (Sort::State, "A"), (Sort::Place, "A")]
        {
            DeviceQuery { sort, ..DeviceQuery::default() }.arrange(&mut rows);
            assert_eq!(rows[0].name.raw(), first, "{sort:?}");
        }
    }

    proptest! {
        #[test]
        fn any_address_is_read_and_written_to_the_same_state(
            pairs in proptest::collection::vec(("(q|band|state|site|ward|kind|model|tag|owner|sort|page|other)", any::<String>()), 0..8)
        ) {
            let query = DeviceQuery::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let filters = query.filters();
            let again = DeviceQuery::from_pairs(filters.iter().copied());
            prop_assert_eq!(again.filters(), filters);
            prop_assert!(query.address().starts_with("/devices"));
            let _ = query.fits(&row());
        }
    }
}
