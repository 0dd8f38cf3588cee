//! The device plane: check-in, wait, telemetry, receipts, farewell, and the files of `repository`.
//!
//! Before any route, each request is checked against the device table: the table must be up to date, the certificate
//! must be one that is in force now, and the device's state must allow what it asks. The body never says who it is. Messages are CBOR, bounded
//! before and after decompression. Read next: [`router`], [`crate::app`] for what becomes of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use cordon_proto::checkin::{CheckinRequest, WaitAnswer, WaitRequest};
use cordon_proto::farewell::Farewell;
use cordon_proto::limits;
use cordon_proto::receipt::Receipt;
use cordon_proto::telemetry::Batch;
use cordon_proto::wire::{self, WireError};
use cordon_server_core::device::{Access, OtherHardware, Refused, may};
use minicbor::{Decode, Encode};
use zstd::bulk::Decompressor;

use super::problem::Problem;
use super::{Peer, authorities, body, repository};
use crate::app::{App, CheckinError, Speaker, StatementError};
use crate::ca::PeerLeaf;
use crate::fleet::Member;

#[cfg(test)]
mod tests;

/// Seconds that one wait lasts at most.
const WAIT_S: u32 = 300;
const _: () = assert!(WAIT_S as u64 == limits::WAIT_S, "the limit of a wait");
/// Decompressors kept for the next batch.
const DECOMPRESSORS: usize = 8;

/// The device behind a request, as the table knew it when the request came.
#[derive(Clone)]
struct Caller {
    member: Arc<Member>,
    leaf: Arc<PeerLeaf>,
    address: SocketAddr,
}

/// The routes of the device plane.
pub fn router(app: Arc<App>) -> Router {
    let status = Router::new().route("/v1/checkin", post(checkin)).merge(authorities::bundles());
    let update = Router::new()
        .route("/v1/receipts", post(receipts))
        .route("/v1/tuf/director/{file}", get(repository::director_file))
        .route("/v1/tuf/image/{repository}/{file}", get(repository::image_file))
        .route("/v1/targets/{sha256}", get(repository::target));
    let unpack = Arc::new(Unpack::default());
    let telling = Router::new()
        .route("/v1/wait", post(wait))
        .route("/v1/telemetry", post(telemetry).layer(Extension(unpack)));
    let guarded = |routes: Router<Arc<App>>, access| {
        routes.route_layer(from_fn_with_state((app.clone(), access), identify))
    };
    let leaving = Router::new().route("/v1/farewell", post(farewell));
    guarded(status, Access::Status)
        .merge(guarded(leaving, Access::Farewell))
        .merge(guarded(update, Access::Update))
        .merge(guarded(telling, Access::Telling))
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .fallback(|| async { Problem::no_route() })
        .with_state(app)
}

