//! `cordon-server serve`: puts the parts together, listens, and drains when it is told to stop.
//!
//! It starts whole or not at all: settings, keys, store and all three listeners first, then the ready file. Jobs run
//! beside the planes and end with them. Nothing is decided here. Read next: [`Server::start`], which tests use too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::{Extension, Router};
use cordon_proto::enrol;
use cordon_proto::ids::Name;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Parts};
use crate::audit_log::{AUDIT_KEY, AuditKey, AuditKeyError};
use crate::ca::authority::warn_of_open_keys;
use crate::ca::leftovers::tidy_at_start;
use crate::ca::{Authority, CaError};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, ControlError};
use crate::example;
use crate::files::{self, FileError};
use crate::follow;
use crate::http::console::live::Live;
use crate::http::operator::Operator;
use crate::http::shared_port::SharedPort;
use crate::http::{self, Limits, Plane, device, est, probes};
use crate::init;
use crate::jobs;
use crate::knowledge;
use crate::online::{OnlineError, OnlineKeys};
use crate::repositories::Repositories;
use crate::rollouts::{RolloutError, Rollouts};
use crate::siem::{self, Siem, SiemError};
use crate::store::blobs::{BlobError, Blobs};
use crate::store::open::{self, StoreOpenError, Terms};
use crate::store::{Store, StoreError};
use crate::tls::clients::Clients;
use crate::tls::{self, ClientCertificate, ServerCertificate, TlsError};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Keys that the whole world knows.
    #[error(
        "the director's online keys, or that of the audit log, are throw-away ones of keys-example, which everybody has: make your own with \
         `cordon-server init` in a new folder; for a trial, set `allow_example_keys = true` and every `listen` to a \
         loopback address"
    )]
    ExampleKeys,
    /// A root in the store that gives a role to such a key.
    #[error(
        "the published root {0} gives a role to a key of keys-example, which everybody has: publish a root of your \
         own keys, or, for a trial, set `allow_example_keys = true` and every `listen` to a loopback address"
    )]
    ExampleRoot(String),
    /// A feed that everybody could sign.
    #[error(
        "`feeds.keys` names a key of keys-example for the feed {0}, and everybody has its private half: make your own with \
         `cordonctl keys generate` and name that, or, for a trial, set `allow_example_keys = true` and every `listen` to a \
         loopback address"
    )]
    ExampleFeedKey(Name),
    /// A listener that would speak without encryption to the network, or cannot be had.
    #[error(
        "cannot listen on {address} for the {plane} plane: is another program there, or is the address not ours?"
    )]
    Listen {
        /// The plane.
        plane: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// What is in the store.
    #[error("the store cannot be read")]
    Contents(#[from] StoreError),
    /// Orders and rollouts in it.
    #[error("the rollouts in the store cannot be read")]
    Rollouts(#[from] RolloutError),
    /// Images.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The way to the SIEM.
    #[error(transparent)]
    Siem(#[from] SiemError),
    /// The online keys.
    #[error(transparent)]
    Online(#[from] OnlineError),
    /// The key of the audit log.
    #[error(transparent)]
    Audit(#[from] AuditKeyError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The ready file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Signals.
    #[error("the system gives no signals")]
    Signal(#[source] std::io::Error),
    /// A plane or a job ended by itself.
    #[error("a part of the server ended by itself, so all of it stops: see the log, and start it again")]
    Part,
}

/// What a ready file says: where the planes listen, two of them perhaps in one place, and the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// The enrolment plane.
    pub enrolment: SocketAddr,
    /// The device plane.
    pub device: SocketAddr,
    /// The operator plane.
    pub operator: SocketAddr,
    /// The process.
    pub pid: u32,
}

/// A server that listens.
pub struct Server {
    /// What its handlers share.
    pub app: Arc<App>,
    /// Where it listens.
    pub ready: Ready,
    drain: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// How the command line wants a server to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// File that says where the planes listen, once they do.
    pub ready_file: Option<PathBuf>,
    /// Whether to print a one-time link into the console.
    pub print_sign_in: bool,
}

/// Runs a server until SIGTERM or SIGINT, then drains.
pub async fn run(config: Config, options: &Options) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    if let Some(file) = &options.ready_file {
        // Whoever waits for it must not read an earlier server's.
        let _ = std::fs::remove_file(file);
    }
    let mut server = Server::start(config, Clock::system()).await?;
    if let Some(file) = &options.ready_file {
        let text = serde_json::to_vec(&server.ready).expect("addresses are always JSON");
        files::replace(file, &text)?;
    }
    tracing::info!(
        enrolment = %server.ready.enrolment, device = %server.ready.device, operator = %server.ready.operator,
        devices = server.app.fleet.all().len(), "listening"
    );
    if let Some(link) = server.app.sign_in_link().filter(|_| options.print_sign_in) {
        use std::io::Write;
        let _ = writeln!(std::io::stdout().lock(), "{link}");
    }
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        // Each runs until the drain; a server without one of them must not look alive.
        _ = server.tasks.join_next() => Err(ServeError::Part),
    };
    tracing::info!("draining");
    server.stop().await;
    outcome
}

/// The key of the audit log; a folder of an earlier version gets one now.
fn audit_key(config: &Config) -> Result<AuditKey, ServeError> {
    let (key, made) = AuditKey::load_or_make(&config.path(&config.keys))?;
    if made {
        tracing::warn!(
            public = key.document(),
            "a key for the audit log was made, {AUDIT_KEY} beside the online keys: put it into the backup"
        );
    }
    Ok(key)
}

/// Opens the store that the settings name.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreOpenError> {
    let terms = Terms { reserve_bytes: Some(config.reserve_bytes()), ..Terms::default() };
    open::open(&config.store, &config.folder, terms).await
}

/// Puts a server together over a store that is open: all of it but the planes and the jobs. It drains once the sender says
/// so; whoever takes it like this keeps the time and does the jobs.
pub async fn assemble(
    store: Arc<dyn Store>,
    config: Config,
    clock: Clock,
) -> Result<(Operator, watch::Sender<bool>), ServeError> {
    let online = OnlineKeys::load(&config.path(&config.keys))?;
    let is_trial = config.allow_example_keys && config.is_loopback_only();
    let audit = audit_key(&config)?;
    if (online.are_examples() || audit.is_example()) && !is_trial {
        return Err(ServeError::ExampleKeys);
    }
    if let Some(feed) = config.feeds.signed_by_anybody().filter(|_| !is_trial) {
        return Err(ServeError::ExampleFeedKey(feed.clone()));
    }
    let ca = Authority::open(&config)?;
    tidy_at_start(&ca, &config.folder.join(init::CA), clock.now());
    if !is_trial {
        warn_of_open_keys(&ca);
    }
    if let Some(root) = example::published_root(&*store).await?.filter(|_| !is_trial) {
        return Err(ServeError::ExampleRoot(root));
    }
    let folder = config.path(&config.blobs);
    let blobs = open_files(&config, folder.clone(), store.is_shared()).await?;
    let feeds = open_files(&config, folder.join(knowledge::FOLDER), store.is_shared()).await?;
    let (drain, draining) = watch::channel(false);
    let siem = Siem::load(&config)?;
    let parts = Parts { config, clock, store, blobs, feeds, ca, online, audit, siem, drain: draining };
    let app = Arc::new(App::open(parts).await?);
    app.knowledge.sweep(&app).await;
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    let rollouts = Rollouts::load(app.store.clone(), repositories.clone(), app.clock.now()).await?;
    rollouts.belong_to(&app);
    app.set_director(Arc::new(rollouts.clone()));
    Ok((Operator { app, rollouts, repositories }, drain))
}

/// A folder of files by their hash.
async fn open_files(config: &Config, folder: PathBuf, is_shared: bool) -> Result<Blobs, BlobError> {
    let files = if is_shared { Blobs::open_beside(folder).await? } else { Blobs::open(folder).await? };
    Ok(files.with_reserve(config.reserve_bytes()))
}

impl Server {
    /// Puts a server together and listens.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, ServeError> {
        let store = open_store(&config).await?;
        Self::start_over(store, config, clock).await
    }

    /// The same over a store that is open.
    pub async fn start_over(store: Arc<dyn Store>, config: Config, clock: Clock) -> Result<Self, ServeError> {
        let (operator, drain) = assemble(store, config, clock).await?;
        let app = operator.app.clone();
        let control = control::bind(&app.config.path(&app.config.control)).await?;
        let names = app.config.certificate_names();
        let certificate = ServerCertificate::make(&app.ca.for_server(), &names, app.clock.now())?;
        let mut server = Self {
            ready: Ready {
                enrolment: app.config.enrolment.listen,
                device: app.config.device.listen,
                operator: app.config.operator.listen,
                pid: std::process::id(),
            },
            app: app.clone(),
            drain,
            tasks: JoinSet::new(),
        };
        server.planes(&certificate, operator.clone()).await?;
        server.tasks.spawn(control::serve(control, app));
        server.tasks.spawn(follow::run(operator.clone()));
        server.tasks.spawn(knowledge::run(operator.app.clone()));
        server.tasks.spawn(siem::run(operator.app.clone()));
        jobs::start(&mut server.tasks, &operator, certificate);
        Ok(server)
    }

    /// Stops accepting, lets requests under way end, and writes down what is only in memory.
    pub async fn stop(mut self) {
        let _ = self.drain.send(true);
        while self.tasks.join_next().await.is_some() {}
        if let Err(error) = self.app.write_down().await {
            tracing::error!(error = crate::log::chain(&error), "the last reports could not be written down");
        }
        if let Err(error) = self.app.write_guesses().await {
            tracing::error!(error = crate::log::chain(&error), "the last guesses could not be written down");
        }
        self.app.leases.release_all().await;
    }

    async fn planes(&mut self, certificate: &ServerCertificate, people: Operator) -> Result<(), ServeError> {
        let app = self.app.clone();
        let authority = app.ca.clone();
        let clients = Arc::new(Clients::load(&app.config, move || authority.anchors())?);
        let tls12 = app.config.enrolment.tls12;
        let enrolment = tls::enrolment(certificate.with_root(), clients.clone(), tls12)?;
        let devices = tls::config(&app.ca, certificate.same(), ClientCertificate::Required)?;
        let operator = match app.config.operator.listen.ip().is_loopback() {
            true => None,
            false => Some(tls::config(&app.ca, certificate.with_root(), ClientCertificate::None)?),
        };
        let enrolment = self.plane("enrolment", Some(enrolment.into()), est::router(app.clone(), clients));
        let devices = self.plane("device", Some(devices.into()), device::router(app.clone()));
        if app.config.shares_port() {
            let (listener, reached) = self.listener("device", self.ready.device).await?;
            self.app.reached_at("enrolment", reached);
            (self.ready.enrolment, self.ready.device) = (reached, reached);
            let port = SharedPort { name: enrol::shared_name(&app.config.host), enrolment, devices };
            self.tasks.spawn(port.serve(listener, self.app.drain.clone()));
        } else {
            self.ready.enrolment = self.open("enrolment", self.ready.enrolment, enrolment).await?;
            self.ready.device = self.open("device", self.ready.device, devices).await?;
        }
        let people = self.plane("operator", operator.map(TlsAcceptor::from), operator_router(people).0);
        self.ready.operator = self.open("operator", self.ready.operator, people).await?;
        Ok(())
    }

    fn plane(&self, name: &'static str, tls: Option<TlsAcceptor>, router: Router) -> Plane {
        Plane {
            tls,
            router,
            limits: Limits::from(&self.app.config.limits),
            metrics: self.app.metrics.plane(name),
            connections: self.app.connections.clone(),
        }
    }

    /// A plane with a listener of its own.
    async fn open(
        &mut self,
        name: &'static str,
        address: SocketAddr,
        plane: Plane,
    ) -> Result<SocketAddr, ServeError> {
        let (listener, reached) = self.listener(name, address).await?;
        self.tasks.spawn(plane.serve(listener, self.app.drain.clone()));
        Ok(reached)
    }

    async fn listener(
        &self,
        plane: &'static str,
        address: SocketAddr,
    ) -> Result<(TcpListener, SocketAddr), ServeError> {
        let failed = |source| ServeError::Listen { plane, address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let reached = listener.local_addr().map_err(failed)?;
        self.app.reached_at(plane, reached);
        Ok((listener, reached))
    }
}

/// The operator plane: probes, API and console on one listener. What neither knows is answered by the console.
/// With it comes the console's eye for the live stream.
pub(crate) fn operator_router(operator: Operator) -> (Router, Live) {
    let (console, live) = http::console::router(operator.clone());
    let router = probes::router(operator.app.clone())
        .merge(http::operator::router(operator))
        .merge(console)
        .layer(Extension(live.clone()));
    (router, live)
}
