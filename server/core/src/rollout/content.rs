//! Rollouts of content: settings and thresholds, staged in waves and halted like firmware, by the devices' own word.
//!
//! A content reboots nothing, so what firmware calls a go is here a place: the plan gives it, as many at once as the
//! policy allows, and with it the offer. The device tries the content for ten minutes by itself and says which version is
//! in force. The first such word is written down as its end, as a receipt is: done when it names the version that it was
//! offered here, failed when it gave the content back or refused it for good. One that names a later version, or this one
//! without having been offered it, is there already and shows nothing. While a person holds a place, or the rollout does
//! not run, nothing is offered, no place is kept and no silence counts; what is in force stays. Read next:
//! [`super::plan`], whose waves, limits and stops are the same.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;

use cordon_proto::checkin::{Action, Blocked, ContentOffer, UpdateState};
use cordon_proto::ids::{DeviceId, Name};
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
use super::{GoTold, Progress, Rollout, RolloutKind, State, Wave};
use crate::device::Device;

/// What stands before a content's name where orders are named, so that no list of one is taken for the other's.
const PREFIX: &str = "content.";
/// The repository that a rollout of content names.
const REPOSITORY: &str = "director";
/// Seconds without a word after which a device that was told of its content counts as silent, at least: two check-ins
/// of a metered device and the trial.
pub const CONTENT_SILENT_S: u32 = 2 * limits::METERED_CHECKIN_S + limits::CONTENT_TRIAL_S;
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

/// What a device is told of a content in the answer to its check-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldContent {
    /// The offer.
    pub offer: ContentOffer,
    /// Its version.
    pub version: u64,
    /// The rollout that this is of.
    pub of: Name,
    /// Whether the device is told of it for the first time: that is written down before it is told.
    pub is_news: bool,
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

    /// The content that a device is offered now: of several the one of the highest version.
    #[must_use]
    pub fn tell_content(&self, device: &Device, now: Timestamp) -> Option<ToldContent> {
        let placed = self.rollouts.values().filter_map(|rollout| {
            let (order, content, version) = self.offered_content(rollout, device, now)?;
            let is_news = self.is_placed(rollout, device, now)?;
            Some((rollout, order, content, version, is_news))
        });
        let (rollout, order, content, version, is_news) =
            placed.max_by_key(|(_, _, _, version, _)| *version)?;
        let proof = match order.scope {
            Scope::Match { .. } => None,
            Scope::Set { .. } => self.proof(&order.id, device.hardware.identity()),
        };
        let runs = device.report.as_ref().is_some_and(|report| report.content_version >= version);
        let offer = ContentOffer { content: content.clone(), proof };
        Some(ToldContent { offer, version, of: rollout.id.clone(), is_news: is_news && !runs })
    }

    /// Whether a device has its place in a rollout of content, and then whether it is yet to be told. Who has proved the
    /// content keeps it, also when it comes back without it; who comes after the rollout is finished needs no place.
    fn is_placed(&self, rollout: &Rollout, device: &Device, now: Timestamp) -> Option<bool> {
        let known = self.progress_of(&rollout.id, device.id);
        match known.and_then(|known| known.outcome) {
            Some(Outcome::Confirmed) => Some(false),
            Some(_) => None,
            None if late(rollout) => Some(known.is_none_or(|known| known.offered.is_none())),
            None => known.filter(|known| known.go_at(now).is_some()).map(|known| known.offered.is_none()),
        }
    }

    /// Whether a rollout of content still has something for this device of a wave. Of one that is finished who comes late
    /// is offered what the others have proved, and a wave that a person left unsettled has proved nothing to anybody but
    /// those who confirmed.
    fn goes_on(&self, rollout: &Rollout, wave: &Wave, device: DeviceId) -> bool {
        let outcome = || self.progress_of(&rollout.id, device)?.outcome;
        match rollout.state {
            State::Running => wave.started.is_some(),
            State::Finished { .. } => wave.settled.is_some() || outcome() == Some(Outcome::Confirmed),
            State::Halted { .. }
            | State::Paused { .. }
            | State::Stopped { .. }
            | State::Aborted { .. }
            | State::Returning
            | State::Returned { .. } => false,
        }
    }

    /// The content that a rollout has for a device now, whether it has a place or not.
    fn offered_content<'a>(
        &'a self,
        rollout: &'a Rollout,
        device: &Device,
        now: Timestamp,
    ) -> Option<(&'a Order, &'a Name, u64)> {
        if rollout.kind != RolloutKind::Content || self.held(device, now) || !trusted(device) {
            return None;
        }
        let (_, wave) = rollout.wave_of(device.id)?;
        if !self.goes_on(rollout, wave, device.id) {
            return None;
        }
        let order = self.order_of(rollout, wave).filter(|order| now < order.expires)?;
        // A later version under the same name is another rollout's: this one never decided on it.
        let listed = self.contents.versions.get(&wave.order);
        let (content, version) = listed.filter(|(_, version)| Some(*version) == rollout.content_version)?;
        Some((order, content, *version))
    }

    /// What is to be written down of a device in a rollout of content, if there is something new: its end, when its own
    /// word first says it, and that its place is taken back while nothing is offered.
    #[must_use]
    pub fn content_progress(&self, rollout: &Rollout, device: &Device, now: Timestamp) -> Option<Progress> {
        let (_, wave) = rollout.wave_of(device.id).filter(|_| rollout.kind == RolloutKind::Content)?;
        wave.started?;
        let known = self.progress_of(&rollout.id, device.id).cloned().unwrap_or_default();
        if known.outcome.is_some() {
            return None;
        }
        match Word::of(rollout, device, &known) {
            Some(Word::Ended(outcome, why)) => {
                let (outcome, ended, reason) = (Some(outcome), Some(now), why.cloned());
                Some(Progress { v: 1, outcome, ended, reason, ..known })
            }
            // Who is further tries this one no more, whatever it was offered.
            word @ (Some(Word::Further) | None) => {
                let idle = word.is_some() || self.offered_content(rollout, device, now).is_none();
                let keeps = known.go_at(now).is_some() && idle;
                keeps.then_some(Progress { v: 1, taken_back: Some(now), ..known })
            }
        }
    }

    /// The facts of one device for the plan of a rollout of content.
    pub(super) fn content_facts(&self, rollout: &Rollout, device: &Device, now: Timestamp) -> DeviceFacts {
        let mut facts = self.remembered(rollout, device.id, now);
        (facts.trusted, facts.heard, facts.listens) = (trusted(device), device.last_seen, device.listens);
        facts.heard_out = self.there;
        facts.held_since = self.holds_over(device).filter(|hold| hold.holds(now)).map(|hold| hold.at).min();
        facts.held = facts.held_since.is_some();
        let Some((_, wave)) = rollout.wave_of(device.id) else {
            let fitting = |order: &Order| now < order.expires && fits(order, device);
            let joins = |wave: &Wave| wave.joins && self.order_of(rollout, wave).is_some_and(fitting);
            facts.joins = rollout.waves.iter().position(joins);
            return facts;
        };
        let Some(begun) = wave.started.filter(|_| facts.receipt.is_none()) else { return facts };
        let known = self.progress_of(&rollout.id, device.id).cloned().unwrap_or_default();
        match Word::of(rollout, device, &known) {
            Some(Word::Ended(outcome, why)) => {
                facts.receipt = Some(outcome);
                facts.blocked = why.map(|why| why.sentence.to_string());
            }
            Some(Word::Further) => (facts.already, facts.permitted) = (true, None),
            None => {
                facts.blocked = facts.held.then(|| "A person holds this place.".to_string());
                let here = device.report.is_some() && facts.heard.is_some_and(|heard| heard >= begun);
                facts.asks = here.then(|| (wave.order.clone(), Action::Install));
                if facts.permitted.is_some() && facts.told != GoTold::NotYet {
                    (facts.state, facts.installing) = (Some(UpdateState::Fetching), true);
                    let open = self.offered_content(rollout, device, now).is_some();
                    facts.told = patient(&facts, open, now);
                }
            }
        }
        facts
    }
}

