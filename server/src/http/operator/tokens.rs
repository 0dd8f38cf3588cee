//! `/api/v1/tokens`: enrolment tokens. A secret that the server made is in the answer once and nowhere else.
//!
//! The answer holds everything of an enrolment string but the director root's hash: that comes from the person's own
//! copy of the root and never from the server. A list of devices brings the hashes of secrets drawn elsewhere and is
//! answered row by row; sent again, it makes nothing twice.

use std::collections::BTreeSet;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, post};
use axum::{Json, Router};
use cordon_proto::ids::{Text, TokenId};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::{Binding, Token, TokenOrder};
use cordon_server_core::approval::Stated;
use cordon_server_core::device::DeviceKind;
use cordon_server_core::risk::facts::{Place, Zone};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::{Answered, Operator, json, json_within, parsed, refused};
use crate::app::{App, Listed};
use crate::http::problem::Problem;
use crate::people::Caller;
use crate::token_book::{Chosen, Facts, Start};

/// Rows of one list.
const LIST_ROWS: usize = 500;
/// Bytes of one list.
const LIST_BYTES: usize = 2 * 1024 * 1024;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/tokens", post(create).get(list))
        .route("/api/v1/tokens/list", post(create_list))
        .route("/api/v1/tokens/{id}", delete(take_back))
        .route("/api/v1/tokens/{id}/revoke", post(revoke))
}

/// What a token is asked for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenAsk {
    /// The model.
    pub(crate) model: String,
    /// The maker, where the token should insist on it.
    pub(crate) manufacturer: Option<String>,
    /// One device, by its maker's number. Either this or `count`.
    pub(crate) serial: Option<String>,
    /// Whether that device may come with a new key (after a factory reset).
    #[serde(default)]
    pub(crate) replaces: bool,
    /// Where the serial is a new main board's: the known device whose record goes on with it.
    pub(crate) instead_of: Option<String>,
    /// So many devices of the model. Either this or `serial`.
    pub(crate) count: Option<u32>,
    /// Where they will stand.
    pub(crate) site: Option<String>,
    /// Where they will stand.
    pub(crate) ward: Option<String>,
    /// What they are for: `infusion-pump`, `patient-monitor`, `ventilator`, `kiosk`, …
    pub(crate) kind: Option<String>,
    /// Who reaches them over the network: `isolated`, `segmented`, `flat`, `internet`.
    pub(crate) zone: Option<String>,
    /// Who can stand before them: `locked-room`, `clinical-area`, `public`.
    pub(crate) place: Option<String>,
    /// Free text, to find them by.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// How long the token lives.
    pub(crate) hours: Option<u32>,
    /// In a list: SHA-256 of the secret (its base64url text, at least 128 random bits) that the caller drew and keeps,
    /// hexadecimal.
    pub(crate) id: Option<String>,
}

/// Tokens for a list of devices, at most 500 at a time. Each row brings the hash of a secret of the caller's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenListAsk {
    /// One row for each token.
    tokens: Vec<TokenAsk>,
}

/// What became of each row, in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenListAnswer {
    /// Where devices call.
    #[serde(flatten)]
    way: Way,
    /// The rows.
    rows: Vec<TokenRow>,
}

/// What became of one row.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenRow {
    /// The token.
    id: String,
    /// `made`, `kept` (it was there and is good), `used` (its device has come), `lapsed` (it was there and ran out or
    /// was taken back: draw another secret), or `refused`.
    outcome: &'static str,
    /// Why it was refused.
    detail: Option<String>,
    /// From then on it pays for nothing, RFC 3339.
    expires: Option<String>,
}

/// Where devices call, and what pins it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Way {
    /// Host that devices should call.
    pub host: String,
    /// Port of the enrolment plane.
    pub enrolment_port: u16,
    /// Port of the device plane.
    pub device_port: u16,
    /// SHA-256 of the root CA's SubjectPublicKeyInfo, hexadecimal.
    pub ca_pin: String,
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
    /// Where devices call.
    #[serde(flatten)]
    way: Way,
}

