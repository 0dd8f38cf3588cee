//! Enrolment tokens as pages: the list, a new one whose secret is shown once, and taking one back.
//!
//! The secret stands in the answer to the form, which nothing keeps; a form makes one token and no second, so that a
//! page loaded again shows no secret and makes nothing. Read next: `operator::tokens`, `ui::tokens`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use cordon_proto::enrol::base64url;
use cordon_proto::ids::{Sha256, TokenId};
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::Token;

use super::super::operator::devices::good_reason;
use super::super::operator::tokens::{TokenAsk, TokenView, Way, page_of, way};
use super::acts::{ask as ask_page, refused};
use super::fault::Fault;
use super::visitor::{Known, Posted, Visitor};
use super::{Desk, Done, Page, count};
use crate::app::TokenMade;
use crate::chance;
use crate::token_book::Start;
use crate::ui::act::Act;
use crate::ui::frame::{Section, Toast};
use crate::ui::paths;
use crate::ui::tokens::{Form, Made, PAGE_ROWS, Row, Tokens, render, render_form, render_made};

/// Forms that are remembered as done.
const REMEMBERED: usize = 1024;
/// Kinds of devices: value and word.
const KINDS: [(&str, &str); 12] = [
    ("other", "Not said"),
    ("infusion-pump", "Infusion pump"),
    ("patient-monitor", "Patient monitor"),
    ("ventilator", "Ventilator"),
    ("anaesthesia-machine", "Anaesthesia machine"),
    ("dialysis-machine", "Dialysis machine"),
    ("defibrillator", "Defibrillator"),
    ("imaging-workstation", "Imaging workstation"),
    ("laboratory-analyser", "Laboratory analyser"),
    ("kiosk", "Kiosk"),
    ("gateway", "Gateway"),
    ("workstation", "Workstation"),
];

/// Forms whose secret was shown, or is about to be.
#[derive(Default)]
pub(super) struct Shown(Mutex<VecDeque<String>>);

/// A form on its way to its secret. If that is never shown, because something is wrong with the form, the commit fails or
/// the browser goes away, the form may be sent again.
struct Once<'a> {
    shown: &'a Shown,
    form: &'a str,
    is_shown: bool,
}

impl Shown {
    /// Takes a form that makes a token for the first time; until it is let go, it makes no second one.
    fn take<'a>(&'a self, form: &'a str) -> Option<Once<'a>> {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if form.is_empty() || shown.iter().any(|known| known == form) {
            return None;
        }
        if shown.len() >= REMEMBERED {
            shown.pop_front();
        }
        shown.push_back(form.to_owned());
        Some(Once { shown: self, form, is_shown: false })
    }
}

impl Drop for Once<'_> {
    fn drop(&mut self) {
        if !self.is_shown {
            let mut shown = self.shown.0.lock().unwrap_or_else(PoisonError::into_inner);
            shown.retain(|known| known != self.form);
        }
    }
}

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let roster = desk.roster();
    let number = visitor.asked("page").and_then(|page| page.parse().ok()).unwrap_or(1_usize).max(1);
    let start = Start::Row((number - 1).saturating_mul(PAGE_ROWS));
    let (views, chosen) = page_of(&desk.operator.app, |_| true, (start, PAGE_ROWS)).await?;
    let href = |page: usize| paths::with_query(paths::TOKENS, &[("page", &page.to_string())]);
    let page = Tokens {
        total: count(chosen.total),
        open: count(chosen.open),
        rows: views.into_iter().filter_map(row_of).collect(),
        newer: (number > 1).then(|| href(number - 1)),
        older: chosen.more.then(|| href(number.saturating_add(1))),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Tokens, &roster), &page)))
}

fn row_of(view: TokenView) -> Option<Row> {
    let place = match (view.ward.as_str(), view.site.as_str()) {
        ("unknown", "unknown") => "Not placed".to_owned(),
        ("unknown", place) | (place, "unknown") => place.to_owned(),
        (ward, site) => format!("{ward}, {site}"),
    };
    Some(Row {
        whom: whom(view.serial.as_deref(), view.count).into(),
        created: Timestamp::parse(&view.created).ok()?,
        expires: Timestamp::parse(&view.expires).ok()?,
        id: view.id,
        state: view.state,
        model: view.model.into(),
        place: place.into(),
        count: view.count,
        used: view.used,
        by: crate::ui::words::actor_words(&view.by).into(),
    })
}

fn whom(serial: Option<&str>, devices: u32) -> String {
    serial.map_or_else(|| crate::ui::words::plural(devices.into(), "device", "devices"), str::to_owned)
}

/// The form for a new one.
pub(super) async fn ask(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    Ok(form(&desk, &visitor, Vec::new(), None))
}

