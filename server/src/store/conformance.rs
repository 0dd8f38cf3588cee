//! What every engine must do: the same functions over each of them, and made-up histories compared with the model.
//!
//! A new engine adds one [`Subject`], and its name to [`conformance`](crate::conformance) where it is tested: here those
//! that need nothing, in the simulator all of them. Nothing here may depend on how an engine numbers its transactions,
//! only on their order. Kills and power cuts are rounds of their own. It is outside of tests only by the feature
//! `conformance`, and in no program that ships.

#![expect(clippy::indexing_slicing, reason = "these are tests, also where another package runs them")]

mod histories;
mod verbs;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::ids::{DeviceId, Name, Text};
use cordon_proto::telemetry::{Batch, Position, Record};
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Draft;

pub use self::histories::compare_histories;
#[cfg(test)]
use super::kv::tests::MapKv;
use super::memory::Memory;
use super::redb::{Options, Redb};
#[cfg(feature = "sled")]
use super::sled::Sled;
use super::{
    Changed, Commit, Cursor, Delivery, EventId, EventQuery, Feed, Index, Key, Kind, Revision, Store,
};

/// More than any test stores.
const MANY: usize = 10_000;

/// Opens what the last opening left.
pub type Opener = Box<dyn Fn() -> Arc<dyn Store>>;

/// An engine with a place of its own: each call of `open` opens what the last one left.
pub struct Subject {
    open: Opener,
    folder: tempfile::TempDir,
}

impl Subject {
    /// An engine that may use the folder it is given.
    pub fn new(open: impl FnOnce(&Path) -> Opener) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { open: open(folder.path()), folder }
    }

    /// The model.
    #[must_use]
    pub fn memory() -> Self {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        Self::new(|_| Box::new(move || store.clone()))
    }

    /// The layer over a map.
    #[cfg(test)]
    fn map() -> Self {
        use super::kv::{Gather, KvStore};
        let map = MapKv::default();
        let gather = Gather { wait: std::time::Duration::ZERO, ..Gather::default() };
        Self::new(|_| Box::new(move || Arc::new(KvStore::open(map.clone(), gather).expect("opened"))))
    }

    /// redb.
    #[must_use]
    pub fn redb() -> Self {
        Self::new(|folder| {
            let path = folder.join("store.redb");
            let options = Options { reserve_bytes: 0, cache_bytes: 1 << 20, ..Options::default() };
            Box::new(move || Arc::new(Redb::open(&path, options).expect("opened")))
        })
    }

    /// sled.
    #[cfg(feature = "sled")]
    #[must_use]
    pub fn sled() -> Self {
        Self::new(|folder| {
            use super::sled::Options;
            let folder = folder.join("store.sled");
            let options = Options { reserve_bytes: 0, cache_bytes: 1 << 20, ..Options::default() };
            Box::new(move || Arc::new(Sled::open(&folder, options).expect("opened")))
        })
    }

    /// Opens the store.
    #[must_use]
    pub fn open(&self) -> Arc<dyn Store> {
        (self.open)()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// One test a promise and engine, named after both. Beside it stands, for each engine, a function of its name that gives
/// a fresh `Option<Subject>`: none where the engine cannot be tested, which the function says.
#[macro_export]
macro_rules! conformance {
    ($($engine:ident),* $(,)?) => { $($crate::conformance_promises! { one_engine, $engine })* };
}

/// Hands the names of all promises on to another macro of this file.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_promises {
    ($then:ident $(, $engine:ident)?) => {
        $crate::conformance_with! { $then $(, $engine)?; [
            a_document_is_absent_then_there_then_gone,
            a_commit_whose_expectation_fails_changes_nothing,
            each_of_many_writers_has_its_own_outcome,
            one_of_16_racing_writers_wins,
            a_repeated_request_gets_the_first_outcome,
            a_commit_of_500_changes_is_one_transaction,
            audit_entries_are_kept_in_order_without_gaps,
            records_are_stored_once_however_often_they_come,
            pages_of_documents_meet_without_gap_or_overlap,
            pages_of_events_meet_without_gap_or_overlap,
            telemetry_is_found_by_device_kind_and_time,
            a_lease_has_one_holder_and_fences_the_last,
            followers_read_commits_in_order,
            a_generation_is_unseen_until_the_pointer_moves,
            what_is_old_is_forgotten_and_nothing_else,
            a_backup_restores_to_the_same_store,
            a_damaged_backup_or_a_full_store_is_not_restored,
            a_watcher_is_told_of_commits_and_not_of_telemetry,
            everything_answered_is_there_after_reopening,
        ] }
    };
}

