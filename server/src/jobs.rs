//! What the server does by itself: write reports down, move rollouts on, seal the audit log, renew signatures and its
//! own certificate, forget old telemetry, read images again, back itself up.
//!
//! Each job is one loop that ends when the server drains. A job that fails says so and tries again at its next time;
//! it never takes the server down. Of several servers on one store one does a job at a time, by a lease; reports and
//! the own certificate are each server's own. What a job does is decided elsewhere. Read next: `leases`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_server_core::expiry::due;
use cordon_server_core::rollout::Rollout;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, interval_at};

use crate::app::App;
use crate::ca::steps;
use crate::care;
use crate::exceptions;
use crate::expiries;
use crate::http::operator::Operator;
use crate::log::chain;
use crate::risk_book::{self, RecordError};
use crate::rollouts::{RolloutError, Turn};
use crate::store::{Key, Lease, StoreError};
use crate::tls::ServerCertificate;

/// How often what devices said is written down.
const WRITE_DOWN: Duration = Duration::from_secs(30);
/// How often what whoever runs the rollouts has to learn at once is written down, where that may be another server.
const URGENT: Duration = Duration::from_millis(500);
/// How often rollouts are looked at.
const ROLLOUTS: Duration = Duration::from_secs(1);
/// How often the store's disk is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often new audit entries are sealed.
const SEAL: Duration = Duration::from_secs(1);
/// How often it is noted that an accepted risk is over.
const LAPSE: Duration = Duration::from_secs(60);
/// How often every sealed entry is compared with its hash.
const DAILY: Duration = Duration::from_secs(24 * 3600);
/// How often signatures, certificate and retention are looked at.
const HOURLY: Duration = Duration::from_secs(3600);

/// How often scores that moved are written down, and how long after a start the first time: devices are heard first.
const RISK: Duration = Duration::from_secs(600);
const RISK_FIRST: Duration = Duration::from_secs(60);

/// The jobs that have a lease.
pub(crate) const ROLLOUTS_JOB: &str = "rollouts";
const RENEWAL_JOB: &str = "renewal";
const RETENTION_JOB: &str = "retention";
const BACKUP_JOB: &str = "backup";
const RISK_JOB: &str = "risk";

