//! Why a page or an act is not to be had, in words: what could not be done, why, what was not changed, what to do.
//!
//! A handler returns a fault; the gate draws it for the visitor, with the status that programs understand. Nothing of
//! the inside is told: what failed there goes to the log under the request's identity. Read next: `ui::error`.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::super::problem::Problem;
use super::Desk;
use super::visitor::Visitor;
use crate::app::{ActError, CommitError};
use crate::chance;
use crate::rollouts::RolloutError;
use crate::store::StoreError;
use crate::ui::error::{Error, render};
use crate::ui::frame::Section;
use crate::ui::paths;

/// Why there is no page.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// There is no such thing.
    Missing(&'static str),
    /// The form came without the session's proof.
    FormExpired,
    /// This account may only look.
    NotAllowed,
    /// Signed once, but no order with it is in force any more.
    NoWayBack(String),
    /// The API's own refusal.
    Refused(Problem),
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        if problem.status() == StatusCode::NOT_FOUND {
            Self::Missing("thing")
        } else {
            Self::Refused(problem)
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ActError> for Fault {
    fn from(error: ActError) -> Self {
        Problem::from(error).into()
    }
}

impl From<RolloutError> for Fault {
    fn from(error: RolloutError) -> Self {
        Problem::from(error).into()
    }
}

impl Fault {
    fn status(&self) -> StatusCode {
        match self {
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::FormExpired | Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NoWayBack(_) => StatusCode::CONFLICT,
            Self::Refused(problem) => problem.status(),
        }
    }

    /// The fault as a page.
    pub(super) fn page(self, desk: &Desk, visitor: &Visitor) -> Response {
        let frame = desk.frame(visitor, section_of(&visitor.here), &desk.roster());
        (self.status(), Html(render(&frame, &self.words(desk, visitor)))).into_response()
    }

    fn words(&self, desk: &Desk, visitor: &Visitor) -> Error {
        let here = visitor.here.as_str();
        match self {
            Self::Missing("page" | "thing") => Error::not_found(),
            Self::Missing(what) => Error { what: format!("There is no such {what}"), ..Error::not_found() },
            Self::FormExpired => Error::form_expired(here),
            Self::NotAllowed => Error {
                why: "This account may look but not change anything. Nothing was changed.".into(),
                next: "Ask an administrator.".into(),
                ..not_done(page_of(here))
            },
            Self::NoWayBack(release) => Error {
                why: format!(
                    "The way back to {release} was signed, but its time is over or its order was withdrawn. Nothing was changed."
                ),
                next: "Have an order signed for the release that should run.".into(),
                ..not_done(page_of(here))
            },
            Self::Refused(problem) if problem.status().is_server_error() => {
                let request =
                    chance::random::<6>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                tracing::error!(request, code = problem.code(), "a page could not be shown");
                Error::store_silent(request, desk.now(), here)
            }
            Self::Refused(problem) => Error {
                why: format!("{}. Nothing was changed.", sentence(problem.detail())),
                ..not_done(page_of(here))
            },
        }
    }
}

fn not_done(back: &str) -> Error {
    Error {
        what: "It was not done".into(),
        why: String::new(),
        since: None,
        request: None,
        next: "Open the page again and look how things stand now: somebody may have been faster.".into(),
        again: ("Open the page again".into(), back.into()),
    }
}

/// The page that an act's address belongs to: `/devices/1/quarantine` is of `/devices/1`.
fn page_of(here: &str) -> &str {
    let path = here.split('?').next().unwrap_or(here);
    match path.rsplit_once('/') {
        _ if path.starts_with("/holds") => paths::ROLLOUTS,
        _ if path.starts_with("/tokens") => paths::TOKENS,
        Some((page, _)) if page.matches('/').count() >= 2 => page,
        _ if path.starts_with("/devices") => paths::DEVICES,
        _ if path.starts_with("/approvals") => paths::APPROVALS,
        _ if path.starts_with("/evidence") => paths::EVIDENCE,
        _ if path.starts_with("/findings") || path.starts_with("/rollouts") => path,
        _ => paths::OVERVIEW,
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn section_of(here: &str) -> Section {
    match here.split(['/', '?']).nth(1) {
        Some("devices") => Section::Devices,
        Some("approvals") => Section::Waiting,
        Some("tokens") => Section::Tokens,
        Some("findings") => Section::Findings,
        Some("vulnerabilities" | "feeds") => Section::Vulnerabilities,
        Some("rollouts" | "holds" | "releases" | "evidence") => Section::Rollouts,
        Some("orders") => Section::Orders,
        Some("audit") => Section::Audit,
        _ => Section::Overview,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_act_leads_back_to_the_page_it_belongs_to() {
        // Goal: "Open the page again" opens something. Method: each form of address.
        for (here, page) in [
            ("/devices/1/quarantine", "/devices/1"),
            ("/rollouts/r/stop?x=1", "/rollouts/r"),
            ("/holds/h-1/lift", "/rollouts"),
            ("/devices/quarantine?device=1", "/devices"),
            ("/theme", "/"),
        ] {
            assert_eq!(page_of(here), page);
        }
        assert_eq!(sentence("nothing to do."), "Nothing to do");
        assert_eq!(section_of("/rollouts/x"), Section::Rollouts);
        assert_eq!(section_of("/?range=7d"), Section::Overview);
    }
}
