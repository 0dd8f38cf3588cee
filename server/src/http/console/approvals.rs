//! Keys that wait for a person, and the person's answer: a question that names every key, a reason, one commit a key.
//!
//! The form posts device and key together; if another key asks by then, that one is left alone and the page says so.
//! Read next: `operator::approvals`, `ui::approvals`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{Html, IntoResponse, Response};
use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::time::Timestamp;
use cordon_server_core::device::is_unknown;

use super::super::operator::approvals::{ApprovalView, Spoken, Verb, all_waiting};
use super::super::operator::tokens::PlaceAsk;
use super::acts::{ask as ask_page, refused};
use super::door::see_other;
use super::fault::Fault;
use super::standing::{place_words, states_of, thing_of};
use super::visitor::{Known, Posted, Visitor};
use super::{Desk, Done, Page, count};
use crate::ui::act::{Act, Input, Thing};
use crate::ui::approvals::{Approvals, Waiting, render};
use crate::ui::frame::{Section, Toast};
use crate::ui::words::plural;
use crate::ui::{DeviceState, paths};

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let roster = desk.roster();
    let views = all_waiting(&desk.operator.app);
    let approved = roster.entries.iter().filter(|entry| {
        let asking = entry.member.device.asking.as_ref();
        asking.is_some_and(|asking| asking.approved.is_some())
    });
    let page = Approvals {
        approved: count(approved.count()),
        rows: views.into_iter().filter_map(|view| row_of(&desk, view)).collect(),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Waiting, &roster), &page)))
}

fn row_of(desk: &Desk, view: ApprovalView) -> Option<Waiting> {
    let member = desk.operator.app.fleet.get(view.device.parse().ok()?)?;
    Some(Waiting {
        place: place_words(&member.device).into(),
        state: states_of(&member, desk.now()).first().copied().unwrap_or(DeviceState::ToApprove),
        since: Timestamp::parse(&view.since).ok()?,
        id: view.device,
        name: view.serial.into(),
        model: view.model.into(),
        key: view.fingerprint,
        from: view.from.into(),
        with: view.with.into(),
        replaces: view.replaces,
    })
}

/// Asks before keys are answered.
pub(super) async fn ask(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(verb): Path<String>,
) -> Result<Response, Fault> {
    let verb = Verb::of(&verb).ok_or(Fault::Missing("answer"))?;
    let asked = visitor.query.iter().filter(|(name, _)| name == "key").map(|(_, pair)| pair.as_str());
    let asked = Asked::of(&desk, asked);
    if asked.keys.is_empty() {
        return if asked.left == 0 { Ok(see_other(paths::APPROVALS)) } else { gone(&desk, &visitor) };
    }
    Ok(ask_page(&desk, &visitor, Section::Waiting, asked.question(verb, None)).await?.into_response())
}

