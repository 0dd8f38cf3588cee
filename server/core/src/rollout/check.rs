//! The second opinion on a plan: the rules of a rollout stated over its result, without a line of the planner.
//!
//! Whatever made the plan, nothing passes here that gives a go outside an order, beyond the devices in flight, to a
//! device that may not take it, or beside a halt; that takes a go back or calls a device silent without cause; nor a wave
//! that begins or settles too early. Only facts and documents are read here: how the planner counts a device is not
//! asked. Of a refused plan nothing is executed but its stop. Read next: [`super::plan`] for what usually makes it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::ids::DeviceId;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;

use super::{Act, DeviceFacts, GoTold, Rollout, Sight, State, Wave};

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
    /// A go for a device that did not ask, is held, is not trusted, names something in its way, has ended, or would not
    /// hear of it.
    NotEntitled,
    /// A go beside a halt.
    GoWhileHalting,
    /// A wave settled with too few confirmed, or while somebody is still waited for.
    SettledTooEarly,
    /// A rollout or a return finished while somebody is left.
    FinishedTooEarly,
    /// A device taken into a wave that it does not fit.
    Misfit,
    /// An act on a wave that is not there, or on a go that was not given; one device's go ended twice.
    Nonsense,
    /// A go taken back from a device that has it in hand and names nothing in its way.
    TakenWithoutCause,
    /// A device called silent that was heard, or that was never told of its go.
    NotSilent,
}

/// As much of a plan as passes: all of it, or else only its stop, with the breach. Whatever is wrong with the rest, that
/// something has to stop is not to be lost with it.
#[must_use]
pub fn passed(rollout: &Rollout, sight: &Sight<'_>, acts: Vec<Act>) -> (Vec<Act>, Option<Violation>) {
    let Err(violation) = check(rollout, sight, &acts) else { return (acts, None) };
    let is_stop = |act: &Act| matches!(act, Act::Halt { .. } | Act::Stop { .. });
    let mut stop: Vec<Act> = acts.into_iter().filter(is_stop).collect();
    stop.retain(|act| check(rollout, sight, core::slice::from_ref(act)).is_ok());
    stop.truncate(1);
    (stop, Some(violation))
}

/// Refuses a plan that breaks an invariant, whatever made it.
///
/// # Errors
/// The first breach.
pub fn check(rollout: &Rollout, sight: &Sight<'_>, acts: &[Act]) -> Result<(), Violation> {
    let halts = acts.iter().any(|act| matches!(act, Act::Halt { .. } | Act::Stop { .. }));
    let mut given: BTreeSet<DeviceId> = BTreeSet::new();
    let mut ended: BTreeSet<DeviceId> = BTreeSet::new();
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
        if let Act::TakeBack { device, .. } | Act::Silent { device, .. } = act
            && !ended.insert(*device)
        {
            return Err(Violation::Nonsense);
        }
        one(rollout, sight, act)?;
    }
    in_flight(rollout, sight, acts)
}