/// Starts all jobs.
pub fn start(tasks: &mut JoinSet<()>, operator: &Operator, certificate: ServerCertificate) {
    let app = &operator.app;
    tasks.spawn(each(WRITE_DOWN, app.clone(), write_down));
    if app.following.is_shared() {
        tasks.spawn(each(URGENT, app.clone(), write_urgent));
    }
    let people = operator.clone();
    tasks.spawn(each(ROLLOUTS, app.clone(), move |_| tick(people.clone())));
    let people = operator.clone();
    tasks.spawn(each(HOURLY, app.clone(), move |_| renew(people.clone())));
    tasks.spawn(each(HOURLY, app.clone(), forget));
    tasks.spawn(each(HOURLY, app.clone(), forget_waiting));
    tasks.spawn(each(WRITE_DOWN, app.clone(), write_guesses));
    tasks.spawn(each(LAPSE, app.clone(), lapse_exceptions));
    tasks.spawn(each(LOOK, app.clone(), care::watch::look));
    tasks.spawn(each(HOURLY, app.clone(), scrub));
    tasks.spawn(each(HOURLY, app.clone(), back_up));
    tasks.spawn(each(SEAL, app.clone(), seal));
    tasks.spawn(each(DAILY, app.clone(), check_audit));
    tasks.spawn(each(HOURLY, app.clone(), thin_heads));
    tasks.spawn(keep_certificate(app.clone(), certificate));
    tasks.spawn(record_risk(operator.clone()));
    let (told, people) = (Arc::default(), operator.clone());
    tasks.spawn(each(HOURLY, app.clone(), move |_| warn_of_ends(people.clone(), Arc::clone(&told))));
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

async fn write_urgent(app: Arc<App>) {
    if let Err(error) = app.write_urgent().await {
        tracing::error!(error = chain(&error), "requests for a go could not be written down");
    }
}

/// The lease of a job, if it is this server's turn.
async fn turn(app: &App, job: &'static str) -> Option<Lease> {
    match app.leases.hold(job).await {
        Ok(lease) => lease,
        Err(error) => {
            tracing::error!(job, error = chain(&error), "the store does not say whose turn it is");
            None
        }
    }
}

/// Counts receipts, then lets every rollout go on, if it is this server's turn. What is too old to answer devices by is too
/// old to plan by.
pub async fn tick(operator: Operator) {
    let Operator { app, rollouts, repositories: _ } = operator;
    // While the store takes no writes nothing can move on, and a complaint a second would fill the disk further.
    if app.following.is_stale() || app.care.trouble().is_some() {
        return;
    }
    let Some(lease) = turn(&app, ROLLOUTS_JOB).await else { return };
    let turn = Turn { now: app.clock.now(), lease: Some(&lease) };
    let device = |id| app.fleet.get(id);
    let strangers = |rollout: &Rollout| {
        let all = app.fleet.all();
        let others = all.iter().filter(|member| rollout.wave_of(member.id()).is_none());
        others.map(|member| Arc::new(member.current())).collect()
    };
    match rollouts.lapse_holds(turn).await {
        Ok(lapsed) if lapsed.everybody => {
            app.waits.ring_all(app.fleet.all().iter().map(|member| member.id()))
        }
        Ok(_) => {}
        // The steps below see the same lease gone, and say so.
        Err(RolloutError::Store(StoreError::Conflict(Key::Lease(_)))) => {}
        Err(error) => tracing::error!(error = chain(&error), "holds whose time is over could not be ended"),
    }
    let counted = rollouts.count_receipts(&app.fleet, turn).await;
    for ticked in [counted, rollouts.tick_with(turn, || app.clock.now(), (device, strangers)).await] {
        match ticked {
            Ok(ticked) => app.waits.ring_all(ticked.devices),
            Err(RolloutError::Store(StoreError::Conflict(Key::Lease(_)))) => app.leases.lost(ROLLOUTS_JOB),
            Err(error) => tracing::error!(error = chain(&error), "rollouts could not be moved on"),
        }
    }
}

/// Renews the director's snapshot and timestamp when they are about to lapse, if it is this server's turn.
pub async fn renew(operator: Operator) {
    let Operator { app, rollouts, repositories } = operator;
    let Some(lease) = turn(&app, RENEWAL_JOB).await else { return };
    let now = app.clock.now();
    match repositories.renew_if_due(now, Some(&lease)).await {
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
    // Forgetting twice at once would be slow, not wrong: the lease may end before the work does.
    if turn(&app, RETENTION_JOB).await.is_none() {
        return;
    }
    match app.forget().await {
        Ok(expired) if expired.events > 0 => {
            tracing::info!(events = expired.events, "old telemetry was forgotten")
        }
        Ok(_) => {}
        Err(error) => tracing::error!(error = chain(&error), "old telemetry could not be forgotten"),
    }
}

async fn forget_waiting(app: Arc<App>) {
    match app.forget_waiting().await {
        Ok(0) => {}
        Ok(keys) => tracing::info!(keys, "keys that nobody approved in time were forgotten"),
        Err(error) => {
            tracing::error!(error = chain(&error), "keys that wait too long could not be forgotten")
        }
    }
}

async fn lapse_exceptions(app: Arc<App>) {
    if app.care.trouble().is_some() {
        return;
    }
    if let Err(error) = exceptions::lapse(&app).await {
        tracing::error!(error = chain(&error), "it could not be noted which accepted risks are over");
    }
}

async fn write_guesses(app: Arc<App>) {
    if let Err(error) = app.write_guesses().await {
        tracing::error!(error = chain(&error), "guessed tokens could not be told to the journal");
    }
}

async fn scrub(app: Arc<App>) {
    match care::scrub::run(&app).await {
        Ok((sound, damaged)) => tracing::debug!(sound, damaged, "images were read again"),
        Err(error) => tracing::error!(error = chain(&error), "images could not be read again"),
    }
}

async fn back_up(app: Arc<App>) {
    if turn(&app, BACKUP_JOB).await.is_none() {
        return;
    }
    if let Err(error) = care::scheduled::run_if_due(&app).await {
        tracing::error!(error = chain(&error), "the server could not back itself up");
    }
}

async fn seal(app: Arc<App>) {
    let before = app.audit.standing().stopped;
    let Err(error) = app.audit.seal(app.clock.now_ms()).await else { return };
    // What stopped the sealer is said once, and stands in the metrics and on the console as long as it lasts.
    let stopped = app.audit.standing().stopped;
    if stopped.is_none() || stopped != before {
        tracing::error!(error = chain(&error), "the audit log could not be sealed");
    }
}

async fn check_audit(app: Arc<App>) {
    match app.audit.check(app.clock.now()).await {
        Ok(()) => {}
        Err(error) => tracing::error!(error = chain(&error), "the audit log is not as it was sealed"),
    }
}

async fn thin_heads(app: Arc<App>) {
    if let Err(error) = app.audit.thin(app.clock.now()).await {
        tracing::error!(error = chain(&error), "old heads of the audit log could not be thinned out");
    }
}

/// Writes down what is said of the risk of devices and of the fleet, if it is this server's turn.
async fn record_risk(operator: Operator) {
    let app = operator.app.clone();
    let first = tokio::time::Instant::now() + RISK_FIRST;
    let mut times = interval_at(first, RISK);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.drained() => return,
            _ = times.tick() => {}
        }
        if app.following.is_stale() || app.care.trouble().is_some() {
            continue;
        }
        let Some(lease) = turn(&app, RISK_JOB).await else { continue };
        match risk_book::record(&operator, Some(&lease)).await {
            Ok(recorded) => tracing::debug!(recorded.devices, recorded.waiting, "scores were written down"),
            Err(RecordError::Store(StoreError::Conflict(Key::Lease(_)))) => app.leases.lost(RISK_JOB),
            Err(error) => {
                tracing::error!(error = chain(&error), "the history of scores could not be written")
            }
        }
    }
}

