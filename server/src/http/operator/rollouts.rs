//! `/api/v1/rollouts` and `/api/v1/holds`: executing signed orders wave by wave, and stopping them.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use cordon_proto::ids::{DeviceId, HardwareId, Name};
use cordon_proto::limits;
use cordon_proto::update::scope::Scope;
use cordon_server_core::rollout::{
    Book, Covers, Fleet, Hold, Policy, Rollout, Stage, State as Standing, tally,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, json, json_within, not_found, parsed, refused};
use crate::chance;
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::rollouts::{Wanted, WaveWanted};

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/rollouts", get(list).post(create))
        .route("/api/v1/rollouts/{id}", get(show))
        .route("/api/v1/rollouts/{id}/stop", post(stop))
        .route("/api/v1/rollouts/{id}/resume", post(resume))
        .route("/api/v1/holds", get(holds).post(hold))
        .route("/api/v1/holds/{id}", delete(release_hold))
}

/// A rollout that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutAsk {
    /// Its name.
    id: String,
    /// What people call it.
    title: String,
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
}

/// Rollouts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutPage {
    /// The rollouts.
    rollouts: Vec<RolloutView>,
}

/// One rollout with its counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutView {
    /// Its name.
    id: String,
    /// What people call it.
    title: String,
    /// The release that it installs.
    release: String,
    /// `running`, `halted`, `stopped` or `finished`.
    state: &'static str,
    /// When it was created, RFC 3339.
    created: String,
    /// The stored document.
    #[schema(value_type = Object)]
    rollout: Rollout,
    /// Counts of each wave.
    waves: Vec<WaveView>,
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
    /// Confirmed by receipt.
    confirmed: u32,
    /// Rolled back.
    rolled_back: u32,
    /// Refused.
    refused: u32,
    /// Silent after the go.
    silent: u32,
    /// The devices with their stage.
    devices: Vec<WaveDevice>,
}

/// One device of a wave.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaveDevice {
    /// Its name.
    device: String,
    /// `unreached`, `waiting`, `installing`, `confirmed`, `failed`.
    stage: &'static str,
    /// Its own words for why it waits or failed.
    note: Option<String>,
}

/// A person's stop or resume.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonAsk {
    /// Why, at least 10 characters.
    reason: String,
}

/// A hold that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldAsk {
    /// What it covers: `{"kind": "ward", "name": "site/ward"}`, `{"kind": "site", …}` or `{"kind": "model", …}`.
    #[schema(value_type = Object)]
    covers: Covers,
    /// Why, at least 10 characters.
    reason: String,
}

/// Holds in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldPage {
    /// The holds.
    #[schema(value_type = Vec<Object>)]
    holds: Vec<Hold>,
}

/// All rollouts, the newest first.
#[utoipa::path(get, path = "/api/v1/rollouts", responses((status = 200, body = RolloutPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<RolloutPage> {
    let book = operator.rollouts.book();
    let mut rollouts: Vec<RolloutView> =
        book.rollouts.values().map(|rollout| view(&operator, &book, rollout)).collect();
    rollouts.sort_by_key(|view| std::cmp::Reverse(view.rollout.created));
    Ok(Json(RolloutPage { rollouts }))
}

/// One rollout.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", params(("id" = String, Path)),
    responses((status = 200, body = RolloutView), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<RolloutView> {
    let id: Name = parsed(&id, "rollout")?;
    let book = operator.rollouts.book();
    let rollout = book.rollouts.get(&id).ok_or_else(|| not_found("rollout"))?;
    Ok(Json(view(&operator, &book, rollout)))
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
    };
    let id: Name = ask
        .id
        .parse()
        .map_err(|_| refused("rollout_refused", "a rollout is named by a-z, 0-9, `.`, `_`, `-`"))?;
    let book = operator.rollouts.book();
    let waves =
        ask.waves.into_iter().map(|wave| wave_of(&operator, &book, wave)).collect::<Result<_, _>>()?;
    let title = ask.title.chars().filter(|c| !c.is_control()).take(120).collect();
    let wanted = Wanted { id, title, waves, policy };
    let rollout = operator.rollouts.create(wanted, caller.at(operator.app.clock.now())).await?;
    let book = operator.rollouts.book();
    Ok((StatusCode::CREATED, Json(view(&operator, &book, &rollout))))
}

fn wave_of(operator: &Operator, book: &Book, ask: WaveAsk) -> Result<WaveWanted, Problem> {
    let order: Name = parsed(&ask.order, "order")?;
    let Some(members) = ask.members else {
        return Ok((ask.name, order.clone(), matching(operator, book, &order)?));
    };
    let mut devices = Vec::new();
    for text in members {
        let hardware: HardwareId = text.parse().map_err(|_| {
            refused("rollout_refused", "`members` are hardware identities of 64 hexadecimal digits")
        })?;
        let member = operator.app.fleet.by_hardware(hardware).ok_or_else(|| {
            refused(
                "rollout_refused",
                format!("no device with hardware identity {hardware} is enrolled here"),
            )
        })?;
        devices.push((member.id(), hardware));
    }
    Ok((ask.name, order, devices))
}

