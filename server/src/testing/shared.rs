//! One store as several servers see it: each has a seat of its own, and hears of the others by `changes` alone.
//!
//! A seat can lose touch: `changes` then waits until it is found again, as with a database that does not answer; and
//! something can be made to happen between a decision and its commit. Nothing here is used outside tests.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::store::{
    Answer, Commit, Committed, Cursor, Feed, Index, Key, LeaseAnswer, LeaseRequest, Page, Revision, Row,
    Store,
};

/// The verbs that a wrapper around `self.store` hands on as they are.
macro_rules! hand_on {
    () => {
        fn append(
            &self,
            delivery: $crate::store::Delivery,
        ) -> $crate::store::Answer<'_, $crate::store::Appended> {
            self.store.append(delivery)
        }

        fn events(
            &self,
            query: $crate::store::EventQuery,
        ) -> $crate::store::Answer<'_, $crate::store::EventPage> {
            self.store.events(query)
        }

        fn expire(
            &self,
            before: cordon_proto::time::Millis,
        ) -> $crate::store::Answer<'_, $crate::store::Expired> {
            self.store.expire(before)
        }

        fn load(
            &self,
            set: $crate::store::Set,
            generation: u64,
            chunk: $crate::store::Chunk,
        ) -> $crate::store::Answer<'_, ()> {
            self.store.load(set, generation, chunk)
        }

        fn drop_generation(
            &self,
            set: $crate::store::Set,
            generation: u64,
        ) -> $crate::store::Answer<'_, u64> {
            self.store.drop_generation(set, generation)
        }

        fn backup(&self, to: std::path::PathBuf) -> $crate::store::Answer<'_, $crate::store::Backup> {
            self.store.backup(to)
        }

        fn backup_into(&self, into: $crate::store::Sink) -> $crate::store::Answer<'_, $crate::store::Backup> {
            self.store.backup_into(into)
        }

        fn restore(&self, from: std::path::PathBuf) -> $crate::store::Answer<'_, $crate::store::Backup> {
            self.store.restore(from)
        }

        fn health(&self) -> $crate::store::Answer<'_, $crate::store::Health> {
            self.store.health()
        }
    };
}
pub(crate) use hand_on;

/// A server's seat at a store that others write too.
pub(crate) struct Seat {
    store: Arc<dyn Store>,
    latest: watch::Sender<Revision>,
    lost: watch::Sender<bool>,
    before: Mutex<Option<Meanwhile>>,
}

/// Something that happens elsewhere.
type Meanwhile = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Seat {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            latest: watch::Sender::default(),
            lost: watch::Sender::default(),
            before: Mutex::default(),
        }
    }

    /// Lets something happen elsewhere between the next decision here and its commit.
    pub(crate) fn before_commit(&self, meanwhile: impl Future<Output = ()> + Send + 'static) {
        *self.before.lock().expect("nobody panicked") = Some(Box::pin(meanwhile));
    }

    /// Loses touch with the others, or finds it again.
    pub(crate) fn lose(&self, lost: bool) {
        self.lost.send_replace(lost);
    }
}

impl Store for Seat {
    fn get(&self, key: Key) -> Answer<'_, Option<Row>> {
        self.store.get(key)
    }

    fn scan(&self, index: Index, from: Cursor, limit: usize) -> Answer<'_, Page> {
        self.store.scan(index, from, limit)
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        Box::pin(async move {
            let meanwhile = self.before.lock().expect("nobody panicked").take();
            if let Some(meanwhile) = meanwhile {
                meanwhile.await;
            }
            self.store.commit(commit).await
        })
    }

    fn changes(&self, after: Revision, limit: usize) -> Answer<'_, Feed> {
        Box::pin(async move {
            // The sender lives as long as we do.
            let _ = self.lost.subscribe().wait_for(|lost| !*lost).await;
            self.store.changes(after, limit).await
        })
    }

    fn lease(&self, request: LeaseRequest) -> Answer<'_, LeaseAnswer> {
        self.store.lease(request)
    }

    /// Never a hint: another machine's commits give none.
    fn latest(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }

    fn is_shared(&self) -> bool {
        true
    }

    hand_on!();
}
