//! `/api/v1/approvals`: keys that ask for a device's identity and wait for a person.
//!
//! A yes or a no names the key in full, so that nobody answers another key than the one they compared: if another one
//! asks by then, the answer is a conflict. A list is answered row by row; one bad row changes nothing about the others.

use axum::extract::{Path, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::waiting;
use cordon_server_core::approval::replaces_living;
use cordon_server_core::device::Device;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::tokens::{PlaceAsk, text_of};
use super::{Answered, Operator, json, json_within, not_found, parsed, refused};
use crate::app::{App, Stated};
use crate::fleet::Member;
use crate::http::problem::Problem;
use crate::people::Caller;

/// Bytes of one list.
const LIST_BYTES: usize = 1024 * 1024;

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/approvals", get(list).post(answer_list))
        .route("/api/v1/approvals/{device}/{verb}", post(answer))
}

/// What waits for a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalList {
    /// The keys, the one that waits longest first.
    approvals: Vec<ApprovalView>,
}

/// One key that asks for a device's identity.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ApprovalView {
    /// The device whose identity it asks for.
    pub device: String,
    /// SHA-256 of the key's SubjectPublicKeyInfo, hexadecimal: compare it with what the device shows.
    pub fingerprint: String,
    /// The serial as asked for.
    pub serial: String,
    /// The model as stated, or `unknown`.
    pub model: String,
    /// Whether the device stated its hardware itself.
    pub stated: bool,
    /// Where it stands, as far as somebody said.
    pub site: String,
    /// Where it stands, as far as somebody said.
    pub ward: String,
    /// The address that it asked from.
    pub from: String,
    /// What it brought: `token …`, `birth certificate of …`, `renewal`, `nothing`.
    pub with: String,
    /// Since when it waits, RFC 3339.
    pub since: String,
    /// Whether the serial has a living identity with another key, which this one would replace.
    pub replaces: bool,
    /// Whether we trust the device now.
    pub state: String,
}

/// A yes or a no to one key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalAsk {
    /// The key's full fingerprint, hexadecimal; colons and blanks between its digits are left out.
    fingerprint: String,
    /// Why, at least 10 characters.
    reason: String,
    /// What the device is. It counts where nobody has said so yet; a model that is known stays.
    model: Option<String>,
    /// Where it will stand and what it is for. Each part counts where nobody has said so yet: an approval moves nothing.
    #[serde(default)]
    placement: PlaceAsk,
}

/// Answers to several keys, at most 500, with one reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalListAsk {
    /// `approve` or `deny`.
    verb: String,
    /// Why, at least 10 characters.
    reason: String,
    /// The keys.
    rows: Vec<ApprovalRowAsk>,
    /// What the devices are. It counts for those of which nobody has said so yet; a model that is known stays.
    model: Option<String>,
    /// Where they will stand and what they are for. Each part counts for those of which nobody has said so yet: an
    /// approval moves nothing.
    #[serde(default)]
    placement: PlaceAsk,
}

/// One key of a list: named by the device, or by its serial.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRowAsk {
    /// The device.
    device: Option<String>,
    /// Or its serial: then the one that asks with this key.
    serial: Option<String>,
    /// The key's full fingerprint, hexadecimal.
    fingerprint: String,
}

/// What became of each row, in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalListAnswer {
    /// The rows.
    rows: Vec<ApprovalRow>,
}

/// What became of one row.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalRow {
    /// The device, if one was found.
    device: Option<String>,
    /// The serial.
    serial: Option<String>,
    /// The key as asked.
    fingerprint: String,
    /// `done` or `refused`.
    outcome: &'static str,
    /// Why it was refused, for programs.
    code: Option<&'static str>,
    /// Why it was refused, and what to do.
    detail: Option<String>,
}

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl Verb {
    /// The answer of an address.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "approve" => Some(Self::Approve),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }
}

impl ApprovalView {
    /// The key that waits for a person on this device, if one does.
    #[must_use]
    pub fn of(device: &Device, now: Timestamp) -> Option<Self> {
        let asking = waiting(device, now)?;
        Some(Self {
            device: device.id.to_string(),
            fingerprint: asking.key.to_string(),
            serial: device.hardware.serial.to_string(),
            model: device.hardware.model.to_string(),
            stated: device.stated,
            site: device.placement.site.to_string(),
            ward: device.placement.ward.to_string(),
            from: asking.from.to_string(),
            with: asking.with.to_string(),
            since: asking.at.to_string(),
            replaces: replaces_living(device, now),
            state: device.state.word().to_owned(),
        })
    }
}

/// Keys that wait for a person, the one that waits longest first.
#[utoipa::path(get, path = "/api/v1/approvals", responses((status = 200, body = ApprovalList)))]
pub async fn list(State(operator): State<Operator>) -> Answered<ApprovalList> {
    Ok(Json(ApprovalList { approvals: all_waiting(&operator.app) }))
}

/// Keys that wait, the one that waits longest first.
#[must_use]
pub fn all_waiting(app: &App) -> Vec<ApprovalView> {
    let now = app.clock.now();
    let mut views: Vec<ApprovalView> = app
        .fleet
        .all()
        .iter()
        .filter_map(|member: &std::sync::Arc<Member>| ApprovalView::of(&member.device, now))
        .collect();
    views.sort_by(|a, b| a.since.cmp(&b.since).then_with(|| a.serial.cmp(&b.serial)));
    views
}

