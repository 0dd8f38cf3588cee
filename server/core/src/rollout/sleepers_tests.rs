//! A fleet on metered lines: a thousand pumps that speak every six hours and hear only the answer to what they said.
//!
//! Nothing is left to chance: the pumps speak one after the other, evenly spread over the six hours, and all of them
//! confirm. What is looked at is how long the rollout takes, and who is given a go by whom.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;

use super::fixture::*;
use super::*;
use crate::device::{Device, Report, Wanted};

const SLEEPERS: u16 = 1000;
const EVERY_S: i64 = 6 * 3600;
/// From the go to the receipt.
const TRIAL_S: i64 = 1200;
/// Between two looks at a rollout of which nothing was heard: a go lies for seven of them before it is given up.
const TICK_S: i64 = 120;
const DAY_S: i64 = 86_400;

/// What comes next for a pump.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Confirms,
    Speaks,
}

struct Thousand {
    book: Book,
    of: Name,
    pumps: Vec<Device>,
    /// The facts of all of them, brought up to date one by one.
    fleet: Fleet,
    next: BTreeSet<(Timestamp, Next, usize)>,
    now: Timestamp,
}

impl Thousand {
    fn new() -> Self {
        let one = |number: u16| {
            let mut bytes = [7; 16];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Device { id: DeviceId::from_random(bytes), listens: None, report: None, ..pump(0) }
        };
        let pumps: Vec<Device> = (0..SLEEPERS).map(one).collect();
        let mut rollout = rollout(0, 0);
        rollout.waves.truncate(1);
        rollout.waves[0].devices = pumps.iter().map(|pump| pump.id).collect();
        rollout.waves[0].devices.sort();
        rollout.policy = Policy { in_flight: 20, soak_s: 60, ..Policy::default() };
        let of = rollout.id.clone();
        let speaks = |number: usize| {
            let spread = EVERY_S * i64::try_from(number).expect("small") / i64::from(SLEEPERS);
            (NOW.plus_seconds(spread), Next::Speaks, number)
        };
        let next = (0..pumps.len()).map(speaks).collect();
        let book = Book { orders: orders(), rollouts: [(of.clone(), rollout)].into(), ..Book::default() };
        let mut all = Self { book, of, pumps, fleet: Fleet::new(), next, now: NOW };
        (0..all.pumps.len()).for_each(|number| all.look(number));
        all
    }

    fn look(&mut self, number: usize) {
        let pump = &self.pumps[number];
        let facts = self.book.facts(&self.book.rollouts[&self.of], pump, self.now);
        self.fleet.insert(pump.id, facts);
    }

    fn sight(&self) -> Sight<'_> {
        Sight { fleet: &self.fleet, orders: &self.book.orders, room: IN_FLIGHT_TOTAL, now: self.now }
    }

    fn known(&mut self, device: DeviceId) -> &mut Progress {
        self.book.progress.entry(self.of.clone()).or_default().entry(device).or_default()
    }

    /// A pump speaks, and takes the go that it is told in the answer.
    fn speaks(&mut self, number: usize) {
        let now = self.now;
        let wants = Some(Wanted { order: name("w1"), action: Action::Install });
        let said = Report { wants, ..report(UpdateState::Waiting, Some("w1"), &["no-permit"]) };
        let pump = &mut self.pumps[number];
        (pump.report, pump.last_seen) = (Some(said), Some(now));
        let device = pump.id;
        self.look(number);
        if self.book.tell(&self.pumps[number], now).permit.is_none() {
            let rollout = &self.book.rollouts[&self.of];
            let act = go_at_check_in(rollout, &self.sight(), device).expect("passes its check");
            if let Some(act) = act {
                let known = self.known(device);
                *known = apply_progress(known, &act, now).expect("an act on a device");
            }
        }
        let goes = self.book.tell(&self.pumps[number], now).permit.is_some();
        if goes {
            let known = self.known(device);
            *known = known.told(Action::Install, now).unwrap_or_else(|| known.clone());
        }
        let then = if goes { (TRIAL_S, Next::Confirms) } else { (EVERY_S, Next::Speaks) };
        self.next.insert((now.plus_seconds(then.0), then.1, number));
        self.look(number);
    }

    fn confirms(&mut self, number: usize) {
        let mut ended = receipt(&self.pumps[number], "w1", Outcome::Confirmed);
        ended.time = self.now;
        let signed = Signed::from(&self.book.orders[&name("w1")]);
        let (order, now) = (name("w1"), self.now);
        let known = self.known(ended.device);
        let row = Row { order: &order, signed: &signed, begun: NOW, progress: known };
        *known = count(&ended, &row, now).expect("an open row");
        self.look(number);
    }

    /// Plan, check, apply. Says whether a device was given a go.
    fn tick(&mut self) -> bool {
        let mut rollout = self.book.rollouts[&self.of].clone();
        let acts = plan(&rollout, &self.sight());
        assert_eq!(check(&rollout, &self.sight(), &acts), Ok(()), "{acts:?}");
        let numbers: BTreeMap<DeviceId, usize> = if acts.is_empty() {
            BTreeMap::new()
        } else {
            (0..).zip(&self.pumps).map(|(n, pump)| (pump.id, n)).collect()
        };
        for act in &acts {
            apply(&mut rollout, act, self.now);
            if let Act::Permit { device, .. } | Act::TakeBack { device, .. } | Act::Silent { device, .. } =
                act
            {
                let now = self.now;
                let known = self.known(*device);
                *known = apply_progress(known, act, now).expect("an act on a device");
                self.look(numbers[device]);
            }
        }
        self.book.rollouts.insert(self.of.clone(), rollout);
        acts.iter().any(|act| matches!(act, Act::Permit { .. }))
    }

    /// To the end, but for so many seconds at most: how many it took, and whether a tick gave a go.
    fn run(&mut self, most_s: i64) -> (Option<i64>, bool) {
        let mut gave = false;
        let mut looks = NOW;
        while self.now.seconds_since(NOW) <= most_s {
            let first = self.next.first().copied().filter(|(at, ..)| *at < looks);
            match first {
                Some(event @ (at, next, number)) => {
                    self.next.remove(&event);
                    self.now = at;
                    match next {
                        Next::Speaks => self.speaks(number),
                        Next::Confirms => {
                            self.confirms(number);
                            // The server looks every second: no place is free for longer than that.
                            gave |= self.tick();
                        }
                    }
                }
                None => {
                    (self.now, looks) = (looks, looks.plus_seconds(TICK_S));
                    gave |= self.tick();
                }
            }
            if let State::Finished { at } = self.book.rollouts[&self.of].state {
                return (Some(at.seconds_since(NOW)), gave);
            }
        }
        (None, gave)
    }
}

