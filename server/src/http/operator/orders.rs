//! `/api/v1/orders`: the live install orders as they were signed, and what an order would do before anybody signs it.
//!
//! A preview changes nothing and proves nothing: it is for the eyes of the people who will sign, on their own
//! workstations. Read next: `server/core`'s `order_plan` for every rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::ids::{DeviceId, Name, TargetPath};
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_server_core::device::State as Trust;
use cordon_server_core::exposure::Bill;
use cordon_server_core::import::KnownRelease;
use cordon_server_core::order_plan::{BackPreview, Case, Fate, Meant, fate, preview, way_back};
use cordon_server_core::paths_up::steps_of;
use cordon_server_core::risk::score::value;
use cordon_server_core::risk::what_if::{FleetEffect, effect};
use cordon_server_core::select::{Filter, FilterRefused, Seen};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::risk::afterwards::{Afterwards, bill_of};
use super::{Answered, Operator, json, not_found, parsed, refused};
use crate::appraisal::{Published, facts};
use crate::fleet::Member;
use crate::http::problem::Problem;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/orders", get(list))
        .route("/api/v1/orders/{id}", get(show))
        .route("/api/v1/orders/preview", post(plan))
}

/// The live orders.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderPage {
    /// The orders.
    orders: Vec<OrderView>,
}

/// An order as it was signed.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderView {
    /// Its name.
    id: String,
    /// The release that it installs.
    release: String,
    /// SHA-256 of the image.
    sha256: String,
    /// Bytes of the image.
    length: u64,
    /// Everything that was signed of it: repository, scope, times, windows, way back, reason.
    #[schema(value_type = Object)]
    custom: Value,
    /// Rollouts that carry it out.
    rollouts: Vec<String>,
}

/// An order that somebody thinks of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewAsk {
    /// The maker's repository.
    #[schema(value_type = String)]
    repository: Name,
    /// The release to install.
    #[schema(value_type = String)]
    release: TargetPath,
    /// Which devices of its model: `band`, `from`, `release`, `site`, `ward`, `kind`, `tag`, each as `NAME=VALUE`; all must fit.
    #[serde(default)]
    filter: Vec<String>,
    /// The release to which devices may return.
    #[schema(value_type = Option<String>)]
    back: Option<TargetPath>,
}

/// What an order would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewView {
    /// Devices that are meant.
    pub(crate) total: u32,
    /// Devices by their fate: `fits`, `already`, `newer`, `other-hardware`, `below-floor`, `needs-step`, `no-way`,
    /// `no-application`, `unknown`. Only those that fit belong into the order.
    pub(crate) fates: BTreeMap<String, u32>,
    /// Releases that devices have to install one after another, and how many devices.
    steps: Vec<StepsView>,
    /// Of those that fit: in use now.
    pub(crate) in_use_now: u32,
    /// Of those that fit: nobody says now whether they are in use.
    pub(crate) unknown_use: u32,
    /// Of those that fit: last heard within a day, a week, a month, and longer ago or never.
    pub(crate) unreached_days: [u32; 4],
    /// Of those that fit: the sum of scores in hundredths of a point, now.
    pub(crate) risk_before_hundredths: u64,
    /// The same once they run the release.
    pub(crate) risk_after_hundredths: u64,
    /// Of those that fit: what it does to their vulnerabilities.
    pub(crate) vulnerabilities: VulnerabilitiesView,
    /// What the way back would do, if one is asked for.
    #[schema(value_type = Option<Object>)]
    pub(crate) back: Option<BackPreview>,
    /// Every device that is meant.
    pub(crate) devices: Vec<PlannedView>,
}

/// What an order does to vulnerabilities.
#[derive(Debug, Serialize, ToSchema)]
pub struct VulnerabilitiesView {
    /// In a sentence.
    pub(crate) words: String,
    /// On what it stands: `sbom`, the release's own bill of materials held against what is known; or `remedies`, only what is
    /// known of the devices' own vulnerabilities and of the releases that remove them.
    by: &'static str,
    /// The same in a sentence; without a bill, why there is none.
    pub(crate) by_words: String,
    /// Those that a device has now and would have no more.
    closed: BTreeSet<String>,
    /// Those that would be new on a device.
    brought: BTreeSet<String>,
}

/// Releases one after another.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepsView {
    /// The releases, the wanted one last.
    releases: Vec<String>,
    /// How many devices.
    devices: u32,
}

/// One device of a preview.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlannedView {
    /// Its identity.
    #[schema(value_type = String)]
    pub(crate) id: DeviceId,
    /// Its maker.
    manufacturer: String,
    /// Its model.
    model: String,
    /// Its maker's number.
    pub(crate) serial: String,
    /// Its site and ward.
    pub(crate) place: String,
    /// The counter that it runs, if it ever said so.
    installed: Option<u64>,
    /// What becomes of it.
    pub(crate) fate: &'static str,
    /// The releases that it has to install first.
    steps: Vec<String>,
}

