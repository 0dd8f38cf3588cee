//! The identity while the agent runs: which certificate is shown, when the next one is asked for, what a refusal means.
//!
//! The decisions are `cordon_agent_core::renew`'s, the files [`crate::identity::slots`]'s; this keeps the two and the
//! link in step. A certificate is shown only after it is on disk, and the one before it stands until the server has
//! answered under the new one. No trouble here stops the reports. Read next: [`super::contact`], which asks.

use cordon_agent_core::renew::{Asked, Course, Renewal, believed, course};
use cordon_proto::authorities::Search;
use cordon_proto::limits;

use super::contact::chance;
use crate::identity::authorities;
use crate::identity::{self, Applicant, Held, Home, Identity, IdentityError, InForce};
use crate::link::{Link, LinkError, Retry};
use crate::status::IdentityStatus;
use crate::tls::TlsError;

/// Milliseconds after which a device that has only its pin looks for its first bundle from the beginning again.
const SEARCH_MS: u64 = 86_400_000;

/// The keeper of the identity.
pub(crate) struct Keeping {
    home: Home,
    applicant: Applicant,
    held: Held,
    in_force: InForce,
    renewal: Renewal,
    /// The next certificate, on disk and not shown: no client could be built for it yet.
    unshown: Option<Identity>,
    /// How far the bundles of authorities were looked at, and when that is forgotten.
    search: Search,
    search_again_ms: u64,
    error: Option<String>,
    /// The certificate shown was answered since it was taken up.
    answered: bool,
    /// Both certificates were refused since the last answer.
    both_refused: bool,
}

impl Keeping {
    pub(crate) fn new(home: Home, held: Held, applicant: Applicant) -> Self {
        let in_force = InForce::new(held.identity.clone());
        Self {
            home,
            applicant,
            held,
            in_force,
            renewal: Renewal::default(),
            unshown: None,
            search: Search::default(),
            search_again_ms: 0,
            error: None,
            answered: false,
            both_refused: false,
        }
    }

    /// The identity shown now.
    pub(crate) fn identity(&self) -> &Identity {
        &self.held.identity
    }

    /// The identity in force, for others.
    pub(crate) fn in_force(&self) -> InForce {
        self.in_force.clone()
    }

    /// How it stands, for people.
    pub(crate) fn status(&self) -> IdentityStatus {
        IdentityStatus { renewal_error: self.error.clone(), ..IdentityStatus::from(self.identity()) }
    }

    /// The server has answered a check-in under the certificate shown.
    pub(crate) fn answered(&mut self) {
        self.both_refused = false;
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        let settled = match (self.held.on_trial, &self.held.other) {
            (true, _) => self.home.settle(),
            // The one in force is answered after the next one was refused.
            (false, Some(_)) => self.home.drop_next(),
            // Whatever an earlier life could not put away.
            (false, None) => self.home.tidy(),
        };
        match settled {
            Ok(()) => {
                self.held.on_trial = false;
                self.held.other = None;
            }
            Err(error) => {
                tracing::warn!(%error, "the certificates on disk cannot be put in order; it is tried again");
                self.answered = false;
            }
        }
    }

    /// What to do about a failed call.
    pub(crate) fn course(&mut self, error: &LinkError) -> Course {
        let Some(word) = error.word() else { return Course::Wait };
        // After both were refused there is a wait; then both are tried again.
        let other = self.held.other.is_some() && !std::mem::take(&mut self.both_refused);
        let taken = course(word, other);
        if taken == Course::Renew {
            self.renewal.ended();
        }
        taken
    }

    /// Shows the other certificate that is held. Whether it is shown from now on.
    pub(crate) fn show_other(&mut self, link: &Link) -> bool {
        let Some(other) = self.held.other.clone() else { return false };
        tracing::warn!("the server refuses this certificate; the other one is shown");
        let Ok(before) = self.take_up(other, link) else { return false };
        self.held.other = Some(before);
        // Back where it began: both were refused, and a person has to act first.
        self.both_refused = !self.held.on_trial;
        self.held.on_trial = !self.held.on_trial;
        true
    }

    /// Shows an identity from now on, and gives back the one before. Where no client can be built for it, nothing changes.
    fn take_up(&mut self, identity: Identity, link: &Link) -> Result<Identity, TlsError> {
        self.exchange(&identity, link)?;
        self.answered = false;
        self.in_force.replace(identity.clone());
        Ok(std::mem::replace(&mut self.held.identity, identity))
    }

