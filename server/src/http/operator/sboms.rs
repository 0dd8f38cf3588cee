//! Bills of materials: of a release, of a device, what differs.
//!
//! What a document means, and what differs, is said in `server/core`'s `sbom`; here files and rows are loaded. Few are read
//! at once, for each may take the memory of its greatest size. Read next: [`super::releases`] for the files as they came.

use std::collections::BTreeMap;
use std::io;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::ids::{DeviceId, Name, Sha256, TargetPath, Text};
use cordon_proto::inventory::Inventory;
use cordon_proto::time::Millis;
use cordon_proto::update::release::FileRef;
use cordon_proto::{limits, wire};
use cordon_server_core::change::Key;
use cordon_server_core::import::{KnownRelease, Part};
use cordon_server_core::sbom::drift::{Drift, between};
use cordon_server_core::sbom::files::{self, Files};
use cordon_server_core::sbom::found::of_inventory;
use cordon_server_core::sbom::write::About;
use cordon_server_core::sbom::{self, Component, Kind, Sbom};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::{Answered, Operator, not_found, parsed, refused};
use crate::fleet::Member;
use crate::http::problem::Problem;

/// Documents that are read at the same time.
static READING: Semaphore = Semaphore::const_new(2);

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/sboms/{repository}/{*release}", get(of_release))
        .route("/api/v1/devices/{id}/sbom", get(of_device))
        .route("/api/v1/devices/{id}/drift", get(drift))
}

/// How a bill of materials is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SbomQuery {
    /// `cyclonedx`: the whole of it as CycloneDX 1.6, in one form whatever its maker wrote.
    r#as: Option<String>,
    /// Only components from this place on: `next` of the answer before.
    after: Option<usize>,
    /// At most so many components, at most 500.
    limit: Option<usize>,
}

/// A bill of materials as its maker shipped it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SbomAnswer {
    /// SHA-256 of the file; its bytes are served at `/api/v1/targets/{sha256}`.
    #[schema(value_type = String)]
    sha256: Sha256,
    /// `CycloneDX`, `SPDX` or `SPDX tag-value`.
    format: &'static str,
    /// The format's version.
    version: String,
    /// When it was made, RFC 3339, as it says.
    made: Option<String>,
    /// What it is of.
    subject: Option<ComponentView>,
    /// All components, nested ones too.
    count: usize,
    /// Components about which advisories can be asked.
    matchable: usize,
    /// Among these: packages of a distribution whose release nobody says; they stay unknown.
    without_release: usize,
    /// The other components, by reason: `not-a-package`, `no-purl`, `bad-purl`, `no-version`.
    #[schema(value_type = Object)]
    unmatchable: BTreeMap<&'static str, usize>,
    /// What of the document was not understood or mended, by word.
    #[schema(value_type = Object)]
    told: BTreeMap<&'static str, usize>,
    /// One page of components, by package URL.
    components: Vec<ComponentView>,
    /// Pass as `after` for the next page.
    next: Option<usize>,
}

/// A component.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ComponentView {
    /// What it is, in the words of CycloneDX.
    #[schema(value_type = String)]
    kind: Kind,
    /// Its name.
    name: String,
    /// Its version.
    version: Option<String>,
    /// Its package URL.
    purl: Option<String>,
    /// Its licences.
    licences: Vec<String>,
}

/// What a device was shipped with against what is found on it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DriftAnswer {
    /// The device.
    pub device: String,
    /// The release that runs, as the device says.
    #[schema(value_type = String)]
    pub release: TargetPath,
    /// The repository of its maker.
    #[schema(value_type = String)]
    pub repository: Name,
    /// SHA-256 of the bill of materials that was shipped with it.
    #[schema(value_type = String)]
    pub sbom: Sha256,
    /// Root of the inventory that it is compared with.
    pub inventory_root: String,
    /// The differences: `missing`, `extra`, `changed`, how many are the `same`, and what was `not_compared`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub drift: Drift,
    /// Files that the image declares, as the device hashed them: whether they are `sound`, the `count`, the `list`'s SHA-256, and
    /// the `differing` ones; null where the image declares none.
    #[schema(value_type = Object)]
    pub files: Option<Files>,
}

