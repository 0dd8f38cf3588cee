//! What the documents are after an act.
//!
//! Acts on single devices change their progress, all others the rollout; no act changes both, but a join. Nothing is
//! decided here. Read next: [`super::plan`].

use alloc::string::ToString;

use cordon_proto::checkin::Action;
use cordon_proto::time::Timestamp;

use super::{Act, BackEnd, GoTold, Progress, Rollout, State};

/// Who stops a rollout where no person does.
const SERVER: &str = "server:rollouts";

/// Changes the rollout as the act says.
pub fn apply(rollout: &mut Rollout, act: &Act, now: Timestamp) {
    match act {
        Act::Halt { wave, reason } => {
            rollout.state = State::Halted { at: now, wave: *wave, reason: reason.clone() };
        }
        Act::Stop { reason } => {
            rollout.state = State::Stopped { at: now, by: SERVER.to_string(), reason: reason.clone() };
        }
        Act::Begin { wave } => {
            if let Some(wave) = rollout.waves.get_mut(*wave) {
                wave.started = wave.started.or(Some(now));
            }
        }
        Act::Join { wave, device } => {
            if let Some(wave) = rollout.waves.get_mut(*wave)
                && let Err(place) = wave.devices.binary_search(device)
            {
                wave.devices.insert(place, *device);
                // A wave that was settled is not begun anew: who comes late is looked after beside it.
            }
        }
        Act::Settle { wave } => {
            if let Some(wave) = rollout.waves.get_mut(*wave) {
                wave.settled = wave.settled.or(Some(now));
            }
        }
        Act::Finish => rollout.state = State::Finished { at: now },
        Act::FinishReturn => rollout.state = State::Returned { at: now },
        Act::Permit { .. } | Act::Back { .. } | Act::TakeBack { .. } | Act::Silent { .. } => {}
    }
}

/// What is remembered of a device after the act, if the act is about it.
#[must_use]
pub fn apply_progress(progress: &Progress, act: &Act, now: Timestamp) -> Option<Progress> {
    let back = progress.back.clone().unwrap_or_default();
    let with = |back: BackEnd| Progress { v: 1, back: Some(back), ..progress.clone() };
    Some(match act {
        Act::Permit { .. } => progress.permitted(now),
        Act::TakeBack { action: Action::Install, .. } => {
            Progress { v: 1, taken_back: Some(now), ..progress.clone() }
        }
        Act::Silent { action: Action::Install, .. } => {
            let tries = progress.tries.saturating_add(1);
            Progress { v: 1, silent: Some(now), tries, ..progress.clone() }
        }
        Act::Back { .. } => {
            let told = GoTold::NotYet;
            with(BackEnd { permitted: Some(now), taken_back: None, silent: None, told, ..back })
        }
        Act::TakeBack { action: Action::Back, .. } => with(BackEnd { taken_back: Some(now), ..back }),
        Act::Silent { action: Action::Back, .. } => {
            let tries = back.tries.saturating_add(1);
            with(BackEnd { silent: Some(now), tries, ..back })
        }
        Act::Halt { .. }
        | Act::Stop { .. }
        | Act::Begin { .. }
        | Act::Join { .. }
        | Act::Settle { .. }
        | Act::Finish
        | Act::FinishReturn => return None,
    })
}
