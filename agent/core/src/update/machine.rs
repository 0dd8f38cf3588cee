//! The transitions of the update machine up to the reboot: fetch, write, read back, wait, arm.
//!
//! Each handler takes the state by value and returns the next one; an event that does not fit the state changes
//! nothing. It must never leave [`State::Written`] for [`State::Waiting`] without the read-back hash, never arm a slot
//! that was not read back since the last thing in the way was gone, and never ask for a reboot without a gate that was
//! empty in the same step. Read next: [`trial`] for what comes after the reboot, [`start`] for what a start finds.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use cordon_proto::checkin::InterlockState;
use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::update::decide::{Cleared, GaveUp};
use cordon_proto::update::permit::Clock;
use cordon_proto::wire;

use super::fault::FetchFault;
use super::gate::{self, Look};
use super::record::{Damaged, Failed, Fetching, Job, Record, State, Written};
use super::{Effect, Event, Step};

mod start;
mod trial;

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests;

/// One step of the machine: store what `persist` holds, then do the effects in order.
#[must_use]
pub fn step(record: Record, event: Event, now: Clock) -> Step {
    let before = wire::write(&record);
    let mut run = Run { record, effects: Vec::new(), now };
    let state = mem::replace(&mut run.record.state, State::Idle);
    run.record.state = run.next(state, event);
    let after = wire::write(&run.record);
    Step { persist: (after != before).then_some(after), record: run.record, effects: run.effects }
}

/// One step under way.
struct Run {
    record: Record,
    effects: Vec<Effect>,
    now: Clock,
}

