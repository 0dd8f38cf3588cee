//! Scores of devices as pages and the API show them: a derived view, computed when asked and never stored.
//!
//! Facts come from the fleet view and from what was published, the mathematics from `server/core`'s `risk`. Read next:
//! `risk::gather` for which stored fact becomes which.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use cordon_proto::ids::{Name, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::device::State;
use cordon_server_core::exposure::Exposed;
use cordon_server_core::risk::facts::ReleaseAge;
use cordon_server_core::risk::gather::{End, Ends, Known, Newest, gather, release_age};
use cordon_server_core::risk::noticed::Noticed;
use cordon_server_core::risk::own::{Beside, Own, returns_of};
use cordon_server_core::risk::rescore::{Rescoring, Shared};
use cordon_server_core::risk::score::{ByKind, Value};
use cordon_server_core::risk::{Facts, Model, NextStep, Score, plan, score};

use crate::fleet::{Documents, Member, ReceiptView};
use crate::knowledge::{Alike, Matched, Numbered};

/// What scores depend on beside the device itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The newest release of each model.
    pub newest: BTreeMap<Text, Newest>,
    /// The orders that are listed, or that a rollout or a list of devices names: those that were published here.
    pub orders: BTreeSet<Name>,
    /// What is known of weaknesses.
    pub matched: Matched,
    /// The table of figures in force here.
    pub model: Arc<Model>,
}

/// A device with its score.
#[derive(Clone, Debug)]
pub struct Appraised {
    /// The facts that the score depends on.
    pub facts: Facts,
    /// The score.
    pub score: Score,
    /// What to do, at most three.
    pub steps: Vec<NextStep>,
}

/// What the documents of one device say for its score, kept beside them by the fleet view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// For the part that is its own.
    pub own: Own,
    /// What other devices must be alike in to be exposed to the same.
    pub alike: Alike,
}

impl Gathered {
    /// Gathers it.
    #[must_use]
    pub fn of(documents: &Documents) -> Self {
        let receipts = receipts(documents);
        let returns = receipts.iter().map(|one| (one.body.outcome, &one.body.order, one.received));
        // Which orders were published does not matter here: `Own` asks it of each return.
        let known = Known { ends: receipts.iter().map(|one| end(one, false)).collect(), ..told(documents) };
        let findings = documents.findings.values().map(AsRef::as_ref);
        Self { own: Own::of(&known, returns_of(returns), findings), alike: Alike::of(documents) }
    }
}

/// What the documents of a device say.
fn told(documents: &Documents) -> Known<'_> {
    Known {
        device: &documents.device,
        report: documents.report.as_deref(),
        reported: documents.reported,
        seen: None,
        inventory: documents.inventory.as_ref().map(|inventory| inventory.rows.as_slice()),
        newest: None,
        ends: Ends::default(),
        exposed: None,
    }
}

/// What is known of one device.
fn known<'a>(member: &'a Member, published: &'a Published, exposed: Option<&'a Exposed>) -> Known<'a> {
    Known {
        seen: member.seen,
        newest: published.newest.get(&member.device.hardware.model),
        ends: ends(member, published),
        exposed,
        ..told(member)
    }
}

/// The receipts of a device as they came. Those that came at once, on a stick perhaps, go by the device's own clock.
fn receipts(documents: &Documents) -> Vec<&ReceiptView> {
    let mut receipts: Vec<&ReceiptView> = documents.receipts.iter().map(AsRef::as_ref).collect();
    receipts.sort_by_key(|receipt| (receipt.received, receipt.body.time));
    receipts
}

fn end(receipt: &ReceiptView, is_ordered: bool) -> End {
    End { outcome: receipt.body.outcome, counter: receipt.body.counter, at: receipt.received, is_ordered }
}

/// What the receipts of a device say together.
fn ends(documents: &Documents, published: &Published) -> Ends {
    let is_ordered = |receipt: &ReceiptView| published.orders.contains(&receipt.body.order);
    receipts(documents).into_iter().map(|receipt| end(receipt, is_ordered(receipt))).collect()
}

/// When a device last went back by an order of the owner's, if it has confirmed nothing since.
#[must_use]
pub fn returned(member: &Member, published: &Published) -> Option<Timestamp> {
    ends(member, published).returned
}

/// Since when something holds of a device that nothing else dates.
#[must_use]
pub fn noticed(member: &Member) -> Noticed {
    Noticed::of(&known(member, &Published::default(), None))
}

/// The facts of one device.
#[must_use]
pub fn facts(member: &Member, published: &Published) -> Facts {
    let exposed = published.matched.exposed(member);
    gather(&known(member, published, exposed.as_deref()), member.findings.values().map(AsRef::as_ref))
}

/// Scores devices anew, each given to `take` with its hundredths by kind of part. What devices share is found and weighed once;
/// what is a device's own was gathered when its documents changed.
pub fn rescore<'a>(
    members: &'a [Arc<Member>],
    published: &'a Published,
    now: Timestamp,
    mut take: impl FnMut(&'a Member, Value, &ByKind),
) {
    let mut sets = Numbered::new(&published.matched);
    let mut releases: Vec<ReleaseAge> = Vec::new();
    let mut rescoring = Rescoring::new(&published.model, now);
    for member in members {
        let (own, number) = (&member.gathered().own, sets.of(member));
        if releases.len() <= number {
            let newest = published.newest.get(&member.device.hardware.model);
            let running = member.report.as_deref().map(|report| report.software.counter);
            releases.push(release_age(running, newest));
        }
        let exposed = sets.set(number).map(AsRef::as_ref);
        let beside = Beside {
            seen: member.seen,
            strayed: own.strayed(|order| published.orders.contains(order)),
            release: releases.get(number).unwrap_or(&ReleaseAge::Unknown),
            exposed,
        };
        let shared = exposed.map(|set| Shared { number, exposures: &set.exposures });
        let (value, kinds) = rescoring.by_kind(own, &beside, shared);
        take(member, value, &kinds);
    }
}

/// What to do about each of some devices, in their order. Exposures are copied once for devices alike that follow each other.
pub fn plan_each(
    members: &[Arc<Member>],
    published: &Published,
    now: Timestamp,
    mut take: impl FnMut(&Arc<Member>, Vec<NextStep>),
) {
    let mut sets = Numbered::new(&published.matched);
    let (mut copied, mut copy) = (None, None);
    for member in members {
        let number = sets.of(member);
        if copied != Some(number) {
            (copied, copy) = (Some(number), sets.set(number).map(|set| Exposed::clone(set)));
        }
        let exposures = copy.as_mut().map(|set| mem::take(&mut set.exposures));
        let known = known(member, published, copy.as_ref());
        let facts = gather(&known, member.findings.values().map(AsRef::as_ref));
        let facts = Facts { exposures: exposures.unwrap_or_default(), ..facts };
        take(member, plan(&facts, &published.model, now));
        if let Some(copy) = &mut copy {
            copy.exposures = facts.exposures;
        }
    }
}

/// One device, appraised.
#[must_use]
pub fn appraise(member: &Member, published: &Published, now: Timestamp) -> Appraised {
    let model = &published.model;
    let facts = facts(member, published);
    let (score, steps) = (score(&facts, model, now), plan(&facts, model, now));
    Appraised { facts, score, steps }
}

/// Whether a device belongs to the fleet that is counted: neither still to come nor gone.
#[must_use]
pub fn is_counted(member: &Member) -> bool {
    !matches!(member.device.state, State::Expected | State::Retired)
}
