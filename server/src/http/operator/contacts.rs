//! `/api/v1/contacts/search`: who talked to this address, name or port.
//!
//! Whom a device talks to can say something about a person: each search needs a reason, and stands in the audit log with it before it
//! is answered. Read next: `app::contacts`, `cordon_server_core::contacts`.

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::contacts::sought::Sought;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::{Answered, Operator, json, refused};
use crate::app::contacts::{Found, FoundDevice, Search};
use crate::app::name;
use crate::http::problem::Problem;
use crate::people::Caller;

/// Devices of one page unless the caller says.
const PAGE: usize = 100;
const DAY_S: i64 = 86_400;

pub(super) fn routes() -> Router<Operator> {
    Router::new().route("/api/v1/contacts/search", post(search))
}

/// Whom to look for, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchAsk {
    /// An address (`203.0.113.9`), a network (`203.0.113.0/24`), or a name with all below it (`example.org`).
    pub peer: String,
    /// `4444`, `4444/tcp` or `4444/udp`: the peer's port where the device opened the connection, else the device's own.
    pub port: String,
    /// From when on, a day or RFC 3339; without it as long as connections are kept.
    pub since: Option<String>,
    /// Before when, a day or RFC 3339; without it until now.
    pub until: Option<String>,
    /// Why, for the audit log.
    pub reason: String,
    /// Only devices after this one.
    pub after: Option<String>,
    /// At most so many devices, at most 500.
    pub limit: Option<usize>,
}

/// Who talked to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    /// What was looked for, as the audit log has it.
    pub sought: String,
    /// From when on, RFC 3339: never longer than connections are kept.
    pub since: String,
    /// Before when, RFC 3339.
    pub until: String,
    /// Days that connections are kept.
    pub kept_days: u32,
    /// How many devices can have talked to it, on all pages together: that many or fewer did.
    pub likely: usize,
    /// How many devices summed peers in that time that their reports had no room to name: of them nobody can say.
    pub unnamed: usize,
    /// Devices that did, by name.
    pub devices: Vec<SearchRow>,
    /// Pass as `after` for the next page. A page may be empty where much had to be read.
    pub next: Option<String>,
}

/// A device that talked to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchRow {
    /// The device.
    pub id: String,
    /// Its maker's number.
    pub serial: String,
    /// The kind of device.
    pub model: String,
    /// Where it stands.
    pub site: String,
    /// Where it stands.
    pub ward: String,
    /// Begin of the first interval with a connection, by the device's clock.
    pub first: String,
    /// End of the last.
    pub last: String,
    /// Connections that began.
    pub connections: u64,
    /// Bytes from the device.
    pub bytes_out: u64,
    /// Bytes to the device.
    pub bytes_in: u64,
    /// Who opened them: `device`, `peer` or `both`.
    pub opened_by: &'static str,
    /// Peers, at most eight.
    pub peers: Vec<String>,
    /// Services as `443/tcp`, at most eight.
    pub services: Vec<String>,
    /// Whether some are outside what the device had learned.
    pub is_new: bool,
    /// Whether it has more rows than one search reads: the figures are of the newest of them.
    pub is_cut: bool,
}

/// Says who talked to an address, name or port. The search and its reason stand in the audit log.
#[utoipa::path(post, path = "/api/v1/contacts/search", request_body = SearchAsk,
    responses((status = 200, body = SearchAnswer), (status = 422)))]
pub async fn search(
    State(operator): State<Operator>,
    caller: Caller,
    request: Request,
) -> Answered<SearchAnswer> {
    let ask: SearchAsk = json(request, "SearchAsk").await?;
    answer(&operator, &caller, &ask).await.map(Json)
}

/// The same for a page.
pub(in crate::http) async fn answer(
    operator: &Operator,
    caller: &Caller,
    ask: &SearchAsk,
) -> Result<SearchAnswer, Problem> {
    let reason = good_reason(&ask.reason)?;
    let sought =
        Sought::read(&ask.peer, &ask.port).map_err(|error| refused("bad_search", error.to_string()))?;
    let (now, kept_days) = (operator.app.clock.now(), operator.app.config.retention_days);
    let kept = now.plus_seconds(-DAY_S * i64::from(kept_days));
    let since = moment("since", ask.since.as_deref())?.map_or(kept, |since| since.max(kept));
    let until = moment("until", ask.until.as_deref())?.unwrap_or(now);
    if until <= since {
        let detail = format!("`until` is not after `since`; connections are kept for {kept_days} days");
        return Err(refused("bad_search", detail));
    }
    let after = ask.after.as_deref().map(str::parse::<DeviceId>).transpose();
    let after = after.map_err(|_| refused("bad_search", "`after` is the `next` of the page before"))?;
    let limit = ask.limit.unwrap_or(PAGE).clamp(1, limits::PAGE_ROWS);
    let entry = Entry {
        reason: Some(reason),
        after: Some(Summary::of(&format!("{sought}, from {since} to {until}"))),
        ..Entry::new(name("contacts.search"), Text::lossy("contacts"))
    };
    operator.app.commit(Commit::draft(now, caller.actor.clone()).audit(entry)).await?;
    let search = Search { sought: &sought, since, until, after, limit };
    let Found { devices, likely, unnamed, next } = operator.app.search_contacts(search).await?;
    Ok(SearchAnswer {
        sought: sought.to_string(),
        since: since.to_string(),
        until: until.to_string(),
        kept_days,
        likely,
        unnamed,
        devices: devices.into_iter().map(row).collect(),
        next: next.map(|next| next.to_string()),
    })
}

fn moment(what: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let wrong = |_| {
        let detail =
            format!("`{what}` is a day such as 2026-11-20, or a time in UTC such as 2026-11-20T14:00:00Z");
        refused("bad_search", detail)
    };
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    Timestamp::parse(&whole).map(Some).map_err(wrong)
}

fn row(found: FoundDevice) -> SearchRow {
    let FoundDevice { member, hit, is_cut } = found;
    let (device, placement) = (&member.device, &member.device.placement);
    SearchRow {
        id: device.id.to_string(),
        serial: device.hardware.serial.to_string(),
        model: device.hardware.model.to_string(),
        site: placement.site.to_string(),
        ward: placement.ward.to_string(),
        first: hit.first.to_string(),
        last: hit.last.to_string(),
        connections: hit.connections,
        bytes_out: hit.bytes_out,
        bytes_in: hit.bytes_in,
        opened_by: match (hit.opened, hit.accepted) {
            (true, true) => "both",
            (false, true) => "peer",
            (true | false, false) => "device",
        },
        peers: hit.peers.into_iter().collect(),
        services: hit.services.into_iter().collect(),
        is_new: hit.is_new,
        is_cut,
    }
}
