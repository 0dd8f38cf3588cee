//! Scores of devices as pages and the API show them: a derived view, computed when asked and never stored.
//!
//! Facts come from the fleet view and the newest releases, the mathematics from `server/core`'s `risk`. Read next:
//! `risk::gather` for which stored fact becomes which.

use std::collections::BTreeMap;

use cordon_proto::ids::Text;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::gather::{Known, LastEnd, Newest, gather};
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::{Facts, NextStep, Score, plan, score};

use crate::fleet::Member;

/// The newest release of each model.
pub type NewestReleases = BTreeMap<Text, Newest>;

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

/// The facts of one device.
#[must_use]
pub fn facts(member: &Member, newest: &NewestReleases) -> Facts {
    let last = member.receipts.last();
    let known = Known {
        device: &member.device,
        report: member.report.as_deref(),
        seen: member.seen,
        inventory: member.inventory.as_ref().map(|inventory| inventory.rows.as_slice()),
        newest: newest.get(&member.device.hardware.model),
        last_end: last.map(|receipt| LastEnd { outcome: receipt.body.outcome, at: receipt.received }),
    };
    gather(&known, member.findings.values().map(AsRef::as_ref))
}

/// One device, appraised.
#[must_use]
pub fn appraise(member: &Member, newest: &NewestReleases, now: Timestamp) -> Appraised {
    let model = RISK_V1;
    let facts = facts(member, newest);
    let (score, steps) = (score(&facts, &model, now), plan(&facts, &model, now));
    Appraised { facts, score, steps }
}
