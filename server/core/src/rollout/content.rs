//! Rollouts of content: settings and thresholds, staged in waves and halted like firmware, without a go.
//!
//! A content is offered to the devices of a wave as soon as the wave has begun, because it reboots nothing; the device
//! tries it for ten minutes by itself and says which version is in force. That word is the end: done when it names the
//! version, already further when it names a later one, failed when it gave the content back or refused it for good. While a person holds a place, or
//! the rollout does not run, nothing is offered; what is in force stays. Read next: [`super::plan`], whose waves, limits
//! and stops are the same.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;

use cordon_proto::checkin::ContentOffer;
use cordon_proto::ids::Name;
use cordon_proto::limits;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::content::Assignment;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;

use super::facts::DeviceFacts;
use super::offer::{Book, fits, trusted};
use super::{Rollout, RolloutKind, State};
use crate::device::Device;

/// What stands before a content's name where orders are named, so that no list of one is taken for the other's.
const PREFIX: &str = "content.";
/// The repository that a rollout of content names.
const REPOSITORY: &str = "director";
/// Seconds after which a device that was heard with the offer at hand and then no more counts as silent, at least: two
/// check-ins of a metered device and the trial.
const SILENT_S: u32 = 2 * limits::METERED_CHECKIN_S + limits::CONTENT_TRIAL_S;
/// Codes by which a device says that it has given a content back.
const GIVEN_BACK: [&str; 2] = ["content-crash", "content-memory"];

/// The contents as the owner lists them now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Each in the form of an order that reboots nothing and has no way back, under [`content_key`].
    as_orders: BTreeMap<Name, Order>,
    /// Their names and versions, under the same keys.
    versions: BTreeMap<Name, (Name, u64)>,
}

/// The name under which waves, lists and the book know a content; nothing where it would be too long.
#[must_use]
pub fn content_key(content: &Name) -> Option<Name> {
    format!("{PREFIX}{content}").parse().ok()
}

/// What people call the content of this key.
#[must_use]
pub fn content_name(key: &Name) -> Name {
    key.as_str().strip_prefix(PREFIX).and_then(|name| name.parse().ok()).unwrap_or_else(|| key.clone())
}

impl Contents {
    /// The contents of these assignments.
    #[must_use]
    pub fn of(listed: impl IntoIterator<Item = Assignment>) -> Self {
        let mut contents = Self::default();
        for assignment in listed {
            let Some(key) = content_key(&assignment.id) else { continue };
            contents.versions.insert(key.clone(), (assignment.id.clone(), assignment.version));
            contents.as_orders.insert(key.clone(), as_order(key, assignment));
        }
        contents
    }

    /// The contents as orders, by the names that waves know.
    #[must_use]
    pub fn as_orders(&self) -> &BTreeMap<Name, Order> {
        &self.as_orders
    }

    /// The version of a content that is listed.
    #[must_use]
    pub fn version(&self, key: &Name) -> Option<u64> {
        self.versions.get(key).map(|(_, version)| *version)
    }
}

fn as_order(key: Name, assignment: Assignment) -> Order {
    let release = Assignment::path_of(&assignment.id);
    Order {
        id: key,
        repository: REPOSITORY.parse().expect("a valid name"),
        image: Image { release, length: assignment.length, sha256: assignment.sha256 },
        scope: assignment.scope,
        issued: assignment.issued,
        not_before: assignment.issued,
        expires: assignment.expires,
        windows: [Window::ALWAYS].into(),
        back: None,
        permit_s: None,
        reason: assignment.reason,
    }
}

impl Book {
    /// What the waves of a rollout of this kind may name.
    #[must_use]
    pub fn listed(&self, kind: RolloutKind) -> &BTreeMap<Name, Order> {
        match kind {
            RolloutKind::Firmware => &self.orders,
            RolloutKind::Content => self.contents.as_orders(),
        }
    }

    /// The content that a device is offered now, and its version: of several the one of the highest version.
    #[must_use]
    pub fn tell_content(&self, device: &Device, now: Timestamp) -> Option<(ContentOffer, u64)> {
        let offered = self.rollouts.values().filter_map(|rollout| self.offered_content(rollout, device, now));
        let (order, content, version) = offered.max_by_key(|(_, _, version)| *version)?;
        let proof = match order.scope {
            Scope::Match { .. } => None,
            Scope::Set { .. } => self.proof(&order.id, device.hardware.identity()),
        };
        Some((ContentOffer { content: content.clone(), proof }, version))
    }

    fn offered_content<'a>(
        &'a self,
        rollout: &'a Rollout,
        device: &Device,
        now: Timestamp,
    ) -> Option<(&'a Order, &'a Name, u64)> {
        // Devices that come late are offered what the others have proved.
        let goes_on = matches!(rollout.state, State::Running | State::Finished { .. });
        if rollout.kind != RolloutKind::Content || !goes_on || self.held(device, now) || !trusted(device) {
            return None;
        }
        let (_, wave) = rollout.wave_of(device.id)?;
        wave.started?;
        let order = self.contents.as_orders.get(&wave.order).filter(|order| now < order.expires)?;
        // A later version under the same name is another rollout's: this one never decided on it.
        let listed = self.contents.versions.get(&wave.order);
        let (content, version) = listed.filter(|(_, version)| Some(*version) == rollout.content_version)?;
        Some((order, content, *version))
    }

    /// The facts of one device for the plan of a rollout of content.
    pub(super) fn content_facts(&self, rollout: &Rollout, device: &Device, now: Timestamp) -> DeviceFacts {
        let (trusted, held, heard) = (trusted(device), self.held(device, now), device.last_seen);
        let mut facts = DeviceFacts { trusted, held, heard, ..DeviceFacts::default() };
        let Some((_, wave)) = rollout.wave_of(device.id) else {
            let listed = self.contents.as_orders();
            let fitting = |order: &Order| now < order.expires && fits(order, device);
            let joins = |key: &Name| listed.get(key).is_some_and(fitting);
            facts.joins = rollout.waves.iter().position(|wave| wave.joins && joins(&wave.order));
            return facts;
        };
        let progress = self.progress.get(&rollout.id).and_then(|known| known.get(&device.id));
        let accepted = progress.and_then(|progress| progress.accepted.as_ref());
        facts.accepted = accepted.map(|accepted| accepted.good);
        let (Some(report), Some(begun), Some(version)) =
            (&device.report, wave.started, rollout.content_version)
        else {
            return facts;
        };
        let fault = report.content_fault.as_ref().filter(|fault| fault.version == version);
        if report.content_version == version {
            facts.receipt = Some(Outcome::Confirmed);
        } else if report.content_version > version {
            // It never tries this one, so it shows nothing about it.
            facts.already = true;
        } else if let Some(fault) = fault {
            let back = GIVEN_BACK.contains(&fault.why.code.as_str());
            facts.receipt = back.then_some(Outcome::RolledBack);
            facts.refused = (!back).then(|| fault.why.code.clone());
            facts.blocked = Some(fault.why.sentence.to_string());
        } else if let Some(heard) = heard.filter(|heard| *heard >= begun) {
            let limit_s = i64::from(rollout.policy.silent_after_s.max(SILENT_S));
            // Who is offered nothing has no reason to speak of it.
            let offered = trusted && !held;
            facts.silent = Some(heard).filter(|heard| offered && now.seconds_since(*heard) > limit_s);
            facts.blocked = held.then(|| "A person holds this place.".to_string());
            facts.installing = true;
        }
        facts
    }
}

#[cfg(test)]
mod tests;
