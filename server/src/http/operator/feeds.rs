//! `/api/v1/feeds`: what is known of the world, how old it is, and how it comes in.
//!
//! A feed is one file: a document, a table, or a tar file of many documents. What is in force is shown with its age, what of
//! it was refused and why, and which kinds never came at all: what nobody imported cannot be found. Read next: `advisories`
//! for what is made of it.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::ids::Name;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::feeds::age::Age;
use cordon_server_core::feeds::intake::{Feed, Kind};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::devices::good_reason;
use super::rollouts::ReasonAsk;
use super::{Answered, Operator, json, not_found, parsed, refused};
use crate::http::problem::Problem;
use crate::knowledge::import::{Brought, FeedError};
use crate::knowledge::{Matched, Readiness};
use crate::people::Caller;
use crate::store::blobs::BlobError;

/// The header with the signed statement about a file, in base64url.
pub const SIGNATURE_HEADER: &str = "cordon-signature";

pub(super) fn routes() -> Router<Operator> {
    Router::new()
        .route("/api/v1/feeds", get(list))
        .route("/api/v1/feeds/{name}", get(show).put(put).delete(end))
}

/// One feed that is in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedView {
    /// Its name.
    pub name: String,
    /// What it holds: `osv`, `debian`, `csaf`, `kev`, `epss`, `eol`, `vex` or `aliases`.
    pub kind: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Bytes of its file.
    pub length: u64,
    /// Of when it is, RFC 3339.
    pub as_of: String,
    /// By whose word: `feed`, `signer`, `person`, or `arrival` where nobody says.
    #[schema(value_type = String)]
    pub dated_by: cordon_server_core::feeds::intake::DatedBy,
    /// `fresh`, `stale` or `ahead`; `lasting` for what does not grow old.
    pub age: &'static str,
    /// Whole days.
    pub age_days: Option<i64>,
    /// Days after which it is stale.
    pub stale_days: u32,
    /// When it came, RFC 3339.
    pub received: String,
    /// Who brought it.
    pub by: String,
    /// `signed` or `plain`.
    pub trust: &'static str,
    /// The id of the key that signed it.
    pub signed_by: Option<String>,
    /// Records that were understood.
    pub records: u64,
    /// Records that were not, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What of records that were taken had to be mended or left out, by reason.
    pub mended: BTreeMap<String, u64>,
    /// The file within it that was refused first, and why.
    pub first_refused: Option<FirstRefusedView>,
    /// Whether answers are made of this very file by now.
    pub in_force: bool,
    /// Why its file cannot be read on this server.
    pub missing: Option<String>,
    /// Files for it that were refused since this server started, by reason.
    pub refused_files: BTreeMap<String, u64>,
}

/// The first record of a feed that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct FirstRefusedView {
    /// Its file.
    pub file: String,
    /// Why.
    pub why: String,
}

/// All feeds, and what was made of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedPage {
    /// The feeds by name.
    pub feeds: Vec<FeedView>,
    /// Kinds of which nothing was ever imported.
    pub never: Vec<&'static str>,
    /// Feeds that the settings want signed.
    pub must_be_signed: Vec<String>,
    /// Files that were refused for feeds that are not in force, since this server started: feed, reason, how many.
    pub refused_files: Vec<RefusedFileView>,
    /// `no-feeds`, `preparing`, `renewing` or `ready`.
    pub matching: &'static str,
    /// The same in a sentence.
    pub matching_words: &'static str,
    /// Milliseconds that it took to make knowledge of them.
    pub took_ms: Option<u64>,
    /// Advisories about packages.
    pub advisories: usize,
    /// What they say, once for each package in each release.
    pub statements: usize,
    /// Advisories that their publishers took back.
    pub withdrawn: usize,
    /// Statements about a distribution that name no release, which would hold for every release and for none.
    pub without_release: usize,
    /// Advisories about devices.
    pub device_advisories: usize,
    /// Statements of makers (VEX), and how many of them meet something that is here.
    pub statements_of_makers: [usize; 2],
    /// Distinct components, distinct compositions, and devices whose packages are known.
    pub holdings: [usize; 3],
}

/// Files that were refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedFileView {
    /// The feed.
    pub feed: String,
    /// The reason, as a word.
    pub why: &'static str,
    /// How many.
    pub files: u64,
}

/// One feed with the statements of makers in it that meet nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedAnswer {
    /// The feed.
    #[serde(flatten)]
    pub feed: FeedView,
    /// Statements of makers that meet no finding here, at most 100: of all feeds of VEX together.
    pub silent: Vec<SilentView>,
}

/// A statement of a maker that meets nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct SilentView {
    /// The weakness.
    pub weakness: Option<String>,
    /// The product, as it was written.
    pub product: String,
    /// What it says.
    pub status: &'static str,
    /// Its document.
    pub document: String,
    /// Why it meets nothing.
    pub why: &'static str,
}

