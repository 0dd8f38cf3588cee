//! Planning one tick of a rollout.
//!
//! The plan is a list of acts in order. It never gives the go in a wave that has not begun or to a device that names
//! something else in its way, begins a wave before the one before it is settled and watched, exceeds the devices in
//! flight, or does more than free places while paused, halted or stopped. [`super::check`] states the same rules a second time,
//! independently, over the result. Read next: [`super::way_back`] for the plan of a return.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::checkin::Action;
use cordon_proto::ids::DeviceId;
use cordon_proto::update::order::Order;

use super::retry::{Again, Class, again};
use super::{
    DeviceFacts, Rollout, Sight, Stage, State, Tally, Wave, broken, has_shown, may_settle, tally, unaccepted,
    way_back,
};

/// One act of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The device was not heard for too long since it was given the go: that is a failure, and its place is free.
    Silent {
        /// The wave, from 0.
        wave: usize,
        /// The device.
        device: DeviceId,
        /// For which act it had the go.
        action: Action,
    },
    /// The device names something in its way, will not take the order, or never came for the go: it is taken back, its
    /// place is free.
    TakeBack {
        /// The wave, from 0.
        wave: usize,
        /// The device.
        device: DeviceId,
        /// For which act it had the go.
        action: Action,
    },
    /// The rollout stops itself in this wave.
    Halt {
        /// The wave, from 0.
        wave: usize,
        /// Why, in words.
        reason: String,
    },
    /// The server stops it: its orders ended, or the return goes wrong.
    Stop {
        /// Why, in words.
        reason: String,
    },
    /// The wave begins.
    Begin {
        /// The wave, from 0.
        wave: usize,
    },
    /// An enrolled device that has come to fit is taken into the wave.
    Join {
        /// The wave, from 0.
        wave: usize,
        /// The device.
        device: DeviceId,
    },
    /// The device gets the go for its wave's order.
    Permit {
        /// The wave, from 0.
        wave: usize,
        /// The device.
        device: DeviceId,
    },
    /// The device gets the go for the way back of its wave's order.
    Back {
        /// The wave, from 0.
        wave: usize,
        /// The device.
        device: DeviceId,
    },
    /// Nothing more is expected of the wave for now; the watch begins.
    Settle {
        /// The wave, from 0.
        wave: usize,
    },
    /// The rollout is finished.
    Finish,
    /// The return is finished.
    FinishReturn,
}

/// What to do now. An empty plan is the usual one.
#[must_use]
pub fn plan(rollout: &Rollout, sight: &Sight<'_>) -> Vec<Act> {
    match rollout.state {
        State::Running => installs(rollout, sight),
        State::Returning => way_back::plan(rollout, sight),
        State::Paused { .. } => unclaimed(rollout, sight),
        State::Halted { .. } | State::Stopped { .. } => ended_gos(rollout, sight),
        State::Aborted { .. } | State::Returned { .. } | State::Finished { .. } => Vec::new(),
    }
}

fn installs(rollout: &Rollout, sight: &Sight<'_>) -> Vec<Act> {
    let tallies: Vec<Tally> =
        rollout.waves.iter().map(|wave| tally(wave, sight.fleet, &rollout.policy, sight.now)).collect();
    let mut acts = ended_gos(rollout, sight);
    if let Some(halt) = first_break(rollout, &tallies).or_else(|| first_spent(rollout, &tallies, sight)) {
        acts.push(halt);
        return acts;
    }
    if let Some(stop) = orders_over(rollout, &tallies, sight) {
        acts.push(stop);
        return acts;
    }
    acts.extend(joins(rollout, sight));
    let mut free = free_places(rollout, sight);
    for (index, wave) in rollout.waves.iter().enumerate() {
        let Some(started) = wave.started else {
            if earlier_waves_done(rollout, index, sight) && live(wave, sight).is_some() {
                acts.push(Act::Begin { wave: index });
            }
            return acts;
        };
        // A clock that was ahead began it: what has begun goes on, by the time of now.
        if started > sight.now {
            acts.push(Act::Begin { wave: index });
        }
        let ready = wave.devices.iter().filter(|device| {
            let facts = sight.fleet.get(*device).filter(|facts| facts.will_come(Action::Install, sight.now));
            facts.is_some_and(|facts| entitled(rollout, wave, facts, sight))
        });
        for device in ready.take(usize::try_from(free).unwrap_or(usize::MAX)) {
            acts.push(Act::Permit { wave: index, device: *device });
            free -= 1;
        }
        if wave.settled_by(sight.now).is_none()
            && may_settle(rollout, index, sight.fleet, sight.now)
            && unaccepted(rollout, wave, sight.fleet).is_empty()
        {
            acts.push(Act::Settle { wave: index });
        }
    }
    let nobody_left = tallies.iter().all(|counted| counted.ended() == counted.total());
    if nobody_left && !takes_in(rollout, sight) && earlier_waves_done(rollout, rollout.waves.len(), sight) {
        acts.push(Act::Finish);
    }
    acts
}