/// Enrolled devices that fit the order's `match` scope.
fn matching(operator: &Operator, book: &Book, order: &Name) -> Result<Vec<(DeviceId, HardwareId)>, Problem> {
    let live = book.orders.get(order);
    let live = live.ok_or_else(|| refused("rollout_refused", format!("no order `{order}` is live")))?;
    let Scope::Match { model, hardware, from_least, from_most } = &live.scope else {
        return Err(refused(
            "rollout_refused",
            format!("order `{order}` is for a list: pass it as `members`"),
        ));
    };
    let fits = |member: &crate::fleet::Member| {
        let is = &member.device.hardware;
        let counter = member.report.as_ref().map_or(0, |report| report.software.counter);
        is.model == *model && is.revision == *hardware && (*from_least..=*from_most).contains(&counter)
    };
    let all = operator.app.fleet.all();
    let fitting = all.iter().filter(|member| fits(member));
    Ok(fitting.map(|member| (member.id(), member.device.hardware.identity())).collect())
}

/// A person stops a rollout: no device is given the go from now on.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/stop", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409)))]
pub async fn stop(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    set_running(operator, caller, id, request, false).await
}

/// A person lets a stopped or halted rollout go on.
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/resume", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 200, body = RolloutView), (status = 404), (status = 409)))]
pub async fn resume(
    operator: State<Operator>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Answered<RolloutView> {
    set_running(operator, caller, id, request, true).await
}

async fn set_running(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
    running: bool,
) -> Answered<RolloutView> {
    let id: Name = parsed(&id, "rollout")?;
    let ask: ReasonAsk = json(request, "ReasonAsk").await?;
    let now = operator.app.clock.now();
    let rollout = operator.rollouts.set_running(&id, running, &ask.reason, caller.at(now)).await?;
    let devices = rollout.waves.iter().flat_map(|wave| wave.devices.clone());
    operator.app.waits.ring_all(devices);
    let book = operator.rollouts.book();
    Ok(Json(view(&operator, &book, &rollout)))
}

/// Holds in force.
#[utoipa::path(get, path = "/api/v1/holds", responses((status = 200, body = HoldPage)))]
pub async fn holds(State(operator): State<Operator>) -> Answered<HoldPage> {
    Ok(Json(HoldPage { holds: operator.rollouts.book().holds.into_values().collect() }))
}

/// Holds a ward, a site or a model. Needs no key and takes effect at once.
#[utoipa::path(post, path = "/api/v1/holds", request_body = HoldAsk, responses((status = 201), (status = 422)))]
pub async fn hold(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<Hold>), Problem> {
    let ask: HoldAsk = json(request, "HoldAsk").await?;
    let hold = set_hold(&operator, &caller, ask.covers, &ask.reason).await?;
    Ok((StatusCode::CREATED, Json(hold)))
}

/// Sets a hold, for the API and the console.
pub(crate) async fn set_hold(
    operator: &Operator,
    caller: &Caller,
    covers: Covers,
    reason: &str,
) -> Result<Hold, Problem> {
    let digits = u32::from_be_bytes(chance::random());
    let id: Name = format!("h-{digits:08x}").parse().expect("hexadecimal digits make a name");
    let now = operator.app.clock.now();
    let hold = operator.rollouts.hold(id, covers, reason, caller.at(now)).await?;
    operator.app.waits.ring_all(operator.app.fleet.all().iter().map(|member| member.id()));
    Ok(hold)
}

/// Ends a hold, with the reason in the journal.
#[utoipa::path(delete, path = "/api/v1/holds/{id}", params(("id" = String, Path)), request_body = ReasonAsk,
    responses((status = 204), (status = 400), (status = 404), (status = 422)))]
pub async fn release_hold(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let id: Name = parsed(&id, "hold")?;
    let ask: ReasonAsk = json(request, "ReasonAsk").await?;
    lift_hold(&operator, &caller, &id, &ask.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a hold, for the API and the console.
pub(crate) async fn lift_hold(
    operator: &Operator,
    caller: &Caller,
    id: &Name,
    reason: &str,
) -> Result<(), Problem> {
    operator.rollouts.release_hold(id, reason, caller.at(operator.app.clock.now())).await?;
    operator.app.waits.ring_all(operator.app.fleet.all().iter().map(|member| member.id()));
    Ok(())
}

/// The facts of a rollout's devices, from the fleet view.
pub(crate) fn fleet_of(operator: &Operator, book: &Book, rollout: &Rollout) -> Fleet {
    let members = rollout.waves.iter().flat_map(|wave| &wave.devices);
    let known = members.filter_map(|id| operator.app.fleet.get(*id));
    known.map(|member| (member.id(), book.facts(rollout, &member.current()))).collect()
}

fn view(operator: &Operator, book: &Book, rollout: &Rollout) -> RolloutView {
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
            confirmed: counted.confirmed,
            rolled_back: counted.rolled_back,
            refused: counted.refused,
            silent: counted.silent,
            devices: devices.collect(),
        }
    });
    debug_assert!(
        !matches!(rollout.state, Standing::Finished { .. })
            || rollout.waves.iter().all(|w| w.settled.is_some())
    );
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
        Standing::Halted { .. } => "halted",
        Standing::Stopped { .. } => "stopped",
        Standing::Finished { .. } => "finished",
    }
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Unreached => "unreached",
        Stage::Waiting => "waiting",
        Stage::Installing => "installing",
        Stage::Confirmed => "confirmed",
        Stage::Failed(_) => "failed",
    }
}