#[test]
fn a_thousand_pumps_that_sleep_are_updated_in_days() {
    // Goal: places go to who is here, not to who sleeps. Method: a thousand pumps that speak every six hours, twenty places,
    // twenty minutes each: with all places always taken that is seventeen hours; three days are allowed.
    let mut all = Thousand::new();
    let (took, gave) = all.run(3 * DAY_S);
    assert!(!gave, "a tick gave a go to a pump that sleeps");
    let took = took.expect("three days are over, and pumps are left");
    assert!(took > 16 * 3600, "more than twenty were let go at once: {took} s");
}

#[test]
fn who_speaks_in_the_second_in_which_its_go_was_taken_back_has_another_one() {
    // Goal: six hours are not lost to a clock of seconds. Method: a go that nobody came for is taken back, and in that very
    // second its pump speaks; a tick in that second gives it nothing.
    let mut ward = Ward::new(rollout(1, 0));
    ward.rollout().waves.truncate(1);
    ward.waits(0, "w1", &["no-permit"], NOW);
    assert_eq!(ward.step(NOW), [Act::Permit { wave: 0, device: id(0) }]);
    let taken = NOW.plus_seconds(901);
    assert_eq!(ward.step(taken), [Act::TakeBack { wave: 0, device: id(0), action: Action::Install }]);
    ward.waits(0, "w1", &["no-permit"], taken);
    assert_eq!(ward.step(taken), [], "a word of that second may be of before");
    assert!(ward.is_given_at_check_in(0, taken));
    assert!(ward.tell(0, taken).permit.is_some());
}

#[test]
fn a_go_for_one_that_would_not_hear_of_it_does_not_pass() {
    // Goal: the second opinion sees by itself who sleeps. Method: forged gos for a pump that listens, that listened once,
    // that never did, and that speaks at this moment.
    let rollout = rollout(1, 0);
    let asks = Some((name("w1"), Action::Install));
    let facts =
        DeviceFacts { trusted: true, asks, heard: Some(NOW.plus_seconds(-1)), ..DeviceFacts::default() };
    let passes = |facts: DeviceFacts| {
        check_at(&rollout, &[(id(0), facts)].into(), &[Act::Permit { wave: 0, device: id(0) }], NOW)
    };
    assert_eq!(passes(DeviceFacts { listens: Some(NOW), ..facts.clone() }), Ok(()));
    let once = DeviceFacts { listens: Some(NOW.plus_seconds(-1)), ..facts.clone() };
    assert_eq!(passes(once), Err(Violation::NotEntitled));
    assert_eq!(passes(facts.clone()), Err(Violation::NotEntitled));
    assert_eq!(passes(DeviceFacts { heard: Some(NOW), ..facts }), Ok(()));
}
