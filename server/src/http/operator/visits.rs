//! `/api/v1/visits`: announced maintenance, to which findings that begin inside it are tied.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::visit::{Announced, Refused, Standing, Visit};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::tokens::text_of;
use super::{Answered, Operator, json, not_found, parsed, refused};
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::visits::{self, VisitError};

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/visits", get(list).post(announce))
        .route("/api/v1/visits/{id}/end", post(end))
}

/// Service visits: those of now, then what is to come, then what is over.
#[derive(Debug, Serialize, ToSchema)]
pub struct VisitPage {
    /// The visits.
    visits: Vec<VisitView>,
}

/// One service visit.
#[derive(Debug, Serialize, ToSchema)]
pub struct VisitView {
    /// Its name.
    id: String,
    /// `now`, `ahead` or `over`.
    #[schema(value_type = String)]
    state: Standing,
    /// For which devices: pairs of `NAME=VALUE`, all of which must fit.
    filter: Vec<String>,
    /// Devices that it covers now.
    devices: usize,
    /// Who comes.
    who: String,
    /// The ticket or work order.
    ticket: Option<String>,
    /// When it begins, RFC 3339.
    from: String,
    /// The first second after it, RFC 3339.
    until: String,
    /// Why.
    reason: String,
    /// Who announced it.
    by: String,
    /// When it was announced, RFC 3339.
    announced: String,
    /// Who ended it before its time.
    ended_by: Option<String>,
}

/// A visit that is announced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitAsk {
    /// For which devices, as `NAME=VALUE`: site, ward, model, kind, tag, source, device. At least one; all must fit.
    filter: Vec<String>,
    /// Who comes: a person and a firm.
    who: String,
    /// The ticket or work order.
    ticket: Option<String>,
    /// When it begins, RFC 3339; without it now.
    from: Option<String>,
    /// When it is over, RFC 3339, at most 14 days after it begins.
    until: String,
    /// Why, at least 10 characters.
    reason: String,
}

/// Why a visit ends early.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitEndAsk {
    /// Why, at least 10 characters.
    reason: String,
}

fn view(operator: &Operator, visit: &Visit) -> VisitView {
    let members = operator.app.fleet.all();
    VisitView {
        id: visit.id.to_string(),
        state: visit.standing(operator.app.clock.now()),
        filter: visit.filter.clone(),
        devices: visits::covered(visit, members.iter().map(|member| &**member)),
        who: visit.who.to_string(),
        ticket: visit.ticket.as_ref().map(ToString::to_string),
        from: visit.from.to_string(),
        until: visit.over().to_string(),
        reason: visit.announced.reason.to_string(),
        by: visit.announced.by.clone(),
        announced: visit.announced.at.to_string(),
        ended_by: visit.ended.as_ref().map(|word| word.by.clone()),
    }
}

impl VisitAsk {
    fn asked(self, now: Timestamp) -> Result<Announced, Problem> {
        let text = |value: &str, what: &str| text_of("visit_refused", value, what);
        let time = |value: &str, what: &str| {
            let words = format!("`{what}` is a time such as 2027-03-01T08:00:00Z");
            Timestamp::parse(value).map_err(|_| refused("bad_time", words))
        };
        Ok(Announced {
            who: text(&self.who, "who")?,
            ticket: self.ticket.as_deref().map(|ticket| text(ticket, "ticket")).transpose()?,
            from: self.from.as_deref().map_or(Ok(now), |from| time(from, "from"))?,
            until: time(&self.until, "until")?,
            filter: self.filter,
        })
    }
}

/// Announced service visits.
#[utoipa::path(get, path = "/api/v1/visits", responses((status = 200, body = VisitPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<VisitPage> {
    let all = visits::all(&operator.app).await?;
    let visits = all.iter().take(limits::PAGE_ROWS).map(|visit| view(&operator, visit)).collect();
    Ok(Json(VisitPage { visits }))
}

/// Announces a service visit. Findings of these devices that begin inside it are tied to it and stand lower in lists; they
/// are kept, and a critical one is not lowered. No score changes.
#[utoipa::path(post, path = "/api/v1/visits", request_body = VisitAsk,
    responses((status = 201, body = VisitView), (status = 422)))]
pub async fn announce(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<VisitView>), Problem> {
    let ask: VisitAsk = json(request, "VisitAsk").await?;
    let reason: Text = good_reason(&ask.reason)?;
    let asked = ask.asked(operator.app.clock.now())?;
    let visit = visits::announce(&operator.app, asked, &reason, &caller.actor).await?;
    Ok((StatusCode::CREATED, Json(view(&operator, &visit))))
}

/// Ends a service visit before its time, or calls it off.
#[utoipa::path(post, path = "/api/v1/visits/{id}/end", params(("id" = String, Path)), request_body = VisitEndAsk,
    responses((status = 200, body = VisitView), (status = 404), (status = 409)))]
pub async fn end(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Answered<VisitView> {
    let id: Name = parsed(&id, "service visit")?;
    let ask: VisitEndAsk = json(request, "VisitEndAsk").await?;
    let visit = visits::end(&operator.app, &id, &good_reason(&ask.reason)?, &caller.actor).await?;
    Ok(Json(view(&operator, &visit)))
}

impl From<VisitError> for Problem {
    fn from(error: VisitError) -> Self {
        match error {
            VisitError::Unknown => not_found("service visit"),
            VisitError::TooMany => refused("too_many", error.to_string()),
            VisitError::Refused(why @ Refused::Over) => {
                Self::new(StatusCode::CONFLICT, "not_possible", "Not possible now", why.to_string())
            }
            VisitError::Refused(why) => refused("visit_refused", why.to_string()),
            VisitError::Store(error) => error.into(),
            VisitError::Commit(error) => error.into(),
        }
    }
}
