//! Service visits: those of now, what is to come, and what is over.
//!
//! Read next: `cordon_server_core::visit`, `server/ui/visits.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::said::Said;
use super::words::plural;
use super::{Frame, paths};

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    /// The rows.
    pub rows: Vec<Row>,
}

/// One visit.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// How it stands, in a word.
    pub state: &'static str,
    /// Who comes.
    pub who: Said,
    /// What for, and the ticket.
    pub why: Said,
    /// For which devices.
    pub devices: Said,
    /// How many that are now.
    pub count: u64,
    /// When it begins.
    pub from: Timestamp,
    /// When it is over.
    pub until: Timestamp,
    /// Who announced it.
    pub by: Said,
    /// Whether it can be ended.
    pub may_end: bool,
}

#[derive(Template)]
#[template(path = "visits.html")]
struct List<'a> {
    frame: &'a Frame,
    page: &'a Visits,
}

/// The list as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Visits) -> String {
    super::page(&List { frame, page })
}

impl List<'_> {
    fn of(&self) -> String {
        plural(u64::try_from(self.page.rows.len()).unwrap_or(u64::MAX), "visit", "visits")
    }

    fn devices(&self, row: &Row) -> String {
        plural(row.count, "device", "devices")
    }

    fn end(&self, row: &Row) -> String {
        paths::end_visit(&row.id)
    }
}
