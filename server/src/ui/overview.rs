//! The overview: what needs a person, then figures, then charts.
//!
//! Every count carries the address of exactly what it counts. Read next: [`super::chart`], `server/ui/overview.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::{Band, Owner, Value};

use super::chart::{NoChart, Trend};
use super::devices::DeviceQuery;
use super::marks::{Markup, Shape, band_class, shape};
use super::said::Said;
use super::words::{change, number, plural};
use super::{Frame, badge, chart, live, paths};

/// The page.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What needs a person, the gravest first.
    pub needs: Vec<Need>,
    /// Rollouts under way.
    pub going: Vec<Going>,
    /// What the reader's last visit did not know.
    pub visit: Option<Visit>,
    /// The newest change of anything.
    pub last_change: Option<Timestamp>,
    /// Devices that reported within the last hour.
    pub reported: u64,
    /// Three to six figures.
    pub figures: Vec<Figure>,
    /// The time range of the charts, one of [`RANGES`].
    pub range: Range,
    /// Devices at high or critical risk over that time.
    pub trend: Result<Trend, NoChart>,
    /// All devices by risk: critical, high, medium, low.
    pub bands: [BandCount; 4],
    /// Mean score of the fleet, in whole points, and the highest score; none without devices.
    pub index: Option<(u16, Value)>,
    /// Findings by detector, the most open first.
    pub detectors: Vec<Detector>,
    /// The last days that the strips show.
    pub strip_days: u32,
    /// Wards by risk, the gravest first; at most eight.
    pub wards: Vec<Ward>,
    /// How many wards there are.
    pub wards_total: u64,
}

/// Something that needs a person.
#[derive(Clone, Debug)]
pub struct Need {
    /// How grave.
    pub band: Band,
    /// What happened, in a few words.
    pub what: Said,
    /// The rest of the sentence.
    pub more: Said,
    /// Whose it is.
    pub owner: Owner,
    /// Since when, or until when.
    pub when: When,
    /// The one button: its label and address.
    pub act: (String, String),
}

/// A rollout under way: one press from its stop.
#[derive(Clone, Debug)]
pub struct Going {
    /// Its identity in addresses.
    pub id: String,
    /// What people call it.
    pub title: Said,
    /// Where it stands: "wave 2 runs, 12 of 20 confirmed".
    pub words: Said,
    /// Since when.
    pub since: Timestamp,
}

/// When something is due, or since when it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It waits since then.
    Since(Timestamp),
    /// It is due then.
    Due(Timestamp),
}

/// The reader's last visit.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// When it was.
    pub at: Timestamp,
    /// Findings opened since.
    pub new: u64,
    /// Findings closed since.
    pub closed: u64,
}

/// A figure of the number strip.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What is counted.
    pub label: String,
    /// The value with its unit.
    pub value: String,
    /// The key under which it changes in place; empty if it does not.
    pub live: &'static str,
    /// Its recent values, for the sparkline.
    pub spark: Vec<u32>,
    /// One line of comparison, in words.
    pub compare: String,
    /// The list it counts.
    pub href: String,
}

impl Figure {
    /// A figure without history.
    #[must_use]
    pub fn new(label: &str, value: u64, compare: &str, href: &str) -> Self {
        Self {
            label: label.into(),
            value: number(value),
            live: "",
            spark: Vec::new(),
            compare: compare.into(),
            href: href.into(),
        }
    }

    fn drawn(&self) -> Markup {
        chart::spark(&self.spark)
    }
}

/// The time range of the charts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    #[default]
    Month,
    /// 90 days.
    Quarter,
}

/// All ranges, shortest first.
pub const RANGES: [Range; 4] = [Range::Day, Range::Week, Range::Month, Range::Quarter];

impl Range {
    /// The range of `?range=…`.
    #[must_use]
    pub fn from_value(value: &str) -> Self {
        RANGES.into_iter().find(|range| range.value() == value).unwrap_or_default()
    }

    /// Its value in the address.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    /// Its label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Day => "24 h",
            Self::Week => "7 d",
            Self::Month => "30 d",
            Self::Quarter => "90 d",
        }
    }

    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        match self {
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 30 * 86_400,
            Self::Quarter => 90 * 86_400,
        }
    }
}

/// Devices of one band and how that changed within seven days.
#[derive(Clone, Copy, Debug, Default)]
pub struct BandCount {
    /// Devices now.
    pub count: u64,
    /// The change; none where nothing was counted seven days ago.
    pub change: Option<i64>,
}

/// Findings of one detector.
#[derive(Clone, Debug)]
pub struct Detector {
    /// The detector, as the address names it.
    pub slug: String,
    /// What people call it.
    pub name: Said,
    /// Findings opened on each day, oldest first.
    pub days: Vec<u32>,
    /// Findings open now.
    pub open: u64,
}

