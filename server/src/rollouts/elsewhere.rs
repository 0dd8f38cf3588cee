//! The go of a device whose check-in reaches a server that does not hold the lease of the rollouts' job.
//!
//! Only who holds the lease gives gos: two servers that count the places apart would give one too many. Who listens is
//! rung for when the other one has heard of it, by what is written down every few seconds anyway. Who does not, such as a
//! device on a metered line, will not speak again for hours: that it is here and asks is written down at once, the other
//! one's next tick gives it the go as if it listened, and its answer is kept back until then. Read next: `at_check_in`.

use std::time::Duration;

use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::time::Timestamp;
use cordon_server_core::device::Device;
use tokio::time::timeout;

use super::Rollouts;
use crate::app::App;
use crate::jobs::ROLLOUTS_JOB;
use crate::log::chain;

/// How long an answer is kept back: the other server hears of it within half a second, and looks every second. In tests
/// longer than any machine is busy.
const KEPT_BACK: Duration = Duration::from_secs(if cfg!(test) { 120 } else { 8 });
/// For how many seconds a device that does not listen is said to: as long as its answer is kept back, and the clocks of two
/// servers differ.
const LISTENS_S: i64 = 12;
/// Answers that are kept back at once: each holds one of the requests that are worked on.
pub(super) const ANSWERS: usize = 64;

/// Whether this server gives gos. Who takes the job over is settled by its loop; a question to the store for each of ten
/// thousand would be too much.
pub(super) fn is_its_turn(app: &App) -> bool {
    let may_have = |(job, held): &(&'static str, bool)| *job == ROLLOUTS_JOB && *held;
    !app.following.is_shared() || app.leases.held().iter().any(may_have)
}

impl Rollouts {
    /// Lets the server that holds the lease know of a device that asks for its go, or for its place with a content, and does
    /// not listen, if a place seems free; and waits in its stead until it is `given`.
    pub(super) async fn ask_elsewhere(
        &self,
        app: &App,
        (rollout, device): (&Name, &Device),
        given: impl Fn() -> bool + Send + Sync,
        now: Timestamp,
    ) {
        if !self.read(|shelf| shelf.has_place(rollout, now)) {
            return;
        }
        let known = app.fleet.get(device.id);
        let listens = known.is_some_and(|member| member.listens.is_some_and(|until| now <= until));
        if listens {
            return;
        }
        let Ok(_kept) = self.giving.answers.try_acquire() else { return };
        app.fleet.listens(device.id, now.plus_seconds(LISTENS_S));
        if let Err(error) = app.write_now(device.id).await {
            tracing::warn!(error = chain(&error), "a request for a go could not be handed on");
            return;
        }
        let given = timeout(KEPT_BACK, given_elsewhere(app, device.id, given));
        tokio::select! {
            _ = given => {}
            () = app.drained() => {}
        }
    }
}

/// Waits until the device has what it asked for, which comes with what other servers commit.
async fn given_elsewhere(app: &App, device: DeviceId, given: impl Fn() -> bool + Send + Sync) {
    loop {
        // The token is read first: what changes from here on is a change after it.
        let token = app.waits.token(device);
        if given() {
            return;
        }
        app.waits.changed(device, token).await;
    }
}

#[cfg(test)]
mod tests;
