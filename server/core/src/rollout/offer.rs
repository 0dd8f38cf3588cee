//! What one device is told at its check-in: its order with the proof, and the go if it has been given.
//!
//! An order is offered to the devices of a begun wave and to nobody else; its way back to those that confirmed it, once
//! a person has begun the return. The go is repeated for as long as the plan gave it and nothing has stopped since. A
//! halt, a stop, a hold, an obstacle or a withdrawn order is the absence of the go: silence stops. Read next:
//! [`super::plan`] for who is given the go.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, OrderOffer, Permit, ScopeProof, UpdateState};
use cordon_proto::ids::{DeviceId, HardwareId, Name, Sha256};
use cordon_proto::merkle::Tree;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::refusal::is_final_code;
use cordon_proto::update::scope::Scope;
use serde::{Deserialize, Serialize};

use super::facts::NO_PERMIT;
use super::{
    BackFacts, Contents, Covers, DeviceFacts, Failure, Fleet, Hold, Progress, Rollout, RolloutKind, Stage,
    State, Wave,
};
use crate::device::{Device, Report, State as Trust};

/// Seconds a go lives where the order does not say.
pub(super) const GO_S: u32 = 900;

/// The list of devices behind an order whose scope is a set, under `Key::Order`: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeList {
    /// Version of this document.
    pub v: u32,
    /// The hardware identities.
    pub members: Vec<HardwareId>,
}

/// Why a list is not the one that the order was signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "these {given} devices are not the {signed} that the order was signed for: pass the very list that was signed"
)]
pub struct OtherList {
    /// Devices given.
    pub given: u64,
    /// Devices signed for.
    pub signed: u64,
}

impl ScopeList {
    /// The list, if its tree has the signed root.
    pub fn of(members: Vec<HardwareId>, root: Sha256, signed: u64) -> Result<Self, OtherList> {
        let mut members = members;
        members.sort();
        members.dedup();
        let list = Self { v: 1, members };
        let tree = list.tree();
        let given = tree.size();
        if tree.root() == root.0 && given == signed { Ok(list) } else { Err(OtherList { given, signed }) }
    }

    /// The tree over the list: as much work as the list is long, so it is made once, when the list is taken in.
    #[must_use]
    pub fn proof(&self, device: HardwareId) -> Option<ScopeProof> {
        self.proof_in(&self.tree(), device)
    }

    fn tree(&self) -> Tree {
        self.members.iter().map(|member| member.0).collect()
    }

    fn proof_in(&self, tree: &Tree, device: HardwareId) -> Option<ScopeProof> {
        let index = u64::try_from(self.members.binary_search(&device).ok()?).ok()?;
        let path = tree.inclusion(index)?.path;
        Some(ScopeProof { index, hashes: path.into_iter().map(Sha256).collect() })
    }
}

/// Everything about orders and rollouts that answers need.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The owner's orders as they are listed now.
    pub orders: BTreeMap<Name, Order>,
    /// The lists behind orders whose scope is a set.
    pub lists: BTreeMap<Name, ScopeList>,
    /// The trees over them, so that a proof costs no more in a large list: see [`Book::put_list`].
    pub(super) trees: BTreeMap<Name, Arc<Tree>>,
    /// The rollouts.
    pub rollouts: BTreeMap<Name, Rollout>,
    /// How far devices are, by rollout.
    pub progress: BTreeMap<Name, BTreeMap<DeviceId, Progress>>,
    /// People's stops.
    pub holds: BTreeMap<Name, Hold>,
    /// The owner's contents as they are listed now.
    pub contents: Contents,
    /// Since when this server has been there to hear devices.
    pub there: Option<Timestamp>,
}

/// What one device is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The order that applies.
    pub order: Option<OrderOffer>,
    /// The go.
    pub permit: Option<Permit>,
    /// The rollout that this is of.
    pub of: Option<Name>,
    /// Whether the device is told of this go for the first time: that is written down before it is told.
    pub is_news: bool,
}

/// A device as it is now: its document, and what it has said since that was written.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The stored document.
    pub device: &'a Device,
    /// Its last report.
    pub report: Option<&'a Report>,
    /// When it was last heard.
    pub heard: Option<Timestamp>,
    /// Until when it listens.
    pub listens: Option<Timestamp>,
}

