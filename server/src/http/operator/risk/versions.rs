//! `/api/v1/risk/versions`, `support` and `sheet`: what runs where, how long it is repaired, and what a buyer would ask.
//!
//! Read next: `cordon_server_core::risk::spread`, `support` and `sheet`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use cordon_proto::checkin::InterlockState;
use cordon_proto::time::Timestamp;
use cordon_server_core::import::{KnownRelease, Part};
use cordon_server_core::risk::facts::Answer;
use cordon_server_core::risk::sheet::{Around, Sheet};
use cordon_server_core::risk::spread::{Row, Runs, Spread, running};
use cordon_server_core::risk::support::{Stage, Support};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Answered, Operator, not_found, refused};
use super::{has_agent, over_fleet};
use crate::appraisal::is_counted;
use crate::fleet::Member;

/// Which model is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ModelQuery {
    /// Only this model.
    model: Option<String>,
}

/// Which versions run.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionsAnswer {
    /// When it was made, RFC 3339.
    at: String,
    /// By model, the newest release first: `model`, `release`, `counter`, `devices`, `newer`, `listed`, `stage`,
    /// `full_until` and `until` (seconds since 1970), `days_left`, `ending`.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Row>,
}

/// What loses support, or has lost it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SupportAnswer {
    /// When it was made, RFC 3339.
    pub at: String,
    /// Devices by the stage of their maker's support: `supported`, `limited-support`, `end-of-support`, `unknown`.
    pub devices: BTreeMap<&'static str, u32>,
    /// Releases that lose support within a year or have lost it, as in the list of versions.
    #[schema(value_type = Vec<Object>)]
    pub releases: Vec<Row>,
    /// Operating systems that lose their maker's repairs within a year, or have lost them.
    pub systems: Vec<SystemView>,
    /// Devices of which nobody knows how long their operating system is repaired.
    pub systems_unknown: u32,
}

/// Devices of one model whose operating system is repaired until the same day.
#[derive(Debug, Serialize, ToSchema)]
pub struct SystemView {
    /// The model.
    pub model: String,
    /// `supported` (and ending), or `end-of-support`.
    pub stage: &'static str,
    /// The day, RFC 3339.
    pub until: String,
    /// Whole days until then; negative once it is over.
    pub days: i64,
    /// Devices.
    pub devices: u32,
}

/// The sheet of one model.
#[derive(Debug, Serialize, ToSchema)]
pub struct SheetAnswer {
    /// When it was made, RFC 3339.
    at: String,
    /// `model`, `devices`, and `answers`: a question each, with how many devices say yes, no, or nothing.
    #[schema(value_type = Object)]
    sheet: Sheet,
}

/// What a device says that it runs.
fn runs(member: &Member) -> Runs {
    let software = member.report.as_deref().map(|report| &report.software);
    Runs {
        counter: software.map(|software| software.counter),
        release: software.and_then(|software| software.release.as_ref()).map(ToString::to_string),
    }
}

/// Which versions run, in rows.
pub(crate) fn spread(
    operator: &Operator,
    model: Option<&str>,
    releases: &[KnownRelease],
    now: Timestamp,
) -> Vec<Row> {
    let mut spread = Spread::default();
    for member in operator.app.fleet.all().iter().filter(|member| is_counted(member)) {
        let of = &member.device.hardware.model;
        if model.is_none_or(|model| of.as_str() == model) {
            spread.add(of, runs(member));
        }
    }
    spread.rows(releases, now)
}

/// Which versions run, by model.
#[utoipa::path(get, path = "/api/v1/risk/versions", params(ModelQuery), responses((status = 200, body = VersionsAnswer)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<ModelQuery>,
) -> Answered<VersionsAnswer> {
    let (releases, now) = (operator.repositories.releases().await?, operator.app.clock.now());
    let rows = spread(&operator, query.model.as_deref(), &releases, now);
    Ok(Json(VersionsAnswer { at: now.to_string(), rows }))
}