/// What a device's own word means for a rollout of content.
enum Word<'a> {
    /// It has ended, and why where it ended badly.
    Ended(Outcome, Option<&'a Blocked>),
    /// It holds this version without having been offered it here, or a later one: it never tries this one.
    Further,
}

impl<'a> Word<'a> {
    fn of(rollout: &Rollout, device: &'a Device, known: &Progress) -> Option<Self> {
        let (report, version) = (device.report.as_ref()?, rollout.content_version?);
        if let Some(fault) = report.content_fault.as_ref().filter(|fault| fault.version == version) {
            let back = GIVEN_BACK.contains(&fault.why.code.as_str());
            let outcome = if back { Outcome::RolledBack } else { Outcome::Refused };
            return Some(Self::Ended(outcome, Some(&fault.why)));
        }
        if report.content_version == version && known.offered.is_some() {
            return Some(Self::Ended(Outcome::Confirmed, None));
        }
        (report.content_version >= version).then_some(Self::Further)
    }
}

/// Whether who comes now comes late.
fn late(rollout: &Rollout) -> bool {
    matches!(rollout.state, State::Finished { .. })
}

/// Since when the silence of a device counts that has its place: from now, while nothing is offered and until it has
/// lasted, with this server there to hear it, for longer than a device on a metered line may keep it.
fn patient(facts: &DeviceFacts, open: bool, now: Timestamp) -> GoTold {
    let since = match facts.told {
        GoTold::At(told) => facts.permitted.max(Some(told)),
        GoTold::NotYet | GoTold::Unwritten => facts.permitted,
    };
    let there = facts.heard_out.filter(|there| *there <= now);
    let last = facts.heard.max(since).max(there);
    let long = last.is_some_and(|last| now.seconds_since(last) > i64::from(CONTENT_SILENT_S));
    if open && long { facts.told } else { GoTold::At(now) }
}

#[cfg(test)]
mod tests;
