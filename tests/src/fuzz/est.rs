//! The enrolment plane in this process, for the driver: the real routes over a store in memory, without TLS.
//!
//! An input is a request as text: method and path, headers, an empty line, the body. Whatever certificate comes out of
//! it must be a leaf of ours. The server lives as long as the process and remembers what it answered, so a failure may
//! need what came before it; the one sent last is the one that is printed.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Request, header};
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::http::{Peer, est};
use cordon_server::init;
use cordon_server::serve::Server;
use cordon_server::tls::clients::Clients;
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::device::{DeviceKind, Placement};
use cordon_server_core::risk::facts::{Impact, Reach};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use super::leaf;

/// The model that the token is for.
pub const MODEL: &str = "VP-3";

/// The plane with all that keeps it alive.
struct Plane {
    runtime: Runtime,
    server: Server,
    router: Router,
    asked: u32,
    _folder: tempfile::TempDir,
}

static PLANE: LazyLock<Mutex<Plane>> = LazyLock::new(|| Mutex::new(Plane::start()));

/// The secret of a token that lets devices in, as long as it lasts.
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let plane = PLANE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = Text::lossy;
    let order = TokenOrder {
        manufacturer: None,
        model: text(MODEL),
        binding: Binding::Count { count: limits::TOKEN_COUNT },
        placement: Placement {
            site: text("St. Anna"),
            ward: text("ICU 2"),
            kind: DeviceKind::InfusionPump,
            impact: Impact::default(),
            reach: Reach::default(),
            tags: Vec::new(),
        },
        hours: 24,
    };
    let made = plane.runtime.block_on(plane.server.app.make_token(order, &Actor::Person(text("fuzz"))));
    made.unwrap_or_else(|error| panic!("no token: {error}")).secret
});

impl Plane {
    fn start() -> Self {
        let started = || -> anyhow::Result<Self> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let folder = tempfile::Builder::new().prefix("cordon-fuzz-").tempdir()?;
            let options = init::Options {
                folder: folder.path().to_owned(),
                admin_token_file: None,
                host: "localhost".to_owned(),
                example_keys: false,
                store: init::STORE.to_owned(),
                ca_key: None,
            };
            let clock = Clock::system();
            let server = runtime.block_on(async {
                let laid = init::run(&options, clock.now()).await?;
                let ports =
                    ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
                let sets: Vec<String> = ports.into_iter().chain(["store=memory".to_owned()]).collect();
                let config = Config::load(&laid.config, &sets)?;
                anyhow::Ok(Server::start(config, clock).await?)
            })?;
            let authority = server.app.ca.clone();
            let clients = Arc::new(Clients::load(&server.app.config, move || authority.anchors())?);
            let router = est::router(server.app.clone(), clients);
            Ok(Self { runtime, server, router, asked: 0, _folder: folder })
        };
        started().unwrap_or_else(|error| panic!("the server of the fuzz driver does not start: {error:#}"))
    }

    /// Answers one request; each comes from an address of its own, so that none is turned away for the others' sake.
    fn ask(&mut self, request: Request<Body>) -> (u16, String) {
        self.asked = self.asked.wrapping_add(1);
        let address = SocketAddr::from((self.asked.to_be_bytes(), 4000));
        let router = self.router.clone().layer(Extension(Peer {
            address,
            leaf: None,
            shown: Arc::default(),
            exporter: None,
        }));
        self.runtime.block_on(async {
            let Ok(response) = router.oneshot(request).await;
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
            (status, body.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default())
        })
    }
}

/// The header that brings the token.
#[must_use]
pub fn authorization() -> String {
    format!("Basic {}", STANDARD.encode(format!("x:{}", *TOKEN)))
}

/// Feeds a request; says whether a certificate came out.
///
/// # Panics
/// If one came out that is no leaf of ours, or the server failed.
#[must_use]
pub fn run(input: &[u8]) -> bool {
    let Some(request) = request(input) else { return false };
    let enrols = request.uri().path().ends_with("enroll");
    let (status, body) = PLANE.lock().unwrap_or_else(PoisonError::into_inner).ask(request);
    assert_ne!(status, 500, "the server failed: {body}");
    if status != 200 || !enrols {
        return false;
    }
    let der = STANDARD.decode(body.trim_end()).expect("one line of base64");
    let leaves = leaf::certificates_in(&der);
    assert_eq!(leaves.len(), 1, "one certificate");
    leaves.iter().for_each(|leaf| leaf::check(leaf, None, None));
    true
}

fn request(input: &[u8]) -> Option<Request<Body>> {
    let end = input.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (std::str::from_utf8(input.get(..end)?).ok()?, input.get(end + 2..)?);
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        if !name.eq_ignore_ascii_case("content-length") {
            request = request.header(name, value);
        }
    }
    request.header(header::CONTENT_LENGTH, body.len()).body(Body::from(body.to_vec())).ok()
}