/// The bill of materials of a release, read; or as CycloneDX 1.6.
#[utoipa::path(get, path = "/api/v1/sboms/{repository}/{release}",
    params(("repository" = String, Path), ("release" = String, Path), SbomQuery),
    responses((status = 200, body = SbomAnswer), (status = 404), (status = 422)))]
pub async fn of_release(
    State(operator): State<Operator>,
    Path((repository, release)): Path<(String, String)>,
    Query(query): Query<SbomQuery>,
) -> Result<Response, Problem> {
    let repository: Name = parsed(&repository, "repository")?;
    let release: TargetPath = parsed(&release, "release")?;
    let known = operator.repositories.release(&repository, &release).await?;
    let known = known.ok_or_else(|| not_found("release"))?;
    let file = file_of(&known)?;
    let sbom = shipped(&operator, file).await?;
    match query.r#as.as_deref() {
        Some("cyclonedx") => Ok(document(&sbom)),
        Some(_) => Err(refused("bad_query", "`as` is `cyclonedx`, or is left out")),
        None => Ok(Json(SbomAnswer::page(&sbom, file.sha256, &query)).into_response()),
    }
}

/// A device as found: CycloneDX 1.6, made of its own inventory, of the time of the last report that said it is true. The same
/// inventory and report give the same bytes.
#[utoipa::path(get, path = "/api/v1/devices/{id}/sbom", params(("id" = String, Path)),
    responses((status = 200, body = Object, content_type = "application/vnd.cyclonedx+json"), (status = 404)))]
pub async fn of_device(
    State(operator): State<Operator>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: DeviceId = parsed(&id, "device")?;
    let Found { sbom, .. } = found(&operator, id).await?;
    Ok(document(&sbom))
}

/// What a device was shipped with against what is found on it: by the bill of materials of the release that it runs.
#[utoipa::path(get, path = "/api/v1/devices/{id}/drift", params(("id" = String, Path)),
    responses((status = 200, body = DriftAnswer), (status = 404), (status = 422)))]
pub async fn drift(State(operator): State<Operator>, Path(id): Path<String>) -> Answered<DriftAnswer> {
    let id: DeviceId = parsed(&id, "device")?;
    let Found { sbom: found, inventory_root, files } = found(&operator, id).await?;
    let member = operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    let releases = operator.repositories.releases().await?;
    let known = running(&member, &releases)?;
    let file = file_of(known)?;
    let shipped = shipped(&operator, file).await?;
    Ok(Json(DriftAnswer {
        device: id.to_string(),
        release: known.release.clone(),
        repository: known.repository.clone(),
        sbom: file.sha256,
        inventory_root,
        drift: between(&shipped, &found),
        files,
    }))
}

impl SbomAnswer {
    fn page(sbom: &Sbom, sha256: Sha256, query: &SbomQuery) -> Self {
        let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS);
        let (after, matchable) = (query.after.unwrap_or(0), sbom.matchable());
        let sorted = sbom.sorted();
        let components: Vec<_> =
            sorted.iter().skip(after).take(limit).map(|component| ComponentView::of(component)).collect();
        let end = after.saturating_add(components.len());
        Self {
            sha256,
            format: sbom.format.word(),
            version: sbom.version.clone(),
            made: sbom.made.map(|made| made.to_string()),
            subject: sbom.subject.as_ref().map(ComponentView::of),
            count: sorted.len(),
            matchable: matchable.components.len(),
            without_release: matchable.without_release,
            unmatchable: matchable.left_out,
            told: sbom.told.clone(),
            next: (end < sorted.len() && !components.is_empty()).then_some(end),
            components,
        }
    }
}

impl ComponentView {
    fn of(component: &Component) -> Self {
        Self {
            kind: component.kind,
            name: component.name.clone(),
            version: component.version.clone(),
            purl: component.purl.clone(),
            licences: component.licences.clone(),
        }
    }
}

