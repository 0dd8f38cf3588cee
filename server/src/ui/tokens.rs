//! Enrolment tokens: the list, the form for a new one, and the one page on which its secret is ever seen.
//!
//! The secret stands in the page that answers the form and nowhere else: in no address, no list, no journal. What the
//! page shows is not whole: the person's own director root goes in on their own machine. Read next:
//! `server/ui/tokens.html`, `token_new.html`, `token_made.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::marks::short_ids;
use super::said::Said;
use super::words::{number, plural};
use super::{Frame, Markup, paths};

/// Rows of one page.
pub const PAGE_ROWS: usize = 50;

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// All tokens.
    pub total: u64,
    /// Tokens that let somebody in now.
    pub open: u64,
    /// The rows, the newest first.
    pub rows: Vec<Row>,
    /// The page of newer ones.
    pub newer: Option<String>,
    /// The page of older ones.
    pub older: Option<String>,
}

/// One token.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// `open`, `used`, `expired` or `revoked`.
    pub state: &'static str,
    /// Whom it lets in: a serial, or how many.
    pub whom: Said,
    /// The model.
    pub model: Said,
    /// Where they will stand.
    pub place: Said,
    /// How many it lets in.
    pub count: u32,
    /// How many it has let in.
    pub used: u32,
    /// From then on it lets nobody in.
    pub expires: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub by: Said,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Tokens,
}

/// The list as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Tokens) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn answer(&self) -> String {
        match self.page.open {
            0 => "No token lets anybody in now.".into(),
            open => format!("{} somebody in now.", plural(open, "token lets", "tokens let")),
        }
    }

    fn of(&self) -> String {
        plural(self.page.total, "token", "tokens")
    }

    fn id(&self, row: &Row) -> Markup {
        short_ids(&row.id)
    }

    fn used(&self, row: &Row) -> String {
        format!("{} of {}", number(row.used.into()), number(row.count.into()))
    }

    fn state(&self, row: &Row) -> &'static str {
        match row.state {
            "open" => "Open",
            "used" => "Used",
            "expired" => "Expired",
            _ => "Taken back",
        }
    }

    fn expires(&self, row: &Row) -> Markup {
        self.frame.clock.moment(&row.expires)
    }

    fn revoke(&self, row: &Row) -> Option<String> {
        (row.state == "open").then(|| paths::revoke_token(&row.id))
    }
}

/// The form for a new token.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// What was typed, by the name of its field.
    pub typed: Vec<(String, String)>,
    /// Kinds of devices: value and word.
    pub kinds: Vec<(&'static str, &'static str)>,
    /// What is wrong.
    pub fault: Option<String>,
    /// Lets this form make one token and no second.
    pub once: String,
}

#[derive(Template)]
#[template(path = "token_new.html")]
struct FormPage<'a> {
    frame: &'a Frame,
    page: &'a Form,
}

/// The form as HTML.
#[must_use]
pub fn render_form(frame: &Frame, page: &Form) -> String {
    super::page(&FormPage { frame, page })
}

impl FormPage<'_> {
    fn typed(&self, name: &str) -> &str {
        self.page.typed.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str())
    }

    fn is_typed(&self, name: &str, value: &str) -> bool {
        self.typed(name) == value
    }
}

/// A token that was just made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Whom it lets in.
    pub whom: Said,
    /// Everything of the enrolment string but the director root, with the secret.
    pub text: String,
    /// A name for the join file.
    pub file: String,
    /// From then on it lets nobody in.
    pub expires: Timestamp,
}

#[derive(Template)]
#[template(path = "token_made.html")]
struct MadePage<'a> {
    frame: &'a Frame,
    page: &'a Made,
}

/// The one page with a secret as HTML.
#[must_use]
pub fn render_made(frame: &Frame, page: &Made) -> String {
    super::page(&MadePage { frame, page })
}