/// Lets a request through if its certificate is in force and its device may ask this.
async fn identify(
    State((app, access)): State<(Arc<App>, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // Whom another server quarantined a moment ago must not be let in by what this one remembers: first of all.
    if app.following.is_stale() {
        app.metrics.stale();
        return refuse(request, Problem::stale()).await;
    }
    let peer = request.extensions().get::<Peer>();
    let proved = peer.and_then(|peer| Some((peer.leaf.clone()?, peer.address)));
    let (leaf, address) = proved.ok_or_else(|| {
        let detail = "this plane needs the certificate that the device was given when it enrolled";
        Problem::new(StatusCode::UNAUTHORIZED, "no_certificate", "No certificate", detail).closing()
    })?;
    let mut member = app.fleet.by_leaf(&leaf.fingerprint);
    if member.is_none() {
        member = app.look_up(&leaf.fingerprint).await?;
    }
    if let Err(refused) = open_to(&app, member.as_deref(), &leaf, access) {
        app.tried(member.as_deref(), &leaf.fingerprint, refused).await;
        return Err(refused.into());
    }
    let Some(member) = member else { return Err(Problem::no_route()) };
    if let Err(seconds) = app.device_rates.take(member.id(), app.clock.now_ms()) {
        return refuse(request, Problem::too_many(seconds)).await;
    }
    let member = first_word(&app, member, &leaf).await?;
    app.fleet.heard(member.id(), None, None, app.clock.now_ms());
    request.extensions_mut().insert(Caller { member, leaf, address });
    Ok(next.run(request).await)
}

/// The device as it is once its certificate has spoken: one that was handed out to follow another is in force now.
async fn first_word(app: &App, member: Arc<Member>, leaf: &PeerLeaf) -> Result<Arc<Member>, Problem> {
    if member.device.next.as_ref().is_none_or(|next| next.leaf != leaf.fingerprint) {
        return Ok(member);
    }
    app.spoke(&member, &leaf.fingerprint).await?;
    Ok(app.fleet.get(member.id()).unwrap_or(member))
}

/// Whether the door stands open now to the holder of `leaf`.
fn open_to(app: &App, member: Option<&Member>, leaf: &PeerLeaf, access: Access) -> Result<(), Refused> {
    may(member.map(|member| &*member.device), &leaf.fingerprint, access, app.clock.now())
}

/// Refuses for now. The body is read to its end, so that the connection lives and the device need not shake hands anew.
async fn refuse(request: Request, problem: Problem) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    body::read(&head.headers, body, limits::BODY_BYTES).await?;
    Err(problem)
}

/// How a device is, and what it should know.
async fn checkin(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: CheckinRequest = read(&headers, body, "CheckinRequest").await?;
    let _work = app.begin_work().ok_or_else(Problem::busy)?;
    let speaker = Speaker { leaf: caller.leaf.fingerprint, address: caller.address };
    Ok(cbor(&app.checkin(&caller.member, &speaker, &request).await?))
}

/// Answers when something changed, when the time is over, or when the server drains.
async fn wait(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: WaitRequest = read(&headers, body, "WaitRequest").await?;
    let max_s = request.max_s.min(WAIT_S);
    app.listens(caller.member.id(), max_s);
    let time = Duration::from_secs(max_s.into());
    let changed = app.waits.changed(caller.member.id(), request.token);
    let token = tokio::select! {
        token = body::within(time, changed) => token,
        () = app.drained() => None,
    };
    // Much may have happened meanwhile, and what woke it may be that it is no longer trusted.
    let member = app.fleet.get(caller.member.id());
    open_to(&app, member.as_deref(), &caller.leaf, Access::Telling)?;
    Ok(cbor(&WaitAnswer { token: token.unwrap_or(request.token), changed: token.is_some() }))
}

/// What a device saw.
async fn telemetry(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(unpack): Extension<Arc<Unpack>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let sent = body::read(&headers, body, limits::TELEMETRY_BYTES).await?;
    is_cbor(&headers)?;
    let _work = app.begin_work().ok_or_else(Problem::busy)?;
    let bytes = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => sent,
        Some(b"zstd") => unpack.run(&sent)?,
        Some(_) => return Err(unsupported("send the batch as it is, or with `Content-Encoding: zstd`")),
    };
    let batch = Batch::read(&bytes).map_err(|error| unreadable("Batch", &error))?;
    Ok(cbor(&app.telemetry(caller.member.id(), batch).await?))
}

