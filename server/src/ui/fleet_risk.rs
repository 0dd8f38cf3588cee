//! The risk of the fleet: where it stands, what to do there, what loses support, and what we cannot see.
//!
//! Points are the sum of the scores of the devices, so that a part of the fleet can be compared with the whole; every count
//! leads to the list that it counts. Read next: `server/ui/risk.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::chart;
use super::devices::Step;
use super::marks::Markup;
use super::said::Said;
use super::words::{Clock, number, plural};
use super::{Frame, badge, paths};

/// By what the board is cut: the value, its word.
pub const CUTS: [(&str, &str); 5] =
    [("ward", "Ward"), ("model", "Model"), ("site", "Site"), ("kind", "Kind"), ("owner", "Whose move")];

/// The page.
#[derive(Clone, Debug, Default)]
pub struct FleetRisk {
    /// By what the board is cut, one of [`CUTS`].
    pub cut: &'static str,
    /// Risk points of the fleet in hundredths.
    pub hundredths: u64,
    /// Devices.
    pub devices: u64,
    /// Mean score in whole points; none without devices.
    pub index: Option<u16>,
    /// Devices at critical risk.
    pub critical: u64,
    /// Steps that are due within seven days, or late.
    pub due: u64,
    /// Rows of the board, the most points first.
    pub rows: Vec<BoardRow>,
    /// Devices whose release or system loses support within twelve months, or has lost it.
    pub support: Vec<SupportRow>,
    /// What we cannot see: a sentence, how many, and the list of them.
    pub unseen: Vec<Unseen>,
    /// How fast vulnerabilities are closed; empty: none was ever found here.
    pub measures: Vec<Measure>,
    /// Files that the register and the measures can be saved as: label and address.
    pub exports: Vec<(&'static str, String)>,
}

/// A measure of how fast vulnerabilities are closed.
#[derive(Clone, Debug)]
pub struct Measure {
    /// The figure.
    pub figure: String,
    /// What it means.
    pub means: Said,
}

/// One part of the fleet.
#[derive(Clone, Debug)]
pub struct BoardRow {
    /// Its name.
    pub name: Said,
    /// Its devices.
    pub href: String,
    /// Devices by risk: critical, high, medium, low.
    pub bands: [u64; 4],
    /// Its critical devices.
    pub critical_href: String,
    /// Risk points in hundredths.
    pub hundredths: u64,
    /// The next step that lowers it most, and on how many devices.
    pub step: Option<(Step, u64)>,
}

/// Devices that lose support.
#[derive(Clone, Debug)]
pub struct SupportRow {
    /// The model and its release, or the operating system.
    pub what: Said,
    /// The stage that ends: "support", "security updates".
    pub stage: Said,
    /// When.
    pub at: Timestamp,
    /// Devices.
    pub devices: u64,
    /// Their list.
    pub href: String,
    /// What takes its place, if that is known.
    pub next: Said,
}

/// Something that cannot be seen.
#[derive(Clone, Debug)]
pub struct Unseen {
    /// How many.
    pub count: u64,
    /// What: "devices without a list of software".
    pub what: Said,
    /// What that means, and what to do.
    pub means: Said,
    /// The list; none: there is no such list.
    pub href: Option<String>,
}

#[derive(Template)]
#[template(path = "risk.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a FleetRisk,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &FleetRisk) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn answer(&self) -> String {
        if self.page.devices == 0 {
            return "No device is here yet".into();
        }
        let critical = match self.page.critical {
            0 => "no device is at critical risk".to_owned(),
            count => plural(count, "device is at critical risk", "devices are at critical risk"),
        };
        let due = match self.page.due {
            0 => "nothing is due this week".to_owned(),
            count => plural(count, "step is due this week or late", "steps are due this week or late"),
        };
        let mut words = format!("{critical}, {due}");
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        words
    }

    fn of(&self) -> String {
        let points = plural(self.page.hundredths / 100, "risk point", "risk points");
        match self.page.index {
            Some(index) => {
                format!("{points} on {}, {index} on average", plural(self.page.devices, "device", "devices"))
            }
            None => points,
        }
    }

    fn cuts(&self) -> Vec<(&'static str, String, bool)> {
        let cut = |(value, label): (&'static str, &'static str)| {
            (label, paths::with_query(paths::RISK, &[("by", value)]), value == self.page.cut)
        };
        CUTS.into_iter().map(cut).collect()
    }

    fn cut_word(&self) -> &'static str {
        CUTS.iter().find(|(value, _)| *value == self.page.cut).map_or("Ward", |(_, label)| label)
    }

    fn total(&self, row: &BoardRow) -> String {
        number(row.bands.iter().sum())
    }

    fn points(&self, row: &BoardRow) -> String {
        number(row.hundredths / 100)
    }

    fn stack(&self, row: &BoardRow) -> Markup {
        chart::stack(row.bands)
    }

    /// "19 critical".
    fn critical(&self, row: &BoardRow) -> Option<String> {
        let [critical, ..] = row.bands;
        (critical > 0).then(|| format!("{} critical", number(critical)))
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

    fn devices_words(&self, count: &u64) -> String {
        plural(*count, "device", "devices")
    }

    fn ends(&self, row: &SupportRow) -> Markup {
        ends(&self.frame.clock, row.at)
    }
}

/// "3 Mar 2027", or since when it is over.
fn ends(clock: &Clock, at: Timestamp) -> Markup {
    if at > clock.now {
        return clock.day(&at);
    }
    Markup::new(format!("<span class=\"is-high\">over since {}</span>", clock.day_words(at)))
}
