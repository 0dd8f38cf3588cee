//! `/api/v1/exceptions`: risks that people accept for some devices, until a day, with a second person's yes.

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::exception::{Asked, Exception, Standing, Word};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::tokens::text_of;
use super::{Answered, Operator, json, not_found, parsed, refused};
use crate::exceptions::{self, Act, ExceptionError};
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/exceptions", get(list).post(request))
        .route("/api/v1/exceptions/{id}", get(show))
        .route("/api/v1/exceptions/{id}/{act}", post(act))
}

/// Which exceptions are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExceptionQuery {
    /// `requested`, `approved`, `lapsed`, `withdrawn`; without it all but those taken back.
    state: Option<String>,
}

/// Exceptions, the next to end first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExceptionPage {
    /// The exceptions.
    exceptions: Vec<ExceptionView>,
}

/// One exception.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExceptionView {
    /// Its name.
    pub id: String,
    /// What is accepted: the name of a weakness, or of a rule of the score.
    pub about: String,
    /// `weakness` or `rule`.
    pub kind: String,
    /// For which devices: pairs of `NAME=VALUE`, all of which must fit.
    pub filter: Vec<String>,
    /// Who carries the risk.
    pub owner: String,
    /// Why it is not removed.
    pub reason: String,
    /// What is done instead.
    pub control: String,
    /// When it ends, RFC 3339.
    pub until: String,
    /// Whole days until then; negative once it is over.
    pub days: i64,
    /// `requested`, `approved`, `lapsed` or `withdrawn`.
    pub state: String,
    /// Who asked for it.
    pub requested: WordView,
    /// Whose yes it has.
    pub approved: Option<WordView>,
    /// Who took it back.
    pub withdrawn: Option<WordView>,
    /// One line for people.
    pub line: String,
}

/// A person's word.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WordView {
    /// Who, as the journal writes it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// One exception with the devices that it covers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExceptionAnswer {
    /// The exception.
    #[serde(flatten)]
    exception: ExceptionView,
    /// Devices that it covers now.
    devices: usize,
    /// Of these, devices in whose score what is accepted stands now.
    devices_with: usize,
    /// These devices, the first 500.
    covered: Vec<CoveredView>,
}

/// A device that an exception covers.
#[derive(Debug, Serialize, ToSchema)]
pub struct CoveredView {
    /// The device.
    id: String,
    /// What people call it.
    name: String,
    /// Its model.
    model: String,
    /// Where it stands.
    ward: String,
    /// Whether what is accepted stands in its score now.
    has: bool,
}

/// What a person asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionAsk {
    /// The name of a weakness (`CVE-2026-1107`) or a rule of the score (`posture:os-support`).
    pub about: String,
    /// For which devices, as `NAME=VALUE`: at least one; all must fit.
    pub filter: Vec<String>,
    /// Who carries the risk.
    pub owner: String,
    /// Why it is not removed, at least 10 characters.
    pub reason: String,
    /// What is done instead, at least 10 characters.
    pub control: String,
    /// The end, RFC 3339, at most a year away.
    pub until: String,
}

/// A person's word on an exception.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WordAsk {
    /// Why, at least 10 characters.
    reason: String,
}

impl ExceptionView {
    /// An exception as it stands now.
    #[must_use]
    pub fn of(exception: &Exception, now: Timestamp) -> Self {
        let word = |word: &Word| WordView {
            by: word.by.clone(),
            at: word.at.to_string(),
            reason: word.reason.to_string(),
        };
        let kind = match exception.about {
            cordon_server_core::exception::About::Weakness(_) => "weakness",
            cordon_server_core::exception::About::Rule(_) => "rule",
        };
        Self {
            id: exception.id.to_string(),
            about: exception.about.name().to_owned(),
            kind: kind.to_owned(),
            filter: exception.filter.clone(),
            owner: exception.owner.to_string(),
            reason: exception.reason.to_string(),
            control: exception.control.to_string(),
            until: exception.until.to_string(),
            days: exception.until.seconds_since(now).div_euclid(86_400),
            state: exception.standing(now).word().to_owned(),
            requested: word(&exception.requested),
            approved: exception.approved.as_ref().map(word),
            withdrawn: exception.withdrawn.as_ref().map(word),
            line: exception.line(now),
        }
    }
}

impl ExceptionAsk {
    /// The same as types.
    pub(crate) fn asked(self) -> Result<Asked, Problem> {
        let text = |value: &str, what: &str| text_of("exception_refused", value, what);
        let until = Timestamp::parse(&self.until);
        let until =
            until.map_err(|_| refused("bad_end", "`until` is a time such as 2027-03-01T00:00:00Z"))?;
        Ok(Asked {
            owner: text(&self.owner, "owner")?,
            reason: text(&self.reason, "reason")?,
            control: text(&self.control, "control")?,
            about: self.about,
            filter: self.filter,
            until,
        })
    }
}

