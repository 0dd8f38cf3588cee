//! Exhaustive search: every pair of interruptions in every kind of world, with the real boot loader's arithmetic.
//!
//! Goal: no schedule of power cuts, kills and lost records, with a good, forged or broken image, a slot that changes
//! while it waits, a flag that is written in steps, and an interlock that closes at the worst moment, may boot an
//! unverified slot, lower the floor, leave no good slot, reboot in use, or tell two stories. Method: a world that takes
//! the machine's effects literally, counted in moments between which it can be interrupted, those of the boot loader
//! and those between the steps of a flag included; all pairs of power cuts are tried, and many of the other kinds. Tests only.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::receipt::Outcome;
use cordon_proto::update::permit::Clock;
use cordon_proto::wire;
use proptest::prelude::ProptestConfig;

use super::super::fixture::{LENGTH, NEW, OLD, Signed, clock, old_record};
use super::super::loader::{BootState, Change, choose};
use super::super::record::{Record, Slot, State};
use super::super::{Effect, Event, FetchFault, Look, Report, gate};
use super::step;

const FORGED: Sha256 = Sha256([66; 32]);
const ORDERED: u64 = 42;
/// Seconds between two looks.
const LOOK_S: i64 = 11;
/// Seconds of a trial, as the looks say.
const TRIAL_S: i64 = 300;

/// How the world behaves towards the device.
#[derive(Clone, Copy, Debug)]
struct Plan {
    action: Action,
    mirror: Mirror,
    health: Health,
    /// The look at which the device is in use.
    busy_look: usize,
    /// The look before which somebody writes the slot that waits.
    swap_look: usize,
    flag: Flag,
    /// Boots that the loader gives to a trial.
    boots: u8,
    interruption: Interruption,
}

impl Plan {
    /// Whether the image is good in the end.
    fn is_well(&self) -> bool {
        matches!(self.health, Health::Well | Health::Slow)
    }
}

/// How the boot control takes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    /// Whole or not at all: a document of two copies, one letter of a block.
    Whole,
    /// In steps, each whole: variables of an environment, one after the other.
    Steps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mirror {
    Honest,
    Forged,
    Flaky,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Well,
    Sick,
    /// Says no twice, and then that all is well.
    Slow,
    /// Never reaches the server.
    Mute,
    /// Never meets anybody: the network is down.
    Dark,
    /// Dies whenever it starts.
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interruption {
    /// The power goes; the loader chooses anew.
    Power,
    /// The agent dies; the device runs on.
    Kill,
    /// The power goes, and the newest record cannot be read.
    StaleRecord,
}

/// Why the agent stops running.
enum End {
    Cut,
    Reboot,
    Done,
}

#[derive(Clone, Copy)]
struct Content {
    sha256: Sha256,
    bytes: u64,
}

struct World<'a> {
    signed: &'a Signed,
    plan: Plan,
    cuts: [usize; 2],
    moments: usize,
    looks: usize,
    seconds: i64,
    slots: [Content; 2],
    boot: BootState,
    disk: Vec<Vec<u8>>,
    floor: u64,
    receipts: BTreeMap<u64, Report>,
    flaked: bool,
    trials_booted: usize,
    /// Health checks that were made.
    checked: usize,
    /// Seconds that the agent ran in a trial.
    tried_s: i64,
}

