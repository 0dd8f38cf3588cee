//! `/api/v1/rollouts/{id}/devices`: the devices of a rollout page by page, by wave, stage or reason.
//!
//! A page is read from memory; nothing is counted here that the engine does not count. Read next: `views`.

use std::collections::BTreeSet;
use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, Query, State};
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::{Book, DeviceFacts, Rollout, Stage, unaccepted};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Answered, not_found, parsed, refused};
use super::Operator;
use super::views::{fleet_of, stage_word};
use crate::rollouts::AsSeen;

/// The stages that can be asked for.
const STAGES: [&str; 7] =
    ["unreached", "waiting", "installing", "already", "confirmed", "returned", "failed"];

/// Which devices are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MemberQuery {
    /// Only of this wave, from 1.
    wave: Option<usize>,
    /// Only in this stage: `unreached`, `waiting`, `installing`, `already`, `confirmed`, `returned`, `failed`.
    stage: Option<String>,
    /// Only those that wait or failed for this reason, by its code.
    code: Option<String>,
    /// Only those that confirmed and that a person still has to accept.
    unaccepted: Option<bool>,
    /// Only devices after this one.
    after: Option<String>,
    /// At most so many, at most 500.
    limit: Option<usize>,
}

/// One page of a rollout's devices, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberPage {
    /// The devices.
    devices: Vec<MemberView>,
    /// Pass as `after` for the next page.
    next: Option<String>,
}

/// One device of a rollout.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// Its name.
    device: String,
    /// Its maker's number, if it is enrolled here.
    serial: Option<String>,
    /// The wave that it belongs to, from 1.
    wave: usize,
    /// `unreached`, `waiting`, `installing`, `already`, `confirmed`, `returned`, `failed`.
    stage: &'static str,
    /// Why it waits or failed: the code of the rule, or `unreached`, `out-of-service`, `held`, `silent`, `not-accepted`.
    code: Option<String>,
    /// The same in its own words.
    note: Option<String>,
    /// When it was given the go that is in force, RFC 3339.
    permitted: Option<String>,
    /// When it ended by its receipt, RFC 3339.
    ended: Option<String>,
    /// What a person said who looked at it afterwards.
    accepted: Option<bool>,
}

/// Devices of a rollout by name.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/devices", params(("id" = String, Path), MemberQuery),
    responses((status = 200, body = MemberPage), (status = 404), (status = 422)))]
pub async fn list(
    State(operator): State<Operator>,
    Path(id): Path<String>,
    Query(query): Query<MemberQuery>,
) -> Answered<MemberPage> {
    let id: Name = parsed(&id, "rollout")?;
    let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS);
    let after = query.after.as_deref().map(DeviceId::from_str).transpose();
    let after = after.map_err(|_| refused("bad_query", "`after` is the `next` of the page before"))?;
    if query.stage.as_deref().is_some_and(|stage| !STAGES.contains(&stage)) {
        return Err(refused("bad_query", format!("`stage` is one of {}", STAGES.join(", "))));
    }
    let now = operator.app.clock.now();
    let found = operator.rollouts.look(|book| {
        let rollout = book.rollouts.get(&id)?;
        let page = Page { operator: &operator, book, rollout, now };
        Some(page.rows(&query, after, limit + 1))
    });
    let mut rows = found.ok_or_else(|| not_found("rollout"))?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.device.clone());
    Ok(Json(MemberPage { devices: rows, next }))
}

struct Page<'a> {
    operator: &'a Operator,
    book: &'a Book,
    rollout: &'a Rollout,
    now: Timestamp,
}

impl Page<'_> {
    /// The rows that are asked for, by the devices' names, at most `most`.
    fn rows(&self, query: &MemberQuery, after: Option<DeviceId>, most: usize) -> Vec<MemberView> {
        let waves = self.rollout.waves.iter().enumerate();
        let asked = waves.filter(|(index, _)| query.wave.is_none_or(|wave| wave == index + 1));
        let devices = asked.flat_map(|(index, wave)| wave.devices.iter().map(move |device| (*device, index)));
        let mut devices: Vec<(DeviceId, usize)> =
            devices.filter(|(device, _)| after.is_none_or(|after| *device > after)).collect();
        devices.sort();
        if query.unaccepted == Some(true) {
            let fleet = fleet_of(self.operator, self.book, self.rollout);
            let waiting = self.rollout.waves.iter().flat_map(|wave| unaccepted(self.rollout, wave, &fleet));
            let waiting: BTreeSet<DeviceId> = waiting.collect();
            devices.retain(|(device, _)| waiting.contains(device));
        }
        let rows = devices.into_iter().map(|(device, wave)| self.row(device, wave));
        let fits = |row: &MemberView| {
            let stage = query.stage.as_deref().is_none_or(|stage| stage == row.stage);
            stage && query.code.as_deref().is_none_or(|code| Some(code) == row.code.as_deref())
        };
        rows.filter(fits).take(most).collect()
    }

    fn row(&self, device: DeviceId, wave: usize) -> MemberView {
        let member = self.operator.app.fleet.get(device);
        let begun = self.rollout.waves.get(wave).is_some_and(|wave| wave.started.is_some());
        let facts = member.as_ref().filter(|_| begun);
        let facts = facts.map(|member| self.book.facts_of(self.rollout, member.as_seen(), self.now));
        let stage = |facts: &DeviceFacts| facts.stage(&self.rollout.policy, self.now);
        let reason =
            facts.as_ref().and_then(|facts| self.book.reason_of(self.rollout, device, facts, self.now));
        let (code, note) = reason.map_or((None, None), |(code, note)| (Some(code), note));
        let progress = self.book.progress.get(&self.rollout.id).and_then(|devices| devices.get(&device));
        MemberView {
            device: device.to_string(),
            serial: member.as_ref().map(|member| member.device.hardware.serial.to_string()),
            wave: wave + 1,
            stage: stage_word(facts.as_ref().map_or(Stage::Unreached, stage)),
            code,
            note,
            permitted: progress.and_then(|progress| progress.go_at(self.now)).map(|at| at.to_string()),
            ended: progress.and_then(|progress| progress.ended).map(|at| at.to_string()),
            accepted: progress.and_then(|progress| Some(progress.accepted.as_ref()?.good)),
        }
    }
}
