//! The audit log: who did what to which object, why, and what changed.
//!
//! Read only; nothing on this page changes anything. Until batches are sealed the first line is the count alone. Read
//! next: `cordon_server_core::audit`, `server/ui/audit.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::said::Said;
use super::words::{number, plural};
use super::{Frame, paths};

/// Rows of one page.
pub const PAGE_ROWS: usize = 50;

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// All entries.
    pub total: u64,
    /// When the log was last verified, once it is sealed.
    pub verified: Option<Timestamp>,
    /// The entry that breaks the log, if one does.
    pub broken: Option<u64>,
    /// The object that the list is narrowed to.
    pub object: Option<Said>,
    /// The person that the list is narrowed to.
    pub actor: Option<Said>,
    /// The rows, newest first.
    pub rows: Vec<Entry>,
    /// The page of newer entries.
    pub newer: Option<String>,
    /// The page of older entries.
    pub older: Option<String>,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the log.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Said,
    /// What was done: "device.quarantine".
    pub act: Said,
    /// To what.
    pub object: Said,
    /// The object's page.
    pub href: Option<String>,
    /// Why.
    pub reason: Said,
    /// What was before.
    pub before: Said,
    /// What is now.
    pub after: Said,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Audit,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Audit) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn head(&self) -> String {
        plural(self.page.total, "entry", "entries")
    }

    fn number(&self, entry: &Entry) -> String {
        number(entry.sequence)
    }

    fn is_narrowed(&self) -> bool {
        self.page.object.is_some() || self.page.actor.is_some()
    }

    fn actor_href(&self, entry: &Entry) -> String {
        paths::with_query(paths::AUDIT, &[("actor", entry.actor.raw())])
    }
}
