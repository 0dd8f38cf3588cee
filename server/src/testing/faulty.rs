//! A store whose commits fail as they are told to: before anything was written, after all of it was, or because
//! somebody else was faster. Nothing here is used outside tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::shared::hand_on;
use crate::store::{
    Answer, Commit, Committed, Cursor, Feed, Index, Key, LeaseAnswer, LeaseRequest, Page, Revision, Row,
    Store, StoreError,
};

/// What becomes of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is written, and an error is said.
    Before,
    /// Everything is written, and an error is said all the same.
    After,
    /// Nothing is written, because somebody else was faster.
    Conflict,
    /// Nothing is written, because the disk is full.
    Full,
}

/// The store.
pub(crate) struct Faulty {
    store: Arc<dyn Store>,
    faults: Mutex<VecDeque<Fault>>,
}

impl Faulty {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, faults: Mutex::default() }
    }

    /// The next commit fails so.
    pub(crate) fn next(&self, fault: Fault) {
        self.faults.lock().expect("nobody panicked").push_back(fault);
    }
}

impl Store for Faulty {
    fn get(&self, key: Key) -> Answer<'_, Option<Row>> {
        self.store.get(key)
    }

    fn scan(&self, index: Index, from: Cursor, limit: usize) -> Answer<'_, Page> {
        self.store.scan(index, from, limit)
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        Box::pin(async move {
            let failed = || StoreError::unavailable("commit", std::io::Error::other("a fault of the test"));
            // What the server writes by itself meanwhile is not meant.
            let meant =
                commit.changes().iter().any(|change| matches!(change.key(), Key::Device(_) | Key::Feed(_)));
            let fault = meant.then(|| self.faults.lock().expect("nobody panicked").pop_front()).flatten();
            match fault {
                None => self.store.commit(commit).await,
                Some(Fault::Before) => Err(failed()),
                Some(Fault::Full) => Err(StoreError::Full),
                Some(Fault::After) => {
                    self.store.commit(commit).await?;
                    Err(failed())
                }
                Some(Fault::Conflict) => {
                    let key = commit.changes().first().expect("a change").key().clone();
                    Err(StoreError::Conflict(key))
                }
            }
        })
    }

    fn changes(&self, after: Revision, limit: usize) -> Answer<'_, Feed> {
        self.store.changes(after, limit)
    }

    fn lease(&self, request: LeaseRequest) -> Answer<'_, LeaseAnswer> {
        self.store.lease(request)
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        self.store.latest()
    }

    hand_on!();
}
