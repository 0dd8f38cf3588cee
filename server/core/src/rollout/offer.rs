//! What one device is told at its check-in: its order with the proof, and the go if it has been given.
//!
//! An order is offered to the devices of a begun wave and to nobody else; the go is repeated for as long as the plan
//! gave it and nothing has stopped since. A halt, a stop, a hold or a withdrawn order is the absence of the go:
//! silence stops. Read next: `plan` for who is given the go.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, Blocked, OrderOffer, Permit, ScopeProof, UpdateState};
use cordon_proto::ids::{DeviceId, HardwareId, Name, Sha256};
use cordon_proto::merkle::Tree;
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use serde::{Deserialize, Serialize};

use super::{Covers, DeviceFacts, Hold, Rollout};
use crate::device::{Device, State as Trust};

/// Seconds a go lives where the order does not say.
pub(super) const GO_S: u32 = 900;

/// What is remembered of one device in one rollout, under `Key::Progress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of this document.
    pub v: u32,
    /// When it was given the go.
    pub permitted: Option<Timestamp>,
    /// How it ended, by its receipt.
    pub outcome: Option<Outcome>,
    /// When.
    pub ended: Option<Timestamp>,
    /// The receipt's own reason for a bad end.
    pub reason: Option<Blocked>,
}

impl Progress {
    /// After the go was given.
    #[must_use]
    pub fn permitted(&self, now: Timestamp) -> Self {
        Self { v: 1, permitted: Some(now), ..self.clone() }
    }

    /// After a receipt for the wave's order. The first end counts; the way back may follow a confirmation.
    #[must_use]
    pub fn ended(&self, receipt: &ReceiptBody, now: Timestamp) -> Self {
        let first = self.outcome.is_none() || receipt.outcome == Outcome::WentBack;
        if !first {
            return self.clone();
        }
        let (outcome, reason) = (Some(receipt.outcome), receipt.reason.clone());
        Self { v: 1, outcome, ended: Some(now), reason, permitted: self.permitted }
    }
}

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
        let tree: Tree = members.iter().map(|member| member.0).collect();
        let given = tree.size();
        if tree.root() == root.0 && given == signed {
            Ok(Self { v: 1, members })
        } else {
            Err(OtherList { given, signed })
        }
    }

    /// The proof that a device is in the list.
    #[must_use]
    pub fn proof(&self, device: HardwareId) -> Option<ScopeProof> {
        let index = u64::try_from(self.members.binary_search(&device).ok()?).ok()?;
        let tree: Tree = self.members.iter().map(|member| member.0).collect();
        let path = tree.inclusion(index)?.path;
        Some(ScopeProof { index, hashes: path.into_iter().map(Sha256).collect() })
    }
}

/// Everything about orders and rollouts that answers need.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The owner's live orders.
    pub orders: BTreeMap<Name, Order>,
    /// The lists behind orders whose scope is a set.
    pub lists: BTreeMap<Name, ScopeList>,
    /// The rollouts.
    pub rollouts: BTreeMap<Name, Rollout>,
    /// How far devices are, by rollout.
    pub progress: BTreeMap<Name, BTreeMap<DeviceId, Progress>>,
    /// People's stops.
    pub holds: BTreeMap<Name, Hold>,
}

/// What one device is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The order that applies.
    pub order: Option<OrderOffer>,
    /// The go.
    pub permit: Option<Permit>,
}

impl Book {
    /// What a device is told now.
    #[must_use]
    pub fn tell(&self, device: &Device, now: Timestamp) -> Told {
        let Some((rollout, order)) =
            self.rollouts.values().rev().find_map(|rollout| self.offered(rollout, device))
        else {
            return Told::default();
        };
        let proof = match order.scope {
            Scope::Match { .. } => None,
            Scope::Set { .. } => {
                self.lists.get(&order.id).and_then(|list| list.proof(device.hardware.identity()))
            }
        };
        let offer = OrderOffer { order: order.id.clone(), proof, action: Action::Install };
        Told { order: Some(offer), permit: self.go(rollout, order, device, now) }
    }

    /// The live order that a rollout has for a device which has not ended yet.
    fn offered<'a>(&'a self, rollout: &'a Rollout, device: &Device) -> Option<(&'a Rollout, &'a Order)> {
        let (_, wave) = rollout.wave_of(device.id)?;
        let ended =
            self.progress_of(&rollout.id, device.id).is_some_and(|progress| progress.outcome.is_some());
        let begun = wave.started.is_some() && rollout.offers() && !ended;
        let order = self.orders.get(&wave.order)?;
        begun.then_some((rollout, order))
    }

    fn go(&self, rollout: &Rollout, order: &Order, device: &Device, now: Timestamp) -> Option<Permit> {
        let given = self.progress_of(&rollout.id, device.id)?.permitted?;
        let silent = now.seconds_since(given) > i64::from(rollout.policy.silent_after_s);
        if !rollout.runs() || self.held(device) || !trusted(device) || silent {
            return None;
        }
        let until = now.plus_seconds(i64::from(order.permit_s.unwrap_or(GO_S)));
        let until = if until < order.expires { until } else { order.expires };
        Some(Permit { order: order.id.clone(), action: Action::Install, until })
    }

    fn progress_of(&self, rollout: &Name, device: DeviceId) -> Option<&Progress> {
        self.progress.get(rollout)?.get(&device)
    }

    /// Whether a person holds this device.
    #[must_use]
    pub fn held(&self, device: &Device) -> bool {
        let placement = &device.placement;
        self.holds.values().any(|hold| match &hold.covers {
            Covers::Ward(name) => *name == ward_name(placement.site.as_str(), placement.ward.as_str()),
            Covers::Site(name) => *name == placement.site.as_str(),
            Covers::Model(name) => *name == device.hardware.model.as_str(),
        })
    }

    /// The facts of one device for the plan of one rollout.
    #[must_use]
    pub fn facts(&self, rollout: &Rollout, device: &Device) -> DeviceFacts {
        let progress = self.progress_of(&rollout.id, device.id);
        let mut facts = DeviceFacts {
            trusted: trusted(device),
            permitted: progress.and_then(|progress| progress.permitted),
            receipt: progress.and_then(|progress| progress.outcome),
            held: self.held(device),
            ..DeviceFacts::default()
        };
        let Some((report, wave)) =
            device.report.as_ref().zip(rollout.wave_of(device.id).map(|(_, wave)| wave))
        else {
            return facts;
        };
        facts.asks = report.wants.as_ref().map(|wants| (wants.order.clone(), wants.action));
        if report.update.order.as_ref() == Some(&wave.order) {
            facts.installing = matches!(
                report.update.state,
                UpdateState::Fetching | UpdateState::Waiting | UpdateState::Armed | UpdateState::Trial
            );
            facts.blocked =
                report.update.blocked_by.first().map(|blocked| String::from(blocked.sentence.as_str()));
        }
        facts
    }
}

/// How a ward is named in a hold.
#[must_use]
pub fn ward_name(site: &str, ward: &str) -> String {
    alloc::format!("{site}/{ward}")
}

/// A device in quarantine may take updates (they are often the cure); the go is still given only by plan.
fn trusted(device: &Device) -> bool {
    match device.state {
        Trust::Active | Trust::Quarantined => true,
        Trust::Expected | Trust::Pending | Trust::Retired | Trust::Lost => false,
    }
}
