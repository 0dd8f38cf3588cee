//! One HTTP exchange with a deadline, a body cap, and an error that says whose fault it is.
//!
//! It must never wait without a deadline, never hold more of a body than its cap, and never believe a sentence of the
//! server beyond showing it. Read next: [`super`] for the calls of the device plane.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use cordon_proto::limits;
use cordon_proto::update::Pace;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use rustls::{AlertDescription, CertificateError};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::proxy::ProxyFault;
use super::{Distrust, LinkError, Refusal};
use crate::tls::ForeignChain;

/// How long an ordinary answer may take.
pub(crate) const QUICK: Duration = Duration::from_secs(30);
/// How long no byte of a body may come.
const STALL: Duration = Duration::from_secs(limits::DOWNLOAD_STALL_S);
/// Bytes of an explained error.
const PROBLEM_BYTES: usize = 16 * 1024;
/// Characters of the server's sentence that are kept.
const DETAIL_CHARS: usize = 300;

/// Sends a request and waits for the head of a successful answer.
pub(crate) async fn send(request: RequestBuilder, deadline: Duration) -> Result<Response, LinkError> {
    let answer = accept(request, deadline).await?;
    if answer.status() == StatusCode::OK || answer.status() == StatusCode::NO_CONTENT {
        return Ok(answer);
    }
    Err(explained(answer).await)
}

/// As [`send`], but hands any head to the caller.
pub(crate) async fn accept(request: RequestBuilder, deadline: Duration) -> Result<Response, LinkError> {
    match timeout(deadline, request.send()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(LinkError::Stalled { seconds: deadline.as_secs() }),
    }
}

/// A file's bytes, at most `limit`; `None` where there is no such file.
pub(crate) async fn get(
    request: RequestBuilder,
    deadline: Duration,
    limit: usize,
) -> Result<Option<Vec<u8>>, LinkError> {
    let answer = accept(request, deadline).await?;
    match answer.status() {
        StatusCode::OK => body(answer, limit).await.map(Some),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(explained(answer).await),
    }
}

/// The whole body, cut off at `limit`.
pub(crate) async fn body(mut answer: Response, limit: usize) -> Result<Vec<u8>, LinkError> {
    let declared = answer.content_length().unwrap_or(0);
    if usize::try_from(declared).unwrap_or(usize::MAX) > limit {
        return Err(LinkError::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(declared).unwrap_or(0));
    let mut pace = Pace::new(STALL);
    while let Some(chunk) = chunk(&mut answer, &mut pace).await? {
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(LinkError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The next piece of a body; an error where it comes too late, or all too little of it.
pub(super) async fn chunk(answer: &mut Response, pace: &mut Pace) -> Result<Option<Bytes>, LinkError> {
    let begun = Instant::now();
    match timeout(pace.left(), answer.chunk()).await {
        Ok(Ok(chunk)) => {
            pace.received(chunk.as_ref().map_or(0, Bytes::len), begun.elapsed());
            Ok(chunk)
        }
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(LinkError::Stalled { seconds: pace.patience().as_secs() }),
    }
}

/// RFC 9457 problem+json, as far as it is read here.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

/// What an answer other than 200 means.
pub(super) async fn explained(answer: Response) -> LinkError {
    let status = answer.status();
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = body(answer, PROBLEM_BYTES).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let detail = if problem.detail.is_empty() { problem.title } else { problem.detail };
    let detail: String = detail.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS).collect();
    if status == StatusCode::FORBIDDEN
        && let Some(refusal) = Refusal::of(&problem.code)
    {
        return LinkError::Refused { refusal, detail };
    }
    if let StatusCode::ACCEPTED | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE = status {
        return LinkError::Busy { status: status.as_u16(), retry_after_s: wait };
    }
    let code = problem.code.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    LinkError::Rejected { status: status.as_u16(), code, detail }
}

/// What a failed exchange means: TLS says whose fault it is, everything else is the network's.
fn failed(error: &reqwest::Error) -> LinkError {
    let tls = tls_cause(error);
    match tls {
        Some(rustls::Error::InvalidCertificate(cause)) => LinkError::WrongServer(match foreign(cause) {
            Some(issuer) => Distrust::Pin { issuer, server: asked(error) },
            None => Distrust::Certificate(format!("{cause}")),
        }),
        Some(rustls::Error::AlertReceived(alert)) if about_our_certificate(*alert) => {
            LinkError::CertificateRefused { alert: format!("{alert:?}") }
        }
        // Only our own signer speaks in free text.
        Some(rustls::Error::General(cause)) => LinkError::OwnKey { cause: cause.clone() },
        Some(_) | None => match ProxyFault::of(error) {
            Some(fault) => LinkError::Proxy(fault),
            None => LinkError::Unreachable { cause: innermost(error), met: tls.is_some() || met(error) },
        },
    }
}

/// Whether a connection came about at all, be it that it broke in its handshake.
fn met(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(current) = cause {
        let kind = current.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) = kind {
            return true;
        }
        cause = next_cause(current);
    }
    !error.is_connect()
}

/// Who issued a chain that does not end in the pinned root.
fn foreign(cause: &CertificateError) -> Option<String> {
    let CertificateError::Other(other) = cause else { return None };
    let chain = other.0.downcast_ref::<ForeignChain>()?;
    Some(chain.issuer.clone())
}

/// `HOST:PORT` of a failed request.
fn asked(error: &reqwest::Error) -> String {
    let url = error.url();
    let host = url.and_then(|url| url.host_str()).unwrap_or_default();
    let port = url.and_then(|url| url.port_or_known_default()).unwrap_or_default();
    format!("{host}:{port}")
}

fn tls_cause(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        cause = next_cause(current);
    }
    None
}

fn next_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The alerts by which a TLS server turns a client's certificate down (RFC 8446 section 6.2).
fn about_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    [
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::CertificateRequired,
        Alert::DecryptError,
    ]
    .contains(&alert)
}
