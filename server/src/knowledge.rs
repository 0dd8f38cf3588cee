//! What this server knows of weaknesses: which feeds are in force, and everything made of them.
//!
//! A feed is a file under its hash and a document that says which file is in force; the document's commit is the switch, so
//! a server that dies while a file comes in goes on with the former one. Files are read on a thread of their own, and what was
//! made of them is swapped in when all of it is ready: no plane waits, and until then nothing counts as safe. What another
//! server commits is followed. Nothing is judged here. Read next: [`matched`] for what handlers ask, [`build`] for how files
//! become knowledge, [`import`] for how they come in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cordon_proto::ids::{Name, Sha256};
use cordon_proto::time::Timestamp;
use cordon_server_core::change::{Index, Kind};
use cordon_server_core::exposure::{Holdings, Since, since};
use cordon_server_core::feeds::intake::Feed;
use tokio::sync::Notify;

use crate::metrics::FeedSeen;
use crate::store::blobs::Blobs;
use crate::store::{Change, Cursor, Key, Revision, Store, StoreError};

mod build;
mod days;
pub mod import;
pub mod matched;
mod read;
mod sets;
mod shelf;
pub mod text;
mod unknowns;

pub use self::build::run;
use self::matched::Made;
pub use self::matched::{Matched, Readiness};
pub use self::sets::{Alike, Numbered};

/// The folder of feeds' files, below that of images.
pub const FOLDER: &str = "feeds";

/// Which feeds are in force, and what was made of them.
pub struct Knowledge {
    files: Blobs,
    holdings: Arc<RwLock<Holdings>>,
    state: RwLock<State>,
    /// Files that were refused since this server started, by feed and reason.
    refused: Mutex<BTreeMap<(Name, &'static str), u64>>,
    /// One import at a time: what one refuses the other may have just brought.
    importing: tokio::sync::Mutex<()>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    feeds: BTreeMap<Name, Held>,
    /// Whether a feed is stored that a later version wrote.
    unreadable: bool,
    made: Option<Arc<Made>>,
    since: Arc<Since>,
    days: BTreeMap<u8, Revision>,
    shipped: matched::Shipping,
    sets: Arc<sets::Sets>,
}

/// A feed that is in force, or was: a removed one is remembered so that an older document does not bring it back.
#[derive(Clone, Debug)]
struct Held {
    revision: Revision,
    feed: Option<Feed>,
}

impl Knowledge {
    /// Nothing yet, over the folder of feeds' files and what is installed in the fleet.
    #[must_use]
    pub fn new(files: Blobs, holdings: Arc<RwLock<Holdings>>) -> Self {
        Self {
            files,
            holdings,
            state: RwLock::default(),
            refused: Mutex::default(),
            importing: tokio::sync::Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// The feeds that are in force, by name.
    #[must_use]
    pub fn feeds(&self) -> Vec<Feed> {
        self.read(|state| state.feeds.values().filter_map(|held| held.feed.clone()).collect())
    }

    /// One feed.
    #[must_use]
    pub fn feed(&self, name: &Name) -> Option<Feed> {
        self.read(|state| state.feeds.get(name).and_then(|held| held.feed.clone()))
    }

    /// How each feed stands, as the metrics want it.
    #[must_use]
    pub fn seen(&self, now: Timestamp) -> Vec<FeedSeen> {
        let seen = |feed: Feed, made: Option<&Made>| FeedSeen {
            kind: feed.kind.word(),
            age_s: now.seconds_since(feed.as_of),
            is_stale: feed.stale_at().is_some_and(|at| at <= now),
            is_missing: made.is_some_and(|made| made.missing.contains_key(&feed.name)),
            records: feed.records,
            refused: feed.refused.values().sum(),
            name: feed.name,
        };
        self.read(|state| {
            let feeds = state.feeds.values().filter_map(|held| held.feed.clone());
            feeds.map(|feed| seen(feed, state.made.as_deref())).collect()
        })
    }

    /// How many files were refused since this server started, by feed and reason.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<(Name, &'static str), u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in every stored document of knowledge.
    pub async fn rebuild(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut from = Some(Cursor::First);
        while let Some(cursor) = from {
            let page = store.scan(Index::All(Kind::Feed), cursor, cordon_proto::limits::PAGE_ROWS).await?;
            for (key, row) in page.rows {
                self.follow(&[Change::Put(key, row.body)], row.revision);
            }
            from = page.next;
        }
        for shelf in 0..since::SHELVES {
            let key = days::key(shelf);
            if let Some(row) = store.get(key.clone()).await? {
                self.follow(&[Change::Put(key, row.body)], row.revision);
            }
        }
        Ok(())
    }

    /// Takes in documents of one commit. An older document than the one held changes nothing.
    pub fn follow<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, revision: Revision) {
        for change in changes {
            match (change.key(), change) {
                (Key::Feed(name), change) => self.follow_feed(name, change, revision),
                (Key::Meta(name), Change::Put(_, body)) => {
                    if let Some(shelf) = days::shelf(name) {
                        self.follow_days(shelf, body, revision);
                    }
                }
                _ => {}
            }
        }
    }

    fn follow_feed(&self, name: &Name, change: &Change, revision: Revision) {
        let (feed, unreadable) = match change {
            Change::Delete(_) => (None, false),
            Change::Put(key, body) => {
                let feed = Feed::from_body(body);
                if feed.is_none() {
                    tracing::warn!(%key, "a stored feed is of no version known here");
                }
                let unreadable = feed.is_none();
                (feed, unreadable)
            }
        };
        self.write(|state| {
            state.unreadable |= unreadable;
            if state.feeds.get(name).is_none_or(|held| held.revision < revision) {
                state.feeds.insert(name.clone(), Held { revision, feed });
            }
        });
        self.wake.notify_one();
    }

    fn follow_days(&self, shelf: u8, body: &[u8], revision: Revision) {
        self.write(|state| {
            if state.days.get(&shelf).is_some_and(|held| *held >= revision) {
                return;
            }
            if !Arc::make_mut(&mut state.since).take(shelf, body) {
                tracing::warn!(shelf, "the days on which weaknesses were found first cannot be read");
            }
            state.days.insert(shelf, revision);
            state.sets = Arc::default();
        });
    }

    /// Whether what `revision` wrote under this key, or something later, is held, or does not belong here.
    #[must_use]
    pub fn has(&self, key: &Key, revision: Revision) -> bool {
        self.read(|state| match key {
            Key::Feed(name) => state.feeds.get(name).is_some_and(|held| held.revision >= revision),
            Key::Meta(name) => match days::shelf(name) {
                Some(shelf) => state.days.get(&shelf).is_some_and(|held| *held >= revision),
                None => true,
            },
            _ => true,
        })
    }

    /// The folder of feeds' files, for backups.
    pub(crate) fn folder(&self) -> &Blobs {
        &self.files
    }

    /// The files that are kept.
    #[cfg(test)]
    pub(crate) async fn files(&self) -> Vec<Sha256> {
        self.files.list().await.expect("a folder")
    }

    /// The files that are in force, by feed.
    fn wanted(&self) -> Vec<(Name, Sha256)> {
        let one = |feed: Feed| (feed.name, feed.sha256);
        self.feeds().into_iter().map(one).collect()
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}