/// What is made of the names.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_with {
    (one_engine, $engine:ident; [$($promise:ident),* $(,)?]) => {
        mod $engine {$(
            #[tokio::test]
            async fn $promise() {
                if let Some(subject) = super::$engine() {
                    $crate::store::conformance::keeps(stringify!($promise), &subject).await;
                }
            }
        )*}
    };
    (dispatch; [$($promise:ident),* $(,)?]) => {
        /// Shows that an engine keeps a promise of the port, by its name in [`conformance`](crate::conformance).
        ///
        /// # Panics
        /// If it does not.
        pub async fn keeps(promise: &str, subject: &Subject) {
            match promise {
                $(stringify!($promise) => verbs::$promise(subject).await,)*
                other => panic!("{other} is no promise of the port"),
            }
        }
    };
}

crate::conformance_promises! { dispatch }

#[cfg(test)]
mod here {
    //! The engines that need nothing beside this package.

    use super::Subject;

    fn memory() -> Option<Subject> {
        Some(Subject::memory())
    }

    fn map() -> Option<Subject> {
        Some(Subject::map())
    }

    crate::conformance!(memory, map);
}

fn name(text: &str) -> Name {
    text.parse().expect("name")
}

fn text(text: &str) -> Text {
    text.parse().expect("text")
}

fn site(text: &str) -> Key {
    Key::Site(name(text))
}

fn device(number: u8) -> DeviceId {
    DeviceId::from_random([number; 16])
}

fn draft() -> Draft {
    draft_at(1000)
}

fn draft_at(seconds: i64) -> Draft {
    Commit::draft(Timestamp(seconds), Actor::Server(name("test")))
}

fn record(boot: u64, sequence: u64) -> Record {
    let kind = u16::try_from(sequence % 3).expect("small");
    let body = sequence.to_be_bytes().repeat(usize::try_from(sequence % 5).expect("small"));
    Record { position: Position { boot, sequence }, time: Millis(5), kind, body: body.into() }
}

fn delivery(of: u8, received: i64, positions: impl IntoIterator<Item = (u64, u64)>) -> Delivery {
    let records = positions.into_iter().map(|(boot, sequence)| record(boot, sequence)).collect();
    Delivery::new(device(of), Millis(received), Batch { records }).expect("rising")
}

/// Everything a store holds, read page by page through the port; revisions as their rank, which is all they promise.
#[derive(Debug, PartialEq)]
struct Dump {
    rows: Vec<(Key, usize, Vec<u8>)>,
    events: Vec<(EventId, Record)>,
    feed: Option<Vec<(usize, Changed)>>,
}

async fn dump(store: &dyn Store) -> Dump {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        rows.extend(scan_all(store, Index::All(kind), Cursor::First, 7).await);
    }
    let mut feed = feed_all(store).await;
    let revisions = rows.iter().map(|(_, row)| row.revision);
    let followed = feed.iter().flatten().map(|changed| changed.revision);
    let revisions: BTreeSet<Revision> = revisions.chain(followed).collect();
    let rank = |revision| revisions.range(..revision).count();
    let rows = rows.into_iter().map(|(key, row)| (key, rank(row.revision), row.body)).collect();
    let feed = feed.take().map(|commits| {
        let ranked = |commit: Changed| (rank(commit.revision), Changed { revision: Revision(0), ..commit });
        commits.into_iter().map(ranked).collect()
    });
    Dump { rows, events: events_all(store, EventQuery { limit: 7, ..EventQuery::all() }).await, feed }
}

async fn scan_all(store: &dyn Store, index: Index, from: Cursor, limit: usize) -> Vec<(Key, super::Row)> {
    let (mut rows, mut next) = (Vec::new(), Some(from));
    while let Some(from) = next {
        let page = store.scan(index.clone(), from, limit).await.expect("scanned");
        assert!(page.rows.len() <= limit);
        rows.extend(page.rows);
        assert!(rows.len() < MANY, "the pages do not end");
        next = page.next;
    }
    rows
}

async fn events_all(store: &dyn Store, mut query: EventQuery) -> Vec<(EventId, Record)> {
    let mut events = Vec::new();
    loop {
        let page = store.events(query.clone()).await.expect("read");
        assert!(page.events.len() <= query.limit);
        events.extend(page.events);
        assert!(events.len() < MANY, "the pages do not end");
        match page.next {
            Some(next) => query.after = Some(next),
            None => return events,
        }
    }
}

/// All that followers can read from the beginning; `None` once some of it is forgotten.
async fn feed_all(store: &dyn Store) -> Option<Vec<Changed>> {
    let (mut commits, mut after) = (Vec::<Changed>::new(), Revision::default());
    loop {
        let page = match store.changes(after, 3).await.expect("read") {
            Feed::Commits(page) => page,
            Feed::Gone { .. } => return None,
        };
        let Some(last) = page.last() else { return Some(commits) };
        after = last.revision;
        commits.extend(page);
        assert!(commits.len() < MANY, "the pages do not end");
    }
}
