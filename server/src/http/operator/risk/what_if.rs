//! `/api/v1/risk/what-if/{repository}/{release}`: what a release would change, before anybody orders it.
//!
//! Every device of its model that could take it is scored as it is and as it would be; nothing is changed. Devices that could
//! not take it are counted by why. Read next: `cordon_server_core::risk::what_if`, and `orders` for the same as an order.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use cordon_proto::ids::{DeviceId, Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::release::Release;
use cordon_server_core::exposure::Bill;
use cordon_server_core::import::KnownRelease;
use cordon_server_core::order_plan::{Case, Fate, fate};
use cordon_server_core::paths_up::steps_of;
use cordon_server_core::risk::what_if::{Changed, FleetEffect, effect};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Answered, Operator, not_found, parsed, refused};
use super::afterwards::{Afterwards, bill_of};
use crate::appraisal::{Published, facts, is_counted};
use crate::fleet::Member;
use crate::http::problem::Problem;

/// Which devices are listed.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhatIfQuery {
    /// Only devices after this one.
    pub after: Option<String>,
    /// At most so many, at most 500; 0 for none.
    pub limit: Option<usize>,
}

/// What a release would change.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhatIfAnswer {
    /// When it was computed, RFC 3339.
    pub at: String,
    /// SHA-256 of the table of figures.
    pub model_sha256: String,
    /// The release.
    pub release: String,
    /// What it comes to, in a sentence.
    pub words: String,
    /// Over all devices that could take it: sums of scores before and after in hundredths, devices by band (low to critical), how
    /// many leave or enter the critical band, on how many devices each part would be gone, new, or weigh otherwise.
    #[schema(value_type = Object)]
    pub fleet: FleetEffect,
    /// Devices of its model that could not take it, by why.
    pub left_out: BTreeMap<&'static str, u32>,
    /// On what its vulnerabilities stand: `sbom`, its own bill of materials held against what is known; or `remedies`, only
    /// what is known of the devices' own vulnerabilities and of the releases that remove them.
    pub by: &'static str,
    /// The same in a sentence; without a bill, why there is none.
    pub by_words: String,
    /// How many devices its bill of materials was matched for.
    pub matched: u32,
    /// A page of the devices, by name.
    pub devices: Vec<DeviceEffectView>,
    /// Pass as `after` for the next page.
    pub next: Option<String>,
}

/// What a release would change on one device.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceEffectView {
    /// The device.
    id: String,
    /// Its maker's number.
    serial: String,
    /// Where it stands.
    site: String,
    /// Where it stands.
    ward: String,
    /// The score now, in hundredths.
    before_hundredths: u16,
    /// The score with the release.
    after_hundredths: u16,
    /// The band now.
    before_band: &'static str,
    /// The band with the release.
    after_band: &'static str,
    /// Parts that would be gone.
    #[schema(value_type = Vec<Object>)]
    removed: Vec<Changed>,
    /// Parts that it would bring.
    #[schema(value_type = Vec<Object>)]
    added: Vec<Changed>,
    /// Parts that would weigh otherwise.
    #[schema(value_type = Vec<Object>)]
    other: Vec<Changed>,
    /// Vulnerabilities and components of which nobody could say afterwards whether they are hit.
    unknown: u32,
}

/// What a release would change on the devices that it fits. Nothing is changed by asking.
#[utoipa::path(get, path = "/api/v1/risk/what-if/{repository}/{release}",
    params(("repository" = String, Path), ("release" = String, Path), WhatIfQuery),
    responses((status = 200, body = WhatIfAnswer), (status = 404), (status = 422)))]
pub async fn show(
    State(operator): State<Operator>,
    Path((repository, release)): Path<(String, String)>,
    Query(query): Query<WhatIfQuery>,
) -> Answered<WhatIfAnswer> {
    let (repository, release): (Name, TargetPath) =
        (parsed(&repository, "release")?, parsed(&release, "release")?);
    let after = query.after.as_deref().map(str::parse::<DeviceId>).transpose();
    let after = after.map_err(|_| refused("bad_query", "`after` is the `next` of the page before"))?;
    let limit = query.limit.unwrap_or(limits::PAGE_ROWS).min(limits::PAGE_ROWS);
    let releases = operator.repositories.releases().await?;
    let known = releases.iter().find(|one| one.repository == repository && one.release == release);
    let known = known.ok_or_else(|| not_found("release"))?;
    let old = "this release was taken in before its details were kept: publish the repository again";
    let stated = known.stated().ok_or_else(|| refused("release_unread", old))?;
    let (members, published, now) =
        (operator.app.fleet.all(), operator.published(), operator.app.clock.now());
    let bill = bill_of(&operator, known).await;
    let asked = Asked { releases, stated, published, now, page: (after, limit) };
    let work = move || asked.over(&members, bill);
    let answer = tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(answer))
}

/// A release, and all that its effect depends on beside the devices.
struct Asked {
    releases: Vec<KnownRelease>,
    stated: Release,
    published: Published,
    now: Timestamp,
    page: (Option<DeviceId>, usize),
}

impl Asked {
    /// The effect over these devices, by the release's bill of materials where there is one.
    fn over(&self, members: &[Arc<Member>], bill: Result<Bill, String>) -> WhatIfAnswer {
        let steps = steps_of(&self.stated.model, &self.releases);
        let case = Case { release: &self.stated, steps: &steps, now: self.now };
        let (mut fleet, mut left_out) = (FleetEffect::default(), BTreeMap::new());
        let (mut devices, mut more) = (Vec::new(), false);
        let (from, limit) = self.page;
        let of_model =
            |member: &&Arc<Member>| is_counted(member) && member.device.hardware.model == self.stated.model;
        let afterwards = Afterwards::of(&self.stated, &self.published, bill, members);
        for member in members.iter().filter(of_model) {
            let fate = fate(&case, &member.meant());
            if !matches!(fate, Fate::Fits | Fate::NeedsStep(_)) {
                *left_out.entry(fate.word()).or_default() += 1;
                continue;
            }
            let before = facts(member, &self.published);
            let after = afterwards.facts(&before);
            let effect = effect(&before, &after, &self.published.model, self.now);
            fleet.add(&effect);
            if from.is_some_and(|from| member.id() <= from) {
                continue;
            }
            more |= devices.len() == limit;
            if devices.len() < limit {
                devices.push(view(member, effect));
            }
        }
        let next = devices.last().filter(|_| more).map(|device: &DeviceEffectView| device.id.clone());
        WhatIfAnswer {
            at: self.now.to_string(),
            model_sha256: self.published.model.sha256_hex(),
            release: self.stated.image.release.to_string(),
            words: fleet.words(self.stated.image.release.as_str()),
            left_out,
            by: afterwards.by(),
            by_words: afterwards.by_words(),
            matched: if afterwards.is_by_bill() { fleet.devices } else { 0 },
            fleet,
            devices,
            next,
        }
    }
}

fn view(member: &Member, effect: cordon_server_core::risk::what_if::Effect) -> DeviceEffectView {
    let (device, placement) = (&member.device, &member.device.placement);
    DeviceEffectView {
        id: device.id.to_string(),
        serial: device.hardware.serial.to_string(),
        site: placement.site.to_string(),
        ward: placement.ward.to_string(),
        before_hundredths: effect.before.hundredths,
        after_hundredths: effect.after.hundredths,
        before_band: effect.before.band.word(),
        after_band: effect.after.band.word(),
        removed: effect.removed,
        added: effect.added,
        other: effect.other,
        unknown: effect.unknown,
    }
}
