//! `/api/v1/repositories`, `/api/v1/targets`: what people signed comes in here.
//!
//! Read next: `releases` for what came in, `makers` for who may send what.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::{Json, Router};
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use futures_util::StreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::releases::ReleasePage;
use super::{Answered, Operator, not_found, parsed, refused};
use crate::example::is_example;
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::repositories::{DIRECTOR, Incoming};
use crate::store::blobs::BlobError;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/repositories/director/{file}", put(put_director).get(serve_director))
        .route("/api/v1/repositories/image/{repository}/{file}", put(put_image).get(serve_image))
        .route("/api/v1/targets/{sha256}", put(put_target).get(super::releases::target))
}

/// A document that was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Published {
    /// Under which name it is served.
    file: String,
    /// Its version.
    version: u64,
    /// When it lapses, RFC 3339.
    expires: String,
}

/// An image that was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetStored {
    /// SHA-256 of its bytes.
    sha256: String,
    /// Its bytes.
    length: u64,
}

async fn body(request: Request) -> Result<bytes::Bytes, Problem> {
    let (parts, body) = request.into_parts();
    crate::http::body::read(&parts.headers, body, limits::TUF_TARGETS_BYTES).await
}

/// Takes in one document of the owner's repository: root, targets, orders or content. Snapshot and timestamp follow.
#[utoipa::path(put, path = "/api/v1/repositories/director/{file}", params(("file" = String, Path)),
    responses((status = 200, body = Published), (status = 422)))]
pub async fn put_director(
    State(operator): State<Operator>,
    caller: Caller,
    Path(file): Path<String>,
    request: Request,
) -> Answered<Published> {
    let bytes = body(request).await?;
    no_example(&operator, &bytes)?;
    let now = operator.app.clock.now();
    let accepted = operator.repositories.publish_director(&file, &bytes, caller.at(now)).await?;
    operator.rollouts.read_orders(now).await?;
    operator.app.waits.ring_all(operator.app.fleet.all().iter().map(|member| member.id()));
    let (version, expires) = (accepted.version, accepted.expires.to_string());
    Ok(Json(Published { file: accepted.file.to_string(), version, expires }))
}

/// Takes in one file of a manufacturer's repository. The release lists appear with the `timestamp.json`.
#[utoipa::path(put, path = "/api/v1/repositories/image/{repository}/{file}",
    params(("repository" = String, Path), ("file" = String, Path)),
    responses((status = 200, body = ReleasePage), (status = 422)))]
pub async fn put_image(
    State(operator): State<Operator>,
    caller: Caller,
    Path((repository, file)): Path<(String, String)>,
    request: Request,
) -> Answered<ReleasePage> {
    let repository: Name = parsed(&repository, "repository")?;
    let bytes = body(request).await?;
    no_example(&operator, &bytes)?;
    let now = operator.app.clock.now();
    let incoming = Incoming { repository: &repository, file: &file, bytes: &bytes };
    let publish = operator.repositories.publish_image(incoming, &operator.app.blobs, caller.at(now));
    let releases = publish.await?;
    operator.rollouts.read_orders(now).await?;
    Ok(Json(ReleasePage::of(&releases)))
}

/// Roots whose private halves are published with the source belong into a trial on loopback and nowhere else.
fn no_example(operator: &Operator, bytes: &[u8]) -> Result<(), Problem> {
    let config = &operator.app.config;
    let is_trial = config.allow_example_keys && config.is_loopback_only();
    if is_trial || !is_example(bytes) {
        return Ok(());
    }
    let detail = "the root gives a role to an example key, which everybody has: make your own with \
                  `cordonctl keys generate` and sign the root anew; nothing was changed";
    Err(refused("example_key", detail))
}

async fn serve_director(operator: State<Operator>, Path(file): Path<String>) -> Result<Response, Problem> {
    serve_image(operator, Path((DIRECTOR.to_owned(), file))).await
}

async fn serve_image(
    State(operator): State<Operator>,
    Path((repository, file)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let repository: Name = parsed(&repository, "repository")?;
    let bytes = operator.repositories.file(&repository, &file).await?.ok_or_else(|| not_found("file"))?;
    Ok(([(CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Takes in an image by its hash.
#[utoipa::path(put, path = "/api/v1/targets/{sha256}", params(("sha256" = String, Path)),
    responses((status = 200, body = TargetStored), (status = 422)))]
pub async fn put_target(
    State(operator): State<Operator>,
    Path(sha256): Path<String>,
    request: Request,
) -> Answered<TargetStored> {
    let sha256: Sha256 = parsed(&sha256, "target")?;
    let mut pieces = request.into_body().into_data_stream();
    let mut incoming = operator.app.blobs.put(limits::IMAGE_BYTES).await.map_err(of_blob)?;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::malformed("image", error))?;
        incoming = incoming.write(piece).await.map_err(of_blob)?;
    }
    let stored = incoming.finish(Some(sha256)).await.map_err(of_blob)?;
    Ok(Json(TargetStored { sha256: stored.sha256.to_string(), length: stored.length }))
}

fn of_blob(error: BlobError) -> Problem {
    match error {
        BlobError::TooLong { .. } | BlobError::WrongHash { .. } => {
            refused("target_refused", error.to_string())
        }
        BlobError::Full { .. } => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            "Disk full",
            "free space on the server's disk and send the file again; nothing was kept",
        ),
        BlobError::Unavailable { .. } => Problem::internal(&error),
    }
}
