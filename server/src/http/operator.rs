//! The operator plane's API: `/api/v1/…` for people's tools, described by its own OpenAPI document.
//!
//! A caller is a tool with a bearer token or a person with a session; whoever is neither gets 401 and learns nothing.
//! Forwarded headers mean nothing here. Every change goes through the same commits as the console's buttons, with the
//! caller as actor and the reason in the journal. Read next: one file for each noun, `console` for the pages.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cordon_server_core::policy::Access;
use serde::de::DeserializeOwned;
use utoipa::OpenApi;

use super::problem::Problem;
use crate::app::{ActError, App};
use crate::appraisal::Published;
use crate::people::Caller;
use crate::repositories::{PublishError, Repositories};
use crate::rollouts::{RolloutError, Rollouts};

pub mod advisories;
pub mod approvals;
pub mod assets;
pub mod audit;
pub mod calendar;
pub mod contacts;
pub mod coverage;
pub mod crl;
pub mod devices;
pub mod drafts;
pub mod events;
pub mod evidence;
pub mod exceptions;
pub mod expiries;
pub mod exposures;
pub mod feeds;
pub mod findings;
pub mod history;
pub mod makers;
pub mod orders;
pub mod receipts;
pub mod releases;
pub mod repositories;
pub mod risk;
pub mod rollouts;
pub mod sboms;
pub mod siem;
pub mod tokens;
pub mod visits;
pub mod vulnerabilities;

/// The cookie of a session. Over TLS it could carry the `__Host-` prefix; on loopback without TLS it may not.
pub const SESSION_COOKIE: &str = "cordon-session";
/// The header in which a script brings back the session's proof.
pub const CSRF_HEADER: &str = "x-csrf";

/// What all operator routes share.
#[derive(Clone)]
pub struct Operator {
    /// The application.
    pub app: Arc<App>,
    /// The rollouts.
    pub rollouts: Rollouts,
    /// The repositories.
    pub repositories: Repositories,
}

impl Operator {
    /// What scores depend on beside the devices themselves.
    #[must_use]
    pub fn published(&self) -> Published {
        Published { model: self.app.risk.model(), ..self.rollouts.published() }
    }
}

/// The description of this API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cordon operator API",
        description = "Everything the console can do. Errors are RFC 9457 problem documents.",
        license(name = "Apache-2.0 OR MIT")
    ),
    paths(
        advisories::list,
        advisories::show,
        advisories::devices,
        approvals::list,
        approvals::answer,
        approvals::answer_list,
        assets::import,
        assets::lists,
        audit::list,
        audit::head,
        audit::heads,
        audit::export,
        audit::inclusion,
        audit::consistency,
        calendar::show,
        contacts::search,
        coverage::show,
        crl::list,
        crl::of_issuer,
        devices::fleet,
        devices::list,
        devices::show,
        devices::act,
        devices::farewell,
        drafts::list,
        drafts::show,
        drafts::put,
        drafts::end,
        history::show,
        makers::list,
        makers::pin,
        orders::list,
        orders::plan,
        orders::show,
        receipts::export,
        receipts::import,
        events::stream,
        evidence::pack,
        exceptions::list,
        exceptions::request,
        exceptions::show,
        exceptions::act,
        expiries::list,
        exposures::list,
        feeds::list,
        feeds::show,
        feeds::put,
        feeds::end,
        findings::list,
        findings::show,
        findings::preview,
        findings::decide,
        findings::groups::list,
        findings::groups::show,
        findings::groups::preview,
        findings::groups::decide,
        findings::groups::allowances,
        findings::groups::take_back,
        releases::list,
        releases::show,
        releases::target,
        repositories::put_director,
        repositories::put_image,
        repositories::put_target,
        risk::device_history,
        risk::fleet,
        risk::fleet_history,
        risk::measures::show,
        risk::model::set,
        risk::model::show,
        risk::register::list,
        risk::versions::list,
        risk::versions::sheet,
        risk::versions::support,
        risk::what_if::show,
        rollouts::list,
        rollouts::create,
        rollouts::show,
        rollouts::reasons,
        rollouts::pause,
        rollouts::stop,
        rollouts::resume,
        rollouts::abort,
        rollouts::back,
        rollouts::finish,
        rollouts::accept,
        rollouts::holds::list,
        rollouts::holds::set,
        rollouts::holds::end,
        rollouts::members::list,
        sboms::of_release,
        sboms::of_device,
        sboms::drift,
        siem::show,
        siem::test,
        siem::findings,
        tokens::list,
        tokens::create,
        tokens::create_list,
        tokens::revoke,
        tokens::take_back,
        visits::list,
        visits::announce,
        visits::end,
        vulnerabilities::list,
    )
)]
struct Api;

