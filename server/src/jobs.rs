//! What the server does by itself: write reports down, move rollouts on, renew signatures and its own certificate,
//! forget old telemetry, read images again, back itself up.
//!
//! Each job is one loop that ends when the server drains. A job that fails says so and tries again at its next time;
//! it never takes the server down. What a job does is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::care;
use crate::http::operator::Operator;
use crate::log::chain;
use crate::tls::ServerCertificate;

/// How often what devices said is written down.
const WRITE_DOWN: Duration = Duration::from_secs(30);
/// How often rollouts are looked at.
const ROLLOUTS: Duration = Duration::from_secs(1);
/// How often the store's disk is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often signatures, certificate and retention are looked at.
const HOURLY: Duration = Duration::from_secs(3600);

/// Starts all jobs.
pub fn start(tasks: &mut JoinSet<()>, operator: &Operator, certificate: ServerCertificate) {
    let app = &operator.app;
    tasks.spawn(each(WRITE_DOWN, app.clone(), write_down));
    let people = operator.clone();
    tasks.spawn(each(ROLLOUTS, app.clone(), move |_| tick(people.clone())));
    let people = operator.clone();
    tasks.spawn(each(HOURLY, app.clone(), move |_| renew(people.clone())));
    tasks.spawn(each(HOURLY, app.clone(), forget));
    tasks.spawn(each(LOOK, app.clone(), care::watch::look));
    tasks.spawn(each(HOURLY, app.clone(), scrub));
    tasks.spawn(each(HOURLY, app.clone(), back_up));
    let certificate = Arc::new(certificate);
    tasks.spawn(each(HOURLY, app.clone(), move |app| renew_certificate(app, certificate.clone())));
}

/// Runs `job` at once and then every `period`, until the server drains.
async fn each<J, F>(period: Duration, app: Arc<App>, job: J)
where
    J: Fn(Arc<App>) -> F,
    F: Future<Output = ()>,
{
    let mut times = interval(period);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.drained() => return,
            _ = times.tick() => job(app.clone()).await,
        }
    }
}

async fn write_down(app: Arc<App>) {
    if app.care.trouble().is_some() {
        return;
    }
    match app.write_down().await {
        Ok(0) => {}
        Ok(devices) => tracing::debug!(devices, "reports were written down"),
        Err(error) => tracing::error!(error = chain(&error), "reports could not be written down"),
    }
}

/// Counts receipts, then lets every rollout go on.
async fn tick(operator: Operator) {
    let Operator { app, rollouts, repositories: _ } = operator;
    // While the store takes no writes nothing can move on, and a complaint a second would fill the disk further.
    if app.care.trouble().is_some() {
        return;
    }
    let now = app.clock.now();
    let device = |id| Some(Arc::new(app.fleet.get(id)?.current()));
    for ticked in [rollouts.count_receipts(&app.fleet, now).await, rollouts.tick(now, device).await] {
        match ticked {
            Ok(ticked) => app.waits.ring_all(ticked.devices),
            Err(error) => tracing::error!(error = chain(&error), "rollouts could not be moved on"),
        }
    }
}

/// Renews the director's snapshot and timestamp when they are about to lapse.
async fn renew(operator: Operator) {
    let Operator { app, rollouts, repositories } = operator;
    let now = app.clock.now();
    match repositories.renew_if_due(now).await {
        Ok(false) => return,
        Ok(true) => tracing::info!("snapshot and timestamp were renewed"),
        Err(error) => {
            return tracing::error!(error = chain(&error), "snapshot and timestamp could not be renewed");
        }
    }
    if let Err(error) = rollouts.read_orders(now).await {
        tracing::error!(error = chain(&error), "the orders could not be read anew");
    }
}

async fn forget(app: Arc<App>) {
    match app.forget().await {
        Ok(expired) if expired.events > 0 => {
            tracing::info!(events = expired.events, "old telemetry was forgotten")
        }
        Ok(_) => {}
        Err(error) => tracing::error!(error = chain(&error), "old telemetry could not be forgotten"),
    }
}

async fn scrub(app: Arc<App>) {
    match care::scrub::run(&app).await {
        Ok((sound, damaged)) => tracing::debug!(sound, damaged, "images were read again"),
        Err(error) => tracing::error!(error = chain(&error), "images could not be read again"),
    }
}

async fn back_up(app: Arc<App>) {
    if let Err(error) = care::scheduled::run_if_due(&app).await {
        tracing::error!(error = chain(&error), "the server could not back itself up");
    }
}

async fn renew_certificate(app: Arc<App>, certificate: Arc<ServerCertificate>) {
    match certificate.renew(&app.ca, &app.config.certificate_names(), app.clock.now()) {
        Ok(false) => {}
        Ok(true) => tracing::info!("the server's own certificate was made anew"),
        Err(error) => {
            tracing::error!(error = chain(&error), "the server's own certificate could not be made anew")
        }
    }
}
