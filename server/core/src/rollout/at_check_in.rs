//! The go inside a device's own check-in, for those who do not listen for one: the same plan, the same check, one act of it.
//!
//! A device on a metered line speaks every few hours and hears only the answer to what it said. So its go is decided
//! while it waits for that answer, over the same facts as at every tick, by whoever holds the lease of the job; a tick
//! gives nothing to who does not listen. No go is given here while the next tick would stop the rollout, nor beyond the
//! places. Read next: [`super::plan`], [`super::Progress::told`].

use cordon_proto::ids::DeviceId;

use super::plan::entitled;
use super::way_back::may_go_back;
use super::{Act, Rollout, Sight, State, Violation, check, plan};

/// The act that gives this device its go now, if there is a place and nothing stops. It speaks at this very moment, so that
/// neither a go that it slept over nor a silence of this very second stands in its way.
///
/// # Errors
/// It would be given, and the check refuses it.
pub fn go_at_check_in(
    rollout: &Rollout,
    sight: &Sight<'_>,
    device: DeviceId,
) -> Result<Option<Act>, Violation> {
    let Some(act) = may_be_given(rollout, sight, device) else { return Ok(None) };
    match check(rollout, sight, core::slice::from_ref(&act)) {
        Ok(()) => {}
        // Places that only the next tick frees are not free yet.
        Err(Violation::TooManyInFlight) => return Ok(None),
        Err(violation) => return Err(violation),
    }
    let stops = |act: &Act| matches!(act, Act::Halt { .. } | Act::Stop { .. });
    Ok(Some(act).filter(|_| !plan(rollout, sight).iter().any(stops)))
}

/// The act by which this device would be given its go if there is a place and nothing stops. Only its own facts are looked
/// at.
#[must_use]
pub fn may_be_given(rollout: &Rollout, sight: &Sight<'_>, device: DeviceId) -> Option<Act> {
    let (index, wave) = rollout.wave_of(device).filter(|(_, wave)| wave.started.is_some())?;
    let facts = sight.fleet.get(&device)?;
    match rollout.state {
        State::Running => {
            entitled(rollout, wave, facts, sight).then_some(Act::Permit { wave: index, device })
        }
        State::Returning => {
            may_go_back(rollout, wave, facts, sight).then_some(Act::Back { wave: index, device })
        }
        _ => None,
    }
}
