//! Which file to ask for next: the whole refresh of a repository without a network.
//!
//! [`Refresh`] asks ([`Refresh::ask`]), somebody answers ([`Refresh::answer`]), and what the answer proved is to be
//! kept ([`Effect`]) before the next question: persist, then go on. It asks for the next root, the timestamp, the
//! snapshot and the targets, in that order and for nothing else, and for stored files before fetched ones. It must
//! never ask for more bytes than the limits allow. [`FirstRoot`] finds a root of which only the hash is known.
//!
//! Read next: [`super::trust`] for the checks, [`super::search`] for one file, [`Source`] for a simple loop.

use super::fault::{Fault, Role, TrustError};
use super::name;
use super::trust::{AtRoot, AtSnapshot, AtTargets, AtTimestamp, Rotation, Rules, Trusted};
use crate::ids::Sha256;
use crate::limits;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// What is wanted next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A file that an earlier refresh kept under this name; not found is a fine answer.
    Stored(String),
    /// A file of the repository.
    Fetch(Request),
}

/// A file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its path, percent-encoded where needed, relative to the metadata folder.
    pub path: String,
    /// The bytes to read at most; of a longer file the answer is its first `limit` + 1 bytes.
    pub limit: usize,
}

/// What must be on the disk before the next question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep the answered bytes, as they are, under this name.
    Keep(String),
    /// Remove this name.
    Forget(String),
}

/// What follows an answer.
#[derive(Debug)]
pub struct Turn<Going, Proof> {
    /// What to keep and remove, in this order.
    pub effects: Vec<Effect>,
    /// The next question or the end.
    pub next: Next<Going, Proof>,
}

/// The next question or the end.
#[derive(Debug)]
pub enum Next<Going, Proof> {
    /// There is another question.
    Ask(Going),
    /// All is proved.
    Done(Proof),
}

impl<Going, Proof> Turn<Going, Proof> {
    pub(super) fn ask(effects: Vec<Effect>, going: Going) -> Self {
        Self { effects, next: Next::Ask(going) }
    }

    pub(super) fn done(effects: Vec<Effect>, proof: Proof) -> Self {
        Self { effects, next: Next::Done(proof) }
    }
}

/// A refresh under way.
#[derive(Debug)]
pub struct Refresh {
    state: State,
}

#[derive(Debug)]
enum State {
    Roots(Trusted<AtRoot>, u64),
    StoredTimestamp(Trusted<AtRoot>),
    Timestamp(Trusted<AtRoot>),
    StoredSnapshot(Trusted<AtTimestamp>),
    Snapshot(Trusted<AtTimestamp>),
    StoredTargets(Trusted<AtSnapshot>),
    Targets(Trusted<AtSnapshot>),
}

type RefreshTurn = Result<Turn<Refresh, Trusted<AtTargets>>, TrustError>;

impl Refresh {
    /// Starts from the stored, shipped or pinned root. Nothing is asked for if it is no good.
    ///
    /// # Errors
    /// The root is unusable.
    pub fn start(root: &[u8], rules: &Rules<'_>) -> Result<Self, TrustError> {
        Ok(Self { state: State::Roots(Trusted::start(root, rules)?, 0) })
    }

    /// What is wanted next.
    ///
    /// # Errors
    /// The snapshot does not list the targets role.
    pub fn ask(&self, rules: &Rules<'_>) -> Result<Ask, TrustError> {
        let fetch = |path: String, limit: usize| Ok(Ask::Fetch(Request { path, limit }));
        match &self.state {
            State::Roots(trusted, _) => {
                let next = trusted.root().version.saturating_add(1);
                fetch(name::path(&Role::Root, next, true), rules.limit(&Role::Root))
            }
            State::StoredTimestamp(_) => Ok(Ask::Stored(name::file(&Role::Timestamp))),
            State::Timestamp(_) => {
                fetch(name::path(&Role::Timestamp, 0, false), rules.limit(&Role::Timestamp))
            }
            State::StoredSnapshot(_) => Ok(Ask::Stored(name::file(&Role::Snapshot))),
            State::Snapshot(trusted) => {
                let meta = &trusted.newest().snapshot;
                let path = name::path(&Role::Snapshot, meta.version, trusted.root().consistent_snapshot);
                fetch(path, rules.limit_of(&Role::Snapshot, meta))
            }
            State::StoredTargets(_) => Ok(Ask::Stored(name::file(&Role::Targets))),
            State::Targets(trusted) => {
                let meta = trusted.listed_targets()?;
                let path = name::path(&Role::Targets, meta.version, trusted.root().consistent_snapshot);
                fetch(path, rules.limit_of(&Role::Targets, meta))
            }
        }
    }

