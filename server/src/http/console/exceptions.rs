//! Accepted risks as pages: the list, one of them, asking for one, a second person's yes, taking it back.
//!
//! Each act is the very commit of the API with the person as actor. Read next: `crate::exceptions`, `ui::exceptions`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use cordon_proto::ids::{Name, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::exception::{Asked, Exception, Refused, Standing, Word};

use super::super::operator::devices::good_reason;
use super::super::problem::Problem;
use super::acts::{ask as ask_page, refused};
use super::fault::Fault;
use super::standing::place_words;
use super::visitor::{Known, Posted};
use super::{Desk, Done, Page, count};
use crate::exceptions::{self, ExceptionError};
use crate::ui::act::Act;
use crate::ui::exceptions::{Covered, Exceptions, Row, Whole, render, render_one};
use crate::ui::frame::{Section, Toast};
use crate::ui::paths;
use crate::ui::words::actor_words;

/// Devices that one page names.
const NAMED: usize = 50;
const DAY_S: i64 = 86_400;

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let now = desk.now();
    let mut all = exceptions::all(&desk.operator.app).await?;
    all.retain(|exception| exception.standing(now) != Standing::Withdrawn);
    all.sort_by(|one, other| (one.until, &one.id).cmp(&(other.until, &other.id)));
    let page = Exceptions { rows: all.iter().map(|exception| row_of(exception, now)).collect() };
    Ok(Html(render(&desk.frame(&visitor, Section::Expiries, &desk.roster()), &page)))
}

/// One of them.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let exception = known(&desk, &id).await?;
    let now = desk.now();
    let (app, published, asked) = (desk.operator.app.clone(), desk.operator.published(), exception.clone());
    let looked = tokio::task::spawn_blocking(move || exceptions::covered(&app, &published, &asked));
    let covered = looked.await.map_err(|error| Problem::internal(&error))?;
    let word = |act: &'static str, word: &Word| {
        (act, actor_words(&word.by).into(), word.at, word.reason.as_str().into())
    };
    let mut words = vec![word("Asked for", &exception.requested)];
    words.extend(exception.approved.as_ref().map(|approved| word("Approved", approved)));
    words.extend(exception.withdrawn.as_ref().map(|withdrawn| word("Taken back", withdrawn)));
    let device = |(member, has): &(Arc<crate::fleet::Member>, bool)| Covered {
        id: member.id().to_string(),
        name: member.device.called().as_str().into(),
        place: place_words(&member.device).into(),
        has: *has,
    };
    let acts = match exception.standing(now) {
        Standing::Requested => vec![("Approve…", "approve"), ("Take back…", "withdraw")],
        Standing::Approved => vec![("Take back…", "withdraw")],
        Standing::Lapsed => vec![("I have seen that it is over…", "withdraw")],
        Standing::Withdrawn => Vec::new(),
    };
    let page = Whole {
        row: row_of(&exception, now),
        reason: exception.reason.as_str().into(),
        words,
        count: (count(covered.len()), count(covered.iter().filter(|(_, has)| *has).count())),
        devices: covered.iter().take(NAMED).map(device).collect(),
        acts,
    };
    Ok(Html(render_one(&desk.frame(&visitor, Section::Expiries, &desk.roster()), &page)))
}

fn row_of(exception: &Exception, now: Timestamp) -> Row {
    Row {
        id: exception.id.to_string(),
        about: exception.about.name().into(),
        state: match exception.standing(now) {
            Standing::Requested => "Waits for a second person",
            Standing::Approved => "Accepted",
            Standing::Lapsed => "Over",
            Standing::Withdrawn => "Taken back",
        },
        devices: exception.filter.join(", ").into(),
        owner: exception.owner.as_str().into(),
        control: exception.control.as_str().into(),
        until: exception.until,
    }
}

async fn known(desk: &Desk, id: &str) -> Result<Exception, Fault> {
    let id: Name = id.parse().map_err(|_| Fault::Missing("exception"))?;
    Ok(exceptions::one(&desk.operator.app, &id).await.map_err(Problem::from)?)
}

