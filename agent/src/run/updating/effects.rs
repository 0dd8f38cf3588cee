//! The machine's effects, one by one, and the events that answer them.
//!
//! An effect that fails answers nothing, or the fault that the machine knows; it asks again by itself at the next look
//! or start. It must never be done before its step is stored: [`super::Updating`] sees to that.

use std::sync::Arc;

use cordon_agent_core::update::{Effect, Event, Report, gate};
use tokio::sync::oneshot;

use super::Updating;
use crate::boot::{self, BootError, Change};
use crate::link::LinkError;
use crate::run::health;
use crate::run::messages::ToLink;

impl Updating {
    pub(super) async fn perform(&mut self, effect: Effect) {
        let change = match effect {
            Effect::Arm { slot, attempts } => Change::Arm { slot, attempts },
            Effect::Disarm => Change::Disarm,
            Effect::Confirm { slot } => Change::Confirm { slot },
            Effect::RollBack { to } => Change::RollBack { to },
            effect => return self.perform_other(effect).await,
        };
        if !self.boot(change).await {
            return;
        }
        let event = match change {
            Change::Arm { .. } => Event::Armed(Box::new(self.fresh_surroundings())),
            Change::Disarm => Event::Disarmed,
            Change::Confirm { .. } => Event::Committed,
            Change::RollBack { .. } => Event::Reverted(Box::new(self.fresh_surroundings())),
        };
        self.queue.push_back(event);
    }

    async fn perform_other(&mut self, effect: Effect) {
        match effect {
            Effect::WriteSlot { slot, length, offset } => self.open_slot(slot, length, offset).await,
            Effect::Fetch { sha256, length } => self.begin_fetch((sha256, length)).await,
            Effect::HashSlot { slot, length } => self.hash_slot(slot, length),
            Effect::Reboot => self.restart().await,
            Effect::CheckHealth => {
                self.checking = Some(Box::pin(health::check(self.device.health.clone(), self.stale)));
            }
            Effect::Arm { .. } | Effect::Disarm | Effect::Confirm { .. } | Effect::RollBack { .. } => {}
            Effect::EmitReceipt(report) => self.emit(&report),
            Effect::Forget => {
                (self.delta, self.proving) = (None, None);
                self.leave_slot().await;
                self.drop_bundle();
            }
        }
    }

    /// Changes the boot control, beside everything else: a command of the maker's takes its time.
    async fn boot(&mut self, change: Change) -> bool {
        let Ok(installer) = &self.means.installer else { return false };
        let control = Arc::clone(&installer.boot);
        let changed = tokio::task::spawn_blocking(move || boot::change_shared(&control, change)).await;
        let why = match changed {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let what = match change {
            Change::Arm { .. } => "arm the trial",
            Change::Disarm => "take the trial back",
            Change::Confirm { .. } => "confirm the image",
            Change::RollBack { .. } => "roll back",
        };
        tracing::error!(%why, what, "the boot control refuses; it is tried again");
        false
    }

    /// Reboots, or starts the application again where that is all it takes.
    async fn restart(&mut self) {
        // The step was stored since it asked for this, however long that took: a patient may be attached.
        let look = self.fresh_surroundings();
        if !gate::may_reboot(&self.record, &look, self.now()) {
            return self.queue.push_back(Event::Look(Box::new(look)));
        }
        self.proving = None;
        let Ok(installer) = &self.means.installer else { return };
        let control = Arc::clone(&installer.boot);
        let (record, interlock, now) = (self.record.clone(), self.device.interlock.clone(), self.now());
        let mut look = look;
        // And once more where words and a link have to be stored first.
        let mut may = move || {
            (look.interlock, look.silence) = (interlock.state(), interlock.silence());
            gate::may_reboot(&record, &look, now)
        };
        let _ = health::forget(&self.device.health);
        match tokio::task::spawn_blocking(move || boot::restart(&control, &mut may)).await {
            Ok(Ok(None)) => {
                tracing::info!("the device reboots for its update");
                self.reboot = true;
            }
            Ok(Ok(Some((well, view)))) => {
                // Until the command had ended, what ran before may have spoken once more.
                self.stale = health::forget(&self.device.health);
                tracing::info!(slot = %view.booted, "the application was started again for its update");
                // As in a reboot: what waited to be heard speaks of what ran before.
                self.queue.clear();
                self.queue.push_back(Event::Started(view));
                if !well {
                    self.queue.push_back(Event::Sick);
                }
            }
            Ok(Err(BootError::NotNow)) => {
                let look = self.fresh_surroundings();
                self.queue.push_back(Event::Look(Box::new(look)));
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the application cannot be started again; it is tried again")
            }
            Err(error) => tracing::error!(%error, "starting the application again was cut off"),
        }
    }

    fn emit(&mut self, report: &Report) {
        let device = &self.device;
        let (identity, hardware) = (device.identity.now(), device.hardware.identity());
        match self.means.outbox.keep(report, &identity, hardware, device.clock.raw().seconds()) {
            Ok(()) => self.queue.push_back(Event::ReceiptKept { serial: report.serial }),
            Err(error) => tracing::error!(%error, "the receipt cannot be kept; it is tried again"),
        }
    }

    /// Hands in the receipts that wait, oldest first, until one does not go through.
    pub(super) async fn deliver(&mut self) {
        loop {
            let (name, receipt) = match self.means.outbox.next(&self.device.identity.now()) {
                Ok(Some(next)) => next,
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "the receipts cannot be read"),
            };
            let (back, answer) = oneshot::channel();
            if self.peers.to_link.send(ToLink::Receipt { receipt, back }).await.is_err() {
                return;
            }
            match answer.await {
                Ok(Ok(())) => {
                    if let Err(error) = self.means.outbox.taken(&name) {
                        return tracing::error!(%error, "a delivered receipt cannot be removed");
                    }
                }
                Ok(Err(LinkError::Rejected { status: 400..=407 | 409..=428, code, detail })) => {
                    tracing::error!(%code, %detail, receipt = %name, "the server refuses a receipt; it is kept");
                    self.means.outbox.refused(name);
                }
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}
