//! Reads: those of one moment, for readers, and those of the transaction that holds the store, for the writer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::pool::{Lent, Pool};
use super::session::{Failure, Parameter, Session};
use super::sql;
use crate::store::StoreError;
use crate::store::kv::{Place, Space, Span, View, Visit, WriteBatch};

/// Pairs of the first page of a range, and of the largest.
const FIRST_PAGE: usize = 16;
const LARGEST_PAGE: usize = 256;
/// Bytes that a page should not exceed.
const PAGE_BYTES: usize = 1 << 20;
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// One moment of the store: that of its first read.
pub(super) struct Moment<'e> {
    pool: &'e Pool,
    lent: RefCell<Option<Lent<'e>>>,
    failed: Cell<bool>,
}

impl<'e> Moment<'e> {
    pub(super) fn new(pool: &'e Pool) -> Self {
        Self { pool, lent: RefCell::new(None), failed: Cell::new(false) }
    }

    /// Reads in the transaction, which begins with the first read.
    fn read<T>(&self, mut read: impl FnMut(&mut Session) -> Result<T, Failure>) -> Result<T, StoreError> {
        let mut place = self.lent.borrow_mut();
        let answer = match place.as_mut() {
            Some(lent) => read(lent.session()).map_err(|failure| failure.into_store("read")),
            None if self.failed.get() => Err(StoreError::unavailable("read", "an earlier read failed")),
            None => {
                let begun = self.pool.begin("read", |session| {
                    session.ahead(BEGIN);
                    read(session)
                });
                begun.map(|(lent, answer)| {
                    *place = Some(lent);
                    answer
                })
            }
        };
        if answer.is_err() {
            self.failed.set(true);
            *place = None;
        }
        answer
    }
}

impl Drop for Moment<'_> {
    fn drop(&mut self) {
        if let Some(mut lent) = self.lent.borrow_mut().take()
            && lent.session().batch("ROLLBACK").is_ok()
        {
            lent.give_back();
        }
    }
}

impl View for Moment<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|session| one(session, space, key))
    }

    fn range(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        pages(span, visit, |span, rows| self.read(|session| page(session, span, rows)))
    }
}

/// What the writer sees while it holds the store.
pub(super) struct Held<'s> {
    session: RefCell<&'s mut Session>,
    own: BTreeMap<Vec<u8>, Vec<u8>>,
    fetched: RefCell<BTreeMap<Place, Option<Vec<u8>>>>,
    failed: RefCell<Option<StoreError>>,
}

impl<'s> Held<'s> {
    pub(super) fn new(session: &'s mut Session, own: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let (fetched, failed) = (RefCell::default(), RefCell::default());
        Self { session: RefCell::new(session), own, fetched, failed }
    }

    /// The first read that failed: with it, the transaction has.
    pub(super) fn failure(self) -> Option<StoreError> {
        self.failed.into_inner()
    }

    fn read<T>(&self, read: impl FnOnce(&mut Session) -> Result<T, Failure>) -> Result<T, StoreError> {
        if let Some(error) = &*self.failed.borrow() {
            return Err(error.clone());
        }
        read(&mut self.session.borrow_mut()).map_err(|failure| {
            let error = failure.into_store("read what a write depends on");
            *self.failed.borrow_mut() = Some(error.clone());
            error
        })
    }

    fn fetch(&self, space: Space, keys: &[&[u8]]) -> Result<(), StoreError> {
        let rows = self.read(|session| session.query(sql::table(space).some, &[&keys]))?;
        let mut fetched = self.fetched.borrow_mut();
        fetched.extend(keys.iter().map(|key| ((space, key.to_vec()), None)));
        for row in &rows {
            let (key, value) = pair(row).map_err(|failure| failure.into_store("read"))?;
            fetched.insert((space, key.to_vec()), Some(value.to_vec()));
        }
        Ok(())
    }
}

