//! `/api/v1/findings`: what detectors saw, how it compares with the rest of the model, and what people decided about it.
//!
//! Read next: [`groups`] for findings of many devices that are one.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::ids::{DeviceId, Name, Sha256};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Expected, Key};
use cordon_server_core::cohort::Cohorts;
use cordon_server_core::triage::{
    Preview, Record, State as Triage, Verb, Verdict, decide as decided, verdicts_on,
};
use cordon_server_core::visit::Visit;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, json, not_found, parsed, refused};
use crate::cohorts;
use crate::fleet::Member;
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::store::StoreError;
use crate::visits;

pub mod groups;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/findings", get(list))
        .route("/api/v1/findings/{device}/{finding}", get(show))
        .route("/api/v1/findings/{device}/{finding}/preview", get(preview))
        .route("/api/v1/findings/{device}/{finding}/{verb}", post(decide))
        .merge(groups::routes())
}

/// Which findings are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FindingQuery {
    /// `open` (the default), `acknowledged`, `muted`, `allowed`, `closed` or `all`.
    state: Option<String>,
    /// Only of this device.
    device: Option<String>,
    /// Only the one with this name, `f-…`.
    id: Option<String>,
    /// Only those of this group, `g-…`.
    group: Option<String>,
}

/// All findings asked for, the gravest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingPage {
    /// The findings.
    findings: Vec<FindingView>,
}

/// One finding.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingView {
    /// Its place in the store, for acts.
    pub digest: String,
    /// The record: name, device, report, state, history.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub record: Record,
    /// How it compares; not in the answer to an act.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub compared: Option<ComparedView>,
}

/// How a finding compares with the rest of the model, and with what was announced.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComparedView {
    /// The finding of many devices that it is one of.
    pub group: Option<String>,
    /// How rare it is for the model.
    pub rarity: RarityView,
    /// The service visit inside which it began.
    pub visit: Option<TieView>,
}

/// How rare a finding is for its model. Counted is what devices reported: one that learned the same as usual reports nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct RarityView {
    /// Whether this device is the only one of its model that reported it, and at least five others were heard.
    pub outlier: bool,
    /// Other devices of the model heard in the last 7 days.
    pub others: usize,
    /// Other devices of the model that ever reported the same.
    pub reported: usize,
    /// In words.
    pub words: String,
}

/// The visit inside which a finding began.
#[derive(Debug, Serialize, ToSchema)]
pub struct TieView {
    /// The visit.
    pub id: String,
    /// Who came.
    pub who: String,
    /// Whether the finding stands lower for it. A critical one never does.
    pub expected: bool,
}

/// One finding with what people decided about the like.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingAnswer {
    /// The finding.
    #[serde(flatten)]
    finding: FindingView,
    /// What people decided about the like, the closest first, at most 10.
    #[schema(value_type = Vec<Object>)]
    verdicts: Vec<Verdict>,
}

/// For what a preview is asked.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PreviewQuery {
    /// `device` (the default): only this finding. `model`: the same on every device of the model.
    scope: Option<String>,
}

/// A person's decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionAsk {
    /// Why, at least 10 characters.
    pub(super) reason: String,
    /// For a mute or an allowance: when the finding is news again, RFC 3339.
    pub(super) until: Option<String>,
}

/// What findings are compared with.
struct Beside {
    members: Vec<Arc<Member>>,
    cohorts: Cohorts,
    visits: Vec<Visit>,
}

impl Beside {
    async fn of(operator: &Operator) -> Result<Self, Problem> {
        let visits = visits::all(&operator.app).await?;
        let (members, now) = (operator.app.fleet.all(), operator.app.clock.now());
        let compare = move || {
            let cohorts = cohorts::of(&members, now);
            Self { members, cohorts, visits }
        };
        tokio::task::spawn_blocking(compare).await.map_err(|error| Problem::internal(&error))
    }

    fn view(&self, member: &Member, (digest, record): (&Sha256, &Record)) -> FindingView {
        let rarity = self.cohorts.rarity(&member.device.hardware.model, record);
        let tie = visits::tie(&self.visits, member, record);
        let compared = ComparedView {
            group: self.cohorts.group_of(&record.id).map(|group| group.id.to_string()),
            rarity: RarityView {
                outlier: rarity.is_outlier(),
                others: rarity.others,
                reported: rarity.told,
                words: rarity.words(),
            },
            visit: tie.map(|tie| TieView {
                id: tie.visit.id.to_string(),
                who: tie.visit.who.to_string(),
                expected: tie.is_expected,
            }),
        };
        FindingView { digest: digest.to_string(), record: record.clone(), compared: Some(compared) }
    }
}

