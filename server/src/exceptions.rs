//! Accepted risks in the store: asked for, approved, taken back, and noted when they are over.
//!
//! They are few and are read when they are asked for; of two people who act at once one is told to look again. Nothing here
//! touches a score. Read next: `cordon_server_core::exception` for what is allowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Index, Kind};
use cordon_server_core::exception::{About, Asked, Exception, Refused, Standing, Word};
use cordon_server_core::risk::{Band, Score};
use cordon_server_core::select::{Filter, Seen};

use crate::app::{App, CommitError, name, server};
use crate::appraisal::{Published, appraise};
use crate::chance;
use crate::fleet::Member;
use crate::store::{Cursor, Expected, Key, StoreError};

/// Why nothing became of an act.
#[derive(Debug, thiserror::Error)]
pub enum ExceptionError {
    /// There is no such exception.
    #[error("there is no such exception here")]
    Unknown,
    /// There are so many already.
    #[error("{} accepted risks are known: take back those that are over", limits::EXCEPTIONS)]
    TooMany,
    /// It is not allowed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What a person does to an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A second person's yes.
    Approve,
    /// It is taken back.
    Withdraw,
}

impl Act {
    /// The act of an address.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "approve" => Some(Self::Approve),
            "withdraw" => Some(Self::Withdraw),
            _ => None,
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Approve => "exception.approve",
            Self::Withdraw => "exception.withdraw",
        }
    }
}

/// All exceptions, by name.
pub async fn all(app: &App) -> Result<Vec<Exception>, StoreError> {
    let (mut exceptions, mut from) = (Vec::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = app.store.scan(Index::All(Kind::Exception), cursor, limits::PAGE_ROWS).await?;
        // One that a newer server wrote is not shown by an older one.
        exceptions.extend(page.rows.iter().filter_map(|(_, row)| Exception::from_body(&row.body)));
        from = page.next;
    }
    Ok(exceptions)
}

/// One exception.
pub async fn one(app: &App, id: &Name) -> Result<Exception, ExceptionError> {
    Ok(stored(app, id).await?.0)
}

async fn stored(app: &App, id: &Name) -> Result<(Exception, Expected), ExceptionError> {
    let key = Key::Exception(id.clone());
    let row = app.store.get(key.clone()).await?.ok_or(ExceptionError::Unknown)?;
    let exception = Exception::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
    Ok((exception, Expected::of(Some(&row))))
}

/// Asks for an exception.
pub async fn request(app: &App, asked: Asked, by: &Actor) -> Result<Exception, ExceptionError> {
    let kept = all(app).await?.iter().filter(|exception| exception.withdrawn.is_none()).count();
    if kept >= limits::EXCEPTIONS {
        return Err(ExceptionError::TooMany);
    }
    let digits = u32::from_be_bytes(chance::random());
    let id: Name = format!("x-{digits:08x}").parse().expect("hexadecimal digits make a name");
    let now = app.clock.now();
    let exception = Exception::request(id, asked, by.to_string(), now)?;
    let words =
        format!("{} for {}, until {}", exception.about.name(), exception.filter.join(" "), exception.until);
    write(app, &exception, Expected::Absent, by, ("exception.request", &exception.reason, &words)).await?;
    Ok(exception)
}

/// Approves an exception or takes it back.
pub async fn act(
    app: &App,
    id: &Name,
    act: Act,
    reason: &Text,
    by: &Actor,
) -> Result<Exception, ExceptionError> {
    let (known, expected) = stored(app, id).await?;
    let word = Word { by: by.to_string(), at: app.clock.now(), reason: reason.clone() };
    let after = match act {
        Act::Approve => known.approve(word)?,
        Act::Withdraw => known.withdraw(word)?,
    };
    let words = format!("{}, until {}", after.about.name(), after.until);
    write(app, &after, expected, by, (act.action(), reason, &words)).await?;
    Ok(after)
}

