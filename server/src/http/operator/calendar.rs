//! `/api/v1/rollouts/calendar`: on which days devices of which wards may reboot, and what people hold.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::calendar::{DAYS_MAX, Day, Ward, wards};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, refused};

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/rollouts/calendar", get(show))
}

/// Which days are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CalendarQuery {
    /// A time of the first day, RFC 3339; today if not given.
    from: Option<String>,
    /// How many days, 1 to 31; 7 if not given.
    days: Option<u32>,
}

/// The calendar.
#[derive(Debug, Serialize, ToSchema)]
pub struct CalendarPage {
    /// The first day, RFC 3339.
    from: String,
    /// Wards that some order still concerns.
    wards: Vec<WardView>,
}

/// One ward.
#[derive(Debug, Serialize, ToSchema)]
pub struct WardView {
    /// Its site.
    site: String,
    /// Its name.
    ward: String,
    /// The rollouts that have something for its devices, those that stand still too.
    rollouts: Vec<String>,
    /// Those of them that were paused, were stopped or stopped themselves.
    still: Vec<String>,
    /// The days, the first one first.
    days: Vec<DayView>,
}

/// One day of one ward.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayView {
    /// When a reboot is allowed, in minutes of the day by the devices' own clocks: from and to.
    open: Vec<[u16; 2]>,
    /// Devices that may reboot then.
    devices: u32,
    /// Devices of waves that have not begun and may have by then.
    later: u32,
    /// Devices that a person holds.
    held: u32,
    /// Devices whose rollout was paused, was stopped or stopped itself: none of them gets the go before it goes on.
    still: u32,
    /// The holds.
    holds: Vec<String>,
}

/// When devices may reboot, by ward and day. A device in use does not reboot, whatever stands here.
#[utoipa::path(get, path = "/api/v1/rollouts/calendar", params(CalendarQuery),
    responses((status = 200, body = CalendarPage), (status = 422)))]
pub async fn show(
    State(operator): State<Operator>,
    Query(query): Query<CalendarQuery>,
) -> Answered<CalendarPage> {
    let from = query.from.as_deref().map(Timestamp::parse).transpose();
    let from = from.map_err(|_| refused("calendar_refused", "`from` is a time like 2026-11-22T00:00:00Z"))?;
    let from = from.unwrap_or_else(|| operator.app.clock.now());
    let days = query.days.unwrap_or(7);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(refused("calendar_refused", format!("`days` is 1 to {DAYS_MAX}")));
    }
    let (book, members) = (operator.rollouts.book(), operator.app.fleet.all());
    let found = wards(&book, members.iter().map(|member| &*member.device), from, days);
    Ok(Json(CalendarPage { from: from.to_string(), wards: found.into_iter().map(Into::into).collect() }))
}

impl From<Ward> for WardView {
    fn from(ward: Ward) -> Self {
        let rollouts = ward.rollouts.iter().map(ToString::to_string).collect();
        let still = ward.still.iter().map(ToString::to_string).collect();
        Self {
            site: ward.site,
            ward: ward.ward,
            rollouts,
            still,
            days: ward.days.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Day> for DayView {
    fn from(day: Day) -> Self {
        Self {
            open: day.open.into_iter().map(|(from, to)| [from, to]).collect(),
            devices: day.devices,
            later: day.later,
            held: day.held,
            still: day.still,
            holds: day.holds.iter().map(ToString::to_string).collect(),
        }
    }
}