/// The OpenAPI 3.1 document, as it is served and committed (`docs/openapi.json`): a path or a schema on each line.
#[must_use]
pub fn openapi() -> String {
    let document = serde_json::to_value(Api::openapi()).expect("strings and numbers are always JSON");
    let mut text = String::new();
    write_lines(&document, 0, &mut text);
    text.push('\n');
    text
}

/// Levels that are broken into lines: the document, its paths and kinds of components, the components.
const BROKEN_LEVELS: usize = 3;

fn write_lines(value: &serde_json::Value, level: usize, text: &mut String) {
    // A path's own operations stand on its line: they are a level higher than a component.
    let broken =
        |name: &str| level + 1 < BROKEN_LEVELS && (level > 0 || name == "components" || name == "paths");
    let Some(fields) = value.as_object() else { return text.push_str(&value.to_string()) };
    text.push('{');
    for (place, (name, field)) in fields.iter().enumerate() {
        text.push_str(if place == 0 { "\n" } else { ",\n" });
        text.push_str(&format!("{}: ", serde_json::Value::from(name.as_str())));
        if broken(name) && !name.starts_with('/') {
            write_lines(field, level + 1, text);
        } else {
            text.push_str(&field.to_string());
        }
    }
    text.push_str("\n}");
}

/// The routes, all behind the door.
pub fn router(operator: Operator) -> Router {
    Router::new()
        .merge(advisories::routes())
        .merge(approvals::routes())
        .merge(assets::routes())
        .merge(audit::routes())
        .merge(calendar::routes())
        .merge(contacts::routes())
        .merge(coverage::routes())
        .merge(crl::routes())
        .merge(devices::routes())
        .merge(drafts::routes())
        .merge(events::routes())
        .merge(evidence::routes())
        .merge(exceptions::routes())
        .merge(expiries::routes())
        .merge(exposures::routes())
        .merge(feeds::routes())
        .merge(findings::routes())
        .merge(history::routes())
        .merge(makers::routes())
        .merge(orders::routes())
        .merge(receipts::routes())
        .merge(releases::routes())
        .merge(repositories::routes())
        .merge(risk::routes())
        .merge(rollouts::routes())
        .merge(sboms::routes())
        .merge(siem::routes())
        .merge(tokens::routes())
        .merge(visits::routes())
        .merge(vulnerabilities::routes())
        .route_layer(from_fn_with_state(operator.clone(), door))
        .route("/api/v1/openapi.json", get(async || ([("content-type", "application/json")], openapi())))
        .with_state(operator)
}

/// Lets a request in, with its caller attached, or answers it.
async fn door(
    axum::extract::State(operator): axum::extract::State<Operator>,
    mut request: Request,
    next: Next,
) -> Response {
    let access = access_of(request.method(), request.uri().path());
    match caller(&operator.app, request.headers()).await {
        Err(problem) => problem.into_response(),
        Ok(None) => unauthorised(),
        Ok(Some(caller)) if !caller.role.may(access) => Problem::new(
            StatusCode::FORBIDDEN,
            "not_allowed",
            "Not allowed",
            "this account may look but not change anything; ask an administrator",
        )
        .into_response(),
        Ok(Some(caller)) if !request.method().is_safe() && !is_proved(&caller, request.headers()) => {
            form_expired().into_response()
        }
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

/// What a request is about. Stopping is the one thing that must never wait for an administrator; ending a hold, resuming or
/// sending devices back is not stopping.
fn access_of(method: &Method, path: &str) -> Access {
    let act = path.strip_prefix("/api/v1/rollouts/").and_then(|rest| rest.split_once('/'));
    let stops = matches!(act, Some((_, "pause" | "stop"))) || path == "/api/v1/holds";
    // A preview changes nothing; it is sent as a body because a filter may be long. A search is looking, and told to the audit log.
    let looks = matches!(path, "/api/v1/orders/preview" | "/api/v1/contacts/search");
    let reads = method.is_safe() || looks && *method == Method::POST;
    match (reads, stops && *method == Method::POST) {
        (true, _) => Access::Read,
        (false, true) => Access::Stop,
        (false, false) => Access::Change,
    }
}

/// Who sends this: by bearer token, else by session cookie.
pub async fn caller(app: &App, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    if let Some(bearer) = headers.get(AUTHORIZATION) {
        let secret = bearer.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let Some(secret) = secret else { return Ok(None) };
        return Ok(app.caller_by_token(secret.trim()).await?);
    }
    match session_cookie(headers) {
        Some(cookie) => Ok(app.caller_by_session(cookie).await?),
        None => Ok(None),
    }
}

/// The session's secret, if the browser sent one.
#[must_use]
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

/// A tool proves itself by its token; a browser must bring back what only our own pages know.
fn is_proved(caller: &Caller, headers: &HeaderMap) -> bool {
    match &caller.csrf {
        None => true,
        Some(csrf) => headers.get(CSRF_HEADER).is_some_and(|sent| sent.as_bytes() == csrf.as_bytes()),
    }
}

fn unauthorised() -> Response {
    let detail = "send `Authorization: Bearer TOKEN`, or sign in by the link that the server prints";
    let mut response =
        Problem::new(StatusCode::UNAUTHORIZED, "not_signed_in", "Not signed in", detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cordon\""));
    response
}

fn form_expired() -> Problem {
    let detail =
        "the request lacks this session's proof; load the page again and repeat it. Nothing was changed";
    Problem::new(StatusCode::FORBIDDEN, "form_expired", "Form expired", detail)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(form_expired)
    }
}

