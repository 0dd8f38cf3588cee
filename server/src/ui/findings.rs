//! Findings: a list grouped by severity and, beside it, one finding with what changed, why it matters, how sure we
//! are and what to do.
//!
//! Everything a detector on a device wrote is shown as data. Acts are pages of their own that ask for a reason. Read
//! next: [`super::act`], `server/ui/findings.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::Band;
use cordon_server_core::risk::facts::FindingSeverity;

use super::chart::{self, NoChart};
use super::device::Network;
use super::marks::{Markup, Shape, shape};
use super::said::Said;
use super::words::{number, plural};
use super::{Frame, badge, paths};

/// Rows of one page of the list.
pub const PAGE_ROWS: usize = 100;

/// The page: the list, and one finding where one is chosen.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Which list.
    pub tab: Tab,
    /// How many findings each list has: open, acknowledged, muted, allowed, closed.
    pub counts: [u64; 5],
    /// Open findings that are nobody's.
    pub unassigned: u64,
    /// Further filters: field, value, and the address without it.
    pub filters: Vec<(String, Said, String)>,
    /// Findings that fit the tab and the filters.
    pub matching: u64,
    /// Findings of many devices that have some in this list.
    pub groups: Vec<GroupRow>,
    /// The rows, gravest severity first, then newest; what a visit makes one expect is last.
    pub rows: Vec<FindingRow>,
    /// The page before and the page after.
    pub newer: Option<String>,
    /// The page after.
    pub older: Option<String>,
    /// The chosen finding.
    pub chosen: Option<Box<Finding>>,
}

/// The lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// Nobody has decided.
    #[default]
    Open,
    /// Somebody works on it.
    Acknowledged,
    /// Not now.
    Muted,
    /// What the device is meant to do.
    Allowed,
    /// Dealt with.
    Closed,
}

/// All lists.
pub const TABS: [Tab; 5] = [Tab::Open, Tab::Acknowledged, Tab::Muted, Tab::Allowed, Tab::Closed];

impl Tab {
    /// The list of `?state=…`.
    #[must_use]
    pub fn from_value(value: &str) -> Self {
        TABS.into_iter().find(|tab| tab.value() == value).unwrap_or_default()
    }

    /// Its value in the address.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Muted => "muted",
            Self::Allowed => "allowed",
            Self::Closed => "closed",
        }
    }

    /// What people read.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Acknowledged => "Acknowledged",
            Self::Muted => "Muted",
            Self::Allowed => "Allowed",
            Self::Closed => "Closed",
        }
    }
}

/// One finding in the list.
#[derive(Clone, Debug)]
pub struct FindingRow {
    /// Its identity.
    pub id: String,
    /// How grave.
    pub severity: FindingSeverity,
    /// What it does.
    pub title: Said,
    /// The device and where it stands: "K1-0231, Main entrance".
    pub device: Said,
    /// When it was last seen.
    pub last: Timestamp,
    /// How often it was seen.
    pub count: u64,
    /// Whether it began during a service visit, and is lowered for it.
    pub expected: bool,
}

/// One finding of many devices, in the list.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// Its name.
    pub id: String,
    /// The gravest of its findings.
    pub severity: FindingSeverity,
    /// What it is.
    pub title: Said,
    /// "41 of 120 VP-3".
    pub devices: Said,
    /// When it was last seen on any.
    pub last: Timestamp,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The row it has in the list.
    pub row: FindingRow,
    /// The list it is in.
    pub state: Tab,
    /// Muted or allowed until then.
    pub until: Option<Timestamp>,
    /// The device's identity and name.
    pub device: (String, Said),
    /// What the device is and where: "Check-in kiosk, Main entrance, desk 2".
    pub place: Said,
    /// Which detector found it.
    pub detector: Said,
    /// MITRE ATT&CK techniques.
    pub attack: Vec<Said>,
    /// Since when, how often, compared with what.
    pub what_changed: Said,
    /// One sentence.
    pub why_it_matters: Said,
    /// Low, medium or high, and the evidence.
    pub how_sure: Said,
    /// The act first, then the harmless explanation.
    pub what_to_do: Said,
    /// Named figures and texts that the judgement rests on.
    pub evidence: Vec<(Said, Said)>,
    /// Connections around it, or why they are not known.
    pub network: Result<Network, NoChart>,
    /// The search for everybody who talked to its peer, if it has one.
    pub contacts: Option<String>,
    /// Whether the device is quarantined already.
    pub quarantined: bool,
    /// What happened to it, newest first.
    pub history: Vec<Step>,
    /// How it compares: how rare for the model, the finding of many devices that it is one of, the visit.
    pub compared: Vec<Compared>,
    /// What people decided about the like, the closest first.
    pub verdicts: Vec<Past>,
}

/// One sentence on how a finding compares, and where to read on.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The sentence.
    pub words: Said,
    /// Where to read on: label and address.
    pub link: Option<(&'static str, String)>,
}

/// What a person decided about the like of a finding.
#[derive(Clone, Debug)]
pub struct Past {
    /// How much it is like: "This finding", "The same on VP3-0002".
    pub like: Said,
    /// The finding's address.
    pub href: String,
    /// When, who, what and why.
    pub step: Step,
}

/// One step of a finding's history.
#[derive(Clone, Debug)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Said,
    /// What.
    pub what: Said,
    /// Why.
    pub reason: Said,
}

#[derive(Template)]
#[template(path = "findings.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Findings,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Findings) -> String {
    super::page(&Page { frame, page })
}

/// Rows of one severity, or what a visit makes one expect.
struct Group<'a> {
    mark: Option<Markup>,
    rows: Vec<&'a FindingRow>,
}

