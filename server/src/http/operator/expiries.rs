//! `/api/v1/expiries`: what ends, when, and who must act.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::time::Timestamp;
use cordon_server_core::expiry::{Lapse, What, Whose};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator};
use crate::expiries;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/expiries", get(list))
}

/// Which ends are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExpiryQuery {
    /// All of them; otherwise only those that are announced by now.
    #[serde(default)]
    all: bool,
}

/// One end.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpiryView {
    /// `root`, `targets`, `role`, `order`, `way-back`, `freshness`, `renewed`, `authority`, `api-token`, `hold`, `exception`, `feed`
    /// or `support`.
    #[schema(value_type = String)]
    pub what: What,
    /// Which one.
    pub name: String,
    /// When, RFC 3339.
    pub at: String,
    /// Whole days until then; negative once it is over.
    pub days: i64,
    /// 90, 30 or 7 as it comes nearer (1 for what a server renews by itself), 0 once it is over, nothing before.
    pub within: Option<u32>,
    /// Who must act: `owner`, `maker`, `server` or `staff`.
    #[schema(value_type = String)]
    pub whose: Whose,
    /// What to do.
    pub todo: &'static str,
}

/// What ends, the soonest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpiryPage {
    /// The ends.
    expiries: Vec<ExpiryView>,
}

impl ExpiryView {
    fn of(lapse: &Lapse, now: Timestamp) -> Self {
        Self {
            what: lapse.what,
            name: lapse.name.to_string(),
            at: lapse.at.to_string(),
            days: lapse.at.seconds_since(now).div_euclid(86_400),
            within: lapse.within(now),
            whose: lapse.whose,
            todo: lapse.todo(),
        }
    }
}

/// What ends: signed documents, orders and their ways back, authorities, tokens of tools, holds, accepted risks, feeds.
#[utoipa::path(get, path = "/api/v1/expiries", params(ExpiryQuery), responses((status = 200, body = ExpiryPage)))]
pub async fn list(
    State(operator): State<Operator>,
    Query(query): Query<ExpiryQuery>,
) -> Answered<ExpiryPage> {
    let now = operator.app.clock.now();
    let mut ends = expiries::all(&operator).await?;
    ends.sort_by(|one, other| (one.at, one.what, &one.name).cmp(&(other.at, other.what, &other.name)));
    ends.retain(|lapse| query.all || lapse.within(now).is_some());
    Ok(Json(ExpiryPage { expiries: ends.iter().map(|lapse| ExpiryView::of(lapse, now)).collect() }))
}
