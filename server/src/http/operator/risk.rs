//! `/api/v1/risk/…`: the table of figures, the fleet on one board, the register, versions and support, what was said.
//!
//! Every answer carries the hash of the table by which it was made. Nothing here weighs anything: facts come from the views,
//! numbers from `server/core`. Read next: [`model`] for the site's own figures, [`what_if`] for a release.

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::ids::DeviceId;
use cordon_server_core::device::Source;
use cordon_server_core::risk::board::{Board, Line, Split, owner_word};
use cordon_server_core::risk::history::fleet::FleetPoint;
use cordon_server_core::risk::history::{Move, Point};
use cordon_server_core::risk::score::ByKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, not_found, parsed, refused};
use crate::appraisal::{Appraised, appraise, is_counted};
use crate::fleet::Member;
use crate::http::problem::Problem;

pub(super) mod afterwards;
pub mod measures;
pub mod model;
pub mod register;
pub mod versions;
pub mod what_if;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/risk/model", get(model::show).put(model::set))
        .route("/api/v1/risk/fleet", get(fleet))
        .route("/api/v1/risk/history", get(fleet_history))
        .route("/api/v1/risk/register", get(register::list))
        .route("/api/v1/risk/versions", get(versions::list))
        .route("/api/v1/risk/support", get(versions::support))
        .route("/api/v1/risk/sheet", get(versions::sheet))
        .route("/api/v1/risk/measures", get(measures::show))
        .route("/api/v1/devices/{id}/risk-history", get(device_history))
        .route("/api/v1/risk/what-if/{repository}/{*release}", get(what_if::show))
}

/// By what the fleet is split.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BoardQuery {
    /// `ward`, `model`, `site` or `owner`; `ward` if nothing is said.
    by: Option<String>,
}

/// The fleet's risk on one board.
#[derive(Debug, Serialize, ToSchema)]
pub struct BoardAnswer {
    /// When it was made, RFC 3339.
    at: String,
    /// SHA-256 of the table of figures.
    model_sha256: String,
    /// By what the lines are split.
    by: String,
    /// All devices together.
    all: LineView,
    /// The lines, the highest risk first.
    lines: Vec<LineView>,
}

/// Some devices together.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// Of which ward (`SITE / WARD`), model, site or owner; nothing for all.
    key: Option<String>,
    /// Devices.
    devices: u32,
    /// Risk points in hundredths: the sum of their scores.
    hundredths: u64,
    /// Mean score weighted by clinical impact, in hundredths.
    index_hundredths: Option<u16>,
    /// Their highest score in hundredths.
    highest_hundredths: u16,
    /// Devices in the critical band, in thousandths.
    critical_permille: Option<u32>,
    /// Devices by band: low, medium, high, critical.
    bands: [u32; 4],
    /// Devices of which something that matters is not known.
    unknown: u32,
    /// Steps that somebody here can take.
    steps: u32,
    /// Of these, past their due date.
    overdue: u32,
    /// Devices that wait for their maker.
    waiting: u32,
}

/// Which part of a history is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SinceQuery {
    /// Only the last so many days, at most 400.
    days: Option<u32>,
}

/// What was said of the fleet's risk. Each point is a record of that time, not a computation of today.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetHistory {
    /// The points, the oldest first.
    points: Vec<FleetPointView>,
}

/// What was said of the fleet at one time.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetPointView {
    /// When, RFC 3339.
    at: String,
    /// Devices.
    devices: u32,
    /// Risk points in hundredths.
    hundredths: u64,
    /// By how many hundredths that differs from the point before.
    change_hundredths: Option<i64>,
    /// Devices by band: low, medium, high, critical.
    bands: [u32; 4],
    /// Hundredths by kind of part.
    #[schema(value_type = Object)]
    kinds: ByKind,
    /// Devices that became critical since the point before.
    entered_critical: u32,
    /// Devices that left the critical band.
    left_critical: u32,
    /// Devices that came.
    joined: u32,
    /// Devices that went.
    gone: u32,
    /// SHA-256 of the table of figures of then.
    model_sha256: String,
}

/// What was said of one device's risk.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceHistory {
    /// The device.
    device: String,
    /// The points, the oldest first; empty until something was said of it.
    points: Vec<PointView>,
}

/// What was said of a device at one time.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointView {
    /// When, RFC 3339.
    at: String,
    /// The score in hundredths.
    hundredths: u16,
    /// Its band: `low`, `medium`, `high`, `critical`.
    band: &'static str,
    /// What moved it since the point before: identity, kind, `new`, `gone` or `changed`, the reason in the words of then,
    /// and by how many hundredths.
    #[schema(value_type = Vec<Object>)]
    moved: Vec<Move>,
    /// SHA-256 of the table of figures of then.
    model_sha256: String,
}

impl LineView {
    fn of(key: Option<String>, line: &Line) -> Self {
        Self {
            key,
            devices: line.devices,
            hundredths: line.hundredths,
            index_hundredths: line.index_hundredths(),
            highest_hundredths: line.highest_hundredths,
            critical_permille: line.critical_permille(),
            bands: line.bands,
            unknown: line.unknown,
            steps: line.steps,
            overdue: line.overdue,
            waiting: line.waiting,
        }
    }
}

