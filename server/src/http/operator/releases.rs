//! `/api/v1/releases`: what makers signed and this server took in, with every file that a release names.
//!
//! Facts are the maker's own, as signed; what the server adds is when it came, whether it is still listed, and which files
//! are here. Read next: `server/core`'s `import`.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_server_core::import::{Form, KnownRelease, Part};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Answered, Operator, not_found, parsed};
use crate::http::problem::Problem;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/releases", get(list))
        .route("/api/v1/releases/{repository}/{*release}", get(show))
}

/// Which releases.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReleaseQuery {
    /// Of this model only.
    model: Option<String>,
    /// `true` for those that their maker still lists, `false` for the others.
    listed: Option<bool>,
}

/// Releases that were taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleasePage {
    /// The releases: repository, name, model, counter, floor, image, when they came, whether they are listed, who signed
    /// the list, and `custom` as the maker signed it.
    #[schema(value_type = Vec<Object>)]
    releases: Vec<Value>,
}

/// One release.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseView {
    /// As in the list.
    #[schema(value_type = Object)]
    release: Value,
    /// Its image and every file that its maker names beside it.
    files: Vec<FileView>,
}

/// A file that a release names.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileView {
    /// `image`, `sbom`, `vex`, `mud` or `delta`.
    #[schema(value_type = String)]
    part: Part,
    /// SHA-256 of its bytes.
    sha256: String,
    /// Its bytes.
    length: u64,
    /// Where it can be had.
    href: String,
    /// Whether it is here.
    here: bool,
    /// In which form it is, and how much it counts.
    #[schema(value_type = Option<Object>)]
    form: Option<Form>,
}

impl ReleasePage {
    /// These releases.
    pub(super) fn of(releases: &[KnownRelease]) -> Self {
        Self { releases: releases.iter().map(view).collect() }
    }
}

/// A release with the maker's own words as a document, not as a text.
fn view(known: &KnownRelease) -> Value {
    let custom = serde_json::from_str(&known.statement).unwrap_or(Value::Null);
    let mut view = serde_json::to_value(known).expect("strings and integers are always JSON");
    if let Value::Object(fields) = &mut view {
        fields.remove("statement");
        fields.insert("custom".to_owned(), custom);
    }
    view
}

/// Releases that were taken in.
#[utoipa::path(get, path = "/api/v1/releases", params(ReleaseQuery), responses((status = 200, body = ReleasePage)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<ReleaseQuery>,
) -> Answered<ReleasePage> {
    let mut releases = operator.repositories.releases().await?;
    releases.retain(|known| {
        let of_model = query.model.as_deref().is_none_or(|model| known.model.as_str() == model);
        of_model && query.listed.is_none_or(|listed| known.listed == listed)
    });
    Ok(Json(ReleasePage::of(&releases)))
}

/// One release and its files.
#[utoipa::path(get, path = "/api/v1/releases/{repository}/{release}",
    params(("repository" = String, Path), ("release" = String, Path)),
    responses((status = 200, body = ReleaseView), (status = 404)))]
pub async fn show(
    State(operator): State<Operator>,
    Path((repository, release)): Path<(String, String)>,
) -> Answered<ReleaseView> {
    let (repository, release): (Name, TargetPath) =
        (parsed(&repository, "release")?, parsed(&release, "release")?);
    let known = operator.repositories.release(&repository, &release).await?;
    let known = known.ok_or_else(|| not_found("release"))?;
    let mut files = Vec::new();
    for (part, file) in known.files() {
        let blob = operator.app.blobs.get(file.sha256).await.map_err(|error| Problem::internal(&error))?;
        files.push(FileView {
            part,
            sha256: file.sha256.to_string(),
            length: file.length,
            href: format!("/api/v1/targets/{}", file.sha256),
            here: blob.is_some_and(|blob| blob.info().length == file.length),
            form: known.forms.get(&part).cloned(),
        });
    }
    Ok(Json(ReleaseView { release: view(&known), files }))
}

/// A file that was taken in, by its hash. Never shown in the browser: it is the maker's, not ours.
#[utoipa::path(get, path = "/api/v1/targets/{sha256}", params(("sha256" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 404)))]
pub async fn target(
    State(operator): State<Operator>,
    Path(sha256): Path<String>,
) -> Result<Response, Problem> {
    let sha256: Sha256 = parsed(&sha256, "target")?;
    let blob = operator.app.blobs.get(sha256).await.map_err(|error| Problem::internal(&error))?;
    let blob = blob.ok_or_else(|| not_found("target"))?;
    let length = blob.info().length;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, length.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{sha256}\"")),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(blob.stream(0, length))).into_response())
}
