//! What the API shows of a rollout: its document, its waves in numbers, its devices, and the table of reasons.
//!
//! Nothing is counted here that the engine does not count. Read next: `cordon_server_core::rollout`.

use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::{
    Book, Fleet, Reason, Rollout, Stage, State as Standing, tally, unaccepted,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Operator;

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
    /// The stored document.
    #[schema(value_type = Object)]
    rollout: Rollout,
    /// Counts of each wave.
    waves: Vec<WaveView>,
}

impl RolloutView {
    /// When it was created.
    pub(super) fn created(&self) -> Timestamp {
        self.rollout.created
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
    /// Confirmed devices that a person still has to accept.
    unaccepted: Vec<String>,
    /// The devices with their stage.
    devices: Vec<WaveDevice>,
}

/// One device of a wave.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaveDevice {
    /// Its name.
    device: String,
    /// `unreached`, `waiting`, `installing`, `already`, `confirmed`, `returned`, `failed`.
    stage: &'static str,
    /// Its own words for why it waits or failed.
    note: Option<String>,
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
    /// The code of the rule, or `unreached`, `held`, `silent`, `not-accepted`.
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
    known.map(|member| (member.id(), book.facts(rollout, &member.current(), now))).collect()
}

pub(super) fn view(operator: &Operator, book: &Book, rollout: &Rollout) -> RolloutView {
    let now = operator.app.clock.now();
    let fleet = fleet_of(operator, book, rollout);
    let waves = rollout.waves.iter().map(|wave| {
        let counted = tally(wave, &fleet, &rollout.policy, now);
        let devices = wave.devices.iter().map(|id| {
            let facts = fleet.get(id).filter(|_| wave.started.is_some());
            let stage = facts.map_or(Stage::Unreached, |facts| facts.stage(&rollout.policy, now));
            let progress = book.progress.get(&rollout.id).and_then(|devices| devices.get(id));
            let reason = progress.and_then(|progress| progress.reason.as_ref());
            let note = reason.map(|reason| reason.sentence.to_string());
            let note = note.or_else(|| facts.and_then(|facts| facts.blocked.clone()));
            WaveDevice { device: id.to_string(), stage: stage_word(stage), note }
        });
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
            unaccepted: unaccepted(rollout, wave, &fleet).iter().map(ToString::to_string).collect(),
            devices: devices.collect(),
        }
    });
    RolloutView {
        id: rollout.id.to_string(),
        title: rollout.title.clone(),
        release: rollout.release.to_string(),
        state: state_word(&rollout.state),
        created: rollout.created.to_string(),
        waves: waves.collect(),
        rollout: rollout.clone(),
    }
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
