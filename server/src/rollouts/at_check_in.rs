//! What a device is told in the answer to its check-in, and the go that is given while it waits for that answer.
//!
//! Who does not listen, such as a device on a metered line, hears only this. So whoever holds the lease of the job decides
//! about its go at once, over the same plan and check as a tick, and commits before it answers. And no device is told of a
//! go before it is written down that it was: who was told and is not heard again is silent, who never came for its go is
//! not. Read next: `elsewhere` for a server without the lease, `steps` for the ticks,
//! `cordon_server_core::rollout::go_at_check_in`.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_proto::checkin::{Action, ContentOffer};
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::lease::Lease;
use cordon_server_core::change::{Commit, Key};
use cordon_server_core::device::Device;
use cordon_server_core::rollout::{
    Act, Book, Fleet, IN_FLIGHT_TOTAL, Progress, RolloutKind, Sight, Told, apply_progress, go_at_check_in,
    may_be_given,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::elsewhere::{ANSWERS, is_its_turn};
use super::steps::{actor, put_progress};
use super::{RolloutError, Rollouts, TRIES};
use crate::app::App;
use crate::jobs::ROLLOUTS_JOB;
use crate::log::chain;
use crate::store::{Expected, StoreError};

/// How long a check-in waits for a tick that is at it. A device that gets no go here gets it later, or asks again.
const PATIENCE: Duration = Duration::from_secs(5);

/// One gives gos at a time, tick or check-in: two that count the places apart would give one too many.
pub(super) struct Giving {
    /// Whoever gives.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Rollouts without a free place at the last look; forgotten with every tick.
    full: Mutex<BTreeSet<Name>>,
    /// Answers that may still be kept back while another server decides.
    pub(super) answers: Semaphore,
}

impl Default for Giving {
    fn default() -> Self {
        Self { turn: Default::default(), full: Default::default(), answers: Semaphore::new(ANSWERS) }
    }
}

impl Giving {
    /// Rollouts without a free place.
    pub(super) fn full(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a go at a check-in is committed over.
struct Given {
    rollout: Expected,
    progress: Progress,
    expected: Expected,
}

impl Rollouts {
    /// What a device is told in the answer to its check-in. What cannot be written down is not told.
    pub(super) async fn answer(&self, app: &App, device: &Device, now: Timestamp) -> Told {
        let mut told = self.tell(device, now).0;
        // While the store takes no writes, and where what is known is too old to answer by, no go begins.
        let writes = !app.following.is_stale() && app.care.trouble().is_none();
        if let Some(rollout) = told.of.clone()
            && told.permit.is_none()
            && writes
            && self.asks_in_vain(&rollout, device, now)
        {
            if is_its_turn(app) {
                self.give_or_say(app, (&rollout, device.id), now).await;
            } else {
                let given = || self.tell(device, now).0.permit.is_some();
                self.ask_elsewhere(app, (&rollout, device), given, now).await;
            }
            told = self.tell(device, now).0;
        }
        if let (Some(rollout), Some(permit), true) = (&told.of, &told.permit, told.is_news) {
            let action = permit.action;
            let tell = |known: &Progress| known.told(action, now);
            if writes && let Err(error) = self.write_told((rollout, device.id), tell, now).await {
                tracing::warn!(error = chain(&error), "a go could not be written down, so it was not told");
            }
            told = self.tell(device, now).0;
            told.permit = told.permit.filter(|_| !told.is_news);
        }
        told
    }

    /// The content that a device is offered in the answer to its check-in, and its version. A place is given as a go is, and
    /// what cannot be written down is not told.
    pub(super) async fn answer_content(
        &self,
        app: &App,
        device: &Device,
        now: Timestamp,
    ) -> Option<(ContentOffer, u64)> {
        let writes = !app.following.is_stale() && app.care.trouble().is_none();
        if let Some(rollout) = self.lacks_place(device, now).filter(|_| writes) {
            if is_its_turn(app) {
                self.give_or_say(app, (&rollout, device.id), now).await;
            } else {
                let placed = || self.read(|shelf| shelf.progress(&rollout, device.id).go_at(now).is_some());
                self.ask_elsewhere(app, (&rollout, device), placed, now).await;
            }
        }
        let tell = || self.look(|book| book.tell_content(device, now));
        let mut told = tell()?;
        if told.is_news {
            let late = self.look(|book| book.rollouts.get(&told.of).is_some_and(|of| !of.moves()));
            let offered = |known: &Progress| known.offered(late, now);
            if writes && let Err(error) = self.write_told((&told.of, device.id), offered, now).await {
                tracing::warn!(
                    error = chain(&error),
                    "an offer could not be written down, so it was not told"
                );
            }
            told = tell().filter(|told| !told.is_news)?;
        }
        Some((told.offer, told.version))
    }

    /// The rollout of the highest content that would have a place for the device if one is free.
    fn lacks_place(&self, device: &Device, now: Timestamp) -> Option<Name> {
        let of_content = |book: &Book| -> Vec<(Option<u64>, Name)> {
            let all = book.rollouts.values().filter(|one| one.kind == RolloutKind::Content && one.moves());
            let its = all.filter(|one| one.wave_of(device.id).is_some());
            its.map(|one| (one.content_version, one.id.clone())).collect()
        };
        let asks = |(_, rollout): &(Option<u64>, Name)| self.asks_in_vain(rollout, device, now);
        self.look(of_content).into_iter().filter(asks).max().map(|(_, rollout)| rollout)
    }

    /// Whether the device would be given its go if there is a place.
    fn asks_in_vain(&self, rollout: &Name, device: &Device, now: Timestamp) -> bool {
        self.read(|shelf| {
            let Some(rollout) = shelf.book.rollouts.get(rollout) else { return false };
            let fleet: Fleet = [(device.id, shelf.book.facts(rollout, device, now))].into();
            let orders = shelf.book.orders_of(rollout);
            let sight = Sight { fleet: &fleet, orders: &orders, room: IN_FLIGHT_TOTAL, now };
            may_be_given(rollout, &sight, device.id).is_some()
        })
    }

    async fn give_or_say(&self, app: &App, of: (&Name, DeviceId), now: Timestamp) {
        match self.give(app, of, now).await {
            Ok(()) => {}
            Err(RolloutError::Store(StoreError::Conflict(Key::Lease(_)))) => app.leases.lost(ROLLOUTS_JOB),
            Err(error) => {
                tracing::warn!(error = chain(&error), "a go or a place could not be given in a check-in")
            }
        }
    }

    /// Gives a device its go, if it is this server's turn at the rollouts, a place is free and nothing stops.
    async fn give(
        &self,
        app: &App,
        (rollout, device): (&Name, DeviceId),
        now: Timestamp,
    ) -> Result<(), RolloutError> {
        if self.giving.full().contains(rollout) {
            return Ok(());
        }
        let Some(lease) = app.leases.hold(ROLLOUTS_JOB).await? else { return Ok(()) };
        let Ok(_turn) = timeout(PATIENCE, self.giving.turn.lock()).await else { return Ok(()) };
        // Asked again: of many that waited together, the first that finds no place has looked for all of them.
        if self.giving.full().contains(rollout) {
            return Ok(());
        }
        let Some(given) = self.given(app, (rollout, device), now) else {
            self.giving.full().insert(rollout.clone());
            return Ok(());
        };
        self.commit_go((rollout, device), &given, (&lease, now)).await
    }

    fn given(&self, app: &App, (id, device): (&Name, DeviceId), now: Timestamp) -> Option<Given> {
        self.read(|shelf| {
            let rollout = shelf.book.rollouts.get(id).filter(|_| shelf.has_place(id, now))?;
            let fleet = shelf.fleet_of(rollout, &|id| app.fleet.get(id), now);
            let orders = shelf.book.orders_of(rollout);
            let room = IN_FLIGHT_TOTAL.saturating_sub(shelf.in_flight_beside(id, now));
            let sight = Sight { fleet: &fleet, orders: &orders, room, now };
            let act = go_at_check_in(rollout, &sight, device).unwrap_or_else(|violation| {
                tracing::error!(rollout = %id, ?violation, "a go in a check-in was refused by the plan's own check");
                None
            })?;
            let progress = apply_progress(&shelf.progress(id, device), &act, now)?;
            let action = if matches!(act, Act::Back { .. }) { Action::Back } else { Action::Install };
            let progress = match rollout.kind {
                RolloutKind::Firmware => progress.told(action, now)?,
                RolloutKind::Content => progress.offered(false, now).unwrap_or(progress),
            };
            let key = Key::Progress { rollout: id.clone(), device };
            let (rollout, expected) = (shelf.expected(&Key::Rollout(id.clone())), shelf.expected(&key));
            Some(Given { rollout, progress, expected })
        })
    }

    /// A conflict means that somebody was faster; what they did is loaded, and the device is told what holds then.
    async fn commit_go(
        &self,
        (rollout, device): (&Name, DeviceId),
        given: &Given,
        (lease, now): (&Lease, Timestamp),
    ) -> Result<(), RolloutError> {
        let ((guard, held), key) = (lease.guard(), Key::Rollout(rollout.clone()));
        let draft = Commit::draft(now, actor()).expect(guard, held).expect(key.clone(), given.rollout);
        let draft = put_progress(draft, rollout, (device, &given.progress, given.expected));
        match self.commit(draft).await {
            Err(RolloutError::Store(StoreError::Conflict(Key::Lease(job)))) => {
                Err(StoreError::Conflict(Key::Lease(job)).into())
            }
            Err(RolloutError::Store(StoreError::Conflict(_))) => {
                self.load_one(key).await?;
                self.load_one(Key::Progress { rollout: rollout.clone(), device }).await?;
                Ok(())
            }
            outcome => outcome.map(|_| ()),
        }
    }

    /// Writes down that a device is told of what `tell` says. Any server may: it is the one that answers.
    pub(super) async fn write_told(
        &self,
        (rollout, device): (&Name, DeviceId),
        tell: impl Fn(&Progress) -> Option<Progress> + Send + Sync,
        now: Timestamp,
    ) -> Result<(), RolloutError> {
        let key = Key::Progress { rollout: rollout.clone(), device };
        for _ in 0..TRIES {
            let (known, expected) =
                self.read(|shelf| (shelf.progress(rollout, device), shelf.expected(&key)));
            let Some(told) = tell(&known) else { return Ok(()) };
            let draft = Commit::draft(now, Actor::Device(device));
            match self.commit(put_progress(draft, rollout, (device, &told, expected))).await {
                Err(RolloutError::Store(StoreError::Conflict(_))) => self.load_one(key.clone()).await?,
                outcome => return outcome.map(|_| ()),
            }
        }
        Err(StoreError::Conflict(key).into())
    }
}
