//! Files for devices: signed metadata as received, and images by their hash, with ranges.
//!
//! Nothing here is secret and nothing here is believed: a device verifies every byte. What is served is what was
//! published, bit for bit. Read next: `repositories` for how files come in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cordon_proto::ids::{Name, Sha256, TargetPath};

use super::problem::Problem;
use super::range::Part;
use crate::app::App;
use crate::repositories::DIRECTOR;
use crate::store::Key;
use crate::store::blobs::Blob;

/// A file of the owner's repository.
pub(super) async fn director_file(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    metadata(&app, DIRECTOR, &file, &headers).await
}

/// A file of a manufacturer's repository.
pub(super) async fn image_file(
    State(app): State<Arc<App>>,
    Path((repository, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if repository == DIRECTOR {
        return Err(no_such_file());
    }
    metadata(&app, &repository, &file, &headers).await
}

/// An image, or the asked-for part of it.
pub(super) async fn target(
    State(app): State<Arc<App>>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sha256: Sha256 = sha256.parse().map_err(|_| no_such_target())?;
    let blob = app.blobs.get(sha256).await.map_err(|error| Problem::internal(&error))?;
    // Of several servers one has the image first: a device waits for it, it is not told that there is none.
    let missing = || match app.director().is_some_and(|director| director.knows_image(&sha256)) {
        true => Problem::not_here_yet(),
        false => no_such_target(),
    };
    Ok(image(&blob.ok_or_else(missing)?, &headers))
}

async fn metadata(app: &App, repository: &str, file: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let name: (Result<Name, _>, Result<TargetPath, _>) = (repository.parse(), file.parse());
    let (Ok(repository), Ok(file)) = name else { return Err(no_such_file()) };
    let row = app.store.get(Key::RepositoryFile { repository, file }).await?.ok_or_else(no_such_file)?;
    let tag = entity_tag(Sha256::of(&row.body));
    if headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let kind = HeaderValue::from_static("application/json");
    // A timestamp is replaced in place; whoever keeps copies must ask again.
    let keep = HeaderValue::from_static("no-cache");
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, keep), (ETAG, tag)], row.body).into_response())
}

fn image(blob: &Blob, headers: &HeaderMap) -> Response {
    let length = blob.info().length;
    let tag = entity_tag(blob.info().sha256);
    let asked = headers.get(RANGE).and_then(|range| range.to_str().ok());
    // A range is meant for the very file that the client has the beginning of (RFC 9110 section 13.1.5).
    let same = headers.get(IF_RANGE).is_none_or(|known| *known == tag);
    let (status, start, part, range) = match Part::of(asked.filter(|_| same), length) {
        Part::Whole => (StatusCode::OK, 0, length, None),
        Part::Bytes { start, length: part } => {
            let last = start.saturating_add(part).saturating_sub(1);
            (StatusCode::PARTIAL_CONTENT, start, part, Some(format!("bytes {start}-{last}/{length}")))
        }
        Part::Beyond => {
            let range = HeaderValue::from_str(&format!("bytes */{length}"));
            let problem = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "no_such_range",
                "No such range",
                "the range begins behind the end of the image: ask from the start again",
            );
            let mut response = problem.into_response();
            response.headers_mut().extend(range.ok().map(|range| (CONTENT_RANGE, range)));
            return response;
        }
    };
    let mut response = (status, Body::from_stream(blob.stream(start, part))).into_response();
    let mut put = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
    put(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    put(CONTENT_LENGTH, part.into());
    put(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    put(ETAG, tag);
    if let Some(range) = range.and_then(|range| HeaderValue::from_str(&range).ok()) {
        put(CONTENT_RANGE, range);
    }
    response
}

/// Whether a header of entity tags names this one.
fn names(header: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(header), Ok(tag)) = (header.to_str(), tag.to_str()) else { return false };
    header.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn entity_tag(sha256: Sha256) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{sha256}\"")).expect("hexadecimal digits in quotes")
}

fn no_such_file() -> Problem {
    let detail = "no such file is published in this repository";
    Problem::new(StatusCode::NOT_FOUND, "no_such_file", "No such file", detail)
}

fn no_such_target() -> Problem {
    let detail = "no image with this SHA-256 is here: the owner has to import the release first";
    Problem::new(StatusCode::NOT_FOUND, "no_such_target", "No such target", detail)
}
