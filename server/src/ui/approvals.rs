//! Keys that ask for a device's identity and wait for a person: each with its whole fingerprint, and from where it came.
//!
//! Nothing is decided on this page: it leads to a question that names every key again. Read next: [`super::act`],
//! `server/ui/approvals.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::marks::{fingerprint, short_ids};
use super::said::Said;
use super::state::DeviceState;
use super::words::plural;
use super::{Frame, Markup, paths};

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    /// The keys, the one that waits longest first.
    pub rows: Vec<Waiting>,
    /// Keys that were approved and whose devices have not asked again.
    pub approved: u64,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The device.
    pub id: String,
    /// Its name.
    pub name: Said,
    /// What it says it is.
    pub model: Said,
    /// Where it stands.
    pub place: Said,
    /// How it stands now.
    pub state: DeviceState,
    /// The key's whole fingerprint.
    pub key: String,
    /// The address that it asked from.
    pub from: Said,
    /// What it brought.
    pub with: Said,
    /// Since when it waits.
    pub since: Timestamp,
    /// Whether the serial has a living identity with another key.
    pub replaces: bool,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Approvals,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Approvals) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn count(&self) -> u64 {
        u64::try_from(self.page.rows.len()).unwrap_or(u64::MAX)
    }

    fn answer(&self) -> String {
        match self.count() {
            0 => "Nobody waits.".into(),
            count => format!("{} a person.", plural(count, "key waits for", "keys wait for")),
        }
    }

    fn approved(&self) -> String {
        plural(
            self.page.approved,
            "approved key has not been fetched by its device yet.",
            "approved keys have not been fetched by their devices yet.",
        )
    }

    fn href(&self, row: &Waiting) -> String {
        paths::identity(&row.id)
    }

    fn print(&self, row: &Waiting) -> Markup {
        fingerprint(&row.key)
    }

    fn ids(&self, text: &Said) -> Markup {
        short_ids(&text.to_string())
    }

    fn state(&self, row: &Waiting) -> Markup {
        row.state.mark(&self.frame.clock)
    }
}
