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
                wave.started = wave.started_by(now).or(Some(now));
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
                wave.settled = wave.settled_by(now).or(Some(now));
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
    // A silence of a time that has not come was none: this one stands in its place.
    let one_more =
        |tries: u32, silent: Option<Timestamp>| tries.saturating_add(u32::from(silent <= Some(now)));
    let with = |back: BackEnd| Progress { v: 1, back: Some(back), ..progress.clone() };
    Some(match act {
        Act::Permit { .. } => progress.permitted(now),
        Act::TakeBack { action: Action::Install, .. } => {
            Progress { v: 1, taken_back: Some(now), ..progress.clone() }
        }
        Act::Silent { action: Action::Install, .. } => {
            let tries = one_more(progress.tries, progress.silent);
            Progress { v: 1, silent: Some(now), tries, ..progress.clone() }
        }
        Act::Back { .. } => {
            let told = GoTold::NotYet;
            with(BackEnd { permitted: Some(now), taken_back: None, silent: None, told, ..back })
        }
        Act::TakeBack { action: Action::Back, .. } => with(BackEnd { taken_back: Some(now), ..back }),
        Act::Silent { action: Action::Back, .. } => {
            let tries = one_more(back.tries, back.silent);
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
