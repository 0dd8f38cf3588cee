//! Tests of the book of tokens: the same order whatever happened meanwhile, and no page that reads them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cordon_server_core::admit::Binding;
use cordon_server_core::change::Commit;
use futures_util::FutureExt;
use tokio::sync::watch;

use super::*;
use crate::store::memory::Memory;
use crate::store::{Answer, Committed, LeaseAnswer, LeaseRequest, Page, Row};
use crate::testing::shared::hand_on;
use crate::testing::{order, person, text};

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A store that counts the documents and the pages that are read.
struct Counted {
    store: Arc<dyn Store>,
    read: AtomicUsize,
    silent: bool,
}

impl Counted {
    fn new() -> Self {
        Self { store: Arc::new(Memory::new()), read: AtomicUsize::new(0), silent: false }
    }

    fn read(&self) -> usize {
        self.read.swap(0, Ordering::Relaxed)
    }

    /// Writes a token that was made so many seconds ago.
    async fn make(&self, number: u8, seconds: i64) -> TokenId {
        let binding = Binding::Serial { serial: text(&format!("S-{number}")), replaces: false };
        let token = Token::new(order(binding), "person:ines".to_owned(), NOW.plus_seconds(-seconds));
        self.keep(TokenId([number; 32]), token.expect("a token")).await
    }

    async fn keep(&self, id: TokenId, token: Token) -> TokenId {
        let draft = Commit::draft(NOW, person()).put(Key::Token(id), token.to_body());
        self.store.commit(draft.finish().expect("small")).await.expect("stored");
        id
    }
}

impl Store for Counted {
    fn get(&self, key: Key) -> Answer<'_, Option<Row>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        if self.silent { Box::pin(std::future::pending()) } else { self.store.get(key) }
    }

    fn scan(&self, index: Index, from: Cursor, limit: usize) -> Answer<'_, Page> {
        self.read.fetch_add(1000, Ordering::Relaxed);
        self.store.scan(index, from, limit)
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        self.store.commit(commit)
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

#[tokio::test]
async fn a_page_is_the_newest_first_and_reads_only_what_changed_since_the_last_one() {
    // Goal: a list of a hundred thousand tokens costs what a page costs. Method: tokens in the order of chance, pages
    // from both kinds of places, then one more, one revoked, one deleted; the reads of each question.
    let store = Counted::new();
    let book = TokenBook::default();
    for number in 1..=9_u8 {
        store.make(number, i64::from(number * 7 % 10)).await;
    }
    let newest = [3_u8, 6, 9, 2, 5, 8, 1, 4, 7].map(|number| TokenId([number; 32]));
    let ask =
        async |start, limit| book.choose(&store, NOW, |_| true, (start, limit)).await.expect("answered");
    let first = ask(Start::Row(0), 4).await;
    assert_eq!((first.ids.as_slice(), first.more, first.total, first.open), (&newest[..4], true, 9, 9));
    assert_eq!(store.read(), 1000, "read whole, once");
    assert_eq!(ask(Start::Behind(newest[3]), 4).await.ids, newest[4..8]);
    let last = ask(Start::Row(8), 4).await;
    assert_eq!((last.ids.as_slice(), last.more), (&newest[8..], false));
    assert!(ask(Start::Behind(TokenId([99; 32])), 4).await.ids.is_empty(), "behind nothing that is there");
    assert_eq!(store.read(), 0, "nothing changed, so nothing is read");
    let made = store.make(10, 0).await;
    let row = store.store.get(Key::Token(newest[0])).await.expect("read").expect("there");
    let token = Token::from_body(&row.body).expect("a token");
    store.keep(newest[0], Token { revoked: Some(NOW), ..token }).await;
    let gone = Commit::draft(NOW, person()).delete(Key::Token(newest[1])).finish().expect("small");
    store.store.commit(gone).await.expect("deleted");
    let after = ask(Start::Row(0), 3).await;
    assert_eq!((after.ids, after.total, after.open), (vec![made, newest[0], newest[2]], 9, 8));
    assert_eq!(store.read(), 3, "the three that changed");
    let wanted = |facts: &Facts| facts.state(NOW) == "revoked" && facts.serial() == Some("S-3");
    let revoked = book.choose(&store, NOW, wanted, (Start::Row(0), 10)).await.expect("answered");
    assert_eq!((revoked.ids, revoked.total, revoked.more), (vec![newest[0]], 1, false));
}

#[tokio::test]
async fn a_caller_who_leaves_takes_nothing_with_him() {
    // Goal: somebody who closes the page does not make the next one read every token. Method: a question that is
    // dropped while the store has not answered; then one that is answered, and the reads of it.
    let mut store = Counted::new();
    let book = TokenBook::default();
    let ids = [store.make(1, 20).await, store.make(2, 10).await];
    book.choose(&store, NOW, |_| true, (Start::Row(0), 4)).await.expect("answered");
    let third = store.make(3, 0).await;
    store.silent = true;
    let asked = book.choose(&store, NOW, |_| true, (Start::Row(0), 4));
    assert!(asked.now_or_never().is_none(), "the store is silent");
    store.silent = false;
    store.read();
    let chosen = book.choose(&store, NOW, |_| true, (Start::Row(0), 4)).await.expect("answered");
    assert_eq!((chosen.ids, store.read()), (vec![third, ids[1], ids[0]], 1));
}
