//! The gate before a reboot: everything that must hold at that very moment, looked at twice.
//!
//! Once before the try-once flag is set, again in the last step before the reboot, and once more when that step is stored
//! and the reboot is next, because a patient may be attached in between. All reasons are listed, in the fixed order of refusals, so that people see at once all that is
//! in the way. Nothing here has a switch. Read next: `cordon_proto::update::refusal`.

use alloc::vec::Vec;

use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::Name;
use cordon_proto::limits;
use cordon_proto::update::decide::Cleared;
use cordon_proto::update::permit::{self, Clock, Word};
use cordon_proto::update::refusal::{Power, Refusal};
use cordon_proto::update::release::{InterlockClass, Needs};
use cordon_proto::update::window::Window;

use super::record::{Job, Record, State};
use crate::interlock::{self, Silence};
use crate::window::Schedule;

/// What the decision says of one act, taken anew for each look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The order it was asked about.
    pub order: Name,
    /// The act.
    pub action: Action,
    /// The answer.
    pub outcome: Result<Cleared, Refusal>,
}

/// The surroundings at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the decision says of the offered act, or of the one under way; `None` where none is known.
    pub verdict: Option<Verdict>,
    /// The latest check-in answer of this run.
    pub word: Option<Word>,
    /// The content's windows, if it has a say.
    pub content_windows: Option<Vec<Window>>,
    /// Minutes by which local time is ahead of UTC.
    pub zone_minutes: i16,
    /// What the device runs on.
    pub power: Power,
    /// Clinical use.
    pub interlock: InterlockState,
    /// What stands in for a word of clinical use where there is none.
    pub silence: Silence,
    /// The owner's own class; it can only be stricter.
    pub local_class: Option<InterlockClass>,
    /// Seconds a trial gets; held within the limits page.
    pub trial_s: u32,
    /// Whether the network itself is down: the latest attempts to reach the server met nobody, not even a bad answer.
    pub network_down: bool,
}

/// Everything that speaks against rebooting for this job now, in the order of refusals; empty means go.
#[must_use]
pub fn blocked(record: &Record, job: &Job, look: &Look, now: Clock) -> Vec<Refusal> {
    let cleared = &job.cleared;
    let checks = [
        still_cleared(cleared, look, now),
        permitted(cleared, look, now),
        in_window(cleared, look, now),
        powered(look),
        free(record, job, look),
    ];
    checks.into_iter().filter_map(Result::err).collect()
}

/// Whether the reboot that a step has asked for may be done, by a look taken now: to store that step and all that came
/// since may have taken minutes.
#[must_use]
pub fn may_reboot(record: &Record, look: &Look, now: Clock) -> bool {
    match &record.state {
        State::Armed(job) => blocked(record, job, look, now).is_empty(),
        State::Reverting(reverting) => may_leave_trial(record, &reverting.job, look),
        State::Idle
        | State::Fetching(_)
        | State::Written(_)
        | State::Waiting(_)
        | State::Trial(_)
        | State::Confirmed(_)
        | State::RolledBack(_)
        | State::Failed(_) => false,
    }
}

/// Whether the device may reboot to leave a failed trial: no permit or window stands in the way of the old image, but
/// a patient does.
#[must_use]
pub fn may_leave_trial(record: &Record, job: &Job, look: &Look) -> bool {
    interlock::allows(class(record, job, look), Needs::None, (look.interlock, look.silence))
}

/// Clinical use as a receipt tells it: a person's release, where it counts, is that person's word.
pub(super) fn said(record: &Record, job: &Job, look: &Look) -> InterlockState {
    let counts = look.silence.released && class(record, job, look) != InterlockClass::Application;
    match look.interlock {
        InterlockState::Unknown if counts => InterlockState::Standby,
        state => state,
    }
}

fn still_cleared(cleared: &Cleared, look: &Look, now: Clock) -> Result<(), Refusal> {
    let not_listed = || Refusal::OrderNotListed { order: cleared.order.clone() };
    let verdict = look.verdict.as_ref().ok_or_else(not_listed)?;
    if verdict.order != cleared.order || verdict.action != cleared.action {
        return Err(not_listed());
    }
    let again = verdict.outcome.as_ref().map_err(Refusal::clone)?;
    if !again.same_as(cleared) {
        return Err(Refusal::HashDiffers { release: cleared.image.release.clone() });
    }
    // The verdict is of this look, but the clock has gone on.
    if now.wall < again.until {
        return Ok(());
    }
    let (order, at) = (cleared.order.clone(), again.until);
    match cleared.action {
        Action::Install => Err(Refusal::OrderExpired { order, expires: at }),
        Action::Back => Err(Refusal::WayBackClosed { order, until: at }),
    }
}

fn permitted(cleared: &Cleared, look: &Look, now: Clock) -> Result<(), Refusal> {
    let act = (&cleared.order, cleared.action);
    permit::check(look.word.as_ref(), act, cleared.permit_s, now)
        .map_err(|why| Refusal::NoPermit { order: cleared.order.clone(), why })
}

fn in_window(cleared: &Cleared, look: &Look, now: Clock) -> Result<(), Refusal> {
    let zone_minutes = look.zone_minutes;
    let content = look.content_windows.as_deref();
    let schedule = Schedule { order: &cleared.windows, content, zone_minutes };
    if schedule.is_open(now.wall) {
        return Ok(());
    }
    Err(Refusal::OutsideWindow { next: schedule.next_opening(now.wall), zone_minutes })
}

fn powered(look: &Look) -> Result<(), Refusal> {
    match look.power {
        Power::Mains => Ok(()),
        Power::Battery { percent } if percent >= limits::BATTERY_PERCENT => Ok(()),
        Power::Battery { .. } | Power::Unknown => Err(Refusal::Power { power: look.power }),
    }
}

fn free(record: &Record, job: &Job, look: &Look) -> Result<(), Refusal> {
    let class = class(record, job, look);
    if interlock::allows(class, job.cleared.needs, (look.interlock, look.silence)) {
        return Ok(());
    }
    let service = job.cleared.needs == Needs::Service;
    Err(Refusal::Interlock { class, state: look.interlock, service })
}

fn class(record: &Record, job: &Job, look: &Look) -> InterlockClass {
    interlock::in_force(record.installed.interlock, job.cleared.interlock, look.local_class)
}

#[cfg(test)]
mod tests;
