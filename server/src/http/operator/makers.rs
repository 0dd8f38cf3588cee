//! `/api/v1/makers`: which models a maker's repository may list, and with which root it begins.
//!
//! A person says it once, with the digest that the maker gave them by another way. Read next: `repositories` for what
//! comes in.

use std::collections::BTreeSet;

use axum::extract::{Path, Request, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use cordon_proto::ids::{Name, Sha256, Text};
use cordon_server_core::import::Maker;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, json, parsed};
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/makers", get(list)).route("/api/v1/makers/{repository}", put(pin))
}

/// A maker as it is to be pinned.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakerAsk {
    /// The models that its repository may list.
    #[schema(value_type = Vec<String>)]
    models: BTreeSet<Text>,
    /// SHA-256 of its first root, in 64 hexadecimal digits.
    #[schema(value_type = String)]
    root_sha256: Sha256,
}

/// The makers that people pinned.
#[derive(Debug, Serialize, ToSchema)]
pub struct MakerPage {
    /// The makers.
    #[schema(value_type = Vec<Object>)]
    makers: Vec<Maker>,
}

/// The makers that people pinned.
#[utoipa::path(get, path = "/api/v1/makers", responses((status = 200, body = MakerPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<MakerPage> {
    Ok(Json(MakerPage { makers: operator.repositories.makers().await? }))
}

/// Pins a maker: its models and its first root. It replaces an earlier pin, and contradicts nothing that is here.
#[utoipa::path(put, path = "/api/v1/makers/{repository}", params(("repository" = String, Path)),
    request_body = MakerAsk, responses((status = 200, body = Object), (status = 422)))]
pub async fn pin(
    State(operator): State<Operator>,
    caller: Caller,
    Path(repository): Path<String>,
    request: Request,
) -> Answered<Maker> {
    let repository: Name = parsed(&repository, "repository")?;
    let ask: MakerAsk = json(request, "MakerAsk").await?;
    let now = operator.app.clock.now();
    let wanted = (ask.models, ask.root_sha256);
    Ok(Json(operator.repositories.pin(&repository, wanted, caller.at(now)).await?))
}
