//! Two rollouts at once over the same pumps: an older and a newer firmware, or a firmware and a content beside it, on a
//! server whose clock is sometimes an hour, a day or a year ahead, or an hour behind, and is set right again.
//!
//! Pumps keep their own time, which is right; a go lives for its seconds there, not until a time of the server's. What one
//! rollout brought stands before the other: a pump says that it has something newer, or that it never confirmed what it is
//! to leave. Read next: [`super`], for one rollout alone, with pumps that speak every few hours.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, Blocked, ContentFault, UpdateState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::update::content::Assignment;
use cordon_proto::update::scope::Scope;

use super::super::fixture::*;
use super::super::*;
use super::{Dice, LISTENS_S, STEPS, WILD, again};

const PUMPS: u8 = 8;
/// The image of the newer release.
const NEWER: Sha256 = Sha256([2; 32]);
const VERSION: u64 = 7;
/// Seconds for which a content is tried.
const TRIAL_S: i64 = 600;
/// How wrong the server's clock may be.
const SKEWS_S: [i64; 4] = [3600, 86_400, 365 * 86_400, -3600];
/// The first pump of the second rollout: the ones before it are none of its devices.
const SECOND: u8 = 2;

/// Plays the world of a seed to its end.
///
/// # Panics
/// If a promise of the engine was broken, or a rollout did not end.
#[must_use]
pub fn run(seed: u64) -> Vec<State> {
    World::new(seed).run()
}

/// The same on a server whose clock goes wrong now and then.
///
/// # Panics
/// If a promise of the engine was broken, or a rollout did not end.
#[must_use]
pub fn run_with_a_wrong_clock(seed: u64) -> Vec<State> {
    World { goes_wrong: true, ..World::new(seed) }.run()
}

/// The first world over an engine that gives everybody the go who stands in a begun wave: what must be caught.
///
/// # Panics
/// Always, or else the worlds above show nothing.
#[must_use]
pub fn run_spoilt(seed: u64) -> Vec<State> {
    World { spoilt: true, ..World::new(seed) }.run()
}

/// What a pump does beside what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Life {
    Rests,
    /// It has the go in hand, which lives until then by its own clock.
    Let {
        of: Name,
        order: Name,
        action: Action,
        until: Timestamp,
    },
    /// It rebooted and answers later.
    Rebooted {
        of: Name,
        order: Name,
        action: Action,
    },
}

impl Life {
    fn is_reboot(&self, rollout: &Name, act: Action) -> bool {
        matches!(self, Self::Rebooted { of, action, .. } if of == rollout && *action == act)
    }
}

#[derive(Clone, Debug)]
struct Pump {
    life: Life,
    runs: Sha256,
    /// The order whose image it confirmed and runs.
    confirmed: Option<Name>,
    /// Orders that it takes no more.
    given_up: BTreeSet<Name>,
    /// The content in force.
    content: u64,
    /// Until when it tries the one that it was offered.
    tries: Option<Timestamp>,
    fault: bool,
    /// Whether the server's clock jumped since its go was given: of such a go the server may know nothing more.
    lost_sight: bool,
}

