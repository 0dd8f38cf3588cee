//! The go inside a device's own check-in, for those who do not listen for one: the same plan, the same check, one act of it.
//!
//! A device on a metered line speaks every few hours and hears only the answer to what it said. So its go is decided
//! while it waits for that answer, over the same facts as at every tick, by whoever holds the lease of the job. Nothing is
//! given here that the next tick would not give. Read next: [`super::plan`], [`super::Progress::told`].

use cordon_proto::ids::DeviceId;

use super::plan::entitled;
use super::way_back::may_go_back;
use super::{Act, Rollout, Sight, State, Violation, check, plan};

/// The act that gives this device its go now, if the plan has one and nothing stops.
///
/// # Errors
/// The plan gives it and the check refuses it.
pub fn go_at_check_in(
    rollout: &Rollout,
    sight: &Sight<'_>,
    device: DeviceId,
) -> Result<Option<Act>, Violation> {
    let acts = plan(rollout, sight);
    if acts.iter().any(|act| matches!(act, Act::Halt { .. } | Act::Stop { .. })) {
        return Ok(None);
    }
    let gives = |act: &Act| matches!(act, Act::Permit { .. } | Act::Back { .. });
    if !acts.iter().any(gives) {
        return Ok(None);
    }
    // A place is free. The plan names the first of those who asked, who may sleep; this one is here.
    let Some(act) = may_be_given(rollout, sight, device) else { return Ok(None) };
    match check(rollout, sight, core::slice::from_ref(&act)) {
        Ok(()) => Ok(Some(act)),
        // Places that only the next tick frees are not free yet.
        Err(Violation::TooManyInFlight) => Ok(None),
        Err(violation) => Err(violation),
    }
}

/// The act by which this device would be given its go if there is a place and nothing stops. Only its own facts are looked
/// at.
#[must_use]
pub fn may_be_given(rollout: &Rollout, sight: &Sight<'_>, device: DeviceId) -> Option<Act> {
    let (index, wave) = rollout.wave_of(device).filter(|(_, wave)| wave.started.is_some())?;
    let facts = sight.fleet.get(&device)?;
    match rollout.state {
        State::Running => {
            entitled(rollout, wave, device, sight).then_some(Act::Permit { wave: index, device })
        }
        State::Returning => {
            may_go_back(rollout, wave, facts, sight).then_some(Act::Back { wave: index, device })
        }
        _ => None,
    }
}
