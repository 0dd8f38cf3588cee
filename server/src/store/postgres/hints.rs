//! Hints of other servers' commits: a connection that listens, so that nobody waits for the next poll.
//!
//! A hint may be lost with its connection and promises nothing; followers poll as well. The listener lives on a thread
//! of its own, and ends when it is dropped. Read next: `sql::NOTIFY`, which is sent in the commit's transaction.

use std::sync::Arc;
use std::time::Duration;

use cordon_server_core::change::Revision;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::session::{self, Failure, Terms};
use super::settings::Settings;

/// Between two attempts, and between two looks whether the connection is still there.
const AGAIN: Duration = Duration::from_secs(1);

/// Hears a revision.
pub(super) type Hear = Arc<dyn Fn(Revision) + Send + Sync>;

/// A thread that listens.
#[derive(Debug)]
pub(super) struct Listener {
    stop: Arc<Notify>,
}

impl Listener {
    /// Begins to listen. Without a thread there are no hints, which slows followers down and breaks nothing.
    pub(super) fn start(settings: Settings, terms: Terms, hear: Hear) -> Self {
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("store-listener".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.notified() => {}
                    () = listen(&settings, terms, &hear) => {}
                }
            });
            runtime.shutdown_background();
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "no hints of other servers' commits: followers poll");
        }
        Self { stop }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// The channel of a schema.
pub(super) fn channel(schema: &str) -> String {
    format!("cordon_{schema}")
}

async fn listen(settings: &Settings, terms: Terms, hear: &Hear) {
    loop {
        if let Err(error) = until_lost(settings, terms, hear).await {
            tracing::debug!(%error, "the connection for hints of other servers' commits was lost");
        }
        sleep(AGAIN).await;
    }
}

async fn until_lost(settings: &Settings, terms: Terms, hear: &Hear) -> Result<(), Failure> {
    let hear = hear.clone();
    let tell: session::Tell = Box::new(move |payload| {
        if let Ok(revision) = payload.parse() {
            hear(Revision(revision));
        }
    });
    let client = session::open(settings, terms, Some(tell)).await?;
    client.batch_execute(&format!("LISTEN {}", channel(&settings.schema))).await?;
    while !client.is_closed() {
        sleep(AGAIN).await;
    }
    Ok(())
}
