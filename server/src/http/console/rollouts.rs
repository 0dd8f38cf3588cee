//! The list of rollouts and holds, and the row that a rollout has there and on its own page.
//!
//! Counts are the engine's own (`tally`), over the fleet view. Read next: `rollout` for one of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::{
    Book, DeviceFacts, Fleet, Rollout, RolloutKind, Stage, State as Standing, Tally, content_name, tally,
};

use super::super::operator::rollouts::fleet_of;
use super::acts::rollouts::value_of;
use super::standing::covers_words;
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::ui::frame::Section;
use crate::ui::rollouts::{Hold, RolloutRow, Rollouts, State as Stands, render_list};
use crate::ui::words::{actor_words, list as words_list};
use crate::ui::{Clock, Said};

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let book = desk.operator.rollouts.book();
    let mut rollouts: Vec<&Rollout> = book.rollouts.values().collect();
    rollouts.sort_by_key(|rollout| (rank(&rollout.state), std::cmp::Reverse(rollout.created)));
    let row = |rollout: &&Rollout| {
        let fleet = fleet_of(&desk.operator, &book, rollout);
        row_of(&book, rollout, &fleet, now)
    };
    let hold = |hold: &cordon_server_core::rollout::Hold| Hold {
        id: hold.id.to_string(),
        covers: covers_words(&hold.covers),
        by: actor_words(&hold.by).into(),
        reason: Said::sentence(hold.reason.as_str()),
        at: hold.at,
        until: hold.until,
        choice: value_of(&hold.covers),
    };
    let (holds, lapsed): (Vec<_>, Vec<_>) = book.holds.values().partition(|hold| hold.holds(now));
    let [holds, lapsed] = [holds, lapsed].map(|some| some.into_iter().map(hold).collect());
    let page = Rollouts { rows: rollouts.iter().map(row).collect(), holds, lapsed };
    Ok(Html(render_list(&desk.frame(&visitor, Section::Rollouts, &roster), &page)))
}

/// Halted first, then running, then stopped, then done.
fn rank(state: &Standing) -> u8 {
    match state {
        Standing::Halted { .. } => 0,
        Standing::Running | Standing::Returning => 1,
        Standing::Stopped { .. } | Standing::Paused { .. } => 2,
        Standing::Finished { .. } | Standing::Returned { .. } | Standing::Aborted { .. } => 3,
    }
}

/// A rollout's row.
pub(super) fn row_of(book: &Book, rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> RolloutRow {
    RolloutRow {
        id: rollout.id.to_string(),
        title: rollout.title.as_str().into(),
        order: order_words(book, rollout, now),
        signers: signer_words(book, rollout),
        state: stands(rollout, fleet, now),
        tally: whole(rollout, fleet, now),
        waves: rollout.waves.len(),
    }
}

/// The install orders and until when they hold.
pub(super) fn order_words(book: &Book, rollout: &Rollout, now: Timestamp) -> Said {
    let mut orders: Vec<String> = Vec::new();
    for wave in &rollout.waves {
        let name = match rollout.kind {
            RolloutKind::Firmware => wave.order.to_string(),
            RolloutKind::Content => content_name(&wave.order).to_string(),
        };
        if !orders.contains(&name) {
            orders.push(name);
        }
    }
    let listed = book.listed(rollout.kind);
    let live = rollout.waves.iter().filter_map(|wave| listed.get(&wave.order));
    let ends = live.map(|order| order.expires).min();
    let names = match orders.len() {
        0..=2 => words_list(&orders),
        many => format!("{many} orders"),
    };
    match ends {
        Some(end) if end > now => format!("{names}, until {}", Clock::utc(now).day_words(end)).into(),
        Some(_) | None => format!("{names}, no longer in force").into(),
    }
}

/// Whose signature: the server checked it when the orders were published, and keys have no names here.
pub(super) fn signer_words(book: &Book, rollout: &Rollout) -> Said {
    let listed = book.listed(rollout.kind);
    let live = rollout.waves.iter().all(|wave| listed.contains_key(&wave.order));
    if live { "checked against our root".into() } else { "not in the newest orders".into() }
}

/// All devices of a rollout by stage.
pub(super) fn whole(rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> Tally {
    let waves = rollout.waves.iter().map(|wave| tally(wave, fleet, &rollout.policy, now));
    waves.fold(Tally::default(), |all, wave| all.plus(&wave))
}

fn stands(rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> Stands {
    let words = |by: &str, reason: &str| (actor_words(by).into(), Said::sentence(reason));
    match &rollout.state {
        Standing::Running => match rollout.waves.iter().rposition(|wave| wave.started.is_some()) {
            None => Stands::Planned,
            Some(last) => Stands::Running { wave: last + 1, in_flight: in_flight(rollout, fleet, now) },
        },
        Standing::Halted { at, wave, reason } => {
            Stands::Halted { at: *at, wave: wave + 1, reason: Said::sentence(reason.as_str()) }
        }
        Standing::Stopped { at, by, reason } => {
            let (by, reason) = words(by, reason);
            Stands::Stopped { at: *at, by, reason }
        }
        Standing::Paused { at, by, reason } => {
            let (by, reason) = words(by, reason);
            Stands::Paused { at: *at, by, reason }
        }
        Standing::Aborted { at, by, reason } => {
            let (by, reason) = words(by, reason);
            Stands::Aborted { at: *at, by, reason }
        }
        Standing::Returning => {
            let begun = rollout.way_back.as_ref();
            let (by, reason) = begun.map_or_else(Default::default, |way| words(&way.by, &way.reason));
            let at = begun.map_or(now, |way| way.at);
            Stands::Returning { at, by, reason, left: to_go_back(fleet) }
        }
        Standing::Returned { at } => Stands::Returned { at: *at },
        Standing::Finished { at } => Stands::Finished { at: *at },
    }
}

/// Devices that confirmed and have not ended their way back.
pub(super) fn to_go_back(fleet: &Fleet) -> u64 {
    let left =
        |facts: &&DeviceFacts| facts.receipt == Some(Outcome::Confirmed) && facts.back.outcome.is_none();
    count(fleet.values().filter(left).count())
}

/// Devices that hold the go and have not ended, and how many may.
fn in_flight(rollout: &Rollout, fleet: &Fleet, now: Timestamp) -> (u32, u32) {
    let flying = fleet
        .values()
        .filter(|facts| facts.permitted.is_some() && facts.stage(&rollout.policy, now) == Stage::Installing);
    (u32::try_from(count(flying.count())).unwrap_or(u32::MAX), rollout.policy.in_flight)
}