/// A JSON body of an ordinary size, or a sentence that names what is wrong with it.
pub(crate) async fn json<T: DeserializeOwned>(request: Request, name: &'static str) -> Result<T, Problem> {
    json_within(request, name, cordon_proto::limits::BODY_BYTES).await
}

/// The same for a body that may hold a long list.
pub(crate) async fn json_within<T: DeserializeOwned>(
    request: Request,
    name: &'static str,
    limit: usize,
) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = super::body::read(&parts.headers, body, limit).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::malformed(name, error))
}

/// Something that is not there.
pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", format!("there is no such {what} here"))
}

/// A refusal of the caller's own making.
pub(crate) fn refused(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, "Refused", detail)
}

/// A path's part that must parse.
pub(crate) fn parsed<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| not_found(what))
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Unknown(what) => not_found(what),
            ActError::NotPossible(error) => {
                Self::new(StatusCode::CONFLICT, "not_possible", "Not possible now", error.to_string())
            }
            ActError::NotAsking(_) | ActError::NoDoubt | ActError::SerialTaken | ActError::TokenExists => {
                Self::new(StatusCode::CONFLICT, "not_possible", "Not possible now", error.to_string())
            }
            ActError::ModelUnknown(_) => refused("model_unknown", error.to_string()),
            ActError::Order(error) => refused("token_refused", error.to_string()),
            ActError::Store(error) => error.into(),
            ActError::Commit(error) => error.into(),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Refused(_)
            | PublishError::Orders(_)
            | PublishError::Contents(_)
            | PublishError::Import(_)
            | PublishError::Reserved => refused("publication_refused", error.to_string()),
            PublishError::Pin(_) => refused("maker_refused", error.to_string()),
            PublishError::Blobs(error) => Self::internal(&error),
            PublishError::Store(error) => error.into(),
            PublishError::TooMuch(error) => Self::internal(&error),
        }
    }
}

impl From<RolloutError> for Problem {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Unknown(_) => not_found("rollout or hold"),
            RolloutError::Exists(_)
            | RolloutError::State(_)
            | RolloutError::Moved(_)
            | RolloutError::StillBroken(_)
            | RolloutError::Busy => {
                Self::new(StatusCode::CONFLICT, "not_possible", "Not possible now", error.to_string())
            }
            RolloutError::List { .. }
            | RolloutError::NoOrder(_)
            | RolloutError::Empty(_)
            | RolloutError::Twice(_)
            | RolloutError::OtherRelease(_)
            | RolloutError::Ended(_)
            | RolloutError::Overlap { .. }
            | RolloutError::Outside(_)
            | RolloutError::NobodyJoins(_)
            | RolloutError::NotReady(_)
            | RolloutError::Unfit { .. }
            | RolloutError::NoWayBack
            | RolloutError::NotConfirmed
            | RolloutError::Reason => refused(error.rule().unwrap_or("rollout_refused"), error.to_string()),
            RolloutError::Orders(error) => error.into(),
            RolloutError::Store(error) => error.into(),
            RolloutError::TooMuch(error) => Self::internal(&error),
        }
    }
}

/// An answer as JSON.
pub(crate) type Answered<T> = Result<Json<T>, Problem>;

#[cfg(test)]
mod tests;