/// Says yes (`approve`) or no (`deny`) to the key that asks for a device's identity.
#[utoipa::path(post, path = "/api/v1/approvals/{device}/{verb}",
    params(("device" = String, Path), ("verb" = String, Path)), request_body = ApprovalAsk,
    responses((status = 204), (status = 404), (status = 409, description = "Another key asks by now, or none")))]
pub async fn answer(
    State(operator): State<Operator>,
    caller: Caller,
    Path((device, verb)): Path<(String, String)>,
    request: Request,
) -> Result<axum::http::StatusCode, Problem> {
    let device: DeviceId = parsed(&device, "device")?;
    let verb = Verb::of(&verb).ok_or_else(|| not_found("answer"))?;
    let ask: ApprovalAsk = json(request, "ApprovalAsk").await?;
    let spoken = Spoken::new(verb, &ask.reason, ask.model.as_deref(), &ask.placement)?;
    spoken.to(&operator.app, &caller, device, fingerprint(&ask.fingerprint)?).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Says yes or no to several keys, answered row by row.
#[utoipa::path(post, path = "/api/v1/approvals", request_body = ApprovalListAsk,
    responses((status = 200, body = ApprovalListAnswer)))]
pub async fn answer_list(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Answered<ApprovalListAnswer> {
    let ask: ApprovalListAsk = json_within(request, "ApprovalListAsk", LIST_BYTES).await?;
    let verb = Verb::of(&ask.verb).ok_or_else(|| refused("bad_verb", "`verb` is `approve` or `deny`"))?;
    if ask.rows.len() > limits::PAGE_ROWS {
        let detail = format!("a list has at most {} rows: send it in parts", limits::PAGE_ROWS);
        return Err(refused("list_too_long", detail));
    }
    let spoken = Spoken::new(verb, &ask.reason, ask.model.as_deref(), &ask.placement)?;
    let waits = all_waiting(&operator.app);
    let mut rows = Vec::with_capacity(ask.rows.len());
    for row in ask.rows {
        rows.push(answer_row(&operator.app, &caller, (&spoken, &waits), row).await?);
    }
    Ok(Json(ApprovalListAnswer { rows }))
}

/// One row: a refusal is its outcome, a fault of the server ends the list.
async fn answer_row(
    app: &App,
    caller: &Caller,
    (spoken, waits): (&Spoken, &[ApprovalView]),
    row: ApprovalRowAsk,
) -> Result<ApprovalRow, Problem> {
    let (found, outcome) = match device_of(waits, &row) {
        Ok((device, key)) => (Some(device), spoken.to(app, caller, device, key).await),
        Err(problem) => (None, Err(problem)),
    };
    let mut told = ApprovalRow {
        device: found.map(|device| device.to_string()).or(row.device),
        serial: row.serial,
        fingerprint: row.fingerprint,
        outcome: "done",
        code: None,
        detail: None,
    };
    match outcome {
        Ok(()) => {}
        Err(problem) if problem.status().is_server_error() => return Err(problem),
        Err(problem) => {
            (told.outcome, told.code) = ("refused", Some(problem.code()));
            told.detail = Some(problem.detail().to_owned());
        }
    }
    Ok(told)
}

/// The device that a row means. A serial alone is enough where one device of that serial asks.
fn device_of(waits: &[ApprovalView], row: &ApprovalRowAsk) -> Result<(DeviceId, Sha256), Problem> {
    let key = fingerprint(&row.fingerprint)?;
    let device = match (&row.device, &row.serial) {
        (Some(device), _) => parsed(device, "device")?,
        (None, Some(serial)) => {
            let mut of_serial = waits.iter().filter(|view| view.serial == *serial);
            let with_key = of_serial.clone().find(|view| view.fingerprint == key.to_string());
            let view = with_key.or_else(|| of_serial.next());
            let view = view.ok_or_else(|| not_found("device with this serial among those that wait"))?;
            parsed(&view.device, "device")?
        }
        (None, None) => return Err(refused("row_refused", "name the `device` or its `serial`")),
    };
    Ok((device, key))
}

/// A person's answer with all that goes with it.
pub struct Spoken {
    verb: Verb,
    reason: cordon_proto::ids::Text,
    stated: Stated,
}

impl Spoken {
    /// An answer with its reason and what the person states of the device.
    pub fn new(verb: Verb, reason: &str, model: Option<&str>, place: &PlaceAsk) -> Result<Self, Problem> {
        let model = model.filter(|model| !model.trim().is_empty());
        let model = model.map(|model| text_of("model_refused", model.trim(), "model")).transpose()?;
        Ok(Self {
            verb,
            reason: good_reason(reason)?,
            stated: Stated { model, ..place.stated("place_refused")? },
        })
    }

    /// Says it to the key that asks for a device's identity.
    pub async fn to(&self, app: &App, caller: &Caller, device: DeviceId, key: Sha256) -> Result<(), Problem> {
        match self.verb {
            Verb::Approve => {
                app.approve((device, key), &self.stated, &self.reason, &caller.actor).await?;
            }
            Verb::Deny => app.deny((device, key), &self.reason, &caller.actor).await?,
        }
        Ok(())
    }
}

/// A fingerprint as people write it: digits in any groups.
pub fn fingerprint(text: &str) -> Result<Sha256, Problem> {
    let digits: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | ' ' | '-' | '\u{202f}'))
        .collect::<String>()
        .to_lowercase();
    digits.parse().map_err(|_| {
        refused("bad_fingerprint", "give the key's whole fingerprint: 64 hexadecimal digits, in any groups")
    })
}
