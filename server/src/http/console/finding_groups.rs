//! Findings of many devices as pages: one of them, and one decision for all of it.
//!
//! Each act is the very commit of the API with the person as actor. Read next: `crate::cohorts`, `ui::finding_group`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Html;
use cordon_proto::telemetry::Severity;
use cordon_server_core::cohort::{Cause, Group, Part};
use cordon_server_core::triage::{Preview, Record};

use super::super::operator::findings::groups::{preview_of, rollouts_of, settle_group};
use super::acts::{ask as ask_page, refused, verb_of};
use super::fault::Fault;
use super::findings::tab_of;
use super::roster::{Entry, Roster};
use super::standing::{place_words, severity_of};
use super::visitor::Known;
use super::{Desk, Done, Page, count};
use crate::ui::act::{Act, FindingVerb, GroupAsked};
use crate::ui::finding_group::{FindingGroup, Part as Row, render};
use crate::ui::findings::GroupRow;
use crate::ui::frame::{Section, Toast};
use crate::ui::paths;
use crate::ui::words::plural;

/// Findings that one page names.
const NAMED: usize = 200;

/// One of them.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let group = find(&roster, &id)?;
    let rollouts = rollouts_of(&desk.operator, group);
    let names: Vec<&str> = rollouts.iter().map(String::as_str).collect();
    let row = |(entry, record): (&Arc<Entry>, &Record)| Row {
        id: record.id.to_string(),
        device: entry.row.name.clone(),
        place: place_words(&entry.member.device).into(),
        title: record.finding.title.as_str().into(),
        severity: severity_of(record.finding.severity),
        first: record.first_seen(),
        state: tab_of(record, now).label(),
    };
    let parts = group.parts.iter().filter_map(|part| part_of(&roster, part));
    let page = FindingGroup {
        id: group.id.to_string(),
        title: group.title.as_str().into(),
        severity: severity_of(group.severity),
        kind: match group.cause {
            Cause::Model { .. } => "New on a model",
            Cause::Update { .. } => "After an update",
        },
        devices: devices_words(group).into(),
        what_changed: crate::ui::Said::sentence(group.what_changed()),
        what_to_do: crate::ui::Said::sentence(group.what_to_do(&names)),
        parts: parts.map(row).take(NAMED).collect(),
        count: count(group.parts.len()),
        critical: critical(&roster, group),
        rollouts: rollouts.iter().map(|id| id.as_str().into()).collect(),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Findings, &roster), &page)))
}

/// A group as lists show it.
pub(super) fn row_of(group: &Group) -> GroupRow {
    GroupRow {
        id: group.id.to_string(),
        severity: severity_of(group.severity),
        title: group.title.as_str().into(),
        devices: devices_words(group).into(),
        last: group.last,
    }
}

/// "41 of 120 VP-3".
pub(super) fn devices_words(group: &Group) -> String {
    format!("{} of {} {}", group.devices(), group.of, group.model)
}

/// Asks before a group is decided on.
pub(super) async fn ask(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, verb)): Path<(String, String)>,
) -> Page {
    let roster = desk.roster();
    let (question, _) = question(&desk, &roster, (&id, &verb))?;
    ask_page(&desk, &visitor, Section::Findings, question).await
}

/// Decides on a group.
pub(super) async fn decide(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, verb)): Path<(String, String)>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let roster = desk.roster();
    let (question, asked) = question(&desk, &roster, (&id, &verb))?;
    if let Some(again) = refused(&desk, &visitor, Section::Findings, &question, &posted).await? {
        return Ok(again);
    }
    let (verb, words) = verb_of(&desk, asked, &posted);
    let group = find(&roster, &id)?;
    let done = settle_group(&desk.operator, &visitor.caller, group, verb, posted.reason()).await?;
    let mut text = format!("{} {words}", plural(count(done.decided), "finding", "findings"));
    if done.critical > 0 {
        let left = plural(count(done.critical), "critical one stays", "critical ones stay");
        text.push_str(&format!("; {left} to be decided"));
    }
    desk.done(&visitor, Toast { text, undo: None }, &paths::finding_group(&id))
}

fn question(desk: &Desk, roster: &Roster, (id, verb): (&str, &str)) -> Result<(Act, FindingVerb), Fault> {
    let group = find(roster, id)?;
    let verb = FindingVerb::from_slug(verb).ok_or(Fault::Missing("act"))?;
    let records = group.parts.iter().filter_map(|part| part_of(roster, part)).map(|(_, record)| record);
    let preview: Preview = preview_of(records, desk.now());
    let asked = GroupAsked {
        id: group.id.to_string(),
        title: group.title.as_str().into(),
        model: group.model.as_str().into(),
        devices: count(group.devices()),
        critical: critical(roster, group),
    };
    Ok((Act::group(verb, &asked, &preview), verb))
}

fn find<'a>(roster: &'a Roster, id: &str) -> Result<&'a Group, Fault> {
    let id = id.parse().map_err(|_| Fault::Missing("group of findings"))?;
    roster.cohorts.group(&id).ok_or(Fault::Missing("group of findings"))
}

fn part_of<'a>(roster: &'a Roster, part: &Part) -> Option<(&'a Arc<Entry>, &'a Record)> {
    let entry = roster.get(part.device)?;
    Some((entry, &**entry.member.findings.get(&part.finding)?))
}

fn critical(roster: &Roster, group: &Group) -> u64 {
    let records = group.parts.iter().filter_map(|part| part_of(roster, part));
    count(records.filter(|(_, record)| record.finding.severity == Severity::Critical).count())
}
