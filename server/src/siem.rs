//! The SIEM is told: findings and the journal leave for the owner's own collector, batch by batch.
//!
//! One server of several tells, by its lease; the position moves by a commit after a batch has arrived, under the lease's
//! guard. So nothing is left out, and what is told twice after a break bears the same name. A SIEM that is slow or gone
//! holds nobody up but this task. What is told is decided in `cordon_server_core::siem`. Read next: `gather`, `way`.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Commit;
use cordon_server_core::siem::position::{Findings, Position};
use cordon_server_core::siem::{Event, Reporter, syslog};
use tokio::time::{interval, sleep};

use crate::app::{App, CommitError, name, server};
use crate::config::{Config, SiemSettings};
use crate::log::chain;
use crate::store::{Expected, Key, Lease, Revision, StoreError};

mod gather;
#[cfg(test)]
mod tests;
mod way;

pub use way::{SendError, Sent, SiemError};

/// The lease, and the document of the position.
const JOB: &str = "siem";
/// Pause between two batches when there is nothing more: events that come together travel together.
const PAUSE: Duration = Duration::from_secs(2);
/// The first pause after a failure; each further one is twice as long, up to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How often the lease is asked for again while a batch travels.
const RENEW: Duration = Duration::from_secs(1);
/// Seconds after which a position that moved over nothing worth telling is written down all the same.
const WRITE_DOWN_S: i64 = 600;

/// The way out, and how it stands.
pub struct Siem {
    pub(crate) settings: SiemSettings,
    reporter: Reporter,
    way: way::Way,
    held: Mutex<Option<Held>>,
}

/// The position as the server that tells holds it.
#[derive(Clone)]
struct Held {
    position: Position,
    expected: Expected,
    lease: Revision,
    written: Timestamp,
    /// Batches in a row that it did not take.
    failures: u32,
}

/// How the SIEM stands, for people.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The position, as far as it is written down or held here; none before the first look.
    pub position: Option<Position>,
    /// Commits of the store that were not looked through yet, where that is known.
    pub behind: Option<u64>,
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("another server tells the SIEM now")]
    Lost,
}

impl Siem {
    /// The SIEM of the settings, if they name one; their files are read now.
    pub fn load(config: &Config) -> Result<Option<Self>, SiemError> {
        let Some(settings) = config.siem.clone() else { return Ok(None) };
        let way = way::Way::of(&settings, config)?;
        Ok(Some(Self { settings, reporter: Self::reporter(config), way, held: Mutex::default() }))
    }

