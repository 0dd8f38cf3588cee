//! The console: pages for people on the operator listener, drawn by `ui`, whose addresses this router serves exactly.
//!
//! Whoever has no session is sent to the sign-in page and learns nothing. Every change is a form with the session's
//! proof and a reason, and goes through the very commits of the API with the person as actor. Pages read the fleet
//! view and the book; they never wait for more of the store than they show. Handlers return a page or a [`Fault`];
//! [`gate`] lets requests in and turns faults into pages.
//!
//! Read next: `roster` for the rows that all counts and lists are taken from, `acts` for what changes something.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::{Rollout, State as Standing};

use super::operator::Operator;
use super::problem::Problem;
use crate::ui::assets::{CACHE_NEVER, HEADERS};
use crate::ui::frame::{Counts, Person, Section, model_words};
use crate::ui::{Clock, Frame, Said};
use fault::Fault;
use live::Live;
use roster::{Roster, Rosters};
use survey::Surveys;
use visitor::{Toasts, Visitor};

mod acceptance;
mod acts;
mod approvals;
mod asset_import;
mod audit;
mod calendar;
mod contacts;
mod device;
mod devices;
mod door;
mod drift;
mod evidence;
mod exceptions;
mod expiries;
mod exposures;
mod fault;
mod feeds;
mod finding_groups;
mod findings;
mod fleet_risk;
mod identity;
pub mod live;
mod network;
mod orders;
mod overview;
mod releases;
mod risk_history;
mod rollout;
mod rollouts;
mod roster;
mod standing;
mod survey;
mod tokens;
mod upload;
mod visitor;
mod visits;
pub(super) mod vulnerabilities;
mod vulnerability;

#[cfg(test)]
mod tests;

/// What all pages share.
pub(super) struct Desk {
    operator: Operator,
    rosters: Rosters,
    surveys: Surveys,
    toasts: Toasts,
    shown: tokens::Shown,
    lists: asset_import::Shown,
}

/// A page as HTML, or why there is none.
type Page = Result<axum::response::Html<String>, Fault>;
/// The answer to a form, or why it was not accepted.
type Done = Result<Response, Fault>;

/// The pages behind the door, and what lies before it: sign-in and files. It has the listener's fallback. With it the
/// console's eye for the live stream, which the operator plane is layered with.
pub fn router(operator: Operator) -> (Router, Live) {
    let desk = Arc::new(Desk {
        operator,
        rosters: Rosters::default(),
        surveys: Surveys::default(),
        toasts: Toasts::default(),
        shown: tokens::Shown::default(),
        lists: asset_import::Shown::default(),
    });
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/devices", get(devices::show))
        .route("/devices/enrol", get(devices::enrol))
        .route("/devices/import", get(asset_import::ask).post(asset_import::bring))
        .route("/devices/quarantine", get(acts::ask_quarantine).post(acts::quarantine))
        .route("/devices/{id}", get(device::show))
        .route("/devices/{id}/software", get(device::software))
        .route("/devices/{id}/vulnerabilities", get(exposures::show))
        .route("/devices/{id}/drift", get(drift::show))
        .route("/devices/{id}/identity", get(identity::show))
        .route("/devices/{id}/{act}", get(acts::ask_device).post(acts::device))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{verb}", get(approvals::ask).post(approvals::answer))
        .route("/tokens", get(tokens::list))
        .route("/tokens/new", get(tokens::ask).post(tokens::make))
        .route("/tokens/{id}/revoke", get(tokens::ask_revoke).post(tokens::revoke))
        .route("/contacts", get(contacts::ask).post(contacts::search))
        .route("/findings", get(findings::list))
        .route("/findings/groups/{id}", get(finding_groups::show))
        .route("/findings/groups/{id}/{verb}", get(finding_groups::ask).post(finding_groups::decide))
        .route("/findings/{id}", get(findings::show))
        .route("/findings/{id}/{verb}", get(acts::ask_finding).post(acts::finding))
        .route("/visits", get(visits::list))
        .route("/visits/new", get(visits::ask).post(visits::announce))
        .route("/visits/{id}/end", get(visits::ask_end).post(visits::end))
        .route("/vulnerabilities", get(vulnerabilities::list))
        .route("/vulnerabilities/{id}", get(vulnerability::show))
        .route("/feeds", get(feeds::list))
        .route("/feeds/new", get(feeds::ask).post(feeds::bring))
        .route("/feeds/{name}", get(feeds::show))
        .route("/risk", get(fleet_risk::show))
        .route("/orders", get(orders::list))
        .route("/orders/{id}", get(orders::show))
        .route("/releases", get(releases::list))
        .route("/releases/{repository}/{release}", get(releases::show))
        .route("/rollouts", get(rollouts::list))
        .route("/rollouts/{id}", get(rollout::show))
        .route("/rollouts/{id}/{act}", get(acts::rollouts::ask).post(acts::rollouts::done))
        .route("/rollouts/{id}/devices/{device}/accept", get(acceptance::ask).post(acceptance::done))
        .route("/holds/new", get(acts::rollouts::ask_hold).post(acts::rollouts::hold))
        .route("/holds/{id}/lift", get(acts::rollouts::ask_lift).post(acts::rollouts::lift))
        .route("/calendar", get(calendar::show))
        .route("/evidence", get(evidence::show).post(evidence::pack))
        .route("/expiries", get(expiries::show))
        .route("/exceptions", get(exceptions::list))
        .route("/exceptions/new", get(exceptions::ask).post(exceptions::request))
        .route("/exceptions/{id}", get(exceptions::show))
        .route("/exceptions/{id}/{act}", get(exceptions::ask_act).post(exceptions::act))
        .route("/audit", get(audit::show))
        .route("/sign-out", post(door::sign_out))
        .route("/theme", post(door::theme))
        .fallback(nowhere)
        .layer(from_fn_with_state(desk.clone(), gate));
    let door = Router::new()
        .route("/sign-in", get(door::closed))
        .route("/sign-in/{secret}", get(door::link).post(door::sign_in))
        .route("/assets/{name}", get(door::asset));
    (pages.merge(door).layer(from_fn(dress)).with_state(desk.clone()), Live(desk))
}

