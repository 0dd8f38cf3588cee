//! The devices of each model held against each other, as they are in memory now; and one decision for a whole group.
//!
//! What makes a group is decided on the ground. A decision reaches the findings one by one, each with its own step and its
//! own entry in the journal, in commits of bounded size: if one fails, what was decided stands, and the rest can be decided
//! again. Read next: `cordon_server_core::cohort`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::ids::{Name, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::telemetry::Finding;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Commit, Index, Kind};
use cordon_server_core::cohort::group::reaches;
use cordon_server_core::cohort::{Cohorts, Group, Part, Peer, Update};
use cordon_server_core::triage::{Allowance, Record, Refused, Verb, decide};

use crate::app::{App, CommitError, name};
use crate::appraisal::is_counted;
use crate::fleet::Member;
use crate::store::{Cursor, Expected, Key, StoreError};

/// Findings that one commit decides on.
const A_COMMIT: usize = 100;
/// How often a commit is decided anew when devices were faster.
const TRIES: u32 = 8;

/// Why nothing more became of a decision.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// It is not allowed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Who decides, in whose name it is shown, and why.
#[derive(Clone, Copy, Debug)]
pub struct Decider<'a> {
    /// As the journal writes it.
    pub actor: &'a Actor,
    /// As a finding's history names them.
    pub shown: &'a str,
    /// Why.
    pub reason: &'a Text,
}

/// What became of a decision for a whole group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Findings that it reached.
    pub decided: usize,
    /// Findings that were so already.
    pub already: usize,
    /// Critical findings, which are decided one by one.
    pub critical: usize,
    /// Different things that the model is allowed from now on, on every device.
    pub allowed: usize,
}

/// The cohorts of these devices.
#[must_use]
pub fn of(members: &[Arc<Member>], now: Timestamp) -> Cohorts {
    let peers: Vec<Peer<'_>> = members.iter().filter(|member| is_counted(member)).map(peer).collect();
    Cohorts::of(&peers, now)
}

fn peer(member: &Arc<Member>) -> Peer<'_> {
    let confirmed = member.receipts.iter().filter(|receipt| receipt.body.outcome == Outcome::Confirmed);
    Peer {
        device: member.id(),
        model: &member.device.hardware.model,
        heard: member.seen,
        updates: confirmed
            .filter_map(|receipt| {
                let body = &receipt.body;
                Some(Update { release: body.release.as_ref()?, order: &body.order, at: body.time })
            })
            .collect(),
        findings: member.findings.iter().map(|(digest, record)| (*digest, &**record)).collect(),
    }
}

/// Decides on all findings of a group.
pub async fn settle(app: &App, group: &Group, verb: Verb, by: Decider<'_>) -> Result<Decided, GroupError> {
    let mut decided = Decided::default();
    let mut done = Vec::new();
    for parts in group.parts.chunks(A_COMMIT) {
        done.extend(settle_some(app, (group, parts), verb, by, &mut decided).await?);
    }
    if let Verb::Allow { until } = verb {
        decided.allowed = allow(app, group, (&done, until), by).await?;
    }
    Ok(decided)
}

async fn settle_some(
    app: &App,
    (group, parts): (&Group, &[Part]),
    verb: Verb,
    by: Decider<'_>,
    decided: &mut Decided,
) -> Result<Vec<Record>, GroupError> {
    for _ in 0..TRIES {
        let (now, mut tally, mut records) = (app.clock.now(), *decided, Vec::new());
        let mut draft = Commit::draft(now, by.actor.clone());
        for part in parts {
            let key = Key::Finding { device: part.device, finding: part.finding };
            let Some(row) = app.store.get(key.clone()).await? else { continue };
            let record: Record =
                serde_json::from_slice(&row.body).map_err(|_| StoreError::Corrupt(key.to_string()))?;
            if !reaches(verb, &record) {
                tally.critical += 1;
                continue;
            }
            let after = match decide(record, verb, by.shown, by.reason.as_str(), now) {
                Err(Refused::Already) => {
                    tally.already += 1;
                    continue;
                }
                outcome => outcome?,
            };
            let body = serde_json::to_vec(&after).expect("strings and numbers are always JSON");
            draft = draft.expect(key.clone(), Expected::At(row.revision)).put(key, body);
            draft = draft.audit(entry(group, &after, by.reason));
            tally.decided += 1;
            records.push(after);
        }
        match app.commit(draft).await {
            Err(error) if error.is_conflict() => {}
            outcome => {
                outcome?;
                *decided = tally;
                return Ok(records);
            }
        }
    }
    let part = parts.first().map(|part| Key::Finding { device: part.device, finding: part.finding });
    Err(StoreError::Conflict(part.unwrap_or(Key::Meta(name("group")))).into())
}

