//! `/api/v1/crl`: the list of void certificates for people's tools; the enrolment plane gives the same to everybody.
//!
//! Read next: [`crate::ca::crl`].

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use super::Operator;
use crate::http::authorities;
use crate::http::problem::Problem;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/crl", get(list)).route("/api/v1/crl/{issuer}", get(of_issuer))
}

/// The list of void device certificates (RFC 5280, DER) of the authority that issues now.
#[utoipa::path(get, path = "/api/v1/crl", responses((status = 200, content_type = "application/pkix-crl", body = Vec<u8>)))]
pub async fn list(State(operator): State<Operator>) -> Result<Response, Problem> {
    authorities::list(&operator.app, None).await
}

/// The same of an issuing authority by the identifier of its key, hexadecimal, also of a former one.
#[utoipa::path(get, path = "/api/v1/crl/{issuer}", params(("issuer" = String, Path)), responses((status = 200, content_type = "application/pkix-crl", body = Vec<u8>)))]
pub async fn of_issuer(
    State(operator): State<Operator>,
    Path(issuer): Path<String>,
) -> Result<Response, Problem> {
    authorities::list(&operator.app, Some(&issuer)).await
}
