//! The list of vulnerabilities, and its rows for the API.
//!
//! Rows and counts are those of the survey. Read next: `super::survey`, `super::vulnerability` for one of them,
//! `ui::vulnerabilities`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use super::super::operator::Operator;
use super::super::operator::advisories::{self, AdvisoryQuery};
use super::roster::{Rosters, cut};
use super::survey::{Survey, exploited, ground};
use super::visitor::{Known, Visitor};
use super::{Desk, Page, count};
use crate::exceptions::{self, Accepted};
use crate::http::problem::Problem;
use crate::ui::Said;
use crate::ui::devices::Choice;
use crate::ui::frame::Section;
use crate::ui::vulnerabilities::{
    self as list_page, Counts, PAGE_ROWS, Vulnerabilities, VulnerabilityQuery, VulnerabilityRow,
};

/// Models that the filter menu offers at most.
const MODELS: usize = 200;

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let survey = desk.surveys.current(&desk, &roster).await?;
    let query = query_of(&visitor);
    let mut rows = rows_of(&desk.operator, &survey, &query)?;
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
fn rows_of(
    operator: &Operator,
    survey: &Survey,
    query: &VulnerabilityQuery,
) -> Result<Vec<VulnerabilityRow>, Problem> {
    let mut rows = survey.rows.clone();
    let Some(text) = query.text.as_deref().filter(|text| text.trim().chars().count() >= 3) else {
        return Ok(rows);
    };
    let matched = operator.app.knowledge.matched();
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

/// The rows that the list would show, all of them, for whoever has no page.
pub(in crate::http) async fn rows(
    operator: &Operator,
    query: VulnerabilityQuery,
) -> Result<Vec<VulnerabilityRow>, Problem> {
    let (operator, now) = (operator.clone(), operator.app.clock.now());
    let accepted = Accepted::in_force(exceptions::all(&operator.app).await?, now);
    let work = move || {
        let published = operator.published();
        let survey = Survey::of(&Rosters::default().current(&operator), &published, &accepted, now);
        let mut rows = rows_of(&operator, &survey, &query)?;
        rows.retain(|row| query.fits(row, now));
        query.arrange(&mut rows);
        Ok(rows)
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))?
}
