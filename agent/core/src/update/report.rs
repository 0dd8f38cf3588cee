//! What the device tells about its update: receipts, the check-in's report, and the one list of reasons.
//!
//! [`blocked_by`] is the only place where reasons are collected: `status`, check-ins and the console show its list
//! unchanged. Nothing here decides. Read next: [`super::gate`].

use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, Blocked, PermitRequest, Software, UpdateReport, UpdateState};
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::update::permit::Clock;
use cordon_proto::update::refusal::Refusal;

use super::Report;
use super::fault::FetchFault;
use super::gate::{self, Look};
use super::record::{Fetching, Job, Record, Reverting, State, Trial};
use crate::interlock;

/// Why the update does not go on now, in the order in which it is checked, in people's words.
#[must_use]
pub fn blocked_by(record: &Record, look: &Look, now: Clock) -> Vec<Blocked> {
    match &record.state {
        State::Idle if record.unsettled => vec![unsettled()],
        State::Idle => refused(record, look),
        State::Written(written) => {
            let untaken = written.until.map(|_| FetchFault::NotTaken.blocked());
            refused(record, look).into_iter().chain(untaken).collect()
        }
        State::Fetching(fetching) => fetching_blocked(record, fetching, look),
        State::Waiting(job) | State::Armed(job) => {
            gate::blocked(record, job, look, now).iter().map(Refusal::blocked).collect()
        }
        State::Trial(trial) => trial_blocked(trial),
        State::Reverting(reverting) => reverting_blocked(record, reverting, look),
        State::Confirmed(_) => Vec::new(),
        State::RolledBack(rolled_back) => vec![rolled_back.why.blocked()],
        State::Failed(failed) => vec![failed.why.blocked()],
    }
}

/// The check-in's report.
#[must_use]
pub fn update_report(record: &Record, look: &Look, now: Clock) -> UpdateReport {
    let offered = look.verdict.as_ref().map(|verdict| &verdict.order);
    UpdateReport {
        state: state_word(record, look),
        order: record.job().map(|job| &job.cleared.order).or(offered).cloned(),
        blocked_by: blocked_by(record, look, now),
        fetched_bytes: fetched_bytes(record),
    }
}

/// What the device asks the server's go for.
#[must_use]
pub fn want_permit(record: &Record) -> Option<PermitRequest> {
    match &record.state {
        State::Waiting(job) | State::Armed(job) => {
            Some(PermitRequest { order: job.cleared.order.clone(), action: job.cleared.action })
        }
        State::Idle
        | State::Fetching(_)
        | State::Written(_)
        | State::Trial(_)
        | State::Reverting(_)
        | State::Confirmed(_)
        | State::RolledBack(_)
        | State::Failed(_) => None,
    }
}

/// What runs, for the check-in.
#[must_use]
pub fn software(record: &Record) -> Software {
    let installed = &record.installed;
    let (release, counter, sha256, slot) = match running_trial(record) {
        Some(job) => {
            let image = &job.cleared.image;
            (Some(image.release.clone()), job.cleared.counter, image.sha256, job.slot)
        }
        None => (installed.release.clone(), installed.counter, installed.sha256, installed.slot),
    };
    Software { release, counter, sha256, floor: record.floor(), slot: Text::lossy(slot.letter()) }
}

/// The receipt of an ended act; nothing for one under way.
pub(super) fn of_ended(record: &Record, state: &State) -> Option<Report> {
    let (job, serial, outcome, reason) = match state {
        State::Confirmed(confirmed) => {
            let outcome = match confirmed.job.cleared.action {
                Action::Install => Outcome::Confirmed,
                Action::Back => Outcome::WentBack,
            };
            (&confirmed.job, confirmed.serial, outcome, None)
        }
        State::RolledBack(rolled_back) => {
            let reason = Some(rolled_back.why.blocked());
            (&rolled_back.job, rolled_back.serial, Outcome::RolledBack, reason)
        }
        State::Failed(failed) => (&failed.job, failed.serial, Outcome::Refused, Some(failed.why.blocked())),
        State::Idle
        | State::Fetching(_)
        | State::Written(_)
        | State::Waiting(_)
        | State::Armed(_)
        | State::Trial(_)
        | State::Reverting(_) => return None,
    };
    let installed = &record.installed;
    Some(Report {
        serial,
        order: job.cleared.order.clone(),
        action: job.cleared.action,
        outcome,
        release: installed.release.clone(),
        counter: installed.counter,
        sha256: installed.sha256,
        previous_sha256: previous_sha256(state, job, installed.sha256),
        slot: installed.slot,
        boots: job.boots,
        floor: record.floor(),
        interlock: job.interlock,
        reason,
    })
}

