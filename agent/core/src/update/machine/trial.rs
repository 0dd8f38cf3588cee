//! The transitions after the reboot: health gate, commit, roll back, and the receipt of whatever came of it.
//!
//! An image is good when the running slot's hash is the ordered one, the device's own health check is passed and, where
//! the release asks for it, a check-in over mutual TLS has succeeded, all in time. A check that says no is made again
//! until the time is up; another hash and the last word of the device's own software are final. Only when the boot
//! control says that it is committed does the floor rise. It must never reboot out of a trial while the device is in
//! use. Read next: [`super::super::patience`], [`super::super::gate`].

use alloc::boxed::Box;

use cordon_proto::checkin::Action;
use cordon_proto::ids::Sha256;
use cordon_proto::update::decide::{ConfirmedOrder, GaveUp};
use cordon_proto::update::release::Confirm;

use super::super::Effect;
use super::super::fault::TrialFault;
use super::super::gate::{self, Look};
use super::super::record::{Confirmed, Installed, Job, Reverting, RolledBack, State, Trial};
use super::super::report;
use super::Run;

impl Run {
    pub(super) fn look_trial(&mut self, mut trial: Trial, look: &Look) -> State {
        if trial.shown.confirming {
            return self.confirm(trial);
        }
        if self.has_time(&mut trial, look) {
            return self.check_again(trial, look);
        }
        let shown = trial.shown;
        let why = match shown.hashed && shown.healthy {
            true => TrialFault::NoCheckin,
            false if shown.health.has_said_no() => TrialFault::Unhealthy,
            false => TrialFault::Silent,
        };
        self.revert(trial.job, why)
    }

    /// Whether the trial goes on: in its time, or once as long again where nothing but a check-in is missing and the
    /// network is down. A server that answers, however badly, is no such excuse.
    fn has_time(&self, trial: &mut Trial, look: &Look) -> bool {
        let now = self.now.monotonic;
        if trial.patience.has_time(look.trial_s, now) {
            return true;
        }
        let all_but_contact = trial.shown.hashed && trial.shown.healthy;
        let excused = look.network_down && all_but_contact && trial.patience.extend();
        excused && trial.patience.has_time(look.trial_s, now)
    }

    /// Makes the checks again that said no, as their pauses end.
    fn check_again(&mut self, mut trial: Trial, look: &Look) -> State {
        let now = self.now.monotonic;
        if !self.record.reading && trial.shown.hash.is_due(look.trial_s, now) {
            self.read(&trial.job);
        }
        if trial.shown.health.is_due(look.trial_s, now) {
            self.effects.push(Effect::CheckHealth);
        }
        State::Trial(Box::new(trial))
    }

    /// The running slot could not be read: a medium that stumbles may come round.
    pub(super) fn trial_unread(&mut self, mut trial: Box<Trial>) -> State {
        self.record.reading = false;
        trial.shown.hash.said_no(self.now.monotonic);
        State::Trial(trial)
    }

    pub(super) fn trial_hashed(&mut self, mut trial: Trial, sha256: Sha256) -> State {
        if sha256 != trial.job.cleared.image.sha256 {
            return self.revert(trial.job, TrialFault::HashDiffers);
        }
        trial.shown.hashed = true;
        self.confirm_if_good(trial)
    }

    pub(super) fn healthy(&mut self, state: State) -> State {
        let State::Trial(mut trial) = state else { return state };
        trial.shown.healthy = true;
        self.confirm_if_good(*trial)
    }

    pub(super) fn unwell(&mut self, state: State) -> State {
        let State::Trial(mut trial) = state else { return state };
        trial.shown.health.said_no(self.now.monotonic);
        State::Trial(trial)
    }

    pub(super) fn sick(&mut self, state: State) -> State {
        let State::Trial(trial) = state else { return state };
        // Once the boot control is being told, it may already have been told.
        if trial.shown.confirming {
            return State::Trial(trial);
        }
        self.revert(trial.job, TrialFault::Unhealthy)
    }

    pub(super) fn checked_in(&mut self, state: State) -> State {
        let State::Trial(mut trial) = state else { return state };
        trial.shown.checked_in = true;
        self.confirm_if_good(*trial)
    }

