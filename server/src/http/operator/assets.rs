//! `/api/v1/devices/import`, `/api/v1/asset-lists`: devices that a list of assets names.
//!
//! The list comes as the spreadsheet wrote it. A preview says what an import would do and changes nothing.

use axum::extract::{Query, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::ids::{Name, Sha256, Text};
use cordon_proto::limits;
use cordon_server_core::assets::{Arriving, Plan};
use cordon_server_core::feeds::asset::{Assets, NoList};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

use super::{Answered, Operator, refused};
use crate::app::{AssetsError, Brought};
use crate::http::body;
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::table::{self, NoTable};

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/devices/import", post(import)).route("/api/v1/asset-lists", get(lists))
}

/// How a list is taken.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The owner's name for the list: small letters, digits and dashes. One name for one list, each time it comes.
    list: Option<String>,
    /// The site of rows that name none.
    site: Option<String>,
    /// `1` or `true`: say what it would do, and do nothing.
    preview: Option<String>,
}

/// What an import did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportAnswer {
    /// The list.
    pub(crate) list: String,
    /// Whether nothing was changed.
    pub(crate) preview: bool,
    /// Rows about devices, the header not counted.
    pub(crate) rows: usize,
    /// Devices that nobody knew.
    pub(crate) new: usize,
    /// These, the first 500.
    pub(crate) new_devices: Vec<NewView>,
    /// Known devices of which the list says something new.
    pub(crate) changed: usize,
    /// Known devices of which it says nothing new.
    pub(crate) unchanged: usize,
    /// Devices that it named before and names no more. They stay; a person retires them.
    pub(crate) unlisted: usize,
    /// Of these, told by an earlier import already.
    pub(crate) unlisted_before: usize,
    /// Rows that were not taken, by reason.
    pub(crate) refused: BTreeMap<String, usize>,
    /// These rows, the first 500.
    pub(crate) refused_rows: Vec<RefusedView>,
    /// Changed devices and those that it names no more, the first 500.
    pub(crate) changes: Vec<ChangeView>,
    /// Columns that nobody asked for, as they were written.
    pub(crate) columns_passed_over: Vec<String>,
}

/// A row that was not taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedView {
    /// The row, the header being the first.
    pub(crate) row: usize,
    /// The reason for programs.
    pub(crate) code: String,
    /// The reason for people, with what to do.
    pub(crate) why: String,
}

/// A device that the list changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeView {
    /// The row; none where the list names it no more.
    pub(crate) row: Option<usize>,
    /// The device.
    pub(crate) device: String,
    /// What people call it.
    pub(crate) name: String,
    /// What changes.
    pub(crate) what: String,
}

/// A device that nobody knew.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewView {
    /// Its row.
    pub(crate) row: Option<usize>,
    /// What people call it.
    pub(crate) name: String,
    /// Its maker.
    pub(crate) manufacturer: String,
    /// Its model.
    pub(crate) model: String,
    /// Its site.
    pub(crate) site: String,
    /// Its ward.
    pub(crate) ward: String,
}

/// The lists that came in.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListPage {
    /// Each list.
    lists: Vec<ListView>,
}

/// One list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListView {
    /// Its name.
    list: String,
    /// When it came in last, RFC 3339.
    imported: String,
    /// Whole days since.
    days: i64,
    /// By whom.
    by: String,
    /// SHA-256 of the file.
    sha256: String,
    /// Devices that it names here.
    devices: usize,
    /// Rows that were not taken.
    refused: usize,
}

/// Imports a list of assets (a CMMS export as CSV): new devices, what changed, what it names no more. Nothing is deleted and no
/// identity changes; sending the same list again completes what was interrupted.
#[utoipa::path(post, path = "/api/v1/devices/import", params(ImportQuery), request_body(content = String, content_type = "text/csv"),
    responses((status = 200, body = ImportAnswer), (status = 413), (status = 422)))]
