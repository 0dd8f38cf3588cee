//! The enrolment plane: EST (RFC 7030) as third-party clients really speak it.
//!
//! A reply is one line of base64 and a line end, folded only for the one client that needs it; a 401 has no body; white
//! space in requests is nothing; the head of a reply stays short. A refusal of a known token says why, an unknown one
//! learns nothing. What becomes of a request is decided in `server/core`'s `admit`. Read next: [`router`].

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use cordon_proto::enrol::{HARDWARE_HEADER, read_hardware_header};
use cordon_proto::ids::{Hardware, Text, TokenId};
use cordon_proto::limits;
use cordon_server_core::admit::{self, Refused};

use super::problem::Problem;
use super::{Peer, authorities, body, rate};
use crate::app::{App, EnrolError};
use crate::ca::certs_only;
use crate::ca::request::Request as CertificationRequest;

/// Characters of a line for clients of libest, which read no longer ones.
const FOLD: usize = 64;
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// `CsrAttrs` (RFC 8951 section 3.2): a key on P-256, ECDSA with SHA-256.
const CSR_ATTRIBUTES: [u8; 35] = [
    0x30, 0x21, 0x30, 0x15, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x31, 0x0a, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03,
    0x02,
];

/// Standard base64; whether it is padded is the client's affair.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The routes of the enrolment plane.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/csrattrs", get(csrattrs))
        .route("/.well-known/est/simpleenroll", post(simpleenroll))
        .route("/.well-known/est/simplereenroll", post(simplereenroll))
        .merge(authorities::lists())
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .fallback(|| async { Problem::no_route() })
        .with_state(app)
}

/// The certificates of the authority (RFC 7030 section 4.1).
async fn cacerts(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    reply(&headers, "application/pkcs7-mime", app.ca.standing().cacerts())
}

/// What a request should look like (RFC 7030 section 4.5).
async fn csrattrs(headers: HeaderMap) -> Response {
    reply(&headers, "application/csrattrs", &CSR_ATTRIBUTES)
}

/// A certificate for a token (RFC 7030 section 4.2.1).
async fn simpleenroll(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let client = rate::client(peer.address.ip());
    if let Err(seconds) = app.refusal_rates.check(&client, app.clock.now_ms()) {
        app.metrics.enrolment("too-many");
        return Problem::too_many(seconds).into_response();
    }
    let (head, body) = request.into_parts();
    match enrol(&app, &peer, &head.headers, body).await {
        Ok(certificate) => {
            reply(&head.headers, "application/pkcs7-mime; smime-type=certs-only", &certificate)
        }
        Err(refusal) => {
            // Only what the client is to blame for counts against it.
            if refusal.is_clients() {
                let _ = app.refusal_rates.take(client, app.clock.now_ms());
            }
            refusal.into_response()
        }
    }
}

/// Renewal is not built yet, and an answer that pretends would strand devices.
async fn simplereenroll() -> Problem {
    let detail = "this server does not renew certificates yet: enrol again with a token before the end";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "renewal_not_offered", "Renewal is not offered yet", detail)
}

/// What a refused request is answered with.
enum Refusal {
    /// No credential, or one that means nothing here.
    Unauthorized,
    /// Anything that may be explained.
    Problem(Problem),
}

impl Refusal {
    fn is_clients(&self) -> bool {
        match self {
            Self::Unauthorized => true,
            Self::Problem(problem) => problem.status().is_client_error(),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => {
                let challenge = [(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"cordon\""))];
                (StatusCode::UNAUTHORIZED, challenge, Body::empty()).into_response()
            }
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

async fn enrol(app: &App, peer: &Peer, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    let token = token(headers).ok_or(Refusal::Unauthorized)?;
    let hardware = hardware(headers)?;
    let body = body::read(headers, body, limits::EST_BODY_BYTES).await?;
    let der = decode(&body)?;
    let parsed = CertificationRequest::parse(&der)
        .map_err(|error| bad_request(error.code(), "Certification request", error.to_string()))?;
    let Some(_work) = app.begin_work() else { return Err(Problem::busy().into()) };
    let from = Text::lossy(&peer.address.ip().to_string());
    let request =
        admit::Request { token, key: parsed.key_digest, serial: parsed.serial.clone(), hardware, from };
    let leaf = app.enrol(&request, &parsed.key).await.map_err(refusal)?;
    certs_only::write(&[leaf]).map_err(|error| Problem::internal(&error).into())
}

fn refusal(error: EnrolError) -> Refusal {
    let refused = match error {
        EnrolError::Refused(refused) => refused,
        EnrolError::Busy => return Problem::busy().into(),
        EnrolError::Store(error) => return Problem::from(error).into(),
        EnrolError::Commit(error) => return Problem::from(error).into(),
        EnrolError::Ca(error) => return Problem::internal(&error).into(),
    };
    let status = match refused {
        Refused::UnknownToken => return Refusal::Unauthorized,
        Refused::TokenRevoked
        | Refused::TokenExpired
        | Refused::TokenUsed
        | Refused::SerialMismatch
        | Refused::ModelMismatch
        | Refused::ManufacturerMismatch => StatusCode::FORBIDDEN,
        Refused::PendingApproval => StatusCode::CONFLICT,
    };
    Problem::new(status, refused.code(), "Not enrolled", refused.to_string()).into()
}

fn bad_request(code: &'static str, title: &'static str, detail: impl Into<String>) -> Refusal {
    Problem::new(StatusCode::BAD_REQUEST, code, title, detail).into()
}

/// The hash of the token in `Authorization: Basic base64(user:token)`. The user's name has no meaning here.
fn token(headers: &HeaderMap) -> Option<TokenId> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = LENIENT.decode(encoded.trim()).ok()?;
    let (_, token) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    // What cannot be a token is not looked up.
    (16..=128).contains(&token.len()).then(|| TokenId::of(token))
}

fn hardware(headers: &HeaderMap) -> Result<Option<Hardware>, Refusal> {
    let Some(value) = headers.get(HARDWARE_HEADER) else { return Ok(None) };
    let hardware = value.to_str().ok().and_then(read_hardware_header);
    hardware.map(Some).ok_or_else(|| {
        let detail = "the header X-Cordon-Hardware is not base64url of the CBOR [manufacturer, model, revision, serial]";
        bad_request("malformed_hardware", "Hardware", detail)
    })
}

/// The DER in a body of base64, white space and padding as the client likes (RFC 8951 section 3.1).
fn decode(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let digits: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(digits).map_err(|_| {
        bad_request(
            "malformed_csr",
            "Certification request",
            "the body is not base64 of a certification request",
        )
    })
}

/// A reply as every measured client reads it.
fn reply(headers: &HeaderMap, kind: &'static str, der: &[u8]) -> Response {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let text = encode(der, agent.starts_with("libest"));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (TRANSFER_ENCODING, HeaderValue::from_static("base64")),
    ];
    (headers, text).into_response()
}

fn encode(der: &[u8], fold: bool) -> String {
    let line = STANDARD.encode(der);
    if !fold {
        return line + "\n";
    }
    let mut text = String::with_capacity(line.len() + line.len() / FOLD + 1);
    let mut rest = line.as_str();
    while let Some((head, tail)) = rest.split_at_checked(FOLD) {
        text.push_str(head);
        text.push('\n');
        rest = tail;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
