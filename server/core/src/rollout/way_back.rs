//! The plan of a return: confirmed devices get the go for the signed way back, nobody else gets anything.
//!
//! A person begins it, without a key: the way back was signed with the order. It stays open until the order says, and
//! the same reasons wait before it as before an install. Only a device that confirmed this order's image is asked, unless
//! it has gone on to another since; one whose receipt comes late becomes one. The bound on failures stops a return that goes wrong. Read next:
//! [`super::check`].

use alloc::format;
use alloc::vec::Vec;

use cordon_proto::checkin::Action;
use cordon_proto::receipt::Outcome;
use cordon_proto::update::order::Order;

use super::plan::{ended_gos, members};
use super::retry::{Again, Class, again};
use super::{Act, DeviceFacts, Failure, Rollout, Sight, Stage, Tally, Wave, broken};

/// What to do now about a rollout that returns.
pub(super) fn plan(rollout: &Rollout, sight: &Sight<'_>) -> Vec<Act> {
    let mut acts = ended_gos(rollout, sight);
    if let Some(why) = broken(&counted(rollout, sight), &rollout.policy) {
        let reason = format!("the way back goes wrong: {why}");
        acts.push(Act::Stop { reason });
        return acts;
    }
    let candidates = members(rollout, sight).filter(|(_, _, facts)| is_candidate(facts));
    let candidates: Vec<_> = candidates.collect();
    let nobody = candidates.iter().all(|(_, _, facts)| again_of(rollout, facts, sight) == Again::Never);
    if nobody && still_installing(rollout, sight) == 0 {
        acts.push(Act::FinishReturn);
        return acts;
    }
    let way = |wave: usize| rollout.waves.get(wave).and_then(|wave| open(wave, sight));
    if candidates.iter().all(|(wave, _, _)| way(*wave).is_none()) && !candidates.is_empty() {
        let left = candidates.len();
        let reason = format!("the way back has closed; {left} devices have not gone back");
        acts.push(Act::Stop { reason });
        return acts;
    }
    let mut free = free_places(rollout, sight);
    for (wave, device, facts) in candidates {
        let ready = rollout.waves.get(wave).is_some_and(|wave| may_go_back(rollout, wave, facts, sight));
        if ready && free > 0 && facts.will_come(Action::Back, sight.now) {
            acts.push(Act::Back { wave, device });
            free -= 1;
        }
    }
    acts
}

/// A device that confirmed, asked for the way back while it is open, is free, has no go and has not ended; a silent one
/// when its time has come. Whether it will hear of a go is another question.
pub(super) fn may_go_back(rollout: &Rollout, wave: &Wave, facts: &DeviceFacts, sight: &Sight<'_>) -> bool {
    let asks = open(wave, sight).is_some_and(|order| facts.may_take_the_go(&order.id, Action::Back));
    let fresh = facts.back.permitted.is_none();
    is_candidate(facts) && asks && fresh && again_of(rollout, facts, sight) == Again::Now
}

/// The order of a wave, if its way back is open.
pub(super) fn open<'a>(wave: &Wave, sight: &Sight<'a>) -> Option<&'a Order> {
    let order = sight.orders.get(&wave.order)?;
    order.back.as_ref().is_some_and(|back| sight.now < back.until).then_some(order)
}

fn is_candidate(facts: &DeviceFacts) -> bool {
    let here = facts.receipt == Some(Outcome::Confirmed) && !facts.back.left;
    here && facts.back.outcome.is_none() && facts.refused.is_none()
}

/// When a device may be given the go for the way back; one that was never silent may at once.
fn again_of(rollout: &Rollout, facts: &DeviceFacts, sight: &Sight<'_>) -> Again {
    let silent = facts.back.silent;
    silent.map_or(Again::Now, |since| again(Class::Silent, facts.back.tries, since, &rollout.pace, sight.now))
}

/// Those who have ended their way back, over all waves.
fn counted(rollout: &Rollout, sight: &Sight<'_>) -> Tally {
    let mut counted = Tally::default();
    for (_, _, facts) in members(rollout, sight) {
        let silent = facts.is_silent(Action::Back, &rollout.policy, sight.now);
        match facts.stage(&rollout.policy, sight.now) {
            Stage::Returned => counted.returned += 1,
            Stage::Failed(Failure::NotReturned) => counted.not_returned += 1,
            Stage::Confirmed if facts.back.left => {}
            Stage::Confirmed if facts.refused.is_some() => counted.not_returned += 1,
            Stage::Confirmed if facts.fell_silent(Action::Back) => counted.silent += 1,
            Stage::Confirmed if silent && !facts.is_kept() => counted.silent += 1,
            Stage::Confirmed => counted.waiting += 1,
            Stage::Unreached | Stage::Waiting | Stage::Installing | Stage::Already | Stage::Failed(_) => {}
        }
    }
    counted
}

/// Devices that rebooted on a go for the install before the return began, and have not ended.
fn still_installing(rollout: &Rollout, sight: &Sight<'_>) -> u32 {
    let installing = members(rollout, sight).filter(|(_, _, facts)| {
        facts.has_go() == Some(Action::Install)
            && facts.stage(&rollout.policy, sight.now) == Stage::Installing
    });
    u32::try_from(installing.count()).unwrap_or(u32::MAX)
}

/// Devices that may still be given the go for the way back. Those who still install take places of all rollouts, too.
fn free_places(rollout: &Rollout, sight: &Sight<'_>) -> u32 {
    let room = sight.room.saturating_sub(still_installing(rollout, sight));
    let places = rollout.way_back.as_ref().map_or(0, |way| way.in_flight).min(room);
    let flying = members(rollout, sight).filter(|(_, _, facts)| {
        let over = facts.is_kept()
            || facts.is_unclaimed(Action::Back, sight.now)
            || facts.is_silent(Action::Back, &rollout.policy, sight.now);
        facts.back.permitted.is_some() && facts.back.outcome.is_none() && !over
    });
    places.saturating_sub(u32::try_from(flying.count()).unwrap_or(u32::MAX))
}