impl<'a> From<&'a Device> for Seen<'a> {
    fn from(device: &'a Device) -> Self {
        let (report, heard, listens) = (device.report.as_ref(), device.last_seen, device.listens);
        Self { device, report, heard, listens }
    }
}

impl Seen<'_> {
    /// A copy of it, where somebody needs one.
    fn to_device(self) -> Device {
        let (report, last_seen, listens) = (self.report.cloned(), self.heard, self.listens);
        Device { report, last_seen, listens, ..self.device.clone() }
    }
}

/// Why devices of a rollout have not ended or have failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The code of the rule, or `unreached`, `out-of-service`, `held`, `silent`, `not-accepted`.
    pub code: String,
    /// One of the devices' own sentences, if they gave one.
    pub sentence: Option<String>,
    /// How many devices.
    pub count: u32,
    /// In which waves, from 0.
    pub waves: Vec<usize>,
}

impl Book {
    /// Takes in the list behind an order.
    pub fn put_list(&mut self, order: Name, list: ScopeList) {
        self.trees.insert(order.clone(), Arc::new(list.tree()));
        self.lists.insert(order, list);
    }

    /// Forgets the list behind an order.
    pub fn remove_list(&mut self, order: &Name) {
        self.trees.remove(order);
        self.lists.remove(order);
    }

    pub(super) fn proof(&self, order: &Name, device: HardwareId) -> Option<ScopeProof> {
        let list = self.lists.get(order)?;
        match self.trees.get(order) {
            Some(tree) => list.proof_in(tree, device),
            None => list.proof(device),
        }
    }

    /// What a device is told now. Of several rollouts that have something for it, one that moves goes before one that
    /// stands, then the higher priority, then the newer one.
    #[must_use]
    pub fn tell(&self, device: &Device, now: Timestamp) -> Told {
        let offered = self.rollouts.values().filter_map(|rollout| {
            let (order, action) = self.offered(rollout, device, now)?;
            Some((rollout, order, action))
        });
        let first = offered.max_by_key(|(rollout, _, _)| {
            (rollout.moves(), rollout.priority, rollout.created, rollout.id.clone())
        });
        let Some((rollout, order, action)) = first else { return Told::default() };
        let proof = match order.scope {
            Scope::Match { .. } => None,
            Scope::Set { .. } => self.proof(&order.id, device.hardware.identity()),
        };
        let offer = OrderOffer { order: order.id.clone(), proof, action };
        let permit = self.go(rollout, (order, action), device, now);
        let progress = self.progress_of(&rollout.id, device.id).filter(|_| permit.is_some());
        let is_news = progress.is_some_and(|progress| progress.told(action, now).is_some());
        Told { order: Some(offer), permit, of: Some(rollout.id.clone()), is_news }
    }

