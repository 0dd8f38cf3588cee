//! Findings: the lists and one finding, from the records in the fleet view.
//!
//! What a detector on a device wrote is shown as data. Read next: `cordon_server_core::triage`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_proto::time::Timestamp;
use cordon_server_core::device::State as Trust;
use cordon_server_core::triage::{Record, State as Triage};

use super::fault::Fault;
use super::network::network;
use super::roster::{Found, Roster, cut};
use super::standing::{kind_words, place_words, severity_of};
use super::visitor::{Known, Visitor};
use super::{Desk, Page, count};
use crate::ui::badge::severity_band;
use crate::ui::findings::{Finding, FindingRow, Findings, PAGE_ROWS, Step, TABS, Tab, render};
use crate::ui::frame::Section;
use crate::ui::marks::band_class;
use crate::ui::{Said, paths};

/// One list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let roster = desk.roster();
    let tab = Tab::from_value(visitor.asked("state").unwrap_or_default());
    let page = page_of(&desk, &visitor, &roster, tab);
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
    let chosen = Box::new(chosen(&desk, found, now).await?);
    let mut page = page_of(&desk, &visitor, &roster, tab_of(&found.record, now));
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
        Triage::Closed => Tab::Closed,
    }
}

fn page_of(desk: &Desk, visitor: &Visitor, roster: &Roster, tab: Tab) -> Findings {
    let now = desk.now();
    let filters = Filters::of(visitor);
    let number = visitor.asked("page").and_then(|page| page.parse().ok()).unwrap_or(1_usize).max(1);
    let fitting = roster.findings.iter().filter(|found| filters.fits(found));
    let wanted = fitting.filter(|found| tab_of(&found.record, now) == tab);
    let (found, matching) = cut(wanted, number, PAGE_ROWS);
    let rows: Vec<FindingRow> = found.into_iter().map(row_of).collect();
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
    }
}

async fn chosen(desk: &Desk, found: &Found, now: Timestamp) -> Result<Finding, Fault> {
    let (record, member) = (&found.record, &found.entry.member);
    let (finding, device) = (&record.finding, &member.device);
    let state = tab_of(record, now);
    let until = match record.state {
        Triage::Muted { until } if state == Tab::Muted => Some(until),
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