/// Which tokens are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TokenQuery {
    /// Only in this state: `open`, `used`, `expired`, `revoked`.
    state: Option<String>,
    /// Only tokens for this serial.
    serial: Option<String>,
    /// Pass `next` of the page before.
    after: Option<String>,
    /// At most so many, at most 500.
    limit: Option<usize>,
}

/// One page of tokens, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenPage {
    /// The tokens.
    tokens: Vec<TokenView>,
    /// Pass as `after` for the next page.
    next: Option<String>,
}

/// One token, without its secret, which nobody here has.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Its name: the hash of its secret.
    pub id: String,
    /// `open`, `used`, `expired` or `revoked`.
    pub state: &'static str,
    /// The model that it lets in.
    pub model: String,
    /// The one device, by its maker's number.
    pub serial: Option<String>,
    /// Whether the next key of that device replaces the present one.
    pub replaces: bool,
    /// The known device whose record goes on with this new main board.
    pub instead_of: Option<String>,
    /// How many devices it lets in.
    pub count: u32,
    /// How many it has let in.
    pub used: u32,
    /// Where they will stand.
    pub site: String,
    /// Where they will stand.
    pub ward: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// From then on it pays for nothing, RFC 3339.
    pub expires: String,
    /// When it was taken back, RFC 3339.
    pub revoked: Option<String>,
    /// Who made it.
    pub by: String,
}

/// Why a token is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeAsk {
    /// Why, at least 10 characters.
    reason: String,
}

impl TokenView {
    /// A token as people see it, now.
    #[must_use]
    pub fn of(id: TokenId, token: &Token, now: Timestamp) -> Self {
        let (order, placement) = (&token.order, &token.order.placement);
        let replaces = match &order.binding {
            Binding::Serial { replaces, .. } => *replaces,
            Binding::Count { .. } | Binding::Board { .. } => false,
        };
        Self {
            id: id.to_string(),
            state: Facts::of(token).state(now),
            model: order.model.to_string(),
            serial: order.binding.serial().map(ToString::to_string),
            replaces,
            instead_of: order.binding.instead_of().map(|device| device.to_string()),
            count: order.binding.devices(),
            used: token.used,
            site: placement.site.to_string(),
            ward: placement.ward.to_string(),
            created: token.created.to_string(),
            expires: token.expires.to_string(),
            revoked: token.revoked.map(|at| at.to_string()),
            by: token.by.clone(),
        }
    }
}

/// A page of tokens as people see them, the newest first, and what is known of all that are wanted.
pub async fn page_of(
    app: &App,
    wanted: impl Fn(&Facts) -> bool,
    at: (Start, usize),
) -> Result<(Vec<TokenView>, Chosen), Problem> {
    let now = app.clock.now();
    let mut chosen = app.token_book.choose(&*app.store, now, wanted, at).await?;
    let tokens = app.tokens(std::mem::take(&mut chosen.ids)).await?;
    Ok((tokens.iter().map(|(id, token)| TokenView::of(*id, token, now)).collect(), chosen))
}

/// Tokens, the newest first, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", params(TokenQuery), responses((status = 200, body = TokenPage)))]
pub async fn list(State(operator): State<Operator>, Query(query): Query<TokenQuery>) -> Answered<TokenPage> {
    let limit = query.limit.unwrap_or(limits::PAGE_ROWS).clamp(1, limits::PAGE_ROWS);
    let after: Option<TokenId> = query.after.as_deref().map(|id| parsed(id, "token")).transpose()?;
    let now = operator.app.clock.now();
    let is = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
    };
    let wanted =
        |facts: &Facts| is(&query.state, Some(facts.state(now))) && is(&query.serial, facts.serial());
    let start = after.map_or(Start::Row(0), Start::Behind);
    let (tokens, chosen) = page_of(&operator.app, wanted, (start, limit)).await?;
    let next = tokens.last().filter(|_| chosen.more).map(|view| view.id.clone());
    Ok(Json(TokenPage { tokens, next }))
}

