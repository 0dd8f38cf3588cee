//! Scores of devices as pages and the API show them: a derived view, computed when asked and never stored.
//!
//! Facts come from the fleet view and from what was published, the mathematics from `server/core`'s `risk`. Read next:
//! `risk::gather` for which stored fact becomes which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cordon_proto::ids::{Name, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::device::State;
use cordon_server_core::exposure::Exposed;
use cordon_server_core::risk::gather::{End, Ends, Known, Newest, gather, gather_own};
use cordon_server_core::risk::noticed::Noticed;
use cordon_server_core::risk::rescore::{Rescoring, Shared};
use cordon_server_core::risk::score::{ByKind, Value};
use cordon_server_core::risk::{Facts, Model, NextStep, Score, plan, score};

use crate::fleet::{Member, ReceiptView};
use crate::knowledge::{Matched, Numbered};

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

/// What is known of one device.
fn known<'a>(member: &'a Member, published: &'a Published, exposed: Option<&'a Exposed>) -> Known<'a> {
    Known {
        device: &member.device,
        report: member.report.as_deref(),
        reported: member.reported,
        seen: member.seen,
        inventory: member.inventory.as_ref().map(|inventory| inventory.rows.as_slice()),
        newest: published.newest.get(&member.device.hardware.model),
        ends: ends(member, published),
        exposed,
    }
}

/// What the receipts of a device say together. Those that came at once, on a stick perhaps, go by the device's own clock.
fn ends(member: &Member, published: &Published) -> Ends {
    let mut receipts: Vec<&ReceiptView> = member.receipts.iter().map(AsRef::as_ref).collect();
    receipts.sort_by_key(|receipt| (receipt.received, receipt.body.time));
    let end = |receipt: &ReceiptView| End {
        outcome: receipt.body.outcome,
        counter: receipt.body.counter,
        at: receipt.received,
        is_ordered: published.orders.contains(&receipt.body.order),
    };
    receipts.into_iter().map(end).collect()
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

/// Scores devices anew, each given to `take` with its hundredths by kind of part. What devices share is found and weighed once.
pub fn rescore<'a>(
    members: &'a [Arc<Member>],
    published: &'a Published,
    now: Timestamp,
    mut take: impl FnMut(&'a Member, Value, &ByKind),
) {
    let mut sets = Numbered::new(&published.matched);
    let mut rescoring = Rescoring::new(&published.model, now);
    for member in members {
        let number = sets.of(member);
        let exposed = number.and_then(|number| sets.set(number));
        let known = known(member, published, exposed.map(AsRef::as_ref));
        let own = gather_own(&known, member.findings.values().map(AsRef::as_ref));
        let shared = number.zip(exposed);
        let shared = shared.map(|(number, set)| Shared { number, exposures: &set.exposures });
        let (value, kinds) = rescoring.by_kind(&own, shared);
        take(member, value, &kinds);
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
