//! The enrolment plane: EST (RFC 7030) as third-party clients really speak it.
//!
//! `simpleenroll` takes a token, a birth certificate, or nothing; `simplereenroll` the present certificate, which may
//! have ended. Who has to wait gets a 202 without a body. A 401 has no body either; a refusal of a known credential says
//! why, an unknown one learns nothing. What becomes of a request is decided in `server/core`'s `admit`. Read next:
//! [`router`], `form` for what stands on the wire.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cordon_proto::enrol::{
    BINDING_HEADER, HARDWARE_HEADER, binding_message, from_base64url, read_hardware_header,
};
use cordon_proto::ids::{Hardware, Text};
use cordon_proto::limits;
use cordon_server_core::admit::{self, Credential, Refused, RenewalRefused};
use rustls::pki_types::UnixTime;

use super::problem::Problem;
use super::{Peer, authorities, body, rate};
use crate::app::{App, EnrolError, Granted, Line};
use crate::ca::certs_only;
use crate::ca::request::Request as CertificationRequest;
use crate::chance;
use crate::tls::clients::{Clients, Origin};

mod form;
#[cfg(test)]
mod tests;

use self::form::{CSR_ATTRIBUTES, decode, reply, token};

/// Seconds after which a full queue is asked again, before jitter.
const QUEUE_FULL_S: u64 = 600;
const CERTIFICATE: &str = "application/pkcs7-mime; smime-type=certs-only";

/// The routes of the enrolment plane.
pub fn router(app: Arc<App>, clients: Arc<Clients>) -> Router {
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/csrattrs", get(csrattrs))
        .route("/.well-known/est/simpleenroll", post(simpleenroll))
        .route("/.well-known/est/simplereenroll", post(simplereenroll))
        .merge(authorities::lists())
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .fallback(|| async { Problem::no_route() })
        .layer(Extension(clients))
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

/// A certificate for a token, a birth certificate, or a person's yes (RFC 7030 section 4.2.1).
async fn simpleenroll(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(clients): Extension<Arc<Clients>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let asking = Asking { app: &app, peer: &peer, headers: &head.headers };
    if let Err(refusal) = asking.may_be_refused() {
        return refusal.into_response();
    }
    let answer = match asking.parse(body).await {
        Ok(parsed) => asking.enrol(&clients, &parsed).await,
        Err(refusal) => Err(refusal),
    };
    asking.answer(answer)
}

/// The next certificate for the present one (RFC 7030 section 4.2.2), which may have ended.
async fn simplereenroll(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(clients): Extension<Arc<Clients>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let asking = Asking { app: &app, peer: &peer, headers: &head.headers };
    let member = peer.leaf.as_ref().and_then(|leaf| app.fleet.by_leaf(&leaf.fingerprint));
    // Devices behind one address do not pay for each other, once they have shown who they are. A certificate that is over
    // shows nothing, and nobody spends the device's own allowance with it.
    let leaf = peer.leaf.as_ref().map(|leaf| leaf.fingerprint);
    let member = member.filter(|member| leaf.is_some_and(|leaf| member.device.holding(&leaf).is_some()));
    let rate = match &member {
        Some(member) => app
            .device_rates
            .take(member.id(), app.clock.now_ms())
            .map_err(|seconds| Refusal::from(Problem::too_many(seconds))),
        None => asking.may_be_refused(),
    };
    if let Err(refusal) = rate {
        return refusal.into_response();
    }
    let answer = match asking.parse(body).await {
        Ok(parsed) => asking.renew(&clients, &parsed).await,
        Err(refusal) => Err(refusal),
    };
    if member.is_some() { asking.say(answer) } else { asking.answer(answer) }
}

/// Who asks, and with what beside the body.
struct Asking<'a> {
    app: &'a App,
    peer: &'a Peer,
    headers: &'a HeaderMap,
}

/// A body whose key was proved.
struct Parsed {
    request: CertificationRequest,
    /// Whether it was made for this connection.
    bound: bool,
}

