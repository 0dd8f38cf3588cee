//! Service visits in the store: announced, ended, and which finding began inside which.
//!
//! They are few and are read when they are asked for. Nothing here touches a finding or a score. Read next:
//! `cordon_server_core::visit` for what is allowed and what a tie means.

use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Index, Kind};
use cordon_server_core::exception::Word;
use cordon_server_core::risk::Band;
use cordon_server_core::select::Seen;
use cordon_server_core::triage::Record;
use cordon_server_core::visit::{Announced, Refused, Standing, Tie, Visit, tie_of};

use crate::app::{App, CommitError, name};
use crate::chance;
use crate::fleet::Member;
use crate::store::{Cursor, Expected, Key, StoreError};

/// Why nothing became of an act.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// There is no such visit.
    #[error("there is no such service visit here")]
    Unknown,
    /// There are so many already.
    #[error("{} service visits are announced: end those that are not needed", limits::VISITS)]
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

/// All visits, those of now first, then what is to come, then what is over, the newest first.
pub async fn all(app: &App) -> Result<Vec<Visit>, StoreError> {
    let (mut visits, mut from) = (Vec::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = app.store.scan(Index::All(Kind::Visit), cursor, limits::PAGE_ROWS).await?;
        // One that a newer server wrote is not shown by an older one.
        visits.extend(page.rows.iter().filter_map(|(_, row)| Visit::from_body(&row.body)));
        from = page.next;
    }
    let now = app.clock.now();
    visits.sort_by_key(|visit| {
        let standing = visit.standing(now);
        let ahead = standing == Standing::Ahead;
        (standing, if ahead { visit.from.0 } else { -visit.from.0 })
    });
    Ok(visits)
}

/// Announces a visit.
pub async fn announce(app: &App, asked: Announced, reason: &Text, by: &Actor) -> Result<Visit, VisitError> {
    let now = app.clock.now();
    let kept = all(app).await?.iter().filter(|visit| visit.standing(now) != Standing::Over).count();
    if kept >= limits::VISITS {
        return Err(VisitError::TooMany);
    }
    let digits = u32::from_be_bytes(chance::random());
    let id: Name = format!("v-{digits:08x}").parse().expect("hexadecimal digits make a name");
    let word = Word { by: by.to_string(), at: now, reason: reason.clone() };
    let visit = Visit::announce(id, asked, word)?;
    write(app, &visit, Expected::Absent, by, ("visit.announce", reason)).await?;
    Ok(visit)
}

/// Ends a visit before its time, or calls it off.
pub async fn end(app: &App, id: &Name, reason: &Text, by: &Actor) -> Result<Visit, VisitError> {
    let key = Key::Visit(id.clone());
    let row = app.store.get(key.clone()).await?.ok_or(VisitError::Unknown)?;
    let known = Visit::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
    let after = known.end(Word { by: by.to_string(), at: app.clock.now(), reason: reason.clone() })?;
    write(app, &after, Expected::At(row.revision), by, ("visit.end", reason)).await?;
    Ok(after)
}

async fn write(
    app: &App,
    visit: &Visit,
    expected: Expected,
    by: &Actor,
    (action, reason): (&str, &Text),
) -> Result<(), VisitError> {
    let words = format!("{} at {}, {} to {}", visit.who, visit.filter.join(" "), visit.from, visit.over());
    let entry = Entry {
        reason: Some(reason.clone()),
        after: Some(Summary::of(&words)),
        ..Entry::new(name(action), Text::lossy(&format!("visit:{}", visit.id)))
    };
    Ok(app.put((Key::Visit(visit.id.clone()), expected, visit.to_body()), (by, entry)).await?)
}

/// The visit inside which a device's finding began.
#[must_use]
pub fn tie<'a>(visits: &'a [Visit], member: &Member, record: &Record) -> Option<Tie<'a>> {
    tie_of(visits, record, &seen(member))
}

/// How many of these devices a visit covers.
#[must_use]
pub fn covered<'a>(visit: &Visit, members: impl IntoIterator<Item = &'a Member>) -> usize {
    members.into_iter().filter(|member| visit.covers(&seen(member))).count()
}

/// A device as a visit's filter sees it: no visit is chosen by band or weakness.
fn seen(member: &Member) -> Seen<'_> {
    Seen { device: &member.device, report: member.report.as_deref(), band: Band::Low, is_affected: false }
}
