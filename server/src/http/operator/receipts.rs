//! `/api/v1/receipts`: proofs that a person carried here from devices without a network.
//!
//! The body is one receipt as the device signed it. It is believed exactly as on the device plane, by the key of the
//! device's own certificate; who brought it is written down. The same one again changes nothing. Read next:
//! `App::import_receipt`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use cordon_proto::receipt::{Outcome, Receipt};
use cordon_proto::{limits, wire};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answered, Operator};
use crate::app::{ImportError, ReceiptTaken, StatementError};
use crate::http::body;
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/receipts", post(import))
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
