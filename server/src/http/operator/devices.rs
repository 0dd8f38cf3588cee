//! `/api/v1/devices`: the inventory with its scores, one device with its reasons, and people's acts on identities.

use std::str::FromStr;

use axum::extract::{Path, Query, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::checkin::{Software, UpdateReport};
use cordon_proto::enrol::from_base64url;
use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::device::{Act, State as Trust};
use cordon_server_core::risk::remedy::of_exposures;
use cordon_server_core::triage::REASON_CHARS_MIN;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, json, not_found, parsed, refused};
use crate::app::ActError;
use crate::appraisal::{Appraised, Published, appraise};
use crate::fleet::Member;
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/fleet", get(fleet))
        .route("/api/v1/devices", get(list))
        .route("/api/v1/devices/{id}", get(show))
        .route("/api/v1/devices/{id}/farewell", get(farewell))
        .route("/api/v1/devices/{id}/{act}", post(act))
}

/// The fleet in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetAnswer {
    /// The server's clock, RFC 3339.
    time: String,
    /// Devices in each state of trust.
    devices: std::collections::BTreeMap<String, usize>,
    /// Different device certificates that have connected since the server started.
    distinct_leaves: usize,
    /// Device connections with a certificate since the server started, ended ones counted.
    connections: u64,
    /// Version of the director's timestamp, 0 before the first publication.
    director_version: u64,
}

/// Which devices are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeviceQuery {
    /// Only in this state of trust.
    state: Option<String>,
    /// Only of this model.
    model: Option<String>,
    /// Only at this site.
    site: Option<String>,
    /// Only known like this: `agent`, `observed`, `imported`.
    source: Option<String>,
    /// Only devices that have this weakness, or one that this advisory is about.
    advisory: Option<String>,
    /// Only devices whose serial, model, site, ward or asset tag contains this text.
    q: Option<String>,
    /// Only devices after this one.
    after: Option<String>,
    /// At most so many, at most 500.
    limit: Option<usize>,
}

/// One page of devices, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevicePage {
    /// The devices.
    devices: Vec<DeviceView>,
    /// Pass as `after` for the next page.
    next: Option<String>,
}

/// One device in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeviceView {
    /// Its name.
    pub id: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its kind.
    pub model: String,
    /// Its board.
    pub revision: String,
    /// Its maker's number.
    pub serial: String,
    /// Its hardware identity H, to be listed in the scope of an order.
    pub hardware_identity: String,
    /// Where it stands.
    pub site: String,
    /// Where it stands.
    pub ward: String,
    /// What it is for.
    pub kind: String,
    /// How it is known: `agent`, `observed`, `imported`.
    pub source: String,
    /// The owner's number for it, from a list of assets.
    pub asset_tag: Option<String>,
    /// Whether we trust it.
    pub state: String,
    /// Last authenticated request, RFC 3339.
    pub seen: Option<String>,
    /// The score in whole points, rounded down.
    pub risk: u16,
    /// The score in hundredths of a point, 0 to 10,000.
    pub risk_hundredths: u16,
    /// The band of the score: `low`, `medium`, `high`, `critical`.
    pub band: String,
    /// Clinical use, as the device says.
    pub interlock: Option<String>,
    /// How much of the network the sensor sees.
    pub sensor_tier: Option<u8>,
    /// The installed release.
    pub release: Option<String>,
    /// What runs.
    #[schema(value_type = Object)]
    pub software: Option<Software>,
    /// Where its update stands.
    #[schema(value_type = Object)]
    pub update: Option<UpdateReport>,
    /// Open findings.
    pub open_findings: usize,
}

