//! Who may speak to us: the accept loop of every plane, with its limits.
//!
//! TLS is ended here and nowhere else, so that the certificate a connection proved is a fact of that connection
//! ([`Peer`]) and never a header. Everything an outsider may hold is bounded: handshakes, heads, idle connections,
//! unread answers, connections in all. Over the limit a few are told so, the rest are dropped. Nothing here knows a
//! route. Read next: [`Plane::serve`], [`connection`] for the clocks, `shared_port` for two planes behind one listener,
//! `est` and `device` for the routes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use cordon_proto::enrol::BINDING_EXPORTER;
use cordon_proto::limits;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use self::connection::{Activity, Answer, Times, Watched};
use self::problem::Problem;
use crate::app::drained;
use crate::ca::PeerLeaf;
use crate::config::Bounds;
use crate::connections::Connections;
use crate::metrics::PlaneMetrics;

pub mod authorities;
pub mod body;
pub mod connection;
pub mod console;
pub mod device;
pub mod est;
pub mod operator;
pub mod probes;
pub mod problem;
pub mod range;
pub mod rate;
pub mod repository;
pub mod shared_port;

/// Pause after the system refused to accept a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that must end may take for its last word.
const FAREWELL: Duration = Duration::from_millis(100);

/// What a connection has proved. The accept loop puts it into every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The certificate that the handshake verified, if one was shown and has a key of our kind.
    pub leaf: Option<Arc<PeerLeaf>>,
    /// All certificates that were shown, the verified one first.
    pub shown: Arc<[CertificateDer<'static>]>,
    /// What only the two ends of this TLS 1.3 connection know (RFC 9266), to bind a request to it.
    pub exporter: Option<[u8; 32]>,
}

impl Peer {
    /// Whoever speaks without encryption.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, leaf: None, shown: Arc::default(), exporter: None }
    }

    /// What a finished handshake says.
    fn of(address: SocketAddr, tls: &ServerConnection) -> Self {
        let shown: Arc<[CertificateDer<'static>]> = tls.peer_certificates().unwrap_or_default().into();
        let leaf = shown.first().and_then(PeerLeaf::of).map(Arc::new);
        let modern = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let export = || tls.export_keying_material([0; 32], BINDING_EXPORTER, Some(&[])).ok();
        Self { address, leaf, shown, exporter: modern.then(export).flatten() }
    }
}

/// What is served behind a listener.
pub struct Plane {
    /// Without it the plane speaks plain HTTP, which only a loopback listener may.
    pub tls: Option<TlsAcceptor>,
    /// The routes.
    pub router: Router,
    /// The limits.
    pub limits: Limits,
    /// What is counted.
    pub metrics: PlaneMetrics,
    /// Where connections are noted by certificate.
    pub connections: Arc<Connections>,
}

/// What outsiders may hold on one plane.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the phases of a connection may last.
    pub times: Times,
    /// How long requests under way may take when the server drains.
    pub drain: Duration,
}

impl From<&Bounds> for Limits {
    fn from(bounds: &Bounds) -> Self {
        Self {
            connections: bounds.connections,
            handshakes: bounds.handshakes,
            handshake: Duration::from_secs(bounds.handshake_s),
            times: Times {
                headers: Duration::from_secs(bounds.headers_s),
                idle: Duration::from_secs(bounds.idle_s),
                stall: Duration::from_secs(limits::DOWNLOAD_STALL_S),
            },
            drain: Duration::from_secs(bounds.drain_s),
        }
    }
}

/// A plane at work: what all its connections share.
struct Shared {
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    metrics: PlaneMetrics,
    connections: Arc<Connections>,
    drain: watch::Receiver<bool>,
    room: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
}

/// A place among the connections, and whether there is room to serve it.
struct Place {
    _permit: OwnedSemaphorePermit,
    busy: bool,
}

impl Plane {
    /// Accepts and serves until `drain` turns true, then lets requests under way end.
    pub async fn serve(self, listener: TcpListener, drain: watch::Receiver<bool>) {
        let shared = Arc::new(Shared::of(self, drain));
        let begin = |stream, address| {
            let place = shared.place()?;
            Some(converse(stream, address, place, shared.clone()))
        };
        welcome(listener, Ending::of(&shared), begin).await;
    }
}

impl Shared {
    fn of(plane: Plane, drain: watch::Receiver<bool>) -> Self {
        let Plane { tls, router, limits, metrics, connections } = plane;
        let room = Arc::new(Semaphore::new(limits.connections));
        let spare = Arc::new(Semaphore::new(limits.connections / 16 + 1));
        let handshakes = Arc::new(Semaphore::new(limits.handshakes));
        Self { tls, router, limits, metrics, connections, drain, room, spare, handshakes }
    }

