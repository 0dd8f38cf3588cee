//! What a start finds of the identity: one to run with, an enrolment that waits for a person, a leave that died, or none.
//!
//! A device that waits goes on asking instead of failing; one that left ends calmly and stays as it is until a person
//! enrols it anew. Nothing is decided here but the order of looking. Read next: [`super::setup`], [`super::leaving`].

use std::time::Duration;

use cordon_agent_core::backoff::Backoff;
use tokio::time::sleep;

use super::contact::{Pace, chance};
use super::leaving::{self, Leaver};
use super::setup::Base;
use super::{RunError, ports::Tempo};
use crate::config::Config;
use crate::identity::enrolment::go_on;
use crate::identity::farewell::Kept;
use crate::identity::{Applicant, Held, IdentityError};
use crate::link::{Link, LinkError, Retry};

/// What there is.
pub(super) enum Entered {
    /// An identity to run with.
    Held(Box<Held>),
    /// The device has left its owner.
    Left,
}

/// Whether a start may wait for a person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// As long as it takes.
    Enough,
    /// Not at all.
    None,
}

/// Looks, and waits where a person has to approve, unless there is no time: then the server is asked once, and what it
/// lacks is the error.
pub(super) async fn enter(
    base: &Base,
    config: &Config,
    tempo: Tempo,
    time: Time,
) -> Result<Entered, RunError> {
    let applicant = base.applicant(config);
    let mut pauses = Pauses::of(tempo.pace);
    while base.home.waits()? {
        let failed = match go_on(&base.home, &applicant).await {
            Ok(_) => break,
            Err(error) => error,
        };
        let Some(pause) = pauses.after(&failed) else {
            // What was refused for good is not asked again; an identity from before goes on.
            if base.home.held()?.is_some() {
                tracing::error!(error = %failed, "the enrolment that waited has ended");
                break;
            }
            return Err(failed.into());
        };
        if time == Time::None {
            return Err(failed.into());
        }
        tracing::warn!(error = %failed, "the enrolment waits; it is asked again");
        sleep(pause).await;
    }
    stand(base, &applicant, tempo).await
}

/// What there is now, without waiting for anybody.
async fn stand(base: &Base, applicant: &Applicant, tempo: Tempo) -> Result<Entered, RunError> {
    let farewell = Kept::read(&base.state).unwrap_or_else(|error| {
        tracing::warn!(%error, "the farewell on disk cannot be read");
        None
    });
    let Some(held) = base.home.held()? else {
        if farewell.is_none() {
            return Err(RunError::NotEnrolled);
        }
        leaving::finish(&base.state, &base.home)?;
        return Ok(Entered::Left);
    };
    let ours = |farewell: &Kept| !farewell.wiped && held.both().any(|one| farewell.is_of(one));
    let Some(farewell) = farewell.filter(ours) else {
        return Ok(Entered::Held(Box::new(held)));
    };
    let route = applicant.route(&held.identity.site.host);
    let link = Link::new(&held.identity, &route, base.clock.clone(), tempo.patience)?;
    let leaver = Leaver::new(base, applicant.hardware.identity(), &held.identity);
    leaver.leave(farewell.cause, Some(&link)).await?;
    Ok(Entered::Left)
}

/// The waits between two questions. They grow while the server cannot be asked, and begin again once it has answered.
struct Pauses {
    backoff: Backoff,
    slowly: Duration,
}

impl Pauses {
    fn of(pace: Pace) -> Self {
        Self { backoff: pace.backoff, slowly: pace.slowly }
    }

    /// How long to wait before the next question; `None` where none follows.
    fn after(&mut self, error: &IdentityError) -> Option<Duration> {
        let asked = match error {
            IdentityError::Server { source: LinkError::WrongServer(_), .. } => return Some(self.slowly),
            other => match other.retry() {
                Retry::Soon => None,
                Retry::After(seconds) => Some(seconds),
                Retry::Slowly => return Some(self.slowly),
                Retry::Never => return None,
            },
        };
        let pause = Duration::from_millis(self.backoff.failed(asked, chance()));
        if matches!(error, IdentityError::Waiting { .. }) {
            self.backoff.succeeded();
        }
        Some(pause)
    }
}

#[cfg(test)]
mod tests;
