//! Planning one tick of a rollout, and checking the plan before anyone obeys it.
//!
//! The plan is a list of acts in order. It never gives the go in a wave that has not begun, begins a wave before the
//! one before it is settled and watched, exceeds the devices in flight, or acts at all while halted or stopped; [`check`]
//! states the same rules a second time, independently, over the result.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::checkin::Action;
use cordon_proto::ids::DeviceId;
use cordon_proto::time::Timestamp;

use super::{Fleet, Policy, Rollout, Stage, Tally, Wave, limit_broken, tally, wilson};

/// One act of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The rollout stops itself in this wave.
    Halt {
        /// The wave, from 0.
        wave: usize,
        /// Why, in words.
        reason: String,
    },
    /// The wave begins.
    Begin {
        /// The wave, from 0.
        wave: usize,
    },
    /// The device gets the go for its wave's order.
    Permit {
        /// The wave, from 0.
        wave: usize,
        /// The device.
        device: DeviceId,
    },
    /// The wave's last device has ended; the watch begins.
    Settle {
        /// The wave, from 0.
        wave: usize,
    },
    /// The rollout is finished.
    Finish,
}

/// What a plan must never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An act while halted, stopped or finished.
    NotRunning,
    /// A go in a wave that has not begun.
    BeforeItsWave,
    /// A wave begun before the one before it was settled and watched.
    WaveTooEarly,
    /// More devices in flight than the policy allows.
    TooManyInFlight,
    /// A go for a device that did not ask, is held, is not trusted, or has ended.
    NotEntitled,
    /// A go beside a halt.
    PermitWhileHalting,
}

/// What to do now. An empty plan is the usual one.
#[must_use]
pub fn plan(rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> Vec<Act> {
    if !rollout.runs() {
        return Vec::new();
    }
    let tallies: Vec<Tally> =
        rollout.waves.iter().map(|wave| tally(wave, fleet, &rollout.policy, now)).collect();
    if let Some(halt) = first_break(rollout, &tallies) {
        return Vec::from([halt]);
    }
    let mut acts = Vec::new();
    let mut free = free_places(rollout, fleet, now);
    for (index, (wave, counted)) in rollout.waves.iter().zip(&tallies).enumerate() {
        if wave.started.is_none() {
            if earlier_waves_done(rollout, index, now) {
                acts.push(Act::Begin { wave: index });
            }
            return acts;
        }
        let ready =
            wave.devices.iter().filter(|device| entitled(wave, fleet, **device, &rollout.policy, now));
        for device in ready.take(usize::try_from(free).unwrap_or(usize::MAX)) {
            acts.push(Act::Permit { wave: index, device: *device });
            free -= 1;
        }
        if wave.settled.is_none() && counted.finished() == counted.total() {
            acts.push(Act::Settle { wave: index });
        }
    }
    if earlier_waves_done(rollout, rollout.waves.len(), now) {
        acts.push(Act::Finish);
    }
    acts
}

fn first_break(rollout: &Rollout, tallies: &[Tally]) -> Option<Act> {
    let (wave, broken) =
        tallies.iter().enumerate().find(|(_, tally)| limit_broken(tally, &rollout.policy))?;
    let (failed, finished) = (broken.failed(), broken.finished());
    let limit = f64::from(rollout.policy.failure_limit_permille) / 10.0;
    // Rounded down, so that "at least" is true as printed.
    let at_least = libm::floor(wilson(failed, finished).0 * 1000.0) / 10.0;
    let reason = format!(
        "{failed} of {finished} finished devices failed, at least {at_least:.1} %; the limit is {limit} %"
    );
    Some(Act::Halt { wave, reason })
}

/// Devices that may still be given the go.
fn free_places(rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> u32 {
    let devices = rollout.waves.iter().flat_map(|wave| &wave.devices);
    let flying = devices.filter_map(|device| fleet.get(device)).filter(|facts| {
        facts.permitted.is_some() && matches!(facts.stage(&rollout.policy, now), Stage::Installing)
    });
    rollout.policy.in_flight.saturating_sub(u32::try_from(flying.count()).unwrap_or(u32::MAX))
}

/// A device that asked for this wave's order, is trusted, not held, has no go yet and has not ended.
fn entitled(wave: &Wave, fleet: &Fleet, device: DeviceId, policy: &Policy, now: Timestamp) -> bool {
    fleet.get(&device).is_some_and(|facts| {
        let asks =
            facts.asks.as_ref().is_some_and(|(order, act)| *order == wave.order && *act == Action::Install);
        asks && facts.trusted
            && !facts.held
            && facts.permitted.is_none()
            && facts.stage(policy, now) == Stage::Waiting
    })
}

/// Whether every wave before `index` is settled and has been watched for long enough.
fn earlier_waves_done(rollout: &Rollout, index: usize, now: Timestamp) -> bool {
    let soak_s = i64::from(rollout.policy.soak_s);
    rollout
        .waves
        .iter()
        .take(index)
        .all(|wave| wave.settled.is_some_and(|at| now.seconds_since(at) >= soak_s))
}

/// Refuses a plan that breaks an invariant, whatever made it.
pub fn check(rollout: &Rollout, fleet: &Fleet, acts: &[Act], now: Timestamp) -> Result<(), Violation> {
    if !acts.is_empty() && !rollout.runs() {
        return Err(Violation::NotRunning);
    }
    let halting = acts.iter().any(|act| matches!(act, Act::Halt { .. }));
    let mut free = free_places(rollout, fleet, now);
    for act in acts {
        match act {
            Act::Permit { wave, device } => {
                let begun = rollout.waves.get(*wave).filter(|wave| wave.started.is_some());
                let wave = begun.ok_or(Violation::BeforeItsWave)?;
                if halting {
                    return Err(Violation::PermitWhileHalting);
                }
                let member = wave.devices.contains(device);
                if !member || !entitled(wave, fleet, *device, &rollout.policy, now) {
                    return Err(Violation::NotEntitled);
                }
                free = free.checked_sub(1).ok_or(Violation::TooManyInFlight)?;
            }
            Act::Begin { wave } if !earlier_waves_done(rollout, *wave, now) => {
                return Err(Violation::WaveTooEarly);
            }
            Act::Finish if !earlier_waves_done(rollout, rollout.waves.len(), now) => {
                return Err(Violation::WaveTooEarly);
            }
            Act::Begin { .. } | Act::Finish | Act::Halt { .. } | Act::Settle { .. } => {}
        }
    }
    Ok(())
}