/// One ward.
#[derive(Clone, Debug)]
pub struct Ward {
    /// Its site.
    pub site: Said,
    /// Its name.
    pub name: Said,
    /// Its devices by risk: critical, high, medium, low.
    pub counts: [u64; 4],
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Overview,
}

/// The overview as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Overview) -> String {
    super::page(&Page { frame, page })
}

/// One row of "All devices by risk".
struct BandRow {
    mark: Markup,
    bar: Markup,
    count: String,
    change: Option<String>,
    href: String,
    live: &'static str,
}

impl Page<'_> {
    fn head(&self) -> String {
        match self.page.needs.len() {
            0 => "Nothing needs you".into(),
            1 => "One thing needs a person".into(),
            many => format!("{many} things need a person"),
        }
    }

    fn mark(&self, band: &Band) -> Markup {
        badge::severity(*band)
    }

    fn owner(&self, owner: &Owner) -> &'static str {
        badge::owner_short(*owner)
    }

    fn when(&self, when: &When) -> Markup {
        match *when {
            When::Since(at) => self.frame.clock.ago(&at),
            When::Due(at) => {
                let words = match self.frame.clock.days_ahead(at) {
                    ..0 => format!("was due {}", self.frame.clock.day_words(at)),
                    0 => "due today".into(),
                    1 => "due tomorrow".into(),
                    days => format!("due in {days} d"),
                };
                Markup::new(format!("<time datetime=\"{at}\" title=\"{at}\">{words}</time>"))
            }
        }
    }

    fn going_mark(&self) -> Markup {
        shape(Shape::HalfRing)
    }

    fn going_href(&self, going: &Going) -> String {
        paths::rollout(&going.id)
    }

    fn stop_href(&self, going: &Going) -> String {
        paths::rollout_act(&going.id, "stop")
    }

    fn ranges(&self) -> Vec<(Range, String, bool)> {
        let address = |range: Range| paths::with_query(paths::OVERVIEW, &[("range", range.value())]);
        RANGES.into_iter().map(|range| (range, address(range), range == self.page.range)).collect()
    }

    fn band_rows(&self) -> Vec<BandRow> {
        let most = self.page.bands.iter().map(|band| band.count).max().unwrap_or(0);
        let keys = [live::key::CRITICAL, live::key::HIGH, live::key::MEDIUM, live::key::LOW];
        let bands = [Band::Critical, Band::High, Band::Medium, Band::Low];
        let rows = bands.into_iter().zip(self.page.bands).zip(keys);
        rows.map(|((band, counted), live)| BandRow {
            mark: badge::severity(band),
            bar: chart::band_bar(band, counted.count, most),
            count: number(counted.count),
            change: counted.change.map(change),
            href: DeviceQuery::of_band(band).address(),
            live,
        })
        .collect()
    }

    fn reported(&self) -> String {
        number(self.page.reported)
    }

    fn total(&self) -> String {
        number(self.page.bands.iter().map(|band| band.count).sum())
    }

    fn heat(&self, detector: &Detector) -> Markup {
        let most = self.page.detectors.iter().flat_map(|d| &d.days).copied().max().unwrap_or(0);
        chart::heat(&detector.days, most)
    }

    fn detector_href(&self, detector: &Detector) -> String {
        paths::findings(&[("state", "open"), ("detector", &detector.slug)])
    }

    fn ward_href(&self, ward: &Ward, band: Option<Band>) -> String {
        let query = DeviceQuery {
            site: Some(ward.site.raw().into()),
            ward: Some(ward.name.raw().into()),
            band,
            ..DeviceQuery::default()
        };
        query.address()
    }

    fn critical(&self) -> Option<Band> {
        Some(Band::Critical)
    }

    fn stack(&self, ward: &Ward) -> Markup {
        chart::stack(ward.counts)
    }

    fn ward_total(&self, ward: &Ward) -> String {
        number(ward.counts.iter().sum())
    }

    fn ward_critical(&self, ward: &Ward) -> Option<String> {
        let [critical, ..] = ward.counts;
        (critical > 0).then(|| format!("{} critical", number(critical)))
    }

    fn wards_shown(&self) -> String {
        let shown = u64::try_from(self.page.wards.len()).unwrap_or(0);
        if shown == self.page.wards_total {
            plural(shown, "ward", "wards")
        } else {
            format!("{shown} of {} wards", number(self.page.wards_total))
        }
    }

    fn quiet(&self) -> Markup {
        shape(Shape::Tick)
    }

    fn highest_class(&self, value: &Value) -> &'static str {
        band_class(value.band)
    }
}