    /// What a rollout has for a device: the install until it ends, the way back once it has confirmed.
    fn offered<'a>(
        &'a self,
        rollout: &'a Rollout,
        device: &Device,
        now: Timestamp,
    ) -> Option<(&'a Order, Action)> {
        if rollout.kind == RolloutKind::Content {
            return None;
        }
        let (_, wave) = rollout.wave_of(device.id)?;
        wave.started?;
        let order = self.order_of(rollout, wave)?;
        let progress = self.progress_of(&rollout.id, device.id);
        let outcome = progress.and_then(|progress| progress.outcome);
        if rollout.state == State::Returning {
            let open = order.back.as_ref().is_some_and(|back| now < back.until);
            let gone = progress.and_then(|progress| progress.back.as_ref()?.outcome).is_some();
            let gone = gone || self.has_moved_on(rollout, device.id);
            return (open && outcome == Some(Outcome::Confirmed) && !gone).then_some((order, Action::Back));
        }
        // A return that was stopped brings nobody what the others left.
        let installs = rollout.offers() && rollout.way_back.is_none();
        (installs && outcome.is_none() && now < order.expires).then_some((order, Action::Install))
    }

    fn go(
        &self,
        rollout: &Rollout,
        (order, action): (&Order, Action),
        device: &Device,
        now: Timestamp,
    ) -> Option<Permit> {
        let progress = self.progress_of(&rollout.id, device.id)?;
        let end = match action {
            Action::Install => {
                progress.go_at(now).filter(|_| rollout.keeps_gos())?;
                order.expires
            }
            Action::Back => {
                progress.back.as_ref()?.go_at(now)?;
                order.back.as_ref()?.until
            }
        };
        let facts = self.facts(rollout, device, now);
        if facts.held || !facts.trusted || facts.is_kept() {
            return None;
        }
        let until = now.plus_seconds(i64::from(order.permit_s.unwrap_or(GO_S)));
        Some(Permit { order: order.id.clone(), action, until: until.min(end) })
    }

    /// The order of a wave, if it is listed and is still the one that the rollout was created over: one that was signed
    /// anew under the same name for another release or other bytes is another order.
    #[must_use]
    pub fn order_of(&self, rollout: &Rollout, wave: &Wave) -> Option<&Order> {
        let order = self.listed(rollout.kind).get(&wave.order)?;
        let release = order.repository == rollout.repository && order.image.release == rollout.release;
        let bytes = wave.signed.as_ref().is_none_or(|signed| signed.sha256 == order.image.sha256);
        (release && bytes).then_some(order)
    }

    /// The orders of a rollout that are listed, for a plan.
    #[must_use]
    pub fn orders_of(&self, rollout: &Rollout) -> BTreeMap<Name, Order> {
        let orders = rollout.waves.iter().filter_map(|wave| self.order_of(rollout, wave));
        orders.map(|order| (order.id.clone(), order.clone())).collect()
    }

    pub(super) fn progress_of(&self, rollout: &Name, device: DeviceId) -> Option<&Progress> {
        self.progress.get(rollout)?.get(&device)
    }

    /// Whether a person holds this device.
    #[must_use]
    pub fn held(&self, device: &Device, now: Timestamp) -> bool {
        self.holds_over(device).any(|hold| hold.holds(now))
    }

    /// People's stops that cover this device, whether they hold now or not.
    pub fn holds_over<'a>(&'a self, device: &'a Device) -> impl Iterator<Item = &'a Hold> {
        let placement = &device.placement;
        self.holds.values().filter(move |hold| match &hold.covers {
            Covers::Ward(name) => *name == ward_name(placement.site.as_str(), placement.ward.as_str()),
            Covers::Site(name) => *name == placement.site.as_str(),
            Covers::Model(name) => *name == device.hardware.model.as_str(),
        })
    }

    /// The facts of one device for the plan of one rollout.
    #[must_use]
    pub fn facts(&self, rollout: &Rollout, device: &Device, now: Timestamp) -> DeviceFacts {
        self.facts_of(rollout, device.into(), now)
    }

    /// The same, of a device of which nobody made a copy.
    #[must_use]
    pub fn facts_of(&self, rollout: &Rollout, seen: Seen<'_>, now: Timestamp) -> DeviceFacts {
        if rollout.kind == RolloutKind::Content {
            return self.content_facts(rollout, &seen.to_device(), now);
        }
        let device = seen.device;
        let mut facts = self.remembered(rollout, device.id, now);
        facts.heard_out = self.there;
        facts.trusted = trusted(device);
        facts.held = self.held(device, now);
        let holds = self.holds_over(device).filter(|hold| hold.holds(now));
        facts.held_since = holds.map(|hold| hold.at).min();
        (facts.heard, facts.listens) = (seen.heard, seen.listens);
        match rollout.wave_of(device.id) {
            Some((_, wave)) => {
                let holds = |order: &&Order| match rollout.state {
                    State::Returning => order.back.as_ref().is_some_and(|back| now < back.until),
                    _ => now < order.expires,
                };
                let order = self.order_of(rollout, wave).filter(holds);
                if let Some(report) = seen.report {
                    said(&mut facts, report, &wave.order, order);
                    self.excuse(&mut facts, rollout, (device.id, report.software.sha256));
                }
            }
            None => facts.joins = self.fitting_wave(rollout, &seen.to_device(), now),
        }
        facts
    }

    /// Who says that the release is no newer than its own, and got its own from another rollout, refuses nothing: it is
    /// there already, or further.
    ///
    /// Nor does one that is to go back from an image that it no longer runs: somebody was there with another.
    fn excuse(&self, facts: &mut DeviceFacts, rollout: &Rollout, (device, runs): (DeviceId, Sha256)) {
        let other = facts.refused.as_ref().is_some_and(|code| code.as_str() == "not-confirmed-here");
        let ordered = |(_, wave): (usize, &Wave)| {
            let signed = wave.signed.as_ref().map(|signed| signed.sha256);
            signed.or_else(|| self.orders.get(&wave.order).map(|order| order.image.sha256))
        };
        let runs_other = rollout.wave_of(device).and_then(ordered).is_some_and(|ordered| ordered != runs);
        if other && runs_other && rollout.state == State::Returning {
            (facts.refused, facts.back.left) = (None, true);
        }
        let older = facts.refused.as_ref().is_some_and(|code| code.as_str() == "not-newer");
        let brought = |other: &Rollout| {
            let progress = self.progress_of(&other.id, device);
            let confirmed = progress.is_some_and(|known| known.outcome == Some(Outcome::Confirmed));
            let Some((_, wave)) = other.wave_of(device).filter(|_| confirmed) else { return false };
            let signed = wave.signed.as_ref().map(|signed| signed.sha256);
            let listed = || self.orders.get(&wave.order).map(|order| order.image.sha256);
            signed.or_else(listed) == Some(runs)
        };
        if older && self.rollouts.values().filter(|other| other.id != rollout.id).any(brought) {
            facts.refused = None;
            // Who fell silent here and speaks again from further on is not waited for, nor tried again.
            if !facts.fell_silent(Action::Install) {
                facts.silent = None;
            }
            facts.already = facts.permitted.is_none() && facts.silent.is_none();
        }
    }

    /// Whether a device that confirmed in this rollout has confirmed in another one since, and not gone back there: the
    /// way back of this one is none of its own any more.
    fn has_moved_on(&self, rollout: &Rollout, device: DeviceId) -> bool {
        let confirmed = |of: &Name| {
            let progress = self.progress_of(of, device)?;
            let back = progress.back.as_ref().and_then(|back| back.outcome);
            let stays = progress.outcome == Some(Outcome::Confirmed) && back != Some(Outcome::WentBack);
            progress.ended.filter(|_| stays)
        };
        let Some(here) = confirmed(&rollout.id) else { return false };
        let mut others = self.rollouts.values();
        others.any(|other| {
            let firmware = other.kind == RolloutKind::Firmware && other.id != rollout.id;
            firmware && confirmed(&other.id).is_some_and(|there| there > here)
        })
    }

    /// What is stored of a device, of whose own words nothing is known.
    #[must_use]
    pub fn remembered(&self, rollout: &Rollout, device: DeviceId, now: Timestamp) -> DeviceFacts {
        let Some(progress) = self.progress_of(&rollout.id, device) else { return DeviceFacts::default() };
        let back = progress.back.as_ref().map(|back| BackFacts {
            permitted: back.go_at(now),
            told: back.told,
            unclaimed: back.unclaimed(),
            silent: back.silent,
            tries: back.tries,
            outcome: back.outcome,
            left: false,
        });
        let mut back = back.unwrap_or_default();
        back.left = rollout.way_back.is_some() && self.has_moved_on(rollout, device);
        let facts = DeviceFacts {
            permitted: progress.go_at(now),
            told: progress.told,
            unclaimed: progress.unclaimed(),
            silent: progress.silent,
            tries: progress.tries,
            receipt: progress.outcome,
            accepted: progress.accepted.as_ref().map(|accepted| accepted.good),
            back,
            ..DeviceFacts::default()
        };
        facts.without_marks_after(now)
    }

    /// The first wave that takes in those who come to fit, and that this device fits. Who is on its way to the same
    /// release in another rollout stays there.
    fn fitting_wave(&self, rollout: &Rollout, device: &Device, now: Timestamp) -> Option<usize> {
        if self.elsewhere(rollout, device.id, now).is_some() {
            return None;
        }
        let mut waves = rollout.waves.iter().enumerate().filter(|(_, wave)| wave.joins);
        let fitting = |order: &Order| now < order.expires && fits(order, device);
        waves.find(|(_, wave)| self.order_of(rollout, wave).is_some_and(fitting)).map(|(index, _)| index)
    }

    /// Another open rollout that brings this device the same release under an order that still holds.
    #[must_use]
    pub fn elsewhere(&self, rollout: &Rollout, device: DeviceId, now: Timestamp) -> Option<&Rollout> {
        let holds = |other: &Rollout, wave: &Wave| {
            self.order_of(other, wave).is_some_and(|order| now < order.expires)
        };
        let mut others = self.rollouts.values().filter(|other| other.id != rollout.id && other.is_open());
        others.find(|other| {
            let same = other.repository == rollout.repository && other.release == rollout.release;
            same && other.wave_of(device).is_some_and(|(_, wave)| holds(other, wave))
        })
    }

    /// Why devices of begun waves have not ended or have failed, the most frequent reason first.
    #[must_use]
    pub fn reasons(&self, rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> Vec<Reason> {
        let mut found: BTreeMap<String, Reason> = BTreeMap::new();
        let absent = DeviceFacts::default();
        let begun = rollout.waves.iter().enumerate().filter(|(_, wave)| wave.started.is_some());
        for (index, device) in begun.flat_map(|(index, wave)| wave.devices.iter().map(move |id| (index, id)))
        {
            let facts = fleet.get(device).unwrap_or(&absent);
            let Some((code, sentence)) = self.reason_of(rollout, *device, facts, now) else { continue };
            let reason = found.entry(code.clone()).or_insert_with(|| Reason {
                code,
                sentence: None,
                count: 0,
                waves: Vec::new(),
            });
            reason.count += 1;
            reason.sentence = reason.sentence.take().or(sentence);
            if !reason.waves.contains(&index) {
                reason.waves.push(index);
            }
        }
        let mut reasons: Vec<Reason> = found.into_values().collect();
        reasons.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
        reasons
    }

    /// The devices of begun waves that have this code in [`Book::reasons`].
    #[must_use]
    pub fn devices_of(&self, rollout: &Rollout, fleet: &Fleet, code: &str, now: Timestamp) -> Vec<DeviceId> {
        let absent = DeviceFacts::default();
        let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
        let has = |device: &&DeviceId| {
            let facts = fleet.get(*device).unwrap_or(&absent);
            self.reason_of(rollout, **device, facts, now).is_some_and(|(found, _)| found == code)
        };
        begun.flat_map(|wave| &wave.devices).filter(has).copied().collect()
    }

    /// Why a device of a begun wave has not ended or has failed: the code, and a sentence if somebody said one.
    #[must_use]
    pub fn reason_of(
        &self,
        rollout: &Rollout,
        device: DeviceId,
        facts: &DeviceFacts,
        now: Timestamp,
    ) -> Option<(String, Option<String>)> {
        let progress = self.progress_of(&rollout.id, device);
        let told = || {
            let back = progress.and_then(|progress| progress.back.as_ref()?.reason.as_ref());
            back.or(progress.and_then(|progress| progress.reason.as_ref()))
        };
        let receipt = |usual: &str| match told() {
            Some(blocked) => (blocked.code.to_string(), Some(blocked.sentence.to_string())),
            None => (usual.to_string(), None),
        };
        let is_dismissed = facts.heard.is_some() && !facts.trusted;
        match facts.stage(&rollout.policy, now) {
            Stage::Confirmed if rollout.way_back.is_some() => stays(facts),
            Stage::Already | Stage::Confirmed | Stage::Returned | Stage::Installing => None,
            Stage::Unreached | Stage::Waiting if is_dismissed => Some(("out-of-service".to_string(), None)),
            Stage::Unreached => Some(("unreached".to_string(), None)),
            Stage::Waiting if facts.held => Some(("held".to_string(), None)),
            Stage::Waiting => {
                let code = other_rule(facts).unwrap_or_else(|| NO_PERMIT.to_string());
                Some((code, facts.blocked.clone()))
            }
            Stage::Failed(Failure::Silent) => Some(("silent".to_string(), None)),
            Stage::Failed(Failure::NotAccepted) => {
                let note = progress.and_then(|progress| Some(progress.accepted.as_ref()?.note.clone()));
                Some(("not-accepted".to_string(), note))
            }
            Stage::Failed(Failure::Refused) => match &facts.refused {
                Some(code) => Some((code.to_string(), facts.blocked.clone())),
                None => Some(receipt("refused")),
            },
            Stage::Failed(Failure::RolledBack) => Some(receipt("rolled-back")),
            Stage::Failed(Failure::NotReturned) => Some(receipt("not-returned")),
        }
    }
}