/// The headers of everything that the console answers.
async fn dress(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    headers.entry("cache-control").or_insert(HeaderValue::from_static(CACHE_NEVER));
    response
}

/// Lets a person in, or sends them to the sign-in page; turns a fault into a page.
async fn gate(State(desk): State<Arc<Desk>>, mut request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/api/") {
        return Problem::no_route().into_response();
    }
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let visitor = match Visitor::of(&desk, &headers, &uri).await {
        Ok(Some(visitor)) => Arc::new(visitor),
        Ok(None) => return door::send_to_sign_in(),
        Err(error) => return Problem::from(error).into_response(),
    };
    request.extensions_mut().insert(visitor.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Fault>() {
        Some(fault) => fault.page(&desk, &visitor),
        None => response,
    }
}

async fn nowhere() -> Fault {
    Fault::Missing("page")
}

impl Desk {
    fn now(&self) -> Timestamp {
        self.operator.app.clock.now()
    }

    /// All devices as lists show them, now.
    fn roster(&self) -> Arc<Roster> {
        self.rosters.current(&self.operator)
    }

    /// What stands round a page.
    fn frame(&self, visitor: &Visitor, section: Section, roster: &Roster) -> Frame {
        let open = roster.findings.iter().filter(|found| found.record.is_open(self.now())).count();
        let (rollouts, halted) = self.operator.rollouts.look(|book| {
            let running = book.rollouts.values().filter(|rollout| rollout.runs()).count();
            let is_halted = |rollout: &&Rollout| matches!(rollout.state, Standing::Halted { .. });
            (count(running), count(book.rollouts.values().filter(is_halted).count()))
        });
        Frame {
            owner: Said::from(self.operator.app.config.host.as_str()),
            clock: Clock::utc(self.now()),
            section,
            counts: Counts {
                devices: roster.summary.total,
                waiting: roster.waiting(self.now()),
                findings: count(open),
                vulnerabilities: self.surveys.known(),
                rollouts,
                halted,
            },
            person: Person { name: visitor.caller.name.as_str().into(), role: visitor.role_word().into() },
            theme: visitor.theme,
            csrf: visitor.csrf().to_owned(),
            model: model_words(&self.operator.app.risk.model()),
            advisories: self.newest_advisories(),
            here: visitor.here.clone(),
            toast: self.toasts.take(visitor.csrf()),
        }
    }
}

impl Desk {
    /// Of when the newest advisories are.
    fn newest_advisories(&self) -> Option<Timestamp> {
        let feeds = self.operator.app.knowledge.feeds();
        feeds.iter().filter(|feed| feed.kind.is_of_advisories()).map(|feed| feed.as_of).max()
    }
}

/// A number of things in memory.
fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}
