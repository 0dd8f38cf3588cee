//! `/api/v1/rollouts`: executing signed orders wave by wave, and what people do with it. None of it needs a key.
//!
//! Read next: `opening` for what is asked before one begins, `views` and `members` for what is shown, `holds` for
//! stopping a place.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use cordon_proto::ids::{DeviceId, HardwareId, Name};
use cordon_proto::limits;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_server_core::rollout::{
    Acceptance, Advance, Book, Policy, RolloutKind, USUAL_PRIORITY, content_key, fits,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, json, json_within, not_found, parsed, refused};
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::rollouts::{Deed, RolloutError, Wanted, WaveWanted};

pub mod holds;
pub mod members;
mod opening;
pub mod views;

pub(crate) use self::holds::{lift_hold, set_hold};
pub(crate) use self::views::fleet_of;
use self::views::view;
pub use self::views::{ReasonPage, RolloutView};

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/rollouts", get(list).post(create))
        .route("/api/v1/rollouts/{id}", get(show))
        .route("/api/v1/rollouts/{id}/reasons", get(reasons))
        .route("/api/v1/rollouts/{id}/pause", post(pause))
        .route("/api/v1/rollouts/{id}/stop", post(stop))
        .route("/api/v1/rollouts/{id}/resume", post(resume))
        .route("/api/v1/rollouts/{id}/abort", post(abort))
        .route("/api/v1/rollouts/{id}/back", post(back))
        .route("/api/v1/rollouts/{id}/finish", post(finish))
        .route("/api/v1/rollouts/{id}/devices", get(members::list))
        .route("/api/v1/rollouts/{id}/devices/{device}/accept", post(accept))
        .route("/api/v1/holds", get(holds::list).post(holds::set))
        .route("/api/v1/holds/{id}", delete(holds::end))
}

/// A rollout that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutAsk {
    /// Its name.
    id: String,
    /// What people call it.
    title: String,
    /// What is rolled out: `firmware`, or `content`, whose waves name the content and not an order.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    kind: RolloutKind,
    /// The waves, first to last.
    waves: Vec<WaveAsk>,
    /// Failures of finished devices, in thousandths, above which it stops itself; 20 if not given.
    failure_limit_permille: Option<u32>,
    /// Devices that may hold a permit at once; 20 if not given.
    in_flight: Option<u32>,
    /// Seconds after which a device that was given the go counts as silent; 10800 if not given.
    silent_after_s: Option<u32>,
    /// Seconds to watch a settled wave before the next begins; 86400 if not given.
    soak_s: Option<u32>,
    /// So many failures in one wave stop it, whatever their share.
    failure_count: Option<u32>,
    /// A plain share of failures, in thousandths, above which it stops once 20 devices of a wave have finished.
    failure_rate_permille: Option<u32>,
    /// When a wave is settled although some devices have not ended.
    #[schema(value_type = Option<Object>)]
    advance: Option<Advance>,
    /// Of two rollouts for one device the one with the higher number is offered, 0 to 1000; 500 if not given.
    priority: Option<u16>,
    /// Which confirmed devices a person has to accept: `{"kind": "none"}`, `{"kind": "sample", "per_wave": 2}` or
    /// `{"kind": "every"}`.
    #[schema(value_type = Option<Object>)]
    acceptance: Option<Acceptance>,
    /// The number of the work order in the hospital's own books.
    work_order: Option<String>,
}

/// A wave that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaveAsk {
    /// What people call it.
    name: String,
    /// The order that its devices are offered.
    order: String,
    /// Hardware identities H of the devices: for an order whose scope is a set, the very list that was signed. Without
    /// a list, every enrolled device that fits a `match` scope.
    members: Option<Vec<String>>,
    /// Those of the list that stand in this wave, where several waves share one order; `members` is then the whole list,
    /// given with any one of them.
    part: Option<Vec<String>>,
    /// Whether enrolled devices that come to fit a `match` scope while the rollout is open are taken in.
    #[serde(default)]
    joins: bool,
}

/// Rollouts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutPage {
    /// The rollouts.
    rollouts: Vec<RolloutView>,
}

/// What a person says of a device after the install.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptAsk {
    /// Whether it may stay in use so.
    good: bool,
    /// The number of the work order in the hospital's own books.
    work_order: Option<String>,
    /// What was seen, at least 10 characters.
    note: String,
}

/// Why a person does something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonAsk {
    /// Why, at least 10 characters.
    pub(super) reason: String,
    /// The state that the person saw, such as `halted`: resuming, sending back and finishing are refused over another one.
    #[serde(default)]
    seen: Option<String>,
}

