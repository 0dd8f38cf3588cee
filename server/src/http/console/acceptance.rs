//! Returning devices to use after an install: who waits on a rollout's page, and the form with which a person accepts one.
//!
//! The word goes through the very commit of the API. Read next: `ui::acceptance`, `ui::act` for the wording.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::receipt::Outcome;
use cordon_server_core::rollout::{Acceptance as Rule, Accepted, Book, Fleet, Rollout, unaccepted};

use super::acts::{ask as ask_page, refused};
use super::device::member_of;
use super::fault::Fault;
use super::rollout::plan_of;
use super::standing::{place_words, thing_of};
use super::visitor::{Known, Posted, Visitor};
use super::{Desk, Done, Page, count};
use crate::rollouts::RolloutError;
use crate::ui::acceptance::{Acceptance, Seen, Waits};
use crate::ui::act::Act;
use crate::ui::frame::{Section, Toast};
use crate::ui::words::{actor_words, plural};
use crate::ui::{Said, paths};

/// Devices that are named before they are only counted.
const NAMED: usize = 50;
/// Characters of another system's number.
const NUMBER_CHARS: usize = 80;

/// The check of a rollout, if it has one; the form is offered only to who `may` send it.
pub(super) fn acceptance_of(
    desk: &Desk,
    book: &Book,
    plan: &Rollout,
    fleet: &Fleet,
    may: bool,
) -> Option<Acceptance> {
    let rule = match plan.acceptance {
        Rule::None => return None,
        Rule::Sample { per_wave } => {
            format!("{} of each wave, drawn by lot", plural(per_wave.into(), "device", "devices"))
        }
        Rule::Every => "every device that confirmed".to_owned(),
    };
    let waves = (1..).zip(&plan.waves);
    let waiting: Vec<(usize, DeviceId)> = waves
        .flat_map(|(place, wave)| {
            unaccepted(plan, wave, fleet).into_iter().map(move |device| (place, device))
        })
        .collect();
    let waits: Vec<Waits> = waiting
        .iter()
        .take(NAMED)
        .filter_map(|(wave, device)| waits(desk, plan, (*wave, *device), may))
        .collect();
    Some(Acceptance {
        rule,
        work_order: plan.work_order.as_deref().unwrap_or_default().into(),
        more: count(waiting.len().saturating_sub(waits.len())),
        waits,
        seen: seen(desk, book, plan),
    })
}

fn waits(desk: &Desk, plan: &Rollout, (wave, device): (usize, DeviceId), may: bool) -> Option<Waits> {
    let member = desk.operator.app.fleet.get(device)?;
    Some(Waits {
        name: member.device.hardware.serial.as_str().into(),
        place: place_words(&member.device).into(),
        wave,
        href: may.then(|| paths::accept(plan.id.as_str(), &device.to_string())),
    })
}

fn seen(desk: &Desk, book: &Book, plan: &Rollout) -> Vec<Seen> {
    let known = book.progress.get(&plan.id).into_iter().flatten();
    let mut all: Vec<(&DeviceId, &Accepted)> =
        known.filter_map(|(device, progress)| Some((device, progress.accepted.as_ref()?))).collect();
    all.sort_by_key(|(device, accepted)| (std::cmp::Reverse(accepted.at), **device));
    let row = |(device, accepted): &(&DeviceId, &Accepted)| {
        let member = desk.operator.app.fleet.get(**device)?;
        Some(Seen {
            name: member.device.hardware.serial.as_str().into(),
            href: paths::device(&device.to_string()),
            good: accepted.good,
            by: actor_words(&accepted.by).into(),
            at: accepted.at,
            work_order: accepted.work_order.as_deref().unwrap_or_default().into(),
            note: Said::sentence(accepted.note.as_str()),
        })
    };
    all.iter().take(NAMED).filter_map(row).collect()
}

/// Asks what was seen of a device.
pub(super) async fn ask(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, device)): Path<(String, String)>,
) -> Page {
    let (question, ..) = question(&desk, &id, &device)?;
    ask_page(&desk, &visitor, Section::Rollouts, question).await
}

/// Accepts a device, or does not.
pub(super) async fn done(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, device)): Path<(String, String)>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let (question, rollout, device) = question(&desk, &id, &device)?;
    let number = number_of(&posted);
    let good = match posted.get("choice") {
        Some("good") => true,
        Some("bad") => false,
        Some(_) | None => return again(&desk, &visitor, question, &posted).await,
    };
    let question = question.filled(posted.get("choice").unwrap_or_default(), &number);
    if let Some(again) = refused(&desk, &visitor, Section::Rollouts, &question, &posted).await? {
        return Ok(again);
    }
    let name = question.things.first().map(|thing| thing.name.to_string()).unwrap_or_default();
    let word = (good, Some(number).filter(|number| !number.is_empty()));
    let by = visitor.caller.at(desk.now());
    desk.operator.rollouts.accept((&rollout, device), word, posted.reason(), by).await?;
    let text = if good { format!("{name} is returned to use") } else { format!("{name} is not accepted") };
    desk.done(&visitor, Toast { text, undo: None }, &paths::rollout(&id))
}

/// The form again, because nothing was chosen.
async fn again(desk: &Desk, visitor: &Visitor, question: Act, posted: &Posted) -> Result<Response, Fault> {
    let mut faults = vec![("choice", "Say whether it may be used again.".to_owned())];
    faults.extend(question.faults_of(posted.reason(), None));
    let question = question.filled("", &number_of(posted)).refused(posted.reason(), faults);
    let page = ask_page(desk, visitor, Section::Rollouts, question).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// A number of another system, as text.
fn number_of(posted: &Posted) -> String {
    let text = posted.get("work_order").unwrap_or_default().trim();
    text.chars().filter(|c| !c.is_control()).take(NUMBER_CHARS).collect()
}

/// The question about a device of this rollout that has confirmed.
fn question(desk: &Desk, id: &str, device: &str) -> Result<(Act, Name, DeviceId), Fault> {
    let book = desk.operator.rollouts.book();
    let plan = plan_of(&book, id)?;
    let member = member_of(desk, device)?;
    let device = member.id();
    if !plan.waves.iter().any(|wave| wave.devices.contains(&device)) {
        return Err(Fault::Missing("device in this rollout"));
    }
    let progress = book.progress.get(&plan.id).and_then(|devices| devices.get(&device));
    if progress.and_then(|progress| progress.outcome) != Some(Outcome::Confirmed) {
        return Err(RolloutError::NotConfirmed.into());
    }
    let number = plan.work_order.as_deref().unwrap_or_default();
    Ok((Act::accept(id, thing_of(&member, desk.now()), number), plan.id.clone(), device))
}
