//! Coming in and going out: the one-time link, a link that no longer works, and nobody signed in.
//!
//! The link itself changes nothing: the page behind it has one button, so that a mail scanner or a preview that follows
//! the link does not use it up. A failure never says which part was wrong. Read next: `server/ui/sign_in.html`.

use askama::Template;

use super::frame::Theme;
use super::marks::{Markup, logo};
use super::said::Said;
use super::{assets, paths};

/// A page without navigation.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who runs the server.
    pub owner: Said,
    /// The theme the reader chose.
    pub theme: Theme,
    /// What is shown.
    pub door: Door,
}

/// What stands before the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// A one-time link that works, for this account.
    Link {
        /// The link's secret, posted back.
        secret: String,
        /// The account it opens.
        person: Said,
        /// The token of the form.
        csrf: String,
    },
    /// A link that was used, ran out or never was.
    Expired,
    /// Nobody is signed in.
    Closed,
    /// The session has just ended.
    Left,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page<'a> {
    page: &'a Entry,
}

/// The page as HTML.
#[must_use]
pub fn render(page: &Entry) -> String {
    super::page(&Page { page })
}

impl Page<'_> {
    fn logo(&self) -> Markup {
        logo()
    }

    fn style(&self) -> String {
        assets::address("app.css")
    }

    fn script(&self) -> String {
        assets::address("app.js")
    }

    fn favicon(&self) -> String {
        assets::address("icon.svg")
    }

    fn is_themed(&self) -> bool {
        self.page.theme != Theme::System
    }

    fn lead(&self) -> &'static str {
        match self.page.door {
            Door::Link { .. } => "Sign in",
            Door::Expired => "This link no longer works",
            Door::Closed => "Sign in with a one-time link",
            Door::Left => "You have signed out",
        }
    }

    /// Address, account and token of the form, where there is one.
    fn form(&self) -> Option<(String, &Said, &str)> {
        match &self.page.door {
            Door::Link { secret, person, csrf } => Some((paths::sign_in(secret), person, csrf)),
            Door::Expired | Door::Closed | Door::Left => None,
        }
    }

    fn is_expired(&self) -> bool {
        self.page.door == Door::Expired
    }
}
