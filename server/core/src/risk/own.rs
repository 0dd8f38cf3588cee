//! What the documents of one device say for its score, gathered once when they change.
//!
//! A fleet is scored again and again, and between two times hardly a document of it changes. So whoever holds a device's
//! documents keeps this beside them and makes it anew with them. What changes without a document is left out and is an argument of
//! the pass: the time, when the device was last heard, what feeds say, which releases and orders were published. The numbers are
//! those of [`super::gather`], which serves who asks about one device; a test compares the two over devices by chance. Read
//! next: [`super::rescore`], which uses it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use cordon_proto::ids::Name;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;

use super::facts::{Finding, Freshness, Impact, OsSupport, Posture, Reach, ReleaseAge};
use super::gather::{Ends, Known, finding, posture, support, went_back};
use super::noticed::Noticed;
use crate::exposure::Exposed;
use crate::triage;

/// What one device says for its own score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// What a failure or a leak of it would mean.
    pub(super) impact: Impact,
    /// From where an attacker can reach it.
    pub(super) reach: Reach,
    pub(super) findings: Arc<[Finding]>,
    posture: Posture,
    failed: Option<Timestamp>,
    /// It says that its last update failed, and no receipt does.
    is_failing: bool,
    noticed: Noticed,
    returns: Arc<[Return]>,
}

/// A return to an older release since the last update that was confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// The order that its receipt names.
    pub order: Name,
    /// When the receipt came.
    pub at: Timestamp,
}

/// The returns since the last update that was confirmed, of receipts from the oldest to the newest.
pub fn returns_of<'a>(receipts: impl Iterator<Item = (Outcome, &'a Name, Timestamp)>) -> Vec<Return> {
    let mut returns = Vec::new();
    for (outcome, order, at) in receipts {
        match outcome {
            Outcome::Confirmed => returns.clear(),
            Outcome::WentBack => returns.push(Return { order: order.clone(), at }),
            Outcome::RolledBack | Outcome::Refused => {}
        }
    }
    returns
}

/// What beside its documents a device's own score depends on.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// When it was last heard.
    pub seen: Option<Timestamp>,
    /// When it last went back by no order that was published; see [`Own::strayed`].
    pub strayed: Option<Timestamp>,
    /// What runs against what is newest. The name of the newest release is not read.
    pub release: &'a ReleaseAge,
    /// What it is exposed to; none where nothing was ever imported to hold it against.
    pub exposed: Option<&'a Exposed>,
}

