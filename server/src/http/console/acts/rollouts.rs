//! Pausing and stopping rollouts, letting them go on, sending devices back, ending them; setting and lifting holds. None of it needs a key, and
//! none can widen an order.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use cordon_server_core::policy::Access;
use cordon_server_core::rollout::{Book, Covers, Fleet, Rollout, RolloutKind, State as Standing, ward_name};

use super::super::super::operator::rollouts::holds::LONGEST_S;
use super::super::super::operator::rollouts::{fleet_of, lift_hold, set_hold};
use super::super::fault::Fault;
use super::super::rollout::{back_of, is_back_open, plan_of};
use super::super::rollouts::{to_go_back, whole};
use super::super::standing::{covers_words, is_placed};
use super::super::visitor::Known;
use super::super::{Desk, Done, Page};
use super::{ask as ask_page, refused};
use crate::rollouts::{Deed, seen};
use crate::ui::act::{Act, UnderWay};
use crate::ui::frame::{Section, Toast};
use crate::ui::{Said, paths};

/// Hours for which a hold may be set ahead.
const HOURS_MOST: i64 = LONGEST_S / 3600;

/// What was typed is no number of hours.
struct NotHours;

/// Asks before something is done with a rollout.
pub(in super::super) async fn ask(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, act)): Path<(String, String)>,
) -> Page {
    let (question, _) = question(&desk, &id, &act)?;
    ask_page(&desk, &visitor, Section::Rollouts, question).await
}

/// Does something with a rollout: pauses or stops it, lets it go on, sends its devices back, ends it.
pub(in super::super) async fn done(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, act)): Path<(String, String)>,
    request: Request,
) -> Done {
    // As over the API: whoever stands at the bed stops and pauses without asking anybody.
    let access = if matches!(act.as_str(), "stop" | "pause") { Access::Stop } else { Access::Change };
    let posted = visitor.form_for(access, request).await?;
    let (mut question, deed) = question(&desk, &id, &act)?;
    let saw = visitor.asked("seen");
    if let Some(saw) = saw {
        question.action = over(&paths::rollout_act(&id, &act), saw);
    }
    if let Some(again) = refused(&desk, &visitor, Section::Rollouts, &question, &posted).await? {
        return Ok(again);
    }
    let name: Name = id.parse().map_err(|_| Fault::Missing("rollout"))?;
    let by = visitor.caller.at(desk.now());
    let rollout = desk.operator.rollouts.act_on(&name, deed, (posted.reason(), saw), by).await?;
    desk.operator.app.waits.ring_all(rollout.waves.iter().flat_map(|wave| wave.devices.clone()));
    let text = match deed {
        Deed::Stop => "The rollout is stopped",
        Deed::Back => "Confirmed devices go back",
        Deed::Pause => "The rollout is paused",
        Deed::Resume => "The rollout goes on",
        Deed::Abort => "The rollout is ended for good",
        Deed::Finish => "The rollout is finished",
    };
    desk.done(&visitor, Toast { text: text.into(), undo: None }, &paths::rollout(&id))
}

/// The question, and what is done with a yes.
fn question(desk: &Desk, id: &str, act: &str) -> Result<(Act, Deed), Fault> {
    let book = desk.operator.rollouts.book();
    let plan = plan_of(&book, id)?;
    let (fleet, now) = (fleet_of(&desk.operator, &book, plan), desk.now());
    match act {
        "stop" => Ok((Act::stop(id, under_way(&book, plan, &fleet, now).going), Deed::Stop)),
        "pause" => Ok((Act::pause(id, under_way(&book, plan, &fleet, now)), Deed::Pause)),
        "finish" => Ok((seen_in(Act::finish(id, under_way(&book, plan, &fleet, now)), plan), Deed::Finish)),
        "abort" => Ok((Act::abort(id, under_way(&book, plan, &fleet, now)), Deed::Abort)),
        "resume" => Ok((seen_in(Act::resume(id), plan), Deed::Resume)),
        "back" => match back_of(plan) {
            Some(release) if is_back_open(&book, plan, now) => {
                let act = Act::back(id, &release, to_go_back(&fleet));
                Ok((seen_in(act, plan), Deed::Back))
            }
            Some(release) => Err(Fault::NoWayBack(release.to_string())),
            None => Err(Fault::Missing("way back")),
        },
        _ => Err(Fault::Missing("act")),
    }
}

/// How far a rollout is. On the way back nothing installs any more: the number would be of devices that return.
fn under_way(book: &Book, plan: &Rollout, fleet: &Fleet, now: Timestamp) -> UnderWay {
    let all = whole(plan, fleet, now);
    let going = if plan.state == Standing::Returning { 0 } else { all.installing };
    let may_return = if is_back_open(book, plan, now) { to_go_back(fleet) } else { 0 };
    UnderWay {
        content: plan.kind == RolloutKind::Content,
        going: going.into(),
        left: (all.total() - all.ended()).into(),
        may_return,
    }
}

/// The question of somebody who sees the rollout as it stands now: their yes is to nothing else.
fn seen_in(act: Act, plan: &Rollout) -> Act {
    let action = over(&act.action, &seen(&plan.state));
    Act { action, ..act }
}

