//! What stands round every page: navigation, person, theme, time, and the word after something was done.
//!
//! Whoever serves a page fills one [`Frame`] for the request. Navigation names only pages that exist. Read next:
//! `server/ui/layout.html`, which draws it.

use cordon_proto::time::Timestamp;
use cordon_server_core::risk::Model;

use super::assets;
use super::live::key;
use super::marks::{Icon, Markup, Shape, icon, logo, shape};
use super::paths;
use super::said::Said;
use super::words::{Clock, number};

/// One request's surroundings.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Who runs the server.
    pub owner: Said,
    /// The page's time and zone.
    pub clock: Clock,
    /// Which part of the navigation the page belongs to.
    pub section: Section,
    /// Counts beside the navigation.
    pub counts: Counts,
    /// Who is signed in.
    pub person: Person,
    /// The theme the reader chose, from the cookie [`Theme::COOKIE`].
    pub theme: Theme,
    /// The session's token that every form carries in `csrf`.
    pub csrf: String,
    /// The risk model and the beginning of its hash, from [`model_words`].
    pub model: String,
    /// Date of the newest advisories, once there are any.
    pub advisories: Option<Timestamp>,
    /// The page's own path and query, to come back to.
    pub here: String,
    /// What was just done.
    pub toast: Option<Toast>,
}

/// The parts of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The overview.
    Overview,
    /// Devices.
    Devices,
    /// Keys that wait for a person.
    Waiting,
    /// Enrolment tokens.
    Tokens,
    /// Findings.
    Findings,
    /// Vulnerabilities, and the feeds that name them.
    Vulnerabilities,
    /// Rollouts and holds.
    Rollouts,
    /// Signed orders.
    Orders,
    /// What ends soon.
    Expiries,
    /// The audit log.
    Audit,
}

/// Counts beside the navigation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// All devices.
    pub devices: u64,
    /// Keys that wait for a person.
    pub waiting: u64,
    /// Open findings.
    pub findings: u64,
    /// Weaknesses that hit or may hit a device; none: nothing is known.
    pub vulnerabilities: Option<u64>,
    /// Rollouts that run.
    pub rollouts: u64,
    /// Rollouts that stopped themselves and wait for a person.
    pub halted: u64,
}

/// Who is signed in.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// Name of the account.
    pub name: Said,
    /// What they may do, in a word.
    pub role: Said,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the reader's system has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// The cookie that holds the choice; the script writes it too, so it is not HttpOnly.
    pub const COOKIE: &str = "theme";

    /// The choice from the cookie's or the form's value.
    #[must_use]
    pub fn from_value(value: &str) -> Self {
        match value {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }

    /// The cookie's value.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// What the switch changes to.
    fn next(self) -> Self {
        match self {
            Self::System | Self::Light => Self::Dark,
            Self::Dark => Self::Light,
        }
    }
}

/// A sentence about what was just done, with the number and the time taken.
#[derive(Clone, Debug)]
pub struct Toast {
    /// The sentence: "2 devices quarantined in 0.4 s".
    pub text: String,
    /// Where it can be undone: a page that asks for the reason.
    pub undo: Option<String>,
}

/// A risk model's name and the first twelve digits of its table's hash.
#[must_use]
pub fn model_words(model: &Model) -> String {
    let hash = model.sha256_hex();
    let set = match model.set_by_site().len() {
        0 => String::new(),
        1 => ", one figure set by site".to_owned(),
        many => format!(", {many} figures set by site"),
    };
    format!("{} {}{set}", model.id, hash.get(..12).unwrap_or(&hash))
}

/// One item of the navigation, as the template wants it.
pub(super) struct Item {
    pub(super) icon: Markup,
    pub(super) label: &'static str,
    pub(super) href: &'static str,
    pub(super) count: String,
    pub(super) live: &'static str,
    pub(super) alarm: bool,
    pub(super) current: bool,
    pub(super) group: bool,
}