/// Makes an enrolment token.
#[utoipa::path(post, path = "/api/v1/tokens", request_body = TokenAsk, responses((status = 201, body = TokenAnswer)))]
pub async fn create(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<TokenAnswer>), Problem> {
    let ask: TokenAsk = json(request, "TokenAsk").await?;
    if ask.id.is_some() {
        return Err(refused(
            "token_refused",
            "`id` belongs into a list: this one token's secret is made here",
        ));
    }
    let app = &operator.app;
    let way = way(app)?;
    let made = app.make_token(ask.order()?, &caller.actor).await?;
    let (id, expires) = (made.id.to_string(), made.token.expires.to_string());
    Ok((StatusCode::CREATED, Json(TokenAnswer { id, token: made.secret, expires, way })))
}

/// Makes tokens for a list of devices, answered row by row. The same list again makes nothing twice.
#[utoipa::path(post, path = "/api/v1/tokens/list", request_body = TokenListAsk,
    responses((status = 200, body = TokenListAnswer)))]
pub async fn create_list(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Answered<TokenListAnswer> {
    let ask: TokenListAsk = json_within(request, "TokenListAsk", LIST_BYTES).await?;
    let app = &operator.app;
    let way = way(app)?;
    if ask.tokens.len() > LIST_ROWS {
        let detail = format!("a list has at most {LIST_ROWS} rows: send it in parts");
        return Err(refused("list_too_long", detail));
    }
    let orders = orders_of(ask.tokens)?;
    let ids: Vec<TokenId> = orders.iter().map(|(id, _)| *id).collect();
    let outcomes = app.make_tokens(orders, &caller.actor).await?;
    let rows = ids.into_iter().zip(outcomes).map(|(id, outcome)| row_of(id, outcome)).collect();
    Ok(Json(TokenListAnswer { way, rows }))
}

/// The orders of a list; each secret and each device once.
fn orders_of(rows: Vec<TokenAsk>) -> Result<Vec<(TokenId, TokenOrder)>, Problem> {
    let (mut ids, mut devices) = (BTreeSet::new(), BTreeSet::new());
    let mut orders = Vec::with_capacity(rows.len());
    for (place, ask) in rows.into_iter().enumerate() {
        let at = |what: &str| refused("list_refused", format!("row {}: {what}", place.saturating_add(1)));
        let id = ask.id.as_deref().and_then(|id| id.parse::<TokenId>().ok());
        let id = id.ok_or_else(|| at("`id` is SHA-256 of the secret's text, 64 hexadecimal digits"))?;
        let order = ask.order().map_err(|problem| at(problem.detail()))?;
        if let Some(serial) = order.binding.serial()
            && !devices.insert((order.model.clone(), serial.clone()))
        {
            return Err(at("this model and serial stand in the list twice"));
        }
        if !ids.insert(id) {
            return Err(at("this `id` stands in the list twice: draw a secret for each row"));
        }
        orders.push((id, order));
    }
    Ok(orders)
}

fn row_of(id: TokenId, outcome: Listed) -> TokenRow {
    let (outcome, token, detail) = match outcome {
        Listed::Made(token) => ("made", Some(token), None),
        Listed::Kept(token) => ("kept", Some(token), None),
        Listed::Used(token) => ("used", Some(token), None),
        Listed::Lapsed(token) => ("lapsed", Some(token), None),
        Listed::Refused(why) => ("refused", None, Some(why)),
    };
    TokenRow { id: id.to_string(), outcome, detail, expires: token.map(|token| token.expires.to_string()) }
}

/// Where devices call now.
pub fn way(app: &App) -> Result<Way, Problem> {
    let ports = app.address("enrolment").zip(app.address("device"));
    let (enrolment, device) = ports.ok_or_else(Problem::busy)?;
    Ok(Way {
        host: app.config.host.clone(),
        enrolment_port: enrolment.port(),
        device_port: device.port(),
        ca_pin: app.ca.pin().to_string(),
    })
}

impl TokenAsk {
    /// The order that it is.
    pub(crate) fn order(&self) -> Result<TokenOrder, Problem> {
        let text = |value: &str, what: &str| text_of("token_refused", value, what);
        let binding = match (&self.serial, self.count, &self.instead_of) {
            (Some(serial), None, None) => {
                Binding::Serial { serial: text(serial, "serial")?, replaces: self.replaces }
            }
            (Some(serial), None, Some(device)) if !self.replaces => {
                let instead_of = parsed(device, "device")?;
                Binding::Board { serial: text(serial, "serial")?, instead_of }
            }
            (None, Some(count), None) if !self.replaces => Binding::Count { count },
            _ => {
                let detail = "a token is for one `serial`, which may be a new key's (`replaces`) or a new main board's \
                              (`instead_of`), or for a `count` of devices";
                return Err(refused("token_refused", detail));
            }
        };
        let place = PlaceAsk {
            site: self.site.clone(),
            ward: self.ward.clone(),
            kind: self.kind.clone(),
            zone: self.zone.clone(),
            place: self.place.clone(),
            tags: self.tags.clone(),
        };
        Ok(TokenOrder {
            manufacturer: self
                .manufacturer
                .as_deref()
                .map(|maker| text(maker, "manufacturer"))
                .transpose()?,
            model: text(&self.model, "model")?,
            binding,
            placement: place.stated("token_refused")?.placement(),
            hours: self.hours.unwrap_or(limits::TOKEN_HOURS),
        })
    }
}

/// Where devices will stand and what they are for, as a person states it.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceAsk {
    /// The site.
    pub site: Option<String>,
    /// The ward or room.
    pub ward: Option<String>,
    /// What it is for: `infusion-pump`, `patient-monitor`, `ventilator`, `kiosk`, …
    pub kind: Option<String>,
    /// Who reaches it over the network: `isolated`, `segmented`, `flat`, `internet`.
    pub zone: Option<String>,
    /// Who can stand before it: `locked-room`, `clinical-area`, `public`.
    pub place: Option<String>,
    /// Free text, to find it by.
    pub tags: Vec<String>,
}