/// How a file comes in.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// What it holds; may be left out for a feed that is there.
    kind: Option<String>,
    /// Of when it is, RFC 3339, where it does not say so itself.
    as_of: Option<String>,
    /// Take it although it is older, or has less than half of the records of what is in force.
    #[serde(default)]
    confirm: bool,
}

/// All feeds, how old they are, and what was made of them.
#[utoipa::path(get, path = "/api/v1/feeds", responses((status = 200, body = FeedPage)))]
pub async fn list(State(operator): State<Operator>) -> Json<FeedPage> {
    Json(page(&operator))
}

/// All feeds, for pages too.
#[must_use]
pub fn page(operator: &Operator) -> FeedPage {
    let (knowledge, now) = (&operator.app.knowledge, operator.app.clock.now());
    let (feeds, matched, refused) = (knowledge.feeds(), knowledge.matched(), knowledge.refused());
    let made = matched.made.as_deref();
    let counts = made.map(|made| made.world.index.counts()).unwrap_or_default();
    let never =
        Kind::ALL.into_iter().filter(|kind| kind.ages() && !feeds.iter().any(|feed| feed.kind == *kind));
    let strangers = refused.iter().filter(|((name, _), _)| !feeds.iter().any(|feed| feed.name == *name));
    let held =
        operator.app.fleet.holdings().read().unwrap_or_else(std::sync::PoisonError::into_inner).counts();
    let (all, met) = made.map(|made| made.world.ledger.counts()).unwrap_or_default();
    FeedPage {
        never: never.map(Kind::word).collect(),
        must_be_signed: operator.app.config.feeds.signed().map(ToString::to_string).collect(),
        refused_files: strangers
            .map(|((name, why), files)| RefusedFileView { feed: name.to_string(), why, files: *files })
            .collect(),
        matching: matched.readiness.word(),
        matching_words: matched.readiness.sentence(),
        took_ms: made.map(|made| u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX)),
        advisories: counts.advisories,
        statements: counts.statements,
        withdrawn: counts.withdrawn,
        without_release: counts.without_release,
        device_advisories: made.map_or(0, |made| made.world.catalogue.counts().0),
        statements_of_makers: [all, met],
        holdings: [held.components, held.compositions, held.devices],
        feeds: feeds.iter().map(|feed| view(operator, feed, &matched, now)).collect(),
    }
}

fn view(operator: &Operator, feed: &Feed, matched: &Matched, now: Timestamp) -> FeedView {
    let age = feed.age(now);
    let made = matched.made.as_deref();
    let own = (feed.name.clone(), feed.sha256);
    let refused = operator.app.knowledge.refused();
    let files = refused.iter().filter(|((name, _), _)| *name == feed.name);
    FeedView {
        name: feed.name.to_string(),
        kind: feed.kind.word().to_owned(),
        sha256: feed.sha256.to_string(),
        length: feed.length,
        as_of: feed.as_of.to_string(),
        dated_by: feed.dated_by,
        age: if feed.kind.ages() { age.word() } else { "lasting" },
        age_days: Age::days(age),
        stale_days: feed.kind.stale_days(),
        received: feed.received.to_string(),
        by: feed.by.clone(),
        trust: if feed.signed_by.is_some() { "signed" } else { "plain" },
        signed_by: feed.signed_by.clone(),
        records: feed.records,
        refused: feed.refused.clone(),
        mended: feed.mended.clone(),
        first_refused: feed
            .first_refused
            .as_ref()
            .map(|first| FirstRefusedView { file: first.file.clone(), why: first.why.clone() }),
        in_force: made
            .is_some_and(|made| made.feeds.contains(&own) && !made.missing.contains_key(&feed.name)),
        missing: made.and_then(|made| made.missing.get(&feed.name).cloned()),
        refused_files: files.map(|((_, why), count)| ((*why).to_owned(), *count)).collect(),
    }
}

/// One feed.
#[utoipa::path(get, path = "/api/v1/feeds/{name}", params(("name" = String, Path)),
    responses((status = 200, body = FeedAnswer), (status = 404)))]
pub async fn show(State(operator): State<Operator>, Path(name): Path<String>) -> Answered<FeedAnswer> {
    let name: Name = parsed(&name, "feed")?;
    let feed = operator.app.knowledge.feed(&name).ok_or_else(|| not_found("feed"))?;
    let matched = operator.app.knowledge.matched();
    let made = matched.made.as_deref().filter(|_| feed.kind == Kind::Vex);
    let silent = made.into_iter().flat_map(|made| made.world.ledger.silent()).take(100);
    let silent = silent.map(|(statement, document, met)| SilentView {
        weakness: statement.names.first().cloned(),
        product: statement.subject.written.clone(),
        status: statement.status.word(),
        document: document.to_owned(),
        why: met.word(),
    });
    let silent = silent.collect();
    Ok(Json(FeedAnswer { feed: view(&operator, &feed, &matched, operator.app.clock.now()), silent }))
}

