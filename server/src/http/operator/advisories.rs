//! `/api/v1/advisories`: what is known of a weakness, and which devices have it.
//!
//! Asked by a CVE, another name of a weakness, or an advisory's own name. Every answer about a device carries what it stands
//! on; what nobody can judge is unknown and stands beside what is affected. Read next: `exposures` for one device.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::checkin::InterlockState;
use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_server_core::exposure::topic::Topic;
use cordon_server_core::exposure::{Row, Word, World};
use cordon_server_core::matching::osv_text::Text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::feeds::need;
use super::{Answered, Operator, not_found, refused};
use crate::fleet::Member;
use crate::http::problem::Problem;
use crate::knowledge::Matched;
use crate::knowledge::text::texts;

/// Rows of a page unless it is asked for others.
const PAGE: usize = 50;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/advisories", get(list))
        .route("/api/v1/advisories/{id}", get(show))
        .route("/api/v1/advisories/{id}/devices", get(devices))
}

/// Which weaknesses are asked for.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AdvisoryQuery {
    /// Only those whose name, record or package contains this text.
    pub q: Option<String>,
    /// Only those at least this grave: `low`, `medium`, `high`, `critical` (CVSS from 0.1, 4.0, 7.0, 9.0); those without a severity
    /// are left out then.
    pub severity: Option<String>,
    /// Only those that are exploited in the wild.
    #[serde(default)]
    pub exploited: bool,
    /// Also those that nothing here has or may have; then a text of at least three letters is needed.
    #[serde(default)]
    pub all: bool,
    /// Only those after this one.
    pub after: Option<String>,
    /// At most so many, at most 500.
    pub limit: Option<usize>,
}

/// A page of weaknesses: what is exploited first, then by chance, then by severity, then by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdvisoryPage {
    /// The weaknesses.
    pub advisories: Vec<AdvisoryView>,
    /// How many fit in all.
    pub total: usize,
    /// Pass as `after` for the next page.
    pub next: Option<String>,
    /// `no-feeds`, `preparing`, `renewing` or `ready`: until it is ready, an empty page is no good news.
    pub matching: &'static str,
    /// The same in a sentence.
    pub matching_words: &'static str,
}

/// One weakness.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AdvisoryView {
    /// Its name.
    pub id: String,
    /// The records and advisories that speak of it.
    pub records: Vec<String>,
    /// What it is about: packages, and models of devices.
    pub about: Vec<String>,
    /// Its title, where an advisory about devices gives one.
    pub title: Option<String>,
    /// Exploited in the wild (CISA).
    pub exploited: bool,
    /// Used by ransomware.
    pub ransomware: bool,
    /// The chance that it is attacked anywhere within 30 days, in millionths (EPSS).
    pub epss_millionths: Option<u32>,
    /// Severity times ten (CVSS).
    pub cvss_tenths: Option<u8>,
    /// From where it is attacked: `network`, `adjacent`, `local`, `physical`.
    pub vector: Option<String>,
    /// Devices by answer.
    pub devices: DeviceCounts,
}

/// Devices by what is true of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceCounts {
    /// They have it.
    pub affected: usize,
    /// Nobody can say.
    pub unknown: usize,
    /// Not any more.
    pub fixed: usize,
    /// They never had it, or their maker says that it does not touch them.
    pub not_affected: usize,
}

impl DeviceCounts {
    fn add(&mut self, word: Word) {
        *match word {
            Word::Affected => &mut self.affected,
            Word::Unknown => &mut self.unknown,
            Word::Fixed => &mut self.fixed,
            Word::NotAffected => &mut self.not_affected,
        } += 1;
    }

    fn of(rows: &BTreeMap<DeviceId, Row>) -> Self {
        let mut counts = Self::default();
        rows.values().for_each(|row| counts.add(row.stands()));
        counts
    }
}