impl Own {
    /// Gathers it. When the device was heard, what is newest, what it is exposed to and which orders were published is not
    /// looked at.
    #[must_use]
    pub fn of<'a>(
        known: &Known<'_>,
        returns: Vec<Return>,
        findings: impl IntoIterator<Item = &'a triage::Record>,
    ) -> Self {
        let known = Known { seen: None, newest: None, exposed: None, ..*known };
        let placement = &known.device.placement;
        let noticed = Noticed::of(&known);
        let Ends { failed, returned: _, strayed: _, ran: _ } = known.ends;
        Self {
            impact: placement.impact.clone(),
            reach: placement.reach.clone(),
            findings: findings.into_iter().filter(|record| record.weighs()).map(finding).collect(),
            posture: posture(&known, &noticed),
            failed,
            is_failing: known.is_failing() && failed.is_none(),
            noticed,
            returns: returns.into(),
        }
    }

    /// When the device last went back by an order that was not published here, if it has confirmed nothing since.
    #[must_use]
    pub fn strayed(&self, is_published: impl Fn(&Name) -> bool) -> Option<Timestamp> {
        self.returns.iter().rev().find(|back| !is_published(&back.order)).map(|back| back.at)
    }

    /// How it is set up; times that weigh nothing may be missing.
    pub(super) fn posture(&self, exposed: Option<&Exposed>) -> Posture {
        let os_support: OsSupport = support(exposed, || self.posture.os_support);
        Posture { os_support, ..self.posture.clone() }
    }

    /// How current it is, without the name of what is newest.
    pub(super) fn freshness(&self, beside: &Beside<'_>) -> Freshness {
        // What nobody dated holds since it was last heard.
        let failing = self.noticed.failing.or(beside.seen).filter(|_| self.is_failing);
        Freshness {
            last_seen: beside.seen,
            release: beside.release.wordless(),
            update_failed: self.failed.or(failing),
            rolled_back: went_back(beside.strayed, self.noticed.fell, beside.seen),
            feed_updated: beside.exposed.and_then(|exposed| exposed.as_of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;

    use cordon_proto::checkin::UpdateState;
    use cordon_proto::ids::{DeviceId, Text};
    use cordon_proto::inventory::{Row, Section};
    use cordon_proto::telemetry::{self, Severity};

    use crate::device::{Device, Doubt, DoubtKind};
    use crate::order_plan::fixture::{pump, runs};
    use crate::risk::cases::{Chance, NOW, device};
    use crate::risk::gather::{End, Newest, gather, release_age};
    use crate::risk::model::RISK_V1;
    use crate::risk::rescore::{Rescoring, Shared};
    use crate::risk::score::value_by_kind;

    const ORDERS: [&str; 3] = ["first", "second", "nobodys"];

    /// Everything that is known of one device, by chance.
    struct Case {
        device: Device,
        is_dated: bool,
        seen: Option<Timestamp>,
        rows: Option<Vec<Row>>,
        receipts: Vec<(Outcome, Name, End)>,
        findings: Vec<triage::Record>,
        newest: Option<Newest>,
        exposed: Option<Exposed>,
    }

    fn ago(chance: &mut Chance) -> Timestamp {
        NOW.plus_seconds(-i64::from(chance.below(3_000_000)))
    }

    fn finding(chance: &mut Chance) -> triage::Record {
        let said = telemetry::Finding {
            detector: chance.of(&["clone", "scan", "beacon"]).parse().expect("a name"),
            key: Text::lossy("key"),
            first: NOW,
            last: ago(chance).plus_seconds(i64::from(chance.below(2)) * 3_000_000),
            count: 1,
            peer: None,
            severity: chance.of(&[Severity::Low, Severity::Medium, Severity::High, Severity::Critical]),
            attack: Vec::new(),
            evidence: BTreeMap::new(),
            title: Text::lossy("Does something"),
            what_changed: Text::lossy("something"),
            why_it_matters: Text::lossy("something"),
            how_sure: Text::lossy("high"),
            what_to_do: Text::lossy("look"),
        };
        triage::Record {
            v: 1,
            id: chance.of(&["f-1", "f-2", "zz-3", "a-4"]).parse().expect("a name"),
            device: DeviceId::from_random([1; 16]),
            finding: said,
            state: if chance.below(3) == 0 { triage::State::Closed } else { triage::State::Open },
            assigned: None,
            history: Vec::new(),
        }
    }

    fn row(section: Section, key: &str, field: &str) -> Row {
        Row { section, key: Text::lossy(key), fields: Vec::from([field.to_string()]) }
    }

    fn rows(chance: &mut Chance) -> Vec<Row> {
        let keys = ["default-credentials", "disk-encryption", "empty-password", "secure-boot"];
        let mut rows = Vec::new();
        if chance.below(2) == 0 {
            rows.push(row(Section::System, "support-end", chance.of(&["2025-01-01", "2030-01-01", "soon"])));
        }
        rows.extend(keys.map(|key| row(Section::Posture, key, chance.of(&["yes", "no", "perhaps"]))));
        rows.sort_by(|a, b| (a.section, &a.key).cmp(&(b.section, &b.key)));
        rows
    }

    fn receipts(chance: &mut Chance) -> Vec<(Outcome, Name, End)> {
        let outcomes =
            [Outcome::Confirmed, Outcome::RolledBack, Outcome::WentBack, Outcome::WentBack, Outcome::Refused];
        let count = chance.below(5);
        let one = |_| {
            let (outcome, order) = (chance.of(&outcomes), chance.of(&ORDERS));
            let counter = 38 + u64::from(chance.below(4));
            let end = End { outcome, counter, at: ago(chance), is_ordered: order != "nobodys" };
            (outcome, order.parse().expect("a name"), end)
        };
        (0..count).map(one).collect()
    }

    fn case(chance: &mut Chance) -> Case {
        let like = device(chance);
        let mut device = runs(pump("VP3-1"), 38 + u64::from(chance.below(4)));
        device.placement.impact = like.impact;
        device.placement.reach = like.reach;
        let doubt = Doubt { kind: DoubtKind::Overlap, at: NOW, evidence: Text::lossy("two") };
        device.doubt = like.posture.identity_doubted.map(|_| doubt);
        if let Some(report) = &mut device.report {
            report.update.state =
                chance.of(&[UpdateState::Idle, UpdateState::RolledBack, UpdateState::Trial]);
            report.key_protection = Text::lossy(chance.of(&["file", "tpm", "cloud"]));
        }
        if chance.below(5) == 0 {
            device.report = None;
        }
        if chance.below(2) == 0 {
            device.noticed = Noticed { weak: None, failing: Some(ago(chance)), fell: Some(ago(chance)) };
        }
        let newest = Newest {
            release: "halden/vp-3/41".parse().expect("a path"),
            counter: 41,
            known: Vec::from([(40, ago(chance)), (41, ago(chance))]),
        };
        let exposed = Exposed {
            exposures: like.exposures,
            unknown: 1,
            unmatchable: 1,
            os_support: like.posture.os_support,
            as_of: like.freshness.feed_updated,
        };
        Case {
            device,
            is_dated: chance.below(4) > 0,
            seen: (chance.below(6) > 0).then(|| ago(chance)),
            rows: (chance.below(4) > 0).then(|| rows(chance)),
            receipts: receipts(chance),
            findings: (0..chance.below(4)).map(|_| finding(chance)).collect(),
            newest: (chance.below(3) > 0).then_some(newest),
            exposed: (chance.below(3) > 0).then_some(exposed),
        }
    }

    #[test]
    fn what_was_gathered_before_gives_the_score_of_what_is_gathered_now() {
        // Goal: the pass over a fleet gives no other number than the page of a device. Method: twenty thousand devices by chance,
        // each gathered whole with everything that is known, and gathered beforehand with the rest beside it.
        let mut chance = Chance::new(22);
        for seed in 0..20_000 {
            let case = case(&mut chance);
            let known = Known {
                device: &case.device,
                report: case.device.report.as_ref(),
                reported: case.is_dated.then(|| NOW.plus_seconds(-500_000).into()),
                seen: case.seen,
                inventory: case.rows.as_deref(),
                newest: case.newest.as_ref(),
                ends: case.receipts.iter().map(|(_, _, end)| *end).collect(),
                exposed: case.exposed.as_ref(),
            };
            let whole = value_by_kind(&gather(&known, &case.findings), &RISK_V1, NOW);
            // Beforehand nobody knows which orders were published.
            let unordered = case.receipts.iter().map(|(_, _, end)| End { is_ordered: false, ..*end });
            let returns =
                returns_of(case.receipts.iter().map(|(outcome, order, end)| (*outcome, order, end.at)));
            let before = Known { ends: unordered.collect(), ..known };
            let own = Own::of(&before, returns, &case.findings);
            let running = case.device.report.as_ref().map(|report| report.software.counter);
            let beside = Beside {
                seen: case.seen,
                strayed: own.strayed(|order| order.as_str() != "nobodys"),
                release: &release_age(running, case.newest.as_ref()),
                exposed: case.exposed.as_ref(),
            };
            let exposures = case.exposed.as_ref().map(|exposed| exposed.exposures.as_slice());
            let shared = exposures.map(|exposures| Shared { number: 0, exposures });
            let mut rescoring = Rescoring::new(&RISK_V1, NOW);
            assert_eq!(rescoring.by_kind(&own, &beside, shared), whole, "case {seed}");
        }
    }
}