/// Answers keys, each in a commit of its own.
pub(super) async fn answer(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(verb): Path<String>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let verb = Verb::of(&verb).ok_or(Fault::Missing("answer"))?;
    let asked = Asked::of(&desk, posted.all("device"));
    if asked.keys.is_empty() {
        return gone(&desk, &visitor);
    }
    let question = asked.question(verb, Some(&posted));
    if let Some(again) = refused(&desk, &visitor, Section::Waiting, &question, &posted).await? {
        return Ok(again);
    }
    let given =
        |name: &str| posted.get(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let place =
        PlaceAsk { site: given("site"), ward: given("ward"), kind: given("kind"), ..PlaceAsk::default() };
    let spoken = Spoken::new(verb, posted.reason(), given("model").as_deref(), &place)?;
    let (mut done, mut left) = (0, asked.left.saturating_add(left_before(&posted)));
    for (device, key) in &asked.keys {
        match spoken.to(&desk.operator.app, &visitor.caller, *device, *key).await {
            Ok(()) => done += 1,
            Err(problem) if problem.status().is_server_error() || asked.keys.len() == 1 => {
                return Err(problem.into());
            }
            Err(_) => left += 1,
        }
    }
    let verb = if verb == Verb::Approve { "approved" } else { "turned away" };
    let mut text = format!("{} {verb}", plural(done, "key", "keys"));
    if left > 0 {
        text.push_str(&format!("; {} not answered: look at the list again", plural(left, "was", "were")));
    }
    desk.done(&visitor, Toast { text, undo: None }, paths::APPROVALS)
}

/// Somebody was faster, or other keys ask by now: the list says how it stands.
fn gone(desk: &Desk, visitor: &Visitor) -> Done {
    let text = "None of these keys waits any more".to_owned();
    desk.done(visitor, Toast { text, undo: None }, paths::APPROVALS)
}

/// Keys that a person wants to answer and that still wait.
struct Asked {
    keys: Vec<(DeviceId, Sha256)>,
    /// Keys that were wanted and do not wait any more.
    left: u64,
    things: Vec<Thing>,
    replacing: u64,
    /// Whether one of them is a device that nobody has placed.
    unplaced: bool,
    /// Whether nobody has said what one of them is.
    unknown: bool,
}

impl Asked {
    /// Pairs of device and key, each once; those that do not wait are left out and counted.
    fn of<'a>(desk: &Desk, pairs: impl Iterator<Item = &'a str>) -> Self {
        let now = desk.now();
        let mut wanted: Vec<(DeviceId, Sha256)> = pairs.filter_map(pair).collect();
        wanted.sort();
        wanted.dedup();
        let mut asked = Self {
            keys: Vec::new(),
            left: 0,
            things: Vec::new(),
            replacing: 0,
            unplaced: false,
            unknown: false,
        };
        for (device, key) in wanted {
            let waiting = desk.operator.app.fleet.get(device).and_then(|member| {
                let view = ApprovalView::of(&member.device, now)?;
                (view.fingerprint == key.to_string()).then_some((member, view))
            });
            let Some((member, view)) = waiting else {
                asked.left = asked.left.saturating_add(1);
                continue;
            };
            let known = &member.device;
            asked.keys.push((device, key));
            asked.replacing += u64::from(view.replaces);
            asked.unknown |= is_unknown(&known.hardware.model);
            asked.unplaced |= known.placement.has_gap();
            asked.things.push(Thing { key: Some(view.fingerprint), ..thing_of(&member, now) });
        }
        asked
    }

    fn question(&self, verb: Verb, posted: Option<&Posted>) -> Act {
        let typed = |name| posted.and_then(|posted| posted.get(name)).unwrap_or_default().to_owned();
        let input = |name, label, note| Input { name, label, note, value: typed(name) };
        let mut inputs = Vec::new();
        let many = self.keys.len() > 1;
        if self.unknown {
            let note =
                if many { "of those of which nobody has said it" } else { "nobody has said what it is" };
            inputs.push(input("model", "Model", note));
        }
        if self.unplaced {
            let note = if many { "of those that nobody has placed" } else { "if you want to place it now" };
            inputs.push(input("site", "Site", note));
            inputs.push(input("ward", "Ward", note));
        }
        let act = match verb {
            Verb::Approve => Act::approve(self.things.clone(), self.replacing, inputs),
            Verb::Deny => Act::deny(self.things.clone()),
        };
        act.leaving_out(self.left.saturating_add(posted.map_or(0, left_before)))
    }
}

/// Keys that the question had left out before it was answered.
fn left_before(posted: &Posted) -> u64 {
    posted.get("left").and_then(|left| left.parse().ok()).unwrap_or(0)
}

/// `DEVICE:KEY` of a form or an address.
fn pair(text: &str) -> Option<(DeviceId, Sha256)> {
    let (device, key) = text.split_once(':')?;
    Some((device.parse().ok()?, key.parse().ok()?))
}
