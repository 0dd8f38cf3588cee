//! The permit's freshness: whether the server's last word still is a go (decision 0002, Permit).
//!
//! Age is measured on the monotonic clock from the answer's arrival, so setting the wall clock back makes nothing
//! fresh. Only the latest answer counts: one without a permit takes the earlier one away, because silence stops. Where
//! the order lets a device install offline, an answer that names the order and yet withholds the permit still stops.
//! Read next: [`super::refusal`].

use crate::checkin::{Action, CheckinAnswer, Permit};
use crate::ids::Name;
use crate::time::{Millis, Timestamp};

/// Two clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The trusted wall clock: never below what the device knows to be past.
    pub wall: Timestamp,
    /// Milliseconds since some moment of this run, never set back.
    pub monotonic: Millis,
}

/// What the latest check-in answer of this run said about orders. It is never stored: after a restart the device asks
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// When it arrived, on the monotonic clock.
    pub arrived: Millis,
    /// The order it named.
    pub order: Option<Name>,
    /// The permit it gave.
    pub permit: Option<Permit>,
}

/// Why there is no go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermitMiss {
    /// No answer yet since the agent started.
    NoAnswer,
    /// The latest answer gives no permit for this order: halted, paused, held, or not yet its turn.
    Withheld,
    /// The permit is older than the order allows.
    Old {
        /// Seconds since it arrived.
        age_s: i64,
        /// Seconds it may be old.
        permit_s: u32,
    },
    /// The permit itself has ended.
    Over {
        /// When.
        until: Timestamp,
    },
}

impl Word {
    /// The word of an answer that arrived just now.
    #[must_use]
    pub fn of(answer: &CheckinAnswer, arrived: Millis) -> Self {
        let order = answer.order.as_ref().map(|offer| offer.order.clone());
        Self { arrived, order, permit: answer.permit.clone() }
    }

    fn go(&self, order: &Name, action: Action) -> Option<&Permit> {
        self.permit.as_ref().filter(|permit| permit.order == *order && permit.action == action)
    }
}

/// Whether the device has the go for this act of this order.
///
/// # Errors
/// Why it has not.
pub fn check(
    word: Option<&Word>,
    (order, action): (&Name, Action),
    permit_s: Option<u32>,
    now: Clock,
) -> Result<(), PermitMiss> {
    let (word, permit_s) = match (word, permit_s) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(PermitMiss::NoAnswer),
        (Some(word), None) => return offline(word, (order, action)),
        (Some(word), Some(permit_s)) => (word, permit_s),
    };
    let permit = word.go(order, action).ok_or(PermitMiss::Withheld)?;
    let age_ms = now.monotonic.since(word.arrived);
    // A negative age means that the clock is not the one the answer was stamped with: not fresh either.
    if !(0..=i64::from(permit_s) * 1000).contains(&age_ms) {
        return Err(PermitMiss::Old { age_s: age_ms / 1000, permit_s });
    }
    if now.wall >= permit.until {
        return Err(PermitMiss::Over { until: permit.until });
    }
    Ok(())
}

/// An order without `permit_s` needs no permit, but a server that names it and gives none has halted it.
fn offline(word: &Word, (order, action): (&Name, Action)) -> Result<(), PermitMiss> {
    let withheld = word.order.as_ref() == Some(order) && word.go(order, action).is_none();
    if withheld { Err(PermitMiss::Withheld) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Clock = Clock { wall: Timestamp(1_795_000_000), monotonic: Millis(50_000) };

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn word(permit: Option<(&str, Action)>) -> Word {
        let until = START.wall.plus_seconds(3600);
        let permit = permit.map(|(order, action)| Permit { order: name(order), action, until });
        Word { arrived: START.monotonic, order: Some(name("7")), permit }
    }

    fn later(wall_s: i64, monotonic_s: i64) -> Clock {
        Clock { wall: START.wall.plus_seconds(wall_s), monotonic: START.monotonic.plus(monotonic_s * 1000) }
    }

    #[test]
    fn a_permit_is_fresh_for_its_seconds_of_the_monotonic_clock_and_not_one_longer() {
        // Goal: age by arrival, not by the wall. Method: both clocks moved apart.
        let (order, go) = (name("7"), word(Some(("7", Action::Install))));
        let at = |now| check(Some(&go), (&order, Action::Install), Some(900), now);
        assert_eq!(at(START), Ok(()));
        assert_eq!(at(later(900, 900)), Ok(()));
        assert_eq!(
            at(later(0, 901)),
            Err(PermitMiss::Old { age_s: 901, permit_s: 900 }),
            "the wall stood still"
        );
        assert_eq!(at(later(-86_400, 901)), Err(PermitMiss::Old { age_s: 901, permit_s: 900 }));
        assert_eq!(at(later(3600, 10)), Err(PermitMiss::Over { until: START.wall.plus_seconds(3600) }));
        assert!(matches!(at(later(0, -1)), Err(PermitMiss::Old { .. })), "a clock of another run");
    }

    #[test]
    fn silence_another_order_and_the_other_act_are_no_permit() {
        // Goal: only the very act of the very order. Method: one wrong word at a time.
        let order = name("7");
        let install = |word: Option<&Word>| check(word, (&order, Action::Install), Some(900), START);
        assert_eq!(install(None), Err(PermitMiss::NoAnswer));
        assert_eq!(install(Some(&word(None))), Err(PermitMiss::Withheld));
        assert_eq!(install(Some(&word(Some(("8", Action::Install))))), Err(PermitMiss::Withheld));
        assert_eq!(install(Some(&word(Some(("7", Action::Back))))), Err(PermitMiss::Withheld));
    }

    #[test]
    fn an_offline_order_needs_no_answer_but_obeys_one_that_withholds() {
        // Goal: `permit_s: null` reaches devices that check in. Method: no answer, a halting one, one about another.
        let order = name("7");
        let install = |word: Option<&Word>| check(word, (&order, Action::Install), None, START);
        assert_eq!(install(None), Ok(()));
        assert_eq!(install(Some(&word(None))), Err(PermitMiss::Withheld));
        assert_eq!(install(Some(&Word { order: Some(name("8")), ..word(None) })), Ok(()));
        assert_eq!(install(Some(&word(Some(("7", Action::Install))))), Ok(()));
    }

    proptest! {
        #[test]
        fn a_permit_never_becomes_fresh_again_as_time_goes_on(age in 0_i64..5000, more in 0_i64..5000) {
            let (order, go) = (name("7"), word(Some(("7", Action::Install))));
            let at = |s| check(Some(&go), (&order, Action::Install), Some(900), later(s, s)).is_ok();
            prop_assert!(at(age) || !at(age + more));
        }
    }
}
