//! `/api/v1/coverage`: of which devices how much is known, and what nobody here can see.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use cordon_server_core::coverage::{Coverage, FeedGap, Seen, coverage, feed_gaps};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answered, Operator};
use crate::http::problem::Problem;

/// Days after which a list of assets is old news.
const LIST_STALE_DAYS: i64 = 90;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/coverage", get(show))
}

/// How much of the fleet is known.
#[derive(Debug, Serialize, ToSchema)]
pub struct CoverageAnswer {
    /// Devices; those still to come and those whose use has ended are in no count.
    pub devices: u32,
    /// By how they are known: `agent`, `observed`, `imported`.
    #[schema(value_type = Object)]
    pub sources: BTreeMap<&'static str, u32>,
    /// Of those with an agent: by what the sensor sees.
    #[schema(value_type = Object)]
    pub sensors: BTreeMap<String, u32>,
    /// Of those with an agent: without a word for a day.
    pub silent: u32,
    /// Devices whose list of software is here.
    pub with_inventory: u32,
    /// Of the others: maker, model and version are known.
    pub with_version: u32,
    /// Of the others: maker and model are known, and no version.
    pub with_model: u32,
    /// Of the others: not even maker and model are known.
    pub unmatchable: u32,
    /// Devices that their list of assets names no more.
    pub unlisted: u32,
    /// Feeds behind which nothing is seen: `stale`, `ahead`, `unreadable` or `never`, with their age in days.
    #[schema(value_type = Vec<Object>)]
    pub feeds: Vec<FeedGap>,
    /// What cannot be seen, in sentences.
    pub blind_spots: Vec<String>,
}

/// What is known of how much of the fleet, and what cannot be seen.
#[utoipa::path(get, path = "/api/v1/coverage", responses((status = 200, body = CoverageAnswer)))]
pub async fn show(State(operator): State<Operator>) -> Answered<CoverageAnswer> {
    let Coverage {
        devices,
        sources,
        sensors,
        silent,
        with_inventory,
        with_version,
        with_model,
        unmatchable,
        unlisted,
        feeds,
        blind_spots,
    } = of(&operator).await?;
    Ok(Json(CoverageAnswer {
        devices,
        sources,
        sensors,
        silent,
        with_inventory,
        with_version,
        with_model,
        unmatchable,
        unlisted,
        feeds,
        blind_spots,
    }))
}

/// The coverage of now, for the API and the console.
pub(crate) async fn of(operator: &Operator) -> Result<Coverage, Problem> {
    let (members, now) = (operator.app.fleet.all(), operator.app.clock.now());
    // What a SIEM does not take is seen by nobody there.
    let mut told: Vec<String> = super::siem::trouble(operator, now).await?.into_iter().collect();
    for (list, record) in operator.app.asset_lists().await?.lists {
        let days = now.seconds_since(record.imported).div_euclid(86_400);
        if days >= LIST_STALE_DAYS {
            told.push(format!("the asset list {list} is {days} days old: import it again"));
        }
    }
    let knowledge = &operator.app.knowledge;
    let unreadable = knowledge.matched().made.map(|made| made.missing.clone()).unwrap_or_default();
    let feeds = feed_gaps(&knowledge.feeds(), &unreadable, now);
    let counted = tokio::task::spawn_blocking(move || {
        let seen = members.iter().map(|member| Seen {
            device: &member.device,
            report: member.report.as_deref(),
            seen: member.seen,
            has_inventory: member.inventory.is_some(),
        });
        coverage(seen, feeds, &told, now)
    });
    counted.await.map_err(|error| Problem::internal(&error))
}
