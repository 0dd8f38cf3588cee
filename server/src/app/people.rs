//! What people do to identities: make and take back tokens, quarantine, release, retire; and how the first person
//! gets in.
//!
//! Every act names its actor and its reason in the journal, in its own transaction. Secrets leave once, at the moment
//! they are made; what is kept is their hash. Sign-in links live in memory: a restart ends them. Read next: `tokens`,
//! `approvals`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cordon_proto::ids::{DeviceId, Text, TokenId};
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::{NotAsking, OrderRefused, Token};
use cordon_server_core::approval::ModelUnknown;
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Commit, Draft};
use cordon_server_core::device::{Act, Device, NotPossible, Placement};
use serde::{Deserialize, Serialize};

use super::{App, CommitError, name, serial_row};
use crate::chance;

mod approvals;
mod tokens;

use crate::store::{Expected, Key, StoreError};
pub use cordon_server_core::approval::Stated;
pub use tokens::Listed;

/// How often an act decides anew when others were faster.
const TRIES: u32 = 8;
/// Seconds a sign-in link lives.
const SIGN_IN_S: i64 = 900;
/// Sign-in links that can wait to be used.
const SIGN_INS: usize = 16;

/// Why an act did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such device or token.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// The device's state does not allow it.
    #[error(transparent)]
    NotPossible(#[from] NotPossible),
    /// The token cannot be made like that.
    #[error(transparent)]
    Order(#[from] OrderRefused),
    /// It is not this key that asks for the device's identity now.
    #[error(transparent)]
    NotAsking(#[from] NotAsking),
    /// A device whose model nobody knows cannot come in.
    #[error(transparent)]
    ModelUnknown(#[from] ModelUnknown),
    /// The model and serial that a person stated belong to another device.
    #[error(
        "a device of this model with this serial is known already: if this is the same one, make it ask under its model \
         and serial, and approve that"
    )]
    SerialTaken,
    /// There is nothing to clear.
    #[error("there is no doubt about this device's identity; somebody may have been faster")]
    NoDoubt,
    /// Nobody may have the same token twice.
    #[error("a token with this id exists already and was made for something else: draw a new secret")]
    TokenExists,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A token and, this once, its secret.
pub struct TokenMade {
    /// What is kept of it.
    pub id: TokenId,
    /// The secret: shown once, to whoever asked.
    pub secret: String,
    /// What it is for.
    pub token: Token,
}

/// A person's or a tool's key to the operator plane, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Version of this document.
    pub v: u32,
    /// What people call it.
    pub name: Text,
    /// What it may do: `*`, or names of scopes.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// From then on it opens nothing; `None` for the one that `init` wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl ApiToken {
    /// The bytes under `Key::ApiToken`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, integers and lists are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|token: &Self| token.v == 1)
    }

    /// Whether it opens what `scope` names, now.
    #[must_use]
    pub fn opens(&self, scope: &str, now: Timestamp) -> bool {
        let alive = self.expires.is_none_or(|expires| now < expires);
        alive && self.scopes.iter().any(|held| held == "*" || held == scope)
    }
}

/// One-time links into the console.
#[derive(Debug, Default)]
pub struct SignInLinks {
    open: Mutex<BTreeMap<TokenId, Timestamp>>,
}

impl SignInLinks {
    /// Makes the secret of a link that opens the console once within a quarter of an hour.
    #[must_use]
    pub fn make(&self, now: Timestamp) -> String {
        let secret = chance::secret();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, expires| *expires > now);
        while open.len() >= SIGN_INS {
            open.pop_first();
        }
        open.insert(TokenId::of(&secret), now.plus_seconds(SIGN_IN_S));
        secret
    }

    /// Whether this secret opens the console now; it never does again.
    #[must_use]
    pub fn redeem(&self, secret: &str, now: Timestamp) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&TokenId::of(secret)).is_some_and(|expires| now < expires)
    }
}

/// What a person's decision comes to, on what is stored at this moment.
struct Decided<T> {
    /// What is to be written; nothing where it is so already.
    draft: Option<Draft>,
    /// What is told once that is written.
    told: T,
}