/// Whether somebody may still come to fit: such a rollout stays open until its orders end or a person finishes it.
fn takes_in(rollout: &Rollout, sight: &Sight<'_>) -> bool {
    rollout.waves.iter().any(|wave| wave.joins && live(wave, sight).is_some())
}

/// Gos that are over without a receipt: the device went silent, something else came into its way, or the go is withheld
/// and the device has not rebooted on it.
pub(super) fn ended_gos(rollout: &Rollout, sight: &Sight<'_>) -> Vec<Act> {
    let gos = members(rollout, sight).filter_map(|one| Some((one, one.2.has_go()?)));
    gos.filter_map(|(one, action)| ended_go(rollout, one, action, sight)).collect()
}

/// A pause leaves the go to those who have it. One that nobody came for keeps a place from all other rollouts.
fn unclaimed(rollout: &Rollout, sight: &Sight<'_>) -> Vec<Act> {
    let action = Action::Install;
    let lying = members(rollout, sight)
        .filter(|(_, _, facts)| facts.has_go() == Some(action) && facts.is_unclaimed(action, sight.now));
    lying.map(|(wave, device, _)| Act::TakeBack { wave, device, action }).collect()
}

/// What becomes of the go that a device has for this act, if it ends now. Who never came for it has not failed.
fn ended_go(
    rollout: &Rollout,
    (wave, device, facts): (usize, DeviceId, &DeviceFacts),
    action: Action,
    sight: &Sight<'_>,
) -> Option<Act> {
    let withheld =
        rollout.withholds(action).is_some_and(|since| facts.stands_without(action, since, sight.now));
    if withheld || facts.is_kept() || facts.refused.is_some() || facts.is_unclaimed(action, sight.now) {
        return Some(Act::TakeBack { wave, device, action });
    }
    facts.is_silent(action, &rollout.policy, sight.now).then_some(Act::Silent { wave, device, action })
}

/// The devices of begun waves with what is known of them.
pub(super) fn members<'a>(
    rollout: &'a Rollout,
    sight: &Sight<'a>,
) -> impl Iterator<Item = (usize, DeviceId, &'a DeviceFacts)> {
    let fleet = sight.fleet;
    let begun = rollout.waves.iter().enumerate().filter(|(_, wave)| wave.started.is_some());
    begun.flat_map(move |(index, wave)| {
        let known = wave.devices.iter().filter_map(move |device| Some((*device, fleet.get(device)?)));
        known.map(move |(device, facts)| (index, device, facts))
    })
}

fn first_break(rollout: &Rollout, tallies: &[Tally]) -> Option<Act> {
    let mut breaks = tallies.iter().enumerate().filter_map(|(wave, counted)| {
        let why = broken(counted, &rollout.policy)?;
        Some(Act::Halt { wave, reason: format!("{why} ({})", counted.failures()) })
    });
    breaks.next()
}

/// A wave in which everybody has ended, for good, and too few have shown that the release works: there is no way on.
fn first_spent(rollout: &Rollout, tallies: &[Tally], sight: &Sight<'_>) -> Option<Act> {
    let again = |device: &DeviceId| {
        let facts = sight.fleet.get(device).filter(|facts| facts.receipt.is_none());
        facts.is_some_and(|facts| may_be_tried_again(rollout, facts, sight))
    };
    let mut waves = rollout.waves.iter().zip(tallies).enumerate();
    let (wave, (_, counted)) = waves.find(|(index, (wave, counted))| {
        let open = wave.started.is_some() && wave.settled_by(sight.now).is_none();
        let comes = wave.joins && live(wave, sight).is_some();
        open && counted.ended() == counted.total()
            && !comes
            && !has_shown(rollout, *index, sight.fleet, sight.now)
            && !wave.devices.iter().any(again)
    })?;
    let (confirmed, total) = (counted.confirmed, counted.total());
    let reason = format!(
        "every device of this wave has ended and {confirmed} of {total} are confirmed: too few to go on"
    );
    Some(Act::Halt { wave, reason })
}

