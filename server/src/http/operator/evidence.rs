//! `/api/v1/evidence`: one file that proves, without this server, what was ordered and what became of it.
//!
//! Asking for one is an act: it stands in the audit log, whose head seals the file. Read next: [`crate::evidence`].

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use cordon_proto::audit::SignedHead;
use cordon_proto::limits;
use cordon_server_core::evidence::Asked;
use cordon_server_core::rollout::RolloutKind;
use serde::Deserialize;
use utoipa::ToSchema;

use super::audit::LINES;
use super::{Operator, json, not_found, parsed, refused};
use crate::evidence::{Evidence, PackError};
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/evidence", post(pack))
}

/// What a pack is asked for: exactly one of these.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceAsk {
    /// One order, also one that is withdrawn.
    pub(crate) order: Option<String>,
    /// All orders that install a release.
    pub(crate) release: Option<String>,
    /// All orders of a rollout.
    pub(crate) rollout: Option<String>,
    /// All orders that close an advisory.
    pub(crate) advisory: Option<String>,
    /// Heads of the audit log that were kept, each as its line: the pack proves that the log goes on from them.
    pub(crate) heads: Vec<String>,
}

/// Makes an evidence pack: lines of JSON, sealed by the audit log, to be checked by `cordonctl evidence verify`.
#[utoipa::path(post, path = "/api/v1/evidence", request_body = EvidenceAsk,
    responses((status = 200, content_type = "application/jsonl"), (status = 404), (status = 422)))]
pub async fn pack(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let ask: EvidenceAsk = json(request, "EvidenceAsk").await?;
    Ok(([(CONTENT_TYPE, LINES)], pack_of(&operator, &caller, &ask).await?))
}

/// The pack that somebody asks for, who may change something: its export is an entry of the audit log.
pub(crate) async fn pack_of(
    operator: &Operator,
    caller: &Caller,
    ask: &EvidenceAsk,
) -> Result<Vec<u8>, Problem> {
    let (asked, kept) = (asked(operator, ask)?, kept(ask)?);
    let _work = operator.app.begin_work().ok_or_else(Problem::busy)?;
    let Operator { app, rollouts, repositories } = operator;
    Ok(Evidence { app, rollouts, repositories }.pack(&asked, kept, caller.at(app.clock.now())).await?)
}

/// The heads that somebody kept, the smallest first, each once.
fn kept(ask: &EvidenceAsk) -> Result<Vec<SignedHead>, Problem> {
    if ask.heads.len() > limits::EVIDENCE_HEADS {
        let words = format!("more than {} kept heads: ask with some of them", limits::EVIDENCE_HEADS);
        return Err(refused("evidence_refused", words));
    }
    let read = |text: &String| {
        let wrong = |error| refused("evidence_refused", format!("`heads`: {error}"));
        SignedHead::parse(text.as_bytes()).map_err(wrong)
    };
    let mut kept = ask.heads.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    kept.sort_by_key(SignedHead::size);
    kept.dedup_by_key(|head| (head.size(), head.head().root));
    Ok(kept)
}

fn asked(operator: &Operator, ask: &EvidenceAsk) -> Result<Asked, Problem> {
    match (&ask.order, &ask.release, &ask.rollout, &ask.advisory) {
        (Some(order), None, None, None) => Ok(Asked::Order(parsed(order, "order")?)),
        (None, Some(release), None, None) => Ok(Asked::Release(parsed(release, "release")?)),
        (None, None, Some(rollout), None) => {
            let id = parsed(rollout, "rollout")?;
            let orders = operator.rollouts.look(|book| {
                let rollout = book.rollouts.get(&id)?;
                if rollout.kind == RolloutKind::Content {
                    return Some(BTreeSet::new());
                }
                Some(rollout.waves.iter().map(|wave| wave.order.clone()).collect::<BTreeSet<_>>())
            });
            let orders = orders.ok_or_else(|| not_found("rollout"))?;
            if orders.is_empty() {
                let words = "a rollout of content has no order and no receipts: what its devices say of it stands in \
                             the rollout itself";
                return Err(refused("evidence_refused", words));
            }
            Ok(Asked::Rollout(id, orders))
        }
        (None, None, None, Some(_)) => {
            Err(refused("evidence_refused", "no advisories were imported: ask by order, release or rollout"))
        }
        _ => Err(refused("evidence_refused", "ask by exactly one of `order`, `release` and `rollout`")),
    }
}

impl From<PackError> for Problem {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Unknown(_) | PackError::TooMany => refused("evidence_refused", error.to_string()),
            PackError::OtherLog { .. } | PackError::Shorter { .. } | PackError::Rewritten(_) => {
                refused("not_the_same_log", error.to_string())
            }
            PackError::NotSealed => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_sealed", "Not sealed yet", error.to_string())
            }
            PackError::Seal(error) => Self::internal(&error),
            PackError::Store(error) => error.into(),
            PackError::Commit(error) => error.into(),
        }
    }
}
