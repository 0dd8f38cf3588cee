//! The audit log, newest first, narrowed to an object or a person; and what else pages want of it.
//!
//! The journal has no index by object: a narrowed page looks through a bounded stretch and then offers to look
//! further. Read next: `operator::audit`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use cordon_proto::audit::short;
use cordon_proto::ids::DeviceId;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Actor;

use super::super::operator::audit::{AuditEntry, page as journal};
use super::roster::Roster;
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::store::StoreError;
use crate::ui::audit::{Audit, Entry, PAGE_ROWS, Sealed, render};
use crate::ui::frame::Section;
use crate::ui::{Said, paths};

/// Entries that are read at a time.
const STRETCH: usize = 500;
/// Stretches that one narrowed page looks through.
const STRETCHES: usize = 20;
/// Own reasons that are offered again.
const REASONS: usize = 5;

/// The page.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let roster = desk.roster();
    let narrow = Narrow { object: visitor.asked("object"), actor: visitor.asked("actor") };
    let before = visitor.asked("before").and_then(|before| before.parse::<u64>().ok());
    let (newest, _) = journal(&desk.operator, None, 1).await?;
    let total = newest.first().map_or(0, |entry| entry.sequence);
    let (entries, next) = if narrow.is_open() {
        journal(&desk.operator, before, PAGE_ROWS).await?
    } else {
        narrowed(&desk, &narrow, before).await?
    };
    let first = entries.first().map(|entry| entry.sequence);
    let newer = before.map(|_| {
        let from = first.unwrap_or(0).saturating_add(count(PAGE_ROWS)).saturating_add(1);
        narrow.address(Some(from).filter(|from| *from <= total && narrow.is_open()))
    });
    let standing = desk.operator.app.audit.standing();
    let page = Audit {
        total,
        sealed: standing.head.as_ref().map(|head| Sealed {
            entries: head.size(),
            root: short(&head.head().root),
            at: head.head().at,
        }),
        verified: standing.verified,
        broken: standing.fault().map(|fault| Said::sentence(fault.to_string())),
        object: narrow.object.map(Into::into),
        actor: narrow.actor.map(Into::into),
        rows: entries.into_iter().map(|entry| row_of(entry, &roster)).collect(),
        newer,
        older: next.map(|next| narrow.address(Some(next))),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Audit, &roster), &page)))
}

/// What a page is narrowed to.
struct Narrow<'a> {
    object: Option<&'a str>,
    actor: Option<&'a str>,
}

impl Narrow<'_> {
    fn is_open(&self) -> bool {
        self.object.is_none() && self.actor.is_none()
    }

    fn fits(&self, entry: &AuditEntry) -> bool {
        self.object.is_none_or(|object| object == entry.object)
            && self.actor.is_none_or(|actor| actor == entry.actor)
    }

    fn address(&self, before: Option<u64>) -> String {
        let before = before.map(|before| before.to_string());
        let pairs = [("object", self.object), ("actor", self.actor), ("before", before.as_deref())];
        let set: Vec<(&str, &str)> =
            pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        paths::with_query(paths::AUDIT, &set)
    }
}

/// Entries that fit, and where to look further.
async fn narrowed(
    desk: &Desk,
    narrow: &Narrow<'_>,
    mut before: Option<u64>,
) -> Result<(Vec<AuditEntry>, Option<u64>), StoreError> {
    let mut fitting = Vec::new();
    for _ in 0..STRETCHES {
        let (entries, next) = journal(&desk.operator, before, STRETCH).await?;
        for entry in entries.into_iter().filter(|entry| narrow.fits(entry)) {
            if fitting.len() == PAGE_ROWS {
                let last = fitting.last().map(|entry: &AuditEntry| entry.sequence);
                return Ok((fitting, last));
            }
            fitting.push(entry);
        }
        before = next;
        if before.is_none() {
            break;
        }
    }
    Ok((fitting, before))
}

/// The newest entries about one device, of the last stretch of the journal.
pub(super) async fn about(desk: &Desk, device: DeviceId) -> Result<Vec<AuditEntry>, StoreError> {
    let object = object_of(device);
    let (entries, _) = journal(&desk.operator, None, STRETCH).await?;
    Ok(entries.into_iter().filter(|entry| entry.object == object).collect())
}

/// The last reasons of a person, newest first, each once.
pub(super) async fn own_reasons(desk: &Desk, actor: &Actor) -> Result<Vec<Said>, StoreError> {
    let actor = actor.to_string();
    let (entries, _) = journal(&desk.operator, None, STRETCH).await?;
    let mut reasons: Vec<String> = Vec::new();
    for reason in entries.into_iter().filter(|entry| entry.actor == actor).filter_map(|entry| entry.reason) {
        if reasons.len() < REASONS && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Ok(reasons.into_iter().map(Said::sentence).collect())
}

/// When anything was last written.
pub(super) async fn last_change(desk: &Desk) -> Result<Option<Timestamp>, StoreError> {
    let (entries, _) = journal(&desk.operator, None, 1).await?;
    Ok(entries.first().and_then(|entry| Timestamp::parse(&entry.at).ok()))
}

/// A device as the journal names it.
pub(super) fn object_of(device: DeviceId) -> String {
    format!("device:{device}")
}

fn row_of(entry: AuditEntry, roster: &Roster) -> Entry {
    let (object, href) = object_words(&entry.object, roster);
    Entry {
        sequence: entry.sequence,
        sealed: entry.sealed,
        at: Timestamp::parse(&entry.at).unwrap_or_default(),
        actor: entry.actor.into(),
        act: entry.action.into(),
        object,
        href,
        reason: Said::sentence(entry.reason.unwrap_or_default()),
        before: entry.before.unwrap_or_default().into(),
        after: entry.after.unwrap_or_default().into(),
    }
}

/// What an object is called, and its page.
fn object_words(object: &str, roster: &Roster) -> (Said, Option<String>) {
    let named = || (Said::from(object), None);
    let Some((kind, name)) = object.split_once(':') else { return named() };
    match kind {
        "device" => match name.parse().ok().and_then(|id| roster.get(id)) {
            Some(entry) => (format!("device {}", entry.row.name.raw()).into(), Some(paths::device(name))),
            None => named(),
        },
        "finding" => (format!("finding {name}").into(), Some(paths::finding(name))),
        "rollout" => (format!("rollout {name}").into(), Some(paths::rollout(name))),
        _ => named(),
    }
}
