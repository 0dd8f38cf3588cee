//! What a person changes, as forms: a question, a reason, one commit, and a word afterwards.
//!
//! Each act is the very commit of the API with the person as actor. A form without the session's proof changes
//! nothing; one without a reason comes back with its text kept. Read next: `ui::act` for the wording, `rollouts` for
//! stops and holds, `super::approvals` and `super::tokens` for what lets devices in.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::time::Millis;
use cordon_server_core::device::Act as DeviceAct;
use cordon_server_core::triage::{Preview, Verb};

use super::super::operator::devices::{Deed, good_reason};
use super::super::operator::findings::settle;
use super::audit::own_reasons;
use super::device::member_of;
use super::door::see_other;
use super::fault::Fault;
use super::findings::find;
use super::standing::thing_of;
use super::visitor::{Known, Posted, Visitor};
use super::{Desk, Done, Page};
use crate::app::ActError;
use crate::ui::act::{ALLOW_DAYS, Act, FindingVerb, MUTE_DAYS, Thing, render};
use crate::ui::frame::{Section, Toast};
use crate::ui::paths;
use crate::ui::words::plural;

pub(super) mod rollouts;

/// Asks before something is done to the identity of one device.
pub(super) async fn ask_device(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, act)): Path<(String, String)>,
) -> Page {
    let (question, _) = device_question(&desk, &id, &act)?;
    ask(&desk, &visitor, Section::Devices, question).await
}

/// Does something to the identity of one device.
pub(super) async fn device(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, act)): Path<(String, String)>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let (question, deed) = device_question(&desk, &id, &act)?;
    if let Some(again) = refused(&desk, &visitor, Section::Devices, &question, &posted).await? {
        return Ok(again);
    }
    let (begun, name) = (desk.operator.app.clock.now_ms(), question_name(&question));
    let device = member_of(&desk, &id)?.id();
    deed.done(&desk.operator, &visitor.caller, device, good_reason(posted.reason())?).await?;
    let took = desk.time_since(begun);
    let text = match deed {
        Deed::Step(DeviceAct::Quarantine) => format!("{name} quarantined {took}"),
        Deed::Step(DeviceAct::Release) => format!("Quarantine of {name} lifted {took}"),
        Deed::Step(DeviceAct::Retire) => format!("{name} retired {took}"),
        Deed::Step(DeviceAct::ReportLost) => format!("{name} reported lost {took}"),
        Deed::Step(DeviceAct::Find) => format!("{name} was found; it stays in quarantine"),
        Deed::ClearDoubt => format!("Doubt about {name} cleared {took}"),
    };
    let quarantined = deed == Deed::Step(DeviceAct::Quarantine);
    let undo = quarantined.then(|| paths::device_act(&id, "release"));
    let page = match deed {
        Deed::Step(DeviceAct::Quarantine | DeviceAct::Release) => paths::device(&id),
        Deed::Step(DeviceAct::Retire | DeviceAct::ReportLost | DeviceAct::Find) | Deed::ClearDoubt => {
            paths::identity(&id)
        }
    };
    desk.done(&visitor, Toast { text, undo }, &page)
}

fn device_question(desk: &Desk, id: &str, act: &str) -> Result<(Act, Deed), Fault> {
    let member = member_of(desk, id)?;
    let thing = thing_of(&member, desk.now());
    let deed = Deed::of(act).ok_or(Fault::Missing("act"))?;
    let question = match deed {
        Deed::Step(DeviceAct::Quarantine) => Act::quarantine(vec![thing]),
        Deed::Step(DeviceAct::Release) => Act::release(thing),
        Deed::Step(DeviceAct::Retire) => Act::retire(thing),
        Deed::Step(DeviceAct::ReportLost) => Act::report_lost(thing),
        Deed::Step(DeviceAct::Find) => Act::find(thing),
        Deed::ClearDoubt => Act::clear_doubt(thing),
    };
    Ok((question, deed))
}

fn question_name(question: &Act) -> String {
    question.things.first().map(|thing| thing.name.to_string()).unwrap_or_default()
}

/// Asks before several devices are quarantined.
pub(super) async fn ask_quarantine(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
) -> Result<Response, Fault> {
    let asked = visitor.query.iter().filter(|(name, _)| name == "device").map(|(_, id)| id.as_str());
    let things = things_of(&desk, asked);
    if things.is_empty() {
        return Ok(see_other(paths::DEVICES));
    }
    Ok(ask(&desk, &visitor, Section::Devices, Act::quarantine(things)).await?.into_response())
}

/// Quarantines several devices, each in a commit of its own.
pub(super) async fn quarantine(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let things = things_of(&desk, posted.all("device"));
    if things.is_empty() {
        return Ok(see_other(paths::DEVICES));
    }
    let question = Act::quarantine(things);
    if let Some(again) = refused(&desk, &visitor, Section::Devices, &question, &posted).await? {
        return Ok(again);
    }
    let (begun, reason) = (desk.operator.app.clock.now_ms(), good_reason(posted.reason())?);
    let (mut done, mut left) = (0, 0);
    for thing in &question.things {
        match desk.quarantine_one(&thing.id, &reason, &visitor).await? {
            true => done += 1,
            false => left += 1,
        }
    }
    let mut text = format!("{} quarantined {}", plural(done, "device", "devices"), desk.time_since(begun));
    if left > 0 {
        text.push_str(&format!("; {} not trusted before", plural(left, "was", "were")));
    }
    desk.done(&visitor, Toast { text, undo: None }, paths::DEVICES)
}

