//! What the authorities publish: signed bundles of roots for devices, lists of void certificates for third parties.
//!
//! Neither is a secret and neither is believed on this server's word: a bundle is signed by a root, a list by an issuing
//! authority. Read next: `proto`'s `authorities`, [`crate::ca::crl`].

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;
use crate::app::{App, CrlError};

/// The route of the device plane.
pub(super) fn bundles() -> Router<Arc<App>> {
    Router::new().route("/v1/authorities/{version}", get(bundle))
}

/// The routes of the enrolment plane.
pub(super) fn lists() -> Router<Arc<App>> {
    Router::new()
        .route("/.well-known/cordon/crl", get(newest))
        .route("/.well-known/cordon/crl/{issuer}", get(of_issuer))
}

async fn bundle(State(app): State<Arc<App>>, Path(version): Path<u64>) -> Result<Response, Problem> {
    let standing = app.ca.standing();
    let bytes = standing.bundle(version).map(<[u8]>::to_vec);
    let bytes = bytes.ok_or_else(|| {
        let detail = "there is no bundle of authorities of this version";
        Problem::new(StatusCode::NOT_FOUND, "no_such_bundle", "No such bundle", detail)
    })?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/cbor"))], bytes).into_response())
}

async fn newest(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    list(&app, None).await
}

async fn of_issuer(State(app): State<Arc<App>>, Path(issuer): Path<String>) -> Result<Response, Problem> {
    list(&app, Some(&issuer)).await
}

/// A list as readers know it (RFC 2585 section 4.2).
pub(super) async fn list(app: &App, issuer: Option<&str>) -> Result<Response, Problem> {
    let list = app.crl(issuer).await?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/pkix-crl"))], list).into_response())
}

impl From<CrlError> for Problem {
    fn from(error: CrlError) -> Self {
        match error {
            CrlError::Unknown => {
                let detail = "no issuing authority of this server has this key identifier";
                Self::new(StatusCode::NOT_FOUND, "no_such_issuer", "No such issuer", detail)
            }
            CrlError::Stale => Self::stale(),
            CrlError::Store(error) => error.into(),
            CrlError::Ca(error) => Self::internal(&error),
        }
    }
}
