//! `/api/v1/devices/{id}/history`: the life of one identity: tokens, certificates, and all that was done to it, by whom.
//!
//! Certificates come from the device's document and the leaves as they were handed out; everything else from the audit
//! journal, which has no index by object: one answer looks through a bounded stretch of it and then says where to look
//! further. Read next: [`super::audit`].

use std::collections::BTreeSet;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use cordon_proto::enrol::from_base64url;
use cordon_proto::ids::{DeviceId, Sha256, TokenId};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::Token;
use cordon_server_core::device::{Device, Identity, Leaf};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::audit::{AuditEntry, page as journal};
use super::tokens::TokenView;
use super::{Answered, Operator, not_found, parsed};
use crate::app::App;
use crate::http::problem::Problem;
use crate::store::{Key, StoreError};

/// Pages of the journal that one answer looks through: a page of the console is one answer too.
const STRETCHES: usize = 8;
/// Pages of tokens that one answer looks through.
const TOKEN_PAGES: usize = 8;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/devices/{id}/history", get(show))
}

/// Which part of the history is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only entries before this sequence: `next` of the answer before.
    before: Option<u64>,
    /// At most so many entries, at most 500.
    limit: Option<usize>,
}

/// The life of one identity, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryAnswer {
    /// The device.
    device: String,
    /// Its certificates: the one in force, the one that may follow it, and those that were replaced.
    certificates: Vec<CertificateView>,
    /// Tokens that were made for it.
    tokens: Vec<TokenView>,
    /// What the journal says about it and its tokens.
    entries: Vec<AuditEntry>,
    /// Pass as `before` to look further back.
    next: Option<u64>,
}

/// One certificate of a device.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CertificateView {
    /// SHA-256 of its DER, hexadecimal.
    pub fingerprint: String,
    /// `in-force`, `waiting` (handed out and not used yet), or `replaced`.
    pub standing: &'static str,
    /// Its first second, RFC 3339.
    pub from: Option<String>,
    /// Its last second, RFC 3339.
    pub until: Option<String>,
    /// SHA-256 of its key, hexadecimal.
    pub key: Option<String>,
    /// Why it was issued: `token …`, or `renewal, birth certificate or approval`.
    pub why: Option<String>,
}

/// The life of one identity.
#[utoipa::path(get, path = "/api/v1/devices/{id}/history", params(("id" = String, Path), HistoryQuery),
    responses((status = 200, body = HistoryAnswer), (status = 404)))]
pub async fn show(
    State(operator): State<Operator>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answered<HistoryAnswer> {
    let id: DeviceId = parsed(&id, "device")?;
    let member = operator.app.fleet.get(id).ok_or_else(|| not_found("device"))?;
    let device = &member.device;
    let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS);
    let tokens = tokens_of(&operator.app, device).await?;
    let (entries, next) = entries(&operator, device.id, &tokens, (query.before, limit)).await?;
    let certificates = certificates(&operator.app, device).await?;
    Ok(Json(HistoryAnswer { device: id.to_string(), certificates, tokens, entries, next }))
}

/// The tokens that its certificates were paid with, and those that were made for this very device; the newest first. Of
/// the latter only as many are looked through as one answer may cost: with several thousand tokens some may be missing.
pub async fn tokens_of(app: &App, device: &Device) -> Result<Vec<TokenView>, Problem> {
    let now = app.clock.now();
    let paid: BTreeSet<_> = device.identities().filter_map(|identity| identity.token).collect();
    let named = |id: &TokenId, token: &Token| {
        let binding = &token.order.binding;
        let of_serial =
            binding.serial() == Some(&device.hardware.serial) && token.order.model == device.hardware.model;
        !paid.contains(id) && (of_serial || binding.instead_of() == Some(device.id))
    };
    let mut its = app.tokens_among(TOKEN_PAGES, named).await?;
    for id in &paid {
        its.extend(app.token(*id).await?.map(|token| (*id, token)));
    }
    its.sort_by(|(a, made_a), (b, made_b)| made_b.created.cmp(&made_a.created).then(a.cmp(b)));
    Ok(its.iter().map(|(id, token)| TokenView::of(*id, token, now)).collect())
}

/// What the journal says about a device and its tokens, and where to look further.
pub async fn entries(
    operator: &Operator,
    device: DeviceId,
    tokens: &[TokenView],
    (mut before, limit): (Option<u64>, usize),
) -> Result<(Vec<AuditEntry>, Option<u64>), StoreError> {
    let mut objects = BTreeSet::from([format!("device:{device}")]);
    // A token for many devices tells of others too: only those made for this one are looked up.
    objects.extend(
        tokens.iter().filter(|token| token.serial.is_some()).map(|token| format!("token:{}", token.id)),
    );
    let mut found = Vec::new();
    for _ in 0..STRETCHES {
        let (page, next) = journal(operator, before, limits::PAGE_ROWS).await?;
        for entry in page.into_iter().filter(|entry| objects.contains(&entry.object)) {
            if found.len() == limit {
                let last = found.last().map(|entry: &AuditEntry| entry.sequence);
                return Ok((found, last));
            }
            found.push(entry);
        }
        before = next;
        if before.is_none() {
            break;
        }
    }
    Ok((found, before))
}

/// The certificates of a device, the newest first.
pub async fn certificates(app: &App, device: &Device) -> Result<Vec<CertificateView>, StoreError> {
    let held = |identity: &Identity, standing| CertificateView {
        fingerprint: identity.leaf.to_string(),
        standing,
        from: Some(identity.issued.to_string()),
        until: Some(identity.not_after.to_string()),
        key: Some(identity.key.to_string()),
        why: Some(match identity.token {
            Some(token) => format!("token {token}"),
            None => "renewal, birth certificate or approval".to_owned(),
        }),
    };
    let mut views: Vec<CertificateView> = device.next.iter().map(|next| held(next, "waiting")).collect();
    views.extend(device.identity.iter().map(|identity| held(identity, "in-force")));
    for leaf in device.superseded.iter().rev() {
        views.push(replaced(app, *leaf).await?);
    }
    Ok(views)
}

async fn replaced(app: &App, leaf: Sha256) -> Result<CertificateView, StoreError> {
    let row = app.store.get(Key::Leaf(leaf)).await?;
    let der = row.and_then(|row| from_base64url(&Leaf::from_body(&row.body)?.der));
    let read = der.as_deref().and_then(|der| X509Certificate::from_der(der).ok()).map(|(_, read)| {
        let at = |time: &x509_parser::time::ASN1Time| Timestamp(time.timestamp()).to_string();
        let validity = read.validity();
        let key = Sha256::of(read.public_key().raw).to_string();
        (at(&validity.not_before), at(&validity.not_after), key)
    });
    let (from, until, key) = match read {
        Some((from, until, key)) => (Some(from), Some(until), Some(key)),
        None => (None, None, None),
    };
    Ok(CertificateView { fingerprint: leaf.to_string(), standing: "replaced", from, until, key, why: None })
}
