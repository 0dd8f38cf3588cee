//! `/api/v1/devices/{id}/exposures`: the weaknesses of one device, each with what the answer stands on.
//!
//! What its score counts of them stands in its facts; here is why. Read next: `advisories` for the other way round.

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_server_core::exposure::{Row, Word};
use cordon_server_core::risk::facts::Exposure;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, not_found, parsed, refused};

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/devices/{id}/exposures", get(list))
}

/// Which answers are asked for.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExposureQuery {
    /// Only this answer: `affected`, `unknown`, `fixed`, `not-affected`. Without it what is affected and what is unknown.
    pub answer: Option<String>,
    /// The number of the first one, 0 without it.
    pub from: Option<usize>,
    /// At most so many, at most 500.
    pub limit: Option<usize>,
}

/// The weaknesses of one device.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExposurePage {
    /// The answers: by component, then by weakness; those about the model last.
    #[schema(value_type = Vec<Object>)]
    pub exposures: Vec<ExposureView>,
    /// How many fit in all.
    pub total: usize,
    /// Pass as `from` for the next page.
    pub next: Option<usize>,
    /// Whether its packages are known.
    pub inventory: bool,
    /// As what advisories about devices were asked: maker, model, version.
    pub asked_as: [String; 3],
    /// Weaknesses of which nobody can say whether it has them.
    pub unknown: u32,
    /// Components of which nothing can be said at all.
    pub unmatchable: u32,
    /// Of when the advisories are that it was held against, RFC 3339.
    pub as_of: Option<String>,
    /// `no-feeds`, `preparing`, `renewing` or `ready`: until it is ready, an empty page is no good news.
    pub matching: &'static str,
    /// The same in a sentence.
    pub matching_words: &'static str,
}

/// One answer, and what the score counts of it.
#[derive(Debug, Serialize)]
pub struct ExposureView {
    /// The answer and what it stands on.
    #[serde(flatten)]
    pub row: Row,
    /// The answer with the maker's statement counted in.
    pub stands: Word,
    /// What the score counts, where it counts it: chance, severity, the release that removes it, since when it is known.
    pub weighs: Option<Exposure>,
}

/// The weaknesses of one device.
#[utoipa::path(get, path = "/api/v1/devices/{id}/exposures", params(("id" = String, Path), ExposureQuery),
    responses((status = 200, body = ExposurePage), (status = 404), (status = 422)))]
pub async fn list(
    State(operator): State<Operator>,
    Path(id): Path<String>,
    Query(query): Query<ExposureQuery>,
) -> Answered<ExposurePage> {
    let id: DeviceId = parsed(&id, "device")?;
    let member = operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    let words = [Word::Affected, Word::Unknown, Word::Fixed, Word::NotAffected];
    let wanted = match query.answer.as_deref() {
        None => None,
        Some(word) => {
            let found = words.into_iter().find(|known| known.word() == word);
            let found = found
                .ok_or_else(|| refused("bad_query", "`answer` is affected, unknown, fixed or not-affected"));
            Some(found?)
        }
    };
    let matched = operator.app.knowledge.matched();
    let all = wanted.is_some_and(|word| !word.is_open());
    let mut rows = matched.rows(&member, all);
    rows.retain(|row| wanted.is_none_or(|word| word == row.answer));
    let exposed = matched.exposed(&member).unwrap_or_default();
    let total = rows.len();
    let (from, limit) = (query.from.unwrap_or(0), query.limit.unwrap_or(limits::PAGE_ROWS));
    let limit = limit.clamp(1, limits::PAGE_ROWS);
    let shown = rows.into_iter().skip(from).take(limit).map(|row| {
        let counts = |one: &&Exposure| one.id == row.id && one.source.as_deref() == Some(row.source.as_str());
        let weighs = exposed.exposures.iter().find(counts).cloned();
        ExposureView { stands: row.stands(), weighs, row }
    });
    let exposures: Vec<ExposureView> = shown.collect();
    let seen = from.saturating_add(exposures.len());
    let model = crate::knowledge::matched::model_of(&member);
    Ok(Json(ExposurePage {
        next: (seen < total).then_some(seen),
        exposures,
        total,
        inventory: member.inventory.is_some(),
        asked_as: [model.maker, model.model, model.version],
        unknown: exposed.unknown,
        unmatchable: exposed.unmatchable,
        as_of: exposed.as_of.map(|at| at.to_string()),
        matching: matched.readiness.word(),
        matching_words: matched.readiness.sentence(),
    }))
}
