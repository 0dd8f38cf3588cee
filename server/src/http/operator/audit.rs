//! `/api/v1/audit`: the journal, the newest first.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::limits;
use cordon_server_core::audit::Recorded;
use cordon_server_core::change::{Index, Key, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator};
use crate::store::{Cursor, StoreError};

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/audit", get(list))
}

/// Which entries are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct AuditQuery {
    /// Only entries before this sequence.
    before: Option<u64>,
    /// At most so many, at most 500.
    limit: Option<usize>,
}

/// One page of the journal.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Entries, the newest first.
    entries: Vec<AuditEntry>,
    /// Pass as `before` for the next page.
    next: Option<u64>,
}

/// One entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its place in the journal, from 1 without gaps.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// Who: `person:…`, `token:…`, `device:…`, `server:…`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// Why.
    pub reason: Option<String>,
    /// What was so before.
    pub before: Option<String>,
    /// What is so since.
    pub after: Option<String>,
}

impl From<Recorded> for AuditEntry {
    fn from(recorded: Recorded) -> Self {
        let entry = recorded.entry;
        Self {
            sequence: recorded.sequence,
            at: recorded.at.to_string(),
            actor: recorded.actor.to_string(),
            action: entry.action.to_string(),
            object: entry.object.to_string(),
            reason: entry.reason.map(|reason| reason.to_string()),
            before: entry.before.map(|summary| summary.as_str().to_owned()),
            after: entry.after.map(|summary| summary.as_str().to_owned()),
        }
    }
}

/// The journal, the newest first.
#[utoipa::path(get, path = "/api/v1/audit", params(AuditQuery), responses((status = 200, body = AuditPage)))]
pub async fn list(State(operator): State<Operator>, Query(query): Query<AuditQuery>) -> Answered<AuditPage> {
    let limit = query.limit.unwrap_or(50).clamp(1, limits::PAGE_ROWS);
    let (entries, next) = page(&operator, query.before, limit).await?;
    Ok(Json(AuditPage { entries, next }))
}

/// One page of the journal, for the API and the console.
pub async fn page(
    operator: &Operator,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<AuditEntry>, Option<u64>), StoreError> {
    let from = before.map_or(Cursor::Last, |sequence| Cursor::Before(Key::Audit(sequence)));
    let page = operator.app.store.scan(Index::All(Kind::Audit), from, limit).await?;
    let mut entries = Vec::new();
    for (key, row) in page.rows {
        let recorded = Recorded::from_bytes(&row.body).map_err(|_| StoreError::Corrupt(key.to_string()))?;
        entries.push(AuditEntry::from(recorded));
    }
    let next = page.next.and(entries.last().map(|entry| entry.sequence)).filter(|sequence| *sequence > 1);
    Ok((entries, next))
}