/// The live orders.
#[utoipa::path(get, path = "/api/v1/orders", responses((status = 200, body = OrderPage)))]
pub async fn list(State(operator): State<Operator>) -> Answered<OrderPage> {
    let orders = operator.rollouts.look(|book| {
        let names = |order: &Order| rollouts_of(book, &order.id);
        book.orders.values().map(|order| view(order, names(order))).collect()
    });
    Ok(Json(OrderPage { orders }))
}

/// One live order.
#[utoipa::path(get, path = "/api/v1/orders/{id}", params(("id" = String, Path)),
    responses((status = 200, body = OrderView), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<OrderView> {
    let id: Name = parsed(&id, "order")?;
    let found = operator.rollouts.look(|book| {
        let order = book.orders.get(&id)?;
        Some(view(order, rollouts_of(book, &id)))
    });
    found.map(Json).ok_or_else(|| not_found("order"))
}

fn rollouts_of(book: &cordon_server_core::rollout::Book, order: &Name) -> Vec<String> {
    let carries = |rollout: &&cordon_server_core::rollout::Rollout| {
        rollout.waves.iter().any(|wave| wave.order == *order)
    };
    book.rollouts.values().filter(carries).map(|rollout| rollout.id.to_string()).collect()
}

fn view(order: &Order, rollouts: Vec<String>) -> OrderView {
    OrderView {
        id: order.id.to_string(),
        release: order.image.release.to_string(),
        sha256: order.image.sha256.to_string(),
        length: order.image.length,
        custom: serde_json::from_slice(&order.custom().json()).unwrap_or(Value::Null),
        rollouts,
    }
}

/// What an order would do, before anybody signs it. Nothing is changed.
#[utoipa::path(post, path = "/api/v1/orders/preview", request_body = PreviewAsk,
    responses((status = 200, body = PreviewView), (status = 422)))]
pub async fn plan(State(operator): State<Operator>, request: Request) -> Answered<PreviewView> {
    let ask: PreviewAsk = json(request, "PreviewAsk").await?;
    let filter = Filter::read(ask.filter.iter().map(String::as_str));
    let filter = filter.map_err(|error| refused("bad_filter", error.to_string()))?;
    let releases = operator.repositories.releases().await?;
    let members = operator.app.fleet.all();
    let (published, now) = (operator.published(), operator.app.clock.now());
    let bill = bill_for(&operator, &ask, &releases).await;
    let planned = move || {
        let affected = affected(&filter, &published, &members);
        let affected = affected.map_err(|error| refused("bad_filter", error.to_string()))?;
        let filter = (&filter, &affected);
        Planning { ask: &ask, filter, releases: &releases, published: &published, now }.over(&members, bill)
    };
    let planned = tokio::task::spawn_blocking(planned).await;
    planned.map_err(|error| Problem::internal(&error))?.map(Json)
}

/// What a live order would do today to these devices.
pub(crate) async fn preview_of(
    operator: &Operator,
    order: &Order,
    members: Vec<Arc<Member>>,
) -> Result<PreviewView, Problem> {
    let releases = operator.repositories.releases().await?;
    let is_known = |path: &TargetPath| {
        releases.iter().any(|one| one.repository == order.repository && one.release == *path)
    };
    let back = order.back.as_ref().map(|back| back.image.release.clone()).filter(is_known);
    let (repository, release) = (order.repository.clone(), order.image.release.clone());
    let ask = PreviewAsk { repository, release, filter: Vec::new(), back };
    let (published, now) = (operator.published(), operator.app.clock.now());
    let bill = bill_for(operator, &ask, &releases).await;
    let planned = move || {
        let (filter, nobody) = (Filter::default(), BTreeSet::new());
        let filter = (&filter, &nobody);
        Planning { ask: &ask, filter, releases: &releases, published: &published, now }.over(&members, bill)
    };
    tokio::task::spawn_blocking(planned).await.map_err(|error| Problem::internal(&error))?
}

/// The bill of materials of the release that is asked about, or why there is none.
async fn bill_for(operator: &Operator, ask: &PreviewAsk, releases: &[KnownRelease]) -> Result<Bill, String> {
    match releases.iter().find(|one| one.repository == ask.repository && one.release == ask.release) {
        Some(known) => bill_of(operator, known).await,
        None => Err("no such release is known".to_owned()),
    }
}

