//! `/api/v1/holds`: a person keeps a ward, a site or a model from rebooting, without a key and at once.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::{Book, Covers, Hold};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Answered, json, parsed, refused};
use super::{Operator, ReasonAsk};
use crate::chance;
use crate::http::problem::Problem;
use crate::people::Caller;

/// Seconds for which a hold may be set ahead: one that is meant for longer is set without an end.
pub(crate) const LONGEST_S: i64 = 90 * 86_400;

/// A hold that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldAsk {
    /// What it covers: `{"kind": "ward", "name": "site/ward"}`, `{"kind": "site", …}` or `{"kind": "model", …}`.
    #[schema(value_type = Object)]
    covers: Covers,
    /// Why, at least 10 characters.
    reason: String,
    /// Until when, RFC 3339, at most 90 days ahead; without it until somebody ends it.
    until: Option<String>,
}

/// Holds in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldPage {
    /// The holds.
    #[schema(value_type = Vec<Object>)]
    holds: Vec<Hold>,
    /// Those that are over, for a week: documents that decide nothing.
    #[schema(value_type = Vec<Object>)]
    lapsed: Vec<Hold>,
}

/// A hold that was set, and how many devices it covers now.
#[derive(Debug, Serialize)]
pub struct HoldSet {
    #[serde(flatten)]
    hold: Hold,
    devices: usize,
}

fn end_of(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let until = Timestamp::parse(text).ok();
    let within = |until: &Timestamp| *until > now && until.seconds_since(now) <= LONGEST_S;
    until.filter(within).ok_or_else(|| {
        refused("rollout_refused", "`until` is a time like 2026-11-22T06:00:00Z, within the next 90 days")
    })
}

/// Holds in force, and those that are over.
#[utoipa::path(get, path = "/api/v1/holds", responses((status = 200, body = HoldPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<HoldPage> {
    let now = operator.app.clock.now();
    let (holds, lapsed) =
        operator.rollouts.look(|book| book.holds.values().cloned().partition(|hold| hold.holds(now)));
    Ok(Json(HoldPage { holds, lapsed }))
}

/// Holds a ward, a site or a model. Needs no key and takes effect at once.
#[utoipa::path(post, path = "/api/v1/holds", request_body = HoldAsk, responses((status = 201), (status = 422)))]
pub async fn set(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<HoldSet>), Problem> {
    let ask: HoldAsk = json(request, "HoldAsk").await?;
    let until = ask.until.as_deref().map(|text| end_of(text, operator.app.clock.now())).transpose()?;
    let hold = set_hold(&operator, &caller, (ask.covers, until), &ask.reason).await?;
    let devices = covered(&operator, &hold);
    Ok((StatusCode::CREATED, Json(HoldSet { hold, devices })))
}

/// How many devices of the fleet a hold covers.
fn covered(operator: &Operator, hold: &Hold) -> usize {
    let mut alone = Book::default();
    alone.holds.insert(hold.id.clone(), hold.clone());
    let all = operator.app.fleet.all();
    // What only a list of assets names reboots by nothing of ours.
    let own = all.iter().filter(|member| !member.device.is_listed_only());
    own.filter(|member| alone.holds_over(&member.device).next().is_some()).count()
}

/// Sets a hold, for the API and the console.
pub(crate) async fn set_hold(
    operator: &Operator,
    caller: &Caller,
    covers: (Covers, Option<Timestamp>),
    reason: &str,
) -> Result<Hold, Problem> {
    let digits = u32::from_be_bytes(chance::random());
    let id: Name = format!("h-{digits:08x}").parse().expect("hexadecimal digits make a name");
    let now = operator.app.clock.now();
    let (by, at) = (String::new(), now);
    let (reason_, until, lapsed) = (String::new(), None, None);
    let asked =
        Hold { v: 1, id: id.clone(), covers: covers.0.clone(), by, reason: reason_, at, until, lapsed };
    if covered(operator, &asked) == 0 {
        let words = "no device here is in that ward or site, or of that model: a ward is written `site/ward`";
        return Err(refused("holds_nothing", words));
    }
    let hold = operator.rollouts.hold(id, covers, reason, caller.at(now)).await?;
    operator.app.waits.ring_all(operator.app.fleet.all().iter().map(|member| member.id()));
    Ok(hold)
}

/// Ends a hold, with the reason in the journal.
#[utoipa::path(delete, path = "/api/v1/holds/{id}", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 204), (status = 400), (status = 404), (status = 422)))]
pub async fn end(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let id: Name = parsed(&id, "hold")?;
    let ask: ReasonAsk = json(request, "ReasonAsk").await?;
    lift_hold(&operator, &caller, &id, &ask.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a hold, for the API and the console.
pub(crate) async fn lift_hold(
    operator: &Operator,
    caller: &Caller,
    id: &Name,
    reason: &str,
) -> Result<(), Problem> {
    operator.rollouts.release_hold(id, reason, caller.at(operator.app.clock.now())).await?;
    operator.app.waits.ring_all(operator.app.fleet.all().iter().map(|member| member.id()));
    Ok(())
}