/// Proof of what was installed.
async fn receipts(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (bytes, receipt): (Bytes, Receipt) = signed(&headers, body, "Receipt").await?;
    let _work = app.begin_work().ok_or_else(Problem::busy)?;
    let taken = app.receipt(&caller.member, &caller.leaf, &bytes, &receipt).await;
    taken.map_err(|error| not_believed(["receipt_not_believed", "receipt_of_another"], "Receipt", error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The last thing that a device signs.
async fn farewell(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (bytes, farewell): (Bytes, Farewell) = signed(&headers, body, "Farewell").await?;
    let _work = app.begin_work().ok_or_else(Problem::busy)?;
    let taken = app.farewell(&caller.member, &caller.leaf, &bytes, &farewell).await;
    taken
        .map_err(|error| not_believed(["farewell_not_believed", "farewell_of_another"], "Farewell", error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a signed statement, and keeps it as it came.
async fn signed<T>(headers: &HeaderMap, body: Body, name: &'static str) -> Result<(Bytes, T), Problem>
where
    T: for<'b> Decode<'b, ()>,
{
    let bytes = body::read(headers, body, limits::BODY_BYTES).await?;
    is_cbor(headers)?;
    let message = wire::read(&bytes, limits::BODY_BYTES).map_err(|error| unreadable(name, &error))?;
    Ok((bytes, message))
}

/// A statement that is not taken; the words are for a bad signature and for one that is another device's.
fn not_believed(
    [signature, another]: [&'static str; 2],
    title: &'static str,
    error: StatementError,
) -> Problem {
    let refuse = |status, code, detail: String| Problem::new(status, code, title, detail);
    match error {
        StatementError::Signature(refused) => refuse(StatusCode::FORBIDDEN, signature, refused.to_string()),
        StatementError::Another => refuse(StatusCode::FORBIDDEN, another, error.to_string()),
        StatementError::TookLeave(refused) => {
            refuse(StatusCode::CONFLICT, "farewell_held", refused.to_string())
        }
        StatementError::Store(error) => error.into(),
        StatementError::Commit(error) => error.into(),
    }
}

/// Reads a CBOR message of ordinary size.
async fn read<T>(headers: &HeaderMap, body: Body, name: &'static str) -> Result<T, Problem>
where
    T: for<'b> Decode<'b, ()>,
{
    Ok(signed(headers, body, name).await?.1)
}

fn is_cbor(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_none_or(|kind| kind.eq_ignore_ascii_case(b"application/cbor")) {
        return Ok(());
    }
    Err(unsupported("messages of this plane are `application/cbor`"))
}

fn unsupported(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_form", "Unsupported form", detail)
}

fn unreadable(name: &'static str, error: &WireError) -> Problem {
    match error {
        WireError::TooLarge { limit, .. } => Problem::too_large(*limit),
        WireError::Malformed | WireError::Trailing(_) | WireError::TooMany { .. } => {
            Problem::malformed(name, error)
        }
    }
}

fn cbor<T: Encode<()>>(message: &T) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/cbor"))], wire::write(message)).into_response()
}

/// Decompresses with contexts that are used again.
#[derive(Default)]
struct Unpack {
    idle: Mutex<Vec<Decompressor<'static>>>,
}

impl Unpack {
    /// The bytes behind `sent`, at most `limits::TELEMETRY_DECOMPRESSED_BYTES`.
    fn run(&self, sent: &[u8]) -> Result<Bytes, Problem> {
        let limit = limits::TELEMETRY_DECOMPRESSED_BYTES;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut context = match idle {
            Some(context) => context,
            None => Decompressor::new().map_err(|error| Problem::internal(&error))?,
        };
        // One byte more than allowed tells "exactly full" from "more than fits".
        let unpacked = context.decompress(sent, limit + 1);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < DECOMPRESSORS {
            idle.push(context);
        }
        drop(idle);
        match unpacked {
            Ok(bytes) if bytes.len() <= limit => Ok(bytes.into()),
            Ok(_) => Err(Problem::too_large(limit)),
            Err(error) if error.to_string().contains("too small") => Err(Problem::too_large(limit)),
            Err(_) => Err(Problem::malformed("Batch", "it is not zstd")),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::new(StatusCode::FORBIDDEN, refused.code(), "Refused", refused.to_string()).closing()
    }
}

impl From<CheckinError> for Problem {
    fn from(error: CheckinError) -> Self {
        match error {
            CheckinError::Hardware(refused) => {
                Self::new(StatusCode::FORBIDDEN, OtherHardware::CODE, "Other hardware", refused.to_string())
            }
            CheckinError::Store(error) => error.into(),
            CheckinError::Commit(error) => error.into(),
        }
    }
}