/// The devices that have what a filter's advisory is about.
fn affected(
    filter: &Filter,
    published: &Published,
    members: &[Arc<Member>],
) -> Result<BTreeSet<DeviceId>, FilterRefused> {
    let Some(advisory) = &filter.advisory else { return Ok(BTreeSet::new()) };
    let matched = &published.matched;
    if !matched.readiness.has_answers() {
        return Err(FilterRefused::NoAdvisories);
    }
    let topic = matched.topic(advisory.as_str());
    let topic = topic.ok_or_else(|| FilterRefused::NoSuchAdvisory(advisory.to_string()))?;
    Ok(matched.affected(&topic, members))
}

/// Everything that a preview is made from.
struct Planning<'a> {
    ask: &'a PreviewAsk,
    /// Which devices are meant, and those of them that have what its advisory is about.
    filter: (&'a Filter, &'a BTreeSet<DeviceId>),
    releases: &'a [KnownRelease],
    published: &'a Published,
    now: Timestamp,
}

impl Planning<'_> {
    fn known(&self, path: &TargetPath) -> Result<&KnownRelease, Problem> {
        let is = |one: &&KnownRelease| one.repository == self.ask.repository && one.release == *path;
        self.releases.iter().find(is).ok_or_else(|| not_found("release"))
    }

    fn over(&self, members: &[Arc<Member>], bill: Result<Bill, String>) -> Result<PreviewView, Problem> {
        let known = self.known(&self.ask.release)?;
        if !known.listed {
            let detail = "its maker lists this release no more: devices refuse it";
            return Err(refused("release_delisted", detail));
        }
        let old = "this release was taken in before its details were kept: publish the repository again";
        let release = known.stated().ok_or_else(|| refused("release_unread", old))?;
        let back = self.ask.back.as_ref().map(|path| self.known(path)).transpose()?;
        let steps = steps_of(&release.model, self.releases);
        let case = Case { release: &release, steps: &steps, now: self.now };
        let may_take = |member: &&Arc<Member>| {
            matches!(member.device.state, Trust::Active | Trust::Quarantined)
                && member.device.hardware.model == release.model
        };
        let afterwards = Afterwards::of(&release, self.published, bill, members);
        let (mut meant, mut fleet) = (Vec::new(), FleetEffect::default());
        for member in members.iter().filter(may_take) {
            let facts = facts(member, self.published);
            let model = &self.published.model;
            let before = value(&facts, model, self.now);
            let (filter, affected) = self.filter;
            let (report, is_affected) = (member.report.as_deref(), affected.contains(&member.id()));
            let seen = Seen { device: &member.device, report, band: before.band, is_affected };
            if filter.fits(&seen) {
                if fate(&case, &member.meant()) == Fate::Fits {
                    fleet.add(&effect(&facts, &afterwards.facts(&facts), model, self.now));
                }
                meant.push(member.meant());
            }
        }
        let back = back.map(|back| way_back(&release, back));
        Ok(answer(&case, &meant, back, (fleet, &afterwards)))
    }
}

fn answer(
    case: &Case<'_>,
    meant: &[Meant<'_>],
    back: Option<BackPreview>,
    (fleet, afterwards): (FleetEffect, &Afterwards<'_>),
) -> PreviewView {
    let found = preview(case, meant.iter().copied());
    let names = |way: &[TargetPath]| way.iter().map(ToString::to_string).collect();
    PreviewView {
        total: found.total,
        fates: found.fates.iter().map(|(fate, count)| ((*fate).to_owned(), *count)).collect(),
        steps: found
            .steps
            .iter()
            .map(|(way, devices)| StepsView { releases: names(way), devices: *devices })
            .collect(),
        in_use_now: found.in_use_now,
        unknown_use: found.unknown_use,
        unreached_days: found.unreached_days,
        risk_before_hundredths: fleet.before_hundredths,
        risk_after_hundredths: fleet.after_hundredths,
        vulnerabilities: VulnerabilitiesView {
            words: fleet.vulnerability_words(afterwards.is_by_bill()),
            by: afterwards.by(),
            by_words: afterwards.by_words(),
            closed: fleet.closed,
            brought: fleet.brought,
        },
        back,
        devices: meant.iter().map(|meant| planned(case, meant)).collect(),
    }
}

fn planned(case: &Case<'_>, meant: &Meant<'_>) -> PlannedView {
    let (hardware, placement) = (&meant.device.hardware, &meant.device.placement);
    let fate = fate(case, meant);
    let way: &[TargetPath] = if let Fate::NeedsStep(way) = &fate { way } else { &[] };
    let steps = way.iter().map(ToString::to_string).collect();
    PlannedView {
        id: meant.device.id,
        manufacturer: hardware.manufacturer.to_string(),
        model: hardware.model.to_string(),
        serial: hardware.serial.to_string(),
        place: format!("{}/{}", placement.site, placement.ward),
        installed: meant.report.map(|report| report.software.counter),
        fate: fate.word(),
        steps,
    }
}
