//! The list of devices, its filters and its pages; and how to enrol one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use cordon_server_core::device::Source;
use cordon_server_core::policy::Access;

use super::roster::{Entry, Roster, cut};
use super::visitor::{Known, Visitor};
use super::{Desk, Page, count};
use crate::ui::DeviceState;
use crate::ui::devices::{Choice, DeviceQuery, DeviceRow, Devices, PAGE_ROWS, Sort, render, render_enrol};
use crate::ui::frame::Section;

/// Values that the filter menu offers for one field at most.
const VALUES: usize = 200;
/// States that are counted above the list, with their words; those without a device are left out but the first two.
const STATES: [(DeviceState, &str); 8] = [
    (DeviceState::Silent { last_seen: None }, "Not seen 24 h"),
    (DeviceState::Quarantined, "Quarantined"),
    (DeviceState::RolledBack, "Rolled back"),
    (DeviceState::Refused, "Refused"),
    (DeviceState::Lost, "Lost"),
    (DeviceState::ToApprove, "To approve"),
    (DeviceState::Listed, "Listed only"),
    (DeviceState::Expected, "Not enrolled"),
];
/// States that are always counted.
const ALWAYS: usize = 2;

/// The list.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let roster = desk.roster();
    let query = query_of(&visitor);
    let (rows, matching) = rows_of(&roster, &query);
    let without = if matching == 0 { without(&roster, &query) } else { Vec::new() };
    let page = Devices {
        total: roster.summary.total,
        matching,
        bands: roster.summary.bands,
        states: states(&roster),
        sources: sources(&roster),
        may_import: visitor.caller.role.may(Access::Change),
        rows,
        choices: choices(&roster),
        without,
        query,
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Devices, &roster), &page)))
}

/// How to enrol a device.
pub(super) async fn enrol(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    Ok(Html(render_enrol(&desk.frame(&visitor, Section::Devices, &desk.roster()))))
}

fn query_of(visitor: &Visitor) -> DeviceQuery {
    DeviceQuery::from_pairs(visitor.query.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// The rows of one page and how many there are. The roster stands in the usual order; another is made for the page.
fn rows_of(roster: &Roster, query: &DeviceQuery) -> (Vec<DeviceRow>, u64) {
    let row = |entry: &Arc<Entry>| entry.row.clone();
    if query.sort == Sort::Risk {
        let (entries, total) = cut(roster.matching(query), query.page, PAGE_ROWS);
        return (entries.into_iter().map(row).collect(), total);
    }
    let mut rows: Vec<DeviceRow> = roster.matching(query).map(row).collect();
    query.arrange(&mut rows);
    cut(rows.into_iter(), query.page, PAGE_ROWS)
}

fn states(roster: &Roster) -> Vec<(DeviceState, String, u64)> {
    let counted = STATES.into_iter().enumerate().map(|(place, (state, words))| {
        let count = roster.summary.of_state(state);
        (place < ALWAYS || count > 0).then(|| (state, words.to_owned(), count))
    });
    counted.flatten().collect()
}

fn choices(roster: &Roster) -> Vec<Choice> {
    const FIELDS: [(&str, &str); 7] = [
        ("site", "Site"),
        ("ward", "Ward"),
        ("kind", "Kind"),
        ("model", "Model"),
        ("state", "State"),
        ("tag", "Tag"),
        ("owner", "Whose"),
    ];
    let choice = |(name, label)| {
        let values = roster.summary.values.get(name)?;
        let values = values.iter().take(VALUES).map(|value| value.as_str().into()).collect();
        Some(Choice { name, label, values })
    };
    FIELDS.into_iter().filter_map(choice).collect()
}

/// Devices by how they are known: by our agent, from traffic, from lists alone.
fn sources(roster: &Roster) -> [u64; 3] {
    let of = |source: Source| {
        let known = |entry: &&Arc<Entry>| entry.counted && entry.member.device.source == source;
        count(roster.entries.iter().filter(known).count())
    };
    [Source::Agent, Source::Observed, Source::Imported].map(of)
}

/// How many devices would be listed without each filter.
fn without(roster: &Roster, query: &DeviceQuery) -> Vec<(&'static str, u64)> {
    let names = query.filters().into_iter().map(|(name, _)| name);
    names.map(|name| (name, count(roster.matching(&query.without(name)).count()))).collect()
}