    /// A place for one more connection; `None`, and counted, where there is none.
    fn place(&self) -> Option<Place> {
        if let Ok(permit) = self.room.clone().try_acquire_owned() {
            return Some(Place { _permit: permit, busy: false });
        }
        let spare = self.spare.clone().try_acquire_owned().ok();
        if spare.is_none() {
            self.metrics.shed("full");
        }
        spare.map(|permit| Place { _permit: permit, busy: true })
    }
}

/// How a listener ends.
struct Ending {
    drain: watch::Receiver<bool>,
    patience: Duration,
}

impl Ending {
    fn of(shared: &Shared) -> Self {
        Self { drain: shared.drain.clone(), patience: shared.limits.drain }
    }
}

/// Accepts until the drain, one task for each connection that `begin` takes; then lets them end.
async fn welcome<F>(listener: TcpListener, ending: Ending, begin: impl Fn(TcpStream, SocketAddr) -> Option<F>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = drained(&ending.drain) => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Some(conversation) = begin(stream, address) {
                    tasks.spawn(conversation);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(ending.patience, all_ended).await.is_err() {
        tracing::warn!("requests under way were cut off");
    }
}

/// One connection from its handshake to its end.
async fn converse(stream: TcpStream, address: SocketAddr, place: Place, shared: Arc<Shared>) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = &shared.tls else {
        shared.metrics.opened();
        return speak(stream, Peer::plain(address), place, shared.clone()).await;
    };
    let Some(turn) = turn(&shared.handshakes).await else { return shared.metrics.shed("queue") };
    let shaken = tokio::time::timeout(shared.limits.handshake, acceptor.accept(stream)).await;
    drop(turn);
    greet(shaken, address, place, shared.clone()).await;
}

/// A turn among the handshakes under way, in the order of asking; none within [`limits::HANDSHAKE_QUEUE_MS`].
async fn turn(handshakes: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let queue = Duration::from_millis(limits::HANDSHAKE_QUEUE_MS);
    tokio::time::timeout(queue, handshakes.clone().acquire_owned()).await.ok()?.ok()
}

/// Who a connection is, once its handshake has ended one way or the other.
async fn greet(
    shaken: Result<io::Result<TlsStream<TcpStream>>, Elapsed>,
    address: SocketAddr,
    place: Place,
    shared: Arc<Shared>,
) {
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a handshake failed");
            return shared.metrics.shed("handshake");
        }
        Err(_) => return shared.metrics.shed("slow-handshake"),
    };
    shared.metrics.opened();
    let peer = Peer::of(address, stream.get_ref().1);
    speak(stream, peer, place, shared).await;
}

/// Speaks HTTP on a connection that is ready for it.
async fn speak<S>(stream: S, peer: Peer, place: Place, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let registration = peer.leaf.as_ref().map(|leaf| shared.connections.register(leaf.fingerprint));
    let must_end = async {
        match &registration {
            Some(registration) => registration.must_end().await,
            None => std::future::pending().await,
        }
    };
    let activity = Activity::begin(shared.limits.times);
    let service = {
        let (activity, shared) = (activity.clone(), shared.clone());
        service_fn(move |request| answer(request, peer.clone(), place.busy, activity.clone(), shared.clone()))
    };
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        .max_header_size(limits::HEADERS_BYTES)
        .max_buf_size(limits::HEADERS_BYTES * 2);
    let connection = http.serve_connection(TokioIo::new(Watched::new(stream, activity.clone())), service);
    let timer = tokio::time::sleep(shared.limits.times.headers);
    tokio::pin!(connection, timer, must_end);
    let mut draining = false;
    let reason = loop {
        tokio::select! {
            biased;
            () = &mut must_end => break Some("cut-off"),
            () = drained(&shared.drain), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            end = connection::drive(connection.as_mut(), &activity, timer.as_mut()) => match end {
                Some(_) => break None,
                None => break Some("slow"),
            },
        }
    };
    if let Some(reason) = reason {
        shared.metrics.shed(reason);
        // An idle connection ends with a word, so that its other side need not guess; nothing else gets more time.
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(FAREWELL, connection).await;
    }
    shared.metrics.closed();
}

/// One request.
async fn answer(
    request: Request<Incoming>,
    peer: Peer,
    busy: bool,
    activity: Arc<Activity>,
    shared: Arc<Shared>,
) -> Result<Response<Answer>, Infallible> {
    activity.request();
    let response = if busy {
        shared.metrics.shed("busy");
        Problem::busy().closing().into_response()
    } else {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        shared.router.clone().oneshot(request).await?
    };
    shared.metrics.answered(response.status());
    Ok(response.map(|body| Answer::new(body, activity)))
}