    fn exchange(&self, identity: &Identity, link: &Link) -> Result<(), TlsError> {
        let route = self.applicant.route(&identity.site.host);
        link.exchange(identity, &route, self.applicant.clock.clone()).inspect_err(|error| {
            tracing::error!(%error, "no client could be built; the one before is still used");
        })
    }

    /// Builds the client anew, with what the proxy's file says by now. Where that fails, the one before stays.
    pub(crate) fn introduce_anew(&self, link: &Link) {
        let _ = self.exchange(&self.held.identity, link);
    }

    /// Milliseconds until the next certificate is to be asked for; `None` while nobody knows the time.
    pub(crate) fn wait_ms(&self) -> Option<u64> {
        let clock = &self.applicant.clock;
        let now = believed(clock.heard(), clock.raw().seconds(), clock.floor().at());
        let due = self.held.identity.renews();
        // One that has not proved itself is not followed by a third, unless the server says that it has ended.
        let now = now.filter(|_| !self.held.on_trial);
        self.renewal.wait_ms(due, now, self.monotonic_ms())
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.applicant.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks for the next certificate if it is time, and shows it from now on. Whether there is one.
    pub(crate) async fn renew_if_due(&mut self, link: &Link) -> bool {
        if self.wait_ms() != Some(0) {
            return false;
        }
        let renewed = match self.unshown.take() {
            Some(next) => Ok(next),
            None => identity::renew(&self.home, &self.held.identity, &self.applicant).await,
        };
        match renewed {
            Ok(next) => self.show_next(next, link),
            Err(error) => {
                tracing::warn!(%error, "the certificate could not be renewed; it is tried again");
                self.renewal.failed(self.monotonic_ms(), asked(&error), chance());
                self.error = Some(error.to_string());
                false
            }
        }
    }

    /// Shows the next certificate, which is on disk. One that cannot be shown yet is not asked for again.
    pub(crate) fn show_next(&mut self, next: Identity, link: &Link) -> bool {
        let before = match self.take_up(next.clone(), link) {
            Ok(before) => before,
            Err(error) => {
                self.unshown = Some(next);
                self.renewal.failed(self.monotonic_ms(), Asked::Nothing, chance());
                self.error = Some(error.to_string());
                return false;
            }
        };
        tracing::info!(until = %next.not_after, "the next certificate is here");
        self.held.other = Some(before);
        self.held.on_trial = true;
        self.renewal.succeeded(self.monotonic_ms());
        (self.error, self.both_refused) = (None, false);
        true
    }

    /// Follows the bundles of authorities up to the server's newest, each on disk before it is believed.
    pub(crate) async fn follow_authorities(&mut self, newest: u64, link: &Link) {
        let now_ms = self.monotonic_ms();
        if now_ms >= self.search_again_ms {
            // What a captured server said of the past is not believed for ever.
            self.search = Search::default();
            self.search_again_ms = now_ms.saturating_add(SEARCH_MS);
        }
        let mut identity = self.held.identity.clone();
        let began = identity.believed.version;
        for _ in 0..limits::AUTHORITIES_STEPS {
            let Some(number) = self.search.next(&identity.believed, newest) else { break };
            let bundle = match link.authorities(number).await {
                Ok(Some(bundle)) => bundle,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, number, "the next bundle of authorities cannot be fetched");
                    break;
                }
            };
            if let Err(error) =
                authorities::follow(&self.home, &mut self.search, &mut identity, (number, &bundle))
            {
                tracing::error!(%error, number, "a bundle of authorities is not followed");
                break;
            }
        }
        if identity.believed.version != began {
            let answered = self.answered;
            if self.take_up(identity, link).is_err() {
                return;
            }
            self.answered = answered;
            let version = self.held.identity.believed.version;
            tracing::info!(version, "other authorities are believed from now on");
            for kept in [&mut self.held.other, &mut self.unshown].into_iter().flatten() {
                kept.believe_as(&self.held.identity);
            }
        }
    }
}

fn asked(error: &IdentityError) -> Asked {
    match error.retry() {
        Retry::Soon => Asked::Nothing,
        Retry::After(seconds) => Asked::Seconds(seconds),
        Retry::Slowly | Retry::Never => Asked::Late,
    }
}
