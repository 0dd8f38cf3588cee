//! A random small world over time: pumps that go away, come into use, fail, lie silent or answer late, some of which
//! listen and some speak every few hours only; people who stop, pause, hold and go on; a server that is off for hours.
//! Whatever happens, the engine's promises hold after every step, and there is an end.
//!
//! A broken promise is a panic with what broke it. Nothing here is part of a server: it is there for tests and for the
//! soak that plays a million of these. Read next: [`two`] for two rollouts at once, [`super::check`] for the promises of a
//! single plan.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, UpdateState};
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::time::Timestamp;

use super::fixture::*;
use super::*;

pub mod two;

/// Steps after which people and pumps only do what brings the rollout to its end.
const WILD: u32 = 120;
/// Steps after which a world that has not ended is stuck.
const STEPS: u32 = 900;
const PUMPS: u8 = 9;
/// Seconds for which one that listens is known to, after its last word.
const LISTENS_S: i64 = 660;

/// Plays the world of a seed to its end.
///
/// # Panics
/// If a promise of the engine was broken, or the rollout did not end.
#[must_use]
pub fn run(seed: u64) -> State {
    World::new(seed).run()
}

/// The same over an engine that gives everybody the go who stands in a begun wave: what must be caught.
///
/// # Panics
/// Always, or else the world above shows nothing.
#[must_use]
pub fn run_spoilt(seed: u64) -> State {
    World { spoilt: true, ..World::new(seed) }.run()
}

/// Chance that can be replayed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_shr(33) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// A document as it was stored and is read again.
fn again<T: Serialize + serde::de::DeserializeOwned>(document: &T) -> T {
    let text = serde_json::to_string(document).expect("writes");
    serde_json::from_str(&text).expect("reads")
}

/// What a pump does beside what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Runs,
    /// It was told the go, which lives until then, and may reboot without another word.
    Let(Action, Timestamp),
    /// It rebooted and answers later.
    Rebooted(Action),
    Confirmed,
    Ended,
}

/// A pump that does not listen: how often it speaks, and when it does next.
#[derive(Clone, Copy)]
struct Sleeps {
    every_s: i64,
    until: Timestamp,
}

