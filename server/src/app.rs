//! The application: what all handlers share, and the one way state moves, `decide → commit`.
//!
//! [`App::commit`] stores a transaction and then brings everything in memory after it: the fleet view, the waiting
//! devices, and the connections of a device that lost our trust. Documents of devices are written in no other way.
//! What other servers commit comes in by `follow`, with the same consequences.
//! Orders and permits come from a [`Director`], the rollouts; without one no device is ever offered anything.
//!
//! Read next: `enrol`, `report`, `people` for the handlers' deeds; `serve` for how it is put together.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cordon_proto::checkin::{CheckinRequest, ContentOffer, OrderOffer, Permit};
use cordon_proto::ids::{DeviceId, Name, Sha256, TokenId};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Actor, Entry};
use cordon_server_core::change::{Commit, Draft, Malformed};
use cordon_server_core::device::{Leaf, State};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::audit_log::{AuditKey, AuditLog};
use crate::ca::Authority;
use crate::ca::crl::Lists;
use crate::care::Care;
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::Connections;
use crate::fleet::{Fleet, Followed, Member};
use crate::follow::Following;
use crate::http::rate::Rates;
use crate::knowledge::Knowledge;
use crate::leases::Leases;
use crate::metrics::Metrics;
use crate::online::OnlineKeys;
use crate::risk_book::RiskBook;
use crate::siem::Siem;
use crate::store::blobs::Blobs;
use crate::store::{Answer, Change, Committed, Cursor, Expected, Index, Key, Kind, Store, StoreError};
use crate::to_its_end::to_its_end;
use crate::token_book::TokenBook;
use crate::views::Views;
use crate::waits::Waits;

mod assets;
mod authority;
pub mod contacts;
mod doubt;
mod enrol;
mod farewell;
mod health;
mod keep;
mod machine;
mod people;
mod proofs;
mod report;
mod statement;
#[cfg(test)]
mod tests;

pub use assets::{AssetsError, Brought};
pub use authority::CrlError;
pub use doubt::Speaker;
pub use enrol::{EnrolError, Granted, Guesses, Line};
pub use people::{ActError, ApiToken, Listed, SignInLinks, Stated, TokenMade};
pub use proofs::{Proven, ProvenPage};
pub use report::{CheckinError, ImportError, ReceiptTaken};
pub use statement::StatementError;

/// Locks that keep requests with one token in a queue, so that a token for many devices does not become a race.
const TURNS: usize = 64;

/// What all handlers share.
pub struct App {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// Documents and telemetry.
    pub store: Arc<dyn Store>,
    /// Images.
    pub blobs: Blobs,
    /// The certificate authorities.
    pub ca: Arc<Authority>,
    /// The lists of void certificates.
    pub lists: Lists,
    /// The director's snapshot and timestamp keys.
    pub online: Arc<OnlineKeys>,
    /// The sealed audit log.
    pub audit: Arc<AuditLog>,
    /// The fleet in memory.
    pub fleet: Arc<Fleet>,
    /// What is known of weaknesses.
    pub knowledge: Arc<Knowledge>,
    /// Open device connections.
    pub connections: Arc<Connections>,
    /// Waiting devices.
    pub waits: Arc<Waits>,
    /// What is counted.
    pub metrics: Metrics,
    /// One-time links into the console.
    pub sign_in: SignInLinks,
    /// What the server knows of its own condition.
    pub care: Care,
    /// Whether the server drains. Long waits end when it does.
    pub drain: watch::Receiver<bool>,
    /// How fresh is what is held in memory.
    pub following: Following,
    /// Jobs that one server does at a time.
    pub leases: Leases,
    /// Requests of each device.
    pub device_rates: Rates<DeviceId>,
    /// How often a key that waits for a person may ask for news.
    pub asking_rates: Rates<Sha256>,
    /// Refused enrolments of each address.
    pub refusal_rates: Rates<IpAddr>,
    /// Credentials that meant nothing.
    pub guesses: Guesses,
    /// Which tokens there are.
    pub token_book: TokenBook,
    /// The site's risk model, and the record of what was said.
    pub risk: Arc<RiskBook>,
    /// The SIEM, if the settings name one.
    pub siem: Option<Arc<Siem>>,
    director: OnceLock<Arc<dyn Director>>,
    work: Arc<Semaphore>,
    turns: Vec<Arc<tokio::sync::Mutex<()>>>,
    reached: Mutex<HashMap<&'static str, SocketAddr>>,
}

/// What an [`App`] is made of.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// Documents and telemetry.
    pub store: Arc<dyn Store>,
    /// Images.
    pub blobs: Blobs,
    /// Files of feeds.
    pub feeds: Blobs,
    /// The certificate authorities.
    pub ca: Authority,
    /// The director's snapshot and timestamp keys.
    pub online: OnlineKeys,
    /// The key of the audit log.
    pub audit: AuditKey,
    /// The SIEM, if the settings name one.
    pub siem: Option<Siem>,
    /// Turns true when the server drains.
    pub drain: watch::Receiver<bool>,
}