impl View for Held<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if space == Space::Own {
            return Ok(self.own.get(key).cloned());
        }
        if let Some(value) = self.fetched.borrow().get(&(space, key.to_vec())) {
            return Ok(value.clone());
        }
        self.read(|session| one(session, space, key))
    }

    fn range(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        pages(span, visit, |span, rows| self.read(|session| page(session, span, rows)))
    }

    fn ahead(&self, places: &[Place]) {
        for space in Space::ALL {
            let keys = places.iter().filter(|(of, _)| *of == space && space != Space::Own);
            let keys: Vec<&[u8]> = keys.map(|(_, key)| key.as_slice()).collect();
            if !keys.is_empty() && self.fetch(space, &keys).is_err() {
                // Kept, and told to the read that follows.
                return;
            }
        }
    }
}

/// The statements that write a batch, each with its parameters.
pub(super) struct Writes<'b> {
    spaces: Vec<SpaceWrites<'b>>,
}

struct SpaceWrites<'b> {
    space: Space,
    keys: Vec<&'b [u8]>,
    values: Vec<&'b [u8]>,
    gone: Vec<&'b [u8]>,
}

impl<'b> Writes<'b> {
    pub(super) fn of(batch: &'b WriteBatch) -> Self {
        let spaces = Space::ALL.into_iter().map(|space| {
            let mut writes = SpaceWrites { space, keys: Vec::new(), values: Vec::new(), gone: Vec::new() };
            for ((_, key), value) in batch.entries.iter().filter(|((of, _), _)| *of == space) {
                match value {
                    Some(value) => {
                        writes.keys.push(key);
                        writes.values.push(value);
                    }
                    None => writes.gone.push(key),
                }
            }
            writes
        });
        Self { spaces: spaces.collect() }
    }

    pub(super) fn statements(&self) -> Vec<(&'static str, Vec<Parameter<'_>>)> {
        let mut statements: Vec<(&'static str, Vec<Parameter<'_>>)> = Vec::new();
        for writes in &self.spaces {
            let table = sql::table(writes.space);
            if !writes.keys.is_empty() {
                statements.push((table.put, vec![&writes.keys, &writes.values]));
            }
            if !writes.gone.is_empty() {
                statements.push((table.delete, vec![&writes.gone]));
            }
        }
        statements
    }
}

pub(super) fn one(session: &mut Session, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let rows = session.query(sql::table(space).one, &[&key])?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}

/// Goes over a span page by page; `page` reads the next one.
fn pages(
    span: &Span,
    visit: &mut Visit<'_>,
    mut page: impl FnMut(&Span, usize) -> Result<Vec<Row>, StoreError>,
) -> Result<(), StoreError> {
    let mut rest = span.clone();
    let mut wanted = FIRST_PAGE;
    while !rest.is_empty() {
        let rows = page(&rest, wanted)?;
        let (mut bytes, mut last) = (0_usize, None);
        for row in &rows {
            let (key, value) = pair(row).map_err(|failure| failure.into_store("read"))?;
            if visit(key, value).is_break() {
                return Ok(());
            }
            bytes = bytes.saturating_add(value.len());
            last = Some(key);
        }
        let Some(last) = last.filter(|_| rows.len() == wanted) else { return Ok(()) };
        if rest.down {
            rest.to = Some(last.to_vec());
        } else {
            rest.from = [last, &[0]].concat();
        }
        let fits = PAGE_BYTES.saturating_mul(rows.len()).checked_div(bytes).unwrap_or(LARGEST_PAGE);
        wanted = wanted.saturating_mul(2).min(fits).clamp(1, LARGEST_PAGE);
    }
    Ok(())
}

fn page(session: &mut Session, span: &Span, rows: usize) -> Result<Vec<Row>, Failure> {
    let table = sql::table(span.space);
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    match &span.to {
        Some(to) => {
            let sql = if span.down { table.down_to } else { table.up_to };
            session.query(sql, &[&span.from, &rows, to])
        }
        None => session.query(if span.down { table.down } else { table.up }, &[&span.from, &rows]),
    }
}

pub(super) fn pair(row: &Row) -> Result<(&[u8], &[u8]), Failure> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}