impl PlaceAsk {
    /// What a person said; no model. `code` is what a refusal is called.
    pub fn stated(&self, code: &'static str) -> Result<Stated, Problem> {
        let text = |value: &Option<String>, what: &str| {
            value.as_deref().map(|value| text_of(code, value, what)).transpose()
        };
        let tags = self.tags.iter().map(|tag| text_of(code, tag, "a tag"));
        Ok(Stated {
            model: None,
            site: text(&self.site, "site")?,
            ward: text(&self.ward, "ward")?,
            kind: self.kind.as_deref().map(|kind| word::<DeviceKind>(code, kind, "kind")).transpose()?,
            zone: self.zone.as_deref().map(|zone| word::<Zone>(code, zone, "zone")).transpose()?,
            place: self.place.as_deref().map(|place| word::<Place>(code, place, "place")).transpose()?,
            tags: tags.collect::<Result<_, _>>()?,
        })
    }
}

/// A short text of a person's.
pub(super) fn text_of(code: &'static str, value: &str, what: &str) -> Result<Text, Problem> {
    let wrong = || refused(code, format!("{what} is 1 to 256 characters without control characters"));
    value.parse::<Text>().ok().filter(|text| !text.as_str().is_empty()).ok_or_else(wrong)
}

/// A word of one of our own lists.
fn word<T: serde::de::DeserializeOwned>(code: &'static str, text: &str, what: &str) -> Result<T, Problem> {
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|error| refused(code, format!("{what}: {error}")))
}

/// Takes a token back, as `revoke` does, for clients that delete what they made.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", params(("id" = String, Path)), request_body = RevokeAsk,
    responses((status = 204), (status = 404)))]
pub async fn take_back(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let id: TokenId = parsed(&id, "token")?;
    let ask: RevokeAsk = json(request, "RevokeAsk").await?;
    operator.app.revoke_token(id, good_reason(&ask.reason)?, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a token back, with the reason in the journal. Whom it has let in already stays.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/revoke", params(("id" = String, Path)), request_body = RevokeAsk,
    responses((status = 200, body = TokenView), (status = 404)))]
pub async fn revoke(
    State(operator): State<Operator>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Answered<TokenView> {
    let id: TokenId = parsed(&id, "token")?;
    let ask: RevokeAsk = json(request, "RevokeAsk").await?;
    let token = operator.app.revoke_token(id, good_reason(&ask.reason)?, &caller.actor).await?;
    Ok(Json(TokenView::of(id, &token, operator.app.clock.now())))
}
