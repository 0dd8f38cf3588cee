//! `/api/v1/audit`: the journal, the newest first; and the sealed log: heads, proofs, the export.
//!
//! Heads and export are served as they are stored, byte for byte: whoever checks them needs nothing of this server.
//! Read next: [`crate::audit_log`].

use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::canonical::fields::encode_hex;
use cordon_proto::limits;
use cordon_proto::merkle::Hash;
use cordon_server_core::audit::Recorded;
use cordon_server_core::change::{Index, Key, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answered, Operator, not_found};
use crate::http::problem::Problem;
use crate::store::{Cursor, StoreError};

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/audit", get(list))
        .route("/api/v1/audit/head", get(head))
        .route("/api/v1/audit/heads", get(heads))
        .route("/api/v1/audit/export", get(export))
        .route("/api/v1/audit/proof/inclusion", get(inclusion))
        .route("/api/v1/audit/proof/consistency", get(consistency))
}

/// Which entries are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
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
    /// Entries up to this one are sealed under a signed head.
    sealed: u64,
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
    /// Whether it is sealed under a signed head.
    pub sealed: bool,
}

impl AuditEntry {
    fn of(recorded: Recorded, sealed: u64) -> Self {
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
            sealed: recorded.sequence <= sealed,
        }
    }
}

/// The journal, the newest first.
#[utoipa::path(get, path = "/api/v1/audit", params(AuditQuery), responses((status = 200, body = AuditPage)))]
pub async fn list(State(operator): State<Operator>, Query(query): Query<AuditQuery>) -> Answered<AuditPage> {
    let limit = query.limit.unwrap_or(50).clamp(1, limits::PAGE_ROWS);
    let (entries, next) = page(&operator, query.before, limit).await?;
    Ok(Json(AuditPage { entries, next, sealed: operator.app.audit.standing().sealed() }))
}

/// One page of the journal, for the API and the console.
pub async fn page(
    operator: &Operator,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<AuditEntry>, Option<u64>), StoreError> {
    let from = before.map_or(Cursor::Last, |sequence| Cursor::Before(Key::Audit(sequence)));
    let page = operator.app.store.scan(Index::All(Kind::Audit), from, limit).await?;
    let sealed = operator.app.audit.standing().sealed();
    let mut entries = Vec::new();
    for (key, row) in page.rows {
        let recorded = Recorded::from_bytes(&row.body).map_err(|_| StoreError::Corrupt(key.to_string()))?;
        entries.push(AuditEntry::of(recorded, sealed));
    }
    let next = page.next.and(entries.last().map(|entry| entry.sequence)).filter(|sequence| *sequence > 1);
    Ok((entries, next))
}

/// Lines of JSON, as they are stored.
pub(crate) const LINES: &str = "application/jsonl";

/// Which heads are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HeadsQuery {
    /// Only heads over more than so many entries.
    after: Option<u64>,
}

/// Which stretch of the export is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// Only entries behind this sequence: 0 at first, then the last that came.
    after: Option<u64>,
    /// The entries of the head that the export is for.
    size: u64,
}

/// Which entry is to be proved, and under which head.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InclusionQuery {
    /// The entry.
    sequence: u64,
    /// The entries of the head.
    size: u64,
}

/// Which two heads are to be joined.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConsistencyQuery {
    /// The entries of the earlier head.
    from: u64,
    /// The entries of the later head.
    to: u64,
}

/// A proof of RFC 9162.
#[derive(Debug, Serialize, ToSchema)]
pub struct Proof {
    /// The hashes in the order of RFC 9162 sections 2.1.3.2 and 2.1.4.2, in hexadecimal digits.
    path: Vec<String>,
}

impl Proof {
    fn of(path: &[Hash]) -> Json<Self> {
        Json(Self { path: path.iter().map(|hash| encode_hex(hash)).collect() })
    }
}

/// The newest signed head, as it was signed: one line of canonical JSON.
#[utoipa::path(get, path = "/api/v1/audit/head",
    responses((status = 200, content_type = "application/json"), (status = 404, description = "Nothing is sealed yet")))]
pub async fn head(State(operator): State<Operator>) -> Result<impl IntoResponse, Problem> {
    let head = operator.app.audit.head().await?.ok_or_else(|| not_found("head: nothing is sealed yet"))?;
    Ok(([(CONTENT_TYPE, "application/json")], head.to_bytes()))
}

/// Signed heads, the smallest first, one a line; all of the last hour, of older ones the last of each hour.
#[utoipa::path(get, path = "/api/v1/audit/heads", params(HeadsQuery),
    responses((status = 200, content_type = "application/jsonl")))]
pub async fn heads(
    State(operator): State<Operator>,
    Query(query): Query<HeadsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let heads = operator.app.audit.heads(query.after.unwrap_or(0)).await?;
    let lines: Vec<u8> = heads.iter().flat_map(|head| [head.to_bytes(), b"\n".to_vec()].concat()).collect();
    Ok(([(CONTENT_TYPE, LINES)], lines))
}

/// Entries as they are stored, one a line, with the hashes with which they were sealed; one page, empty at the end.
#[utoipa::path(get, path = "/api/v1/audit/export", params(ExportQuery),
    responses((status = 200, content_type = "application/jsonl")))]
pub async fn export(
    State(operator): State<Operator>,
    Query(query): Query<ExportQuery>,
) -> Result<impl IntoResponse, Problem> {
    let lines = operator.app.audit.export(query.after.unwrap_or(0), query.size).await?;
    Ok(([(CONTENT_TYPE, LINES)], lines))
}

/// The proof that an entry stands under the head of `size` entries; its leaf is SHA-256(0x00 ‖ the stored line).
#[utoipa::path(get, path = "/api/v1/audit/proof/inclusion", params(InclusionQuery),
    responses((status = 200, body = Proof), (status = 404, description = "No such entry is sealed")))]
pub async fn inclusion(
    State(operator): State<Operator>,
    Query(query): Query<InclusionQuery>,
) -> Answered<Proof> {
    let proof = operator.app.audit.inclusion(query.sequence, query.size).await?;
    proof.map(|proof| Proof::of(&proof.path)).ok_or_else(|| not_found("sealed entry"))
}

/// The proof that the log of `to` entries began as the log of `from` entries.
#[utoipa::path(get, path = "/api/v1/audit/proof/consistency", params(ConsistencyQuery),
    responses((status = 200, body = Proof), (status = 404, description = "So many entries are not sealed")))]
pub async fn consistency(
    State(operator): State<Operator>,
    Query(query): Query<ConsistencyQuery>,
) -> Answered<Proof> {
    let proof = operator.app.audit.consistency(query.from, query.to).await?;
    proof.map(|proof| Proof::of(&proof.path)).ok_or_else(|| not_found("sealed log of this size"))
}