/// One device with its reasons.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceAnswer {
    /// The device as in lists.
    #[serde(flatten)]
    device: DeviceView,
    /// The facts that its score depends on (`docs/schemas/facts.json`).
    #[schema(value_type = Object)]
    facts: cordon_server_core::risk::Facts,
    /// The score with its parts (`docs/schemas/score.json`).
    #[schema(value_type = Object)]
    score: cordon_server_core::risk::Score,
    /// What to do, at most three.
    #[schema(value_type = Object)]
    next_steps: Vec<cordon_server_core::risk::NextStep>,
    /// What to do about each vulnerability, by whom and by when; or since when it waits for the maker.
    #[schema(value_type = Vec<Object>)]
    exposure_steps: Vec<cordon_server_core::risk::remedy::ExposureStep>,
    /// Root of its inventory, if the server has it.
    inventory_root: Option<String>,
    /// Packages in its inventory.
    packages: Option<usize>,
    /// Whether it was held against what is known of weaknesses: `no-feeds`, `preparing`, `renewing` or `ready`.
    matching: &'static str,
    /// SHA-256 of the certificate in force.
    leaf: Option<String>,
    /// The last second of its validity, RFC 3339.
    not_after: Option<String>,
    /// SHA-256 of a certificate that was handed out to follow it and has not been used yet.
    next_leaf: Option<String>,
    /// The tier in which it keeps its key, as it says: `file`, `pkcs11`, `tpm`.
    key_protection: Option<String>,
    /// A key that asks for its identity and waits for a person.
    asking: Option<super::approvals::ApprovalView>,
    /// Why there may be more than one machine behind its identity.
    doubt: Option<DoubtView>,
    /// When its last signed receipt came in; it is served at `/api/v1/devices/{id}/farewell`.
    farewell: Option<String>,
    /// What a list of assets says of it.
    #[schema(value_type = Object)]
    asset: Option<cordon_server_core::device::AssetRecord>,
    /// Risks that people accept for it: asked for, in force, or over and not taken back. They change no score.
    exceptions: Vec<super::exceptions::ExceptionView>,
}

/// Why there may be more than one machine behind one identity.
#[derive(Debug, Serialize, ToSchema)]
pub struct DoubtView {
    /// `overlap`, `reuse`, `backwards` or `same-machine`.
    kind: String,
    /// When it was seen first, RFC 3339.
    at: String,
    /// What exactly.
    evidence: String,
}

/// A person's act.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActAsk {
    /// Why, at least 10 characters.
    reason: String,
}

/// The fleet in numbers.
#[utoipa::path(get, path = "/api/v1/fleet", responses((status = 200, body = FleetAnswer)))]
pub async fn fleet(State(operator): State<Operator>) -> Answered<FleetAnswer> {
    let app = &operator.app;
    let devices =
        app.fleet.count().into_iter().map(|(state, count)| (state.word().to_owned(), count)).collect();
    Ok(Json(FleetAnswer {
        time: app.clock.now().to_string(),
        devices,
        distinct_leaves: app.connections.distinct(),
        connections: app.connections.ever(),
        director_version: crate::app::Director::director_version(&operator.rollouts),
    }))
}

/// Devices by name.
#[utoipa::path(get, path = "/api/v1/devices", params(DeviceQuery), responses((status = 200, body = DevicePage)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<DeviceQuery>,
) -> Answered<DevicePage> {
    let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS);
    let after = query.after.as_deref().map(DeviceId::from_str).transpose();
    let after = after.map_err(|_| refused("bad_query", "`after` is the `next` of the page before"))?;
    let (published, now) = (operator.published(), operator.app.clock.now());
    let members = operator.app.fleet.all();
    let advisory = query.advisory.as_deref();
    let affected =
        advisory.map(|advisory| super::advisories::affected(&published.matched, &members, advisory));
    let affected = affected.transpose()?;
    let mut devices = Vec::new();
    let mut more = false;
    for member in members {
        let is_meant = affected.as_ref().is_none_or(|affected| affected.contains(&member.id()));
        if after.is_some_and(|after| member.id() <= after) || !fits(&query, &member) || !is_meant {
            continue;
        }
        if devices.len() == limit {
            more = true;
            break;
        }
        devices.push(view(&member, &published, now).0);
    }
    let next = devices.last().filter(|_| more).map(|device: &DeviceView| device.id.clone());
    Ok(Json(DevicePage { devices, next }))
}