/// What a device may be offered at a check-in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The order that applies, with the proof that the device is in its scope.
    pub order: Option<OrderOffer>,
    /// The fresh go.
    pub permit: Option<Permit>,
    /// The content that applies, and its version.
    pub content: Option<(ContentOffer, u64)>,
}

/// Who knows about orders and content. It can offer only what the owner signed; a device checks that itself.
pub trait Director: Send + Sync {
    /// What this device may be offered now. A permit that is returned was written down before.
    fn orders_for<'a>(
        &'a self,
        app: &'a App,
        member: &'a Member,
        request: &'a CheckinRequest,
        now: Timestamp,
    ) -> Answer<'a, Orders>;

    /// Version of the director's timestamp, 0 for none.
    fn director_version(&self) -> u64;

    /// Whether some release names this image, whether or not its bytes are here.
    fn knows_image(&self, sha256: &Sha256) -> bool;
}

/// A commit that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The caller drafted something that no store takes.
    #[error("the server drafted a commit beyond its bounds")]
    Malformed(#[from] Malformed),
    /// The store refused it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// Whether somebody else was faster, so that deciding again may succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Store(StoreError::Conflict(_)) => true,
            Self::Store(StoreError::Unavailable { .. } | StoreError::Corrupt(_) | StoreError::Full)
            | Self::Malformed(_) => false,
        }
    }
}

impl App {
    /// Puts an application together and rebuilds the fleet view from the store.
    pub async fn open(parts: Parts) -> Result<Self, StoreError> {
        let Parts { config, clock, store, blobs, feeds, ca, online, audit, siem, drain } = parts;
        let fleet = Arc::<Fleet>::default();
        // Asked before anything is read: whatever is committed from now on is followed, so nothing is missed.
        let begun = store.health().await?.revision;
        let app = Self {
            following: Following::new(store.is_shared(), begun),
            leases: Leases::new(
                store.clone(),
                clock.clone(),
                config.server_name.as_ref().unwrap_or(&config.host),
            ),
            device_rates: Rates::new(config.device.requests, config.device.requests_per_minute),
            asking_rates: Rates::new(config.device.requests, config.device.requests_per_minute),
            refusal_rates: Rates::new(config.enrolment.refusals, config.enrolment.refusals_per_minute),
            guesses: Guesses::default(),
            token_book: TokenBook::default(),
            risk: Arc::default(),
            siem: siem.map(Arc::new),
            work: Arc::new(Semaphore::new(config.limits.requests)),
            turns: std::iter::repeat_with(Arc::default).take(TURNS).collect(),
            audit: Arc::new(AuditLog::new(store.clone(), audit)),
            config,
            clock,
            store,
            blobs,
            ca: Arc::new(ca),
            lists: Lists::default(),
            online: Arc::new(online),
            director: OnceLock::new(),
            knowledge: Arc::new(Knowledge::new(feeds, fleet.holdings().clone())),
            fleet,
            connections: Arc::default(),
            waits: Arc::default(),
            metrics: Metrics::default(),
            sign_in: SignInLinks::default(),
            care: Care::default(),
            drain,
            reached: Mutex::default(),
        };
        app.rebuild().await?;
        Ok(app)
    }

    /// Takes in every document of the fleet that is stored, and says which there are. What is held stays meanwhile.
    pub async fn rebuild(&self) -> Result<(Followed, HashSet<Key>), StoreError> {
        let (mut followed, mut read) = (Followed::default(), HashSet::new());
        self.risk.load(&*self.store).await?;
        // Devices first: what belongs to one is kept at it.
        for kind in [Kind::Device, Kind::Inventory, Kind::Finding, Kind::Receipt] {
            let mut cursor = Some(Cursor::First);
            while let Some(from) = cursor {
                let page = self.store.scan(Index::All(kind), from, cordon_proto::limits::PAGE_ROWS).await?;
                for (key, row) in page.rows {
                    if !self.fleet.has(&key, row.revision) {
                        followed.add(self.fleet.follow(&[Change::Put(key.clone(), row.body)], row.revision));
                    }
                    read.insert(key);
                }
                cursor = page.next;
            }
        }
        self.knowledge.rebuild(&*self.store).await?;
        Ok((followed, read))
    }

    /// Writes one document with its entry in the journal, unless somebody else was faster; pages look again.
    pub(crate) async fn put(
        &self,
        (key, expected, body): (Key, Expected, Vec<u8>),
        (by, entry): (&Actor, Entry),
    ) -> Result<(), CommitError> {
        let draft = Commit::draft(self.clock.now(), by.clone());
        self.commit(draft.expect(key.clone(), expected).put(key, body).audit(entry)).await?;
        self.fleet.nudge();
        Ok(())
    }

