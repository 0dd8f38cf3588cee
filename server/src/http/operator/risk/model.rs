//! `/api/v1/risk/model`: every figure of the model, its bounds, and what the site set otherwise.
//!
//! A change needs a reason and stands in the journal with the tables' hashes before and after. Read next:
//! `cordon_server_core::risk::model` for what the figures mean and which orders no site may turn round.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use cordon_server_core::risk::model::order::ORDERS;
use cordon_server_core::risk::model::site::Changes;
use cordon_server_core::risk::model::{RISK_V1, range};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::devices::good_reason;
use super::super::{Answered, Operator, json, refused};
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::risk_book::{InForce, ModelChange};

/// The table of figures in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelAnswer {
    /// Name of the rules that use the figures.
    model: &'static str,
    /// SHA-256 of the table; every score carries it.
    model_sha256: String,
    /// SHA-256 of the model's own table, without what the site set.
    own_sha256: String,
    /// Every figure.
    figures: Vec<FigureView>,
    /// Figures of which none may be above the next one.
    #[schema(value_type = Vec<Vec<String>>)]
    orders: Vec<&'static [&'static str]>,
    /// Who set figures last, when and why; nothing where the site set none.
    set: Option<SetView>,
    /// A table is stored that this server does not understand: the model's own figures are in force until it is set anew.
    unread: bool,
}

/// One figure.
#[derive(Debug, Serialize, ToSchema)]
pub struct FigureView {
    /// Its name.
    figure: &'static str,
    /// The value in force.
    value: u32,
    /// The model's own value.
    ours: u32,
    /// Whether the site set it.
    set_by_site: bool,
    /// The least that it may be.
    least: u32,
    /// The most.
    most: u32,
}

/// Who set figures.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetView {
    /// When, RFC 3339.
    at: String,
    /// Who, as the journal writes it.
    by: String,
    /// Why.
    reason: String,
}

/// Figures to be set otherwise.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelAsk {
    /// Figures to set, by name.
    set: BTreeMap<String, u32>,
    /// Figures that go back to the model's own.
    reset: Vec<String>,
    /// All figures go back before any is set.
    reset_all: bool,
    /// Only say what the table would be; nothing is changed, and no reason is needed.
    preview: bool,
    /// Why, at least 10 characters.
    reason: String,
}

impl ModelAnswer {
    fn of(in_force: &InForce) -> Self {
        let model = &in_force.model;
        let pairs = model.figures().into_iter().zip(RISK_V1.figures());
        let figures = pairs.map(|((figure, value), (_, ours))| {
            let (least, most) = range(figure);
            FigureView { figure, value, ours, set_by_site: value != ours, least, most }
        });
        Self {
            model: model.id,
            model_sha256: model.sha256_hex(),
            own_sha256: RISK_V1.sha256_hex(),
            figures: figures.collect(),
            orders: ORDERS.iter().map(|(_, chain)| *chain).collect(),
            set: in_force.site.as_ref().map(|site| SetView {
                at: site.at.to_string(),
                by: site.by.clone(),
                reason: site.reason.to_string(),
            }),
            unread: in_force.unread,
        }
    }
}

/// The table of figures in force.
#[utoipa::path(get, path = "/api/v1/risk/model", responses((status = 200, body = ModelAnswer)))]
pub async fn show(State(operator): State<Operator>) -> Answered<ModelAnswer> {
    Ok(Json(ModelAnswer::of(&operator.app.risk.in_force())))
}

/// Sets figures for this site, or gives them back. All scores change with it, and say so.
#[utoipa::path(put, path = "/api/v1/risk/model", request_body = ModelAsk,
    responses((status = 200, body = ModelAnswer), (status = 422)))]
pub async fn set(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Answered<ModelAnswer> {
    let ask: ModelAsk = json(request, "ModelAsk").await?;
    let changes = Changes { set: ask.set, reset: ask.reset, reset_all: ask.reset_all };
    if ask.preview {
        let in_force = operator.app.risk.in_force();
        let (model, _) =
            changes.over(&in_force.model).map_err(|error| Problem::from(ModelChange::from(error)))?;
        return Ok(Json(ModelAnswer::of(&InForce { model: model.into(), site: None, ..in_force })));
    }
    let reason = good_reason(&ask.reason)?;
    let now = operator.app.clock.now();
    let in_force = operator.app.set_risk_model(&changes, reason, caller.at(now)).await?;
    Ok(Json(ModelAnswer::of(&in_force)))
}

impl From<ModelChange> for Problem {
    fn from(error: ModelChange) -> Self {
        match error {
            ModelChange::Refused(error) => refused("figures_refused", error.to_string()),
            ModelChange::Store(error) => error.into(),
            ModelChange::Commit(error) => error.into(),
        }
    }
}