fn over(action: &str, saw: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '@' || c == '-';
    let saw: String = saw.chars().filter(|c| plain(*c)).collect();
    format!("{action}?seen={saw}")
}

/// Asks what to hold.
pub(in super::super) async fn ask_hold(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let chosen = visitor.asked("choice").unwrap_or_default();
    ask_page(&desk, &visitor, Section::Rollouts, hold_question(&desk, chosen, "")).await
}

/// Sets a hold.
pub(in super::super) async fn hold(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    request: Request,
) -> Done {
    let posted = visitor.form_for(Access::Stop, request).await?;
    let chosen = posted.get("choice").unwrap_or_default();
    let hours = posted.get("hours").unwrap_or_default().trim();
    let question = hold_question(&desk, chosen, hours);
    let Ok(until) = end_after(hours, desk.now()) else {
        let mut faults = question.faults_of(posted.reason(), None);
        faults.push(("hours", format!("Write whole hours, 1 to {HOURS_MOST}, or nothing.")));
        let again = question.refused(posted.reason(), faults);
        let page = ask_page(&desk, &visitor, Section::Rollouts, again).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    if let Some(again) = refused(&desk, &visitor, Section::Rollouts, &question, &posted).await? {
        return Ok(again);
    }
    let covers = holdable(&desk).into_iter().find(|covers| value_of(covers) == chosen);
    let covers = covers.ok_or(Fault::Missing("ward, site or model"))?;
    let text = format!("Hold set on {}", covers_words(&covers));
    let hold = set_hold(&desk.operator, &visitor.caller, (covers, until), posted.reason()).await?;
    let undo = Some(paths::lift_hold(hold.id.as_str()));
    desk.done(&visitor, Toast { text, undo }, paths::ROLLOUTS)
}

/// When a hold for so many hours ends; nothing for no hours.
fn end_after(hours: &str, now: Timestamp) -> Result<Option<Timestamp>, NotHours> {
    if hours.is_empty() {
        return Ok(None);
    }
    let read = hours.parse::<i64>().ok().filter(|hours| (1..=HOURS_MOST).contains(hours));
    read.map(|hours| Some(now.plus_seconds(hours * 3600))).ok_or(NotHours)
}

fn hold_question(desk: &Desk, chosen: &str, hours: &str) -> Act {
    let options: Vec<(String, Said)> =
        holdable(desk).iter().map(|covers| (value_of(covers), sentence(&covers_words(covers)))).collect();
    Act::hold(options, chosen, hours)
}

/// All wards, sites and models of counted devices, in this order.
fn holdable(desk: &Desk) -> Vec<Covers> {
    let roster = desk.roster();
    let counted = || roster.entries.iter().filter(|entry| entry.counted).map(|entry| &entry.member.device);
    let wards: BTreeSet<String> = counted()
        .filter(|device| is_placed(device))
        .map(|device| ward_name(device.placement.site.as_str(), device.placement.ward.as_str()))
        .collect();
    let sites: BTreeSet<String> = counted().map(|device| device.placement.site.to_string()).collect();
    let models: BTreeSet<String> = counted().map(|device| device.hardware.model.to_string()).collect();
    let wards = wards.into_iter().map(Covers::Ward);
    wards.chain(sites.into_iter().map(Covers::Site)).chain(models.into_iter().map(Covers::Model)).collect()
}

/// What a hold covers, as the question names it.
pub(in super::super) fn value_of(covers: &Covers) -> String {
    match covers {
        Covers::Ward(name) => format!("ward:{name}"),
        Covers::Site(name) => format!("site:{name}"),
        Covers::Model(name) => format!("model:{name}"),
    }
}

fn sentence(words: &Said) -> Said {
    let mut letters = words.raw().chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect()).into()
}

/// Asks before a hold is lifted.
pub(in super::super) async fn ask_lift(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let (question, _) = lift_question(&desk, &id)?;
    ask_page(&desk, &visitor, Section::Rollouts, question).await
}

/// Lifts a hold.
pub(in super::super) async fn lift(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let (question, covers) = lift_question(&desk, &id)?;
    if let Some(again) = refused(&desk, &visitor, Section::Rollouts, &question, &posted).await? {
        return Ok(again);
    }
    let name: Name = id.parse().map_err(|_| Fault::Missing("hold"))?;
    lift_hold(&desk.operator, &visitor.caller, &name, posted.reason()).await?;
    desk.done(&visitor, Toast { text: format!("Hold on {covers} lifted"), undo: None }, paths::ROLLOUTS)
}

fn lift_question(desk: &Desk, id: &str) -> Result<(Act, Said), Fault> {
    let name: Name = id.parse().map_err(|_| Fault::Missing("hold"))?;
    let covers =
        desk.operator.rollouts.look(|book| book.holds.get(&name).map(|hold| covers_words(&hold.covers)));
    let covers = covers.ok_or(Fault::Missing("hold"))?;
    Ok((Act::lift_hold(id, &covers), covers))
}
