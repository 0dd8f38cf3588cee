//! `/api/v1/drafts`: drafts of orders on their way from one signer to the next.
//!
//! A draft is written over the revision that was read (`?revision=`), so that of two who write at once one is told. What
//! it says is for people's own tools to judge; the server could never complete one. Read next: `drafts`.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::ids::Name;
use cordon_proto::limits;
use cordon_proto::update::draft::Intent;
use cordon_server_core::change::Revision;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::rollouts::ReasonAsk;
use super::{Answered, Operator, json, json_within, not_found, parsed, refused};
use crate::drafts::{DraftError, Drafts, Handed, Told};
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/drafts", get(list))
        .route("/api/v1/drafts/{name}", get(show).put(put).delete(end))
}

/// A draft that is handed in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftAsk {
    /// What is to come and to go, as `cordonctl order draft push` writes it.
    draft: String,
    /// The next document of orders with the signatures so far.
    document: String,
    /// The lists of the scopes by order.
    #[serde(default)]
    #[schema(value_type = Object)]
    lists: BTreeMap<Name, String>,
}

/// Over which state it is written.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DraftQuery {
    /// The revision that was read; without it there must be no draft of that name.
    revision: Option<u64>,
}

/// One draft in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct DraftView {
    /// Its name.
    name: String,
    /// Who made it, in their own words.
    by: String,
    /// When, RFC 3339.
    made: String,
    /// When the server forgets it, RFC 3339.
    until: String,
    /// The version of the document of orders over which it was made.
    base: u64,
    /// Name it as `revision` to write the next state.
    revision: u64,
    /// The keys that have signed, as the document claims.
    signers: Vec<String>,
    /// The orders that come.
    adds: Vec<String>,
    /// The orders that go.
    withdraws: Vec<String>,
}

/// Drafts that wait.
#[derive(Debug, Serialize, ToSchema)]
pub struct DraftPage {
    /// The drafts.
    drafts: Vec<DraftView>,
}

/// One draft whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct DraftWhole {
    /// What stands in lists.
    #[serde(flatten)]
    view: DraftView,
    /// As it was handed in.
    draft: String,
    /// As it was handed in.
    document: String,
    /// As they were handed in.
    #[schema(value_type = Object)]
    lists: BTreeMap<Name, String>,
}

/// The state that was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct DraftKept {
    /// Its revision.
    revision: u64,
}

fn view(told: &Told) -> DraftView {
    let named = |comes: bool| {
        let name = |intent: &Intent| match intent {
            Intent::Add(order) => comes.then(|| order.id.to_string()),
            Intent::Withdraw(name) => (!comes).then(|| name.to_string()),
        };
        told.draft.intents.iter().filter_map(name).collect()
    };
    DraftView {
        name: told.draft.name.to_string(),
        by: told.draft.by.to_string(),
        made: told.draft.made.to_string(),
        until: told.kept.until.to_string(),
        base: told.draft.base,
        revision: told.revision.0,
        signers: told.signers.clone(),
        adds: named(true),
        withdraws: named(false),
    }
}

/// Drafts of orders that wait for signatures.
#[utoipa::path(get, path = "/api/v1/drafts", responses((status = 200, body = DraftPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<DraftPage> {
    let drafts = drafts(&operator).list(operator.app.clock.now()).await?;
    Ok(Json(DraftPage { drafts: drafts.iter().map(view).collect() }))
}

/// One draft whole.
#[utoipa::path(get, path = "/api/v1/drafts/{name}", params(("name" = String, Path)),
    responses((status = 200, body = DraftWhole), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(name): Path<String>) -> Answered<DraftWhole> {
    let name: Name = parsed(&name, "draft")?;
    let told = drafts(&operator).get(&name, operator.app.clock.now()).await?;
    let view = view(&told);
    let kept = told.kept;
    Ok(Json(DraftWhole { view, draft: kept.draft, document: kept.document, lists: kept.lists }))
}

/// Keeps a draft, or its next state. The server looks at its form alone.
#[utoipa::path(put, path = "/api/v1/drafts/{name}", params(("name" = String, Path), DraftQuery),
    request_body = DraftAsk, responses((status = 200, body = DraftKept), (status = 409), (status = 422)))]
pub async fn put(
    State(operator): State<Operator>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DraftQuery>,
    request: Request,
) -> Answered<DraftKept> {
    let name: Name = parsed(&name, "draft")?;
    let ask: DraftAsk = json_within(request, "DraftAsk", limits::DRAFT_BYTES).await?;
    let handed = Handed { draft: ask.draft, document: ask.document, lists: ask.lists };
    let by = caller.at(operator.app.clock.now());
    let revision = drafts(&operator).put(&name, handed, query.revision.map(Revision), by).await?;
    Ok(Json(DraftKept { revision: revision.0 }))
}

/// Drops a draft, with the reason in the journal.
#[utoipa::path(delete, path = "/api/v1/drafts/{name}", params(("name" = String, Path)), request_body = ReasonAsk,
    responses((status = 204), (status = 404), (status = 422)))]
pub async fn end(
    State(operator): State<Operator>,
    caller: Caller,
    Path(name): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let name: Name = parsed(&name, "draft")?;
    let ask: ReasonAsk = json(request, "ReasonAsk").await?;
    let reason = good_reason(&ask.reason)?;
    drafts(&operator).drop(&name, reason, caller.at(operator.app.clock.now())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The drafts of this store.
pub(crate) fn drafts(operator: &Operator) -> Drafts {
    Drafts::new(operator.app.store.clone())
}

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::Unknown => not_found("draft"),
            DraftError::Form(_) | DraftError::TooMany | DraftError::TooLarge(_) => {
                refused("draft_refused", error.to_string())
            }
            DraftError::Store(error) => error.into(),
        }
    }
}