/// Asks what to accept; a page may lead here with fields filled in.
pub(super) async fn ask(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let question = Act::request_exception(|name| visitor.asked(name).unwrap_or_default().to_owned());
    ask_page(&desk, &visitor, Section::Expiries, question).await
}

/// Asks a second person.
pub(super) async fn request(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    let posted = visitor.form(request).await?;
    let question = Act::request_exception(|name| posted.get(name).unwrap_or_default().to_owned());
    if let Some(again) = refused(&desk, &visitor, Section::Expiries, &question, &posted).await? {
        return Ok(again);
    }
    let outcome = match asked(&posted, desk.now()) {
        Ok(asked) => exceptions::request(&desk.operator.app, asked, &visitor.caller.actor).await,
        Err(why) => Err(why.into()),
    };
    match outcome {
        Ok(exception) => {
            let text = "A second person is asked; until then nothing is accepted".to_owned();
            desk.done(&visitor, Toast { text, undo: None }, &paths::exception(exception.id.as_str()))
        }
        Err(ExceptionError::Refused(why)) => {
            let again = question.refused(posted.reason(), vec![(field_of(&why), why.to_string())]);
            let page = ask_page(&desk, &visitor, Section::Expiries, again).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(Problem::from(error).into()),
    }
}

/// What a person filled in.
fn asked(posted: &Posted, now: Timestamp) -> Result<Asked, Refused> {
    let field = |name: &str| posted.get(name).unwrap_or_default().trim().to_owned();
    let text = |name: &str, what| field(name).parse::<Text>().map_err(|_| Refused::Short(what));
    let days = field("days").parse::<i64>().ok().filter(|days| (1..=366).contains(days));
    let filter = field("filter");
    let pairs = filter.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    Ok(Asked {
        about: field("about"),
        filter: pairs.map(str::to_owned).collect(),
        owner: text("owner", "who carries the risk")?,
        reason: Text::lossy(posted.reason().trim()),
        control: text("control", "what is done instead")?,
        until: days.map(|days| now.plus_seconds(days * DAY_S)).ok_or(Refused::Until)?,
    })
}

/// Beside which field a refusal stands.
fn field_of(why: &Refused) -> &'static str {
    match why {
        Refused::About(_) => "about",
        Refused::Everywhere | Refused::Filter(_) | Refused::ByAdvisory => "filter",
        Refused::Short("who carries the risk") => "owner",
        Refused::Short("what is done instead") => "control",
        Refused::Until => "days",
        Refused::Short(_) | Refused::SamePerson | Refused::State(_) => "reason",
    }
}

/// Asks before one is approved or taken back.
pub(super) async fn ask_act(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, act)): Path<(String, String)>,
) -> Page {
    let (question, _, _) = question(&desk, &id, &act).await?;
    ask_page(&desk, &visitor, Section::Expiries, question).await
}

/// Approves one or takes it back.
pub(super) async fn act(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((id, act)): Path<(String, String)>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let (question, name, act) = question(&desk, &id, &act).await?;
    if let Some(again) = refused(&desk, &visitor, Section::Expiries, &question, &posted).await? {
        return Ok(again);
    }
    let reason = good_reason(posted.reason())?;
    let app = &desk.operator.app;
    exceptions::act(app, &name, act, &reason, &visitor.caller.actor).await.map_err(Problem::from)?;
    let text = match act {
        exceptions::Act::Approve => "Accepted until its day",
        exceptions::Act::Withdraw => "Taken back",
    };
    desk.done(&visitor, Toast { text: text.into(), undo: None }, &paths::exception(&id))
}

async fn question(desk: &Desk, id: &str, act: &str) -> Result<(Act, Name, exceptions::Act), Fault> {
    let exception = known(desk, id).await?;
    let act = exceptions::Act::of(act).ok_or(Fault::Missing("act"))?;
    let about = exception.about.name();
    let question = match act {
        exceptions::Act::Approve => Act::approve_exception(id, about),
        exceptions::Act::Withdraw => Act::withdraw_exception(id, about),
    };
    Ok((question, exception.id, act))
}