/// Notes what is over, each once, and says so in log and journal.
pub async fn lapse(app: &App) -> Result<usize, ExceptionError> {
    let now = app.clock.now();
    let mut noted = 0;
    for exception in all(app).await? {
        if exception.lapsing(now).is_none() {
            continue;
        }
        let (known, expected) = stored(app, &exception.id).await?;
        let Some(over) = known.lapsing(now) else { continue };
        let words = over.line(now);
        let told = ("exception.lapse", &over.reason, words.as_str());
        match write(app, &over, expected, &server("exceptions"), told).await {
            Err(ExceptionError::Commit(error)) if error.is_conflict() => continue,
            outcome => outcome?,
        }
        tracing::warn!(exception = %over.id, "{words}: decide anew, or repair it");
        noted += 1;
    }
    Ok(noted)
}

async fn write(
    app: &App,
    exception: &Exception,
    expected: Expected,
    by: &Actor,
    (action, reason, words): (&str, &Text, &str),
) -> Result<(), ExceptionError> {
    let entry = Entry {
        reason: Some(reason.clone()),
        after: Some(Summary::of(words)),
        ..Entry::new(name(action), Text::lossy(&format!("exception:{}", exception.id)))
    };
    Ok(app.put((Key::Exception(exception.id.clone()), expected, exception.to_body()), (by, entry)).await?)
}

/// Those of these exceptions that a person should see beside a device: in force, asked for, or over and not taken back.
#[must_use]
pub fn beside<'a>(
    exceptions: &'a [Exception],
    member: &Member,
    published: &Published,
    now: Timestamp,
) -> Vec<&'a Exception> {
    if exceptions.is_empty() {
        return Vec::new();
    }
    let seen = seen_as(member, appraise(member, published, now).score.band);
    let shown =
        |exception: &&Exception| exception.standing(now) != Standing::Withdrawn && exception.covers(&seen);
    exceptions.iter().filter(shown).collect()
}

/// Accepted risks whose filters were read, for a look at many devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted(Vec<(Exception, Filter)>);

impl Accepted {
    /// Those that are in force, or were and are over without anybody having taken them back.
    #[must_use]
    pub fn announced(all: Vec<Exception>) -> Self {
        Self::read(all.into_iter().filter(Exception::is_announced))
    }

    /// Those that are in force.
    #[must_use]
    pub fn in_force(all: Vec<Exception>, now: Timestamp) -> Self {
        Self::read(all.into_iter().filter(|one| one.standing(now) == Standing::Approved))
    }

    /// One whose filter cannot be judged any more means no device.
    fn read(all: impl Iterator<Item = Exception>) -> Self {
        let filter = |one: &Exception| Filter::read(one.filter.iter().map(String::as_str)).ok();
        Self(all.filter_map(|one| filter(&one).map(|filter| (one, filter))).collect())
    }

    /// Those that cover a device and are about a part of its score, each in a line.
    #[must_use]
    pub fn lines(&self, member: &Member, score: &Score) -> Vec<String> {
        let seen = seen_as(member, score.band);
        let has = |one: &Exception| score.contributions.iter().any(|part| one.about.is(part));
        let own = self.0.iter().filter(|(one, filter)| filter.fits(&seen) && has(one));
        own.map(|(one, _)| one.line(score.at)).collect()
    }

    /// The weaknesses that somebody accepts, each with the filters of the devices that are meant.
    #[must_use]
    pub fn weaknesses(&self) -> BTreeMap<String, Vec<&Filter>> {
        let mut found: BTreeMap<String, Vec<&Filter>> = BTreeMap::new();
        for (one, filter) in &self.0 {
            if let About::Weakness(name) = &one.about {
                found.entry(name.as_str().to_ascii_uppercase()).or_default().push(filter);
            }
        }
        found
    }
}

/// A device as the filter of an exception sees it, which never asks for an advisory.
#[must_use]
pub fn seen_as(member: &Member, band: Band) -> Seen<'_> {
    Seen { device: &member.device, report: member.report.as_deref(), band, is_affected: false }
}

/// The devices that an exception covers now, and whether each has what is accepted in its score.
#[must_use]
pub fn covered(app: &App, published: &Published, exception: &Exception) -> Vec<(Arc<Member>, bool)> {
    let now = app.clock.now();
    let mut covered = Vec::new();
    for member in app.fleet.all() {
        let appraised = appraise(&member, published, now);
        if exception.covers(&seen_as(&member, appraised.score.band)) {
            let has = appraised.score.contributions.iter().any(|part| exception.about.is(part));
            covered.push((member, has));
        }
    }
    covered
}
