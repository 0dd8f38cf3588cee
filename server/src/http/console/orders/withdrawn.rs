//! Orders that were taken back: who did so when, by which document, and what became of the rollouts over them.
//!
//! Read next: `crate::repositories` for where it is read, `ui::orders` for the rows.

use cordon_proto::time::Timestamp;
use cordon_server_core::import::KnownRelease;
use cordon_server_core::rollout::{Book, Rollout, State as Standing, Wave};

use super::super::{Desk, count};
use super::{facts, known_of, scope_words};
use crate::repositories::TakenBack;
use crate::ui::device::Fact;
use crate::ui::orders::{Order, OrderRow, Standing as Stands, WithdrawnRow, window_words};
use crate::ui::words::{actor_words, plural};
use crate::ui::{Clock, Said, paths};

/// Its row in the list.
pub(super) fn row_of(book: &Book, gone: &TakenBack) -> WithdrawnRow {
    let at = gone.brought.as_ref().map(|(_, at)| *at);
    let rollouts = over(book, gone).map(|one| (one.id.to_string(), one.title.as_str().into(), fate(one, at)));
    WithdrawnRow {
        name: gone.order.id.as_str().into(),
        href: paths::order(gone.order.id.as_str()),
        release: gone.order.image.release.as_str().into(),
        reason: Said::sentence(gone.order.reason.as_str()),
        anew: gone.anew,
        by: gone.versions.0,
        signed: signed_words(gone),
        brought: gone.brought.as_ref().map(|(by, at)| (actor_words(by).into(), *at)),
        rollouts: rollouts.collect(),
    }
}

/// Its own page.
pub(super) fn page(desk: &Desk, book: &Book, gone: &TakenBack, releases: &[KnownRelease]) -> Order {
    let (order, clock) = (&gone.order, Clock::utc(desk.now()));
    let known = known_of(order, releases);
    let mut all = facts(order, known, &clock);
    let (by, last) = gone.versions;
    let told = match &gone.brought {
        Some((who, at)) => format!("brought {} by {}", clock.moment_words(*at), actor_words(who)),
        None => "who brought it is not known here".to_owned(),
    };
    all.insert(
        0,
        Fact::new("Withdrawn", format!("by document {by}; the last that lists it is {last}")).note(told),
    );
    let release = order.image.release.as_str();
    Order {
        row: OrderRow {
            id: order.id.to_string(),
            name: order.id.as_str().into(),
            release: (release.into(), known.map(|_| paths::release(order.repository.as_str(), release))),
            scope: scope_words(&order.scope).into(),
            standing: Stands::Withdrawn(by),
            signed: format!("{}, which withdrew it", signed_words(gone)),
            rollouts: over(book, gone).map(|one| (one.id.to_string(), one.title.as_str().into())).collect(),
            reason: Said::sentence(order.reason.as_str()),
        },
        facts: all,
        windows: order.windows.iter().map(window_words).collect(),
        keys: gone.signed.0.iter().map(|key| key.as_str().into()).collect(),
        preview: Err(
            "Nothing: devices refuse it, and its way back is closed. What is confirmed stays confirmed."
                .into(),
        ),
    }
}

/// "2 keys of at least 2, in document 15".
fn signed_words(gone: &TakenBack) -> String {
    let (keys, threshold) = &gone.signed;
    let keys = plural(count(keys.len()), "key", "keys");
    format!("{keys} of at least {threshold}, in document {}", gone.versions.0)
}

/// Rollouts that were created over this very order, not over one that took its name.
fn over<'a>(book: &'a Book, gone: &'a TakenBack) -> impl Iterator<Item = &'a Rollout> {
    let order = &gone.order;
    let carries = |wave: &Wave| {
        let bytes = wave.signed.as_ref().is_none_or(|signed| signed.sha256 == order.image.sha256);
        wave.order == order.id && bytes
    };
    let over = move |one: &&Rollout| one.release == order.image.release && one.waves.iter().any(carries);
    book.rollouts.values().filter(over)
}

/// What became of a rollout since its order was taken back.
fn fate(rollout: &Rollout, taken_back: Option<Timestamp>) -> &'static str {
    let since = |at: Timestamp| taken_back.is_none_or(|back| at >= back);
    match &rollout.state {
        Standing::Stopped { at, by, .. } if by.starts_with("server:") && since(*at) => "ended by it",
        Standing::Stopped { .. } => "stopped",
        Standing::Halted { .. } => "halted",
        Standing::Paused { .. } => "paused",
        Standing::Aborted { .. } => "ended for good by a person",
        Standing::Returning | Standing::Returned { .. } => "sent back",
        Standing::Finished { at } if !since(*at) => "had finished before",
        Standing::Finished { .. } => "finished",
        Standing::Running => "goes on with its other orders",
    }
}