/// Findings, the gravest first, then the newest.
#[utoipa::path(get, path = "/api/v1/findings", params(FindingQuery), responses((status = 200, body = FindingPage)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<FindingQuery>,
) -> Answered<FindingPage> {
    let now = operator.app.clock.now();
    let device: Option<DeviceId> = query.device.as_deref().map(|id| parsed(id, "device")).transpose()?;
    let id: Option<Name> = query.id.as_deref().map(|id| parsed(id, "finding")).transpose()?;
    let group: Option<Name> = query.group.as_deref().map(|id| parsed(id, "group of findings")).transpose()?;
    let wanted = query.state.as_deref().unwrap_or(if id.is_some() { "all" } else { "open" });
    let beside = Beside::of(&operator).await?;
    let in_group = |record: &Record| {
        let found = beside.cohorts.group_of(&record.id).map(|group| &group.id);
        group.as_ref().is_none_or(|group| found == Some(group))
    };
    let fits = |record: &Record| {
        let is_in_state = match wanted {
            "open" => record.is_open(now),
            "acknowledged" => record.state == Triage::Acknowledged,
            "muted" => matches!(record.state, Triage::Muted { .. }) && !record.is_open(now),
            "allowed" => matches!(record.state, Triage::Allowed { .. }),
            "closed" => record.state == Triage::Closed,
            _ => true,
        };
        is_in_state && id.as_ref().is_none_or(|id| *id == record.id) && in_group(record)
    };
    let mut found = Vec::new();
    for member in &beside.members {
        if device.is_none_or(|device| device == member.id()) {
            let records = member.findings.iter().filter(|(_, record)| fits(record));
            found.extend(records.map(|(digest, record)| (member, digest, record)));
        }
    }
    found.sort_by_key(|(_, _, record)| {
        (std::cmp::Reverse(record.finding.severity), std::cmp::Reverse(record.finding.last))
    });
    found.truncate(cordon_proto::limits::PAGE_ROWS);
    let views = found.into_iter().map(|(member, digest, record)| beside.view(member, (digest, record)));
    Ok(Json(FindingPage { findings: views.collect() }))
}

/// One finding: how it compares, and what people decided about the like.
#[utoipa::path(get, path = "/api/v1/findings/{device}/{finding}",
    params(("device" = String, Path), ("finding" = String, Path)),
    responses((status = 200, body = FindingAnswer), (status = 404)))]
pub async fn show(
    State(operator): State<Operator>,
    Path((device, finding)): Path<(String, String)>,
) -> Answered<FindingAnswer> {
    let (member, digest, record) = known(&operator, &device, &finding)?;
    let beside = Beside::of(&operator).await?;
    let verdicts = past_verdicts(&beside.members, &member, &record);
    Ok(Json(FindingAnswer { finding: beside.view(&member, (&digest, &record)), verdicts }))
}

/// What a mute or an allowance of this finding would hide now, and would have hidden in the last 30 days.
#[utoipa::path(get, path = "/api/v1/findings/{device}/{finding}/preview",
    params(("device" = String, Path), ("finding" = String, Path), PreviewQuery),
    responses((status = 200, body = Object), (status = 404), (status = 422)))]
pub async fn preview(
    State(operator): State<Operator>,
    Path((device, finding)): Path<(String, String)>,
    Query(query): Query<PreviewQuery>,
) -> Answered<Preview> {
    let (member, digest, record) = known(&operator, &device, &finding)?;
    let now = operator.app.clock.now();
    match query.scope.as_deref() {
        None | Some("device") => Ok(Json(Preview::of([&*record], now))),
        Some("model") => {
            let members = operator.app.fleet.all();
            let model = &member.device.hardware.model;
            let alike = members.iter().filter(|other| other.device.hardware.model == *model);
            let records = alike.filter_map(|other| other.findings.get(&digest).map(|record| &**record));
            Ok(Json(Preview::of(records, now)))
        }
        Some(_) => Err(refused("bad_scope", "`scope` is device or model")),
    }
}

/// A finding of an address.
fn known(
    operator: &Operator,
    device: &str,
    finding: &str,
) -> Result<(Arc<Member>, Sha256, Arc<Record>), Problem> {
    let device: DeviceId = parsed(device, "device")?;
    let finding: Sha256 = parsed(finding, "finding")?;
    let member = operator.app.fleet.get(device).ok_or_else(|| not_found("device"))?;
    let record = member.findings.get(&finding).cloned().ok_or_else(|| not_found("finding"))?;
    Ok((member, finding, record))
}

