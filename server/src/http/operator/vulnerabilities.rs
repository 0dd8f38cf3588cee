//! `/api/v1/vulnerabilities`: every weakness that the fleet has or may have, with what to do first, as JSON or CSV.
//!
//! The same rows, filters and order as the console's list, which offers this address as its files. Until answers are those of
//! feeds it is refused: an empty file would look like safety. Read next: `console::survey` for how rows are counted,
//! [`super::advisories`] for one of them.

use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cordon_server_core::risk::register::csv_line;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::feeds::need;
use super::{Operator, refused};
use crate::http::console::vulnerabilities::rows;
use crate::http::problem::Problem;
use crate::ui::Said;
use crate::ui::vulnerabilities::query::SORTS;
use crate::ui::vulnerabilities::{Exploited, Fix, VulnerabilityQuery, VulnerabilityRow};

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

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/vulnerabilities", get(list))
}

/// Which weaknesses are asked for, and how.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VulnerabilitiesQuery {
    /// `json` (the default) or `csv`.
    format: Option<String>,
    /// Only those whose name, alias, package or model contains these words; also what feeds name and no device has.
    q: Option<String>,
    /// Only of this severity: `critical`, `high`, `medium`, `low`.
    severity: Option<String>,
    /// Only what is `exploited`, or used by `ransomware`.
    exploited: Option<String>,
    /// Only with this repair: `release`, `version`, `none`.
    fix: Option<String>,
    /// Only what is `late`, or due this `week` or late.
    due: Option<String>,
    /// Only what hits or may hit this model.
    model: Option<String>,
    /// `affected`, `unknown` or `clear`; without it what hits or may hit a device.
    answer: Option<String>,
    /// `first` (the default), `severity`, `devices`, `epss`, `name`.
    sort: Option<String>,
}

/// The list.
#[derive(Debug, Serialize, ToSchema)]
pub struct VulnerabilityList {
    /// When it was made, RFC 3339.
    at: String,
    /// `ready`, or `renewing` while newer feeds are being read.
    matching: &'static str,
    /// The weaknesses, all of the question.
    vulnerabilities: Vec<VulnerabilityView>,
}

/// One weakness and how the fleet stands to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct VulnerabilityView {
    /// Its name.
    vulnerability: String,
    /// Its other names.
    aliases: Vec<String>,
    /// Severity times ten (CVSS).
    cvss_tenths: Option<u8>,
    /// `unknown` where no catalogue is here, `no`, `yes`, `ransomware`.
    exploited: &'static str,
    /// The chance that it is attacked anywhere within 30 days, in millionths (EPSS).
    epss_millionths: Option<u32>,
    /// Devices that have it.
    affected: u64,
    /// Devices of which nobody can say.
    unknown: u64,
    /// Of both, those in clinical use now.
    in_use: u64,
    /// Devices for which a person has accepted it; it changes no other count.
    accepted: u64,
    /// Wards in which those stand.
    wards: u64,
    /// What repairs it: `release`, `version`, `none`.
    fix: &'static str,
    /// What to do next.
    next_step: Option<String>,
    /// Whose it is: `it`, `security`, `clinical-engineering`, `network`, `maker`.
    owner: Option<&'static str>,
    /// By when, RFC 3339.
    due: Option<String>,
    /// Since when it waits for the maker, RFC 3339.
    waiting_since: Option<String>,
    /// The packages or products that it is in.
    packages: Vec<String>,
    /// The models that it hits or may hit.
    models: Vec<String>,
}

/// Every weakness that the fleet has or may have, with what to do first; the console's list as a file.
#[utoipa::path(get, path = "/api/v1/vulnerabilities", params(VulnerabilitiesQuery),
    responses((status = 200, body = VulnerabilityList), (status = 422), (status = 503)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<VulnerabilitiesQuery>,
) -> Result<Response, Problem> {
    let (is_csv, query) = (query.is_csv()?, query.asked()?);
    let matched = operator.app.knowledge.matched();
    need(&matched)?;
    let at = operator.app.clock.now().to_string();
    let rows = rows(&operator, query).await?;
    if is_csv {
        let file = "attachment; filename=\"vulnerabilities.csv\"";
        let heads = [(CONTENT_TYPE, "text/csv; charset=utf-8"), (CONTENT_DISPOSITION, file)];
        return Ok((heads, csv_of(&rows)).into_response());
    }
    let vulnerabilities = rows.iter().map(VulnerabilityView::of).collect();
    Ok(Json(VulnerabilityList { at, matching: matched.readiness.word(), vulnerabilities }).into_response())
}

