//! The second opinion on a plan: the rules of a rollout stated over its result, without a line of the planner.
//!
//! Whatever made the plan, nothing passes here that gives a go outside an order, beyond the devices in flight, to a
//! device that may not take it, or beside a halt; nor a wave that begins or settles too early. A refused plan is not
//! executed at all. Read next: [`super::plan`] for what usually makes it.

use alloc::collections::BTreeSet;

use cordon_proto::checkin::Action;
use cordon_proto::ids::DeviceId;
use cordon_proto::receipt::Outcome;
use cordon_proto::update::order::Order;

use super::{Act, DeviceFacts, Rollout, Sight, Stage, State, Wave};

/// What a plan must never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An act that does not fit the state: while halted, paused, stopped or finished, or an install while returning.
    NotRunning,
    /// A go in a wave that has not begun, or that does not have the device.
    OutsideItsWave,
    /// A wave begun before the one before it was settled and watched, or begun twice.
    WaveTooEarly,
    /// More devices in flight than the policy, or all rollouts together, allow.
    TooManyInFlight,
    /// A go for a device that did not ask, is held, is not trusted, names something in its way, or has ended.
    NotEntitled,
    /// A go beside a halt.
    GoWhileHalting,
    /// A wave settled with too few confirmed, or while somebody is still waited for.
    SettledTooEarly,
    /// A rollout or a return finished while somebody is left.
    FinishedTooEarly,
    /// A device taken into a wave that it does not fit.
    Misfit,
    /// An act on a wave that is not there, or a go taken back that was not given.
    Nonsense,
}

/// Refuses a plan that breaks an invariant, whatever made it.
///
/// # Errors
/// The first breach.
pub fn check(rollout: &Rollout, sight: &Sight<'_>, acts: &[Act]) -> Result<(), Violation> {
    let halts = acts.iter().any(|act| matches!(act, Act::Halt { .. } | Act::Stop { .. }));
    let mut given: BTreeSet<DeviceId> = BTreeSet::new();
    for act in acts {
        if !fits_state(rollout, act) {
            return Err(Violation::NotRunning);
        }
        if let Act::Permit { device, .. } | Act::Back { device, .. } = act {
            if halts {
                return Err(Violation::GoWhileHalting);
            }
            if !given.insert(*device) {
                return Err(Violation::NotEntitled);
            }
        }
        one(rollout, sight, act)?;
    }
    in_flight(rollout, sight, acts)
}

fn fits_state(rollout: &Rollout, act: &Act) -> bool {
    let (running, returning) = (rollout.state == State::Running, rollout.state == State::Returning);
    match act {
        Act::Halt { .. }
        | Act::Begin { .. }
        | Act::Join { .. }
        | Act::Permit { .. }
        | Act::Settle { .. }
        | Act::Finish => running,
        Act::Back { .. } | Act::FinishReturn => returning,
        Act::Stop { .. } | Act::TakeBack { .. } | Act::Silent { .. } => running || returning,
    }
}

fn one(rollout: &Rollout, sight: &Sight<'_>, act: &Act) -> Result<(), Violation> {
    let holds = |holds: bool, violation| if holds { Ok(()) } else { Err(violation) };
    match act {
        Act::Halt { wave, .. } => holds(*wave < rollout.waves.len(), Violation::Nonsense),
        Act::Stop { .. } => Ok(()),
        Act::Permit { wave, device } => {
            let (wave, facts) = member(rollout, sight, *wave, *device)?;
            let order = sight.orders.get(&wave.order).filter(|order| sight.now < order.expires);
            let open = facts.receipt.is_none() && facts.permitted.is_none() && facts.refused.is_none();
            holds(open && may_go(facts, order, Action::Install), Violation::NotEntitled)
        }
        Act::Back { wave, device } => {
            let (wave, facts) = member(rollout, sight, *wave, *device)?;
            let order = sight.orders.get(&wave.order);
            let open = order.and_then(|order| order.back.as_ref()).is_some_and(|back| sight.now < back.until);
            let confirmed = facts.receipt == Some(Outcome::Confirmed) && facts.back.outcome.is_none();
            let entitled = open && confirmed && facts.back.permitted.is_none();
            holds(entitled && may_go(facts, order, Action::Back), Violation::NotEntitled)
        }
        Act::TakeBack { wave, device, action } | Act::Silent { wave, device, action } => {
            let (_, facts) = member(rollout, sight, *wave, *device)?;
            let has = match action {
                Action::Install => facts.permitted.is_some() && facts.receipt.is_none(),
                Action::Back => facts.back.permitted.is_some() && facts.back.outcome.is_none(),
            };
            holds(has, Violation::Nonsense)
        }
        Act::Join { wave, device } => {
            let open = rollout.waves.get(*wave).is_some_and(|wave| wave.joins && wave.started.is_some());
            let stranger = rollout.waves.iter().all(|wave| !wave.devices.contains(device));
            let fits =
                sight.fleet.get(device).is_some_and(|facts| facts.joins == Some(*wave) && facts.trusted);
            holds(open && stranger && fits, Violation::Misfit)
        }
        Act::Begin { wave } => {
            let fresh = rollout.waves.get(*wave).is_some_and(|wave| wave.started.is_none());
            holds(fresh && watched(rollout, *wave, sight), Violation::WaveTooEarly)
        }
        Act::Settle { wave } => {
            let wave = rollout.waves.get(*wave).ok_or(Violation::Nonsense)?;
            holds(wave.settled.is_none() && settles(rollout, wave, sight), Violation::SettledTooEarly)
        }
        Act::Finish => {
            let holds_still = |wave: &Wave| {
                let order = sight.orders.get(&wave.order);
                order.is_some_and(|order| sight.now < order.expires)
            };
            let over = rollout
                .waves
                .iter()
                .all(|wave| open_devices(rollout, wave, sight) == 0 && !(wave.joins && holds_still(wave)));
            holds(over && watched(rollout, rollout.waves.len(), sight), Violation::FinishedTooEarly)
        }
        Act::FinishReturn => {
            let mut known = rollout.waves.iter().flat_map(|wave| &wave.devices);
            let over = known.all(|device| {
                let facts = sight.fleet.get(device);
                let left = |facts: &DeviceFacts| {
                    facts.receipt == Some(Outcome::Confirmed) && facts.back.outcome.is_none()
                };
                let given_up = |facts: &DeviceFacts| facts.back.silent.is_some() || facts.refused.is_some();
                facts.is_none_or(|facts| !left(facts) || given_up(facts))
            });
            holds(over, Violation::FinishedTooEarly)
        }
    }
}