    /// Takes the answer: the bytes, or nothing if there is no such file.
    ///
    /// # Errors
    /// The refresh fails; what was kept so far stays good for the next one.
    pub fn answer(self, bytes: Option<&[u8]>, rules: &Rules<'_>) -> RefreshTurn {
        match self.state {
            State::Roots(trusted, rotations) => next_root(trusted, rotations, bytes, rules),
            State::StoredTimestamp(mut trusted) => {
                if let Some(bytes) = bytes {
                    // One that no longer verifies bounds nothing: its keys were rotated.
                    let _ = trusted.recall(bytes, rules);
                }
                Ok(going(vec![], State::Timestamp(trusted)))
            }
            State::Timestamp(trusted) => {
                let trusted = trusted.timestamp(found(bytes, &Role::Timestamp)?, rules)?;
                let effects = if trusted.is_known() { vec![] } else { keep(&Role::Timestamp) };
                Ok(going(effects, State::StoredSnapshot(trusted)))
            }
            State::StoredSnapshot(mut trusted) => match bytes {
                Some(bytes) if trusted.recall(bytes, rules).is_ok_and(|current| current) => {
                    Ok(going(vec![], State::StoredTargets(trusted.snapshot(bytes, rules)?)))
                }
                Some(_) | None => Ok(going(vec![], State::Snapshot(trusted))),
            },
            State::Snapshot(trusted) => {
                let trusted = trusted.snapshot(found(bytes, &Role::Snapshot)?, rules)?;
                Ok(going(keep(&Role::Snapshot), State::StoredTargets(trusted)))
            }
            State::StoredTargets(trusted) => match bytes {
                Some(bytes) if trusted.check_targets(bytes, rules).is_ok() => {
                    Ok(Turn::done(vec![], trusted.targets(bytes, rules)?))
                }
                Some(_) | None => Ok(going(vec![], State::Targets(trusted))),
            },
            State::Targets(trusted) => {
                let trusted = trusted.targets(found(bytes, &Role::Targets)?, rules)?;
                Ok(Turn::done(keep(&Role::Targets), trusted))
            }
        }
    }

    /// Runs the whole refresh against a source.
    ///
    /// # Errors
    /// The refresh failed, or the source did.
    pub fn run<S: Source>(
        root: &[u8],
        rules: &Rules<'_>,
        source: &mut S,
    ) -> Result<Trusted<AtTargets>, S::Error> {
        let mut refresh = Self::start(root, rules)?;
        loop {
            let bytes = source.answer(&refresh.ask(rules)?)?;
            let turn = refresh.answer(bytes.as_deref(), rules)?;
            source.apply(&turn.effects, bytes.as_deref().unwrap_or_default())?;
            match turn.next {
                Next::Ask(next) => refresh = next,
                Next::Done(trusted) => return Ok(trusted),
            }
        }
    }
}

fn next_root(
    mut trusted: Trusted<AtRoot>,
    rotations: u64,
    bytes: Option<&[u8]>,
    rules: &Rules<'_>,
) -> RefreshTurn {
    let Some(bytes) = bytes else {
        trusted.final_root(rules)?;
        return Ok(going(vec![], State::StoredTimestamp(trusted)));
    };
    // First the stored files go, then the new root comes: a crash in between repeats the rotation.
    let mut effects = match trusted.rotate(bytes, rules)? {
        Rotation::SameKeys => vec![],
        Rotation::Forget => {
            [Role::Timestamp, Role::Snapshot].map(|role| Effect::Forget(name::file(&role))).into()
        }
    };
    effects.extend(keep(&Role::Root));
    if rotations + 1 < rules.sizes.rotations {
        return Ok(going(effects, State::Roots(trusted, rotations + 1)));
    }
    trusted.final_root(rules)?;
    Ok(going(effects, State::StoredTimestamp(trusted)))
}

fn going(effects: Vec<Effect>, state: State) -> Turn<Refresh, Trusted<AtTargets>> {
    Turn::ask(effects, Refresh { state })
}

fn keep(role: &Role) -> Vec<Effect> {
    vec![Effect::Keep(name::file(role))]
}

pub(super) fn found<'a>(bytes: Option<&'a [u8]>, role: &Role) -> Result<&'a [u8], TrustError> {
    bytes.ok_or_else(|| Fault::NotFound.of(role.clone()))
}

/// Where files come from and are kept, for callers that can wait: folders, tests, the server's own store.
pub trait Source {
    /// The source's own trouble, or a refusal.
    type Error: From<TrustError>;

    /// The bytes of the file, or nothing if there is none.
    ///
    /// # Errors
    /// The source failed, which is different from a missing file.
    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Makes the effects of the answer lasting.
    ///
    /// # Errors
    /// The source failed.
    fn apply(&mut self, effects: &[Effect], answered: &[u8]) -> Result<(), Self::Error>;
}

/// The search for a first root of which only the hash of its bytes is known (decision 0002): `1.root.json`,
/// `2.root.json`, … until one has it.
#[derive(Debug)]
pub struct FirstRoot {
    pin: Sha256,
    version: u64,
}

impl FirstRoot {
    /// Starts the search.
    #[must_use]
    pub fn new(pin: Sha256) -> Self {
        Self { pin, version: 1 }
    }

    /// The file that is wanted next.
    #[must_use]
    pub fn ask(&self, rules: &Rules<'_>) -> Request {
        let path = name::path(&Role::Root, self.version, true);
        Request { path, limit: rules.limit(&Role::Root) }
    }

    /// Takes the answer. The root that has the hash must also be signed by its own threshold; it is to be kept, and
    /// then trusted, by [`Refresh::start`].
    ///
    /// # Errors
    /// None of the first roots has the hash, or the one that has it is unusable.
    pub fn answer(self, bytes: Option<&[u8]>, rules: &Rules<'_>) -> Result<Turn<Self, ()>, TrustError> {
        let missed = Fault::NotPinned { tried: self.version - u64::from(bytes.is_none()) };
        let Some(bytes) = bytes else { return Err(missed.of(Role::Root)) };
        if Sha256::of(bytes) == self.pin {
            Trusted::start(bytes, rules)?;
            return Ok(Turn::done(keep(&Role::Root), ()));
        }
        if self.version >= limits::FIRST_ROOTS {
            return Err(missed.of(Role::Root));
        }
        Ok(Turn::ask(vec![], Self { version: self.version + 1, ..self }))
    }
}