/// All about one weakness or advisory.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdvisoryAnswer {
    /// As it was asked.
    pub id: String,
    /// The weaknesses that the name stands for.
    pub weaknesses: Vec<AdvisoryView>,
    /// What records say of it, in their own words.
    #[schema(value_type = Vec<Object>)]
    pub texts: Vec<Text>,
    /// What records say of which package.
    pub packages: Vec<PackageView>,
    /// What advisories say of which devices.
    pub products: Vec<ProductView>,
    /// Devices by answer.
    pub devices: DeviceCounts,
    /// Of the affected devices, those that are in use at this moment, and those of which nobody knows it.
    pub in_use: InUseView,
    /// Affected and unknown devices by site and ward, the most affected first.
    pub by_ward: Vec<ShareView>,
    /// The same by maker and model.
    pub by_model: Vec<ShareView>,
    /// `renewing` or `ready`.
    pub matching: &'static str,
}

/// Affected devices by their use.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct InUseView {
    /// In use now.
    pub yes: usize,
    /// Not in use now.
    pub no: usize,
    /// Nobody knows; that counts as in use.
    pub unknown: usize,
}

/// A part of the fleet.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShareView {
    /// Which part: `site / ward` or `maker model`.
    pub name: String,
    /// Affected devices.
    pub affected: usize,
    /// Devices of which nobody can say.
    pub unknown: usize,
}

/// What one record says of one package.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageView {
    /// The record.
    pub record: String,
    /// Whose package, with the release.
    pub ecosystem: String,
    /// The source package.
    pub package: String,
    /// `by-version`, `never`, `undetermined`.
    pub state: String,
    /// Its ranges: `introduced 0, fixed 1.2-3`.
    pub ranges: Vec<String>,
    /// How many versions are listed one by one.
    pub versions: usize,
}

/// What one advisory says of one product.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductView {
    /// The advisory.
    pub advisory: String,
    /// Its title.
    pub title: String,
    /// Who published it.
    pub publisher: String,
    /// When it was last changed, RFC 3339.
    pub updated: Option<String>,
    /// The maker.
    pub maker: String,
    /// The product.
    pub product: String,
    /// Which versions, as they were written.
    pub versions: String,
    /// What can be done, in the maker's words.
    pub remedies: Vec<RemedyView>,
}

/// Something that can be done.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemedyView {
    /// Its kind, as CSAF writes it.
    pub kind: &'static str,
    /// In the maker's words.
    pub details: String,
    /// Where it is.
    pub url: Option<String>,
}

/// Which devices are asked for.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AdvisoryDevicesQuery {
    /// `affected`, `unknown`, `fixed`, `not-affected`; without it all.
    pub answer: Option<String>,
    /// Only devices after this one.
    pub after: Option<String>,
    /// At most so many, at most 500.
    pub limit: Option<usize>,
}

/// A page of devices with what each answer stands on.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdvisoryDevicePage {
    /// The devices.
    pub devices: Vec<AdvisoryDeviceView>,
    /// Pass as `after` for the next page.
    pub next: Option<String>,
}

/// One device and the answer about it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdvisoryDeviceView {
    /// Its name.
    pub id: String,
    /// Its maker.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its maker's number, or the owner's where nobody knows that.
    pub serial: String,
    /// Its site.
    pub site: String,
    /// Its ward.
    pub ward: String,
    /// How it is known: `agent`, `observed`, `imported`.
    pub source: String,
    /// Clinical use, as the device says.
    pub interlock: Option<String>,
    /// The answer with the maker's statement counted in.
    #[schema(value_type = String)]
    pub answer: Word,
    /// What it stands on.
    #[schema(value_type = Object)]
    pub evidence: Row,
}

/// Weaknesses that devices here have or may have.
#[utoipa::path(get, path = "/api/v1/advisories", params(AdvisoryQuery), responses((status = 200, body = AdvisoryPage), (status = 422)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<AdvisoryQuery>,
) -> Answered<AdvisoryPage> {
    let (matched, members) = (operator.app.knowledge.matched(), operator.app.fleet.all());
    let work = move || page(&matched, &members, &query);
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))?.map(Json)
}

/// The devices that have a weakness, or one that an advisory is about.
pub(crate) fn affected(
    matched: &Matched,
    members: &[Arc<Member>],
    advisory: &str,
) -> Result<BTreeSet<DeviceId>, Problem> {
    need(matched)?;
    let topic = matched.topic(advisory).ok_or_else(|| not_found("advisory"))?;
    Ok(matched.affected(&topic, members))
}

