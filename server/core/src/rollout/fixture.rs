//! A small hospital for tests: pumps with their last words, one book, and the steps of the engine over it.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::{
    Action, Blocked, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::{DeviceId, Hardware, Name, Sha256, Text, TokenId};
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;

use super::*;
use crate::device::{Device, DeviceKind, Identity, Placement, Report, State as Trust, Wanted};

pub(super) const NOW: Timestamp = Timestamp(1_795_251_906);
/// The ordered image, and the one of the way back.
pub(super) const ORDERED: Sha256 = Sha256([1; 32]);
pub(super) const EARLIER: Sha256 = Sha256([0; 32]);

pub(super) fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

pub(super) fn text(value: &str) -> Text {
    Text::lossy(value)
}

pub(super) fn id(number: u8) -> DeviceId {
    DeviceId::from_random([number; 16])
}

/// An order for facts, with a way back of a month.
pub(super) fn order(id: &str) -> Order {
    let release = |path: &str, sha256| Image { release: path.parse().expect("a path"), length: 9, sha256 };
    let (model, hardware) = (text("VP-3"), text("C"));
    Order {
        id: name(id),
        repository: name("halden"),
        image: release("vp-3/4.2.2", ORDERED),
        scope: Scope::Match { model, hardware, from_least: 1, from_most: 9 },
        issued: NOW,
        not_before: NOW,
        expires: NOW.plus_seconds(14 * 86_400),
        windows: vec![],
        back: Some(Back { image: release("vp-3/4.1.0", EARLIER), until: NOW.plus_seconds(30 * 86_400) }),
        permit_s: Some(900),
        reason: text("fixes the motor"),
    }
}

pub(super) fn wave(order: &str, devices: impl IntoIterator<Item = u8>, started: Option<Timestamp>) -> Wave {
    let mut devices: Vec<DeviceId> = devices.into_iter().map(id).collect();
    devices.sort();
    Wave {
        name: order.to_string(),
        order: name(order),
        devices,
        started,
        settled: None,
        joins: false,
        signed: None,
    }
}

/// Two waves of `first` and `second` devices; wave 1 has begun.
pub(super) fn rollout(first: u8, second: u8) -> Rollout {
    Rollout {
        v: 1,
        id: name("r-1"),
        title: "VP-3 4.2.2".to_string(),
        repository: name("halden"),
        release: "vp-3/4.2.2".parse().expect("a path"),
        back: None,
        waves: vec![wave("w1", 0..first, Some(NOW)), wave("w2", first..first + second, None)],
        policy: Policy { in_flight: 3, silent_after_s: 600, soak_s: 60, ..Policy::default() },
        state: State::Running,
        created: NOW,
        by: "M. Okafor".to_string(),
        priority: 500,
        pace: Pace::default(),
        acceptance: Acceptance::None,
        work_order: None,
        way_back: None,
        kind: RolloutKind::Firmware,
        content_version: None,
    }
}

pub(super) fn orders() -> BTreeMap<Name, Order> {
    ["w1", "w2"].map(|id| (name(id), order(id))).into()
}