struct World {
    ward: Ward,
    pumps: BTreeMap<u8, Pump>,
    late: Vec<ReceiptBody>,
    stored: Vec<ReceiptBody>,
    dice: Dice,
    /// What time it is.
    time: Timestamp,
    /// By how much the server's clock is wrong.
    skew_s: i64,
    /// Whether it goes wrong at all.
    goes_wrong: bool,
    spoilt: bool,
    failing: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut first = rollout(4, PUMPS - 4);
        first.policy.in_flight = 1 + u32::try_from(dice.below(3)).expect("small");
        first.policy.failure_limit_permille = if dice.one_in(2) { 20 } else { 999 };
        first.policy.advance.unreached_after_s = 4000;
        first.waves.iter_mut().for_each(|wave| wave.started = None);
        let mut second = Rollout { id: name("r-2"), created: NOW.plus_seconds(1), ..first.clone() };
        second.priority = if dice.one_in(2) { 400 } else { 600 };
        second.policy.in_flight = 1 + u32::try_from(dice.below(3)).expect("small");
        let mut ward = Ward::new(first);
        let split = SECOND + 3;
        second.waves = [wave("n1", SECOND..split, None), wave("n2", split..PUMPS, None)].into();
        if dice.one_in(2) {
            content(&mut second, &mut ward.book);
        } else {
            newer(&mut second, &mut ward.book);
        }
        ward.book.rollouts.insert(second.id.clone(), second);
        ward.places = 2 + u32::try_from(dice.below(3)).expect("small");
        let pump = Pump {
            life: Life::Rests,
            runs: EARLIER,
            confirmed: None,
            given_up: BTreeSet::new(),
            content: 0,
            tries: None,
            fault: false,
            lost_sight: false,
        };
        let pumps = (0..PUMPS).map(|number| (number, pump.clone())).collect();
        let failing = 2 + dice.below(30);
        let (late, stored) = (Vec::new(), Vec::new());
        let (skew_s, goes_wrong, spoilt) = (0, false, false);
        Self { ward, pumps, late, stored, dice, time: NOW, skew_s, goes_wrong, spoilt, failing }
    }

    /// What the server takes for the time.
    fn now(&self) -> Timestamp {
        self.time.plus_seconds(self.skew_s)
    }

    fn names(&self) -> Vec<Name> {
        self.ward.book.rollouts.keys().cloned().collect()
    }

    fn pump(&mut self, number: u8) -> &mut Pump {
        self.pumps.get_mut(&number).expect("a pump")
    }

    /// A pump checks in: it hears what it is told, and says how it stands.
    fn check_in(&mut self, number: u8, calm: bool) {
        let now = self.now();
        let listens = Some(now.plus_seconds(LISTENS_S));
        self.ward.pumps.get_mut(&number).expect("a pump").listens = listens;
        let busy = !calm && self.dice.one_in(3);
        let told = self.ward.tell(number, now);
        let (Some(offer), Some(of)) = (told.order, told.of) else {
            self.pump(number).life = Life::Rests;
            return self.say(number, (UpdateState::Idle, None, &[]), Action::Install);
        };
        let (order, action) = (offer.order, offer.action);
        assert!(self.is_ordered(number, &of, &order), "pump {number} is told of {order}");
        if let Some((state, codes)) = self.refuses(number, &order, action) {
            self.pump(number).life = Life::Rests;
            return self.say(number, (state, Some(&order), codes), action);
        }
        let codes: &[&str] = match (told.permit.is_some(), busy) {
            (true, true) => &["interlock"],
            (true, false) => &[],
            (false, true) => &["no-permit", "interlock"],
            (false, false) => &["no-permit"],
        };
        self.say(number, (UpdateState::Waiting, Some(&order), codes), action);
        if self.dice.one_in(3) {
            self.ward.of = of.clone();
            let _given = self.ward.is_given_at_check_in(number, now);
        }
        let permit = self.ward.tell(number, now).permit;
        let permit = permit.filter(|permit| permit.action == action && permit.order == order && !busy);
        self.pump(number).lost_sight = self.is_of_another_time((number, &of), action);
        self.pump(number).life = permit.map_or(Life::Rests, |permit| {
            // By the pump's own clock: it counts the seconds that the go lives, from now on.
            let lives_s = permit.until.seconds_since(now);
            Life::Let { of, order, action, until: self.time.plus_seconds(lives_s) }
        });
        if self.dice.one_in(2) {
            self.reboot(number);
        }
    }

    /// Whether the go that a pump has was given or told, by what is stored, at a time that has not come.
    fn is_of_another_time(&self, (number, of): (u8, &Name), action: Action) -> bool {
        let known = self.ward.book.progress.get(of).and_then(|known| known.get(&id(number)));
        let known = known.cloned().unwrap_or_default();
        let back = known.back.unwrap_or_default();
        let (permitted, told) = match action {
            Action::Install => (known.permitted, known.told),
            Action::Back => (back.permitted, back.told),
        };
        let now = self.now();
        permitted.is_some_and(|at| at > now) || matches!(told, GoTold::At(at) if at > now)
    }

    /// What it says to an order that it does not take.
    fn refuses(
        &self,
        number: u8,
        order: &Name,
        action: Action,
    ) -> Option<(UpdateState, &'static [&'static str])> {
        let (pump, ordered) = (&self.pumps[&number], self.ward.book.orders[order].image.sha256);
        let is_here = pump.confirmed.as_ref() == Some(order) && pump.runs == ordered;
        match action {
            // Its receipt is on the way.
            Action::Install if is_here => Some((UpdateState::Confirmed, &[])),
            Action::Install if pump.given_up.contains(order) => Some((UpdateState::Refused, &["given-up"])),
            Action::Install if pump.runs >= ordered => Some((UpdateState::Refused, &["not-newer"])),
            Action::Back if pump.given_up.contains(order) => Some((UpdateState::Refused, &["given-up"])),
            Action::Back if !is_here => Some((UpdateState::Refused, &["not-confirmed-here"])),
            Action::Install | Action::Back => None,
        }
    }

    /// What it runs and which content is in force goes with every word.
    fn say(&mut self, number: u8, said: (UpdateState, Option<&Name>, &[&str]), action: Action) {
        let (state, order, codes) = said;
        let (time, now) = (self.time, self.now());
        let fails = self.dice.one_in(self.failing);
        let pump = self.pump(number);
        if pump.tries.is_some_and(|until| time >= until) {
            (pump.tries, pump.fault) = (None, fails);
            pump.content = if fails { 0 } else { VERSION };
        }
        let (runs, content_version, fault) = (pump.runs, pump.content, pump.fault);
        let why = || Blocked { code: text("content-crash"), sentence: text("It crashed.") };
        let content_fault =
            fault.then(|| ContentFault { content: name("icu"), version: VERSION, why: why() });
        let mut report = report(state, order.map(Name::as_str), codes);
        report.software.sha256 = runs;
        (report.content_version, report.content_fault) = (content_version, content_fault);
        self.ward.say(number, now, report, action);
        let told = self.ward.book.tell_content(&self.ward.pumps[&number], now);
        self.ward.answer_content(number, now);
        if let Some(told) = told {
            assert!(number >= SECOND && told.version == VERSION, "pump {number} is offered {told:?}");
            let held = self.ward.book.held(&self.ward.pumps[&number], now);
            assert!(!held, "pump {number} is offered a content under a hold");
            let pump = self.pump(number);
            if pump.content < VERSION && !pump.fault && pump.tries.is_none() {
                pump.tries = Some(time.plus_seconds(TRIAL_S));
            }
        }
    }

    /// Whether a wave that has begun has this order for this pump.
    fn is_ordered(&self, number: u8, of: &Name, order: &Name) -> bool {
        let wave = self.ward.book.rollouts[of].wave_of(id(number));
        wave.is_some_and(|(_, wave)| wave.order == *order && wave.started.is_some())
    }

    /// A pump with the go in hand reboots, if its go is fresh: nothing can call it back then.
    fn reboot(&mut self, number: u8) {
        let Life::Let { of, order, action, until } = self.pumps[&number].life.clone() else { return };
        if self.time < until {
            assert!(self.is_ordered(number, &of, &order), "pump {number} reboots for {order}");
            self.pump(number).life = Life::Rebooted { of, order, action };
        }
    }

    /// A pump that rebooted answers, perhaps twice, perhaps late.
    fn answer(&mut self, number: u8, calm: bool) {
        let Life::Rebooted { order, action, .. } = self.pumps[&number].life.clone() else { return };
        if !calm && self.dice.one_in(3) {
            return;
        }
        let fails = self.dice.one_in(self.failing);
        let ordered = self.ward.book.orders[&order].image.sha256;
        let pump = self.pumps.get_mut(&number).expect("a pump");
        pump.life = Life::Rests;
        let outcome = match (action, fails) {
            (Action::Install, false) => {
                (pump.runs, pump.confirmed) = (ordered, Some(order.clone()));
                Outcome::Confirmed
            }
            (Action::Back, false) => {
                (pump.runs, pump.confirmed) = (EARLIER, None);
                Outcome::WentBack
            }
            (Action::Install | Action::Back, true) => {
                pump.given_up.insert(order.clone());
                Outcome::RolledBack
            }
        };
        let runs = pump.runs;
        let ended = receipt(&self.ward.pumps[&number].clone(), order.as_str(), outcome);
        let ended = ReceiptBody { action, sha256: runs, time: self.time, ..ended };
        self.late.push(ended.clone());
        if self.dice.one_in(2) {
            self.late.push(ended);
        }
    }

    /// Receipts come in any order and stay stored: each is looked at again until it counts.
    fn deliver(&mut self, calm: bool) {
        while !self.late.is_empty() && (calm || self.dice.one_in(2)) {
            let place = usize::try_from(self.dice.below(self.late.len() as u64)).expect("small");
            self.stored.push(self.late.swap_remove(place));
        }
        let (ward, now) = (&mut self.ward, self.time.plus_seconds(self.skew_s));
        self.stored.retain(|receipt| {
            let of = |rollout: &&Rollout| rollout.waves.iter().any(|wave| wave.order == receipt.order);
            ward.of = ward.book.rollouts.values().find(of).expect("an order's rollout").id.clone();
            ward.count(receipt, now).is_err()
        });
    }

    fn person(&mut self) {
        let now = self.now();
        self.ward.of = name(if self.dice.one_in(2) { "r-1" } else { "r-2" });
        let (state, kind) = (self.ward.rollout().state.clone(), self.ward.rollout().kind);
        match (self.dice.below(8), state) {
            (0, State::Running) => self.ward.by("stop", now),
            (1, State::Running) => self.ward.by("pause", now),
            (2, State::Running | State::Halted { .. })
                if kind == RolloutKind::Firmware && self.dice.one_in(6) =>
            {
                self.ward.by("back", now);
            }
            (3, _) => {
                let (id, covers) = (name("h"), Covers::Site("St. Brigid".into()));
                let (by, reason, at) = ("m".into(), "a move".into(), now);
                let until = Some(now.plus_seconds(i64::try_from(self.dice.below(4000)).expect("small")));
                let hold = Hold { v: 1, id: id.clone(), covers, by, reason, at, until, lapsed: None };
                self.ward.book.holds.insert(id, hold);
            }
            (4, _) => self.ward.book.holds.clear(),
            (5, _) if self.goes_wrong => {
                let skew_s = SKEWS_S[usize::try_from(self.dice.below(4)).expect("small")];
                self.jump(skew_s);
            }
            (6, _) => self.jump(0),
            _ => self.resume(),
        }
    }

    /// The server's clock goes wrong by so much, or right.
    fn jump(&mut self, skew_s: i64) {
        if self.skew_s != skew_s {
            self.skew_s = skew_s;
            self.pumps.values_mut().for_each(|pump| pump.lost_sight |= pump.life != Life::Rests);
        }
    }

    /// What a person who lets it go on is asked first: whether the next tick would stop it again.
    fn resume(&mut self) {
        let breaks = self.ward.sighted(self.now(), would_stop).is_some();
        let rollout = self.ward.rollout().clone();
        let rests = match rollout.state {
            State::Paused { .. } => true,
            State::Stopped { .. } | State::Halted { .. } => !breaks,
            _ => false,
        };
        if rests && rollout.way_back.is_none() {
            self.ward.by("resume", self.now());
        }
    }

    /// One tick of the server, over both; what must be true of every plan, and of what is stored after it.
    fn step(&mut self) {
        let now = self.now();
        for of in self.names() {
            self.ward.of = of;
            let before = self.ward.rollout().state.clone();
            if before == State::Running && self.dice.one_in(4) {
                self.stopping_and_going_on_changes_nothing();
            }
            let acts = self.ward.step(now);
            if self.spoilt {
                self.everybody_goes();
            }
            let moves = before == State::Running || before == State::Returning;
            assert!(moves || acts.iter().all(|act| Ward::only_frees(&before, act)), "{before:?}: {acts:?}");
            self.gos_are_ordered_and_few(&acts);
        }
        self.count_the_pumps();
        for number in 0..PUMPS {
            let told = self.ward.tell(number, now);
            let (Some(permit), Some(of)) = (told.permit, told.of) else { continue };
            let rollout = &self.ward.book.rollouts[&of];
            let held = self.ward.book.held(&self.ward.pumps[&number], now);
            assert!(self.is_ordered(number, &of, &permit.order) && !held, "{permit:?}");
            assert_eq!(rollout.keeps_gos(), permit.action == Action::Install, "{:?}", rollout.state);
            let order = &self.ward.book.orders[&permit.order];
            let end = order.back.as_ref().filter(|_| permit.action == Action::Back);
            assert!(permit.until <= end.map_or(order.expires, |back| back.until), "{permit:?}");
        }
    }

    fn everybody_goes(&mut self) {
        let now = self.now();
        let rollout = self.ward.rollout().clone();
        let progress = self.ward.book.progress.entry(rollout.id).or_default();
        let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
        for device in begun.flat_map(|wave| &wave.devices) {
            let known = progress.entry(*device).or_default();
            *known = known.permitted(now);
        }
    }

    /// Gos go to devices of the order, within the rollout's own limit and what both together may.
    fn gos_are_ordered_and_few(&self, acts: &[Act]) {
        let rollout = &self.ward.book.rollouts[&self.ward.of];
        let (mut installs, mut ways_back) = (0, 0);
        for act in acts {
            let (wave, device, given) = match act {
                Act::Permit { wave, device } => (wave, device, &mut installs),
                Act::Back { wave, device } => (wave, device, &mut ways_back),
                _ => continue,
            };
            *given += 1;
            let wave = &rollout.waves[*wave];
            let order = self.ward.book.order_of(rollout, wave).expect("listed");
            let back = order.back.as_ref().filter(|_| matches!(act, Act::Back { .. }));
            let holds = self.now() < back.map_or(order.expires, |back| back.until);
            assert!(wave.devices.contains(device) && holds, "{act:?} in {rollout:?}");
        }
        let back = rollout.way_back.as_ref().map_or(0, |way| way.in_flight);
        let (going, returning) = self.gos_by_act();
        let room = self.ward.room();
        for (gos, given, most) in [(going, installs, rollout.policy.in_flight), (returning, ways_back, back)]
        {
            assert!(gos <= most, "{gos} gos of {} and {most} may", rollout.id);
            let all = going + returning;
            assert!(given == 0 || all <= room, "{all} gos of {} and {room} places", rollout.id);
        }
    }

    /// Gos that are in force by what is stored, for the install and for the way back.
    fn gos_by_act(&self) -> (u32, u32) {
        let known = || self.ward.book.progress.get(&self.ward.of).into_iter().flat_map(BTreeMap::values);
        let going = known().filter(|known| known.go().is_some() && known.outcome.is_none());
        let back = |known: &&Progress| {
            known.back.as_ref().is_some_and(|back| back.go().is_some() && back.outcome.is_none())
        };
        let count = |gos: usize| u32::try_from(gos).expect("a small ward");
        (count(going.count()), count(known().filter(back).count()))
    }

    /// No more pumps are rebooting for a rollout than may, but for those that were given up or that a jump of the clock took
    /// out of sight; no other one is forgotten.
    fn count_the_pumps(&self) {
        for (of, rollout) in &self.ward.book.rollouts {
            let back = rollout.way_back.as_ref().map_or(0, |way| way.in_flight);
            for (action, most) in [(Action::Install, rollout.policy.in_flight), (Action::Back, back)] {
                let mut rebooting = 0;
                for (number, pump) in &self.pumps {
                    if pump.lost_sight || !pump.life.is_reboot(of, action) {
                        continue;
                    }
                    let known = self.ward.book.progress.get(of).and_then(|known| known.get(&id(*number)));
                    let known = known.cloned().unwrap_or_default();
                    let way = known.back.clone().unwrap_or_default();
                    let (go, silent) = match action {
                        Action::Install => (known.go(), known.silent),
                        Action::Back => (way.go(), way.silent),
                    };
                    assert!(go.is_some() || silent.is_some(), "pump {number} is forgotten: {known:?}");
                    rebooting += u32::from(silent.is_none());
                }
                assert!(rebooting <= most, "{rebooting} pumps reboot for {of} and {most} may");
            }
        }
    }

    /// Stopped, killed, read again from what is stored, and resumed: the same plan is made.
    fn stopping_and_going_on_changes_nothing(&mut self) {
        let now = self.now();
        let before = self.ward.sighted(now, plan);
        self.ward.by("stop", now);
        let stopped = self.ward.rollout().state.clone();
        let acts = self.ward.sighted(now, plan);
        assert!(acts.iter().all(|act| Ward::only_frees(&stopped, act)), "{acts:?}");
        let book = &mut self.ward.book;
        book.rollouts.values_mut().for_each(|rollout| *rollout = again(rollout));
        book.holds.values_mut().for_each(|hold| *hold = again(hold));
        book.progress.values_mut().flat_map(BTreeMap::values_mut).for_each(|known| *known = again(known));
        self.ward.by("resume", now);
        assert_eq!(self.ward.sighted(now, plan), before, "by what is stored");
    }

    fn run(&mut self) -> Vec<State> {
        for step in 0..STEPS {
            let calm = step > WILD;
            self.time = self.time.plus_seconds(1 + i64::try_from(self.dice.below(400)).expect("small"));
            if calm {
                self.jump(0);
                self.ward.book.holds.clear();
                for of in self.names() {
                    self.ward.of = of;
                    self.resume();
                }
            } else if self.dice.one_in(8) {
                self.person();
            }
            for number in 0..PUMPS {
                match self.pumps[&number].life {
                    _ if !calm && self.dice.one_in(3) => {}
                    Life::Rebooted { .. } => self.answer(number, calm),
                    Life::Let { .. } if self.dice.one_in(2) => self.reboot(number),
                    Life::Rests | Life::Let { .. } => self.check_in(number, calm),
                }
            }
            self.deliver(calm);
            self.step();
            let over = |rollout: &Rollout| {
                !matches!(rollout.state, State::Running | State::Returning | State::Paused { .. })
            };
            if calm && self.ward.book.rollouts.values().all(over) {
                return self.ward.book.rollouts.values().map(|rollout| rollout.state.clone()).collect();
            }
        }
        self.tell_what_is_left()
    }

    /// Ends the world that has no end, with all that is known of those who are waited for.
    fn tell_what_is_left(&mut self) -> ! {
        let now = self.now();
        let mut left = Vec::new();
        for of in self.names() {
            self.ward.of = of.clone();
            let (fleet, rollout) = (self.ward.fleet(now), self.ward.rollout().clone());
            for number in 0..PUMPS {
                let facts = &fleet[&id(number)];
                if rollout.wave_of(id(number)).is_some() && !facts.stage(&rollout.policy, now).has_ended() {
                    left.push((of.clone(), number, facts.clone(), self.pumps[&number].clone()));
                }
            }
        }
        panic!("a rollout did not end: {:?}\n{left:#?}", self.ward.book.rollouts);
    }
}

/// The second rollout brings a newer release.
fn newer(second: &mut Rollout, book: &mut Book) {
    second.release = "vp-3/4.3.0".parse().expect("a path");
    for wave in &second.waves {
        let mut signed = order(wave.order.as_str());
        (signed.image.release, signed.image.sha256) = (second.release.clone(), NEWER);
        book.orders.insert(wave.order.clone(), signed);
    }
}

/// The second rollout brings a content.
fn content(second: &mut Rollout, book: &mut Book) {
    let id = name("icu");
    second.kind = RolloutKind::Content;
    second.content_version = Some(VERSION);
    (second.repository, second.release) = (name("director"), Assignment::path_of(&id));
    let key = content_key(&id).expect("short");
    second.waves.iter_mut().for_each(|wave| wave.order = key.clone());
    second.policy.silent_after_s = CONTENT_SILENT_S;
    let scope = Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 0, from_most: 9 };
    let (expires, reason) = (NOW.plus_seconds(30 * 86_400), text("quieter nights"));
    let (length, sha256) = (300, Sha256([7; 32]));
    let listed = Assignment { id, length, sha256, scope, version: VERSION, issued: NOW, expires, reason };
    book.contents = Contents::of([listed]);
}