struct World {
    ward: Ward,
    lives: BTreeMap<u8, Life>,
    sleepers: BTreeMap<u8, Sleeps>,
    late: Vec<ReceiptBody>,
    stored: Vec<ReceiptBody>,
    dice: Dice,
    now: Timestamp,
    failing: u64,
    spoilt: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut rollout = rollout(4, PUMPS - 4);
        rollout.waves.iter_mut().for_each(|wave| wave.started = None);
        rollout.policy.in_flight = 1 + u32::try_from(dice.below(3)).expect("small");
        rollout.policy.failure_limit_permille = if dice.one_in(2) { 20 } else { 1000 };
        rollout.policy.advance.unreached_after_s = 4000;
        let failing = 2 + dice.below(30);
        let lives = (0..PUMPS).map(|number| (number, Life::Runs)).collect();
        let mut sleepers = BTreeMap::new();
        for number in 0..PUMPS {
            if dice.one_in(4) {
                let every_s = 1800 + i64::try_from(dice.below(9000)).expect("small");
                sleepers.insert(number, Sleeps { every_s, until: NOW });
            }
        }
        Self {
            ward: Ward::new(rollout),
            lives,
            sleepers,
            late: Vec::new(),
            stored: Vec::new(),
            dice,
            now: NOW,
            failing,
            spoilt: false,
        }
    }

    fn life(&self, number: u8) -> Life {
        self.lives.get(&number).copied().expect("every pump has one")
    }

    fn order_of(number: u8) -> &'static str {
        if number < 4 { "w1" } else { "w2" }
    }

    /// Whether it does not speak now although nothing keeps it from it.
    fn is_asleep(&self, number: u8) -> bool {
        let rests = matches!(self.life(number), Life::Runs | Life::Confirmed);
        rests && self.sleepers.get(&number).is_some_and(|sleeps| self.now < sleeps.until)
    }

    /// A pump speaks. One that sleeps has said then what it has to say for hours.
    fn wakes(&mut self, number: u8) {
        let listens = match self.sleepers.get_mut(&number) {
            Some(sleeps) => {
                sleeps.until = self.now.plus_seconds(sleeps.every_s);
                None
            }
            None => Some(self.now.plus_seconds(LISTENS_S)),
        };
        self.ward.pumps.get_mut(&number).expect("a pump").listens = listens;
    }

    /// A pump checks in: it hears what it is told, and says how it stands.
    fn check_in(&mut self, number: u8, calm: bool) {
        self.wakes(number);
        let of = Self::order_of(number);
        let busy = !calm && self.dice.one_in(3);
        let told = self.ward.tell(number, self.now);
        let Some(offer) = told.order else {
            // Without an order it has nothing to reboot for, whatever it held.
            if let Life::Let(action, _) = self.life(number) {
                let rests = if action == Action::Back { Life::Confirmed } else { Life::Runs };
                self.lives.insert(number, rests);
            }
            let rests = if self.life(number) == Life::Confirmed { ORDERED } else { EARLIER };
            let mut said = report(UpdateState::Idle, None, &[]);
            said.software.sha256 = rests;
            return self.ward.say(number, self.now, said, Action::Install);
        };
        assert_eq!(offer.order.as_str(), of, "an order of another wave");
        if self.life(number) == Life::Confirmed && offer.action == Action::Install {
            // Its receipt is on the way; it does not install the same once more.
            let mut said = report(UpdateState::Confirmed, Some(of), &[]);
            said.software.sha256 = ORDERED;
            return self.ward.say(number, self.now, said, Action::Install);
        }
        let codes: &[&str] = match (told.permit.is_some(), busy) {
            (true, true) => &["interlock"],
            (true, false) => &[],
            (false, true) => &["no-permit", "interlock"],
            (false, false) => &["no-permit"],
        };
        self.ward.say(number, self.now, report(UpdateState::Waiting, Some(of), codes), offer.action);
        if self.sleepers.contains_key(&number) || self.dice.one_in(4) {
            let _given = self.ward.is_given_at_check_in(number, self.now);
        }
        // What it just said may have taken the go away; only who still has it reboots.
        let permit = self.ward.tell(number, self.now).permit;
        let permit = permit.filter(|permit| permit.action == offer.action && !busy);
        let rests = if self.life(number) == Life::Confirmed || offer.action == Action::Back {
            Life::Confirmed
        } else {
            Life::Runs
        };
        let next = permit.map_or(rests, |permit| Life::Let(permit.action, permit.until));
        self.lives.insert(number, next);
        if matches!(next, Life::Let(..)) && self.dice.one_in(2) {
            self.reboot(number);
        }
    }

    /// A pump with the go in hand reboots, if its go is fresh: nothing can call it back then.
    fn reboot(&mut self, number: u8) {
        let Life::Let(action, until) = self.life(number) else { return };
        if self.now < until {
            self.lives.insert(number, Life::Rebooted(action));
        }
    }

    /// What is true of the pumps themselves, whatever the documents say: no more of them are rebooting than may, but for
    /// those that were given up as silent; and none of those is forgotten.
    fn count_the_pumps(&self) {
        let rollout = &self.ward.book.rollouts[&self.ward.of];
        let most_back = rollout.way_back.as_ref().map_or(0, |way| way.in_flight);
        for (action, most) in [(Action::Install, rollout.policy.in_flight), (Action::Back, most_back)] {
            let mut rebooting = 0;
            for number in 0..PUMPS {
                if self.life(number) != Life::Rebooted(action) {
                    continue;
                }
                let stored =
                    self.ward.book.progress.get(&rollout.id).and_then(|known| known.get(&id(number)));
                let known = stored.cloned().unwrap_or_default();
                let back = known.back.clone().unwrap_or_default();
                let (go, silent, told) = match action {
                    Action::Install => (known.go(), known.silent, known.told),
                    Action::Back => (back.go(), back.silent, back.told),
                };
                assert!(
                    go.is_some() || silent.is_some(),
                    "pump {number} reboots and is forgotten: {known:?}"
                );
                assert!(matches!(told, GoTold::At(_)), "pump {number} reboots untold: {known:?}");
                rebooting += u32::from(silent.is_none());
            }
            assert!(rebooting <= most, "{rebooting} pumps reboot and {most} may");
        }
    }

    /// A pump that rebooted answers, perhaps twice, perhaps late, or lies silent for long.
    fn answer(&mut self, number: u8, action: Action, calm: bool) {
        if !calm && self.dice.one_in(3) {
            return;
        }
        let fails = self.dice.one_in(self.failing);
        let (outcome, life) = match (action, fails) {
            (Action::Install, false) => (Outcome::Confirmed, Life::Confirmed),
            (Action::Back, false) => (Outcome::WentBack, Life::Ended),
            (Action::Install | Action::Back, true) => (Outcome::RolledBack, Life::Ended),
        };
        self.lives.insert(number, life);
        let mut ended = receipt(&self.ward.pumps[&number].clone(), Self::order_of(number), outcome);
        ended.action = action;
        self.late.push(ended.clone());
        if self.dice.one_in(2) {
            self.late.push(ended);
        }
        self.deliver(calm);
    }

    /// Receipts come in any order and stay stored: each is looked at again until it counts.
    fn deliver(&mut self, calm: bool) {
        while !self.late.is_empty() && (calm || self.dice.one_in(2)) {
            let place = usize::try_from(self.dice.below(self.late.len() as u64)).expect("small");
            self.stored.push(self.late.swap_remove(place));
        }
        // Why one does not count is another test's; one that did is the same row's no more.
        let (ward, now) = (&mut self.ward, self.now);
        self.stored.retain(|receipt| ward.count(receipt, now).is_err());
    }

    fn person(&mut self) {
        let state = self.ward.rollout().state.clone();
        match (self.dice.below(7), state) {
            (0, State::Running) => self.ward.by("stop", self.now),
            (1, State::Running) => self.ward.by("pause", self.now),
            (2, State::Running | State::Halted { .. }) if self.dice.one_in(6) => {
                self.ward.by("back", self.now)
            }
            (3, _) => {
                let (id, covers) = (name("h"), Covers::Model("VP-3".to_string()));
                let (by, reason, at) = ("m".to_string(), "a move".to_string(), self.now);
                let until = Some(self.now.plus_seconds(i64::try_from(self.dice.below(4000)).expect("small")));
                self.ward
                    .book
                    .holds
                    .insert(id.clone(), Hold { v: 1, id, covers, by, reason, at, until, lapsed: None });
            }
            (4, _) => self.ward.book.holds.clear(),
            (5, _) if self.dice.one_in(4) => self.the_server_sleeps(),
            _ => self.resume(),
        }
    }

    /// Nobody is heard for hours, because nobody is there to hear.
    fn the_server_sleeps(&mut self) {
        self.now = self.now.plus_seconds(14_400);
        self.ward.book.there = Some(self.now);
    }

    fn resume(&mut self) {
        let fleet = self.ward.fleet(self.now);
        let rollout = &self.ward.book.rollouts[&self.ward.of];
        let (orders, room) = (&self.ward.book.orders_of(rollout), IN_FLIGHT_TOTAL);
        let breaks = would_stop(rollout, &Sight { fleet: &fleet, orders, room, now: self.now }).is_some();
        let rests = match rollout.state {
            State::Stopped { .. } | State::Paused { .. } => true,
            State::Halted { .. } => !breaks,
            _ => false,
        };
        if rests && self.ward.rollout().way_back.is_none() {
            self.ward.by("resume", self.now);
        }
    }

    /// What must be true of every plan, and of what is stored after it.
    fn step(&mut self) {
        let before = self.ward.rollout().state.clone();
        if before == State::Running && self.dice.one_in(4) {
            self.stopping_and_going_on_changes_nothing();
        }
        let acts = self.ward.step(self.now);
        self.nobody_sleeps_over_a_go(&acts);
        if self.spoilt {
            self.everybody_goes();
        }
        let moves = before == State::Running || before == State::Returning;
        assert!(moves || acts.iter().all(|act| Ward::only_frees(&before, act)), "{before:?}: {acts:?}");
        let silent_s = i64::from(self.ward.rollout().policy.silent_after_s);
        let there_s = self.ward.book.there.map_or(i64::MAX, |since| self.now.seconds_since(since));
        let silent = acts.iter().any(|act| matches!(act, Act::Silent { .. }));
        assert!(!silent || there_s > silent_s, "silent to a server that was there for {there_s} s");
        let rollout = &self.ward.book.rollouts[&self.ward.of];
        let most = rollout.policy.in_flight + rollout.way_back.as_ref().map_or(0, |way| way.in_flight);
        assert!(self.ward.gos() <= most as usize, "{} gos", self.ward.gos());
        self.count_the_pumps();
        for number in 0..PUMPS {
            let told = self.ward.tell(number, self.now);
            let Some(permit) = told.permit else { continue };
            let (_, wave) = rollout.wave_of(id(number)).expect("a member");
            let held = self.ward.book.held(&self.ward.pumps[&number], self.now);
            assert!(wave.started.is_some() && permit.order == wave.order && !held, "{permit:?}");
            assert_eq!(rollout.keeps_gos(), permit.action == Action::Install, "{:?}", rollout.state);
        }
    }

    /// A place that is kept for a pump that speaks hours later is lost to all others meanwhile.
    fn nobody_sleeps_over_a_go(&self, acts: &[Act]) {
        for act in acts {
            if let Act::Permit { device, .. } | Act::Back { device, .. } = act {
                let pump = self.ward.pumps.values().find(|pump| pump.id == *device).expect("a pump");
                assert!(pump.listens >= Some(self.now), "a go of a tick for one that sleeps: {act:?}");
            }
        }
    }

    fn everybody_goes(&mut self) {
        let now = self.now;
        let rollout = self.ward.rollout().clone();
        let progress = self.ward.book.progress.entry(rollout.id).or_default();
        let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
        for device in begun.flat_map(|wave| &wave.devices) {
            let known = progress.entry(*device).or_default();
            *known = known.permitted(now);
        }
    }

    /// Stopped, killed, read again from what is stored, and resumed: the same plan is made.
    fn stopping_and_going_on_changes_nothing(&mut self) {
        let before = self.planned();
        self.ward.by("stop", self.now);
        let stopped = self.ward.rollout().state.clone();
        let acts = self.planned();
        assert!(acts.iter().all(|act| Ward::only_frees(&stopped, act)), "{acts:?}");
        self.read_again();
        self.ward.by("resume", self.now);
        assert_eq!(self.planned(), before, "by what is stored");
    }

    fn planned(&self) -> Vec<Act> {
        let fleet = self.ward.fleet(self.now);
        let rollout = &self.ward.book.rollouts[&self.ward.of];
        let orders = self.ward.book.orders_of(rollout);
        plan(rollout, &Sight { fleet: &fleet, orders: &orders, room: IN_FLIGHT_TOTAL, now: self.now })
    }

    /// All documents as a server finds them that has just started.
    fn read_again(&mut self) {
        let book = &mut self.ward.book;
        book.rollouts.values_mut().for_each(|rollout| *rollout = again(rollout));
        book.holds.values_mut().for_each(|hold| *hold = again(hold));
        book.progress.values_mut().flat_map(BTreeMap::values_mut).for_each(|known| *known = again(known));
    }

    fn run(&mut self) -> State {
        for step in 0..STEPS {
            let calm = step > WILD;
            self.now = self.now.plus_seconds(1 + i64::try_from(self.dice.below(400)).expect("small"));
            if calm {
                self.ward.book.holds.clear();
                self.resume();
            } else if self.dice.one_in(8) {
                self.person();
            }
            for number in 0..PUMPS {
                match self.life(number) {
                    _ if self.is_asleep(number) || (!calm && self.dice.one_in(3)) => {}
                    Life::Rebooted(action) => self.answer(number, action, calm),
                    Life::Let(..) if self.dice.one_in(2) => self.reboot(number),
                    Life::Runs | Life::Confirmed | Life::Let(..) => self.check_in(number, calm),
                    Life::Ended => {}
                }
            }
            self.deliver(calm);
            self.step();
            let state = self.ward.rollout().state.clone();
            let over = matches!(
                state,
                State::Halted { .. }
                    | State::Finished { .. }
                    | State::Returned { .. }
                    | State::Stopped { .. }
            );
            if calm && over {
                return state;
            }
        }
        let fleet = self.ward.fleet(self.now);
        panic!("the rollout did not end: {:?}\n{fleet:#?}", self.ward.rollout());
    }
}
