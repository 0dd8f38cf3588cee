//! Findings: the lists and one finding, from the records in the fleet view.
//!
//! What a detector on a device wrote is shown as data. Read next: `cordon_server_core::triage`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;
use cordon_server_core::cohort::Cause;
use cordon_server_core::device::State as Trust;
use cordon_server_core::triage::{Likeness, Record, State as Triage, Verdict};
use cordon_server_core::visit::Visit;

use super::super::operator::findings::past_verdicts;
use super::fault::Fault;
use super::finding_groups::devices_words;
use super::network::network;
use super::roster::{Found, Roster, cut};
use super::standing::{kind_words, place_words, severity_of};
use super::visitor::{Known, Visitor};
use super::{Desk, Page, count};
use crate::ui::badge::severity_band;
use crate::ui::findings::{
    Compared, Finding, FindingRow, Findings, PAGE_ROWS, Past, Step, TABS, Tab, render,
};
use crate::ui::frame::Section;
use crate::ui::marks::band_class;
use crate::ui::{Said, paths};
use crate::visits;

/// One list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let roster = desk.roster();
    let tab = Tab::from_value(visitor.asked("state").unwrap_or_default());
    let visits = visits::all(&desk.operator.app).await?;
    let page = page_of(&desk, &visitor, (&roster, &visits), tab);
    Ok(Html(render(&desk.frame(&visitor, Section::Findings, &roster), &page)))
}

/// One finding beside its list.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let roster = desk.roster();
    let found = find(&roster, &id)?;
    let now = desk.now();
    let visits = visits::all(&desk.operator.app).await?;
    let mut chosen = Box::new(chosen(&desk, found, now).await?);
    chosen.compared = compared(&desk, (&roster, &visits), found);
    chosen.verdicts = verdicts(&desk, &roster, found);
    let mut page = page_of(&desk, &visitor, (&roster, &visits), tab_of(&found.record, now));
    page.chosen = Some(chosen);
    Ok(Html(render(&desk.frame(&visitor, Section::Findings, &roster), &page)))
}

/// The finding of an address.
pub(super) fn find<'a>(roster: &'a Roster, id: &str) -> Result<&'a Found, Fault> {
    let id = id.parse().map_err(|_| Fault::Missing("finding"))?;
    roster.finding(&id).ok_or(Fault::Missing("finding"))
}

/// The list that a finding is in now.
pub(super) fn tab_of(record: &Record, now: Timestamp) -> Tab {
    match record.state {
        Triage::Open => Tab::Open,
        // A mute that has run out hides nothing.
        Triage::Muted { .. } if record.is_open(now) => Tab::Open,
        Triage::Acknowledged => Tab::Acknowledged,
        Triage::Muted { .. } => Tab::Muted,
        Triage::Allowed { .. } => Tab::Allowed,
        Triage::Closed => Tab::Closed,
    }
}

fn page_of(desk: &Desk, visitor: &Visitor, (roster, visits): (&Roster, &[Visit]), tab: Tab) -> Findings {
    let now = desk.now();
    let filters = Filters::of(visitor);
    let number = visitor.asked("page").and_then(|page| page.parse().ok()).unwrap_or(1_usize).max(1);
    let fitting = roster.findings.iter().filter(|found| filters.fits(found));
    let wanted = fitting.filter(|found| tab_of(&found.record, now) == tab);
    // Findings of many devices are one row, but where somebody asks for a device's or a detector's own.
    let mut groups = BTreeSet::new();
    let mut alone: Vec<(bool, &Found)> = Vec::new();
    for found in wanted {
        let group = roster.cohorts.group_of(&found.record.id).filter(|_| filters.0.is_empty());
        groups.extend(group.map(|group| &group.id));
        if group.is_none() || found.record.finding.severity == Severity::Critical {
            alone.push((is_expected(visits, found), found));
        }
    }
    // What a visit makes one expect stands last, each kind in the roster's order.
    alone.sort_by_key(|(expected, _)| *expected);
    let (found, matching) = cut(alone.into_iter(), number, PAGE_ROWS);
    let row = |(expected, found)| FindingRow { expected, ..row_of(found) };
    let rows: Vec<FindingRow> = found.into_iter().map(row).collect();
    let groups = roster.cohorts.groups.iter().filter(|group| number == 1 && groups.contains(&group.id));
    let shown = count((number - 1).saturating_mul(PAGE_ROWS)) + count(rows.len());
    let counts = TABS
        .map(|tab| count(roster.findings.iter().filter(|found| tab_of(&found.record, now) == tab).count()));
    let open = roster.findings.iter().filter(|found| found.record.is_open(now));
    Findings {
        tab,
        counts,
        unassigned: count(open.filter(|found| found.record.assigned.is_none()).count()),
        filters: filters.chips(roster, tab),
        matching,
        groups: groups.map(super::finding_groups::row_of).collect(),
        rows,
        newer: (number > 1).then(|| filters.address(tab, None, number - 1)),
        older: (shown < matching).then(|| filters.address(tab, None, number + 1)),
        chosen: None,
    }
}

