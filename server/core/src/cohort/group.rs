//! Findings of many devices that are one: new on a whole model at once, or new after a confirmed update.
//!
//! *New on a model*: the same detector and key was first seen on at least [`DEVICES_MIN`] devices of the model, and on at
//! least one in [`SHARE`] of those that were heard in the last seven days, within [`SPAN_S`]. Two devices may be neighbours
//! in one room; three are a pattern. Without the share, three of two thousand would be called the model's doing. A day,
//! because all shifts and all reports fit in it, and a change that creeps over weeks has many causes.
//!
//! *After an update*: what a device first showed within [`AFTER_UPDATE_S`] of its own signed receipt. Here one device is
//! enough: the first wave of a rollout is small so that it is looked at. Only detectors of what a device does count: that
//! somebody scans it is not the release's doing. An update explains better than a coincidence, so it is asked first.
//!
//! A finding is in one group at most. A critical one is in its group and stands by itself too. Read next: [`super`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Name, Sha256, TargetPath, Text};
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;

use super::{Peer, Update};
use crate::triage::{Record, Verb};

/// Devices of a model that make a pattern.
pub const DEVICES_MIN: usize = 3;
/// One in so many of the model's devices heard lately, at least.
pub const SHARE: usize = 10;
/// Seconds within which they must have begun.
pub const SPAN_S: i64 = 86_400;
/// Seconds after a confirmed update in which what is new is its doing until somebody says otherwise.
pub const AFTER_UPDATE_S: i64 = 86_400;
/// Detectors of what a device itself does, which a release can change.
const OWN_DOING: [&str; 7] = ["allow-list", "mud", "listener", "host", "volume", "beacon", "dns-tunnel"];

/// Why findings of several devices are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It began on many devices of the model at once.
    Model {
        /// The detector.
        detector: Name,
        /// What it saw.
        key: Text,
        /// Devices on which it began within a day.
        at_once: usize,
    },
    /// It began after an update.
    Update {
        /// The release.
        release: TargetPath,
        /// The orders by which it came.
        orders: Vec<Name>,
        /// Different things that are new.
        things: usize,
    },
}

/// One finding of many devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name, the same for as long as what makes it one is the same.
    pub id: Name,
    /// The model.
    pub model: Text,
    /// Why it is one.
    pub cause: Cause,
    /// What it is, in a line.
    pub title: Text,
    /// The gravest of its findings.
    pub severity: Severity,
    /// When it began on the first device.
    pub first: Timestamp,
    /// When it was last seen on any.
    pub last: Timestamp,
    /// Its findings, by device.
    pub parts: Vec<Part>,
    /// Devices it is held against: those of the model that were heard lately and those that show it, or those that took the
    /// release.
    pub of: usize,
}

/// One finding of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The device.
    pub device: DeviceId,
    /// Its finding's place in the store.
    pub finding: Sha256,
    /// Its finding's name.
    pub id: Name,
}

/// A finding while it is being put into a group.
#[derive(Clone, Copy)]
struct Seen<'a> {
    first: Timestamp,
    device: DeviceId,
    finding: Sha256,
    record: &'a Record,
}

type Heard = BTreeMap<Text, BTreeSet<DeviceId>>;
/// What began after a release, and the orders by which it came.
type Drifted<'a> = (Vec<Seen<'a>>, BTreeSet<&'a Name>);

