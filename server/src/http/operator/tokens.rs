//! `/api/v1/tokens`: enrolment tokens. The secret is in the answer once and nowhere else.
//!
//! The answer holds everything of an enrolment string but the director root's hash: that comes from the person's own
//! copy of the root and never from the server.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, post};
use axum::{Json, Router};
use cordon_proto::ids::{Text, TokenId};
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::device::{DeviceKind, Placement};
use cordon_server_core::risk::facts::{Impact, Place, Reach, Zone};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Operator, json, parsed, refused};
use crate::http::problem::Problem;
use crate::people::Caller;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/tokens", post(create)).route("/api/v1/tokens/{id}", delete(revoke))
}

/// What a token is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenAsk {
    /// The model.
    model: String,
    /// The maker, where the token should insist on it.
    manufacturer: Option<String>,
    /// One device, by its maker's number. Either this or `count`.
    serial: Option<String>,
    /// Whether that device may come with a new key (after a factory reset).
    #[serde(default)]
    replaces: bool,
    /// So many devices of the model. Either this or `serial`.
    count: Option<u32>,
    /// Where they will stand.
    site: Option<String>,
    /// Where they will stand.
    ward: Option<String>,
    /// What they are for: `infusion-pump`, `patient-monitor`, `ventilator`, `kiosk`, …
    kind: Option<String>,
    /// Who reaches them over the network: `isolated`, `segmented`, `flat`, `internet`.
    zone: Option<String>,
    /// Who can stand before them: `locked-room`, `clinical-area`, `public`.
    place: Option<String>,
    /// How long the token lives.
    hours: Option<u32>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenAnswer {
    /// Its name: the hash of its secret.
    id: String,
    /// Its secret, shown this once.
    token: String,
    /// From then on it pays for nothing, RFC 3339.
    expires: String,
    /// Host that devices should call.
    host: String,
    /// Port of the enrolment plane.
    enrolment_port: u16,
    /// Port of the device plane.
    device_port: u16,
    /// SHA-256 of the root CA's SubjectPublicKeyInfo, hexadecimal.
    ca_pin: String,
}

/// Makes an enrolment token.
#[utoipa::path(post, path = "/api/v1/tokens", request_body = TokenAsk, responses((status = 201, body = TokenAnswer)))]
pub async fn create(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<TokenAnswer>), Problem> {
    let ask: TokenAsk = json(request, "TokenAsk").await?;
    let app = &operator.app;
    let ports = app.address("enrolment").zip(app.address("device"));
    let (enrolment, device) = ports.ok_or_else(Problem::busy)?;
    let made = app.make_token(order_of(ask)?, &caller.actor).await?;
    let answer = TokenAnswer {
        id: made.id.to_string(),
        token: made.secret,
        expires: made.token.expires.to_string(),
        host: app.config.host.clone(),
        enrolment_port: enrolment.port(),
        device_port: device.port(),
        ca_pin: app.ca.pin().to_string(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

fn order_of(ask: TokenAsk) -> Result<TokenOrder, Problem> {
    let wrong = |what: &str| {
        refused("token_refused", format!("{what} is 1 to 256 characters without control characters"))
    };
    let text = |value: &str, what: &str| value.parse::<Text>().map_err(|_| wrong(what));
    let binding = match (&ask.serial, ask.count) {
        (Some(serial), None) => Binding::Serial { serial: text(serial, "serial")?, replaces: ask.replaces },
        (None, Some(count)) => Binding::Count { count },
        (Some(_), Some(_)) | (None, None) => {
            return Err(refused("token_refused", "a token is for one `serial` or for a `count` of devices"));
        }
    };
    let kind: DeviceKind = word(ask.kind.as_deref().unwrap_or("other"), "kind")?;
    let zone = ask.zone.as_deref().map(|zone| word::<Zone>(zone, "zone")).transpose()?;
    let place = ask.place.as_deref().map(|place| word::<Place>(place, "place")).transpose()?;
    let impact: Impact = kind.usual_impact();
    let placement = Placement {
        site: text(ask.site.as_deref().unwrap_or("unknown"), "site")?,
        ward: text(ask.ward.as_deref().unwrap_or("unknown"), "ward")?,
        kind,
        impact,
        reach: Reach { zone, place },
        tags: Vec::new(),
    };
    Ok(TokenOrder {
        manufacturer: ask.manufacturer.as_deref().map(|maker| text(maker, "manufacturer")).transpose()?,
        model: text(&ask.model, "model")?,
        binding,
        placement,
        hours: ask.hours.unwrap_or(cordon_proto::limits::TOKEN_HOURS),
    })
}

/// A word of one of our own lists.
fn word<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, Problem> {
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|error| refused("token_refused", format!("{what}: {error}")))
}

/// Takes a token back.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", params(("id" = String, Path)), responses((status = 204)))]
pub async fn revoke(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: TokenId = parsed(&id, "token")?;
    operator.app.revoke_token(id, Text::lossy("taken back over the API"), &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