impl Asking<'_> {
    fn may_be_refused(&self) -> Result<(), Refusal> {
        let client = rate::client(self.peer.address.ip());
        self.app.refusal_rates.check(&client, self.app.clock.now_ms()).map_err(|seconds| {
            self.app.metrics.enrolment("too-many");
            Problem::too_many(seconds).into()
        })
    }

    /// Reads and checks a certification request. Whoever brings a credential that cannot be one is not read.
    async fn parse(&self, body: Body) -> Result<Parsed, Refusal> {
        if self.headers.contains_key(AUTHORIZATION) && token(self.headers).is_none() {
            return Err(Refusal::Unauthorized);
        }
        let body = body::read(self.headers, body, limits::EST_BODY_BYTES).await?;
        let malformed = || {
            let detail = "the body is not base64 of a certification request";
            bad_request("malformed_csr", "Certification request", detail)
        };
        let der = decode(&body).ok_or_else(malformed)?;
        let request = CertificationRequest::parse(&der)
            .map_err(|error| bad_request(error.code(), "Certification request", error.to_string()))?;
        let bound = self.bound(&request, &der)?;
        Ok(Parsed { request, bound })
    }

    /// Whether the request was made for this connection. One that says so must be.
    fn bound(&self, request: &CertificationRequest, der: &[u8]) -> Result<bool, Refusal> {
        let Some(value) = self.headers.get(BINDING_HEADER) else { return Ok(false) };
        let signature = value.to_str().ok().and_then(|value| from_base64url(value.trim()));
        let proved = self.peer.exporter.zip(signature).is_some_and(|(exporter, signature)| {
            request.key.verifies(&binding_message(&exporter, der), &signature)
        });
        if proved {
            return Ok(true);
        }
        let detail = "the header X-Enrol-Binding is not of this connection and this request: whatever stands between \
                      device and server must let TLS through untouched";
        Err(Problem::new(StatusCode::FORBIDDEN, "binding_refused", "Binding", detail).into())
    }

    async fn enrol(&self, clients: &Clients, parsed: &Parsed) -> Result<Granted, Refusal> {
        let hardware = hardware(self.headers)?;
        let Some(_work) = self.app.begin_work() else { return Err(Problem::busy().into()) };
        let request = admit::Request {
            credential: self.credential(clients),
            key: parsed.request.key_digest,
            serial: parsed.request.serial.clone(),
            hardware,
            from: self.from(),
            bound: parsed.bound,
        };
        self.app.enrol(&request, &parsed.request.key).await.map_err(refusal)
    }

    /// A token before a birth certificate: who sends both has chosen.
    fn credential(&self, clients: &Clients) -> Credential {
        if let Some(token) = token(self.headers) {
            return Credential::Token(token);
        }
        match self.origin(clients) {
            Some(Origin::Birth { anchor, serial }) => Credential::Birth { anchor, serial },
            Some(Origin::Own) | None => Credential::Nothing,
        }
    }

    async fn renew(&self, clients: &Clients, parsed: &Parsed) -> Result<Granted, Refusal> {
        let own = self.origin(clients) == Some(Origin::Own);
        let Some(leaf) = self.peer.leaf.as_ref().filter(|_| own) else {
            let detail = "renewal needs the device's present certificate, shown in the TLS handshake";
            let problem = Problem::new(StatusCode::FORBIDDEN, "no_certificate", "No certificate", detail);
            return Err(problem.into());
        };
        let Some(_work) = self.app.begin_work() else { return Err(Problem::busy().into()) };
        let renewal = admit::Renewal {
            leaf: leaf.fingerprint,
            key: parsed.request.key_digest,
            serial: parsed.request.serial.clone(),
            from: self.from(),
        };
        let answer = self.app.renew(&renewal, &parsed.request.key).await;
        if let Err(EnrolError::Renewal(RenewalRefused::Identity(refused))) = &answer {
            // A certificate that is over and still used speaks of a second machine.
            let member = self.app.fleet.by_leaf(&leaf.fingerprint);
            self.app.tried(member.as_deref(), &leaf.fingerprint, *refused).await;
        }
        answer.map_err(refusal)
    }

    fn origin(&self, clients: &Clients) -> Option<Origin> {
        let seconds = u64::try_from(self.app.clock.now().0).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        clients.origin(&self.peer.shown, now).ok()
    }

    fn from(&self) -> Text {
        Text::lossy(&self.peer.address.ip().to_string())
    }

    /// The answer, with what it costs the address that asked: what the client is to blame for, what makes us write, and
    /// every word of a key that is not in the line.
    fn answer(&self, answer: Result<Granted, Refusal>) -> Response {
        let costs = match &answer {
            Ok(Granted::Leaf(_)) => false,
            Ok(Granted::Wait(line)) => *line != Line::Kept,
            Err(refusal) => refusal.is_clients(),
        };
        if costs {
            let client = rate::client(self.peer.address.ip());
            let _ = self.app.refusal_rates.take(client, self.app.clock.now_ms());
        }
        self.say(answer)
    }

    fn say(&self, answer: Result<Granted, Refusal>) -> Response {
        match answer {
            Ok(Granted::Leaf(leaf)) => match certs_only::write(&[leaf]) {
                Ok(der) => reply(self.headers, CERTIFICATE, &der),
                Err(error) => Problem::internal(&error).into_response(),
            },
            Ok(Granted::Wait(_)) => {
                let seconds = chance::jittered(self.app.config.enrolment.approval_retry_s.into());
                (StatusCode::ACCEPTED, [(RETRY_AFTER, HeaderValue::from(seconds))], Body::empty())
                    .into_response()
            }
            Err(refusal) => refusal.into_response(),
        }
    }
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