/// A page of weaknesses, for pages too.
pub fn page(
    matched: &Matched,
    members: &[Arc<Member>],
    query: &AdvisoryQuery,
) -> Result<AdvisoryPage, Problem> {
    let least = query.severity.as_deref().map(tenths_from).transpose()?;
    let text = query.q.as_deref().unwrap_or_default().trim().to_lowercase();
    if query.all && text.chars().count() < 3 {
        return Err(refused("bad_query", "to look in everything that is known, name at least three letters"));
    }
    let (matching, matching_words) = (matched.readiness.word(), matched.readiness.sentence());
    let Some(made) = matched.made.as_deref() else {
        return Ok(AdvisoryPage { advisories: Vec::new(), total: 0, next: None, matching, matching_words });
    };
    let world = &made.world;
    let mut names = matched.open(members);
    if query.all {
        names.extend(world.index.groups().map(str::to_owned));
        let weaknesses = world.catalogue.advisories().iter().flat_map(|advisory| &advisory.weaknesses);
        names.extend(weaknesses.map(|weakness| weakness.id.clone()));
    }
    let fits = |id: &str| {
        let severity = world.severity(id).map(|severity| severity.cvss.tenths);
        (!query.exploited || world.exploited.contains_key(id))
            && least.is_none_or(|least| severity.is_some_and(|tenths| tenths >= least))
            && (text.is_empty() || mentions(world, id, &text))
    };
    let mut found: Vec<String> = names.into_iter().filter(|id| fits(id)).collect();
    found.sort_by_cached_key(|id| {
        let chance = world.chances.get(id).map(|chance| chance.millionths);
        let severity = world.severity(id).map(|severity| severity.cvss.tenths);
        std::cmp::Reverse((world.exploited.contains_key(id), chance, severity, std::cmp::Reverse(id.clone())))
    });
    let total = found.len();
    let first = match query.after.as_deref() {
        None => 0,
        Some(after) => {
            let place = found.iter().position(|id| id == after);
            place.ok_or_else(|| refused("bad_query", "`after` is the `next` of the page before"))? + 1
        }
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, limits::PAGE_ROWS);
    let shown: Vec<&String> = found.iter().skip(first).take(limit).collect();
    let next = (first + shown.len() < total).then(|| shown.last().map(ToString::to_string)).flatten();
    let advisories = shown.into_iter().map(|id| weakness(matched, world, members, id)).collect();
    Ok(AdvisoryPage { advisories, total, next, matching, matching_words })
}

fn tenths_from(word: &str) -> Result<u8, Problem> {
    match word {
        "low" => Ok(1),
        "medium" => Ok(40),
        "high" => Ok(70),
        "critical" => Ok(90),
        _ => Err(refused("bad_query", "`severity` is low, medium, high or critical")),
    }
}

/// Whether a weakness, its records or what it is about contain a text.
fn mentions(world: &World, id: &str, text: &str) -> bool {
    let has = |found: &str| found.to_lowercase().contains(text);
    has(id) || {
        let view = named(world, id);
        view.records.iter().chain(&view.about).chain(&view.title).any(|found| has(found))
    }
}

/// What is known of a weakness, devices apart.
fn named(world: &World, id: &str) -> AdvisoryView {
    let (mut records, mut about) = (BTreeSet::new(), BTreeSet::new());
    if let Some(group) = world.index.group_of(id) {
        records.extend(world.index.records_of(group).into_iter().map(str::to_owned));
        about.extend(world.index.packages(group).into_iter().map(|(_, package)| package));
    }
    let mut title = None;
    for advisory in world.catalogue.advisories() {
        for weakness in
            advisory.weaknesses.iter().filter(|one| one.id == id || one.aliases.iter().any(|name| name == id))
        {
            records.insert(advisory.id.clone());
            let products = weakness.statuses.keys().filter_map(|place| advisory.products.get(*place));
            about.extend(products.map(|product| format!("{} {}", product.maker, product.model)));
            title.get_or_insert_with(|| advisory.title.clone());
        }
    }
    let (exploited, severity) = (world.exploited.get(id), world.severity(id));
    let word = |value: serde_json::Value| value.as_str().map(str::to_owned);
    AdvisoryView {
        id: id.to_owned(),
        records: records.into_iter().collect(),
        about: about.into_iter().take(100).collect(),
        title,
        exploited: exploited.is_some(),
        ransomware: exploited.is_some_and(|exploited| exploited.ransomware),
        epss_millionths: world.chances.get(id).map(|chance| chance.millionths),
        cvss_tenths: severity.map(|severity| severity.cvss.tenths),
        vector: severity.and_then(|severity| word(serde_json::json!(severity.vector))),
        devices: DeviceCounts::default(),
    }
}

