//! `/api/v1/findings/groups`: findings of many devices of a model that are one, and one decision for all of them; and
//! `/api/v1/allowances`: what a model is meant to do.
//!
//! A group has no record of its own: it is what its devices' findings show now. Read next: `cordon_server_core::cohort`.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use cordon_proto::ids::Name;
use cordon_proto::limits;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;
use cordon_server_core::cohort::group::reaches;
use cordon_server_core::cohort::{Cause, Group, Part};
use cordon_server_core::triage::{Allowance, Preview, Record, Verb};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Beside, DecisionAsk, shown_name, verb_of};
use crate::cohorts::{self, Decided, Decider, GroupError};
use crate::fleet::Member;
use crate::http::operator::devices::good_reason;
use crate::http::operator::{Answered, Operator, json, not_found, parsed, refused};
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/findings/groups", get(list))
        .route("/api/v1/findings/groups/{id}", get(show))
        .route("/api/v1/findings/groups/{id}/preview", get(preview))
        .route("/api/v1/findings/groups/{id}/{verb}", post(decide))
        .route("/api/v1/allowances", get(allowances))
        .route("/api/v1/allowances/{id}", delete(take_back))
}

/// Findings of many devices, the gravest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupPage {
    /// The groups.
    groups: Vec<GroupView>,
}

/// One finding of many devices.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupView {
    /// Its name.
    id: String,
    /// `model`: it began on many devices at once. `post-update-drift`: it began after a confirmed update.
    kind: &'static str,
    /// The model.
    model: String,
    /// What it is.
    title: String,
    /// The gravest of its findings.
    #[schema(value_type = String)]
    severity: Severity,
    /// Devices that show it.
    devices: usize,
    /// Of so many: those heard lately, or those that took the release.
    of: usize,
    /// Its findings that nobody has decided on.
    open: usize,
    /// Its critical findings, which are decided one by one.
    critical: usize,
    /// When it began on the first device, RFC 3339.
    first: String,
    /// When it was last seen on any, RFC 3339.
    last: String,
    /// The detector, of a finding of the model.
    detector: Option<String>,
    /// What it saw, of a finding of the model.
    key: Option<String>,
    /// The release, of drift after an update.
    release: Option<String>,
    /// The rollouts that brought it.
    rollouts: Vec<String>,
    /// Since when, on how many, compared with what.
    what_changed: String,
    /// The act first, then the harmless explanation.
    what_to_do: String,
}

/// One finding of many devices, with each device's own.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupAnswer {
    /// The group.
    #[serde(flatten)]
    group: GroupView,
    /// Its findings, the first 500.
    parts: Vec<PartView>,
}

/// One device's finding.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartView {
    /// The device.
    device: String,
    /// What people call it.
    name: String,
    /// Where it stands.
    ward: String,
    /// The finding's name.
    id: String,
    /// The finding's place in the store.
    digest: String,
    /// What it is.
    title: String,
    /// How grave.
    #[schema(value_type = String)]
    severity: Severity,
    /// When it was first seen, RFC 3339.
    first: String,
    /// What people decided.
    #[schema(value_type = Object)]
    state: cordon_server_core::triage::State,
}

/// What became of a decision for a group.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupDecided {
    /// Findings that it reached.
    decided: usize,
    /// Findings that were so already.
    already: usize,
    /// Critical findings, which are decided one by one.
    critical: usize,
    /// Different things that the model is allowed from now on, on every device.
    allowed: usize,
}

/// What models are meant to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllowancePage {
    /// The allowances, those that are over too.
    #[schema(value_type = Vec<Object>)]
    allowances: Vec<Allowance>,
}

/// Why an allowance is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeBackAsk {
    /// Why, at least 10 characters.
    reason: String,
}

impl Beside {
    /// A part of a group, with its device.
    fn part(&self, part: &Part) -> Option<(&Member, &Record)> {
        let at = self.members.binary_search_by_key(&part.device, |member| member.id()).ok()?;
        let member = self.members.get(at)?;
        Some((&**member, &**member.findings.get(&part.finding)?))
    }

    fn records<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Record> {
        group.parts.iter().filter_map(|part| self.part(part)).map(|(_, record)| record)
    }

    fn group(&self, group: &Group, rollouts: Vec<String>, now: Timestamp) -> GroupView {
        let records: Vec<&Record> = self.records(group).collect();
        let (detector, key, release) = match &group.cause {
            Cause::Model { detector, key, .. } => (Some(detector.to_string()), Some(key.to_string()), None),
            Cause::Update { release, .. } => (None, None, Some(release.to_string())),
        };
        let names: Vec<&str> = rollouts.iter().map(String::as_str).collect();
        let critical = |record: &&&Record| record.finding.severity == Severity::Critical;
        GroupView {
            id: group.id.to_string(),
            kind: group.kind(),
            model: group.model.to_string(),
            title: group.title.to_string(),
            severity: group.severity,
            devices: group.devices(),
            of: group.of,
            open: records.iter().filter(|record| record.is_open(now)).count(),
            critical: records.iter().filter(critical).count(),
            first: group.first.to_string(),
            last: group.last.to_string(),
            detector,
            key,
            release,
            what_changed: group.what_changed(),
            what_to_do: group.what_to_do(&names),
            rollouts,
        }
    }
}

