//! Who may speak to us: the accept loop of every plane, with its limits.
//!
//! TLS 1.3 is ended here and nowhere else, so that the certificate a connection proved is a fact of that connection
//! ([`Peer`]) and never a header. Everything an outsider may hold is bounded: handshakes, heads, idle connections,
//! unread answers, connections in all. Over the limit a few are told so, the rest are dropped. Nothing here knows a
//! route. Read next: [`Plane::serve`], [`connection`] for the clocks, `est` and `device` for the routes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use cordon_proto::limits;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
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

/// Pause after the system refused to accept a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that must end may take for its last word.
const FAREWELL: Duration = Duration::from_millis(100);

/// What a connection has proved. The accept loop puts it into every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The certificate that the handshake verified, if one was shown.
    pub leaf: Option<Arc<PeerLeaf>>,
}

/// One listener with what it serves.
pub struct Plane {
    /// Where connections come in.
    pub listener: TcpListener,
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

/// What every connection of a plane shares.
struct Shared {
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    metrics: PlaneMetrics,
    connections: Arc<Connections>,
    drain: watch::Receiver<bool>,
}

/// A place among the connections, and whether there is room to serve it.
struct Place {
    _permit: OwnedSemaphorePermit,
    busy: bool,
}

impl Plane {
    /// Accepts and serves until `drain` turns true, then lets requests under way end.
    pub async fn serve(self, drain: watch::Receiver<bool>) {
        let Self { listener, tls, router, limits, metrics, connections } = self;
        let room = Arc::new(Semaphore::new(limits.connections));
        let spare = Arc::new(Semaphore::new(limits.connections / 16 + 1));
        let handshakes = Arc::new(Semaphore::new(limits.handshakes));
        let shared = Arc::new(Shared { tls, router, limits, metrics, connections, drain });
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = drained(&shared.drain) => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
                accepted = accept(&listener, &handshakes) => accepted,
            };
            let (stream, address, handshake) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = place(&room, &spare) else {
                shared.metrics.shed("full");
                continue;
            };
            tasks.spawn(converse(stream, address, handshake, place, shared.clone()));
        }
        drop(listener);
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.drain, all_ended).await.is_err() {
            tracing::warn!("requests under way were cut off");
        }
    }
}

/// The next connection, once there is room for its handshake. Meanwhile the system queues.
async fn accept(
    listener: &TcpListener,
    handshakes: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let handshake = handshakes.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, handshake))
}

fn place(room: &Arc<Semaphore>, spare: &Arc<Semaphore>) -> Option<Place> {
    if let Ok(permit) = room.clone().try_acquire_owned() {
        return Some(Place { _permit: permit, busy: false });
    }
    spare.clone().try_acquire_owned().ok().map(|permit| Place { _permit: permit, busy: true })
}

/// One connection from its handshake to its end.
async fn converse(
    stream: TcpStream,
    address: SocketAddr,
    handshake: OwnedSemaphorePermit,
    place: Place,
    shared: Arc<Shared>,
) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = &shared.tls else {
        drop(handshake);
        shared.metrics.opened();
        return speak(stream, Peer { address, leaf: None }, place, shared.clone()).await;
    };
    let shaken = tokio::time::timeout(shared.limits.handshake, acceptor.accept(stream)).await;
    drop(handshake);
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a handshake failed");
            return shared.metrics.shed("handshake");
        }
        Err(_) => return shared.metrics.shed("slow-handshake"),
    };
    shared.metrics.opened();
    let shown = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let leaf = shown.and_then(PeerLeaf::of).map(Arc::new);
    if shown.is_some() && leaf.is_none() {
        return shared.metrics.shed("foreign-key");
    }
    speak(stream, Peer { address, leaf }, place, shared).await;
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