/// Takes in the file of a feed; the body is the file. The former one is in force until this one was read and judged. A
/// signed statement about it goes in the header `cordon-signature`, in base64url.
#[utoipa::path(put, path = "/api/v1/feeds/{name}", params(("name" = String, Path), FeedQuery),
    responses((status = 200, body = FeedView), (status = 409), (status = 413), (status = 422), (status = 507)))]
pub async fn put(
    State(operator): State<Operator>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<FeedQuery>,
    request: Request,
) -> Answered<FeedView> {
    let name: Name = parsed(&name, "feed")?;
    let knowledge = &operator.app.knowledge;
    let brought = brought(&operator, name, &query, request.headers())?;
    let mut incoming = knowledge.receive(limits::FEED_BYTES).await.map_err(of_blob)?;
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::malformed("feed", error))?;
        incoming = incoming.write(piece).await.map_err(of_blob)?;
    }
    let file = incoming.finish(None).await.map_err(of_blob)?;
    let now = operator.app.clock.now();
    let feed = knowledge.import(&operator.app, brought, file, caller.at(now)).await?;
    Ok(Json(view(&operator, &feed, &knowledge.matched(), now)))
}

fn brought(
    operator: &Operator,
    name: Name,
    query: &FeedQuery,
    headers: &HeaderMap,
) -> Result<Brought, Problem> {
    let words = Kind::ALL.map(Kind::word).join(", ");
    let held = operator.app.knowledge.feed(&name).map(|feed| feed.kind);
    let said = query.kind.as_deref().map(|kind| {
        Kind::of(kind)
            .ok_or_else(|| refused("unknown_kind", format!("`{kind}` is no kind of feed: use {words}")))
    });
    let kind = said.transpose()?.or(held);
    let kind =
        kind.ok_or_else(|| refused("unknown_kind", format!("say what the new feed holds: {words}")))?;
    let as_of = query.as_of.as_deref().map(|text| {
        Timestamp::parse(text).map_err(|_| refused("bad_query", "`as_of` is a time as 2026-11-22T00:00:00Z"))
    });
    let signature = headers.get(SIGNATURE_HEADER).map(|value| {
        let bytes = URL_SAFE_NO_PAD.decode(value.as_bytes());
        bytes.map_err(|_| refused("feed_refused", "the signature is not in base64url"))
    });
    Ok(Brought {
        name,
        kind,
        as_of: as_of.transpose()?,
        signature: signature.transpose()?,
        confirmed: query.confirm,
    })
}

/// Takes a feed out of force, with the reason in the journal.
#[utoipa::path(delete, path = "/api/v1/feeds/{name}", params(("name" = String, Path)), request_body = ReasonAsk,
    responses((status = 204), (status = 404), (status = 422)))]
pub async fn end(
    State(operator): State<Operator>,
    caller: Caller,
    Path(name): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let name: Name = parsed(&name, "feed")?;
    let ask: ReasonAsk = json(request, "ReasonAsk").await?;
    let (app, by) = (&operator.app, caller.at(operator.app.clock.now()));
    app.knowledge.remove(app, &name, good_reason(&ask.reason)?, by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What cannot be answered before anything is known.
pub(crate) fn need(matched: &Matched) -> Result<(), Problem> {
    match matched.readiness {
        Readiness::Ready | Readiness::Renewing => Ok(()),
        Readiness::NoFeeds => Err(refused("no_advisories", Readiness::NoFeeds.sentence())),
        Readiness::Preparing => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "matching_in_preparation",
            "Not ready yet",
            Readiness::Preparing.sentence(),
        )),
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::NotTaken(why) if why.can_be_confirmed() => {
                Self::new(StatusCode::CONFLICT, why.word(), "Confirm it", why.to_string())
            }
            FeedError::NotTaken(why) => refused(why.word(), why.to_string()),
            FeedError::Unknown(_) => not_found("feed"),
            FeedError::Moved => {
                Self::new(StatusCode::CONFLICT, "moved", "Changed meanwhile", error.to_string())
            }
            FeedError::File(error) => of_blob(error),
            FeedError::Store(error) => error.into(),
            FeedError::TooMuch(error) => Self::internal(&error),
        }
    }
}

fn of_blob(error: BlobError) -> Problem {
    match error {
        BlobError::TooLong { limit } => {
            let detail =
                format!("the file has more than {limit} bytes: leave ecosystems out that no device has");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large", detail)
        }
        BlobError::Full { .. } => {
            let detail = "free space on the server's disk and send the file again; what was in force stays";
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", "Disk full", detail)
        }
        BlobError::WrongHash { .. } | BlobError::Unavailable { .. } => Problem::internal(&error),
    }
}
