//! `/api/v1/receipts`: proofs that a person carried here from devices without a network, and the way out for all of them.
//!
//! The body that is handed in is one receipt as the device signed it. It is believed exactly as on the device plane, by
//! the key of the device's own certificate; who brought it is written down. The same one again changes nothing. What goes
//! out is verified by whoever gets it, without this server. Read next: `App::import_receipt`, `App::proofs`.

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::ids::{DeviceId, Name, Sha256};
use cordon_proto::receipt::{Outcome, Receipt};
use cordon_proto::{limits, wire};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::LINES;
use super::{Answered, Operator, not_found, parsed};
use crate::app::{ImportError, Proven, ReceiptTaken, StatementError};
use crate::ca::make::pem;
use crate::http::body;
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/receipts", get(export).post(import))
}

/// Which receipts are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReceiptsQuery {
    /// The order that they answer.
    order: String,
    /// Only those behind this one: `after` of the last line that came.
    after: Option<String>,
}

/// One receipt, as `cordonctl order verify` reads it.
#[derive(Debug, Serialize)]
struct ReceiptLine {
    /// What asks for the lines behind this one.
    after: String,
    /// The device's certificate and the one that issued it, PEM.
    certificate: String,
    /// The receipt as the device signed it, base64.
    receipt: String,
}

impl ReceiptLine {
    fn of(proven: &Proven) -> Self {
        let chain = proven.leaf.iter().chain(&proven.issuer);
        Self {
            after: format!("{}.{}", proven.device, proven.digest),
            certificate: chain.map(pem).collect(),
            receipt: STANDARD.encode(&proven.receipt),
        }
    }
}

/// Receipts for an order as the devices signed them, one a line, in the form that `cordonctl order verify` reads: `receipt`,
/// `certificate`, and `after`, which asks for the next page; empty at the end.
#[utoipa::path(get, path = "/api/v1/receipts", params(ReceiptsQuery),
    responses((status = 200, content_type = "application/jsonl"), (status = 404)))]
pub async fn export(
    State(operator): State<Operator>,
    Query(query): Query<ReceiptsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let order: Name = parsed(&query.order, "order")?;
    let after = query.after.as_deref().map(place).transpose()?;
    let page = operator.app.proofs(&order, after, limits::PAGE_ROWS).await?;
    let mut lines = Vec::new();
    for proven in &page.rows {
        let line = serde_json::to_vec(&ReceiptLine::of(proven)).expect("texts are always JSON");
        lines.extend(line);
        lines.push(b'\n');
    }
    Ok(([(CONTENT_TYPE, LINES)], lines))
}

fn place(text: &str) -> Result<(DeviceId, Sha256), Problem> {
    let (device, digest) = text.split_once('.').ok_or_else(|| not_found("receipt"))?;
    Ok((parsed(device, "receipt")?, parsed(digest, "receipt")?))
}

/// A receipt that is held here.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptHeld {
    /// The device that signed it.
    device: String,
    /// The order it answers.
    order: String,
    /// How the order ended on the device.
    #[schema(value_type = String)]
    outcome: Outcome,
    /// Counter of the release that runs there.
    counter: u64,
    /// When, by the device's clock, RFC 3339.
    time: String,
    /// Whether it was held before.
    before: bool,
}

/// Takes in a receipt from a device without a network, as the device signed it.
#[utoipa::path(post, path = "/api/v1/receipts",
    request_body(content = Vec<u8>, content_type = "application/cbor"),
    responses((status = 200, body = ReceiptHeld), (status = 400), (status = 403)))]
pub async fn import(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Answered<ReceiptHeld> {
    let (parts, sent) = request.into_parts();
    let bytes = body::read(&parts.headers, sent, limits::BODY_BYTES).await?;
    let receipt: Receipt =
        wire::read(&bytes, limits::BODY_BYTES).map_err(|error| Problem::malformed("Receipt", error))?;
    let _work = operator.app.begin_work().ok_or_else(Problem::busy)?;
    let (body, taken) = operator.app.import_receipt(&bytes, &receipt, &caller.actor).await?;
    Ok(Json(ReceiptHeld {
        device: body.device.to_string(),
        order: body.order.to_string(),
        outcome: body.outcome,
        counter: body.counter,
        time: body.time.to_string(),
        before: taken == ReceiptTaken::Before,
    }))
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let refuse = |code, detail| Self::new(StatusCode::FORBIDDEN, code, "Receipt", detail);
        match error {
            ImportError::Refused(refused) => refuse(refused.code(), refused.to_string()),
            ImportError::Statement(StatementError::Store(error)) => error.into(),
            ImportError::Statement(StatementError::Commit(error)) => error.into(),
            ImportError::Statement(error @ StatementError::Another) => {
                refuse("receipt_of_another", error.to_string())
            }
            ImportError::Statement(error) => refuse("receipt_not_believed", error.to_string()),
        }
    }
}
