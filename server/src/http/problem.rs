//! Refusals as RFC 9457 problem documents: a status, a word for programs, a sentence that says what to do.
//!
//! A problem never repeats what was sent, and says nothing of the inside: what failed there goes to the log.

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::CommitError;
use crate::chance;
use crate::store::StoreError;

/// Seconds that a client is asked to stay away when the server is busy, before jitter.
const BUSY_S: u64 = 5;
/// The same where the server has lost touch with its store: that lasts seconds, and others may answer.
const STALE_S: u64 = 2;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    retry_after_s: Option<u64>,
    close: bool,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

impl Problem {
    /// A refusal; the connection stays open.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), retry_after_s: None, close: false }
    }

    /// Asks the client to come back no earlier than this.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// Ends the connection with the answer.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// No such route.
    #[must_use]
    pub fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_route", "No such route", "this plane does not answer here")
    }

    /// The route exists, the method does not.
    #[must_use]
    pub fn no_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "no_such_method",
            "No such method",
            "this route is asked in another way",
        )
    }

    /// A body that is no message of this name.
    #[must_use]
    pub fn malformed(message: &'static str, why: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed_message",
            message,
            format!("the body is no {message}: {why}"),
        )
    }

    /// A body beyond its limit.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body may have {limit} bytes: send less at a time");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large", detail).closing()
    }

    /// A body that comes too slowly.
    #[must_use]
    pub fn too_slow() -> Self {
        let detail = "the body came too slowly and was given up: send it again";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "Too slow", detail).closing()
    }

    /// More requests than one client may make.
    #[must_use]
    pub fn too_many(seconds: u64) -> Self {
        let detail = "too many requests in a short time: wait as long as `Retry-After` says";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "Too many requests", detail).retry_after(seconds)
    }

    /// More work than the server can take on.
    #[must_use]
    pub fn busy() -> Self {
        let detail = "the server is busy: wait as long as `Retry-After` says";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", detail)
            .retry_after(chance::jittered(BUSY_S))
    }

    /// What is known here of the fleet may be out of date, so nobody is let in by it.
    #[must_use]
    pub fn stale() -> Self {
        let detail = "this server has lost touch with its store and decides nothing: wait as long as `Retry-After` \
                      says, another server may answer";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stale_view", "Out of date", detail)
            .retry_after(chance::jittered(STALE_S))
    }

    /// An image that a release names and that is not in this server's folder yet.
    #[must_use]
    pub fn not_here_yet() -> Self {
        let detail =
            "a release names this image, but its bytes are not here yet: wait as long as `Retry-After` says";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "target_not_here", "Not here yet", detail)
            .retry_after(chance::jittered(BUSY_S))
    }

    /// A fault of ours; the log has the particulars.
    #[must_use]
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = crate::log::chain(error), "a request failed");
        let detail = "the server failed: its log says why; trying again later is safe";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => {
                let detail = "somebody else changed the same thing: load it again and decide anew";
                Self::new(StatusCode::CONFLICT, "conflict", "Changed meanwhile", detail)
            }
            // Not logged one by one: a disk that is full must not be filled with complaints. `care::watch` says it once.
            StoreError::Full => {
                let detail = "the server's disk is full, so nothing was stored: its operator has to free space there, \
                              then it goes on by itself; wait as long as `Retry-After` says";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "disk_full", "Disk full", detail)
                    .retry_after(chance::jittered(BUSY_S))
            }
            StoreError::Unavailable { .. } | StoreError::Corrupt(_) => {
                tracing::error!(error = crate::log::chain(&error), "the store failed");
                let detail = "the server cannot store anything now: wait as long as `Retry-After` says";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "Store unavailable", detail)
                    .retry_after(chance::jittered(BUSY_S))
            }
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            CommitError::Malformed(error) => Self::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: format!("urn:cordon:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
        };
        let body = serde_json::to_vec(&document).expect("strings and a number are always JSON");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        (self.status, headers, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_reads_as_rfc_9457() {
        // Goal: one form for all refusals. Method: golden text and headers of one with everything.
        let problem = Problem::new(StatusCode::FORBIDDEN, "quarantined", "Quarantined", "ask a person")
            .retry_after(7)
            .closing();
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        assert_eq!(response.headers()[CONNECTION], "close");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.expect("a body");
        assert_eq!(
            String::from_utf8(body.to_vec()).expect("UTF-8"),
            r#"{"type":"urn:cordon:problem:quarantined","title":"Quarantined","status":403,"detail":"ask a person","code":"quarantined"}"#
        );
    }

    #[test]
    fn a_store_that_fails_asks_to_come_back_and_says_nothing_else() {
        // Goal: no inside on the outside. Method: a message with a path in it.
        let problem = Problem::from(StoreError::Corrupt("secret/path".to_owned()));
        assert_eq!(
            (problem.status(), problem.code()),
            (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
        );
        assert!(!problem.detail.contains("secret"));
        assert!(problem.retry_after_s.is_some_and(|seconds| (5..=10).contains(&seconds)));
    }

    #[test]
    fn a_full_disk_is_named_and_asks_to_come_back() {
        // Goal: whoever is refused knows that nothing was stored and who can help. Method: the error as a problem.
        let problem = Problem::from(StoreError::Full);
        assert_eq!((problem.status(), problem.code()), (StatusCode::SERVICE_UNAVAILABLE, "disk_full"));
        assert!(problem.detail.contains("free space") && problem.retry_after_s.is_some());
    }
}
