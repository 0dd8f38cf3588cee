//! `/api/v1/events`: one stream of what changed; pages change figures in place and offer to load the rest.
//!
//! It ends when the server drains or the caller's session or token does. Read next: `ui::live` for the two events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Operator, caller};
use crate::app::drained;
use crate::http::console::live::{Live, Told};

/// Changes within this time are one event, so that a busy fleet does not keep a browser busy.
const CALM: Duration = Duration::from_secs(1);
/// A sign of life at least this often: by it a page knows that it is live.
const ALIVE: Duration = Duration::from_secs(8);
/// A comment line this often keeps proxies from closing the stream.
const COMMENT: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/events", get(stream))
}

/// Server-sent events: `live`, a JSON object of figures, at least every ten seconds; `changed`, a JSON array of the
/// console's addresses that would now read otherwise.
#[utoipa::path(get, path = "/api/v1/events", responses((status = 200, content_type = "text/event-stream")))]
pub async fn stream(
    State(operator): State<Operator>,
    Extension(live): Extension<Live>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let reader = Reader {
        version: operator.app.fleet.version(),
        drain: operator.app.drain.clone(),
        told: Told::default(),
        waiting: VecDeque::new(),
        begun: false,
        operator,
        live,
        headers,
    };
    let events = unfold(reader, async |mut reader| Some((Ok(reader.next().await?), reader)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT))
}

/// One open page.
struct Reader {
    operator: Operator,
    live: Live,
    headers: HeaderMap,
    version: watch::Receiver<u64>,
    drain: watch::Receiver<bool>,
    told: Told,
    waiting: VecDeque<Event>,
    begun: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.begun {
                self.wait().await?;
            }
            self.begun = true;
            // A session that has ended, or a store that does not answer, ends the stream; the page says so.
            caller(&self.operator.app, &self.headers).await.ok()??;
            let events = self.live.events(&mut self.told).await.ok()?;
            self.waiting
                .extend(events.into_iter().map(|(name, data)| Event::default().event(name).data(data)));
        }
    }

    /// Waits for a change, but not longer than a page should wait for a sign of life; `None` if the server drains.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            changed = timeout(ALIVE, self.version.changed()) => if let Ok(changed) = changed {
                changed.ok()?;
                sleep(CALM).await;
                self.version.mark_unchanged();
            },
            () = drained(&self.drain) => return None,
        }
        Some(())
    }
}