/// What loses its maker's support within a year, or has lost it.
#[utoipa::path(get, path = "/api/v1/risk/support", params(ModelQuery), responses((status = 200, body = SupportAnswer)))]
pub async fn support(
    State(operator): State<Operator>,
    Query(query): Query<ModelQuery>,
) -> Answered<SupportAnswer> {
    let (releases, now) = (operator.repositories.releases().await?, operator.app.clock.now());
    let mut rows = spread(&operator, query.model.as_deref(), &releases, now);
    let mut devices: BTreeMap<&'static str, u32> = BTreeMap::new();
    for row in &rows {
        *devices.entry(row.support.stage.word()).or_default() += row.devices;
    }
    rows.retain(|row| row.ending || matches!(row.support.stage, Stage::LimitedSupport | Stage::EndOfSupport));
    rows.sort_by(|a, b| (a.support.until, &a.model, a.counter).cmp(&(b.support.until, &b.model, b.counter)));
    let systems = over_fleet(&operator, Systems::default(), move |systems, member, appraised| {
        let model = member.device.hardware.model.as_str();
        if query.model.as_deref().is_none_or(|wanted| wanted == model) {
            systems.add(model, Support::of_system(appraised.facts.posture.os_support, now), now);
        }
    });
    let systems = systems.await?;
    let views = systems.ending.into_iter().map(|((until, model, stage), devices)| SystemView {
        model,
        stage: stage.word(),
        until: until.to_string(),
        days: until.seconds_since(now).div_euclid(86_400),
        devices,
    });
    let systems_unknown = systems.unknown;
    let systems = views.collect();
    Ok(Json(SupportAnswer { at: now.to_string(), devices, releases: rows, systems, systems_unknown }))
}

/// Operating systems by the day on which their repairs end.
#[derive(Default)]
struct Systems {
    ending: BTreeMap<(Timestamp, String, Stage), u32>,
    unknown: u32,
}

impl Systems {
    fn add(&mut self, model: &str, support: Support, now: Timestamp) {
        self.unknown += u32::from(support.stage == Stage::Unknown);
        let is_told = support.stage == Stage::EndOfSupport || support.is_ending(now);
        if let Some(until) = support.until.filter(|_| is_told) {
            *self.ending.entry((until, model.to_owned(), support.stage)).or_default() += 1;
        }
    }
}

/// A security sheet of one model, from live data.
#[utoipa::path(get, path = "/api/v1/risk/sheet", params(ModelQuery),
    responses((status = 200, body = SheetAnswer), (status = 404), (status = 422)))]
pub async fn sheet(
    State(operator): State<Operator>,
    Query(query): Query<ModelQuery>,
) -> Answered<SheetAnswer> {
    let model =
        query.model.ok_or_else(|| refused("bad_query", "`model` is missing: a sheet is about one"))?;
    let (releases, now) = (operator.repositories.releases().await?, operator.app.clock.now());
    let begun = Sheet::of(&model);
    let sheet = over_fleet(&operator, begun, move |sheet, member, appraised| {
        if member.device.hardware.model.as_str() == model {
            sheet.add(&appraised.facts, &around(member, &releases, now), now);
        }
    });
    let sheet = sheet.await?;
    if sheet.devices == 0 {
        return Err(not_found("model: no device of it is known"));
    }
    Ok(Json(SheetAnswer { at: now.to_string(), sheet }))
}

/// What is known of a device beside its facts.
fn around(member: &Member, releases: &[KnownRelease], now: Timestamp) -> Around {
    let of_model = releases.iter().filter(|known| known.model == member.device.hardware.model);
    let known = running(of_model, &runs(member));
    let is = |yes: bool| if yes { Answer::Yes } else { Answer::No };
    let files: Option<Vec<Part>> =
        known.map(|known| known.files().into_iter().map(|(part, _)| part).collect());
    let has = |part: Part| files.as_ref().map_or(Answer::Unknown, |files| is(files.contains(&part)));
    let report = member.report.as_deref();
    let stated = known.and_then(KnownRelease::stated);
    Around {
        has_agent: has_agent(member),
        sensor: report.map_or(Answer::Unknown, |report| is(report.sensor.tier.is_some())),
        interlock: report.map_or(Answer::Unknown, |report| is(report.interlock != InterlockState::Unknown)),
        sbom: has(Part::Sbom),
        vex: has(Part::Vex),
        mud: has(Part::Mud),
        support: stated.map(|release| Support::of(&release.support, now)).unwrap_or_default(),
    }
}
