//! The list of vulnerabilities, and the same as a file.
//!
//! Rows and counts are those of the survey. Read next: `super::survey`, `super::vulnerability` for one of them,
//! `ui::vulnerabilities`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use cordon_server_core::risk::register::csv_line;
use serde_json::json;

use super::super::operator::advisories::{self, AdvisoryQuery};
use super::fault::Fault;
use super::roster::cut;
use super::survey::{Survey, exploited, ground};
use super::visitor::{Known, Visitor};
use super::{Desk, Done, Page, count};
use crate::ui::Said;
use crate::ui::devices::Choice;
use crate::ui::frame::Section;
use crate::ui::vulnerabilities::{
    self as list_page, Counts, Exploited, PAGE_ROWS, Vulnerabilities, VulnerabilityQuery, VulnerabilityRow,
};

/// Models that the filter menu offers at most.
const MODELS: usize = 200;
/// Columns of the list as a file.
const COLUMNS: [&str; 14] = [
    "vulnerability",
    "cvss",
    "exploited",
    "epss",
    "affected",
    "unknown",
    "in_use",
    "accepted",
    "wards",
    "next_step",
    "owner",
    "due",
    "packages",
    "models",
];

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let survey = desk.surveys.current(&desk, &roster).await?;
    let query = query_of(&visitor);
    let mut rows = rows_of(&desk, &survey, &query)?;
    rows.retain(|row| query.fits(row, now));
    query.arrange(&mut rows);
    let (shown, matching) = cut(rows.into_iter(), query.page, PAGE_ROWS);
    let fits =
        |query: &VulnerabilityQuery| count(survey.rows.iter().filter(|row| query.fits(row, now)).count());
    let names = query.filters().into_iter().map(|(name, _)| name);
    let without = names.filter(|_| matching == 0).map(|name| (name, fits(&query.without(name)))).collect();
    let matched = desk.operator.published().matched;
    let page = Vulnerabilities {
        total: count(survey.rows.len()),
        matching,
        counts: if survey.rows.is_empty() { Counts::default() } else { survey.counts(now) },
        rows: shown,
        choices: choices(&survey),
        without,
        ground: ground(&desk, &matched, (survey.unseen, survey.unmatchable)),
        query,
    };
    Ok(Html(list_page::render(&desk.frame(&visitor, Section::Vulnerabilities, &roster), &page)))
}

fn query_of(visitor: &Visitor) -> VulnerabilityQuery {
    VulnerabilityQuery::from_pairs(visitor.query.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// The rows of the survey and, for a search, those that feeds name and no device here has.
fn rows_of(desk: &Desk, survey: &Survey, query: &VulnerabilityQuery) -> Result<Vec<VulnerabilityRow>, Fault> {
    let mut rows = survey.rows.clone();
    let Some(text) = query.text.as_deref().filter(|text| text.trim().chars().count() >= 3) else {
        return Ok(rows);
    };
    let matched = desk.operator.app.knowledge.matched();
    let ask = AdvisoryQuery {
        q: Some(text.to_owned()),
        all: true,
        limit: Some(cordon_proto::limits::PAGE_ROWS),
        ..AdvisoryQuery::default()
    };
    let found = advisories::page(&matched, &[], &ask)?;
    let held: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    let is_here = matched.made.as_deref().is_some_and(|made| !made.world.exploited.is_empty());
    let named = found.advisories.into_iter().filter(|view| !held.contains(&view.id));
    rows.extend(named.map(|view| VulnerabilityRow {
        name: view.id.as_str().into(),
        aliases: view.records.iter().map(|record| Said::from(record.as_str())).collect(),
        packages: view.about.iter().map(|about| Said::from(about.as_str())).collect(),
        cvss_tenths: view.cvss_tenths,
        exploited: exploited(view.exploited, view.ransomware, is_here),
        epss_millionths: view.epss_millionths,
        id: view.id,
        ..VulnerabilityRow::default()
    }));
    Ok(rows)
}

fn choices(survey: &Survey) -> Vec<Choice> {
    let models: BTreeSet<&Said> = survey.rows.iter().flat_map(|row| &row.models).collect();
    let values: Vec<Said> = models.into_iter().take(MODELS).cloned().collect();
    if values.is_empty() { Vec::new() } else { vec![Choice { name: "model", label: "Model", values }] }
}

/// The list of this filter as a file.
pub(super) async fn export(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Done {
    let (roster, now) = (desk.roster(), desk.now());
    let survey = desk.surveys.current(&desk, &roster).await?;
    let query = query_of(&visitor);
    let mut rows = rows_of(&desk, &survey, &query)?;
    rows.retain(|row| query.fits(row, now));
    query.arrange(&mut rows);
    let (content, name, body) = match visitor.asked("form") {
        Some("json") => ("application/json", "vulnerabilities.json", json_of(&rows)),
        _ => ("text/csv; charset=utf-8", "vulnerabilities.csv", csv_of(&rows)),
    };
    let file = format!("attachment; filename=\"{name}\"");
    Ok(([(CONTENT_TYPE, content.to_owned()), (CONTENT_DISPOSITION, file)], body).into_response())
}

/// The cells of a row, as a file has them.
fn cells(row: &VulnerabilityRow) -> [String; 14] {
    let raw = |texts: &[Said]| texts.iter().map(Said::raw).collect::<Vec<_>>().join("; ");
    let step = row.step.as_ref();
    let exploited = match row.exploited {
        Exploited::Unknown => "unknown",
        Exploited::NotListed => "no",
        Exploited::Listed => "yes",
        Exploited::Ransomware => "ransomware",
    };
    let owner = step.map(|step| json!(step.owner).as_str().unwrap_or_default().to_owned());
    [
        row.name.raw().to_owned(),
        row.cvss_tenths.map(|tenths| format!("{}.{}", tenths / 10, tenths % 10)).unwrap_or_default(),
        exploited.to_owned(),
        row.epss_millionths
            .map(|chance| format!("{}.{:06}", chance / 1_000_000, chance % 1_000_000))
            .unwrap_or_default(),
        row.affected.to_string(),
        row.unknown.to_string(),
        row.in_use.to_string(),
        row.accepted.to_string(),
        row.wards.to_string(),
        step.map(|step| step.short.raw().to_owned()).unwrap_or_default(),
        owner.unwrap_or_default(),
        step.and_then(|step| step.due).map(|due| due.to_string()).unwrap_or_default(),
        raw(&row.packages),
        raw(&row.models),
    ]
}

fn csv_of(rows: &[VulnerabilityRow]) -> String {
    let mut text = csv_line(COLUMNS);
    rows.iter().for_each(|row| text.push_str(&csv_line(cells(row).iter().map(String::as_str))));
    text
}

fn json_of(rows: &[VulnerabilityRow]) -> String {
    let object = |row: &VulnerabilityRow| -> serde_json::Map<String, serde_json::Value> {
        COLUMNS.iter().map(|name| (*name).to_owned()).zip(cells(row).map(serde_json::Value::from)).collect()
    };
    let rows: Vec<_> = rows.iter().map(object).collect();
    json!({ "vulnerabilities": rows }).to_string()
}