pub(super) fn plan_at(rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> Vec<Act> {
    plan(rollout, &Sight { fleet, orders: &orders(), room: IN_FLIGHT_TOTAL, now })
}

pub(super) fn check_at(
    rollout: &Rollout,
    fleet: &Fleet,
    acts: &[Act],
    now: Timestamp,
) -> Result<(), Violation> {
    check(rollout, &Sight { fleet, orders: &orders(), room: IN_FLIGHT_TOTAL, now }, acts)
}

/// A pump that has said nothing yet.
pub(super) fn pump(number: u8) -> Device {
    let hardware = Hardware {
        manufacturer: text("Halden"),
        model: text("VP-3"),
        revision: text("C"),
        serial: text(&alloc::format!("VP3-{number}")),
    };
    let placement = Placement {
        site: text("St. Brigid"),
        ward: text("4B"),
        kind: DeviceKind::InfusionPump,
        impact: DeviceKind::InfusionPump.usual_impact(),
        reach: crate::risk::facts::Reach::default(),
        tags: vec![],
    };
    let identity = Identity {
        leaf: Sha256([number; 32]),
        key: Sha256([number; 32]),
        token: Some(TokenId([0; 32])),
        renews: false,
        issued: NOW,
        not_after: NOW.plus_seconds(86_400),
    };
    Device {
        stated: true,
        reason: text("enrolled"),
        identity: Some(identity),
        report: Some(report(UpdateState::Idle, None, &[])),
        listens: Some(Timestamp(i64::MAX)),
        ..Device::bare(id(number), hardware, placement, Trust::Active, NOW)
    }
}

/// What a pump says: where its update stands, under which order, and the codes of what is in its way.
pub(super) fn report(state: UpdateState, order: Option<&str>, codes: &[&str]) -> Report {
    let blocked = |code: &&str| Blocked { code: text(code), sentence: text(&alloc::format!("Says {code}.")) };
    Report {
        boot: 1,
        agent_version: text("0.1.0"),
        software: Software { release: None, counter: 1, sha256: EARLIER, floor: 0, slot: text("A") },
        update: UpdateReport {
            state,
            order: order.map(name),
            blocked_by: codes.iter().map(blocked).collect(),
            fetched_bytes: 0,
        },
        interlock: InterlockState::Standby,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: text("file"),
        spool_lost: 0,
        content_version: 0,
        director_root_version: 1,
        ca_version: 0,
        content_fault: None,
        wants: None,
        voice: None,
    }
}

pub(super) fn receipt(device: &Device, order: &str, outcome: Outcome) -> ReceiptBody {
    let action = if outcome == Outcome::WentBack { Action::Back } else { Action::Install };
    ReceiptBody {
        device: device.id,
        hardware: device.hardware.identity(),
        order: name(order),
        action,
        outcome,
        release: None,
        counter: 2,
        sha256: if outcome == Outcome::Confirmed { ORDERED } else { EARLIER },
        previous_sha256: EARLIER,
        slot: text("B"),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: NOW,
        reason: None,
    }
}

/// One rollout over pumps that speak, stepped by hand.
pub(super) struct Ward {
    pub(super) book: Book,
    pub(super) pumps: BTreeMap<u8, Device>,
    /// The rollout that is stepped.
    pub(super) of: Name,
    /// Devices that may hold a go at once, over all rollouts of a kind.
    pub(super) places: u32,
}

impl Ward {
    pub(super) fn new(rollout: Rollout) -> Self {
        let of = rollout.id.clone();
        let count = rollout.waves.iter().map(|wave| wave.devices.len()).sum::<usize>();
        let count = u8::try_from(count).expect("a small ward");
        let book = Book { orders: orders(), rollouts: [(of.clone(), rollout)].into(), ..Book::default() };
        let pumps = (0..count).map(|number| (number, pump(number))).collect();
        Self { book, pumps, of, places: IN_FLIGHT_TOTAL }
    }

    pub(super) fn rollout(&mut self) -> &mut Rollout {
        self.book.rollouts.get_mut(&self.of).expect("there")
    }

    pub(super) fn fleet(&self, now: Timestamp) -> Fleet {
        let rollout = &self.book.rollouts[&self.of];
        self.pumps.values().map(|pump| (pump.id, self.book.facts(rollout, pump, now))).collect()
    }

    /// A pump speaks; one that waits or is armed asks for the go.
    pub(super) fn say(&mut self, number: u8, now: Timestamp, said: Report, act: Action) {
        let pump = self.pumps.get_mut(&number).expect("a pump");
        let asks = matches!(said.update.state, UpdateState::Waiting | UpdateState::Armed);
        let order = said.update.order.clone().filter(|_| asks);
        let wants = order.map(|order| Wanted { order, action: act });
        pump.report = Some(Report { wants, ..said });
        pump.last_seen = Some(now);
        self.answer(number, now);
    }

    /// What it is told in the answer to its check-in is written down.
    fn answer(&mut self, number: u8, now: Timestamp) {
        let told = self.tell(number, now);
        let (Some(of), Some(permit)) = (told.of.filter(|_| told.is_news), told.permit) else { return };
        let known = self.book.progress.entry(of).or_default().entry(id(number)).or_default();
        *known = known.told(permit.action, now).expect("news");
    }

    /// A pump that has checked in is offered its content in the answer; that is written down first.
    pub(super) fn answer_content(&mut self, number: u8, now: Timestamp) {
        let told = self.book.tell_content(&self.pumps[&number], now);
        let Some(told) = told.filter(|told| told.is_news) else { return };
        let late = matches!(self.book.rollouts[&told.of].state, State::Finished { .. });
        let known = self.book.progress.entry(told.of).or_default().entry(id(number)).or_default();
        *known = known.offered(late, now).expect("news");
    }

    /// Whether an act of a rollout that stands still, or stood still before, only frees places.
    pub(super) fn only_frees(before: &State, act: &Act) -> bool {
        match before {
            State::Halted { .. } | State::Stopped { .. } => {
                matches!(act, Act::TakeBack { .. } | Act::Silent { .. })
            }
            State::Paused { .. } => matches!(act, Act::TakeBack { .. }),
            _ => false,
        }
    }

    /// Places that the other rollouts of the same kind leave.
    pub(super) fn room(&self) -> u32 {
        let kind = self.book.rollouts[&self.of].kind;
        let others = self.book.rollouts.values().filter(|other| other.id != self.of && other.kind == kind);
        let open = others.filter(|other| other.is_open());
        let taken: usize = open.map(|other| self.gos_of(&other.id)).sum();
        self.places.saturating_sub(u32::try_from(taken).expect("a small ward"))
    }

    /// Looks at the stepped rollout with all that a plan is made over.
    pub(super) fn sighted<T>(&self, now: Timestamp, look: impl FnOnce(&Rollout, &Sight<'_>) -> T) -> T {
        let rollout = &self.book.rollouts[&self.of];
        let (fleet, orders) = (self.fleet(now), self.book.orders_of(rollout));
        look(rollout, &Sight { fleet: &fleet, orders: &orders, room: self.room(), now })
    }

    /// The server decides about its go before it answers.
    pub(super) fn is_given_at_check_in(&mut self, number: u8, now: Timestamp) -> bool {
        let rollout = &self.book.rollouts[&self.of];
        let pump = &self.pumps[&number];
        let alone: Fleet = [(pump.id, self.book.facts(rollout, pump, now))].into();
        let orders = self.book.orders_of(rollout);
        let sight = Sight { fleet: &alone, orders: &orders, room: self.room(), now };
        if may_be_given(rollout, &sight, pump.id).is_none() {
            return false;
        }
        let fleet = self.fleet(now);
        let sight = Sight { fleet: &fleet, ..sight };
        let act = go_at_check_in(rollout, &sight, id(number)).expect("passes its check");
        let Some(act) = act else { return false };
        let known = self.book.progress.entry(self.of.clone()).or_default().entry(id(number)).or_default();
        *known = apply_progress(known, &act, now).expect("an act on a device");
        self.answer(number, now);
        true
    }

    pub(super) fn waits(&mut self, number: u8, order: &str, codes: &[&str], now: Timestamp) {
        self.say(number, now, report(UpdateState::Waiting, Some(order), codes), Action::Install);
    }

    pub(super) fn count(&mut self, receipt: &ReceiptBody, now: Timestamp) -> Result<(), NotCounted> {
        let rollout = &self.book.rollouts[&self.of];
        let (_, wave) = rollout.wave_of(receipt.device).expect("a member");
        let known = self.book.progress.entry(self.of.clone()).or_default().entry(receipt.device).or_default();
        let listed = || Signed::from(&self.book.orders[&wave.order]);
        let (order, signed) = (&wave.order, &wave.signed.clone().unwrap_or_else(listed));
        let row = Row { order, signed, begun: wave.started.expect("begun"), progress: known };
        *known = count(receipt, &row, now)?;
        Ok(())
    }

    /// What devices say of a content is written down; then plan, check, apply.
    pub(super) fn step(&mut self, now: Timestamp) -> Vec<Act> {
        let mut rollout = self.book.rollouts[&self.of].clone();
        for pump in self.pumps.values() {
            if let Some(progress) = self.book.content_progress(&rollout, pump, now) {
                self.book.progress.entry(self.of.clone()).or_default().insert(pump.id, progress);
            }
        }
        let acts = self.sighted(now, |rollout, sight| {
            let acts = plan(rollout, sight);
            assert_eq!(check(rollout, sight, &acts), Ok(()), "{acts:?}");
            acts
        });
        let progress = self.book.progress.entry(self.of.clone()).or_default();
        for act in &acts {
            apply(&mut rollout, act, now);
            if let Act::Permit { device, .. }
            | Act::Back { device, .. }
            | Act::TakeBack { device, .. }
            | Act::Silent { device, .. } = act
            {
                let known = progress.entry(*device).or_default();
                *known = apply_progress(known, act, now).expect("an act on a device");
            }
        }
        self.book.rollouts.insert(self.of.clone(), rollout);
        acts
    }

    pub(super) fn tell(&self, number: u8, now: Timestamp) -> Told {
        self.book.tell(&self.pumps[&number], now)
    }

    /// Gos of the stepped rollout that are in force by what is stored.
    pub(super) fn gos(&self) -> usize {
        self.gos_of(&self.of)
    }

    /// The same of any rollout.
    pub(super) fn gos_of(&self, rollout: &Name) -> usize {
        let stored = self.book.progress.get(rollout).into_iter().flat_map(BTreeMap::values);
        let forward = |known: &Progress| known.go().is_some() && known.outcome.is_none();
        let back = |known: &Progress| {
            known.back.as_ref().is_some_and(|back| back.go().is_some() && back.outcome.is_none())
        };
        stored.filter(|known| forward(known) || back(known)).count()
    }

    pub(super) fn by(&mut self, state: &str, now: Timestamp) {
        let (at, by, reason) = (now, "m.okafor".to_string(), "a person said so".to_string());
        let rollout = self.rollout();
        rollout.state = match state {
            "stop" => State::Stopped { at, by, reason },
            "pause" => State::Paused { at, by, reason },
            "abort" => State::Aborted { at, by, reason },
            "back" => {
                rollout.way_back = Some(WayBack { at, by, reason, in_flight: 100 });
                State::Returning
            }
            "resume" => State::Running,
            other => panic!("no act of a person: {other}"),
        };
    }
}

/// Words of acts, for golden texts; pumps that follow one another are one line.
pub(super) fn words(acts: &[Act]) -> String {
    let mut lines: Vec<(String, Option<(u8, u8)>)> = Vec::new();
    for act in acts {
        let (what, pump) = word(act);
        let last = lines.last_mut().filter(|(before, _)| *before == what);
        match (last.and_then(|(_, range)| range.as_mut()), pump) {
            (Some((_, until)), Some(pump)) if pump == *until + 1 => *until = pump,
            _ => lines.push((what, pump.map(|pump| (pump, pump)))),
        }
    }
    let told = |(what, pumps): &(String, Option<(u8, u8)>)| match pumps {
        None => alloc::format!("  {what}"),
        Some((first, last)) if first == last => alloc::format!("  {what} D{first}"),
        Some((first, last)) => alloc::format!("  {what} D{first}-D{last}"),
    };
    let lines: Vec<String> = lines.iter().map(told).collect();
    if lines.is_empty() { "  nothing".to_string() } else { lines.join("\n") }
}

fn word(act: &Act) -> (String, Option<u8>) {
    let pump = |device: &DeviceId| (0..=u8::MAX).find(|number| id(*number) == *device);
    match act {
        Act::Silent { device, action, .. } => (alloc::format!("silent ({action:?}):"), pump(device)),
        Act::TakeBack { device, action, .. } => (alloc::format!("go taken back ({action:?}):"), pump(device)),
        Act::Halt { wave, reason } => (alloc::format!("halt in wave {}: {reason}", wave + 1), None),
        Act::Stop { reason } => (alloc::format!("stop: {reason}"), None),
        Act::Begin { wave } => (alloc::format!("begin wave {}", wave + 1), None),
        Act::Join { wave, device } => (alloc::format!("wave {} takes in", wave + 1), pump(device)),
        Act::Permit { wave, device } => (alloc::format!("go in wave {}:", wave + 1), pump(device)),
        Act::Back { device, .. } => ("way back:".to_string(), pump(device)),
        Act::Settle { wave } => (alloc::format!("settle wave {}", wave + 1), None),
        Act::Finish => ("finish".to_string(), None),
        Act::FinishReturn => ("finish the return".to_string(), None),
    }
}