/// All counted devices, appraised off the async threads, each given to `take`.
pub(super) async fn over_fleet<T: Send + 'static>(
    operator: &Operator,
    begin: T,
    take: impl Fn(&mut T, &Member, &Appraised) + Send + 'static,
) -> Result<T, Problem> {
    let (members, published) = (operator.app.fleet.all(), operator.published());
    let now = operator.app.clock.now();
    let work = move || {
        let mut made = begin;
        for member in members.iter().filter(|member| is_counted(member)) {
            take(&mut made, member, &appraise(member, &published, now));
        }
        made
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
}

/// The fleet's risk by ward, model, site, or whose move it is.
#[utoipa::path(get, path = "/api/v1/risk/fleet", params(BoardQuery),
    responses((status = 200, body = BoardAnswer), (status = 422)))]
pub async fn fleet(
    State(operator): State<Operator>,
    Query(query): Query<BoardQuery>,
) -> Answered<BoardAnswer> {
    let by = query.by.unwrap_or_else(|| "ward".to_owned());
    let none = || refused("bad_query", "`by` is ward, model, site or owner");
    let split = Split::of(&by).ok_or_else(none)?;
    let now = operator.app.clock.now();
    let board = over_fleet(&operator, Board::default(), move |board, member, appraised| {
        board.add(key_of(split, member, appraised), &appraised.score, &appraised.steps, now);
    });
    let board = board.await?;
    let mut lines: Vec<LineView> =
        board.lines.into_iter().map(|(key, line)| LineView::of(Some(key), &line)).collect();
    lines.sort_by(|a, b| b.hundredths.cmp(&a.hundredths).then_with(|| a.key.cmp(&b.key)));
    let model_sha256 = operator.app.risk.model().sha256_hex();
    Ok(Json(BoardAnswer {
        at: now.to_string(),
        model_sha256,
        by,
        all: LineView::of(None, &board.all),
        lines,
    }))
}

fn key_of(split: Split, member: &Member, appraised: &Appraised) -> String {
    let (placement, hardware) = (&member.device.placement, &member.device.hardware);
    match split {
        Split::Ward => format!("{} / {}", placement.site, placement.ward),
        Split::Site => placement.site.to_string(),
        Split::Model => hardware.model.to_string(),
        Split::Owner => owner_word(&appraised.steps).to_owned(),
    }
}

/// What was said of the fleet's risk, hour by hour for a week and then day by day.
#[utoipa::path(get, path = "/api/v1/risk/history", params(SinceQuery), responses((status = 200, body = FleetHistory)))]
pub async fn fleet_history(
    State(operator): State<Operator>,
    Query(query): Query<SinceQuery>,
) -> Answered<FleetHistory> {
    let said = operator.app.fleet_risk_history().await?;
    let from = query.from(&operator);
    let mut points = Vec::new();
    let mut before: Option<u64> = None;
    for point in said.points {
        let change = before
            .map(|before| i64::try_from(point.hundredths).unwrap_or(0) - i64::try_from(before).unwrap_or(0));
        before = Some(point.hundredths);
        if point.at >= from {
            points.push(fleet_point(point, change));
        }
    }
    Ok(Json(FleetHistory { points }))
}

fn fleet_point(point: FleetPoint, change_hundredths: Option<i64>) -> FleetPointView {
    FleetPointView {
        at: point.at.to_string(),
        devices: point.devices,
        hundredths: point.hundredths,
        change_hundredths,
        bands: point.bands,
        kinds: point.kinds,
        entered_critical: point.entered_critical,
        left_critical: point.left_critical,
        joined: point.joined,
        gone: point.gone,
        model_sha256: point.model,
    }
}

impl SinceQuery {
    fn from(&self, operator: &Operator) -> cordon_proto::time::Timestamp {
        let days = i64::from(self.days.unwrap_or(u32::MAX));
        operator.app.clock.now().plus_seconds(days.saturating_mul(-86_400))
    }
}

/// What was said of one device's risk, and what moved it.
#[utoipa::path(get, path = "/api/v1/devices/{id}/risk-history", params(("id" = String, Path), SinceQuery),
    responses((status = 200, body = DeviceHistory), (status = 404)))]
pub async fn device_history(
    State(operator): State<Operator>,
    Path(id): Path<String>,
    Query(query): Query<SinceQuery>,
) -> Answered<DeviceHistory> {
    let id: DeviceId = parsed(&id, "device")?;
    operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    let (said, from) = (operator.app.risk_history(id).await?, query.from(&operator));
    let points = said.points.into_iter().filter(|point| point.at >= from).map(PointView::from).collect();
    Ok(Json(DeviceHistory { device: id.to_string(), points }))
}

impl From<Point> for PointView {
    fn from(point: Point) -> Self {
        let Point { at, hundredths, band, model, moved } = point;
        Self { at: at.to_string(), hundredths, band: band.word(), moved, model_sha256: model }
    }
}

/// Whether a device runs our agent.
pub(super) fn has_agent(member: &Member) -> bool {
    member.device.source == Source::Agent && member.device.identity.is_some()
}