    /// As whom this server tells.
    #[must_use]
    pub fn reporter(config: &Config) -> Reporter {
        let host = config.server_name.as_ref().unwrap_or(&config.host).clone();
        Reporter { host, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// How it stands. A server that does not tell by itself reads what the one that does has written down.
    pub async fn standing(&self, app: &App) -> Result<Standing, StoreError> {
        let held = self.held().clone().map(|held| held.position);
        let position = match held {
            Some(position) => Some(position),
            None => app.store.get(document()).await?.and_then(|row| self.read(&row.body)),
        };
        let behind = match position.as_ref().map(|position| &position.findings) {
            Some(Findings::Follow { after, .. }) => {
                Some(app.store.health().await?.revision.0.saturating_sub(*after))
            }
            Some(Findings::Walk { .. }) | None => None,
        };
        Ok(Standing { position, behind })
    }

    /// Sends one event that says that nothing happened.
    pub async fn test(&self, app: &App, by: &Actor) -> Result<Sent, SendError> {
        let event = Event::Test { at: app.clock.now_ms(), by };
        let messages = event.messages(&self.reporter, self.settings.format);
        let frames: Vec<Vec<u8>> = messages
            .iter()
            .map(|message| syslog::frame(message, self.settings.facility, &self.reporter))
            .collect();
        self.way.send(&frames.concat()).await
    }

    fn read(&self, body: &[u8]) -> Option<Position> {
        Position::from_body(body, &self.settings.address)
    }

    /// The pause after failures in a row, if there were any.
    fn patience(&self) -> Option<Duration> {
        let failures = self.held().as_ref()?.failures.checked_sub(1)?;
        Some(BACKOFF.0.saturating_mul(1 << failures.min(6)).min(BACKOFF.1))
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells until the server drains.
pub async fn run(app: Arc<App>) {
    let Some(siem) = app.siem.clone() else { return app.drained().await };
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = app.drained() => return,
            () = sleep(pause) => {}
        }
        let turned = tokio::select! {
            () = app.drained() => return,
            turned = turn(&app, &siem) => turned,
        };
        pause = match turned {
            Ok(More(true)) => Duration::ZERO,
            Ok(More(false)) => PAUSE,
            Err(error) => {
                *siem.held() = None;
                tracing::error!(error = chain(&error), "the SIEM cannot be told; tried again");
                PAUSE
            }
        };
        pause = siem.patience().unwrap_or(pause);
    }
}

/// Whether more is to be told at once.
struct More(bool);

/// Tells one batch, if it is this server's turn.
async fn turn(app: &App, siem: &Siem) -> Result<More, TurnError> {
    // A position that cannot be written down would be told again and again.
    if app.following.is_stale() || app.care.trouble().is_some() {
        return Ok(More(false));
    }
    let Some(lease) = app.leases.hold(JOB).await? else {
        *siem.held() = None;
        return Ok(More(false));
    };
    let held = take_up(app, siem, &lease).await?;
    let batch = gather::batch(app, siem, held.position.clone()).await?;
    let more = More(!batch.is_whole);
    let now = app.clock.now();
    if batch.events == 0 && !held.position.is_untried(now) {
        let moved = Held { position: batch.then, ..held };
        if now.seconds_since(moved.written) >= WRITE_DOWN_S {
            write(app, siem, moved, &lease).await?;
        } else {
            *siem.held() = Some(moved);
        }
        return Ok(more);
    }
    let sent = carry(app, siem, &batch.frames).await?;
    let now = app.clock.now();
    let (position, is_news) = match &sent {
        Ok(_) => (batch.then.took(batch.events, now), true),
        Err(error) => {
            let failed = held.position.clone().failed(&chain(error), now);
            let is_news = failed.failing != held.position.failing;
            (failed, is_news)
        }
    };
    let recovers = held.position.failing.is_some() && sent.is_ok();
    let held =
        Held { position, failures: if sent.is_ok() { 0 } else { held.failures.saturating_add(1) }, ..held };
    if let (Err(error), true) = (&sent, is_news) {
        tracing::error!(error = chain(error), "the SIEM takes nothing; what is to be told waits");
    }
    if recovers {
        tracing::info!(to = siem.settings.address, "the SIEM takes events again");
    }
    app.metrics.siem(&held.position, if sent.is_ok() { batch.events } else { 0 });
    if is_news {
        write(app, siem, held, &lease).await?;
    } else {
        *siem.held() = Some(held);
    }
    Ok(if sent.is_ok() { more } else { More(false) })
}

/// The position under this lease: held already, or read, or the beginning.
async fn take_up(app: &App, siem: &Siem, lease: &Lease) -> Result<Held, StoreError> {
    let known = siem.held().clone().filter(|held| held.lease == lease.token);
    if let Some(held) = known {
        return Ok(held);
    }
    let row = app.store.get(document()).await?;
    let position = match row.as_ref().and_then(|row| siem.read(&row.body)) {
        Some(position) => position,
        None => gather::beginning(app, &siem.settings.address).await?,
    };
    let expected = Expected::of(row.as_ref());
    Ok(Held { position, expected, lease: lease.token, written: app.clock.now(), failures: 0 })
}

/// Sends frames, and keeps the lease meanwhile: a slow SIEM is no reason for another server to begin.
async fn carry(app: &App, siem: &Siem, frames: &[u8]) -> Result<Result<Sent, SendError>, TurnError> {
    let mut sending = pin!(siem.way.send(frames));
    let mut times = interval(RENEW);
    loop {
        tokio::select! {
            sent = &mut sending => return Ok(sent),
            _ = times.tick() => {
                if app.leases.hold(JOB).await?.is_none() {
                    return Err(TurnError::Lost);
                }
            }
        }
    }
}

/// Writes the position down, unless somebody else tells by now.
async fn write(app: &App, siem: &Siem, held: Held, lease: &Lease) -> Result<(), TurnError> {
    let (key, expected) = lease.guard();
    let draft = Commit::draft(app.clock.now(), server(JOB))
        .expect(key, expected)
        .expect(document(), held.expected)
        .put(document(), held.position.to_body());
    match app.commit(draft).await {
        Ok(committed) => {
            let expected = Expected::At(committed.revision);
            *siem.held() = Some(Held { expected, written: app.clock.now(), ..held });
            Ok(())
        }
        Err(CommitError::Store(StoreError::Conflict(Key::Lease(_)))) => {
            app.leases.lost(JOB);
            Err(TurnError::Lost)
        }
        Err(error) => Err(error.into()),
    }
}

/// Where the position is kept.
fn document() -> Key {
    Key::Meta(name("siem-position"))
}