impl<T> Decided<T> {
    fn commit(draft: Draft, told: T) -> Self {
        Self { draft: Some(draft), told }
    }

    fn already(told: T) -> Self {
        Self { draft: None, told }
    }
}

impl App {
    /// The one-time link that opens the console, once its listener is up.
    #[must_use]
    pub fn sign_in_link(&self) -> Option<String> {
        let address = self.address("operator")?;
        let scheme = if address.ip().is_loopback() { "http" } else { "https" };
        let secret = self.sign_in.make(self.clock.now());
        Some(format!("{scheme}://{address}/sign-in/{secret}"))
    }

    /// Moves a device's identity. When this returns, its live connections have been told to end if it is cut off.
    pub async fn act(
        &self,
        device: DeviceId,
        act: Act,
        reason: Text,
        actor: &Actor,
    ) -> Result<Device, ActError> {
        let decide = |known: &Device, now| {
            let after = known.after(act, reason.clone(), now)?;
            let entry = Entry {
                reason: Some(reason.clone()),
                before: Some(Summary::of(known.state.word())),
                after: Some(Summary::of(after.state.word())),
                ..Entry::new(name(act.action()), Text::lossy(&format!("device:{device}")))
            };
            Ok((after, entry))
        };
        self.changed(device, actor, decide).await
    }

    /// Moves a device to another place, or says anew what it is for.
    pub async fn place(
        &self,
        device: DeviceId,
        placement: Placement,
        reason: Text,
        actor: &Actor,
    ) -> Result<Device, ActError> {
        let words = |device: &Device| format!("{}, {}", device.placement.site, device.placement.ward);
        let decide = |known: &Device, _now| {
            let after = Device { placement: placement.clone(), ..known.clone() };
            let entry = Entry {
                reason: Some(reason.clone()),
                before: Some(Summary::of(&words(known))),
                after: Some(Summary::of(&words(&after))),
                ..Entry::new(name("device.place"), Text::lossy(&format!("device:{device}")))
            };
            Ok((after, entry))
        };
        self.changed(device, actor, decide).await
    }

    /// Changes one device by a person's decision, and tells the journal.
    pub(super) async fn changed(
        &self,
        device: DeviceId,
        actor: &Actor,
        decide: impl Fn(&Device, Timestamp) -> Result<(Device, Entry), ActError>,
    ) -> Result<Device, ActError> {
        let decided = || async {
            let now = self.clock.now();
            let (known, row) = self.stored_device(device).await?.ok_or(ActError::Unknown("device"))?;
            let (after, entry) = decide(&known, now)?;
            let key = Key::Device(device);
            let draft = Commit::draft(now, actor.clone())
                .expect(key.clone(), row)
                .put(key, after.to_body())
                .audit(entry);
            Ok::<_, ActError>(Decided::commit(draft, after))
        };
        self.decided(Key::Device(device), decided).await
    }

    /// Takes a person's decision, and anew as long as somebody else was faster. `about` is what they were faster with.
    async fn decided<T, F>(&self, about: Key, decide: impl Fn() -> F) -> Result<T, ActError>
    where
        F: Future<Output = Result<Decided<T>, ActError>>,
    {
        for _ in 0..TRIES {
            let Decided { draft, told } = decide().await?;
            let Some(draft) = draft else { return Ok(told) };
            match self.commit(draft).await {
                Ok(_) => return Ok(told),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(about).into())
    }

    /// The device of a model with this serial, as stored.
    pub async fn device_by_serial(&self, model: Text, serial: Text) -> Result<Option<DeviceId>, StoreError> {
        let key = Key::DeviceBySerial { model, serial };
        let row = self.store.get(key.clone()).await?;
        row.map(|row| serial_row(&key, &row.body)).transpose()
    }

    /// A device as stored, and what a commit about it takes for granted.
    pub(super) async fn stored_device(
        &self,
        device: DeviceId,
    ) -> Result<Option<(Device, Expected)>, StoreError> {
        let key = Key::Device(device);
        let Some(row) = self.store.get(key.clone()).await? else { return Ok(None) };
        let read = Device::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
        Ok(Some((read, Expected::of(Some(&row)))))
    }
}