fn entry(group: &Group, record: &Record, reason: &Text) -> Entry {
    let what = record.history.last().map(|step| step.what.clone()).unwrap_or_default();
    Entry {
        reason: Some(reason.clone()),
        after: Some(Summary::of(&format!("{what}, with all of {}", group.id))),
        ..Entry::new(name("finding.decide"), Text::lossy(&format!("finding:{}", record.id)))
    }
}

/// Writes down what the model is meant to do, for devices that show it later; says how many different things.
async fn allow(
    app: &App,
    group: &Group,
    (records, until): (&[Record], Timestamp),
    by: Decider<'_>,
) -> Result<usize, GroupError> {
    let mut things: BTreeMap<(&Name, &Text), Vec<&Finding>> = BTreeMap::new();
    for record in records {
        let finding = &record.finding;
        things.entry((&finding.detector, &finding.key)).or_default().push(finding);
    }
    let now = app.clock.now();
    let mut allowed = 0;
    for findings in things.values() {
        let told = (by.shown, by.reason);
        let Some(allowance) = Allowance::of(&group.model, findings, (until, now), told) else { continue };
        let words = format!("{} {} until {until}", allowance.detector, allowance.key);
        let entry = Entry {
            reason: Some(by.reason.clone()),
            after: Some(Summary::of(&words)),
            ..Entry::new(name("model.allow"), Text::lossy(&format!("model:{}", group.model)))
        };
        let key = Key::Mute(allowance.id.clone());
        app.commit(Commit::draft(now, by.actor.clone()).put(key, allowance.to_body()).audit(entry)).await?;
        allowed += 1;
    }
    Ok(allowed)
}

/// What models are allowed to do, by model and detector.
pub async fn allowances(app: &App) -> Result<Vec<Allowance>, StoreError> {
    let (mut allowances, mut from) = (Vec::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = app.store.scan(Index::All(Kind::Mute), cursor, cordon_proto::limits::PAGE_ROWS).await?;
        // One that a newer server wrote is not shown by an older one.
        allowances.extend(page.rows.iter().filter_map(|(_, row)| Allowance::from_body(&row.body)));
        from = page.next;
    }
    allowances.sort_by(|a, b| (&a.model, &a.detector, &a.key).cmp(&(&b.model, &b.detector, &b.key)));
    Ok(allowances)
}

/// Takes an allowance back: devices that show it from now on open a finding. Findings that were allowed stay so until
/// their day, or until a person opens them again. Says whether there was one.
pub async fn take_back(app: &App, id: &Name, by: Decider<'_>) -> Result<bool, GroupError> {
    let key = Key::Mute(id.clone());
    let Some(row) = app.store.get(key.clone()).await? else { return Ok(false) };
    let model = Allowance::from_body(&row.body).map(|allowance| allowance.model);
    let object = model.map_or_else(|| format!("allowance:{id}"), |model| format!("model:{model}"));
    let entry = Entry {
        reason: Some(by.reason.clone()),
        before: Some(Summary::of(id.as_str())),
        ..Entry::new(name("model.disallow"), Text::lossy(&object))
    };
    let draft = Commit::draft(app.clock.now(), by.actor.clone())
        .expect(key.clone(), Expected::At(row.revision))
        .delete(key)
        .audit(entry);
    app.commit(draft).await?;
    Ok(true)
}