/// All rollouts, the newest first.
#[utoipa::path(get, path = "/api/v1/rollouts", responses((status = 200, body = RolloutPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<RolloutPage> {
    let book = operator.rollouts.book();
    let mut rollouts: Vec<RolloutView> =
        book.rollouts.values().map(|rollout| view(&operator, &book, rollout)).collect();
    rollouts.sort_by_key(|view| std::cmp::Reverse(view.created()));
    Ok(Json(RolloutPage { rollouts }))
}

/// One rollout.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", params(("id" = String, Path)),
    responses((status = 200, body = RolloutView), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<RolloutView> {
    let id: Name = parsed(&id, "rollout")?;
    let shown = operator.rollouts.look(|book| Some(view(&operator, book, book.rollouts.get(&id)?)));
    shown.map(Json).ok_or_else(|| not_found("rollout"))
}

/// Begins a rollout of orders that are live.
#[utoipa::path(post, path = "/api/v1/rollouts", request_body = RolloutAsk,
    responses((status = 201, body = RolloutView), (status = 409), (status = 422)))]
pub async fn create(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<RolloutView>), Problem> {
    let ask: RolloutAsk = json_within(request, "RolloutAsk", limits::ROLLOUT_BYTES).await?;
    let standard = Policy::default();
    let policy = Policy {
        failure_limit_permille: ask.failure_limit_permille.unwrap_or(standard.failure_limit_permille),
        in_flight: ask.in_flight.unwrap_or(standard.in_flight),
        silent_after_s: ask.silent_after_s.unwrap_or(standard.silent_after_s),
        soak_s: ask.soak_s.unwrap_or(standard.soak_s),
        failure_count: ask.failure_count,
        failure_rate_permille: ask.failure_rate_permille,
        advance: ask.advance.unwrap_or_default(),
        ..standard
    };
    if let Some(words) = policy.unfit() {
        return Err(refused("rollout_refused", words));
    }
    let priority = ask.priority.unwrap_or(USUAL_PRIORITY);
    if priority > 1000 {
        return Err(refused("rollout_refused", "`priority` is a number from 0 to 1000"));
    }
    let id: Name = ask
        .id
        .parse()
        .map_err(|_| refused("rollout_refused", "a rollout is named by a-z, 0-9, `.`, `_`, `-`"))?;
    // Another server may have taken the publication in a moment ago.
    operator.rollouts.read_orders(operator.app.clock.now()).await?;
    let book = operator.rollouts.book();
    let mut lists = BTreeMap::new();
    let (mut waves, mut joins) = (Vec::new(), BTreeSet::new());
    for (index, mut wave) in ask.waves.into_iter().enumerate() {
        wave.order = name_of(ask.kind, &wave.order)?.to_string();
        if wave.joins {
            joins.insert(index);
        }
        if let (Some(members), Some(_)) = (&wave.members, &wave.part) {
            let list = members.iter().map(|text| hardware(text)).collect::<Result<_, _>>()?;
            lists.insert(parsed(&wave.order, "order")?, list);
        }
        waves.push(wave_of(&operator, (ask.kind, &book), wave)?);
    }
    let title = ask.title.chars().filter(|c| !c.is_control()).take(120).collect();
    let work_order = ask.work_order.map(|number| plain(&number));
    let acceptance = ask.acceptance.unwrap_or_default();
    if ask.kind == RolloutKind::Content && acceptance != Acceptance::None {
        let words = "a content changes nothing that a person could look at: leave `acceptance` out";
        return Err(refused("rollout_refused", words));
    }
    let wanted = Wanted {
        lists,
        joins,
        priority,
        acceptance,
        work_order,
        kind: ask.kind,
        ..Wanted::new(id, title, waves, policy)
    };
    opening::ready(&operator, &wanted).await?;
    let rollout = operator.rollouts.create(wanted, caller.at(operator.app.clock.now())).await?;
    Ok((StatusCode::CREATED, Json(operator.rollouts.look(|book| view(&operator, book, &rollout)))))
}

/// What a wave carries out, by the name that the book knows.
fn name_of(kind: RolloutKind, asked: &str) -> Result<Name, Problem> {
    let name: Name = parsed(asked, "order")?;
    match kind {
        RolloutKind::Firmware => Ok(name),
        RolloutKind::Content => content_key(&name).ok_or_else(|| not_found("content")),
    }
}

fn wave_of(
    operator: &Operator,
    (kind, book): (RolloutKind, &Book),
    ask: WaveAsk,
) -> Result<WaveWanted, Problem> {
    let order: Name = parsed(&ask.order, "order")?;
    let Some(members) = ask.part.or(ask.members) else {
        return Ok((ask.name, order.clone(), matching(operator, (kind, book), &order)?));
    };
    let live = book.listed(kind).get(&order);
    let mut devices = Vec::new();
    for text in members {
        let hardware = hardware(&text)?;
        let member = operator.app.fleet.by_hardware(hardware).ok_or_else(|| {
            refused("not_enrolled", format!("no device with hardware identity {hardware} is enrolled here"))
        })?;
        let misfit =
            |order: &Order| matches!(order.scope, Scope::Match { .. }) && !fits(order, &member.current());
        if live.is_some_and(misfit) {
            return Err(refused(
                "not_in_scope",
                format!("device {} does not fit the facts that order `{order}` names", member.id()),
            ));
        }
        devices.push((member.id(), hardware));
    }
    // Of an order that is not known yet nobody could say who fits it.
    live.ok_or_else(|| RolloutError::not_listed(kind, &order))?;
    Ok((ask.name, order, devices))
}

