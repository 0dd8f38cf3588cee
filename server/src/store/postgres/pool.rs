//! The sessions of readers: a few, made when they are needed, waited for when all are out.
//!
//! Writers have a session of their own, so that long reads never hold a commit up. A session that lay idle may have
//! lost its server meanwhile: whoever begins with one and finds it dead begins again with a new one, once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::session::{Failure, Session, Terms};
use super::settings::Settings;
use crate::store::StoreError;

/// For a session to become free.
const WAIT: Duration = Duration::from_secs(10);

/// Sessions that are lent out.
pub(super) struct Pool {
    settings: Settings,
    terms: Terms,
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    /// Idle or lent out.
    all: usize,
}

impl Pool {
    pub(super) fn new(settings: Settings, terms: Terms, most: usize) -> Self {
        Self { settings, terms, most: most.max(1), state: Mutex::default(), freed: Condvar::new() }
    }

    /// Begins work on a session. `begin` may be called twice, so it must not have told anybody anything.
    pub(super) fn begin<T>(
        &self,
        doing: &str,
        mut begin: impl FnMut(&mut Session) -> Result<T, Failure>,
    ) -> Result<(Lent<'_>, T), StoreError> {
        let mut lent = self.lend(doing)?;
        let rested = lent.rested;
        match begin(lent.session()) {
            Ok(begun) => return Ok((lent, begun)),
            Err(failure) if rested && failure.is_of_the_connection() => {}
            Err(failure) => return Err(failure.into_store(doing)),
        }
        // The others that lay idle are as dead as this one.
        self.forget_idle();
        drop(lent);
        let mut lent = self.lend(doing)?;
        let begun = begin(lent.session()).map_err(|failure| failure.into_store(doing))?;
        Ok((lent, begun))
    }

    /// One call that needs no transaction.
    pub(super) fn once<T>(
        &self,
        doing: &str,
        call: impl FnMut(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let (lent, answer) = self.begin(doing, call)?;
        lent.give_back();
        Ok(answer)
    }

    fn lend(&self, doing: &str) -> Result<Lent<'_>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let none_is_free = |state: &mut State| state.idle.is_empty() && state.all >= self.most;
        let waited = self.freed.wait_timeout_while(state, WAIT, none_is_free);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let all = "all connections to PostgreSQL are in use";
            return Err(StoreError::unavailable(doing, all));
        }
        if let Some(session) = state.idle.pop() {
            return Ok(Lent { pool: self, session: Some(session), rested: true });
        }
        state.all = state.all.saturating_add(1);
        drop(state);
        // From here on, the drop of the loan takes the number back.
        let mut lent = Lent { pool: self, session: None, rested: false };
        let made = Session::connect(&self.settings, self.terms);
        lent.session = Some(made.map_err(|failure| failure.into_store(doing))?);
        Ok(lent)
    }

    fn forget_idle(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.all = state.all.saturating_sub(state.idle.len());
        state.idle.clear();
        drop(state);
        self.freed.notify_all();
    }
}

/// A session on loan: thrown away unless it is given back.
pub(super) struct Lent<'p> {
    pool: &'p Pool,
    session: Option<Session>,
    /// Whether it lay idle before.
    rested: bool,
}

impl Lent<'_> {
    pub(super) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("there until it is given back")
    }

    /// Takes a session back that is in no transaction and did not fail.
    pub(super) fn give_back(mut self) {
        if let Some(session) = self.session.take() {
            let mut state = self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.idle.push(session);
            // The drop below takes one away.
            state.all = state.all.saturating_add(1);
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.all = state.all.saturating_sub(1);
        drop(state);
        self.pool.freed.notify_one();
    }
}