impl Frame {
    /// The items of the navigation.
    pub(super) fn items(&self) -> Vec<Item> {
        let item = |section: Section, mark: Icon, label, href| Item {
            icon: icon(mark),
            label,
            href,
            count: String::new(),
            live: "",
            alarm: false,
            current: self.section == section,
            group: section == Section::Tokens,
        };
        let mut devices = item(Section::Devices, Icon::Devices, "Devices", paths::DEVICES);
        (devices.count, devices.live) = (number(self.counts.devices), key::DEVICES);
        let mut waiting = item(Section::Waiting, Icon::Waiting, "Waiting", paths::APPROVALS);
        if self.counts.waiting > 0 {
            (waiting.count, waiting.live) = (number(self.counts.waiting), key::WAITING);
        }
        let mut findings = item(Section::Findings, Icon::Findings, "Findings", paths::FINDINGS);
        (findings.count, findings.live) = (number(self.counts.findings), key::FINDINGS);
        let mut vulnerabilities =
            item(Section::Vulnerabilities, Icon::Vulnerabilities, "Vulnerabilities", paths::VULNERABILITIES);
        vulnerabilities.count = self.counts.vulnerabilities.map(number).unwrap_or_default();
        let mut rollouts = item(Section::Rollouts, Icon::Rollouts, "Rollouts", paths::ROLLOUTS);
        rollouts.alarm = self.counts.halted > 0;
        if rollouts.alarm {
            rollouts.count = format!("{} halted", number(self.counts.halted));
        } else if self.counts.rollouts > 0 {
            (rollouts.count, rollouts.live) = (number(self.counts.rollouts), key::ROLLOUTS);
        }
        vec![
            item(Section::Overview, Icon::Overview, "Overview", paths::OVERVIEW),
            devices,
            waiting,
            findings,
            vulnerabilities,
            rollouts,
            item(Section::Orders, Icon::Orders, "Orders", paths::ORDERS),
            item(Section::Tokens, Icon::Tokens, "Tokens", paths::TOKENS),
            item(Section::Expiries, Icon::Clock, "Expiries", paths::EXPIRIES),
            item(Section::Audit, Icon::Audit, "Audit", paths::AUDIT),
        ]
    }

    pub(super) fn logo(&self) -> Markup {
        logo()
    }

    pub(super) fn tick(&self) -> Markup {
        shape(Shape::Tick)
    }

    pub(super) fn dot(&self) -> Markup {
        shape(Shape::Dot)
    }

    pub(super) fn thin_ring(&self) -> Markup {
        shape(Shape::ThinRing)
    }

    pub(super) fn dashed_ring(&self) -> Markup {
        shape(Shape::DashedRing)
    }

    pub(super) fn next_theme(&self) -> &'static str {
        self.theme.next().value()
    }

    pub(super) fn is_themed(&self) -> bool {
        self.theme != Theme::System
    }

    /// Address of the style sheet, with the hash that lets browsers keep it.
    pub(super) fn style(&self) -> String {
        assets::address("app.css")
    }

    pub(super) fn script(&self) -> String {
        assets::address("app.js")
    }

    pub(super) fn favicon(&self) -> String {
        assets::address("icon.svg")
    }

    pub(super) fn icon(&self, name: &str) -> Markup {
        icon(match name {
            "search" => Icon::Search,
            "plus" => Icon::Plus,
            "close" => Icon::Close,
            "copy" => Icon::Copy,
            "sort" => Icon::Sort,
            "filter" => Icon::Filter,
            "down" => Icon::Down,
            "right" => Icon::Right,
            "left" => Icon::Left,
            "arrow" => Icon::Arrow,
            "clock" => Icon::Clock,
            "menu" => Icon::Menu,
            "theme" => Icon::Theme,
            "leave" => Icon::Leave,
            "export" => Icon::Export,
            _ => Icon::Warning,
        })
    }
}
