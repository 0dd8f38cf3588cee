//! The look at the store's disk: what it says is kept for people, counted for machines, and logged once when it turns.
//!
//! A full disk ends no service that can go on: reads are answered, writes are refused by the store itself. This job
//! decides nothing; it sees that somebody is told, and does not fill the disk with its own words. Read next:
//! `store::redb`, which keeps the reserve.

use std::sync::Arc;

use crate::app::App;

/// Looks once.
pub async fn look(app: Arc<App>) {
    let health = match app.store.health().await {
        Ok(health) => health,
        Err(error) => {
            return tracing::error!(error = crate::log::chain(&error), "the store does not say how it is");
        }
    };
    app.metrics.store(health.bytes, health.free_bytes, health.problem.is_some());
    app.metrics.damaged_blobs(app.blobs.damaged().len());
    app.care.note(app.clock.now(), health.problem);
}
