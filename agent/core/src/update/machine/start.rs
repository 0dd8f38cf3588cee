//! What a start finds: the record on one side, the boot control on the other, and every way they can have parted.
//!
//! A start may follow a planned reboot, a power cut at any moment, or the mere death of the agent. Where record and
//! boot control disagree, the boot control says what runs and the record says what may. It must never take up a reboot
//! that was asked for before: a permit does not survive. Read next: [`super::super::loader`].

use alloc::boxed::Box;

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::update::release::InterlockClass;

use super::super::Effect;
use super::super::fault::TrialFault;
use super::super::loader::View;
use super::super::patience::Patience;
use super::super::record::{Installed, Job, Shown, State, Trial};
use super::Run;

impl Run {
    pub(super) fn started(&mut self, state: State, view: View) -> State {
        self.record.boots = view.boots;
        self.record.starts = self.record.starts.saturating_add(1);
        self.record.reading = false;
        match state {
            State::Idle => self.start_idle(view),
            State::Fetching(mut fetching) => {
                fetching.running = false;
                fetching.stopped = None;
                self.start_writing(fetching.job.slot, State::Fetching(fetching), view)
            }
            State::Written(written) => {
                let state = self.start_writing(written.job.slot, State::Written(written), view);
                if let State::Written(written) = &state {
                    self.read(&written.job);
                }
                state
            }
            State::Waiting(job) | State::Armed(job) => self.start_armed(*job, view),
            State::Trial(trial) => self.start_trial(*trial, view),
            State::Reverting(reverting) if view.booted != reverting.job.slot => {
                // The loader may have fallen back by itself before it was told.
                self.clear_mark(view);
                self.rolled_back(reverting.job, reverting.why)
            }
            State::Reverting(mut reverting) => {
                reverting.flagged = false;
                self.push(Effect::RollBack { to: reverting.job.slot.other() });
                State::Reverting(reverting)
            }
            State::Confirmed(_) | State::RolledBack(_) | State::Failed(_) => {
                // The receipt tells what the record knows; a slot switched by hand since is settled by the next start.
                self.record.unsettled =
                    view.booted != view.active || view.booted != self.record.installed.slot;
                self.clear_mark(view);
                self.keep_receipt(state)
            }
        }
    }

    fn start_idle(&mut self, view: View) -> State {
        self.settle(view);
        self.clear_mark(view);
        State::Idle
    }

    /// A mark that an ended trial left behind would make the next order look as if the loader had fallen back.
    fn clear_mark(&mut self, view: View) {
        if view.trial.is_some() {
            self.push(Effect::Disarm);
        }
    }

    /// Goes on writing only into a slot that does not run.
    fn start_writing(&mut self, target: super::super::Slot, state: State, view: View) -> State {
        self.settle(view);
        self.clear_mark(view);
        if self.record.unsettled || view.booted == target {
            return self.forget();
        }
        state
    }

    fn start_armed(&mut self, mut job: Job, view: View) -> State {
        // The loader counts also the boots in which the agent never came up.
        job.boots = view.tried(job.slot).unwrap_or(job.boots);
        if view.booted == job.slot {
            let trial = Trial { job, starts: 0, patience: Patience::default(), shown: Shown::default() };
            return self.start_trial_again(trial);
        }
        if view.fell_back() {
            self.push(Effect::Disarm);
            return self.rolled_back(job, TrialFault::BootsUnfinished);
        }
        if view.trial.is_some() {
            // Killed between the flag and the reboot: the go may be gone, so the flag goes too.
            self.push(Effect::Disarm);
            return State::Armed(Box::new(job));
        }
        State::Waiting(Box::new(job))
    }

    fn start_trial(&mut self, mut trial: Trial, view: View) -> State {
        trial.job.boots = view.tried(trial.job.slot).unwrap_or(trial.job.boots);
        if view.booted != trial.job.slot {
            self.push(Effect::Disarm);
            return self.rolled_back(trial.job, TrialFault::BootsUnfinished);
        }
        if view.active == trial.job.slot {
            // Killed between the boot control's commit and the record: the commit counts.
            return self.confirmed(trial.job);
        }
        self.start_trial_again(trial)
    }

    fn start_trial_again(&mut self, mut trial: Trial) -> State {
        trial.starts = trial.starts.saturating_add(1);
        if trial.starts > limits::TRIAL_BOOTS {
            return self.revert(trial.job, TrialFault::Crashes);
        }
        trial.shown = Shown::default();
        trial.patience.begin(self.now.monotonic);
        self.read(&trial.job);
        self.push(Effect::CheckHealth);
        State::Trial(Box::new(trial))
    }

    /// Believes the boot control about what runs: somebody may have switched slots by hand. The floor stays.
    ///
    /// Where the running slot is not the active one, neither may be written until a reboot has settled it.
    fn settle(&mut self, view: View) {
        self.record.unsettled = view.booted != view.active;
        if view.booted == self.record.installed.slot {
            return;
        }
        let counter = self.record.installed.counter;
        let held = self.record.previous.take().filter(|previous| previous.slot == view.booted);
        let running = held.unwrap_or(Installed {
            release: None,
            // Unknown, so nothing older than what ran before may follow it.
            counter,
            sha256: Sha256([0; 32]),
            length: 0,
            slot: view.booted,
            interlock: InterlockClass::Application,
        });
        let before = core::mem::replace(&mut self.record.installed, running);
        self.record.previous = Some(before);
        self.record.confirmed = None;
    }
}