fn previous_sha256(state: &State, job: &Job, installed: Sha256) -> Sha256 {
    match state {
        State::Confirmed(confirmed) => confirmed.previous_sha256,
        State::RolledBack(_) => job.cleared.image.sha256,
        State::Failed(_)
        | State::Idle
        | State::Fetching(_)
        | State::Written(_)
        | State::Waiting(_)
        | State::Armed(_)
        | State::Trial(_)
        | State::Reverting(_) => installed,
    }
}

fn refused(record: &Record, look: &Look) -> Vec<Blocked> {
    let Some(verdict) = &look.verdict else { return Vec::new() };
    // An order that is carried out is not refused because it is offered once more; a scope of counters names the old
    // one, so the first refusal may be another than the counter's.
    let carried_out = record.confirmed.as_ref().is_some_and(|confirmed| confirmed.order == verdict.order);
    match &verdict.outcome {
        Err(_) if carried_out && verdict.action == Action::Install => Vec::new(),
        Err(refusal) => vec![refusal.blocked()],
        Ok(_) => Vec::new(),
    }
}

fn unsettled() -> Blocked {
    let sentence =
        "The running slot is not the one the boot control calls active. Restart the device to settle it.";
    Blocked { code: Text::lossy("boot-unsettled"), sentence: Text::lossy(sentence) }
}

fn fetching_blocked(record: &Record, fetching: &Fetching, look: &Look) -> Vec<Blocked> {
    let fault = fetching.stopped.map(|(fault, _)| fault.blocked());
    refused(record, look).into_iter().chain(fault).collect()
}

fn trial_blocked(trial: &Trial) -> Vec<Blocked> {
    let shown = trial.shown;
    let hash = match shown.hash.has_said_no() {
        false => "The new image runs on trial: its slot is being hashed.",
        true => "The new image runs on trial: its slot cannot be read; it is read again.",
    };
    let health = match shown.health.has_said_no() {
        false => "The new image runs on trial: its health check is not passed yet.",
        true => "The new image runs on trial: its health check says no and is made again.",
    };
    let contact = match trial.patience.is_extended() {
        false => "The new image runs on trial: it has not reached the server yet.",
        true => {
            "The new image runs on trial: it has not reached the server yet, because the network is down; it has its \
             time once more."
        }
    };
    let told = [
        (!shown.hashed, "trial-hash", hash),
        (!shown.healthy, "trial-health", health),
        (!shown.checked_in, "trial-checkin", contact),
    ];
    let open = told.into_iter().filter(|(open, _, _)| *open);
    open.map(|(_, code, sentence)| Blocked { code: Text::lossy(code), sentence: Text::lossy(sentence) })
        .collect()
}

fn reverting_blocked(record: &Record, reverting: &Reverting, look: &Look) -> Vec<Blocked> {
    let mut told = vec![reverting.why.blocked()];
    if !gate::may_leave_trial(record, &reverting.job, look) {
        let makers = (record.installed.interlock, reverting.job.cleared.interlock);
        let class = interlock::in_force(makers.0, makers.1, look.local_class);
        told.push(Refusal::Interlock { class, state: look.interlock, service: false }.blocked());
    }
    told
}

fn state_word(record: &Record, look: &Look) -> UpdateState {
    match &record.state {
        State::Idle if refused(record, look).is_empty() => UpdateState::Idle,
        State::Idle | State::Failed(_) => UpdateState::Refused,
        State::Fetching(_) | State::Written(_) => UpdateState::Fetching,
        State::Waiting(_) => UpdateState::Waiting,
        State::Armed(_) => UpdateState::Armed,
        State::Trial(_) | State::Reverting(_) => UpdateState::Trial,
        State::Confirmed(_) => UpdateState::Confirmed,
        State::RolledBack(_) => UpdateState::RolledBack,
    }
}

fn fetched_bytes(record: &Record) -> u64 {
    match &record.state {
        State::Fetching(fetching) => fetching.offset,
        State::Written(written) => written.job.cleared.image.length,
        State::Waiting(job) | State::Armed(job) => job.cleared.image.length,
        State::Idle
        | State::Trial(_)
        | State::Reverting(_)
        | State::Confirmed(_)
        | State::RolledBack(_)
        | State::Failed(_) => 0,
    }
}

/// The job whose image runs although it is not confirmed.
fn running_trial(record: &Record) -> Option<&Job> {
    match &record.state {
        State::Trial(trial) => Some(&trial.job),
        State::Reverting(reverting) => Some(&reverting.job),
        State::Idle
        | State::Fetching(_)
        | State::Written(_)
        | State::Waiting(_)
        | State::Armed(_)
        | State::Confirmed(_)
        | State::RolledBack(_)
        | State::Failed(_) => None,
    }
}