/// What people decided about the like of a finding, over all devices.
pub(crate) fn past_verdicts(members: &[Arc<Member>], member: &Member, record: &Record) -> Vec<Verdict> {
    let of = |other: &'_ Arc<Member>| {
        let model = other.device.hardware.model.clone();
        let like = other.findings.values().filter(|like| like.finding.detector == record.finding.detector);
        like.map(|like| (model.clone(), like.clone())).collect::<Vec<_>>()
    };
    let all: Vec<_> = members.iter().flat_map(of).collect();
    verdicts_on(record, &member.device.hardware.model, all.iter().map(|(model, like)| (model, &**like)))
}

/// Decides on a finding: `acknowledge`, `mute`, `allow`, `close`, `reopen`. Allowed and closed findings weigh nothing in the
/// score; no other decision changes it.
#[utoipa::path(post, path = "/api/v1/findings/{device}/{finding}/{verb}",
    params(("device" = String, Path), ("finding" = String, Path), ("verb" = String, Path)),
    request_body = DecisionAsk, responses((status = 200, body = FindingView), (status = 404), (status = 409)))]
pub async fn decide(
    State(operator): State<Operator>,
    caller: Caller,
    Path((device, finding, verb)): Path<(String, String, String)>,
    request: Request,
) -> Answered<FindingView> {
    let device: DeviceId = parsed(&device, "device")?;
    let finding: Sha256 = parsed(&finding, "finding")?;
    let ask: DecisionAsk = json(request, "DecisionAsk").await?;
    let verb = verb_of(&verb, ask.until.as_deref())?;
    let record = settle(&operator, &caller, (device, finding), verb, &ask.reason).await?;
    Ok(Json(FindingView { digest: finding.to_string(), record, compared: None }))
}

/// The verb of an address, with the end of a mute.
pub(crate) fn verb_of(verb: &str, until: Option<&str>) -> Result<Verb, Problem> {
    match verb {
        "acknowledge" => Ok(Verb::Acknowledge),
        "close" => Ok(Verb::Close),
        "reopen" => Ok(Verb::Reopen),
        "mute" => Ok(Verb::Mute { until: end_of(until)? }),
        "allow" => Ok(Verb::Allow { until: end_of(until)? }),
        _ => Err(not_found("decision")),
    }
}

fn end_of(until: Option<&str>) -> Result<Timestamp, Problem> {
    let words = "a mute and an allowance need `until`, as 2026-12-24T18:00:00Z";
    until.and_then(|text| Timestamp::parse(text).ok()).ok_or_else(|| refused("until_missing", words))
}

/// How a person is named in the history of a finding.
pub(crate) fn shown_name(caller: &Caller) -> String {
    if caller.csrf.is_some() { caller.name.to_string() } else { caller.actor.to_string() }
}

/// Loads, decides and commits, with the decision in the journal.
pub(crate) async fn settle(
    operator: &Operator,
    caller: &Caller,
    (device, finding): (DeviceId, Sha256),
    verb: Verb,
    reason: &str,
) -> Result<Record, Problem> {
    let now = operator.app.clock.now();
    let key = Key::Finding { device, finding };
    let row = operator.app.store.get(key.clone()).await?.ok_or_else(|| not_found("finding"))?;
    let record: Record =
        serde_json::from_slice(&row.body).map_err(|_| StoreError::Corrupt(key.to_string()))?;
    let record = decided(record, verb, &shown_name(caller), reason, now)
        .map_err(|error| refused("decision_refused", error.to_string()))?;
    let body = serde_json::to_vec(&record).expect("strings and numbers are always JSON");
    let what = record.history.last().map(|step| step.what.clone()).unwrap_or_default();
    let entry = Entry {
        reason: Some(super::devices::good_reason(reason)?),
        after: Some(Summary::of(&what)),
        ..Entry::new(
            "finding.decide".parse().expect("a valid name"),
            cordon_proto::ids::Text::lossy(&format!("finding:{}", record.id)),
        )
    };
    let draft = Commit::draft(now, caller.actor.clone())
        .expect(key.clone(), Expected::At(row.revision))
        .put(key, body)
        .audit(entry);
    operator.app.commit(draft).await?;
    Ok(record)
}