    fn confirm_if_good(&mut self, trial: Trial) -> State {
        let shown = trial.shown;
        let reached = match trial.job.cleared.confirm {
            Confirm::Checkin => shown.checked_in,
            Confirm::Local => true,
        };
        if shown.hashed && shown.healthy && reached && !shown.confirming {
            return self.confirm(trial);
        }
        State::Trial(Box::new(trial))
    }

    fn confirm(&mut self, mut trial: Trial) -> State {
        trial.shown.confirming = true;
        self.push(Effect::Confirm { slot: trial.job.slot });
        State::Trial(Box::new(trial))
    }

    pub(super) fn committed(&mut self, state: State) -> State {
        let State::Trial(trial) = state else { return state };
        if !trial.shown.confirming {
            return State::Trial(trial);
        }
        self.confirmed(trial.job)
    }

    /// The boot control has committed. From this step on the image is the installed one and the floor may rise.
    pub(super) fn confirmed(&mut self, job: Job) -> State {
        let cleared = &job.cleared;
        let installed = Installed {
            release: Some(cleared.image.release.clone()),
            counter: cleared.counter,
            sha256: cleared.image.sha256,
            length: cleared.image.length,
            slot: job.slot,
            interlock: cleared.interlock,
        };
        let previous = core::mem::replace(&mut self.record.installed, installed);
        let previous_sha256 = previous.sha256;
        self.record.previous = Some(previous);
        self.record.raise_floor(cleared.floor);
        match cleared.action {
            Action::Install => {
                let (order, sha256) = (cleared.order.clone(), cleared.image.sha256);
                self.record.confirmed = Some(ConfirmedOrder { order, sha256 });
            }
            Action::Back => {
                self.record.give_up(&cleared.order, GaveUp::WentBack);
                self.record.confirmed = None;
            }
        }
        let serial = self.next_serial();
        self.keep_receipt(State::Confirmed(Box::new(Confirmed { job, serial, previous_sha256 })))
    }

    pub(super) fn revert(&mut self, job: Job, why: TrialFault) -> State {
        self.push(Effect::RollBack { to: job.slot.other() });
        State::Reverting(Box::new(Reverting { job, why, flagged: false }))
    }

    pub(super) fn reverted(&mut self, state: State, look: &Look) -> State {
        let State::Reverting(mut reverting) = state else { return state };
        reverting.flagged = true;
        self.look_reverting(*reverting, look)
    }

    pub(super) fn look_reverting(&mut self, reverting: Reverting, look: &Look) -> State {
        if !reverting.flagged {
            self.push(Effect::RollBack { to: reverting.job.slot.other() });
        } else if gate::may_leave_trial(&self.record, &reverting.job, look) {
            self.push(Effect::Reboot);
        }
        State::Reverting(Box::new(reverting))
    }

    /// The old image runs again.
    pub(super) fn rolled_back(&mut self, job: Job, why: TrialFault) -> State {
        // What stands in the other slot has failed its trial; it is not a place to return to.
        self.record.previous = None;
        self.record.give_up(&job.cleared.order, GaveUp::TrialFailed);
        let serial = self.next_serial();
        self.keep_receipt(State::RolledBack(Box::new(RolledBack { job, serial, why })))
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.record.receipts = self.record.receipts.saturating_add(1);
        self.record.receipts
    }

    /// Asks for the receipt of an ended act, again and again until it is kept; the same number is the same receipt.
    pub(super) fn keep_receipt(&mut self, state: State) -> State {
        if let Some(report) = report::of_ended(&self.record, &state) {
            self.push(Effect::EmitReceipt(Box::new(report)));
        }
        state
    }

    pub(super) fn receipt_kept(&mut self, state: State, kept: u64) -> State {
        let serial = match &state {
            State::Confirmed(confirmed) => confirmed.serial,
            State::RolledBack(rolled_back) => rolled_back.serial,
            State::Failed(failed) => failed.serial,
            State::Idle
            | State::Fetching(_)
            | State::Written(_)
            | State::Waiting(_)
            | State::Armed(_)
            | State::Trial(_)
            | State::Reverting(_) => return state,
        };
        if serial == kept { self.forget() } else { state }
    }
}