fn hardware(text: &str) -> Result<HardwareId, Problem> {
    text.parse()
        .map_err(|_| refused("rollout_refused", "`members` are hardware identities of 64 hexadecimal digits"))
}

/// A number of another system, as data.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Enrolled devices that fit the order's `match` scope.
fn matching(
    operator: &Operator,
    (kind, book): (RolloutKind, &Book),
    order: &Name,
) -> Result<Vec<(DeviceId, HardwareId)>, Problem> {
    let live = book.listed(kind).get(order);
    let live = live.ok_or_else(|| RolloutError::not_listed(kind, order))?;
    if !matches!(live.scope, Scope::Match { .. }) {
        return Err(refused(
            "rollout_refused",
            format!("order `{order}` is for a list: pass it as `members`"),
        ));
    }
    let all = operator.app.fleet.all();
    let fitting = all.iter().filter(|member| fits(live, &member.current()));
    Ok(fitting.map(|member| (member.id(), member.device.hardware.identity())).collect())
}

/// A person pauses a rollout: no new go is given, those that were given are kept.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/pause", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409), (status = 422)))]
pub async fn pause(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    act(operator, caller, (id, Deed::Pause), request).await
}

/// A person stops a rollout: no device has the go from now on.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/stop", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409), (status = 422)))]
pub async fn stop(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    act(operator, caller, (id, Deed::Stop), request).await
}

/// A person lets a paused, stopped or halted rollout go on.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/resume", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409), (status = 422)))]
pub async fn resume(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    act(operator, caller, (id, Deed::Resume), request).await
}

/// A person ends a rollout for good. Its orders stay as they are.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/abort", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409), (status = 422)))]
pub async fn abort(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    act(operator, caller, (id, Deed::Abort), request).await
}

/// A person sends confirmed devices to the signed way back. No key is needed: it was signed with the order.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/back", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409), (status = 422)))]
pub async fn back(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    act(operator, caller, (id, Deed::Back), request).await
}

/// A person ends a rollout as done although some devices are left.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/finish", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409), (status = 422)))]
pub async fn finish(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    act(operator, caller, (id, Deed::Finish), request).await
}

async fn act(
    State(operator): State<Operator>,
    caller: Caller,
    (Path(id), deed): (Path<String>, Deed),
    request: Request,
) -> Answered<RolloutView> {
    let id: Name = parsed(&id, "rollout")?;
    let ask: ReasonAsk = json(request, "ReasonAsk").await?;
    let now = operator.app.clock.now();
    let said = (ask.reason.as_str(), ask.seen.as_deref());
    let rollout = operator.rollouts.act_on(&id, deed, said, caller.at(now)).await?;
    let devices = rollout.waves.iter().flat_map(|wave| wave.devices.clone());
    operator.app.waits.ring_all(devices);
    Ok(Json(operator.rollouts.look(|book| view(&operator, book, &rollout))))
}

/// A person has looked at a confirmed device, and accepts it or not. One that is not accepted counts as failed.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/devices/{device}/accept",
    params(("id" = String, Path), ("device" = String, Path)), request_body = AcceptAsk,
    responses((status = 204), (status = 404), (status = 422)))]
pub async fn accept(
    State(operator): State<Operator>,
    caller: Caller,
    Path((id, device)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (id, device): (Name, DeviceId) = (parsed(&id, "rollout")?, parsed(&device, "device")?);
    let ask: AcceptAsk = json(request, "AcceptAsk").await?;
    let word = (ask.good, ask.work_order.map(|number| plain(&number)));
    let now = operator.app.clock.now();
    operator.rollouts.accept((&id, device), word, &ask.note, caller.at(now)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why devices of a rollout have not ended or have failed.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/reasons", params(("id" = String, Path)),
    responses((status = 200, body = ReasonPage), (status = 404)))]
pub async fn reasons(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<ReasonPage> {
    let id: Name = parsed(&id, "rollout")?;
    let book = operator.rollouts.book();
    let rollout = book.rollouts.get(&id).ok_or_else(|| not_found("rollout"))?;
    let found = book.reasons(rollout, &fleet_of(&operator, &book, rollout), operator.app.clock.now());
    Ok(Json(ReasonPage { reasons: found.into_iter().map(Into::into).collect() }))
}
