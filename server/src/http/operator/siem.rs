//! `/api/v1/siem`: how the SIEM stands, a test of the way to it, and findings in its words as a file.
//!
//! What is sent by itself is the job of `siem`; here people look at it. A test says what the other side said. Read next:
//! `siem`.

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::siem::position::Position;
use cordon_server_core::siem::{Event, Format, Reporter, Stream, Told};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::rollouts::ReasonAsk;
use super::{Answered, Operator, json, not_found, refused};
use crate::app::name;
use crate::fleet::Member;
use crate::http::problem::Problem;
use crate::log::chain;
use crate::people::Caller;
use crate::siem::Siem;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/siem", get(show))
        .route("/api/v1/siem/test", post(test))
        .route("/api/v1/siem/findings", get(findings))
}

/// How the SIEM stands.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct SiemView {
    /// Where it listens; none if the settings name no SIEM.
    pub address: Option<String>,
    /// `ocsf` or `cef`.
    pub format: Option<&'static str>,
    /// What it is told: `findings`, `audit`.
    pub what: Vec<&'static str>,
    /// `none`, `starting`, `well` or `failing`.
    pub state: &'static str,
    /// When it last took something, were it nothing but a connection; RFC 3339.
    pub taken: Option<String>,
    /// Events that it took.
    pub events: u64,
    /// Commits of the store that were not looked through yet, where that is known.
    pub behind: Option<u64>,
    /// Since when it takes nothing, RFC 3339.
    pub failing_since: Option<String>,
    /// Why.
    pub why: Option<String>,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct SiemTested {
    /// Whether the event arrived.
    pub arrived: bool,
    /// Where to.
    pub address: String,
    /// Version and cipher suite of TLS, where it was spoken.
    pub tls: Option<String>,
    /// Milliseconds that it took.
    pub took_ms: i64,
    /// Why it did not arrive.
    pub why: Option<String>,
}

/// Which findings, in which words.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `ocsf` or `cef`.
    format: String,
    /// `open` (the default: all that are not closed) or `all`.
    state: Option<String>,
}

/// How the SIEM stands.
#[utoipa::path(get, path = "/api/v1/siem", responses((status = 200, body = SiemView)))]
pub async fn show(State(operator): State<Operator>) -> Answered<SiemView> {
    let Some(siem) = &operator.app.siem else {
        return Ok(Json(SiemView { state: "none", ..SiemView::default() }));
    };
    let standing = siem.standing(&operator.app).await?;
    let position = standing.position.as_ref();
    let failing = position.and_then(|position| position.failing.as_ref());
    Ok(Json(SiemView {
        address: Some(siem.settings.address.clone()),
        format: Some(siem.settings.format.word()),
        what: siem.settings.what.iter().copied().map(Stream::word).collect(),
        state: match (position.and_then(|position| position.taken), failing) {
            (_, Some(_)) => "failing",
            (Some(_), None) => "well",
            (None, None) => "starting",
        },
        taken: position.and_then(|position| position.taken).map(|at| at.to_string()),
        events: position.map_or(0, |position| position.events),
        behind: standing.behind,
        failing_since: failing.map(|failing| failing.since.to_string()),
        why: failing.map(|failing| failing.why.clone()),
    }))
}

/// Sends one event that says that nothing happened, and says what came of it.
#[utoipa::path(post, path = "/api/v1/siem/test", request_body = ReasonAsk,
    responses((status = 200, body = SiemTested), (status = 404)))]
pub async fn test(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Answered<SiemTested> {
    let ask: ReasonAsk = json(request, "ReasonAsk").await?;
    let reason = good_reason(&ask.reason)?;
    let siem = operator.app.siem.clone().ok_or_else(|| not_found("SIEM in the settings"))?;
    let begun = operator.app.clock.now_ms();
    let sent = siem.test(&operator.app, &caller.actor).await;
    let took_ms = operator.app.clock.now_ms().since(begun);
    let (arrived, tls, why) = match sent {
        Ok(sent) => (true, sent.tls, None),
        Err(error) => (false, None, Some(chain(&error))),
    };
    let after = why.as_deref().unwrap_or("it arrived");
    let entry = Entry {
        reason: Some(reason),
        after: Some(Summary::of(after)),
        ..Entry::new(name("siem.test"), cordon_proto::ids::Text::lossy(&siem.settings.address))
    };
    let draft = Commit::draft(operator.app.clock.now(), caller.actor.clone()).audit(entry);
    operator.app.commit(draft).await?;
    Ok(Json(SiemTested { arrived, address: siem.settings.address.clone(), tls, took_ms, why }))
}

/// Findings as they stand, a line each, in the words of a SIEM: the very lines that one is sent, without syslog around them.
#[utoipa::path(get, path = "/api/v1/siem/findings", params(ExportQuery),
    responses((status = 200, description = "A line for each finding, and one for the connection behind it", content_type = "text/plain", body = String)))]
pub async fn findings(
    State(operator): State<Operator>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let format = Format::of(&query.format);
    let format = format.ok_or_else(|| refused("format_unknown", "`format` is `ocsf` or `cef`"))?;
    let all = match query.state.as_deref().unwrap_or("open") {
        "open" => false,
        "all" => true,
        _ => return Err(refused("state_unknown", "`state` is `open` or `all`")),
    };
    let reporter = Siem::reporter(&operator.app.config);
    let members = operator.app.fleet.all();
    // Made device by device as they are read, so that a large fleet is never held as one text.
    let lines = stream::iter(
        members
            .into_iter()
            .map(move |member| Ok::<_, std::convert::Infallible>(lines_of(&member, &reporter, format, all))),
    );
    let kind = match format {
        Format::Ocsf => "application/x-ndjson",
        Format::Cef => "text/plain; charset=utf-8",
    };
    Ok(([(CONTENT_TYPE, kind)], Body::from_stream(lines)).into_response())
}

fn lines_of(member: &Member, reporter: &Reporter, format: Format, all: bool) -> Bytes {
    let mut lines = String::new();
    for record in member.findings.values().filter(|record| all || record.weighs()) {
        let Some(step) = record.history.last() else { continue };
        let told = Told { record, step, device: Some(&member.device), first: record.weighs() };
        for message in Event::Finding(told).messages(reporter, format) {
            lines.push_str(&message.text);
            lines.push('\n');
        }
    }
    lines.into()
}

/// What people must be told of the SIEM, for the list of what cannot be seen.
pub(crate) async fn trouble(operator: &Operator, now: Timestamp) -> Result<Option<String>, Problem> {
    let Some(siem) = &operator.app.siem else { return Ok(None) };
    let position: Option<Position> = siem.standing(&operator.app).await?.position;
    Ok(position.and_then(|position| position.trouble(now)))
}