/// Devices by their names, each once; unknown ones are left out.
fn things_of<'a>(desk: &Desk, ids: impl Iterator<Item = &'a str>) -> Vec<Thing> {
    let now = desk.now();
    let mut devices: Vec<DeviceId> = ids.filter_map(|id| id.parse().ok()).collect();
    devices.sort();
    devices.dedup();
    let known = devices.into_iter().filter_map(|id| desk.operator.app.fleet.get(id));
    known.map(|member| thing_of(&member, now)).collect()
}

/// Asks before a finding is decided on.
pub(super) async fn ask_finding(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, verb)): Path<(String, String)>,
) -> Page {
    let roster = desk.roster();
    let preview = Preview::of([&*find(&roster, &id)?.record], desk.now());
    let verb = FindingVerb::from_slug(&verb).ok_or(Fault::Missing("act"))?;
    ask(&desk, &visitor, Section::Findings, Act::finding(verb, &id, &preview)).await
}

/// Decides on a finding.
pub(super) async fn finding(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, verb)): Path<(String, String)>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let roster = desk.roster();
    let found = find(&roster, &id)?;
    let asked = FindingVerb::from_slug(&verb).ok_or(Fault::Missing("act"))?;
    let question = Act::finding(asked, &id, &Preview::of([&*found.record], desk.now()));
    if let Some(again) = refused(&desk, &visitor, Section::Findings, &question, &posted).await? {
        return Ok(again);
    }
    let (verb, words) = verb_of(&desk, asked, &posted);
    let place = (found.record.device, found.digest);
    settle(&desk.operator, &visitor.caller, place, verb, posted.reason()).await?;
    let text = format!("Finding {id} {words}");
    desk.done(&visitor, Toast { text, undo: None }, &paths::finding(&id))
}

/// What a person decided, with one of the ends that are offered, and the word for it.
pub(super) fn verb_of(desk: &Desk, asked: FindingVerb, posted: &Posted) -> (Verb, &'static str) {
    let chosen = posted.get("choice").and_then(|days| days.parse::<u16>().ok());
    let until = |offered: &[u16]| {
        let shortest = offered.iter().copied().min().unwrap_or(1);
        let days = chosen.filter(|days| offered.contains(days)).unwrap_or(shortest);
        desk.now().plus_seconds(i64::from(days) * 86_400)
    };
    match asked {
        FindingVerb::Acknowledge => (Verb::Acknowledge, "acknowledged"),
        FindingVerb::Mute => (Verb::Mute { until: until(&MUTE_DAYS) }, "muted"),
        FindingVerb::Allow => (Verb::Allow { until: until(&ALLOW_DAYS) }, "allowed"),
        FindingVerb::Close => (Verb::Close, "closed"),
        FindingVerb::Reopen => (Verb::Reopen, "opened again"),
    }
}

/// The question as a page, with the person's own last reasons.
pub(super) async fn ask(desk: &Desk, visitor: &Visitor, section: Section, question: Act) -> Page {
    let reasons = own_reasons(desk, &visitor.caller.actor).await?;
    let frame = desk.frame(visitor, section, &desk.roster());
    Ok(Html(render(&frame, &Act { reasons, ..question })))
}

/// The question again, with what is wrong beside its field; none if nothing is.
pub(super) async fn refused(
    desk: &Desk,
    visitor: &Visitor,
    section: Section,
    question: &Act,
    posted: &Posted,
) -> Result<Option<Response>, Fault> {
    let faults = question.faults_of(posted.reason(), posted.get("number"));
    if faults.is_empty() {
        return Ok(None);
    }
    let again = question.clone().refused(posted.reason(), faults);
    let page = ask(desk, visitor, section, again).await?;
    Ok(Some((StatusCode::UNPROCESSABLE_ENTITY, page).into_response()))
}

impl Desk {
    /// Leaves a word for the next page and goes there.
    pub(super) fn done(&self, visitor: &Visitor, toast: Toast, address: &str) -> Done {
        self.rosters.forget();
        self.toasts.leave(visitor.csrf(), toast);
        Ok(see_other(address))
    }

    /// Quarantines one of several devices; says whether it was trusted before.
    async fn quarantine_one(&self, id: &str, reason: &Text, visitor: &Visitor) -> Result<bool, Fault> {
        let device = member_of(self, id)?.id();
        let act = self.operator.app.act(device, DeviceAct::Quarantine, reason.clone(), &visitor.caller.actor);
        match act.await {
            Ok(_) => Ok(true),
            Err(ActError::NotPossible(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// "in 0.4 s", rounded up.
    fn time_since(&self, begun: Millis) -> String {
        let tenths = (self.operator.app.clock.now_ms().since(begun).max(1) + 99) / 100;
        format!("in {}.{}\u{202f}s", tenths / 10, tenths % 10)
    }
}