fn fits_state(rollout: &Rollout, act: &Act) -> bool {
    let (running, returning) = (rollout.state == State::Running, rollout.state == State::Returning);
    let rests = matches!(rollout.state, State::Halted { .. } | State::Stopped { .. });
    match act {
        Act::Halt { .. }
        | Act::Begin { .. }
        | Act::Join { .. }
        | Act::Permit { .. }
        | Act::Settle { .. }
        | Act::Finish => running,
        Act::Back { .. } | Act::FinishReturn => returning,
        Act::TakeBack { .. } => {
            running || returning || rests || matches!(rollout.state, State::Paused { .. })
        }
        Act::Silent { .. } => running || returning || rests,
        Act::Stop { .. } => running || returning,
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
            let entitled = open && hears(facts, sight.now);
            holds(entitled && may_go(facts, order, Action::Install), Violation::NotEntitled)
        }
        Act::Back { wave, device } => {
            let (wave, facts) = member(rollout, sight, *wave, *device)?;
            let order = sight.orders.get(&wave.order);
            let open = order.and_then(|order| order.back.as_ref()).is_some_and(|back| sight.now < back.until);
            let confirmed = runs_what_it_confirmed(facts) && facts.back.outcome.is_none();
            let entitled = open && confirmed && facts.back.permitted.is_none() && hears(facts, sight.now);
            holds(entitled && may_go(facts, order, Action::Back), Violation::NotEntitled)
        }
        Act::TakeBack { wave, device, action } => {
            let (_, facts) = member(rollout, sight, *wave, *device)?;
            let go = Go::of(facts, *action).ok_or(Violation::Nonsense)?;
            let over = facts.refused.is_some() || go.is_of_no_use(facts) || go.lies_too_long(sight.now);
            let withheld =
                rollout.withholds(*action).is_some_and(|since| go.is_withheld(facts, since, sight.now));
            holds(over || withheld, Violation::TakenWithoutCause)
        }
        Act::Silent { wave, device, action } => {
            let (_, facts) = member(rollout, sight, *wave, *device)?;
            let go = Go::of(facts, *action).ok_or(Violation::Nonsense)?;
            let dark = go.is_dark(facts, rollout.policy.silent_after_s, sight.now);
            holds(dark, Violation::NotSilent)
        }
        Act::Join { wave, device } => {
            let open = rollout.waves.get(*wave).is_some_and(|wave| wave.joins && wave.started.is_some());
            let stranger = rollout.wave_of(*device).is_none();
            let fits =
                sight.fleet.get(device).is_some_and(|facts| facts.joins == Some(*wave) && facts.trusted);
            holds(open && stranger && fits, Violation::Misfit)
        }
        Act::Begin { wave } => {
            let begun = rollout.waves.get(*wave).ok_or(Violation::WaveTooEarly)?.started;
            holds(begins(begun, (rollout, *wave), sight), Violation::WaveTooEarly)
        }
        Act::Settle { wave } => {
            let settled = rollout.waves.get(*wave).ok_or(Violation::Nonsense)?.settled_by(sight.now);
            holds(settled.is_none() && settles(rollout, *wave, sight), Violation::SettledTooEarly)
        }
        Act::Finish => {
            let holds_still = |wave: &Wave| {
                let order = sight.orders.get(&wave.order);
                order.is_some_and(|order| sight.now < order.expires)
            };
            let over = rollout
                .waves
                .iter()
                .all(|wave| all_ended(rollout, wave, sight) && !(wave.joins && holds_still(wave)));
            holds(over && watched(rollout, rollout.waves.len(), sight), Violation::FinishedTooEarly)
        }
        Act::FinishReturn => {
            let mut known = rollout.waves.iter().flat_map(|wave| &wave.devices);
            let over = known.all(|device| {
                sight.fleet.get(device).is_none_or(|facts| has_left_for_good(rollout, facts, sight.now))
            });
            holds(over, Violation::FinishedTooEarly)
        }
    }
}

/// Whether a return waits for this device no more: it is back, failed to be, was given up, or never confirmed and is not
/// under way either.
fn has_left_for_good(rollout: &Rollout, facts: &DeviceFacts, now: Timestamp) -> bool {
    if facts.receipt == Some(Outcome::Confirmed) {
        let given_up = facts.back.silent.is_some() && facts.back.tries > rollout.pace.silent_tries;
        return facts.back.outcome.is_some() || facts.back.left || given_up || facts.refused.is_some();
    }
    let over = |go: Go| {
        go.is_of_no_use(facts)
            || go.lies_too_long(now)
            || go.is_dark(facts, rollout.policy.silent_after_s, now)
    };
    facts.receipt.is_some()
        || facts.refused.is_some()
        || facts.silent.is_some()
        || Go::of(facts, Action::Install).is_none_or(over)
}

/// A go that is in force: since when, and since when its device knows.
struct Go {
    at: Timestamp,
    told: GoTold,
}

impl Go {
    fn of(facts: &DeviceFacts, action: Action) -> Option<Self> {
        let (at, told, open) = match action {
            Action::Install => (facts.permitted, facts.told, facts.receipt.is_none()),
            Action::Back => (facts.back.permitted, facts.back.told, facts.back.outcome.is_none()),
        };
        at.filter(|_| open).map(|at| Self { at, told })
    }