impl<'a> World<'a> {
    fn new((signed, start): (&'a Signed, &Record), plan: Plan, cuts: [usize; 2]) -> Self {
        let empty = Content { sha256: FORGED, bytes: 0 };
        let full = |sha256| Content { sha256, bytes: LENGTH };
        let (slots, active) = match plan.action {
            Action::Install => ([full(OLD), empty], Slot::A),
            Action::Back => ([full(OLD), full(NEW)], Slot::B),
        };
        Self {
            signed,
            plan,
            cuts,
            moments: 0,
            looks: 0,
            seconds: 0,
            slots,
            boot: BootState::factory(active),
            disk: Vec::from([wire::write(start)]),
            floor: start.floor(),
            receipts: BTreeMap::new(),
            flaked: false,
            trials_booted: 0,
            checked: 0,
            tried_s: 0,
        }
    }

    fn run(mut self) -> Self {
        let mut power_on = true;
        for _ in 0..40 {
            // The power may go again before what the loader has started comes up.
            while power_on && self.boot_up() {}
            power_on = match self.life() {
                End::Reboot => true,
                End::Cut => self.plan.interruption != Interruption::Kill,
                End::Done => return self,
            };
        }
        panic!("never comes to an end: {:?} {:?}", self.plan, self.cuts);
    }

    /// The loader chooses, counts and starts; says whether the power goes once it has counted.
    fn boot_up(&mut self) -> bool {
        let (slot, state) = choose(&self.boot);
        self.boot = state;
        let content = self.slot(slot);
        let verified = content.bytes == LENGTH && (content.sha256 == OLD || content.sha256 == NEW);
        assert!(verified, "an unverified slot is booted: {:?} {:?}", self.plan, self.cuts);
        self.trials_booted += usize::from(slot != self.boot.active);
        self.plan.interruption != Interruption::Kill && self.interrupted()
    }

    /// One run of the agent.
    fn life(&mut self) -> End {
        if self.plan.health == Health::Crash && self.boot.booted != self.boot.active {
            return End::Reboot;
        }
        let newest = self.disk.last().expect("a record");
        let mut record: Record = wire::read(newest, 65_536).expect("a stored record parses");
        let mut events = VecDeque::from([Event::Started(self.boot)]);
        let mut turns = 0;
        loop {
            turns += 1;
            assert!(
                turns < 300,
                "the agent never settles: {:?} {:?} {:?}",
                self.plan,
                self.cuts,
                record.state
            );
            let event = match events.pop_front() {
                Some(event) => event,
                None => match self.next_event(&record, &mut events) {
                    Some(event) => event,
                    None => return End::Done,
                },
            };
            let next = step(record, event, self.now());
            record = next.record;
            if self.interrupted() {
                return End::Cut;
            }
            if let Some(bytes) = next.persist {
                self.store(bytes);
                self.check(&record);
                if self.interrupted() {
                    return End::Cut;
                }
            }
            for effect in next.effects {
                if let Some(end) = self.act(effect, &record, &mut events) {
                    return end;
                }
                self.check(&record);
            }
        }
    }

    /// Two copies, as on the device: one may be lost, never both.
    fn store(&mut self, bytes: Vec<u8>) {
        if self.disk.len() == 2 {
            self.disk.remove(0);
        }
        self.disk.push(bytes);
    }

    fn now(&self) -> Clock {
        clock(self.seconds)
    }

    /// A moment passes; says whether the agent is interrupted in it.
    fn interrupted(&mut self) -> bool {
        self.moments += 1;
        let cut = self.cuts.contains(&self.moments);
        if cut && self.plan.interruption == Interruption::StaleRecord && self.disk.len() > 1 {
            self.disk.pop();
        }
        cut
    }

    /// What the world does when the agent has nothing to do; nothing once the order is dealt with.
    fn next_event(&mut self, record: &Record, events: &mut VecDeque<Event>) -> Option<Event> {
        self.seconds += LOOK_S;
        if matches!(record.state, State::Trial(_)) {
            self.tried_s += LOOK_S;
        }
        let look = self.look(record);
        let refused = look.verdict.as_ref().is_some_and(|verdict| verdict.outcome.is_err());
        if record.state == State::Idle && refused {
            return None;
        }
        if matches!(record.state, State::Trial(_)) && self.plan.is_well() {
            events.push_back(Event::CheckedIn);
        }
        if self.looks == self.plan.swap_look
            && let State::Waiting(job) = &record.state
        {
            *self.slot_mut(job.slot) = Content { sha256: FORGED, bytes: LENGTH };
        }
        Some(Event::Look(Box::new(look)))
    }

    fn look(&mut self, record: &Record) -> Look {
        self.looks += 1;
        let mut look = self.signed.clear_look(record, self.plan.action, self.now());
        if self.looks == self.plan.busy_look {
            look.interlock = InterlockState::InUse;
        }
        look.network_down = self.plan.health == Health::Dark;
        look
    }

    fn act(&mut self, effect: Effect, record: &Record, events: &mut VecDeque<Event>) -> Option<End> {
        let change = match effect {
            Effect::Arm { slot, attempts } => {
                assert_eq!(attempts, limits::TRIAL_BOOTS);
                Change::Arm { slot, attempts: self.plan.boots }
            }
            Effect::Disarm => Change::Disarm,
            Effect::Confirm { slot } => Change::Confirm { slot },
            Effect::RollBack { to } => Change::RollBack { to },
            other => return self.act_beside(other, record, events),
        };
        if let Change::Arm { slot, .. } = change {
            let content = self.slot(slot);
            let whole = content.bytes == LENGTH && content.sha256 == self.wanted();
            assert!(whole, "arms an unverified slot: {:?} {:?}", self.plan, self.cuts);
        }
        if self.flagged(change) {
            return Some(End::Cut);
        }
        let look = self.look(record);
        events.push_back(match change {
            Change::Arm { .. } => Event::Armed(Box::new(look)),
            Change::Disarm => Event::Disarmed,
            Change::Confirm { .. } => Event::Committed,
            Change::RollBack { .. } => Event::Reverted(Box::new(look)),
        });
        self.interrupted().then_some(End::Cut)
    }

    /// All effects but those on the boot control.
    fn act_beside(&mut self, effect: Effect, record: &Record, events: &mut VecDeque<Event>) -> Option<End> {
        match effect {
            Effect::WriteSlot { slot, offset, .. } => {
                assert!(
                    slot != self.boot.booted && slot != self.boot.active,
                    "writes a slot that runs or may run: {:?} {:?} {:?}",
                    self.plan,
                    self.cuts,
                    self.boot
                );
                self.slot_mut(slot).bytes = offset;
            }
            Effect::Fetch { sha256, length } => return self.fetch((sha256, length), record, events),
            Effect::HashSlot { slot, length } => {
                let content = self.slot(slot);
                let hash = if content.bytes >= length { content.sha256 } else { FORGED };
                let look = self.look(record);
                events.extend([Event::Hashed(hash), Event::Look(Box::new(look))]);
            }
            Effect::Reboot => {
                // Time has passed since the step asked for it.
                let look = self.look(record);
                if gate::may_reboot(record, &look, self.now()) {
                    let in_use = self.looks == self.plan.busy_look;
                    assert!(!in_use, "reboots in use: {:?} {:?}", self.plan, self.cuts);
                    return Some(End::Reboot);
                }
                events.push_back(Event::Look(Box::new(look)));
            }
            Effect::CheckHealth => {
                self.checked += 1;
                match self.plan.health {
                    Health::Slow if self.checked <= 2 => events.push_back(Event::Unwell),
                    Health::Well | Health::Mute | Health::Dark | Health::Slow => {
                        events.push_back(Event::Healthy);
                    }
                    Health::Sick => events.push_back(Event::Sick),
                    Health::Crash => {}
                }
            }
            Effect::EmitReceipt(report) => {
                let serial = report.serial;
                let kept = self.receipts.entry(serial).or_insert_with(|| (*report).clone());
                assert_eq!(
                    (kept.outcome, &kept.order),
                    (report.outcome, &report.order),
                    "one number, two stories"
                );
                events.push_back(Event::ReceiptKept { serial });
            }
            Effect::Arm { .. }
            | Effect::Disarm
            | Effect::Confirm { .. }
            | Effect::RollBack { .. }
            | Effect::Forget => {}
        }
        self.interrupted().then_some(End::Cut)
    }

    /// Changes the boot control; says whether the agent is interrupted between two steps of that.
    fn flagged(&mut self, change: Change) -> bool {
        let after = self.boot.changed(change).expect("a change that makes sense");
        if self.plan.flag == Flag::Steps {
            self.boot = match change {
                // The trial counts from its last step on.
                Change::Arm { .. } | Change::Disarm => self.boot.disarmed(),
                // The trial's mark goes last; a trial of the active slot is none.
                Change::Confirm { .. } => after,
                Change::RollBack { to } => BootState { active: to, ..self.boot },
            };
            if self.interrupted() {
                return true;
            }
        }
        self.boot = after;
        false
    }

    /// Three pieces, each synced, with a moment after each.
    fn fetch(
        &mut self,
        (sha256, length): (Sha256, u64),
        record: &Record,
        events: &mut VecDeque<Event>,
    ) -> Option<End> {
        let slot = record.job().expect("an act is under way").slot;
        let served = if self.plan.mirror == Mirror::Forged { FORGED } else { sha256 };
        let mut held = self.slot(slot).bytes;
        while held < length {
            held = (held + length / 3).min(length);
            *self.slot_mut(slot) = Content { sha256: served, bytes: held };
            events.push_back(Event::Synced { offset: held });
            if self.interrupted() {
                return Some(End::Cut);
            }
            if self.plan.mirror == Mirror::Flaky && !self.flaked {
                self.flaked = true;
                events.push_back(Event::Stopped(FetchFault::Unreachable));
                return None;
            }
        }
        events.push_back(Event::Complete);
        None
    }

    fn wanted(&self) -> Sha256 {
        match self.plan.action {
            Action::Install => NEW,
            Action::Back => OLD,
        }
    }

    fn slot(&self, slot: Slot) -> Content {
        match slot {
            Slot::A => self.slots[0],
            Slot::B => self.slots[1],
        }
    }

    fn slot_mut(&mut self, slot: Slot) -> &mut Content {
        match slot {
            Slot::A => &mut self.slots[0],
            Slot::B => &mut self.slots[1],
        }
    }

    /// What must hold at every moment.
    fn check(&mut self, record: &Record) {
        let active = self.slot(self.boot.active);
        let counter = if active.sha256 == NEW { 42 } else { 41 };
        let good = active.bytes == LENGTH && active.sha256 != FORGED;
        assert!(good, "no good slot is left: {:?} {:?}", self.plan, self.cuts);
        assert!(
            record.floor() <= counter,
            "the floor rose before the commit: {:?} {:?}",
            self.plan,
            self.cuts
        );
        if self.plan.interruption != Interruption::StaleRecord {
            assert!(record.floor() >= self.floor, "the floor fell: {:?} {:?}", self.plan, self.cuts);
            let held = record.previous.as_ref().map(|previous| (self.slot(previous.slot), previous.sha256));
            let true_word = held.is_none_or(|(held, sha256)| held.bytes == LENGTH && held.sha256 == sha256);
            assert!(true_word, "the record claims an image that is gone: {:?} {:?}", self.plan, self.cuts);
        }
        self.floor = self.floor.max(record.floor());
    }

    /// What must hold in the end.
    fn check_end(&self) {
        let said = alloc::format!("{:?} {:?} {:?}", self.plan, self.cuts, self.receipts);
        let outcomes: Vec<Outcome> = self.receipts.values().map(|report| report.outcome).collect();
        let (outcome, image) = match (self.plan.mirror, self.plan.action) {
            (Mirror::Forged, Action::Install) => (Outcome::Refused, OLD),
            (_, Action::Install) if self.plan.is_well() => (Outcome::Confirmed, NEW),
            (_, Action::Back) if self.plan.is_well() => (Outcome::WentBack, OLD),
            (_, Action::Install) => (Outcome::RolledBack, OLD),
            (_, Action::Back) => (Outcome::RolledBack, NEW),
        };
        // Where the loader gives one boot, the second strike in a trial is the end of it.
        let gave_up = self.plan.boots == 1 && outcomes == [Outcome::RolledBack];
        let (outcome, image) = match self.plan.action {
            Action::Install if gave_up => (Outcome::RolledBack, OLD),
            Action::Back if gave_up => (Outcome::RolledBack, NEW),
            Action::Install | Action::Back => (outcome, image),
        };
        assert_eq!(outcomes, [outcome], "one receipt: {said}");
        let times = if self.plan.health == Health::Dark { 2 } else { 1 };
        // A record that is lost takes what it had charged with it.
        let lost_s = match self.plan.interruption {
            Interruption::StaleRecord => 2 * (2 * i64::from(limits::TRIAL_STEP_S) + LOOK_S),
            Interruption::Power | Interruption::Kill => 0,
        };
        assert!(self.tried_s <= times * TRIAL_S + LOOK_S + lost_s, "{} s on trial: {said}", self.tried_s);
        assert_eq!(self.slot(self.boot.active).sha256, image, "{said}");
        assert!(self.boot.trial.is_none() && self.boot.booted == self.boot.active, "{said}");
        let record: Record = wire::read(self.disk.last().expect("a record"), 65_536).expect("parses");
        assert_eq!((record.installed.sha256, record.installed.slot), (image, self.boot.active), "{said}");
        assert_eq!(record.floor(), self.floor, "the floor is back where it was: {said}");
        assert!(self.plan.mirror != Mirror::Forged || self.trials_booted == 0, "{said}");
    }
}

/// A world in which nothing is amiss.
const FAIR: Plan = Plan {
    action: Action::Install,
    mirror: Mirror::Honest,
    health: Health::Well,
    busy_look: 0,
    swap_look: 0,
    flag: Flag::Whole,
    boots: limits::TRIAL_BOOTS,
    interruption: Interruption::Power,
};

/// The same device after it has confirmed order 0187's image in slot B.
fn new_record(signed: &Signed) -> Record {
    let world = World::new((signed, &old_record()), FAIR, [0, 0]).run();
    wire::read(world.disk.last().expect("a record"), 65_536).expect("parses")
}

fn plans(interruption: Interruption) -> Vec<Plan> {
    let fair = Plan { interruption, ..FAIR };
    let mut plans = Vec::new();
    for flag in [Flag::Whole, Flag::Steps] {
        for health in [Health::Well, Health::Sick, Health::Mute, Health::Crash] {
            for action in [Action::Install, Action::Back] {
                plans.push(Plan { action, health, flag, ..fair });
                // A record that is lost behind its receipt takes the memory of the act with it.
                let remembers = interruption != Interruption::StaleRecord;
                if remembers && matches!(health, Health::Well | Health::Sick) {
                    plans.push(Plan { action, health, flag, boots: 1, ..fair });
                }
            }
        }
    }
    plans.extend([Health::Slow, Health::Dark].map(|health| Plan { health, ..fair }));
    plans.extend([Mirror::Forged, Mirror::Flaky].map(|mirror| Plan { mirror, ..fair }));
    plans.extend((1..=6).map(|busy_look| Plan { busy_look, ..fair }));
    plans.extend((4..=9).map(|busy_look| Plan { busy_look, health: Health::Sick, ..fair }));
    // In use once, so that the image waits, and written by somebody before the look that finds the way free, or before
    // any other.
    plans.extend((2..=6).map(|swap_look| Plan { busy_look: 2, swap_look, ..fair }));
    plans
}

/// How far apart the second interruptions are tried: every one of power cuts, and of the other kinds in the long run
/// (`PROPTEST_CASES` above its default); every fifth of those elsewhere.
fn stride(interruption: Interruption) -> usize {
    let long = ProptestConfig::default().cases > 256;
    if long || interruption == Interruption::Power { 1 } else { 5 }
}

/// Pairs of interruptions of this kind in every world; their number.
fn search(interruption: Interruption) -> usize {
    let stride = stride(interruption);
    // Only a release that leaves the floor below the old counter leaves its way back open.
    let (closing, open) = (Signed::to(ORDERED, 42), Signed::to(ORDERED, 41));
    let (old, new) = (old_record(), new_record(&open));
    let mut worlds = 0;
    for plan in plans(interruption) {
        let start = match plan.action {
            Action::Install => (&closing, &old),
            Action::Back => (&open, &new),
        };
        let undisturbed = World::new(start, plan, [0, 0]).run();
        undisturbed.check_end();
        let moments = undisturbed.moments;
        for first in 1..=moments {
            World::new(start, plan, [first, first]).run().check_end();
            // The second interruption may also fall into what the first one caused.
            for second in (first + 1 + first % stride..=moments + 8).step_by(stride) {
                World::new(start, plan, [first, second]).run().check_end();
                worlds += 1;
            }
        }
    }
    worlds
}

#[test]
fn no_pair_of_interruptions_in_any_world_breaks_an_invariant() {
    // Goal and method: see the head of this file. Here all pairs of power cuts.
    let worlds = search(Interruption::Power);
    assert!(worlds > 20_000, "the search is as wide as it says: {worlds}");
}

#[test]
fn no_pair_of_kills_in_any_world_breaks_an_invariant() {
    // Goal and method: as for power cuts; the device runs on and the agent starts again.
    let worlds = search(Interruption::Kill);
    assert!(worlds > 4_000, "the search is as wide as it says: {worlds}");
}

#[test]
fn no_pair_of_power_cuts_that_cost_the_newest_record_breaks_an_invariant() {
    // Goal and method: as for power cuts, each with the newest record unreadable afterwards.
    let worlds = search(Interruption::StaleRecord);
    assert!(worlds > 4_000, "the search is as wide as it says: {worlds}");
}
