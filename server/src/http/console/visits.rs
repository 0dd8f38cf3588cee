//! Service visits as pages: the list, announcing one, ending one.
//!
//! Each act is the very commit of the API with the person as actor. Read next: `crate::visits`, `ui::visits`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use cordon_proto::ids::{Name, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::visit::{Announced, Refused, Standing, Visit};

use super::super::operator::devices::good_reason;
use super::super::problem::Problem;
use super::acts::{ask as ask_page, refused};
use super::fault::Fault;
use super::visitor::{Known, Posted};
use super::{Desk, Done, Page, count};
use crate::ui::act::Act;
use crate::ui::frame::{Section, Toast};
use crate::ui::paths;
use crate::ui::visits::{Row, Visits, render};
use crate::ui::words::actor_words;
use crate::visits::{self, VisitError};

/// Visits that one page names.
const NAMED: usize = 200;

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let all = visits::all(&desk.operator.app).await?;
    let rows = all.iter().take(NAMED).map(|visit| row_of(&desk, visit)).collect();
    let frame = desk.frame(&visitor, Section::Findings, &desk.roster());
    Ok(Html(render(&frame, &Visits { rows })))
}

fn row_of(desk: &Desk, visit: &Visit) -> Row {
    let members = desk.operator.app.fleet.all();
    let standing = visit.standing(desk.now());
    let why = match &visit.ticket {
        Some(ticket) => format!("{}, {ticket}", visit.announced.reason),
        None => visit.announced.reason.to_string(),
    };
    Row {
        id: visit.id.to_string(),
        state: match standing {
            Standing::Now => "Now",
            Standing::Ahead => "To come",
            Standing::Over => "Over",
        },
        who: visit.who.as_str().into(),
        why: why.into(),
        devices: visit.filter.join(", ").into(),
        count: count(visits::covered(visit, members.iter().map(|member| &**member))),
        from: visit.from,
        until: visit.over(),
        by: actor_words(&visit.announced.by).into(),
        may_end: standing != Standing::Over,
    }
}

/// Asks who comes, when and to what.
pub(super) async fn ask(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let question = Act::announce_visit(|name| visitor.asked(name).unwrap_or_default().to_owned());
    ask_page(&desk, &visitor, Section::Findings, question).await
}

/// Announces one.
pub(super) async fn announce(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    let posted = visitor.form(request).await?;
    let question = Act::announce_visit(|name| posted.get(name).unwrap_or_default().to_owned());
    if let Some(again) = refused(&desk, &visitor, Section::Findings, &question, &posted).await? {
        return Ok(again);
    }
    let reason = good_reason(posted.reason())?;
    let fault = match asked(&posted, desk.now()) {
        Err(fault) => fault,
        Ok(asked) => {
            match visits::announce(&desk.operator.app, asked, &reason, &visitor.caller.actor).await {
                Ok(visit) => {
                    let text = format!("The visit of {} is announced", visit.who);
                    return desk.done(&visitor, Toast { text, undo: None }, paths::VISITS);
                }
                Err(VisitError::Refused(why)) => (field_of(&why), why.to_string()),
                Err(error) => return Err(Problem::from(error).into()),
            }
        }
    };
    let again = question.refused(posted.reason(), vec![fault]);
    let page = ask_page(&desk, &visitor, Section::Findings, again).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// What a person filled in, or what is wrong beside its field.
fn asked(posted: &Posted, now: Timestamp) -> Result<Announced, (&'static str, String)> {
    let field = |name: &str| posted.get(name).unwrap_or_default().trim().to_owned();
    let text =
        |name: &'static str, words: &str| field(name).parse::<Text>().map_err(|_| (name, words.to_owned()));
    let time = |name: &'static str| {
        let wrong = |_| (name, "Write a time such as 2027-03-01T08:00:00Z.".to_owned());
        Timestamp::parse(&field(name)).map_err(wrong)
    };
    let pairs = field("filter");
    let filter = pairs.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    Ok(Announced {
        filter: filter.map(str::to_owned).collect(),
        who: text("who", "Say who comes.")?,
        ticket: if field("ticket").is_empty() { None } else { Some(text("ticket", "It is too long.")?) },
        from: if field("from").is_empty() { now } else { time("from")? },
        until: time("until")?,
    })
}

/// Beside which field a refusal stands.
fn field_of(why: &Refused) -> &'static str {
    match why {
        Refused::Everywhere | Refused::Filter(_) | Refused::Moving => "filter",
        Refused::Times => "until",
        Refused::Reason | Refused::Over => "reason",
    }
}

/// Asks before one is ended.
pub(super) async fn ask_end(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let question = end_question(&desk, &id).await?;
    ask_page(&desk, &visitor, Section::Findings, question).await
}

/// Ends one.
pub(super) async fn end(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let question = end_question(&desk, &id).await?;
    if let Some(again) = refused(&desk, &visitor, Section::Findings, &question, &posted).await? {
        return Ok(again);
    }
    let name: Name = id.parse().map_err(|_| Fault::Missing("service visit"))?;
    let reason = good_reason(posted.reason())?;
    let ended = visits::end(&desk.operator.app, &name, &reason, &visitor.caller.actor).await;
    let visit = ended.map_err(Problem::from)?;
    let text = format!("The visit of {} is over", visit.who);
    desk.done(&visitor, Toast { text, undo: None }, paths::VISITS)
}

async fn end_question(desk: &Desk, id: &str) -> Result<Act, Fault> {
    let all = visits::all(&desk.operator.app).await?;
    let visit = all.iter().find(|visit| visit.id.as_str() == id).ok_or(Fault::Missing("service visit"))?;
    Ok(Act::end_visit(id, &visit.who.as_str().into()))
}