/// Accepted risks, the next to end first.
#[utoipa::path(get, path = "/api/v1/exceptions", params(ExceptionQuery), responses((status = 200, body = ExceptionPage)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<ExceptionQuery>,
) -> Answered<ExceptionPage> {
    let now = operator.app.clock.now();
    let mut exceptions = exceptions::all(&operator.app).await?;
    let wanted = |exception: &Exception| match query.state.as_deref() {
        Some(state) => exception.standing(now).word() == state,
        None => exception.standing(now) != Standing::Withdrawn,
    };
    exceptions.retain(wanted);
    exceptions.sort_by(|one, other| (one.until, &one.id).cmp(&(other.until, &other.id)));
    let views = exceptions.iter().take(limits::EXCEPTIONS);
    Ok(Json(ExceptionPage { exceptions: views.map(|one| ExceptionView::of(one, now)).collect() }))
}

/// Asks to accept a risk. It counts from a second person's yes on.
#[utoipa::path(post, path = "/api/v1/exceptions", request_body = ExceptionAsk,
    responses((status = 201, body = ExceptionAnswer), (status = 422)))]
pub async fn request(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<ExceptionAnswer>), Problem> {
    let ask: ExceptionAsk = json(request, "ExceptionAsk").await?;
    let exception = exceptions::request(&operator.app, ask.asked()?, &caller.actor).await?;
    Ok((StatusCode::CREATED, Json(answer(&operator, exception).await?)))
}

/// One accepted risk with the devices that it covers now.
#[utoipa::path(get, path = "/api/v1/exceptions/{id}", params(("id" = String, Path)),
    responses((status = 200, body = ExceptionAnswer), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<ExceptionAnswer> {
    let id: Name = parsed(&id, "exception")?;
    let exception = exceptions::one(&operator.app, &id).await?;
    Ok(Json(answer(&operator, exception).await?))
}

/// `approve`: a second person's yes, which whoever asked cannot give. `withdraw`: it is taken back, or somebody has seen that
/// it is over.
#[utoipa::path(post, path = "/api/v1/exceptions/{id}/{act}", params(("id" = String, Path), ("act" = String, Path)),
    request_body = WordAsk, responses((status = 200, body = ExceptionAnswer), (status = 404), (status = 409), (status = 422)))]
pub async fn act(
    State(operator): State<Operator>,
    caller: Caller,
    Path((id, word)): Path<(String, String)>,
    request: Request,
) -> Answered<ExceptionAnswer> {
    let id: Name = parsed(&id, "exception")?;
    let act = Act::of(&word).ok_or_else(|| not_found("act"))?;
    let ask: WordAsk = json(request, "WordAsk").await?;
    let reason: Text = good_reason(&ask.reason)?;
    let exception = exceptions::act(&operator.app, &id, act, &reason, &caller.actor).await?;
    Ok(Json(answer(&operator, exception).await?))
}

async fn answer(operator: &Operator, exception: Exception) -> Result<ExceptionAnswer, Problem> {
    let (app, published, now) = (operator.app.clone(), operator.published(), operator.app.clock.now());
    let view = ExceptionView::of(&exception, now);
    let looked = move || exceptions::covered(&app, &published, &exception);
    let all = tokio::task::spawn_blocking(looked).await.map_err(|error| Problem::internal(&error))?;
    let covered = all.iter().take(limits::PAGE_ROWS).map(|(member, has)| CoveredView {
        id: member.id().to_string(),
        name: member.device.called().to_string(),
        model: member.device.hardware.model.to_string(),
        ward: member.device.placement.ward.to_string(),
        has: *has,
    });
    Ok(ExceptionAnswer {
        exception: view,
        devices: all.len(),
        devices_with: all.iter().filter(|(_, has)| *has).count(),
        covered: covered.collect(),
    })
}

impl From<ExceptionError> for Problem {
    fn from(error: ExceptionError) -> Self {
        match error {
            ExceptionError::Unknown => not_found("exception"),
            ExceptionError::TooMany => refused("too_many", error.to_string()),
            ExceptionError::Refused(why @ cordon_server_core::exception::Refused::State(_)) => {
                Self::new(StatusCode::CONFLICT, why.code(), "Not possible now", why.to_string())
            }
            ExceptionError::Refused(why) => refused(why.code(), why.to_string()),
            ExceptionError::Store(error) => error.into(),
            ExceptionError::Commit(error) => error.into(),
        }
    }
}