fn fits(query: &DeviceQuery, member: &Member) -> bool {
    let device = &member.device;
    let (hardware, placement) = (&device.hardware, &device.placement);
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let text = query.q.as_deref().unwrap_or("").to_lowercase();
    let tag = device.asset.as_ref().and_then(|asset| asset.tag.as_ref());
    let places = [&hardware.serial, &hardware.model, &placement.site, &placement.ward];
    let mut places = places.into_iter().chain(tag);
    is(&query.state, device.state.word())
        && is(&query.model, hardware.model.as_str())
        && is(&query.site, placement.site.as_str())
        && is(&query.source, device.source.word())
        && (text.is_empty() || places.any(|place| place.as_str().to_lowercase().contains(&text)))
}

/// One device with its reasons.
#[utoipa::path(get, path = "/api/v1/devices/{id}", params(("id" = String, Path)),
    responses((status = 200, body = DeviceAnswer), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<DeviceAnswer> {
    let id: DeviceId = parsed(&id, "device")?;
    let member = operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    let now = operator.app.clock.now();
    let published = operator.published();
    let (device, appraised) = view(&member, &published, now);
    let exceptions = crate::exceptions::all(&operator.app).await?;
    let beside = crate::exceptions::beside(&exceptions, &member, &published, now);
    let identity = member.device.identity.as_ref();
    let doubt = member.device.doubt.as_ref();
    Ok(Json(DeviceAnswer {
        device,
        exposure_steps: of_exposures(&appraised.facts, &published.model, now),
        facts: appraised.facts,
        score: appraised.score,
        next_steps: appraised.steps,
        inventory_root: member.inventory.as_ref().map(|inventory| inventory.root.to_string()),
        packages: member.inventory.as_ref().map(|inventory| inventory.packages),
        matching: operator.app.knowledge.matched().readiness.word(),
        leaf: identity.map(|identity| identity.leaf.to_string()),
        not_after: identity.map(|identity| identity.not_after.to_string()),
        next_leaf: member.device.next.as_ref().map(|next| next.leaf.to_string()),
        key_protection: member.report.as_ref().map(|report| report.key_protection.to_string()),
        asking: super::approvals::ApprovalView::of(&member.device, now),
        doubt: doubt.map(|doubt| DoubtView {
            kind: serde_json::json!(doubt.kind).as_str().unwrap_or_default().to_owned(),
            at: doubt.at.to_string(),
            evidence: doubt.evidence.to_string(),
        }),
        farewell: member.device.farewell.as_ref().map(|farewell| farewell.at.to_string()),
        asset: member.device.asset.clone(),
        exceptions: beside.into_iter().map(|one| super::exceptions::ExceptionView::of(one, now)).collect(),
    }))
}

/// The last receipt that the device signed before it wiped itself, as it came: CBOR of body and signature.
#[utoipa::path(get, path = "/api/v1/devices/{id}/farewell", params(("id" = String, Path)),
    responses((status = 200, content_type = "application/cbor"), (status = 404)))]
pub async fn farewell(
    State(operator): State<Operator>,
    Path(id): Path<String>,
) -> Result<impl axum::response::IntoResponse, Problem> {
    let id: DeviceId = parsed(&id, "device")?;
    let member = operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    let bytes = member.device.farewell.as_ref().and_then(|taken| from_base64url(&taken.bytes));
    let bytes = bytes.ok_or_else(|| not_found("farewell: the device has not taken leave"))?;
    let name = format!("attachment; filename=\"{id}.farewell.cbor\"");
    Ok(([("content-type", "application/cbor".to_owned()), ("content-disposition", name)], bytes))
}