fn member<'a>(
    rollout: &'a Rollout,
    sight: &Sight<'a>,
    wave: usize,
    device: DeviceId,
) -> Result<(&'a Wave, &'a DeviceFacts), Violation> {
    let wave = rollout.waves.get(wave).filter(|wave| wave.started.is_some());
    let wave = wave.filter(|wave| wave.devices.contains(&device)).ok_or(Violation::OutsideItsWave)?;
    Ok((wave, sight.fleet.get(&device).ok_or(Violation::NotEntitled)?))
}

fn may_go(facts: &DeviceFacts, order: Option<&Order>, action: Action) -> bool {
    let asks = facts
        .asks
        .as_ref()
        .zip(order)
        .is_some_and(|((asked, act), order)| *asked == order.id && *act == action);
    let other = facts.rules.iter().any(|code| code.as_str() != "no-permit");
    asks && facts.trusted && !facts.held && !other
}

/// Gos that are in force after the plan, counted over what is stored and what the plan adds and takes.
fn in_flight(rollout: &Rollout, sight: &Sight<'_>, acts: &[Act]) -> Result<(), Violation> {
    for (action, most) in [
        (Action::Install, rollout.policy.in_flight),
        (Action::Back, rollout.way_back.as_ref().map_or(0, |way| way.in_flight)),
    ] {
        let given = acts.iter().filter(|act| match act {
            Act::Permit { .. } => action == Action::Install,
            Act::Back { .. } => action == Action::Back,
            _ => false,
        });
        let taken = acts.iter().filter(|act| match act {
            Act::TakeBack { action: of, .. } | Act::Silent { action: of, .. } => *of == action,
            _ => false,
        });
        let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
        let members = begun.flat_map(|wave| &wave.devices);
        let stored = members.filter_map(|device| sight.fleet.get(device)).filter(|facts| match action {
            Action::Install => facts.permitted.is_some() && facts.receipt.is_none(),
            Action::Back => facts.back.permitted.is_some() && facts.back.outcome.is_none(),
        });
        let (given, taken) = (given.count(), taken.count());
        let after = (stored.count() + given).saturating_sub(taken);
        let most = usize::try_from(most.min(sight.room)).unwrap_or(usize::MAX);
        if given > 0 && after > most {
            return Err(Violation::TooManyInFlight);
        }
    }
    Ok(())
}

fn watched(rollout: &Rollout, waves: usize, sight: &Sight<'_>) -> bool {
    let soak_s = i64::from(rollout.policy.soak_s);
    let earlier = rollout.waves.get(..waves).unwrap_or_default();
    earlier.iter().all(|wave| wave.settled.is_some_and(|at| sight.now >= at.plus_seconds(soak_s)))
}

fn open_devices(rollout: &Rollout, wave: &Wave, sight: &Sight<'_>) -> usize {
    let has_ended = |device: &&DeviceId| {
        let facts = sight.fleet.get(device);
        facts.is_some_and(|facts| facts.stage(&rollout.policy, sight.now).has_ended())
    };
    wave.devices.iter().filter(|device| !has_ended(device)).count()
}

/// Somebody is left only after the patience with the unreached, with enough confirmed, and with no go in hand.
fn settles(rollout: &Rollout, wave: &Wave, sight: &Sight<'_>) -> bool {
    let Some(started) = wave.started else { return false };
    if open_devices(rollout, wave, sight) == 0 {
        return true;
    }
    let advance = &rollout.policy.advance;
    let stages = || {
        let facts = wave.devices.iter().filter_map(|device| sight.fleet.get(device));
        facts.map(|facts| (facts, facts.stage(&rollout.policy, sight.now)))
    };
    let confirmed = stages().filter(|(_, stage)| *stage == Stage::Confirmed).count() as u64;
    let patience = advance.waiting_after_s.unwrap_or(u32::MAX).min(advance.unreached_after_s);
    let flying = stages().any(|(facts, stage)| facts.permitted.is_some() && !stage.has_ended());
    let enough = confirmed * 1000 >= wave.devices.len() as u64 * u64::from(advance.least_confirmed_permille);
    !flying
        && sight.now >= started.plus_seconds(i64::from(patience))
        && enough
        && confirmed >= u64::from(advance.least_confirmed.max(1))
}