impl VulnerabilitiesQuery {
    fn is_csv(&self) -> Result<bool, Problem> {
        match self.format.as_deref() {
            None | Some("" | "json") => Ok(false),
            Some("csv") => Ok(true),
            Some(_) => Err(refused("bad_query", "`format` is json or csv")),
        }
    }

    /// The question in the words of the list; a value that it does not know is refused, never passed over.
    fn asked(&self) -> Result<VulnerabilityQuery, Problem> {
        let pairs = [
            ("q", &self.q),
            ("severity", &self.severity),
            ("exploited", &self.exploited),
            ("fix", &self.fix),
            ("due", &self.due),
            ("model", &self.model),
            ("answer", &self.answer),
        ];
        let set = |(name, value): (&'static str, &Option<String>)| {
            let value = value.as_deref().filter(|value| !value.trim().is_empty())?;
            Some((name, value.to_owned()))
        };
        let pairs: Vec<(&'static str, String)> = pairs.into_iter().filter_map(set).collect();
        let mut read =
            VulnerabilityQuery::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        let known = read.filters();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| known.iter().all(|(known, _)| known != name)) {
            return Err(refused(
                "bad_query",
                format!("`{name}` takes another value: see the description of this API"),
            ));
        }
        if let Some(word) = self.sort.clone().filter(|word| !word.is_empty()) {
            let sort = SORTS.iter().find(|(_, value, _)| *value == word).map(|(sort, ..)| *sort);
            let words = "`sort` is first, severity, devices, epss or name";
            read.sort = sort.ok_or_else(|| refused("bad_query", words))?;
        }
        Ok(read)
    }
}

fn raw(texts: &[Said]) -> Vec<String> {
    texts.iter().map(|said| said.raw().to_owned()).collect()
}

impl VulnerabilityView {
    fn of(row: &VulnerabilityRow) -> Self {
        let step = row.step.as_ref();
        Self {
            vulnerability: row.name.raw().to_owned(),
            aliases: raw(&row.aliases),
            cvss_tenths: row.cvss_tenths,
            exploited: exploited_word(row.exploited),
            epss_millionths: row.epss_millionths,
            affected: row.affected,
            unknown: row.unknown,
            in_use: row.in_use,
            accepted: row.accepted,
            wards: row.wards,
            fix: match row.fix {
                Fix::None => "none",
                Fix::Version => "version",
                Fix::Release => "release",
            },
            next_step: step.map(|step| step.short.raw().to_owned()),
            owner: step.map(|step| step.owner.word()),
            due: step.and_then(|step| step.due).map(|due| due.to_string()),
            waiting_since: step.and_then(|step| step.waiting_since).map(|at| at.to_string()),
            packages: raw(&row.packages),
            models: raw(&row.models),
        }
    }

    /// The cells of a file.
    fn cells(self) -> [String; 14] {
        let tenths = |tenths: u8| format!("{}.{}", tenths / 10, tenths % 10);
        let chance = |chance: u32| format!("{}.{:06}", chance / 1_000_000, chance % 1_000_000);
        [
            self.vulnerability,
            self.cvss_tenths.map(tenths).unwrap_or_default(),
            self.exploited.to_owned(),
            self.epss_millionths.map(chance).unwrap_or_default(),
            self.affected.to_string(),
            self.unknown.to_string(),
            self.in_use.to_string(),
            self.accepted.to_string(),
            self.wards.to_string(),
            self.next_step.unwrap_or_default(),
            self.owner.unwrap_or_default().to_owned(),
            self.due.unwrap_or_default(),
            self.packages.join("; "),
            self.models.join("; "),
        ]
    }
}

fn exploited_word(exploited: Exploited) -> &'static str {
    match exploited {
        Exploited::Unknown => "unknown",
        Exploited::NotListed => "no",
        Exploited::Listed => "yes",
        Exploited::Ransomware => "ransomware",
    }
}

fn csv_of(rows: &[VulnerabilityRow]) -> String {
    let mut text = csv_line(COLUMNS);
    for row in rows {
        let cells = VulnerabilityView::of(row).cells();
        text.push_str(&csv_line(cells.iter().map(String::as_str)));
    }
    text
}
