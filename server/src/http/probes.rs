//! What machines ask of a server: is it alive, is it ready, what has it counted.
//!
//! The base of the operator plane; API and console are merged onto it in `serve`. No secret and no name of a device
//! is told here, so nobody has to sign in.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::routing::get;

use crate::app::App;

/// OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes `/healthz`, `/readyz` and `/metrics`.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(app)
}

/// The process answers.
async fn alive() -> &'static str {
    "alive\n"
}

/// The server can do its work: it is not draining, it knows what other servers did, and the store takes writes.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    if app.following.is_stale() {
        let age = app.following.age().as_secs();
        let words = format!(
            "what this server knows of the fleet is {age} s old, so it answers devices with 503: see whether it \
             reaches the database; it goes on by itself as soon as it does\n"
        );
        return (StatusCode::SERVICE_UNAVAILABLE, words);
    }
    match app.store.health().await {
        Ok(health) => match health.problem {
            None => (StatusCode::OK, format!("ready\n{}", audit_words(&app))),
            Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
        },
        Err(error) => {
            tracing::error!(error = crate::log::chain(&error), "the store does not say how it is");
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n".to_owned())
        }
    }
}

/// A broken audit log is told here, and takes no server away from its devices.
fn audit_words(app: &App) -> String {
    app.audit.standing().fault().map_or_else(String::new, |fault| format!("audit: {fault}\n"))
}

async fn metrics(State(app): State<Arc<App>>) -> ([(HeaderName, HeaderValue); 1], String) {
    app.gauge();
    ([(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS))], app.metrics.text())
}
