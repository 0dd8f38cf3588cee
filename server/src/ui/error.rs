//! When a page cannot be shown: what could not be done, why, what was not changed, and what to do.
//!
//! No codes without words and no blame; nothing about the inside of the server. Read next: `server/ui/error.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::{Frame, paths};

/// The page.
#[derive(Clone, Debug)]
pub struct Error {
    /// What could not be done: "The list could not be read".
    pub what: String,
    /// Why, and what was not changed.
    pub why: String,
    /// Since when this lasts.
    pub since: Option<Timestamp>,
    /// The request's identity, to quote.
    pub request: Option<String>,
    /// What to do if it lasts.
    pub next: String,
    /// Where to try again: label and address.
    pub again: (String, String),
}

impl Error {
    /// Nothing lives at this address.
    #[must_use]
    pub fn not_found() -> Self {
        Self {
            what: "There is no such page".into(),
            why: "The address names nothing that exists, or no longer does. Nothing was changed.".into(),
            since: None,
            request: None,
            next: "Search for the device, or start from the overview.".into(),
            again: ("Go to the overview".into(), paths::OVERVIEW.into()),
        }
    }

    /// The store does not answer.
    #[must_use]
    pub fn store_silent(request: String, since: Timestamp, here: &str) -> Self {
        Self {
            what: "The page could not be read".into(),
            why: "The store gave no answer in time. Nothing was changed, and devices keep reporting: \
                  their reports wait on the devices until the store is back."
                .into(),
            since: Some(since),
            request: Some(request),
            next: "If it lasts, look at the server's log with this request.".into(),
            again: ("Try again".into(), here.into()),
        }
    }

    /// The form came without the session's token: it was open too long, or came from elsewhere.
    #[must_use]
    pub fn form_expired(here: &str) -> Self {
        Self {
            what: "The form was not accepted".into(),
            why: "It was made in a session that has ended. Nothing was changed.".into(),
            since: None,
            request: None,
            next: "Open the page again and repeat what you did.".into(),
            again: ("Open the page again".into(), here.into()),
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Error,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Error) -> String {
    super::page(&Page { frame, page })
}
