//! The calendar of wards: seven days from today, over the book and the fleet view.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::calendar::{self, Ward as Planned};
use cordon_server_core::rollout::{Book, State as Standing, ward_name};

use super::visitor::Known;
use super::{Desk, Page, count};
use crate::ui::calendar::{Calendar, DAYS, Planned as Shown, Ward, render};
use crate::ui::frame::Section;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// The page.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let book = desk.operator.rollouts.book();
    let members = desk.operator.app.fleet.all();
    let wards = calendar::wards(&book, members.iter().map(|member| &*member.device), now, DAYS);
    let today = Timestamp(now.0.div_euclid(DAY_S) * DAY_S);
    let page = Calendar {
        days: (0..i64::from(DAYS)).map(|day| today.plus_seconds(day * DAY_S)).collect(),
        wards: wards.into_iter().map(|ward| ward_of(&book, ward, now)).collect(),
        holds: count(book.holds.values().filter(|hold| hold.holds(now)).count()),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Rollouts, &roster), &page)))
}

fn ward_of(book: &Book, ward: Planned, now: Timestamp) -> Ward {
    let rollout = |id: &Name| {
        let known = book.rollouts.get(id);
        let title = known.map_or(id.as_str(), |rollout| rollout.title.as_str());
        let still = known.and_then(|rollout| stands_still(&rollout.state));
        Shown { id: id.to_string(), title: title.into(), still }
    };
    Ward {
        tonight: ward.disturbed_tonight(now),
        holdable: format!("ward:{}", ward_name(&ward.site, &ward.ward)),
        name: ward.ward.as_str().into(),
        site: ward.site.as_str().into(),
        rollouts: ward.rollouts.iter().map(rollout).collect(),
        days: ward.days,
    }
}

/// Why nothing of a rollout is planned.
fn stands_still(state: &Standing) -> Option<&'static str> {
    match state {
        Standing::Paused { .. } => Some("paused"),
        Standing::Stopped { .. } => Some("stopped"),
        Standing::Halted { .. } => Some("stopped itself"),
        Standing::Running
        | Standing::Returning
        | Standing::Returned { .. }
        | Standing::Aborted { .. }
        | Standing::Finished { .. } => None,
    }
}
