//! The audit log: who did what to which object, why, and what changed.
//!
//! Read only; nothing on this page changes anything. The first line says how far the log is sealed; an entry that no
//! head covers yet says so. Read next: `cordon_server_core::audit`, `server/ui/audit.html`.

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
    /// The newest signed head.
    pub sealed: Option<Sealed>,
    /// When every sealed entry was last found to be as it was sealed.
    pub verified: Option<Timestamp>,
    /// What is wrong with the log, if anything is.
    pub broken: Option<Said>,
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

/// The newest signed head.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The entries that it covers.
    pub entries: u64,
    /// The first digits of its root.
    pub root: String,
    /// When it was signed.
    pub at: Timestamp,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the log.
    pub sequence: u64,
    /// Whether a signed head covers it.
    pub sealed: bool,
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

    fn covered(&self, head: &Sealed) -> String {
        plural(head.entries, "entry", "entries")
    }

    fn sealed_words(&self, head: &Sealed) -> String {
        match head.entries == self.page.total {
            true => "All sealed".to_owned(),
            false => format!("Sealed up to entry {}", number(head.entries)),
        }
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