/// The groups of a fleet, the gravest first, then the newest.
pub(super) fn groups(peers: &[Peer<'_>], heard: &Heard) -> Vec<Group> {
    let mut updated: BTreeMap<(&Text, &TargetPath), Drifted<'_>> = BTreeMap::new();
    let mut alike: BTreeMap<(&Text, &Name, &Text), Vec<Seen<'_>>> = BTreeMap::new();
    for peer in peers {
        for (finding, record) in &peer.findings {
            let (first, device) = (record.first_seen(), peer.device);
            let seen = Seen { first, device, finding: *finding, record };
            match update_before(&peer.updates, record) {
                Some(update) => {
                    let (parts, orders) = updated.entry((peer.model, update.release)).or_default();
                    parts.push(seen);
                    orders.insert(update.order);
                }
                None => {
                    let finding = &record.finding;
                    alike.entry((peer.model, &finding.detector, &finding.key)).or_default().push(seen);
                }
            }
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for ((model, release), (seen, orders)) in updated {
        groups.extend(drift((model, release), &seen, orders, took(peers, model, release)));
    }
    let nobody = BTreeSet::new();
    for ((model, ..), seen) in alike {
        let heard = heard.get(model).unwrap_or(&nobody);
        groups.extend(at_once(model, seen, heard));
    }
    groups.sort_by(|a, b| (b.severity, b.last, &a.id).cmp(&(a.severity, a.last, &b.id)));
    groups
}

/// The update after which a finding began, if it began within a day of one. Both times are of the device's own clock.
fn update_before<'a, 'b>(updates: &'b [Update<'a>], record: &Record) -> Option<&'b Update<'a>> {
    if !OWN_DOING.contains(&record.finding.detector.as_str()) {
        return None;
    }
    let first = record.finding.first;
    let is_its_doing = |update: &&Update<'_>| (0..AFTER_UPDATE_S).contains(&first.seconds_since(update.at));
    updates.iter().filter(is_its_doing).max_by_key(|update| update.at)
}

/// Devices of a model that took a release.
fn took(peers: &[Peer<'_>], model: &Text, release: &TargetPath) -> usize {
    let has =
        |peer: &&Peer<'_>| peer.model == model && peer.updates.iter().any(|update| update.release == release);
    peers.iter().filter(has).count()
}

fn drift(
    (model, release): (&Text, &TargetPath),
    seen: &[Seen<'_>],
    orders: BTreeSet<&Name>,
    of: usize,
) -> Option<Group> {
    let things: BTreeSet<(&Name, &Text)> =
        seen.iter().map(|one| (&one.record.finding.detector, &one.record.finding.key)).collect();
    let cause = Cause::Update {
        release: release.clone(),
        orders: orders.into_iter().cloned().collect(),
        things: things.len(),
    };
    let title = Text::lossy(&format!("Post-update drift: {release}"));
    made(&format!("update\n{model}\n{release}"), (model, title), (cause, of), seen)
}

/// The group of what began on many devices at once: from the first day on in which it did, with all that followed.
fn at_once(model: &Text, mut seen: Vec<Seen<'_>>, heard: &BTreeSet<DeviceId>) -> Option<Group> {
    seen.sort_by_key(|one| (one.first, one.device));
    let enough = DEVICES_MIN.max(heard.len().div_ceil(SHARE));
    let is_burst = |from: &usize| {
        let last = from.checked_add(enough).and_then(|end| seen.get(end.checked_sub(1)?));
        let begin = seen.get(*from);
        matches!((begin, last), (Some(begin), Some(last)) if last.first.seconds_since(begin.first) <= SPAN_S)
    };
    let from = (0..seen.len()).find(is_burst)?;
    let parts = seen.get(from..)?;
    let begin = parts.first()?.first;
    let in_a_day = parts.iter().filter(|one| one.first.seconds_since(begin) <= SPAN_S).count();
    let finding = &parts.iter().max_by_key(|one| one.record.finding.last)?.record.finding;
    let (detector, key) = (finding.detector.clone(), finding.key.clone());
    let cause = Cause::Model { detector, key, at_once: in_a_day };
    let of = parts.iter().map(|one| one.device).chain(heard.iter().copied()).collect::<BTreeSet<_>>().len();
    let what = format!("model\n{model}\n{}\n{}", finding.detector, finding.key);
    made(&what, (model, finding.title.clone()), (cause, of), parts)
}

/// The group of these findings, of which there is at least one.
fn made(
    what: &str,
    (model, title): (&Text, Text),
    (cause, of): (Cause, usize),
    seen: &[Seen<'_>],
) -> Option<Group> {
    let part = |one: &Seen<'_>| Part { device: one.device, finding: one.finding, id: one.record.id.clone() };
    let mut parts: Vec<Part> = seen.iter().map(part).collect();
    parts.sort();
    let digits: String = Sha256::of(what.as_bytes()).to_string().chars().take(12).collect();
    Some(Group {
        id: format!("g-{digits}").parse().expect("hexadecimal digits make a name"),
        model: model.clone(),
        cause,
        title,
        severity: seen.iter().map(|one| one.record.finding.severity).max()?,
        first: seen.iter().map(|one| one.first).min()?,
        last: seen.iter().map(|one| one.record.finding.last).max()?,
        parts,
        of,
    })
}

impl Group {
    /// How many devices it is about.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.parts.iter().map(|part| part.device).collect::<BTreeSet<_>>().len()
    }

    /// The word for it, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.cause {
            Cause::Model { .. } => "model",
            Cause::Update { .. } => "post-update-drift",
        }
    }

    /// Since when, on how many, compared with what.
    #[must_use]
    pub fn what_changed(&self) -> String {
        let (model, of, first) = (&self.model, self.of, self.first);
        let devices = self.devices();
        match &self.cause {
            Cause::Model { at_once, .. } => format!(
                "Since {first} the same was first seen on {devices} of {of} {model}, on {at_once} of them within a day."
            ),
            Cause::Update { release, things, .. } => {
                let what = if *things == 1 { "one thing".to_string() } else { format!("{things} things") };
                format!(
                    "Within a day of the confirmed update to {release}, {devices} of the {of} {model} that took it showed {what} they had not shown before, the first at {first}."
                )
            }
        }
    }

    /// The act first, then the harmless explanation. Rollouts are those by which the release came, if they are known.
    #[must_use]
    pub fn what_to_do(&self, rollouts: &[&str]) -> String {
        match &self.cause {
            Cause::Model { .. } => "Look at one of them, then decide for all: so many at once have one cause. Often it is a setting, a service of your network or of the maker that moved; it can also be one attack on all.".to_string(),
            Cause::Update { release, .. } => {
                let stop = match rollouts {
                    [] => "hold the model, so that no further device takes it".to_string(),
                    some => format!("stop the rollout {}", some.join(", ")),
                };
                format!(
                    "Ask the maker whether {release} is meant to do this. If it is, allow it for the model and have it added to the profile. If it is not, {stop}, and take the signed way back."
                )
            }
        }
    }
}

/// Whether a decision about a whole group reaches one of its findings. To have seen it can be said of all; but nobody
/// hides a critical finding together with harmless ones: it is decided by itself.
#[must_use]
pub fn reaches(verb: Verb, record: &Record) -> bool {
    match verb {
        Verb::Acknowledge | Verb::Reopen => true,
        Verb::Mute { .. } | Verb::Allow { .. } | Verb::Close => record.finding.severity < Severity::Critical,
    }
}