/// Whether a silent device has tries left, also one that is called silent in this very tick, and may still come for one.
fn may_be_tried_again(rollout: &Rollout, facts: &DeviceFacts, sight: &Sight<'_>) -> bool {
    let (policy, now) = (&rollout.policy, sight.now);
    let (since, tries) = match facts.silent {
        Some(since) => (since, facts.tries),
        None if facts.is_silent(Action::Install, policy, now) => (now, facts.tries.saturating_add(1)),
        None => return false,
    };
    let spoke = facts.heard.is_some_and(|heard| heard > since);
    let waits = now.seconds_since(since) < i64::from(policy.advance.unreached_after_s);
    (spoke || waits) && again(Class::Silent, tries, since, &rollout.pace, now) != Again::Never
}

/// Why a rollout would stop itself at once if it went on now.
#[must_use]
pub fn would_stop(rollout: &Rollout, sight: &Sight<'_>) -> Option<String> {
    let state = if rollout.way_back.is_some() { State::Returning } else { State::Running };
    let going = Rollout { state, ..rollout.clone() };
    plan(&going, sight).into_iter().find_map(|act| match act {
        Act::Halt { reason, .. } | Act::Stop { reason } => Some(reason),
        _ => None,
    })
}

/// Nobody who is left could still install: every order of a wave with open devices was withdrawn or has ended.
fn orders_over(rollout: &Rollout, tallies: &[Tally], sight: &Sight<'_>) -> Option<Act> {
    let open = || {
        let waves = rollout.waves.iter().zip(tallies);
        waves.filter(|(_, counted)| counted.ended() < counted.total()).map(|(wave, _)| wave)
    };
    if open().next().is_none() || open().any(|wave| live(wave, sight).is_some()) {
        return None;
    }
    let orders: BTreeSet<&str> = open().map(|wave| wave.order.as_str()).collect();
    let orders = orders.into_iter().collect::<Vec<_>>().join(", ");
    let reason = format!("no device that is left may install any more: withdrawn or ended are {orders}");
    Some(Act::Stop { reason })
}

fn joins(rollout: &Rollout, sight: &Sight<'_>) -> Vec<Act> {
    let strangers = sight.fleet.iter().filter(|(device, _)| rollout.wave_of(**device).is_none());
    let fitting = strangers.filter_map(|(device, facts)| Some((facts.joins?, *device, facts)));
    let open = fitting.filter(|(wave, _, facts)| {
        facts.trusted && rollout.waves.get(*wave).is_some_and(|wave| wave.joins && wave.started.is_some())
    });
    open.map(|(wave, device, _)| Act::Join { wave, device }).collect()
}

/// The order of a wave, if it is listed and holds.
pub(super) fn live<'a>(wave: &Wave, sight: &Sight<'a>) -> Option<&'a Order> {
    sight.orders.get(&wave.order).filter(|order| sight.now < order.expires)
}

/// Devices that may still be given the go.
fn free_places(rollout: &Rollout, sight: &Sight<'_>) -> u32 {
    let flying = members(rollout, sight).filter(|(_, _, facts)| {
        facts.permitted.is_some() && facts.stage(&rollout.policy, sight.now) == Stage::Installing
    });
    let places = rollout.policy.in_flight.min(sight.room);
    places.saturating_sub(u32::try_from(flying.count()).unwrap_or(u32::MAX))
}

/// A device that asked for this wave's order, is trusted, not held, free, has no go and has not ended; a silent one
/// when its time has come. Whether it will hear of a go is another question.
pub(super) fn entitled(rollout: &Rollout, wave: &Wave, facts: &DeviceFacts, sight: &Sight<'_>) -> bool {
    let open = facts.permitted.is_none() && facts.receipt.is_none() && facts.refused.is_none();
    let due = facts
        .silent
        .is_none_or(|since| again(Class::Silent, facts.tries, since, &rollout.pace, sight.now) == Again::Now);
    let order = live(wave, sight);
    open && due && order.is_some_and(|order| facts.may_take_the_go(&order.id, Action::Install))
}

/// Whether every wave before `index` is settled and has been watched for long enough.
fn earlier_waves_done(rollout: &Rollout, index: usize, sight: &Sight<'_>) -> bool {
    let soak_s = i64::from(rollout.policy.soak_s);
    let mut earlier = rollout.waves.iter().take(index);
    earlier.all(|wave| wave.settled.is_some_and(|at| sight.now.seconds_since(at) >= soak_s))
}