    /// By the device's own word of since the go, or by a hold that it has heard of or needs not hear of.
    fn is_of_no_use(&self, facts: &DeviceFacts) -> bool {
        let lately = facts.heard.is_none_or(|heard| heard >= self.at);
        let stands = matches!(facts.state, Some(UpdateState::Waiting | UpdateState::Armed));
        let names_other = facts.rules.iter().any(|code| code.as_str() != "no-permit");
        let works = matches!(
            facts.state,
            Some(
                UpdateState::Fetching
                    | UpdateState::Waiting
                    | UpdateState::Armed
                    | UpdateState::Trial
                    | UpdateState::Confirmed
                    | UpdateState::RolledBack
            )
        );
        let does_other = facts.elsewhere || (!works && facts.asks.is_none() && facts.heard.is_some());
        let knows_hold = match (facts.held_since, facts.heard) {
            (Some(since), Some(heard)) => heard > since && stands,
            _ => false,
        };
        (facts.heard.is_some() && !facts.trusted)
            || (lately && (does_other || (stands && names_other)))
            || (facts.held && (knows_hold || self.told == GoTold::NotYet))
    }

    /// Nobody answers with it any more, and its device never had it, or has said since that it lacks one or fetches.
    fn is_withheld(&self, facts: &DeviceFacts, since: Timestamp, now: Timestamp) -> bool {
        let told = match self.told {
            GoTold::NotYet => return facts.state != Some(UpdateState::Trial),
            GoTold::At(told) => told,
            GoTold::Unwritten => self.at,
        };
        let lacks = facts.rules.iter().any(|code| code.as_str() == "no-permit");
        let stands = matches!(facts.state, Some(UpdateState::Waiting | UpdateState::Armed)) && lacks;
        let spoke = facts.heard.is_some_and(|heard| told < heard && (since > now || since < heard));
        spoke && (stands || facts.state == Some(UpdateState::Fetching))
    }

    /// It was given, and its device never came for it.
    fn lies_too_long(&self, now: Timestamp) -> bool {
        self.told == GoTold::NotYet && (now > self.at.plus_seconds(900) || now < self.at)
    }

    /// Its device knows of it and was not heard for longer than a trial may last.
    fn is_dark(&self, facts: &DeviceFacts, silent_after_s: u32, now: Timestamp) -> bool {
        let since = match self.told {
            GoTold::NotYet => return false,
            GoTold::At(told) => told,
            GoTold::Unwritten => self.at,
        };
        let there = facts.heard_out.filter(|there| now >= *there).unwrap_or(since);
        let given = if self.at > now { since } else { since.max(self.at) };
        let last = given.max(facts.heard.unwrap_or(given)).max(there);
        now > last.plus_seconds(i64::from(silent_after_s))
    }
}

fn member<'a>(
    rollout: &'a Rollout,
    sight: &Sight<'a>,
    wave: usize,
    device: DeviceId,
) -> Result<(&'a Wave, &'a DeviceFacts), Violation> {
    let wave = rollout.waves.get(wave).filter(|wave| wave.started.is_some());
    let wave = wave.filter(|wave| wave.devices.binary_search(&device).is_ok());
    let wave = wave.ok_or(Violation::OutsideItsWave)?;
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

/// Whether a device will hear of a go that it is given now: it listens, or it speaks at this very moment. A place that is
/// kept for one that sleeps is lost to all others for as long as it lies there.
fn hears(facts: &DeviceFacts, now: Timestamp) -> bool {
    let speaks = facts.heard.is_some_and(|heard| heard >= now);
    speaks || facts.listens.is_some_and(|until| until >= now)
}

/// Gos that are in force after the plan, counted over what is stored and what the plan adds and takes: those of each act
/// against its own limit, all of them against the room.
fn in_flight(rollout: &Rollout, sight: &Sight<'_>, acts: &[Act]) -> Result<(), Violation> {
    let limits = [
        (Action::Install, rollout.policy.in_flight),
        (Action::Back, rollout.way_back.as_ref().map_or(0, |way| way.in_flight)),
    ];
    let size = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut all, mut any) = (0, false);
    for (action, most) in limits {
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
        let stored = members
            .filter_map(|device| sight.fleet.get(device))
            .filter(|facts| Go::of(facts, action).is_some());
        let (given, taken) = (given.count(), taken.count());
        let after = (stored.count() + given).saturating_sub(taken);
        if given > 0 && after > size(most) {
            return Err(Violation::TooManyInFlight);
        }
        (all, any) = (all + after, any || given > 0);
    }
    if any && all > size(sight.room) { Err(Violation::TooManyInFlight) } else { Ok(()) }
}

