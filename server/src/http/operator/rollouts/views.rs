//! What the API shows of a rollout: its document, its waves in numbers, and the table of reasons. Its devices are many and
//! come page by page.
//!
//! Nothing is counted here that the engine does not count. Read next: `members` for the devices.

use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::{
    Book, Fleet, Reason, Rollout, Stage, State as Standing, Wave, tally, unaccepted,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Operator;
use crate::rollouts::AsSeen;

/// One rollout with its counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutView {
    /// Its name.
    id: String,
    /// What people call it.
    title: String,
    /// The release that it installs.
    release: String,
    /// `running`, `paused`, `halted`, `stopped`, `aborted`, `returning`, `returned` or `finished`.
    state: &'static str,
    /// When it was created, RFC 3339.
    created: String,
    /// The stored document, without the devices of its waves.
    #[schema(value_type = Object)]
    rollout: Value,
    /// Counts of each wave.
    waves: Vec<WaveView>,
    #[serde(skip)]
    at: Timestamp,
}

impl RolloutView {
    /// When it was created.
    pub(super) fn created(&self) -> Timestamp {
        self.at
    }
}

/// One wave in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaveView {
    /// Not heard since the wave began, or the wave has not begun.
    unreached: u32,
    /// Blocked by something they name.
    waiting: u32,
    /// At work.
    installing: u32,
    /// Ran the ordered image already.
    already: u32,
    /// Confirmed by receipt.
    confirmed: u32,
    /// Gone back by receipt.
    returned: u32,
    /// Rolled back.
    rolled_back: u32,
    /// Refused.
    refused: u32,
    /// Silent after the go.
    silent: u32,
    /// Not accepted by a person.
    not_accepted: u32,
    /// Not returned although the way back was ordered.
    not_returned: u32,
    /// How many confirmed devices a person still has to accept.
    unaccepted: usize,
    /// How many devices it has.
    devices: usize,
    /// Where they are listed, page by page; with `&unaccepted=true` those that a person still has to accept.
    devices_at: String,
}

/// Why devices have not ended or have failed, the most frequent reason first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonPage {
    /// The reasons.
    pub(super) reasons: Vec<ReasonView>,
}

/// One reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonView {
    /// The code of the rule, or `unreached`, `out-of-service`, `held`, `silent`, `not-accepted`.
    code: String,
    /// One of the devices' own sentences.
    sentence: Option<String>,
    /// How many devices.
    count: u32,
    /// In which waves, from 1.
    waves: Vec<usize>,
}

impl From<Reason> for ReasonView {
    fn from(reason: Reason) -> Self {
        let Reason { code, sentence, count, waves } = reason;
        Self { code, sentence, count, waves: waves.into_iter().map(|wave| wave + 1).collect() }
    }
}

/// The facts of a rollout's devices, from the fleet view.
pub(crate) fn fleet_of(operator: &Operator, book: &Book, rollout: &Rollout) -> Fleet {
    let now = operator.app.clock.now();
    let members = rollout.waves.iter().flat_map(|wave| &wave.devices);
    let known = members.filter_map(|id| operator.app.fleet.get(*id));
    known.map(|member| (member.id(), book.facts_of(rollout, member.as_seen(), now))).collect()
}

pub(super) fn view(operator: &Operator, book: &Book, rollout: &Rollout) -> RolloutView {
    let now = operator.app.clock.now();
    let fleet = fleet_of(operator, book, rollout);
    let waves = (1..).zip(&rollout.waves).map(|(number, wave): (usize, _)| {
        let counted = tally(wave, &fleet, &rollout.policy, now);
        WaveView {
            unreached: counted.unreached,
            waiting: counted.waiting,
            installing: counted.installing,
            already: counted.already,
            confirmed: counted.confirmed,
            returned: counted.returned,
            rolled_back: counted.rolled_back,
            refused: counted.refused,
            silent: counted.silent,
            not_accepted: counted.not_accepted,
            not_returned: counted.not_returned,
            unaccepted: unaccepted(rollout, wave, &fleet).len(),
            devices: wave.devices.len(),
            devices_at: format!("/api/v1/rollouts/{}/devices?wave={number}", rollout.id),
        }
    });
    RolloutView {
        id: rollout.id.to_string(),
        title: rollout.title.clone(),
        release: rollout.release.to_string(),
        state: state_word(&rollout.state),
        created: rollout.created.to_string(),
        waves: waves.collect(),
        rollout: document(rollout),
        at: rollout.created,
    }
}

/// The stored document without the devices of its waves, which may be thousands.
fn document(rollout: &Rollout) -> Value {
    let bare = |wave: &Wave| Wave {
        name: wave.name.clone(),
        order: wave.order.clone(),
        devices: Vec::new(),
        started: wave.started,
        settled: wave.settled,
        joins: wave.joins,
        signed: wave.signed.clone(),
    };
    let waves: Vec<Wave> = rollout.waves.iter().map(bare).collect();
    let mut document = json!(Rollout { waves, ..rollout.clone() });
    for wave in document.get_mut("waves").and_then(Value::as_array_mut).into_iter().flatten() {
        wave.as_object_mut().map(|wave| wave.remove("devices"));
    }
    document
}

fn state_word(state: &Standing) -> &'static str {
    match state {
        Standing::Running => "running",
        Standing::Paused { .. } => "paused",
        Standing::Aborted { .. } => "aborted",
        Standing::Returning => "returning",
        Standing::Returned { .. } => "returned",
        Standing::Halted { .. } => "halted",
        Standing::Stopped { .. } => "stopped",
        Standing::Finished { .. } => "finished",
    }
}

/// A stage in a word.
pub(super) fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Unreached => "unreached",
        Stage::Waiting => "waiting",
        Stage::Installing => "installing",
        Stage::Already => "already",
        Stage::Confirmed => "confirmed",
        Stage::Returned => "returned",
        Stage::Failed(_) => "failed",
    }
}
