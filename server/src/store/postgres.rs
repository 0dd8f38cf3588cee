//! PostgreSQL for several servers side by side: the five maps as tables, and one transaction for a group of writes.
//!
//! Every group is decided and written under one lock of the whole store, so commits are in one order over all servers and
//! whoever follows the feed sees no gap; group commit makes that cheap. The lock ends with its connection, and a server
//! that freezes while it holds it is cut off after five seconds. Reads are snapshots of their own and wait for nobody.
//! After a failure the next call connects again. Nothing here may be called on an async thread. Read next:
//! [`Postgres::open`] for what is refused, `session` for the connection, `days` for partitions.

mod days;
mod hints;
mod moment;
mod pool;
mod schema;
mod session;
mod settings;
mod sql;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cordon_server_core::change::Revision;
use sha2::{Digest, Sha256 as Hasher};

use self::days::Days;
use self::hints::{Hear, Listener};
use self::moment::{Held, Moment, Writes};
use self::pool::Pool;
pub use self::schema::MigrateError;
use self::schema::STEPS;
pub use self::session::{Failure, Refusal};
use self::session::{Parameter, Session, Terms};
use self::settings::Settings;
pub use self::settings::SettingsError;
use super::StoreError;
use super::kv::{Condition, Decide, Gather, Kv, KvStore, Space, View, WriteBatch};

/// How long a writer may hold the store and say nothing: a server of ours that froze is cut off then.
const WRITER_SILENCE: &str = "5s";
/// How long a reader may keep its moment and say nothing: a backup may wait for the disk that it is written to.
const READER_SILENCE: &str = "10min";

/// How a store on PostgreSQL is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How writes are gathered.
    pub gather: Gather,
    /// Connections for readers, at most; two more write and listen.
    pub readers: usize,
    /// Accepts a server that may lose commits. Only for the power cuts that must catch it; no configuration reaches it.
    #[doc(hidden)]
    pub unsynced: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { gather: Gather::default(), readers: 8, unsynced: false }
    }
}

/// Why a store on PostgreSQL cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The text.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The server.
    #[error("PostgreSQL cannot be used: see that it runs and lets the server's user in")]
    Unreachable(#[source] Failure),
    /// The server, and how it is set.
    #[error(transparent)]
    Refused(Refusal),
    /// The tables.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// What is in them.
    #[error("the store on PostgreSQL cannot be used")]
    Unusable(#[source] StoreError),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Refused(refusal),
            failure => Self::Unreachable(failure),
        }
    }
}

/// The PostgreSQL engine.
pub struct Postgres {
    settings: Settings,
    terms: Terms,
    lock: String,
    channel: String,
    pool: Pool,
    writer: Mutex<Writing>,
    listener: Mutex<Option<Listener>>,
}

/// The store's own numbers, as they stand in its table.
type Numbers = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the one writer keeps.
#[derive(Default)]
struct Writing {
    session: Option<Session>,
    days: Days,
}

impl Postgres {
    /// Opens or makes the store that the text behind `postgres:` names; paths in it start at `folder`. Blocks, and not
    /// on an async thread.
    pub fn open(text: &str, folder: &Path, options: Options) -> Result<KvStore<Self>, OpenError> {
        let engine = Self::engine(text, folder, options)?;
        KvStore::open(engine, options.gather).map_err(OpenError::Unusable)
    }

    /// The engine alone, its tables up to date: for tests and measurements of what is above it.
    pub fn engine(text: &str, folder: &Path, options: Options) -> Result<Self, OpenError> {
        let settings = Settings::parse(text, folder)?;
        let terms = Terms { unsynced: options.unsynced, silence: WRITER_SILENCE };
        let lock = format!("SELECT pg_advisory_xact_lock({})", lock_of(&settings.schema));
        let mut session = Session::connect(&settings, terms)?;
        schema::migrate(&mut session, &settings.schema, &format!("BEGIN; {lock}"), STEPS)?;
        let writer = Writing { session: Some(session), days: Days::default() };
        Ok(Self {
            lock,
            channel: hints::channel(&settings.schema),
            pool: Pool::new(settings.clone(), Terms { silence: READER_SILENCE, ..terms }, options.readers),
            settings,
            terms,
            writer: Mutex::new(writer),
            listener: Mutex::new(None),
        })
    }

    /// Begins a transaction that holds the store, and reads the store's numbers. An old connection may have died of age;
    /// then nothing has happened yet, and a new one is made.
    fn hold(&self, writing: &mut Writing) -> Result<(Session, Numbers), Failure> {
        if let Some(mut session) = writing.session.take() {
            match self.begin(&mut session) {
                Ok(own) => return Ok((session, own)),
                Err(failure) if failure.is_of_the_connection() => {}
                Err(failure) => return Err(failure),
            }
        }
        let mut session = Session::connect(&self.settings, self.terms)?;
        let own = self.begin(&mut session)?;
        Ok((session, own))
    }