/// What a new look means for the act under way.
enum Course<'a> {
    /// Go on; the same act, perhaps with other windows.
    Same(&'a Cleared),
    /// Go on, but nothing clears it at the moment.
    Uncleared,
    /// Another act takes its place.
    Other(&'a Cleared),
    /// It is over.
    Over,
}

impl Run {
    fn next(&mut self, state: State, event: Event) -> State {
        match event {
            Event::Started(view) => self.started(state, view),
            Event::Look(look) => self.look(state, &look),
            Event::Synced { offset } => synced(state, offset),
            Event::Complete => self.complete(state),
            Event::Stopped(fault) => self.stopped(state, fault),
            Event::Delayed { seconds } => self.delayed(state, seconds),
            Event::Hashed(sha256) => self.hashed(state, sha256),
            Event::HashFailed => self.hash_failed(state),
            Event::NotTaken { refused } => self.not_taken(state, refused),
            Event::Armed(look) => self.armed(state, &look),
            Event::Disarmed => disarmed(state),
            Event::Healthy => self.healthy(state),
            Event::Unwell => self.unwell(state),
            Event::Sick => self.sick(state),
            Event::CheckedIn => self.checked_in(state),
            Event::Committed => self.committed(state),
            Event::Reverted(look) => self.reverted(state, &look),
            Event::ReceiptKept { serial } => self.receipt_kept(state, serial),
        }
    }

    fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn look(&mut self, state: State, look: &Look) -> State {
        match state {
            State::Idle => match &look.verdict {
                Some(verdict) => verdict.outcome.as_ref().map_or(State::Idle, |cleared| self.begin(cleared)),
                None => State::Idle,
            },
            State::Fetching(fetching) => self.look_fetching(*fetching, look),
            State::Written(written) => self.look_written(*written, look),
            State::Waiting(job) => self.look_waiting(*job, look),
            // Still here after the flag was set: the reboot did not come, so the flag must go.
            State::Armed(job) => {
                self.push(Effect::Disarm);
                State::Armed(job)
            }
            State::Trial(trial) => self.look_trial(*trial, look),
            State::Reverting(reverting) => self.look_reverting(*reverting, look),
            State::Confirmed(_) | State::RolledBack(_) | State::Failed(_) => self.keep_receipt(state),
        }
    }

    /// Takes up an act: into the slot that does not run, or straight from there if it still holds the image.
    fn begin(&mut self, cleared: &Cleared) -> State {
        if self.record.unsettled || self.record.has_given_up(&cleared.order) {
            return State::Idle;
        }
        let slot = self.record.installed.slot.other();
        let job = Job { cleared: cleared.clone(), slot, boots: 0, interlock: InterlockState::Unknown };
        let held = self.record.previous.as_ref().is_some_and(|previous| {
            previous.slot == slot
                && previous.sha256 == cleared.image.sha256
                && previous.length == cleared.image.length
        });
        if held { self.read_back(job, true) } else { self.fetch_anew(job) }
    }

    /// From here on the slot no longer holds what it held: that is stored before the first byte is written.
    fn fetch_anew(&mut self, job: Job) -> State {
        self.record.previous = None;
        self.fetch(Fetching { job, offset: 0, running: false, stopped: None })
    }

    fn fetch(&mut self, fetching: Fetching) -> State {
        let Fetching { job, offset, .. } = fetching;
        let (sha256, length) = (job.cleared.image.sha256, job.cleared.image.length);
        self.push(Effect::WriteSlot { slot: job.slot, length, offset });
        self.push(Effect::Fetch { sha256, length });
        State::Fetching(Box::new(Fetching { job, offset, running: true, stopped: None }))
    }

    fn read_back(&mut self, job: Job, reused: bool) -> State {
        self.read(&job);
        State::Written(Box::new(Written::new(job, reused)))
    }

    fn read(&mut self, job: &Job) {
        self.record.reading = true;
        self.push(Effect::HashSlot { slot: job.slot, length: job.cleared.image.length });
    }

    fn look_fetching(&mut self, mut fetching: Fetching, look: &Look) -> State {
        match course(&fetching.job, look) {
            Course::Over => self.forget(),
            Course::Other(cleared) => self.begin(cleared),
            Course::Uncleared => State::Fetching(Box::new(fetching)),
            Course::Same(cleared) => {
                fetching.job.cleared = cleared.clone();
                let pausing = fetching.stopped.is_some_and(|(_, until)| self.now.monotonic < until);
                if fetching.running || pausing {
                    return State::Fetching(Box::new(fetching));
                }
                self.fetch(fetching)
            }
        }
    }

    fn look_written(&mut self, mut written: Written, look: &Look) -> State {
        match course(&written.job, look) {
            Course::Over => self.forget(),
            Course::Other(cleared) => self.begin(cleared),
            Course::Uncleared => {
                self.record.reading = false;
                State::Written(Box::new(written))
            }
            Course::Same(cleared) => {
                written.job.cleared = cleared.clone();
                self.record.reading &= gate::blocked(&self.record, &written.job, look, self.now).is_empty();
                if written.until.is_some_and(|until| self.now.monotonic >= until) {
                    written.until = None;
                    self.read(&written.job);
                }
                State::Written(Box::new(written))
            }
        }
    }

    /// What waits may wait for days, in which the slot may rot or somebody may write it. So the read-back that lets it be
    /// armed is of now: one that was followed by a look at something in the way, or interrupted by it, is done again.
    fn look_waiting(&mut self, mut job: Job, look: &Look) -> State {
        let proved = mem::take(&mut self.record.proved);
        match course(&job, look) {
            Course::Over => return self.forget(),
            Course::Other(cleared) => return self.begin(cleared),
            Course::Uncleared => {}
            Course::Same(cleared) => job.cleared = cleared.clone(),
        }
        if !gate::blocked(&self.record, &job, look, self.now).is_empty() {
            self.record.reading = false;
            return State::Waiting(Box::new(job));
        }
        if self.record.reading {
            return State::Waiting(Box::new(job));
        }
        if !proved {
            self.read(&job);
            return State::Waiting(Box::new(job));
        }
        self.push(Effect::Arm { slot: job.slot, attempts: limits::TRIAL_BOOTS });
        State::Armed(Box::new(job))
    }

    /// The act is over without a trace but the bytes in the slot that does not run.
    fn forget(&mut self) -> State {
        self.push(Effect::Forget);
        State::Idle
    }

    fn complete(&mut self, state: State) -> State {
        let State::Fetching(fetching) = state else { return state };
        if !fetching.running {
            return State::Fetching(fetching);
        }
        self.read_back(fetching.job, false)
    }

    fn stopped(&mut self, state: State, fault: FetchFault) -> State {
        let State::Fetching(fetching) = state else { return state };
        let Fetching { job, offset, .. } = *fetching;
        match fault {
            FetchFault::Unreachable => self.pause(job, offset, (fault, 0)),
            FetchFault::StickGone => self.pause(job, offset, (fault, limits::STICK_PAUSE_S)),
            FetchFault::DiskFull | FetchFault::SlotFails | FetchFault::NotTaken | FetchFault::MayRun => {
                self.pause(job, offset, (fault, limits::SLOT_PAUSE_S))
            }
            FetchFault::Damaged => self.damaged(job),
            FetchFault::SlotTooShort => self.fail(job, fault, GaveUp::SlotTooShort),
        }
    }

    /// What a server asks for is granted within bounds: one that asks for a year must not end updates.
    fn delayed(&mut self, state: State, seconds: u64) -> State {
        let State::Fetching(fetching) = state else { return state };
        let Fetching { job, offset, .. } = *fetching;
        let seconds = i64::try_from(seconds.min(limits::RETRY_AFTER_S)).unwrap_or(0);
        self.pause(job, offset, (FetchFault::Unreachable, seconds))
    }

    fn pause(&mut self, job: Job, offset: u64, (fault, seconds): (FetchFault, i64)) -> State {
        let stopped = Some((fault, self.now.monotonic.plus(seconds.saturating_mul(1000))));
        State::Fetching(Box::new(Fetching { job, offset, running: false, stopped }))
    }

    fn hashed(&mut self, state: State, sha256: Sha256) -> State {
        let asked = mem::take(&mut self.record.reading);
        let (job, reused) = match in_proof(state) {
            Ok(written) => (written.job, written.reused),
            Err(State::Trial(trial)) => return self.trial_hashed(*trial, sha256),
            Err(state) => return state,
        };
        if sha256 == job.cleared.image.sha256 {
            self.record.damaged = None;
            self.record.proved = asked;
            return State::Waiting(Box::new(job));
        }
        if reused { self.fetch_anew(job) } else { self.damaged(job) }
    }

    fn hash_failed(&mut self, state: State) -> State {
        match in_proof(state) {
            Ok(Written { job, reused: true, .. }) => self.fetch_anew(job),
            Ok(Written { job, .. }) => self.pause(job, 0, (FetchFault::SlotFails, limits::SLOT_PAUSE_S)),
            Err(State::Trial(trial)) => self.trial_unread(trial),
            Err(state) => state,
        }
    }

    /// Fetching the image again would bring the same no. So it is kept and handed over again after a pause, a few times.
    fn not_taken(&mut self, state: State, refused: bool) -> State {
        let mut written = match in_proof(state) {
            Ok(written) => written,
            Err(State::Trial(trial)) => return self.trial_unread(trial),
            Err(state) => return state,
        };
        if refused {
            let times = written.refused.unwrap_or(0).saturating_add(1);
            if times >= limits::INSTALL_TRIES {
                return self.fail(written.job, FetchFault::NotTaken, GaveUp::NotTaken);
            }
            written.refused = Some(times);
        }
        written.until = Some(self.now.monotonic.plus(limits::SLOT_PAUSE_S.saturating_mul(1000)));
        State::Written(Box::new(written))
    }

    /// The image is not the signed one: thrown away, fetched again a few times, then given up.
    fn damaged(&mut self, job: Job) -> State {
        let earlier = self.record.damaged.take().filter(|damaged| damaged.order == job.cleared.order);
        let times = earlier.map_or(0, |damaged| damaged.times).saturating_add(1);
        if times >= limits::IMAGE_TRIES {
            return self.fail(job, FetchFault::Damaged, GaveUp::ImageDamaged);
        }
        self.record.damaged = Some(Damaged { order: job.cleared.order.clone(), times });
        self.pause(job, 0, (FetchFault::Damaged, limits::IMAGE_PAUSE_S))
    }

    fn fail(&mut self, job: Job, why: FetchFault, given_up: GaveUp) -> State {
        self.record.give_up(&job.cleared.order, given_up);
        self.record.damaged = None;
        let serial = self.next_serial();
        self.keep_receipt(State::Failed(Box::new(Failed { job, serial, why })))
    }

    /// The flag is set. The last look before the reboot: a patient may have been attached since.
    fn armed(&mut self, state: State, look: &Look) -> State {
        let State::Armed(mut job) = state else { return state };
        if gate::blocked(&self.record, &job, look, self.now).is_empty() {
            job.interlock = gate::said(&self.record, &job, look);
            self.push(Effect::Reboot);
        } else {
            self.push(Effect::Disarm);
        }
        State::Armed(job)
    }
}

fn course<'a>(job: &Job, look: &'a Look) -> Course<'a> {
    let Some(verdict) = &look.verdict else { return Course::Uncleared };
    let same_act = verdict.order == job.cleared.order && verdict.action == job.cleared.action;
    match &verdict.outcome {
        Ok(cleared) if cleared.same_as(&job.cleared) => Course::Same(cleared),
        Ok(cleared) => Course::Other(cleared),
        Err(refusal) if same_act && refusal.is_final() => Course::Over,
        Err(_) => Course::Uncleared,
    }
}

fn synced(state: State, offset: u64) -> State {
    let State::Fetching(mut fetching) = state else { return state };
    if fetching.running {
        fetching.offset = offset.min(fetching.job.cleared.image.length);
    }
    State::Fetching(fetching)
}

/// What is read back before it is armed.
fn in_proof(state: State) -> Result<Written, State> {
    match state {
        State::Written(written) => Ok(*written),
        State::Waiting(job) => Ok(Written::new(*job, false)),
        State::Idle
        | State::Fetching(_)
        | State::Armed(_)
        | State::Trial(_)
        | State::Reverting(_)
        | State::Confirmed(_)
        | State::RolledBack(_)
        | State::Failed(_) => Err(state),
    }
}

fn disarmed(state: State) -> State {
    let State::Armed(job) = state else { return state };
    State::Waiting(job)
}