/// Makes one and shows its secret.
pub(super) async fn make(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    let posted = visitor.form(request).await?;
    let Some(mut once) = desk.shown.take(posted.get("once").unwrap_or_default()) else {
        let text = "The secret of that token was shown, and is not known here any more".to_owned();
        return desk.done(&visitor, Toast { text, undo: None }, paths::TOKENS);
    };
    let app = &desk.operator.app;
    let made = match way(app).and_then(|way| Ok((way, ask_of(&posted)?.order()?))) {
        Ok((way, order)) => app.make_token(order, &visitor.caller.actor).await.map(|made| (way, made)),
        Err(problem) => {
            let page = form(&desk, &visitor, posted.pairs().to_vec(), Some(problem.detail().to_owned()));
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let (way, made) = match made {
        Ok(made) => made,
        Err(crate::app::ActError::Order(error)) => {
            let page = form(&desk, &visitor, posted.pairs().to_vec(), Some(error.to_string()));
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
        Err(error) => return Err(error.into()),
    };
    desk.rosters.forget();
    let frame = desk.frame(&visitor, Section::Tokens, &desk.roster());
    let page = render_made(&frame, &made_of(&way, &made)?);
    once.is_shown = true;
    Ok(Html(page).into_response())
}

fn made_of(way: &Way, made: &TokenMade) -> Result<Made, Fault> {
    let order = &made.token.order;
    let pin: Sha256 = way.ca_pin.parse().map_err(|_| Fault::Missing("authority"))?;
    let host = if way.host.contains(':') { format!("[{}]", way.host) } else { way.host.clone() };
    let view = TokenView::of(made.id, &made.token, made.token.created);
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String =
        view.serial.as_deref().unwrap_or(order.model.as_str()).chars().map(safe).take(64).collect();
    Ok(Made {
        whom: format!("{} {}", order.model, whom(view.serial.as_deref(), view.count)).into(),
        // The third part, the director root, is empty: it comes from the person's own copy.
        text: format!(
            "cordon1:{host}:{}:{}#{}##{}",
            way.enrolment_port,
            way.device_port,
            base64url(&pin.0),
            made.secret
        ),
        file: format!("{name}.join"),
        expires: made.token.expires,
    })
}

fn form(desk: &Desk, visitor: &Visitor, typed: Vec<(String, String)>, fault: Option<String>) -> Html<String> {
    let page = Form { typed, kinds: KINDS.to_vec(), fault, once: chance::secret() };
    Html(render_form(&desk.frame(visitor, Section::Tokens, &desk.roster()), &page))
}

/// What the form asks for.
fn ask_of(posted: &Posted) -> Result<TokenAsk, super::Problem> {
    let given =
        |name: &str| posted.get(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let number = |name: &'static str| {
        let wrong = || {
            super::super::operator::refused(
                "token_refused",
                format!("the number of {name} is a whole number"),
            )
        };
        given(name).map(|text| text.parse::<u32>().map_err(|_| wrong())).transpose()
    };
    if given("serial").is_some() == given("count").is_some() {
        let words = "say one serial, or how many devices of the model may come";
        return Err(super::super::operator::refused("token_refused", words));
    }
    Ok(TokenAsk {
        model: given("model").unwrap_or_default(),
        serial: given("serial"),
        replaces: given("replaces").is_some(),
        count: number("count")?,
        site: given("site"),
        ward: given("ward"),
        kind: given("kind"),
        hours: number("hours")?,
        ..TokenAsk::default()
    })
}

/// Asks before a token is taken back.
pub(super) async fn ask_revoke(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let (_, token) = token_of(&desk, &id).await?;
    ask_page(&desk, &visitor, Section::Tokens, question(&id, &token)).await
}

/// Takes a token back.
pub(super) async fn revoke(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
    request: Request,
) -> Done {
    let posted = visitor.form(request).await?;
    let (token_id, token) = token_of(&desk, &id).await?;
    if let Some(again) = refused(&desk, &visitor, Section::Tokens, &question(&id, &token), &posted).await? {
        return Ok(again);
    }
    let reason = good_reason(posted.reason())?;
    desk.operator.app.revoke_token(token_id, reason, &visitor.caller.actor).await?;
    desk.done(&visitor, Toast { text: "1 token taken back".to_owned(), undo: None }, paths::TOKENS)
}

async fn token_of(desk: &Desk, id: &str) -> Result<(TokenId, Token), Fault> {
    let id: TokenId = id.parse().map_err(|_| Fault::Missing("token"))?;
    let token = desk.operator.app.token(id).await?.ok_or(Fault::Missing("token"))?;
    Ok((id, token))
}

fn question(id: &str, token: &Token) -> Act {
    let view = TokenView::of(TokenId([0; 32]), token, token.created);
    let whom = whom(view.serial.as_deref(), view.count);
    let words = format!("for {} {whom}, used {} of {} times", view.model, view.used, view.count);
    Act::revoke_token(id, &crate::ui::Said::from(words).to_string())
}
