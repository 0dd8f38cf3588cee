//! Which enrolment tokens there are, the newest first, in a few bytes each: what a page of them is chosen from.
//!
//! A token's name is a hash, so no store lists tokens by their age. The book is brought up when somebody asks: read
//! whole once, and from then on only what was committed since. The documents of a page come from the store, and nothing
//! is ever decided by the book. Read next: `http::operator::tokens`, [`crate::follow`] for the views that decide.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use cordon_proto::ids::{Text, TokenId};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::Token;
use cordon_server_core::change::{Index, Kind};
use tokio::sync::Mutex;

use crate::store::{Cursor, Feed, Key, Revision, Store, StoreError};

#[cfg(test)]
mod tests;

/// Pages of changes after which reading everything anew is no dearer.
const PAGES: usize = 64;

/// The book of one server.
#[derive(Debug, Default)]
pub struct TokenBook(Mutex<Option<Held>>);

/// What is chosen by.
#[derive(Clone, Debug)]
pub struct Facts {
    expires: Timestamp,
    done: Option<&'static str>,
    serial: Option<Text>,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind this token.
    Behind(TokenId),
    /// At this row, counted from 0.
    Row(usize),
}

/// A page's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Their names, the newest first.
    pub ids: Vec<TokenId>,
    /// Whether there are older ones.
    pub more: bool,
    /// All that are wanted.
    pub total: usize,
    /// Those of them that let somebody in now.
    pub open: usize,
}

#[derive(Debug)]
struct Held {
    upto: Revision,
    made: HashMap<TokenId, Timestamp>,
    facts: BTreeMap<(Reverse<Timestamp>, TokenId), Facts>,
}

/// The tokens' rows that changed up to a revision.
struct News {
    upto: Revision,
    rows: Vec<(Key, Option<Vec<u8>>)>,
}

impl Facts {
    /// What the book keeps of a token.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        let used = token.used >= token.order.binding.devices();
        let done = if token.revoked.is_some() { Some("revoked") } else { used.then_some("used") };
        Self { expires: token.expires, done, serial: token.order.binding.serial().cloned() }
    }

    /// How it stands: what a person did to it counts first, then whether it has done its work.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        self.done.unwrap_or(if now >= self.expires { "expired" } else { "open" })
    }

    /// The one device that it is for, by its maker's number.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_ref().map(Text::as_str)
    }
}

impl TokenBook {
    /// Chooses a page of at most `limit` of the tokens that are wanted.
    ///
    /// # Errors
    /// The store does not say what changed.
    pub async fn choose(
        &self,
        store: &dyn Store,
        now: Timestamp,
        wanted: impl Fn(&Facts) -> bool,
        (start, limit): (Start, usize),
    ) -> Result<Chosen, StoreError> {
        let mut held = self.0.lock().await;
        // The book stays where it is while it is awaited: a caller who leaves meanwhile takes nothing with him.
        let news = match held.as_ref() {
            Some(book) => book.news(store).await?,
            None => None,
        };
        match (held.as_mut(), news) {
            (Some(book), Some(news)) => book.take(news)?,
            (_, _) => *held = Some(Held::read(store).await?),
        }
        Ok(held.as_ref().map(|book| book.choose(now, wanted, (start, limit))).unwrap_or_default())
    }
}

impl Held {
    /// Everything; asked for its revision first, so that what is committed meanwhile is met again.
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let upto = store.health().await?.revision;
        let mut book = Self { upto, made: HashMap::new(), facts: BTreeMap::new() };
        let mut cursor = Some(Cursor::First);
        while let Some(from) = cursor {
            let page = store.scan(Index::All(Kind::Token), from, limits::PAGE_ROWS).await?;
            for (key, row) in page.rows {
                book.put(&key, Some(&row.body))?;
            }
            cursor = page.next;
        }
        Ok(book)
    }

    /// What was committed since; `None` where that is forgotten, or too much to be worth it.
    async fn news(&self, store: &dyn Store) -> Result<Option<News>, StoreError> {
        let (mut touched, mut upto) = (BTreeSet::new(), self.upto);
        for _ in 0..PAGES {
            let feed = store.changes(upto, limits::PAGE_ROWS).await?;
            let whole = feed.is_whole(limits::PAGE_ROWS);
            let Feed::Commits(commits) = feed else { return Ok(None) };
            upto = commits.last().map_or(upto, |commit| commit.revision);
            let keys = commits.into_iter().flat_map(|commit| commit.keys).map(|touched| touched.key);
            touched.extend(keys.filter(|key| key.kind() == Kind::Token));
            if whole {
                let mut rows = Vec::new();
                for key in touched {
                    let row = store.get(key.clone()).await?;
                    rows.push((key, row.map(|row| row.body)));
                }
                return Ok(Some(News { upto, rows }));
            }
        }
        Ok(None)
    }

    /// Takes them in. What is refused half way comes again, because the revision is taken last.
    fn take(&mut self, news: News) -> Result<(), StoreError> {
        for (key, body) in news.rows {
            self.put(&key, body.as_deref())?;
        }
        self.upto = news.upto;
        Ok(())
    }

    fn put(&mut self, key: &Key, body: Option<&[u8]>) -> Result<(), StoreError> {
        let Key::Token(id) = key else { return Ok(()) };
        if let Some(made) = self.made.remove(id) {
            self.facts.remove(&(Reverse(made), *id));
        }
        let Some(body) = body else { return Ok(()) };
        let token = Token::from_body(body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
        self.made.insert(*id, token.created);
        self.facts.insert((Reverse(token.created), *id), Facts::of(&token));
        Ok(())
    }

    fn choose(
        &self,
        now: Timestamp,
        wanted: impl Fn(&Facts) -> bool,
        (start, limit): (Start, usize),
    ) -> Chosen {
        let mut chosen = Chosen::default();
        let behind = match start {
            Start::Behind(id) => self.made.get(&id).map(|made| (Reverse(*made), id)),
            Start::Row(_) => None,
        };
        for (place, facts) in self.facts.iter().filter(|(_, facts)| wanted(facts)) {
            let is_behind = match start {
                Start::Behind(_) => behind.is_some_and(|behind| *place > behind),
                Start::Row(row) => chosen.total >= row,
            };
            chosen.total += 1;
            chosen.open += usize::from(facts.state(now) == "open");
            if is_behind && chosen.ids.len() < limit {
                chosen.ids.push(place.1);
            } else {
                chosen.more |= is_behind;
            }
        }
        chosen
    }
}