/// Whether a wave may begin. What began at a time that has not come gets another time, and nothing else.
fn begins(begun: Option<Timestamp>, (rollout, wave): (&Rollout, usize), sight: &Sight<'_>) -> bool {
    begun.map_or_else(|| watched(rollout, wave, sight), |at| at > sight.now)
}

fn watched(rollout: &Rollout, waves: usize, sight: &Sight<'_>) -> bool {
    let soak_s = i64::from(rollout.policy.soak_s);
    let earlier = rollout.waves.get(..waves).unwrap_or_default();
    earlier.iter().all(|wave| wave.settled.is_some_and(|at| sight.now >= at.plus_seconds(soak_s)))
}

/// Its receipt says that it confirmed here, and nothing that it has gone on to something else.
fn runs_what_it_confirmed(facts: &DeviceFacts) -> bool {
    facts.receipt == Some(Outcome::Confirmed) && !facts.back.left
}

/// Marked as silent, and either not heard since or not for the first time.
fn is_given_up(facts: &DeviceFacts) -> bool {
    let spoke = |since: Timestamp| facts.heard.is_some_and(|heard| heard > since);
    facts.silent.is_some_and(|since| facts.tries >= 2 || !spoke(since))
}

/// Whether nothing more is expected of a device, by its receipt, its own word, the server's mark or its silence.
fn has_ended(rollout: &Rollout, facts: &DeviceFacts, now: Timestamp) -> bool {
    let told = facts.receipt.is_some() || facts.refused.is_some() || is_given_up(facts);
    let dark = |go: Go| !go.is_of_no_use(facts) && go.is_dark(facts, rollout.policy.silent_after_s, now);
    told || Go::of(facts, Action::Install).map_or(facts.already, dark)
}

fn all_ended(rollout: &Rollout, wave: &Wave, sight: &Sight<'_>) -> bool {
    let ended = |device| sight.fleet.get(device).is_some_and(|facts| has_ended(rollout, facts, sight.now));
    wave.devices.iter().all(ended)
}

fn has_confirmed(facts: &DeviceFacts) -> bool {
    let good = facts.receipt == Some(Outcome::Confirmed) && facts.accepted != Some(false);
    good && matches!(facts.back.outcome, None | Some(Outcome::Confirmed))
}

/// Enough have confirmed of those who could, and who has not ended holds no go and was waited for long enough.
fn settles(rollout: &Rollout, index: usize, sight: &Sight<'_>) -> bool {
    let Some(wave) = rollout.waves.get(index) else { return false };
    let Some(started) = wave.started else { return false };
    let (absent, advance) = (DeviceFacts::default(), &rollout.policy.advance);
    let all = |wave: &Wave| -> Vec<&DeviceFacts> {
        wave.devices.iter().map(|device| sight.fleet.get(device).unwrap_or(&absent)).collect()
    };
    let members = all(wave);
    let had_it = |facts: &&&DeviceFacts| {
        let untouched = facts.receipt.is_none() && facts.permitted.is_none();
        untouched && facts.already && facts.refused.is_none() && !is_given_up(facts)
    };
    let asked = (members.len() - members.iter().filter(had_it).count()) as u64;
    let confirmed = members.iter().filter(|facts| has_confirmed(facts)).count() as u64;
    let enough = if asked == 0 {
        let earlier = rollout.waves.get(..index).unwrap_or_default();
        index + 1 == rollout.waves.len() || earlier.iter().flat_map(all).any(has_confirmed)
    } else {
        let least = u64::from(advance.least_confirmed.max(1)).min(asked);
        confirmed * 1000 >= asked * u64::from(advance.least_confirmed_permille) && confirmed >= least
    };
    let since = |at: Timestamp, limit_s: u32| sight.now >= at.plus_seconds(i64::from(limit_s));
    let waited_for = |facts: &&DeviceFacts| {
        let waits = facts.blocked.is_some() || facts.asks.is_some();
        let lately = facts.heard.is_some_and(|heard| !since(heard, advance.unreached_after_s));
        let overdue = since(started, advance.unreached_after_s) && !((waits || facts.installing) && lately);
        let too_long = waits && advance.waiting_after_s.is_some_and(|limit_s| since(started, limit_s));
        facts.permitted.is_some() || !(overdue || too_long)
    };
    let open = members.into_iter().filter(|facts| !has_ended(rollout, facts, sight.now));
    enough && !open.into_iter().any(|facts| waited_for(&facts))
}