/// Filters beside the state.
struct Filters<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Filters<'a> {
    fn of(visitor: &'a Visitor) -> Self {
        let names = ["severity", "detector", "device"].into_iter();
        Self(names.filter_map(|name| Some((name, visitor.asked(name)?))).collect())
    }

    fn fits(&self, found: &Found) -> bool {
        let finding = &found.record.finding;
        self.0.iter().all(|(name, value)| match *name {
            "severity" => band_class(severity_band(severity_of(finding.severity))) == *value,
            "detector" => finding.detector.as_str() == *value,
            _ => found.record.device.to_string() == *value,
        })
    }

    fn address(&self, tab: Tab, without: Option<&str>, page: usize) -> String {
        let page = page.to_string();
        let mut pairs = vec![("state", tab.value())];
        pairs.extend(self.0.iter().filter(|(name, _)| Some(*name) != without));
        if page != "1" {
            pairs.push(("page", &page));
        }
        paths::findings(&pairs)
    }

    fn chips(&self, roster: &Roster, tab: Tab) -> Vec<(String, Said, String)> {
        let chip = |(name, value): &(&'static str, &str)| {
            let label = match *name {
                "severity" => "Severity",
                "detector" => "Detector",
                _ => "Device",
            };
            let device = value.parse().ok().and_then(|id| roster.get(id));
            let value = device.map_or_else(|| Said::from(*value), |entry| entry.row.name.clone());
            (label.to_owned(), value, self.address(tab, Some(name), 1))
        };
        self.0.iter().map(chip).collect()
    }
}

/// A finding as lists show it.
pub(super) fn row_of(found: &Found) -> FindingRow {
    let (finding, device) = (&found.record.finding, &found.entry.member.device);
    FindingRow {
        id: found.record.id.to_string(),
        severity: severity_of(finding.severity),
        title: finding.title.as_str().into(),
        device: format!("{}, {}", device.hardware.serial, place_words(device)).into(),
        last: finding.last,
        count: finding.count.into(),
        expected: false,
    }
}

/// Whether a finding is lowered, because it began during a visit.
fn is_expected(visits: &[Visit], found: &Found) -> bool {
    visits::tie(visits, &found.entry.member, &found.record).is_some_and(|tie| tie.is_expected)
}