/// The first thing that a device names in its way beside the missing go.
fn other_rule(facts: &DeviceFacts) -> Option<String> {
    facts.rules.iter().find(|code| code.as_str() != NO_PERMIT).map(ToString::to_string)
}

/// Why a device that confirmed has not gone back, in a rollout that returns or returned, if anything keeps it.
fn stays(facts: &DeviceFacts) -> Option<(String, Option<String>)> {
    let said = |code: String| Some((code, facts.blocked.clone()));
    if facts.back.left {
        return None;
    }
    if let Some(code) = &facts.refused {
        return said(code.to_string());
    }
    if facts.fell_silent(Action::Back) {
        return Some(("silent".to_string(), None));
    }
    if facts.heard.is_some() && !facts.trusted {
        return Some(("out-of-service".to_string(), None));
    }
    if facts.held {
        return Some(("held".to_string(), None));
    }
    other_rule(facts).and_then(said)
}

/// Reads what the device last said, with regard to the order of its wave; `live` is that order, while it holds.
fn said(facts: &mut DeviceFacts, report: &Report, order: &Name, live: Option<&Order>) {
    facts.asks = report.wants.as_ref().map(|wants| (wants.order.clone(), wants.action));
    let rests = matches!(report.update.state, UpdateState::Idle | UpdateState::Refused);
    let runs = live.is_some_and(|live| report.software.sha256 == live.image.sha256);
    facts.already = rests && runs && facts.permitted.is_none() && facts.silent.is_none();
    facts.elsewhere = report.update.order.as_ref().is_some_and(|other| other != order);
    if report.update.order.as_ref() != Some(order) {
        return;
    }
    facts.state = Some(report.update.state);
    facts.installing = matches!(
        report.update.state,
        UpdateState::Fetching | UpdateState::Waiting | UpdateState::Armed | UpdateState::Trial
    );
    let blocked = &report.update.blocked_by;
    facts.rules = blocked.iter().map(|blocked| blocked.code.clone()).collect();
    let first = blocked.iter().find(|blocked| blocked.code.as_str() != NO_PERMIT).or(blocked.first());
    facts.blocked = first.map(|blocked| blocked.sentence.to_string());
    // Of an order that is withdrawn or has ended every device says no: that is the rollout's end, not theirs.
    let no = report.update.state == UpdateState::Refused && live.is_some() && !facts.already;
    let code = blocked.first().map(|blocked| &blocked.code).filter(|_| no);
    facts.refused = code.filter(|code| is_final_code(code.as_str())).cloned();
}

/// Whether a device fits the facts of an order that is for no list.
#[must_use]
pub fn fits(order: &Order, device: &Device) -> bool {
    let Scope::Match { model, hardware, from_least, from_most } = &order.scope else { return false };
    let counter = device.report.as_ref().map_or(0, |report| report.software.counter);
    // What only a list of assets names has no agent that could take an order.
    !device.is_listed_only()
        && device.hardware.model == *model
        && device.hardware.revision == *hardware
        && (*from_least..=*from_most).contains(&counter)
}

/// How a ward is named in a hold.
#[must_use]
pub fn ward_name(site: &str, ward: &str) -> String {
    alloc::format!("{site}/{ward}")
}

/// A device in quarantine may take updates (they are often the cure); the go is still given only by plan.
pub(super) fn trusted(device: &Device) -> bool {
    match device.state {
        Trust::Active | Trust::Quarantined => true,
        Trust::Listed | Trust::Expected | Trust::Pending | Trust::Retired | Trust::Lost => false,
    }
}