fn weakness(matched: &Matched, world: &World, members: &[Arc<Member>], id: &str) -> AdvisoryView {
    let rows = world.topic(id).map(|topic| matched.about(&topic, members)).unwrap_or_default();
    AdvisoryView { devices: DeviceCounts::of(&rows), ..named(world, id) }
}

/// All about one weakness or advisory, and how the fleet stands to it.
#[utoipa::path(get, path = "/api/v1/advisories/{id}", params(("id" = String, Path)),
    responses((status = 200, body = AdvisoryAnswer), (status = 404), (status = 422), (status = 503)))]
pub async fn show(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<AdvisoryAnswer> {
    let matched = operator.app.knowledge.matched();
    need(&matched)?;
    let topic = matched.topic(&id).ok_or_else(|| not_found("advisory"))?;
    let texts = texts(&operator.app.knowledge, &matched, &topic).await;
    let members = operator.app.fleet.all();
    let work = move || answer(&matched, &topic, &members, texts);
    let answer = tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))?;
    answer.map(Json).ok_or_else(|| not_found("advisory"))
}

fn answer(
    matched: &Matched,
    topic: &Topic,
    members: &[Arc<Member>],
    texts: Vec<Text>,
) -> Option<AdvisoryAnswer> {
    let world = &matched.made.as_deref()?.world;
    let rows = matched.about(topic, members);
    let by_id: BTreeMap<DeviceId, &Arc<Member>> =
        members.iter().map(|member| (member.id(), member)).collect();
    let mut in_use = InUseView::default();
    let (mut by_ward, mut by_model) = (Shares::default(), Shares::default());
    for (device, row) in &rows {
        let Some(member) = by_id.get(device) else { continue };
        let (placement, hardware) = (&member.device.placement, &member.device.hardware);
        by_ward.add(format!("{} / {}", placement.site, placement.ward), row.stands());
        by_model.add(format!("{} {}", hardware.manufacturer, hardware.model), row.stands());
        if row.stands() == Word::Affected {
            match member.report.as_deref().map(|report| report.interlock) {
                Some(InterlockState::InUse) => in_use.yes += 1,
                Some(InterlockState::Standby | InterlockState::Service) => in_use.no += 1,
                Some(InterlockState::Unknown) | None => in_use.unknown += 1,
            }
        }
    }
    let mut names: BTreeSet<String> = topic.names.clone();
    names.extend(topic.groups.iter().map(|group| world.index.group_name(*group).to_owned()));
    let packages =
        topic.groups.iter().flat_map(|group| world.index.statements(*group)).map(|said| PackageView {
            record: said.record.to_owned(),
            ecosystem: said.ecosystem.to_string(),
            package: said.package.to_owned(),
            state: serde_json::json!(said.state).as_str().unwrap_or_default().to_owned(),
            ranges: said.ranges,
            versions: said.versions,
        });
    Some(AdvisoryAnswer {
        id: topic.name.clone(),
        weaknesses: names.iter().map(|id| weakness(matched, world, members, id)).collect(),
        texts,
        packages: packages.take(limits::PAGE_ROWS).collect(),
        products: products(world, topic),
        devices: DeviceCounts::of(&rows),
        in_use,
        by_ward: by_ward.finish(),
        by_model: by_model.finish(),
        matching: matched.readiness.word(),
    })
}