fn refusal(error: EnrolError) -> Refusal {
    let refused = match error {
        EnrolError::Refused(refused) => refused,
        EnrolError::Renewal(refused) => {
            let (code, detail) = (refused.code(), refused.to_string());
            return Problem::new(StatusCode::FORBIDDEN, code, "Not renewed", detail).into();
        }
        EnrolError::TooOften(seconds) => return Problem::too_many(seconds).into(),
        EnrolError::Busy => return Problem::busy().into(),
        EnrolError::Store(error) => return Problem::from(error).into(),
        EnrolError::Commit(error) => return Problem::from(error).into(),
        EnrolError::Ca(error) => return Problem::internal(&error).into(),
    };
    let problem = |status| Problem::new(status, refused.code(), "Not enrolled", refused.to_string());
    match refused {
        Refused::UnknownToken | Refused::NoCredential => Refusal::Unauthorized,
        Refused::QueueFull => {
            let seconds = chance::jittered(QUEUE_FULL_S);
            problem(StatusCode::SERVICE_UNAVAILABLE).retry_after(seconds).into()
        }
        Refused::TokenRevoked
        | Refused::TokenExpired
        | Refused::TokenUsed
        | Refused::SerialMismatch
        | Refused::ModelMismatch
        | Refused::ManufacturerMismatch
        | Refused::SerialTaken
        | Refused::NotExpected
        | Refused::BindingRequired
        | Refused::ApprovalDenied => problem(StatusCode::FORBIDDEN).into(),
    }
}

fn bad_request(code: &'static str, title: &'static str, detail: impl Into<String>) -> Refusal {
    Problem::new(StatusCode::BAD_REQUEST, code, title, detail).into()
}

fn hardware(headers: &HeaderMap) -> Result<Option<Hardware>, Refusal> {
    let Some(value) = headers.get(HARDWARE_HEADER) else { return Ok(None) };
    let hardware = value.to_str().ok().and_then(read_hardware_header);
    hardware.map(Some).ok_or_else(|| {
        let detail = "the header X-Cordon-Hardware is not base64url of the CBOR [manufacturer, model, revision, serial]";
        bad_request("malformed_hardware", "Hardware", detail)
    })
}
