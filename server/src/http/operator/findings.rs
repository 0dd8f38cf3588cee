//! `/api/v1/findings`: what detectors saw, and what people decided about it.

use axum::extract::{Path, Query, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Expected, Key};
use cordon_server_core::triage::{Record, State as Triage, Verb, decide as decided};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, json, not_found, parsed, refused};
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::store::StoreError;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/findings", get(list))
        .route("/api/v1/findings/{device}/{finding}/{verb}", post(decide))
}

/// Which findings are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FindingQuery {
    /// `open` (the default), `acknowledged`, `muted`, `closed` or `all`.
    state: Option<String>,
    /// Only of this device.
    device: Option<String>,
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
}

/// A person's decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionAsk {
    /// Why, at least 10 characters.
    reason: String,
    /// For a mute: when the finding comes back, RFC 3339.
    until: Option<String>,
}

/// Findings, the gravest first, then the newest.
#[utoipa::path(get, path = "/api/v1/findings", params(FindingQuery), responses((status = 200, body = FindingPage)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<FindingQuery>,
) -> Answered<FindingPage> {
    let now = operator.app.clock.now();
    let device: Option<DeviceId> = query.device.as_deref().map(|id| parsed(id, "device")).transpose()?;
    let wanted = query.state.as_deref().unwrap_or("open");
    let fits = |record: &Record| match wanted {
        "open" => record.is_open(now),
        "acknowledged" => record.state == Triage::Acknowledged,
        "muted" => matches!(record.state, Triage::Muted { .. }) && !record.is_open(now),
        "closed" => record.state == Triage::Closed,
        _ => true,
    };
    let mut findings = Vec::new();
    for member in operator.app.fleet.all() {
        if device.is_some_and(|device| device != member.id()) {
            continue;
        }
        let records = member.findings.iter().filter(|(_, record)| fits(record));
        findings.extend(records.map(|(digest, record)| FindingView {
            digest: digest.to_string(),
            record: Record::clone(record),
        }));
    }
    findings.sort_by_key(|view| {
        (std::cmp::Reverse(view.record.finding.severity), std::cmp::Reverse(view.record.finding.last))
    });
    findings.truncate(cordon_proto::limits::PAGE_ROWS);
    Ok(Json(FindingPage { findings }))
}

/// Decides on a finding: `acknowledge`, `mute`, `close`, `reopen`. No decision changes a score but closing.
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
    Ok(Json(FindingView { digest: finding.to_string(), record }))
}

/// The verb of an address, with the end of a mute.
pub(crate) fn verb_of(verb: &str, until: Option<&str>) -> Result<Verb, Problem> {
    match verb {
        "acknowledge" => Ok(Verb::Acknowledge),
        "close" => Ok(Verb::Close),
        "reopen" => Ok(Verb::Reopen),
        "mute" => {
            let until = until.and_then(|text| Timestamp::parse(text).ok());
            let until = until
                .ok_or_else(|| refused("until_missing", "a mute needs `until`, as 2026-12-24T18:00:00Z"))?;
            Ok(Verb::Mute { until })
        }
        _ => Err(not_found("decision")),
    }
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
    let name = if caller.csrf.is_some() { caller.name.to_string() } else { caller.actor.to_string() };
    let record = decided(record, verb, &name, reason, now)
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