/// What advisories about devices say of a topic.
fn products(world: &World, topic: &Topic) -> Vec<ProductView> {
    let mut views = Vec::new();
    for advisory in world.catalogue.advisories() {
        for weakness in advisory.weaknesses.iter().filter(|one| topic.names.contains(&one.id)) {
            for place in weakness.statuses.keys() {
                let Some(product) = advisory.products.get(*place) else { continue };
                let remedies = weakness.remedies_for(*place).map(|remedy| RemedyView {
                    kind: remedy.kind.word(),
                    details: remedy.details.clone(),
                    url: remedy.url.clone(),
                });
                views.push(ProductView {
                    advisory: advisory.id.clone(),
                    title: advisory.title.clone(),
                    publisher: advisory.publisher.clone(),
                    updated: advisory.updated.map(|at| at.to_string()),
                    maker: product.maker.clone(),
                    product: product.name.clone(),
                    versions: product.versions_text.clone(),
                    remedies: remedies.collect(),
                });
                if views.len() == limits::PAGE_ROWS {
                    return views;
                }
            }
        }
    }
    views
}

/// Parts of the fleet by name.
#[derive(Default)]
struct Shares(BTreeMap<String, (usize, usize)>);

impl Shares {
    fn add(&mut self, name: String, word: Word) {
        let (affected, unknown) = self.0.entry(name).or_default();
        match word {
            Word::Affected => *affected += 1,
            Word::Unknown => *unknown += 1,
            Word::Fixed | Word::NotAffected => {}
        }
    }

    fn finish(self) -> Vec<ShareView> {
        let open = self.0.into_iter().filter(|(_, counts)| *counts != (0, 0));
        let mut views: Vec<ShareView> =
            open.map(|(name, (affected, unknown))| ShareView { name, affected, unknown }).collect();
        views.sort_by_key(|view| std::cmp::Reverse((view.affected, view.unknown)));
        views
    }
}

/// The devices that an advisory is about, each with what the answer stands on.
#[utoipa::path(get, path = "/api/v1/advisories/{id}/devices", params(("id" = String, Path), AdvisoryDevicesQuery),
    responses((status = 200, body = AdvisoryDevicePage), (status = 404), (status = 422), (status = 503)))]
pub async fn devices(
    State(operator): State<Operator>,
    Path(id): Path<String>,
    Query(query): Query<AdvisoryDevicesQuery>,
) -> Answered<AdvisoryDevicePage> {
    let matched = operator.app.knowledge.matched();
    need(&matched)?;
    let topic = matched.topic(&id).ok_or_else(|| not_found("advisory"))?;
    let after = query.after.as_deref().map(str::parse::<DeviceId>).transpose();
    let after = after.map_err(|_| refused("bad_query", "`after` is the `next` of the page before"))?;
    let words = [Word::Affected, Word::Unknown, Word::Fixed, Word::NotAffected];
    let wanted = query.answer.as_deref().map(|word| {
        let found = words.into_iter().find(|known| known.word() == word);
        found.ok_or_else(|| refused("bad_query", "`answer` is affected, unknown, fixed or not-affected"))
    });
    let wanted = wanted.transpose()?;
    let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS);
    let members = operator.app.fleet.all();
    let work = move || {
        let rows = matched.about(&topic, &members);
        let by_id: BTreeMap<DeviceId, &Arc<Member>> =
            members.iter().map(|member| (member.id(), member)).collect();
        let mut fitting = rows.into_iter().filter(|(id, row)| {
            after.is_none_or(|after| *id > after) && wanted.is_none_or(|word| word == row.stands())
        });
        let page = fitting.by_ref().take(limit);
        let devices: Vec<_> = page.filter_map(|(id, row)| Some(on_device(by_id.get(&id)?, row))).collect();
        let next = fitting.next().and(devices.last().map(|device: &AdvisoryDeviceView| device.id.clone()));
        AdvisoryDevicePage { devices, next }
    };
    Ok(Json(tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))?))
}

fn on_device(member: &Member, evidence: Row) -> AdvisoryDeviceView {
    let (hardware, placement) = (&member.device.hardware, &member.device.placement);
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    AdvisoryDeviceView {
        id: member.id().to_string(),
        manufacturer: hardware.manufacturer.to_string(),
        model: hardware.model.to_string(),
        serial: member.device.called().to_string(),
        site: placement.site.to_string(),
        ward: placement.ward.to_string(),
        source: word(serde_json::json!(member.device.source)),
        interlock: member.report.as_deref().map(|report| word(serde_json::json!(report.interlock))),
        answer: evidence.stands(),
        evidence,
    }
}