    fn begin(&self, session: &mut Session) -> Result<Numbers, Failure> {
        session.ahead(format!("BEGIN; {}", self.lock));
        let rows = session.query(sql::OWN, &[])?;
        let pairs = rows.iter().map(moment::pair);
        pairs.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
    }

    /// Writes a batch and commits, all in the transaction that holds the store.
    fn write_held(&self, session: &mut Session, days: &mut Days, batch: &WriteBatch) -> Result<(), Failure> {
        let made = days.ready(session, &self.settings.schema, batch)?;
        let writes = Writes::of(batch);
        let mut statements = writes.statements();
        let told = followed(batch).map(|revision| revision.0.to_string());
        if let Some(told) = &told {
            let parameters: Vec<Parameter<'_>> = vec![&self.channel, told];
            statements.push((sql::NOTIFY, parameters));
        }
        session.commit(&statements)?;
        days.learn(made);
        Ok(())
    }
}

impl Kv for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn view(&self) -> Result<Box<dyn View + '_>, StoreError> {
        Ok(Box::new(Moment::new(&self.pool)))
    }

    fn look_up(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.pool.once("read", |session| moment::one(session, space, key))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut batch = Some(batch);
        self.transact(&mut |_| batch.take().unwrap_or_default())
    }

    fn transact(&self, decide: &mut Decide<'_>) -> Result<(), StoreError> {
        let mut writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.hold(&mut writing);
        let (mut session, mut own) = begun.map_err(|failure| failure.into_store("begin to write"))?;
        // The number of drops stands under the empty key.
        let dropped = own.remove(&[][..]).and_then(|bytes| bytes.try_into().ok());
        writing.days.look(dropped.map_or(0, i64::from_be_bytes));
        let held = Held::new(&mut session, own);
        let batch = decide(&held);
        // A session that is not put back is closed, and its transaction rolled back.
        if let Some(error) = held.failure() {
            return Err(error);
        }
        let ended = match batch.entries.is_empty() {
            true => session.batch("ROLLBACK"),
            false => self.write_held(&mut session, &mut writing.days, &batch),
        };
        ended.map_err(|failure| failure.into_store("write"))?;
        writing.session = Some(session);
        Ok(())
    }

    fn drop_front(&self, space: Space, below: &[u8]) -> Result<u64, StoreError> {
        self.pool.once("drop old telemetry", |session| days::drop_below(session, space, below, &self.lock))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn listen(&self, hear: Hear) {
        let listener = Listener::start(self.settings.clone(), self.terms, hear);
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    fn condition(&self) -> Condition {
        let size = self.pool.once("say how large it is", |session| session.query(sql::SIZE, &[]));
        match size {
            Ok(rows) => {
                let bytes = rows.first().and_then(|row| row.try_get::<_, i64>(0).ok());
                let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
                Condition { bytes, free_bytes: None, problem: None }
            }
            Err(error) => Condition { problem: Some(crate::log::chain(&error)), ..Condition::default() },
        }
    }
}

/// The highest revision that a batch gives followers to read.
fn followed(batch: &WriteBatch) -> Option<Revision> {
    let puts = batch.entries.range((Space::Feed, Vec::new())..(Space::Hours, Vec::new()));
    let (key, _) = puts.rev().find(|(_, value)| value.is_some())?;
    key.1.as_slice().try_into().ok().map(|bytes| Revision(u64::from_be_bytes(bytes)))
}

/// The number of the lock of a schema, the same for every server.
fn lock_of(schema: &str) -> i64 {
    let digest: [u8; 32] = Hasher::digest(format!("cordon store {schema}")).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_are_told_of_the_latest_commit_of_a_group_and_of_nothing_else() {
        // Goal: ingest and removals wake nobody. Method: batches over the spaces.
        let put = |space, key: &[u8]| ((space, key.to_vec()), Some(vec![1]));
        let feed = |revision: u64| put(Space::Feed, &revision.to_be_bytes());
        let batch = |entries: Vec<_>| WriteBatch { entries: entries.into_iter().collect(), frees: false };
        let others = vec![put(Space::Rows, &[9; 8]), put(Space::Hours, &[9; 8]), put(Space::Events, &[9; 8])];
        assert_eq!(followed(&batch(others.clone())), None);
        let gone = ((Space::Feed, 9_u64.to_be_bytes().to_vec()), None);
        let all = [others, vec![feed(3), feed(700), gone]].concat();
        assert_eq!(followed(&batch(all)), Some(Revision(700)));
    }

    #[test]
    fn the_lock_of_a_schema_is_the_same_in_every_version() {
        // Goal: servers of two versions hold each other off during an upgrade. Method: a golden number.
        assert_eq!(lock_of("cordon"), -3_471_947_878_997_122_361);
        assert_ne!(lock_of("cordon"), lock_of("north"));
    }
}