/// Says what ends soon, each sentence once.
async fn warn_of_ends(operator: Operator, told: Arc<Mutex<BTreeSet<String>>>) {
    let now = operator.app.clock.now();
    let mut words = steps::warnings(&operator.app.ca.standing(), now);
    match expiries::all(&operator).await {
        Ok(ends) => {
            words.extend(due(&ends, now).into_iter().filter(|(days, lapse)| lapse.what.is_news(*days)).map(
                |(days, lapse)| match days {
                    0 => format!("{} ended at {}: {}", lapse.name, lapse.at, lapse.todo()),
                    _ => format!("{} ends at {}, within {days} days: {}", lapse.name, lapse.at, lapse.todo()),
                },
            ))
        }
        Err(error) => tracing::error!(error = chain(&error), "it cannot be said what ends soon"),
    }
    for words in words {
        if told.lock().unwrap_or_else(PoisonError::into_inner).insert(words.clone()) {
            tracing::warn!("{words}");
        }
    }
}

/// Takes in what was done to the authorities beside this process, and keeps the own certificate under the right one.
async fn keep_certificate(app: Arc<App>, certificate: ServerCertificate) {
    let mut times = interval(LOOK);
    loop {
        tokio::select! {
            () = app.drained() => return,
            () = app.ca.changed() => {}
            _ = times.tick() => {}
        }
        renew_certificate(&app, &certificate);
    }
}

fn renew_certificate(app: &App, certificate: &ServerCertificate) {
    match app.ca.follow() {
        Ok(false) => {}
        Ok(true) => tracing::info!("the authorities' folder has changed and was read anew"),
        Err(error) => tracing::error!(error = chain(&error), "the authorities' folder cannot be read"),
    }
    match certificate.renew(&app.ca.for_server(), &app.config.certificate_names(), app.clock.now()) {
        Ok(false) => {}
        Ok(true) => tracing::info!("the server's own certificate was made anew"),
        Err(error) => {
            tracing::error!(error = chain(&error), "the server's own certificate could not be made anew")
        }
    }
}