impl Page<'_> {
    fn head(&self) -> String {
        let [open, ..] = self.page.counts;
        match (open, self.page.unassigned) {
            (0, _) => "none open".into(),
            (open, 0) => format!("{} open", number(open)),
            (open, nobody) => format!("{} open, {} unassigned", number(open), number(nobody)),
        }
    }

    fn tabs(&self) -> Vec<(&'static str, String, String, bool)> {
        let tab = |(tab, count): (Tab, u64)| {
            let address = paths::findings(&[("state", tab.value())]);
            (tab.label(), number(count), address, tab == self.page.tab)
        };
        TABS.into_iter().zip(self.page.counts).map(tab).collect()
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let severities =
            [FindingSeverity::Critical, FindingSeverity::High, FindingSeverity::Medium, FindingSeverity::Low];
        let group = |severity| {
            let rows: Vec<&FindingRow> =
                self.page.rows.iter().filter(|row| row.severity == severity && !row.expected).collect();
            Group { mark: Some(badge::severity(badge::severity_band(severity))), rows }
        };
        let rows = self.page.rows.iter().filter(|row| row.expected).collect();
        let expected = Group { mark: None, rows };
        let all = severities.into_iter().map(group).chain([expected]);
        all.filter(|group| !group.rows.is_empty()).collect()
    }

    fn count(&self, group: &Group<'_>) -> String {
        number(u64::try_from(group.rows.len()).unwrap_or(0))
    }

    fn glyph(&self, row: &FindingRow) -> Markup {
        super::marks::glyph(badge::severity_band(row.severity))
    }

    fn group_glyph(&self, row: &GroupRow) -> Markup {
        super::marks::glyph(badge::severity_band(row.severity))
    }

    fn group_href(&self, row: &GroupRow) -> String {
        paths::finding_group(&row.id)
    }

    fn severity_word(&self, row: &FindingRow) -> &'static str {
        super::marks::band_word(badge::severity_band(row.severity))
    }

    fn mark(&self, row: &FindingRow) -> Markup {
        badge::severity(badge::severity_band(row.severity))
    }

    fn href(&self, row: &FindingRow) -> String {
        paths::finding(&row.id)
    }

    fn times(&self, row: &FindingRow) -> String {
        if row.count > 1 { plural(row.count, "time", "times") } else { String::new() }
    }

    fn is_chosen(&self, row: &FindingRow) -> bool {
        self.page.chosen.as_ref().is_some_and(|chosen| chosen.row.id == row.id)
    }

    fn device_href(&self, finding: &Finding) -> String {
        paths::device(&finding.device.0)
    }

    fn id(&self, finding: &Finding) -> Said {
        finding.row.id.as_str().into()
    }

    fn detector_href(&self, finding: &Finding) -> String {
        paths::findings(&[("state", finding.state.value()), ("detector", finding.detector.raw())])
    }

    fn device_findings_href(&self, finding: &Finding) -> String {
        paths::findings(&[("state", "open"), ("device", &finding.device.0)])
    }

    /// The acts that the finding's state allows: label, address, key, and whether it is the primary one.
    fn acts(&self, finding: &Finding) -> Vec<(&'static str, String, &'static str, &'static str)> {
        let act = |act| paths::finding_act(&finding.row.id, act);
        let grave = badge::severity_band(finding.row.severity) >= Band::High;
        let mut acts = Vec::new();
        if !finding.quarantined {
            let class = if grave && finding.state == Tab::Open { "primary" } else { "" };
            acts.push(("Quarantine…", paths::device_act(&finding.device.0, "quarantine"), "q", class));
        }
        match finding.state {
            Tab::Open => acts.extend([
                ("Acknowledge…", act("acknowledge"), "a", ""),
                ("Mute…", act("mute"), "m", ""),
                ("Allow…", act("allow"), "", ""),
                ("Close…", act("close"), "", ""),
            ]),
            Tab::Acknowledged => {
                acts.extend([
                    ("Close…", act("close"), "", "primary"),
                    ("Mute…", act("mute"), "m", ""),
                    ("Allow…", act("allow"), "", ""),
                ]);
            }
            Tab::Muted | Tab::Allowed | Tab::Closed => acts.push(("Open again…", act("reopen"), "", "")),
        }
        acts
    }

    fn state_words(&self, finding: &Finding) -> Option<String> {
        match (finding.state, finding.until) {
            (Tab::Open, _) => None,
            (Tab::Acknowledged, _) => Some("Acknowledged".into()),
            (Tab::Muted, Some(until)) => {
                Some(format!("Muted until {}", self.frame.clock.moment_words(until)))
            }
            (Tab::Muted, None) => Some("Muted".into()),
            (Tab::Allowed, Some(until)) => {
                Some(format!("Allowed until {}", self.frame.clock.moment_words(until)))
            }
            (Tab::Allowed, None) => Some("Allowed".into()),
            (Tab::Closed, _) => Some("Closed".into()),
        }
    }

    fn attack(&self, finding: &Finding) -> String {
        let techniques: Vec<String> = finding.attack.iter().map(Said::to_string).collect();
        techniques.join(", ")
    }

    fn rug(&self, peer: &super::device::Peer) -> Markup {
        chart::rug(&peer.ticks, peer.new)
    }

    fn network_times(&self, network: &Network) -> Vec<Markup> {
        let span = network.until.seconds_since(network.from);
        [0, 1, 2, 3, 4]
            .map(|quarter| self.frame.clock.time(&network.from.plus_seconds(span / 4 * quarter)))
            .into()
    }

    fn tick(&self) -> Markup {
        shape(Shape::Tick)
    }

    /// Whether the list itself is empty, not only this page of it.
    fn is_calm(&self) -> bool {
        self.page.rows.is_empty()
            && self.page.groups.is_empty()
            && self.page.tab == Tab::Open
            && self.page.filters.is_empty()
    }
}