/// The release that a device runs, by its own word: the one of that name and counter for its model, and of two the one whose
/// image was measured.
fn running<'a>(member: &Member, releases: &'a [KnownRelease]) -> Result<&'a KnownRelease, Problem> {
    let report = member.report.as_ref();
    let software = report.map(|report| &report.software);
    let software = software.ok_or_else(|| lacking("the device has not said yet what it runs"))?;
    let model: &Text = &member.device.hardware.model;
    let fits = |known: &&KnownRelease| {
        let named = software.release.as_ref() == Some(&known.release) && software.counter == known.counter;
        known.model == *model && (named || software.sha256 == known.sha256)
    };
    let mut fitting: Vec<&KnownRelease> = releases.iter().filter(fits).collect();
    fitting.sort_by_key(|known| (known.sha256 != software.sha256, !known.listed));
    fitting.first().copied().ok_or_else(|| {
        let named = software
            .release
            .as_ref()
            .map_or("an image that no release names".to_owned(), TargetPath::to_string);
        lacking(&format!("the device runs {named}, which was never imported here for model {model}"))
    })
}

/// The file of a release's bill of materials.
pub(crate) fn file_of(known: &KnownRelease) -> Result<FileRef, Problem> {
    let file = known.files().into_iter().find(|(part, _)| *part == Part::Sbom);
    let (_, file) =
        file.ok_or_else(|| lacking(&format!("the maker shipped no SBOM with {}", known.release)))?;
    if file.length > limits::SBOM_BYTES {
        return Err(refused("sbom_refused", sbom::Refused::TooLong.to_string()));
    }
    Ok(file)
}

/// The bill of materials in a file that was taken in with a release.
pub(crate) async fn shipped(operator: &Operator, file: FileRef) -> Result<Sbom, Problem> {
    let blob = operator.app.blobs.get(file.sha256).await.map_err(|error| Problem::internal(&error))?;
    let blob = blob.filter(|blob| blob.info().length == file.length);
    let blob = blob
        .ok_or_else(|| lacking(&format!("the SBOM {} is not on this server: send it again", file.sha256)))?;
    let _turn = READING.acquire().await.map_err(|error| Problem::internal(&error))?;
    let bytes: Result<Vec<_>, io::Error> = blob.stream(0, file.length).try_collect().await;
    let bytes = bytes.map_err(|error| Problem::internal(&error))?;
    let read = tokio::task::spawn_blocking(move || sbom::read(&bytes.concat())).await;
    let read = read.map_err(|error| Problem::internal(&error))?;
    read.map_err(|why| refused("sbom_refused", format!("the SBOM {} is not read: {why}", file.sha256)))
}

/// What is found on a device.
pub(crate) struct Found {
    /// Its software.
    pub(crate) sbom: Sbom,
    /// The root of the inventory that says so.
    pub(crate) inventory_root: String,
    /// The files that its image declares.
    pub(crate) files: Option<Files>,
}

/// What is found on a device, as its inventory says.
pub(crate) async fn found(operator: &Operator, id: DeviceId) -> Result<Found, Problem> {
    let member = operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    let row = operator.app.store.get(Key::Inventory(id)).await?;
    let row = row.ok_or_else(|| lacking("the device has sent no inventory"))?;
    let inventory: Inventory =
        wire::read(&row.body, limits::RECORD_BYTES).map_err(|error| Problem::internal(&error))?;
    let report = member.report.as_ref();
    let release = report.and_then(|report| report.software.release.as_ref());
    let hardware = &member.device.hardware;
    let subject = Component {
        kind: Kind::Device,
        name: hardware.model.to_string(),
        group: Some(hardware.manufacturer.to_string()).filter(|maker| !maker.is_empty()),
        version: release.map(TargetPath::to_string),
        reference: id.to_string(),
        ..Component::default()
    };
    let (mut sbom, root) = (of_inventory(&inventory, subject), inventory.root());
    // It is of the time at which the device said that this very inventory is true.
    match report {
        Some(report) if report.inventory_root == root => sbom.made = member.reported.map(Millis::seconds),
        Some(_) | None => _ = sbom.told.insert("inventory-outdated", 1),
    }
    Ok(Found { sbom, inventory_root: root.to_string(), files: files::declared(&inventory) })
}

fn document(sbom: &Sbom) -> Response {
    let about = About { made: sbom.made, serial: None, program: env!("CARGO_PKG_VERSION") };
    ([(CONTENT_TYPE, "application/vnd.cyclonedx+json; version=1.6")], sbom.cyclonedx(about)).into_response()
}

/// Something is not here, and why.
fn lacking(detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
}