/// The rollouts that brought what a group is about.
pub(crate) fn rollouts_of(operator: &Operator, group: &Group) -> Vec<String> {
    let Cause::Update { orders, .. } = &group.cause else { return Vec::new() };
    operator.rollouts.look(|book| {
        let brought =
            book.rollouts.values().filter(|one| one.waves.iter().any(|w| orders.contains(&w.order)));
        brought.map(|rollout| rollout.id.to_string()).collect()
    })
}

/// Findings of many devices that are one.
#[utoipa::path(get, path = "/api/v1/findings/groups", responses((status = 200, body = GroupPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<GroupPage> {
    let (beside, now) = (Beside::of(&operator).await?, operator.app.clock.now());
    let groups = beside.cohorts.groups.iter().take(limits::PAGE_ROWS);
    let view = |group| beside.group(group, rollouts_of(&operator, group), now);
    Ok(Json(GroupPage { groups: groups.map(view).collect() }))
}

/// One of them, with each device's own finding.
#[utoipa::path(get, path = "/api/v1/findings/groups/{id}", params(("id" = String, Path)),
    responses((status = 200, body = GroupAnswer), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<GroupAnswer> {
    let (beside, group) = known(&operator, &id).await?;
    let part = |part: &Part| {
        let (member, record) = beside.part(part)?;
        Some(PartView {
            device: part.device.to_string(),
            name: member.device.called().to_string(),
            ward: member.device.placement.ward.to_string(),
            id: part.id.to_string(),
            digest: part.finding.to_string(),
            title: record.finding.title.to_string(),
            severity: record.finding.severity,
            first: record.first_seen().to_string(),
            state: record.state.clone(),
        })
    };
    let parts = group.parts.iter().filter_map(part).take(limits::PAGE_ROWS).collect();
    let now = operator.app.clock.now();
    Ok(Json(GroupAnswer { group: beside.group(&group, rollouts_of(&operator, &group), now), parts }))
}

/// What a mute or an allowance of the whole group would hide now, and would have hidden in the last 30 days.
#[utoipa::path(get, path = "/api/v1/findings/groups/{id}/preview", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404)))]
pub async fn preview(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<Preview> {
    let (beside, group) = known(&operator, &id).await?;
    Ok(Json(preview_of(beside.records(&group), operator.app.clock.now())))
}

/// What a decision that hides would hide of these: none that it does not reach.
pub(crate) fn preview_of<'a>(records: impl Iterator<Item = &'a Record>, now: Timestamp) -> Preview {
    Preview::of(records.filter(|record| reaches(Verb::Close, record)), now)
}

async fn known(operator: &Operator, id: &str) -> Result<(Beside, Group), Problem> {
    let id: Name = parsed(id, "group of findings")?;
    let beside = Beside::of(operator).await?;
    let group = beside.cohorts.group(&id).cloned().ok_or_else(|| not_found("group of findings"))?;
    Ok((beside, group))
}

/// Decides on all findings of a group: `acknowledge`, `mute`, `allow`, `close`, `reopen`. Critical ones are only ever
/// acknowledged or opened again so. What is allowed for a group is allowed on every device of the model.
#[utoipa::path(post, path = "/api/v1/findings/groups/{id}/{verb}",
    params(("id" = String, Path), ("verb" = String, Path)),
    request_body = DecisionAsk, responses((status = 200, body = GroupDecided), (status = 404), (status = 422)))]
pub async fn decide(
    State(operator): State<Operator>,
    caller: Caller,
    Path((id, verb)): Path<(String, String)>,
    request: Request,
) -> Answered<GroupDecided> {
    let ask: DecisionAsk = json(request, "DecisionAsk").await?;
    let verb = verb_of(&verb, ask.until.as_deref())?;
    let (_, group) = known(&operator, &id).await?;
    let Decided { decided, already, critical, allowed } =
        settle_group(&operator, &caller, &group, verb, &ask.reason).await?;
    Ok(Json(GroupDecided { decided, already, critical, allowed }))
}

/// Decides on a group, for the API and the console.
pub(crate) async fn settle_group(
    operator: &Operator,
    caller: &Caller,
    group: &Group,
    verb: Verb,
    reason: &str,
) -> Result<Decided, Problem> {
    let (reason, shown) = (good_reason(reason)?, shown_name(caller));
    let by = Decider { actor: &caller.actor, shown: &shown, reason: &reason };
    Ok(cohorts::settle(&operator.app, group, verb, by).await?)
}

/// What models are meant to do, as people said for whole groups.
#[utoipa::path(get, path = "/api/v1/allowances", responses((status = 200, body = AllowancePage)))]
pub async fn allowances(State(operator): State<Operator>) -> Answered<AllowancePage> {
    Ok(Json(AllowancePage { allowances: cohorts::allowances(&operator.app).await? }))
}

/// Takes an allowance back: devices that show it from now on open a finding again.
#[utoipa::path(delete, path = "/api/v1/allowances/{id}", params(("id" = String, Path)), request_body = TakeBackAsk,
    responses((status = 204), (status = 404), (status = 422)))]
pub async fn take_back(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let id: Name = parsed(&id, "allowance")?;
    let ask: TakeBackAsk = json(request, "TakeBackAsk").await?;
    let (reason, shown) = (good_reason(&ask.reason)?, shown_name(&caller));
    let by = Decider { actor: &caller.actor, shown: &shown, reason: &reason };
    let was_there = cohorts::take_back(&operator.app, &id, by).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(not_found("allowance")) }
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Refused(why) => refused("decision_refused", why.to_string()),
            GroupError::Store(error) => error.into(),
            GroupError::Commit(error) => error.into(),
        }
    }
}