pub async fn import(
    State(operator): State<Operator>,
    caller: Caller,
    Query(query): Query<ImportQuery>,
    request: Request,
) -> Answered<ImportAnswer> {
    let list = query.list.as_deref().unwrap_or("assets");
    let named = "`list` is small letters, digits, dots and dashes, such as `cmms`";
    let list: Name = list.parse().map_err(|_| refused("bad_list_name", named))?;
    let site = query.site.as_deref().map(|site| site.parse::<Text>());
    let site = site.transpose().map_err(|_| refused("bad_site", "`site` is 1 to 256 characters"))?;
    let (parts, sent) = request.into_parts();
    let bytes = body::read(&parts.headers, sent, limits::ASSET_LIST_BYTES).await?;
    let sha256 = Sha256::of(&bytes);
    let assets = tokio::task::spawn_blocking(move || read_list(&bytes)).await;
    let assets = assets.map_err(|error| Problem::internal(&error))??;
    let preview = matches!(query.preview.as_deref(), Some("1" | "true"));
    let brought = Brought { list, site, assets: Arc::new(assets), sha256 };
    let plan = match preview {
        true => operator.app.plan_assets(&brought).await?,
        false => operator.app.import_assets(&brought, &caller.actor).await?,
    };
    Ok(Json(answer(&brought, &plan, preview)))
}

/// The lists of assets that came in, by name.
#[utoipa::path(get, path = "/api/v1/asset-lists", responses((status = 200, body = ListPage)))]
pub async fn lists(State(operator): State<Operator>) -> Answered<ListPage> {
    let (lists, now) = (operator.app.asset_lists().await?, operator.app.clock.now());
    let view = |(list, record): (Name, cordon_server_core::assets::ListRecord)| ListView {
        list: list.to_string(),
        imported: record.imported.to_string(),
        days: now.seconds_since(record.imported).div_euclid(86_400),
        by: record.by,
        sha256: record.sha256.to_string(),
        devices: record.devices,
        refused: record.refused,
    };
    Ok(Json(ListPage { lists: lists.lists.into_iter().map(view).collect() }))
}

/// Why a list cannot be read.
enum Unread {
    Table(NoTable),
    List(NoList),
}

impl From<NoTable> for Unread {
    fn from(error: NoTable) -> Self {
        Self::Table(error)
    }
}

/// Reads a list as the spreadsheet wrote it.
pub(crate) fn read_list(bytes: &[u8]) -> Result<Assets, Problem> {
    let mut assets = Assets::default();
    let taken = table::rows(bytes, |cells| assets.row(cells).map_err(Unread::List));
    match taken.and_then(|()| assets.finish().map_err(Unread::List)) {
        Ok(assets) => Ok(assets),
        Err(Unread::Table(error)) => Err(refused("list_refused", format!("the list: {error}"))),
        Err(Unread::List(error)) => Err(refused("list_refused", format!("the list: {error}"))),
    }
}

/// What a plan did, or would do.
pub(crate) fn answer(brought: &Brought, plan: &Plan, preview: bool) -> ImportAnswer {
    let assets = &brought.assets;
    let change = |one: &Arriving| ChangeView {
        row: one.row,
        device: one.device.id.to_string(),
        name: one.device.called().to_string(),
        what: one.words.clone(),
    };
    let new = |one: &Arriving| NewView {
        row: one.row,
        name: one.device.called().to_string(),
        manufacturer: one.device.hardware.manufacturer.to_string(),
        model: one.device.hardware.model.to_string(),
        site: one.device.placement.site.to_string(),
        ward: one.device.placement.ward.to_string(),
    };
    let refused_row = |refused: &cordon_server_core::assets::RefusedRow| RefusedView {
        row: refused.row,
        code: refused.why.code().to_owned(),
        why: refused.why.to_string(),
    };
    ImportAnswer {
        list: brought.list.to_string(),
        preview,
        rows: assets.assets.len().saturating_add(assets.left_out.len()),
        new: plan.new.len(),
        new_devices: plan.new.iter().take(limits::PAGE_ROWS).map(new).collect(),
        changed: plan.changed.len(),
        unchanged: plan.unchanged,
        unlisted: plan.unlisted.len(),
        unlisted_before: plan.still_unlisted.len(),
        refused: plan.reasons().into_iter().map(|(code, rows)| (code.to_owned(), rows)).collect(),
        refused_rows: plan.refused.iter().take(limits::PAGE_ROWS).map(refused_row).collect(),
        changes: plan.changed.iter().chain(&plan.unlisted).take(limits::PAGE_ROWS).map(change).collect(),
        columns_passed_over: assets.passed_over.clone(),
    }
}

impl From<AssetsError> for Problem {
    fn from(error: AssetsError) -> Self {
        match error {
            AssetsError::TooManyLists => refused("list_refused", error.to_string()),
            AssetsError::Planning(error) => Self::internal(&error),
            AssetsError::Store(error) => error.into(),
            AssetsError::Commit(error) => error.into(),
        }
    }
}
