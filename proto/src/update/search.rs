//! The search for one file through the delegations of a repository (TUF 1.0.34 section 5.6.7), without a network.
//!
//! Pre-order and depth-first: the first delegation is trusted most; a terminating one ends the search behind it; a
//! role is visited once; a role that cannot be had or verified ends the search with an error, because skipping it
//! would let whoever hides it promote the next one. Every role is verified with the keys of the delegator through
//! which it is reached, even if it is stored. Read next: [`super::delegation`].

use super::delegation::{DelegatedRole, Delegations};
use super::fault::{Fault, Role, TrustError};
use super::metadata::TargetFile;
use super::name;
use super::refresh::{Ask, Effect, Next, Request, Source, Turn, found};
use super::trust::{AtTargets, Rules, Trusted};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// A file that a verified role lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The role that lists it.
    pub role: Role,
    /// What that role says of it.
    pub file: TargetFile,
    /// The expiry of that role's document.
    pub document_expires: crate::time::Timestamp,
}

/// A search under way.
#[derive(Debug)]
pub struct Search<'a> {
    trusted: &'a Trusted<AtTargets>,
    path: String,
    visited: BTreeSet<String>,
    /// The roles still to visit, the next one last.
    waiting: Vec<DelegatedRole>,
    current: DelegatedRole,
    /// Whether the stored file is missing or was refused, so that the repository's own is wanted.
    fetching: bool,
}

type SearchTurn<'a> = Result<Turn<Search<'a>, Option<Found>>, TrustError>;

impl<'a> Search<'a> {
    /// Starts at the top-level targets role; nothing is asked for if that role settles it.
    ///
    /// # Errors
    /// Too many roles would have to be visited.
    pub fn start(
        trusted: &'a Trusted<AtTargets>,
        path: &str,
        rules: &Rules<'_>,
    ) -> Result<Next<Self, Option<Found>>, TrustError> {
        let targets = trusted.targets();
        if let Some(file) = targets.targets.get(path) {
            let found = Found { role: Role::Targets, file: file.clone(), document_expires: targets.expires };
            return Ok(Next::Done(Some(found)));
        }
        let walk = Walk { trusted, path: path.to_owned(), visited: BTreeSet::new(), waiting: vec![] };
        walk.descend(&targets.delegations, rules)
    }

    /// What is wanted next.
    ///
    /// # Errors
    /// The snapshot does not list the role.
    pub fn ask(&self, rules: &Rules<'_>) -> Result<Ask, TrustError> {
        let role = self.role();
        let meta = self.trusted.listed(&self.current.name)?;
        if !self.fetching {
            return Ok(Ask::Stored(name::file(&role)));
        }
        let path = name::path(&role, meta.version, self.trusted.root().consistent_snapshot);
        Ok(Ask::Fetch(Request { path, limit: rules.limit_of(&role, meta) }))
    }

    /// Takes the answer: the bytes, or nothing if there is no such file.
    ///
    /// # Errors
    /// A role on the way is missing or refused, or there are too many.
    pub fn answer(mut self, bytes: Option<&[u8]>, rules: &Rules<'_>) -> SearchTurn<'a> {
        let role = self.role();
        let (targets, effects) = if self.fetching {
            let bytes = found(bytes, &role)?;
            let targets = self.trusted.delegated_by(&self.current, bytes, rules)?;
            (targets, vec![Effect::Keep(name::file(&role))])
        } else {
            let stored = bytes.map(|bytes| self.trusted.delegated_by(&self.current, bytes, rules));
            let Some(Ok(targets)) = stored else {
                self.fetching = true;
                return Ok(Turn::ask(vec![], self));
            };
            (targets, vec![])
        };
        if let Some(file) = targets.targets.get(&self.path) {
            let found = Found { role, file: file.clone(), document_expires: targets.expires };
            return Ok(Turn::done(effects, Some(found)));
        }
        let Self { trusted, path, mut visited, waiting, current, .. } = self;
        visited.insert(current.name);
        let next = Walk { trusted, path, visited, waiting }.descend(&targets.delegations, rules)?;
        Ok(Turn { effects, next })
    }

    /// Runs the whole search against a source.
    ///
    /// # Errors
    /// The search failed, or the source did.
    pub fn run<S: Source>(
        trusted: &Trusted<AtTargets>,
        path: &str,
        rules: &Rules<'_>,
        source: &mut S,
    ) -> Result<Option<Found>, S::Error> {
        let mut next = Search::start(trusted, path, rules)?;
        loop {
            let search = match next {
                Next::Ask(search) => search,
                Next::Done(found) => return Ok(found),
            };
            let bytes = source.answer(&search.ask(rules)?)?;
            let turn = search.answer(bytes.as_deref(), rules)?;
            source.apply(&turn.effects, bytes.as_deref().unwrap_or_default())?;
            next = turn.next;
        }
    }

    fn role(&self) -> Role {
        Role::Delegated(self.current.name.clone())
    }
}

/// A search between two roles.
struct Walk<'a> {
    trusted: &'a Trusted<AtTargets>,
    path: String,
    visited: BTreeSet<String>,
    waiting: Vec<DelegatedRole>,
}

impl<'a> Walk<'a> {
    /// Goes into the delegations of the role just read, then on to the next role not visited yet.
    fn descend(
        mut self,
        delegations: &Delegations,
        rules: &Rules<'_>,
    ) -> Result<Next<Search<'a>, Option<Found>>, TrustError> {
        let below: Vec<DelegatedRole> = delegations.for_path(&self.path).cloned().collect();
        if below.last().is_some_and(|role| role.terminating) {
            // Nobody behind a terminating delegation is asked, on no level.
            self.waiting.clear();
        }
        self.waiting.extend(below.into_iter().rev());
        while let Some(current) = self.waiting.pop() {
            if self.visited.contains(&current.name) {
                continue;
            }
            if self.visited.len() >= rules.sizes.roles {
                return Err(Fault::TooManyRoles { limit: rules.sizes.roles }.of(Role::Targets));
            }
            let Self { trusted, path, visited, waiting } = self;
            return Ok(Next::Ask(Search { trusted, path, visited, waiting, current, fetching: false }));
        }
        Ok(Next::Done(None))
    }
}
