//! One device: is it safe, why, what should I do, what changed.
//!
//! The score's parts, their sum and the check by hand stand on one screen; each step shows what it would change. Read
//! next: [`super::score_bar`], `server/ui/device.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::{Band, Contribution, Facts, Kind, Model, NextStep, Owner, Score, Value};

use super::chart::{self, NoChart};
use super::marks::{Markup, band_class, short_ids};
use super::said::Said;
use super::score_bar::{self, Row};
use super::state::DeviceState;
use super::words::{bytes, change, hundredths};
use super::{Frame, badge, paths};

/// What stands at the head of every page of a device.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its identity in addresses.
    pub id: String,
    /// Its name.
    pub name: Said,
    /// The parts of the path above: label and address.
    pub trail: Vec<(Said, String)>,
    /// All states that hold, the one that matters most first.
    pub states: Vec<DeviceState>,
    /// Five or six facts: label, value, and what follows it in grey.
    pub facts: Vec<Fact>,
    /// Whether it is quarantined, so that lifting is offered instead.
    pub quarantined: bool,
    /// Whether it is trusted, so that quarantine is offered.
    pub trusted: bool,
    /// Rows of its software inventory; none: nothing was reported, and the page is not offered.
    pub software: Option<u64>,
    /// Weaknesses that it has or may have; none: nothing can be said about it.
    pub vulnerabilities: Option<u64>,
}

/// A label over a value.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The label.
    pub label: String,
    /// The value.
    pub value: Said,
    /// What follows it in grey.
    pub note: Said,
    /// Where it leads.
    pub href: Option<String>,
}

impl Fact {
    /// A fact of a label and a value.
    pub fn new(label: &str, value: impl Into<Said>) -> Self {
        Self { label: label.into(), value: value.into(), note: Said::default(), href: None }
    }

    /// The fact with something after its value in grey.
    #[must_use]
    pub fn note(mut self, note: impl Into<Said>) -> Self {
        self.note = note.into();
        self
    }

    /// The fact as a link.
    #[must_use]
    pub fn to(mut self, href: String) -> Self {
        self.href = Some(href);
        self
    }
}

/// The page.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its head.
    pub head: Head,
    /// The facts that were scored.
    pub facts: Facts,
    /// The score.
    pub score: Score,
    /// The model that scored it.
    pub model: Model,
    /// Lines under the answer: accepted risks, service visits. They change no score.
    pub notes: Vec<Said>,
    /// At most three steps, in order of effect.
    pub steps: Vec<StepView>,
    /// What changed, newest first; five are shown.
    pub events: Vec<Change>,
    /// What was said of its risk lately, in whole points, oldest first.
    pub line: Vec<u32>,
    /// The audit entries about it.
    pub history_href: Option<String>,
    /// Its connections of the last 24 hours, or why they are not known.
    pub network: Result<Network, NoChart>,
}

/// A step with what the page knows beyond the model.
#[derive(Clone, Debug)]
pub struct StepView {
    /// The step.
    pub step: NextStep,
    /// Why not now, in the words of the device's own `status`.
    pub blocked: Option<Said>,
    /// Its button: label and address; the first is the primary one.
    pub act: Option<(String, String)>,
}

/// Something that happened to the device.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Said,
    /// How it is known.
    pub source: Said,
    /// Its page.
    pub href: Option<String>,
    /// By how many whole points the risk changed, if it did.
    pub risk: Option<i64>,
}

/// Connections of the last 24 hours.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Peers, known ones first.
    pub peers: Vec<Peer>,
    /// When the time shown begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Name or address, and port.
    pub name: Said,
    /// When it was spoken to, in thousandths of the time shown.
    pub ticks: Vec<u16>,
    /// Bytes in both directions.
    pub bytes: u64,
    /// Not in the profile.
    pub new: bool,
}

#[derive(Template)]
#[template(path = "device.html")]
struct Page<'a> {
    frame: &'a Frame,
    head: &'a Head,
    tab: &'static str,
    page: &'a Device,
    rows: Vec<Row>,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Device) -> String {
    let rows = score_bar::rows(&page.score, &page.model, href);
    super::page(&Page { frame, head: &page.head, tab: "summary", page, rows })
}

/// The page behind a part of the score: findings and vulnerabilities have one. Of a vulnerability the part is named by its
/// source package as well.
fn href(part: &Contribution) -> Option<String> {
    match part.kind {
        Kind::Behaviour => Some(paths::finding(&part.id)),
        Kind::Vulnerability => Some(paths::vulnerability(part.id.split(':').next().unwrap_or(&part.id))),
        Kind::Freshness | Kind::Posture | Kind::Impact => None,
    }
}

impl Head {
    pub(super) fn tabs(&self) -> Vec<(&'static str, &'static str, String, String)> {
        let mut tabs = vec![("summary", "Summary", paths::device(&self.id), String::new())];
        let known = self.vulnerabilities.map(super::words::number).unwrap_or_default();
        tabs.push(("vulnerabilities", "Vulnerabilities", paths::exposures(&self.id), known));
        if let Some(count) = self.software {
            tabs.push(("software", "Software", paths::software(&self.id), super::words::number(count)));
        }
        tabs.push(("identity", "Identity", paths::identity(&self.id), String::new()));
        tabs
    }

    pub(super) fn act_href(&self, act: &str) -> String {
        paths::device_act(&self.id, act)
    }
}