/// How a finding compares with the rest of its model, and with what was announced.
fn compared(desk: &Desk, (roster, visits): (&Roster, &[Visit]), found: &Found) -> Vec<Compared> {
    let (member, record) = (&found.entry.member, &found.record);
    let rarity = roster.cohorts.rarity(&member.device.hardware.model, record);
    let mut compared = vec![Compared { words: rarity.words().into(), link: None }];
    if let Some(group) = roster.cohorts.group_of(&record.id) {
        let words = match group.cause {
            Cause::Model { .. } => format!("It began on {} at once.", devices_words(group)),
            Cause::Update { .. } => {
                format!("{}: it began within a day of the confirmed update.", group.title)
            }
        };
        let link = Some(("All of them", paths::finding_group(group.id.as_str())));
        compared.push(Compared { words: words.into(), link });
    }
    if let Some(tie) = visits::tie(visits, member, record) {
        let (who, clock) = (&tie.visit.who, crate::ui::Clock::utc(desk.now()));
        let time = clock.moment_words(tie.visit.from);
        let words = if tie.is_expected {
            format!("It began during the announced visit of {who} from {time}: expected, and kept.")
        } else {
            format!("It began during the announced visit of {who} from {time}, and is critical all the same.")
        };
        compared.push(Compared { words: words.into(), link: Some(("Visits", paths::VISITS.to_owned())) });
    }
    compared
}

/// What people decided about the like, over all devices.
fn verdicts(desk: &Desk, roster: &Roster, found: &Found) -> Vec<Past> {
    let members = desk.operator.app.fleet.all();
    let past = past_verdicts(&members, &found.entry.member, &found.record);
    let name = |verdict: &Verdict| {
        roster.get(verdict.device).map_or_else(|| "a device".into(), |entry| entry.row.name.to_string())
    };
    let row = |verdict: Verdict| Past {
        like: match verdict.likeness {
            Likeness::Itself => "This finding".into(),
            Likeness::SameKey => format!("The same on {}", name(&verdict)).into(),
            Likeness::SameModel => format!("{}, on {}", verdict.title, name(&verdict)).into(),
        },
        href: paths::finding(verdict.finding.as_str()),
        step: Step {
            at: verdict.at,
            by: verdict.by.as_str().into(),
            what: verdict.what.as_str().into(),
            reason: Said::sentence(verdict.reason.as_str()),
        },
    };
    past.into_iter().map(row).collect()
}

async fn chosen(desk: &Desk, found: &Found, now: Timestamp) -> Result<Finding, Fault> {
    let (record, member) = (&found.record, &found.entry.member);
    let (finding, device) = (&record.finding, &member.device);
    let state = tab_of(record, now);
    let until = match record.state {
        Triage::Muted { until } if state == Tab::Muted => Some(until),
        Triage::Allowed { until } => Some(until),
        Triage::Muted { .. } | Triage::Open | Triage::Acknowledged | Triage::Closed => None,
    };
    let peer = finding.peer.as_ref().map(|peer| peer.as_str());
    let step = |step: &cordon_server_core::triage::Step| Step {
        at: step.at,
        by: step.by.as_str().into(),
        what: step.what.as_str().into(),
        reason: Said::sentence(step.reason.as_deref().unwrap_or_default()),
    };
    let prose = |text: &cordon_proto::ids::Text| Said::sentence(text.as_str());
    Ok(Finding {
        row: row_of(found),
        state,
        until,
        device: (member.id().to_string(), device.hardware.serial.as_str().into()),
        place: format!("{}, {}", kind_words(device.placement.kind).0, place_words(device)).into(),
        detector: finding.detector.as_str().into(),
        attack: finding.attack.iter().map(|technique| technique.as_str().into()).collect(),
        what_changed: prose(&finding.what_changed),
        why_it_matters: prose(&finding.why_it_matters),
        how_sure: prose(&finding.how_sure),
        what_to_do: prose(&finding.what_to_do),
        evidence: evidence(record),
        network: network(desk, member, peer).await?,
        contacts: peer.map(paths::contacts),
        quarantined: device.state == Trust::Quarantined,
        history: record.history.iter().rev().map(step).collect(),
        compared: Vec::new(),
        verdicts: Vec::new(),
    })
}

fn evidence(record: &Record) -> Vec<(Said, Said)> {
    let named = record.finding.evidence.iter();
    named.map(|(name, value)| (label(name).into(), value.as_str().into())).collect()
}

/// `gap_s` as a label: `Gap s`.
fn label(name: &str) -> String {
    let mut letters = name.chars().map(|c| if matches!(c, '_' | '-') { ' ' } else { c });
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
