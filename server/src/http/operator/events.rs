//! `/api/v1/events`: one stream that says that something changed; pages then load what they show.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use futures_util::Stream;
use futures_util::stream::unfold;

use super::Operator;

/// Changes within this time are one event, so that a busy fleet does not keep a browser busy.
const CALM: Duration = Duration::from_secs(1);
/// A comment line this often keeps proxies from closing the stream.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/events", get(stream))
}

/// A server-sent event `changed` with a rising number whenever the fleet changed.
#[utoipa::path(get, path = "/api/v1/events", responses((status = 200, content_type = "text/event-stream")))]
pub async fn stream(State(operator): State<Operator>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (version, drain) = (operator.app.fleet.version(), operator.app.drain.clone());
    let events = unfold((version, drain, true), async |(mut version, mut drain, first)| {
        if !first {
            tokio::select! {
                changed = version.changed() => changed.ok()?,
                _ = drain.wait_for(|draining| *draining) => return None,
            }
            tokio::time::sleep(CALM).await;
        }
        let number = *version.borrow_and_update();
        let event = Event::default().event("changed").data(number.to_string());
        Some((Ok(event), (version, drain, false)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE))
}
