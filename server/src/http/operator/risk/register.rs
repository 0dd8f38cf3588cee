//! `/api/v1/risk/register`: a row for each device with its reasons, step, owner and date, as JSON or CSV.
//!
//! Read next: `cordon_server_core::risk::register` for the form and for what keeps a cell from being a formula.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_server_core::risk::Band;
use cordon_server_core::risk::register::{COLUMNS, Row, Whose, csv_line};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Operator, refused};
use super::over_fleet;
use crate::exceptions::{self, Accepted};
use crate::fleet::Member;
use crate::http::problem::Problem;

/// Which rows are asked for, and how.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RegisterQuery {
    /// `json` (a page, the default) or `csv` (all rows).
    format: Option<String>,
    /// Only of this model.
    model: Option<String>,
    /// Only at this site.
    site: Option<String>,
    /// Only in this ward.
    ward: Option<String>,
    /// Only whose first step is this owner's: `it`, `security`, `clinical-engineering`, `network`, `maker`.
    owner: Option<String>,
    /// Only in this band or a higher one: `low`, `medium`, `high`, `critical`.
    band: Option<String>,
    /// Only rows whose step should have been done by now.
    #[serde(default)]
    overdue: bool,
    /// Only rows after this one of the same question.
    after: Option<String>,
    /// At most so many rows, at most 500.
    limit: Option<usize>,
}

/// A page of the register, the highest score first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RegisterPage {
    /// When it was made, RFC 3339.
    at: String,
    /// SHA-256 of the table of figures.
    model_sha256: String,
    /// Rows of the whole question.
    total: usize,
    /// The rows; `docs` of the columns stand with `cordonctl risk register`.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Row>,
    /// Pass as `after` for the next page.
    next: Option<String>,
}

/// The register.
#[utoipa::path(get, path = "/api/v1/risk/register", params(RegisterQuery),
    responses((status = 200, body = RegisterPage), (status = 422)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<RegisterQuery>,
) -> Result<Response, Problem> {
    let csv = match query.format.as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(refused("bad_query", "`format` is json or csv")),
    };
    let least = query.band.as_deref().map_or(Ok(Band::Low), band)?;
    let after = query.after.as_deref().map(cursor).transpose()?;
    let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS);
    let now = operator.app.clock.now();
    let accepted = Accepted::announced(exceptions::all(&operator.app).await?);
    let begun = Kept { rows: Vec::new(), total: 0, after, most: (!csv).then_some(limit) };
    let kept = over_fleet(&operator, begun, move |kept, member, appraised| {
        let exceptions = accepted.lines(member, &appraised.score);
        let row = Row::of(whose(member), &appraised.score, &appraised.steps, exceptions);
        if query.fits(&row, least) {
            kept.take(row);
        }
    });
    let (rows, total, more) = kept.await?.finish();
    if csv {
        return Ok(as_csv(&rows, &now.to_string()));
    }
    let next =
        rows.last().filter(|_| more).map(|row| format!("{}:{}", row.score_hundredths, row.whose.device));
    let model_sha256 = operator.app.risk.model().sha256_hex();
    Ok(Json(RegisterPage { at: now.to_string(), model_sha256, total, rows, next }).into_response())
}

/// The rows of an answer: of a page no more than it needs, whatever the fleet has.
struct Kept {
    rows: Vec<Row>,
    total: usize,
    after: Option<(Reverse<u16>, String)>,
    most: Option<usize>,
}

impl Kept {
    fn take(&mut self, row: Row) {
        self.total += 1;
        if self.after.as_ref().is_some_and(|after| place(&row) <= (after.0, after.1.as_str())) {
            return;
        }
        self.rows.push(row);
        if self.most.is_some_and(|most| self.rows.len() > 4 * (most + 1)) {
            self.cut();
        }
    }

    /// Keeps the first rows, and one more that says whether there is more.
    fn cut(&mut self) {
        self.rows.sort_by(|a, b| place(a).cmp(&place(b)));
        self.rows.truncate(self.most.map_or(usize::MAX, |most| most + 1));
    }

    /// The rows in order, how many the whole question has, and whether there are more behind them.
    fn finish(mut self) -> (Vec<Row>, usize, bool) {
        self.cut();
        let more = self.most.is_some_and(|most| self.rows.len() > most);
        self.rows.truncate(self.most.unwrap_or(usize::MAX));
        (self.rows, self.total, more)
    }
}

/// Where a row stands: the highest score first, then by name.
fn place(row: &Row) -> (Reverse<u16>, &str) {
    (Reverse(row.score_hundredths), row.whose.device.as_str())
}

fn cursor(text: &str) -> Result<(Reverse<u16>, String), Problem> {
    let wrong = || refused("bad_query", "`after` is the `next` of the page before");
    let (score, device) = text.split_once(':').ok_or_else(wrong)?;
    let device: DeviceId = device.parse().map_err(|_| wrong())?;
    Ok((Reverse(score.parse().map_err(|_| wrong())?), device.to_string()))
}

fn band(word: &str) -> Result<Band, Problem> {
    let bands = [Band::Low, Band::Medium, Band::High, Band::Critical];
    let known = bands.into_iter().find(|band| band.word() == word);
    known.ok_or_else(|| refused("bad_query", "`band` is low, medium, high or critical"))
}

impl RegisterQuery {
    fn fits(&self, row: &Row, least: Band) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.model, &row.whose.model)
            && is(&self.site, &row.whose.site)
            && is(&self.ward, &row.whose.ward)
            && is(&self.owner, row.owner.map_or("nobody", |owner| owner.word()))
            && row.band >= least
            && (row.overdue || !self.overdue)
    }
}

fn whose(member: &Member) -> Whose {
    let (hardware, placement) = (&member.device.hardware, &member.device.placement);
    let software = member.report.as_deref().map(|report| &report.software);
    Whose {
        device: member.id().to_string(),
        manufacturer: hardware.manufacturer.to_string(),
        model: hardware.model.to_string(),
        serial: hardware.serial.to_string(),
        site: placement.site.to_string(),
        ward: placement.ward.to_string(),
        release: software.and_then(|software| software.release.as_ref()).map(ToString::to_string),
    }
}

fn as_csv(rows: &[Row], at: &str) -> Response {
    let mut text = csv_line(COLUMNS);
    rows.iter().for_each(|row| text.push_str(&csv_line(row.cells().iter().map(String::as_str))));
    let day = at.get(..10).unwrap_or("today");
    let name = format!("attachment; filename=\"risk-register-{day}.csv\"");
    ([(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)], text)
        .into_response()
}