/// Moves a device's identity: `quarantine`, `release`, `retire`, `report-lost`, `find`; or clears a doubt about it:
/// `clear-doubt`. Quarantine stops our trust, not therapy or network. A device that is retired or lost wipes what it
/// knows of its owner at its next contact and leaves a last signed receipt.
#[utoipa::path(post, path = "/api/v1/devices/{id}/{act}", params(("id" = String, Path), ("act" = String, Path)),
    request_body = ActAsk, responses((status = 200, body = DeviceView), (status = 404), (status = 409)))]
pub async fn act(
    State(operator): State<Operator>,
    caller: Caller,
    Path((id, act)): Path<(String, String)>,
    request: Request,
) -> Answered<DeviceView> {
    let id: DeviceId = parsed(&id, "device")?;
    let deed = Deed::of(&act).ok_or_else(|| not_found("act"))?;
    let ask: ActAsk = json(request, "ActAsk").await?;
    deed.done(&operator, &caller, id, good_reason(&ask.reason)?).await?;
    let member = operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    Ok(Json(view(&member, &operator.published(), operator.app.clock.now()).0))
}

/// What people do to an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A step of its life.
    Step(Act),
    /// It is one machine after all.
    ClearDoubt,
}

impl Deed {
    /// The deed of an address.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "quarantine" => Self::Step(Act::Quarantine),
            "release" => Self::Step(Act::Release),
            "retire" => Self::Step(Act::Retire),
            "report-lost" => Self::Step(Act::ReportLost),
            "find" => Self::Step(Act::Find),
            "clear-doubt" => Self::ClearDoubt,
            _ => return None,
        })
    }

    /// Does it.
    pub(crate) async fn done(
        self,
        operator: &Operator,
        caller: &Caller,
        device: DeviceId,
        reason: Text,
    ) -> Result<(), ActError> {
        match self {
            Self::Step(act) => operator.app.act(device, act, reason, &caller.actor).await?,
            Self::ClearDoubt => operator.app.clear_doubt(device, &reason, &caller.actor).await?,
        };
        Ok(())
    }
}

/// A reason that the next shift can use.
pub(crate) fn good_reason(reason: &str) -> Result<Text, Problem> {
    let reason = reason.trim();
    if reason.chars().count() < REASON_CHARS_MIN {
        let detail =
            format!("give a reason of at least {REASON_CHARS_MIN} characters: the next shift reads it");
        return Err(refused("reason_missing", detail));
    }
    Ok(Text::lossy(reason))
}

fn view(member: &Member, published: &Published, now: Timestamp) -> (DeviceView, Appraised) {
    let appraised = appraise(member, published, now);
    let (device, report) = (&member.device, member.report.as_deref());
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let view = DeviceView {
        id: device.id.to_string(),
        manufacturer: device.hardware.manufacturer.to_string(),
        model: device.hardware.model.to_string(),
        revision: device.hardware.revision.to_string(),
        serial: device.hardware.serial.to_string(),
        hardware_identity: device.hardware.identity().to_string(),
        site: device.placement.site.to_string(),
        ward: device.placement.ward.to_string(),
        kind: word(serde_json::json!(device.placement.kind)),
        source: device.source.word().to_owned(),
        asset_tag: device.asset.as_ref().and_then(|asset| asset.tag.as_ref()).map(ToString::to_string),
        state: device.state.word().to_owned(),
        seen: member.seen.map(|seen| seen.to_string()),
        risk: appraised.score.points(),
        risk_hundredths: appraised.score.value_hundredths,
        band: word(serde_json::json!(appraised.score.band)),
        interlock: report.map(|report| word(serde_json::json!(report.interlock))),
        sensor_tier: report.and_then(|report| report.sensor.tier),
        release: report.and_then(|report| report.software.release.as_ref()).map(ToString::to_string),
        software: report.map(|report| report.software.clone()),
        update: report.map(|report| report.update.clone()),
        open_findings: member.findings.values().filter(|record| record.is_open(now)).count(),
    };
    debug_assert!(
        device.state != Trust::Active || device.identity.is_some(),
        "an active device has a certificate"
    );
    (view, appraised)
}