impl Page<'_> {
    fn bar(&self) -> Markup {
        score_bar::bar(&self.rows, self.page.score.value())
    }

    fn ids(&self, text: &Said) -> Markup {
        short_ids(&text.to_string())
    }

    /// The colour of the answer.
    fn class(&self) -> &'static str {
        band_class(self.page.score.band)
    }

    /// "No." or "Yes.", and the words about risk.
    fn answer(&self) -> (&'static str, &'static str) {
        match self.page.score.band {
            Band::Critical => ("No.", "Critical risk"),
            Band::High => ("No.", "High risk"),
            Band::Medium => ("Mostly.", "Medium risk"),
            Band::Low if self.page.score.unknown.len() >= UNKNOWN_MANY => {
                ("Not fully known.", "Low risk so far")
            }
            Band::Low => ("Yes.", "Low risk"),
        }
    }

    /// What follows the band: whether something can be done.
    fn outlook(&self) -> &'static str {
        let fix = self.page.steps.iter().any(|view| view.step.after_band < self.page.score.band);
        let waits = self.page.steps.iter().any(|view| view.step.owner == Owner::Maker);
        match self.page.score.band {
            Band::Low => "",
            Band::Critical | Band::High | Band::Medium if fix => ", and a fix is ready",
            Band::Critical | Band::High | Band::Medium if waits => ", and its maker has no fix yet",
            Band::Critical | Band::High | Band::Medium if self.page.steps.is_empty() => {
                ", and nothing is to be done"
            }
            Band::Critical | Band::High | Band::Medium => ", and it can be lowered",
        }
    }

    fn points(&self) -> u16 {
        self.page.score.points()
    }

    fn value_words(&self) -> String {
        hundredths(self.page.score.value_hundredths)
    }

    fn row_count(&self) -> String {
        const WORDS: [&str; 9] = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight"];
        let word = WORDS.get(self.rows.len()).copied().unwrap_or("many");
        match self.rows.len() {
            0 => "no reason adds risk".into(),
            1 => "one reason".into(),
            _ => format!("{word} reasons that add up"),
        }
    }

    /// The command that computes this very score from the facts.
    fn check_command(&self) -> String {
        let mut command = format!("cordonctl score --facts facts.json --at {}", self.page.score.at);
        for (name, _, site) in self.page.model.set_by_site() {
            command.push_str(&format!(" --figure {name}={site}"));
        }
        command
    }

    fn facts_json(&self) -> String {
        serde_json::to_string_pretty(&self.page.facts).expect("facts are plain values")
    }

    fn impact_words(&self) -> String {
        let impact = self.page.score.impact_e8;
        format!("{}.{:04}", impact / 100_000_000, impact % 100_000_000 / 10_000)
    }

    fn likelihood_words(&self) -> String {
        format!("0.{:06}", (self.page.score.likelihood_e12 / 1_000_000).min(999_999))
    }

    fn hazard_words(&self) -> String {
        let hazard = self.page.score.hazard_micronepers;
        format!("{}.{:06}", hazard / 1_000_000, hazard % 1_000_000)
    }

    fn changed_figures(&self) -> Vec<String> {
        let changed = self.page.model.set_by_site();
        changed.into_iter().map(|(name, ours, site)| format!("{name} {ours} → {site}")).collect()
    }

    fn effect(&self, view: &StepView) -> Markup {
        let step = &view.step;
        let after = Value { hundredths: step.after_hundredths, band: step.after_band };
        badge::effect(self.page.score.value(), after)
    }

    /// "IT, by 22 Nov", "Security, today", "Maker, since 2 Sep".
    fn whose(&self, view: &StepView) -> Markup {
        let owner = badge::owner(view.step.owner);
        let clock = &self.frame.clock;
        match (view.step.due, view.step.waiting_since) {
            (Some(at), _) => {
                let due = clock.due(at);
                let (by, class) =
                    if clock.days_ahead(at) > 0 { (" by", "") } else { ("", " class=\"is-high\"") };
                Markup::new(format!("{owner},{by} <span{class}>{}</span>", due.words))
            }
            (None, Some(at)) => Markup::new(format!("{owner}, since {}", clock.day_words(at))),
            (None, None) => Markup::new(owner.into()),
        }
    }

    fn said(&self, text: &str) -> Said {
        text.into()
    }

    fn two(&self, value: &u16) -> String {
        hundredths(*value)
    }

    fn line(&self) -> Markup {
        chart::spark(&self.page.line)
    }

    fn events(&self) -> Vec<&Change> {
        self.page.events.iter().take(5).collect()
    }

    fn rose(&self, event: &Change) -> bool {
        event.risk.is_some_and(|by| by > 0)
    }

    fn risk_words(&self, by: &i64) -> String {
        change(*by)
    }

    fn rug(&self, peer: &Peer) -> Markup {
        chart::rug(&peer.ticks, peer.new)
    }

    fn peer_bytes(&self, peer: &Peer) -> String {
        bytes(peer.bytes)
    }

    fn peers_words(&self, network: &Network) -> String {
        let new = network.peers.iter().filter(|peer| peer.new).count();
        let count = network.peers.len();
        let peers = if count == 1 { "1 peer".into() } else { format!("{count} peers") };
        match new {
            0 => format!("{peers}, none new"),
            1 => format!("{peers}, 1 of them new"),
            many => format!("{peers}, {many} of them new"),
        }
    }

    fn network_times(&self, network: &Network) -> Vec<Markup> {
        let span = network.until.seconds_since(network.from);
        [0, 1, 2, 3, 4]
            .map(|quarter| self.frame.clock.time(&network.from.plus_seconds(span / 4 * quarter)))
            .into()
    }
}

/// From how many unanswered questions on a low score is not called safe.
const UNKNOWN_MANY: usize = 3;