    /// Stores a transaction and brings the views, the waiting devices and open connections after it. Both or neither: a
    /// caller that goes away meanwhile leaves nothing half done.
    pub async fn commit(&self, draft: Draft) -> Result<Committed, CommitError> {
        let commit = draft.finish()?;
        let changes = commit.changes().to_vec();
        let (store, views) = (self.store.clone(), self.views());
        let committed = to_its_end(async move {
            let committed = store.commit(commit).await?;
            if !committed.repeated {
                views.follow(&changes, committed.revision);
            }
            Ok::<_, StoreError>(committed)
        });
        Ok(committed.await?)
    }

    fn views(&self) -> Views {
        Views {
            fleet: self.fleet.clone(),
            knowledge: self.knowledge.clone(),
            risk: self.risk.clone(),
            connections: self.connections.clone(),
            waits: self.waits.clone(),
        }
    }

    /// Sets who knows about orders. Can be done once; later calls change nothing.
    pub fn set_director(&self, director: Arc<dyn Director>) {
        let _ = self.director.set(director);
    }

    /// Who knows about orders, if anybody.
    #[must_use]
    pub fn director(&self) -> Option<&Arc<dyn Director>> {
        self.director.get()
    }

    /// What this device may be offered now.
    pub async fn orders_for(
        &self,
        member: &Member,
        request: &CheckinRequest,
        now: Timestamp,
    ) -> Result<Orders, StoreError> {
        match self.director() {
            Some(director) => director.orders_for(self, member, request, now).await,
            None => Ok(Orders::default()),
        }
    }

    /// SHA-256 of the bundle that `cacerts` answers with.
    #[must_use]
    pub fn ca_bundle(&self) -> Sha256 {
        self.ca.standing().digest()
    }

    /// A place among the requests that are worked on; none if the server is busy.
    #[must_use]
    pub fn begin_work(&self) -> Option<OwnedSemaphorePermit> {
        self.work.clone().try_acquire_owned().ok()
    }

    /// Whether the server is draining.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }

    /// Waits until the server drains.
    pub async fn drained(&self) {
        drained(&self.drain).await;
    }

    /// Notes where a plane really listens, port 0 resolved.
    pub fn reached_at(&self, plane: &'static str, address: SocketAddr) {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).insert(plane, address);
    }

    /// Where a plane (`enrolment`, `device`, `operator`) really listens, once it does.
    #[must_use]
    pub fn address(&self, plane: &str) -> Option<SocketAddr> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).get(plane).copied()
    }

    /// Devices by state and certificates seen, as the metrics want them.
    pub fn gauge(&self) {
        let counts = self.fleet.count();
        let states = [
            State::Listed,
            State::Expected,
            State::Pending,
            State::Active,
            State::Quarantined,
            State::Retired,
            State::Lost,
        ];
        let count = |state| counts.get(&state).map_or(0, |count| i64::try_from(*count).unwrap_or(i64::MAX));
        self.metrics.view(self.following.age(), self.leases.held());
        self.metrics.gauge(states.map(|state| (state.word(), count(state))), self.connections.distinct());
        let audit = self.audit.standing();
        self.metrics.audit(&audit, self.clock.now());
        self.metrics.feeds(&self.knowledge.seen(self.clock.now()));
        for ca in self.ca.standing().in_force() {
            let (issuing, root) = ca.ends();
            self.metrics.authority(&ca.key_identifier(), issuing, root);
        }
    }

    /// The device of a certificate that is not held here: it enrolled at another server a moment ago, or the certificate
    /// is so old that the device's document names it no more. To say that it is unknown would let it drop its identity.
    pub(crate) async fn look_up(&self, leaf: &Sha256) -> Result<Option<Arc<Member>>, StoreError> {
        let row = self.store.get(Key::Leaf(*leaf)).await?;
        let Some(found) = row.and_then(|row| Leaf::from_body(&row.body)) else { return Ok(None) };
        if self.following.is_shared() {
            let key = Key::Device(found.device);
            if let Some(row) = self.store.get(key.clone()).await? {
                self.after(self.fleet.follow(&[Change::Put(key, row.body)], row.revision));
            }
        }
        Ok(self.fleet.get(found.device))
    }

    /// Does what follows from a change for those outside: ends connections, wakes devices.
    pub(crate) fn after(&self, followed: Followed) {
        self.views().after(followed);
    }

    /// The queue of requests that would change the same thing.
    fn turn(&self, token: &TokenId) -> Arc<tokio::sync::Mutex<()>> {
        let [first, ..] = token.as_bytes();
        let place = usize::from(*first) % TURNS;
        self.turns.get(place).cloned().unwrap_or_default()
    }
}

/// Waits until a server drains, or is gone.
pub(crate) async fn drained(drain: &watch::Receiver<bool>) {
    let _ = drain.clone().wait_for(|drain| *drain).await;
}

/// A job of the server as an actor.
pub(crate) fn server(job: &str) -> Actor {
    Actor::Server(name(job))
}

/// A name of our own, checked when it was written.
pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("names in this program are lower-case words")
}

/// The document under `Key::DeviceBySerial`.
fn serial_row(key: &Key, body: &[u8]) -> Result<DeviceId, StoreError> {
    body.try_into().map(DeviceId::from_bytes).map_err(|_| StoreError::Corrupt(key.to_string()))
}
